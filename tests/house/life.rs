//! What happens to a house: it is stopped, killed, left without its sync engine, and asked by strangers.

use crate::home::{Device, House, kill, tells};
use crate::lab::{content, noise, program, put, until, until_all};
use crate::page::{HERE, MOVING};
use crate::stranger::taken;
use larder::model::Action;
use larder::status::Condition;
use larder::transport::Event;
use std::time::Instant;

/// Waits until a file is whole on a device, as long as more of it comes.
fn complete(phone: &Device, name: &str, bytes: &[u8]) {
    let all = bytes.len() as u64;
    until_all(&format!("the {name} is complete"), all, || match content(&phone.file(name)) {
        whole if whole == bytes => all,
        _ => taken(&phone.file("")).min(all - 1),
    });
}

#[test]
fn it_goes_on_after_restarts_of_everything() {
    let Some(program) = program() else { return };
    let mut house = House::new(&program, &["HTCphone"]);
    let film = noise(60_000_000, 9);
    put(&house.drive("files"), "film", &film);
    put(&house.drive("files"), "small", b"small");
    house.start();
    let mut phone = Device::new(&program, "HTCphone");
    house.pair(&mut phone);
    let id = phone.wish(&[(Action::Get, "small", &[])]);
    phone.answered(&id);
    until("small is there", || phone.state("small") == HERE);

    // While the phone is away: queued, and so after the engine was restarted.
    phone.party.stop();
    house.wish(Action::Get, "film", &["HTCphone"]);
    let state = |house: &House, name| house.page("HTCphone").map(|p| p.state("HTCphone", name));
    until("the film is queued", || state(&house, "film") == Some(MOVING));
    house.stop();
    until("nothing is left running", || house.processes().is_empty());
    house.start();
    until("the film is queued again", || state(&house, "film") == Some(MOVING));
    assert_eq!(state(&house, "small"), Some(HERE));

    // In the middle of it the sync engine dies, then the engine without a word.
    phone.party.start();
    let temp = phone.file(".syncthing.film.tmp");
    until("it is on its way", || temp.exists() || phone.file("film").exists());
    let before = house.reports().len();
    house.processes().into_iter().for_each(kill);
    // It is told for a second at least, which a busy machine may not look at.
    until("somebody is told", || {
        house.reports()[before..].iter().any(|report| tells(report, "sync engine"))
    });
    until("it goes on", || !house.tells("sync engine"));
    house.kill();
    house.start();
    until("one Syncthing serves", || house.processes().len() == 1);
    complete(&phone, "film", &film);
    until("the page says so", || phone.state("film") == HERE);

    // Both at once, in the middle of another one.
    let second = noise(60_000_000, 10);
    put(&house.drive("files"), "second", &second);
    house.wish(Action::Get, "second", &["HTCphone"]);
    let temp = phone.file(".syncthing.second.tmp");
    until("the second is on its way", || temp.exists() || phone.file("second").exists());
    let all = house.processes();
    house.kill();
    all.into_iter().for_each(kill);
    house.start();
    complete(&phone, "second", &second);
    until("the page says so, too", || phone.state("second") == HERE);
    let moved = |r: &larder::status::Report| r.condition == Condition::Syncing;
    println!("the light blinked: {}", house.reports().iter().any(moved));
    phone.party.stop();
    house.end();
    until("nothing is left running", || house.processes().is_empty());
}

#[test]
fn devices_come_and_go_by_the_settings() {
    let Some(program) = program() else { return };
    let mut house = House::new(&program, &["LinuxLaptop"]);
    put(&house.drive("files"), "letter", b"a letter");
    house.start();
    let mut phone = Device::new(&program, "HTCphone");

    // Nobody knows it yet.
    phone.meet(&house);
    let asks = format!("HTCphone ({})", phone.party.id);
    until("the report says who asks", || house.tells(&asks));
    until("so does the common page", || {
        house.common().house["asking"][0]["id"] == phone.party.id.as_str()
    });
    let begun = Instant::now();
    house.devices.insert("HTCphone".into(), format!("id = \"{}\"", phone.party.id));
    house.settle();
    until("nobody asks any more", || !house.tells("asks to be let in"));
    println!("id written into larder.toml -> accepted: {} ms", begun.elapsed().as_millis());
    phone.take_folders(&house);
    println!("… -> both folders offered and the page there: {} ms", begun.elapsed().as_millis());
    let id = phone.wish(&[(Action::Get, "letter", &[])]);
    phone.answered(&id);
    until("the letter is there", || phone.state("letter") == HERE);
    until("the page says that it is connected, and how to let others in", || {
        let page = phone.page();
        page.house["devices"][0]["up"] == true
            && page.house["devices"][0]["seen"].is_i64()
            && page.house["id"] == house.id().as_str()
    });

    // A lost phone: out of the settings.
    let from = phone.party.mark();
    house.devices.remove("HTCphone");
    house.settle();
    phone.party.hear_from(from, "it is let in no more", |e| {
        matches!(e, Event::Connection { up: false, .. })
    });
    until("it has to ask again", || house.tells(&asks));
    assert_eq!(content(&house.drive("devices/HTCphone/letter")), b"a letter");
    assert_eq!(content(&phone.file("letter")), b"a letter");
    phone.party.stop();
    house.end();
}

#[test]
fn without_a_sync_engine_everything_else_works() {
    let Some(program) = program() else { return };
    let mut house = House::new(&program, &["HTCphone"]);
    put(&house.drive("files"), "letter", b"a letter");
    house.start_with_path(std::ffi::OsStr::new("/nowhere"));
    until("somebody is told", || house.tells("Syncthing is not installed"));
    until("it is ready all the same", || house.report().condition == Condition::Ready);
    house.wish(Action::Get, "letter", &["HTCphone"]);
    until("it is linked", || content(&house.drive("devices/HTCphone/letter")) == b"a letter");
    until("and counts as there", || {
        house.page("HTCphone").is_some_and(|p| p.state("HTCphone", "letter") == HERE)
    });
    house.end();
}

#[test]
fn an_engine_that_is_killed_leaves_no_syncthing_and_can_be_started_at_once() {
    let Some(program) = program() else { return };
    let mut house = House::new(&program, &["HTCphone"]);
    put(&house.drive("files"), "letter", b"a letter");
    house.start();
    for _ in 0..3 {
        let before = house.processes();
        assert_eq!(before.len(), 1);
        house.kill();
        let killed = std::time::Instant::now();
        while !house.processes().is_empty() {
            assert!(killed.elapsed().as_secs() < 2, "{before:?} lives on");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        println!("gone after {:?}", killed.elapsed());
        house.start();
        // It did not have to end another one first.
        assert!(!house.tells("sync engine"), "{:?}", house.report().notices);
        until("one Syncthing serves", || house.processes().len() == 1);
    }
    // It stays as long as the engine does, whatever threads come and go.
    let stays = house.processes();
    std::thread::sleep(std::time::Duration::from_secs(15));
    assert_eq!(house.processes(), stays);
    house.stop();
    until("nothing is left running", || house.processes().is_empty());
}
