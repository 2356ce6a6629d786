//! What the files are that a process has mapped as modules: inode, size and time of change, by which a reader knows one
//! again where nothing of it is in the dump. And what a descriptor was opened for.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustc_hash::FxHashMap;

use super::holes::MappedFiles;
use super::live::Live;
use super::maps::{self, Mapping};
use crate::capture::facts::FileFacts;

/// Most files that are told of; a large program has 500.
const MAX_FILES: usize = 1 << 16;

/// Files by inode and path: other file systems have the same numbers.
pub(super) type FileTable = FxHashMap<(u64, Vec<u8>), FileFacts>;

/// The files whose beginning the process has mapped for itself. Read before it is stopped.
pub(super) fn read(live: &Live) -> FileTable {
    let threads = live.threads().unwrap_or_default();
    let mappings = threads.into_iter().find_map(|tid| maps::mappings(live, tid, &[]).ok()).unwrap_or_default();
    let files = MappedFiles::default();
    let begins = |mapping: &&Mapping| mapping.inode != 0 && mapping.offset == 0 && !mapping.shared;
    let mut table = FileTable::default();
    for mapping in mappings.iter().filter(begins).take(MAX_FILES) {
        if let Some((_, file)) = files.find(live, mapping) {
            table.insert((mapping.inode, mapping.path.clone()), FileFacts::of(&file));
        }
    }
    table
}

/// What a descriptor was opened for, as the permissions of its link in /proc tell.
// Source: Linux fs/proc/fd.c, tid_fd_update_inode: S_IRUSR for FMODE_READ, S_IWUSR for FMODE_WRITE.
pub(super) fn access(link: &Path) -> Option<String> {
    let mode = fs::symlink_metadata(link).ok()?.mode();
    let letters = [(0o400, 'r'), (0o200, 'w')];
    Some(letters.into_iter().filter(|(bit, _)| mode & bit != 0).map(|(_, letter)| letter).collect())
}
