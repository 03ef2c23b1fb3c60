//! `larder torrent`: a `.torrent` file of what is at home.

use super::args::PlaceArgs;
use super::path_of;
use crate::daemon;
use crate::fs::DryRun;
use crate::model::{Bytes, show};
use crate::torrent::{Making, Options};
use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use std::ffi::OsString;
use std::io::{IsTerminal as _, Write};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Bytes read between two looks at the clock.
const PART: u64 = 32 << 20;
/// How often a terminal is told how far it is.
const TOLD: Duration = Duration::from_secs(1);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a .torrent file of a file or folder, and print its magnet link. Nothing is published yet
    Create(CreateArgs),
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// A file or folder within files/
    path: String,
    #[command(flatten)]
    places: PlaceArgs,
    /// Where to put it; default NAME.torrent in this folder. A file that is there stays as it is
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The address of a tracker (several times: the first is tried first)
    #[arg(long, value_name = "URL")]
    tracker: Vec<String>,
    /// An address from which the file, or the folder that holds it, can be fetched (several times)
    #[arg(long, value_name = "URL")]
    web_seed: Vec<String>,
    /// Peers only from the trackers
    #[arg(long)]
    private: bool,
    /// Bytes of a piece, a power of two; default by size
    #[arg(long, value_name = "BYTES")]
    piece: Option<u64>,
}

pub(super) fn run(command: Command, out: &mut impl Write) -> Result<()> {
    let Command::Create(args) = command;
    create(args, out)
}

fn create(args: CreateArgs, out: &mut impl Write) -> Result<()> {
    let path = path_of(&args.path)?;
    let options = Options {
        trackers: args.tracker,
        web_seeds: args.web_seed,
        private: args.private,
        piece: args.piece,
    };
    // Reads, and could not change anything.
    let mut fs = DryRun::new(daemon::open_drive(&args.places.into())?);
    let mut making = Making::begin(&mut fs, &path, options.clone())?;
    for name in making.layout().doubtful_names() {
        writeln!(
            out,
            "`{}` has a control character in its name, which some clients refuse; rename it for them",
            show(name)
        )?;
    }
    // Refused before hours of reading rather than after.
    let file = args.out.unwrap_or_else(|| {
        let name = [path.name().unwrap_or_default(), b".torrent"].concat();
        OsString::from_vec(name).into()
    });
    if file.symlink_metadata().is_ok() {
        anyhow::bail!("{}: there is such a file already; name another with --out", file.display());
    }
    let total = making.layout().total();
    let mut told = Instant::now();
    let metainfo = loop {
        if let Some(metainfo) = making.step(&mut fs, PART)? {
            break metainfo;
        }
        if told.elapsed() >= TOLD && std::io::stderr().is_terminal() {
            told = Instant::now();
            let (read, total) = (Bytes(making.read()), Bytes(total));
            // Who does not see it misses nothing but that.
            drop(write!(std::io::stderr(), "\r{read} of {total} read "));
        }
    };
    let written = std::fs::File::create_new(&file).and_then(|mut made| {
        made.write_all(&metainfo.bytes)?;
        made.sync_all()
    });
    written.with_context(|| format!("{}: can't be written", file.display()))?;
    writeln!(
        out,
        "{}: {} in all, info hash {}",
        file.display(),
        Bytes(total),
        metainfo.infohash_hex()
    )?;
    writeln!(out, "{}", metainfo.magnet(&options, &[]))?;
    Ok(())
}
