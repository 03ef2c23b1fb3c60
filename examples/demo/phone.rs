//! A device of the family, and what people do on it.
//!
//! It knows two places: its page and its files. For the laptop and the tablet they are the folders on
//! the drive that a sync engine would carry to it, so that a save is home at once. The phone has folders
//! of its own and a sync engine that carries them, where that can be had; nothing else is different.

use crate::family::put;
use crate::house::Seen;
use crate::real::Phone;
use anyhow::{Context as _, Result, ensure};
use larder::model::{Action, Answer, Holder, RelPath, Seen as Shown, Wish, WishId};
use larder::worklist::{
    self,
    mac::{self, Sealed},
};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where a device has its things.
#[derive(Clone)]
pub struct Device {
    pub name: &'static str,
    /// `catalogue.html` as this device has it.
    pub page: PathBuf,
    /// Its `BTsync/files`.
    pub files: PathBuf,
    /// Its links on the drive.
    pub links: PathBuf,
    /// Its Syncthing, if it is a machine of its own.
    pub phone: Option<Arc<Phone>>,
}

impl Device {
    /// A device whose folders are those on the drive.
    pub fn on_drive(name: &'static str, drive: &Path) -> Self {
        Self {
            name,
            page: drive.join("BTsync/catalogue").join(name).join("catalogue.html"),
            files: drive.join("BTsync/devices").join(name),
            links: drive.join("BTsync/devices").join(name),
            phone: None,
        }
    }

    /// The same device as a machine of its own.
    pub fn carried(self, phone: &Arc<Phone>) -> Self {
        Self {
            page: phone.root.join("BTsync/catalogue/catalogue.html"),
            files: phone.root.join("BTsync/files"),
            phone: Some(Arc::clone(phone)),
            ..self
        }
    }

    /// The page at home, which belongs to no device.
    pub fn home(drive: &Path) -> Self {
        let page = drive.join("BTsync/catalogue/catalogue.html");
        Self { page, files: PathBuf::new(), links: PathBuf::new(), name: "home", phone: None }
    }

    fn changed(&self, file: &Path) {
        if let Some(phone) = &self.phone {
            phone.changed(file);
        }
    }

    /// A file on this device.
    pub fn file(&self, path: &str) -> PathBuf {
        self.files.join(path)
    }

    /// Presses a button on the page and lets the page save itself: it reads its own file afresh,
    /// puts the wish among the others, writes a new file beside it and renames that over.
    pub fn press(&self, action: Action, path: &str, shown: Option<Seen>) -> Result<WishId> {
        self.press_about(action, path, shown, None, None)
    }

    /// The same for a device, or with words.
    pub fn press_about(
        &self,
        action: Action,
        path: &str,
        shown: Option<Seen>,
        to: Option<&str>,
        with: Option<String>,
    ) -> Result<WishId> {
        let at = self.page.display();
        let page = read(&self.page).with_context(|| format!("{at} can't be read"))?;
        let mut list = worklist::parse(worklist::find(&page).with_context(|| format!("{at}"))?);
        let id = draw()?;
        list.wishes.push(Wish {
            id,
            action,
            path: RelPath::new(path.as_bytes()).with_context(|| path.to_owned())?,
            to: to.map(Holder::decode).transpose()?.into_iter().collect(),
            from: None,
            with,
            limit_mb: None,
            seen: shown.map(|s| Shown { size: s.size, mtime: s.mtime }),
            at: larder::daemon::now(),
        });
        // A device's page seals what it wishes; the common page has no key, and seals nothing.
        let own = self.own(&page)?;
        let key = own["key"].as_str().unwrap_or_default();
        let text = mac::seal(key, Sealed::Worklist, &worklist::to_json(&list));
        replace(&self.page, &worklist::put_text(&page, &text)?, "crswap")?;
        self.changed(&self.page);
        Ok(id)
    }

    /// What the page answers to a wish, once it does.
    pub fn answer(&self, id: WishId) -> Result<Option<Answer>> {
        let told = self.own(&read(&self.page)?)?;
        let answers = told["answers"].as_array().context("the page has no answers")?;
        let Some(ours) = answers.iter().find(|a| a["id"] == id.to_string().as_str()) else {
            return Ok(None);
        };
        Ok(Some(serde_json::from_value(ours.clone())?))
    }

    /// What is particular to a page: its key, its answers and more.
    fn own(&self, page: &[u8]) -> Result<serde_json::Value> {
        let page = String::from_utf8_lossy(page);
        let own = page
            .rsplit_once("<script type=\"application/json\" id=\"cfg\">")
            .and_then(|(_, rest)| rest.split_once("</script>"))
            .with_context(|| format!("the page of {} has lost its settings", self.name))?;
        Ok(serde_json::from_str(own.0)?)
    }

    /// Changes a text the way apps and sync engines do: a new file is renamed over the old one.
    pub fn edit(&self, path: &str, change: impl Fn(String) -> String) -> Result<()> {
        let file = self.file(path);
        let old = std::fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
        let new = change(old.clone());
        ensure!(old != new, "{path} was to be changed");
        replace(&file, new.as_bytes(), "tmp")?;
        self.changed(&file);
        Ok(())
    }

    /// Takes a picture.
    pub fn make(&self, path: &str, content: &[u8]) -> Result<()> {
        let today = larder::daemon::now().secs().unsigned_abs() / 86_400;
        put(&self.file(path), content, today)?;
        self.changed(&self.file(path));
        Ok(())
    }

    /// Deletes a file on the device, not through the page.
    pub fn remove(&self, path: &str) -> Result<()> {
        std::fs::remove_file(self.file(path))
            .with_context(|| format!("{path} can't be removed"))?;
        self.changed(&self.file(path));
        Ok(())
    }
}

/// Reads a file that its sync engine may be replacing: for a moment there is none of that name.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    for _ in 0..100 {
        match std::fs::read(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                std::thread::sleep(Duration::from_millis(20));
            }
            other => return other,
        }
    }
    std::fs::read(path)
}

/// Writes beside a file, under a name in transit, and renames over it.
fn replace(path: &Path, content: &[u8], ending: &str) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".syncthing.{name}.{ending}"));
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().with_context(|| format!("{} can't be saved", path.display()))
}

/// An identity by lot, as the page draws it.
fn draw() -> Result<WishId> {
    let mut lot = [0u8; 10];
    getrandom::fill(&mut lot).map_err(|e| anyhow::anyhow!("no random numbers: {e}"))?;
    let text: String = lot.iter().map(|b| format!("{b:02x}")).collect();
    WishId::parse(&text).context("an identity has 20 digits")
}
