//! Against what dotnet-dump's `gcinfo` printed of the same method, built for three versions.

use super::*;

/// The GC info of `Museum.Program.Guide(int)` in .NET 8.0.33, 9.0.22, 10.0.14.
const OF_8: &str = "91 01 5f 00 00 98 4a 61 91 07 32 e1 01 19 cc 61 30 18 0c 06 0b 5e 3a 4d 97 a6 d3 90 87 b4 6e 5a ac d7 4c 4b f5 aa e9 f8 1e";
const OF_9: &str = "91 01 5c 00 00 58 a9 21 91 07 32 e1 01 19 cc 61 30 18 0c 06 8c 80 0f 40 aa 96 ce 94 c7 b7 f1 db 6d 38 7d 7b 0d b7 ef 3b 08";
const OF_10: &str = "81 31 05 00 0b 35 06 f3 40 26 3c 20 83 39 0c 06 83 c1 80 11 f0 01 08 b2 96 4e 92 c7 b8 72 5c ae 58 8d 8b 15 bb f1 3c 68 00";
/// Of 10, by hand, least significant bits first: slim 0, with rbp 1, length 0x20 (00000100 0), one safe point (100) at 0x10 (00001), registers (1),
/// one (100), no stack (0), rbx (1100) without flags (00), no table (0), live (1).
const SLIM: &str = "82 08 1c 83";

fn bytes(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal")).collect()
}

fn read(text: &str, format: Format) -> GcInfo {
    GcInfo::read(bytes(text), format).expect("it is whole")
}

/// Each change as dotnet-dump writes it: the offset, then registers that begin and end to be live.
fn changes(info: &GcInfo) -> String {
    const NAMES: [&str; 8] = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"];
    let (mut lines, mut before) = (Vec::new(), Vec::new());
    for offset in info.ranges.iter().flat_map(|range| range.from..range.to) {
        let now = info.live(info.stop(offset)).expect("it is whole");
        let mut changed: Vec<String> = Vec::new();
        for (sign, of, other) in [('-', &before, &now), ('+', &now, &before)] {
            for slot in of.iter().filter(|slot: &&Slot| !other.contains(slot)) {
                let Base::Register(number) = slot.base else { panic!("{slot:?}") };
                changed.push(format!("{sign}{}", NAMES[number as usize]));
            }
        }
        changed.sort();
        if !changed.is_empty() {
            lines.push(format!("{offset:x} {}", changed.join(" ")));
        }
        before = now;
    }
    lines.join("\n")
}

fn untracked() -> Vec<Slot> {
    let slot = |offset| Slot { base: Base::Frame(offset), interior: false, pinned: false };
    [-0x38, -0x30, -0x28, -0x20, -0x18, -0x10].map(slot).to_vec()
}

#[test]
fn a_method_of_8_is_told_as_dotnet_dump_tells_it() {
    let info = read(OF_8, Format::Three);
    let Header { code, frame, outgoing, prologue, cookie, psp, context, varargs, only_leaf, .. } = info.header;
    assert_eq!((code, frame, outgoing, prologue, varargs, only_leaf), (0xbe, Some(5), 0, 0, false, true));
    assert_eq!((cookie, psp, context), (None, Some(0), None));
    assert_eq!(info.ranges, [Range { from: 0x2a, to: 0x35 }, Range { from: 0x4b, to: 0xbe }]);
    assert_eq!(info.untracked(), untracked());
    let expected = "4b +rsi\n53 +rdi\n61 -rdi\n66 +rax -rsi\n94 +rdi\n98 +rsi\n9e -rdi -rsi\na6 +rsi\naa +rdi\nae +rdx\nb4 -rax -rdi -rdx -rsi\nb8 +rdi\nbd -rdi";
    assert_eq!(changes(&info), expected);
}

#[test]
fn a_method_of_9_is_told_as_dotnet_dump_tells_it() {
    let info = read(OF_9, Format::Three);
    assert_eq!((info.header.code, info.header.psp), (0xb8, Some(0)));
    assert_eq!(info.ranges, [Range { from: 0x25, to: 0x33 }, Range { from: 0x45, to: 0xb8 }]);
    assert_eq!(info.untracked(), untracked());
    let expected = "45 +rsi\n4d +rax\n60 -rsi\n8e +rdi\n92 +rsi\n98 -rdi -rsi\na0 +rsi\na4 +rdi\na8 +rdx\nae -rax -rdi -rdx -rsi\nb2 +rdi\nb7 -rdi";
    assert_eq!(changes(&info), expected);
}

#[test]
fn a_method_of_10_is_told_as_dotnet_dump_tells_it() {
    let info = read(OF_10, Format::Four);
    assert_eq!(
        (info.header.code, info.header.frame, info.header.psp, info.header.only_leaf),
        (0xa6, Some(5), None, true)
    );
    assert_eq!(info.ranges, [Range { from: 0x21, to: 0x2f }, Range { from: 0x32, to: 0xa6 }]);
    assert_eq!(info.untracked(), untracked());
    let expected = "32 +rdi\n3a +rax\n48 -rdi\n7c +rdi\n80 +rsi\n86 -rdi -rsi\n8e +rsi\n92 +rdi\n96 +rdx\n9c -rax -rdi -rdx -rsi\na0 +rdi\na5 -rdi";
    assert_eq!(changes(&info), expected);
}

#[test]
fn a_slim_method_has_what_is_live_at_its_safe_point() {
    let info = read(SLIM, Format::Four);
    assert_eq!((info.header.code, info.header.frame, info.safe_points.as_slice()), (0x20, Some(5), &[0x10][..]));
    assert!(info.ranges.is_empty());
    let rbx = Slot { base: Base::Register(3), interior: false, pinned: false };
    assert_eq!(info.stop(0x10), Stop::SafePoint(0));
    assert_eq!(info.live(Stop::SafePoint(0)), Ok(vec![rbx]));
    assert_eq!(info.stop(0x11), Stop::Neither);
}

#[test]
fn where_the_collector_does_not_stop_only_untracked_slots_are_live() {
    let info = read(OF_10, Format::Four);
    assert_eq!(info.stop(0x30), Stop::Neither);
    assert_eq!(info.live(Stop::Neither), Ok(Vec::new()));
    // Within both ranges in a row: 14 of the first are before.
    assert_eq!(info.stop(0x32), Stop::Interruptible(14));
}

#[test]
fn what_is_cut_or_damaged_is_a_gap_at_each_byte() {
    for (text, format) in [(OF_8, Format::Three), (OF_10, Format::Four)] {
        let whole = bytes(text);
        for len in 0..whole.len() - 2 {
            let told = GcInfo::read(whole[..len].to_vec(), format);
            let cut = told.is_err() || told.is_ok_and(|info| (0..0xa6).any(|at| info.live(info.stop(at)).is_err()));
            assert!(cut, "{len}");
        }
        for at in 0..whole.len() {
            for value in [0, 0x55, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                if let Ok(info) = GcInfo::read(damaged, format) {
                    (0..info.header.code.min(1 << 12)).for_each(|at| drop(info.live(info.stop(at))));
                }
            }
        }
    }
}

#[test]
fn a_damaged_count_makes_no_room() {
    assert!(GcInfo::read(vec![0xff; 64], Format::Three).is_err());
    assert!(GcInfo::read(vec![0xff; 64], Format::Four).is_err());
    assert!(GcInfo::read(Vec::new(), Format::Four).is_err());
}
