//! mimalloc 2.0: segments of 32 MiB, pages of equal blocks in them.
//!
//! Input: the target's memory; no symbols. Output: blocks in use: those that no free list of a page or a heap holds. What each page states is
//! held against its lists, what heaps count against the pages. A version whose books are other is named and not walked. Where in a
//! block an aligned address was given out is recorded nowhere: such a block has the address of its start. Layouts: docs/layouts/mimalloc.md.

mod layout;
mod segments;
mod walk;

use std::ops::Range;
use std::sync::Arc;

use self::layout::HEAP_BYTES;
use self::segments::Segments;
use self::walk::{Heaps, Walked};
use super::allocator::{Allocator, Visit, What};
use super::parts::{Odd, Parts};
use super::reading::{self, Message, add, range};
use super::unwalked;
use crate::error::Error;
use crate::heap::{Arena, Free};
use crate::job::{Job, Meter};
use crate::model::{Addr, Problem, Subject};
use crate::target::{Module, Target};

const NAME: &str = "mimalloc";
/// What it begins its messages with. Source: mimalloc 2.0.9 src/options.c.
const MESSAGE: Message = Message(b'm', "imalloc: ");

/// The allocator of one module.
struct Mimalloc {
    target: Arc<Target>,
    module: usize,
    segments: Segments,
    heaps: Heaps,
    /// Of the segments' pages.
    parts: Parts<Walked>,
}

/// Looks for it in libraries of its name, and in modules that hold its message.
pub(super) fn find(target: &Arc<Target>, job: &Job) -> Result<Vec<Box<dyn Allocator>>, Error> {
    unwalked::or_walked(target, (NAME, MESSAGE), |module| of_module(target, module, job))
}

/// The allocator of a module, or why it cannot be walked.
fn of_module(target: &Arc<Target>, module: &Module, job: &Job) -> Result<Result<Mimalloc, String>, Error> {
    let segments = segments::find(target, module, job)?;
    if segments.pages.is_empty() || segments.odd.count > segments.pages.len() / 16 {
        return Ok(Err(unwalked::why(target, module)));
    }
    if let Some(why) = walk::disagreement(&target.memory, &segments.pages, job)? {
        return Ok(Err(why));
    }
    let heaps = walk::heaps(&target.memory, &segments.pages, job)?;
    let parts = Parts::of(segments.pages.len());
    Ok(Ok(Mimalloc { target: Arc::clone(target), module: module.index, segments, heaps, parts }))
}

impl Mimalloc {
    fn walk(&self, part: Range<usize>, meter: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<Walked, Error> {
        let pages = self.segments.pages.get(part).unwrap_or_default();
        walk::walk(&self.target.memory, pages, &self.heaps.delayed, meter, visit)
    }
}

impl Allocator for Mimalloc {
    fn name(&self) -> &'static str {
        NAME
    }

    fn module(&self) -> Option<usize> {
        Some(self.module)
    }

    fn parts(&self) -> usize {
        self.parts.count()
    }

    fn blocks(&self, part: usize, meter: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<(), Error> {
        self.parts.walk(part, meter, |part, meter| self.walk(part, meter, visit))
    }

    fn memory(&self) -> Vec<Range<Addr>> {
        let segments = self.segments.segments.iter().map(|segment| range(segment.start, segment.bytes));
        segments.chain(self.heaps.heaps.iter().map(|heap| range(*heap, HEAP_BYTES))).collect()
    }

    fn arenas(&self, job: &Job) -> Result<Vec<Arena>, Error> {
        let (mut used, mut delayed, mut lists) = (Free::default(), Free::default(), [Free::default(); 3]);
        for walked in self.parts.all(job, |part, meter| self.walk(part, meter, &mut |_| Ok(())))? {
            add(&mut used, walked.used.count, walked.used.bytes);
            add(&mut delayed, walked.delayed.count, walked.delayed.bytes);
            for (sum, more) in lists.iter_mut().zip(walked.lists) {
                add(sum, more.count, more.bytes);
            }
        }
        let system = self.segments.segments.iter().map(|segment| segment.bytes).fold(0, u64::saturating_add);
        let [own, local, thread] = lists;
        let (count, bytes) = self.segments.free_slices;
        let free = vec![
            ("free", own),
            ("local free", local),
            ("thread free", thread),
            ("delayed free", delayed),
            ("slices", Free { count, bytes }),
        ];
        let told = free.iter().map(|(_, free)| free.bytes).fold(used.bytes, u64::saturating_add);
        let overhead = system.saturating_sub(told);
        Ok(vec![Arena { name: "segments".to_owned(), address: None, system, used, free, overhead }])
    }

    fn problems(&self, _what: &What<'_>) -> Vec<Problem> {
        let pages = self.segments.odd.told("heap-damaged", |odd, _| {
            format!("what mimalloc says of {odd} pages cannot be right: their blocks are left out")
        });
        let heaps = self.heaps.broken.told("heap-list-damaged", |_, _| {
            "a heap's list of what other threads freed breaks off: what it held counts as in use".to_owned()
        });
        let lost = self.heaps.lost.told("heap-overcounted", |lost, _| {
            format!("{lost} of mimalloc's heaps are not in the dump: what other threads freed of them counts as in use")
        });
        let places = self.segments.lost.told("heap-incomplete", |places, first| {
            format!(
                "at {places} addresses, the first {first}, a segment of mimalloc may begin, and the dump does not hold them: totals \
                 may be too low"
            )
        });
        let cut = self.segments.cut.map(|at| reading::cut("segments of mimalloc", at));
        let incomplete = self.heaps.miscounted.zip(self.heaps.heaps.first()).map(|((counted, found), heap)| {
            let message = format!("mimalloc's heaps count {counted} pages, {found} were found");
            Problem::new("heap-incomplete", Subject::Memory(Addr(*heap)), message)
        });
        let mut aligned = Odd::default();
        let pages_of = self.segments.pages.iter().filter(|page| page.has_aligned && page.used > 0);
        pages_of.for_each(|page| aligned.add(page.start));
        let inexact = aligned.told("heap-inexact", |pages, _| {
            format!(
                "in {pages} pages of mimalloc are blocks that were asked for with an alignment: where in a block they begin is not \
                 recorded, and it is listed with the address of its start"
            )
        });
        let odd = self.parts.known().fold(Odd::default(), |odd, walked| odd.and(walked.odd));
        let lists = odd.told("heap-damaged", |odd, first| {
            let more = odd.saturating_sub(1);
            format!(
                "the free lists of the page that {first} tells of do not hold what it states ({more} more pages are so)"
            )
        });
        [pages, heaps, lost, places, cut, incomplete, inexact, lists].into_iter().flatten().collect()
    }
}
