//! Parts of a core that a test takes away: memory that another writer would not have put there.

use std::fs;
use std::path::Path;

/// A mapped part of a core, as its program header and its list of files tell.
#[derive(Clone, Debug)]
pub struct Part {
    /// First address.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// Where its bytes begin in the core.
    pub offset: u64,
    /// Bytes of it in the core.
    pub in_file: u64,
    /// Whether it can be executed.
    pub execute: bool,
    /// The file that is mapped there, and where in memory its first byte is.
    pub file: Option<(String, u64)>,
}

// Sources: System V ABI, "ELF Header", "Program Header" (ELF64); Linux fs/binfmt_elf.c, fill_files_note.
const LOAD: u32 = 1;
const NOTE: u32 = 4;
const EH_FRAME: u32 = 0x6474_e550;
const FILES: u32 = 0x4649_4c45;

struct Header {
    at: usize,
    kind: u32,
    flags: u32,
    offset: usize,
    address: u64,
    in_file: u64,
    in_memory: u64,
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight"))
}

fn half(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"))
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("64 bits")
}

fn headers(bytes: &[u8]) -> Vec<Header> {
    assert_eq!(&bytes[..4], b"\x7fELF");
    let count = usize::from(u16::from_le_bytes([bytes[0x38], bytes[0x39]]));
    // Above that the number stands in the first section header.
    let count = if count == 0xffff { half(bytes, index(word(bytes, 0x28)) + 0x2c) as usize } else { count };
    let header = |number: usize| {
        let at = index(word(bytes, 0x20)) + number * 56;
        let (offset, address) = (index(word(bytes, at + 8)), word(bytes, at + 16));
        let (in_file, in_memory) = (word(bytes, at + 32), word(bytes, at + 40));
        Header { at, kind: half(bytes, at), flags: half(bytes, at + 4), offset, address, in_file, in_memory }
    };
    (0..count).map(header).collect()
}

/// Mapped files: first address, one past the last, where the file's first byte would be, path.
fn files(bytes: &[u8], headers: &[Header]) -> Vec<(u64, u64, u64, String)> {
    for notes in headers.iter().filter(|header| header.kind == NOTE) {
        let mut at = notes.offset;
        while at < notes.offset + index(notes.in_file) {
            let (name, size, kind) = (half(bytes, at), half(bytes, at + 4), half(bytes, at + 8));
            let body = at + 12 + (name as usize).next_multiple_of(4);
            at = body + (size as usize).next_multiple_of(4);
            if kind != FILES {
                continue;
            }
            let (count, page) = (index(word(bytes, body)), word(bytes, body + 8));
            let mut names = bytes[body + 16 + count * 24..body + size as usize].split(|byte| *byte == 0);
            let file = |number: usize| {
                let entry = body + 16 + number * 24;
                let (start, end, pages) = (word(bytes, entry), word(bytes, entry + 8), word(bytes, entry + 16));
                let path = String::from_utf8_lossy(names.next().expect("a name")).into_owned();
                (start, end, start.wrapping_sub(pages * page), path)
            };
            return (0..count).map(file).collect();
        }
    }
    Vec::new()
}

fn part(header: &Header, files: &[(u64, u64, u64, String)]) -> Part {
    let file = files.iter().find(|(start, end, ..)| (*start..*end).contains(&header.address));
    Part {
        start: header.address,
        end: header.address + header.in_memory,
        offset: header.offset as u64,
        in_file: header.in_file,
        execute: header.flags & 1 != 0,
        file: file.map(|(.., begin, path)| (path.clone(), *begin)),
    }
}

/// The mapped parts of a core.
pub fn parts(core: &Path) -> Vec<Part> {
    let bytes = fs::read(core).expect("the core is there");
    let headers = headers(&bytes);
    let files = files(&bytes, &headers);
    headers.iter().filter(|header| header.kind == LOAD).map(|header| part(header, &files)).collect()
}

/// Takes the bytes of some parts out of a core, which then says of them that it does not hold them. How many there were.
pub fn leave_out(core: &Path, is_left_out: impl Fn(&Part) -> bool) -> usize {
    let mut bytes = fs::read(core).expect("the core is there");
    let headers = headers(&bytes);
    let files = files(&bytes, &headers);
    let mut count = 0;
    for header in headers.iter().filter(|header| header.kind == LOAD && header.in_file > 0) {
        if is_left_out(&part(header, &files)) {
            bytes[header.at + 32..header.at + 40].fill(0);
            count += 1;
        }
    }
    fs::write(core, bytes).expect("it can be written");
    count
}

/// Where the tables of a library are by which its callers are found, by the addresses of its file: from them to the end of what is mapped with
/// them. `None` where the file is no library, or has none.
pub fn unwind_tables(library: &Path) -> Option<std::ops::Range<u64>> {
    let bytes = fs::read(library).ok().filter(|bytes| bytes.starts_with(b"\x7fELF"))?;
    let headers = headers(&bytes);
    let tables = headers.iter().find(|header| header.kind == EH_FRAME)?;
    let holds = |header: &&Header| {
        header.kind == LOAD && (header.address..header.address + header.in_memory).contains(&tables.address)
    };
    let load = headers.iter().find(holds)?;
    Some(tables.address..load.address + load.in_memory)
}
