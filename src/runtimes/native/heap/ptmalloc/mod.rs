//! ptmalloc, the allocator of glibc: its arenas, their chunks, and the blocks that it maps by themselves.
//!
//! Input: the target's memory and threads; no symbols. Output: blocks in use and, by arena, what is free: the same sums
//! as `mallinfo2` and `malloc_info` give in the process. What threads keep in their caches counts as free here and as
//! in use there; the caches themselves are the allocator's own. 64-bit processes alone. Layouts:
//! docs/layouts/ptmalloc.md.

mod bins;
mod books;
mod find;
mod layout;
mod lists;
mod mapped;
mod problems;
mod runs;
mod walk;

use std::ops::Range;
use std::sync::Arc;

use self::books::Books;
use self::find::{Found, Place};
use super::allocator::{Allocator, Visit, What};
use super::reading::range;
use crate::error::Error;
use crate::heap;
use crate::job::{Job, Meter};
use crate::model::{Addr, Problem};
use crate::target::Target;

/// The allocators of all C libraries of a process: there is one, but for those that load a second library into a
/// namespace of its own.
pub(super) struct Ptmalloc {
    target: Arc<Target>,
    places: Vec<Place>,
    books: Vec<Books>,
    problems: Vec<Problem>,
}

/// Looks for it in the C library, or in the executable.
pub(super) fn find(target: &Arc<Target>, job: &Job) -> Result<Vec<Box<dyn Allocator>>, Error> {
    let mut found =
        Ptmalloc { target: Arc::clone(target), places: Vec::new(), books: Vec::new(), problems: Vec::new() };
    for (module, place) in find::places(target, job)? {
        match place {
            Found::Here(place) => found.places.push(place),
            Found::No(Some(why)) => found.problems.extend(problems::not_found(target, module, &why)),
            Found::No(None) | Found::Unused => {}
        }
    }
    let is_there = !found.places.is_empty() || !found.problems.is_empty();
    Ok(is_there.then(|| Box::new(found) as _).into_iter().collect())
}

impl Allocator for Ptmalloc {
    fn name(&self) -> &'static str {
        "glibc malloc"
    }

    fn read(&mut self, job: &Job) -> Result<(), Error> {
        let read = self.places.iter().map(|place| Books::read(&self.target, place, job));
        self.books = read.collect::<Result<_, Error>>()?;
        Ok(())
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

    fn memory(&self) -> Vec<Range<Addr>> {
        self.books.iter().flat_map(Books::memory).collect()
    }

    fn books(&self) -> Vec<Range<Addr>> {
        let state = |books: &Books| range(books.main, books.layout.state.size());
        self.books.iter().map(state).collect()
    }

    fn takes(&self, bytes: u64) -> u64 {
        // A chunk has a word in front of what is asked for, and is no smaller than four words.
        // Source: glibc malloc/malloc.c, request2size.
        bytes.saturating_add(8).max(32).checked_next_multiple_of(16).unwrap_or(bytes)
    }

    fn arenas(&self, job: &Job) -> Result<Vec<heap::Arena>, Error> {
        let mut all = Vec::new();
        for books in &self.books {
            all.extend(books.arenas(&self.target, job)?);
        }
        Ok(all)
    }

    fn verify(&self, job: &Job) -> Result<Vec<Problem>, Error> {
        let mut all = Vec::new();
        for books in &self.books {
            all.extend(books.verify(&self.target, job)?);
        }
        Ok(all)
    }

    fn problems(&self, what: &What<'_>) -> Vec<Problem> {
        let of_books = self.books.iter().flat_map(|books| problems::of_books(books, what));
        self.problems.iter().cloned().chain(of_books).collect()
    }
}
