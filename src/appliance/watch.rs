//! What the supervisor hears: the disks and the health of the mount, looked at every half second,
//! and signals. Each on a thread of its own, for as long as anybody listens.

use super::Options;
use super::machine::Event;
use crate::drive::devices::{self, Present};
use crate::mounts;
use std::io;
use std::path::Path;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// How often the disks are looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Looks at the disks and at the health of the mount for as long as anybody listens. What is gone
/// is told at once; what came, when the next look sees the same: a disk appears a moment before
/// its partitions.
pub(super) fn look(options: Options, send: Sender<Event>) {
    std::thread::spawn(move || {
        let (mut told, mut before): (Option<Vec<Present>>, _) = (None, None);
        loop {
            match devices::present(&options.roots) {
                Ok(now) => {
                    let same =
                        |a: &Present, b: &Present| (&a.name, a.sequence) == (&b.name, b.sequence);
                    let gone = |was: &Present| !now.iter().any(|is| same(was, is));
                    let lost = told.as_ref().is_some_and(|told| told.iter().any(gone));
                    let settled = before.as_ref() == Some(&now);
                    if told.as_ref() != Some(&now) && (lost || settled) {
                        let keys = now.iter().map(|disk| (disk.name.clone(), disk.sequence));
                        if send.send(Event::Present(keys.collect())).is_err() {
                            return;
                        }
                        told = Some(now.clone());
                    }
                    before = Some(now);
                }
                Err(why) => log::error!("the disks can't be listed: {why}"),
            }
            if is_sick(&options.drive) && send.send(Event::Sick).is_err() {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    });
}

/// Whether the drive is mounted and no longer takes writes: ext4 and btrfs say so in the table of
/// mounts, a shut-down XFS by an error on its directory.
fn is_sick(drive: &Path) -> bool {
    mounts::at(drive).ok().flatten().is_some_and(|mount| {
        mount.read_only
            || std::fs::read_dir(drive).and_then(|mut dir| dir.next().transpose()).is_err()
    })
}

/// SIGTERM and SIGINT stop, SIGUSR1 ejects.
pub(super) fn signals(send: Sender<Event>) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut term, mut int, mut user) = runtime.block_on(async {
        let listen = |kind| signal(kind);
        io::Result::Ok((
            listen(SignalKind::terminate())?,
            listen(SignalKind::interrupt())?,
            listen(SignalKind::user_defined1())?,
        ))
    })?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                let event = tokio::select! {
                    _ = term.recv() => Event::Stop,
                    _ = int.recv() => Event::Stop,
                    _ = user.recv() => Event::Eject,
                };
                if send.send(event).is_err() {
                    return;
                }
            }
        });
    });
    Ok(())
}
