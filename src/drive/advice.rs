//! What the owner is told of a drive, and what to do then. Pure.
//!
//! No sentence here says that something is broken, copied or may be erased when that was not proven, and no way to
//! erase is told beside a drive that may be sound and only can't be read here. STATUS.txt cuts what is longer than
//! 300 characters, so a list is several pieces of advice.

use super::decision::{Advice, Choice, NotCopied, importable, is_nothing};
use super::signature::Kind;
use super::table::Role;
use super::words::{full_words, of, part_words, whole};
use super::{Disk, Inside, Volume};
use crate::status::Condition;

fn advice(condition: Condition, what: String, next: impl Into<String>) -> Advice {
    Advice { condition, what, next: next.into() }
}

pub(super) fn write_protected(disk: &Disk) -> Advice {
    advice(
        Condition::DriveUnusable,
        format!("{} is write-protected.", of(disk)),
        "Look for a switch on its side. A drive without one may refuse to be written because it wears out: copy it, \
         and use another one.",
    )
}

pub(super) fn unreadable(disk: &Disk, why: &str) -> Advice {
    advice(
        Condition::DriveUnusable,
        format!("{} can't be read: {why}.", of(disk)),
        "Try another USB port and cable, and a power supply of its own; if that does not help, try the drive in a \
         computer.",
    )
}

/// Shown by this enclosure with sectors of another size than it was formatted for.
pub(super) fn other_enclosure(disk: &Disk, sectors: u64) -> Advice {
    advice(
        Condition::DriveUnusable,
        format!(
            "{} was formatted in another enclosure or dock, for sectors of {sectors} bytes: this one shows the drive \
             differently, so it can't be read here. Its files may all be there. Nothing was written to it.",
            of(disk)
        ),
        "Put it back into the enclosure or dock that it came from.",
    )
}

/// Larger than a kernel of 32 bits can reach.
pub(super) fn out_of_reach(disk: &Disk) -> Advice {
    advice(
        Condition::DriveUnusable,
        format!(
            "{} has {}, and this Pi runs a system of 32 bits, which can reach 16 TiB (17.6 TB) of a drive. The drive \
             is not to blame. Nothing was written to it.",
            of(disk),
            disk.size
        ),
        "Put card and drive into a Pi 4 or Pi 400: it runs the card's system of 64 bits. A Pi 3 does when the three \
         lines below `[pi4]` in config.txt on the card stand below `[pi3]`, too. A Pi 2 can't: use a drive of up to \
         16 TB.",
    )
}

pub(super) fn lost(disk: &Disk) -> Advice {
    advice(
        Condition::DriveUnusable,
        format!("{} is a Larder drive, but its file system can't be read any more.", of(disk)),
        "It is left as it is, because its files may still be saved: on a Linux computer `testdisk` finds a lost \
         partition, and `e2fsck` repairs one. If nobody misses it, format it in a computer, plug it in again and do \
         what is said here then.",
    )
}

/// The wish to format is fulfilled: by `words`, the drive that it names.
pub fn done(words: &str) -> Advice {
    advice(
        Condition::Ready,
        format!(
            "{words} is a Larder drive: the `format` line in larder.toml has nothing more to do."
        ),
        "Take that line out. As long as it stands there, a drive of this serial number that has \
         nothing of Larder on it is erased when it is plugged in after the next start: this one, if \
         it was formatted elsewhere meanwhile, or another one in the same USB dock.",
    )
}

pub(super) fn ambiguous(disk: &Disk, disks: &[Disk]) -> Advice {
    let same = disks.iter().filter(|other| other.identity == disk.identity);
    let all: Vec<String> = same.map(whole).collect();
    advice(
        Condition::Attention,
        format!(
            "Two drives with the same serial number {} are plugged in: {}.",
            disk.identity,
            all.join("; ")
        ),
        "Unplug the one that larder.toml does not mean, then switch off and on again.",
    )
}

pub(super) fn later(disk: &Disk) -> Advice {
    advice(
        Condition::Ready,
        format!("{} is to be formatted, but a Larder drive is in use.", of(disk)),
        "Unplug the Larder drive: then it is formatted and used. Or take the `format` line out of \
         larder.toml.",
    )
}

/// `copy`: of the one that is used.
pub(super) fn second_drive(disk: &Disk, volume: &Volume, copy: bool) -> Advice {
    let what = full_words(disk, volume);
    if copy {
        return advice(
            Condition::Ready,
            format!("A copy of the Larder drive is plugged in and not used: {what}."),
            "Unplug it and keep it in a safe place: with both plugged in at the next start, Larder would not know which \
             one to use.",
        );
    }
    advice(
        Condition::Ready,
        format!("A second Larder drive is plugged in and not used: {what}."),
        "Unplug it, or unplug the other one to use it.",
    )
}

/// One of them was copied to the others as a whole.
pub(super) fn copies(all: &[(&Disk, &Volume)]) -> Advice {
    let each: Vec<String> = all.iter().map(|(disk, volume)| full_words(disk, volume)).collect();
    advice(
        Condition::Attention,
        format!(
            "These drives are copies of each other, and Larder does not guess which one to use: {}.",
            each.join("; ")
        ),
        "Leave the one plugged in that Larder is to use, and unplug the others.",
    )
}

/// Shut only because the kernel takes one of two copies at a time.
pub(super) fn copy_of_another(original: &Disk, disk: &Disk, volume: &Volume) -> Advice {
    advice(
        Condition::Attention,
        format!(
            "{} is a copy of a drive that is plugged in, too ({}), and can't be looked at beside it. Nothing was \
             written to it.",
            full_words(disk, volume),
            of(original)
        ),
        "Unplug one of the two.",
    )
}

/// On the drive that Larder uses, or another one of Larder's: an import never copies from there.
pub(super) fn beside_larder(disk: &Disk, sources: &[Choice]) -> Advice {
    let each: Vec<&str> = sources.iter().map(|choice| choice.words.as_str()).collect();
    advice(
        Condition::Ready,
        format!(
            "{} {} not copied by `import`: it lies beside Larder's own files, on {}.",
            each.join(" and "),
            if each.len() == 1 { "is" } else { "are" },
            of(disk)
        ),
        "Nothing, when that is meant. To have its files in Larder, copy them to another drive in a computer, and plug \
         that one in.",
    )
}

/// Why a volume is not copied by an import; `None` for what is no volume at all.
pub(super) fn not_copied(disk: &Disk, volume: &Volume) -> Option<NotCopied> {
    // The frame around the partitions beyond the third of an old table: a sector or two.
    if volume.signature.kind == Kind::Partitioned && volume.size.0 <= 4096 {
        return None;
    }
    let kind = volume.signature.kind;
    let (why, next): (String, &str) = match (volume.role, kind) {
        (Role::Efi, _) => ("it only helps a computer to start".into(), ""),
        (Role::System, _) => ("it holds nobody's files".into(), ""),
        _ if is_nothing(volume) => ("it looks empty".into(), ""),
        (_, Kind::Member(_)) => {
            ("it can only be read with the other drives of its set".into(), how_to_read(kind))
        }
        (_, kind) if kind.can_serve() => {
            ("an import copies from FAT, exFAT and NTFS only".into(), how_to_read(kind))
        }
        (_, kind) => (format!("this Pi can't read {}", kind.name()), how_to_read(kind)),
    };
    let (disk, sequence) = (disk.name.clone(), disk.sequence);
    Some(NotCopied { disk, sequence, words: part_words(volume), why, next: next.into() })
}

/// An import is wished, and nothing of this disk can be copied: one piece of advice for each volume.
pub(super) fn nothing_to_import(disk: &Disk) -> Vec<Advice> {
    let tell = |volume: &Volume| {
        let left = not_copied(disk, volume)?;
        let why = match &volume.inside {
            Some(Inside::Unreadable(why)) => format!("it can't be opened here: {why}"),
            _ => left.why,
        };
        let what = format!("Nothing was copied of {} on {}: {why}.", left.words, of(disk));
        let next = if left.next.is_empty() { "Unplug it." } else { &left.next };
        Some(advice(Condition::Attention, what, next))
    };
    let all = |harmless: bool| {
        let some = disk.volumes.iter().filter(|volume| {
            let left = not_copied(disk, volume);
            left.is_some_and(|left| left.next.is_empty() == harmless)
        });
        some.filter_map(tell).collect::<Vec<Advice>>()
    };
    let told = all(false);
    if told.is_empty() { all(true) } else { told }
}

/// Where the files of such a thing can be had.
fn how_to_read(kind: Kind) -> &'static str {
    match kind {
        Kind::Other("HFS+" | "APFS") => {
            "Plug it into a Mac, and copy what you want to keep to a drive formatted as exFAT: Larder can import that."
        }
        Kind::Other("an encrypted drive (BitLocker)" | "ReFS") => {
            "Plug it into its Windows computer, and copy what you want to keep to a drive formatted as exFAT: Larder \
             can import that."
        }
        Kind::Member(_) => {
            "Put it back into the box or computer that it came from, with the other drives of its set, and copy the \
             files there."
        }
        kind if kind.can_serve() || matches!(kind, Kind::Other(_)) => {
            "Plug it into a Linux computer, and copy what you want to keep to a drive formatted as exFAT: Larder can \
             import that."
        }
        _ => "Look what is on it where it was used before.",
    }
}

/// A drive of somebody, which is not written.
pub(super) fn foreign(disk: &Disk, beside_ours: bool, disks: &[Disk]) -> Advice {
    let same = |other: &&Disk| other.identity == disk.identity && other.name != disk.name;
    let mut told = of_somebody(disk, beside_ours);
    let main = main_volume(disk, beside_ours);
    let beside = disk.volumes.iter().filter(|v| main != Some(*v) && !is_nothing(v));
    let mut beside: Vec<String> = beside.map(part_words).collect();
    let more = beside.len().saturating_sub(2);
    beside.truncate(2);
    if more > 0 {
        beside.push(format!("{more} more"));
    }
    if !beside.is_empty() {
        told.what += &format!(" Also on it: {}.", beside.join(" and "));
    }
    if let Some(twin) = disks.iter().find(same) {
        // Whatever is written for this number would be meant for both.
        told.next = format!(
            "First unplug the other drive with this serial number: {}. Then it is said here what to do with this one.",
            whole(twin)
        );
    }
    told
}

/// The volume that the drive is spoken of by.
fn main_volume(disk: &Disk, beside_ours: bool) -> Option<&Volume> {
    let sources = importable(disk);
    let is_source = |volume: &Volume| sources.iter().any(|source| source.node == volume.node);
    disk.volumes
        .iter()
        .max_by_key(|volume| (beside_ours && is_source(volume), !is_nothing(volume), volume.size))
}

fn of_somebody(disk: &Disk, beside_ours: bool) -> Advice {
    let id = &disk.identity;
    let sources = importable(disk);
    let is_source = |volume: &Volume| sources.iter().any(|source| source.node == volume.node);
    let main = main_volume(disk, beside_ours);
    let format = format!(
        "To use this drive, let Larder erase it: write `format = \"{id}\"` under `[drive]` in \
         larder.toml on the SD card and start again. ALL FILES ON IT GO."
    );
    let adopt = format!(
        "write `adopt = \"{id}\"` under `[drive]` in larder.toml on the SD card and start again: \
         nothing on it is changed, two folders are added."
    );
    let Some(volume) = main else {
        return advice(Condition::DriveUnusable, format!("{} has no partition.", of(disk)), format);
    };
    let what = full_words(disk, volume);
    let empty = disk.volumes.iter().find(|volume| volume.inside == Some(Inside::Nothing));
    if let Some(empty) = empty.filter(|_| !beside_ours || sources.is_empty()) {
        return advice(
            Condition::Attention,
            format!(
                "{what} may hold files, so an empty partition beside it ({}, {}) is not used \
                 without your word. Nothing was written to it.",
                empty.size,
                empty.signature.kind.name()
            ),
            format!("To let Larder use the empty partition, {adopt}"),
        );
    }
    match (volume.signature.kind, &volume.inside) {
        (kind, _) if kind.can_be_imported() => {
            let why = format!(
                "{what} can't be used: {} has no hard links, which Larder needs. Nothing was \
                 written to it.",
                kind.name()
            );
            let next = if beside_ours {
                let others = disk.volumes.iter().filter(|volume| !is_source(volume));
                let others = others.filter_map(|volume| not_copied(disk, volume));
                let others: Vec<String> =
                    others.map(|left| format!(" Not copied by that: {}.", left.words)).collect();
                format!(
                    "To copy its files to the Larder drive, write `import = true` under `[drive]` in \
                     larder.toml on the SD card and start again.{}",
                    others.concat()
                )
            } else {
                format!(
                    "{format} To keep them, plug in a second, empty drive as the Larder drive and \
                     write `import = true` instead."
                )
            };
            advice(Condition::DriveUnusable, why, next)
        }
        (Kind::Blank, _) => {
            let next = format!(
                "To use it, write `format = \"{id}\"` under `[drive]` in larder.toml on the SD card \
                 and start again."
            );
            advice(Condition::Attention, format!("{what} looks empty, with no file system."), next)
        }
        (kind, Some(Inside::Unreadable(why))) if kind.can_serve() => advice(
            Condition::DriveUnusable,
            format!(
                "{what} can't be opened here: {why}. Its files may all be there. Nothing was written to it."
            ),
            "Look at it on a Linux computer. If it opens there, copy what you want to keep; if it does not, have it \
             checked there (e2fsck, xfs_repair, btrfs check).",
        ),
        (kind, _) if kind.can_serve() => advice(
            Condition::Attention,
            format!("{what} has files that are not Larder's. Nothing was written to it."),
            format!("To let Larder use it beside what is there, {adopt}"),
        ),
        (kind @ Kind::Member(_), _) => advice(
            Condition::DriveUnusable,
            format!(
                "{what} can't be used: it is one of several drives that are read together. Nothing was written to it."
            ),
            how_to_read(kind),
        ),
        (kind, _) => advice(
            Condition::DriveUnusable,
            format!("{what} can't be used. Nothing was written to it."),
            format!("{} {format}", how_to_read(kind)),
        ),
    }
}
