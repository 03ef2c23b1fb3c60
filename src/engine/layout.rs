//! What a drive has before anything is done on it: the folders, and what the ledger draws by lot.

use super::EngineError;
use super::error::of_the_house;
use crate::fs::FileSystem;
use crate::ledger::{Ledger, LedgerError};
use crate::model::{Place, RelPath};

/// Makes the house's folders on a drive. Between them names are linked and renamed.
pub fn lay_out(fs: &mut dyn FileSystem) -> Result<(), EngineError> {
    for place in [Place::Files, Place::Catalogue, Place::Shared, Place::Versions, Place::Tmp] {
        fs.make_dir(&place.at(RelPath::root())).map_err(of_the_house)?;
    }
    Ok(())
}

/// A random text that the ledger remembers under a key.
pub(super) fn remembered(ledger: &mut Ledger, key: &str) -> Result<String, LedgerError> {
    if let Some(text) = ledger.meta(key)? {
        return Ok(text);
    }
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|e| LedgerError::Random(e.to_string()))?;
    let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    ledger.set_meta(key, &text)?;
    Ok(text)
}
