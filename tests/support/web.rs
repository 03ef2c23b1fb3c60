//! The web over real TCP connections, on a drive of its own, with an owner loop that a test plays.
//!
//! Take it into a test with `#[path = "support/web.rs"] mod web;`, with `support/owner.rs` as `owner` beside it.
// A test takes what it needs of it.
#![allow(dead_code)]

use larder::model::{Access, DeviceName, Origin};
use larder::web::{
    ClaimWindow, Command, Front, Neighbours, PageKey, Settings, Snapshot, State, Wishes, serve,
};
use larder::worklist::mac::{self, Sealed};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub(crate) const PAGE: &str = "<!doctype html><title>Catalogue</title>";
pub(crate) const SECRET: &str = "what nobody may read over the network";
pub(crate) const ID: &str = "00112233445566778899";
pub(crate) const NONCE: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const KEY: &str = "key-phone";
/// The origin of the page as the tests reach it.
pub(crate) const OWN: &str = "http://larder.local:8080";

/// A drive, and the web over it.
pub(crate) struct Test {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) settings: watch::Sender<Settings>,
    pub(crate) house: watch::Sender<Snapshot>,
    pub(crate) state: watch::Receiver<State>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) reads: watch::Receiver<()>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) served: JoinHandle<()>,
    pub(crate) at: SocketAddr,
}

/// On this machine alone, and everybody may read: most tests are about what is read.
pub(crate) fn local() -> Settings {
    let address = Some(Ipv4Addr::LOCALHOST.into());
    let names = vec!["larder".into()];
    Settings { port: 0, address, readers: true, names, ..Settings::default() }
}

/// The same, and nothing is shown without a password.
pub(crate) fn locked(password: Option<&str>) -> Settings {
    Settings { readers: false, password: password.map(str::to_owned), ..local() }
}

impl Test {
    pub(crate) async fn new() -> Self {
        Self::with(local()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        Self::in_full(settings, Duration::from_secs(1800), Neighbours::of_kernel()).await
    }

    pub(crate) async fn in_full(
        settings: Settings,
        claim: Duration,
        neighbours: Neighbours,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let drive = dir.path().join("drive");
        for folder in ["BTsync/files", "BTsync/catalogue/HTCphone", "BTsyncApp"] {
            fs::create_dir_all(drive.join(folder)).unwrap();
        }
        put(&drive.join("BTsync/catalogue/catalogue.html"), PAGE.as_bytes());
        put(&drive.join("BTsync/catalogue/HTCphone/catalogue.html"), SECRET.as_bytes());
        put(&drive.join("BTsyncApp/ledger.sqlite"), SECRET.as_bytes());
        put(&dir.path().join("secret"), SECRET.as_bytes());

        let phone = PageKey { page: "p2".into(), key: KEY.into(), origin: phone() };
        let access = Access { secret: "of this ledger".into(), ..Access::default() };
        let house = Snapshot {
            drive: Some(drive),
            page: "home".into(),
            access: Arc::new(access),
            pages: Arc::new([phone]),
            notices: Arc::new([]),
        };
        let (settings, settings_rx) = watch::channel(settings);
        let (house, snapshot_rx) = watch::channel(house);
        let (state_tx, mut state) = watch::channel(State::default());
        let (commands_tx, commands) = mpsc::channel(2);
        let (stop, stopped) = oneshot::channel::<()>();
        let (reads_tx, reads) = watch::channel(());
        let front = Front {
            settings: settings_rx,
            snapshot: snapshot_rx,
            commands: commands_tx,
            state: state_tx,
            reads: reads_tx,
            claim: ClaimWindow::for_the_next(claim),
            neighbours,
        };
        let served = tokio::spawn(serve(front, async { drop(stopped.await) }));
        let at = listening(&mut state).await;
        Self { dir, settings, house, state, commands, reads, stop: Some(stop), served, at }
    }

    pub(crate) fn drive(&self) -> PathBuf {
        self.dir.path().join("drive")
    }

    pub(crate) fn files(&self) -> PathBuf {
        self.drive().join("BTsync/files")
    }

    pub(crate) async fn ask(&self, request: &[u8]) -> Answer {
        talk(connect(self.at).await, request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_with(path, "").await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &str) -> Answer {
        self.ask(request("GET", path, headers).as_bytes()).await
    }

    pub(crate) async fn post(&self, origin: &str, body: &str) -> Answer {
        self.ask(post(origin, body).as_bytes()).await
    }

    /// Sends a password, as the page does: to `/claim` or `/session`.
    pub(crate) async fn send_password(&self, to: &str, password: &str) -> Answer {
        self.ask(with_password(to, OWN, password, "").as_bytes()).await
    }

    /// Signs in, and returns the cookie line for further requests.
    pub(crate) async fn sign_in(&self, password: &str) -> String {
        let answer = self.send_password("/session", password).await;
        assert_eq!(answer.status, 204, "{}", answer.text());
        cookies(&answer)
    }

    /// What `GET /session` says to a browser with these headers.
    pub(crate) async fn session(&self, headers: &str) -> serde_json::Value {
        let answer = self.get_with("/session", headers).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// Plays the owner loop: takes in everything that comes, and says at the end which wishes did.
    pub(crate) fn take_all(&mut self) -> JoinHandle<Vec<(Origin, usize)>> {
        let (_, nobody) = mpsc::channel(1);
        let mut commands = std::mem::replace(&mut self.commands, nobody);
        let house = self.house.clone();
        tokio::spawn(async move {
            let mut all = Vec::new();
            while let Some(command) = commands.recv().await {
                if let Some(Wishes { origin, worklist, reply }) =
                    super::owner::obey(command, &house)
                {
                    all.push((origin, worklist.wishes.len()));
                    drop(reply.send(Ok(worklist.wishes.iter().map(|w| w.id).collect())));
                }
            }
            all
        })
    }

    /// Ends the web, and says what the owner loop got.
    pub(crate) async fn end<T>(mut self, taken: JoinHandle<T>) -> T {
        self.stop.take();
        self.served.await.unwrap();
        taken.await.unwrap()
    }
}

pub(crate) fn phone() -> Origin {
    Origin::Device(DeviceName::new("HTCphone").unwrap())
}

pub(crate) async fn listening(state: &mut watch::Receiver<State>) -> SocketAddr {
    match &*state.wait_for(|state| matches!(state, State::Listening(_))).await.unwrap() {
        State::Listening(at) => *at,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn put(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
}

pub(crate) async fn connect(to: SocketAddr) -> TcpStream {
    TcpStream::connect(to).await.unwrap()
}

/// A connection from another of this machine's addresses.
pub(crate) async fn connect_from(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((IpAddr::V4(from), 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

pub(crate) fn request(method: &str, path: &str, headers: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: larder.local:8080\r\nconnection: close\r\n{headers}\r\n"
    )
}

pub(crate) fn post(origin: &str, body: &str) -> String {
    post_with(origin, body, "")
}

pub(crate) fn post_with(origin: &str, body: &str, headers: &str) -> String {
    let length = body.len();
    let headers = format!(
        "origin: {origin}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n{headers}"
    );
    request("POST", "/worklist", &headers) + body
}

pub(crate) fn with_password(to: &str, origin: &str, password: &str, headers: &str) -> String {
    let body = serde_json::json!({ "password": password }).to_string();
    let length = body.len();
    let headers = format!(
        "origin: {origin}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}"
    );
    request("POST", to, &headers) + &body
}

/// The cookies that an answer sets, as a header of the next request.
pub(crate) fn cookies(answer: &Answer) -> String {
    let pairs = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
    let pairs: Vec<_> = pairs.map(|(_, line)| line.split(';').next().unwrap().to_owned()).collect();
    format!("cookie: {}\r\n", pairs.join("; "))
}

/// A worklist of version 2, sealed with a key; an empty one seals nothing.
pub(crate) fn worklist(page: &str, key: &str, device: &str, items: &str) -> String {
    let text = format!(
        r#"{{"v":2,"page":"{page}","device":{device},"gen":7,"nonce":"{NONCE}","items":[{items}]}}"#
    );
    mac::seal(key, Sealed::Worklist, &text)
}

/// One of the phone's page.
pub(crate) fn of_phone(items: &str) -> String {
    worklist("p2", KEY, "\"HTCphone\"", items)
}

/// One of the common page.
pub(crate) fn of_home(items: &str) -> String {
    worklist("home", "", "null", items)
}

pub(crate) fn get_wish(id: &str) -> String {
    format!(r#"{{"id":"{id}","op":"get","path":"a%20b.jpg","at":"2026-11-23T10:00:00Z"}}"#)
}

/// What came back, until the end of the connection.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The answer to wishes, without its seal, which must be that of a key and last.
    pub(crate) fn proved(&self, key: &str) -> serde_json::Value {
        assert!(mac::is_sealed(key, Sealed::Answer, &self.body), "{}", self.text());
        let mut told = self.json();
        told.as_object_mut().unwrap().remove("mac").unwrap();
        told
    }
}

pub(crate) async fn talk(mut stream: TcpStream, request: &[u8]) -> Answer {
    // A server that refuses early may close before it has read all.
    drop(stream.write_all(request).await);
    hear(stream).await
}

pub(crate) async fn hear(mut stream: TcpStream) -> Answer {
    let mut all = Vec::new();
    // A test that would wait for ever fails instead.
    let ended = tokio::time::timeout(Duration::from_secs(120), stream.read_to_end(&mut all));
    drop(ended.await.expect("the answer ends"));
    let Some(end) = all.windows(4).position(|w| w == b"\r\n\r\n") else {
        return Answer { status: 0, headers: Vec::new(), body: all };
    };
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Answer { status, headers, body: all[end + 4..].to_vec() }
}
