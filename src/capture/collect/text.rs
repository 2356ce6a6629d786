//! The code that a stack is walked by where unwind tables do not tell: without it a dump shows fewer frames than the
//! full one.
//!
//! Whether a word of a stack is a return address is judged by the call before it; where code has no tables (musl, Go,
//! what a compiler makes at run time), the function that the call leads to is followed to where the callee stands, and
//! from there to its return. So the pages are kept that words of stacks point into, and those of the functions that are
//! called before them. Of a small module without tables all code is kept. Everything is bounded; no page is kept for
//! what is no code.

use rustc_hash::FxHashSet;

use super::images::Image;
use super::maps::{Mapping, Span};
use super::pages::Pages;
use super::peek::Peek;
use super::source::PAGE;

/// A module without tables whose code is kept whole. musl 1.2.3 has 400 KiB, a static busybox 1.2 MiB.
const WHOLE: u64 = 2 << 20;
/// Code that is kept of all modules.
const MAX_CODE: u64 = 16 << 20;
/// Words of stacks that are looked at.
const MAX_WORDS: usize = 1 << 16;
/// Bytes before a return address that a call can have, and those from an address on by which a system call, a signal's
/// trampoline or the end of a thread is recognised.
const BEFORE: u64 = 16;
const AFTER: u64 = 64;
/// Code around a place, and from a function's start on, that is kept where there are no tables.
const AROUND: u64 = PAGE;
const FUNCTION: u64 = 2 * PAGE;
/// Jumps that are followed from a call's target: a stub, and a function that jumps to another as its last act.
const MAX_JUMPS: usize = 4;

/// An executable mapping.
#[derive(Clone, Copy, Debug)]
struct Part {
    span: Span,
    /// Whether nothing tells how its frames are left.
    bare: bool,
    /// The code of its module, where that is kept whole.
    whole: Option<Span>,
}

/// The executable memory of a process.
#[derive(Debug, Default)]
pub(super) struct Text(Vec<Part>);

impl Text {
    /// Of these mappings and the modules among them.
    pub(super) fn of(mappings: &[Mapping], images: &[Image], peek: &Peek<'_>) -> Text {
        let mut codes: Vec<(Span, bool)> = images.iter().flat_map(|image| image.code(peek)).collect();
        codes.sort_unstable();
        let part = |mapping: &Mapping| {
            let after = codes.partition_point(|(code, _)| code.start < mapping.span.end);
            let code = after.checked_sub(1).and_then(|index| codes.get(index));
            let code = code.filter(|(code, _)| code.common(mapping.span).is_some());
            let bare = code.is_none_or(|(_, tabled)| !tabled);
            let whole = code.map(|(code, _)| *code).filter(|code| bare && code.len() <= WHOLE);
            Part { span: mapping.span, bare, whole }
        };
        let is_code = |mapping: &&Mapping| {
            let executable = mapping.access.execute && mapping.access.read && mapping.excluded().is_none();
            // What is written and executed at once is taken as data, as far as pointers lead there.
            executable && !mapping.access.write && (mapping.is_image() || mapping.is_anonymous())
        };
        Text(mappings.iter().filter(is_code).map(part).collect())
    }

    /// Whether an address is in it.
    pub(super) fn holds(&self, address: u64) -> bool {
        self.part(address).is_some()
    }

    fn part(&self, address: u64) -> Option<&Part> {
        let after = self.0.partition_point(|part| part.span.start.0 <= address);
        self.0.get(after.checked_sub(1)?).filter(|part| part.span.contains(address))
    }

    /// The pages that are needed of it. `places`: where threads stand. `words`: what their stacks hold.
    pub(super) fn pages(&self, places: &[u64], words: &FxHashSet<u64>, peek: &Peek<'_>) -> Chosen<'_> {
        let mut chosen = Chosen { text: self, pages: Pages::default(), bytes: 0 };
        for place in places {
            chosen.around(*place, true);
        }
        let mut sorted: Vec<u64> = words.iter().copied().collect();
        sorted.sort_unstable();
        for word in sorted.into_iter().take(MAX_WORDS) {
            match call_before(word, peek) {
                None => chosen.around(word, false),
                Some(target) => {
                    chosen.around(word, true);
                    target.into_iter().for_each(|target| chosen.function(target, peek));
                }
            }
        }
        chosen
    }
}

/// Pages of code.
pub(super) struct Chosen<'a> {
    text: &'a Text,
    pub(super) pages: Pages,
    /// Bytes of them.
    pub(super) bytes: u64,
}

impl Chosen<'_> {
    fn add(&mut self, span: Span, within: Span) {
        let Some(span) = span.common(within) else { return };
        let pages = Span::new(span.start.0 / PAGE * PAGE, span.end.0.saturating_add(PAGE - 1) / PAGE * PAGE);
        if self.bytes.saturating_add(pages.len()) <= MAX_CODE && self.pages.add(span) {
            self.bytes = self.bytes.saturating_add(pages.len());
        }
    }

    /// The code around a place. `frame`: whether a frame may stand there.
    fn around(&mut self, place: u64, frame: bool) {
        let Some(part) = self.text.part(place).copied() else { return };
        let (before, after) = if part.bare && frame { (AROUND, AROUND) } else { (BEFORE, AFTER) };
        self.add(Span::new(place.saturating_sub(before), place.saturating_add(after)), part.span);
        if let Some(whole) = part.whole.filter(|_| frame) {
            self.add(whole, whole);
        }
    }

    /// The function that begins at `start`, behind stubs.
    fn function(&mut self, start: u64, peek: &Peek<'_>) {
        let mut start = start;
        for _ in 0..=MAX_JUMPS {
            let Some(part) = self.text.part(start).copied() else { return };
            let len = if part.bare { FUNCTION } else { AFTER };
            self.add(Span::new(start, start.saturating_add(len)), part.span);
            match jump_at(start, peek) {
                Some(target) => start = target,
                None => return,
            }
        }
    }
}

/// Whether a call stands before an address, and where it leads if that is known. Source: Intel SDM volume 2, CALL: E8
/// rel32; FF /2, two to seven bytes long with its operand, of which FF 15 goes through a word beside the code.
#[cfg(not(target_arch = "aarch64"))]
fn call_before(address: u64, peek: &Peek<'_>) -> Option<Option<u64>> {
    const LONGEST: u64 = 8;
    let mut bytes = [0u8; LONGEST as usize];
    peek.read(address.checked_sub(LONGEST)?, &mut bytes)?;
    let relative = || Some(i64::from(i32::from_le_bytes(*bytes.last_chunk()?)).cast_unsigned());
    if bytes.get(3) == Some(&0xe8) {
        return Some(relative().map(|offset| address.wrapping_add(offset)));
    }
    if bytes.get(2..4) == Some(&[0xff, 0x15]) {
        return Some(relative().and_then(|offset| peek.word(address.wrapping_add(offset))));
    }
    // Bits 3 to 5 of the byte behind FF are 2.
    let indirect = (2..=7usize).any(|len| {
        let at = bytes.len().checked_sub(len);
        let operand = at.and_then(|at| bytes.get(at..at.checked_add(2)?));
        operand.is_some_and(|pair| matches!(pair, [0xff, operand] if operand >> 3 & 7 == 2))
    });
    indirect.then_some(None)
}

/// Where the jump at an address leads, behind an endbr64. Source: as above, JMP: E9 rel32; FF 25 goes through a word
/// beside the code, also behind the prefix F2.
#[cfg(not(target_arch = "aarch64"))]
fn jump_at(address: u64, peek: &Peek<'_>) -> Option<u64> {
    let mut bytes = [0u8; 11];
    peek.read(address, &mut bytes)?;
    let marked = usize::from(bytes.starts_with(&[0xf3, 0x0f, 0x1e, 0xfa])) * 4;
    let prefixed = marked.checked_add(usize::from(bytes.get(marked) == Some(&0xf2)))?;
    let (length, through) = match bytes.get(prefixed..)? {
        [0xe9, ..] => (1, false),
        [0xff, 0x25, ..] => (2, true),
        _ => return None,
    };
    let at = prefixed.checked_add(length)?;
    let offset = i64::from(i32::from_le_bytes(*bytes.get(at..)?.first_chunk()?)).cast_unsigned();
    let target = address.wrapping_add(at.checked_add(4)? as u64).wrapping_add(offset);
    if through { peek.word(target) } else { Some(target) }
}

/// Source: Arm Architecture Reference Manual, C6.2: BL is 100101 and 26 bits of distance in words, BLR
/// 1101011000111111000000 and a register.
#[cfg(target_arch = "aarch64")]
fn call_before(address: u64, peek: &Peek<'_>) -> Option<Option<u64>> {
    let at = address.checked_sub(4)?;
    let word = peek.half(at)?;
    if word >> 26 == 0b10_0101 {
        let offset = i64::from((word << 6).cast_signed() >> 4).cast_unsigned();
        return Some(Some(at.wrapping_add(offset)));
    }
    (word & 0xffff_fc1f == 0xd63f_0000).then_some(None)
}

/// Source: as above, B is 000101 and 26 bits of distance in words.
#[cfg(target_arch = "aarch64")]
fn jump_at(address: u64, peek: &Peek<'_>) -> Option<u64> {
    let word = peek.half(address)?;
    let offset = i64::from((word << 6).cast_signed() >> 4).cast_unsigned();
    (word >> 26 == 0b00_0101).then(|| address.wrapping_add(offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::collect::source::Source;

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn calls_and_jumps_are_told_with_where_they_lead() {
        // 0 call 8 | 5 nop (3) | 8 endbr64 | c jmp *0xe(%rip) → word at 0x20 | 12 call *8(%rip) → 0x20 | 18 call *%rax
        // | 1a jmp 8
        let mut code = [0x90u8; 0x28];
        code[..5].copy_from_slice(&[0xe8, 3, 0, 0, 0]);
        code[8..18].copy_from_slice(&[0xf3, 0x0f, 0x1e, 0xfa, 0xff, 0x25, 0x0e, 0, 0, 0]);
        code[0x12..0x1f].copy_from_slice(&[0xff, 0x15, 8, 0, 0, 0, 0xff, 0xd0, 0xe9, 0xe9, 0xff, 0xff, 0xff]);
        code[0x20..].copy_from_slice(&0x4711u64.to_le_bytes());
        let base = code.as_ptr().addr() as u64;
        let source = Source::of(std::process::id());
        let peek = Peek::new(&source);
        assert_eq!(call_before(base + 5, &peek), Some(Some(base + 8)));
        assert_eq!(call_before(base + 0x18, &peek), Some(Some(0x4711)));
        assert_eq!(call_before(base + 0x1a, &peek), Some(None));
        assert_eq!(call_before(base + 0x10, &peek), None);
        assert_eq!(jump_at(base + 8, &peek), Some(0x4711));
        assert_eq!(jump_at(base + 0x1a, &peek), Some(base + 8));
        assert_eq!(jump_at(base, &peek), None);
    }
}
