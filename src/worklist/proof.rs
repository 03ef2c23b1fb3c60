//! Whose wishes a worklist carries that lies in a page's folder.
//!
//! The folder of a page proves much: only its device (and who can write the drive) puts anything there. It does not
//! prove that what lies there is that page: a page of another device may be copied into it, and a download carried
//! into the wrong folder. So a list also says whose it is, and a list of version 2 proves it by its seal.

use super::mac::{Sealed, is_sealed};
use super::{Kind, Worklist};

/// The page of a folder.
#[derive(Clone, Copy, Debug)]
pub struct PageOwner<'a> {
    /// Identity of the ledger, which is that of the common page.
    pub epoch: &'a str,
    /// The device; `None` is the common page, which has no key.
    pub device: Option<&'a str>,
    /// The key of a device's page, where one was drawn.
    pub key: Option<&'a str>,
}

/// Why a worklist does not count in the folder where it lies.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Doubt {
    /// Of another ledger.
    #[error("its page was made by another NAS, or before its memory was lost")]
    OtherLedger,
    /// Of another page of this ledger.
    #[error("it is of the page of {0}")]
    OtherPage(String),
    /// Of this page, as it says; nothing proves it.
    #[error("nothing proves that this page wrote it")]
    Unproven,
}

/// The identity of a page: that of the ledger, and the device's name.
pub fn page_id(epoch: &str, device: Option<&str>) -> String {
    match device {
        Some(device) => format!("{epoch}-{device}"),
        None => epoch.to_owned(),
    }
}

/// Whether the list counts as the wishes of the page in whose folder it lies. `text` is what it was read from.
///
/// Up to version 1 all pages had the identity of the ledger; such a list counts in the page itself because of the
/// folder, and beside it by the key that it shows.
pub fn check(list: &Worklist, text: &[u8], kind: Kind, owner: PageOwner<'_>) -> Result<(), Doubt> {
    let beside = kind == Kind::Beside;
    let old = list.version < 2;
    if list.page.is_empty() && old && !beside {
        return Ok(());
    }
    let own = page_id(owner.epoch, owner.device);
    if list.page != own && !(old && list.page == owner.epoch) {
        return Err(match list.page.strip_prefix(owner.epoch) {
            _ if list.page.is_empty() => Doubt::Unproven,
            Some("") => Doubt::OtherPage("the NAS itself".into()),
            Some(rest) if rest.starts_with('-') => Doubt::OtherPage(rest[1..].to_owned()),
            _ => Doubt::OtherLedger,
        });
    }
    if let Some(other) = list.device.as_deref().filter(|name| Some(*name) != owner.device) {
        return Err(Doubt::OtherPage(other.to_owned()));
    }
    let proven = match (owner.device, owner.key) {
        // Who can write the drive is at home.
        (None, _) => true,
        (Some(_), _) if old && !beside => true,
        (Some(_), Some(key)) if old => !key.is_empty() && list.key == key,
        (Some(_), Some(key)) => is_sealed(key, Sealed::Worklist, text),
        (Some(_), None) => false,
    };
    if proven { Ok(()) } else { Err(Doubt::Unproven) }
}

#[cfg(test)]
mod tests {
    use super::super::mac::seal;
    use super::super::parse;
    use super::*;

    const EPOCH: &str = "e0e1e2e3";
    const KEY: &str = "00112233445566778899aabbccddeeff";
    const PHONE: PageOwner<'_> =
        PageOwner { epoch: EPOCH, device: Some("HTCphone"), key: Some(KEY) };
    const COMMON: PageOwner<'_> = PageOwner { epoch: EPOCH, device: None, key: None };

    fn v1(page: &str, key: &str, device: &str) -> String {
        format!(r#"{{"v":1,"page":"{page}","key":"{key}","device":{device},"gen":3,"items":[]}}"#)
    }

    fn v2(page: &str, device: &str, key: Option<&str>) -> String {
        let text = format!(
            r#"{{"v":2,"page":"{page}","device":{device},"gen":3,"nonce":"0f","items":[]}}"#
        );
        key.map_or(text.clone(), |key| seal(key, Sealed::Worklist, &text))
    }

    #[test]
    fn a_list_counts_for_the_page_that_it_proves_to_be_of() {
        let phone = "\"HTCphone\"";
        let own = format!("{EPOCH}-HTCphone");
        let other = || Err(Doubt::OtherPage("tablet".into()));
        let home = || Err(Doubt::OtherPage("the NAS itself".into()));
        let unproven = || Err(Doubt::Unproven);
        let wrong = KEY.replace('0', "1");
        // The list, what is said of it in the page of the phone, and beside that page.
        for (text, in_page, beside) in [
            (v2(&own, phone, Some(KEY)), Ok(()), Ok(())),
            (format!("\u{feff}{}\r\n", v2(&own, phone, Some(KEY))), Ok(()), Ok(())),
            (v2(&own, phone, Some(&wrong)), unproven(), unproven()),
            (v2(&own, phone, None), unproven(), unproven()),
            (v2(&own, phone, Some(KEY)).replace("\"gen\":3", "\"gen\":4"), unproven(), unproven()),
            (v2(&own, "\"tablet\"", Some(KEY)), other(), other()),
            (v2(&format!("{EPOCH}-tablet"), "\"tablet\"", Some(KEY)), other(), other()),
            (v2(EPOCH, "null", None), home(), home()),
            (v2(EPOCH, phone, Some(KEY)), home(), home()),
            (v2("another", phone, Some(KEY)), Err(Doubt::OtherLedger), Err(Doubt::OtherLedger)),
            (v2("", phone, Some(KEY)), unproven(), unproven()),
            // As pages were before they had identities of their own.
            (v1(EPOCH, KEY, phone), Ok(()), Ok(())),
            (v1(EPOCH, &wrong, phone), Ok(()), unproven()),
            (v1(EPOCH, "", phone), Ok(()), unproven()),
            (v1("", "", "null"), Ok(()), unproven()),
            (v1(EPOCH, KEY, "\"tablet\""), other(), other()),
            (v1("another", KEY, phone), Err(Doubt::OtherLedger), Err(Doubt::OtherLedger)),
            // A longer epoch is another ledger.
            (
                v1(&format!("{EPOCH}4"), KEY, phone),
                Err(Doubt::OtherLedger),
                Err(Doubt::OtherLedger),
            ),
        ] {
            let list = parse(text.as_bytes());
            for (kind, right) in
                [(Kind::Page, &in_page), (Kind::ConflictCopy, &in_page), (Kind::Beside, &beside)]
            {
                assert_eq!(check(&list, text.as_bytes(), kind, PHONE), *right, "{kind:?} {text}");
            }
        }
    }

    #[test]
    fn the_common_page_is_known_by_its_place_and_a_page_of_a_device_is_not_it() {
        let phone = || Err(Doubt::OtherPage("HTCphone".into()));
        for (text, right) in [
            (v2(EPOCH, "null", None), Ok(())),
            (v1(EPOCH, "", "null"), Ok(())),
            (v2(&format!("{EPOCH}-HTCphone"), "\"HTCphone\"", Some(KEY)), phone()),
            (v1(EPOCH, KEY, "\"HTCphone\""), phone()),
            (v2("another", "null", None), Err(Doubt::OtherLedger)),
        ] {
            let list = parse(text.as_bytes());
            for kind in [Kind::Page, Kind::ConflictCopy, Kind::Beside] {
                assert_eq!(check(&list, text.as_bytes(), kind, COMMON), right, "{kind:?} {text}");
            }
        }
    }

    #[test]
    fn a_page_without_a_key_proves_nothing() {
        let owner = PageOwner { key: None, ..PHONE };
        let text = v2(&format!("{EPOCH}-HTCphone"), "\"HTCphone\"", Some(KEY));
        let list = parse(text.as_bytes());
        assert_eq!(check(&list, text.as_bytes(), Kind::Page, owner), Err(Doubt::Unproven));
        let text = v1(EPOCH, "", "\"HTCphone\"");
        let list = parse(text.as_bytes());
        for owner in [owner, PageOwner { key: Some(""), ..PHONE }] {
            let doubt = check(&list, text.as_bytes(), Kind::Beside, owner);
            assert_eq!(doubt, Err(Doubt::Unproven));
        }
    }
}
