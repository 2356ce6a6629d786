//! The books of one C library's allocator: arenas, free lists, stretches of memory, mapped blocks.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::find::{self, Parameters, Place};
use super::layout::{Layout, candidates};
use super::lists::{self, Lists};
use super::walk::{self, Run, Walked};
use super::{bins, mapped, runs};
use crate::error::Error;
use crate::heap::{self, Free};
use crate::job::{Job, Meter, Shared};
use crate::model::{Addr, Problem};
use crate::runtimes::native::heap::allocator::{Block, Visit};
use crate::runtimes::native::heap::reading::add;
use crate::target::Target;

/// What free chunks are in that are in no quicker list.
const BINNED: &str = "bins";
/// Bytes of a run that are walked by one thread, where it can be cut.
const PIECE: u64 = 32 << 20;

/// What speaks against a layout, the weightiest first: the ring of arenas is broken, arenas are not where they should be,
/// no thread's cache is found, so many lists are broken. Caches whose lists are broken are caches still.
type Odd = (bool, bool, bool, usize);

/// A C library's allocator, as one layout reads it.
pub(super) struct Books {
    pub layout: &'static Layout,
    /// Where the main arena is.
    pub main: u64,
    /// Whether the ring of arenas leads back to it.
    pub is_whole: bool,
    pub arenas: Vec<runs::Arena>,
    pub parameters: Option<Parameters>,
    pub lists: Lists,
    /// Chunks that only look as if they were in use.
    hidden: Vec<u64>,
    pub runs: Vec<Run>,
    /// What each run's walk counted.
    pub walked: Vec<Shared<Walked>>,
    pub mapped: Vec<Block>,
    /// The mapped blocks between which no run lies, by their places in `mapped`.
    groups: Vec<Range<usize>>,
}

impl Books {
    /// Reads all but what is in the arenas.
    pub(super) fn read(target: &Arc<Target>, place: &Place, job: &Job) -> Result<Books, Error> {
        let memory = &target.memory;
        let module = target.modules.get(place.module);
        let version = module.and_then(|module| find::version(target, module));
        let mut best: Option<(Odd, &'static Layout, find::Ring, Lists)> = None;
        // The free lists agree with one layout: that of the version, as a rule.
        for layout in candidates(version) {
            job.check()?;
            let ring = find::ring(memory, place.bins, &layout.state);
            let is_placed = ring.arenas.iter().skip(1).all(|arena| runs::is_in_heap(memory, *arena, layout));
            let lists = lists::read(target, &ring.arenas, layout, job)?;
            let odd = (!ring.is_closed, !is_placed, lists.caches.is_empty(), lists.broken.len());
            let is_better = best.as_ref().is_none_or(|(least, ..)| odd < *least);
            if is_better {
                best = Some((odd, layout, ring, lists));
            }
            if odd == Odd::default() && version.is_some() {
                break;
            }
        }
        // There is one: the list of layouts is not empty.
        let Some((_, layout, ring, lists)) = best else {
            return Err(Error::Failed("no layout of glibc's malloc is known".to_owned()));
        };
        let mut arenas: Vec<runs::Arena> = ring.arenas.iter().map(|at| runs::arena(memory, *at, layout)).collect();
        let brk = arenas.first().and_then(|main| main.top?.0.checked_add(main.top?.1)?.checked_sub(main.system?));
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
        let hidden = lists.hidden();
        let mut known = hidden.clone();
        arenas.iter().for_each(|arena| lists::some_of_bins(memory, arena.at, layout, &mut known));
        known.sort();
        let runs: Vec<Run> = runs.into_iter().flat_map(|run| run.cut(PIECE, &known)).collect();
        let counted = parameters.map(|parameters| (parameters.mmaps, parameters.mmapped));
        let mapped = mapped::find(target, layout, &taken, counted, job)?;
        let groups = groups(&mapped, &runs);
        let walked = runs.iter().map(|_| Shared::default()).collect();
        let main = ring.arenas.first().copied().unwrap_or(place.bins);
        Ok(Books {
            layout,
            main,
            is_whole: ring.is_closed,
            arenas,
            parameters,
            lists,
            hidden,
            runs,
            walked,
            mapped,
            groups,
        })
    }

    /// The memory of arenas and mapped blocks.
    pub(super) fn memory(&self) -> impl Iterator<Item = Range<Addr>> {
        let arenas = self.arenas.iter().flat_map(|arena| &arena.taken).map(|(start, end)| Addr(*start)..Addr(*end));
        let mapped = self.mapped.iter().filter_map(|block| Some(block.address..block.address.plus(block.bytes)?));
        arenas.chain(mapped)
    }

    /// The runs, and behind them the groups of mapped blocks.
    pub(super) fn parts(&self) -> usize {
        self.runs.len().saturating_add(self.groups.len())
    }

    /// Tells `visit` the blocks in use of a part.
    pub(super) fn blocks(
        &self,
        target: &Target,
        part: usize,
        meter: &mut Meter<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        let Some((run, walked)) = self.runs.get(part).zip(self.walked.get(part)) else {
            let group = part.checked_sub(self.runs.len()).and_then(|group| self.groups.get(group).cloned());
            let mapped = group.and_then(|group| self.mapped.get(group)).unwrap_or_default();
            return mapped.iter().try_for_each(|block| {
                meter.add(1)?;
                visit(*block)
            });
        };
        let counted = walk::walk(&target.memory, run, &self.hidden, meter, visit)?;
        walked.get(meter.job(), |_| Ok(counted)).map(drop)
    }

    /// The arenas, and the mapped blocks as one more. Walks the runs that were not walked yet.
    pub(super) fn arenas(&self, target: &Target, job: &Job) -> Result<Vec<heap::Arena>, Error> {
        let mut all: Vec<heap::Arena> = Vec::new();
        let mut binned = vec![Free::default(); self.arenas.len()];
        let mut used = binned.clone();
        let walk = |(run, walked): (&Run, &Shared<Walked>)| {
            walked.get(job, |job| walk::walk(&target.memory, run, &self.hidden, &mut job.meter(), &mut |_| Ok(())))
        };
        let all_walked = self.runs.par_iter().zip(&self.walked).map(walk).collect::<Result<Vec<_>, Error>>()?;
        for (run, walked) in self.runs.iter().zip(all_walked) {
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
            let free = vec![("tcache", of(&cached)), ("fastbins", fast), (BINNED, of(&binned)), ("top", top)];
            let told = free.iter().map(|(_, free)| free.bytes).fold(of(&used).bytes, u64::saturating_add);
            // At least what was found.
            let taken = arena.taken.iter().map(|(start, end)| end.saturating_sub(*start)).fold(0, u64::saturating_add);
            let system = arena.system.unwrap_or(taken);
            all.push(heap::Arena {
                name: if number == 0 { "main".to_owned() } else { format!("arena {number}") },
                address: Some(Addr(arena.at)),
                system,
                used: of(&used),
                free,
                overhead: system.saturating_sub(told),
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

    /// Bytes of the mapped blocks that were found.
    pub(super) fn bytes_mapped(&self) -> u64 {
        self.mapped.iter().map(|block| block.bytes).fold(0, u64::saturating_add)
    }

    /// What is wrong with lists that no walk of blocks needs.
    pub(super) fn verify(&self, target: &Target, job: &Job) -> Result<Vec<Problem>, Error> {
        let mut all = Vec::new();
        for (arena, told) in self.arenas.iter().zip(self.arenas(target, job)?) {
            let binned = told.free.iter().find(|(name, _)| *name == BINNED).map(|(_, free)| *free).unwrap_or_default();
            all.extend(bins::verify(&target.memory, arena.at, binned, self.layout, job)?);
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

/// Mapped blocks, ascending, together where no run lies between them: parts do not lie within each other.
fn groups(mapped: &[Block], runs: &[Run]) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut before = None;
    for (at, block) in mapped.iter().enumerate() {
        let runs_below = runs.partition_point(|run| run.start <= block.address.0);
        match groups.last_mut().filter(|_| before == Some(runs_below)) {
            Some(group) => group.end = at.saturating_add(1),
            None => groups.push(at..at.saturating_add(1)),
        }
        before = Some(runs_below);
    }
    groups
}
