//! Reads `tests/data/hostile-names.txt`: names and paths made to do harm, for every test that
//! lets something from outside in.
//!
//! Take it into a test with `#[path = "support/hostile.rs"] mod hostile;` and call
//! [`load`](load()).

// A test takes what it needs of it, from wherever it lies.
#![allow(dead_code, unreachable_pub)]

/// The table.
#[derive(Default)]
pub struct Hostile {
    /// Components that Linux file systems store: everything must carry them unharmed.
    pub names: Vec<Vec<u8>>,
    /// Relative paths that they store.
    pub paths: Vec<Vec<u8>>,
    /// Raw bytes that are no path of ours, and why: `dots`, `empty-name`, `nul`, `name-too-long`,
    /// `too-deep`, `too-long`.
    pub refused: Vec<(Vec<u8>, &'static str)>,
    /// Percent-encoded paths, and `ok` or why they are refused: also `percent`.
    pub encoded: Vec<(String, &'static str)>,
    /// Texts that are no device names.
    pub devices: Vec<String>,
}

impl Hostile {
    /// How many there are in all.
    pub fn len(&self) -> usize {
        self.names.len()
            + self.paths.len()
            + self.refused.len()
            + self.encoded.len()
            + self.devices.len()
    }
}

/// The table, read.
pub fn load() -> Hostile {
    let mut table = Hostile::default();
    for (at, line) in include_str!("../data/hostile-names.txt").lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = format!("hostile-names.txt, line {}: {line}", at + 1);
        let (kind, rest) = line.split_once('\t').expect(&wrong);
        let reason = || rest.split_once('\t').expect(&wrong);
        let utf8 = |text| String::from_utf8(unescape(text)).expect(&wrong);
        match kind {
            "name" => table.names.push(unescape(rest)),
            "path" => table.paths.push(unescape(rest)),
            "refused" => table.refused.push((unescape(reason().1), reason().0)),
            "encoded" => table.encoded.push((utf8(reason().1), reason().0)),
            "device" => table.devices.push(utf8(rest)),
            _ => panic!("{wrong}"),
        }
    }
    table
}

/// Reads `\xNN`, `\u{N}`, `\\` and `\*N{text}`; everything else stands for itself.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let (letter, tail) = rest[at + 1..].split_at(1);
        rest = match letter {
            "\\" => {
                bytes.push(b'\\');
                tail
            }
            "x" => {
                bytes.push(u8::from_str_radix(&tail[..2], 16).expect("two hexadecimal digits"));
                &tail[2..]
            }
            "u" => {
                let (_, digits, tail) = braces(tail);
                let number = u32::from_str_radix(digits, 16).expect("a hexadecimal number");
                let c = char::from_u32(number).expect("a character");
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                tail
            }
            "*" => {
                let (count, text, tail) = braces(tail);
                bytes.extend(unescape(text).repeat(count.parse().expect("a number")));
                tail
            }
            other => panic!("no escape: \\{other}"),
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// What stands before a pair of braces, in it, and behind it.
fn braces(text: &str) -> (&str, &str, &str) {
    let open = text.find('{').expect("an opening brace");
    let mut depth = 0;
    for (at, b) in text.bytes().enumerate().skip(open) {
        match b {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (&text[..open], &text[open + 1..at], &text[at + 1..]);
        }
    }
    panic!("no closing brace: {text}");
}
