//! Locks of .NET in createdump's dumps and ours: who waits for what, who has it, as the source of fixtures/dotnet-locks says and as ClrMD reads it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::dotnet_locks::{LOCKS, MONITORS, OTHERS, at_rest, expect, list, waits};
use support::{Dotnet, Started, as_address, run};

/// A process of every version there is, with `createdump` of its runtime.
fn each_runtime(test: impl Fn(&Dotnet, &Path, &Started, u32)) {
    let dotnet = Dotnet::find();
    for (version, runtime) in &dotnet.runtimes {
        println!(".NET {version}");
        let process = dotnet.start(version, "dotnet-locks", "Locks");
        process.at_rest();
        let major = version.split('.').next().and_then(|major| major.parse().ok()).expect("a version");
        test(&dotnet, &runtime.join("createdump"), &process, major);
    }
}

fn dumped_by(createdump: &Path, flag: &str, process: &Started, folder: &Path) -> PathBuf {
    let dump = folder.join(format!("createdump{flag}"));
    let mut command = Command::new(createdump);
    command.args([flag, "-f"]).arg(&dump).arg(process.pid().to_string());
    run(command).expect_status(0);
    dump
}

/// What commands answer of a dump on a machine that has no file of its process.
fn answers(dump: &Path, commands: &[&str]) -> Vec<Value> {
    let nowhere = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(dump).args(["--json", "--offline", "--sysroot"]).arg(nowhere.path());
    command.args(commands.iter().flat_map(|line| ["-c", line]));
    let mut documents = run(command).expect_status(0).documents();
    documents.iter_mut().map(|document| document["data"].take()).collect()
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn threads_wait_for_what_the_source_says() {
    each_runtime(|_, createdump, process, major| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let theirs = || dumped_by(createdump, "--withheap", process, folder.path());
        let ours = || {
            let ours = folder.path().join("ours");
            let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
            command.args(["collect", "--type", "heap", "-p", &process.pid().to_string(), "-o"]).arg(&ours);
            run(command).expect_status(0);
            ours
        };
        let threads = |dump: &Path| answers(dump, &["threads"]).remove(0);
        let (theirs, ours) = (at_rest(theirs, threads), at_rest(ours, threads));
        for dump in [&theirs, &ours] {
            let told = answers(dump, &["locks", "threads", "summary"]);
            let waits = waits(&told[0], &told[1]);
            expect(&waits, MONITORS);
            expect(&waits, OTHERS);
            if major >= 9 {
                expect(&waits, LOCKS);
            }
            let named = |name: &str| list(&told[0], "locks").iter().find(|lock| lock["name"] == name).expect("a lock");
            let thread =
                |name: &str| list(&told[1], "threads").iter().find(|thread| thread["name"] == name).expect("it");
            // Each reader has the lock in a list of its own.
            let book = named("Shop.Program.Book");
            let mut readers = [thread("book-reader")["tid"].clone(), thread("book-other-reader")["tid"].clone()];
            readers.sort_by_key(Value::as_u64);
            assert_eq!((&book["readers"], &book["read_by"]), (&2.into(), &Value::from(readers.to_vec())), "{book}");
            assert_eq!(book["evidence"], "reader-lists");
            // What threads say themselves is certain; what was found on their stacks is not.
            let is_inferred = |lock: &Value| {
                let (all, inferred) = (list(lock, "waiters"), list(lock, "inferred_waiters"));
                assert!(inferred.is_empty() || inferred == all, "{lock}");
                !inferred.is_empty()
            };
            for name in ["Door", "Key", "Sleeper", "Shelf"] {
                assert!(is_inferred(named(&format!("Shop.Program.{name}"))), "{name}");
            }
            for name in ["Stock", "Till", "Savings.Gate", "Slots", "Archive", "Bell"] {
                assert!(!is_inferred(named(&format!("Shop.Program.{name}"))), "{name}");
            }
            let cycle = |lock: &str| {
                let address = &named(lock)["address"];
                let is_in = |cycle: &&Value| list(cycle, "cycle").iter().any(|step| &step["waits_for"] == address);
                list(&told[0], "deadlocks").iter().find(is_in).map(|cycle| cycle["certain"].clone())
            };
            assert_eq!((cycle("Shop.Program.Stock"), cycle("Shop.Prices")), (Some(true.into()), Some(false.into())));
            // Two hours, of which the handle's wait does not tell how many are left.
            let seats = named("Shop.Program.Seats");
            assert_eq!(seats["limits"].as_array().map(Vec::len), Some(1), "{seats}");
            for sleeper in ["sleeper", "account-owner", "price-maker"] {
                let sleeper = thread(sleeper);
                assert_eq!((&sleeper["state"], &sleeper["waiting_on"]["kind"]), (&"sleeping".into(), &"sleep".into()));
            }
            // The owner of one lock has ended: that is said.
            let orphan = list(&told[0], "locks").iter().find(|lock| lock["name"] == "Shop.Program.Orphan");
            let orphan = orphan.expect("somebody waits for it");
            assert_eq!(orphan["evidence"], "owner-gone", "{orphan}");
            // A lock that nobody waits for is in its object's header.
            let thin = list(&told[0], "locks").iter().find(|lock| lock["name"] == "Shop.Program.Thin");
            let thin = thin.expect("somebody has it");
            assert_eq!((&thin["recursion"], &thin["evidence"]), (&3.into(), &"object-header".into()));
            // A wait that ends by itself, after an hour.
            let till = list(&told[0], "locks").iter().find(|lock| lock["name"] == "Shop.Program.Till").expect("it");
            assert_eq!(till["limits"][0]["whole_ms"], 3_600_000, "{till}");
            // Threads say the same of themselves.
            for thread in list(&told[1], "threads") {
                let Some(wait) = thread["name"].as_str().and_then(|name| waits.get(name)) else { continue };
                assert_eq!(thread["waiting_on"]["kind"], wait.0, "{thread}");
                assert_eq!(thread["waiting_on"]["name"].as_str(), wait.1.as_deref(), "{thread}");
                let tid = &thread["tid"];
                let lock = list(&told[0], "locks").iter().find(|lock| list(lock, "waiters").contains(tid));
                let inferred = lock.is_some_and(|lock| list(lock, "inferred_waiters").contains(tid));
                assert_eq!(thread["waiting_on"]["inferred"], inferred, "{thread}");
            }
            let titles: Vec<&str> =
                list(&told[2], "findings").iter().filter_map(|finding| finding["title"].as_str()).collect();
            let told = |parts: &[&str]| titles.iter().any(|title| parts.iter().all(|part| title.contains(part)));
            assert!(
                told(&["deadlock", "till-owner", "stock-owner", "Shop.Program.Till", "Shop.Program.Stock"]),
                "{titles:#?}"
            );
            // Each waits for the other, one in native code.
            assert!(told(&["deadlock", "ledger-owner", "native-owner", "Shop.Program.Ledger", "mutex"]), "{titles:#?}");
            // One holds a Monitor and waits for a class, the other runs its static constructor and waits for the Monitor.
            let parts = ["deadlock", "prices-maker", "counter-owner", "Shop.Program.Counter", "Shop.Prices"];
            assert!(told(&parts), "{titles:#?}");
            let locks = ["deadlock", "first-owner", "second-owner", "Shop.Program.First", "Shop.Program.Second"];
            assert_eq!(told(&locks), major >= 9, "{titles:#?}");
            assert!(told(&["orphan-waiter", "Shop.Program.Orphan", "holder is gone"]), "{titles:#?}");
        }
    });
}

#[test]
#[ignore = "needs .NET and ClrMD: tests/run takes them where they are"]
fn sync_blocks_and_thin_locks_are_those_that_clrmd_reads() {
    each_runtime(|dotnet, createdump, process, _| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = dumped_by(createdump, "--withheap", process, folder.path());
        let told = answers(&dump, &["syncblk -all", "clrthreads"]);
        let theirs = dotnet.clrmd("locks", &dump);
        let threads = list(&told[1], "threads");
        let blocks: Vec<&Value> = list(&told[0], "locks").iter().filter(|row| !row["index"].is_null()).collect();
        assert_eq!(blocks.len(), list(&theirs, "sync_blocks").len());
        for (own, their) in blocks.iter().zip(list(&theirs, "sync_blocks")) {
            assert_eq!((&own["index"], &own["type"]), (&their["index"], &their["type"]));
            assert_eq!(as_address(&own["address"]), as_address(&their["object"]), "{own}");
            let held = own["monitor_held"].as_u64().expect("it is read") & 1 != 0;
            assert_eq!(Value::from(held), their["held"], "{own}");
            // Who has ended is no thread of ours.
            let holder = as_address(&their["holder"]).filter(|_| held && !own["owner"].is_null());
            assert_eq!(as_address(&own["owner_thread"]), holder, "{own}");
            assert_eq!(own["recursion"].as_u64().unwrap_or(0), their["recursion"].as_u64().expect("a number"), "{own}");
        }
        let thin: Vec<&Value> = list(&told[0], "locks").iter().filter(|row| row["index"].is_null()).collect();
        let key = |object: &Value, id: &Value, more: Option<u64>| (as_address(object), id.as_u64(), more);
        let ours: Vec<_> = thin
            .iter()
            .map(|row| key(&row["address"], &row["owner_id"], row["recursion"].as_u64().map(|times| times - 1)))
            .collect();
        let mut wanted: Vec<_> = list(&theirs, "thin_locks")
            .iter()
            .map(|row| key(&row["object"], &row["managed_id"], row["recursion"].as_u64()))
            .collect();
        wanted.sort_unstable();
        assert_eq!(ours, wanted);
        // SOS has a column for the number of locks of each thread, and prints -1.
        let held = |name: &str| {
            threads.iter().find(|thread| thread["name"] == name).map(|thread| thread["lock_count"].clone())
        };
        assert_eq!((held("till-owner"), held("thin-owner")), (Some(1.into()), Some(1.into())));
        assert_eq!(held("pulse-waiter"), Some(0.into()));
    });
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn a_mini_dump_says_that_an_owner_is_not_in_it() {
    each_runtime(|_, createdump, process, _| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for flag in ["--normal", "--triage"] {
            let dump = dumped_by(createdump, flag, process, folder.path());
            let told = answers(&dump, &["locks", "clrthreads"]);
            let locks = list(&told[0], "locks");
            let monitors: Vec<&Value> = locks.iter().filter(|lock| lock["kind"] == "monitor").collect();
            assert!(!monitors.is_empty(), "{flag}: {locks:#?}");
            // createdump keeps whole pages: that of one block may be there for something else that is in it.
            for lock in &monitors {
                assert!(lock["owner"].is_null() != lock["owner_unknown"].is_null(), "{flag}: {lock}");
            }
            assert!(monitors.iter().any(|lock| lock["owner"].is_null()), "{flag}: {monitors:#?}");
            assert!(list(&told[1], "threads").iter().all(|thread| thread["lock_count"].is_null()));
        }
    });
}
