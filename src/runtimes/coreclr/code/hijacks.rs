//! Return addresses that the runtime replaced to stop threads, and what belongs in their places.
//!
//! Input: the structures of its threads, which are read once. Output: the return address that belongs into a word of a stack.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::super::clr::Clr;
use super::super::threads;
use super::ranges::owns;
use crate::model::Addr;

/// Bytes of a `Thread` in which the replaced return address is.
const THREAD: u64 = 0x800;
/// Most threads that are looked at.
const MAX_THREADS: usize = 1 << 16;

/// The return address that belongs into a word of a stack.
pub(super) fn original(clr: &Clr, slot: Addr) -> Option<Addr> {
    clr.places.replaced.get((), || Arc::new(read(clr))).get(&slot).copied()
}

fn read(clr: &Clr) -> FxHashMap<Addr, Addr> {
    // A thread keeps both, the word's address behind the return address. Source: dotnet/runtime src/coreclr/vm/threads.h, m_pvHJRetAddr and
    // m_ppvHJRetAddrPtr.
    let memory = clr.memory();
    let Some(module) = clr.target.modules.get(clr.module) else { return FxHashMap::default() };
    let is_replaced = |slot: Addr| {
        let now = if slot.is_aligned(8) { memory.ptr(slot).ok() } else { None };
        now.is_some_and(|now| (module.mapped.base..module.mapped.end).contains(&now))
    };
    let mut found = FxHashMap::default();
    for thread in threads::addresses(clr).into_iter().take(MAX_THREADS) {
        let (words, _) = memory.slice_up_to(thread, THREAD).unwrap_or_default().as_chunks::<8>();
        for pair in words.windows(2) {
            let [original, slot] = pair else { continue };
            let (original, slot) = (Addr(u64::from_le_bytes(*original)), Addr(u64::from_le_bytes(*slot)));
            if is_replaced(slot) && original.minus(1).is_some_and(|call| owns(clr, call)) {
                found.entry(slot).or_insert(original);
            }
        }
    }
    found
}
