//! What the cookies are made of: random numbers, seals, and the mark of the password in force.

use super::Settings;
use super::password::hex;
use crate::model::Access;
use axum::body::Body;
use axum::http::Response;
use axum::http::header::{self, HeaderValue};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

pub(super) fn hmac(key: &str, text: &str) -> Vec<u8> {
    // HMAC takes a key of any length; there is no other way to fail.
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap_or_else(|_| unreachable!());
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

pub(super) fn random(bytes: usize) -> Option<String> {
    let mut drawn = vec![0; bytes];
    getrandom::fill(&mut drawn).ok()?;
    Some(hex(&drawn))
}

/// Which password is in force, in so few bits that nobody can find the password by them; `None` when there is none.
pub(super) fn mark(access: &Access, settings: &Settings) -> Option<String> {
    let (kind, text) = match (&settings.password, &access.password) {
        (Some(set), _) => ("settings", set),
        (None, Some(chosen)) => ("chosen", &chosen.hash),
        (None, None) => return None,
    };
    Some(hex(&hmac(&access.secret, &format!("{kind} {text}"))[..2]))
}

pub(super) fn set_cookie(answer: &mut Response<Body>, name: &str, value: &str, seconds: i64) {
    let line = format!("{name}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={seconds}");
    if let Ok(line) = HeaderValue::from_str(&line) {
        answer.headers_mut().append(header::SET_COOKIE, line);
    }
}
