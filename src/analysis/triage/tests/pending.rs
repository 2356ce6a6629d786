//! Threads that block on tasks.

use super::*;
use crate::model::{FailedWork, Gap, Need, NotLooked, OwnQueue, Pool, WorkEnd, WorkWait};

fn wait(tid: u32, functions: &[&str], end: WorkEnd) -> WorkWait {
    let functions = functions.iter().map(|name| Arc::from(*name)).collect();
    WorkWait { tid: Tid(tid), functions, end, need: Need::This, limit: Ok(None) }
}

/// Found in the queue at 0x20 of the context at 0x10, if nothing is said against that.
fn own_queue(doubt: Option<&'static str>) -> WorkEnd {
    let type_name = Some("Shop.Desk".to_owned());
    WorkEnd::OwnQueue(OwnQueue { context: Addr(0x10), type_name, queue: Some(Addr(0x20)), doubt })
}

fn waiting(waits: Vec<WorkWait>) -> Process {
    process(PendingWork { waits, ..PendingWork::default() })
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
        unread: None,
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
    let told = waiting(vec![wait(2, &["Shop.Load", "Shop.Show"], own_queue(None))]);
    let title = "deadlock: desk waits for Shop.Show, which goes on in this thread itself: its next piece of work is in the thread's own queue";
    assert_eq!(told.titles(), [title], "and nobody says that all is well");
    let finding = &told.verdict()[0];
    assert_eq!((finding.severity, finding.certain), (Severity::Critical, true));
    let evidence: Vec<String> = finding.evidence.iter().map(|fact| fact.text.to_string()).collect();
    let chain = "what it waits for: Shop.Load ◂ awaited by Shop.Show, which is queued for this thread";
    let place = "it is in the queue 0x20 of the thread's context, Shop.Desk 0x10";
    assert_eq!(evidence[..2], [chain, place]);
}

#[test]
fn a_queue_that_others_may_take_from_is_no_certain_deadlock() {
    let doubt = "methods of other threads hold the queue, too";
    let told = waiting(vec![wait(2, &["Shop.Show"], own_queue(Some(doubt)))]);
    let finding = &told.verdict()[0];
    assert_eq!((finding.rule, finding.severity, finding.certain), ("own-queue", Severity::Warning, false));
    assert!(finding.evidence.iter().any(|fact| fact.text.to_string() == doubt));
    // Nor is one where nothing but references leads to what is waited for.
    let WorkEnd::OwnQueue(known) = own_queue(Some("no queue has it")) else { unreachable!() };
    let reached = WorkEnd::OwnQueue(OwnQueue { queue: None, ..known });
    let told = waiting(vec![wait(2, &["Shop.Show"], reached)]);
    let finding = &told.verdict()[0];
    assert_eq!((finding.severity, finding.certain), (Severity::Warning, false));
    let place = "objects of the thread's context refer to it, Shop.Desk 0x10";
    assert!(finding.evidence.iter().any(|fact| fact.text.to_string() == place));
}

#[test]
fn a_wait_that_ends_by_itself_is_no_deadlock() {
    let limit = TimeLimit { tid: Tid(2), left_ms: None, whole_ms: Some(50) };
    let timed = WorkWait { limit: Ok(Some(limit)), ..wait(2, &["Shop.Show"], own_queue(None)) };
    let told = waiting(vec![timed]);
    let title = "desk waits at most 50 ms for Shop.Show, which goes on in this thread itself, and so not before the wait is over?";
    assert!(told.titles().contains(&title.to_owned()), "{:?}", told.titles());
    assert!(!told.verdict().iter().any(|finding| finding.severity == Severity::Critical));
    // Nor is one certain of which that is not known.
    let unknown = Err(Gap::NotRecorded("a wait of the thread for that".to_owned()));
    let told = waiting(vec![WorkWait { limit: unknown, ..wait(2, &["Shop.Show"], own_queue(None)) }]);
    assert_eq!((told.verdict()[0].severity, told.verdict()[0].certain), (Severity::Warning, false));
    let why = "whether its wait ends by itself is not known: not recorded";
    assert!(told.verdict()[0].evidence.iter().any(|fact| fact.text.to_string().starts_with(why)));
}

#[test]
fn a_thread_that_needs_one_of_several_is_kept_by_all_of_them_alone() {
    let one_of = |end| WorkWait { need: Need::OneOf(Addr(0x30)), ..wait(2, &["Shop.Any"], end) };
    let delay = || WorkEnd::Other("delay 100 ms".to_owned());
    let speaks = |told: &Process| told.verdict().iter().any(|finding| finding.rule == "own-queue");
    assert!(!speaks(&waiting(vec![one_of(own_queue(None)), one_of(delay())])));
    let all = waiting(vec![one_of(own_queue(None)), one_of(own_queue(None))]);
    assert!(all.verdict()[0].certain);
    // One more may be in what could not be read.
    let missing = vec!["1 tasks cannot be read: not in the dump".to_owned()];
    let waits = || vec![one_of(own_queue(None))];
    let told = process(PendingWork { waits: waits(), missing, ..PendingWork::default() });
    assert!(!told.verdict().iter().any(|finding| finding.rule == "own-queue" && finding.certain));
    // Of those that it needs all of, one is enough; what something else may end keeps nobody.
    assert!(speaks(&waiting(vec![wait(2, &["Shop.All"], own_queue(None)), wait(2, &["Shop.All"], delay())])));
    assert!(!speaks(&waiting(vec![WorkWait { need: Need::Nothing, ..wait(2, &["Shop.Show"], own_queue(None)) }])));
}

#[test]
fn one_whose_queue_will_have_it_is_told_before_it_happens() {
    let told = waiting(vec![wait(2, &["Shop.Show"], WorkEnd::OwnQueueAfter("delay 100 ms".to_owned()))]);
    let title = "desk waits for Shop.Show, which is to go on in this thread itself once it has what it waits for: delay 100 ms?";
    assert_eq!(told.titles(), [title]);
    assert!(!told.verdict()[0].certain, "where the context runs what is posted to it, its own code says");
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
    let none = Pool { queued: 0, ..pool(2, 2, &[1, 2]) };
    assert!(!of(none.clone()).titles().iter().any(|title| title.contains("pool")));
    // Of a queue that could not be read nobody knows that it is empty.
    let unread = Some(Gap::NotRecorded("its head".to_owned()));
    let told = of(Pool { unread: unread.clone(), ..none });
    assert_eq!(told.titles(), [full]);
    let numbers = "2 block on tasks; at least 0 pieces of work wait in the queue";
    assert!(told.verdict()[0].evidence[0].text.to_string().ends_with(numbers));
    // Nor is one said to be busy that may have nothing to do.
    let busy =
        process(PendingWork { pools: vec![Pool { queued: 0, unread, ..pool(2, 2, &[]) }], ..PendingWork::default() });
    assert!(!busy.titles().iter().any(|title| title.contains("pool")));
}

#[test]
fn a_pool_whose_threads_wait_for_a_while_only_starves() {
    let limit = |tid| TimeLimit { tid: Tid(tid), left_ms: None, whole_ms: Some(50) };
    let timed = |tid| WorkWait { limit: Ok(Some(limit(tid))), ..wait(tid, &["Shop.Price"], WorkEnd::PoolQueue) };
    let of = |waits| process(PendingWork { waits, pools: vec![pool(2, 2, &[1, 2])], ..PendingWork::default() });
    let starves = "the thread pool starves: 2 of its 2 threads wait for work that is in its own queue";
    assert_eq!(of(vec![timed(1), timed(2)]).titles(), [starves]);
    // With `Task.WhenAny` one that is not in the queue is enough.
    let one_of = |end| WorkWait { need: Need::OneOf(Addr(0x30)), ..wait(1, &["Shop.Any"], end) };
    let free = vec![one_of(WorkEnd::PoolQueue), one_of(WorkEnd::Other("delay".to_owned()))];
    assert!(!of(free).titles().iter().any(|title| title.contains("starves")));
}

#[test]
fn a_pool_is_not_certain_to_stand_still_where_a_wait_is_not_known_to_last() {
    let gap = || Err(Gap::NotRecorded("a wait of the thread for that".to_owned()));
    let unknown = |tid| WorkWait { limit: gap(), ..wait(tid, &["Shop.Price"], WorkEnd::PoolQueue) };
    let queued = |tid| wait(tid, &["Shop.Price"], WorkEnd::PoolQueue);
    let of = |waits, pool| process(PendingWork { waits, pools: vec![pool], ..PendingWork::default() });
    // Both, or one of them, refer to what they would wait for, and may not wait.
    for waits in [vec![unknown(1), unknown(2)], vec![queued(1), unknown(2)]] {
        let told = of(waits, pool(2, 2, &[1, 2]));
        let finding = &told.verdict()[0];
        assert_eq!((finding.severity, finding.certain), (Severity::Warning, false), "{}", finding.title);
        let why = "whether its wait ends by itself is not known: not recorded: a wait of the thread for that";
        assert!(finding.evidence.iter().any(|fact| fact.text.to_string() == why));
    }
    // As many as the pool may have wait for ever, whatever another does.
    let finding = of(vec![queued(1), queued(2), unknown(3)], pool(3, 2, &[1, 2, 3])).verdict().remove(0);
    assert_eq!((finding.severity, finding.certain), (Severity::Critical, true));
    // Who waits for a while waits all the same, and for how long is told.
    let limit = |tid| TimeLimit { tid: Tid(tid), left_ms: None, whole_ms: Some(50) };
    let timed = |tid| WorkWait { limit: Ok(Some(limit(tid))), ..queued(tid) };
    let finding = of(vec![timed(1), queued(2)], pool(2, 2, &[1, 2])).verdict().remove(0);
    assert_eq!((finding.severity, finding.certain), (Severity::Warning, true));
    let ends = "its wait ends by itself: it waits at most 50 ms";
    assert_eq!(finding.evidence.iter().filter(|fact| fact.text.to_string() == ends).count(), 1);
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
    let missing =
        vec!["2 tasks cannot be read: not in the dump".to_owned(), "the thread pool cannot be read".to_owned()];
    let told = process(PendingWork { missing, ..PendingWork::default() });
    let title = "not all asynchronous work could be read: 2 tasks cannot be read: not in the dump".to_owned();
    assert!(told.titles().contains(&title), "{:?}", told.titles());
    let finding = told.verdict().into_iter().find(|finding| finding.rule == "unread-work").expect("it was told");
    assert_eq!(finding.evidence[0].text.to_string(), "the thread pool cannot be read");
}
