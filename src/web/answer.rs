//! From a request to its answer.

use super::file::{self, Fault, Opened, Pieces};
use super::guard::{self, Pass, Throttle};
use super::kind::{self, Kind};
use super::range::{self, Part};
use super::{House, Settings, Wishes, take, words};
use crate::model::{Place, RelPath};
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::sync::{Semaphore, mpsc, watch};

/// Where wishes are sent to. The page knows it.
pub(super) const WORKLIST: &str = "/worklist";
const FILES: &str = "/files/";
/// The common page's name in the folder of the pages.
const PAGE: &[u8] = b"catalogue.html";

/// What every connection works with.
pub(super) struct Desk {
    pub(super) settings: watch::Receiver<Settings>,
    pub(super) house: watch::Receiver<House>,
    pub(super) wishes: mpsc::Sender<Wishes>,
    /// Marked while masters are read.
    pub(super) reads: watch::Sender<()>,
    /// Who sent a wrong secret or password lately.
    pub(super) wrong: Throttle,
    /// Held while a worklist is parsed, so that many at once take one core and not all.
    pub(super) reading: Semaphore,
}

/// What is sent.
pub(super) enum Body {
    /// From memory.
    Text(Option<Bytes>),
    /// From the drive.
    File(Pieces),
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::File(pieces) => Pin::new(pieces).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_none(),
            Self::File(pieces) => pieces.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64))
            }
            Self::File(pieces) => pieces.size_hint(),
        }
    }
}

/// Answers one request.
pub(super) async fn to(
    desk: Arc<Desk>,
    client: IpAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let mut answer = route(&desk, client, request).await;
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // No other site may show our pictures or find out which files there are.
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    Ok(answer)
}

async fn route(desk: &Desk, client: IpAddr, request: Request<Incoming>) -> Response<Body> {
    let settings = desk.settings.borrow().clone();
    let Some(host) = guard::host(request.headers(), &settings).map(str::to_owned) else {
        return told(
            StatusCode::MISDIRECTED_REQUEST,
            "This is not the address of this Larder",
            "Open it as http://larder.local, or by its number, with the port that is set.",
        );
    };
    // A request for a proxy, which we are not.
    if request.uri().authority().is_some() {
        return told(StatusCode::BAD_REQUEST, "Larder is no proxy", "Ask for a path alone.");
    }
    let path = request.uri().path();
    if path == WORKLIST {
        return take::wishes(desk, client, &host, request).await;
    }
    let wanted = match path {
        "/" | "/catalogue.html" => Wanted::Page,
        _ => match path.strip_prefix(FILES) {
            Some(encoded) => Wanted::File(encoded),
            None => return missing(),
        },
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return only("GET, HEAD");
    }
    if let Err(no) = let_in(desk, client, request.headers(), &settings) {
        return *no;
    }
    let house = desk.house.borrow().clone();
    let Some(drive) = house.drive.clone() else { return away(&house) };
    match wanted {
        Wanted::Page => page(drive, &house, request.headers()).await,
        Wanted::File(encoded) => match RelPath::from_percent(encoded) {
            Ok(path) if !path.is_root() => {
                let reads = desk.reads.clone();
                master(drive, path, request.headers(), reads).await
            }
            Ok(_) => missing(),
            Err(error) => {
                told(StatusCode::BAD_REQUEST, "This is no path of a file", &format!("{error}."))
            }
        },
    }
}

/// Page and files take the same right to see them: the password, where one is set.
fn let_in(
    desk: &Desk,
    client: IpAddr,
    asked: &HeaderMap,
    settings: &Settings,
) -> Result<(), Box<Response<Body>>> {
    let now = Instant::now();
    match guard::password(asked, settings) {
        Pass::Missing => Err(Box::new(ask_password())),
        // The right one too while the client has to wait: else waiting would cost a guesser nothing.
        Pass::Wrong | Pass::Right
            if settings.password.is_some() && desk.wrong.wait(client, now).is_some() =>
        {
            let text = "Wait a minute, then try again.";
            let title = "Too many wrong passwords";
            Err(Box::new(told(StatusCode::TOO_MANY_REQUESTS, title, text)))
        }
        Pass::Right => Ok(()),
        Pass::Wrong => {
            desk.wrong.wrong(client, now);
            Err(Box::new(ask_password()))
        }
    }
}

enum Wanted<'r> {
    Page,
    File(&'r str),
}

async fn page(drive: PathBuf, house: &House, asked: &HeaderMap) -> Response<Body> {
    match opened(drive, Place::Catalogue, PAGE.to_vec()).await {
        Ok(page) => {
            let kind = Kind {
                mime: "text/html; charset=utf-8",
                // The page brings its own policy; this is what a page can't say of itself.
                policy: "frame-ancestors 'none'",
                save: false,
            };
            // Pages that are open look again and again: that is nobody who waits for the drive.
            send(page, kind, asked, None)
        }
        Err(Fault::Missing) => waiting(
            "The first catalogue is being made",
            "Larder looks through the drive. The catalogue opens here by itself when it is ready.",
            house,
        ),
        Err(fault) => refused(fault),
    }
}

async fn master(
    drive: PathBuf,
    path: RelPath,
    asked: &HeaderMap,
    reads: watch::Sender<()>,
) -> Response<Body> {
    let kind = kind::of(path.name().unwrap_or_default());
    match opened(drive, Place::Files, path.as_bytes().to_vec()).await {
        Ok(file) => send(file, kind, asked, Some(reads)),
        Err(fault) => refused(fault),
    }
}

async fn opened(drive: PathBuf, place: Place, path: Vec<u8>) -> Result<Opened, Fault> {
    tokio::task::spawn_blocking(move || file::open(&drive, &place.folder(), &path))
        .await
        // The job neither panics nor is it cancelled while we wait for it.
        .unwrap_or(Err(Fault::Drive(rustix::io::Errno::IO)))
}

fn send(
    file: Opened,
    kind: Kind,
    asked: &HeaderMap,
    reads: Option<watch::Sender<()>>,
) -> Response<Body> {
    let size = file.size;
    let part = range::part(asked, &file.etag, &file.modified, size);
    let mut answer = Response::new(Body::Text(None));
    let headers = answer.headers_mut();
    put(headers, header::ETAG, &file.etag);
    put(headers, header::LAST_MODIFIED, &file.modified);
    put(headers, header::CACHE_CONTROL, "private, no-cache");
    let (status, from, len) = match part {
        Part::Unchanged => (StatusCode::NOT_MODIFIED, 0, None),
        Part::Changed => (StatusCode::PRECONDITION_FAILED, 0, None),
        Part::Beyond => {
            put(headers, header::CONTENT_RANGE, &format!("bytes */{size}"));
            (StatusCode::RANGE_NOT_SATISFIABLE, 0, None)
        }
        Part::Whole => (StatusCode::OK, 0, Some(size)),
        Part::Some { from, len } => {
            let last = from + len - 1;
            put(headers, header::CONTENT_RANGE, &format!("bytes {from}-{last}/{size}"));
            (StatusCode::PARTIAL_CONTENT, from, Some(len))
        }
    };
    if let Some(len) = len {
        put(headers, header::ACCEPT_RANGES, "bytes");
        put(headers, header::CONTENT_TYPE, kind.mime);
        put(headers, header::CONTENT_LENGTH, &len.to_string());
        put(headers, header::CONTENT_SECURITY_POLICY, kind.policy);
        if kind.save {
            // Without a name: browsers take it from the address, and no name gets into a header.
            put(headers, header::CONTENT_DISPOSITION, "attachment");
        }
        *answer.body_mut() = Body::File(file.send(from, len, reads));
    }
    *answer.status_mut() = status;
    answer
}

/// Sets a header whose value we made ourselves.
pub(super) fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // What can't stand in a header is left out: all that comes here is plain text.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn refused(fault: Fault) -> Response<Body> {
    match fault {
        Fault::Missing => missing(),
        Fault::NotRegular => told(StatusCode::NOT_FOUND, "Not a file", &format!("{fault}.")),
        Fault::Drive(_) => {
            log::warn!("over the network: {fault}");
            told(StatusCode::SERVICE_UNAVAILABLE, "The drive does not answer", &format!("{fault}."))
        }
    }
}

fn missing() -> Response<Body> {
    told(StatusCode::NOT_FOUND, "Nothing here", &format!("{}.", Fault::Missing))
}

fn away(house: &House) -> Response<Body> {
    waiting(
        "The drive is not plugged in",
        "Plug the USB drive into Larder. The catalogue opens here by itself when it is there.",
        house,
    )
}

fn waiting(title: &str, text: &str, house: &House) -> Response<Body> {
    let page = words::page(title, text, &house.notices, true);
    let mut answer = html(StatusCode::SERVICE_UNAVAILABLE, page);
    put(answer.headers_mut(), header::RETRY_AFTER, "5");
    answer
}

fn ask_password() -> Response<Body> {
    let mut answer = told(
        StatusCode::UNAUTHORIZED,
        "A password is needed",
        "It is the one set as `password` under [web] in larder.toml; any user name goes with it.",
    );
    put(
        answer.headers_mut(),
        header::WWW_AUTHENTICATE,
        "Basic realm=\"Larder\", charset=\"UTF-8\"",
    );
    answer
}

pub(super) fn only(methods: &str) -> Response<Body> {
    let mut answer = told(
        StatusCode::METHOD_NOT_ALLOWED,
        "This can't be done here",
        &format!("What can be done: {methods}."),
    );
    put(answer.headers_mut(), header::ALLOW, methods);
    answer
}

fn told(status: StatusCode, title: &str, text: &str) -> Response<Body> {
    html(status, words::page(title, text, &[], false))
}

fn html(status: StatusCode, page: String) -> Response<Body> {
    let mut answer = Response::new(Body::Text(Some(page.into())));
    *answer.status_mut() = status;
    put(answer.headers_mut(), header::CONTENT_TYPE, "text/html; charset=utf-8");
    put(answer.headers_mut(), header::CONTENT_SECURITY_POLICY, words::POLICY);
    answer
}
