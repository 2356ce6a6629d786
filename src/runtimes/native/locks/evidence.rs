//! What says who holds a lock of native code, beside what other runtimes know, too.

use crate::model::Evidence;

/// The lock word holds the owner's id (PI, robust, musl).
pub(crate) const FUTEX_WORD: Evidence = Evidence::recorded("futex-word");
/// The writer field of a reader-writer lock.
pub(crate) const WRITER_FIELD: Evidence = Evidence::recorded("writer-field");
/// The joined thread itself.
pub(crate) const JOINED_THREAD: Evidence = Evidence::recorded("joined-thread");
/// A frame's saved register or guard object points to the lock.
pub(crate) const FRAME_REGISTER: Evidence = Evidence::inferred("frame-register");
/// A frame's function has taken it and not given it back before the call that the frame is in.
pub(crate) const LOCKING_CODE: Evidence = Evidence::inferred("locking-code");
/// A thread runs the initialiser of this once.
pub(crate) const INITIALISER_FRAME: Evidence = Evidence::inferred("initialiser-frame")
    .because("it runs the initialisation itself, further out on its stack, and asks for what that is to make");
/// A signal came while the same thread was in the code that takes this lock, and its handler wants it too.
pub(crate) const INTERRUPTED_CODE: Evidence = Evidence::inferred("interrupted-code").because(
    "a signal came while the thread was in a function of the library that takes this lock, and the signal's handler calls such a \
     function again: what it may call, signal-safety(7) lists",
);
