//! The settings in force while the file changes under us: the last good ones stay.

use crate::model::show;

use super::{Complaint, Config, parse_file};

/// The settings in force, and what is wrong with the file that should replace them.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Settings {
    current: Config,
    complaints: Vec<Complaint>,
    of_the_file: bool,
}

/// What a look at the file changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Nothing: neither the settings in force nor the complaints.
    None,
    /// Other settings are in force now, and nothing is wrong with the file but what spares the rest of it.
    Settings,
    /// The settings in force stay; what is wrong with the file is another thing than before, or
    /// nothing any more.
    Complaints,
}

impl Settings {
    /// The settings in force: those of the last good file, or the defaults when there was none.
    pub fn current(&self) -> &Config {
        &self.current
    }

    /// What is wrong with the file as it is now; empty when it is good.
    pub fn complaints(&self) -> &[Complaint] {
        &self.complaints
    }

    /// True once a good file was seen: else the settings in force are the defaults, or were restored.
    pub fn are_of_the_file(&self) -> bool {
        self.of_the_file
    }

    /// Puts settings in force that were good before this run, because the file is broken or missing.
    pub fn restore(&mut self, config: Config) {
        self.current = config;
        self.of_the_file = false;
    }

    /// Takes the file as it is now; `None` when there is none.
    ///
    /// Without a file the settings in force stay, as under a broken one: editors take a file away
    /// before they put the new one in its place, and a card may be pulled out to be edited. A file that
    /// is missing from the start is complained of; one that was saved under a name beside it that looks like it
    /// ([`look_alikes`]), at any time.
    pub fn update(&mut self, file: Option<&[u8]>, beside: &[String]) -> Change {
        let (next, complaints) = match file.map(parse_file) {
            Some(Ok(config)) => {
                let left_out = config.left_out.clone();
                (Some(config), left_out)
            }
            Some(Err(complaints)) => (None, complaints),
            None if self.of_the_file && beside.is_empty() => (None, Vec::new()),
            None => (None, vec![missing(beside)]),
        };
        self.of_the_file |= next.is_some();
        let complaints_differ = self.complaints != complaints;
        self.complaints = complaints;
        match next {
            Some(config) if config != self.current => {
                self.current = config;
                Change::Settings
            }
            _ if complaints_differ => Change::Complaints,
            _ => Change::None,
        }
    }
}

/// What the file is called.
const NAME: &str = "larder.toml";
/// So many names that look like it are told.
const MOST: usize = 3;

/// Of the names in its folder those that somebody may have meant for it: editors, browsers and file managers append to
/// names, and some hide the end of them.
pub fn look_alikes<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<String> {
    let alike = |name: &&str| {
        let lower = name.to_lowercase();
        let ends = [".toml", ".tom", ".tml", ".txt", ".rtf"];
        let like = lower.starts_with("larder")
            && (lower.contains(".toml") || ends.iter().any(|end| lower.ends_with(end)));
        let mistyped = strsim::osa_distance(&lower, NAME) <= 2;
        *name != NAME && !name.starts_with('.') && (like || mistyped)
    };
    let mut found: Vec<String> = names.into_iter().filter(alike).map(str::to_owned).collect();
    found.sort();
    found.truncate(MOST);
    found
}

fn missing(beside: &[String]) -> Complaint {
    let what = "the file is missing or can't be read".to_owned();
    if beside.is_empty() {
        let next =
            "put it back, or write a new one (`larder config example` prints all that it may say)";
        return Complaint { line: 1, what, next: next.into(), spares_the_rest: false };
    }
    let names: Vec<String> =
        beside.iter().map(|name| format!("`{}`", show(name.as_bytes()))).collect();
    Complaint {
        line: 1,
        what: format!("{what}; there is {}, which is not read", names.join(" and ")),
        next: format!(
            "rename it to {NAME} (Windows and macOS can hide the end of a name: let them show all of it)"
        ),
        spares_the_rest: false,
    }
}
