//! Threads that wait for each other, and when such a cycle is certain.

use super::*;

#[test]
fn a_deadlock_is_told_with_threads_and_locks_by_name() {
    let process = Process::default()
        .thread(3, "worker-3", for_lock(kinds::MUTEX, 0xb), &["reserve(Order&)", "dispatch()"])
        .thread(7, "worker-7", for_lock(kinds::MUTEX, 0xa), &["commit()", "dispatch()"])
        .thread(9, "worker-9", for_lock(kinds::MUTEX, 0xa), &["commit()"])
        .lock(0xa, "g_orders", held(3), &[7, 9])
        .lock(0xb, "g_stock", held(7), &[3]);
    let [found] = process.verdict().try_into().unwrap();
    assert_eq!(
        found.title.to_string(),
        "deadlock: worker-3 waits for g_stock (held by worker-7), worker-7 waits for g_orders (held by worker-3)"
    );
    assert_eq!((found.severity, found.certain), (Severity::Critical, true));
    let evidence: Vec<String> = found.evidence.iter().map(|fact| fact.text.to_string()).collect();
    assert_eq!(
        evidence,
        ["worker-3: reserve ◂ dispatch", "worker-7: commit ◂ dispatch", "1 more thread waits behind it: worker-9"]
    );
}

#[test]
fn an_inferred_owner_makes_a_deadlock_likely_and_says_so() {
    let process = Process::default()
        .thread(3, "a", for_lock(kinds::MUTEX, 0xb), &["f"])
        .thread(7, "b", for_lock(kinds::MUTEX, 0xa), &["g"])
        .lock(0xa, "x", Owner::Inferred(Tid(3)), &[7])
        .lock(0xb, "y", held(7), &[3]);
    let found = process.verdict();
    assert!(!found[0].certain);
    assert!(found[0].evidence.iter().any(|fact| fact.text.to_string().contains("that a holds x is inferred")));
}

#[test]
fn a_deadlock_through_a_reader_is_likely_and_says_that_it_reads() {
    let process = Process::default()
        .thread(3, "clerk", for_lock(kinds::MUTEX, 0xb), &["f"])
        .thread(5, "visitor", on(CallKind::Read, Some("fd 3")), &["h"])
        .thread(7, "editor", for_lock(kinds::RWLOCK, 0xa), &["g"])
        .read(0xa, "catalogue", &[3, 5], &[7])
        .lock(0xb, "till", held(7), &[3]);
    let [found] = process.verdict().try_into().expect("the other reader is no finding of its own");
    assert_eq!(
        found.title.to_string(),
        "deadlock: clerk waits for till (held by editor), editor waits for catalogue (held by clerk)"
    );
    assert!(!found.certain);
    let says = "that clerk holds catalogue for reading is inferred: the lock counts its readers and names none";
    assert!(found.evidence.iter().any(|fact| fact.text.to_string() == says), "{:?}", found.evidence);
}

#[test]
fn a_thread_that_waits_for_its_own_lock_is_a_self_deadlock() {
    let process =
        Process::default().thread(3, "a", for_lock(kinds::MUTEX, 0xa), &["f"]).lock(0xa, "g_m", held(3), &[3]);
    assert_eq!(process.titles(), ["self-deadlock: a waits for g_m, which it holds itself"]);
}

fn for_turn(address: u64) -> Option<WaitingOn> {
    let detail = Some("the GIL of Python; py-spy dump tells who runs".to_owned());
    for_lock(kinds::CONDVAR, address).map(|waiting| WaitingOn { detail, nature: Nature::Turn, ..waiting })
}

#[test]
fn the_only_thread_inside_of_the_interpreter_has_the_turn_that_others_wait_for() {
    let callback = ["take_gil", "PyGILState_Ensure", "refill"];
    let process = Process::default()
        .thread(1, "main", for_lock(kinds::MUTEX, 0xa), &["cache_get", "_PyEval_EvalFrameDefault", "main"])
        .thread(2, "refill", for_turn(0xb), &callback)
        .thread(3, "poller", on(CallKind::Poll, Some("fd 3")), &["poll"])
        .lock(0xa, "g_cache_mu", held(2), &[1]);
    let found = process.verdict();
    assert_eq!(
        found[0].title.to_string(),
        "deadlock: refill waits for the GIL of Python, which main has: it waits for g_cache_mu, held by refill"
    );
    assert_eq!((found[0].severity, found[0].certain), (Severity::Critical, false));
    let busy = Process::default().thread(1, "main", None, &["sum", "_PyEval_EvalFrameDefault", "main"]).thread(
        2,
        "refill",
        for_turn(0xb),
        &callback,
    );
    let found = busy.verdict();
    let turn = found.iter().find(|finding| finding.rule == "waits-outside").expect("the wait is told");
    assert_eq!(turn.title.to_string(), "refill waits for the GIL of Python, which main has: it is in sum");
    assert_eq!(turn.severity, Severity::Note, "turns are taken while one runs");
}

#[test]
fn who_joins_a_thread_waits_for_its_end_and_not_for_what_it_holds() {
    let cycle = Process::default()
        .thread(1, "main", for_lock(kinds::JOIN, 0xe), &["stop", "main"])
        .thread(2, "worker", for_lock(kinds::MUTEX, 0xa), &["work"])
        .lock(0xa, "g_m", held(1), &[2])
        .end(0xe, 2, &[1]);
    assert_eq!(cycle.titles(), ["deadlock: main waits for the end of worker, worker waits for g_m (held by main)"]);
    let chain = Process::default()
        .thread(1, "main", for_lock(kinds::JOIN, 0xe), &["stop", "main"])
        .thread(2, "other", for_lock(kinds::JOIN, 0xe), &["stop"])
        .thread(3, "worker", on(CallKind::Read, Some("fd 7")), &["work"])
        .end(0xe, 3, &[1, 2]);
    assert_eq!(chain.titles(), ["2 threads wait for the end of worker, which reads fd 7"]);
    let spins = Process::default()
        .thread(1, "main", for_lock(kinds::JOIN, 0xe), &["stop", "main"])
        .thread(3, "worker", None, &["work"])
        .end(0xe, 3, &[1]);
    assert_eq!(spins.titles(), ["worker runs in work while another thread waits for its end?"]);
}

/// a and b each hold what the other wants.
fn crossed(limits: [Option<Option<u64>>; 2]) -> Process {
    let mut process = Process::default()
        .thread(3, "a", for_lock(kinds::MUTEX, 0xb), &["move"])
        .thread(7, "b", for_lock(kinds::MUTEX, 0xa), &["move"])
        .lock(0xa, "g_a", held(3), &[7])
        .lock(0xb, "g_b", held(7), &[3]);
    let limit =
        |tid, left: Option<Option<u64>>| left.map(|left_ms| TimeLimit { tid: Tid(tid), left_ms, whole_ms: None });
    process.locks[0].limits.extend(limit(7, limits[1]));
    process.locks[1].limits.extend(limit(3, limits[0]));
    process
}

#[test]
fn a_cycle_of_waits_with_time_limits_is_no_deadlock() {
    let told = |limits| {
        let [(rule, severity, title)] = told(&crossed(limits)).try_into().expect("one finding");
        assert_eq!((rule, severity), ("timed-cycle", Severity::Warning), "{title}");
        title
    };
    let cycle = "a waits for g_b (held by b), b waits for g_a (held by a)";
    assert_eq!(
        told([Some(Some(1900)), Some(Some(1400))]),
        format!("a cycle of waits that ends by itself: {cycle}; each waits at most 1.9 s more")
    );
    assert_eq!(
        told([Some(Some(1900)), Some(Some(60_000))]),
        format!("a cycle of waits that ends by itself: {cycle}; each waits at most 1 min more, the first 1.9 s")
    );
    assert_eq!(
        told([Some(Some(1900)), None]),
        format!("a cycle of waits that ends by itself: {cycle}; a waits at most 1.9 s more")
    );
    assert_eq!(
        told([None, Some(Some(86_400_000))]),
        format!("a cycle of waits that ends only in 1 day: {cycle}; b waits at most 1 day more")
    );
    assert_eq!(
        told([Some(None), Some(None)]),
        format!(
            "a cycle of waits that ends by itself: {cycle}; each waits only until a time that the dump does not tell"
        )
    );
    assert_eq!(crossed([None, None]).verdict()[0].rule, "deadlock");
}
