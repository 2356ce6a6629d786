//! Locks, their owners and deadlocks of real processes: what `locks` and `threads` say is compared with what the process
//! said of itself and what its source dictates.

use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::process::Command;

use support::{Dump, Expected, Truth, as_address, dump};

/// What one run says of a dump.
struct Seen {
    truth: Truth,
    /// Ids as the dump has them, by the ids that the process knew; empty where they are the same.
    outside: BTreeMap<u64, u64>,
    expected: Expected,
    locks: Vec<Value>,
    deadlocks: Vec<Value>,
    threads: Vec<Value>,
    /// Whether the dump holds nothing to tell by that the program's file is the one that ran: then nothing is certain.
    unverified: bool,
}

/// The ids that a fixture in a PID namespace had outside it: `{"INSIDE":OUTSIDE}` in `tids.json`.
fn outside(dump: &Dump) -> BTreeMap<u64, u64> {
    let Ok(text) = std::fs::read_to_string(dump.dir().join("tids.json")) else { return BTreeMap::new() };
    let map: BTreeMap<String, u64> = serde_json::from_str(&text).expect("tids.json is a map of ids");
    map.into_iter().map(|(inside, outside)| (inside.parse().expect("an id"), outside)).collect()
}

/// The library whose bookkeeping a variant's locks have, as `expected.json` names it.
fn library(variant: &str) -> &'static str {
    if variant.starts_with("musl") {
        "musl"
    } else if variant.starts_with("rust") {
        "rust"
    } else {
        "glibc"
    }
}

fn look(dump: &Dump) -> Seen {
    look_at(dump, dump.expected(), &[])
}

fn look_at(dump: &Dump, expected: Expected, options: &[&OsStr]) -> Seen {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(dump.core()).args(["--json", "-c", "locks", "-c", "threads"]).args(options);
    let output = support::run(command).expect_status(0);
    let list = |value: &Value| value.as_array().expect("an array").clone();
    let locks = output.data("locks");
    Seen {
        truth: dump.truth(),
        outside: outside(dump),
        expected,
        locks: list(&locks["locks"]),
        deadlocks: list(&locks["deadlocks"]),
        threads: list(&output.data("threads")["threads"]),
        unverified: false,
    }
}

/// Whether `kind` is among the alternatives that `expected` allows, as in `mutex-robust|mutex-priority-inherit`.
fn is_one_of(kind: &Value, expected: &Value) -> bool {
    kind.as_str().is_some_and(|kind| expected.as_str().is_some_and(|kinds| kinds.split('|').any(|one| one == kind)))
}

/// Whether the library's lock says who holds it.
fn is_recorded(expected: &Value, library: &str) -> bool {
    expected["recorded_by"].as_array().is_some_and(|by| by.iter().any(|by| by == library))
}

impl Seen {
    fn lock(&self, name: &str) -> &Value {
        let address = self.truth.lock(name);
        let found = self.locks.iter().find(|lock| as_address(&lock["address"]) == Some(address));
        found.unwrap_or_else(|| panic!("{name} at {address:#x} is not among {:#?}", self.locks))
    }

    fn tid(&self, thread: &str) -> u64 {
        let inside = self.truth.tid(thread);
        self.outside.get(&inside).copied().unwrap_or(inside)
    }

    fn threads_of(&self, pattern: &str) -> Vec<(&str, u64)> {
        self.truth.threads(pattern).into_iter().map(|(name, _)| (name, self.tid(name))).collect()
    }

    fn tids(&self, patterns: &Value) -> Vec<u64> {
        let patterns = patterns.as_array().expect("an array").iter().filter_map(Value::as_str);
        let mut tids: Vec<u64> = patterns.flat_map(|pattern| self.threads_of(pattern)).map(|(_, tid)| tid).collect();
        tids.sort_unstable();
        tids
    }

    fn check_locks(&self, library: &str) {
        for (name, expected) in self.expected.locks() {
            // What no thread waits for can be seen only where the library records who holds it.
            let waited = expected["waiters"].as_array().is_some_and(|waiters| !waiters.is_empty());
            if !waited && !is_recorded(expected, library) {
                continue;
            }
            let lock = self.lock(name);
            assert!(is_one_of(&lock["kind"], &expected["kind"]), "{name} is no {}: {lock}", expected["kind"]);
            let mut waiters: Vec<u64> =
                lock["waiters"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
            waiters.sort_unstable();
            assert_eq!(waiters, self.tids(&expected["waiters"]), "waiters of {name}: {lock}");
            self.check_owner(name, lock, expected, library);
            if let Some(readers) = expected["readers"].as_u64() {
                assert_eq!(lock["readers"].as_u64(), Some(readers), "{name}: {lock}");
            }
            self.check_readers(name, lock, expected);
            self.check_name(name, lock, expected);
        }
    }

    /// By its variable, by the path of its member in one, or by the class of the object that holds it.
    fn check_name(&self, name: &str, lock: &Value, expected: &Value) {
        let shown = lock["name"].as_str().unwrap_or_default();
        let symbol = match &expected["symbol"] {
            Value::String(symbol) => Some(symbol.as_str()),
            Value::Null if expected.get("symbol").is_none() => Some(name),
            _ => None,
        };
        if let (Some(symbol), Some(field)) = (symbol, expected["field"].as_str()) {
            assert_eq!(shown, format!("{symbol}.{field}"));
        } else if let Some(symbol) = symbol {
            let last = shown.rsplit("::").next();
            assert!(last.is_some_and(|last| last.starts_with(symbol)), "{name} is called {shown}");
        }
        if let Some(class) = expected["in_object"].as_str() {
            assert!(shown.contains(&format!(" in {class} at 0x")), "{name} is called {shown}");
        }
        if name.ends_with(']') {
            assert_eq!(shown, name);
        }
    }

    /// A recorded owner must be right and certain. Where none is recorded, one may be inferred, and then must be right too.
    fn check_owner(&self, name: &str, lock: &Value, expected: &Value, library: &str) {
        let holder = expected["owner"].as_str().or(expected["runs_in"].as_str()).map(|thread| self.tid(thread));
        let shown = lock["owner"]["tid"].as_u64();
        let evidence = lock["evidence"].as_str().expect("every lock has evidence");
        if is_recorded(expected, library) {
            assert_eq!(shown, holder, "owner of {name}: {lock}");
            let inferred = evidence.starts_with("inferred:");
            assert!(if self.unverified { evidence == "inferred:unverified-file" } else { !inferred }, "{name}: {lock}");
            assert_eq!(lock["recursion"], expected["recursion"], "{name}: {lock}");
        } else if shown.is_some() {
            assert_eq!(shown, holder, "inferred owner of {name}: {lock}");
            let declared = expected["declared"] == "ReentrantMutex";
            assert!(evidence.starts_with("inferred:") || declared, "{name}: {lock}");
        } else if expected["owner"].is_string() {
            assert!(lock["owner_unknown"].is_string(), "an unknown owner has a reason: {lock}");
        }
    }

    /// Whoever is named must read the lock, the sure ones must be named, and the evidence must say whether that is all.
    fn check_readers(&self, name: &str, lock: &Value, expected: &Value) {
        let named: Vec<u64> = lock["read_by"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        if expected["read_by"].is_null() {
            assert!(named.is_empty(), "{name} is read by nobody: {lock}");
            return;
        }
        let (really, sure) = (self.tids(&expected["read_by"]), self.tids(&expected["read_by_sure"]));
        assert!(named.iter().all(|tid| really.contains(tid)), "{name} is read by {really:?}: {lock}");
        assert!(sure.iter().all(|tid| named.contains(tid)), "{name} is read by {sure:?}: {lock}");
        let all = lock["readers"].as_u64() == Some(named.len() as u64);
        let evidence = match named.as_slice() {
            [] => "reader-count",
            _ if all => "inferred:all-readers",
            _ => "inferred:some-readers",
        };
        assert_eq!(lock["evidence"], evidence, "{name}: {lock}");
        let reason = lock["owner_unknown"].as_str().unwrap_or_default();
        assert!(named.iter().all(|tid| reason.contains(&tid.to_string())), "{name}: {lock}");
    }

    /// Locks that nobody waits for are found by searching memory: none may be invented.
    fn check_no_lock_is_invented(&self) {
        let known: Vec<u64> = self.expected.locks().iter().map(|(name, _)| self.truth.lock(name)).collect();
        for lock in &self.locks {
            let waited = lock["waiters"].as_array().is_some_and(|waiters| !waiters.is_empty());
            let address = as_address(&lock["address"]).expect("an address");
            assert!(waited || known.contains(&address), "nobody holds {lock}");
        }
    }

    /// Cycles of recorded owners must be found; others may be, and then say that they are uncertain.
    fn check_deadlocks(&self, library: &str) {
        let expected: Vec<(Vec<u64>, bool)> = self.expected.json()["deadlocks"]
            .as_array()
            .expect("expected deadlocks")
            .iter()
            .map(|cycle| {
                let members = cycle["cycle"].as_array().expect("a cycle").iter().filter_map(Value::as_str);
                let certain = cycle["certain_on"].as_array().is_some_and(|on| on.iter().any(|on| on == library));
                (turned(members.map(|name| self.tid(name)).collect()), certain)
            })
            .collect();
        let found: Vec<(Vec<u64>, bool)> = self
            .deadlocks
            .iter()
            .map(|cycle| {
                let steps = cycle["cycle"].as_array().expect("a cycle").iter();
                (turned(steps.filter_map(|step| step["tid"].as_u64()).collect()), cycle["certain"] == true)
            })
            .collect();
        for (members, _) in expected.iter().filter(|(_, certain)| *certain) {
            let cycle = (members.clone(), !self.unverified);
            assert!(found.contains(&cycle), "{cycle:?} is not among {found:?}");
        }
        for (members, certain) in &found {
            let known = expected.iter().find(|(expected, _)| expected == members);
            let known = known.map(|(_, certain)| *certain && !self.unverified);
            assert_eq!(known, Some(*certain), "{members:?} of {expected:?}");
        }
        for cycle in &self.deadlocks {
            for step in cycle["cycle"].as_array().into_iter().flatten() {
                let waits = self.threads.iter().find(|thread| thread["tid"] == step["tid"]).expect("a thread");
                assert_eq!(waits["waiting_on"]["address"], step["waits_for"], "{cycle}");
            }
        }
    }

    fn check_threads(&self) {
        for (pattern, expected) in self.expected.threads() {
            for (name, tid) in self.threads_of(pattern) {
                let thread = self.threads.iter().find(|thread| thread["tid"] == tid);
                let thread = thread.unwrap_or_else(|| panic!("{name} ({tid}) is not shown"));
                assert_eq!(thread["state"], expected["state"], "{name}: {thread}");
                self.check_wait(name, thread, &expected["waits_for"]);
                let function = expected["functions"][0].as_str().expect("functions");
                let top = thread["top"].as_str().unwrap_or_default();
                assert!(top.contains(function), "{name} is in {top}, not in {function}");
            }
        }
    }

    fn check_wait(&self, name: &str, thread: &Value, expected: &Value) {
        let waiting = &thread["waiting_on"];
        if let Some(lock) = expected.as_str() {
            assert_eq!(
                as_address(&waiting["address"]),
                Some(self.truth.lock(lock)),
                "{name} waits for {lock}: {thread}"
            );
            return;
        }
        match expected["kind"].as_str() {
            None => assert!(waiting.is_null(), "{name}: {thread}"),
            Some("join") => {
                assert_eq!(waiting["kind"], "join", "{name}: {thread}");
                let joined = self.tid(expected["thread"].as_str().expect("a thread"));
                let lock =
                    self.locks.iter().find(|lock| lock["address"] == waiting["address"]).expect("a join is a lock");
                assert_eq!(lock["owner"]["tid"], joined, "{name} joins: {lock}");
            }
            Some(_) => assert!(is_one_of(&waiting["kind"], &expected["kind"]), "{name}: {thread}"),
        }
    }
}

/// A cycle of threads, turned so that the lowest comes first.
fn turned(mut cycle: Vec<u64>) -> Vec<u64> {
    let lowest = (0..cycle.len()).min_by_key(|at| cycle.get(*at)).unwrap_or(0);
    cycle.rotate_left(lowest);
    cycle
}

impl Seen {
    /// qemu-user dumps no page of a file that is not writable, and a static program has no others to compare.
    fn of_qemu(self, variant: &str) -> Seen {
        Seen { unverified: variant.ends_with("-static"), ..self }
    }

    fn check(&self, library: &str) {
        self.check_locks(library);
        self.check_no_lock_is_invented();
        self.check_deadlocks(library);
        self.check_threads();
    }
}

fn check(name: &str, variant: &str) {
    look(&dump(name, variant)).check(library(variant));
}

#[test]
fn aarch64_threads_in_system_calls_are_told_from_their_registers() {
    for variant in ["deadlock", "deadlock-static"] {
        let dump = dump("aarch64", variant);
        let (exe, sysroot) = (dump.exe(), OsStr::new("/usr/aarch64-linux-gnu"));
        let options = [OsStr::new("--exe"), exe.as_os_str(), OsStr::new("--sysroot"), sysroot];
        let seen = look_at(&dump, Expected::of("deadlock"), &options);
        seen.of_qemu(variant).check("glibc");
    }
}

fn look_at_createdump(variant: &str) -> Seen {
    let dump = dump("createdump", variant);
    let exe = dump.exe();
    look_at(&dump, dump.expected(), &[OsStr::new("--exe"), exe.as_os_str()])
}

#[test]
fn a_full_core_of_createdump_is_told_whole() {
    look_at_createdump("full").check("glibc");
}

#[test]
fn a_dump_without_the_locks_says_what_is_waited_for_and_that_no_owner_can_be_read() {
    for variant in ["heap", "mini"] {
        check_locks_that_are_not_dumped(&look_at_createdump(variant));
    }
}

fn check_locks_that_are_not_dumped(seen: &Seen) {
    seen.check_threads();
    for (name, expected) in seen.expected.locks() {
        let lock = seen.lock(name);
        assert_eq!(lock["kind"], "mutex", "the type is in the mutex, which is not in the dump: {lock}");
        match lock["owner"]["tid"].as_u64() {
            Some(tid) => {
                assert_eq!(tid, seen.tid(expected["owner"].as_str().expect("an owner")), "{lock}");
                assert!(lock["evidence"].as_str().is_some_and(|words| words.starts_with("inferred:")), "{lock}");
            }
            None => assert!(
                lock["owner_unknown"].as_str().is_some_and(|why| why.contains("not in the dump")),
                "why nothing is known of {name}: {lock}"
            ),
        }
    }
    assert!(seen.deadlocks.iter().all(|cycle| cycle["certain"] == false), "{:?}", seen.deadlocks);
}

#[test]
fn aarch64_threads_and_locks_of_musl_are_told_as_far_as_musl_records_them() {
    for variant in ["deadlock-musl", "deadlock-musl-static"] {
        let dump = dump("aarch64", variant);
        let (exe, sysroot) = (dump.exe(), dump.dir().join("root"));
        // A static program has no other files.
        let root = [OsStr::new("--sysroot"), sysroot.as_os_str()];
        let root = if variant.ends_with("static") { &[][..] } else { &root };
        let options = [&[OsStr::new("--exe"), exe.as_os_str()], root].concat();
        let seen = look_at(&dump, Expected::of("deadlock"), &options);
        seen.of_qemu(variant).check("musl");
    }
}

/// One test a dump, so that they run side by side and fail apart.
macro_rules! dumps {
    ($($test:ident: $fixture:literal $variant:literal;)*) => {
        $(#[test] fn $test() { check($fixture, $variant); })*
    };
}

dumps! {
    deadlock_on_glibc_is_told_whole: "deadlock" "glibc";
    deadlock_in_a_fixed_address_program_without_frame_pointers_is_told_whole: "deadlock" "glibc-nopie";
    deadlock_in_a_static_glibc_program_is_told_whole: "deadlock" "glibc-static";
    deadlock_in_a_gcore_of_a_live_process_is_told_whole: "deadlock" "glibc-gcore";
    deadlock_in_a_core_with_file_pages_is_told_whole: "deadlock" "glibc-filter-7f";
    deadlock_on_musl_is_told_as_far_as_musl_records_it: "deadlock" "musl";
    deadlock_in_a_static_musl_program_is_told_as_far_as_musl_records_it: "deadlock" "musl-static";
    deadlock_in_a_gcore_of_a_musl_process_is_told_as_far_as_musl_records_it: "deadlock" "musl-gcore";
    every_lock_kind_of_glibc_and_libstdcxx_is_recognised: "locks" "glibc";
    every_lock_kind_is_recognised_in_a_gcore: "locks" "gcore";
    every_lock_kind_is_recognised_in_a_static_program: "locks" "static";
    every_lock_kind_is_recognised_on_glibc_2_41: "locks" "glibc-trixie";
    owners_of_another_pid_namespace_are_mapped_to_the_threads_of_the_dump: "pidns" "glibc";
    owners_of_another_pid_namespace_are_mapped_on_musl_too: "pidns" "musl";
    rust_locks_without_recorded_owners_are_inferred_or_unknown: "rust-std" "gnu";
    rust_locks_on_musl_are_inferred_or_unknown: "rust-std" "musl";
    rust_locks_with_new_name_mangling_are_recognised: "rust-std" "v0";
    parking_lot_locks_are_found_through_the_parked_threads: "rust-parking-lot" "gnu";
    held_locks_that_nobody_waits_for_are_found_on_glibc: "held" "glibc";
    held_locks_that_nobody_waits_for_are_found_in_a_static_program: "held" "glibc-static";
    held_locks_that_nobody_waits_for_are_found_on_musl: "held" "musl";
    held_locks_that_nobody_waits_for_are_found_in_a_static_musl_program: "held" "musl-static";
    readers_of_glibc_locks_are_inferred: "readers" "glibc";
    readers_of_glibc_locks_are_inferred_from_code_without_optimisation: "readers" "glibc-unoptimised";
    readers_of_locks_in_a_static_program_are_inferred: "readers" "glibc-static";
    readers_of_musl_locks_are_inferred: "readers" "musl";
    readers_of_locks_in_a_static_musl_program_are_inferred: "readers" "musl-static";
    readers_of_a_shared_mutex_are_inferred: "readers" "cxx";
    readers_of_a_shared_mutex_are_inferred_from_code_without_optimisation: "readers" "cxx-unoptimised";
    readers_of_a_rust_rwlock_are_inferred: "readers" "rust";
    readers_of_a_rust_rwlock_on_musl_are_inferred: "readers" "rust-musl";
    readers_of_a_rust_rwlock_are_inferred_from_code_without_optimisation: "readers" "rust-unoptimised";
    parking_lot_locks_on_musl_are_found_through_the_parked_threads: "rust-parking-lot" "musl";
}

/// What no lock of these dumps records is told by the code that took it, or by the stack that points to it; so is every cycle.
#[test]
fn owners_that_no_lock_records_are_inferred() {
    for (fixture, variant) in [
        ("deadlock", "musl"),
        ("deadlock", "musl-static"),
        ("rust-std", "gnu"),
        ("rust-std", "musl"),
        ("rust-parking-lot", "gnu"),
        ("rust-parking-lot", "musl"),
        ("readers", "glibc"),
        ("readers", "glibc-unoptimised"),
        ("readers", "glibc-static"),
        ("readers", "musl"),
        ("readers", "musl-static"),
        ("readers", "cxx"),
        ("readers", "cxx-unoptimised"),
        ("readers", "rust"),
        ("readers", "rust-musl"),
        ("readers", "rust-unoptimised"),
    ] {
        let seen = look(&dump(fixture, variant));
        for (name, expected) in seen.expected.locks() {
            let holder = expected["owner"].as_str().or(expected["runs_in"].as_str());
            let lock = seen.lock(name);
            assert_eq!(lock["owner"].is_null(), holder.is_none(), "{name} of {fixture} {variant}: {lock}");
        }
        let cycles = seen.expected.json()["deadlocks"].as_array().map(Vec::len);
        assert_eq!(Some(seen.deadlocks.len()), cycles, "{fixture} {variant}: {:?}", seen.deadlocks);
    }
}

/// Without symbols the unwind information says where functions begin, and the linkage table what they call.
#[test]
fn readers_are_inferred_in_stripped_programs() {
    for variant in ["glibc-stripped", "cxx-stripped", "musl-stripped"] {
        let seen = look(&dump("readers", variant));
        seen.check_locks(library(variant));
        seen.check_deadlocks(library(variant));
        assert_eq!(seen.deadlocks.len(), 2, "{variant}: {:?}", seen.deadlocks);
    }
}

/// The name that each thread is shown with, beside its logical name.
fn names(variant: &str, fixture: &str) -> Vec<(String, Value)> {
    let seen = look(&dump(fixture, variant));
    let threads = seen.threads.iter();
    threads
        .filter_map(|thread| Some((seen.truth.name_of(thread["tid"].as_u64()?)?.to_owned(), thread["name"].clone())))
        .collect()
}

#[test]
fn threads_of_rust_have_the_names_that_the_program_gave_them() {
    for variant in ["gnu", "musl", "v0", "stripped"] {
        for (thread, name) in names(variant, "rust-std") {
            let given = if thread == "main" { Value::Null } else { Value::from(thread.as_str()) };
            assert_eq!(name, given, "{thread} of {variant}");
        }
    }
}

#[test]
fn threads_whose_names_only_the_kernel_knew_have_none() {
    for variant in ["glibc", "musl"] {
        for (thread, name) in names(variant, "deadlock") {
            assert!(name.is_null(), "{thread} of {variant} is called {name}");
        }
    }
}

#[test]
fn why_an_owner_is_unknown_stands_below_the_table() {
    // Nothing explains `g_word`, a bare futex of main.cc.
    let output = support::dumpscope!("analyze", dump("locks", "glibc").core(), "--offline", "-c", "locks");
    let text = output.expect_status(0).stdout;
    let (table, below) = text.split_once("\n\n").expect("a table, and what stands below it");
    assert!(!table.contains("not recorded"), "{table}");
    assert!(below.starts_with("? owner of g_word: not recorded:"), "{below}");
}
