//! What can't be done is answered and told with its cause and the next step, and never called a change.

use super::furnished;
use super::house::{House, is_done, path, refusal};
use crate::fs::{FileSystem as _, FsError};
use crate::model::{Action, Answer, Place};
use crate::plan::{CHUNK, master, on};
use rustix::io::Errno;

#[test]
fn no_errno_is_called_a_change_but_those_of_a_race() {
    let at = master(&path("x"));
    let of = |errno| FsError::new(&at, "link", errno);
    for errno in [Errno::NOENT, Errno::NOTDIR, Errno::EXIST, Errno::NOTEMPTY] {
        assert!(of(errno).is_race(), "{errno}");
    }
    let causes = [
        (Errno::PERM, "not permitted"),
        (Errno::ACCESS, "not permitted"),
        (Errno::XDEV, "another file system"),
        (Errno::LOOP, "symbolic link"),
        (Errno::NAMETOOLONG, "too long"),
        (Errno::MLINK, "as many links"),
    ];
    for (errno, words) in causes {
        let text = of(errno).to_string();
        assert!(!of(errno).is_race() && text.contains(words), "{errno}: {text}");
        // Of what is in the way it may be that it is gone in a moment.
        assert_eq!(of(errno).stays(), errno != Errno::LOOP, "{errno}");
        assert!(!text.contains("remove") && !text.contains("chang"), "{errno}: {text}");
    }
}

#[test]
fn what_may_pass_is_tried_again_and_named_as_it_is_if_it_stays() {
    for (errno, words) in
        [(Errno::BUSY, "busy"), (Errno::NOMEM, "memory"), (Errno::LOOP, "left alone")]
    {
        for times in [2, usize::MAX] {
            let mut house = furnished();
            let to = on(&super::holder("HTCphone"), &path("a/x"));
            house.drive.0.borrow_mut().unlinkable = Some((to, errno, times));
            let wish = house.wish(Action::Get, "a/x");
            let Answer::Waiting(what) = house.phone_wishes(wish.clone()) else {
                panic!("{errno}: not tried again")
            };
            assert!(what.to_lowercase().contains(words) && !what.contains("chang"), "{what}");
            (0..6).for_each(|_| house.wait(1));
            let answer = house.answer(&super::phone_page(), wish.id);
            if times == 2 {
                assert!(is_done(&answer), "{errno}: {answer:?}");
                assert_eq!(house.at_phone("a/x").as_deref(), Some("x1"));
            } else {
                let why = refusal(answer);
                assert!(why.to_lowercase().contains(words) && !why.contains("chang"), "{why}");
            }
        }
    }
}

#[test]
fn a_drive_whose_medium_fails_refuses_nothing() {
    for errno in [Errno::TIMEDOUT, Errno::NODATA, Errno::REMOTEIO, Errno::NOLINK] {
        let mut house = furnished();
        let to = on(&super::holder("HTCphone"), &path("a/x"));
        house.drive.0.borrow_mut().unlinkable = Some((to, errno, 1));
        let wish = house.wish(Action::Get, "a/x");
        house.press(&super::phone_page(), std::slice::from_ref(&wish));
        let error = house.try_turn().expect_err("the drive fails");
        assert_eq!(error.trouble(), Some(crate::fs::Trouble::Failing), "{errno}");
        house.restart();
        assert!(is_done(&house.answer(&super::phone_page(), wish.id)), "{errno}");
    }
}

#[test]
fn a_folder_of_files_that_may_not_be_linked_and_an_empty_one_comes_to_an_end() {
    let mut house = furnished();
    for n in 0..CHUNK {
        let at = format!("d/{}/{n}", n % 100);
        house.home(&at, "");
        house.memory().denied.insert(master(&path(&at)));
    }
    house.memory().make_dir(&master(&path("d/hollow"))).unwrap();
    house.hint(&master(&path("d/hollow")));
    house.turn();
    let why = refusal(house.phone_asks(Action::Get, "d"));
    assert!(why.contains("another user"), "{why}");
}

#[test]
fn more_empty_folders_than_a_part_has_room_for_come_to_all_devices() {
    let mut house = furnished();
    let laptop = super::holder("LinuxLaptop");
    for n in 0..=CHUNK / 2 {
        house.memory().make_dir(&master(&path(&format!("e/{n}")))).unwrap();
    }
    house.pending.lost = true;
    house.turn();
    let mut wish = house.wish(Action::Get, "e");
    wish.to = vec![super::holder("HTCphone"), laptop.clone()];
    assert!(is_done(&house.phone_wishes(wish)));
    for at in ["e/0".into(), format!("e/{}", CHUNK / 2)] {
        assert!(folder_on_phone(&house, &at), "{at}");
        assert!(house.memory().look(&on(&laptop, &path(&at))).unwrap().is_some(), "{at}");
    }
}

#[test]
fn a_file_of_somebody_else_is_named_with_its_cause() {
    let mut house = furnished();
    let theirs = master(&path("a/x"));
    house.memory().denied.insert(theirs);
    for (action, at) in [(Action::Get, "a/x"), (Action::Destroy, "a/x"), (Action::Get, "a")] {
        let why = refusal(house.phone_asks(action, at));
        assert!(why.contains("another user") && why.contains("chown"), "{action}: {why}");
        assert!(!why.contains("changing"), "{why}");
    }
    assert_eq!(house.phone_files(), ["a/b/y=y1"], "the rest is done");
    let told = house.told();
    assert!(told.contains("a/x") && told.contains("chown"), "{told}");
    // It goes when the cause goes.
    house.memory().denied.clear();
    house.wait(61);
    house.settle();
    assert!(!house.told().contains("another user"), "{}", house.told());
    assert!(is_done(&house.phone_asks(Action::Get, "a/x")));
}

#[test]
fn what_a_device_brings_and_cant_be_linked_is_told_with_its_cause() {
    let mut house = furnished();
    let at = on(&super::holder("HTCphone"), &path("new"));
    house.memory().denied.insert(at);
    house.phone("new", "n1");
    house.settle();
    let told = house.told();
    assert!(told.contains("HTCphone/new") && told.contains("another user"), "{told}");
    house.memory().denied.clear();
    house.wait(61);
    house.settle();
    assert_eq!(house.at_home("new").as_deref(), Some("n1"));
    assert!(!house.told().contains("another user"), "{}", house.told());
}

#[test]
fn a_page_that_may_not_be_read_keeps_nobody_from_work() {
    let mut house = furnished();
    let page = Place::Catalogue.at(path("LinuxLaptop"));
    house.memory().denied.insert(page);
    house.pending.lost = true;
    house.turn();
    assert!(is_done(&house.phone_asks(Action::Get, "a/x")));
    assert!(house.told().contains("catalogue/LinuxLaptop"), "{}", house.told());
    house.memory().denied.clear();
    house.pending.lost = true;
    house.turn();
    assert!(!house.told().contains("catalogue/LinuxLaptop"), "{}", house.told());
}

#[test]
fn no_inodes_left_is_told_as_such_and_done_when_there_are_some() {
    let mut house = furnished();
    let wish = house.wish(Action::Get, "a/x");
    house.press(&super::phone_page(), std::slice::from_ref(&wish));
    house.memory().inodes_left = Some(0);
    let error = house.try_turn().unwrap_err();
    assert_eq!(error.trouble(), Some(crate::fs::Trouble::NoInodes));
    let text = error.to_string();
    assert!(text.contains("inodes") && text.contains("number of files"), "{text}");
    assert!(house.memory().space().unwrap().no_inodes);
    let Answer::Waiting(what) = house.answer(&super::phone_page(), wish.id) else {
        panic!("neither done nor refused")
    };
    assert!(what.contains("no inodes left"), "{what}");
    house.memory().inodes_left = None;
    house.restart();
    assert!(is_done(&house.answer(&super::phone_page(), wish.id)));
    assert_eq!(house.at_phone("a/x").as_deref(), Some("x1"));
}

// Get of a folder with nothing in it.

fn folder_on_phone(house: &House, at: &str) -> bool {
    let at = on(&super::holder("HTCphone"), &path(at));
    house.memory().look(&at).unwrap().is_some()
}

#[test]
fn get_of_an_empty_folder_makes_and_follows_it() {
    let mut house = furnished();
    house.memory().make_dir(&master(&path("empty/within"))).unwrap();
    house.hint(&master(&path("empty/within")));
    house.turn();
    let answer = house.phone_asks(Action::Get, "empty");
    let Answer::Done(text) = &answer else { panic!("{answer:?}") };
    assert!(text.contains("no files in it yet") && !text.contains("on its way"), "{text}");
    assert!(folder_on_phone(&house, "empty/within"));
    house.home("empty/later", "l1");
    house.settle();
    assert_eq!(house.phone_files(), ["empty/later=l1"]);
    // An empty one among others comes along, too.
    house.memory().make_dir(&master(&path("a/hollow"))).unwrap();
    house.hint(&master(&path("a/hollow")));
    house.turn();
    assert!(is_done(&house.phone_asks(Action::Get, "a")));
    assert!(folder_on_phone(&house, "a/hollow"));
}

#[test]
fn an_empty_folder_goes_from_the_device_as_it_came() {
    let mut house = furnished();
    house.memory().make_dir(&master(&path("empty"))).unwrap();
    house.hint(&master(&path("empty")));
    house.turn();
    assert!(is_done(&house.phone_asks(Action::Get, "empty")));
    assert!(folder_on_phone(&house, "empty"));
    assert!(is_done(&house.phone_asks(Action::Delete, "empty")));
    assert!(!folder_on_phone(&house, "empty"));
    house.home("empty/later", "l1");
    house.settle();
    assert_eq!(house.phone_files(), [""; 0], "it is not followed any more");
}
