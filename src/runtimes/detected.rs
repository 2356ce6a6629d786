//! The runtimes of one target, asked together.

use std::any::Any;
use std::sync::Arc;

use super::runtime::{Runtime, RuntimeKind, Scene, named};
use super::united;
use crate::error::Error;
use crate::heap::HeapSource;
use crate::job::Job;
use crate::model::{
    Acquisition, Addr, DebugFile, Exception, Frame, Lock, MappingKind, NamedFrame, OsThread, OwnMemory, Partial,
    PendingWork, Problem, Registers, Stack, Subject, Thread, Tid, Value, Variable, WorkStacks,
};
use crate::target::Target;
use crate::unwind::{Unwind, Unwinder};

/// The runtimes that were detected in a target; more than one is normal. Those that know more come first.
pub struct Runtimes {
    all: Vec<Box<dyn Runtime>>,
    /// Of runtimes that the target has and of which nothing can be read, why.
    pub problems: Vec<Problem>,
}

impl Runtimes {
    /// Looks for runtimes of these kinds.
    pub fn detect(kinds: &[RuntimeKind], target: &Arc<Target>) -> Runtimes {
        let mut runtimes = Runtimes { all: Vec::new(), problems: Vec::new() };
        for kind in kinds {
            match (kind.detect)(target) {
                Ok(found) => runtimes.all.extend(found),
                Err(gap) => {
                    let message = format!("the runtime {} is in the process and cannot be read: {gap}", kind.name);
                    runtimes.problems.push(Problem::new("runtime-unread", Subject::Capture, message));
                }
            }
        }
        runtimes
    }

    /// One runtime in particular; `None` where the target does not have it.
    pub fn get<R: Runtime>(&self) -> Option<&R> {
        self.all.iter().find_map(|runtime| (runtime.as_ref() as &dyn Any).downcast_ref::<R>())
    }

    /// What they are called, in their order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.all.iter().map(|runtime| runtime.name())
    }

    /// The kinds of runtimes that they are, as marks tell them.
    pub fn kinds(&self) -> impl Iterator<Item = crate::model::RuntimeKind> {
        self.all.iter().filter_map(|runtime| runtime.recognised_as())
    }

    /// The version of one of them, where it tells that itself.
    pub fn version_of(&self, kind: crate::model::RuntimeKind) -> Option<String> {
        self.all.iter().find(|runtime| runtime.recognised_as() == Some(kind))?.version()
    }

    /// What they bring for the rooms above ([`Runtime::brings`]).
    pub fn brought(&self) -> impl Iterator<Item = &'static (dyn Any + Send + Sync)> {
        self.all.iter().filter_map(|runtime| runtime.brings())
    }

    /// Those that unwind code of their own.
    pub fn unwinders(&self) -> Vec<Arc<dyn Unwind>> {
        self.all.iter().filter_map(|runtime| runtime.unwinder()).collect()
    }

    /// Names walked frames, each by the runtime whose code it is, else by its module's symbols.
    pub fn named(&self, target: &Target, frames: &[Frame]) -> Vec<NamedFrame> {
        named(&self.all, target, frames)
    }

    /// Arguments and local variables of a frame in a runtime's own code; `None` where none tells them.
    pub fn variables(&self, frame: &Frame, registers: &Registers) -> Option<Vec<Variable>> {
        self.all.iter().find_map(|runtime| runtime.variables(frame, registers))
    }

    /// The files for debuggers that managed code of the program's own states ([`Runtime::debug_files`]).
    pub fn debug_files(&self, job: &Job) -> Result<Partial<Vec<DebugFile>>, Error> {
        let all = self.of_each(|runtime| runtime.debug_files(job))?;
        Ok(Partial { value: all.value.concat(), problems: all.problems })
    }

    /// What they are given of a target, its threads and their stacks, which are parallel.
    pub fn scene<'a>(&'a self, target: &'a Target, threads: &'a [OsThread], stacks: &'a [Arc<Stack>]) -> Scene<'a> {
        Scene { target, threads, stacks, runtimes: &self.all }
    }

    /// Every thread as shown: one list, to which each runtime adds what it knows, the one that knows most last.
    pub fn threads(&self, scene: &Scene<'_>, job: &Job) -> Result<Partial<Vec<Thread>>, Error> {
        let mut value: Vec<Thread> =
            scene.threads.iter().enumerate().map(|(index, os)| Thread::of(index, os)).collect();
        let mut problems = Vec::new();
        for runtime in self.all.iter().rev() {
            problems.extend(runtime.annotate(&mut value, scene, job)?);
        }
        Ok(Partial { value, problems })
    }

    /// Every lock that a thread waits for, by address. A thread waits for one thing: the first runtime that says for
    /// which is right, as it is of a lock that several tell.
    pub fn locks(&self, scene: &Scene<'_>, job: &Job) -> Result<Partial<Vec<Lock>>, Error> {
        let Partial { mut value, problems } = self.of_each(|runtime| runtime.locks(scene, job))?;
        for (index, runtime) in self.all.iter().enumerate() {
            let settled = runtime.waits_without_lock(scene, job)?.into_iter().collect();
            let later = value.iter_mut().skip(index.saturating_add(1));
            later.for_each(|locks| united::leave_out(locks, &settled));
        }
        let threads: Vec<Tid> = scene.threads.iter().map(|thread| thread.tid).collect();
        Ok(Partial { value: united::waited(value, &threads), problems })
    }

    /// Every lock that somebody holds and nobody waits for, by address: none of `waited`, those that somebody does wait
    /// for.
    pub fn held_locks(&self, scene: &Scene<'_>, waited: &[Lock], job: &Job) -> Result<Partial<Vec<Lock>>, Error> {
        let Partial { value, problems } = self.of_each(|runtime| runtime.held_locks(scene, job))?;
        Ok(Partial { value: united::held(value, waited), problems })
    }

    /// What each of them tells, in their order.
    fn of_each<T>(&self, ask: impl Fn(&dyn Runtime) -> Result<Partial<T>, Error>) -> Result<Partial<Vec<T>>, Error> {
        let mut all = Partial::<Vec<T>>::default();
        for runtime in &self.all {
            let Partial { value, problems } = ask(runtime.as_ref())?;
            all.value.push(value);
            all.problems.extend(problems);
        }
        Ok(all)
    }

    /// Where the threads at these places of the scene have taken locks that they still hold; parallel to `threads`.
    pub fn acquisitions(
        &self,
        scene: &Scene<'_>,
        threads: &[usize],
        job: &Job,
    ) -> Result<Vec<Vec<Acquisition>>, Error> {
        let mut all = vec![Vec::new(); threads.len()];
        for runtime in &self.all {
            for (all, more) in all.iter_mut().zip(runtime.acquisitions(scene, threads, job)?) {
                all.extend(more);
            }
        }
        Ok(all)
    }

    /// Exceptions in flight and what ended the process, which comes first. One thing did: the first runtime that tells it is right.
    pub fn exceptions(
        &self,
        scene: &Scene<'_>,
        unwinder: &Unwinder,
        job: &Job,
    ) -> Result<Partial<Vec<Exception>>, Error> {
        let mut all = Partial::<Vec<Exception>>::default();
        let mut told = false;
        for runtime in &self.all {
            let Partial { value, problems } = runtime.exceptions(scene, unwinder, job)?;
            all.value.extend(value);
            all.problems.extend(problems);
        }
        all.value.retain(|exception| !exception.fatal || !std::mem::replace(&mut told, true));
        all.value.sort_by_key(|exception| !exception.fatal);
        Ok(all)
    }

    /// What an expression is over the objects of the first runtime that knows what it begins with; `None` where none does.
    pub fn evaluate(
        &self,
        text: &str,
        local: &dyn Fn(&str) -> Option<Value>,
        job: &Job,
    ) -> Result<Option<Value>, Error> {
        for runtime in &self.all {
            if let Some(value) = runtime.evaluate(text, local, job)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Work that waits for work, of all runtimes that have such. `whole`: however long that takes.
    pub fn pending_work(&self, scene: &Scene<'_>, whole: bool, job: &Job) -> Result<PendingWork, Error> {
        let mut all = PendingWork::default();
        for runtime in &self.all {
            let Some(more) = runtime.pending_work(scene, whole, job)? else { continue };
            all.waits.extend(more.waits);
            all.pools.extend(more.pools);
            all.failed.extend(more.failed);
            all.not_read = all.not_read.or(more.not_read);
            all.missing.extend(more.missing);
            all.requests = all.requests.or(more.requests);
        }
        Ok(all)
    }

    /// Functions that await one another, of all runtimes that have such; `None` where none has.
    pub fn work_stacks(&self, job: &Job) -> Result<Option<WorkStacks>, Error> {
        let mut all: Option<WorkStacks> = None;
        for runtime in &self.all {
            let Some(more) = runtime.work_stacks(job)? else { continue };
            let known = all.get_or_insert_default();
            known.all.extend(more.all);
            known.not_read = known.not_read.take().or(more.not_read);
            known.missing.extend(more.missing);
        }
        Ok(all)
    }

    /// Whether a runtime knows all of that already, however much it is.
    pub fn knows_work(&self) -> bool {
        self.all.iter().any(|runtime| runtime.knows_work())
    }

    /// Whether a runtime has a heap whose objects can be listed.
    pub fn has_heap(&self, target: &Arc<Target>, job: &Job) -> bool {
        self.all.iter().any(|runtime| runtime.has_heap(target, job).unwrap_or(false))
    }

    /// Whether a collector frees what nothing refers to in the heap that they have.
    pub fn has_collected_heap(&self, target: &Arc<Target>, job: &Job) -> bool {
        let first = self.all.iter().find(|runtime| runtime.has_heap(target, job).unwrap_or(false));
        first.is_some_and(|runtime| runtime.collects())
    }

    /// All memory that they say is their own, ascending: of every heap, also of one beneath another, and what they keep besides. None overlaps
    /// another. `first`: what [`Runtimes::heap`] told, where it did.
    pub fn own_memory(
        &self,
        target: &Arc<Target>,
        first: Option<Arc<dyn HeapSource>>,
        job: &Job,
    ) -> Result<Partial<Vec<OwnMemory>>, Error> {
        let (mut all, mut first) = (Partial::<Vec<OwnMemory>>::default(), first);
        for runtime in &self.all {
            let known = if runtime.has_heap(target, job).unwrap_or(false) { first.take() } else { None };
            match known.map_or_else(|| runtime.heap(target, job), |known| Ok(Some(known))) {
                Ok(heap) => all.value.extend(heap.iter().flat_map(|heap| of_heap(heap.as_ref()))),
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                Err(why) => {
                    let message = format!("it is not known where a heap is: {why}");
                    all.problems.push(Problem::new("heap-unread", Subject::Capture, message));
                }
            }
            let Partial { value, problems } = runtime.own_memory(job)?;
            all.value.extend(value);
            all.problems.extend(problems);
        }
        all.value.sort_by_key(|own| (own.range.start, own.range.end));
        let mut behind = Addr(0);
        all.value.retain(|own| {
            let is_apart = own.range.start >= behind && own.range.start < own.range.end;
            if is_apart {
                behind = own.range.end;
            }
            is_apart
        });
        Ok(all)
    }

    /// The heap of the first runtime that has one; fails where one may be there and cannot be read: that of a runtime beneath it is not
    /// what was asked for.
    pub fn heap(&self, target: &Arc<Target>, job: &Job) -> Result<Option<Arc<dyn HeapSource>>, Error> {
        if let Some(unread) = self.problems.first() {
            return Err(Error::Failed(format!("{}; 'maddress' lists what memory is in the dump", unread.message)));
        }
        for runtime in &self.all {
            if let Some(heap) = runtime.heap(target, job)? {
                return Ok(Some(heap));
            }
        }
        Ok(None)
    }
}

/// The memory that a heap is kept in.
fn of_heap(heap: &dyn HeapSource) -> Vec<OwnMemory> {
    let own = heap.owners().into_iter();
    own.map(|(range, owner)| OwnMemory { range, kind: MappingKind::Heap, owner: owner.to_owned() }).collect()
}
