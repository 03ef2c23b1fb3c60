//! The night's part of the ledger: what was compared, and the verification of the ledger itself.

use super::{Ledger, LedgerError};
use rusqlite::{Connection, OpenFlags, params};
use std::time::Duration;

/// How often it is asked whether to stop.
const ASK: Duration = Duration::from_millis(20);

impl Ledger {
    /// Inodes that were compared, each with what it was then.
    pub fn compared(&self) -> Result<Vec<(u64, u64)>, LedgerError> {
        const DOING: &str = "read what was compared";
        let mut query =
            self.db.prepare("SELECT ino, mark FROM compared").map_err(self.fail(DOING))?;
        let rows = query.query_map([], |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned()))
        });
        rows.and_then(Iterator::collect).map_err(self.fail(DOING))
    }

    /// Remembers what was compared, and forgets what is not so any more.
    pub fn note_compared(
        &mut self,
        compared: &[(u64, u64)],
        outdated: &[u64],
    ) -> Result<(), LedgerError> {
        for ino in outdated {
            self.run("DELETE FROM compared WHERE ino = ?1", [ino.cast_signed()])?;
        }
        for (ino, mark) in compared {
            self.run(
                "INSERT OR REPLACE INTO compared (ino, mark) VALUES (?1, ?2)",
                params![ino.cast_signed(), mark.cast_signed()],
            )?;
        }
        Ok(())
    }

    /// Asks SQLite to verify the whole database, as it is on the disk, and breaks off when `stop` says so: then
    /// the answer is `None`. Otherwise it is what is damaged, if anything.
    pub fn verify_until(
        &self,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Option<String>>, LedgerError> {
        const DOING: &str = "verify the ledger";
        // On a connection of its own, beside which the ledger can be asked to stop.
        let db = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .map_err(self.fail(DOING))?;
        let interrupt = db.get_interrupt_handle();
        let found = std::thread::scope(|scope| {
            let work = scope.spawn(|| {
                let db = db;
                db.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0))
            });
            while !work.is_finished() {
                if stop() {
                    interrupt.interrupt();
                }
                std::thread::sleep(ASK);
            }
            work.join()
        });
        match found {
            Ok(Ok(found)) => Ok(Some((found != "ok").then_some(found))),
            Ok(Err(e))
                if e.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) =>
            {
                Ok(None)
            }
            Ok(Err(e)) => Err(self.fail(DOING)(e)),
            Err(_) => Err(self.damaged("it could not be verified")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_what_was_compared() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ledger.sqlite");
        let mut ledger = Ledger::open(&file).unwrap();
        ledger.note_compared(&[(1, 10), (u64::MAX, u64::MAX), (3, 30)], &[]).unwrap();
        ledger.note_compared(&[(3, 31)], &[1, 99]).unwrap();
        ledger.commit().unwrap();
        drop(ledger);
        let mut compared = Ledger::open(&file).unwrap().compared().unwrap();
        compared.sort_unstable();
        assert_eq!(compared, [(3, 31), (u64::MAX, u64::MAX)]);
    }

    #[test]
    fn verifies_and_stops_when_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(&dir.path().join("ledger.sqlite")).unwrap();
        assert_eq!(ledger.verify_until(&mut || false).unwrap(), Some(None));
        let many: Vec<_> = (0..400_000).map(|ino| (ino, ino * 7)).collect();
        ledger.note_compared(&many, &[]).unwrap();
        ledger.commit().unwrap();
        assert_eq!(ledger.verify_until(&mut || true).unwrap(), None);
        assert_eq!(ledger.verify_until(&mut || false).unwrap(), Some(None));
    }
}
