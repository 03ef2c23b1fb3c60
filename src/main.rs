//! The `larder` program.

use clap::{Parser, Subcommand};
use larder::led;
use std::io::Write;

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
}

#[derive(Subcommand)]
enum Led {
    /// Play every pattern.
    Test {
        /// Seconds for each.
        #[arg(long, default_value_t = 4)]
        seconds: u64,
    },
    /// Print the table, one condition a line.
    Table,
    /// Print the table as an SVG picture.
    Picture,
}

fn main() -> anyhow::Result<()> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let mut out = std::io::stdout();
    match Cli::parse().command {
        Command::Led(Led::Test { seconds }) => {
            led::player::test(larder::config::Config::default().led, seconds, &mut out)?;
        }
        Command::Led(Led::Table) => out.write_all(led::table().as_bytes())?,
        Command::Led(Led::Picture) => out.write_all(led::picture::svg().as_bytes())?,
    }
    Ok(())
}
