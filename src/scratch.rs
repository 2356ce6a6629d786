//! Memory for arrays that the machine has no room for: a file without a name, which the kernel writes out when memory runs
//! short, where it would end the process otherwise.
//!
//! The program's allocator is asked for everything else. So whatever reads a heap of a hundred million objects keeps plain
//! vectors. All `unsafe` of it is here: the allocator's contract, and the mapping.

use std::alloc::{GlobalAlloc, Layout};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Allocations of fewer bytes are never in a file.
const LEAST: usize = 4 << 20;
/// Allocations in files at once, at most.
const MOST: usize = 1 << 10;
/// Of the memory that is free when the first large array is made, this part is taken: three quarters.
const PART: (usize, usize) = (3, 4);
/// Stronger alignments than that of a page are the allocator's.
const PAGE: usize = 4096;
/// Names how many bytes large arrays may take in memory, in place of what the machine has.
const VARIABLE: &str = "DUMPSCOPE_MEMORY";
/// File systems in memory. Source: Linux uapi/linux/magic.h, TMPFS_MAGIC, RAMFS_MAGIC.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// An allocator that puts large arrays into files once memory would not hold them.
#[derive(Debug)]
pub struct Scratch<A> {
    inner: A,
    /// Bytes of large arrays that are in memory.
    held: AtomicUsize,
    /// How many there may be.
    room: OnceLock<usize>,
    /// Address and bytes of those that are in files; zeros are free places.
    mapped: Mutex<[(usize, usize); MOST]>,
}

impl<A> Scratch<A> {
    /// `inner` gives all that is small, or fits.
    pub const fn new(inner: A) -> Scratch<A> {
        Scratch { inner, held: AtomicUsize::new(0), room: OnceLock::new(), mapped: Mutex::new([(0, 0); MOST]) }
    }

    /// The same with so many bytes of room.
    #[cfg(test)]
    fn with_room(inner: A, room: usize) -> Scratch<A> {
        Scratch { room: OnceLock::from(room), ..Scratch::new(inner) }
    }

    fn mapped(&self) -> MutexGuard<'_, [(usize, usize); MOST]> {
        self.mapped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a large array that is to be in memory; false where it does not fit.
    fn reserve(&self, bytes: usize) -> bool {
        let held = self.held.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let fits = held <= *self.room.get_or_init(room);
        if !fits {
            self.held.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    /// A mapping of a new file, zeros; `None` where there is no file for it.
    fn map(&self, bytes: usize) -> Option<*mut u8> {
        let file = file(bytes)?;
        let mut mapped = self.mapped();
        let place = mapped.iter_mut().find(|place| **place == (0, 0))?;
        // SAFETY: a new mapping at an address that the kernel chooses; the file has so many bytes, and nobody else has it.
        let at = unsafe {
            mmap(std::ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &file, 0)
        };
        let at = at.ok()?.cast::<u8>();
        *place = (at.addr(), bytes);
        Some(at)
    }

    /// Ends a mapping; false where the address is none of one.
    fn unmap(&self, at: *mut u8) -> bool {
        let mut mapped = self.mapped();
        let Some(place) = mapped.iter_mut().find(|(address, bytes)| *bytes > 0 && *address == at.addr()) else {
            return false;
        };
        let (_, bytes) = std::mem::take(place);
        // SAFETY: it was mapped with so many bytes, and whoever had it gives it back.
        let _ = unsafe { munmap(at.cast(), bytes) };
        true
    }

    fn is_mapped(&self, at: *mut u8) -> bool {
        self.mapped().iter().any(|(address, bytes)| *bytes > 0 && *address == at.addr())
    }
}

fn is_large(layout: &Layout) -> bool {
    layout.size() >= LEAST && layout.align() <= PAGE
}

// SAFETY: what is small, or fits, is the inner allocator's from its beginning to its end. The rest are mappings of their own: aligned to a
// page, as large as was asked for, given back once by the address that tells them apart.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Scratch<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_large(&layout) && !self.reserve(layout.size()) {
            if let Some(at) = self.map(layout.size()) {
                return at;
            }
            self.held.fetch_add(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: as the caller promised.
        unsafe { self.inner.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_large(&layout) && !self.reserve(layout.size()) {
            if let Some(at) = self.map(layout.size()) {
                return at;
            }
            self.held.fetch_add(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: as the caller promised.
        unsafe { self.inner.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if is_large(&layout) {
            if self.unmap(at) {
                return;
            }
            self.held.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: as the caller promised; it is no mapping of ours.
        unsafe { self.inner.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Ok(new) = Layout::from_size_align(size, layout.align()) else { return std::ptr::null_mut() };
        let stays = match (is_large(&layout), is_large(&new)) {
            (false, false) => true,
            (true, true) if self.is_mapped(at) => false,
            (true, true) => match size.checked_sub(layout.size()) {
                Some(more) => self.reserve(more),
                None => {
                    self.held.fetch_sub(layout.size().saturating_sub(size), Ordering::Relaxed);
                    true
                }
            },
            _ => false,
        };
        if stays {
            // SAFETY: as the caller promised; it is the inner allocator's before and after.
            return unsafe { self.inner.realloc(at, layout, size) };
        }
        // SAFETY: as the caller promised: `size` is not 0, and what is copied lies in both.
        unsafe {
            let moved = self.alloc(new);
            if !moved.is_null() {
                std::ptr::copy_nonoverlapping(at, moved, layout.size().min(size));
                self.dealloc(at, layout);
            }
            moved
        }
    }
}

/// A file without a name, of so many bytes that are there for certain, on a disk.
fn file(bytes: usize) -> Option<File> {
    let folders = [std::env::var_os("TMPDIR").map(PathBuf::from), Some("/var/tmp".into()), Some("/tmp".into())];
    folders.into_iter().flatten().find_map(|folder| file_in(&folder, bytes))
}

fn file_in(folder: &Path, bytes: usize) -> Option<File> {
    let file = tempfile::tempfile_in(folder).ok()?;
    let kind = rustix::fs::fstatfs(&file).ok()?.f_type as u64;
    if IN_MEMORY.contains(&kind) {
        return None;
    }
    // A hole would be filled later, and end the process where the disk is full by then.
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes as u64).ok()?;
    Some(file)
}

/// How many bytes large arrays may take in memory.
fn room() -> usize {
    let stated = std::env::var(VARIABLE).ok().and_then(|text| text.trim().parse().ok());
    stated.unwrap_or_else(|| {
        let free = available().unwrap_or(usize::MAX).min(left_in_group().unwrap_or(usize::MAX));
        (free / PART.1).saturating_mul(PART.0)
    })
}

/// Bytes that the machine can give. Source: proc_meminfo(5).
fn available() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<usize>().ok()?.checked_mul(1024)
}

/// Bytes that our control group can take more. Source: Linux Documentation/admin-guide/cgroup-v2.rst.
fn left_in_group() -> Option<usize> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let folder = Path::new("/sys/fs/cgroup").join(path);
    let number = |file: &str| std::fs::read_to_string(folder.join(file)).ok()?.trim().parse::<usize>().ok();
    number("memory.max")?.checked_sub(number("memory.current")?)
}

#[cfg(test)]
mod tests {
    use std::alloc::System;

    use super::*;

    /// Whether an address is in a mapping of a file that has no name any more. Source: proc_pid_maps(5).
    fn is_in_file(at: *const u8) -> bool {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("proc is mounted");
        let holds = |line: &&str| {
            let (from, to) = line.split_once(' ').expect("a range").0.split_once('-').expect("two ends");
            let number = |text: &str| usize::from_str_radix(text, 16).expect("hexadecimal");
            (number(from)..number(to)).contains(&at.addr())
        };
        maps.lines().find(holds).expect("it is mapped").ends_with("(deleted)")
    }

    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes, 8).expect("a layout")
    }

    #[test]
    fn what_does_not_fit_is_in_a_file_and_keeps_its_contents_as_it_grows_and_shrinks() {
        let scratch = Scratch::with_room(System, 3 * LEAST);
        // SAFETY: each is given back once, with its own layout.
        unsafe {
            let (small, first) = (scratch.alloc(layout(64)), scratch.alloc(layout(2 * LEAST)));
            assert!(!is_in_file(small) && !is_in_file(first));
            let second = scratch.alloc_zeroed(layout(2 * LEAST));
            assert!(is_in_file(second));
            let last = 2 * LEAST - 1;
            assert_eq!((second.read(), second.add(last).read()), (0, 0));
            second.add(last).write(7);
            let second = scratch.realloc(second, layout(2 * LEAST), 5 * LEAST);
            assert!(is_in_file(second));
            assert_eq!(second.add(last).read(), 7);
            second.write(9);
            // Where it is small again, or there is room, memory has it.
            scratch.dealloc(first, layout(2 * LEAST));
            let second = scratch.realloc(second, layout(5 * LEAST), LEAST);
            assert!(!is_in_file(second));
            assert_eq!(second.read(), 9);
            let second = scratch.realloc(second, layout(LEAST), 100);
            assert_eq!((second.read(), scratch.held.load(Ordering::Relaxed)), (9, 0));
            scratch.dealloc(second, layout(100));
            scratch.dealloc(small, layout(64));
        }
        assert_eq!(*scratch.mapped(), [(0, 0); MOST]);
    }

    #[test]
    fn an_array_that_grows_moves_once_it_does_not_fit() {
        let scratch = Scratch::with_room(System, 3 * LEAST);
        // SAFETY: it is given back once, with its own layout.
        unsafe {
            let array = scratch.alloc(layout(LEAST / 2));
            array.write(5);
            let array = scratch.realloc(array, layout(LEAST / 2), 2 * LEAST);
            assert!(!is_in_file(array));
            let array = scratch.realloc(array, layout(2 * LEAST), 3 * LEAST);
            assert!(!is_in_file(array));
            let array = scratch.realloc(array, layout(3 * LEAST), 4 * LEAST);
            assert!(is_in_file(array));
            assert_eq!((array.read(), scratch.held.load(Ordering::Relaxed)), (5, 0));
            scratch.dealloc(array, layout(4 * LEAST));
        }
    }
}
