//! What to do with the plugged-in disks. Pure: probed facts and the owner's settings in, a
//! [`Decision`] with words for the owner out.
//!
//! A file system that can serve (ext4, btrfs, XFS) is Larder's when it holds Larder's folders, has
//! the label LARDER, was named under `[drive] adopt`, or when nothing at all is on its whole disk:
//! an empty partition beside somebody's files waits for the owner's word. Everything else is
//! somebody's and is not written, unless it is named under `[drive] format`. A drive that is
//! Larder's already is never formatted, whatever the settings say: that is how one wish formats
//! once. So is a partition that Larder formatted and whose file system is lost, with or without the
//! partition table: formatting it again could destroy what may still be saved. What has none of
//! Larder's marks any more can't be told from a new drive. So the owner is told to take a wish that
//! is fulfilled out of the settings, and the supervisor forgets it until it is started again.

use super::signature::Kind;
use super::{Disk, Inside, LABEL, Volume};
use crate::config;
use crate::status::Condition;

/// Everything to be done about the disks that are there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Decision {
    /// The volume to check and mount.
    pub mount: Option<Choice>,
    /// The disk to format, by its kernel name and identity.
    pub format: Option<(String, String)>,
    /// Volumes whose files are to be copied over.
    pub import: Vec<Choice>,
    /// The wish to format a disk has nothing left to do: what the owner should know of it from now on.
    pub done: Option<Advice>,
    /// What else the owner should know.
    pub advice: Vec<Advice>,
}

/// A volume to mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Choice {
    /// Its disk, by the kernel's name.
    pub disk: String,
    /// Which plugging-in of that disk.
    pub sequence: u64,
    /// Its own name, as `sda1`.
    pub node: String,
    /// Its kind.
    pub kind: Kind,
    /// Its number, probed again right before it is mounted.
    pub uuid: String,
    /// What it is called in words.
    pub words: String,
}

/// Something to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Advice {
    /// What the LED makes of it; `Ready` for something merely told.
    pub condition: Condition,
    /// What is the matter.
    pub what: String,
    /// What to do.
    pub next: String,
}

/// How much a volume is Larder's. The greater goes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Claim {
    Empty,
    Adopted,
    Labelled,
    Holds,
}

/// Decides. `disks` come in the order in which they are to be preferred; `in_use` is the volume
/// that is mounted already, which stays whatever else is plugged in.
pub fn decide(disks: &[Disk], settings: &config::Drive, in_use: Option<&str>) -> Decision {
    let mut decision = Decision::default();
    let wished = |wish: &Option<String>, disk: &Disk| {
        wish.as_deref().is_some_and(|wish| wish.trim().eq_ignore_ascii_case(&disk.identity))
    };
    let twins = |disk: &Disk| disks.iter().filter(|d| d.identity == disk.identity).count() > 1;
    let mut claims = Vec::new();
    for disk in disks {
        let adopted = wished(&settings.adopt, disk) && !twins(disk);
        let empty = disk.volumes.iter().all(is_nothing);
        for volume in &disk.volumes {
            if let Some(claim) = claim(volume, adopted, empty) {
                claims.push((claim, disk, volume));
            }
        }
    }
    // The first of the greatest claims: max_by_key takes the last of equals, hence the reversal.
    let best = claims.iter().rev().max_by_key(|(claim, disk, volume)| {
        // The owner was asked for the empty one, where there is one.
        let asked_for = *claim == Claim::Adopted && is_nothing(volume);
        (in_use == Some(volume.node.as_str()), !disk.read_only, *claim, asked_for)
    });
    if let Some((_, disk, volume)) = best {
        if disk.read_only {
            decision.advice.push(write_protected(disk));
        } else {
            decision.mount = Some(choice(disk, volume));
        }
        // One beside it on an adopted disk is no second drive.
        let second = |c: &Claim, other: &Disk| match c {
            Claim::Empty => false,
            Claim::Adopted => other.name != disk.name,
            Claim::Labelled | Claim::Holds => true,
        };
        for (_, other, spare) in
            claims.iter().filter(|(c, other, v)| second(c, other) && v != volume)
        {
            decision.advice.push(second_drive(other, spare));
        }
    }
    let mounted = decision.mount.as_ref().map(|choice| choice.disk.clone());
    let is_larders = |disk: &&Disk| {
        mounted.as_ref() == Some(&disk.name)
            || was_formatted(disk)
            || claims.iter().any(|(c, other, _)| *c > Claim::Empty && other.name == disk.name)
    };
    let mut wanted = disks.iter().filter(|disk| wished(&settings.format, disk));
    decision.done = wanted.find(is_larders).map(|disk| done(&of(disk)));
    let ours = mounted.is_some();
    for disk in disks.iter().filter(|disk| claims.iter().all(|(_, claimed, _)| claimed != disk)) {
        let formats = wished(&settings.format, disk);
        let advice = if let Some(why) = &disk.failed {
            unreadable(disk, why)
        } else if was_formatted(disk) {
            lost(disk)
        } else if (formats || wished(&settings.adopt, disk)) && twins(disk) {
            ambiguous(disk)
        } else if formats && disk.read_only {
            write_protected(disk)
        } else if formats && ours {
            later(disk)
        } else if formats {
            decision.format.get_or_insert((disk.name.clone(), disk.identity.clone()));
            continue;
        } else {
            let sources = importable(disk);
            if ours && settings.import && !sources.is_empty() {
                decision.import.extend(sources);
                continue;
            }
            foreign(disk, ours)
        };
        decision.advice.push(advice);
    }
    if ours {
        // A drive works: whatever lies beside it is merely told.
        for advice in &mut decision.advice {
            advice.condition = Condition::Ready;
        }
    }
    decision
}

/// Larder formatted it once, whatever is left of that.
fn was_formatted(disk: &Disk) -> bool {
    disk.volumes.iter().any(|volume| volume.signature.marked)
}

/// Nobody could miss what is there. A partition that holds the files of a system's start is somebody's.
fn is_nothing(volume: &Volume) -> bool {
    volume.signature.kind == Kind::Blank || volume.inside == Some(Inside::Nothing)
}

/// `empty`: so is the whole disk.
fn claim(volume: &Volume, adopted: bool, empty: bool) -> Option<Claim> {
    if !volume.signature.kind.can_serve() {
        return None;
    }
    match &volume.inside {
        Some(Inside::Larder) => Some(Claim::Holds),
        _ if volume.signature.label == LABEL => Some(Claim::Labelled),
        Some(Inside::Nothing) if empty => Some(Claim::Empty),
        Some(Inside::Files | Inside::Nothing) if adopted => Some(Claim::Adopted),
        _ => None,
    }
}

fn choice(disk: &Disk, volume: &Volume) -> Choice {
    Choice {
        disk: disk.name.clone(),
        sequence: disk.sequence,
        node: volume.node.clone(),
        kind: volume.signature.kind,
        uuid: volume.signature.uuid.clone(),
        words: words(disk, volume),
    }
}

fn importable(disk: &Disk) -> Vec<Choice> {
    let fits = |volume: &&Volume| volume.signature.kind.can_be_imported();
    disk.volumes.iter().filter(fits).map(|volume| choice(disk, volume)).collect()
}

/// A volume in words: `"PHOTOS" on SanDisk Ultra (serial 4C53), 64 GB, exFAT`.
pub fn words(disk: &Disk, volume: &Volume) -> String {
    let label = match volume.signature.label.as_str() {
        "" => String::new(),
        label => format!("\"{label}\" on "),
    };
    format!("{label}{}, {}, {}", of(disk), volume.size, volume.signature.kind.name())
}

/// A disk in words: `SanDisk Ultra (serial 4C53)`.
fn of(disk: &Disk) -> String {
    let model = if disk.model.is_empty() { "a drive" } else { &disk.model };
    format!("{model} (serial {})", disk.identity)
}

fn advice(condition: Condition, what: String, next: impl Into<String>) -> Advice {
    Advice { condition, what, next: next.into() }
}

fn write_protected(disk: &Disk) -> Advice {
    advice(
        Condition::DriveUnusable,
        format!("{} is write-protected.", of(disk)),
        "Look for a switch on its side; a drive without one is worn out: copy it and replace it.",
    )
}

fn unreadable(disk: &Disk, why: &str) -> Advice {
    advice(
        Condition::DriveUnusable,
        format!("{} can't be read: {why}.", of(disk)),
        "Try another USB port and cable; if that does not help, the drive is broken.",
    )
}

fn lost(disk: &Disk) -> Advice {
    advice(
        Condition::DriveUnusable,
        format!("{} is a Larder drive, but its file system can't be read any more.", of(disk)),
        "It is left as it is, and not formatted again, because its files may still be saved: on a \
         Linux computer, `e2fsck` can repair it. To give it up, erase its first 4 MiB there (`dd \
         if=/dev/zero of=/dev/sdX bs=1M count=4`, with its own letter for X), plug it in again and do \
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

fn ambiguous(disk: &Disk) -> Advice {
    advice(
        Condition::Attention,
        format!("Two drives with the same serial number {} are plugged in.", disk.identity),
        "Unplug the one that larder.toml does not mean, then switch off and on again.",
    )
}

fn later(disk: &Disk) -> Advice {
    advice(
        Condition::Ready,
        format!("{} is to be formatted, but a Larder drive is in use.", of(disk)),
        "Unplug the Larder drive: then it is formatted and used. Or take the `format` line out of \
         larder.toml.",
    )
}

fn second_drive(disk: &Disk, volume: &Volume) -> Advice {
    advice(
        Condition::Ready,
        format!("A second Larder drive is plugged in and not used: {}.", words(disk, volume)),
        "Unplug it, or unplug the other one to use it.",
    )
}

/// A drive of somebody, which is not written.
fn foreign(disk: &Disk, beside_ours: bool) -> Advice {
    let id = &disk.identity;
    let format = format!(
        "To use this drive, let Larder erase it: write `format = \"{id}\"` under `[drive]` in \
         larder.toml on the SD card and start again. ALL FILES ON IT GO."
    );
    let adopt = format!(
        "write `adopt = \"{id}\"` under `[drive]` in larder.toml on the SD card and start again: \
         nothing on it is changed, two folders are added."
    );
    let main = disk.volumes.iter().max_by_key(|volume| (!is_nothing(volume), volume.size));
    let Some(volume) = main else {
        return advice(Condition::DriveUnusable, format!("{} has no partition.", of(disk)), format);
    };
    let what = words(disk, volume);
    let empty = disk.volumes.iter().find(|volume| volume.inside == Some(Inside::Nothing));
    if let Some(empty) = empty.filter(|_| !beside_ours || importable(disk).is_empty()) {
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
                "To copy its files to the Larder drive, write `import = true` under `[drive]` in \
                 larder.toml on the SD card and start again."
                    .to_owned()
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
            format!("{what} can't be opened: {why}. Nothing was written to it."),
            format!("Check it on a Linux computer (e2fsck, xfs_repair, btrfs check). {format}"),
        ),
        (kind, _) if kind.can_serve() => advice(
            Condition::Attention,
            format!("{what} has files that are not Larder's. Nothing was written to it."),
            format!("To let Larder use it beside what is there, {adopt}"),
        ),
        _ => advice(
            Condition::DriveUnusable,
            format!("{what} can't be used. Nothing was written to it."),
            format,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::signature::Signature;
    use super::*;
    use crate::model::Bytes;
    use proptest::prelude::*;

    fn volume(node: &str, kind: Kind, label: &str, inside: Option<Inside>) -> Volume {
        let (label, uuid) = (label.into(), format!("uuid-{node}"));
        let signature = Signature { kind, label, uuid, marked: false };
        Volume { node: node.into(), size: Bytes(64_000_000_000), signature, inside }
    }

    fn disk(name: &str, volumes: Vec<Volume>) -> Disk {
        Disk {
            name: name.into(),
            sequence: 1,
            identity: format!("SER-{name}"),
            model: "SanDisk Ultra".into(),
            size: Bytes(64_000_000_000),
            read_only: false,
            volumes,
            failed: None,
        }
    }

    fn one(kind: Kind, label: &str, inside: Option<Inside>) -> Disk {
        disk("sda", vec![volume("sda1", kind, label, inside)])
    }

    fn wish(format: Option<&str>, adopt: Option<&str>, import: bool) -> config::Drive {
        config::Drive { format: format.map(Into::into), adopt: adopt.map(Into::into), import }
    }

    fn mounts(disks: &[Disk], settings: &config::Drive) -> Option<String> {
        let decision = decide(disks, settings, None);
        assert!(decision.mount.is_none() || decision.format.is_none() || disks.len() > 1);
        decision.mount.map(|choice| choice.node)
    }

    #[test]
    fn ours_is_what_holds_our_folders_or_label_or_nothing() {
        let none = wish(None, None, false);
        for kind in [Kind::Ext, Kind::Btrfs, Kind::Xfs] {
            for (label, inside, used) in [
                ("", Some(Inside::Larder), true),
                ("LARDER", None, true),
                ("LARDER", Some(Inside::Files), true),
                ("", Some(Inside::Nothing), true),
                ("", Some(Inside::Files), false),
                ("", Some(Inside::Unreadable("bad superblock".into())), false),
                ("", None, false),
                ("larder", Some(Inside::Files), false),
            ] {
                let decision = decide(&[one(kind, label, inside.clone())], &none, None);
                assert_eq!(decision.mount.is_some(), used, "{kind:?} {label:?} {inside:?}");
                assert_eq!(decision.advice.is_empty(), used, "{kind:?} {label:?} {inside:?}");
            }
        }
        for kind in [Kind::Exfat, Kind::Vfat, Kind::Ntfs, Kind::Blank, Kind::Unknown] {
            assert_eq!(mounts(&[one(kind, "LARDER", None)], &none), None);
        }
    }

    #[test]
    fn a_drive_with_other_files_waits_for_the_owners_word() {
        let drive = [one(Kind::Ext, "", Some(Inside::Files))];
        let decision = decide(&drive, &wish(None, None, true), None);
        assert_eq!(decision.advice[0].condition, Condition::Attention);
        assert!(decision.advice[0].next.contains("adopt = \"SER-sda\""), "{decision:?}");
        assert!(decision.import.is_empty());
        assert_eq!(mounts(&drive, &wish(None, Some("SER-sda"), false)).as_deref(), Some("sda1"));
        assert_eq!(mounts(&drive, &wish(None, Some("SER-sdb"), false)), None);
    }

    #[test]
    fn exfat_is_told_why_and_what_to_do_and_its_exact_words() {
        let drive = [one(Kind::Exfat, "PHOTOS", None)];
        let decision = decide(&drive, &wish(None, None, false), None);
        assert_eq!(decision.advice[0].condition, Condition::DriveUnusable);
        assert_eq!(
            decision.advice[0].what,
            "\"PHOTOS\" on SanDisk Ultra (serial SER-sda), 64 GB, exFAT can't be used: exFAT has no \
             hard links, which Larder needs. Nothing was written to it."
        );
        assert!(decision.advice[0].next.contains("format = \"SER-sda\""));
        assert!(decision.advice[0].next.contains("import = true"));
    }

    #[test]
    fn a_blank_drive_is_offered_and_formatted_by_its_serial_only() {
        let drive = [one(Kind::Blank, "", None)];
        let offered = decide(&drive, &wish(None, None, true), None);
        assert_eq!(offered.format, None);
        assert_eq!(offered.advice[0].condition, Condition::Attention);
        assert_eq!(decide(&drive, &wish(Some("SER-sdb"), None, false), None).format, None);
        let wished = decide(&drive, &wish(Some(" ser-sda "), None, false), None);
        assert_eq!(wished.format, Some(("sda".into(), "SER-sda".into())));
        assert_eq!(wished.advice, []);
    }

    #[test]
    fn one_wish_never_formats_a_drive_that_is_larders() {
        let wished = wish(Some("SER-sda"), None, false);
        for ours in [
            one(Kind::Ext, "LARDER", None),
            one(Kind::Btrfs, "", Some(Inside::Larder)),
            one(Kind::Xfs, "", Some(Inside::Nothing)),
        ] {
            assert_eq!(decide(std::slice::from_ref(&ours), &wished, None).format, None, "{ours:?}");
        }
        let mut lost = one(Kind::Unknown, "", None);
        lost.volumes[0].signature.marked = true;
        let decision = decide(&[lost], &wished, None);
        assert_eq!(decision.format, None);
        assert!(decision.advice[0].what.contains("can't be read any more"), "{decision:?}");
    }

    #[test]
    fn a_wish_to_format_that_was_carried_out_is_told() {
        let wished = wish(Some("ser-sda"), None, false);
        let done = |disks: &[Disk]| decide(disks, &wished, None).done;
        let ours = one(Kind::Ext, "LARDER", None);
        let told = done(std::slice::from_ref(&ours)).unwrap();
        assert_eq!(told.condition, Condition::Ready);
        assert!(told.what.contains("serial SER-sda"), "{told:?}");
        assert!(told.next.contains("Take that line out"), "{told:?}");
        // Used without being formatted; beside another of its serial; and not formatted yet.
        assert!(done(&[one(Kind::Ext, "", Some(Inside::Nothing))]).is_some());
        let mut twin = one(Kind::Exfat, "PHOTOS", None);
        twin.name = "sdb".into();
        assert!(done(&[twin.clone(), ours]).is_some());
        assert_eq!(done(&[twin]), None);
        assert_eq!(done(&[disk("sdb", vec![volume("sdb1", Kind::Ext, "LARDER", None)])]), None);
    }

    #[test]
    fn two_drives_of_one_serial_are_not_guessed_between() {
        let mut twins = [one(Kind::Blank, "", None), one(Kind::Blank, "", None)];
        twins[1].name = "sdb".into();
        let decision = decide(&twins, &wish(Some("SER-sda"), None, false), None);
        assert_eq!(decision.format, None);
        assert!(decision.advice[0].what.contains("same serial"), "{decision:?}");
    }

    #[test]
    fn a_write_protected_or_failing_drive_is_told() {
        let mut protected = one(Kind::Ext, "LARDER", None);
        protected.read_only = true;
        let decision = decide(&[protected.clone()], &wish(None, None, false), None);
        assert_eq!(decision.mount, None);
        assert!(decision.advice[0].what.contains("write-protected"));
        protected.volumes[0].signature.kind = Kind::Blank;
        assert_eq!(decide(&[protected], &wish(Some("SER-sda"), None, false), None).format, None);
        let mut broken = one(Kind::Ext, "LARDER", None);
        (broken.failed, broken.volumes) = (Some("Input/output error".into()), vec![]);
        let decision = decide(&[broken], &wish(Some("SER-sda"), None, false), None);
        assert_eq!((decision.mount, decision.format), (None, None));
        assert!(decision.advice[0].what.contains("Input/output error"));
    }

    #[test]
    fn beside_a_larder_drive_a_foreign_one_is_imported_by_wish_and_merely_told_otherwise() {
        let ours = one(Kind::Ext, "LARDER", None);
        let volumes = vec![volume("sdb1", Kind::Exfat, "PHOTOS", None)];
        let disks = [disk("sdb", volumes), ours];
        let told = decide(&disks, &wish(None, None, false), None);
        assert_eq!(told.mount.unwrap().node, "sda1");
        assert_eq!(told.advice[0].condition, Condition::Ready);
        assert!(told.advice[0].next.contains("import = true"));
        let format = decide(&disks, &wish(Some("SER-sdb"), None, false), None);
        assert_eq!(format.format, None);
        assert!(format.advice[0].what.contains("is to be formatted, but"));
        let wished = decide(&disks, &wish(None, None, true), None);
        assert_eq!(wished.import[0].node, "sdb1");
        assert_eq!(wished.advice, []);
    }

    #[test]
    fn of_several_the_one_with_our_folders_goes_first_and_the_others_are_told() {
        let empty = one(Kind::Ext, "", Some(Inside::Nothing));
        let labelled = disk("sdb", vec![volume("sdb1", Kind::Ext, "LARDER", None)]);
        let holds = disk("sdc", vec![volume("sdc1", Kind::Ext, "", Some(Inside::Larder))]);
        let none = wish(None, None, false);
        let all = [empty.clone(), labelled.clone(), holds.clone()];
        let decision = decide(&all, &none, None);
        assert_eq!(decision.mount.unwrap().node, "sdc1");
        assert_eq!(decision.advice.len(), 1, "{:?}", decision.advice);
        assert_eq!(mounts(&[labelled.clone(), empty], &none).as_deref(), Some("sdb1"));
        let mut protected = holds;
        protected.read_only = true;
        assert_eq!(mounts(&[protected, labelled], &none).as_deref(), Some("sdb1"));
    }

    #[test]
    fn an_empty_partition_beside_somebodys_files_waits_for_the_owners_word() {
        let small = Bytes(1_000_000_000);
        for (kind, inside) in [
            (Kind::Exfat, None),
            (Kind::Vfat, None),
            (Kind::Ext, Some(Inside::Files)),
            (Kind::Xfs, Some(Inside::Unreadable("torn".into()))),
            (Kind::Other("an encrypted drive (LUKS)"), None),
            (Kind::Unknown, None),
        ] {
            let mut photos = volume("sda1", kind, "PHOTOS", inside);
            photos.size = small;
            let empty = volume("sda2", Kind::Ext, "", Some(Inside::Nothing));
            let drive = [disk("sda", vec![photos, empty])];
            let told = decide(&drive, &wish(None, None, false), None);
            assert_eq!((told.mount, told.format), (None, None), "{kind:?}");
            assert_eq!(told.advice[0].condition, Condition::Attention);
            assert!(told.advice[0].what.contains("\"PHOTOS\" on"), "{:?}", told.advice);
            assert!(told.advice[0].next.contains("adopt = \"SER-sda\""), "{:?}", told.advice);
            let adopted = mounts(&drive, &wish(None, Some("SER-sda"), false));
            let settings = wish(None, Some("SER-sda"), false);
            assert_eq!(decide(&drive, &settings, None).advice, [], "{kind:?}");
            assert_eq!(adopted.as_deref(), Some("sda2"), "what was asked for; {kind:?}");
            let formatted = decide(&drive, &wish(Some("SER-sda"), None, false), None);
            assert_eq!(formatted.format, Some(("sda".into(), "SER-sda".into())), "{kind:?}");
        }
        let photos = volume("sda1", Kind::Exfat, "PHOTOS", None);
        let empty = volume("sda2", Kind::Ext, "", Some(Inside::Nothing));
        let both = [
            disk("sda", vec![photos, empty.clone()]),
            disk("sdb", vec![volume("sdb1", Kind::Ext, "LARDER", None)]),
        ];
        let imported = decide(&both, &wish(None, None, true), None);
        assert_eq!(imported.import[0].node, "sda1");
        let told = decide(&both, &wish(None, None, false), None);
        assert!(told.advice[0].next.contains("import = true"), "{:?}", told.advice);
        // Nothing beside it that anybody could miss.
        let others = [
            volume("sda1", Kind::Blank, "", None),
            volume("sda3", Kind::Xfs, "", Some(Inside::Nothing)),
        ];
        for other in others {
            let drive = [disk("sda", vec![empty.clone(), other])];
            assert_eq!(mounts(&drive, &wish(None, None, false)).as_deref(), Some("sda2"));
        }
    }

    #[test]
    fn a_drive_in_use_stays_when_a_better_one_is_plugged_in() {
        let labelled = one(Kind::Ext, "LARDER", None);
        let holds = disk("sdb", vec![volume("sdb1", Kind::Ext, "", Some(Inside::Larder))]);
        let disks = [labelled, holds];
        let none = wish(None, None, false);
        assert_eq!(decide(&disks, &none, None).mount.unwrap().node, "sdb1");
        assert_eq!(decide(&disks, &none, Some("sda1")).mount.unwrap().node, "sda1");
    }

    fn any_volume() -> impl Strategy<Value = Volume> {
        let kind = prop_oneof![
            3 => Just(Kind::Ext),
            1 => Just(Kind::Btrfs),
            1 => Just(Kind::Exfat),
            2 => Just(Kind::Blank),
            1 => Just(Kind::Unknown),
            1 => Just(Kind::Partitioned)
        ];
        let inside = prop_oneof![
            1 => Just(None),
            1 => Just(Some(Inside::Larder)),
            3 => Just(Some(Inside::Nothing)),
            1 => Just(Some(Inside::Files)),
            1 => Just(Some(Inside::Unreadable("x".into())))
        ];
        let label = prop_oneof![2 => Just(""), 1 => Just("LARDER"), 1 => Just("other")];
        (kind, inside, label, any::<bool>()).prop_map(|(kind, inside, label, marked)| {
            // Only what can serve is looked into.
            let mut volume = volume("", kind, label, inside.filter(|_| kind.can_serve()));
            volume.signature.marked = marked;
            volume
        })
    }

    fn any_disk() -> impl Strategy<Value = Disk> {
        let volumes = proptest::collection::vec(any_volume(), 0..4);
        (volumes, any::<bool>(), 0..3).prop_map(|(volumes, read_only, id)| {
            let mut disk = disk("", volumes);
            disk.read_only = read_only;
            disk.identity = format!("S{id}");
            disk
        })
    }

    proptest! {
        #[test]
        fn nothing_of_somebody_is_ever_written_without_the_owners_word(
            mut disks in proptest::collection::vec(any_disk(), 0..4),
            format in proptest::option::of(0..3), adopt in proptest::option::of(0..3), import: bool,
        ) {
            for (index, disk) in disks.iter_mut().enumerate() {
                disk.name = format!("sd{index}");
                for (at, volume) in disk.volumes.iter_mut().enumerate() {
                    volume.node = format!("sd{index}p{at}");
                }
            }
            let name = |wish: Option<i32>| wish.map(|id| format!("S{id}"));
            let settings = config::Drive { format: name(format), adopt: name(adopt), import };
            let decision = decide(&disks, &settings, None);
            let of = |name: &str| disks.iter().find(|disk| disk.name == name).unwrap();
            let ours = |volume: &Volume| {
                volume.signature.kind.can_serve()
                    && (volume.signature.label == LABEL || volume.inside == Some(Inside::Larder))
            };
            let nothing = |volume: &Volume| {
                volume.signature.kind == Kind::Blank || volume.inside == Some(Inside::Nothing)
            };
            if let Some((name, _)) = &decision.format {
                let disk = of(name);
                prop_assert_eq!(Some(&disk.identity), settings.format.as_ref());
                prop_assert!(!disk.read_only && decision.done.is_none());
                // Neither it nor another one of its serial is or was Larder's.
                let same = disks.iter().filter(|other| other.identity == disk.identity);
                let mut volumes = same.flat_map(|disk| &disk.volumes);
                prop_assert!(volumes.all(|v| !v.signature.marked && !ours(v)));
                prop_assert!(decision.mount.is_none());
            }
            if let Some(choice) = &decision.mount {
                let disk = of(&choice.disk);
                let volume = disk.volumes.iter().find(|v| v.node == choice.node).unwrap();
                prop_assert!(!disk.read_only && volume.signature.kind.can_serve());
                prop_assert!(
                    ours(volume)
                        || disk.volumes.iter().all(nothing)
                        || settings.adopt.as_ref() == Some(&disk.identity)
                );
            }
            // Every disk that is not used, formatted or imported is spoken of, unless it is empty and
            // another one is used.
            for disk in &disks {
                let used = decision.mount.iter().chain(&decision.import).any(|c| c.disk == disk.name);
                let formatted = decision.format.as_ref().is_some_and(|(name, _)| *name == disk.name);
                let told = decision.advice.iter().any(|advice| advice.what.contains(&disk.identity));
                let empty = |volume: &Volume| volume.inside == Some(Inside::Nothing);
                let spare = disk.volumes.iter().all(nothing) && disk.volumes.iter().any(empty);
                prop_assert!(used || formatted || told || spare, "{disk:?}: {decision:?}");
            }
        }
    }
}
