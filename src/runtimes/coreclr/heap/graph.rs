//! What managed objects refer to, and what refers to them from outside.
//!
//! An object refers to what its class says ([`Pattern`](super::Pattern)), to what dependent handles keep alive with it, and, where its class can be
//! unloaded, to the object that stands for the loader, which keeps the class and its statics.

use std::ops::Range;
use std::sync::Arc;

use super::segment::Generation;
use super::source::{Kept, ManagedHeap};
use super::walked::Walked;
use super::words::Words;
use crate::error::Error;
use crate::heap::{HeapObject, HeapSource, ObjectId, Objects, References, Root, RootKind};
use crate::job::{Job, Meter};
use crate::model::{Addr, Gap, Known, Problem, Subject};
use crate::runtimes::coreclr::heap::Pattern;
use crate::runtimes::coreclr::roots;
use crate::runtimes::coreclr::types::Loader;
use crate::runtimes::coreclr::unread::Unread;
use crate::unwind::{Unwind, Unwinder};

impl ManagedHeap {
    /// Where the objects of a type hold references.
    fn pattern_of(&self, of_type: usize) -> Option<Arc<Pattern>> {
        let table = self.types().get(of_type)?.id;
        self.methods().types().pattern(table).ok().flatten()
    }

    /// What keeps a type, where it can be unloaded.
    fn loader_of(&self, of_type: usize) -> Option<Loader> {
        let table = self.types().get(of_type)?.id;
        self.methods().types().loader(table).ok().flatten()
    }

    /// Each object that an object refers to, with the slot that does; of a dependent handle, and of the loader, the handle.
    fn each_reference(
        &self,
        object: HeapObject,
        (pattern, loader): (Option<&Pattern>, Option<Loader>),
        (kept, words): (&Kept, &mut Words<'_>),
        visit: &mut impl FnMut(Addr, Addr),
    ) {
        if let Some(pattern) = pattern {
            let walked = Walked { at: object.address, table: Addr(0), bytes: object.bytes };
            pattern.each_of(words, walked, visit);
        }
        if let Some(Loader { handle, object }) = loader {
            visit(handle, object);
        }
        // Hardly any object has one.
        if !kept.dependents.is_empty() {
            for (handle, to) in kept.dependents.get(&object.address).into_iter().flatten() {
                visit(*handle, *to);
            }
        }
    }
}

impl ManagedHeap {
    /// What holds a reference so far into an object: `_items`, `[3]`, `_entries[3].value`.
    fn slot_name(&self, object: HeapObject, offset: u64) -> String {
        let types = self.methods().types();
        let table = self.types().get(object.of_type).map(|of_type| of_type.id);
        table.and_then(|table| types.slot_name(table, offset)).unwrap_or_else(|| format!("+{offset:#x}"))
    }
}

impl References for ManagedHeap {
    fn of_objects(
        &self,
        range: Range<ObjectId>,
        objects: &Objects,
        meter: &mut Meter<'_>,
        visit: &mut dyn FnMut(ObjectId, ObjectId) -> Result<(), Error>,
    ) -> Result<(), Error> {
        // Objects of one type often stand together; a type is asked for once all the same.
        let (mut patterns, kept) = (vec![None; self.types().len()], self.kept());
        let mut words = Words::of(&self.methods().clr.target.memory);
        for (from, object) in objects.range(range) {
            meter.add(1)?;
            let of_type = object.of_type;
            let known = patterns.get_mut(of_type).map(|known: &mut Option<(Option<Arc<Pattern>>, Option<Loader>)>| {
                let (pattern, loader) =
                    known.get_or_insert_with(|| (self.pattern_of(of_type), self.loader_of(of_type)));
                (pattern.as_deref(), *loader)
            });
            let mut failed = Ok(());
            self.each_reference(object, known.unwrap_or_default(), (&kept, &mut words), &mut |_, to| {
                if failed.is_ok()
                    && let Some(to) = objects.at(to).filter(|to| *to != from)
                {
                    failed = visit(from, to);
                }
            });
            failed?;
        }
        Ok(())
    }

    fn roots(
        &self,
        objects: &Objects,
        job: &Job,
        visit: &mut dyn FnMut(Root, ObjectId) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut meter = job.meter();
        let frozen = self.segments().all.iter().filter(|segment| segment.generation == Generation::Frozen);
        for segment in frozen {
            let mut next = objects.at(segment.start);
            while let Some((id, object)) = next.and_then(|id| Some((id, objects.get(id)?))) {
                if object.address >= segment.end {
                    break;
                }
                meter.add(1)?;
                visit(Root { kind: RootKind::Frozen, at: Some(object.address), tid: None }, id)?;
                next = id.checked_add(1);
            }
        }
        let mut tell = |root: Root, object: Addr| {
            meter.add(1)?;
            objects.holding(object).map_or(Ok(()), |object| visit(root, object))
        };
        let mut doubts = Doubts::default();
        match self.methods().types().statics() {
            Ok(statics) => {
                // Of a class that can be unloaded its loader holds them.
                for known in statics.all.iter().filter(|known| !known.is_unloadable) {
                    tell(Root { kind: RootKind::Static, at: Some(known.slot), tid: None }, known.to)?;
                }
                doubts.count(&statics.unread, "static fields of", "class", "classes");
            }
            Err(gap) => doubts.tell("static fields", &gap),
        }
        let kept = self.kept();
        for handle in kept.handles.all.iter().filter(|handle| handle.kind.keeps_alive()) {
            tell(Root { kind: RootKind::Handle, at: Some(handle.address), tid: None }, handle.object)?;
        }
        kept.handles.cut.iter().for_each(|gap| doubts.tell("handles of the collector", gap));
        match &kept.waiting {
            Ok(waiting) => {
                for (at, object) in waiting {
                    tell(Root { kind: RootKind::Finalizer, at: Some(*at), tid: None }, *object)?;
                }
            }
            Err(gap) => doubts.tell("objects that wait to be finalized", gap),
        }
        let clr = &self.methods().clr;
        let (threads, unread) = self.threads();
        unread.iter().for_each(|gap| doubts.tell("all threads of the runtime", gap));
        let (of_threads, gap) = roots::of_threads(clr, threads);
        gap.iter().for_each(|gap| doubts.tell("what threads keep", gap));
        for held in &of_threads {
            tell(held.root, held.object)?;
        }
        match self.stack_roots(job)? {
            Ok(stacks) => {
                for held in &stacks.all {
                    tell(held.root, held.object)?;
                }
                doubts.count(&stacks.frames, "what is held by", "managed frame", "managed frames");
                doubts.count(&stacks.threads, "all frames of", "thread", "threads");
            }
            Err(gap) => doubts.tell("what managed frames hold", &gap),
        }
        self.add_doubts_of_objects(&mut doubts);
        self.doubts().get((), || doubts.problems.into());
        Ok(())
    }

    fn missing(&self) -> Vec<Problem> {
        self.doubts().known(()).iter().flat_map(|doubts| doubts.iter()).cloned().collect()
    }

    fn field(&self, from: ObjectId, to: ObjectId, objects: &Objects) -> Option<String> {
        let (object, target) = (objects.get(from)?, objects.address(to)?);
        let (pattern, loader) = (self.pattern_of(object.of_type), self.loader_of(object.of_type));
        let mut found = None;
        let mut words = Words::of(&self.methods().clr.target.memory);
        let known = (pattern.as_deref(), loader);
        self.each_reference(object, known, (&self.kept(), &mut words), &mut |slot, to| {
            if found.is_none() && to == target {
                found = Some(slot);
            }
        });
        let slot = found?;
        match slot.since(object.address).filter(|offset| *offset < object.bytes) {
            Some(offset) => Some(self.static_name(slot).unwrap_or_else(|| self.slot_name(object, offset))),
            None if loader.is_some_and(|loader| loader.handle == slot) => Some("loader of its class".to_owned()),
            None => Some("dependent handle".to_owned()),
        }
    }

    fn root_name(&self, root: &Root) -> Option<String> {
        let at = root.at?;
        match root.kind {
            RootKind::Static => self.static_name(at),
            RootKind::Handle => Some(self.kept().handles.at(at)?.kind.word().to_owned()),
            _ => None,
        }
    }
}

impl ManagedHeap {
    /// The static field at an address.
    fn static_name(&self, slot: Addr) -> Option<String> {
        let statics = self.methods().types().statics().ok()?;
        statics.at(slot).map(|known| known.name.to_string())
    }

    /// What the stacks hold; walked for this.
    fn stack_roots(&self, job: &Job) -> Result<Known<roots::StackRoots<'_>>, Error> {
        let clr = &self.methods().clr;
        let own = Arc::clone(self.methods()) as Arc<dyn Unwind>;
        let unwinder = Unwinder::with(Arc::clone(&clr.target), vec![own]);
        let (threads, _) = self.threads();
        roots::of_stacks(self.methods(), threads, &|thread| unwinder.walk(thread, job), job)
    }

    /// Says of what objects refer to what is not known.
    fn add_doubts_of_objects(&self, doubts: &mut Doubts) {
        let types = self.methods().types();
        let mut unread = Unread::default();
        for of_type in self.types() {
            unread.extend(types.pattern(of_type.id).err().as_ref());
            unread.extend(types.loader(of_type.id).err().as_ref());
        }
        doubts.count(&unread, "what objects refer to of", "class", "classes");
        if let Some(bytes) = self.segments().left_out(&self.methods().clr) {
            let message = format!("{bytes} bytes of objects are not in the dump: what they refer to is not known");
            doubts.problems.push(Problem::new("references-unread", Subject::Capture, message));
        }
    }
}

/// What of roots and references could not be read.
#[derive(Default)]
struct Doubts {
    problems: Vec<Problem>,
}

impl Doubts {
    fn tell(&mut self, what: &str, gap: &Gap) {
        let message = format!("{what} cannot be read: {gap}");
        self.problems.push(Problem::new("roots-unread", Subject::Capture, message));
    }

    fn count(&mut self, unread: &Unread, what: &str, one: &str, many: &str) {
        let Some(gap) = &unread.why else { return };
        match unread.count {
            1 => self.tell(&format!("{what} one {one}"), gap),
            count => self.tell(&format!("{what} {count} {many}"), gap),
        }
    }
}
