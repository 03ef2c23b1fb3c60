//! What the engine does with each action whatever it means: marks, goes on or stops. The lists stand here once more,
//! written from what must hold after a cut and not from the table.

use super::house::{holder, path};
use super::{furnished, phone_page};
use crate::ledger::Entry;
use crate::model::Action;
use crate::plan::{Op, master, on};

/// Done twice they come to the same.
const REPEATABLE: [&str; 3] = ["get", "open", "mkdir"];
/// What comes first is what the rest relies on.
const IN_ORDER: [&str; 8] =
    ["destroy", "move", "share", "share-folder", "destroy-folder", "undo", "allow", "keep-mine"];
/// What can't be done is left.
const NEVER_WAITS: [&str; 1] = ["revoke-share"];

#[test]
fn what_can_not_be_done_twice_is_marked_first() {
    for action in Action::ALL {
        let mut house = furnished();
        let (now, wish) = (house.now, house.wish(action, "z"));
        let engine = house.engine();
        engine.ledger.receive(&phone_page(), &wish, now).unwrap();
        let open = |engine: &mut crate::engine::Engine| {
            engine.ledger.open_wishes(&phone_page(), 0, 10).unwrap()
        };
        let mut group = open(engine);
        assert_eq!((group.len(), group[0].begun), (1, false));
        engine.begin(&mut group, now).unwrap();
        let marked = open(engine)[0].begun;
        assert_eq!(marked, !REPEATABLE.contains(&action.name()), "{action}");
    }
}

#[test]
fn an_obstacle_stops_what_goes_in_order_and_nothing_else() {
    for action in Action::ALL {
        let mut house = furnished();
        let (now, name) = (house.now, action.name());
        let entry =
            Entry { seq: 1, origin: phone_page(), wish: house.wish(action, "z"), begun: true };
        let ino = house.engine().world.files.get(&path("a/x")).unwrap().id.ino;
        let second = on(&holder("HTCphone"), &path("second"));
        // Another file is there than the one that is meant; the second has nothing in its way.
        let ops = [
            Op::Unlink { at: master(&path("z")), ino: 987_654 },
            Op::Link { from: master(&path("a/x")), ino, to: second },
        ];
        let went = house.engine().carry_out(&entry, &ops, now).unwrap();
        let second = house.at_phone("second").is_some();
        assert_eq!(second, !IN_ORDER.contains(&name), "{name}");
        assert_eq!(went.again.is_none(), NEVER_WAITS.contains(&name), "{name}");
        assert_eq!(went.got_on, second, "{name}");
    }
}
