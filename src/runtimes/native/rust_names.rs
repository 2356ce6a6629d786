//! Names that Rust programs give their threads: std keeps them in the process, the kernel's copy is in no core.
//!
//! `std::thread::current` has two neighbouring thread-local words in the executable's block: a pointer to a shared
//! `Inner { id, name, parker }`, and the thread's id. They are recognised by content, so that no symbols are needed: the
//! pointer must lead to a reference-counted structure with the very id of its neighbour and a C string of exactly the
//! stated length.
//! Layout: docs/layouts/rust.md "thread names". Programs built before Rust 1.84 keep no such id and stay nameless.

use crate::capture::Memory;
use crate::model::{Addr, Arch, OsThread};

/// Bytes between the thread pointer and the executable's block, at most (aarch64).
const BEFORE_BLOCK: u64 = 16;
/// Longer names are not believed.
const MAX_NAME: u64 = 256;
/// Higher counts or ids are not believed.
const MAX_COUNT: u64 = 1 << 32;

// std::thread::thread::Inner: id 0, name 8 (pointer) and 16 (length with its NUL), parker 24; the counts of its Arc are in
// front. Measured with gdb's ptype on rustc 1.95; rustc may order members otherwise, then nothing is recognised.
const STRONG: u64 = 16;
const WEAK: u64 = 8;
const NAME: u64 = 8;
const LENGTH: u64 = 16;

/// The name of a thread that Rust's std named; `None` where there is none, or nothing is recognised. `searched`: bytes of
/// thread-local storage that are searched, next to the thread pointer, where the executable's block comes first.
pub(super) fn name(arch: Arch, thread: &OsThread, memory: &Memory, searched: u64) -> Option<String> {
    let block = *thread.thread_pointer.as_ref().ok()?;
    let bytes = match arch {
        Arch::X86_64 => memory.copy_before(block, searched),
        Arch::Aarch64 => memory.copy_after(block, searched.saturating_add(BEFORE_BLOCK)),
    };
    // Both ends are aligned where the dump is whole: the thread pointer's is the one that counts.
    let (_, whole) = match arch {
        Arch::X86_64 => bytes.split_at(bytes.len() % 8),
        Arch::Aarch64 => (&[][..], bytes.as_slice()),
    };
    let words = memory.pointers(whole).map(|word| word.0);
    // Stack frames lie here too, with other threads' handles in them; only the thread's own stands beside its id.
    let mut names = words
        .clone()
        .zip(words.skip(1))
        .filter_map(|(one, other)| named(memory, Addr(one), other).or_else(|| named(memory, Addr(other), one)));
    let name = names.next()?;
    names.all(|other| other == name).then_some(name)
}

/// The name in the `Inner` at `inner`, if it is one and has this id.
fn named(memory: &Memory, inner: Addr, id: u64) -> Option<String> {
    if !(1..MAX_COUNT).contains(&id) || !memory.is_pointer(inner) {
        return None;
    }
    let counted = [inner.minus(STRONG)?, inner.minus(WEAK)?, inner]
        .into_iter()
        .all(|at| memory.u64(at).is_ok_and(|count| (1..MAX_COUNT).contains(&count)));
    if !counted || memory.u64(inner).ok()? != id {
        return None;
    }
    let length = memory.u64(inner.plus(LENGTH)?).ok()?;
    if !(2..=MAX_NAME).contains(&length) {
        return None;
    }
    let text = memory.c_string(memory.ptr(inner.plus(NAME)?).ok()?, length).ok()?;
    // Exactly the stated length: the first NUL is the last byte.
    if text.len() as u64 != length - 1 {
        return None;
    }
    String::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Access, Origin, Region, Segment};
    use crate::model::{Gap, Tid, Why};
    use symbols::FileBytes;

    /// Thread-local words below 0x9000 (the last two are CURRENT and ID), the Arc at 0x4000, the name at 0x5000.
    fn memory(arc: [u64; 6], text: &[u8], id: u64) -> Memory {
        let mut local = vec![0; 510];
        local.extend([0x4010, id]);
        let bytes = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let segment = |start, bytes: Vec<u8>| Segment {
            start: Addr(start),
            bytes: FileBytes::from_vec(bytes),
            origin: Origin::Dump,
        };
        let segments =
            vec![segment(0x8000, bytes(&local)), segment(0x4000, bytes(&arc)), segment(0x5000, text.to_vec())];
        let region = Region { start: Addr(0), end: Addr(0x9000), access: Access::default(), missing: Why::NotDumped };
        Memory::new(segments, vec![region])
    }

    fn name_in(memory: &Memory) -> Option<String> {
        let thread = OsThread {
            tid: Tid(1),
            registers: Err(Gap::NotRecorded("registers".into())),
            thread_pointer: Ok(Addr(0x9000)),
            syscall: None,
            signal: 0,
            name: None,
            crashed: false,
        };
        name(Arch::X86_64, &thread, memory, 0x1000)
    }

    #[test]
    fn a_thread_of_rust_std_is_named() {
        // strong 1, weak 1, id 7, name at 0x5000, 9 bytes with the NUL, parker 0
        let memory = memory([1, 1, 7, 0x5000, 9, 0], b"worker-7\0rest", 7);
        assert_eq!(name_in(&memory).as_deref(), Some("worker-7"));
    }

    #[test]
    fn a_structure_with_another_id_or_length_names_nothing() {
        assert_eq!(name_in(&memory([1, 1, 7, 0x5000, 9, 0], b"worker-7\0rest", 8)), None);
        assert_eq!(name_in(&memory([1, 1, 7, 0x5000, 8, 0], b"worker-7\0rest", 7)), None);
        assert_eq!(name_in(&memory([0, 1, 7, 0x5000, 9, 0], b"worker-7\0rest", 7)), None);
        assert_eq!(name_in(&memory([1, 1, 7, 0x6000, 9, 0], b"worker-7\0rest", 7)), None);
    }
}
