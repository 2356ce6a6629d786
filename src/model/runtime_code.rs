//! Which code belongs to the C library, the language's runtime or its standard library: by module, and by name where a
//! static executable holds all of them itself.

use std::sync::LazyLock;

use rustc_hash::FxHashSet;

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

/// Whether a module of this file name belongs to the runtime.
pub fn is_runtime_library(file_name: &str) -> bool {
    RUNTIME_LIBRARIES.iter().any(|prefix| file_name.starts_with(prefix))
}

/// Namespaces of standard libraries, as demangled names begin.
const RUNTIME_SCOPES: &[&str] = &[
    "std::",
    "__rustc::",
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
    "hashbrown::",
    "<hashbrown::",
];

/// Entry points of C libraries that static executables hold under plain names.
// Source: POSIX.1-2024 XSH and the glibc manual; those that block, plus the way from _start to main.
static C_LIBRARY: LazyLock<FxHashSet<&str>> = LazyLock::new(|| {
    FxHashSet::from_iter([
        "_start",
        "_start_c",
        "start_thread",
        "start_c11",
        "thread_start",
        "sccp",
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
        // What malloc and free call before they abort. Source: glibc 2.36 malloc/malloc.c.
        "malloc_printerr",
        "malloc_consolidate",
        "unlink_chunk",
        "sysmalloc",
        "systrim",
        "_int_malloc",
        "_int_free",
        "_int_realloc",
        "_int_memalign",
        "memcpy",
        "memmove",
        "memset",
        "strlen",
        "strcpy",
        "strcmp",
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
    ])
});
const C_LIBRARY_PREFIXES: &[&str] =
    &["_IO_", "_dl_", "pthread_", "sem_", "lll_", "futex_", "sys_", "mq_", "aio_", "io_"];

/// Packages of Go's that a reader of a stack does not want to see first. No name of C, C++ or Rust has a dot there: what compilers append
/// to clones is taken off.
// Source: Go 1.19 src/runtime, src/internal, src/sync, src/syscall, src/reflect; cmd/cgo for the names that it makes.
const GO_PACKAGES: &[&str] =
    &["runtime.", "runtime/", "internal/", "sync.", "sync/", "syscall.", "reflect.", "_cgo_", "x_cgo_", "_rt0_"];

/// Whether a function of this full name belongs to the runtime. `in_executable`: the executable holds its C library itself,
/// so that a plain `read` is not the program's own.
pub fn is_runtime_function(name: &str, in_executable: bool) -> bool {
    let path = super::frame::path(name);
    if path.contains("::") {
        return RUNTIME_SCOPES.iter().any(|scope| path.starts_with(scope));
    }
    if GO_PACKAGES.iter().any(|package| path.starts_with(package)) {
        return true;
    }
    // Names that begin so are reserved for the implementation. Source: ISO C 7.1.3, C++ [lex.name].
    path.starts_with("__")
        || path == "_start"
        || path == "execute_native_thread_routine"
        || path.starts_with("rust_begin_unwind")
        || path.starts_with("rust_panic")
        || (in_executable
            && (C_LIBRARY.contains(path) || C_LIBRARY_PREFIXES.iter().any(|prefix| path.starts_with(prefix))))
}

/// Whether a source file is a header of the system, or of Rust's standard library: what it defines was inlined from there.
// Source: Filesystem Hierarchy Standard 3.0, section 4.5; GCC's own headers are below /usr/lib/gcc; rustc maps its library's
// sources to /rustc/COMMIT, or to those that rustup installed.
pub fn is_system_header(file: &str) -> bool {
    ["/usr/include/", "/usr/lib/gcc/", "/rustc/"].iter().any(|folder| file.starts_with(folder))
        || file.contains("/lib/rustlib/src/rust/library/")
}

/// Whether code is the program's own, and not that of a runtime or of a library without source. `module` is a file name,
/// `function` a full name; `has_source`: debug information names the source file.
pub fn is_own_code(module: Option<&str>, function: Option<&str>, has_source: bool) -> bool {
    // A function of the C library in a static executable has no debug information: its plain name decides.
    let of_runtime = module.is_some_and(is_runtime_library)
        || function.is_some_and(|function| is_runtime_function(function, !has_source));
    !of_runtime && (has_source || module.is_some_and(|module| !module.contains(".so") && !module.starts_with('[')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_libraries_are_the_runtime_and_the_program_is_not() {
        let runtime = [
            "std::mutex::lock()",
            "void std::__invoke_impl<void, void (*)()>(std::__invoke_other, void (*&&)())",
            "core::ops::function::FnOnce::call_once",
            "<std::sys::sync::mutex::futex::Mutex>::lock_contended",
            "__gthread_mutex_lock(pthread_mutex_t*)",
        ];
        for name in runtime {
            assert!(is_runtime_function(name, false), "{name}");
        }
        for name in
            ["reserve", "shop::Pool<shop::Order>::run()", "reader", "shop::__detail()", "main", "shop::std::run()"]
        {
            assert!(!is_runtime_function(name, true), "{name}");
        }
    }

    #[test]
    fn the_runtime_of_go_is_the_runtime_and_a_package_is_not() {
        for name in ["runtime.gopanic", "runtime.(*mheap).alloc", "sync.(*Mutex).Unlock", "internal/poll.(*FD).Read"] {
            assert!(is_runtime_function(name, false), "{name}");
        }
        for name in ["main.price", "main.main.func1", "example.org/shop/stock.(*Shelf).Take", "runtimes.run", "sync"] {
            assert!(!is_runtime_function(name, true), "{name}");
        }
    }

    #[test]
    fn a_plain_name_of_the_c_library_is_the_programs_own_where_the_library_is_apart() {
        assert!(is_runtime_function("read", true));
        assert!(!is_runtime_function("read", false));
    }
}
