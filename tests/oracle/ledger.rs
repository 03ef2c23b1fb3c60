//! The ledger as it is on the disk, with its write-ahead log: rows as they stand, by their columns' names.

use rusqlite::{Connection, OpenFlags, Row};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// A link that is recorded.
#[derive(Clone, Debug)]
pub(crate) struct LinkRow {
    pub(crate) ino: u64,
    pub(crate) size: u64,
    pub(crate) mtime: i64,
}

/// What one device has in the ledger, or a folder that others joined (`shared/<name>`).
#[derive(Clone, Debug, Default)]
pub(crate) struct HolderRows {
    pub(crate) links: BTreeMap<Vec<u8>, LinkRow>,
    pub(crate) follows: BTreeSet<Vec<u8>>,
    pub(crate) excepts: BTreeSet<Vec<u8>>,
    pub(crate) pins: BTreeSet<Vec<u8>>,
    pub(crate) evicted: BTreeSet<Vec<u8>>,
    /// The owner is asked about a mass change of it.
    pub(crate) mass_change: bool,
}

/// An old content that is recorded.
#[derive(Clone, Debug)]
pub(crate) struct VersionRow {
    pub(crate) number: u64,
    pub(crate) path: Vec<u8>,
    pub(crate) ino: u64,
    pub(crate) size: u64,
    pub(crate) at: i64,
}

/// A wish.
#[derive(Clone, Debug)]
pub(crate) struct WishRow {
    pub(crate) origin: String,
    pub(crate) id: String,
    pub(crate) action: String,
    pub(crate) state: i64,
    /// `done`, `waiting`, `refused`, or nothing yet.
    pub(crate) answer: Option<String>,
}

/// A share.
#[derive(Clone, Debug)]
pub(crate) struct ShareRow {
    pub(crate) path: Vec<u8>,
    pub(crate) state: i64,
    /// Others join it and put files in.
    pub(crate) joined: bool,
    /// Its content was destroyed.
    pub(crate) destroyed: bool,
}

impl ShareRow {
    /// What a folder of people had when it was revoked; nobody is given it.
    pub(crate) fn is_revoked(&self) -> bool {
        self.state == 5
    }

    /// It is whole, and nobody ends it.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.state, 1 | 2)
    }

    /// Others put files in.
    pub(crate) fn takes(&self) -> bool {
        self.joined && !self.destroyed && !self.is_revoked()
    }
}

/// Everything that the oracle wants to know of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) holders: BTreeMap<String, HolderRows>,
    /// Devices that were let in on the page.
    pub(crate) paired: BTreeSet<String>,
    pub(crate) versions: BTreeMap<u64, VersionRow>,
    pub(crate) wishes: Vec<WishRow>,
    pub(crate) shares: BTreeMap<String, ShareRow>,
    pub(crate) share_links: BTreeMap<Vec<u8>, LinkRow>,
}

impl Ledger {
    /// Reads the database at a path without changing it.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        Self::try_read(path).map_err(|e| e.to_string())
    }

    fn try_read(path: &Path) -> rusqlite::Result<Self> {
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        db.busy_timeout(Duration::from_secs(5))?;
        let sound: String = db.query_row("PRAGMA integrity_check(1)", [], |r| r.get(0))?;
        if sound != "ok" {
            return Err(rusqlite::Error::InvalidParameterName(sound));
        }
        // One moment for all the questions.
        db.execute_batch("BEGIN")?;
        let mut all = Self::default();
        let mut names: BTreeMap<i64, String> = BTreeMap::new();
        each(&db, "SELECT id, name FROM devices", |r| {
            let name: String = r.get("name")?;
            all.holders.entry(name.clone()).or_default();
            names.insert(r.get("id")?, name);
            Ok(())
        })?;
        let holders = &mut all.holders;
        each(&db, "SELECT device, path, ino, size, mtime FROM links", |r| {
            rows_of(holders, &names, r)?.links.insert(r.get("path")?, link(r)?);
            Ok(())
        })?;
        each(&db, "SELECT device, rule, path FROM rules", |r| {
            let rows = rows_of(holders, &names, r)?;
            let path = r.get("path")?;
            match r.get::<_, String>("rule")?.as_str() {
                "follow" => rows.follows.insert(path),
                "except" => rows.excepts.insert(path),
                _ => rows.pins.insert(path),
            };
            Ok(())
        })?;
        each(&db, "SELECT device, path FROM evicted", |r| {
            rows_of(holders, &names, r)?.evicted.insert(r.get("path")?);
            Ok(())
        })?;
        each(&db, "SELECT device FROM paces WHERE storm IS NOT NULL", |r| {
            rows_of(holders, &names, r)?.mass_change = true;
            Ok(())
        })?;
        each(&db, "SELECT name FROM pairs JOIN devices ON id = device", |r| {
            all.paired.insert(r.get("name")?);
            Ok(())
        })?;
        each(&db, "SELECT number, path, ino, size, at FROM versions", |r| {
            let (number, path, at) = (number(r, "number")?, r.get("path")?, r.get("at")?);
            let (ino, size) = (self::number(r, "ino")?, self::number(r, "size")?);
            all.versions.insert(number, VersionRow { number, path, ino, size, at });
            Ok(())
        })?;
        each(&db, "SELECT origin, id, action, state, answer FROM wishes ORDER BY seq", |r| {
            let answer: Option<String> = r.get("answer")?;
            let answer = answer.and_then(|text| serde_json::from_str::<Value>(&text).ok());
            let answer = answer.and_then(|value| Some(value["state"].as_str()?.to_owned()));
            let (origin, id, action) = (r.get("origin")?, r.get("id")?, r.get("action")?);
            all.wishes.push(WishRow { origin, id, action, state: r.get("state")?, answer });
            Ok(())
        })?;
        each(&db, "SELECT name, path, state, open FROM shares", |r| {
            let open: Option<String> = r.get("open")?;
            let open = open.and_then(|text| serde_json::from_str::<Value>(&text).ok());
            let destroyed = open.as_ref().is_some_and(|open| !open["destroyed"].is_null());
            let (path, state, joined) = (r.get("path")?, r.get("state")?, open.is_some());
            all.shares.insert(r.get("name")?, ShareRow { path, state, joined, destroyed });
            Ok(())
        })?;
        each(&db, "SELECT path, ino, size, mtime FROM share_links", |r| {
            all.share_links.insert(r.get("path")?, link(r)?);
            Ok(())
        })?;
        Ok(all)
    }

    /// The final answer to a wish from a page (`""` is the common one).
    pub(crate) fn answer(&self, origin: &str, id: &str) -> Option<&str> {
        let of = |w: &&WishRow| w.origin == origin && w.id == id && w.state == 2;
        self.wishes.iter().find(of)?.answer.as_deref()
    }
}

fn each(
    db: &Connection,
    sql: &str,
    mut take: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut query = db.prepare(sql)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        take(row)?;
    }
    Ok(())
}

/// The rows of the device that a row names; of one that is not known they go together.
fn rows_of<'h>(
    holders: &'h mut BTreeMap<String, HolderRows>,
    names: &BTreeMap<i64, String>,
    row: &Row<'_>,
) -> rusqlite::Result<&'h mut HolderRows> {
    let name = names.get(&row.get("device")?).cloned().unwrap_or_default();
    Ok(holders.entry(name).or_default())
}

/// Numbers without a sign are kept in SQLite's signed ones.
fn number(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.cast_unsigned())
}

fn link(row: &Row<'_>) -> rusqlite::Result<LinkRow> {
    Ok(LinkRow { ino: number(row, "ino")?, size: number(row, "size")?, mtime: row.get("mtime")? })
}
