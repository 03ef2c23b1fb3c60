//! A phone with malware on it: a real Syncthing brings what it wrote, and takes back what it had.

use crate::home::{Device, House};
use crate::lab::{content, program, put, remove, until, until_all};
use larder::model::Action;
use larder::status::Condition;

const FILES: usize = 80;

fn name(n: usize) -> String {
    format!("Photos/{n:02}.jpg")
}

/// What a file has: three versions of it would be as long as each other.
fn bytes(what: &str, n: usize) -> Vec<u8> {
    format!("{what} {n:02} ").repeat(500).into_bytes()
}

#[test]
fn what_malware_does_on_a_phone_stays_on_the_phone_until_it_is_turned_back() {
    let Some(program) = program() else { return };
    let mut house = House::new(&program, &["HTCphone", "LinuxLaptop"]);
    for n in 0..FILES {
        put(&house.drive("files"), &name(n), &bytes("picture", n));
    }
    house.start();
    let mut phone = Device::new(&program, "HTCphone");
    house.pair(&mut phone);
    let id = phone.wish(&[(Action::Get, "Photos", &["HTCphone", "LinuxLaptop"])]);
    phone.answered(&id);
    let has =
        |phone: &Device, n: usize, what: &str| content(&phone.file(&name(n))) == bytes(what, n);
    let pictures = |phone: &Device| (0..FILES).filter(|n| has(phone, *n, "picture")).count() as u64;
    until_all("the phone has all", FILES as u64, || pictures(&phone));

    // Sixty are encrypted where they are, ten under another name, and a letter is left.
    let mut touched: Vec<String> = (0..70).map(name).collect();
    for n in 0..60 {
        put(&phone.party.path("BTsync/files"), &name(n), &bytes("scrambled", n));
    }
    for n in 60..70 {
        let locked = format!("{}.locked", name(n));
        put(&phone.party.path("BTsync/files"), &locked, &bytes("scrambled", n));
        remove(&phone.file(&name(n)));
        touched.push(locked);
    }
    put(&phone.party.path("BTsync/files"), "Photos/README.txt", b"pay");
    touched.push("Photos/README.txt".into());
    phone.touched(&touched.iter().map(String::as_str).collect::<Vec<_>>());
    until("somebody is asked", || house.tells("much more than ever"));
    assert!(house.report().condition >= Condition::Attention, "the LED asks, too");
    until("all of it has come to the NAS", || {
        let link = |n| content(&house.drive(&format!("devices/HTCphone/{}", name(n))));
        (0..60).all(|n| link(n) == bytes("scrambled", n))
    });
    // What came before it was much may be taken in; the rest is as it was, and on the laptop as well.
    let mine = |house: &House, at: &str| {
        let is = |n: &usize| {
            content(&house.drive(&format!("{at}/{}", name(*n)))) == bytes("picture", *n)
        };
        (0..70).filter(is).count()
    };
    assert!(mine(&house, "files") >= 20, "{}", mine(&house, "files"));
    assert_eq!(mine(&house, "files"), mine(&house, "devices/LinuxLaptop"));

    let id = house.wish(Action::KeepMine, "", &["HTCphone"]);
    until("the NAS has everything as it was", || mine(&house, "files") == 70);
    until("so has the laptop", || mine(&house, "devices/LinuxLaptop") == 70);
    until_all("and so has the phone", FILES as u64, || pictures(&phone));
    until("nobody is asked any more", || !house.tells("much more than ever"));
    assert!(!id.is_empty());
    phone.party.stop();
    house.end();
}
