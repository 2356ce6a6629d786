//! The message of a C++ exception, as far as its bytes and its own `what()` prove it.

use crate::model::{Addr, Gap, Known};
use crate::target::Target;

use super::evaluate;
use crate::runtimes::native::rtti::{self, Base};

/// Longest message that is read, in bytes.
const MAX_TEXT: u64 = 16 << 10;
/// `what` is the third virtual function: after two destructors. Source: Itanium C++ ABI 2.5.2; libstdc++ 12
/// <bits/exception.h>; libc++ 14 <exception>.
const WHAT_SLOT: u64 = 16;
/// `std::runtime_error` and `std::logic_error`: a pointer to the text after the vtable pointer, in libstdc++
/// (<stdexcept>, __cow_string) as in libc++ (<stdexcept>, __libcpp_refstring).
const TEXT: u64 = 8;

/// What the thrown object says. `Ok(None)`: objects of its type say nothing.
pub(super) fn message(target: &Target, object: Addr, type_info: Addr) -> Known<Option<String>> {
    let mangled = rtti::mangled(&target.memory, type_info)?;
    if let Some(value) = plain_value(target, object, &mangled) {
        return value.map(Some);
    }
    let bases = rtti::bases(&target.memory, object, type_info);
    let Some(exception) = bases.iter().find(|base| base.name == "St9exception") else { return Ok(None) };
    let vtable = target.memory.ptr(exception.at)?;
    let function = vtable.plus(WHAT_SLOT).ok_or_else(|| Gap::Corrupt(format!("a vtable at {vtable}")));
    let function = function.and_then(|slot| Ok(target.memory.ptr(slot)?))?;
    match evaluate::call(&target.memory, target.arch(), function, exception.at).and_then(|at| text(target, at)) {
        Ok(text) => Ok(Some(text)),
        Err(gap) => kept_text(target, &bases, function).map_or(Err(gap), |text| text.map(Some)),
    }
}

/// The text that a runtime_error or logic_error keeps, where `what()` is theirs.
fn kept_text(target: &Target, bases: &[Base], what: Addr) -> Option<Known<String>> {
    let base = bases.iter().find(|base| matches!(base.name.as_str(), "St13runtime_error" | "St11logic_error"))?;
    let symbol = target.function(what)?;
    if !matches!(&*symbol.name, "_ZNKSt13runtime_error4whatEv" | "_ZNKSt11logic_error4whatEv") {
        return None;
    }
    let at = target.memory.ptr(base.at.plus(TEXT)?);
    Some(at.map_err(Gap::from).and_then(|at| text(target, at)))
}

fn text(target: &Target, at: Addr) -> Known<String> {
    Ok(String::from_utf8_lossy(&target.memory.c_string(at, MAX_TEXT)?).into_owned())
}

/// The value of a thrown number, text or string; `None` for other types.
// Names of types: Itanium C++ ABI 5.1.5.2 "Builtin types".
fn plain_value(target: &Target, object: Addr, mangled: &str) -> Option<Known<String>> {
    let memory = &target.memory;
    let number = |text: Result<String, crate::model::Unreadable>| Some(text.map_err(Gap::from));
    match mangled {
        "b" => number(memory.u8(object).map(|value| (value != 0).to_string())),
        "c" | "a" => number(memory.u8(object).map(|value| value.cast_signed().to_string())),
        "h" => number(memory.u8(object).map(|value| value.to_string())),
        "s" => number(memory.u16(object).map(|value| value.cast_signed().to_string())),
        "t" => number(memory.u16(object).map(|value| value.to_string())),
        "i" => number(memory.u32(object).map(|value| value.cast_signed().to_string())),
        "j" => number(memory.u32(object).map(|value| value.to_string())),
        "l" | "x" => number(memory.u64(object).map(|value| value.cast_signed().to_string())),
        "m" | "y" => number(memory.u64(object).map(|value| value.to_string())),
        "f" => number(memory.u32(object).map(|value| f32::from_bits(value).to_string())),
        "d" => number(memory.u64(object).map(|value| f64::from_bits(value).to_string())),
        "PKc" | "Pc" => Some(memory.ptr(object).map_err(Gap::from).and_then(|at| text(target, at))),
        "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE" => Some(gnu_string(target, object)),
        "NSt3__112basic_stringIcNS_11char_traitsIcEENS_9allocatorIcEEEE" => Some(llvm_string(target, object)),
        _ => None,
    }
}

/// Pointer, length. Source: libstdc++ 12 <bits/basic_string.h>, _M_dataplus, _M_string_length.
fn gnu_string(target: &Target, object: Addr) -> Known<String> {
    let length = object.plus(8).ok_or_else(|| Gap::Corrupt(format!("a string at {object}")))?;
    counted(target, target.memory.ptr(object)?, target.memory.u64(length)?)
}

/// Bit 0 of the first byte: long (capacity, length, pointer); else the length is the byte's upper bits, the text follows.
// Source: libc++ 14 <string>, __long and __short in the default layout.
fn llvm_string(target: &Target, object: Addr) -> Known<String> {
    let at = |offset| object.plus(offset).ok_or_else(|| Gap::Corrupt(format!("a string at {object}")));
    let first = target.memory.u8(object)?;
    if first & 1 == 0 {
        return counted(target, at(1)?, u64::from(first >> 1));
    }
    counted(target, target.memory.ptr(at(16)?)?, target.memory.u64(at(8)?)?)
}

fn counted(target: &Target, at: Addr, length: u64) -> Known<String> {
    let bytes = target.memory.slice(at, length.min(MAX_TEXT))?;
    Ok(String::from_utf8_lossy(bytes).into_owned())
}
