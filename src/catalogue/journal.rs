//! The log behind the base: what changed since the base was made, folder by folder.
//!
//! One chunk for each update, entries back to back. An entry speaks of one folder, relative to the
//! base, and replaces what earlier entries said of it:
//! `0 path`: the folder and all below are gone. `1 path`, the folder's sums (files, bytes, newest;
//! for each device files there, on their way), how many of the base's files in it are gone and
//! where they stood (differences), how many are new or changed, and these: name, size, mtime,
//! states. A changed file is one that is gone and one that is new.

use super::pack::{put_bytes, put_int, put_uint};
use super::walk::{Folder, Row, Sums};

/// Appends that a folder is gone, with all below it.
pub(super) fn put_gone(out: &mut Vec<u8>, path: &[u8]) {
    out.push(0);
    put_bytes(out, path);
}

/// Appends how a folder stands now. `base` are the files that the base has in it, in order.
pub(super) fn put_folder<'b>(
    out: &mut Vec<u8>,
    folder: &Folder<'_>,
    sums: &Sums,
    base: impl Iterator<Item = Row<'b>>,
) {
    out.push(1);
    put_bytes(out, folder.path);
    put_uint(out, sums.files);
    put_uint(out, sums.bytes);
    put_int(out, sums.newest);
    for (here, moving) in &sums.devices {
        put_uint(out, *here);
        put_uint(out, *moving);
    }
    let (mut gone, mut new) = (Vec::new(), Vec::new());
    let (mut gone_count, mut new_count, mut last_gone) = (0, 0, 0);
    let mut lose = |at: usize| {
        put_uint(&mut gone, (at - last_gone) as u64);
        last_gone = at;
        gone_count += 1;
    };
    let mut gain = |row: &Row<'_>| {
        put_bytes(&mut new, row.name);
        put_uint(&mut new, row.size);
        put_int(&mut new, row.mtime);
        new.extend_from_slice(row.states);
        new_count += 1;
    };
    // Both sides are in byte order of the names.
    let mut now = folder.rows().peekable();
    for (at, was) in base.enumerate() {
        while let Some(row) = now.next_if(|row| row.name < was.name) {
            gain(&row);
        }
        match now.next_if(|row| row.name == was.name) {
            Some(row) if row == was => {}
            Some(row) => {
                lose(at);
                gain(&row);
            }
            None => lose(at),
        }
    }
    now.for_each(|row| gain(&row));
    put_uint(out, gone_count);
    out.extend_from_slice(&gone);
    put_uint(out, new_count);
    out.extend_from_slice(&new);
}
