//! A Rust panic: its message and its place, from what the panic machinery keeps on the stack.
//!
//! `panic_with_hook` holds a `PanicHookInfo`, the payload's data and vtable, and a `&'static Location`; `panic_fmt` holds
//! a `PanicInfo`, the message's `fmt::Arguments` and the same location. Neither has a stable layout: both are recognised by
//! what their words point to, and a message is told only where these agree.
//! Source: Rust 1.95 library/std/src/panic.rs, library/std/src/panicking.rs, library/core/src/panic/panic_info.rs,
//! library/core/src/fmt/mod.rs; words seen on dumps of programs made by rustc 1.95.

use crate::capture::Memory;
use crate::model::{Addr, Gap, Known, NamedFrame, SourcePlace, Stack};

/// Bytes of the stack that are searched, from the stack pointer.
const MAX_STACK: u64 = 64 << 10;
/// Innermost frames by which a panic is known.
const FRAMES: usize = 64;
/// Longest message and file name, in bytes.
const MAX_TEXT: u64 = 64 << 10;
const MAX_FILE: u64 = 1 << 10;
const MAX_LINE: u32 = 1 << 24;
const MAX_COLUMN: u32 = 1 << 16;
/// Panics that unwind one stack: a destructor that panics while another unwinds ends the process.
const MAX_UNWINDING: usize = 4;

/// A vtable begins with drop, size, alignment. A payload is `&'static str` or `String` by its size.
const VTABLE_SIZE: u64 = 8;
const VTABLE_ALIGN: u64 = 16;
const STR_BYTES: u64 = 16;
const STRING_BYTES: u64 = 24;

/// Functions that a thread is in while it panics.
const PANICKING: [&str; 6] = [
    "rust_begin_unwind",
    "rust_panic",
    "panicking::panic_with_hook",
    "panicking::rust_panic_with_hook",
    "panicking::panic_fmt",
    "panicking::begin_panic",
];

/// A panic in progress.
pub(super) struct Panic {
    /// What it says.
    pub message: Known<Option<String>>,
    /// Where it was raised.
    pub place: Known<SourcePlace>,
    /// Panics that were unwinding the stack already: their objects and messages, the innermost on the stack first.
    pub unwinding: Vec<(Addr, Known<Option<String>>)>,
}

/// The panic of a thread. `None` where it does not panic; without names, where no trace of a panic is on its stack.
pub(super) fn find(memory: &Memory, stack: &Stack, frames: &[NamedFrame]) -> Option<Panic> {
    let named = frames.iter().take(FRAMES).filter_map(|frame| frame.function.as_deref());
    let panicking = named.clone().any(|name| PANICKING.iter().any(|word| name.contains(word)));
    // Where the program's own functions have names, those of the panic machinery have them too.
    if !panicking && frames.iter().take(FRAMES).any(|frame| frame.function.as_deref().is_some_and(is_rust)) {
        return None;
    }
    let words = words(memory, stack);
    let unwinding = if panicking { unwinding(memory, &words) } else { Vec::new() };
    let found = hook_info(memory, &words);
    if let Some((message, place)) = found {
        return Some(Panic { message: Ok(Some(message)), place: Ok(place), unwinding });
    }
    // Remains of older calls may look like one: one that leads to a text is.
    let infos = panic_infos(memory, &words).map(|(arguments, place)| (static_text(memory, arguments), place));
    if let Some((message, place)) = infos.min_by_key(|(message, _)| message.is_err()) {
        // `panic_any` formats nothing: what it was given would have been found if it were a text.
        let any = named.clone().any(|name| name.contains("panicking::begin_panic"));
        let message = message.map_err(|gap| if any { no_text() } else { gap });
        return Some(Panic { message: message.map(Some), place: Ok(place), unwinding });
    }
    let gap = || Gap::NotRecorded("no trace of the panic's location is on the stack".to_owned());
    panicking.then(|| Panic { message: Err(gap()), place: Err(gap()), unwinding })
}

fn no_text() -> Gap {
    Gap::Unsupported("what it panicked with is no text".to_owned())
}

/// The objects of panics that unwind: each frame that runs destructors on the way keeps a pointer to go on with.
// Layout: `_Unwind_Exception` (class, cleanup, two words), canary, payload's data and vtable.
// Source: Rust 1.95 library/panic_unwind/src/gcc.rs, library/unwind/src/libunwind.rs.
fn unwinding(memory: &Memory, words: &[u64]) -> Vec<(Addr, Known<Option<String>>)> {
    const CLASS: u64 = u64::from_le_bytes(*b"MOZ\0RUST");
    const DATA: u64 = 40;
    const VTABLE: u64 = 48;
    let mut found: Vec<(Addr, Known<Option<String>>)> = Vec::new();
    for object in words.iter().copied().map(Addr).filter(|word| memory.is_pointer(*word)) {
        let word = |offset: u64| memory.u64(object.plus(offset)?).ok();
        if word(0) != Some(CLASS) || found.iter().any(|(known, _)| *known == object) {
            continue;
        }
        let payload = word(DATA).zip(word(VTABLE)).and_then(|(data, vtable)| payload(memory, Addr(data), Addr(vtable)));
        found.push((object, payload.map(Some).ok_or_else(no_text)));
        if found.len() == MAX_UNWINDING {
            break;
        }
    }
    found
}

fn is_rust(name: &str) -> bool {
    name.contains("::") && (name.starts_with("std::") || name.starts_with("core::") || name.contains("lang_start"))
}

/// The live words of the stack, innermost first.
fn words(memory: &Memory, stack: &Stack) -> Vec<u64> {
    let Some(sp) = stack.frames.first().map(|frame| frame.sp) else { return Vec::new() };
    let Ok(bytes) = memory.slice_up_to(sp, MAX_STACK) else { return Vec::new() };
    memory.pointers(bytes).map(|word| word.0).collect()
}

/// `PanicHookInfo`: payload data, payload vtable, location, two booleans.
fn hook_info(memory: &Memory, words: &[u64]) -> Option<(String, SourcePlace)> {
    words.windows(4).find_map(|window| {
        let &[data, vtable, at, flags] = window else { return None };
        let place = are_booleans(flags).then(|| location(memory, Addr(at))).flatten()?;
        Some((payload(memory, Addr(data), Addr(vtable))?, place))
    })
}

/// `PanicInfo`: the message's arguments, location, two booleans.
fn panic_infos(memory: &Memory, words: &[u64]) -> impl Iterator<Item = (Addr, SourcePlace)> {
    words.windows(3).filter_map(|window| {
        let &[arguments, at, flags] = window else { return None };
        let place = are_booleans(flags).then(|| location(memory, Addr(at))).flatten()?;
        memory.u64(Addr(arguments)).ok()?;
        Some((Addr(arguments), place))
    })
}

/// The two lowest bytes are booleans; what follows in the word is padding.
fn are_booleans(word: u64) -> bool {
    let [first, second, ..] = word.to_le_bytes();
    first <= 1 && second <= 1
}

/// `Location`: file (pointer, length), line, column. The file's name is a constant.
fn location(memory: &Memory, at: Addr) -> Option<SourcePlace> {
    if !at.is_aligned(8) {
        return None;
    }
    let length = memory.u64(at.plus(8)?).ok().filter(|length| (4..=MAX_FILE).contains(length))?;
    let text = memory.ptr(at).ok().filter(|text| memory.region_at(*text).is_some_and(|region| !region.access.write))?;
    let file = std::str::from_utf8(memory.slice(text, length).ok()?).ok()?;
    let line = memory.u32(at.plus(16)?).ok().filter(|line| (1..MAX_LINE).contains(line))?;
    let column = memory.u32(at.plus(20)?).ok().filter(|column| (1..MAX_COLUMN).contains(column))?;
    let plausible = file.ends_with(".rs") && !file.chars().any(char::is_control);
    plausible.then(|| SourcePlace { file: file.to_owned(), line, column: Some(column), function: None })
}

/// The text of a payload that is a `&'static str` or a `String`.
fn payload(memory: &Memory, data: Addr, vtable: Addr) -> Option<String> {
    // Its first word is the function that drops the payload, or null.
    let drops = memory.ptr(vtable).ok()?;
    if drops.0 != 0 && memory.region_at(drops).is_none_or(|region| !region.access.execute) {
        return None;
    }
    if memory.u64(vtable.plus(VTABLE_ALIGN)?).ok()? != 8 {
        return None;
    }
    let word = |index: u64| memory.u64(data.plus(8u64.checked_mul(index)?)?).ok();
    match memory.u64(vtable.plus(VTABLE_SIZE)?).ok()? {
        STR_BYTES => text(memory, Addr(word(0)?), word(1)?),
        // Capacity, pointer, length.
        STRING_BYTES => text(memory, Addr(word(1)?), word(2).filter(|length| Some(*length) <= word(0))?),
        _ => None,
    }
}

/// The text of arguments that consist of one static piece.
// Since Rust 1.93 an Arguments is two words: a template, and either arguments or, with the lowest bit set, twice the length of
// the template, which then is the text itself. Before, it began with its pieces (pointer, count) and its arguments.
// Source: library/core/src/fmt/mod.rs, Arguments::as_statically_known_str; words seen on dumps.
fn static_text(memory: &Memory, arguments: Addr) -> Known<String> {
    let formatted = || Gap::Unsupported("the message was being formatted and is not kept as a text".to_owned());
    let word = |index: u64| -> Known<u64> { Ok(memory.u64(arguments.plus(8 * index).ok_or_else(formatted)?)?) };
    let (first, second) = (word(0)?, word(1)?);
    if second == 1 && word(3)? == 0 {
        let piece = Addr(first);
        let length = memory.u64(piece.plus(8).ok_or_else(formatted)?)?;
        return text(memory, memory.ptr(piece)?, length).ok_or_else(formatted);
    }
    if second & 1 == 1 {
        return text(memory, Addr(first), second >> 1).ok_or_else(formatted);
    }
    Err(formatted())
}

fn text(memory: &Memory, at: Addr, length: u64) -> Option<String> {
    if length == 0 {
        return Some(String::new());
    }
    let bytes = memory.slice(at, Some(length).filter(|length| *length <= MAX_TEXT)?).ok()?;
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Access, Origin, Region, Segment};
    use crate::model::{End, Frame, FrameKind, Trust, Why};
    use symbols::FileBytes;

    const STACK: u64 = 0x7000;
    const RODATA: u64 = 0x4000;
    const HEAP: u64 = 0x9000;

    /// | rodata: Location {0x4060, 9, line 33, column 9}, padding, vtable {drop, size, 8}, file name | stack | heap |
    fn memory(size: u64, stack: &[u64], heap: &[u8]) -> Memory {
        let mut rodata: Vec<u8> = [RODATA + 0x60, 9, (9 << 32) | 33, 0, 0, size, 8, 0, 0, 0, 0, 0]
            .iter()
            .flat_map(|word: &u64| word.to_le_bytes())
            .collect();
        rodata.extend(b"x/main.rs");
        let stack: Vec<u8> = stack.iter().flat_map(|word| word.to_le_bytes()).collect();
        let segment = |start, bytes: Vec<u8>| Segment {
            start: Addr(start),
            bytes: FileBytes::from_vec(bytes),
            origin: Origin::Dump,
        };
        let region = |start, write| Region {
            start: Addr(start),
            end: Addr(start + 0x1000),
            access: Access { read: true, write, execute: false },
            missing: Why::NotDumped,
        };
        Memory::new(
            vec![segment(RODATA, rodata), segment(STACK, stack), segment(HEAP, heap.to_vec())],
            vec![region(RODATA, false), region(STACK, true), region(HEAP, true)],
        )
    }

    fn found(memory: &Memory) -> Option<(Known<Option<String>>, String)> {
        let frame = Frame {
            pc: Addr(0x1000),
            returns: false,
            sp: Addr(STACK),
            cfa: None,
            kind: FrameKind::Native,
            trust: Trust::Context,
        };
        let stack = Stack::without_registers(vec![frame], End::Bottom);
        find(memory, &stack, &[]).map(|panic| (panic.message, panic.place.unwrap().to_string()))
    }

    #[test]
    fn a_formatted_message_is_the_string_in_the_payload() {
        // PanicHookInfo {&String, vtable, &Location, true false}, then the String {capacity, pointer, length}
        let stack = [0, STACK + 0x28, RODATA + 0x20, RODATA, 0x0001, 0x20, HEAP, 5];
        let got = found(&memory(24, &stack, b"hello....."));
        assert_eq!(got, Some((Ok(Some("hello".into())), "x/main.rs:33:9".into())));
    }

    #[test]
    fn a_literal_message_is_the_str_in_the_payload() {
        let stack = [0, STACK + 0x28, RODATA + 0x20, RODATA, 0x0001, HEAP, 4];
        let got = found(&memory(16, &stack, b"boom"));
        assert_eq!(got, Some((Ok(Some("boom".into())), "x/main.rs:33:9".into())));
    }

    #[test]
    fn without_a_payload_static_arguments_give_the_text() {
        // PanicInfo {&Arguments, &Location, true false}, then Arguments {template, length 4 << 1 | 1}
        let stack = [0, STACK + 0x20, RODATA, 0x0001, HEAP, 9];
        let got = found(&memory(16, &stack, b"boom"));
        assert_eq!(got, Some((Ok(Some("boom".into())), "x/main.rs:33:9".into())));
    }

    #[test]
    fn what_only_looks_like_an_information_does_not_hide_the_text() {
        // An older PanicInfo whose arguments are no text, then the one of above.
        let stack = [0, RODATA + 0x20, RODATA, 0x0100, STACK + 0x38, RODATA, 0x0100, HEAP, 9];
        let got = found(&memory(16, &stack, b"boom"));
        assert_eq!(got, Some((Ok(Some("boom".into())), "x/main.rs:33:9".into())));
    }

    #[test]
    fn without_a_payload_a_formatted_message_is_unknown_but_its_place_is_told() {
        let stack = [0, STACK + 0x20, RODATA, 0x0001, HEAP, HEAP];
        let (message, place) = found(&memory(16, &stack, b"boom")).unwrap();
        assert!(message.is_err());
        assert_eq!(place, "x/main.rs:33:9");
    }

    #[test]
    fn a_stack_without_a_location_is_no_panic() {
        assert!(found(&memory(16, &[0; 16], b"boom")).is_none());
    }
}
