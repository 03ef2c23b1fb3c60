//! Faults that the oracle found, each with the least that shows it.

use crate::drive::{House, SETTINGS};
use crate::oracle::{Disk, DriveView as _};
use std::path::Path;

/// Generation and key of a page, as it stands there.
fn numbers(house: &House, device: &str) -> (u64, String) {
    let at = Path::new("BTsync/catalogue").join(device).join("catalogue.html");
    let bytes = Disk::at(&house.drive).bytes(at.as_os_str().as_encoded_bytes()).expect("a page");
    let text = String::from_utf8(bytes).expect("a text");
    let open = "<script type=\"application/json\" id=\"cfg\">";
    let (_, own) = text.split_once(open).expect("what is particular to it");
    let (own, _) = own.split_once("</script>").expect("its end");
    let own: serde_json::Value = serde_json::from_str(own).expect("JSON");
    (own["gen"].as_u64().expect("a number"), own["key"].as_str().unwrap_or_default().to_owned())
}

/// What was written into the ledger with the pages was committed with the next turn: a run that ended before lost
/// the keys that its pages have, and the next one began with the same numbers.
#[test]
fn the_pages_of_two_runs_have_one_key_and_rising_generations() {
    let house = House::new(SETTINGS);
    house.run();
    let first = numbers(&house, "HTCphone");
    house.save(&house.home(b"new"), b"new");
    house.run();
    let second = numbers(&house, "HTCphone");
    assert!(first.1 == second.1, "the page's key is another");
    assert!(first.0 < second.0, "{} comes after {}", second.0, first.0);
}
