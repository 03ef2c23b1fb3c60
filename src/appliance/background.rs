//! What work beside the supervisor's loop shares with it: how its event comes to the loop, and how a mount ends.

use super::machine::Event;
use crate::drive::{DriveError, mounting};
use std::path::Path;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// How long a busy mount is waited for before it is detached.
const BUSY_FOR: Duration = Duration::from_secs(2);

pub(super) fn send_event(send: &Sender<Event>, event: Event) {
    if send.send(event).is_err() {
        log::debug!("the supervisor has ended; an event is lost");
    }
}

/// Unmounts; a mount that stays busy is detached.
pub(super) fn unmount(at: &Path, gone: bool) {
    let began = Instant::now();
    loop {
        let lazily = gone || began.elapsed() > BUSY_FOR;
        match mounting::unmount(at, lazily) {
            Ok(()) => return log::info!("unmounted {}", at.display()),
            Err(DriveError::Io { source, .. }) if source.raw_os_error() == Some(EINVAL) => return,
            Err(why) if lazily => return log::error!("{why}"),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Nothing is mounted there.
const EINVAL: i32 = rustix::io::Errno::INVAL.raw_os_error();
