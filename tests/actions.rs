//! The table of actions, and whether the parser, the settings, the planner and the pages do as it says. What is
//! expected stands here once more, written from the design and not from the table.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use larder::config::{self, Config};
use larder::model::{
    About, Action, Answer, DeviceName, Devices, Holder, Origin, RelPath, Time, Trait, Wish, WishId,
    With,
};
use larder::plan::{self, Attempt, Fact, MassChange, Planned, World};
use larder::worklist;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What an action is to be like. Of `yes`, each letter is a property:
/// `o` offered by pages, `h` of the common page only, `w` takes everything at once, `d` needs a device,
/// `f` needs a direction, `1` needs exactly one name, `t` needs a text, `v` takes the number of a version,
/// `s` needs what was seen, `x` refused while the mass change of its device is unanswered, `r` can be begun twice.
struct Expected {
    name: &'static str,
    yes: &'static str,
}

const EXPECTED: [Expected; 21] = [
    Expected { name: "get", yes: "owdr" },
    Expected { name: "open", yes: "odr" },
    Expected { name: "delete", yes: "owdx" },
    Expected { name: "destroy", yes: "osx" },
    Expected { name: "move", yes: "owdfx" },
    Expected { name: "share", yes: "o" },
    Expected { name: "revoke", yes: "o" },
    Expected { name: "torrent", yes: "" },
    Expected { name: "torrent-once", yes: "" },
    Expected { name: "mkdir", yes: "or" },
    Expected { name: "share-folder", yes: "o" },
    Expected { name: "revoke-share", yes: "ox" },
    Expected { name: "destroy-folder", yes: "ox" },
    Expected { name: "pin", yes: "owd" },
    Expected { name: "unpin", yes: "owd" },
    Expected { name: "undo", yes: "ovx" },
    Expected { name: "accept", yes: "ohw1t" },
    Expected { name: "refuse", yes: "ohwt" },
    Expected { name: "forget", yes: "ohw1" },
    Expected { name: "allow", yes: "owd" },
    Expected { name: "keep-mine", yes: "owd" },
];

impl Expected {
    fn is(&self, property: char) -> bool {
        self.yes.contains(property)
    }

    fn action(&self) -> Action {
        Action::parse(self.name).unwrap()
    }
}

fn phone() -> DeviceName {
    DeviceName::new("phone").unwrap()
}

/// A wish that is whole whatever its action.
fn whole(name: &str) -> Value {
    json!({"id": "00112233445566778899", "op": name, "path": "a", "to": ["phone"], "from": "phone",
        "with": "7", "limit_mb": 10, "seen": {"size": 1, "mtime": 2}, "at": "2026-12-01T09:00:00Z"})
}

fn without(mut item: Value, fields: &[&str]) -> Value {
    for field in fields {
        item.as_object_mut().unwrap().remove(*field).unwrap();
    }
    item
}

fn with(mut item: Value, field: &str, value: Value) -> Value {
    item[field] = value;
    item
}

/// The wish, or `None` when the parser refuses it.
fn parsed(item: &Value) -> Option<Wish> {
    let list = json!({"v": 2, "page": "p", "device": null, "gen": 1, "items": [item]}).to_string();
    let list = worklist::parse(list.as_bytes());
    assert_eq!(list.wishes.len() + list.diagnostics.len(), 1, "{list:?}");
    list.wishes.into_iter().next()
}

fn settings(may: Option<&[&str]>) -> Result<Config, ()> {
    let may = may.map_or_else(String::new, |may| format!("may = {}", json!(may)));
    config::parse(&format!("[devices.phone]\n{may}\n[devices.laptop]\n")).map_err(|_| ())
}

fn wish(action: Action, to: Vec<Holder>) -> Wish {
    Wish {
        id: WishId::parse("00112233445566778899").unwrap(),
        action,
        path: RelPath::new(b"a").unwrap(),
        to,
        from: None,
        with: None,
        limit_mb: None,
        seen: None,
        at: Time::from_secs(0),
    }
}

fn planned(world: &World, config: &Config, origin: &Origin, wished: &Wish) -> Planned {
    plan::wish(world, config, origin, wished, Attempt::First, Time::from_secs(100))
}

/// Whether a wish is refused with these words.
fn refused(planned: &Planned, words: &str) -> bool {
    matches!(&planned.answer, Answer::Refused(why) if why.contains(words))
}

#[test]
fn every_action_has_its_row_its_name_and_its_place() {
    let names: Vec<&str> = EXPECTED.iter().map(|row| row.name).collect();
    assert_eq!(Action::ALL.map(Action::name).to_vec(), names);
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    for (place, (action, row)) in Action::ALL.into_iter().zip(&EXPECTED).enumerate() {
        assert_eq!(action as usize, place, "{action}");
        assert_eq!(action.traits().action, action);
        assert_eq!(Action::parse(row.name), Some(action));
        // Ledger and pages write it by serde.
        assert_eq!(json!(action), json!(row.name));
        assert_eq!(serde_json::from_value::<Action>(json!(row.name)).unwrap(), action);
    }
    assert_eq!(Action::parse("Get"), None);
}

#[test]
fn the_table_is_as_the_design_says() {
    for row in &EXPECTED {
        let (action, name) = (row.action(), row.name);
        let devices = match (row.is('f'), row.is('d'), row.is('1')) {
            (true, true, false) => Devices::FromTo,
            (false, true, false) => Devices::Own,
            (false, false, true) => Devices::One,
            _ => Devices::Nobody,
        };
        assert_eq!(action.traits().devices, devices, "{name}");
        let with = match (row.is('t'), row.is('v')) {
            (true, _) => With::Needed,
            (_, true) => With::Version,
            _ => With::Free,
        };
        assert_eq!(action.traits().with, with, "{name}");
        let about = match name {
            "accept" | "refuse" | "forget" => About::Member,
            "allow" | "keep-mine" => About::MassChange,
            _ => About::Path,
        };
        assert_eq!(action.traits().about, about, "{name}");
        let letters = [
            (Trait::Offered, 'o'),
            (Trait::AtHome, 'h'),
            (Trait::Whole, 'w'),
            (Trait::NeedsSeen, 's'),
            (Trait::TakesAway, 'x'),
            (Trait::Repeatable, 'r'),
        ];
        for (what, letter) in letters {
            assert_eq!(action.is(what), row.is(letter), "{name} {what:?}");
        }
        assert_eq!(action.is(Trait::Publishes), name == "share" || name == "share-folder");
    }
}

#[test]
fn the_parser_asks_of_each_what_it_needs() {
    for row in &EXPECTED {
        let name = row.name;
        let item = whole(name);
        assert_eq!(parsed(&item).unwrap().action.name(), name);
        let takes = |item: Value| parsed(&item).is_some();
        assert_eq!(takes(with(item.clone(), "path", json!(""))), row.is('w'), "{name}: everything");
        let nobody = without(item.clone(), &["to"]);
        assert_eq!(takes(nobody.clone()), !row.is('1'), "{name}: nobody");
        assert_eq!(takes(without(nobody, &["from"])), !row.is('1') && !row.is('f'), "{name}: way");
        let two = with(item.clone(), "to", json!(["phone", "laptop"]));
        assert_eq!(takes(two), !row.is('1'), "{name}: two devices");
        assert_eq!(takes(without(item.clone(), &["with"])), !row.is('t'), "{name}: no text");
        let words = with(item.clone(), "with", json!("words"));
        assert_eq!(takes(words), !row.is('v'), "{name}: words for a number");
        assert_eq!(takes(without(item, &["seen"])), !row.is('s'), "{name}: nothing seen");
    }
}

#[test]
fn the_settings_allow_a_device_what_is_not_for_the_common_page_alone() {
    let all: Vec<&str> = EXPECTED.iter().filter(|row| !row.is('h')).map(|row| row.name).collect();
    let usual = settings(None).unwrap();
    let names = |actions: &[Action]| actions.iter().map(|a| a.name()).collect::<Vec<_>>();
    assert_eq!(names(&usual.devices[&phone()].may), all);
    for row in &EXPECTED {
        match settings(Some(&[row.name])) {
            Ok(config) => assert_eq!(names(&config.devices[&phone()].may), [row.name]),
            Err(()) => assert!(row.is('h'), "{}", row.name),
        }
    }
}

#[test]
fn the_planner_lets_each_page_ask_what_it_may() {
    let world = World::default();
    let usual = settings(None).unwrap();
    let nothing = settings(Some(&[])).unwrap();
    let own = Origin::Device(phone());
    for row in &EXPECTED {
        let (name, wished) = (row.name, wish(row.action(), vec![phone().into()]));
        let asks = |config: &Config, origin: &Origin| planned(&world, config, origin, &wished);
        let here = asks(&usual, &own);
        assert_eq!(refused(&here, "only the page at home"), row.is('h'), "{name}: {here:?}");
        assert!(!refused(&here, "may not"), "{name}: {here:?}");
        let forbidden = asks(&nothing, &own);
        assert_eq!(refused(&forbidden, "phone may not"), !row.is('h'), "{name}: {forbidden:?}");
        let home = asks(&usual, &Origin::Home);
        assert!(!refused(&home, "may not") && !refused(&home, "only the page at home"), "{name}");
        assert_eq!(refused(&home, "does not"), !row.is('o'), "{name}: {home:?}");
        // On the common page nobody is meant who is not named.
        let nobody = planned(&world, &usual, &Origin::Home, &wish(row.action(), Vec::new()));
        assert_eq!(refused(&nobody, "say for which device"), row.is('d'), "{name}: {nobody:?}");
        let own_page = planned(&world, &usual, &own, &wish(row.action(), Vec::new()));
        assert!(!refused(&own_page, "say for which device"), "{name}: {own_page:?}");
    }
}

#[test]
fn the_planner_takes_nothing_away_for_a_device_whose_mass_change_is_unanswered() {
    let mut world = World::default();
    let (since, at) = (Time::from_secs(1), Time::from_secs(2));
    world.note(&Fact::MassChange(
        phone().into(),
        MassChange { first: 1, since, at, rewritten: 99, deleted: 0 },
    ));
    let config = settings(None).unwrap();
    let laptop = DeviceName::new("laptop").unwrap();
    for row in &EXPECTED {
        // For the other device, and moved there: what counts is whose page it is.
        let wished =
            Wish { from: Some(phone()), ..wish(row.action(), vec![laptop.clone().into()]) };
        let its_own = planned(&world, &config, &Origin::Device(phone()), &wished);
        let held = refused(&its_own, "not while nobody has said");
        assert_eq!(held, row.is('x'), "{}: {its_own:?}", row.name);
        let other = Wish { from: Some(laptop.clone()), ..wished };
        let of_another = planned(&world, &config, &Origin::Device(laptop.clone()), &other);
        assert!(!refused(&of_another, "not while nobody has said"), "{}", row.name);
    }
}

#[test]
fn pages_offer_what_is_fulfilled_and_may_be_asked() {
    let names = |actions: Vec<Action>| actions.into_iter().map(Action::name).collect::<Vec<_>>();
    let expected = |is: &dyn Fn(&Expected) -> bool| {
        EXPECTED.iter().filter(|row| is(row)).map(|row| row.name).collect::<Vec<_>>()
    };
    let usual = settings(None).unwrap();
    assert_eq!(names(plan::offered_on(&usual, None)), expected(&|row| row.is('o')));
    assert_eq!(
        names(plan::offered_on(&usual, Some(&phone()))),
        expected(&|row| row.is('o') && !row.is('h'))
    );
    let few = settings(Some(&["torrent", "open", "get"])).unwrap();
    assert_eq!(names(plan::offered_on(&few, Some(&phone()))), ["get", "open"]);
}
