//! The room as a whole: what goes in comes out again by a decoder that knows only the format.

use super::*;
use crate::status::machine::{Load, Machine};
use crate::status::{Condition, Notice};
use base64::Engine as _;
use proptest::prelude::*;
use sha2::Digest;
use std::io::Read;

/// A house in plain maps.
#[derive(Clone, Default)]
struct House {
    files: BTreeMap<Vec<u8>, (u64, i64)>,
    folders: BTreeSet<Vec<u8>>,
    devices: Vec<BTreeMap<Vec<u8>, Option<Live>>>,
    report: Report,
}

/// What a page says: files with size, mtime and one state a device; folders with their own sums.
#[derive(PartialEq, Eq, Debug, Default)]
struct Told {
    files: BTreeMap<Vec<u8>, (u64, i64, Vec<u8>)>,
    folders: BTreeMap<Vec<u8>, walk::Sums>,
}

fn path(bytes: &[u8]) -> RelPath {
    RelPath::new(bytes).unwrap()
}

fn parent(bytes: &[u8]) -> Vec<u8> {
    path(bytes).parent().unwrap().as_bytes().to_vec()
}

impl House {
    fn update(&self, encoder: &mut Encoder, now: i64) -> bool {
        let mut files = Tree::new();
        for folder in &self.folders {
            files.insert_dir(&path(folder));
        }
        for (at, (size, mtime)) in &self.files {
            let id = crate::model::FileId { ino: 1, size: *size, mtime: Time::from_secs(*mtime) };
            files.insert(&path(at), Stat { id, ..Stat::default() });
        }
        let names: Vec<DeviceName> = (0..self.devices.len())
            .map(|d| DeviceName::new(&format!("d{d:02}")).unwrap())
            .collect();
        let mut books = Vec::new();
        let mut lives = Vec::new();
        for device in &self.devices {
            let (mut links, mut live) = (Tree::new(), BTreeMap::new());
            for (at, way) in device {
                links.insert(&path(at), Link::default());
                if let Some(way) = way {
                    live.insert(path(at), *way);
                }
            }
            books.push(links);
            lives.push(live);
        }
        let none = BTreeSet::new();
        let devices: Vec<_> = (0..names.len())
            .map(|d| DeviceView {
                name: &names[d],
                label: "</script><!-- a label",
                links: &books[d],
                pins: &none,
                follows: &none,
                live: &lives[d],
                used: Bytes(1),
                quota: None,
                room: None,
                evicted: &[],
                last_seen: None,
                connected: false,
                address: None,
                has_id: true,
                let_in: false,
            })
            .collect();
        let view = View {
            nas_name: "NAS",
            files: &files,
            devices: &devices,
            report: &self.report,
            versions: &[],
            shares: &[],
            asking: &[],
            held: &[],
            mass_changes: &[],
            twins: &Twins::default(),
            undo: 0,
            now: Time::from_secs(now),
        };
        encoder.update(&view).unwrap()
    }

    /// What a page must say of it.
    fn told(&self) -> Told {
        let mut told = Told::default();
        let mut folders: BTreeSet<Vec<u8>> = self.folders.clone();
        folders.extend(self.files.keys().map(|at| parent(at)));
        for folder in folders {
            let all = path(&folder).ancestors().into_iter().chain([path(&folder)]);
            for at in all {
                let empty =
                    walk::Sums { devices: vec![(0, 0); self.devices.len()], ..Default::default() };
                told.folders.insert(at.as_bytes().to_vec(), empty);
            }
        }
        let root = walk::Sums { devices: vec![(0, 0); self.devices.len()], ..Default::default() };
        told.folders.entry(Vec::new()).or_insert(root);
        for (at, (size, mtime)) in &self.files {
            let states: Vec<u8> = self
                .devices
                .iter()
                .map(|device| match device.get(at) {
                    None => 0,
                    Some(None) => 1,
                    Some(Some(_)) => 2,
                })
                .collect();
            let sums = told.folders.get_mut(&parent(at)).unwrap();
            sums.newest = if sums.files == 0 { *mtime } else { sums.newest.max(*mtime) };
            sums.files += 1;
            sums.bytes += size;
            for (d, state) in states.iter().enumerate() {
                sums.devices[d].0 += u64::from(*state == 1);
                sums.devices[d].1 += u64::from(*state == 2);
            }
            told.files.insert(at.clone(), (*size, *mtime, states));
        }
        told
    }
}

// The decoder, written from the descriptions of the format alone.

fn inflate(block: &str) -> Vec<u8> {
    let packed = base64::engine::general_purpose::STANDARD.decode(block.trim()).unwrap();
    let mut raw = Vec::new();
    flate2::read::DeflateDecoder::new(&packed[..]).read_to_end(&mut raw).unwrap();
    raw
}

struct In<'a>(&'a [u8]);

impl In<'_> {
    fn uint(&mut self) -> u64 {
        let mut value = 0u128;
        let mut shift = 0;
        loop {
            let b = self.0[0];
            self.0 = &self.0[1..];
            value |= u128::from(b & 127) << shift;
            shift += 7;
            if b < 128 {
                return u64::try_from(value).unwrap();
            }
        }
    }

    fn int(&mut self) -> i64 {
        let value = i128::from(self.uint());
        i64::try_from(if value % 2 == 0 { value / 2 } else { -(value + 1) / 2 }).unwrap()
    }

    fn bytes(&mut self, n: u64) -> Vec<u8> {
        let (head, rest) = self.0.split_at(n as usize);
        self.0 = rest;
        head.to_vec()
    }

    fn column(&mut self, n: u64) -> Vec<u64> {
        (0..n).map(|_| self.uint()).collect()
    }

    fn running(&mut self, n: u64) -> Vec<i64> {
        let mut at = 0i64;
        (0..n)
            .map(|_| {
                at = at.wrapping_add(self.int());
                at
            })
            .collect()
    }

    fn names(&mut self, n: u64) -> Vec<Vec<u8>> {
        let (shared, own) = (self.column(n), self.column(n));
        let mut last = Vec::new();
        (0..n as usize)
            .map(|i| {
                last.truncate(shared[i] as usize);
                last.extend(self.bytes(own[i]));
                last.clone()
            })
            .collect()
    }
}

fn between<'t>(text: &'t str, open: &str, close: &str) -> Vec<&'t str> {
    text.split(open).skip(1).map(|part| part.split(close).next().unwrap()).collect()
}

fn unfold(states: &[u8], devices: u64) -> Vec<u8> {
    (0..devices as usize).map(|d| states[d / 4] >> (2 * (d % 4)) & 3).collect()
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let mut all = folder.to_vec();
    if !all.is_empty() {
        all.push(b'/');
    }
    all.extend(name);
    all
}

fn read(page: &str) -> Told {
    let blocks = between(page, "<script type=\"text/plain\" class=\"data\">", "</script>");
    let raw = inflate(blocks[0]);
    let mut skeleton = In(&raw);
    let (devices, folders, sections) = (skeleton.uint(), skeleton.uint(), skeleton.uint());
    let planes = devices.div_ceil(4);
    let counts = skeleton.column(sections);
    assert_eq!(sections as usize, blocks.len() - 1);
    let mut files = Vec::new();
    for (block, count) in blocks[1..].iter().zip(counts) {
        let raw = inflate(block);
        let mut section = In(&raw);
        let n = section.uint();
        assert_eq!(n, count);
        let (names, sizes, mtimes) = (section.names(n), section.column(n), section.running(n));
        let columns: Vec<_> = (0..planes).map(|_| section.bytes(n)).collect();
        assert!(section.0.is_empty());
        for i in 0..n as usize {
            let states: Vec<u8> = columns.iter().map(|column| column[i]).collect();
            files.push((names[i].clone(), sizes[i], mtimes[i], states));
        }
    }
    let depths = skeleton.column(folders);
    let names = skeleton.names(folders);
    let (own, bytes) = (skeleton.column(folders), skeleton.column(folders));
    let newest = skeleton.running(folders);
    let devices_columns: Vec<_> =
        (0..devices).map(|_| (skeleton.column(folders), skeleton.column(folders))).collect();
    assert!(skeleton.0.is_empty());

    type File = (Vec<u8>, u64, i64, Vec<u8>);
    let mut told: BTreeMap<Vec<u8>, (walk::Sums, Vec<File>)> = BTreeMap::new();
    let mut base: BTreeMap<Vec<u8>, Vec<File>> = BTreeMap::new();
    let (mut trail, mut rest) = (Vec::<Vec<u8>>::new(), files.into_iter());
    for i in 0..folders as usize {
        trail.truncate((depths[i] as usize).saturating_sub(1));
        if i > 0 {
            trail.push(names[i].clone());
        }
        let at = trail.join(&b'/');
        let inside: Vec<File> = rest.by_ref().take(own[i] as usize).collect();
        let sums = walk::Sums {
            files: own[i],
            bytes: bytes[i],
            newest: newest[i],
            devices: devices_columns.iter().map(|(here, moving)| (here[i], moving[i])).collect(),
        };
        base.insert(at.clone(), inside.clone());
        told.insert(at, (sums, inside));
    }
    assert!(rest.next().is_none());

    for chunk in between(page, "id=\"log\">\n", "</script>")[0].lines() {
        let raw = inflate(chunk);
        let mut log = In(&raw);
        while !log.0.is_empty() {
            let kind = log.bytes(1)[0];
            let length = log.uint();
            let at = log.bytes(length);
            if kind == 0 {
                told.retain(|p, _| !path(p).is_within(&path(&at)));
                continue;
            }
            let (files, bytes, newest) = (log.uint(), log.uint(), log.int());
            let sums = walk::Sums {
                files,
                bytes,
                newest,
                devices: (0..devices).map(|_| (log.uint(), log.uint())).collect(),
            };
            let mut inside: BTreeMap<usize, File> =
                base.get(&at).cloned().unwrap_or_default().into_iter().enumerate().collect();
            let mut lost = 0;
            for _ in 0..log.uint() {
                lost += log.uint() as usize;
                inside.remove(&lost).unwrap();
            }
            let mut inside: Vec<File> = inside.into_values().collect();
            for _ in 0..log.uint() {
                let length = log.uint();
                inside.push((log.bytes(length), log.uint(), log.int(), log.bytes(planes)));
            }
            told.insert(at, (sums, inside));
        }
    }
    let mut out = Told::default();
    for (at, (sums, inside)) in told {
        assert_eq!(sums.files as usize, inside.len());
        for (name, size, mtime, states) in inside {
            let was = out.files.insert(join(&at, &name), (size, mtime, unfold(&states, devices)));
            assert_eq!(was, None);
        }
        out.folders.insert(at, sums);
    }
    out
}

fn of(generation: u64) -> PageOf<'static> {
    PageOf {
        device: None,
        page_id: "p1",
        key: Some("k\"<1"),
        generation,
        answers: &[],
        harvested: &[],
        may: &[Action::Get, Action::TorrentOnce],
    }
}

#[test]
fn the_app_knows_what_each_action_is_about() {
    let mut encoder = Encoder::new();
    House::default().update(&mut encoder, 1);
    let page = text(&encoder);
    let code = page.split_once("id=\"code\">").unwrap().1.split_once('<').unwrap().0;
    let code = String::from_utf8(inflate(code)).unwrap();
    let about = code.split_once("const ABOUT=").unwrap().1.split_once(';').unwrap().0;
    let mut expected: BTreeMap<String, String> =
        Action::ALL.iter().map(|action| (action.to_string(), "path".to_owned())).collect();
    for (name, about) in [
        ("accept", "member"),
        ("refuse", "member"),
        ("forget", "member"),
        ("allow", "mass-change"),
        ("keep-mine", "mass-change"),
    ] {
        expected.insert(name.into(), about.into()).unwrap();
    }
    assert_eq!(serde_json::from_str::<BTreeMap<String, String>>(about).unwrap(), expected);
}

fn text(encoder: &Encoder) -> String {
    let page = encoder.page(&of(3)).unwrap();
    String::from_utf8(page.to_bytes()).unwrap()
}

fn house(files: &[&[u8]]) -> House {
    let mut house = House { devices: vec![BTreeMap::new(); 2], ..House::default() };
    for (i, file) in files.iter().enumerate() {
        house.files.insert(file.to_vec(), (i as u64 * 1000, 1_700_000_000 - i as i64));
    }
    house
}

/// So many files in folders of 40.
fn large(files: usize) -> House {
    let mut house = House { devices: vec![BTreeMap::new(); 5], ..House::default() };
    for i in 0..files {
        let at = format!("Photos/{:04}/IMG_{:06}_{}.jpg", i / 40, i, i * 7919 % 1000).into_bytes();
        house
            .files
            .insert(at.clone(), (i as u64 * 7919 % 5_000_000, 1_600_000_000 + i as i64 * 61));
        if i % 3 == 0 {
            house.devices[i % 5].insert(at, None);
        }
    }
    house
}

#[test]
fn every_state_comes_out_again() {
    let mut house = house(&[b"a", b"x/b", b"x/c", b"x/y/d", b"z"]);
    house.folders.insert(b"x/empty/deep".to_vec());
    house.devices = vec![BTreeMap::new(); 9];
    house.devices[0].insert(b"x/b".to_vec(), None);
    house.devices[4].insert(b"x/b".to_vec(), Some(Live::Queued));
    house.devices[8].insert(b"x/y/d".to_vec(), Some(Live::Syncing(40)));
    // In a book, but the master is gone: nothing to tell.
    house.devices[8].insert(b"gone".to_vec(), None);
    house.files.insert(b"old".to_vec(), (u64::MAX >> 11, -9_000_000_000));
    let mut encoder = Encoder::new();
    assert!(house.update(&mut encoder, 1));
    assert_eq!(read(&text(&encoder)), house.told());
    assert!(!house.update(&mut encoder, 2));
}

#[test]
fn there_is_no_page_before_a_snapshot() {
    let refused = Encoder::new().page(&of(1)).err().unwrap();
    assert!(matches!(refused, CatalogueError::NoSnapshot));
}

#[test]
fn an_empty_house_has_a_page() {
    let house = House::default();
    let mut encoder = Encoder::new();
    house.update(&mut encoder, 1);
    let told = read(&text(&encoder));
    assert_eq!(told, house.told());
    assert_eq!((told.files.len(), told.folders.len()), (0, 1));
}

#[test]
fn no_name_or_text_gets_out_of_its_place() {
    let mut house = house(&[
        b"</script><script>alert(1)</script>",
        b"<!--WORKLIST-BEGIN-->",
        b"\xff\xfe\n\x1b[31m",
        "gpj.\u{202e}exe".as_bytes(),
        b"-->",
    ]);
    house.report.notices.push(Notice {
        at: Time::default(),
        condition: Condition::Attention,
        what: "</script><script>alert(2)</script>".into(),
        next: "<!--".into(),
    });
    house.report.address = Some("http://x'; script-src *".into());
    let mut encoder = Encoder::new();
    house.update(&mut encoder, 1);
    let answers = [Answered {
        id: WishId::parse("00112233445566778899").unwrap(),
        action: Some(Action::Get),
        path: path(b"</script>"),
        answer: Answer::Refused("<!--</script>".into()),
        at: Time::default(),
    }];
    let page = encoder.page(&PageOf { answers: &answers, ..of(1) }).unwrap();
    let hostile = String::from_utf8(page.to_bytes()).unwrap();
    assert_eq!(read(&hostile), house.told());
    assert!(!hostile.contains("alert("));
    assert!(!hostile.contains("script-src *"));
    assert_eq!(hostile.matches("WORKLIST-BEGIN").count(), 1);
    assert_eq!(hostile.matches("<!--").count(), 2);
    assert_eq!(hostile.matches("<script").count(), hostile.matches("</script>").count());
    let cfg: serde_json::Value =
        serde_json::from_str(between(&hostile, "id=\"cfg\">", "</script>")[0]).unwrap();
    assert_eq!(cfg["answers"][0]["text"], "<!--</script>");
    assert_eq!(cfg["answers"][0]["path"], "%3C/script%3E");
    assert_eq!(cfg["may"], serde_json::json!(["get", "torrent-once"]));
}

#[test]
fn the_worklist_stands_last_in_its_agreed_form() {
    let mut encoder = Encoder::new();
    house(&[b"a"]).update(&mut encoder, 1);
    let page = text(&encoder);
    let device = DeviceName::new("HTCphone").unwrap();
    assert!(page.ends_with(
        "\n<!--WORKLIST-BEGIN--><script type=\"application/json\" id=\"work\">\
         {\"v\":2,\"page\":\"p1\",\"device\":null,\"gen\":3,\"nonce\":\"\",\"items\":[]}\
         </script><!--WORKLIST-END-->\n"
    ));
    let own = encoder.page(&PageOf { device: Some(&device), ..of(17) }).unwrap().to_bytes();
    assert!(String::from_utf8(own).unwrap().contains("\"device\":\"HTCphone\",\"gen\":17,"));
}

/// The key stands once in a device's page, where the app reads it, and nowhere in the common page.
#[test]
fn the_key_stands_in_no_worklist() {
    let mut encoder = Encoder::new();
    house(&[b"a"]).update(&mut encoder, 1);
    let page = text(&encoder);
    assert_eq!(page.matches("\\u003c1").count(), 1);
    let cfg = |page: &str| -> serde_json::Value {
        serde_json::from_str(between(page, "id=\"cfg\">", "</script>")[0]).unwrap()
    };
    assert_eq!(cfg(&page)["key"], "k\"<1");
    assert!(!page[page.find("WORKLIST-BEGIN").unwrap()..].contains("key"));
    let common = encoder.page(&PageOf { key: None, ..of(3) }).unwrap().to_bytes();
    assert!(cfg(&String::from_utf8(common).unwrap())["key"].is_null());
}

#[test]
fn a_wish_that_could_not_be_read_has_no_action() {
    let mut encoder = Encoder::new();
    house(&[b"a"]).update(&mut encoder, 1);
    let answers = [Answered {
        id: WishId::parse("00112233445566778899").unwrap(),
        action: None,
        path: RelPath::root(),
        answer: Answer::Refused("`path` is missing".into()),
        at: Time::default(),
    }];
    let page = encoder.page(&PageOf { answers: &answers, ..of(1) }).unwrap().to_bytes();
    let page = String::from_utf8(page).unwrap();
    let cfg: serde_json::Value =
        serde_json::from_str(between(&page, "id=\"cfg\">", "</script>")[0]).unwrap();
    assert!(cfg["answers"][0]["op"].is_null());
    assert_eq!(cfg["answers"][0]["text"], "`path` is missing");
}

#[test]
fn the_policy_knows_exactly_what_the_page_runs() {
    let mut encoder = Encoder::new();
    house(&[b"a"]).update(&mut encoder, 1);
    let page = text(&encoder);
    let hash = |bytes: &[u8]| {
        let digest = sha2::Sha256::digest(bytes);
        format!("'sha256-{}'", base64::engine::general_purpose::STANDARD.encode(digest))
    };
    let csp = between(&page, "Content-Security-Policy\" content=\"", "\"")[0];
    let first = between(&page, "<style>", "</style>")[0];
    let boot = between(&page, "<script>", "</script>")[0];
    let packed = inflate(between(&page, "id=\"code\">", "</script>")[0]);
    let nul = packed.iter().position(|b| *b == 0).unwrap();
    let (style, app) = (&packed[..nul], &packed[nul + 1..]);
    let styles = format!("style-src {} {};", hash(first.as_bytes()), hash(style));
    assert!(csp.contains(&styles), "{csp}");
    assert!(csp.contains(&format!("script-src {} {};", hash(boot.as_bytes()), hash(app))), "{csp}");
    assert!(csp.starts_with("default-src 'none';") && !csp.contains("unsafe"));
    let app = str::from_utf8(app).unwrap();
    for bad in
        ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"]
    {
        assert!(!app.contains(bad), "{bad}");
    }
}

#[test]
fn since_when_something_is_told_is_no_news() {
    let mut house = house(&[b"a"]);
    let mut encoder = Encoder::new();
    let notice = |at: i64, what: &str| Notice {
        at: Time::from_secs(at),
        condition: Condition::Attention,
        what: what.into(),
        next: "wait".into(),
    };
    let mut told = |at: i64, what: &str| {
        house.report.notices = vec![notice(at, what)];
        house.update(&mut encoder, 1);
        encoder.page(&of(1)).unwrap().fingerprint()
    };
    let first = told(100, "it is down");
    assert_eq!(told(160, "it is down"), first);
    assert_ne!(told(160, "it is gone"), first);
}

#[test]
fn how_the_hardware_fares_stands_on_the_page_and_is_no_news() {
    let mut house = house(&[b"a"]);
    let mut encoder = Encoder::new();
    let mut told = |load| {
        house.report.machine = Machine { load, temperature: Some(51), ..Machine::default() };
        house.update(&mut encoder, 1);
        let page = encoder.page(&of(1)).unwrap();
        let text = String::from_utf8(page.to_bytes()).unwrap();
        let packed = inflate(between(&text, "id=\"house\">", "</script>")[0]);
        let said: serde_json::Value = serde_json::from_slice(&packed).unwrap();
        (said["machine"].clone(), page.fingerprint())
    };
    let (said, first) = told(Some(Load(31)));
    assert_eq!(said, "Load 0.3, 51 °C");
    assert_eq!(told(Some(Load(420))), ("Load 4.2, 51 °C".into(), first));
    assert_eq!(told(None), ("51 °C".into(), first));
    house.report.machine = Machine::default();
    house.update(&mut encoder, 1);
    assert_eq!(encoder.page(&of(1)).unwrap().fingerprint(), first);
}

#[test]
fn a_page_that_tells_the_same_has_the_same_fingerprint() {
    let mut house = house(&[b"a", b"b"]);
    let mut encoder = Encoder::new();
    house.update(&mut encoder, 1);
    let first = encoder.page(&of(1)).unwrap().fingerprint();
    house.update(&mut encoder, 500);
    assert_eq!(encoder.page(&of(2)).unwrap().fingerprint(), first);
    let fewer = PageOf { may: &[], ..of(1) };
    assert_ne!(encoder.page(&fewer).unwrap().fingerprint(), first);
    house.devices[1].insert(b"a".to_vec(), Some(Live::Queued));
    house.update(&mut encoder, 501);
    let queued = encoder.page(&of(1)).unwrap().fingerprint();
    assert_ne!(queued, first);
    house.devices[1].insert(b"a".to_vec(), Some(Live::Syncing(5)));
    house.update(&mut encoder, 502);
    assert_ne!(encoder.page(&of(1)).unwrap().fingerprint(), queued);
}

#[test]
fn a_small_change_leaves_the_base_in_place() {
    let mut house = large(30_000);
    let mut encoder = Encoder::new();
    house.update(&mut encoder, 1);
    assert!(encoder.data_len() > BLOCK);
    let before = text(&encoder);
    let base = before.find("<script type=\"text/plain\" id=\"log\">").unwrap();
    assert_eq!(base % BLOCK, 0);
    assert_eq!(read(&before), house.told());

    // A file comes, one goes, one changes, a state changes, a folder comes and one goes.
    house.files.insert(b"Photos/0003/new.jpg".to_vec(), (5, 6));
    house.files.remove(&b"Photos/0500/IMG_020000_0.jpg"[..]).unwrap();
    house.files.insert(b"Photos/0749/IMG_029999_81.jpg".to_vec(), (7, 8));
    house.devices[2].insert(b"Photos/0700/IMG_028000_0.jpg".to_vec(), Some(Live::Queued));
    house.files.insert(b"Another/deep/er".to_vec(), (9, 10));
    house.files.retain(|at, _| !at.starts_with(b"Photos/0100/"));
    assert!(house.update(&mut encoder, 2));
    let after = text(&encoder);
    assert_eq!(after[..base], before[..base]);
    assert!(encoder.log_len() > 0 && encoder.log_len() < 1500, "{}", encoder.log_len());
    assert_eq!(read(&after), house.told());

    // The folder that went comes back; the log is only added to.
    let log = encoder.log_len();
    house.files.insert(b"Photos/0100/back.jpg".to_vec(), (1, 1));
    assert!(house.update(&mut encoder, 3));
    let third = text(&encoder);
    assert_eq!(third[..base + log], after[..base + log]);
    assert_eq!(read(&third), house.told());
    assert!(!house.update(&mut encoder, 4));
}

#[test]
fn a_long_log_is_folded_into_the_base() {
    const MAX: usize = 40_000;
    let mut house = large(20_000);
    let mut encoder = Encoder::with_limits(BLOCK, MAX);
    house.update(&mut encoder, 1);
    let mut longest = 0;
    for round in 0..6 {
        for i in 0..900 {
            let at = format!("Photos/{:04}/new {round} {}", i / 2, i * 7919 % 1_000_003);
            house.files.insert(at.into_bytes(), (i as u64 * 104_729 % 9_999_991, i));
        }
        assert!(house.update(&mut encoder, 2));
        longest = longest.max(encoder.log_len());
        assert!(encoder.log_len() <= MAX);
    }
    assert!(longest > 0);
    assert_eq!(read(&text(&encoder)), house.told());

    // Much at once goes into a new base directly.
    let all: Vec<_> = house.files.keys().cloned().collect();
    house.devices[4] = all.into_iter().map(|at| (at, Some(Live::Queued))).collect();
    assert!(house.update(&mut encoder, 3));
    assert_eq!(encoder.log_len(), 0);
    assert_eq!(read(&text(&encoder)), house.told());
}

#[test]
fn another_device_more_is_told_for_all_files() {
    let mut house = large(30_000);
    let mut encoder = Encoder::new();
    house.update(&mut encoder, 1);
    house.devices.push(BTreeMap::new());
    assert!(house.update(&mut encoder, 2));
    assert_eq!(read(&text(&encoder)), house.told());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn says_what_a_naive_list_says(
        steps in prop::collection::vec(
            (prop::collection::vec(prop::sample::select(vec![
                &b"a"[..], b"b", b"\xff", b"<b>", b" ", b"long name of a folder", "é".as_bytes(),
            ]), 1..4), 0u8..7, any::<(u64, i32)>(), 0usize..3),
            1..60,
        ),
        block in prop::sample::select(vec![0usize, BLOCK]),
    ) {
        // With a block of 0 every change goes through the log.
        let mut encoder = Encoder::with_limits(block, 400);
        let mut house = House { devices: vec![BTreeMap::new(); 3], ..House::default() };
        house.update(&mut encoder, 0);
        for (names, step, (size, mtime), device) in steps {
            let folder = names.join(&b'/');
            let mut file = folder.clone();
            file.extend(b".f");
            match step {
                0..=2 => {
                    house.files.insert(file, (size >> 11, i64::from(mtime)));
                }
                3 => {
                    house.files.remove(&file);
                }
                4 => {
                    house.files.retain(|at, _| !path(at).is_within(&path(&folder)));
                    house.folders.retain(|at| !path(at).is_within(&path(&folder)));
                }
                5 => {
                    house.folders.insert(folder);
                }
                _ => {
                    let live = (size % 2 == 0).then_some(Live::Syncing(size as u8));
                    house.devices[device].insert(file, live);
                }
            }
            let changed = house.update(&mut encoder, 0);
            let told = read(&text(&encoder));
            prop_assert_eq!(&told, &house.told());
            prop_assert!(!house.update(&mut encoder, 0), "changed once more after {}", changed);
        }
    }
}
