//! One table of the file, taken apart key by key: what is known goes to whoever asks for it, what is
//! not is complained of, and a value of the wrong type costs only itself.

use super::complaint::{Complaint, Lines, Wrong, clip, closest, switch};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Every key there is, by the table it belongs to.
pub(super) const KEYS: [(&str, &[&str]); 9] = [
    (
        "",
        &[
            "nas",
            "devices",
            "night",
            "led",
            "web",
            "sync",
            "drive",
            "wifi",
            "keep_versions",
            "versions_share",
            "undo",
        ],
    ),
    ("nas", &["name", "hostname", "timezone"]),
    ("devices.<name>", &["label", "id", "quota", "role", "may"]),
    ("night", &["from", "to", "dedup"]),
    ("led", &["pin", "active_low"]),
    ("web", &["enabled", "port", "password", "readers"]),
    ("sync", &["enabled", "port", "internet"]),
    ("drive", &["format", "adopt", "import"]),
    ("wifi", &["ssid", "password", "country"]),
];

/// The complaints so far, and the text they are about.
pub(super) struct Critic<'t> {
    pub(super) lines: Lines<'t>,
    pub(super) complaints: Vec<Complaint>,
    /// Those that spare the rest of the file.
    pub(super) left_out: Vec<Complaint>,
}

impl Critic<'_> {
    /// Complains of what begins at a byte.
    pub(super) fn add(&mut self, at: usize, wrong: Wrong) {
        let line = self.lines.line(at);
        self.complaints.push(wrong.at(line));
    }

    /// Complains of what begins at a byte and is left out alone.
    pub(super) fn leave_out(&mut self, at: usize, wrong: Wrong) {
        let line = self.lines.line(at);
        self.left_out.push(Complaint { spares_the_rest: true, ..wrong.at(line) });
    }

    /// Unwraps a value, or complains.
    pub(super) fn take<T>(&mut self, at: usize, value: Result<T, Wrong>) -> Option<T> {
        value.map_err(|wrong| self.add(at, wrong)).ok()
    }

    /// Opens a value as a table whose keys are those of `kind` in [`KEYS`]; complains of the others.
    pub(super) fn section<'v>(
        &mut self,
        kind: &'static str,
        name: &str,
        value: &'v Spanned<DeValue<'_>>,
    ) -> Option<Section<'v>> {
        let DeValue::Table(table) = value.get_ref() else {
            let wrong = Wrong::new(
                format!("`{}` must be a heading, not {}", clip(name), kind_of(value.get_ref())),
                format!("write [{}] on a line of its own, and its settings below it", clip(name)),
            );
            self.add(value.span().start, wrong);
            return None;
        };
        self.check_keys(kind, name, table);
        Some(Section { table, at: value.span().start })
    }

    /// Complains of every key that the table `kind` does not have.
    pub(super) fn check_keys(&mut self, kind: &str, name: &str, table: &DeTable<'_>) {
        let known = keys(kind);
        for key in table.keys().filter(|key| !known.contains(&&**key.get_ref())) {
            self.add(key.span().start, unknown(key.get_ref(), kind, name));
        }
    }
}

fn keys(kind: &str) -> &'static [&'static str] {
    KEYS.iter().find(|(section, _)| *section == kind).map_or(&[], |(_, keys)| keys)
}

fn unknown(key: &str, kind: &str, name: &str) -> Wrong {
    let place = if name.is_empty() { String::new() } else { format!(" in [{}]", clip(name)) };
    let what = format!("unknown key `{}`{place}", clip(key));
    if let Some(known) = closest(key, keys(kind).iter().copied()) {
        return Wrong::new(what, format!("did you mean `{known}`?"));
    }
    let elsewhere = KEYS.iter().find(|(section, keys)| *section != kind && keys.contains(&key));
    match elsewhere {
        Some(("", _)) => Wrong::new(what, format!("`{key}` belongs above the first [heading]")),
        Some((section, _)) => Wrong::new(what, format!("it belongs under [{section}]")),
        None => Wrong::new(
            what,
            format!("put # before it; here you can set {}", list(keys(kind).iter().copied())),
        ),
    }
}

/// "`a`, `b` or `c`".
pub(super) fn list<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let mut quoted: Vec<_> = words.into_iter().map(|word| format!("`{word}`")).collect();
    let last = quoted.pop().unwrap_or_default();
    if quoted.is_empty() { last } else { format!("{} or {last}", quoted.join(", ")) }
}

/// One table.
pub(super) struct Section<'v> {
    table: &'v DeTable<'v>,
    /// Where it begins in the text.
    pub(super) at: usize,
}

impl<'v> Section<'v> {
    pub(super) const fn new(table: &'v DeTable<'v>, at: usize) -> Self {
        Self { table, at }
    }

    /// The value of a key, and where it begins.
    pub(super) fn get(&self, key: &str) -> Option<(&'v DeValue<'v>, usize)> {
        let value = self.table.get(key)?;
        Some((value.get_ref(), value.span().start))
    }

    /// A value read by `read`, or what was there before; complains when it can't be read.
    pub(super) fn read<T>(
        &self,
        critic: &mut Critic<'_>,
        key: &str,
        target: &mut T,
        read: impl FnOnce(&str, &DeValue<'_>) -> Result<T, Wrong>,
    ) {
        if let Some((value, at)) = self.get(key)
            && let Some(value) = critic.take(at, read(key, value))
        {
            *target = value;
        }
    }
}

/// A text.
pub(super) fn text<'v>(key: &str, value: &'v DeValue<'_>) -> Result<&'v str, Wrong> {
    value.as_str().ok_or_else(|| {
        let next = match value {
            // Complaints are shown on pages: they do not repeat a password.
            DeValue::Integer(n) if key != "password" => {
                format!("write {key} = \"{}\"", clip(n.as_str()))
            }
            _ => format!("write {key} = \"…\""),
        };
        Wrong::new(format!("`{key}` must be a text in quotes, not {}", kind_of(value)), next)
    })
}

/// A switch.
pub(super) fn boolean(key: &str, value: &DeValue<'_>) -> Result<bool, Wrong> {
    value.as_bool().ok_or_else(|| {
        let next = match value.as_str().and_then(switch) {
            Some(word) => format!("write {key} = {word}"),
            None => format!("write {key} = true or {key} = false"),
        };
        Wrong::new(
            format!("`{key}` must be true or false, without quotes, not {}", kind_of(value)),
            next,
        )
    })
}

/// A whole number, when it is one and fits.
pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
}

/// What a value is, for people.
pub(super) const fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a heading",
    }
}
