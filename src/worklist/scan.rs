//! The shape of JSON, without its meaning: where the members of an object and the elements of a
//! list begin and end, so that each can be read by itself and damage in one stays there.
//!
//! Works on the text in place, by a loop and a counter of brackets: depth costs nothing. What it
//! hands out is not yet checked; `serde_json` reads the pieces that somebody needs.

use std::borrow::Cow;

/// How a text begins.
pub(super) enum Start<'a> {
    /// With an object.
    Object(Members<'a>),
    /// It holds nothing but white space.
    Nothing,
    /// With something else.
    Other,
}

/// The members of an object, one after the other.
pub(super) struct Members<'a> {
    text: &'a str,
    at: usize,
    first: bool,
}

/// Where an object stops making sense.
pub(super) struct Damage<'a> {
    /// Bytes from the beginning of the text.
    pub(super) at: usize,
    /// The member that the text breaks off in, when its value has begun.
    pub(super) unfinished: Option<(Cow<'a, str>, &'a str)>,
}

impl<'a> Members<'a> {
    pub(super) fn open(text: &'a str) -> Start<'a> {
        let at = skip_space(text, 0);
        match text.as_bytes().get(at) {
            Some(b'{') => Start::Object(Self { text, at: at + 1, first: true }),
            Some(_) => Start::Other,
            None => Start::Nothing,
        }
    }

    /// The next member: its name, decoded, and its value as it stands. Not to be called again
    /// after damage.
    pub(super) fn next(&mut self) -> Result<Option<(Cow<'a, str>, &'a str)>, Damage<'a>> {
        let damage = |at| Damage { at, unfinished: None };
        self.skip();
        match self.peek() {
            Some(b'}') => {
                self.at += 1;
                return Ok(None);
            }
            Some(b',') if !self.first => {
                self.at += 1;
                self.skip();
            }
            _ if self.first => {}
            _ => return Err(damage(self.at)),
        }
        self.first = false;
        if self.peek() != Some(b'"') {
            return Err(damage(self.at));
        }
        let start = self.at;
        let end = value_end(self.text, start).ok_or(damage(start))?;
        let name = decode(&self.text[start..end]).ok_or(damage(start))?;
        self.at = end;
        self.skip();
        if self.peek() != Some(b':') {
            return Err(damage(self.at));
        }
        self.at += 1;
        self.skip();
        let start = self.at;
        let end = match value_end(self.text, start) {
            Some(end) if end > start => end,
            Some(_) => return Err(damage(start)),
            None => {
                self.at = self.text.len();
                let unfinished = Some((name, &self.text[start..]));
                return Err(Damage { at: self.at, unfinished });
            }
        };
        self.at = end;
        Ok(Some((name, &self.text[start..end])))
    }

    /// What follows the object, once its end was reached.
    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip(&mut self) {
        self.at = skip_space(self.text, self.at);
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// The elements of a list, as they stand. One that the text breaks off in is left out.
pub(super) struct Elements<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Elements<'a> {
    pub(super) fn open(text: &'a str) -> Option<Self> {
        text.starts_with('[').then_some(Self { text, at: 1 })
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        // Commas too many harm nobody.
        while bytes.get(self.at).is_some_and(|&b| b == b',' || is_space(b)) {
            self.at += 1;
        }
        match bytes.get(self.at)? {
            b']' => None,
            _ => {
                let start = self.at;
                let end = value_end(self.text, start)?;
                // A stray closing brace or colon is an element of its own, or we would stand still.
                self.at = end.max(start + 1);
                Some(&self.text[start..self.at])
            }
        }
    }
}

/// Where the value that begins at `start` ends; `None` when the text ends before it does.
///
/// Cuts only beside ASCII bytes, so that the pieces are texts again.
fn value_end(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = start;
    let mut depth = 0usize;
    loop {
        match *bytes.get(at)? {
            b'"' => {
                at = string_end(bytes, at)?;
                if depth == 0 {
                    return Some(at);
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b',' | b':' if depth == 0 => return Some(at),
            b if depth == 0 && is_space(b) => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

/// Where the string that begins at `start` ends, behind its closing quote.
fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match *bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn decode(quoted: &str) -> Option<Cow<'_, str>> {
    if quoted.contains('\\') {
        serde_json::from_str(quoted).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(&quoted[1..quoted.len() - 1]))
    }
}

fn skip_space(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    at + bytes[at.min(bytes.len())..].iter().take_while(|&&b| is_space(b)).count()
}

const fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r')
}
