//! Whether a faulting pointer was loaded from heap memory that glibc's allocator holds as free.
//!
//! A freed chunk stays mapped; what faults is the use of its first words, which the allocator has overwritten with a
//! link. Evidence is what only a free chunk shows: membership in a thread's cache, bin neighbours that point back, or a
//! link protected with its own address. Nothing is claimed without one of them. Other allocators are not looked at.

use rustc_hash::FxHashSet;

use crate::capture::Memory;
use crate::model::fault::{FreeList, Freed, Operand, Term};
use crate::model::{Addr, Arch, Registers};
use crate::target::Target;

/// A chunk is its object less two words; the second holds its size. Source: glibc 2.36 malloc/malloc.c,
/// struct malloc_chunk (mchunk_prev_size, mchunk_size, fd, bk).
const HEADER: u64 = 16;
/// Low bits of the size are flags. Source: glibc 2.36 malloc/malloc.c, SIZE_BITS.
const SIZE_BITS: u64 = 7;
const PREV_INUSE: u64 = 1;
const MIN_CHUNK: u64 = 32;
/// Largest chunk of a thread's cache. Source: glibc 2.36 malloc/malloc.c, TCACHE_MAX_BINS 64 with 16-byte steps.
const MAX_TCACHE_CHUNK: u64 = 0x410;
/// Size of the chunk that holds `tcache_perthread_struct`: 64 counts of 2 bytes, 64 pointers, the header.
/// Source: glibc 2.30 to 2.41 malloc/malloc.c.
const TCACHE_STRUCT_CHUNK: u64 = 0x290;
const TCACHE_BINS: u64 = 64;
const TCACHE_COUNTS: u64 = 2 * TCACHE_BINS;
/// Links are XORed with their own address shifted by this. Source: glibc 2.32 malloc/malloc.c, PROTECT_PTR.
const PROTECT_SHIFT: u32 = 12;

/// Thread-local words looked at for the pointer to a thread's cache.
const MAX_TLS: u64 = 4096;
/// Entries followed in one list of a cache (its default limit is 7).
const MAX_ENTRIES: usize = 128;
/// Threads whose caches are read.
const MAX_THREADS: usize = 256;

/// The freed object that an operand's register points to, or was loaded from.
pub(super) fn freed(target: &Target, registers: &Registers, operand: &Operand) -> Option<Freed> {
    let lists = Lists { memory: &target.memory, cached: cached(target) };
    operand.terms.iter().find_map(|term| lists.origin(registers, term))
}

struct Lists<'a> {
    memory: &'a Memory,
    cached: FxHashSet<Addr>,
}

impl Lists<'_> {
    fn origin(&self, registers: &Registers, term: &Term) -> Option<Freed> {
        let value = term.value?;
        if let Some(freed) = self.free_object(Addr(value), term.register) {
            return Some(freed);
        }
        // The register holds the first or second word of an object that another register still points to.
        for (name, other) in registers.iter() {
            let Some(object) = other.map(Addr).filter(|object| object.0 != value) else { continue };
            let holds = |offset| object.plus(offset).and_then(|at| self.memory.u64(at).ok()) == Some(value);
            if (holds(0) || holds(8))
                && let Some(freed) = self.free_object(object, name)
            {
                return Some(freed);
            }
        }
        self.last_link(Addr(value), term.register)
    }

    fn free_object(&self, object: Addr, register: &'static str) -> Option<Freed> {
        if !object.is_aligned(HEADER) {
            return None;
        }
        let bytes = self.chunk_bytes(object)?;
        let list = if self.cached.contains(&object) {
            FreeList::Tcache
        } else if self.is_in_bin(object, bytes) {
            FreeList::Bin
        } else if self.has_protected_link(object, bytes) {
            FreeList::ProtectedLink
        } else {
            return None;
        };
        Some(Freed { object: Some(object), bytes: Some(bytes), list, register })
    }

    /// The size that the chunk's header states, where it can be one and the memory is a writable mapping's.
    fn chunk_bytes(&self, object: Addr) -> Option<u64> {
        self.memory.region_at(object).filter(|region| region.access.write && !region.access.execute)?;
        let bytes = self.memory.u64(object.minus(8)?).ok()? & !SIZE_BITS;
        (bytes >= MIN_CHUNK && bytes.is_multiple_of(HEADER)).then_some(bytes)
    }

    /// Its neighbours in a doubly linked bin point back to it, and the chunk after it says that it is free.
    fn is_in_bin(&self, object: Addr, bytes: u64) -> bool {
        let check = || {
            let chunk = object.minus(HEADER)?;
            let (forward, back) = (self.memory.ptr(object).ok()?, self.memory.ptr(object.plus(8)?).ok()?);
            let next = chunk.plus(bytes)?;
            let points_back = self.memory.ptr(forward.plus(HEADER + 8)?).ok()? == chunk
                && self.memory.ptr(back.plus(HEADER)?).ok()? == chunk;
            let marked = self.memory.u64(next).ok()? == bytes && self.memory.u64(next.plus(8)?).ok()? & PREV_INUSE == 0;
            Some(points_back && marked)
        };
        check().unwrap_or(false)
    }

    /// Its first word is a link protected with its own address: to nothing, or to a chunk of the same size.
    fn has_protected_link(&self, object: Addr, bytes: u64) -> bool {
        let Ok(link) = self.memory.u64(object) else { return false };
        match link ^ (object.0 >> PROTECT_SHIFT) {
            0 => true,
            next => Addr(next).is_aligned(HEADER) && self.chunk_bytes(Addr(next)) == Some(bytes),
        }
    }

    /// The value is the protected link of the last chunk of a list: the number of a heap page that has such a chunk.
    fn last_link(&self, value: Addr, register: &'static str) -> Option<Freed> {
        let page = Addr(value.0.checked_mul(1 << PROTECT_SHIFT)?);
        let region = self.memory.region_at(page).filter(|region| region.access.write && !region.access.execute)?;
        if value.0 < 1 << 16 || region.start.0 == 0 {
            return None;
        }
        let is_last = |object: &Addr| {
            self.memory.u64(*object).is_ok_and(|link| link == value.0)
                && self.chunk_bytes(*object).is_some_and(|bytes| bytes <= MAX_TCACHE_CHUNK)
        };
        let objects: Vec<Addr> =
            (0..1u64 << PROTECT_SHIFT).step_by(16).filter_map(|offset| page.plus(offset)).filter(is_last).collect();
        let only = match objects.as_slice() {
            [] => return None,
            [only] => Some(*only),
            _ => None,
        };
        let listed = objects.iter().any(|object| self.cached.contains(object));
        let list = if listed { FreeList::Tcache } else { FreeList::ProtectedLink };
        Some(Freed { object: only, bytes: only.and_then(|object| self.chunk_bytes(object)), list, register })
    }
}

/// Every object in a thread's cache. The cache's address is in the thread's TLS block, below the thread pointer on
/// x86-64 (TLS variant II); elsewhere nothing is found.
fn cached(target: &Target) -> FxHashSet<Addr> {
    let memory = &target.memory;
    let mut objects = FxHashSet::default();
    if target.arch() != Arch::X86_64 {
        return objects;
    }
    for thread in target.capture.threads.iter().take(MAX_THREADS) {
        let Ok(pointer) = thread.thread_pointer else { continue };
        for offset in (8..=MAX_TLS).step_by(8) {
            let Some(cache) = pointer.minus(offset).and_then(|at| memory.ptr(at).ok()) else { break };
            if cache.is_aligned(HEADER) && cache.0 != 0 && is_cache(memory, cache) {
                entries(memory, cache, &mut objects);
                break;
            }
        }
    }
    objects
}

fn is_cache(memory: &Memory, at: Addr) -> bool {
    at.minus(8).and_then(|size| memory.u64(size).ok()).is_some_and(|size| size & !SIZE_BITS == TCACHE_STRUCT_CHUNK)
}

fn entries(memory: &Memory, cache: Addr, objects: &mut FxHashSet<Addr>) {
    for bin in 0..TCACHE_BINS {
        let count = cache.plus(2 * bin).and_then(|at| memory.u16(at).ok()).unwrap_or(0);
        let head = cache.plus(TCACHE_COUNTS + 8 * bin).and_then(|at| memory.ptr(at).ok());
        let Some(mut entry) = head.filter(|_| count > 0) else { continue };
        for _ in 0..usize::from(count).min(MAX_ENTRIES) {
            if entry.0 == 0 || !entry.is_aligned(HEADER) || !objects.insert(entry) {
                break;
            }
            let Ok(link) = memory.u64(entry) else { break };
            let protected = link ^ (entry.0 >> PROTECT_SHIFT);
            // Before 2.32 links are bare; a protected link read as bare is not aligned, but for one in 16.
            entry = if Addr(protected).is_aligned(HEADER) { Addr(protected) } else { Addr(link) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAP: u64 = 0x5555_5556_0000;

    fn lists(memory: &Memory) -> Lists<'_> {
        Lists { memory, cached: FxHashSet::default() }
    }

    fn term(value: u64) -> Term {
        Term { register: "rax", value: Some(value), scale: 1 }
    }

    #[test]
    fn a_link_loaded_from_a_freed_chunk_names_it() {
        // | prev | size 0x21 | link = 0 ^ (object >> 12) | key |
        let object = HEAP + 16;
        let memory = Memory::of(HEAP, &[0, 0x21, object >> 12, 0x1234_5678_9abc_def0, 0, 0x21]);
        let mut registers = Registers::unknown(Arch::X86_64);
        registers.set(crate::model::Register(5), object);
        let freed = lists(&memory).origin(&registers, &term(object >> 12)).unwrap();
        assert_eq!((freed.object, freed.bytes, freed.register), (Some(Addr(object)), Some(0x20), "rdi"));
        assert_eq!(freed.list, FreeList::ProtectedLink);
    }

    #[test]
    fn the_link_alone_leads_to_its_page() {
        let object = HEAP + 16;
        let memory = Memory::of(HEAP, &[0, 0x21, object >> 12, 1, 0, 0x21]);
        let freed = lists(&memory).origin(&Registers::unknown(Arch::X86_64), &term(object >> 12)).unwrap();
        assert_eq!(freed.object, Some(Addr(object)));
    }

    #[test]
    fn an_object_in_use_is_not_called_freed() {
        let object = HEAP + 16;
        let memory = Memory::of(HEAP, &[0, 0x21, 0x10, 0x20, 0, 0x21]);
        let mut registers = Registers::unknown(Arch::X86_64);
        registers.set(crate::model::Register(5), object);
        assert_eq!(lists(&memory).origin(&registers, &term(0x10)), None);
    }

    #[test]
    fn a_chunk_between_bin_neighbours_that_point_back_is_free() {
        // A bin head at HEAP (fd at +16, bk at +24) and one chunk at HEAP + 0x40 of 0x30 bytes; the next chunk's
        // prev_size is 0x30 and its PREV_INUSE bit is clear.
        let chunk = HEAP + 0x40;
        let memory =
            Memory::of(HEAP, &[0, 0, chunk, chunk, 0, 0, 0, 0, 0, 0x31, HEAP, HEAP, 0, 0, 0x30, 0x20, 0, 0, 0, 0x21]);
        let freed = lists(&memory).free_object(Addr(chunk + 16), "rbx").unwrap();
        assert_eq!((freed.list, freed.bytes), (FreeList::Bin, Some(0x30)));
    }
}
