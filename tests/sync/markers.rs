//! The marker of a folder: gone, told, and made again by Syncthing itself after a reset.

use crate::lab::*;
use larder::transport::{Event, Question};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Takes the marker away, as somebody does who tidies up.
#[allow(clippy::disallowed_methods, reason = "a test plays somebody at home")]
fn unmark(party: &Party) {
    std::fs::remove_dir_all(marker(party)).unwrap();
}

fn marker(party: &Party) -> PathBuf {
    party.path("files").join(".stfolder")
}

fn hear_unmarked(party: &Party, from: usize, gone: bool) {
    let told = if gone { vec![id("files")] } else { vec![] };
    party.hear_from(
        from,
        "which folders have no marker",
        |e| matches!(e, Event::Unmarked(all) if all.iter().eq(&told)),
    );
}

fn all_there(folder: &Path) -> bool {
    (0..3).all(|n| content(&folder.join(format!("{n}"))) == format!("file {n}").as_bytes())
}

/// Two parties with three files.
fn three_files(program: &Path) -> (Party, Party) {
    let (nas, phone) = pair(program, "files");
    for n in 0..3 {
        put(&nas.path("files"), &format!("{n}"), format!("file {n}").as_bytes());
    }
    nas.changed("files", &["0", "1", "2"]);
    nas.hear_delivered(0, "files", &phone, &["0", "1", "2"]);
    (nas, phone)
}

#[test]
fn a_marker_that_went_is_told_and_a_reset_brings_it_back_and_loses_nothing() {
    let Some(program) = program() else { return };
    let (nas, phone) = three_files(&program);
    let from = nas.mark();
    unmark(&nas);
    nas.changed("files", &[]);
    hear_unmarked(&nas, from, true);
    assert!(nas.handle().ask(Question::Reset { folder: id("files") }));
    hear_unmarked(&nas, from, false);
    assert!(marker(&nas).is_dir());
    // It carries again, both ways.
    put(&nas.path("files"), "down", b"down");
    nas.changed("files", &["down"]);
    until("the new file is on the phone", || content(&phone.path("files").join("down")) == b"down");
    put(&phone.path("files"), "up", b"up");
    phone.changed("files", &["up"]);
    until("the phone's is at home", || content(&nas.path("files").join("up")) == b"up");
    for party in [&nas, &phone] {
        assert!(all_there(&party.path("files")));
        let names = std::fs::read_dir(party.path("files")).unwrap();
        let names: Vec<_> = names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        let odd = |name: &&String| name.contains("conflict") || name.contains("removed");
        assert_eq!(names.iter().find(odd), None, "{names:?}");
    }
    // What is a matter of markers is told by whoever knows what should be there, and in no id's words.
    let trouble = |e: &Event| matches!(e, Event::Trouble { what, .. } if what.contains("marker"));
    assert!(!nas.heard(from).iter().any(trouble));
}

#[test]
fn in_an_emptied_folder_nothing_is_marked_by_itself_and_a_reset_deletes_nothing() {
    let Some(program) = program() else { return };
    let (nas, phone) = three_files(&program);
    let from = nas.mark();
    unmark(&nas);
    for n in 0..3 {
        remove(&nas.path("files").join(format!("{n}")));
    }
    nas.changed("files", &[]);
    hear_unmarked(&nas, from, true);
    // Not by a new start either, which puts all settings again.
    let mut nas = nas;
    nas.stop();
    let from = nas.mark();
    nas.start();
    nas.up(from);
    nas.in_force();
    hear_unmarked(&nas, from, true);
    std::thread::sleep(Duration::from_secs(3));
    assert!(!marker(&nas).exists());
    assert!(all_there(&phone.path("files")));
    // Whoever resets an emptied folder all the same gets everything back from the phone.
    assert!(nas.handle().ask(Question::Reset { folder: id("files") }));
    until("everything is back", || all_there(&nas.path("files")));
    assert!(all_there(&phone.path("files")));
}
