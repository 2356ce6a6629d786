//! Threads that wait for one that holds what they want, or that is no thread of the process.

use super::*;

#[test]
fn many_who_wait_for_one_are_told_with_what_that_one_does() {
    let process = Process::default()
        .thread(1, "main", on(CallKind::Read, Some("fd 7")), &["fetch", "main"])
        .thread(2, "a", for_lock(kinds::MUTEX, 0xa), &["f"])
        .thread(3, "b", for_lock(kinds::MUTEX, 0xa), &["f"])
        .lock(0xa, "g_pool_mu", held(1), &[2, 3]);
    assert_eq!(process.titles(), ["2 threads wait for g_pool_mu, held by main, which reads fd 7"]);
}

#[test]
fn readers_that_hold_one_lock_are_one_finding() {
    let process = Process::default()
        .thread(1, "main", on(CallKind::Read, Some("fd 7")), &["fetch", "main"])
        .thread(2, "a", for_lock(kinds::RWLOCK, 0xa), &["f"])
        .thread(3, "b", for_lock(kinds::RWLOCK, 0xa), &["f"])
        .thread(4, "c", on(CallKind::Read, Some("fd 7")), &["fetch"])
        .read(0xa, "g_prices", &[1, 4], &[2, 3]);
    assert_eq!(
        process.titles(),
        ["2 threads wait for g_prices, held by main, which reads fd 7, and by 1 more reader?"]
    );
}

#[test]
fn a_thread_that_runs_while_others_wait_for_it_may_spin() {
    let process = Process::default()
        .thread(1, "main", None, &["recalculate", "main"])
        .thread(2, "a", for_lock(kinds::MUTEX, 0xa), &["f"])
        .lock(0xa, "g_m", held(1), &[2]);
    assert_eq!(process.titles(), ["main runs in recalculate while another thread waits for what it holds?"]);
}

#[test]
fn a_lock_whose_holder_has_ended_is_never_given_back() {
    let mut process = Process::default()
        .thread(1, "main", for_lock(kinds::MUTEX, 0xa), &["pay", "main"])
        .thread(2, "a", for_lock(kinds::MUTEX, 0xa), &["pay"])
        .lock(0xa, "g_till", Owner::Unknown(Gap::NotRecorded("the lock names thread 9".to_owned())), &[1, 2]);
    process.locks[0].evidence = Evidence::OWNER_GONE;
    process.locks[0].absent = Some(absent(9, Absence::Ended, false, Some(false)));
    assert_eq!(
        process.titles(),
        ["2 threads wait for g_till, whose holder ended without giving it back?"],
        "and who holds it is not asked once more"
    );
    let says_it = |process: &Process| process.titles().iter().any(|title| title.contains("holder ended"));
    process.problems.push(Problem::new("notes-damaged", Subject::Capture, "the notes end early"));
    assert!(!says_it(&process), "the holder may be among the threads that are missing");
    process.problems.clear();
    for thread in &mut process.threads {
        thread.waiting_on = thread.waiting_on.take().map(|waiting| WaitingOn { within: false, ..waiting });
    }
    assert!(!says_it(&process), "another process may share the lock, or the wait ends by itself");
}

fn absent(tid: u32, why: Absence, certain: bool, shared: Option<bool>) -> Absent {
    Absent { tid, why, certain, alive: None, pid: None, process: None, shared }
}

/// main waits for a lock whose holder is no thread of the process.
fn waits_for_absent(absent: Absent, within: bool) -> Process {
    let waiting = for_lock(kinds::MUTEX, 0xa).map(|waiting| WaitingOn { within, ..waiting });
    let mut process = Process::default()
        .thread(1, "main", waiting, &["pay", "main"])
        .thread(2, "clerk", on(CallKind::Read, Some("fd 4")), &["serve"])
        .lock(0xa, "g_till", Owner::Unknown(Gap::Absent("held by another".to_owned())), &[1]);
    process.locks[0].evidence = Evidence::OWNER_GONE;
    process.locks[0].absent = Some(absent);
    process
}

#[test]
fn a_lock_that_another_process_holds_is_not_abandoned() {
    let alive = Absent {
        alive: Some(true),
        pid: Some(400),
        process: Some("shop".to_owned()),
        ..absent(402, Absence::OtherProcess, true, Some(true))
    };
    let titles = |absent: Absent| told(&waits_for_absent(absent, false));
    let words = "main waits for g_till, held by process 400 (shop), thread 402".to_owned();
    assert_eq!(titles(alive.clone()), [("held-elsewhere", Severity::Warning, words)]);
    let unseen = absent(402, Absence::OtherProcess, false, Some(true));
    let words = "main waits for g_till, held by thread 402 of another process?".to_owned();
    assert_eq!(titles(unseen), [("held-elsewhere", Severity::Warning, words)]);
    let dead = Absent { alive: Some(false), ..absent(402, Absence::Ended, false, Some(true)) };
    let words =
        "main waits for g_till, whose holder was in another process and has ended without giving it back?".to_owned();
    assert_eq!(titles(dead), [("abandoned-lock", Severity::Critical, words)]);
}

#[test]
fn a_lock_that_fork_copied_while_another_thread_held_it_is_said_to_be_that() {
    let parents = Absent {
        alive: Some(true),
        pid: Some(400),
        process: Some("shop".to_owned()),
        ..absent(402, Absence::BeforeFork, true, Some(false))
    };
    let words = "main waits for g_till, which thread 402 of process 400 (shop) held when fork copied it";
    let process = waits_for_absent(parents.clone(), true);
    assert_eq!(told(&process), [("forked-lock", Severity::Critical, words.to_owned())]);
    let older = absent(402, Absence::BeforeFork, false, Some(false));
    let words = "main waits for g_till, which thread 402 held when fork copied it?".to_owned();
    assert_eq!(told(&waits_for_absent(older, true)), [("forked-lock", Severity::Critical, words)]);
    assert_eq!(told(&waits_for_absent(parents, false)), [], "its wait ends by itself");
}

#[test]
fn what_the_first_thread_held_when_it_ended_is_certain() {
    let first = absent(1, Absence::FirstThread, true, Some(false));
    let words = "main waits for g_till, which the process's first thread held when it ended".to_owned();
    assert_eq!(told(&waits_for_absent(first, true)), [("abandoned-lock", Severity::Critical, words)]);
}

/// main waits for events and holds a lock for each of three workers, which wait in `function`, started with `worker`.
fn gates(function: &str, addresses: [u64; 3]) -> Process {
    let process = Process::default().thread(1, "main", on(CallKind::Epoll, Some("fd 5")), &["poll", "main"]);
    let mut process = addresses.into_iter().zip(2u32..).fold(process, |process, (address, tid)| {
        let process = process.thread(tid, &format!("io-{tid}"), for_lock(kinds::MUTEX, address), &[function, "worker"]);
        process.lock(address, "g_gates", held(1), &[tid])
    });
    for thread in process.threads.iter_mut().skip(1) {
        thread.start = Some("worker(int)".to_owned());
    }
    process
}

#[test]
fn a_pool_whose_threads_each_wait_for_a_lock_of_their_own_is_parked() {
    let rules =
        |process: &Process| told(process).iter().map(|(rule, severity, _)| (*rule, *severity)).collect::<Vec<_>>();
    let array = [0x1000, 0x1028, 0x1050];
    assert_eq!(rules(&gates("worker", array)), [("parked", Severity::Note)]);
    let blamed = [("one-holder", Severity::Warning)];
    assert_eq!(rules(&gates("update", array)), blamed, "they wait in the midst of their work");
    assert_eq!(rules(&gates("worker", [0x1000, 0x1028, 0x1060])), blamed, "no array");
    let taken = Process { taken: vec![Addr(0x1028)], ..gates("worker", array) };
    assert_eq!(rules(&taken), blamed, "a function that has not returned took them");
    let mut reading = gates("worker", array);
    reading.threads[0].waiting_on = on(CallKind::Read, Some("fd 5"));
    assert_eq!(rules(&reading), blamed, "the holder waits for an answer and not for work");
}
