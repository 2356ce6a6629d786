//! Spans, object by object.

use rustc_hash::FxHashSet;

use super::layout::{Location, MAX_OBJECTS};
use super::lists::Lists;
use super::spans::Span;
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
    /// Free objects that their spans know.
    pub free: Free,
    /// Spans whose free objects are not as many as they state.
    pub odd: Odd,
}

/// Tells `visit` the blocks in use of some spans, ascending.
pub(super) fn walk(
    memory: &Memory,
    spans: &[Span],
    lists: &Lists,
    meter: &mut Meter<'_>,
    visit: &mut Visit<'_>,
) -> Result<Walked, Error> {
    let mut walked = Walked::default();
    let mut free = FxHashSet::default();
    for span in spans.iter().filter(|span| span.location == Location::InUse) {
        let size = match span.class {
            0 => span.bytes,
            class => lists.size(class),
        };
        let count = span.bytes.checked_div(size).filter(|count| *count <= MAX_OBJECTS);
        let Some(count) = count else {
            walked.odd.add(span.start);
            continue;
        };
        meter.add(count)?;
        if span.class != 0 && !objects(memory, span, size, count, &mut free) {
            walked.odd.add(span.start);
        }
        for number in 0..count {
            let object = span.start.saturating_add(number.saturating_mul(size));
            if span.class == 0 {
                // One block.
            } else if free.contains(&object) {
                add(&mut walked.free, 1, size);
                continue;
            } else if lists.objects.binary_search_by_key(&object, |(listed, _)| *listed).is_ok() {
                continue;
            }
            add(&mut walked.used, 1, size);
            visit(Block { address: Addr(object), bytes: size })?;
        }
    }
    Ok(walked)
}

/// Reads a span's free objects; tells whether they are as many as it states.
fn objects(memory: &Memory, span: &Span, size: u64, count: u64, free: &mut FxHashSet<u64>) -> bool {
    free.clear();
    let mut window = Window::new(memory);
    let mut object = span.objects;
    while object != 0 {
        let offset = object.wrapping_sub(span.start);
        let is_one = offset < count.saturating_mul(size) && offset.checked_rem(size) == Some(0);
        let Some(next) = window.u64(object).filter(|_| is_one && free.insert(object)) else { return false };
        object = next;
    }
    count.checked_sub(free.len() as u64) == Some(span.taken)
}

/// Spans and objects of lists that are held against each other.
const HELD: usize = 1 << 12;

/// Why what is read cannot be right: too many spans state another number of free objects, or too many lists hold what is no object.
pub(super) fn disagreement(memory: &Memory, spans: &[Span], lists: &Lists, job: &Job) -> Result<Option<String>, Error> {
    let (mut held, mut odd) = (0usize, 0usize);
    let mut free = FxHashSet::default();
    for span in spans.iter().filter(|span| span.location == Location::InUse && span.class != 0).take(HELD) {
        job.check()?;
        held = held.saturating_add(1);
        let size = lists.size(span.class);
        let count = span.bytes.checked_div(size).filter(|count| *count <= MAX_OBJECTS);
        let agrees = count.is_some_and(|count| objects(memory, span, size, count, &mut free));
        odd = odd.saturating_add(usize::from(!agrees));
    }
    if odd > held / 16 {
        return Ok(Some(format!("{odd} of {held} spans count other than their lists: this version is not known")));
    }
    let (mut held, mut odd) = (0usize, 0usize);
    for (object, class) in lists.objects.iter().take(HELD) {
        held = held.saturating_add(1);
        let before = spans.partition_point(|span| span.start <= *object).checked_sub(1);
        let is_one = before.and_then(|before| spans.get(before)).is_some_and(|span| {
            let offset = object.wrapping_sub(span.start);
            let is_whole = offset.checked_rem(lists.size(*class)) == Some(0);
            span.class == *class && span.location == Location::InUse && offset < span.bytes && is_whole
        });
        odd = odd.saturating_add(usize::from(!is_one));
    }
    let why = format!("{odd} of {held} objects in free lists are none: this version is not known");
    Ok((odd > held / 16).then_some(why))
}
