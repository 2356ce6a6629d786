//! The copy of a process (`--mode fork`) is ended where the process of ours that reads it is killed before it could:
//! the kernel kills the copy then, but only its parent, the process that was copied, can reap it.
//!
//! The reading process tells another one of the copy through a pipe; when the reading process has been killed, that one
//! reaps the copy as it would have done.

use std::io::Read;

use super::copied::Copied;
use super::fork;
use super::live::Live;

/// Most that is read from the pipe: as many copies as a watch makes, four numbers each.
const MAX_TOLD: u64 = 1 << 20;

/// Ends the last copy that was told of, where it is there still. For the guard, when the process that told it was
/// killed.
pub fn end_copy(told: impl Read) {
    let mut text = String::new();
    // Whatever was told before it broke counts.
    let _ = told.take(MAX_TOLD).read_to_string(&mut text);
    let Some(copied) = text.split_inclusive('\n').filter_map(Copied::parse).next_back() else { return };
    // The copy may be gone, and its id another's: it is a child of the process, or it is none of ours.
    if let Ok(live) = Live::open(copied.parent)
        && fork::is_child(&live, copied.pid)
    {
        fork::end(&live, copied);
    }
}
