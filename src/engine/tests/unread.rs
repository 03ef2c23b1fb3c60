//! Unread does not mean gone: what may not be read, or is hidden by another file system, is as it was. For a master's
//! folder, a device's, and shares.

use super::house::{House, holder, is_done, path, refusal};
use super::{Sorted as _, furnished};
use crate::fs::FileSystem as _;
use crate::model::{Action, Answer, Holder, Origin, Place, Spot};
use crate::plan::{Share, master, on};

const FRIEND: &str = "MFZWI3D-BONSGYC-YLTMRWG-C43ENR5-QXGZDMM-FZWI3DP-BONSGYY-LTMRWAD";

impl House {
    fn forbid(&mut self, at: &Spot) {
        self.memory().denied.insert(at.clone());
    }

    fn allow(&mut self, at: &Spot) {
        self.memory().denied.remove(at);
    }

    fn scan(&mut self) {
        self.pending.lost = true;
        self.turn();
    }

    fn knows(&mut self, at: &str) -> bool {
        self.engine().world().files.get(&path(at)).is_some()
    }

    fn has(&mut self, holder: &Holder, at: &str) -> bool {
        let replica = &self.engine().world().replicas[holder];
        assert!(replica.absent.is_empty(), "{:?}", replica.absent);
        replica.links.get(&path(at)).is_some()
    }

    fn asks_at_home(&mut self, action: Action, at: &str, with: Option<&str>) -> Answer {
        let mut wish = self.wish(action, at);
        wish.with = with.map(str::to_owned);
        self.press(&Origin::Home, std::slice::from_ref(&wish));
        self.turn();
        self.turn();
        self.answer(&Origin::Home, wish.id)
    }

    fn all_shares_carried(&mut self) {
        let has = self.engine().shares_to_carry().unwrap();
        self.engine().shares_carried(has.iter().map(|share| share.name.as_str()));
        self.turn();
        self.turn();
    }
}

#[test]
fn a_masters_folder_that_cant_be_read_loses_nothing() {
    let mut house = furnished();
    assert!(is_done(&house.phone_asks(Action::Get, "a")));
    house.settle();
    let folder = master(&path("a/b"));
    house.forbid(&folder);
    for _ in 0..3 {
        house.scan();
        house.settle();
        assert!(house.knows("a/b/y") && house.knows("a/x"));
        assert_eq!(house.phone_files(), ["a/b/y=y1", "a/x=x1"]);
    }
    assert!(house.told().contains("1 folders in BTsync/files can't be read"), "{}", house.told());
    house.allow(&folder);
    house.scan();
    house.settle();
    assert!(!house.told().contains("can't be read"), "{}", house.told());
    assert_eq!(house.masters(), ["z=z1", "a/x=x1", "a/b/y=y1"].sorted());
}

#[test]
fn a_devices_folder_that_cant_be_read_deleted_nothing() {
    let mut house = furnished();
    assert!(is_done(&house.phone_asks(Action::Get, "a")));
    house.settle();
    let (phone, folder) = (holder("HTCphone"), on(&holder("HTCphone"), &path("a/b")));
    house.forbid(&folder);
    for _ in 0..3 {
        house.scan();
        house.settle();
        assert!(house.has(&phone, "a/b/y") && house.has(&phone, "a/x"));
    }
    let told = house.told();
    assert!(told.contains("1 folders in devices/HTCphone can't be read"), "{told}");
    assert!(!told.contains("taken in"), "nothing follows from it: {told}");
    house.allow(&folder);
    house.scan();
    house.settle();
    assert_eq!(house.phone_files(), ["a/b/y=y1", "a/x=x1"]);
    assert!(house.engine().world().replicas[&phone].exceptions.is_empty());
}

#[test]
fn a_folder_of_people_that_cant_be_read_deleted_nothing() {
    let mut house = furnished();
    assert!(is_done(&house.asks_at_home(Action::ShareFolder, "a", Some(FRIEND))));
    house.carry();
    house.settle();
    let (people, folder) = (Holder::shared("a"), Place::Shared.at(path("a/b")));
    assert!(house.has(&people, "b/y"));
    house.forbid(&folder);
    for _ in 0..3 {
        house.scan();
        house.settle();
        assert!(house.has(&people, "b/y") && house.has(&people, "x"));
    }
    assert!(!house.told().contains("taken in"), "{}", house.told());
    assert!(house.knows("a/b/y"));
    // Nor is it over before what is in it could be taken away.
    let why = refusal(house.asks_at_home(Action::DestroyFolder, "a", None));
    assert!(why.contains("another user"), "{why}");
    house.all_shares_carried();
    house.settle();
    assert!(house.has(&people, "b/y"), "unread, so it may be there");
    house.allow(&folder);
    house.scan();
    // It was decided on: it goes on by itself.
    house.wait(61);
    house.all_shares_carried();
    house.settle();
    assert!(!house.all(&Place::Shared).iter().any(|at| at.contains("y1")));
}

#[test]
fn a_share_that_cant_be_read_is_not_over() {
    let mut house = furnished();
    assert!(is_done(&house.asks_at_home(Action::Share, "a", Some("Friend"))));
    house.carry();
    let name = house.engine().world().shares.keys().next().unwrap().clone();
    let folder = Place::Shared.at(path(&format!("{name}/a/b")));
    assert!(house.memory().look(&folder).unwrap().is_some(), "{:?}", house.all(&Place::Shared));
    house.forbid(&folder);
    let mut wish = house.wish(Action::Revoke, "a");
    wish.with = Some(name.clone());
    house.press(&Origin::Home, &[wish]);
    house.turn();
    house.all_shares_carried();
    house.settle();
    let there = path(&format!("{name}/a/b/y"));
    let world = house.engine().world();
    assert!(world.shared.get(&there).is_some(), "unread, so it may be there");
    assert!(world.shares.get(&name).is_some_and(|share: &Share| !share.is_live()));
    let told = house.told();
    assert!(told.contains("another user"), "the cause is told: {told}");
    house.allow(&folder);
    for _ in 0..3 {
        house.wait(61);
    }
    house.settle();
    assert_eq!(house.all(&Place::Shared), [""; 0]);
    assert!(house.engine().world().shares.is_empty());
}

// Hidden by another file system.

#[test]
fn a_mount_over_masters_takes_nothing_from_anybody() {
    let mut house = furnished();
    assert!(is_done(&house.phone_asks(Action::Get, "a")));
    house.settle();
    let hidden = house.memory().clone();
    for at in ["a/x", "a/b/y"] {
        let spot = master(&path(at));
        // It still has its name below the mount.
        house.memory().shift(&spot, &Place::Catalogue.at(path(&format!("below/{at}"))));
    }
    house.memory().put_elsewhere(&master(&path("a")));
    for _ in 0..3 {
        house.scan();
        house.settle();
        assert_eq!(house.phone_files(), ["a/b/y=y1", "a/x=x1"]);
    }
    let told = house.told();
    assert!(told.contains("BTsync/files/a lies on another file system"), "{told}");
    assert!(!told.contains("remove"), "{told}");
    let why = refusal(house.phone_asks(Action::Get, "a/x"));
    assert!(why.contains("another file system"), "{why}");
    // Unmounted, without an event: it is found by itself.
    *house.memory() = hidden;
    house.wait(61);
    house.settle();
    assert!(!house.told().contains("another file system"), "{}", house.told());
    assert!(house.knows("a/x") && house.knows("a/b/y"));
    assert_eq!(house.phone_files(), ["a/b/y=y1", "a/x=x1"]);
}

#[test]
fn what_was_unmounted_is_found_while_a_device_keeps_the_house_busy() {
    let mut house = furnished();
    assert!(is_done(&house.phone_asks(Action::Get, "a/x")));
    house.settle();
    house.memory().put_elsewhere(&master(&path("stick")));
    house.hint(&master(&path("stick")));
    house.settle();
    assert!(house.told().contains("stick lies on another file system"), "{}", house.told());
    house.memory().take(&master(&path("stick")));
    for _ in 0..4 {
        house.hint(&on(&holder("HTCphone"), &path("a")));
        house.wait(20);
    }
    assert!(!house.told().contains("another file system"), "{}", house.told());
}

#[test]
fn the_last_name_of_a_content_whose_home_is_hidden_is_saved_beside_it() {
    let mut house = furnished();
    assert!(is_done(&house.phone_asks(Action::Get, "a/x")));
    house.settle();
    house.take(master(&path("a/x")));
    house.take(master(&path("a/b/y")));
    house.memory().put_elsewhere(&master(&path("a")));
    house.hint(&master(&path("a")));
    house.phone("a/new", "n1");
    house.settle();
    let masters = house.masters();
    for content in ["x1", "n1"] {
        let saved = |at: &&String| at.starts_with("a (HTCphone)/") && at.ends_with(content);
        assert!(masters.iter().any(|at| saved(&at)), "{content}: {masters:?}");
    }
    house.restart();
    assert_eq!(house.masters(), masters);
}

#[test]
fn what_lies_elsewhere_on_a_device_is_neither_taken_in_nor_believed_gone() {
    let mut house = furnished();
    assert!(is_done(&house.phone_asks(Action::Get, "a")));
    house.settle();
    let phone = holder("HTCphone");
    let below: Vec<Spot> = ["a/x", "a/b/y"].map(|at| on(&phone, &path(at))).to_vec();
    for at in &below {
        house.memory().take(at);
    }
    house.memory().put_elsewhere(&on(&phone, &path("a")));
    house.hint(&on(&phone, &path("a")));
    for _ in 0..3 {
        house.scan();
        house.settle();
        assert!(house.has(&phone, "a/x") && house.has(&phone, "a/b/y"));
    }
    assert!(house.told().contains("devices/HTCphone/a lies on another"), "{}", house.told());
    assert!(house.knows("a/x"));
}
