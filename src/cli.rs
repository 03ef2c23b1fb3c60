//! The command line.

mod args;
mod settings;
mod torrent;

use crate::appliance;
use crate::check::check;
use crate::daemon::{self, Places};
use crate::dedup::{self, Event, Rules};
use crate::drive;
use crate::engine::Engine;
use crate::fs::Real;
use crate::led;
use crate::machine::{self, Hardware};
use crate::model::{Bytes, RelPath, Stat, Tree, show};
use crate::parent;
use crate::plan::Replica;
use crate::status::Condition;
use crate::status::machine::Machine;
use crate::web::ClaimWindow;
use anyhow::{Context as _, Result, bail};
use args::{ApplianceArgs, PlaceArgs};
use clap::{Parser, Subcommand};
use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Keeps a family's files at home and puts exactly the files that somebody asks for on each device.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Say more (twice: everything)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done; nothing is wrong
  1  it could not be done: the message says why and what to do
  2  the command line was not understood
  3  `check` or `config check` found something; it is printed";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the engine on a drive
    Run {
        #[command(flatten)]
        places: PlaceArgs,
        /// Scan, read the pages, act, publish, exit
        #[arg(long)]
        once: bool,
        /// With --once: print what would be done, and do nothing
        #[arg(long, requires = "once")]
        dry_run: bool,
        /// Believe absences after so many seconds (for tests)
        #[arg(long, value_name = "SECONDS", hide = true)]
        settle: Option<u32>,
        /// With --once: a whole night's work follows, on files of any age (for tests)
        #[arg(long, requires = "once", hide = true)]
        night: bool,
        /// Write each new state as a line of JSON to this file descriptor (1: standard output)
        #[arg(long, value_name = "N", conflicts_with = "once", value_parser = clap::value_parser!(u8).range(1..=1))]
        report_fd: Option<u8>,
        /// Let the password of the page be chosen for so many seconds from now on (for the supervisor and tests)
        #[arg(long, value_name = "SECONDS", conflicts_with = "once", hide = true)]
        claim_within: Option<u32>,
        /// Be reached by this machine alone, web and Syncthing (for tests and demonstrations)
        #[arg(long, conflicts_with = "once", hide = true)]
        loopback: bool,
    },
    /// List the catalogue, with each device's state
    List {
        /// A file or folder within files/
        #[arg(value_name = "PATH", default_value = "")]
        path: String,
        #[command(flatten)]
        places: PlaceArgs,
        /// As JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// Tell the state of the house
    Status {
        #[command(flatten)]
        places: PlaceArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Verify on the drive every promise that can be seen on a drive
    Check {
        #[command(flatten)]
        places: PlaceArgs,
        /// Put right what is found
        #[arg(long)]
        repair: bool,
    },
    /// Store files with the same content only once, now instead of in the night
    Dedup {
        #[command(flatten)]
        places: PlaceArgs,
        /// Only tell what it would save; Larder may run meanwhile
        #[arg(long)]
        dry_run: bool,
        /// Files younger than a day, too (for tests)
        #[arg(long, hide = true)]
        any_age: bool,
    },
    /// The settings file
    Config {
        #[command(subcommand)]
        command: settings::Command,
    },
    /// Torrents of what is at home
    Torrent {
        #[command(subcommand)]
        command: torrent::Command,
    },
    /// The status LED
    Led {
        #[command(subcommand)]
        command: LedCommand,
    },
    /// Supervise drive, engine, LED and STATUS.txt, as root (what the SD card's init runs)
    Appliance(ApplianceArgs),
    /// Copy the files of a drive that Larder can't use (what the supervisor starts)
    #[command(hide = true)]
    Import {
        #[arg(long)]
        from: PathBuf,
        #[arg(long)]
        drive: PathBuf,
        #[arg(long)]
        id: String,
    },
    /// Become another program that ends with the process that started this one (what the engine starts)
    #[command(hide = true)]
    Exec {
        /// The program and its words
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        words: Vec<std::ffi::OsString>,
    },
    /// Tell which devices hold a file or folder
    Where {
        /// A file or folder within files/
        path: String,
        #[command(flatten)]
        places: PlaceArgs,
    },
}

#[derive(Debug, Subcommand)]
enum LedCommand {
    /// Play every pattern
    Test {
        /// Seconds for each
        #[arg(long, default_value_t = 4)]
        seconds: u64,
        /// The boot partition, whose larder.toml names the pin
        #[arg(long, value_name = "DIR", default_value = "/boot")]
        boot: PathBuf,
    },
    /// Print the table, one state a line
    Table,
    /// Print the table as an SVG picture
    Picture,
}

/// Runs the program.
pub fn main() -> ExitCode {
    if parent::end_with_starter().is_err() {
        return ExitCode::FAILURE;
    }
    let cli = Cli::parse();
    let as_service =
        matches!(&cli.command, Command::Run { once: false, .. } | Command::Appliance(_));
    start_log(cli.verbose, as_service);
    let mut out = std::io::stdout().lock();
    match run(cli.command, &mut out) {
        Ok(code) => code,
        // A reader such as `head` that has seen enough is no failure.
        Err(e) if is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            let mut err = std::io::stderr().lock();
            // With no standard error there is nobody to tell.
            if writeln!(err, "larder: {e:#}").is_err() {
                return ExitCode::FAILURE;
            }
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(e: &anyhow::Error) -> bool {
    e.chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
}

/// To standard error on a terminal or under a test, to syslog on the appliance.
fn start_log(verbose: u8, as_service: bool) {
    let level = match verbose {
        0 if as_service => log::LevelFilter::Info,
        0 => log::LevelFilter::Warn,
        1 => log::LevelFilter::Debug,
        _ => log::LevelFilter::Trace,
    };
    let appliance =
        as_service && !std::io::stderr().is_terminal() && std::path::Path::new("/dev/log").exists();
    if appliance && syslog::init(syslog::Facility::LOG_DAEMON, level, Some("larder")).is_ok() {
        return;
    }
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Warn)
        .filter_module("larder", level)
        .format(|out, record| {
            // Names from devices come into messages shown; this is for the rest.
            writeln!(out, "{:5} {}", record.level(), show(record.args().to_string().as_bytes()))
        })
        .init();
}

fn run(command: Command, out: &mut impl Write) -> Result<ExitCode> {
    match command {
        Command::Run { places, once: true, dry_run, settle, night, .. } => {
            let operations = daemon::run_once(&places.into(), dry_run, settle, night)?;
            for op in operations.iter().filter(|_| dry_run) {
                writeln!(out, "{op}")?;
            }
        }
        Command::Run { places, settle, report_fd, loopback, claim_within, .. } => {
            let reach = if loopback { daemon::Reach::Loopback } else { daemon::Reach::Network };
            let claim = claim_within.map_or(ClaimWindow::LENGTH, |s| Duration::from_secs(s.into()));
            run_service(places.into(), reach, settle, claim, report_fd.is_some())?;
        }
        Command::Led { command } => run_led(command, out)?,
        Command::Appliance(args) => appliance::run(&args.options()?)?,
        Command::Import { from, drive, id } => {
            drive::import::import(&from, &drive, &id, &mut |progress| {
                serde_json::to_writer(&mut *out, progress)?;
                out.write_all(b"\n")?;
                out.flush()
            })?;
        }
        Command::List { path, places, json } => list(&places.into(), &path, json, out)?,
        Command::Status { places, json } => status(&places.into(), json, out)?,
        Command::Check { places, repair } => return run_check(&places.into(), repair, out),
        Command::Dedup { places, dry_run, any_age } => {
            dedup(&places.into(), dry_run, any_age, out)?;
        }
        Command::Config { command } => return settings::run(command, out),
        Command::Torrent { command } => torrent::run(command, out)?,
        Command::Exec { words } => {
            let why = parent::become_program(&words);
            return Err(why).with_context(|| {
                format!("{} can't be started", show(words[0].as_encoded_bytes()))
            });
        }
        Command::Where { path, places } => tell_where(&places.into(), &path, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn run_led(command: LedCommand, out: &mut impl Write) -> Result<()> {
    match command {
        LedCommand::Test { seconds, boot } => {
            led::player::test(appliance::shell::led(&boot), seconds, out)?;
        }
        LedCommand::Table => write!(out, "{}", led::table())?,
        LedCommand::Picture => write!(out, "{}", led::picture::svg())?,
    }
    Ok(())
}

fn run_service(
    places: Places,
    reach: daemon::Reach,
    settle: Option<u32>,
    claim: Duration,
    report: bool,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the runtime can't be started")?;
    let tell: Box<dyn FnMut(&crate::status::Report) + Send> = if report {
        Box::new(|report| {
            let mut out = std::io::stdout().lock();
            let line = serde_json::to_string(report).unwrap_or_default();
            // Whoever read the reports is gone; the engine works on without.
            if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
                log::debug!("nobody reads the reports");
            }
        })
    } else {
        Box::new(|report| log::debug!("{report:?}"))
    };
    Ok(runtime.block_on(daemon::run(places, reach, settle, claim, tell))?)
}

fn look(places: &Places) -> Result<Engine> {
    Ok(daemon::open_to_read(places)?)
}

fn path_of(text: &str) -> Result<RelPath> {
    let trimmed = text.trim_end_matches('/');
    RelPath::new(trimmed.as_bytes()).with_context(|| show(text.as_bytes()))
}

fn list(places: &Places, path: &str, json: bool, out: &mut impl Write) -> Result<()> {
    let engine = look(places)?;
    let path = path_of(path)?;
    let world = engine.world();
    let none = Replica::default();
    let devices: Vec<_> =
        engine.config().devices.keys().map(|d| (d, world.device(d).unwrap_or(&none))).collect();
    let mut lines: Vec<(RelPath, Stat)> = Vec::new();
    if let Some(stat) = world.files.get(&path) {
        lines.push((path, *stat));
    } else if let Some(dir) = world.files.dir(&path) {
        world.files.for_each(dir, |p, stat| lines.extend(RelPath::new(p).map(|p| (p, *stat))));
    } else {
        bail!("{path}: there is nothing of this name at home");
    }
    for (p, stat) in lines {
        let holders: Vec<&str> = devices
            .iter()
            .filter(|(_, h)| h.links.get(&p).is_some())
            .map(|(d, _)| d.as_str())
            .collect();
        if json {
            let object = serde_json::json!({
                "path": p.to_percent(),
                "size": stat.id.size,
                "mtime": stat.id.mtime.rfc3339(),
                "on": holders,
            });
            writeln!(out, "{object}")?;
        } else {
            let size = Bytes(stat.id.size).to_string();
            writeln!(out, "{size:>10}  {p}  {}", holders.join(" "))?;
        }
    }
    Ok(())
}

fn status(places: &Places, json: bool, out: &mut impl Write) -> Result<()> {
    let mut report = look(places)?.report();
    report.machine =
        Machine { disk: machine::disk_of(&places.drive), ..Hardware::default().look() };
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        return Ok(());
    }
    writeln!(out, "Larder {}: {:?}", report.version, report.condition)?;
    writeln!(out, "{} files at home, {}", report.files.0, report.files.1)?;
    writeln!(out, "drive: {}", report.drive)?;
    if let Some(disk) = &report.machine.disk {
        writeln!(out, "disk: {disk}")?;
    }
    let machine = report.machine.to_string();
    if !machine.is_empty() {
        writeln!(out, "machine: {machine}")?;
    }
    for device in &report.devices {
        let quota = device.quota.map_or_else(|| "no quota".into(), |q| format!("quota {q}"));
        let name = device.name.as_str();
        writeln!(out, "{name:>16}: {} files, {} ({quota})", device.files, device.used)?;
    }
    for notice in &report.notices {
        writeln!(out, "! {}; {}", notice.what, notice.next)?;
    }
    Ok(())
}

fn run_check(places: &Places, repair: bool, out: &mut impl Write) -> Result<ExitCode> {
    let mut found = check(places, &look(places)?)?;
    if repair && !found.is_empty() {
        for finding in &found {
            writeln!(out, "found: {finding}")?;
        }
        daemon::run_once(places, false, None, false)?;
        found = check(places, &look(places)?)?;
    }
    for finding in &found {
        writeln!(out, "{finding}")?;
    }
    if found.is_empty() {
        writeln!(out, "{}: every promise holds", places.drive.display())?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::from(3))
}

fn dedup(places: &Places, dry_run: bool, any_age: bool, out: &mut impl Write) -> Result<()> {
    if dry_run {
        let engine = look(places)?;
        let mut drive = Real::open(&places.drive)
            .with_context(|| format!("{}: can't be opened", places.drive.display()))?;
        let least_age = if any_age { i64::MIN } else { Rules::default().least_age };
        let rules = Rules { least_age, ..Rules::default() };
        dedup::dry_run(&mut drive, &engine.world().files, rules, daemon::now(), out)?;
        return Ok(());
    }
    let mut printed = Ok(());
    let (report, house) = daemon::join_now(places, any_age.then_some(i64::MIN), &mut |event| {
        if printed.is_ok() {
            printed = match event {
                Event::Joined(join, _) | Event::Shared(join) => writeln!(out, "{join}"),
                Event::PutBack(path) => {
                    writeln!(out, "put back      {path}: somebody writes to it")
                }
                Event::Found(_) => Ok(()),
            };
        }
    })?;
    printed?;
    writeln!(out, "Saved {report}.")?;
    for notice in house.notices.iter().filter(|n| n.condition >= Condition::Attention) {
        writeln!(out, "! {}; {}", notice.what, notice.next)?;
    }
    Ok(())
}

fn tell_where(places: &Places, path: &str, out: &mut impl Write) -> Result<()> {
    let engine = look(places)?;
    let path = path_of(path)?;
    let world = engine.world();
    let all = match (world.files.get(&path), world.files.dir(&path)) {
        (Some(_), _) => 1,
        (None, Some(dir)) => count(&world.files, dir),
        (None, None) => bail!("{path}: there is nothing of this name at home"),
    };
    writeln!(out, "{:>16}: here", "at home")?;
    for device in world.holders(engine.config()) {
        let Some(links) = world.replicas.get(&device).map(|h| &h.links) else { continue };
        let Some(path) = world.path_on(&device, &path) else { continue };
        let held = match (links.get(&path), links.dir(&path)) {
            (Some(_), _) => 1,
            (None, Some(dir)) => count(links, dir),
            (None, None) => 0,
        };
        let state = match (held, all) {
            (0, _) => "not there".into(),
            (1, 1) => "here".into(),
            (n, all) => format!("{n} of {all} files"),
        };
        writeln!(out, "{:>16}: {state}", device.encode())?;
    }
    Ok(())
}

fn count<T: Copy>(tree: &Tree<T>, dir: crate::model::DirId) -> usize {
    let mut files = 0;
    tree.for_each_dir(dir, |d, _| files += tree.files(d).len());
    files
}
