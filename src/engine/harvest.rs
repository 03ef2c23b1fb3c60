//! Harvesting: the wishes in the pages and in what was saved beside them, each list only as the page's that it proves
//! to be of.

use super::notices::and_more;
use super::publish::key_name;
use super::{Engine, EngineError};
use crate::apply::ApplyError;
use crate::fs::{Entry, FsError};
use crate::model::{DeviceName, FileId, Origin, Place, RelPath, Spot, Time, show};
use crate::status::Condition;
use crate::worklist::proof::{self, Doubt, PageOwner};
use crate::worklist::{self, Kind};
use std::collections::{BTreeMap, BTreeSet};

/// Largest page that is read. A page of four million files has 50 MB.
pub(super) const LARGEST_PAGE: u64 = 64 << 20;

/// Files beside a page that were read and left alone, as they were: they are not read again, and what is wrong with
/// their wishes is told once.
pub(super) type Beside = BTreeMap<Spot, (FileId, Option<String>)>;

/// What became of a file that was read.
enum Outcome {
    /// Its wishes are in the ledger, or there were none: it may go.
    Taken,
    /// It stays, and its owner is told why where wishes are in it.
    Left(Option<String>),
    /// It is not there any more.
    Gone,
}

impl Engine {
    pub(super) fn origins(&self) -> BTreeSet<Origin> {
        let devices = self.config.devices.keys().cloned().map(Origin::Device);
        devices.chain([Origin::Home]).collect()
    }

    /// Tells no more of the page of a device that left the settings: nobody looks at it now.
    pub(super) fn clear_page_notice(&mut self, device: &DeviceName) {
        let origin = Origin::Device(device.clone());
        let folder = Self::page_folder(&origin);
        self.clear_notice(&format!("beside {origin}"));
        self.clear_notice(&page_doubted(&origin));
        self.beside.retain(|at, _| at.path.parent().as_ref() != Some(&folder.path));
    }

    /// The folder of a page.
    pub(super) fn page_folder(origin: &Origin) -> Spot {
        let path = match origin {
            Origin::Home => RelPath::root(),
            // A device's name has the form of a name in a path.
            Origin::Device(d) => RelPath::new(d.as_str().as_bytes()).unwrap_or_default(),
        };
        Place::Catalogue.at(path)
    }

    /// Reads the pages that may have changed, and what lies beside them.
    pub(super) fn harvest(&mut self, now: Time) -> Result<(), EngineError> {
        let mut read_any = false;
        for origin in std::mem::take(&mut self.pages) {
            let folder = Self::page_folder(&origin);
            let listed = match self.fs.list(&folder) {
                Ok(Some(listed)) => listed,
                Ok(None) => {
                    self.fs.make_dir(&folder)?;
                    self.published.remove(&origin);
                    self.stale = true;
                    Vec::new()
                }
                Err(e) if e.trouble().is_some() => return Err(e.into()),
                // One page that can't be read must not keep all others from being.
                Err(e) => {
                    self.tell_no_folder(&folder, &e, now);
                    continue;
                }
            };
            self.clear_notice(&format!("folder {folder}"));
            let mut page_there = false;
            let mut left = Beside::new();
            for (name, entry) in listed {
                let Entry::File(stat) = entry else { continue };
                let (Some(kind), Ok(path)) = (worklist::file_kind(&name), folder.path.join(&name))
                else {
                    continue;
                };
                page_there |= kind == Kind::Page;
                let ours = self.published.get(&origin).is_some_and(|(id, _)| *id == stat.id);
                if kind == Kind::Page && ours {
                    continue;
                }
                let at = Place::Catalogue.at(path);
                if kind != Kind::Page {
                    let known = self.beside.get(&at).filter(|(id, _)| *id == stat.id);
                    if let Some(known) = known {
                        left.insert(at, known.clone());
                        continue;
                    }
                    if stat.id.size > LARGEST_PAGE {
                        // A copy of a page is never so large; what else is, is somebody's own.
                        let why =
                            (kind == Kind::ConflictCopy).then(|| "it is too large".to_owned());
                        left.insert(at, (stat.id, why));
                        continue;
                    }
                }
                read_any = true;
                let outcome = self.take_in(&origin, &at, kind, now)?;
                if kind == Kind::Page {
                    // Somebody wrote the page: it is written anew, with the wishes taken in.
                    self.published.remove(&origin);
                    self.stale = true;
                }
                match outcome {
                    Outcome::Taken if kind != Kind::Page => {
                        self.settle_down()?;
                        self.discard(&at, stat.id.ino)?;
                    }
                    Outcome::Left(why) if kind != Kind::Page => {
                        left.insert(at, (stat.id, why));
                    }
                    _ => {}
                }
            }
            if !page_there {
                self.published.remove(&origin);
                self.stale = true;
            }
            self.tell_left(&origin, &left, now);
            self.beside.retain(|at, _| at.path.parent().as_ref() != Some(&folder.path));
            self.beside.append(&mut left);
        }
        if read_any {
            // What was recorded since the last commit must not reach the disk before what was done.
            self.settle_down()?;
        }
        Ok(())
    }

    /// Takes in the wishes of one file.
    fn take_in(
        &mut self,
        origin: &Origin,
        at: &Spot,
        kind: Kind,
        now: Time,
    ) -> Result<Outcome, EngineError> {
        let content = match self.fs.read(at, LARGEST_PAGE) {
            Ok(Some(content)) => content,
            Ok(None) | Err(FsError::NotRegular { .. }) => return Ok(Outcome::Gone),
            Err(e) if e.trouble().is_some() => return Err(e.into()),
            Err(e) => {
                self.stumble(&ApplyError::Fs(e), now);
                return Ok(Outcome::Gone);
            }
        };
        let found = match kind {
            Kind::Page | Kind::ConflictCopy => worklist::find(&content),
            // What only begins like one of ours and holds no wishes is somebody's own.
            Kind::Beside => match worklist::find_saved(&content) {
                Some(found) => found,
                None => return Ok(Outcome::Left(None)),
            },
        };
        match found {
            Ok(text) => self.take_in_list(origin, at, kind, text, now),
            Err(e) if kind == Kind::Beside => Ok(Outcome::Left(Some(e.to_string()))),
            Err(e) => {
                log::warn!("{at}: {e}");
                Ok(Outcome::Taken)
            }
        }
    }

    /// Takes in a worklist that lies in a page's folder, if it is that page's; otherwise tells.
    fn take_in_list(
        &mut self,
        origin: &Origin,
        at: &Spot,
        kind: Kind,
        text: &[u8],
        now: Time,
    ) -> Result<Outcome, EngineError> {
        let list = worklist::parse(text);
        let key = self.ledger.meta(&key_name(origin))?;
        let device = match origin {
            Origin::Home => None,
            Origin::Device(device) => Some(device.as_str()),
        };
        let owner = PageOwner { epoch: &self.epoch, device, key: key.as_deref() };
        let empty = list.wishes.is_empty() && list.diagnostics.iter().all(|d| d.wish.is_none());
        let doubt = proof::check(&list, text, kind, owner).err();
        match doubt {
            // A copy of the page that somebody keeps has nothing in it, and a damaged list nothing that can be read.
            _ if empty && kind == Kind::Beside => {
                Ok(Outcome::Left(list.diagnostics.first().map(|d| show(d.to_string().as_bytes()))))
            }
            None => {
                self.receive(origin, &list, now)?;
                if kind == Kind::Page && !empty {
                    self.clear_notice(&page_doubted(origin));
                }
                Ok(Outcome::Taken)
            }
            // Nothing counts, and each wish is answered so on the newest page.
            Some(Doubt::OtherLedger) if kind != Kind::Beside => {
                self.receive(origin, &list, now)?;
                Ok(Outcome::Taken)
            }
            Some(_) if empty => Ok(Outcome::Taken),
            Some(doubt) => {
                log::warn!("{at}: {} wishes don't count: {doubt}", list.wishes.len());
                if kind == Kind::Page {
                    let what = format!("wishes in {at} were not carried out: {doubt}");
                    let next = "open the newest page on that device and press them again";
                    self.raise_notice(&page_doubted(origin), Condition::Ready, now, what, next);
                }
                Ok(Outcome::Left(Some(doubt.to_string())))
            }
        }
    }

    /// Tells of files beside a page whose wishes don't count there.
    fn tell_left(&mut self, origin: &Origin, left: &Beside, now: Time) {
        let key = format!("beside {origin}");
        let mut told = left.iter().filter_map(|(at, (_, why))| Some((at, why.as_ref()?)));
        let Some((at, why)) = told.next() else {
            self.clear_notice(&key);
            return;
        };
        let what = format!("wishes in {at}{} don't count: {why}", and_more(told.count()));
        let next = "press them again on the newest page of the device that they are meant for, then \
                    remove that file";
        self.raise_notice(&key, Condition::Attention, now, what, next);
    }

    /// Takes in the wishes of a page that was exchanged for a newer one, and lies at `transit`.
    pub(super) fn take_in_page(
        &mut self,
        origin: &Origin,
        transit: &Spot,
        now: Time,
    ) -> Result<(), EngineError> {
        if let Some(old) = self.fs.read(transit, LARGEST_PAGE)?
            && let Ok(text) = worklist::find(&old)
        {
            let at = Self::page_folder(origin);
            let at = at.place.at(at.path.join(b"catalogue.html").unwrap_or_default());
            self.take_in_list(origin, &at, Kind::Page, text, now)?;
            self.ledger.commit()?;
        }
        Ok(())
    }

    /// Takes a file away that has been read, unless it is another one by now.
    fn discard(&mut self, at: &Spot, ino: u64) -> Result<(), EngineError> {
        let name = crate::apply::was_read(ino);
        let transit = Place::Tmp.at(RelPath::new(name.as_bytes()).unwrap_or_default());
        match self.fs.rename(at, &transit) {
            Ok(()) => {}
            Err(e) if e.trouble().is_some() => return Err(e.into()),
            // It went by itself.
            Err(_) => return Ok(()),
        }
        if self.fs.stat(&transit)?.is_some_and(|stat| stat.id.ino == ino) {
            self.fs.unlink(&transit)?;
        } else {
            self.fs.rename(&transit, at)?;
        }
        Ok(())
    }
}

fn page_doubted(origin: &Origin) -> String {
    format!("page doubted {origin}")
}
