//! Roots of .NET: what holds each object of `fixtures/dotnet-roots`, and that nothing holds the others, as its source says; the places of roots on stacks
//! against ClrMD. Without any file of the process.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::{Dotnet, Started, as_address, run};

/// What frames hold.
const STACK: [&str; 42] = [
    "AboveFinally",
    "Argument",
    "BehindBig",
    "BelowFilter",
    "BesideCatch",
    "BesideFilter",
    "BesideFinally",
    "BesideOuter",
    "BigFirst",
    "BigSecond",
    "ByReference",
    "Caught",
    "CaughtInside",
    "Cell[]",
    "Filtered",
    "FilteredInCatch",
    "Finally",
    "First",
    "Flying",
    "Generic",
    "InCatch",
    "InFilter",
    "InFinally",
    "InInnerCatch",
    "InMixed",
    "InReference",
    "Last",
    "Local",
    "OfCall",
    "Outer",
    "PairFirst",
    "PairSecond",
    "Program+Called",
    "Referred",
    "RunningLocal",
    "Second",
    "Spanned[]",
    "StaticOfRunning",
    "Third",
    "This",
    "Argument0",
    "WaitedOn",
];
/// Exceptions in flight, which the runtime holds by handles too.
const IN_FLIGHT: [&str; 6] = ["Caught", "CaughtInside", "Filtered", "FilteredInCatch", "Flying", "Outer"];
/// What only unoptimised code holds: nothing needs it any more.
const NOT_NEEDED: [&str; 2] = ["Dead", "DeadArgument"];
/// What handles hold, by the kind of handle.
const HANDLES: [(&str, &str); 4] =
    [("Strong", "strong"), ("Pinned", "pinned"), ("AsyncPinned", "async pinned"), ("Sized", "sized ref")];
/// What is reached from a static field of the program.
const STATIC: [&str; 7] = [
    "Static",
    "Key",
    "Value",
    "InstanceOfPlugin",
    "StaticOfPlugin",
    "StaticOfGeneric",
    "OfGenericPlugin<Roots.InstanceOfPlugin>",
];
/// What waits to be finalized, three objects of each.
const WAITING: [&str; 2] = ["Waiting", "OfWaiting"];
/// What nothing holds.
const DEAD: [&str; 8] =
    ["BelowFinally", "DeadKey", "DeadValue", "InstanceOfDropped", "StaticOfDropped", "Thrower", "Weak", "WeakLong"];

/// One dump of the fixture.
struct Dump {
    version: String,
    is_optimised: bool,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

/// Starts the fixture on a runtime.
fn start(dotnet: &Dotnet, version: &str, name: &str, arguments: &[&str]) -> Started {
    let program = support::repository().join(format!("fixtures/dotnet-roots/{name}.dll"));
    let mut command = dotnet.command(version, &program);
    let (process, printed) =
        Started::ready(command.args(arguments).env("DOTNET_TieredCompilation", "0"), "dotnet-runtime-8.0");
    assert_eq!(printed, format!("ready {version}"));
    process
}

/// A dump of the fixture, as createdump writes it, on each runtime, of optimised code and not.
fn each_dump(arguments: &[&str], test: impl Fn(&Dotnet, &Dump)) {
    let dotnet = Dotnet::find();
    for (version, runtime) in &dotnet.runtimes {
        for (name, is_optimised) in [("Roots", true), ("RootsDebug", false)] {
            println!(".NET {version}, {name}");
            let process = start(&dotnet, version, name, arguments);
            let folder = tempfile::tempdir().expect("a temporary folder");
            let file = folder.path().join("core");
            let mut command = Command::new(runtime.join("createdump"));
            command.args(["--withheap", "-f"]).arg(&file).arg(process.pid().to_string());
            run(command).expect_status(0);
            test(&dotnet, &Dump { version: version.clone(), is_optimised, file, _folder: folder });
        }
    }
}

/// What commands answer of a dump on a machine that has no file of its process. Nothing may be said to be unread.
fn answers<S: AsRef<str>>(dump: &Path, commands: &[S]) -> Vec<Value> {
    let nowhere = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(dump).args(["--json", "--offline", "--sysroot"]).arg(nowhere.path());
    command.args(commands.iter().flat_map(|line| ["-c", line.as_ref()]));
    let documents = run(command).expect_status(0).documents();
    let answer = |mut document: Value| {
        assert_eq!(document["warnings"], Value::Array(Vec::new()), "{document}");
        document["data"].take()
    };
    documents.into_iter().map(answer).collect()
}

fn rows<'a>(of: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    of[key].as_array().unwrap_or_else(|| panic!("{of}")).iter()
}

fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of[key].as_str().unwrap_or_else(|| panic!("{key} of {of}"))
}

fn number(value: &Value) -> u64 {
    as_address(value).unwrap_or_else(|| panic!("{value} is no address"))
}

/// How many objects of each of the fixture's classes are told, without its namespace.
fn counts(told: &Value) -> BTreeMap<String, u64> {
    let row = |row: &Value| {
        let name = text(row, "type").strip_prefix("Roots.")?.to_owned();
        Some((name, row["count"].as_u64().expect("a count")))
    };
    rows(told, "types").filter_map(row).collect()
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn objects_are_held_as_the_source_says_and_no_others() {
    each_dump(&["filter"], |_, dump| {
        let what = format!("{} {}", dump.version, dump.is_optimised);
        let mut told = answers(&dump.file, &["dumpheap -live -stat", "dumpheap -dead -stat"]);
        let dead = counts(&told.remove(1));
        let live = counts(&told.remove(0));
        let one = |name: &&str| ((*name).to_owned(), 1);
        let mut expected: BTreeMap<String, u64> = STACK.iter().map(one).collect();
        expected.extend(STATIC.iter().chain(&["OfThread"]).map(one));
        expected.extend(HANDLES.iter().map(|(name, _)| one(name)));
        expected.extend(WAITING.iter().map(|name| ((*name).to_owned(), 3)));
        let mut unheld: BTreeMap<String, u64> = DEAD.iter().map(one).collect();
        if dump.is_optimised { &mut unheld } else { &mut expected }.extend(NOT_NEEDED.iter().map(one));
        // Who runs a finalizer may hold its object, and what C# adds of its own is not of interest.
        let stated = |mut counts: BTreeMap<String, u64>| {
            counts.retain(|name, _| name != "Blocker" && name != "Program+<>c");
            counts
        };
        assert_eq!(stated(live), expected, "{what}: live");
        assert_eq!(stated(dead), unheld, "{what}: dead");
    });
}

/// The kind and the name of the root of the first path to each object of the fixture.
fn found(dump: &Path) -> BTreeMap<String, (String, String, Vec<String>)> {
    let all = answers(dump, &["dumpheap -type Roots. -n 1000000"]).remove(0);
    let objects: Vec<(String, String)> = rows(&all, "objects")
        .filter_map(|row| Some((text(row, "type").strip_prefix("Roots.")?.to_owned(), text(row, "address").to_owned())))
        .collect();
    let lines: Vec<String> = objects.iter().map(|(_, address)| format!("gcroot {address}")).collect();
    let told = answers(dump, &lines);
    let of = |((name, _), told): ((String, String), Value)| {
        let path = rows(&told, "paths").next()?;
        let word = |key: &str| path["root"][key].as_str().unwrap_or_default().to_owned();
        let fields = rows(path, "objects").filter_map(|step| step["field"].as_str().map(str::to_owned)).collect();
        Some((name, (word("kind"), word("name"), fields)))
    };
    objects.into_iter().zip(told).filter_map(of).collect()
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn each_object_is_held_by_the_kind_of_root_that_the_source_states() {
    each_dump(&["filter"], |_, dump| {
        let what = format!("{} {}", dump.version, dump.is_optimised);
        let found = found(&dump.file);
        for name in STACK.iter().chain(NOT_NEEDED.iter().filter(|_| !dump.is_optimised)) {
            let (kind, ..) = &found[*name];
            let is_handle = IN_FLIGHT.contains(name) && kind == "handle";
            assert!(is_handle || kind == "stack" || kind == "register", "{what}: {name}: {kind}");
        }
        for (name, handle) in HANDLES {
            assert_eq!((&*found[name].0, &*found[name].1), ("handle", handle), "{what}: {name}");
        }
        for name in STATIC {
            let (kind, field, _) = &found[name];
            assert!(kind == "static field" && field.starts_with("Roots.Program."), "{what}: {name}: {kind} {field}");
        }
        for name in WAITING {
            assert_eq!(found[name].0, "finalizer queue", "{what}: {name}");
        }
        // Before .NET 9 a handle holds what is static of a thread.
        let of_thread = if dump.version.starts_with("8.") { "handle" } else { "thread-local" };
        assert!(!dump.is_optimised || found["OfThread"].0 == of_thread, "{what}: {}", found["OfThread"].0);
        // A static field of a class that can be unloaded is reached through what keeps the class: an object of it, one whose type is made with it.
        for name in ["StaticOfPlugin", "StaticOfGeneric"] {
            let fields = &found[name].2;
            let place = |wanted: &str| fields.iter().position(|field| field == wanted);
            let (loader, field) = (place("loader of its class"), place("Roots.Plugin.held"));
            assert!(loader.is_some() && loader < field, "{what}: {name}: {fields:?}");
        }
        assert_eq!(found["Value"].2.last().map(String::as_str), Some("dependent handle"), "{what}");
        for name in DEAD.iter().chain(NOT_NEEDED.iter().filter(|_| dump.is_optimised)) {
            assert_eq!(found.get(*name), None, "{what}: {name}");
        }
    });
}

/// (Where it is held, the object) of each root of these kinds.
fn places(of: &Value, kinds: &[&str], at: &str, object: impl Fn(&Value) -> u64) -> Vec<(u64, u64)> {
    let is_one = |root: &&Value| kinds.contains(&text(root, "kind"));
    let mut all: Vec<(u64, u64)> =
        rows(of, "roots").filter(is_one).map(|root| (as_address(&root[at]).unwrap_or(0), object(root))).collect();
    all.sort_unstable();
    all
}

/// The names of objects' types, each once.
fn types(of: &Value) -> BTreeMap<u64, String> {
    rows(of, "objects").map(|row| (number(&row["address"]), text(row, "type").to_owned())).collect()
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn roots_on_stacks_are_where_clrmd_says() {
    /// What ClrMD does not tell: arguments behind a structure that is passed by value, loaders of running code, what native code protects.
    const MORE: [&str; 12] = [
        "Roots.BehindBig",
        "Roots.BigFirst",
        "Roots.BigSecond",
        "Roots.Last",
        "Roots.WaitedOn",
        "Roots.Caught",
        "Roots.CaughtInside",
        "Roots.Flying",
        "System.Reflection.LoaderAllocator",
        "System.Reflection.RuntimeAssembly",
        "System.String",
        "System.String[]",
    ];
    /// Exceptions that are in flight while a filter runs.
    const OF_FILTERS: [&str; 3] = ["Roots.Filtered", "Roots.FilteredInCatch", "Roots.Outer"];
    for arguments in [&[][..], &["filter"]] {
        each_dump(arguments, |dotnet, dump| {
            // Its reader of .NET 10 fails on a thread whose exception is being filtered.
            if !arguments.is_empty() && dump.version.starts_with("10.") {
                return;
            }
            let what = format!("{} {} {arguments:?}", dump.version, dump.is_optimised);
            let theirs = dotnet.clrmd_with("roots", &dump.file, &["--stacks"]);
            let mut told = answers(&dump.file, &["roots -n 1000000", "dumpheap -n 1000000"]);
            let types = types(&told.remove(1));
            let ours = told.remove(0);
            let own = places(&ours, &["stack", "register"], "at", |root| number(&root["object"]["address"]));
            let known = places(&theirs, &["Stack"], "address", |root| number(&root["object"]));
            let mut more = own.clone();
            for root in &known {
                let at = more.iter().position(|own| own == root);
                let at = at.unwrap_or_else(|| panic!("{what}: {:#x} holds {:#x}", root.0, root.1));
                more.remove(at);
            }
            let more: BTreeSet<&str> = more.iter().map(|(_, object)| &*types[object]).collect();
            let may_be = |name: &str| MORE.contains(&name) || !arguments.is_empty() && OF_FILTERS.contains(&name);
            assert!(more.iter().all(|name| may_be(name)), "{what}: {more:?}");
            assert!(known.len() > 40, "{what}: {}", known.len());
        });
    }
}
