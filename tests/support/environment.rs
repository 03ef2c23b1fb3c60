//! The environment of every `larder` that a test starts: nothing in it is of this machine.
//!
//! Take it into a test with `#[path = "support/environment.rs"] mod environment;`.

use std::path::PathBuf;
use std::process::Command;
use std::time::SystemTime;

/// Gives a command an environment of its own: no program is found by name (not even a Syncthing that this machine
/// happens to have), and neither language nor time zone nor home are anybody's.
pub(crate) fn hermetic(command: &mut Command) -> &mut Command {
    let kept = ["LLVM_PROFILE_FILE", "TMPDIR"];
    let kept: Vec<_> =
        kept.iter().filter_map(|name| Some((name, std::env::var_os(name)?))).collect();
    command.env_clear().envs(kept);
    command.env("PATH", "/nonexistent").env("HOME", "/nonexistent");
    command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC")
}

/// A program of this machine by its whole path: a command in an environment of its own finds none by name.
#[allow(dead_code, reason = "each program of tests uses its part of it")]
pub(crate) fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| name.into())
}

/// The heading `[night]` of settings with hours far from now, whatever o'clock it is.
#[allow(dead_code, reason = "each program of tests uses its part of it")]
pub(crate) fn by_day() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let hour = |later: u64| (now.as_secs() / 3_600 + later) % 24;
    format!("[night]\nfrom = \"{:02}:00\"\nto = \"{:02}:00\"\n", hour(11), hour(12))
}
