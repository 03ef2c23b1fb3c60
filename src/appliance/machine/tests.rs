//! The supervisor's decisions, event by event, and under any order of events.

use super::*;
use crate::drive::signature::{Kind, Signature};
use crate::drive::table::Role;
use crate::drive::{Inside, Volume};
use crate::model::Bytes;
use crate::status::Notice;
use proptest::prelude::*;

fn disk(name: &str, sequence: u64, kind: Kind, label: &str) -> Disk {
    let node = format!("{name}1");
    let (label, uuid) = (label.into(), format!("u-{name}"));
    let inside = (kind.can_serve() && label != "LARDER").then_some(Inside::Files);
    let signature = Signature { label, uuid, ..Signature::plain(kind) };
    let size = Bytes(64_000_000_000);
    Disk {
        name: name.into(),
        sequence,
        identity: format!("SER{name}"),
        model: "Stick".into(),
        size: Bytes(64_000_000_000),
        read_only: false,
        volumes: vec![Volume { node, size, signature, role: Role::Files, inside }],
        failed: None,
        formatted_for: None,
        reach: Bytes(u64::MAX),
    }
}

impl From<&str> for Unprepared {
    fn from(why: &str) -> Self {
        Self { why: why.into(), full: false }
    }
}

fn ours(sequence: u64) -> Disk {
    disk("sda", sequence, Kind::Ext, "LARDER")
}

struct House {
    machine: Machine,
    now: u64,
}

impl House {
    fn new(settings: config::Drive) -> Self {
        Self { machine: Machine::new(settings, Vec::new()), now: 0 }
    }

    fn on(&mut self, event: Event) -> Vec<Effect> {
        self.machine.step(event, self.now)
    }

    /// Plugs in exactly these disks and lets them be probed.
    fn plug(&mut self, disks: &[Disk]) -> Vec<Effect> {
        let present = disks.iter().map(|disk| (disk.name.clone(), disk.sequence)).collect();
        let mut effects = self.on(Event::Present(present));
        if effects.contains(&Effect::Probe) {
            effects.retain(|effect| *effect != Effect::Probe);
            effects.extend(self.on(Event::Disks(disks.to_vec())));
        }
        effects
    }

    fn shows(&mut self) -> Condition {
        self.machine.report(Time::default()).condition
    }

    fn says(&mut self) -> String {
        let report = self.machine.report(Time::default());
        crate::status::text::text(&report)
    }

    fn running() -> Self {
        let mut house = Self::new(config::Drive::default());
        assert!(matches!(&house.plug(&[ours(1)])[..], [Effect::Prepare(_)]));
        assert_eq!(house.shows(), Condition::Starting);
        assert_eq!(house.on(Event::Prepared(Ok(false))), [Effect::StartEngine]);
        assert_eq!(house.shows(), Condition::Starting);
        house.on(Event::Engine(Box::default()));
        assert_eq!(house.shows(), Condition::Ready);
        house
    }
}

#[test]
fn without_a_drive_it_starts_and_then_waits() {
    let mut house = House::new(config::Drive::default());
    assert_eq!(house.shows(), Condition::Starting);
    assert_eq!(house.on(Event::Present(vec![])), [Effect::Probe]);
    assert_eq!(house.on(Event::Disks(vec![])), []);
    assert_eq!(house.shows(), Condition::WaitingForDrive);
}

#[test]
fn a_pulled_drive_ends_the_engine_within_its_time_and_then_the_mount() {
    let mut house = House::running();
    let effects = house.on(Event::Present(vec![]));
    assert_eq!(effects, [Effect::StopEngine(GONE_MS), Effect::Probe]);
    assert_eq!(house.shows(), Condition::WaitingForDrive);
    assert_eq!(house.on(Event::EngineEnded), [Effect::Unmount(true)]);
    house.on(Event::Disks(vec![]));
    assert_eq!(house.shows(), Condition::WaitingForDrive);
    let again = house.plug(&[ours(2)]);
    assert!(matches!(&again[..], [Effect::Prepare(choice)] if choice.sequence == 2), "{again:?}");
}

#[test]
fn plugged_back_before_the_engine_ended_the_old_mount_still_goes_first() {
    let mut house = House::running();
    house.on(Event::Present(vec![]));
    let effects = house.plug(&[ours(2)]);
    assert!(!effects.iter().any(|e| matches!(e, Effect::Prepare(_))), "{effects:?}");
    house.on(Event::Disks(vec![ours(2)]));
    let effects = house.on(Event::EngineEnded);
    assert_eq!(effects[0], Effect::Unmount(true));
    let later = house.on(Event::Disks(vec![ours(2)]));
    assert!(effects.iter().chain(&later).any(|e| matches!(e, Effect::Prepare(_))), "{later:?}");
}

#[test]
fn pulled_and_plugged_between_two_looks_is_seen_by_the_number() {
    let mut house = House::running();
    let effects = house.on(Event::Present(vec![("sda".into(), 2)]));
    assert_eq!(effects[0], Effect::StopEngine(GONE_MS));
}

#[test]
fn a_drive_pulled_while_it_is_checked_is_unmounted_and_no_engine_starts() {
    let mut house = House::new(config::Drive::default());
    house.plug(&[ours(1)]);
    house.on(Event::Present(vec![]));
    let effects = house.on(Event::Prepared(Ok(false)));
    assert_eq!(effects, [Effect::Unmount(true), Effect::Probe]);
    house.on(Event::Disks(vec![]));
    assert_eq!(house.shows(), Condition::WaitingForDrive);
}

#[test]
fn a_failing_drive_is_left_and_not_touched_until_plugged_in_anew() {
    let mut house = House::running();
    assert_eq!(house.on(Event::Sick), [Effect::StopEngine(GONE_MS)]);
    assert_eq!(house.on(Event::EngineEnded), [Effect::Unmount(true)]);
    assert_eq!(house.shows(), Condition::DriveUnusable);
    assert!(house.says().contains("failed while it was in use"));
    for _ in 0..3 {
        house.now += 60_000;
        assert_eq!(house.on(Event::Tick), []);
    }
    assert!(matches!(&house.plug(&[ours(2)])[..], [Effect::Prepare(_)]));
    assert_eq!(house.shows(), Condition::Starting);
}

#[test]
fn a_drive_that_the_engine_can_not_work_with_is_left_like_one_that_the_kernel_gave_up() {
    let mut house = House::running();
    let failed = || Event::Engine(Box::new(Report { drive_failed: true, ..Report::default() }));
    assert_eq!(house.on(failed()), [Effect::StopEngine(GONE_MS)]);
    assert_eq!(house.on(failed()), [], "asked twice");
    // The engine's next try may have worked.
    assert_eq!(house.on(Event::Engine(Box::default())), []);
    assert_eq!(house.shows(), Condition::DriveUnusable);
    assert_eq!(house.on(Event::EngineEnded), [Effect::Unmount(true)]);
    house.now += 60_000;
    assert_eq!(house.on(Event::Tick), []);
    assert_eq!(house.shows(), Condition::DriveUnusable);
    assert!(house.says().contains("failed while it was in use"));
    assert!(matches!(&house.plug(&[ours(2)])[..], [Effect::Prepare(_)]));
}

#[test]
fn a_drive_that_can_not_be_checked_is_told_and_another_one_taken() {
    let mut house = House::new(config::Drive::default());
    house.plug(&[ours(1)]);
    assert_eq!(house.on(Event::Prepared(Err("e2fsck gave up".into()))), []);
    assert_eq!(house.shows(), Condition::DriveUnusable);
    assert!(house.says().contains("e2fsck gave up"));
    let other = disk("sdb", 2, Kind::Xfs, "LARDER");
    let effects = house.plug(&[ours(1), other]);
    assert!(
        matches!(&effects[..], [Effect::Prepare(choice)] if choice.node == "sdb1"),
        "{effects:?}"
    );
}

#[test]
fn a_foreign_drive_is_named_on_led_and_in_the_status() {
    let mut house = House::new(config::Drive::default());
    assert_eq!(house.plug(&[disk("sda", 1, Kind::Exfat, "PHOTOS")]), []);
    assert_eq!(house.shows(), Condition::DriveUnusable);
    assert!(house.says().contains("no hard links"));
    assert_eq!(house.plug(&[disk("sda", 2, Kind::Blank, "")]), []);
    assert_eq!(house.shows(), Condition::Attention);
}

#[test]
fn a_wished_drive_is_formatted_looked_at_again_and_used() {
    let mut house =
        House::new(config::Drive { format: Some("SERsda".into()), ..config::Drive::default() });
    let effects = house.plug(&[disk("sda", 1, Kind::Exfat, "PHOTOS")]);
    assert_eq!(effects, [Effect::Format { disk: "sda".into(), sequence: 1 }]);
    assert_eq!(house.shows(), Condition::Starting);
    assert_eq!(house.on(Event::Formatted(Ok(()))), [Effect::Probe]);
    let effects = house.on(Event::Disks(vec![ours(1)]));
    assert!(matches!(&effects[..], [Effect::Prepare(_)]), "{effects:?}");
}

// What is promised for a pulled drive is two seconds, half of one of them to notice it.
const _: () = assert!(GONE_MS <= 1_500);

#[test]
fn a_wish_to_format_is_carried_out_once_whatever_else_has_its_serial() {
    let wish = || config::Drive { format: Some("SERsda".into()), ..config::Drive::default() };
    let other = |sequence| disk("sda", sequence, Kind::Exfat, "PHOTOS");
    // By us: then another disk is put into the same dock.
    let mut house = House::new(wish());
    house.plug(&[disk("sda", 1, Kind::Blank, "")]);
    house.on(Event::Formatted(Ok(())));
    assert!(house.says().contains("Take that line out"), "{}", house.says());
    assert_eq!(house.on(Event::Disks(vec![])), []);
    assert_eq!(house.plug(&[]), []);
    assert_eq!(house.plug(&[other(2)]), []);
    assert!(house.says().contains("no hard links"), "{}", house.says());
    // Earlier: as it is in use, as it is told, and as it was lost.
    let mut lost = disk("sda", 1, Kind::Unknown, "");
    lost.volumes[0].signature.marked = true;
    for found in [ours(1), lost] {
        let mut house = House::new(wish());
        house.plug(std::slice::from_ref(&found));
        house.on(Event::Prepared(Ok(false)));
        house.on(Event::Engine(Box::default()));
        assert!(house.says().contains("Take that line out"), "{}", house.says());
        house.plug(&[]);
        house.on(Event::EngineEnded);
        assert_eq!(house.plug(&[other(2)]), [], "{found:?}");
        assert!(house.says().contains("Take that line out"), "{}", house.says());
    }
    // Set aside, it still is the one that was meant.
    let mut house = House::new(wish());
    house.plug(&[ours(1)]);
    house.on(Event::Prepared(Err("e2fsck gave up".into())));
    let mut twin = other(2);
    twin.name = "sdb".into();
    assert_eq!(house.plug(&[ours(1), twin]), []);
}

#[test]
fn a_format_that_fails_is_told_and_not_tried_again() {
    let wish = config::Drive { format: Some("SERsda".into()), ..config::Drive::default() };
    let mut house = House::new(wish);
    house.plug(&[disk("sda", 1, Kind::Blank, "")]);
    assert_eq!(house.on(Event::Formatted(Err("no".into()))), [Effect::Probe]);
    assert_eq!(house.on(Event::Disks(vec![disk("sda", 1, Kind::Blank, "")])), []);
    assert_eq!(house.shows(), Condition::DriveUnusable);
}

#[test]
fn an_engine_that_keeps_ending_is_started_again_ever_later_and_told() {
    let mut house = House::running();
    for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
        assert_eq!(house.on(Event::EngineEnded), []);
        house.now += wait * 1_000 - 1;
        assert_eq!(house.on(Event::Tick), [], "{wait}");
        house.now += 1;
        assert_eq!(house.on(Event::Tick), [Effect::StartEngine], "{wait}");
    }
    assert_eq!(house.shows(), Condition::Attention);
    house.now += HEALTHY_MS;
    house.on(Event::EngineEnded);
    house.now += 1_000;
    assert_eq!(house.on(Event::Tick), [Effect::StartEngine]);
}

#[test]
fn stopping_ends_engine_mount_and_program_in_this_order() {
    let mut house = House::running();
    assert_eq!(house.on(Event::Stop), [Effect::StopEngine(CALM_MS)]);
    assert_ne!(house.shows(), Condition::StoppedSafely);
    assert_eq!(house.on(Event::EngineEnded), [Effect::Unmount(false), Effect::Exit]);
    assert_eq!(house.shows(), Condition::StoppedSafely);
    let mut idle = House::new(config::Drive::default());
    assert_eq!(idle.on(Event::Stop), [Effect::Exit]);
}

#[test]
fn ejected_it_stays_stopped_until_something_is_plugged() {
    let mut house = House::running();
    assert_eq!(house.on(Event::Eject), [Effect::StopEngine(CALM_MS)]);
    assert_eq!(house.on(Event::EngineEnded), [Effect::Unmount(false)]);
    assert_eq!(house.shows(), Condition::StoppedSafely);
    assert_eq!(house.on(Event::Tick), []);
    // The same disk, read-only for the moment of a look inside.
    house.plug(&[ours(1)]);
    assert_eq!(house.shows(), Condition::StoppedSafely);
    house.plug(&[]);
    assert_eq!(house.shows(), Condition::WaitingForDrive);
    assert!(matches!(&house.plug(&[ours(2)])[..], [Effect::Prepare(_)]));
}

#[test]
fn an_import_runs_once_beside_the_engine_and_ends_with_the_drive() {
    let wish = config::Drive { import: true, ..config::Drive::default() };
    let mut house = House::new(wish);
    let both = [ours(1), disk("sdb", 2, Kind::Exfat, "PHOTOS")];
    house.plug(&both);
    house.on(Event::Prepared(Ok(false)));
    let effects = house.on(Event::Engine(Box::default()));
    assert!(matches!(&effects[..], [Effect::StartImport(choice)] if choice.node == "sdb1"));
    assert_eq!(house.on(Event::Tick), []);
    assert_eq!(house.on(Event::ImportEnded(true)), []);
    assert!(house.says().contains("are on the Larder drive"));
    assert_eq!(house.on(Event::Tick), []);
    // Pulled and plugged in again, it is looked through again.
    house.plug(&both[..1]);
    let effects = house.plug(&[ours(1), disk("sdb", 3, Kind::Exfat, "PHOTOS")]);
    assert!(matches!(&effects[..], [Effect::StartImport(_)]), "{effects:?}");
    let effects = house.on(Event::Present(vec![("sdb".into(), 3)]));
    assert_eq!(effects, [Effect::StopImport, Effect::StopEngine(GONE_MS), Effect::Probe]);
}

/// A house whose Larder drive works, with an import running from the first volume of this drive.
fn importing(volumes: Vec<Volume>) -> (House, Vec<Disk>) {
    let mut house = House::new(config::Drive { import: true, ..config::Drive::default() });
    let mut foreign = disk("sdb", 2, Kind::Exfat, "");
    foreign.volumes = volumes;
    let both = vec![ours(1), foreign];
    house.plug(&both);
    house.on(Event::Prepared(Ok(false)));
    let effects = house.on(Event::Engine(Box::default()));
    assert!(matches!(&effects[..], [Effect::StartImport(_)]), "{effects:?}");
    (house, both)
}

fn part(node: &str, kind: Kind, label: &str) -> Volume {
    Volume { node: node.into(), ..disk("sdb", 2, kind, label).volumes.remove(0) }
}

#[test]
fn a_drive_may_be_taken_away_only_with_the_list_of_what_was_not_copied() {
    let efi = Volume { role: Role::Efi, ..part("sdb1", Kind::Vfat, "EFI") };
    let mac = part("sdb3", Kind::Other("HFS+"), "ALBUM");
    let (mut house, _) = importing(vec![efi.clone(), part("sdb2", Kind::Exfat, "PHOTOS"), mac]);
    assert!(!house.says().contains("take `import = true` out"));
    house.on(Event::Import(Progress { copied: 7, ..Progress::default() }));
    house.on(Event::ImportEnded(true));
    let said = house.says().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("\"PHOTOS\"") && said.contains("7 copied"), "{said}");
    assert!(said.contains("NOT copied from that drive: \"ALBUM\""), "{said}");
    assert!(said.contains("this Pi can't read HFS+"), "{said}");
    assert!(said.contains("Keep that drive as it is until you have what was not copied"), "{said}");
    assert!(!said.contains("The files of \"EFI\""), "{said}");
    assert!(said.contains("Not copied from it: the EFI partition"), "{said}");
    assert_eq!(house.shows(), Condition::Attention);

    // What only helps a computer to start is named, and nobody has to do anything about it.
    let (mut house, _) = importing(vec![efi, part("sdb2", Kind::Exfat, "PHOTOS")]);
    house.on(Event::ImportEnded(true));
    let said = house.says().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("Not copied from it: the EFI partition"), "{said}");
    assert!(said.contains("Unplug that drive, and take `import = true` out"), "{said}");
    assert_eq!(house.shows(), Condition::Ready);
}

#[test]
fn of_two_partitions_both_are_copied_before_the_drive_may_be_taken_away() {
    let two = vec![part("sdb1", Kind::Exfat, "ONE"), part("sdb2", Kind::Ntfs, "TWO")];
    let (mut house, _) = importing(two);
    let effects = house.on(Event::ImportEnded(true));
    assert!(matches!(&effects[..], [Effect::StartImport(choice)] if choice.node == "sdb2"));
    assert!(!house.says().contains("nplug that drive"), "{}", house.says());
    let stopped = Some("mounting /dev/sdb2: Invalid argument".to_owned());
    house.on(Event::Import(Progress { stopped, ..Progress::default() }));
    house.on(Event::ImportEnded(false));
    let said = house.says().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("The files of \"ONE\""), "{said}");
    assert!(said.contains("\"TWO\"") && said.contains("Invalid argument"), "{said}");
    assert!(said.contains("Keep that drive as it is"), "{said}");
    assert_eq!(house.shows(), Condition::Attention);
}

#[test]
fn what_found_no_room_is_named_and_the_drive_is_not_called_copied() {
    let (mut house, _) = importing(vec![part("sdb1", Kind::Vfat, "FILMS")]);
    house.on(Event::Import(Progress {
        copied: 3,
        skipped: 9,
        too_large: (8, 720_000_000),
        told: vec!["film.mkv: it has 90 MB, and the Larder drive has room for 42 MB".into()],
        finished: true,
        ..Progress::default()
    }));
    house.on(Event::ImportEnded(true));
    let said = house.says().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("film.mkv: it has 90 MB"), "{said}");
    assert!(said.contains("and 8 more") && said.contains("720 MB"), "{said}");
    assert!(said.contains("Make room on the Larder drive"), "{said}");
    assert!(!said.contains("are on the Larder drive"), "{said}");
    assert_eq!(house.shows(), Condition::Attention);
}

#[test]
fn nothing_that_was_not_copied_is_cut_off_from_the_status() {
    let mut volumes = vec![part("sdb1", Kind::Exfat, "PHOTOS")];
    let names = ["ALBUM", "BACKUP", "WINDOWS"];
    volumes
        .extend(names.map(|name| part(name, Kind::Other("an encrypted drive (BitLocker)"), name)));
    let (mut house, _) = importing(volumes);
    let told: Vec<String> = (0..5)
        .map(|n| {
            format!(
                "{}/{n}.raw: it has 90 MB, and the Larder drive has room for 42 MB",
                "a".repeat(60)
            )
        })
        .collect();
    house.on(Event::Import(Progress { skipped: 5, told, ..Progress::default() }));
    house.on(Event::ImportEnded(true));
    let report = house.machine.report(Time::default());
    for notice in &report.notices {
        assert!(notice.what.chars().count() <= 300, "{}", notice.what);
        assert!(notice.next.chars().count() <= 300, "{}", notice.next);
    }
    let all: String = report.notices.iter().map(|notice| &*notice.what).collect();
    assert!(names.iter().all(|name| all.contains(name)), "{all}");
    assert!((0..5).all(|n| all.contains(&format!("/{n}.raw: it has 90 MB"))), "{all}");
}

#[test]
fn a_full_drive_is_called_full_and_not_broken() {
    let mut house = House::new(config::Drive::default());
    house.plug(&[ours(1)]);
    let no_room = DriveError::Io {
        what: "preparing",
        path: "/drive".into(),
        source: std::io::Error::from_raw_os_error(28),
    };
    house.on(Event::Prepared(Err(no_room.into())));
    assert_eq!(house.shows(), Condition::DriveFull);
    let said = house.says();
    assert!(said.contains("is full") && said.contains("make some room"), "{said}");
    assert!(!said.contains("e2fsck") && !said.contains("can't be used"), "{said}");
    // Plugged in again, it is tried again.
    assert!(matches!(&house.plug(&[ours(2)])[..], [Effect::Prepare(_)]));
}

#[test]
fn on_a_full_drive_the_reserve_goes_to_the_engine_until_there_is_plenty_again() {
    let mut house = House::running();
    let total = Bytes(64_000_000_000);
    let report = |condition, free: u64| {
        Event::Engine(Box::new(Report {
            condition,
            space: Some((Bytes(free), total)),
            ..Report::default()
        }))
    };
    assert_eq!(house.on(report(Condition::DriveFull, 0)), [Effect::Reserve(false)]);
    assert_eq!(house.on(report(Condition::DriveFull, 0)), []);
    // The engine writes again, and the drive is no less full.
    assert_eq!(house.on(report(Condition::Ready, 8 << 20)), []);
    assert_eq!(house.shows(), Condition::DriveFull);
    assert!(house.says().contains("Make room"));
    assert_eq!(house.on(report(Condition::Ready, 1 << 30)), [Effect::Reserve(true)]);
    assert_eq!(house.shows(), Condition::Ready);
    // Another drive has a reserve of its own.
    house.on(report(Condition::DriveFull, 0));
    house.on(Event::Present(vec![]));
    house.on(Event::EngineEnded);
    assert!(!house.says().contains("Make room"));
}

#[test]
fn the_engines_notices_come_through_with_the_drive_in_words() {
    let mut house = House::running();
    let notice = Notice {
        at: Time::from_secs(5),
        condition: Condition::DriveFull,
        what: "no room".into(),
        next: "make some".into(),
    };
    house.on(Event::Engine(Box::new(Report { notices: vec![notice], ..Report::default() })));
    assert_eq!(house.shows(), Condition::DriveFull);
    assert!(house.says().contains("\"LARDER\" on Stick (serial SERsda), 64 GB, ext4: in use"));
}

#[test]
fn the_device_id_stays_while_no_drive_is_in_use_and_never_stands_for_another_drive() {
    let mut house = House::running();
    let report = Report { device_id: Some("ABCDEFG".into()), ..Report::default() };
    house.on(Event::Engine(Box::new(report)));
    let told = house.says();
    assert!(told.contains("Device id:  ABCDEFG"), "{told}");
    house.plug(&[]);
    house.on(Event::EngineEnded);
    assert!(house.says().contains("Device id:  ABCDEFG"));
    house.plug(&[ours(2)]);
    house.on(Event::Prepared(Ok(false)));
    assert!(house.says().contains("Device id:  ABCDEFG"), "the sync engine only starts");
    house.plug(&[]);
    house.on(Event::EngineEnded);
    let mut other = ours(3);
    other.volumes[0].signature.uuid = "v".into();
    house.plug(&[other]);
    house.on(Event::Prepared(Ok(false)));
    assert!(house.says().contains("Device id:  not known yet"), "{}", house.says());
}

#[test]
fn broken_settings_are_told_until_the_engine_says_it_better() {
    let complaint = Advice {
        condition: Condition::SettingsError,
        what: "line 3: `pim` is no setting".into(),
        next: "write `pin`".into(),
    };
    let machine = Machine::new(config::Drive::default(), vec![complaint]);
    let mut house = House { machine, now: 0 };
    house.plug(&[]);
    assert_eq!(house.shows(), Condition::SettingsError);
    house.plug(&[ours(1)]);
    house.on(Event::Prepared(Ok(false)));
    house.on(Event::Engine(Box::default()));
    assert_eq!(house.shows(), Condition::Ready);
}

fn any_event() -> impl Strategy<Value = Event> {
    let plugs = prop_oneof![
        Just(vec![]),
        Just(vec![("sda".to_owned(), 1)]),
        Just(vec![("sda".to_owned(), 2)]),
        Just(vec![("sda".to_owned(), 2), ("sdb".to_owned(), 3)]),
    ];
    let disks = prop_oneof![
        Just(vec![]),
        Just(vec![ours(1)]),
        Just(vec![ours(2), disk("sdb", 3, Kind::Exfat, "x")]),
        Just(vec![disk("sda", 1, Kind::Blank, "")]),
    ];
    prop_oneof![
        4 => Just(Event::Tick),
        3 => plugs.prop_map(Event::Present),
        3 => disks.prop_map(Event::Disks),
        3 => any::<bool>().prop_map(|well| Event::Prepared(well.then_some(false).ok_or("no".into()))),
        1 => any::<bool>().prop_map(|well| Event::Formatted(well.then_some(()).ok_or("no".into()))),
        1 => Just(Event::Sick),
        2 => any::<bool>().prop_map(|drive_failed| {
            Event::Engine(Box::new(Report { drive_failed, ..Report::default() }))
        }),
        3 => Just(Event::EngineEnded),
        1 => any::<bool>().prop_map(Event::ImportEnded),
        1 => Just(Event::Eject),
        1 => Just(Event::Stop),
    ]
}

proptest! {
    /// Under any events whatever, in any order: the engine runs only on a mounted drive, nothing
    /// is mounted twice, nothing is unmounted under a running engine.
    #[test]
    fn engine_and_mount_keep_their_order(
        events in proptest::collection::vec(any_event(), 0..60), formats: bool, imports: bool,
    ) {
        let settings = config::Drive {
            format: formats.then(|| "SERsda".into()), import: imports, adopt: None,
        };
        let mut machine = Machine::new(settings, Vec::new());
        let (mut mounted, mut engine, mut preparing, mut exited) = (false, false, false, false);
        for (at, event) in events.into_iter().enumerate() {
            if exited {
                break;
            }
            // The world answers only what was asked.
            match &event {
                Event::EngineEnded if !engine => continue,
                Event::EngineEnded => engine = false,
                Event::Prepared(_) if !preparing => continue,
                Event::Prepared(result) => {
                    preparing = false;
                    mounted = result.is_ok();
                }
                _ => {}
            }
            for effect in machine.step(event, at as u64 * 700) {
                match effect {
                    Effect::Prepare(_) => {
                        prop_assert!(!mounted && !preparing);
                        preparing = true;
                    }
                    Effect::Format { .. } => prop_assert!(!mounted && !preparing),
                    Effect::StartEngine => {
                        prop_assert!(mounted && !engine);
                        engine = true;
                    }
                    Effect::StopEngine(_) => prop_assert!(engine),
                    Effect::Unmount(_) => {
                        prop_assert!(mounted && !engine);
                        mounted = false;
                    }
                    Effect::StartImport(_) => prop_assert!(mounted && engine),
                    Effect::Reserve(_) => prop_assert!(mounted && engine),
                    Effect::Exit => {
                        prop_assert!(!mounted && !engine);
                        exited = true;
                    }
                    Effect::Probe | Effect::StopImport => {}
                }
            }
            let report = machine.report(Time::default());
            if report.condition == Condition::StoppedSafely {
                prop_assert!(!mounted);
            }
        }
    }
}
