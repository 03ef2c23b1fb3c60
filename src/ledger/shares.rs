//! The shares' part of the ledger: what is shared with whom, the names in `shared/`, and sums.

use super::{Ledger, LedgerError, origin_text};
use crate::model::{FileId, Holder, RelPath, Time, WishId};
use crate::plan::{Fact, Share, ShareState, World};
use rusqlite::{Row, params};

impl Ledger {
    /// Records a fact of a share; others are not its matter.
    pub(super) fn record_share(&mut self, fact: &Fact) -> Result<(), LedgerError> {
        match fact {
            Fact::Share(name, share) => {
                // A map of texts always has a JSON form.
                let peers = serde_json::to_string(&share.peers).unwrap_or_default();
                let open = share.open.as_ref().and_then(|open| serde_json::to_string(open).ok());
                self.run(
                    "INSERT OR REPLACE INTO shares
                     (name, path, whom, peers, at, origin, wish, state, open)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                    params![
                        name,
                        share.path.as_bytes(),
                        share.with,
                        peers,
                        share.at.0,
                        origin_text(&share.origin),
                        share.wish.to_string(),
                        number_of(share.state),
                        open
                    ],
                )?;
            }
            Fact::NoShare(name) => {
                self.run("DELETE FROM shares WHERE name = ?1", [name])?;
                // '0' is the character after '/': everything below the folder.
                let (from, to) = (format!("{name}/"), format!("{name}0"));
                self.run(
                    "DELETE FROM share_links WHERE path >= ?1 AND path < ?2",
                    params![from.as_bytes(), to.as_bytes()],
                )?;
                self.forget_device(&Holder::shared(name))?;
            }
            Fact::Shared(path, id) => {
                self.run(
                    "INSERT OR REPLACE INTO share_links (path, ino, size, mtime)
                     VALUES (?1, ?2, ?3, ?4)",
                    params![
                        path.as_bytes(),
                        id.ino.cast_signed(),
                        id.size.cast_signed(),
                        id.mtime.0
                    ],
                )?;
            }
            Fact::NotShared(path) => {
                self.run("DELETE FROM share_links WHERE path = ?1", [path.as_bytes()])?;
            }
            Fact::Sum(id, sha1) => {
                self.run(
                    "INSERT OR REPLACE INTO sums (ino, size, mtime, sha1) VALUES (?1, ?2, ?3, ?4)",
                    params![id.ino.cast_signed(), id.size.cast_signed(), id.mtime.0, &sha1[..]],
                )?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads what is remembered of shares.
    pub(super) fn load_shares(&self, world: &mut World) -> Result<(), LedgerError> {
        const SHARES: &str =
            "SELECT name, path, whom, peers, at, origin, wish, state, open FROM shares";
        self.each(SHARES, |row| {
            let text = |at| row.get::<_, String>(at).map_err(self.fail(DOING));
            let name = text(0)?;
            let damaged = |what: &str| self.damaged(format!("share {name}: {what}"));
            let peers = serde_json::from_str(&text(3)?).map_err(|e| damaged(&e.to_string()))?;
            let wish = WishId::parse(&text(6)?).ok_or_else(|| damaged("its wish has no id"))?;
            let number: i64 = row.get(7).map_err(self.fail(DOING))?;
            let state = state_of(number).ok_or_else(|| damaged("its state is unknown"))?;
            let open: Option<String> = row.get(8).map_err(self.fail(DOING))?;
            let open = open.map(|text| serde_json::from_str(&text)).transpose();
            let share = Share {
                path: self.path_in(row, 1)?,
                with: text(2)?,
                peers,
                at: Time(row.get(4).map_err(self.fail(DOING))?),
                origin: self.origin(&text(5)?)?,
                wish,
                state,
                open: open.map_err(|e| damaged(&e.to_string()))?,
            };
            world.note(&Fact::Share(name, share));
            Ok(())
        })?;
        self.each("SELECT path, ino, size, mtime FROM share_links", |row| {
            let id = id_in(row, 1).map_err(self.fail(DOING))?;
            world.note(&Fact::Shared(self.path_in(row, 0)?, id));
            Ok(())
        })?;
        self.each("SELECT ino, size, mtime, sha1 FROM sums", |row| {
            let id = id_in(row, 0).map_err(self.fail(DOING))?;
            let sha1 = row.get(3).map_err(self.fail(DOING))?;
            world.note(&Fact::Sum(id, sha1));
            Ok(())
        })
    }

    /// Forgets all that is remembered of somebody who holds links.
    fn forget_device(&mut self, device: &Holder) -> Result<(), LedgerError> {
        for sql in [
            "DELETE FROM links WHERE device = (SELECT id FROM devices WHERE name = ?1)",
            "DELETE FROM rules WHERE device = (SELECT id FROM devices WHERE name = ?1)",
            "DELETE FROM evicted WHERE device = (SELECT id FROM devices WHERE name = ?1)",
            "DELETE FROM paces WHERE device = (SELECT id FROM devices WHERE name = ?1)",
            "DELETE FROM devices WHERE name = ?1",
        ] {
            self.run(sql, [device.encode()])?;
        }
        self.devices.remove(device);
        Ok(())
    }

    pub(super) fn each(
        &self,
        sql: &str,
        mut take: impl FnMut(&Row<'_>) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let mut query = self.db.prepare(sql).map_err(self.fail(DOING))?;
        let mut rows = query.query([]).map_err(self.fail(DOING))?;
        while let Some(row) = rows.next().map_err(self.fail(DOING))? {
            take(row)?;
        }
        Ok(())
    }

    fn path_in(&self, row: &Row<'_>, column: usize) -> Result<RelPath, LedgerError> {
        let bytes: Vec<u8> = row.get(column).map_err(self.fail(DOING))?;
        RelPath::new(&bytes).map_err(|e| self.damaged(e.to_string()))
    }
}

const DOING: &str = "read the shares in the ledger";

fn id_in(row: &Row<'_>, first: usize) -> rusqlite::Result<FileId> {
    Ok(FileId {
        ino: row.get::<_, i64>(first)?.cast_unsigned(),
        size: row.get::<_, i64>(first + 1)?.cast_unsigned(),
        mtime: Time(row.get(first + 2)?),
    })
}

fn number_of(state: ShareState) -> i64 {
    match state {
        ShareState::Making => 0,
        ShareState::Made => 1,
        ShareState::Handed => 2,
        ShareState::Ending { handed: false } => 3,
        ShareState::Ending { handed: true } => 4,
        ShareState::Revoked => 5,
    }
}

fn state_of(number: i64) -> Option<ShareState> {
    Some(match number {
        0 => ShareState::Making,
        1 => ShareState::Made,
        2 => ShareState::Handed,
        3 => ShareState::Ending { handed: false },
        4 => ShareState::Ending { handed: true },
        5 => ShareState::Revoked,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Action, Bytes, DeviceName, Link, Origin, Wish};
    use crate::plan::{Open, Version, Why};

    #[test]
    fn remembers_shares_over_a_restart_and_forgets_those_that_are_over() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ledger.sqlite");
        let path = |text: &str| RelPath::new(text.as_bytes()).unwrap();
        let id = FileId { ino: u64::MAX, size: 3, mtime: Time(-4) };
        let share = |state| Share {
            path: path("a/x"),
            with: "Friend".into(),
            peers: [("ID".to_owned(), "Friend".to_owned())].into(),
            at: Time(7),
            origin: Origin::Device(DeviceName::new("HTCphone").unwrap()),
            wish: WishId::parse("00112233445566778899").unwrap(),
            state,
            open: None,
        };
        let open = Open { limit: Some(Bytes(5)), destroyed: Some(Time(8)), revoked: None };
        let joined = Share { open: Some(open), ..share(ShareState::Made) };
        let people = Holder::shared;
        let link = Link { id, charge: Bytes(3), used: 0 };
        let mut expected = World::default();
        let mut ledger = Ledger::open(&file).unwrap();
        for fact in [
            Fact::Share("one".into(), share(ShareState::Handed)),
            Fact::Share("two".into(), share(ShareState::Ending { handed: true })),
            Fact::Share("two.".into(), share(ShareState::Making)),
            Fact::Shared(path("one/x"), id),
            Fact::Shared(path("two/x"), id),
            Fact::Shared(path("two./x"), id),
            Fact::Shared(path("one/y"), id),
            Fact::NotShared(path("one/y")),
            Fact::NoShare("two".into()),
            Fact::Sum(id, [9; 20]),
            Fact::Share("Photos é".into(), joined.clone()),
            Fact::Share("over".into(), joined),
            Fact::Link(people("Photos é"), path("x"), link),
            Fact::Follow(people("Photos é"), RelPath::root()),
            Fact::Link(people("over"), path("x"), link),
            Fact::Except(people("over"), path("y")),
            Fact::NoShare("over".into()),
        ] {
            ledger.record(&fact).unwrap();
            expected.note(&fact);
        }
        ledger.commit().unwrap();
        drop(ledger);
        let world = Ledger::open(&file).unwrap().load().unwrap();
        assert_eq!(world.shares, expected.shares);
        assert_eq!(world.shares.len(), 3);
        let joined = world.replicas.keys().collect::<Vec<_>>();
        assert_eq!(joined, [&people("Photos é")]);
        let replica = &world.replicas[joined[0]];
        assert!(replica.links.get(&path("x")).is_some() && replica.wants(&path("new")));
        for (at, there) in [("one/x", true), ("one/y", false), ("two/x", false), ("two./x", true)] {
            assert_eq!(world.shared.get(&path(at)), there.then_some(&id), "{at}");
        }
        assert_eq!(world.sum(&id), Some([9; 20]));
        assert_eq!(world.sum(&FileId { size: 4, ..id }), None);
    }

    #[test]
    fn who_holds_links_is_stored_as_a_text() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ledger.sqlite");
        let (phone, people) = (Holder::decode("HTCphone").unwrap(), Holder::shared("Photos é"));
        let (path, id) = (RelPath::new(b"a/x").unwrap(), FileId::default());
        let mut ledger = Ledger::open(&file).unwrap();
        for holder in [&phone, &people] {
            ledger.record(&Fact::Follow(holder.clone(), path.clone())).unwrap();
        }
        let why = Why::Edited(people.clone());
        let version = Version { path: path.clone(), id, at: Time(1), why, successor: None };
        ledger.record(&Fact::Version(1, version)).unwrap();
        let wish = Wish {
            id: WishId::parse("00112233445566778899").unwrap(),
            action: Action::Get,
            path,
            to: vec![phone, people],
            from: None,
            with: None,
            limit_mb: None,
            seen: None,
            at: Time(1),
        };
        ledger.receive(&Origin::Home, &wish, Time(1)).unwrap();
        ledger.commit().unwrap();
        let text = |sql: &str| ledger.db.query_row(sql, [], |r| r.get::<_, String>(0)).unwrap();
        assert_eq!(text("SELECT name FROM devices WHERE id = 1"), "HTCphone");
        assert_eq!(text("SELECT name FROM devices WHERE id = 2"), "shared/Photos é");
        assert_eq!(text("SELECT why FROM versions"), r#"{"why":"edited","by":"shared/Photos é"}"#);
        let wished = text("SELECT wish FROM wishes");
        assert!(wished.contains(r#""to":["HTCphone","shared/Photos é"]"#), "{wished}");
        assert_eq!(ledger.open_wishes(&Origin::Home, 0, 9).unwrap()[0].wish, wish);
        assert_eq!(Ledger::open(&file).unwrap().load().unwrap().replicas.len(), 2);
    }
}
