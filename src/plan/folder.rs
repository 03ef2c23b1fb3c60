//! Wishes for whole folders: the same as for files, in parts of bounded size.

use super::quota::{Held, Keep, NoSpace, Oldest, Shortfall, evict, make_space};
use super::wish::{Asked, Attempt, Planned};
use super::{CHUNK, Fact, Op, Replica, World, master, on, stale_link};
use crate::config::Config;
use crate::model::{Action, Bytes, DirId, Holder, RelPath, Seen, Spot, Stat, Time, Tree};
use std::collections::{BTreeSet, HashMap, HashSet};

/// The part of a folder get that is to be done now.
struct FolderPlan {
    ops: Vec<Op>,
    /// The folders with nothing in them, to be made on the device: no link brings them along. They are no part of what
    /// is counted, since nobody remembers which are there and every part has them anew.
    hollow: Vec<Op>,
    /// How many files do not fit the quota.
    left_out: u64,
    /// What they need, beside the numbers.
    short: Option<Shortfall>,
}

/// What brings a file or folder into devices' folders.
pub(super) struct Linked {
    pub(super) ops: Vec<Op>,
    /// Folders with nothing in them, which come with the last part of the links.
    pub(super) hollow: Vec<Op>,
    /// What to say of what did not fit.
    pub(super) missing: String,
}

/// Links what of a folder is not on the device yet, and follows it. What does not fit the quota is
/// left out, the oldest files first; when nothing at all fits, the get is refused.
fn get_folder(asked: &Asked<'_>, device: &Holder, path: &RelPath) -> Result<FolderPlan, NoSpace> {
    let mut plan = FolderPlan { ops: Vec::new(), hollow: Vec::new(), left_out: 0, short: None };
    let (Some(replica), Some(dir)) = (asked.replica(device), asked.world.files.dir(path)) else {
        return Ok(plan);
    };
    if !replica.follows.contains(path) {
        plan.ops.push(Op::Note(Fact::Follow(device.clone(), path.clone())));
    }
    if !leaves_out(asked) {
        plan.ops.extend(leave_nothing_out(device, replica, path));
    }
    let fits_whole = match asked.quota(device) {
        None => true,
        Some(quota) => {
            let mut need = 0u64;
            missing(asked, replica, path, |_, stat| {
                need = need.saturating_add(replica.price(stat).0);
            });
            replica.used().0.saturating_add(need) <= quota.0
        }
    };
    if !fits_whole {
        return get_what_fits(asked, device, path, plan);
    }
    missing_in(asked, replica, dir, |path, stat| {
        if !(leaves_out(asked) && replica.excepts(&path)) {
            let to = on(device, &path);
            plan.ops.push(Op::Link { from: master(&path), ino: stat.id.ino, to });
        }
        plan.ops.len() < CHUNK
    });
    used(asked, device, path, &mut plan.ops);
    plan.hollow = empty_folders(asked, device, dir);
    Ok(plan)
}

/// The folders with nothing in them, as far as one plan has room for them.
fn empty_folders(asked: &Asked<'_>, device: &Holder, dir: DirId) -> Vec<Op> {
    let (files, mut ops) = (&asked.world.files, Vec::new());
    files.for_each_dir(dir, |d, at| {
        let is_empty = files.files(d).len() == 0 && files.subdirs(d).len() == 0;
        if is_empty
            && ops.len() < CHUNK
            && let Ok(at) = RelPath::new(at)
            && !at.is_root()
        {
            ops.push(Op::MakeDir(on(device, &at)));
        }
    });
    ops
}

/// True for a folder at home that has no file in it, nor in the folders in it.
pub(super) fn is_empty(world: &World, path: &RelPath) -> bool {
    let mut empty = true;
    let Some(dir) = world.files.dir(path) else { return false };
    world.files.for_each_dir(dir, |d, _| empty &= world.files.files(d).len() == 0);
    empty
}

/// What the first part of a get does for devices whose turn comes in a later one, which can't tell what was left out
/// before from what an earlier part found no room for.
fn before_later_parts(asked: &Asked<'_>, devices: &[&Holder]) -> Vec<Op> {
    let path = &asked.wish.path;
    if asked.attempt == Attempt::Again || asked.world.files.dir(path).is_none() {
        return Vec::new();
    }
    let replicas = devices.iter().filter_map(|&device| Some((device, asked.replica(device)?)));
    replicas.flat_map(|(device, replica)| leave_nothing_out(device, replica, path)).collect()
}

/// Who presses [get] on a folder wants all of it, what was left out before included.
fn leave_nothing_out(
    device: &Holder,
    replica: &Replica,
    path: &RelPath,
) -> impl Iterator<Item = Op> {
    let exceptions = within(&replica.exceptions, path).into_iter();
    exceptions.map(|except| Op::Note(Fact::Unexcept(device.clone(), except)))
}

/// True when an exception is what an earlier part of the plan found no room for. A move leaves nothing out: it is
/// refused when not all of it fits, so whatever is an exception was one before. It was marked as begun before its first
/// plan, which may have had to wait, or a cut came in between.
fn leaves_out(asked: &Asked<'_>) -> bool {
    asked.attempt == Attempt::Again && asked.wish.action != Action::Move
}

/// What is there already is used by a get, too.
fn used(asked: &Asked<'_>, device: &Holder, path: &RelPath, ops: &mut Vec<Op>) {
    let at = asked.wish.at.min(asked.now).secs();
    let there = asked.replica(device).and_then(|h| Some((&h.links, h.links.dir(path)?)));
    let Some((links, dir)) = there else { return };
    links.for_each_dir(dir, |d, folder| {
        let Ok(folder) = RelPath::new(folder) else { return };
        for (name, link) in links.files(d) {
            // Those of an earlier part of this plan are not behind any more.
            if link.used < at
                && ops.len() < CHUNK
                && let Ok(path) = folder.join(name)
            {
                ops.push(Op::Note(Fact::Used(device.clone(), path, at)));
            }
        }
    });
}

impl Asked<'_> {
    /// What brings the file or folder into devices' folders.
    pub(super) fn link_to(&self, to: &[&Holder]) -> Result<Linked, Planned> {
        let path = &self.wish.path;
        let (mut ops, mut hollow) = (Vec::new(), Vec::new());
        let mut missing = String::new();
        for (n, &device) in to.iter().enumerate() {
            let Some(replica) = self.replica(device) else { continue };
            if replica.held.contains_key(path) {
                return Err(self.not_before_the_word(device));
            }
            if let Some(m) = self.master() {
                // An older one that it has goes for it.
                let old = stale_link::stale_link(self.world, device, path);
                let need = old.map_or(replica.price(m), |old| old.need(replica));
                let keep = Keep { within: Some(path), inodes: &[m.id.ino] };
                let going = make_space(self.world, device, self.quota(device), need, keep)
                    .map_err(|why| self.no_room(device, &format!("{path} does not fit"), why))?;
                ops.extend(evict(self.world, device, &going));
                if replica.exceptions.contains(path) {
                    ops.push(Op::Note(Fact::Unexcept(device.clone(), path.clone())));
                }
                ops.extend(stale_link::get(self.world, device, path, m, self.now));
            } else if self.is_folder() {
                let plan = get_folder(self, device, path)
                    .map_err(|why| self.no_room(device, &format!("nothing of {path} fits"), why))?;
                ops.extend(plan.ops);
                hollow.extend(plan.hollow);
                if let Some(short) = plan.short {
                    let files = match plan.left_out {
                        1 => "1 file".to_owned(),
                        n => format!("{n} files"),
                    };
                    missing.push_str(&format!(
                        "; {files} of it did not fit {}, the newest were taken first: {short}",
                        self.label(device)
                    ));
                }
            } else {
                return Err(self.not_there());
            }
            if ops.len() >= CHUNK {
                ops.extend(before_later_parts(self, &to[n + 1..]));
                break;
            }
        }
        Ok(Linked { ops, hollow, missing })
    }

    pub(super) fn not_there(&self) -> Planned {
        if let Some(elsewhere) = self.world.elsewhere_above(&self.wish.path) {
            return Planned::refused(format!(
                "{} lies on another file system (a mount, a subvolume or a snapshot), of which nothing is taken in; \
                 copy what you want of it into an ordinary folder",
                master(elsewhere)
            ));
        }
        Planned::refused(format!(
            "there is no {} at home any more; the page was older than the drive",
            self.wish.path
        ))
    }

    /// What is answered when something does not fit a device: no, or not before it is known what may go.
    pub(super) fn no_room(&self, device: &Holder, what: &str, why: NoSpace) -> Planned {
        match why {
            NoSpace::Untold => self.waits_for_word(device),
            NoSpace::Short(short) => {
                Planned::refused(format!("{what} {}: {short}", self.label(device)))
            }
        }
    }

    pub(super) fn waits_for_word(&self, device: &Holder) -> Planned {
        Planned::waiting(format!("word of what is still on its way to {}", self.label(device)))
    }
}

/// A folder that is larger than the room on the device: the newest files first, each that fits, room
/// made for them by what was used longest ago outside the folder.
fn get_what_fits(
    asked: &Asked<'_>,
    device: &Holder,
    path: &RelPath,
    mut plan: FolderPlan,
) -> Result<FolderPlan, NoSpace> {
    let (Some(replica), Some(quota)) = (asked.replica(device), asked.quota(device)) else {
        return Ok(plan);
    };
    let mut wanted: Vec<(Time, RelPath, Stat)> = Vec::new();
    // Each content once, whatever names it has in the folder.
    let mut lacking: HashMap<u64, u64> = HashMap::new();
    missing(asked, replica, path, |p, stat| {
        if leaves_out(asked) && replica.excepts(&p) {
            // The first part of this plan found no room for it.
            plan.left_out += 1;
            lacking.insert(stat.id.ino, replica.price(stat).0);
        } else {
            wanted.push((stat.id.mtime, p, *stat));
        }
    });
    wanted.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    // Contents that it has under other names cost nothing while those stay.
    let has = wanted.iter().map(|(_, _, s)| s.id.ino).filter(|ino| replica.links_of(*ino) > 0);
    let mut inodes: Vec<u64> = has.collect();
    inodes.sort_unstable();
    let keep = Keep { within: Some(path), inodes: &inodes };
    let held = Oldest::on(asked.world, replica, keep).held;
    if replica.untold && waits(replica, quota, &held, &wanted, &inodes) {
        return Err(NoSpace::Untold);
    }
    let mut room = (quota.0 + held.may_go.0).saturating_sub(replica.used().0);
    let mut chosen = Vec::new();
    let (mut need, mut links) = (0, plan.ops.len());
    let mut counted: HashSet<u64> = inodes.iter().copied().collect();
    for (_, p, stat) in wanted {
        let price = if counted.contains(&stat.id.ino) { 0 } else { stat.charge().0 };
        if price <= room {
            room -= price;
            counted.insert(stat.id.ino);
            // The rest of what fits is another part's; there is as much room for it then.
            if links < CHUNK {
                links += 1;
                need += price;
                chosen.push((p, stat));
            }
        } else {
            plan.left_out += 1;
            lacking.insert(stat.id.ino, price);
            plan.ops.push(Op::Note(Fact::Except(device.clone(), p)));
        }
    }
    lacking.retain(|ino, _| !counted.contains(ino));
    let short = held.shortfall(Bytes(lacking.values().sum()), quota);
    let some_there = replica.links.dir(path).is_some_and(|dir| {
        let mut some = false;
        replica.links.for_each(dir, |_, _| some = true);
        some
    });
    if chosen.is_empty() && plan.left_out > 0 && !some_there {
        return Err(NoSpace::Short(short));
    }
    used(asked, device, path, &mut plan.ops);
    plan.short = (plan.left_out > 0).then_some(short);
    let going = make_space(asked.world, device, Some(quota), Bytes(need), keep)?;
    plan.ops.extend(evict(asked.world, device, &going));
    for (p, stat) in chosen {
        let to = on(device, &p);
        plan.ops.push(Op::Link { from: master(&p), ino: stat.id.ino, to });
    }
    Ok(plan)
}

/// True when what room there is may be another once somebody told what is on its way to the device: what is
/// wanted does not fit as it is, and some of it may then. What the device has are the inodes in `has`.
fn waits(
    replica: &Replica,
    quota: Bytes,
    held: &Held,
    wanted: &[(Time, RelPath, Stat)],
    has: &[u64],
) -> bool {
    let mut counted: HashSet<u64> = has.iter().copied().collect();
    let new = wanted.iter().filter(|(_, _, stat)| counted.insert(stat.id.ino));
    let prices: Vec<Bytes> = new.map(|(_, _, stat)| stat.charge()).collect();
    let full = prices.iter().fold(replica.used().0, |full, price| full.saturating_add(price.0));
    let at_best = held.at_best(quota);
    full > quota.0 && prices.iter().any(|price| price.0 > 0 && *price <= at_best)
}

fn missing(
    asked: &Asked<'_>,
    replica: &Replica,
    path: &RelPath,
    mut each: impl FnMut(RelPath, &Stat),
) {
    if let Some(dir) = asked.world.files.dir(path) {
        missing_in(asked, replica, dir, |path, stat| {
            each(path, stat);
            true
        });
    }
}

/// Every master below a folder that the device does not have, until `each` has seen enough.
fn missing_in(
    asked: &Asked<'_>,
    replica: &Replica,
    dir: DirId,
    mut each: impl FnMut(RelPath, &Stat) -> bool,
) {
    let files = &asked.world.files;
    let mut bytes = Vec::new();
    let mut more = true;
    files.for_each_dir(dir, |d, at| {
        if !more {
            return;
        }
        // Folder by folder, so that a path is made only for what is missing.
        let held = RelPath::new(at).ok().and_then(|p| replica.links.dir(&p));
        for (name, stat) in files.files(d) {
            if held.is_some_and(|h| replica.links.get_in(h, name).is_some())
                && replica.absent.is_empty()
            {
                continue;
            }
            bytes.clear();
            bytes.extend_from_slice(at);
            if !at.is_empty() {
                bytes.push(b'/');
            }
            bytes.extend_from_slice(name);
            let Ok(path) = RelPath::new(&bytes) else { continue };
            if replica.links.get(&path).is_none() || replica.absent.contains_key(&path) {
                more = each(path, stat);
                if !more {
                    return;
                }
            }
        }
    });
}

/// Unlinks what a device has below a folder, and stops following it.
pub(super) fn delete_folder(world: &World, device: &Holder, path: &RelPath) -> Vec<Op> {
    let Some(replica) = world.replicas.get(device) else { return Vec::new() };
    let mut ops = Vec::new();
    for follow in within(&replica.follows, path) {
        ops.push(Op::Note(Fact::Unfollow(device.clone(), follow)));
    }
    for pin in within(&replica.pins, path) {
        ops.push(Op::Note(Fact::Unpin(device.clone(), pin)));
    }
    let above = path.ancestors().iter().any(|a| replica.follows.contains(a));
    for except in within(&replica.exceptions, path) {
        if !(above && except == *path) {
            ops.push(Op::Note(Fact::Unexcept(device.clone(), except)));
        }
    }
    if above && !replica.exceptions.contains(path) {
        ops.push(Op::Note(Fact::Except(device.clone(), path.clone())));
    }
    if let Some(dir) = replica.links.dir(path) {
        replica.links.for_each(dir, |p, link| {
            let Ok(p) = RelPath::new(p) else { return };
            // A copy that is not at home yet stays until it is.
            let absent = || Op::Unlink { at: on(device, &p), ino: link.id.ino };
            let gone = stale_link::let_go(world, device, &p, link);
            let gone = gone.or_else(|| replica.absent.contains_key(&p).then(absent));
            if ops.len() < CHUNK {
                ops.extend(gone);
            }
        });
        remove_folders(&replica.links, dir, |p| on(device, &p), &mut ops);
    } else if !path.is_root() && replica.follows(path) {
        // Got when it was empty: the book has only what links are in.
        ops.push(Op::RemoveDir(on(device, path)));
    }
    ops
}

/// Destroys the masters below a folder and every link made from them, then the empty folders.
/// `Err` names a device whose change of one of them is not at home yet.
pub(super) fn destroy_folder(
    world: &World,
    config: &Config,
    path: &RelPath,
    keep: bool,
) -> Result<Vec<Op>, Holder> {
    let Some(dir) = world.files.dir(path) else { return Ok(Vec::new()) };
    let mut ops = Vec::new();
    let mut unsaved = None;
    world.files.for_each(dir, |p, m| {
        if ops.len() >= CHUNK || unsaved.is_some() {
            return;
        }
        let Ok(p) = RelPath::new(p) else { return };
        for (device, at, link) in world.links_for(&p) {
            if let Some(gone) = stale_link::let_go(world, device, &at, &link) {
                ops.push(gone);
            } else if world.looks_after(config, device) {
                unsaved = Some(device.clone());
            }
        }
        super::holder::unlink_or_keep(world, &p, &mut ops);
        ops.push(Op::Destroy { path: p, id: m.id, keep });
    });
    if let Some(device) = unsaved {
        return Err(device);
    }
    for (device, replica) in &world.replicas {
        if device.shared_folder().is_some() {
            // It stays shared; its names are those below the folder at home.
            let all = RelPath::root();
            let whole = world.home_of(device, &all).is_some_and(|home| home.is_within(path));
            let below = if whole { Some(all) } else { world.path_on(device, path) };
            let again = below.map(|below| within(&replica.exceptions, &below)).unwrap_or_default();
            let again = again.into_iter().map(|p| Op::Note(Fact::Unexcept(device.clone(), p)));
            ops.extend(again);
            continue;
        }
        for follow in within(&replica.follows, path) {
            ops.push(Op::Note(Fact::Unfollow(device.clone(), follow)));
        }
        for pin in within(&replica.pins, path) {
            ops.push(Op::Note(Fact::Unpin(device.clone(), pin)));
        }
        for except in within(&replica.exceptions, path) {
            ops.push(Op::Note(Fact::Unexcept(device.clone(), except)));
        }
        if let Some(dir) = replica.links.dir(path) {
            remove_folders(&replica.links, dir, |p| on(device, &p), &mut ops);
        }
    }
    remove_folders(&world.files, dir, |p| master(&p), &mut ops);
    Ok(ops)
}

/// The empty folders of a tree go, the deepest first; only once their files fit the same part.
fn remove_folders<T: Copy>(
    tree: &Tree<T>,
    dir: DirId,
    spot: impl Fn(RelPath) -> Spot,
    ops: &mut Vec<Op>,
) {
    if ops.len() >= CHUNK {
        return;
    }
    let mut folders = Vec::new();
    tree.for_each_dir(dir, |_, p| folders.extend(RelPath::new(p)));
    ops.extend(folders.into_iter().rev().filter(|p| !p.is_root()).map(|p| Op::RemoveDir(spot(p))));
}

/// What a page shows of a folder: the sum of the sizes and the newest mtime of its files.
pub(super) fn seen_folder(world: &World, path: &RelPath) -> Seen {
    let mut seen = Seen { size: 0, mtime: 0 };
    if let Some(dir) = world.files.dir(path) {
        let mut newest: Option<i64> = None;
        world.files.for_each(dir, |_, stat| {
            seen.size += stat.id.size;
            newest = newest.max(Some(stat.id.mtime.secs()));
        });
        seen.mtime = newest.unwrap_or(0);
    }
    seen
}

fn within(set: &BTreeSet<RelPath>, folder: &RelPath) -> Vec<RelPath> {
    set.iter().filter(|p| p.is_within(folder)).cloned().collect()
}
