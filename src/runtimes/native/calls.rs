//! A thread's stack by names, and which of them belong to the C library and the language's runtime.
//!
//! Input: a walked stack and the target's names. Output: calls, innermost first, inlined ones expanded, each marked as
//! the program's own or the runtime's. A static executable holds its C library itself, so modules do not suffice: names
//! reserved for the implementation and the entry points of the C library count as the runtime's too.

use std::sync::Arc;

use crate::capture::Role;
use crate::model::{Addr, FrameKind, Stack};
use crate::target::{Module, Target};

/// A function that a thread is in.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Full demangled name; `None` when no symbol covers the address.
    pub(super) name: Option<Arc<str>>,
    /// Index of the module among the target's; `None` outside all modules.
    pub(super) module: Option<usize>,
    /// Start of the physical function; `None` for inlined calls and unnamed ones.
    pub(super) start: Option<Addr>,
    /// Whether it belongs to the C library, the language's runtime or its standard library, and not to the program.
    pub(super) runtime: bool,
}

/// The calls of one thread: some of the innermost and some of the outermost ones, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    /// Innermost first.
    pub(super) inner: Vec<Call>,
    /// Outermost first. Overlaps `inner` in a short stack.
    pub(super) outer: Vec<Call>,
}

/// Physical frames that are named at each end of a stack: libraries between a lock and its caller are shallower.
const NAMED_FRAMES: usize = 40;

impl Calls {
    /// Names both ends of a stack. Names are memoised by the target.
    pub(super) fn of(target: &Target, stack: &Stack) -> Calls {
        let mut inner = Vec::new();
        for frame in 0..stack.frames.len().min(NAMED_FRAMES) {
            name_frame(target, stack, frame, &mut inner);
        }
        let mut outer = Vec::new();
        for frame in (0..stack.frames.len()).rev().take(NAMED_FRAMES) {
            let at = outer.len();
            name_frame(target, stack, frame, &mut outer);
            if let Some(added) = outer.get_mut(at..) {
                added.reverse();
            }
        }
        Calls { inner, outer }
    }

    /// The innermost calls up to the program's own code.
    pub(super) fn in_runtime(&self) -> impl Iterator<Item = &Call> {
        self.inner.iter().take_while(|call| call.runtime)
    }

    /// The innermost call of the program's own code.
    pub(super) fn top(&self) -> Option<&Call> {
        self.inner.iter().find(|call| !call.runtime && call.name.is_some())
    }

    /// Whether any call that the thread waits in has a name: if so, no matching name means a different function.
    pub(super) fn are_named(&self) -> bool {
        self.in_runtime().any(|call| call.name.is_some())
    }
}

fn name_frame(target: &Target, stack: &Stack, index: usize, calls: &mut Vec<Call>) {
    let Some(frame) = stack.frames.get(index) else { return };
    if frame.kind == FrameKind::Signal {
        calls.push(Call { name: None, module: None, start: None, runtime: true });
        return;
    }
    let name = target.name(frame.lookup());
    let module = name.as_ref().map(|name| name.module);
    let library = module.and_then(|index| target.modules.get(index)).is_some_and(is_runtime_module);
    let parts = name.as_ref().map(|name| name.parts.as_slice()).unwrap_or_default();
    if parts.is_empty() {
        calls.push(Call { name: None, module, start: None, runtime: library });
    }
    for part in parts {
        let runtime = library || part.function.as_deref().is_some_and(is_runtime_function);
        calls.push(Call { name: part.function.clone(), module, start: part.start, runtime });
    }
}

/// Libraries that come with the compiler or the system and that no reader of a stack wants to see first.
const RUNTIME_LIBRARIES: &[&str] = &[
    "ld-linux",
    "ld-musl",
    "ld-2.",
    "libc.so",
    "libc-2.",
    "libc.musl",
    "libpthread",
    "librt.so",
    "librt-2.",
    "libdl.so",
    "libdl-2.",
    "libm.so",
    "libm-2.",
    "libstdc++.so",
    "libc++.so",
    "libc++abi.so",
    "libgcc_s.so",
    "libunwind.so",
    "libasan.so",
    "libtsan.so",
    "libubsan.so",
];

fn is_runtime_module(module: &Module) -> bool {
    module.mapped.role == Role::Vdso
        || module.file_name().is_some_and(|name| RUNTIME_LIBRARIES.iter().any(|prefix| name.starts_with(prefix)))
}

/// Namespaces of standard libraries, as demangled names begin.
const RUNTIME_SCOPES: &[&str] = &[
    "std::",
    "__gnu_cxx::",
    "__cxxabiv1::",
    "core::",
    "alloc::",
    "<std::",
    "<core::",
    "<alloc::",
    "<&std::",
    "<&core::",
    "<&alloc::",
    "<&mut std::",
    "<&mut core::",
    "<&mut alloc::",
    "parking_lot::",
    "parking_lot_core::",
    "lock_api::",
    "<parking_lot",
    "<lock_api::",
    "rust_begin_unwind",
    "rust_panic",
    "hashbrown::",
    "<hashbrown::",
];

/// Entry points of C libraries that static executables hold under plain names.
// Source: POSIX.1-2024 XSH and the glibc manual; those that block, plus the way from _start to main.
const C_LIBRARY: &[&str] = &[
    "_start",
    "_start_c",
    "start_thread",
    "start",
    "c11",
    "start_c11",
    "clone",
    "clone3",
    "raise",
    "abort",
    "gsignal",
    "syscall",
    "nanosleep",
    "clock_nanosleep",
    "sleep",
    "usleep",
    "pause",
    "sigsuspend",
    "sigwait",
    "sigwaitinfo",
    "sigtimedwait",
    "read",
    "pread",
    "pread64",
    "readv",
    "preadv",
    "write",
    "pwrite",
    "pwrite64",
    "writev",
    "pwritev",
    "recv",
    "recvfrom",
    "recvmsg",
    "recvmmsg",
    "send",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "poll",
    "ppoll",
    "select",
    "pselect",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "accept",
    "accept4",
    "connect",
    "open",
    "open64",
    "openat",
    "openat64",
    "close",
    "fsync",
    "fdatasync",
    "flock",
    "lockf",
    "fcntl",
    "fcntl64",
    "ioctl",
    "wait",
    "waitpid",
    "wait3",
    "wait4",
    "waitid",
    "msgrcv",
    "msgsnd",
    "semop",
    "semtimedop",
    "malloc",
    "free",
    "calloc",
    "realloc",
    "sched_yield",
    "thrd_join",
    "thrd_sleep",
    "mtx_lock",
    "mtx_timedlock",
    "cnd_wait",
    "cnd_timedwait",
    "call_once",
    "fflush",
    "fwrite",
    "fread",
    "fputs",
    "puts",
    "printf",
    "fprintf",
    "vfprintf",
    "flockfile",
    "exit",
    "futex_wait",
    "tcdrain",
    "getchar",
    "fgets",
    "fgetc",
    "getc",
    "getline",
];
const C_LIBRARY_PREFIXES: &[&str] = &[
    "__",
    "_IO_",
    "_dl_",
    "pthread_",
    "sem_",
    "lll_",
    "futex_",
    "sys_",
    "execute_native_thread_routine",
    "mq_",
    "aio_",
    "io_",
];

pub(super) fn is_runtime_function(name: &str) -> bool {
    let name = super::start::path(name);
    RUNTIME_SCOPES.iter().any(|scope| name.starts_with(scope))
        || (!name.contains("::")
            && (C_LIBRARY.contains(&name) || C_LIBRARY_PREFIXES.iter().any(|prefix| name.starts_with(prefix))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_libraries_are_the_runtime_and_the_program_is_not() {
        for name in [
            "std::mutex::lock()",
            "core::ops::function::FnOnce::call_once",
            "__lll_lock_wait",
            "pthread_mutex_lock",
            "read",
        ] {
            assert!(is_runtime_function(name), "{name}");
        }
        for name in ["reserve", "shop::Pool<shop::Order>::run()", "reader", "shop::__detail()", "main"] {
            assert!(!is_runtime_function(name), "{name}");
        }
    }
}
