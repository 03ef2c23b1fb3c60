//! Looking: where something happened, and what is there now.

use super::{Engine, EngineError};
use crate::fs::scan::tells_reserved;
use crate::fs::{Entry, FsError};
use crate::model::{
    DeviceName, Holder, Link, Origin, Place, RelPath, Spot, Stat, Time, Tree, is_private,
};
use crate::plan::{master, on};
use crate::status::Condition;
use crate::watch::{Names, Pending};
use std::collections::BTreeSet;

/// So many names are looked at in one turn, unless a test says otherwise, so that wishes do not wait for a flood of changes.
pub(super) const LOOKS: usize = 16_384;

impl Engine {
    /// Looks where something happened.
    pub(super) fn look(&mut self, mut pending: Pending, now: Time) -> Result<(), EngineError> {
        pending.lost |= std::mem::take(&mut self.night.look_at_all);
        self.look_at_unseen(pending.lost, now)?;
        self.look_elsewhere(now)?;
        match &pending.trouble {
            Some(what) => {
                let next = "changes are noticed later than usual; nothing is lost by it";
                self.raise_notice("watch", Condition::Ready, now, what, next);
            }
            None if pending.lost => log::info!("changes were missed: scanning the drive"),
            None => {}
        }
        if pending.lost {
            self.scan_home(now)?;
            for device in self.devices() {
                self.scan_device(&device.into(), now)?;
            }
            self.scan_joined(now)?;
            self.pages = self.origins();
            return Ok(());
        }
        self.see_written(&pending.written)?;
        for (folder, names) in pending.folders {
            match &folder.place {
                Place::Files => self.look_home(&folder.path, &names, now)?,
                Place::Device(device) if self.config.devices.contains_key(device) => {
                    self.look_device(&device.clone().into(), &folder.path, &names)?;
                }
                Place::Shared => self.look_joined(&folder, &names, now)?,
                Place::Catalogue => self.look_pages(&folder.path),
                _ => {}
            }
        }
        Ok(())
    }

    fn look_pages(&mut self, folder: &RelPath) {
        match folder.name().and_then(|name| std::str::from_utf8(name).ok()) {
            None => self.pages = self.origins(),
            Some(name) => {
                if let Ok(device) = DeviceName::new(name)
                    && self.config.devices.contains_key(&device)
                {
                    self.pages.insert(Origin::Device(device));
                }
            }
        }
    }

    /// Scans all masters, and looks at the links of those that changed.
    pub(super) fn scan_home(&mut self, now: Time) -> Result<(), EngineError> {
        let found = self.fs.scan(&master(&RelPath::root()))?;
        if found.elsewhere.first().is_some_and(RelPath::is_root) {
            return Err(EngineError::FolderElsewhere { at: master(&RelPath::root()) });
        }
        self.note_elsewhere(&master(&RelPath::root()), &found.elsewhere);
        self.twins.of = None;
        if !self.world.files.is_empty() {
            let mut new = Vec::new();
            found.tree.for_each(Tree::<Stat>::ROOT, |path, stat| {
                if stat.nlink > 1
                    && let Ok(path) = RelPath::new(path)
                    && self.world.files.get(&path).is_none_or(|k| k.id.ino != stat.id.ino)
                {
                    new.push((path, *stat));
                }
            });
            new.iter().for_each(|(path, stat)| self.see_appear(path, stat, now));
            self.see_rewritten(&found.tree);
        }
        self.note_not_taken(&master(&RelPath::root()), found.not_taken);
        self.tell_blind("home", "BTsync/files", found.unreadable_dirs.len(), now);
        if !found.unreadable_dirs.is_empty() {
            // What was not seen stays as it was known.
            let mut tree = found.tree;
            for folder in &found.unreadable_dirs {
                if let Some(dir) = self.world.files.dir(folder) {
                    self.world.files.for_each(dir, |path, stat| {
                        if let Ok(path) = RelPath::new(path) {
                            tree.insert(&path, *stat);
                        }
                    });
                }
            }
            self.world.files = tree;
        } else {
            self.world.files = found.tree;
        }
        self.weigh_masters();
        self.stale = true;
        // Links whose master is not what they mean, and masters that a device follows.
        for device in self.holders() {
            let world = &self.world;
            let mut differing = Vec::new();
            if let Some(replica) = world.replicas.get(&device) {
                replica.links.for_each(Tree::<Link>::ROOT, |path, link| {
                    let Ok(path) = RelPath::new(path) else { return };
                    let home = world.home_of(&device, &path);
                    if home.and_then(|p| world.files.get(&p)).is_none_or(|m| m.id != link.id) {
                        differing.push(path);
                    }
                });
                for follow in &replica.follows {
                    let home = world.home_of(&device, follow);
                    let Some(dir) = home.and_then(|p| world.files.dir(&p)) else { continue };
                    world.files.for_each(dir, |path, _| {
                        let Ok(path) = RelPath::new(path) else { return };
                        let Some(path) = world.path_on(&device, &path) else { return };
                        if replica.links.get(&path).is_none() && replica.wants(&path) {
                            differing.push(path);
                        }
                    });
                }
            }
            self.mark(&device, differing);
        }
        Ok(())
    }

    /// Scans a device's folder, and looks at every name that is not as the book says.
    pub(super) fn scan_device(&mut self, device: &Holder, now: Time) -> Result<(), EngineError> {
        let root = on(device, &RelPath::root());
        match self.fs.look(&root) {
            Ok(Some(_)) => {}
            Ok(None) => {
                // The whole folder is gone: nobody deletes that file by file.
                self.fs.make_dir(&root)?;
                self.vanished_roots.insert(device.clone());
            }
            // What another file system hides stops nobody else; the scan tells of it.
            Err(FsError::OtherFileSystem { .. }) => {}
            Err(e) => return Err(e.into()),
        }
        let found = self.fs.scan(&root)?;
        self.note_elsewhere(&root, &found.elsewhere);
        let unreadable = found.unreadable_dirs.len();
        self.tell_blind(&device.encode(), &device.folder(), unreadable, now);
        self.note_not_taken(&root, found.not_taken);
        let mut differing = Vec::new();
        let world = &self.world;
        let ours = |path: &RelPath| world.holder_at(&root.place.clone().at(path.clone()));
        // What was not read is not gone: neither what may not be read, nor what another file system hides.
        let unread = found.unreadable_dirs.iter().chain(&found.elsewhere);
        let unreadable_dirs: Vec<RelPath> = unread.filter_map(|p| Some(ours(p)?.1)).collect();
        if let Some(replica) = world.replicas.get(device)
            && let Some(dir) = found.tree.dir(&root.path)
        {
            found.tree.for_each(dir, |path, stat| {
                let Some((_, path)) = RelPath::new(path).ok().and_then(|p| ours(&p)) else {
                    return;
                };
                let home = world.home_of(device, &path);
                let as_known = replica.links.get(&path).is_some_and(|l| l.id == stat.id)
                    && home
                        .and_then(|home| world.files.get(&home))
                        .is_some_and(|m| m.id.ino == stat.id.ino);
                if !as_known || replica.absent.contains_key(&path) {
                    differing.push(path);
                }
            });
            replica.links.for_each(Tree::<Link>::ROOT, |path, _| {
                let Ok(path) = RelPath::new(path) else { return };
                if found.tree.get(&on(device, &path).path).is_none()
                    && !within_any(&unreadable_dirs, &path)
                {
                    differing.push(path);
                }
            });
        }
        if let Some(replica) = self.world.replicas.get(device) {
            differing.extend(replica.held.keys().cloned());
        }
        self.mark(device, differing);
        self.unreadable_dirs.insert(device.clone(), unreadable_dirs);
        Ok(())
    }

    fn mark(&mut self, device: &Holder, paths: impl IntoIterator<Item = RelPath>) {
        for path in paths {
            self.dirty.entry((device.clone(), path)).or_insert(0);
        }
    }

    /// Looks at names in a folder among the masters.
    pub(super) fn look_home(
        &mut self,
        dir: &RelPath,
        names: &Names,
        now: Time,
    ) -> Result<(), EngineError> {
        self.relist_too_deep(&master(dir), names);
        for name in self.names_in(&master(dir), names)? {
            let Ok(path) = dir.join(&name) else {
                self.leave_too_deep(&master(dir), &name);
                continue;
            };
            self.unreadable_files.remove(&path);
            if self.is_left_out(&master(&path))? {
                continue;
            }
            match self.fs.look(&master(&path)) {
                Ok(Some(Entry::File(stat))) => {
                    self.forget_home_folder(&path);
                    let known = self.world.files.get(&path);
                    if known.is_none_or(|k| k.id != stat.id) {
                        match known.is_some_and(|k| k.id.ino == stat.id.ino) {
                            true => self.see_changed(&path, &stat),
                            false => self.see_appear(&path, &stat, now),
                        }
                        self.world.files.insert(&path, stat);
                        self.touch(&path);
                        self.stale = true;
                    }
                }
                Ok(Some(Entry::Dir)) => {
                    self.world.elsewhere.remove(&path);
                    self.forget_home_file(&path);
                    if self.world.files.dir(&path).is_none() {
                        self.look_new_folder(&path, now)?;
                    }
                }
                // In something that lies elsewhere, which is no business of ours.
                Err(FsError::OtherFileSystem { .. }) => {}
                Ok(found) => {
                    match found {
                        Some(Entry::Elsewhere) => self.note_one_elsewhere(&path),
                        _ => drop(self.world.elsewhere.remove(&path)),
                    }
                    self.forget_home_file(&path);
                    self.forget_home_folder(&path);
                }
                Err(FsError::NotRegular { .. }) => {
                    self.forget_home_file(&path);
                    self.forget_home_folder(&path);
                }
                Err(e) if e.trouble().is_some() => return Err(e.into()),
                Err(e) => drop(self.unreadable_files.insert(path, (now, e.to_string()))),
            }
        }
        Ok(())
    }

    /// The names to look at: those that were hinted at, or all that are there or were known.
    fn names_in(&mut self, at: &Spot, names: &Names) -> Result<BTreeSet<Vec<u8>>, EngineError> {
        if let Names::Some(names) = names {
            return Ok(names.clone());
        }
        let listed = match self.fs.list(at) {
            Ok(listed) => listed.unwrap_or_default(),
            Err(e) if e.trouble().is_some() => return Err(e.into()),
            // What is known of it is asked for name by name.
            Err(e) => {
                log::info!("{e}");
                Vec::new()
            }
        };
        let mut all: BTreeSet<Vec<u8>> = listed
            .into_iter()
            .map(|(name, _)| name)
            .filter(|name| !is_private(name) || tells_reserved(&at.place, name))
            .collect();
        match &at.place {
            Place::Files => known_names(&self.world.files, &at.path, &mut all),
            _ => {
                if let Some((holder, path)) = self.world.holder_at(at)
                    && let Some(replica) = self.world.replicas.get(&holder)
                {
                    known_names(&replica.links, &path, &mut all);
                    // What is in a folder follows it directly.
                    let below = replica.held.range(&path..).map(|(held, _)| held);
                    let below = below.take_while(|held| held.is_within(&path));
                    let here = below.filter(|held| held.parent().as_ref() == Some(&path));
                    all.extend(here.filter_map(|held| Some(held.name()?.to_vec())));
                }
            }
        }
        Ok(all)
    }

    fn look_new_folder(&mut self, path: &RelPath, now: Time) -> Result<(), EngineError> {
        let found = self.fs.scan(&master(path))?;
        self.note_not_taken(&master(path), found.not_taken);
        self.note_elsewhere(&master(path), &found.elsewhere);
        self.world.files.insert_dir(path);
        let mut new = Vec::new();
        found.tree.for_each_dir(Tree::<Stat>::ROOT, |_, at| {
            if let Ok(at) = RelPath::new(at) {
                self.world.files.insert_dir(&at);
            }
        });
        found.tree.for_each(Tree::<Stat>::ROOT, |p, stat| {
            if let Ok(p) = RelPath::new(p) {
                new.push((p, *stat));
            }
        });
        for (p, stat) in new {
            self.see_appear(&p, &stat, now);
            self.world.files.insert(&p, stat);
            self.touch(&p);
        }
        self.stale = true;
        Ok(())
    }

    fn forget_home_file(&mut self, path: &RelPath) {
        if self.world.files.remove(path).is_some() {
            self.touch(path);
            self.stale = true;
        }
    }

    fn forget_home_folder(&mut self, path: &RelPath) {
        let Some(dir) = self.world.files.dir(path).filter(|_| !path.is_root()) else { return };
        let mut gone = Vec::new();
        self.world.files.for_each(dir, |p, _| gone.extend(RelPath::new(p)));
        self.world.files.remove_dir(path);
        self.unreadable_files.retain(|unseen, _| !unseen.is_within(path));
        gone.iter().for_each(|p| self.touch(p));
        self.stale = true;
    }

    /// Looks at names in a folder of a device.
    pub(super) fn look_device(
        &mut self,
        device: &Holder,
        dir: &RelPath,
        names: &Names,
    ) -> Result<(), EngineError> {
        self.relist_too_deep(&on(device, dir), names);
        for name in self.names_in(&on(device, dir), names)? {
            let Ok(path) = dir.join(&name) else {
                self.leave_too_deep(&on(device, dir), &name);
                continue;
            };
            let known_dir =
                self.world.replicas.get(device).and_then(|h| h.links.dir(&path)).is_some();
            self.is_left_out(&on(device, &path))?;
            let seen = self.fs.look(&on(device, &path));
            let is_dir = matches!(seen, Ok(Some(Entry::Dir | Entry::Elsewhere)));
            if is_dir || known_dir {
                // A folder that came or went: what was in it has no events of its own.
                let found = match self.fs.scan(&on(device, &path)) {
                    Ok(found) => found,
                    Err(e) if e.trouble().is_some() => return Err(e.into()),
                    Err(e) => {
                        log::info!("{e}");
                        continue;
                    }
                };
                self.note_elsewhere(&on(device, &path), &found.elsewhere);
                let ours = |p: &[u8]| {
                    let at = on(device, &path).place.at(RelPath::new(p).ok()?);
                    Some(self.world.holder_at(&at)?.1)
                };
                let unread = found.unreadable_dirs.iter().chain(&found.elsewhere);
                let unreadable_dirs: Vec<RelPath> =
                    unread.filter_map(|p| ours(p.as_bytes())).collect();
                let mut all = Vec::new();
                found.tree.for_each(Tree::<Stat>::ROOT, |p, _| all.extend(ours(p)));
                self.note_not_taken(&on(device, &path), found.not_taken);
                if let Some(replica) = self.world.replicas.get(device)
                    && let Some(dir) = replica.links.dir(&path)
                {
                    replica.links.for_each(dir, |p, _| all.extend(RelPath::new(p)));
                }
                all.retain(|p| !within_any(&unreadable_dirs, p));
                self.mark(device, all);
            }
            self.mark(device, [path]);
        }
        Ok(())
    }
}

fn known_names<T: Copy>(tree: &Tree<T>, dir: &RelPath, all: &mut BTreeSet<Vec<u8>>) {
    if let Some(dir) = tree.dir(dir) {
        all.extend(tree.files(dir).map(|(name, _)| name.to_vec()));
        all.extend(tree.subdirs(dir).map(|(name, _)| name.to_vec()));
    }
}

pub(super) fn within_any(folders: &[RelPath], path: &RelPath) -> bool {
    folders.iter().any(|folder| path.is_within(folder))
}
