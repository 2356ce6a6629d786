//! The marks of executables, found once a file: ten thousand processes run a hundred executables.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustc_hash::FxHashMap;
use symbols::FileBytes;

use crate::marks::Marks;

/// A file as it stands: device, inode, size, time of change.
type Key = (u64, u64, u64, i64, i64);

/// The marks of the files seen so far.
#[derive(Debug, Default)]
pub(in crate::processes) struct Memo(Mutex<FxHashMap<Key, Arc<OnceLock<Marks>>>>);

/// The marks of a file, shared.
pub(super) struct Found(Arc<OnceLock<Marks>>);

impl std::ops::Deref for Found {
    type Target = Marks;

    fn deref(&self) -> &Marks {
        static NONE: OnceLock<Marks> = OnceLock::new();
        self.0.get().unwrap_or_else(|| NONE.get_or_init(Marks::default))
    }
}

impl Memo {
    /// The marks of an open file; read at most once while it does not change.
    pub(super) fn marks(&self, file: &File) -> io::Result<Found> {
        let metadata = file.metadata()?;
        let key = (metadata.dev(), metadata.ino(), metadata.size(), metadata.ctime(), metadata.ctime_nsec());
        let cell = Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default());
        if cell.get().is_none() {
            let bytes = FileBytes::from_file(file)?;
            cell.get_or_init(|| Marks::of_file(bytes));
        }
        Ok(Found(cell))
    }
}
