//! Processes that end with the one that started them, however that ends: no process of ours outlives a `kill -9`.
//!
//! The kernel sends a process a signal when the *thread* that started it ends (prctl(2), PR_SET_PDEATHSIG). So
//! processes are started on one thread that lasts ([`on_lasting_thread`]), told by [`VARIABLE`] whose they are, and ask
//! for the signal themselves ([`end_with_starter`]). A program of others is started through `larder exec`, which asks
//! for the signal and becomes that program ([`become_program`]): the signal outlives execve(2).
//!
//! What it must never do: start anything from a thread that may end while the process goes on.

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The process with whose end the one started shall end, as a number.
pub const VARIABLE: &str = "LARDER_ENDS_WITH";

type Work = Box<dyn FnOnce() + Send>;

/// Does something on a thread that ends with the process and not before, and waits for it.
pub fn on_lasting_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    static THREAD: OnceLock<Mutex<Sender<Work>>> = OnceLock::new();
    let thread = THREAD.get_or_init(|| {
        let (send, receive) = channel::<Work>();
        std::thread::spawn(move || receive.into_iter().for_each(|work| work()));
        Mutex::new(send)
    });
    let (answer, answered) = channel();
    let work: Work = Box::new(move || {
        // Whoever asked waits for it.
        answer.send(work()).ok();
    });
    let gone = || io::Error::other("the thread that starts processes has ended");
    let sent = thread.lock().unwrap_or_else(PoisonError::into_inner).send(work);
    sent.map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

/// Asks for the end of this process with that of its starter, where [`VARIABLE`] says so.
///
/// Fails when the starter has ended already: there is nobody to work for.
pub fn end_with_starter() -> io::Result<()> {
    let Some(starter) = std::env::var_os(VARIABLE) else { return Ok(()) };
    let starter = starter.to_str().and_then(|text| text.parse().ok()).and_then(Pid::from_raw);
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have ended before the signal was asked for: then somebody else is the parent.
    if starter.is_none() || getppid() != starter {
        return Err(io::Error::other("the process that started this one has ended"));
    }
    Ok(())
}

/// Becomes another program; returns only when that fails.
pub fn become_program(words: &[OsString]) -> io::Error {
    let Some((program, args)) = words.split_first() else {
        return io::ErrorKind::InvalidInput.into();
    };
    Command::new(program).args(args).env_remove(VARIABLE).exec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_started_on_one_thread_whoever_asks() {
        let id = || on_lasting_thread(|| Ok(std::thread::current().id())).unwrap();
        let first = id();
        let elsewhere = std::thread::spawn(id).join().unwrap();
        assert_eq!(first, elsewhere);
        assert_ne!(first, std::thread::current().id());
        let failed = on_lasting_thread(|| Err::<(), _>(io::ErrorKind::NotFound.into()));
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
