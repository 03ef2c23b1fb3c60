use super::*;
use crate::model::{Action, Holder, PathError, RelPath, Seen, Time, WishId};
use proptest::prelude::*;

#[path = "../../tests/support/hostile.rs"]
mod hostile;

const A: &str = "aaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbb";
const X: &str = "00000000000000000001";
const AT: &str = r#""at":"2026-11-23T10:00:00Z""#;

fn list(items: &str) -> String {
    format!(r#"{{"v":1,"page":"p1","key":"k1","device":"HTCphone","gen":17,"items":[{items}]}}"#)
}

fn get(id: &str) -> String {
    format!(r#"{{"id":"{id}","op":"get","path":"a/b.jpg",{AT}}}"#)
}

fn ids(list: &Worklist) -> Vec<String> {
    list.wishes.iter().map(|wish| wish.id.to_string()).collect()
}

fn problems(list: &Worklist) -> Vec<Problem> {
    list.diagnostics.iter().map(|d| d.problem.clone()).collect()
}

const NONCE: &str = "at most 64 letters and digits";

fn device_error(text: &str) -> Problem {
    Problem::Device(DeviceName::new(text).unwrap_err())
}

#[test]
fn reads_a_whole_worklist() {
    let text = list(&format!(
        r#"{{"id":"{A}","op":"move","path":"Photos/2012/a%20b.jpg","from":"HTCphone","to":["win7Laptop","tablet","tablet"],"seen":{{"size":1,"mtime":1700000000,"more":1}},{AT},"later":{{"x":[1]}}}},
           {{"id":"{B}","op":"share-folder","path":"Music","with":"band \u003c3","limit_mb":-1,"at":"2026-11-23T11:30:00.250+01:00"}}"#
    ));
    let read = parse(text.as_bytes());
    assert_eq!(read.diagnostics, []);
    assert_eq!((&*read.page, &*read.key, read.generation), ("p1", "k1", 17));
    assert_eq!((read.version, &*read.nonce), (1, ""));
    assert_eq!(read.device.as_deref(), Some("HTCphone"));
    let name = |text| DeviceName::new(text).unwrap();
    assert_eq!(
        read.wishes,
        [
            Wish {
                id: WishId::parse(A).unwrap(),
                action: Action::Move,
                path: RelPath::new(b"Photos/2012/a b.jpg").unwrap(),
                to: vec![name("win7Laptop").into(), name("tablet").into()],
                from: Some(name("HTCphone")),
                with: None,
                limit_mb: None,
                seen: Some(Seen { size: 1, mtime: 1_700_000_000 }),
                at: Time::from_secs(1_795_428_000),
            },
            Wish {
                id: WishId::parse(B).unwrap(),
                action: Action::ShareFolder,
                path: RelPath::new(b"Music").unwrap(),
                to: vec![],
                from: None,
                with: Some("band <3".into()),
                limit_mb: Some(-1),
                seen: None,
                at: Time::from_secs(1_795_429_800),
            },
        ]
    );
}

#[test]
fn reads_a_worklist_of_version_2() {
    let text = format!(
        r#"{{"v":2,"page":"p1","device":"HTCphone","gen":17,"nonce":"00112233445566778899aabbccddeeff","items":[{}],"mac":"00"}}"#,
        get(A)
    );
    let read = parse(text.as_bytes());
    assert_eq!(read.diagnostics, []);
    assert_eq!((read.version, &*read.page, &*read.key), (2, "p1", ""));
    assert_eq!(read.nonce, "00112233445566778899aabbccddeeff");
    assert_eq!(ids(&read), [A]);
    let written = to_json(&read);
    assert!(!written.contains("key"), "{written}");
    assert_eq!(parse(written.as_bytes()), read);
}

/// Whole lists that are broken: what they are, how many wishes survive, what is told.
#[test]
fn tells_what_is_wrong_with_a_list_and_keeps_the_rest() {
    use Problem::*;
    let good = get(A);
    let head = r#""v":1,"page":"p","key":"k","gen":1"#;
    let no_items =
        [Missing("v"), Missing("page"), Missing("key"), Missing("gen"), Missing("items")];
    let long = "x".repeat(MAX_TEXT + 1);
    let cut = format!("{{{head},\"items\":[{good}");
    let cut_within = format!("{cut},{{\"id\":\"{B}");
    let table: Vec<(String, usize, Vec<Problem>)> = vec![
        (String::new(), 0, vec![Empty]),
        (" \r\n\t ".into(), 0, vec![Empty]),
        ("\u{feff}".into(), 0, vec![Empty]),
        ("null".into(), 0, vec![NoList]),
        ("[]".into(), 0, vec![NoList]),
        ("\"items\"".into(), 0, vec![NoList]),
        ("garbage".into(), 0, vec![NoList]),
        ("<html>".into(), 0, vec![NoList]),
        ("\0\0\0\0".into(), 0, vec![NoList]),
        ("{}".into(), 0, no_items.to_vec()),
        ("{".into(), 0, vec![Damaged(1)]),
        ("{,}".into(), 0, vec![Damaged(1)]),
        ("{\"v\"".into(), 0, vec![Damaged(4)]),
        ("{\"v\":".into(), 0, vec![Damaged(5)]),
        ("{\"v\":}".into(), 0, vec![Damaged(5)]),
        ("{v:1}".into(), 0, vec![Damaged(1)]),
        ("{'v':1}".into(), 0, vec![Damaged(1)]),
        ("{\"v\":1 \"page\":\"p\"}".into(), 0, vec![Damaged(7)]),
        ("{\"v\":1,}".into(), 0, vec![Damaged(7)]),
        ("{\"\\ud800\":1}".into(), 0, vec![Damaged(1)]),
        (format!("\u{feff}{}", list(&good)), 1, vec![]),
        (format!("{}\n\n", list(&good)), 1, vec![]),
        (format!("{} {{}}", list(&good)), 1, vec![Trailing]),
        (format!("{}}}", list(&good)), 1, vec![Trailing]),
        (list(&good).replace(r#""v":1"#, r#""v":2"#), 1, vec![]),
        (list(&good).replace(r#""v":1"#, r#""v":3"#), 1, vec![Version("3".into())]),
        (list(&good).replace(r#""v":1"#, r#""v":0"#), 1, vec![Version("0".into())]),
        (list(&good).replace(r#""v":1,"page":"p1","key":"k1""#, r#""v":2,"page":"p1""#), 1, vec![]),
        (list(&good).replace("17", r#"17,"nonce":"a b""#), 1, vec![Type("nonce", NONCE)]),
        (list(&good).replace("17", r#"17,"nonce":"é""#), 1, vec![Type("nonce", NONCE)]),
        (
            list(&good).replace("17", &format!(r#"17,"nonce":"{}""#, "0".repeat(65))),
            1,
            vec![Type("nonce", NONCE)],
        ),
        (list(&good).replace("17", r#"17,"nonce":5"#), 1, vec![Type("nonce", "a text")]),
        (list(&good).replace("17", r#"17,"nonce":"00ff","mac":"x""#), 1, vec![]),
        (list(&good).replace(r#""v":1"#, r#""v":"1""#), 1, vec![Version("\"1\"".into())]),
        (list(&good).replace(r#""v":1,"#, ""), 1, vec![Missing("v")]),
        (list(&good).replace(r#""page":"p1","#, ""), 1, vec![Missing("page")]),
        (list(&good).replace(r#""key":"k1","#, ""), 1, vec![Missing("key")]),
        (list(&good).replace(r#""gen":17,"#, ""), 1, vec![Missing("gen")]),
        (list(&good).replace(r#""device":"HTCphone","#, ""), 1, vec![]),
        (list(&good).replace(r#""HTCphone""#, "null"), 1, vec![]),
        (list(&good).replace(r#""HTCphone""#, "5"), 1, vec![Type("device", "a text")]),
        (list(&good).replace("HTCphone", "../x"), 1, vec![device_error("../x")]),
        (list(&good).replace(r#""p1""#, "{}"), 1, vec![Type("page", "a text")]),
        (list(&good).replace(r#""p1""#, r#""\ud800""#), 1, vec![Type("page", "a text")]),
        (list(&good).replace(r#""k1""#, "null"), 1, vec![Type("key", "a text")]),
        (list(&good).replace("k1", &long), 1, vec![TextTooLong("key")]),
        (list(&good).replace("17", "-1"), 1, vec![Type("gen", "a whole number")]),
        (list(&good).replace("17", "1e99"), 1, vec![Type("gen", "a whole number")]),
        (list(&good).replace("17", "1,\"gen\":2"), 1, vec![Twice("gen")]),
        (format!("{{{head},\"items\":{{}}}}"), 0, vec![Type("items", "a list")]),
        (format!("{{{head},\"items\":null}}"), 0, vec![Type("items", "a list")]),
        (format!("{{{head}}}"), 0, vec![Missing("items")]),
        (cut.clone(), 1, vec![Damaged(cut.len())]),
        (cut_within.clone(), 1, vec![Damaged(cut_within.len())]),
        (format!("{{{head},\"items\":[{good},]}}"), 1, vec![]),
        (format!("{{{head},\"items\":[,,{good}]}}"), 1, vec![]),
        (format!("{{\"items\":[{good}],{head}}}"), 1, vec![]),
        (format!("{{{head},\"items\":[{good}],\"items\":[{}]}}", get(B)), 1, vec![Twice("items")]),
        (format!("{{{head},\"x\":[[{{}}],\"]\"],\"items\":[{good}]}}"), 1, vec![]),
        (format!("{{{head},\"it\\u0065ms\":[{good}]}}"), 1, vec![]),
    ];
    assert!(table.len() >= 50);
    for (text, wishes, told) in table {
        let read = parse(text.as_bytes());
        assert_eq!((read.wishes.len(), problems(&read)), (wishes, told), "{text}");
        assert!(read.diagnostics.iter().all(|d| d.wish.is_none() && d.item == 0), "{text}");
    }
}

/// Single wishes that are broken: what they are, whether their identity is known, what is told.
/// Each stands between two good ones, which must survive.
#[test]
fn one_bad_wish_never_spoils_the_others() {
    use Problem::*;
    let w = |rest: &str| format!(r#"{{"id":"{X}",{rest}}}"#);
    let op = |op: &str, rest: &str| w(&format!(r#""op":"{op}","path":"a",{AT}{rest}"#));
    let path = |path: &str| w(&format!(r#""op":"get","path":"{path}",{AT}"#));
    let id = |id: &str| format!(r#"{{"id":{id},"op":"get","path":"a",{AT}}}"#);
    let long = "x".repeat(MAX_TEXT + 1);
    let devices = |n: usize| {
        let names: Vec<_> = (0..n).map(|i| format!("\"d{i}\"")).collect();
        format!(",\"to\":[{}]", names.join(","))
    };
    let seen = "a size and an mtime, both whole numbers";
    let table: Vec<(String, bool, Problem)> = vec![
        ("null".into(), false, NoWish("null".into())),
        ("5".into(), false, NoWish("5".into())),
        ("\"get\"".into(), false, NoWish("\"get\"".into())),
        ("[]".into(), false, NoWish("[]".into())),
        ("\u{1b}2J".into(), false, NoWish("▯2J".into())),
        ("{}".into(), false, Missing("id")),
        (format!(r#"{{"op":"get","path":"a",{AT}}}"#), false, Missing("id")),
        (id("null"), false, Missing("id")),
        (id("5"), false, BadId),
        (id("\"\""), false, BadId),
        (id("\"0000000000000000001\""), false, BadId),
        (id("\"000000000000000000001\""), false, BadId),
        (id("\"0000000000000000000G\""), false, BadId),
        (id("\"AAAAAAAAAAAAAAAAAAAA\""), false, BadId),
        (id("\"../../../../../../etc\""), false, BadId),
        (id("{}"), false, BadId),
        (w(&format!(r#""id":"{B}","op":"get","path":"a",{AT}"#)), false, Twice("id")),
        (w(r#""op" "get""#), true, DamagedWish),
        (w(r#""op":"get",,"path":"a""#), true, DamagedWish),
        (w(r#"op:"get""#), true, DamagedWish),
        (format!(r#"{{"op":"get","path":"a",{AT} "id":"{X}"}}"#), false, DamagedWish),
        (w(r#""op":"get","path":"a""#), true, Missing("at")),
        (w(&format!(r#""path":"a",{AT}"#)), true, Missing("op")),
        (w(&format!(r#""op":"get",{AT}"#)), true, Missing("path")),
        (w(&format!(r#""op":"get","path":null,{AT}"#)), true, Missing("path")),
        (w(&format!(r#""op":"get","op":"destroy","path":"a",{AT}"#)), true, Twice("op")),
        (w(&format!(r#""op":"get","path":"a","p\u0061th":"b",{AT}"#)), true, Twice("path")),
        (op("Get", ""), true, UnknownAction("Get".into(), None)),
        (op("fetch", ""), true, UnknownAction("fetch".into(), None)),
        (op("destory", ""), true, UnknownAction("destory".into(), Some(Action::Destroy))),
        (op("", ""), true, UnknownAction(String::new(), None)),
        (op(&"a".repeat(90), ""), true, UnknownAction(format!("{}…", "a".repeat(40)), None)),
        (op("<b>\\n", ""), true, UnknownAction("<b>▯".into(), None)),
        (w(&format!(r#""op":["get"],"path":"a",{AT}"#)), true, Type("op", "a text")),
        (w(&format!(r#""op":"get","path":["a"],{AT}"#)), true, Type("path", "a text")),
        (w(&format!(r#""op":"get","path":"\ud83d",{AT}"#)), true, Type("path", "a text")),
        (w(&format!("\"op\":\"get\",\"path\":\"a\nb\",{AT}")), true, Type("path", "a text")),
        (path(".."), true, Path(PathError::Dots)),
        (path("a/%2e%2e/b"), true, Path(PathError::Dots)),
        (path("/etc/passwd"), true, Path(PathError::EmptyName)),
        (path("a%2f%2fb"), true, Path(PathError::EmptyName)),
        (path("a%00"), true, Path(PathError::Nul)),
        (path("100%"), true, Path(PathError::Percent)),
        (path(&"x".repeat(256)), true, Path(PathError::NameTooLong)),
        (path(&["d"; 65].join("/")), true, Path(PathError::TooDeep)),
        (path(&["d"; 2049].join("/")), true, Path(PathError::TooLong)),
        (path("a\u{fffd}b"), true, Broken("path")),
        (op("get", ",\"to\":\"tablet\""), true, Type("to", "a list of device names")),
        (op("get", ",\"to\":[5]"), true, Type("to", "a list of device names")),
        (op("get", ",\"to\":[[[[]]]]"), true, Type("to", "a list of device names")),
        (op("get", ",\"to\":[\"../x\"]"), true, device_error("../x")),
        (op("get", ",\"to\":[\"\"]"), true, device_error("")),
        (op("get", &devices(65)), true, TooManyDevices(65)),
        (op("get", &devices(9_000)), true, TooManyDevices(9_000)),
        (op("move", ",\"from\":\"a b\""), true, device_error("a b")),
        (op("move", ",\"from\":{}"), true, Type("from", "a text")),
        (op("move", ""), true, NoDirection),
        (op("move", ",\"to\":[]"), true, NoDirection),
        (op("accept", ",\"with\":\"ID\""), true, NoDevice),
        (op("accept", ",\"with\":\"ID\",\"to\":[\"a\",\"b\"]"), true, NoDevice),
        (op("accept", ",\"to\":[\"a\"]"), true, Missing("with")),
        (op("refuse", ""), true, Missing("with")),
        (op("forget", ",\"to\":[]"), true, NoDevice),
        (op("destroy", ""), true, NotSeen),
        (op("destroy", ",\"seen\":null"), true, NotSeen),
        (op("destroy", ",\"seen\":{}"), true, Type("seen", seen)),
        (op("destroy", ",\"seen\":{\"size\":-1,\"mtime\":0}"), true, Type("seen", seen)),
        (op("destroy", ",\"seen\":{\"size\":1,\"mtime\":0.5}"), true, Type("seen", seen)),
        (op("destroy", ",\"seen\":{\"size\":\"1\",\"mtime\":0}"), true, Type("seen", seen)),
        (op("get", ",\"seen\":{\"size\":1,\"mtime\":1e400}"), true, Type("seen", seen)),
        (
            w(&format!(r#""op":"destroy","path":"","seen":{{"size":1,"mtime":1}},{AT}"#)),
            true,
            Everything(Action::Destroy),
        ),
        (w(&format!(r#""op":"mkdir","path":"",{AT}"#)), true, Everything(Action::Mkdir)),
        (w(&format!(r#""op":"share","path":"",{AT}"#)), true, Everything(Action::Share)),
        (op("share", ",\"with\":5"), true, Type("with", "a text")),
        (op("share", &format!(",\"with\":\"{long}\"")), true, TextTooLong("with")),
        (op("share", ",\"with\":\"\u{fffd}\""), true, Broken("with")),
        (op("undo", ",\"with\":\"latest\""), true, NoVersion),
        (op("undo", ",\"with\":\"\""), true, NoVersion),
        (op("undo", ",\"with\":\"-1\""), true, NoVersion),
        (op("undo", ",\"with\":\"99999999999999999999\""), true, NoVersion),
        (op("share-folder", ",\"limit_mb\":0"), true, Limit),
        (op("share-folder", ",\"limit_mb\":-2"), true, Limit),
        (op("share-folder", ",\"limit_mb\":1.5"), true, Limit),
        (op("share-folder", ",\"limit_mb\":\"500\""), true, Limit),
        (op("share-folder", ",\"limit_mb\":9223372036854775807"), true, Limit),
        (w(r#""op":"get","path":"a","at":5"#), true, Type("at", "a text")),
        (w(r#""op":"get","path":"a","at":"""#), true, NoTime),
        (w(r#""op":"get","path":"a","at":"yesterday""#), true, NoTime),
        (w(r#""op":"get","path":"a","at":"2026-13-01T00:00:00Z""#), true, NoTime),
        (w(r#""op":"get","path":"a","at":"2026-11-23T10:00:00""#), true, NoTime),
        (w(r#""op":"get","path":"a","at":"+012026-11-23T10:00:00Z""#), true, NoTime),
    ];
    assert!(table.len() >= 80);
    for (text, known, told) in table {
        let around = list(&format!("{},{text},{}", get(A), get(B)));
        let read = parse(around.as_bytes());
        assert_eq!(ids(&read), [A, B], "{text}");
        let wish = known.then(|| WishId::parse(X).unwrap());
        assert_eq!(read.diagnostics, [Diagnostic { wish, item: 2, problem: told }], "{text}");
    }
}

#[test]
fn accepts_what_is_odd_but_clear() {
    for rest in [
        r#""op":"get","path":"""#,
        r#""op":"get","path":"%FF%FE","to":null"#,
        r#""op":"get","path":"a","to":[]"#,
        r#""op":"get","path":"Caf\u00e9""#,
        r#""op":"move","path":"a","from":"tablet""#,
        r#""op":"undo","path":"a""#,
        r#""op":"undo","path":"a","with":"12""#,
        r#""op":"share-folder","path":"a","limit_mb":1"#,
        r#""op":"get","path":"a","with":null,"limit_mb":null,"seen":null,"from":null"#,
        r#""op":"get","path":"a","unknown":"\ud800""#,
    ] {
        let read = parse(list(&format!(r#"{{"id":"{X}",{rest},{AT}}}"#)).as_bytes());
        assert_eq!((ids(&read), problems(&read)), (vec![X.to_owned()], vec![]), "{rest}");
    }
}

#[test]
fn of_one_identity_the_first_counts() {
    let bad = format!(r#"{{"id":"{A}","op":"burn","path":"a",{AT}}}"#);
    let read = parse(list(&format!("{},{bad},{}", get(A), get(A))).as_bytes());
    assert_eq!(ids(&read), [A]);
    let repeated = |item| Diagnostic { wish: None, item, problem: Problem::Repeated };
    assert_eq!(read.diagnostics, [repeated(2), repeated(3)]);

    let read = parse(list(&format!("{bad},{}", get(A))).as_bytes());
    assert_eq!(ids(&read), [""; 0]);
    assert_eq!(read.diagnostics[0].wish, WishId::parse(A));
    assert_eq!(read.diagnostics[1], repeated(2));
}

#[test]
fn bytes_that_are_no_utf8_harm_only_their_wish() {
    let mut text = list(&format!("{},{},{}", get(A), get(X), get(B))).into_bytes();
    let at = text.windows(X.len()).position(|w| w == X.as_bytes()).unwrap();
    let path = at + text[at..].windows(3).position(|w| w == b"a/b").unwrap();
    text[path] = 0xff;
    let read = parse(&text);
    assert_eq!(ids(&read), [A, B]);
    assert_eq!(problems(&read), [Problem::Broken("path")]);
}

#[test]
fn caps_hold() {
    let many: Vec<_> = (0..MAX_WISHES + 3).map(|i| get(&format!("{i:020x}"))).collect();
    let read = parse(list(&many[..MAX_WISHES].join(",")).as_bytes());
    assert_eq!((read.wishes.len(), problems(&read)), (MAX_WISHES, vec![]));
    // Short enough for the cap on bytes, and still too many.
    let short: Vec<_> = (0..MAX_WISHES + 3).map(|i| format!(r#"{{"id":"{i:020x}"}}"#)).collect();
    let read = parse(list(&short.join(",")).as_bytes());
    assert_eq!(read.diagnostics.len(), MAX_WISHES + 1);
    assert_eq!(read.diagnostics.last().unwrap().problem, Problem::TooMany(3));

    let filler = " ".repeat(MAX_BYTES);
    let text = list(&format!("{},{filler}{}", get(A), get(B)));
    let read = parse(text.as_bytes());
    assert_eq!((ids(&read), problems(&read)), (vec![A.into()], vec![Problem::TooLong(text.len())]));

    let zeros = "0,".repeat(MAX_BYTES / 4);
    let read = parse(list(&zeros).as_bytes());
    assert_eq!(read.diagnostics.len(), MAX_LOOSE + 2);
    assert!(problems(&read).contains(&Problem::More(MAX_WISHES - MAX_LOOSE)));
}

#[test]
fn depth_costs_no_stack() {
    for deep in ["[", "{\"a\":", "[{\"a\":["] {
        let pile = deep.repeat(MAX_BYTES / deep.len() - 200);
        for text in [
            pile.clone(),
            list(&pile),
            list(&format!(r#"{{"id":"{X}","op":"get","path":"a","to":{pile}"#)),
            format!(r#"{{"v":{pile}"#),
        ] {
            assert_eq!(parse(text.as_bytes()).wishes, []);
        }
    }
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for field in ["to", "with", "seen", "at", "other"] {
        let text =
            list(&format!(r#"{{"id":"{X}","{field}":{nested},"op":"get","path":"a"}},{}"#, get(A)));
        let read = parse(text.as_bytes());
        assert_eq!((ids(&read), read.diagnostics.len()), (vec![A.to_owned()], 1), "{field}");
        assert_eq!(read.diagnostics[0].wish, WishId::parse(X), "{field}");
    }
}

#[test]
fn the_hostile_table_is_large_and_the_model_agrees_with_it() {
    let table = hostile::load();
    assert!(table.names.len() >= 100, "{}", table.names.len());
    assert!(table.len() >= 180, "{}", table.len());
    for name in &table.names {
        assert!((1..=255).contains(&name.len()), "{}", name.escape_ascii());
        assert!(crate::model::Name::new(name).is_ok(), "{}", name.escape_ascii());
        assert!(!crate::model::show(name).chars().any(char::is_control));
    }
    for path in table.names.iter().chain(&table.paths) {
        assert!(RelPath::new(path).is_ok(), "{}", path.escape_ascii());
    }
    for (path, why) in &table.refused {
        let refused = RelPath::new(path).map_err(reason);
        assert_eq!(refused.unwrap_err(), *why, "{}", path.escape_ascii());
    }
    for (text, why) in &table.encoded {
        let told = RelPath::from_percent(text).map_or_else(reason, |_| "ok");
        assert_eq!(told, *why, "{text}");
    }
    for name in &table.devices {
        assert!(DeviceName::new(name).is_err(), "{name:?}");
    }
}

fn reason(error: PathError) -> &'static str {
    match error {
        PathError::TooLong => "too-long",
        PathError::TooDeep => "too-deep",
        PathError::NameTooLong => "name-too-long",
        PathError::EmptyName => "empty-name",
        PathError::Dots => "dots",
        PathError::Nul => "nul",
        PathError::Percent => "percent",
    }
}

#[test]
fn hostile_names_travel_through_a_worklist_and_back() {
    let table = hostile::load();
    let all = table.names.iter().chain(&table.paths);
    let mut wishes = Vec::new();
    for (i, path) in all.clone().enumerate() {
        let mut wish = parse(list(&get(&format!("{i:020x}"))).as_bytes()).wishes.remove(0);
        wish.path = RelPath::new(path).unwrap();
        wishes.push(wish);
    }
    let sent = Worklist { wishes, ..parse(list("").as_bytes()) };
    let page = format!("<html>{}\n</html>", encode(&sent));
    let read = parse(find(page.as_bytes()).unwrap());
    assert_eq!(read, sent);
    for (wish, path) in read.wishes.iter().zip(all) {
        assert_eq!(wish.path.as_bytes(), &**path);
    }
    // What must be refused is refused, and answered.
    for (i, (text, why)) in table.encoded.iter().enumerate() {
        let path = serde_json::to_string(text).unwrap();
        let item = format!(r#"{{"id":"{i:020x}","op":"get","path":{path},{AT}}}"#);
        let read = parse(list(&item).as_bytes());
        assert_eq!(read.wishes.len(), usize::from(*why == "ok"), "{text}");
        assert!(read.diagnostics.iter().all(|d| d.wish.is_some()), "{text}");
    }
    for name in &table.devices {
        let to = serde_json::to_string(&[name]).unwrap();
        let item = format!(r#"{{"id":"{X}","op":"get","path":"a","to":{to},{AT}}}"#);
        assert_eq!(problems(&parse(list(&item).as_bytes())), [device_error(name)]);
    }
}

#[test]
fn finds_the_last_worklist_of_a_page() {
    let own = encode(&parse(list(&get(A)).as_bytes()));
    let code = "<script>const B='<!--WORKLIST-BEGIN--><script type=\"application/json\" id=\"work\">'\
                ,E='<\\/script><!--WORKLIST-END-->'</script>";
    let old = encode(&parse(list(&get(B)).as_bytes()));
    for page in [
        own.clone(),
        format!("{code}{own}"),
        format!("{old}\n{own}\n"),
        format!("{code}<main>{old}</main>\r\n{own}\r\n</body></html>"),
    ] {
        let read = parse(find(page.as_bytes()).unwrap());
        assert_eq!(ids(&read), [A], "{page}");
    }
    assert!(own.starts_with(
        "<!--WORKLIST-BEGIN--><script type=\"application/json\" id=\"work\">{\"v\":1,\"page\":\"p1\","
    ));
    assert!(own.ends_with("]}</script><!--WORKLIST-END-->"));
    assert_eq!(own.matches('<').count(), 4);
}

#[test]
fn a_damaged_page_has_no_worklist() {
    use FindError::*;
    let own = encode(&parse(list(&get(A)).as_bytes()));
    for (page, why) in [
        (String::new(), Missing),
        ("<html></html>".into(), Missing),
        (own.replace("BEGIN", "begin"), Missing),
        (own.replace("id=\"work\"", "id='work'"), Missing),
        (own[..own.len() - 1].into(), Damaged),
        (own[..100].into(), Damaged),
        (own.replace("</script>", "\n</script >"), Damaged),
        (own.replace("</script>", "</script> "), Damaged),
        (own.replace("p1", "<b>"), Damaged),
        (format!("{own}{}", &own[..100]), Damaged),
        (own.replace("}]}", "}]}</script><script>"), Damaged),
    ] {
        assert_eq!(find(page.as_bytes()), Err(why), "{page}");
        assert_eq!(put(page.as_bytes(), &Worklist::default()), Err(why), "{page}");
    }
}

#[test]
fn puts_another_worklist_in_its_place() {
    let own = encode(&parse(list(&get(A)).as_bytes()));
    let page = [b"\xff<p>".as_slice(), own.as_bytes(), b"\n\xfe"].concat();
    let other = parse(list(&get(B)).as_bytes());
    let new = put(&page, &other).unwrap();
    assert_eq!(new, [b"\xff<p>".as_slice(), encode(&other).as_bytes(), b"\n\xfe"].concat());
}

#[test]
fn knows_files_by_their_names() {
    use Kind::*;
    for (name, kind) in [
        ("catalogue.html", Some(Page)),
        ("catalogue.html.crswap", None),
        (".catalogue.html", None),
        ("catalogue.sync-conflict-20261123-100000-ABCDEFG.html", Some(ConflictCopy)),
        (
            "catalogue.sync-conflict-20261123-100000-ABCDEFG.sync-conflict-20261124-100000-HIJKLMN.html",
            Some(ConflictCopy),
        ),
        ("catalogue.sync-conflict-.html", Some(Beside)),
        ("catalogue.sync-conflict-html", Some(Beside)),
        ("catalogue.sync-conflict-a b.html", Some(Beside)),
        ("catalogue.sync-conflict-20261123-100000-ABCDEFG.html.crswap", None),
        ("catalogue-worklist-HTCphone-1795428000.json", Some(Beside)),
        ("catalogue-worklist-HTCphone-2026-11-23T10-00-00Z.json", Some(Beside)),
        ("catalogue-worklist-my-phone.2_x-20261123T100000.123Z.json", Some(Beside)),
        ("catalogue-worklist-HTCphone-1795428000 (1).json", Some(Beside)),
        ("catalogue-worklist-HTCphone-1795428000 (12).json", Some(Beside)),
        ("catalogue-worklist-HTCphone-1795428000(2).json", Some(Beside)),
        (
            "catalogue-worklist-HTCphone-1795428000.sync-conflict-20261123-100000-ABCDEF7.json",
            Some(Beside),
        ),
        ("catalogue-worklist-HTCphone.json", Some(Beside)),
        // As browsers, file managers and messengers rename what they save.
        ("catalogue-worklist-HTCphone-17.json.txt", Some(Beside)),
        ("catalogue-worklist-HTCphone-17 - Copy.json", Some(Beside)),
        ("catalogue (1).html", Some(Beside)),
        ("catalogue-1.html", Some(Beside)),
        ("catalogue(1).html", Some(Beside)),
        ("catalogue - Copy.html", Some(Beside)),
        ("catalogue - Kopie.html", Some(Beside)),
        ("catalogue.htm", Some(Beside)),
        ("catalogue.html.html", Some(Beside)),
        ("catalogue.html.txt", Some(Beside)),
        ("Catalogue.html", Some(Beside)),
        ("CATALOGUE.HTML", Some(Beside)),
        ("catalogue-worklist-HTCphone-17.json.part", None),
        ("catalogue-worklist-HTCphone-17.json.crdownload", None),
        ("Catalogue.html.CRDOWNLOAD", None),
        (".syncthing.catalogue-worklist-HTCphone-17.json.tmp", None),
        ("catalog.html", None),
        ("my catalogue.html", None),
        ("worklist.json", None),
        ("", None),
    ] {
        assert_eq!(file_kind(name.as_bytes()), kind, "{name}");
    }
    assert_eq!(file_kind(b"catalogue \xff.html"), Some(Beside));
    for name in hostile::load().names.iter() {
        if !name.to_ascii_lowercase().starts_with(b"catalogue") {
            assert_eq!(file_kind(name), None, "{}", name.escape_ascii());
        }
    }
}

#[test]
fn a_worklist_is_found_in_a_saved_file_and_nowhere_else() {
    let text = list(&get(A));
    let page = format!("<!doctype html>{}\n", encode(&parse(text.as_bytes())));
    for saved in [page.clone(), format!("\u{feff}{page}")] {
        let found = find_saved(saved.as_bytes()).unwrap().unwrap();
        assert_eq!(ids(&parse(found)), [A]);
    }
    for saved in [text.clone(), format!("\u{feff}{text}\r\n"), format!("  {text}")] {
        let found = find_saved(saved.as_bytes()).unwrap().unwrap();
        assert_eq!(ids(&parse(found)), [A], "{saved}");
    }
    assert_eq!(find_saved(&page.as_bytes()[..page.len() - 5]), Some(Err(FindError::Damaged)));
    for other in
        ["", "a catalogue of plants", "{}", r#"{"plants":[]}"#, "[{\"v\":1}]", "<!doctype html>"]
    {
        assert_eq!(find_saved(other.as_bytes()), None, "{other}");
    }
}

#[test]
fn garbage_is_read_and_counted() {
    // No bound on the time: it would fail on a busy machine. `--release -- --nocapture` prints it.
    for (what, unit) in [
        ("letters", "garbage "),
        ("quotes", "\""),
        ("backslashes", "\\"),
        ("brackets", "[{"),
        ("commas", ","),
        ("colons", "{:"),
        ("empty wishes", "{},"),
        ("bad names", "{\"id\":5,\"op\":\"\\u00"),
    ] {
        for text in
            [unit.repeat(MAX_BYTES / unit.len()), list(&unit.repeat(MAX_BYTES / unit.len() - 100))]
        {
            let start = std::time::Instant::now();
            let read = parse(text.as_bytes());
            let took = start.elapsed();
            println!("{what}: {} bytes in {took:?}", text.len());
            assert_eq!(read.wishes, []);
            assert!(read.diagnostics.len() <= MAX_WISHES + MAX_LOOSE + 2);
        }
    }
}

fn any_wish() -> impl Strategy<Value = Wish> {
    let device = || "[A-Za-z0-9][A-Za-z0-9._-]{0,20}".prop_map(|s| DeviceName::new(&s).unwrap());
    let holder = || {
        let shared = prop::sample::select(vec!["Photos é", "family", "tablet"]);
        prop_oneof![3 => device().prop_map(Holder::Device), 1 => shared.prop_map(Holder::shared)]
    };
    let name = prop::collection::vec(prop_oneof![Just(b'<'), Just(b'"'), 1u8..=255], 1..12)
        .prop_filter("a name", |n| crate::model::Name::new(n).is_ok());
    (
        (any::<[u8; 10]>(), prop::sample::select(&Action::ALL[..])),
        prop::collection::vec(name, 1..6),
        (prop::collection::vec(holder(), 0..4), prop::option::of(device())),
        prop::option::of(any::<u32>().prop_map(|n| n.to_string())),
        prop::option::of(prop_oneof![Just(-1i64), 1i64..1_000_000]),
        (any::<u64>(), any::<i64>()),
        -9_000_000_000i64..9_000_000_000,
    )
        .prop_map(|((id, action), path, (mut to, from), with, limit_mb, (size, mtime), at)| {
            let hex: String = id.iter().map(|b| format!("{b:02x}")).collect();
            to.sort();
            to.dedup();
            if matches!(action, Action::Accept | Action::Forget) {
                to.truncate(1);
                to.extend(to.is_empty().then(|| Holder::decode("x").unwrap()));
            }
            let with = match action {
                Action::Accept | Action::Refuse => with.or_else(|| Some("ID".into())),
                _ => with,
            };
            let from = if action == Action::Move {
                Some(from.unwrap_or_else(|| DeviceName::new("x").unwrap()))
            } else {
                from
            };
            Wish {
                id: WishId::parse(&hex).unwrap(),
                action,
                path: RelPath::new(&path.join(&b'/')).unwrap(),
                to,
                from,
                with,
                limit_mb,
                seen: Some(Seen { size, mtime }),
                at: Time::from_secs(at),
            }
        })
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let read = parse(&bytes);
        prop_assert!(read.wishes.is_empty() || !bytes.is_empty());
        prop_assert!(find(&bytes).is_err());
        file_kind(&bytes);
    }

    #[test]
    fn nearly_json_does_not_make_it_panic(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\\", "\"id\"", "\"items\"", "\"op\":\"get\"", " ", "1", "é",
            "\\u", "\"aaaaaaaaaaaaaaaaaaaa\"", "null", "<", "</script>", "\u{feff}", "\"v\":1",
        ]), 0..60)
    ) {
        let text = pieces.concat();
        for text in [text.clone(), list(&text), format!("{{{text}")] {
            let read = parse(text.as_bytes());
            // Whatever it made of it, no wish has two answers.
            let mut all: Vec<_> = read.wishes.iter().map(|w| w.id)
                .chain(read.diagnostics.iter().filter_map(|d| d.wish)).collect();
            let count = all.len();
            all.sort();
            all.dedup();
            prop_assert_eq!(all.len(), count);
        }
    }

    #[test]
    fn a_cut_worklist_keeps_the_wishes_before_the_cut(
        wishes in prop::collection::vec(any_wish(), 1..6),
        (at, bite) in any::<(prop::sample::Index, u8)>(),
    ) {
        let mut ids = HashSet::new();
        let mut wishes = wishes;
        wishes.retain(|wish| ids.insert(wish.id));
        let json = to_json(&Worklist { wishes: wishes.clone(), ..Worklist::default() });
        let at = at.index(json.len());
        let whole = json[..at].matches("Z\"}").count();
        let read = parse(&json.as_bytes()[..at]);
        prop_assert_eq!(&read.wishes[..], &wishes[..whole]);
        // A wrong byte may break the list, and must break nothing else.
        let mut bitten = json.into_bytes();
        bitten[at] = bite;
        prop_assert!(parse(&bitten).wishes.len() <= wishes.len());
    }

    #[test]
    fn what_is_encoded_is_found_and_read(
        wishes in prop::collection::vec(any_wish(), 0..8),
        (page, key) in (".{0,30}", ".{0,30}"),
        (version, nonce) in (1..=VERSION, "[0-9a-f]{0,64}"),
        device in prop::option::of("[A-Za-z0-9]{1,20}"),
        generation in any::<u64>(),
        before in ".{0,80}",
    ) {
        let mut list =
            Worklist { page, key, device, generation, wishes, version, nonce, diagnostics: vec![] };
        let mut ids = HashSet::new();
        list.wishes.retain(|wish| ids.insert(wish.id));
        let page = format!("{before}{}\n", encode(&list));
        prop_assert_eq!(parse(find(page.as_bytes()).unwrap()), list.clone());
        prop_assert_eq!(parse(to_json(&list).as_bytes()), list);
    }
}
