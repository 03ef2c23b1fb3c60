//! One page: the head with the app, the data, what is particular to it, and the worklist last.
//!
//! In this order because a sync engine sends blocks: head and base stay where they are from one
//! edition to the next, and all that changes stands behind them.

use super::pack::pack;
use super::space::{pack_first, pack_twins, pack_went};
use super::versions;
use super::walk::progress;
use super::{BLOCK, CatalogueError, PageOf, View};
use crate::model::{Action, Answer, DeviceName, RelPath, Time};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::{AutoEscape, Environment, context};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::sync::LazyLock;

/// The most files whose progress a page tells one by one; of the others it says "on its way".
const PROGRESS_MAX: usize = 2000;

const TEMPLATE: &str = include_str!("page.html.j2");

/// Looks and app, as they go into the page.
static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
    let first = squeezed(&lean(include_str!("first.css")));
    let css = squeezed(&lean(include_str!("app.css")));
    let parts = [
        include_str!("data.js"),
        include_str!("words.js"),
        include_str!("hmac.js"),
        include_str!("wishes.js"),
        include_str!("save.js"),
        include_str!("session.js"),
        include_str!("rows.js"),
        include_str!("box.js"),
        include_str!("people.js"),
        include_str!("shares.js"),
        include_str!("room.js"),
        include_str!("app.js"),
    ];
    // One function around all, so that the parts share names and nothing else sees them; first what the
    // table of actions says of each.
    let about: Map<String, Value> = Action::ALL
        .into_iter()
        .map(|action| (action.name().into(), json!(action.traits().about)))
        .collect();
    let app = format!(
        "\"use strict\";(()=>{{\nconst ABOUT={};\n{}}})();",
        Value::Object(about),
        lean(&parts.concat())
    );
    let boot = lean(include_str!("boot.js"));
    Assets {
        hashes: [sha256(&first), sha256(&css), sha256(&boot), sha256(&app)],
        first,
        boot,
        code: pack(format!("{css}\0{app}").as_bytes()),
    }
});

struct Assets {
    /// The looks until the app is unpacked.
    first: String,
    /// What unpacks the app.
    boot: String,
    /// The looks, a NUL, and the app, packed: they are a third of their size so, and the page stays
    /// below 100 kB. As elements that `boot` adds they are still held to their hashes.
    code: String,
    /// Of the first looks, the looks, boot and the app, unpacked.
    hashes: [String; 4],
}

/// What every page has in common besides the data.
pub(super) struct Shared {
    head: String,
    house: String,
    /// A fingerprint of what stands in it, without what only counts.
    told: u64,
    /// What would go first from each device that has a limit.
    rooms: Vec<(DeviceName, String)>,
    now: Time,
}

/// One page, ready to be written. The data in it is borrowed from the encoder.
pub struct Page<'e> {
    head: &'e str,
    blocks: Vec<&'e str>,
    pad: usize,
    log: &'e str,
    tail: String,
    fingerprint: u64,
}

impl Page<'_> {
    /// Writes the page, from first to last byte.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(self.head.as_bytes())?;
        for block in &self.blocks {
            out.write_all(OPEN.as_bytes())?;
            out.write_all(block.as_bytes())?;
            out.write_all(CLOSE.as_bytes())?;
        }
        const BLANKS: [u8; 4096] = [b' '; 4096];
        let mut pad = self.pad;
        while pad > 0 {
            let some = pad.min(BLANKS.len());
            out.write_all(&BLANKS[..some])?;
            pad -= some;
        }
        out.write_all(b"<script type=\"text/plain\" id=\"log\">\n")?;
        out.write_all(self.log.as_bytes())?;
        out.write_all(CLOSE.as_bytes())?;
        out.write_all(self.tail.as_bytes())
    }

    /// The page in memory. For large catalogues [`write_to`](Self::write_to) costs less.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing into memory can't fail.
        self.write_to(&mut bytes).map_or_else(|_| Vec::new(), |()| bytes)
    }

    /// Equal for two pages of this run that tell the same, whatever their generation and the
    /// moment they were made: then there is no need to write the second.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

const OPEN: &str = "<script type=\"text/plain\" class=\"data\">";
const CLOSE: &str = "</script>\n";

impl Shared {
    pub(super) fn new(view: &View<'_>) -> Result<Self, CatalogueError> {
        let home = view.report.address.as_deref().and_then(origin);
        let limited = view.devices.iter().filter_map(|d| Some((d.name.clone(), d.room?)));
        let rooms = limited.map(|(name, room)| (name, pack_first(view, room))).collect();
        let mut told = DefaultHasher::new();
        house(view, home, false)?.hash(&mut told);
        let told = told.finish();
        Ok(Self {
            head: head(home)?,
            house: pack(&house(view, home, true)?),
            told,
            rooms,
            now: view.now,
        })
    }
}

/// Puts a page together.
pub(super) fn make<'e>(
    shared: &'e Shared,
    of: &PageOf<'_>,
    blocks: Vec<&'e str>,
    log: &'e str,
    edition: (u64, u64),
) -> Result<Page<'e>, CatalogueError> {
    let Shared { head, house, told, rooms, now } = shared;
    let data: usize = blocks.iter().map(|block| OPEN.len() + block.len() + CLOSE.len()).sum();
    let end = head.len() + data;
    let pad = if data > BLOCK { end.next_multiple_of(BLOCK) - end } else { 0 };

    let mut hasher = DefaultHasher::new();
    (edition, head, told, log.len()).hash(&mut hasher);
    let told = page_json(of, rooms, None)?;
    (&told, of.page_id, of.key).hash(&mut hasher);

    let tail = format!(
        "<script type=\"text/plain\" id=\"house\">{house}</script>\n\
         <script type=\"application/json\" id=\"cfg\">{}</script>\n{}\n",
        page_json(of, rooms, Some(*now))?,
        worklist_line(of)?,
    );
    Ok(Page { head, blocks, pad, log, tail, fingerprint: hasher.finish() })
}

/// The line that carries the wishes home, empty as the NAS writes it. Its form is the contract
/// between page and NAS. Without wishes there is nothing to prove, so it has no seal; the key never stands in it.
fn worklist_line(of: &PageOf<'_>) -> Result<String, CatalogueError> {
    // Written by hand because the order of the keys is part of the form.
    let text = |value: Value| script_json(&value);
    Ok(format!(
        "<!--WORKLIST-BEGIN--><script type=\"application/json\" id=\"work\">\
         {{\"v\":2,\"page\":{},\"device\":{},\"gen\":{},\"nonce\":\"\",\"items\":[]}}\
         </script><!--WORKLIST-END-->",
        text(json!(of.page_id))?,
        text(json!(of.device))?,
        of.generation,
    ))
}

/// What is particular to the page. Without `now` all that does not change by itself.
fn page_json(
    of: &PageOf<'_>,
    rooms: &[(DeviceName, String)],
    now: Option<Time>,
) -> Result<String, CatalogueError> {
    let answers: Vec<Value> = of
        .answers
        .iter()
        .map(|a| {
            // Without an action it is the answer to a wish that could not be read.
            let (state, text) = match &a.answer {
                Answer::Done(text) => ("done", text),
                Answer::Waiting(text) => ("waiting", text),
                Answer::Refused(text) => ("refused", text),
            };
            json!({"id": a.id.to_string(), "op": a.action, "path": a.path.to_percent(),
                "state": state, "text": text, "at": a.at.secs()})
        })
        .collect();
    let harvested: Vec<String> = of.harvested.iter().map(ToString::to_string).collect();
    // The common page is asked about every device, a device's page mostly about its own.
    let rooms = rooms.iter().filter(|(device, _)| of.device.is_none_or(|own| own == device));
    let rooms: Map<String, Value> =
        rooms.map(|(device, packed)| (device.to_string(), json!(packed))).collect();
    let mut page = json!({"device": of.device, "may": of.may, "answers": answers,
        "harvested": harvested, "room": rooms});
    if let Some(now) = now {
        page["now"] = json!(now.secs());
        page["gen"] = json!(of.generation);
        page["page"] = json!(of.page_id);
        page["key"] = json!(of.key);
    }
    script_json(&page)
}

/// What is common to the pages besides the files. Without `moments` all that is news: not since when it is told.
fn house(view: &View<'_>, home: Option<&str>, moments: bool) -> Result<Vec<u8>, CatalogueError> {
    let paths = |paths: &std::collections::BTreeSet<RelPath>| -> Vec<String> {
        paths.iter().map(RelPath::to_percent).collect()
    };
    let devices: Vec<Value> = view
        .devices
        .iter()
        .map(|d| {
            json!({"name": d.name, "label": d.label, "used": d.used, "quota": d.quota,
                "seen": d.last_seen.map(Time::secs), "up": d.connected, "from": d.address,
                "known": d.has_id, "letin": d.let_in, "pins": paths(d.pins),
                "follows": paths(d.follows),
                "room": d.room.map(|r| [r.may_go, r.pinned, r.unsaved, r.moving]),
                "went": pack_went(view, d.evicted)})
        })
        .collect();
    let versions::Listed { versions, more, unlisted } = versions::list(view);
    let shares: Vec<Value> = view
        .shares
        .iter()
        .map(|s| {
            let mut share = json!({"path": s.path.to_percent(), "with": s.with, "at": s.at.secs(),
                "link": s.link, "folder": s.folder, "name": s.name, "people": s.people});
            if s.folder {
                share["used"] = json!(s.used);
                share["limit"] = json!(s.limit);
                share["full"] = json!(s.full);
                share["destroyed"] = json!(s.destroyed.map(Time::secs));
            }
            share
        })
        .collect();
    let asking: Vec<Value> = view
        .asking
        .iter()
        .map(|a| {
            json!({"id": a.id, "name": a.name, "from": a.address,
                "at": a.since.map(Time::secs), "refused": a.refused})
        })
        .collect();
    let qr = view.report.device_id.as_deref().and_then(super::qr::bits);
    let held: Vec<Value> = view
        .held
        .iter()
        .map(|h| json!({"device": h.device, "path": h.path.to_percent(), "files": h.files}))
        .collect();
    let mass_changes: Vec<Value> = view
        .mass_changes
        .iter()
        .map(|s| {
            let some: Vec<String> = s.some.iter().map(RelPath::to_percent).collect();
            json!({"device": s.device, "at": s.at.secs(), "rewritten": s.rewritten,
                "deleted": s.deleted, "created": s.created, "some": some})
        })
        .collect();
    let notices: Vec<Value> = view
        .report
        .notices
        .iter()
        .map(|n| {
            let at = if moments { n.at.secs() } else { 0 };
            json!({"at": at, "condition": n.condition, "what": n.what, "next": n.next})
        })
        .collect();
    let live: Vec<Value> = progress(view)
        .take(PROGRESS_MAX)
        .map(|(d, path, percent)| json!([d, path.to_percent(), percent]))
        .collect();
    // How the hardware fares is told with the news, and is none.
    let machine = view.report.machine.to_string();
    let machine = (moments && !machine.is_empty()).then_some(machine);
    let space = view.report.space.map(|(free, all)| [rounded(free.0), all.0]);
    Ok(serde_json::to_vec(
        &json!({"nas": view.nas_name, "id": view.report.device_id, "home": home, "undo": view.undo,
        "space": space, "machine": machine, "notices": notices, "held": held, "storms": mass_changes,
        "twins": pack_twins(view), "more_twins": view.twins.more, "devices": devices,
        "versions": versions, "older": more, "unlisted": unlisted, "shares": shares, "asking": asking, "qr": qr, "live": live}),
    )?)
}

/// To three digits, because a page that is new only by some kilobytes of room is no news.
fn rounded(bytes: u64) -> u64 {
    let mut unit = 1;
    while bytes / unit >= 1000 {
        unit *= 10;
    }
    bytes / unit * unit
}

fn head(home: Option<&str>) -> Result<String, CatalogueError> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_template("page.html.j2", TEMPLATE)?;
    let assets = &*ASSETS;
    let [first, css, boot, app] = &assets.hashes;
    let csp = format!(
        "default-src 'none'; script-src 'sha256-{boot}' 'sha256-{app}'; \
         style-src 'sha256-{first}' 'sha256-{css}'; img-src 'self' file: data:; connect-src 'self'{}{}; base-uri 'none'; form-action 'none'",
        if home.is_some() { " " } else { "" },
        home.unwrap_or_default(),
    );
    let mut head = environment.get_template("page.html.j2")?.render(
        context! { csp, css => &assets.first, code => &assets.code, boot => &assets.boot },
    )?;
    head.push('\n');
    Ok(head)
}

/// Scheme, host and port of an address, when it is a plain one of these; nothing else may get
/// into the page's policy.
fn origin(address: &str) -> Option<&str> {
    let host = address.find("://").filter(|&i| matches!(&address[..i], "http" | "https"))? + 3;
    let end = address[host..].find('/').map_or(address.len(), |i| host + i);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    (end > host && address[host..end].chars().all(plain)).then(|| &address[..end])
}

/// JSON that can stand in a script element: without `<`, nothing in it can end the element.
fn script_json(value: &Value) -> Result<String, CatalogueError> {
    Ok(serde_json::to_string(value)?.replace('<', "\\u003c"))
}

fn sha256(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text))
}

/// Sources without what only their readers need: indentation, empty lines, comments on lines of
/// their own. The sources keep to one statement or comment a line and have no multi-line strings.
fn lean(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut within = false;
    for line in source.lines().map(str::trim) {
        within |= line.starts_with("/*");
        let comment = within || line.starts_with("//");
        within &= !line.ends_with("*/");
        if !line.is_empty() && !comment {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// Looks without the blanks around their punctuation, which are for readers. Texts in them keep
/// theirs: none has one of these signs before a blank.
fn squeezed(css: &str) -> String {
    let css = css.replace(" { ", "{").replace(" {\n", "{").replace("; }", "}").replace(" }", "}");
    css.replace("; ", ";").replace(": ", ":").replace("}\n", "}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_origins_get_into_the_policy() {
        for (address, plain) in [
            ("http://larder.local:8080/", Some("http://larder.local:8080")),
            ("http://[fe80::1]:8080/catalogue/", Some("http://[fe80::1]:8080")),
            ("https://10.0.0.2", Some("https://10.0.0.2")),
            ("http://x; script-src *", None),
            ("http://x'y/", None),
            ("javascript://x", None),
            ("http://", None),
            ("larder.local", None),
        ] {
            assert_eq!(origin(address), plain, "{address}");
        }
    }

    #[test]
    fn room_on_the_drive_is_news_only_in_three_digits() {
        assert_eq!(rounded(0), 0);
        assert_eq!(rounded(999), 999);
        assert_eq!(rounded(612_345_678_901), 612_000_000_000);
    }
}
