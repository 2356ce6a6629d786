//! Segments and the pages in them. Segments begin at multiples of 32 MiB, and a cookie of the process, with the segment's own address in it,
//! stands in each: it is the one that the library's main heap has in the module's data.

use rustc_hash::{FxHashMap, FxHashSet};

use super::layout::{
    BLOCK, CAPACITY, COOKIE, ENTRIES, FIRST_SLICE, FLAGS, FREE, HAS_ALIGNED, HEAP, HUGE_BLOCK, INFO_SLICES, KIND,
    LOCAL_FREE, MAX_KIND, PAGE, RESERVED, SEGMENT, SEGMENT_SLICES, SLICE, SLICES, THREAD_FREE, THREAD_FREE_FLAGS, USED,
    ahead,
};
use crate::capture::Memory;
use crate::error::Error;
use crate::job::Job;
use crate::runtimes::native::heap::parts::Odd;
use crate::runtimes::native::heap::reading::{Window, data, is_mapped, words};
use crate::target::{Module, Target};

/// Most places where a segment may begin: 128 TiB.
const MAX_PLACES: u64 = 1 << 22;

/// A segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub start: u64,
    pub bytes: u64,
    /// Slices of its own books, and slices that are told of.
    info: u64,
    entries: u64,
}

/// A page: blocks of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Its `mi_page_t`.
    pub at: u64,
    /// The first block.
    pub start: u64,
    /// Bytes of a block.
    pub block: u64,
    /// Blocks that were made so far.
    pub capacity: u64,
    /// Those that are in use, or freed by another thread.
    pub used: u64,
    /// Heads of its free lists: its own, what its thread freed since, what others freed.
    pub lists: [u64; 3],
    /// The heap that it belongs to; 0 of one that its thread left behind.
    pub heap: u64,
    /// Whether the program may have been given an address inside of a block.
    pub has_aligned: bool,
}

/// All segments and pages.
#[derive(Debug, Default)]
pub(super) struct Segments {
    /// Ascending.
    pub segments: Vec<Segment>,
    /// Ascending.
    pub pages: Vec<Page>,
    /// Bytes of slices in no page.
    pub free_slices: (u64, u64),
    /// Pages that cannot be right.
    pub odd: Odd,
    /// Places where a segment may begin that are not in the dump.
    pub lost: Odd,
    /// Where the search for segments ended before all memory was looked at.
    pub cut: Option<u64>,
}

/// Looks for the segments of the library that a module holds.
pub(super) fn find(target: &Target, module: &Module, job: &Job) -> Result<Segments, Error> {
    let memory = &target.memory;
    let mut window = Window::new(memory);
    let mut by_cookie: FxHashMap<u64, Vec<Segment>> = FxHashMap::default();
    let (mut places, mut lost, mut cut) = (0u64, Odd::default(), None);
    for region in memory.regions().iter().filter(|region| region.access.write) {
        let mut at = region.start.0.next_multiple_of(SEGMENT);
        while at < region.end.0 {
            if places >= MAX_PLACES {
                cut = cut.or(Some(at));
                break;
            }
            places = places.saturating_add(1);
            if places.is_multiple_of(1 << 10) {
                job.check()?;
            }
            if window.u8(at).is_none() {
                lost.add(at);
            }
            if let Some((cookie, segment)) = segment(memory, &mut window, at) {
                by_cookie.entry(cookie).or_default().push(segment);
            }
            let Some(next) = at.checked_add(SEGMENT) else { break };
            at = next;
        }
    }
    let known: FxHashSet<u64> = data(memory, module)
        .into_iter()
        .flat_map(|(start, bytes)| words(start, bytes))
        .map(|(_, word)| word)
        .filter(|word| by_cookie.contains_key(word))
        .collect();
    let mut best = Segments::default();
    for cookie in known {
        let mut segments = Segments { segments: by_cookie.remove(&cookie).unwrap_or_default(), ..Segments::default() };
        segments.segments.sort_unstable_by_key(|segment| segment.start);
        for segment in segments.segments.clone() {
            job.check()?;
            segments.read(&mut window, &segment);
        }
        if segments.pages.len() >= best.pages.len() {
            best = segments;
        }
    }
    Ok(Segments { lost, cut, ..best })
}

/// The segment that begins at an address, and the process's cookie as it has it.
fn segment(memory: &Memory, window: &mut Window<'_>, start: u64) -> Option<(u64, Segment)> {
    let mut word = |offset: u64| window.u64(start.checked_add(offset)?);
    let cookie = word(COOKIE)? ^ start;
    let (slices, info, entries) = (word(SEGMENT_SLICES)?, word(INFO_SLICES)?, word(ENTRIES)?);
    let kind = window.u32(start.checked_add(KIND)?)?;
    let bytes = slices.checked_mul(SLICE)?;
    let fits = kind <= MAX_KIND && info > 0 && info <= entries && entries <= SLICES && entries <= slices;
    // What it has must be mapped: its slices have 64 bits.
    (fits && cookie != 0 && is_mapped(memory, start, bytes))
        .then_some((cookie, Segment { start, bytes, info, entries }))
}

impl Segments {
    fn read(&mut self, window: &mut Window<'_>, segment: &Segment) {
        let mut slice = segment.info;
        while slice < segment.entries {
            let at = segment.start.saturating_add(FIRST_SLICE).saturating_add(slice.saturating_mul(PAGE));
            let count = window.u32(at).map_or(0, u64::from);
            let size = window.u32(at.saturating_add(BLOCK));
            let (Some(size), true) = (size, count > 0) else {
                self.odd.add(at);
                return;
            };
            if size == 0 {
                self.free_slices.0 = self.free_slices.0.saturating_add(1);
                self.free_slices.1 = self.free_slices.1.saturating_add(count.saturating_mul(SLICE));
            } else {
                match page(window, segment, at, slice, count) {
                    Some(page) => self.pages.push(page),
                    None => self.odd.add(at),
                }
            }
            slice = slice.saturating_add(count);
        }
    }
}

fn page(window: &mut Window<'_>, segment: &Segment, at: u64, slice: u64, count: u64) -> Option<Page> {
    let mut short = |offset: u64| Some(u64::from(u16::from_le_bytes(window.bytes::<2>(at.checked_add(offset)?)?)));
    let (capacity, reserved) = (short(CAPACITY)?, short(RESERVED)?);
    let size = u64::from(window.u32(at.checked_add(BLOCK)?)?);
    let used = u64::from(window.u32(at.checked_add(USED)?)?);
    let flags = window.u8(at.checked_add(FLAGS)?)?;
    let mut word = |offset: u64| window.u64(at.checked_add(offset)?);
    let thread_free = word(THREAD_FREE)? & !THREAD_FREE_FLAGS;
    let lists = [word(FREE)?, word(LOCAL_FREE)?, thread_free];
    let heap = word(HEAP)?;
    let start = segment.start.checked_add(slice.checked_mul(SLICE)?)?.checked_add(ahead(size))?;
    let end = segment.start.checked_add(slice.checked_add(count)?.checked_mul(SLICE)?)?;
    let end = end.min(segment.start.checked_add(segment.bytes)?);
    let block = if size < HUGE_BLOCK { size } else { end.checked_sub(start)? };
    let fits = capacity <= reserved && used <= capacity && reserved.checked_mul(block)? <= end.checked_sub(start)?;
    let has_aligned = flags & HAS_ALIGNED != 0;
    (fits && block >= 8).then_some(Page { at, start, block, capacity, used, lists, heap, has_aligned })
}
