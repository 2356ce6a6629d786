//! The map from pages to spans, a tree of two levels: found by what it says of itself, and read whole.
//!
//! The root is a table in a module's data. A leaf's words lead to spans, which say where they begin: a word of data that leads to such a
//! leaf is the root's, and its place tells where the root begins. What the library counts of its pages, behind the root, must agree.

use rustc_hash::FxHashSet;

use super::layout::{LEAF_BITS, LEAF_SLOTS, Location, PAGE_SHIFT, ROOT_SLOTS, SPAN_BITS, SPAN_OBJECTS, STATISTICS};
use crate::capture::Memory;
use crate::error::Error;
use crate::job::Job;
use crate::model::Addr;
use crate::runtimes::native::heap::parts::Odd;
use crate::runtimes::native::heap::reading::{Window, data, is_mapped, words};
use crate::target::{Module, Target};

/// Words that are read of what may be the map.
const MAX_READ: u64 = 1 << 30;
/// Words of a leaf that are followed: some lead to spans that are no more.
const MAX_WORDS: usize = 1 << 8;
/// Bytes of a leaf.
const LEAF: u64 = LEAF_SLOTS * 8;

/// Pages with one purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Where it begins, and its bytes.
    pub start: u64,
    pub bytes: u64,
    /// The first of its free objects, if it has a class.
    pub objects: u64,
    /// Objects that are not among those.
    pub taken: u64,
    /// Class of its objects; 0 of one block.
    pub class: u64,
    pub location: Location,
}

/// What the library counts of its pages, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// What it took from the system; of that the pages that are free, and those that were given back.
    pub system: u64,
    pub free: u64,
    pub unmapped: u64,
}

/// What the map holds.
#[derive(Debug)]
pub(super) struct Map {
    /// Where the root is.
    pub root: u64,
    /// Spans, ascending.
    pub spans: Vec<Span>,
    /// `None` where it is not in the dump.
    pub counted: Option<Counted>,
    /// Words of the root that are not in the dump, or lead to a leaf that is not.
    pub unread: Odd,
}

impl Map {
    /// The same sums over the spans that were found.
    pub(super) fn sums(&self) -> Counted {
        let mut sums = Counted::default();
        for span in &self.spans {
            sums.system = sums.system.saturating_add(span.bytes);
            match span.location {
                Location::InUse => {}
                Location::Free => sums.free = sums.free.saturating_add(span.bytes),
                Location::Returned => sums.unmapped = sums.unmapped.saturating_add(span.bytes),
            }
        }
        sums
    }
}

/// Looks for the map in a module's data. What its spans sum up to may be other than what is counted: that is for the caller to judge.
pub(super) fn find(target: &Target, module: &Module, job: &Job) -> Result<Option<Map>, Error> {
    let memory = &target.memory;
    let mut tried = FxHashSet::default();
    let mut best: Option<Map> = None;
    let mut left = MAX_READ;
    for (start, bytes) in data(memory, module) {
        job.check()?;
        for (at, leaf) in words(start, bytes) {
            if leaf == 0 || !leaf.is_multiple_of(8) || left == 0 || memory.slice(Addr(leaf), LEAF).is_err() {
                continue;
            }
            if target.module_at(Addr(leaf)).is_some() || !tried.insert(leaf) {
                continue;
            }
            job.check()?;
            let root = number_of(memory, leaf, &mut left).and_then(|number| at.checked_sub(number.checked_mul(8)?));
            let Some(root) = root else { continue };
            let map = read(memory, root, &mut left, job)?;
            if !map.spans.is_empty() && Some(map.sums()) == map.counted {
                return Ok(Some(map));
            }
            if best.as_ref().is_none_or(|best| best.spans.len() < map.spans.len()) {
                best = Some(map);
            }
        }
    }
    Ok(best.filter(|map| !map.spans.is_empty()))
}

/// Which leaf it is, by a word that leads to a span whose place it is. `left`: words that may be read.
fn number_of(memory: &Memory, leaf: u64, left: &mut u64) -> Option<u64> {
    let bytes = memory.slice(Addr(leaf), LEAF).ok()?;
    let mut window = Window::new(memory);
    let most = usize::try_from(*left).ok()?;
    let read = (0u64..).zip(words(leaf, bytes)).take(most).inspect(|_| *left = left.saturating_sub(1));
    let taken = read.filter(|(_, (_, word))| *word != 0).take(MAX_WORDS);
    taken.into_iter().find_map(|(place, (_, span))| {
        let page = window.u64(span)?;
        let number = page >> LEAF_BITS;
        (page & (LEAF_SLOTS - 1) == place && number < ROOT_SLOTS && span_at(&mut window, span, page).is_some())
            .then_some(number)
    })
}

/// Reads the map, as far as `left` words go.
fn read(memory: &Memory, root: u64, left: &mut u64, job: &Job) -> Result<Map, Error> {
    *left = left.saturating_sub(ROOT_SLOTS);
    let mut window = Window::new(memory);
    let count = |window: &mut Window<'_>, place: u64| {
        let at = root.checked_add(STATISTICS)?.checked_add(place)?;
        window.u64(at)
    };
    let counts = [0, 8, 16].map(|place| count(&mut window, place));
    let counted = match counts {
        [Some(system), Some(free), Some(unmapped)] => Some(Counted { system, free, unmapped }),
        _ => None,
    };
    let mut map = Map { root, spans: Vec::new(), counted, unread: Odd::default() };
    let mut of_span = Window::new(memory);
    // What lies in a span that was found leads to spans that are no more.
    let mut behind = 0u64;
    for number in 0..ROOT_SLOTS {
        if number.is_multiple_of(1 << 14) {
            job.check()?;
        }
        let at = root.saturating_add(number.saturating_mul(8));
        let leaf = window.u64(at);
        if leaf == Some(0) {
            continue;
        }
        let bytes = leaf.and_then(|leaf| memory.slice_up_to(Addr(leaf), LEAF).ok()).unwrap_or_default();
        if (bytes.len() as u64) < LEAF {
            map.unread.add(at);
        }
        job.check()?;
        *left = left.saturating_sub(bytes.len() as u64 / 8);
        if *left == 0 {
            break;
        }
        for (place, (_, word)) in (0u64..).zip(words(leaf.unwrap_or(0), bytes)) {
            let page = number << LEAF_BITS | place;
            if word == 0 || page < behind {
                continue;
            }
            if let Some(span) =
                span_at(&mut of_span, word, page).filter(|span| is_mapped(memory, span.start, span.bytes))
            {
                behind = page.saturating_add(span.bytes >> PAGE_SHIFT);
                map.spans.push(span);
            }
        }
    }
    Ok(map)
}

/// The span at an address, if it begins with a page.
fn span_at(window: &mut Window<'_>, at: u64, page: u64) -> Option<Span> {
    let start = window.u64(at).filter(|start| *start == page)?;
    let length = window.u64(at.checked_add(8)?)?;
    let objects = window.u64(at.checked_add(SPAN_OBJECTS)?)?;
    let bits = window.u64(at.checked_add(SPAN_BITS)?)?;
    let location = Location::of(bits >> 24 & 3)?;
    let bytes = length.checked_mul(1 << PAGE_SHIFT).filter(|bytes| *bytes > 0)?;
    let start = start.checked_mul(1 << PAGE_SHIFT)?;
    start.checked_add(bytes)?;
    Some(Span { start, bytes, objects, taken: bits & 0xffff, class: bits >> 16 & 0xff, location })
}
