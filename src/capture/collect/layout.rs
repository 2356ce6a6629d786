//! Where everything stands in the core: header, program headers, notes, then memory at page boundaries.
//!
//! Known before the first byte of memory is read, so that a core can be streamed. Specification: gABI chapters 4 and 5;
//! more than 65,534 program headers as Linux fs/binfmt_elf.c counts them (PN_XNUM).

use super::maps::Span;
use crate::capture::Access;

/// Granularity of contents.
const PAGE: u64 = 4096;
const FILE_HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;
const SECTION_HEADER: u64 = 64;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const PN_XNUM: u64 = 0xffff;
/// Most parts beside the first ones of a core that is kept in memory: what cannot be read cuts a part in three.
const MAX_CUTS: u64 = 1 << 20;

/// A run of the process's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) span: Span,
    pub(super) access: Access,
    /// Whether its bytes are in the core; else only that it is mapped.
    pub(super) held: bool,
    /// What a page means that is not present in the process.
    pub(super) absent: Absent,
    /// Whether words that are no addresses are scrubbed out (triage).
    pub(super) scrub: bool,
}

/// What a page means that is not present in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// It was never touched: it is zero, and is not touched now.
    Zero,
    /// It holds what a file or another process has there, and is read.
    Elsewhere,
    /// Only a server in user space knows, who may be stopped: it is left out.
    Unknown,
}

/// A part with its place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) part: Part,
    /// Offset in the file, in bytes.
    pub(super) offset: u64,
}

/// A laid-out core.
#[derive(Debug)]
pub(super) struct Layout {
    /// Everything before the memory, padded to a page.
    pub(super) head: Vec<u8>,
    /// Every part, in order.
    pub(super) parts: Vec<Placed>,
    /// Bytes of the whole file.
    pub(super) size: u64,
    notes_at: u64,
    notes_len: u64,
}

impl Layout {
    /// Lays out a core of these notes and parts.
    pub(super) fn new(notes: &[u8], parts: &[Part]) -> Layout {
        let headers = (parts.len() as u64).saturating_add(1);
        let table_end = FILE_HEADER.saturating_add(headers.saturating_mul(PROGRAM_HEADER));
        let section = headers >= PN_XNUM;
        let notes_at = table_end.saturating_add(if section { SECTION_HEADER } else { 0 });
        let notes_len = notes.len() as u64;
        let start = notes_at.saturating_add(notes_len).next_multiple_of(PAGE);
        let mut offset = start;
        let placed: Vec<Placed> = parts
            .iter()
            .map(|part| {
                let placed = Placed { part: *part, offset };
                offset = offset.saturating_add(if part.held { part.span.len() } else { 0 });
                placed
            })
            .collect();
        let mut head = file_header(FILE_HEADER, headers, if section { table_end } else { 0 });
        head.extend(program_headers(notes_at, notes_len, &placed));
        if section {
            head.extend(section_header(headers));
        }
        head.extend(notes);
        head.resize(usize::try_from(start).unwrap_or(usize::MAX), 0);
        Layout { head, parts: placed, size: offset, notes_at, notes_len }
    }

    /// Its notes.
    pub(super) fn notes(&self) -> &[u8] {
        let at = usize::try_from(self.notes_at).unwrap_or(usize::MAX);
        let len = usize::try_from(self.notes_len).unwrap_or(0);
        self.head.get(at..at.saturating_add(len)).unwrap_or_default()
    }

    /// Its parts without what turned out to be unreadable.
    pub(super) fn readable(&self, unreadable: &[Span]) -> impl Iterator<Item = Placed> {
        self.parts.iter().flat_map(move |placed| split(*placed, unreadable))
    }

    /// Bytes of the core at most, whatever cannot be read of it.
    pub(super) fn most(&self) -> u64 {
        let headers = (self.parts.len() as u64).saturating_add(MAX_CUTS).saturating_add(1);
        let tail = headers.saturating_mul(PROGRAM_HEADER).saturating_add(SECTION_HEADER);
        self.size.saturating_add(tail)
    }

    /// What is to be added behind the file, and the new start of the file, where these spans turned out to be
    /// unreadable: program headers without them.
    pub(super) fn without(&self, unreadable: &[Span]) -> (Vec<u8>, Vec<u8>) {
        let parts: Vec<Placed> = self.readable(unreadable).collect();
        let headers = (parts.len() as u64).saturating_add(1);
        let section = headers >= PN_XNUM;
        let mut tail = program_headers(self.notes_at, self.notes_len, &parts);
        let section_at = self.size.saturating_add(tail.len() as u64);
        if section {
            tail.extend(section_header(headers));
        }
        (tail, file_header(self.size, headers, if section { section_at } else { 0 }))
    }
}

/// A part cut into those that were read and those that were not.
fn split(placed: Placed, unreadable: &[Span]) -> Vec<Placed> {
    let Placed { part, offset } = placed;
    let mut pieces = Vec::new();
    let mut at = part.span.start;
    let mut push = |from: crate::model::Addr, to: crate::model::Addr, held: bool| {
        if from < to {
            let skip = from.0.saturating_sub(part.span.start.0);
            let span = Span { start: from, end: to };
            pieces.push(Placed { part: Part { span, held, ..part }, offset: offset.saturating_add(skip) });
        }
    };
    for gap in unreadable.iter().filter_map(|gap| gap.common(part.span)).filter(|_| part.held) {
        push(at, gap.start, true);
        push(gap.start, gap.end, false);
        at = gap.end;
    }
    push(at, part.span.end, part.held);
    pieces
}

fn file_header(table_at: u64, headers: u64, section_at: u64) -> Vec<u8> {
    // EM_X86_64 62, EM_AARCH64 183; ET_CORE 4; class 64 bits, little endian, version 1, System V.
    let machine: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    let count = u16::try_from(headers.min(PN_XNUM)).unwrap_or(u16::MAX);
    let mut header = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    header.extend(4u16.to_le_bytes());
    header.extend(machine.to_le_bytes());
    header.extend(1u32.to_le_bytes());
    for word in [0, table_at, section_at] {
        header.extend(word.to_le_bytes());
    }
    header.extend(0u32.to_le_bytes());
    let sections = u16::from(section_at != 0);
    for half in [64, 56, count, if sections == 0 { 0 } else { 64 }, sections, 0] {
        header.extend(half.to_le_bytes());
    }
    header
}

fn program_headers(notes_at: u64, notes_len: u64, parts: &[Placed]) -> Vec<u8> {
    let mut table = Vec::new();
    let mut push = |kind: u32, flags: u32, words: [u64; 6]| {
        table.extend(kind.to_le_bytes());
        table.extend(flags.to_le_bytes());
        table.extend(words.into_iter().flat_map(u64::to_le_bytes));
    };
    // p_offset p_vaddr p_paddr p_filesz p_memsz p_align
    push(PT_NOTE, 0, [notes_at, 0, 0, notes_len, 0, 4]);
    for Placed { part, offset } in parts {
        let flag = |set: bool, bit: u32| if set { bit } else { 0 };
        let Part { span, access, held, .. } = *part;
        let flags = flag(access.execute, 1) | flag(access.write, 2) | flag(access.read, 4);
        let file_size = if held { span.len() } else { 0 };
        push(PT_LOAD, flags, [*offset, span.start.0, 0, file_size, span.len(), PAGE]);
    }
    table
}

/// Section 0, whose `sh_info` counts the program headers.
fn section_header(headers: u64) -> Vec<u8> {
    let mut header = vec![0u8; 64];
    let count = u32::try_from(headers).unwrap_or(u32::MAX).to_le_bytes();
    header.splice(44..48, count);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Access = Access { read: true, write: false, execute: false };

    fn part(start: u64, pages: u64, held: bool) -> Part {
        let span = Span::new(start, start + pages * PAGE);
        Part { span, access: READ, held, absent: Absent::Zero, scrub: false }
    }

    #[test]
    fn contents_follow_the_notes_at_page_boundaries() {
        let layout = Layout::new(&[7; 20], &[part(0x10000, 2, true), part(0x12000, 1, false), part(0x13000, 1, true)]);
        // 64 bytes of header, 4 program headers of 56, 20 of notes: one page.
        assert_eq!(layout.head.len(), 0x1000);
        let offsets: Vec<u64> = layout.parts.iter().map(|placed| placed.offset).collect();
        assert_eq!(offsets, [0x1000, 0x3000, 0x3000]);
        assert_eq!(layout.size, 0x4000);
    }

    #[test]
    fn many_parts_are_counted_in_section_zero() {
        let parts: Vec<Part> = (0..70_000).map(|index| part(index * 0x2000, 1, false)).collect();
        let layout = Layout::new(&[], &parts);
        assert_eq!(layout.head[56..58], [0xff, 0xff]);
        let section = u64::from_le_bytes(layout.head[40..48].try_into().expect("eight bytes"));
        let info = usize::try_from(section).expect("an offset") + 44;
        assert_eq!(layout.head[info..info + 4], 70_001u32.to_le_bytes());
    }

    #[test]
    fn what_could_not_be_read_is_cut_out_of_its_part() {
        let layout = Layout::new(&[], &[part(0x10000, 4, true)]);
        let pieces = split(layout.parts[0], &[Span::new(0x11000, 0x12000)]);
        let seen: Vec<(u64, bool, u64)> =
            pieces.iter().map(|piece| (piece.part.span.start.0, piece.part.held, piece.offset)).collect();
        assert_eq!(seen, [(0x10000, true, 0x1000), (0x11000, false, 0x2000), (0x12000, true, 0x3000)]);
    }
}
