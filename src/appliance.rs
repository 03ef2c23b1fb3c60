//! `larder appliance`: the small supervisor that BusyBox init runs as root.
//!
//! It owns what needs root: the LED, the drive, STATUS.txt. The engine runs below it as an
//! unprivileged user and is the only one that knows about files and devices. [`machine`] decides
//! (pure), [`shell`] acts, `watch` hears, [`child`]
//! starts and ends processes, `importing` copies a foreign drive.
//!
//! SIGTERM stops engine and mount and ends the program, the LED dark; SIGUSR1 does the same but
//! stays and shows "may be unplugged" until a drive is plugged or pulled. It must never run the
//! engine as root, never leave it running without its drive, and never write to the card except
//! the sectors of STATUS.txt.

mod address;
mod announce;
mod background;
pub mod child;
mod clock;
mod importing;
pub mod machine;
pub mod shell;
mod watch;

use crate::drive::devices::Roots;
use std::io;
use std::path::PathBuf;

/// What the supervisor is told when it starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// The boot partition: `larder.toml` is read from it, `STATUS.txt` written on it.
    pub boot: PathBuf,
    /// Where the drive is mounted: a directory that nobody can write to.
    pub drive: PathBuf,
    /// A directory in memory for process numbers and mount points of a moment.
    pub run: PathBuf,
    /// The user that the engine runs as, by its name in `/etc/passwd`.
    pub user: String,
    /// The program that is started as engine and import; normally this one.
    pub engine: PathBuf,
    /// Where the kernel shows its devices.
    pub roots: Roots,
    /// The folder of avahi's service files; `None` announces nothing.
    pub announce: Option<PathBuf>,
    /// Play on the LEDs.
    pub led: bool,
    /// Set a clock that is behind the newest file of the drive.
    pub clock: bool,
}

/// Why the supervisor can't work at all.
#[derive(Debug, thiserror::Error)]
pub enum ApplianceError {
    /// Something of the system is missing.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, with its path.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The user is not there.
    #[error("there is no user `{0}` in /etc/passwd; the engine is never run as root")]
    NoUser(String),
}

/// `larder appliance`: supervises until SIGTERM.
pub fn run(options: &Options) -> Result<(), ApplianceError> {
    shell::run(options)
}

/// Numbers of user and group of `name` in a passwd file.
fn user(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let mut fields = passwd.lines().find(|line| line.split(':').next() == Some(name))?.split(':');
    let uid = fields.nth(2)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    (uid != 0).then_some((uid, gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_user_is_found_and_never_root() {
        let passwd = "root:x:0:0::/root:/bin/sh\nlarder:x:900:901:Larder:/run:/bin/false\n";
        assert_eq!(user(passwd, "larder"), Some((900, 901)));
        assert_eq!(user(passwd, "root"), None);
        assert_eq!(user(passwd, "lard"), None);
        assert_eq!(user("larder:x\n", "larder"), None);
    }
}
