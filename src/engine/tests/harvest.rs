//! What lies in a page's folder, and whose wishes it carries: own pages, saved under any name, and what is of others.

use super::house::{House, device, path, refusal, settings};
use super::{furnished, phone_page};
use crate::model::{Action, Origin, Place, Spot, Wish};
use crate::worklist::{self, Worklist};

fn beside(name: &str) -> Spot {
    Place::Catalogue.at(path(&format!("HTCphone/{name}")))
}

fn arrives(house: &mut House, at: &Spot, content: &[u8]) {
    house.memory().put(at, content, super::house::START);
    house.hint(at);
    house.turn();
}

fn is_there(house: &House, at: &Spot) -> bool {
    house.memory().content(at).is_some()
}

/// A page as another device's browser saved it.
fn laptop_page(house: &House, wishes: &[Wish]) -> Vec<u8> {
    house.page_with(&Origin::Device(device("LinuxLaptop")), wishes)
}

#[test]
fn every_page_has_an_identity_of_its_own_and_only_devices_have_keys() {
    let mut house = furnished();
    let epoch = house.engine().page_id(&Origin::Home);
    assert_eq!(house.engine().page_id(&phone_page()), format!("{epoch}-HTCphone"));
    let keys = house.engine().page_keys();
    let pages: Vec<_> = keys.iter().map(|key| key.page.clone()).collect();
    assert_eq!(pages, [format!("{epoch}-HTCphone"), format!("{epoch}-LinuxLaptop")]);
    assert!(keys.iter().all(|key| key.key.len() == 32) && keys[0].key != keys[1].key);
    for (origin, cfg_key) in [
        (Origin::Home, "\"key\":null".to_owned()),
        (phone_page(), format!("\"key\":\"{}\"", keys[0].key)),
    ] {
        let page = house.memory().content(&House::page(&origin)).unwrap().to_vec();
        let page = String::from_utf8_lossy(&page).into_owned();
        assert!(page.contains(&cfg_key), "{origin}");
        let list = worklist::find(page.as_bytes()).unwrap();
        assert!(!String::from_utf8_lossy(list).contains("key"), "{origin}");
        let shown = keys.iter().filter(|key| page.contains(&key.key)).count();
        assert_eq!(shown, usize::from(origin != Origin::Home), "{origin}: no key of another page");
    }
}

/// A device may have its page already when the power goes.
#[test]
fn the_key_of_a_page_is_on_the_disk_before_the_page_is() {
    let tablet = Origin::Device(device("tablet"));
    let shown = |house: &House| -> Option<String> {
        let page = house.memory().content(&House::page(&tablet))?.to_vec();
        let page = String::from_utf8(page).unwrap();
        let key = page.split("\"key\":\"").nth(1)?;
        Some(key[..32].to_owned())
    };
    for cut in 0.. {
        let mut house = House::new();
        house.config.devices.insert(device("tablet"), settings("tablet", None));
        let (config, now) = (house.config.clone(), house.now);
        house.engine().configure(config, now).unwrap();
        house.cut_from(cut);
        let whole = house.try_turn().is_ok();
        house.memory().fail_from = None;
        let before = shown(&house);
        house.open().unwrap();
        house.turn();
        if before.is_some() {
            let keys = house.engine().page_keys();
            let own = keys.into_iter().find(|key| key.origin == tablet);
            assert_eq!(own.map(|key| key.key), before, "cut at {cut}");
        }
        if whole {
            assert!(before.is_some());
            break;
        }
    }
}

#[test]
fn a_page_or_worklist_saved_under_another_name_counts_and_goes() {
    for name in [
        "catalogue (1).html",
        "catalogue-1.html",
        "catalogue(1).html",
        "catalogue - Copy.html",
        "catalogue - Kopie.html",
        "catalogue.htm",
        "catalogue.html.html",
        "catalogue.html.txt",
        "Catalogue.html",
    ] {
        let mut house = furnished();
        let wish = house.wish(Action::Get, "z");
        let page = house.page_with(&phone_page(), &[wish]);
        arrives(&mut house, &beside(name), &page);
        assert_eq!(house.phone_files(), ["z=z1"], "{name}");
        assert!(!is_there(&house, &beside(name)), "{name}");
        assert_eq!(house.told(), "", "{name}");
    }
    for name in [
        "catalogue-worklist-HTCphone-2026-11-23-100000.json",
        "catalogue-worklist-HTCphone-2026-11-23-100000 (1).json",
        "catalogue-worklist-HTCphone-2026-11-23-100000(1).json",
        "catalogue-worklist-HTCphone-2026-11-23-100000.json.txt",
        "catalogue-worklist-HTCphone-2026-11-23-100000 - Copy.json",
    ] {
        let mut house = furnished();
        let wish = house.wish(Action::Get, "z");
        let list = house.worklist(&[wish]);
        arrives(&mut house, &beside(name), &list);
        assert_eq!(house.phone_files(), ["z=z1"], "{name}");
        assert!(!is_there(&house, &beside(name)), "{name}");
        assert_eq!(house.told(), "", "{name}");
    }
}

#[test]
fn what_is_of_another_page_is_told_and_left_alone() {
    let mut house = furnished();
    let wish = house.wish(Action::Destroy, "z");
    let wrong = String::from_utf8(house.worklist(std::slice::from_ref(&wish))).unwrap();
    let wrong = wrong.replace("\"gen\":0", "\"gen\":1");
    let unsealed = Worklist {
        version: 2,
        page: house.engine().page_id(&phone_page()),
        wishes: vec![wish.clone()],
        ..Worklist::default()
    };
    let of_before = Worklist {
        version: 1,
        page: house.engine().page_id(&Origin::Home),
        key: "0123456789abcdef0123456789abcdef".into(),
        ..unsealed.clone()
    };
    let laptop = laptop_page(&house, std::slice::from_ref(&wish));
    let home = house.page_with(&Origin::Home, std::slice::from_ref(&wish));
    for (name, content, why) in [
        ("catalogue (1).html", laptop, "it is of the page of LinuxLaptop"),
        ("catalogue - Copy.html", home, "it is of the page of the NAS itself"),
        ("catalogue-worklist-x.json", wrong.into_bytes(), "nothing proves"),
        ("catalogue-worklist-y.json", worklist::to_json(&unsealed).into_bytes(), "nothing proves"),
        ("catalogue-worklist-z.json", worklist::to_json(&of_before).into_bytes(), "nothing proves"),
        (
            "catalogue.html.part.txt",
            b"<!--WORKLIST-BEGIN--><script type=\"application/json\" id=\"work\">{".to_vec(),
            "cut off",
        ),
    ] {
        arrives(&mut house, &beside(name), &content);
        let told = house.told();
        assert!(told.contains(name) && told.contains(why), "{name}: {told}");
        assert!(told.contains("then remove that file"), "{told}");
        // Not at every look again.
        house.hint(&beside("catalogue.html"));
        house.turn();
        assert_eq!(house.told(), told);
        assert_eq!(house.memory().content(&beside(name)), Some(&content[..]), "{name}");
        // It is told as long as it is there.
        house.take(beside(name));
        house.turn();
        assert_eq!(house.told(), "", "{name}");
    }
    assert_eq!(house.at_home("z").as_deref(), Some("z1"));
    assert!(house.engine().ledger.answers(&phone_page(), 9).unwrap().is_empty());
}

#[test]
fn what_only_begins_like_ours_is_somebodys_own() {
    let mut house = furnished();
    let copy = house.memory().content(&House::page(&phone_page())).unwrap().to_vec();
    for (name, content) in [
        ("catalogue of plants.txt", &b"roses"[..]),
        ("Catalogue.pdf", b"%PDF-1.7 {\"v\":1}"),
        ("catalogue-worklist-HTCphone-1.json", b""),
        // A copy that somebody keeps: nothing is in it.
        ("catalogue (old).html", &copy),
    ] {
        arrives(&mut house, &beside(name), content);
        assert!(is_there(&house, &beside(name)), "{name}");
        assert_eq!(house.told(), "", "{name}");
    }
}

#[test]
fn a_file_that_was_still_arriving_counts_when_it_is_whole() {
    let mut house = furnished();
    let wish = house.wish(Action::Get, "z");
    let list = house.worklist(&[wish]);
    let at = beside("catalogue-worklist-HTCphone-1.json");
    arrives(&mut house, &at, &list[..list.len() - 20]);
    assert!(house.told().contains("don't count"), "{}", house.told());
    assert_eq!(house.phone_files(), [""; 0]);
    arrives(&mut house, &at, &list);
    assert_eq!(house.phone_files(), ["z=z1"]);
    assert_eq!(house.told(), "");
}

#[test]
fn the_page_of_another_device_in_the_place_of_the_own_is_told_and_replaced() {
    let mut house = furnished();
    let wish = house.wish(Action::Destroy, "z");
    let page = laptop_page(&house, std::slice::from_ref(&wish));
    let own = House::page(&phone_page());
    arrives(&mut house, &own, &page);
    let told = house.told();
    assert!(told.contains("HTCphone/catalogue.html were not carried out"), "{told}");
    assert!(told.contains("LinuxLaptop"), "{told}");
    assert_eq!(house.at_home("z").as_deref(), Some("z1"));
    let list = house.memory().content(&own).unwrap().to_vec();
    let list = worklist::parse(worklist::find(&list).unwrap());
    assert_eq!((list.device.as_deref(), list.wishes.len()), (Some("HTCphone"), 0));
    // It is over when the right page comes.
    let get = house.wish(Action::Get, "z");
    house.phone_wishes(get);
    assert_eq!(house.told(), "");
}

#[test]
fn a_page_of_a_wrong_seal_is_not_carried_out() {
    let mut house = furnished();
    let wish = house.wish(Action::Destroy, "z");
    let page = house.page_with(&phone_page(), std::slice::from_ref(&wish));
    let page = String::from_utf8(page).unwrap().replace("\"path\":\"z\"", "\"path\":\"a\"");
    let conflict = beside("catalogue.sync-conflict-20261123-100000-ABCDEFG.html");
    for at in [House::page(&phone_page()), conflict.clone()] {
        arrives(&mut house, &at, page.as_bytes());
        assert!(house.told().contains("nothing proves"), "{}", house.told());
    }
    assert_eq!(house.at_home("a/x").as_deref(), Some("x1"));
    assert!(is_there(&house, &conflict), "left for its owner");
}

/// A page of the first form waits on a phone with wishes: all pages had the identity of the ledger then, and the key
/// stood in the worklist.
#[test]
fn a_page_of_the_first_form_still_counts_through_its_own_folder() {
    for name in [
        "catalogue.html",
        "catalogue.sync-conflict-20261123-100000-ABCDEFG.html",
        "catalogue (1).html",
        "catalogue-worklist-HTCphone-2026-11-23-100000.json",
    ] {
        let mut house = furnished();
        let epoch = house.engine().page_id(&Origin::Home);
        let key = house.engine().page_keys().remove(0).key;
        let text = format!(
            "{{\"v\":1,\"page\":\"{epoch}\",\"key\":\"{key}\",\"device\":\"HTCphone\",\"gen\":17,\"items\":[\
             {{\"id\":\"00112233445566778899\",\"op\":\"get\",\"path\":\"a/x\",\"seen\":{{\"size\":2,\
             \"mtime\":1790000000}},\"at\":\"2026-11-23T10:00:00Z\"}}]}}"
        );
        let page = house.memory().content(&House::page(&phone_page())).unwrap().to_vec();
        let content = match name.ends_with(".json") {
            true => text.into_bytes(),
            false => worklist::put_text(&page, &text).unwrap(),
        };
        arrives(&mut house, &beside(name), &content);
        assert_eq!(house.phone_files(), ["a/x=x1"], "{name}");
        assert_eq!(house.told(), "", "{name}");
    }
    // In the folder of another device it is that of the phone.
    let mut house = furnished();
    let epoch = house.engine().page_id(&Origin::Home);
    let wish = house.wish(Action::Destroy, "z");
    let list = Worklist {
        version: 1,
        page: epoch,
        device: Some("HTCphone".into()),
        wishes: vec![wish],
        ..Worklist::default()
    };
    let laptop = Origin::Device(device("LinuxLaptop"));
    let page = house.memory().content(&House::page(&laptop)).unwrap().to_vec();
    let page = worklist::put(&page, &list).unwrap();
    arrives(&mut house, &House::page(&laptop), &page);
    assert!(house.told().contains("it is of the page of HTCphone"), "{}", house.told());
    assert_eq!(house.at_home("z").as_deref(), Some("z1"));
}

#[test]
fn a_wish_that_could_not_be_read_is_answered_as_such() {
    let mut house = furnished();
    let page_id = house.engine().page_id(&phone_page());
    let text = format!(
        "{{\"v\":2,\"page\":\"{page_id}\",\"device\":\"HTCphone\",\"gen\":1,\"nonce\":\"00\",\"items\":[\
         {{\"id\":\"00112233445566778899\",\"op\":\"polish\",\"path\":\"z\",\"at\":\"2026-11-23T10:00:00Z\"}}]}}"
    );
    let key = house.engine().page_keys().remove(0).key;
    let text = worklist::mac::seal(&key, worklist::mac::Sealed::Worklist, &text);
    let own = House::page(&phone_page());
    let page = house.memory().content(&own).unwrap().to_vec();
    arrives(&mut house, &own, &worklist::put_text(&page, &text).unwrap());
    let page = String::from_utf8(house.memory().content(&own).unwrap().to_vec()).unwrap();
    let cfg = page.split("id=\"cfg\">").nth(1).unwrap().split("</script>").next().unwrap();
    let cfg: serde_json::Value = serde_json::from_str(cfg).unwrap();
    let answer = &cfg["answers"][0];
    assert_eq!(answer["id"], "00112233445566778899");
    assert!(answer["op"].is_null(), "{answer}");
    assert!(answer["text"].as_str().unwrap().contains("polish"), "{answer}");
}

#[test]
fn a_wish_of_another_ledger_is_refused_by_its_name() {
    let mut house = furnished();
    let wish = house.wish(Action::Destroy, "z");
    let list = Worklist {
        version: 2,
        page: "another-HTCphone".into(),
        wishes: vec![wish.clone()],
        ..Worklist::default()
    };
    let own = House::page(&phone_page());
    let page = house.memory().content(&own).unwrap().to_vec();
    arrives(&mut house, &own, &worklist::put(&page, &list).unwrap());
    assert!(refusal(house.answer(&phone_page(), wish.id)).contains("newest page"));
    let answers = house.engine().ledger.answers(&phone_page(), 9).unwrap();
    assert_eq!((&*answers[0].action, &answers[0].path), ("destroy", &path("z")));
}
