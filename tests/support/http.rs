//! A browser for programs that a test starts: one request a connection, and the password of the page.
//!
//! Take it into a test with `#[path = "support/http.rs"] mod http;`.
// A test takes what it needs of it.
#![allow(dead_code, unreachable_pub)]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::time::Duration;

/// The password in the settings of the tests.
pub const PASSWORD: &str = "open sesame";

/// One request to a program on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    /// Header lines, each with its line end.
    pub headers: &'a str,
    pub body: &'a str,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// 0 where nobody answers.
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// All that was sent, as it was.
    pub fn bytes(&self) -> Vec<u8> {
        [self.head.as_bytes(), &self.body].concat()
    }

    /// The cookies that are set, as a header line of the next request.
    pub fn cookies(&self) -> String {
        let lines = self.head.lines().filter_map(|line| line.strip_prefix("set-cookie: "));
        let pairs: Vec<_> = lines.map(|line| line.split(';').next().unwrap_or_default()).collect();
        format!("cookie: {}\r\n", pairs.join("; "))
    }
}

/// The origin of a page that a program serves at this port.
pub fn origin(port: u16) -> String {
    format!("http://localhost:{port}")
}

/// Asks at one of this machine's addresses.
pub fn ask_at(at: IpAddr, port: u16, request: Request<'_>) -> Answer {
    TcpStream::connect((at, port)).map_or_else(|_| Answer::default(), |s| talk(s, port, request))
}

/// Asks at 127.0.0.1.
pub fn ask(port: u16, request: Request<'_>) -> Answer {
    ask_at([127, 0, 0, 1].into(), port, request)
}

/// Says it on a connection, with the host of the page unless a header says another.
pub fn talk(mut stream: TcpStream, port: u16, request: Request<'_>) -> Answer {
    let Request { method, path, headers, body } = request;
    let host = match headers.contains("host: ") {
        true => String::new(),
        false => format!("host: localhost:{port}\r\n"),
    };
    let length = body.len();
    let asked = format!(
        "{method} {path} HTTP/1.1\r\n{host}connection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    let mut all = Vec::new();
    let patience = Some(Duration::from_secs(120));
    let said = stream.set_read_timeout(patience).and_then(|()| stream.write_all(asked.as_bytes()));
    if said.is_err() || stream.read_to_end(&mut all).is_err() {
        return Answer::default();
    }
    let Some(end) = all.windows(4).position(|w| w == b"\r\n\r\n") else {
        return Answer::default();
    };
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head, body: all[end + 4..].to_vec() }
}

/// Sends a password, as the page does, to `/claim` or `/session`.
pub fn send_password(port: u16, to: &str, password: &str) -> Answer {
    let headers = format!("origin: {}\r\ncontent-type: application/json\r\n", origin(port));
    let body = serde_json::json!({ "password": password }).to_string();
    ask(port, Request { method: "POST", path: to, headers: &headers, body: &body })
}

/// Signs in; the cookies for further requests.
pub fn sign_in(port: u16, password: &str) -> String {
    let answer = send_password(port, "/session", password);
    assert_eq!(answer.status, 204, "{}", answer.text());
    answer.cookies()
}

/// Shows an address to a browser with these header lines.
pub fn get(port: u16, path: &str, headers: &str) -> Answer {
    ask(port, Request { method: "GET", path, headers, body: "" })
}

/// Sends wishes from an origin.
pub fn post_worklist(port: u16, origin: &str, headers: &str, body: &str) -> Answer {
    let headers = format!("origin: {origin}\r\ncontent-type: text/plain\r\n{headers}");
    ask(port, Request { method: "POST", path: "/worklist", headers: &headers, body })
}
