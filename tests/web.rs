//! The module `web` over real TCP connections: what it shows, what it refuses, what it takes. Who is signed in is the
//! matter of `locked.rs`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "support/hostile.rs"]
mod hostile;
#[path = "support/owner.rs"]
mod owner;
#[path = "support/web.rs"]
mod web;

use larder::model::{Origin, RelPath, Time, WishId};
use larder::status::{Condition, Notice};
use larder::web::{Command, PageKey, Settings, State, Wishes};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use web::*;

/// Makes a file at a path of any length, which contains its own path.
fn plant(root: &Path, path: &[u8]) {
    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
    let folder = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut dir = openat(CWD, root, folder, Mode::empty()).unwrap();
    let names: Vec<&[u8]> = path.split(|&b| b == b'/').collect();
    let (name, above) = names.split_last().unwrap();
    for name in above {
        mkdirat(&dir, *name, Mode::RWXU).unwrap();
        dir = openat(&dir, *name, folder, Mode::empty()).unwrap();
    }
    let file = openat(&dir, *name, OFlags::WRONLY | OFlags::CREATE, Mode::RWXU).unwrap();
    std::io::Write::write_all(&mut fs::File::from(file), path).unwrap();
}

#[tokio::test]
async fn the_night_hears_of_who_reads_a_file_and_not_of_open_pages() {
    let mut test = Test::new().await;
    // More than the kernel's buffers on both sides hold: the end can't be read before somebody took of the beginning.
    fs::File::create(test.files().join("film")).unwrap().set_len(64 << 20).unwrap();
    for path in ["/", "/files/none"] {
        test.get(path).await;
    }
    test.ask(request("HEAD", "/files/film", "").as_bytes()).await;
    assert!(!test.reads.has_changed().unwrap(), "nothing of a master was read");
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let mut stream = socket.connect(test.at).await.unwrap();
    stream.write_all(request("GET", "/files/film", "").as_bytes()).await.unwrap();
    // From the first piece to the last, as long as somebody takes them.
    let mut piece = vec![0; 64 << 10];
    assert!(stream.read(&mut piece).await.unwrap() > 0);
    assert!(test.reads.has_changed().unwrap(), "the first piece");
    test.reads.mark_unchanged();
    while stream.read(&mut piece).await.unwrap() > 0 {}
    assert!(test.reads.has_changed().unwrap(), "the pieces after it");
    test.reads.mark_unchanged();
    test.get_with("/files/film", "range: bytes=5-9\r\n").await;
    assert!(test.reads.has_changed().unwrap());
}

#[tokio::test]
async fn the_page_is_shown_and_not_sent_again_when_it_is_known() {
    let test = Test::new().await;
    for path in ["/", "/catalogue.html", "/?x=1"] {
        let answer = test.get(path).await;
        assert_eq!((answer.status, answer.text()), (200, PAGE.into()), "{path}");
        assert_eq!(answer.header("content-length"), PAGE.len().to_string());
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(answer.header("cache-control"), "private, no-cache");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
        assert_eq!(answer.header("content-security-policy"), "frame-ancestors 'none'");
        assert!(answer.header("access-control-allow-origin").is_empty());
    }
    let first = test.get("/").await;
    let known = format!("if-none-match: {}\r\n", first.header("etag"));
    let again = test.get_with("/", &known).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(again.header("etag"), first.header("etag"));

    let head = test.ask(request("HEAD", "/", "").as_bytes()).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), PAGE.len().to_string());
    assert!(head.header("last-modified").ends_with(" GMT"), "{head:?}");

    // Replaced as the engine does it: a new file under the name.
    let catalogue = test.drive().join("BTsync/catalogue");
    put(&catalogue.join("new"), b"the next page");
    fs::rename(catalogue.join("new"), catalogue.join("catalogue.html")).unwrap();
    let next = test.get_with("/", &known).await;
    assert_eq!((next.status, next.text()), (200, "the next page".into()));
}

#[tokio::test]
async fn what_is_not_there_is_told_and_only_reading_is_done() {
    let test = Test::new().await;
    for path in [
        "/files",
        "/files/",
        "/catalogue/catalogue.html",
        "/HTCphone/catalogue.html",
        "/x",
        "//",
        "/BTsyncApp/ledger.sqlite",
        "/favicon.ico",
        "/catalogue.html/",
        "/Files/a",
    ] {
        let answer = test.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.text().contains(SECRET), "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "MKCOL"] {
        let answer = test.ask(request(method, "/", "").as_bytes()).await;
        assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"), "{method}");
    }
}

#[tokio::test]
async fn a_page_of_many_megabytes_arrives_whole() {
    let test = Test::new().await;
    let page: Vec<u8> =
        (0..12_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    put(&test.drive().join("BTsync/catalogue/catalogue.html"), &page);
    let answer = test.get("/").await;
    assert_eq!(answer.header("content-length"), page.len().to_string());
    assert!(answer.body == page, "{} bytes came", answer.body.len());
}

#[tokio::test]
async fn without_a_drive_people_are_told_what_to_do() {
    let test = Test::new().await;
    test.house.send_modify(|house| {
        house.drive = None;
        house.notices = Arc::new([Notice {
            at: Time(0),
            condition: Condition::DriveUnusable,
            what: "The drive <i>TOSHIBA</i> has exFAT.".into(),
            next: "Plug in another.".into(),
        }]);
    });
    for path in ["/", "/files/a.jpg"] {
        let answer = test.get(path).await;
        assert_eq!(answer.status, 503, "{path}");
        assert!(answer.text().contains("The drive is not plugged in"), "{path}");
        assert!(answer.text().contains("The drive &lt;i&gt;TOSHIBA&lt;/i&gt; has exFAT."));
        assert!(answer.text().contains("http-equiv=\"refresh\""), "it opens by itself");
        assert!(answer.header("last-modified").is_empty());
    }
    let answer = test.post("null", &of_phone(&get_wish(ID))).await;
    assert_eq!(answer.status, 503);
    assert!(answer.json()["why"].as_str().unwrap().contains("not plugged in"));

    test.house.send_modify(|house| house.drive = Some(test.drive()));
    assert_eq!(test.get("/").await.status, 200);
    fs::remove_dir_all(test.drive().join("BTsync/catalogue")).unwrap();
    let answer = test.get("/").await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("The first catalogue is being made"));
}

#[tokio::test]
async fn only_our_own_names_are_answered() {
    let test = Test::new().await;
    let ask = |lines: &'static str| {
        let request = format!("GET / HTTP/1.1\r\nconnection: close\r\n{lines}\r\n");
        let at = test.at;
        async move { talk(connect(at).await, request.as_bytes()).await.status }
    };
    assert_eq!(ask("host: 127.0.0.1:8080\r\n").await, 200);
    assert_eq!(ask("host: larder\r\n").await, 200);
    assert_eq!(ask("host: evil.example\r\n").await, 421);
    assert_eq!(ask("host: larder.local.evil.example:8080\r\n").await, 421);
    assert_eq!(ask("host: larder\r\nhost: evil.example\r\n").await, 421);
    assert_eq!(ask("").await, 421);
    let absolute = "GET http://larder/ HTTP/1.1\r\nhost: larder\r\nconnection: close\r\n\r\n";
    assert_eq!(test.ask(absolute.as_bytes()).await.status, 400);
    let old = "GET / HTTP/1.0\r\nhost: larder\r\n\r\n";
    assert_eq!(test.ask(old.as_bytes()).await.status, 200);
    // A rebound name may not send wishes either, whatever origin it has.
    let body = of_home(&get_wish(ID));
    let rebound = post("http://evil.example:8080", &body).replace("larder.local", "evil.example");
    assert_eq!(test.ask(rebound.as_bytes()).await.status, 421);
}

#[tokio::test]
async fn a_name_that_went_to_another_machine_is_not_answered_any_more() {
    let test = Test::new().await;
    let ask = |host: &str, method: &str, more: &str| {
        let asked = request(method, "/", more).replace("larder.local:8080", host);
        let at = test.at;
        async move { talk(connect(at).await, asked.as_bytes()).await }
    };
    assert_eq!(ask("larder.local:8080", "GET", "").await.status, 200);
    assert_eq!(ask("larder-2.local:8080", "GET", "").await.status, 421);
    // Another Larder has the name: this one is what the network calls it by now, and nothing else.
    test.settings.send_modify(|settings| settings.names = vec!["larder-2".into()]);
    for ours in ["larder-2.local:8080", "larder-2", "LARDER-2.lan", "localhost:8080", "127.0.0.1"] {
        assert_eq!(ask(ours, "GET", "").await.status, 200, "{ours}");
    }
    for other in ["larder.local:8080", "larder", "larder.lan", "larder-3.local", "larder-22"] {
        let answer = ask(other, "GET", "").await;
        assert_eq!(answer.status, 421, "{other}");
        assert!(answer.text().contains("http://larder-2.local"), "{}", answer.text());
    }
    // Its page may not send wishes here, even when its name was led here.
    let body = of_home(&get_wish(ID));
    assert_eq!(test.ask(post(OWN, &body).as_bytes()).await.status, 421);
    let elsewhere = post(OWN, &body).replace("host: larder.local", "host: larder-2.local");
    assert_eq!(test.ask(elsewhere.as_bytes()).await.status, 403);
}

#[tokio::test]
async fn masters_of_any_name_open() {
    let test = Test::new().await;
    let table = hostile::load();
    let mut count = 0;
    for raw in table.names.iter().chain(&table.paths) {
        // Some of them stand in each other's way.
        fs::remove_dir_all(test.files()).unwrap();
        fs::create_dir(test.files()).unwrap();
        plant(&test.files(), raw);
        let encoded = RelPath::new(raw).unwrap().to_percent();
        let answer = test.get(&format!("/files/{encoded}")).await;
        assert_eq!((answer.status, &answer.body), (200, raw), "{encoded}");
        assert_eq!(answer.header("cache-control"), "private, no-cache");
        assert!(!answer.header("content-security-policy").is_empty(), "{encoded}");
        for (name, value) in &answer.headers {
            assert!(value.is_ascii() && !value.contains("href"), "{encoded}: {name}: {value}");
        }
        count += 1;
    }
    assert!(count > 100, "{count} names");
}

#[tokio::test]
async fn no_path_leads_out_of_the_masters() {
    let test = Test::new().await;
    put(&test.files().join("a.txt"), b"fine");
    let table = hostile::load();
    let raw_to_percent =
        |raw: &[u8]| -> String { raw.iter().map(|b| format!("%{b:02x}")).collect() };
    let mut paths: Vec<String> = table.refused.iter().map(|(raw, _)| raw_to_percent(raw)).collect();
    // As they stand, where they can stand in a request line at all.
    paths.extend(table.encoded.iter().map(|(text, _)| text.clone()));
    for way in [
        "../catalogue/HTCphone/catalogue.html",
        "../../BTsyncApp/ledger.sqlite",
        "../../../secret",
        "%2e%2e/%2e%2e/%2e%2e/secret",
        "..%2f..%2f..%2fsecret",
        "%2E%2E%2F%2E%2E%2FBTsyncApp%2Fledger.sqlite",
        "a.txt/../../../../secret",
        "./a.txt",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "%2Fproc%2Fself%2Fenviron",
        "..\\..\\secret",
        "%c0%ae%c0%ae/secret",
        "..;/secret",
        "a.txt%00.jpg",
        "a.txt/",
        "a.txt/b",
        "%",
        "%2",
        "%zz",
    ] {
        paths.push(way.into());
    }
    for path in &paths {
        let answer = test.get(&format!("/files/{path}")).await;
        assert!(matches!(answer.status, 400 | 404 | 414 | 431), "{path}: {}", answer.status);
        assert!(!answer.text().contains(SECRET), "{path}");
    }
    assert!(paths.len() > 40, "{} paths", paths.len());
    assert_eq!(test.get("/files/a.txt").await.text(), "fine");
}

#[tokio::test]
async fn only_regular_files_open_and_no_link_is_followed() {
    let test = Test::new().await;
    let files = test.files();
    fs::create_dir(files.join("folder")).unwrap();
    put(&files.join("folder/inside.txt"), b"inside");
    symlink("../../../secret", files.join("relative")).unwrap();
    symlink(test.dir.path().join("secret"), files.join("absolute")).unwrap();
    symlink("../../..", files.join("up")).unwrap();
    symlink("folder", files.join("within")).unwrap();
    symlink("folder/inside.txt", files.join("within.txt")).unwrap();
    symlink("/proc/self/environ", files.join("environ")).unwrap();
    symlink("/proc/self/root", files.join("magic")).unwrap();
    symlink("loop", files.join("loop")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        files.join("pipe"),
        rustix::fs::FileType::Fifo,
        0o644.into(),
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(files.join("socket")).unwrap();
    for path in [
        "relative",
        "absolute",
        "up/secret",
        "within/inside.txt",
        "within.txt",
        "environ",
        "magic/etc/passwd",
        "loop",
        "pipe",
        "socket",
        "folder",
    ] {
        let answer = test.get(&format!("/files/{path}")).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.text().contains(SECRET), "{path}");
    }
    assert_eq!(test.get("/files/folder/inside.txt").await.text(), "inside");
    // The page itself may be swapped for a link as little as a master.
    let page = test.drive().join("BTsync/catalogue/catalogue.html");
    fs::remove_file(&page).unwrap();
    symlink("../../../secret", &page).unwrap();
    let answer = test.get("/").await;
    assert_eq!(answer.status, 404);
    assert!(!answer.text().contains(SECRET));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_swapped_for_a_link_while_we_look_leads_nowhere() {
    let test = Test::new().await;
    let files = test.files();
    let outside = test.dir.path().join("outside");
    for folder in [&outside, &files.join("real")] {
        fs::create_dir(folder).unwrap();
    }
    put(&outside.join("a.txt"), SECRET.as_bytes());
    put(&files.join("real/a.txt"), b"fine");
    symlink(&outside, files.join("spare")).unwrap();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let swapper = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                renameat_with(
                    CWD,
                    files.join("real"),
                    CWD,
                    files.join("spare"),
                    RenameFlags::EXCHANGE,
                )
                .unwrap();
            }
        }
    });
    let mut seen = [0; 2];
    for _ in 0..400 {
        let answer = test.get("/files/real/a.txt").await;
        assert!(!answer.text().contains(SECRET));
        match answer.status {
            200 => seen[0] += 1,
            404 => seen[1] += 1,
            other => panic!("{other}"),
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    swapper.join().unwrap();
    assert_eq!(seen[0] + seen[1], 400);
}

#[tokio::test]
async fn parts_of_a_file_are_sent_as_asked() {
    let test = Test::new().await;
    let content: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    put(&test.files().join("film.mp4"), &content);
    put(&test.files().join("empty.mp4"), b"");
    let all = content.len();
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=1000-200999", 1000, 201_000),
        ("bytes=299999-", 299_999, all),
        ("bytes=-10", 299_990, all),
        ("bytes=-999999", 0, all),
        ("bytes=131072-131072", 131_072, 131_073),
    ] {
        let answer = test.get_with("/files/film.mp4", &format!("range: {range}\r\n")).await;
        assert_eq!(answer.status, 206, "{range}");
        assert!(answer.body == content[from..to], "{range}");
        assert_eq!(answer.header("content-range"), format!("bytes {from}-{}/{all}", to - 1));
        assert_eq!(answer.header("content-length"), (to - from).to_string());
        assert_eq!(answer.header("content-type"), "video/mp4");
    }
    for range in ["bytes=0-1,5-6", "bytes=5-1", "chapters=1-2", "bytes=x"] {
        let answer = test.get_with("/files/film.mp4", &format!("range: {range}\r\n")).await;
        assert_eq!((answer.status, answer.body.len()), (200, all), "{range}");
        assert_eq!(answer.header("accept-ranges"), "bytes");
    }
    for (path, range) in
        [("film.mp4", "bytes=300000-"), ("film.mp4", "bytes=-0"), ("empty.mp4", "bytes=0-")]
    {
        let answer = test.get_with(&format!("/files/{path}"), &format!("range: {range}\r\n")).await;
        assert_eq!((answer.status, answer.body.len()), (416, 0), "{path} {range}");
        assert!(answer.header("content-range").starts_with("bytes */"), "{path} {range}");
    }
    let empty = test.get("/files/empty.mp4").await;
    assert_eq!((empty.status, empty.header("content-length")), (200, "0"));
    let etag = test.get("/files/film.mp4").await.header("etag").to_owned();
    let resumed = format!("range: bytes=5-\r\nif-range: {etag}\r\n");
    assert_eq!(test.get_with("/files/film.mp4", &resumed).await.status, 206);
    put(&test.files().join("film.mp4"), &content[1..]);
    let changed = test.get_with("/files/film.mp4", &resumed).await;
    assert_eq!((changed.status, changed.body.len()), (200, all - 1));
}

#[tokio::test]
async fn documents_of_strangers_come_in_a_sandbox_or_to_be_saved() {
    let test = Test::new().await;
    for (name, mime, sandbox, save) in [
        ("a.html", "text/html", true, false),
        ("a.svg", "image/svg+xml", true, false),
        ("a.js", "text/plain; charset=utf-8", true, false),
        ("a.jpg", "image/jpeg", true, false),
        ("a.docm", "application/octet-stream", true, true),
        ("a", "application/octet-stream", true, true),
        ("a.mp4", "video/mp4", false, false),
        ("a.pdf", "application/pdf", false, false),
    ] {
        put(&test.files().join(name), b"<script>alert(1)</script>");
        let answer = test.get(&format!("/files/{name}")).await;
        assert_eq!(answer.header("content-type"), mime, "{name}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{name}");
        let policy = answer.header("content-security-policy");
        assert_eq!(policy.starts_with("sandbox; default-src 'none'"), sandbox, "{name}: {policy}");
        assert_eq!(answer.header("content-disposition"), if save { "attachment" } else { "" });
    }
}

/// Which files beneath a folder this process has open.
fn open_beneath(dir: &Path) -> Vec<PathBuf> {
    let fds = fs::read_dir("/proc/self/fd").unwrap();
    fds.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
        .filter(|path| path.starts_with(dir))
        .collect()
}

#[tokio::test]
async fn a_drive_that_goes_away_is_let_go_of() {
    let test = Test::new().await;
    let drive = test.drive();
    let file = fs::File::create(test.files().join("film.mp4")).unwrap();
    file.set_len(1 << 30).unwrap();
    drop(file);
    let mut stream = connect(test.at).await;
    stream.write_all(request("GET", "/files/film.mp4", "").as_bytes()).await.unwrap();
    // The head and some of the film are here; the rest waits for a reader.
    let mut some = [0; 1000];
    stream.read_exact(&mut some).await.unwrap();
    assert!(!open_beneath(&drive).is_empty());
    test.house.send_modify(|house| house.drive = None);
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest).await;
    // What was on its way already, which the sockets' buffers bound; not the film.
    assert!(rest.len() < 64 << 20, "{} bytes, {ended:?}", rest.len());
    tokio::time::timeout(Duration::from_secs(120), async {
        while !open_beneath(&drive).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("no file of the drive is open any more");
    assert_eq!(test.get("/").await.status, 503);
}

#[tokio::test]
async fn a_file_that_became_shorter_is_never_taken_for_whole() {
    let test = Test::new().await;
    let path = test.files().join("film.mp4");
    fs::File::create(&path).unwrap().set_len(64 << 20).unwrap();
    let mut stream = connect(test.at).await;
    stream.write_all(request("GET", "/files/film.mp4", "").as_bytes()).await.unwrap();
    let mut some = [0; 1000];
    stream.read_exact(&mut some).await.unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1000).unwrap();
    let mut rest = Vec::new();
    drop(stream.read_to_end(&mut rest).await);
    assert!(rest.len() + some.len() < 64 << 20, "{} bytes", rest.len());
}

#[tokio::test]
async fn wishes_are_taken_from_the_page_and_from_files() {
    let mut test = Test::with(locked(Some("open sesame"))).await;
    let taken = test.take_all();
    let me = test.sign_in("open sesame").await;
    let proof = test.session(&me).await["proof"].as_str().unwrap().to_owned();
    let other = "aabbccddeeff00112233";
    let body = of_home(&format!("{},{}", get_wish(ID), get_wish(other)));
    let answer = test.ask(post_with(OWN, &body, &me).as_bytes()).await;
    assert_eq!(answer.status, 200);
    let told = serde_json::json!({"taken": [ID, other], "refused": [], "nonce": NONCE});
    assert_eq!(answer.proved(&proof), told);
    assert_eq!(answer.header("access-control-allow-origin"), "");

    let body = of_phone(&get_wish(ID));
    let answer = test.post("null", &body).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, "null"));
    assert_eq!(answer.header("vary"), "Origin");
    assert_eq!(answer.proved(KEY)["taken"], serde_json::json!([ID]));

    // What is broken is answered one by one, and the rest counts.
    let broken = format!("{},{{\"id\":\"{other}\",\"op\":\"fly\",\"path\":\"a\"}}", get_wish(ID));
    let answer = test.post("null", &of_phone(&broken)).await;
    assert_eq!((answer.status, &answer.proved(KEY)["taken"]), (200, &serde_json::json!([ID])));
    assert_eq!(answer.json()["refused"][0]["id"], other);

    // Nothing at all is fine too, and nobody is bothered with it.
    let answer = test.post("null", &of_phone("")).await;
    let told = serde_json::json!({"taken": [], "refused": [], "nonce": NONCE});
    assert_eq!(answer.proved(KEY), told);

    let json = post_with(OWN, &of_home(&get_wish(ID)), &me)
        .replace("text/plain", "Application/JSON; charset=utf-8");
    assert_eq!(test.ask(json.as_bytes()).await.status, 200);

    let all = test.end(taken).await;
    assert_eq!(all, [(Origin::Home, 2), (phone(), 1), (phone(), 1), (Origin::Home, 1)]);
}

#[tokio::test]
async fn everybody_else_is_refused() {
    let mut test = Test::new().await;
    let good = of_phone(&get_wish(ID));
    for origin in [
        "http://evil.example",
        "http://larder.local",
        "https://larder.local:8080",
        "http://larder.local:8080.evil.example",
        "file://",
        "http://127.0.0.1:8080",
        "",
    ] {
        let answer = test.post(origin, &good).await;
        assert_eq!(answer.status, 403, "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
    }
    let without = post("null", &good).replace("origin: null\r\n", "");
    assert_eq!(test.ask(without.as_bytes()).await.status, 403);

    let old = r#"{"v":1,"page":"p2","key":"key-phone","device":"HTCphone","gen":7,"items":[]}"#;
    let answer = test.post("null", old).await;
    assert_eq!(answer.status, 403, "a key in clear");
    assert!(answer.json()["why"].as_str().unwrap().contains("open the newest page"));
    for body in [
        worklist("p2", "key-home", "\"HTCphone\"", &get_wish(ID)),
        worklist("p2", "", "\"HTCphone\"", &get_wish(ID)),
        worklist("", KEY, "\"HTCphone\"", &get_wish(ID)),
        // The common page has no key, whatever it is sealed with.
        worklist("home", KEY, "null", &get_wish(ID)),
        of_home(&get_wish(ID)),
        // The right seal, and a page that says it is another's.
        worklist("p2", KEY, "\"tablet\"", &get_wish(ID)),
        // The right seal of something else.
        good.replace(ID, "00112233445566778898"),
        String::new(),
        "garbage".into(),
    ] {
        let answer = test.post("null", &body).await;
        assert_eq!(answer.status, 403, "{body}");
        assert!(!answer.json()["why"].as_str().unwrap().is_empty());
    }
    for (kind, status) in [
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("text/html", 415),
        ("", 415),
        ("text/plain\r\ncontent-encoding: gzip", 415),
    ] {
        let request = post("null", &good).replace("text/plain", kind);
        assert_eq!(test.ask(request.as_bytes()).await.status, status, "{kind}");
    }
    for method in ["GET", "PUT", "DELETE", "HEAD"] {
        let request = request(method, "/worklist", "origin: null\r\n");
        assert_eq!(test.ask(request.as_bytes()).await.status, 405, "{method}");
    }
    let none = of_phone("5");
    let answer = test.post("null", &none).await;
    assert_eq!(answer.status, 400);
    assert!(!answer.json()["refused"].as_array().unwrap().is_empty());
    assert!(test.commands.try_recv().is_err(), "none of it reached the house");
}

#[tokio::test]
async fn a_browser_that_asks_before_is_answered() {
    let test = Test::new().await;
    let ask = |origin: &str, more: &str| {
        let headers = format!("origin: {origin}\r\naccess-control-request-method: POST\r\n{more}");
        let request = request("OPTIONS", "/worklist", &headers);
        let at = test.at;
        async move { talk(connect(at).await, request.as_bytes()).await }
    };
    let answer = ask("null", "access-control-request-headers: content-type\r\n").await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), "null");
    assert_eq!(answer.header("access-control-allow-methods"), "POST");
    assert_eq!(answer.header("access-control-allow-headers"), "content-type");
    assert_eq!(answer.header("access-control-allow-private-network"), "");
    let answer = ask("null", "access-control-request-private-network: true\r\n").await;
    assert_eq!(answer.header("access-control-allow-private-network"), "true");
    let answer =
        ask("http://evil.example", "access-control-request-private-network: true\r\n").await;
    assert_eq!((answer.status, answer.header("access-control-allow-private-network")), (403, ""));
}

#[tokio::test]
async fn too_large_a_worklist_is_refused() {
    let test = Test::new().await;
    let answer = test
        .ask(
            request(
                "POST",
                "/worklist",
                "origin: null\r\ncontent-type: text/plain\r\ncontent-length: 1048577\r\n",
            )
            .as_bytes(),
        )
        .await;
    assert_eq!(answer.status, 413);
    // One that does not say how long it is.
    let headers = "origin: null\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n";
    let mut stream = connect(test.at).await;
    stream.write_all(request("POST", "/worklist", headers).as_bytes()).await.unwrap();
    let piece = vec![b' '; 0x8000];
    for _ in 0..33 {
        for bytes in [b"8000\r\n", &piece[..], b"\r\n"] {
            if stream.write_all(bytes).await.is_err() {
                break;
            }
        }
    }
    let answer = hear(stream).await;
    assert!(matches!(answer.status, 413 | 0), "{}", answer.status);
    assert_eq!(test.get("/").await.status, 200);
}

#[tokio::test]
async fn a_whole_mebibyte_and_ten_thousand_wishes_are_taken() {
    let mut test = Test::new().await;
    let taken = test.take_all();
    let items: Vec<String> = (0..10_000).map(|i| get_wish(&format!("{i:020x}"))).collect();
    let body = of_phone(&items.join(","));
    assert!(body.len() <= 1 << 20, "{}", body.len());
    let answer = test.post("null", &(body.clone() + &" ".repeat((1 << 20) - body.len()))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["taken"].as_array().unwrap().len(), 10_000);
    assert_eq!(test.end(taken).await, [(phone(), 10_000)]);
}

fn wishes(command: Command) -> Wishes {
    match command {
        Command::Take(wishes) => wishes,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_busy_or_failing_house_is_told_as_not_taken() {
    let mut test = Test::new().await;
    let body = of_phone(&get_wish(ID));
    let why = |answer: &Answer| answer.json()["why"].as_str().unwrap().to_owned();
    // The channel holds two. The second comes when the first is in it: of two at once either may be the first there.
    let mut waiting = Vec::new();
    for there in 1..=2 {
        let mut stream = connect(test.at).await;
        stream.write_all(post("null", &body).as_bytes()).await.unwrap();
        waiting.push(stream);
        while test.commands.len() < there {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let answer = test.post("null", &body).await;
    assert_eq!(answer.status, 503);
    assert!(why(&answer).contains("hands full"), "{}", why(&answer));

    let full = wishes(test.commands.recv().await.unwrap());
    full.reply.send(Err("the drive is full".into())).unwrap();
    let answer = hear(waiting.remove(0)).await;
    assert_eq!((answer.status, why(&answer)), (503, "the drive is full".into()));

    drop(wishes(test.commands.recv().await.unwrap()).reply);
    assert_eq!(hear(waiting.remove(0)).await.status, 503);
    test.commands.close();
    assert_eq!(test.post("null", &body).await.status, 503);
}

#[tokio::test]
async fn guessing_is_slowed_down_for_the_guesser_alone() {
    let mut test = Test::new().await;
    let wrong = worklist("p2", "guess", "\"HTCphone\"", &get_wish(ID));
    let mut guesses = 0;
    let answer = loop {
        let answer = test.post("null", &wrong).await;
        if answer.status == 429 {
            break answer;
        }
        assert_eq!(answer.status, 403);
        guesses += 1;
        assert!(guesses < 1_000, "one may go on guessing");
    };
    assert!(guesses >= 10, "{guesses}");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() <= 7);
    assert_eq!(answer.header("access-control-allow-origin"), "null");
    assert_eq!(test.get("/").await.status, 200, "the page is still shown to him");

    let taken = test.take_all();
    let right = post("null", &of_phone(&get_wish(ID)));
    let other = connect_from(Ipv4Addr::new(127, 0, 0, 2), test.at).await;
    assert_eq!(talk(other, right.as_bytes()).await.status, 200);
    assert_eq!(test.end(taken).await.len(), 1);
}

#[tokio::test]
async fn what_is_no_http_harms_nobody() {
    let test = Test::new().await;
    let long = |n: usize| "a".repeat(n);
    let many: String = (0..200).map(|i| format!("x-{i}: y\r\n")).collect();
    for garbage in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"\r\n\r\n\r\n\r\n".to_vec(),
        b"GET / HTTP/9.9\r\nhost: larder\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\nhost larder\n\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"GET /\x00 HTTP/1.1\r\nhost: larder\r\n\r\n".to_vec(),
        b"GET /\xff HTTP/1.1\r\nhost: larder\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nhost: larder\r\nx: \x00\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nhost: lar\r\n der\r\n\r\n".to_vec(),
        b"POST /worklist HTTP/1.1\r\nhost: larder\r\ncontent-length: -1\r\n\r\n".to_vec(),
        b"POST /worklist HTTP/1.1\r\nhost: larder\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!".to_vec(),
        b"POST /worklist HTTP/1.1\r\nhost: larder\r\norigin: null\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        b"OPTIONS * HTTP/1.1\r\nhost: larder\r\nconnection: close\r\n\r\n".to_vec(),
        b"CONNECT evil.example:443 HTTP/1.1\r\nhost: larder\r\n\r\n".to_vec(),
        request("GET", &format!("/files/{}", long(60_000)), "").into_bytes(),
        request("GET", "/", &format!("x: {}\r\n", long(60_000))).into_bytes(),
        request("GET", "/", &many).into_bytes(),
        vec![b'A'; 200_000],
        vec![0; 200_000],
    ] {
        let mut stream = connect(test.at).await;
        drop(stream.write_all(&garbage).await);
        drop(stream.shutdown().await);
        let answer = hear(stream).await;
        let start = String::from_utf8_lossy(&garbage[..garbage.len().min(60)]).into_owned();
        assert!(matches!(answer.status, 0 | 400..=499), "{start:?}: {}", answer.status);
        assert!(!answer.text().contains(PAGE), "{start:?}");
    }
    assert_eq!(test.get("/").await.status, 200);
}

#[tokio::test]
async fn slow_clients_keep_nobody_waiting() {
    let test = Test::new().await;
    let big = test.files().join("film.mp4");
    fs::File::create(big).unwrap().set_len(1 << 30).unwrap();
    let mut slow = Vec::new();
    // As many as one address may have: half a head, half a body, and a film that nobody reads.
    for i in 0..16 {
        let mut stream = connect(test.at).await;
        let body = post("null", "x").replace("content-length: 1", "content-length: 100");
        let say = match i % 3 {
            0 => "GET / HTTP/1.1\r\nhost: lar".to_owned(),
            1 => body,
            _ => request("GET", "/files/film.mp4", ""),
        };
        stream.write_all(say.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    // The same address is told to come back, another one is served.
    let full = async {
        loop {
            let answer = test.get("/").await;
            // Connections are counted when they are taken, which may be after this one was made.
            if answer.status != 200 {
                return answer.status;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(120), full).await;
    let status = status.expect("an address has no more than its places");
    assert!(matches!(status, 503 | 0), "{status}");
    let other = || connect_from(Ipv4Addr::new(127, 0, 0, 2), test.at);
    for _ in 0..20 {
        let answer = talk(other().await, request("GET", "/", "").as_bytes()).await;
        assert_eq!((answer.status, answer.text()), (200, PAGE.into()));
    }
    // Who ends, makes room.
    slow.clear();
    tokio::time::timeout(Duration::from_secs(120), async {
        while test.get("/").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the places are free again");
}

// The clock stands still here, and jumps on when everybody waits.
#[tokio::test(start_paused = true)]
async fn who_takes_too_long_is_hung_up_on() {
    let test = Test::new().await;
    for start in ["", "GET / HTTP/1.1\r\nhost: lar"] {
        let begun = tokio::time::Instant::now();
        let mut stream = connect(test.at).await;
        stream.write_all(start.as_bytes()).await.unwrap();
        let answer = hear(stream).await;
        assert!(matches!(answer.status, 0 | 408), "{}", answer.status);
        assert!(begun.elapsed() <= Duration::from_secs(11), "{:?}", begun.elapsed());
    }
    // A connection that is kept open and says nothing more.
    let mut stream = connect(test.at).await;
    let keep = request("GET", "/", "").replace("connection: close\r\n", "");
    stream.write_all(keep.as_bytes()).await.unwrap();
    assert_eq!(hear(stream).await.status, 200);
    // A worklist that does not come to its end.
    let begun = tokio::time::Instant::now();
    let body = post("null", "x").replace("content-length: 1", "content-length: 100");
    assert_eq!(test.ask(body.as_bytes()).await.status, 408);
    assert!(begun.elapsed() <= Duration::from_secs(21), "{:?}", begun.elapsed());
    // An owner loop that does not answer.
    let begun = tokio::time::Instant::now();
    let body = of_phone(&get_wish(ID));
    assert_eq!(test.post("null", &body).await.status, 503);
    assert!(begun.elapsed() <= Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_settings_move_and_close_the_listener() {
    let mut test = Test::new().await;
    let first = test.at;
    // Another listener has the port that is wanted next.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    test.settings.send_modify(|settings| settings.port = port);
    let state =
        test.state.wait_for(|state| matches!(state, State::Trouble { .. })).await.unwrap().clone();
    let State::Trouble { what, next } = state else { unreachable!() };
    assert!(what.contains(&port.to_string()) && next.contains("larder.toml"), "{what} {next}");
    assert!(TcpStream::connect(first).await.is_err(), "the old port is closed");

    drop(taken);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    test.settings.send_modify(|settings| settings.port = free);
    let moved = listening(&mut test.state).await;
    assert_eq!(moved.port(), free);
    let answer = talk(connect(moved).await, request("GET", "/", "").as_bytes()).await;
    assert_eq!(answer.status, 200);

    // What needs no other listener leaves it alone.
    let kept = connect(moved).await;
    test.settings.send_modify(|settings| settings.names = vec!["pantry".into()]);
    let asked = request("GET", "/", "").replace("larder.local", "pantry.local");
    assert_eq!(talk(kept, asked.as_bytes()).await.status, 200);

    test.settings.send_modify(|settings| settings.enabled = false);
    test.state.wait_for(|state| *state == State::Off).await.unwrap();
    assert!(TcpStream::connect(moved).await.is_err());
}

#[tokio::test]
async fn stopping_ends_it_whoever_is_connected() {
    let mut test = Test::new().await;
    fs::File::create(test.files().join("film.mp4")).unwrap().set_len(1 << 30).unwrap();
    let mut reading = connect(test.at).await;
    reading.write_all(request("GET", "/files/film.mp4", "").as_bytes()).await.unwrap();
    let mut some = [0; 100];
    reading.read_exact(&mut some).await.unwrap();
    let _idle = connect(test.at).await;
    test.stop.take();
    tokio::time::timeout(Duration::from_secs(120), &mut test.served).await.unwrap().unwrap();
    assert!(open_beneath(&test.drive()).is_empty());
    assert!(TcpStream::connect(test.at).await.is_err());
    assert_eq!(*test.state.borrow(), State::Off);
}

#[tokio::test]
async fn it_listens_at_every_address_unless_told_otherwise() {
    let test = Test::with(Settings { address: None, ..local() }).await;
    let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
    for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), "127.0.0.9".parse().unwrap(), v6] {
        let stream = connect((address, test.at.port()).into()).await;
        assert_eq!(talk(stream, request("GET", "/", "").as_bytes()).await.status, 200);
    }
}

#[test]
fn no_log_gets_a_secret() {
    let key = PageKey { page: "p".into(), key: SECRET.into(), origin: Origin::Home };
    assert!(!format!("{key:?}").contains(SECRET));
    assert!(WishId::parse(ID).is_some());
}

#[tokio::test]
async fn wrong_seals_from_any_site_lock_no_right_one_out() {
    let mut test = Test::with(locked(Some("open sesame"))).await;
    let taken = test.take_all();
    let me = test.sign_in("open sesame").await;
    // Any site can have a frame in the owner's browser that does this.
    let wrong = worklist("p2", "guess", "\"HTCphone\"", &get_wish(ID));
    while test.post("null", &wrong).await.status != 429 {}
    let own = post_with(OWN, &of_home(&get_wish(ID)), &me);
    assert_eq!(test.ask(own.as_bytes()).await.status, 200, "who is signed in has no seal");
    assert_eq!(test.post("null", &of_phone(&get_wish(ID))).await.status, 200, "a right one");
    let answer = test.post("null", &wrong).await;
    assert_eq!(answer.status, 429);
    assert!(answer.header("retry-after").parse::<u64>().unwrap() <= 7, "it was not put off");
    assert_eq!(test.end(taken).await, [(Origin::Home, 1), (phone(), 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_seal_counts_though_its_sender_hangs_up() {
    let test = Test::new().await;
    // As long as may be, so that reading it takes a while.
    let mut items: Vec<String> = (0..9_000).map(|i| get_wish(&format!("{i:020}"))).collect();
    items.push(format!(r#"{{"x":"{}"}}"#, "y".repeat(200_000)));
    let wrong = post("null", &worklist("p2", "guess", "\"HTCphone\"", &items.join(",")));
    let short = worklist("p2", "guess", "\"HTCphone\"", "");
    for other in 2..22 {
        let mut stream = connect(test.at).await;
        stream.write_all(wrong.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(60)).await;
        drop(stream);
        // One after the other: another client has its turn after this work.
        let other = connect_from(Ipv4Addr::new(127, 0, 0, other), test.at).await;
        assert_eq!(talk(other, post("null", &short).as_bytes()).await.status, 403);
    }
    assert_eq!(test.post("null", &short).await.status, 429);
}
