//! jemalloc 5.3: extents of pages, which are one block each or slabs of equal regions.
//!
//! Input: the target's memory and threads; no symbols. Output: regions and blocks in use: those that neither a slab's bits nor a thread's
//! cache call free. What the slabs count is held against their bits, what is cached against the slabs: a version whose books are
//! other is named and not walked. x86-64 alone. Layouts: docs/layouts/jemalloc.md.

mod caches;
mod layout;
mod map;
mod walk;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use self::caches::Caches;
use self::layout::{ACTIVE, BOOK, DIRTY, MUZZY};
use self::map::{Extent, Map};
use self::walk::Walked;
use super::allocator::{Allocator, Visit, What};
use super::parts::{Odd, Parts};
use super::reading::{Message, add, range};
use super::unwalked;
use crate::error::Error;
use crate::heap::{Arena, Free};
use crate::job::{Job, Meter};
use crate::model::{Addr, Arch, Problem, Subject};
use crate::target::{Module, Target};

const NAME: &str = "jemalloc";
/// What it begins its messages with. Source: jemalloc 5.3.0, all of src/.
const MESSAGE: Message = Message(b'<', "jemalloc>: ");

/// What follows from it.
const LEFT_OUT: &str = "what they tell of is left out, totals are too low";

/// The allocator of one module.
struct Jemalloc {
    target: Arc<Target>,
    module: usize,
    map: Map,
    caches: Caches,
    /// Of the map's extents.
    parts: Parts<Walked>,
}

/// Looks for it in libraries of its name, and in modules that hold its message.
pub(super) fn find(target: &Arc<Target>, job: &Job) -> Result<Vec<Box<dyn Allocator>>, Error> {
    unwalked::or_walked(target, (NAME, MESSAGE), |module| of_module(target, module, job))
}

/// The allocator of a module, or why it cannot be walked.
fn of_module(target: &Arc<Target>, module: &Module, job: &Job) -> Result<Result<Jemalloc, String>, Error> {
    let map = if target.arch() == Arch::X86_64 { map::find(target, module, job)? } else { None };
    let Some(map) = map else { return Ok(Err(unwalked::why(target, module))) };
    let caches = caches::read(target, &map, job)?;
    if let Some(why) = walk::disagreement(&target.memory, &map.extents, &caches, job)? {
        return Ok(Err(why));
    }
    let parts = Parts::of(map.extents.len());
    Ok(Ok(Jemalloc { target: Arc::clone(target), module: module.index, map, caches, parts }))
}

impl Jemalloc {
    fn walk(&self, part: Range<usize>, meter: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<Walked, Error> {
        let extents = self.map.extents.get(part).unwrap_or_default();
        walk::walk(&self.target.memory, extents, &self.caches, meter, visit)
    }
}

impl Allocator for Jemalloc {
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
        let extents = self.map.extents.iter().map(|extent| range(extent.start, extent.bytes));
        let mut books: Vec<u64> = self.map.extents.iter().map(|extent| extent.edata & !(BOOK - 1)).collect();
        books.sort_unstable();
        books.dedup();
        let books = books.into_iter().filter_map(|book| {
            let bytes = self.target.memory.u64(Addr(book)).ok()?;
            (bytes > 0 && bytes.is_multiple_of(BOOK) && bytes <= u64::MAX >> 16).then(|| range(book, bytes))
        });
        extents.chain(books).collect()
    }

    fn arenas(&self, job: &Job) -> Result<Vec<Arena>, Error> {
        let mut sums = Walked::default();
        for walked in self.parts.all(job, |part, meter| self.walk(part, meter, &mut |_| Ok(())))? {
            sums.merge(&walked);
        }
        let mut arenas: BTreeMap<u64, (u64, Free, Free)> = BTreeMap::new();
        for Extent { bytes, bits, .. } in &self.map.extents {
            let (system, dirty, muzzy) = arenas.entry(bits.arena).or_default();
            match bits.state {
                ACTIVE => {}
                DIRTY => add(dirty, 1, *bytes),
                MUZZY => add(muzzy, 1, *bytes),
                // Retained pages were given back; their addresses are kept.
                _ => continue,
            }
            *system = system.saturating_add(*bytes);
        }
        let arena = |(number, (system, dirty, muzzy)): (u64, (u64, Free, Free))| {
            let of = sums.arenas.get(&number).copied().unwrap_or_default();
            let free = vec![("tcache", of.cached), ("slabs", of.free), ("dirty", dirty), ("muzzy", muzzy)];
            let told = free.iter().map(|(_, free)| free.bytes).fold(of.used.bytes, u64::saturating_add);
            let name = format!("arena {number}");
            Arena { name, address: None, system, used: of.used, free, overhead: system.saturating_sub(told) }
        };
        Ok(arenas.into_iter().map(arena).collect())
    }

    fn problems(&self, _what: &What<'_>) -> Vec<Problem> {
        let map = self.map.odd.told("heap-damaged", |odd, first| {
            format!("jemalloc's map and {odd} of its extents disagree, the first at {first}: {LEFT_OUT}")
        });
        let lost = self.map.lost.told("heap-incomplete", |lost, first| {
            format!("the books of {lost} of jemalloc's extents, the first at {first}, are not in the dump: {LEFT_OUT}")
        });
        let unread = self.map.unread.told("heap-incomplete", |unread, first| {
            format!(
                "{unread} words of the root of jemalloc's map, the first at {first}, or the leaves that they lead to are not in the \
                 dump: {LEFT_OUT}"
            )
        });
        let threads = self.caches.lost.told("heap-overcounted", |lost, _| {
            format!("of {lost} threads the storage where jemalloc has their caches is not in the dump: what they hold counts as in use")
        });
        let caches = (self.caches.count == 0).then(|| {
            let message = "no thread's cache of jemalloc was found: what they hold counts as in use";
            Problem::new("heap-overcounted", Subject::Memory(Addr(self.map.root)), message)
        });
        let bins = self.caches.broken.told("heap-list-damaged", |broken, _| {
            format!("{broken} bins or links of threads' caches cannot be read: what they hold counts as in use")
        });
        let odd = self.parts.known().fold(Odd::default(), |odd, walked| odd.and(walked.odd));
        let slabs = odd.told("heap-damaged", |odd, first| {
            let more = odd.saturating_sub(1);
            format!(
                "the bits of the slab at {first} are not as many as it counts free regions ({more} more slabs are so)"
            )
        });
        [map, lost, unread, threads, caches, bins, slabs].into_iter().flatten().collect()
    }
}
