//! The common page is locked: who chooses the password, who is signed in, and that nobody locks out anybody else.
//! Over real TCP connections, IPv4 and IPv6. With the real program: `running.rs`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "support/owner.rs"]
mod owner;
#[path = "support/web.rs"]
mod web;

use larder::model::Origin;
use larder::web::{Command, LinkAddress, Neighbours, Settings};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use web::*;

const PASSWORD: &str = "open sesame";
const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

/// Whether a card knows each of these machines.
fn cards(addresses: &[&str]) -> Neighbours {
    Neighbours::of(
        (1..).zip(addresses).map(|(number, address)| {
            (address.parse().unwrap(), LinkAddress([2, 0, 0, 0, 0, number]))
        }),
    )
}

async fn open(claim: Duration) -> Test {
    Test::in_full(locked(None), claim, Neighbours::of_kernel()).await
}

#[tokio::test]
async fn the_first_who_opens_the_page_chooses_the_password() {
    let mut test = open(HALF_AN_HOUR).await;
    let taken = test.take_all();
    assert_eq!(test.session("").await["state"], "claim");
    let page = test.get("/").await;
    assert_eq!(page.status, 401);
    assert!(page.text().contains("Choose a password") && !page.text().contains(PAGE));
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("cache-control"), "no-store");
    for short in ["", "seven77", "eight or\nmore", &"x".repeat(129)] {
        assert_eq!(test.send_password("/claim", short).await.status, 422, "{short:?}");
    }
    let answer = test.send_password("/claim", PASSWORD).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
    let line = answer.header("set-cookie");
    for part in ["larder=", "; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=2592000"] {
        assert!(line.contains(part), "{line}");
    }
    let me = cookies(&answer);
    assert_eq!(test.get_with("/", &me).await.text(), PAGE);
    let told = test.session(&me).await;
    assert_eq!((&told["state"], &told["readers"]), (&"signed-in".into(), &false.into()));
    assert_eq!(told["proof"].as_str().unwrap().len(), 64);
    assert_eq!(told["sessions"][0]["here"], true);
    assert_eq!(told["sessions"][0]["from"], "127.0.0.1");

    // From then on it is asked for, and nobody chooses another.
    assert_eq!(test.session("").await["state"], "signed-out");
    assert!(test.get("/").await.text().contains("Type the password"));
    assert_eq!(test.send_password("/claim", "another one").await.status, 409);
    assert_eq!(test.send_password("/session", "another one").await.status, 401);
    assert_eq!(test.send_password("/session", PASSWORD).await.status, 204);
    let house = test.house.borrow().access.clone();
    let kept = house.password.clone().unwrap();
    assert!(kept.hash.starts_with("argon2id") && kept.from == "127.0.0.1", "{kept:?}");
    test.end(taken).await;
}

#[tokio::test]
async fn of_two_who_choose_at_once_one_does() {
    let mut test = open(HALF_AN_HOUR).await;
    let taken = test.take_all();
    let (one, other) = tokio::join!(
        test.send_password("/claim", PASSWORD),
        test.send_password("/claim", "another one")
    );
    let mut both = [one.status, other.status];
    both.sort_unstable();
    assert_eq!(both, [204, 409]);
    test.end(taken).await;
}

#[tokio::test]
async fn nobody_else_chooses_it() {
    let claim = |origin: &str| with_password("/claim", origin, PASSWORD, "");
    // Too late, or at a machine whose supervisor said that nothing is left of the half hour.
    let mut late = open(Duration::ZERO).await;
    assert_eq!(late.session("").await["state"], "closed");
    let page = late.get("/").await;
    assert!(page.status == 401 && page.text().contains("off and on again"), "{}", page.text());
    let answer = late.send_password("/claim", PASSWORD).await;
    assert_eq!(answer.status, 403);
    assert!(answer.json()["why"].as_str().unwrap().contains("too late"));
    assert!(late.commands.try_recv().is_err());

    let mut test = open(HALF_AN_HOUR).await;
    for origin in [
        "null",
        "http://evil.example",
        "http://larder.local",
        "https://larder.local:8080",
        "http://127.0.0.1:8080",
        "",
    ] {
        assert_eq!(test.ask(claim(origin).as_bytes()).await.status, 403, "{origin}");
        let sign_in = with_password("/session", origin, PASSWORD, "");
        assert_eq!(test.ask(sign_in.as_bytes()).await.status, 403, "{origin}");
    }
    let without = claim(OWN).replace(&format!("origin: {OWN}\r\n"), "");
    assert_eq!(test.ask(without.as_bytes()).await.status, 403);
    // A name of the internet that leads to us, by which a page there would be of its own origin.
    let rebound = claim(OWN).replace("larder.local:8080", "evil.example:8080");
    assert_eq!(test.ask(rebound.as_bytes()).await.status, 421);
    let form = claim(OWN).replace("application/json", "application/x-www-form-urlencoded");
    assert_eq!(test.ask(form.as_bytes()).await.status, 415);
    let large = with_password("/claim", OWN, &"x".repeat(5_000), "");
    assert_eq!(test.ask(large.as_bytes()).await.status, 413);
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let answer = test.ask(request(method, "/claim", "").as_bytes()).await;
        assert_eq!(answer.status, 405, "{method}");
    }
    assert!(test.commands.try_recv().is_err(), "nothing of it reached the owner loop");
    // The settings have a password: it is the one.
    test.settings.send_modify(|settings| settings.password = Some("of settings".into()));
    assert_eq!(test.send_password("/claim", PASSWORD).await.status, 409);
    assert_eq!(test.session("").await["state"], "signed-out");
    // Without a drive there is nothing to choose it for.
    test.house.send_modify(|house| house.drive = None);
    for to in ["/claim", "/session"] {
        assert_eq!(test.send_password(to, PASSWORD).await.status, 503);
    }
    assert!(test.commands.try_recv().is_err());
}

#[tokio::test]
async fn the_password_of_the_settings_wins_and_ends_other_sessions() {
    let mut test = open(HALF_AN_HOUR).await;
    let taken = test.take_all();
    let chosen = cookies(&test.send_password("/claim", PASSWORD).await);
    test.settings.send_modify(|settings| settings.password = Some("of settings".into()));
    assert_eq!(test.get_with("/", &chosen).await.status, 401);
    assert_eq!(test.send_password("/session", PASSWORD).await.status, 401);
    let set = test.sign_in("of settings").await;
    assert_eq!(test.get_with("/", &set).await.text(), PAGE);
    assert_eq!(test.session(&set).await["sessions"].as_array().unwrap().len(), 1);
    test.settings.send_modify(|settings| settings.password = None);
    assert_eq!(test.get_with("/", &set).await.status, 401);
    assert_eq!(test.get_with("/", &chosen).await.text(), PAGE, "the one chosen is in force again");
    test.end(taken).await;
}

#[tokio::test]
async fn nothing_is_shown_without_a_session() {
    let mut test = Test::with(locked(Some(PASSWORD))).await;
    put(&test.files().join("a.jpg"), b"picture");
    let taken = test.take_all();
    let me = test.sign_in(PASSWORD).await;
    let token = me.split_once("larder=").unwrap().1.split(';').next().unwrap().trim();
    let flipped = if token.starts_with('0') { "1" } else { "0" };
    for wrong in [
        String::new(),
        "cookie: larder=\r\n".into(),
        "cookie: larder=x\r\n".into(),
        format!("cookie: larder={flipped}{}\r\n", &token[1..]),
        format!("cookie: larder={}\r\n", token.to_uppercase().replace('A', "B")),
        format!("cookie: larder={}\r\n", test.house.borrow().access.sessions[0].hash),
        format!("cookie: Larder={token}\r\n"),
        format!("authorization: Bearer {token}\r\n"),
        // `anybody:open sesame`, as a browser was asked before.
        "authorization: Basic YW55Ym9keTpvcGVuIHNlc2FtZQ==\r\n".into(),
    ] {
        for path in ["/", "/catalogue.html", "/files/a.jpg", "/files/not-there"] {
            for method in ["GET", "HEAD"] {
                let answer = test.ask(request(method, path, &wrong).as_bytes()).await;
                assert_eq!(answer.status, 401, "{method} {path} {wrong}");
                let text = answer.text();
                assert!(!text.contains("picture") && !text.contains(PAGE), "{path}");
                assert!(!answer.header("www-authenticate").contains("Basic"), "{path}");
            }
        }
        let told = test.session(&wrong).await;
        assert_eq!(told["state"], "signed-out");
        assert!(told["proof"].is_null() && told["sessions"] == serde_json::json!([]), "{told}");
        let post = post_with(OWN, &of_home(&get_wish(ID)), &wrong);
        assert_eq!(test.ask(post.as_bytes()).await.status, 401);
    }
    assert_eq!(test.get_with("/files/a.jpg", &me).await.text(), "picture");
    assert!(test.end(taken).await.is_empty(), "no wish was taken");
}

#[tokio::test]
async fn readers_see_all_and_change_nothing() {
    let settings = Settings { readers: true, ..locked(Some(PASSWORD)) };
    let mut test = Test::with(settings).await;
    put(&test.files().join("a.jpg"), b"picture");
    let taken = test.take_all();
    assert_eq!(test.get("/").await.text(), PAGE);
    assert_eq!(test.get("/files/a.jpg").await.text(), "picture");
    let told = test.session("").await;
    assert_eq!((&told["state"], &told["readers"]), (&"signed-out".into(), &true.into()));
    assert_eq!(test.post(OWN, &of_home(&get_wish(ID))).await.status, 401);
    assert!(test.get("/sign-in").await.text().contains("Type the password"));
    let me = test.sign_in(PASSWORD).await;
    let answer = test.ask(post_with(OWN, &of_home(&get_wish(ID)), &me).as_bytes()).await;
    assert_eq!(answer.status, 200);
    // Who only reads no more.
    test.settings.send_modify(|settings| settings.readers = false);
    assert_eq!(test.get("/").await.status, 401);
    assert_eq!(test.end(taken).await, [(Origin::Home, 1)]);
}

#[tokio::test]
async fn browsers_are_listed_and_signed_out() {
    let mut test = Test::with(locked(Some(PASSWORD))).await;
    let taken = test.take_all();
    let agent = "user-agent: Mozilla/5.0 (Android 15; Mobile) Gecko/140.0 Firefox/140.0\r\n";
    let phone = test.ask(with_password("/session", OWN, PASSWORD, agent).as_bytes()).await;
    let (phone, laptop) = (cookies(&phone), test.sign_in(PASSWORD).await);
    let list = test.session(&laptop).await["sessions"].clone();
    let [first, second] = &list.as_array().unwrap()[..] else { panic!("{list}") };
    assert_eq!((&first["label"], &first["here"]), (&"Firefox on Android".into(), &false.into()));
    assert_eq!(second["here"], true);
    for member in ["since", "used"] {
        let at = first[member].as_str().unwrap();
        assert!(at.ends_with('Z') && at.len() == 20, "{at}");
    }
    let id = first["id"].as_str().unwrap();
    assert!(id.len() == 8 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    let end = |path: &str, origin: &str, headers: &str| {
        request("DELETE", path, &format!("origin: {origin}\r\n{headers}"))
    };
    let path = format!("/session/{id}");
    for (origin, headers, status) in
        [(OWN, "", 401), ("null", &*laptop, 403), ("http://evil.example", &laptop, 403)]
    {
        for path in [&*path, "/session"] {
            let answer = test.ask(end(path, origin, headers).as_bytes()).await;
            assert_eq!(answer.status, status, "{path} {origin}");
        }
    }
    assert_eq!(test.get_with("/", &phone).await.status, 200, "still signed in");
    assert_eq!(test.ask(end("/session/00000000", OWN, &laptop).as_bytes()).await.status, 404);
    assert_eq!(test.ask(end(&path, OWN, &laptop).as_bytes()).await.status, 204);
    assert_eq!(test.get_with("/", &phone).await.status, 401);
    let answer = test.ask(end("/session", OWN, &laptop).as_bytes()).await;
    assert_eq!(answer.status, 204);
    assert!(
        answer.header("set-cookie").contains("larder=; ")
            && answer.header("set-cookie").contains("Max-Age=0")
    );
    assert_eq!(test.get_with("/", &laptop).await.status, 401);
    test.end(taken).await;
}

#[tokio::test]
async fn another_browser_cannot_prove_the_answer_of_this_one() {
    let mut test = Test::with(locked(Some(PASSWORD))).await;
    let taken = test.take_all();
    let (one, other) = (test.sign_in(PASSWORD).await, test.sign_in(PASSWORD).await);
    let proof = |told: serde_json::Value| told["proof"].as_str().unwrap().to_owned();
    let (of_one, of_other) = (proof(test.session(&one).await), proof(test.session(&other).await));
    assert_ne!(of_one, of_other);
    let answer = test.ask(post_with(OWN, &of_home(&get_wish(ID)), &one).as_bytes()).await;
    answer.proved(&of_one);
    let is_of_other = larder::worklist::mac::is_sealed(
        &of_other,
        larder::worklist::mac::Sealed::Answer,
        &answer.body,
    );
    assert!(!is_of_other);
    // A page of another ledger, or a device's, does not count as the common page.
    for body in [
        worklist("p2", KEY, "\"HTCphone\"", &get_wish(ID)),
        worklist("another", "", "null", &get_wish(ID)),
        worklist("home", "", "\"HTCphone\"", &get_wish(ID)),
    ] {
        let answer = test.ask(post_with(OWN, &body, &one).as_bytes()).await;
        assert_eq!(answer.status, 403, "{body}");
    }
    let v1 = r#"{"v":1,"page":"home","key":"","device":null,"gen":7,"items":[]}"#;
    assert_eq!(test.ask(post_with(OWN, v1, &one).as_bytes()).await.status, 403);
    assert_eq!(test.end(taken).await, [(Origin::Home, 1)]);
}

/// Guesses until it is told to wait.
async fn guess(test: &Test, from: IpAddr, headers: &str) -> usize {
    for guesses in 0..1_000 {
        let wrong = with_password("/session", OWN, "wrong guess", headers);
        let answer = talk(at(test, from).await, wrong.as_bytes()).await;
        match answer.status {
            429 => {
                assert!(answer.header("retry-after").parse::<u64>().unwrap() <= 7);
                return guesses;
            }
            status => assert_eq!(status, 401),
        }
    }
    panic!("one may go on guessing");
}

/// A connection from one of this machine's addresses.
async fn at(test: &Test, from: IpAddr) -> tokio::net::TcpStream {
    match from {
        IpAddr::V4(v4) => {
            let to = (Ipv4Addr::LOCALHOST, test.at.port()).into();
            connect_from(v4, to).await
        }
        IpAddr::V6(v6) => connect((v6, test.at.port()).into()).await,
    }
}

#[tokio::test]
async fn a_strangers_guesses_never_lock_out_the_right_password() {
    let settings = Settings { address: None, ..locked(Some(PASSWORD)) };
    // Two machines of an IPv6 network and of an IPv4 one, as their network cards tell; one guesses.
    let table = cards(&["::1", "127.0.0.2", "127.0.0.3"]);
    let mut test = Test::in_full(settings, HALF_AN_HOUR, table).await;
    let taken = test.take_all();
    let right = with_password("/session", OWN, PASSWORD, "");
    let known = cookies(&talk(at(&test, [127, 0, 0, 3].into()).await, right.as_bytes()).await);
    for guesser in [IpAddr::V6(Ipv6Addr::LOCALHOST), [127, 0, 0, 2].into()] {
        let guesses = guess(&test, guesser, "").await;
        assert!(guesses >= 10, "{guesses}");
        let answer = talk(at(&test, guesser).await, right.as_bytes()).await;
        assert_eq!(answer.status, 429, "the guesser's own next one, were it right");
        // From another machine it is right at once.
        let answer = talk(at(&test, [127, 0, 0, 3].into()).await, right.as_bytes()).await;
        assert_eq!(answer.status, 204);
        // So it is for a browser that signed in before, even at the guesser's address.
        let of_known = with_password("/session", OWN, PASSWORD, &known);
        assert_eq!(talk(at(&test, guesser).await, of_known.as_bytes()).await.status, 204);
        // And nobody who is signed in notices anything.
        let page = request("GET", "/", &known);
        assert_eq!(talk(at(&test, guesser).await, page.as_bytes()).await.text(), PAGE);
    }
    // A browser that is known has guesses of its own, and no more.
    let guesses = guess(&test, [127, 0, 0, 4].into(), &known).await;
    assert!((10..=11).contains(&guesses), "{guesses}");
    test.end(taken).await;
}

#[tokio::test]
async fn one_machine_with_two_addresses_has_the_guesses_of_one() {
    let settings = Settings { address: None, ..locked(Some(PASSWORD)) };
    let card = LinkAddress([2, 0, 0, 0, 0, 1]);
    let addresses = ["::1", "127.0.0.2"].map(|a| (a.parse().unwrap(), card));
    let mut test = Test::in_full(settings, HALF_AN_HOUR, Neighbours::of(addresses)).await;
    let taken = test.take_all();
    guess(&test, Ipv6Addr::LOCALHOST.into(), "").await;
    assert_eq!(guess(&test, [127, 0, 0, 2].into(), "").await, 0);
    test.end(taken).await;
}

#[tokio::test]
async fn strangers_who_hold_connections_leave_places_to_the_others() {
    let mut test = Test::with(locked(Some(PASSWORD))).await;
    let taken = test.take_all();
    let right = with_password("/session", OWN, PASSWORD, "");
    let known = talk(at(&test, [127, 0, 0, 9].into()).await, right.as_bytes()).await;
    let known = cookies(&known);
    // More machines than there are places, each with one connection that says nothing for a while.
    let mut held = Vec::new();
    for i in 0..80 {
        let mut stream = at(&test, [127, 0, 1, i].into()).await;
        drop(stream.write_all(b"GET / HTTP/1.1\r\nhost: lar").await);
        held.push(stream);
    }
    // A stranger finds no place, once all of them were taken.
    let page = request("GET", "/", "");
    let refused = async {
        loop {
            let answer = talk(at(&test, [127, 0, 2, 1].into()).await, page.as_bytes());
            if matches!(answer.await.status, 503 | 0) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), refused).await.expect("all places are taken");
    for _ in 0..5 {
        let page = request("GET", "/", &known);
        assert_eq!(
            talk(at(&test, [127, 0, 0, 9].into()).await, page.as_bytes()).await.text(),
            PAGE
        );
    }
    drop(held);
    test.end(taken).await;
}

#[tokio::test]
async fn it_is_locked_over_ipv6_too() {
    let settings = Settings { address: Some(Ipv6Addr::LOCALHOST.into()), ..locked(Some(PASSWORD)) };
    let mut test = Test::with(settings).await;
    assert!(test.at.is_ipv6());
    let taken = test.take_all();
    assert_eq!(test.get("/").await.status, 401);
    assert_eq!(test.post(OWN, &of_home(&get_wish(ID))).await.status, 401);
    assert_eq!(test.post("null", &of_home(&get_wish(ID))).await.status, 403);
    let host = format!("[::1]:{}", test.at.port());
    let by_number = |text: String| text.replace("larder.local:8080", &host);
    let right = by_number(with_password("/session", OWN, PASSWORD, ""));
    let answer = test.ask(right.as_bytes()).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
    let me = cookies(&answer);
    assert_eq!(test.get_with("/", &me).await.text(), PAGE);
    let told = test.session(&me).await;
    assert_eq!(told["sessions"][0]["from"], "::1");
    let wish = by_number(post_with(OWN, &of_home(&get_wish(ID)), &me));
    let answer = test.ask(wish.as_bytes()).await;
    answer.proved(told["proof"].as_str().unwrap());
    assert_eq!(test.post("null", &of_phone(&get_wish(ID))).await.status, 200);
    assert_eq!(test.end(taken).await, [(Origin::Home, 1), (phone(), 1)]);
}

#[tokio::test]
async fn an_owner_loop_that_fails_lets_nobody_in() {
    let mut test = open(HALF_AN_HOUR).await;
    let claim = with_password("/claim", OWN, PASSWORD, "");
    let (answer, ()) = tokio::join!(talk(connect(test.at).await, claim.as_bytes()), async {
        let command = test.commands.recv().await.unwrap();
        let Command::Claim { reply, .. } = command else { panic!("{command:?}") };
        drop(reply.send(Err("the drive is full".into())));
    });
    assert_eq!((answer.status, &answer.json()["why"]), (503, &"the drive is full".into()));
    assert!(answer.header("set-cookie").is_empty());
    test.commands.close();
    let answer = test.send_password("/claim", PASSWORD).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (503, ""));
}

#[tokio::test]
async fn the_use_of_a_session_is_noted_once_and_not_for_each_request() {
    let mut test = Test::with(locked(Some(PASSWORD))).await;
    let house = test.house.clone();
    let me = {
        let (me, ()) = tokio::join!(
            async {
                let answer = talk(
                    connect(test.at).await,
                    with_password("/session", OWN, PASSWORD, "").as_bytes(),
                )
                .await;
                cookies(&answer)
            },
            async {
                let command = test.commands.recv().await.unwrap();
                assert!(owner::obey(command, &house).is_none());
            }
        );
        me
    };
    for _ in 0..3 {
        assert_eq!(test.get_with("/", &me).await.status, 200);
    }
    assert!(test.commands.try_recv().is_err(), "it was used just now");
    house.send_modify(|house| {
        let access = Arc::make_mut(&mut house.access);
        access.sessions[0].used.0 -= 3_700 * 1_000_000_000;
    });
    for _ in 0..3 {
        assert_eq!(test.get_with("/", &me).await.status, 200);
    }
    let Command::Used { id, from, .. } = test.commands.try_recv().unwrap() else { panic!() };
    assert_eq!((&id, &*from), (&house.borrow().access.sessions[0].id, "127.0.0.1"));
    assert!(test.commands.try_recv().is_err(), "once");
    // After 30 days it has to sign in again.
    house.send_modify(|house| {
        let access = Arc::make_mut(&mut house.access);
        access.sessions[0].since.0 -= 30 * 86_400 * 1_000_000_000;
    });
    assert_eq!(test.get_with("/", &me).await.status, 401);
}

#[tokio::test]
async fn choosing_a_password_over_and_over_is_slowed_down() {
    let mut test = open(HALF_AN_HOUR).await;
    let mut tries = 0;
    let answer = loop {
        let claim = with_password("/claim", OWN, PASSWORD, "");
        let asked = talk(connect(test.at).await, claim.as_bytes());
        let answer = tokio::select! {
            answer = asked => break answer,
            command = test.commands.recv() => command.unwrap(),
        };
        // The drive does not take it, so that anybody may try again.
        drop(answer);
        tries += 1;
        assert!(tries < 50, "one may go on");
    };
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert!(answer.header("retry-after").parse::<u64>().unwrap() <= 7);
    assert!(tries >= 10, "{tries}");
    let other = connect_from(Ipv4Addr::new(127, 0, 0, 2), test.at).await;
    let claim = with_password("/claim", OWN, PASSWORD, "");
    let taken = test.take_all();
    assert_eq!(talk(other, claim.as_bytes()).await.status, 204, "nobody else waits");
    test.end(taken).await;
}

#[tokio::test]
async fn a_browser_keeps_its_guesses_and_loses_them_with_the_password() {
    let mut test = Test::with(locked(Some(PASSWORD))).await;
    let taken = test.take_all();
    let me = test.sign_in(PASSWORD).await;
    let known = |cookies: &str| cookies.split("larder-known=").nth(1).unwrap().trim().to_owned();
    for _ in 0..2 {
        let again = with_password("/session", OWN, PASSWORD, &me);
        let again = test.ask(again.as_bytes()).await;
        assert_eq!(again.status, 204);
        assert_eq!(known(&cookies(&again)), known(&me), "no further guesses with each sign-in");
    }
    // A guest of old has only the guesses of a stranger.
    test.settings.send_modify(|settings| settings.password = Some("another one".into()));
    guess(&test, Ipv4Addr::LOCALHOST.into(), "").await;
    assert_eq!(guess(&test, Ipv4Addr::LOCALHOST.into(), &me).await, 0);
    test.end(taken).await;
}

/// Reads a file until a session ends; the bytes that came, of 64 MiB.
async fn read_while(test: &Test, me: &str, end: impl AsyncFnOnce()) -> usize {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let mut stream = socket.connect(test.at).await.unwrap();
    stream.write_all(request("GET", "/files/film", me).as_bytes()).await.unwrap();
    let mut piece = vec![0; 64 << 10];
    let mut came = stream.read(&mut piece).await.unwrap();
    end().await;
    while let Ok(more @ 1..) = stream.read(&mut piece).await {
        came += more;
    }
    came
}

#[tokio::test]
async fn what_is_being_read_ends_with_the_session() {
    const ALL: usize = 64 << 20;
    let mut test = Test::with(locked(Some(PASSWORD))).await;
    let taken = test.take_all();
    std::fs::File::create(test.files().join("film")).unwrap().set_len(ALL as u64).unwrap();
    let me = test.sign_in(PASSWORD).await;
    assert!(read_while(&test, &me, async || {}).await > ALL, "it holds");
    let out = request("DELETE", "/session", &format!("origin: {OWN}\r\n{me}"));
    let signs_out = async || assert_eq!(test.ask(out.as_bytes()).await.status, 204);
    assert!(read_while(&test, &me, signs_out).await < ALL, "signed out");
    let me = test.sign_in(PASSWORD).await;
    let changes = async || {
        test.settings.send_modify(|settings| settings.password = Some("another one".into()));
    };
    assert!(read_while(&test, &me, changes).await < ALL, "another password");
    test.settings.send_modify(|settings| settings.readers = true);
    assert!(read_while(&test, "", async || {}).await > ALL, "everybody may read");
    test.end(taken).await;
}
