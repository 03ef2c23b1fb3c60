//! The common page on the local network, and the address that takes wishes.
//!
//! In comes HTTP/1.1 from whoever is on the network: nothing of it is trusted. Out go the common
//! page and the masters it opens, straight from the drive, to who is signed in; and as [`Command`]s for the owner
//! loop the wishes of pages that prove who they are, and who signs in and out. What the rest of the system tells
//! comes through two watched values: [`Settings`] and [`House`].
//!
//! What it must never do: read outside `BTsync/files` and the one page, follow a symbolic link,
//! open anything but a regular file, change anything on the drive, hold on to a drive that went
//! away, let a document of a stranger run script beside the page, take a wish without a session or the seal
//! of a page, send a key, let one slow client keep another waiting, or lock somebody out for another's wrong guesses.

mod auth;
mod connection;
mod content_type;
mod error_page;
mod files;
mod guesser;
mod limits;
mod neighbours;
mod password;
mod range;
mod router;
mod secret;
mod session;
mod sign_in;
mod state;
mod user_agent;
mod worklist;

pub use limits::LinkAddress;
pub use neighbours::Neighbours;

use crate::model::{Access, Origin, Password, Session, Time, WishId};
use crate::status::Notice;
use crate::worklist::Worklist;
use rustix::time::{ClockId, clock_gettime};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// How long to wait before a port that could not be had is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How long connections may take to end when the listener closes.
const GOODBYE: Duration = Duration::from_secs(2);
/// So many connections may wait until it is known whose they are.
const ARRIVING: usize = 64;
/// How long to wait when a connection can't be taken.
const BREATH: Duration = Duration::from_millis(200);

/// What the owner sets about the pages over the network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Serve at all.
    pub enabled: bool,
    /// TCP port; 0 lets the kernel choose one.
    pub port: u16,
    /// The address to listen at; `None` is every address of this machine.
    pub address: Option<IpAddr>,
    /// The password of the settings, which wins over one that was chosen on the page.
    pub password: Option<String>,
    /// Page and files are shown to everybody on the network.
    pub readers: bool,
    /// Names under which browsers may reach us besides `localhost`: this machine's host name. Without
    /// the domain: `.local`, `.lan`, `.home.arpa` and `.internal` are known. Never a name that may be
    /// another machine's.
    pub names: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            port: 8080,
            address: None,
            password: None,
            readers: false,
            names: Vec::new(),
        }
    }
}

/// What the rest of the house tells the web, anew whenever it changes.
#[derive(Clone, Default, Debug)]
pub struct Snapshot {
    /// The root of the drive in use. `None` while there is none: open files are let go at once, so
    /// that the drive can be unmounted.
    pub drive: Option<PathBuf>,
    /// The common page's identity; an empty one admits nobody.
    pub page: String,
    /// The password that was chosen, and who is signed in.
    pub access: Arc<Access>,
    /// The devices' pages, whose wishes are taken.
    pub pages: Arc<[PageKey]>,
    /// What the page that says "the drive is not here" tells besides.
    pub notices: Arc<[Notice]>,
}

/// One device's page, and what proves that wishes come from it.
#[derive(Clone)]
pub struct PageKey {
    /// Its identity, `page` in its worklist.
    pub page: String,
    /// Its key, which seals its worklists and the answers to them. An empty one admits nobody, nor does one of
    /// equal digits.
    pub key: String,
    /// Whose wishes it makes.
    pub origin: Origin,
}

// Without the secret, so that no log gets it.
impl std::fmt::Debug for PageKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PageKey").field("page", &self.page).field("origin", &self.origin).finish()
    }
}

/// Wishes that came over the network, on their way to the owner loop.
#[derive(Debug)]
pub struct Wishes {
    /// Whose they are, proved by the seal of a device's page, or by a session.
    pub origin: Origin,
    /// What came.
    pub worklist: Worklist,
    /// To be told once all of it is in the ledger, on the disk: the page then holds its wishes for
    /// safe and does not send them again. `Ok` names the wishes taken in, those that were known
    /// before too. `Err` says in words why nothing was taken in; so does dropping it.
    pub reply: oneshot::Sender<Result<Vec<WishId>, String>>,
}

/// What the owner loop is asked for. Each reply is sent once it is in the ledger, on the disk, and after [`House`]
/// tells so; `Err`, or dropping it, says that nothing was done.
#[derive(Debug)]
pub enum Command {
    /// Take wishes in.
    Take(Wishes),
    /// Remember the password that somebody chose, and his session; `false` when there is one already.
    Claim {
        /// The password.
        password: Password,
        /// The browser it was chosen in.
        session: Session,
        /// See above.
        reply: oneshot::Sender<Result<bool, String>>,
    },
    /// Remember a browser that signed in.
    SignIn {
        /// The browser.
        session: Session,
        /// See above.
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// Forget a browser; `false` when it is not known.
    SignOut {
        /// Its session.
        id: String,
        /// See above.
        reply: oneshot::Sender<Result<bool, String>>,
    },
    /// Note that a session was used.
    Used {
        /// Which one.
        id: String,
        /// From this address.
        from: String,
        /// Then.
        at: Time,
    },
}

/// Until when the password may be chosen. Counted by a clock that nobody can set and that goes on while the machine
/// sleeps.
#[derive(Clone, Copy, Debug)]
pub struct ClaimWindow {
    /// By `CLOCK_BOOTTIME`, in seconds.
    until: i64,
}

impl ClaimWindow {
    /// How long it is open after power-on.
    pub const LENGTH: Duration = Duration::from_secs(30 * 60);

    /// Open for so long from now on.
    pub fn for_the_next(time: Duration) -> Self {
        Self { until: boot_time().saturating_add_unsigned(time.as_secs()) }
    }

    /// What is left of it, on a machine whose power-on it counts from.
    pub fn left_since_power_on() -> Duration {
        Self::LENGTH.saturating_sub(Duration::from_secs(boot_time().unsigned_abs()))
    }

    /// True while the password may be chosen.
    pub fn is_open(self) -> bool {
        boot_time() < self.until
    }
}

/// Seconds since the machine was switched on.
fn boot_time() -> i64 {
    clock_gettime(ClockId::Boottime).tv_sec
}

/// How the listener is doing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// Switched off in the settings, or not begun yet.
    #[default]
    Off,
    /// Listening.
    Listening(SocketAddr),
    /// It can't listen, and is trying again.
    Trouble {
        /// What is the matter.
        what: String,
        /// What to do about it.
        next: String,
    },
}

/// What the web needs of the house.
pub struct Front {
    /// The settings in force. A change of port, address or `enabled` restarts the listener.
    pub settings: watch::Receiver<Settings>,
    /// Drive and pages.
    pub snapshot: watch::Receiver<Snapshot>,
    /// The owner loop. When it is full, pages are told to try again.
    pub commands: mpsc::Sender<Command>,
    /// Where to tell how the listener is doing.
    pub state: watch::Sender<State>,
    /// Marked as changed before each piece of a master that is read from the drive for somebody: whoever wants the
    /// drive for work that can wait, waits.
    pub reads: watch::Sender<()>,
    /// Until when the password may be chosen.
    pub claim: ClaimWindow,
    /// Which network card is behind an address.
    pub neighbours: Neighbours,
}

/// Serves until `stop` is done, then ends what is open within two seconds.
pub async fn serve(front: Front, stop: impl Future<Output = ()>) {
    let Front { mut settings, snapshot, commands, state, reads, claim, neighbours } = front;
    let app = Arc::new(state::AppState {
        settings: settings.clone(),
        snapshot: snapshot.clone(),
        commands,
        reads,
        claim,
        neighbours,
        connections: limits::Connections::default(),
        known: limits::KnownClients::default(),
        wrong_passwords: limits::Throttle::default(),
        claims: limits::Throttle::default(),
        wrong_seals: limits::Throttle::default(),
        passwords: password::Passwords::default(),
        touched: state::Touched::default(),
        parsing: Arc::new(tokio::sync::Semaphore::new(1)),
        doubtful: Arc::new(tokio::sync::Semaphore::new(1)),
    });
    let router = router::router(Arc::clone(&app));
    let mut stop = std::pin::pin!(stop);
    let mut open = JoinSet::new();
    loop {
        let wanted = settings.borrow_and_update().clone();
        let round = async {
            if !wanted.enabled {
                state.send_replace(State::Off);
                std::future::pending::<()>().await;
            }
            match listen(&wanted).await {
                Ok((listener, at)) => {
                    log::info!("the common page is served at port {}", at.port());
                    state.send_replace(State::Listening(at));
                    accept(&listener, &app, &router, &mut open).await;
                }
                Err(error) => {
                    let trouble = State::Trouble {
                        what: format!("The page can't be served at port {}: {error}", wanted.port),
                        next: "Set another [web] port in larder.toml; it is tried again every \
                               few seconds"
                            .into(),
                    };
                    if state
                        .send_if_modified(|now| std::mem::replace(now, trouble.clone()) != trouble)
                    {
                        log::warn!("port {}: {error}", wanted.port);
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        };
        tokio::select! {
            () = &mut stop => break,
            () = changed(&mut settings, &wanted) => {}
            () = round => {}
        }
    }
    state.send_replace(State::Off);
    let ended = async { while open.join_next().await.is_some() {} };
    // Those that have not ended by then are dropped with the set.
    drop(tokio::time::timeout(GOODBYE, ended).await);
}

/// Returns when the listener has to be another one. Settings that nobody can change any more
/// never do.
async fn changed(settings: &mut watch::Receiver<Settings>, now: &Settings) {
    let differ =
        |s: &Settings| (s.enabled, s.port, s.address) != (now.enabled, now.port, now.address);
    if settings.wait_for(differ).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn listen(settings: &Settings) -> std::io::Result<(TcpListener, SocketAddr)> {
    let port = settings.port;
    let listener = match settings.address {
        Some(address) => TcpListener::bind((address, port)).await?,
        // Takes IPv4 too; a machine without IPv6 has only the other.
        None => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?,
        },
    };
    let at = listener.local_addr()?;
    Ok((listener, at))
}

/// Takes connections until it is dropped, which also asks those that are open to end.
async fn accept(
    listener: &TcpListener,
    app: &Arc<state::AppState>,
    router: &axum::Router,
    open: &mut JoinSet<()>,
) {
    let (_closes_when_dropped, closing) = watch::channel(());
    let arriving = Arc::new(tokio::sync::Semaphore::new(ARRIVING));
    loop {
        while open.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, from)) => {
                let Ok(arriving) = Arc::clone(&arriving).try_acquire_owned() else {
                    connection::refuse(&stream);
                    continue;
                };
                let (app, router) = (Arc::clone(app), router.clone());
                let closing = closing.clone();
                open.spawn(async move {
                    let client = app.client(from.ip()).await;
                    let place = app.connections.take(client.key, app.is_known(&client));
                    drop(arriving);
                    match place {
                        Some(_place) => {
                            let snapshot = app.snapshot.clone();
                            connection::run(stream, client, router, snapshot, closing).await;
                        }
                        None => connection::refuse(&stream),
                    }
                });
            }
            // Out of descriptors, or a client that went while it waited.
            Err(error) => {
                log::warn!("the page can't take a connection: {error}");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}
