//! Something is shared with a stranger, who asks, is let in to that alone, and loses it in the middle.

use crate::home::House;
use crate::lab::{Party, content, noise, program, put, until};
use crate::people::slow_line;
use crate::stranger::{meet, take_share, taken};
use larder::model::Action;
use std::time::{Duration, Instant};

#[test]
fn a_stranger_is_let_in_to_one_share_and_loses_it_while_it_is_taken() {
    let Some(program) = program() else { return };
    let mut house = House::new(&program, &["HTCphone"]);
    put(&house.drive("files/Films"), "small", b"ours");
    put(&house.drive("files/Films"), "film", &noise(200_000_000, 11));
    put(&house.drive("files"), "diary", b"nobody's business");
    house.start();
    let share = house.send(Action::Share, "Films", &[], Some("Friend"));
    house.decided(&share);
    until("the page says what to send", || {
        let share = house.common().house["shares"][0].clone();
        share["link"].as_str().is_some_and(|link| link.contains(house.id().as_str()))
    });

    let mut stranger = Party::new(&program, "stranger");
    // So slow that there is a middle, however busy the machine is.
    let (address, _) = slow_line(house.sync_port(), 10_000_000);
    meet(&mut stranger, &house, Some(address));
    let id = stranger.id.to_string();
    until("the page shows who asks", || house.common().house["asking"][0]["id"] == id.as_str());
    // What [accept], “another person” wishes.
    let accept = house.send(Action::Share, "Films", &[], Some(&format!("Friend {id}")));
    house.decided(&accept);
    let at = take_share(&mut stranger, &house);
    until("nobody asks any more", || house.common().house["asking"].as_array().unwrap().is_empty());
    // Which of the two comes first is up to his Syncthing, so nothing here waits for the small one.
    until("the film is on its way", || taken(&at) > 4_000_000);
    // What the stranger does to it stays with him, and has time to be told.
    put(&at, "Films/small", b"his");
    put(&at, "Films/planted", b"his");
    until("more of the film is there", || taken(&at) > 30_000_000);
    let begun = Instant::now();
    let revoke = house.send(Action::Revoke, "Films", &[], Some("Friend"));
    house.decided(&revoke);
    let took = begun.elapsed();
    let then = taken(&at);
    std::thread::sleep(Duration::from_secs(3));
    let now = taken(&at);
    println!("[revoke] -> over: {took:?}; {then} bytes taken then, {now} three seconds later");
    assert!(now.saturating_sub(then) < 8_000_000, "{then} {now}");
    assert!(!at.join("Films/film").exists(), "it was too quick to be stopped: a larger file");
    assert_eq!(content(&house.drive("files/Films/small")), b"ours");
    assert!(!house.drive("files/Films/planted").exists());
    assert_eq!(std::fs::read_dir(house.drive("shared")).unwrap().count(), 0);
    assert!(!at.join("diary").exists());
    // He asks again, like anybody.
    until("he has to ask again", || house.common().house["asking"][0]["id"] == id.as_str());
    stranger.stop();
    house.end();
}
