//! The web of the house: one listener for as long as the process lives, whatever the drive does.

use crate::config::{Config, Web};
use crate::daemon::{Places, Reach};
use crate::engine::Engine;
use crate::model::WishId;
use crate::status::Notice;
use crate::web::{Front, House, Settings, State, Wishes, serve};
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// So many worklists may wait for the loop.
const WAITING: usize = 16;

/// The loop's end of the web.
pub(super) struct Network {
    settings: watch::Sender<Settings>,
    house: watch::Sender<House>,
    wishes: mpsc::Receiver<Wishes>,
    state: watch::Receiver<State>,
    reads: watch::Receiver<()>,
    stop: Option<oneshot::Sender<()>>,
}

impl Network {
    /// Begins to serve; off until [`Self::configure`] says otherwise.
    pub(super) fn begin(wake: &Arc<Notify>, reach: Reach) -> Self {
        let address = (reach == Reach::Loopback).then_some(Ipv4Addr::LOCALHOST.into());
        let off = Settings { enabled: false, address, names: host_names(), ..Settings::default() };
        let (settings, settings_seen) = watch::channel(off);
        let (house, house_seen) = watch::channel(House::default());
        let (to_loop, mut arriving) = mpsc::channel(WAITING);
        let (forward, wishes) = mpsc::channel(WAITING);
        let (state_sender, state) = watch::channel(State::Off);
        let (reads_sender, reads) = watch::channel(());
        let (stop, stopped) = oneshot::channel::<()>();
        let front = Front {
            settings: settings_seen,
            house: house_seen,
            wishes: to_loop,
            state: state_sender,
            reads: reads_sender,
        };
        tokio::spawn(serve(front, async move {
            // A dropped sender stops it as well.
            drop(stopped.await);
        }));
        let wake = Arc::clone(wake);
        tokio::spawn(async move {
            while let Some(item) = arriving.recv().await {
                if forward.send(item).await.is_err() {
                    break;
                }
                wake.notify_one();
            }
        });
        Self { settings, house, wishes, state, reads, stop: Some(stop) }
    }

    /// Puts the settings in force.
    pub(super) fn configure(&self, config: &Config) {
        self.settings.send_if_modified(|settings| {
            let Web { enabled, port, password } = &config.web;
            let changed = settings.enabled != *enabled
                || settings.port != *port
                || settings.password != *password;
            settings.enabled = *enabled;
            settings.port = *port;
            settings.password.clone_from(password);
            changed
        });
    }

    /// Says which drive is there, and which pages may wish.
    pub(super) fn show(&self, places: &Places, engine: Option<&Engine>, notices: &[Notice]) {
        self.house.send_if_modified(|house| {
            let drive = engine.map(|_| places.drive.clone());
            let pages: Vec<_> = engine.map(Engine::page_keys).unwrap_or_default();
            let same_pages = house.pages.len() == pages.len()
                && house.pages.iter().zip(&pages).all(|(a, b)| a.key == b.key && a.page == b.page);
            let changed = house.drive != drive || !same_pages || house.notices.as_ref() != notices;
            house.drive = drive;
            if !same_pages {
                house.pages = pages.into();
            }
            house.notices = notices.to_vec().into();
            changed
        });
    }

    /// True when wishes wait for the loop.
    pub(super) fn has_wishes(&self) -> bool {
        !self.wishes.is_empty()
    }

    /// True when a file was read for somebody since [`Self::take_reads`].
    pub(super) fn has_reads(&self) -> bool {
        // Nobody reads any more when the web has ended.
        self.reads.has_changed().unwrap_or(false)
    }

    /// The same, and begins to look anew.
    pub(super) fn take_reads(&mut self) -> bool {
        let any = self.has_reads();
        self.reads.mark_unchanged();
        any
    }

    /// Hands the wishes that came to the engine; the page is answered once they are on the disk.
    pub(super) fn deliver(&mut self, engine: Option<&mut Engine>) {
        let mut engine = engine;
        while let Ok(Wishes { origin, worklist, reply }) = self.wishes.try_recv() {
            let answer = match &mut engine {
                None => Err("the drive is not there; try again when it is plugged in".to_owned()),
                Some(engine) => engine
                    .receive_now(&origin, &worklist, super::now())
                    .map(|()| {
                        let refused = worklist.diagnostics.iter().filter_map(|d| d.wish);
                        worklist.wishes.iter().map(|w| w.id).chain(refused).collect::<Vec<WishId>>()
                    })
                    .map_err(|e| e.to_string()),
            };
            if reply.send(answer).is_err() {
                log::debug!("a page did not wait for its answer");
            }
        }
    }

    /// Where the common page is, for people.
    pub(super) fn address(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Listening(at) => Some(format!("http://{}:{}", host_name(), at.port())),
            _ => None,
        }
    }

    /// What keeps it from listening.
    pub(super) fn trouble(&self) -> Option<(String, String)> {
        match &*self.state.borrow() {
            State::Trouble { what, next } => Some((what.clone(), next.clone())),
            _ => None,
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Whoever listens is told; that nobody does is as good.
        drop(self.stop.take());
    }
}

fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    // A name without a domain is announced as name.local.
    if name.contains('.') || name == "localhost" { name } else { format!("{name}.local") }
}

fn host_names() -> Vec<String> {
    let name = rustix::system::uname().nodename().to_string_lossy().to_lowercase();
    vec![name.split('.').next().unwrap_or_default().to_owned()]
}
