//! What says who holds a lock of .NET.

use crate::model::Evidence;

/// The object's SyncBlock has its owner.
pub(in crate::runtimes::coreclr) const SYNC_BLOCK: Evidence = Evidence::recorded("sync-block");
/// The object's header has its owner: a thin lock.
pub(in crate::runtimes::coreclr) const OBJECT_HEADER: Evidence = Evidence::recorded("object-header");
/// The writer's managed id, or that of who may become one, in the lock's fields.
pub(in crate::runtimes::coreclr) const WRITER_ID: Evidence = Evidence::recorded("writer-id");
/// Each reader's own list of the locks that it reads.
pub(in crate::runtimes::coreclr) const READER_LISTS: Evidence = Evidence::recorded("reader-lists");
/// What the runtime keeps of a mutex that a thread waits for, beside the mutex's object.
pub(in crate::runtimes::coreclr) const MUTEX_RECORD: Evidence = Evidence::recorded("mutex-record");
/// The stack of who joins refers to one other thread's object.
pub(in crate::runtimes::coreclr) const JOINED_OBJECT: Evidence = Evidence::inferred("joined-object")
    .because("it waits in Thread.Join, and its stack refers to this thread's object, and to no other's");
/// A thread runs the static constructor of a class whose method table is on the waiting thread's stack.
pub(in crate::runtimes::coreclr) const CONSTRUCTOR_FRAME: Evidence = Evidence::inferred("constructor-frame")
    .because("it runs the static constructor of the class that the other one asks for, by what is on that one's stack");
