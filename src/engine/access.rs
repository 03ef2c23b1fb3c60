//! Who may use the common page over the network: the owner loop is the only one that writes it down.

use super::{Engine, EngineError, remembered};
use crate::ledger::ACCESS_SECRET;
use crate::model::{Access, MAX_SESSIONS, Password, Session, Time};

impl Engine {
    /// The identity of the common page.
    pub fn common_page(&self) -> &str {
        &self.epoch
    }

    /// The password that was chosen and the browsers that are signed in. Draws the secret of a new ledger.
    pub fn access(&mut self) -> Result<Access, EngineError> {
        let mut access = self.ledger.access()?;
        if access.secret.is_empty() {
            access.secret = remembered(&mut self.ledger, ACCESS_SECRET)?;
            // On the disk before a browser is told anything that was made with it.
            self.settle_down()?;
        }
        Ok(access)
    }

    /// Remembers a password and the browser that chose it; `false`, and nothing is changed, when there was a password.
    pub fn claim(
        &mut self,
        password: &Password,
        session: &Session,
        now: Time,
    ) -> Result<bool, EngineError> {
        if self.ledger.access()?.password.is_some() {
            return Ok(false);
        }
        self.whole(|engine| {
            engine.ledger.set_password(password)?;
            engine.add_session(session, now)
        })?;
        log::warn!("the password of the page was chosen from {}", password.from);
        Ok(true)
    }

    /// Remembers a browser that signed in. Those whose time is over are forgotten, and of too many those that were
    /// used longest ago.
    pub fn sign_in(&mut self, session: &Session, now: Time) -> Result<(), EngineError> {
        self.whole(|engine| engine.add_session(session, now))
    }

    fn add_session(&mut self, session: &Session, now: Time) -> Result<(), EngineError> {
        let mut sessions = self.ledger.access()?.sessions;
        sessions.sort_by_key(|s| (!s.is_over(now), s.used));
        let over = sessions.iter().filter(|s| s.is_over(now)).count();
        let too_many = (sessions.len() + 1).saturating_sub(MAX_SESSIONS);
        for gone in sessions.iter().take(over.max(too_many)) {
            self.ledger.remove_session(&gone.id)?;
        }
        self.ledger.add_session(session)?;
        log::info!("{} signed in from {}", session.label, session.from);
        Ok(())
    }

    /// Forgets a browser; `false` when it is not known.
    pub fn sign_out(&mut self, id: &str) -> Result<bool, EngineError> {
        self.whole(|engine| Ok(engine.ledger.remove_session(id)?))
    }

    /// Makes a change that is on the disk when this returns, or is not made: nobody is shown a password as in force
    /// that a power cut takes away again. After an error the ledger may have lost more, and the engine has to be opened
    /// anew.
    fn whole<T>(
        &mut self,
        change: impl FnOnce(&mut Self) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        self.ledger.begin_access()?;
        let done = change(self).and_then(|done| self.settle_down().map(|()| done));
        if done.is_err()
            && let Err(e) = self.ledger.take_back_access()
        {
            log::error!("{e}");
        }
        done
    }

    /// Notes that a browser was used. Reaches the disk with whatever comes next: nothing is lost with it.
    pub fn session_used(&mut self, id: &str, from: &str, at: Time) -> Result<(), EngineError> {
        Ok(self.ledger.note_session(id, from, at)?)
    }
}
