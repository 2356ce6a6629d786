//! What managed objects refer to, and what refers to them from outside.
//!
//! An object refers to what its class says ([`Pattern`](super::Pattern)), and to what dependent handles keep alive with it.

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::source::ManagedHeap;
use super::walked::Walked;
use crate::error::Error;
use crate::heap::{HeapObject, HeapSource, ObjectId, Objects, References, Root, RootKind};
use crate::job::{Job, Meter};
use crate::model::{Addr, Gap, Known, Problem, Subject};
use crate::runtimes::coreclr::heap::Pattern;
use crate::runtimes::coreclr::roots;
use crate::unwind::{Unwind, Unwinder};

impl ManagedHeap {
    /// Where the objects of a type hold references.
    fn pattern_of(&self, of_type: usize) -> Option<Arc<Pattern>> {
        let table = self.types().get(of_type)?.id;
        self.methods().types().pattern(table).ok().flatten()
    }

    /// Each object that an object refers to, with the slot that does; of a dependent handle the handle.
    fn each_reference(
        &self,
        from: ObjectId,
        objects: &Objects,
        pattern: Option<&Pattern>,
        visit: &mut dyn FnMut(Addr, Addr),
    ) {
        let Some(object) = objects.get(from) else { return };
        if let Some(pattern) = pattern {
            let walked = Walked { at: object.address, table: Addr(0), bytes: object.bytes };
            pattern.each(&self.methods().clr.target.memory, walked, visit);
        }
        for (handle, to) in self.dependents(object.address) {
            visit(handle, to);
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
        let mut patterns = FxHashMap::default();
        for from in range {
            meter.add(1)?;
            let of_type = objects.of_type(from);
            let pattern = patterns.entry(of_type).or_insert_with(|| self.pattern_of(of_type)).clone();
            let mut failed = Ok(());
            self.each_reference(from, objects, pattern.as_deref(), &mut |_, to| {
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
        for id in 0..objects.len() {
            if let Some(object) = objects.get(id).filter(|object| self.is_frozen(object.address)) {
                visit(Root { kind: RootKind::Frozen, at: Some(object.address), tid: None }, id)?;
            }
        }
        let mut tell = |root: Root, object: Addr| objects.holding(object).map_or(Ok(()), |object| visit(root, object));
        for known in self.methods().types().all_statics().iter().flat_map(|all| all.iter()) {
            tell(Root { kind: RootKind::Static, at: Some(known.slot), tid: None }, known.to)?;
        }
        for handle in self.handles().all.iter().filter(|handle| handle.kind.keeps_alive()) {
            tell(Root { kind: RootKind::Handle, at: Some(handle.address), tid: None }, handle.object)?;
        }
        for (at, object) in self.finalizers().iter().flatten().flat_map(|of| &of.waiting) {
            tell(Root { kind: RootKind::Finalizer, at: Some(*at), tid: None }, *object)?;
        }
        let clr = &self.methods().clr;
        let (of_threads, _) = roots::of_threads(clr, self.threads());
        let stacks = self.stack_roots(job)?;
        for held in of_threads.iter().chain(stacks.iter().flat_map(|stacks| &stacks.all)) {
            tell(held.root, held.object)?;
        }
        self.unread_frames().get((), || match stacks {
            Ok(stacks) => stacks.unread,
            Err(gap) => Some((u64::MAX, gap)),
        });
        Ok(())
    }

    fn missing(&self) -> Vec<Problem> {
        let told = |gap: &Gap, what: &str| {
            Problem::new("roots-unread", Subject::Capture, format!("{what} cannot be read: {gap}"))
        };
        let handles = self.handles().cut.as_ref().map(|gap| told(gap, "handles of the collector"));
        let finalizers = self.finalizers().as_ref().err().map(|gap| told(gap, "objects that wait to be finalized"));
        let statics = self.methods().types().all_statics().err().map(|gap| told(&gap, "static fields"));
        let (_, gap) = roots::of_threads(&self.methods().clr, self.threads());
        let threads = gap.map(|gap| told(&gap, "what threads keep"));
        let frames = self.unread_frames().known(()).flatten().map(|(count, gap)| match count {
            u64::MAX => told(&gap, "what managed frames hold"),
            1 => told(&gap, "what one managed frame holds"),
            count => told(&gap, &format!("what {count} managed frames hold")),
        });
        frames.into_iter().chain(handles).chain(finalizers).chain(statics).chain(threads).collect()
    }

    fn field(&self, from: ObjectId, to: ObjectId, objects: &Objects) -> Option<String> {
        let (object, target) = (objects.get(from)?, objects.address(to)?);
        let pattern = self.pattern_of(object.of_type);
        let mut found = None;
        self.each_reference(from, objects, pattern.as_deref(), &mut |slot, to| {
            if found.is_none() && to == target {
                found = Some(slot);
            }
        });
        let slot = found?;
        match slot.since(object.address).filter(|offset| *offset < object.bytes) {
            Some(offset) => Some(self.slot_name(object, offset)),
            None => Some("dependent handle".to_owned()),
        }
    }

    fn root_name(&self, root: &Root) -> Option<String> {
        let at = root.at?;
        match root.kind {
            RootKind::Static => {
                let all = self.methods().types().all_statics().ok()?;
                all.iter().find(|known| known.slot == at).map(|known| known.name.to_string())
            }
            RootKind::Handle => Some(self.handles().at(at)?.kind.word().to_owned()),
            _ => None,
        }
    }
}

impl ManagedHeap {
    /// What the stacks hold; walked for this.
    fn stack_roots(&self, job: &Job) -> Result<Known<roots::StackRoots<'_>>, Error> {
        let clr = &self.methods().clr;
        let own = Arc::clone(self.methods()) as Arc<dyn Unwind>;
        let unwinder = Unwinder::with(Arc::clone(&clr.target), vec![own]);
        let stacks = self.threads().iter().filter_map(|(address, tid)| {
            let tid = (*tid)?;
            let thread = clr.target.capture.threads.iter().find(|thread| thread.tid == tid)?;
            Some((*address, tid, unwinder.walk(thread, job)))
        });
        roots::of_stacks(clr, stacks, job)
    }
}
