//! The program headers of a core: read as the file header states them, or found where it lies.
//!
//! Every writer of cores (Linux, gdb, createdump, qemu, lldb) puts the table right behind the file header and the
//! contents behind the table, and starts it with one `PT_NOTE`. That order is what a damaged count, offset or entry
//! size is mended by.

use super::header::{FILE_HEADER_SIZE, Table};
use super::program_header::{PROGRAM_HEADER_SIZE, PT_LOAD, PT_NOTE, ProgramHeader};
use super::words::clipped;
use crate::model::{Problem, Subject};

/// Most program headers that are read; a process may have 65,530 mappings unless its administrator raised the limit.
const MAX_HEADERS: u64 = 1 << 20;
/// How far into the file a lost table is looked for.
const SEARCH_LIMIT: u64 = 1 << 16;
/// Entries by which a place is judged.
const SAMPLE: u64 = 16;
/// Largest mapping that is believed without a sound file header: the user half of a 57-bit address space.
const MAX_MAPPING: u64 = 1 << 56;
/// Mappings begin at pages of at least this many bytes.
const PAGE: u64 = 4096;
/// Appended to problems of the table.
const REMEDY: &str =
    "the file was damaged or cut while it was written or copied; compare its checksum with the original's";

/// The headers in file order, and where the table starts in the file.
pub(super) struct ProgramHeaders {
    pub(super) headers: Vec<ProgramHeader>,
    pub(super) offset: u64,
}

/// Reads the table. What was mended is said in `problems`; an empty result means that nothing like a table is in the
/// file.
pub(super) fn read(bytes: &[u8], stated: Table, problems: &mut Vec<Problem>) -> ProgramHeaders {
    let (offset, entry_size) = place(bytes, stated, problems);
    let entry = |index: u64| {
        let at = index.checked_mul(entry_size)?.checked_add(offset)?;
        let fits = at.checked_add(PROGRAM_HEADER_SIZE)? <= bytes.len() as u64;
        fits.then(|| ProgramHeader::parse(clipped(bytes, at, PROGRAM_HEADER_SIZE)))?
    };
    let count = stated.count.unwrap_or(0).min(MAX_HEADERS);
    let mut headers: Vec<ProgramHeader> = (0..count).map_while(entry).collect();
    let contents = first_content(&headers, offset);
    let end_of = |count: usize| {
        (count as u64).checked_mul(entry_size).and_then(|size| size.checked_add(offset)).unwrap_or(u64::MAX)
    };
    // A count that is too high runs into the contents, one that is too low leaves entries behind.
    while end_of(headers.len()) > contents && headers.last().is_some_and(|last| !plausible(last)) {
        headers.pop();
    }
    while (headers.len() as u64) < MAX_HEADERS
        && end_of(headers.len()).saturating_add(entry_size) <= first_content(&headers, offset)
    {
        match entry(headers.len() as u64).filter(plausible) {
            Some(header) => headers.push(header),
            None => break,
        }
    }
    let found = headers.len() as u64;
    let cut = stated.count.is_some_and(|count| count > found)
        && end_of(headers.len()).saturating_add(entry_size) > bytes.len() as u64;
    if cut {
        let message =
            format!("truncated: the file ends inside the program headers, {found} of {} are there", said(stated));
        problems.push(Problem::new("truncated", Subject::Capture, message).with_remedy(REMEDY));
    } else if stated.count != Some(found) {
        let message = format!("at 0x38: the ELF header announces {} program headers, {found} were found", said(stated));
        problems.push(Problem::new("program-headers", Subject::Capture, message).with_remedy(REMEDY));
    }
    ProgramHeaders { headers, offset }
}

/// The number of program headers as the file states it.
fn said(stated: Table) -> String {
    stated.count.map_or("too many to be counted there (PN_XNUM)".to_owned(), |count| count.to_string())
}

/// Where the table is and how far its entries are apart: as stated if that looks like a table, else as every writer
/// does it, else wherever two headers follow each other near the start of the file.
fn place(bytes: &[u8], stated: Table, problems: &mut Vec<Problem>) -> (u64, u64) {
    let usual = (FILE_HEADER_SIZE, PROGRAM_HEADER_SIZE);
    let as_stated = (stated.offset, stated.entry_size);
    let score = |(offset, size)| score(bytes, offset, size);
    // A single header is all that a smallest core has.
    if score(as_stated) >= stated.count.unwrap_or(SAMPLE).min(2) && score(as_stated) > 0 {
        return as_stated;
    }
    let nearby = [usual, (stated.offset, PROGRAM_HEADER_SIZE), (FILE_HEADER_SIZE, stated.entry_size)];
    let found = nearby.into_iter().max_by_key(|place| score(*place)).filter(|place| score(*place) > score(as_stated));
    let found = found.or_else(|| {
        let last = SEARCH_LIMIT.min(bytes.len() as u64);
        (0..last).step_by(4).map(|offset| (offset, PROGRAM_HEADER_SIZE)).find(|place| score(*place) >= 2)
    });
    // Entries that overlap would repeat one header as often as the count claims.
    let Some(found) = found else { return (stated.offset, stated.entry_size.max(PROGRAM_HEADER_SIZE)) };
    let message = format!(
        "the ELF header places the program headers at {:#x} with {} bytes each; they were found at {:#x} with {} bytes each",
        stated.offset, stated.entry_size, found.0, found.1
    );
    problems.push(Problem::new("program-headers", Subject::Capture, message).with_remedy(REMEDY));
    found
}

/// How many plausible headers the first [`SAMPLE`] entries of a place are; 0 for a place that cannot be one. One that
/// is damaged among sound ones does not end the table.
fn score(bytes: &[u8], offset: u64, entry_size: u64) -> u64 {
    if entry_size < PROGRAM_HEADER_SIZE {
        return 0;
    }
    let sound = (0..SAMPLE).filter(|index| {
        let at = index.checked_mul(entry_size).and_then(|skip| skip.checked_add(offset));
        let header = at.and_then(|at| ProgramHeader::parse(clipped(bytes, at, PROGRAM_HEADER_SIZE)));
        header.is_some_and(|header| plausible(&header))
    });
    sound.count() as u64
}

/// Where the contents begin: the lowest offset that a plausible header states behind the start of the table.
fn first_content(headers: &[ProgramHeader], table: u64) -> u64 {
    let behind = table.saturating_add(PROGRAM_HEADER_SIZE);
    let stated = headers.iter().filter(|header| plausible(header) && header.file_size > 0 && header.offset >= behind);
    stated.map(|header| header.offset).min().unwrap_or(u64::MAX)
}

/// Whether this may be a program header of a core: random bytes or a neighbour read askew are not.
pub(super) fn plausible(header: &ProgramHeader) -> bool {
    let sound =
        header.flags <= 7 && (header.align == 0 || header.align.is_power_of_two()) && header.file_end().is_some();
    match header.kind {
        PT_LOAD => {
            let page = header.address.is_multiple_of(PAGE) && header.end().is_some();
            sound
                && page
                && header.mem_size > 0
                && header.mem_size <= MAX_MAPPING
                && header.file_size <= header.mem_size
        }
        PT_NOTE => sound && header.address == 0 && header.file_size > 0,
        _ => false,
    }
}
