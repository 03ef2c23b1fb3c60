//! What several benches ask of an engine.

use larder::model::{Action, RelPath, Time, Wish, WishId};
use larder::worklist::Worklist;

/// A worklist with one wish, to get a file or folder.
pub(crate) fn get(number: u64, path: &str, at: Time) -> Worklist {
    let wish = Wish {
        id: WishId::parse(&format!("{number:020x}")).unwrap(),
        action: Action::Get,
        path: RelPath::new(path.as_bytes()).unwrap(),
        to: Vec::new(),
        from: None,
        with: None,
        limit_mb: None,
        seen: None,
        at,
    };
    Worklist { wishes: vec![wish], ..Worklist::default() }
}
