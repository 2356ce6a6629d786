//! What each thread of `fixtures/dotnet-locks` waits for, by its source.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

/// A list of an answer.
pub fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("no list {key}: {value}"))
}

/// What a lock is, what it is called, who has it and how often.
pub type Told = (String, Option<String>, Option<String>, Option<u64>);

/// What each thread waits for, by its name.
pub fn waits(locks: &Value, threads: &Value) -> BTreeMap<String, Told> {
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

/// Takes a dump until `meeting-waiter` waits in it, eight times at most: a `Barrier` lets who waits look up after 100 ms, 200, 400, … whether
/// it may go on, and on a busy machine that takes a while. `threads`: what a dump tells of them.
// Source: dotnet/runtime System/Threading/Barrier.cs, DiscontinuousWait.
#[track_caller]
pub fn at_rest(dump: impl Fn() -> PathBuf, threads: impl Fn(&Path) -> Value) -> PathBuf {
    for _ in 0..8 {
        let path = dump();
        let told = threads(&path);
        let waiter = list(&told, "threads").iter().find(|thread| thread["name"] == "meeting-waiter");
        if waiter.unwrap_or_else(|| panic!("no meeting-waiter: {told}"))["waiting_on"].is_object() {
            return path;
        }
        println!("{}: meeting-waiter looks up", path.display());
        std::fs::remove_file(path).expect("a dump");
        std::thread::sleep(Duration::from_millis(500));
    }
    panic!("meeting-waiter waits in none of eight dumps");
}

/// What the source says of a thread's wait: the thread, the kind of lock, its name, its owner and how often that has it.
pub type Expected = (&'static str, &'static str, Option<&'static str>, Option<&'static str>, Option<u64>);

/// Monitors.
pub const MONITORS: &[Expected] = &[
    ("till-owner", "monitor", Some("Shop.Program.Stock"), Some("stock-owner"), Some(1)),
    ("stock-owner", "monitor", Some("Shop.Program.Till"), Some("till-owner"), Some(1)),
    ("till-timed", "monitor", Some("Shop.Program.Till"), Some("till-owner"), Some(1)),
    ("native-owner", "monitor", Some("Shop.Program.Ledger"), Some("ledger-owner"), Some(1)),
    ("prices-maker", "monitor", Some("Shop.Program.Counter"), Some("counter-owner"), Some(1)),
    ("pulse-waiter", "monitor-wait", Some("Shop.Program.Pulse"), None, None),
    ("orphan-waiter", "monitor", Some("Shop.Program.Orphan"), None, Some(1)),
];

/// The other kinds; those whose names say whose fields they are have no static field of their own.
pub const OTHERS: &[Expected] = &[
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
pub const LOCKS: &[Expected] = &[
    ("first-owner", "lock", Some("Shop.Program.Second"), Some("second-owner"), Some(2)),
    ("second-owner", "lock", Some("Shop.Program.First"), Some("first-owner"), Some(2)),
];

/// Holds what is told against that.
#[track_caller]
pub fn expect(waits: &BTreeMap<String, Told>, expected: &[Expected]) {
    for (thread, kind, name, owner, recursion) in expected {
        let told = waits.get(*thread).unwrap_or_else(|| panic!("{thread} waits for nothing: {waits:#?}"));
        let expected: Told = ((*kind).to_owned(), name.map(str::to_owned), owner.map(str::to_owned), *recursion);
        assert_eq!(told, &expected, "{thread}");
    }
}
