//! Names that are nobody's file: of a sync engine, of unfinished business, of one computer only.

/// True for what lies in a folder for a sync engine or for a program that has not finished.
pub(crate) fn is_transient(name: &[u8]) -> bool {
    matches!(name, b".stfolder" | b".stignore" | b".stversions" | b".sync" | b"lost+found")
        || name.starts_with(b".stfolder.removed-")
        // Syncthing passes over whatever begins so.
        || name.starts_with(b".syncthing.")
        || name.starts_with(b"~syncthing~")
        || name.starts_with(b".larder-")
        || name.ends_with(b".crswap")
        || name.ends_with(b".!sync")
}

/// True for what belongs to one computer only: a master of such a name is listed and need not be linked.
pub(crate) fn is_of_one_computer(name: &[u8]) -> bool {
    let between = |a: &[u8], z: &[u8]| name.starts_with(a) && name.ends_with(z);
    matches!(name, b".DS_Store" | b"Thumbs.db" | b"desktop.ini")
        || name.starts_with(b"._")
        || name.starts_with(b"~$")
        || between(b".~lock.", b"#")
        || name.ends_with(b".part")
        || name.ends_with(b".crdownload")
}
