//! The map from pages to extents, a tree of two levels: found by what it says of itself, and read whole.
//!
//! The root is a table in a module's data. A leaf's words lead to `edata`s, whose addresses say which leaf and which word they belong to: a
//! word of data that leads to such a leaf is the root's, and its place tells where the root begins.

use rustc_hash::FxHashSet;

use super::layout::{
    ACTIVE, ADDRESS_BITS, BOOK, Bits, CLASSES, EDATA_ADDRESS, EDATA_MASK, EDATA_SIZE, LEAF_BITS, LEAF_SLOTS, PAGE,
    RETAINED, SLAB, STATE_SHIFT,
};
use crate::capture::Memory;
use crate::error::Error;
use crate::job::Job;
use crate::model::Addr;
use crate::runtimes::native::heap::parts::Odd;
use crate::runtimes::native::heap::reading::{Window, data, is_mapped, words};
use crate::target::{Module, Target};

/// Words that are read of what may be the map.
const MAX_READ: u64 = 1 << 30;
/// Bytes of a leaf.
const LEAF: u64 = LEAF_SLOTS * 8;
/// Bytes of addresses below a leaf.
const SPAN_SHIFT: u32 = LEAF_BITS + 12;
/// Most extents that disagree with the map: those that a thread is about to change.
const MAX_ODD: usize = 64;

/// Pages with one purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Its `edata`.
    pub edata: u64,
    /// The first page.
    pub start: u64,
    /// Where its block begins, of one that is no slab.
    pub address: u64,
    pub bytes: u64,
    pub bits: Bits,
}

/// What the map holds.
#[derive(Debug, Default)]
pub(super) struct Map {
    /// Where the root is.
    pub root: u64,
    /// Extents, ascending.
    pub extents: Vec<Extent>,
    /// Extents whose `edata` disagrees with the map.
    pub odd: Odd,
    /// Extents whose `edata` is not in the dump.
    pub lost: Odd,
    /// Words of the root that are not in the dump, or lead to a leaf that is not.
    pub unread: Odd,
}

impl Map {
    /// Whether an address is in one of its extents.
    pub(super) fn holds(&self, at: u64) -> bool {
        let before = self.extents.partition_point(|extent| extent.start <= at).checked_sub(1);
        let extent = before.and_then(|before| self.extents.get(before));
        extent.is_some_and(|extent| at < extent.start.saturating_add(extent.bytes))
    }
}

/// Looks for the map in a module's data.
pub(super) fn find(target: &Target, module: &Module, job: &Job) -> Result<Option<Map>, Error> {
    let memory = &target.memory;
    let mut tried = FxHashSet::default();
    let mut left = MAX_READ;
    for (start, bytes) in data(memory, module) {
        job.check()?;
        for (at, leaf) in words(start, bytes) {
            if leaf == 0 || !leaf.is_multiple_of(64) || !is_in_book(memory, leaf) || !tried.insert(leaf) {
                continue;
            }
            job.check()?;
            let Some(span) = span_of(memory, leaf, &mut left) else { continue };
            let Some(root) = at.checked_sub(span.saturating_mul(8)) else { continue };
            let map = read(memory, root, &mut left, job)?;
            let is_map = map.extents.iter().any(|extent| extent.bits.state == ACTIVE);
            let agrees = map.odd.count <= MAX_ODD.max(map.extents.len() / 64) && map.lost.count <= map.extents.len();
            if left > 0 && is_map && agrees {
                return Ok(Some(map));
            }
        }
    }
    Ok(None)
}

/// Whether a leaf may be at an address: it is in a block of books, which begins with its size.
fn is_in_book(memory: &Memory, leaf: u64) -> bool {
    let book = leaf & !(BOOK - 1);
    let is_book = |bytes: u64| bytes > 0 && bytes.is_multiple_of(BOOK);
    book != 0 && memory.u64(Addr(book)).is_ok_and(is_book) && memory.slice(Addr(leaf), LEAF).is_ok()
}

/// Which part of the address space a leaf is of, by its first word that leads to an edata. `left`: words that may be read.
fn span_of(memory: &Memory, leaf: u64, left: &mut u64) -> Option<u64> {
    let bytes = memory.slice(Addr(leaf), LEAF).ok()?;
    let most = usize::try_from(*left).ok()?;
    let mut read = (0u64..).zip(words(leaf, bytes)).take(most).inspect(|_| *left = left.saturating_sub(1));
    let (place, (_, word)) = read.find(|(_, (_, word))| edata_of(*word) != 0)?;
    let address = memory.u64(Addr(edata_of(word)).plus(EDATA_ADDRESS)?).ok()?;
    let span = address >> SPAN_SHIFT;
    (address >> 12 == (span << LEAF_BITS | place) && span < LEAF_SLOTS).then_some(span)
}

/// The edata of a leaf's word: an address, whose highest bit is repeated.
fn edata_of(word: u64) -> u64 {
    let free = 64 - ADDRESS_BITS;
    (((word << free) as i64) >> free) as u64 & EDATA_MASK
}

/// Reads the map, as far as `left` words go.
fn read(memory: &Memory, root: u64, left: &mut u64, job: &Job) -> Result<Map, Error> {
    let mut map = Map { root, ..Map::default() };
    *left = left.saturating_sub(LEAF_SLOTS);
    let (mut window, mut of_edata) = (Window::new(memory), Window::new(memory));
    // Each page of an extent leads to the same edata.
    let mut lost = 0u64;
    for span in 0..LEAF_SLOTS {
        if span.is_multiple_of(1 << 14) {
            job.check()?;
        }
        let at = root.saturating_add(span.saturating_mul(8));
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
            let page = (span << LEAF_BITS | place).saturating_mul(PAGE);
            // Of pages that are in no extent the class stays.
            if edata_of(word) == 0 {
                continue;
            }
            if of_edata.u64(edata_of(word)).is_none() {
                if lost != edata_of(word) {
                    lost = edata_of(word);
                    map.lost.add(lost);
                }
                continue;
            }
            match extent(memory, &mut of_edata, word, page) {
                // Inner and last pages lead to the same edata.
                Some(extent) if extent.start != page => {}
                Some(extent) if agrees(word, &extent) => map.extents.push(extent),
                Some(extent) => map.odd.add(extent.edata),
                None => map.odd.add(edata_of(word)),
            }
        }
    }
    // Ascending by the tree's order; what overlaps cannot be right.
    let (mut end, odd) = (0u64, &mut map.odd);
    map.extents.retain(|extent| {
        let is_apart = extent.start >= end;
        end = end.max(extent.start.saturating_add(extent.bytes));
        if !is_apart {
            odd.add(extent.edata);
        }
        is_apart
    });
    Ok(map)
}

/// The extent that a word of a leaf leads to; `None` where it is none, or does not hold the page.
fn extent(memory: &Memory, window: &mut Window<'_>, word: u64, page: u64) -> Option<Extent> {
    let edata = edata_of(word);
    let bits = Bits::of(window.u64(edata)?);
    let address = window.u64(edata.checked_add(EDATA_ADDRESS)?)?;
    let bytes = window.u64(edata.checked_add(EDATA_SIZE)?)? & !(PAGE - 1);
    let start = address & !(PAGE - 1);
    let end = start.checked_add(bytes)?;
    // What is in use must be mapped: its length has 52 bits of pages.
    let fits = (start..end).contains(&page) && (bits.state != ACTIVE || is_mapped(memory, start, bytes));
    fits.then_some(Extent { edata, start, address, bytes, bits })
}

/// Whether the map says the same of an extent as its edata.
fn agrees(word: u64, extent: &Extent) -> bool {
    let bits = extent.bits;
    let (state, slab, class) = (word >> STATE_SHIFT & 7, word & SLAB != 0, word >> ADDRESS_BITS);
    // What is not in use has no class (SC_NSIZES) in its edata; the map keeps the last one, the edata whether it was a slab.
    // Source: jemalloc 5.3.0 src/pac.c, src/emap.c.
    let is_same = match bits.state {
        ACTIVE => class == bits.class && bits.class < CLASSES && slab == bits.slab,
        _ => bits.class == CLASSES,
    };
    state == bits.state && bits.state <= RETAINED && is_same
}
