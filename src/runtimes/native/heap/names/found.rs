//! The names of blocks as they are found: each block gets one, the first; what it holds is looked at later, breadth
//! first.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::described::Ty;
use super::shapes::{Holds, Implementor, Kind, ShapeId, Shapes, Use, UseId};
use super::walk::{Extent, NONE, Proposal, Walk};
use crate::capture::Memory;
use crate::error::Error;
use crate::heap::{ObjectId, Objects};
use crate::job::Job;
use crate::model::Addr;

/// Values that are looked at between two rounds of naming.
const ROUND: u64 = 1 << 16;
/// Values below this number are looked at by one thread.
const FEW: u64 = 1 << 9;
/// Values at once in one thread.
const CHUNK: u64 = 1 << 11;
/// Types of blocks beyond this many are not told apart.
const MAX_TYPES: usize = 1 << 20;
/// How much larger than needed a block may be: what is too small to be split off.
const SLACK: u64 = 16;
/// Elements of an array, and slots of each, that are held against what is mapped.
const MAX_CHECKED: u64 = 8;

/// Nodes of deques that are followed for each block of the heap.
const NODES: u64 = 4;

/// Values to be looked at.
#[derive(Clone, Copy, Debug)]
struct Span {
    at: Addr,
    count: u32,
    shape: ShapeId,
}

/// A type of blocks, by what refers to them.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub name: Arc<str>,
    /// Of one value, where it is known; with its size.
    pub ty: Option<(Ty, u64)>,
    /// Whether the block holds several.
    pub is_array: bool,
    /// One of what refers to such blocks: `shop::Order.items`, `g_orders[]`.
    pub example: String,
}

/// What the blocks of a heap are.
pub(super) struct Found<'a> {
    memory: &'a Memory,
    objects: &'a Objects,
    pub shapes: Shapes<'a>,
    pub vtables: FxHashMap<Addr, Implementor>,
    /// What an allocator takes for so many bytes in this object's place.
    takes: &'a (dyn Fn(ObjectId, u64) -> u64 + Sync),
    pointer: u64,
    /// Of each object the type: one recorded in it, behind those an entry's; or none.
    pub types: Vec<u32>,
    recorded: u32,
    pub entries: Vec<Entry>,
    /// Blocks that keep the number of their values in front of them, in so many bytes.
    pub cookies: FxHashMap<ObjectId, u64>,
    by_use: FxHashMap<(UseId, bool), u32>,
    waiting: Vec<Span>,
    /// Nodes of deques that may still be followed: each is a block, and several variables may show one deque.
    nodes: AtomicU64,
}

impl<'a> Found<'a> {
    /// Nothing is named yet but the objects whose type is one of the first `recorded`.
    pub(super) fn new(
        memory: &'a Memory,
        objects: &'a Objects,
        shapes: Shapes<'a>,
        takes: &'a (dyn Fn(ObjectId, u64) -> u64 + Sync),
        recorded: u32,
        pointer: u64,
    ) -> Found<'a> {
        let of_type = |id| u32::try_from(objects.of_type(id)).ok().filter(|of_type| *of_type < recorded);
        let types = (0..objects.len()).map(|id| of_type(id).unwrap_or(NONE)).collect();
        let (vtables, entries, cookies, by_use, waiting) = Default::default();
        let nodes = AtomicU64::new(u64::from(objects.len()).saturating_mul(NODES).saturating_add(FEW));
        Found {
            memory,
            objects,
            shapes,
            vtables,
            takes,
            pointer,
            types,
            recorded,
            entries,
            cookies,
            by_use,
            waiting,
            nodes,
        }
    }

    fn walk(&self) -> Walk<'_> {
        Walk {
            memory: self.memory,
            objects: self.objects,
            shapes: &self.shapes,
            vtables: &self.vtables,
            types: &self.types,
            recorded: self.recorded,
            pointer: self.pointer,
            nodes: &self.nodes,
        }
    }

    /// Names what a variable refers to.
    pub(super) fn variable(&mut self, ty: Ty, held: Held<'_>, name: &dyn Fn() -> String) {
        let Some(shape) = self.shapes.of_type(ty) else { return };
        let mut found = Vec::new();
        match held {
            Held::Memory(at) => self.walk().values(shape, at, 1, &mut found),
            Held::Bytes(bytes) => self.walk().value(shape, bytes, &mut found),
        }
        for proposal in found {
            self.accept(proposal, &|path| format!("{}{path}", name()));
        }
    }

    /// Names what the objects refer to whose type is recorded in them; `shapes` are those of the types.
    pub(super) fn recorded(&mut self, shapes: &[Option<ShapeId>], job: &Job) -> Result<(), Error> {
        let mut first = 0;
        while first < self.objects.len() {
            job.check()?;
            let last = first.saturating_add(u32::try_from(ROUND).unwrap_or(u32::MAX)).min(self.objects.len());
            let walk = self.walk();
            let look = |range: std::ops::Range<u32>| {
                let mut found = Vec::new();
                for id in range {
                    let of_type = self.types.get(id as usize).copied().unwrap_or(NONE);
                    let shape = shapes.get(of_type as usize).copied().flatten();
                    if let (Some(shape), Some(at)) = (shape, self.objects.address(id)) {
                        walk.values(shape, at, 1, &mut found);
                    }
                }
                found
            };
            let step = u32::try_from(CHUNK).unwrap_or(u32::MAX);
            let chunks = (first..last).step_by(step as usize).map(|at| at..at.saturating_add(step).min(last));
            let found: Vec<Vec<Proposal>> = chunks.collect::<Vec<_>>().into_par_iter().map(look).collect();
            self.accept_all(found);
            first = last;
        }
        Ok(())
    }

    /// Looks at what was named, and at what is named by that, until nothing new is. Counts values at the job.
    pub(super) fn follow(&mut self, job: &Job) -> Result<(), Error> {
        while !self.waiting.is_empty() {
            let level = std::mem::take(&mut self.waiting);
            let mut rest = level.as_slice();
            while let Some(count) = round(rest) {
                let (now, later) = rest.split_at_checked(count).unwrap_or((rest, &[]));
                rest = later;
                let values: u64 = now.iter().map(|span| u64::from(span.count)).sum();
                job.advance(values)?;
                let walk = self.walk();
                let look = |spans: &[Span]| {
                    let mut found = Vec::new();
                    spans.iter().for_each(|span| {
                        walk.values(span.shape, span.at, span.count.into(), &mut found);
                    });
                    found
                };
                let found: Vec<Vec<Proposal>> = if values < FEW {
                    vec![look(now)]
                } else {
                    now.par_chunks(now.len().div_ceil(32).max(1)).map(look).collect()
                };
                self.accept_all(found);
            }
            if self.waiting.is_empty() {
                // Its room serves the next level.
                self.waiting = level;
                self.waiting.clear();
            }
        }
        Ok(())
    }

    fn accept_all(&mut self, found: Vec<Vec<Proposal>>) {
        for proposal in found.into_iter().flatten() {
            self.accept(proposal, &|path| path.to_owned());
        }
    }

    /// Names a block, unless it has a name. `example` says what a variable's part is called.
    fn accept(&mut self, proposal: Proposal, example: &dyn Fn(&str) -> String) {
        let Proposal { object, of, extent, by } = proposal;
        let Some(&known) = self.types.get(object as usize) else { return };
        let Some(used) = self.shapes.uses().get(of as usize).cloned() else { return };
        let bytes = self.objects.bytes(object);
        if let Extent::Also(at, count) = extent {
            let is_it = self.by_use.get(&(of, false)).is_some_and(|entry| self.type_of_entry(*entry) == known);
            if is_it {
                self.push(of, at, count, bytes);
            }
            return;
        }
        let has_elements = matches!(extent, Extent::Span(_, count) if count > 0);
        let is_open = known == NONE || (known < self.recorded && used.holds == Holds::Counted && has_elements);
        let Some(start) = self.objects.address(object).filter(|_| is_open) else { return };
        let (at, count, is_array) = match extent {
            Extent::Start => match self.count(object, bytes, &used, of, start) {
                0 | 1 => (start, 1, false),
                count => (start, count, true),
            },
            Extent::Cookie(cookie) => match self.cookie(object, bytes, &used, start, cookie) {
                Some((at, count)) => (at, count, true),
                None => return,
            },
            Extent::Span(at, count) => (at, count, false),
            Extent::Table(..) | Extent::Also(..) => (start, 0, false),
        };
        let Some(entry) = self.entry(of, &used, is_array, by, example) else { return };
        let of_type = self.type_of_entry(entry);
        if let Some(slot) = self.types.get_mut(object as usize) {
            *slot = of_type;
        }
        if let Extent::Cookie(cookie) = extent {
            self.cookies.insert(object, cookie);
        }
        match extent {
            Extent::Table(control, mask) => self.push_table(of, &used, control, mask),
            _ => self.push(of, at, count, bytes),
        }
    }

    fn type_of_entry(&self, entry: u32) -> u32 {
        self.recorded.saturating_add(entry)
    }

    /// Has values looked at later. They lie in a block of so many bytes.
    fn push(&mut self, of: UseId, at: Addr, count: u64, bytes: u64) {
        let Some(shape) = self.shapes.of_use(of) else { return };
        let Some(size) = self.shapes.get(shape).map(|shape| shape.size.max(1)) else { return };
        let mut left = count.min(bytes.checked_div(size).unwrap_or(0).max(1)).min(count);
        let mut at = at;
        while left > 0 {
            let now = left.min(ROUND);
            self.waiting.push(Span { at, count: u32::try_from(now).unwrap_or(0), shape });
            left = left.saturating_sub(now);
            match size.checked_mul(now).and_then(|bytes| at.plus(bytes)) {
                Some(next) => at = next,
                None => return,
            }
        }
    }

    /// The elements of a table lie before its control bytes, the first next to them. A control byte of a full place is
    /// below 0x80.
    /// Source: hashbrown 0.15, src/raw/mod.rs "RawTableInner" and src/control/tag.rs.
    fn push_table(&mut self, of: UseId, used: &Use, control: Addr, mask: u64) {
        let Ok(tags) = self.memory.slice_up_to(control, mask.saturating_add(1)) else { return };
        let memory_end = tags.len() as u64;
        let mut at = 0;
        while at < memory_end {
            let rest = usize::try_from(at).ok().and_then(|at| tags.get(at..)).unwrap_or_default();
            let full = rest.iter().take_while(|tag| **tag < 0x80).count() as u64;
            let last = at.saturating_add(full);
            if full > 0 {
                let start = last.checked_mul(used.size).and_then(|bytes| control.minus(bytes));
                let Some(start) = start else { return };
                self.push(of, start, full, u64::MAX);
            }
            let rest = usize::try_from(last).ok().and_then(|at| tags.get(at..)).unwrap_or_default();
            let empty = rest.iter().take_while(|tag| **tag >= 0x80).count() as u64;
            at = last.saturating_add(empty.max(u64::from(full == 0)));
        }
    }

    /// How many values a block holds whose first is at its start.
    fn count(&mut self, object: ObjectId, bytes: u64, used: &Use, of: UseId, start: Addr) -> u64 {
        let size = used.size;
        if used.holds != Holds::Values || size == 0 || bytes <= (self.takes)(object, size) {
            return 1;
        }
        let mut count = bytes.checked_div(size).unwrap_or(0);
        // What the allocator keeps in it for itself is less than two values, or they are small.
        for _ in 0..MAX_CHECKED {
            if count <= 1 || (self.takes)(object, count.saturating_mul(size)) <= bytes {
                break;
            }
            count = count.saturating_sub(1);
        }
        if count > 1 && self.are_values(of, start, count) { count } else { 1 }
    }

    /// Whether what follows the first value can be more of them: pointers lead to what is mapped.
    fn are_values(&mut self, of: UseId, start: Addr, count: u64) -> bool {
        let Some(shape) = self.shapes.of_use(of).and_then(|shape| self.shapes.get(shape)) else { return true };
        let is_pointer = |at: Addr, offset: u64| {
            let to = at.plus(offset).and_then(|at| self.memory.ptr(at).ok());
            to.is_some_and(|to| to.0 == 0 || self.memory.region_at(to).is_some())
        };
        let pointers = shape.slots.iter().filter(|slot| matches!(slot.kind, Kind::Pointer(_)));
        let offsets: Vec<u64> = pointers.map(|slot| slot.offset).take(MAX_CHECKED as usize).collect();
        (1..count.min(MAX_CHECKED)).all(|index| {
            let at = shape.size.checked_mul(index).and_then(|offset| start.plus(offset));
            at.is_some_and(|at| offsets.iter().all(|offset| is_pointer(at, *offset)))
        })
    }

    /// Where the values are, and how many, of a block of `new T[n]` that keeps the number in front of them.
    fn cookie(&self, object: ObjectId, bytes: u64, used: &Use, start: Addr, cookie: u64) -> Option<(Addr, u64)> {
        if used.size == 0 || used.holds != Holds::Values {
            return None;
        }
        let at = start.plus(cookie)?;
        let count = self.memory.ptr(at.minus(self.pointer)?).ok()?.0;
        let needed = (self.takes)(object, count.checked_mul(used.size)?.checked_add(cookie)?);
        (count > 0 && needed <= bytes && bytes.saturating_sub(needed) <= SLACK).then_some((at, count))
    }

    fn entry(
        &mut self,
        of: UseId,
        used: &Use,
        is_array: bool,
        by: (ShapeId, u32),
        example: &dyn Fn(&str) -> String,
    ) -> Option<u32> {
        if let Some(known) = self.by_use.get(&(of, is_array)) {
            return Some(*known);
        }
        if self.entries.len() >= MAX_TYPES {
            return None;
        }
        let shape = self.shapes.get(by.0);
        let path = shape.and_then(|shape| shape.slots.get(by.1 as usize)).map_or("", |slot| &slot.path);
        let whole = example(path);
        let example =
            if whole == path { shape.map_or_else(String::new, |shape| format!("{}{path}", shape.name)) } else { whole };
        let name: Arc<str> = if is_array { format!("{}[]", used.name).into() } else { Arc::clone(&used.name) };
        let id = u32::try_from(self.entries.len()).ok()?;
        let is_counted = used.holds == Holds::Counted;
        self.entries.push(Entry {
            name,
            ty: used.ty.map(|ty| (ty, used.size)),
            is_array: is_array || is_counted,
            example,
        });
        self.by_use.insert((of, is_array), id);
        Some(id)
    }
}

/// The value of a variable.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held<'h> {
    Memory(Addr),
    Bytes(&'h [u8]),
}

/// How many of the first spans make a round; `None` where there is none.
fn round(spans: &[Span]) -> Option<usize> {
    let mut values = 0u64;
    let fits = |span: &&Span| {
        values = values.saturating_add(span.count.into());
        values <= ROUND
    };
    (!spans.is_empty()).then(|| spans.iter().take_while(fits).count().max(1))
}
