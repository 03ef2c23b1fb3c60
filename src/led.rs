//! The LED: what each [`Condition`] looks like, and who plays it.
//!
//! In comes a condition, out goes light. The table and the player are pure; [`player`] is the
//! thread that moves real lights, [`picture`] draws the table for the README.
//!
//! Every pattern fits [`CYCLE_MS`] exactly, so whoever looks for two seconds, from any moment on,
//! has seen all of it. No pattern may be taken for another one or for the flash codes of the
//! Raspberry Pi's own firmware (3, 4, 7, 8, 9 or 10 short; 2 to 4 long followed by short ones).
//! Nothing here ever fails the house: a light that can't be had is told once and done without.

pub mod light;
pub mod picture;
pub mod player;

use crate::status::Condition;

/// How long a pattern takes before it repeats, in milliseconds.
pub const CYCLE_MS: u64 = 2_000;
/// Length of one slot of a pattern, in milliseconds: the shortest light or darkness there is.
pub const SLOT_MS: u64 = 100;
/// Slots in a pattern.
pub const SLOTS: usize = (CYCLE_MS / SLOT_MS) as usize;

/// Twenty slots of light (`#`) or darkness (`.`), played over and over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Pattern(u32);

impl Pattern {
    /// Reads a drawn pattern. Only for the table below: it stops the compiler when the drawing is
    /// not exactly twenty slots of `#` and `.`.
    const fn drawn(drawing: &str) -> Self {
        let bytes = drawing.as_bytes();
        assert!(bytes.len() == SLOTS, "a pattern has exactly twenty slots");
        let mut bits = 0;
        let mut slot = 0;
        while slot < SLOTS {
            match bytes[slot] {
                b'#' => bits |= 1 << slot,
                b'.' => {}
                _ => panic!("a pattern is drawn with # and ."),
            }
            slot += 1;
        }
        Self(bits)
    }

    /// Whether there is light `elapsed_ms` milliseconds after the pattern began.
    pub const fn is_lit(self, elapsed_ms: u64) -> bool {
        self.0 >> ((elapsed_ms / SLOT_MS) % SLOTS as u64) & 1 == 1
    }

    /// Milliseconds from `elapsed_ms` until the light changes; `None` when it never does.
    pub fn next_change(self, elapsed_ms: u64) -> Option<u64> {
        let now = self.is_lit(elapsed_ms);
        let slot_start = elapsed_ms / SLOT_MS * SLOT_MS;
        (1..SLOTS as u64)
            .map(|slots| slot_start + slots * SLOT_MS)
            .find(|&at| self.is_lit(at) != now)
            .map(|at| at - elapsed_ms)
    }

    /// The slots as a drawing of `#` (light) and `.` (dark).
    pub fn drawing(self) -> String {
        (0..SLOTS as u64).map(|slot| if self.is_lit(slot * SLOT_MS) { '#' } else { '.' }).collect()
    }
}

/// What a condition looks like. One slot is 0.1 s, one line is 2 s.
pub const fn pattern(condition: Condition) -> Pattern {
    Pattern::drawn(match condition {
        Condition::Ready => "####################",
        Condition::Working => "################....",
        Condition::Syncing => "##..##..##..##..##..",
        Condition::Claimable => "########..########..",
        Condition::Starting => "#####.....#####.....",
        Condition::WaitingForDrive => "##########..........",
        Condition::Attention => "##..##..............",
        Condition::SettingsError => "########..##........",
        Condition::DriveFull => "##########..##..##..",
        Condition::DriveUnusable => "######..##..##......",
        Condition::StoppedSafely => "#...................",
    })
}

/// What the pattern looks like, in words for an owner.
pub const fn words(condition: Condition) -> &'static str {
    match condition {
        Condition::Ready => "steady light",
        Condition::Working => "light with one short break",
        Condition::Syncing => "fast, even blinking",
        Condition::Claimable => "light with a short break every second",
        Condition::Starting => "even blinking, once a second",
        Condition::WaitingForDrive => "slow, even blinking: one second on, one second off",
        Condition::Attention => "two short flashes, then a pause",
        Condition::SettingsError => "one long flash and one short, then a pause",
        Condition::DriveFull => "long light with three quick breaks",
        Condition::DriveUnusable => "one long flash and two short, then a pause",
        Condition::StoppedSafely => "a spark every two seconds, or dark",
    }
}

/// What the condition means, in words for an owner.
pub const fn meaning(condition: Condition) -> &'static str {
    match condition {
        Condition::Ready => "ready",
        Condition::Working => "working (night work)",
        Condition::Syncing => "syncing",
        Condition::Claimable => "the password of the page may be chosen now",
        Condition::Starting => "starting",
        Condition::WaitingForDrive => "waiting for a drive",
        Condition::Attention => "wants your attention: see the page or STATUS.txt",
        Condition::SettingsError => "error in the settings (larder.toml)",
        Condition::DriveFull => "drive full",
        Condition::DriveUnusable => "drive not usable: STATUS.txt says why",
        Condition::StoppedSafely => "stopped safely: the drive may be unplugged",
    }
}

/// The whole table as text, one condition a line: its name, a space and its drawing.
pub fn table() -> String {
    Condition::ALL.iter().map(|c| format!("{c} {}\n", pattern(*c).drawing())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two patterns count as different when they disagree for at least this long in any two
    /// seconds, however one is shifted against the other: an eye notices a fifth of a second, and
    /// a camera or a monitor that looks every 0.1 s can't miss it.
    const TELLS_APART_MS: u64 = 200;
    const STEP_MS: u64 = 10;

    fn disagreement(a: impl Fn(u64) -> bool, b: impl Fn(u64) -> bool) -> u64 {
        (0..CYCLE_MS)
            .step_by(STEP_MS as usize)
            .map(|shift| {
                let differ = |t: &u64| a(*t) != b((t + shift) % CYCLE_MS);
                (0..CYCLE_MS).step_by(STEP_MS as usize).filter(differ).count() as u64 * STEP_MS
            })
            .min()
            .unwrap()
    }

    #[test]
    fn any_two_conditions_differ_within_two_seconds_from_any_moment_on() {
        for a in Condition::ALL {
            for b in Condition::ALL.into_iter().filter(|b| *b != a) {
                let (pa, pb) = (pattern(a), pattern(b));
                let apart = disagreement(|t| pa.is_lit(t), |t| pb.is_lit(t));
                assert!(apart >= TELLS_APART_MS, "{a} and {b} differ for {apart} ms only");
            }
        }
    }

    #[test]
    fn a_pattern_equals_itself_from_any_moment_on() {
        for c in Condition::ALL {
            let p = pattern(c);
            assert_eq!(disagreement(|t| p.is_lit(t), |t| p.is_lit(t)), 0);
        }
    }

    /// Flashes of one cycle as an onlooker counts them: groups are what stands between the longest
    /// darknesses; a flash of half a second or more is long. Even blinking has no group.
    fn flashes(p: Pattern) -> Option<(usize, usize)> {
        let drawing = p.drawing();
        let start = drawing.find(".#")? + 1;
        let turned = format!("{}{}", &drawing[start..], &drawing[..start]);
        let lights: Vec<usize> =
            turned.split('.').filter(|run| !run.is_empty()).map(str::len).collect();
        let darks: Vec<usize> =
            turned.split('#').filter(|run| !run.is_empty()).map(str::len).collect();
        let even = darks.len() > 1 && darks.iter().all(|d| *d == darks[0]);
        let long = lights.iter().filter(|l| **l >= 5).count();
        (!even).then_some((long, lights.len() - long))
    }

    #[test]
    fn no_condition_looks_like_a_flash_code_of_the_firmware() {
        for c in Condition::ALL {
            if let Some((long, short)) = flashes(pattern(c)) {
                assert!(long > 0 || ![3, 4, 7, 8, 9, 10].contains(&short), "{c}: {short} short");
                assert!(!(2..=4).contains(&long) || short == 0, "{c}: {long} long, {short} short");
            }
        }
        // The reader of flashes itself sees what is there.
        assert_eq!(flashes(Pattern::drawn("##..##..##..........")), Some((0, 3)));
        assert_eq!(flashes(Pattern::drawn("#####.#####.#.......")), Some((2, 1)));
        assert_eq!(flashes(pattern(Condition::Syncing)), None);
    }

    #[test]
    fn syncing_blinks_and_ready_does_not() {
        assert_eq!(pattern(Condition::Ready).next_change(0), None);
        assert_eq!(pattern(Condition::Syncing).next_change(0), Some(200));
        assert_eq!(pattern(Condition::Syncing).next_change(150), Some(50));
        assert_eq!(pattern(Condition::WaitingForDrive).next_change(1_999), Some(1));
        assert_eq!(pattern(Condition::WaitingForDrive).next_change(2_000), Some(1_000));
    }

    #[test]
    fn next_change_agrees_with_the_light() {
        for c in Condition::ALL {
            let p = pattern(c);
            for at in 0..2 * CYCLE_MS {
                if let Some(wait) = p.next_change(at) {
                    assert!((at..at + wait).all(|t| p.is_lit(t) == p.is_lit(at)), "{c} at {at}");
                    assert_ne!(p.is_lit(at + wait), p.is_lit(at), "{c} at {at}");
                }
            }
        }
    }

    #[test]
    fn the_table_names_every_condition_once() {
        let table = table();
        assert_eq!(table.lines().count(), Condition::ALL.len());
        assert!(table.contains("\nwaiting-for-drive ##########..........\n"), "{table}");
    }
}
