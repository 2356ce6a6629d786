//! A thread's `__cxa_eh_globals`, found in its thread-local storage by what it points to.
//!
//! The variable has no exported name, but the first of its two words, the list of caught exceptions, can point to
//! nothing but a header. Searched are the static TLS block beside the thread pointer, the blocks that the thread's
//! DTV lists (libraries loaded later), and what its keys (`pthread_setspecific`) point to, where libc++abi keeps it.

use crate::capture::Memory;
use crate::model::{Addr, Arch, OsThread};
use crate::runtimes::native::static_tls;
use crate::target::Target;

use super::header::Header;

/// Bytes beyond the static block that libraries loaded later may have taken.
const SURPLUS: u64 = 512;
/// Bytes of the thread's control block in which its first keys lie. Source: glibc 2.36 nptl/descr.h, struct pthread,
/// specific_1stblock (0x310 on x86-64).
const CONTROL_BLOCK: u64 = 0x600;
/// Bytes searched of a block in the DTV (`__cxa_eh_globals` is 16 bytes in the small block of the C++ library).
const MAX_BLOCK: u64 = 512;
/// Bytes of a `__cxa_eh_globals`.
const GLOBALS: u64 = 16;
/// Modules in a DTV.
const MAX_MODULES: u64 = 512;
/// Uncaught exceptions that a thread may have at once.
const MAX_UNCAUGHT: u32 = 1 << 10;

/// Where the thread's control block has the DTV, on x86-64 in both libraries. Source: glibc 2.36 sysdeps/x86_64/nptl/tls.h, tcbhead_t;
/// musl 1.2.3 src/internal/pthread_impl.h, struct pthread.
const X86_DTV: u64 = 8;
/// musl on aarch64: the last member of struct pthread, which ends at the thread pointer. Source: as above, TLS_ABOVE_TP.
const MUSL_AARCH64_DTV: u64 = 8;

/// How a DTV lists the blocks of modules.
#[derive(Clone, Copy)]
struct Dtv {
    /// Where their number is, back from the DTV.
    count_back: u64,
    /// Bytes from one entry to the next, and from the DTV to the first.
    entry: u64,
}

/// Entries are (address, to free) pairs; the entry before the first holds their number.
/// Source: glibc 2.36 sysdeps/generic/dl-dtv.h; elf/dl-tls.c.
const GLIBC_DTV: Dtv = Dtv { count_back: 16, entry: 16 };
/// Entries are addresses; the first word is their number. Source: musl 1.2.3 ldso/dynlink.c, install_new_tls, __tls_get_addr.
const MUSL_DTV: Dtv = Dtv { count_back: 0, entry: 8 };

/// The exception that the thread caught last and still handles. `musl`: the C library is musl.
pub(super) fn caught(target: &Target, musl: bool, thread: &OsThread) -> Option<Header> {
    let pointer = thread.thread_pointer.as_ref().ok().copied()?;
    let memory = &target.memory;
    let size = static_tls::size(target).saturating_add(SURPLUS);
    let layout = if musl { MUSL_DTV } else { GLIBC_DTV };
    match target.arch() {
        // Variant II: the static block ends at the thread pointer. Source: Drepper, "ELF Handling For TLS", section 3.
        Arch::X86_64 => {
            let start = readable_from(memory, pointer.minus(size)?, pointer)?;
            let len = pointer.since(start)?;
            // Both in one read: their pages are touched once for each of a thousand threads.
            let near = memory.copy_after(start, len.checked_add(CONTROL_BLOCK)?);
            let (local, control) = near.split_at_checked(usize::try_from(len).ok()?)?;
            search(memory, local)
                .or_else(|| in_dtv(memory, word_at(control, X86_DTV)?, layout, Block { start, size: len }))
                .or_else(|| in_keys(memory, control))
        }
        // Variant I: two words, then the static block.
        Arch::Aarch64 => {
            let dtv = if musl { pointer.minus(MUSL_AARCH64_DTV)? } else { pointer };
            search(memory, &memory.copy_after(pointer, size))
                .or_else(|| in_dtv(memory, memory.ptr(dtv).ok()?, layout, Block { start: pointer, size }))
        }
    }
}

/// The pointer at an offset of a structure.
fn word_at(bytes: &[u8], offset: u64) -> Option<Addr> {
    let word = bytes.get(usize::try_from(offset).ok()?..)?.first_chunk::<8>()?;
    Some(Addr(u64::from_le_bytes(*word)))
}

/// The static TLS block of a thread, as far as it is searched.
#[derive(Clone, Copy)]
struct Block {
    start: Addr,
    size: u64,
}

impl Block {
    fn holds(self, addr: Addr) -> bool {
        addr.since(self.start).is_some_and(|offset| offset < self.size)
    }
}

/// The first readable word from `block` on, below `pointer`.
fn readable_from(memory: &Memory, block: Addr, pointer: Addr) -> Option<Addr> {
    let start = memory.segment_at(pointer.minus(8)?).map_or(pointer, |segment| segment.start);
    Some(block.max(start))
}

/// In the blocks that a DTV lists and that do not lie in the static one, which was searched.
fn in_dtv(memory: &Memory, dtv: Addr, layout: Dtv, searched: Block) -> Option<Header> {
    let count = memory.u64(dtv.minus(layout.count_back)?).ok()?.min(MAX_MODULES);
    (1..=count).find_map(|module| {
        let block = memory.ptr(dtv.plus(layout.entry.checked_mul(module)?)?).ok()?;
        if searched.holds(block) {
            return None;
        }
        let aligned = Addr(block.0.checked_add(7)? & !7);
        search(memory, memory.slice_up_to(aligned, MAX_BLOCK).ok()?)
    })
}

/// What a key of the thread points to. Its block has pairs of a sequence number, odd while the key is in use, and a value.
// Source: glibc 2.36 nptl/descr.h, struct pthread_key_data; nptl/pthreadP.h, KEY_UNUSED.
fn in_keys(memory: &Memory, control: &[u8]) -> Option<Header> {
    pairs(memory, control).find_map(|(sequence, value)| {
        let in_use = sequence & 1 == 1 && u32::try_from(sequence).is_ok();
        if in_use && memory.is_pointer(Addr(value)) {
            search(memory, memory.slice_up_to(Addr(value), GLOBALS).ok()?)
        } else {
            None
        }
    })
}

/// The first pair of words that is a `__cxa_eh_globals` with a caught exception.
// Source: Itanium C++ ABI "Exception Handling" 2.2.2: {__cxa_exception *caughtExceptions; unsigned uncaughtExceptions}.
fn search(memory: &Memory, bytes: &[u8]) -> Option<Header> {
    pairs(memory, bytes).find_map(|(list, uncaught)| {
        let few = u32::try_from(uncaught & 0xffff_ffff).is_ok_and(|uncaught| uncaught <= MAX_UNCAUGHT);
        if few && memory.is_pointer(Addr(list)) { Header::of_list(memory, Addr(list)) } else { None }
    })
}

/// Neighbouring words.
fn pairs(memory: &Memory, bytes: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    let words = memory.pointers(bytes).map(|word| word.0);
    words.clone().zip(words.skip(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Block = Block { start: Addr(0), size: 0 };
    const AT: u64 = 0x1000;
    const BLOCK: u64 = AT + 0x80;
    /// A `__cxa_exception` of libstdc++, 0x10 into the header; the object is 0x80 into it.
    const HEADER: u64 = AT + 0xc0;
    const OBJECT: Addr = Addr(HEADER + 0x80);

    /// A DTV in the first 16 words, a module's block in the next 8, then the header of an exception.
    fn memory(dtv: [u64; 16]) -> Memory {
        let block = [0, 0, HEADER + 0x10, 1, 0, 0, 0, 0];
        // | refs 1 | 0 | type | dtor | unexpected | terminate | next | handlers 1 | … | class |
        let class = u64::from_be_bytes(*b"GNUCC++\0");
        let header = [1, 0, 0x9000, 0, 0, 0, 0, 1, 0, 0, 0, 0, class, 0, 0, 0];
        Memory::of(AT, &[&dtv[..], &block, &header].concat())
    }

    #[test]
    fn a_dtv_of_glibc_counts_before_its_first_entry_and_pairs_addresses() {
        // | modules 2 | | generation | | first | to free | second | to free |
        let memory = memory([2, 0, 7, 0, 0, 0, BLOCK, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let found = |layout| in_dtv(&memory, Addr(AT + 0x10), layout, NONE).map(|header| header.object);
        assert_eq!(found(GLIBC_DTV), Some(OBJECT));
    }

    #[test]
    fn a_dtv_of_musl_begins_with_its_count() {
        // | modules 3 | first | second | third |
        let memory = memory([3, 0, 0, BLOCK, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let found = |layout| in_dtv(&memory, Addr(AT), layout, NONE).map(|header| header.object);
        assert_eq!(found(MUSL_DTV), Some(OBJECT));
        assert_eq!(found(GLIBC_DTV), None, "before it is no memory");
    }
}
