//! The folder that cores are stored in: one that nobody but its owner can tamper with.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::limits::Limits;
use crate::error::Error;

/// Mode of every file: the owner's alone.
const OWNER_ONLY: Mode = Mode::RUSR.union(Mode::WUSR);

/// Names of finished and of unfinished files begin so.
const PREFIX: &str = "core.";
const UNFINISHED: &str = ".core.";
/// Most entries of the folder that are counted against the rate.
const MAX_ENTRIES: usize = 1 << 20;
/// Most files of one name: `.1`, `.2` … are appended.
const MAX_SAME: u32 = 1_000;

/// An opened folder, each step to it checked.
#[derive(Debug)]
pub struct Place {
    folder: OwnedFd,
    path: PathBuf,
}

impl Place {
    /// Opens an absolute path. Links in it are resolved first; then each folder on the way must belong to root or to
    /// this user, and be writable by nobody else, unless it is sticky, as /tmp is. The last folder is made, mode 0700,
    /// where it is missing.
    pub fn open(path: &Path) -> Result<Place, Error> {
        let failed = |source: io::Error| Error::Io { path: path.to_owned(), source };
        if !path.is_absolute() {
            return Err(Error::Usage(format!("{}: the folder for cores is named by an absolute path", path.display())));
        }
        let real = match std::fs::canonicalize(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(failed(error)) };
                let parent = std::fs::canonicalize(parent).map_err(failed)?;
                let above = walk(&parent)?;
                match rustix::fs::mkdirat(&above, name, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => parent.join(name),
                    Err(error) => return Err(failed(error.into())),
                }
            }
            other => other.map_err(failed)?,
        };
        Ok(Place { folder: walk(&real)?, path: real })
    }

    /// Bytes that may be written before the file system is fuller than the limits allow.
    pub(super) fn room(&self, limits: &Limits) -> Result<u64, Error> {
        let stat = rustix::fs::fstatvfs(&self.folder).map_err(|error| self.failed(error))?;
        let kept = u128::from(stat.f_blocks).saturating_mul(u128::from(limits.keep_free.min(100))) / 100;
        let free = u128::from(stat.f_bavail).saturating_sub(kept).saturating_mul(u128::from(stat.f_frsize));
        match u64::try_from(free).unwrap_or(u64::MAX) {
            0 => Err(Error::Failed(format!(
                "{}: less than {} % of the file system is free; nothing is stored",
                self.path.display(),
                limits.keep_free
            ))),
            free => Ok(free),
        }
    }

    /// A new file under a name of its own, mode 0600; it gets `name` when it is finished and vanishes when it is not.
    /// Refused while too many others are young. Handlers that run at the same time count one after the other.
    pub(super) fn create(&self, name: &str, limits: &Limits) -> Result<Unfinished<'_>, Error> {
        rustix::fs::flock(&self.folder, FlockOperation::LockExclusive).map_err(|error| self.failed(error))?;
        let created = self.create_locked(name, limits);
        // The lock ends with the descriptor at the latest.
        let _ = rustix::fs::flock(&self.folder, FlockOperation::Unlock);
        created
    }

    fn create_locked(&self, name: &str, limits: &Limits) -> Result<Unfinished<'_>, Error> {
        let young = self.young(limits.window).map_err(|source| Error::Io { path: self.path.clone(), source })?;
        if young >= limits.max_rate {
            return Err(Error::Failed(format!(
                "{}: {young} cores within {} s; this one is not stored",
                self.path.display(),
                limits.window.as_secs()
            )));
        }
        let temporary = OsString::from(format!(".{name}.{}", std::process::id()));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file =
            rustix::fs::openat(&self.folder, &temporary, flags, OWNER_ONLY).map_err(|error| self.failed(error))?;
        // The creation mask may have taken more.
        let set = rustix::fs::fchmod(&file, OWNER_ONLY).map_err(|error| self.failed(error));
        let unfinished =
            Unfinished { file: File::from(file), place: self, temporary, name: name.to_owned(), is_finished: false };
        set.map(|()| unfinished)
    }

    /// How many cores, finished or not, were changed within the last `window`.
    fn young(&self, window: Duration) -> io::Result<u32> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let oldest = now.saturating_sub(window.as_secs());
        let mut count = 0u32;
        for entry in rustix::fs::Dir::read_from(&self.folder)?.take(MAX_ENTRIES) {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !name.starts_with(PREFIX.as_bytes()) && !name.starts_with(UNFINISHED.as_bytes()) {
                continue;
            }
            let Ok(stat) = rustix::fs::statat(&self.folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            if u64::try_from(stat.st_mtime).is_ok_and(|changed| changed >= oldest) {
                count = count.saturating_add(1);
            }
        }
        Ok(count)
    }

    fn failed(&self, error: Errno) -> Error {
        Error::Io { path: self.path.clone(), source: error.into() }
    }
}

/// Opens a path without links, step by step, and checks each folder.
fn walk(path: &Path) -> Result<OwnedFd, Error> {
    let failed = |error: Errno| Error::Io { path: path.to_owned(), source: error.into() };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = rustix::fs::openat(CWD, "/", flags, Mode::empty()).map_err(failed)?;
    let mut shown = PathBuf::from("/");
    check(&at, &shown)?;
    for component in path.components() {
        let Component::Normal(name) = component else { continue };
        at = rustix::fs::openat(&at, name, flags, Mode::empty()).map_err(failed)?;
        shown.push(name);
        check(&at, &shown)?;
    }
    Ok(at)
}

fn check(folder: impl AsFd, shown: &Path) -> Result<(), Error> {
    let stat = rustix::fs::fstat(folder).map_err(|error| Error::Io { path: shown.to_owned(), source: error.into() })?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    let own = rustix::process::geteuid().as_raw();
    let refuse = |why: &str| Err(Error::Failed(format!("{}: {why}; it is not used", shown.display())));
    if stat.st_uid != 0 && stat.st_uid != own {
        return refuse(&format!("the folder belongs to user {}", stat.st_uid));
    }
    if mode.intersects(Mode::WGRP | Mode::WOTH) && !mode.contains(Mode::SVTX) {
        return refuse("others may write to the folder, and it is not sticky");
    }
    Ok(())
}

/// The program's file and each folder on the way belong to root, and nobody else may write to them.
pub(super) fn check_program(program: &Path) -> Result<(), Error> {
    let failed = |source: io::Error| Error::Io { path: program.to_owned(), source };
    let real = std::fs::canonicalize(program).map_err(failed)?;
    let (Some(folder), Some(name)) = (real.parent(), real.file_name()) else {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    };
    let folder = walk(folder)?;
    let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| failed(error.into()))?;
    if stat.st_uid != 0 || Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH) {
        return Err(Error::Failed(format!(
            "{}: others than root may change the program, which the kernel would run as root: chown root, chmod go-w",
            real.display()
        )));
    }
    Ok(())
}

/// A file that is being written; removed unless it is finished.
#[derive(Debug)]
pub(super) struct Unfinished<'a> {
    pub(super) file: File,
    place: &'a Place,
    temporary: OsString,
    name: String,
    is_finished: bool,
}

impl Unfinished<'_> {
    /// Where it lies now, for messages.
    pub(super) fn path(&self) -> PathBuf {
        self.place.path.join(&self.temporary)
    }

    /// Gives it its name, with `.truncated` where its end is missing. An existing file is never replaced.
    pub(super) fn finish(mut self, is_truncated: bool) -> Result<PathBuf, Error> {
        let tail = if is_truncated { ".truncated" } else { "" };
        for attempt in 0..MAX_SAME {
            let more = if attempt == 0 { String::new() } else { format!(".{attempt}") };
            let name = format!("{}{more}{tail}", self.name);
            let folder = &self.place.folder;
            match rustix::fs::renameat_with(folder, &self.temporary, folder, &name, RenameFlags::NOREPLACE) {
                Ok(()) => {
                    self.is_finished = true;
                    return Ok(self.place.path.join(name));
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(Error::Io { path: self.path(), source: error.into() }),
            }
        }
        Err(Error::Failed(format!(
            "{}: {MAX_SAME} cores of the name {} are there",
            self.place.path.display(),
            self.name
        )))
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            // Nothing more can be done about a file that cannot be removed.
            let _ = rustix::fs::unlinkat(&self.place.folder, &self.temporary, AtFlags::empty());
        }
    }
}
