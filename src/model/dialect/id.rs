//! Device ids as people type or paste them.

/// Why a text is no device id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IdError {
    /// It has not the form of one.
    #[error("is no device id")]
    Form,
    /// A check digit is wrong.
    #[error("is mistyped in its group {0} or {next}", next = .0 + 1)]
    Mistyped(usize),
}

/// Reads an id of Syncthing as its program does: 52 digits of base 32 (the SHA-256 of a certificate), with or without a
/// check digit behind every 13, dashes, spaces and case (<https://docs.syncthing.net/dev/device-ids.html>). Returns its
/// one true spelling: eight groups of seven, joined by `-`.
pub(super) fn read_syncthing_id(text: &str) -> Result<String, IdError> {
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
    let parts: Vec<&[u8]> = match plain.len() {
        _ if !plain.bytes().all(|b| BASE32.contains(&b)) => return Err(IdError::Form),
        52 => plain.as_bytes().chunks(13).collect(),
        56 => plain.as_bytes().chunks(14).collect(),
        _ => return Err(IdError::Form),
    };
    let mut whole = String::with_capacity(63);
    for (at, part) in parts.into_iter().enumerate() {
        let (data, given) = part.split_at(13);
        let digit = check_digit(data);
        if given.first().is_some_and(|&given| given != digit) {
            return Err(IdError::Mistyped(2 * at + 1));
        }
        for &b in data.iter().chain([&digit]) {
            if whole.len() % 8 == 7 {
                whole.push('-');
            }
            whole.push(char::from(b));
        }
    }
    Ok(whole)
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
