//! What is to be done about the disks, as data: which volumes to mount, format and import, and what the owner is told.

use super::signature::Kind;
use super::table::Role;
use super::words::words;
use super::{Disk, Inside, Volume};
use crate::status::Condition;

/// Everything to be done about the disks that are there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Decision {
    /// The volume to check and mount.
    pub mount: Option<Choice>,
    /// The disk to format, by its kernel name and identity.
    pub format: Option<(String, String)>,
    /// Volumes whose files are to be copied over.
    pub import: Vec<Choice>,
    /// What lies beside those and is not copied.
    pub not_copied: Vec<NotCopied>,
    /// The wish to format a disk has nothing left to do: what the owner should know of it from now on.
    pub done: Option<Advice>,
    /// What else the owner should know.
    pub advice: Vec<Advice>,
}

/// A volume to mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Choice {
    /// Its disk, by the kernel's name.
    pub disk: String,
    /// Which plugging-in of that disk.
    pub sequence: u64,
    /// Its own name, as `sda1`.
    pub node: String,
    /// Its kind.
    pub kind: Kind,
    /// Its number, probed again right before it is mounted.
    pub uuid: String,
    /// What it is called in words.
    pub words: String,
    /// What tells it from other volumes, also where those have its number or none has one.
    pub list: String,
}

impl Choice {
    /// In few words: its label, else its node.
    pub fn short(&self) -> &str {
        match self.words.split('"').nth(1) {
            Some(label) => label,
            None => &self.node,
        }
    }
}

/// A partition beside one that is imported, which is not copied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotCopied {
    /// Its disk, by the kernel's name.
    pub disk: String,
    /// Which plugging-in of that disk.
    pub sequence: u64,
    /// What it is called in words.
    pub words: String,
    /// Why it is not copied.
    pub why: String,
    /// What to do to get at its files; empty where nobody's files are expected.
    pub next: String,
}

/// Something to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Advice {
    /// What the LED makes of it; `Ready` for something merely told.
    pub condition: Condition,
    /// What is the matter.
    pub what: String,
    /// What to do.
    pub next: String,
}

/// Nobody could miss what is there. A partition that holds the files of a system's start is somebody's.
pub(super) fn is_nothing(volume: &Volume) -> bool {
    volume.signature.kind == Kind::Blank || volume.inside == Some(Inside::Nothing)
}

pub(super) fn choice(disk: &Disk, volume: &Volume) -> Choice {
    Choice {
        disk: disk.name.clone(),
        sequence: disk.sequence,
        node: volume.node.clone(),
        kind: volume.signature.kind,
        uuid: volume.signature.uuid.clone(),
        words: words(disk, volume),
        list: list(disk, volume),
    }
}

/// Under this name an import remembers what it copied from there. Some cameras give every card the same number, or none.
fn list(disk: &Disk, volume: &Volume) -> String {
    let (uuid, size) = (&volume.signature.uuid, volume.size.0);
    if uuid.bytes().all(|byte| matches!(byte, b'0' | b'-')) {
        format!("none--{}-{size}", disk.identity)
    } else {
        format!("{uuid}--{size}")
    }
}

/// The volumes whose files an import copies: never what starts a computer.
pub(super) fn importable(disk: &Disk) -> Vec<Choice> {
    let fits =
        |volume: &&Volume| volume.signature.kind.can_be_imported() && volume.role == Role::Files;
    disk.volumes.iter().filter(fits).map(|volume| choice(disk, volume)).collect()
}
