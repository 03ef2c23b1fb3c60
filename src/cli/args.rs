//! Words that several commands take: where things are.

use crate::appliance;
use crate::daemon::Places;
use crate::drive::devices::Roots;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct ApplianceArgs {
    /// The boot partition
    #[arg(long, value_name = "DIR", default_value = "/boot")]
    boot: PathBuf,
    /// Where the drive is mounted
    #[arg(long, value_name = "DIR", default_value = "/drive")]
    drive: PathBuf,
    /// A directory in memory
    #[arg(long, default_value = "/run/larder", hide = true)]
    run: PathBuf,
    /// Who the engine runs as
    #[arg(long, default_value = "larder", hide = true)]
    user: String,
    /// The engine's program; default this one
    #[arg(long, hide = true)]
    engine: Option<PathBuf>,
    /// Where the kernel shows its devices
    #[arg(long, default_value = "/sys", hide = true)]
    sys: PathBuf,
    /// The folder of avahi's service files, where the page is announced
    #[arg(long, value_name = "DIR", hide = true)]
    announce: Option<PathBuf>,
    /// Not only USB disks, and neither LED nor clock: for tests
    #[arg(long, hide = true)]
    bench: bool,
}

impl ApplianceArgs {
    pub(super) fn options(self) -> std::io::Result<appliance::Options> {
        Ok(appliance::Options {
            boot: absolute(self.boot),
            drive: absolute(self.drive),
            run: absolute(self.run),
            user: self.user,
            engine: self.engine.map_or_else(std::env::current_exe, Ok)?,
            roots: Roots { sys: self.sys, any_bus: self.bench, ..Roots::default() },
            announce: self.announce,
            led: !self.bench,
            clock: !self.bench,
        })
    }
}

#[derive(Debug, Args)]
pub(super) struct PlaceArgs {
    /// The drive's root: the folder that holds BTsync/ (or nothing yet)
    #[arg(long, value_name = "DIR")]
    drive: PathBuf,
    /// The folder that holds larder.toml and gets STATUS.txt
    #[arg(long, value_name = "DIR")]
    boot: PathBuf,
}

impl From<PlaceArgs> for Places {
    fn from(args: PlaceArgs) -> Self {
        Self { drive: absolute(args.drive), boot: absolute(args.boot) }
    }
}

/// A folder named from the root down, once for everybody: the kernel names what changes by the whole path, and a
/// program that is started may have another working folder.
fn absolute(dir: PathBuf) -> PathBuf {
    // Fails for an empty path, or without a working folder: opening it then says why.
    std::path::absolute(&dir).unwrap_or(dir)
}
