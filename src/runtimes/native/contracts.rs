//! Waits that a function's name explains: locks of databases and of language runtimes, and idle workers.
//!
//! Input: the names of a thread's innermost frames. Output: a line of [`CONTRACTS`], the first that matches any frame, so that the more
//! telling line stands first. Names are those of symbols, C++ and Rust demangled; a stripped program shows those it exports, which all of
//! the lines for PostgreSQL and MariaDB are.

use crate::model::Stack;
use crate::model::frame::path;
use crate::model::thread::Nature;

use super::calls::Namer;

/// Frames of one thread that are looked at, innermost first: between a lock of PostgreSQL's and its system call lie eight.
const MAX_FRAMES: usize = 24;

/// A function in which a thread waits for something of its program's own.
#[derive(Debug)]
pub(super) struct Contract {
    /// Its path without parameters, or the beginning of it where that ends in `*`.
    function: &'static str,
    /// What is waited for.
    pub(super) what: &'static str,
    /// What has to happen for the wait to end.
    pub(super) nature: Nature,
}

const fn lock(function: &'static str, what: &'static str) -> Contract {
    Contract { function, what, nature: Nature::Lock }
}

const fn idle(function: &'static str, what: &'static str) -> Contract {
    Contract { function, what, nature: Nature::Idle }
}

/// A lock, or a queue without work: which, only the runtime's own data tells.
const fn unclear(function: &'static str, what: &'static str) -> Contract {
    Contract { function, what, nature: Nature::Unknown }
}

static CONTRACTS: &[Contract] = &[
    // PostgreSQL 9.6 to 17. Source: src/backend/storage/lmgr/{lmgr,lock,lwlock,proc}.c, storage/buffer/bufmgr.c.
    // Lightweight locks are waited for inside of the others.
    lock(
        "LWLockAcquireOrWait",
        "a PostgreSQL lightweight lock, which another backend holds; pg_stat_activity names it",
    ),
    lock("LWLockAcquire", "a PostgreSQL lightweight lock, which another backend holds; pg_stat_activity names it"),
    lock("LWLockWaitForVar", "a PostgreSQL lightweight lock, which another backend holds; pg_stat_activity names it"),
    lock("XactLockTableWait", "the end of another PostgreSQL transaction, which has the row; pg_locks tells which"),
    lock("ConditionalXactLockTableWait", "the end of another PostgreSQL transaction; pg_locks tells which"),
    lock("SpeculativeInsertionWait", "a PostgreSQL insertion of another session; pg_locks tells which"),
    lock("LockBufferForCleanup", "a PostgreSQL buffer that other sessions have pinned; pg_stat_activity tells more"),
    lock("LockRelationOid", "a PostgreSQL table that another session has locked; pg_locks tells which"),
    lock("LockTuple", "a PostgreSQL row that another session has locked; pg_locks tells which"),
    lock("LockAcquireExtended", "a PostgreSQL lock of another session; pg_locks and pg_blocking_pids() tell whose"),
    lock("ProcSleep", "a PostgreSQL lock of another session; pg_locks and pg_blocking_pids() tell whose"),
    lock("SyncRepWaitForLSN", "the answer of a PostgreSQL standby; pg_stat_replication tells which"),
    lock("WaitIO", "a PostgreSQL buffer that another backend reads or writes"),
    // MariaDB 10.4 to 11, MySQL 5.7 to 8. Source: sql/mdl.cc, storage/innobase/lock/lock0wait.cc, sql/lock.cc, sql/item_func.cc.
    lock("MDL_wait::timed_wait", "a metadata lock of another session; performance_schema.metadata_locks tells whose"),
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
    // CPython 3.2 to 3.14. Source: Python/ceval_gil.h and ceval_gil.c; Python/thread_pthread.h; Python/parking_lot.c; Modules/_queuemodule.c.
    idle("_queue_SimpleQueue_get*", "work in a SimpleQueue of Python"),
    lock("take_gil", "the GIL of Python; py-spy dump tells who runs"),
    lock("PyEval_RestoreThread", "the GIL of Python; py-spy dump tells who runs"),
    lock("PyEval_AcquireThread", "the GIL of Python; py-spy dump tells who runs"),
    lock("PyGILState_Ensure", "the GIL of Python; py-spy dump tells who runs"),
    lock("_PyImport_AcquireLock", "the import lock of Python; py-spy dump tells who imports"),
    unclear("PyThread_acquire_lock_timed", "a lock or condition of Python's threading; py-spy dump tells which"),
    unclear("_PyMutex_LockTimed", "a lock of Python; py-spy dump tells which"),
    // Ruby 2.6 to 3.4. Source: thread_sync.c, thread_pthread.c, thread.c.
    lock("rb_mutex_lock", "a Mutex of Ruby; rbspy dump tells who runs"),
    lock("do_mutex_lock", "a Mutex of Ruby; rbspy dump tells who runs"),
    lock("thread_sched_to_running*", "the VM lock of Ruby; rbspy dump tells who runs"),
    lock("gvl_acquire*", "the VM lock of Ruby; rbspy dump tells who runs"),
    // HotSpot 8 to 25. Source: src/hotspot/share/runtime/{objectMonitor,mutex}.cpp, prims/unsafe.cpp, jvm.cpp.
    lock("ObjectMonitor::enter*", "a Java monitor; jstack or jcmd Thread.print tells whose"),
    lock("ObjectMonitor::EnterI", "a Java monitor; jstack or jcmd Thread.print tells whose"),
    lock("ObjectSynchronizer::enter*", "a Java monitor; jstack or jcmd Thread.print tells whose"),
    unclear("Unsafe_Park", "a java.util.concurrent lock or queue; jstack or jcmd Thread.print tells which"),
    unclear("Parker::park", "a java.util.concurrent lock or queue; jstack or jcmd Thread.print tells which"),
    // .NET 6 to 10. Source: src/coreclr/vm/{syncblk,threads,comsynchronizable}.cpp.
    lock("AwareLock::EnterEpilog*", "a .NET Monitor; syncblk of dotnet-dump tells whose"),
    lock("AwareLock::Enter", "a .NET Monitor; syncblk of dotnet-dump tells whose"),
    lock("ObjectNative::Monitor_*", "a .NET Monitor; syncblk of dotnet-dump tells whose"),
    // Go 1.14 to 1.25: threads without work, of the scheduler and of the monitor. Source: src/runtime/{proc,lock_futex,os_linux}.go.
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
    // Node.js 12 to 24. Source: src/inspector_agent.cc, StartIoThreadMain waits for SIGUSR1.
    idle("node::inspector::*StartIoThreadMain", "a debugger of Node.js"),
];

impl Contract {
    fn explains(&self, function: &str) -> bool {
        match self.function.split_once('*') {
            None => function == self.function,
            Some((beginning, end)) => {
                function.strip_prefix(beginning).is_some_and(|rest| end.is_empty() || rest.ends_with(end))
            }
        }
    }
}

/// The wait that the names of a stack explain.
pub(super) fn explained(namer: &Namer<'_>, stack: &Stack) -> Option<&'static Contract> {
    let frames = stack.frames.iter().take(MAX_FRAMES);
    let calls: Vec<_> = frames.flat_map(|frame| namer.calls(frame).to_vec()).collect();
    first(calls.iter().filter_map(|call| call.name.as_deref()))
}

fn first<'a>(functions: impl Iterator<Item = &'a str>) -> Option<&'static Contract> {
    // Clones that a compiler made have the function's name, a dot and theirs.
    let bare = |function: &'a str| {
        let function = path(function);
        let clone = ["constprop", "isra", "part", "cold", "lto_priv"];
        let end = clone.iter().filter_map(|clone| function.find(&format!(".{clone}."))).min();
        end.and_then(|end| function.get(..end)).unwrap_or(function)
    };
    let functions: Vec<&str> = functions.map(bare).collect();
    CONTRACTS.iter().find(|contract| functions.iter().any(|function| contract.explains(function)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(functions: &[&str]) -> Option<(&'static str, Nature)> {
        first(functions.iter().copied()).map(|contract| (contract.what, contract.nature))
    }

    #[test]
    fn a_session_that_waits_for_a_row_is_told_from_one_that_waits_for_its_client() {
        // As gdb shows a backend of PostgreSQL 15 (Debian 12), innermost first.
        let row =
            ["epoll_wait", "WaitEventSetWait", "WaitLatch", "ProcSleep", "LockAcquireExtended", "XactLockTableWait"];
        assert!(what(&row).is_some_and(|(what, nature)| what.contains("transaction") && nature == Nature::Lock));
        let client = ["epoll_wait", "WaitEventSetWait", "secure_read", "pq_getbyte", "PostgresMain"];
        assert_eq!(what(&client), None);
        assert!(what(&["do_futex_wait", "PGSemaphoreLock", "LWLockAcquireOrWait", "XLogFlush"]).is_some());
    }

    #[test]
    fn parameters_and_clones_of_a_function_do_not_hide_it() {
        assert!(
            what(&["MDL_wait::timed_wait(MDL_context_owner*, timespec*, bool, PSI_stage_info_v1 const*)"]).is_some()
        );
        assert!(what(&["take_gil.constprop.0"]).is_some());
        assert_eq!(what(&["my_take_gil", "take_gilded"]), None);
    }

    #[test]
    fn a_worker_without_work_waits_for_nobody() {
        let worker = ["sem_clockwait", "PyThread_acquire_lock_timed", "_queue_SimpleQueue_get_impl"];
        assert!(what(&worker).is_some_and(|(_, nature)| nature == Nature::Idle));
        assert!(
            what(&["runtime.futex", "runtime.futexsleep", "runtime.stopm"])
                .is_some_and(|(_, nature)| nature == Nature::Idle)
        );
    }
}
