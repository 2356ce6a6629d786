//! ptmalloc, the allocator of glibc: its arenas, their chunks, and the blocks that it maps by themselves.
//!
//! Input: the target's memory and threads; no symbols. Output: blocks in use and, by arena, what is free: the same sums as `mallinfo2` and
//! `malloc_info` give in the process. What threads keep in their caches counts as free here and as in use there; the caches themselves
//! are the allocator's own. 64-bit processes alone. Layouts: docs/layouts/ptmalloc.md.

mod find;
mod layout;
mod lists;
mod mapped;
mod problems;
mod runs;
mod walk;

use std::sync::Arc;

use self::find::{Found, Parameters, Place};
use self::layout::{Layout, candidates};
use self::lists::Lists;
use self::walk::{Run, Walked};
use super::allocator::{Allocator, Block, Visit};
use crate::error::Error;
use crate::heap::{self, Free};
use crate::job::{Job, Meter, Shared};
use crate::model::{Addr, Problem};
use crate::target::Target;

/// A C library's allocator, as one layout reads it.
struct Books {
    arenas: Vec<runs::Arena>,
    parameters: Option<Parameters>,
    lists: Lists,
    /// Chunks that only look as if they were in use.
    hidden: Vec<u64>,
    runs: Vec<Run>,
    /// What each run's walk counted.
    walked: Vec<Shared<Walked>>,
    mapped: Vec<Block>,
    problems: Vec<Problem>,
}

/// The allocators of all C libraries of a process: there is one, but for those that load a second library into a namespace of its own.
pub(super) struct Ptmalloc {
    target: Arc<Target>,
    books: Vec<Books>,
    problems: Vec<Problem>,
}

/// Looks for it in the C library, or in the executable.
pub(super) fn find(target: &Arc<Target>, job: &Job) -> Result<Option<Box<dyn Allocator>>, Error> {
    let mut found = Ptmalloc { target: Arc::clone(target), books: Vec::new(), problems: Vec::new() };
    for (module, place) in find::places(target, job)? {
        match place {
            Found::Here(place) => found.books.push(Books::read(target, &place, job)?),
            Found::No(Some(why)) => found.problems.extend(problems::not_found(target, module, &why)),
            Found::No(None) | Found::Unused => {}
        }
    }
    let is_there = !found.books.is_empty() || !found.problems.is_empty();
    Ok(is_there.then(|| Box::new(found) as _))
}

impl Books {
    fn read(target: &Arc<Target>, place: &Place, job: &Job) -> Result<Books, Error> {
        let memory = &target.memory;
        let mut best: Option<(usize, &'static Layout, find::Ring, Lists)> = None;
        // The free lists agree with one layout: that of the version, as a rule.
        for layout in candidates(place.version) {
            job.check()?;
            let ring = find::ring(memory, place.bins, &layout.state);
            let is_placed = ring.arenas.iter().skip(1).all(|arena| runs::is_in_heap(memory, *arena, layout));
            let lists = lists::read(target, &ring.arenas, layout, job)?;
            let odd = usize::from(!ring.is_closed) * 1000
                + usize::from(!is_placed) * 100
                + usize::from(lists.caches.is_empty());
            let odd = odd.saturating_add(lists.broken.len());
            let is_better = best.as_ref().is_none_or(|(least, ..)| odd < *least);
            if is_better {
                best = Some((odd, layout, ring, lists));
            }
            if odd == 0 && place.version.is_some() {
                break;
            }
        }
        let Some((_, layout, ring, lists)) = best else { return Err(Error::Cancelled) };
        let mut arenas: Vec<runs::Arena> = ring.arenas.iter().map(|at| runs::arena(memory, *at, layout)).collect();
        let brk = arenas.first().and_then(|main| main.top?.0.checked_add(main.top?.1)?.checked_sub(main.system));
        let module = target.modules.get(place.module);
        let parameters = module.and_then(|module| find::parameters(memory, module, layout, brk));
        let mut runs = Vec::new();
        let mut taken: Vec<(u64, u64)> = Vec::new();
        for (number, arena) in arenas.iter_mut().enumerate().skip(1) {
            runs.extend(runs::of_heaps(memory, number, arena, layout, parameters.as_ref()));
            taken.extend(&arena.taken);
        }
        taken.sort_unstable();
        if let Some(main) = arenas.first_mut() {
            runs.extend(runs::of_main(memory, main, parameters.as_ref(), &taken, job)?);
            taken.extend(&main.taken);
        }
        taken.sort_unstable();
        runs.sort_by_key(|run| run.start);
        let counted = parameters.map(|parameters| (parameters.mmaps, parameters.mmapped));
        let mapped = mapped::find(target, layout, &taken, counted, job)?;
        let walked = runs.iter().map(|_| Shared::default()).collect();
        let hidden = lists.hidden();
        let mut books = Books { arenas, parameters, lists, hidden, runs, walked, mapped, problems: Vec::new() };
        books.problems = problems::of_books(&books, &ring, place);
        Ok(books)
    }

    /// The runs, and behind them the mapped blocks.
    fn parts(&self) -> usize {
        self.runs.len().saturating_add(1)
    }

    fn blocks(&self, target: &Target, part: usize, meter: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<(), Error> {
        let Some((run, walked)) = self.runs.get(part).zip(self.walked.get(part)) else {
            return self.mapped.iter().try_for_each(|block| {
                meter.add(1)?;
                visit(*block)
            });
        };
        let counted = walk::walk(&target.memory, run, &self.hidden, meter, visit)?;
        walked.get(meter.job(), |_| Ok(counted)).map(drop)
    }

    fn arenas(&self, target: &Target, job: &Job) -> Result<Vec<heap::Arena>, Error> {
        let mut all: Vec<heap::Arena> = Vec::new();
        let mut binned = vec![Free::default(); self.arenas.len()];
        let mut used = binned.clone();
        for (run, walked) in self.runs.iter().zip(&self.walked) {
            let walk = |job: &Job| walk::walk(&target.memory, run, &self.hidden, &mut job.meter(), &mut |_| Ok(()));
            let walked = walked.get(job, walk)?;
            for (sums, of_run) in [(&mut binned, walked.binned), (&mut used, walked.used)] {
                if let Some(sum) = sums.get_mut(run.arena) {
                    add(sum, of_run.count, of_run.bytes);
                }
            }
        }
        let cached = self.cached_by_arena();
        for (number, arena) in self.arenas.iter().enumerate() {
            let of = |sums: &[Free]| sums.get(number).copied().unwrap_or_default();
            let fast = self.lists.fast.get(number).copied().unwrap_or_default();
            let fast = Free { count: fast.0, bytes: fast.1 };
            // Counted by mallinfo even where it has no memory yet.
            let top = Free { count: 1, bytes: arena.top.map_or(0, |(_, size)| size) };
            let free = vec![("tcache", of(&cached)), ("fastbins", fast), ("bins", of(&binned)), ("top", top)];
            let told = free.iter().map(|(_, free)| free.bytes).fold(of(&used).bytes, u64::saturating_add);
            all.push(heap::Arena {
                name: if number == 0 { "main".to_owned() } else { format!("arena {number}") },
                address: Some(Addr(arena.at)),
                system: arena.system,
                used: of(&used),
                free,
                overhead: arena.system.saturating_sub(told),
            });
        }
        let mut used = Free::default();
        self.mapped.iter().for_each(|block| add(&mut used, 1, block.bytes));
        if used.count > 0 || self.parameters.is_some_and(|parameters| parameters.mmaps > 0) {
            let system = self.parameters.map_or(used.bytes, |parameters| parameters.mmapped);
            let overhead = system.saturating_sub(used.bytes);
            let name = "mmapped".to_owned();
            all.push(heap::Arena { name, address: None, system, used, free: Vec::new(), overhead });
        }
        Ok(all)
    }

    /// What threads' caches hold, by the arena that it is of.
    fn cached_by_arena(&self) -> Vec<Free> {
        let mut sums = vec![Free::default(); self.arenas.len()];
        for (chunk, size) in &self.lists.cached {
            let run = self.runs.partition_point(|run| run.start <= *chunk).checked_sub(1);
            let run = run.and_then(|run| self.runs.get(run)).filter(|run| *chunk < run.end);
            if let Some(sum) = run.and_then(|run| sums.get_mut(run.arena)) {
                add(sum, 1, *size);
            }
        }
        sums
    }
}

fn add(sum: &mut Free, count: u64, bytes: u64) {
    sum.count = sum.count.saturating_add(count);
    sum.bytes = sum.bytes.saturating_add(bytes);
}

impl Allocator for Ptmalloc {
    fn name(&self) -> &'static str {
        "glibc malloc"
    }

    fn parts(&self) -> usize {
        self.books.iter().map(Books::parts).sum()
    }

    fn blocks(&self, part: usize, meter: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<(), Error> {
        let mut rest = part;
        for books in &self.books {
            match rest.checked_sub(books.parts()) {
                Some(beyond) => rest = beyond,
                None => return books.blocks(&self.target, rest, meter, visit),
            }
        }
        Ok(())
    }

    fn arenas(&self, job: &Job) -> Result<Vec<heap::Arena>, Error> {
        let mut all = Vec::new();
        for books in &self.books {
            all.extend(books.arenas(&self.target, job)?);
        }
        Ok(all)
    }

    fn problems(&self) -> Vec<Problem> {
        let walked =
            self.books.iter().flat_map(|books| books.problems.iter().cloned().chain(problems::of_walks(books)));
        self.problems.iter().cloned().chain(walked).collect()
    }
}
