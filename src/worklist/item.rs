//! One wish: its text in, the wish or what is wrong with it out, and its identity in both cases
//! when it could be read.

use super::problem::{Problem, clip};
use super::scan::{Members, Start};
use super::{MAX_DEVICES, MAX_TEXT};
use crate::model::{
    Action, DeviceName, Devices, Holder, RelPath, Seen, Time, Trait, Wish, WishId, With,
};

/// The fields that we know.
#[derive(Clone, Copy)]
enum Field {
    Id,
    Op,
    Path,
    To,
    From,
    With,
    Limit,
    Seen,
    At,
}

/// Their names, in the same order.
const NAMES: [&str; 9] = ["id", "op", "path", "to", "from", "with", "limit_mb", "seen", "at"];

/// Largest limit of a shared folder that is taken, in MB: a petabyte.
const MAX_LIMIT_MB: i64 = 1_000_000_000;

/// The values as they stand in the text, by field.
#[derive(Default)]
struct Raw<'a>([Option<&'a str>; 9]);

/// Reads one item of a worklist.
pub(super) fn read(text: &str) -> (Option<WishId>, Result<Wish, Problem>) {
    let mut raw = Raw::default();
    let shape = gather(text, &mut raw);
    match (raw.id(), shape) {
        (Ok(id), Ok(())) => (Some(id), raw.wish(id)),
        // An identity that is there twice is none: the answer might go to the wrong wish.
        (_, Err(problem @ Problem::Twice("id"))) => (None, Err(problem)),
        (id, Err(problem)) => (id.ok(), Err(problem)),
        (Err(problem), Ok(())) => (None, Err(problem)),
    }
}

/// Finds the fields. A field that is there twice does not stop the search for the identity.
fn gather<'a>(text: &'a str, raw: &mut Raw<'a>) -> Result<(), Problem> {
    let Start::Object(mut members) = Members::open(text) else {
        return Err(Problem::NoWish(clip(text)));
    };
    let mut twice = None;
    loop {
        let (name, value) = match members.next() {
            Ok(Some(member)) => member,
            Ok(None) => break,
            Err(_) => return Err(Problem::DamagedWish),
        };
        let Some(i) = NAMES.iter().position(|&known| known == name) else { continue };
        if raw.0[i].replace(value).is_some() && twice != Some("id") {
            twice = Some(NAMES[i]);
        }
    }
    twice.map_or(Ok(()), |name| Err(Problem::Twice(name)))
}

impl Raw<'_> {
    fn id(&self) -> Result<WishId, Problem> {
        let value = self.get(Field::Id).ok_or(Problem::Missing("id"))?;
        serde_json::from_str::<String>(value)
            .ok()
            .and_then(|text| WishId::parse(&text))
            .ok_or(Problem::BadId)
    }

    fn wish(&self, id: WishId) -> Result<Wish, Problem> {
        let op = self.text(Field::Op)?.ok_or(Problem::Missing("op"))?;
        let action = Action::parse(&op).ok_or_else(|| unknown(&op))?;
        let path = self.path(action)?;
        let to = self.to()?;
        let from = self.text(Field::From)?.map(|name| DeviceName::new(&name)).transpose()?;
        match action.traits().devices {
            Devices::FromTo if to.is_empty() && from.is_none() => return Err(Problem::NoDirection),
            Devices::One if to.len() != 1 => return Err(Problem::NoDevice),
            _ => {}
        }
        let with = self.with(action)?;
        let limit_mb = self.limit()?;
        let seen = self.seen()?;
        if action.is(Trait::NeedsSeen) && seen.is_none() {
            return Err(Problem::NotSeen);
        }
        let at = self.at()?;
        Ok(Wish { id, action, path, to, from, with, limit_mb, seen, at })
    }

    fn path(&self, action: Action) -> Result<RelPath, Problem> {
        let text = self.text(Field::Path)?.ok_or(Problem::Missing("path"))?;
        // Pages write paths percent-encoded, so this character comes only of damage.
        if text.contains(char::REPLACEMENT_CHARACTER) {
            return Err(Problem::Broken("path"));
        }
        let path = RelPath::from_percent(&text)?;
        if path.is_root() && !action.is(Trait::Whole) {
            return Err(Problem::Everything(action));
        }
        Ok(path)
    }

    fn to(&self) -> Result<Vec<Holder>, Problem> {
        let Some(value) = self.get(Field::To) else { return Ok(Vec::new()) };
        let names: Vec<String> = serde_json::from_str(value)
            .map_err(|_| Problem::Type("to", "a list of device names"))?;
        if names.len() > MAX_DEVICES {
            return Err(Problem::TooManyDevices(names.len()));
        }
        let mut to = Vec::with_capacity(names.len());
        for name in names {
            let name = Holder::decode(&name)?;
            if !to.contains(&name) {
                to.push(name);
            }
        }
        Ok(to)
    }

    fn with(&self, action: Action) -> Result<Option<String>, Problem> {
        let wanted = action.traits().with;
        let Some(text) = self.text(Field::With)? else {
            return if wanted == With::Needed { Err(Problem::Missing("with")) } else { Ok(None) };
        };
        if text.len() > MAX_TEXT {
            return Err(Problem::TextTooLong("with"));
        }
        if text.contains(char::REPLACEMENT_CHARACTER) {
            return Err(Problem::Broken("with"));
        }
        let number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if wanted == With::Version && !(number && text.parse::<i64>().is_ok()) {
            return Err(Problem::NoVersion);
        }
        Ok(Some(text))
    }

    fn limit(&self) -> Result<Option<i64>, Problem> {
        let Some(value) = self.get(Field::Limit) else { return Ok(None) };
        match serde_json::from_str::<i64>(value) {
            Ok(limit) if limit == -1 || (1..=MAX_LIMIT_MB).contains(&limit) => Ok(Some(limit)),
            _ => Err(Problem::Limit),
        }
    }

    fn seen(&self) -> Result<Option<Seen>, Problem> {
        let wrong = Problem::Type("seen", "a size and an mtime, both whole numbers");
        self.get(Field::Seen)
            .map(|value| serde_json::from_str(value).map_err(|_| wrong))
            .transpose()
    }

    fn at(&self) -> Result<Time, Problem> {
        let text = self.text(Field::At)?.ok_or(Problem::Missing("at"))?;
        let at: jiff::Timestamp = text.parse().map_err(|_| Problem::NoTime)?;
        Ok(Time::from_secs(at.as_second()))
    }

    /// The value of a field; `null` is the same as not there.
    fn get(&self, field: Field) -> Option<&str> {
        self.0[field as usize].filter(|&value| value != "null")
    }

    fn text(&self, field: Field) -> Result<Option<String>, Problem> {
        self.get(field)
            .map(serde_json::from_str)
            .transpose()
            .map_err(|_| Problem::Type(NAMES[field as usize], "a text"))
    }
}

fn unknown(op: &str) -> Problem {
    // Actions have at most 14 letters; a long text is like none of them, and comparing costs time.
    let like = (op.len() <= 20)
        .then(|| Action::ALL.into_iter().map(|a| (strsim::osa_distance(op, a.name()), a)).min())
        .flatten()
        .filter(|&(distance, action)| distance <= 2 && distance < action.name().len() / 2)
        .map(|(_, action)| action);
    Problem::UnknownAction(clip(op), like)
}
