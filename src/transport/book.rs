//! The book of folder ids: drawn once by lot, kept by the caller, never guessable.

use super::{FolderId, Password};
use crate::model::DeviceName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What a folder is for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FolderKey {
    /// The page of a device: `BTsync/catalogue/<device>`.
    Page(DeviceName),
    /// The files of a device: `BTsync/devices/<device>`.
    Files(DeviceName),
    /// `BTsync/shared/<name>`.
    Share(String),
}

impl fmt::Display for FolderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Page(device) => write!(f, "page/{device}"),
            Self::Files(device) => write!(f, "files/{device}"),
            Self::Share(name) => write!(f, "share/{name}"),
        }
    }
}

impl From<FolderKey> for String {
    fn from(key: FolderKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for FolderKey {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let device = |name: &str| DeviceName::new(name).map_err(|e| e.to_string());
        match text.split_once('/') {
            Some(("page", name)) => Ok(Self::Page(device(name)?)),
            Some(("files", name)) => Ok(Self::Files(device(name)?)),
            Some(("share", name)) if !name.is_empty() => Ok(Self::Share(name.into())),
            _ => Err(format!("`{text}` is no key of the folder book")),
        }
    }
}

/// Which folder has which id, and with which secret a vault's folder is encrypted.
///
/// The caller keeps it in its state (it is plain serde: JSON in the ledger will do) and writes it
/// down before the ids are used: an id that is lost means a folder that every device must be
/// offered anew; a secret that is lost means that a vault holds noise.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FolderBook {
    ids: BTreeMap<FolderKey, FolderId>,
    #[serde(default)]
    secrets: BTreeMap<DeviceName, Password>,
}

impl FolderBook {
    /// The id of a folder; `None` before [`FolderBook::add`].
    pub fn id(&self, key: &FolderKey) -> Option<&FolderId> {
        self.ids.get(key)
    }

    /// What a folder id is for.
    pub fn key(&self, id: &FolderId) -> Option<&FolderKey> {
        self.ids.iter().find_map(|(key, of)| (of == id).then_some(key))
    }

    /// The secret of a vault; `None` before [`FolderBook::add_secret`]. The owner needs it to read
    /// what the vault holds should the NAS be lost: show it to him.
    pub fn secret(&self, vault: &DeviceName) -> Option<&Password> {
        self.secrets.get(vault)
    }

    /// Draws an id for a folder that has none. `true` when the book changed and must be kept.
    pub fn add(&mut self, key: &FolderKey) -> Result<bool, getrandom::Error> {
        if self.ids.contains_key(key) {
            return Ok(false);
        }
        let id = FolderId::new(&draw()?).unwrap_or_else(|_| unreachable!("letters and digits"));
        self.ids.insert(key.clone(), id);
        Ok(true)
    }

    /// Draws a secret for a vault that has none. `true` when the book changed and must be kept.
    pub fn add_secret(&mut self, vault: &DeviceName) -> Result<bool, getrandom::Error> {
        if self.secrets.contains_key(vault) {
            return Ok(false);
        }
        self.secrets.insert(vault.clone(), Password(draw()?));
        Ok(true)
    }

    /// Draws ids for these shares and forgets those of all others: a share that is over never comes
    /// back under its id. `true` when the book changed.
    pub fn have_shares(&mut self, names: &[&str]) -> Result<bool, getrandom::Error> {
        let before = self.ids.len();
        self.ids.retain(|key, _| match key {
            FolderKey::Share(name) => names.contains(&name.as_str()),
            _ => true,
        });
        let mut changed = self.ids.len() != before;
        for name in names {
            changed |= self.add(&FolderKey::Share((*name).to_owned()))?;
        }
        Ok(changed)
    }

    /// Forgets a folder, so that its id is never used again: for a share that is over, or a lost
    /// device. `true` when the book changed.
    pub fn forget(&mut self, key: &FolderKey) -> bool {
        self.ids.remove(key).is_some()
    }
}

/// 26 characters of 32: 130 bits.
fn draw() -> Result<String, getrandom::Error> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut lot = [0; 26];
    getrandom::fill(&mut lot)?;
    Ok(lot.iter().map(|b| char::from(LETTERS[usize::from(b % 32)])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_once_keeps_and_forgets() {
        let phone = DeviceName::new("HTCphone").unwrap();
        let keys = [
            FolderKey::Page(phone.clone()),
            FolderKey::Files(phone.clone()),
            FolderKey::Share("Holiday".into()),
        ];
        let mut book = FolderBook::default();
        for key in &keys {
            assert!(book.add(key).unwrap());
            assert!(!book.add(key).unwrap());
        }
        assert!(book.add_secret(&phone).unwrap());
        let text = serde_json::to_string(&book).unwrap();
        assert_eq!(serde_json::from_str::<FolderBook>(&text).unwrap(), book);
        let first = book.id(&keys[0]).unwrap().clone();
        assert_eq!(book.key(&first), Some(&keys[0]));
        assert_ne!(Some(&first), book.id(&keys[1]));
        assert!(first.as_str().len() >= 26);
        assert!(book.forget(&keys[0]));
        book.add(&keys[0]).unwrap();
        assert_ne!(book.id(&keys[0]), Some(&first));
        assert!(!format!("{book:?}").contains(&book.secret(&phone).unwrap().0));
    }
}
