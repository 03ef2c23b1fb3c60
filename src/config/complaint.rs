//! What is wrong with the settings, in words for their owner.

use crate::model::show;
use std::ops::Range;

/// One thing that is wrong in the file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {what}; {next}")]
pub struct Complaint {
    /// The line, counted from 1. What concerns the whole file is told at line 1.
    pub line: usize,
    /// What is wrong, naming the thing.
    pub what: String,
    /// What to do about it.
    pub next: String,
    /// Only one device is left out by it, and all else of the file is in force; else nothing of the file is.
    pub spares_the_rest: bool,
}

/// A value that is not taken: what is wrong with it, and what to write instead.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) next: String,
}

impl Wrong {
    pub(super) fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what: what.into(), next: next.into() }
    }

    pub(super) fn at(self, line: usize) -> Complaint {
        Complaint { line, what: self.what, next: self.next, spares_the_rest: false }
    }
}

/// The text of the file, by lines.
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let breaks = text.bytes().enumerate().filter(|&(_, b)| b == b'\n').map(|(i, _)| i + 1);
        Self { text, starts: std::iter::once(0).chain(breaks).collect() }
    }

    /// The line that a byte is on, counted from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.starts.partition_point(|&start| start <= at)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.starts.len()
    }

    /// What stands on a line, without white space around it.
    pub(super) fn text(&self, line: usize) -> &'t str {
        let start = self.starts[line - 1];
        let end = self.starts.get(line).copied().unwrap_or(self.text.len());
        self.text[start..end].trim()
    }

    /// The lines whose values can't be understood when a heading is broken: up to the next heading.
    pub(super) fn under(&self, heading: usize) -> Range<usize> {
        let next = (heading + 1..=self.starts.len()).find(|&n| self.text(n).starts_with('['));
        heading..next.unwrap_or(self.starts.len() + 1)
    }
}

/// Says in our words what the TOML parser found; gives the line that it is on.
pub(super) fn syntax(error: &toml::de::Error, lines: &Lines<'_>) -> Complaint {
    let span = error.span().unwrap_or(0..0);
    let line = lines.line(span.start);
    let text = lines.text(line);
    let found = lines.text.get(span).unwrap_or_default();
    // Complaints are shown on pages and in STATUS.txt: they do not repeat a password.
    if text.to_ascii_lowercase().contains("pass") && !text.starts_with('[') {
        let next =
            "write password = \"…\", in plain quotes and on one line; a \\ in it is written \\\\";
        return Wrong::new("the password can't be read", next).at(line);
    }
    wrong(error.message(), found, text).at(line)
}

fn wrong(message: &str, found: &str, line: &str) -> Wrong {
    let shown = clip(line);
    let key = line.split('=').next().unwrap_or_default().trim();
    // What begins like a number or a word of the format's own, and goes on otherwise.
    let bare = line.split_once('=').map(|(_, value)| value.split('#').next().unwrap_or_default());
    let bare = bare.map(str::trim).filter(|v| v.starts_with(|c: char| c.is_alphanumeric()));
    let found = if message.starts_with("invalid ") { bare.unwrap_or(found) } else { found };
    if message.contains("must be quoted") || (message.starts_with("invalid ") && bare.is_some()) {
        let value = found.trim_matches(['“', '”', '„', '"', '«', '»', '‘', '’', '\'']).trim();
        if let Some(switch) = switch(value) {
            let what = format!("`{}` is no switch", clip(value));
            return Wrong::new(what, format!("write `{switch}`, without quotes"));
        }
        let what = format!("`{}` must stand in plain quotes", clip(found));
        return Wrong::new(what, format!("write \"{}\"", clip(value)));
    }
    if message.starts_with("duplicate key") {
        let next = if line.starts_with('[') {
            "join the two places into one"
        } else {
            "keep one of the two lines"
        };
        return Wrong::new(format!("`{}` is there twice", clip(found)), next);
    }
    if line.starts_with('[') {
        let next =
            "write it like [devices.HTCphone]: square brackets around, a name without spaces";
        return Wrong::new(format!("the heading `{shown}` is not complete"), next);
    }
    if message.starts_with("key with no value") {
        let next = "write it like key = value, or put # before it if it is a remark";
        return Wrong::new(format!("`{shown}` has no value"), next);
    }
    if line.starts_with('=') || message.contains("unquoted key") {
        let next = "write it like key = value, or put # before it if it is a remark";
        return Wrong::new(format!("`{shown}` is no setting"), next);
    }
    if message.contains("string") || message.contains("escaped") {
        let next = "put one \" before the text and one behind it, on the same line; a \\ in it is written \\\\";
        return Wrong::new(format!("the text of `{}` is not complete", clip(key)), next);
    }
    if message.contains("unexpected key or value") {
        let next = "write one setting on a line, and texts or numbers with a unit in quotes";
        return Wrong::new(format!("`{shown}` has more than one value"), next);
    }
    Wrong::new(
        format!("`{shown}` can't be understood ({message})"),
        "compare it with the remarks in the file, or put # before it",
    )
}

/// `true` or `false` for a word that people write for it.
pub(super) fn switch(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => Some(true),
        "false" | "no" | "off" | "n" => Some(false),
        _ => None,
    }
}

/// A text from the file, harmless and short enough to be told.
pub(super) fn clip(text: &str) -> String {
    let mut shown = show(text.chars().take(50).collect::<String>().as_bytes());
    if text.chars().nth(50).is_some() {
        shown.push('…');
    }
    shown
}

/// The word that somebody may have meant, of those that there are.
pub(super) fn closest<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    // Longer than any of ours; comparing costs time.
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_lowercase();
    words
        .into_iter()
        .map(|known| (strsim::osa_distance(&lower, &known.to_lowercase()), known))
        .filter(|&(distance, known)| distance <= (known.len() * 2 / 5).max(1))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, known)| known)
}
