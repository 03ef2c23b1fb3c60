//! What is shared stands on the drive as it was shared, and nothing that was not shared has a name there.

use super::ledger::ShareRow;
use super::snapshot::{Facts, Snapshot};
use super::{Case, History, Kind, Verdict, below, rest, show};

/// What a folder has whose content was destroyed.
const NOTE: &[u8] = b"This folder was destroyed.txt";

pub(super) fn judge(case: &Case<'_>, verdict: &mut Verdict) {
    let Case { drive, ledger, history, .. } = case;
    let shared = drive.files(b"BTsync/shared");
    for (path, link) in &ledger.share_links {
        let share = share_of(case, path);
        // What was kept of one when it was revoked may be thrown away by hand.
        let may_miss = share.is_some_and(|(_, share)| share.is_revoked());
        match shared.get(&path[..]) {
            Some(file) if file.ino == link.ino => {}
            None if may_miss => {}
            _ => {
                let what = format!("BTsync/shared/{} is not as it was shared", show(path));
                verdict.find(Kind::ShareMissing, what);
            }
        }
    }
    for (path, file) in &shared {
        let at = || format!("BTsync/shared/{}", show(path));
        let Some((name, share)) = share_of(case, path) else {
            if !history.theirs.iter().any(|t| rest(&below(b"BTsync/shared", path), t).is_some()) {
                verdict.find(Kind::ShareForeign, format!("{} is in no share", at()));
            }
            continue;
        };
        let inside = rest(path, name.as_bytes()).unwrap_or_default();
        if share.joined && share.destroyed && !share.is_revoked() {
            if inside != NOTE {
                let what = format!("{} was destroyed and is there", at());
                verdict.find(Kind::ShareForeign, what);
            }
            continue;
        }
        let recorded = ledger.share_links.get(*path).is_some_and(|link| link.ino == file.ino);
        // Those of a folder that others joined are held against its book.
        if !recorded && !share.joined && !is_master(drive, share, file) {
            verdict.find(Kind::ShareForeign, format!("{} was not shared", at()));
        }
        if !share.is_revoked() && !was_within(drive, history, name, share, path) {
            let what = format!("{} has a content that was not shared", at());
            verdict.find(Kind::ShareForeign, what);
        }
    }
}

fn share_of<'c>(case: &Case<'c>, path: &[u8]) -> Option<(&'c String, &'c ShareRow)> {
    let name = path.split(|&b| b == b'/').next()?;
    case.ledger.shares.iter().find(|(n, _)| n.as_bytes() == name)
}

/// True when a file is a master of what is shared.
fn is_master(drive: &Snapshot<'_>, share: &ShareRow, file: &Facts) -> bool {
    let home = below(b"BTsync/files", &share.path);
    drive.file(&home).is_some_and(|master| master.is(file))
        || drive.files(&home).values().any(|master| master.is(file))
}

/// True unless the content is known, and was never where the share is of.
fn was_within(
    drive: &Snapshot<'_>,
    history: &History,
    name: &str,
    share: &ShareRow,
    path: &[u8],
) -> bool {
    let home = below(b"BTsync/files", &share.path);
    let theirs = below(b"BTsync/shared", name.as_bytes());
    let sum = drive.sum(&below(b"BTsync/shared", path));
    let places = sum.and_then(|sum| history.contents.get(&sum));
    places.is_none_or(|places| {
        places.iter().any(|at| {
            let taken_in = share.joined && rest(at, &theirs).is_some();
            rest(at, &home).is_some() || taken_in
        })
    })
}
