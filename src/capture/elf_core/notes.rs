//! The notes of a core, in order, and where they go wrong, from the next sound one on.
//!
//! Layout: gABI "Note Section"; three 4-byte words (name size, content size, type), then name and content, each padded
//! to 4 bytes. Names and types: Linux include/uapi/linux/elf.h.

use super::layout;
use super::program_header::{PT_LOAD, PT_NOTE, ProgramHeader};
use super::words::{Words, clipped};
use crate::model::{Arch, Problem, Subject};

/// Note types. Source: Linux include/uapi/linux/elf.h.
pub(super) const NT_PRSTATUS: u32 = 1;
const NT_PRFPREG: u32 = 2;
pub(super) const NT_PRPSINFO: u32 = 3;
pub(super) const NT_AUXV: u32 = 6;
pub(super) const NT_SIGINFO: u32 = 0x5349_4749;
pub(super) const NT_FILE: u32 = 0x4649_4c45;
pub(super) const NT_ARM_TLS: u32 = 0x401;

/// Contents begin at pages; the largest in use are 64 KiB.
const MAX_PADDING: usize = 64 << 10;
/// Bytes of a note's three words.
const HEADER: u64 = 12;
/// Most notes that are read: ten a thread for [`super::threads::MAX_THREADS`].
const MAX_NOTES: usize = 1_000_000;
/// Most notes before the first thread's: those of the process.
const BEFORE_THREADS: usize = 16;
/// How far lost notes are looked for behind the program headers, and before the end of the file.
const SEARCH_LIMIT: u64 = 64 << 20;
/// Largest note that is believed without a sound neighbour: NT_FILE of a million mappings.
const MAX_CONTENT: u32 = 256 << 20;

/// One note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Note<'a> {
    /// The owner's name without the closing NUL.
    pub(super) name: &'a [u8],
    /// `NT_*`.
    pub(super) kind: u32,
    /// Its bytes.
    pub(super) content: &'a [u8],
    /// Where it stands in the file.
    pub(super) offset: u64,
}

/// All notes of the core. `table` is where its program headers start. Damage is said in `problems`.
pub(super) fn read<'a>(
    bytes: &'a [u8],
    headers: &[ProgramHeader],
    table: u64,
    problems: &mut Vec<Problem>,
) -> Vec<Note<'a>> {
    let mut notes = Vec::new();
    for segment in headers.iter().filter(|header| header.kind == PT_NOTE && header.file_size > 0) {
        // Where no note begins the offset is wrong, and a search finds the first one.
        if header(bytes, segment.offset).is_some() {
            let end = stated_end(bytes, segment, headers, problems);
            walk(bytes, segment.offset, end, &mut notes, problems);
        }
    }
    if !notes.iter().any(|note| note.kind == NT_PRSTATUS)
        && let Some(offset) = find(bytes, table)
    {
        let message =
            format!("no program header leads to the threads' notes; they were found by search at {offset:#x}");
        problems.push(Problem::new("notes-damaged", Subject::Capture, message));
        notes.clear();
        walk(bytes, offset, next_content(bytes, offset, headers), &mut notes, problems);
    }
    notes
}

/// The processor whose threads have notes of the size of the first one, for a header that does not say.
pub(super) fn arch(bytes: &[u8]) -> Option<Arch> {
    let mut at = find(bytes, 0)?;
    for _ in 0..BEFORE_THREADS {
        let (note, next) = one(bytes, at)?;
        if note.kind == NT_PRSTATUS {
            return [Arch::X86_64, Arch::Aarch64]
                .into_iter()
                .find(|arch| layout::of(*arch).status_size == note.content.len());
        }
        at = next;
    }
    None
}

/// One past the notes of a segment. A size that runs into the next segment's content, or out of the file, ends there.
fn stated_end(bytes: &[u8], header: &ProgramHeader, headers: &[ProgramHeader], problems: &mut Vec<Problem>) -> u64 {
    let stated = header.file_end().unwrap_or(u64::MAX);
    let next = next_content(bytes, header.offset, headers);
    if stated <= next {
        return stated;
    }
    let message = format!(
        "notes: the segment at {:#x} claims {:#x} bytes; they are read up to {next:#x}, where the next content or the file's end is",
        header.offset, header.file_size
    );
    problems.push(
        Problem::new("notes-damaged", Subject::Capture, message).with_remedy("if the file is truncated, copy it again"),
    );
    next
}

/// Where the first content behind `offset` begins that some PT_LOAD states, or the file ends.
fn next_content(bytes: &[u8], offset: u64, headers: &[ProgramHeader]) -> u64 {
    let contents = headers.iter().filter(|header| header.kind == PT_LOAD && header.file_size > 0);
    let file = bytes.len() as u64;
    contents.map(|header| header.offset).filter(|start| *start > offset).min().unwrap_or(file).min(file)
}

/// Reads notes from `offset` to `end`, and on while sound ones follow: a size that is too small must not cost a thread.
fn walk<'a>(bytes: &'a [u8], offset: u64, end: u64, notes: &mut Vec<Note<'a>>, problems: &mut Vec<Problem>) {
    let mut at = offset;
    let mut beyond = false;
    while notes.len() < MAX_NOTES {
        if at >= end && !known(bytes, at) {
            break;
        }
        beyond |= at >= end;
        let step = one(bytes, at);
        if step.is_none() && is_padding(bytes, at, end) {
            break;
        }
        // A note's end is believed where another one follows, or where the notes end.
        let sound =
            step.is_some_and(|(_, next)| next >= end || header(bytes, next).is_some() || is_padding(bytes, next, end));
        if let (true, Some((note, next))) = (sound, step) {
            notes.push(note);
            at = next;
            continue;
        }
        let resume = resync(bytes, at.saturating_add(HEADER), end.min(bytes.len() as u64));
        if let Some((note, _)) = cut(bytes, at, resume.unwrap_or(end)) {
            notes.push(note);
        }
        let file = bytes.len() as u64;
        let message = match resume {
            Some(next) => format!("notes: the note at {at:#x} is damaged; reading goes on at {next:#x}"),
            None => format!(
                "notes: the note at {at:#x} does not fit: file ends at {file:#x} (truncated?); what follows it is missing"
            ),
        };
        problems.push(Problem::new("notes-damaged", Subject::Capture, message));
        match resume {
            Some(next) => at = next,
            None => break,
        }
    }
    if beyond {
        let message = format!("notes: the program header ends them at {end:#x}, more were found behind, up to {at:#x}");
        problems.push(Problem::new("notes-damaged", Subject::Capture, message));
    }
    if notes.len() >= MAX_NOTES {
        let message = format!("notes: more than {MAX_NOTES}; the rest is left out");
        problems.push(Problem::new("limit", Subject::Capture, message));
    }
}

/// Whether only the zeros are left that writers put before the next page.
fn is_padding(bytes: &[u8], at: u64, end: u64) -> bool {
    let rest = clipped(bytes, at, end.saturating_sub(at));
    rest.len() < MAX_PADDING && rest.iter().all(|byte| *byte == 0)
}

/// Name size, content size and type at `at`, if they can be those of a note whose content is in the file.
fn header(bytes: &[u8], at: u64) -> Option<(u64, u32, u32)> {
    let words = Words(clipped(bytes, at, HEADER));
    let (name, content, kind) = (words.u32(0)?, words.u32(4)?, words.u32(8)?);
    // Owners are CORE, LINUX, GDB, FreeBSD, LLDB, VMCOREINFO …; text of 3 to 30 letters.
    if !(2..=32).contains(&name) || content > MAX_CONTENT {
        return None;
    }
    let (text, nul) = clipped(bytes, at.checked_add(HEADER)?, name.into())
        .split_at_checked(usize::try_from(name).ok()?.checked_sub(1)?)?;
    let sound = nul == [0] && text.iter().all(|byte| byte.is_ascii_graphic());
    sound.then_some((u64::from(name), content, kind))
}

/// Whether this is a type that notes of the owner CORE have.
pub(super) fn is_known_kind(kind: u32) -> bool {
    matches!(kind, NT_PRSTATUS | NT_PRFPREG | NT_PRPSINFO | NT_AUXV | NT_SIGINFO | NT_FILE)
}

/// Whether the note at `at` is surely one of a core's: an owner and type that belong together.
fn known(bytes: &[u8], at: u64) -> bool {
    header(bytes, at).is_some_and(|(size, _, kind)| {
        let name = clipped(bytes, at.saturating_add(HEADER), size);
        match name {
            b"CORE\0" => is_known_kind(kind),
            // NT_X86_*, NT_PPC_*, NT_S390_*, NT_ARM_*: 0x100 to 0xfff, and NT_PRXFPREG.
            b"LINUX\0" => (0x100..0x1000).contains(&kind) || kind == 0x46e6_2b7f,
            _ => false,
        }
    })
}

/// The note at `at` and where the next one begins.
fn one(bytes: &[u8], at: u64) -> Option<(Note<'_>, u64)> {
    let (name_size, size, _) = header(bytes, at)?;
    let content_at = at.checked_add(HEADER)?.checked_add(name_size)?.checked_next_multiple_of(4)?;
    let end = content_at.checked_add(size.into())?;
    if end > bytes.len() as u64 {
        return None;
    }
    cut(bytes, at, end).map(|(note, _)| (note, end.next_multiple_of(4)))
}

/// The note at `at` with its content cut at `end`.
fn cut(bytes: &[u8], at: u64, end: u64) -> Option<(Note<'_>, u64)> {
    let (name_size, size, kind) = header(bytes, at)?;
    let name = clipped(bytes, at.checked_add(HEADER)?, name_size.checked_sub(1)?);
    let content_at = at.checked_add(HEADER)?.checked_add(name_size)?.checked_next_multiple_of(4)?;
    let content = clipped(bytes, content_at, u64::from(size).min(end.saturating_sub(content_at)));
    Some((Note { name, kind, content, offset: at }, end))
}

/// The next sure note at or behind `from`.
fn resync(bytes: &[u8], from: u64, end: u64) -> Option<u64> {
    let end = end.min(from.saturating_add(SEARCH_LIMIT));
    (from.checked_next_multiple_of(4)?..end).step_by(4).find(|at| known(bytes, *at))
}

/// The first sure note behind the program headers, else near the end of the file, where gdb puts them.
fn find(bytes: &[u8], from: u64) -> Option<u64> {
    let end = bytes.len() as u64;
    resync(bytes, from, end).or_else(|| resync(bytes, end.saturating_sub(SEARCH_LIMIT).max(from), end))
}
