//! ELF cores of x86-64 and aarch64 Linux, as the kernel, gdb, createdump, lldb and qemu-user write them.
//!
//! Input: the file's bytes. Output: a [`Capture`]. Only headers, notes and the first pages of modules are read. What is damaged is
//! read around and said; only a file that is no core of ours fails. Specification: System V ABI (gABI) chapters 4 and 5; Linux
//! fs/binfmt_elf.c for the notes.

mod facts;
mod fatal;
mod files;
mod header;
mod layout;
mod link_map;
mod mapped;
mod modules;
mod notes;
mod process;
mod program_header;
mod salvage;
mod segments;
mod siginfo;
mod table;
mod threads;
mod words;

pub(super) use self::threads::aarch64_syscall;

use std::path::Path;

use symbols::FileBytes;

use self::fatal::Writer;
use self::files::Files;
use self::header::FileHeader;
use self::notes::{NT_AUXV, NT_FILE, NT_PRPSINFO, NT_PRSTATUS, Note};
use self::program_header::{PT_NOTE, ProgramHeader};
use super::{Capture, Opened};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Cause, OsThread, Problem, Subject};

/// Problems of one kind that are told one by one.
const TOLD: usize = 8;
/// Files that are kept beside memory; `collect` keeps those of deleted files.
const MAX_KEPT: usize = 4096;

/// Whether the file is an ELF file, of whatever kind.
pub(super) fn probe(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF")
}

/// Opens a core.
pub(super) fn open(bytes: FileBytes, path: &Path, job: &Job) -> Result<Opened, Error> {
    read(bytes, path, job).map(|capture| Opened::Process(Box::new(capture)))
}

fn read(bytes: FileBytes, path: &Path, job: &Job) -> Result<Capture, Error> {
    job.phase("reading headers", 0);
    let refuse = |reason: String| Error::Open { path: path.to_owned(), reason };
    let mut problems = Vec::new();
    let file = FileHeader::parse(&bytes, &mut problems).map_err(refuse)?;
    let mut table = table::read(&bytes, file.table, &mut problems);
    if table.headers.is_empty() {
        return Err(refuse(format!(
            "at {:#x}: no program headers (the file has {:#x} bytes); the core is truncated or damaged, copy it again",
            file.table.offset,
            bytes.len()
        )));
    }
    salvage::contents(&mut table.headers, table.offset, bytes.len() as u64, &mut problems);
    let announced = table.headers.iter().filter_map(ProgramHeader::file_end).max().unwrap_or(0);
    let notes = notes::read(&bytes, &table.headers, table.offset, &mut problems);
    job.check()?;
    // From here on reads jump: to the first pages of modules, later to stacks.
    bytes.advise_random();
    let writer = writer(&file, &notes);
    let auxv = process::auxv(&notes);
    let files = files::files(&notes, &mut problems);
    let mapped = files.as_ref().map(|files| files.mappings.as_slice()).unwrap_or_default();
    salvage::addresses(&bytes, &mut table.headers, mapped, &auxv, &mut problems);
    let mut memory =
        segments::memory(&bytes, &table.headers, &mut problems).with_pointer_size(file.arch.pointer_size());
    if writer == Writer::Createdump {
        memory.set_partial();
    }
    let links = link_map::entries(&memory, &auxv, &mut problems);
    let (mut modules, mappings) = modules::modules(files.as_ref(), &links, &auxv, &memory, file.arch);
    memory.add_regions(mappings);
    job.check()?;

    let grouped = threads::group(&notes, file.arch, &mut problems);
    let crashed = fatal::crashed(&grouped, writer);
    let mut threads: Vec<OsThread> = Vec::with_capacity(grouped.threads.len());
    let mut first = None;
    for (index, thread) in grouped.threads.iter().enumerate() {
        let took = crashed.is_some_and(|(crashed, _)| crashed == index);
        if let Some(thread) = thread.thread(file.arch, &memory, took, &mut problems) {
            if took {
                first = Some(threads.len());
            }
            threads.push(thread);
        }
    }
    let signal = fatal::fatal(
        &grouped,
        crashed,
        first.and_then(|index| threads.get(index)).map(|thread| thread.tid),
        file.arch,
        writer,
    );
    if let Some(range) = first.and_then(|index| threads.get_mut(..=index)) {
        range.rotate_right(1);
    }
    if threads.is_empty() {
        problems.push(no_threads(&table.headers, bytes.len() as u64));
    }
    let process = process::process(&notes);
    let facts = facts::read(&notes, &mut problems);
    if let Some(facts) = &facts {
        facts::add_lost_threads(facts, file.arch, &mut threads, &mut problems);
        facts::name_threads(facts, &process, &modules, &mut threads);
        facts::place_unwind_tables(facts, &mut modules);
    }
    let kept = notes.iter().filter_map(|note| facts::kept(note, &bytes)).take(MAX_KEPT).collect();
    // Headers and notes are not read again: three megabytes for a thousand threads.
    bytes.forget_pages();
    // createdump's are images as they lie in memory, with the paths of files that lie otherwise.
    let sound = files.as_ref().filter(|files| files.sound && writer != Writer::Createdump);
    Ok(Capture {
        path: path.to_owned(),
        format: name(writer),
        arch: file.arch,
        memory,
        assemblies: sound.map(|files| files.assemblies(&modules)).unwrap_or_default(),
        modules,
        threads,
        process,
        cause: signal.map(|signal| signal.map(Cause::Signal)),
        files: sound.map(Files::ranges),
        facts: facts.map(Box::new),
        kept,
        problems: fold(problems),
        file_size: bytes.len() as u64,
        announced: announced.max(bytes.len() as u64),
    })
}

/// Who wrote the core, by the order of its notes: the kernel and qemu begin with a thread, and only the kernel lists files; gdb adds a
/// note of its own and section headers; createdump puts the process's notes before its first thread.
fn writer(file: &FileHeader, notes: &[Note<'_>]) -> Writer {
    let has = |kind| notes.iter().any(|note| note.kind == kind);
    let kinds: Vec<u32> = notes.iter().take(3).map(|note| note.kind).collect();
    if notes.iter().any(facts::is_ours) {
        return Writer::Dumpscope;
    }
    if notes.iter().any(|note| note.name == b"GDB") || (file.sections && kinds.first() == Some(&NT_PRPSINFO)) {
        return Writer::Gdb;
    }
    match kinds.as_slice() {
        [NT_PRSTATUS, ..] if has(NT_FILE) => Writer::Kernel,
        [NT_PRSTATUS, NT_PRPSINFO, NT_AUXV] => Writer::Qemu,
        // ELFOSABI_LINUX is 3. Source: dotnet/runtime src/coreclr/debug/createdump/dumpwriterelf.cpp.
        [NT_PRPSINFO, NT_AUXV, NT_FILE] if file.osabi == 3 => Writer::Createdump,
        _ => Writer::Other,
    }
}

fn name(writer: Writer) -> &'static str {
    match writer {
        Writer::Kernel => "ELF core from the Linux kernel",
        Writer::Gdb => "ELF core from gdb",
        Writer::Createdump => "ELF core from createdump",
        Writer::Qemu => "ELF core from qemu",
        Writer::Dumpscope => "ELF core from dumpscope",
        Writer::Other => "ELF core",
    }
}

/// Keeps the first problems of each kind and counts the rest: a hostile core has one for every note.
fn fold(problems: Vec<Problem>) -> Vec<Problem> {
    let mut counts: std::collections::BTreeMap<&'static str, usize> = std::collections::BTreeMap::new();
    let mut kept = Vec::new();
    for problem in problems {
        let count = counts.entry(problem.code).or_default();
        *count = count.saturating_add(1);
        if *count <= TOLD {
            kept.push(problem);
        }
    }
    for (code, count) in counts.into_iter().filter(|(_, count)| *count > TOLD) {
        let message = format!("{} more problems of this kind", count.saturating_sub(TOLD));
        kept.push(Problem::new(code, Subject::Capture, message));
    }
    kept
}

/// Why a core of so many bytes has no threads: gdb writes the notes that hold them last, so that a cut takes all of them.
fn no_threads(headers: &[ProgramHeader], len: u64) -> Problem {
    let is_cut = |header: &&ProgramHeader| header.file_end().is_none_or(|end| end > len);
    let (message, remedy) = match headers.iter().filter(|header| header.kind == PT_NOTE).find(is_cut) {
        Some(_) => {
            ("no threads: the notes that hold them stand behind the end of the file", "copy the core again, whole")
        }
        None => ("no threads: the core has no NT_PRSTATUS notes", "copy the core again if it may be truncated"),
    };
    Problem::new("no-threads", Subject::Capture, message).with_remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_were_cut_off_are_told_apart_from_those_that_nobody_wrote() {
        let notes = |offset, file_size| {
            let (kind, flags, address, mem_size, align) = (PT_NOTE, 4, 0, 0, 4);
            [ProgramHeader { kind, flags, offset, address, file_size, mem_size, align }]
        };
        let cut = "no threads: the notes that hold them stand behind the end of the file";
        for (headers, len) in [(notes(900, 100), 999), (notes(900, 100), 500), (notes(u64::MAX, 2), 5000)] {
            assert_eq!(no_threads(&headers, len).message, cut, "{headers:?}");
        }
        assert_eq!(no_threads(&notes(900, 100), 1000).message, "no threads: the core has no NT_PRSTATUS notes");
        assert_eq!(no_threads(&[], 1000).message, "no threads: the core has no NT_PRSTATUS notes");
    }
}
