//! What is queued in a synchronization context.
//!
//! Input: a context. Output: what is in queues that it has, and what it refers to otherwise. Every context keeps what was posted to it in its
//! own way: what is in a queue of a known class (`ConcurrentQueue`, and with it `BlockingCollection` and channels; `Queue`) is known to be
//! there; of what its objects merely refer to it is not.

use std::collections::hash_map::Entry;

use rustc_hash::{FxHashMap, FxHashSet};

use super::shape::Role;
use crate::capture::Memory;
use crate::error::Error;
use crate::job::{Job, Meter};
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::plus;
use crate::runtimes::coreclr::heap::{Segments, Walked};
use crate::runtimes::coreclr::queues::Elements;
use crate::runtimes::coreclr::threads;
use crate::runtimes::coreclr::types::{ClassKind, Types};

/// Most objects of a context that are looked at, and most that what is in its queues leads to.
const MAX_OBJECTS: usize = 1 << 15;
/// Most that pieces of work lead to.
const MAX_CALLED: usize = 1 << 20;
/// Most bytes of an object in which references are looked for, and of all objects of a context.
const MAX_BYTES: u64 = 16 << 20;
const MAX_ALL_BYTES: u64 = 64 << 20;
/// Most bytes of an object that a stack refers to in which they are looked for.
const MAX_ENUMERATOR: u64 = 4096;
/// How many references lead at most from an element of a queue to what it calls: an object made for the element, the closure of a delegate,
/// the delegate in it.
const MAX_CALLS: usize = 3;
/// Most references of one object on that way: those that are made to call something have few.
const MAX_PARTS: usize = 16;

/// Bytes of an object's size that stand before it. Source: dotnet/runtime src/coreclr/vm/object.h, OBJHEADER_SIZE.
const HEADER: u64 = 8;

/// The synchronization context of a thread of the runtime; `Ok(None)` where it has none.
pub(super) fn of_thread(types: Types<'_>, thread: Addr) -> Known<Option<Addr>> {
    let object = threads::object(types.clr, thread)?;
    if object.0 == 0 {
        return Ok(None);
    }
    let context = types.object(object)?.address("_synchronizationContext")?;
    Ok(Some(context).filter(|context| context.0 != 0))
}

/// What a context has.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// What elements of its queues lead to, with the queue.
    queued: FxHashMap<Addr, Addr>,
    /// All that its objects refer to.
    reached: FxHashSet<Addr>,
    /// Its queues.
    queues: FxHashSet<Addr>,
    /// Of each of its objects the one that leads to it from the context; of the context none.
    from: FxHashMap<Addr, Addr>,
    /// Why it may have more; `None` where that is all.
    pub(super) unread: Option<Gap>,
}

impl Contents {
    /// Reads them. Fails once the job is cancelled.
    pub(super) fn of(types: Types<'_>, segments: &Segments, context: Addr, job: &Job) -> Result<Contents, Error> {
        let (mut meter, mut of_elements) = (job.meter(), job.meter());
        // Of several queues that share parts none is read twice.
        let mut elements = Elements::new(&mut of_elements);
        let mut reading = Reading::of(types, segments, MAX_OBJECTS);
        let mut pending = vec![context];
        while let Some(at) = pending.pop() {
            meter.add(1)?;
            if reading.found.reached.len() >= MAX_OBJECTS {
                reading.miss(too_many());
                break;
            }
            if !reading.found.reached.insert(at) {
                continue;
            }
            let object = match walked(types, at) {
                Ok(object) => object,
                Err(gap) => {
                    reading.miss(gap);
                    continue;
                }
            };
            if at != context && !is_part(types, object.table) {
                continue;
            }
            reading.add_queue(at, &mut elements, &mut meter)?;
            for to in reading.references(object) {
                if reading.found.reached.contains(&to) {
                    continue;
                }
                if pending.len() >= MAX_OBJECTS {
                    reading.miss(too_many());
                } else if let Entry::Vacant(unseen) = reading.found.from.entry(to) {
                    unseen.insert(at);
                    pending.push(to);
                }
            }
        }
        elements.gap.into_iter().for_each(|gap| reading.miss(gap));
        Ok(reading.found)
    }

    /// One that refers to a queue.
    #[cfg(test)]
    pub(super) fn with_queue(context: Addr, queue: Addr) -> Contents {
        let (queues, from) = (FxHashSet::from_iter([queue]), FxHashMap::from_iter([(queue, context)]));
        Contents { queues, from, ..Contents::default() }
    }

    /// The queue that has one of these in an element; `None` where none has.
    pub(super) fn queue_of(&self, wanted: &FxHashSet<Addr>) -> Option<Addr> {
        wanted.iter().find_map(|item| self.queued.get(item)).copied()
    }

    /// Whether its objects refer to one of these.
    pub(super) fn reaches(&self, wanted: &FxHashSet<Addr>) -> bool {
        wanted.iter().any(|item| self.reached.contains(item))
    }

    /// The objects between it and a queue of it, both among them, from the queue on.
    pub(super) fn way_to(&self, queue: Addr) -> impl Iterator<Item = Addr> {
        let queue = Some(queue).filter(|queue| self.queues.contains(queue));
        std::iter::successors(queue, |at| self.from.get(at).copied()).take(MAX_OBJECTS)
    }

    /// Those of all its queues.
    pub(super) fn ways(&self) -> FxHashSet<Addr> {
        let mut all = FxHashSet::default();
        for queue in &self.queues {
            // Where one joins another, the rest is there.
            let _ = self.way_to(*queue).all(|at| all.insert(at));
        }
        all
    }
}

fn too_many() -> Gap {
    Gap::Unsupported(format!("a synchronization context of more than {MAX_OBJECTS} objects"))
}

fn too_large() -> Gap {
    Gap::Unsupported(format!(
        "a synchronization context of objects of more than {MAX_BYTES} bytes, or {MAX_ALL_BYTES} together"
    ))
}

/// A context that is being read.
struct Reading<'a> {
    types: Types<'a>,
    segments: &'a Segments,
    found: Contents,
    /// By how many references from an element what it calls was met: what was met before is followed again where it is nearer.
    depths: FxHashMap<Addr, usize>,
    /// Most of those.
    most: usize,
    /// How many bytes references were looked for in.
    bytes: u64,
}

impl<'a> Reading<'a> {
    fn of(types: Types<'a>, segments: &'a Segments, most: usize) -> Reading<'a> {
        Reading { types, segments, found: Contents::default(), depths: FxHashMap::default(), most, bytes: 0 }
    }

    fn miss(&mut self, gap: Gap) {
        self.found.unread.get_or_insert(gap);
    }

    /// How many bytes references are still looked for in.
    fn left(&self) -> u64 {
        MAX_ALL_BYTES.saturating_sub(self.bytes)
    }

    /// What an object refers to, as far as that is looked for.
    fn references(&mut self, object: Walked) -> Vec<Addr> {
        let mut all = Vec::new();
        let pattern = match self.types.pattern(object.table) {
            Ok(Some(pattern)) => pattern,
            Ok(None) => return all,
            Err(gap) => {
                self.miss(gap);
                return all;
            }
        };
        let bytes = object.bytes.min(MAX_BYTES).min(self.left());
        self.bytes = self.bytes.saturating_add(bytes);
        let memory = self.types.clr.memory();
        if bytes < object.bytes {
            self.miss(too_large());
        }
        if let Some(gap) = missing(memory, object.at, bytes.saturating_sub(HEADER)) {
            self.miss(gap);
        }
        pattern.each(memory, Walked { bytes, ..object }, &mut |_, to| all.push(to));
        all
    }

    /// Adds what the elements of an object lead to, where that is a queue.
    fn add_queue(&mut self, at: Addr, elements: &mut Elements<'_, '_>, meter: &mut Meter<'_>) -> Result<(), Error> {
        let queue = match self.types.object(at) {
            Ok(queue) => queue,
            Err(gap) => {
                self.miss(gap);
                return Ok(());
            }
        };
        let before = elements.places.len();
        elements.add(&queue)?;
        for (place, bytes) in elements.places.iter().skip(before) {
            meter.add(1)?;
            self.found.queues.insert(at);
            self.add_element(*place, *bytes, at);
        }
        Ok(())
    }

    /// Adds what an element of a queue calls. Its words are references and what else the element has.
    fn add_element(&mut self, place: Addr, bytes: u64, queue: Addr) {
        let memory = self.types.clr.memory();
        if bytes > self.left() {
            self.miss(too_large());
            return;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        let held = match memory.slice_up_to(place, bytes) {
            Ok(held) => held,
            Err(gap) => return self.miss(gap.into()),
        };
        memory.pointers(held).for_each(|word| self.add_calls(word, queue));
        if let Some(gap) = missing(memory, place, bytes) {
            self.miss(gap);
        }
    }

    /// Adds what a word of an element calls.
    fn add_calls(&mut self, first: Addr, queue: Addr) {
        let mut pending = vec![(first, 0)];
        while let Some((at, depth)) = pending.pop() {
            if at.0 == 0 || self.depths.get(&at).is_some_and(|known| *known <= depth) {
                continue;
            }
            let object = match walked(self.types, at) {
                Ok(object) => object,
                Err(gap) => {
                    if self.segments.holding(at).is_some() {
                        self.miss(gap);
                    }
                    continue;
                }
            };
            if self.depths.len() >= self.most {
                self.miss(too_many());
                return;
            }
            self.depths.insert(at, depth);
            self.found.queued.entry(at).or_insert(queue);
            if depth < MAX_CALLS {
                let parts = self.called_by(object);
                pending.extend(parts.into_iter().take(MAX_PARTS).map(|to| (to, depth.saturating_add(1))));
            }
        }
    }

    /// What an object calls.
    fn called_by(&mut self, object: Walked) -> Vec<Addr> {
        match self.types.shape(object.table).map(|shape| shape.role) {
            // Of a task its own code, and not what goes on with it.
            Ok(Role::Task) => {
                let part = |name| self.types.object(object.at).and_then(|task| task.address(name));
                let parts = ["m_action", "m_stateObject"].map(part);
                parts.into_iter().filter_map(|part| part.map_err(|gap| self.miss(gap)).ok()).collect()
            }
            Ok(Role::Delegate | Role::Wrapper | Role::Other) => self.references(object),
            Ok(_) => Vec::new(),
            Err(gap) => {
                self.miss(gap);
                Vec::new()
            }
        }
    }
}

/// What pieces of work call.
pub(super) struct Called {
    /// The objects that they lead to, they themselves among them.
    pub(super) all: FxHashSet<Addr>,
    /// Whether there are no others.
    pub(super) is_whole: bool,
}

/// Reads it. Fails once the job is cancelled.
pub(super) fn called(types: Types<'_>, segments: &Segments, work: &[Addr], job: &Job) -> Result<Called, Error> {
    let (mut meter, mut reading) = (job.meter(), Reading::of(types, segments, MAX_CALLED));
    for at in work {
        meter.add(1)?;
        reading.add_calls(*at, *at);
    }
    Ok(Called { all: reading.depths.into_keys().collect(), is_whole: reading.found.unread.is_none() })
}

/// What an object refers to.
pub(super) fn parts(types: Types<'_>, at: Addr) -> Known<Vec<Addr>> {
    let object = walked(types, at)?;
    let mut all = Vec::new();
    each_reference(types, Walked { bytes: object.bytes.min(MAX_BYTES), ..object }, |to| all.push(to));
    Ok(all)
}

/// Why not all bytes from an address on are at hand; `None` where they are.
fn missing(memory: &Memory, at: Addr, bytes: u64) -> Option<Gap> {
    let held = memory.slice_up_to(at, bytes.max(1)).map(|held| held.len() as u64);
    match held {
        Ok(held) if held >= bytes => None,
        Ok(_) => Some(Gap::Unsupported(format!("{bytes} bytes at {at} that lie in several parts of the dump"))),
        Err(gap) => Some(gap.into()),
    }
}

/// Which of these objects a word of a stack leads to: it is one, or an object that refers to one, as an enumerator does to what it
/// enumerates.
pub(super) fn led_to(types: Types<'_>, segments: &Segments, word: Addr, objects: &FxHashSet<Addr>) -> Option<Addr> {
    if objects.contains(&word) {
        return Some(word);
    }
    if !word.is_aligned(8) || segments.holding(word).is_none() {
        return None;
    }
    let object = walked(types, word).ok()?;
    if !is_part(types, object.table) {
        return None;
    }
    let is_array = types.class(object.table).is_ok_and(|class| class.component > 0);
    // What ends a class's references is told by the size of its objects.
    let bytes = if is_array { object.bytes.min(MAX_ENUMERATOR) } else { object.bytes };
    if bytes > MAX_ENUMERATOR {
        return None;
    }
    let mut found = None;
    each_reference(types, Walked { bytes, ..object }, |to| {
        if found.is_none() && objects.contains(&to) {
            found = Some(to);
        }
    });
    found
}

/// Whether what an object refers to may be part of a queue.
fn is_part(types: Types<'_>, table: Addr) -> bool {
    let is_other = types.derives(table, "System.Threading.Thread");
    !is_other && types.shape(table).is_ok_and(|shape| matches!(shape.role, Role::Other | Role::List | Role::Sentinel))
}

fn each_reference(types: Types<'_>, object: Walked, mut visit: impl FnMut(Addr)) {
    if let Ok(Some(pattern)) = types.pattern(object.table) {
        pattern.each(types.clr.memory(), object, &mut |_, to| visit(to));
    }
}

/// An object with its size.
fn walked(types: Types<'_>, at: Addr) -> Known<Walked> {
    let table = types.table_of(at)?;
    let class = types.class(table)?;
    let count = match class.kind {
        ClassKind::Array { .. } | ClassKind::Text => types.clr.memory().u32(plus(at, 8)?)?,
        _ => 0,
    };
    let bytes = u64::from(class.component).saturating_mul(count.into()).saturating_add(class.base_size.into());
    Ok(Walked { at, table, bytes })
}
