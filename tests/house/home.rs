//! A house with a running `larder`, and devices that take part in it.

#[path = "../support/environment.rs"]
mod environment;

use crate::http::PASSWORD;
use crate::judged::Judged;
use crate::lab::{LONG, Party, content, path, put, until};
use crate::page::{self, Page};
use larder::model::{Action, Holder, RelPath, Time, Wish, WishId};
use larder::status::Report;
use larder::transport::{Event, Folder, FolderId, Mode, Peer, PeerId};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The house.
pub(crate) struct House {
    dir: tempfile::TempDir,
    program: PathBuf,
    sync_port: u16,
    web_port: u16,
    /// The device sections of its settings.
    pub(crate) devices: BTreeMap<String, String>,
    /// Seconds after which an absence is believed without anybody's word, if not those of every house.
    pub(crate) believes_after: Option<u32>,
    reports: Arc<Mutex<Vec<Report>>>,
    child: Option<Child>,
    wishes: u64,
    pub(crate) judged: Judged,
}

/// True when a report has these words among its notices.
pub(crate) fn tells(report: &Report, words: &str) -> bool {
    report.notices.iter().any(|notice| notice.what.contains(words))
}

impl House {
    /// A house with these devices that has not been started.
    pub(crate) fn new(program: &Path, devices: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["drive/BTsync/files", "boot"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let judged = Judged::of(&dir.path().join("drive"));
        let house = Self {
            dir,
            program: program.to_owned(),
            sync_port: crate::lab::free_port(),
            web_port: crate::lab::free_port(),
            devices: devices.iter().map(|d| ((*d).to_owned(), String::new())).collect(),
            believes_after: None,
            reports: Arc::default(),
            child: None,
            wishes: 0,
            judged,
        };
        house.settle();
        house
    }

    /// Writes the settings.
    pub(crate) fn settle(&self) {
        let mut text = format!(
            "[sync]\nport = {}\n[web]\nport = {}\npassword = \"{PASSWORD}\"\n[led]\npin = \"none\"\n{}",
            self.sync_port,
            self.web_port,
            environment::by_day(),
        );
        for (name, lines) in &self.devices {
            text.push_str(&format!("[devices.{name}]\n{lines}\n"));
        }
        put(&self.dir.path().join("boot"), "larder.toml", text.as_bytes());
    }

    /// Starts `larder run`, with Syncthing in its PATH.
    pub(crate) fn start(&mut self) {
        let with = self.program.parent().unwrap().as_os_str().to_owned();
        self.start_with_path(&with);
        until("the NAS knows its id", || self.report().device_id.is_some());
    }

    pub(crate) fn start_with_path(&mut self, first: &std::ffi::OsStr) {
        assert!(self.child.is_none());
        self.judged.see();
        // Who still reads what the last one said goes on with that.
        self.reports = Arc::default();
        let mut command = self.larder(&["run", "--loopback", "--report-fd", "1"]);
        if let Some(seconds) = self.believes_after {
            command.arg("--settle").arg(seconds.to_string());
        }
        let mut child =
            command.env("PATH", first).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let reports = Arc::clone(&self.reports);
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                reports.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        self.child = Some(child);
    }

    /// A command of the program for this house.
    pub(crate) fn larder(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
        environment::hermetic(&mut command).args(args);
        command.arg("--drive").arg(self.dir.path().join("drive"));
        command.arg("--boot").arg(self.dir.path().join("boot"));
        command
    }

    /// Tells it to stop in good order, and waits.
    pub(crate) fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        signal(&child, rustix::process::Signal::TERM);
        let end = Instant::now() + LONG;
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > end {
                child.kill().unwrap();
                panic!("larder does not stop");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it as a power cut would.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Processor time that the engine has used.
    #[allow(dead_code, reason = "the bench asks for it")]
    pub(crate) fn cpu(&self) -> Duration {
        crate::lab::cpu(&format!("/proc/{}/stat", self.child.as_ref().unwrap().id()))
    }

    /// Its last report.
    pub(crate) fn report(&self) -> Report {
        self.reports.lock().unwrap().last().cloned().unwrap_or_default()
    }

    /// All its reports since it was started.
    pub(crate) fn reports(&self) -> Vec<Report> {
        self.reports.lock().unwrap().clone()
    }

    pub(crate) fn drive(&self, at: &str) -> PathBuf {
        self.dir.path().join("drive/BTsync").join(at)
    }

    /// The NAS, as its devices must know it.
    pub(crate) fn id(&self) -> PeerId {
        PeerId::new(&self.report().device_id.unwrap()).unwrap()
    }

    /// Processes of its Syncthing that serve.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let home = self.dir.path().join("drive/BTsyncApp/syncthing");
        let home = home.to_str().unwrap().as_bytes();
        let of_home = |pid: &i32| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.split(|&b| b == 0).any(|a| a == home))
        };
        std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok())
            .filter(of_home)
            .collect()
    }

    /// True when somebody reads these words among its notices.
    pub(crate) fn tells(&self, words: &str) -> bool {
        tells(&self.report(), words)
    }

    /// Writes a wish into the common page, as somebody does who sits at home.
    pub(crate) fn wish(&mut self, action: Action, at: &str, to: &[&str]) -> String {
        self.wishes += 1;
        let wishes = numbered("home", self.wishes, &[(action, at, to)]);
        let page = with_wishes(&content(&self.drive("catalogue/catalogue.html")), &wishes);
        put(&self.drive("catalogue"), "catalogue.html", &page.unwrap());
        wishes[0].id.to_string()
    }

    /// What somebody at home decides about a device, by the page that the NAS serves.
    pub(crate) fn decide(&mut self, action: Action, to: &[&str], with: Option<&str>) -> String {
        self.send(action, "", to, with)
    }

    /// A wish for a path, sent by that page.
    pub(crate) fn send(
        &mut self,
        action: Action,
        at: &str,
        to: &[&str],
        with: Option<&str>,
    ) -> String {
        self.judged.see();
        let page = content(&self.drive("catalogue/catalogue.html"));
        let own = page::read(&page).unwrap().own;
        let (list, id) = self.wished(action, at, to, with);
        let list = larder::worklist::Worklist {
            version: 2,
            page: own["page"].as_str().unwrap().into(),
            nonce: "0123456789abcdef0123456789abcdef".into(),
            ..list
        };
        let me = crate::http::sign_in(self.web_port, PASSWORD);
        let proof = crate::http::get(self.web_port, "/session", &me).json()["proof"].clone();
        let origin = crate::http::origin(self.web_port);
        let list = larder::worklist::to_json(&list);
        let answer = crate::http::post_worklist(self.web_port, &origin, &me, &list);
        assert!(answer.status == 200 && answer.text().contains(&id), "{answer:?}");
        let sealed = larder::worklist::mac::Sealed::Answer;
        let proof = proof.as_str().unwrap();
        assert!(larder::worklist::mac::is_sealed(proof, sealed, &answer.body), "{answer:?}");
        id
    }

    /// The same, by the page as a file that saves itself.
    pub(crate) fn decide_in_the_file(
        &mut self,
        action: Action,
        to: &[&str],
        with: Option<&str>,
    ) -> String {
        let to = to.iter().map(|d| Holder::decode(d).unwrap()).collect();
        self.wish_with(action, "", |wish| {
            wish.to = to;
            wish.with = with.map(str::to_owned);
        })
    }

    /// Writes one wish into the common page, as it is after `change`.
    pub(crate) fn wish_with(
        &mut self,
        action: Action,
        at: &str,
        change: impl FnOnce(&mut Wish),
    ) -> String {
        let page = content(&self.drive("catalogue/catalogue.html"));
        let (mut new, id) = self.wished(action, at, &[], None);
        change(&mut new.wishes[0]);
        let mut list = larder::worklist::parse(larder::worklist::find(&page).unwrap());
        list.wishes.extend(new.wishes);
        let page = larder::worklist::put(&page, &list).unwrap();
        put(&self.drive("catalogue"), "catalogue.html", &page);
        id
    }

    fn wished(
        &mut self,
        action: Action,
        at: &str,
        to: &[&str],
        with: Option<&str>,
    ) -> (larder::worklist::Worklist, String) {
        self.wishes += 1;
        let id = format!("dec1{:016x}", self.wishes);
        let wish = Wish {
            id: WishId::parse(&id).unwrap(),
            action,
            path: path(at),
            to: to.iter().map(|d| Holder::decode(d).unwrap()).collect(),
            from: None,
            with: with.map(str::to_owned),
            limit_mb: None,
            seen: None,
            at: Time::from_secs(1_790_000_000),
        };
        (larder::worklist::Worklist { wishes: vec![wish], ..Default::default() }, id)
    }

    /// Sends a worklist as a device's page does that was opened as a file; the status of the answer.
    pub(crate) fn post(&self, body: &str) -> u16 {
        crate::http::post_worklist(self.web_port, "null", "", body).status
    }

    /// The common page.
    pub(crate) fn common(&self) -> Page {
        page::read(&content(&self.drive("catalogue/catalogue.html"))).unwrap_or_default()
    }

    /// Waits for the answer to a wish on the common page; must be done.
    pub(crate) fn decided(&self, id: &str) -> String {
        let mut answer = None;
        until("the wish of the common page is answered", || {
            answer = self.common().answer(id);
            answer.as_ref().is_some_and(|(state, _)| state != "waiting")
        });
        let (state, text) = answer.unwrap();
        assert_eq!(state, "done", "{text}");
        text
    }

    /// The port at which its devices reach it.
    pub(crate) fn sync_port(&self) -> u16 {
        self.sync_port
    }

    /// What STATUS.txt says, by its last report.
    pub(crate) fn status(&self) -> String {
        larder::status::text::text(&self.report())
    }

    /// The page of a device, as it is at home.
    pub(crate) fn page(&self, device: &str) -> Option<Page> {
        page::read(&content(&self.drive(&format!("catalogue/{device}/catalogue.html"))))
    }

    /// Pairs a device whose Syncthing runs: both know each other, and the device has both folders
    /// and its page.
    pub(crate) fn pair(&mut self, device: &mut Device) {
        self.pair_by(device, format!("tcp://127.0.0.1:{}", self.sync_port));
    }

    /// The same, over a line that leads from this address to the NAS.
    pub(crate) fn pair_by(&mut self, device: &mut Device, address: String) {
        self.devices.insert(device.name.clone(), format!("id = \"{}\"", device.party.id));
        self.settle();
        device.meet_by(self, address);
        device.take_folders(self);
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal(&child, rustix::process::Signal::TERM);
            let end = Instant::now() + Duration::from_secs(10);
            while Instant::now() < end && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(10));
            }
            // It has ended already when all went well.
            child.kill().ok();
            child.wait().ok();
        }
        for pid in self.processes() {
            kill(pid);
        }
    }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    // It may have ended this very moment.
    rustix::process::kill_process(pid, signal).ok();
}

/// Kills a process at once.
pub(crate) fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
}

/// A device: a Syncthing with the two folders that its NAS gives it.
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) party: Party,
    page: Option<FolderId>,
    files: Option<FolderId>,
    wished: Vec<Wish>,
}

impl Device {
    pub(crate) fn new(program: &Path, name: &'static str) -> Self {
        let party = Party::new(program, name);
        Self { name: name.into(), party, page: None, files: None, wished: vec![] }
    }

    /// Knows the NAS, as after its QR code was scanned.
    pub(crate) fn meet(&mut self, house: &House) {
        self.meet_by(house, format!("tcp://127.0.0.1:{}", house.sync_port));
    }

    fn meet_by(&mut self, house: &House, address: String) {
        let peer = Peer { name: "Larder".into(), addresses: vec![address], untrusted: false };
        self.party.wanted.peers.insert(house.id(), peer);
        self.party.want();
    }

    /// Accepts the folders that the NAS offers, under the names that it proposes.
    pub(crate) fn take_folders(&mut self, house: &House) {
        let nas = house.id();
        let offered = self.party.hear("both folders are offered", |e| {
            matches!(e, Event::Pending(p) if p.folders.iter().filter(|f| f.peer == nas).count() == 2)
        });
        let Event::Pending(pending) = offered else { unreachable!("that was heard") };
        for offer in pending.folders {
            let at = self.party.path(&offer.label);
            std::fs::create_dir_all(&at).unwrap();
            match offer.label.as_str() {
                "BTsync/catalogue" => self.page = Some(offer.id.clone()),
                "BTsync/files" => self.files = Some(offer.id.clone()),
                other => panic!("{other} is offered"),
            }
            let folder = Folder {
                label: offer.label,
                path: at,
                mode: Mode::SendReceive,
                peers: BTreeMap::from([(nas.clone(), None)]),
            };
            self.party.wanted.folders.insert(offer.id, folder);
        }
        self.party.want();
        self.page();
    }

    pub(crate) fn file(&self, at: &str) -> PathBuf {
        self.party.path("BTsync/files").join(at)
    }

    fn page_file(&self) -> PathBuf {
        self.party.path("BTsync/catalogue/catalogue.html")
    }

    /// Its page as it has it, once it has one: Syncthing removes a file before it puts another one in its place.
    pub(crate) fn page(&self) -> Page {
        let mut page = None;
        until("it has a page", || {
            page = page::read(&content(&self.page_file()));
            page.is_some()
        });
        page.unwrap()
    }

    /// The state of a file, for this device, on its own page.
    pub(crate) fn state(&self, at: &str) -> u8 {
        self.page().state(&self.name, at)
    }

    /// Writes wishes into its page, as the page itself does; returns the last one's identity.
    pub(crate) fn wish(&mut self, wishes: &[(Action, &str, &[&str])]) -> String {
        let before = self.wished.len();
        self.wished.extend(numbered(&self.name, (before + wishes.len()) as u64, wishes));
        until("its page is there to be written", || self.write_wishes(&self.wished[before..]));
        self.wished[self.wished.len() - 1].id.to_string()
    }

    /// False when there is no page at the moment.
    fn write_wishes(&self, wishes: &[Wish]) -> bool {
        let Some(page) = with_wishes(&content(&self.page_file()), wishes) else { return false };
        put(self.page_file().parent().unwrap(), "catalogue.html", &page);
        self.party.handle().changed(self.page.as_ref().unwrap(), [path("catalogue.html")]);
        true
    }

    /// Waits for the answer to a wish on its page; must be done. A wish that a page from home has replaced in the very
    /// moment in which it was written is written again, as by the page, which keeps what was not answered.
    pub(crate) fn answered(&self, id: &str) -> String {
        let wish = self.wished.iter().find(|wish| wish.id.to_string() == id).unwrap();
        let mut answer = None;
        until("the wish is answered", || {
            let page = content(&self.page_file());
            let known = page::read(&page);
            answer = known.as_ref().and_then(|page| page.answer(id));
            if known.is_some() && answer.is_none() && !has_wish(&page, wish) {
                self.write_wishes(std::slice::from_ref(wish));
            }
            answer.as_ref().is_some_and(|(state, _)| state != "waiting")
        });
        let (state, text) = answer.unwrap();
        assert_eq!(state, "done", "{text}");
        text
    }

    /// Puts a file into its folder, as a program on it does.
    pub(crate) fn write(&self, at: &str, bytes: &[u8]) {
        put(&self.party.path("BTsync/files"), at, bytes);
        self.touched(&[at]);
    }

    /// Its Syncthing looks at these now instead of when its watcher does.
    pub(crate) fn touched(&self, paths: &[&str]) {
        let paths: BTreeSet<RelPath> = paths.iter().map(|p| path(p)).collect();
        self.party.handle().changed(self.files.as_ref().unwrap(), paths);
    }
}

/// Wishes of somebody who has made `number` with these; the last is the newest.
fn numbered(of: &str, number: u64, wishes: &[(Action, &str, &[&str])]) -> Vec<Wish> {
    let of = of.bytes().fold(7, |sum: u32, b| sum.wrapping_mul(31).wrapping_add(b.into()));
    let first = number + 1 - wishes.len() as u64;
    let wish = |(number, (action, at, to)): (u64, &(Action, &str, &[&str]))| Wish {
        id: WishId::parse(&format!("{of:08x}{number:012x}")).unwrap(),
        action: *action,
        path: path(at),
        to: to.iter().map(|d| Holder::decode(d).unwrap()).collect(),
        from: None,
        with: None,
        limit_mb: None,
        seen: None,
        at: Time::from_secs(1_790_000_000),
    };
    (first..).zip(wishes).map(wish).collect()
}

/// A page with more wishes in it; nothing when there is no whole page.
fn with_wishes(page: &[u8], wishes: &[Wish]) -> Option<Vec<u8>> {
    let mut list = larder::worklist::parse(larder::worklist::find(page).ok()?);
    list.wishes.extend(wishes.iter().cloned());
    let text = larder::worklist::to_json(&list);
    let own = page::read(page)?.own;
    // The common page has no key, and seals nothing.
    let key = own["key"].as_str().unwrap_or_default();
    let text = larder::worklist::mac::seal(key, larder::worklist::mac::Sealed::Worklist, &text);
    larder::worklist::put_text(page, &text).ok()
}

fn has_wish(page: &[u8], wish: &Wish) -> bool {
    let list = larder::worklist::find(page).map(larder::worklist::parse);
    list.is_ok_and(|list| list.wishes.iter().any(|known| known.id == wish.id))
}
