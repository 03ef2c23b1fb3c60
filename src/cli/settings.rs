//! `larder config`: the settings file, for who writes it and for the card's network.

use crate::config;
use anyhow::{Context as _, Result};
use clap::Subcommand;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Read a settings file and say what is wrong with it
    Check {
        /// The file
        file: PathBuf,
    },
    /// Print a settings file with everything that can be set, explained
    Example,
    /// Print the name on the network, or nothing where it can't be told (what the SD card's scripts ask)
    #[command(hide = true)]
    Hostname {
        /// The file
        file: PathBuf,
    },
    /// Print its wireless network for wpa_supplicant, or nothing (what the SD card's network script asks)
    #[command(hide = true)]
    Wifi {
        /// The file
        file: PathBuf,
    },
}

pub(super) fn run(command: Command, out: &mut impl Write) -> Result<ExitCode> {
    match command {
        Command::Example => write!(out, "{}", config::example())?,
        Command::Check { file } => {
            let content = std::fs::read(&file)
                .with_context(|| format!("{}: can't be read", file.display()))?;
            let complaints = config::parse_file(&content).map_or_else(|c| c, |c| c.left_out);
            if !complaints.is_empty() {
                for complaint in complaints {
                    writeln!(out, "{}: {complaint}", file.display())?;
                }
                return Ok(ExitCode::from(3));
            }
            writeln!(out, "{}: all is well", file.display())?;
        }
        Command::Hostname { file } => {
            let name = std::fs::read(&file).ok().and_then(|content| config::hostname_of(&content));
            name.map_or(Ok(()), |name| writeln!(out, "{name}"))?;
        }
        Command::Wifi { file } => {
            // Without a file there is no wireless network.
            let wifi = std::fs::read(&file).ok().and_then(|content| config::wifi_of(&content));
            write!(out, "{}", wifi.map_or_else(String::new, |wifi| wifi.to_wpa_supplicant()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
