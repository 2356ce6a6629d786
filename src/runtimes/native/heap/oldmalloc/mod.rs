//! The allocator that musl had before 1.2.1 and still can be built with: chunks with their sizes at both ends, and 64 bins.
//!
//! Input: the target's memory; no symbols. Output: chunks in use, and blocks that were mapped by themselves. What is found free is held
//! against the bins. No list and no count of mapped blocks is kept: each is told by its header, at the start of a page. 64-bit processes
//! alone. Layouts: docs/layouts/oldmalloc.md.

mod bins;
mod chunks;
mod layout;
mod mapped;
mod pieces;

use std::ops::Range;
use std::sync::Arc;

use self::bins::Bins;
use self::chunks::Walked;
use self::layout::HEADER;
use self::mapped::Mapped;
use self::pieces::Piece;
use super::allocator::{Allocator, Visit, What};
use super::reading::{add, of_musl, range};
use super::unwalked::{self, Unwalked};
use crate::error::Error;
use crate::heap::{Arena, Free};
use crate::job::{Job, Meter, Shared};
use crate::model::{Addr, Problem, Subject};
use crate::target::Target;

/// Most damages that are told one by one.
const MAX_TOLD: usize = 16;

/// The allocator.
struct Oldmalloc {
    target: Arc<Target>,
    bins: Bins,
    pieces: Vec<Piece>,
    walked: Vec<Shared<Walked>>,
    mapped: Vec<Mapped>,
}

/// Looks for it in musl, or in the executable. Of a library of musl that has neither this nor mallocng it is said that it has none.
pub(super) fn find(target: &Arc<Target>, job: &Job) -> Result<Vec<Box<dyn Allocator>>, Error> {
    let Some(bins) = bins::find(target, job)? else {
        let libraries = of_musl(target).any(|module| module.mapped.role == crate::capture::Role::Library);
        return Ok(match libraries && super::mallocng::find(target, job)?.is_empty() {
            true => {
                let modules = of_musl(target).map(|module| (module, unwalked::why(target, module)));
                vec![Box::new(Unwalked::of("musl malloc", modules))]
            }
            false => Vec::new(),
        });
    };
    let pieces = pieces::find(target, job)?;
    let mapped = mapped::find(target, &pieces, job)?;
    let walked = pieces.iter().map(|_| Shared::default()).collect();
    Ok(vec![Box::new(Oldmalloc { target: Arc::clone(target), bins, pieces, walked, mapped })])
}

impl Allocator for Oldmalloc {
    fn name(&self) -> &'static str {
        "musl oldmalloc"
    }

    /// The pieces, and behind them the mapped blocks.
    fn parts(&self) -> usize {
        self.pieces.len().saturating_add(1)
    }

    fn blocks(&self, part: usize, meter: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<(), Error> {
        let Some((piece, walked)) = self.pieces.get(part).zip(self.walked.get(part)) else {
            return self.mapped.iter().try_for_each(|mapped| {
                meter.add(1)?;
                visit(mapped.block)
            });
        };
        let counted = chunks::walk(&self.target.memory, piece, meter, visit)?;
        walked.get(meter.job(), |_| Ok(counted)).map(drop)
    }

    fn memory(&self) -> Vec<Range<Addr>> {
        let pieces = self.pieces.iter().map(|piece| Addr(piece.start)..Addr(piece.end.saturating_add(HEADER)));
        let mapped =
            self.mapped.iter().map(|mapped| Addr(mapped.start)..Addr(mapped.start.saturating_add(mapped.block.bytes)));
        pieces.chain(mapped).collect()
    }

    fn books(&self) -> Vec<Range<Addr>> {
        vec![range(self.bins.at, bins::BYTES)]
    }

    fn arenas(&self, job: &Job) -> Result<Vec<Arena>, Error> {
        let (mut used, mut free, mut system) = (Free::default(), Free::default(), 0u64);
        for (piece, walked) in self.pieces.iter().zip(&self.walked) {
            let walk = |job: &Job| chunks::walk(&self.target.memory, piece, &mut job.meter(), &mut |_| Ok(()));
            let walked = walked.get(job, walk)?;
            add(&mut used, walked.used.count, walked.used.bytes);
            add(&mut free, walked.free.count, walked.free.bytes);
            system = system.saturating_add(piece.end.saturating_sub(piece.start)).saturating_add(HEADER);
        }
        let told = used.bytes.saturating_add(free.bytes);
        let mut all = vec![Arena {
            name: "main".to_owned(),
            address: Some(Addr(self.bins.at)),
            system,
            used,
            free: vec![("bins", free)],
            overhead: system.saturating_sub(told),
        }];
        let mut used = Free::default();
        self.mapped.iter().for_each(|mapped| add(&mut used, 1, mapped.block.bytes));
        if used.count > 0 {
            let name = "mmapped".to_owned();
            all.push(Arena { name, address: None, system: used.bytes, used, free: Vec::new(), overhead: 0 });
        }
        Ok(all)
    }

    fn problems(&self, _what: &What<'_>) -> Vec<Problem> {
        let mut all = Vec::new();
        let mut say = |code: &'static str, at: u64, message: String| {
            all.push(Problem::new(code, Subject::Memory(Addr(at)), message));
        };
        for bin in self.bins.broken.iter().take(MAX_TOLD) {
            say("heap-damaged", *bin, "this free list of malloc does not lead back to its head".to_owned());
        }
        let walked: Option<Vec<Arc<Walked>>> = self.walked.iter().map(Shared::known).collect();
        let damages = self.walked.iter().filter_map(Shared::known);
        for (at, left) in damages.flat_map(|walked| walked.damages.clone()).take(MAX_TOLD) {
            let message = format!(
                "the heap is damaged at {}: what stands there is no chunk; {left} bytes are left out, totals are too low",
                Addr(at)
            );
            say("heap-damaged", at, message);
        }
        let mut free = Free::default();
        walked.iter().flatten().for_each(|walked| add(&mut free, walked.free.count, walked.free.bytes));
        if walked.is_some() && free != self.bins.free && self.bins.broken.is_empty() {
            let message = format!(
                "malloc's bins hold {} free chunks of {} bytes, {} of {} were found: pieces of the heap may be missing",
                self.bins.free.count, self.bins.free.bytes, free.count, free.bytes
            );
            say("heap-incomplete", self.bins.at, message);
        }
        all
    }
}
