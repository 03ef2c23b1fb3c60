//! The ledger: what the file system can't tell, in SQLite on the drive.
//!
//! [`Fact`]s and wishes in; the remembered part of the [`World`] out. Write-ahead log with
//! `synchronous=FULL`: what [`Ledger::commit`] returned from is on the disk. Losing the ledger loses
//! no file: links are recognised by their inodes, and pages of an older ledger are told apart by its
//! epoch.

mod access;
#[cfg(test)]
mod agreement;
mod error;
mod night;
mod pairs;
mod replicas;
mod shares;
mod wishes;

pub use access::ACCESS_SECRET;
pub use error::LedgerError;
pub use wishes::{Answered, Entry};

use crate::model::{Answer, Bytes, FileId, Holder, Link, RelPath, Time};
use crate::plan::{Fact, Version, World};
use error::has_no_inodes;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use wishes::{origin_text, text_of};

/// Migrations by number; the database's `user_version` says how many have been made.
const MIGRATIONS: [&str; 10] = [
    include_str!("ledger/schema.sql"),
    include_str!("ledger/shares.sql"),
    include_str!("ledger/turns.sql"),
    include_str!("ledger/pairing.sql"),
    include_str!("ledger/room.sql"),
    include_str!("ledger/folders.sql"),
    include_str!("ledger/night.sql"),
    include_str!("ledger/successors.sql"),
    include_str!("ledger/storms.sql"),
    include_str!("ledger/access.sql"),
];

/// The open ledger.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    db: Connection,
    /// The rows of those who hold links.
    devices: HashMap<Holder, i64>,
    in_transaction: bool,
}

impl Ledger {
    /// Opens or begins the ledger at a path.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        Self::with(path, || Connection::open(path))
    }

    /// A copy in memory of the ledger at a path (or an empty one), for a run that changes nothing.
    pub fn open_copy(path: &Path) -> Result<Self, LedgerError> {
        Self::with(path, || {
            let mut db = Connection::open_in_memory()?;
            if path.exists() {
                let from =
                    Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
                rusqlite::backup::Backup::new(&from, &mut db)?.step(-1)?;
            }
            Ok(db)
        })
    }

    /// Gives a damaged ledger another name, so that a new one can be begun and the old one read.
    #[allow(clippy::disallowed_methods, reason = "the ledger's files are SQLite's, not the port's")]
    pub fn put_aside(path: &Path, aside: &Path) -> Result<(), LedgerError> {
        let name = |path: &Path, suffix: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        for suffix in ["", "-wal", "-shm"] {
            match std::fs::rename(name(path, suffix), name(aside, suffix)) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(LedgerError::Folder { path: path.to_owned(), source: e });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn with(
        path: &Path,
        open: impl FnOnce() -> rusqlite::Result<Connection>,
    ) -> Result<Self, LedgerError> {
        Self::set_up(path, open).map_err(|e| match e {
            LedgerError::Sqlite { source, .. }
                if source.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen)
                    && has_no_inodes(path) =>
            {
                LedgerError::NoInodes { path: path.to_owned() }
            }
            e => e,
        })
    }

    fn set_up(
        path: &Path,
        open: impl FnOnce() -> rusqlite::Result<Connection>,
    ) -> Result<Self, LedgerError> {
        let fail =
            |doing| move |source| LedgerError::Sqlite { path: path.to_owned(), doing, source };
        let mut db = open().map_err(fail("open the ledger"))?;
        // FULL: a commit is on the disk when it returns (sqlite.org/pragma.html#pragma_synchronous).
        db.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
             PRAGMA cache_size = -2000; PRAGMA temp_store = MEMORY;",
        )
        .map_err(fail("set the ledger up"))?;
        let found: usize = db
            .query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))
            .map_err(fail("read the ledger's version"))?
            .try_into()
            .unwrap_or(usize::MAX);
        if found > MIGRATIONS.len() {
            let path = path.to_owned();
            return Err(LedgerError::Newer { path, found, known: MIGRATIONS.len() });
        }
        for (number, migration) in MIGRATIONS.iter().enumerate().skip(found) {
            let migrate = |db: &mut Connection| {
                let change = db.transaction()?;
                change.execute_batch(migration)?;
                change.pragma_update(
                    None,
                    "user_version",
                    i64::try_from(number + 1).unwrap_or(i64::MAX),
                )?;
                change.commit()
            };
            migrate(&mut db).map_err(fail("bring the ledger up to date"))?;
        }
        Ok(Self { path: path.to_owned(), db, devices: HashMap::new(), in_transaction: false })
    }

    fn fail(&self, doing: &'static str) -> impl FnOnce(rusqlite::Error) -> LedgerError + use<> {
        let path = self.path.clone();
        move |source| LedgerError::Sqlite { path, doing, source }
    }

    fn damaged(&self, what: impl Into<String>) -> LedgerError {
        LedgerError::Damaged { path: self.path.clone(), what: what.into() }
    }

    /// Reads what is remembered of the devices and the old contents; the masters are the scan's.
    pub fn load(&mut self) -> Result<World, LedgerError> {
        const DOING: &str = "read the ledger";
        let mut world = World::default();
        let mut names = HashMap::new();
        {
            let mut rows =
                self.db.prepare("SELECT id, name FROM devices").map_err(self.fail(DOING))?;
            let rows = rows.query_map([], |r| Ok((r.get(0)?, r.get(1)?)));
            for row in rows.map_err(self.fail(DOING))? {
                let (id, name): (i64, String) = row.map_err(self.fail(DOING))?;
                let name = Holder::decode(&name).map_err(|e| self.damaged(e.to_string()))?;
                names.insert(id, name);
            }
        }
        let device = |id: i64| {
            names.get(&id).cloned().ok_or_else(|| self.damaged(format!("no device {id}")))
        };
        let path = |bytes: &[u8]| RelPath::new(bytes).map_err(|e| self.damaged(e.to_string()));
        let mut links = self
            .db
            .prepare("SELECT device, path, ino, size, mtime, charge, used FROM links")
            .map_err(self.fail(DOING))?;
        let mut rows = links.query([]).map_err(self.fail(DOING))?;
        while let Some(row) = rows.next().map_err(self.fail(DOING))? {
            let read = || -> rusqlite::Result<(i64, &[u8], Link)> {
                let id = FileId {
                    ino: row.get::<_, i64>(2)?.cast_unsigned(),
                    size: row.get::<_, i64>(3)?.cast_unsigned(),
                    mtime: Time(row.get(4)?),
                };
                let charge = Bytes(row.get::<_, i64>(5)?.cast_unsigned());
                Ok((
                    row.get(0)?,
                    row.get_ref(1)?.as_blob().unwrap_or_default(),
                    Link { id, charge, used: row.get(6)? },
                ))
            };
            let (id, bytes, link) = read().map_err(self.fail(DOING))?;
            world.note(&Fact::Link(device(id)?, path(bytes)?, link));
        }
        let mut rules =
            self.db.prepare("SELECT device, rule, path FROM rules").map_err(self.fail(DOING))?;
        let rows = rules
            .query_map([], |r| Ok((r.get(0)?, r.get::<_, String>(1)?, r.get::<_, Vec<u8>>(2)?)));
        for row in rows.map_err(self.fail(DOING))? {
            let (id, rule, bytes): (i64, _, _) = row.map_err(self.fail(DOING))?;
            let (device, path) = (device(id)?, path(&bytes)?);
            world.note(&match rule.as_str() {
                "follow" => Fact::Follow(device, path),
                "except" => Fact::Except(device, path),
                "pin" => Fact::Pin(device, path),
                other => return Err(self.damaged(format!("a rule named {other}"))),
            });
        }
        let mut versions = self
            .db
            .prepare(
                "SELECT number, path, ino, size, mtime, at, why, new_ino, new_size, new_mtime
                 FROM versions",
            )
            .map_err(self.fail(DOING))?;
        let mut rows = versions.query([]).map_err(self.fail(DOING))?;
        while let Some(row) = rows.next().map_err(self.fail(DOING))? {
            let id = |first: usize| -> rusqlite::Result<Option<FileId>> {
                let Some(ino) = row.get::<_, Option<i64>>(first)? else { return Ok(None) };
                Ok(Some(FileId {
                    ino: ino.cast_unsigned(),
                    size: row.get::<_, i64>(first + 1)?.cast_unsigned(),
                    mtime: Time(row.get(first + 2)?),
                }))
            };
            let read = || -> rusqlite::Result<(u64, Vec<u8>, Time, String)> {
                let number = row.get::<_, i64>(0)?.cast_unsigned();
                Ok((number, row.get(1)?, Time(row.get(5)?), row.get(6)?))
            };
            let (number, bytes, at, why) = read().map_err(self.fail(DOING))?;
            let why = serde_json::from_str(&why).map_err(|e| self.damaged(e.to_string()))?;
            let (path, successor) = (path(&bytes)?, id(7).map_err(self.fail(DOING))?);
            // The columns of the first are never null.
            let id = id(2).map_err(self.fail(DOING))?.unwrap_or_default();
            world.note(&Fact::Version(number, Version { path, id, at, why, successor }));
        }
        drop(rows);
        drop(versions);
        self.load_shares(&mut world)?;
        self.load_pairs(&mut world)?;
        self.load_replica(&names, &mut world)?;
        Ok(world)
    }

    /// Begins a transaction if none is open. Facts and wishes go into it until [`Self::commit`].
    fn begin(&mut self) -> Result<(), LedgerError> {
        if !self.in_transaction {
            self.db.execute_batch("BEGIN IMMEDIATE").map_err(self.fail("begin to write"))?;
            self.in_transaction = true;
        }
        Ok(())
    }

    /// Everything recorded so far is on the disk when this returns.
    pub fn commit(&mut self) -> Result<(), LedgerError> {
        if self.in_transaction {
            self.db.execute_batch("COMMIT").map_err(self.fail("bring the ledger to the disk"))?;
            self.in_transaction = false;
        }
        Ok(())
    }

    fn run(&mut self, sql: &str, values: impl rusqlite::Params) -> Result<usize, LedgerError> {
        self.begin()?;
        let run = self.db.prepare_cached(sql).and_then(|mut s| s.execute(values));
        run.map_err(self.fail("write to the ledger"))
    }

    fn device(&mut self, name: &Holder) -> Result<i64, LedgerError> {
        if let Some(&id) = self.devices.get(name) {
            return Ok(id);
        }
        let text = name.encode();
        self.run("INSERT OR IGNORE INTO devices (name) VALUES (?1)", [&text])?;
        let id = self
            .db
            .query_row("SELECT id FROM devices WHERE name = ?1", [&text], |r| r.get(0))
            .map_err(self.fail("look a device up"))?;
        self.devices.insert(name.clone(), id);
        Ok(id)
    }

    /// Records a fact. What the drive itself tells is not recorded.
    pub fn record(&mut self, fact: &Fact) -> Result<(), LedgerError> {
        match fact {
            Fact::Master(..) | Fact::NoMaster(_) | Fact::Folder(_) | Fact::NoFolder(_) => {}
            Fact::Link(device, path, link) => {
                let device = self.device(device)?;
                self.run(
                    "INSERT INTO links (device, path, ino, size, mtime, charge, used)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                     ON CONFLICT DO UPDATE SET ino = ?3, size = ?4, mtime = ?5, charge = ?6,
                     used = ?7",
                    params![
                        device,
                        path.as_bytes(),
                        link.id.ino.cast_signed(),
                        link.id.size.cast_signed(),
                        link.id.mtime.0,
                        link.charge.0.cast_signed(),
                        link.used
                    ],
                )?;
            }
            Fact::NoLink(device, path) => {
                let device = self.device(device)?;
                self.run(
                    "DELETE FROM links WHERE device = ?1 AND path = ?2",
                    params![device, path.as_bytes()],
                )?;
            }
            Fact::Follow(device, path) => self.rule(device, "follow", path)?,
            Fact::Unfollow(device, path) => self.no_rule(device, "follow", path)?,
            Fact::Except(device, path) => self.rule(device, "except", path)?,
            Fact::Unexcept(device, path) => self.no_rule(device, "except", path)?,
            Fact::Pin(device, path) => self.rule(device, "pin", path)?,
            Fact::Unpin(device, path) => self.no_rule(device, "pin", path)?,
            Fact::Used(device, path, at) => {
                let device = self.device(device)?;
                self.run(
                    "UPDATE links SET used = max(used, ?3) WHERE device = ?1 AND path = ?2",
                    params![device, path.as_bytes(), at],
                )?;
            }
            Fact::NotUsedSince(device, path, at) => {
                let device = self.device(device)?;
                self.run(
                    "UPDATE links SET used = min(used, ?3) WHERE device = ?1 AND path = ?2",
                    params![device, path.as_bytes(), at],
                )?;
            }
            Fact::Version(number, v) => {
                let why = serde_json::to_string(&v.why).unwrap_or_default();
                let new = v.successor;
                self.run(
                    "INSERT OR REPLACE INTO versions
                     (number, path, ino, size, mtime, at, why, new_ino, new_size, new_mtime)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                    params![
                        number.cast_signed(),
                        v.path.as_bytes(),
                        v.id.ino.cast_signed(),
                        v.id.size.cast_signed(),
                        v.id.mtime.0,
                        v.at.0,
                        why,
                        new.map(|id| id.ino.cast_signed()),
                        new.map(|id| id.size.cast_signed()),
                        new.map(|id| id.mtime.0)
                    ],
                )?;
            }
            Fact::NoVersion(number) => {
                self.run("DELETE FROM versions WHERE number = ?1", [number.cast_signed()])?;
            }
            Fact::Share(..)
            | Fact::NoShare(_)
            | Fact::Shared(..)
            | Fact::NotShared(_)
            | Fact::Sum(..) => self.record_share(fact)?,
            Fact::Paired(..)
            | Fact::Unpaired(_)
            | Fact::TurnedAway(..)
            | Fact::NotTurnedAway(_) => self.record_pair(fact)?,
            Fact::Evicted(..) | Fact::ChangeRate(..) | Fact::MassChange(..) | Fact::Resolved(_) => {
                self.record_replica(fact)?;
            }
            Fact::Answer(origin, id, answer) => {
                // To wait is not to have begun.
                let state = if matches!(answer, Answer::Waiting(_)) { 0 } else { 2 };
                self.run(
                    "UPDATE wishes SET state = max(state, ?3), answer = ?4 WHERE origin = ?1 AND id = ?2",
                    params![origin_text(origin), id.to_string(), state, text_of(answer)],
                )?;
            }
        }
        Ok(())
    }

    fn rule(&mut self, device: &Holder, rule: &str, path: &RelPath) -> Result<(), LedgerError> {
        let device = self.device(device)?;
        self.run(
            "INSERT OR IGNORE INTO rules (device, rule, path) VALUES (?1, ?2, ?3)",
            params![device, rule, path.as_bytes()],
        )?;
        Ok(())
    }

    fn no_rule(&mut self, device: &Holder, rule: &str, path: &RelPath) -> Result<(), LedgerError> {
        let device = self.device(device)?;
        self.run(
            "DELETE FROM rules WHERE device = ?1 AND rule = ?2 AND path = ?3",
            params![device, rule, path.as_bytes()],
        )?;
        Ok(())
    }

    /// A remembered text.
    pub fn meta(&self, key: &str) -> Result<Option<String>, LedgerError> {
        self.db
            .query_row("SELECT value FROM meta WHERE key = ?1", [key], |r| r.get(0))
            .optional()
            .map_err(self.fail("read the ledger"))
    }

    /// Remembers a text.
    pub fn set_meta(&mut self, key: &str, value: &str) -> Result<(), LedgerError> {
        self.run(
            "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2",
            [key, value],
        )?;
        Ok(())
    }

    /// Asks SQLite to verify the whole database; `None` when it is sound.
    pub fn verify(&self) -> Result<Option<String>, LedgerError> {
        let found: String = self
            .db
            .query_row("PRAGMA integrity_check(1)", [], |r| r.get(0))
            .map_err(self.fail("verify the ledger"))?;
        Ok((found != "ok").then_some(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Action, DeviceName, Origin, Wish, WishId};
    use crate::plan::Why;

    fn wish(id: &str) -> Wish {
        Wish {
            id: WishId::parse(id).unwrap(),
            action: Action::Get,
            path: RelPath::new(b"a/\xff").unwrap(),
            to: vec![Holder::decode("HTCphone").unwrap()],
            from: None,
            with: None,
            limit_mb: None,
            seen: Some(crate::model::Seen { size: 1, mtime: 2 }),
            at: Time::from_secs(5),
        }
    }

    #[test]
    fn remembers_facts_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ledger.sqlite");
        let device = Holder::decode("HTCphone").unwrap();
        let path = RelPath::new(b"a/\xff").unwrap();
        let id = FileId { ino: u64::MAX, size: 3, mtime: Time(-4) };
        let link = Link { id, charge: Bytes(5), used: 6 };
        let (at, why) = (Time(7), Why::Edited(device.clone()));
        let old = Version { path: path.clone(), id, at, why, successor: None };
        let replaced = Version { successor: Some(FileId { ino: 9, ..id }), ..old.clone() };
        let mut expected = World::default();
        let mut ledger = Ledger::open(&file).unwrap();
        for fact in [
            Fact::Link(device.clone(), path.clone(), link),
            Fact::Follow(device.clone(), RelPath::root()),
            Fact::Except(device.clone(), path.clone()),
            Fact::Pin(device.clone(), path.clone()),
            Fact::Used(device.clone(), path.clone(), 99),
            Fact::NotUsedSince(device.clone(), path.clone(), 98),
            Fact::Used(device.clone(), path.clone(), 97),
            Fact::NotUsedSince(device.clone(), path.clone(), 100),
            Fact::Version(8, old),
            Fact::Version(9, replaced),
        ] {
            ledger.record(&fact).unwrap();
            expected.note(&fact);
        }
        ledger.commit().unwrap();
        drop(ledger);
        let world = Ledger::open(&file).unwrap().load().unwrap();
        assert_eq!(world.versions, expected.versions);
        let (a, b) = (&world.replicas[&device], &expected.replicas[&device]);
        assert_eq!(a.links.get(&path), b.links.get(&path));
        assert_eq!(a.links.get(&path).unwrap().used, 98);
        assert_eq!((&a.follows, &a.exceptions, &a.pins), (&b.follows, &b.exceptions, &b.pins));
        assert_eq!(a.used(), b.used());
    }

    #[test]
    fn a_mass_change_that_is_on_when_larder_is_updated_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ledger.sqlite");
        for (ages, first) in [(&[1, 2, 9, 9, 1, 9, 9][..], 6), (&[9, 9], 1), (&[1, 2], 3), (&[], 0)]
        {
            let db = Connection::open(&file).unwrap();
            for migration in &MIGRATIONS[..7] {
                db.execute_batch(migration).unwrap();
            }
            db.pragma_update(None, "user_version", 7).unwrap();
            db.execute_batch(
                "INSERT INTO devices VALUES (1, 'HTCphone'), (2, 'LinuxLaptop');
                 INSERT INTO paces VALUES (2, NULL, NULL),
                 (1, NULL, '{\"since\":5,\"at\":8,\"rewritten\":3,\"deleted\":4}');",
            )
            .unwrap();
            for (number, at) in (1..).zip(ages) {
                let why = r#"{"why":"replaced"}"#;
                let row = params![number, b"a", 7, 8, 9, at, why];
                db.execute("INSERT INTO versions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", row)
                    .unwrap();
            }
            drop(db);
            let world = Ledger::open(&file).unwrap().load().unwrap();
            let mass_change =
                world.replicas[&Holder::decode("HTCphone").unwrap()].mass_change.unwrap();
            assert_eq!(
                (mass_change.first, mass_change.since, mass_change.rewritten),
                (first, Time(5), 3)
            );
            assert!(world.versions.values().all(|v| v.successor.is_none() && v.id.ino == 7));
            assert_eq!(world.versions.len(), ages.len());
            #[allow(clippy::disallowed_methods)]
            std::fs::remove_file(&file).unwrap();
        }
    }

    #[test]
    fn takes_a_wish_once_and_keeps_its_answer() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(&dir.path().join("l")).unwrap();
        let one = wish("00112233445566778899");
        assert!(ledger.receive(&Origin::Home, &one, Time(1)).unwrap());
        assert!(!ledger.receive(&Origin::Home, &one, Time(2)).unwrap());
        assert_eq!(ledger.origins_with_open_wishes().unwrap(), [Origin::Home]);
        let open = ledger.open_wishes(&Origin::Home, 0, 10).unwrap();
        assert_eq!((open.len(), &open[0].wish, open[0].begun), (1, &one, false));
        ledger.begin_wish(open[0].seq).unwrap();
        assert!(ledger.open_wishes(&Origin::Home, 0, 10).unwrap()[0].begun);
        let waiting = Answer::Waiting("the drive".into());
        ledger.record(&Fact::Answer(Origin::Home, one.id, waiting)).unwrap();
        assert_eq!(ledger.open_wishes(&Origin::Home, 0, 10).unwrap().len(), 1);
        let done = Answer::Done("linked".into());
        ledger.record(&Fact::Answer(Origin::Home, one.id, done.clone())).unwrap();
        assert_eq!(ledger.open_wishes(&Origin::Home, 0, 10).unwrap(), []);
        assert_eq!(ledger.origins_with_open_wishes().unwrap(), []);
        let answers = ledger.answers(&Origin::Home, 5).unwrap();
        assert_eq!((answers[0].id, answers[0].answer.as_ref()), (one.id, Some(&done)));
        assert!(!ledger.refuse(&Origin::Home, one.id, None, "no", Time(3)).unwrap());
        let device = Origin::Device(DeviceName::new("x").unwrap());
        assert!(ledger.refuse(&device, one.id, None, "no", Time(3)).unwrap());
    }

    #[test]
    fn tells_damage_and_a_newer_ledger() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("l");
        #[allow(clippy::disallowed_methods)]
        std::fs::write(&file, b"this is no database, but long enough to be looked at as one....")
            .unwrap();
        assert!(Ledger::open(&file).unwrap_err().is_damage());
        let file = dir.path().join("n");
        let ledger = Ledger::open(&file).unwrap();
        ledger.db.pragma_update(None, "user_version", 99).unwrap();
        drop(ledger);
        assert!(matches!(Ledger::open(&file), Err(LedgerError::Newer { found: 99, .. })));
    }
}
