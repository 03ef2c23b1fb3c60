//! The thread that plays the pattern of the present condition on every light there is.
//!
//! In come conditions, from any thread; out goes light. A new condition begins at once. A light
//! that fails is told once and dropped; the others go on. It must never hold up whoever sets it.

use super::light::{BoardLed, HeaderPin, Light};
use super::{CYCLE_MS, pattern};
use crate::config;
use crate::status::Condition;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Opens the lights that the settings name and this board has. What is missing is told in the
/// log: the house works without light.
pub fn lights(led: config::Led) -> Vec<Box<dyn Light>> {
    let mut lights: Vec<Box<dyn Light>> = Vec::new();
    if let Some(pin) = led.pin {
        match HeaderPin::open(pin, led.active_low) {
            Ok(light) => lights.push(Box::new(light)),
            Err(why) => log::warn!("{why}"),
        }
    }
    match BoardLed::open(Path::new("/sys/class/leds")) {
        Ok(light) => lights.push(Box::new(light)),
        Err(why) => log::warn!("{why}"),
    }
    lights
}

/// The playing thread. Dropping it darkens the lights.
#[derive(Debug)]
pub struct Player {
    say: Option<Sender<Condition>>,
    thread: Option<JoinHandle<()>>,
}

impl Player {
    /// Starts to play `first` on `lights`.
    pub fn start(lights: Vec<Box<dyn Light>>, first: Condition) -> Self {
        let (say, hear) = channel();
        let thread = std::thread::spawn(move || play(lights, first, &hear));
        Self { say: Some(say), thread: Some(thread) }
    }

    /// From now on, shows `condition`. Saying the same again changes nothing.
    pub fn show(&self, condition: Condition) {
        if let Some(say) = &self.say
            && say.send(condition).is_err()
        {
            log::debug!("the LED is gone; {condition} is not shown");
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.say = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::warn!("the LED's thread broke down");
        }
    }
}

fn play(mut lights: Vec<Box<dyn Light>>, first: Condition, hear: &Receiver<Condition>) {
    let mut condition = first;
    let mut began = Instant::now();
    loop {
        let elapsed = u64::try_from(began.elapsed().as_millis()).unwrap_or(0);
        set(&mut lights, pattern(condition).is_lit(elapsed));
        match hear.recv_timeout(until_next(condition, elapsed)) {
            Ok(next) if next != condition => (condition, began) = (next, Instant::now()),
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return set(&mut lights, false),
        }
    }
}

/// How long the lights are left alone: until the pattern changes, but never longer than a cycle.
/// Somebody else may have moved a lamp (`larder led test` beside the supervisor).
fn until_next(condition: Condition, elapsed_ms: u64) -> Duration {
    let wait = pattern(condition).next_change(elapsed_ms).unwrap_or(CYCLE_MS);
    Duration::from_millis(wait.min(CYCLE_MS))
}

fn set(lights: &mut Vec<Box<dyn Light>>, on: bool) {
    lights.retain_mut(|light| match light.set(on) {
        Ok(()) => true,
        Err(why) => {
            log::warn!("{why}");
            false
        }
    });
}

/// Plays every condition on `lights` for `each` and calls `tell` before each one.
pub fn play_all(
    lights: Vec<Box<dyn Light>>,
    each: Duration,
    tell: &mut dyn FnMut(Condition) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let player = Player::start(lights, Condition::ALL[0]);
    for condition in Condition::ALL {
        tell(condition)?;
        player.show(condition);
        std::thread::sleep(each);
    }
    Ok(())
}

/// `larder led test`: plays all patterns on the lights of this board, `seconds` each, and writes
/// to `out` what is being shown.
pub fn test(led: config::Led, seconds: u64, out: &mut dyn std::io::Write) -> std::io::Result<()> {
    let lights = lights(led);
    if lights.is_empty() {
        return Err(std::io::Error::other(
            "no LED to play on: run this as root on the Pi, and see the messages above",
        ));
    }
    for light in &lights {
        writeln!(out, "playing on {}", light.name())?;
    }
    play_all(lights, Duration::from_secs(seconds), &mut |condition| {
        writeln!(out, "{:<20} {}", condition.to_string(), super::words(condition))?;
        out.flush()
    })
}

#[cfg(test)]
mod tests {
    use super::super::light::{LightError, MemoryLight};
    use super::*;

    struct Broken;
    impl Light for Broken {
        fn set(&mut self, _: bool) -> Result<(), LightError> {
            Err(LightError::NoBoardLed("/nowhere".into()))
        }
        fn name(&self) -> String {
            "broken".into()
        }
    }

    #[test]
    fn all_conditions_are_told_and_the_lights_end_dark_though_one_is_broken() {
        let memory = MemoryLight::default();
        let mut told = Vec::new();
        let lights: Vec<Box<dyn Light>> = vec![Box::new(Broken), Box::new(memory.clone())];
        play_all(lights, Duration::from_millis(2), &mut |condition| {
            told.push(condition);
            Ok(())
        })
        .unwrap();
        assert_eq!(told, Condition::ALL);
        assert_eq!(memory.seen().first(), Some(&true));
        assert_eq!(memory.seen().last(), Some(&false));
    }

    #[test]
    fn a_lamp_that_somebody_else_moved_is_put_right_within_a_cycle() {
        for condition in Condition::ALL {
            for elapsed in (0..3 * CYCLE_MS).step_by(50) {
                let wait = until_next(condition, elapsed);
                assert!(wait <= Duration::from_millis(CYCLE_MS), "{condition} at {elapsed}");
            }
        }
        let memory = MemoryLight::default();
        let player = Player::start(vec![Box::new(memory.clone())], Condition::Ready);
        let began = Instant::now();
        while memory.seen().len() < 2 {
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", memory.seen());
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(player);
        assert_eq!(memory.seen()[..2], [true, true]);
    }

    #[test]
    fn a_pattern_that_never_changes_does_not_keep_the_player_from_ending() {
        let memory = MemoryLight::default();
        let player = Player::start(vec![Box::new(memory.clone())], Condition::Ready);
        drop(player);
        assert_eq!(memory.seen().last(), Some(&false));
    }
}
