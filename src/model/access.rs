//! Who may use the common page over the network: the password that was chosen there, and the browsers that are
//! signed in. Plain values; the ledger keeps them, the web compares them.

use super::Time;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How long a session lasts, in seconds: 30 days.
pub const SESSION_SECONDS: i64 = 30 * 86_400;
/// Most sessions at once; of more, the one that was used longest ago ends.
pub const MAX_SESSIONS: usize = 64;

/// What the ledger has of it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// The password that was chosen on the page, if one was.
    pub password: Option<Password>,
    /// The browsers that signed in.
    pub sessions: Vec<Session>,
    /// Drawn once for each ledger; makes what browsers are told to keep impossible to forge.
    pub secret: String,
}

/// A password that was chosen on the page.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Password {
    /// What is kept of it, by which it is known again and can't be read.
    pub hash: String,
    /// When it was chosen.
    pub at: Time,
    /// The address of whoever chose it.
    pub from: String,
}

/// One browser that is signed in.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// Eight hexadecimal digits, to name it by; no secret.
    pub id: String,
    /// SHA-256 of its token, in hexadecimal. The token itself is only in the browser.
    pub hash: String,
    /// Tells which password it signed in with: it ends when that is not the password any more.
    pub under: String,
    /// The browser, in words.
    pub label: String,
    /// The address it was last used from.
    pub from: String,
    /// When it signed in.
    pub since: Time,
    /// When it was last used, to the hour.
    pub used: Time,
}

impl Session {
    /// True when it has lasted as long as it may. A clock that went back ends nothing.
    pub fn is_over(&self, now: Time) -> bool {
        now.since(self.since) >= SESSION_SECONDS
    }
}

// Without the secrets, so that no log gets them.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("password", &self.password)
            .field("sessions", &self.sessions)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, from, .. } = self;
        f.debug_struct("Password").field("at", at).field("from", from).finish_non_exhaustive()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, label, from, since, used, .. } = self;
        f.debug_struct("Session")
            .field("id", id)
            .field("label", label)
            .field("from", from)
            .field("since", since)
            .field("used", used)
            .finish_non_exhaustive()
    }
}
