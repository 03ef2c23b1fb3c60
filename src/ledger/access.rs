//! The ledger's part of who may use the common page: the password chosen there, and the sessions.

use super::{Ledger, LedgerError};
use crate::model::{Access, Password, Session, Time};
use rusqlite::params;

/// The ledger's name for the password.
const PASSWORD: &str = "web-password";
/// The ledger's name for the secret.
pub const ACCESS_SECRET: &str = "web-secret";

impl Ledger {
    /// All of it. The secret is empty until somebody remembers one as [`ACCESS_SECRET`].
    pub fn access(&self) -> Result<Access, LedgerError> {
        const DOING: &str = "read who is signed in";
        let password = match self.meta(PASSWORD)? {
            Some(text) => {
                Some(serde_json::from_str(&text).map_err(|e| self.damaged(e.to_string()))?)
            }
            None => None,
        };
        let mut query = self
            .db
            .prepare(
                "SELECT id, hash, under, label, address, since, used FROM sessions ORDER BY since",
            )
            .map_err(self.fail(DOING))?;
        let rows = query.query_map([], |row| {
            Ok(Session {
                id: row.get(0)?,
                hash: row.get(1)?,
                under: row.get(2)?,
                label: row.get(3)?,
                from: row.get(4)?,
                since: Time(row.get(5)?),
                used: Time(row.get(6)?),
            })
        });
        let sessions = rows.and_then(Iterator::collect).map_err(self.fail(DOING))?;
        Ok(Access { password, sessions, secret: self.meta(ACCESS_SECRET)?.unwrap_or_default() })
    }

    /// From here on everything up to [`Self::commit`] can be taken back.
    pub fn begin_access(&mut self) -> Result<(), LedgerError> {
        self.begin()?;
        self.db.execute_batch("SAVEPOINT access").map_err(self.fail("begin to write"))
    }

    /// Takes back what was recorded since [`Self::begin_access`], and nothing before it.
    pub fn take_back_access(&mut self) -> Result<(), LedgerError> {
        if self.db.is_autocommit() {
            // SQLite took everything back by itself.
            self.in_transaction = false;
            return Ok(());
        }
        self.db
            .execute_batch("ROLLBACK TO access; RELEASE access")
            .map_err(self.fail("take back what could not be written"))
    }

    /// Remembers the password.
    pub fn set_password(&mut self, password: &Password) -> Result<(), LedgerError> {
        self.set_meta(PASSWORD, &serde_json::to_string(password).unwrap_or_default())
    }

    /// Remembers a browser that signed in.
    pub fn add_session(&mut self, s: &Session) -> Result<(), LedgerError> {
        self.run(
            "INSERT INTO sessions (id, hash, under, label, address, since, used)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![s.id, s.hash, s.under, s.label, s.from, s.since.0, s.used.0],
        )?;
        Ok(())
    }

    /// Forgets one; `false` when there is none of that name.
    pub fn remove_session(&mut self, id: &str) -> Result<bool, LedgerError> {
        Ok(self.run("DELETE FROM sessions WHERE id = ?1", [id])? > 0)
    }

    /// Remembers when and from where one was used last.
    pub fn note_session(&mut self, id: &str, from: &str, at: Time) -> Result<(), LedgerError> {
        let row = params![id, from, at.0];
        self.run("UPDATE sessions SET address = ?2, used = ?3 WHERE id = ?1", row)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::MIGRATIONS;
    use super::*;

    fn session(id: &str) -> Session {
        Session {
            id: id.into(),
            hash: format!("hash of {id}"),
            under: "00".into(),
            label: "Firefox on Android".into(),
            from: "192.168.1.5".into(),
            since: Time(5),
            used: Time(6),
        }
    }

    #[test]
    fn a_ledger_of_the_former_form_knows_nobody_and_then_everybody() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ledger.sqlite");
        let before = MIGRATIONS.iter().position(|m| m.contains("TABLE sessions")).unwrap();
        let db = rusqlite::Connection::open(&file).unwrap();
        for migration in &MIGRATIONS[..before] {
            db.execute_batch(migration).unwrap();
        }
        db.pragma_update(None, "user_version", i64::try_from(before).unwrap()).unwrap();
        db.execute_batch("INSERT INTO meta VALUES ('epoch', 'e1'), ('key:', 'k1');").unwrap();
        drop(db);
        let mut ledger = Ledger::open(&file).unwrap();
        assert_eq!(ledger.access().unwrap(), Access::default());
        assert_eq!(ledger.meta("epoch").unwrap().as_deref(), Some("e1"));
        let password = Password { hash: "h".into(), at: Time(4), from: "::1".into() };
        ledger.set_password(&password).unwrap();
        ledger.set_meta(ACCESS_SECRET, "s").unwrap();
        for id in ["a", "b"] {
            ledger.add_session(&session(id)).unwrap();
        }
        ledger.note_session("b", "10.0.0.1", Time(9)).unwrap();
        assert!(ledger.remove_session("a").unwrap());
        assert!(!ledger.remove_session("a").unwrap());
        ledger.commit().unwrap();
        drop(ledger);
        let used = Session { from: "10.0.0.1".into(), used: Time(9), ..session("b") };
        let access = Access { password: Some(password), sessions: vec![used], secret: "s".into() };
        assert_eq!(Ledger::open(&file).unwrap().access().unwrap(), access);
    }

    #[test]
    fn no_log_gets_a_secret() {
        let password = Password { hash: "secret-hash".into(), at: Time(4), from: "::1".into() };
        let mut s = session("a");
        (s.hash, s.under) = ("secret-token".into(), "secret-mark".into());
        let access =
            Access { password: Some(password), sessions: vec![s], secret: "secret".into() };
        assert!(!format!("{access:?}").contains("secret"));
    }
}
