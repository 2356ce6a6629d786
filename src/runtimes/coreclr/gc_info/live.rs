//! Which of the tracked slots are live where.

use super::damage::damaged;
use super::stream::Stream;
use crate::model::Known;

/// Offsets that share one state and the changes within it.
const CHUNK: u32 = 64;

/// The states, unread.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) bytes: Vec<u8>,
    /// The bit at which they begin.
    pub(super) from: usize,
}

impl Live {
    /// For each of the slots, whether it is live at a call.
    pub(super) fn at_call(&self, calls: usize, call: usize, slots: usize) -> Known<Vec<bool>> {
        if slots == 0 {
            return Ok(Vec::new());
        }
        let mut stream = Stream::at(&self.bytes, self.from);
        if !stream.bit()? {
            return vector(&mut self.skip(&stream, call, slots)?, slots);
        }
        let width = stream.number(3)?.saturating_add(1);
        let table = stream.position();
        let entry = |index: usize| index.checked_mul(width as usize).and_then(|bits| bits.checked_add(table));
        let at = entry(call).ok_or_else(damaged)?;
        let offset = Stream::at(&self.bytes, at).bits(width)? as usize;
        let states = entry(calls).ok_or_else(damaged)?.next_multiple_of(8);
        let mut stream = Stream::at(&self.bytes, states.checked_add(offset).ok_or_else(damaged)?);
        if stream.bit()? { runs(&mut stream, slots) } else { vector(&mut stream, slots) }
    }

    /// The same within the ranges, which have so many offsets together.
    pub(super) fn within(&self, calls: usize, length: u32, offset: u32, slots: usize) -> Known<Vec<bool>> {
        let nothing = || vec![false; slots];
        if slots == 0 {
            return Ok(nothing());
        }
        let mut stream = Stream::at(&self.bytes, self.from);
        if calls > 0 && stream.bit()? {
            stream.number(3)?;
        }
        let mut stream = self.skip(&stream, calls, slots)?;
        let width = stream.number(3)?;
        if width == 0 {
            return Ok(nothing());
        }
        let table = stream.position();
        let entry = |index: u32| (index as usize).checked_mul(width as usize).and_then(|bits| bits.checked_add(table));
        let own = offset / CHUNK;
        // One without changes has the state of the one before.
        let mut found = None;
        for chunk in (0..=own).rev() {
            let pointer = Stream::at(&self.bytes, entry(chunk).ok_or_else(damaged)?).bits(width)? as usize;
            if let Some(before) = pointer.checked_sub(1) {
                found = Some((chunk, before));
                break;
            }
        }
        let Some((chunk, pointer)) = found else { return Ok(nothing()) };
        let chunks = entry(length.div_ceil(CHUNK)).ok_or_else(damaged)?.next_multiple_of(8);
        let mut stream = Stream::at(&self.bytes, chunks.checked_add(pointer).ok_or_else(damaged)?);
        let possible = if stream.bit()? { runs(&mut stream, slots)? } else { vector(&mut stream, slots)? };
        let mut live = nothing();
        for (live, _) in live.iter_mut().zip(&possible).filter(|(_, possible)| **possible) {
            *live = stream.bit()?;
        }
        if chunk == own {
            for (live, _) in live.iter_mut().zip(&possible).filter(|(_, possible)| **possible) {
                // Each change that comes later is taken back.
                while stream.bit()? {
                    *live ^= stream.bits(6)? > offset % CHUNK;
                }
            }
        }
        Ok(live)
    }

    /// The stream behind so many plain states.
    fn skip(&self, stream: &Stream<'_>, states: usize, slots: usize) -> Known<Stream<'_>> {
        let bits = states.checked_mul(slots).and_then(|bits| bits.checked_add(stream.position()));
        Ok(Stream::at(&self.bytes, bits.ok_or_else(damaged)?))
    }
}

/// One bit for each.
fn vector(stream: &mut Stream<'_>, slots: usize) -> Known<Vec<bool>> {
    (0..slots).map(|_| stream.bit()).collect()
}

/// Runs of slots that are not live and that are, in turn. Two bases of numbers take turns, too.
fn runs(stream: &mut Stream<'_>, slots: usize) -> Known<Vec<bool>> {
    // Source: gcinfotypes.h, LIVESTATE_RLE_RUN_ENCBASE, LIVESTATE_RLE_SKIP_ENCBASE.
    const RUN: u32 = 2;
    const SKIP: u32 = 4;
    let mut base = if stream.bit()? { RUN } else { SKIP };
    let mut all = vec![false; slots];
    let mut at = stream.number(base)? as usize;
    let mut is_live = true;
    while at < slots {
        base = if base == RUN { SKIP } else { RUN };
        let behind = at.saturating_add(stream.number(base)? as usize).saturating_add(1);
        if is_live && let Some(run) = all.get_mut(at..behind.min(slots)) {
            run.fill(true);
        }
        is_live = !is_live;
        at = behind;
    }
    Ok(all)
}
