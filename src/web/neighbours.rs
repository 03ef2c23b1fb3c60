//! Which network card is behind an address: the kernel's neighbour table (rtnetlink(7), `RTM_GETNEIGH`).
//!
//! Read for a connection, never for each request, and at most twenty times a second. An address that is missing from a
//! table read after its connection came is not on our links, or the kernel does not tell: then nothing is known, and
//! nobody is refused for that. One that is missing from an older table may have come since: the table is read again.

use super::limits::LinkAddress;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How old the table may be for an address that is in it.
const FRESH: Duration = Duration::from_secs(10);
/// How often at most it is read for those that are not.
const PAUSE: Duration = Duration::from_millis(50);
/// Most answers that are read; the kernel keeps 1,024 entries a family unless told otherwise.
const ANSWERS: usize = 1_024;

// linux/netlink.h, linux/rtnetlink.h, linux/neighbour.h
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWNEIGH: u16 = 28;
const RTM_GETNEIGH: u16 = 30;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
/// The kernel asked and nobody answered, or it never asks.
const NUD_INCOMPLETE: u16 = 0x01;
const NUD_FAILED: u16 = 0x20;
const NUD_NOARP: u16 = 0x40;
/// Length of `struct nlmsghdr` and of `struct ndmsg`.
const HEADER: usize = 16;
const NDMSG: usize = 12;

type Table = HashMap<IpAddr, LinkAddress>;

/// The table, and when it was read.
pub struct Neighbours {
    /// The kernel's, which never has an address of this machine alone.
    is_kernels: bool,
    read_table: Box<dyn Fn() -> Table + Send + Sync>,
    read: Mutex<Option<(Instant, Table)>>,
}

// A function has nothing to show.
impl std::fmt::Debug for Neighbours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Neighbours").field("read", &self.read).finish_non_exhaustive()
    }
}

impl Neighbours {
    /// The kernel's.
    pub fn of_kernel() -> Self {
        let kernels = Self::read_by(|| {
            dump().unwrap_or_else(|e| {
                log::debug!("the kernel's neighbours can't be read: {e}");
                Table::new()
            })
        });
        Self { is_kernels: true, ..kernels }
    }

    /// These and no others, for tests.
    pub fn of(table: impl IntoIterator<Item = (IpAddr, LinkAddress)>) -> Self {
        let table: Table = table.into_iter().collect();
        Self::read_by(move || table.clone())
    }

    fn read_by(read_table: impl Fn() -> Table + Send + Sync + 'static) -> Self {
        Self { is_kernels: false, read_table: Box::new(read_table), read: Mutex::new(None) }
    }

    /// The network card of a neighbour whose connection came at that moment. `Err` says after what time to ask again:
    /// the table is older than the connection and was read just now.
    pub(super) fn link_address(
        &self,
        address: IpAddr,
        came: Instant,
    ) -> Result<Option<LinkAddress>, Duration> {
        if address.is_loopback() && self.is_kernels {
            return Ok(None);
        }
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, table)) = &*read {
            match table.get(&address) {
                Some(found) if at.elapsed() < FRESH => return Ok(Some(*found)),
                None if *at >= came => return Ok(None),
                _ => {}
            }
            let wait = PAUSE.saturating_sub(at.elapsed());
            if !wait.is_zero() {
                return Err(wait);
            }
        }
        // The moment before: what changes while the kernel answers may be missing.
        let at = Instant::now();
        let table = (self.read_table)();
        let found = table.get(&address).copied();
        *read = Some((at, table));
        Ok(found)
    }
}

/// Asks the kernel for all neighbours.
fn dump() -> rustix::io::Result<Table> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        // NETLINK_ROUTE is protocol 0.
        None,
    )?;
    // It answers at once or not at all.
    let patience = Some(Duration::from_millis(500));
    rustix::net::sockopt::set_socket_timeout(
        &socket,
        rustix::net::sockopt::Timeout::Recv,
        patience,
    )?;
    let mut ask = Vec::with_capacity(HEADER + NDMSG);
    // The request has 28 bytes.
    ask.extend_from_slice(&((HEADER + NDMSG) as u32).to_ne_bytes());
    ask.extend_from_slice(&RTM_GETNEIGH.to_ne_bytes());
    ask.extend_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    ask.resize(HEADER + NDMSG, 0);
    rustix::net::sendto(&socket, &ask, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut table = Table::new();
    let mut answer = vec![0; 32 << 10];
    for _ in 0..ANSWERS {
        let (_, length) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())?;
        if length == 0 || read_messages(&answer[..length.min(answer.len())], &mut table) {
            break;
        }
    }
    Ok(table)
}

/// Reads the messages of one answer; `true` when it was the last.
fn read_messages(mut bytes: &[u8], table: &mut Table) -> bool {
    while bytes.len() >= HEADER {
        let length = u32_at(bytes, 0) as usize;
        if length < HEADER || length > bytes.len() {
            return true;
        }
        match u16_at(bytes, 4) {
            NLMSG_DONE | NLMSG_ERROR => return true,
            RTM_NEWNEIGH => table.extend(neighbour(&bytes[HEADER..length])),
            _ => {}
        }
        bytes = &bytes[aligned(length).min(bytes.len())..];
    }
    false
}

/// One neighbour: `struct ndmsg` and its attributes.
fn neighbour(message: &[u8]) -> Option<(IpAddr, LinkAddress)> {
    let state = u16_at(message.get(..NDMSG)?, 8);
    if state == 0 || state & (NUD_INCOMPLETE | NUD_FAILED | NUD_NOARP) != 0 {
        return None;
    }
    let (mut address, mut link) = (None, None);
    let mut rest = &message[NDMSG..];
    while rest.len() >= 4 {
        let length = usize::from(u16_at(rest, 0));
        let value = rest.get(4..length)?;
        match u16_at(rest, 2) {
            NDA_DST => {
                address = <[u8; 4]>::try_from(value)
                    .map(|v4| IpAddr::V4(Ipv4Addr::from(v4)))
                    .or_else(|_| <[u8; 16]>::try_from(value).map(|v6| Ipv6Addr::from(v6).into()))
                    .ok();
            }
            NDA_LLADDR => link = <[u8; 6]>::try_from(value).ok().map(LinkAddress),
            _ => {}
        }
        rest = &rest[aligned(length).min(rest.len())..];
    }
    // No card has this one; loopback shows it.
    let link = link.filter(|link| link.0 != [0; 6])?;
    Some((address?, link))
}

const fn aligned(length: usize) -> usize {
    (length + 3) & !3
}

/// At least so many bytes are there; see the callers.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A message as the kernel sends it: header, ndmsg (family, interface, state), attributes.
    fn message(kind: u16, state: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![2, 0, 0, 0, 2, 0, 0, 0];
        body.extend_from_slice(&state.to_ne_bytes());
        body.extend_from_slice(&[0, 1]);
        for (name, value) in attributes {
            body.extend_from_slice(&u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
            body.extend_from_slice(&name.to_ne_bytes());
            body.extend_from_slice(value);
            body.resize(aligned(body.len()), 0);
        }
        let mut all = u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes().to_vec();
        all.extend_from_slice(&kind.to_ne_bytes());
        all.extend_from_slice(&[2, 0, 1, 0, 0, 0, 9, 0, 0, 0]);
        all.extend_from_slice(&body);
        all
    }

    const CARD: [u8; 6] = [0xb8, 0x27, 0xeb, 1, 2, 3];
    const REACHABLE: u16 = 2;
    const STALE: u16 = 4;

    #[test]
    fn reads_what_the_kernel_says() {
        let v6: Ipv6Addr = "fe80::1".parse().unwrap();
        let answer = [
            message(
                RTM_NEWNEIGH,
                REACHABLE,
                &[(NDA_DST, &[10, 0, 0, 2]), (NDA_LLADDR, &CARD), (3, &[0; 16])],
            ),
            message(RTM_NEWNEIGH, STALE, &[(NDA_LLADDR, &CARD), (NDA_DST, &v6.octets())]),
            message(RTM_NEWNEIGH, NUD_FAILED, &[(NDA_DST, &[10, 0, 0, 3]), (NDA_LLADDR, &CARD)]),
            message(RTM_NEWNEIGH, NUD_INCOMPLETE, &[(NDA_DST, &[10, 0, 0, 4])]),
            message(RTM_NEWNEIGH, NUD_NOARP, &[(NDA_DST, &[127, 0, 0, 1]), (NDA_LLADDR, &[0; 6])]),
            message(99, REACHABLE, &[(NDA_DST, &[10, 0, 0, 5]), (NDA_LLADDR, &CARD)]),
        ]
        .concat();
        let mut table = Table::new();
        assert!(!read_messages(&answer, &mut table));
        let card = LinkAddress(CARD);
        let known = [(IpAddr::from([10, 0, 0, 2]), card), (v6.into(), card)];
        assert_eq!(table, known.into_iter().collect());
        assert!(read_messages(&message(NLMSG_DONE, 0, &[]), &mut table));
    }

    #[test]
    fn the_kernel_answers() {
        dump().unwrap();
        let kernel = Neighbours::of_kernel();
        assert_eq!(kernel.link_address([127, 0, 0, 1].into(), Instant::now()), Ok(None));
    }

    /// A machine that takes one address after another, each in the kernel's table before its connection comes.
    #[test]
    fn a_machine_that_takes_new_addresses_stays_one_client() {
        let kernel = Arc::new(Mutex::new(Table::new()));
        let dumps = Arc::new(AtomicUsize::new(0));
        let neighbours = Neighbours::read_by({
            let (kernel, dumps) = (Arc::clone(&kernel), Arc::clone(&dumps));
            move || {
                dumps.fetch_add(1, Ordering::Relaxed);
                kernel.lock().unwrap().clone()
            }
        });
        let begun = Instant::now();
        for last in 0..10 {
            let address = IpAddr::from([10, 0, 0, last]);
            kernel.lock().unwrap().insert(address, LinkAddress(CARD));
            let came = Instant::now();
            let link = loop {
                match neighbours.link_address(address, came) {
                    Ok(link) => break link,
                    Err(wait) => {
                        assert!(wait <= PAUSE);
                        std::thread::sleep(wait);
                    }
                }
            };
            assert_eq!(link, Some(LinkAddress(CARD)), "{address}");
        }
        // One that is known costs nothing, and so does one that was missing after it came.
        let before = dumps.load(Ordering::Relaxed);
        assert!(begun.elapsed() >= PAUSE * 9 && before <= 10, "{before} times");
        let came = begun;
        for _ in 0..100 {
            assert_eq!(neighbours.link_address([10, 9, 9, 9].into(), came), Ok(None));
            assert!(neighbours.link_address([10, 0, 0, 1].into(), came).unwrap().is_some());
        }
        assert_eq!(dumps.load(Ordering::Relaxed), before);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..90) {
            read_messages(&bytes, &mut Table::new());
            let whole = message(RTM_NEWNEIGH, 2, &[(NDA_DST, &[10, 0, 0, 2]), (NDA_LLADDR, &CARD)]);
            let mut bitten = whole[..cut.min(whole.len())].to_vec();
            bitten.extend_from_slice(&bytes);
            read_messages(&bitten, &mut Table::new());
        }
    }
}
