//! When the sync engine's marker may be made again: never before everything stands.

use super::house::*;
use crate::engine::News;
use crate::fs::FileSystem as _;
use crate::model::{Action, Place, RelPath, Spot};
use crate::plan::{master, on};
use std::collections::BTreeSet;

fn root() -> Spot {
    on(&holder("HTCphone"), &RelPath::root())
}

fn page_folder() -> Spot {
    Place::Catalogue.at(path("HTCphone"))
}

/// A phone that holds `n` files, and to which somebody carries.
fn carrying(n: usize) -> House {
    let mut house = House::new();
    for i in 0..n {
        house.home(&format!("d/{i:03}"), &format!("content {i}"));
    }
    house.settle();
    if n > 0 {
        house.phone_asks(Action::Get, "d");
    }
    house.settle();
    house.engine().carried([holder("HTCphone")]);
    house.settle();
    house
}

impl House {
    fn unmark(&mut self, at: &[Spot]) {
        let now = self.now;
        let all = at.iter().cloned().collect();
        self.engine().hear(News::Unmarked(all), now).unwrap();
    }

    /// What is asked to be marked within a few minutes.
    fn remade(&mut self) -> BTreeSet<Spot> {
        let mut all = BTreeSet::new();
        for _ in 0..30 {
            self.wait(11);
            all.extend(self.engine().take_remade());
        }
        all
    }
}

#[test]
fn where_every_link_stands_it_is_asked_for_and_told_by_the_devices_name() {
    let mut house = carrying(3);
    house.unmark(&[root()]);
    house.turn();
    assert_eq!(house.engine().take_remade(), [root()].into());
    let told = house.told();
    assert!(told.contains("nothing goes to HTCphone and nothing comes from there"), "{told}");
    assert!(told.contains("Larder puts it back by itself"), "{told}");
    // Not at every turn, and again should it not have helped.
    house.wait(1);
    assert_eq!(house.engine().take_remade(), BTreeSet::new());
    house.wait(60);
    assert_eq!(house.engine().take_remade(), [root()].into());
    house.unmark(&[]);
    house.turn();
    assert!(!house.told().contains("mark"), "{}", house.told());
    assert_eq!(house.remade(), BTreeSet::new());
}

#[test]
fn in_an_emptied_folder_it_is_not_made_before_the_links_are_back() {
    let mut house = carrying(3);
    let at = |n: usize| on(&holder("HTCphone"), &path(&format!("d/{n:03}")));
    let ours: Vec<Spot> = (0..3).map(at).collect();
    for at in &ours {
        house.memory().take(at);
        house.hint(at);
    }
    house.unmark(&[root()]);
    assert_eq!(house.remade(), BTreeSet::new());
    assert!(house.told().contains("put them back there"), "{}", house.told());
    // Two of three are back: a partly empty folder is none either.
    let put_back = |house: &mut House, n: usize| {
        let home = master(&path(&format!("d/{n:03}")));
        let ino = house.memory().files().find(|(at, _)| **at == home).unwrap().1;
        house.memory().link(&home, ino, &at(n)).unwrap();
        house.hint(&at(n));
    };
    put_back(&mut house, 0);
    put_back(&mut house, 2);
    assert_eq!(house.remade(), BTreeSet::new());
    assert!(house.told().contains("such as d/001"), "{}", house.told());
    put_back(&mut house, 1);
    assert_eq!(house.remade(), [root()].into());
}

#[test]
fn a_folder_that_lacks_something_for_long_is_not_read_over_and_over() {
    let mut house = carrying(3);
    let at = |n: usize| on(&holder("HTCphone"), &path(&format!("d/{n:03}")));
    let listed = |house: &House| house.drive.0.borrow().listed;
    // Nobody tells that they are gone.
    house.memory().take(&at(1));
    house.memory().take(&at(2));
    house.unmark(&[root()]);
    house.turn();
    assert!(house.told().contains("such as d/001"), "{}", house.told());
    let before = listed(&house);
    assert_eq!(house.remade(), BTreeSet::new());
    assert_eq!(listed(&house), before);
    // One is back: then another is missing.
    let put_back = |house: &mut House, n: usize| {
        let home = master(&path(&format!("d/{n:03}")));
        let ino = house.memory().files().find(|(at, _)| **at == home).unwrap().1;
        house.memory().link(&home, ino, &at(n)).unwrap();
    };
    put_back(&mut house, 1);
    assert_eq!(house.remade(), BTreeSet::new());
    assert!(house.told().contains("such as d/002"), "{}", house.told());
    put_back(&mut house, 2);
    assert_eq!(house.remade(), [root()].into());
    // Nor is one that is empty, or of which it is known that something is absent.
    house.unmark(&[]);
    house.memory().take(&at(0));
    house.hint(&at(0));
    house.settle();
    house.unmark(&[root()]);
    let before = listed(&house);
    assert_eq!(house.remade(), BTreeSet::new());
    assert_eq!(listed(&house), before);
    let mut empty = carrying(0);
    empty.unmark(&[root()]);
    let before = listed(&empty);
    assert_eq!(empty.remade(), BTreeSet::new());
    assert_eq!(listed(&empty), before);
}

#[test]
fn a_folder_that_keeps_missing_something_else_is_read_more_and_more_seldom() {
    let mut house = carrying(40);
    let at = |n: usize| on(&holder("HTCphone"), &path(&format!("d/{n:03}")));
    let listed = |house: &House| house.drive.0.borrow().listed;
    house.unmark(&[root()]);
    for n in 0..40 {
        house.memory().take(&at(n));
    }
    house.turn();
    let before = listed(&house);
    // One comes back every eleven seconds.
    for n in 0..39 {
        let home = master(&path(&format!("d/{n:03}")));
        let ino = house.memory().files().find(|(at, _)| **at == home).unwrap().1;
        house.memory().link(&home, ino, &at(n)).unwrap();
        house.wait(11);
    }
    // Two folders each time, after 10, 20, 40, 80 and 160 seconds.
    let reads = (listed(&house) - before) / 2;
    assert!((3..=6).contains(&reads), "{reads}");
}

#[test]
fn while_a_mass_change_is_open_it_is_not_made() {
    let mut house = carrying(80);
    for n in 0..60 {
        let at = on(&holder("HTCphone"), &path(&format!("d/{n:03}")));
        house.memory().take(&at);
        house.hint(&at);
    }
    house.turn();
    assert!(house.told().contains("vanished at once"), "{}", house.told());
    house.unmark(&[root()]);
    assert_eq!(house.remade(), BTreeSet::new());
    assert!(house.told().contains("what is to become of what vanished"), "{}", house.told());
}

#[test]
fn in_a_folder_of_nothing_it_is_made_with_the_first_file() {
    let mut house = carrying(0);
    house.unmark(&[root()]);
    assert_eq!(house.remade(), BTreeSet::new());
    assert!(house.told().contains("get something for HTCphone"), "{}", house.told());
    house.home("a", "a");
    house.turn();
    house.phone_asks(Action::Get, "a");
    assert_eq!(house.remade(), [root()].into());
}

#[test]
fn a_page_that_went_with_the_mark_is_written_first() {
    let mut house = carrying(1);
    let page = Place::Catalogue.at(path("HTCphone/catalogue.html"));
    assert!(house.memory().content(&page).is_some());
    house.memory().take(&page);
    house.unmark(&[page_folder()]);
    house.turn();
    assert_eq!(house.remade(), [page_folder()].into());
    assert!(house.memory().content(&page).is_some());
    assert!(house.told().contains("its wishes do not come"), "{}", house.told());
}
