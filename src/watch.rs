//! Watches the drive and says where to look again.
//!
//! Events come from the kernel (crate `notify`, inotify(7)) on a thread of its own, and are folded
//! into a bounded set of folders and names. They are hints: what really is there is looked up later.
//! Whatever was lost on the way (queue overflow, too many watches, too many folders) becomes
//! `lost`, which means: scan everything. Never: believe an event.

use crate::fs::scan::tells_reserved;
use crate::model::{DeviceName, Place, RelPath, Spot, is_private};
use notify::event::{AccessKind, AccessMode, EventKind, Flag, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// So many folders with changes are remembered one by one.
const MOST_FOLDERS: usize = 20_000;
/// So many names in one folder; beyond, the whole folder is listed.
const MOST_NAMES: usize = 64;

/// Which names in a folder to look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Names {
    /// These.
    Some(BTreeSet<Vec<u8>>),
    /// All of them.
    All,
}

/// Where to look again.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    /// Folders, each with the names that something happened to.
    pub folders: BTreeMap<Spot, Names>,
    /// Names through which somebody wrote into files at home, by folder. Of a folder of which all names are to be looked
    /// at nobody knows.
    pub written: BTreeMap<Spot, BTreeSet<Vec<u8>>>,
    /// Something was lost: scan everything.
    pub lost: bool,
    /// Why the drive can't be watched (completely), for the owner.
    pub trouble: Option<String>,
}

impl Pending {
    /// True when there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        self.folders.is_empty() && !self.lost && self.trouble.is_none()
    }

    /// Adds a name.
    pub fn add(&mut self, at: &Spot) {
        let (Some(folder), Some(name)) = (at.path.parent(), at.path.name()) else {
            self.add_folder(at.clone());
            return;
        };
        // The sync engine keeps files of its own in such folders.
        let told = tells_reserved(&at.place, name);
        if at.path.names().rev().skip(usize::from(told)).any(is_private) {
            return;
        }
        let folder = at.place.clone().at(folder);
        let full = self.folders.len() >= MOST_FOLDERS;
        match self.folders.get_mut(&folder) {
            Some(Names::All) => {}
            Some(all @ Names::Some(_)) => {
                if let Names::Some(names) = all {
                    names.insert(name.to_vec());
                    if names.len() > MOST_NAMES {
                        *all = Names::All;
                        self.written.remove(&folder);
                    }
                }
            }
            None if full => {
                self.lost = true;
                self.folders.clear();
                self.written.clear();
            }
            None => {
                self.folders.insert(folder, Names::Some([name.to_vec()].into()));
            }
        }
    }

    /// Adds a name through which somebody wrote into the file. Of an event that says less, only that there is something
    /// to look at is known: another name of the file may have been the one.
    pub fn add_written(&mut self, at: &Spot) {
        self.add(at);
        let (Some(folder), Some(name)) = (at.path.parent(), at.path.name()) else { return };
        let folder = at.place.clone().at(folder);
        if at.place == Place::Files
            && let Some(Names::Some(names)) = self.folders.get(&folder)
            && names.contains(name)
        {
            self.written.entry(folder).or_default().insert(name.to_vec());
        }
    }

    /// Takes out the names of which `ours` says that we changed them ourselves, and tells whether
    /// anything is left to look at.
    ///
    /// A folder with so many changes that they are not told apart is ours if any of `ours_in` it is:
    /// it is looked at all the same, later.
    pub fn sift(&mut self, ours: &dyn Fn(&Spot) -> bool, ours_in: &dyn Fn(&Spot) -> bool) -> bool {
        let mut left = self.lost || self.trouble.is_some();
        self.folders.retain(|folder, names| match names {
            Names::All => {
                left |= !ours_in(folder);
                true
            }
            Names::Some(names) => {
                names.retain(|name| {
                    let at = folder.path.join(name).map(|path| folder.place.clone().at(path));
                    !at.is_ok_and(|at| ours(&at))
                });
                left |= !names.is_empty();
                !names.is_empty()
            }
        });
        let folders = &self.folders;
        self.written.retain(|folder, _| folders.contains_key(folder));
        left
    }

    fn add_folder(&mut self, folder: Spot) {
        self.written.remove(&folder);
        self.folders.insert(folder, Names::All);
    }
}

/// A watch on a drive. Ends when dropped.
#[derive(Debug)]
pub struct Watch {
    pending: Arc<Mutex<Pending>>,
    _watcher: RecommendedWatcher,
}

impl Watch {
    /// Watches the house's folders below `root`; calls `ping` after each change.
    ///
    /// That the kernel allows too few watches is no error: it is told in `trouble`, and the drive
    /// is scanned from time to time instead.
    pub fn start(root: &Path, ping: impl Fn() + Send + 'static) -> Result<Self, notify::Error> {
        let pending = Arc::new(Mutex::new(Pending::default()));
        let (shared, base) = (Arc::clone(&pending), root.to_owned());
        let mut watcher = notify::recommended_watcher(move |event| {
            let mut pending = shared.lock().unwrap_or_else(PoisonError::into_inner);
            take_in(&mut pending, &base, event);
            let any = !pending.is_empty();
            drop(pending);
            if any {
                ping();
            }
        })?;
        // The folders of the devices come one by one, the folder of them all with the first: without
        // it a drive of nobody could not be watched.
        std::fs::create_dir_all(root.join("BTsync/devices")).map_err(notify::Error::io)?;
        let mut too_many = None;
        for place in ["BTsync/catalogue", "BTsync/devices", "BTsync/files", "BTsync/shared"] {
            match watcher.watch(&root.join(place), RecursiveMode::Recursive) {
                Err(e) if matches!(e.kind, notify::ErrorKind::MaxFilesWatch) => {
                    too_many = Some(format!(
                        "there are more folders than the kernel lets a program watch \
                         (fs.inotify.max_user_watches); changes in {place} are noticed by scanning"
                    ));
                }
                other => other?,
            }
        }
        pending.lock().unwrap_or_else(PoisonError::into_inner).trouble = too_many;
        Ok(Self { pending, _watcher: watcher })
    }

    /// True when something came together that [`Pending::sift`] finds not to be ours.
    pub fn has_others(
        &self,
        ours: &dyn Fn(&Spot) -> bool,
        ours_in: &dyn Fn(&Spot) -> bool,
    ) -> bool {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).sift(ours, ours_in)
    }

    /// Takes what has come together.
    pub fn take(&self) -> Pending {
        std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn take_in(pending: &mut Pending, base: &Path, event: notify::Result<Event>) {
    match event {
        Ok(event) => {
            if event.attrs.flag() == Some(Flag::Rescan) {
                pending.lost = true;
                return;
            }
            let telling = match event.kind {
                EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
                _ => true,
            };
            // As inotify names them: IN_MODIFY and IN_CLOSE_WRITE.
            let writes = matches!(
                event.kind,
                EventKind::Modify(ModifyKind::Data(_))
                    | EventKind::Access(AccessKind::Close(AccessMode::Write))
            );
            if telling {
                event.paths.iter().for_each(|path| match spot_of(base, path) {
                    Some(at) if writes => pending.add_written(&at),
                    Some(at) => pending.add(&at),
                    None => match path.ancestors().skip(1).find_map(|above| spot_of(base, above)) {
                        // Too deep to be named: the deepest folder that can be is listed instead.
                        Some(above) => pending.add_folder(above),
                        None => log::debug!("an event outside the house's folders"),
                    },
                });
            }
        }
        Err(e) => {
            pending.lost = true;
            if matches!(e.kind, notify::ErrorKind::MaxFilesWatch) {
                pending.trouble = Some(
                    "there are more folders than the kernel lets a program watch \
                     (fs.inotify.max_user_watches); new ones are noticed by scanning"
                        .into(),
                );
            } else {
                log::warn!("watching the drive: {e}");
            }
        }
    }
}

/// The spot that a path on the drive is.
fn spot_of(base: &Path, path: &Path) -> Option<Spot> {
    let rest = path.strip_prefix(base.join("BTsync")).ok()?.as_os_str().as_bytes();
    let (place, rest) = cut(rest);
    let (place, rest) = match place {
        b"files" => (Place::Files, rest),
        b"catalogue" => (Place::Catalogue, rest),
        b"shared" => (Place::Shared, rest),
        b"devices" => {
            let (device, rest) = cut(rest);
            let device = DeviceName::new(std::str::from_utf8(device).ok()?).ok()?;
            (Place::Device(device), rest)
        }
        _ => return None,
    };
    Some(place.at(RelPath::new(rest).ok()?))
}

fn cut(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().position(|&b| b == b'/') {
        Some(i) => (&path[..i], &path[i + 1..]),
        None => (path, b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_spots() {
        let base = Path::new("/drive");
        let spot = |path: &str| spot_of(base, Path::new(path)).map(|s| s.to_string());
        assert_eq!(spot("/drive/BTsync/files/a/b"), Some("BTsync/files/a/b".into()));
        assert_eq!(
            spot("/drive/BTsync/devices/HTCphone/a"),
            Some("BTsync/devices/HTCphone/a".into())
        );
        assert_eq!(spot("/drive/BTsync/files"), Some("BTsync/files".into()));
        assert_eq!(spot("/drive/BTsync/devices"), None);
        assert_eq!(spot("/drive/BTsyncApp/tmp/x"), None);
        assert_eq!(spot("/elsewhere"), None);
    }

    #[test]
    fn what_is_too_deep_or_reserved_among_the_masters_is_looked_at() {
        let base = Path::new("/drive");
        let mut pending = Pending::default();
        let deepest = vec!["d"; 64].join("/");
        let path = base.join("BTsync/files").join(&deepest).join("out");
        take_in(&mut pending, base, Ok(Event::new(EventKind::Any).add_path(path)));
        let folder = Place::Files.at(RelPath::new(deepest.as_bytes()).unwrap());
        assert_eq!(pending.folders.get(&folder), Some(&Names::All));
        let marker = RelPath::new(b".stfolder.removed-20261123-100000").unwrap();
        let phone = Place::Device(DeviceName::new("HTCphone").unwrap());
        let mut pending = Pending::default();
        pending.add(&phone.at(marker.clone()));
        assert!(pending.is_empty());
        pending.add(&Place::Files.at(marker));
        assert!(!pending.is_empty());
    }

    #[test]
    fn only_events_of_writing_name_who_was_written() {
        use notify::event::{CreateKind, DataChange, MetadataKind, RenameMode};
        let base = Path::new("/drive");
        let folder = |place: Place| place.at(RelPath::new(b"a").unwrap());
        let all = [
            ("modify", EventKind::Modify(ModifyKind::Data(DataChange::Any))),
            ("close", EventKind::Access(AccessKind::Close(AccessMode::Write))),
            ("attrib", EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any))),
            ("create", EventKind::Create(CreateKind::File)),
            ("moved", EventKind::Modify(ModifyKind::Name(RenameMode::To))),
        ];
        let mut pending = Pending::default();
        for (name, kind) in all {
            for place in ["files", "devices/HTCphone"] {
                let path = base.join("BTsync").join(place).join("a").join(name);
                take_in(&mut pending, base, Ok(Event::new(kind).add_path(path)));
            }
        }
        let names = |names: &[&str]| names.iter().map(|n| n.as_bytes().to_vec()).collect();
        let home = folder(Place::Files);
        let written: BTreeSet<Vec<u8>> = names(&["modify", "close"]);
        assert_eq!(pending.written, [(home.clone(), written)].into());
        let looked_at = names(&["modify", "close", "attrib", "create", "moved"]);
        assert_eq!(pending.folders[&home], Names::Some(looked_at));
        // Of names that are not told apart any more some may be missing: then it is known of none.
        for i in 0..=MOST_NAMES {
            pending.add(&home.place.clone().at(home.path.join(i.to_string().as_bytes()).unwrap()));
        }
        assert_eq!(pending.folders[&home], Names::All);
        pending.add_written(&home.place.clone().at(home.path.join(b"modify").unwrap()));
        assert_eq!(pending.written, BTreeMap::new());
    }

    #[test]
    fn our_own_changes_are_told_from_others() {
        let file = |text: &str| Place::Files.at(RelPath::new(text.as_bytes()).unwrap());
        let ours = |at: &Spot| *at == file("a/1") || *at == file("a/2");
        let ours_in = |folder: &Spot| *folder == file("a");
        let mut pending = Pending::default();
        assert!(!pending.sift(&ours, &ours_in));
        pending.add(&file("a/1"));
        pending.add(&file("a/2"));
        assert!(!pending.sift(&ours, &ours_in) && pending.is_empty());
        pending.add(&file("a/1"));
        pending.add(&file("a/3"));
        assert!(pending.sift(&ours, &ours_in));
        assert_eq!(pending.folders[&file("a")], Names::Some([b"3".to_vec()].into()));
        pending.folders.insert(file("a"), Names::All);
        assert!(!pending.sift(&ours, &ours_in) && !pending.is_empty());
        pending.folders.insert(file("b"), Names::All);
        assert!(pending.sift(&ours, &ours_in));
        let mut lost = Pending { lost: true, ..Pending::default() };
        assert!(lost.sift(&ours, &ours_in));
    }

    #[test]
    fn many_names_become_a_folder_and_many_folders_a_scan() {
        let mut pending = Pending::default();
        let file = |text: String| Place::Files.at(RelPath::new(text.as_bytes()).unwrap());
        pending.add(&file("a/.syncthing.x.tmp".into()));
        pending.add(&file(".stfolder/syncthing-folder-a7225d.txt".into()));
        assert!(pending.is_empty());
        for i in 0..=MOST_NAMES {
            pending.add(&file(format!("a/{i}")));
        }
        assert_eq!(pending.folders[&file("a".into())], Names::All);
        for i in 0..MOST_FOLDERS {
            pending.add(&file(format!("b{i}/x")));
        }
        assert!(pending.lost && pending.folders.len() < MOST_FOLDERS);
    }
}
