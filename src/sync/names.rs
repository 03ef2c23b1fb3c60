//! Names that a sync engine writes beside people's files. Pure.

/// True for names that are nobody's file: the sync engine's own, and what browsers and we write
/// beside a file before it is renamed over. They are not adopted, counted or shown.
pub fn is_passing(name: &[u8]) -> bool {
    let within = |start: &[u8], end: &[u8]| {
        name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
    };
    matches!(name, b".stfolder" | b".stignore" | b".stversions")
        || within(b".stfolder.removed-", b"")
        || within(b".syncthing.", b".tmp")
        || within(b"~syncthing~", b".tmp")
        || within(b".larder-", b"")
        || within(b"", b".crswap")
}

/// The copy that Syncthing makes of the content that lost a conflict:
/// `name.sync-conflict-20261123-100000-ABCDEFG.ext`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConflictName {
    /// The name that was fought for: `name.ext`.
    pub of: Vec<u8>,
    /// Short id of the winner, whose content kept the name (measured).
    pub by: String,
    /// Local time of the machine that saw the conflict, `20261123-100000`.
    pub at: String,
}

/// Reads the name of a conflict copy; `None` for any other name. A copy of a copy names the copy.
pub fn conflict(name: &[u8]) -> Option<ConflictName> {
    const MARK: &[u8] = b".sync-conflict-";
    let start = name.windows(MARK.len()).rposition(|w| w == MARK)?;
    let rest = &name[start + MARK.len()..];
    // 8 digits, a dash, 6 digits, a dash, 7 of the id's letters; then the end or the extension.
    let (stamp, rest) = rest.split_at_checked(23)?;
    let fits = stamp.iter().enumerate().all(|(i, &b)| match i {
        8 | 15 => b == b'-',
        0..=14 => b.is_ascii_digit(),
        _ => b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b),
    });
    if !fits || !(rest.is_empty() || rest[0] == b'.') || start == 0 && rest.is_empty() {
        return None;
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(ConflictName {
        of: [&name[..start], rest].concat(),
        by: text(&stamp[16..]),
        at: text(&stamp[..15]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passing_names_are_nobodys_files() {
        for name in [
            ".stfolder",
            ".stignore",
            ".syncthing.a.jpg.tmp",
            "~syncthing~a.tmp",
            ".larder-0123",
            "catalogue.html.crswap",
        ] {
            assert!(is_passing(name.as_bytes()), "{name}");
        }
        for name in ["a.tmp", ".syncthing", ".stfolders", "larder-1", "crswap", ".hidden", ""] {
            assert!(!is_passing(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn conflict_copies_name_what_was_fought_for() {
        let read = |name: &str| conflict(name.as_bytes());
        let copy = read("a b.sync-conflict-20261123-100000-ABCDEF7.jpg").unwrap();
        assert_eq!(copy.of, b"a b.jpg");
        assert_eq!((copy.by.as_str(), copy.at.as_str()), ("ABCDEF7", "20261123-100000"));
        assert_eq!(read("x.sync-conflict-20261123-100000-ABCDEFG").unwrap().of, b"x");
        let twice = "x.sync-conflict-20261123-100000-ABCDEFG.sync-conflict-20261124-100000-ABCDEFG";
        assert_eq!(read(twice).unwrap().of, b"x.sync-conflict-20261123-100000-ABCDEFG");
        for name in [
            "a.jpg",
            "a.sync-conflict-.jpg",
            "a.sync-conflict-20261123-100000-abcdefg.jpg",
            "a.sync-conflict-20261123-100000-ABCDEFGH.jpg",
            ".sync-conflict-20261123-100000-ABCDEFG",
        ] {
            assert_eq!(read(name), None, "{name}");
        }
    }
}
