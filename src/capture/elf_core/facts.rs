//! The note that `collect` adds: read, and used for the names of threads.

use symbols::FileBytes;

use super::notes::Note;
use super::threads::MAX_THREADS;
use crate::capture::facts::{Facts, NOTE, OWNER, Syscall};
use crate::capture::{ImageKind, Kept, MappedModule, Process, kept};
use crate::model::{Addr, Arch, Gap, OsThread, Problem, Register, Registers, SavedSyscall, Subject, Tid};

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

/// The file that a note holds; `None` where it is another note, or too short.
pub(super) fn kept(note: &Note<'_>, core: &FileBytes) -> Option<Kept> {
    if note.name != OWNER.as_bytes() || note.kind != kept::NOTE {
        return None;
    }
    let from = note.content.as_ptr().addr().checked_sub(core.as_ptr().addr())?;
    Kept::parse(core.slice(from..from.checked_add(note.content.len())?)?)
}

/// Names threads as the kernel does. A thread inherits its maker's name: one that is called like the program, or like
/// the first thread, was given no name of its own.
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

/// Adds the threads that did not stop when the dump was taken: the kernel told in which system call each sleeps, and
/// where its stack and code are. Other registers than those are unknown.
pub(super) fn add_lost_threads(facts: &Facts, arch: Arch, threads: &mut Vec<OsThread>, problems: &mut Vec<Problem>) {
    let there: rustc_hash::FxHashSet<u32> = threads.iter().map(|thread| thread.tid.0).collect();
    let lost = facts.threads.iter().filter_map(|thread| Some((thread, thread.lost.as_deref()?)));
    let room = MAX_THREADS.saturating_sub(threads.len());
    for (thread, why) in lost.filter(|(thread, _)| !there.contains(&thread.tid)).take(room) {
        let tid = Tid(thread.tid);
        let message = format!("thread {tid} has no registers in the dump: {why}");
        problems.push(Problem::new("thread-lost", Subject::Thread(tid), message));
        let call = thread.syscall.as_ref();
        threads.push(OsThread {
            tid,
            registers: call.map(|call| asleep(arch, call)).ok_or_else(|| Gap::NotRecorded(why.to_owned())),
            thread_pointer: Err(Gap::NotRecorded("the thread pointer of a thread that did not stop".to_owned())),
            syscall: call.and_then(saved),
            signal: 0,
            name: None,
            crashed: false,
        });
    }
}

/// The registers of a thread that sleeps in a call.
fn asleep(arch: Arch, call: &Syscall) -> Registers {
    let mut registers = Registers::unknown(arch);
    registers.set(arch.instruction_pointer(), call.pc);
    registers.set(arch.stack_pointer(), call.sp);
    // Arguments stay in their registers, where glibc's vfork keeps its return address: rdi, rsi, rdx, r10, r8, r9. On
    // aarch64 they are those that calls do not preserve, of no use to the walk. Source: System V AMD64 psABI, appendix
    // A.2.1; glibc sysdeps/unix/sysv/linux/x86_64/vfork.S.
    const ARGUMENTS: [u16; 6] = [5, 4, 1, 10, 8, 9];
    if arch == Arch::X86_64 {
        for (number, value) in ARGUMENTS.into_iter().zip(&call.args) {
            registers.set(Register(number), *value);
        }
    }
    registers
}

fn saved(call: &Syscall) -> Option<SavedSyscall> {
    // What a call has for a result while it sleeps. Source: Linux include/linux/errno.h, ERESTARTSYS.
    const SLEEPS: i64 = -512;
    let mut args = [None; 6];
    for (place, value) in args.iter_mut().zip(&call.args) {
        *place = Some(*value);
    }
    Some(SavedSyscall { number: u64::try_from(call.number).ok()?, args, result: SLEEPS })
}

/// Tells modules where their unwind tables are.
pub(super) fn place_unwind_tables(facts: &Facts, modules: &mut [MappedModule]) {
    for table in &facts.unwind_tables {
        let (start, end) = (Addr(table.start), Addr(table.end));
        let module = modules.iter_mut().find(|module| module.base <= start && end <= module.end);
        if let (Some(module), Some(size)) = (module, end.since(start)) {
            module.image = ImageKind::Elf { eh_frame: Some((start, size)) };
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
    fn a_thread_that_did_not_stop_is_there_with_what_the_kernel_told() {
        let call = Syscall { number: 58, args: vec![1, 2, 3, 4, 5, 6], sp: 0x7000, pc: 0x1234 };
        let lost = |tid, syscall| ThreadFacts { tid, syscall, lost: Some("it slept".into()), ..ThreadFacts::default() };
        let stopped = ThreadFacts { tid: 10, ..ThreadFacts::default() };
        let facts = Facts { threads: vec![stopped, lost(11, Some(call)), lost(12, None)], ..Facts::default() };
        let (mut threads, mut problems) = (vec![thread(10)], Vec::new());
        add_lost_threads(&facts, Arch::X86_64, &mut threads, &mut problems);
        let [_, sleeper, other] = threads.as_slice() else { panic!("{threads:?}") };
        let registers = sleeper.registers.as_ref().expect("pc and sp");
        assert_eq!((registers.pc(), registers.sp()), (Some(Addr(0x1234)), Some(Addr(0x7000))));
        assert_eq!(sleeper.syscall.map(|call| (call.number, call.args[5], call.result)), Some((58, Some(6), -512)));
        assert!(other.registers.is_err() && other.syscall.is_none());
        assert_eq!(problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["thread-lost", "thread-lost"]);
        add_lost_threads(&facts, Arch::X86_64, &mut threads, &mut problems);
        assert_eq!(threads.len(), 3, "each is there once");
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
            copies: Vec::new(),
            role: crate::capture::Role::Executable,
            image: ImageKind::ELF,
        };
        let mut threads = [thread(10), thread(11), thread(12), thread(13), thread(14)];
        name_threads(&facts, &process, &[executable], &mut threads);
        let names: Vec<Option<&str>> = threads.iter().map(|thread| thread.name.as_deref()).collect();
        assert_eq!(names, [Some("shop"), None, Some("worker-1"), None, None]);
    }
}
