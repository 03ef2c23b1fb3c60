//! What a carrier tells the engine, and what it is told.

use super::house::{House, device, holder, path};
use super::{furnished, phone_page};
use crate::engine::{News, SETTLE};
use crate::fs::FileSystem as _;
use crate::model::{Action, Time};
use crate::plan::{master, on};
use crate::status::machine::{Load, Machine};

/// The house, somebody who carries to the phone, and two files on their way to it.
fn carried() -> House {
    let mut house = furnished();
    house.engine().carried([holder("HTCphone")]);
    house.phone_asks(Action::Get, "a/x");
    house.phone_asks(Action::Get, "z");
    house
}

fn hear(house: &mut House, news: News) {
    let now = house.now;
    house.engine().hear(news, now).unwrap();
}

fn edition(house: &House) -> u64 {
    house.memory().stat(&House::page(&phone_page())).unwrap().unwrap().id.ino
}

#[test]
fn progress_alone_rewrites_pages_once_a_second() {
    let mut house = carried();
    assert_eq!(house.engine().on_the_way(&device("HTCphone")), 2);
    house.turn();
    let first = edition(&house);
    for percent in 1..50 {
        hear(&mut house, News::Progress(holder("HTCphone"), vec![(path("z"), percent)]));
        house.turn();
    }
    assert_eq!(edition(&house), first, "not within the same second");
    house.wait(1);
    let second = edition(&house);
    assert_ne!(second, first);
    // What is new besides is not kept waiting.
    hear(&mut house, News::Here(holder("HTCphone"), vec![path("z")]));
    house.phone_asks(Action::Pin, "a/x");
    assert_ne!(edition(&house), second);
    assert_eq!(house.engine().on_the_way(&device("HTCphone")), 1);
    // The clock is set back by an hour: they are not kept for that long.
    let third = edition(&house);
    house.now = Time(house.now.0 - 3_600 * Time::SECOND);
    hear(&mut house, News::Here(holder("HTCphone"), vec![path("a/x")]));
    house.turn();
    assert_ne!(edition(&house), third);
}

#[test]
fn a_changed_load_alone_writes_no_page() {
    let mut house = carried();
    house.wait(10);
    let runs_on = |house: &mut House, load| {
        house.engine().runs_on(Machine { load: Some(Load(load)), ..Machine::default() });
    };
    let first = edition(&house);
    for load in 0..20 {
        runs_on(&mut house, load * 50);
        // Even when pages are looked at again for something that changes nothing.
        house.engine().served_at(load.is_multiple_of(2).then(|| "here".to_owned()));
        house.wait(60);
    }
    assert_eq!(edition(&house), first);
    assert_eq!(house.engine().report().machine.load, Some(Load(950)));
    house.phone_asks(Action::Pin, "a/x");
    assert_ne!(edition(&house), first);
}

#[test]
fn what_is_lacking_is_on_its_way_and_what_is_gone_is_not() {
    let mut house = carried();
    house.restart();
    let phone = holder("HTCphone");
    house.engine().carried([phone.clone()]);
    assert_eq!(house.engine().on_the_way(&device("HTCphone")), 0);
    house.engine().take_changed();
    let lacking = vec![path("z"), path("nothing"), path("a")];
    hear(&mut house, News::Lacking(phone.clone(), lacking.clone()));
    hear(&mut house, News::Lacking(phone.clone(), lacking));
    assert_eq!(house.engine().on_the_way(&device("HTCphone")), 1);
    let told = house.engine().take_changed();
    assert_eq!(Vec::from_iter(told), [on(&phone, &path("z"))], "it is to be proved");
    // A reset: whoever follows may have lost count.
    hear(&mut house, News::Lost);
    assert_eq!(house.engine().take_changed().len(), 1);
    house.phone_asks(Action::Delete, "z");
    hear(&mut house, News::Progress(phone, vec![(path("z"), 10)]));
    assert_eq!(house.engine().on_the_way(&device("HTCphone")), 0);
}

#[test]
fn an_absence_is_believed_at_once_by_the_devices_word_and_never_without() {
    let mut house = carried();
    let phone = holder("HTCphone");
    house.phone_deletes("z");
    house.turn();
    house.wait(10 * SETTLE);
    assert!(house.engine().is_absent(&phone, &path("z")));
    let asked: Vec<_> = house.engine().absences().map(|(d, p)| on(d, p)).collect();
    assert_eq!(asked, [on(&phone, &path("z"))]);
    hear(&mut house, News::Deleted(phone.clone(), path("z")));
    house.turn();
    assert!(!house.engine().is_absent(&phone, &path("z")));
    assert_eq!(house.at_home("z").as_deref(), Some("z1"));
    // Said too early, of something that is there: it means nothing for what comes later.
    hear(&mut house, News::Deleted(phone.clone(), path("a/x")));
    house.turn();
    house.phone_deletes("a/x");
    house.turn();
    assert!(house.engine().is_absent(&phone, &path("a/x")));
    // Nobody carries any more: then it settles by itself.
    house.engine().carried([]);
    house.wait(SETTLE + 1);
    assert!(!house.engine().is_absent(&phone, &path("a/x")));
    assert!(house.memory().stat(&master(&path("a/x"))).unwrap().is_some());
}
