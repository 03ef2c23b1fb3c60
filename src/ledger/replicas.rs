//! The ledger's part about room and mass changes: what made room on each device, and what devices do to the
//! files that they had.

use super::{Ledger, LedgerError};
use crate::model::{Bytes, Holder, RelPath, Time};
use crate::plan::{EVICTED, Evicted, Fact, World};
use rusqlite::params;
use std::collections::HashMap;

const DOING: &str = "read what the ledger has of devices";

impl Ledger {
    /// Records a fact of room or mass changes; others are not its matter.
    pub(super) fn record_replica(&mut self, fact: &Fact) -> Result<(), LedgerError> {
        // Small structs of numbers always have a JSON form.
        match fact {
            Fact::Evicted(device, Evicted { path, size, at }) => {
                let device = self.device(device)?;
                self.run(
                    "DELETE FROM evicted WHERE device = ?1 AND path = ?2",
                    params![device, path.as_bytes()],
                )?;
                self.run(
                    "INSERT INTO evicted (device, path, size, at) VALUES (?1, ?2, ?3, ?4)",
                    params![device, path.as_bytes(), size.0.cast_signed(), at.0],
                )?;
                self.run(
                    "DELETE FROM evicted WHERE device = ?1 AND seq <= (SELECT seq FROM evicted
                     WHERE device = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
                    params![device, i64::try_from(EVICTED).unwrap_or(i64::MAX)],
                )?;
            }
            Fact::ChangeRate(device, change_rate) => {
                let change_rate = serde_json::to_string(change_rate).unwrap_or_default();
                self.pace_of(device, "pace", Some(&change_rate))?;
            }
            Fact::MassChange(device, mass_change) => {
                let mass_change = serde_json::to_string(mass_change).unwrap_or_default();
                self.pace_of(device, "storm", Some(&mass_change))?;
            }
            Fact::Resolved(device) => self.pace_of(device, "storm", None)?,
            _ => {}
        }
        Ok(())
    }

    fn pace_of(
        &mut self,
        device: &Holder,
        column: &str,
        text: Option<&str>,
    ) -> Result<(), LedgerError> {
        let device = self.device(device)?;
        self.run(
            &format!(
                "INSERT INTO paces (device, {column}) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET {column} = ?2"
            ),
            params![device, text],
        )?;
        Ok(())
    }

    /// Reads what is remembered of room and mass changes.
    pub(super) fn load_replica(
        &self,
        names: &HashMap<i64, Holder>,
        world: &mut World,
    ) -> Result<(), LedgerError> {
        let device = |id: i64| {
            names.get(&id).cloned().ok_or_else(|| self.damaged(format!("no device {id}")))
        };
        let mut query = self
            .db
            .prepare("SELECT device, path, size, at FROM evicted ORDER BY seq")
            .map_err(self.fail(DOING))?;
        let rows = query.query_map([], |r| {
            Ok((r.get(0)?, r.get::<_, Vec<u8>>(1)?, r.get::<_, i64>(2)?, r.get(3)?))
        });
        for row in rows.map_err(self.fail(DOING))? {
            let (id, path, size, at) = row.map_err(self.fail(DOING))?;
            let path = RelPath::new(&path).map_err(|e| self.damaged(e.to_string()))?;
            let evicted = Evicted { path, size: Bytes(size.cast_unsigned()), at: Time(at) };
            world.note(&Fact::Evicted(device(id)?, evicted));
        }
        let mut query =
            self.db.prepare("SELECT device, pace, storm FROM paces").map_err(self.fail(DOING))?;
        let rows = query.query_map([], |r| {
            Ok((r.get(0)?, r.get::<_, Option<String>>(1)?, r.get::<_, Option<String>>(2)?))
        });
        for row in rows.map_err(self.fail(DOING))? {
            let (id, change_rate, mass_change) = row.map_err(self.fail(DOING))?;
            let damaged = |e: serde_json::Error| self.damaged(format!("pace of {id}: {e}"));
            if let Some(text) = change_rate {
                let change_rate = serde_json::from_str(&text).map_err(damaged)?;
                world.note(&Fact::ChangeRate(device(id)?, change_rate));
            }
            if let Some(text) = mass_change {
                let mass_change = serde_json::from_str(&text).map_err(damaged)?;
                world.note(&Fact::MassChange(device(id)?, mass_change));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{ChangeRate, MassChange};

    #[test]
    fn remembers_what_made_room_and_a_mass_change_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ledger.sqlite");
        let device = Holder::decode("HTCphone").unwrap();
        let evicted = |n: usize| Evicted {
            path: RelPath::new(format!("d/{n}").as_bytes()).unwrap(),
            size: Bytes(n as u64),
            at: Time(n as i64),
        };
        let mut change_rate = ChangeRate::default();
        change_rate.add(Time::from_secs(1_000), 7, 8);
        let mass_change =
            MassChange { first: 9, since: Time(1), at: Time(2), rewritten: 3, deleted: 4 };
        let mut expected = World::default();
        let mut ledger = Ledger::open(&file).unwrap();
        let went = (0..EVICTED + 20).chain([30]).map(|n| Fact::Evicted(device.clone(), evicted(n)));
        let more = [
            Fact::ChangeRate(device.clone(), change_rate),
            Fact::MassChange(device.clone(), mass_change),
        ];
        for fact in went.chain(more) {
            ledger.record(&fact).unwrap();
            expected.note(&fact);
        }
        ledger.commit().unwrap();
        let world = Ledger::open(&file).unwrap().load().unwrap();
        let (a, b) = (&world.replicas[&device], &expected.replicas[&device]);
        assert_eq!(
            (&a.evicted, &a.change_rate, &a.mass_change),
            (&b.evicted, &b.change_rate, &b.mass_change)
        );
        assert_eq!((a.evicted.len(), a.evicted[0].path.as_bytes()), (EVICTED, &b"d/30"[..]));
        ledger.record(&Fact::Resolved(device.clone())).unwrap();
        ledger.commit().unwrap();
        let world = Ledger::open(&file).unwrap().load().unwrap();
        assert_eq!(world.replicas[&device].mass_change, None);
        assert_eq!(world.replicas[&device].change_rate, b.change_rate);
    }
}
