//! Makes catalogue pages of generated families of files, for the browser tests and to look at.
//!
//! `cargo run --example page -- --files 3000 --out build/pages [--case NAME] [--seed N]
//! [--now SECONDS] [--home URL]`
//! Cases: `plain` (default), `empty`, `hostile`, `news` (answers, notices, versions, shares),
//! `log` (a change is appended to a base), `wide` (nine devices), `child` (may only get and open),
//! `tight` (the phone is nearly full, files made room lately, some share a content), `twins` (so
//! does most of what the phone has and lacks), `mass_change` (the tablet changes much more than ever),
//! `own-mass_change` (the phone does), `unlisted` (more files have older versions than a page lists).
//! Writes `catalogue/catalogue.html` (the page of HTCphone), `home/catalogue.html` (the common
//! page) and says on one line what it cost.
#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::unwrap_used)]

use larder::catalogue::{
    Answered, AskingView, DeviceView, Encoder, FIRST_TO_GO, Held, Live, MassChangeView, PageOf,
    Room, ShareView, Twins, VersionView, View,
};
use larder::model::{
    Action, Answer, Bytes, DeviceName, FileId, Holder, Link, RelPath, Stat, Time, Tree, WishId,
};
use larder::plan::{Evicted, Fact, Keep, Oldest, World};
use larder::status::machine::{Load, Machine, Memory};
use larder::status::{Condition, Notice, Report};
use std::collections::{BTreeMap, BTreeSet};
use std::io::BufWriter;
use std::path::PathBuf;
use std::time::Instant;

/// Nobody's device.
const STRANGER: &str = "MFZWI3D-BONSGYC-YLTMRWG-C43ENR5-QXGZDMM-FZWI3DP-BONSGYY-LTMRWAD";

const PLACES: [&str; 12] = [
    "Garden",
    "Lake",
    "Birthday",
    "Istanbul",
    "Mountains",
    "Grandparents",
    "Snow",
    "Market",
    "Harbour",
    "School play",
    "Picnic",
    "Old town",
];
const WORDS: [&str; 24] = [
    "Tower", "Blue", "Sea", "River", "Lantern", "Winter", "Slow", "Train", "Paper", "Orchard",
    "Copper", "Window", "Morning", "Bridge", "Kite", "Salt", "Velvet", "Echo", "Harvest", "Moss",
    "Signal", "Island", "Amber", "Quiet",
];

/// The moment that `--now` says, else this one: the pages are opened by people and say "today".
fn now() -> i64 {
    static MOMENT: std::sync::LazyLock<i64> = std::sync::LazyLock::new(|| {
        let given = std::env::args().skip_while(|a| a != "--now").nth(1);
        given.map_or_else(|| jiff::Timestamp::now().as_second(), |secs| secs.parse().unwrap())
    });
    *MOMENT
}

/// SplitMix64: small, and the same everywhere.
struct Lot(u64);

impl Lot {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }
}

/// A family's drive: photos by year and event, music by artist and album, documents, projects.
fn family(files: usize, lot: &mut Lot) -> Tree<Stat> {
    let mut tree = Tree::new();
    let mut ino = 100;
    let mut put = |tree: &mut Tree<Stat>, path: String, size: u64, mtime: i64| {
        ino += 1;
        let id = FileId { ino, size, mtime: Time::from_secs(mtime) };
        tree.insert(&RelPath::new(path.as_bytes()).unwrap(), Stat { id, ..Stat::default() });
    };
    while tree.len() < files {
        let room = (files - tree.len()) as u64;
        match lot.below(20) {
            0..12 => {
                let year = 2004 + lot.below(22);
                let (month, day) = (1 + lot.below(12), 1 + lot.below(28));
                let place = lot.one(&PLACES);
                let folder = format!("Photos/{year}/{year}-{month:02}-{day:02} {place}");
                let mut at = (year as i64 - 1970) * 31_556_952
                    + month as i64 * 2_629_746
                    + day as i64 * 86_400;
                let style = lot.below(3);
                let first = lot.below(9000);
                for n in 0..(8 + lot.below(80)).min(room) {
                    at += 5 + lot.below(400) as i64;
                    let size = 900_000 + lot.below(6_000_000);
                    let (h, m, s) = (at / 3600 % 24, at / 60 % 60, at % 60);
                    let name = match style {
                        0 => format!("DSC_{:04}.JPG", first + n),
                        1 => format!("IMG_{year}{month:02}{day:02}_{h:02}{m:02}{s:02}.jpg"),
                        _ => format!("IMG-{year}{month:02}{day:02}-WA{n:04}.jpg"),
                    };
                    put(&mut tree, format!("{folder}/{name}"), size, at);
                }
            }
            12..16 => {
                let artist = format!("The {} {}s", lot.one(&WORDS), lot.one(&WORDS));
                let album = format!("{} {}", lot.one(&WORDS), lot.one(&WORDS));
                let at = 1_100_000_000 + lot.below(600_000_000) as i64;
                for n in 1..=(6 + lot.below(12)).min(room) {
                    let title =
                        format!("{} {} {}", lot.one(&WORDS), lot.one(&WORDS), lot.one(&WORDS));
                    let size = 3_000_000 + lot.below(9_000_000);
                    put(
                        &mut tree,
                        format!("Music/{artist}/{album}/{n:02} - {title}.mp3"),
                        size,
                        at + n as i64,
                    );
                }
            }
            16..19 => {
                let folder = lot.one(&["Letters", "House", "Tax", "School", "Recipes", "Travel"]);
                let year = 2010 + lot.below(16);
                for _ in 0..(3 + lot.below(20)).min(room) {
                    let kind = lot.one(&["pdf", "txt", "odt", "xlsx"]);
                    let name =
                        format!("{} {} {}.{kind}", lot.one(&WORDS), lot.one(&WORDS), lot.below(90));
                    let at = (year as i64 - 1970) * 31_556_952 + lot.below(31_000_000) as i64;
                    put(
                        &mut tree,
                        format!("Documents/{folder}/{year}/{name}"),
                        2_000 + lot.below(3_000_000),
                        at,
                    );
                }
            }
            _ => {
                let project = format!("{}{}", lot.one(&WORDS), lot.below(40));
                for _ in 0..(4 + lot.below(30)).min(room) {
                    let kind = lot.one(&["js", "rs", "html", "zip", "png"]);
                    let name =
                        format!("{}{}.{kind}", lot.one(&WORDS).to_lowercase(), lot.one(&WORDS));
                    let at = 1_500_000_000 + lot.below(290_000_000) as i64;
                    put(
                        &mut tree,
                        format!("Projects/{project}/{name}"),
                        200 + lot.below(90_000),
                        at,
                    );
                }
            }
        }
    }
    tree
}

/// Names that would do harm where a page trusts them.
fn hostile() -> Tree<Stat> {
    let names: [&[u8]; 16] = [
        b"<script>window.pwned=1</script>.txt",
        b"<img src=x onerror=window.pwned=1>.jpg",
        b"</script><script>window.pwned=1</script>",
        b"\"><svg onload=window.pwned=1>.svg",
        b"javascript:window.pwned=1",
        b"<!--WORKLIST-BEGIN-->",
        b"{{ 7*7 }}${7*7}",
        b"a\nb\r\tc.txt",
        b"\x1b[31mred.txt",
        b"not utf-8 \xff\xfe\x80.bin",
        "gpj.\u{202e}exe".as_bytes(),
        "\u{5e9}\u{5dc}\u{5d5}\u{5dd}.txt".as_bytes(),
        "Cafe\u{301} & Bar #1?x=%2e%2e.pdf".as_bytes(),
        b"back\\slash:star*.txt",
        b" leading and trailing ",
        &[b'x'; 255],
    ];
    let mut tree = Tree::new();
    for (i, name) in names.iter().enumerate() {
        for folder in [&b""[..], b"<b>folder</b> & \xf0\x28"] {
            let mut path = folder.to_vec();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            let id = FileId {
                ino: i as u64 + 1,
                size: 10 + i as u64,
                mtime: Time::from_secs(now() - 99_999),
            };
            tree.insert(&RelPath::new(&path).unwrap(), Stat { id, ..Stat::default() });
        }
    }
    tree
}

/// A device that holds whole folders by lot, and so many of every thousand other files.
fn links(files: &Tree<Stat>, lot: &mut Lot, folders: u64, single: u64) -> Tree<Link> {
    let mut links = Tree::new();
    files.for_each_dir(Tree::<Stat>::ROOT, |dir, path| {
        let all = lot.below(100) < folders;
        let mut at = None;
        for (name, id) in files.files(dir) {
            if all || lot.below(1000) < single {
                let to = *at.get_or_insert_with(|| links.insert_dir(&RelPath::new(path).unwrap()));
                let charge = Bytes(id.id.size.next_multiple_of(4_096));
                // Folder after folder, over most of a year.
                let used = now() - (id.id.ino / 40 * 37 % 300) as i64 * 86_400;
                links.insert_in(to, name, Link { id: id.id, charge, used });
            }
        }
    });
    links
}

/// Films by their contents: size, names, and how many seconds ago the phone last used the first of them.
const FILMS: [(u64, &[&str], Option<i64>); 7] = [
    (5_000_000_000, &["Films/Long film.mkv", "Copies/Long film.mkv"], Some(50)),
    (600_000_000, &["Films/Second film.mkv", "Copies/Second film.mkv"], Some(90)),
    (1_000_000_000, &["Films/Old film.mkv", "Mixed/Old film.mkv"], Some(9_000)),
    (300_000_000, &["Films/Young film.mkv"], Some(70)),
    (
        1_000_000_000,
        &["Trip/First name.mkv", "Trip/Second name.mkv", "Trip again/Third name.mkv"],
        None,
    ),
    (1_200_000_000, &["Mixed/New film.mkv"], None),
    (6_000_000_000, &["Films/Longest film.mkv"], None),
];

/// Puts the films at home and says what the phone has of them.
fn films(files: &mut Tree<Stat>, twins: &mut Twins) -> Tree<Link> {
    let mut phone = Tree::new();
    for ((size, names, used), ino) in FILMS.into_iter().zip(1..) {
        let id = FileId { ino, size, mtime: Time::from_secs(now() - 9_999_999) };
        let names: Vec<RelPath> = names.iter().map(|name| path(name)).collect();
        for name in &names {
            files.insert(name, Stat { id, ..Stat::default() });
        }
        if let Some(ago) = used {
            let charge = Bytes(size.next_multiple_of(4_096));
            phone.insert(&names[0], Link { id, charge, used: now() - ago });
        }
        if names.len() > 1 {
            twins.groups.push(names);
        }
    }
    phone
}

struct Args {
    files: usize,
    out: PathBuf,
    case: String,
    seed: u64,
    home: String,
}

fn args() -> Args {
    let mut args = Args {
        files: 2400,
        out: "build/pages".into(),
        case: "plain".into(),
        seed: 7,
        home: String::new(),
    };
    let mut given = std::env::args().skip(1);
    while let (Some(key), Some(value)) = (given.next(), given.next()) {
        match key.as_str() {
            "--files" => args.files = value.parse().unwrap(),
            "--out" => args.out = value.into(),
            "--case" => args.case = value,
            "--seed" => args.seed = value.parse().unwrap(),
            "--home" => args.home = value,
            "--now" => {}
            other => panic!("unknown option {other}"),
        }
    }
    args
}

fn path(text: &str) -> RelPath {
    RelPath::new(text.as_bytes()).unwrap()
}

fn main() {
    let args = args();
    let mut lot = Lot(args.seed);
    let mut files = match args.case.as_str() {
        "empty" => Tree::new(),
        "hostile" => hostile(),
        _ => family(args.files, &mut lot),
    };
    if args.case == "plain" || args.case == "news" {
        files.insert_dir(&path("Empty folder"));
    }
    let tight = args.case == "tight";
    let mut twins = Twins::default();
    if tight {
        let mut some = Vec::new();
        files.for_each(Tree::<Stat>::ROOT, |at, stat| {
            if some.len() < 3 {
                some.push((RelPath::new(at).unwrap(), *stat));
            }
        });
        for (at, stat) in some {
            let name = String::from_utf8_lossy(at.name().unwrap()).into_owned();
            let twin = path(&format!("Documents/Copies/{name}"));
            files.insert(&twin, stat);
            twins.groups.push(vec![at, twin]);
        }
    }
    let films = (args.case == "twins").then(|| films(&mut files, &mut twins));
    let mut known = vec![
        ("HTCphone", "Phone", 12, 8, Some(Bytes(8_000_000_000))),
        ("LinuxLaptop", "Laptop", 30, 40, None),
        ("tablet", "Tablet", 2, 1, Some(Bytes(32_000_000_000))),
        ("win7Laptop", "Desk computer", 20, 60, Some(Bytes(250_000_000_000))),
    ];
    if args.case == "wide" {
        let more = ["aunt", "garage", "kitchen", "oldphone", "vault"];
        known.extend(more.map(|name| (name, name, 5, 50, None)));
    }
    known.sort_by_key(|d| d.0);
    let names: Vec<DeviceName> = known.iter().map(|d| DeviceName::new(d.0).unwrap()).collect();
    let mut books: Vec<Tree<Link>> =
        known.iter().map(|d| links(&files, &mut lot, d.2, d.3)).collect();
    let mut pins = BTreeSet::new();
    let mut follows = BTreeSet::new();
    let mut live: Vec<BTreeMap<RelPath, Live>> = vec![BTreeMap::new(); books.len()];
    for (d, links) in books.iter().enumerate() {
        let mut n = 0;
        links.for_each(Tree::<Link>::ROOT, |at, _| {
            n += 1;
            let at = RelPath::new(at).unwrap();
            if d == 0 && n == 5 {
                pins.insert(at.clone());
                follows.insert(at.parent().unwrap());
            }
            if n % 97 == 0 && n < 600 && d == 0 {
                live[d].insert(at, if n % 2 == 0 { Live::Queued } else { Live::Syncing(50) });
            } else if n % 301 == 0 && n < 1000 {
                live[d].insert(at, Live::Syncing(30));
            }
        });
    }
    if let Some(films) = films {
        books[0] = films;
        (pins, follows) = ([path("Films/Long film.mkv")].into(), BTreeSet::new());
        live[0] = [(path("Films/Second film.mkv"), Live::Syncing(50))].into();
    }
    let none = BTreeSet::new();
    let of_devices = Action::of_devices();
    let used: Vec<u64> = books
        .iter()
        .map(|links| {
            let mut sum = 0;
            links.for_each(Tree::<Link>::ROOT, |_, link| sum += link.charge.0);
            sum
        })
        .collect();
    let quotas: Vec<Option<Bytes>> = (0..books.len())
        .map(|d| match known[d].4 {
            Some(_) if tight && d == 0 => Some(Bytes(used[0] + 20_000_000)),
            quota => quota.map(|q| Bytes(q.0.max(used[d]))),
        })
        .collect();
    // As the engine makes them.
    let rooms: Vec<Option<Room>> = (0..books.len())
        .map(|d| {
            let mut world = World::default();
            world.files = files.clone();
            books[d].for_each(Tree::<Link>::ROOT, |at, link| {
                let at = RelPath::new(at).unwrap();
                world.note(&Fact::Link(names[d].clone().into(), at, *link));
            });
            let replica = world.replicas.entry(names[d].clone().into()).or_default();
            if d == 0 {
                replica.pins.clone_from(&pins);
            }
            replica.live.clone_from(&live[d]);
            let oldest = Oldest::on(&world, world.device(&names[d]).unwrap(), Keep::default());
            let held = oldest.held;
            let first = oldest.take(FIRST_TO_GO);
            let first = first.map(|(cost, links)| (cost, links.into_iter().map(|l| l.0).collect()));
            quotas[d].map(|_| Room {
                may_go: held.may_go,
                pinned: held.pinned,
                unsaved: held.unsaved,
                moving: held.moving,
                first: first.collect(),
            })
        })
        .collect();
    let mut evicted = Vec::new();
    files.for_each(Tree::<Stat>::ROOT, |at, stat| {
        let at = RelPath::new(at).unwrap();
        if evicted.len() < 50 && stat.id.ino % 11 == 0 && books[0].get(&at).is_none() {
            let when = Time::from_secs(now() - 3_000 * evicted.len() as i64);
            evicted.push(Evicted { path: at, size: Bytes(stat.id.size), at: when });
        }
    });
    let mut all = 0;
    files.for_each(Tree::<Stat>::ROOT, |_, stat| all += stat.id.size);

    let first = {
        let mut found = RelPath::root();
        files.for_each(Tree::<Stat>::ROOT, |at, _| {
            if found.is_root() {
                found = RelPath::new(at).unwrap();
            }
        });
        found
    };
    let stormy = match args.case.as_str() {
        "storm" => Some("tablet"),
        "own-storm" => Some("HTCphone"),
        _ => None,
    };
    let mass_changes: Vec<MassChangeView> = stormy
        .map(|device| MassChangeView {
            device: Holder::decode(device).unwrap(),
            at: Time::from_secs(now() - 900),
            rewritten: 212,
            deleted: 30,
            created: 213,
            some: (1..13).map(|n| path(&format!("Photos/2012/DSC_{n:04}.JPG.locked"))).collect(),
        })
        .into_iter()
        .collect();
    let news = args.case == "news";
    let mut report = Report {
        address: (!args.home.is_empty()).then(|| args.home.clone()),
        space: Some((Bytes(612_345_678_901), Bytes(2_700_000_000_000))),
        machine: Machine {
            memory: Some(Memory { used: Bytes(210_400_000), total: Bytes(969_932_800) }),
            load: Load::new(0.31),
            temperature: Some(51),
            disk: None,
        },
        ..Report::default()
    };
    let (mut versions, mut shares, mut held, mut answers) = (vec![], vec![], vec![], vec![]);
    if args.case == "unlisted" {
        // A folder of photos that was destroyed, and a letter that was edited before.
        let destroyed =
            (1..=1_001).map(|n| (path(&format!("Photos/2003/IMG_{n:04}.JPG")), "destroyed", n));
        let edited = (first.clone(), "changed on Laptop", 90_000);
        versions.extend(destroyed.chain([edited]).zip(1..).map(|((path, why, ago), id)| {
            VersionView {
                id,
                path,
                at: Time::from_secs(now() - ago),
                size: Bytes(23_000 + id),
                why: why.into(),
                until: Time::from_secs(now() + 80_000),
            }
        }));
    }
    if news {
        report.notices.push(Notice {
            at: Time::from_secs(now() - 600),
            condition: Condition::SettingsError,
            what: "larder.toml, line 12: unknown key `qouta`".into(),
            next: "Did you mean `quota`? The settings from before stay in force until then.".into(),
        });
        held.push(Held { device: names[0].clone().into(), path: path("Photos"), files: 212 });
        for (n, why) in ["changed on Laptop", "changed on Phone"].iter().enumerate() {
            versions.push(VersionView {
                id: 40 + n as u64,
                path: first.clone(),
                at: Time::from_secs(now() - 90_000 * (n as i64 + 1)),
                size: Bytes(48_000 + n as u64),
                why: (*why).into(),
                until: Time::from_secs(now() + 2_500_000 - 90_000 * n as i64),
            });
        }
        versions.push(VersionView {
            id: 39,
            path: path("Documents/Letters/To the bank.odt"),
            at: Time::from_secs(now() - 5_000),
            size: Bytes(23_000),
            why: "destroyed".into(),
            until: Time::from_secs(now() + 80_000),
        });
        // Saved every minute a while ago, more often than the page has room for.
        versions.extend((0..1_500).map(|n| VersionView {
            id: 1_000 + n,
            path: first.clone(),
            at: Time::from_secs(now() - 300_000 - 60 * n as i64),
            size: Bytes(23_000 + n),
            why: "changed on Laptop".into(),
            until: Time::from_secs(now() + 2_300_000 - 60 * n as i64),
        }));
        shares.push(ShareView {
            path: first.clone(),
            with: "the neighbours".into(),
            at: Time::from_secs(now() - 400_000),
            link: format!("Device ID: {STRANGER}\nFolder ID: k3fq2mbtx7wnzr5ydhs4cpaegj"),
            folder: false,
            name: "c191687881d9345c914186591ea850f7c1efb63c-2026-11-20-101500".into(),
            people: vec!["the neighbours".into()],
            used: Bytes(0),
            limit: None,
            full: false,
            destroyed: None,
        });
        for (n, folder) in ["Photos", "Music", "Documents"].into_iter().enumerate() {
            shares.push(ShareView {
                path: path(folder),
                with: ["the band", "", "work"][n].into(),
                at: Time::from_secs(now() - 700_000),
                link: format!("Device ID: {STRANGER}\nFolder ID: k3fq2mbtx7wnzr5ydhs4cpaeg{n}"),
                folder: true,
                name: folder.into(),
                people: [vec!["the band".into(), "the choir".into()], vec![], vec!["work".into()]]
                    [n]
                    .clone(),
                used: Bytes([498_000_000, 12_000_000, 0][n]),
                limit: [Some(Bytes(500_000_000)), None, Some(Bytes(50_000_000))][n],
                full: n == 0,
                destroyed: (n == 2).then(|| Time::from_secs(now() - 3_600)),
            });
        }
        for (n, (action, answer)) in [
            (Action::Get, Answer::Waiting("Waiting for Phone to come into reach.".into())),
            (
                Action::Destroy,
                Answer::Refused(
                    "It changed after you saw it. Look at it again, then wish once more.".into(),
                ),
            ),
            (Action::Pin, Answer::Done("It stays on Phone.".into())),
        ]
        .into_iter()
        .enumerate()
        {
            answers.push(Answered {
                id: WishId::parse(&format!("{n:020x}")).unwrap(),
                action: Some(action),
                path: first.clone(),
                answer,
                at: Time::from_secs(now() - 60 * (n as i64 + 1)),
            });
        }
    }
    let people = args.case == "people";
    let id = |letter: &str| [letter; 8].map(|l| l.repeat(7)).join("-");
    let mut asking = Vec::new();
    if people {
        report.device_id = Some(id("N"));
        for (letter, name, refused) in
            [("A", "Pixel 9 of \u{202e}the child", false), ("B", "Somebody", true)]
        {
            asking.push(AskingView {
                id: id(letter),
                name: name.into(),
                address: "192.168.1.23:22000".into(),
                since: Some(Time::from_secs(now() - 300)),
                refused,
            });
        }
        shares.push(ShareView {
            path: first.clone(),
            with: "the neighbours".into(),
            at: Time::from_secs(now() - 400_000),
            link: format!("Device ID: {}\nFolder ID: {}", id("N"), "f".repeat(26)),
            folder: false,
            name: "c191687881d9345c914186591ea850f7c1efb63c-2026-11-20-235959".into(),
            people: vec!["the neighbours".into()],
            used: Bytes(0),
            limit: None,
            full: false,
            destroyed: None,
        });
    }
    let make = |files: &Tree<Stat>, encoder: &mut Encoder, generation| {
        let devices: Vec<DeviceView<'_>> = (0..books.len())
            .map(|d| DeviceView {
                name: &names[d],
                label: known[d].1,
                links: &books[d],
                pins: if d == 0 { &pins } else { &none },
                follows: if d == 0 { &follows } else { &none },
                live: &live[d],
                used: Bytes(used[d]),
                quota: quotas[d],
                room: rooms[d].as_ref(),
                evicted: if d == 0 { &evicted } else { &[] },
                last_seen: (people && d == 0).then(|| Time::from_secs(now() - 23 * 86_400)),
                connected: people && d == 2,
                address: (people && d == 2).then_some("192.168.1.7:22000"),
                has_id: !(people && d == 1),
                let_in: people && d == 2,
            })
            .collect();
        let view = View {
            nas_name: "NAS",
            files,
            devices: &devices,
            report: &report,
            versions: &versions,
            shares: &shares,
            asking: &asking,
            held: &held,
            mass_changes: &mass_changes,
            twins: &twins,
            undo: if news { 86_400 } else { 0 },
            now: Time::from_secs(now() + generation),
        };
        let start = Instant::now();
        encoder.update(&view).unwrap();
        let updated = start.elapsed();
        let common = PageOf {
            device: None,
            page_id: "home0001",
            key: None,
            generation: generation as u64,
            answers: &[],
            harvested: &[],
            may: if args.case == "child" { &[Action::Get, Action::Open] } else { &Action::ALL },
        };
        let phone = names.iter().find(|n| n.as_str() == "HTCphone").unwrap();
        let own = PageOf {
            device: Some(phone),
            page_id: "home0001-HTCphone",
            key: Some("phone-secret"),
            answers: &answers,
            may: if args.case == "child" { common.may } else { &of_devices },
            ..common
        };
        let start = Instant::now();
        let mut size = 0;
        for (of, folder) in [(&own, "catalogue"), (&common, "home")] {
            let page = encoder.page(of).unwrap();
            let folder = args.out.join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            let file = folder.join("catalogue.html");
            let mut out = BufWriter::new(std::fs::File::create(&file).unwrap());
            page.write_to(&mut out).unwrap();
            drop(out);
            size = file.metadata().unwrap().len();
        }
        println!(
            "{} files, page {size} bytes ({:.2} a file; data {}, log {}), update {:.1} ms, two pages written {:.1} ms",
            files.len(),
            size as f64 / files.len().max(1) as f64,
            encoder.data_len(),
            encoder.log_len(),
            updated.as_secs_f64() * 1e3,
            start.elapsed().as_secs_f64() * 1e3,
        );
    };
    let mut encoder = Encoder::new();
    make(&files, &mut encoder, 1);
    make(&files, &mut encoder, 2);
    if args.case == "log" {
        let id = FileId { ino: 1, size: 4242, mtime: Time::from_secs(now()) };
        files.insert(&path("Photos/2012/added later.jpg"), Stat { id, ..Stat::default() });
        files.insert(&path("A new folder/inside/new.txt"), Stat { id, ..Stat::default() });
        files.remove(&first);
        files.remove_dir(&path("Photos/2004"));
        make(&files, &mut encoder, 3);
    }
    // What a browser test opens.
    let opened = args.out.join("files").join("Photos");
    std::fs::create_dir_all(opened).unwrap();
}
