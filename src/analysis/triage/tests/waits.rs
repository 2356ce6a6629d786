//! Waits that nothing is wrong with, that nobody can end, and that are not understood.

use super::*;

#[test]
fn a_process_whose_threads_all_wait_for_work_has_nothing_wrong() {
    let process = Process::default().thread(1, "main", on(CallKind::Epoll, Some("fd 4")), &["run"]).thread(
        2,
        "a",
        for_lock(kinds::CONDVAR, 0xc),
        &["take"],
    );
    assert_eq!(process.titles(), ["all 2 threads wait for work, input or time: nothing looks wrong here?"]);
}

#[test]
fn who_waits_for_something_not_understood_is_never_calm() {
    let process = |waiting| {
        let process = Process::default().thread(1, "main", on(CallKind::Epoll, Some("fd 4")), &["run"]);
        process.thread(2, "a", waiting, &["take"]).titles()
    };
    assert_eq!(
        process(for_lock(kinds::SEMAPHORE, 0xc)),
        ["1 thread waits for something whose owner is not known: 0xc"]
    );
    assert_eq!(
        process(on(CallKind::Other, Some("ioctl"))),
        ["1 thread waits for something whose owner is not known: the system call ioctl"]
    );
    assert_eq!(process(on(CallKind::Write, Some("fd 1"))), ["a writes fd 1: it takes no more for now"]);
    assert_eq!(process(on(CallKind::FileLock, Some("fd 3"))), ["a waits for a file lock on fd 3"]);
    assert_eq!(process(on(CallKind::Child, Some("7 (cc1)"))), ["a waits for a child process, 7 (cc1)"]);
    let mut unread = Process::default().thread(1, "main", on(CallKind::Epoll, None), &["run"]);
    unread = unread.thread(2, "a", None, &[]);
    unread.threads[1].state = ThreadState::Unknown;
    assert!(unread.titles()[0].starts_with("1 thread waits for something whose owner is not known"));
}

#[test]
fn waits_of_a_process_that_is_busy_are_not_told_as_unknown() {
    let process =
        Process::default().thread(1, "main", None, &["run"]).thread(2, "a", for_lock(kinds::SEMAPHORE, 0xc), &["take"]);
    assert!(!process.titles().iter().any(|title| title.contains("not known")), "{:?}", process.titles());
}

#[test]
fn who_joins_a_thread_is_as_calm_as_that_thread() {
    let process = |joined| {
        let process = Process::default().thread(1, "main", for_lock(kinds::JOIN, 0xe), &["stop", "main"]);
        process.thread(2, "worker", joined, &["work"]).end(0xe, 2, &[1]).titles().remove(0)
    };
    assert_eq!(
        process(on(CallKind::Read, Some("fd 7"))),
        "all 2 threads wait for work, input or time: nothing looks wrong here?"
    );
    assert_eq!(process(on(CallKind::Write, Some("fd 7"))), "worker writes fd 7: it takes no more for now");
    assert!(process(on(CallKind::Other, None)).starts_with("1 thread waits for something whose owner"));
}

fn held_by_the_kernel(process: &mut Process, state: HeldState) {
    for thread in &mut process.threads {
        let lost = (state == HeldState::Uninterruptible).then(|| "it did not stop".to_owned());
        let wait_channel = lost.as_ref().map(|_| "nfs_wait".to_owned());
        thread.kernel = Some(Held { state, wait_channel, functions: Vec::new(), lost });
    }
}

#[test]
fn a_stopped_process_is_told_first_and_is_not_calm() {
    let mut process = Process::default().thread(1, "main", on(CallKind::Sleep, None), &["main"]);
    process.stop_signal = Some(20);
    held_by_the_kernel(&mut process, HeldState::Stopped);
    let stopped = "the process is stopped by SIGTSTP: nothing of it runs until SIGCONT wakes it";
    assert_eq!(process.titles(), [stopped]);
    process = process.thread(2, "a", on(CallKind::Write, Some("fd 1")), &["put"]);
    assert_eq!(process.titles()[0], "1 of 2 threads is stopped by SIGTSTP: nothing of it runs until SIGCONT wakes it");
    held_by_the_kernel(&mut process, HeldState::Frozen);
    let frozen = "the process is frozen, with its control group: nothing of it runs until the group is thawed";
    assert_eq!(process.titles()[0], frozen);
}

#[test]
fn a_thread_that_no_signal_wakes_is_told_and_not_once_more_as_unknown() {
    let mut process = Process::default().thread(1, "main", on(CallKind::Other, Some("fsync")), &["main"]);
    held_by_the_kernel(&mut process, HeldState::Uninterruptible);
    assert_eq!(
        process.titles(),
        [
            "its only thread sleeps where no signal wakes it (state D), in the kernel's nfs_wait: it is in the system call fsync"
        ]
    );
}

#[test]
fn who_destroys_a_condition_variable_waits_for_its_waiters() {
    let process = Process::default()
        .thread(1, "main", for_lock(kinds::CONDVAR, 0xc), &["__GI___pthread_cond_destroy", "stop", "main"])
        .thread(2, "reader", for_lock(kinds::CONDVAR, 0xc), &["__pthread_cond_wait", "await_news"]);
    let mut process = process.lock(0xc, "g_news", Owner::None, &[1, 2]);
    process.locks[0].kind = kinds::CONDVAR;
    let words = "main destroys g_news and waits for reader, which still waits on it".to_owned();
    assert_eq!(told(&process), [("destroyed-condvar", Severity::Critical, words)]);
}

#[test]
fn where_only_sleepers_are_left_nothing_is_called_right_and_nothing_wrong() {
    let mut process = Process::default()
        .thread(1, "main", for_lock(kinds::CONDVAR, 0xc), &["wait_ready", "main"])
        .thread(2, "ticker", on(CallKind::Sleep, None), &["tick"])
        .lock(0xc, "g_ready", Owner::None, &[1]);
    process.locks[0].kind = kinds::CONDVAR;
    process.threads[1].state = ThreadState::Sleeping;
    let words =
        "main waits without a limit for condvar g_ready, and no thread is at work that could wake it: ticker sleeps?";
    assert_eq!(told(&process), [("stuck", Severity::Note, words.to_owned())]);
    let mut joins = Process::default()
        .thread(1, "main", for_lock(kinds::JOIN, 0xe), &["stop", "main"])
        .thread(2, "ticker", on(CallKind::Sleep, None), &["tick"])
        .end(0xe, 2, &[1]);
    joins.threads[1].state = ThreadState::Sleeping;
    assert!(!told(&joins).iter().any(|(rule, ..)| *rule == "stuck"), "the sleeper is who ends the wait");
}

#[test]
fn where_every_thread_waits_for_another_none_is_left_to_wake_one() {
    let condvar = |tid: u32| (tid, for_lock(kinds::CONDVAR, 0xc));
    let process = |last: (u32, Option<WaitingOn>)| {
        let first = Process::default().thread(1, "main", for_lock(kinds::JOIN, 0xe), &["stop", "main"]);
        let process = [condvar(2), condvar(3), last]
            .into_iter()
            .fold(first, |process, (tid, waiting)| process.thread(tid, "worker", waiting, &["take"]));
        let mut process = process.lock(0xc, "g_work", Owner::None, &[2, 3, 4]).end(0xe, 2, &[1]);
        process.locks[0].kind = kinds::CONDVAR;
        process
    };
    let words =
        "3 threads wait for condvar g_work, and no thread is left that could wake them: the other one waits, too?";
    assert_eq!(process(condvar(4)).titles(), [words]);
    // One that waits for the world outside, or for a time, may wake the others.
    let calm = "all 4 threads wait for work, input or time: nothing looks wrong here?";
    assert_eq!(process((4, on(CallKind::Epoll, Some("fd 4")))).titles(), [calm]);
    let timed = condvar(4).1.map(|waiting| WaitingOn { within: false, ..waiting });
    assert_eq!(process((4, timed)).titles(), [calm]);
    let mut damaged = process(condvar(4));
    damaged.problems.push(Problem::new("notes-damaged", Subject::Capture, "the notes end early"));
    assert!(!damaged.titles().iter().any(|title| title.contains("no thread is left")), "one may be missing");
}

#[test]
fn a_thread_that_waits_for_a_mutex_alone_is_not_idle() {
    let process = Process::default().thread(1, "main", for_lock(kinds::MUTEX, 0xc), &["run"]);
    assert_eq!(process.titles(), ["its only thread waits for 0xc, and there is no other that could wake it?"]);
}

#[test]
fn a_hundred_equal_stacks_are_an_explosion() {
    let mut process = Process::default();
    for tid in 1..=120 {
        process = process.thread(tid, "t", on(CallKind::Read, None), &["serve", "main"]);
    }
    assert_eq!(process.titles()[0], "120 of 120 threads have the same stack: each reads");
}
