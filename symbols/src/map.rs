//! The bytes of a file, mapped or owned, shared without copying.
//!
//! A mapped file can shrink while it is read; the kernel then answers the read with SIGBUS, which would end the program. A handler,
//! installed with the first mapping, puts zero pages where the file used to be and marks the mapping
//! ([`FileBytes::was_truncated`]); every other SIGBUS goes to whoever handled it before.
//!
//! All unsafe code of this crate is in this file.

use std::ffi::c_void;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::{Deref, Range};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Once};

use memmap2::{Advice, Mmap, UncheckedAdvice};
use rustix::fs::OFlags;

/// The kernel maps cached pages in aligned groups of this many bytes.
// Source: Linux mm/memory.c, fault_around_bytes.
const FAULT_AROUND: usize = 64 << 10;

/// Pages of a mapping are given back once they may be this many bytes.
const WORTH_FORGETTING: usize = 4 << 20;

/// Read-only bytes of a file, or of a part of one. Cloning and slicing share the bytes.
#[derive(Clone)]
pub struct FileBytes {
    source: Arc<Source>,
    range: Range<usize>,
}

enum Source {
    Mapped(Mapping),
    Owned(Vec<u8>),
    /// Memory without a file.
    Memory(Mmap),
}

struct Mapping {
    bytes: Mmap,
    /// The file, where reads past the mapping are wanted.
    file: Option<File>,
    /// Bytes that may go since the last time that pages went.
    forgotten: AtomicUsize,
    watch: &'static Watch,
}

impl FileBytes {
    /// Maps the file at `path`. Only regular files are accepted; opening never waits for a FIFO or a device.
    pub fn open(path: &Path) -> io::Result<FileBytes> {
        FileBytes::from_file(&FileBytes::file_at(path)?)
    }

    /// The same, for a file of which a few bytes are read in each of a thousand places: it is kept open for
    /// [`FileBytes::read_apart`].
    pub fn open_scattered(path: &Path) -> io::Result<FileBytes> {
        let file = FileBytes::file_at(path)?;
        FileBytes::map(&file, Some(file.try_clone()?))
    }

    fn file_at(path: &Path) -> io::Result<File> {
        let flags = OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
    }

    /// Maps an open file, which may be closed afterwards. Only regular files are accepted.
    pub fn from_file(file: &File) -> io::Result<FileBytes> {
        FileBytes::map(file, None)
    }

    fn map(file: &File, kept: Option<File>) -> io::Result<FileBytes> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        if metadata.len() == 0 {
            return Ok(FileBytes::from_vec(Vec::new()));
        }
        install_handler();
        // SAFETY: the mapping is private to this type, which hands out shared slices only. Another process may write to or
        // shorten the file: a changed byte is read as such, never trusted, and the handler turns a lost page into zeros.
        let bytes = unsafe { Mmap::map(file)? };
        let start = bytes.as_ptr().addr();
        let watch = Watch::claim(start..start.saturating_add(bytes.len()));
        let range = 0..bytes.len();
        Ok(FileBytes {
            source: Arc::new(Source::Mapped(Mapping { bytes, file: kept, forgotten: AtomicUsize::new(0), watch })),
            range,
        })
    }

    /// Bytes that are in memory already.
    pub fn from_vec(bytes: Vec<u8>) -> FileBytes {
        let range = 0..bytes.len();
        FileBytes { source: Arc::new(Source::Owned(bytes)), range }
    }

    /// The first bytes of memory without a file.
    pub(crate) fn from_memory(memory: Mmap, len: usize) -> FileBytes {
        FileBytes { source: Arc::new(Source::Memory(memory)), range: 0..len }
    }

    /// A part of these bytes, sharing them; `None` where the range leaves them.
    pub fn slice(&self, range: Range<usize>) -> Option<FileBytes> {
        self.get(range.clone())?;
        let start = self.range.start.checked_add(range.start)?;
        let end = self.range.start.checked_add(range.end)?;
        Some(FileBytes { source: Arc::clone(&self.source), range: start..end })
    }

    /// Fills `buf` from `offset` on; `false` where that leaves the bytes. Of a file that was opened for it no page is mapped: one that is
    /// counts as this process's memory, together with its cached neighbours.
    pub fn read_apart(&self, offset: usize, buf: &mut [u8]) -> bool {
        let Some(bytes) = offset.checked_add(buf.len()).and_then(|end| self.get(offset..end)) else { return false };
        if let Source::Mapped(Mapping { file: Some(file), .. }) = &*self.source
            && let Some(at) = self.range.start.checked_add(offset).and_then(|at| u64::try_from(at).ok())
            && file.read_exact_at(buf, at).is_ok()
        {
            return true;
        }
        // The file became shorter, or a disk fails: the mapping knows what to do.
        buf.copy_from_slice(bytes);
        true
    }

    /// Tells the kernel that reads will jump around, so that it does not read ahead. Covers the whole file; does nothing to owned bytes.
    pub fn advise_random(&self) {
        self.advise(Advice::Random);
    }

    /// Tells the kernel that the bytes will be read from front to back. Covers the whole file; does nothing to owned bytes.
    pub fn advise_sequential(&self) {
        self.advise(Advice::Sequential);
    }

    fn advise(&self, advice: Advice) {
        if let Source::Mapped(mapping) = &*self.source {
            // Advice that the kernel refuses costs speed only.
            let _ = mapping.bytes.advise(advice);
        }
    }

    /// Says that these bytes are about to be read from the first to the last: the file system then reads them in one go, and not
    /// page by page as for scattered reads. Does nothing to owned bytes.
    pub fn expect_pages(&self) {
        if let Source::Mapped(mapping) = &*self.source {
            let (start, len) = (self.range.start, self.range.len());
            let _ = mapping.bytes.advise_range(Advice::WillNeed, start, len);
        }
    }

    /// Gives the pages of these bytes back: they count as this process's memory only once they are read again. Around each
    /// page that is read the kernel maps its cached neighbours too, so that reading one word in each of a thousand places
    /// costs 64 MB otherwise. They go together with those of other calls, once it is worth it: each time, every processor that runs
    /// one of our threads is interrupted. Does nothing to owned bytes.
    pub fn forget_pages(&self) {
        let Source::Mapped(mapping) = &*self.source else { return };
        let start = self.range.start & !(FAULT_AROUND - 1);
        let end = self.range.end.saturating_add(FAULT_AROUND - 1) & !(FAULT_AROUND - 1);
        let len = end.min(mapping.bytes.len()).saturating_sub(start);
        if mapping.forgotten.fetch_add(len, Ordering::Relaxed).saturating_add(len) < WORTH_FORGETTING {
            return;
        }
        mapping.forgotten.store(0, Ordering::Relaxed);
        let whole = mapping.bytes.len();
        // SAFETY: the mapping is read-only and backed by the file (or, after a loss, by zero pages): what is dropped reads the
        // same again, so no reference into it observes a change.
        let _ = unsafe { mapping.bytes.unchecked_advise_range(UncheckedAdvice::DontNeed, 0, whole) };
    }

    /// Whether a page of the file was gone when it was read: it had been shortened, or the disk failed. The bytes read as zeros.
    pub fn was_truncated(&self) -> bool {
        match &*self.source {
            Source::Mapped(mapping) => mapping.watch.lost.load(Ordering::Acquire),
            Source::Owned(_) | Source::Memory(_) => false,
        }
    }

    /// Whether both are parts of the same opened file.
    pub fn same_source(&self, other: &FileBytes) -> bool {
        Arc::ptr_eq(&self.source, &other.source)
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let all: &[u8] = match &*self.source {
            Source::Mapped(mapping) => &mapping.bytes,
            Source::Owned(bytes) => bytes,
            Source::Memory(bytes) => bytes,
        };
        // The range was checked when the slice was made, and the bytes never change length.
        all.get(self.range.clone()).unwrap_or_default()
    }
}

impl fmt::Debug for FileBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileBytes({} bytes)", self.len())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // Before the mapping goes: afterwards the addresses may belong to someone else.
        self.watch.release();
    }
}

/// One entry of the list that the signal handler reads: the addresses of one mapping. Entries are reused, never freed.
struct Watch {
    claimed: AtomicBool,
    /// Odd while the range changes, so that the handler never sees half of one range and half of another.
    version: AtomicUsize,
    start: AtomicUsize,
    end: AtomicUsize,
    lost: AtomicBool,
    next: AtomicPtr<Watch>,
}

static WATCHES: AtomicPtr<Watch> = AtomicPtr::new(ptr::null_mut());
static PREVIOUS: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());

impl Watch {
    fn claim(range: Range<usize>) -> &'static Watch {
        let free = watches()
            .find(|watch| watch.claimed.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed).is_ok());
        let watch = free.unwrap_or_else(Watch::append);
        watch.set(range);
        watch
    }

    fn append() -> &'static Watch {
        let watch: &'static Watch = Box::leak(Box::new(Watch {
            claimed: AtomicBool::new(true),
            version: AtomicUsize::new(0),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            lost: AtomicBool::new(false),
            next: AtomicPtr::new(ptr::null_mut()),
        }));
        let mut head = WATCHES.load(Ordering::Acquire);
        loop {
            watch.next.store(head, Ordering::Release);
            let new = ptr::from_ref(watch).cast_mut();
            match WATCHES.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return watch,
                Err(current) => head = current,
            }
        }
    }

    fn set(&self, range: Range<usize>) {
        self.version.fetch_add(1, Ordering::SeqCst);
        self.start.store(range.start, Ordering::SeqCst);
        self.end.store(range.end, Ordering::SeqCst);
        self.lost.store(false, Ordering::SeqCst);
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    fn release(&self) {
        self.set(0..0);
        self.claimed.store(false, Ordering::Release);
    }

    fn range(&self) -> Option<Range<usize>> {
        let before = self.version.load(Ordering::SeqCst);
        let range = self.start.load(Ordering::SeqCst)..self.end.load(Ordering::SeqCst);
        let after = self.version.load(Ordering::SeqCst);
        (before == after && before.is_multiple_of(2)).then_some(range)
    }
}

/// Every entry of the list. Allocates nothing and takes no lock: the signal handler uses it.
fn watches() -> impl Iterator<Item = &'static Watch> {
    let mut at = WATCHES.load(Ordering::Acquire);
    std::iter::from_fn(move || {
        // SAFETY: every pointer in the list comes from `Box::leak` in `append` and is never freed.
        let watch: &'static Watch = unsafe { at.as_ref()? };
        at = watch.next.load(Ordering::Acquire);
        Some(watch)
    })
}

fn install_handler() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut c_void) = on_sigbus;
        // SAFETY: `sigaction` is plain data for which all zeros is a valid value (SIG_DFL, no flags, empty mask).
        let mut previous: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: both pointers are to live values; asking for the current action changes nothing.
        unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), &mut previous) };
        // Stored before the handler can run.
        PREVIOUS.store(Box::into_raw(Box::new(previous)), Ordering::Release);
        // SAFETY: `action` names a handler with the signature that SA_SIGINFO asks for; it only uses calls that are safe in a
        // signal handler (atomics and mmap).
        unsafe { libc::sigaction(libc::SIGBUS, &action, ptr::null_mut()) };
    });
}

extern "C" fn on_sigbus(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid siginfo to a handler installed with SA_SIGINFO, and si_addr is set for SIGBUS.
    let fault = unsafe { (*info).si_addr() }.addr();
    for watch in watches() {
        if let Some(range) = watch.range()
            && range.contains(&fault)
            && put_zeros(fault, range.end)
        {
            watch.lost.store(true, Ordering::Release);
            return;
        }
    }
    pass_on(signal, info, context);
}

/// Maps zeros from the page that holds `fault` to the end of the mapping: a file that lost a page has lost all that follow.
fn put_zeros(fault: usize, end: usize) -> bool {
    // SAFETY: sysconf reads a constant; errno belongs to this thread.
    let (page, errno) = unsafe { (libc::sysconf(libc::_SC_PAGESIZE), libc::__errno_location()) };
    let Ok(page) = usize::try_from(page) else { return false };
    if !page.is_power_of_two() {
        return false;
    }
    let start = fault & !page.wrapping_sub(1);
    let Some(length) = end.checked_sub(start) else { return false };
    // SAFETY: `start..end` lies in a file mapping that a live `Mapping` owns (its entry is in the list), so that MAP_FIXED replaces
    // pages of that mapping only; a read-only private mapping keeps the promise of shared slices. errno is put back because the
    // interrupted code may be about to read it.
    unsafe {
        let saved = *errno;
        let at = ptr::with_exposed_provenance_mut(start);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        let mapped = libc::mmap(at, length, libc::PROT_READ, flags, -1, 0);
        *errno = saved;
        mapped != libc::MAP_FAILED
    }
}

/// Hands the signal to the handler that was there before, or lets it take its default course.
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the pointer is null or comes from `Box::into_raw` and is never freed.
    let previous = unsafe { PREVIOUS.load(Ordering::Acquire).as_ref() };
    match previous {
        Some(action) if action.sa_sigaction == libc::SIG_IGN => {}
        Some(action) if action.sa_sigaction != libc::SIG_DFL => {
            let handler = ptr::with_exposed_provenance::<()>(action.sa_sigaction);
            if action.sa_flags & libc::SA_SIGINFO != 0 {
                // SAFETY: the address was installed with SA_SIGINFO and so names a function of this signature.
                let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut c_void) =
                    unsafe { std::mem::transmute(handler) };
                handler(signal, info, context);
            } else {
                // SAFETY: the address was installed without SA_SIGINFO and so names a function of this signature.
                let handler: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(handler) };
                handler(signal);
            }
        }
        _ => {
            // SAFETY: restoring the default action; the instruction faults again on return and ends the process as it would have.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file_of(pages: usize) -> (tempfile::NamedTempFile, usize) {
        let page = rustix::param::page_size();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&vec![0x5a; page * pages]).unwrap();
        (file, page)
    }

    #[test]
    fn a_file_that_shrinks_while_mapped_reads_as_zeros_and_says_so() {
        let (file, page) = file_of(4);
        let bytes = FileBytes::open(file.path()).unwrap();
        assert_eq!(bytes[3 * page], 0x5a);
        file.as_file().set_len(page as u64).unwrap();
        assert!(!bytes.was_truncated());
        assert_eq!(bytes[2 * page], 0);
        assert_eq!(bytes[4 * page - 1], 0);
        assert_eq!(bytes[0], 0x5a);
        assert!(bytes.was_truncated());
        assert!(bytes.slice(0..1).unwrap().was_truncated());
    }

    #[test]
    fn entries_of_closed_files_are_used_again_and_start_clean() {
        let (file, page) = file_of(2);
        for _ in 0..100 {
            let bytes = FileBytes::open(file.path()).unwrap();
            assert!(!bytes.was_truncated());
            assert_eq!(bytes[page], 0x5a);
        }
        file.as_file().set_len(1).unwrap();
        assert_eq!(FileBytes::open(file.path()).unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_regular_file_is_refused_without_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
        for path in [directory.path(), &fifo, Path::new("/dev/zero")] {
            assert!(FileBytes::open(path).is_err(), "{}", path.display());
        }
    }

    #[test]
    fn slices_share_the_bytes_and_stay_inside() {
        let bytes = FileBytes::from_vec(vec![1, 2, 3, 4]);
        let middle = bytes.slice(1..3).unwrap();
        assert_eq!(&*middle, [2, 3]);
        assert_eq!(&*middle.slice(1..2).unwrap(), [3]);
        assert!(middle.slice(1..3).is_none());
        assert!(middle.slice(2..usize::MAX).is_none());
        assert!(middle.same_source(&bytes));
    }
}
