//! The settings in force while the file changes under us: the last good ones stay.

use super::{Complaint, Config, parse_bytes};

/// The settings in force, and what is wrong with the file that should replace them.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Settings {
    current: Config,
    complaints: Vec<Complaint>,
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

    /// Puts settings in force that were good before this run, while the file is broken.
    pub fn restore(&mut self, config: Config) {
        self.current = config;
    }

    /// Takes the file as it is now; `None` when there is none.
    ///
    /// Without a file the settings in force stay, as under a broken one: editors take a file away
    /// before they put the new one in its place, and a card may be pulled out to be edited.
    pub fn update(&mut self, file: Option<&[u8]>) -> Change {
        let (next, complaints) = match file.map(parse_bytes) {
            Some(Ok(config)) => (Some(config), Vec::new()),
            Some(Err(complaints)) => (None, complaints),
            None => (None, Vec::new()),
        };
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
