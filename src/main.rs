//! The `larder` program.

use clap::{Args, Parser, Subcommand};
use larder::drive::devices::Roots;
use larder::{appliance, drive, led};
use std::io::Write;
use std::path::PathBuf;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The status LED.
    #[command(subcommand)]
    Led(Led),
    /// Supervise drive, engine, LED and STATUS.txt, as root (what the SD card's init runs).
    Appliance(Appliance),
    /// Copy the files of a drive that Larder can't use (what the supervisor starts).
    #[command(hide = true)]
    Import {
        #[arg(long)]
        from: PathBuf,
        #[arg(long)]
        drive: PathBuf,
        #[arg(long)]
        id: String,
    },
}

#[derive(Subcommand)]
enum Led {
    /// Play every pattern.
    Test {
        /// Seconds for each.
        #[arg(long, default_value_t = 4)]
        seconds: u64,
        /// The boot partition, whose larder.toml names the pin.
        #[arg(long, default_value = "/boot")]
        boot: PathBuf,
    },
    /// Print the table, one condition a line.
    Table,
    /// Print the table as an SVG picture.
    Picture,
}

#[derive(Args)]
struct Appliance {
    /// The boot partition.
    #[arg(long, default_value = "/boot")]
    boot: PathBuf,
    /// Where the drive is mounted.
    #[arg(long, default_value = "/drive")]
    drive: PathBuf,
    /// A directory in memory.
    #[arg(long, default_value = "/run/larder", hide = true)]
    run: PathBuf,
    /// Who the engine runs as.
    #[arg(long, default_value = "larder", hide = true)]
    user: String,
    /// The engine's program; default this one.
    #[arg(long, hide = true)]
    engine: Option<PathBuf>,
    /// Where the kernel shows its devices.
    #[arg(long, default_value = "/sys", hide = true)]
    sys: PathBuf,
    /// Not only USB disks, and neither LED nor clock: for tests.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let mut out = std::io::stdout();
    match Cli::parse().command {
        Command::Led(Led::Test { seconds, boot }) => {
            led::player::test(appliance::shell::led(&boot), seconds, &mut out)?;
        }
        Command::Led(Led::Table) => out.write_all(led::table().as_bytes())?,
        Command::Led(Led::Picture) => out.write_all(led::picture::svg().as_bytes())?,
        Command::Appliance(a) => appliance::run(&appliance::Options {
            boot: a.boot,
            drive: a.drive,
            run: a.run,
            user: a.user,
            engine: a.engine.map_or_else(std::env::current_exe, Ok)?,
            roots: Roots { sys: a.sys, dev: "/dev".into(), any_bus: a.bench },
            led: !a.bench,
            clock: !a.bench,
        })?,
        Command::Import { from, drive, id } => {
            drive::import::import(&from, &drive, &id, &mut |progress| {
                serde_json::to_writer(&mut out, progress)?;
                out.write_all(b"\n")?;
                out.flush()
            })?;
        }
    }
    Ok(())
}
