//! The note that `collect` adds: read, and used for the names of threads.

use super::notes::Note;
use crate::capture::facts::{Facts, NOTE, OWNER};
use crate::capture::{MappedModule, Process};
use crate::model::{Addr, OsThread, Problem, Subject};

/// Longest name that the kernel keeps. Source: Linux include/linux/sched.h, TASK_COMM_LEN without the NUL.
const MAX_NAME: usize = 15;

/// Whether this is the note.
pub(super) fn is_ours(note: &Note<'_>) -> bool {
    note.name == OWNER.as_bytes() && note.kind == NOTE
}

/// The note's content; `None` where there is no such note, or it is damaged, which is said.
pub(super) fn read(notes: &[Note<'_>], problems: &mut Vec<Problem>) -> Option<Facts> {
    let note = notes.iter().find(|note| is_ours(note))?;
    match Facts::parse(note.content) {
        Ok(mut facts) => {
            if !facts.order() {
                let message =
                    "the note of dumpscope has ranges that overlap, are empty or are too many; they are left out";
                problems.push(Problem::new("facts-damaged", Subject::Capture, message));
            }
            Some(facts)
        }
        Err(why) => {
            let message = format!(
                "at {:#x}: the note of dumpscope is not understood ({why}); names of threads and open files are missing",
                note.offset
            );
            let remedy = "read it with the version that wrote it";
            problems.push(Problem::new("facts-damaged", Subject::Capture, message).with_remedy(remedy));
            None
        }
    }
}

/// Names threads as the kernel does. A thread inherits its maker's name: one that is called like the program, or like the first thread,
/// was given no name of its own.
pub(super) fn name_threads(facts: &Facts, process: &Process, modules: &[MappedModule], threads: &mut [OsThread]) {
    let pid = process.pid.as_ref().ok().copied();
    let by_tid: rustc_hash::FxHashMap<u32, &str> =
        facts.threads.iter().map(|thread| (thread.tid, thread.name.as_str())).collect();
    let first = pid.and_then(|pid| by_tid.get(&pid).copied());
    let program = modules.iter().find(|module| module.role == crate::capture::Role::Executable);
    let program = program.and_then(|module| module.path.as_deref()?.rsplit('/').next());
    let program = program.map(|name| name.trim_end_matches(" (deleted)"));
    // A link to the program gives its own name, as python3 for python3.11.
    let called = process.args.as_ref().ok().and_then(|args| args.split_whitespace().next()?.rsplit('/').next());
    let is_programs =
        |name: &str| program.into_iter().chain(called).any(|program| kernel_name(program) == name.as_bytes());
    for thread in threads {
        let Some(name) = by_tid.get(&thread.tid.0).filter(|name| !name.is_empty()) else { continue };
        let inherited = is_programs(name) || (Some(thread.tid.0) != pid && first == Some(*name));
        if !inherited {
            thread.name = Some((*name).to_owned());
        }
    }
}

/// Tells modules where their unwind tables are.
pub(super) fn place_unwind_tables(facts: &Facts, modules: &mut [MappedModule]) {
    for table in &facts.unwind_tables {
        let (start, end) = (Addr(table.start), Addr(table.end));
        let module = modules.iter_mut().find(|module| module.base <= start && end <= module.end);
        if let (Some(module), Some(size)) = (module, end.since(start)) {
            module.eh_frame = Some((start, size));
        }
    }
}

/// A file's name as the kernel cuts it when the program starts.
fn kernel_name(file: &str) -> &[u8] {
    let bytes = file.as_bytes();
    bytes.get(..bytes.len().min(MAX_NAME)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::facts::ThreadFacts;
    use crate::model::{Gap, Tid};

    fn thread(tid: u32) -> OsThread {
        OsThread {
            tid: Tid(tid),
            registers: Err(Gap::NotRecorded("registers".into())),
            thread_pointer: Err(Gap::NotRecorded("thread pointer".into())),
            syscall: None,
            signal: 0,
            name: None,
            crashed: false,
        }
    }

    #[test]
    fn a_name_that_was_inherited_names_nothing() {
        let named = |tid, name: &str| ThreadFacts { tid, name: name.into(), ..ThreadFacts::default() };
        let facts = Facts {
            threads: vec![named(10, "shop"), named(11, "shop"), named(12, "worker-1"), named(13, "a-long-programm")],
            ..Facts::default()
        };
        let process =
            Process { pid: Ok(10), parent: Ok(9), name: Ok("shop".into()), args: Ok(String::new()), uid: Ok(0) };
        let executable = MappedModule {
            base: crate::model::Addr(0),
            end: crate::model::Addr(1),
            bias: None,
            path: Some("/srv/a-long-programme".into()),
            build_id: Ok(None),
            parts: Vec::new(),
            role: crate::capture::Role::Executable,
            eh_frame: None,
        };
        let mut threads = [thread(10), thread(11), thread(12), thread(13), thread(14)];
        name_threads(&facts, &process, &[executable], &mut threads);
        let names: Vec<Option<&str>> = threads.iter().map(|thread| thread.name.as_deref()).collect();
        assert_eq!(names, [Some("shop"), None, Some("worker-1"), None, None]);
    }
}
