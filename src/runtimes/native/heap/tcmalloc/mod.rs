//! tcmalloc of gperftools: spans of pages, which are one block each or full of equal objects.
//!
//! Input: the target's memory; no symbols. Output: blocks and objects in use: those that no free list of a span, a thread's cache or a
//! transfer between them holds. What is read is held against what the library counts: pages, objects of each span, lengths and sizes
//! of lists. A version whose books are other is named and not walked. Layouts: docs/layouts/tcmalloc.md.

mod layout;
mod lists;
mod spans;
mod walk;

use std::ops::Range;
use std::sync::Arc;

use self::layout::{CACHE_PREVIOUS, Location};
use self::lists::Lists;
use self::spans::{Counted, Map};
use self::walk::Walked;
use super::allocator::{Allocator, Visit, What};
use super::parts::{Odd, Parts};
use super::reading::{Message, add, range};
use super::unwalked;
use crate::error::Error;
use crate::heap::{Arena, Free};
use crate::job::{Job, Meter};
use crate::model::{Addr, Problem};
use crate::target::{Module, Target};

const NAME: &str = "tcmalloc";
/// A message that every version has. Source: gperftools 2.10 src/tcmalloc.cc, ReportLargeAlloc.
const MESSAGE: Message = Message(b't', "cmalloc: large alloc ");

/// The allocator of one module.
struct Tcmalloc {
    target: Arc<Target>,
    module: usize,
    map: Map,
    counted: Counted,
    lists: Lists,
    /// Of the map's spans.
    parts: Parts<Walked>,
}

/// Looks for it in libraries of its name, and in modules that hold its message.
pub(super) fn find(target: &Arc<Target>, job: &Job) -> Result<Vec<Box<dyn Allocator>>, Error> {
    unwalked::or_walked(target, (NAME, MESSAGE), |module| of_module(target, module, job))
}

/// The allocator of a module, or why it cannot be walked.
fn of_module(target: &Arc<Target>, module: &Module, job: &Job) -> Result<Result<Tcmalloc, String>, Error> {
    if module.file_name().is_some_and(|file| file.contains("_debug")) {
        return Ok(Err("the debugging library keeps books of its own in each block".to_owned()));
    }
    let Some(map) = spans::find(target, module, job)? else { return Ok(Err(unwalked::why(target, module))) };
    let sums = map.sums();
    let Some(counted) = map.counted else {
        return Ok(Err("what it counts of its pages is not in the dump".to_owned()));
    };
    if sums != counted && (map.unread.count == 0 || sums.system > counted.system) {
        let why = format!(
            "its pages sum up to {} bytes, and where 2.10 counts them stands {}: this version is not known",
            sums.system, counted.system
        );
        return Ok(Err(why));
    }
    let Some(lists) = lists::read(target, module, job)? else {
        return Ok(Err("no thread's cache is recognised: this version is not known".to_owned()));
    };
    if !lists.has_central {
        return Ok(Err("the central free lists are not recognised: this version is not known".to_owned()));
    }
    if let Some(why) = walk::disagreement(&target.memory, &map.spans, &lists, job)? {
        return Ok(Err(why));
    }
    let parts = Parts::of(map.spans.len());
    Ok(Ok(Tcmalloc { target: Arc::clone(target), module: module.index, map, counted, lists, parts }))
}

impl Tcmalloc {
    fn walk(&self, part: Range<usize>, meter: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<Walked, Error> {
        let spans = self.map.spans.get(part).unwrap_or_default();
        walk::walk(&self.target.memory, spans, &self.lists, meter, visit)
    }
}

impl Allocator for Tcmalloc {
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
        let spans = self.map.spans.iter().map(|span| range(span.start, span.bytes));
        let caches = self.lists.caches.iter().map(|cache| range(*cache, CACHE_PREVIOUS.saturating_add(8)));
        spans.chain(caches).collect()
    }

    fn arenas(&self, job: &Job) -> Result<Vec<Arena>, Error> {
        let (mut used, mut free) = (Free::default(), Free::default());
        for walked in self.parts.all(job, |part, meter| self.walk(part, meter, &mut |_| Ok(())))? {
            add(&mut used, walked.used.count, walked.used.bytes);
            add(&mut free, walked.free.count, walked.free.bytes);
        }
        let mut pages = Free::default();
        let kept = self.map.spans.iter().filter(|span| span.location == Location::Free);
        kept.for_each(|span| add(&mut pages, 1, span.bytes));
        // Pages that were returned are mapped still, and hold nothing.
        let system = self.counted.system.saturating_sub(self.counted.unmapped);
        let free = vec![
            ("thread caches", self.lists.cached),
            ("transfer", self.lists.transfer),
            ("spans", free),
            ("page heap", pages),
        ];
        let told = free.iter().map(|(_, free)| free.bytes).fold(used.bytes, u64::saturating_add);
        Ok(vec![Arena {
            name: "page heap".to_owned(),
            address: Some(Addr(self.map.root)),
            system,
            used,
            free,
            overhead: system.saturating_sub(told),
        }])
    }

    fn problems(&self, _what: &What<'_>) -> Vec<Problem> {
        let lists = self.lists.broken.told("heap-list-damaged", |broken, _| {
            format!("{broken} free lists of tcmalloc are not as long as they state: what they held may count as in use")
        });
        let odd = self.parts.known().fold(Odd::default(), |odd, walked| odd.and(walked.odd));
        let spans = odd.told("heap-damaged", |odd, first| {
            let more = odd.saturating_sub(1);
            format!("the span at {first} has not as many free objects as it states ({more} more spans are so)")
        });
        let unread = self.map.unread.told("heap-incomplete", |unread, first| {
            format!(
                "{unread} words of the root of tcmalloc's map, the first at {first}, or the leaves that they lead to are not in the \
                 dump: what they tell of is left out, totals are too low"
            )
        });
        [unread, lists, spans].into_iter().flatten().collect()
    }
}
