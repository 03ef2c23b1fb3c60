//! The wishes' part of the ledger: each is taken in once, in the order of its arrival, and keeps its
//! answer for its page.

use super::{Ledger, LedgerError};
use crate::model::{Answer, DeviceName, Origin, RelPath, Time, Wish, WishId};
use rusqlite::params;

/// A wish as it stands in the ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its place in the order of arrival.
    pub seq: i64,
    /// Whose it is.
    pub origin: Origin,
    /// What is asked for.
    pub wish: Wish,
    /// Something may have been done for it already.
    pub begun: bool,
}

/// An answered or waiting wish, for its page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answered {
    /// Which wish.
    pub id: WishId,
    /// What was asked for, as its page named it; empty when that could not be read.
    pub action: String,
    /// To what.
    pub path: RelPath,
    /// When it arrived.
    pub at: Time,
    /// The answer; without one it has not been its turn.
    pub answer: Option<Answer>,
}

impl Ledger {
    /// Takes a wish in; `false` when it has been taken in before.
    pub fn receive(
        &mut self,
        origin: &Origin,
        wish: &Wish,
        now: Time,
    ) -> Result<bool, LedgerError> {
        let body = serde_json::to_string(wish).unwrap_or_default();
        let new = self.run(
            "INSERT OR IGNORE INTO wishes (origin, id, state, received, action, path, wish)
             VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6)",
            params![
                origin_text(origin),
                wish.id.to_string(),
                now.0,
                wish.action.name(),
                wish.path.as_bytes(),
                body
            ],
        )?;
        Ok(new > 0)
    }

    /// Takes in that a wish is refused without being looked at; `false` when it has been taken in before. Without
    /// `wish` it could not be read, and has neither action nor path.
    pub fn refuse(
        &mut self,
        origin: &Origin,
        id: WishId,
        wish: Option<&Wish>,
        why: &str,
        now: Time,
    ) -> Result<bool, LedgerError> {
        let new = self.run(
            "INSERT OR IGNORE INTO wishes (origin, id, state, received, action, path, answer)
             VALUES (?1, ?2, 2, ?3, ?5, ?6, ?4)",
            params![
                origin_text(origin),
                id.to_string(),
                now.0,
                text_of(&Answer::Refused(why.to_owned())),
                wish.map_or("", |wish| wish.action.name()),
                wish.map_or(&[][..], |wish| wish.path.as_bytes()),
            ],
        )?;
        Ok(new > 0)
    }

    /// Marks a wish as begun.
    pub fn begin_wish(&mut self, seq: i64) -> Result<(), LedgerError> {
        self.run("UPDATE wishes SET state = 1 WHERE seq = ?1 AND state = 0", [seq])?;
        Ok(())
    }

    /// Replaces what is remembered of a wish, where it left something open.
    pub fn amend_wish(&mut self, seq: i64, wish: &Wish) -> Result<(), LedgerError> {
        let body = serde_json::to_string(wish).unwrap_or_default();
        self.run("UPDATE wishes SET wish = ?2 WHERE seq = ?1", params![seq, body])?;
        Ok(())
    }

    /// The pages with wishes that have no final answer, by name.
    pub fn origins_with_open_wishes(&self) -> Result<Vec<Origin>, LedgerError> {
        const DOING: &str = "read whose wishes are open";
        let mut rows = self
            .db
            .prepare_cached("SELECT DISTINCT origin FROM wishes WHERE state < 2 ORDER BY origin")
            .map_err(self.fail(DOING))?;
        let rows = rows.query_map([], |r| r.get::<_, String>(0)).map_err(self.fail(DOING))?;
        rows.map(|row| self.origin(&row.map_err(self.fail(DOING))?)).collect()
    }

    /// The wishes of a page that have no final answer, in the order of their arrival: `most` of
    /// them, after the one numbered `after`.
    pub fn open_wishes(
        &self,
        origin: &Origin,
        after: i64,
        most: usize,
    ) -> Result<Vec<Entry>, LedgerError> {
        const DOING: &str = "read the open wishes";
        let mut rows = self
            .db
            .prepare_cached(
                "SELECT seq, wish, state FROM wishes WHERE state < 2 AND origin = ?1 AND seq > ?2
                 ORDER BY seq LIMIT ?3",
            )
            .map_err(self.fail(DOING))?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = rows.query_map(params![origin_text(origin), after, most], |r| {
            Ok((r.get::<_, i64>(0)?, r.get::<_, String>(1)?, r.get(2)?))
        });
        let mut entries = Vec::new();
        for row in rows.map_err(self.fail(DOING))? {
            let (seq, body, state): (_, _, i64) = row.map_err(self.fail(DOING))?;
            let wish = serde_json::from_str(&body)
                .map_err(|e| self.damaged(format!("wish {seq} can't be read: {e}")))?;
            entries.push(Entry { seq, origin: origin.clone(), wish, begun: state > 0 });
        }
        Ok(entries)
    }

    /// The last wishes of a page with their answers, the newest first.
    pub fn answers(&self, origin: &Origin, most: usize) -> Result<Vec<Answered>, LedgerError> {
        const DOING: &str = "read the answers";
        let mut rows = self
            .db
            .prepare_cached(
                "SELECT id, action, path, received, answer FROM wishes WHERE origin = ?1
                 ORDER BY seq DESC LIMIT ?2",
            )
            .map_err(self.fail(DOING))?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = rows.query_map(params![origin_text(origin), most], |r| {
            Ok((
                r.get::<_, String>(0)?,
                r.get::<_, String>(1)?,
                r.get::<_, Vec<u8>>(2)?,
                r.get::<_, i64>(3)?,
                r.get::<_, Option<String>>(4)?,
            ))
        });
        let mut answers = Vec::new();
        for row in rows.map_err(self.fail(DOING))? {
            let (id, action, path, at, answer) = row.map_err(self.fail(DOING))?;
            let id = WishId::parse(&id).ok_or_else(|| self.damaged(format!("a wish id {id}")))?;
            let path = RelPath::new(&path).map_err(|e| self.damaged(e.to_string()))?;
            let answer = answer.and_then(|text| serde_json::from_str(&text).ok());
            answers.push(Answered { id, action, path, at: Time(at), answer });
        }
        Ok(answers)
    }

    pub(super) fn origin(&self, text: &str) -> Result<Origin, LedgerError> {
        if text.is_empty() {
            return Ok(Origin::Home);
        }
        let name = DeviceName::new(text).map_err(|e| self.damaged(e.to_string()))?;
        Ok(Origin::Device(name))
    }
}

pub(super) fn origin_text(origin: &Origin) -> &str {
    match origin {
        Origin::Home => "",
        Origin::Device(device) => device.as_str(),
    }
}

pub(super) fn text_of(answer: &Answer) -> String {
    // A tagged enum of strings always has a JSON form.
    serde_json::to_string(answer).unwrap_or_default()
}
