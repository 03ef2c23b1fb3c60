//! The process: started, watched, and ended with all that belongs to it.

use super::{Core, home};
use crate::parent::on_lasting_thread;
use crate::transport::TransportError;
use hyper::Method;
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Child;

/// Longest path of a unix socket (unix(7): 108 with its NUL).
const MOST_SOCKET: usize = 107;
/// How long it may take to stop before it is killed. It closes its database then.
const STOP: Duration = Duration::from_secs(20);
/// Its lines kept to tell why it ended.
const LAST_LINES: usize = 12;

/// Why a run is over.
pub(super) enum Over {
    /// We were told to stop.
    Stopped,
    /// It wants to be started again.
    Restart,
}

/// A running Syncthing. Dropping it kills it.
pub(super) struct Running {
    child: Child,
    group: Option<Pid>,
    said: Arc<Mutex<VecDeque<String>>>,
}

/// Starts it; it may not answer yet.
pub(super) async fn start(core: &Core) -> Result<Running, TransportError> {
    let settings = &core.settings;
    let socket = settings.socket();
    if socket.as_os_str().len() > MOST_SOCKET {
        let path = socket.display();
        return Err(TransportError::Refused {
            doing: "open its interface".into(),
            answer: format!("{path} is longer than {MOST_SOCKET} bytes; use a shorter folder"),
        });
    }
    let version = home::version(settings).await?;
    let mut lot = [0; 32];
    getrandom::fill(&mut lot)
        .map_err(|e| TransportError::Down(format!("no random numbers for its key: {e}")))?;
    let key: String = lot.iter().map(|b| format!("{b:02x}")).collect();
    if let Some(old) = home::prepare(settings, &key).await?
        && end_left_over(core, old).await
    {
        home::prepare(settings, &key).await?;
    }
    core.rest.set_key(key);
    log::info!("sync: starting Syncthing {version}");
    let mut command = home::guarded(settings);
    command.args(["serve", "--no-browser", "--home"]).arg(&settings.home);
    let runtime = tokio::runtime::Handle::current();
    let spawn = move || {
        // The runtime waits for the child's end.
        let _entered = runtime.enter();
        command.spawn()
    };
    let mut child = on_lasting_thread(spawn)
        .map_err(|source| TransportError::Missing { path: settings.program.clone(), source })?;
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let said = Arc::default();
    if let Some(stdout) = child.stdout.take() {
        tokio::spawn(read_lines(stdout, Arc::clone(&said)));
    }
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(read_lines(stderr, Arc::clone(&said)));
    }
    Ok(Running { child, group, said })
}

/// Ends a Syncthing that outlived an engine which was killed: it holds the database.
async fn end_left_over(core: &Core, key: String) -> bool {
    core.rest.set_key(key);
    let path = "/rest/system/shutdown";
    let asked = core.rest.send(Method::POST, path, String::new(), STOP / 4).await;
    if asked.is_err() {
        return false;
    }
    log::info!("sync: ending a Syncthing that was left over");
    let end = Instant::now() + STOP;
    while Instant::now() < end
        && (tokio::net::UnixStream::connect(core.settings.socket()).await.is_ok()
            || home::is_locked(&core.settings))
    {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    true
}

/// Passes its lines on to the log and keeps the last.
async fn read_lines(from: impl AsyncRead + Unpin, said: Arc<Mutex<VecDeque<String>>>) {
    let mut lines = BufReader::new(from).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = crate::model::show(&line[..line.len().min(1_000)]);
        let level = if line.contains("WARNING") || line.contains(" WRN ") {
            log::Level::Warn
        } else {
            log::Level::Debug
        };
        log::log!(level, "syncthing: {line}");
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() == LAST_LINES {
            said.pop_front();
        }
        said.push_back(line);
    }
}

impl Running {
    /// Waits until it ends by itself.
    pub(super) async fn ended(&mut self) -> Result<Over, TransportError> {
        let status = self.child.wait().await;
        // Its last words may still be on their way.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let code = match status {
            // 3: it asks to be started again, after a change that needs it.
            Ok(status) if status.code() == Some(3) => return Ok(Over::Restart),
            Ok(status) => status.to_string(),
            Err(e) => e.to_string(),
        };
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |what: &str| said.iter().rev().find(|l| l.contains(what));
        let last = of("panic").or_else(|| of("WARNING")).or_else(|| of("WRN")).or(said.back());
        let last = last.map(|l| format!(", saying: {}", unstamped(l))).unwrap_or_default();
        Err(TransportError::Down(format!("it ended with {code}{last}")))
    }

    /// Stops it in good order if it still runs, and by force if that takes too long.
    pub(super) async fn stop(&mut self, core: &Core) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let path = "/rest/system/shutdown";
        let asked = core.rest.send(Method::POST, path, String::new(), STOP / 4).await;
        if asked.is_err() {
            self.signal(Signal::TERM);
        }
        if tokio::time::timeout(STOP, self.child.wait()).await.is_err() {
            log::warn!("sync: Syncthing does not stop; it is killed");
            self.signal(Signal::KILL);
            // Nothing outlives this signal, except a process that waits for a dead drive; that
            // one is waited for no longer.
            tokio::time::timeout(STOP, self.child.wait()).await.ok();
        }
    }

    fn signal(&self, signal: Signal) {
        // Only while it has not been waited for: afterwards its number may be somebody else's.
        if self.child.id().is_some()
            && let Some(group) = self.group
        {
            // It may have ended this very moment, which is what is wanted.
            kill_process_group(group, signal).ok();
        }
    }
}

/// A line of its log without the words before its text that differ from run to run: `[ABCDE] 2026/11/23 10:00:00 `.
fn unstamped(line: &str) -> &str {
    let is_stamp = |word: &str| {
        word.starts_with('[') && word.ends_with(']')
            || word.starts_with(|c: char| c.is_ascii_digit())
                && word.bytes().all(|b| b.is_ascii_digit() || b"/:.-TZ+".contains(&b))
    };
    let mut rest = line.trim_start();
    while let Some((_, after)) = rest.split_once(' ').filter(|(word, _)| is_stamp(word)) {
        rest = after.trim_start();
    }
    rest
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::unstamped;

    #[test]
    fn what_differs_from_run_to_run_is_not_told() {
        for (line, told) in [
            ("[54OMV] 2026/12/01 03:22:53 WARNING: no room", "WARNING: no room"),
            ("2026-12-01 03:22:53 WRN no room (id=1)", "WRN no room (id=1)"),
            ("2026-12-01T03:22:53.123+01:00 panic: x", "panic: x"),
            ("panic: 3 of 4", "panic: 3 of 4"),
            ("", ""),
        ] {
            assert_eq!(unstamped(line), told);
        }
    }
}
