//! Debug information that refers to itself, nests without end, or repeats one long list.

use std::time::Duration;

use symbols::{Elf, FileBytes, ModuleSymbols, Svma};

use crate::writer::{Bytes, Section, elf};
use crate::{ask_everything, processor_time};

// DWARF 5 §7.5.3: tags; §7.5.4: attributes; §7.5.6: forms.
const COMPILE_UNIT: u64 = 0x11;
const SUBPROGRAM: u64 = 0x2e;
const INLINED: u64 = 0x1d;
const STRUCTURE: u64 = 0x13;
const POINTER: u64 = 0x0f;
const MEMBER: u64 = 0x0d;
const VARIABLE: u64 = 0x34;
const PARAMETER: u64 = 0x05;
const SUBROUTINE: u64 = 0x15;
const NAME: (u64, u64) = (0x03, 0x08); // string
const LOW_PC: (u64, u64) = (0x11, 0x01); // addr
const HIGH_PC: (u64, u64) = (0x12, 0x06); // data4
const ORIGIN: (u64, u64) = (0x31, 0x13); // ref4
const TYPE: (u64, u64) = (0x49, 0x13); // ref4
const LANGUAGE: (u64, u64) = (0x13, 0x0b); // data1
const MEMBER_OFFSET: (u64, u64) = (0x38, 0x0b); // data1
const BYTE_SIZE: (u64, u64) = (0x0b, 0x0b); // data1
const LOCATION: (u64, u64) = (0x02, 0x18); // exprloc
const RANGES: (u64, u64) = (0x55, 0x17); // sec_offset
const C_PLUS_PLUS: u8 = 0x04;

/// An abbreviation: tag, whether it has children, attributes.
type Abbreviation<'a> = (u64, bool, &'a [(u64, u64)]);

/// A table of abbreviations, numbered from 1.
fn abbreviations(entries: &[Abbreviation<'_>]) -> Vec<u8> {
    let mut bytes = Bytes::little();
    for (number, (tag, children, attributes)) in (1..).zip(entries) {
        bytes.uleb(number).uleb(*tag).u8(u8::from(*children));
        for (name, form) in *attributes {
            bytes.uleb(*name).uleb(*form);
        }
        bytes.uleb(0).uleb(0);
    }
    bytes.uleb(0);
    bytes.bytes
}

/// Length of the header of a version 4 unit: entries start there, references count from the start of the unit.
const UNIT_HEADER: usize = 11;

/// A file whose only unit (DWARF 4) has these entries.
fn file(abbreviations: Vec<u8>, entries: &[u8], more: &[Section]) -> Vec<u8> {
    let mut info = Bytes::little();
    info.u32((UNIT_HEADER - 4 + entries.len()) as u32).u16(4).u32(0).u8(8).raw(entries);
    let mut sections = vec![
        Section { name: ".text", kind: 1, flags: 6, address: 0x1000, link: 0, content: vec![0x90; 0x100] },
        Section::debug(".debug_abbrev", abbreviations),
        Section::debug(".debug_info", info.bytes),
    ];
    sections.extend_from_slice(more);
    elf(true, false, 62, &sections)
}

fn module(bytes: Vec<u8>) -> ModuleSymbols {
    ModuleSymbols::new(Some(Elf::parse(FileBytes::from_vec(bytes)).unwrap().into()), None)
}

/// Runs `ask` in a thread with the stack that worker threads have, and says how much processor time it took.
fn in_worker<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> (T, Duration) {
    let timed = || {
        let answer = ask();
        (answer, processor_time())
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(timed).unwrap().join().unwrap()
}

#[test]
fn a_million_inlined_calls_inside_each_other_need_no_stack() {
    let table = abbreviations(&[
        (COMPILE_UNIT, true, &[LOW_PC, HIGH_PC]),
        (SUBPROGRAM, true, &[NAME, LOW_PC, HIGH_PC]),
        (INLINED, true, &[LOW_PC, HIGH_PC]),
    ]);
    let depth = 1_000_000;
    let mut entries = Bytes::little();
    entries.uleb(1).u64(0x1000).u32(0x100);
    entries.uleb(2).text("outer").u64(0x1000).u32(0x100);
    for _ in 0..depth {
        entries.uleb(3).u64(0x1000).u32(0x100);
    }
    entries.raw(&vec![0; depth + 2]);
    let bytes = file(table, &entries.bytes, &[]);
    let (frames, took) = in_worker(|| module(bytes).frames(Svma(0x1010)));
    assert_eq!(frames.last().unwrap().function.as_deref(), Some("outer"));
    assert!(frames.len() < 300 && took < Duration::from_secs(5), "{} frames in {took:?}", frames.len());
}

#[test]
fn origins_and_types_that_go_in_circles_end() {
    let table = abbreviations(&[
        (COMPILE_UNIT, true, &[LANGUAGE, LOW_PC, HIGH_PC]),
        (SUBPROGRAM, false, &[ORIGIN, LOW_PC, HIGH_PC]),
        (POINTER, false, &[TYPE]),
        (STRUCTURE, true, &[NAME, BYTE_SIZE]),
        (MEMBER, false, &[NAME, TYPE, MEMBER_OFFSET]),
        (VARIABLE, false, &[NAME, TYPE, LOCATION]),
    ]);
    let mut entries = Bytes::little();
    entries.uleb(1).u8(C_PLUS_PLUS).u64(0x1000).u32(0x100);
    let function = (UNIT_HEADER + entries.bytes.len()) as u32;
    entries.uleb(2).u32(function).u64(0x1000).u32(0x10);
    let pointer = (UNIT_HEADER + entries.bytes.len()) as u32;
    entries.uleb(3).u32(pointer);
    // struct S { S inside; } — of size 255, with itself at offset 0.
    let structure = (UNIT_HEADER + entries.bytes.len()) as u32;
    entries.uleb(4).text("S").u8(255);
    entries.uleb(5).text("inside").u32(structure).u8(0).u8(0);
    // DW_OP_addr 0x2000.
    let mut place = Bytes::little();
    place.u8(9).u8(0x03).u64(0x2000);
    entries.uleb(6).text("g_s").u32(structure).raw(&place.bytes);
    let mut place = Bytes::little();
    place.u8(9).u8(0x03).u64(0x2100);
    entries.uleb(6).text("g_p").u32(pointer).raw(&place.bytes);
    entries.u8(0);
    let bytes = file(table, &entries.bytes, &[]);
    let ((frames, inside, pointer), took) = in_worker(|| {
        let module = module(bytes);
        (module.frames(Svma(0x1001)), module.global_at(Svma(0x2003)), module.global_at(Svma(0x2100)))
    });
    assert!(frames.iter().all(|frame| frame.function.is_none()));
    assert!(inside.unwrap().path.starts_with("g_s.inside.inside"));
    assert!(pointer.unwrap().type_name.contains('…'));
    assert!(took < Duration::from_secs(5));
}

#[test]
fn functions_whose_parameters_are_functions_of_themselves_are_cut() {
    let parameters = 60;
    let table = abbreviations(&[
        (COMPILE_UNIT, true, &[LANGUAGE, LOW_PC, HIGH_PC]),
        (SUBPROGRAM, true, &[NAME, LOW_PC, HIGH_PC]),
        (PARAMETER, false, &[TYPE]),
        (SUBROUTINE, true, &[]),
        (STRUCTURE, false, &[NAME]),
    ]);
    let mut entries = Bytes::little();
    entries.uleb(1).u8(C_PLUS_PLUS).u64(0x1000).u32(0x100);
    // A type of functions all of whose parameters are of that type.
    let this = (UNIT_HEADER + entries.bytes.len()) as u32;
    entries.uleb(4);
    for _ in 0..parameters {
        entries.uleb(3).u32(this);
    }
    entries.u8(0);
    // A function with parameters of a type that is local to it, and of that type of functions.
    entries.uleb(2).text("f").u64(0x1000).u32(0x10);
    let local = (UNIT_HEADER + entries.bytes.len()) as u32;
    entries.uleb(5).text("Local").uleb(3).u32(local).uleb(3).u32(this).u8(0).u8(0);
    let bytes = file(table, &entries.bytes, &[]);
    let (frames, took) = in_worker(|| module(bytes).frames(Svma(0x1001)));
    let name = frames[0].function.clone().unwrap();
    assert!(name.starts_with("f(") && name.contains('…') && name.len() < 1 << 20, "{}", name.len());
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_range_list_that_every_function_shares_is_not_read_for_each() {
    let table = abbreviations(&[(COMPILE_UNIT, true, &[LOW_PC, HIGH_PC]), (SUBPROGRAM, false, &[RANGES])]);
    let mut entries = Bytes::little();
    entries.uleb(1).u64(0x1000).u32(0x100);
    for _ in 0..200_000 {
        entries.uleb(2).u32(0);
    }
    entries.u8(0);
    // Empty ranges: they cost time and give nothing.
    let mut ranges = Bytes::little();
    for _ in 0..100_000 {
        ranges.u64(0x1010).u64(0x1010);
    }
    ranges.u64(0).u64(0);
    let bytes = file(table, &entries.bytes, &[Section::debug(".debug_ranges", ranges.bytes)]);
    let (_, took) = in_worker(|| module(bytes).frames(Svma(0x1001)));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn debug_information_cut_at_any_length_is_read_as_far_as_it_goes() {
    let table = abbreviations(&[
        (COMPILE_UNIT, true, &[LANGUAGE, LOW_PC, HIGH_PC]),
        (SUBPROGRAM, true, &[NAME, LOW_PC, HIGH_PC]),
        (INLINED, false, &[LOW_PC, HIGH_PC]),
    ]);
    let mut entries = Bytes::little();
    entries.uleb(1).u8(C_PLUS_PLUS).u64(0x1000).u32(0x100);
    entries.uleb(2).text("f").u64(0x1000).u32(0x10).uleb(3).u64(0x1000).u32(8).u8(0).u8(0);
    for length in 0..entries.bytes.len() {
        ask_everything(file(table.clone(), &entries.bytes[..length], &[]));
    }
    for length in 0..table.len() {
        ask_everything(file(table[..length].to_vec(), &entries.bytes, &[]));
    }
}

#[test]
fn sections_that_claim_to_unpack_to_gigabytes_are_refused() {
    // Elf64_Chdr: type 1 (zlib) or 2 (zstd), reserved, size, alignment.
    for kind in [1, 2, 3] {
        let mut packed = Bytes::little();
        packed.u32(kind).u32(0).u64(64 << 30).u64(1).raw(&[0x78, 0x9c, 0, 0]);
        let section = Section { flags: 0x800, ..Section::debug(".debug_info", packed.bytes) };
        let bytes = elf(true, false, 62, &[section]);
        let file = Elf::parse(FileBytes::from_vec(bytes.clone())).unwrap();
        let error = file.section(".debug_info").unwrap_err().to_string();
        assert!(error.contains(".debug_info"), "{error}");
        assert!(ask_everything(bytes) > 0);
    }
}
