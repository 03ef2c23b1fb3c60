//! The running house: the real program as a daemon, watched from outside. Every wait has a deadline,
//! every process is ended.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::print_stderr)]

#[path = "support/drive.rs"]
mod drive;
#[path = "support/http.rs"]
mod http;
#[path = "support/judged.rs"]
mod judged;
#[path = "oracle/mod.rs"]
mod oracle;

use drive::{House, SETTINGS, wish};
use http::Request;
use judged::{judged, recorded};
use larder::model::Action;
use larder::worklist::mac::{self, Sealed};
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// A daemon, ended when dropped, and its reports.
struct Running {
    child: Child,
    reports: Arc<Mutex<Vec<String>>>,
}

impl Running {
    fn start(house: &House) -> Self {
        Self::start_with(house, &[])
    }

    fn start_with(house: &House, words: &[&str]) -> Self {
        let mut command = house.larder(&["run", "--report-fd", "1"]);
        command.args(words);
        Self::spawn(house, command)
    }

    fn spawn(house: &House, mut command: Command) -> Self {
        let log = std::fs::File::create(house.dir.path().join("log")).expect("a log");
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("larder starts");
        let out = child.stdout.take().expect("its reports");
        let reports = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&reports);
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                all.lock().expect("no reader panics").push(line);
            }
        });
        let running = Self { child, reports };
        eventually("the first report", || running.last().is_some());
        running
    }

    fn last(&self) -> Option<String> {
        self.reports.lock().expect("no reader panics").last().cloned()
    }

    fn tells(&self, words: &str) -> bool {
        self.last().is_some_and(|report| report.contains(words))
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it runs");
    }

    fn alive(&mut self) -> bool {
        self.child.try_wait().expect("it is ours").is_none()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Longest wait for anything: a busy machine may need a part of it, a hang all.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until something is so.
fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "still not: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("{what}: {} ms", begun.elapsed().as_millis());
}

fn page_text(house: &House, device: &str) -> Vec<u8> {
    std::fs::read(house.page(device)).unwrap_or_default()
}

#[test]
fn a_worklist_becomes_a_link_and_a_new_page() {
    let mut house = House::new(SETTINGS);
    house.save(&house.home(b"doc"), b"doc");
    let history = recorded(&house, 0, None);
    let mut running = Running::start(&house);
    eventually("the page is there", || house.page("HTCphone").exists());
    let before = page_text(&house, "HTCphone");
    house.drop_list("HTCphone", &[wish(1, "get", b"doc", "")]);
    eventually("the link is there", || house.on("HTCphone", b"doc").exists());
    eventually("the page is new", || {
        let now = page_text(&house, "HTCphone");
        !now.is_empty() && now != before
    });
    eventually("it is answered", || house.answer(1).is_some_and(|(s, _)| s == "done"));
    // A file that comes to life on the device comes home.
    house.save(&house.on("HTCphone", b"DCIM/1.jpg"), b"photo");
    eventually("the photo is at home", || house.home(b"DCIM/1.jpg").exists());
    assert!(running.alive());
    running.signal(rustix::process::Signal::TERM);
    eventually("it stops when told", || !running.alive());
    assert!(running.child.wait().expect("it is ours").success());
    eventually("it says so", || running.tells("stopped-safely"));
    assert_eq!(house.check(), [""; 0]);
    assert_eq!(judged(&house, &history), [""; 0]);
}

#[test]
fn folders_named_from_where_one_stands_are_watched_like_others() {
    let mut house = House::new(SETTINGS);
    house.save(&house.home(b"doc"), b"doc");
    let mut command = Command::new(drive::LARDER);
    command.args(["run", "--report-fd", "1", "--drive", "drive", "--boot", "./boot/../boot"]);
    drive::hermetic(&mut command).current_dir(house.dir.path());
    let running = Running::spawn(&house, command);
    eventually("the page is there", || house.page("HTCphone").exists());
    house.drop_list("HTCphone", &[wish(1, "get", b"doc", "")]);
    eventually("a live wish is fulfilled", || house.on("HTCphone", b"doc").exists());
    house.save(&house.on("HTCphone", b"photo"), b"photo");
    eventually("a live file comes home", || house.home(b"photo").exists());
    house.settings(&format!("{SETTINGS}[devices.tablet]\n"));
    eventually("a change of the settings is taken in", || house.page("tablet").exists());
    drop(running);
}

#[test]
fn a_quota_is_in_force_when_it_changes_and_when_it_changed_while_nothing_ran() {
    let quota = |files: u32| {
        let quota = format!("[devices.HTCphone]\nquota = \"{} KiB\"\n", files * 4);
        SETTINGS.replace("[devices.HTCphone]\n", &quota)
    };
    let mut house = House::new(SETTINGS);
    for n in 0..8 {
        house.save(&house.home(format!("d/{n}").as_bytes()), b"small");
    }
    let there = |house: &House| {
        std::fs::read_dir(house.on("HTCphone", b"d")).map_or(0, |entries| entries.count())
    };
    let history = recorded(&house, 0, Some(2 * 4_096));
    let mut running = Running::start(&house);
    house.drop_list("HTCphone", &[wish(1, "get", b"d", "")]);
    eventually("all are there", || there(&house) == 8);
    house.settings(&quota(5));
    eventually("a lowered quota is in force", || there(&house) == 5);
    running.signal(rustix::process::Signal::TERM);
    eventually("it stops", || !running.alive());
    house.settings(&quota(2));
    let running = Running::start(&house);
    eventually("it is in force from the start on", || there(&house) == 2);
    // What went is told, and can be got again; what can't be got is refused with the numbers.
    house.save(&house.home(b"film"), &[b'F'; 9_000]);
    house.drop_list("HTCphone", &[wish(2, "get", b"film", "")]);
    eventually("it is refused", || {
        house.answer(2).is_some_and(|(state, why)| state == "refused" && why.contains("8.2 kB"))
    });
    assert_eq!(there(&house), 2);
    drop(running);
    // Killed wherever it was: the wish was answered by a look at the film, which need not be on the pages yet.
    house.run();
    assert_eq!(there(&house), 2);
    assert_eq!(house.check(), [""; 0]);
    assert_eq!(judged(&house, &history), [""; 0]);
}

#[test]
fn a_mass_change_is_held_until_it_is_answered() {
    let mut house = House::new(SETTINGS);
    let name = |n: usize| format!("m/{n:02}").into_bytes();
    for n in 0..70 {
        house.save(&house.home(&name(n)), format!("content {n}").as_bytes());
    }
    let mut history = recorded(&house, 0, None);
    let mut running = Running::start(&house);
    let both = r#","to":["HTCphone","LinuxLaptop"]"#;
    house.drop_list("HTCphone", &[wish(1, "get", b"m", both)]);
    eventually("both have them", || house.answer(1).is_some_and(|(s, _)| s == "done"));
    for n in 0..60 {
        house.save(&house.on("HTCphone", &name(n)), format!("encrypted {n}").as_bytes());
    }
    house.save(&house.on("HTCphone", b"m/READ ME"), b"pay");
    eventually("it is told", || running.tells("much more than ever") && running.tells("attention"));
    eventually("all of it", || running.tells("changed 60 files"));
    judged::see(&house, &mut history);
    let is = |at: std::path::PathBuf, content: &str| {
        std::fs::read(at).is_ok_and(|c| c == content.as_bytes())
    };
    // Some may have been taken in before it was much; the others are as they were, and so is the laptop.
    let held = |house: &House| {
        let mine = (0..60).filter(|n| is(house.home(&name(*n)), &format!("content {n}")));
        mine.count()
    };
    assert!(held(&house) >= 10, "{}", held(&house));
    assert!(!house.home(b"m/READ ME").exists());
    let phone = r#","to":["HTCphone"]"#;
    house.drop_list("HTCphone", &[wish(2, "allow", b"", phone)]);
    eventually("not by itself", || house.answer(2).is_some_and(|(s, _)| s == "refused"));
    house.drop_list("LinuxLaptop", &[wish(3, "keep-mine", b"", phone)]);
    eventually("it is answered", || house.answer(3).is_some_and(|(s, _)| s == "done"));
    eventually("all is as it was", || {
        held(&house) == 60
            && (0..60).all(|n| is(house.on("HTCphone", &name(n)), &format!("content {n}")))
            && !house.on("HTCphone", b"m/READ ME").exists()
    });
    eventually("nothing is asked any more", || !running.tells("much more than ever"));
    running.signal(rustix::process::Signal::TERM);
    eventually("it stops", || !running.alive());
    assert_eq!(house.check(), [""; 0]);
    assert_eq!(judged(&house, &history), [""; 0]);
}

#[test]
fn settings_take_effect_while_it_runs_and_broken_ones_do_not() {
    let house = House::new(SETTINGS);
    let running = Running::start(&house);
    eventually("the page is there", || house.page("HTCphone").exists());
    house.settings(&format!("{SETTINGS}[devices.tablet]\n"));
    eventually("the tablet has a page", || house.page("tablet").exists());
    assert!(house.on("tablet", b"").is_dir());
    house.settings(&format!("{SETTINGS}[devices.tablet]\nqouta = \"1 GB\"\n[devices.other]\n"));
    eventually("the mistake is told", || running.tells("qouta") && running.tells("quota"));
    assert!(running.tells("settings-error"));
    assert!(!house.page("other").exists());
    house.settings(&format!("{SETTINGS}[devices.tablet]\nquota = \"1 GB\"\n[devices.other]\n"));
    eventually("all is well again", || !running.tells("qouta") && house.page("other").exists());
}

#[test]
fn settings_saved_under_another_name_or_lost_are_told_and_the_last_good_ones_stay() {
    let mut house = House::new(SETTINGS);
    house.save(&house.home(b"doc"), b"doc");
    let running = Running::start(&house);
    eventually("the page is there", || house.page("HTCphone").exists());
    let file = house.boot.join("larder.toml");
    // What a card leaves of a file that was not written to its end.
    std::fs::write(&file, b"").expect("it is ours");
    eventually("it is told", || running.tells("0 bytes") && running.tells("settings-error"));
    house.drop_list("HTCphone", &[wish(1, "get", b"doc", "")]);
    eventually("the phone is known as before", || house.on("HTCphone", b"doc").exists());
    house.settings(SETTINGS);
    eventually("all is well again", || !running.tells("settings-error"));
    // Notepad's "save as".
    std::fs::rename(&file, house.boot.join("larder.toml.txt")).expect("it is there");
    eventually("its name is told", || running.tells("`larder.toml.txt`"));
    assert!(running.tells("rename it to larder.toml"));
    drop(running);
    let again = Running::start(&house);
    eventually("at a start, too", || again.tells("`larder.toml.txt`"));
    std::fs::rename(house.boot.join("larder.toml.txt"), &file).expect("it is there");
    eventually("all is well once it is renamed", || !again.tells("settings-error"));
    // And who checks an empty file by hand is told.
    std::fs::write(&file, b"\0\0").expect("it is ours");
    let out = Command::new(drive::LARDER).args(["config", "check"]).arg(&file).output();
    let out = out.expect("larder starts");
    assert_eq!(out.status.code(), Some(3), "{}", drive::text(&out));
}

#[test]
fn settings_that_break_while_it_is_off_make_no_device_unknown() {
    let mut house = House::new(SETTINGS);
    house.save(&house.home(b"doc"), b"doc");
    let mut running = Running::start(&house);
    eventually("the page is there", || house.page("HTCphone").exists());
    running.signal(rustix::process::Signal::TERM);
    eventually("it stops when told", || !running.alive());
    house.settings(&format!("{SETTINGS}[nas]\nname = no quotes\n"));
    house.drop_list("HTCphone", &[wish(1, "get", b"doc", "")]);
    let again = Running::start(&house);
    eventually("the mistake is told", || again.tells("settings-error"));
    eventually("the link is there", || house.on("HTCphone", b"doc").exists());
}

#[test]
fn settings_that_are_missing_or_broken_at_a_start_end_nothing_that_the_good_ones_kept() {
    let mut house = House::new(&format!("undo = \"30 days\"\n{SETTINGS}"));
    house.save(&house.home(b"photo"), b"photo");
    house.run();
    house.drop_list("HTCphone", &[wish(1, "destroy", b"photo", &drive::seen(5))]);
    house.run();
    assert!(!house.home(b"photo").exists());
    let is_kept = |house: &House| house.books().iter().any(|line| line.contains("version photo"));
    assert!(is_kept(&house));
    for broken in [None, Some("undo = 30 days\n")] {
        match broken {
            None => std::fs::remove_file(house.boot.join("larder.toml")).expect("it was there"),
            Some(text) => house.settings(text),
        }
        for words in [&["run", "--once", "--night"][..], &["dedup"], &["check", "--repair"]] {
            let out = house.larder(words).output().expect("larder starts");
            assert!(out.status.success(), "{words:?}: {}", drive::text(&out));
            assert!(
                is_kept(&house),
                "{words:?} ended it; settings {broken:?}: {}",
                drive::text(&out)
            );
        }
        // The devices are known too, and it is said.
        let id = if broken.is_none() { 2 } else { 3 };
        house.drop_list("HTCphone", &[wish(id, "get", b"none", "")]);
        let mut running = Running::start(&house);
        eventually("it is told", || running.tells("settings-error"));
        eventually("it is answered", || house.answer(id).is_some());
        running.signal(rustix::process::Signal::TERM);
        eventually("it stops when told", || !running.alive());
        assert!(is_kept(&house));
    }
    // Without a good word it is not to be brought back for longer than that word said.
    house.settings(&format!("undo = \"none\"\n{SETTINGS}"));
    let night = house.larder(&["run", "--once", "--night"]).output().expect("larder starts");
    assert!(night.status.success() && !is_kept(&house), "{}", drive::text(&night));
}

/// The status of what the web answers to somebody without a password; 0 where nobody answers.
fn status_of_the_page(port: u16) -> u16 {
    http::get(port, "/", "").status
}

#[test]
fn a_password_outlives_settings_that_break() {
    let port = drive::free_port();
    let web = format!("[web]\nport = {port}\npassword = \"open sesame\"\n");
    let house = House::new(&format!("{SETTINGS}{web}"));
    house.save(&house.home(b"doc"), b"doc");
    let mut running = Running::start(&house);
    eventually("it is asked for", || status_of_the_page(port) == 401);
    running.signal(rustix::process::Signal::TERM);
    eventually("it stops when told", || !running.alive());
    house.settings(&format!("{SETTINGS}[web]\nport = no number\n"));
    let again = Running::start(&house);
    eventually("the mistake is told", || again.tells("settings-error"));
    eventually("it is asked for as before", || status_of_the_page(port) == 401);
}

/// Texts of the ledger, by a question with one column.
fn ledger(house: &House, question: &str) -> Vec<String> {
    let db = rusqlite::Connection::open(house.drive.join("BTsyncApp/ledger.sqlite"));
    let db = db.expect("the ledger");
    db.busy_timeout(Duration::from_secs(5)).expect("a timeout");
    let mut rows = db.prepare(question).expect("a question");
    let rows = rows.query_map([], |row| row.get(0)).expect("an answer");
    rows.map(|row| row.expect("a row")).collect()
}

/// A house with a web of its own port; `web` are further lines of that section.
fn house_with_web(web: &str) -> (House, u16) {
    let port = drive::free_port();
    let sync = "[sync]\nenabled = false\n";
    let house = House::new(&format!("{SETTINGS}{sync}[web]\nport = {port}\n{web}"));
    house.save(&house.home(b"doc"), b"doc");
    (house, port)
}

#[test]
fn the_password_is_chosen_once_and_sessions_outlive_the_engine() {
    let (house, port) = house_with_web("");
    let mut running = Running::start_with(&house, &["--claim-within", "600"]);
    eventually("it may be chosen", || http::get(port, "/session", "").text().contains("claim"));
    eventually("the lamp and STATUS.txt say so", || {
        running.tells(r#""condition":"claimable""#) && running.tells("the first who opens it")
    });
    let claim = |headers: &str, words: &str| {
        let headers = format!("{headers}content-type: application/json\r\n");
        let body = format!(r#"{{"password":"{words}"}}"#);
        http::ask(port, Request { method: "POST", path: "/claim", headers: &headers, body: &body })
    };
    assert_eq!(claim("origin: null\r\n", "let me in").status, 403);
    assert_eq!(claim("", "let me in").status, 403);
    assert_eq!(claim("origin: http://evil.example\r\n", "let me in").status, 403);
    let rebound = "host: evil.example\r\norigin: http://evil.example\r\n";
    assert_eq!(claim(rebound, "let me in").status, 421);
    let chosen = http::send_password(port, "/claim", http::PASSWORD);
    assert_eq!(chosen.status, 204, "{}", chosen.text());
    let me = chosen.cookies();
    assert_eq!(http::send_password(port, "/claim", "another one").status, 409);
    eventually("the page is there", || http::get(port, "/", &me).status == 200);
    assert_eq!(status_of_the_page(port), 401);
    eventually("it is told who chose it", || {
        running.tells(r#""door":{"chosen""#)
            && running.tells("127.0.0.1")
            && running.tells(r#""condition":"ready""#)
    });
    let other = http::sign_in(port, http::PASSWORD);
    // A kill, as a power cut: what was answered is on the disk.
    running.signal(rustix::process::Signal::KILL);
    eventually("it is gone", || !running.alive());

    // An engine that is started again opens nothing anew, whatever is left of the time.
    let again = Running::start_with(&house, &["--claim-within", "600"]);
    eventually("it serves again", || http::get(port, "/", &me).status == 200);
    assert_eq!(http::send_password(port, "/claim", "another one").status, 409);
    let told = http::get(port, "/session", &me).json();
    assert_eq!(told["sessions"].as_array().expect("a list").len(), 2, "{told}");
    let theirs = told["sessions"].as_array().expect("a list").iter().find(|s| s["here"] == false);
    let path = format!("/session/{}", theirs.expect("another")["id"].as_str().expect("its id"));
    let headers = format!("origin: {}\r\n{me}", http::origin(port));
    let end = Request { method: "DELETE", path: &path, headers: &headers, body: "" };
    assert_eq!(http::ask(port, end).status, 204);
    assert_eq!(http::get(port, "/", &other).status, 401);
    assert_eq!(http::get(port, "/", &me).status, 200);
    drop(again);

    // A new ledger asks again, in the time after power-on and not later.
    std::fs::remove_dir_all(house.drive.join("BTsyncApp")).expect("the ledger goes");
    let late = Running::start_with(&house, &["--claim-within", "0"]);
    eventually("it is too late", || http::get(port, "/session", "").text().contains("closed"));
    assert_eq!(http::get(port, "/", &me).status, 401, "of another ledger");
    assert_eq!(http::send_password(port, "/claim", "another one").status, 403);
    eventually("it is told", || late.tells(r#""door":"closed""#));
    drop(late);
    let _early = Running::start_with(&house, &["--claim-within", "600"]);
    eventually("it asks again", || http::get(port, "/session", "").text().contains("claim"));
    assert_eq!(http::send_password(port, "/claim", "another one").status, 204);
}

/// Every wish there is, as somebody sends it who has read how.
fn every_wish() -> Vec<String> {
    let wish = |(number, action): (usize, Action)| {
        let more = format!(r#"{},"to":["HTCphone"],"with":"1""#, drive::seen(3));
        drive::wish(0xbad_0000 + number as u64, action.name(), b"doc", &more)
    };
    Action::ALL.into_iter().enumerate().map(wish).collect()
}

#[test]
fn nobody_changes_anything_without_password_or_key() {
    let (mut house, port) = house_with_web("password = \"open sesame\"\n");
    house.drop_list("HTCphone", &[wish(1, "get", b"doc", "")]);
    let mut running = Running::start(&house);
    eventually("the link is there", || house.on("HTCphone", b"doc").exists());
    eventually("it is served", || status_of_the_page(port) == 401);
    eventually("it is at rest", || running.tells(r#""condition":"ready""#));
    let before = (house.state(), house.books(), ledger(&house, "SELECT key || value FROM meta"));

    let epoch = ledger(&house, "SELECT value FROM meta WHERE key = 'epoch'").remove(0);
    let phone = ledger(&house, "SELECT value FROM meta WHERE key = 'key:HTCphone'").remove(0);
    let laptop = ledger(&house, "SELECT value FROM meta WHERE key = 'key:LinuxLaptop'").remove(0);
    let own = http::origin(port);
    // Each from an address of its own, so that none is turned away for the guesses of another.
    let address = std::cell::Cell::new(0_u32);
    let next = || {
        address.set(address.get() + 1);
        let [_, _, high, low] = address.get().to_be_bytes();
        std::net::Ipv4Addr::new(127, 9, high, low)
    };
    let mut count = 0;
    let mut refused = |request: Request<'_>| {
        let local = rustix::net::SocketAddrV4::new(next(), 0);
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::INET,
            rustix::net::SocketType::STREAM,
            None,
        )
        .expect("a socket");
        rustix::net::bind(&socket, &local).expect("an address of this machine");
        let to = rustix::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, port);
        rustix::net::connect(&socket, &to).expect("a connection");
        let v4 = http::talk(TcpStream::from(socket), port, request);
        let v6 = http::ask_at(std::net::Ipv6Addr::LOCALHOST.into(), port, request);
        count += 1;
        for answer in [v4, v6] {
            let status = answer.status;
            let harmless = matches!(request.method, "GET" | "HEAD" | "OPTIONS");
            assert!(
                (400..500).contains(&status) || harmless && status < 300,
                "{request:?}: {status}"
            );
            assert!(!answer.head.contains("set-cookie"), "{request:?}");
        }
    };
    for items in every_wish() {
        let list = |device: &str, more: &str| {
            format!(
                r#"{{"v":2,"page":"{epoch}"{more},"device":{device},"gen":1,"nonce":"00","items":[{items}]}}"#
            )
        };
        let (common, of_phone) = (list("null", ""), list("\"HTCphone\"", ""));
        let old = |key: &str| {
            list("\"HTCphone\"", &format!(r#","key":"{key}""#)).replace("\"v\":2", "\"v\":1")
        };
        let bodies = [
            common.clone(),
            of_phone.clone(),
            // With a key that somebody made up; the phone's, as another device; and the phone's in clear.
            mac::seal("00112233445566778899aabbccddeeff", Sealed::Worklist, &of_phone),
            mac::seal(&laptop, Sealed::Worklist, &of_phone),
            mac::seal(&phone, Sealed::Answer, &of_phone),
            mac::seal(&phone, Sealed::Worklist, &of_phone).replace("bad", "bae"),
            old(&phone),
            old(""),
        ];
        for origin in [&*own, "null", "http://evil.example", "http://larder.local"] {
            for body in &bodies {
                let headers = format!("origin: {origin}\r\ncontent-type: text/plain\r\n");
                let (method, path) = ("POST", "/worklist");
                refused(Request { method, path, headers: &headers, body });
            }
        }
        let headers = "content-type: text/plain\r\n";
        refused(Request { method: "POST", path: "/worklist", headers, body: &common });
    }
    let paths = [
        "/",
        "/catalogue.html",
        "/files/doc",
        "/files/",
        "/sign-in",
        "/claim",
        "/session",
        "/session/00000000",
        "/worklist",
        "/BTsyncApp/ledger.sqlite",
    ];
    for path in paths {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "MOVE", "MKCOL"]
        {
            for origin in [&*own, "null"] {
                let headers = format!("origin: {origin}\r\ncontent-type: application/json\r\n");
                let body = r#"{"password":"a wrong one"}"#;
                refused(Request { method, path, headers: &headers, body });
            }
        }
    }
    assert!(count > 600, "{count} requests");
    // Wishes that count go on, so the engine had time for the others.
    house.drop_list("LinuxLaptop", &[wish(2, "mkdir", b"new", "")]);
    eventually("a wish that counts is done", || house.answer(2).is_some());
    std::fs::remove_dir(house.home(b"new")).expect("it is there");
    eventually("it is at rest", || running.tells(r#""condition":"ready""#));
    let (state, books, meta) = before;
    assert_eq!(house.state(), state);
    let others = |all: Vec<String>| -> Vec<String> {
        all.into_iter().filter(|line| !line.contains("0000000002")).collect()
    };
    assert_eq!(others(house.books()), books);
    let told = |all: Vec<String>| -> Vec<String> {
        all.into_iter()
            .filter(|line| !line.starts_with("generation") && !line.starts_with("running"))
            .collect()
    };
    assert_eq!(told(ledger(&house, "SELECT key || value FROM meta")), told(meta));
    assert!(ledger(&house, "SELECT id FROM sessions").is_empty());
    assert!(running.alive());
}

#[test]
fn no_answer_holds_a_key() {
    let (house, port) = house_with_web("");
    let running = Running::start_with(&house, &["--claim-within", "600"]);
    eventually("it may be chosen", || http::get(port, "/session", "").text().contains("claim"));
    let mut answers = vec![http::get(port, "/", "")];
    let chosen = http::send_password(port, "/claim", http::PASSWORD);
    let me = chosen.cookies();
    eventually("the page is there", || http::get(port, "/", &me).status == 200);
    eventually("the phone's too", || house.page("HTCphone").exists());
    answers.push(chosen);
    answers.push(http::send_password(port, "/session", "a wrong one"));
    answers.push(http::send_password(port, "/session", http::PASSWORD));
    for path in ["/", "/catalogue.html", "/session", "/sign-in", "/files/doc", "/nothing"] {
        answers.push(http::get(port, path, ""));
        answers.push(http::get(port, path, &me));
    }
    let epoch = ledger(&house, "SELECT value FROM meta WHERE key = 'epoch'").remove(0);
    let phone = ledger(&house, "SELECT value FROM meta WHERE key = 'key:HTCphone'").remove(0);
    let page = std::fs::read(house.page("HTCphone")).expect("the phone's page");
    let page = String::from_utf8_lossy(&page).into_owned();
    let id = page.split_once("\"page\":\"").expect("its id").1.split('"').next().expect("its id");
    let list = |page: &str, device: &str| {
        let items = wish(1, "get", b"doc", "");
        format!(
            r#"{{"v":2,"page":"{page}","device":{device},"gen":1,"nonce":"00","items":[{items}]}}"#
        )
    };
    let own = http::origin(port);
    let by_page = http::post_worklist(port, &own, &me, &list(&epoch, "null"));
    let proof = http::get(port, "/session", &me).json()["proof"].clone();
    assert_eq!(by_page.status, 200, "{}", by_page.text());
    let proof = proof.as_str().expect("a proof");
    assert!(mac::is_sealed(proof, Sealed::Answer, &by_page.body));
    let sealed = mac::seal(&phone, Sealed::Worklist, &list(id, "\"HTCphone\""));
    let by_file = http::post_worklist(port, "null", "", &sealed);
    assert_eq!(by_file.status, 200, "{}", by_file.text());
    assert!(mac::is_sealed(&phone, Sealed::Answer, &by_file.body), "{}", by_file.text());
    answers.extend([by_page, by_file, http::post_worklist(port, "null", "", &list(id, "null"))]);

    let question = "SELECT value FROM meta WHERE key LIKE 'key:%' OR key = 'web-secret' \
                    UNION SELECT hash FROM sessions UNION SELECT under || label FROM sessions \
                    UNION SELECT json_extract(value, '$.hash') FROM meta WHERE key = 'web-password'";
    let secrets = ledger(&house, question);
    let common = ledger(&house, "SELECT value FROM meta WHERE key = 'key:'");
    assert_eq!(common, [""; 0], "the common page has no key");
    assert!(secrets.len() >= 6, "{}", secrets.len());
    for answer in &answers {
        let bytes = answer.bytes();
        for secret in &secrets {
            let there = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!there, "{}", answer.head);
        }
    }
    drop(running);
}

#[test]
fn a_drive_that_goes_and_comes_back_is_used_again() {
    let mut house = House::new(SETTINGS);
    house.save(&house.home(b"doc"), b"doc");
    let running = Running::start(&house);
    eventually("the page is there", || house.page("HTCphone").exists());
    let away = house.dir.path().join("away");
    std::fs::rename(&house.drive, &away).expect("unplugged");
    eventually("it is told", || running.tells("waiting-for-drive"));
    // Long enough for several tries in vain.
    let until = Instant::now() + Duration::from_secs(8);
    while Instant::now() < until {
        assert!(!house.drive.exists(), "something was written where the drive should be");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::fs::rename(&away, &house.drive).expect("plugged in");
    house.drop_list("HTCphone", &[wish(1, "get", b"doc", "")]);
    eventually("work goes on", || house.on("HTCphone", b"doc").exists());
    eventually("it is told", || !running.tells("waiting-for-drive"));
}

#[test]
fn ten_thousand_wishes_and_a_heap_of_garbage_block_nothing() {
    let mut house = House::new(SETTINGS);
    house.save(&house.home(b"doc"), b"doc");
    let mut running = Running::start(&house);
    eventually("the page is there", || house.page("HTCphone").exists());
    let many: Vec<_> = (1..=9_000).map(|id| wish(id, "get", b"none", "")).collect();
    house.drop_list("HTCphone", &many);
    let folder = house.drive.join("BTsync/catalogue/HTCphone");
    let garbage: Vec<u8> =
        (0u32..1 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    house.save(&folder.join("catalogue-worklist-HTCphone-77.json"), &garbage);
    house.save(&house.page("HTCphone"), &garbage);
    let nested = "[{".repeat(1 << 19);
    house.save(&folder.join("catalogue-worklist-HTCphone-78.json"), nested.as_bytes());
    house.drop_list("LinuxLaptop", &[wish(10_001, "get", b"doc", "")]);
    eventually("the laptop's wish is fulfilled", || house.on("LinuxLaptop", b"doc").exists());
    eventually("the last is answered", || house.answer(9_000).is_some());
    eventually("the page is whole again", || {
        let page = page_text(&house, "HTCphone");
        page.starts_with(b"<!doctype html>")
    });
    assert!(running.alive());
}

#[test]
fn a_full_drive_is_told_and_work_goes_on_when_there_is_room() {
    let Some((mut house, _mount)) = small_drive() else { return };
    house.save(&house.home(b"doc"), b"doc");
    let mut running = Running::start(&house);
    eventually("the page is there", || house.page("HTCphone").exists());
    // Somebody copies until nothing more fits.
    let filler = house.home(b"filler");
    let mut file = std::fs::File::create(&filler).expect("a file");
    let block = vec![0u8; 64 << 10];
    while std::io::Write::write_all(&mut file, &block).is_ok() {}
    while std::io::Write::write_all(&mut file, &block[..512]).is_ok() {}
    drop(file);
    eventually("it is told", || running.tells("drive-full"));
    assert!(running.alive());
    std::fs::remove_file(&filler).expect("room");
    house.drop_list("HTCphone", &[wish(1, "get", b"doc", "")]);
    eventually("work goes on", || house.answer(1).is_some_and(|(s, _)| s == "done"));
    assert!(house.on("HTCphone", b"doc").exists());
    eventually("it is told no more", || !running.tells("drive-full"));
}

#[test]
fn a_drive_that_may_only_be_read_is_told_and_used_when_it_may_be_written() {
    let Some((mut house, mount)) = small_drive() else { return };
    house.save(&house.home(b"doc"), b"doc");
    house.run();
    house.drop_list("HTCphone", &[wish(1, "get", b"doc", "")]);
    assert!(mount.remount("ro"));
    let mut running = Running::start(&house);
    eventually("it is told", || running.tells("drive-unusable"));
    assert!(running.tells(r#""drive_failed":true"#), "{:?}", running.last());
    assert!(running.alive());
    assert!(house.answer(1).is_none() && !house.on("HTCphone", b"doc").exists());
    assert!(mount.remount("rw"));
    eventually("work goes on", || house.answer(1).is_some_and(|(s, _)| s == "done"));
    assert!(house.on("HTCphone", b"doc").exists());
    eventually("it is told no more", || !running.tells("drive-unusable"));
    assert!(running.tells(r#""drive_failed":false"#), "{:?}", running.last());
}

/// A mounted file system of a few megabytes, unmounted at the end.
struct Mount(std::path::PathBuf);

impl Mount {
    fn remount(&self, how: &str) -> bool {
        let how = format!("remount,{how}");
        run_quietly(Command::new("mount").args(["-o", &how]).arg(&self.0))
    }
}

fn run_quietly(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

impl Drop for Mount {
    fn drop(&mut self) {
        run_quietly(Command::new("umount").arg("-l").arg(&self.0));
    }
}

fn small_drive() -> Option<(House, Mount)> {
    let house = House::new(SETTINGS);
    let image = house.dir.path().join("image");
    let made = std::fs::File::create(&image).and_then(|f| f.set_len(24 << 20)).is_ok()
        && run_quietly(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image));
    std::fs::remove_dir_all(&house.drive).expect("the folder");
    std::fs::create_dir(&house.drive).expect("a mount point");
    let options = ["-o", "loop"];
    let mounted =
        made && run_quietly(Command::new("mount").args(options).arg(&image).arg(&house.drive));
    if !mounted {
        eprintln!(
            "SKIPPED: a loop device can't be mounted here (not root?): no full or read-only drive"
        );
        return None;
    }
    let mount = Mount(house.drive.clone());
    std::fs::create_dir(house.drive.join("BTsync")).expect("a drive");
    Some((house, mount))
}

#[test]
fn killed_at_any_moment_it_goes_on() {
    let mut house = House::new(SETTINGS);
    for i in 0..40 {
        house.save(&house.home(format!("d/{i}").as_bytes()), format!("file {i}").as_bytes());
    }
    let mut history = recorded(&house, 0, None);
    // Not random: every run of the test kills after the same times, and the machine differs enough.
    for round in 0..25u64 {
        let mut running = Running::start(&house);
        let items: Vec<_> = (0..40)
            .map(|i| {
                let op = ["get", "delete", "pin", "move"][((round + i) % 4) as usize];
                let path = format!("d/{i}");
                wish(round * 100 + i + 1, op, path.as_bytes(), r#","to":["LinuxLaptop"]"#)
            })
            .collect();
        house.drop_list("HTCphone", &items);
        house.save(&house.on("LinuxLaptop", format!("own/{round}").as_bytes()), b"own");
        std::thread::sleep(Duration::from_millis(round * 9 % 130));
        running.signal(rustix::process::Signal::KILL);
        eventually("it is dead", || !running.alive());
        judged::see(&house, &mut history);
    }
    house.run();
    assert_eq!(house.check(), [""; 0]);
    assert_eq!(judged(&house, &history), [""; 0]);
    for i in 0..40 {
        let content = std::fs::read(house.home(format!("d/{i}").as_bytes())).expect("kept");
        assert_eq!(content, format!("file {i}").as_bytes());
    }
    for round in 0..25u64 {
        assert!(house.home(format!("own/{round}").as_bytes()).exists(), "own/{round}");
        assert!((0..40).all(|i| house.answer(round * 100 + i + 1).is_some()), "round {round}");
    }
    assert!(!Path::new(&house.drive.join("BTsyncApp/tmp/1")).exists());
}

#[test]
fn a_sync_engine_that_fails_again_and_again_makes_one_page_of_it() {
    let house = House::new(SETTINGS);
    // One that gets as far as it takes to fail, and says so with another time in front at each start.
    let path = house.dir.path().join("bin");
    std::fs::create_dir(&path).expect("a folder");
    let home = house.drive.join("BTsyncApp/syncthing");
    let script = format!(
        "#!/bin/sh\ncase $1 in\n--version) echo 'syncthing v1.29.5 \"X\" (x)';;\n\
         generate) mkdir -p '{0}'; echo '<configuration><gui></gui><options></options></configuration>' >'{0}/config.xml';;\n\
         *) echo \"[$$] $(date +%s) WARNING: the disk is on fire\"; echo tried >>'{0}.tries'; exit 1;;\nesac\n",
        home.display()
    );
    let program = path.join("syncthing");
    std::fs::write(&program, script).expect("a program");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).expect("it is ours");
    let mut command = house.larder(&["run", "--loopback", "--report-fd", "1"]);
    let found = std::env::join_paths([path.as_path(), Path::new("/usr/bin"), Path::new("/bin")]);
    command.env("PATH", found.expect("plain names"));
    let running = Running::spawn(&house, command);
    eventually("it is told", || running.tells("the disk is on fire"));
    eventually("the page is there", || house.page("HTCphone").exists());
    std::thread::sleep(Duration::from_secs(2));
    let pages = || {
        let all = [
            house.page("HTCphone"),
            house.page("LinuxLaptop"),
            house.drive.join("BTsync/catalogue/catalogue.html"),
        ];
        all.map(|page| std::fs::read(page).unwrap_or_default())
    };
    let tries = || {
        let tries = home.with_extension("tries");
        std::fs::read_to_string(tries).map_or(0, |text| text.lines().count())
    };
    // Every change of a page has another generation in it.
    let (before, tried) = (pages(), tries());
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(35) {
        assert!(pages() == before, "a page was written after {:?}", begun.elapsed());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(tries() >= tried + 2, "it was not tried again: {} after {tried}", tries());
    assert!(running.tells("it is started again by itself"));
}

#[test]
fn an_engine_ends_with_the_supervisor_that_is_killed() {
    let house = House::new(SETTINGS);
    // A supervisor of one line: it says whose end is the engine's, and waits.
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "LARDER_ENDS_WITH=$$ \"$@\" & echo $!; wait", "sh", drive::LARDER]);
    house.add_to(&mut shell, &["run"]);
    let mut shell = shell.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a shell");
    let mut first = String::new();
    let out = shell.stdout.take().expect("its words");
    BufReader::new(out).read_line(&mut first).expect("a number");
    // Gone, or ended and not yet collected by its new parent.
    let lives = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", first.trim()));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    };
    eventually("the page is there", || house.page("HTCphone").exists());
    assert!(lives());
    shell.kill().expect("it runs");
    let killed = Instant::now();
    while lives() {
        assert!(killed.elapsed() < Duration::from_secs(2), "the engine lives on");
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(shell.wait());
    // One whose supervisor has ended before it asked does not begin.
    let out = house.larder(&["run"]).env("LARDER_ENDS_WITH", "1").output().expect("it starts");
    assert!(!out.status.success());
}

/// Settings in which it is night for two hours, around now.
fn asleep() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let clock = |minutes: u64| format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60);
    let now = now.as_secs() / 60;
    let (from, to) = (clock(now + 23 * 60), clock(now + 60));
    // Without the web: the lamp would show that its password may be chosen.
    format!("{SETTINGS}[web]\nenabled = false\n[night]\nfrom = \"{from}\"\nto = \"{to}\"\n")
}

#[test]
fn the_night_works_until_somebody_wants_something_and_goes_on() {
    let mut house = House::within(tempfile::tempdir().expect("a folder"), &asleep());
    house.save(&house.home(b"doc"), b"doc");
    // A hole of 100 GB: its sum takes longer than this test.
    let film = house.home(b"film");
    let made = std::fs::File::create(&film).and_then(|film| film.set_len(100 << 30));
    if let Err(e) = made {
        eprintln!("SKIPPED: no holes of 100 GB here, so the night was not disturbed: {e}");
        return;
    }
    drive::set_mtime(&film, drive::LONG_AGO);
    let mut running = Running::start(&house);
    let works = |running: &Running| running.tells(r#""condition":"working""#);
    eventually("it works when nothing has moved for a while", || works(&running));
    std::thread::sleep(Duration::from_secs(1));
    house.drop_list("HTCphone", &[wish(1, "get", b"doc", "")]);
    eventually("a wish is fulfilled meanwhile", || house.on("HTCphone", b"doc").exists());
    eventually("it rests", || !works(&running));
    eventually("it goes on", || works(&running));
    // A second one can't work on the drive, and looking is allowed.
    let out = house.larder(&["dedup"]).output().expect("larder starts");
    assert!(!out.status.success() && drive::text(&out).contains("another Larder works"));
    let out = house.larder(&["dedup", "--dry-run"]).output().expect("larder starts");
    assert!(out.status.success(), "{}", drive::text(&out));
    assert!(drive::text(&out).contains("It would save 0 bytes"), "{}", drive::text(&out));
    house.settings(&format!("{}[devices.tablet]\n", asleep()));
    eventually("a change of the settings is taken in", || house.page("tablet").exists());
    eventually("it goes on again", || works(&running));
    running.signal(rustix::process::Signal::TERM);
    eventually("it stops when told", || !running.alive());
    assert!(running.child.wait().expect("it is ours").success());
}
