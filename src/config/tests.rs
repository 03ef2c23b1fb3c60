use super::*;
use proptest::prelude::*;

const PHONE: &str = "P56IOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ2";
const OTHER: &str = "MFZWI3D-BONSGYC-YLTMRWG-C43ENR5-QXGZDMM-FZWI3DP-BONSGYY-LTMRWAD";

fn name(text: &str) -> DeviceName {
    DeviceName::new(text).unwrap()
}

fn told(text: &str) -> Vec<String> {
    parse(text).expect_err(text).iter().map(ToString::to_string).collect()
}

/// The example with every commented setting switched on.
fn switched_on() -> String {
    example()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| !c.is_whitespace()) => rest,
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_example_is_the_defaults() {
    assert_eq!(parse(example()), Ok(Config::default()));
    // Nothing is lost for good by a slip, and nobody sees the files without the password.
    assert_eq!(Config::default().undo, 7 * 86_400);
    assert!(!Config::default().web.readers);
}

#[test]
fn the_example_switched_on_sets_everything() {
    let config = parse(&switched_on()).unwrap();
    assert_eq!(config.drive.format.as_deref(), Some("SERIAL-NUMBER"));
    assert_eq!(
        config.wifi,
        Some(Wifi {
            ssid: "Name of the network".into(),
            password: Some("its password".into()),
            country: "DE".into(),
        })
    );
    let phone = &config.devices[&name("HTCphone")];
    assert_eq!((&*phone.label, phone.quota), ("The old phone", Some(Bytes(8_000_000_000))));
    assert_eq!(phone.may, Action::of_devices());
    let tablet = &config.devices[&name("tablet")];
    assert_eq!(tablet.may, [Action::Get, Action::Open, Action::Delete, Action::Pin, Action::Unpin]);
    let laptop = &config.devices[&name("win7Laptop")];
    assert_eq!((laptop.id.as_deref(), laptop.quota), (Some(PHONE), None));
    assert_eq!(config.devices.len(), 3);
}

#[test]
fn the_example_names_every_setting_and_every_wish() {
    for key in section::KEYS.iter().flat_map(|(_, keys)| *keys) {
        let named = switched_on().lines().any(|line| {
            line.split_once('=').is_some_and(|(before, _)| before.trim() == *key)
                || line.starts_with(&format!("[{key}"))
        });
        assert!(named, "{key}");
    }
    for action in Action::of_devices() {
        assert!(example().contains(action.name()), "{action}");
    }
}

#[test]
fn reads_a_whole_file() {
    let config = parse(&format!(
        "keep_versions = \"1 hour\"\nversions_share = \"25%\"\nundo = \"2 weeks\"\n\
         nas = {{ name = \"Home\", hostname = \"Attic-2\", timezone = \"europe/berlin\" }}\n\
         devices.tablet.quota = 5_000_000_000\n\
         devices.HTCphone = {{ id = \"{}\", role = \"device\", quota = \"0 bytes\" }}\n\
         [devices.cellar]\nrole = \"device\"\nmay = []\nquota = \"None\"\n\
         [night]\nfrom = 23:30\nto = \"5:05\"\ndedup = false\n\
         [led]\npin = \"none\"\nactive_low = true\n[web]\nenabled = false\nport = 0x1F90\n\
         [wifi]\nssid = \"Casa \u{2603}\"\ncountry = \"de\"",
        PHONE.replace('-', "").to_lowercase()
    ))
    .unwrap();
    assert_eq!((config.keep_versions, config.undo), (3_600, 14 * 86_400));
    assert_eq!(config.versions_share, 25);
    assert_eq!(
        config.nas,
        Nas { name: "Home".into(), hostname: "attic-2".into(), timezone: "Europe/Berlin".into() }
    );
    assert_eq!(config.night, Night { from: 23 * 60 + 30, to: 305, dedup: false });
    assert_eq!(config.led, Led { pin: None, active_low: true });
    assert_eq!(config.web, Web { enabled: false, port: 8080, password: None, readers: false });
    assert_eq!(config.devices[&name("tablet")].quota, Some(Bytes(5_000_000_000)));
    assert_eq!(config.devices[&name("HTCphone")].id.as_deref(), Some(PHONE));
    assert_eq!(config.devices[&name("HTCphone")].quota, Some(Bytes(0)));
    let cellar = &config.devices[&name("cellar")];
    assert_eq!((cellar.role, &*cellar.may, cellar.quota), (Role::Device, &[][..], None));
    assert_eq!(config.wifi.unwrap().country, "DE");
}

#[test]
fn takes_files_as_editors_save_them() {
    let text = "undo = \"1 day\"\n[web]\nport = 81\npassword = \"Grüße: 8\"\n";
    let plain = parse(text).unwrap();
    assert_eq!((plain.undo, plain.web.port), (86_400, 81));
    assert_eq!(plain.web.password.as_deref(), Some("Grüße: 8"));
    assert_eq!(parse(&text.replace('\n', "\r\n")).as_ref(), Ok(&plain));
    assert_eq!(parse(&format!("\u{feff}{text}")).as_ref(), Ok(&plain));
    assert_eq!(parse(text.trim_end()).as_ref(), Ok(&plain));
    for empty in
        ["", "\u{feff}", "\n\n", "# nothing\r\n", "[web]", "[devices]", "[devices.tablet]\n"]
    {
        let config = parse(empty).unwrap();
        assert_eq!(Config { devices: BTreeMap::new(), ..config }, Config::default(), "{empty:?}");
    }
    let crlf = "[web]\r\n\r\nprot = 1\r\n";
    assert_eq!(told(crlf), ["line 3: unknown key `prot` in [web]; did you mean `port`?"]);
}

/// Broken files, and exactly what is told.
#[test]
fn tells_line_thing_and_next_step() {
    let phone = "[devices.HTCphone]\n";
    let table: Vec<(String, Vec<&str>)> = vec![
        // Unknown keys.
        (
            format!("{phone}qouta = \"8 GB\""),
            vec!["line 2: unknown key `qouta` in [devices.HTCphone]; did you mean `quota`?"],
        ),
        (
            "keep_version = \"1 day\"".into(),
            vec!["line 1: unknown key `keep_version`; did you mean `keep_versions`?"],
        ),
        (
            "\n[device.tablet]\nquota = 1".into(),
            vec!["line 2: unknown key `device`; did you mean `devices`?"],
        ),
        ("[Web]\nport = 1".into(), vec!["line 1: unknown key `Web`; did you mean `web`?"]),
        ("port = 81".into(), vec!["line 1: unknown key `port`; it belongs under [web]"]),
        (
            "quota = 1".into(),
            vec!["line 1: unknown key `quota`; it belongs under [devices.<name>]"],
        ),
        (
            "[web]\nundo = \"1 day\"".into(),
            vec!["line 2: unknown key `undo` in [web]; `undo` belongs above the first [heading]"],
        ),
        (
            "[web]\ncolour = 1".into(),
            vec![
                "line 2: unknown key `colour` in [web]; put # before it; here you can set `enabled`, `port`, `password` or `readers`",
            ],
        ),
        (
            "[led]\n\"a\\u001bb\" = 1".into(),
            vec![
                "line 2: unknown key `a▯b` in [led]; put # before it; here you can set `pin` or `active_low`",
            ],
        ),
        // Wrong shapes.
        (
            "web = 8080".into(),
            vec![
                "line 1: `web` must be a heading, not a number; write [web] on a line of its own, and its settings below it",
            ],
        ),
        (
            "[[web]]\nport = 1".into(),
            vec![
                "line 1: `web` must be a heading, not a list; write [web] on a line of its own, and its settings below it",
            ],
        ),
        (
            "[[devices]]\nname = \"x\"".into(),
            vec![
                "line 1: `devices` must be headings, one for each device; write [devices.HTCphone] for each device, and its settings below it",
            ],
        ),
        (
            "[devices]\ntablet = \"8 GB\"".into(),
            vec![
                "line 2: `devices.tablet` must be a heading, not a text; write [devices.tablet] on a line of its own, and its settings below it",
            ],
        ),
        (
            "[nas]\nname = 5".into(),
            vec!["line 2: `name` must be a text in quotes, not a number; write name = \"5\""],
        ),
        (
            "[nas]\nname = true".into(),
            vec!["line 2: `name` must be a text in quotes, not true or false; write name = \"…\""],
        ),
        (
            "[nas]\nname = \" \"".into(),
            vec!["line 2: `name` must have 1 to 64 characters; write a shorter name"],
        ),
        (
            "[web]\nenabled = \"yes\"".into(),
            vec![
                "line 2: `enabled` must be true or false, without quotes, not a text; write enabled = true",
            ],
        ),
        (
            "[web]\nenabled = 0".into(),
            vec![
                "line 2: `enabled` must be true or false, without quotes, not a number; write enabled = true or enabled = false",
            ],
        ),
        (
            "[web]\nenabled = no".into(),
            vec!["line 2: `no` is no switch; write `false`, without quotes"],
        ),
        (
            "[web]\nenabled = True".into(),
            vec!["line 2: `True` is no switch; write `true`, without quotes"],
        ),
        (
            "[nas]\nname = inf x".into(),
            vec!["line 2: `inf x` must stand in plain quotes; write \"inf x\""],
        ),
        // Sizes.
        (
            format!("{phone}quota = 8 GB"),
            vec!["line 2: `8 GB` must stand in plain quotes; write \"8 GB\""],
        ),
        (
            format!("{phone}quota = “8 GB”"),
            vec!["line 2: `“8 GB”` must stand in plain quotes; write \"8 GB\""],
        ),
        (
            format!("{phone}quota = \"8 XB\""),
            vec![
                "line 2: `8 XB` is no size; write quota = \"8 GB\", or quota = \"none\" for no limit",
            ],
        ),
        (
            format!("{phone}quota = -1"),
            vec![
                "line 2: `-1` is no size; write quota = \"8 GB\", or quota = \"none\" for no limit",
            ],
        ),
        (
            format!("{phone}quota = 99999999999999999999"),
            vec![
                "line 2: `99999999999999999999` is no size; write quota = \"8 GB\", or quota = \"none\" for no limit",
            ],
        ),
        (
            format!("{phone}quota = 8"),
            vec![
                "line 2: `quota` would be only 8 bytes; write the unit: quota = \"8 GB\", or \"8 bytes\"",
            ],
        ),
        (
            format!("{phone}quota = \"16\""),
            vec![
                "line 2: `quota` would be only 16 bytes; write the unit: quota = \"16 GB\", or \"16 bytes\"",
            ],
        ),
        (
            format!("{phone}quota = \"1,000 GB\""),
            vec![
                "line 2: `1,000 GB` can be read in two ways; write quota = \"1000 GB\" or quota = \"1 GB\"",
            ],
        ),
        (
            format!("{phone}quota = \"1.000 GB\""),
            vec![
                "line 2: `1.000 GB` can be read in two ways; write quota = \"1000 GB\" or quota = \"1 GB\"",
            ],
        ),
        (
            format!("{phone}quota = \"0\""),
            vec![
                "line 2: `quota` would let the device hold nothing; write quota = \"none\" for no limit, or \"0 bytes\" if it is to hold nothing at all",
            ],
        ),
        (
            format!("{phone}quota = 0"),
            vec![
                "line 2: `quota` would let the device hold nothing; write quota = \"none\" for no limit, or \"0 bytes\" if it is to hold nothing at all",
            ],
        ),
        (
            format!("{phone}quota = 1.5"),
            vec!["line 2: `1.5` has no unit; write quota = \"1.5 GB\""],
        ),
        (
            format!("{phone}quota = false"),
            vec![
                "line 2: `quota` must be a size, not true or false; write quota = \"8 GB\", or quota = \"none\" for no limit",
            ],
        ),
        (
            format!("{phone}quota = 8GB"),
            vec!["line 2: `8GB` must stand in plain quotes; write \"8GB\""],
        ),
        (
            format!("{phone}quota = 500 MiB # much"),
            vec!["line 2: `500 MiB` must stand in plain quotes; write \"500 MiB\""],
        ),
        (
            format!("{phone}quota = 1,5 TB"),
            vec![
                "line 2: `quota = 1,5 TB` has more than one value; write one setting on a line, and texts or numbers with a unit in quotes",
            ],
        ),
        (
            format!("{phone}quota = none"),
            vec!["line 2: `none` must stand in plain quotes; write \"none\""],
        ),
        // Durations.
        (
            "keep_versions = 30 days".into(),
            vec!["line 1: `30 days` must stand in plain quotes; write \"30 days\""],
        ),
        (
            "keep_versions = \"none\"".into(),
            vec![
                "line 1: `keep_versions` can't be none; write at least keep_versions = \"1 hour\"; old versions are the safety net under every edit",
            ],
        ),
        (
            "keep_versions = \"59 minutes\"".into(),
            vec![
                "line 1: `keep_versions` is shorter than an hour; write at least keep_versions = \"1 hour\"; old versions are the safety net under every edit",
            ],
        ),
        (
            "versions_share = 10".into(),
            vec!["line 1: `10` has no %; write versions_share = \"10 %\""],
        ),
        (
            "versions_share = \"a tenth\"".into(),
            vec![
                "line 1: `a tenth` is no part of a drive; write versions_share = \"10 %\", from \"1 %\" to \"50 %\"",
            ],
        ),
        (
            "versions_share = \"0 %\"".into(),
            vec![
                "line 1: `versions_share` must be from 1 to 50 per cent; write versions_share = \"10 %\", from \"1 %\" to \"50 %\"",
            ],
        ),
        (
            "keep_versions = 30".into(),
            vec!["line 1: `30` has no unit; write keep_versions = \"30 days\""],
        ),
        (
            "keep_versions = \"30\"".into(),
            vec!["line 1: `30` has no unit; write keep_versions = \"30 days\""],
        ),
        (
            "undo = \"soon\"".into(),
            vec!["line 1: `soon` is no length of time; write undo = \"1 day\""],
        ),
        ("undo = \"\"".into(), vec!["line 1: `` is no length of time; write undo = \"1 day\""]),
        (
            "undo = \"days\"".into(),
            vec!["line 1: `days` is no length of time; write undo = \"1 day\""],
        ),
        (
            "undo = \"-1 day\"".into(),
            vec!["line 1: `-1 day` is no length of time; write undo = \"1 day\""],
        ),
        (
            "undo = \"1 month\"".into(),
            vec!["line 1: `1 month` has no fixed length, count in days; write undo = \"1 day\""],
        ),
        (
            "undo = \"101 years\"".into(),
            vec!["line 1: `101 years` is longer than a hundred years; write undo = \"1 day\""],
        ),
        (
            "undo = \"99999999999999999999 days\"".into(),
            vec![
                "line 1: `99999999999999999999 days` is longer than a hundred years; write undo = \"1 day\"",
            ],
        ),
        (
            "undo = true".into(),
            vec!["line 1: `undo` must be a text in quotes, not true or false; write undo = \"…\""],
        ),
        // Times of day.
        (
            "[night]\nfrom = \"25:00\"".into(),
            vec![
                "line 2: `25:00` is no time of day; write from = \"01:00\", from \"00:00\" to \"23:59\"",
            ],
        ),
        (
            "[night]\nto = \"24:00\"".into(),
            vec![
                "line 2: `24:00` is no time of day; write to = \"01:00\", from \"00:00\" to \"23:59\"",
            ],
        ),
        (
            "[night]\nfrom = \"1am\"".into(),
            vec![
                "line 2: `1am` is no time of day; write from = \"01:00\", from \"00:00\" to \"23:59\"",
            ],
        ),
        (
            "[night]\nfrom = 1".into(),
            vec![
                "line 2: `a number` is no time of day; write from = \"01:00\", from \"00:00\" to \"23:59\"",
            ],
        ),
        (
            "[night]\nfrom = \"05:00\"".into(),
            vec![
                "line 2: the night begins and ends at the same time; make `to` later than `from`; it may be on the next day",
            ],
        ),
        (
            "[night]\nfrom = 1:00".into(),
            vec!["line 2: `1:00` must stand in plain quotes; write \"1:00\""],
        ),
        (
            "[night]\nfrom = 99:00".into(),
            vec!["line 2: `99:00` must stand in plain quotes; write \"99:00\""],
        ),
        // Zones.
        (
            "[nas]\ntimezone = \"Berlin\"".into(),
            vec!["line 2: there is no time zone `Berlin`; did you mean \"Europe/Berlin\"?"],
        ),
        (
            "[nas]\ntimezone = \"new york\"".into(),
            vec!["line 2: there is no time zone `new york`; did you mean \"America/New_York\"?"],
        ),
        (
            "[nas]\ntimezone = \"Europe/Berln\"".into(),
            vec!["line 2: there is no time zone `Europe/Berln`; did you mean \"Europe/Berlin\"?"],
        ),
        (
            "[nas]\ntimezone = \"../../etc/passwd\"".into(),
            vec![
                "line 2: there is no time zone `../../etc/passwd`; write it like \"Europe/Berlin\", or \"UTC\"",
            ],
        ),
        // Names on the network.
        (
            "[nas]\nhostname = \"My Larder\"".into(),
            vec![
                "line 2: `my larder` can't be a name on the network; write hostname = \"my-larder\": 1 to 63 letters from a to z, digits and hyphens, with no hyphen at either end",
            ],
        ),
        (
            "\n[nas]\nhostname = \"attic.local\"".into(),
            vec![
                "line 3: `attic.local` can't be a name on the network; write hostname = \"attic\": 1 to 63 letters from a to z, digits and hyphens, with no hyphen at either end",
            ],
        ),
        (
            "[nas]\nhostname = \"localhost\"".into(),
            vec![
                "line 2: `localhost` can't be a name on the network; write hostname = \"attic\": 1 to 63 letters from a to z, digits and hyphens, with no hyphen at either end",
            ],
        ),
        (
            "[nas]\nhostname = attic".into(),
            vec!["line 2: `attic` must stand in plain quotes; write \"attic\""],
        ),
        (
            "[nas]\nhostname = 7".into(),
            vec![
                "line 2: `hostname` must be a text in quotes, not a number; write hostname = \"7\"",
            ],
        ),
        // Pins and ports.
        (
            "[led]\npin = 28".into(),
            vec![
                "line 2: `pin` must be the BCM number of a header pin, 2 to 27, without quotes; write pin = 17 (the eleventh pin of the header), or pin = \"none\"",
            ],
        ),
        (
            "[led]\npin = 0".into(),
            vec![
                "line 2: `pin` must be the BCM number of a header pin, 2 to 27, without quotes; write pin = 17 (the eleventh pin of the header), or pin = \"none\"",
            ],
        ),
        (
            "[led]\npin = \"17\"".into(),
            vec![
                "line 2: `pin` must be the BCM number of a header pin, 2 to 27, without quotes; write pin = 17 (the eleventh pin of the header), or pin = \"none\"",
            ],
        ),
        (
            "[web]\nport = 0".into(),
            vec![
                "line 2: `port` must be a number from 1 to 65535, without quotes; write port = 8080",
            ],
        ),
        (
            "[web]\npassword = \"seven77\"".into(),
            vec![
                "line 2: `password` must have 8 to 128 characters on one line; choose another; with # before the line the one chosen on the page counts",
            ],
        ),
        (
            "[web]\npassword = \"two lines\\nof it\"".into(),
            vec![
                "line 2: `password` must have 8 to 128 characters on one line; choose another; with # before the line the one chosen on the page counts",
            ],
        ),
        (
            "[web]\npassword = 12345678".into(),
            vec![
                "line 2: `password` must be a text in quotes, not a number; write password = \"…\"",
            ],
        ),
        (
            "[web]\nport = 65536".into(),
            vec![
                "line 2: `port` must be a number from 1 to 65535, without quotes; write port = 8080",
            ],
        ),
        (
            "[web]\nport = \"8080\"".into(),
            vec![
                "line 2: `port` must be a number from 1 to 65535, without quotes; write port = 8080",
            ],
        ),
        // Roles and wishes.
        (
            format!("{phone}role = \"volt\""),
            vec!["line 2: there is no role `volt`; write `device`"],
        ),
        (
            format!("{phone}role = \"king\""),
            vec!["line 2: there is no role `king`; write `device`"],
        ),
        (
            format!("{phone}role = \"devise\""),
            vec!["line 2: there is no role `devise`; did you mean `device`?"],
        ),
        (
            format!("{phone}may = [\"get\", \"distroy\"]"),
            vec!["line 2: there is no wish `distroy`; did you mean `destroy`?"],
        ),
        (
            format!("{phone}may = [\n  \"get\",\n  5,\n]"),
            vec!["line 2: `may` must be a text in quotes, not a number; write may = \"5\""],
        ),
        (
            format!("{phone}may = \"get\""),
            vec![
                "line 2: `may` must be a list in square brackets, not a text; write may = [\"get\", \"open\", \"delete\"]",
            ],
        ),
        (
            format!("{phone}may = [get, open]"),
            vec![
                "line 2: `get` must stand in plain quotes; write \"get\"",
                "line 2: `open` must stand in plain quotes; write \"open\"",
            ],
        ),
        // Devices.
        (
            "[devices.HTCphone]\n[devices.htcPhone]".into(),
            vec![
                "line 2: `htcPhone` and `HTCphone` (line 1) differ only in case; give one of the two another name: some drives and Windows can't tell them apart",
            ],
        ),
        (
            "[devices.a]\n[devices.a]".into(),
            vec!["line 2: `a` is there twice; join the two places into one"],
        ),
        (
            "[devices.\"my phone\"]".into(),
            vec![
                "line 1: `my phone` can't be the name of a device; use 1 to 64 letters, digits, `.`, `_` or `-`, beginning with a letter or digit; `label` may hold any text",
            ],
        ),
        (
            "[devices.my phone]\nquota = \"8 GB\"\n[web]\nport = 0".into(),
            vec![
                "line 1: the heading `[devices.my phone]` is not complete; write it like [devices.HTCphone]: square brackets around, a name without spaces",
                "line 4: `port` must be a number from 1 to 65535, without quotes; write port = 8080",
            ],
        ),
        (
            "[devices.files]".into(),
            vec![
                "line 1: a device can't be called `files`: a folder of Larder has this name; choose another name, such as HTCphone",
            ],
        ),
        (
            "[devices.\"catalogue.html\"]".into(),
            vec![
                "line 1: a device can't be called `catalogue.html`: the catalogue has this name; choose another name, such as HTCphone",
            ],
        ),
        (
            "[devices.Con]".into(),
            vec![
                "line 1: a device can't be called `Con`: Windows can't store this name; choose another name, such as HTCphone",
            ],
        ),
        (
            "[devices.\"phone.crswap\"]".into(),
            vec![
                "line 1: a device can't be called `phone.crswap`: sync engines pass over such a name; choose another name, such as HTCphone",
            ],
        ),
        (
            "[devices.lpt1]".into(),
            vec![
                "line 1: a device can't be called `lpt1`: Windows can't store this name; choose another name, such as HTCphone",
            ],
        ),
        (
            format!("{phone}id = \"ABC\""),
            vec![
                "line 2: `id` is no device id; copy it from the sync app of the device: eight groups of seven letters and digits",
            ],
        ),
        (
            format!("{phone}id = \"{}\"", PHONE.replace("IQGDREY", "IQGDRXY")),
            vec![
                "line 2: `id` is mistyped in its group 3 or 4; copy it from the sync app of the device: eight groups of seven letters and digits",
            ],
        ),
        (
            format!(
                "[devices.b]\nid = \"{PHONE}\"\n[devices.a]\nquota = \"0 bytes\"\nid = \"{}\"",
                PHONE.to_lowercase()
            ),
            vec!["line 5: `a` has the same id as `b`; every device has its own; copy it again"],
        ),
        // Wi-Fi and drive.
        (
            "\n[wifi]\npassword = \"12345678\"".into(),
            vec![
                "line 2: [wifi] has no `ssid`; write ssid = \"…\" below it, the name that phones show",
                "line 2: [wifi] has no `country`; write country = \"DE\" below it, with your own two letters",
            ],
        ),
        (
            "[wifi]\nssid = \"x\"\npassword = \"short\"\ncountry = \"DE\"".into(),
            vec![
                "line 3: `password` must have 8 to 63 plain characters; copy it from the router; for an open network put # before the line",
            ],
        ),
        (
            "[wifi]\nssid = \"x\"\npassword = hunter22\ncountry = \"DE\"".into(),
            vec![
                "line 3: the password can't be read; write password = \"…\", in plain quotes and on one line; a \\ in it is written \\\\",
            ],
        ),
        (
            "[wifi]\nssid = \"x\"\npassword = 12345678\ncountry = \"DE\"".into(),
            vec![
                "line 3: `password` must be a text in quotes, not a number; write password = \"…\"",
            ],
        ),
        (
            "[wifi]\nssid = \"x\\ny\"\ncountry = \"DE\"".into(),
            vec![
                "line 2: `ssid` must be the name of a network, 1 to 32 bytes long; copy the name that phones show",
            ],
        ),
        (
            "[wifi]\nssid = \"x\"\ncountry = \"Germany\"".into(),
            vec![
                "line 3: `country` must be a country in two letters, not `Germany`; write it like country = \"DE\"",
            ],
        ),
        (
            "[drive]\nformat = \"\"".into(),
            vec![
                "line 2: `format` must be the serial number of one drive; copy it from STATUS.txt, or put # before the line",
            ],
        ),
        // Not TOML at all.
        (
            "[web\nport = 81\n[led]\npin = 3".into(),
            vec![
                "line 1: the heading `[web` is not complete; write it like [devices.HTCphone]: square brackets around, a name without spaces",
            ],
        ),
        (
            "[web]\nport 8080".into(),
            vec![
                "line 2: `port 8080` has no value; write it like key = value, or put # before it if it is a remark",
            ],
        ),
        (
            "[web]\nport = 81\nport = 82".into(),
            vec!["line 3: `port` is there twice; keep one of the two lines"],
        ),
        (
            "[nas]\nname = \"Larder\n[web]\nport = 81".into(),
            vec![
                "line 2: the text of `name` is not complete; put one \" before the text and one behind it, on the same line; a \\ in it is written \\\\",
            ],
        ),
        (
            "[nas]\nname = \"C:\\qx\"".into(),
            vec![
                "line 2: the text of `name` is not complete; put one \" before the text and one behind it, on the same line; a \\ in it is written \\\\",
            ],
        ),
        (
            "[web]\nport = 8,5".into(),
            vec![
                "line 2: `port = 8,5` has more than one value; write one setting on a line, and texts or numbers with a unit in quotes",
            ],
        ),
        (
            "Dear Larder, please".into(),
            vec![
                "line 1: `Dear Larder, please` has no value; write it like key = value, or put # before it if it is a remark",
            ],
        ),
        // Several at once, in the order of the lines.
        (
            format!("{phone}quota = 8\nmya = []\n\n[web]\nport = 0\nenabled = yes"),
            vec![
                "line 2: `quota` would be only 8 bytes; write the unit: quota = \"8 GB\", or \"8 bytes\"",
                "line 3: unknown key `mya` in [devices.HTCphone]; did you mean `may`?",
                "line 6: `port` must be a number from 1 to 65535, without quotes; write port = 8080",
                "line 7: `yes` is no switch; write `true`, without quotes",
            ],
        ),
    ];
    assert!(table.len() >= 80, "{}", table.len());
    let mut wrong = 0;
    for (text, expected) in table {
        let told = told(&text);
        if told != expected {
            wrong += 1;
            println!("--- {text}\n  told     {told:#?}\n  expected {expected:#?}");
        }
    }
    assert_eq!(wrong, 0);
}

#[test]
fn refuses_what_is_no_text() {
    let first = |bytes: &[u8]| parse_bytes(bytes).unwrap_err()[0].to_string();
    assert!(first(b"\x7fELF\x02\x01\x00\x00").starts_with("line 1: the file is no text"));
    assert!(first(b"\xff\xfe[\0w\0").starts_with("line 1: the file is saved as UTF-16"));
    assert_eq!(
        first(b"# Grusse\n[nas]\nname = \"K\xfcche\"\n"),
        "line 3: there is a character that is not UTF-8; open it in a text editor and save it as plain text, encoding UTF-8"
    );
    let huge = vec![b'#'; MAX_BYTES + 1];
    assert!(first(&huge).starts_with("line 1: the file has 131073 bytes"));
    assert_eq!(parse_bytes(&huge[1..]), Ok(Config::default()));
}

#[test]
fn a_password_is_never_repeated() {
    for line in [
        "hunter22",
        "\"hunter22",
        "'hunter22",
        "“hunter22”",
        "hunter22 hunter22",
        "[hunter22]",
        "\"hunter22\" x",
        "\"\\qhunter22\"",
    ] {
        for key in ["password = ", "password: ", "PASSWORD ", "pasword = \"x\"\npassword="] {
            let text = format!("[wifi]\nssid = \"x\"\n{key}{line}\ncountry = \"DE\"");
            let told = told(&text).join("\n");
            assert!(!told.contains("hunter"), "{told}");
        }
    }
}

#[test]
fn the_check_digit_of_a_device_id_finds_a_wrong_letter() {
    assert!(parse(&format!("[devices.a]\nid=\"{PHONE}\"\n[devices.b]\nid=\"{OTHER}\"")).is_ok());
    for at in (0..PHONE.len()).filter(|&at| PHONE.as_bytes()[at] != b'-') {
        let mut wrong = PHONE.to_owned();
        let other = if &PHONE[at..=at] == "A" { "B" } else { "A" };
        wrong.replace_range(at..=at, other);
        assert!(parse(&format!("[devices.a]\nid=\"{wrong}\"")).is_err(), "{wrong}");
    }
}

#[test]
fn garbage_of_any_size_is_told_briefly() {
    for unit in [
        "[",
        "a.",
        "a = [",
        "{",
        "a = {a = ",
        "\"",
        "=\n",
        "x\n",
        "[a]\n",
        "a = 1\n",
        "\u{1}",
        "''' ",
        "[[a]]\n",
        "é\n",
    ] {
        let text = unit.repeat(MAX_BYTES / unit.len());
        let start = std::time::Instant::now();
        let complaints = parse(&text).expect_err(unit);
        println!("{unit:?}: {:?}, {} complaints", start.elapsed(), complaints.len());
        assert!((1..=21).contains(&complaints.len()), "{unit:?}: {}", complaints.len());
        assert!(complaints.iter().all(|c| c.to_string().len() < 600), "{unit:?}: {complaints:?}");
    }
}

#[test]
fn the_wireless_network_is_joined_whatever_else_is_wrong() {
    let wifi = |text: &str| wifi_of(text.as_bytes());
    let good =
        "[wifi]\nssid = \"Casa \\\"\\\\ \u{2603}\"\npassword = 'a\"b\\c #d\"'\ncountry = \"de\"\n";
    let expected = "country=DE\nnetwork={\nssid=4361736120225c20e29883\npsk=\"a\"b\\c #d\"\"\n\
                    key_mgmt=WPA-PSK WPA-PSK-SHA256 SAE\nieee80211w=1\n}\n";
    for text in [
        good.to_owned(),
        format!("\u{feff}{good}"),
        format!("undo = soon\n[night\n{good}"),
        format!("{good}[devices.HTCphone]\nquota = 8 GB\n[x"),
        format!("{good}colour = \"blue\"\n"),
    ] {
        let found = wifi(&text).map(|wifi| wifi.to_wpa_supplicant());
        assert_eq!(found.as_deref(), Some(expected), "{text}");
    }
    let open = "[wifi]\nssid = \"x\"\n";
    assert_eq!(wifi(open).unwrap().to_wpa_supplicant(), "network={\nssid=78\nkey_mgmt=NONE\n}\n");
    // Never an open network in place of one whose password can't be read, nor one without a name.
    for text in [
        "",
        "[wifi]",
        "wifi = 3",
        "[wifi]\nssid = \"\"",
        "[wifi]\nssid = x",
        "[wifi]\npassword = \"12345678\"",
        "[wifi]\nssid = \"x\"\npassword = \"short\"",
        "[wifi]\nssid = \"x\"\npassword = hunter22",
        "[wifi]\nssid = \"x\"\npassword = \"hunter22\n",
        "[wifi]\nssid = \"x\"\npassword = \"line\\nbreak\"",
    ] {
        assert_eq!(wifi(text), None, "{text}");
    }
    let elsewhere = [&b"[nas]\nname = \"\xff\"\n"[..], good.as_bytes()].concat();
    assert_eq!(wifi_of(&elsewhere).unwrap().to_wpa_supplicant(), expected);
    assert_eq!(wifi_of(b"[wifi]\nssid = \"\xff\""), None);
    assert_eq!(wifi_of(example().as_bytes()), None);
}

#[test]
fn a_name_on_the_network_is_one_label() {
    let name = |name: &str| parse(&format!("[nas]\nhostname = \"{name}\"")).map(|c| c.nas.hostname);
    let longest = "a".repeat(63);
    for good in ["larder", "a", "7", "attic-2", "x--y", &longest] {
        assert_eq!(name(good).as_deref(), Ok(good));
    }
    assert_eq!(name(" Attic ").as_deref(), Ok("attic"));
    let longer = "a".repeat(64);
    for bad in [
        "",
        " ",
        "-a",
        "a-",
        "-",
        "a_b",
        "a b",
        "a.",
        "a.local",
        "speisek\u{e4}mmer",
        "LocalHost",
        &longer,
    ] {
        assert_eq!(name(bad).unwrap_err()[0].line, 2, "{bad}");
    }
    assert_eq!(parse("").unwrap().nas.hostname, "larder");
}

#[test]
fn the_name_on_the_network_stays_whatever_else_is_wrong() {
    let name = |text: &str| hostname_of(text.as_bytes());
    let good = "[nas]\nhostname = \"attic\"\n";
    for text in [
        good.to_owned(),
        format!("\u{feff}{good}"),
        format!("undo = soon\n[night\n{good}"),
        format!("{good}[devices.HTCphone]\nquota = 8 GB\n[x"),
        format!("{good}colour = \"blue\"\n"),
    ] {
        assert_eq!(name(&text).as_deref(), Some("attic"), "{text}");
    }
    for text in [example(), "# a remark", "[nas]\nname = \"Home\"\n[web]\nport = 0"] {
        assert_eq!(name(text).as_deref(), Some("larder"), "{text}");
    }
    // It can't be told which name is wanted.
    for text in
        ["", " \n", "\0", "[web]\nport = 0", "[nas]\nhostname = attic", "[nas]\nhostname = \"a b\""]
    {
        assert_eq!(name(text), None, "{text}");
    }
}

#[test]
fn the_last_good_settings_stay() {
    let mut settings = Settings::default();
    // None from the start: the defaults, and it is said.
    assert_eq!(settings.update(None, &[]), Change::Complaints);
    assert_eq!(settings.update(None, &[]), Change::None);
    assert_eq!(settings.current(), &Config::default());
    assert!(settings.complaints()[0].what.contains("missing") && !settings.are_of_the_file());

    // A first file that is broken: the defaults, and the reason.
    assert_eq!(settings.update(Some(b"[web]\nprot = 81"), &[]), Change::Complaints);
    assert_eq!(settings.update(Some(b"[web]\nprot = 81"), &[]), Change::None);
    assert_eq!(settings.current(), &Config::default());
    assert_eq!(settings.complaints()[0].line, 2);

    assert_eq!(settings.update(Some(b"[web]\nport = 81"), &[]), Change::Settings);
    assert_eq!((settings.current().web.port, settings.complaints()), (81, &[][..]));
    assert_eq!(settings.update(Some(b"[web]\nport = 81 # same"), &[]), Change::None);

    // Broken, gone, broken otherwise, good again.
    assert_eq!(settings.update(Some(b"[web]\nport = 0\n[led]\npin = 3"), &[]), Change::Complaints);
    assert_eq!(settings.current().web.port, 81);
    assert_eq!(settings.current().led.pin, Some(17));
    assert_eq!(settings.update(None, &[]), Change::Complaints);
    assert_eq!((settings.current().web.port, settings.complaints()), (81, &[][..]));
    assert_eq!(settings.update(Some(b"\0"), &[]), Change::Complaints);
    assert_eq!(settings.update(Some(b"\n[web]\nport = 81"), &[]), Change::Complaints);
    // Nothing at all is not what an owner wrote; a remark is.
    for nothing in [&b""[..], b"\0\0\0\0", b" \r\n\t\n", b"\xef\xbb\xbf"] {
        settings.update(Some(b"[web]\nport = 81"), &[]);
        assert_eq!(settings.update(Some(nothing), &[]), Change::Complaints, "{nothing:?}");
        assert_eq!((settings.current().web.port, settings.complaints().len()), (81, 1));
        assert_eq!(settings.complaints()[0].line, 1);
    }
    assert!(settings.complaints()[0].what.contains("nothing in the file"));
    assert_eq!(settings.update(Some(b"# all as it comes"), &[]), Change::Settings);
    assert_eq!(settings.current(), &Config::default());
    assert!(settings.are_of_the_file(), "a file that says nothing is a file");
}

#[test]
fn a_role_that_does_not_work_yet_is_told_and_leaves_out_that_device_alone() {
    for role in ["vault", "nas"] {
        let text = format!(
            "[web]\nport = 81\n[devices.HTCphone]\n[devices.cellar]\nquota = \"0 bytes\"\nrole = \"{role}\"\n"
        );
        let config = parse(&text).unwrap();
        assert_eq!(config.devices.keys().collect::<Vec<_>>(), [&name("HTCphone")]);
        assert_eq!(config.web.port, 81);
        assert_eq!(
            config.left_out.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [format!(
                "line 6: role = \"{role}\" does not work yet, so `cellar` is left out; write role = \"device\", or put # \
                 before the lines of this device; all other settings are in force"
            )]
        );
        let mut settings = Settings::default();
        assert_eq!(settings.update(Some(text.as_bytes()), &[]), Change::Settings);
        assert_eq!(
            (settings.current().web.port, settings.complaints()),
            (81, &config.left_out[..])
        );
        assert!(settings.are_of_the_file());
        // Put right, nothing is told.
        settings.update(Some(text.replace(role, "device").as_bytes()), &[]);
        assert_eq!((settings.current().devices.len(), settings.complaints()), (2, &[][..]));
    }
    // Beside another mistake nothing is in force, as ever.
    let both = "[web]\nprot = 81\n[devices.cellar]\nrole = \"vault\"\n";
    assert!(parse(both).is_err());
}

#[test]
fn a_file_that_was_saved_under_another_name_is_named() {
    let alike = [
        "larder.toml.txt",
        "larder.toml.toml",
        "Larder.toml",
        "LARDER.TOML",
        "larder (1).toml",
        "larder-1.toml",
        "larder - Copy.toml",
        "larder.toml (1)",
        "larder.tom",
        "larder.txt",
        "larder.toml.rtf",
        "ladrer.toml",
    ];
    let others = [
        "larder.toml",
        "STATUS.txt",
        "cmdline.txt",
        "._larder.toml",
        "larder.img",
        "larder",
        "kernel7.img",
    ];
    for name in alike {
        assert_eq!(look_alikes([name]), [name]);
        for of_the_file in [false, true] {
            let mut settings = Settings::default();
            if of_the_file {
                settings.update(Some(b"[web]\nport = 81"), &[]);
            }
            assert_eq!(settings.update(None, &[name.into()]), Change::Complaints, "{name}");
            let complaint = settings.complaints()[0].to_string();
            assert!(complaint.contains(&format!("`{name}`")), "{complaint}");
            assert!(complaint.contains("rename it to larder.toml"), "{complaint}");
            assert_eq!(settings.current().web.port, if of_the_file { 81 } else { 8080 });
        }
    }
    assert_eq!(look_alikes(others), [""; 0]);
    assert_eq!(look_alikes(alike.into_iter().chain(others)).len(), 3);
}

#[test]
fn what_an_earlier_run_knew_stays_until_there_is_a_good_file() {
    let earlier = parse("[web]\nport = 81").unwrap();
    for (file, complaint) in [(None, "missing"), (Some(&b"[web]\nprot = 81"[..]), "prot")] {
        let mut settings = Settings::default();
        settings.update(file, &[]);
        settings.restore(earlier.clone());
        assert!(!settings.are_of_the_file());
        assert_eq!(settings.current(), &earlier);
        assert_eq!(settings.update(file, &[]), Change::None);
        assert!(settings.complaints()[0].what.contains(complaint));
        assert_eq!(settings.update(Some(b"[web]\nport = 81"), &[]), Change::Complaints);
        assert_eq!((settings.current(), settings.complaints()), (&earlier, &[][..]));
        // An editor puts another in its place.
        assert_eq!(settings.update(None, &[]), Change::None);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Err(complaints) = parse_bytes(&bytes) {
            prop_assert!(!complaints.is_empty());
        }
    }

    #[test]
    fn a_bitten_example_is_read_or_told(at in any::<prop::sample::Index>(), bite in "\\PC|\n|\"|=|#|\\[|\\\\") {
        let mut text = switched_on();
        let at = at.index(text.len());
        if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
            text.replace_range(at..at + 1, &bite);
        }
        let lines = text.lines().count().max(1);
        if let Err(complaints) = parse(&text) {
            prop_assert!(!complaints.is_empty());
            prop_assert!(complaints.iter().all(|c| (1..=lines).contains(&c.line)));
        }
    }
}
