//! The settings in force while the file changes under us: the last good ones stay.

use super::{Complaint, Config, parse_bytes};

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
    /// Other settings are in force now, and nothing is wrong with the file.
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
    /// is missing from the start is complained of.
    pub fn update(&mut self, file: Option<&[u8]>) -> Change {
        let (next, complaints) = match file.map(parse_bytes) {
            Some(Ok(config)) => (Some(config), Vec::new()),
            Some(Err(complaints)) => (None, complaints),
            None if self.of_the_file => (None, Vec::new()),
            None => (None, vec![missing()]),
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

fn missing() -> Complaint {
    let next =
        "put it back, or write a new one (`larder config example` prints all that it may say)";
    Complaint { line: 1, what: "the file is missing or can't be read".into(), next: next.into() }
}
