//! A file of two segments against a module in memory: each part of it wrong in turn.

use symbols::{Comparison, Contents, Elf, FileBytes};

use super::*;
use crate::capture::{Access, ImageKind, MappedModule, MappedPart, Memory, Origin, Region, Role, Segment};
use crate::model::Why;

const BASE: u64 = 0x7f00_0000_0000;
const PAGE: usize = 0x1000;
/// Header (64 bytes) and two program headers of 56.
const HEADERS: usize = 64 + 2 * 56;

/// Constants at 0 and instructions at 0x1000, a page each; 64 section headers are said to follow at 0x2000.
fn file() -> Vec<u8> {
    let mut bytes = vec![0x11; 2 * PAGE];
    bytes[..HEADERS].fill(0);
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    put(&mut bytes, 16, &[3, 0, 62, 0, 1, 0, 0, 0]);
    // e_phoff, e_shoff; e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx.
    put(&mut bytes, 32, &64u64.to_le_bytes());
    put(&mut bytes, 40, &0x2000u64.to_le_bytes());
    put(&mut bytes, 52, &[64, 0, 56, 0, 2, 0, 64, 0, 64, 0, 63, 0]);
    // PF_R; PF_R | PF_X.
    for (at, flags, offset) in [(64, 4u8, 0u64), (120, 5, PAGE as u64)] {
        put(&mut bytes, at, &[1, 0, 0, 0, flags]);
        for (field, value) in [(8, offset), (16, offset), (24, offset), (32, 0x1000), (40, 0x1000), (48, 0x1000)] {
            put(&mut bytes, at + field, &value.to_le_bytes());
        }
    }
    bytes[PAGE..].fill(0x90);
    bytes
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn parts() -> Vec<MappedPart> {
    let part = |offset: u64| MappedPart { start: Addr(BASE + offset), end: Addr(BASE + offset + 0x1000), offset };
    vec![part(0), part(0x1000)]
}

fn module(parts: Vec<MappedPart>) -> MappedModule {
    MappedModule {
        base: Addr(BASE),
        end: Addr(BASE + 0x2000),
        bias: Some(BASE),
        path: Some("/srv/libplugin.so".into()),
        build_id: Ok(None),
        parts,
        copies: Vec::new(),
        role: Role::Library,
        image: ImageKind::ELF,
    }
}

/// What comparing `file` tells where the dump holds `held` of the module, each with its offset from the base.
fn compare_parts(file: &[u8], held: &[(usize, &[u8])], parts: Vec<MappedPart>) -> Option<Comparison> {
    let segment = |(at, bytes): &(usize, &[u8])| Segment {
        start: Addr(BASE + *at as u64),
        bytes: FileBytes::from_vec(bytes.to_vec()),
        origin: Origin::Dump,
    };
    let region =
        Region { start: Addr(BASE), end: Addr(BASE + 0x2000), access: Access::default(), missing: Why::NotDumped };
    let memory = Memory::new(held.iter().map(segment).collect(), vec![region]);
    let mapped = module(parts);
    let file = Elf::parse(FileBytes::from_vec(file.to_vec())).ok()?;
    Some(Held { mapped: &mapped, memory: &memory, recorded: None }.compare(&file))
}

fn compare(file: &[u8], held: &[(usize, &[u8])]) -> Comparison {
    compare_parts(file, held, parts()).expect("an ELF file")
}

#[test]
fn the_mapped_file_is_known_by_its_first_page_alone() {
    let file = file();
    assert_eq!(compare(&file, &[(0, &file[..PAGE])]), Comparison::Same("headers, 4096 bytes".into()));
    assert_eq!(compare(&file, &[(0, &file)]), Comparison::Same("headers, 8192 bytes".into()));
}

#[test]
fn a_lie_in_any_byte_of_the_headers_is_never_verified() {
    let file = file();
    for at in 0..HEADERS {
        let mut other = file.clone();
        other[at] ^= 0x40;
        // In the file.
        let told = compare_parts(&other, &[(0, &file)], parts());
        let sections = (40..48).contains(&at) || (58..64).contains(&at);
        assert_eq!(matches!(told, Some(Comparison::Same(_))), sections, "file, byte {at}: {told:?}");
        // In memory.
        let told = compare_parts(&file, &[(0, &other)], parts());
        assert_eq!(matches!(told, Some(Comparison::Same(_))), sections, "memory, byte {at}: {told:?}");
    }
}

#[test]
fn other_section_headers_ask_for_more_than_the_headers() {
    let mapped = file();
    let mut unstripped = mapped.clone();
    put(&mut unstripped, 40, &0x5000u64.to_le_bytes());
    assert!(matches!(compare(&unstripped, &[(0, &mapped[..PAGE])]), Comparison::Same(_)));
    let told = compare(&unstripped, &[(0, &mapped[..HEADERS])]);
    assert!(matches!(&told, Comparison::Unknown(why) if why.contains("too little")), "{told:?}");
}

#[test]
fn what_the_dump_lacks_and_what_it_has_as_zeros_tells_nothing() {
    let file = file();
    assert!(matches!(compare(&file, &[]), Comparison::Unknown(why) if why.contains("nothing of it")));
    let zeros = vec![0; 2 * PAGE];
    assert!(matches!(compare(&file, &[(0, &zeros)]), Comparison::Unknown(why) if why.contains("nothing of it")));
}

#[test]
fn one_other_byte_of_constants_is_another_build_and_a_few_of_instructions_are_doubt() {
    let file = file();
    let mut other = file.clone();
    other[0x800] ^= 1;
    assert!(
        matches!(compare(&file, &[(0, &other)]), Comparison::Differs(what) if what.contains("at 0x800 (1 of 4096"))
    );
    // Without its first page.
    assert!(matches!(compare(&file, &[(PAGE, &file[PAGE..])]), Comparison::Same(_)));
    let mut hooked = file.clone();
    put(&mut hooked, PAGE + 0x10, &[0xe9, 1, 2, 3, 4]);
    assert!(matches!(compare(&file, &[(0, &hooked)]), Comparison::Unknown(why) if why.contains("5 bytes")));
    let mut rebuilt = file.clone();
    rebuilt[PAGE + 0x100..PAGE + 0x200].fill(0x55);
    assert!(matches!(compare(&file, &[(0, &rebuilt)]), Comparison::Differs(what) if what.contains("instructions")));
}

#[test]
fn breakpoints_of_a_debugger_are_no_difference() {
    let file = file();
    let mut debugged = file.clone();
    debugged[PAGE] = 0xcc;
    debugged[PAGE + 0x123] = 0xcc;
    assert!(matches!(compare(&file, &[(0, &debugged)]), Comparison::Same(_)));
}

#[test]
fn mappings_at_other_offsets_are_of_another_file() {
    let file = file();
    let moved = vec![parts()[0], MappedPart { offset: 0x3000, ..parts()[1] }];
    let told = compare_parts(&file, &[], moved).expect("an ELF file");
    assert!(matches!(&told, Comparison::Differs(what) if what.contains("0x3000")), "{told:?}");
}

#[test]
fn a_file_that_is_cut_is_never_verified_and_never_a_fault() {
    let file = file();
    for len in 0..file.len() {
        let told = compare_parts(&file[..len], &[(0, &file)], parts());
        assert!(!matches!(told, Some(Comparison::Same(_))), "cut at {len}: {told:?}");
    }
}

#[test]
fn where_contents_do_not_tell_the_recorded_inode_size_and_time_do() {
    let directory = tempfile::tempdir().expect("a folder");
    let path = directory.path().join("libplugin.so");
    std::fs::write(&path, file()).expect("a file");
    let now = FileFacts::of(&std::fs::metadata(&path).expect("the file"));
    let (memory, mapped) = (Memory::default(), module(parts()));
    let compare = |recorded| {
        let elf = Elf::parse_at(&path, FileBytes::from_vec(file())).expect("an ELF file");
        Held { mapped: &mapped, memory: &memory, recorded }.compare(&elf)
    };
    assert!(matches!(compare(None), Comparison::Unknown(_)));
    assert!(matches!(compare(Some(now)), Comparison::Same(what) if what.contains("inode")));
    // A copy has another inode, and may be the same.
    assert!(matches!(compare(Some(FileFacts { inode: now.inode + 1, ..now })), Comparison::Unknown(_)));
    let other = compare(Some(FileFacts { size: 4711, ..now }));
    assert!(matches!(&other, Comparison::Differs(what) if what.contains("4711")), "{other:?}");
}
