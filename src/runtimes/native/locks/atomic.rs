//! What C++ libraries build on a futex without the C library: `std::future`, and on `std::atomic::wait` latches, barriers and counting
//! semaphores. Nobody owns any of them. The functions that wait are templates, and their names tell what waits.

use crate::model::{Addr, LockKind, Owner};

use super::kinds;
use super::observation::{Observation, Waiter};
use crate::runtimes::native::observations::Observations;

/// Parts of the names of functions that wait, the more telling first.
// Source: gcc 12 libstdc++ <bits/atomic_futex.h>, <future>, <latch>, <barrier>, <bits/semaphore_base.h>, <bits/atomic_wait.h>; LLVM 17
// libc++ <latch>, <barrier>, <semaphore>, <__atomic/atomic_sync.h>.
const NAMES: [(&str, LockKind); 14] = [
    ("std::__atomic_futex_unsigned", kinds::FUTURE),
    ("std::latch::", kinds::LATCH),
    ("std::__1::latch::", kinds::LATCH),
    ("std::__tree_barrier<", kinds::BARRIER),
    ("std::barrier<", kinds::BARRIER),
    ("std::__1::barrier<", kinds::BARRIER),
    ("std::__1::__barrier", kinds::BARRIER),
    ("std::__atomic_semaphore::", kinds::SEMAPHORE),
    ("std::__1::__atomic_semaphore_base::", kinds::SEMAPHORE),
    ("std::__1::counting_semaphore<", kinds::SEMAPHORE),
    ("std::__atomic_wait_address", kinds::ATOMIC),
    ("std::__detail::__platform_wait", kinds::ATOMIC),
    ("std::__1::__atomic_wait", kinds::ATOMIC),
    ("std::__1::__libcpp_atomic_wait", kinds::ATOMIC),
];

/// Where the word lies in a future's state: behind the virtual functions and the result.
// Source: gcc 12 <future>, class _State_baseV2: _M_result, _M_status; the same since gcc 5.
const STATUS: u64 = 16;

/// Recognises a wait by the names of the functions that the thread is in.
pub(super) fn waited(_: &Observations<'_>, waiter: &Waiter<'_>) -> Option<Observation> {
    let names = || waiter.calls.in_runtime().filter_map(|call| call.name.as_deref());
    let (_, kind) = NAMES.iter().find(|(part, _)| names().any(|name| name.contains(part)))?;
    let word = waiter.futex.word;
    let address: Addr = if *kind == kinds::FUTURE { word.minus(STATUS)? } else { word };
    Some(Observation::waited(*kind, address, Owner::None))
}
