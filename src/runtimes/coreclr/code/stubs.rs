//! What pieces of code are that the runtime makes for itself: by the kind that it records of them, else by their instructions.

use crate::capture::Memory;
use crate::model::Addr;

/// Code headers up to this are numbers of kinds, and no pointers. Source: dotnet/runtime src/coreclr/vm/codeman.h, STUB_CODE_BLOCK_LAST.
pub(super) const LAST: u64 = 0xf;
/// Bytes before and behind an address that are looked at.
const BEFORE: u64 = 0xc0;
const BEHIND: u64 = 0x40;

/// What a kind is. Source: codeman.h, enum StubCodeBlockKind, of .NET 8 to 10.
pub(super) fn kind(number: u64) -> &'static str {
    match number {
        1 => "jump stub",
        2 | 4 => "precode",
        3 => "dynamic helper",
        5 => "fixup precode",
        6 => "interface dispatch stub",
        7 => "interface resolve stub",
        8 => "interface lookup stub",
        9 => "virtual call stub",
        _ => "stub",
    }
}

/// How one kind of code begins and ends.
struct Shape {
    name: &'static str,
    begins: &'static [u8],
    /// Somewhere between.
    holds: &'static [u8],
    ends: &'static [u8],
}

// Instructions as the runtime writes or copies them to where it has room: dotnet/runtime src/coreclr/vm/i386/stublinkerx86.cpp, EmitShuffleThunk
// (mov r11, rdi … jmp r10) and EmitInstantiatingMethodStub (mov rsi, imm64; mov rax, imm64; jmp rax); src/coreclr/vm/amd64/jithelpers_fast.S and
// jithelpers_slow.S, JIT_WriteBarrier (mov [rdi], rsi … shr rdi, imm8 … ret). As seen in 8.0.33 and 10.0.14.
const SHAPES: [Shape; 3] = [
    Shape { name: "delegate shuffle thunk", begins: &[0x49, 0x89, 0xfb], holds: &[], ends: &[0x49, 0xff, 0xe2] },
    Shape { name: "write barrier", begins: &[0x48, 0x89, 0x37], holds: &[0x48, 0xc1, 0xef], ends: &[0xc3] },
    Shape { name: "instantiating stub", begins: &[0x48, 0xbe], holds: &[0x48, 0xb8], ends: &[0xff, 0xe0] },
];

/// What code outside of all ranges of the runtime's is, by its instructions; `None` where they are not known.
pub(super) fn recognise(memory: &Memory, code: Addr) -> Option<&'static str> {
    let before = (0..=BEFORE).rev().find_map(|back| memory.slice(code.minus(back)?, back).ok())?;
    let behind = memory.slice_up_to(code, BEHIND).ok()?;
    SHAPES.iter().find(|shape| is_within(shape, before, behind)).map(|shape| shape.name)
}

fn is_within(shape: &Shape, before: &[u8], behind: &[u8]) -> bool {
    let begin =
        if behind.starts_with(shape.begins) { Some(before.len()) } else { memchr::memmem::rfind(before, shape.begins) };
    let Some(begin) = begin else { return false };
    let whole = [before, behind].concat();
    let body = whole.get(begin..).unwrap_or_default();
    memchr::memmem::find(body, shape.holds).is_some() && memchr::memmem::find(behind, shape.ends).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_thunk_is_known_at_each_of_its_instructions() {
        // mov rax, rsp; mov r11, rdi; mov rdi, rsi; mov r10, [r11+0x20]; add r11, 0x20; jmp r10: as 8.0.33 writes it.
        let code = [
            0x48, 0x8b, 0xc4, 0x49, 0x89, 0xfb, 0x48, 0x89, 0xf7, 0x4d, 0x8b, 0x53, 0x20, 0x49, 0x83, 0xc3, 0x20, 0x49,
            0xff, 0xe2,
        ];
        let memory = Memory::of_bytes(0x1000, &code);
        for at in [3, 6, 9, 13, 17] {
            assert_eq!(recognise(&memory, Addr(0x1000 + at)), Some("delegate shuffle thunk"), "{at}");
        }
        assert_eq!(recognise(&memory, Addr(0x1000)), None, "before its first instruction");
        assert_eq!(recognise(&Memory::of_bytes(0x1000, &code[..17]), Addr(0x1006)), None, "cut");
        assert_eq!(recognise(&memory, Addr(0x2000)), None);
    }

    #[test]
    fn kinds_have_words() {
        assert_eq!(
            [5, 6, 7, 99].map(kind),
            ["fixup precode", "interface dispatch stub", "interface resolve stub", "stub"]
        );
    }
}
