//! What an allocator is asked.

use std::ops::Range;

use crate::error::Error;
use crate::heap::Arena;
use crate::job::{Job, Meter};
use crate::model::{Addr, Problem};

/// A block that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtimes::native) struct Block {
    /// What the program was given.
    pub address: Addr,
    /// What it takes of the heap: of ptmalloc the chunk with its header, of allocators with size classes the slot.
    pub bytes: u64,
}

/// What is done with each block.
pub(in crate::runtimes::native) type Visit<'a> = dyn FnMut(Block) -> Result<(), Error> + 'a;

/// Tells what is in a block, in words that follow what it is called: `, a shop::Order`; nothing where nobody knows.
pub(in crate::runtimes::native) type What<'a> = dyn Fn(Block) -> String + 'a;

/// An allocator of a process.
pub(in crate::runtimes::native) trait Allocator: Send + Sync {
    /// `glibc malloc`, `musl mallocng`, `jemalloc` …
    fn name(&self) -> &'static str;

    /// The module that it is part of, of an allocator that may be in more than one.
    fn module(&self) -> Option<usize> {
        None
    }

    /// Reads what must be known before it is walked. Called once, before anything that follows.
    fn read(&mut self, _job: &Job) -> Result<(), Error> {
        Ok(())
    }

    /// Pieces that can be walked apart, together all of it.
    fn parts(&self) -> usize;

    /// What `visit` is told of each block in use of a part, ascending. Fails where the job was cancelled, or `visit` fails; goes on behind
    /// what is damaged, as far as it can, and tells so in [`Allocator::problems`].
    fn blocks(&self, part: usize, meter: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<(), Error>;

    /// The memory that is its own: blocks in use, free ones, books. What is in it and in no block in use refers to nothing.
    fn memory(&self) -> Vec<Range<Addr>>;

    /// Its variables in modules that lead to free blocks: they refer to nothing that is in use, though they may lead to the last bytes
    /// of a block.
    fn books(&self) -> Vec<Range<Addr>> {
        Vec::new()
    }

    /// What it takes of the heap for so many bytes, at least.
    fn takes(&self, bytes: u64) -> u64 {
        bytes.checked_next_multiple_of(8).unwrap_or(bytes)
    }

    /// Its arenas, with what is in use and free in each.
    fn arenas(&self, job: &Job) -> Result<Vec<Arena>, Error>;

    /// What is wrong with its books that the walk of blocks does not need.
    fn verify(&self, _job: &Job) -> Result<Vec<Problem>, Error> {
        Ok(Vec::new())
    }

    /// What is damaged or missing, as far as it was walked. `what` tells what a block is: an allocator knows no types.
    fn problems(&self, what: &What<'_>) -> Vec<Problem>;
}
