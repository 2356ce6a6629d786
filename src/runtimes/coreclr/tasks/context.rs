//! What is queued in a synchronization context.
//!
//! Input: a context. Output: what is in queues that it has, and what it refers to otherwise. Every context keeps what was posted to it in its
//! own way: what is in a queue of a known class (`ConcurrentQueue`, and with it `BlockingCollection` and channels; `Queue`) is known to be
//! there; of what its objects merely refer to it is not.

use rustc_hash::{FxHashMap, FxHashSet};

use super::shape::Role;
use crate::error::Error;
use crate::job::Meter;
use crate::model::{Addr, Known};
use crate::runtimes::coreclr::clr::plus;
use crate::runtimes::coreclr::heap::{Segments, Walked};
use crate::runtimes::coreclr::queues::Elements;
use crate::runtimes::coreclr::threads;
use crate::runtimes::coreclr::types::{ClassKind, Types};

/// Most objects of a context that are looked at.
const MAX_OBJECTS: usize = 1 << 15;
/// Most bytes of an object in which references are looked for.
const MAX_BYTES: u64 = 16 << 20;
/// Most bytes of an object that a stack refers to in which they are looked for.
const MAX_ENUMERATOR: u64 = 256;
/// How many references lead at most from an element of a queue to what it calls: an object made for the element, the closure of a delegate,
/// the delegate in it.
const MAX_CALLS: usize = 3;
/// Most references of one object on that way: those that are made to call something have few.
const MAX_PARTS: usize = 16;

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
    /// For each of its queues the objects between the context and it, both among them.
    ways: FxHashMap<Addr, Vec<Addr>>,
}

impl Contents {
    /// Reads them. Fails once the job is cancelled.
    pub(super) fn of(types: Types<'_>, context: Addr, meter: &mut Meter<'_>) -> Result<Contents, Error> {
        let mut found = Contents::default();
        let mut from: FxHashMap<Addr, Addr> = FxHashMap::default();
        let mut pending = vec![context];
        while let Some(at) = pending.pop() {
            meter.add(1)?;
            if found.reached.len() >= MAX_OBJECTS || !found.reached.insert(at) {
                continue;
            }
            let Ok(object) = walked(types, at) else { continue };
            if at != context && !is_part(types, object.table) {
                continue;
            }
            found.add_queue(types, at, &from, meter)?;
            each_reference(types, object, |to| {
                if pending.len() < MAX_OBJECTS && !found.reached.contains(&to) {
                    from.entry(to).or_insert(at);
                    pending.push(to);
                }
            });
        }
        Ok(found)
    }

    /// The queue that has one of these in an element; `None` where none has.
    pub(super) fn queue_of(&self, wanted: &FxHashSet<Addr>) -> Option<Addr> {
        wanted.iter().find_map(|item| self.queued.get(item)).copied()
    }

    /// Whether its objects refer to one of these.
    pub(super) fn reaches(&self, wanted: &FxHashSet<Addr>) -> bool {
        wanted.iter().any(|item| self.reached.contains(item))
    }

    /// The objects between it and a queue of it, both among them.
    pub(super) fn way_to(&self, queue: Addr) -> &[Addr] {
        self.ways.get(&queue).map(Vec::as_slice).unwrap_or_default()
    }

    /// Those of all its queues.
    pub(super) fn ways(&self) -> impl Iterator<Item = Addr> {
        self.ways.values().flatten().copied()
    }

    /// Adds what the elements of an object lead to, where that is a queue.
    fn add_queue(
        &mut self,
        types: Types<'_>,
        at: Addr,
        from: &FxHashMap<Addr, Addr>,
        meter: &mut Meter<'_>,
    ) -> Result<(), Error> {
        let Ok(queue) = types.object(at) else { return Ok(()) };
        let mut elements = Elements::new(meter);
        elements.add(&queue)?;
        let places = elements.places;
        if places.is_empty() {
            return Ok(());
        }
        for (place, bytes) in places {
            let words = types.clr.memory().slice_up_to(place, bytes).unwrap_or_default();
            for word in types.clr.memory().pointers(words) {
                self.add_calls(types, word, at);
            }
            meter.add(1)?;
        }
        let mut way = vec![at];
        while let Some(before) = way.last().and_then(|last| from.get(last)).filter(|_| way.len() < MAX_OBJECTS) {
            way.push(*before);
        }
        self.ways.insert(at, way);
        Ok(())
    }

    /// Adds what an element of a queue calls.
    fn add_calls(&mut self, types: Types<'_>, first: Addr, queue: Addr) {
        let mut pending = vec![(first, 0)];
        while let Some((at, depth)) = pending.pop() {
            if at.0 == 0 || self.queued.len() >= MAX_OBJECTS {
                continue;
            }
            let Ok(object) = walked(types, at) else { continue };
            self.queued.entry(at).or_insert(queue);
            if depth >= MAX_CALLS {
                continue;
            }
            let mut parts = 0;
            let mut follow = |to| {
                if parts < MAX_PARTS {
                    parts += 1;
                    pending.push((to, depth + 1));
                }
            };
            match types.shape(object.table).map(|shape| shape.role) {
                // Of a task its own code, and not what goes on with it.
                Ok(Role::Task) => {
                    let Ok(task) = types.object(at) else { continue };
                    ["m_action", "m_stateObject"]
                        .into_iter()
                        .filter_map(|name| task.address(name).ok())
                        .for_each(follow);
                }
                Ok(Role::Delegate | Role::Wrapper | Role::Other) => each_reference(types, object, &mut follow),
                _ => {}
            }
        }
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
    let mut found = None;
    let mut parts = 0;
    each_reference(types, Walked { bytes: object.bytes.min(MAX_ENUMERATOR), ..object }, |to| {
        parts += 1;
        if parts <= MAX_PARTS && found.is_none() && objects.contains(&to) {
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
    Ok(Walked { at, table, bytes: bytes.min(MAX_BYTES) })
}
