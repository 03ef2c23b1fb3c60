//! Who may ask: the Host and Origin allow-lists, secrets, and how often one may be wrong. Pure but
//! for the table of the wrong.

use super::connection::household;
use super::{PageKey, Settings};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST, ORIGIN};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Domains that home networks give to their machines, and that nobody can register on the
/// internet (RFC 6762, RFC 8375, and those that ICANN reserved or refused).
const DOMAINS: [&str; 4] = ["local", "lan", "home.arpa", "internal"];
/// Names that are ours without being set.
const NAMES: [&str; 2] = ["larder", "localhost"];

/// The request's host, as the client wrote it, when it is one of ours; `None` otherwise.
///
/// This is what answers DNS rebinding: a page of the internet can make its own name lead to us, but
/// its requests carry that name. A literal address is always fine: whoever has a page there is at
/// that address already.
pub(super) fn host<'h>(headers: &'h HeaderMap, settings: &Settings) -> Option<&'h str> {
    let mut all = headers.get_all(HOST).iter();
    let written = all.next()?.to_str().ok()?;
    if all.next().is_some() {
        return None;
    }
    let (name, port) = match written.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            (None, port)
        }
        None => match written.find(':') {
            Some(colon) => (Some(&written[..colon]), &written[colon..]),
            None => (Some(written), ""),
        },
    };
    let port_fits = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some(digits) => digits.parse::<u16>().is_ok(),
    };
    (port_fits && name.is_none_or(|name| ours(name, settings))).then_some(written)
}

fn ours(name: &str, settings: &Settings) -> bool {
    if name.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let is_name = |short: &str| {
        NAMES.iter().any(|ours| short.eq_ignore_ascii_case(ours))
            || settings
                .names
                .iter()
                .any(|ours| !ours.is_empty() && short.eq_ignore_ascii_case(ours))
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    match name.split_once('.') {
        None => is_name(name),
        Some((short, domain)) => {
            DOMAINS.iter().any(|known| domain.eq_ignore_ascii_case(known)) && is_name(short)
        }
    }
}

/// Where a wish comes from, by the header that no script can set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum From {
    /// The common page as we served it.
    Ourselves,
    /// A page opened as a file, or any sandboxed frame: its secret has to tell.
    File,
}

/// The origin, when it is one that may send wishes. `host` is what [`host`] let through.
pub(super) fn origin(headers: &HeaderMap, host: &str) -> Option<From> {
    let mut all = headers.get_all(ORIGIN).iter();
    let written = all.next()?.to_str().ok()?;
    if all.next().is_some() {
        return None;
    }
    match written {
        "null" => Some(From::File),
        // Browsers write the origin in lower case, and the host just so.
        _ => (written.strip_prefix("http://") == Some(host)).then_some(From::Ourselves),
    }
}

/// Equal, found out in a time that tells nothing of where they differ.
fn same_secret(one: &[u8], other: &[u8]) -> bool {
    // Of the digests, because their length and where they differ say nothing of the secrets.
    let (one, other) = (Sha256::digest(one), Sha256::digest(other));
    let differ = one.iter().zip(other.iter()).fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(differ) == 0
}

/// True of a secret that nobody drew: empty, or one digit over and over, as a generator that
/// failed leaves it.
fn blank(key: &str) -> bool {
    key.bytes().all(|b| Some(b) == key.bytes().next())
}

/// The page that a worklist proves to come from. Looks at every page, whether found or not.
pub(super) fn page<'p>(pages: &'p [PageKey], page: &str, key: &str) -> Option<&'p PageKey> {
    let mut found = None;
    for one in pages {
        let right = same_secret(one.key.as_bytes(), key.as_bytes()) & !blank(&one.key);
        if right && one.page == page {
            found = Some(one);
        }
    }
    found
}

/// What came of asking for the password.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pass {
    /// It is right, or none is needed.
    Right,
    /// None was sent, as browsers do the first time.
    Missing,
    /// It is wrong.
    Wrong,
}

/// HTTP Basic (RFC 7617); the user name is not looked at.
pub(super) fn password(headers: &HeaderMap, settings: &Settings) -> Pass {
    let Some(right) = &settings.password else { return Pass::Right };
    let Some(sent) = headers.get(AUTHORIZATION) else { return Pass::Missing };
    let typed = sent.to_str().ok().and_then(|sent| {
        let (scheme, code) = sent.split_once(' ')?;
        let pair = STANDARD.decode(code.trim()).ok()?;
        let colon = pair.iter().position(|&b| b == b':')?;
        scheme.eq_ignore_ascii_case("basic").then(|| pair[colon + 1..].to_vec())
    });
    match typed {
        Some(typed) if same_secret(&typed, right.as_bytes()) => Pass::Right,
        _ => Pass::Wrong,
    }
}

/// How often one client may be wrong in a row.
const TRIES: u32 = 10;
/// How long until one more try is free.
const PAUSE: Duration = Duration::from_secs(6);
/// How many clients are remembered.
const CLIENTS: usize = 1024;

/// Who sent wrong secrets lately.
#[derive(Default)]
pub(super) struct Throttle(Mutex<HashMap<IpAddr, Instant>>);

impl Throttle {
    /// How long the client has to wait; `None` when it may try.
    pub(super) fn wait(&self, client: IpAddr, now: Instant) -> Option<Duration> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The moment at which all tries are free again; each wrong one puts it off.
        let until = table.get(&household(client))?.saturating_duration_since(now);
        until.checked_sub(PAUSE * (TRIES - 1)).filter(|wait| !wait.is_zero())
    }

    /// Remembers that the client was wrong.
    pub(super) fn wrong(&self, client: IpAddr, now: Instant) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= CLIENTS {
            table.retain(|_, until| *until > now);
            if table.len() >= CLIENTS {
                let oldest = table.iter().min_by_key(|(_, until)| **until).map(|(who, _)| *who);
                oldest.and_then(|who| table.remove(&who));
            }
        }
        let until = table.entry(household(client)).or_insert(now);
        *until = (*until).max(now) + PAUSE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Origin;
    use hyper::header::HeaderValue;

    fn with(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        map
    }

    #[test]
    fn only_our_own_names_are_answered() {
        let settings =
            Settings { names: vec!["pantry".into(), String::new()], ..Settings::default() };
        for good in [
            "larder",
            "larder:8080",
            "larder.",
            "LARDER.local",
            "larder.local.",
            "larder.local:8080",
            "larder.lan",
            "larder.home.arpa:80",
            "larder.internal",
            "localhost:8080",
            "pantry",
            "pantry.local:8080",
            "127.0.0.1",
            "192.168.1.5:8080",
            "[::1]",
            "[fe80::1]:8080",
            "[::ffff:10.0.0.1]",
        ] {
            assert_eq!(host(&with(&[("host", good)]), &settings), Some(good));
        }
        for bad in [
            "",
            "evil.example",
            "larder.evil.example",
            "larder.local.evil.example",
            "larderlocal",
            "evil.local",
            "xlarder.local",
            "larder.com",
            "larder.fritz.box",
            "larder..",
            ".local",
            ".",
            "local",
            "larder:80:80",
            "larder:x",
            "larder:",
            "larder:99999",
            "larder:-1",
            "127.0.0.1.evil.example",
            "127.0.0.1:",
            "127.1",
            "0x7f.0.0.1",
            "2130706433",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]:",
            "[evil]",
            "[fe80::1%eth0]",
            "user@larder",
            "larder/",
            "larder larder",
            "larder,evil",
            "larder\u{e9}",
            "ｌarder.local",
            "larder.lan.local",
        ] {
            assert_eq!(host(&with(&[("host", bad)]), &settings), None, "{bad}");
        }
        assert_eq!(host(&with(&[]), &settings), None);
        assert_eq!(host(&with(&[("host", "larder"), ("host", "larder")]), &settings), None);
    }

    #[test]
    fn only_the_page_itself_and_files_may_wish() {
        let of = |written: &str, host| origin(&with(&[("origin", written)]), host);
        for (written, at, from) in [
            ("null", "larder.local:8080", Some(From::File)),
            ("http://larder.local:8080", "larder.local:8080", Some(From::Ourselves)),
            ("http://[fe80::1]:8080", "[fe80::1]:8080", Some(From::Ourselves)),
            ("http://larder.local", "larder.local:8080", None),
            ("http://larder.local:8081", "larder.local:8080", None),
            ("http://192.168.1.5:8080", "larder.local:8080", None),
            ("https://larder.local:8080", "larder.local:8080", None),
            ("http://evil.example", "larder.local:8080", None),
            ("http://larder.local:8080.evil.example", "larder.local:8080", None),
            ("file://", "larder.local:8080", None),
            ("chrome-extension://abc", "larder.local:8080", None),
            ("NULL", "larder.local:8080", None),
            ("null, http://evil.example", "larder.local:8080", None),
            ("", "larder.local:8080", None),
        ] {
            assert_eq!(of(written, at), from, "{written} at {at}");
        }
        assert_eq!(origin(&with(&[]), "larder"), None);
        assert_eq!(origin(&with(&[("origin", "null"), ("origin", "null")]), "larder"), None);
    }

    #[test]
    fn a_page_proves_itself_by_its_own_secret() {
        let key =
            |page: &str, key: &str, origin| PageKey { page: page.into(), key: key.into(), origin };
        let phone = Origin::Device(crate::model::DeviceName::new("HTCphone").unwrap());
        let pages = [
            key("p1", "secret-1", Origin::Home),
            key("p2", "secret-2", phone.clone()),
            key("p3", "", Origin::Home),
            key("p4", "0000", Origin::Home),
        ];
        let of = |page_id, secret| page(&pages, page_id, secret).map(|p| p.origin.clone());
        assert_eq!(of("p1", "secret-1"), Some(Origin::Home));
        assert_eq!(of("p2", "secret-2"), Some(phone));
        for (page_id, secret) in [
            ("p1", "secret-2"),
            ("p2", "secret-1"),
            ("p1", ""),
            ("p1", "secret-"),
            ("p1", "secret-11"),
            ("p1", "SECRET-1"),
            ("p3", ""),
            ("p4", "0000"),
            ("", ""),
            ("", "secret-1"),
            ("p9", "secret-1"),
        ] {
            assert_eq!(of(page_id, secret), None, "{page_id} {secret}");
        }
    }

    #[test]
    fn the_password_is_asked_for_where_one_is_set() {
        let settings = Settings { password: Some("open: sesame".into()), ..Settings::default() };
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        let of = |line: &str| password(&with(&[("authorization", line)]), &settings);
        assert_eq!(password(&with(&[]), &Settings::default()), Pass::Right);
        assert_eq!(password(&with(&[]), &settings), Pass::Missing);
        for right in [
            basic(":open: sesame"),
            basic("anybody:open: sesame"),
            basic("a:open: sesame").replace("Basic", "bASIC"),
        ] {
            assert_eq!(of(&right), Pass::Right, "{right}");
        }
        for wrong in [
            basic(":"),
            basic("open: sesame"),
            basic("a:open"),
            "Basic".into(),
            "Basic !".into(),
            "Bearer open: sesame".into(),
            basic("a:open: sesame").replace("Basic", "Bearer"),
            String::new(),
        ] {
            assert_eq!(of(&wrong), Pass::Wrong, "{wrong}");
        }
    }

    #[test]
    fn who_is_wrong_too_often_has_to_wait_and_nobody_else() {
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let throttle = Throttle::default();
        let start = Instant::now();
        for _ in 0..TRIES {
            assert_eq!(throttle.wait(a, start), None);
            throttle.wrong(a, start);
        }
        assert_eq!(throttle.wait(a, start), Some(PAUSE));
        assert_eq!(throttle.wait(b, start), None);
        assert_eq!(throttle.wait(a, start + PAUSE), None, "one try is free again");
        throttle.wrong(a, start + PAUSE);
        assert_eq!(throttle.wait(a, start + PAUSE), Some(PAUSE));
        assert_eq!(throttle.wait(a, start + PAUSE * (TRIES + 2)), None);
    }

    #[test]
    fn the_table_of_the_wrong_stays_small_and_keeps_the_worst() {
        let throttle = Throttle::default();
        let start = Instant::now();
        let worst = IpAddr::from([10, 1, 1, 1]);
        for _ in 0..=TRIES {
            throttle.wrong(worst, start);
        }
        for i in 0..3000_u32 {
            throttle.wrong(IpAddr::from(Ipv4Addr::from_bits(0xc0a8_0000 + i)), start);
        }
        assert!(throttle.0.lock().unwrap().len() <= CLIENTS);
        assert!(throttle.wait(worst, start).is_some());
    }
}
