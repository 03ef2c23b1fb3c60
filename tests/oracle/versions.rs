//! Old contents: each that is recorded has its file, each file is recorded, and the common page tells its dates.

use super::{Case, Kind, Verdict, below, page, show};

/// A clock may be ahead so far, in seconds.
const AHEAD: i64 = 86_400;
/// A page lists so many of them, and counts the rest.
const LISTED: usize = 1_000;

pub(super) fn judge(case: &Case<'_>, verdict: &mut Verdict) {
    let Case { drive, ledger, history, .. } = case;
    for row in ledger.versions.values() {
        let number = row.number.to_string();
        let at = below(&below(b"BTsyncApp/versions", number.as_bytes()), &row.path);
        match drive.file(&at) {
            None => {
                let what = format!("{} is recorded and missing", show(&at));
                verdict.find(Kind::VersionMissing, what);
            }
            Some(file) if (file.ino, file.size) != (row.ino, row.size) => {
                let what = format!("{} is not the file that was recorded", show(&at));
                verdict.find(Kind::VersionMissing, what);
            }
            Some(_) => {}
        }
        let at = row.at.div_euclid(1_000_000_000);
        if at <= 0 || at > history.now + AHEAD {
            let what = format!("version {} of {} is of no time", row.number, show(&row.path));
            verdict.find(Kind::VersionDate, what);
        }
    }
    for path in drive.files(b"BTsyncApp/versions").into_keys() {
        let mut parts = path.splitn(2, |&b| b == b'/');
        let number = parts.next().and_then(|n| std::str::from_utf8(n).ok()?.parse().ok());
        let row = number.and_then(|number: u64| ledger.versions.get(&number));
        let joined = super::rest(path, b"joined").is_some();
        if !joined && row.is_none_or(|row| Some(&row.path[..]) != parts.next()) {
            let what = format!("BTsyncApp/versions/{} is not recorded", show(path));
            verdict.find(Kind::VersionStray, what);
        }
    }
    let common = drive.bytes(b"BTsync/catalogue/catalogue.html");
    if let Some(Ok(page)) = common.filter(|_| history.pages).map(|bytes| page::read(&bytes)) {
        dates(case, &page, verdict);
    }
}

fn dates(case: &Case<'_>, page: &page::Page, verdict: &mut Verdict) {
    let rows = &case.ledger.versions;
    for old in &page.versions {
        let tells = rows.get(&old.number).is_some_and(|row| {
            (&row.path, row.size, row.at.div_euclid(1_000_000_000)) == (&old.path, old.size, old.at)
        });
        // Until when is told to the hour.
        if !tells || old.until < old.at - 3_600 {
            let what =
                format!("the page tells version {} of {} wrongly", old.number, show(&old.path));
            verdict.find(Kind::VersionDate, what);
        }
    }
    let all = page.versions.len() == rows.len();
    let most = page.more && page.versions.len() >= LISTED.min(rows.len());
    if !all && !most {
        let what = format!("the page lists {} of {} versions", page.versions.len(), rows.len());
        verdict.find(Kind::VersionDate, what);
    }
}
