//! The table of the LED as a picture for the README: two cycles of every pattern, with words.
//!
//! Pure. The committed picture must equal what this draws; a test holds them together.

use super::{CYCLE_MS, SLOT_MS, meaning, pattern, words};
use crate::status::Condition;
use std::fmt::Write;

const ROW: usize = 34;
const TOP: usize = 40;
const LEFT: usize = 20;
const SLOT: usize = 8;
const CYCLES: u64 = 2;
const WIDTH: usize = 900;

/// The picture, as SVG.
pub fn svg() -> String {
    let height = TOP + ROW * Condition::ALL.len() + 10;
    let slots = CYCLES * CYCLE_MS / SLOT_MS;
    let bar = SLOT * usize::try_from(slots).unwrap_or(0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"14\" role=\"img\">\n\
         <title>What the LED says</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    let text = bar + LEFT + 20;
    line(&mut svg, LEFT, 24, "#555555", "normal", "0 s");
    line(&mut svg, LEFT + bar / 2, 24, "#555555", "normal", "2 s");
    line(&mut svg, text, 24, "#555555", "normal", "what the LED says");
    for (row, condition) in Condition::ALL.into_iter().enumerate() {
        let y = TOP + row * ROW;
        let mut drawn = |x: usize, width: usize, fill: &str| {
            let height = ROW - 12;
            svg.push_str(&format!(
                "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\"/>\n"
            ));
        };
        drawn(LEFT, bar, "#30343b");
        let lit = |slot: u64| pattern(condition).is_lit(slot * SLOT_MS);
        let mut slot = 0;
        while slot < slots {
            let run = (slot..slots).take_while(|s| lit(*s) == lit(slot)).count();
            let x = LEFT + SLOT * usize::try_from(slot).unwrap_or(0);
            if lit(slot) {
                drawn(x, SLOT * run, "#3ddc5b");
            }
            slot += run as u64;
        }
        line(&mut svg, text, y + 9, "#000000", "bold", meaning(condition));
        line(&mut svg, text, y + 24, "#555555", "normal", words(condition));
    }
    svg.push_str("</svg>\n");
    svg
}

fn line(svg: &mut String, x: usize, y: usize, fill: &str, weight: &str, text: &str) {
    let size = if weight == "bold" { 14 } else { 12 };
    // Writing to a String can't fail; the words of the table hold no `<` or `&`.
    let written = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{y}\" fill=\"{fill}\" font-weight=\"{weight}\" \
         font-size=\"{size}\">{text}</text>"
    );
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// To draw it anew after a change of the table:
    /// `cargo run -- led picture > src/led/table.svg`.
    #[test]
    fn the_committed_picture_is_the_table() {
        assert!(
            svg() == include_str!("table.svg"),
            "src/led/table.svg is not what the table says; draw it anew: \
             cargo run -- led picture > src/led/table.svg"
        );
    }

    #[test]
    fn the_words_need_no_escaping_and_the_picture_is_whole() {
        for c in Condition::ALL {
            assert!(!words(c).contains(['<', '&', '"']) && !meaning(c).contains(['<', '&', '"']));
            assert!(svg().contains(meaning(c)), "{c}");
        }
        assert!(svg().ends_with("</svg>\n"));
    }
}
