//! Reads device ids as people type or paste them.

use super::{PeerId, TransportError};
#[cfg(doc)]
use crate::model::dialect::Dialect;
use crate::model::dialect::{DIALECTS, IdError};
use crate::model::show;

/// Reads an id as people type or paste it.
///
/// One of a dialect ([`Dialect::read_id`]) gets its one true spelling, and a wrong digit is noticed. Anything else is
/// taken as it is.
pub fn read_id(text: &str) -> Result<PeerId, TransportError> {
    for dialect in DIALECTS {
        match dialect.read_id(text) {
            Ok(id) => return PeerId::new(&id),
            Err(IdError::Mistyped(_)) => {
                return Err(TransportError::Id {
                    text: show(text.as_bytes()),
                    what: "device id",
                    why: "a check digit is wrong; copy it again".into(),
                });
            }
            Err(IdError::Form) => {}
        }
    }
    PeerId::new(text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of Syncthing's own documentation and protocol tests.
    const ID: &str = "P56IOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ2";

    #[test]
    fn every_spelling_is_one_id() {
        let bare = "P56IOI7MZJNU2IQGDREYDM2MGTMGL3BXNPQ6W5BTBBZ4TJXZWICQ";
        let typed = ID.to_lowercase().replace('-', " ").replace('o', "0").replace('b', "8");
        for text in [ID, bare, &typed, &format!(" {ID}\n")] {
            assert_eq!(read_id(text).unwrap().as_str(), ID, "{text}");
        }
    }

    #[test]
    fn a_wrong_digit_is_noticed() {
        let wrong = ID.replacen("MZJNU2Y", "MZJNU3Y", 1);
        let told = read_id(&wrong).unwrap_err().to_string();
        assert!(told.contains("check digit"), "{told}");
        assert!(read_id("two words").is_err());
        assert_eq!(read_id("PHONE").unwrap().as_str(), "PHONE");
    }
}
