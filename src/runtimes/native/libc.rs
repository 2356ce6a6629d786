//! Which C library the process runs, and where that library keeps a thread's id, start routine and list of robust locks.
//!
//! Input: modules, symbols, threads. Output: offsets from the thread pointer, each with its source. glibc describes
//! itself (`_thread_db_*`); where those constants are not at hand a built-in offset is used, and it is believed only
//! if the threads of this dump confirm it. Layouts: docs/layouts/glibc.md, docs/layouts/musl.md.

use crate::capture::Memory;
use crate::model::{Addr, Arch, OsThread};
use crate::runtimes::layout::{Offset, Source};
use crate::target::{Module, Target};

/// A C library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// The GNU C library.
    Glibc,
    /// musl.
    Musl,
}

/// The C library of a target. Offsets count from the thread pointer.
#[derive(Clone, Debug, Default)]
pub(super) struct Libc {
    /// Which one; `None` when neither file names nor symbols nor threads tell.
    pub(super) family: Option<Family>,
    /// Whether it is part of the executable (static linking) and no module of its own.
    pub(super) in_executable: bool,
    /// Version of glibc, where its `__nptl_version` is readable.
    pub(super) version: Option<(u32, u32)>,
    /// The `struct pthread` itself, what a `pthread_t` is.
    pub(super) pthread: Option<Offset>,
    /// The thread's id, in its own PID namespace (i32).
    pub(super) tid: Option<Offset>,
    /// The function that the thread was started with.
    pub(super) start_routine: Option<Offset>,
    /// Head of the list of robust (on musl: all owned, non-normal) mutexes.
    pub(super) robust_list: Option<Offset>,
    /// What `pthread_join` waits for: glibc clears the id, musl changes `detach_state`.
    pub(super) join_futex: Option<Offset>,
}

// struct pthread of glibc on x86-64: header 704 bytes, list 16, then tid. Source: glibc 2.36 nptl/descr.h,
// sysdeps/x86_64/nptl/tls.h; the same since 2.4. docs/layouts/glibc.md "struct pthread".
const GLIBC_X86_64_TID: i64 = 720;
// robust_head follows tid (4 bytes, 4 of padding or the former pid) and robust_prev (8). Source: as above.
const GLIBC_TID_TO_ROBUST_HEAD: i64 = 16;
// Source: musl 1.2.3 src/internal/pthread_impl.h: self, dtv, prev, next, sysinfo, canary, tid. docs/layouts/musl.md.
const MUSL_X86_64_TID: i64 = 48;
// tid, errno_val, detach_state: the order is the same on every architecture. Source: as above.
const MUSL_TID_TO_DETACH_STATE: i64 = 8;
const MUSL_TID_TO_ROBUST_LIST: i64 = 88;
// On architectures with TLS above the thread pointer dtv and canary are at the structure's end. Source: as above.
const MUSL_ABOVE_TP_PTHREAD_TO_TID: i64 = 32;
// Far enough back for every struct pthread known (2.36 on aarch64: 0x740 bytes).
const SEARCHED_BELOW_THREAD_POINTER: i64 = 0x1000;

impl Libc {
    /// Recognises the library by file name, then by symbol, then by what the threads' memory holds.
    pub(super) fn detect(target: &Target) -> Libc {
        let threads = &target.capture.threads;
        let file = by_file(target);
        let libc = match file.or_else(|| by_symbol(target)) {
            Some(Family::Glibc) => Libc::glibc(target, threads),
            Some(Family::Musl) => Libc::musl(target.arch(), threads, &target.memory),
            None => Libc::by_threads(target.arch(), threads, &target.memory),
        };
        Libc { in_executable: file.is_none(), ..libc }
    }

    fn glibc(target: &Target, threads: &[OsThread]) -> Libc {
        let memory = &target.memory;
        let pthread = match target.arch() {
            // Source: glibc sysdeps/x86_64/nptl/tls.h: THREAD_SELF is what fs:0x10 holds, fs itself.
            Arch::X86_64 => Some(Offset::built_in(0)),
            // Source: glibc sysdeps/aarch64/nptl/tls.h: TLS_PRE_TCB_SIZE bytes below tpidr_el0.
            Arch::Aarch64 => described_size(target).map(|size| Offset { bytes: -size, source: Source::Described }),
        };
        let member = |name: &str| {
            let inside = described_offset(target, name)?;
            Some(Offset { bytes: pthread?.bytes.checked_add(inside)?, source: Source::Described })
        };
        let tid = member("_thread_db_pthread_tid").or_else(|| match target.arch() {
            Arch::X86_64 => Some(Offset::built_in(GLIBC_X86_64_TID)),
            Arch::Aarch64 => measure(threads, memory, -SEARCHED_BELOW_THREAD_POINTER..0),
        });
        Libc {
            family: Some(Family::Glibc),
            in_executable: false,
            version: version(target),
            pthread,
            tid,
            start_routine: member("_thread_db_pthread_start_routine"),
            robust_list: tid.and_then(|tid| moved(tid, GLIBC_TID_TO_ROBUST_HEAD)),
            join_futex: tid,
        }
    }

    fn musl(arch: Arch, threads: &[OsThread], memory: &Memory) -> Libc {
        let tid = match arch {
            Arch::X86_64 => Some(Offset::built_in(MUSL_X86_64_TID)),
            Arch::Aarch64 => measure(threads, memory, -SEARCHED_BELOW_THREAD_POINTER..0),
        };
        let pthread = match arch {
            Arch::X86_64 => Some(Offset::built_in(0)),
            Arch::Aarch64 => tid.and_then(|tid| moved(tid, -MUSL_ABOVE_TP_PTHREAD_TO_TID)),
        };
        Libc {
            family: Some(Family::Musl),
            in_executable: false,
            version: None,
            pthread,
            tid,
            start_routine: None,
            robust_list: tid.and_then(|tid| moved(tid, MUSL_TID_TO_ROBUST_LIST)),
            join_futex: tid.and_then(|tid| moved(tid, MUSL_TID_TO_DETACH_STATE)),
        }
    }

    /// A stripped static program: the library whose place for the thread id holds an id in every thread.
    fn by_threads(arch: Arch, threads: &[OsThread], memory: &Memory) -> Libc {
        if arch != Arch::X86_64 {
            let tid = measure(threads, memory, -SEARCHED_BELOW_THREAD_POINTER..0);
            return Libc { tid, ..Libc::default() };
        }
        let holds_ids = |bytes: i64| super::tids::are_ids(threads, memory, Offset { bytes, source: Source::Measured });
        if holds_ids(GLIBC_X86_64_TID) {
            let tid = Offset { bytes: GLIBC_X86_64_TID, source: Source::Measured };
            Libc {
                family: Some(Family::Glibc),
                pthread: Some(Offset::built_in(0)),
                tid: Some(tid),
                robust_list: moved(tid, GLIBC_TID_TO_ROBUST_HEAD),
                join_futex: Some(tid),
                ..Libc::default()
            }
        } else if holds_ids(MUSL_X86_64_TID) {
            Libc::musl(arch, threads, memory)
        } else {
            Libc::default()
        }
    }

    /// Whether the library is glibc, or may be.
    pub(super) fn may_be_glibc(&self) -> bool {
        self.family != Some(Family::Musl)
    }

    /// Whether the library is musl.
    pub(super) fn is_musl(&self) -> bool {
        self.family == Some(Family::Musl)
    }

    /// Where the id is in the `struct pthread` at an address.
    pub(super) fn tid_in(&self, pthread: Addr) -> Option<Addr> {
        pthread.offset(self.tid?.bytes.checked_sub(self.pthread?.bytes)?)
    }

    /// Address of a thread's `struct pthread`, its `pthread_t`.
    pub(super) fn pthread_of(&self, thread: &OsThread) -> Option<Addr> {
        self.pthread?.of(*thread.thread_pointer.as_ref().ok()?).ok()
    }
}

/// The `struct pthread` of musl and the thread's id in it, from the address of its `detach_state`.
pub(super) fn around_detach_state(arch: Arch, word: Addr) -> Option<(Addr, Addr)> {
    let tid = word.offset(MUSL_TID_TO_DETACH_STATE.checked_neg()?)?;
    let inside = match arch {
        Arch::X86_64 => MUSL_X86_64_TID,
        Arch::Aarch64 => MUSL_ABOVE_TP_PTHREAD_TO_TID,
    };
    Some((tid.offset(inside.checked_neg()?)?, tid))
}

fn moved(offset: Offset, by: i64) -> Option<Offset> {
    Some(Offset { bytes: offset.bytes.checked_add(by)?, ..offset })
}

/// Which C library a module is, by its file name.
pub(super) fn family_of(module: &Module) -> Option<Family> {
    let name = module.file_name()?;
    // musl's loader is a link to its libc.so; glibc's file of that name is a linker script and never mapped.
    if name.starts_with("ld-musl") || name.starts_with("libc.musl") || name == "libc.so" {
        return Some(Family::Musl);
    }
    // libc-2.31.so is how glibc installed itself before 2.35.
    if name.starts_with("libc.so.6") || (name.starts_with("libc-2.") && name.ends_with(".so")) {
        return Some(Family::Glibc);
    }
    None
}

fn by_file(target: &Target) -> Option<Family> {
    target.modules.iter().find_map(family_of)
}

/// A static executable that kept its symbol table.
fn by_symbol(target: &Target) -> Option<Family> {
    // glibc: the constants for libthread_db come with pthread_create, gnu_get_libc_version's string with every program.
    if target.lookup("_thread_db_pthread_tid", None).is_some()
        || target.lookup("__libc_start_main_impl", None).is_some()
    {
        return Some(Family::Glibc);
    }
    // musl: `struct __libc __libc`, src/internal/libc.c, and the function that sets up the first thread.
    (target.lookup("__libc", None).is_some() && target.lookup("__init_tp", None).is_some()).then_some(Family::Musl)
}

/// An offset that glibc states for libthread_db: an array of (bits, elements, offset).
// Source: glibc 2.36 nptl_db/db_info.c, DB_STRUCT_FIELD; nptl_db/thread_dbP.h, DB_OFFSET index.
fn described_offset(target: &Target, name: &str) -> Option<i64> {
    let at = target.lookup(name, None)?;
    let bits = target.memory.u32(at).ok()?;
    let offset = target.memory.u32(at.plus(8)?).ok()?;
    // Members that are used here are 4 or 8 bytes and lie in the first few kilobytes; 0 would be the header.
    (matches!(bits, 32 | 64) && (1..0x1000).contains(&offset)).then_some(i64::from(offset))
}

fn described_size(target: &Target) -> Option<i64> {
    let size = target.memory.u32(target.lookup("_thread_db_sizeof_pthread", None)?).ok()?;
    (256..0x4000).contains(&size).then_some(i64::from(size))
}

/// `2.36`, as glibc states it for libthread_db.
// Source: glibc 2.36 nptl/libpthread-compat.c and nptl_db: `const char __nptl_version[] = VERSION`.
fn version(target: &Target) -> Option<(u32, u32)> {
    let at = target.lookup("__nptl_version", None)?;
    let text = String::from_utf8(target.memory.c_string(at, 16).ok()?).ok()?;
    let mut parts = text.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The one offset at which every thread holds its own id; `None` when there is none, or more than one.
fn measure(threads: &[OsThread], memory: &Memory, range: std::ops::Range<i64>) -> Option<Offset> {
    let mut found = None;
    for bytes in range.step_by(4) {
        let offset = Offset { bytes, source: Source::Measured };
        if super::tids::are_own_ids(threads, memory, offset) && found.replace(offset).is_some() {
            return None;
        }
    }
    found
}
