//! Who may ask: the Host and Origin allow-lists, seals, cookies, and which addresses are local. Pure.

use super::{PageKey, Settings};
use crate::model::Origin;
use crate::worklist::mac::{self, Sealed};
use axum::http::HeaderMap;
use axum::http::header::{COOKIE, HOST, ORIGIN};
use sha2::{Digest as _, Sha256};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Domains that home networks give to their machines, and that nobody can register on the
/// internet (RFC 6762, RFC 8375, and those that ICANN reserved or refused).
const DOMAINS: [&str; 4] = ["local", "lan", "home.arpa", "internal"];
/// The name that is everybody's own.
const LOCALHOST: &str = "localhost";

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
        short.eq_ignore_ascii_case(LOCALHOST)
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
    /// A page opened as a file, or any sandboxed frame: its seal has to tell.
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
pub(super) fn same_secret(one: &[u8], other: &[u8]) -> bool {
    // Of the digests, because their length and where they differ say nothing of the secrets.
    let (one, other) = (Sha256::digest(one), Sha256::digest(other));
    let differ = one.iter().zip(other.iter()).fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(differ) == 0
}

/// The device's page that a worklist proves to come from: the one of that id, when its key sealed it. The ids are no
/// secret, so no other page is looked at: each look takes as long as the worklist is.
pub(super) fn page<'p>(pages: &'p [PageKey], page: &str, text: &[u8]) -> Option<&'p PageKey> {
    let is_it = |one: &&PageKey| one.page == page && one.origin != Origin::Home;
    let page = pages.iter().find(is_it)?;
    mac::is_sealed(&page.key, Sealed::Worklist, text).then_some(page)
}

/// True of an address that only the local network has: private, of the link, or this machine (RFC 1918, RFC 3927,
/// RFC 4193, RFC 4291). Others are local when they are a neighbour on one of our links.
pub(super) fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local() || v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// The value of a cookie. Of several of one name the first counts.
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs =
        lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn with(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        map
    }

    #[test]
    fn only_our_own_names_are_answered() {
        let names = ["larder", "pantry", ""].map(String::from).into();
        let settings = Settings { names, ..Settings::default() };
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
    fn a_page_proves_itself_by_the_seal_of_its_own_key() {
        let key =
            |page: &str, key: &str, origin| PageKey { page: page.into(), key: key.into(), origin };
        let device = |name| Origin::Device(crate::model::DeviceName::new(name).unwrap());
        let pages = [
            key("p1", "secret-1", device("HTCphone")),
            key("p2", "secret-2", device("tablet")),
            key("p3", "", device("a")),
            key("p4", "0000", device("b")),
            key("home", "secret-5", Origin::Home),
        ];
        let of = |page_id: &str, secret: &str| {
            let text =
                mac::seal(secret, Sealed::Worklist, &format!(r#"{{"v":2,"page":"{page_id}"}}"#));
            page(&pages, page_id, text.as_bytes()).map(|p| p.origin.clone())
        };
        assert_eq!(of("p1", "secret-1"), Some(device("HTCphone")));
        assert_eq!(of("p2", "secret-2"), Some(device("tablet")));
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
            ("home", "secret-5"),
        ] {
            assert_eq!(of(page_id, secret), None, "{page_id} {secret}");
        }
        let answer = mac::seal("secret-1", Sealed::Answer, r#"{"v":2,"page":"p1"}"#);
        assert!(page(&pages, "p1", answer.as_bytes()).is_none(), "the seal of an answer");
    }

    #[test]
    fn only_addresses_of_a_home_are_local() {
        for (address, local) in [
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("172.16.0.1", true),
            ("172.32.0.1", false),
            ("192.168.1.5", true),
            ("169.254.3.4", true),
            ("::ffff:192.168.1.5", true),
            ("::1", true),
            ("fe80::1", true),
            ("fd12:3456::1", true),
            ("fc00::1", true),
            ("8.8.8.8", false),
            ("100.64.0.1", false),
            ("192.169.0.1", false),
            ("0.0.0.0", false),
            ("::ffff:8.8.8.8", false),
            ("2001:db8::1", false),
            ("ff02::1", false),
            ("::", false),
        ] {
            assert_eq!(is_local(address.parse().unwrap()), local, "{address}");
        }
    }

    #[test]
    fn a_cookie_is_found_by_its_name() {
        let of = |lines: &[(&'static str, &str)]| cookie(&with(lines), "larder").map(str::to_owned);
        assert_eq!(of(&[("cookie", "a=1; larder=abc; b=2")]).as_deref(), Some("abc"));
        assert_eq!(of(&[("cookie", "a=1"), ("cookie", "larder=abc")]).as_deref(), Some("abc"));
        assert_eq!(of(&[("cookie", "larder=abc;larder=def")]).as_deref(), Some("abc"));
        for without in ["", "larder", "xlarder=abc", "larder-known=1", "a=larder=abc"] {
            assert_eq!(of(&[("cookie", without)]), None, "{without}");
        }
    }
}
