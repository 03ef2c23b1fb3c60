//! What one name in a device's folder means, from three facts: what the book says (B), what is seen
//! there (S), and the master of that path (M). A folder that other people joined is held to the same
//! table; its masters are those below the folder that is shared.
//!
//! | B | S | M | meaning |
//! |---|---|---|---|
//! | – | – | M | the device follows the folder: link it |
//! | – | S | – | the device made a file: it becomes a master |
//! | – | S | S | a link of ours that a crash kept from the book |
//! | – | S | M | the device made a file whose name is taken at home: keep both |
//! | B | – |   | the device deleted it, once that has settled |
//! | B | B | B | all is well |
//! | B | B | – | the master was renamed at home: the link follows. Or removed there: it comes back |
//! | B | B | M | the master was replaced at home: the device gets the new one, or loses it (see [`super::behind`]) |
//! | B | S | – | edited on the device: it becomes the master |
//! | B | S | B | edited on the device, unchanged at home: it becomes the new version |
//! | B | S | M | changed on both sides: keep both |
//!
//! "The same" is the same inode. A master that was joined to an equal one is another inode, too: it was
//! replaced at home, but whoever edits the link of it changed one side only. A change in place is a change of all
//! its names at once, so it only matters when the names mean different inodes.

use super::quota::{Keep, NoSpace, evict, make_space};
use super::stale_link::{like, stale_link};
use super::{Fact, Op, Why, World, master, on};
use crate::model::dialect::conflict_of;
use crate::model::{Bytes, FileId, Holder, Link, RelPath, Stat, Time};

/// A look at one name in a device's folder.
#[derive(Clone, Debug)]
pub struct Observation<'a> {
    /// Whose folder.
    pub device: &'a Holder,
    /// Which name.
    pub path: &'a RelPath,
    /// The regular file that is there.
    pub seen: Option<Stat>,
    /// What is absent (here, or the master) has been so long enough to be believed.
    pub settled: bool,
    /// Where the inode that the book names is a master now, should it have moved.
    pub moved: Option<&'a RelPath>,
    /// The device's quota.
    pub quota: Option<Bytes>,
    /// The time of the look.
    pub now: Time,
}

/// Why nothing follows from a look yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotYet {
    /// What is absent has to be so for longer.
    Settling,
    /// Room has to be made on a device of which nobody told yet what is on its way to it: look again when that is
    /// known. What comes home from it without that does not wait.
    Untold,
}

/// Plans what follows from a look; nothing from one at a name that is nobody's.
pub fn reconcile(world: &World, observation: &Observation<'_>) -> Result<Vec<Op>, NotYet> {
    let Observation { device, path, seen, settled, .. } = *observation;
    let (Some(replica), Some(at_home)) = (world.replicas.get(device), &world.home_of(device, path))
    else {
        return Ok(Vec::new());
    };
    let links = replica.links.get(path);
    let home = world.files.get(at_home);
    let recorded = |stat: Stat, used| {
        let link = Link { id: stat.id, charge: stat.charge(), used };
        Op::Note(Fact::Link(device.clone(), path.clone(), link))
    };
    let now = observation.now.secs();

    let Some(seen) = seen else {
        return match (links, home) {
            (Some(_), _) if !settled => Err(NotYet::Settling),
            (Some(_), _) => Ok(forget(world, device, path)),
            (None, Some(m)) if replica.wants(path) => follow(world, observation, at_home, m),
            (None, _) => Ok(Vec::new()),
        };
    };
    if home.is_none() && world.elsewhere_above(at_home).is_some() {
        // Its place at home is hidden. With another name it may be its master that is; its last name is saved at once.
        return match seen.nlink {
            0 | 1 => keep_both(world, observation, at_home, seen),
            _ => Ok(Vec::new()),
        };
    }
    let same = |id: &FileId| id.ino == seen.id.ino;
    let adopt = || Op::Link { from: on(device, path), ino: seen.id.ino, to: master(at_home) };
    let ops = match (links, home) {
        (_, Some(m)) if same(&m.id) => match links {
            Some(b) if b.id == seen.id => Vec::new(),
            // Joined to an equal one, and a cut kept it from being recorded: that is no use of it.
            Some(b) if same(&b.id) || like(&b.id, &seen.id) => vec![recorded(seen, b.used)],
            _ => vec![recorded(seen, now)],
        },
        (None, None) | (Some(_), None) if world.is_folder(at_home) => {
            keep_both(world, observation, at_home, seen)?
        }
        (None, None) => match superfluous_conflict_copy(world, at_home, &seen) {
            true => vec![Op::Unlink { at: on(device, path), ino: seen.id.ino }],
            false => vec![adopt(), recorded(seen, now)],
        },
        (None, Some(_)) => keep_both(world, observation, at_home, seen)?,
        (Some(b), None) if same(&b.id) && !settled => return Err(NotYet::Settling),
        (Some(b), None) if same(&b.id) => {
            match observation.moved.map(|to| world.path_on(device, to)) {
                Some(Some(to)) if replica.links.get(&to).is_none() => {
                    let mut ops = vec![Op::Rename {
                        from: on(device, path),
                        to: on(device, &to),
                        ino: seen.id.ino,
                    }];
                    if replica.pins.contains(path) {
                        ops.push(Op::Note(Fact::Pin(device.clone(), to)));
                        ops.push(Op::Note(Fact::Unpin(device.clone(), path.clone())));
                    }
                    ops
                }
                Some(_) => vec![Op::Unlink { at: on(device, path), ino: seen.id.ino }],
                None => vec![adopt(), recorded(seen, b.used)],
            }
        }
        (Some(_), None) => vec![adopt(), recorded(seen, now)],
        // The link is as we made it, the master is another file: the device gets that.
        (Some(b), Some(_)) if b.id == seen.id => bring_up_to_date(world, observation, at_home)?,
        // The master is as it was, or was only joined to an equal one, and the link is another file: the device
        // edited it.
        (Some(b), Some(m)) if like(&b.id, &m.id) => vec![
            Op::Replace {
                at: master(at_home),
                old: m.id.ino,
                by: on(device, path),
                new: seen.id.ino,
                why: Why::Edited(device.clone()),
            },
            recorded(seen, now),
        ],
        (Some(_), Some(_)) => keep_both(world, observation, at_home, seen)?,
    };
    Ok(ops)
}

/// A file came into a folder that the device follows: room is made for it, or it is left out.
fn follow(
    world: &World,
    observation: &Observation<'_>,
    at_home: &RelPath,
    m: &Stat,
) -> Result<Vec<Op>, NotYet> {
    let Observation { device, path, quota, .. } = *observation;
    let price = world.replicas.get(device).map_or(Bytes(0), |h| h.price(m));
    let keep = Keep { within: Some(path), inodes: &[m.id.ino] };
    match make_space(world, device, quota, price, keep) {
        Ok(going) => {
            let mut ops = evict(world, device, &going);
            ops.push(Op::Link { from: master(at_home), ino: m.id.ino, to: on(device, path) });
            Ok(ops)
        }
        Err(NoSpace::Untold) => Err(NotYet::Untold),
        Err(NoSpace::Short(_)) => Ok(vec![Op::Note(Fact::Except(device.clone(), path.clone()))]),
    }
}

/// The master was replaced: the device gets the new one in place of what it has, and room is made
/// for what it is larger. Where there is none, the link goes, but for what may stay behind.
fn bring_up_to_date(
    world: &World,
    observation: &Observation<'_>,
    at_home: &RelPath,
) -> Result<Vec<Op>, NotYet> {
    let Observation { device, path, quota, .. } = *observation;
    let Some(old) = stale_link(world, device, path) else { return Ok(Vec::new()) };
    let new = old.master.id.ino;
    let replace = Op::Replace {
        at: on(device, path),
        old: old.link.id.ino,
        by: master(at_home),
        new,
        why: Why::Replaced,
    };
    match old.room(world, device, path, quota) {
        Ok(going) => {
            let mut ops = evict(world, device, &going);
            ops.push(replace);
            Ok(ops)
        }
        Err(NoSpace::Untold) => Err(NotYet::Untold),
        Err(NoSpace::Short(_)) if old.stays() => Ok(Vec::new()),
        Err(NoSpace::Short(_)) => {
            // The old content may have its last name here, and is kept by the first of these.
            let mut ops = vec![replace];
            let link = Link { id: old.master.id, ..old.link };
            ops.extend(evict(world, device, &[(path.clone(), link)]));
            Ok(ops)
        }
    }
}

/// The device does not have it any more, by its own doing: only the link is forgotten.
fn forget(world: &World, device: &Holder, path: &RelPath) -> Vec<Op> {
    let mut ops = vec![Op::Note(Fact::NoLink(device.clone(), path.clone()))];
    if world.replicas.get(device).is_some_and(|h| h.wants(path)) {
        ops.push(Op::Note(Fact::Except(device.clone(), path.clone())));
    }
    ops
}

/// The device's content goes by a name of its own, at home and on the device; the master keeps its
/// name, and the device gets the master under it again.
fn keep_both(
    world: &World,
    observation: &Observation<'_>,
    at_home: &RelPath,
    seen: Stat,
) -> Result<Vec<Op>, NotYet> {
    let Observation { device, path, now, .. } = *observation;
    // A crash may have come between the link at home and the rename on the device.
    let folder = at_home.parent().unwrap_or_default();
    let begun = world.files.dir(&folder).and_then(|dir| {
        let (name, _) = world.files.files(dir).find(|(_, m)| m.id.ino == seen.id.ino)?;
        folder.join(name).ok()
    });
    let other = begun.unwrap_or_else(|| match world.elsewhere_above(at_home) {
        Some(hidden) => beside(world, at_home, hidden, device, now),
        None => conflict_name(world, at_home, device, now),
    });
    // The device's name is never without a file: it has the other name before it means the master,
    // so that a cut in between looks like nothing that the device did.
    let here = on(device, path);
    let mut ops = vec![Op::Link { from: here.clone(), ino: seen.id.ino, to: master(&other) }];
    ops.extend(world.path_on(device, &other).map(|other| {
        let to = on(device, &other);
        Op::Link { from: here.clone(), ino: seen.id.ino, to }
    }));
    let Some(m) = world.files.get(at_home) else {
        ops.push(Op::Unlink { at: here, ino: seen.id.ino });
        return Ok(ops);
    };
    // The device gets the master under the name if there is room for both.
    let need = world.replicas.get(device).map_or(Bytes(0), |h| {
        let link = h.links.get(path);
        let freed = link.filter(|b| h.links_of(b.id.ino) == 1).map_or(0, |b| h.cost_of(b.id.ino).0);
        Bytes((h.price(m).0 + h.price(&seen).0).saturating_sub(freed))
    });
    let mut inodes = [m.id.ino, seen.id.ino];
    inodes.sort_unstable();
    let keep = Keep { within: Some(path), inodes: &inodes };
    match make_space(world, device, observation.quota, need, keep) {
        Ok(going) => {
            ops.extend(evict(world, device, &going));
            let (old, by, why) = (seen.id.ino, master(at_home), Why::Replaced);
            ops.push(Op::Replace { at: here, old, by, new: m.id.ino, why });
        }
        Err(NoSpace::Untold) => return Err(NotYet::Untold),
        Err(NoSpace::Short(_)) => {
            ops.push(Op::Unlink { at: here, ino: seen.id.ino });
            if world.replicas.get(device).is_some_and(|h| h.wants(path)) {
                ops.push(Op::Note(Fact::Except(device.clone(), path.clone())));
            }
        }
    }
    Ok(ops)
}

/// `folder (HTCphone)/name`: where a device's content goes when `folder` lies on another file system.
fn beside(world: &World, path: &RelPath, hidden: &RelPath, device: &Holder, now: Time) -> RelPath {
    let whose = device.name();
    let mark = format!(" ({})", &whose[..whose.floor_char_boundary(64)]);
    let (top, rest) = (hidden.as_bytes(), &path.as_bytes()[hidden.as_bytes().len()..]);
    match RelPath::new(&[top, mark.as_bytes(), rest].concat()) {
        Ok(free) if world.files.get(&free).is_none() && !world.is_folder(&free) => free,
        Ok(taken) => conflict_name(world, &taken, device, now),
        // Too long with the mark: the name goes to the top folder.
        Err(_) => {
            let name = RelPath::new(path.name().unwrap_or(b"file")).unwrap_or_default();
            conflict_name(world, &name, device, now)
        }
    }
}

/// `name (HTCphone 2026-11-23 10-00-00).ext`: where a device's content goes when its name is taken
/// at home. Cut to 255 bytes, and counted on until it is free.
pub fn conflict_name(world: &World, path: &RelPath, device: &Holder, now: Time) -> RelPath {
    let name = path.name().unwrap_or(b"file");
    let dot = name.iter().rposition(|&b| b == b'.').filter(|&i| i > 0 && name.len() - i <= 16);
    let (stem, extension) = name.split_at(dot.unwrap_or(name.len()));
    let folder = path.parent().unwrap_or_default();
    let whose = device.name();
    let whose = &whose[..whose.floor_char_boundary(64)];
    let mut count = 1;
    loop {
        let mark = match count {
            1 => format!(" ({whose} {})", now.for_name()),
            n => format!(" ({whose} {} {n})", now.for_name()),
        };
        let room = 255usize.saturating_sub(mark.len() + extension.len());
        // Not in the middle of a character.
        let mut cut = stem.len().min(room);
        while cut < stem.len() && cut > 0 && stem[cut] & 0xc0 == 0x80 {
            cut -= 1;
        }
        let full = [&stem[..cut], mark.as_bytes(), extension].concat();
        match folder.join(&full) {
            Ok(free) if world.files.get(&free).is_none() && !world.is_folder(&free) => return free,
            Ok(_) => count += 1,
            // The folder's path is so long that no mark fits: the name goes to the top folder.
            Err(_) => return RelPath::new(&full).unwrap_or_default(),
        }
    }
}

/// True for the sync engine's copy of our own side of a conflict: its content is the master's.
fn superfluous_conflict_copy(world: &World, path: &RelPath, seen: &Stat) -> bool {
    path.name()
        .and_then(conflict_of)
        .and_then(|base| path.parent()?.join(&base).ok())
        .and_then(|base| world.files.get(&base).copied())
        .is_some_and(|m| m.id.ino == seen.id.ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_secs(1_795_428_000);

    fn path(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).unwrap()
    }

    fn htc() -> Holder {
        Holder::decode("HTCphone").unwrap()
    }

    fn stat(ino: u64, mtime: i64) -> Stat {
        Stat { id: FileId { ino, size: 10, mtime: Time::from_secs(mtime) }, nlink: 2, sectors: 8 }
    }

    /// B, S and M as (inode, mtime).
    fn plan(
        b: Option<(u64, i64)>,
        s: Option<(u64, i64)>,
        m: Option<(u64, i64)>,
        settled: bool,
        moved: Option<&str>,
        follows: bool,
    ) -> Result<Vec<String>, NotYet> {
        let mut world = World::default();
        world.replicas.entry(htc()).or_default();
        if let Some((ino, mtime)) = b {
            let id = stat(ino, mtime).id;
            world.note(&Fact::Link(htc(), path("d/x.txt"), Link { id, charge: Bytes(1), used: 0 }));
        }
        if let Some((ino, mtime)) = m {
            world.note(&Fact::Master(path("d/x.txt"), stat(ino, mtime)));
        }
        if follows {
            world.note(&Fact::Follow(htc(), path("d")));
        }
        let moved = moved.map(path);
        let (device, at) = (htc(), path("d/x.txt"));
        let observation = Observation {
            device: &device,
            path: &at,
            seen: s.map(|(ino, mtime)| stat(ino, mtime)),
            settled,
            moved: moved.as_ref(),
            quota: None,
            now: NOW,
        };
        let ops = reconcile(&world, &observation)?;
        // One line an operation, the parts that all have in common shortened.
        let short = |op: &Op| {
            op.to_string()
                .replace("BTsync/files/", "F:")
                .replace("BTsync/devices/HTCphone/", "P:")
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        Ok(ops.iter().map(short).collect())
    }

    const KEEP_BOTH: [&str; 3] = [
        "link P:d/x.txt -> F:d/x (HTCphone 2026-11-23 10-00-00).txt",
        "link P:d/x.txt -> P:d/x (HTCphone 2026-11-23 10-00-00).txt",
        "replace P:d/x.txt by F:d/x.txt",
    ];

    #[test]
    fn every_row_of_the_table() {
        let (one, two, three) = (Some((1, 0)), Some((2, 4)), Some((3, 9)));
        // Joined to an equal one: another inode of the same size and mtime.
        let joined = Some((3, 0));
        let touched = Some((1, 9));
        type Id = Option<(u64, i64)>;
        let rows: Vec<(Id, Id, Id, &[&str])> = vec![
            (None, None, None, &[]),
            (None, None, one, &[]),
            (None, one, None, &["link P:d/x.txt -> F:d/x.txt", "note HTCphone has d/x.txt"]),
            (None, one, one, &["note HTCphone has d/x.txt"]),
            (None, one, two, &KEEP_BOTH),
            (one, None, one, &["note HTCphone does not have d/x.txt any more"]),
            (one, None, None, &["note HTCphone does not have d/x.txt any more"]),
            (one, one, one, &[]),
            (one, touched, touched, &["note HTCphone has d/x.txt"]),
            (one, one, None, &["link P:d/x.txt -> F:d/x.txt", "note HTCphone has d/x.txt"]),
            (one, one, two, &["replace P:d/x.txt by F:d/x.txt"]),
            (one, touched, two, &KEEP_BOTH),
            (one, two, None, &["link P:d/x.txt -> F:d/x.txt", "note HTCphone has d/x.txt"]),
            (one, two, two, &["note HTCphone has d/x.txt"]),
            (one, two, one, &["replace F:d/x.txt by P:d/x.txt", "note HTCphone has d/x.txt"]),
            (one, two, touched, &KEEP_BOTH),
            (one, two, joined, &["replace F:d/x.txt by P:d/x.txt", "note HTCphone has d/x.txt"]),
            (one, two, three, &KEEP_BOTH),
        ];
        for (b, s, m, ops) in rows {
            let planned = plan(b, s, m, true, None, false).unwrap();
            assert_eq!(planned, ops, "book {b:?}, seen {s:?}, master {m:?}");
        }
    }

    #[test]
    fn a_joined_master_costs_nobody_a_file() {
        let mut world = World::default();
        let (at, pinned) = (path("d/x.txt"), path("pinned"));
        let link = |ino, charge| Link { id: stat(ino, 0).id, charge: Bytes(charge), used: 7 };
        world.note(&Fact::Link(htc(), at.clone(), link(1, 4096)));
        world.note(&Fact::Link(htc(), pinned.clone(), link(9, 100)));
        world.note(&Fact::Pin(htc(), pinned.clone()));
        world.note(&Fact::Master(pinned, stat(9, 0)));
        world.note(&Fact::Master(at.clone(), stat(2, 0)));
        world.deduplicated.insert(1, 2);
        let device = htc();
        let mut observation = Observation {
            device: &device,
            path: &at,
            seen: Some(stat(1, 0)),
            settled: true,
            moved: None,
            quota: Some(Bytes(4196)),
            now: NOW,
        };
        let ops = reconcile(&world, &observation).unwrap();
        assert!(matches!(ops[..], [Op::Replace { old: 1, new: 2, .. }]), "{ops:?}");
        // The other inode takes more blocks, and there is no room for them: it stays as it is.
        world.note(&Fact::Master(at.clone(), Stat { sectors: 16, ..stat(2, 0) }));
        assert_eq!(reconcile(&world, &observation).unwrap(), []);
        // Nor does a scan take it away when nobody remembers any more that they were joined.
        world.deduplicated.clear();
        assert_eq!(reconcile(&world, &observation).unwrap(), []);
        // What was saved anew is another content: there is no room for that, and it can be got again.
        world.note(&Fact::Master(at.clone(), Stat { sectors: 16, ..stat(2, 1) }));
        let ops = reconcile(&world, &observation).unwrap();
        assert!(
            matches!(ops[..], [Op::Replace { .. }, Op::Evict { ino: 2, except: false, .. }]),
            "{ops:?}"
        );
        world.note(&Fact::Follow(htc(), path("d")));
        let ops = reconcile(&world, &observation).unwrap();
        assert!(
            matches!(ops[1..], [Op::Evict { except: true, .. }]),
            "it does not come back by itself: {ops:?}"
        );
        // What is pinned stays as it is, by itself or with its folder.
        for pinned in ["d", "d/x.txt"] {
            world.note(&Fact::Pin(htc(), path(pinned)));
            assert_eq!(reconcile(&world, &observation).unwrap(), []);
            world.note(&Fact::Unpin(htc(), path(pinned)));
        }
        world.note(&Fact::Unfollow(htc(), path("d")));
        // A cut came before it was remembered: the use stays all the same.
        observation.seen = Some(stat(2, 0));
        world.note(&Fact::Master(at.clone(), stat(2, 0)));
        let noted = Op::Note(Fact::Link(htc(), at.clone(), link(2, 4096)));
        assert_eq!(reconcile(&world, &observation).unwrap(), [noted]);
    }

    #[test]
    fn absence_is_not_deletion_until_it_has_settled() {
        let one = Some((1, 0));
        assert_eq!(plan(one, None, one, false, None, false), Err(NotYet::Settling));
        assert_eq!(plan(one, one, None, false, None, false), Err(NotYet::Settling));
        // What is there needs no settling.
        assert!(plan(one, Some((2, 0)), one, false, None, false).is_ok());
    }

    #[test]
    fn a_follower_gets_what_comes_and_remembers_what_it_deleted() {
        let one = Some((1, 0));
        assert_eq!(
            plan(None, None, one, false, None, true).unwrap(),
            ["link F:d/x.txt -> P:d/x.txt"]
        );
        assert_eq!(
            plan(one, None, one, true, None, true).unwrap(),
            ["note HTCphone does not have d/x.txt any more", "note HTCphone does not want d/x.txt"]
        );
    }

    #[test]
    fn a_rename_at_home_takes_the_link_along() {
        let one = Some((1, 0));
        assert_eq!(
            plan(one, one, None, true, Some("e/y.txt"), false).unwrap(),
            ["rename P:d/x.txt -> P:e/y.txt"]
        );
    }

    #[test]
    fn the_sync_engines_copy_of_our_own_side_goes() {
        let mut world = World::default();
        world.replicas.entry(htc()).or_default();
        world.note(&Fact::Master(path("a/x.txt"), stat(1, 0)));
        let (device, at) = (htc(), path("a/x.sync-conflict-20261123-100000-ABCDEFG.txt"));
        let mut observation = Observation {
            device: &device,
            path: &at,
            seen: Some(stat(1, 0)),
            settled: false,
            moved: None,
            quota: None,
            now: NOW,
        };
        let ops = reconcile(&world, &observation).unwrap();
        assert_eq!(ops, [Op::Unlink { at: on(&device, &at), ino: 1 }]);
        observation.seen = Some(stat(2, 0));
        assert!(matches!(reconcile(&world, &observation).unwrap()[0], Op::Link { .. }));
    }

    #[test]
    fn conflict_names_are_free_and_fit() {
        let mut world = World::default();
        let name =
            |world: &World, text: &str| conflict_name(world, &path(text), &htc(), NOW).to_string();
        assert_eq!(name(&world, "a/b.tar.gz"), "a/b.tar (HTCphone 2026-11-23 10-00-00).gz");
        assert_eq!(name(&world, "a/.hidden"), "a/.hidden (HTCphone 2026-11-23 10-00-00)");
        let taken = conflict_name(&world, &path("x"), &htc(), NOW);
        world.note(&Fact::Master(taken, stat(1, 0)));
        assert_eq!(name(&world, "x"), "x (HTCphone 2026-11-23 10-00-00 2)");
        let long = format!("{}.jpg", "é".repeat(125));
        let cut = conflict_name(&world, &path(&long), &htc(), NOW);
        assert!(cut.as_bytes().len() <= 255 && cut.as_bytes().ends_with(b"10-00-00).jpg"));
        assert!(std::str::from_utf8(cut.as_bytes()).is_ok());
    }
}
