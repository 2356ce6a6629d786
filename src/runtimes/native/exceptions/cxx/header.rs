//! The header in front of a thrown C++ object: what was thrown, how far it has come, where the next one is.
//!
//! Source: Itanium C++ ABI "Exception Handling" 2.2.1; libstdc++ 12 libsupc++/unwind-cxx.h (__cxa_exception,
//! __cxa_refcounted_exception, __cxa_dependent_exception); libc++abi 14 src/cxa_exception.h. Offsets are back from the
//! thrown object on 64-bit targets, where both libraries agree.

use crate::capture::Memory;
use crate::model::Addr;

/// `_Unwind_Exception`, whose first word is the class of the exception.
const UNWIND: u64 = 0x20;
const HANDLER_COUNT: u64 = 0x48;
const NEXT: u64 = 0x50;
/// `exceptionType`; of a dependent exception `primaryException`, the object that it shares. libstdc++'s `__cxa_exception`
/// begins here.
const TYPE: u64 = 0x70;
/// libstdc++: padding after the count of references, zero; libc++abi: the count.
const SECOND: u64 = 0x78;
/// libstdc++: the count of references (u32); libc++abi: reserved, zero, and the beginning of its `__cxa_exception`.
const FIRST: u64 = 0x80;

/// "GNUCC++\0" and "CLNGC++\0", most significant byte first, without the last byte: 0 for an exception, 1 for a
/// dependent one.
const GNU: u64 = 0x474e_5543_432b_2b00;
const LLVM: u64 = 0x434c_4e47_432b_2b00;

/// More references than any program makes: memory that was freed and filled with something else.
const MAX_REFERENCES: u64 = 1 << 20;
const MAX_HANDLERS: u32 = 1 << 16;

/// A thrown object's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The thrown object.
    pub object: Addr,
    /// Its `std::type_info`.
    pub type_info: Addr,
    /// Handlers that hold it: 0 while it looks for the first, negative while it is thrown again.
    pub handlers: i32,
    /// The exception that was being handled when this one was caught (an address of a `__cxa_exception`), zero for none.
    pub next: Addr,
}

impl Header {
    /// From the address of a `__cxa_exception`, as lists of the runtime hold it.
    pub(super) fn of_list(memory: &Memory, header: Addr) -> Option<Header> {
        Header::of_object(memory, header.plus(TYPE)?).or_else(|| Header::of_object(memory, header.plus(FIRST)?))
    }

    /// From the address of an `_Unwind_Exception`, as the unwinder passes it.
    pub(super) fn of_unwinder(memory: &Memory, unwind: Addr) -> Option<Header> {
        Header::of_object(memory, unwind.plus(UNWIND)?)
    }

    /// From the address of the object. `None` when no live exception has its header there.
    pub(super) fn of_object(memory: &Memory, object: Addr) -> Option<Header> {
        let class = memory.u64(object.minus(UNWIND)?).ok()?;
        if class & !1 != GNU && class & !1 != LLVM {
            return None;
        }
        let handlers = memory.u32(object.minus(HANDLER_COUNT)?).ok()?.cast_signed();
        if handlers.unsigned_abs() > MAX_HANDLERS {
            return None;
        }
        let next = memory.ptr(object.minus(NEXT)?).ok()?;
        let first = memory.ptr(object.minus(TYPE)?).ok()?;
        if class & 1 == 1 {
            // A dependent exception: another thread's, shared through std::exception_ptr.
            let primary = Header::primary(memory, first)?;
            return Some(Header { handlers, next, ..primary });
        }
        is_alive(memory, object, class & !1)?;
        Some(Header { object, type_info: first, handlers, next })
    }

    fn primary(memory: &Memory, object: Addr) -> Option<Header> {
        let class = memory.u64(object.minus(UNWIND)?).ok()?;
        if class != GNU && class != LLVM {
            return None;
        }
        is_alive(memory, object, class)?;
        let type_info = memory.ptr(object.minus(TYPE)?).ok()?;
        Some(Header { object, type_info, handlers: 0, next: Addr(0) })
    }
}

/// A freed exception keeps its class, but the allocator has written over its first two words.
fn is_alive(memory: &Memory, object: Addr, class: u64) -> Option<()> {
    let first = memory.u64(object.minus(FIRST)?).ok()?;
    let second = memory.u64(object.minus(SECOND)?).ok()?;
    let (references, zero) = if class == GNU { (first & 0xffff_ffff, second) } else { (second, first) };
    (zero == 0 && references != 0 && references <= MAX_REFERENCES).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: u64 = 0x5000;

    // | refs 1 | 0 | type | dtor | unexpected | terminate | next | handlers | action | lsda | temp | adjusted |
    // | class | cleanup | private | private | object
    fn words() -> [u64; 17] {
        [1, 0, 0x9000, 0, 0, 0, 0x4000, 1, 0, 0, 0, 0, GNU, 0, 0, 0, 0x1234]
    }

    #[test]
    fn a_header_is_found_from_each_of_its_three_addresses() {
        let memory = Memory::of(AT, &words());
        let wanted = Header { object: Addr(AT + 0x80), type_info: Addr(0x9000), handlers: 1, next: Addr(0x4000) };
        assert_eq!(Header::of_object(&memory, Addr(AT + 0x80)), Some(wanted));
        assert_eq!(Header::of_unwinder(&memory, Addr(AT + 0x60)), Some(wanted));
        assert_eq!(Header::of_list(&memory, Addr(AT + 0x10)), Some(wanted));
    }

    #[test]
    fn a_freed_exception_is_not_taken_for_a_live_one() {
        let mut freed = words();
        // glibc's free writes a link and a key over the first two words.
        freed[0] = 0x5_5555_5555;
        freed[1] = 0x1234_5678_9abc_def0;
        assert_eq!(Header::of_object(&Memory::of(AT, &freed), Addr(AT + 0x80)), None);
    }

    #[test]
    fn the_count_of_handlers_may_be_negative() {
        let mut again = words();
        again[7] = 0xffff_ffff;
        assert_eq!(Header::of_object(&Memory::of(AT, &again), Addr(AT + 0x80)).unwrap().handlers, -1);
    }

    #[test]
    fn a_header_cut_by_the_end_of_memory_is_none() {
        for len in 0..16 {
            let memory = Memory::of(AT, &words()[len.min(16)..]);
            assert!(len == 0 || Header::of_object(&memory, Addr(AT + 0x80 - 8 * len as u64 - 0x80)).is_none());
        }
    }
}
