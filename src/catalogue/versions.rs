//! Which old versions a page lists: the newest of each file first, then the second of each, and so on, so that no
//! file that is saved every minute leaves none for the others. What was destroyed comes before what is there,
//! because only its versions are left of it. Of the rest the page says how many there are and until when.

use super::{VersionView, View};
use crate::model::{RelPath, Time};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The most old versions that a page lists.
const MOST: usize = 1_000;
/// Until when something is kept is told to the hour, in seconds: a page that differs by one is no news.
const HOUR: i64 = 3_600;

/// What a page says of old versions.
pub(super) struct Listed {
    /// Those that it lists, the newest first.
    pub(super) versions: Vec<Value>,
    /// Of files of which some are listed: path, how many more there are, until when the last of them is kept.
    pub(super) more: Vec<Value>,
    /// Of how many files none is listed.
    pub(super) unlisted: usize,
}

/// Chooses what to list.
pub(super) fn list(view: &View<'_>) -> Listed {
    list_most(view, MOST)
}

fn list_most(view: &View<'_>, most: usize) -> Listed {
    let mut newest: Vec<&VersionView> = view.versions.iter().collect();
    newest.sort_by_key(|v| std::cmp::Reverse((v.at, v.id)));
    let mut so_far: BTreeMap<&RelPath, usize> = BTreeMap::new();
    let mut ranked: Vec<_> = newest
        .into_iter()
        .map(|v| {
            let rank = so_far.entry(&v.path).or_default();
            *rank += 1;
            (*rank, view.files.get(&v.path).is_some(), v)
        })
        .collect();
    // What is of one rank and kind stays in its order.
    ranked.sort_by_key(|(rank, is_there, _)| (*rank, *is_there));
    let rest = ranked.split_off(ranked.len().min(most));
    let mut more: BTreeMap<&RelPath, (u64, Time)> = BTreeMap::new();
    for (_, _, v) in rest {
        let (count, until) = more.entry(&v.path).or_insert((0, v.until));
        *count += 1;
        *until = v.until.max(*until);
    }
    let all = more.len();
    let listed: BTreeSet<&RelPath> = ranked.iter().map(|(_, _, v)| &v.path).collect();
    more.retain(|path, _| listed.contains(path));
    let unlisted = all - more.len();
    ranked.sort_by_key(|(_, _, v)| std::cmp::Reverse((v.at, v.id)));
    let told = |(_, is_there, v): (usize, bool, &VersionView)| {
        json!({"id": v.id, "path": v.path.to_percent(), "at": v.at.secs(), "size": v.size,
            "why": v.why, "until": hour(v.until), "gone": !is_there})
    };
    let more = more.into_iter();
    let more = more.map(|(path, (n, until))| json!([path.to_percent(), n, hour(until)]));
    Listed { more: more.collect(), versions: ranked.into_iter().map(told).collect(), unlisted }
}

fn hour(at: Time) -> i64 {
    at.secs().div_euclid(HOUR) * HOUR
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Twins;
    use crate::model::{Bytes, Stat, Tree};

    fn path(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).unwrap()
    }

    /// What is listed of these (paths, the oldest first) when there is room for so many: numbers, what is said of
    /// the rest, of how many files there is none.
    fn listed(paths: &[&str], there: &[&str], most: usize) -> (Vec<u64>, Vec<Value>, usize) {
        let mut files = Tree::new();
        for at in there {
            files.insert(&path(at), Stat::default());
        }
        let version = |(n, at): (usize, &&str)| VersionView {
            id: n as u64,
            path: path(at),
            at: Time::from_secs(n as i64),
            size: Bytes(1),
            why: "changed".into(),
            until: Time::from_secs(HOUR * n as i64 + 59),
        };
        let versions: Vec<_> = paths.iter().enumerate().map(version).collect();
        let view = View {
            nas_name: "NAS",
            files: &files,
            devices: &[],
            report: &crate::status::Report::default(),
            versions: &versions,
            shares: &[],
            asking: &[],
            held: &[],
            mass_changes: &[],
            twins: &Twins::default(),
            undo: 0,
            now: Time(0),
        };
        let listed = list_most(&view, most);
        let ids = listed.versions.iter().map(|v| v["id"].as_u64().unwrap()).collect();
        (ids, listed.more, listed.unlisted)
    }

    #[test]
    fn each_file_has_its_newest_listed_before_any_has_all() {
        let paths = ["b", "gone", "a", "a", "a", "a", "a", "b", "c"];
        let there = ["a", "b", "c"];
        let all: Vec<u64> = (0..9).rev().collect();
        assert_eq!(listed(&paths, &there, 9), (all, vec![], 0));
        let a = |n: u64, until: i64| json!(["a", n, until * HOUR]);
        assert_eq!(listed(&paths, &there, 6), (vec![8, 7, 6, 5, 1, 0], vec![a(3, 4)], 0));
        let b = json!(["b", 1, 0]);
        assert_eq!(listed(&paths, &there, 4), (vec![8, 7, 6, 1], vec![a(4, 5), b], 0));
        // What was destroyed comes first of all.
        assert_eq!(listed(&paths, &there, 2), (vec![8, 1], vec![], 2));
    }
}
