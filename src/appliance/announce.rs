//! Announces the common page on the local network: a service file for avahi-daemon (avahi.service(5)), which looks again
//! whenever one in its folder is written or goes.
//!
//! What is announced is what the engine reports, never what the settings say: the page is served there and nowhere else,
//! and when it is served nowhere nothing is announced.

use rustix::io::Errno;
use std::io::{self, Write as _};
use std::path::PathBuf;

/// The folder of avahi's services, in memory.
#[derive(Debug)]
pub(super) struct Announcer {
    folder: Option<PathBuf>,
    /// What was announced last; `None`: it is not known what lies there.
    announced: Option<Option<u16>>,
}

impl Announcer {
    /// With no folder nothing is announced.
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, announced: None }
    }

    /// Announces where the page is served, or that it is not.
    pub(super) fn announce(&mut self, address: Option<&str>) {
        let port = address.and_then(port_of);
        let Some(folder) = self.folder.as_ref().filter(|_| self.announced != Some(port)) else {
            return;
        };
        let file = folder.join("larder.service");
        let done = match port {
            // Avahi reads it when it is closed.
            Some(port) => std::fs::File::create(&file)
                .and_then(|mut file| file.write_all(service(port).as_bytes())),
            None => match rustix::fs::unlink(&file) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(e) => Err(io::Error::from(e)),
            },
        };
        match done {
            Ok(()) => log::info!("announced on the local network: {port:?}"),
            Err(why) => log::warn!("{}: the page can't be announced: {why}", file.display()),
        }
        // A failure is not tried at every turn: whoever made the folder has to put it right.
        self.announced = Some(port);
    }
}

/// The port of `http://larder.local:8080`.
fn port_of(address: &str) -> Option<u16> {
    let authority = address.strip_prefix("http://")?.split('/').next()?;
    match authority.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => port.parse().ok(),
        _ => Some(80),
    }
}

fn service(port: u16) -> String {
    format!(
        "<?xml version=\"1.0\" standalone='no'?>\n<!DOCTYPE service-group SYSTEM \"avahi-service.dtd\">\n\
         <service-group>\n  <name replace-wildcards=\"yes\">Larder on %h</name>\n  <service>\n    \
         <type>_http._tcp</type>\n    <port>{port}</port>\n  </service>\n</service-group>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_the_page_is_announced_and_nothing_while_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let said = || std::fs::read_to_string(dir.path().join("larder.service")).ok();
        let mut announcer = Announcer::new(Some(dir.path().into()));
        announcer.announce(None);
        assert_eq!(said(), None);
        announcer.announce(Some("http://larder.local:8080"));
        assert!(said().unwrap().contains("<port>8080</port>"));
        announcer.announce(Some("http://larder.local:81"));
        assert!(said().unwrap().contains("<port>81</port>"));
        announcer.announce(None);
        assert_eq!(said(), None);
        // What a supervisor before this one announced is not left.
        announcer.announce(Some("http://larder.local:81"));
        Announcer::new(Some(dir.path().into())).announce(None);
        assert_eq!(said(), None);
        // Without a folder, or with one that is not there, nothing breaks.
        Announcer::new(None).announce(Some("http://larder.local:81"));
        Announcer::new(Some(dir.path().join("none"))).announce(Some("http://larder.local:81"));
    }

    #[test]
    fn the_port_is_read_from_the_address() {
        for (address, port) in [
            ("http://larder.local:8080", Some(8080)),
            ("http://larder.local:81/", Some(81)),
            ("http://larder.local", Some(80)),
            ("http://[fe80::1]", Some(80)),
            ("http://[fe80::1]:82", Some(82)),
            ("nonsense", None),
            ("http://larder.local:99999", None),
        ] {
            assert_eq!(port_of(address), port, "{address}");
        }
    }
}
