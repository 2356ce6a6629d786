//! Single damaged program headers, mended from what surrounds them.
//!
//! The kernel, createdump and gdb lay the segments' contents one after the other in the order of the headers, and list
//! mappings in ascending order. So the neighbours of a damaged header tell where its content is, and the notes often
//! tell its address. Nothing is changed in a core whose headers do not follow each other like that.

use super::files::FileMapping;
use super::process::{AT_EXECFN, value};
use super::program_header::{PT_LOAD, PT_NOTE, ProgramHeader};
use super::words::clipped;
use crate::model::{Problem, Subject};

/// Fewer headers than these tell nothing of a writer's order.
const MIN_HEADERS: usize = 4;
/// Longest path of an executable: PATH_MAX of Linux.
const MAX_PATH: u64 = 4096;
/// How many headers from the end of the table may be the main stack's.
const STACK_CANDIDATES: usize = 16;
const PAGE: u64 = 4096;
/// PF_R | PF_W. Source: gABI "Program Header".
const READ_WRITE: u32 = 6;

/// Mends offsets, sizes and types. `table`: where the headers stand in the file, which has `file` bytes.
pub(super) fn contents(headers: &mut [ProgramHeader], table: u64, file: u64, problems: &mut Vec<Problem>) {
    let first = headers.iter().take_while(|header| header.kind == PT_NOTE).count();
    let Some(chain) = headers.get_mut(first..).filter(|chain| chain.len() >= MIN_HEADERS) else { return };
    // A table behind the contents was written again (`collect`): what could not be read has a place in the file, and no
    // size.
    let held = || chain.iter().filter(|header| header.file_size > 0);
    if held().filter(|header| header.offset < table).count().saturating_mul(2) > held().count() {
        mend_sizes(chain, problems);
        return;
    }
    let follows = |pair: &[ProgramHeader]| match pair {
        [before, after] => before.file_end() == Some(after.offset),
        _ => false,
    };
    let broken = chain.windows(2).filter(|pair| !follows(pair)).count();
    if let Some(last) = chain.last_mut().filter(|last| file.checked_sub(last.offset) == Some(last.mem_size)) {
        // Nothing follows the last content, so that its size links it to nothing.
        let damaged = *last;
        last.file_size = last.mem_size;
        if *last != damaged {
            problems.push(mended(&damaged, last));
        }
    }
    if broken == 0 || broken.saturating_mul(2) > chain.len() {
        mend_sizes(chain, problems);
        return;
    }
    for index in 0..chain.len() {
        let (before, after) = (end_before(chain, index), start_after(chain, index, file));
        let is_last = index.checked_add(1) == Some(chain.len());
        let Some(header) = chain.get_mut(index) else { continue };
        // Behind the last one the file may go on (gdb), or be cut: its size is believed.
        let after = if is_last { before.and_then(|start| start.checked_add(header.file_size)) } else { after };
        let (Some(before), Some(after)) = (before, after) else { continue };
        if header.offset == before && header.file_end() == Some(after) || before > after || after > file {
            continue;
        }
        let damaged = *header;
        header.offset = before;
        header.file_size = after.saturating_sub(before);
        problems.push(mended(&damaged, header));
    }
    mend_sizes(chain, problems);
}

/// Where the content before `index` ends; believed where that header agrees with the one before it, or is the first.
fn end_before(chain: &[ProgramHeader], index: usize) -> Option<u64> {
    let last = chain.get(index.checked_sub(1)?)?;
    let sound = match index.checked_sub(2).and_then(|index| chain.get(index)) {
        Some(behind) => behind.file_end() == Some(last.offset),
        None => last.kind == PT_LOAD,
    };
    last.file_end().filter(|_| sound)
}

/// Where the content behind `index` begins; believed where that header agrees with the next one, or with the end of the
/// file.
fn start_after(chain: &[ProgramHeader], index: usize, file: u64) -> Option<u64> {
    match chain.get(index.checked_add(1)?..)? {
        [next, behind, ..] => (next.file_end() == Some(behind.offset)).then_some(next.offset),
        [last] => (last.file_end() == Some(file)).then_some(last.offset),
        [] => None,
    }
}

/// Mends types and sizes in memory of headers whose content is sound.
fn mend_sizes(chain: &mut [ProgramHeader], problems: &mut Vec<Problem>) {
    for index in 0..chain.len() {
        let next = index.checked_add(1).and_then(|next| chain.get(next)).map(|next| next.address);
        let Some(header) = chain.get_mut(index) else { continue };
        let damaged = *header;
        // Types that other tools define (PT_GNU_*, PT_AARCH64_*) are above 0x60000000 and 0x70000000.
        if header.kind != PT_NOTE && header.kind < 0x6000_0000 && header.address != 0 && header.mem_size > 0 {
            header.kind = PT_LOAD;
        }
        if header.kind != PT_LOAD {
            continue;
        }
        let room = next.and_then(|next| next.checked_sub(header.address)).filter(|room| *room > 0);
        if header.mem_size < header.file_size && room.is_none_or(|room| header.file_size <= room) {
            header.mem_size = header.file_size;
        }
        if let Some(room) = room.filter(|room| header.mem_size > *room && header.file_size <= *room) {
            header.mem_size = room;
        }
        if *header != damaged {
            problems.push(mended(&damaged, header));
        }
    }
}

/// Headers whose address is looked for among the files, each of them; a core with more damage than that is not mended
/// by it.
const MAX_TRIED: usize = 256;

/// Mends addresses: of mappings of files from NT_FILE, of the main stack from the path that the kernel puts at its top.
pub(super) fn addresses(
    bytes: &[u8],
    headers: &mut [ProgramHeader],
    files: &[FileMapping],
    auxv: &[(u64, u64)],
    problems: &mut Vec<Problem>,
) {
    main_stack(bytes, headers, auxv, problems);
    // Address of the next PT_LOAD behind each header, from the last one backward.
    let mut next = u64::MAX;
    let mut behind: Vec<u64> = Vec::with_capacity(headers.len());
    for header in headers.iter().rev() {
        behind.push(next);
        if header.kind == PT_LOAD {
            next = header.address;
        }
    }
    let (mut lowest, mut tried) = (0, 0);
    for (header, next) in headers.iter_mut().zip(behind.into_iter().rev()) {
        if header.kind != PT_LOAD {
            continue;
        }
        let in_order = |address: u64| address.is_multiple_of(PAGE) && (lowest..=next).contains(&address);
        if !in_order(header.address) && tried < MAX_TRIED {
            tried += 1;
            let damaged = *header;
            let fits =
                |file: &&FileMapping| in_order(file.start.0) && file.end.since(file.start) == Some(header.mem_size);
            let mut candidates = files.iter().filter(fits);
            if let (Some(only), None) = (candidates.next(), candidates.next()) {
                header.address = only.start.0;
                problems.push(mended(&damaged, header));
            }
        }
        // One that stays out of order tells nothing of those behind it.
        if in_order(header.address) {
            lowest = header.end().unwrap_or(lowest);
        }
    }
}

/// Finds the main stack by its content where no sound header covers the address that AT_EXECFN names in it.
fn main_stack(bytes: &[u8], headers: &mut [ProgramHeader], auxv: &[(u64, u64)], problems: &mut Vec<Problem>) {
    let Some(path) = value(auxv, AT_EXECFN) else { return };
    let covers = |header: &ProgramHeader| {
        let range = header.address..header.end().unwrap_or(0);
        header.kind == PT_LOAD
            && range.contains(&path)
            && header.flags & READ_WRITE == READ_WRITE
            && header.address.is_multiple_of(PAGE)
    };
    if headers.iter().any(covers) {
        return;
    }
    // Only pages of the kernel itself are mapped above the stack.
    for header in
        headers.iter_mut().rev().take(STACK_CANDIDATES).filter(|header| header.kind == PT_LOAD && header.file_size > 0)
    {
        let top = stack_top(bytes, header, path);
        if let Some(address) = top.and_then(|top| top.checked_sub(header.mem_size)) {
            let damaged = *header;
            header.address = address;
            header.flags = READ_WRITE;
            problems.push(mended(&damaged, header));
            return;
        }
    }
}

/// One past the main stack, if this segment is it: 8 zero bytes at the top, below them the executable's path, to which
/// AT_EXECFN points. Source: Linux fs/exec.c, bprm_mm_init and alloc_bprm.
fn stack_top(bytes: &[u8], header: &ProgramHeader, path: u64) -> Option<u64> {
    let last = header.file_size.min(MAX_PATH);
    let content = clipped(bytes, header.file_end()?.checked_sub(last)?, last);
    let text = content.strip_suffix(&[0; 9])?;
    let start = text.iter().rposition(|byte| *byte == 0)?.checked_add(1)?;
    let length = text.len().checked_sub(start).filter(|length| *length > 0)? as u64;
    let top = path.checked_add(length)?.checked_add(9)?;
    top.is_multiple_of(PAGE).then_some(top)
}

fn mended(damaged: &ProgramHeader, mended: &ProgramHeader) -> Problem {
    let told = |header: &ProgramHeader| {
        format!(
            "type {} flags {} offset {:#x} address {:#x} sizes {:#x} {:#x}",
            header.kind, header.flags, header.offset, header.address, header.file_size, header.mem_size
        )
    };
    let message = format!(
        "a program header was damaged ({}) and is read as its neighbours tell ({})",
        told(damaged),
        told(mended)
    );
    Problem::new("program-headers", Subject::Capture, message)
}
