//! Passwords: what is kept of one that was chosen on the page, and whether one that was typed is right.
//!
//! Argon2id (RFC 9106) with 12 MiB, three passes and one lane, as OWASP asks for; a Pi with 512 MB has that to spare
//! when few are checked at once. So one is checked at a time for strangers, and one for browsers that are known.

use super::auth::same_secret;
use argon2::{Algorithm, Argon2, Params, Version};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// KiB of memory, passes, lanes.
const COST: (u32, u32, u32) = (12 << 10, 3, 1);
const SALT: usize = 16;
const OUT: usize = 32;

/// Shortest and longest password, in characters.
pub(super) const LENGTH: std::ops::RangeInclusive<usize> = 8..=128;

/// The queues for checking. A turn ends with the work, not with whoever waits for it: one who hangs up would else
/// leave the work behind and let the next begin.
pub(super) struct Passwords {
    strangers: Arc<Semaphore>,
    known: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        let queue = || Arc::new(Semaphore::new(1));
        Self { strangers: queue(), known: queue() }
    }
}

impl Passwords {
    /// What to keep of a password. `None` when it can't be made: no random numbers, no memory.
    pub(super) async fn hash(&self, password: String) -> Option<String> {
        let turn = Arc::clone(&self.strangers).acquire_owned().await.ok()?;
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let mut salt = [0; SALT];
            getrandom::fill(&mut salt).ok()?;
            Some(format!("argon2id ${}${}", hex(&salt), hex(&digest(&password, &salt, COST)?)))
        })
        .await
        .ok()?
    }

    /// Whether it is the password that a hash was made of.
    pub(super) async fn verify(&self, password: String, hash: String, is_known: bool) -> bool {
        let queue = if is_known { &self.known } else { &self.strangers };
        let Ok(turn) = Arc::clone(queue).acquire_owned().await else { return false };
        let verified = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            verify(&password, &hash)
        });
        verified.await.unwrap_or(false)
    }
}

fn verify(password: &str, hash: &str) -> bool {
    let parts = hash.strip_prefix("argon2id $").and_then(|rest| rest.split_once('$'));
    let Some((salt, right)) = parts.and_then(|(salt, out)| Some((unhex(salt)?, unhex(out)?)))
    else {
        return false;
    };
    digest(password, &salt, COST).is_some_and(|out| same_secret(&out, &right))
}

fn digest(
    password: &str,
    salt: &[u8],
    (memory, passes, lanes): (u32, u32, u32),
) -> Option<[u8; OUT]> {
    let params = Params::new(memory, passes, lanes, Some(OUT)).ok()?;
    let mut out = [0; OUT];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into(password.as_bytes(), salt, &mut out).ok()?;
    Some(out)
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pair = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_again_and_no_other() {
        let passwords = Passwords::default();
        let hash = passwords.hash("open sesame".into()).await.unwrap();
        assert_ne!(passwords.hash("open sesame".into()).await.unwrap(), hash, "salted");
        assert!(!hash.contains("sesame"));
        for known in [true, false] {
            assert!(passwords.verify("open sesame".into(), hash.clone(), known).await);
        }
        for (typed, hash) in [
            ("open sesam", &*hash),
            ("", &hash),
            ("Open sesame", &hash),
            ("open sesame", ""),
            ("open sesame", "argon2id $$"),
            ("open sesame", &hash[..hash.len() - 2]),
            ("", "argon2id $00$"),
        ] {
            assert!(!passwords.verify(typed.into(), hash.into(), false).await, "{typed} {hash}");
        }
    }

    #[tokio::test]
    async fn who_hangs_up_keeps_the_turn_until_the_work_is_done() {
        use tokio::time::{Duration, timeout};
        let passwords = Passwords::default();
        let hash = passwords.hash("open sesame".into()).await.unwrap();
        for known in [true, false] {
            let queue = if known { &passwords.known } else { &passwords.strangers };
            let dropped = passwords.verify("a guess".into(), hash.clone(), known);
            assert!(timeout(Duration::ZERO, dropped).await.is_err(), "the work takes a while");
            assert_eq!(queue.available_permits(), 0, "it goes on: nobody else begins");
            assert!(passwords.verify("open sesame".into(), hash.clone(), known).await);
            assert_eq!(queue.available_permits(), 1);
        }
        assert!(timeout(Duration::ZERO, passwords.hash("a choice".into())).await.is_err());
        assert_eq!(passwords.strangers.available_permits(), 0);
    }

    /// Made with the reference implementation: `echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -l 32`.
    #[test]
    fn the_digest_is_that_of_the_standard() {
        let known = "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7";
        let out = digest("password", b"somesalt", (1 << 16, 2, 1)).unwrap();
        assert_eq!(hex(&out), known);
    }
}
