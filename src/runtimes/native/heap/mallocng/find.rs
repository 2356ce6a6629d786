//! Where `__malloc_context` is: a secret at its start that the first page of metas repeats, whose address is in it.

use std::sync::Arc;

use super::layout::{AREA_NEXT, AREAS, INIT_DONE, PAGE};
use crate::capture::Memory;
use crate::error::Error;
use crate::job::Job;
use crate::model::Addr;
use crate::runtimes::native::heap::reading::{data, of_musl, words};
use crate::target::Target;

/// Most areas of a process: each has 101 metas.
const MAX_AREAS: usize = 1 << 22;
/// Words between two looks whether the job was cancelled.
const OFTEN: u64 = 1 << 16;

/// The allocator's own variables.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// `struct malloc_context`.
    pub context: u64,
    /// Pages of metas.
    pub areas: Vec<u64>,
    /// Whether the chain of them ends where the context says.
    pub is_whole: bool,
}

/// Looks for the context in musl; in a process without a C library of its own, in the executable.
pub(super) fn place(target: &Arc<Target>, job: &Job) -> Result<Option<Place>, Error> {
    for module in of_musl(target) {
        for (start, bytes) in data(&target.memory, module) {
            for (index, (at, secret)) in (0u64..).zip(words(start, bytes)) {
                if index.is_multiple_of(OFTEN) {
                    job.check()?;
                }
                if let Some(place) = at_word(&target.memory, at, secret, job)? {
                    return Ok(Some(place));
                }
            }
        }
    }
    Ok(None)
}

fn at_word(memory: &Memory, at: u64, secret: u64, job: &Job) -> Result<Option<Place>, Error> {
    let word = |offset: u64| memory.u64(Addr(at).plus(offset)?).ok();
    let is_page = |page: u64| page != 0 && page.is_multiple_of(PAGE);
    let first = word(AREAS).filter(|first| secret != 0 && is_page(*first));
    let Some(first) = first.filter(|first| memory.u64(Addr(*first)).ok() == Some(secret)) else { return Ok(None) };
    let last = word(AREAS + 8).filter(|last| is_page(*last));
    let is_ready = Addr(at).plus(INIT_DONE).and_then(|at| memory.u32(at).ok()) == Some(1);
    let Some(last) = last.filter(|_| is_ready) else { return Ok(None) };
    let (mut areas, mut seen) = (Vec::new(), rustc_hash::FxHashSet::default());
    let mut area = first;
    while area != 0 && areas.len() < MAX_AREAS && seen.insert(area) {
        if areas.len().is_multiple_of(1 << 12) {
            job.check()?;
        }
        let next = Addr(area).plus(AREA_NEXT).and_then(|next| memory.u64(next).ok());
        let is_one = is_page(area) && memory.u64(Addr(area)).ok() == Some(secret);
        let Some(next) = next.filter(|_| is_one) else { break };
        areas.push(area);
        area = next;
    }
    let is_whole = area == 0 && areas.last() == Some(&last);
    Ok(Some(Place { context: at, areas, is_whole }))
}
