//! What is said where a dump cannot be finished for reasons that are not the process's.

use std::io;

use crate::error::Error;

/// A thread of ours panicked.
pub(super) fn bug() -> Error {
    Error::Failed("a bug in dumpscope; the process goes on".to_owned())
}

/// A write failed; nothing of the dump is kept.
pub(super) fn write_error(why: &io::Error) -> Error {
    let remedy = match why.raw_os_error() {
        Some(libc::ENOSPC) => "; the disk is full: name another place with -o, or dump less (--type heap, --type mini)",
        Some(libc::EFBIG) => "; files may not be larger (ulimit -f)",
        Some(libc::EDQUOT) => "; the quota of this user is used up",
        _ => "",
    };
    Error::Failed(format!("the dump cannot be written: {why}{remedy}; nothing was kept"))
}
