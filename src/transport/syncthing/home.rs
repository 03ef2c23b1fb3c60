//! Syncthing's own files: its program, its home, its configuration before it starts.

use super::Settings;
use crate::model::dialect::{STIGNORE, unsent};
use crate::model::show;
use crate::parent::VARIABLE;
use crate::transport::TransportError;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::process::Command;

/// What fits: the first with every setting used here, and before the next that nobody has tried.
const NEEDED: &str = "1.27 or later, or 2.x";
/// Slow cards take a while to start a program of 25 MB.
const ASK: Duration = Duration::from_secs(60);

/// The list of the names that never leave a folder. `(?d)`: they do not keep a folder from being deleted.
pub(super) static IGNORED: LazyLock<String> = LazyLock::new(|| {
    let lines = unsent().map(|(shape, goes)| {
        let goes = if goes { "(?d)" } else { "" };
        format!("{goes}{}\n", shape.glob())
    });
    let told = "// Written by Larder; changed by hand it is put right.\n".to_owned();
    std::iter::once(told).chain(lines).collect()
});

/// Asks the program what it is; its version, such as `v1.29.5`.
pub(super) async fn version(settings: &Settings) -> Result<String, TransportError> {
    let missing = |source| TransportError::Missing { path: settings.program.clone(), source };
    let asked = program(settings).arg("--version").output();
    let output = tokio::time::timeout(ASK, asked)
        .await
        .map_err(|_| missing(std::io::ErrorKind::TimedOut.into()))?
        .map_err(missing)?;
    let text = String::from_utf8_lossy(&output.stdout);
    read_version(&text).ok_or_else(|| TransportError::Version {
        found: match text.lines().next() {
            Some(line) if !line.trim().is_empty() => show(line.as_bytes()),
            _ => "a program that does not tell its version".into(),
        },
        needed: NEEDED,
    })
}

/// `syncthing v1.29.5 "Gold Grasshopper" (…)` → `v1.29.5`, if it fits.
fn read_version(text: &str) -> Option<String> {
    let version = text.strip_prefix("syncthing ")?.split_whitespace().next()?;
    let mut parts = version.strip_prefix('v')?.split(['.', '-']);
    let major: u32 = parts.next()?.parse().ok()?;
    let minor: u32 = parts.next()?.parse().ok()?;
    matches!((major, minor), (1, 27..) | (2, _)).then(|| version.to_owned())
}

/// The program that ends with this process, where there is a guard for that. To be started on a thread that lasts.
pub(super) fn guarded(settings: &Settings) -> Command {
    let Some(guard) = &settings.guard else { return program(settings) };
    let mut command = with_environment(settings, Command::new(guard));
    command.env(VARIABLE, std::process::id().to_string());
    command.args(["exec".as_ref(), "--".as_ref(), settings.program.as_os_str()]);
    command
}

/// The program with a small and known environment.
pub(super) fn program(settings: &Settings) -> Command {
    with_environment(settings, Command::new(&settings.program))
}

fn with_environment(settings: &Settings, mut command: Command) -> Command {
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", &settings.home)
        .env("GOMEMLIMIT", format!("{}MiB", settings.memory_mib))
        .env("GOGC", "50")
        .env("STNODEFAULTFOLDER", "1")
        .env("STNOUPGRADE", "1")
        .env("STNORESTART", "1")
        // We watch it ourselves: without this a second process of it would.
        .env("STMONITORED", "yes")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// Makes the home if need be, and the configuration ours. `key` is the new key; returned is the
/// old one, with which a Syncthing left over from before may still be running.
pub(super) async fn prepare(
    settings: &Settings,
    key: &str,
) -> Result<Option<String>, TransportError> {
    let edit = || {
        let (settings, key) = (settings.clone(), key.to_owned());
        blocking(move || edit_file(&settings, &key))
    };
    if let Some(old) = edit().await? {
        return Ok(Some(old));
    }
    generate(settings).await?;
    match edit().await? {
        Some(_) => Ok(None),
        None => Err(TransportError::Answer {
            doing: "`syncthing generate`".into(),
            problem: "its configuration has no gui and options".into(),
        }),
    }
}

/// True while a Syncthing has this home: it answers no more well before it has closed its database,
/// and another one refuses to start until then.
pub(super) fn is_locked(settings: &Settings) -> bool {
    let Ok(lock) = std::fs::File::open(settings.home.join("syncthing.lock")) else { return false };
    use rustix::fs::{FlockOperation, flock};
    flock(&lock, FlockOperation::NonBlockingLockExclusive) == Err(rustix::io::Errno::WOULDBLOCK)
}

/// Runs work on files where it may wait for the drive to spin up.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TransportError> + Send + 'static,
) -> Result<T, TransportError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(_) => Err(TransportError::Down("the program is stopping".into())),
    }
}

/// Makes the configuration ours and returns the key that was in it; `None`: there is none yet.
fn edit_file(settings: &Settings, key: &str) -> Result<Option<String>, TransportError> {
    let home = &settings.home;
    let fail =
        |doing, path: &Path, source| TransportError::Home { doing, path: path.into(), source };
    match DirBuilder::new().mode(0o700).create(home) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(TransportError::NoDirectory { path: home.parent().unwrap_or(home).into() });
        }
        Err(e) => return Err(fail("making", home, e)),
    }
    let config = home.join("config.xml");
    let text = match std::fs::read(&config) {
        Ok(bytes) => String::from_utf8(bytes).unwrap_or_default(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(fail("reading", &config, e)),
    };
    if let Some(ours) = edit(&text, settings, key) {
        let old = between(&text, "<apikey>", "</apikey>").unwrap_or_default().to_owned();
        return write(&config, &ours).map(|()| Some(old));
    }
    // Broken by hand or by the drive. The identity is in cert.pem and key.pem and stays; peers and
    // folders are put again from the wanted state.
    log::warn!("sync: {} can't be read; it is made anew", config.display());
    let aside = home.join("config.xml.broken");
    rustix::fs::rename(&config, &aside).map_err(|e| fail("renaming", &config, e.into()))?;
    Ok(None)
}

async fn generate(settings: &Settings) -> Result<(), TransportError> {
    let missing = |source| TransportError::Missing { path: settings.program.clone(), source };
    let asked = program(settings).arg("generate").arg("--home").arg(&settings.home).output();
    let output = tokio::time::timeout(ASK * 3, asked)
        .await
        .map_err(|_| missing(std::io::ErrorKind::TimedOut.into()))?
        .map_err(missing)?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let last = said.split(|&b| b == b'\n').rfind(|line| !line.is_empty());
    Err(TransportError::Refused {
        doing: "make its configuration".into(),
        answer: show(last.unwrap_or_default()),
    })
}

/// The configuration with our interface and options, or `None` when it is not one. Peers and
/// folders stay: Syncthing forgets what it knows of a folder that is missing here at its start.
fn edit(text: &str, settings: &Settings, key: &str) -> Option<String> {
    let (before, rest) = text.split_once("<gui")?;
    let (_, rest) = rest.split_once("</gui>")?;
    let (middle, rest) = rest.split_once("<options>")?;
    let (options, after) = rest.split_once("</options>")?;
    if !before.contains("<configuration") || !after.contains("</configuration>") {
        return None;
    }
    let ours = settings.options_xml();
    let mut kept = String::new();
    // Syncthing writes one element a line, and options have no children.
    for line in options.lines() {
        let name = line.trim().strip_prefix('<').and_then(|l| l.split(['>', ' ', '/']).next());
        let is_ours = ours.iter().any(|(n, _)| Some(*n) == name);
        if !is_ours && name.is_some_and(|n| !n.is_empty()) {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    for (name, value) in ours {
        kept.push_str(&format!("        <{name}>{}</{name}>\n", escape(&value)));
    }
    let socket = escape(&settings.socket().display().to_string());
    Some(format!(
        "{before}<gui enabled=\"true\" tls=\"false\" debugging=\"false\" sendBasicAuthPrompt=\"false\">\n        \
         <address>{socket}</address>\n        \
         <unixSocketPermissions>0600</unixSocketPermissions>\n        \
         <apikey>{}</apikey>\n        <theme>default</theme>\n    \
         </gui>{middle}<options>\n{kept}    </options>{after}",
        escape(key)
    ))
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    text.split_once(start)?.1.split_once(end).map(|(inner, _)| inner)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Puts the list of ignored names into a folder, unless it is there.
pub(super) fn ignore(folder: &Path) -> Result<(), TransportError> {
    if is_ignoring(folder) { Ok(()) } else { write(&folder.join(STIGNORE), &IGNORED) }
}

/// Whether a folder has the list of ignored names as it should be.
pub(super) fn is_ignoring(folder: &Path) -> bool {
    let list = folder.join(STIGNORE);
    // Somebody who can write here could have planted a link: it is replaced, not followed.
    list.symlink_metadata().is_ok_and(|m| m.is_file() && m.len() == IGNORED.len() as u64)
        && std::fs::read(&list).is_ok_and(|text| text == IGNORED.as_bytes())
}

/// Writes a file whole or not at all, for us alone.
fn write(path: &Path, text: &str) -> Result<(), TransportError> {
    let mut lot = [0; 8];
    let fail = |doing, source| TransportError::Home { doing, path: path.into(), source };
    getrandom::fill(&mut lot).map_err(|e| fail("naming", std::io::Error::other(e.to_string())))?;
    let temp = path.with_file_name(format!(".larder-{:016x}", u64::from_ne_bytes(lot)));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        rustix::fs::rename(&temp, path)?;
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    })();
    written.map_err(|e| {
        // What is left of a failed attempt is nobody's; when this fails too, the drive is gone.
        rustix::fs::unlink(&temp).ok();
        fail("writing", e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_fit() {
        let line = |v: &str| format!("syncthing {v} \"X Y\" (go1.24 linux-arm) debian");
        for good in ["v1.29.5", "v1.27.0", "v2.1.0", "v2.0.11-rc.1"] {
            assert_eq!(read_version(&line(good)).as_deref(), Some(good));
        }
        for bad in ["v1.19.2", "v0.14.0", "v3.0.0", "x", ""] {
            assert_eq!(read_version(&line(bad)), None, "{bad}");
        }
        assert_eq!(read_version("rslsync 2.7"), None);
    }

    #[test]
    fn the_configuration_is_ours_and_peers_and_folders_stay() {
        let text = "<configuration version=\"37\">\n    <folder id=\"f\"></folder>\n    \
            <gui enabled=\"false\">\n        <user>eve</user>\n        <apikey>old</apikey>\n    </gui>\n    \
            <options>\n        <listenAddress>default</listenAddress>\n        \
            <listenAddress>tcp://0.0.0.0:1</listenAddress>\n        \
            <relaysEnabled>true</relaysEnabled>\n        <urUniqueID></urUniqueID>\n    </options>\n</configuration>\n";
        let settings = Settings::new("/usr/bin/syncthing", "/d/BTsyncApp/syncthing");
        let ours = edit(text, &settings, "a<b").unwrap();
        assert!(ours.contains("<folder id=\"f\"></folder>"), "{ours}");
        assert!(ours.contains("<apikey>a&lt;b</apikey>") && !ours.contains("eve"), "{ours}");
        assert!(ours.contains("<address>/d/BTsyncApp/syncthing/api.sock</address>"));
        assert!(ours.contains("<relaysEnabled>false</relaysEnabled>"));
        assert!(ours.contains("<urUniqueID></urUniqueID>"));
        assert_eq!(ours.matches("<listenAddress>").count(), settings.listen.len());
        // Ours stays ours.
        assert_eq!(edit(&ours, &settings, "a<b").unwrap(), ours);
        assert_eq!(between(&ours, "<apikey>", "</apikey>"), Some("a&lt;b"));
        for broken in ["", "<configuration>", "<gui></gui>", &text[..text.len() - 20]] {
            assert_eq!(edit(broken, &settings, "k"), None, "{broken}");
        }
    }

    #[test]
    fn a_planted_link_is_replaced_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        let folder = dir.path().join("folder");
        std::fs::create_dir(&folder).unwrap();
        std::io::Write::write_all(&mut File::create(&outside).unwrap(), b"precious").unwrap();
        std::os::unix::fs::symlink(&outside, folder.join(".stignore")).unwrap();
        ignore(&folder).unwrap();
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "precious");
        assert_eq!(std::fs::read_to_string(folder.join(".stignore")).unwrap(), *IGNORED);
        ignore(&folder).unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }
}
