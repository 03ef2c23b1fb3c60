//! The part of the ledger about who belongs to the house: devices let in on the page, ids turned
//! away, and the end of what a lost device still wished.

use super::{Ledger, LedgerError, origin_text, text_of};
use crate::model::{Answer, DeviceName, Holder, Origin, Time};
use crate::plan::{Fact, Pair, World};
use rusqlite::params;

const DOING: &str = "read who was let in";

impl Ledger {
    /// Records a fact of this kind; others are not its matter.
    pub(super) fn record_pair(&mut self, fact: &Fact) -> Result<(), LedgerError> {
        match fact {
            Fact::Paired(device, pair) => {
                let device = self.device(&Holder::Device(device.clone()))?;
                self.run(
                    "INSERT OR REPLACE INTO pairs (device, peer, at, section)
                     VALUES (?1, ?2, ?3, ?4)",
                    params![device, pair.id, pair.at.0, pair.section],
                )?;
            }
            Fact::Unpaired(name) => {
                let device = self.device(&Holder::Device(name.clone()))?;
                self.run("DELETE FROM pairs WHERE device = ?1", [device])?;
            }
            Fact::TurnedAway(id, at) => {
                self.run(
                    "INSERT OR REPLACE INTO turned_away (peer, at) VALUES (?1, ?2)",
                    params![id, at.0],
                )?;
            }
            Fact::NotTurnedAway(id) => {
                self.run("DELETE FROM turned_away WHERE peer = ?1", [id])?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads what is remembered of this kind.
    pub(super) fn load_pairs(&self, world: &mut World) -> Result<(), LedgerError> {
        const PAIRS: &str =
            "SELECT d.name, p.peer, p.at, p.section FROM pairs p JOIN devices d ON d.id = p.device";
        self.each(PAIRS, |row| {
            let name: String = row.get(0).map_err(self.fail(DOING))?;
            let name = DeviceName::new(&name).map_err(|e| self.damaged(e.to_string()))?;
            let id = row.get(1).map_err(self.fail(DOING))?;
            let at = Time(row.get(2).map_err(self.fail(DOING))?);
            let section = row.get(3).map_err(self.fail(DOING))?;
            world.note(&Fact::Paired(name, Pair { id, at, section }));
            Ok(())
        })?;
        self.each("SELECT peer, at FROM turned_away", |row| {
            let id = row.get(0).map_err(self.fail(DOING))?;
            let at = Time(row.get(1).map_err(self.fail(DOING))?);
            world.note(&Fact::TurnedAway(id, at));
            Ok(())
        })
    }

    /// Ends what a page still wished; each of its open wishes has this answer.
    pub fn drop_queue(&mut self, origin: &Origin, why: &str) -> Result<usize, LedgerError> {
        self.run(
            "UPDATE wishes SET state = 2, answer = ?2 WHERE origin = ?1 AND state < 2",
            params![origin_text(origin), text_of(&Answer::Refused(why.to_owned()))],
        )
    }

    /// Forgets a remembered text.
    pub fn forget_meta(&mut self, key: &str) -> Result<(), LedgerError> {
        self.run("DELETE FROM meta WHERE key = ?1", [key])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_who_was_let_in_and_who_was_turned_away() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("l");
        let name = |text| DeviceName::new(text).unwrap();
        let pair = |id: &str| Pair { id: id.into(), at: Time(-5), section: true };
        let mut ledger = Ledger::open(&file).unwrap();
        for fact in [
            Fact::Paired(name("a"), pair("A")),
            Fact::Paired(name("b"), pair("B")),
            Fact::Paired(name("b"), pair("C")),
            Fact::Unpaired(name("a")),
            Fact::TurnedAway("D".into(), Time(7)),
            Fact::TurnedAway("E".into(), Time(8)),
            Fact::NotTurnedAway("D".into()),
        ] {
            ledger.record(&fact).unwrap();
        }
        ledger.commit().unwrap();
        drop(ledger);
        let world = Ledger::open(&file).unwrap().load().unwrap();
        assert_eq!(world.pairs.into_iter().collect::<Vec<_>>(), [(name("b"), pair("C"))]);
        assert_eq!(world.turned_away.into_iter().collect::<Vec<_>>(), [("E".into(), Time(8))]);
    }
}
