//! Between the engine and a transport: translates devices and paths to peers and folders, and back.
//!
//! In come the settings, names that the engine changed and the transport's events; out go the wanted
//! state, looks and questions for the transport and [`News`] for the engine. It asks a transport only for what it can do
//! ([`Capabilities`]), and decides nothing else.

use crate::config::{Config, Role};
use crate::engine::{Access, Carried, Engine, News};
use crate::model::{DeviceName, Holder, Place, RelPath, Spot};
use crate::plan::Asking;
use crate::transport::{
    Absence, Capabilities, Event, FolderBook, FolderId, FolderKey, Handle, PeerId, Question, Share,
    ShareKind, TransportError, desired, read_id,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

/// So many questions about absences are open at once.
const MOST_ASKED: usize = 4_096;
/// What was answered without a decision is asked again after so long.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// So long it is waited for the sync engine to tell what is on its way to a device, before room is made there
/// without knowing. One on a Pi takes 16 s to start, and some more to compare a large folder.
const WORD: Duration = Duration::from_secs(120);
/// So much is shown of what a stranger calls itself.
const NAME: usize = 64;

/// The translator of one drive.
#[derive(Debug)]
pub struct SyncBridge {
    book: FolderBook,
    peers: BTreeMap<PeerId, DeviceName>,
    shares: Vec<Share>,
    /// Absences that were asked about; with the time of an answer that decided nothing.
    asked: BTreeMap<Holder, BTreeMap<RelPath, Option<Instant>>>,
    /// Devices that lack so many things by the last word of the sync engine, which was not
    /// compared with what the engine knows yet.
    lacks: BTreeMap<DeviceName, u64>,
    /// When it was last asked what a device lacks.
    listed: BTreeMap<DeviceName, Instant>,
    /// Since when the engine waits for word of what is on its way to a device.
    untold: BTreeMap<Holder, Instant>,
    /// What the transport can do that was told last what is wanted.
    capabilities: Capabilities,
}

impl SyncBridge {
    /// With the folder ids as they were remembered ([`Self::remembered`]); draws those that are
    /// missing. `Ok(true)` as second value: remember them before they are used.
    pub fn new(
        remembered: Option<&str>,
        config: &Config,
    ) -> Result<(Self, bool), getrandom::Error> {
        let book = remembered.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let mut bridge = Self {
            book,
            peers: BTreeMap::new(),
            shares: Vec::new(),
            asked: BTreeMap::new(),
            lacks: BTreeMap::new(),
            listed: BTreeMap::new(),
            untold: BTreeMap::new(),
            capabilities: Capabilities::default(),
        };
        let new = bridge.draw_ids(config)?;
        Ok((bridge, new))
    }

    /// Draws the ids of folders that have none; `true` when there were any.
    pub fn draw_ids(&mut self, config: &Config) -> Result<bool, getrandom::Error> {
        let mut new = false;
        for (device, settings) in &config.devices {
            new |= self.book.add(&FolderKey::Page(device.clone()))?;
            new |= self.book.add(&FolderKey::Files(device.clone()))?;
            if settings.role == Role::Vault {
                new |= self.book.add_secret(device)?;
            }
        }
        Ok(new)
    }

    /// These are the shares from now on: [`Self::want`] takes them along. `true`: remember the
    /// folder ids before that. Returns what is wrong with people's ids, too.
    pub fn share(
        &mut self,
        published: &[Carried],
    ) -> Result<(bool, Vec<TransportError>), getrandom::Error> {
        let names: Vec<&str> = published.iter().map(|share| share.name.as_str()).collect();
        let new = self.book.have_shares(&names)?;
        let mut wrong = Vec::new();
        self.shares.clear();
        for Carried { name, peers, access } in published {
            let kind = match *access {
                Access::Fetch => ShareKind::ReadOnly,
                Access::Join { held } => ShareKind::Open { held },
            };
            let mut share = Share { name: name.clone(), kind, peers: BTreeMap::new() };
            for (id, whom) in peers {
                match read_id(id) {
                    Ok(id) => drop(share.peers.insert(id, whom.clone())),
                    Err(e) => wrong.push(e),
                }
            }
            self.shares.push(share);
        }
        Ok((new, wrong))
    }

    /// The names of the shares in what is wanted, and their folder ids.
    pub fn share_ids(&self) -> BTreeMap<String, String> {
        let id = |share: &Share| {
            let id = self.book.id(&FolderKey::Share(share.name.clone()))?;
            Some((share.name.clone(), id.to_string()))
        };
        self.shares.iter().filter_map(id).collect()
    }

    /// The folder ids, to be remembered.
    pub fn remembered(&self) -> String {
        // A map of texts always has a JSON form.
        serde_json::to_string(&self.book).unwrap_or_default()
    }

    /// Tells the sync engine which peers and folders there should be; returns what is wrong with
    /// the settings.
    pub fn want(
        &mut self,
        handle: &Handle,
        config: &Config,
        drive: &Path,
    ) -> Vec<(DeviceName, TransportError)> {
        self.capabilities = handle.capabilities();
        let (mut wanted, mut complaints) =
            desired(config, &BTreeMap::new(), &self.shares, &self.book, drive);
        self.peers = config
            .devices
            .iter()
            .filter_map(|(name, device)| {
                Some((crate::transport::read_id(device.id.as_deref()?).ok()?, name.clone()))
            })
            .collect();
        if !self.capabilities.encrypts {
            // Never in clear what is meant to be read by nobody.
            wanted.folders.retain(|_, folder| folder.peers.values().all(Option::is_none));
            let vaults = config.devices.iter().filter(|(_, device)| device.role == Role::Vault);
            complaints.extend(vaults.map(|(name, _)| {
                let (doing, answer) = ("serve a vault".into(), "it can't encrypt".into());
                (name.clone(), TransportError::Refused { doing, answer })
            }));
        }
        handle.want(wanted);
        complaints
    }

    /// The devices that have an id, so that the transport serves them, and the folders that
    /// somebody can join. None where the transport can't tell what they have and why something is gone: the engine would
    /// wait for word that never comes.
    pub fn served(&self) -> impl Iterator<Item = Holder> {
        let is_telling = self.is_telling();
        let open = |share: &&Share| share.kind != ShareKind::ReadOnly && !share.peers.is_empty();
        let joined = self.shares.iter().filter(open).map(|share| Holder::shared(&share.name));
        self.peers.values().cloned().map(Holder::Device).chain(joined).filter(move |_| is_telling)
    }

    /// True for a transport that carries and proves what became of it.
    fn is_telling(&self) -> bool {
        let Capabilities { carries, delivered, absence, .. } = self.capabilities;
        carries && delivered && absence
    }

    /// Tells the transport which names were changed, if it has to be told.
    pub fn changed(&self, handle: &Handle, spots: &BTreeSet<Spot>) {
        if !self.capabilities.scans {
            return;
        }
        let mut folders: BTreeMap<&FolderId, Vec<RelPath>> = BTreeMap::new();
        for spot in spots {
            if let Some((folder, path)) = self.folder_of(spot) {
                folders.entry(folder).or_default().push(path);
            }
        }
        for (folder, paths) in folders {
            handle.changed(folder, paths);
        }
    }

    /// Tells the sync engine to say no to these ids.
    pub fn refuse(&self, handle: &Handle, ids: &BTreeSet<String>) {
        if !self.capabilities.pending {
            return;
        }
        for peer in ids.iter().filter_map(|id| PeerId::new(id).ok()) {
            if !handle.ask(Question::Refuse { peer, folder: None }) {
                log::info!("sync: too busy to say no; who asks stays listed as turned away");
            }
        }
    }

    /// Has the sync engine forget what it knew of these folders and mark them anew.
    pub fn reset(&self, handle: &Handle, roots: &BTreeSet<Spot>) {
        for (folder, _) in roots.iter().filter_map(|at| self.folder_of(at)) {
            if !handle.ask(Question::Reset { folder: folder.clone() }) {
                log::info!("sync: too busy to mark a folder; it is asked for again");
            }
        }
    }

    /// Tells the sync engine to look at all of a device's folders.
    pub fn changed_all(&self, handle: &Handle, device: &DeviceName) {
        if !self.capabilities.scans {
            return;
        }
        for key in [FolderKey::Page(device.clone()), FolderKey::Files(device.clone())] {
            if let Some(folder) = self.book.id(&key) {
                handle.changed(folder, []);
            }
        }
    }

    /// Asks what the engine has to know: whether absences are deletions, and what a device lacks
    /// when that is more than the engine knows to be on its way.
    pub fn ask(&mut self, handle: &Handle, engine: &Engine) {
        if !self.is_telling() {
            return;
        }
        self.asked.retain(|device, paths| {
            paths.retain(|path, _| engine.is_absent(device, path));
            !paths.is_empty()
        });
        let mut open: usize = self.asked.values().map(BTreeMap::len).sum();
        for (device, path) in engine.absences() {
            if open >= MOST_ASKED {
                break;
            }
            let known = self.asked.get(device).and_then(|paths| paths.get(path));
            if known.is_some_and(|answered| answered.is_none_or(|at| at.elapsed() < ASK_AGAIN)) {
                continue;
            }
            let Some(folder) = self.book.id(&key_of(device)) else { continue };
            let question = Question::Absence { folder: folder.clone(), path: path.clone() };
            if !handle.ask(question) {
                return;
            }
            open += 1;
            self.asked.entry(device.clone()).or_default().insert(path.clone(), None);
        }
        for (device, lacks) in std::mem::take(&mut self.lacks) {
            if lacks <= engine.on_the_way(&device) {
                continue;
            }
            let peer = self.peers.iter().find_map(|(id, d)| (*d == device).then_some(id));
            let folder = self.book.id(&FolderKey::Files(device.clone()));
            let (Some(peer), Some(folder)) = (peer, folder) else { continue };
            let asked = Question::Lacking { folder: folder.clone(), peer: peer.clone() };
            let early = self.listed.get(&device).is_some_and(|at| at.elapsed() < ASK_AGAIN);
            if early || !handle.ask(asked) {
                self.lacks.insert(device, lacks);
            } else {
                self.listed.insert(device, Instant::now());
            }
        }
    }

    /// Says of which devices the engine waited long enough for word of what is on its way. Measured by the
    /// machine's running time, because the clock of a Pi is set while it waits, by years at that.
    pub fn overdue(&mut self, engine: &Engine, now: Instant) -> Vec<News> {
        let before = std::mem::take(&mut self.untold);
        let since = |device: &Holder| before.get(device).copied().unwrap_or(now);
        self.untold = engine.untold().map(|device| (device.clone(), since(device))).collect();
        let waited = |since: &Instant| now.saturating_duration_since(*since);
        let overdue = self.untold.iter().filter(|(_, since)| waited(since) >= WORD);
        overdue.map(|(device, _)| News::Silent(device.clone())).collect()
    }

    /// What an event means in the engine's words.
    pub fn news(&mut self, event: Event) -> Vec<News> {
        match event {
            Event::Up { identity, .. } => {
                vec![News::Up { identity: identity.map(|id| id.to_string()) }]
            }
            Event::Progress { folder, files, .. } => self
                .files_of(&folder)
                .map(|d| News::Progress(d.into(), files))
                .into_iter()
                .collect(),
            Event::Delivered { folder, paths, .. } => {
                self.files_of(&folder).map(|d| News::Here(d.into(), paths)).into_iter().collect()
            }
            Event::Received(received) => self.look(&received.folder, received.path),
            Event::RemoteChange(change) => {
                let deleted = change.change == crate::transport::Change::Deleted;
                let mut news = Vec::new();
                if let (true, Some(device)) = (deleted, self.holder_of(&change.folder)) {
                    news.push(News::Deleted(device, change.path.clone()));
                }
                news.extend(self.look(&change.folder, change.path));
                news
            }
            Event::Connection { peer, up, last_seen, address } => match self.peers.get(&peer) {
                Some(device) => {
                    vec![News::Seen { device: device.clone(), up, last: last_seen, address }]
                }
                None => Vec::new(),
            },
            Event::Pending(pending) => {
                let asking = pending.peers.into_iter().map(|p| Asking {
                    id: p.id.to_string(),
                    name: p.name.chars().take(NAME).collect(),
                    address: host(&p.address),
                    since: p.since,
                });
                vec![News::Asking(asking.collect())]
            }
            Event::Unmarked(folders) => {
                let at = folders.iter().filter_map(|folder| self.root_of(folder));
                vec![News::Unmarked(at.collect())]
            }
            Event::Moving(moving) => vec![News::Moving(moving)],
            Event::Reset => {
                self.asked.clear();
                self.list_all();
                vec![News::Lost]
            }
            Event::Trouble { what, next } => vec![News::Trouble(what, next)],
            Event::Well => vec![News::Well],
            Event::Absent { folder, path, absence } => {
                let Some(device) = self.holder_of(&folder) else { return Vec::new() };
                match absence {
                    // Gone on this drive by somebody's hand is gone for the device as well.
                    Absence::Deleted(_) | Absence::Here => vec![News::Deleted(device, path)],
                    // It may be asked again.
                    Absence::StillThere | Absence::Unknown => {
                        let asked = self.asked.entry(device).or_default();
                        asked.insert(path, Some(Instant::now()));
                        Vec::new()
                    }
                }
            }
            Event::Lacking { folder, paths, .. } => {
                self.files_of(&folder).map(|d| News::Lacking(d.into(), paths)).into_iter().collect()
            }
            Event::Completion { folder, peer: Some(_), status } => {
                if let Some(device) = self.files_of(&folder).filter(|_| status.need_items > 0) {
                    self.lacks.insert(device, status.need_items);
                }
                Vec::new()
            }
            // The folders are there now, so it can be told what is lacking in them.
            Event::Settled => {
                self.list_all();
                Vec::new()
            }
            Event::Completion { peer: None, .. } => Vec::new(),
        }
    }

    /// What every device lacks is to be asked, whatever was told before.
    fn list_all(&mut self) {
        self.listed.clear();
        self.lacks = self.peers.values().map(|device| (device.clone(), u64::MAX)).collect();
    }

    fn look(&self, folder: &FolderId, path: RelPath) -> Vec<News> {
        match self.book.key(folder) {
            Some(FolderKey::Files(device)) => {
                vec![News::Changed(Place::Device(device.clone()).at(path))]
            }
            Some(FolderKey::Page(device)) => {
                // Whatever changed beside a page: the whole folder is small.
                let name = device.as_str().as_bytes();
                let page = RelPath::new(name).and_then(|p| p.join(b"catalogue.html"));
                page.map(|p| News::Changed(Place::Catalogue.at(p))).into_iter().collect()
            }
            Some(FolderKey::Share(name)) if self.is_open(name) => {
                vec![News::Changed(crate::plan::on(&Holder::shared(name), &path))]
            }
            _ => Vec::new(),
        }
    }

    /// Where a folder begins.
    fn root_of(&self, folder: &FolderId) -> Option<Spot> {
        let named = |name: &str| RelPath::new(name.as_bytes()).ok();
        Some(match self.book.key(folder)? {
            FolderKey::Files(device) => Place::Device(device.clone()).at(RelPath::root()),
            FolderKey::Page(device) => Place::Catalogue.at(named(device.as_str())?),
            FolderKey::Share(name) => Place::Shared.at(named(name)?),
        })
    }

    fn files_of(&self, folder: &FolderId) -> Option<DeviceName> {
        match self.book.key(folder) {
            Some(FolderKey::Files(device)) => Some(device.clone()),
            _ => None,
        }
    }

    /// Whose links a folder has: a device's, or those of one that other people join.
    fn holder_of(&self, folder: &FolderId) -> Option<Holder> {
        match self.book.key(folder) {
            Some(FolderKey::Share(name)) if self.is_open(name) => Some(Holder::shared(name)),
            _ => self.files_of(folder).map(Holder::Device),
        }
    }

    /// True for a share that other people join.
    fn is_open(&self, name: &str) -> bool {
        self.shares.iter().any(|s| s.name == name && s.kind != ShareKind::ReadOnly)
    }

    /// The folder that a spot lies in, and where in it.
    fn folder_of(&self, spot: &Spot) -> Option<(&FolderId, RelPath)> {
        match &spot.place {
            Place::Device(device) => {
                let id = self.book.id(&FolderKey::Files(device.clone()))?;
                Some((id, spot.path.clone()))
            }
            Place::Catalogue => {
                let mut names = spot.path.names();
                let device = DeviceName::new(std::str::from_utf8(names.next()?).ok()?).ok()?;
                let rest: Vec<_> = names.collect();
                let id = self.book.id(&FolderKey::Page(device))?;
                Some((id, RelPath::new(&rest.join(&b'/')).ok()?))
            }
            Place::Shared => {
                let mut names = spot.path.names();
                let share = std::str::from_utf8(names.next()?).ok()?.to_owned();
                let rest: Vec<_> = names.collect();
                let id = self.book.id(&FolderKey::Share(share))?;
                Some((id, RelPath::new(&rest.join(&b'/')).ok()?))
            }
            _ => None,
        }
    }
}

/// An address without its port, which is another one each time.
fn host(address: &str) -> String {
    let port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    match address.rsplit_once(':') {
        Some((host, end)) if port(end) => host.to_owned(),
        _ => address.to_owned(),
    }
}

/// What the folder of a holder is to the transport.
fn key_of(holder: &Holder) -> FolderKey {
    match holder {
        Holder::Device(device) => FolderKey::Files(device.clone()),
        Holder::SharedFolder(name) => FolderKey::Share(name.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Time;
    use crate::transport::{Memory, Pending, PendingPeer, Script, start};

    fn device() -> DeviceName {
        DeviceName::new("HTCphone").unwrap()
    }

    fn path(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_engine_waits_for_word_as_long_as_the_machine_runs() {
        let config = crate::config::parse("[devices.HTCphone]\nquota = \"1 GB\"").unwrap();
        let (mut bridge, _) = SyncBridge::new(None, &config).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let ledger = crate::ledger::Ledger::open(&dir.path().join("ledger")).unwrap();
        let (drive, time) = (crate::fs::Memory::default(), Time::from_secs(0));
        let mut engine = Engine::open(Box::new(drive), ledger, config, time).unwrap();
        let begun = Instant::now();
        let after = |secs| begun + Duration::from_secs(secs);
        // Nobody carries to it: nothing is waited for.
        assert_eq!(bridge.overdue(&engine, begun), []);
        assert_eq!(bridge.overdue(&engine, after(1_000)), []);
        engine.carried([device().into()]);
        assert_eq!(bridge.overdue(&engine, after(2_000)), []);
        assert_eq!(bridge.overdue(&engine, after(2_119)), []);
        assert_eq!(bridge.overdue(&engine, after(2_120)), [News::Silent(device().into())]);
        engine.hear(News::Silent(device().into()), time).unwrap();
        assert_eq!(engine.untold().count(), 0);
        assert_eq!(bridge.overdue(&engine, after(2_121)), []);
        // Waited for anew, it is waited as long again; told in time, no longer.
        engine.carried([]);
        engine.carried([device().into()]);
        assert_eq!(bridge.overdue(&engine, after(3_000)), []);
        engine.hear(News::Lacking(device().into(), Vec::new()), time).unwrap();
        assert_eq!(bridge.overdue(&engine, after(4_000)), []);
    }

    #[test]
    fn addresses_are_told_without_their_ports() {
        for (address, told) in [
            ("192.168.1.7:22000", "192.168.1.7"),
            ("[fe80::1%eth0]:4711", "[fe80::1%eth0]"),
            ("[fe80::1]", "[fe80::1]"),
            ("", ""),
        ] {
            assert_eq!(host(address), told);
        }
    }

    #[test]
    fn ids_are_drawn_once_and_spots_find_their_folders() {
        let config = crate::config::parse("[devices.HTCphone]").unwrap();
        let (bridge, new) = SyncBridge::new(None, &config).unwrap();
        assert!(new);
        let (mut again, new) = SyncBridge::new(Some(&bridge.remembered()), &config).unwrap();
        assert!(!new);
        let files = again.book.id(&FolderKey::Files(device())).unwrap().clone();
        let page = again.book.id(&FolderKey::Page(device())).unwrap().clone();
        assert_eq!(bridge.book.id(&FolderKey::Files(device())), Some(&files));
        let spot = Place::Device(device()).at(path("a/b"));
        assert_eq!(again.folder_of(&spot), Some((&files, path("a/b"))));
        let spot = Place::Catalogue.at(path("HTCphone/catalogue.html"));
        assert_eq!(again.folder_of(&spot), Some((&page, path("catalogue.html"))));
        assert_eq!(again.folder_of(&Place::Files.at(path("x"))), None);
        let absent = Event::Absent {
            folder: files.clone(),
            path: path("x"),
            absence: Absence::Deleted(None),
        };
        assert_eq!(again.news(absent), [News::Deleted(device().into(), path("x"))]);
        let replaced =
            Event::Absent { folder: files, path: path("x"), absence: Absence::StillThere };
        assert_eq!(again.news(replaced), []);
    }

    const ALL: Capabilities = Capabilities::ALL;

    /// A bridge to a twin on an empty drive.
    struct Bridged {
        bridge: SyncBridge,
        handle: Handle,
        script: Script,
        config: Config,
        drive: tempfile::TempDir,
        _runtime: tokio::runtime::Runtime,
    }

    impl Bridged {
        /// To a twin that can do so much; everything that is wanted is in force.
        fn to(capabilities: Capabilities, role: Role) -> Self {
            let id = "P56IOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ2";
            let text = format!("[devices.HTCphone]\nid = \"{id}\"");
            let mut config = crate::config::parse(&text).unwrap();
            config.devices.get_mut(&device()).unwrap().role = role;
            let drive = tempfile::tempdir().unwrap();
            for folder in ["BTsync/devices/HTCphone", "BTsync/catalogue/HTCphone"] {
                std::fs::create_dir_all(drive.path().join(folder)).unwrap();
            }
            let (bridge, _) = SyncBridge::new(None, &config).unwrap();
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let (twin, script) = Memory::able(PeerId::new("OURS").unwrap(), capabilities);
            let handle = start(twin, runtime.handle(), Box::new(|_| Ok(())));
            Self { bridge, handle, script, config, drive, _runtime: runtime }
        }

        fn want(&mut self) -> Vec<(DeviceName, TransportError)> {
            let wrong = self.bridge.want(&self.handle, &self.config, self.drive.path());
            until("in force", || self.handle.is_in_force());
            wrong
        }

        /// Whether the transport is told of this before it is told of something else.
        fn is_looked_at(&mut self, tell: impl Fn(&SyncBridge, &Handle)) -> bool {
            let files = self.bridge.book.id(&FolderKey::Files(device())).unwrap().clone();
            tell(&self.bridge, &self.handle);
            let mut looked = Vec::new();
            until("looked", || {
                // What is told later is looked at no earlier.
                self.handle.changed(&files, [path("last")]);
                looked.extend(self.script.looked());
                looked.iter().filter(|(_, paths)| paths.contains(&path("last"))).count() > 1
            });
            looked.iter().any(|(_, paths)| paths.is_empty() || paths.contains(&path("a")))
        }
    }

    fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !holds() {
            assert!(Instant::now() < end, "after a minute still not: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_transport_that_proves_nothing_is_waited_for_by_nobody() {
        for (can, served) in [
            (ALL, vec![device().into()]),
            (Capabilities { carries: false, ..ALL }, vec![]),
            (Capabilities { delivered: false, ..ALL }, vec![]),
            (Capabilities { absence: false, ..ALL }, vec![]),
            (
                Capabilities { scans: false, encrypts: false, pending: false, ..ALL },
                vec![device().into()],
            ),
        ] {
            let mut house = Bridged::to(can, Role::Device);
            assert!(house.want().is_empty());
            assert_eq!(house.bridge.served().collect::<Vec<_>>(), served, "{can:?}");
        }
    }

    #[test]
    fn a_transport_that_looks_for_itself_is_not_told_where() {
        for scans in [true, false] {
            let mut house = Bridged::to(Capabilities { scans, ..ALL }, Role::Device);
            house.want();
            let spot = BTreeSet::from([Place::Device(device()).at(path("a"))]);
            assert_eq!(house.is_looked_at(|bridge, to| bridge.changed(to, &spot)), scans);
            assert_eq!(house.is_looked_at(|bridge, to| bridge.changed_all(to, &device())), scans);
        }
    }

    #[test]
    fn a_transport_without_askers_is_not_told_no() {
        for pending in [true, false] {
            let mut house = Bridged::to(Capabilities { pending, ..ALL }, Role::Device);
            house.want();
            let asking = |id: &str| PendingPeer {
                id: PeerId::new(id).unwrap(),
                name: String::new(),
                address: String::new(),
                since: None,
            };
            let peers = vec![asking("FIRST"), asking("LAST")];
            house.script.asks(Pending { peers, folders: Vec::new() });
            house.bridge.refuse(&house.handle, &BTreeSet::from(["FIRST".to_owned()]));
            let peer = PeerId::new("LAST").unwrap();
            assert!(house.handle.ask(Question::Refuse { peer, folder: None }));
            let left = || house.script.pending().peers;
            until("the last is refused", || left().iter().all(|p| p.id.as_str() != "LAST"));
            if pending {
                until("the first, too", || left().is_empty());
            } else {
                assert_eq!(left(), [asking("FIRST")]);
            }
        }
    }

    #[test]
    fn a_vault_gets_nothing_in_clear() {
        let vault = |encrypts| {
            let mut house = Bridged::to(Capabilities { encrypts, ..ALL }, Role::Vault);
            let wrong = house.want();
            (wrong.len(), house.script.config().folders)
        };
        let (wrong, folders) = vault(true);
        assert_eq!((wrong, folders.len()), (0, 1));
        assert!(folders.values().all(|f| f.peers.values().all(Option::is_some)));
        let (wrong, folders) = vault(false);
        assert_eq!((wrong, folders.len()), (1, 0));
    }
}
