//! What a runtime is: its questions, and what it is given to answer them.

use std::any::Any;
use std::sync::Arc;

use crate::error::Error;
use crate::heap::HeapSource;
use crate::job::Job;
use crate::model::{
    Acquisition, DebugFile, Exception, Frame, Known, Lock, NamedFrame, OsThread, OwnMemory, Partial, PendingWork,
    Problem, Registers, Stack, Thread, Tid, Value, Variable, WorkStacks,
};
use crate::target::Target;
use crate::unwind::{Unwind, Unwinder};

/// What a runtime is given.
pub struct Scene<'a> {
    /// The target.
    pub target: &'a Target,
    /// Its threads, in the one order.
    pub threads: &'a [OsThread],
    /// Their walked stacks, parallel to `threads`.
    pub stacks: &'a [Arc<Stack>],
    /// The runtimes in the target, which name code of their own.
    pub runtimes: &'a [Box<dyn Runtime>],
}

impl<'a> Scene<'a> {
    /// Threads with their stacks.
    pub fn iter(&self) -> impl Iterator<Item = (&'a OsThread, &'a Arc<Stack>)> {
        self.threads.iter().zip(self.stacks)
    }

    /// Walked frames with names: inlined calls expanded, innermost first.
    pub fn named(&self, frames: &[Frame]) -> Vec<NamedFrame> {
        named(self.runtimes, self.target, frames)
    }
}

/// A runtime that was recognised in the target. What it does not know of it leaves to the others.
pub trait Runtime: Any + Send + Sync {
    /// `native`, `coreclr` …
    fn name(&self) -> &'static str;

    /// What it is called where it is recognised by its marks, whoever understands it; `None` for code of no runtime.
    fn recognised_as(&self) -> Option<crate::model::RuntimeKind> {
        None
    }

    /// Its version, where it tells that itself.
    fn version(&self) -> Option<String> {
        None
    }

    /// Its own rule for the callers of its own code; `None` where tables and instructions suffice.
    fn unwinder(&self) -> Option<Arc<dyn Unwind>> {
        None
    }

    /// The names of a frame in its own code: calls that its compiler inlined, innermost first, then the function itself. `None` for other
    /// frames. Their places (`index`, `walked`, `part`) are set by the caller.
    fn expand(&self, _frame: &Frame) -> Option<Vec<NamedFrame>> {
        None
    }

    /// Arguments and local variables of a frame in its own code, in the order of the source; `registers` are those in the frame, of which some may
    /// be unknown. `None` for other frames, and where nothing tells them.
    fn variables(&self, _frame: &Frame, _registers: &Registers) -> Option<Vec<Variable>> {
        None
    }

    /// Whether a named frame is the program's own code, and not a runtime's or a library's; `None` where this runtime does not know.
    fn is_own(&self, _frame: &NamedFrame) -> Option<bool> {
        None
    }

    /// Adds what it knows of the threads, which are parallel to the scene's: id, name, state, what each waits for. Those that native
    /// code describes are described already.
    fn annotate(&self, _threads: &mut [Thread], _scene: &Scene<'_>, _job: &Job) -> Result<Vec<Problem>, Error> {
        Ok(Vec::new())
    }

    /// Every lock of this runtime that a thread waits for, by address.
    fn locks(&self, _scene: &Scene<'_>, _job: &Job) -> Result<Partial<Vec<Lock>>, Error> {
        Ok(Partial::default())
    }

    /// Threads of which it knows that they wait for no lock, although code beneath its own waits on one: they sleep, or wait for work.
    fn waits_without_lock(&self, _scene: &Scene<'_>, _job: &Job) -> Result<Vec<Tid>, Error> {
        Ok(Vec::new())
    }

    /// Where the threads at these places of the scene have taken locks that they still hold; parallel to `threads`, or empty. Judged from
    /// code: a lock that is not among them may be held all the same.
    fn acquisitions(&self, _scene: &Scene<'_>, _threads: &[usize], _job: &Job) -> Result<Vec<Vec<Acquisition>>, Error> {
        Ok(Vec::new())
    }

    /// Every lock of this runtime that a recorded owner holds and nobody waits for, by address. May read much memory, within
    /// a limit; no deadlock needs it.
    fn held_locks(&self, _scene: &Scene<'_>, _job: &Job) -> Result<Partial<Vec<Lock>>, Error> {
        Ok(Partial::default())
    }

    /// Exceptions in flight, the fatal one (or the fatal signal) first.
    fn exceptions(
        &self,
        _scene: &Scene<'_>,
        _unwinder: &Unwinder,
        _job: &Job,
    ) -> Result<Partial<Vec<Exception>>, Error> {
        Ok(Partial::default())
    }

    /// The files for debuggers that the program's own code states, at hand or not: nothing where its code is in modules of the loader's. Looks for
    /// each.
    fn debug_files(&self, _job: &Job) -> Result<Partial<Vec<DebugFile>>, Error> {
        Ok(Partial::default())
    }

    /// What an expression over its own objects, classes and variables is: `Shop.Program.s_orders[3].Name`. `local`: the variable of a name in the frame at
    /// hand, where that is its own. `Ok(None)` where the expression begins with nothing of its own.
    fn evaluate(
        &self,
        _text: &str,
        _local: &dyn Fn(&str) -> Option<Value>,
        _job: &Job,
    ) -> Result<Option<Value>, Error> {
        Ok(None)
    }

    /// Work that waits for work, threads that block on it, failures that nobody saw; `Ok(None)` where it has no such thing. Reads no more
    /// than a first screen can wait for, and says where that was too little; `whole`: all of it, however long that takes.
    fn pending_work(&self, _scene: &Scene<'_>, _whole: bool, _job: &Job) -> Result<Option<PendingWork>, Error> {
        Ok(None)
    }

    /// Functions that await one another and that no thread runs, by who awaits whom; `Ok(None)` where it has no such thing. Reads no more than
    /// [`Runtime::pending_work`] does for a first screen.
    fn work_stacks(&self, _job: &Job) -> Result<Option<WorkStacks>, Error> {
        Ok(None)
    }

    /// Whether all of that is known, for another question has asked for it.
    fn knows_work(&self) -> bool {
        false
    }

    /// Questions that make sense of it alone: a `views::Brought`. That is told without its type, since views are built upon this room.
    fn brings(&self) -> Option<&'static (dyn Any + Send + Sync)> {
        None
    }

    /// Whether a collector frees what nothing in its heap refers to.
    fn collects(&self) -> bool {
        false
    }

    /// Whether it has a heap whose objects can be listed. Asked when a dump is opened: of a heap that takes long to be understood, its
    /// marks alone are looked for.
    fn has_heap(&self, target: &Arc<Target>, job: &Job) -> Result<bool, Error> {
        Ok(self.heap(target, job)?.is_some())
    }

    /// Memory of its own besides its heap: compiled code, classes. What of it cannot be read is told.
    fn own_memory(&self, _job: &Job) -> Result<Partial<Vec<OwnMemory>>, Error> {
        Ok(Partial::default())
    }

    /// Its heap; `Ok(None)` where it has none whose objects can be listed. Fails where it may have one that cannot be read, with the
    /// reason.
    fn heap(&self, _target: &Arc<Target>, _job: &Job) -> Result<Option<Arc<dyn HeapSource>>, Error> {
        Ok(None)
    }
}

/// `Ok(None)`: the target does not have the runtime. `Err`: it has, and this is why nothing of it can be read.
pub type Detected = Known<Option<Box<dyn Runtime>>>;

/// A kind of runtime: how it is recognised.
pub struct RuntimeKind {
    /// `native`, `coreclr` …
    pub name: &'static str,
    /// Looks for it, by marks: every opened process is asked before its stacks are walked.
    pub detect: fn(&Arc<Target>) -> Detected,
}

/// Names walked frames, each by the runtime whose code it is, else by its module's symbols.
pub(super) fn named(runtimes: &[Box<dyn Runtime>], target: &Target, frames: &[Frame]) -> Vec<NamedFrame> {
    let mut named = Vec::with_capacity(frames.len());
    for (walked, frame) in frames.iter().enumerate() {
        match runtimes.iter().find_map(|runtime| runtime.expand(frame)) {
            Some(own) => named.extend(own.into_iter().map(|own| NamedFrame { walked, part: None, ..own })),
            None => target.add_named(&mut named, walked, frame),
        }
    }
    named.shrink_to_fit();
    for (index, frame) in named.iter_mut().enumerate() {
        frame.index = index;
        if let Some(own) = runtimes.iter().find_map(|runtime| runtime.is_own(frame)) {
            frame.own = own;
        }
    }
    named
}
