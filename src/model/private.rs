//! The names that sync engines, browsers and Larder itself use beside people's files: one list for all.

/// True for a name that is nobody's file: it is not taken in, counted or shown, and it does not keep a folder from
/// being removed.
pub fn is_private(name: &[u8]) -> bool {
    is_reserved(name) || is_passing(name)
}

/// True for a name that the sync engine or Larder keeps for itself. A family's file of such a name has no place in the
/// catalogue, which is told.
pub fn is_reserved(name: &[u8]) -> bool {
    matches!(name, b".stfolder" | b".stignore" | b".stversions" | b".sync")
        || name.starts_with(REMOVED_MARKER)
        || name.starts_with(b".larder-")
}

/// What Syncthing makes of its marker when a folder is taken out of it and the marker is not empty:
/// `.stfolder.removed-20261123-100000`.
const REMOVED_MARKER: &[u8] = b".stfolder.removed-";

/// True for what stands beside a file while it is written, and goes by itself.
fn is_passing(name: &[u8]) -> bool {
    name == b"lost+found"
        || between(name, b".syncthing.", b".tmp")
        || between(name, b"~syncthing~", b".tmp")
        || name.ends_with(b".crswap")
        || name.ends_with(b".!sync")
}

fn between(name: &[u8], start: &[u8], end: &[u8]) -> bool {
    name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_names_are_nobodys_files() {
        for name in [
            ".stfolder",
            ".stfolder.removed-20261123-100000",
            ".stignore",
            ".stversions",
            ".sync",
            ".larder-0123",
        ] {
            assert!(is_private(name.as_bytes()) && is_reserved(name.as_bytes()), "{name}");
        }
        for name in [
            ".syncthing.a.jpg.tmp",
            "~syncthing~a.tmp",
            "catalogue.html.crswap",
            "a.!sync",
            "lost+found",
        ] {
            assert!(is_private(name.as_bytes()) && !is_reserved(name.as_bytes()), "{name}");
        }
        for name in [
            "a.tmp",
            ".syncthing",
            ".syncthing.tmp",
            ".stfolders",
            ".stfolder.removed",
            "larder-1",
            "crswap",
            ".hidden",
            "",
        ] {
            assert!(!is_private(name.as_bytes()), "{name}");
        }
    }
}
