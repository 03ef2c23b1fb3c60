//! A day with Larder, in a folder, in less than a minute: `make demo`.
//!
//! `cargo run --example demo [-- --dir DIR] [--larder PROGRAM] [--simulated]`. Makes a small family drive
//! in DIR (default `build/demo`, made anew each time), starts the real engine on it and lets a phone, a
//! laptop and a tablet do what devices do. The phone is a real second Syncthing, where Debian's can be had
//! and `--simulated` does not ask for less. After each step it looks at the drive itself, with its own
//! eyes, and says what it sees; when that is not what was promised it says so and ends with 1.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "it plays people and their devices, who write files as they please, and tells a story"
)]
#![allow(unreachable_pub, reason = "the parts of an example are seen by nobody else")]

mod family;
mod house;
mod phone;
#[path = "../../tests/support/port.rs"]
mod port;
mod real;
mod tell;

use anyhow::{Context as _, Result, bail, ensure};
use house::{House, Seen, files_below, look, occupied};
use larder::model::{Action, Answer};
use phone::Device;
use real::Phone;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tell::{aside, fact, name, scene, size, took};

/// Somebody pressed Ctrl-C.
static STOP: AtomicBool = AtomicBool::new(false);

const SETTINGS: &str = r#"# The settings of this demonstration. Change them while the engine runs.
undo = "1 day"

[nas]
name = "Larder"

[web]
# true: the page for who knows the password, at http://localhost:8080
enabled = false

[devices.HTCphone]
label = "Phone"
quota = "8 GB"

[devices.win7Laptop]
label = "Laptop"

[devices.tablet]
label = "Tablet"
quota = "2 GB"
# The children's: it may fetch and open, not destroy.
may = ["get", "open", "delete"]
"#;

const TOWER: &str = "Photos/2012/2012-08-11 Istanbul/Galata tower.png";
const SONGS: &str = "Music/Old songs";
const NEW_SONG: &str = "Music/Old songs/03 - Twinkle, twinkle.wav";
const LIST: &str = "Documents/House/Shopping list.txt";
const SELFIE: &str = "Photos/2026/From the phone/IMG_0001.png";
const SOUP: &str = "Documents/Recipes/Potato soup.txt";

fn main() -> ExitCode {
    match options().and_then(|options| play(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("\ndemo: {e:#}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    dir: PathBuf,
    simulated: bool,
    larder: PathBuf,
}

fn options() -> Result<Options> {
    // Cargo puts examples into a folder beside the program.
    let here = std::env::current_exe().context("where is this program?")?;
    let beside = here.parent().and_then(Path::parent).unwrap_or(Path::new("target/debug"));
    let mut options =
        Options { dir: "build/demo".into(), larder: beside.join("larder"), simulated: false };
    let mut given = std::env::args().skip(1);
    while let Some(key) = given.next() {
        if key == "--simulated" {
            options.simulated = true;
            continue;
        }
        let value = given.next().map(PathBuf::from);
        match (key.as_str(), value) {
            ("--dir", Some(value)) => options.dir = value,
            ("--larder", Some(value)) => options.larder = value,
            _ => bail!("the options are --dir DIR, --larder PROGRAM and --simulated, not {key}"),
        }
    }
    options.dir = std::path::absolute(&options.dir)?;
    if !options.larder.is_file() {
        bail!(
            "{} is not there; build it first: cargo build --bin larder",
            options.larder.display()
        );
    }
    Ok(options)
}

/// Ctrl-C and `kill` end the story; the engine is stopped on the way out.
fn listen() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _guard = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        });
        STOP.store(true, Ordering::Relaxed);
    });
    Ok(())
}

fn play(options: &Options) -> Result<()> {
    let begun = Instant::now();
    listen()?;
    house::fresh(&options.dir)?;
    let mut story = Story::begin(options)?;
    story.let_the_phone_in()?;
    story.get_a_file()?;
    story.get_a_folder()?;
    story.something_new_comes_home()?;
    story.edit_on_the_phone()?;
    story.take_a_picture()?;
    story.delete_on_the_phone()?;
    story.destroy_and_regret()?;
    story.ask_for_too_much()?;
    story.the_end()?;
    let (drive, boot) = (story.house.drive.clone(), story.house.boot.clone());
    drop(story);
    farewell(options, &drive, &boot, begun.elapsed());
    Ok(())
}

struct Story {
    /// The phone's own Syncthing and the port of the house's, if there is one.
    real: Option<(Arc<Phone>, u16)>,
    house: House,
    phone: Device,
    laptop: Device,
    tablet: Device,
}

impl Story {
    fn begin(options: &Options) -> Result<Self> {
        let (drive, boot) = (options.dir.join("drive"), options.dir.join("boot"));
        let home = drive.join("BTsync/files");
        family::make(&home)?;
        std::fs::create_dir_all(&boot)?;
        same_place(&home)?;
        let syncthing = match options.simulated {
            true => Err("--simulated was asked for".to_owned()),
            false => real::program(&drive),
        };
        let port = port::free_port();
        let sync = match &syncthing {
            Ok(_) => format!(
                "\n[sync]\n# Where the phone of this story reaches the house.\nport = {port}\n"
            ),
            Err(why) => {
                println!("There is no real phone in this story: {why}.");
                println!(
                    "It is played by a folder of the drive, as the laptop and the tablet are."
                );
                "\n[sync]\n# The devices of this story are folders of the drive.\nenabled = false\n"
                    .to_owned()
            }
        };
        std::fs::write(boot.join("larder.toml"), format!("{SETTINGS}{sync}"))?;

        println!("A USB drive (played by a folder): {}", tell::url(&drive));
        let files = files_below(&home)?;
        scene("A family's photos, songs and papers are on it. Larder starts.");
        let (house, ready) = House::open(&options.larder, &options.dir, syncthing.as_deref().ok())?;
        let real = match &syncthing {
            Ok(program) => {
                Some((Arc::new(Phone::start(program, &options.dir.join("phone"))?), port))
            }
            Err(_) => None,
        };
        let report = house.report().context("the engine has told nothing")?;
        ensure!(report.files.0 == files.len() as u64, "it found {:?}", report.files);
        fact(&format!(
            "{} files, {}: all known after {}",
            report.files.0,
            report.files.1,
            took(ready)
        ));
        let device = |name| Device::on_drive(name, &drive);
        let story = Self {
            real,
            phone: device("HTCphone"),
            laptop: device("win7Laptop"),
            tablet: device("tablet"),
            house,
        };
        for device in [&story.phone, &story.laptop, &story.tablet] {
            let page = std::fs::metadata(&device.page).context("a page is missing")?;
            fact(&format!("{}  {}", name(&device.page, &drive), size(page.len())));
        }
        aside(
            "One page for each device: the whole catalogue in a file, readable without a network.",
        );
        aside("Nothing else is on the devices yet: carry only what you need.");
        Ok(story)
    }

    /// The phone meets the house, where it is a machine of its own.
    fn let_the_phone_in(&mut self) -> Result<()> {
        let Some((phone, port)) = self.real.clone() else { return Ok(()) };
        scene(
            "A phone with a Syncthing of its own scans the code on the page, and asks to be let in.",
        );
        let (id, _) = self.house.until("the phone's Syncthing", |_| phone.id())?;
        let nas = |house: &House| Ok(house.report().and_then(|r| r.device_id));
        let (nas, _) = self.house.until("the house's Syncthing", nas)?;
        phone.meet(&nas, port)?;
        let asks = format!("({id})");
        let (_, time) = self.house.until("the phone to be shown as asking", |house| {
            let told = house.report().map(|r| r.notices).unwrap_or_default();
            Ok(told.iter().any(|n| n.what.contains(&asks)).then_some(()))
        })?;
        fact(&format!(
            "the page at home shows it with its id {}… after {}",
            id.short(),
            took(time)
        ));

        scene("At home somebody compares the ids, presses [accept] and chooses “Phone”.");
        let home = Device::home(&self.house.drive);
        let wish =
            home.press_about(Action::Accept, "", None, Some("HTCphone"), Some(id.to_string()))?;
        let (answer, time) = self.house.until("an answer on the page at home", |_| {
            Ok(home.answer(wish)?.filter(|a| !matches!(a, Answer::Waiting(_))))
        })?;
        match answer {
            Answer::Done(text) => fact(&format!("the page answers: “{text}” ({})", took(time))),
            other => bail!("the accept was answered {other:?}"),
        }
        let (_, time) =
            self.house.until("the two folders to be offered", |_| phone.take_folders(&nas))?;
        fact(&format!(
            "the phone is offered its page and its files, and takes them ({})",
            took(time)
        ));
        self.phone = self.phone.clone().carried(&phone);
        let page = self.phone.page.clone();
        let (seen, time) = self.house.until("the page on the phone", |_| look(&page))?;
        fact(&format!("its page is there: {} after {}", size(seen.size), took(time)));
        Ok(())
    }

    /// Waits until a device has a file as it is at home; tells so where that is another machine.
    fn arrived(&mut self, who: Who, path: &str) -> Result<()> {
        let (home, there) = (self.home(path), self.device(who).file(path));
        let is_real = self.device(who).phone.is_some();
        let (bytes, time) = self.house.until("the file on the device", |_| {
            let (home, there) = (std::fs::read(&home)?, std::fs::read(&there));
            Ok(there.is_ok_and(|there| there == home).then_some(home.len() as u64))
        })?;
        if is_real {
            let later = match time.as_millis() {
                0 => String::new(),
                _ => format!(", {} later", took(time)),
            };
            fact(&format!("and it is on the phone itself: {}, every byte{later}", size(bytes)));
        }
        Ok(())
    }

    fn home(&self, path: &str) -> PathBuf {
        self.house.drive.join("BTsync/files").join(path)
    }

    fn told(&self, path: &Path) -> String {
        name(path, &self.house.drive)
    }

    /// Presses a button on a page, and waits for the page's answer.
    fn wish(
        &mut self,
        who: Who,
        action: Action,
        path: &str,
        shown: Option<Seen>,
    ) -> Result<(Answer, Duration)> {
        let device = self.device(who).clone();
        let id = device.press(action, path, shown)?;
        self.house.until("an answer on the page", |_| {
            Ok(device.answer(id)?.filter(|a| !matches!(a, Answer::Waiting(_))))
        })
    }

    /// A wish that is to come true.
    fn granted(&mut self, who: Who, action: Action, path: &str, shown: Option<Seen>) -> Result<()> {
        match self.wish(who, action, path, shown)? {
            (Answer::Done(text), time) => {
                fact(&format!("the page answers: “{text}” ({})", took(time)));
            }
            (other, _) => bail!("{action} {path} was answered {other:?}"),
        }
        Ok(())
    }

    fn device(&self, who: Who) -> &Device {
        match who {
            Who::Phone => &self.phone,
            Who::Laptop => &self.laptop,
            Who::Tablet => &self.tablet,
        }
    }

    /// Two names of one file: the proof that nothing was copied.
    fn same(&self, who: Who, path: &str) -> Result<()> {
        let (home, there) = (self.home(path), self.device(who).links.join(path));
        let master = look(&home)?.with_context(|| format!("{} is missing", home.display()))?;
        let link = look(&there)?.with_context(|| format!("{} is missing", there.display()))?;
        ensure!(master.inode == link.inode, "{} is a copy of {}", there.display(), home.display());
        fact(&format!("inode {:<9} {}", link.inode, self.told(&there)));
        fact(&format!("inode {:<9} {}", master.inode, self.told(&home)));
        aside(&format!("{} names, one content: no copy was made.", master.names));
        Ok(())
    }

    fn get_a_file(&mut self) -> Result<()> {
        scene("On the phone somebody presses [get] on a photo, and the page saves itself.");
        self.granted(Who::Phone, Action::Get, TOWER, None)?;
        self.same(Who::Phone, TOWER)?;
        self.arrived(Who::Phone, TOWER)
    }

    fn get_a_folder(&mut self) -> Result<()> {
        scene("[get] on a whole folder; and the laptop gets the papers, the tablet all photos.");
        let before = self.in_use()?;
        self.granted(Who::Phone, Action::Get, SONGS, None)?;
        self.granted(Who::Phone, Action::Get, "Documents", None)?;
        self.granted(Who::Laptop, Action::Get, "Documents", None)?;
        self.granted(Who::Tablet, Action::Get, "Photos", None)?;
        let mut there = 0;
        for device in [&self.phone, &self.laptop, &self.tablet] {
            there += files_below(&device.links)?.len();
        }
        if self.phone.phone.is_some() {
            let (links, files) = (self.phone.links.clone(), self.phone.files.clone());
            let (n, time) = self.house.until("the files on the phone", |_| {
                let n = files_below(&links)?.len();
                Ok((files_below(&files)?.len() == n).then_some(n))
            })?;
            fact(&format!("the phone itself has its {n} files ({} after the answers)", took(time)));
        }
        let after = self.in_use()?;
        ensure!(before == after, "the files took {before} bytes of the disk, now {after}");
        fact(&format!("{there} files stand in the devices' folders now"));
        fact(&format!("on the disk all files together take {}, as before", size(after)));
        Ok(())
    }

    /// Bytes that the family's files take on the disk, at home and on the devices.
    fn in_use(&self) -> Result<u64> {
        let root = self.house.drive.join("BTsync");
        occupied(&[root.join("files"), root.join("devices")])
    }

    fn something_new_comes_home(&mut self) -> Result<()> {
        scene("A new song is put into that folder at home. The phone follows the folder.");
        let song = self.home(NEW_SONG);
        family::put(&song, &family::song(family::TWINKLE), 20_700)?;
        let there = self.phone.file(NEW_SONG);
        let (_, time) = self.house.until("the new song on the phone", |_| look(&there))?;
        fact(&format!("it is on the phone after {}, and nobody asked again", took(time)));
        self.arrived(Who::Phone, NEW_SONG)?;
        self.same(Who::Phone, NEW_SONG)
    }

    fn edit_on_the_phone(&mut self) -> Result<()> {
        scene("On the phone somebody writes “coffee” on the shopping list.");
        let (home, laptop) = (self.home(LIST), self.laptop.file(LIST));
        let before = look(&home)?.context("the list is missing")?;
        self.phone.edit(LIST, |text| text + "- coffee\n")?;
        let (_, time) = self.house.until("the edit at home and on the laptop", |_| {
            let has = |at: &Path| std::fs::read_to_string(at).is_ok_and(|t| t.contains("coffee"));
            Ok((has(&home) && has(&laptop)).then_some(()))
        })?;
        let after = look(&home)?.context("the list is missing")?;
        ensure!(after.inode != before.inode, "an edit makes a new file");
        fact(&format!("home and the laptop have the new list after {}", took(time)));
        self.same(Who::Laptop, LIST)?;
        let old = self.kept(before.inode)?;
        fact(&format!("inode {:<9} {}", before.inode, self.told(&old)));
        aside("The list without coffee, kept for 30 days. [undo] on the page brings it back.");
        Ok(())
    }

    /// Where an old content is kept.
    fn kept(&self, inode: u64) -> Result<PathBuf> {
        let versions = self.house.drive.join("BTsyncApp/versions");
        for file in files_below(&versions)? {
            if look(&file)?.is_some_and(|seen| seen.inode == inode) {
                return Ok(file);
            }
        }
        bail!("no old version is inode {inode} in {}", versions.display())
    }

    fn take_a_picture(&mut self) -> Result<()> {
        scene("The phone takes a picture.");
        self.phone.make(SELFIE, &family::picture(4711))?;
        let home = self.home(SELFIE);
        let there = self.tablet.file(SELFIE);
        let (_, time) = self.house.until("the picture at home", |_| look(&home))?;
        fact(&format!("it is safely at home after {}", took(time)));
        let (_, time) = self.house.until("the picture on the tablet", |_| look(&there))?;
        fact(&format!("and on the tablet, which follows Photos, {} later", took(time)));
        self.same(Who::Phone, SELFIE)
    }

    fn delete_on_the_phone(&mut self) -> Result<()> {
        scene("The phone is tidied up: the photo of the tower is deleted there.");
        aside(match self.phone.phone.is_some() {
            true => "Absence is not deletion, but the phone's own word is: Larder asks for it …",
            false => {
                "Absence is not deletion: Larder waits ten seconds, in case the file comes back …"
            }
        });
        let home = self.home(TOWER);
        let before = look(&home)?.context("the photo is missing at home")?;
        self.phone.remove(TOWER)?;
        let (_, time) = self.house.until("the catalogue to say that it is not there", |house| {
            std::thread::sleep(Duration::from_millis(200));
            let told = house.ask("list", &["--json", TOWER])?;
            Ok((!told.contains("HTCphone") && told.contains("tablet")).then_some(()))
        })?;
        let after = look(&home)?.context("the photo is gone at home too")?;
        ensure!(after.inode == before.inode, "there is another photo at home");
        ensure!(self.tablet.file(TOWER).exists(), "the photo is gone from the tablet");
        fact(&format!("after {} the phone's page offers [get] again", took(time)));
        fact(&format!("inode {:<9} {}", after.inode, self.told(&home)));
        aside("At home and on the tablet nothing happened. A device can lose only its own link.");
        Ok(())
    }

    fn destroy_and_regret(&mut self) -> Result<()> {
        scene("On the laptop somebody destroys the recipe of the soup: away, everywhere.");
        let home = self.home(SOUP);
        let shown = look(&home)?.context("the recipe is missing")?;
        self.granted(Who::Laptop, Action::Destroy, SOUP, Some(shown))?;
        for (who, at) in [
            ("home", &home),
            ("the phone", &self.phone.file(SOUP)),
            ("the laptop", &self.laptop.file(SOUP)),
        ] {
            let at = at.clone();
            let gone = |_: &House| Ok(look(&at)?.is_none().then_some(()));
            self.house.until(&format!("{who} to lose it"), gone)?;
        }
        fact("gone at home, on the phone and on the laptop");
        let old = self.kept(shown.inode)?;
        fact(&format!("inode {:<9} {}", shown.inode, self.told(&old)));
        aside("undo = \"1 day\" stands in larder.toml. Without that line it waits 7 days.");

        scene("And regrets it.");
        self.granted(Who::Laptop, Action::Undo, SOUP, None)?;
        let back = look(&home)?.context("the recipe did not come back")?;
        ensure!(back.inode == shown.inode, "another file came back");
        fact(&format!("inode {:<9} {}", back.inode, self.told(&home)));
        aside("The same file, to the bit: it was never copied, so nothing could be lost.");
        Ok(())
    }

    fn ask_for_too_much(&mut self) -> Result<()> {
        scene("A child presses [destroy] on the tablet.");
        let shown = look(&self.home(TOWER))?;
        match self.wish(Who::Tablet, Action::Destroy, TOWER, shown)? {
            (Answer::Refused(why), time) => {
                fact(&format!("the page answers: “{why}” ({})", took(time)));
            }
            (other, _) => bail!("the tablet's destroy was answered {other:?}"),
        }
        ensure!(look(&self.home(TOWER))? == shown, "the photo is not what it was");
        Ok(())
    }

    fn the_end(&mut self) -> Result<()> {
        scene("Larder stops, and `larder check` looks whether every promise was kept.");
        let stopped = self.house.close()?;
        fact(&format!("stopped in {}", took(stopped)));
        let said = self.house.ask("check", &[])?;
        let said = said.trim_end();
        fact(said.rsplit(": ").next().unwrap_or(said));
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Who {
    Phone,
    Laptop,
    Tablet,
}

/// Hard links are what everything stands on: say so before anything looks strange.
fn same_place(home: &Path) -> Result<()> {
    let (one, two) = (home.join(LIST), home.join(".link"));
    let at = home.display();
    std::fs::hard_link(&one, &two).with_context(|| {
        format!("there are no hard links at {at}; name a folder on ext4, btrfs or XFS with --dir")
    })?;
    std::fs::remove_file(&two)?;
    Ok(())
}

fn farewell(options: &Options, drive: &Path, boot: &Path, time: Duration) {
    scene(&format!("That was a day with Larder, in {}. Now look yourself:", took(time)));
    for page in ["HTCphone/catalogue.html", "tablet/catalogue.html", "catalogue.html"] {
        println!("  {}", tell::url(&drive.join("BTsync/catalogue").join(page)));
    }
    let quote = |path: &Path| format!("'{}'", path.display());
    let places = format!("--drive {} --boot {}", quote(drive), quote(boot));
    // Nobody outside this machine is meant to take part in a demonstration.
    let run = format!("run --loopback {places}");
    let larder = std::env::current_dir()
        .ok()
        .and_then(|here| options.larder.strip_prefix(here).ok().map(Path::to_path_buf))
        .unwrap_or_else(|| options.larder.clone());
    println!("\nTo play on, let Larder run in this terminal (Ctrl-C stops it),");
    println!("  {}", tell::command(&format!("{} {run}", larder.display())));
    println!("then press [get] on a page and save it (the page shows how), edit a file, or change");
    println!("{} while it runs. What is on which device:", boot.join("larder.toml").display());
    println!("  {}", tell::command(&format!("{} list {places}", larder.display())));
    println!(
        "When you have seen enough: {}",
        tell::command(&format!("rm -r {}", quote(&options.dir)))
    );
}
