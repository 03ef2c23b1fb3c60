//! How STATUS.txt lies on the card, so that a power cut at any moment leaves a whole report. Pure.
//!
//! The file has a fixed length and is only ever rewritten in place, sector by sector:
//!
//! | bytes | what |
//! |---|---|
//! | 0 to 511 | the head: one sector, which the card writes whole or not at all. It names the part to read |
//! | 512 to 8191 | part 1: normally the newest report |
//! | 8192 to 15871 | part 2: the same again, the reserve |
//!
//! A new report goes first into the part that the head does not name, then the head is turned to
//! it, then it goes into the other part; at the end the head names part 1. Each step is on the
//! card before the next one begins. A person sees the newest report right under the head, unless
//! the power went in between: then the head says to read on below. Each part carries a checksum,
//! so that the report is found even when the head itself is lost.

use super::machine::Machine;

/// Bytes of a sector, the unit that a card writes whole.
pub const SECTOR: usize = 512;
/// Bytes of one part.
const PART: usize = 15 * SECTOR;
/// Bytes of the whole file.
pub const LENGTH: usize = SECTOR + 2 * PART;
/// What a text editor takes as "this is UTF-8".
const MARK: &str = "\u{feff}";
const HEAD: &str = "LARDER STATUS";
const RULE: &str = "------------------------------------------------------------";

/// Bytes that are to be at an offset, and on the card before the next step begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Offset in the file: a multiple of [`SECTOR`].
    pub offset: usize,
    /// What is to be there: whole sectors.
    pub bytes: Vec<u8>,
}

/// The part of a file, 0 or 1.
type Which = usize;

/// When a report is written, in words, and on a line of its own how the hardware fares then. It stands in the head, which
/// tells one writing from the next: what differs in nothing else is not written.
pub fn stamp(written: &str, machine: &Machine) -> String {
    let machine = machine.to_string();
    if machine.is_empty() { written.to_owned() } else { format!("{written}\n{machine}") }
}

/// What the image of a card begins with: a file of the right length that says so.
pub fn blank() -> Vec<u8> {
    let mut file = vec![b' '; LENGTH];
    let words = format!(
        "{MARK}{HEAD}\r\n\r\nLarder has not written a report yet. It does so about a minute after \
         the first start.\r\n"
    );
    file[..words.len()].copy_from_slice(words.as_bytes());
    for end in [SECTOR, SECTOR + PART, LENGTH] {
        file[end - 2..end].copy_from_slice(b"\r\n");
    }
    file
}

/// The steps from `file` (what is there now, of any content and length) to `text`, written at
/// `written` (a [`stamp`]). Every state between two steps, and every state in which a step
/// reached the card in part, holds a whole report, if `file` held one.
pub fn steps(file: &[u8], text: &str, written: &str) -> Vec<Step> {
    let now = current(file);
    let number = now.map_or(1, |(_, number)| number.wrapping_add(1));
    let part = part(number, text);
    // With nothing whole to keep, part 1 goes first and all is done in its order.
    let kept = now.map_or(1, |(which, _)| which);
    let first = 1 - kept;
    let mut steps = vec![
        Step { offset: offset(first), bytes: part.clone() },
        Step { offset: 0, bytes: head(number, first, &part, written) },
        Step { offset: offset(kept), bytes: part.clone() },
    ];
    if first == 1 {
        steps.push(Step { offset: 0, bytes: head(number, 0, &part, written) });
    }
    steps
}

/// The newest whole report of a file, as text with plain newlines.
pub fn read(file: &[u8]) -> Option<String> {
    let (which, _) = current(file)?;
    let part = &file[offset(which)..offset(which) + PART];
    let (_, body) = split(part)?;
    let text = std::str::from_utf8(body).ok()?;
    Some(text.trim_end().replace("\r\n", "\n") + "\n")
}

/// Which part to read, and its number: what the head names when that is whole, else the whole
/// part with the greater number.
fn current(file: &[u8]) -> Option<(Which, u32)> {
    if file.len() != LENGTH {
        return None;
    }
    let whole = |which: Which| {
        let part = &file[offset(which)..offset(which) + PART];
        let (label, body) = split(part)?;
        let (number, check) = parse_label(label)?;
        (check == checksum(number, body)).then_some((which, number))
    };
    let named = std::str::from_utf8(&file[..SECTOR]).ok().and_then(|head| {
        let (_, rest) = head.split_once("part ")?;
        let which = rest.chars().next()?.to_digit(10)?.checked_sub(1)?;
        let number = head.split_once("report ")?.1.split(',').next()?.parse::<u32>().ok()?;
        let found = whole(usize::try_from(which).ok().filter(|w| *w < 2)?)?;
        (found.1 == number).then_some(found)
    });
    named.or_else(|| [whole(0), whole(1)].into_iter().flatten().max_by_key(|found| found.1))
}

const fn offset(which: Which) -> usize {
    SECTOR + which * PART
}

fn head(number: u32, which: Which, part: &[u8], written: &str) -> Vec<u8> {
    let where_ = if which == 0 {
        "It stands in part 1, right below; part 2 repeats it."
    } else {
        "It stands in part 2: read on below, part 1 was just being written."
    };
    let state = std::str::from_utf8(part)
        .ok()
        .and_then(|part| part.split("State:").nth(1))
        .and_then(|rest| rest.split("\r\n").next())
        .map_or("", str::trim);
    let written = written.replace('\n', ".\r\n");
    let mut words = format!(
        "{MARK}{HEAD}\r\n\r\n{state}\r\n\r\nThis is report {number}, written {written}.\r\n{where_}\r\n"
    );
    if words.len() > SECTOR - 2 {
        // Too long a state can't come from our own table; the head stays whole all the same.
        words = format!("{MARK}{HEAD}\r\n\r\nThis is report {number}, see part {}.\r\n", which + 1);
    }
    let mut head = words.into_bytes();
    head.resize(SECTOR - 2, b' ');
    head.extend_from_slice(b"\r\n");
    head
}

/// One part: a label line, the text, spaces to the end.
fn part(number: u32, text: &str) -> Vec<u8> {
    let mut body = Vec::with_capacity(PART);
    for line in text.lines() {
        body.extend_from_slice(line.as_bytes());
        body.extend_from_slice(b"\r\n");
    }
    let room = PART - label(0, 0).len() - 2;
    if body.len() > room {
        let mut end = room;
        while end > 0 && std::str::from_utf8(&body[..end]).is_err() {
            end -= 1;
        }
        body.truncate(end);
    }
    body.resize(room, b' ');
    body.extend_from_slice(b"\r\n");
    let mut part = label(number, checksum(number, &body)).into_bytes();
    part.extend_from_slice(&body);
    part
}

fn label(number: u32, check: u32) -> String {
    format!("{RULE}\r\nReport {number:010}  (check {check:08x})\r\n{RULE}\r\n\r\n")
}

/// Label and body of a part; `None` when it is too short to be one.
fn split(part: &[u8]) -> Option<(&[u8], &[u8])> {
    part.split_at_checked(label(0, 0).len())
}

fn parse_label(bytes: &[u8]) -> Option<(u32, u32)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let number = text.split_once("Report ")?.1.get(..10)?.parse().ok()?;
    let check = u32::from_str_radix(text.split_once("(check ")?.1.get(..8)?, 16).ok()?;
    (text == label(number, check)).then_some((number, check))
}

fn checksum(number: u32, body: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(&number.to_le_bytes());
    crc.update(body);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Bytes;
    use crate::status::Condition;
    use crate::status::machine::{Load, Memory};
    use crate::status::text::headline;
    use proptest::prelude::*;

    /// A card: what reached it, and a way to stop at any point.
    fn apply(file: &mut [u8], step: &Step) {
        file[step.offset..step.offset + step.bytes.len()].copy_from_slice(&step.bytes);
    }

    fn write(file: &mut [u8], text: &str) {
        for step in steps(file, text, "2026-11-23 10:00 UTC") {
            apply(file, &step);
        }
    }

    const OLD: &str = "State:      old\nfirst report\n";
    const NEW: &str = "State:      new\nsecond report\nof three lines\n";

    /// Every state that a cut can leave while one report replaces another: all steps before are
    /// on the card, of the present step any prefix of sectors in either order.
    fn cuts(start: &[u8], text: &str) -> Vec<Vec<u8>> {
        let mut states = vec![start.to_vec()];
        let mut file = start.to_vec();
        for step in steps(start, text, "2026-11-23 10:01 UTC") {
            let count = step.bytes.len() / SECTOR;
            let orders: [Vec<usize>; 2] = [(0..count).collect(), (0..count).rev().collect()];
            for order in orders {
                let mut torn = file.clone();
                for sector in order {
                    let (at, from) = (step.offset + sector * SECTOR, sector * SECTOR);
                    torn[at..at + SECTOR].copy_from_slice(&step.bytes[from..from + SECTOR]);
                    states.push(torn.clone());
                }
            }
            apply(&mut file, &step);
        }
        states
    }

    #[test]
    fn every_cut_leaves_the_old_report_or_the_new_one_whole_and_the_head_names_it() {
        let mut file = blank();
        write(&mut file, OLD);
        let states = cuts(&file, NEW);
        assert!(states.len() > 60, "{}", states.len());
        let mut seen_new = false;
        for state in &states {
            let text = read(state).expect("a whole report");
            assert!(text == OLD || text == NEW, "{text}");
            seen_new |= text == NEW;
            // What a person does without us: read the part that the head names.
            let head = std::str::from_utf8(&state[..SECTOR]).unwrap();
            let which = usize::from(head.contains("It stands in part 2"));
            let part = &state[offset(which)..offset(which) + PART];
            assert!(part.ends_with(b"\r\n") && split(part).is_some());
            assert_eq!(current(state).unwrap().0, which, "the head names another part");
        }
        assert!(seen_new);
    }

    #[test]
    fn a_second_cut_during_the_repair_of_the_first_one_harms_nothing_either() {
        let mut file = blank();
        write(&mut file, OLD);
        for first in cuts(&file, NEW) {
            let before = read(&first).unwrap();
            for second in cuts(&first, "State:      third\n") {
                let text = read(&second).unwrap();
                assert!(text == before || text == "State:      third\n", "{text}");
            }
        }
    }

    #[test]
    fn a_lost_head_does_not_lose_the_report() {
        let mut file = blank();
        write(&mut file, OLD);
        for mut state in cuts(&file, NEW) {
            state[..SECTOR].fill(0xff);
            let text = read(&state).unwrap();
            assert!(text == OLD || text == NEW);
        }
    }

    #[test]
    fn after_a_quiet_write_the_newest_report_stands_right_below_the_head_and_twice() {
        let mut file = blank();
        for text in [OLD, NEW, OLD, NEW] {
            write(&mut file, text);
            let readable = String::from_utf8(file.clone()).unwrap();
            assert!(readable.contains("It stands in part 1, right below"));
            assert_eq!(file[offset(0)..offset(0) + PART], file[offset(1)..offset(1) + PART]);
            assert_eq!(read(&file).unwrap(), text);
        }
        assert!(String::from_utf8(file).unwrap().starts_with(
            "\u{feff}LARDER STATUS\r\n\r\nnew\r\n\r\nThis is report 4, written 2026-11-23 10:00 UTC."
        ));
    }

    #[test]
    fn how_the_hardware_fares_stands_in_the_head_and_not_in_the_report() {
        let machine = Machine {
            memory: Some(Memory { used: Bytes(210_400_000), total: Bytes(969_932_800) }),
            load: Some(Load(31)),
            temperature: Some(51),
            disk: None,
        };
        assert_eq!(stamp("now", &Machine::default()), "now");
        let written = stamp("2026-11-23 10:00 UTC", &machine);
        let mut file = blank();
        for step in steps(&file.clone(), NEW, &written) {
            apply(&mut file, &step);
        }
        let first = std::str::from_utf8(&file[..SECTOR]).unwrap();
        let told = "written 2026-11-23 10:00 UTC.\r\nMemory 210 MB of 970 MB, load 0.3, 51 °C.\r\nIt stands in part 1,";
        assert!(first.contains(told), "{first}");
        assert_eq!(read(&file).unwrap(), NEW);
        // The longest state there is leaves room for it.
        for condition in Condition::ALL {
            let text = format!("State:      {}\n", headline(condition));
            let huge = Machine { load: Some(Load(999_999)), ..machine.clone() };
            let part = part(u32::MAX, &text);
            for which in [0, 1] {
                let head = head(u32::MAX, which, &part, &stamp("2026-11-23 10:00:00 UTC", &huge));
                assert_eq!(head.len(), SECTOR);
                let head = String::from_utf8(head).unwrap();
                assert!(
                    head.contains(headline(condition)) && head.contains("load 10000.0"),
                    "{head}"
                );
            }
        }
    }

    #[test]
    fn the_blank_file_is_readable_and_holds_no_report() {
        let blank = blank();
        assert_eq!(blank.len(), LENGTH);
        assert!(std::str::from_utf8(&blank).unwrap().contains("has not written a report yet"));
        assert_eq!(read(&blank), None);
    }

    proptest! {
        #[test]
        fn any_text_comes_back_and_any_file_is_survived(
            text in "[ -~äß漢]{0,4000}", junk in proptest::collection::vec(any::<u8>(), LENGTH)
        ) {
            let mut file = junk.clone();
            write(&mut file, &text);
            let there = read(&file).unwrap();
            prop_assert_eq!(there.trim_end(), text.trim_end());
            prop_assert!(read(&junk[..junk.len() / 2]).is_none());
        }

        #[test]
        fn any_subset_of_the_sectors_in_flight_is_survived(chosen in any::<u16>(), at in 0usize..4) {
            let mut file = blank();
            write(&mut file, OLD);
            let steps = steps(&file, NEW, "later");
            let at = at.min(steps.len() - 1);
            steps[..at].iter().for_each(|step| apply(&mut file, step));
            for sector in (0..steps[at].bytes.len() / SECTOR).filter(|s| chosen >> s & 1 == 1) {
                let from = sector * SECTOR;
                let to = steps[at].offset + from;
                file[to..to + SECTOR].copy_from_slice(&steps[at].bytes[from..from + SECTOR]);
            }
            let text = read(&file).unwrap();
            prop_assert!(text == OLD || text == NEW);
        }
    }
}
