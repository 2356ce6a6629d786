//! Reading the memory of a stopped process (or of its frozen child), touching no page that it never touched itself.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::layout::Absent;
use super::maps::Span;
use crate::ptrace;

/// Granularity of reads.
pub(super) const PAGE: u64 = 4096;
/// Bytes of one entry of pagemap. Source: Linux Documentation/admin-guide/mm/pagemap.rst: bit 63 present, bit 62
/// swapped, bit 61 page of a file or shared.
const ENTRY: u64 = 8;
const PRESENT_OR_SWAPPED: u64 = 3 << 62;
const OF_FILE: u64 = 1 << 61;
/// Pages whose entries are read at once.
const ENTRIES: u64 = 8192;

/// Where memory is read from.
#[derive(Debug)]
pub(super) struct Source {
    /// A thread that has the memory.
    pid: u32,
    /// `/proc/PID/mem`, which reads what process_vm_readv may not: memory without read access.
    mem: Option<File>,
    pagemap: Option<File>,
    /// Whether it is a copy that shares its pages with the process. process_vm_readv pins pages, and the kernel gives a
    /// copy a page of its own before it is pinned: reading it so would double the process. `/proc/PID/mem` does not.
    // Source: Linux mm/gup.c, gup_must_unshare.
    is_copy: bool,
    /// What is zero and must not be read, ascending.
    holes: Vec<Span>,
    /// Memory whose absent pages only a server in user space knows (userfaultfd): who asks for one waits for it, and it
    /// may be stopped.
    served: Vec<Span>,
}

impl Source {
    /// Of the process that the thread `tid` is of.
    pub(super) fn of(tid: u32) -> Source {
        let open = |file: &str| File::open(format!("/proc/{tid}/{file}")).ok();
        Source {
            pid: tid,
            mem: open("mem"),
            pagemap: open("pagemap"),
            is_copy: false,
            holes: Vec::new(),
            served: Vec::new(),
        }
    }

    /// Of a copy that the process made of itself (fork).
    pub(super) fn of_copy(pid: u32) -> Source {
        Source { is_copy: true, ..Source::of(pid) }
    }

    /// The same, which asks for no page of this memory that is not present.
    pub(super) fn with_served(self, served: Vec<Span>) -> Source {
        Source { served, ..self }
    }

    /// Bytes from `at`, `len` at most, that may be asked for.
    fn askable(&self, at: u64, len: usize) -> usize {
        let asked = Span::new(at, at.saturating_add(len as u64));
        let mut end = asked.end.0;
        for span in self.served.iter().filter_map(|span| span.common(asked)) {
            let whole = Span::new(span.start.0 / PAGE * PAGE, span.end.0.saturating_add(PAGE - 1) / PAGE * PAGE);
            self.each_page(whole, |page, bits| {
                if bits & PRESENT_OR_SWAPPED == 0 {
                    end = end.min(page.start.0.max(at));
                }
            });
        }
        usize::try_from(end.saturating_sub(at)).unwrap_or(0).min(len)
    }

    /// Fills `into` from `at`, as far as it goes: the number of bytes that were read, fewer where a page cannot be.
    /// Fails only where the process is gone.
    pub(super) fn read(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let may = if self.served.is_empty() { into.len() } else { self.askable(at, into.len()) };
        let into = into.get_mut(..may).unwrap_or_default();
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let from = at.saturating_add(done as u64);
            let read = match &self.mem {
                Some(mem) if self.is_copy => mem.read_at(rest, from),
                _ => ptrace::read_memory(self.pid, from, rest),
            };
            match read {
                Ok(read) if read > 0 => done = done.saturating_add(read),
                Err(why) if why.raw_os_error() == Some(libc::ESRCH) => return Err(why),
                _ => {
                    // One page at a time: the kernel says no more than that some page failed.
                    let page = usize::try_from(PAGE - from % PAGE).unwrap_or(1).min(rest.len());
                    let page = rest.get_mut(..page).unwrap_or_default();
                    match self.mem.as_ref().map(|mem| mem.read_exact_at(page, from)) {
                        Some(Ok(())) => done = done.saturating_add(page.len()),
                        _ => return Ok(done),
                    }
                }
            }
        }
        Ok(done)
    }

    /// The parts of a span that are to be read, ascending: pages that hold nothing are left out, and so are those that
    /// must not be asked for, with which `unknown` is called.
    pub(super) fn runs(&self, span: Span, absent: Absent, mut unknown: impl FnMut(Span)) -> Vec<Span> {
        if absent == Absent::Elsewhere {
            return self.outside_of_holes(span);
        }
        let mut runs = Vec::new();
        self.each_page(span, |page, bits| {
            if bits & PRESENT_OR_SWAPPED != 0 {
                add(&mut runs, page);
            } else if absent == Absent::Unknown {
                unknown(page);
            }
        });
        runs
    }

    /// The same without these parts, ascending, of which only pages that are present are read.
    pub(super) fn with_holes(self, holes: Vec<Span>) -> Source {
        Source { holes, ..self }
    }

    /// What is left of a span of a file without its holes. A page of a hole that is present was written since, or is
    /// the process's own.
    fn outside_of_holes(&self, span: Span) -> Vec<Span> {
        let mut runs = Vec::new();
        let mut at = span.start;
        let first = self.holes.partition_point(|hole| hole.end <= span.start);
        for hole in self.holes.iter().skip(first).map_while(|hole| hole.common(span)) {
            if at < hole.start {
                add(&mut runs, Span { start: at, end: hole.start });
            }
            self.each_page(hole, |page, bits| {
                if bits & PRESENT_OR_SWAPPED != 0 {
                    add(&mut runs, page);
                }
            });
            at = hole.end;
        }
        if at < span.end {
            add(&mut runs, Span { start: at, end: span.end });
        }
        runs
    }

    /// The pages of a private mapping of a file that are not the file's any more: they were written.
    pub(super) fn written(&self, span: Span) -> Vec<Span> {
        let mut runs = Vec::new();
        self.each_page(span, |page, bits| {
            if bits & PRESENT_OR_SWAPPED != 0 && bits & OF_FILE == 0 {
                add(&mut runs, page);
            }
        });
        runs
    }

    /// The pages that are in memory or swapped out.
    pub(super) fn present(&self, span: Span) -> Vec<Span> {
        self.runs(span, Absent::Zero, |_| {})
    }

    /// Calls `each` for every page with its bits in pagemap. Where those cannot be read every page counts as present
    /// and written.
    fn each_page(&self, span: Span, mut each: impl FnMut(Span, u64)) {
        let mut at = span.start.0;
        let most = (span.len() / PAGE).clamp(1, ENTRIES);
        let mut entries = vec![0u8; usize::try_from(most * ENTRY).unwrap_or(0)];
        while at < span.end.0 {
            let pages = (span.end.0.saturating_sub(at) / PAGE).clamp(1, ENTRIES);
            let len = usize::try_from(pages * ENTRY).unwrap_or(0);
            let Some(bytes) = entries.get_mut(..len) else { break };
            let whole = Span::new(at, at.saturating_add(pages * PAGE).min(span.end.0));
            at = whole.end.0;
            let read = self.pagemap.as_ref().map(|pagemap| pagemap.read_exact_at(bytes, whole.start.0 / PAGE * ENTRY));
            if !matches!(read, Some(Ok(()))) {
                each(whole, PRESENT_OR_SWAPPED);
                continue;
            }
            let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
            for (index, word) in (0u64..).zip(words) {
                let start = whole.start.0.saturating_add(index * PAGE);
                each(Span::new(start, start.saturating_add(PAGE).min(span.end.0)), word);
            }
        }
    }
}

/// Adds a span behind others, joined with the last where they adjoin.
pub(super) fn add(spans: &mut Vec<Span>, span: Span) {
    match spans.last_mut() {
        Some(last) if last.end == span.start => last.end = span.end,
        _ => spans.push(span),
    }
}
