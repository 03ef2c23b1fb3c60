//! What must be on a device, or must not, by the wishes that were answered as done and by nothing in the ledger
//! but those answers. Whatever touches a path later leaves it open again, so this never asks for too much.

use super::history::{Event, Pressed};
use super::{Case, Kind, Verdict, below, show, touch};
use std::collections::BTreeMap;

/// Who is to have something, or not: a device, or home.
type Expected = BTreeMap<(Option<String>, Vec<u8>), bool>;

pub(super) fn judge(case: &Case<'_>, verdict: &mut Verdict) {
    let Case { drive, ledger, history, devices } = case;
    let mut expected = Expected::new();
    for event in &history.events {
        match event {
            Event::Touched(None, path) => expected.retain(|(_, at), _| !touch(at, path)),
            Event::Touched(Some(_), path) => expected.retain(|(_, at), _| !touch(at, path)),
            Event::Unsettled(device) => {
                expected.retain(|(who, _), _| who.as_deref() != Some(device));
            }
            Event::Deleted(device, path) => {
                let device = Some(device.clone());
                expected.retain(|(who, at), _| *who != device || !touch(at, path));
                expected.insert((device, path.clone()), false);
            }
            Event::Pressed(number) => {
                let wish = &history.wishes[*number];
                let done = ledger.answer(&wish.origin, &wish.id) == Some("done");
                wished(wish, done, &mut expected);
            }
        }
    }
    for ((who, path), there) in expected {
        let (folder, free) = match &who {
            None => (b"BTsync/files".to_vec(), true),
            Some(device) => {
                let rows = ledger.holders.get(device);
                // Room on a device comes and goes.
                let quota = devices.get(device).is_some_and(Option::is_some);
                let mass_change = rows.is_some_and(|rows| rows.mass_change);
                (below(b"BTsync/devices", device.as_bytes()), !quota && !mass_change)
            }
        };
        let at = below(&folder, &path);
        let is_there = drive.file(&at).is_some();
        if there && !is_there && free {
            let what = format!("{} was got, and is not there", show(&at));
            verdict.find(Kind::Missing, what);
        } else if !there && is_there {
            verdict.find(Kind::NotGone, format!("{} was to go, and is there", show(&at)));
        }
    }
    for wish in &history.wishes {
        let known = ledger.wishes.iter().any(|w| w.origin == wish.origin && w.id == wish.id);
        if !known {
            let what = format!("the wish {} from {:?} is not known", wish.id, wish.origin);
            verdict.find(Kind::Answer, what);
        }
    }
    for wish in ledger.wishes.iter().filter(|w| w.state == 2 && w.answer.is_none()) {
        let what = format!("the wish {} ({}) is over and has no answer", wish.id, wish.action);
        verdict.find(Kind::Answer, what);
    }
}

fn wished(wish: &Pressed, done: bool, expected: &mut Expected) {
    let about = |at: &[u8]| touch(at, &wish.path);
    let own = || [wish.origin.clone()].into_iter().filter(|o| !o.is_empty()).collect::<Vec<_>>();
    let devices = if wish.to.is_empty() { own() } else { wish.to.clone() };
    match wish.op.as_str() {
        "get" => {
            let devices = devices.into_iter().map(Some).collect::<Vec<_>>();
            expected.retain(|(who, at), there| *there || !devices.contains(who) || !about(at));
            if done {
                for (device, master) in
                    devices.iter().flat_map(|d| wish.masters.iter().map(move |m| (d, m)))
                {
                    expected.insert((device.clone(), master.clone()), true);
                }
            }
        }
        "delete" => {
            let device = Some(wish.origin.clone()).filter(|o| !o.is_empty());
            expected.retain(|(who, at), _| *who != device || !about(at));
            if done && device.is_some() && wish.to.is_empty() {
                for master in &wish.masters {
                    expected.insert((device.clone(), master.clone()), false);
                }
            }
        }
        "destroy" => {
            let everywhere: Vec<_> = expected.keys().map(|(who, _)| who.clone()).collect();
            expected.retain(|(_, at), _| !about(at));
            if done {
                for who in everywhere.into_iter().chain([None]) {
                    for master in &wish.masters {
                        expected.insert((who.clone(), master.clone()), false);
                    }
                }
            }
        }
        // They take nothing away and bring nothing.
        "open" | "pin" | "unpin" | "mkdir" | "share" | "torrent" => {}
        "allow" | "keep-mine" => expected.retain(|(who, _), _| who.is_none()),
        _ => expected.retain(|(_, at), _| !about(at)),
    }
}
