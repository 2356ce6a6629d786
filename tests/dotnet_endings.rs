//! How .NET processes end: what is told first of each, with its cause, is what the runtime itself printed and the fixture's source says.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Dotnet, run};

/// What commands answer of the dump that createdump wrote as the fixture ended in this way, and what the runtime printed; for each version.
fn each_end(how: &str, commands: &[&str], test: impl Fn(&[Value], &str)) {
    let dotnet = Dotnet::find();
    let program = support::repository().join("fixtures/dotnet-endings/Endings.dll");
    for (version, _) in &dotnet.runtimes {
        println!(".NET {version}, {how}");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = folder.path().join("end");
        let mut command = dotnet.command(version, &program);
        command.arg(how).env("DOTNET_DbgEnableMiniDump", "1").env("DOTNET_DbgMiniDumpType", "2");
        command.env("DOTNET_DbgMiniDumpName", &dump);
        if how == "memory" {
            command.env("DOTNET_GCHeapHardLimit", "0x8000000");
        }
        let ended = run(command);
        test(&answers(&dump, commands), &ended.stderr);
    }
}

fn answers(dump: &Path, commands: &[&str]) -> Vec<Value> {
    let nowhere = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(dump).args(["--json", "--offline", "--sysroot"]).arg(nowhere.path());
    command.args(commands.iter().flat_map(|line| ["-c", line]));
    let mut documents = run(command).expect_status(0).documents();
    documents.iter_mut().map(|document| document["data"].take()).collect()
}

fn title(summary: &Value) -> &str {
    summary["findings"][0]["title"].as_str().expect("a title")
}

/// Type, message and number of an exception.
fn told(exception: &Value) -> (&str, &str, &str) {
    let text = |part: &str| exception[part].as_str().unwrap_or("?");
    (text("type"), text("message"), text("code"))
}

// HRESULTs. Source: learn.microsoft.com, "HResult" of each class: COR_E_EXCEPTION, COR_E_INVALIDOPERATION, COR_E_ARGUMENT, E_POINTER,
// E_OUTOFMEMORY.
const EXCEPTION: &str = "0x80131500";
const INVALID_OPERATION: &str = "0x80131509";
const ARGUMENT: &str = "0x80070057";
const POINTER: &str = "0x80004003";
const OUT_OF_MEMORY: &str = "0x8007000e";

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn what_caused_an_exception_is_told_with_the_numbers_of_all() {
    each_end("chain", &["summary", "printexception"], |answers, _| {
        assert!(title(&answers[0]).starts_with("uncaught Endings.Broken: outermost"), "{}", title(&answers[0]));
        let outer = &answers[1]["exceptions"][0];
        assert_eq!(told(outer), ("Endings.Broken", "outermost", EXCEPTION));
        assert_eq!(told(&outer["inner"]), ("System.ArgumentException", "middle", ARGUMENT));
        assert_eq!(told(&outer["inner"]["inner"]), ("Endings.Broken", "innermost", EXCEPTION));
        assert!(outer["inner"]["inner"]["inner"].is_null());
    });
    each_end("number", &["printexception"], |answers, _| {
        assert_eq!(told(&answers[0]["exceptions"][0]), ("Endings.Numbered", "it has a number", "0x8badf00d"));
    });
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn all_exceptions_that_one_gathers_are_told() {
    each_end("gather", &["summary", "printexception"], |answers, _| {
        assert!(title(&answers[0]).starts_with("uncaught System.AggregateException"), "{}", title(&answers[0]));
        let outer = &answers[1]["exceptions"][0];
        assert_eq!(told(outer).0, "System.AggregateException");
        assert_eq!(told(&outer["inner"]), ("Endings.Broken", "first", EXCEPTION));
        let others = outer["others"].as_array().expect("a list");
        assert_eq!(others.len(), 2, "{others:?}");
        assert_eq!(told(&others[0]), ("System.InvalidOperationException", "second, wrapped", INVALID_OPERATION));
        assert_eq!(told(&others[0]["inner"]), ("Endings.Broken", "second", EXCEPTION));
        assert_eq!(told(&others[1]), ("Endings.Numbered", "it has a number", "0x8badf00d"));
    });
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn exceptions_of_the_runtime_itself_are_told() {
    each_end("null", &["summary", "printexception"], |answers, stderr| {
        assert!(stderr.contains("System.NullReferenceException: Object reference not set"), "{stderr}");
        let expected = "uncaught System.NullReferenceException: Object reference not set to an instance of an object.";
        assert!(title(&answers[0]).starts_with(expected), "{}", title(&answers[0]));
        let exception = &answers[1]["exceptions"][0];
        assert_eq!(told(exception).2, POINTER);
        assert_eq!(exception["frames"][0]["function"], "Endings.Program.Length(System.String)");
    });
    each_end("memory", &["summary", "printexception"], |answers, stderr| {
        assert!(stderr.contains("Out of memory") || stderr.contains("OutOfMemoryException"), "{stderr}");
        assert!(title(&answers[0]).starts_with("uncaught System.OutOfMemoryException"), "{}", title(&answers[0]));
        assert_eq!(told(&answers[1]["exceptions"][0]).2, OUT_OF_MEMORY);
    });
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn the_reason_of_a_fail_fast_is_found() {
    each_end("fail-fast", &["summary", "printexception"], |answers, stderr| {
        assert!(stderr.contains("the shelves are empty"), "{stderr}");
        assert_eq!(title(&answers[0]), "fail fast: the shelves are empty, in Endings.Program.FailFast");
        let exception = &answers[1]["exceptions"][0];
        assert_eq!((&exception["kind"], &exception["family"]), (&"dotnet-fail-fast".into(), &"abort".into()));
        // The runtime records it nowhere.
        assert_eq!(exception["detail"]["kind"], "found");
    });
    each_end("fail-fast-with", &["printexception"], |answers, _| {
        let exception = &answers[0]["exceptions"][0];
        assert_eq!(exception["message"], "the shelves are still empty");
        assert_eq!(told(&exception["inner"]), ("Endings.Broken", "the cause", EXCEPTION));
    });
}

/// What a thread of the fixture handles as it ends.
const HANDLED: (&str, &str, &str) = ("Endings.Broken", "it is being handled", EXCEPTION);

/// The one that ended the process, and the exception that its thread was handling, which is no cause.
fn fatal_and_handled(exceptions: &Value) -> &Value {
    let all = exceptions["exceptions"].as_array().expect("exceptions");
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!((&all[0]["fatal"], &all[1]["fatal"]), (&true.into(), &false.into()), "{all:?}");
    assert_eq!(told(&all[1]), HANDLED);
    assert!(all[0]["inner"].is_null(), "{all:?}");
    &all[0]
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn an_exception_that_is_being_handled_did_not_end_what_ends_otherwise() {
    each_end("abort", &["summary", "printexception"], |answers, _| {
        assert_eq!(title(&answers[0]), "abort called, in Endings.Program.Abort");
        assert_eq!(fatal_and_handled(&answers[1])["kind"], "abort");
    });
    each_end("kill", &["summary", "printexception"], |answers, _| {
        assert!(title(&answers[0]).starts_with("SIGABRT raised by the process itself"), "{}", title(&answers[0]));
        assert_eq!(fatal_and_handled(&answers[1])["kind"], "signal");
    });
    each_end("fail-fast-after", &["summary", "printexception"], |answers, stderr| {
        assert!(stderr.contains("nothing to do with it"), "{stderr}");
        assert_eq!(title(&answers[0]), "fail fast: nothing to do with it, in Endings.Program.FailFastNow");
        assert_eq!(fatal_and_handled(&answers[1])["kind"], "dotnet-fail-fast");
    });
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn an_error_of_the_runtime_is_no_fail_fast_and_no_exception() {
    each_end("misuse", &["summary", "printexception"], |answers, stderr| {
        assert!(stderr.contains("Invalid Program: attempted to call a UnmanagedCallersOnly method"), "{stderr}");
        assert_eq!(title(&answers[0]), "fatal error of .NET, in Endings.Program.Callback");
        let fatal = fatal_and_handled(&answers[1]);
        assert_eq!((&fatal["kind"], &fatal["message"]), (&"dotnet-fatal-error".into(), &Value::Null));
        assert!(fatal["message_unknown"].is_string(), "{fatal}");
    });
    each_end("access", &["summary", "printexception"], |answers, stderr| {
        let message = "System.AccessViolationException: Attempted to read or write protected memory";
        assert!(stderr.contains(message), "{stderr}");
        assert!(title(&answers[0]).starts_with(&format!("uncaught {message}")), "{}", title(&answers[0]));
        let exception = &answers[1]["exceptions"][0];
        assert_eq!(
            (&exception["type"], &exception["fatal"]),
            (&"System.AccessViolationException".into(), &true.into())
        );
    });
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn what_a_fail_fast_says_is_not_taken_for_the_c_librarys_words() {
    each_end("fail-fast-words", &["summary"], |answers, _| {
        let finding = &answers[0]["findings"][0];
        assert_eq!(
            title(&answers[0]),
            "fail fast: double free or corruption of the ledger, in Endings.Program.FailFastNow"
        );
        assert!(!finding["evidence"].to_string().contains("that means"), "{finding}");
        // The text was found, on a stack.
        assert_eq!(finding["certain"], false);
    });
    each_end("fail-fast-silent", &["summary", "printexception"], |answers, _| {
        assert_eq!(title(&answers[0]), "fail fast called, in Endings.Program.FailFastNow");
        let exception = &answers[1]["exceptions"][0];
        assert_eq!((&exception["kind"], &exception["message"]), (&"dotnet-fail-fast".into(), &Value::Null));
    });
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn what_caused_two_that_are_gathered_is_told_of_both() {
    each_end("shared", &["printexception"], |answers, _| {
        let outer = &answers[0]["exceptions"][0];
        let cause = ("Endings.Broken", "the one cause", EXCEPTION);
        assert_eq!(told(&outer["inner"]), ("System.ArgumentException", "one", ARGUMENT));
        assert_eq!(told(&outer["inner"]["inner"]), cause);
        assert_eq!(outer["others"].as_array().map(Vec::len), Some(1), "{outer}");
        assert_eq!(told(&outer["others"][0]), ("System.InvalidOperationException", "other", INVALID_OPERATION));
        assert_eq!(told(&outer["others"][0]["inner"]), cause);
    });
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn every_exception_on_the_heap_is_told_with_who_has_it_in_flight() {
    let commands = ["dumpexceptions -lines", "dumpexceptions -stat", "dumpexceptions -type Endings -n 1", "threads"];
    each_end("gather", &commands, |answers, _| {
        let rows = answers[0]["exceptions"].as_array().expect("exceptions");
        let of_type = |name: &str| -> Vec<&Value> { rows.iter().filter(|row| row["type"] == name).collect() };
        let mut broken: Vec<_> = of_type("Endings.Broken").into_iter().map(told).collect();
        broken.sort_unstable();
        assert_eq!(broken, [("Endings.Broken", "first", EXCEPTION), ("Endings.Broken", "second", EXCEPTION)]);
        let [wrapped] = of_type("System.InvalidOperationException")[..] else { panic!("{rows:?}") };
        assert_eq!(told(wrapped), ("System.InvalidOperationException", "second, wrapped", INVALID_OPERATION));
        assert_eq!(told(&wrapped["inner"]), ("Endings.Broken", "second", EXCEPTION));
        let [numbered] = of_type("Endings.Numbered")[..] else { panic!("{rows:?}") };
        assert_eq!(told(numbered), ("Endings.Numbered", "it has a number", "0x8badf00d"));
        assert!(numbered["tid"].is_null() && numbered["fatal"] == false, "{numbered}");
        assert!(numbered["frames"][0]["function"].as_str().is_some_and(|name| name.contains("Gather")), "{numbered}");
        let thread = answers[3]["threads"].as_array().expect("threads").iter().find(|thread| thread["name"] == "ender");
        let [fatal] =
            of_type("System.AggregateException").into_iter().filter(|row| row["fatal"] == true).collect::<Vec<_>>()[..]
        else {
            panic!("{rows:?}")
        };
        assert_eq!(Some(&fatal["tid"]), thread.map(|thread| &thread["tid"]));
        // Each is counted with its type.
        for of_type in answers[1]["types"].as_array().expect("types") {
            let same = rows.iter().filter(|row| row["id"] == of_type["id"] && row["type"] == of_type["type"]).count();
            assert_eq!(of_type["count"], same, "{of_type}");
        }
        assert_eq!(answers[1]["total"]["count"], rows.len());
        assert_eq!(answers[2]["exceptions"].as_array().map(Vec::len), Some(1));
        assert_eq!((&answers[2]["total"]["count"], &answers[2]["total"]["complete"]), (&3.into(), &true.into()));
    });
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn a_full_stack_is_told_as_deep_as_the_runtime_prints_it() {
    each_end("overflow", &["summary", "stack --all"], |answers, stderr| {
        // `Repeated 16219 times:`, of .NET 8 `Repeat 16214 times:`.
        let times = stderr.split(" times:").next().and_then(|before| before.rsplit(' ').next());
        let times = times.expect("it is printed");
        let expected = format!("stack overflow: Endings.Program.Recurse calls itself, {times} calls deep");
        assert_eq!(title(&answers[0]), expected);
        let stacks = answers[1]["threads"].as_array().expect("threads").iter();
        let depth = |thread: &Value| {
            let frames = thread["frames"].as_array().expect("frames").iter();
            frames.filter(|frame| frame["function"] == "Endings.Program.Recurse(Int32)").count()
        };
        assert_eq!(stacks.map(depth).max().map(|depth| depth.to_string()).as_deref(), Some(times));
    });
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn a_fault_in_native_code_shows_the_managed_code_that_called_it() {
    each_end("native", &["summary", "printexception"], |answers, _| {
        // The function of the C library that calls what it was given.
        assert_eq!(title(&answers[0]), "call of a null function pointer in msort_with_tmp, called from __GI___qsort_r");
        let exception = &answers[1]["exceptions"][0];
        let frames = exception["frames"].as_array().expect("frames").iter();
        let functions: Vec<&str> = frames.map(|frame| frame["function"].as_str().unwrap_or("?")).collect();
        // Native may have been replaced by what it calls last.
        assert!(functions.contains(&"Endings.Program.End(System.String)"), "{functions:?}");
        assert_eq!(exception["frames"][0]["pc"], "0x0");
    });
}
