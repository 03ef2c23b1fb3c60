//! Who belongs to the house: let in, turned away and forgotten on the page at home, cut off anywhere.

use super::house::{House, START, device, holder, is_done, path, refusal, settings};
use crate::engine::News;
use crate::fs::FileSystem as _;
use crate::model::{Action, Answer, DeviceName, Origin, Place, Time, Wish};
use crate::plan::Asking;
use crate::status::Condition;

const ID: &str = "P56IOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ2";
const OTHER: &str = "MFZWI3D-BONSGYC-YLTMRWG-C43ENR5-QXGZDMM-FZWI3DP-BONSGYY-LTMRWAD";

fn furnished() -> House {
    let mut house = House::new();
    house.home("a/x", "x1");
    house.settle();
    house
}

impl House {
    fn about(&mut self, action: Action, to: &str, with: &str) -> Wish {
        let mut wish = self.wish(action, "");
        wish.seen = None;
        wish.to = (!to.is_empty()).then(|| holder(to)).into_iter().collect();
        wish.with = (!with.is_empty()).then(|| with.to_owned());
        wish
    }

    fn decides(&mut self, action: Action, to: &str, with: &str) -> Answer {
        let wish = self.about(action, to, with);
        self.press(&Origin::Home, std::slice::from_ref(&wish));
        self.turn();
        self.answer(&Origin::Home, wish.id)
    }

    fn asks_in(&mut self, ids: &[&str]) {
        let ask =
            |id: &&str| Asking { id: (*id).into(), name: "a phone".into(), ..Asking::default() };
        let (asking, now) = (ids.iter().map(ask).collect(), self.now);
        self.engine().hear(News::Asking(asking), now).unwrap();
        self.turn();
    }

    /// As the daemon does with a file that is good.
    fn configures(&mut self) {
        self.configure();
        let now = self.now;
        self.engine().trust_settings(now).unwrap();
        self.turn();
    }

    fn id_of(&mut self, name: &str) -> Option<String> {
        self.engine().config().devices.get(&device(name))?.id.clone()
    }
}

#[test]
fn a_new_device_is_let_in_on_the_page_and_stays() {
    let mut house = furnished();
    house.asks_in(&[ID]);
    assert!(house.told().contains(&format!("asks to be let in: a phone ({ID})")));
    assert_eq!(house.engine().report().condition, Condition::Attention);
    let answer = house.decides(Action::Accept, "tablet", ID);
    assert!(is_done(&answer), "{answer:?}");
    assert!(!house.told().contains("asks"));
    assert_eq!(house.id_of("tablet").as_deref(), Some(ID));
    house.restart();
    assert_eq!(house.id_of("tablet").as_deref(), Some(ID));
    // Everything works for it as for the others.
    let page = Origin::Device(device("tablet"));
    let wish = house.wish(Action::Get, "a/x");
    house.press(&page, std::slice::from_ref(&wish));
    house.turn();
    assert!(is_done(&house.answer(&page, wish.id)));
    assert_eq!(house.at_device("tablet", "a/x").as_deref(), Some("x1"));
    let report = house.engine().report();
    let tablet = report.devices.iter().find(|d| d.name == device("tablet")).unwrap();
    assert!(tablet.let_in);
    let told = crate::status::text::text(&report);
    assert!(told.contains("write [devices.tablet] into larder.toml"), "{told}");
    // Written into the settings, they count.
    let mut written = settings("The tablet", Some(1 << 20));
    written.id = Some(ID.into());
    house.config.devices.insert(device("tablet"), written);
    house.configures();
    let report = house.engine().report();
    let tablet = report.devices.iter().find(|d| d.name == device("tablet")).unwrap();
    assert!(!tablet.let_in && tablet.quota.is_some());
    assert!(refusal(house.decides(Action::Forget, "tablet", "")).contains("larder.toml"));
    assert_eq!(house.id_of("tablet").as_deref(), Some(ID));
}

#[test]
fn a_device_of_the_settings_gets_its_id_on_the_page_and_the_settings_win() {
    let mut house = furnished();
    assert!(is_done(&house.decides(Action::Accept, "HTCphone", ID)));
    assert_eq!(house.id_of("HTCphone").as_deref(), Some(ID));
    // The same again is done; another device under that name, or that one under another, is not.
    assert!(is_done(&house.decides(Action::Accept, "HTCphone", &ID.to_lowercase())));
    assert!(refusal(house.decides(Action::Accept, "HTCphone", OTHER)).contains("another device"));
    assert!(refusal(house.decides(Action::Accept, "LinuxLaptop", ID)).contains("already"));
    for (name, why) in [("htcphone", "case"), ("shared", "folder of Larder"), ("con", "Windows")] {
        assert!(refusal(house.decides(Action::Accept, name, OTHER)).contains(why), "{name}");
    }
    let mistyped = ID.replacen("MZJNU2Y", "MZJNU3Y", 1);
    assert!(refusal(house.decides(Action::Accept, "x", &mistyped)).contains("mistyped"));
    assert!(refusal(house.decides(Action::Refuse, "", "nobody")).contains("no device id"));
    house.config.devices.get_mut(&device("HTCphone")).unwrap().id = Some(OTHER.into());
    house.configures();
    assert_eq!(house.id_of("HTCphone").as_deref(), Some(OTHER));
    house.restart();
    assert_eq!(house.id_of("HTCphone").as_deref(), Some(OTHER));
    // Taken out there, the old word of the page does not count again.
    house.config.devices.get_mut(&device("HTCphone")).unwrap().id = None;
    house.configures();
    assert_eq!(house.id_of("HTCphone"), None);
}

#[test]
fn a_section_that_is_taken_out_takes_its_device_with_it_and_broken_settings_do_not() {
    let mut house = furnished();
    assert!(is_done(&house.decides(Action::Accept, "HTCphone", ID)));
    assert!(is_done(&house.decides(Action::Accept, "tablet", OTHER)));
    // Broken when the power comes back: the defaults, which nobody says are good.
    let good = std::mem::take(&mut house.config);
    house.restart();
    assert_eq!(house.id_of("HTCphone").as_deref(), Some(ID));
    house.config = good;
    house.configures();
    assert_eq!(house.id_of("HTCphone").as_deref(), Some(ID));
    // Taken out while nobody ran.
    house.config.devices.remove(&device("HTCphone"));
    house.restart();
    house.configures();
    assert!(!house.engine().config().devices.contains_key(&device("HTCphone")));
    assert_eq!(house.id_of("tablet").as_deref(), Some(OTHER), "it never had a section");
    house.restart();
    assert!(!house.engine().config().devices.contains_key(&device("HTCphone")));
}

#[test]
fn no_page_of_a_device_decides_who_belongs_to_the_house() {
    let mut house = furnished();
    house.asks_in(&[ID]);
    house.decides(Action::Accept, "tablet", OTHER);
    for (action, to, with) in
        [(Action::Accept, "HTCphone", ID), (Action::Refuse, "", ID), (Action::Forget, "tablet", "")]
    {
        let wish = house.about(action, to, with);
        let why = refusal(house.phone_wishes(wish));
        assert!(why.contains("only the page at home"), "{why}");
    }
    assert_eq!(house.id_of("HTCphone"), None);
    assert_eq!(house.id_of("tablet").as_deref(), Some(OTHER));
    assert!(house.told().contains("asks"));
}

#[test]
fn who_asks_again_and_again_is_no_news() {
    let mut house = furnished();
    house.asks_in(&[ID]);
    let edition =
        |house: &House| house.memory().stat(&House::page(&Origin::Home)).unwrap().unwrap().id.ino;
    house.wait(2);
    let first = edition(&house);
    for n in 1..4 {
        house.now = house.now.plus_secs(60);
        let since = Some(house.now);
        let again = Asking { id: ID.into(), name: "a phone".into(), since, ..Asking::default() };
        let now = house.now;
        house.engine().hear(News::Asking(vec![again]), now).unwrap();
        house.turn();
        assert_eq!(edition(&house), first, "attempt {n}");
    }
}

#[test]
fn who_is_turned_away_may_ask_again_in_the_background() {
    let mut house = furnished();
    house.asks_in(&[ID, OTHER]);
    assert!(is_done(&house.decides(Action::Refuse, "", ID)));
    assert_eq!(house.engine().take_turned_away().into_iter().collect::<Vec<_>>(), [ID]);
    assert_eq!(house.engine().take_turned_away().len(), 0, "told once");
    house.asks_in(&[OTHER]);
    house.asks_in(&[ID, OTHER]);
    assert!(!house.told().contains(ID) && house.told().contains(OTHER));
    let views = house.engine().asking_views();
    assert_eq!(views.iter().map(|a| a.refused).collect::<Vec<_>>(), [false, true]);
    house.asks_in(&[ID]);
    assert!(!house.told().contains("asks"));
    house.restart();
    house.asks_in(&[ID]);
    assert!(!house.told().contains("asks"), "remembered");
    assert!(is_done(&house.decides(Action::Accept, "tablet", ID)));
    assert!(house.engine().world().turned_away.is_empty());
    assert!(refusal(house.decides(Action::Refuse, "", ID)).contains("forget"));
}

fn key_of(house: &mut House, name: &str) -> Option<String> {
    let keys = house.engine().page_keys();
    keys.into_iter().find(|k| k.origin == Origin::Device(device(name))).map(|k| k.key)
}

fn receive(house: &mut House, wish: &Wish) {
    let list = crate::worklist::Worklist { wishes: vec![wish.clone()], ..Default::default() };
    let now = house.now;
    let origin = Origin::Device(device("HTCphone"));
    house.engine().receive_now(&origin, &list, now).unwrap();
}

#[test]
fn a_lost_phone_gets_nothing_more_and_nothing_at_home_is_lost() {
    // Either way: taken out of the settings, or forgotten on the page; and forgotten while its
    // section without an id stays.
    for (in_settings, section_stays) in [(true, false), (false, false), (false, true)] {
        let mut house = furnished();
        if in_settings {
            let phone = house.config.devices.get_mut(&device("HTCphone")).unwrap();
            phone.id = Some(ID.into());
        } else if !section_stays {
            house.config.devices.remove(&device("HTCphone"));
        }
        house.configure();
        if !in_settings {
            assert!(is_done(&house.decides(Action::Accept, "HTCphone", ID)));
        }
        assert!(is_done(&house.phone_asks(Action::Get, "a/x")));
        let key = key_of(&mut house, "HTCphone").unwrap();
        // In the ledger, and not its turn yet.
        let wish = house.wish(Action::Destroy, "a/x");
        receive(&mut house, &wish);
        if in_settings {
            house.config.devices.remove(&device("HTCphone"));
            let (config, now) = (house.config.clone(), house.now);
            house.engine().configure(config, now).unwrap();
            house.engine().trust_settings(now).unwrap();
        } else {
            // As decided before that wish had its turn.
            let fact = crate::plan::Fact::Unpaired(device("HTCphone"));
            let now = house.now;
            house.engine().remember(&fact).unwrap();
            house.engine().follow_decisions(now).unwrap();
        }
        house.settle();
        let why = refusal(house.answer(&Origin::Device(device("HTCphone")), wish.id));
        assert!(why.contains("does not belong to the house any more"), "{why}");
        assert_eq!(house.at_home("a/x").as_deref(), Some("x1"));
        assert_eq!(house.at_phone("a/x").as_deref(), Some("x1"), "files at home are kept");
        assert_eq!(house.id_of("HTCphone"), None);
        assert_ne!(key_of(&mut house, "HTCphone"), Some(key.clone()), "its page's secret is void");
        house.restart();
        assert_eq!(house.id_of("HTCphone"), None);
        assert_eq!(house.at_phone("a/x").as_deref(), Some("x1"));
        // Back again, it has what it had, and a new secret.
        assert!(is_done(&house.decides(Action::Accept, "HTCphone", OTHER)));
        house.settle();
        assert_eq!(house.at_phone("a/x").as_deref(), Some("x1"));
        let new = key_of(&mut house, "HTCphone");
        assert!(new.is_some() && new != Some(key));
    }
}

#[test]
fn nobody_is_forgotten_who_was_never_let_in() {
    let mut house = furnished();
    assert!(refusal(house.decides(Action::Forget, "HTCphone", "")).contains("no device is let in"));
    house.config.devices.get_mut(&device("HTCphone")).unwrap().id = Some(ID.into());
    house.configure();
    assert!(refusal(house.decides(Action::Forget, "HTCphone", "")).contains("larder.toml"));
}

/// Cuts the power at every call of letting in and forgetting: the rerun arrives at the same state.
#[test]
fn decisions_are_whole_wherever_the_power_fails() {
    let decisions = [
        (Action::Accept, "tablet", ID),
        (Action::Refuse, "", OTHER),
        (Action::Forget, "tablet", ""),
    ];
    for last in 0..decisions.len() {
        for cut in 0.. {
            let mut house = furnished();
            for (action, to, with) in &decisions[..last] {
                assert!(is_done(&house.decides(*action, to, with)));
            }
            let (action, to, with) = decisions[last];
            let wish = house.about(action, to, with);
            house.press(&Origin::Home, std::slice::from_ref(&wish));
            house.drive.0.borrow_mut().remember = true;
            house.cut_from(cut);
            let mut failed = false;
            for _ in 0..4 {
                failed |= house.is_cut_off(cut);
            }
            house.memory().fail_from = None;
            house.turn();
            let answer = house.answer(&Origin::Home, wish.id);
            assert!(is_done(&answer), "cut {cut}: {answer:?}");
            let is_in = house.id_of("tablet").is_some();
            assert_eq!(is_in, last < 2, "{action}, cut {cut}");
            let away = house.engine().world().turned_away.len();
            assert_eq!(away, usize::from(last >= 1), "{action}, cut {cut}");
            if is_in {
                let at = Place::Catalogue.at(path("tablet/catalogue.html"));
                assert!(house.memory().stat(&at).unwrap().is_some(), "cut {cut}: it has its page");
            }
            if !failed {
                assert!(cut > 2);
                break;
            }
        }
    }
}

#[test]
fn a_device_that_stays_away_or_takes_nothing_is_spoken_of() {
    let mut house = furnished();
    let phone: DeviceName = device("HTCphone");
    house.engine().carried([phone.clone().into()]);
    let seen = |house: &mut House, up, last: Option<Time>| {
        let (device, now) = (phone.clone(), house.now);
        let news = News::Seen { device, up, last, address: Some("192.168.1.7:22000".into()) };
        house.engine().hear(news, now).unwrap();
        house.turn();
    };
    seen(&mut house, false, Some(START));
    house.wait(30 * 86_400);
    assert_eq!(house.told(), "", "nothing waits for it");
    house.phone_asks(Action::Get, "a/x");
    let told = house.told();
    assert!(told.contains("HTCphone was last here on 2026-11-23; 1 file waits for it"), "{told}");
    let now = house.now;
    seen(&mut house, true, Some(now));
    assert_eq!(house.told(), "");
    house.wait(599);
    assert_eq!(house.told(), "");
    house.wait(2);
    assert!(house.told().contains("HTCphone is here and takes nothing; 1 file waits for it"));
    assert_eq!(house.engine().report().condition, Condition::Ready, "no alarm");
    let now = house.now;
    house.engine().hear(News::Here(phone.into(), vec![path("a/x")]), now).unwrap();
    house.turn();
    assert_eq!(house.told(), "");
}
