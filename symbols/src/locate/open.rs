//! Opening a candidate: never waiting, never outside a root that was given.

use std::fs::File;
use std::io;
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::Outcome;
use crate::{Elf, FileBytes};

/// The ELF file at `path`.
pub(super) fn elf(path: &Path) -> Result<Elf, Outcome> {
    parse(path, FileBytes::open(path))
}

/// The ELF file that `path` names when `root` is the root directory: symbolic links stay inside. `full` is where that is from outside.
pub(super) fn elf_inside(root: &Path, path: &Path, full: &Path) -> Result<Elf, Outcome> {
    match inside(root, path) {
        // Kernels before 5.6 and some containers have no openat2; the links are then followed as the host sees them, and the build id
        // decides as it does anyway.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => elf(full),
        opened => parse(full, opened.and_then(|file| FileBytes::from_file(&file))),
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

fn parse(path: &Path, bytes: io::Result<FileBytes>) -> Result<Elf, Outcome> {
    let bytes = bytes.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Outcome::Absent,
        _ => Outcome::Unreadable(error.to_string()),
    })?;
    if bytes.is_empty() {
        return Err(Outcome::Absent);
    }
    Elf::parse_at(path, bytes).map_err(|_| Outcome::NotElf)
}
