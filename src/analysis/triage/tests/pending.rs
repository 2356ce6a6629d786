//! Threads that block on tasks.

use super::*;
use crate::model::{FailedWork, NotLooked, Pool, WorkEnd, WorkWait};

fn wait(tid: u32, functions: &[&str], end: WorkEnd) -> WorkWait {
    WorkWait { tid: Tid(tid), functions: functions.iter().map(|name| Arc::from(*name)).collect(), end }
}

fn pool(threads: u64, most: u64, blocked: &[u32]) -> Pool {
    Pool {
        name: "the thread pool",
        least: 2,
        most,
        threads,
        working: threads,
        blocked: blocked.iter().copied().map(Tid).collect(),
        queued: 7,
        command: "threadpoolqueue",
    }
}

fn process(pending: PendingWork) -> Process {
    let sleeps = || on(CallKind::Sleep, None);
    let process = Process { pending, ..Process::default() };
    process.thread(1, "main", sleeps(), &["main"]).thread(2, "desk", sleeps(), &["Show", "Run"])
}

#[test]
fn a_thread_whose_own_queue_has_what_it_waits_for_is_a_deadlock() {
    let waits = vec![wait(2, &["Shop.Load", "Shop.Show"], WorkEnd::OwnQueue)];
    let told = process(PendingWork { waits, ..PendingWork::default() });
    let title = "deadlock: desk waits for Shop.Show, which goes on in this thread itself: its next piece of work is in the thread's own queue";
    assert_eq!(told.titles(), [title], "and nobody says that all is well");
    let finding = &told.verdict()[0];
    assert_eq!(finding.severity, Severity::Critical);
    let chain = "what it waits for: Shop.Load ◂ awaited by Shop.Show, which is queued for this thread";
    assert_eq!(finding.evidence[0].text.to_string(), chain);
}

#[test]
fn one_whose_queue_will_have_it_is_told_before_it_happens() {
    let waits = vec![wait(2, &["Shop.Show"], WorkEnd::OwnQueueAfter("delay 100 ms".to_owned()))];
    let told = process(PendingWork { waits, ..PendingWork::default() });
    let title =
        "desk waits for Shop.Show, which is to go on in this thread itself once it has what it waits for: delay 100 ms";
    assert_eq!(told.titles(), [title]);
}

#[test]
fn a_pool_whose_threads_all_wait_for_its_queue_stands_still() {
    let waits = || vec![wait(1, &["Shop.Price"], WorkEnd::PoolQueue), wait(2, &["Shop.Price"], WorkEnd::PoolQueue)];
    let of = |pool| process(PendingWork { waits: waits(), pools: vec![pool], ..PendingWork::default() });
    let full =
        "deadlock: all 2 threads of the thread pool wait for work that is in its own queue, and it may have no more";
    assert_eq!(of(pool(2, 2, &[1, 2])).titles(), [full]);
    let numbers =
        "threads: 2 at least, 2 at most, 2 there, 2 work, 2 block on tasks; 7 pieces of work wait in the queue";
    assert_eq!(of(pool(2, 2, &[1, 2])).verdict()[0].evidence[0].text.to_string(), numbers);
    // It may have more threads, or has others that work.
    let starves =
        |threads| format!("the thread pool starves: 2 of its {threads} threads wait for work that is in its own queue");
    assert_eq!(of(pool(2, 100, &[1, 2])).titles(), [starves(2)]);
    assert_eq!(of(pool(3, 3, &[1, 2])).titles(), [starves(3)]);
    let mut none = pool(2, 2, &[1, 2]);
    none.queued = 0;
    assert!(!of(none).titles().iter().any(|title| title.contains("pool")));
}

#[test]
fn failures_that_nobody_saw_and_work_that_nobody_looked_at_are_told() {
    let failed = |message: &str| FailedWork {
        address: Addr(0x10),
        type_name: Some("Shop.OutOfStock".to_owned()),
        message: Some(message.to_owned()),
        function: Some("Shop.Fail".into()),
    };
    let told = process(PendingWork { failed: vec![failed("no pears"), failed("no plums")], ..PendingWork::default() });
    let title = "2 tasks failed, and nobody has looked, the first: Shop.OutOfStock: no pears";
    assert!(told.titles().contains(&title.to_owned()), "{:?}", told.titles());
    let not_read = Some(NotLooked { why: "the managed heap has 3072 MiB".to_owned(), command: Some("dumpasync") });
    let told = process(PendingWork { not_read, ..PendingWork::default() });
    let title = "asynchronous work was not looked at: the managed heap has 3072 MiB".to_owned();
    assert!(told.titles().contains(&title), "{:?}", told.titles());
}
