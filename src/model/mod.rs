//! Plain data about a process: no I/O, no parser, no printer. Every layer above speaks in these nouns.

pub mod address;
pub mod evidence;
pub mod exception;
pub mod fault;
pub mod frame;
pub mod gap;
pub mod lock;
pub mod lock_kind;
pub mod mapping;
pub mod module;
pub mod nature;
pub mod registers;
pub mod runtime;
pub mod runtime_code;
pub mod signal;
pub mod subject;
pub mod syscall;
pub mod thread;
pub mod value;

pub use address::Addr;
pub use evidence::Evidence;
pub use exception::{Detail, Exception, ExceptionKind, Phase, SourcePlace, Termination};
pub use fault::{AccessKind, Fault, FreeList, Freed, Operand, Place, Term};
pub use frame::{End, Frame, FrameKind, NamedFrame, Stack, Trust};
pub use gap::{Gap, Known, Partial, Problem, Unreadable, Why};
pub use lock::{Absence, Absent, Acquisition, Lock, Owner, TimeLimit};
pub use lock_kind::{LockFamily, LockKind};
pub use mapping::MappingRow;
pub use module::{ModuleRow, SymbolState, Verification, VerificationState, VerifiedBy};
pub use registers::{Arch, Register, Registers};
pub use runtime::{RecognisedRuntime, RuntimeKind};
pub use signal::FatalSignal;
pub use subject::{Subject, SubjectKind};
pub use syscall::syscall_name;
pub use thread::{OsThread, SavedSyscall, Thread, ThreadState, Tid, WaitingOn};
pub use value::{Variable, VariableKind};
