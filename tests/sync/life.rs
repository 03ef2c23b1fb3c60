//! The life of a Syncthing: started, crashed, meddled with, replaced, missing.

use crate::lab::*;
use larder::transport::syncthing::Settings;
use larder::transport::{Event, Mode, PeerId};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

fn config(party: &Party) -> String {
    String::from_utf8(content(&party.settings.home.join("config.xml"))).unwrap()
}

/// Somebody who found the key uses the interface.
fn meddle(party: &Party, method: &str, at: &str, body: &str) -> String {
    // While it takes in one change of its configuration it may hang up on the next.
    let mut answer = None;
    until(&format!("{method} {at} is answered"), || {
        answer = try_to_meddle(party, method, at, body);
        answer.is_some()
    });
    answer.unwrap()
}

fn try_to_meddle(party: &Party, method: &str, at: &str, body: &str) -> Option<String> {
    let text = config(party);
    let key = text.split_once("<apikey>")?.1.split_once("</apikey>")?.0;
    let mut stream = UnixStream::connect(party.settings.home.join("api.sock")).ok()?;
    write!(
        stream,
        "{method} {at} HTTP/1.0\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.0 200").then_some(answer)
}

fn trouble(party: &Party, from: usize, with: &str) {
    let telling = format!("trouble with `{with}`");
    party.hear_from(
        from,
        &telling,
        |e| matches!(e, Event::Trouble { what, next } if what.contains(with) && !next.is_empty()),
    );
}

fn well(party: &Party, from: usize) {
    party.hear_from(from, "well", |e| *e == Event::Well);
}

#[test]
fn either_side_crashes_in_the_middle_and_it_goes_on() {
    let Some(program) = program() else { return };
    let mut nas = Party::with(&program, "nas", |s| s.max_send_kbps = 6_000);
    let mut phone = Party::new(&program, "phone");
    nas.share("files", Mode::SendReceive, &[&phone]);
    phone.share("files", Mode::SendReceive, &[&nas]);
    let film = noise(50_000_000, 3);
    put(&nas.path("files"), "film", &film);
    nas.changed("files", &["film"]);
    let temp = phone.path("files").join(".syncthing.film.tmp");
    let begun = |bytes| {
        use std::os::unix::fs::MetadataExt;
        until("under way", || temp.metadata().is_ok_and(|m| m.blocks() * 512 > bytes));
    };
    begun(4_000_000);
    let from = nas.mark();
    nas.kill();
    trouble(&nas, from, "ended with signal: 9");
    well(&nas, from);
    nas.hear_from(from, "reset", |e| *e == Event::Reset);
    begun(8_000_000);
    let from = phone.mark();
    phone.kill();
    trouble(&phone, from, "ended");
    well(&phone, from);
    // Told before the crash, proved after it.
    nas.hear_delivered(0, "files", &phone, &["film"]);
    assert_eq!(content(&phone.path("files").join("film")), film);
}

#[test]
fn what_is_changed_by_hand_is_put_right() {
    let Some(program) = program() else { return };
    let mut nas = Party::new(&program, "nas");
    let other = Party::new(&program, "other");
    nas.share("files", Mode::SendReceive, &[&other]);
    let own = nas.id.clone();
    put(&nas.path("files"), "a", b"a");

    // While it runs.
    let intruder = "P56IOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ2";
    meddle(
        &nas,
        "POST",
        "/rest/config/devices",
        &format!(r#"{{"deviceID":"{intruder}","name":"x"}}"#),
    );
    meddle(
        &nas,
        "PATCH",
        "/rest/config/folders/files",
        r#"{"ignorePerms":false,"type":"sendonly"}"#,
    );
    let is_right = || {
        let folders = meddle(&nas, "GET", "/rest/config/folders", "");
        let devices = meddle(&nas, "GET", "/rest/config/devices", "");
        folders.contains(r#""ignorePerms": true"#)
            && folders.contains(r#""type": "sendreceive""#)
            && !devices.contains(intruder)
    };
    until("peers and folders are right", is_right);
    // Again at once, while the first is hardly put right.
    for _ in 0..2 {
        meddle(&nas, "PATCH", "/rest/config/options", r#"{"relaysEnabled":true,"urAccepted":3}"#);
        until("the options are right", || {
            meddle(&nas, "GET", "/rest/config/options", "").contains(r#""relaysEnabled": false"#)
        });
    }
    remove(&nas.path("files").join(".stignore"));
    meddle(
        &nas,
        "POST",
        "/rest/config/devices",
        &format!(r#"{{"deviceID":"{intruder}","name":"x"}}"#),
    );
    until("the list of ignored names is back", || nas.path("files").join(".stignore").exists());

    // The key itself: it is started anew with one of ours.
    let from = nas.mark();
    meddle(&nas, "PATCH", "/rest/config/gui", r#"{"apiKey":"a-key-of-somebody-else"}"#);
    trouble(&nas, from, "refuses our key");
    well(&nas, from);
    assert!(!config(&nas).contains("somebody-else"));

    // In its file, while it is down.
    nas.stop();
    let home = nas.settings.home.clone();
    let text = config(&nas)
        .replace("<relaysEnabled>false</relaysEnabled>", "<relaysEnabled>true</relaysEnabled>");
    put(&home, "config.xml", text.replace("api.sock", "other.sock").as_bytes());
    let from = nas.mark();
    nas.start();
    nas.up(from);
    nas.in_force();
    assert!(!meddle(&nas, "GET", "/rest/config/options", "").contains(r#""relaysEnabled": true"#));

    // Broken: who we are and what we share are as before.
    nas.stop();
    put(&home, "config.xml", b"<configuration><gui>");
    let from = nas.mark();
    nas.start();
    let up = nas.hear_from(from, "up", |e| matches!(e, Event::Up { .. }));
    assert!(matches!(up, Event::Up { identity, .. } if identity.as_ref() == Some(&own)));
    nas.in_force();
    assert!(meddle(&nas, "GET", "/rest/config/folders", "").contains(r#""id": "files""#));
    assert_eq!(content(&nas.path("files").join("a")), b"a");
    assert_eq!(std::fs::metadata(&home).unwrap().permissions().mode() & 0o777, 0o700);
    for secret in ["config.xml", "key.pem", "api.sock"] {
        let mode = std::fs::metadata(home.join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{secret}");
    }
}

use std::os::unix::fs::PermissionsExt;

/// Killed when its test is over, however it ends.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It has ended already when all went well.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn script(at: &Path, says: &str) {
    put(at.parent().unwrap(), "fake", format!("#!/bin/sh\necho '{says}'\n").as_bytes());
    std::fs::set_permissions(at, PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn a_missing_wrong_or_left_over_program_is_told_and_got_over() {
    let Some(program) = program() else { return };
    let mut nas = Party::prepared(Path::new("/nowhere/syncthing"), "nas", |_| {});
    let fake = nas.path("fake");
    nas.start();
    trouble(&nas, 0, "`/nowhere/syncthing` can't be started");
    nas.stop();

    for (says, told) in [
        ("syncthing v1.19.2 \"Fermium Flea\" (go1.19)", "v1.19.2"),
        ("rslsync 2.8.1", "rslsync"),
        ("", "does not tell its version"),
    ] {
        script(&fake, says);
        nas.settings.program = fake.clone();
        let from = nas.mark();
        nas.start();
        trouble(&nas, from, told);
        nas.stop();
    }

    // It ends at once, saying why: told with its words, and tried again.
    let text = format!(
        "#!/bin/sh\n[ $1 = --version ] && echo 'syncthing v1.29.5 x' && exit\n\
         [ $1 = generate ] && exec '{}' \"$@\"\necho 'WARNING: the sky fell'\nexit 7\n",
        program.display()
    );
    put(&nas.path(""), "fake", text.as_bytes());
    std::fs::set_permissions(&fake, PermissionsExt::from_mode(0o755)).unwrap();
    let from = nas.mark();
    nas.start();
    trouble(&nas, from, "the sky fell");
    nas.stop();

    // Where its home should be there is no drive.
    let home = nas.settings.home.clone();
    nas.settings.program = program.clone();
    nas.settings.home = nas.path("unplugged/BTsyncApp/syncthing");
    let from = nas.mark();
    nas.start();
    trouble(&nas, from, "is the drive plugged in?");
    assert!(!nas.path("unplugged").exists());
    nas.stop();
    nas.settings.home = home.with_file_name("x".repeat(100));
    let from = nas.mark();
    nas.start();
    trouble(&nas, from, "use a shorter folder");
    nas.stop();
    nas.settings.home = home;

    // One that outlived a killed engine is ended, and ours takes its place.
    let left = std::process::Command::new(&program)
        .args(["serve", "--no-browser", "--home"])
        .arg(&nas.settings.home)
        .env("STMONITORED", "yes")
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut left = Killed(left);
    until("the left-over runs", || UnixStream::connect(nas.settings.home.join("api.sock")).is_ok());
    let from = nas.mark();
    nas.start();
    nas.up(from);
    until("the left-over is gone", || left.0.try_wait().unwrap().is_some());

    // Stopped, it leaves nothing behind.
    let pid = nas.process();
    nas.stop();
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_folder_that_is_not_there_is_told_and_keeps_nobody_else() {
    let Some(program) = program() else { return };
    let mut nas = Party::with(&program, "nas", |s: &mut Settings| s.reconnect_s = 5);
    let stranger = PeerId::new("NOT-AN-ID-THAT-SYNCTHING-TAKES").unwrap();
    nas.share("good", Mode::SendReceive, &[]);
    let mut gone = nas.wanted.folders[&id("good")].clone();
    gone.path = nas.path("gone");
    nas.wanted.folders.insert(id("gone"), gone);
    nas.wanted.peers.insert(stranger, Default::default());
    let from = nas.mark();
    nas.handle().want(nas.wanted.clone());
    nas.hear_from(from, "trouble", |e| matches!(e, Event::Trouble { .. }));
    assert!(!nas.path("gone").exists());
    // Plugged in again, and the id put right.
    std::fs::create_dir(nas.path("gone")).unwrap();
    nas.wanted.peers.clear();
    nas.want();
    well(&nas, from);
    until("it is in use", || nas.path("gone/.stfolder").exists());
    // While it runs, its folder goes: nothing is deleted anywhere, and somebody is told.
    let from = nas.mark();
    rename(&nas.path("good"), &nas.path("elsewhere"));
    nas.changed("good", &[]);
    trouble(&nas, from, "good");
    rename(&nas.path("elsewhere"), &nas.path("good"));
    well(&nas, from);
}

#[allow(clippy::disallowed_methods, reason = "a test plays somebody who unplugs a drive")]
fn rename(from: &Path, to: &Path) {
    std::fs::rename(from, to).unwrap();
}
