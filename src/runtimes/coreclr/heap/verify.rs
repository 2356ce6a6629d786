//! Whether the heap's objects are such: what `verifyheap` checks of .NET.
//!
//! Input: segments. Output: problems. Of every object its class must be one whose own description leads back to it, its size within its segment, and
//! every reference in it null or the start of an object. Two passes: the first marks where objects start, the second looks up what they refer to.
//! Left out: handles, cards, the table of `SyncBlocks`. Model: dotnet/diagnostics src/SOS/Strike, verifyheap.

use std::ops::Range;

use rayon::prelude::*;
use rustc_hash::FxHashSet;

use super::recent::Classes;
use super::segment::Segment;
use super::segments::Segments;
use super::walked::Walked;
use super::words::Words;
use crate::error::Error;
use crate::job::{Job, Meter};
use crate::model::{Addr, Gap, Problem, Subject};
use crate::runtimes::coreclr::types::Types;

/// Bytes between two places where objects may start.
const STEP: u64 = 8;
/// References of one segment that lead to no object, and problems that are told.
const MAX_DOUBTFUL: usize = 1 << 16;
const MAX_TOLD: usize = 100;

/// A reference that leads to no object.
struct Doubtful {
    from: Addr,
    slot: Addr,
    to: Addr,
}

/// Where the objects of a segment start.
struct Starts {
    start: Addr,
    bits: Vec<u64>,
    /// What could not be walked, ascending.
    left_out: Vec<Range<Addr>>,
}

/// What is found in one segment.
#[derive(Default)]
struct Found {
    doubtful: Vec<Doubtful>,
    /// Whether there are more.
    is_cut: bool,
    /// Objects of which not all references are in the dump.
    unread: u64,
    classes: Vec<(Addr, Gap)>,
}

/// What is wrong with the objects. `broken`: where walks of segments have ended early.
pub(super) fn verify(
    types: Types<'_>,
    segments: &Segments,
    broken: &[(Addr, Gap)],
    job: &Job,
) -> Result<Vec<Problem>, Error> {
    let mut problems = Vec::new();
    // A zero may be that of an object which was about to be made; what is not in the dump is not damaged.
    for (at, gap) in broken {
        let is_there = types.table_of(*at).is_ok_and(|table| table.0 != 0);
        if is_there && matches!(gap, Gap::Corrupt(_)) {
            problems.push(damaged(*at, format!("no object is at {at}, where one must be: {gap}")));
        }
    }
    if segments.is_moving != Ok(false) {
        let message = "what objects refer to was not checked: the collector may have been moving them";
        problems.push(Problem::new("heap-incomplete", Subject::Capture, message));
        return Ok(problems);
    }
    job.phase("marking objects", 0);
    // A class of fillers that cannot be read leaves them among objects.
    let filler = types.clr.global("FreeObjectMethodTable").unwrap_or(Addr(0));
    let starts = segments.all.par_iter().map(|segment| mark(types, segments, segment, filler, &mut job.meter()));
    let starts: Vec<Starts> = starts.collect::<Result<_, Error>>()?;
    job.phase("checking references", 0);
    let check = |segment| check(types, segments, segment, &starts, filler, &mut job.meter());
    let found: Vec<Found> = segments.all.par_iter().map(check).collect::<Result<_, Error>>()?;
    tell(types, segments, filler, &found, job, &mut problems)?;
    Ok(problems)
}

fn damaged(at: Addr, message: String) -> Problem {
    Problem::new("heap-damaged", Subject::Memory(at), message)
}

fn mark(
    types: Types<'_>,
    segments: &Segments,
    segment: &Segment,
    filler: Addr,
    meter: &mut Meter<'_>,
) -> Result<Starts, Error> {
    /// What a segment says of its size is believed up to so many times what the dump holds of it.
    const SPARSE: u64 = 16;
    let bytes = segment.end.since(segment.start).unwrap_or(0);
    let held = types.clr.memory().bytes_within(segment.start, segment.end).saturating_mul(SPARSE);
    let marked = Addr(segment.start.0.saturating_add(bytes.min(held)));
    let words = usize::try_from((bytes.min(held) / STEP).div_ceil(64)).unwrap_or(usize::MAX);
    let mut starts = Starts { start: segment.start, bits: vec![0; words], left_out: Vec::new() };
    let broken = segments.walk_past(types, segment, meter, &mut |object| {
        if object.table != filler {
            starts.add(object.at);
        }
        Ok(())
    })?;
    let broken = broken.iter().map(|broken| broken.start.min(marked)..broken.end.min(marked));
    starts.left_out = broken.filter(|range| !range.is_empty()).chain([marked..segment.end]).collect();
    Ok(starts)
}

impl Starts {
    fn place(&self, at: Addr) -> Option<(usize, u64)> {
        let step = at.since(self.start).filter(|offset| offset.is_multiple_of(STEP))? / STEP;
        Some((usize::try_from(step / 64).ok()?, 1 << (step % 64)))
    }

    fn add(&mut self, at: Addr) {
        if let Some((word, bit)) = self.place(at)
            && let Some(word) = self.bits.get_mut(word)
        {
            *word |= bit;
        }
    }

    /// Whether an object starts at an address; in what was left out one may.
    fn may_have(&self, at: Addr) -> bool {
        let is_marked = |(word, bit): (usize, u64)| self.bits.get(word).is_some_and(|word| word & bit != 0);
        let after = self.left_out.partition_point(|range| range.start <= at);
        let is_left_out =
            || after.checked_sub(1).and_then(|index| self.left_out.get(index)).is_some_and(|range| range.contains(&at));
        self.place(at).is_some_and(|place| is_marked(place) || is_left_out())
    }
}

fn check(
    types: Types<'_>,
    segments: &Segments,
    segment: &Segment,
    all: &[Starts],
    filler: Addr,
    meter: &mut Meter<'_>,
) -> Result<Found, Error> {
    let mut words = Words::of(types.clr.memory());
    let mut found = Found::default();
    let mut patterns = Classes::new();
    let mut near = Near { all, last: 0 };
    segments.walk(types, segment, meter, &mut |object: Walked| {
        if object.table == filler {
            return Ok(());
        }
        let pattern = patterns.of(object.table, || {
            types.pattern(object.table).unwrap_or_else(|gap| {
                found.classes.push((object.at, gap));
                None
            })
        });
        let Some(Some(pattern)) = pattern else { return Ok(()) };
        let is_whole = pattern.each_of(&mut words, object, &mut |slot, to| {
            if near.may_have(to) {
                return;
            }
            match found.doubtful.len() < MAX_DOUBTFUL {
                true => found.doubtful.push(Doubtful { from: object.at, slot, to }),
                false => found.is_cut = true,
            }
        });
        if !is_whole {
            found.unread = found.unread.saturating_add(1);
        }
        Ok(())
    })?;
    Ok(found)
}

/// Looks where objects start; most lie in the segment in which the one before did.
struct Near<'a> {
    all: &'a [Starts],
    last: usize,
}

impl Near<'_> {
    #[inline]
    fn may_have(&mut self, at: Addr) -> bool {
        let begins = |index: usize| self.all.get(index).map(|starts| starts.start);
        let is_there = begins(self.last).is_some_and(|start| start <= at)
            && begins(self.last.saturating_add(1)).is_none_or(|next| at < next);
        if !is_there {
            match self.all.partition_point(|starts| starts.start <= at).checked_sub(1) {
                Some(index) => self.last = index,
                None => return false,
            }
        }
        self.all.get(self.last).is_some_and(|starts| starts.may_have(at))
    }
}

/// Says what is wrong: of references what is where they lead.
fn tell(
    types: Types<'_>,
    segments: &Segments,
    filler: Addr,
    found: &[Found],
    job: &Job,
    problems: &mut Vec<Problem>,
) -> Result<(), Error> {
    let mut classes = FxHashSet::default();
    for (at, gap) in found.iter().flat_map(|found| &found.classes) {
        if classes.insert(gap.to_string()) {
            problems.push(match gap {
                Gap::Corrupt(_) => damaged(*at, format!("the object at {at} has a class that is none: {gap}")),
                gap => {
                    let message = format!("objects like the one at {at} could not be checked: {gap}");
                    Problem::new("heap-incomplete", Subject::Memory(*at), message)
                }
            });
        }
    }
    let unread = found.iter().map(|found| found.unread).fold(0, u64::saturating_add);
    if unread > 0 {
        let message = format!("what {unread} objects refer to could not all be checked: it is not in the dump");
        problems.push(Problem::new("heap-incomplete", Subject::Capture, message));
    }
    let doubtful: Vec<&Doubtful> = found.iter().flat_map(|found| &found.doubtful).collect();
    let free = fillers(types, segments, filler, &doubtful, job)?;
    let (stale, wrong): (Vec<&Doubtful>, Vec<&Doubtful>) =
        doubtful.into_iter().partition(|reference| free.contains(&reference.to));
    if let Some(first) = stale.first() {
        // A collection in the background frees what only objects refer to that nothing refers to, and leaves those.
        let message = format!(
            "{} references lead to memory that is free, as the one at {}: objects that nothing refers to may have such",
            stale.len(),
            first.slot
        );
        problems.push(Problem::new("heap-unsure", Subject::Memory(first.from), message));
    }
    for Doubtful { from, slot, to } in wrong.iter().take(MAX_TOLD) {
        let lacks = if segments.holding(*to).is_some() { "where no object starts" } else { "which is not in the heap" };
        let is_sure = segments.holding(*to).is_some() || segments.unread.is_empty();
        let message = format!("the object at {from} refers to {to}, {lacks}, at {slot}");
        problems.push(match is_sure {
            true => damaged(*slot, message),
            false => Problem::new(
                "heap-unsure",
                Subject::Memory(*slot),
                format!("{message}; a part of the heap was not read"),
            ),
        });
    }
    let more = wrong.len().saturating_sub(MAX_TOLD);
    if more > 0 {
        let message = format!("{more} more references lead to no object");
        problems.push(Problem::new("heap-damaged", Subject::Capture, message));
    }
    if found.iter().any(|found| found.is_cut) {
        let message = "there are more references to where no object starts than were looked at: whether they lead to \
                       free memory is not known";
        problems.push(Problem::new("heap-unsure", Subject::Capture, message));
    }
    Ok(())
}

/// Those of the places that lie in what fills gaps.
fn fillers(
    types: Types<'_>,
    segments: &Segments,
    filler: Addr,
    doubtful: &[&Doubtful],
    job: &Job,
) -> Result<FxHashSet<Addr>, Error> {
    let mut places: Vec<Addr> = doubtful.iter().map(|reference| reference.to).collect();
    places.sort_unstable();
    places.dedup();
    let of_segment = |segment: &Segment| {
        let first = places.partition_point(|place| *place < segment.start);
        let mut wanted = places.iter().skip(first).take_while(|place| **place < segment.end).peekable();
        let mut free = Vec::new();
        if wanted.peek().is_none() {
            return Ok(free);
        }
        segments.walk(types, segment, &mut job.meter(), &mut |object| {
            let end = object.at.plus(object.bytes.next_multiple_of(STEP)).unwrap_or(object.at);
            while let Some(place) = wanted.next_if(|place| **place < end) {
                if object.table == filler && *place >= object.at {
                    free.push(*place);
                }
            }
            Ok(())
        })?;
        Ok(free)
    };
    let free: Vec<Vec<Addr>> = segments.all.par_iter().map(of_segment).collect::<Result<_, Error>>()?;
    Ok(free.into_iter().flatten().collect())
}
