//! One connection: how long it may take.

use super::limits::Client;
use super::{GOODBYE, Snapshot};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tower::ServiceExt as _;

/// How long the head of a request may take, and how long a connection may be idle between two.
const HEAD: Duration = Duration::from_secs(10);
/// How long a client may read nothing at all of what is sent to it.
const STALL: Duration = Duration::from_secs(30);
/// Longest head of a request, in bytes: a path of 4,096 bytes is 12 KiB percent-encoded.
const HEAD_BYTES: usize = 32 << 10;
/// Most header lines of a request.
const HEADERS: usize = 64;

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
    client: Client,
    router: Router,
    snapshot: watch::Receiver<Snapshot>,
    mut closing: watch::Receiver<()>,
) {
    // Small answers at once. A socket that can't is as good.
    drop(stream.set_nodelay(true));
    let service = service_fn(|request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(client);
        router.clone().oneshot(request)
    });
    let stream = WriteTimeout { stream, limit: None };
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS)
            .serve_connection(TokioIo::new(stream), service)
    );
    let client = client.address;
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                log::debug!("connection of {client}: {error}");
            }
        }
        // Dropping the connection lets go of every file it has open.
        () = drive_gone(snapshot) => log::debug!("connection of {client}: the drive went away"),
        _ = closing.changed() => {
            connection.as_mut().graceful_shutdown();
            drop(timeout(GOODBYE, connection).await);
        }
    }
}

/// Returns when a drive that was there is not any more.
async fn drive_gone(mut snapshot: watch::Receiver<Snapshot>) {
    let mut had: Option<PathBuf> = None;
    loop {
        let now = snapshot.borrow_and_update().drive.clone();
        if had.is_some() && had != now {
            return;
        }
        had = now;
        if snapshot.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A stream that gives up on a reader who takes nothing for [`STALL`].
struct WriteTimeout {
    stream: TcpStream,
    /// While a write waits: until when.
    limit: Option<Pin<Box<Sleep>>>,
}

impl WriteTimeout {
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

impl AsyncRead for WriteTimeout {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for WriteTimeout {
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

    #[tokio::test(start_paused = true)]
    async fn a_reader_who_takes_nothing_is_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (client, served) = tokio::join!(TcpStream::connect(at), listener.accept());
        let _reads_nothing = client.unwrap();
        let mut written = WriteTimeout { stream: served.unwrap().0, limit: None };
        let block = vec![0; 1 << 20];
        let error = loop {
            if let Err(error) = written.write(&block).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
