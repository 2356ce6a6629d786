//! A thread's `__cxa_eh_globals`, found in its thread-local storage by what it points to.
//!
//! The variable has no exported name, but the first of its two words, the list of caught exceptions, can point to
//! nothing but a header. Searched are the static TLS block beside the thread pointer and the blocks that the thread's
//! DTV lists (libraries loaded later).

use crate::capture::Memory;
use crate::model::{Addr, Arch, OsThread};
use crate::target::Target;

use super::header::Header;

/// Bytes of the static block that are searched.
const MAX_STATIC: u64 = 16 << 10;
/// Bytes searched of a block in the DTV (`__cxa_eh_globals` is 16 bytes in the small block of the C++ library).
const MAX_BLOCK: u64 = 512;
/// Modules in a DTV.
const MAX_MODULES: u64 = 512;
/// Uncaught exceptions that a thread may have at once.
const MAX_UNCAUGHT: u32 = 1 << 10;

/// `tcbhead_t.dtv`. Source: glibc 2.36 sysdeps/x86_64/nptl/tls.h.
const X86_DTV: u64 = 8;
/// Entries of a DTV are (address, to free) pairs; the entry before the first holds their number.
/// Source: glibc 2.36 sysdeps/generic/dl-dtv.h; elf/dl-tls.c.
const DTV_ENTRY: u64 = 16;

/// The exception that the thread caught last and still handles.
pub(super) fn caught(target: &Target, thread: &OsThread) -> Option<Header> {
    let pointer = thread.thread_pointer.as_ref().ok().copied()?;
    let memory = &target.memory;
    let (from, dtv) = match target.arch() {
        // Variant II: the static block ends at the thread pointer. Source: Drepper, "ELF Handling For TLS", section 3.
        Arch::X86_64 => (block_before(memory, pointer), pointer.plus(X86_DTV)),
        // Variant I: two words, then the static block.
        Arch::Aarch64 => (Some(pointer), Some(pointer)),
    };
    let static_block = from.and_then(|from| search(memory, from, MAX_STATIC));
    static_block.or_else(|| in_dtv(memory, memory.ptr(dtv?).ok()?))
}

/// As much as is readable of the block that ends at `pointer`.
fn block_before(memory: &Memory, pointer: Addr) -> Option<Addr> {
    let lowest = memory.segment_at(pointer.minus(8)?)?.start;
    Some(lowest.max(Addr(pointer.0.saturating_sub(MAX_STATIC))))
}

fn in_dtv(memory: &Memory, dtv: Addr) -> Option<Header> {
    let count = memory.u64(dtv.minus(DTV_ENTRY)?).ok()?.min(MAX_MODULES);
    (1..=count).find_map(|module| {
        let block = memory.ptr(dtv.plus(DTV_ENTRY.checked_mul(module)?)?).ok()?;
        search(memory, block, MAX_BLOCK)
    })
}

/// The first pair of words that is a `__cxa_eh_globals` with a caught exception.
// Source: Itanium C++ ABI "Exception Handling" 2.2.2: {__cxa_exception *caughtExceptions; unsigned uncaughtExceptions}.
fn search(memory: &Memory, from: Addr, bytes: u64) -> Option<Header> {
    let start = Addr(from.0.checked_add(7)? & !7);
    let words: Vec<u64> = memory
        .slice_up_to(start, bytes)
        .ok()?
        .chunks_exact(8)
        .filter_map(|word| Some(u64::from_le_bytes(word.try_into().ok()?)))
        .collect();
    words.windows(2).find_map(|pair| {
        let &[list, uncaught] = pair else { return None };
        let few = u32::try_from(uncaught & 0xffff_ffff).is_ok_and(|uncaught| uncaught <= MAX_UNCAUGHT);
        // Most words are no pointers: that is cheaper to see than to read what they point to.
        let points = list != 0 && Addr(list).is_aligned(8) && memory.segment_at(Addr(list)).is_some();
        if few && points { Header::of_list(memory, Addr(list)) } else { None }
    })
}
