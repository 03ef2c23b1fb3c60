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
//!
//! Nothing is guessed: not between two drives of one serial number, and not between a drive and its copy. Of a drive
//! that this enclosure or this kernel shows wrongly nothing is believed. Where an import copies one partition, the
//! others of that drive are named with why they are not copied.

use super::advice;
use super::decision::{Decision, choice, importable, is_nothing};
use super::words::of;
use super::{Disk, Inside, LABEL, Volume};
use crate::config;
use crate::status::Condition;

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
    for disk in disks.iter().filter(|disk| disk.formatted_for.is_none()) {
        let adopted = wished(&settings.adopt, disk) && !twins(disk);
        let empty = disk.volumes.iter().all(is_nothing);
        for volume in &disk.volumes {
            if let Some(claim) = claim(volume, adopted, empty) {
                claims.push((claim, disk, volume));
            }
        }
    }
    // A copy of another drive, and neither is in use.
    let undecided = |volume: &Volume| {
        let copies = copies(disks, volume);
        copies.len() > 1 && copies.iter().all(|(_, copy)| in_use != Some(copy.node.as_str()))
    };
    // The first of the greatest claims: max_by_key takes the last of equals, hence the reversal.
    let sure = claims.iter().filter(|(_, _, volume)| !undecided(volume));
    let best = sure.rev().max_by_key(|(claim, disk, volume)| {
        // The owner was asked for the empty one, where there is one.
        let asked_for = *claim == Claim::Adopted && is_nothing(volume);
        (in_use == Some(volume.node.as_str()), !disk.read_only, *claim, asked_for)
    });
    if let Some((_, disk, volume)) = best {
        if disk.read_only {
            decision.advice.push(advice::write_protected(disk));
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
            claims.iter().filter(|(c, other, v)| second(c, other) && v != volume && !undecided(v))
        {
            let copy = copies(disks, volume).iter().any(|(_, copy)| copy == spare);
            decision.advice.push(advice::second_drive(other, spare, copy));
        }
    }
    for (_, _, volume) in claims.iter().filter(|(_, _, volume)| undecided(volume)) {
        let told = advice::copies(&copies(disks, volume));
        if !decision.advice.contains(&told) {
            decision.advice.push(told);
        }
    }
    let mounted = decision.mount.as_ref().map(|choice| choice.disk.clone());
    let is_larders = |disk: &&Disk| {
        mounted.as_ref() == Some(&disk.name)
            || was_formatted(disk)
            || claims.iter().any(|(c, other, _)| *c > Claim::Empty && other.name == disk.name)
    };
    let mut wanted = disks.iter().filter(|disk| wished(&settings.format, disk));
    decision.done = wanted.find(is_larders).map(|disk| advice::done(&of(disk)));
    let ours = mounted.is_some();
    let claimed = |disk: &Disk| claims.iter().any(|(_, claimed, _)| claimed == &disk);
    for disk in disks {
        let formats = wished(&settings.format, disk);
        let sources = importable(disk);
        let told = if claimed(disk) {
            if !(ours && settings.import) || sources.is_empty() {
                continue;
            }
            advice::beside_larder(disk, &sources)
        } else if let Some(why) = &disk.failed {
            advice::unreadable(disk, why)
        } else if let Some(sectors) = disk.formatted_for {
            advice::other_enclosure(disk, sectors)
        } else if disk.size > disk.reach && (formats || disk.volumes.is_empty()) {
            advice::out_of_reach(disk)
        } else if was_formatted(disk) {
            advice::lost(disk)
        } else if (formats || wished(&settings.adopt, disk)) && twins(disk) {
            advice::ambiguous(disk, disks)
        } else if formats && disk.read_only {
            advice::write_protected(disk)
        } else if formats && ours {
            advice::later(disk)
        } else if formats {
            decision.format.get_or_insert((disk.name.clone(), disk.identity.clone()));
            continue;
        } else if ours && settings.import && !sources.is_empty() {
            let others = disk.volumes.iter().filter(|v| !sources.iter().any(|s| s.node == v.node));
            decision.not_copied.extend(others.filter_map(|v| advice::not_copied(disk, v)));
            decision.import.extend(sources);
            continue;
        } else if let Some((original, copy)) = copy_of_another(disks, disk) {
            advice::copy_of_another(original, disk, copy)
        } else if ours && settings.import && !is_empty(disk) {
            decision.advice.extend(advice::nothing_to_import(disk));
            continue;
        } else {
            advice::foreign(disk, ours, disks)
        };
        if !decision.advice.contains(&told) {
            decision.advice.push(told);
        }
    }
    if ours {
        // A drive works: whatever lies beside it is merely told.
        for advice in &mut decision.advice {
            advice.condition = Condition::Ready;
        }
    }
    decision
}

/// The volumes with the same number as this one, itself among them: one drive was copied to another as a whole.
fn copies<'a>(disks: &'a [Disk], volume: &Volume) -> Vec<(&'a Disk, &'a Volume)> {
    let (kind, uuid) = (volume.signature.kind, &volume.signature.uuid);
    let all = disks.iter().flat_map(|disk| disk.volumes.iter().map(move |v| (disk, v)));
    let same = |v: &Volume| v.signature.kind == kind && v.signature.uuid == *uuid;
    all.filter(|(_, v)| kind.can_serve() && !uuid.is_empty() && same(v)).collect()
}

/// A volume of this disk that can't be opened only because it is the copy of one on another disk: the kernel takes
/// one of them at a time.
fn copy_of_another<'a>(disks: &'a [Disk], disk: &'a Disk) -> Option<(&'a Disk, &'a Volume)> {
    let shut = |v: &&Volume| matches!(v.inside, Some(Inside::Unreadable(_)));
    disk.volumes.iter().filter(shut).find_map(|volume| {
        let mut others = copies(disks, volume).into_iter().filter(|(d, _)| d.name != disk.name);
        others.next().map(|(other, _)| (other, volume))
    })
}

fn is_empty(disk: &Disk) -> bool {
    disk.volumes.iter().all(is_nothing)
}

/// Larder formatted it once, whatever is left of that.
fn was_formatted(disk: &Disk) -> bool {
    disk.volumes.iter().any(|volume| volume.signature.marked)
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

#[cfg(test)]
mod tests {
    use super::super::signature::{Kind, Signature};
    use super::super::table::Role;
    use super::*;
    use crate::model::Bytes;
    use proptest::prelude::*;

    fn volume(node: &str, kind: Kind, label: &str, inside: Option<Inside>) -> Volume {
        let (label, uuid) = (label.into(), format!("uuid-{node}"));
        let signature = Signature { label, uuid, ..Signature::plain(kind) };
        let role = Role::Files;
        Volume { node: node.into(), size: Bytes(64_000_000_000), signature, role, inside }
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
            formatted_for: None,
            reach: Bytes(u64::MAX),
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

    /// As a Mac, or Windows, leaves a drive: something that starts a computer, and whatever else.
    fn efi(node: &str) -> Volume {
        Volume { role: Role::Efi, ..volume(node, Kind::Vfat, "EFI", None) }
    }

    #[test]
    fn every_partition_beside_an_imported_one_is_named_with_why_it_is_not_copied() {
        let ours = one(Kind::Ext, "LARDER", None);
        let wished = wish(None, None, true);
        for (kind, inside, why) in [
            (Kind::Other("HFS+"), None, "this Pi can't read HFS+"),
            (Kind::Other("APFS"), None, "this Pi can't read APFS"),
            (Kind::Other("an encrypted drive (BitLocker)"), None, "(BitLocker)"),
            (Kind::Member("a part of a RAID"), None, "other drives of its set"),
            (Kind::Ext, Some(Inside::Files), "FAT, exFAT and NTFS only"),
            (Kind::Xfs, Some(Inside::Unreadable("torn".into())), "FAT, exFAT and NTFS only"),
            (Kind::Unknown, None, "this Pi can't read something unknown"),
        ] {
            let other = volume("sdb3", kind, "ALBUM", inside);
            let photos = volume("sdb2", Kind::Exfat, "PHOTOS", None);
            let foreign = disk("sdb", vec![efi("sdb1"), photos, other.clone()]);
            let decision = decide(&[ours.clone(), foreign], &wished, None);
            let nodes: Vec<&str> = decision.import.iter().map(|c| &*c.node).collect();
            assert_eq!(nodes, ["sdb2"], "{kind:?}");
            let [start, left] = &decision.not_copied[..] else { panic!("{decision:?}") };
            assert!(start.words.contains("EFI") && start.next.is_empty(), "{start:?}");
            assert!(left.words.starts_with("\"ALBUM\"") && left.why.contains(why), "{left:?}");
            assert!(!left.next.is_empty() && !left.next.contains("format ="), "{left:?}");
            // Nothing but the start of a computer could be copied: nothing was, and that is said.
            let foreign = disk("sdb", vec![efi("sdb1"), other]);
            let decision = decide(&[ours.clone(), foreign.clone()], &wished, None);
            assert_eq!(decision.import, [], "{kind:?}");
            let told = &decision.advice[0];
            assert!(told.what.starts_with("Nothing was copied of \"ALBUM\""), "{told:?}");
            assert!(told.what.contains(why) || told.what.contains("torn"), "{told:?}");
            assert!(!told.next.contains("format =") && !told.next.contains("nplug"), "{told:?}");
        }
        // What is lost by formatting is named whole, and what an import would leave, too.
        let album = volume("sdb3", Kind::Other("HFS+"), "ALBUM", None);
        let both = disk("sdb", vec![volume("sdb2", Kind::Exfat, "PHOTOS", None), album]);
        let alone = decide(std::slice::from_ref(&both), &wish(None, None, false), None);
        assert!(alone.advice[0].what.contains("ALBUM") || alone.advice[0].next.contains("ALBUM"));
        assert!(alone.advice[0].what.contains("PHOTOS") || alone.advice[0].next.contains("PHOTOS"));
        let beside = decide(&[ours, both], &wish(None, None, false), None);
        assert!(beside.advice[0].next.contains("import = true"), "{beside:?}");
        assert!(beside.advice[0].next.contains("Not copied by that: \"ALBUM\""), "{beside:?}");
    }

    #[test]
    fn files_on_larders_own_drive_are_said_not_to_be_imported() {
        let photos = volume("sda1", Kind::Exfat, "PHOTOS", None);
        let ours = disk("sda", vec![photos, volume("sda2", Kind::Ext, "LARDER", None)]);
        let told = decide(std::slice::from_ref(&ours), &wish(None, None, true), None);
        assert_eq!(told.import, []);
        assert!(told.advice[0].what.contains("\"PHOTOS\""), "{told:?}");
        assert!(told.advice[0].what.contains("not copied"), "{told:?}");
        assert_eq!(decide(&[ours], &wish(None, None, false), None).advice, []);
    }

    #[test]
    fn a_sound_drive_that_is_shown_differently_is_never_called_broken_or_erased() {
        for (kind, label) in [(Kind::Partitioned, ""), (Kind::Unknown, ""), (Kind::Ext, "LARDER")] {
            for marked in [false, true] {
                let mut drive = one(kind, label, None);
                drive.volumes[0].signature.marked = marked;
                drive.formatted_for = Some(4096);
                for settings in [wish(None, None, false), wish(Some("SER-sda"), None, true)] {
                    let decision = decide(std::slice::from_ref(&drive), &settings, None);
                    assert_eq!((&decision.mount, &decision.format), (&None, &None));
                    let [told] = &decision.advice[..] else { panic!("{decision:?}") };
                    assert!(told.what.contains("this one shows the drive differently"), "{told:?}");
                    assert!(told.next.starts_with("Put it back into the enclosure"), "{told:?}");
                    let all = format!("{} {}", told.what, told.next);
                    for word in ["dd if", "format =", "erase", "broken", "e2fsck"] {
                        assert!(!all.contains(word), "{all}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_drive_too_large_for_this_kernel_is_told_which_pi_can_use_it() {
        let reach = Bytes(u64::from(u32::MAX) << 12);
        let size = Bytes(18_000_000_000_000);
        let far = Disk { size, reach, ..disk("sda", vec![]) };
        // Its one partition can be reached, and formatting takes the whole drive.
        let photos = vec![volume("sda1", Kind::Exfat, "PHOTOS", None)];
        let near = Disk { size, reach, ..disk("sda", photos) };
        let wished = wish(Some("SER-sda"), None, false);
        for (drive, settings) in
            [(&far, wish(None, None, false)), (&far, wished.clone()), (&near, wished)]
        {
            let decision = decide(std::slice::from_ref(drive), &settings, None);
            assert_eq!((&decision.mount, &decision.format), (&None, &None));
            let told = &decision.advice[0];
            assert!(told.what.contains("16 TiB") && told.next.contains("Pi 4"), "{told:?}");
            assert!(!format!("{told:?}").contains("cable"), "{told:?}");
        }
        let told = decide(&[near], &wish(None, None, false), None);
        assert!(told.advice[0].what.contains("hard links"), "{told:?}");
    }

    #[test]
    fn of_a_drive_and_its_copy_none_is_guessed_and_the_one_in_use_stays() {
        let none = wish(None, None, false);
        for kind in [Kind::Ext, Kind::Btrfs, Kind::Xfs] {
            let mut first = disk("sda", vec![volume("sda1", kind, "", Some(Inside::Larder))]);
            let mut copy = disk("sdb", vec![volume("sdb1", kind, "", Some(Inside::Larder))]);
            for drive in [&mut first, &mut copy] {
                drive.volumes[0].signature.uuid = "one number".into();
            }
            first.volumes[0].signature.used = Some(Bytes(12_000_000_000));
            let both = [first.clone(), copy.clone()];
            let decision = decide(&both, &none, None);
            assert_eq!(decision.mount, None);
            let [told] = &decision.advice[..] else { panic!("{decision:?}") };
            assert_eq!(told.condition, Condition::Attention);
            assert!(told.what.contains("SER-sda") && told.what.contains("SER-sdb"), "{told:?}");
            assert!(told.what.contains("12 GB of it used"), "{told:?}");
            // In use: it stays, also where the kernel shuts the other one for it.
            for inside in [Inside::Larder, Inside::Unreadable("File exists".into())] {
                copy.volumes[0].inside = Some(inside);
                let decision = decide(&[first.clone(), copy.clone()], &none, Some("sda1"));
                assert_eq!(decision.mount.unwrap().node, "sda1");
                let told = &decision.advice[0];
                assert!(told.what.to_lowercase().contains("copy of"), "{told:?}");
                assert!(
                    !told.next.contains("format =") && !told.next.contains("check"),
                    "{told:?}"
                );
            }
            // A third one that is no copy is used.
            let other = disk("sdc", vec![volume("sdc1", Kind::Ext, "LARDER", None)]);
            let decision = decide(&[both[0].clone(), both[1].clone(), other], &none, None);
            assert_eq!(decision.mount.unwrap().node, "sdc1");
            assert!(decision.advice[0].what.contains("copies of each other"));
        }
    }

    #[test]
    fn two_that_look_alike_are_told_apart_by_how_full_they_are() {
        let mut alike = ["sda", "sdb"].map(|name| {
            let node = format!("{name}1");
            let mut drive = disk(name, vec![volume(&node, Kind::Exfat, "PHOTOS", None)]);
            drive.identity = "DOCK".into();
            drive
        });
        alike[0].volumes[0].signature.used = Some(Bytes(48_000_000_000));
        alike[1].volumes[0].signature.used = Some(Bytes(3_000_000_000));
        let offered = decide(&alike, &wish(None, None, false), None);
        assert!(offered.advice[0].what.contains("48 GB of it used"), "{offered:?}");
        // A line with that number would be meant for both.
        assert!(offered.advice[0].next.starts_with("First unplug the other drive"), "{offered:?}");
        assert!(offered.advice[0].next.contains("3.0 GB of it used"), "{offered:?}");
        assert!(!offered.advice[0].next.contains("format ="), "{offered:?}");
        let asked = decide(&alike, &wish(Some("DOCK"), None, false), None);
        assert_eq!(asked.format, None);
        let [told] = &asked.advice[..] else { panic!("{asked:?}") };
        assert!(told.what.contains("48 GB of it used") && told.what.contains("3.0 GB of it used"));
    }

    #[test]
    fn no_way_to_erase_is_told_beside_what_only_can_not_be_read_here() {
        for (kind, inside) in [
            (Kind::Member("a part of an LVM volume"), None),
            (Kind::Member("a part of a RAID"), None),
            (Kind::Member("a part of a ZFS pool"), None),
            (Kind::Member("one of several drives of a btrfs"), None),
            (Kind::Ext, Some(Inside::Unreadable("Invalid argument".into()))),
        ] {
            for import in [false, true] {
                for beside in [false, true] {
                    let mut disks =
                        vec![disk("sdb", vec![volume("sdb1", kind, "", inside.clone())])];
                    disks.extend(beside.then(|| one(Kind::Ext, "LARDER", None)));
                    let told = &decide(&disks, &wish(None, None, import), None).advice[0];
                    let all = format!("{} {}", told.what, told.next);
                    assert!(all.contains("SER-sdb") && all.contains(kind.name()), "{all}");
                    for word in ["format =", "ALL FILES", "erase", "broken", "dd if"] {
                        assert!(!all.contains(word), "{word}: {all}");
                    }
                }
            }
        }
        let mut lost = one(Kind::Unknown, "", None);
        lost.volumes[0].signature.marked = true;
        let told = decide(&[lost], &wish(None, None, false), None).advice.remove(0);
        assert!(!told.next.contains("dd if"), "{told:?}");
        let mut failed = disk("sda", vec![]);
        failed.failed = Some("Input/output error".into());
        let told = decide(&[failed], &wish(None, None, false), None).advice.remove(0);
        assert!(!told.next.contains("is broken"), "{told:?}");
    }

    #[test]
    fn volumes_without_a_number_of_their_own_do_not_share_a_list_of_what_was_imported() {
        let ours = one(Kind::Ext, "LARDER", None);
        let list = |name: &str, uuid: &str, size: u64| {
            let mut card = disk(name, vec![volume("sdx1", Kind::Vfat, "", None)]);
            (card.volumes[0].signature.uuid, card.volumes[0].size) = (uuid.into(), Bytes(size));
            let decision = decide(&[ours.clone(), card], &wish(None, None, true), None);
            decision.import[0].list.clone()
        };
        for uuid in ["", "0000-0000"] {
            assert_ne!(list("sdb", uuid, 5), list("sdc", uuid, 5), "{uuid:?}");
        }
        assert_ne!(list("sdb", "1234-ABCD", 5), list("sdb", "1234-ABCD", 6));
        // The same card in another reader.
        assert_eq!(list("sdb", "1234-ABCD", 5), list("sdc", "1234-ABCD", 5));
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
        let copied = prop_oneof![4 => Just(""), 1 => Just("copied")];
        let all = (kind, inside, label, any::<bool>(), copied);
        all.prop_map(|(kind, inside, label, marked, copied)| {
            // Only what can serve is looked into.
            let mut volume = volume("", kind, label, inside.filter(|_| kind.can_serve()));
            volume.signature.marked = marked;
            volume.signature.uuid = copied.into();
            volume
        })
    }

    fn any_disk() -> impl Strategy<Value = Disk> {
        let volumes = proptest::collection::vec(any_volume(), 0..4);
        let hidden = proptest::option::weighted(0.1, Just(4096));
        let all = (volumes, any::<bool>(), 0..3, hidden);
        all.prop_map(|(volumes, read_only, id, formatted_for)| {
            let mut disk = disk("", volumes);
            (disk.read_only, disk.formatted_for) = (read_only, formatted_for);
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
                    // Most have a number of their own; some are copies.
                    if volume.signature.uuid != "copied" {
                        volume.signature.uuid = format!("uuid-{}", volume.node);
                    }
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
                prop_assert_eq!(disk.formatted_for, None);
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
                prop_assert_eq!(disk.formatted_for, None);
                // Never one of several copies.
                let same = disks.iter().flat_map(|disk| &disk.volumes).filter(|other| {
                    (other.signature.kind, &other.signature.uuid)
                        == (volume.signature.kind, &volume.signature.uuid)
                });
                prop_assert_eq!(same.count(), 1);
                prop_assert!(
                    ours(volume)
                        || disk.volumes.iter().all(nothing)
                        || settings.adopt.as_ref() == Some(&disk.identity)
                );
            }
            // STATUS.txt cuts longer ones.
            for told in &decision.advice {
                prop_assert!(told.what.chars().count() <= 300, "{}", told.what);
                prop_assert!(told.next.chars().count() <= 300, "{}", told.next);
            }
            // What is imported is all of its disk, or the rest is named.
            for choice in &decision.import {
                for volume in of(&choice.disk).volumes.iter().filter(|v| !nothing(v)) {
                    let copied = decision.import.iter().any(|c| c.node == volume.node);
                    let left = decision.not_copied.iter().filter(|left| left.disk == choice.disk);
                    let named = left.filter(|left| !left.next.is_empty()).count();
                    prop_assert!(copied || named > 0, "{volume:?}: {decision:?}");
                }
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
