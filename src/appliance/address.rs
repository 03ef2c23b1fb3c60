//! The machine's number in the local network, for an owner whose phone knows no names of `.local`.
//!
//! In comes what the kernel knows of its own addresses, out comes the one to tell. Nothing is sent
//! to anybody.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// An address of documents (RFC 5737): nobody has it, so the way to it is the way out of the house.
const OUTSIDE: (Ipv4Addr, u16) = (Ipv4Addr::new(198, 51, 100, 1), 9);

/// The address of this machine; `None` without a network.
pub(super) fn of_this_machine() -> Option<Ipv4Addr> {
    let table = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    choose(way_out(), &table)
}

/// The address that packets to the outside would have. Connecting a UDP socket sends none.
fn way_out() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(OUTSIDE).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

/// The way out, or in a network that has none, the first of the machine's own addresses; one that
/// it gave itself (169.254.x.y) only when nobody gave it another. The kernel's table has those of
/// interfaces that are up.
fn choose(way_out: Option<Ipv4Addr>, table: &str) -> Option<Ipv4Addr> {
    let all = way_out.into_iter().chain(own(table));
    let usable = all.filter(|address| !(address.is_loopback() || address.is_unspecified()));
    // Of equals `min_by_key` takes the first.
    usable.min_by_key(Ipv4Addr::is_link_local)
}

/// The machine's own addresses in `/proc/net/fib_trie`: a leaf, and below it that it is a host's.
fn own(table: &str) -> impl Iterator<Item = Ipv4Addr> {
    let lines = table.lines().map(str::trim);
    lines.clone().zip(lines.skip(1)).filter_map(|(leaf, below)| {
        let address = leaf.strip_prefix("|-- ")?;
        below.starts_with("/32 host LOCAL").then(|| address.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
        |-- 169.254.7.7
           /32 host LOCAL
     +-- 192.168.1.0/24 2 0 2
           |-- 192.168.1.0
              /24 link UNICAST
           |-- 192.168.1.20
              /32 host LOCAL
        |-- 192.168.1.255
           /32 link BROADCAST
";

    #[test]
    fn the_address_of_the_way_out_is_told_and_else_one_of_the_house() {
        let (home, out) = (Ipv4Addr::new(192, 168, 1, 20), Ipv4Addr::new(10, 0, 0, 3));
        assert_eq!(choose(Some(out), TABLE), Some(out));
        assert_eq!(choose(None, TABLE), Some(home));
        assert_eq!(choose(Some(Ipv4Addr::new(169, 254, 1, 1)), TABLE), Some(home));
        let lonely = &TABLE[..TABLE.find("     +-- 192").unwrap()];
        let own = Ipv4Addr::new(169, 254, 7, 7);
        assert_eq!(choose(None, lonely), Some(own), "without a router it is the only way in");
        assert_eq!(choose(Some(own), lonely), Some(own));
        let alone = &TABLE[..TABLE.find("        |-- 169").unwrap()];
        assert_eq!(choose(None, alone), None);
        assert_eq!(choose(Some(Ipv4Addr::LOCALHOST), ""), None);
    }

    #[test]
    fn this_machine_answers_without_a_word_to_anybody() {
        if let Some(address) = of_this_machine() {
            assert!(!address.is_loopback(), "{address}");
        }
    }
}
