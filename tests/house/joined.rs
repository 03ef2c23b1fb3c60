//! Equal files that are joined at home while devices have them: the content is another inode there, and nothing
//! else. Nothing goes over the network again.

use crate::home::{Device, House};
use crate::lab::{content, noise, program, put, until};
use crate::page::HERE;
use crate::people::slow_line;
use larder::model::Action;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const NAMES: [&str; 3] = ["2012/film", "2013/film", "copy"];

fn inode(at: &Path) -> u64 {
    std::fs::metadata(at).unwrap().ino()
}

#[test]
fn what_is_joined_at_home_is_not_sent_again() {
    let Some(program) = program() else { return };
    let mut house = House::new(&program, &[]);
    let film = noise(20_000_000, 21);
    for name in NAMES {
        put(&house.drive("files"), name, &film);
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let file = std::fs::File::open(house.drive("files").join(name)).unwrap();
        file.set_modified(then).unwrap();
    }
    house.start();
    let mut phone = Device::new(&program, "HTCphone");
    let (line, came) = slow_line(house.sync_port(), 1_000_000_000);
    house.pair_by(&mut phone, line);
    let id = phone.wish(&NAMES.map(|name| (Action::Get, name, &[][..])));
    phone.answered(&id);
    until("all are there", || NAMES.iter().all(|name| phone.state(name) == HERE));
    // Whether Syncthing sends each of them or one is its own affair; that it counts what comes is ours.
    let sent = came.passed();
    assert!(sent > film.len() as u64, "{sent}");
    let there: Vec<_> = NAMES.map(|name| inode(&phone.file(name))).into();

    phone.party.stop();
    house.stop();
    let joined = house.larder(&["dedup", "--any-age"]).output().unwrap();
    let said = String::from_utf8_lossy(&joined.stdout).into_owned();
    assert!(joined.status.success() && said.contains("in 2 names"), "{joined:?}");
    let names = |name: &str| -> [PathBuf; 2] {
        [house.drive("files").join(name), house.drive("devices/HTCphone").join(name)]
    };
    let one = inode(&house.drive("files/copy"));
    assert!(NAMES.iter().flat_map(|name| names(name)).all(|at| inode(&at) == one), "{said}");

    house.start();
    phone.party.start();
    // What is put there afterwards comes after all that there was to be told of the others.
    put(&house.drive("files"), "later", b"later");
    house.wish(Action::Get, "later", &["HTCphone"]);
    until("what came later is there", || phone.state("later") == HERE);
    std::thread::sleep(Duration::from_secs(3));
    let again = came.passed() - sent;
    println!("{sent} bytes for three names of 20 MB, {again} after they were joined");
    assert!(again < 2_000_000, "{again}");
    for (name, before) in NAMES.iter().zip(there) {
        assert_eq!(inode(&phone.file(name)), before, "{name} was not touched on the phone");
        assert!(content(&phone.file(name)) == film);
        assert_eq!(phone.state(name), HERE);
    }
    let files = std::fs::read_dir(phone.file("")).unwrap().map(|e| e.unwrap().file_name());
    assert!(!files.into_iter().any(|name| name.to_string_lossy().contains("conflict")));

    // An edit at the phone is one name's alone, and no other is sent for it.
    let edited = noise(1_000, 22);
    phone.write("copy", &edited);
    until("the edit is at home", || content(&house.drive("files/copy")) == edited);
    assert!(content(&house.drive("files/2012/film")) == film);
    assert!(came.passed() - sent < 4_000_000);
    phone.party.stop();
    house.end();
}
