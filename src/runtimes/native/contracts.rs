//! Waits that a function's name explains, or that of a pipe: locks of databases and of language runtimes, and idle workers.
//!
//! Input: the names of a thread's innermost frames. Output: a line of [`FAMILIES`], the first that matches any frame, so that the more
//! telling line stands first. Names are those of symbols, C++ and Rust demangled; a stripped program shows those it exports, which all of
//! the lines for PostgreSQL and MariaDB are.

use crate::model::Stack;
use crate::model::frame::path;
use crate::model::thread::Nature;

use super::calls::Namer;
use crate::target::Target;

/// Frames of one thread that are looked at, innermost first: between a lock of PostgreSQL's and its system call lie eight.
const MAX_FRAMES: usize = 24;

/// A function in which a thread waits for something of its program's own.
#[derive(Debug)]
pub(super) struct Contract {
    /// Its path without parameters, or the beginning and the end of it around a `*`.
    function: &'static str,
    /// The function that must have called it, where functions without names between them do not count.
    caller: Option<&'static str>,
    /// What is waited for.
    pub(super) what: &'static str,
    /// What has to happen for the wait to end.
    pub(super) nature: Nature,
}

const fn lock(function: &'static str, what: &'static str) -> Contract {
    Contract { function, caller: None, what, nature: Nature::Lock }
}

const fn turn(function: &'static str, what: &'static str) -> Contract {
    Contract { function, caller: None, what, nature: Nature::Turn }
}

const fn idle(function: &'static str, what: &'static str) -> Contract {
    Contract { function, caller: None, what, nature: Nature::Idle }
}

/// A lock, or a queue without work: which, only the runtime's own data tells.
const fn unclear(function: &'static str, what: &'static str) -> Contract {
    Contract { function, caller: None, what, nature: Nature::Unknown }
}

/// Functions of one program or library.
struct Family {
    /// Beginnings of the file names of modules that have them; empty where their names are found nowhere else.
    modules: &'static [&'static str],
    contracts: &'static [Contract],
}

static FAMILIES: &[Family] = &[
    // PostgreSQL 9.6 to 17. Source: src/backend/storage/lmgr/{lmgr,lock,lwlock,proc}.c, storage/buffer/bufmgr.c.
    Family {
        modules: &["postgres", "edb-postgres"],
        contracts: &[
            // Lightweight locks are waited for inside of the others.
            lock(
                "LWLockAcquireOrWait",
                "a PostgreSQL lightweight lock, which another backend holds; pg_stat_activity names it",
            ),
            lock(
                "LWLockAcquire",
                "a PostgreSQL lightweight lock, which another backend holds; pg_stat_activity names it",
            ),
            lock(
                "LWLockWaitForVar",
                "a PostgreSQL lightweight lock, which another backend holds; pg_stat_activity names it",
            ),
            lock(
                "XactLockTableWait",
                "the end of another PostgreSQL transaction, which has the row; pg_locks tells which",
            ),
            lock("ConditionalXactLockTableWait", "the end of another PostgreSQL transaction; pg_locks tells which"),
            lock("SpeculativeInsertionWait", "a PostgreSQL insertion of another session; pg_locks tells which"),
            lock(
                "LockBufferForCleanup",
                "a PostgreSQL buffer that other sessions have pinned; pg_stat_activity tells more",
            ),
            lock("LockRelationOid", "a PostgreSQL table that another session has locked; pg_locks tells which"),
            lock("LockTuple", "a PostgreSQL row that another session has locked; pg_locks tells which"),
            lock(
                "LockAcquireExtended",
                "a PostgreSQL lock of another session; pg_locks and pg_blocking_pids() tell whose",
            ),
            lock("ProcSleep", "a PostgreSQL lock of another session; pg_locks and pg_blocking_pids() tell whose"),
            lock("SyncRepWaitForLSN", "the answer of a PostgreSQL standby; pg_stat_replication tells which"),
            lock("WaitIO", "a PostgreSQL buffer that another backend reads or writes"),
        ],
    },
    // MariaDB 10.4 to 11, MySQL 5.7 to 8. Source: sql/mdl.cc, storage/innobase/lock/lock0wait.cc, sql/lock.cc, sql/item_func.cc.
    Family {
        modules: &["mariadbd", "mysqld"],
        contracts: &[
            lock(
                "MDL_wait::timed_wait",
                "a metadata lock of another session; performance_schema.metadata_locks tells whose",
            ),
            lock(
                "MDL_context::acquire_lock",
                "a metadata lock of another session; performance_schema.metadata_locks tells whose",
            ),
            lock("lock_wait_suspend_thread", "a row lock of InnoDB; SHOW ENGINE INNODB STATUS tells whose"),
            lock(
                "lock_wait",
                "a row lock of InnoDB; information_schema.innodb_lock_waits or sys.innodb_lock_waits tells whose",
            ),
            lock("thr_lock", "a table lock of another session; SHOW PROCESSLIST tells more"),
            lock("thr_multi_lock", "a table lock of another session; SHOW PROCESSLIST tells more"),
            lock("sync_array_wait_event", "a latch of InnoDB; SHOW ENGINE INNODB STATUS tells whose"),
            // What InnoDB waits in has no exported name.
            unclear(
                "handler::ha_*",
                "a row lock, a latch or a page of the storage engine; SHOW ENGINE INNODB STATUS tells which",
            ),
        ],
    },
    // CPython 3.2 to 3.14. Source: Python/ceval_gil.h and ceval_gil.c; Python/thread_pthread.h; Python/parking_lot.c; Modules/_queuemodule.c.
    Family {
        modules: &[],
        contracts: &[
            idle("_queue_SimpleQueue_get*", "work in a SimpleQueue of Python"),
            turn("take_gil", "the GIL of Python; py-spy dump tells who runs"),
            turn("PyEval_RestoreThread", "the GIL of Python; py-spy dump tells who runs"),
            turn("PyEval_AcquireThread", "the GIL of Python; py-spy dump tells who runs"),
            turn("PyGILState_Ensure", "the GIL of Python; py-spy dump tells who runs"),
            lock("_PyImport_AcquireLock", "the import lock of Python; py-spy dump tells who imports"),
            unclear(
                "PyThread_acquire_lock_timed",
                "a lock or condition of Python's threading; py-spy dump tells which",
            ),
            unclear("_PyMutex_LockTimed", "a lock of Python; py-spy dump tells which"),
        ],
    },
    // Ruby 2.6 to 3.4. Source: thread_sync.c, thread_pthread.c, thread.c.
    Family {
        modules: &["ruby", "libruby"],
        contracts: &[
            lock("rb_mutex_lock", "a Mutex of Ruby; rbspy dump tells who runs"),
            lock("do_mutex_lock", "a Mutex of Ruby; rbspy dump tells who runs"),
            // Distributions strip what lies between these.
            Contract {
                function: "rb_native_cond_wait",
                caller: Some("rb_mutex_synchronize"),
                what: "a Mutex of Ruby; rbspy dump tells who runs",
                nature: Nature::Lock,
            },
            turn("thread_sched_to_running*", "the VM lock of Ruby; rbspy dump tells who runs"),
            turn("gvl_acquire*", "the VM lock of Ruby; rbspy dump tells who runs"),
            unclear("rb_native_cond_wait", "a Mutex, a Queue or its turn in Ruby; rbspy dump tells which"),
        ],
    },
    // HotSpot 8 to 25. Source: src/hotspot/share/runtime/{objectMonitor,mutex}.cpp, prims/unsafe.cpp, jvm.cpp.
    Family {
        modules: &["libjvm"],
        contracts: &[
            lock("ObjectMonitor::enter*", "a Java monitor; jstack or jcmd Thread.print tells whose"),
            lock("ObjectMonitor::EnterI", "a Java monitor; jstack or jcmd Thread.print tells whose"),
            lock("ObjectSynchronizer::enter*", "a Java monitor; jstack or jcmd Thread.print tells whose"),
            unclear("Unsafe_Park", "a java.util.concurrent lock or queue; jstack or jcmd Thread.print tells which"),
            unclear("Parker::park", "a java.util.concurrent lock or queue; jstack or jcmd Thread.print tells which"),
        ],
    },
    // .NET 6 to 10. Source: src/coreclr/vm/{syncblk,threads,comsynchronizable}.cpp.
    Family {
        modules: &["libcoreclr"],
        contracts: &[
            lock("AwareLock::EnterEpilog*", "a .NET Monitor; syncblk of dotnet-dump tells whose"),
            lock("AwareLock::Enter", "a .NET Monitor; syncblk of dotnet-dump tells whose"),
            lock("ObjectNative::Monitor_*", "a .NET Monitor; syncblk of dotnet-dump tells whose"),
        ],
    },
    // Go 1.14 to 1.25: threads without work, of the scheduler and of the monitor. Source: src/runtime/{proc,lock_futex,os_linux}.go.
    Family {
        modules: &[],
        contracts: &[
            idle("runtime.stopm", "work in Go's scheduler"),
            idle("runtime.mPark", "work in Go's scheduler"),
            idle("runtime.findRunnable", "work in Go's scheduler"),
            idle("runtime.findrunnable", "work in Go's scheduler"),
            idle("runtime.sysmon", "time in Go's monitor"),
            idle("runtime.templateThread", "work in Go's scheduler"),
            idle("runtime.startlockedm", "its goroutine's turn in Go's scheduler"),
            idle("runtime.stoplockedm", "its goroutine's turn in Go's scheduler"),
            idle("os/signal.signal_recv", "a signal in Go's runtime"),
            lock("runtime.lock2", "a lock of Go's runtime"),
        ],
    },
    // Node.js 12 to 24. Source: src/inspector_agent.cc, StartIoThreadMain waits for SIGUSR1.
    Family { modules: &[], contracts: &[idle("node::inspector::*StartIoThreadMain", "a debugger of Node.js")] },
];

/// Paths of pipes that a runtime opens for somebody who may never come: a part of the path, and who. .NET 5 to 10; source:
/// src/coreclr/pal/src/thread/process.cpp, PAL_GetTransportPipeName.
static PIPES: &[(&str, &str)] = &[("/clr-debug-pipe-", "a debugger, with a thread that .NET keeps for one")];

/// For whom a thread waits that opens this path, where it waits for nothing that its program does.
pub(super) fn opened_for(path: &str) -> Option<&'static str> {
    PIPES.iter().find(|(part, _)| path.contains(part)).map(|(_, whom)| *whom)
}

/// A function of a stack: its path, and the file name of its module.
#[derive(Clone, Copy)]
struct Function<'a> {
    path: &'a str,
    module: &'a str,
}

impl Family {
    /// The first of its contracts that a stack's named functions, innermost first, stand for.
    fn first(&self, functions: &[Function<'_>]) -> Option<&Contract> {
        let has = |at: usize, pattern: &str| {
            functions.get(at).is_some_and(|function| self.owns(function.module) && is(pattern, function.path))
        };
        let called = |at: usize, caller| at.checked_add(1).is_some_and(|next| has(next, caller));
        self.contracts.iter().find(|contract| {
            (0..functions.len())
                .any(|at| has(at, contract.function) && contract.caller.is_none_or(|caller| called(at, caller)))
        })
    }

    fn owns(&self, module: &str) -> bool {
        self.modules.is_empty() || self.modules.iter().any(|beginning| module.starts_with(beginning))
    }
}

/// Whether a function's path is that of a pattern.
fn is(pattern: &str, function: &str) -> bool {
    match pattern.split_once('*') {
        None => function == pattern,
        Some((beginning, end)) => function.strip_prefix(beginning).is_some_and(|rest| rest.ends_with(end)),
    }
}

/// The wait that the names of a stack explain.
pub(super) fn explained(namer: &Namer<'_>, target: &Target, stack: &Stack) -> Option<&'static Contract> {
    let frames = stack.frames.iter().take(MAX_FRAMES);
    let calls: Vec<_> = frames.flat_map(|frame| namer.calls(frame).to_vec()).collect();
    let functions: Vec<Function<'_>> = (calls.iter())
        .filter_map(|call| {
            let module = call.module.and_then(|index| target.modules.get(index)?.mapped.path.as_deref());
            let module = module.and_then(|path| path.rsplit('/').next()).unwrap_or_default();
            Some(Function { path: bare(call.name.as_deref()?), module })
        })
        .collect();
    FAMILIES.iter().find_map(|family| family.first(&functions))
}

/// A function's path without the mark of a clone that a compiler made: a dot, and words of its own.
fn bare(function: &str) -> &str {
    const CLONES: [&str; 5] = [".constprop.", ".isra.", ".part.", ".cold", ".lto_priv."];
    let function = path(function);
    let end = CLONES.iter().filter_map(|clone| function.find(clone)).min();
    end.and_then(|end| function.get(..end)).unwrap_or(function)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(module: &str, functions: &[&str]) -> Option<(&'static str, Nature)> {
        let functions: Vec<_> = functions.iter().map(|name| Function { path: bare(name), module }).collect();
        FAMILIES.iter().find_map(|family| family.first(&functions)).map(|contract| (contract.what, contract.nature))
    }

    #[test]
    fn a_session_that_waits_for_a_row_is_told_from_one_that_waits_for_its_client() {
        // As gdb shows a backend of PostgreSQL 15 (Debian 12), innermost first.
        let row =
            ["epoll_wait", "WaitEventSetWait", "WaitLatch", "ProcSleep", "LockAcquireExtended", "XactLockTableWait"];
        assert!(
            what("postgres", &row).is_some_and(|(what, nature)| what.contains("transaction") && nature == Nature::Lock)
        );
        let client = ["epoll_wait", "WaitEventSetWait", "secure_read", "pq_getbyte", "PostgresMain"];
        assert_eq!(what("postgres", &client), None);
        assert!(what("postgres", &["do_futex_wait", "PGSemaphoreLock", "LWLockAcquireOrWait", "XLogFlush"]).is_some());
    }

    #[test]
    fn parameters_and_clones_of_a_function_do_not_hide_it() {
        assert!(
            what("mariadbd", &["MDL_wait::timed_wait(MDL_context_owner*, timespec*, bool, PSI_stage_info_v1 const*)"])
                .is_some()
        );
        assert!(what("python3.11", &["take_gil.constprop.0"]).is_some());
        assert_eq!(what("python3.11", &["my_take_gil", "take_gilded"]), None);
    }

    #[test]
    fn what_a_block_of_a_mutex_of_rubys_waits_for_is_not_the_mutex() {
        let wants =
            ["__futex_abstimed_wait_common", "___pthread_cond_wait", "rb_native_cond_wait", "rb_mutex_synchronize"];
        assert!(
            what("libruby-3.1.so.3.1", &wants)
                .is_some_and(|(what, nature)| what.starts_with("a Mutex of Ruby") && nature == Nature::Lock)
        );
        let inside = ["___pthread_cond_wait", "rb_native_cond_wait", "rb_ensure", "rb_vm_exec", "rb_mutex_synchronize"];
        assert!(what("libruby-3.1.so.3.1", &inside).is_some_and(|(_, nature)| nature == Nature::Unknown));
    }

    #[test]
    fn another_programs_function_of_the_same_name_explains_nothing() {
        assert!(what("mariadbd", &["___pthread_cond_wait", "lock_wait(que_thr_t*)"]).is_some());
        assert_eq!(what("shop", &["___pthread_cond_wait", "lock_wait(que_thr_t*)", "LockTuple"]), None);
    }

    #[test]
    fn a_worker_without_work_waits_for_nobody() {
        let worker = ["sem_clockwait", "PyThread_acquire_lock_timed", "_queue_SimpleQueue_get_impl"];
        assert!(what("libpython3.11.so.1.0", &worker).is_some_and(|(_, nature)| nature == Nature::Idle));
        assert!(
            what("server", &["runtime.futex", "runtime.futexsleep", "runtime.stopm"])
                .is_some_and(|(_, nature)| nature == Nature::Idle)
        );
    }

    #[test]
    fn a_pipe_that_a_runtime_opens_for_a_debugger_is_told_by_its_path() {
        // As .NET 10 names it: the process's id, and when it began.
        assert!(opened_for("/tmp/clr-debug-pipe-20232-1059836-in").is_some_and(|whom| whom.starts_with("a debugger")));
        assert_eq!(opened_for("/srv/shop/orders.fifo"), None);
    }
}
