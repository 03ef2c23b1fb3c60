//! What can be wrong with a worklist, in words for the page and the log.

use super::{MAX_BYTES, MAX_DEVICES, MAX_TEXT, MAX_WISHES, VERSION};
use crate::model::{Action, DeviceNameError, PathError, WishId, show};
use std::fmt;

/// One thing that is wrong with a worklist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// The wish it belongs to, where its identity could be read: the page answers it "refused".
    pub wish: Option<WishId>,
    /// Which of the items, counted from 1; 0 when it is about the whole list.
    pub item: usize,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.item {
            0 => write!(f, "{}", self.problem),
            item => write!(f, "wish number {item}: {}", self.problem),
        }
    }
}

/// What is wrong, each with what to do about it. Texts from the list are clipped and made harmless.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Problem {
    /// Nothing in it.
    #[error("the worklist is empty; save the page again")]
    Empty,
    /// Something else than an object.
    #[error("this is no worklist: it does not begin with `{{`; save the page again")]
    NoList,
    /// Larger than the cap; this many bytes.
    #[error(
        "the worklist has {0} bytes, more than the {MAX_BYTES} that are read; wishes beyond them are left out: press them again when the others are done"
    )]
    TooLong(usize),
    /// Cut off or unreadable from this byte on.
    #[error(
        "the worklist is cut off or damaged at byte {0}; the wishes before it count, press the others again"
    )]
    Damaged(usize),
    /// Something follows the list.
    #[error("something follows the end of the worklist; it was left out")]
    Trailing,
    /// Another version.
    #[error(
        "the worklist has version {0}, and this Larder knows versions 1 to {VERSION}; what it understood counts. Update Larder, or open the newest page"
    )]
    Version(String),
    /// A field that should be there is not.
    #[error("`{0}` is missing; open the newest page and press it again")]
    Missing(&'static str),
    /// A field is there twice.
    #[error("`{0}` is there more than once, so nobody can say which counts; press it again")]
    Twice(&'static str),
    /// A field has another type; which it should have.
    #[error("`{0}` must be {1}; open the newest page and press it again")]
    Type(&'static str, &'static str),
    /// More wishes than are read; this many were left out.
    #[error(
        "{0} wishes are beyond the {MAX_WISHES} that one worklist may hold and were left out; press them again when the others are done"
    )]
    TooMany(usize),
    /// More problems than are listed.
    #[error("{0} more problems of this worklist are not listed")]
    More(usize),
    /// A wish whose identity an earlier one in the same list has.
    #[error(
        "it has the identity of an earlier wish in the list, which counts; this one was left out"
    )]
    Repeated,
    /// A wish that is something else than an object.
    #[error("this is no wish but {0}; press it again")]
    NoWish(String),
    /// A wish that is no whole JSON.
    #[error("the wish is damaged; press it again")]
    DamagedWish,
    /// An identity that is none.
    #[error("`id` must be 20 digits of 0-9 and a-f; press it again")]
    BadId,
    /// Bytes that are no UTF-8, in this field.
    #[error(
        "`{0}` has broken characters, so it may name something else than meant; press it again"
    )]
    Broken(&'static str),
    /// An action that does not exist; and one that is much like it.
    #[error("`{0}` is nothing that can be wished{hint}", hint = like(.1.as_ref()))]
    UnknownAction(String, Option<Action>),
    /// A path that is not accepted.
    #[error("{0}")]
    Path(#[from] PathError),
    /// The whole drive is meant, where that makes no sense or too much harm.
    #[error("`{0}` can't be wished for everything at once; choose files or folders")]
    Everything(Action),
    /// A device name that is not accepted.
    #[error(transparent)]
    Device(#[from] DeviceNameError),
    /// More devices than a wish may name.
    #[error("{0} devices are named, and one wish may name {MAX_DEVICES}; make several wishes")]
    TooManyDevices(usize),
    /// `move` from the page's device to the page's device.
    #[error("it is not said from where or to where to move; choose the devices")]
    NoDirection,
    /// `accept` or `forget` of none or several devices.
    #[error("`to` must name the one device that is meant; open the newest page and press it again")]
    NoDevice,
    /// `destroy` without what the page showed.
    #[error(
        "`seen` is missing: nothing is destroyed unless the page says which content it showed; open the newest page and press it again"
    )]
    NotSeen,
    /// A text longer than the cap.
    #[error("`{0}` is longer than {MAX_TEXT} bytes; shorten it")]
    TextTooLong(&'static str),
    /// `undo` of a version that is no number.
    #[error("`with` must be the number of a kept version; choose one on the newest page")]
    NoVersion,
    /// A limit that is none.
    #[error("`limit_mb` must be a whole number of MB from 1 to 1,000,000,000, or -1 for no limit")]
    Limit,
    /// No time.
    #[error("`at` must be a time such as 2026-11-23T10:00:00Z; check the clock of the device")]
    NoTime,
}

fn like(action: Option<&Action>) -> String {
    match action {
        Some(action) => format!("; did you mean `{action}`?"),
        None => "; open the newest page and press it again".into(),
    }
}

/// A text from the list, harmless and short enough to be told.
pub(super) fn clip(text: &str) -> String {
    let mut shown = show(text.chars().take(40).collect::<String>().as_bytes());
    if text.chars().nth(40).is_some() {
        shown.push('…');
    }
    shown
}
