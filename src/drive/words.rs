//! What a disk and a volume are called in words. Pure.

use super::table::Role;
use super::{Disk, Volume};

/// A volume in words: `"PHOTOS" on SanDisk Ultra (serial 4C53), 64 GB, exFAT`.
pub fn words(disk: &Disk, volume: &Volume) -> String {
    let label = match volume.signature.label.as_str() {
        "" => String::new(),
        label => format!("\"{label}\" on "),
    };
    format!("{label}{}, {}, {}", of(disk), volume.size, volume.signature.kind.name())
}

/// The same, and how full it is, which tells it from another one that looks alike.
pub(super) fn full_words(disk: &Disk, volume: &Volume) -> String {
    words(disk, volume) + &used(volume)
}

pub(super) fn used(volume: &Volume) -> String {
    volume.signature.used.map(|used| format!(", {used} of it used")).unwrap_or_default()
}

/// A volume in words where its drive was named already: `"PHOTOS" (64 GB, exFAT)`.
pub(super) fn part_words(volume: &Volume) -> String {
    let label = match (volume.role, volume.signature.label.as_str()) {
        (Role::Efi, _) => "the EFI partition".into(),
        (Role::System, _) => "a partition that a system keeps for itself".into(),
        (Role::Files, "") => "a partition without a name".into(),
        (Role::Files, label) => format!("\"{label}\""),
    };
    format!("{label} ({}, {}{})", volume.size, volume.signature.kind.name(), used(volume))
}

/// A disk in words: `SanDisk Ultra (serial 4C53)`.
pub fn of(disk: &Disk) -> String {
    let model = if disk.model.is_empty() { "a drive" } else { &disk.model };
    format!("{model} (serial {})", disk.identity)
}

/// A disk by the largest of what is on it.
pub(super) fn whole(disk: &Disk) -> String {
    let largest = disk.volumes.iter().max_by_key(|volume| volume.size);
    largest.map_or_else(|| format!("{}, {}", of(disk), disk.size), |v| full_words(disk, v))
}
