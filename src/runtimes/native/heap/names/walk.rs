//! What values say of blocks: a shape laid over bytes gives proposals, each a block and what it is said to be.

use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::FxHashMap;

use super::shapes::{Deque, Holds, Implementor, Kind, ShapeId, Shapes, UseId};
use crate::capture::Memory;
use crate::heap::{ObjectId, Objects};
use crate::model::Addr;

/// Arrays and alternatives in one another that are looked into.
const MAX_DEPTH: usize = 16;
/// The number of elements that `new T[n]` keeps in front of them takes this much, or as much as their alignment asks
/// for.
/// Source: Itanium C++ ABI 2.7 "Array Operator new Cookies".
const COOKIES: [u64; 2] = [8, 16];
/// Control bytes of hashbrown are aligned to the group that is compared at once: 16 bytes with SSE2, else 8.
const GROUPS: [u64; 2] = [16, 8];

/// The type of a block that nothing named yet.
pub(super) const NONE: u32 = u32::MAX;

/// A block, and what it is said to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proposal {
    pub object: ObjectId,
    pub of: UseId,
    pub extent: Extent,
    /// The slot that says so.
    pub by: (ShapeId, u32),
}

/// How much of a block its values take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// From its start, as its size tells.
    Start,
    /// Behind so many bytes, the last word of which is their number.
    Cookie(u64),
    /// So many at an address.
    Span(Addr, u64),
    /// More of them, in a block that has been named before.
    Also(Addr, u64),
    /// Those whose control bytes say so: where these are, and how many less one.
    Table(Addr, u64),
}

/// Lays shapes over bytes.
pub(super) struct Walk<'a> {
    pub memory: &'a Memory,
    pub objects: &'a Objects,
    pub shapes: &'a Shapes<'a>,
    /// The values that Rust's vtables stand for.
    pub vtables: &'a FxHashMap<Addr, Implementor>,
    /// The type of each object so far.
    pub types: &'a [u32],
    /// Types below this one are recorded in the objects.
    pub recorded: u32,
    /// Bytes of a pointer.
    pub pointer: u64,
    /// Nodes of deques that may still be followed: deques that share a map would follow each other's.
    pub nodes: &'a AtomicU64,
}

impl Walk<'_> {
    /// What `count` values one after the other say.
    pub(super) fn values(&self, shape: ShapeId, at: Addr, count: u64, found: &mut Vec<Proposal>) {
        let Some(size) = self.shapes.get(shape).map(|shape| shape.size) else { return };
        for index in 0..count {
            let Some(bytes) =
                size.checked_mul(index).and_then(|offset| self.memory.slice_up_to(at.plus(offset)?, size).ok())
            else {
                return;
            };
            self.value(shape, bytes, found);
        }
    }

    /// What one value says; bytes that are missing at its end say nothing.
    pub(super) fn value(&self, shape: ShapeId, bytes: &[u8], found: &mut Vec<Proposal>) {
        self.at(shape, bytes, 0, found);
    }

    fn at(&self, shape_id: ShapeId, bytes: &[u8], depth: usize, found: &mut Vec<Proposal>) {
        let Some(shape) = self.shapes.get(shape_id).filter(|_| depth < MAX_DEPTH) else { return };
        for (index, slot) in (0u32..).zip(&shape.slots) {
            let by = (shape_id, index);
            let word = |offset| self.word(bytes, offset);
            let to = word(slot.offset).unwrap_or_default();
            match &slot.kind {
                Kind::Repeat { stride, count, shape } => {
                    let rest = usize::try_from(slot.offset).ok().and_then(|from| bytes.get(from..));
                    let Ok(stride) = usize::try_from(*stride) else { continue };
                    let elements = rest.unwrap_or_default().chunks_exact(stride.max(1));
                    for element in elements.take(usize::try_from(*count).unwrap_or(usize::MAX)) {
                        self.at(*shape, element, depth.saturating_add(1), found);
                    }
                }
                Kind::Variant { by: None, cases } => {
                    if let Some((_, case)) = cases.first() {
                        self.at(*case, bytes, depth.saturating_add(1), found);
                    }
                }
                Kind::Variant { by: Some((offset, size)), cases } => {
                    let Some(number) = number(bytes, *offset, *size) else { continue };
                    let is = |stated: i128| cut(stated.cast_unsigned(), *size) == number;
                    let exact = cases.iter().find(|(stated, _)| stated.is_some_and(is));
                    if let Some((_, case)) = exact.or_else(|| cases.iter().find(|(stated, _)| stated.is_none())) {
                        self.at(*case, bytes, depth.saturating_add(1), found);
                    }
                }
                // All others begin with a pointer.
                _ if to.0 == 0 => {}
                Kind::Pointer(of) => self.pointer(to, *of, by, found),
                Kind::Range { end, of } => {
                    let size = self.size(*of);
                    let bytes = word(*end).and_then(|end| end.since(to)).unwrap_or(0);
                    self.elements(to, bytes.checked_div(size).unwrap_or(0), *of, by, found);
                }
                Kind::Counted { count, of } => {
                    let count = word(*count).map_or(0, |count| count.0);
                    self.elements(to, count, *of, by, found);
                }
                Kind::Ring { head, count, room, of } => {
                    let number = |offset| word(offset).map_or(0, |number| number.0);
                    let (head, count, room) = (number(*head), number(*count), number(*room));
                    let first = count.min(room.saturating_sub(head));
                    let start = head.checked_mul(self.size(*of)).and_then(|offset| to.plus(offset));
                    let (Some(start), Some(object)) = (start, self.objects.at(to)) else { continue };
                    let mut propose = |extent| found.push(Proposal { object, of: *of, extent, by });
                    propose(Extent::Span(start, first));
                    propose(Extent::Also(to, count.saturating_sub(first)));
                }
                Kind::Deque(deque) => self.deque(deque, to, bytes, by, found),
                Kind::Table { mask, of } => self.table(to, word(*mask).map_or(0, |mask| mask.0), *of, by, found),
                Kind::Dynamic { vtable, counted } => {
                    let implementor = word(*vtable).and_then(|vtable| self.vtables.get(&vtable));
                    let of = implementor.and_then(|of| match counted {
                        Some(as_which) => of.counted.get(*as_which).copied().flatten(),
                        None => Some(of.value),
                    });
                    if let Some(of) = of {
                        self.pointer(to, of, by, found);
                    }
                }
            }
        }
    }

    fn word(&self, bytes: &[u8], offset: u64) -> Option<Addr> {
        u64::try_from(number(bytes, offset, self.pointer)?).ok().map(Addr)
    }

    fn size(&self, of: UseId) -> u64 {
        self.shapes.uses().get(of as usize).map_or(0, |of| of.size)
    }

    /// Whether a block may still be named so: one with a vtable by its container alone, which knows that there are
    /// several.
    fn is_open(&self, object: ObjectId, of: UseId) -> bool {
        match self.types.get(object as usize) {
            Some(&NONE) => true,
            Some(known) if *known < self.recorded => {
                self.shapes.uses().get(of as usize).is_some_and(|of| of.holds == Holds::Counted)
            }
            _ => false,
        }
    }

    fn pointer(&self, to: Addr, of: UseId, by: (ShapeId, u32), found: &mut Vec<Proposal>) {
        let Some(object) = self.objects.holding(to).filter(|object| self.is_open(*object, of)) else { return };
        let Some(before) = self.objects.address(object).and_then(|start| to.since(start)) else { return };
        if before == 0 {
            found.push(Proposal { object, of, extent: Extent::Start, by });
        } else if COOKIES.contains(&before) {
            found.push(Proposal { object, of, extent: Extent::Cookie(before), by });
        }
    }

    /// `count` elements at the start of a block.
    fn elements(&self, to: Addr, count: u64, of: UseId, by: (ShapeId, u32), found: &mut Vec<Proposal>) {
        let Some(object) = self.objects.at(to).filter(|object| self.is_open(*object, of)) else { return };
        found.push(Proposal { object, of, extent: Extent::Span(to, count), by });
    }

    fn deque(&self, deque: &Deque, map: Addr, bytes: &[u8], by: (ShapeId, u32), found: &mut Vec<Proposal>) {
        let Some(object) = self.objects.at(map) else { return };
        found.push(Proposal { object, of: deque.map, extent: Extent::Start, by });
        let read = |offsets: [u64; 4]| Some(offsets.map(|offset| self.word(bytes, offset).unwrap_or_default()));
        let (Some([start, first, last, node]), Some([finish, _, _, last_node])) =
            (read(deque.start), read(deque.finish))
        else {
            return;
        };
        let size = self.size(deque.node).max(1);
        let room = self.objects.bytes(object);
        let Some(whole) = last.since(first) else { return };
        let Some(nodes) = last_node.since(node).filter(|bytes| *bytes < room) else { return };
        let last = nodes.checked_div(self.pointer).unwrap_or(0);
        if !take(self.nodes, last.saturating_add(1)) {
            return;
        }
        for index in 0..=last {
            let at = index.checked_mul(self.pointer).and_then(|offset| node.plus(offset));
            let Some(begin) = at.and_then(|at| self.memory.ptr(at).ok()) else { return };
            let (Some(object), Some(end)) = (self.objects.at(begin), begin.plus(whole)) else { continue };
            let from = if start >= begin && start < end { start } else { begin };
            let to = if finish >= begin && finish < end { finish } else { end };
            let count = to.since(from).unwrap_or(0).checked_div(size).unwrap_or(0);
            found.push(Proposal { object, of: deque.node, extent: Extent::Span(from, count), by });
        }
    }

    fn table(&self, control: Addr, mask: u64, of: UseId, by: (ShapeId, u32), found: &mut Vec<Proposal>) {
        let Some(object) = self.objects.holding(control).filter(|object| self.is_open(*object, of)) else { return };
        let before = self.objects.address(object).and_then(|start| control.since(start));
        let elements = mask.checked_add(1).and_then(|count| count.checked_mul(self.size(of)));
        let expected = |group: &u64| elements.and_then(|bytes| bytes.checked_next_multiple_of(*group));
        if before.is_some() && GROUPS.iter().any(|group| expected(group) == before) {
            found.push(Proposal { object, of, extent: Extent::Table(control, mask), by });
        }
    }
}

/// Takes so many of what is left; `false` where there are not so many.
fn take(left: &AtomicU64, wanted: u64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(wanted)).is_ok()
}

/// So many bytes as a number.
fn number(bytes: &[u8], offset: u64, size: u64) -> Option<u128> {
    let from = usize::try_from(offset).ok()?;
    let part = bytes.get(from..from.checked_add(usize::try_from(size).ok()?)?)?;
    let mut wide = [0; 16];
    wide.get_mut(..part.len())?.copy_from_slice(part);
    Some(u128::from_le_bytes(wide))
}

/// The lowest `size` bytes.
fn cut(number: u128, size: u64) -> u128 {
    let bits = u32::try_from(size.saturating_mul(8)).unwrap_or(128);
    1u128.checked_shl(bits).map_or(number, |above| number & above.wrapping_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_left_no_more() {
        let left = AtomicU64::new(5);
        assert_eq!([3, 3, 2, 1].map(|wanted| take(&left, wanted)), [true, false, true, false]);
    }

    #[test]
    fn numbers_are_read_within_the_bytes_that_are_there() {
        let bytes = [1, 2, 3, 4];
        assert_eq!(number(&bytes, 1, 2), Some(0x302));
        assert_eq!([number(&bytes, 3, 2), number(&bytes, u64::MAX, 8), number(&bytes, 0, u64::MAX)], [None; 3]);
        assert_eq!(number(&[0; 32], 0, 17), None, "no number is wider than 16 bytes");
    }

    #[test]
    fn a_stated_discriminant_is_compared_in_the_bytes_that_it_has() {
        assert_eq!(cut((-1i128).cast_unsigned(), 1), 0xff);
        assert_eq!(cut((-1i128).cast_unsigned(), 16), u128::MAX);
        assert_eq!(cut(0x1234, 8), 0x1234);
    }
}
