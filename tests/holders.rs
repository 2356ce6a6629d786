//! Locks whose holder is no thread of the process that waits for them, waits that end by themselves, cycles within one thread, pools that are
//! parked: live processes of `fixtures/holders` are dumped, and what is said of them is held against what their source dictates.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::{Running, as_address, build, dump, dumpscope};
use tempfile::TempDir;

/// A dump of the process that a mode of the fixture has forked.
struct Seen {
    /// Alive until all is asked: other processes hold what it waits for.
    fixture: Running,
    _folder: TempDir,
    core: PathBuf,
    locks: Value,
    findings: Vec<Value>,
}

fn look(variant: &str, mode: &str) -> Seen {
    let fixture = Running::start("holders", variant, &[mode]);
    let folder = tempfile::tempdir().expect("a folder");
    let core = folder.path().join("core");
    let pid = fixture.truth().value("dumped").to_string();
    dumpscope!("collect", "-p", pid, "--type", "mini", "-o", &core).expect_status(0);
    let (locks, findings) = ask(&core);
    Seen { fixture, _folder: folder, core, locks, findings }
}

fn ask(core: &Path) -> (Value, Vec<Value>) {
    let output = dumpscope!("analyze", core, "--offline", "--json", "-c", "locks", "-c", "summary").expect_status(0);
    let findings = output.data("summary")["findings"].as_array().expect("findings").clone();
    (output.data("locks"), findings)
}

impl Seen {
    fn lock(&self, name: &str) -> &Value {
        let address = self.fixture.truth().lock(name);
        let locks = self.locks["locks"].as_array().expect("locks");
        let found = locks.iter().find(|lock| as_address(&lock["address"]) == Some(address));
        found.unwrap_or_else(|| panic!("{name} at {address:#x} is not among {locks:#?}"))
    }

    fn value(&self, name: &str) -> u64 {
        self.fixture.truth().value(name)
    }

    fn finding(&self, rule: &str) -> &Value {
        let found = self.findings.iter().find(|finding| finding["rule"] == rule);
        found.unwrap_or_else(|| panic!("no {rule} among {:#?}", self.findings))
    }

    fn check_finding(&self, rule: &str, severity: &str, certain: bool) {
        let finding = self.finding(rule);
        assert_eq!((&finding["severity"], &finding["certain"]), (&severity.into(), &certain.into()), "{finding:#}");
    }

    fn says_nothing_of(&self, rules: &[&str]) {
        let said = |finding: &&Value| rules.iter().any(|rule| finding["rule"] == *rule);
        assert_eq!(self.findings.iter().find(said), None);
    }
}

const BLAME: [&str; 4] = ["abandoned-lock", "forked-lock", "stuck", "idle"];

#[test]
fn a_lock_in_shared_memory_is_held_by_the_process_that_took_it() {
    for (variant, mode) in [("glibc", "shared"), ("glibc", "shared-rwlock"), ("musl", "shared")] {
        let seen = look(variant, mode);
        let absent = &seen.lock("shared")["absent"];
        let holder = seen.value("holder");
        assert_eq!(absent["why"], "other-process", "{variant} {mode}: {absent}");
        assert_eq!((&absent["tid"], &absent["pid"]), (&holder.into(), &holder.into()), "{variant} {mode}");
        assert_eq!((&absent["alive"], &absent["shared"]), (&true.into(), &true.into()), "{variant} {mode}");
        assert_eq!(absent["process"], "exe");
        seen.check_finding("held-elsewhere", "warning", true);
        seen.says_nothing_of(&BLAME);
    }
}

#[test]
fn where_nobody_looked_whether_the_holder_is_alive_that_is_said() {
    for variant in ["kernel", "glibc"] {
        let dump = dump("holders", variant);
        let (locks, findings) = ask(&dump.core());
        let absent = &locks["locks"][0]["absent"];
        assert_eq!((&absent["why"], &absent["tid"]), (&"other-process".into(), &dump.truth().value("holder").into()));
        assert_eq!((&absent["alive"], &absent["pid"]), (&Value::Null, &Value::Null));
        let told = findings.iter().find(|finding| finding["rule"] == "held-elsewhere").expect("the finding");
        assert_eq!(told["certain"], false);
        assert!(told["evidence"].to_string().contains("whether it is alive, the dump does not tell"), "{told}");
        assert!(!findings.iter().any(|finding| BLAME.iter().any(|rule| finding["rule"] == *rule)), "{findings:#?}");
    }
}

#[test]
fn a_holder_in_another_process_that_has_ended_will_not_give_it_back() {
    let seen = look("glibc", "shared-dead");
    let absent = &seen.lock("shared")["absent"];
    assert_eq!((&absent["why"], &absent["alive"]), (&"ended".into(), &false.into()), "{absent}");
    seen.check_finding("abandoned-lock", "critical", false);
}

#[test]
fn a_lock_that_fork_copied_is_said_to_be_that() {
    for variant in ["glibc", "musl"] {
        let seen = look(variant, "forked");
        let absent = &seen.lock("g_config")["absent"];
        assert_eq!((&absent["why"], &absent["shared"]), (&"before-fork".into(), &false.into()), "{absent}");
        assert_eq!(absent["tid"], seen.value("holder"));
        assert_eq!(absent["pid"], seen.fixture.pid());
        seen.check_finding("forked-lock", "critical", true);
        seen.says_nothing_of(&["abandoned-lock", "stuck", "held-elsewhere"]);
        let advice = seen.finding("forked-lock")["next"]["shows"].to_string();
        assert!(advice.contains("pthread_atfork"), "{advice}");
    }
}

#[test]
fn a_holder_of_this_process_that_has_ended_is_told_apart() {
    let ended = look("glibc", "ended");
    let absent = &ended.lock("g_config")["absent"];
    assert_eq!((&absent["why"], &absent["tid"]), (&"ended".into(), &ended.value("holder").into()), "{absent}");
    ended.check_finding("abandoned-lock", "critical", false);
    // musl marks what a thread held at its end, and keeps no id.
    look("musl", "ended").check_finding("abandoned-lock", "critical", false);
    let first = look("glibc", "first");
    assert_eq!(first.lock("g_config")["absent"]["why"], "first-thread");
    first.check_finding("abandoned-lock", "critical", true);
}

#[test]
fn rings_with_a_time_limit_are_no_certain_deadlocks() {
    // Two hours, of which nothing but the run of this test has passed; musl passes the kernel a span, glibc a moment.
    let about_two_hours = 7_000_000..=7_200_000;
    for (variant, mode, limited, of) in
        [("glibc", "timed", 2, "left_ms"), ("glibc", "timed-one", 1, "left_ms"), ("musl", "timed", 2, "whole_ms")]
    {
        let seen = look(variant, mode);
        let [cycle] = seen.locks["deadlocks"].as_array().expect("cycles").as_slice() else { panic!("one cycle") };
        assert_eq!((&cycle["certain"], &cycle["doubt"]), (&false.into(), &"time-limit".into()), "{variant} {mode}");
        let limits = cycle["limits"].as_array().expect("limits");
        assert_eq!(limits.len(), limited, "{cycle}");
        for limit in limits {
            assert!(about_two_hours.contains(&limit[of].as_u64().unwrap_or(0)), "{variant} {mode}: {limit}");
        }
        seen.check_finding("timed-cycle", "warning", true);
        seen.says_nothing_of(&["deadlock", "stuck", "idle"]);
        let text = dumpscope!("analyze", &seen.core, "--offline", "-c", "locks").expect_status(0).stdout;
        assert!(text.contains("cycle 1") && !text.contains("deadlock 1"), "{text}");
    }
}

#[test]
fn a_cycle_of_priority_inheriting_mutexes_is_found_although_one_thread_was_parked() {
    let seen = look("glibc", "inheriting");
    let [cycle] = seen.locks["deadlocks"].as_array().expect("cycles").as_slice() else { panic!("one cycle") };
    assert_eq!(cycle["certain"], true);
    let mut waited: Vec<Option<u64>> =
        cycle["cycle"].as_array().expect("steps").iter().map(|step| as_address(&step["waits_for"])).collect();
    waited.sort_unstable();
    let mut wanted = ["g_left", "g_right"].map(|name| Some(seen.fixture.truth().lock(name)));
    wanted.sort_unstable();
    assert_eq!(waited, wanted);
    seen.check_finding("deadlock", "critical", true);
}

#[test]
fn a_thread_may_wait_for_itself_where_no_owner_is_recorded() {
    let once = look("glibc", "once");
    let lock = once.lock("g_driver");
    assert_eq!(
        (&lock["owner"]["tid"], &lock["evidence"]),
        (&once.value("dumped").into(), &"inferred:initialiser-frame".into())
    );
    once.check_finding("self-deadlock", "critical", false);
    let signal = look("glibc", "signal");
    let locks = signal.locks["locks"].as_array().expect("locks");
    let arena = locks.iter().find(|lock| lock["kind"] == "libc").expect("the allocator's lock");
    assert_eq!(arena["owner"]["tid"], signal.value("dumped"), "{arena}");
    assert_eq!(arena["evidence"], "inferred:interrupted-code");
    signal.check_finding("self-deadlock", "critical", false);
}

#[test]
fn a_parked_pool_is_a_note_and_workers_that_are_held_up_are_a_warning() {
    let parked = look("glibc", "parked");
    parked.check_finding("parked", "note", false);
    parked.says_nothing_of(&["one-holder", "deadlock"]);
    for mode in ["working", "rebalancing"] {
        let held_up = look("glibc", mode);
        held_up.check_finding("one-holder", "warning", true);
        held_up.says_nothing_of(&["parked"]);
    }
}

#[test]
fn condition_variables_that_are_destroyed_or_that_nobody_signals_are_not_called_right() {
    let destroyed = look("glibc", "destroyed");
    assert_eq!(destroyed.lock("g_news")["kind"], "condvar");
    assert_eq!(destroyed.lock("g_news")["waiters"].as_array().map(Vec::len), Some(2));
    destroyed.check_finding("destroyed-condvar", "critical", true);
    destroyed.says_nothing_of(&["idle", "stuck"]);
    let unsignalled = look("glibc", "unsignalled");
    unsignalled.check_finding("stuck", "note", false);
    unsignalled.says_nothing_of(&["idle"]);
}

#[test]
fn the_first_thread_is_the_dumps_first_although_another_has_a_lower_id() {
    let folder = tempfile::tempdir().expect("a folder");
    let exe = build("holders", "glibc").join("exe");
    // Ids are set back in a namespace of its own, in which the dump is taken, too.
    let script = r#"
        set -e
        mkfifo truth
        "$1" wrapped >truth &
        read -r line <truth
        hex=${line##*\"dumped\":\"0x}
        "$2" collect -p $((16#${hex%%\"*})) --type mini -o core
        echo $((16#${hex%%\"*}))
    "#;
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", script, "bash"]);
    command.arg(exe).arg(env!("CARGO_BIN_EXE_dumpscope")).current_dir(folder.path());
    let output = support::run(command).expect_status(0);
    let first: u64 = output.stdout.lines().last().and_then(|line| line.parse().ok()).expect("its id");
    let output = dumpscope!("analyze", folder.path().join("core"), "--offline", "--json", "-c", "threads");
    let threads = output.expect_status(0).data("threads");
    assert_eq!(threads["threads"][0]["tid"], first, "{threads}");
    assert!(threads["threads"][1]["tid"].as_u64().is_some_and(|other| other < first), "{threads}");
}
