//! Bounded reads of /proc/PID, through a descriptor of that folder: what is read is of one process, never of its pid's
//! next holder.
//!
//! Names and arguments are another program's bytes: they may be no UTF-8, hold newlines and escape sequences, or be
//! very long.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use procfs::process::{Process as ProcDir, Status};
use procfs::{FromBufRead, FromRead, ProcError};
use rustix::fs::OFlags;

use crate::report::sanitize::lossy;

/// Most bytes read of one file in /proc/PID. Arguments can be 6 MiB by the kernel's limits, mappings 65,530 lines.
const MAX_FILE: u64 = 16 << 20;
/// What the kernel gives at once of most of these files: a page.
const ROOM: usize = 4096 + 32;
/// Most bytes kept of a command line.
pub(super) const MAX_COMMAND_LINE: usize = 1 << 20;
/// What ends a command line that was longer.
pub(super) const CUT: &str = "…[cut]";

/// At most [`MAX_FILE`] bytes.
pub(super) fn bounded(file: File) -> io::Result<Vec<u8>> {
    // Files in /proc state no size: without room, reading begins with a few bytes and asks again and again.
    let mut bytes = Vec::with_capacity(ROOM);
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file in /proc/PID. The kernel answers ESRCH or ENOENT once the process is gone.
pub(super) fn file(dir: &ProcDir, name: &str) -> io::Result<Vec<u8>> {
    bounded(open(dir, name)?)
}

/// The same, opened only.
pub(super) fn open(dir: &ProcDir, name: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    dir.open_relative_flags(Path::new(name), flags).map_err(io_error)
}

/// `status`. The name in it may be no UTF-8, which the parser would refuse.
pub(super) fn status(dir: &ProcDir) -> io::Result<Status> {
    let text = String::from_utf8_lossy(&file(dir, "status")?).into_owned();
    Status::from_buf_read(text.as_bytes()).map_err(io_error)
}

/// `stat`.
pub(super) fn stat(dir: &ProcDir) -> io::Result<procfs::process::Stat> {
    procfs::process::Stat::from_read(file(dir, "stat")?.as_slice()).map_err(io_error)
}

/// The kernel's name of a process or, of a folder `task/TID`, of a thread.
pub(super) fn comm(dir: &ProcDir, name: &str) -> io::Result<String> {
    let bytes = file(dir, name)?;
    Ok(lossy(bytes.strip_suffix(b"\n").unwrap_or(&bytes)))
}

/// The arguments, separated by NUL in the file. A program may have overwritten them with one text.
pub(super) fn command_line(dir: &ProcDir) -> io::Result<Vec<String>> {
    Ok(arguments(&file(dir, "cmdline")?))
}

fn arguments(bytes: &[u8]) -> Vec<String> {
    let kept = bytes.get(..MAX_COMMAND_LINE).unwrap_or(bytes);
    let is_cut = kept.len() < bytes.len();
    // Setting a title pads the rest of the area with NUL.
    let end = kept.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
    let text = kept.get(..end).unwrap_or_default();
    if text.is_empty() {
        return Vec::new();
    }
    let mut arguments: Vec<String> = text.split(|byte| *byte == 0).map(lossy).collect();
    if is_cut {
        arguments.push(CUT.to_owned());
    }
    arguments
}

/// The paths of the control groups.
pub(super) fn control_groups(dir: &ProcDir) -> io::Result<Vec<String>> {
    let text = String::from_utf8_lossy(&file(dir, "cgroup")?).into_owned();
    let groups = procfs::ProcessCGroups::from_buf_read(text.as_bytes()).map_err(io_error)?;
    Ok(groups.into_iter().map(|group| group.pathname).collect())
}

/// The inode of one of its namespaces: `user`, `pid`, `mnt`.
pub(super) fn namespace(dir: &ProcDir, kind: &str) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    open(dir, &format!("ns/{kind}")).ok()?.metadata().ok().map(|metadata| metadata.ino())
}

/// The user id that owns the process's files in /proc.
pub(super) fn owner(dir: &ProcDir) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    open(dir, "stat").ok()?.metadata().ok().map(|metadata| metadata.uid())
}

/// The error beneath, for those who ask which it was.
pub(super) fn io_error(error: ProcError) -> io::Error {
    match error {
        ProcError::NotFound(_) => io::ErrorKind::NotFound.into(),
        ProcError::PermissionDenied(_) => io::ErrorKind::PermissionDenied.into(),
        ProcError::Io(error, _) => error,
        other => io::Error::other(other.to_string()),
    }
}

/// Whether the process is gone.
pub(super) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_end_at_nul_and_keep_what_is_empty_between() {
        assert_eq!(arguments(b"a\0\0b c\0"), ["a", "", "b c"]);
        assert_eq!(arguments(b"nginx: worker\0\0\0\0"), ["nginx: worker"]);
        assert_eq!(arguments(b""), Vec::<String>::new());
        assert_eq!(arguments(b"\0\0"), Vec::<String>::new());
    }

    #[test]
    fn bytes_that_are_no_text_stay_visible() {
        assert_eq!(arguments(b"x\xff\x1b[31m\0"), ["x\\xff\u{1b}[31m"]);
    }

    #[test]
    fn an_endless_command_line_is_cut_and_says_so() {
        let arguments = arguments(&[b'a'; MAX_COMMAND_LINE + 1]);
        assert_eq!(arguments.len(), 2);
        assert_eq!((arguments[0].len(), arguments[1].as_str()), (MAX_COMMAND_LINE, CUT));
    }
}
