//! Opening a candidate: never waiting, never outside a root that was given.

use std::fs::File;
use std::io;
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::FileBytes;

/// What a store gave.
#[derive(Clone, Debug)]
pub enum Fetch {
    /// The bytes of a file that nobody verified yet. No bytes at all are what a cache keeps of a file that no server had.
    Found(FileBytes),
    /// It has no such file.
    Absent,
    /// What it has there is no file: a directory, a device, a pipe.
    NotAFile,
    /// It did not answer, with the reason; it may the next time.
    Failed(String),
}

/// The file at `path`.
pub(super) fn file(path: &Path) -> Fetch {
    fetched(FileBytes::open(path))
}

/// The file that `path` names when `root` is the root directory: symbolic links stay inside. `full` is where that is from outside.
pub(super) fn file_inside(root: &Path, path: &Path, full: &Path) -> Fetch {
    match inside(root, path) {
        // Kernels before 5.6 and some containers have no openat2; the links are then followed as the host sees them, and the build id
        // decides as it does anyway.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => file(full),
        opened => fetched(opened.and_then(|file| FileBytes::from_file(&file))),
    }
}

/// A file that `path` names when `root` is the root directory.
pub(super) fn inside(root: &Path, path: &Path) -> io::Result<File> {
    let directory = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let relative: std::path::PathBuf = path.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(rustix::fs::openat2(directory, relative, flags, Mode::empty(), resolve)?.into())
}

fn fetched(bytes: io::Result<FileBytes>) -> Fetch {
    match bytes {
        Ok(bytes) => Fetch::Found(bytes),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Fetch::Absent,
            // `FileBytes` says so with a text of its own; the system has none for what it refuses.
            io::ErrorKind::InvalidInput if error.get_ref().is_some() => Fetch::NotAFile,
            _ => Fetch::Failed(error.to_string()),
        },
    }
}
