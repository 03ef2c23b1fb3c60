//! A phone comes into the house and leaves it, by nothing but the page at home.

use crate::home::{Device, House};
use crate::lab::{content, program, put, until};
use crate::page::HERE;
use larder::model::Action;
use larder::transport::Event;
use std::time::Instant;

fn asks(house: &House, phone: &Device) -> Option<serde_json::Value> {
    let asking = house.common().house["asking"].clone();
    let all = asking.as_array()?;
    all.iter().find(|a| a["id"] == phone.party.id.as_str()).cloned()
}

#[test]
fn a_phone_is_let_in_on_the_page_gets_its_files_and_is_forgotten_there() {
    let Some(program) = program() else { return };
    let mut house = House::new(&program, &["LinuxLaptop"]);
    put(&house.drive("files"), "letter", b"a letter");
    put(&house.drive("files"), "diary", b"a diary");
    house.start();
    // What the phone scans is on the page.
    until("the page has the code", || house.common().house["qr"].is_string());
    assert_eq!(house.common().house["id"], house.id().as_str());

    // It scanned the code: it is shown as asking, under the name it gives itself.
    let mut phone = Device::new(&program, "HTCphone");
    let begun = Instant::now();
    phone.meet(&house);
    until("the page shows who asks", || asks(&house, &phone).is_some());
    println!("a phone added the NAS -> the page shows it: {} ms", begun.elapsed().as_millis());
    let shown = asks(&house, &phone).unwrap();
    assert_eq!((&shown["name"], &shown["refused"]), (&"HTCphone".into(), &false.into()));
    assert!(shown["from"].as_str().unwrap().starts_with("127.0.0.1"), "{shown}");
    until("STATUS.txt says so", || house.status().contains("asks to be let in: HTCphone"));
    // Only the page at home decides.
    let may = |page: &crate::page::Page| page.own["may"].to_string();
    assert!(may(&house.common()).contains("accept"));
    assert!(!may(&house.page("LinuxLaptop").unwrap()).contains("accept"));

    // Accepted: page and files are offered under their names, and arrive.
    let begun = Instant::now();
    let id = phone.party.id.to_string();
    let accept = house.decide(Action::Accept, &["Pixel"], Some(&id));
    house.decided(&accept);
    phone.name = "Pixel".into();
    phone.take_folders(&house);
    println!(
        "[accept] -> both folders and the page on the phone: {} ms",
        begun.elapsed().as_millis()
    );
    let wish = phone.wish(&[(Action::Get, "letter", &[])]);
    phone.answered(&wish);
    until("the letter is there", || phone.state("letter") == HERE);
    assert_eq!(content(&phone.file("letter")), b"a letter");
    until("the page tells of it", || {
        let devices = house.common().house["devices"].clone();
        let mut pixel = devices.as_array().unwrap().iter().filter(|d| d["name"] == "Pixel");
        pixel.next().is_some_and(|d| {
            d["up"] == true && d["letin"] == true && d["from"].to_string().contains("127.0.0.1")
        })
    });
    until("STATUS.txt, too", || {
        let status = house.status();
        !status.contains("asks to be let in")
            && status.contains("write [devices.Pixel] into larder.toml")
    });

    // It is remembered.
    house.kill();
    house.start();
    let wish = phone.wish(&[(Action::Get, "diary", &[])]);
    phone.answered(&wish);
    until("the diary is there", || phone.state("diary") == HERE);

    // Lost: forgotten by the page as a file. It has to ask again, and at home nothing is gone.
    let own = phone.page().own;
    let (epoch, key, from) =
        (&own["page"], own["key"].as_str().unwrap().to_owned(), phone.party.mark());
    let forget = house.decide_in_the_file(Action::Forget, &["Pixel"], None);
    house.decided(&forget);
    phone.party.hear_from(from, "it is let in no more", |e| {
        matches!(e, Event::Connection { up: false, .. })
    });
    until("it asks again", || asks(&house, &phone).is_some());
    assert_eq!(content(&house.drive("devices/Pixel/letter")), b"a letter");
    assert_eq!(content(&house.drive("files/letter")), b"a letter");
    assert_eq!(content(&phone.file("letter")), b"a letter", "out of reach");
    // Who has it now can wish nothing over the network either.
    let list = format!(
        r#"{{"v":2,"page":{epoch},"device":"Pixel","gen":1,"nonce":"00","items":[{{"id":"00000000000000000001","op":"destroy","path":"letter","seen":{{"size":8,"mtime":1}},"at":"2026-11-23T10:00:00Z"}}]}}"#
    );
    let sealed = larder::worklist::mac::seal(&key, larder::worklist::mac::Sealed::Worklist, &list);
    assert_ne!(sealed, list);
    assert_eq!(house.post(&sealed), 403);

    // Turned away: it may ask as often as it likes, and nobody is bothered.
    let refuse = house.decide(Action::Refuse, &[], Some(&id));
    house.decided(&refuse);
    until("nobody is bothered", || !house.tells("asks to be let in"));
    until("it asks again, in the quiet list", || {
        asks(&house, &phone).is_some_and(|a| a["refused"] == true)
    });
    assert!(!house.tells("asks to be let in"));
    // Found again, it gets on where it was.
    let accept = house.decide(Action::Accept, &["Pixel"], Some(&id));
    let told = house.decided(&accept);
    assert!(told.contains("2 files that Pixel had before"), "{told}");
    put(&house.drive("files"), "later", b"later");
    let wish = house.wish(Action::Get, "later", &["Pixel"]);
    until("what is wished for it arrives", || content(&phone.file("later")) == b"later");
    house.decided(&wish);
    phone.party.stop();
    house.end();
}

#[test]
fn a_device_of_the_settings_gets_its_id_on_the_page() {
    let Some(program) = program() else { return };
    let mut house = House::new(&program, &["HTCphone"]);
    put(&house.drive("files"), "letter", b"a letter");
    house.start();
    let mut phone = Device::new(&program, "HTCphone");
    phone.meet(&house);
    until("the page shows who asks", || asks(&house, &phone).is_some());
    let id = phone.party.id.to_string();
    let accept = house.decide(Action::Accept, &["HTCphone"], Some(&id));
    house.decided(&accept);
    phone.take_folders(&house);
    let wish = phone.wish(&[(Action::Get, "letter", &[])]);
    phone.answered(&wish);
    until("the letter is there", || phone.state("letter") == HERE);
    // Its section is taken out of the settings: lost, all the same.
    let from = phone.party.mark();
    house.devices.remove("HTCphone");
    house.settle();
    phone.party.hear_from(from, "it is let in no more", |e| {
        matches!(e, Event::Connection { up: false, .. })
    });
    until("it has to ask again", || asks(&house, &phone).is_some());
    assert_eq!(content(&house.drive("devices/HTCphone/letter")), b"a letter");
    phone.party.stop();
    house.end();
}
