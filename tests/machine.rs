//! How the hardware fares, as `larder status` and the pages tell it: read from the machine that this runs on.
#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used)]

#[path = "support/drive.rs"]
mod drive;
#[path = "house/page.rs"]
#[allow(dead_code, reason = "each program of tests uses its part of it")]
mod page;

use drive::{House, SETTINGS, text};

/// What `larder status` prints.
fn status(house: &House, more: &[&str]) -> String {
    let out = house.larder(&["status"]).args(more).output().unwrap();
    assert!(out.status.success(), "{}", text(&out));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn status_and_page_tell_how_this_machine_fares() {
    let house = House::new(SETTINGS);
    house.save(&house.home(b"doc"), b"doc");
    house.run();
    let report: serde_json::Value = serde_json::from_str(&status(&house, &["--json"])).unwrap();
    let machine = &report["machine"];
    let (used, total) = (&machine["memory"]["used"], &machine["memory"]["total"]);
    let (used, total) = (used.as_u64().unwrap(), total.as_u64().unwrap());
    assert!(0 < used && used <= total, "{machine}");
    // The kernel's own words for it.
    let told = std::fs::read_to_string("/proc/meminfo").unwrap();
    let kib = told.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap();
    assert_eq!(total, kib * 1_024);
    assert!(machine["load"].as_f64().unwrap() >= 0.0, "{machine}");

    let said = status(&house, &[]);
    let line = said.lines().find_map(|line| line.strip_prefix("machine: ")).unwrap();
    assert!(line.starts_with("Memory ") && line.contains(", load "), "{line}");
    // What is not known is not spoken of.
    assert_eq!(line.contains("°C"), !machine["temperature"].is_null(), "{line} of {machine}");
    assert_eq!(said.contains("\ndisk: "), !machine["disk"].is_null(), "{said} of {machine}");

    let page = std::fs::read(house.page("HTCphone")).unwrap();
    let page = page::read(&page).unwrap();
    let line = page.house["machine"].as_str().unwrap();
    assert!(line.starts_with("Memory ") && line.contains(", load "), "{line}");
}
