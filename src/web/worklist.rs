//! Takes the wishes that a page sends.
//!
//! The common page, which we served, sends them from our own origin, with a session. A page of a device is opened as a
//! file and sends them from the origin `null`, which any sandboxed frame has too: what admits is the seal of its key.
//! Each answer is sealed in turn, so that the page believes nobody else.

use super::auth::{self, From};
use super::error_page::{only, put};
use super::limits::Client;
use super::session;
use super::state::{AppState, Shared};
use super::{Command, Wishes};
use crate::model::{Origin, WishId};
use crate::worklist::mac::{self, Sealed};
use crate::worklist::{self, Worklist};
use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::header::{self, HeaderMap, HeaderName};
use axum::http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long a worklist may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(20);
/// How long wishes may wait for their turn whose client sent too many wrong seals. A page waits 10 s.
const DOUBTFUL: Duration = Duration::from_secs(8);

/// Answers a request to the address for worklists.
pub(super) async fn endpoint(
    State(state): State<Shared>,
    Extension(client): Extension<Client>,
    request: Request<Body>,
) -> Response<Body> {
    // The host was looked at before the request came here.
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(from) = auth::origin(request.headers(), host.unwrap_or_default()) else {
        return No::new(StatusCode::FORBIDDEN, "only a page of this Larder may send wishes")
            .answer();
    };
    let mut answer = match *request.method() {
        Method::OPTIONS => preflight(request.headers()),
        Method::POST => match take(&state, &client, from, request).await {
            Ok(taken) => taken,
            Err(no) => no.answer(),
        },
        _ => only("POST, OPTIONS"),
    };
    let headers = answer.headers_mut();
    put(headers, header::VARY, "Origin");
    if from == From::File {
        put(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, "null");
    }
    answer
}

/// What a browser asks before it sends something that a plain form could not, or before a page
/// from elsewhere may reach into a home network (Private Network Access).
fn preflight(asked: &HeaderMap) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    put(headers, header::ACCESS_CONTROL_ALLOW_METHODS, "POST");
    put(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, "content-type");
    put(headers, header::ACCESS_CONTROL_MAX_AGE, "600");
    if asked.contains_key("access-control-request-private-network") {
        let name = HeaderName::from_static("access-control-allow-private-network");
        put(headers, name, "true");
    }
    answer
}

/// Whose wishes they are, and the key that their answer is sealed with.
struct Proved {
    origin: Origin,
    key: String,
}

async fn take(
    state: &Shared,
    client: &Client,
    from: From,
    request: Request<Body>,
) -> Result<Response<Body>, No> {
    content_type(request.headers())?;
    if state.snapshot.borrow().drive.is_none() {
        return Err(No::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the drive is not plugged in; the wishes are kept in the page until it is",
        ));
    }
    let (list, proved) = match from {
        From::Ourselves => {
            let Some(session) = session::signed_in(state, client, request.headers()) else {
                return Err(No::new(StatusCode::UNAUTHORIZED, "sign in first, then save again"));
            };
            let text = collect(request.into_body()).await?;
            let list = parse(state, text).await?;
            let proved = common_page(state, &list, session.proof)?;
            (list, proved)
        }
        From::File => {
            let text = collect(request.into_body()).await?;
            verified(state, client, text).await?
        }
    };
    let refused: Vec<Value> = list
        .diagnostics
        .iter()
        .map(|d| json!({"id": d.wish.map(|id| id.to_string()), "why": d.to_string()}))
        .collect();
    let nothing = list.wishes.is_empty() && list.diagnostics.iter().all(|d| d.wish.is_none());
    if nothing && !refused.is_empty() {
        let mut no = No::new(StatusCode::BAD_REQUEST, "there is no wish in it that can be read");
        no.refused = refused;
        return Err(no);
    }
    let nonce = list.nonce.clone();
    let taken =
        if nothing { Vec::new() } else { hand_over(state, proved.origin.clone(), list).await? };
    let taken: Vec<String> = taken.iter().map(ToString::to_string).collect();
    let told = json!({"taken": taken, "refused": refused, "nonce": nonce}).to_string();
    Ok(json_answer(StatusCode::OK, mac::seal(&proved.key, Sealed::Answer, &told)))
}

/// The common page has no key: its session proves it, and is what proves the answer to it.
fn common_page(state: &AppState, list: &Worklist, proof: String) -> Result<Proved, No> {
    not_too_old(list)?;
    let snapshot = state.snapshot.borrow();
    if list.page != snapshot.page || snapshot.page.is_empty() || list.device.is_some() {
        return Err(No::new(
            StatusCode::FORBIDDEN,
            "this is not the common page of this Larder; open the newest page",
        ));
    }
    Ok(Proved { origin: Origin::Home, key: proof })
}

fn not_too_old(list: &Worklist) -> Result<(), No> {
    if list.version == 1 {
        return Err(No::new(
            StatusCode::FORBIDDEN,
            "this page is too old to send wishes over the network; open the newest page",
        ));
    }
    Ok(())
}

/// Reads the wishes of a device's page and looks at their seal. Nobody finds a key of 128 bits by trying: what is
/// bounded is the work. Any site may send wrong seals from the owner's browser, so the right one of a client that has
/// to wait is taken all the same, only in its turn.
async fn verified(state: &Shared, client: &Client, text: Bytes) -> Result<(Worklist, Proved), No> {
    let wait = state.wrong_seals.wait(&client.key, Instant::now());
    let doubtful = match wait {
        None => None,
        Some(wait) => {
            let turn = Arc::clone(&state.doubtful).acquire_owned();
            Some(
                timeout(DOUBTFUL, turn)
                    .await
                    .ok()
                    .and_then(Result::ok)
                    .ok_or_else(|| later(wait))?,
            )
        }
    };
    let turn = Arc::clone(&state.parsing).acquire_owned().await.map_err(|_| stopping())?;
    // The work counts and has its turn to the end, also when the client hangs up.
    let (state, client) = (Arc::clone(state), *client);
    let (verified, done) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        let list = worklist::parse(&text);
        let proved = not_too_old(&list).and_then(|()| device_page(&state, &list, &text));
        drop(turn);
        let (is_refused, is_wrong) =
            (proved.is_err(), matches!(&proved, Err(no) if no.is_wrong_seal));
        if is_wrong && wait.is_none() {
            state.wrong_seals.wrong(&client.key, Instant::now());
            log::warn!("{} sent wishes without the seal of a page", client.address);
        }
        let answer = match (proved, wait) {
            (Ok(proved), _) => Ok((list, proved)),
            (Err(no), Some(wait)) if no.is_wrong_seal => Err(later(wait)),
            (Err(no), _) => Err(no),
        };
        // Nobody listens any more when the client hung up.
        drop(verified.send(answer));
        if is_refused && doubtful.is_some() {
            // At most a quarter of the time of one core goes into what is doubtful.
            std::thread::sleep(begun.elapsed() * 3);
        }
    });
    done.await.map_err(|_| stopping())?
}

fn later(wait: Duration) -> No {
    let secs = wait.as_secs() + 1;
    let why = format!("too many wrong seals came from this address; try again in {secs} s");
    No { retry: Some(secs), ..No::new(StatusCode::TOO_MANY_REQUESTS, &why) }
}

/// The device's page that a worklist comes from.
fn device_page(state: &AppState, list: &Worklist, text: &[u8]) -> Result<Proved, No> {
    let pages = state.snapshot.borrow().pages.clone();
    let Some(page) = auth::page(&pages, &list.page, text) else {
        let why = "the seal is not that of a page of this Larder; open the newest page";
        return Err(No { is_wrong_seal: true, ..No::new(StatusCode::FORBIDDEN, why) });
    };
    if list.device.as_ref().is_some_and(|name| page.origin.to_string() != *name) {
        return Err(No::new(
            StatusCode::FORBIDDEN,
            "the wishes name another device than the one whose page it is; open the newest page",
        ));
    }
    Ok(Proved { origin: page.origin.clone(), key: page.key.clone() })
}

/// The types that a page sends. `text/plain` is what a browser sends without asking before.
fn content_type(asked: &HeaderMap) -> Result<(), No> {
    let mime = asked
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    let fits = matches!(mime.as_deref(), Some("text/plain" | "application/json"));
    if fits && !asked.contains_key(header::CONTENT_ENCODING) {
        return Ok(());
    }
    Err(No::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "a worklist is sent as text/plain or application/json, not compressed",
    ))
}

async fn collect(body: Body) -> Result<Bytes, No> {
    let too_long = || {
        let most = worklist::MAX_BYTES;
        No::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!("a worklist has at most {most} bytes; save fewer wishes at once"),
        )
    };
    // Told before any of it is read, where the client says so.
    if hyper::body::Body::size_hint(&body).lower() > worklist::MAX_BYTES as u64 {
        return Err(too_long());
    }
    match timeout(ARRIVAL, Limited::new(body, worklist::MAX_BYTES).collect()).await {
        Ok(Ok(all)) => Ok(all.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
        Ok(Err(error)) => {
            Err(No::new(StatusCode::BAD_REQUEST, &format!("the worklist broke off: {error}")))
        }
        Err(_) => Err(No::new(
            StatusCode::REQUEST_TIMEOUT,
            "the worklist took too long to arrive; try again",
        )),
    }
}

/// One at a time; the turn ends with the work, not with whoever waits for it.
async fn parse(state: &AppState, text: Bytes) -> Result<Worklist, No> {
    let turn = Arc::clone(&state.parsing).acquire_owned().await.map_err(|_| stopping())?;
    let parsed = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        worklist::parse(&text)
    });
    parsed.await.map_err(|_| stopping())
}

/// Neither is a semaphore ever closed, nor does the parser panic.
fn stopping() -> No {
    No::new(StatusCode::SERVICE_UNAVAILABLE, "Larder is being stopped")
}

async fn hand_over(
    state: &AppState,
    origin: Origin,
    worklist: Worklist,
) -> Result<Vec<WishId>, No> {
    log::info!("{} wishes of {origin} came over the network", worklist.wishes.len());
    state
        .command(|reply| Command::Take(Wishes { origin, worklist, reply }))
        .await
        .map_err(|why| No::new(StatusCode::SERVICE_UNAVAILABLE, &why))
}

/// Why nothing was taken in.
struct No {
    status: StatusCode,
    why: String,
    refused: Vec<Value>,
    /// Seconds.
    retry: Option<u64>,
    is_wrong_seal: bool,
}

impl No {
    fn new(status: StatusCode, why: &str) -> Self {
        let why = why.to_owned();
        Self { status, why, refused: Vec::new(), retry: None, is_wrong_seal: false }
    }

    fn answer(self) -> Response<Body> {
        let told = json!({"taken": [], "refused": self.refused, "why": self.why});
        let mut answer = json_answer(self.status, told.to_string());
        if let Some(secs) = self.retry {
            put(answer.headers_mut(), header::RETRY_AFTER, &secs.to_string());
        }
        answer
    }
}

fn json_answer(status: StatusCode, told: String) -> Response<Body> {
    let mut answer = Response::new(Body::from(told));
    *answer.status_mut() = status;
    put(answer.headers_mut(), header::CONTENT_TYPE, "application/json");
    answer
}
