//! Locks that a live thread holds and nobody waits for: those on the threads' lists of robust mutexes (musl lists all that
//! record an owner), then a search of writable memory, where glibc's mutexes and reader-writer locks lie unlisted.
//!
//! Input: writable memory that the dump holds. Each aligned word whose low half is a live thread's id is offered to the probes
//! as an owner field; they judge the whole structure. Modules' data, live stacks and what lies beside them come first, then
//! all other mappings, the small ones before the large, until [`MAX_BYTES`] were read or [`MAX_TIME`] is over; what was left
//! out is said. Pages are given back as soon as they were looked at.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::capture::Origin;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Problem, Subject};

use super::found::Found;
use super::observation::Observation;
use super::probes::{Held, PROBES};
use crate::runtimes::native::observations::Observations;

/// Memory that is searched: 1 GiB, read within a quarter of a second from the page cache, within seconds from a disk.
const MAX_BYTES: u64 = 1 << 30;
/// Longest search, for cores on slow disks.
const MAX_TIME: Duration = Duration::from_secs(10);
/// Bytes of one piece of work.
const CHUNK: u64 = 1 << 20;
/// Words that are tested together.
const BLOCK: usize = 8;
/// What follows an owner field is a small count or flag; anything larger is no lock.
const MAX_NEIGHBOUR: u64 = 1 << 20;
/// Words of one piece offered to the probes; memory that is full of one thread's id has this many at most looked at.
const MAX_HITS: usize = 1 << 14;

/// A run of memory to search.
type Run = (Addr, u64);

/// Adds the held locks that are not known yet.
pub(super) fn add(
    observations: &Observations<'_>,
    job: &Job,
    found: &mut Found,
    problems: &mut Vec<Problem>,
) -> Result<(), Error> {
    for probe in PROBES {
        if let Held::ByThread(list) | Held::Both(_, list) = probe.held {
            observations
                .scene
                .threads
                .iter()
                .flat_map(|thread| list(observations, thread))
                .for_each(|seen| found.add(seen, None));
        }
    }
    search(observations, job, found, problems)
}

fn search(
    observations: &Observations<'_>,
    job: &Job,
    found: &mut Found,
    problems: &mut Vec<Problem>,
) -> Result<(), Error> {
    let Some(ids) = observations.tids.range().filter(|_| observations.libc.may_be_glibc()) else { return Ok(()) };
    let (runs, unread) = within(runs(observations), MAX_BYTES);
    job.phase("searching memory for held locks", runs.len() as u64);
    let end = Instant::now().checked_add(MAX_TIME);
    let left_out = AtomicU64::new(unread);
    let observations = runs
        .par_iter()
        .map_init(
            || job.meter(),
            |meter, run| {
                meter.add(1)?;
                if end.is_some_and(|end| Instant::now() > end) {
                    left_out.fetch_add(run.1, Ordering::Relaxed);
                    return Ok(Vec::new());
                }
                let (seen, unread) = search_run(observations, *run, ids);
                left_out.fetch_add(unread, Ordering::Relaxed);
                Ok(seen)
            },
        )
        .collect::<Result<Vec<Vec<Observation>>, Error>>()?;
    for seen in observations.into_iter().flatten() {
        found.add(seen, None);
    }
    let left_out = left_out.into_inner();
    if left_out > 0 {
        let whole: u64 = runs.iter().map(|(_, len)| *len).fold(unread, u64::saturating_add);
        let message = format!(
            "{} of {} MiB of writable memory were searched for held locks that nobody waits for",
            mebibytes(whole.saturating_sub(left_out)),
            mebibytes(whole)
        );
        problems.push(Problem::new("lock-search-limit", Subject::Capture, message));
    }
    Ok(())
}

fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// All that may be searched, in pieces, the likeliest first.
fn runs(observations: &Observations<'_>) -> Vec<Run> {
    let memory = observations.memory();
    let dead = dead_stack_parts(observations);
    let mut first = Vec::new();
    let mut rest = Vec::new();
    for segment in memory.segments().iter().filter(|segment| segment.origin == Origin::Dump) {
        if !memory.region_at(segment.start).is_some_and(|region| region.access.write) {
            continue;
        }
        let in_module = observations.scene.target.module_at(segment.start).is_some();
        let skipped = dead.get(&segment.start).copied();
        let len = segment.bytes.len() as u64;
        let from = skipped.unwrap_or(0).min(len);
        let Some(start) = segment.start.plus(from) else { continue };
        let run = (start, len.saturating_sub(from));
        if in_module || skipped.is_some() { first.push(run) } else { rest.push(run) }
    }
    first.sort_by_key(|(start, len)| (*len, *start));
    rest.sort_by_key(|(start, len)| (*len, *start));
    first.into_iter().chain(rest).flat_map(|(start, len)| pieces(start, len)).collect()
}

fn pieces(start: Addr, len: u64) -> impl Iterator<Item = Run> {
    let count = len.div_ceil(CHUNK);
    (0..count).filter_map(move |index| {
        let at = index.checked_mul(CHUNK)?;
        Some((start.plus(at)?, CHUNK.min(len.saturating_sub(at))))
    })
}

/// The first pieces, of `limit` bytes together, and how many bytes the others have.
fn within(runs: Vec<Run>, limit: u64) -> (Vec<Run>, u64) {
    let mut left = limit;
    let mut left_out: u64 = 0;
    let mut kept = runs;
    kept.retain(|(_, size)| {
        let fits = *size <= left && left_out == 0;
        if fits {
            left = left.saturating_sub(*size);
        } else {
            left_out = left_out.saturating_add(*size);
        }
        fits
    });
    (kept, left_out)
}

/// How many bytes of segments, by their start, lie below the lowest stack pointer in them. Stale copies of locks are there.
fn dead_stack_parts(observations: &Observations<'_>) -> FxHashMap<Addr, u64> {
    let mut dead: FxHashMap<Addr, u64> = FxHashMap::default();
    for thread in observations.scene.threads {
        let sp = thread.registers.as_ref().ok().and_then(|registers| registers.sp()).map(|sp| Addr(sp.0 & !7));
        let Some((sp, segment)) = sp.and_then(|sp| Some((sp, observations.memory().segment_at(sp)?))) else { continue };
        let below = sp.since(segment.start).unwrap_or(0);
        dead.entry(segment.start).and_modify(|known| *known = below.min(*known)).or_insert(below);
    }
    dead
}

/// The locks in a run, and how many of its bytes were not looked at.
fn search_run(
    observations: &Observations<'_>,
    (start, len): Run,
    (lowest, highest): (u32, u32),
) -> (Vec<Observation>, u64) {
    let Ok(bytes) = observations.memory().searched(start, len) else { return (Vec::new(), len) };
    observations.memory().expect_pages(start, len);
    let (lowest, span) = (u64::from(lowest), u64::from(highest.saturating_sub(lowest)));
    // Without branches, so that a block is tested by a few vector instructions.
    let may_be = |word: u64| (word & 0xffff_ffff).wrapping_sub(lowest) <= span && word >> 32 <= MAX_NEIGHBOUR;
    let mut seen = Vec::new();
    let mut hits = 0;
    let mut unread = 0;
    for (index, block) in bytes.chunks(8 * BLOCK).enumerate() {
        if !words(block).fold(false, |any, word| any | may_be(word)) {
            continue;
        }
        let at = index.saturating_mul(8 * BLOCK);
        if hits >= MAX_HITS {
            unread = len.saturating_sub(at as u64);
            break;
        }
        for (number, word) in words(block).enumerate().filter(|(_, word)| may_be(*word)) {
            hits += 1;
            let known = u32::try_from(word & 0xffff_ffff).is_ok_and(|id| observations.tids.thread(id).is_some());
            let offset = at.saturating_add(number.saturating_mul(8)) as u64;
            let Some(at) = start.plus(offset).filter(|_| known) else { continue };
            seen.extend(PROBES.iter().find_map(|probe| match probe.held {
                Held::ByWord(judge) | Held::Both(judge, _) => judge(observations, at),
                Held::ByThread(_) | Held::Unrecorded => None,
            }));
        }
    }
    observations.memory().forget_pages(start, len);
    (seen, unread)
}

/// The block's words, of a process with pointers of 64 bits: the layouts of mutexes that are known here are those of no other. Not by
/// [`Memory::pointers`]: gigabytes are looked at, many words at once.
fn words(block: &[u8]) -> impl Iterator<Item = u64> {
    block.chunks_exact(8).filter_map(|word| word.try_into().ok().map(u64::from_le_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_mapping_is_searched_in_pieces_to_its_last_byte() {
        let found: Vec<Run> = pieces(Addr(0x1000), 2 * MIB + 8).collect();
        let (second, third) = (Addr(0x1000 + MIB), Addr(0x1000 + 2 * MIB));
        assert_eq!(found, [(Addr(0x1000), MIB), (second, MIB), (third, 8)]);
        assert_eq!(pieces(Addr(0x1000), 0).count(), 0);
    }

    #[test]
    fn what_does_not_fit_is_counted_and_nothing_behind_it_is_read() {
        let runs = vec![(Addr(0), 3), (Addr(10), 5), (Addr(20), 4), (Addr(30), 1)];
        assert_eq!(within(runs.clone(), 9), (vec![(Addr(0), 3), (Addr(10), 5)], 5));
        assert_eq!(within(runs.clone(), 13), (runs, 0));
    }
}
