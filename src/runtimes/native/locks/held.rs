//! A bounded search of writable memory for locks that a live thread holds and nobody waits for.
//!
//! Input: writable memory that the dump holds. Each aligned word whose low half is a live thread's id is offered to the
//! probes as an owner field; they judge the whole structure. Module data and live stacks come first, then everything else,
//! until [`MAX_BYTES`] were read; what was left out is said.

use rayon::prelude::*;

use crate::capture::Origin;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, OsThread, Problem, Subject};

use super::{Found, Held, PROBES, Sighting};
use crate::runtimes::native::ground::Ground;

/// Memory that is searched: read within some 20 ms from the page cache, and more than most programs keep locks in.
const MAX_BYTES: u64 = 64 << 20;
/// Bytes of one piece of work.
const CHUNK: u64 = 1 << 20;
/// What follows an owner field is a small count or flag; anything larger is no lock.
const MAX_NEIGHBOUR: u64 = 1 << 20;
/// Words offered to the probes; a process whose memory is full of one thread's id has this many at most looked at.
const MAX_HITS: usize = 1 << 16;

/// A run of memory to search.
type Run = (Addr, u64);

/// Adds the held locks that the search finds and that are not known yet.
pub(super) fn search(
    ground: &Ground<'_>,
    job: &Job,
    found: &mut Found,
    problems: &mut Vec<Problem>,
) -> Result<(), Error> {
    let Some(ids) = ground.tids.range().filter(|_| ground.libc.may_be_glibc()) else { return Ok(()) };
    let (runs, left_out) = runs(ground);
    job.phase("searching memory for held locks", runs.len() as u64);
    let sightings = runs
        .par_iter()
        .map(|run| {
            job.advance(1)?;
            Ok(search_run(ground, *run, ids))
        })
        .collect::<Result<Vec<Vec<Sighting>>, Error>>()?;
    for seen in sightings.into_iter().flatten() {
        found.add(seen, None);
    }
    if left_out > 0 {
        let message = format!(
            "{} MiB of writable memory were searched for held locks that nobody waits for; {} MiB were not",
            MAX_BYTES >> 20,
            left_out >> 20
        );
        problems.push(Problem::new("lock-search-limit", Subject::Capture, message));
    }
    Ok(())
}

/// What to search, in pieces, and how many bytes did not fit.
fn runs(ground: &Ground<'_>) -> (Vec<Run>, u64) {
    let memory = ground.memory();
    let mut dead = dead_stack_parts(ground);
    dead.sort_unstable();
    let mut first = Vec::new();
    let mut rest = Vec::new();
    for segment in memory.segments().iter().filter(|segment| segment.origin == Origin::Dump) {
        if !memory.region_at(segment.start).is_some_and(|region| region.access.write) {
            continue;
        }
        let in_module = ground.scene.target.module_at(segment.start).is_some();
        let is_stack = dead.iter().any(|(start, _)| *start == segment.start);
        let runs = if in_module || is_stack { &mut first } else { &mut rest };
        let skipped = dead.iter().find(|(start, _)| *start == segment.start).map_or(0, |(_, len)| *len);
        let mut at = skipped;
        let len = segment.bytes.len() as u64;
        while at < len {
            let size = CHUNK.min(len.saturating_sub(at));
            runs.extend(segment.start.plus(at).map(|start| (start, size)));
            at = at.saturating_add(size);
        }
    }
    let mut left = MAX_BYTES;
    let mut left_out: u64 = 0;
    first.extend(rest);
    first.retain(|(_, size)| {
        let fits = *size <= left;
        if fits {
            left = left.saturating_sub(*size);
        } else {
            left_out = left_out.saturating_add(*size);
        }
        fits
    });
    (first, left_out)
}

/// The parts of segments that lie below a stack pointer in them: (segment's start, bytes). Stale copies of locks are there.
fn dead_stack_parts(ground: &Ground<'_>) -> Vec<(Addr, u64)> {
    let sp = |thread: &OsThread| thread.registers.as_ref().ok().and_then(|registers| registers.sp());
    ground
        .scene
        .threads
        .iter()
        .filter_map(|thread| {
            let sp = Addr(sp(thread)?.0 & !7);
            let segment = ground.memory().segment_at(sp)?;
            Some((segment.start, sp.since(segment.start)?))
        })
        .collect()
}

fn search_run(ground: &Ground<'_>, (start, len): Run, (lowest, highest): (u32, u32)) -> Vec<Sighting> {
    let Ok(bytes) = ground.memory().slice(start, len) else { return Vec::new() };
    let (lowest, highest) = (u64::from(lowest), u64::from(highest));
    let mut seen = Vec::new();
    let mut hits = 0;
    for (index, word) in (0u64..).zip(bytes.chunks_exact(8)) {
        let Ok(word) = word.try_into().map(u64::from_le_bytes) else { continue };
        let id = word & 0xffff_ffff;
        if !(lowest..=highest).contains(&id) || word >> 32 > MAX_NEIGHBOUR {
            continue;
        }
        hits += 1;
        if hits > MAX_HITS {
            break;
        }
        let known = u32::try_from(id).is_ok_and(|id| ground.tids.thread(id).is_some());
        let Some(at) = index.checked_mul(8).and_then(|offset| start.plus(offset)).filter(|_| known) else { continue };
        seen.extend(PROBES.iter().find_map(|probe| match probe.held {
            Held::ByWord(judge) | Held::Both(judge, _) => judge(ground, at),
            Held::ByThread(_) | Held::Unrecorded => None,
        }));
    }
    ground.memory().forget_pages(start, len);
    seen
}
