//! The process as a whole: NT_PRPSINFO and NT_AUXV.

use super::notes::{NT_AUXV, NT_PRPSINFO, Note};
use super::words::Words;
use crate::capture::Process;
use crate::model::{Gap, Known};

/// Offsets in `struct elf_prpsinfo` of 64-bit Linux: `pr_uid`, `pr_pid`, `pr_ppid`, `pr_fname` (16 bytes), `pr_psargs`
/// (80 bytes). Source: Linux include/linux/elfcore.h.
const UID: usize = 16;
const PID: usize = 24;
const PARENT: usize = 28;
const NAME: std::ops::Range<usize> = 40..56;
const ARGS: std::ops::Range<usize> = 56..136;

/// Most entries of the auxiliary vector; Linux writes about 23.
const MAX_AUXV: usize = 1024;

/// Entries of the auxiliary vector. Source: Linux include/uapi/linux/auxvec.h.
pub(super) const AT_PHDR: u64 = 3;
pub(super) const AT_PHNUM: u64 = 5;
pub(super) const AT_BASE: u64 = 7;
pub(super) const AT_ENTRY: u64 = 9;
pub(super) const AT_EXECFN: u64 = 31;
pub(super) const AT_SYSINFO_EHDR: u64 = 33;

/// The process; each field says why where it is unknown.
pub(super) fn process(notes: &[Note<'_>]) -> Process {
    let note = notes.iter().find(|note| note.kind == NT_PRPSINFO && note.name == b"CORE");
    let words = note.map(|note| Words(note.content));
    let number = |offset| field(words, |words| words.u32(offset));
    let text = |range: std::ops::Range<usize>| field(words, |words| words.0.get(range.clone()).map(text));
    // Arguments are joined with spaces, and one follows the last. createdump leaves all of them out.
    let recorded = |text: String| match text.trim_end() {
        "" => Err(Gap::NotRecorded("the command line".to_owned())),
        args => Ok(args.to_owned()),
    };
    let args = text(ARGS).and_then(recorded);
    Process { pid: number(PID), parent: number(PARENT), name: text(NAME), args, uid: number(UID) }
}

fn field<'a, T>(words: Option<Words<'a>>, read: impl Fn(Words<'a>) -> Option<T>) -> Known<T> {
    let words = words.ok_or_else(|| Gap::NotRecorded("no NT_PRPSINFO note".to_owned()))?;
    read(words).ok_or_else(|| Gap::Corrupt("the NT_PRPSINFO note is cut short".to_owned()))
}

/// The text up to the first NUL; bytes that are no UTF-8 are replaced.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

/// The auxiliary vector without its final AT_NULL.
pub(super) fn auxv(notes: &[Note<'_>]) -> Vec<(u64, u64)> {
    let note = notes.iter().find(|note| note.kind == NT_AUXV && note.name == b"CORE");
    let words: Vec<u64> =
        note.map(|note| Words(note.content).all_u64().take(MAX_AUXV * 2).collect()).unwrap_or_default();
    words.as_chunks::<2>().0.iter().map(|[key, value]| (*key, *value)).take_while(|(key, _)| *key != 0).collect()
}

/// The value of an entry.
pub(super) fn value(auxv: &[(u64, u64)], key: u64) -> Option<u64> {
    auxv.iter().find(|(found, _)| *found == key).map(|(_, value)| *value)
}
