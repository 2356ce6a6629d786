//! What blocks refer to, and what refers to them from outside: every word that is an address in a block counts, wherever in the block that
//! is. A number that looks so keeps a block alive; no block that is referred to is told as leaked.
//!
//! Outside is all writable memory but the allocators' own: what is free in it, and their books, refers to nothing.

use std::ops::Range;

use crate::capture::facts::MappingFacts;
use crate::capture::{Memory, Region};
use crate::error::Error;
use crate::heap::{ObjectId, Objects, Root, RootKind};
use crate::job::{Job, Unit};
use crate::model::{Addr, OsThread, Tid};
use crate::runtimes::native::static_tls;
use crate::target::Target;

/// Bytes below the stack pointer that a function may use. Source: System V AMD64 psABI 3.2.2, "red zone".
const RED_ZONE: u64 = 128;
/// Bytes of memory that are looked through between two looks at the job.
const PIECE: u64 = 1 << 20;

/// Told: the word's address, and the object that it refers to.
type Found<'a> = dyn FnMut(Addr, ObjectId) -> Result<(), Error> + 'a;

/// What the words of `bytes` bytes from `start` refer to. What is not in the dump refers to nothing.
pub(super) fn of_range(
    target: &Target,
    objects: &Objects,
    start: Addr,
    bytes: u64,
    found: &mut Found<'_>,
) -> Result<(), Error> {
    let size = target.arch().pointer_size();
    let Some(heap) = objects.bounds() else { return Ok(()) };
    let (mut at, end) = (start, Addr(start.0.saturating_add(bytes)));
    while at < end {
        let left = end.since(at).unwrap_or(0);
        let Ok(held) = target.memory.slice_up_to(at, left) else {
            // A mapping of terabytes may have no contents.
            let Some(next) = target.memory.next_segment(at) else { return Ok(()) };
            at = Addr(next.start.0.next_multiple_of(size).max(at.0.saturating_add(size)));
            continue;
        };
        let mut place = at;
        for word in target.memory.pointers(held) {
            if heap.contains(&word)
                && let Some(object) = objects.holding(word)
            {
                found(place, object)?;
            }
            place = Addr(place.0.saturating_add(size));
        }
        let Some(next) = at.plus(held.len() as u64) else { return Ok(()) };
        at = next;
    }
    Ok(())
}

/// What the blocks of one part refer to.
pub(super) fn of_block(
    target: &Target,
    objects: &Objects,
    from: ObjectId,
    visit: &mut dyn FnMut(ObjectId, ObjectId) -> Result<(), Error>,
) -> Result<(), Error> {
    let Some(object) = objects.get(from) else { return Ok(()) };
    of_range(target, objects, object.address, object.bytes, &mut |_, to| {
        if to == from { Ok(()) } else { visit(from, to) }
    })
}

/// Every reference from outside. `own`: memory of the allocators, ascending.
pub(super) fn roots(
    target: &Target,
    objects: &Objects,
    own: &[Range<Addr>],
    job: &Job,
    visit: &mut dyn FnMut(Root, ObjectId) -> Result<(), Error>,
) -> Result<(), Error> {
    for thread in &target.capture.threads {
        let Ok(registers) = &thread.registers else { continue };
        for (_, value) in registers.iter() {
            if let Some(object) = value.and_then(|value| objects.holding(Addr(value))) {
                visit(Root { kind: RootKind::Register, at: None, tid: Some(thread.tid) }, object)?;
            }
        }
    }
    let stacks = Stacks::of(target);
    let regions: Vec<&Region> = target.memory.regions().iter().filter(|region| region.access.write).collect();
    let held = regions.iter().map(|region| target.memory.bytes_within(region.start, region.end));
    let all = held.fold(0, u64::saturating_add);
    job.phase_of(Unit::Bytes, "looking through memory outside the heap", all);
    for region in regions {
        for piece in stacks.pieces(target, region) {
            for range in outside(piece.range.clone(), own) {
                let mut at = range.start;
                while at < range.end {
                    if target.memory.segment_at(at).is_none() {
                        let Some(next) = target.memory.next_segment(at).filter(|next| next.start < range.end) else {
                            break;
                        };
                        at = Addr(next.start.0 & !7).max(at);
                    }
                    let bytes = range.end.since(at).unwrap_or(0).min(PIECE);
                    job.advance(bytes)?;
                    of_range(target, objects, at, bytes, &mut |place, object| {
                        visit(Root { kind: piece.kind, at: Some(place), tid: piece.tid }, object)
                    })?;
                    let Some(next) = at.plus(bytes) else { break };
                    at = next;
                }
            }
        }
    }
    Ok(())
}

/// What of the memory outside may hold references and is not in the dump, nor in a file: bytes, and the threads without registers.
pub(super) fn missing(target: &Target, own: &[Range<Addr>]) -> (u64, usize) {
    let stacks = Stacks::of(target);
    let memory = &target.memory;
    let writable = memory.regions().iter().filter(|region| region.access.write);
    let ranges = writable.flat_map(|region| stacks.pieces(target, region)).flat_map(|piece| outside(piece.range, own));
    let facts = target.capture.facts.as_deref().map(|facts| facts.mappings.as_slice()).unwrap_or_default();
    let bytes = ranges.map(|range| unread(memory, range, facts)).fold(0, u64::saturating_add);
    let lost = target.capture.threads.iter().filter(|thread| thread.registers.is_err()).count();
    (bytes, lost)
}

/// Bytes of a range that are not in the dump, and were in memory or swapped out as far as that was recorded: what was never
/// touched refers to nothing.
fn unread(memory: &Memory, range: Range<Addr>, facts: &[MappingFacts]) -> u64 {
    let first = facts.partition_point(|mapping| mapping.end <= range.start.0);
    let mut at = range.start;
    let mut bytes = 0u64;
    let held = |from: Addr, to: Addr| memory.bytes_within(from, to);
    for mapping in facts.iter().skip(first).take_while(|mapping| mapping.start < range.end.0) {
        let (from, to) = (Addr(mapping.start).max(at), Addr(mapping.end).min(range.end));
        let (before, inside) = (from.since(at).unwrap_or(0), to.since(from).unwrap_or(0));
        bytes = bytes.saturating_add(before.saturating_sub(held(at, from)));
        let all = inside.saturating_sub(held(from, to));
        let touched = mapping.resident.zip(mapping.swapped).map(|(resident, swapped)| {
            resident.saturating_add(swapped).saturating_sub(held(Addr(mapping.start), Addr(mapping.end)))
        });
        bytes = bytes.saturating_add(touched.map_or(all, |touched| all.min(touched)));
        at = at.max(to);
    }
    let behind = range.end.since(at).unwrap_or(0);
    bytes.saturating_add(behind.saturating_sub(held(at, range.end)))
}

/// A piece of a mapping, and what it is.
struct Piece {
    range: Range<Addr>,
    kind: RootKind,
    tid: Option<Tid>,
}

/// The threads' stack pointers, ascending.
struct Stacks<'a> {
    threads: Vec<(Addr, &'a OsThread)>,
    thread_locals: u64,
}

impl<'a> Stacks<'a> {
    fn of(target: &'a Target) -> Stacks<'a> {
        let pointer = |thread: &'a OsThread| Some((thread.registers.as_ref().ok()?.sp()?, thread));
        let mut threads: Vec<(Addr, &OsThread)> = target.capture.threads.iter().filter_map(pointer).collect();
        threads.sort_by_key(|(sp, _)| *sp);
        Stacks { threads, thread_locals: static_tls::size(target) }
    }

    /// What of a mapping may hold references: of stacks the part that is in use.
    fn pieces(&self, target: &Target, region: &Region) -> Vec<Piece> {
        let first = self.threads.partition_point(|(sp, _)| *sp < region.start);
        let inside = self.threads.get(first..).unwrap_or_default().iter().take_while(|(sp, _)| *sp < region.end);
        let inside: Vec<&(Addr, &OsThread)> = inside.collect();
        if inside.is_empty() {
            let is_module = target.module_at(region.start).is_some();
            let kind = if is_module { RootKind::Global } else { RootKind::Mapping };
            return vec![Piece { range: region.start..region.end, kind, tid: None }];
        }
        let mut pieces = Vec::new();
        for (index, (sp, thread)) in inside.iter().enumerate() {
            // Mappings of neighbours may have been joined: the next stack begins somewhere below the next stack pointer.
            let next = inside.get(index.saturating_add(1)).map_or(region.end, |(sp, _)| *sp);
            let start = Addr(sp.0.saturating_sub(RED_ZONE)).max(region.start);
            let start = Addr(start.0 & !7);
            let control = thread.thread_pointer.as_ref().ok().filter(|at| **at > start && **at < next);
            let locals = control.map(|at| Addr(at.0.saturating_sub(self.thread_locals)).max(start));
            let end = locals.unwrap_or(next);
            pieces.push(Piece { range: start..end, kind: RootKind::Stack, tid: Some(thread.tid) });
            pieces.extend(locals.map(|from| Piece {
                range: Addr(from.0 & !7)..next,
                kind: RootKind::ThreadLocal,
                tid: Some(thread.tid),
            }));
        }
        pieces
    }
}

/// What of a range is in none of these, which ascend.
fn outside(range: Range<Addr>, own: &[Range<Addr>]) -> Vec<Range<Addr>> {
    let mut rest = range;
    let mut left = Vec::new();
    let first = own.partition_point(|own| own.end <= rest.start);
    for own in own.get(first..).unwrap_or_default() {
        if own.start >= rest.end {
            break;
        }
        if own.start > rest.start {
            left.push(rest.start..own.start);
        }
        rest.start = rest.start.max(own.end);
    }
    if rest.start < rest.end {
        left.push(rest);
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_touched_is_not_missing() {
        // 0x1000 to 0x1020 of a mapping up to 0x9000, and nothing of the next one.
        let memory = Memory::of(0x1000, &[1, 2, 3, 4]);
        let mapping =
            |start, end, resident, swapped| MappingFacts { start, end, resident, swapped, ..MappingFacts::default() };
        let range = Addr(0x1000)..Addr(0xb000);
        let told = |first, second| unread(&memory, range.clone(), &[first, second]);
        let touched = mapping(0x1000, 0x9000, Some(0x20), Some(0));
        assert_eq!(told(touched.clone(), mapping(0x9000, 0xb000, Some(0), Some(0))), 0);
        assert_eq!(
            told(touched.clone(), mapping(0x9000, 0xa000, Some(0), Some(0x100))),
            0x1100,
            "what nothing is told of too"
        );
        assert_eq!(told(touched, mapping(0x9000, 0xb000, Some(0), None)), 0x2000, "not known");
        assert_eq!(unread(&memory, range, &[]), 0xa000 - 0x20);
    }

    #[test]
    fn what_is_outside_is_what_no_allocator_has() {
        let range = |start, end| Addr(start)..Addr(end);
        let own = [range(0x10, 0x20), range(0x30, 0x40)];
        assert_eq!(outside(range(0, 0x50), &own), [range(0, 0x10), range(0x20, 0x30), range(0x40, 0x50)]);
        assert_eq!(outside(range(0x10, 0x40), &own), [range(0x20, 0x30)]);
        assert_eq!(outside(range(0x12, 0x18), &own), []);
        assert_eq!(outside(range(0x18, 0x34), &own), [range(0x20, 0x30)]);
        assert_eq!(outside(range(0x50, 0x60), &own), [range(0x50, 0x60)]);
    }
}
