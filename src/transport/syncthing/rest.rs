//! Syncthing's REST interface over its unix socket: one request, one connection, bounded answers.

use crate::transport::TransportError;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::UnixStream;

/// How long an answer may take that is not known to take long.
pub(super) const SOON: Duration = Duration::from_secs(20);
/// Largest answer taken: 100,000 needed files take 70 MB.
const MOST_BYTES: usize = 128 << 20;

/// Where the interface is, and the key to it. Cheap to clone; all clones share the key.
#[derive(Clone)]
pub(super) struct Rest {
    socket: PathBuf,
    key: Arc<RwLock<String>>,
}

/// An answer: its status and body.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Rest {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket, key: Arc::default() }
    }

    pub(super) fn set_key(&self, key: String) {
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = key;
    }

    /// One request. `path` is already encoded; `body` is JSON or empty.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: String,
        within: Duration,
    ) -> Result<Answer, TransportError> {
        let doing = || format!("{method} {}", path.split('?').next().unwrap_or(path));
        let down = |why: String| TransportError::Down(format!("{}: {why}", doing()));
        let asked = async {
            let stream =
                UnixStream::connect(&self.socket).await.map_err(|e| down(e.to_string()))?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream))
                    .await
                    .map_err(|e| down(e.to_string()))?;
            let key = self.key.read().unwrap_or_else(PoisonError::into_inner).clone();
            let request = Request::builder()
                .method(method.clone())
                .uri(path)
                .header("Host", "localhost")
                .header("X-API-Key", key)
                .body(Full::new(Bytes::from(body)))
                .map_err(|e| down(e.to_string()))?;
            let exchange = async {
                let answer = sender.send_request(request).await.map_err(|e| down(e.to_string()))?;
                let status = answer.status();
                let body = Limited::new(answer.into_body(), MOST_BYTES)
                    .collect()
                    .await
                    .map_err(|e| down(e.to_string()))?
                    .to_bytes();
                Ok(Answer { status, body })
            };
            tokio::pin!(exchange);
            tokio::pin!(connection);
            // The connection is driven here, so that giving up the request ends it, too. It may
            // be over a moment before the exchange has taken what it brought.
            tokio::select! {
                done = &mut exchange => done,
                _ = &mut connection => exchange.await,
            }
        };
        let answer = tokio::time::timeout(within, asked)
            .await
            .map_err(|_| down(format!("no answer within {} s", within.as_secs())))??;
        // Syncthing answers a wrong key with 403 (CSRF) over HTTP, 401 with a login page.
        if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(TransportError::Key);
        }
        Ok(answer)
    }

    /// A request that must succeed.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<Bytes, TransportError> {
        let text = body.map(ToString::to_string).unwrap_or_default();
        let answer = self.send(method.clone(), path, text, SOON).await?;
        answer.good(&format!("{method} {path}"))
    }

    /// GET, read as `T`.
    pub(super) async fn get<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<T, TransportError> {
        read(&self.call(Method::GET, path, None).await?, path)
    }

    /// GET, read as `T`; `None` when it is not known there.
    pub(super) async fn find<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        within: Duration,
    ) -> Result<Option<T>, TransportError> {
        let answer = self.send(Method::GET, path, String::new(), within).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        read(&answer.good(path)?, path).map(Some)
    }
}

impl Answer {
    /// The body of a success; otherwise what was said.
    pub(super) fn good(self, doing: &str) -> Result<Bytes, TransportError> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        Err(TransportError::Refused { doing: doing.into(), answer: self.words() })
    }

    /// What it says, made safe to show.
    pub(super) fn words(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let line: String = text.trim().chars().take(300).collect();
        format!("{} ({})", crate::model::show(line.as_bytes()), self.status.as_u16())
    }
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8], path: &str) -> Result<T, TransportError> {
    serde_json::from_slice(body).map_err(|e| TransportError::Answer {
        doing: path.split('?').next().unwrap_or(path).into(),
        problem: e.to_string(),
    })
}

/// Encodes a value for the query of an address.
pub(super) fn query(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 8);
    for &b in bytes {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(b));
        } else {
            text.push_str(&format!("%{b:02X}"));
        }
    }
    text
}
