use super::*;
use crate::worklist::{Kind, file_kind};

/// What a name is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    /// A program keeps it for itself: told where it is a family's.
    Reserved,
    /// It stands beside a file while that is written.
    Temporary,
    /// A file that no sync engine takes anywhere.
    Local,
    /// A file.
    File,
}

/// Names as the programs write them, and what they are.
const NAMES: &[(&str, Class)] = &[
    (".stfolder", Class::Reserved),
    (".stfolder.removed-20261123-100000", Class::Reserved),
    (".stignore", Class::Reserved),
    (".stversions", Class::Reserved),
    (".sync", Class::Reserved),
    (".larder-0123", Class::Reserved),
    // Syncthing goes by the beginning alone (its `fs.IsTemporary`).
    (".syncthing.", Class::Reserved),
    (".syncthing.tmp", Class::Reserved),
    (".syncthing.notes.txt", Class::Reserved),
    ("~syncthing~notes.txt", Class::Reserved),
    (".syncthing.a.jpg.tmp", Class::Temporary),
    ("~syncthing~a.tmp", Class::Temporary),
    ("catalogue.html.crswap", Class::Temporary),
    ("a.!sync", Class::Temporary),
    ("lost+found", Class::Temporary),
    (".~lock.letter.odt#", Class::Local),
    (".fuse_hidden0000000300000001", Class::Local),
    (".nfs000000000012345600000001", Class::Local),
    (".nfs00000000001234", Class::File),
    (".~lock.letter.odt", Class::File),
    ("a.tmp", Class::File),
    (".syncthing", Class::File),
    ("syncthing.a.tmp", Class::File),
    (".stfolders", Class::File),
    (".stfolder.removed", Class::File),
    (".stignore.txt", Class::File),
    (".sync-me", Class::File),
    ("larder-1", Class::File),
    ("crswap", Class::File),
    (".hidden", Class::File),
    ("x.sync-conflict-20261123-100000-ABCDEFG.jpg", Class::File),
    ("a.part", Class::File),
    ("", Class::File),
];

#[test]
fn every_name_has_one_meaning() {
    for (name, class) in NAMES {
        let bytes = name.as_bytes();
        let found = (is_private(bytes), is_reserved(bytes), is_sent(bytes));
        let right = match class {
            Class::Reserved => (true, true, false),
            Class::Temporary => (true, false, false),
            Class::Local => (false, false, false),
            Class::File => (false, false, true),
        };
        assert_eq!(found, right, "{name}");
    }
}

/// True for a name that a pattern of a shell with `*` and `?` matches.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=name.len()).any(|at| matches(rest, &name[at..])),
        (Some((b'?', rest)), Some((_, name))) => matches(rest, name),
        (Some((b, rest)), Some((c, name))) => b == c && matches(rest, name),
        _ => false,
    }
}

#[test]
fn what_is_not_taken_in_is_not_sent_either() {
    let globs: Vec<String> = unsent().map(|(shape, _)| shape.glob()).collect();
    for (name, class) in NAMES {
        let stays = globs.iter().any(|glob| matches(glob.as_bytes(), name.as_bytes()));
        assert_eq!(stays, *class != Class::File, "{name}");
    }
}

#[test]
fn what_may_hold_contents_does_not_go_with_its_folder() {
    let stays: Vec<String> =
        unsent().filter(|(_, goes)| !goes).map(|(shape, _)| shape.glob()).collect();
    assert_eq!(stays, [".stversions", ".sync", "lost+found"]);
}

#[test]
fn a_conflict_copy_is_of_the_file_whose_name_it_has() {
    for (name, of) in [
        ("x.sync-conflict-20261123-100000-ABCDEFG.txt", Some("x.txt")),
        ("x.sync-conflict-20261123-100000-ABCDEF7", Some("x")),
        ("x.tar.sync-conflict-20261123-100000-ABCDEFG.gz", Some("x.tar.gz")),
        (".sync-conflict-20261123-100000-ABCDEFG.hidden", Some(".hidden")),
        // The last mark is the newest.
        (
            "x.sync-conflict-20261123-100000-ABCDEFG.sync-conflict-20261124-100000-HIJKLMN.txt",
            Some("x.sync-conflict-20261123-100000-ABCDEFG.txt"),
        ),
        ("x.sync-conflict-20261123-100000-abcdefg.txt", None),
        ("x.sync-conflict-20261123-100000-ABCDEF1.txt", None),
        ("x.sync-conflict-2026-11-23-at-the-lake.txt", None),
        ("x.sync-conflict-20261123-100000-ABCDEFGH.txt", None),
        ("x.sync-conflict-20261123-100000-ABCDEFG.tar.gz", None),
        ("x.sync-conflict-20261123-100000-ABCDEF", None),
        ("x.sync-conflict-.txt", None),
        ("x.txt", None),
    ] {
        let found = conflict_of(name.as_bytes());
        assert_eq!(found.as_deref(), of.map(str::as_bytes), "{name}");
    }
}

#[test]
fn a_page_is_read_when_no_dialect_says_that_it_is_being_written() {
    for (name, kind) in [
        ("catalogue.html", Some(Kind::Page)),
        ("catalogue.html.crswap", None),
        ("catalogue.html.!sync", None),
        ("catalogue-worklist-HTCphone-1.json.!sync", None),
        ("Catalogue.html.CRDOWNLOAD", None),
        ("catalogue.sync-conflict-20261123-100000-ABCDEFG.html", Some(Kind::ConflictCopy)),
        // Nobody's copy of a conflict: what is in it has to prove itself.
        ("catalogue.sync-conflict-7.html", Some(Kind::Beside)),
        ("catalogue.sync-conflict-2026-11-23.html", Some(Kind::Beside)),
    ] {
        assert_eq!(file_kind(name.as_bytes()), kind, "{name}");
    }
}

#[test]
fn no_device_has_the_name_of_something_private() {
    assert!(crate::config::device_name("phone.crswap").is_err());
    assert!(crate::config::device_name("phone.tmp").is_ok());
}

// The example of Syncthing's own documentation and protocol tests.
const ID: &str = "P56IOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ2";

#[test]
fn an_id_is_read_the_same_wherever_it_is_typed() {
    let bare = "P56IOI7MZJNU2IQGDREYDM2MGTMGL3BXNPQ6W5BTBBZ4TJXZWICQ";
    let typed = ID.to_lowercase().replace('-', " ").replace('o', "0").replace('b', "8");
    for text in [ID, bare, &typed, &format!(" {ID}\n")] {
        assert_eq!(SYNCTHING.read_id(text).as_deref(), Ok(ID), "{text}");
        assert_eq!(crate::config::device_id(text).as_deref(), Ok(ID), "{text}");
    }
    let wrong = ID.replacen("IQGDREY", "IQGDRXY", 1);
    assert_eq!(SYNCTHING.read_id(&wrong), Err(IdError::Mistyped(3)));
    for text in ["", "PHONE", "two words", &ID[1..], &"é".repeat(28)] {
        assert_eq!(SYNCTHING.read_id(text), Err(IdError::Form), "{text}");
    }
    assert_eq!(RESILIO.read_id(ID), Err(IdError::Form));
}
