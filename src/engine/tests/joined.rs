//! Folders that other people joined: what they do in them, limits, the end, cut off anywhere.

use super::furnished;
use super::house::{House, is_done, path, refusal};
use crate::engine::{Access, News};
use crate::fs::{Entry, FileSystem as _};
use crate::model::{Action, Answer, Bytes, Holder, Origin, Place, Spot, Wish};
use crate::plan::{NOTE, ShareState, master, on};

const FRIEND: &str = "MFZWI3D-BONSGYC-YLTMRWG-C43ENR5-QXGZDMM-FZWI3DP-BONSGYY-LTMRWAD";

fn people() -> Holder {
    Holder::shared("a")
}

fn theirs(at: &str) -> Spot {
    on(&people(), &path(at))
}

fn sorted<T: Into<String>>(list: impl IntoIterator<Item = T>) -> Vec<String> {
    let mut list: Vec<String> = list.into_iter().map(Into::into).collect();
    list.sort();
    list
}

/// `a` is shared as `shared/a`, and one friend may join.
fn joined() -> House {
    let mut house = furnished();
    assert!(is_done(&house.asks_people(Action::ShareFolder, "a", Some(FRIEND))));
    house.carry();
    house.turn();
    house
}

impl House {
    fn people_wish(&mut self, action: Action, at: &str, with: Option<&str>) -> Wish {
        let mut wish = self.wish(action, at);
        wish.with = with.map(str::to_owned);
        wish
    }

    fn asks_people(&mut self, action: Action, at: &str, with: Option<&str>) -> Answer {
        let wish = self.people_wish(action, at, with);
        self.asks_home(&wish)
    }

    fn asks_home(&mut self, wish: &Wish) -> Answer {
        self.press(&Origin::Home, std::slice::from_ref(wish));
        self.turn();
        self.turn();
        self.answer(&Origin::Home, wish.id)
    }

    fn friend_puts(&mut self, at: &str, content: &str) -> u64 {
        self.save(theirs(at), content)
    }

    fn friend_deletes(&mut self, at: &str) {
        self.take(theirs(at));
        let (gone, now) = (News::Deleted(people(), path(at)), self.now);
        self.engine().hear(gone, now).unwrap();
    }

    fn in_shared(&self) -> Vec<String> {
        sorted(self.all(&Place::Shared))
    }

    fn at_home_all(&self) -> Vec<String> {
        sorted(self.masters())
    }

    fn access(&mut self) -> Vec<Access> {
        self.engine().shares_to_carry().unwrap().into_iter().map(|c| c.access).collect()
    }

    fn let_go(&mut self) {
        let has = self.engine().shares_to_carry().unwrap();
        self.engine().shares_carried(has.iter().map(|s| s.name.as_str()));
        self.turn();
        self.turn();
    }

    fn folders_in_shared(&self) -> Vec<String> {
        let listed = self.memory().list(&Place::Shared.at(path(""))).unwrap().unwrap_or_default();
        listed.into_iter().map(|(name, _)| String::from_utf8(name).unwrap()).collect()
    }
}

#[test]
fn others_join_a_folder_and_it_goes_both_ways() {
    let mut house = joined();
    assert_eq!(house.in_shared(), sorted(["a/x=x1", "a/b/y=y1"]));
    assert_eq!(house.access(), [Access::Join { held: false }]);
    // What they put in is a master, by the same inode; what they change replaces it.
    let ino = house.friend_puts("from/friend", "f1");
    house.friend_puts("x", "x2");
    house.settle();
    assert_eq!(house.at_home("a/from/friend").as_deref(), Some("f1"));
    assert_eq!(house.memory().stat(&master(&path("a/from/friend"))).unwrap().unwrap().id.ino, ino);
    assert_eq!(house.at_home("a/x").as_deref(), Some("x2"));
    assert_eq!(house.kept().len(), 1, "the old version is kept");
    assert!(house.kept()[0].ends_with("a/x=x1"), "{:?}", house.kept());
    // What is new at home is linked, what is changed there reaches them.
    house.home("a/new", "n1");
    house.home("a/b/y", "y2");
    house.home("outside", "o1");
    house.settle();
    assert!(house.in_shared().contains(&"a/new=n1".to_owned()));
    assert!(house.in_shared().contains(&"a/b/y=y2".to_owned()));
    // What they delete loses its link alone, and does not come back.
    house.friend_deletes("new");
    house.settle();
    assert_eq!(house.at_home("a/new").as_deref(), Some("n1"));
    assert!(!house.in_shared().contains(&"a/new=n1".to_owned()));
    house.restart();
    house.home("a/new", "n2");
    house.settle();
    assert!(!house.in_shared().iter().any(|f| f.starts_with("a/new=")));
}

#[test]
fn both_changed_a_file_and_both_are_kept() {
    let mut house = joined();
    house.friend_puts("x", "friend's");
    house.home("a/x", "ours");
    house.settle();
    let masters = house.masters();
    assert!(masters.contains(&"a/x=ours".to_owned()), "{masters:?}");
    assert!(
        masters.iter().any(|m| m.starts_with("a/x (a 20") && m.ends_with("=friend's")),
        "{masters:?}"
    );
    assert_eq!(house.in_shared().len(), 3);
}

#[test]
fn a_name_is_free_and_fits_and_people_are_let_in_later() {
    let mut house = furnished();
    house.home("c/.a/x", "cx");
    house.home("c/a/x", "cax");
    house.settle();
    house.memory().put(&Place::Shared.at(path("A/own")), b"somebody's", super::house::START);
    let answer = house.asks_people(Action::ShareFolder, "a", None);
    assert!(is_done(&answer), "{answer:?}");
    assert!(is_done(&house.asks_people(Action::ShareFolder, "c/a", None)));
    assert!(is_done(&house.asks_people(Action::ShareFolder, "c/.a", None)));
    assert_eq!(house.folders_in_shared(), ["A", "Folder", "a-2", "a-3"]);
    assert_eq!(house.asks_shared("A/own").as_deref(), Some("somebody's"));
    // Again with an id, and another limit: the same folder.
    let mut wish = house.people_wish(Action::ShareFolder, "a", Some(&format!("Friend {FRIEND}")));
    wish.limit_mb = Some(7);
    assert!(is_done(&house.asks_home(&wish)));
    let world = house.engine().world();
    let share = &world.shares["a-2"];
    assert_eq!(share.peers.get(FRIEND).map(String::as_str), Some("Friend"));
    assert_eq!(share.open.as_ref().unwrap().limit, Some(Bytes(7_000_000)));
    assert_eq!(world.shares.len(), 3);
    for (at, why) in [("z", "is a file"), ("nothing", "no nothing at home")] {
        let said = refusal(house.asks_people(Action::ShareFolder, at, None));
        assert!(said.contains(why), "{said}");
    }
}

impl House {
    fn asks_shared(&self, at: &str) -> Option<String> {
        let memory = self.memory();
        let content = memory.content(&Place::Shared.at(path(at)))?;
        Some(String::from_utf8_lossy(content).into_owned())
    }
}

#[test]
fn at_its_limit_a_folder_takes_nothing_and_goes_on_by_itself() {
    let mut house = furnished();
    let mut wish = house.people_wish(Action::ShareFolder, "a", Some(FRIEND));
    wish.limit_mb = Some(1);
    assert!(is_done(&house.asks_home(&wish)));
    assert_eq!(house.access(), [Access::Join { held: false }]);
    // A begun upload counts in full before it is there: sparse files cheat nobody.
    let begun = theirs(".syncthing.film.tmp");
    house.memory().put(&begun, &[0; 1_000_000], super::house::START);
    house.engine().hear(News::Moving(true), super::house::START).unwrap();
    house.wait(3);
    assert_eq!(house.access(), [Access::Join { held: true }]);
    assert!(house.told().contains("a is full (1.0 MB of 1.0 MB)"), "{}", house.told());
    house.memory().shift(&begun, &theirs("film"));
    house.hint(&theirs("film"));
    house.settle();
    assert_eq!(house.access(), [Access::Join { held: true }]);
    assert_eq!(house.at_home("a/film").map(|c| c.len()), Some(1_000_000));
    // It is still held after a restart, before anything is carried.
    house.open().unwrap();
    assert_eq!(house.access(), [Access::Join { held: true }]);
    // Taken out at home, or with a larger limit, it goes on.
    house.shift(master(&path("a/film")), master(&path("film")));
    house.settle();
    assert_eq!(house.access(), [Access::Join { held: false }]);
    assert!(!house.told().contains("is full"));
    house.shift(master(&path("film")), master(&path("a/film")));
    house.settle();
    assert_eq!(house.access(), [Access::Join { held: true }]);
    let mut wish = house.people_wish(Action::ShareFolder, "a", None);
    wish.limit_mb = Some(-1);
    assert!(is_done(&house.asks_home(&wish)));
    assert_eq!(house.access(), [Access::Join { held: false }]);
}

#[test]
fn what_they_delete_at_once_is_held_until_the_owner_says_so() {
    let mut house = furnished();
    for n in 0..80 {
        house.home(&format!("a/{n}"), "content");
    }
    house.settle();
    house.asks_people(Action::ShareFolder, "a", Some(FRIEND));
    house.carry();
    let all: Vec<String> = (0..80).map(|n| n.to_string()).collect();
    for at in &all {
        house.friend_deletes(at);
    }
    house.settle();
    assert!(house.told().contains("80 of the 82 files in shared/a vanished"), "{}", house.told());
    assert_eq!(house.masters().len(), 83, "masters never go");
    assert_eq!(house.engine().world().replicas[&people()].links.len(), 82);
    let mut back = house.wish(Action::Get, "a");
    back.to = vec![people()];
    let answer = house.asks_home(&back);
    assert!(is_done(&answer), "{answer:?}");
    house.settle();
    assert_eq!(house.in_shared().len(), 82);
    for at in &all {
        house.friend_deletes(at);
    }
    house.settle();
    let mut forget = house.wish(Action::Delete, "a");
    forget.to = vec![people()];
    assert!(is_done(&house.asks_home(&forget)));
    house.settle();
    assert_eq!((house.in_shared().len(), house.masters().len()), (0, 83));
    assert!(!house.told().contains("vanished"));
    let mut odd = house.wish(Action::Move, "a");
    odd.to = vec![people()];
    assert!(refusal(house.asks_home(&odd)).contains("devices"));
}

#[test]
fn a_stranger_plants_what_he_likes_and_harms_nobody() {
    let mut house = joined();
    house.memory().put_other(&theirs("link"));
    house.memory().put_other(&theirs("x"));
    house.hint(&theirs("link"));
    house.hint(&theirs("x"));
    for odd in ["new\nline", "\u{202e}gpj.exe", "b/.hidden", "a", "shared", "-rf", "name (a 2026)"]
    {
        house.friend_puts(odd, odd);
    }
    let long = "n".repeat(255);
    house.friend_puts(&long, "long");
    // A file where a folder is at home.
    house.home("a/folder/in", "in");
    house.settle();
    house.memory().take(&theirs("folder/in"));
    house.memory().remove_dir(&theirs("folder")).unwrap();
    house.friend_puts("folder", "no folder");
    house.settle();
    let masters = house.masters();
    assert!(masters.contains(&"a/x=x1".to_owned()), "{masters:?}");
    assert!(masters.contains(&"a/folder/in=in".to_owned()), "{masters:?}");
    assert_eq!(masters.iter().filter(|m| m.ends_with("=no folder")).count(), 1);
    assert!(masters.iter().any(|m| m.ends_with("=long")));
    assert!(masters.iter().all(|m| m.starts_with("a/") || m == "z=z1"), "{masters:?}");
    assert_eq!(house.at_home("a/a").as_deref(), Some("a"));
    // The folder itself is gone: nobody deletes that file by file.
    let before = house.masters();
    for at in house.in_shared() {
        let at = at.split_once('=').unwrap().0.to_owned();
        house.memory().take(&Place::Shared.at(path(&at)));
    }
    house.pending.lost = true;
    house.settle();
    assert_eq!(house.masters(), before);
}

#[test]
fn destroying_masters_takes_them_from_everybody() {
    let mut house = joined();
    assert!(is_done(&house.asks_people(Action::Destroy, "a/x", None)));
    assert_eq!(
        (house.in_shared(), house.masters()),
        (vec!["a/b/y=y1".into()], vec!["a/b/y=y1".into(), "z=z1".into()])
    );
    assert!(is_done(&house.asks_people(Action::Destroy, "a", None)));
    assert_eq!((house.in_shared(), house.masters()), (vec![], vec!["z=z1".into()]));
    // It is still shared, and what they put in begins the folder anew.
    house.friend_puts("again", "g1");
    house.settle();
    assert_eq!(house.at_home("a/again").as_deref(), Some("g1"));
}

#[test]
fn what_is_moved_at_home_leaves_the_folder_or_takes_it_along() {
    let mut house = joined();
    house.shift(master(&path("a/x")), master(&path("x")));
    house.settle();
    assert_eq!(house.in_shared(), ["a/b/y=y1"]);
    assert_eq!(house.at_home("x").as_deref(), Some("x1"));
    // The whole folder has another name: it stays shared.
    house.home("a/c", "c1");
    house.settle();
    house.shift(master(&path("a/b/y")), master(&path("renamed/b/y")));
    house.shift(master(&path("a/c")), master(&path("renamed/c")));
    house.settle();
    assert_eq!(house.engine().world().shares["a"].path, path("renamed"));
    assert_eq!(house.in_shared(), sorted(["a/c=c1", "a/b/y=y1"]));
    house.friend_puts("new", "n1");
    house.settle();
    assert_eq!(house.at_home("renamed/new").as_deref(), Some("n1"));
    house.restart();
    assert_eq!(house.engine().world().shares["a"].path, path("renamed"));
}

#[test]
fn revoke_share_carries_the_links_over_and_ends_when_the_carrier_let_go() {
    let mut house = joined();
    house.memory().make_dir(&theirs(".stfolder")).unwrap();
    // What others planted, and half received, does not keep the folder.
    house.memory().put_other(&theirs("deep/link"));
    house.memory().put(&theirs("deep/.syncthing.x.tmp"), b"half", super::house::START);
    let wish = house.people_wish(Action::RevokeShare, "a", None);
    let answer = house.asks_home(&wish);
    assert!(matches!(&answer, Answer::Waiting(why) if why.contains("let go")), "{answer:?}");
    let old = ["a/x=x1", "a/b/y=y1"];
    let new = ["a-revoked-23-11-26/x=x1", "a-revoked-23-11-26/b/y=y1"];
    let shared: Vec<_> = house.in_shared().into_iter().filter(|at| !at.contains(".tmp=")).collect();
    assert_eq!(shared, sorted(old.into_iter().chain(new)));
    assert_eq!(house.engine().shares_to_carry().unwrap(), []);
    // What came before the sync engine let go is taken in.
    house.friend_puts("late", "l1");
    house.friend_puts("x", "x2");
    house.restart();
    assert_eq!(house.at_home("a/late").as_deref(), Some("l1"));
    house.let_go();
    assert!(is_done(&house.answer(&Origin::Home, wish.id)));
    let mut after = vec!["a-revoked-23-11-26/late=l1".to_owned()];
    after.extend(new.map(str::to_owned));
    after.sort();
    let mut is = house.in_shared();
    is.sort();
    assert_eq!(is, after);
    assert_eq!(house.folders_in_shared(), ["a-revoked-23-11-26"]);
    assert_eq!(house.at_home("a/x").as_deref(), Some("x2"));
    assert!(house.engine().world().replicas.keys().all(|d| d.shared_folder().is_none()));
    assert!(refusal(house.asks_people(Action::RevokeShare, "a", None)).contains("not shared"));
    // It can be shared and revoked again; what was kept goes with its masters.
    assert!(is_done(&house.asks_people(Action::ShareFolder, "a", None)));
    assert!(is_done(&house.asks_people(Action::RevokeShare, "a", None)));
    assert_eq!(house.folders_in_shared(), ["a-revoked-23-11-26", "a-revoked-23-11-26-2"]);
    assert!(is_done(&house.asks_people(Action::Destroy, "a", None)));
    house.settle();
    assert_eq!((house.folders_in_shared(), house.in_shared()), (vec![], vec![]));
    assert_eq!(house.engine().world().shares.len(), 0);
}

#[test]
fn destroy_folder_empties_what_was_joined_and_leaves_a_note() {
    let mut house = joined();
    house.friend_puts("b/last", "l1");
    let answer = house.asks_people(Action::DestroyFolder, "a", None);
    assert!(is_done(&answer), "{answer:?}");
    let note =
        format!("a/{NOTE}=This folder was destroyed by the owner. 2026-11-23 10:00:24 UTC\n");
    assert_eq!(house.in_shared(), [note.as_str()]);
    assert_eq!(house.at_home_all(), sorted(["z=z1", "a/x=x1", "a/b/last=l1", "a/b/y=y1"]));
    assert!(!matches!(house.memory().look(&theirs("b")).unwrap(), Some(Entry::Dir)));
    // It stays with the sync engine so that this goes round, and nothing comes in any more.
    assert_eq!(house.access(), [Access::Fetch]);
    house.friend_puts("more", "m1");
    house.home("a/new", "n1");
    house.settle();
    house.restart();
    assert_eq!(house.in_shared(), [note.as_str()]);
    assert_eq!(house.at_home("a/more"), None);
    assert_eq!(house.kept().len(), 1, "its last name is none of ours to end: {:?}", house.kept());
    assert!(refusal(house.asks_people(Action::DestroyFolder, "a", None)).contains("already"));
    // Its end leaves nothing; the folder can be shared anew before and after.
    assert!(is_done(&house.asks_people(Action::ShareFolder, "a", None)));
    assert_eq!(house.folders_in_shared(), ["a", "a-2"]);
    let gone = house.asks_people(Action::RevokeShare, "a", Some("a"));
    assert!(matches!(gone, Answer::Waiting(_)), "{gone:?}");
    house.let_go();
    assert_eq!(house.folders_in_shared(), ["a-2"]);
}

/// Cuts the power at every call of the last wish; the rerun arrives at the same state and no
/// content is lost.
fn cut_everywhere(actions: &[Action], friend: bool, expected: &[&str]) {
    for cut in 0.. {
        let mut house = furnished();
        let mut failed = false;
        for (i, action) in actions.iter().enumerate() {
            let wish = house.people_wish(*action, "a", None);
            house.press(&Origin::Home, std::slice::from_ref(&wish));
            if i + 1 == actions.len() {
                house.drive.0.borrow_mut().remember = true;
                if friend {
                    house.friend_puts("late", "l1");
                }
                house.cut_from(cut);
            }
            for _ in 0..6 {
                failed |= house.is_cut_off(cut);
                let Ok(has) = house.engine().shares_to_carry() else { continue };
                house.engine().shares_carried(has.iter().map(|s| s.name.as_str()));
            }
            house.memory().fail_from = None;
            house.settle();
            let lost = house.drive.0.borrow().lost.clone();
            assert!(lost.iter().all(|c| c.starts_with(b"This folder")), "cut {cut}: {lost:?}");
            let answer = house.answer(&Origin::Home, wish.id);
            assert!(is_done(&answer), "cut {cut}: {action}: {answer:?}");
        }
        let mut shared: Vec<String> =
            house.in_shared().iter().map(|at| at.split('=').next().unwrap().to_owned()).collect();
        shared.sort();
        let expected: Vec<String> = expected.iter().map(|e| (*e).to_owned()).collect();
        assert_eq!(shared, expected, "cut {cut}");
        let masters = house.masters();
        assert_eq!(masters.len(), if friend { 4 } else { 3 }, "cut {cut}: {masters:?}");
        assert_eq!(house.kept(), Vec::<String>::new(), "cut {cut}");
        assert_eq!(house.all(&Place::Tmp), Vec::<String>::new(), "cut {cut}");
        let live = |s: &crate::plan::Share| s.is_live() || s.state == ShareState::Revoked;
        assert!(house.engine().world().shares.values().all(live), "cut {cut}");
        if !failed {
            assert!(cut > 3, "{actions:?} makes more calls than {cut}");
            return;
        }
    }
}

#[test]
fn a_folder_is_shared_wherever_the_power_fails() {
    cut_everywhere(&[Action::ShareFolder], false, &["a/b/y", "a/x"]);
}

#[test]
fn a_folder_is_revoked_wherever_the_power_fails() {
    let kept = ["a-revoked-23-11-26/b/y", "a-revoked-23-11-26/late", "a-revoked-23-11-26/x"];
    cut_everywhere(&[Action::ShareFolder, Action::RevokeShare], true, &kept);
}

#[test]
fn a_folder_is_destroyed_wherever_the_power_fails() {
    let note = format!("a/{NOTE}");
    cut_everywhere(&[Action::ShareFolder, Action::DestroyFolder], true, &[&note]);
    let all = [Action::ShareFolder, Action::DestroyFolder, Action::RevokeShare];
    cut_everywhere(&all, false, &[]);
}
