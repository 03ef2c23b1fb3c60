//! Which part of a file is asked for, and whether it is needed at all (RFC 9110, sections 13 and
//! 14). Pure.

use axum::http::HeaderMap;
use axum::http::header::{
    HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};

/// What to send of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// `len` bytes from `from` on; at least one.
    Some {
        /// First byte.
        from: u64,
        /// How many.
        len: u64,
    },
    /// Nothing: the client has it.
    Unchanged,
    /// Nothing: it is not the file that the client means.
    Changed,
    /// Nothing: the file has no such part.
    Beyond,
}

/// Decides by the request's headers, the file's entity tag (in quotes), its `Last-Modified` and its
/// size.
pub(super) fn part(asked: &HeaderMap, etag: &str, modified: &str, size: u64) -> Part {
    match text(asked, IF_MATCH) {
        Some(tags) if !lists(tags, etag, false) => return Part::Changed,
        Some(_) => {}
        // We send one form of a date, and clients send back what they got.
        None if text(asked, IF_UNMODIFIED_SINCE).is_some_and(|since| since != modified) => {
            return Part::Changed;
        }
        None => {}
    }
    let unchanged = match text(asked, IF_NONE_MATCH) {
        Some(tags) => lists(tags, etag, true),
        None => text(asked, IF_MODIFIED_SINCE) == Some(modified),
    };
    if unchanged {
        return Part::Unchanged;
    }
    let same = text(asked, IF_RANGE).is_none_or(|was| was == etag || was == modified);
    match text(asked, RANGE) {
        Some(range) if same => one(range, size),
        _ => Part::Whole,
    }
}

/// The value of a header that is there once and is plain text.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// True when a list of entity tags has this one. `weak`: also where it is marked as weak.
fn lists(tags: &str, etag: &str, weak: bool) -> bool {
    tags.split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || tag == etag || (weak && tag.strip_prefix("W/") == Some(etag)))
}

/// One range. What is no range, or several, is answered with the whole file, as RFC 9110 allows:
/// several overlapping ones would be a cheap way to make us send much.
fn one(range: &str, size: u64) -> Part {
    let Some((unit, spec)) = range.split_once('=') else { return Part::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Part::Whole;
    }
    let Some((first, last)) = spec.trim().split_once('-') else { return Part::Whole };
    let (Some(first), Some(last)) = (number(first), number(last)) else { return Part::Whole };
    let (from, len) = match (first, last) {
        (Some(first), Some(last)) if last < first => return Part::Whole,
        (Some(first), last) if first < size => {
            let last = last.unwrap_or(u64::MAX).min(size - 1);
            (first, last - first + 1)
        }
        (None, Some(tail)) if tail > 0 && size > 0 => {
            let len = tail.min(size);
            (size - len, len)
        }
        (None, None) => return Part::Whole,
        _ => return Part::Beyond,
    };
    Part::Some { from, len }
}

/// `Some(None)` is no number at all, which has a meaning; `None` is something else.
fn number(text: &str) -> Option<Option<u64>> {
    match text {
        "" => Some(None),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
            // More digits than fit are a number beyond every file.
            Some(Some(digits.parse().unwrap_or(u64::MAX)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Part::{Beyond, Changed, Unchanged, Whole};

    const TAG: &str = "\"a-1\"";
    const DATE: &str = "Mon, 23 Nov 2026 10:00:00 GMT";

    fn of(size: u64, headers: &[(&str, &str)]) -> Part {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        part(&map, TAG, DATE, size)
    }

    #[test]
    fn ranges() {
        let some = |from, len| Part::Some { from, len };
        for (range, part) in [
            ("bytes=0-0", some(0, 1)),
            ("bytes=0-99", some(0, 100)),
            ("bytes=10-19", some(10, 10)),
            ("bytes=90-", some(90, 10)),
            ("bytes=99-", some(99, 1)),
            ("bytes=99-100", some(99, 1)),
            ("bytes=0-18446744073709551615", some(0, 100)),
            ("bytes=0-99999999999999999999999", some(0, 100)),
            ("bytes=-1", some(99, 1)),
            ("bytes=-100", some(0, 100)),
            ("bytes=-1000", some(0, 100)),
            ("Bytes=5-5", some(5, 1)),
            ("bytes= 5-5 ", some(5, 1)),
            ("bytes=100-", Beyond),
            ("bytes=100-200", Beyond),
            ("bytes=99999999999999999999999-", Beyond),
            ("bytes=-0", Beyond),
            ("bytes=5-4", Whole),
            ("bytes=-", Whole),
            ("bytes=", Whole),
            ("bytes", Whole),
            ("", Whole),
            ("bytes=a-b", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=0x0-5", Whole),
            ("bytes=--5", Whole),
            ("bytes=0-1,3-4", Whole),
            ("bytes=0-,0-,0-", Whole),
            ("lines=0-5", Whole),
        ] {
            assert_eq!(of(100, &[("range", range)]), part, "{range}");
        }
        for range in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
            assert_eq!(of(0, &[("range", range)]), Beyond, "{range} of an empty file");
        }
    }

    #[test]
    fn conditions() {
        let range = ("range", "bytes=0-0");
        let first = Part::Some { from: 0, len: 1 };
        for (headers, part) in [
            (vec![], Whole),
            (vec![("if-none-match", TAG)], Unchanged),
            (vec![("if-none-match", "W/\"a-1\"")], Unchanged),
            (vec![("if-none-match", "\"b\", \"a-1\"")], Unchanged),
            (vec![("if-none-match", "*")], Unchanged),
            (vec![("if-none-match", "\"b\"")], Whole),
            (vec![("if-none-match", "a-1")], Whole),
            (vec![("if-modified-since", DATE)], Unchanged),
            (vec![("if-modified-since", "Mon, 23 Nov 2026 10:00:01 GMT")], Whole),
            // The tag is the better witness.
            (vec![("if-none-match", "\"b\""), ("if-modified-since", DATE)], Whole),
            (vec![("if-none-match", TAG), range], Unchanged),
            (vec![("if-range", TAG), range], first),
            (vec![("if-range", DATE), range], first),
            (vec![("if-range", "\"b\""), range], Whole),
            (vec![("if-range", "W/\"a-1\""), range], Whole),
            (vec![("if-match", TAG), range], first),
            (vec![("if-match", "*")], Whole),
            (vec![("if-match", "\"b\""), range], Changed),
            (vec![("if-unmodified-since", DATE)], Whole),
            (vec![("if-unmodified-since", "Mon, 23 Nov 2020 10:00:00 GMT"), range], Changed),
        ] {
            assert_eq!(of(100, &headers), part, "{headers:?}");
        }
    }
}
