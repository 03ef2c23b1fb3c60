//! How much one client may ask for: connections at once, and wrong guesses.
//!
//! A client is a link-layer address where the kernel knows one: a machine has as many IPv6 addresses as it likes and
//! one network card. Elsewhere it is an IPv4 address, or a network of 64 bits. Whoever signed in before has places
//! and guesses that no stranger can use up.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Connections at once, of everybody. Each costs some 280 kB while it sends a file (measured).
const ALL: usize = 64;
/// Of those, connections at once of clients that never signed in.
const STRANGERS: usize = 40;
/// Connections at once of one client; a browser opens up to six.
const EACH: usize = 16;

/// An address on the link, such as that of an Ethernet card.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct LinkAddress(pub [u8; 6]);

/// Whoever is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    /// Its address; one of IPv4 is never written as one of IPv6.
    pub(super) address: IpAddr,
    /// What counts as one client.
    pub(super) key: ClientKey,
    /// It is in the local network.
    pub(super) is_local: bool,
}

/// What counts as one client.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum ClientKey {
    Link(LinkAddress),
    V4(Ipv4Addr),
    /// The upper half of an IPv6 address.
    V6Network(u64),
}

impl ClientKey {
    pub(super) fn new(address: IpAddr, link: Option<LinkAddress>) -> Self {
        match (link, address.to_canonical()) {
            (Some(link), _) => Self::Link(link),
            (None, IpAddr::V4(v4)) => Self::V4(v4),
            // The shift leaves 64 bits.
            (None, IpAddr::V6(v6)) => Self::V6Network((v6.to_bits() >> 64) as u64),
        }
    }
}

/// The places for connections.
#[derive(Clone, Default)]
pub(super) struct Connections(Arc<Mutex<Places>>);

#[derive(Default)]
struct Places {
    taken: HashMap<ClientKey, usize>,
    strangers: usize,
}

/// One place, free again when it is dropped.
pub(super) struct Place {
    connections: Connections,
    whose: ClientKey,
    stranger: bool,
}

impl Connections {
    /// A place for a connection; `None` when that client, all strangers or everybody have as many as there may be.
    pub(super) fn take(&self, whose: ClientKey, is_known: bool) -> Option<Place> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = places.taken.values().sum::<usize>();
        if all >= ALL || (!is_known && places.strangers >= STRANGERS) {
            return None;
        }
        let mine = places.taken.entry(whose).or_default();
        if *mine >= EACH {
            return None;
        }
        *mine += 1;
        places.strangers += usize::from(!is_known);
        Some(Place { connections: self.clone(), whose, stranger: !is_known })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.connections.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.strangers -= usize::from(self.stranger);
        if let Some(mine) = places.taken.get_mut(&self.whose) {
            *mine -= 1;
            if *mine == 0 {
                places.taken.remove(&self.whose);
            }
        }
    }
}

/// How many clients are remembered as known.
const KNOWN: usize = 256;

/// Clients that were signed in since the process began.
#[derive(Default)]
pub(super) struct KnownClients(Mutex<HashMap<ClientKey, Instant>>);

impl KnownClients {
    /// Remembers one. Of too many the one that was here longest ago is forgotten.
    pub(super) fn note(&self, key: ClientKey) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= KNOWN && !table.contains_key(&key) {
            let oldest = table.iter().min_by_key(|(_, at)| **at).map(|(key, _)| *key);
            oldest.and_then(|key| table.remove(&key));
        }
        table.insert(key, Instant::now());
    }

    /// True of one that is remembered.
    pub(super) fn has(&self, key: ClientKey) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&key)
    }
}

/// How often one guesser may be wrong in a row.
const TRIES: u32 = 10;
/// How long until one more try is free.
const PAUSE: Duration = Duration::from_secs(6);
/// How many guessers are remembered.
const GUESSERS: usize = 1024;

/// Who was wrong lately.
pub(super) struct Throttle<K>(Mutex<HashMap<K, Instant>>);

impl<K> Default for Throttle<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq + Clone> Throttle<K> {
    /// How long the guesser has to wait; `None` when it may try.
    pub(super) fn wait(&self, who: &K, now: Instant) -> Option<Duration> {
        wait(&self.0.lock().unwrap_or_else(PoisonError::into_inner), who, now)
    }

    /// Counts a try as wrong before it is known whether it is, so that of many at once not all are let through. `Err`
    /// says how long the guesser has to wait; then nothing is counted.
    pub(super) fn begin(&self, who: &K, now: Instant) -> Result<(), Duration> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match wait(&table, who, now) {
            Some(wait) => Err(wait),
            None => {
                note_wrong(&mut table, who, now);
                Ok(())
            }
        }
    }

    /// Remembers that the guesser was wrong.
    pub(super) fn wrong(&self, who: &K, now: Instant) {
        note_wrong(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), who, now);
    }

    /// Takes one wrong guess back: it was counted before it was known to be right.
    pub(super) fn forgive(&self, who: &K) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = table.get_mut(who) {
            *until = until.checked_sub(PAUSE).unwrap_or(*until);
        }
    }
}

fn wait<K: Hash + Eq>(table: &HashMap<K, Instant>, who: &K, now: Instant) -> Option<Duration> {
    // The moment at which all tries are free again; each wrong one puts it off.
    let until = table.get(who)?.saturating_duration_since(now);
    until.checked_sub(PAUSE * (TRIES - 1)).filter(|wait| !wait.is_zero())
}

fn note_wrong<K: Hash + Eq + Clone>(table: &mut HashMap<K, Instant>, who: &K, now: Instant) {
    if table.len() >= GUESSERS {
        table.retain(|_, until| *until > now);
        if table.len() >= GUESSERS {
            let oldest = table.iter().min_by_key(|(_, until)| **until);
            if let Some(who) = oldest.map(|(who, _)| who.clone()) {
                table.remove(&who);
            }
        }
    }
    let until = table.entry(who.clone()).or_insert(now);
    *until = (*until).max(now) + PAUSE;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> ClientKey {
        ClientKey::new(text.parse().unwrap(), None)
    }

    #[test]
    fn one_address_takes_its_places_and_no_more() {
        let places = Connections::default();
        let a = key("192.168.1.7");
        let mut held: Vec<_> = (0..EACH).map(|_| places.take(a, false).unwrap()).collect();
        assert!(places.take(a, false).is_none());
        assert!(places.take(key("::ffff:192.168.1.7"), false).is_none(), "the same address");
        let b = places.take(key("192.168.1.8"), false);
        assert!(b.is_some(), "others are not kept waiting");
        held.pop();
        assert!(places.take(a, false).is_some(), "a place that was given back");
    }

    #[test]
    fn everybody_together_is_bounded_and_strangers_leave_places_to_the_others() {
        let places = Connections::default();
        let mut held = Vec::new();
        for i in 0..=255 {
            held.extend(places.take(key(&format!("10.0.0.{i}")), false));
        }
        assert_eq!(held.len(), STRANGERS);
        for i in 0..=255 {
            held.extend(places.take(key(&format!("10.0.1.{i}")), true));
        }
        assert_eq!(held.len(), ALL);
        held.clear();
        let left = places.0.lock().unwrap();
        assert!(left.taken.is_empty() && left.strangers == 0, "nothing is kept of who went");
    }

    #[test]
    fn a_machine_with_many_ipv6_addresses_is_one_client() {
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff:1:2:3"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:10.0.0.2"), key("10.0.0.2"));
        let card = |last| Some(LinkAddress([2, 0, 0, 0, 0, last]));
        let at = |text: &str, last| ClientKey::new(text.parse().unwrap(), card(last));
        assert_eq!(at("fe80::1", 1), at("2001:db8::9", 1));
        assert_eq!(at("fe80::1", 1), at("10.0.0.2", 1));
        assert_ne!(at("fe80::1", 1), at("fe80::2", 2), "two machines on one link");
    }

    #[test]
    fn who_is_wrong_too_often_has_to_wait_and_nobody_else() {
        let (a, b) = (key("10.0.0.1"), key("10.0.0.2"));
        let throttle = Throttle::default();
        let start = Instant::now();
        for _ in 0..TRIES {
            assert_eq!(throttle.wait(&a, start), None);
            throttle.wrong(&a, start);
        }
        assert_eq!(throttle.wait(&a, start), Some(PAUSE));
        assert_eq!(throttle.wait(&b, start), None);
        assert_eq!(throttle.wait(&a, start + PAUSE), None, "one try is free again");
        throttle.wrong(&a, start + PAUSE);
        assert_eq!(throttle.wait(&a, start + PAUSE), Some(PAUSE));
        assert_eq!(throttle.wait(&a, start + PAUSE * (TRIES + 2)), None);
        throttle.forgive(&a);
        assert_eq!(throttle.wait(&a, start + PAUSE), None, "one was right");
    }

    #[test]
    fn who_was_signed_in_is_remembered_and_not_everybody_for_ever() {
        let known = KnownClients::default();
        let nth = |i: u32| ClientKey::V4(Ipv4Addr::from_bits(0x0a00_0000 + i));
        (0..300).for_each(|i| known.note(nth(i)));
        assert!(known.has(nth(299)) && !known.has(nth(0)) && !known.has(nth(300)));
        assert!(known.0.lock().unwrap().len() <= KNOWN);
    }

    #[test]
    fn the_table_of_the_wrong_stays_small_and_keeps_the_worst() {
        let throttle = Throttle::default();
        let start = Instant::now();
        let worst = key("10.1.1.1");
        for _ in 0..=TRIES {
            throttle.wrong(&worst, start);
        }
        for i in 0..3000_u32 {
            throttle.wrong(&ClientKey::V4(Ipv4Addr::from_bits(0xc0a8_0000 + i)), start);
        }
        assert!(throttle.0.lock().unwrap().len() <= GUESSERS);
        assert!(throttle.wait(&worst, start).is_some());
    }
}
