//! The heap whose objects can be listed: a heap dump's, or that of a runtime in a process; and what follows from it,
//! each computed when it is first asked for.

use std::sync::Arc;

use rayon::prelude::*;

use super::asked::Asked;
use super::{Session, What};
use crate::analysis::graph::{self, Dominators, Graph, Leaks, Reach, Reachable};
use crate::analysis::histogram::{self, Amount, Histogram, Selection};
use crate::error::Error;
use crate::heap::{Bound, HeapObject, HeapSource, ObjectId, Objects};
use crate::job::{Job, Shared};
use crate::model::{Addr, Problem};

/// A heap with what was counted of it.
pub struct Heap {
    /// Its objects.
    pub source: Arc<dyn HeapSource>,
    all: Shared<Histogram>,
    objects: Shared<Objects>,
    leaks: Shared<Leaks>,
    /// Of each type of the source what its objects retain.
    retained: Shared<Vec<u64>>,
    held: Arc<Held>,
    named: Shared<Heap>,
}

/// What holds what, whatever the objects are called: one for a heap and for the same with names.
#[derive(Default)]
struct Held {
    graph: Shared<Graph>,
    reachable: Shared<Reachable>,
    dominators: Shared<Dominators>,
    /// What objects retain of which that was asked alone.
    asked: Asked,
}

impl Heap {
    /// Counts nothing yet.
    pub(super) fn new(source: Arc<dyn HeapSource>) -> Heap {
        Heap {
            source,
            all: Shared::default(),
            objects: Shared::default(),
            leaks: Shared::default(),
            retained: Shared::default(),
            held: Arc::default(),
            named: Shared::default(),
        }
    }

    /// All objects by type; counted on the first call.
    pub fn histogram(&self, job: &Job) -> Result<Arc<Histogram>, Error> {
        self.all.get(job, |job| histogram::histogram(self.source.as_ref(), &Selection::default(), job))
    }

    /// The object that holds an address, wherever in it that is; `None` where no object in use does. Walks the heap, unless its objects
    /// were listed before.
    pub fn object_holding(&self, address: Addr, job: &Job) -> Result<Option<HeapObject>, Error> {
        if let Some(objects) = self.objects.known() {
            return Ok(objects.holding(address).and_then(|id| objects.get(id)));
        }
        job.phase("looking for the object", 0);
        let in_part = |part: usize| {
            let mut found = None;
            self.source.objects(part, &mut job.meter(), &mut |object: HeapObject| {
                if address.since(object.address).is_some_and(|offset| offset < object.bytes) {
                    found = Some(object);
                }
                Ok(())
            })?;
            job.check()?;
            Ok(found)
        };
        let found: Vec<Option<HeapObject>> =
            (0..self.source.parts()).into_par_iter().map(in_part).collect::<Result<_, Error>>()?;
        Ok(found.into_iter().flatten().next())
    }

    /// The same heap with names for objects that carry none, where [`Session::named_heap`] was asked for it.
    pub fn named_if_known(&self) -> Option<Arc<Heap>> {
        self.named.known()
    }

    /// Why it is not sure that nothing refers to an object to which nothing seems to: parts of the heap, or of the memory around it,
    /// that could not be read.
    pub fn doubts(&self) -> Vec<Problem> {
        let references = self.source.references().map(|references| references.missing());
        self.source.problems().into_iter().chain(references.into_iter().flatten()).collect()
    }

    /// How far what was counted of it can be relied on. Asked after it was counted: what is damaged is met on the way.
    pub fn bound(&self) -> Bound {
        self.source.problems().iter().map(Bound::of).fold(Bound::Exact, Bound::and)
    }

    /// The same of what can be reached from roots, or of what cannot.
    pub fn bound_of_reached(&self, live: bool) -> Bound {
        let unseen = if live { Bound::AtLeast } else { Bound::AtMost };
        self.bound().and(if self.doubts().is_empty() { Bound::Exact } else { unseen })
    }

    /// How far the number of those that refer to an object can be relied on.
    pub fn bound_of_referrers(&self) -> Bound {
        if self.doubts().is_empty() { Bound::Exact } else { Bound::AtLeast }
    }

    /// Selected objects by type.
    pub fn histogram_of(&self, selection: &Selection, job: &Job) -> Result<Arc<Histogram>, Error> {
        match selection == &Selection::default() {
            true => self.histogram(job),
            false => histogram::histogram(self.source.as_ref(), selection, job).map(Arc::new),
        }
    }

    /// All objects, if they were listed before; never waits.
    pub fn objects_if_known(&self) -> Option<Arc<Objects>> {
        self.objects.known()
    }

    /// All objects, by address.
    pub fn objects(&self, job: &Job) -> Result<Arc<Objects>, Error> {
        self.objects.get(job, |job| Objects::of(self.source.as_ref(), job))
    }

    /// What they refer to. Fails where the heap cannot tell that.
    pub fn graph(&self, job: &Job) -> Result<Arc<Graph>, Error> {
        self.held.graph.get(job, |job| {
            Graph::refuse_without_references(self.source.as_ref())?;
            Graph::build(self.source.as_ref(), &*self.objects(job)?, job)
        })
    }

    /// What is reachable from the roots. Fails where the heap cannot tell that.
    pub fn reachable(&self, job: &Job) -> Result<Arc<Reachable>, Error> {
        self.held.reachable.get(job, |job| Reachable::from_roots(&*self.graph(job)?, job))
    }

    /// What is not. Fails where the heap cannot tell that.
    pub fn leaks(&self, job: &Job) -> Result<Arc<Leaks>, Error> {
        self.leaks.get(job, |job| {
            let reachable = self.reachable(job)?;
            Leaks::find(&*self.graph(job)?, &reachable, &*self.objects(job)?, self.source.types().len(), job)
        })
    }

    /// What keeps what alive, and how much of it. Fails where the heap cannot tell that.
    pub fn dominators(&self, job: &Job) -> Result<Arc<Dominators>, Error> {
        self.held.dominators.get(job, |job| {
            let leaks = self.leaks(job)?;
            Dominators::find(&*self.graph(job)?, &leaks, &*self.objects(job)?, job)
        })
    }

    /// The same, if it was found before; never waits.
    pub fn dominators_if_known(&self) -> Option<Arc<Dominators>> {
        self.held.dominators.known()
    }

    /// What an object leads to, and the bytes that would be free without it. Of one that leaked, finds all dominators. Fails where the heap
    /// cannot tell that.
    pub fn reach(&self, id: ObjectId, job: &Job) -> Result<(Amount, u64), Error> {
        let Reach { reachable, retained } = graph::reach(&*self.graph(job)?, id, &*self.objects(job)?, job)?;
        let retained = match retained {
            Some(retained) => retained.bytes,
            None => self.dominators(job)?.retained(id),
        };
        self.held.asked.keep(id, retained);
        Ok((reachable, retained))
    }

    /// The bytes that would be free without an object, if that was found before.
    pub fn retained_if_known(&self, id: ObjectId) -> Option<u64> {
        let dominators = self.dominators_if_known();
        dominators.map(|dominators| dominators.retained(id)).or_else(|| self.held.asked.known(id))
    }

    /// Of each type of the source the bytes that its objects keep alive, none that is inside another's counted twice. Fails where the heap
    /// cannot tell that.
    pub fn retained_by_types(&self, job: &Job) -> Result<Arc<Vec<u64>>, Error> {
        self.retained.get(job, |job| {
            let (dominators, objects) = (self.dominators(job)?, self.objects(job)?);
            graph::retained_by_classes(&dominators, self.source.types().len(), &|id| objects.of_type(id), job)
        })
    }
}

impl Session {
    /// Whether there is a heap whose objects can be listed; it is not looked at.
    pub fn has_heap(&self, job: &Job) -> bool {
        match &self.what {
            What::Heap(..) => true,
            What::Process(process) => process.has_heap(job),
        }
    }

    /// Whether a collector frees what nothing refers to in it.
    pub fn has_collected_heap(&self, job: &Job) -> bool {
        match &self.what {
            What::Heap(_, heap) => heap.source.is_collected(),
            What::Process(process) => process.has_collected_heap(job),
        }
    }

    /// The heap with names for objects that carry none, by what refers to them. Fails where its objects tell all that can
    /// be known.
    pub fn named_heap(&self, job: &Job) -> Result<Arc<Heap>, Error> {
        let heap = self.heap(job)?;
        let stacks = match &self.what {
            What::Heap(..) => Vec::new(),
            What::Process(process) => process.stacks(job)?,
        };
        heap.named.get(job, |job| {
            let named = Arc::clone(&heap.source).named(&heap.objects(job)?, &stacks, job)?;
            let nothing = || Error::Failed(format!("objects of {} have their names in themselves", heap.source.name()));
            // Its objects have the same numbers.
            let of = |source| Heap { held: Arc::clone(&heap.held), ..Heap::new(source) };
            named.map(of).ok_or_else(nothing)
        })
    }

    /// The same with names for objects that carry none, where somebody has asked for them: they cost seconds. Objects have the same
    /// numbers with and without.
    pub fn heap_as_known(&self, job: &Job) -> Result<Arc<Heap>, Error> {
        let heap = self.heap(job)?;
        Ok(heap.named_if_known().unwrap_or(heap))
    }

    /// The heap whose objects can be listed: a heap dump's, or that of a runtime in the process. Fails where nothing reads one.
    pub fn heap(&self, job: &Job) -> Result<Arc<Heap>, Error> {
        match &self.what {
            What::Heap(_, heap) => Ok(Arc::clone(heap)),
            What::Process(process) => process.heap(job),
        }
    }
}
