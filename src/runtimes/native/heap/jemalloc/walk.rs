//! Extents, region by region.

use std::collections::BTreeMap;

use super::caches::Caches;
use super::layout::{ACTIVE, EDATA_SLAB, SLAB_WORDS, SMALL_CLASSES, size};
use super::map::Extent;
use crate::capture::Memory;
use crate::error::Error;
use crate::heap::Free;
use crate::job::{Job, Meter};
use crate::model::Addr;
use crate::runtimes::native::heap::allocator::{Block, Visit};
use crate::runtimes::native::heap::parts::Odd;
use crate::runtimes::native::heap::reading::{Window, add};

/// What a walk counted of an arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub used: Free,
    /// In caches of threads.
    pub cached: Free,
    /// Free regions of slabs.
    pub free: Free,
}

/// What a walk counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Walked {
    pub arenas: BTreeMap<u64, Sums>,
    /// Slabs whose bits are not as many as they count.
    pub odd: Odd,
}

impl Walked {
    pub(super) fn merge(&mut self, more: &Walked) {
        for (arena, more) in &more.arenas {
            let sums = self.arenas.entry(*arena).or_default();
            for (sum, more) in
                [(&mut sums.used, more.used), (&mut sums.cached, more.cached), (&mut sums.free, more.free)]
            {
                add(sum, more.count, more.bytes);
            }
        }
    }
}

/// A slab: its regions, and the bits of those that are free.
struct Slab {
    region: u64,
    count: u64,
    free: [u64; SLAB_WORDS as usize],
}

impl Slab {
    /// `None` where it is none, or has more regions than there are bits.
    fn of(window: &mut Window<'_>, extent: &Extent) -> Option<Slab> {
        let region = size(extent.bits.class).filter(|_| extent.bits.class < SMALL_CLASSES)?;
        let count = extent.bytes.checked_div(region)?;
        if count == 0 || count > SLAB_WORDS * 64 {
            return None;
        }
        let mut free = [0u64; SLAB_WORDS as usize];
        for (place, word) in (0u64..).zip(&mut free) {
            *word = window.u64(extent.edata.checked_add(EDATA_SLAB)?.checked_add(place.checked_mul(8)?)?)?;
        }
        Some(Slab { region, count, free })
    }

    fn is_free(&self, region: u64) -> bool {
        let word = self.free.get((region / 64) as usize).copied().unwrap_or(0);
        word >> (region % 64) & 1 == 1
    }

    fn count_free(&self) -> u64 {
        (0..self.count).filter(|region| self.is_free(*region)).count() as u64
    }
}

/// Tells `visit` the blocks in use of some extents, ascending.
pub(super) fn walk(
    memory: &Memory,
    extents: &[Extent],
    caches: &Caches,
    meter: &mut Meter<'_>,
    visit: &mut Visit<'_>,
) -> Result<Walked, Error> {
    let mut walked = Walked::default();
    let mut window = Window::new(memory);
    for extent in extents.iter().filter(|extent| extent.bits.state == ACTIVE) {
        let sums = walked.arenas.entry(extent.bits.arena).or_default();
        let mut tell = |sums: &mut Sums, block: u64, bytes: u64| {
            if caches.stacks.binary_search(&block).is_ok() {
                return Ok(());
            }
            if caches.cached.binary_search_by_key(&block, |(cached, _)| *cached).is_ok() {
                add(&mut sums.cached, 1, bytes);
                return Ok(());
            }
            add(&mut sums.used, 1, bytes);
            visit(Block { address: Addr(block), bytes })
        };
        if !extent.bits.slab {
            meter.add(1)?;
            // Blocks begin anywhere in the first page. Source: jemalloc 5.3.0 src/extent.c, extent_random_offset (cache_oblivious).
            match size(extent.bits.class).filter(|bytes| *bytes <= extent.bytes) {
                Some(bytes) => tell(sums, extent.address, bytes)?,
                None => walked.odd.add(extent.start),
            }
            continue;
        }
        let Some(slab) = Slab::of(&mut window, extent) else {
            walked.odd.add(extent.start);
            continue;
        };
        meter.add(slab.count)?;
        let mut free = 0u64;
        for region in 0..slab.count {
            if slab.is_free(region) {
                free = free.saturating_add(1);
            } else {
                tell(sums, extent.start.saturating_add(region.saturating_mul(slab.region)), slab.region)?;
            }
        }
        add(&mut sums.free, free, free.saturating_mul(slab.region));
        if free != extent.bits.free {
            walked.odd.add(extent.start);
        }
    }
    Ok(walked)
}

/// Slabs and cached blocks that are held against each other.
const HELD: usize = 1 << 12;

/// Why what is read cannot be right: too many of the slabs count otherwise than their bits, or of the cached blocks are none.
pub(super) fn disagreement(
    memory: &Memory,
    extents: &[Extent],
    caches: &Caches,
    job: &Job,
) -> Result<Option<String>, Error> {
    let mut window = Window::new(memory);
    let slabs = extents.iter().filter(|extent| extent.bits.state == ACTIVE && extent.bits.slab).take(HELD);
    let (mut held, mut odd) = (0usize, 0usize);
    for extent in slabs {
        job.check()?;
        held = held.saturating_add(1);
        let agrees = Slab::of(&mut window, extent).is_some_and(|slab| slab.count_free() == extent.bits.free);
        odd = odd.saturating_add(usize::from(!agrees));
    }
    if odd > held / 16 {
        let why = format!("{odd} of {held} slabs count other than their bits: this version is not known");
        return Ok(Some(why));
    }
    let (mut held, mut odd) = (0usize, 0usize);
    for (block, class) in caches.cached.iter().take(HELD) {
        held = held.saturating_add(1);
        let before = extents.partition_point(|extent| extent.start <= *block).checked_sub(1);
        let of = before.and_then(|before| extents.get(before));
        let is_one = of.is_some_and(|extent| {
            extent.bits.state == ACTIVE
                && extent.bits.class == *class
                && *block < extent.start.saturating_add(extent.bytes)
                && is_given(&mut window, extent, *block)
        });
        odd = odd.saturating_add(usize::from(!is_one));
    }
    let why = format!("{odd} of {held} blocks in threads' caches are none: this version is not known");
    Ok((odd > held / 16).then_some(why))
}

/// Whether a block of an extent is one that it gave out.
fn is_given(window: &mut Window<'_>, extent: &Extent, block: u64) -> bool {
    if !extent.bits.slab {
        return extent.address == block;
    }
    let given = |slab: Slab| {
        let offset = block.checked_sub(extent.start)?;
        Some(offset.is_multiple_of(slab.region) && !slab.is_free(offset.checked_div(slab.region)?))
    };
    Slab::of(window, extent).and_then(given).unwrap_or(false)
}
