//! Plain data about a process: no I/O, no parser, no printer. Every layer above speaks in these nouns.

pub mod address;
pub mod cause;
pub mod evidence;
pub mod exception;
pub mod exception_kind;
pub mod fault;
pub mod frame;
pub mod gap;
pub mod lock;
pub mod lock_kind;
pub mod mapping;
pub mod module;
pub mod nature;
pub mod pending;
pub mod recovered;
pub mod registers;
pub mod runtime;
pub mod signal;
pub mod subject;
pub mod syscall;
pub mod thread;
pub mod tid;
pub mod value;
pub mod variable;

pub use address::Addr;
pub use cause::Cause;
pub use evidence::Evidence;
pub use exception::{Detail, Exception, Phase, SourcePlace, Termination};
pub use exception_kind::{ExceptionFamily, ExceptionKind};
pub use fault::{AccessKind, Fault, FreeList, Freed, Operand, Place, Term};
pub use frame::{End, Frame, FrameKind, NamedFrame, Stack, Trust};
pub use gap::{Gap, Known, Partial, Problem, Unreadable, Why};
pub use lock::{Absence, Absent, Acquisition, Lock, Owner, TimeLimit};
pub use lock_kind::{LockFamily, LockKind};
pub use mapping::{MappingKind, MappingRow, OwnMemory};
pub use module::{DebugFile, ModuleRow, SymbolState, Verification, VerificationState, VerifiedBy};
pub use pending::{
    FailedWork, InFlight, Need, NotLooked, OldestRequest, OwnQueue, PendingWork, Pool, WorkEnd, WorkStack, WorkStacks,
    WorkWait,
};
pub use recovered::{Recorder, Recovered};
pub use registers::{Arch, Register, Registers};
pub use runtime::{RecognisedRuntime, RuntimeKind};
pub use signal::FatalSignal;
pub use subject::{Subject, SubjectKind};
pub use syscall::syscall_name;
pub use thread::{OsThread, SavedSyscall, Thread, ThreadState, WaitingOn};
pub use tid::Tid;
pub use value::{Field, Type, Value};
pub use variable::{Variable, VariableKind};
