//! Stretches of memory that chunks fill: below the break, mappings where the break could not move, ends of modules' pages that the loader
//! donated. No list holds them: each begins with a chunk that has nothing before it, and the sizes of its chunks lead to one of size 0.

use super::layout::{ALIGNMENT, HEADER, IN_USE};
use crate::error::Error;
use crate::job::Job;
use crate::runtimes::native::heap::reading::{PAGE, Window, data, held_page};
use crate::target::Target;

/// Chunks in a row that are believed where a later one is damaged.
const BELIEVED: u64 = 64;

/// A stretch of chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The first chunk.
    pub start: u64,
    /// The chunk of size 0 at its end; of a damaged piece the end of its mapping.
    pub end: u64,
}

/// The pieces, ascending.
pub(super) fn find(target: &Target, job: &Job) -> Result<Vec<Piece>, Error> {
    let memory = &target.memory;
    let mut window = Window::new(memory);
    let mut pieces: Vec<Piece> = Vec::new();
    for module in &target.modules {
        for (start, bytes) in data(memory, module) {
            job.check()?;
            let end = start.saturating_add(bytes.len() as u64);
            let mut at = start.next_multiple_of(ALIGNMENT).saturating_add(HEADER);
            while at < end {
                // What a module's data happens to look like is not believed unless it leads to an end.
                let piece = piece_at(&mut window, at, end, u64::MAX, job)?;
                at = piece.as_ref().map_or(at, |piece| piece.end).saturating_add(ALIGNMENT);
                pieces.extend(piece);
            }
        }
    }
    let mut pages = 0u64;
    for (start, end) in outside(target) {
        let mut from = start;
        while let Some(at) = held_page(memory, from, end) {
            pages = pages.saturating_add(1);
            if pages.is_multiple_of(1 << 12) {
                job.check()?;
            }
            let piece = piece_at(&mut window, at.saturating_add(HEADER), end, BELIEVED, job)?;
            from = piece.as_ref().map_or(at.saturating_add(PAGE), |piece| piece.end.saturating_add(1));
            pieces.extend(piece);
        }
    }
    pieces.sort_by_key(|piece| piece.start);
    Ok(pieces)
}

/// Writable memory that is no module's. What lies below the break may be in one mapping with the executable's data.
pub(super) fn outside(target: &Target) -> impl Iterator<Item = (u64, u64)> {
    let writable = target.memory.regions().iter().filter(|region| region.access.write);
    writable.filter_map(|region| {
        let start = target.module_at(region.start).map_or(region.start, |module| module.mapped.end);
        (start < region.end).then_some((start.0, region.end.0))
    })
}

/// The piece that begins with a chunk, if one does.
fn piece_at(window: &mut Window<'_>, start: u64, limit: u64, believed: u64, job: &Job) -> Result<Option<Piece>, Error> {
    if window.u64(start) != Some(IN_USE) {
        return Ok(None);
    }
    let (mut at, mut steps) = (start, 0u64);
    loop {
        match chunk(window, at, limit) {
            Some(0) if steps > 0 => return Ok(Some(Piece { start, end: at })),
            Some(size) if size > 0 => at = at.saturating_add(size),
            _ if steps >= believed => return Ok(Some(Piece { start, end: limit })),
            _ => return Ok(None),
        }
        steps = steps.saturating_add(1);
        if steps.is_multiple_of(1 << 16) {
            job.check()?;
        }
    }
}

/// The size of the chunk at an address, 0 at a piece's end; `None` where the next one says otherwise, or none is there.
#[inline]
pub(super) fn chunk(window: &mut Window<'_>, at: u64, limit: u64) -> Option<u64> {
    let word = window.u64(at.checked_add(8)?)?;
    let size = word & !IN_USE;
    if word == IN_USE {
        return Some(0);
    }
    let end = at.checked_add(size)?;
    let is_one = size > 0 && size.is_multiple_of(ALIGNMENT) && end < limit && window.u64(end)? == word;
    is_one.then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Memory;

    /// Nothing before, a chunk in use of 32 bytes, a free one of 64, the end.
    // 0x1000 → | psize 1, csize 33 | 16 | psize 33, csize 64 | next, prev, 32 | psize 64, csize 1 |
    fn words() -> Vec<u64> {
        vec![0, 0, 1, 33, 0, 0, 33, 64, 0, 0, 0, 0, 0, 0, 64, 1]
    }

    fn piece(words: &[u64]) -> Option<Piece> {
        let memory = Memory::of(0x1000, words);
        let end = 0x1000 + words.len() as u64 * 8;
        piece_at(&mut Window::new(&memory), 0x1010, end, BELIEVED, &Job::default()).expect("not cancelled")
    }

    #[test]
    fn chunks_that_lead_to_an_end_are_a_piece() {
        assert_eq!(piece(&words()), Some(Piece { start: 0x1010, end: 0x1070 }));
    }

    #[test]
    fn with_any_size_wrong_or_cut_off_there_is_none() {
        for place in [2, 3, 6, 7, 14, 15] {
            let mut wrong = words();
            wrong[place] ^= 2;
            assert_eq!(piece(&wrong), None, "word {place}");
        }
        for length in 0..words().len() {
            assert_eq!(piece(&words()[..length]), None, "{length} words");
        }
    }
}
