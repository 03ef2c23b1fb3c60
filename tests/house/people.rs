//! Other people: strangers with a real Syncthing of their own, who fetch, join, write, and are shown out.

use crate::home::House;
use crate::lab::{Party, content, noise, program, put, remove, until};
use larder::model::Action;
use larder::transport::{Folder, FolderId, Mode, Peer};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What comes over a line from the NAS.
pub(crate) struct Flow {
    passed: AtomicU64,
    most: AtomicU64,
}

impl Flow {
    fn free() -> Self {
        Self { passed: AtomicU64::new(0), most: AtomicU64::new(u64::MAX) }
    }

    /// Bytes that came so far.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Lets some more bytes through, and nothing after them until [`Flow::release`].
    pub(crate) fn hold_after(&self, bytes: u64) {
        self.most.store(self.passed() + bytes, Ordering::Relaxed);
    }

    /// Lets everything through again.
    pub(crate) fn release(&self) {
        self.most.store(u64::MAX, Ordering::Relaxed);
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream, bytes_a_second: u64) {
        let mut part = [0; 16 << 10];
        while let Ok(n @ 1..) = from.read(&mut part) {
            while self.passed() >= self.most.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
            }
            if to.write_all(&part[..n]).is_err() {
                break;
            }
            self.passed.fetch_add(n as u64, Ordering::Relaxed);
            std::thread::sleep(Duration::from_micros(n as u64 * 1_000_000 / bytes_a_second));
        }
        to.shutdown(std::net::Shutdown::Both).ok();
        from.shutdown(std::net::Shutdown::Both).ok();
    }
}

/// A slow line to a port: the address that leads through it, and what comes from there.
pub(crate) fn slow_line(to: u16, bytes_a_second: u64) -> (String, Arc<Flow>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let flow = Arc::new(Flow::free());
    let came = Arc::clone(&flow);
    std::thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { continue };
            let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
            std::thread::spawn(move || Flow::free().pass(near, far, u64::MAX));
            let came = Arc::clone(&came);
            std::thread::spawn(move || came.pass(back.0, back.1, bytes_a_second));
        }
    });
    (address, flow)
}

/// Somebody else, who knows the NAS, at the end of some line.
fn stranger(program: &Path, house: &House, address: Option<String>) -> Party {
    let mut party = Party::with(program, "stranger", |s| s.reconnect_s = 1);
    let address = address.unwrap_or_else(|| format!("tcp://127.0.0.1:{}", house.sync_port()));
    let peer = Peer { name: "Larder".into(), addresses: vec![address], untrusted: false };
    party.wanted.peers.insert(house.id(), peer);
    party.want();
    party
}

/// What the common page says of the share of a path.
fn on_page(house: &House, at: &str) -> Option<serde_json::Value> {
    let page = house.common();
    let shares = page.house["shares"].as_array()?;
    shares.iter().find(|share| share["path"] == at).cloned()
}

/// Adds what the page says to send to other people; where it comes to.
fn add(party: &mut Party, house: &House, at: &str, mode: Mode) -> PathBuf {
    let mut link = String::new();
    until("the page says what to send", || {
        link = on_page(house, at)
            .and_then(|s| Some(s["link"].as_str()?.to_owned()))
            .unwrap_or_default();
        link.contains("Folder ID: ")
    });
    let id = link.lines().find_map(|line| line.strip_prefix("Folder ID: ")).unwrap();
    assert!(link.contains(house.id().as_str()), "{link}");
    let path = party.path("theirs");
    std::fs::create_dir_all(&path).unwrap();
    let peers = BTreeMap::from([(house.id(), None)]);
    let folder = Folder { label: "theirs".into(), path: path.clone(), mode, peers };
    party.wanted.folders.insert(FolderId::new(id).unwrap(), folder);
    party.want();
    path
}

/// His Syncthing looks at everything.
fn look(party: &Party) {
    for folder in party.wanted.folders.keys() {
        party.handle().changed(folder, []);
    }
}

#[test]
fn a_shared_file_is_fetched_and_the_revoke_stops_it_on_the_way() {
    let Some(program) = program() else { return };
    let mut house = House::new(&program, &["HTCphone"]);
    let letter = noise(300_000, 3);
    let film = noise(60_000_000, 7);
    put(&house.drive("files"), "letter.txt", &letter);
    put(&house.drive("files"), "film.mp4", &film);
    house.start();
    let (slow, line) = slow_line(house.sync_port(), 3_000_000);
    let mut friend = stranger(&program, &house, Some(slow));
    let with = Some(format!("Friend {}", friend.id));

    let id = house.wish_with(Action::Share, "letter.txt", |w| w.with = with.clone());
    house.decided(&id);
    let theirs = add(&mut friend, &house, "letter.txt", Mode::SendReceive);
    until("the letter is there", || content(&theirs.join("letter.txt")) == letter);
    assert_eq!(on_page(&house, "letter.txt").unwrap()["people"][0], "Friend");
    // What he does to it stays with him.
    put(&theirs, "letter.txt", b"his");
    put(&theirs, "planted.txt", b"his");
    look(&friend);

    let mut other = stranger(&program, &house, Some(slow_line(house.sync_port(), 3_000_000).0));
    let id = house.wish_with(Action::Share, "film.mp4", |w| w.with = with.clone());
    house.decided(&id);
    friend.wanted.folders.clear();
    friend.want();
    let before = line.passed();
    let theirs = add(&mut friend, &house, "film.mp4", Mode::SendReceive);
    until("the film is on its way", || line.passed() - before > 6_000_000);
    assert!(!theirs.join("film.mp4").exists());
    let begun = Instant::now();
    let id = house.wish_with(Action::Revoke, "film.mp4", |_| {});
    house.decided(&id);
    let (answered, then) = (begun.elapsed(), line.passed());
    // Until two seconds pass without more than the sync engines' small talk.
    let (mut last, mut quiet) = (then, Instant::now());
    until("no bytes come any more", || {
        let now = line.passed();
        if now - last > 100_000 {
            (last, quiet) = (now, Instant::now());
        }
        quiet.elapsed() > Duration::from_secs(2)
    });
    let (stopped, more) = (quiet.duration_since(begun), line.passed() - then);
    println!(
        "revoke on the page -> answered {answered:?}, last bytes of the film {stopped:?}; \
         {more} bytes after the answer"
    );
    // What the sockets on the way held already, and not the other half of the film.
    assert!(more < 30_000_000, "{more}");
    std::thread::sleep(Duration::from_secs(2));
    assert!(!theirs.join("film.mp4").exists());
    assert_eq!(content(&house.drive("files/film.mp4")), film);
    assert_eq!(content(&house.drive("files/letter.txt")), letter, "send-only");
    assert!(!house.drive("files/planted.txt").exists());
    // Whoever was not let in gets nothing, whatever folder id he knows.
    let theirs = add(&mut other, &house, "letter.txt", Mode::SendReceive);
    until("somebody is told of him", || house.tells("asks to be let in"));
    std::thread::sleep(Duration::from_secs(3));
    assert!(!theirs.join("letter.txt").exists());
}

#[test]
fn people_join_a_folder_up_to_its_limit_and_keep_what_they_have_when_it_is_revoked() {
    let Some(program) = program() else { return };
    let mut house = House::new(&program, &["HTCphone"]);
    put(&house.drive("files"), "Band/song.txt", b"la");
    house.start();
    let mut friend = stranger(&program, &house, None);
    let id = house.wish_with(Action::ShareFolder, "Band", |w| {
        w.with = Some(format!("Friend {}", friend.id));
        w.limit_mb = Some(3);
    });
    house.decided(&id);
    let theirs = add(&mut friend, &house, "Band", Mode::SendReceive);
    until("the song is there", || content(&theirs.join("song.txt")) == b"la");

    // What he puts in is a master and on the page; the same bytes, not a copy.
    let begun = Instant::now();
    put(&theirs, "new/take one.wav", &noise(1_000_000, 5));
    look(&friend);
    let at_home = house.drive("files/Band/new/take one.wav");
    until("it is at home", || at_home.exists());
    let came = begun.elapsed();
    until("the page lists it", || house.common().files.contains_key("Band/new/take one.wav"));
    println!("put in by the other -> at home {came:?}, on the page {:?}", begun.elapsed());
    use std::os::unix::fs::MetadataExt as _;
    let both = [at_home, house.drive("shared/Band/new/take one.wav")];
    let inodes = both.map(|at| std::fs::metadata(at).unwrap().ino());
    assert_eq!(inodes[0], inodes[1]);
    // What is new at home goes to him; what he changes comes with its old version kept; what he
    // deletes stays at home.
    put(&house.drive("files"), "Band/dates.txt", b"friday");
    until("the dates are there", || content(&theirs.join("dates.txt")) == b"friday");
    put(&theirs, "song.txt", b"la la");
    remove(&theirs.join("dates.txt"));
    std::os::unix::fs::symlink("/etc/passwd", theirs.join("planted")).unwrap();
    look(&friend);
    until("the song is changed", || content(&house.drive("files/Band/song.txt")) == b"la la");
    until("the dates are not shared", || !house.drive("shared/Band/dates.txt").exists());
    until("an old version is kept", || {
        let page = house.common();
        page.house["versions"].as_array().is_some_and(|v| v.len() == 1)
    });
    assert_eq!(content(&house.drive("files/Band/dates.txt")), b"friday");

    // Past the limit it is held.
    put(&theirs, "long.wav", &noise(2_500_000, 9));
    look(&friend);
    until("it is full", || house.tells("Band is full"));
    until("the page says so", || on_page(&house, "Band").is_some_and(|s| s["full"] == true));
    // Said when it is decided; the sync engine follows.
    let sync = house.drive("../BTsyncApp/syncthing/config.xml");
    let only_sends = || String::from_utf8_lossy(&content(&sync)).contains("type=\"sendonly\"");
    until("nothing more is taken", only_sends);
    put(&theirs, "late.txt", b"late");
    look(&friend);
    put(&house.drive("files"), "Band/ours.txt", b"ours");
    until("ours is still sent", || content(&theirs.join("ours.txt")) == b"ours");
    std::thread::sleep(Duration::from_secs(2));
    assert!(!house.drive("files/Band/late.txt").exists(), "nothing is taken over the limit");
    let half = house.drive("files/Band/long.wav");
    assert!(!half.exists() || content(&half).len() == 2_500_000, "nothing is cut off half-way");
    // With a larger limit it goes on by itself.
    let id = house.wish_with(Action::ShareFolder, "Band", |w| w.limit_mb = Some(30));
    house.decided(&id);
    until("what waited is there", || content(&house.drive("files/Band/late.txt")) == b"late");
    until("all of it", || content(&half) == noise(2_500_000, 9));
    until("it is full no more", || !house.tells("is full"));
    until("his link came", || house.drive("shared/Band/planted").symlink_metadata().is_ok());
    assert!(house.drive("files/Band/planted").symlink_metadata().is_err());

    // Revoked: he keeps what he has, what he does from now on is his.
    let begun = Instant::now();
    let id = house.wish_with(Action::RevokeShare, "Band", |_| {});
    let text = house.decided(&id);
    println!("[revoke share] answered after {:?}: {text}", begun.elapsed());
    assert!(!house.drive("shared/Band").exists());
    let kept: Vec<String> = std::fs::read_dir(house.drive("shared"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(kept.len() == 1 && kept[0].starts_with("Band-revoked-"), "{kept:?}");
    let kept = house.drive("shared").join(&kept[0]);
    assert_eq!(content(&kept.join("song.txt")), b"la la");
    put(&theirs, "song.txt", b"later");
    look(&friend);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(content(&theirs.join("late.txt")), b"late");
    assert_eq!(content(&house.drive("files/Band/song.txt")), b"la la");
    assert!(on_page(&house, "Band").is_none());
}

#[test]
fn destroy_folder_empties_the_others_copies_and_leaves_a_note() {
    let Some(program) = program() else { return };
    let mut house = House::new(&program, &["HTCphone"]);
    for n in 0..30 {
        put(&house.drive("files"), &format!("Secret/{}/{n}.txt", n % 3), format!("{n}").as_bytes());
    }
    house.start();
    let mut friend = stranger(&program, &house, None);
    let with = Some(format!("Friend {}", friend.id));
    let id = house.wish_with(Action::ShareFolder, "Secret", |w| w.with = with);
    house.decided(&id);
    let theirs = add(&mut friend, &house, "Secret", Mode::SendReceive);
    until("all is there", || (0..30).all(|n| theirs.join(format!("{}/{n}.txt", n % 3)).exists()));
    put(&theirs, "1/his.txt", b"his");
    look(&friend);
    until("his is at home", || house.drive("files/Secret/1/his.txt").exists());
    // He is away when it is destroyed, engine and all; it reaches him when he is back.
    friend.stop();
    let id = house.wish_with(Action::DestroyFolder, "Secret", |_| {});
    house.decided(&id);
    house.kill();
    house.start();
    friend.start();
    let begun = Instant::now();
    let note = theirs.join("This folder was destroyed.txt");
    until("the note is there", || note.exists());
    let files = || {
        let mut names = Vec::new();
        let mut todo = vec![theirs.clone()];
        while let Some(dir) = todo.pop() {
            // His Syncthing is about to remove them.
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                let name = entry.file_name().into_string().unwrap();
                match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    true if name.starts_with(".st") => {}
                    true => todo.push(entry.path()),
                    false => names.push(name),
                }
            }
        }
        names.retain(|name| !name.starts_with('.'));
        names
    };
    until("nothing else is", || files().len() == 1);
    println!("destroyed folder: emptied {:?} after he was back", begun.elapsed());
    let text = String::from_utf8(content(&note)).unwrap();
    assert!(text.starts_with("This folder was destroyed by the owner. 2"), "{text}");
    // What he puts in now is not taken; the masters are all there.
    put(&theirs, "again.txt", b"again");
    look(&friend);
    std::thread::sleep(Duration::from_secs(2));
    assert!(!house.drive("files/Secret/again.txt").exists());
    assert!((0..30).all(|n| house.drive(&format!("files/Secret/{}/{n}.txt", n % 3)).exists()));
    assert_eq!(content(&house.drive("files/Secret/1/his.txt")), b"his");
    let id = house.wish_with(Action::RevokeShare, "Secret", |_| {});
    house.decided(&id);
    assert!(!house.drive("shared/Secret").exists());
}
