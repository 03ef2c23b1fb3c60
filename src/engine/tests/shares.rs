//! Shares: made whole or not at all, ended in the order that nothing leaks, cut off anywhere.

use super::furnished;
use super::house::{House, is_done, path, refusal};
use crate::fs::FileSystem as _;
use crate::model::{Action, Answer, Origin, Place, Spot, Wish};
use crate::plan::{Share, master};

/// The sha1 of "x1", by sha1sum.
const X1: &str = "16d4afa270ff905221b8edc8c851e6275a3f7da4";

fn owner() -> Origin {
    Origin::Home
}

impl House {
    fn asks(&mut self, action: Action, at: &str, with: Option<&str>) -> Answer {
        let wish = self.wish_with(action, at, with);
        self.press(&owner(), std::slice::from_ref(&wish));
        self.turn();
        self.turn();
        self.answer(&owner(), wish.id)
    }

    fn wish_with(&mut self, action: Action, at: &str, with: Option<&str>) -> Wish {
        let mut wish = self.wish(action, at);
        wish.with = with.map(str::to_owned);
        wish
    }

    fn shared(&self) -> Vec<String> {
        self.all(&Place::Shared)
    }

    fn shares(&mut self) -> Vec<(String, Share)> {
        let shares = &self.engine().world().shares;
        shares.iter().map(|(name, share)| (name.clone(), share.clone())).collect()
    }

    /// What the daemon does after a turn: the carrier has what is live, and has let go of the rest.
    pub(super) fn carry(&mut self) -> Vec<String> {
        let carried = self.engine().shares_to_carry().unwrap();
        carried.into_iter().map(|share| share.name).collect()
    }

    fn carrier_lets_go(&mut self) {
        let has = self.carry();
        self.engine().shares_carried(has.iter().map(String::as_str));
        self.turn();
        self.turn();
    }

    fn shared_folders(&self) -> usize {
        let root = Place::Shared.at(path(""));
        self.memory().list(&root).unwrap().unwrap_or_default().len()
    }
}

#[test]
fn a_share_has_the_very_file_under_the_name_that_its_content_gives() {
    let mut house = furnished();
    let answer = house.asks(Action::Share, "a/x", Some("Friend"));
    assert!(is_done(&answer), "{answer:?}");
    assert_eq!(house.shared(), [format!("{X1}-2026-11-23-100024/x=x1")]);
    let (name, share) = house.shares().remove(0);
    assert_eq!((share.with.as_str(), share.path), ("Friend", path("a/x")));
    let at = Place::Shared.at(path(&format!("{name}/x")));
    let both = [master(&path("a/x")), at].map(|s| house.memory().stat(&s).unwrap().unwrap());
    assert_eq!(both[0].id, both[1].id);
    // Each share of the same file is its own.
    assert!(is_done(&house.asks(Action::Share, "a/x", Some("Other"))));
    assert_eq!(house.shares().len(), 2);
    assert_eq!(house.carry().len(), 2);
    house.restart();
    assert_eq!(house.carry().len(), 2);
}

#[test]
fn a_share_of_a_folder_is_named_by_paths_and_contents() {
    let mut house = furnished();
    assert!(is_done(&house.asks(Action::Share, "a", None)));
    let (name, _) = house.shares().remove(0);
    let shared = house.shared();
    assert_eq!(shared, [format!("{name}/a/b/y=y1"), format!("{name}/a/x=x1")]);
    // Another name in it is another sum.
    house.home("a/z", "z1");
    house.settle();
    house.asks(Action::Share, "a", None);
    let sums: Vec<_> = house.shares().into_iter().map(|(n, _)| n[..40].to_owned()).collect();
    assert_ne!(sums[0], sums[1]);
    assert!(refusal(house.asks(Action::Share, "", None)).contains("everything"));
    assert!(refusal(house.asks(Action::Share, "nothing", None)).contains("nothing"));
}

#[test]
fn a_large_file_is_summed_over_many_turns_and_once() {
    let mut house = House::new();
    let large = "0123456789abcdef".repeat(20 << 16);
    house.home("film", &large);
    house.settle();
    let wish = house.wish_with(Action::Share, "film", None);
    house.press(&owner(), std::slice::from_ref(&wish));
    assert!(house.try_turn().unwrap().more);
    let waiting = Answer::Waiting("the sum of the file to be made".into());
    assert_eq!(house.answer(&owner(), wish.id), waiting);
    // It changes half-way: begun anew, and what was seen is not there any more.
    house.home("film", &large.replace('0', "1"));
    house.turn();
    assert!(refusal(house.answer(&owner(), wish.id)).contains("changed"));
    assert_eq!((house.shared(), house.shares()), (vec![], vec![]));
    assert!(is_done(&house.asks(Action::Share, "film", None)));
    let wish = house.wish_with(Action::Share, "film", None);
    house.press(&owner(), std::slice::from_ref(&wish));
    // The sum is remembered, over a restart too.
    house.restart();
    assert!(is_done(&house.answer(&owner(), wish.id)));
    assert_eq!(house.shares().len(), 2);
}

#[test]
fn revoke_waits_until_the_carrier_let_go_and_then_leaves_nothing() {
    let mut house = furnished();
    house.asks(Action::Share, "a/x", Some("Friend"));
    let name = house.carry().remove(0);
    // What the sync engine keeps in its folder.
    let own = |at: &str| Place::Shared.at(path(&format!("{name}/{at}")));
    house.memory().put(&own(".stignore"), b"*.crswap", super::house::START);
    house.memory().make_dir(&own(".stfolder")).unwrap();
    let wish = house.wish_with(Action::Revoke, "a/x", None);
    house.press(&owner(), std::slice::from_ref(&wish));
    house.settle();
    assert_eq!(house.shared().len(), 2, "nothing goes while others may fetch it");
    let waiting = Answer::Waiting("the sync engine to let go of it".into());
    assert_eq!(house.answer(&owner(), wish.id), waiting);
    assert_eq!(house.carry(), Vec::<String>::new());
    // Neither does a restart make it forget, nor believe that the carrier let go.
    house.restart();
    assert_eq!(house.shared().len(), 2);
    house.engine().shares_carried([name.as_str()]);
    house.turn();
    assert_eq!(house.shared().len(), 2, "the carrier still has it");
    house.carrier_lets_go();
    assert_eq!((house.shared(), house.shared_folders(), house.shares()), (vec![], 0, vec![]));
    assert!(is_done(&house.answer(&owner(), wish.id)));
    assert_eq!(house.at_home("a/x").as_deref(), Some("x1"));
    assert!(refusal(house.asks(Action::Revoke, "a/x", None)).contains("not shared"));
}

#[test]
fn each_share_is_revoked_alone() {
    let mut house = furnished();
    for whom in ["Friend", "Other"] {
        house.asks(Action::Share, "z", Some(whom));
    }
    assert!(refusal(house.asks(Action::Revoke, "z", Some("Nobody"))).contains("not shared"));
    // Never handed to a carrier, so there is nobody to wait for.
    assert!(is_done(&house.asks(Action::Revoke, "z", Some("Friend"))));
    let left: Vec<_> = house.shares().into_iter().map(|(_, share)| share.with).collect();
    assert_eq!((left, house.shared().len()), (vec!["Other".to_owned()], 1));
}

#[test]
fn people_are_let_in_by_their_device_id() {
    const ID: &str = "MFZWI3D-BONSGYC-YLTMRWG-C43ENR5-QXGZDMM-FZWI3DP-BONSGYY-LTMRWAD";
    let mut house = furnished();
    house.asks(Action::Share, "z", Some("Friend"));
    assert!(house.shares()[0].1.peers.is_empty());
    house.carry();
    let answer = house.asks(Action::Share, "z", Some(&format!("Friend {ID}")));
    assert!(is_done(&answer), "{answer:?}");
    let shares = house.shares();
    assert_eq!((shares.len(), shares[0].1.peers.get(ID).map(String::as_str)), (1, Some("Friend")));
    house.asks(Action::Share, "a/x", Some(ID));
    assert_eq!(house.shares().len(), 2, "of another file it is a share of its own");
}

#[test]
fn destroying_a_master_ends_its_links_in_shares() {
    let mut house = furnished();
    house.asks(Action::Share, "a", None);
    house.asks(Action::Share, "a/x", None);
    house.carry();
    assert_eq!(house.shared().len(), 3);
    assert!(is_done(&house.asks(Action::Destroy, "a/x", None)));
    let shared = house.shared();
    assert!(shared.len() == 1 && shared[0].ends_with("a/b/y=y1"), "{shared:?}");
    house.carrier_lets_go();
    assert_eq!((house.shares().len(), house.shared_folders()), (1, 1), "the empty one is over");
    assert!(is_done(&house.asks(Action::Destroy, "a", None)));
    house.carrier_lets_go();
    assert_eq!((house.shares().len(), house.shared_folders()), (0, 0));
    assert_eq!(house.masters(), ["z=z1"]);
}

#[test]
fn what_a_share_alone_still_has_is_kept_when_it_ends() {
    let mut house = furnished();
    house.asks(Action::Share, "z", None);
    // Replaced at home, and the old version's time is over.
    house.home("z", "z2");
    house.settle();
    house.wait(400 * 24 * 3600);
    assert_eq!(house.kept(), Vec::<String>::new());
    assert!(house.shared()[0].ends_with("=z1"));
    let name = house.shares()[0].0.clone();
    let planted = Place::Shared.at(path(&format!("{name}/planted")));
    house.memory().put(&planted, b"somebody's", super::house::START);
    assert!(is_done(&house.asks(Action::Revoke, "z", None)));
    let kept: Vec<_> =
        house.kept().iter().map(|k| k.split('=').next_back().unwrap().to_owned()).collect();
    assert_eq!(kept, ["somebody's", "z1"].as_slice(), "{kept:?}");
}

/// Cuts the power at every call of share, revoke and destroy; the rerun arrives at the same state and
/// no content is lost. `carried`: the carrier has the share when it is to end.
fn cut_everywhere(actions: &[(Action, &str)], carried: bool, expected: &[&str], shares: usize) {
    for cut in 0.. {
        let mut house = furnished();
        let mut failed = false;
        for (i, (action, at)) in actions.iter().enumerate() {
            let last = i + 1 == actions.len();
            let wish = house.wish_with(*action, at, None);
            house.press(&owner(), std::slice::from_ref(&wish));
            house.drive.0.borrow_mut().remember = true;
            house.drive.0.borrow_mut().lost.clear();
            if last {
                house.cut_from(cut);
            }
            for _ in 0..6 {
                failed |= house.is_cut_off(cut);
                if carried {
                    let Ok(has) = house.engine().shares_to_carry() else { continue };
                    house.engine().shares_carried(has.iter().map(|s| s.name.as_str()));
                }
            }
            house.memory().fail_from = None;
            house.turn();
            if *action != Action::Destroy {
                let lost = house.drive.0.borrow().lost.clone();
                assert_eq!(lost, Vec::<Vec<u8>>::new(), "cut {cut}");
            }
            let answer = house.answer(&owner(), wish.id);
            assert!(is_done(&answer), "cut {cut}: {action}: {answer:?}");
        }
        let shared: Vec<String> =
            house.shared().iter().map(|at| at.split_once('/').unwrap().1.to_owned()).collect();
        assert_eq!(shared, expected, "cut {cut}");
        assert_eq!((house.shares().len(), house.shared_folders()), (shares, shares), "cut {cut}");
        let tmp = house.all(&Place::Tmp);
        assert_eq!(tmp, Vec::<String>::new(), "cut {cut}");
        if !failed {
            assert!(cut > 3, "{actions:?} makes more calls than {cut}");
            return;
        }
    }
}

#[test]
fn a_share_is_whole_wherever_the_power_fails() {
    cut_everywhere(&[(Action::Share, "a")], false, &["a/b/y=y1", "a/x=x1"], 1);
}

#[test]
fn a_share_is_over_wherever_the_power_fails() {
    let actions = [(Action::Share, "a"), (Action::Revoke, "a")];
    cut_everywhere(&actions, false, &[], 0);
    cut_everywhere(&actions, true, &[], 0);
}

#[test]
fn a_destroyed_master_is_in_no_share_wherever_the_power_fails() {
    let actions = [(Action::Share, "a"), (Action::Destroy, "a/x")];
    cut_everywhere(&actions, true, &["a/b/y=y1"], 1);
}

#[test]
fn an_unread_name_in_shared_is_none_of_ours() {
    let mut house = furnished();
    let foreign: Spot = Place::Shared.at(path("mine/own"));
    house.memory().put(&foreign, b"own", super::house::START);
    house.asks(Action::Share, "z", None);
    house.asks(Action::Revoke, "z", None);
    assert_eq!(house.shared(), ["mine/own=own"]);
}
