//! The dialects: the names that each sync engine, the browsers, other programs and Larder itself use beside people's files.
//!
//! Everything that has to know such a name asks here: what is taken in, what never leaves a folder, what is a copy of a
//! conflict. A new transport adds its [`Dialect`] and is known everywhere. Pure data; names are bytes, and case counts.

mod id;

pub use id::IdError;

/// The shape of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// Exactly this.
    Is(&'static str),
    /// This, and anything behind it.
    Begins(&'static str),
    /// Anything, and then this.
    Ends(&'static str),
    /// One, anything, and then the other.
    Between(&'static str, &'static str),
    /// This, and at least so many more bytes.
    BeginsAndMore(&'static str, usize),
}

impl Shape {
    /// True for a name of this shape.
    pub fn fits(self, name: &[u8]) -> bool {
        match self {
            Self::Is(whole) => name == whole.as_bytes(),
            Self::Begins(start) => name.starts_with(start.as_bytes()),
            Self::Ends(end) => name.ends_with(end.as_bytes()),
            Self::Between(start, end) => {
                name.len() >= start.len() + end.len()
                    && name.starts_with(start.as_bytes())
                    && name.ends_with(end.as_bytes())
            }
            Self::BeginsAndMore(start, more) => {
                name.len() >= start.len() + more && name.starts_with(start.as_bytes())
            }
        }
    }

    /// The shape as a pattern of a shell.
    pub fn glob(self) -> String {
        match self {
            Self::Is(whole) => whole.to_owned(),
            Self::Begins(start) => format!("{start}*"),
            Self::Ends(end) => format!("*{end}"),
            Self::Between(start, end) => format!("{start}*{end}"),
            Self::BeginsAndMore(start, more) => format!("{start}{}*", "?".repeat(more)),
        }
    }
}

/// The folder by which a sync engine knows that what it synchronizes is there.
#[derive(Clone, Copy, Debug)]
pub struct Marker {
    /// Its name, at the top of the synchronized folder.
    pub name: &'static str,
    /// What becomes of the name when the folder is taken out and the marker is not empty.
    pub removed: Shape,
    /// What the engine itself puts into it.
    pub content: Shape,
}

impl Marker {
    /// True for a marker, also one that was put aside.
    fn is(self, name: &[u8]) -> bool {
        name == self.name.as_bytes() || self.removed.fits(name)
    }
}

/// The names that one program uses.
#[derive(Debug)]
pub struct Dialect {
    /// The program, for people.
    pub program: &'static str,
    /// By what it knows a folder that it synchronizes.
    pub marker: Option<Marker>,
    /// Its list of names to pass over, in each folder.
    pub ignore_list: Option<&'static str>,
    /// Folders in which it keeps contents: its versions, its state.
    folders: &'static [&'static str],
    /// What else it keeps for itself.
    reserved: &'static [Shape],
    /// What stands beside a file while it is written, and goes by itself.
    temporary: &'static [Shape],
    /// What means something to one computer only: it is a file like others, and no sync engine takes it anywhere.
    local: &'static [Shape],
    /// Downloads that are not finished, in lower case.
    partial: &'static [Shape],
    /// What stands in the name of a copy that it makes of a conflict, before date, time and id.
    conflict: Option<&'static str>,
    /// Reads an id of its devices as people type it.
    read_id: Option<ReadId>,
}

/// What reads an id as people type it.
type ReadId = fn(&str) -> Result<String, IdError>;

/// A program that uses no names.
const NONE: Dialect = Dialect {
    program: "",
    marker: None,
    ignore_list: None,
    folders: &[],
    reserved: &[],
    temporary: &[],
    local: &[],
    partial: &[],
    conflict: None,
    read_id: None,
};

/// Syncthing's marker.
pub const STFOLDER: Marker = Marker {
    name: ".stfolder",
    removed: Shape::Begins(".stfolder.removed-"),
    content: Shape::Begins("syncthing-folder-"),
};

/// Syncthing's list of names to pass over.
pub const STIGNORE: &str = ".stignore";

/// Syncthing, 1.27 to 2.x.
pub static SYNCTHING: Dialect = Dialect {
    program: "Syncthing",
    marker: Some(STFOLDER),
    ignore_list: Some(STIGNORE),
    folders: &[".stversions"],
    // It goes by the beginning alone: what begins so is never sent, and removed after a day.
    reserved: &[Shape::Begins(".syncthing."), Shape::Begins("~syncthing~")],
    temporary: &[Shape::Between(".syncthing.", ".tmp"), Shape::Between("~syncthing~", ".tmp")],
    conflict: Some(".sync-conflict-"),
    read_id: Some(id::read_syncthing_id),
    ..NONE
};

/// Resilio Sync. Larder does not run it, but a device that once used it has its names in its folders.
pub static RESILIO: Dialect = Dialect {
    program: "Resilio Sync",
    folders: &[".sync"],
    temporary: &[Shape::Ends(".!sync")],
    ..NONE
};

/// Larder itself.
pub static LARDER: Dialect =
    Dialect { program: "Larder", reserved: &[Shape::Begins(".larder-")], ..NONE };

/// Browsers: what they write beside a page that is saved, and what they download.
pub static BROWSERS: Dialect = Dialect {
    program: "a browser",
    temporary: &[Shape::Ends(".crswap")],
    partial: &[
        Shape::Ends(".crswap"),
        Shape::Ends(".crdownload"),
        Shape::Ends(".part"),
        Shape::Ends(".download"),
        Shape::Ends(".tmp"),
    ],
    ..NONE
};

/// Office programs, file systems and the kernel.
pub static SYSTEM: Dialect = Dialect {
    program: "the system",
    temporary: &[Shape::Is("lost+found")],
    local: &[
        Shape::Between(".~lock.", "#"),
        Shape::Begins(".fuse_hidden"),
        Shape::BeginsAndMore(".nfs", 16),
    ],
    ..NONE
};

/// Every dialect that is known.
pub static DIALECTS: [&Dialect; 5] = [&SYNCTHING, &RESILIO, &LARDER, &BROWSERS, &SYSTEM];

impl Dialect {
    fn is_reserved(&self, name: &[u8]) -> bool {
        self.marker.is_some_and(|marker| marker.is(name))
            || self.ignore_list.is_some_and(|list| list.as_bytes() == name)
            || self.folders.iter().any(|folder| folder.as_bytes() == name)
            || self.reserved.iter().any(|shape| shape.fits(name))
    }

    fn is_temporary(&self, name: &[u8]) -> bool {
        self.temporary.iter().any(|shape| shape.fits(name))
    }

    /// Every shape of name that does not leave a folder, and whether what has it may be removed with the folder: not
    /// where somebody's contents may lie in it.
    fn unsent(&self) -> impl Iterator<Item = (Shape, bool)> {
        let marker = self.marker.iter().flat_map(|m| [Shape::Is(m.name), m.removed]);
        let list = self.ignore_list.iter().map(|name| Shape::Is(name));
        let folders = self.folders.iter().map(|name| (Shape::Is(name), false));
        let lost = |shape: &Shape| *shape != Shape::Is("lost+found");
        let passing = self.temporary.iter().map(move |shape| (*shape, lost(shape)));
        let others = self.reserved.iter().chain(self.local).copied();
        let others = marker.chain(list).chain(others).map(|shape| (shape, true));
        others.chain(passing).chain(folders)
    }

    /// The name of the file that this is a conflict copy of: `name.sync-conflict-YYYYMMDD-HHMMSS-XXXXXXX.ext` is one of
    /// `name.ext` (docs.syncthing.net "Conflict resolution"; the extension is what follows the last dot).
    pub fn conflict_of(&self, name: &[u8]) -> Option<Vec<u8>> {
        let mark = self.conflict?.as_bytes();
        let start = name.windows(mark.len()).rposition(|window| window == mark)?;
        let (stamp, extension) = name[start + mark.len()..].split_at_checked(8 + 1 + 6 + 1 + 7)?;
        let is_stamp = stamp.iter().enumerate().all(|(at, b)| match at {
            8 | 15 => *b == b'-',
            0..15 => b.is_ascii_digit(),
            _ => b.is_ascii_uppercase() || (b'2'..=b'7').contains(b),
        });
        let dots = extension.iter().filter(|b| **b == b'.').count();
        let is_extension = extension.is_empty() || (extension[0] == b'.' && dots == 1);
        (is_stamp && is_extension).then(|| [&name[..start], extension].concat())
    }

    /// Reads an id of its devices as people type or paste it; its one true spelling.
    pub fn read_id(&self, text: &str) -> Result<String, IdError> {
        self.read_id.map_or(Err(IdError::Form), |read| read(text))
    }
}

/// True for a name that is nobody's file: it is not taken in, counted or shown, it is not sent, and it does not keep a
/// folder from being removed.
pub fn is_private(name: &[u8]) -> bool {
    DIALECTS.iter().any(|dialect| dialect.is_reserved(name) || dialect.is_temporary(name))
}

/// True for a name that a sync engine or Larder keeps for itself. A family's file of such a name has no place in the
/// catalogue, which is told. What goes by itself is none of them.
pub fn is_reserved(name: &[u8]) -> bool {
    DIALECTS.iter().any(|dialect| dialect.is_reserved(name))
        && !DIALECTS.iter().any(|dialect| dialect.is_temporary(name))
}

/// True for a name that may leave a folder.
pub fn is_sent(name: &[u8]) -> bool {
    let is_local = |dialect: &&Dialect| dialect.local.iter().any(|shape| shape.fits(name));
    !is_private(name) && !DIALECTS.iter().any(is_local)
}

/// Every shape of name that never leaves a folder, and whether it may go when the folder is removed.
pub fn unsent() -> impl Iterator<Item = (Shape, bool)> {
    DIALECTS.iter().flat_map(|dialect| dialect.unsent())
}

/// True for a download that is not finished. Case does not count.
pub fn is_partial(name: &[u8]) -> bool {
    let lower = name.to_ascii_lowercase();
    DIALECTS.iter().any(|dialect| dialect.partial.iter().any(|shape| shape.fits(&lower)))
}

/// True for a folder by which a sync engine knows what it synchronizes, also one that was put aside.
pub fn is_marker(name: &[u8]) -> bool {
    DIALECTS.iter().any(|dialect| dialect.marker.is_some_and(|marker| marker.is(name)))
}

/// True for what a sync engine puts into its marker.
pub fn is_in_marker(name: &[u8]) -> bool {
    let fits = |dialect: &&Dialect| dialect.marker.is_some_and(|m| m.content.fits(name));
    DIALECTS.iter().any(fits)
}

/// The name of the file that this is a sync engine's conflict copy of.
pub fn conflict_of(name: &[u8]) -> Option<Vec<u8>> {
    DIALECTS.iter().find_map(|dialect| dialect.conflict_of(name))
}

#[cfg(test)]
mod tests;
