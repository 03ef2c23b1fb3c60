//! What goes wrong with the sync engine and with devices: told in clear words on the page and in
//! STATUS.txt, nothing lost, and it goes on by itself.

use crate::home::{Device, House};
use crate::lab::{content, noise, program, put, until};
use crate::page::{HERE, MOVING};
use larder::model::Action;
use larder::status::Condition;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Words that an owner finds on the common page and in STATUS.txt, with what to do.
fn told_everywhere(house: &House, words: &str) {
    until(&format!("somebody is told: {words}"), || house.tells(words));
    until(&format!("so does the page: {words}"), || {
        house.common().house["notices"].to_string().contains(words)
    });
    let said = || Some(house.status()).filter(|s| s.contains(words) && s.contains("What to do: "));
    until(&format!("so does STATUS.txt: {words}"), || said().is_some());
}

fn install(folder: &Path, text: &str) {
    put(folder, "syncthing", text.as_bytes());
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.join("syncthing"), mode).unwrap();
}

#[test]
fn a_missing_or_wrong_program_and_a_taken_port_are_told_and_got_over() {
    let Some(program) = program() else { return };
    let mut house = House::new(&program, &["HTCphone"]);
    put(&house.drive("files"), "letter", b"a letter");
    let path = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind(("127.0.0.1", house.sync_port())).unwrap();

    // Not installed; everything else works.
    house.start_with_path(path.path().as_os_str());
    told_everywhere(&house, "Syncthing is not installed");
    until("it is ready all the same", || house.report().condition == Condition::Ready);
    let wish = house.wish(Action::Get, "letter", &["HTCphone"]);
    house.decided(&wish);

    // One that is too old.
    install(path.path(), "#!/bin/sh\necho 'syncthing v1.19.2 \"Fermium Flea\" (go1.19)'\n");
    told_everywhere(&house, "v1.19.2");
    assert!(!house.tells("not installed"));

    // A fitting one, whose port somebody has.
    install(path.path(), &format!("#!/bin/sh\nexec '{}' \"$@\"\n", program.display()));
    told_everywhere(&house, "devices can't reach the sync engine");
    assert!(!house.tells("v1.19.2"));
    drop(port);
    until("it is got over", || !house.tells("devices can't reach"));
    until("there is nothing more to tell", || house.report().notices.is_empty());

    // And it carries: what was wished before it could.
    let mut phone = Device::new(&program, "HTCphone");
    house.pair(&mut phone);
    until("the letter is on the phone", || content(&phone.file("letter")) == b"a letter");
    until("the page says so", || phone.state("letter") == HERE);
    phone.party.stop();
    house.end();
    until("nothing is left running", || house.processes().is_empty());
}

/// A small file system of its own, unmounted when the test is over.
struct Small(std::path::PathBuf);

impl Small {
    fn mount(at: &Path, size: &str) -> Option<Self> {
        let options = format!("size={size}");
        let mount = |more: &str| {
            let options = format!("{options}{more}");
            let mut mount = std::process::Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at);
            mount.status().is_ok_and(|status| status.success())
        };
        mount("").then(|| Self(at.to_owned()))
    }

    fn grow(&self, size: &str) {
        let mut mount = std::process::Command::new("mount");
        mount.args(["-o", &format!("remount,size={size}")]).arg(&self.0);
        assert!(mount.status().unwrap().success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Its user may be slow to end: it goes when that does.
        std::process::Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

#[test]
fn a_full_device_is_never_said_to_have_what_it_has_not_and_goes_on_when_it_has_room() {
    let Some(program) = program() else { return };
    let mut house = House::new(&program, &["HTCphone"]);
    let film = noise(12_000_000, 5);
    put(&house.drive("files"), "film", &film);
    put(&house.drive("files"), "letter", b"a letter");
    house.start();
    let mut phone = Device::new(&program, "HTCphone");
    let files = phone.party.path("BTsync/files");
    std::fs::create_dir_all(&files).unwrap();
    let Some(card) = Small::mount(&files, "6m") else {
        use std::io::Write as _;
        let line = "*** SKIPPED: only root can mount a small file system: no device was full ***\n";
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return;
    };
    house.pair(&mut phone);
    let wish = phone.wish(&[(Action::Get, "film", &[])]);
    phone.answered(&wish);
    // Its own Syncthing finds no room; what is at home knows only that it does not arrive.
    phone.party.hear(
        "no room",
        |e| matches!(e, larder::transport::Event::Trouble { what, .. } if what.contains("film")),
    );
    assert_eq!(phone.state("film"), MOVING);
    assert!(house.page("HTCphone").is_some_and(|p| p.state("HTCphone", "film") == MOVING));
    // What fits goes by it.
    let wish = phone.wish(&[(Action::Get, "letter", &[])]);
    phone.answered(&wish);
    until("the letter is there", || phone.state("letter") == HERE);
    assert_eq!(content(&house.drive("files/film")), film);
    assert_eq!(phone.state("film"), MOVING);
    // Room was made. Its Syncthing tries again after a minute, or when it is opened again.
    card.grow("64m");
    phone.party.stop();
    phone.party.start();
    until("the film is there", || content(&phone.file("film")) == film);
    until("the page says so", || phone.state("film") == HERE);
    phone.party.stop();
    house.end();
}
