//! Who may import whom: docs/architecture.md, "Rooms", as a table, and every path in `src/` and `symbols/src` held against it.
//!
//! Reads tokens, not text: comments and strings do not count, macro bodies do. Unit tests (`#[cfg(test)]`) may
//! import what they like.

mod files;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A room of the house: where its files are and what they may name.
struct Room {
    /// A folder or file below `src/`, without `.rs`.
    name: &'static str,
    /// Rooms whose names it may use, besides its own. `a/b` allows that part alone.
    uses: &'static [&'static str],
    /// Crates (or `crate/name`: that name alone) that are allowed here and refused where they are not listed (`FENCED`).
    crates: &'static [&'static str],
}

/// Crates that belong to some rooms only. Others (serde, rayon …) may be used anywhere.
const FENCED: &[&str] = &[
    "addr2line",
    "clap",
    "clap_complete",
    "clap_mangen",
    "crossterm",
    "flate2",
    "gimli",
    "iced_x86",
    "nucleo",
    "object",
    "ratatui",
    "ruzstd",
    "symbols",
    "tempfile",
];

const ROOMS: &[Room] = &[
    Room { name: "model", uses: &[], crates: &["symbols"] },
    Room { name: "job", uses: &["error"], crates: &[] },
    Room { name: "error", uses: &["model"], crates: &[] },
    Room { name: "settings", uses: &[], crates: &[] },
    Room { name: "heap", uses: &["model", "job", "error"], crates: &[] },
    Room { name: "ptrace", uses: &[], crates: &[] },
    Room { name: "scratch", uses: &[], crates: &["tempfile"] },
    // By what a runtime is recognised in a file: a live process's or a dump's.
    Room { name: "marks", uses: &["model"], crates: &["symbols"] },
    Room {
        name: "capture",
        uses: &["model", "job", "error", "ptrace", "heap"],
        crates: &["symbols", "object", "flate2", "ruzstd", "tempfile"],
    },
    Room {
        name: "processes",
        // Names of processes are another program's bytes: what is no UTF-8 becomes text in the one place that does so.
        uses: &["model", "job", "error", "ptrace", "marks", "report/sanitize"],
        crates: &["symbols"],
    },
    // The kernel starts it as root: it knows as little as can be.
    Room { name: "on_crash", uses: &["error"], crates: &[] },
    Room { name: "target", uses: &["model", "marks/code", "job", "error", "capture"], crates: &["symbols", "object"] },
    Room {
        name: "unwind",
        uses: &["model", "job", "error", "capture", "target"],
        crates: &["symbols", "gimli", "object", "iced_x86"],
    },
    Room { name: "variables", uses: &["model", "job", "error", "capture", "target"], crates: &["symbols", "gimli"] },
    Room {
        name: "runtimes",
        uses: &["model", "job", "error", "heap", "marks", "capture", "target", "unwind", "variables"],
        crates: &["symbols", "gimli", "object", "iced_x86"],
    },
    Room { name: "analysis", uses: &["model", "marks/code", "job", "error", "heap"], crates: &[] },
    Room {
        name: "session",
        uses: &["model", "job", "error", "heap", "capture", "target", "unwind", "variables", "runtimes", "analysis"],
        crates: &["symbols"],
    },
    Room {
        name: "views",
        // An answer serialises itself, which is what report/json is for; text and terminal are printers' work.
        uses: &[
            "session",
            "analysis",
            "processes",
            "heap",
            "model",
            "job",
            "error",
            "report/section",
            // A number within a sentence.
            "report/words/thousands",
            "report/rows",
            "report/json",
        ],
        crates: &[],
    },
    Room {
        name: "report",
        uses: &["model", "job", "error", "session", "views", "commands"],
        // Names are shortened for display alone, by the crate that knows their grammar.
        crates: &["symbols/short_name", "nucleo"],
    },
    Room {
        name: "tui",
        // Where the user says that files are and which process is meant: they go through unread to the session.
        uses: &[
            "model",
            "job",
            "error",
            "log",
            "session",
            "views",
            "report",
            "commands",
            "settings",
            "target/Search",
            "capture/collect/Request",
        ],
        crates: &["ratatui", "crossterm", "nucleo", "symbols/short_name"],
    },
];

/// Rooms that join the others together, and so may name all of them.
const JOINTS: &[&str] = &["main", "lib", "cli", "commands", "demo", "log", "store"];

/// Where a path stands, and its parts: `crate::capture::Memory` is `[crate, capture, Memory]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    line: usize,
    parts: Vec<String>,
}

/// Every path in these tokens, groups of `use` spread out, `#[cfg(test)]` items left out.
fn paths(tokens: TokenStream) -> Vec<Named> {
    let mut found = Vec::new();
    collect(&tokens.into_iter().collect::<Vec<_>>(), &[], &mut found);
    found
}

fn collect(tokens: &[TokenTree], prefix: &[String], found: &mut Vec<Named>) {
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if is_test_attribute(tokens, at) {
            at = after_item(tokens, at + 2);
            continue;
        }
        at = match token {
            TokenTree::Ident(_) => path(tokens, at, prefix, found),
            TokenTree::Group(group) => {
                collect(&group.stream().into_iter().collect::<Vec<_>>(), &[], found);
                at + 1
            }
            _ => at + 1,
        };
    }
}

/// Reads the path that starts at `at`; returns the index behind it.
fn path(tokens: &[TokenTree], mut at: usize, prefix: &[String], found: &mut Vec<Named>) -> usize {
    let mut parts = prefix.to_vec();
    let line = tokens.get(at).map_or(0, |token| token.span().start().line);
    while let Some(TokenTree::Ident(ident)) = tokens.get(at) {
        parts.push(ident.to_string());
        if !(is_punct(tokens, at + 1, ':') && is_punct(tokens, at + 2, ':')) {
            found.push(Named { line, parts });
            return at + 1;
        }
        at += 3;
    }
    match tokens.get(at) {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
            let inside: Vec<_> = group.stream().into_iter().collect();
            for item in inside.split(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',')) {
                if let Some(TokenTree::Ident(_)) = item.first() {
                    path(item, 0, &parts, found);
                }
            }
            at + 1
        }
        // `crate::*`, `Vec::<u8>`
        _ => {
            found.push(Named { line, parts });
            at
        }
    }
}

fn is_punct(tokens: &[TokenTree], at: usize, wanted: char) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

fn is_test_attribute(tokens: &[TokenTree], at: usize) -> bool {
    let Some(TokenTree::Group(group)) = tokens.get(at + 1) else { return false };
    is_punct(tokens, at, '#') && group.stream().to_string().replace(' ', "") == "cfg(test)"
}

/// Behind the item that starts at `at`: its body or its semicolon.
fn after_item(tokens: &[TokenTree], at: usize) -> usize {
    let ends = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => punct.as_char() == ';',
        _ => false,
    };
    tokens.iter().skip(at).position(ends).map_or(tokens.len(), |length| at + length + 1)
}

/// The module path of a file below `src/`: `views/locks.rs` is `[views, locks]`, `views/mod.rs` `[views]`.
fn module_of(file: &Path) -> Vec<String> {
    let mut parts: Vec<String> =
        file.with_extension("").components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// The path from the crate's root (without `crate`), or `None` for a path that is not of this crate.
fn from_root(module: &[String], parts: &[String]) -> Option<Vec<String>> {
    match parts.first()?.as_str() {
        "crate" | "dumpscope" => Some(parts[1..].to_vec()),
        "super" => {
            let up = parts.iter().take_while(|part| *part == "super").count();
            let kept = module.len().saturating_sub(up);
            Some(module[..kept].iter().chain(&parts[up..]).cloned().collect())
        }
        _ => None,
    }
}

/// What is wrong with `text` as the file `file` (below `src/`), one line each.
fn violations(file: &Path, text: &str) -> Vec<String> {
    let module = module_of(file);
    let top = module.first().map_or("", String::as_str);
    if JOINTS.contains(&top) {
        return Vec::new();
    }
    let Some(room) = ROOMS.iter().find(|room| room.name == top) else {
        return vec![format!("src/{}: no room '{top}' in the table of tests/layers.rs", file.display())];
    };
    let tokens: TokenStream = text.parse().unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    let complain = |named: &Named, why: &str| {
        format!("src/{}:{}: {} names {}, {why}", file.display(), named.line, room.name, named.parts.join("::"))
    };
    let mut wrong = BTreeSet::new();
    for named in paths(tokens) {
        match from_root(&module, &named.parts) {
            Some(path) => {
                let Some(first) = path.first() else { continue };
                let known = first == room.name || ROOMS.iter().all(|other| other.name != first) && !is_joint(first);
                if !known && !is_among(room.uses, &path) && !is_own_runtime(&module, &path) {
                    wrong.insert((named.line, complain(&named, "which is not below it")));
                }
                if let Some(other) = foreign_folder(&module, &path) {
                    wrong.insert((named.line, complain(&named, &format!("the runtime {other}'s own"))));
                }
            }
            None => {
                let first = named.parts.first().map_or("", String::as_str);
                let is_path = named.parts.len() > 1;
                if is_path && FENCED.contains(&first) && !is_among(room.crates, &named.parts) {
                    wrong.insert((named.line, complain(&named, "a crate of other rooms")));
                }
            }
        }
    }
    wrong.into_iter().map(|(_, text)| text).collect()
}

fn is_joint(name: &str) -> bool {
    JOINTS.contains(&name)
}

/// Whether one of the entries is this path or stands above it.
fn is_among(entries: &[&str], path: &[String]) -> bool {
    let is_prefix = |entry: &str| {
        let mut parts = path.iter();
        entry.split('/').all(|wanted| parts.next().is_some_and(|part| part == wanted))
    };
    entries.iter().any(|entry| is_prefix(entry))
}

const RUNTIMES: [&str; 6] = ["native", "coreclr", "hotspot", "v8", "go", "cpython"];

/// The runtime that a path such as `[runtimes, go, …]` or `[views, go, …]` is of.
fn runtime_of<'a>(path: &'a [String], room: &str) -> Option<&'a str> {
    let name = path.get(1)?.as_str();
    (path[0] == room && RUNTIMES.contains(&name)).then_some(name)
}

/// `views/<runtime>/` asks questions that only that runtime can answer.
fn is_own_runtime(module: &[String], path: &[String]) -> bool {
    runtime_of(module, "views").is_some_and(|own| runtime_of(path, "runtimes") == Some(own))
}

/// In `runtimes/<a>/`: the runtime `b` that a path `runtimes::b` names, if it is another.
fn foreign_folder(module: &[String], path: &[String]) -> Option<String> {
    let own = runtime_of(module, "runtimes")?;
    let other = runtime_of(path, "runtimes")?;
    (own != other).then(|| other.to_owned())
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    for entry in entries {
        let path = entry.expect("a folder entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn files_below(folder: &str) -> Vec<(PathBuf, String)> {
    let root = support::repository().join(folder);
    let mut found = Vec::new();
    sources(&root, &mut found);
    found.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        (path.strip_prefix(&root).expect("below the root").to_path_buf(), text)
    };
    found.into_iter().map(read).collect()
}

#[test]
fn every_import_goes_down_the_house() {
    let files = files_below("src");
    assert!(files.len() > 20, "only {} source files were found", files.len());
    let wrong: Vec<String> = files.iter().flat_map(|(file, text)| violations(file, text)).collect();
    assert!(wrong.is_empty(), "imports against docs/architecture.md:\n{}", wrong.join("\n"));
}

#[test]
fn the_symbols_crate_knows_nothing_of_the_rest() {
    for (file, text) in files_below("symbols/src") {
        for named in paths(text.parse().expect("Rust")) {
            let first = named.parts.first().map_or("", String::as_str);
            let foreign = ["dumpscope", "ratatui", "crossterm", "clap"].contains(&first) && named.parts.len() > 1;
            assert!(!foreign, "symbols/src/{}:{}: {}", file.display(), named.line, named.parts.join("::"));
        }
    }
}

/// Rooms from which parallel work is reached. There an answer that several may ask for is a `job::Shared`: whoever waits in another lock
/// or cell for parallel work may wait for work that lies beneath it on its own stack, and for ever.
const PARALLEL: [&str; 7] = ["session", "runtimes", "variables", "analysis", "views", "report", "commands"];

/// Files of those rooms that use a lock or a cell of the standard library all the same.
const LOCKING: &[(&str, &str)] = &[
    ("session/asked.rs", "what it keeps was computed before"),
    ("session/walked.rs", "what it keeps was computed before"),
    ("runtimes/native/calls.rs", "the lock is held for a look-up or an insertion"),
    ("runtimes/native/exceptions/cxx/mod.rs", "the lock is held for a look-up or an insertion"),
    ("runtimes/coreclr/memo.rs", "the lock is held for a look-up or an insertion"),
    ("report/names.rs", "the lock is held for a look-up or an insertion"),
];

const CELLS: [&str; 8] = ["Mutex", "RwLock", "Condvar", "Once", "OnceLock", "OnceCell", "LazyLock", "LazyCell"];

/// Locks and cells that a file of the parallel rooms names, one line each.
fn cells(file: &Path, text: &str) -> Vec<String> {
    let module = module_of(file);
    if !module.first().is_some_and(|room| PARALLEL.contains(&room.as_str())) {
        return Vec::new();
    }
    let tokens: TokenStream = text.parse().unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    let is_cell = |named: &Named| {
        let first = named.parts.first().map_or("", String::as_str);
        let last = named.parts.last().map_or("", String::as_str);
        ["std", "core"].contains(&first) && CELLS.contains(&last)
    };
    let complain = |named: Named| format!("src/{}:{}: {}", file.display(), named.line, named.parts.join("::"));
    paths(tokens).into_iter().filter(is_cell).map(complain).collect()
}

#[test]
fn nothing_parallel_is_computed_under_a_lock_or_a_cell() {
    let files = files_below("src");
    for (file, _) in LOCKING {
        let text = files.iter().find(|(path, _)| path == Path::new(file)).map(|(path, text)| (path, text));
        let (path, text) = text.unwrap_or_else(|| panic!("src/{file} is excused and is not there"));
        assert!(!cells(path, text).is_empty(), "src/{file} needs no excuse");
        assert!(!text.contains("rayon"), "src/{file} is excused and works in parallel itself");
    }
    let excused = |path: &Path| LOCKING.iter().any(|(file, _)| path == Path::new(file));
    let wrong: Vec<String> =
        files.iter().filter(|(path, _)| !excused(path)).flat_map(|(path, text)| cells(path, text)).collect();
    assert!(wrong.is_empty(), "take job::Shared, or say in LOCKING why not:\n{}", wrong.join("\n"));
    let planted = "use std::sync::{Arc, Mutex};\nstatic X: std::sync::OnceLock<u8> = std::sync::OnceLock::new();";
    assert_eq!(cells(Path::new("session.rs"), planted).len(), 2, "a planted lock is found");
}

#[test]
fn a_planted_violation_is_found() {
    let planted = [
        ("analysis/planted.rs", "use crate::capture::Memory;", "analysis names crate::capture::Memory"),
        ("model/planted.rs", "use gimli::Reader;", "model names gimli::Reader"),
        ("views/planted.rs", "use crate::{model::Addr, report::text};", "views names crate::report::text"),
        ("views/planted.rs", "fn f() { ratatui::init(); }", "views names ratatui::init"),
        ("views/planted.rs", "use super::super::runtimes::native;", "views names super::super::runtimes::native"),
        ("unwind/planted.rs", "fn f() { assert!(crate::runtimes::all()); }", "unwind names crate::runtimes::all"),
        ("target.rs", "use crate::unwind::walk;", "target names crate::unwind::walk"),
        ("runtimes/go/planted.rs", "use crate::runtimes::native::locks;", "the runtime native's own"),
        ("tui/planted.rs", "use crate::capture::Capture;", "tui names crate::capture::Capture"),
        ("report/planted.rs", "use symbols::Names;", "report names symbols::Names"),
        ("attic/planted.rs", "", "no room 'attic'"),
    ];
    for (file, text, complaint) in planted {
        let wrong = violations(Path::new(file), text);
        assert_eq!(wrong.len(), 1, "{file}: {text}: {wrong:?}");
        assert!(wrong[0].contains(complaint), "{:?} does not say {complaint:?}", wrong[0]);
    }
}

#[test]
fn what_is_allowed_is_not_refused() {
    let allowed = [
        ("views/locks.rs", "use crate::report::section::{Cell, Table}; use crate::session::Session;"),
        ("analysis/stacks.rs", "//! crate::capture in a comment\nconst S: &str = \"crate::capture\";"),
        ("analysis/stacks.rs", "#[cfg(test)] mod tests { use crate::capture::Memory; }"),
        ("runtimes/native/locks/mod.rs", "use super::super::Scene; use crate::runtimes::native::threads;"),
        ("views/go/goroutines.rs", "use crate::runtimes::go::Go;"),
        ("cli.rs", "use crate::capture::Capture; use clap::Parser;"),
    ];
    for (file, text) in allowed {
        assert_eq!(violations(Path::new(file), text), Vec::<String>::new(), "{file}");
    }
}
