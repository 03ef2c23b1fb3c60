//! The seal of a text: what proves, without showing the key, that who wrote it has the key.
//!
//! A page's key never crosses the network and stands in no worklist. A worklist of version 2, and the answer to it,
//! end in a seal instead: the HMAC-SHA-256 (RFC 2104) under that key of the words that say which of the two it is, a
//! line feed, and every byte before the seal. The seal is the last member of the JSON object, written exactly so:
//!
//! ```text
//! {"v":2,…,"items":[…],"mac":"<64 lower-case hexadecimal digits>"}
//! ```
//!
//! So it covers the bytes as they were sent, and nobody has to agree on how JSON is written.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

const OPEN: &str = ",\"mac\":\"";
const CLOSE: &str = "\"}";
/// Hexadecimal digits of a seal.
const DIGITS: usize = 64;

/// What a sealed text is, so that nobody can pass an answer off as a worklist.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sealed {
    /// Wishes, on their way home.
    Worklist,
    /// What became of them, on its way to the page.
    Answer,
}

impl Sealed {
    fn words(self) -> &'static [u8] {
        match self {
            Self::Worklist => b"larder worklist 2\n",
            Self::Answer => b"larder answer 2\n",
        }
    }
}

/// The JSON object `text` with the seal as its last member. `text` is an object with at least one member, without
/// white space at its end; anything else comes back as it is, which no check takes for sealed.
pub fn seal(key: &str, what: Sealed, text: &str) -> String {
    let Some(open) = text.strip_suffix('}').filter(|_| !is_blank(key)) else {
        return text.to_owned();
    };
    let mut sealed = String::with_capacity(open.len() + OPEN.len() + DIGITS + CLOSE.len());
    sealed.push_str(open);
    sealed.push_str(OPEN);
    for byte in hmac(key, what, open.as_bytes()).finalize().into_bytes() {
        sealed.push_str(&format!("{byte:02x}"));
    }
    sealed.push_str(CLOSE);
    sealed
}

/// True when `text` ends in the seal of that key. White space and a byte order mark around it, which programs that
/// carry a file may add, do not count. A blank key (nothing, or one character over and over, as a generator that failed
/// leaves it) seals nothing. Takes the same time wherever the seal is wrong.
pub fn is_sealed(key: &str, what: Sealed, text: &[u8]) -> bool {
    let Some((body, digits)) = split(text) else { return false };
    let mut seal = [0; DIGITS / 2];
    for (byte, pair) in seal.iter_mut().zip(digits.chunks_exact(2)) {
        let (Some(high), Some(low)) = (value(pair[0]), value(pair[1])) else { return false };
        *byte = high << 4 | low;
    }
    !is_blank(key) && hmac(key, what, body).verify_slice(&seal).is_ok()
}

fn hmac(key: &str, what: Sealed, body: &[u8]) -> Hmac<Sha256> {
    // HMAC takes a key of any length; there is no other way to fail.
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap_or_else(|_| unreachable!());
    mac.update(what.words());
    mac.update(body);
    mac
}

/// The bytes that the seal covers, and its digits.
fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii();
    let text = text.strip_suffix(CLOSE.as_bytes())?;
    let (before, digits) = text.split_at(text.len().checked_sub(DIGITS)?);
    Some((before.strip_suffix(OPEN.as_bytes())?, digits))
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn is_blank(key: &str) -> bool {
    key.bytes().all(|b| Some(b) == key.bytes().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    /// Made with Python's `hmac.new(key, b"larder worklist 2\n" + body, "sha256")`.
    #[test]
    fn the_seal_is_that_of_the_standard() {
        assert_eq!(seal(KEY, Sealed::Worklist, r#"{"v":2,"items":[]}"#), KNOWN_WORKLIST);
        assert_eq!(seal(KEY, Sealed::Answer, r#"{"taken":[]}"#), KNOWN_ANSWER);
    }

    #[test]
    fn what_was_sealed_is_sealed_however_it_was_carried() {
        for text in [
            KNOWN_WORKLIST.to_owned(),
            format!("\u{feff}{KNOWN_WORKLIST}"),
            format!("{KNOWN_WORKLIST}\r\n"),
            format!(" \n{KNOWN_WORKLIST}  "),
        ] {
            assert!(is_sealed(KEY, Sealed::Worklist, text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn nothing_else_is() {
        let other_key = KEY.replace('0', "1");
        for (key, what, text) in [
            (KEY, Sealed::Answer, KNOWN_WORKLIST.to_owned()),
            (KEY, Sealed::Worklist, KNOWN_ANSWER.to_owned()),
            (&*other_key, Sealed::Worklist, KNOWN_WORKLIST.to_owned()),
            (KEY, Sealed::Worklist, KNOWN_WORKLIST.replace("\"v\":2", "\"v\":3")),
            (KEY, Sealed::Worklist, KNOWN_WORKLIST.to_uppercase()),
            (KEY, Sealed::Worklist, KNOWN_WORKLIST.replace(",\"mac\"", ", \"mac\"")),
            (KEY, Sealed::Worklist, KNOWN_WORKLIST[1..].to_owned()),
            (KEY, Sealed::Worklist, r#"{"v":2,"items":[]}"#.to_owned()),
            (KEY, Sealed::Worklist, String::new()),
            (KEY, Sealed::Worklist, "\"}".to_owned()),
        ] {
            assert!(!is_sealed(key, what, text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_blank_key_seals_nothing() {
        for key in ["", "0000", "aaaaaaaa"] {
            let text = seal(key, Sealed::Worklist, r#"{"v":2}"#);
            assert_eq!(text, r#"{"v":2}"#);
            assert!(!is_sealed(key, Sealed::Worklist, text.as_bytes()));
        }
        // Nor does what somebody else seals with it.
        let forged = {
            let mac = hmac("", Sealed::Worklist, br#"{"v":2"#).finalize().into_bytes();
            let digits: String = mac.iter().map(|b| format!("{b:02x}")).collect();
            format!("{{\"v\":2{OPEN}{digits}{CLOSE}")
        };
        assert!(!is_sealed("", Sealed::Worklist, forged.as_bytes()));
    }

    const KNOWN_WORKLIST: &str = concat!(
        r#"{"v":2,"items":[],"mac":""#,
        "1f4dad1c111191125bea3870dd7c5c2c8e2dea5d66b29616298052dd76eca141",
        "\"}"
    );
    const KNOWN_ANSWER: &str = concat!(
        r#"{"taken":[],"mac":""#,
        "74d0463b2b704f6c1501e49ce9b988a6d515bf3537be75b3b51cf9d35d2371c0",
        "\"}"
    );
}
