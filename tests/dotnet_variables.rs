//! Arguments and local variables of managed frames: those that the source of `fixtures/dotnet-variables` says.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Dotnet, Started, run};

/// Thread, start of the function's name, and of each variable kind, name, type, value. An address before a value is left out.
type Frame = (&'static str, &'static str, &'static [[&'static str; 4]]);

const FRAMES: &[Frame] = &[
    (
        "numbers",
        "Shop.Program.Numbers(",
        &[
            ["argument", "count", "System.Int32", "-7"],
            ["argument", "large", "System.UInt32", "4000000000"],
            ["argument", "big", "System.Int64", "-9223372036854775808"],
            ["argument", "small", "System.Byte", "200"],
            ["argument", "tiny", "System.SByte", "-100"],
            ["argument", "low", "System.Int16", "-30000"],
            ["argument", "high", "System.UInt16", "60000"],
            ["argument", "open", "System.Boolean", "true"],
            ["argument", "letter", "System.Char", "'x'"],
            ["argument", "price", "System.Double", "2.5"],
            ["argument", "rate", "System.Single", "-0.75"],
            ["local", "sum", "System.Int32", "-6"],
        ],
    ),
    (
        "references",
        "Shop.Program.References(",
        &[
            ["argument", "text", "System.String", "\"pears\""],
            ["argument", "who", "Shop.Customer", "Shop.Customer"],
            ["argument", "any", "System.Object", "Shop.Customer"],
            ["argument", "numbers", "System.Int32[]", "System.Int32[]: 3 elements"],
            ["argument", "box", "Shop.Box<Shop.Customer>", "Shop.Box<Shop.Customer>"],
            ["argument", "none", "System.String", "null"],
            ["argument", "kind", "Shop.Kind", "Fruit"],
            ["local", "other", "Shop.Kind", "Tool"],
            [
                "local",
                "list",
                "System.Collections.Generic.List<System.String>",
                "System.Collections.Generic.List<System.String>: 1 element",
            ],
        ],
    ),
    (
        "structures",
        "Shop.Program.Structures(",
        &[
            ["argument", "at", "Shop.Point", "{X = 5, Y = -6, Label = \"here\"}"],
            ["argument", "alias", "ref System.Int32", "11"],
            ["argument", "maybe", "System.Nullable<System.Int32>", "12"],
            ["argument", "inside", "ref Shop.Point", "{X = 5, Y = -6, Label = \"here\"}"],
            ["argument", "address", "System.IntPtr", "0xd"],
            ["local", "copy", "Shop.Point", "{X = 6, Y = -6, Label = \"here\"}"],
            // Of the two of that name the one that is in scope.
            ["local", "shadow", "System.String", "\"inner1\""],
        ],
    ),
    (
        "this",
        "Shop.Customer.Greet(",
        &[
            ["argument", "this", "Shop.Customer", "Shop.Customer"],
            ["argument", "word", "System.String", "\"hello\""],
            ["local", "whole", "System.String", "\"hello, Ann\""],
        ],
    ),
    (
        "this-structure",
        "Shop.Point.Measure(",
        &[
            ["argument", "this", "Shop.Point", "{X = 7, Y = 8, Label = \"there\"}"],
            ["argument", "by", "System.Int32", "3"],
            ["local", "width", "System.Int32", "21"],
        ],
    ),
    (
        "this-generic",
        "Shop.Box<System.__Canon>.Open(",
        &[
            ["argument", "this", "Shop.Box<System.String>", "Shop.Box<System.String>"],
            ["argument", "other", "System.String", "\"other\""],
            ["local", "mine", "System.String", "\"gift\""],
        ],
    ),
    (
        "this-generic-value",
        "Shop.Box<System.Int32>.Open(",
        &[
            ["argument", "this", "Shop.Box<System.Int32>", "Shop.Box<System.Int32>"],
            ["argument", "other", "System.Int32", "18"],
            ["local", "mine", "System.Int32", "17"],
        ],
    ),
    (
        "generic",
        "Shop.Program.Hold<System.__Canon, System.Int64>(",
        &[
            ["argument", "value", "System.String", "\"word\""],
            ["argument", "other", "System.Int64", "19"],
            ["local", "again", "System.String", "\"word\""],
        ],
    ),
    (
        "generic-value",
        "Shop.Program.Hold<Shop.Kind, Shop.Point>(",
        &[
            ["argument", "value", "Shop.Kind", "Fruit"],
            ["argument", "other", "Shop.Point", "{X = 1, Y = 2, Label = \"far\"}"],
            ["local", "again", "Shop.Kind", "Fruit"],
        ],
    ),
];

fn start(dotnet: &Dotnet, version: &str, build: &str, variables: &[(&str, &str)]) -> Started {
    let program = support::repository().join(format!("fixtures/dotnet-variables/{build}/Variables.dll"));
    let mut command = dotnet.command(version, &program);
    let (process, printed) = Started::ready(command.envs(variables.iter().copied()), "dotnet-runtime-8.0");
    assert_eq!(printed, version);
    process
}

fn answers(process: &Started, createdump: &Path, flag: &str, commands: &[&str]) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dump = folder.path().join("dump");
    let mut command = Command::new(createdump);
    command.args([flag, "-f"]).arg(&dump).arg(process.pid().to_string());
    run(command).expect_status(0);
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(&dump).args(["--json", "--offline"]);
    command.args(commands.iter().flat_map(|line| ["-c", line]));
    let mut documents = run(command).expect_status(0).documents();
    documents.iter_mut().map(|document| document["data"].take()).collect()
}

/// A value without the address in front of it.
fn plain(value: &str) -> &str {
    let behind = value.strip_prefix("@0x").and_then(|rest| rest.split_once(": "));
    let behind = behind.or_else(|| value.strip_prefix("0x").and_then(|rest| rest.split_once(' ')));
    behind.map_or(value, |(_, rest)| rest)
}

/// Compares the frames that the source says; how many values are known.
fn compare(told: &[Value]) -> usize {
    let [threads, stacks] = told else { panic!("two answers") };
    let threads = threads["threads"].as_array().expect("threads");
    let mut known = 0;
    for (name, function, expected) in FRAMES {
        let thread =
            threads.iter().find(|thread| thread["name"] == *name).unwrap_or_else(|| panic!("no thread {name}"));
        let stack = stacks["threads"].as_array().expect("stacks").iter().find(|stack| stack["tid"] == thread["tid"]);
        let mut frames = stack.expect("its stack")["frames"].as_array().expect("frames").iter();
        let frame = frames.find(|frame| frame["function"].as_str().is_some_and(|own| own.starts_with(function)));
        let variables = frame.unwrap_or_else(|| panic!("{name}: no {function}"))["variables"].as_array();
        let variables = variables.unwrap_or_else(|| panic!("{name}: no variables"));
        for [kind, name, ty, value] in *expected {
            let Some(own) = variables.iter().find(|variable| variable["name"] == *name) else {
                // An optimising compiler of C# does without variables that are used once.
                assert_eq!(*kind, "local", "{function}: no {name}");
                continue;
            };
            assert_eq!(own["kind"], *kind, "{own}");
            let Some(shown) = own["value"].as_str() else {
                assert!(own["unknown"].is_string(), "{own}");
                continue;
            };
            assert_eq!((own["type"].as_str(), plain(shown)), (Some(*ty), *value), "{own}");
            known += 1;
        }
    }
    known
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn arguments_and_variables_are_those_of_the_source() {
    let dotnet = Dotnet::find();
    let all = FRAMES.iter().flat_map(|(.., variables)| *variables);
    let arguments = all.clone().filter(|[kind, ..]| *kind == "argument").count();
    let all = all.count();
    for (version, runtime) in &dotnet.runtimes {
        for (build, variables, least) in [
            ("debug", &[][..], all),
            // The JIT's first code keeps all that it is given, its best code what it needs later.
            ("embedded", &[][..], arguments),
            ("embedded", &[("DOTNET_TieredCompilation", "0")][..], arguments),
        ] {
            println!(".NET {version}, {build}, {variables:?}");
            let process = start(&dotnet, version, build, variables);
            let told = answers(&process, &runtime.join("createdump"), "--withheap", &["threads", "stack --all -a"]);
            let known = compare(&told);
            assert!(known >= least, "{known} of {all} values are known");
        }
    }
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn an_asynchronous_method_shows_what_its_state_machine_keeps() {
    let dotnet = Dotnet::find();
    for (version, runtime) in &dotnet.runtimes {
        for build in ["debug", "embedded"] {
            let process = start(&dotnet, version, build, &[]);
            let told = answers(&process, &runtime.join("createdump"), "--withheap", &["stack --all -a"]).remove(0);
            let stacks = told["threads"].as_array().expect("threads").iter();
            let mut frames = stacks.flat_map(|stack| stack["frames"].as_array().expect("frames"));
            let is_it = |frame: &&Value| frame["function"].as_str().is_some_and(|name| name.contains("<Later>"));
            let variables = frames.find(is_it).expect("it waits")["variables"].as_array().expect("variables");
            let shown = |wanted: &str| {
                let own = variables.iter().find(|own| own["name"] == wanted).unwrap_or_else(|| panic!("{variables:?}"));
                (own["kind"].as_str().expect("a kind"), plain(own["value"].as_str().expect("it is known")).to_owned())
            };
            let expected =
                [("value", "argument", "21"), ("who", "argument", "Shop.Customer"), ("tag", "local", "\"tag21\"")];
            for (name, kind, value) in expected {
                assert_eq!(shown(name), (kind, value.to_owned()), ".NET {version}, {build}: {name}");
            }
        }
    }
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn clrstack_shows_managed_frames_alone_with_what_is_asked_for() {
    let dotnet = Dotnet::find();
    let (version, runtime) = dotnet.runtimes.first().expect("one");
    let process = start(&dotnet, version, "debug", &[]);
    let commands = ["clrstack -all", "clrstack -all -p", "clrstack -all -l", "clrstack -all -a", "stack --all"];
    let told = answers(&process, &runtime.join("createdump"), "--withheap", &commands);
    let frames = |told: &Value| -> Vec<Value> {
        let threads = told["threads"].as_array().expect("threads").iter();
        threads.flat_map(|thread| thread["frames"].as_array().expect("frames").clone()).collect()
    };
    let mut every = frames(&told[4]);
    every.retain(|frame| frame["kind"] == "managed");
    assert!(every.len() > 50);
    assert_eq!(frames(&told[0]), every);
    // Threads that run native code alone are left out.
    let threads = |told: &Value| told["threads"].as_array().expect("threads").len();
    assert!(threads(&told[0]) < threads(&told[4]));
    let kinds = |told: &Value| {
        let frames = frames(told);
        let variables = frames.iter().flat_map(|frame| frame["variables"].as_array().into_iter().flatten());
        let mut kinds: Vec<String> = variables.map(|own| own["kind"].as_str().expect("a kind").to_owned()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    };
    assert_eq!((kinds(&told[1]), kinds(&told[2])), (vec!["argument".to_owned()], vec!["local".to_owned()]));
    assert_eq!(kinds(&told[3]), ["argument", "local"]);
    assert!(frames(&told[0]).iter().all(|frame| frame["variables"].is_null()));
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn a_small_dump_tells_numbers_and_what_it_holds_of_the_rest() {
    let dotnet = Dotnet::find();
    for (version, runtime) in &dotnet.runtimes {
        let process = start(&dotnet, version, "debug", &[]);
        let told = answers(&process, &runtime.join("createdump"), "--normal", &["threads", "stack --all -a"]);
        let stack = told[1]["threads"].as_array().expect("threads").iter().find(|stack| {
            let mut frames = stack["frames"].as_array().expect("frames").iter();
            frames.any(|frame| frame["function"].as_str().is_some_and(|name| name.starts_with("Shop.Program.Numbers")))
        });
        let frames = stack.expect("the thread of numbers")["frames"].as_array().expect("frames").iter();
        let numbers = frames.flat_map(|frame| frame["variables"].as_array().into_iter().flatten());
        let count = numbers.filter(|own| own["name"] == "count").map(|own| own["value"].clone()).collect::<Vec<_>>();
        assert_eq!(count, ["-7"], ".NET {version}");
    }
}
