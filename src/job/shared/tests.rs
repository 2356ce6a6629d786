use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};
use std::time::Duration;

use rayon::prelude::*;

use super::*;

/// Far longer than any of this takes; what does not come by then never does.
const NEVER: Duration = Duration::from_secs(60);

/// Runs `work` on a thread of its own; panics where it does not end.
fn ends<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || done.send(work()));
    ended.recv_timeout(NEVER).expect("it hangs")
}

#[test]
fn it_is_computed_once_for_all_who_ask() {
    let (shared, computed) = (Shared::default(), AtomicUsize::new(0));
    let together = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                together.wait();
                let value = shared.get(&Job::default(), |_| {
                    computed.fetch_add(1, Ordering::SeqCst);
                    Ok(7)
                });
                assert_eq!(*value.expect("a value"), 7);
            });
        }
    });
    assert_eq!(computed.into_inner(), 1);
    assert_eq!(shared.known().as_deref(), Some(&7));
}

#[test]
fn who_waits_is_told_when_its_own_job_is_cancelled_and_the_work_goes_on() {
    let value = ends(|| {
        let shared = Shared::default();
        let (started, go_on) = (Barrier::new(2), Barrier::new(2));
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                shared.get(&Job::default(), |work| {
                    started.wait();
                    go_on.wait();
                    work.check().map(|()| 7)
                })
            });
            started.wait();
            let waiting = Job::default();
            waiting.cancel();
            let refused = shared.get(&waiting, |_| Ok(8));
            assert!(matches!(refused, Err(Error::Cancelled)));
            let later = Job::default();
            scope.spawn({
                let later = later.clone();
                let (shared, go_on) = (&shared, &go_on);
                move || {
                    while later.0.awaited.lock().expect("no panic").is_empty() {
                        std::thread::yield_now();
                    }
                    later.cancel();
                    // The asker has gone before the work ends.
                    while !later.0.awaited.lock().expect("no panic").is_empty() {
                        std::thread::yield_now();
                    }
                    assert!(shared.known().is_none());
                    go_on.wait();
                }
            });
            assert!(matches!(shared.get(&later, |_| Ok(9)), Err(Error::Cancelled)));
            first.join().expect("no panic")
        })
    });
    assert_eq!(*value.expect("the first asker was not cancelled"), 7);
}

#[test]
fn the_work_goes_on_for_others_when_who_began_it_is_cancelled_and_stops_with_the_last() {
    ends(|| {
        let shared: Shared<u32> = Shared::default();
        let (first, second) = (Job::default(), Job::default());
        let (started, joined) = (Barrier::new(2), Barrier::new(2));
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                shared.get(&first, |work| {
                    work.phase("adding", 10);
                    started.wait();
                    joined.wait();
                    first.cancel();
                    assert!(!work.is_cancelled(), "another still waits for it");
                    second.cancel();
                    work.advance(1).map(|()| 7)
                })
            });
            started.wait();
            let waiter = scope.spawn(|| shared.get(&second, |_| Ok(8)));
            while second.0.awaited.lock().expect("no panic").is_empty() {
                std::thread::yield_now();
            }
            assert_eq!(second.progress().phase, "adding", "who waits sees how far the work is");
            joined.wait();
            assert!(matches!(worker.join().expect("no panic"), Err(Error::Cancelled)));
            assert!(matches!(waiter.join().expect("no panic"), Err(Error::Cancelled)));
        });
        assert!(shared.known().is_none(), "what was cancelled is not kept");
        assert_eq!(*shared.get(&Job::default(), |_| Ok(9)).expect("a value"), 9);
        assert!(first.0.awaited.lock().expect("no panic").is_empty());
    });
}

#[test]
fn who_waits_begins_anew_where_the_work_failed_or_panicked() {
    ends(|| {
        let shared = Shared::default();
        let failed = shared.get(&Job::default(), |_| Err(Error::Failed("no".to_owned())));
        assert!(failed.is_err());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            shared.get(&Job::default(), |_| -> Result<u32, Error> { panic!("planted") })
        }));
        assert!(panicked.is_err());
        assert_eq!(*shared.get(&Job::default(), |_| Ok(3)).expect("a value"), 3);
    });
}

#[test]
fn threads_of_the_pool_that_steal_work_which_asks_for_the_same_answer_do_not_hang() {
    ends(|| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(64).build().expect("a pool");
        // Pieces of the work go to other threads, and who waits for them takes up another that asks.
        let piece = |number: u64| {
            (0..10).for_each(|_| std::thread::yield_now());
            number
        };
        for _ in 0..4 {
            let shared = Shared::default();
            pool.install(|| {
                (0..64).into_par_iter().for_each(|_| {
                    let value = shared.get(&Job::default(), |_| Ok((0..16).into_par_iter().map(piece).sum::<u64>()));
                    assert_eq!(*value.expect("a value"), 120);
                });
            });
        }
    });
}
