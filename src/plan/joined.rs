//! Folders that other people join: what [share folder], [revoke share] and [destroy folder] ask for. Pure.
//!
//! A folder `X` among the masters is joined through `shared/<name>/`. What lies there is held by the same
//! rules as a device's folder ([`super::reconcile()`] decides on every name in it), by a
//! [`Holder`] of its own, with two differences: its paths are those below `X`, and nothing is evicted from it.
//! So what is new in `X` is linked there, what others put there becomes a master below `X`, what they
//! change replaces the master and the old version is kept, and what they delete loses its link alone.
//!
//! Each step is in the ledger before it begins: that the folder is being made, that it is revoked
//! and where its links are carried, that its content is destroyed. A cut is taken up from there.

use super::holder::below;
use super::wish::{Asked, Planned};
use super::{Attempt, CHUNK, Fact, Op, Replica, Share, ShareState, World, master, on};
use crate::model::{Action, Bytes, Holder, Link, Origin, Place, RelPath, Spot, Time, Tree, Wish};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What makes a share a folder that other people join.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Open {
    /// Once so much lies in it, nothing more is taken from the others; `None` is no limit.
    pub limit: Option<Bytes>,
    /// Its content was destroyed then; it stays so that this synchronizes.
    pub destroyed: Option<Time>,
    /// It is revoked: the folder in `shared/` that its links are carried over to.
    pub revoked: Option<String>,
}

/// The note in a folder whose content was destroyed.
pub const NOTE: &str = "This folder was destroyed.txt";
/// How every such note begins.
pub const NOTE_BEGINS: &str = "This folder was destroyed by the owner. ";
/// A name in `shared/` has at most so many bytes, so that there is room for what is added to it.
const LONGEST_NAME: usize = 180;

/// What the note says.
pub fn note_text(at: Time) -> String {
    let at = at.rfc3339().replace('T', " ").replace('Z', " UTC");
    format!("{NOTE_BEGINS}{at}\n")
}

impl Share {
    /// True for a folder that other people join, until it is over.
    pub fn is_joined(&self) -> bool {
        self.open.is_some() && self.state != ShareState::Revoked
    }

    /// True while what others do in it is taken in.
    pub fn takes(&self) -> bool {
        self.is_joined() && self.open.as_ref().is_some_and(|open| open.destroyed.is_none())
    }
}

/// A name in `shared/`, or below it.
fn in_shared(name: &str, path: &RelPath) -> Option<Spot> {
    Some(Place::Shared.at(below(&RelPath::new(name.as_bytes()).ok()?, path)?))
}

/// Whom a wish names: the words, and the device ids among them (Syncthing's have 52 or 56
/// characters of base 32, in groups).
pub(super) fn people(with: Option<&str>) -> (String, Vec<String>) {
    let is_id = |word: &&str| {
        let digits = word.bytes().filter(|b| *b != b'-').count();
        matches!(digits, 52 | 56)
            && word
                .bytes()
                .all(|b| b == b'-' || b.is_ascii_alphabetic() || matches!(b, b'2'..=b'7'))
    };
    let (ids, words): (Vec<&str>, Vec<&str>) =
        with.unwrap_or_default().split_whitespace().partition(is_id);
    (words.join(" "), ids.into_iter().map(str::to_ascii_uppercase).collect())
}

/// The name that a folder of people gets: that of the folder at home as far as it makes a good one,
/// and one that nothing in `shared/` has.
fn free_name(world: &World, wanted: &str) -> String {
    let taken = |name: &str| {
        let name = name.to_lowercase();
        world.in_shared.contains(&name) || world.shares.keys().any(|n| n.to_lowercase() == name)
    };
    let numbered = |n: u32| if n == 1 { wanted.to_owned() } else { format!("{wanted}-{n}") };
    (1..).map(numbered).find(|name| !taken(name)).unwrap_or_default()
}

fn good_name(path: &RelPath) -> String {
    let mut name = crate::model::show(path.name().unwrap_or_default()).replace('▯', "_");
    name.truncate(name.floor_char_boundary(LONGEST_NAME));
    let name = name.trim();
    let odd = name.is_empty()
        || name.starts_with(['.', '~'])
        || !crate::model::dialect::is_sent(name.as_bytes());
    if odd { "Folder".into() } else { name.to_owned() }
}

/// The folder of people that [revoke share] or [destroy folder] means: named, or the newest of the
/// path. It is put into the wish, so that a repeated wish means the same one.
pub fn joined_meant(world: &World, wish: &Wish) -> Option<String> {
    let fits = |(name, share): &(&String, &Share)| {
        share.path == wish.path
            && share.is_joined()
            && share.is_live()
            && (wish.action != Action::DestroyFolder || share.takes())
            && wish.with.as_ref().is_none_or(|with| with == *name || *with == share.with)
    };
    world.shares.iter().filter(fits).max_by_key(|(_, s)| s.at).map(|(name, _)| name.clone())
}

/// The operations that take everything out of a folder of people, as its book has it, and carry it over
/// to another folder in `shared/` if there is one. More than [`CHUNK`] come in parts; `true`: that
/// is all.
fn empty_out(world: &World, name: &str, to: Option<&str>, ops: &mut Vec<Op>) -> bool {
    let holder = Holder::shared(name);
    let Some(replica) = world.replicas.get(&holder) else { return true };
    replica.links.for_each(Tree::<Link>::ROOT, |p, link| {
        let Ok(p) = RelPath::new(p) else { return };
        if ops.len() >= CHUNK {
            return;
        }
        let (at, ino) = (on(&holder, &p), link.id.ino);
        if let Some(to) = to.and_then(|to| in_shared(to, &p))
            && world.shared.get(&to.path).is_none()
        {
            ops.push(Op::Link { from: at.clone(), ino, to });
        }
        let was = world.home_of(&holder, &p).unwrap_or(p);
        ops.push(Op::Release { at, ino, was });
    });
    if ops.len() >= CHUNK {
        return false;
    }
    let mut folders = Vec::new();
    replica.links.for_each_dir(Tree::<Link>::ROOT, |_, p| folders.extend(RelPath::new(p)));
    folders.retain(|p| !p.is_root());
    ops.extend(folders.into_iter().rev().map(|p| Op::RemoveDir(on(&holder, &p))));
    true
}

/// The operations that end a folder of people which the sync engine let go of, as its book has it.
pub fn end_joined(world: &World, name: &str) -> Vec<Op> {
    let Some(share) = world.shares.get(name) else { return Vec::new() };
    let open = share.open.clone().unwrap_or_default();
    let mut ops = Vec::new();
    if !empty_out(world, name, open.revoked.as_deref(), &mut ops) {
        return ops;
    }
    let holder = Holder::shared(name);
    if let (Some(at), Ok(note)) = (open.destroyed, RelPath::new(NOTE.as_bytes())) {
        ops.push(Op::Erase { at: on(&holder, &note), text: note_text(at) });
    }
    ops.push(Op::RemoveFolder(on(&holder, &RelPath::root())));
    ops.push(Op::Note(Fact::NoShare(name.to_owned())));
    ops
}

/// The operations that take out of a folder whose content is destroyed what is in it, as its book
/// has it, and put the note there.
pub fn wipe_joined(world: &World, name: &str) -> Vec<Op> {
    let open = world.shares.get(name).and_then(|share| share.open.as_ref());
    let Some(at) = open.and_then(|open| open.destroyed) else { return Vec::new() };
    let mut ops = Vec::new();
    if empty_out(world, name, None, &mut ops)
        && let Ok(note) = RelPath::new(NOTE.as_bytes())
    {
        let at_note = on(&Holder::shared(name), &note);
        ops.push(Op::Write { at: at_note, text: note_text(at) });
    }
    ops
}

impl Asked<'_> {
    /// [share folder].
    pub(super) fn share_folder(&self, origin: &Origin) -> Planned {
        let path = &self.wish.path;
        let ours = |(_, share): &(&String, &Share)| {
            share.wish == self.wish.id && share.origin == *origin && share.is_joined()
        };
        if let Some((name, share)) = self.world.shares.iter().find(ours) {
            return self.make_joined(name, share);
        }
        if path.is_root() {
            return Planned::refused("everything at once can't be shared; choose a folder");
        }
        if self.world.files.get(path).is_some() {
            return Planned::refused(format!("{path} is a file; press [share] for it"));
        }
        let (word, ids) = people(self.wish.with.as_deref());
        let limit = match self.wish.limit_mb {
            None | Some(-1) => None,
            Some(mb) => Some(Bytes(mb.unsigned_abs().saturating_mul(1_000_000))),
        };
        let mut there = self.world.shares.iter();
        let there = there.find(|(_, share)| {
            share.path == *path && share.takes() && share.is_live() && !share.is_ending()
        });
        if let Some((name, share)) = there {
            let mut share = share.clone();
            share.peers.extend(ids.into_iter().map(|id| (id, word.clone())));
            if self.wish.limit_mb.is_some()
                && let Some(open) = &mut share.open
            {
                open.limit = limit;
            }
            let what = format!("{path} is shared as {name}{}", self.state_of(&share));
            return Planned::done(vec![Op::Note(Fact::Share(name.clone(), share))], what);
        }
        if !self.world.is_folder(path) {
            return self.not_there();
        }
        let open = Some(Open { limit, ..Open::default() });
        let share = self.new_share(origin, (word, ids), open);
        let name = free_name(self.world, &good_name(path));
        // It is in the ledger before anything of it is made: plan again.
        let ops = vec![Op::Note(Fact::Share(name, share))];
        Planned { more: true, ..Planned::done(ops, "") }
    }

    /// The links of a folder of people that is recorded.
    fn make_joined(&self, name: &str, share: &Share) -> Planned {
        let done = format!("{} is shared as {name}{}", share.path, self.state_of(share));
        if share.state != ShareState::Making {
            return Planned::done(Vec::new(), done);
        }
        let holder = Holder::shared(name);
        let mut ops = vec![
            Op::MakeDir(on(&holder, &RelPath::root())),
            Op::Note(Fact::Follow(holder.clone(), RelPath::root())),
        ];
        self.link_missing(&holder, &share.path, &mut ops);
        if ops.len() < CHUNK {
            let made = Share { state: ShareState::Made, ..share.clone() };
            ops.push(Op::Note(Fact::Share(name.to_owned(), made)));
        }
        Planned::done(ops, done)
    }

    /// Links what of a folder at home a folder of people does not have.
    fn link_missing(&self, holder: &Holder, home: &RelPath, ops: &mut Vec<Op>) {
        let none = Replica::default();
        let replica = self.world.replicas.get(holder).unwrap_or(&none);
        let mut link = |p: &RelPath, ino| {
            let Some(path) = self.world.path_on(holder, p) else { return };
            let there = replica.links.get(&path).is_some() && !replica.absent.contains_key(&path);
            if ops.len() < CHUNK && !there {
                ops.push(Op::Link { from: master(p), ino, to: on(holder, &path) });
            }
        };
        if let Some(stat) = self.world.files.get(home) {
            link(home, stat.id.ino);
        } else if let Some(dir) = self.world.files.dir(home) {
            self.world.files.for_each(dir, |p, stat| {
                if let Ok(p) = RelPath::new(p) {
                    link(&p, stat.id.ino);
                }
            });
        }
    }

    fn state_of(&self, share: &Share) -> String {
        let limit = match share.open.as_ref().and_then(|open| open.limit) {
            Some(limit) => format!(" for at most {limit}"),
            None => " without a limit".into(),
        };
        let next = match share.peers.len() {
            0 => "share it again with a device id to let somebody in".to_owned(),
            1 => "one device may join".to_owned(),
            n => format!("{n} devices may join"),
        };
        format!("{limit}; {next}, and send the ids that stand beside it")
    }

    fn meant(&self) -> Option<(&String, &Share)> {
        let named = self.wish.with.as_ref().and_then(|name| self.world.shares.get_key_value(name));
        named.filter(|(_, s)| s.path == self.wish.path && s.is_joined()).or_else(|| {
            let name = joined_meant(self.world, self.wish)?;
            self.world.shares.get_key_value(&name)
        })
    }

    /// [revoke share].
    pub(super) fn revoke_share(&self) -> Planned {
        let path = &self.wish.path;
        let Some((name, share)) = self.meant() else {
            let begun = self.attempt == Attempt::Again && self.wish.with.is_some();
            return match begun {
                true => Planned::done(Vec::new(), self.is_revoked()),
                false => Planned::refused(format!("{path} is not shared as a folder")),
            };
        };
        let mut planned = Planned::waiting("the sync engine to let go of it");
        if share.is_ending() {
            return planned;
        }
        let open = share.open.clone().unwrap_or_default();
        if open.revoked.is_none() && share.takes() {
            let to = free_name(self.world, &format!("{name}-revoked-{}", day_of(self.now)));
            let kept = Share {
                peers: BTreeMap::new(),
                at: self.now,
                state: ShareState::Revoked,
                open: Some(Open::default()),
                ..share.clone()
            };
            let begun =
                Share { open: Some(Open { revoked: Some(to.clone()), ..open }), ..share.clone() };
            // Where its links go is in the ledger before the folder is made: plan again.
            planned.ops.push(Op::Note(Fact::Share(to, kept)));
            planned.ops.push(Op::Note(Fact::Share(name.clone(), begun)));
            return Planned { more: true, ..planned };
        }
        let holder = Holder::shared(name);
        if let Some(to) = &open.revoked {
            planned.ops.extend(in_shared(to, &RelPath::root()).map(Op::MakeDir));
            // What is more than a part is carried over after the end, which must not wait for it.
            if let Some(replica) = self.world.replicas.get(&holder) {
                replica.links.for_each(Tree::<Link>::ROOT, |p, link| {
                    let Ok(p) = RelPath::new(p) else { return };
                    if planned.ops.len() < CHUNK
                        && !replica.absent.contains_key(&p)
                        && let Some(to) = in_shared(to, &p)
                    {
                        let (from, ino) = (on(&holder, &p), link.id.ino);
                        planned.ops.push(Op::Link { from, ino, to });
                    }
                });
            }
        }
        planned.ops.push(Op::Note(Fact::Unfollow(holder, RelPath::root())));
        planned.ops.push(Op::Note(Fact::Share(name.clone(), share.ended())));
        planned
    }

    fn is_revoked(&self) -> String {
        let path = &self.wish.path;
        let begin = format!("{}-revoked-", self.wish.with.as_deref().unwrap_or_default());
        let kept = self.world.shares.iter().filter(|(name, share)| {
            share.state == ShareState::Revoked && share.path == *path && name.starts_with(&begin)
        });
        match kept.max_by_key(|(_, share)| share.at) {
            Some((name, _)) => format!(
                "{path} is not shared any more; what was shared is kept in BTsync/shared/{name}"
            ),
            None => format!("{path} is not shared any more"),
        }
    }

    /// [destroy folder]: of the folder that people joined. The masters are [destroy]'s matter.
    pub(super) fn destroy_joined(&self) -> Planned {
        let path = &self.wish.path;
        let done = format!(
            "what was shared of {path} goes from every device that joined it, with a note that says so; \
             the files at home stay"
        );
        let Some((name, share)) = self.meant().filter(|(_, share)| !share.is_ending()) else {
            return match self.attempt == Attempt::Again && self.wish.with.is_some() {
                true => Planned::done(Vec::new(), done),
                false => Planned::refused(format!(
                    "{path} is not shared as a folder, or was destroyed there already"
                )),
            };
        };
        if !share.takes() {
            return Planned::done(wipe_joined(self.world, name), done);
        }
        let mut share = share.clone();
        if let Some(open) = &mut share.open {
            open.destroyed = Some(self.now);
        }
        let unfollow = Fact::Unfollow(Holder::shared(name), RelPath::root());
        // That it is to go is in the ledger before anything goes: plan again.
        let ops = vec![Op::Note(unfollow), Op::Note(Fact::Share(name.clone(), share))];
        Planned { more: true, ..Planned::done(ops, "") }
    }

    /// What vanished from a folder of people at once is put back, or forgotten: get and delete for
    /// that folder.
    pub(super) fn for_joined(&self, holder: &Holder) -> Planned {
        let path = &self.wish.path;
        let Some(share) =
            self.world.share_of(holder).filter(|share| share.takes() && !share.is_ending())
        else {
            return Planned::refused(format!("there is no folder {holder} that others join"));
        };
        let within = match share.path.is_within(path) {
            true => Some(RelPath::root()),
            false => self.world.path_on(holder, path),
        };
        let none = Replica::default();
        let replica = self.world.replicas.get(holder).unwrap_or(&none);
        let Some(within) = within else { return self.not_there() };
        let mut ops = Vec::new();
        match self.wish.action {
            Action::Get => {
                let excepted = replica.exceptions.iter().filter(|p| p.is_within(&within));
                let again = |p: &RelPath| Op::Note(Fact::Unexcept(holder.clone(), p.clone()));
                ops.extend(excepted.map(again));
                let home = if within.is_root() { &share.path } else { path };
                self.link_missing(holder, home, &mut ops);
                Planned::done(ops, format!("{path} is in {holder} again"))
            }
            Action::Delete => {
                replica.links.for_each(Tree::<Link>::ROOT, |p, link| {
                    let Ok(p) = RelPath::new(p) else { return };
                    let home = self.world.home_of(holder, &p);
                    let home = home.and_then(|home| self.world.files.get(&home));
                    let safe = home.is_some_and(|m| m.id.ino == link.id.ino)
                        || replica.absent.contains_key(&p);
                    if safe && p.is_within(&within) && ops.len() < CHUNK {
                        let at = on(holder, &p);
                        ops.push(Op::Note(Fact::Except(holder.clone(), p)));
                        ops.push(Op::Unlink { at, ino: link.id.ino });
                    }
                });
                Planned::done(ops, format!("{path} is not in {holder} any more; it stays at home"))
            }
            _ => Planned::refused("that is for devices; other people's are not ours to manage"),
        }
    }
}

/// `dd-mm-yy` (UTC).
fn day_of(at: Time) -> String {
    let day = at.day();
    let mut parts: Vec<&str> = day.split('-').collect();
    parts.reverse();
    if let Some(year) = parts.last_mut() {
        *year = &year[year.len().saturating_sub(2)..];
    }
    parts.join("-")
}
