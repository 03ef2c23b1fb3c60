//! What every request works with.

use super::guesser::Guesser;
use super::limits::{Client, ClientKey, Connections, KnownClients, Throttle};
use super::neighbours::Neighbours;
use super::password::Passwords;
use super::{ClaimWindow, Command, Settings, Snapshot};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{Duration, timeout};

/// How long the owner loop may take to put something into the ledger. A page that we serve waits 10 s.
const LEDGER: Duration = Duration::from_secs(9);

/// When the use of each session was noted.
pub(super) type Touched = Mutex<HashMap<String, Instant>>;

/// The state of the application.
pub(super) struct AppState {
    pub(super) settings: watch::Receiver<Settings>,
    pub(super) snapshot: watch::Receiver<Snapshot>,
    pub(super) commands: mpsc::Sender<Command>,
    /// Marked while masters are read.
    pub(super) reads: watch::Sender<()>,
    pub(super) claim: ClaimWindow,
    pub(super) neighbours: Neighbours,
    pub(super) connections: Connections,
    /// Clients that were signed in.
    pub(super) known: KnownClients,
    /// Who sent a wrong password lately.
    pub(super) wrong_passwords: Throttle<Guesser>,
    /// Who tried to choose the password lately.
    pub(super) claims: Throttle<ClientKey>,
    /// Who sent wishes with a wrong seal lately.
    pub(super) wrong_seals: Throttle<ClientKey>,
    pub(super) passwords: Passwords,
    /// Sessions whose use was noted lately.
    pub(super) touched: Touched,
    /// Held while a worklist is parsed, so that many at once take one core and not all.
    pub(super) parsing: Arc<Semaphore>,
    /// Held while wishes are verified whose client sent too many wrong seals.
    pub(super) doubtful: Arc<Semaphore>,
}

impl AppState {
    /// Sends something to the owner loop and waits until it is in the ledger, on the disk. `Err` says in words why not.
    pub(super) async fn command<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Command,
    ) -> Result<T, String> {
        let (reply, replied) = oneshot::channel();
        self.commands.try_send(command(reply)).map_err(|e| match e {
            TrySendError::Full(_) => "Larder has its hands full; try again in a moment",
            TrySendError::Closed(_) => "Larder is being stopped",
        })?;
        match timeout(LEDGER, replied).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err("it was not taken in; try again in a moment".into()),
            Err(_) => Err("Larder is busy for longer than usual; try again in a moment".into()),
        }
    }

    /// Who the client at an address is, whose connection came just now.
    pub(super) async fn client(&self, address: IpAddr) -> Client {
        let address = address.to_canonical();
        let came = Instant::now();
        let link = loop {
            match self.neighbours.link_address(address, came) {
                Ok(link) => break link,
                Err(wait) => tokio::time::sleep(wait).await,
            }
        };
        Client {
            address,
            key: ClientKey::new(address, link),
            is_local: super::auth::is_local(address) || link.is_some(),
        }
    }

    /// True of a client that signed in before: since the process began, or from an address that a session was last
    /// used from.
    pub(super) fn is_known(&self, client: &Client) -> bool {
        if self.known.has(client.key) {
            return true;
        }
        let address = client.address.to_string();
        let snapshot = self.snapshot.borrow();
        snapshot.access.sessions.iter().any(|s| s.from == address)
    }
}

/// Shared by all connections.
pub(super) type Shared = Arc<AppState>;
