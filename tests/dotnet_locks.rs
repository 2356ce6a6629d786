//! Locks of .NET in createdump's dumps and ours: who waits for what, who has it, as the source of fixtures/dotnet-locks says and as ClrMD reads it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::{Dotnet, Started, as_address, run};

/// A process of every version there is, with `createdump` of its runtime.
fn each_runtime(test: impl Fn(&Dotnet, &Path, &Started, u32)) {
    let dotnet = Dotnet::find();
    for (version, runtime) in &dotnet.runtimes {
        println!(".NET {version}");
        let process = dotnet.start(version, "dotnet-locks", "Locks");
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

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("no list {key}: {value}"))
}

/// What a lock is, what it is called, who has it and how often.
type Told = (String, Option<String>, Option<String>, Option<u64>);

/// What each thread waits for, by its name.
fn waits(locks: &Value, threads: &Value) -> BTreeMap<String, Told> {
    let names: BTreeMap<u64, &str> = list(threads, "threads")
        .iter()
        .filter_map(|thread| Some((thread["tid"].as_u64()?, thread["name"].as_str()?)))
        .collect();
    let mut all = BTreeMap::new();
    for lock in list(locks, "locks") {
        let owner = lock["owner"]["tid"].as_u64().and_then(|tid| names.get(&tid)).map(|name| (*name).to_owned());
        let text = |key: &str| lock[key].as_str().map(str::to_owned);
        let told = (text("kind").expect("a kind"), text("name"), owner, lock["recursion"].as_u64());
        for waiter in list(lock, "waiters").iter().filter_map(|tid| names.get(&tid.as_u64()?)) {
            all.insert((*waiter).to_owned(), told.clone());
        }
    }
    all
}

/// What the source says of a thread's wait: the thread, the kind of lock, its name, its owner and how often that has it.
type Expected = (&'static str, &'static str, Option<&'static str>, Option<&'static str>, Option<u64>);

const MONITORS: &[Expected] = &[
    ("till-owner", "monitor", Some("Shop.Program.Stock"), Some("stock-owner"), Some(1)),
    ("stock-owner", "monitor", Some("Shop.Program.Till"), Some("till-owner"), Some(1)),
    ("till-timed", "monitor", Some("Shop.Program.Till"), Some("till-owner"), Some(1)),
    ("native-owner", "monitor", Some("Shop.Program.Ledger"), Some("ledger-owner"), Some(1)),
    ("prices-maker", "monitor", Some("Shop.Program.Counter"), Some("counter-owner"), Some(1)),
    ("pulse-waiter", "monitor-wait", Some("Shop.Program.Pulse"), None, None),
    ("orphan-waiter", "monitor", Some("Shop.Program.Orphan"), None, Some(1)),
];

/// The other kinds; those whose names say whose fields they are have no static field of their own.
const OTHERS: &[Expected] = &[
    ("account-waiter", "monitor", Some("Shop.Program.Savings.Gate"), Some("account-owner"), Some(1)),
    ("slots-waiter", "semaphore-slim", Some("Shop.Program.Slots"), None, None),
    ("orders-taker", "blocking-collection", Some("Shop.Program.Orders"), None, None),
    ("book-writer", "reader-writer-lock-slim", Some("Shop.Program.Book"), None, None),
    ("shelf-reader", "reader-writer-lock-slim", Some("Shop.Program.Shelf"), Some("shelf-writer"), Some(1)),
    ("catalog-waiter", "reader-writer-lock-slim", Some("Shop.Program.Catalog"), Some("catalog-upgrader"), Some(1)),
    ("archive-reader", "reader-writer-lock", Some("Shop.Program.Archive"), Some("archive-writer"), Some(1)),
    ("bell-waiter", "manual-reset-event-slim", Some("Shop.Program.Bell"), None, None),
    ("thin-owner", "manual-reset-event-slim", Some("Shop.Program.Bell"), None, None),
    ("parcels-waiter", "countdown-event", Some("Shop.Program.Parcels"), None, None),
    ("meeting-waiter", "dotnet-barrier", Some("Shop.Program.Meeting"), None, None),
    ("price-waiter", "lazy", Some("Shop.Program.Price"), Some("price-maker"), Some(1)),
    ("door-waiter", "event-handle", Some("Shop.Program.Door"), None, None),
    ("key-waiter", "mutex-handle", Some("Shop.Program.Key"), Some("key-owner"), Some(1)),
    ("seats-waiter", "semaphore-handle", Some("Shop.Program.Seats"), None, None),
    ("any-waiter", "wait-handles", Some("Shop.Program.Door, Shop.Program.Gate"), None, None),
    ("all-waiter", "wait-handles", Some("Shop.Program.Gate, Shop.Program.Seats"), None, None),
    ("join-waiter", "thread-join", Some("Shop.Program.Sleeper"), Some("sleeper"), None),
    ("delivery-waiter", "task", Some("Shop.Program.Delivery._task"), None, None),
    ("count-waiter", "task", Some("Shop.Program.Count._task"), None, None),
    ("all-tasks-waiter", "task-wait-all", Some("2 tasks that have not ended"), None, None),
    ("counter-owner", "static-constructor", Some("Shop.Prices"), Some("prices-maker"), None),
];

/// `System.Threading.Lock`, which is there since .NET 9.
const LOCKS: &[Expected] = &[
    ("first-owner", "lock", Some("Shop.Program.Second"), Some("second-owner"), Some(2)),
    ("second-owner", "lock", Some("Shop.Program.First"), Some("first-owner"), Some(2)),
];

#[track_caller]
fn expect(waits: &BTreeMap<String, Told>, expected: &[Expected]) {
    for (thread, kind, name, owner, recursion) in expected {
        let told = waits.get(*thread).unwrap_or_else(|| panic!("{thread} waits for nothing: {waits:#?}"));
        let expected: Told = ((*kind).to_owned(), name.map(str::to_owned), owner.map(str::to_owned), *recursion);
        assert_eq!(told, &expected, "{thread}");
    }
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn threads_wait_for_what_the_source_says() {
    each_runtime(|_, createdump, process, major| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let theirs = dumped_by(createdump, "--withheap", process, folder.path());
        let ours = folder.path().join("ours");
        let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
        command.args(["collect", "--type", "heap", "-p", &process.pid().to_string(), "-o"]).arg(&ours);
        run(command).expect_status(0);
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
