//! Reads device ids as people type or paste them.

use super::{PeerId, SyncError};
use crate::model::show;

/// Reads an id as people type or paste it.
///
/// Syncthing's ids (52 characters of base 32, with or without their four check digits, dashes,
/// spaces and case, <https://docs.syncthing.net/dev/device-ids.html>) get their one true spelling,
/// and a wrong digit is noticed. Anything else is taken as it is.
pub fn read_id(text: &str) -> Result<PeerId, SyncError> {
    let plain: String = text
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .map(|c| match c.to_ascii_uppercase() {
            // Digits that base 32 does not have stand for the letters they look like.
            '0' => 'O',
            '1' => 'I',
            '8' => 'B',
            other => other,
        })
        .collect();
    let base32 = plain.bytes().all(|b| BASE32.contains(&b));
    let groups: Vec<&[u8]> = match plain.len() {
        52 if base32 => plain.as_bytes().chunks(13).collect(),
        56 if base32 => plain.as_bytes().chunks(14).collect(),
        _ => return PeerId::new(text.trim()),
    };
    let mut whole = String::with_capacity(63);
    for group in groups {
        let (data, given) = group.split_at(13);
        let digit = check_digit(data);
        if given.first().is_some_and(|&g| g != digit) {
            return Err(SyncError::Id {
                text: show(text.as_bytes()),
                what: "device id",
                why: "a check digit is wrong; copy it again".into(),
            });
        }
        for &b in data.iter().chain([&digit]) {
            if whole.len() % 8 == 7 {
                whole.push('-');
            }
            whole.push(char::from(b));
        }
    }
    PeerId::new(&whole)
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Syncthing's variant of the Luhn algorithm: it goes from the left, where the textbook goes from
/// the right.
fn check_digit(data: &[u8]) -> u8 {
    let mut factor = 1;
    let mut sum = 0;
    for b in data {
        let code = BASE32.iter().position(|l| l == b).unwrap_or(0) * factor;
        factor = 3 - factor;
        sum += code / 32 + code % 32;
    }
    BASE32[(32 - sum % 32) % 32]
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of Syncthing's own documentation and protocol tests.
    const ID: &str = "P56IOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ2";

    #[test]
    fn every_spelling_is_one_id() {
        let bare = "P56IOI7MZJNU2IQGDREYDM2MGTMGL3BXNPQ6W5BTBBZ4TJXZWICQ";
        let typed = ID.to_lowercase().replace('-', " ").replace('o', "0").replace('b', "8");
        for text in [ID, bare, &typed, &format!(" {ID}\n")] {
            assert_eq!(read_id(text).unwrap().as_str(), ID, "{text}");
        }
    }

    #[test]
    fn a_wrong_digit_is_noticed() {
        let wrong = ID.replacen("MZJNU2Y", "MZJNU3Y", 1);
        let told = read_id(&wrong).unwrap_err().to_string();
        assert!(told.contains("check digit"), "{told}");
        assert!(read_id("two words").is_err());
        assert_eq!(read_id("PHONE").unwrap().as_str(), "PHONE");
    }
}
