//! Who guesses a password: a browser that signed in before has guesses of its own, which no stranger can use up.
//!
//! It is known by a cookie, sealed for the password in force: a guest of old is a stranger once there is another.

use super::Settings;
use super::auth::{cookie, same_secret};
use super::limits::{Client, ClientKey};
use super::password::hex;
use super::secret::{hmac, mark, random, set_cookie};
use crate::model::Access;
use axum::body::Body;
use axum::http::Response;
use axum::http::header::HeaderMap;

/// The cookie of a browser that signed in once.
const KNOWN: &str = "larder-known";
/// How long a browser stays known, in seconds: a year.
const KNOWN_SECONDS: i64 = 365 * 86_400;

/// Who guesses: a browser that is known has guesses of its own.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Guesser {
    Known(String),
    Client(ClientKey),
}

/// What makes a browser known while the password in force is that; `None` when there is none.
fn known_seal(access: &Access, settings: &Settings, id: &str) -> Option<String> {
    let mark = mark(access, settings).filter(|_| !access.secret.is_empty())?;
    Some(hex(&hmac(&access.secret, &format!("known {mark} {id}"))))
}

/// The identity of a browser that signed in before with the password in force.
fn known_id<'h>(access: &Access, settings: &Settings, headers: &'h HeaderMap) -> Option<&'h str> {
    let (id, seal) = cookie(headers, KNOWN)?.split_once('.')?;
    let right = known_seal(access, settings, id)?;
    same_secret(seal.as_bytes(), right.as_bytes()).then_some(id)
}

/// Who guesses with this request.
pub(super) fn of(
    access: &Access,
    settings: &Settings,
    client: &Client,
    headers: &HeaderMap,
) -> Guesser {
    known_id(access, settings, headers)
        .map_or(Guesser::Client(client.key), |id| Guesser::Known(id.to_owned()))
}

/// Makes a browser that signs in known. One that is known keeps its identity: else each time it signs in would give it
/// guesses anew.
pub(super) fn set_known(
    done: &mut Response<Body>,
    access: &Access,
    settings: &Settings,
    headers: &HeaderMap,
) {
    let id = known_id(access, settings, headers).map(str::to_owned).or_else(|| random(8));
    let Some(id) = id else { return };
    if let Some(seal) = known_seal(access, settings, &id) {
        set_cookie(done, KNOWN, &format!("{id}.{seal}"), KNOWN_SECONDS);
    }
}

#[cfg(test)]
mod tests {
    use super::super::session::let_in;
    use super::*;
    use crate::model::{Password, Time};
    use axum::http::header;

    #[test]
    fn only_a_cookie_of_ours_makes_a_browser_known() {
        let chosen = |hash: &str| Password { hash: hash.into(), at: Time(0), from: "::1".into() };
        let access =
            Access { password: Some(chosen("h1")), secret: "s".into(), ..Access::default() };
        let settings = Settings::default();
        let client = Client {
            address: [10, 0, 0, 1].into(),
            key: ClientKey::new([10, 0, 0, 1].into(), None),
            is_local: true,
        };
        let of = |access: &Access, value: &str| {
            let mut headers = HeaderMap::new();
            headers.append(header::COOKIE, format!("larder-known={value}").parse().unwrap());
            super::of(access, &settings, &client, &headers)
        };
        let answer = let_in(&access, &settings, &HeaderMap::new(), "token");
        let line = answer.headers().get_all(header::SET_COOKIE).iter().nth(1).unwrap();
        let line = line.to_str().unwrap();
        for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=31536000"] {
            assert!(line.contains(part), "{line}");
        }
        let value = line.strip_prefix("larder-known=").unwrap().split(';').next().unwrap();
        let stranger = Guesser::Client(client.key);
        assert!(matches!(of(&access, value), Guesser::Known(_)));
        assert_eq!(of(&access, "1.2"), stranger);
        assert_eq!(of(&access, &value[1..]), stranger);
        assert_eq!(of(&access, ""), stranger);
        let another = Access { secret: "t".into(), ..access.clone() };
        assert_eq!(of(&another, value), stranger, "of another Larder");
        let other = Access { password: Some(chosen("h2")), ..access.clone() };
        assert_eq!(of(&other, value), stranger, "of another password");
        let blank = Access { secret: String::new(), ..access };
        let mark = mark(&blank, &settings).unwrap();
        for text in ["known 1".to_owned(), format!("known {mark} 1")] {
            let forged = format!("1.{}", hex(&hmac("", &text)));
            assert_eq!(of(&blank, &forged), stranger, "before there is a secret");
        }
    }
}
