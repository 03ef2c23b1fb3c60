//! The commands of the SD card: supervisor, LED, import.

use crate::appliance::{self, Options};
use crate::drive::{devices::Roots, import};
use crate::led;
use anyhow::Result;
use clap::{Args, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct ApplianceArgs {
    /// The boot partition: larder.toml is read from it, STATUS.txt written on it
    #[arg(long, value_name = "DIR", default_value = "/boot")]
    boot: PathBuf,
    /// Where the drive is mounted
    #[arg(long, value_name = "DIR", default_value = "/drive")]
    drive: PathBuf,
    /// A directory in memory
    #[arg(long, value_name = "DIR", default_value = "/run/larder")]
    run: PathBuf,
    /// Who the engine runs as
    #[arg(long, default_value = "larder")]
    user: String,
    /// The engine's program; default this one
    #[arg(long, hide = true)]
    engine: Option<PathBuf>,
    /// Where the kernel shows its devices
    #[arg(long, default_value = "/sys", hide = true)]
    sys: PathBuf,
    /// For tests: not only USB disks, and neither LED nor clock
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum LedCommand {
    /// Play every pattern
    Test {
        /// Seconds for each
        #[arg(long, default_value_t = 4)]
        seconds: u64,
        /// The boot partition, whose larder.toml names the pin
        #[arg(long, value_name = "DIR", default_value = "/boot")]
        boot: PathBuf,
    },
    /// Print the patterns, one a line: 20 times a tenth of a second, # lit, . dark
    Table,
    /// Print the patterns as an SVG picture
    Picture,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The foreign drive, mounted read-only
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The Larder drive
    #[arg(long, value_name = "DIR")]
    drive: PathBuf,
    /// What tells this foreign drive from others
    #[arg(long)]
    id: String,
}

pub(super) fn appliance(args: ApplianceArgs) -> Result<()> {
    let options = Options {
        boot: args.boot,
        drive: args.drive,
        run: args.run,
        user: args.user,
        engine: args.engine.map_or_else(std::env::current_exe, Ok)?,
        roots: Roots { sys: args.sys, dev: "/dev".into(), any_bus: args.bench },
        led: !args.bench,
        clock: !args.bench,
    };
    Ok(appliance::run(&options)?)
}

pub(super) fn led(command: LedCommand, out: &mut impl Write) -> Result<()> {
    match command {
        LedCommand::Test { seconds, boot } => {
            led::player::test(appliance::shell::led(&boot), Duration::from_secs(seconds), out)?;
        }
        LedCommand::Table => out.write_all(led::table().as_bytes())?,
        LedCommand::Picture => out.write_all(led::picture::svg().as_bytes())?,
    }
    Ok(())
}

/// Tells its progress as lines of JSON.
pub(super) fn import(args: &ImportArgs, out: &mut impl Write) -> Result<()> {
    import::import(&args.from, &args.drive, &args.id, &mut |progress| {
        serde_json::to_writer(&mut *out, progress)?;
        out.write_all(b"\n")?;
        out.flush()
    })?;
    Ok(())
}
