//! Child processes that speak in lines: the engine and the import.
//!
//! In comes a program with its user; out come its lines and its end, through two closures on
//! threads of their own. A child leads a process group, so that what it started ends with it; one of
//! ours ends with this process, however that ends.

use crate::parent::{VARIABLE, on_lasting_thread};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// No line is longer: a report of hundreds of devices has some 100 kB.
const LONGEST_LINE: u64 = 4 << 20;

/// A running child.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    ended: Arc<AtomicBool>,
    kill_at: Option<Instant>,
}

impl Child {
    /// Starts `program` with `args` as `uid` and `gid`, without other groups. `line` is called for
    /// every line of its standard output, `end` once when it has ended.
    pub fn start(
        program: &Path,
        args: &[&str],
        (uid, gid): (u32, u32),
        mut line: impl FnMut(&str) + Send + 'static,
        end: impl FnOnce(bool) + Send + 'static,
    ) -> io::Result<Self> {
        let mut command = Command::new(program);
        command
            .args(args)
            .env(VARIABLE, std::process::id().to_string())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .uid(uid)
            .gid(gid)
            .process_group(0);
        let mut child = on_lasting_thread(move || command.spawn())?;
        let number = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = number.ok_or_else(|| io::Error::other("a process without a number"))?;
        let output = child.stdout.take();
        let ended = Arc::new(AtomicBool::new(false));
        let tell = Arc::clone(&ended);
        std::thread::spawn(move || {
            let mut reader = output.map(BufReader::new);
            while let Some(text) = reader.as_mut().and_then(next_line) {
                line(&text);
            }
        });
        std::thread::spawn(move || {
            let well = child.wait().is_ok_and(|status| status.success());
            tell.store(true, Ordering::SeqCst);
            // Whatever it left running would hold the drive. No such group is the normal answer.
            let left = kill_process_group(pid, Signal::KILL);
            log::debug!("ending the rest of group {pid:?}: {left:?}");
            end(well);
        });
        Ok(Self { pid, ended, kill_at: None })
    }

    /// Its process number.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Asks it to end, and kills it `within` that time. A second call can only shorten the time.
    pub fn stop(&mut self, within: Duration) {
        let at = Instant::now() + within;
        if self.kill_at.is_none() && !self.ended.load(Ordering::SeqCst) {
            let asked = kill_process(self.pid, Signal::TERM);
            log::debug!("asking process {:?} to end: {asked:?}", self.pid);
        }
        self.kill_at = Some(self.kill_at.map_or(at, |before| before.min(at)));
        self.press();
    }

    /// Kills it when its time is over; to be called often.
    pub fn press(&mut self) {
        let over = self.kill_at.is_some_and(|at| Instant::now() >= at);
        if over && !self.ended.load(Ordering::SeqCst) {
            let killed = kill_process_group(self.pid, Signal::KILL);
            log::warn!("process {:?} did not end in time and was killed: {killed:?}", self.pid);
            self.kill_at = None;
        }
    }

    /// When it will be killed.
    pub fn deadline(&self) -> Option<Instant> {
        self.kill_at.filter(|_| !self.ended.load(Ordering::SeqCst))
    }
}

/// The next line; `None` at the end, or when a line is too long to be one of ours.
fn next_line(reader: &mut BufReader<std::process::ChildStdout>) -> Option<String> {
    let mut bytes = Vec::new();
    reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes).ok()?;
    (bytes.last() == Some(&b'\n')).then(|| String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, channel};

    fn start(script: &str) -> (Child, Receiver<String>) {
        let (send, hear) = channel();
        let say = send.clone();
        let me = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let child = Child::start(
            Path::new("/bin/sh"),
            &["-c", script],
            me,
            move |line| say.send(line.to_owned()).unwrap(),
            move |well| send.send(format!("ended {well}")).unwrap(),
        );
        (child.unwrap(), hear)
    }

    const SOON: Duration = Duration::from_secs(120);

    #[test]
    fn lines_and_the_end_are_told() {
        let (_child, hear) = start("echo one; echo two; exit 3");
        let mut told: Vec<String> = (0..3).map(|_| hear.recv_timeout(SOON).unwrap()).collect();
        told.sort();
        assert_eq!(told, ["ended false", "one", "two"]);
    }

    #[test]
    fn one_that_does_not_listen_is_killed_with_what_it_started() {
        let (mut child, hear) = start("trap '' TERM; sleep 600 & echo $!; wait; sleep 600");
        let below = hear.recv_timeout(SOON).unwrap();
        child.stop(Duration::ZERO);
        assert_eq!(hear.recv_timeout(SOON).unwrap(), "ended false");
        // Killed and perhaps not yet collected by its new parent: gone, or a zombie.
        let began = Instant::now();
        let stat = format!("/proc/{below}/stat");
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(began.elapsed() < SOON, "the child's child lives on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
