//! Where ptmalloc's books are: the main arena, the ring of the others, the process's parameters.
//!
//! Found without symbols. An arena's empty bins point to themselves, and the main arena is a variable of the C library:
//! a run of such pairs in writable data is its bins, and the ring of arenas that leads back to it tells where in the
//! structure they stand.

use std::sync::Arc;

use super::layout::{BINS, HEADER, Layout, Par, State, candidates};
use crate::capture::{Memory, Role};
use crate::error::Error;
use crate::job::Job;
use crate::model::Addr;
use crate::runtimes::native::heap::reading::{constants, data};
use crate::runtimes::native::libc::{Family, family_of};
use crate::target::{Module, Target};

/// Most arenas of a process. glibc makes eight for each processor.
const MAX_ARENAS: usize = 1 << 14;
/// Most pairs of self-pointing words that are taken for a bin, of those that are none.
const MAX_TRIED: usize = 1 << 10;
/// Bins of the main arena that may be damaged.
const MAX_ODD_BINS: u64 = 27;

/// A C library's allocator.
#[derive(Debug)]
pub(super) struct Place {
    /// The module that it is part of.
    pub module: usize,
    /// Where the first head of the main arena's bins is.
    pub bins: u64,
}

/// What was looked for in a module.
#[derive(Debug)]
pub(super) enum Found {
    /// An allocator that was used.
    Here(Place),
    /// One that was never used: its bins were never set up.
    Unused,
    /// None. Why it was not found, where the module must have one.
    No(Option<String>),
}

/// Looks for the allocator of each C library of the process; without one, in the executable.
pub(super) fn places(target: &Arc<Target>, job: &Job) -> Result<Vec<(usize, Found)>, Error> {
    let is_libc = |module: &&Module| family_of(module) == Some(Family::Glibc);
    let libraries: Vec<&Module> = target.modules.iter().filter(is_libc).collect();
    let is_musl = target.modules.iter().any(|module| family_of(module) == Some(Family::Musl));
    let executables = target.modules.iter().filter(|module| module.mapped.role == Role::Executable);
    let searched: Vec<&Module> = match libraries.is_empty() {
        true if is_musl => Vec::new(),
        true => executables.collect(),
        false => libraries,
    };
    let must = |module: &Module| family_of(module) == Some(Family::Glibc);
    searched.into_iter().map(|module| Ok((module.index, of_module(target, module, must(module), job)?))).collect()
}

fn of_module(target: &Target, module: &Module, must: bool, job: &Job) -> Result<Found, Error> {
    let mut unused = false;
    let mut readable = false;
    for (start, bytes) in data(&target.memory, module) {
        readable = true;
        let words: Vec<Addr> = target.memory.pointers(bytes).collect();
        let mut tried = 0usize;
        for (index, pair) in words.windows(2).enumerate() {
            let at = start.saturating_add((index as u64).saturating_mul(8));
            let &[first, second] = pair else { continue };
            if first == second && first.0 == at.wrapping_sub(HEADER) {
                job.check()?;
                tried = tried.saturating_add(1);
                if let Some(bins) = bins_around(&target.memory, at) {
                    return Ok(Found::Here(Place { module: module.index, bins }));
                }
                if tried >= MAX_TRIED {
                    break;
                }
            }
            unused |= candidates(None).any(|layout| is_unused(&words, index, at, &layout.state));
        }
    }
    Ok(match (unused, readable) {
        (true, _) => Found::Unused,
        (false, _) if !must => Found::No(None),
        (false, true) => Found::No(Some("no main arena is recognised in its data".to_owned())),
        (false, false) => Found::No(Some("the dump does not hold its data".to_owned())),
    })
}

/// Where the bins begin that the head of one is among: where the ring of arenas is closed, and the fewest are odd. They
/// could begin a few bins later too, but for what stands behind them.
fn bins_around(memory: &Memory, head: u64) -> Option<u64> {
    let starts = (0..BINS).filter_map(|before| head.checked_sub(before.checked_mul(16)?));
    let odd = |bins: u64| {
        let odd = odd_bins(memory, bins)?;
        let is_closed = candidates(None).any(|layout| ring(memory, bins, &layout.state).is_closed);
        Some((!is_closed, odd, bins))
    };
    starts.filter_map(odd).min_by_key(|(is_open, odd, _)| (*is_open, *odd)).map(|(.., bins)| bins)
}

/// How many of what may be the heads of an arena's bins are none: empty ones point to themselves, the first of the
/// others back to them. `None` where they are too many.
fn odd_bins(memory: &Memory, bins: u64) -> Option<u64> {
    let mut odd = 0u64;
    for bin in 0..BINS {
        let head = bins.saturating_add(bin.saturating_mul(16));
        let own = head.wrapping_sub(HEADER);
        let is_good = || {
            let first = memory.u64(Addr(head)).ok()?;
            let last = memory.u64(Addr(head).plus(8)?).ok()?;
            if first == own || last == own {
                return Some(first == last);
            }
            // `bk` of the first, `fd` of the last.
            let back = memory.u64(Addr(first).plus(24)?).ok()?;
            let forth = memory.u64(Addr(last).plus(16)?).ok()?;
            Some(back == own && forth == own)
        };
        if !is_good().unwrap_or(false) {
            odd = odd.saturating_add(1);
            if odd > MAX_ODD_BINS {
                return None;
            }
        }
    }
    // The ring of arenas stands behind them.
    let next = bins.checked_add(BINS * 16 + 16).and_then(|at| memory.u64(Addr(at)).ok());
    let leads_on = next.is_some_and(|next| next != 0 && next.is_multiple_of(8) && memory.u64(Addr(next)).is_ok());
    odd.checked_add(u64::from(!leads_on))
}

/// Whether a word is `next` of a main arena that nobody allocated from: it alone is in the ring, one thread is attached
/// to it, all the bins are zero.
fn is_unused(words: &[Addr], index: usize, at: u64, state: &State) -> bool {
    let word = |index: usize| words.get(index).map(|word| word.0);
    let is_next = word(index) == at.checked_sub(state.next());
    if !is_next || word(index.saturating_add(2)) != Some(1) || word(index.saturating_add(3)) != Some(0) {
        return false;
    }
    let bins = index.saturating_sub(BINS as usize * 2 + 2)..index;
    words.get(bins).is_some_and(|bins| bins.iter().all(|word| word.0 == 0))
}

/// The arenas, the main one first.
#[derive(Debug)]
pub(super) struct Ring {
    pub arenas: Vec<u64>,
    /// Whether it leads back to the main one.
    pub is_closed: bool,
}

/// The arenas that a main arena's bins belong to, as a layout has them.
pub(super) fn ring(memory: &Memory, bins: u64, state: &State) -> Ring {
    let main = bins.wrapping_sub(state.bins);
    let mut arenas = vec![main];
    let mut seen = rustc_hash::FxHashSet::from_iter([main]);
    let mut at = main;
    while arenas.len() < MAX_ARENAS {
        let next = at.checked_add(state.next()).and_then(|next| memory.u64(Addr(next)).ok());
        match next {
            Some(next) if next == main => return Ring { arenas, is_closed: true },
            Some(next) if next.is_multiple_of(8) && memory.u64(Addr(next)).is_ok() && seen.insert(next) => {
                arenas.push(next);
                at = next;
            }
            _ => break,
        }
    }
    Ring { arenas, is_closed: false }
}

/// What the parameters say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    /// Where `struct malloc_par` is.
    pub at: u64,
    /// Mapped blocks.
    pub mmaps: u64,
    /// Their bytes.
    pub mmapped: u64,
    /// Where the main arena's memory begins; 0 where it has none.
    pub sbrk_base: u64,
    /// Page size of huge heaps; 0 where they are not used.
    pub huge_page: u64,
}

/// Looks for the parameters in a module's data. `brk`: where they begin, if the main arena has one stretch of memory.
pub(super) fn parameters(memory: &Memory, module: &Module, layout: &Layout, brk: Option<u64>) -> Option<Parameters> {
    let mut best: Option<(u32, Parameters)> = None;
    for (start, bytes) in data(memory, module) {
        for at in (0..bytes.len()).step_by(8) {
            let Some(bytes) = bytes.get(at..) else { continue };
            let at = start.saturating_add(at as u64);
            if let Some((score, found)) = parameters_at(memory, bytes, at, &layout.par, brk)
                && best.is_none_or(|(best, _)| score > best)
            {
                best = Some((score, found));
            }
        }
    }
    best.map(|(_, found)| found)
}

fn parameters_at(memory: &Memory, bytes: &[u8], at: u64, par: &Par, brk: Option<u64>) -> Option<(u32, Parameters)> {
    // Source: glibc malloc/malloc.c, DEFAULT_TOP_PAD, DEFAULT_MMAP_MAX, NARENAS_FROM_NCORES (1),
    // DEFAULT_MMAP_THRESHOLD.
    const TOP_PAD: u64 = 128 << 10;
    const MMAPS_MAX: u32 = 65536;
    const ARENA_TEST: u64 = 8;
    let word = |offset: u64| {
        let from = usize::try_from(offset).ok()?;
        Some(u64::from_le_bytes(*bytes.get(from..)?.first_chunk::<8>()?))
    };
    let half = |offset: u64| {
        let from = usize::try_from(offset).ok()?;
        Some(u32::from_le_bytes(*bytes.get(from..)?.first_chunk::<4>()?))
    };
    let after = |offset: u64, by: u64| offset.checked_add(by);
    let (mmaps, max) = (half(par.mmaps)?, half(after(par.mmaps, 4)?)?);
    let (highest, fixed) = (half(after(par.mmaps, 8)?)?, half(after(par.mmaps, 12)?)?);
    let (mmapped, most) = (word(par.mmapped)?, word(after(par.mmapped, 8)?)?);
    let sbrk_base = word(par.sbrk_base())?;
    let is_sane = mmaps <= highest
        && i32::try_from(highest).is_ok()
        && i32::try_from(max).is_ok()
        && fixed <= 1
        && mmapped <= most
        // Since 2.43 each resizing by mremap counts 16 bytes too much. Source: malloc/malloc.c, mremap_chunk.
        && mmapped.is_multiple_of(16)
        && (mmaps == 0) == (mmapped == 0)
        && (sbrk_base == 0 || memory.segment_at(Addr(sbrk_base)).is_some());
    if !is_sane {
        return None;
    }
    let mut score = 0u32;
    score = score.saturating_add(if brk == Some(sbrk_base) { 4 } else { 0 });
    score = score.saturating_add(if max == MMAPS_MAX { 2 } else { 0 });
    score = score.saturating_add(u32::from(word(8)? == TOP_PAD));
    score = score.saturating_add(u32::from(word(24)? == ARENA_TEST));
    let huge_page = par.huge_page.and_then(word).unwrap_or(0);
    let parameters = Parameters { at, mmaps: u64::from(mmaps), mmapped, sbrk_base, huge_page };
    (score >= 4).then_some((score, parameters))
}

/// The version that a library states of itself, where its read-only data is at hand; else what its file is called.
// Source: glibc csu/version.c, banner: `GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.`
pub(super) fn version(target: &Target, module: &Module) -> Option<(u32, u32)> {
    let banner = || {
        constants(&target.memory, module).into_iter().find_map(|(_, bytes)| {
            let at = memchr::memmem::find(bytes, b"GNU C Library ")?;
            let text = bytes.get(at..at.saturating_add(256).min(bytes.len()))?;
            let behind = memchr::memmem::find(text, b" release version ")?;
            numbers(text.get(behind.saturating_add(17)..)?)
        })
    };
    banner().or_else(|| numbers(module.file_name()?.strip_prefix("libc-")?.as_bytes()))
}

/// `2.36.` at the start of a text.
fn numbers(text: &[u8]) -> Option<(u32, u32)> {
    let text = text.split(|byte| !byte.is_ascii_digit() && *byte != b'.').next()?;
    let mut parts = std::str::from_utf8(text).ok()?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_the_banner_and_from_a_file_name() {
        assert_eq!(numbers(b"2.36.\nCopyright"), Some((2, 36)));
        assert_eq!(numbers(b"2.31.so"), Some((2, 31)));
        assert_eq!(numbers(b"twelve"), None);
    }
}
