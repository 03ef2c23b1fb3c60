//! Where worklists are: within pages, and in files beside them. Finds, writes and names them.

use super::Worklist;
use crate::model::dialect::{conflict_of, is_partial, is_private};
use crate::model::{Action, Holder, Seen, Wish};
use serde::Serialize;

const BEGIN: &str = "<!--WORKLIST-BEGIN--><script type=\"application/json\" id=\"work\">";
const END: &str = "</script><!--WORKLIST-END-->";

/// Why there is no worklist in a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FindError {
    /// No opening marker.
    #[error("the page has no worklist; it is no catalogue page, or an editor took it out")]
    Missing,
    /// The opening marker of the last worklist is there, and its closing marker does not follow.
    #[error("the page's worklist is cut off or damaged; open the newest page and save it again")]
    Damaged,
}

/// Finds the worklist of a page: the text between the last pair of markers.
///
/// A page's own code may have the markers in it, so earlier ones never count, not even when the
/// last pair is damaged. The first `<` behind the opening marker must begin the closing one (pages
/// write `<` as `\u003c` inside), so that a browser and this see the same text.
pub fn find(page: &[u8]) -> Result<&[u8], FindError> {
    let (start, end) = locate(page)?;
    Ok(&page[start..end])
}

fn locate(page: &[u8]) -> Result<(usize, usize), FindError> {
    let mut end = page.len();
    let start = loop {
        let at = page[..end].iter().rposition(|&b| b == b'<').ok_or(FindError::Missing)?;
        if page[at..].starts_with(BEGIN.as_bytes()) {
            break at + BEGIN.len();
        }
        end = at;
    };
    let length = page[start..].iter().position(|&b| b == b'<').ok_or(FindError::Damaged)?;
    let end = start + length;
    if page[end..].starts_with(END.as_bytes()) { Ok((start, end)) } else { Err(FindError::Damaged) }
}

/// A page with another worklist in the place of its own; all else stays byte by byte. The list has no seal.
pub fn put(page: &[u8], list: &Worklist) -> Result<Vec<u8>, FindError> {
    put_text(page, &to_json(list))
}

/// A page with this text, which has no `<`, in the place of its worklist.
pub fn put_text(page: &[u8], text: &str) -> Result<Vec<u8>, FindError> {
    let (start, end) = locate(page)?;
    Ok([&page[..start], text.as_bytes(), &page[end..]].concat())
}

/// The line of the page that holds the worklist: markers and text, without a line break. Diagnostics
/// are not written.
pub fn encode(list: &Worklist) -> String {
    format!("{BEGIN}{}{END}", to_json(list))
}

/// The worklist as JSON on one line, as in a downloaded file, without a seal. Has no `<`. A list that says no version
/// is written as version 1.
pub fn to_json(list: &Worklist) -> String {
    let raw = RawList {
        v: list.version.max(1),
        page: &list.page,
        key: Some(&*list.key).filter(|key| list.version < 2 || !key.is_empty()),
        device: list.device.as_deref(),
        generation: list.generation,
        nonce: &list.nonce,
        items: list.wishes.iter().map(RawWish::from).collect(),
    };
    // Texts and numbers only: there is nothing in it that JSON can't hold.
    serde_json::to_string(&raw).unwrap_or_default().replace('<', "\\u003c")
}

#[derive(Serialize)]
struct RawList<'a> {
    v: u64,
    page: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    #[serde(rename = "gen")]
    generation: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    nonce: &'a str,
    items: Vec<RawWish<'a>>,
}

#[derive(Serialize)]
struct RawWish<'a> {
    id: String,
    op: Action,
    path: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    to: &'a [Holder],
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    with: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_mb: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<Seen>,
    at: String,
}

impl<'a> From<&'a Wish> for RawWish<'a> {
    fn from(wish: &'a Wish) -> Self {
        Self {
            id: wish.id.to_string(),
            op: wish.action,
            path: wish.path.to_percent(),
            to: &wish.to,
            from: wish.from.as_ref().map(|name| name.as_str()),
            with: wish.with.as_deref(),
            limit_mb: wish.limit_mb,
            seen: wish.seen,
            at: wish.at.rfc3339(),
        }
    }
}

/// The worklist in a file that somebody saved under another name: of a page, or of a downloaded list. `None` when the
/// file is neither.
pub fn find_saved(content: &[u8]) -> Option<Result<&[u8], FindError>> {
    match find(content) {
        Err(FindError::Missing) => {}
        found => return Some(found),
    }
    let text = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content).trim_ascii_start();
    // Downloads are one object on one line that begins with its version.
    let list =
        text.strip_prefix(b"{").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"\"v\""));
    list.then_some(Ok(content))
}

/// What a file in a page's folder is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// The page itself, `catalogue.html`.
    Page,
    /// A copy of the page that the sync engine put aside, `catalogue.sync-conflict-<date>-<time>-<id>.html`.
    ConflictCopy,
    /// What may be a page or a worklist that a browser or its owner saved: everything else that begins with
    /// "catalogue". What is in it tells.
    Beside,
}

/// Tells by its name what a file in a page's folder is; `None` is a file that is not ours to read.
///
/// Names of which a dialect says that they are being written are none of them.
pub fn file_kind(name: &[u8]) -> Option<Kind> {
    const BEGINNING: &[u8] = b"catalogue";
    const PAGE: &[u8] = b"catalogue.html";
    if name == PAGE {
        return Some(Kind::Page);
    }
    let begins = name.get(..BEGINNING.len()).is_some_and(|b| b.eq_ignore_ascii_case(BEGINNING));
    if !begins || is_private(name) || is_partial(name) {
        return None;
    }
    let mut of = conflict_of(name);
    while let Some(again) = of.as_deref().and_then(conflict_of) {
        of = Some(again);
    }
    Some(if of.as_deref() == Some(PAGE) { Kind::ConflictCopy } else { Kind::Beside })
}
