//! Equal files that are stored once, and one of them is written in place: the others have their own content again.

use super::furnished;
use super::house::{House, holder, is_done, path};
use super::night::{Drive, clock, two_devices};
use crate::engine::{Known, News, Verification};
use crate::model::{Action, Place, RelPath, Time};
use crate::plan::{master, on};
use crate::watch::Pending;

/// `a.doc` and `b.doc` were equal and are stored once; the phone has `b.doc`.
fn joined() -> House {
    let mut house = furnished();
    house.home("a.doc", "same");
    house.home("b.doc", "same");
    house.settle();
    assert!(is_done(&house.phone_asks(Action::Get, "b.doc")));
    house.settle();
    let event = house.join("a.doc", "b.doc");
    house.take_joins(vec![event]);
    // The batch of the tests is the number 1: whatever is written is written after it.
    house.settle();
    house
}

impl House {
    /// Four bytes, in place. What the kernel tells of it is another matter.
    fn writes(&mut self, at: &str) {
        let (spot, later) = (master(&path(at)), self.now.plus_secs(5));
        self.memory().write_in_place(&spot, b"sAmE", later);
    }

    /// The event of a write through that name.
    fn is_told_of_writing(&mut self, at: &str) {
        self.pending.add_written(&master(&path(at)));
    }

    fn docs(&self) -> [Option<String>; 3] {
        [self.at_home("a.doc"), self.at_home("b.doc"), self.at_phone("b.doc")]
    }

    fn findings(&mut self) -> Vec<String> {
        let mut fs = self.drive.clone();
        let engine = self.engine();
        let versions = &engine.world().versions;
        let known = Known { world: engine.world(), versions, config: engine.config() };
        let mut verification = Verification::thorough();
        verification.go_on(&mut fs, &known, &mut || false).unwrap();
        verification.found.iter().map(|found| found.what.clone()).collect()
    }
}

fn some(texts: [&str; 3]) -> [Option<String>; 3] {
    texts.map(|text| Some(text.to_owned()))
}

#[test]
fn the_name_that_was_not_written_has_its_content_again() {
    let mut house = joined();
    house.writes("a.doc");
    house.is_told_of_writing("a.doc");
    house.turn();
    assert_eq!(house.docs(), some(["sAmE", "same", "same"]));
    assert!(house.told().contains("b.doc"), "{}", house.told());
    house.settle();
    assert_eq!(house.docs(), some(["sAmE", "same", "same"]), "and nobody takes it for an edit");
    assert_eq!(house.findings(), [""; 0]);
}

#[test]
fn the_kept_name_has_its_content_again_when_the_joined_one_was_written() {
    let mut house = joined();
    house.writes("b.doc");
    house.is_told_of_writing("b.doc");
    house.turn();
    house.settle();
    assert_eq!(house.docs(), some(["same", "sAmE", "sAmE"]));
    assert_eq!(house.findings(), [""; 0]);
}

#[test]
fn both_contents_keep_a_name_when_nobody_knows_which_was_written() {
    for restart in [false, true] {
        let mut house = joined();
        house.writes("b.doc");
        if restart {
            house.restart();
        } else {
            house.pending.lost = true;
            house.turn();
        }
        house.settle();
        assert_eq!(house.docs(), some(["sAmE", "same", "same"]), "restart: {restart}");
        assert_eq!(house.findings(), [""; 0]);
    }
}

#[test]
fn a_look_for_another_reason_tells_not_which_name_was_written() {
    // A program writes `a.doc` through a mapping, of which there is no event, and goes on writing there. What is looked
    // at is its joined name: for an event of its attributes, or because the phone's link of it had one.
    let reasons = [master(&path("b.doc")), on(&holder("HTCphone"), &path("b.doc"))];
    for reason in reasons {
        let mut house = joined();
        let ino = |house: &House| {
            let at = master(&path("a.doc"));
            house.memory().files().find(|(spot, _)| **spot == at).map(|(_, ino)| ino)
        };
        let program_has = ino(&house);
        house.writes("a.doc");
        house.hint(&reason);
        house.turn();
        house.settle();
        assert_eq!(house.docs(), some(["sAmE", "same", "same"]), "{reason}");
        assert_eq!(ino(&house), program_has, "{reason}: it writes on into its own file");
        assert_eq!(house.findings(), [""; 0]);
    }
}

#[test]
fn more_absences_without_word_than_a_turn_looks_at_keep_nothing_from_being_mended() {
    let mut house = joined();
    for n in 0..60 {
        house.home(&format!("d/{n:02}"), &format!("content {n}"));
    }
    house.settle();
    assert!(is_done(&house.phone_asks(Action::Get, "d")));
    house.engine().carried([holder("HTCphone")]);
    house.settle();
    house.engine().looks = 8;
    // Nobody told yet that the phone deleted them.
    for n in 0..12 {
        house.phone_deletes(&format!("d/{n:02}"));
    }
    house.settle();
    assert_eq!(house.engine().world().replicas[&holder("HTCphone")].absent.len(), 12);
    house.writes("a.doc");
    house.is_told_of_writing("a.doc");
    // It comes to rest.
    house.turn();
    assert_eq!(house.docs(), some(["sAmE", "same", "same"]));
    // When it is told they go.
    for n in 0..12 {
        let (news, now) =
            (News::Deleted(holder("HTCphone"), path(&format!("d/{n:02}"))), house.now);
        house.engine().hear(news, now).unwrap();
    }
    house.turn();
    assert_eq!(house.engine().world().replicas[&holder("HTCphone")].absent.len(), 0);
    assert_eq!(house.phone_files().len(), 49);
}

#[test]
fn a_file_that_was_written_by_all_its_names_is_left_as_it_is() {
    let mut house = joined();
    house.writes("a.doc");
    house.is_told_of_writing("a.doc");
    house.is_told_of_writing("b.doc");
    house.turn();
    assert_eq!(house.docs(), some(["sAmE", "sAmE", "sAmE"]));
    let kept = house.kept();
    assert!(kept.iter().any(|k| k.ends_with("b.doc=same")), "it waits for the night: {kept:?}");
    // What has no other name than where it waits is noticed.
    let found = house.findings();
    assert!(found.iter().any(|f| f.contains("b.doc") && f.contains("joined")), "{found:?}");
}

#[test]
fn what_was_not_joined_is_edited_in_place_as_ever() {
    let mut house = furnished();
    house.home("log", "1");
    house.settle();
    assert!(is_done(&house.phone_asks(Action::Get, "log")));
    let later = house.now.plus_secs(9);
    house.memory().write_in_place(&master(&path("log")), b"12", later);
    house.hint(&master(&path("log")));
    house.settle();
    assert_eq!(house.at_phone("log").as_deref(), Some("12"));
    assert_eq!(house.kept(), [""; 0]);
}

#[test]
fn an_edit_on_the_device_after_the_join_stays_and_is_no_finding() {
    let mut house = joined();
    house.wait(10);
    house.phone("b.doc", "edited");
    house.settle();
    assert_eq!(house.docs(), some(["same", "edited", "edited"]));
    assert_eq!(house.findings(), [""; 0]);
    house.restart();
    house.pending.lost = true;
    house.settle();
    assert_eq!(house.docs(), some(["same", "edited", "edited"]));
    assert_eq!(house.findings(), [""; 0]);
}

#[test]
fn a_cut_anywhere_loses_neither_content() {
    let mut cuts = 0;
    for written in ["a.doc", "b.doc"] {
        for cut in 0.. {
            let mut house = joined();
            house.drive.0.borrow_mut().remember = true;
            house.writes(written);
            house.is_told_of_writing(written);
            house.cut_from(cut);
            let cut_off = house.is_cut_off(cut);
            house.memory().fail_from = None;
            house.settle();
            assert_eq!(house.drive.0.borrow().lost, Vec::<Vec<u8>>::new(), "{written}, cut {cut}");
            let mut both = [house.at_home("a.doc").unwrap(), house.at_home("b.doc").unwrap()];
            assert_eq!(Some(&both[1]), house.at_phone("b.doc").as_ref(), "{written}, cut {cut}");
            both.sort();
            assert_eq!(both, ["sAmE", "same"], "{written}, cut {cut}: both are at home");
            assert_eq!(house.findings(), [""; 0], "{written}, cut {cut}");
            if !cut_off {
                cuts += cut;
                break;
            }
        }
    }
    assert!(cuts > 10, "{cuts}");
}

// On a real drive.

#[test]
#[allow(clippy::disallowed_methods, reason = "somebody at home writes there")]
fn a_real_file_written_in_place_after_a_real_night() {
    use std::os::unix::fs::FileExt as _;
    for (named, keeps_time) in [(true, false), (false, false), (false, true)] {
        let dir = tempfile::tempdir().unwrap();
        for at in ["a.doc", "b.doc"] {
            Drive::put(&dir, at, b"equal and long enough");
        }
        let now = clock();
        let mut drive = Drive::open(dir, two_devices(true), now);
        drive.engine.join_from_age(i64::MIN);
        drive.engine.whole_night(now).unwrap();
        assert_eq!(drive.engine.night.joined.names, 1);
        let home = drive.dir.path().join("drive/BTsync/files");
        std::thread::sleep(std::time::Duration::from_millis(50));
        let file = std::fs::File::options().write(true).open(home.join("a.doc")).unwrap();
        let before = file.metadata().unwrap().modified().unwrap();
        file.write_all_at(b"EQUA", 0).unwrap();
        if keeps_time {
            // As tools do that set it back: nothing but the bytes tells.
            file.set_modified(before).unwrap();
        }
        drop(file);
        let mut pending = Pending { lost: !named, ..Pending::default() };
        if named {
            pending.add_written(&master(&RelPath::new(b"a.doc").unwrap()));
        }
        while drive.engine.turn(std::mem::take(&mut pending), now).unwrap().more {}
        // The night after lets go what has another name.
        drive.engine.join_from_age(i64::MIN);
        drive.engine.whole_night(now.plus_secs(2 * 86_400)).unwrap();
        let read = |at: &str| std::fs::read(home.join(at)).unwrap().escape_ascii().to_string();
        let told = format!("named: {named}, keeps time: {keeps_time}");
        assert_eq!(read("a.doc"), "EQUAl and long enough", "{told}");
        assert_eq!(read("b.doc"), "equal and long enough", "{told}");
        let aside = drive.dir.path().join("drive/BTsyncApp/versions/joined");
        assert!(!aside.exists(), "{told}: all that waited is gone");
    }
}

#[test]
fn devices_names_are_those_of_the_house() {
    // The helper that the tests above rest on.
    let house = joined();
    let at = on(&holder("HTCphone"), &path("b.doc"));
    let (a, b) = (master(&path("a.doc")), master(&path("b.doc")));
    let memory = house.memory();
    let of = |spot| memory.files().find(|(at, _)| **at == spot).map(|(_, ino)| ino);
    assert_eq!(of(a.clone()), of(b), "stored once");
    assert_eq!(of(a), of(at));
    let waits = Place::Versions.at(path("joined/1/b.doc"));
    assert!(of(waits).is_some());
    assert!(Time(0) < house.now);
}
