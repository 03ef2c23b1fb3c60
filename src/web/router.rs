//! From a request to its answer: which address is answered by whom, and what holds for all of them.

use super::content_type::{self, ContentType};
use super::error_page::{away, missing, only, put, told, waiting};
use super::files::{self, Fault, MayGoOn, Opened};
use super::limits::Client;
use super::range::{self, Part};
use super::session::{self, Door};
use super::state::Shared;
use super::{Snapshot, auth, sign_in, worklist};
use crate::model::{Place, RelPath};
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::middleware::{self, Next};
use axum::routing::{any, get};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;

/// Where wishes are sent to. The page knows it.
const WORKLIST: &str = "/worklist";
const FILES: &str = "/files/";
/// The common page's name in the folder of the pages.
const PAGE: &[u8] = b"catalogue.html";
/// Longest body with a password in it.
const PASSWORD_BYTES: usize = 4 << 10;
/// How long an answer may take to begin. Each part has a shorter limit of its own; this is for what none thought of.
const ANSWER: Duration = Duration::from_secs(60);

/// All addresses.
pub(super) fn router(state: Shared) -> Router {
    let no_other = || async { only("GET, HEAD") };
    let reading = Router::new()
        .route("/", get(page).fallback(no_other))
        .route("/catalogue.html", get(page).fallback(no_other))
        .route("/sign-in", get(door).fallback(no_other))
        .route("/files/{*path}", get(file).fallback(no_other));
    let session = get(session::show)
        .post(session::sign_in)
        .delete(session::sign_out)
        .fallback(|| async { only("GET, HEAD, POST, DELETE") });
    let access = Router::new()
        .route("/claim", any(session::claim))
        .route("/session", session)
        .route("/session/{id}", any(session::sign_other_out))
        .layer(RequestBodyLimitLayer::new(PASSWORD_BYTES));
    let header = |name: HeaderName, value| {
        SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
    };
    Router::new()
        .merge(reading)
        .merge(access)
        .route(WORKLIST, any(worklist::endpoint))
        .fallback(|| async { missing() })
        .layer(middleware::from_fn_with_state(state.clone(), only_our_host))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, ANSWER))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
        .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(header::REFERRER_POLICY, "no-referrer"))
        // No other site may show our pictures or find out which files there are.
        .layer(header(HeaderName::from_static("cross-origin-resource-policy"), "same-origin"))
        .layer(header(header::X_FRAME_OPTIONS, "DENY"))
        .with_state(state)
}

/// Answers only requests that name us, and no request for a proxy.
async fn only_our_host(
    State(state): State<Shared>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let is_ours = auth::host(request.headers(), &state.settings.borrow()).is_some();
    if !is_ours {
        let by_name = match state.settings.borrow().names.first() {
            Some(name) if !name.is_empty() => format!("as http://{name}.local, or "),
            _ => String::new(),
        };
        return told(
            StatusCode::MISDIRECTED_REQUEST,
            "This is not the address of this Larder",
            &format!("Open it {by_name}by its number, with the port that is set."),
        );
    }
    if request.uri().authority().is_some() {
        return told(StatusCode::BAD_REQUEST, "Larder is no proxy", "Ask for a path alone.");
    }
    next.run(request).await
}

/// Page and files are for who is signed in, or for everybody where the settings say so. `Err` is what this client
/// can do instead.
fn may_read(
    state: &Shared,
    snapshot: &Snapshot,
    client: &Client,
    asked: &HeaderMap,
) -> Result<MayGoOn, Door> {
    let settings = state.settings.borrow().clone();
    let session = session::signed_in(state, client, asked);
    if !settings.readers && session.is_none() {
        return Err(session::door(state, snapshot, &settings, client, false));
    }
    // Who signs out, or is signed out by another password, gets nothing more of a file that is being sent.
    let (state, id) = (Arc::clone(state), session.map(|session| session.id));
    Ok(Box::new(move || session::holds(&state, id.as_deref().unwrap_or_default())))
}

/// The common page.
async fn page(
    State(state): State<Shared>,
    Extension(client): Extension<Client>,
    asked: HeaderMap,
) -> Response<Body> {
    let snapshot = state.snapshot.borrow().clone();
    let Some(drive) = snapshot.drive.clone() else { return away(&snapshot) };
    let may_go_on = match may_read(&state, &snapshot, &client, &asked) {
        Ok(may_go_on) => may_go_on,
        Err(door) => return sign_in::page(door, StatusCode::UNAUTHORIZED),
    };
    match opened(drive, Place::Catalogue, PAGE.to_vec()).await {
        Ok(page) => {
            let kind = ContentType {
                mime: "text/html; charset=utf-8",
                // The page brings its own policy; this is what a page can't say of itself.
                policy: "frame-ancestors 'none'",
                save: false,
            };
            // Pages that are open look again and again: that is nobody who waits for the drive.
            send(page, kind, &asked, may_go_on, None)
        }
        Err(Fault::Missing) => waiting(
            "The first catalogue is being made",
            "Larder looks through the drive. The catalogue opens here by itself when it is ready.",
            &snapshot,
        ),
        Err(fault) => refused(fault),
    }
}

/// The page to sign in, for who can see the catalogue without.
async fn door(
    State(state): State<Shared>,
    Extension(client): Extension<Client>,
    asked: HeaderMap,
) -> Response<Body> {
    let snapshot = state.snapshot.borrow().clone();
    if snapshot.drive.is_none() {
        return away(&snapshot);
    }
    let settings = state.settings.borrow().clone();
    let here = session::signed_in(&state, &client, &asked).is_some();
    sign_in::page(session::door(&state, &snapshot, &settings, &client, here), StatusCode::OK)
}

/// A master.
async fn file(
    State(state): State<Shared>,
    Extension(client): Extension<Client>,
    request: Request,
) -> Response<Body> {
    let snapshot = state.snapshot.borrow().clone();
    let Some(drive) = snapshot.drive.clone() else { return away(&snapshot) };
    let asked = request.headers();
    let Ok(may_go_on) = may_read(&state, &snapshot, &client, asked) else {
        let mut told = told(
            StatusCode::UNAUTHORIZED,
            "Sign in first",
            "Open the page of this Larder, sign in there, and open the file again.",
        );
        put(told.headers_mut(), header::WWW_AUTHENTICATE, "Larder");
        return told;
    };
    // The bytes as they were sent: names on the drive are bytes, not characters.
    let Some(encoded) = request.uri().path().strip_prefix(FILES) else { return missing() };
    match RelPath::from_percent(encoded) {
        Ok(path) if !path.is_root() => {
            let kind = content_type::of(path.name().unwrap_or_default());
            match opened(drive, Place::Files, path.as_bytes().to_vec()).await {
                Ok(file) => send(file, kind, asked, may_go_on, Some(state.reads.clone())),
                Err(fault) => refused(fault),
            }
        }
        Ok(_) => missing(),
        Err(error) => {
            told(StatusCode::BAD_REQUEST, "This is no path of a file", &format!("{error}."))
        }
    }
}

async fn opened(drive: PathBuf, place: Place, path: Vec<u8>) -> Result<Opened, Fault> {
    tokio::task::spawn_blocking(move || files::open(&drive, &place.folder(), &path))
        .await
        // The job neither panics nor is it cancelled while we wait for it.
        .unwrap_or(Err(Fault::Drive(rustix::io::Errno::IO)))
}

fn send(
    file: Opened,
    kind: ContentType,
    asked: &HeaderMap,
    may_go_on: MayGoOn,
    reads: Option<watch::Sender<()>>,
) -> Response<Body> {
    let size = file.size;
    let part = range::part(asked, &file.etag, &file.modified, size);
    let mut answer = Response::new(Body::empty());
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
        *answer.body_mut() = Body::new(file.send(from, len, may_go_on, reads));
    }
    *answer.status_mut() = status;
    answer
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
