//! The rules of the structure, held against the sources: who may know whom, who may change names, how long
//! a file may be, what every module says of itself, and that ARCHITECTURE.md tells of all modules.
//!
//! A rule that has to give way is changed here, with its reason, so that everybody can read it.
#![allow(clippy::unwrap_used)] // a test

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Modules that decide: values in, values out. They know only each other.
const CORE: &[&str] = &["model", "config", "worklist", "plan", "catalogue", "status"];
/// Modules that touch the world: a disk, a kernel, a network, a lamp. They know the core, not each other.
const ADAPTERS: &[&str] = &[
    "fs",
    "watch",
    "ledger",
    "transport",
    "web",
    "led",
    "drive",
    "machine",
    "mounts",
    "lease",
    "parent",
];
/// Modules that put the others together. They may know everybody above them in this list.
const SHELL: &[&str] = &[
    "apply",
    "dedup",
    "torrent",
    "engine",
    "sync_bridge",
    "daemon",
    "check",
    "appliance",
    "cli",
    "main",
];

/// Adapters that the engine has no business with: it works the same without network, lamp and plug.
const NOT_FOR_THE_ENGINE: &[&str] =
    &["transport", "web", "led", "drive", "machine", "mounts", "lease", "parent"];

/// Who knows somebody all the same, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("watch", "fs", "which names are in transit is one rule, and stands in `fs/scan.rs`"),
    ("status", "led", "STATUS.txt says in words what the lamp shows, from the same table"),
    ("status", "mounts", "the writer has to know which file system the boot partition has"),
    ("drive", "lease", "a look inside sets the disk read-only for a moment, which takes an ioctl"),
    ("transport", "parent", "Syncthing ends with the engine, however that ends"),
    ("check", "daemon", "where ledger and settings lie is known there"),
    ("engine", "web", "what a page's key is; the engine makes it, the network compares it"),
];

/// Who changes names on a disk besides `fs`, and what.
const NAMES_CHANGED_ELSEWHERE: &[(&str, &str)] = &[
    ("src/ledger.rs", "puts a damaged database aside; SQLite's files are not the family's"),
    ("src/drive/import.rs", "copies a drive that the engine can't use, before there is an engine"),
    ("src/transport/syncthing/home.rs", "the sync engine's own folder"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One source file, without its tests.
struct Source {
    /// From the top of the repository.
    path: String,
    module: String,
    text: String,
}

impl Source {
    /// The lines without what is behind `//`.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate();
        lines.map(|(n, line)| (n + 1, line.split("//").next().unwrap_or("")))
    }
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Splits a file into what is built for use and the modules that are built only for tests: those in
/// files of their own are returned by name, one in the file ends it.
fn without_tests(text: &str) -> (String, Vec<String>) {
    let mut kept = String::new();
    let mut modules = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            kept.push_str(line);
            kept.push('\n');
            continue;
        }
        let next = loop {
            match lines.peek() {
                Some(next) if next.trim_start().starts_with("#[") => lines.next(),
                other => break other.copied().unwrap_or(""),
            };
        };
        let name = next.trim_start().trim_start_matches("pub").trim_start_matches("(super)");
        if let Some(name) = name.trim_start().strip_prefix("mod ") {
            match name.strip_suffix(';') {
                Some(name) => {
                    modules.push(name.to_owned());
                    lines.next();
                }
                None => break,
            }
        }
    }
    (kept, modules)
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut files = Vec::new();
    walk(&src, &mut files);
    files.sort();
    assert!(files.len() > 50, "the sources are not where this test looks for them");
    let mut only_tests = BTreeSet::new();
    let mut sources = Vec::new();
    for file in files {
        let (text, modules) = without_tests(&fs::read_to_string(&file).unwrap());
        let below = file.with_extension("");
        let beside =
            if file.parent() == Some(&src) && below.ends_with("lib") { &src } else { &below };
        only_tests.extend(modules.iter().map(|name| beside.join(name)));
        let within = file.strip_prefix(&src).unwrap();
        let first = within.components().next().unwrap().as_os_str().to_str().unwrap();
        let path = file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let module = first.trim_end_matches(".rs").to_owned();
        sources.push((below, Source { path, module, text }));
    }
    sources.retain(|(below, _)| !only_tests.iter().any(|test| below.starts_with(test)));
    sources.into_iter().map(|(_, source)| source).collect()
}

/// The modules that a line of code names.
fn known_in(line: &str) -> Vec<&str> {
    let word =
        |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    line.match_indices("crate::")
        .map(|(at, found)| &line[at + found.len()..])
        .map(|rest| &rest[..word(rest)])
        .collect()
}

fn may_know(module: &str, other: &str) -> bool {
    let at = |list: &[&str], name: &str| list.iter().position(|r| *r == name);
    let by_rule = match (at(SHELL, module), at(SHELL, other)) {
        (Some(above), Some(below)) => below < above,
        (Some(_), None) if ["apply", "engine"].contains(&module) => {
            !NOT_FOR_THE_ENGINE.contains(&other)
        }
        (Some(_), None) => true,
        (None, Some(_)) => false,
        (None, None) => CORE.contains(&other),
    };
    module == other || by_rule || EXCEPTIONS.iter().any(|(r, o, _)| *r == module && *o == other)
}

#[test]
fn modules_know_only_whom_they_may() {
    let mut wrong = Vec::new();
    for source in sources() {
        if source.module == "lib" {
            continue;
        }
        for (n, line) in source.code() {
            for other in known_in(line) {
                if !may_know(&source.module, other) {
                    wrong.push(format!("{}:{n}: `{}` knows `{other}`", source.path, source.module));
                }
                assert!(!other.is_empty(), "{}:{n}: one `use` for each module", source.path);
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nsee the lists at the top of tests/architecture.rs",
        wrong.join("\n")
    );
}

#[test]
fn every_exception_is_needed() {
    let sources = sources();
    for (module, other, why) in EXCEPTIONS {
        let used = sources.iter().filter(|s| s.module == *module).any(|s| {
            let mut lines = s.code();
            lines.any(|(_, line)| known_in(line).contains(other))
        });
        assert!(
            used,
            "`{module}` does not know `{other}` any more: take the exception out ({why})"
        );
    }
    for (path, why) in NAMES_CHANGED_ELSEWHERE {
        let used = sources.iter().any(|s| s.path == *path && changes_names(s).next().is_some());
        assert!(used, "{path} changes no names any more: take the exception out ({why})");
    }
}

#[test]
fn every_module_is_in_one_list_and_in_the_architecture() {
    let modules: BTreeSet<String> =
        sources().into_iter().map(|s| s.module).filter(|module| module != "lib").collect();
    let mut listed = BTreeMap::new();
    for module in [CORE, ADAPTERS, SHELL].concat() {
        *listed.entry(module.to_owned()).or_insert(0) += 1;
    }
    assert!(listed.values().all(|n| *n == 1), "a module is of one kind: {listed:?}");
    assert_eq!(
        modules,
        listed.into_keys().collect(),
        "src/ and the lists of tests/architecture.rs"
    );

    let told = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let table = told.lines().skip_while(|l| !l.starts_with("| module ")).skip(2);
    let table = table.take_while(|l| l.starts_with('|'));
    let names: BTreeSet<String> = table
        .flat_map(|row| {
            let first = row.split('|').nth(1).unwrap_or("");
            first.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(modules, names, "src/ and the table of ARCHITECTURE.md");
}

/// Where a file calls something that makes, replaces or removes a name.
fn changes_names(source: &Source) -> impl Iterator<Item = (usize, &'static str)> {
    const CALLS: &[&str] = &[
        "fs::rename(",
        "fs::write(",
        "fs::remove_file(",
        "fs::remove_dir(",
        "fs::remove_dir_all(",
        "fs::hard_link(",
        "fs::copy(",
        "renameat(",
        "renameat_with(",
        "unlinkat(",
        "linkat(",
        "symlinkat(",
        "symlink(",
    ];
    source
        .code()
        .filter_map(|(n, line)| Some((n, *CALLS.iter().find(|call| line.contains(**call))?)))
}

#[test]
fn names_change_only_through_the_port() {
    let mut wrong = Vec::new();
    for source in sources() {
        let excepted = NAMES_CHANGED_ELSEWHERE.iter().any(|(path, _)| *path == source.path);
        if source.module != "fs" && !excepted {
            let found =
                changes_names(&source).map(|(n, call)| format!("{}:{n}: {call}…)", source.path));
            wrong.extend(found);
        }
    }
    assert!(wrong.is_empty(), "only `fs` changes names:\n{}", wrong.join("\n"));
}

/// The files that each file names, by module path. What a file says of a module above or below itself is left out: a
/// module and its submodules are one whole to the others, and its own file hands out what the submodules have.
fn imports(sources: &[Source]) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
    let module = |path: &str| -> Vec<String> {
        let within = path.trim_start_matches("src/").trim_end_matches(".rs");
        within.split('/').map(str::to_owned).collect()
    };
    let modules: BTreeSet<Vec<String>> = sources.iter().map(|s| module(&s.path)).collect();
    // The file of the longest beginning that is a module; the rest of the path is what stands in it.
    let file_of = |path: &[String]| {
        (1..=path.len()).rev().map(|n| path[..n].to_vec()).find(|p| modules.contains(p))
    };
    let mut found = BTreeMap::new();
    for source in sources {
        let own = module(&source.path);
        let code: String = source.code().map(|(_, line)| format!("{line}\n")).collect();
        let mut named = BTreeSet::new();
        for path in paths(&code) {
            let supers = path.iter().take_while(|part| *part == "super").count();
            let full: Vec<String> = match path[0].as_str() {
                "crate" => path[1..].to_vec(),
                "super" => [&own[..own.len() - supers], &path[supers..]].concat(),
                _ => continue,
            };
            if let Some(other) = file_of(&full)
                && !own.starts_with(&other)
                && !other.starts_with(&own)
            {
                named.insert(other);
            }
        }
        found.insert(own, named);
    }
    found
}

/// Every path that begins with `crate` or `super`, those in braces one by one.
fn paths(code: &str) -> Vec<Vec<String>> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for begin in ["crate::", "super::"] {
        for (at, _) in code.match_indices(begin) {
            if code[..at].ends_with(is_word) || code[..at].ends_with("::") {
                continue;
            }
            let rest = &code[at..];
            let end = rest.find(|c: char| !is_word(c) && c != ':').unwrap_or(rest.len());
            let path = rest[..end].trim_end_matches(':');
            if rest[end..].starts_with('{') {
                let mut depth = 0;
                let close = rest.find(|c| {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    c == '}' && depth == 0
                });
                spread(path, &rest[end + 1..close.unwrap()], &mut found);
            } else {
                found.push(path.to_owned());
            }
        }
    }
    found.iter().map(|path| path.split("::").map(str::to_owned).collect()).collect()
}

/// The paths of what stands in the braces behind `path`.
fn spread(path: &str, within: &str, found: &mut Vec<String>) {
    let mut depth = 0;
    let parts = within.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
        let name = part.split(" as ").next().unwrap_or(part);
        match part.split_once("::{") {
            Some((below, rest)) => {
                spread(&format!("{path}::{below}"), rest.strip_suffix('}').unwrap(), found);
            }
            None if name == "self" => found.push(path.to_owned()),
            None => found.push(format!("{path}::{}", name.trim_end_matches("::*"))),
        }
    }
}

/// A circle of files, each naming the next and the last the first.
fn circle(imports: &BTreeMap<Vec<String>, BTreeSet<Vec<String>>>) -> Option<Vec<String>> {
    /// Goes on from the last of `way`; `done` lead into no circle.
    fn walk<'a>(
        imports: &'a BTreeMap<Vec<String>, BTreeSet<Vec<String>>>,
        way: &mut Vec<&'a Vec<String>>,
        done: &mut BTreeSet<&'a Vec<String>>,
    ) -> Option<Vec<String>> {
        let last = *way.last().unwrap();
        for next in imports.get(last).into_iter().flatten() {
            if let Some(begin) = way.iter().position(|file| *file == next) {
                return Some(way[begin..].iter().map(|file| file.join("/")).collect());
            }
            if !done.contains(next) {
                way.push(next);
                if let Some(found) = walk(imports, way, done) {
                    return Some(found);
                }
                way.pop();
            }
        }
        done.insert(last);
        None
    }
    let mut done = BTreeSet::new();
    imports.keys().find_map(|file| walk(imports, &mut vec![file], &mut done))
}

#[test]
fn no_files_know_each_other_in_a_circle() {
    let imports = imports(&sources());
    assert!(imports.values().map(BTreeSet::len).sum::<usize>() > 300, "imports are not found");
    assert_eq!(circle(&imports), None, "whoever reads one has to read all of them at once");
}

#[test]
fn imports_and_circles_are_found() {
    let found = |code: &str| -> Vec<String> {
        paths(code).into_iter().map(|path| path.join("/")).collect()
    };
    assert_eq!(
        found("use crate::a::{b::{C, d}, e as f, self};\nuse super::super::g::*; x(not_crate::h)"),
        ["crate/a/b/C", "crate/a/b/d", "crate/a/e", "crate/a", "super/super/g"]
    );
    let source = |path: &str, text: &str| Source {
        path: format!("src/{path}.rs"),
        module: String::new(),
        text: text.to_owned(),
    };
    let tree = |last: &str| {
        let a = source("a", "mod b; pub use b::B; use crate::c::C;");
        let b = source("a/b", "use super::A; use crate::c::d::D;");
        let rest = [source("c", "mod d;"), source("c/d", "use crate::e::E;"), source("e", last)];
        circle(&imports(&[a, b].into_iter().chain(rest).collect::<Vec<_>>()))
    };
    assert_eq!(tree("use crate::c::C;"), None, "a module's own file is not its submodules");
    assert_eq!(tree("use crate::c::{self, d::D};"), Some(vec!["c/d".into(), "e".into()]));
    assert_eq!(tree("use crate::a::b::B;").map(|files| files.len()), Some(3));
}

#[test]
fn no_file_is_longer_than_five_hundred_lines_without_its_tests() {
    let long: Vec<_> = sources()
        .iter()
        .map(|s| (s.text.lines().count(), s.path.clone()))
        .filter(|(lines, _)| *lines > 500)
        .collect();
    assert!(long.is_empty(), "split them: {long:?}");
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let silent: Vec<_> =
        sources().into_iter().filter(|s| !s.text.starts_with("//! ")).map(|s| s.path).collect();
    assert!(silent.is_empty(), "they do not open with `//!`: {silent:?}");
}

#[test]
fn no_file_tells_where_it_was_built() {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let listed = match listed {
        Ok(out) if out.status.success() => out.stdout,
        _ => {
            #[allow(clippy::print_stderr)]
            {
                eprintln!("SKIPPED: not a git checkout: which files are committed is not known");
            }
            return;
        }
    };
    // The card mounts its own file system here before it becomes the root.
    let excepted = |path: &str, dir: &str| path == "image/initramfs/init" && dir == "root";
    let mut wrong = Vec::new();
    for path in listed.split(|b| *b == 0).filter_map(|p| std::str::from_utf8(p).ok()) {
        let Ok(text) = fs::read_to_string(root().join(path)) else { continue };
        for (n, line) in text.lines().enumerate() {
            for dir in ["work", "root"] {
                let sought = format!("/{dir}/");
                let begins = |at: usize| {
                    let before = line[..at].chars().next_back().unwrap_or(' ');
                    !(before.is_alphanumeric() || "_-.}{/\\)>".contains(before))
                };
                if !excepted(path, dir) && line.match_indices(&sought).any(|(at, _)| begins(at)) {
                    wrong.push(format!("{path}:{}: {}", n + 1, line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn tests_are_told_from_what_is_used() {
    let (kept, modules) = without_tests(
        "//! a\n#[cfg(test)]\nmod contract;\nuse b;\n#[cfg(test)]\nfn c() {}\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n}\n",
    );
    assert_eq!(modules, ["contract"]);
    assert_eq!(kept, "//! a\nuse b;\nfn c() {}\n");
    assert_eq!(known_in("use crate::fs::{a, b}; crate::plan::x()"), ["fs", "plan"]);
    assert!(may_know("engine", "fs") && may_know("fs", "model") && may_know("cli", "daemon"));
    assert!(!may_know("plan", "fs") && !may_know("engine", "transport"));
    assert!(!may_know("web", "ledger") && !may_know("engine", "daemon"));
}

/// Tests that start the program, each in an environment of its own, and the one that can't.
const STARTS_LARDER: &[(&str, &str)] = &[
    ("tests/support/drive.rs", "for most"),
    ("tests/house/home.rs", "with the Syncthing of the lab"),
    (
        "tests/appliance.rs",
        "its supervisor calls this machine's programs; its engine gets settings without a Syncthing",
    ),
];

#[test]
fn tests_start_the_program_in_an_environment_of_its_own() {
    let mut files = Vec::new();
    walk(&root().join("tests"), &mut files);
    let mut starting = BTreeSet::new();
    for file in files {
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        let text = fs::read_to_string(&file).unwrap();
        if text.contains(concat!("CARGO_BIN", "_EXE")) {
            let own = text.contains("hermetic(") || name == "tests/appliance.rs";
            assert!(own, "{name}: start the program by tests/support/environment.rs");
            starting.insert(name);
        }
    }
    let known: BTreeSet<String> = STARTS_LARDER.iter().map(|(name, _)| (*name).into()).collect();
    assert_eq!(starting, known);
}
