//! The settings file on the boot partition: read, and told from another state of itself.

use super::Places;
use crate::config::{Change, MAX_BYTES, Settings};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What tells one state of the settings file from another: size and time; where there is none, the names beside it that
/// look like it.
pub(super) type SettingsFile = Result<(u64, i64, i64), Vec<String>>;

pub(super) fn settings_file(places: &Places) -> SettingsFile {
    match std::fs::metadata(places.settings()) {
        Ok(found) => Ok((found.len(), found.mtime(), found.mtime_nsec())),
        Err(_) => Err(look_alikes(&places.boot)),
    }
}

/// The names in the boot folder that somebody may have meant for the settings file.
pub fn look_alikes(boot: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(boot).into_iter().flatten().filter_map(Result::ok);
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let names: Vec<_> = files.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    crate::config::look_alikes(names.iter().map(String::as_str))
}

/// Reads the settings file; `None` when there is none. At most one byte more than is accepted.
pub fn read_settings(places: &Places) -> Option<Vec<u8>> {
    let file = std::fs::File::open(places.settings()).ok()?;
    let mut content = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut content).ok()?;
    Some(content)
}

/// Reads the settings as they are now; what is wrong with them stands in them.
pub(super) fn settings_of(places: &Places) -> Settings {
    let mut settings = Settings::default();
    update(&mut settings, places);
    settings
}

/// Takes in what the file says now.
pub(super) fn update(settings: &mut Settings, places: &Places) -> Change {
    let file = read_settings(places);
    let beside = if file.is_none() { look_alikes(&places.boot) } else { Vec::new() };
    settings.update(file.as_deref(), &beside)
}
