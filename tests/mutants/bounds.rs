//! What one mutant may take.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many of each kind.
pub(crate) const MUTANTS: u64 = 1000;
/// One in this many mutants is asked every question.
pub(crate) const THOROUGH: u64 = 10;
/// How much more memory than before them mutants may need, in KiB.
const MEMORY_KIB: u64 = 512 << 10;

/// Whether one mutant alone is wanted.
pub(crate) fn is_alone() -> bool {
    only().is_some()
}

fn only() -> Option<u64> {
    std::env::var("MUTANT").ok().and_then(|number| number.parse().ok())
}

/// Makes and asks each mutant of those with these numbers; `limit` is the longest that one may take. `one` notes what it did to it.
pub(crate) fn each(numbers: impl Iterator<Item = u64>, limit: Duration, mut one: impl FnMut(u64, &mut String)) {
    let current = Arc::new(AtomicU64::new(0));
    watch(Arc::clone(&current), limit);
    let before = peak_memory();
    for number in numbers.filter(|number| only().is_none_or(|only| only == *number)) {
        current.store(number, Ordering::Relaxed);
        let mut done = String::new();
        let start = processor_time();
        let ended = catch_unwind(AssertUnwindSafe(|| one(number, &mut done)));
        let took = processor_time().saturating_sub(start);
        assert!(ended.is_ok(), "mutant {number} panics: {done}");
        assert!(took < limit, "mutant {number} takes {took:?}: {done}");
    }
    let grown = peak_memory().saturating_sub(before);
    println!("memory grew by {grown} KiB");
    assert!(grown < MEMORY_KIB, "memory grew by {grown} KiB");
}

/// Largest resident size so far, KiB. Source: proc(5), VmHWM.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// What this process has taken of processors: the machine may be busy with something else.
pub(crate) fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).expect("below a second"))
}

/// Ends the test if the mutant with the number in `current` does not change for long: a hang cannot be caught otherwise.
fn watch(current: Arc<AtomicU64>, limit: Duration) {
    std::thread::spawn(move || {
        let mut last = (u64::MAX, Instant::now());
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let now = current.load(Ordering::Relaxed);
            if now != last.0 {
                last = (now, Instant::now());
            } else if last.1.elapsed() > limit * 4 {
                eprintln!("mutant {now} hangs");
                std::process::abort();
            }
        }
    });
}
