//! Another process's files, beneath its own root.

use std::fs::File;
use std::io;
use std::path::Path;

use procfs::process::Process as ProcDir;
use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::processes::read;

/// Opens a regular file by the path that the process itself would use. Symbolic links, absolute ones too, stay beneath
/// its root: a link in a container cannot lead to a file of the host.
pub(super) fn open_beneath_root(dir: &ProcDir, path: &Path) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = dir.open_relative_flags(Path::new("root"), flags).map_err(read::io_error)?;
    // Never waits for a FIFO, and takes no terminal.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = File::from(rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve)?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}
