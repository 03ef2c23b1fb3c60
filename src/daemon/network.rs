//! The web of the house: one listener for as long as the process lives, whatever the drive does.

use crate::config::{Config, Web};
use crate::daemon::{Places, Reach};
use crate::engine::{Engine, EngineError};
use crate::model::{Origin, Time, WishId};
use crate::status::{Condition, Door, Notice, Report};
use crate::web::{
    ClaimWindow, Command, Front, Neighbours, Settings, Snapshot, State, Wishes, serve,
};
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// So many worklists may wait for the loop.
const WAITING: usize = 16;

/// The name under which browsers reach this machine: the kernel's host name. On the card that is the name which the
/// responder really got on the network (`overlay/usr/lib/larder/mdns`), so it may change at any time.
struct HostName(String);

impl HostName {
    fn of_kernel() -> Self {
        Self::new(&rustix::system::uname().nodename().to_string_lossy())
    }

    fn new(node: &str) -> Self {
        Self(node.to_lowercase())
    }

    /// As it stands in addresses. A name without a domain is announced as name.local.
    fn in_full(&self) -> String {
        let Self(name) = self;
        if name.contains('.') || name == "localhost" {
            name.clone()
        } else {
            format!("{name}.local")
        }
    }

    /// Without a domain, as the Host list has it.
    fn label(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }

    fn names(&self) -> Vec<String> {
        vec![self.label().to_owned()]
    }
}

/// The loop's end of the web.
pub(super) struct Network {
    settings: watch::Sender<Settings>,
    snapshot: watch::Sender<Snapshot>,
    commands: mpsc::Receiver<Command>,
    claim: ClaimWindow,
    /// The engine's password and sessions are those that the web knows.
    shown_access: bool,
    state: watch::Receiver<State>,
    reads: watch::Receiver<()>,
    stop: Option<oneshot::Sender<()>>,
}

impl Network {
    /// Begins to serve; off until [`Self::configure`] says otherwise.
    pub(super) fn begin(wake: &Arc<Notify>, reach: Reach, claim: ClaimWindow) -> Self {
        let address = (reach == Reach::Loopback).then_some(Ipv4Addr::LOCALHOST.into());
        let off = Settings {
            enabled: false,
            address,
            names: HostName::of_kernel().names(),
            ..Settings::default()
        };
        let (settings, settings_seen) = watch::channel(off);
        let (snapshot, house_seen) = watch::channel(Snapshot::default());
        let (to_loop, mut arriving) = mpsc::channel(WAITING);
        let (forward, commands) = mpsc::channel(WAITING);
        let (state_sender, state) = watch::channel(State::Off);
        let (reads_sender, reads) = watch::channel(());
        let (stop, stopped) = oneshot::channel::<()>();
        let front = Front {
            settings: settings_seen,
            snapshot: house_seen,
            commands: to_loop,
            state: state_sender,
            reads: reads_sender,
            claim,
            neighbours: Neighbours::of_kernel(),
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
        let shown_access = false;
        Self { settings, snapshot, commands, claim, shown_access, state, reads, stop: Some(stop) }
    }

    /// Answers to the name that the machine has by now, and to none that it had before: that one may be another machine's.
    pub(super) fn look_at_name(&self) {
        let names = HostName::of_kernel().names();
        self.settings.send_if_modified(|settings| {
            let changed = settings.names != names;
            settings.names = names;
            changed
        });
    }

    /// Puts the settings in force.
    pub(super) fn configure(&self, config: &Config) {
        self.settings.send_if_modified(|settings| {
            let Web { enabled, port, password, readers } = &config.web;
            let changed = settings.enabled != *enabled
                || settings.port != *port
                || settings.readers != *readers
                || settings.password != *password;
            settings.readers = *readers;
            settings.enabled = *enabled;
            settings.port = *port;
            settings.password.clone_from(password);
            changed
        });
    }

    /// Says which drive is there, which pages may wish, and who is signed in.
    pub(super) fn show(
        &mut self,
        places: &Places,
        mut engine: Option<&mut Engine>,
        notices: &[Notice],
    ) -> Result<(), EngineError> {
        match &mut engine {
            Some(engine) if !self.shown_access => self.show_access(engine)?,
            Some(_) => {}
            None => self.shown_access = false,
        }
        let engine = engine.as_deref();
        self.snapshot.send_if_modified(|snapshot| {
            let drive = engine.map(|_| places.drive.clone());
            // The common page has no key over the network: a session proves it.
            let mut pages: Vec<_> = engine.map(Engine::page_keys).unwrap_or_default();
            pages.retain(|page| page.origin != Origin::Home);
            let page = engine.map(Engine::common_page).unwrap_or_default();
            let same_pages = snapshot.pages.len() == pages.len()
                && snapshot
                    .pages
                    .iter()
                    .zip(&pages)
                    .all(|(a, b)| a.key == b.key && a.page == b.page);
            let changed = snapshot.drive != drive
                || snapshot.page != page
                || !same_pages
                || snapshot.notices.as_ref() != notices;
            snapshot.drive = drive;
            page.clone_into(&mut snapshot.page);
            if !same_pages {
                snapshot.pages = pages.into();
            }
            snapshot.notices = notices.to_vec().into();
            changed
        });
        Ok(())
    }

    fn show_access(&mut self, engine: &mut Engine) -> Result<(), EngineError> {
        let access = Arc::new(engine.access()?);
        self.snapshot.send_modify(|snapshot| snapshot.access = access);
        self.shown_access = true;
        Ok(())
    }

    /// Says in a report who may use the page. While the password may be chosen, that is told, too.
    pub(super) fn tell_access(&self, report: &mut Report) {
        let settings = self.settings.borrow();
        let snapshot = self.snapshot.borrow();
        let serves = matches!(&*self.state.borrow(), State::Listening(_));
        report.door = match (&settings.password, &snapshot.access.password) {
            _ if !serves || snapshot.drive.is_none() => Door::Unknown,
            (Some(_), _) => Door::Settings,
            (None, Some(chosen)) => Door::Chosen { at: chosen.at, from: chosen.from.clone() },
            (None, None) if self.claim.is_open() => Door::Open,
            (None, None) => Door::Closed,
        };
        if report.door == Door::Open {
            let address = report.address.as_deref().unwrap_or("the page");
            report.notices.push(Notice {
                at: Time::default(),
                condition: Condition::Claimable,
                what: "The page has no password yet: the first who opens it chooses one.".into(),
                next: format!(
                    "Open {address} within 30 minutes after Larder was switched on, and choose it."
                ),
            });
            report.notices.sort_by_key(|n| std::cmp::Reverse(n.condition));
            report.condition = report.condition.max(Condition::Claimable);
        }
    }

    /// True when something of the web waits for the loop.
    pub(super) fn has_commands(&self) -> bool {
        !self.commands.is_empty()
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

    /// Hands what came to the engine; the web is answered once it is on the disk. After an error the engine has to be
    /// opened anew: what it tells of who is signed in may not be what the disk has.
    pub(super) fn deliver(&mut self, mut engine: Option<&mut Engine>) -> Result<(), EngineError> {
        let mut done = Ok(());
        while let Ok(command) = self.commands.try_recv() {
            match &mut engine {
                Some(open) => {
                    done = self.obey(command, open);
                    if done.is_err() {
                        engine = None;
                    }
                }
                // Dropped, which says that nothing was done.
                None => log::debug!("there is no drive for {command:?}"),
            }
        }
        done
    }

    fn obey(&mut self, command: Command, engine: &mut Engine) -> Result<(), EngineError> {
        let now = super::now();
        match command {
            Command::Take(Wishes { origin, worklist, reply }) => {
                let taken = engine.receive_now(&origin, &worklist, now).map(|()| {
                    let refused = worklist.diagnostics.iter().filter_map(|d| d.wish);
                    worklist.wishes.iter().map(|w| w.id).chain(refused).collect::<Vec<WishId>>()
                });
                answer(reply, taken.map_err(|e| e.to_string()));
            }
            Command::Claim { password, session, reply } => {
                let done = engine.claim(&password, &session, now);
                return self.tell_web(engine, done, reply);
            }
            Command::SignIn { session, reply } => {
                let done = engine.sign_in(&session, now);
                return self.tell_web(engine, done, reply);
            }
            Command::SignOut { id, reply } => {
                let done = engine.sign_out(&id);
                return self.tell_web(engine, done, reply);
            }
            Command::Used { id, from, at } => {
                let noted = engine.session_used(&id, &from, at);
                if let Err(e) = noted.and_then(|()| self.show_access(engine)) {
                    log::warn!("that a session was used is not noted: {e}");
                }
            }
        }
        Ok(())
    }

    /// Shows the web what has changed before it is answered: the browser's next request comes at once. What failed is
    /// not shown.
    fn tell_web<T>(
        &mut self,
        engine: &mut Engine,
        done: Result<T, EngineError>,
        reply: oneshot::Sender<Result<T, String>>,
    ) -> Result<(), EngineError> {
        let (told, ended) = match done.and_then(|done| self.show_access(engine).map(|()| done)) {
            Ok(done) => (Ok(done), Ok(())),
            Err(e) => (Err(e.to_string()), Err(e)),
        };
        answer(reply, told);
        ended
    }

    /// Where the common page is, for people.
    pub(super) fn address(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Listening(at) => {
                Some(format!("http://{}:{}", HostName::of_kernel().in_full(), at.port()))
            }
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

fn answer<T>(reply: oneshot::Sender<Result<T, String>>, done: Result<T, String>) {
    if reply.send(done).is_err() {
        log::debug!("a page did not wait for its answer");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_the_host_list_have_the_name_of_the_machine() {
        for (node, in_full, label) in [
            ("larder", "larder.local", "larder"),
            ("larder-2", "larder-2.local", "larder-2"),
            ("Attic", "attic.local", "attic"),
            ("nas.example.org", "nas.example.org", "nas"),
            ("localhost", "localhost", "localhost"),
        ] {
            let name = HostName::new(node);
            assert_eq!((&*name.in_full(), name.label()), (in_full, label));
        }
    }
}
