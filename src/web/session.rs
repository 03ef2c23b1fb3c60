//! Sessions: who is signed in, and the addresses to choose the password, sign in and sign out.
//!
//! The browser has a token in a cookie that no script reads; the ledger has its SHA-256. What proves an answer to the
//! page is made from the token, and so is in no ledger and in no cookie.

use super::auth::{self, From, cookie, same_secret};
use super::error_page::{only, put};
use super::guesser::{self, Guesser};
use super::limits::Client;
use super::password::{LENGTH, hex};
use super::secret::{hmac, mark, random, set_cookie};
use super::state::{AppState, Shared};
use super::{Command, Settings, Snapshot, user_agent};
use crate::model::{Access, Password, Session, Time};
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::header::{self, HeaderMap};
use axum::http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::PoisonError;
use std::time::{Duration, Instant, SystemTime};
use tokio::time::timeout;

/// The cookie of a session.
const SESSION: &str = "larder";
/// How long a password may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(20);
/// How often it is noted that a session was used.
const NOTED: Duration = Duration::from_secs(3_600);

/// A request with a session.
pub(super) struct SignedIn {
    pub(super) id: String,
    /// The key that answers to this browser are sealed with.
    pub(super) proof: String,
}

/// The moment.
pub(super) fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

fn token_hash(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

/// The sessions that hold.
fn in_force<'a>(
    access: &'a Access,
    settings: &Settings,
    now: Time,
) -> impl Iterator<Item = &'a Session> {
    let mark = mark(access, settings);
    access.sessions.iter().filter(move |s| Some(&s.under) == mark.as_ref() && !s.is_over(now))
}

/// The session of a request, if it has one that holds. Notes from time to time that it was used.
pub(super) fn signed_in(
    state: &AppState,
    client: &Client,
    headers: &HeaderMap,
) -> Option<SignedIn> {
    let token = cookie(headers, SESSION)?;
    let hash = token_hash(token);
    let access = state.snapshot.borrow().access.clone();
    let (now, settings) = (now(), state.settings.borrow().clone());
    let mut found = None;
    for session in in_force(&access, &settings, now) {
        if same_secret(session.hash.as_bytes(), hash.as_bytes()) {
            found = Some(session);
        }
    }
    let session = found?;
    state.known.note(client.key);
    note_use(state, client, session, now);
    Some(SignedIn { id: session.id.clone(), proof: hex(&hmac(token, "larder proof")) })
}

/// True while what a session showed may be shown on.
pub(super) fn holds(state: &AppState, id: &str) -> bool {
    let (access, settings) =
        (state.snapshot.borrow().access.clone(), state.settings.borrow().clone());
    settings.readers || in_force(&access, &settings, now()).any(|session| session.id == id)
}

fn note_use(state: &AppState, client: &Client, session: &Session, now: Time) {
    let from = client.address.to_string();
    let lately = now.since(session.used) < NOTED.as_secs().cast_signed();
    if lately && session.from == from {
        return;
    }
    let mut touched = state.touched.lock().unwrap_or_else(PoisonError::into_inner);
    touched.retain(|_, at| at.elapsed() < NOTED);
    let key = format!("{} {from}", session.id);
    if touched.contains_key(&key) {
        return;
    }
    let used = Command::Used { id: session.id.clone(), from, at: now };
    // When the loop has its hands full, it is noted the next time.
    if state.commands.try_send(used).is_ok() {
        touched.insert(key, Instant::now());
    }
}

/// What a page may know of its own session and the others: `GET /session`.
pub(super) async fn show(
    State(state): State<Shared>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
) -> Response<Body> {
    let snapshot = state.snapshot.borrow().clone();
    if snapshot.drive.is_none() {
        return no(StatusCode::SERVICE_UNAVAILABLE, AWAY);
    }
    let settings = state.settings.borrow().clone();
    let here = signed_in(&state, &client, &headers);
    let sessions = here.as_ref().map_or_else(Vec::new, |here| {
        in_force(&snapshot.access, &settings, now()).map(|s| view(s, s.id == here.id)).collect()
    });
    let told = json!({
        "state": door(&state, &snapshot, &settings, &client, here.is_some()).as_str(),
        "readers": settings.readers,
        "proof": here.map(|here| here.proof),
        "sessions": sessions,
    });
    answer(StatusCode::OK, &told)
}

fn view(s: &Session, here: bool) -> Value {
    json!({
        "id": s.id, "label": s.label, "from": s.from, "since": s.since.rfc3339(),
        "used": s.used.rfc3339(), "here": here,
    })
}

/// What somebody who comes to the page can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Door {
    Claim,
    Closed,
    SignedOut,
    SignedIn,
}

impl Door {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Closed => "closed",
            Self::SignedOut => "signed-out",
            Self::SignedIn => "signed-in",
        }
    }
}

/// What this client can do.
pub(super) fn door(
    state: &AppState,
    snapshot: &Snapshot,
    settings: &Settings,
    client: &Client,
    is_signed_in: bool,
) -> Door {
    let has_password = settings.password.is_some() || snapshot.access.password.is_some();
    match (is_signed_in, has_password) {
        (true, _) => Door::SignedIn,
        (false, true) => Door::SignedOut,
        (false, false) if client.is_local && state.claim.is_open() => Door::Claim,
        (false, false) => Door::Closed,
    }
}

const AWAY: &str = "the drive is not plugged in; plug it in and try again";

/// What a request for a password or a session is judged by; `Err` is the answer to one from another origin, or while there
/// is no drive.
fn entrance(
    state: &AppState,
    request: &Request<Body>,
) -> Result<(Snapshot, Settings), Box<Response<Body>>> {
    if !is_own(request) {
        return Err(Box::new(no(StatusCode::FORBIDDEN, OWN)));
    }
    let snapshot = state.snapshot.borrow().clone();
    if snapshot.drive.is_none() {
        return Err(Box::new(no(StatusCode::SERVICE_UNAVAILABLE, AWAY)));
    }
    Ok((snapshot, state.settings.borrow().clone()))
}

/// Chooses the password: `POST /claim`.
pub(super) async fn claim(
    State(state): State<Shared>,
    Extension(client): Extension<Client>,
    request: Request<Body>,
) -> Response<Body> {
    if request.method() != Method::POST {
        return only("POST");
    }
    // Before anything of the request is read: nobody from elsewhere may even ask.
    let (snapshot, settings) = match entrance(&state, &request) {
        Ok(entered) => entered,
        Err(told) => return *told,
    };
    match door(&state, &snapshot, &settings, &client, false) {
        Door::Claim => {}
        Door::SignedOut | Door::SignedIn => {
            return no(StatusCode::CONFLICT, "there is a password already; sign in with it");
        }
        Door::Closed if !client.is_local => {
            return no(
                StatusCode::FORBIDDEN,
                "the password can only be chosen from the network at home",
            );
        }
        Door::Closed => {
            let why =
                "it is too late; switch Larder off and on, then open the page within 30 minutes";
            return no(StatusCode::FORBIDDEN, why);
        }
    }
    let headers = request.headers().clone();
    let password = match typed(request).await {
        Ok(password) => password,
        Err(told) => return *told,
    };
    if !LENGTH.contains(&password.chars().count()) || password.chars().any(char::is_control) {
        return no(
            StatusCode::UNPROCESSABLE_ENTITY,
            "a password has 8 to 128 characters on one line",
        );
    }
    // Each costs the work of a check, also of who hangs up.
    if let Err(wait) = state.claims.begin(&client.key, Instant::now()) {
        return slow_down(wait, "many passwords came");
    }
    let Some(hash) = state.passwords.hash(password).await else {
        return no(StatusCode::SERVICE_UNAVAILABLE, "the password can't be kept; restart Larder");
    };
    let password = Password { hash, at: now(), from: client.address.to_string() };
    let access = Access { password: Some(password.clone()), ..(*snapshot.access).clone() };
    let Some((session, token)) = new_session(&access, &settings, &client, &headers) else {
        return no(StatusCode::SERVICE_UNAVAILABLE, "there are no random numbers; restart Larder");
    };
    match state.command(|reply| Command::Claim { password, session, reply }).await {
        Ok(true) => {
            log::warn!("the password was chosen from {}", client.address);
            let_in(&access, &settings, &headers, &token)
        }
        Ok(false) => {
            no(StatusCode::CONFLICT, "somebody chose the password just now; sign in with it")
        }
        Err(why) => no(StatusCode::SERVICE_UNAVAILABLE, &why),
    }
}

/// Signs in: `POST /session`.
pub(super) async fn sign_in(
    State(state): State<Shared>,
    Extension(client): Extension<Client>,
    request: Request<Body>,
) -> Response<Body> {
    let (snapshot, settings) = match entrance(&state, &request) {
        Ok(entered) => entered,
        Err(told) => return *told,
    };
    let access = snapshot.access;
    let headers = request.headers().clone();
    let guesser = guesser::of(&access, &settings, &client, &headers);
    // The right one too while the guesser has to wait: else waiting would cost nothing.
    if let Some(wait) = state.wrong_passwords.wait(&guesser, Instant::now()) {
        return slow_down(wait, "many wrong passwords came");
    }
    let password = match typed(request).await {
        Ok(password) => password,
        Err(told) => return *told,
    };
    if settings.password.is_none() && access.password.is_none() {
        return no(StatusCode::CONFLICT, "no password was chosen yet; open the page to choose one");
    }
    // Others of the same guesser may have begun while this one arrived.
    if let Err(wait) = state.wrong_passwords.begin(&guesser, Instant::now()) {
        return slow_down(wait, "many wrong passwords came");
    }
    let right = match (&settings.password, &access.password) {
        (Some(set), _) => same_secret(set.as_bytes(), password.as_bytes()),
        (None, Some(chosen)) => {
            let is_known = matches!(guesser, Guesser::Known(_));
            state.passwords.verify(password, chosen.hash.clone(), is_known).await
        }
        (None, None) => false,
    };
    if !right {
        log::warn!("{} sent a wrong password", client.address);
        return no(StatusCode::UNAUTHORIZED, "this is not the password; try again");
    }
    state.wrong_passwords.forgive(&guesser);
    let Some((session, token)) = new_session(&access, &settings, &client, &headers) else {
        return no(StatusCode::SERVICE_UNAVAILABLE, "there are no random numbers; restart Larder");
    };
    match state.command(|reply| Command::SignIn { session, reply }).await {
        Ok(()) => let_in(&access, &settings, &headers, &token),
        Err(why) => no(StatusCode::SERVICE_UNAVAILABLE, &why),
    }
}

/// Signs this browser out: `DELETE /session`.
pub(super) async fn sign_out(
    state: State<Shared>,
    client: Extension<Client>,
    request: Request<Body>,
) -> Response<Body> {
    end(state, client, None, is_own(&request), request.headers().clone()).await
}

/// Signs another browser out: `DELETE /session/<id>`.
pub(super) async fn sign_other_out(
    state: State<Shared>,
    client: Extension<Client>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    if request.method() != Method::DELETE {
        return only("DELETE");
    }
    end(state, client, Some(id), is_own(&request), request.headers().clone()).await
}

async fn end(
    State(state): State<Shared>,
    Extension(client): Extension<Client>,
    other: Option<String>,
    is_own: bool,
    headers: HeaderMap,
) -> Response<Body> {
    if !is_own {
        return no(StatusCode::FORBIDDEN, OWN);
    }
    let Some(here) = signed_in(&state, &client, &headers) else {
        return no(StatusCode::UNAUTHORIZED, "sign in first");
    };
    let own = other.as_ref().is_none_or(|id| *id == here.id);
    let id = other.unwrap_or(here.id);
    match state.command(|reply| Command::SignOut { id, reply }).await {
        Ok(true) => {
            let mut done = empty();
            if own {
                set_cookie(&mut done, SESSION, "", 0);
            }
            done
        }
        Ok(false) => no(StatusCode::NOT_FOUND, "that browser is not signed in any more"),
        Err(why) => no(StatusCode::SERVICE_UNAVAILABLE, &why),
    }
}

fn slow_down(wait: Duration, what: &str) -> Response<Body> {
    let secs = wait.as_secs() + 1;
    let why = format!("too {what} from here; try again in {secs} s");
    let mut told = no(StatusCode::TOO_MANY_REQUESTS, &why);
    put(told.headers_mut(), header::RETRY_AFTER, &secs.to_string());
    told
}

const OWN: &str = "only the page of this Larder may do this";

fn is_own(request: &Request<Body>) -> bool {
    // The host was looked at before the request came here.
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(|host| auth::origin(request.headers(), host) == Some(From::Ourselves))
}

/// Reads `{"password": "…"}`.
async fn typed(request: Request<Body>) -> Result<String, Box<Response<Body>>> {
    let is_json = request.headers().get(header::CONTENT_TYPE).is_some_and(|value| {
        let mime = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
        mime.trim().eq_ignore_ascii_case("application/json")
    });
    let bad = |status, why| Err(Box::new(no(status, why)));
    if !is_json {
        let why = "the password is sent as application/json";
        return bad(StatusCode::UNSUPPORTED_MEDIA_TYPE, why);
    }
    // The router ends a body that is too long.
    let body = match timeout(ARRIVAL, request.into_body().collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return bad(StatusCode::BAD_REQUEST, "the password broke off; try again"),
        Err(_) => return bad(StatusCode::REQUEST_TIMEOUT, "the password took too long; try again"),
    };
    let value: Option<Value> = serde_json::from_slice(&body).ok();
    match value.as_ref().and_then(|value| value["password"].as_str()) {
        Some(password) => Ok(password.to_owned()),
        None => bad(StatusCode::BAD_REQUEST, "there is no password in it"),
    }
}

/// A session under the password in force, and its token.
fn new_session(
    access: &Access,
    settings: &Settings,
    client: &Client,
    headers: &HeaderMap,
) -> Option<(Session, String)> {
    let token = random(32)?;
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let now = now();
    let session = Session {
        id: random(4)?,
        hash: token_hash(&token),
        under: mark(access, settings)?,
        label: user_agent::label(agent.unwrap_or_default()),
        from: client.address.to_string(),
        since: now,
        used: now,
    };
    Some((session, token))
}

pub(super) fn let_in(
    access: &Access,
    settings: &Settings,
    headers: &HeaderMap,
    token: &str,
) -> Response<Body> {
    let mut done = empty();
    set_cookie(&mut done, SESSION, token, crate::model::SESSION_SECONDS);
    guesser::set_known(&mut done, access, settings, headers);
    done
}

fn empty() -> Response<Body> {
    let mut done = Response::new(Body::empty());
    *done.status_mut() = StatusCode::NO_CONTENT;
    done
}

/// An answer in JSON.
pub(super) fn answer(status: StatusCode, told: &Value) -> Response<Body> {
    let mut answer = Response::new(Body::from(told.to_string()));
    *answer.status_mut() = status;
    put(answer.headers_mut(), header::CONTENT_TYPE, "application/json");
    answer
}

fn no(status: StatusCode, why: &str) -> Response<Body> {
    answer(status, &json!({"why": why}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_holds_for_its_password_and_its_time() {
        let chosen =
            |hash: &str| Some(Password { hash: hash.into(), at: Time(0), from: "::1".into() });
        let access = Access { password: chosen("h1"), sessions: vec![], secret: "s".into() };
        let set = |password: Option<&str>| Settings {
            password: password.map(str::to_owned),
            ..Settings::default()
        };
        let under = mark(&access, &set(None)).unwrap();
        assert_eq!(under.len(), 4, "too few bits to find the password by");
        let session = Session {
            id: "1".into(),
            hash: "t".into(),
            under,
            label: "x".into(),
            from: "::1".into(),
            since: Time::from_secs(1_000),
            used: Time::from_secs(1_000),
        };
        let access = Access { sessions: vec![session], ..access };
        let holds = |access: &Access, password, at| {
            in_force(access, &set(password), Time::from_secs(at)).count() == 1
        };
        assert!(holds(&access, None, 1_000));
        assert!(holds(&access, None, 0), "a clock that went back");
        assert!(holds(&access, None, 999 + 30 * 86_400));
        assert!(!holds(&access, None, 1_000 + 30 * 86_400));
        assert!(!holds(&access, Some("open sesame"), 1_000), "another password is in force");
        let other = Access { password: chosen("h2"), ..access.clone() };
        assert!(!holds(&other, None, 1_000));
        let none = Access { password: None, ..access };
        assert!(!holds(&none, None, 1_000), "without a password nobody is signed in");
    }
}
