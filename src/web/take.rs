//! Takes the wishes that a page sends.
//!
//! A page that we served sends them from our own origin, a page opened as a file from the origin
//! `null`, which any sandboxed frame has too: what admits is the page's secret.

use super::Wishes;
use super::answer::{Body, Desk, only, put};
use super::guard::{self, From};
use crate::worklist::{self, Worklist};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long a worklist may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(20);
/// How long the owner loop may take to put it into the ledger. A page that we serve waits 10 s.
const LEDGER: Duration = Duration::from_secs(9);

/// Answers a request to the address for worklists.
pub(super) async fn wishes(
    desk: &Desk,
    client: IpAddr,
    host: &str,
    request: Request<Incoming>,
) -> Response<Body> {
    let Some(from) = guard::origin(request.headers(), host) else {
        return No::new(StatusCode::FORBIDDEN, "only a page of this Larder may send wishes")
            .answer();
    };
    let mut answer = match *request.method() {
        Method::OPTIONS => preflight(request.headers()),
        Method::POST => match take(desk, client, request).await {
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
    let mut answer = Response::new(Body::Text(None));
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

async fn take(
    desk: &Desk,
    client: IpAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, No> {
    if let Some(wait) = desk.wrong.wait(client, Instant::now()) {
        let secs = wait.as_secs() + 1;
        let mut no = No::new(
            StatusCode::TOO_MANY_REQUESTS,
            &format!("too many wrong secrets came from this address; try again in {secs} s"),
        );
        no.retry = Some(secs);
        return Err(no);
    }
    content_type(request.headers())?;
    if desk.house.borrow().drive.is_none() {
        return Err(No::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the drive is not plugged in; the wishes are kept in the page until it is",
        ));
    }
    let text = collect(request.into_body()).await?;
    let list = parse(desk, text).await?;

    let pages = desk.house.borrow().pages.clone();
    let Some(page) = guard::page(&pages, &list.page, &list.key) else {
        desk.wrong.wrong(client, Instant::now());
        log::warn!("{client} sent wishes without the secret of a page");
        return Err(No::new(
            StatusCode::FORBIDDEN,
            "the secret is not that of a page of this Larder; open the newest page",
        ));
    };
    if list.device.as_ref().is_some_and(|name| page.origin.to_string() != *name) {
        return Err(No::new(
            StatusCode::FORBIDDEN,
            "the wishes name another device than the one whose page it is; open the newest page",
        ));
    }
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
    let taken =
        if nothing { Vec::new() } else { hand_over(desk, page.origin.clone(), list).await? };
    let taken: Vec<String> = taken.iter().map(ToString::to_string).collect();
    Ok(json_answer(StatusCode::OK, &json!({"taken": taken, "refused": refused})))
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

async fn collect(body: Incoming) -> Result<Bytes, No> {
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

async fn parse(desk: &Desk, text: Bytes) -> Result<Worklist, No> {
    let busy = || No::new(StatusCode::SERVICE_UNAVAILABLE, "Larder is being stopped");
    // Neither is the semaphore ever closed, nor does the parser panic.
    let _turn = desk.reading.acquire().await.map_err(|_| busy())?;
    tokio::task::spawn_blocking(move || worklist::parse(&text)).await.map_err(|_| busy())
}

async fn hand_over(
    desk: &Desk,
    origin: crate::model::Origin,
    worklist: Worklist,
) -> Result<Vec<crate::model::WishId>, No> {
    let busy = |why: &str| No::new(StatusCode::SERVICE_UNAVAILABLE, why);
    let (reply, replied) = oneshot::channel();
    log::info!("{} wishes of {origin} came over the network", worklist.wishes.len());
    desk.wishes.try_send(Wishes { origin, worklist, reply }).map_err(|e| match e {
        TrySendError::Full(_) => busy("Larder has its hands full; try again in a moment"),
        TrySendError::Closed(_) => busy("Larder is being stopped"),
    })?;
    match timeout(LEDGER, replied).await {
        Ok(Ok(Ok(taken))) => Ok(taken),
        Ok(Ok(Err(why))) => Err(busy(&why)),
        Ok(Err(_)) => Err(busy("the wishes were not taken in; try again in a moment")),
        Err(_) => Err(busy("Larder is busy for longer than usual; try again in a moment")),
    }
}

/// Why nothing was taken in.
struct No {
    status: StatusCode,
    why: String,
    refused: Vec<Value>,
    /// Seconds.
    retry: Option<u64>,
}

impl No {
    fn new(status: StatusCode, why: &str) -> Self {
        Self { status, why: why.to_owned(), refused: Vec::new(), retry: None }
    }

    fn answer(self) -> Response<Body> {
        let told = json!({"taken": [], "refused": self.refused, "why": self.why});
        let mut answer = json_answer(self.status, &told);
        if let Some(secs) = self.retry {
            put(answer.headers_mut(), header::RETRY_AFTER, &secs.to_string());
        }
        answer
    }
}

fn json_answer(status: StatusCode, told: &Value) -> Response<Body> {
    let mut answer = Response::new(Body::Text(Some(told.to_string().into())));
    *answer.status_mut() = status;
    put(answer.headers_mut(), header::CONTENT_TYPE, "application/json");
    answer
}
