//! Files between a NAS and a phone: each way, each kind of change, and what a hostile phone plants.

use crate::lab::*;
use larder::transport::{Absence, Change, Event, Kind, Question};
use std::os::unix::fs::{MetadataExt, symlink};
use std::time::{Duration, Instant};

#[test]
fn files_go_come_change_and_leave() {
    let Some(program) = program() else { return };
    let (nas, phone) = pair(&program, "files");
    let (here, there) = (nas.path("files"), phone.path("files"));
    std::fs::create_dir(nas.path("masters")).unwrap();

    // A link made here is complete there at once, and proved.
    let megabyte = noise(1_000_000, 1);
    put(&nas.path("masters"), "a.jpg", &megabyte);
    let began = Instant::now();
    link(&nas.path("masters").join("a.jpg"), &here.join("a.jpg"));
    nas.changed("files", &["a.jpg"]);
    until("1 MB is there", || content(&there.join("a.jpg")) == megabyte);
    let took = began.elapsed();
    nas.hear_delivered(0, "files", &phone, &["a.jpg"]);
    println!("link to complete 1 MB: {took:?}; to proof: {:?}", began.elapsed());
    let from = nas.mark();
    assert!(nas.handle().ask(Question::Lacking { folder: id("files"), peer: phone.id.clone() }));
    match nas.hear_from(from, "lacking", |e| matches!(e, Event::Lacking { .. })) {
        Event::Lacking { paths, .. } => assert_eq!(paths, []),
        _ => unreachable!(),
    }

    // A folder with folders in it, told as one path.
    for name in ["d/1/x", "d/1/y", "d/2/ü \u{202e}z"] {
        put(&here, name, name.as_bytes());
    }
    nas.changed("files", &["d"]);
    until("the folder is there", || content(&there.join("d/2/ü \u{202e}z")).len() > 1);

    // What the phone makes comes here, and is told.
    let from = nas.mark();
    put(&there, "new.txt", b"from the phone");
    phone.changed("files", &["new.txt"]);
    nas.hear_from(from, "received", |e| {
        matches!(e, Event::Received(r) if r.path == path("new.txt")
            && r.change == Change::Put && r.kind == Kind::File && r.error.is_none())
    });
    nas.hear_from(from, "remote change", |e| {
        matches!(e, Event::RemoteChange(c) if c.path == path("new.txt")
            && c.by.as_deref() == Some(phone.id.short()))
    });
    assert_eq!(content(&here.join("new.txt")), b"from the phone");

    // An edit there breaks the link here: the master keeps the old content.
    let inode = here.join("a.jpg").metadata().unwrap().ino();
    let from = nas.mark();
    put(&there, "a.jpg", b"edited");
    phone.changed("files", &["a.jpg"]);
    nas.hear_from(from, "edit", |e| matches!(e, Event::Received(r) if r.path == path("a.jpg")));
    assert_eq!(content(&here.join("a.jpg")), b"edited");
    assert_ne!(here.join("a.jpg").metadata().unwrap().ino(), inode);
    assert_eq!(content(&nas.path("masters").join("a.jpg")), megabyte);

    // A rename there keeps the inode here, if both of its halves come together: on a busy machine one
    // may come alone, and then the content is copied.
    let mut old = "new.txt".to_owned();
    let kept = (1..=5).any(|n| {
        let new = format!("renamed{n}.txt");
        let inode = here.join(&old).metadata().unwrap().ino();
        let from = nas.mark();
        rename(&there.join(&old), &there.join(&new));
        phone.changed("files", &[&old, &new]);
        nas.hear_from(from, "rename", |e| {
            matches!(e, Event::RemoteChange(c) if c.path == path(&old) && c.change == Change::Deleted)
        });
        until("the new name", || content(&here.join(&new)) == b"from the phone");
        until("the old name is gone", || !here.join(&old).exists());
        old = new;
        here.join(&old).metadata().unwrap().ino() == inode
    });
    assert!(kept, "a rename is never more than a copy");

    // Deleted there: gone here, and confirmed as such. Deleted here: known as ours.
    let absence = |name: &str| {
        let from = nas.mark();
        let question = Question::Absence { folder: id("files"), path: path(name) };
        assert!(nas.handle().ask(question));
        match nas.hear_from(from, "absence", |e| matches!(e, Event::Absent { .. })) {
            Event::Absent { absence, .. } => absence,
            _ => unreachable!(),
        }
    };
    remove(&there.join(&old));
    phone.changed("files", &[&old]);
    until("deleted here", || !here.join(&old).exists());
    // Syncthing takes the name away first and knows it afterwards: until then its word is the old one, and no other.
    let deleted = Absence::Deleted(Some(phone.id.short().into()));
    until("confirmed", || match absence(&old) {
        Absence::StillThere => false,
        told => {
            assert_eq!(told, deleted);
            true
        }
    });
    assert_eq!(absence("a.jpg"), Absence::StillThere);
    // A name that is gone although nobody deleted it is no deletion.
    let (name, hidden) = (here.join("d/1/x"), nas.path("x"));
    rename(&name, &hidden);
    assert!(!matches!(absence("d/1/x"), Absence::Deleted(_)));
    rename(&hidden, &name);
    remove(&here.join("a.jpg"));
    nas.changed("files", &["a.jpg"]);
    until("deleted there", || !there.join("a.jpg").exists());
    assert_eq!(absence("a.jpg"), Absence::Here);

    // Our temporary names and the browsers' never leave, nor what any other program keeps for itself; and nothing else
    // stays behind.
    let stays = [
        ".larder-1",
        "page.crswap",
        "d/.larder-2",
        "d/.stfolder/x",
        "d/.stignore",
        "d/.stversions/x",
        ".stfolder.removed-20261123-100000/x",
        ".sync/x",
        "d/film.!sync",
        "lost+found/x",
        ".syncthing.notes.txt",
        "~syncthing~notes.txt",
        "d/.syncthing.film.tmp",
        ".~lock.letter.odt#",
        ".fuse_hidden0000000300000001",
        ".nfs000000000012345600000001",
    ];
    let goes = [".hidden", "d/a.part", "a.tmp", ".stfolders", ".nfs1", "larder-1"];
    for name in stays.iter().chain(&goes) {
        put(&here, name, b"secret");
        let mut names = std::path::Path::new(name).iter();
        let is_sent = names.all(|n| larder::model::dialect::is_sent(n.as_encoded_bytes()));
        assert_eq!(is_sent, goes.contains(name), "{name}");
    }
    put(&here, "last", b"last");
    nas.changed("files", &[]);
    until("the last is there", || there.join("last").exists());
    for name in goes {
        until(name, || there.join(name).exists());
    }
    for name in stays {
        assert!(!there.join(name).exists(), "{name}");
    }
}

#[test]
fn both_contents_of_a_conflict_are_kept() {
    let Some(program) = program() else { return };
    let (mut nas, phone) = pair(&program, "files");
    let (here, there) = (nas.path("files"), phone.path("files"));
    put(&here, "both.txt", b"first");
    nas.changed("files", &["both.txt"]);
    nas.hear_delivered(0, "files", &phone, &["both.txt"]);
    nas.stop();
    put(&here, "both.txt", b"at home");
    put(&there, "both.txt", b"on the way");
    phone.changed("files", &["both.txt"]);
    let from = nas.mark();
    nas.start();
    nas.up(from);
    let all = || {
        let mut found: Vec<Vec<u8>> = std::fs::read_dir(&here)
            .unwrap()
            .map(|e| e.unwrap())
            .filter(|e| e.file_name().to_string_lossy().starts_with("both"))
            .map(|e| content(&e.path()))
            .collect();
        found.sort();
        found
    };
    until("both contents", || all() == [&b"at home"[..], b"on the way"]);
}

#[test]
fn a_thousand_small_files_are_told_in_few_events() {
    let Some(program) = program() else { return };
    let (nas, phone) = pair(&program, "many");
    let (here, there) = (nas.path("many"), phone.path("many"));
    let names: Vec<String> = (0..1_000).map(|i| format!("{}/{i}.jpg", i % 10)).collect();
    for (i, name) in names.iter().enumerate() {
        put(&here, name, &noise(4_000, i as u64 + 1));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let from = nas.mark();
    let began = Instant::now();
    nas.changed("many", &names);
    nas.hear_delivered(from, "many", &phone, &names);
    let took = began.elapsed();
    for (i, name) in names.iter().enumerate() {
        assert_eq!(content(&there.join(name)), noise(4_000, i as u64 + 1), "{name}");
    }
    let heard = nas.heard(from).len();
    println!("1,000 files delivered and proved in {took:?}, in {heard} events");
    assert!(heard < 200, "{heard} events");
}

/// How a busy folder delays another one, and what 10,000 files cost us. Not part of every run:
/// `cargo test --release --test sync -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement of a minute or more"]
fn measure_ten_thousand_files_and_a_wish_beside_them() {
    let Some(program) = program() else { return };
    let (mut nas, mut phone) = pair(&program, "many");
    nas.share("page", larder::transport::Mode::SendReceive, &[&phone]);
    phone.share("page", larder::transport::Mode::SendReceive, &[&nas]);
    for i in 0..5 {
        let (name, bytes) = (format!("wish{i}"), noise(1_000_000, 1_000 + i));
        put(&nas.path("page"), &name, &bytes);
        let began = Instant::now();
        nas.changed("page", &[&name]);
        until("1 MB is there", || phone.path("page").join(&name).exists());
        let there = began.elapsed();
        nas.hear_delivered(0, "page", &phone, &[&name]);
        println!("1 MB, nothing else going on: {there:?}, to proof {:?}", began.elapsed());
    }
    let here = nas.path("many");
    let names: Vec<String> = (0..10_000).map(|i| format!("{i}.jpg")).collect();
    for (i, name) in names.iter().enumerate() {
        put(&here, name, &noise(4_000, i as u64 + 1));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let from = nas.mark();
    let (began, ours, theirs) = (Instant::now(), cpu("/proc/self/stat"), nas.cpu());
    nas.changed("many", &names);
    std::thread::sleep(Duration::from_secs(1));
    put(&nas.path("page"), "a.jpg", &noise(1_000_000, 99));
    let wish = Instant::now();
    nas.changed("page", &["a.jpg"]);
    nas.hear_delivered(from, "page", &phone, &["a.jpg"]);
    println!("1 MB in another folder meanwhile: {:?} to proof", wish.elapsed());
    nas.hear_delivered(from, "many", &phone, &names);
    let heard = nas.heard(from).len();
    println!(
        "10,000 files: {:?}, {heard} events; both houses' own time {:?}, the NAS's Syncthing {:?}",
        began.elapsed(),
        cpu("/proc/self/stat") - ours,
        nas.cpu() - theirs,
    );
}

#[test]
fn what_a_hostile_phone_plants_is_told_for_what_it_is() {
    let Some(program) = program() else { return };
    let (nas, phone) = pair(&program, "files");
    let (here, there) = (nas.path("files"), phone.path("files"));
    let precious = nas.path("precious");
    put(&nas.path(""), "precious", b"precious");
    symlink(&precious, there.join("link")).unwrap();
    symlink("/etc", there.join("dir")).unwrap();
    let long = "x".repeat(240);
    let odd = ["a\nb", "\x1b[31m", "gpj.\u{202e}exe", "<script>alert(1)<", long.as_str(), "-rf"];
    for name in odd {
        put(&there, name, b"odd");
    }
    put(&there, "set", b"id");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o6777);
    std::fs::set_permissions(there.join("set"), mode).unwrap();
    let from = nas.mark();
    phone.changed("files", &[]);
    for name in odd {
        nas.hear_from(
            from,
            "an odd name",
            |e| matches!(e, Event::Received(r) if r.path == path(name) && r.kind == Kind::File),
        );
        assert_eq!(content(&here.join(name)), b"odd", "{name:?}");
    }
    nas.hear_from(
        from,
        "a link",
        |e| matches!(e, Event::Received(r) if r.path == path("link") && r.kind == Kind::Other),
    );
    until("the file with bits", || content(&here.join("set")) == b"id");
    assert_eq!(here.join("set").metadata().unwrap().mode() & 0o6000, 0);
    // Writing through the link is refused: what is outside stays.
    let from = nas.mark();
    remove(&there.join("dir"));
    put(&there, "dir/passwd-larder", b"evil");
    remove(&there.join("link"));
    put(&there, "link", b"evil");
    phone.changed("files", &[]);
    nas.hear_from(from, "the file", |e| {
        // Not before the link in its way was replaced.
        matches!(e, Event::Received(r) if r.path == path("dir/passwd-larder") && r.error.is_none())
    });
    // Between the old name and the new one there is none.
    until("the link is a file", || here.join("link").symlink_metadata().is_ok_and(|m| m.is_file()));
    assert_eq!(content(&precious), b"precious");
    assert!(!std::path::Path::new("/etc/passwd-larder").exists());
    assert!(here.join("dir").symlink_metadata().unwrap().is_dir());
    // The phone can't change what is ignored here: that list is not synchronized.
    put(&there, ".stignore", b"*");
    phone.changed("files", &[]);
    put(&here, "after", b"after");
    nas.changed("files", &["after"]);
    nas.hear_from(
        from,
        "both looked",
        |e| matches!(e, Event::Completion { peer: Some(_), status, .. } if status.valid),
    );
    assert_ne!(content(&here.join(".stignore")), b"*");
}

#[test]
fn a_gigabyte_of_nothing_goes_quickly() {
    let Some(program) = program() else { return };
    let (nas, phone) = pair(&program, "big");
    let file = std::fs::File::create(nas.path("big").join("sparse")).unwrap();
    file.set_len(1_000_000_000).unwrap();
    drop(file);
    let began = Instant::now();
    nas.changed("big", &["sparse"]);
    let there = phone.path("big").join("sparse");
    until("1 GB is there", || there.metadata().is_ok_and(|m| m.len() == 1_000_000_000));
    println!("1 GB sparse: {:?}", began.elapsed());
    nas.hear_delivered(0, "big", &phone, &["sparse"]);
    assert!(there.metadata().unwrap().blocks() * 512 < 10_000_000, "still sparse");
}

#[allow(clippy::disallowed_methods, reason = "a test plays the engine, which links")]
fn link(from: &std::path::Path, to: &std::path::Path) {
    std::fs::hard_link(from, to).unwrap();
}

#[allow(clippy::disallowed_methods, reason = "a test plays a device, which renames its own files")]
fn rename(from: &std::path::Path, to: &std::path::Path) {
    std::fs::rename(from, to).unwrap();
}
