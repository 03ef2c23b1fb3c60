//! What people do with their devices, one day after the other.

use crate::home::{Device, House};
use crate::lab::{content, noise, program, put, until};
use crate::page::{HERE, MOVING};
use larder::model::Action;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

fn get<'a>(at: &'a str) -> (Action, &'a str, &'a [&'a str]) {
    (Action::Get, at, &[])
}

#[test]
fn a_wish_on_the_phone_brings_the_file_and_the_page_tells_so() {
    let Some(program) = program() else { return };
    let mut house = House::new(&program, &["HTCphone"]);
    let film = noise(1_000_000, 7);
    put(&house.drive("files"), "Films/film.mp4", &film);
    house.start();
    let mut phone = Device::new(&program, "HTCphone");
    house.pair(&mut phone);
    assert_eq!(phone.state("Films/film.mp4"), 0);

    let begun = Instant::now();
    let id = phone.wish(&[get("Films/film.mp4")]);
    let mut seen_moving = false;
    until("the file is on the phone", || {
        seen_moving |=
            house.page("HTCphone").is_some_and(|p| p.state("HTCphone", "Films/film.mp4") == MOVING);
        content(&phone.file("Films/film.mp4")) == film
    });
    let took = begun.elapsed();
    println!("wish on the phone's page -> 1 MB complete on the phone: {} ms", took.as_millis());
    phone.answered(&id);
    until("the page on the phone says here", || phone.state("Films/film.mp4") == HERE);
    println!("… -> its page there says so: {} ms", begun.elapsed().as_millis());
    assert!(seen_moving, "the page never said that it is on its way");
    let (master, link) =
        (house.drive("files/Films/film.mp4"), house.drive("devices/HTCphone/Films/film.mp4"));
    assert_eq!(master.metadata().unwrap().ino(), link.metadata().unwrap().ino());
    assert!(took < Duration::from_secs(15), "five seconds on a quiet machine");
    phone.party.stop();
    house.stop();
    assert!(house.processes().is_empty(), "nothing is left running");
}
