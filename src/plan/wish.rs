//! What a wish asks for, as operations and an answer.
//!
//! Planning is repeatable: a wish that was cut off is planned again against what there is now, and
//! only what is missing comes out. What can be checked only once (that the file is the one the user
//! saw) is checked on the first attempt alone.

use super::folder::{Linked, delete_folder, destroy_folder, is_empty, seen_folder};
use super::share::release;
use super::{CHUNK, Fact, Holding, Op, Why, World, behind, master};
use crate::config::Config;
use crate::model::{
    About, Action, Answer, Bytes, DeviceName, Devices, Origin, RelPath, Stat, Time, Trait, Wish,
};

/// Whether anything was done for the wish before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attempt {
    /// No.
    First,
    /// Perhaps: it was begun and cut off, or planned in parts.
    Again,
}

/// The plan for a wish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Planned {
    /// What to do.
    pub ops: Vec<Op>,
    /// The answer once that is done.
    pub answer: Answer,
    /// True when there is more to do after these operations: plan again.
    pub more: bool,
}

impl Planned {
    pub(super) fn refused(why: impl Into<String>) -> Self {
        Self { ops: Vec::new(), answer: Answer::Refused(why.into()), more: false }
    }

    pub(super) fn waiting(why: impl Into<String>) -> Self {
        Self { ops: Vec::new(), answer: Answer::Waiting(why.into()), more: false }
    }

    pub(super) fn done(ops: Vec<Op>, what: impl Into<String>) -> Self {
        let more = ops.len() >= CHUNK;
        Self { ops, answer: Answer::Done(what.into()), more }
    }
}

/// Everything that the plan of one wish looks at.
pub(super) struct Asked<'a> {
    pub(super) world: &'a World,
    pub(super) config: &'a Config,
    pub(super) wish: &'a Wish,
    pub(super) attempt: Attempt,
    pub(super) now: Time,
}

/// Plans a wish that came from `origin`.
pub fn wish(
    world: &World,
    config: &Config,
    origin: &Origin,
    wish: &Wish,
    attempt: Attempt,
    now: Time,
) -> Planned {
    let asked = Asked { world, config, wish, attempt, now };
    let own = match origin {
        Origin::Home => None,
        Origin::Device(device) => Some(device),
    };
    if let Some(refused) = own.and_then(|device| not_allowed(config, device, wish.action)) {
        return refused;
    }
    let about = wish.action.traits().about;
    if about == About::Member {
        return asked.pairing();
    }
    if let Some(holder) = wish.to.iter().find(|holder| holder.joined_folder().is_some()) {
        return match about {
            About::MassChange => asked.plan(origin, None, &[holder]),
            _ => asked.for_joined(holder),
        };
    }
    match asked.devices(own) {
        Ok((from, to)) => match own.filter(|device| asked.may_not_take_away(device)) {
            Some(device) => asked.not_before_the_word(device),
            None => asked.plan(origin, from, &to),
        },
        Err(refused) => refused,
    }
}

/// The actions that a page offers: all that this NAS fulfils on the common page, on a device's page those of
/// them that the device may ask.
pub fn offered_on(config: &Config, own: Option<&DeviceName>) -> Vec<Action> {
    let settings = own.and_then(|device| config.devices.get(device));
    let allowed = |action: &Action| settings.is_none_or(|device| device.may.contains(action));
    Action::offered().filter(allowed).collect()
}

/// Why the page of this device may not ask that.
fn not_allowed(config: &Config, device: &DeviceName, action: Action) -> Option<Planned> {
    if action.is(Trait::AtHome) {
        return Some(Planned::refused(
            "only the page at home lets devices in or forgets them; open that of the NAS",
        ));
    }
    let Some(settings) = config.devices.get(device) else {
        return Some(Planned::refused(format!(
            "{device} is not in the settings; add [devices.{device}] to larder.toml"
        )));
    };
    (!settings.may.contains(&action)).then(|| {
        Planned::refused(format!(
            "{} may not {action}; the owner can allow it with `may` in larder.toml",
            settings.label
        ))
    })
}

impl<'a> Asked<'a> {
    /// Where the wish takes from, and which devices it is for: those it names, else the page's own.
    fn devices(
        &self,
        own: Option<&'a DeviceName>,
    ) -> Result<(Option<&'a DeviceName>, Vec<&'a DeviceName>), Planned> {
        let known = &self.config.devices;
        let to: Vec<&DeviceName> = match self.wish.to.is_empty() {
            true => own.into_iter().collect(),
            false => self.wish.to.iter().collect(),
        };
        let from = self.wish.from.as_ref().or(own);
        if let Some(unknown) = to.iter().copied().chain(from).find(|d| !known.contains_key(*d)) {
            let known: Vec<_> = known.keys().map(DeviceName::as_str).collect();
            return Err(Planned::refused(format!(
                "there is no device {unknown} in the settings (there are: {})",
                if known.is_empty() { "none yet".into() } else { known.join(", ") }
            )));
        }
        let needed = matches!(self.wish.action.traits().devices, Devices::Own | Devices::FromTo);
        if needed && to.is_empty() {
            return Err(Planned::refused("say for which device: this page belongs to no device"));
        }
        Ok((from, to))
    }

    /// What each action means.
    fn plan(&self, origin: &Origin, from: Option<&DeviceName>, to: &[&DeviceName]) -> Planned {
        match self.wish.action {
            Action::Get => self.get(to),
            Action::Open => self.open(to),
            Action::Delete => self.delete(to),
            Action::Destroy => self.destroy(),
            Action::Move => self.move_on(from, to),
            Action::Mkdir => self.mkdir(),
            Action::Pin => self.pin(to),
            Action::Unpin => self.unpin(to),
            Action::Undo => self.undo(),
            Action::Share => self.share(origin),
            Action::Revoke => self.revoke(),
            Action::ShareFolder => self.share_folder(origin),
            Action::RevokeShare => self.revoke_share(),
            Action::DestroyFolder => self.destroy_joined(),
            Action::Allow => self.allow(to, origin),
            Action::KeepMine => self.keep_mine(to, origin),
            Action::Accept | Action::Refuse | Action::Forget => self.pairing(),
            Action::Torrent | Action::TorrentOnce => Planned::refused(format!(
                "this NAS does not {} yet; update Larder",
                self.wish.action
            )),
        }
    }

    pub(super) fn holding(&self, device: &DeviceName) -> Option<&'a Holding> {
        self.world.devices.get(device)
    }

    pub(super) fn master(&self) -> Option<&'a Stat> {
        self.world.files.get(&self.wish.path)
    }

    pub(super) fn is_folder(&self) -> bool {
        self.world.is_folder(&self.wish.path)
    }

    pub(super) fn quota(&self, device: &DeviceName) -> Option<Bytes> {
        self.config.devices.get(device).and_then(|d| d.quota)
    }

    pub(super) fn label(&self, device: &DeviceName) -> String {
        self.config.devices.get(device).map_or_else(|| device.to_string(), |d| d.label.clone())
    }

    fn labels(&self, devices: &[&DeviceName]) -> String {
        devices.iter().map(|d| self.label(d)).collect::<Vec<_>>().join(", ")
    }

    fn get(&self, to: &[&DeviceName]) -> Planned {
        match self.link_to(to) {
            Ok(Linked { ops, hollow, missing }) => {
                let what = match is_empty(self.world, &self.wish.path) {
                    true => format!(
                        "{} has no files in it yet; {} gets the empty folder, and what comes into it from now on",
                        self.what(),
                        self.labels(to)
                    ),
                    false => format!("{} is on its way to {}", self.what(), self.labels(to)),
                };
                let mut planned = Planned::done(ops, what + &missing);
                // They come with the last part.
                if !planned.more {
                    planned.ops.extend(hollow);
                }
                planned
            }
            Err(refused) => refused,
        }
    }

    fn what(&self) -> String {
        match (self.wish.path.is_root(), self.master()) {
            (true, _) => "everything".into(),
            (_, Some(m)) => format!("{} ({})", self.wish.path, Bytes(m.id.size)),
            _ => self.wish.path.to_string(),
        }
    }

    fn open(&self, to: &[&DeviceName]) -> Planned {
        // A device whose clock runs ahead must not make its files the last to go for ever.
        let at = self.wish.at.min(self.now).secs();
        let used = |&&device: &&&DeviceName| {
            self.holding(device).is_some_and(|h| h.book.get(&self.wish.path).is_some())
        };
        let note = |device: &&DeviceName| {
            Op::Note(Fact::Used((*device).clone(), self.wish.path.clone(), at))
        };
        Planned::done(to.iter().filter(used).map(note).collect(), "noted")
    }

    fn delete(&self, to: &[&DeviceName]) -> Planned {
        match self.unlink_from(to) {
            Ok(ops) => Planned::done(
                ops,
                format!("{} is gone from {}; it stays at home", self.wish.path, self.labels(to)),
            ),
            Err(planned) => planned,
        }
    }

    fn unlink_from(&self, devices: &[&DeviceName]) -> Result<Vec<Op>, Planned> {
        let path = &self.wish.path;
        let mut ops = Vec::new();
        for &device in devices {
            let Some(holding) = self.holding(device) else { continue };
            if holding.holds_back(path) {
                return Err(self.not_before_the_word(device));
            }
            if let Some(link) = holding.book.get(path) {
                let Some(gone) = behind::let_go(self.world, device, path, link) else {
                    return Err(Planned::waiting(format!(
                        "the copy on {} to be safely at home",
                        self.label(device)
                    )));
                };
                if holding.wants(path) {
                    ops.push(Op::Note(Fact::Except(device.clone(), path.clone())));
                }
                if holding.pins.contains(path) {
                    ops.push(Op::Note(Fact::Unpin(device.clone(), path.clone())));
                }
                ops.push(gone);
            } else if holding.book.dir(path).is_some() || holding.follows(path) {
                ops.extend(delete_folder(self.world, device, path));
            }
        }
        Ok(ops)
    }

    fn move_on(&self, from: Option<&DeviceName>, to: &[&DeviceName]) -> Planned {
        let path = &self.wish.path;
        let Some(from) = from else {
            return Planned::refused("say from which device: this page belongs to no device");
        };
        let targets: Vec<&DeviceName> = to.iter().copied().filter(|d| *d != from).collect();
        if targets.is_empty() {
            return Planned::refused("choose another device to move it to");
        }
        let at_source = self
            .holding(from)
            .is_some_and(|h| h.book.get(path).is_some() || h.book.dir(path).is_some());
        if !at_source && self.attempt == Attempt::First {
            return Planned::refused(format!("{path} is not on {}", self.label(from)));
        }
        let Linked { mut ops, hollow, missing } = match self.link_to(&targets) {
            Ok(linked) => linked,
            Err(refused) => return refused,
        };
        if !missing.is_empty() {
            return Planned::refused(format!("nothing was moved{missing}"));
        }
        // First there, then not here: the links of this part are made before any is taken away.
        let links = ops.len();
        if links < CHUNK {
            match self.unlink_from(&[from]) {
                Ok(more) => ops.extend(more),
                Err(planned) => return planned,
            }
        }
        let (source, target) = (self.label(from), self.labels(&targets));
        let mut planned = Planned::done(ops, format!("{path} went from {source} to {target}"));
        if links < CHUNK {
            planned.ops.splice(links..links, hollow);
        }
        planned
    }

    fn destroy(&self) -> Planned {
        let path = &self.wish.path;
        if path.is_root() {
            return Planned::refused("everything at once can't be destroyed; choose a folder");
        }
        if let Some(refused) = self.refused_before_the_word(path) {
            return refused;
        }
        let keep = self.config.undo > 0;
        let Some(m) = self.master() else {
            return match (self.is_folder(), self.attempt) {
                (true, _) => self.destroy_folder(keep),
                (false, Attempt::First) => self.not_there(),
                (false, Attempt::Again) => {
                    Planned::done(Vec::new(), format!("{path} is destroyed"))
                }
            };
        };
        // However often it is begun: the master goes last, so it is still the one that was seen.
        match self.wish.seen {
            None => return Planned::refused(NOT_SEEN),
            Some(seen) if !seen.matches(&m.id) => {
                return Planned::refused(format!("{path} {CHANGED}"));
            }
            Some(_) => {}
        }
        let mut ops = Vec::new();
        for (device, at, link) in self.world.links_for(path) {
            let Some(gone) = behind::let_go(self.world, device, &at, &link) else {
                if !self.config.devices.contains_key(device) && !self.world.is_joined(device) {
                    // An older copy on a device that nobody looks after any more.
                    continue;
                }
                return Planned::waiting(format!(
                    "the change that {} made to it to come home",
                    self.label(device)
                ));
            };
            ops.push(gone);
        }
        let devices = match ops.len() {
            0 => String::new(),
            1 => " and on one device".into(),
            n => format!(" and on {n} devices"),
        };
        release(self.world, path, &mut ops);
        ops.push(Op::Retire { path: path.clone(), id: m.id, keep });
        Planned::done(ops, format!("{path} is destroyed, at home{devices}"))
    }

    fn destroy_folder(&self, keep: bool) -> Planned {
        let path = &self.wish.path;
        let now = seen_folder(self.world, path);
        match (self.wish.seen, self.attempt) {
            (None, _) => return Planned::refused(NOT_SEEN),
            (Some(seen), Attempt::First) if seen != now => {
                return Planned::refused(format!("{path} {CHANGED}"));
            }
            // A part of it may be destroyed already; what is left can't be more or newer.
            (Some(seen), Attempt::Again) if now.size > seen.size || now.mtime > seen.mtime => {
                return Planned::refused(format!("the rest of {path} {CHANGED}"));
            }
            _ => {}
        }
        match destroy_folder(self.world, self.config, path, keep) {
            Ok(ops) => Planned::done(ops, format!("{path} and all that was in it is destroyed")),
            Err(device) => Planned::waiting(format!(
                "a change that {} made in it to come home",
                self.label(&device)
            )),
        }
    }

    fn mkdir(&self) -> Planned {
        let path = &self.wish.path;
        let file_in_the_way = |p: &RelPath| self.world.files.get(p).is_some();
        if file_in_the_way(path) || path.ancestors().iter().any(file_in_the_way) {
            return Planned::refused(format!("a file of that name is there already: {path}"));
        }
        Planned::done(vec![Op::MakeDir(master(path))], format!("the folder {path} is there"))
    }

    fn pin(&self, to: &[&DeviceName]) -> Planned {
        let path = &self.wish.path;
        let mut ops = Vec::new();
        for &device in to {
            let Some(holding) = self.holding(device) else { continue };
            let there = holding.book.get(path).is_some() || holding.book.dir(path).is_some();
            if !there && !holding.follows(path) {
                let label = self.label(device);
                return Planned::refused(format!("{path} is not on {label}; get it first"));
            }
            ops.push(Op::Note(Fact::Pin(device.clone(), path.clone())));
        }
        Planned::done(ops, format!("{path} stays on {}", self.labels(to)))
    }

    fn unpin(&self, to: &[&DeviceName]) -> Planned {
        let path = &self.wish.path;
        let there = to.iter().filter(|device| self.holding(device).is_some());
        let unpin = |device: &&DeviceName| Op::Note(Fact::Unpin((*device).clone(), path.clone()));
        Planned::done(
            there.map(unpin).collect(),
            format!("{path} may make room on {} when needed", self.labels(to)),
        )
    }

    fn undo(&self) -> Planned {
        let path = &self.wish.path;
        let wanted = self.wish.with.as_deref();
        let found = self.world.versions.iter().rev().find(|(number, v)| match wanted {
            Some(text) => text == number.to_string() && v.path == *path,
            None => v.path == *path,
        });
        let Some((&number, version)) = found else {
            return match self.attempt {
                Attempt::Again => Planned::done(Vec::new(), format!("{path} is back")),
                Attempt::First => {
                    Planned::refused(format!("no old version of {path} is kept any more"))
                }
            };
        };
        let ops = match self.master() {
            // Cut off between bringing it back and forgetting the version.
            Some(m) if m.id.ino == version.id.ino => vec![Op::DropVersion(number)],
            Some(m) => vec![
                Op::Replace {
                    at: master(path),
                    old: m.id.ino,
                    by: super::kept(number, path),
                    new: version.id.ino,
                    why: Why::Undone,
                },
                Op::DropVersion(number),
            ],
            None if self.is_folder() => {
                return Planned::refused(format!("a folder is at {path} now; rename it first"));
            }
            None => vec![Op::Restore { version: number, path: path.clone() }],
        };
        Planned::done(ops, format!("{path} is back as it was on {}", version.id.mtime.day()))
    }
}

const NOT_SEEN: &str = "the page did not say what it showed; open the newest page and try again";
const CHANGED: &str =
    "has changed since the page showed it, so nothing was destroyed; look again and decide anew";
