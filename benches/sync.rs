//! What a wish, a quota, ten thousand files and a revoke cost with real Syncthings on loopback, beside Syncthing
//! alone in the same run: `make bench-sync`. Nothing is asserted; it prints pairs and ratios.
//!
//! `cargo bench --bench sync -- [--rounds N] [--files N]`. Debian's Syncthing is fetched if need be.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    dead_code,
    reason = "a bench of the tests' own house"
)]

#[path = "../tests/house/home.rs"]
mod home;
#[path = "../tests/house/judged.rs"]
#[allow(dead_code, reason = "tests end with it")]
mod judged;
#[path = "../tests/sync/lab.rs"]
mod lab;
#[path = "../tests/oracle/mod.rs"]
mod oracle;
#[path = "../tests/house/page.rs"]
mod page;
#[path = "../tests/house/stranger.rs"]
mod stranger;

use home::{Device, House};
use lab::{content, noise, pair, program, put, until};
use larder::model::Action;
use page::HERE;
use std::path::Path;
use std::time::{Duration, Instant};

fn main() {
    let (mut rounds, mut files) = (5, 10_000);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => rounds = args.next().unwrap().parse().unwrap(),
            "--files" => files = args.next().unwrap().parse().unwrap(),
            // cargo's own.
            "--bench" => {}
            other => panic!("the options are --rounds N and --files N, not {other}"),
        }
    }
    let Some(program) = program() else { return };
    wish(&program, rounds);
    many(&program, files);
    revoke(&program, rounds.min(3));
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn ms(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1e3)
}

/// From the page saved on the phone to 1 MB complete there; and how long the house itself had it.
fn wish(program: &Path, rounds: usize) {
    let file = |n: usize| noise(1_000_000, n as u64 + 7);
    // The peer: the file is put into a folder of two Syncthings, and looked at at once.
    let (nas, phone) = pair(program, "files");
    let alone: Vec<Duration> = (0..rounds)
        .map(|n| {
            let (name, bytes) = (format!("film{n}"), file(n));
            put(&nas.path("files"), &name, &bytes);
            let begun = Instant::now();
            nas.changed("files", &[&name]);
            until("it is there", || content(&phone.path("files").join(&name)) == bytes);
            begun.elapsed()
        })
        .collect();
    drop((nas, phone));

    let mut house = House::new(program, &["HTCphone"]);
    for n in 0..rounds {
        put(&house.drive("files/Films"), &format!("film{n}"), &file(n));
    }
    house.start();
    let mut phone = Device::new(program, "HTCphone");
    house.pair(&mut phone);
    let (mut all, mut ours, mut told) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..rounds {
        let (name, bytes) = (format!("Films/film{n}"), file(n));
        let begun = Instant::now();
        let id = phone.wish(&[(Action::Get, &name, &[])]);
        let (mut home, mut linked) = (None, None);
        until("it is there", || {
            let page = content(&house.drive("catalogue/HTCphone/catalogue.html"));
            if page.windows(id.len()).any(|w| w == id.as_bytes()) {
                home.get_or_insert(begun.elapsed());
            }
            if house.drive("devices/HTCphone").join(&name).exists() {
                linked.get_or_insert(begun.elapsed());
            }
            content(&phone.file(&name)) == bytes
        });
        all.push(begun.elapsed());
        ours.push(linked.unwrap_or_default().saturating_sub(home.unwrap_or_default()));
        until("its page says so", || phone.state(&name) == HERE);
        told.push(begun.elapsed());
    }
    let in_force = quota(&mut house, rounds);
    phone.party.stop();
    house.stop();
    println!("a lower quota saved in larder.toml -> what is too much is gone: {}", ms(in_force));
    let (all, ours, alone, told) = (median(all), median(ours), median(alone), median(told));
    println!(
        "wish on the phone's page -> 1 MB complete there: {} (of which the house {}), its page says so: {}",
        ms(all),
        ms(ours),
        ms(told)
    );
    println!(
        "  beside: 1 MB between two Syncthings alone: {}; so the page's way home and back is {:.1} times that",
        ms(alone),
        all.as_secs_f64() / alone.as_secs_f64()
    );
}

/// A quota that is lowered, by one of the phone's films of 1 MB each time: until that film has gone.
fn quota(house: &mut House, films: usize) -> Duration {
    let films_there = |house: &House| {
        std::fs::read_dir(house.drive("devices/HTCphone/Films")).map_or(0, Iterator::count)
    };
    let lower = |left: usize| {
        // A little more than a film takes, in whole blocks.
        let lines = format!("quota = \"{} kB\"", left * 1_010 + 1);
        house.devices.insert("HTCphone".into(), lines);
        let begun = Instant::now();
        house.settle();
        until("what is too much is gone", || films_there(house) == left);
        begun.elapsed()
    };
    median((0..films).rev().map(lower).collect())
}

/// So many files of 4 kB linked by one wish: what of the whole is the engine's.
fn many(program: &Path, files: usize) {
    let mut house = House::new(program, &["HTCphone"]);
    for i in 0..files {
        put(&house.drive("files/Small"), &format!("{i:05}"), &noise(4_096, i as u64 + 1));
    }
    house.start();
    let mut phone = Device::new(program, "HTCphone");
    house.pair(&mut phone);
    let (cpu, begun) = (house.cpu(), Instant::now());
    let edition = house.page("HTCphone").unwrap().generation();
    let id = phone.wish(&[(Action::Get, "Small", &[])]);
    until("all are there", || {
        std::thread::sleep(Duration::from_millis(200));
        let here = |page: &page::Page| page.files.values().filter(|s| s[0] == HERE).count();
        house.page("HTCphone").is_some_and(|p| here(&p) == files)
    });
    let (took, ours) = (begun.elapsed(), house.cpu() - cpu);
    let editions = house.page("HTCphone").unwrap().generation() - edition;
    phone.answered(&id);
    phone.party.stop();
    house.stop();
    println!(
        "{files} files of 4 kB by one wish: {:.1} s to the page that says all are there, of which the engine \
         {:.2} s of processor: {:.1} % of the whole; {editions} pages written",
        took.as_secs_f64(),
        ours.as_secs_f64(),
        ours.as_secs_f64() * 100.0 / took.as_secs_f64(),
    );
}

/// From [revoke] sent to the last byte that arrives at the other side, while a large file is taken.
fn revoke(program: &Path, rounds: usize) {
    let mut house = House::new(program, &[]);
    for n in 0..rounds {
        put(&house.drive("files"), &format!("film{n}"), &noise(400_000_000, n as u64 + 3));
    }
    house.start();
    let (mut over, mut last) = (Vec::new(), Vec::new());
    for n in 0..rounds {
        let mut stranger = lab::Party::new(program, "stranger");
        let (id, film) = (stranger.id.to_string(), format!("film{n}"));
        let share = house.send(Action::Share, &film, &[], Some(&format!("Friend {id}")));
        house.decided(&share);
        stranger::meet(&mut stranger, &house, None);
        let at = stranger::take_share(&mut stranger, &house);
        until("it is on its way", || stranger::taken(&at) > 4_000_000);
        let begun = Instant::now();
        let revoke = house.send(Action::Revoke, &film, &[], None);
        let (mut bytes, mut grew, mut answered) = (0, Duration::ZERO, None);
        while begun.elapsed() < grew + Duration::from_secs(3) || answered.is_none() {
            let now = stranger::taken(&at);
            if now > bytes {
                (bytes, grew) = (now, begun.elapsed());
            }
            if answered.is_none() && house.common().answer(&revoke).is_some_and(|a| a.0 == "done") {
                answered = Some(begun.elapsed());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        if at.join(&film).exists() {
            println!("  film{n} was there before it could be revoked: not counted");
        } else {
            over.extend(answered);
            last.push(grew);
        }
        stranger.stop();
    }
    house.stop();
    if last.is_empty() {
        return;
    }
    println!(
        "[revoke] while 400 MB are taken -> last byte at the other side: {}; the page says that it is over: {}",
        ms(median(last)),
        ms(median(over))
    );
}
