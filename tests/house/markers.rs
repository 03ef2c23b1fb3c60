//! The sync engine's marker of a device's folder: told in plain words when it is gone, back by itself where every link
//! stands, and never in a folder that lacks any.

use crate::home::{Device, House};
use crate::lab::{content, program, until};
use larder::model::Action;
use std::path::Path;
use std::time::{Duration, Instant};

const FILES: [&str; 3] = ["a", "b", "c"];

/// A house and a phone that has three files.
fn with_three_files(program: &Path) -> (House, Device) {
    let mut house = House::new(program, &["HTCphone"]);
    for name in FILES {
        crate::lab::put(&house.drive("files"), name, name.as_bytes());
    }
    house.start();
    let mut phone = Device::new(program, "HTCphone");
    house.pair(&mut phone);
    let wishes: Vec<(Action, &str, &[&str])> =
        FILES.iter().map(|name| (Action::Get, *name, &[][..])).collect();
    let wish = phone.wish(&wishes);
    phone.answered(&wish);
    until("the phone has them", || all_there(&phone));
    (house, phone)
}

fn all_there(phone: &Device) -> bool {
    FILES.iter().all(|name| content(&phone.file(name)) == name.as_bytes())
}

#[allow(clippy::disallowed_methods, reason = "a test plays somebody at home")]
fn unmark(house: &House) {
    std::fs::remove_dir_all(house.drive("devices/HTCphone/.stfolder")).unwrap();
}

fn is_marked(house: &House) -> bool {
    house.drive("devices/HTCphone/.stfolder").exists()
}

const TOLD: &str = "nothing goes to HTCphone and nothing comes from there";

#[test]
fn a_marker_that_went_comes_back_where_every_link_stands() {
    let Some(program) = program() else { return };
    let (mut house, mut phone) = with_three_files(&program);
    unmark(&house);
    // Syncthing finds out when it next looks at the folder.
    phone.write("new", b"new");
    until("it is told or over", || house.reports().iter().any(|r| crate::home::tells(r, TOLD)));
    until("the marker is back", || is_marked(&house));
    until("it is told no more", || !house.tells(TOLD));
    until("what the phone wrote comes home", || content(&house.drive("files/new")) == b"new");
    assert!(all_there(&phone));

    // Out of the settings and in again: what Syncthing makes of its marker then is nobody's file.
    let settings = house.devices.remove("HTCphone").unwrap();
    house.settle();
    let moved_away = || {
        let names = std::fs::read_dir(house.drive("devices/HTCphone")).unwrap();
        names
            .map(|e| e.unwrap().file_name())
            .any(|n| n != ".stfolder" && n.as_encoded_bytes().starts_with(b".stfolder"))
    };
    until("Syncthing let go of it", || !is_marked(&house));
    if moved_away() {
        println!("Syncthing keeps its old marker beside the files");
    }
    house.devices.insert("HTCphone".into(), settings);
    house.settle();
    until("it is marked again", || is_marked(&house));
    phone.write("newer", b"newer");
    until("it carries on", || content(&house.drive("files/newer")) == b"newer");
    assert!(all_there(&phone));
    let names = std::fs::read_dir(house.drive("files")).unwrap();
    let names: Vec<_> = names.map(|e| e.unwrap().file_name()).collect();
    assert!(!names.iter().any(|n| n.as_encoded_bytes().starts_with(b".st")), "{names:?}");
    let no_id =
        |r: &larder::status::Report| r.notices.iter().all(|n| !n.what.contains("marker missing"));
    assert!(house.reports().iter().all(no_id), "in the sync engine's words");
    phone.party.stop();
    house.stop();
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test plays somebody at home")]
fn an_emptied_folder_gets_no_marker_before_its_links_stand() {
    let Some(program) = program() else { return };
    let (mut house, mut phone) = with_three_files(&program);
    let link = |name: &str| house.drive("devices/HTCphone").join(name);
    unmark(&house);
    FILES.iter().for_each(|name| std::fs::remove_file(link(name)).unwrap());
    until("it is told", || house.tells(TOLD));
    let says = |words: &str| house.report().notices.iter().any(|n| n.next.contains(words));
    until("with what to do", || says("put them back there"));
    let quiet = |what: &str| {
        let end = Instant::now() + Duration::from_secs(25);
        while Instant::now() < end {
            assert!(!is_marked(&house), "marked in {what}");
            assert!(all_there(&phone), "the phone lost something by {what}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    quiet("an emptied folder");
    let put_back = |name: &str| {
        std::fs::hard_link(house.drive("files").join(name), link(name)).unwrap();
    };
    put_back("a");
    put_back("b");
    quiet("a partly empty folder");
    put_back("c");
    until("the marker is back", || is_marked(&house));
    until("it is told no more", || !house.tells(TOLD));
    phone.write("new", b"new");
    until("it carries on", || content(&house.drive("files/new")) == b"new");
    assert!(all_there(&phone));
    phone.party.stop();
    house.stop();
}
