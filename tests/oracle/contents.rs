//! No content loses its last name but by a destroy that was asked for and can't be undone any more, or as a version
//! whose time is over and which a page showed with that date. (Never 1.) What somebody took by his own hand was his.

use super::history::Pressed;
use super::snapshot::{Hash, Snapshot};
use super::{History, Kind, Ledger, Verdict, show};

/// Without a ledger an answer is taken for given.
pub(super) fn judge(
    drive: &Snapshot<'_>,
    ledger: Option<&Ledger>,
    history: &History,
    verdict: &mut Verdict,
) {
    let there = drive.sums();
    for (hash, places) in history.contents.iter().filter(|(hash, _)| !there.contains(*hash)) {
        if !may_be_gone(hash, ledger, history) {
            let places: Vec<_> = places.iter().take(3).map(|place| show(place)).collect();
            verdict.find(Kind::Lost, format!("what lay at {} has no name", places.join(", ")));
        }
    }
}

fn may_be_gone(hash: &Hash, ledger: Option<&Ledger>, history: &History) -> bool {
    let destroyed = |wish: &Pressed| {
        let done = ledger.is_none_or(|l| l.answer(&wish.origin, &wish.id) == Some("done"));
        done && history.now - wish.at >= history.undo
    };
    let mut wishes = history.doomed.get(hash).into_iter().flatten();
    history.by_hand.contains(hash)
        || history.shown.get(hash).is_some_and(|until| *until <= history.now)
        || wishes.any(|wish| destroyed(&history.wishes[*wish]))
}
