//! The file that a core is written to: nobody else's, complete or not there at all.
//!
//! It has no name (O_TMPFILE) until it is whole, so that nothing is left of it when we are killed. Where the file
//! system cannot do that it has a name of its own beside the final one, and is removed when the dump fails. An existing
//! file or link is never replaced or followed.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, fstatvfs, linkat, openat, renameat_with, unlinkat};
use rustix::io::Errno;

use crate::error::Error;

/// Of the file system's size, this part is kept free (a twentieth), at most [`MAX_KEPT`].
const KEPT_FREE: u64 = 20;
const MAX_KEPT: u64 = 1 << 30;

/// A named file that is not whole yet; see [`remove_partial`].
static PARTIAL: Mutex<Option<PathBuf>> = Mutex::new(None);

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Output {
    path: PathBuf,
    folder: OwnedFd,
    name: std::ffi::OsString,
    file: File,
    /// Its name until it is whole; `None` where it needs none.
    partial: Option<PathBuf>,
}

impl Output {
    /// Creates the file, readable and writable by its owner alone.
    pub(super) fn create(path: &Path) -> Result<Output, Error> {
        let io = |errno: Errno| Error::Io { path: path.to_owned(), source: errno.into() };
        let name = path.file_name().ok_or_else(|| Error::Usage(format!("{} names no file", path.display())))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(CWD, parent, flags, Mode::empty())
            .map_err(|errno| Error::Io { path: parent.to_owned(), source: errno.into() })?;
        check_folder(&folder, parent)?;
        if path.symlink_metadata().is_ok() {
            return Err(exists(path));
        }
        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let (file, partial) = match openat(&folder, c".", flags | OFlags::TMPFILE, mode) {
            Ok(file) => (file, None),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => {
                let mut hidden = std::ffi::OsString::from(".");
                hidden.push(name);
                hidden.push(format!(".{}.partial", std::process::id()));
                let partial = parent.join(&hidden);
                let file = openat(&folder, &hidden, flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW, mode);
                let file = file.map_err(io)?;
                *PARTIAL.lock().unwrap_or_else(PoisonError::into_inner) = Some(partial.clone());
                (file, Some(partial))
            }
            Err(errno) => return Err(io(errno)),
        };
        Ok(Output { path: path.to_owned(), folder, name: name.to_owned(), file: file.into(), partial })
    }

    /// A second handle on the file.
    pub(super) fn file(&self) -> Result<File, Error> {
        self.file.try_clone().map_err(|source| Error::Io { path: self.path.clone(), source })
    }

    /// Fails where the file system has no room for so many bytes beside what is kept free.
    pub(super) fn check_room(&self, needed: u64) -> Result<(), Error> {
        // A file system that does not tell says so when it is full.
        let Ok(stat) = fstatvfs(&self.file) else { return Ok(()) };
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let kept = (stat.f_blocks.saturating_mul(stat.f_frsize) / KEPT_FREE).min(MAX_KEPT);
        if needed.saturating_add(kept) <= free {
            return Ok(());
        }
        let message = format!(
            "{}: the dump needs about {} MiB, {} MiB are free there, of which {} are left alone; name another place with -o, or dump less (--type heap, --type mini)",
            self.path.display(),
            needed >> 20,
            free >> 20,
            kept >> 20
        );
        Err(Error::Failed(message))
    }

    /// Gives the file its name, now that it is whole.
    pub(super) fn commit(mut self) -> Result<PathBuf, Error> {
        let linked = match &self.partial {
            None => {
                let own = format!("/proc/self/fd/{}", self.file.as_fd().as_raw_fd());
                linkat(CWD, own.as_str(), &self.folder, &self.name, AtFlags::SYMLINK_FOLLOW)
            }
            Some(partial) => {
                let partial = partial.file_name().unwrap_or_default();
                renameat_with(&self.folder, partial, &self.folder, &self.name, RenameFlags::NOREPLACE)
            }
        };
        match linked {
            Ok(()) => {
                if self.partial.take().is_some() {
                    forget_partial();
                }
                Ok(self.path.clone())
            }
            Err(Errno::EXIST) => Err(exists(&self.path)),
            Err(errno) => Err(Error::Io { path: self.path.clone(), source: errno.into() }),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(name) = self.partial.as_deref().and_then(Path::file_name) {
            // Nothing can be done where even that fails.
            let _ = unlinkat(&self.folder, name, AtFlags::empty());
            forget_partial();
        }
    }
}

fn forget_partial() {
    *PARTIAL.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Removes a file that is being written, for a process that is about to end without unwinding.
pub(super) fn remove_partial() {
    if let Some(partial) = PARTIAL.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = std::fs::remove_file(partial);
    }
}

fn exists(path: &Path) -> Error {
    Error::Failed(format!("{} is there already and is not replaced; name another file with -o", path.display()))
}

/// In a folder where everybody may replace what others wrote, nothing is written.
fn check_folder(folder: &OwnedFd, parent: &Path) -> Result<(), Error> {
    let stat = folder.try_clone().map(File::from).and_then(|folder| folder.metadata());
    let mode = stat.map_err(|source| Error::Io { path: parent.to_owned(), source })?.mode();
    if mode & 0o002 != 0 && mode & 0o1000 == 0 {
        let message = format!(
            "{}: everybody may write there and remove what others wrote (no sticky bit); name another folder with -o",
            parent.display()
        );
        return Err(Error::Failed(message));
    }
    Ok(())
}
