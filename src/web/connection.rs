//! One connection: how many there may be, how long they may take.

use super::answer::{self, Desk};
use super::{GOODBYE, House};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

/// Connections at once, of everybody. Each costs some 280 kB while it sends a file (measured).
const ALL: usize = 64;
/// Connections at once of one address; a browser opens up to six.
const EACH: usize = 16;
/// How long the head of a request may take, and how long a connection may be idle between two.
const HEAD: Duration = Duration::from_secs(10);
/// How long a client may read nothing at all of what is sent to it.
const STALL: Duration = Duration::from_secs(30);
/// Longest head of a request, in bytes: a path of 4,096 bytes is 12 KiB percent-encoded.
const HEAD_BYTES: usize = 32 << 10;
/// Most header lines of a request.
const HEADERS: usize = 64;

/// The places for connections.
#[derive(Clone, Default)]
pub(super) struct Places(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One place, free again when it is dropped.
pub(super) struct Place {
    places: Places,
    whose: IpAddr,
}

impl Places {
    /// A place for a connection from `from`; `None` when that address, or everybody, has as many
    /// as there may be.
    pub(super) fn take(&self, from: IpAddr) -> Option<Place> {
        let whose = household(from);
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.values().sum::<usize>() >= ALL {
            return None;
        }
        let mine = taken.entry(whose).or_default();
        if *mine >= EACH {
            return None;
        }
        *mine += 1;
        Some(Place { places: self.clone(), whose })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mine) = taken.get_mut(&self.whose) {
            *mine -= 1;
            if *mine == 0 {
                taken.remove(&self.whose);
            }
        }
    }
}

/// What counts as one client: an IPv4 address, or a network of 64 bits in IPv6, where a single
/// machine has as many addresses as it likes.
pub(super) fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

/// Tells one client too many so, as far as that costs nothing.
pub(super) fn refuse(stream: &TcpStream) {
    const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\n\
        content-length: 0\r\nconnection: close\r\n\r\n";
    // Whether it gets through is all the same: the connection is closed either way.
    drop(stream.try_write(BUSY));
}

/// Serves one connection until it ends, fails, stalls, the drive that it may be reading from goes
/// away, or `closing` is dropped.
pub(super) async fn run(
    stream: TcpStream,
    from: SocketAddr,
    desk: Arc<Desk>,
    house: watch::Receiver<House>,
    mut closing: watch::Receiver<()>,
) {
    // Small answers at once. A socket that can't is as good.
    drop(stream.set_nodelay(true));
    let client = from.ip();
    let service = service_fn(|request| answer::to(Arc::clone(&desk), client, request));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS)
            .serve_connection(TokioIo::new(Patient { stream, limit: None }), service)
    );
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                log::debug!("connection of {client}: {error}");
            }
        }
        // Dropping the connection lets go of every file it has open.
        () = drive_gone(house) => log::debug!("connection of {client}: the drive went away"),
        _ = closing.changed() => {
            connection.as_mut().graceful_shutdown();
            drop(timeout(GOODBYE, connection).await);
        }
    }
}

/// Returns when a drive that was there is not any more.
async fn drive_gone(mut house: watch::Receiver<House>) {
    let mut had: Option<PathBuf> = None;
    loop {
        let now = house.borrow_and_update().drive.clone();
        if had.is_some() && had != now {
            return;
        }
        had = now;
        if house.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A stream that gives up on a reader who takes nothing for [`STALL`].
struct Patient {
    stream: TcpStream,
    /// While a write waits: until when.
    limit: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn wait<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.limit = None;
            return written;
        }
        let limit = self.limit.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + STALL)));
        ready!(limit.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wait(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.wait(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    #[test]
    fn one_address_takes_its_places_and_no_more() {
        let places = Places::default();
        let a: IpAddr = "192.168.1.7".parse().unwrap();
        let mut held: Vec<_> = (0..EACH).map(|_| places.take(a).unwrap()).collect();
        assert!(places.take(a).is_none());
        assert!(places.take("::ffff:192.168.1.7".parse().unwrap()).is_none(), "the same address");
        let b = places.take("192.168.1.8".parse().unwrap());
        assert!(b.is_some(), "others are not kept waiting");
        held.pop();
        assert!(places.take(a).is_some(), "a place that was given back");
    }

    #[test]
    fn everybody_together_is_bounded_too() {
        let places = Places::default();
        let mut held = Vec::new();
        for i in 0..=255 {
            held.extend(places.take(IpAddr::from([10, 0, 0, i])));
        }
        assert_eq!(held.len(), ALL);
        held.clear();
        assert!(places.0.lock().unwrap().is_empty(), "nothing is kept of clients that went");
    }

    #[test]
    fn a_machine_with_many_ipv6_addresses_is_one_client() {
        let of = |text: &str| household(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff:1:2:3"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:10.0.0.2"), of("10.0.0.2"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_who_takes_nothing_is_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (client, served) = tokio::join!(TcpStream::connect(at), listener.accept());
        let _reads_nothing = client.unwrap();
        let mut patient = Patient { stream: served.unwrap().0, limit: None };
        let block = vec![0; 1 << 20];
        let error = loop {
            if let Err(error) = patient.write(&block).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
