//! What lies on the drive and is not taken in is told: how many of each kind, the first, and why.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "what fails here fails the test"
)]

#[path = "support/drive.rs"]
mod drive;
#[path = "house/page.rs"]
#[allow(dead_code, reason = "each program of tests uses its part of it")]
mod page;

use drive::{House, SETTINGS};

/// What `larder status` says.
fn status(house: &House) -> String {
    let out = house.larder(&["status"]).output().expect("larder starts");
    assert!(out.status.success(), "{}", drive::text(&out));
    drive::text(&out)
}

fn told_on_the_page(house: &House) -> String {
    let page = std::fs::read(house.drive.join("BTsync/catalogue/catalogue.html"));
    let page = page::read(&page.expect("the common page")).expect("a whole page");
    page.house["notices"].to_string()
}

#[test]
fn what_is_not_taken_in_is_told_with_number_first_path_and_why() {
    let house = House::new(SETTINGS);
    house.save(&house.home(b"doc"), b"doc");
    house.run();
    assert!(!status(&house).contains("not taken in"), "{}", status(&house));

    let files = house.home(b"");
    std::os::unix::fs::symlink("/etc", files.join("b-link")).expect("a link");
    std::os::unix::fs::symlink("doc", files.join("a-link")).expect("a link");
    let socket = std::os::unix::net::UnixListener::bind(files.join("socket")).expect("a socket");
    drop(socket);
    let pipe = std::process::Command::new("mkfifo").arg(files.join("pipe")).status();
    assert!(pipe.expect("mkfifo is there").success());
    let deepest = vec!["d"; 64].join("/");
    std::fs::create_dir_all(files.join(&deepest).join("e")).expect("deep folders");
    std::fs::write(files.join(&deepest).join("file"), b"x").expect("a deep file");
    std::fs::write(files.join(".larder-notes"), b"mine").expect("a file");
    std::fs::create_dir(files.join(".stfolder.removed-20261123-100000")).expect("a folder");
    house.run();

    let deepest = format!("BTsync/files/{deepest}/e");
    for words in [
        "2 symbolic links (the first is BTsync/files/a-link)",
        "2 pipes, sockets or devices (the first is BTsync/files/pipe)",
        &format!("2 names more than 64 folders deep (the first is {deepest})"),
        "2 names that Larder or the sync engine keep for themselves (the first is BTsync/files/.larder-notes)",
    ] {
        assert!(status(&house).contains(words), "{words}: {}", status(&house));
        assert!(told_on_the_page(&house).contains(words), "{words} on the page");
    }
    let listed = house.larder(&["list"]).output().expect("larder starts");
    for name in ["link", "socket", "pipe", ".larder-notes", ".stfolder"] {
        assert!(!drive::text(&listed).contains(name), "{name} is in the list");
    }

    // Nothing of it was touched, and when it goes it is not told any more.
    assert_eq!(std::fs::read(files.join(".larder-notes")).expect("still there"), b"mine");
    for name in ["a-link", "b-link", "socket", "pipe", ".larder-notes"] {
        std::fs::remove_file(files.join(name)).expect("it was there");
    }
    std::fs::remove_dir_all(files.join("d")).expect("it was there");
    house.run();
    let last = "1 name that Larder or the sync engine keeps for itself \
                (BTsync/files/.stfolder.removed-20261123-100000)";
    assert!(status(&house).contains(&format!("not taken in: {last}")), "{}", status(&house));
}
