//! `std::type_info`: the name of a C++ type and its bases, read from the dump.
//!
//! Source: Itanium C++ ABI 2.9.5 "RTTI Layout". The kind of a type_info is told by the name of its own class, so no
//! symbol is needed; names lie in .rodata and need the module's file.

use crate::capture::Memory;
use crate::model::{Addr, Gap, Known};

/// Longest mangled type name that is read, in bytes.
const MAX_NAME: u64 = 8 << 10;
/// Bases visited of one type.
const MAX_BASES: usize = 64;

const NAME: u64 = 8;
const BASE: u64 = 16;
const VMI_COUNT: u64 = 20;
const VMI_BASES: u64 = 24;
const VMI_ENTRY: u64 = 16;
const VIRTUAL: u64 = 1;
const OFFSET_SHIFT: u32 = 8;

/// A type that an object is, with where in the object it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::runtimes::native) struct Base {
    /// Mangled name as type_info has it, `St13runtime_error`.
    pub name: String,
    /// The subobject.
    pub at: Addr,
}

/// The mangled name of a type, `St13runtime_error`.
pub(in crate::runtimes::native) fn mangled(memory: &Memory, type_info: Addr) -> Known<String> {
    let at = memory.ptr(type_info.plus(NAME).ok_or_else(wild)?)?;
    let bytes = memory.c_string(at, MAX_NAME)?;
    // A leading star says that names are to be compared by address. Source: libstdc++ <typeinfo>, type_info::name.
    let bytes = bytes.strip_prefix(b"*").unwrap_or(&bytes);
    let name =
        std::str::from_utf8(bytes).ok().filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic()));
    name.map(str::to_owned).ok_or_else(|| Gap::Corrupt(format!("the type name at {at} is no name")))
}

/// The type's name as its source has it, `std::runtime_error`.
pub(in crate::runtimes::native) fn name(memory: &Memory, type_info: Addr) -> Known<String> {
    mangled(memory, type_info).map(|name| spelled(&name))
}

/// A mangled name of a type as its source has it.
pub(in crate::runtimes::native) fn spelled(mangled: &str) -> String {
    let full = format!("_ZTS{mangled}");
    symbols::demangle(&full).strip_prefix("typeinfo name for ").unwrap_or(mangled).to_owned()
}

fn wild() -> Gap {
    Gap::Corrupt("a type_info at the end of the address space".to_owned())
}

/// The type itself and all its bases that could be read, with the subobjects of `object`. Breadth first, bounded.
pub(in crate::runtimes::native) fn bases(memory: &Memory, object: Addr, type_info: Addr) -> Vec<Base> {
    let mut found: Vec<Base> = Vec::new();
    let mut waiting = vec![(type_info, object)];
    let mut next = 0;
    while let Some((type_info, at)) = waiting.get(next).copied() {
        next += 1;
        if next > MAX_BASES {
            break;
        }
        if let Ok(name) = mangled(memory, type_info) {
            found.push(Base { name, at });
            waiting.extend(direct(memory, type_info, at).unwrap_or_default());
        }
    }
    found
}

/// Direct bases: type_info and subobject.
fn direct(memory: &Memory, type_info: Addr, object: Addr) -> Option<Vec<(Addr, Addr)>> {
    match kind(memory, type_info)?.as_str() {
        "N10__cxxabiv120__si_class_type_infoE" => Some(vec![(memory.ptr(type_info.plus(BASE)?).ok()?, object)]),
        "N10__cxxabiv121__vmi_class_type_infoE" => {
            let count = memory.u32(type_info.plus(VMI_COUNT)?).ok()?.min(u32::try_from(MAX_BASES).ok()?);
            let mut bases = Vec::new();
            for index in 0..u64::from(count) {
                let entry = type_info.plus(VMI_BASES + VMI_ENTRY * index)?;
                let flags = memory.u64(entry.plus(8)?).ok()?;
                let mut offset = flags.cast_signed() >> OFFSET_SHIFT;
                if flags & VIRTUAL != 0 {
                    // The offset is that of a word in the object's vtable, which holds the offset of the base.
                    let slot = memory.ptr(object).ok()?.offset(offset)?;
                    offset = memory.u64(slot).ok()?.cast_signed();
                }
                bases.push((memory.ptr(entry).ok()?, object.offset(offset)?));
            }
            Some(bases)
        }
        _ => None,
    }
}

/// Name of the class that a type_info itself is an object of: its vtable's type_info lies one word before the vtable.
pub(in crate::runtimes::native) fn kind(memory: &Memory, type_info: Addr) -> Option<String> {
    let vtable = memory.ptr(type_info).ok()?;
    let of_kind = memory.ptr(vtable.minus(8)?).ok()?;
    mangled(memory, of_kind).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_base_is_found_through_the_kind_of_its_type_info() {
        // 0x1000: type "1A" with one base, 0x1040: "St9exception" without, 0x1080 the kind of the first;
        // 0x10c0: one word before the kind's vtable. Names from 0x1100.
        let mut words = vec![0u64; 64];
        let mut set = |at: u64, value: u64| words[((at - 0x1000) / 8) as usize] = value;
        set(0x1000, 0x10c8);
        set(0x1008, 0x1100);
        set(0x1010, 0x1040);
        set(0x1048, 0x1108);
        set(0x1088, 0x1120);
        set(0x10c0, 0x1080);
        set(0x1100, u64::from_le_bytes(*b"1A\0\0\0\0\0\0"));
        for (index, word) in b"St9exception\0\0\0\0".chunks(8).enumerate() {
            set(0x1108 + 8 * index as u64, u64::from_le_bytes(word.try_into().unwrap()));
        }
        let kind = b"N10__cxxabiv120__si_class_type_infoE\0\0\0\0";
        for (index, word) in kind.chunks(8).enumerate() {
            set(0x1120 + 8 * index as u64, u64::from_le_bytes(word.try_into().unwrap()));
        }
        let memory = Memory::of(0x1000, &words);
        let names: Vec<String> = bases(&memory, Addr(0x7000), Addr(0x1000)).into_iter().map(|base| base.name).collect();
        assert_eq!(names, ["1A", "St9exception"]);
    }

    #[test]
    fn a_type_that_is_its_own_base_ends() {
        let mut words = vec![0u64; 64];
        let mut set = |at: u64, value: u64| words[((at - 0x1000) / 8) as usize] = value;
        set(0x1000, 0x10c8);
        set(0x1008, 0x1100);
        set(0x1010, 0x1000);
        set(0x1088, 0x1120);
        set(0x10c0, 0x1080);
        set(0x1100, u64::from_le_bytes(*b"1A\0\0\0\0\0\0"));
        for (index, word) in b"N10__cxxabiv120__si_class_type_infoE\0\0\0\0".chunks(8).enumerate() {
            set(0x1120 + 8 * index as u64, u64::from_le_bytes(word.try_into().unwrap()));
        }
        assert_eq!(bases(&Memory::of(0x1000, &words), Addr(0x7000), Addr(0x1000)).len(), MAX_BASES);
    }
}
