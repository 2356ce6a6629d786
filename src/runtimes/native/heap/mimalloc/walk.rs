//! Pages, block by block. A block is in use if it is in none of its page's free lists, nor in its heap's list of what other threads freed.

use rustc_hash::{FxHashMap, FxHashSet};

use super::layout::{DELAYED, PAGE_COUNT};
use super::segments::Page;
use crate::capture::Memory;
use crate::error::Error;
use crate::heap::Free;
use crate::job::{Job, Meter};
use crate::model::Addr;
use crate::runtimes::native::heap::allocator::{Block, Visit};
use crate::runtimes::native::heap::parts::Odd;
use crate::runtimes::native::heap::reading::{Window, add};

/// What a walk counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Walked {
    pub used: Free,
    /// In the lists of pages: their own, what their thread freed, what others freed.
    pub lists: [Free; 3],
    /// In the lists of heaps.
    pub delayed: Free,
    /// Pages whose lists are broken, or hold another number of blocks than they state.
    pub odd: Odd,
}

/// Tells `visit` the blocks in use of some pages, ascending. `delayed`: blocks in heaps' lists, ascending.
pub(super) fn walk(
    memory: &Memory,
    pages: &[Page],
    delayed: &[u64],
    meter: &mut Meter<'_>,
    visit: &mut Visit<'_>,
) -> Result<Walked, Error> {
    let mut walked = Walked::default();
    let mut free = FxHashSet::default();
    for page in pages {
        meter.add(page.capacity)?;
        let (counts, agrees) = lists(memory, page, &mut free);
        if !agrees {
            walked.odd.add(page.at);
        }
        for (sum, count) in walked.lists.iter_mut().zip(counts) {
            add(sum, count, count.saturating_mul(page.block));
        }
        for number in 0..page.capacity {
            let block = page.start.saturating_add(number.saturating_mul(page.block));
            if free.contains(&block) {
                continue;
            }
            if delayed.binary_search(&block).is_ok() {
                add(&mut walked.delayed, 1, page.block);
                continue;
            }
            add(&mut walked.used, 1, page.block);
            visit(Block { address: Addr(block), bytes: page.block })?;
        }
    }
    Ok(walked)
}

/// Reads a page's free lists; tells how many blocks each holds, and whether they are whole and as many as the page states.
fn lists(memory: &Memory, page: &Page, free: &mut FxHashSet<u64>) -> ([u64; 3], bool) {
    free.clear();
    let mut window = Window::new(memory);
    let (mut counts, mut is_whole) = ([0u64; 3], true);
    for (count, head) in counts.iter_mut().zip(page.lists) {
        let mut block = head;
        while block != 0 {
            let offset = block.wrapping_sub(page.start);
            let is_one = offset < page.capacity.saturating_mul(page.block)
                && offset.checked_rem(page.block) == Some(0)
                && free.insert(block);
            let Some(next) = window.u64(block).filter(|_| is_one) else {
                is_whole = false;
                break;
            };
            *count = count.saturating_add(1);
            block = next;
        }
    }
    let [own, local, _] = counts;
    (counts, is_whole && own.checked_add(local).and_then(|free| page.used.checked_add(free)) == Some(page.capacity))
}

/// What heaps say.
#[derive(Debug, Default)]
pub(super) struct Heaps {
    /// Their addresses, ascending.
    pub heaps: Vec<u64>,
    /// Blocks in their lists, ascending.
    pub delayed: Vec<u64>,
    /// Heaps whose lists are broken.
    pub broken: Odd,
    /// Heaps that are not in the dump.
    pub lost: Odd,
    /// Pages that they count, and those of them that were found, where these are other.
    pub miscounted: Option<(u64, u64)>,
}

/// Most blocks in lists of heaps.
const MAX_DELAYED: usize = 1 << 27;

/// Reads the heaps that pages belong to.
pub(super) fn heaps(memory: &Memory, pages: &[Page], job: &Job) -> Result<Heaps, Error> {
    let mut found: FxHashMap<u64, u64> = FxHashMap::default();
    for page in pages.iter().filter(|page| page.heap != 0) {
        let count = found.entry(page.heap).or_default();
        *count = count.saturating_add(1);
    }
    let mut heaps = Heaps { heaps: found.keys().copied().collect(), ..Heaps::default() };
    heaps.heaps.sort_unstable();
    let mut window = Window::new(memory);
    let (mut counted, mut seen) = (0u64, FxHashSet::default());
    for heap in heaps.heaps.clone() {
        job.check()?;
        let pages_of = window.u64(heap.saturating_add(PAGE_COUNT));
        let (Some(pages_of), Some(mut block)) = (pages_of, window.u64(heap.saturating_add(DELAYED))) else {
            heaps.lost.add(heap);
            continue;
        };
        counted = counted.saturating_add(pages_of);
        while block != 0 {
            let is_new = seen.len() < MAX_DELAYED && seen.insert(block) && is_block(pages, block);
            let Some(next) = window.u64(block).filter(|_| is_new) else {
                heaps.broken.add(heap);
                break;
            };
            heaps.delayed.push(block);
            block = next;
        }
    }
    heaps.delayed.sort_unstable();
    let found = found.values().copied().fold(0, u64::saturating_add);
    heaps.miscounted = (counted != found && heaps.lost.count == 0).then_some((counted, found));
    Ok(heaps)
}

fn is_block(pages: &[Page], block: u64) -> bool {
    let before = pages.partition_point(|page| page.start <= block).checked_sub(1);
    before.and_then(|before| pages.get(before)).is_some_and(|page| {
        let offset = block.wrapping_sub(page.start);
        offset < page.capacity.saturating_mul(page.block) && offset.checked_rem(page.block) == Some(0)
    })
}

/// Pages that are held against their lists.
const HELD: usize = 1 << 12;

/// Why what is read cannot be right: too many pages state another number of free blocks than their lists hold.
pub(super) fn disagreement(memory: &Memory, pages: &[Page], job: &Job) -> Result<Option<String>, Error> {
    let (mut held, mut odd) = (0usize, 0usize);
    let mut free = FxHashSet::default();
    for page in pages.iter().take(HELD) {
        job.check()?;
        held = held.saturating_add(1);
        odd = odd.saturating_add(usize::from(!lists(memory, page, &mut free).1));
    }
    let why = format!("{odd} of {held} pages count other than their lists: this version is not known, or encodes them");
    Ok((odd > held / 16).then_some(why))
}
