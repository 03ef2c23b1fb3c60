//! No name lies outside the layout, and nothing is left over in `tmp`.

use super::local::is_transient;
use super::snapshot::What;
use super::{Case, Kind, Verdict, show};

pub(super) fn judge(case: &Case<'_>, verdict: &mut Verdict) {
    let Case { drive, ledger, history, devices } = case;
    let known = |name: &[u8]| {
        std::str::from_utf8(name)
            .is_ok_and(|name| devices.contains_key(name) || ledger.holders.contains_key(name))
    };
    let fits = |path: &[u8], what: What| -> bool {
        let names: Vec<&[u8]> = path.split(|&b| b == b'/').collect();
        let folder = what == What::Folder;
        match names[..] {
            [b"BTsync" | b"BTsyncApp"] => folder,
            [b"BTsync", b"catalogue" | b"devices" | b"files" | b"shared" | b"fleet" | b"inbox"] => {
                folder
            }
            [b"BTsync", b"devices", name] => folder && known(name),
            [b"BTsync", b"catalogue", b"catalogue.html"] => !folder,
            [b"BTsync", b"catalogue", name] => folder && known(name),
            [b"BTsync", b"catalogue", _, b"catalogue.html"] => !folder,
            [b"BTsync", b"catalogue", ..] => false,
            [b"BTsyncApp", b"versions" | b"tmp" | b"syncthing" | b"torrents" | b"fleet"] => folder,
            [b"BTsyncApp", name] => !folder && name.starts_with(b"ledger."),
            [b"BTsyncApp", b"versions", name] => {
                folder && (name == b"joined" || name.iter().all(u8::is_ascii_digit))
            }
            [b"BTsync", b"devices" | b"files" | b"shared" | b"fleet" | b"inbox", ..] => true,
            [b"BTsyncApp", b"versions" | b"tmp" | b"syncthing" | b"torrents" | b"fleet", ..] => {
                true
            }
            _ => false,
        }
    };
    for (path, what) in &drive.names {
        let theirs = history.theirs.iter().any(|at| super::rest(path, at).is_some());
        let transient = path.split(|&b| b == b'/').any(is_transient);
        if !fits(path, *what) && !theirs && !transient {
            verdict.find(Kind::Outside, format!("{} lies outside the layout", show(path)));
        }
    }
    for (path, what) in drive.below(b"BTsyncApp/tmp") {
        if what != What::Folder {
            let what = format!("BTsyncApp/tmp/{} is left over", show(path));
            verdict.find(Kind::LeftOver, what);
        }
    }
}
