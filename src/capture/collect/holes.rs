//! Memory that is shared, or mapped from a file system in memory, where nobody has written: it holds zeros, and takes
//! room as soon as it is read, more than the machine may have. The file of such a mapping tells where its data are,
//! without being read.
//!
//! Specification: lseek(2), SEEK_DATA and SEEK_HOLE; proc(5), `map_files` (which takes CAP_SYS_ADMIN or
//! CAP_CHECKPOINT_RESTORE) and `fd`.

use std::cell::OnceCell;
use std::fs::{self, File, Metadata, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;
use rustix::fs::{OFlags, SeekFrom, fstatfs, seek, statfs};

use super::live::Live;
use super::maps::{Mapping, Span};
use super::source::PAGE;

/// The file system of shared memory. Source: Linux uapi/linux/magic.h.
const TMPFS_MAGIC: i64 = 0x0102_1994;
/// Most stretches of data that are told apart in one mapping; what is behind them is read.
const MAX_STRETCHES: usize = 1 << 16;
/// Most open files among which that of a mapping is looked for.
const MAX_DESCRIPTORS: usize = 20_000;

/// The files that a process has mapped.
#[derive(Debug, Default)]
pub(super) struct MappedFiles {
    /// Those that it has open, by inode: where to open them.
    open: OnceCell<FxHashMap<u64, Vec<PathBuf>>>,
}

impl MappedFiles {
    /// The file of a mapping and where it is found; `None` where it is not at hand.
    pub(super) fn find(&self, live: &Live, mapping: &Mapping) -> Option<(PathBuf, Metadata)> {
        let (start, end) = (mapping.span.start.0, mapping.span.end.0);
        let seen = |path: PathBuf| {
            let file = fs::metadata(&path).ok()?;
            (file.is_file() && file.ino() == mapping.inode).then_some((path, file))
        };
        // The link itself leads to the file even where that is deleted, but not everybody may follow it.
        let by_link = || seen(live.proc(&format!("map_files/{start:x}-{end:x}")));
        let by_path = || {
            let path = Path::new(std::str::from_utf8(&mapping.path).ok()?).strip_prefix("/").ok()?;
            seen(live.proc("root").join(path))
        };
        let by_descriptor = || {
            let open = self.open.get_or_init(|| open(live)).get(&mapping.inode)?;
            // Other file systems have the same numbers.
            open.iter().find(|path| names(path, &mapping.path)).cloned().and_then(seen)
        };
        by_link().or_else(by_path).or_else(by_descriptor)
    }

    /// The parts of a mapping where its file holds nothing, ascending; none where the file is on a disk, or does not
    /// tell.
    pub(super) fn holes(&self, live: &Live, mapping: &Mapping) -> Vec<Span> {
        if !mapping.has_file() {
            return Vec::new();
        }
        let Some((path, _)) = self.find(live, mapping) else { return Vec::new() };
        if !statfs(&path).is_ok_and(|system| system.f_type == TMPFS_MAGIC) {
            return Vec::new();
        }
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
        let file = file.ok().filter(|file| fstatfs(file).is_ok_and(|system| system.f_type == TMPFS_MAGIC));
        file.map(|file| between(&file, mapping)).unwrap_or_default()
    }
}

/// The parts of a mapping between the data of its file.
fn between(file: &File, mapping: &Mapping) -> Vec<Span> {
    let address = |offset: u64| {
        let skip = offset.saturating_sub(mapping.offset).min(mapping.span.len());
        mapping.span.start.0.saturating_add(skip)
    };
    let end = mapping.offset.saturating_add(mapping.span.len());
    let mut holes = Vec::new();
    let mut at = mapping.offset;
    for _ in 0..MAX_STRETCHES {
        let data = match seek(file, SeekFrom::Data(at)) {
            Ok(data) => data.min(end),
            // No data follow.
            Err(rustix::io::Errno::NXIO) => end,
            Err(_) => return holes,
        };
        let hole = Span::new(address(at.next_multiple_of(PAGE)), address(data / PAGE * PAGE));
        if hole.len() > 0 {
            holes.push(hole);
        }
        if data >= end {
            return holes;
        }
        match seek(file, SeekFrom::Hole(data)) {
            Ok(next) if next > data => at = next,
            _ => return holes,
        }
    }
    holes
}

/// Where each file that a process has open can be opened, by inode.
fn open(live: &Live) -> FxHashMap<u64, Vec<PathBuf>> {
    let mut open: FxHashMap<u64, Vec<PathBuf>> = FxHashMap::default();
    for entry in fs::read_dir(live.proc("fd")).into_iter().flatten().flatten().take(MAX_DESCRIPTORS) {
        if let Ok(file) = fs::metadata(entry.path())
            && file.is_file()
        {
            open.entry(file.ino()).or_default().push(entry.path());
        }
    }
    open
}

/// Whether an open file is called as the kernel calls what is mapped.
fn names(descriptor: &Path, mapped: &[u8]) -> bool {
    fs::read_link(descriptor).is_ok_and(|name| name.as_os_str().as_encoded_bytes() == mapped)
}
