//! The toy runtime: a folder that reads what `fixtures/toy/main.c` lays out, and [`KIND`], the line of the table.

mod heap;
mod locks;
mod memory;
mod methods;
mod view;

use std::any::Any;
use std::sync::Arc;

use dumpscope::error::Error;
use dumpscope::heap::HeapSource;
use dumpscope::job::Job;
use dumpscope::model::{
    Addr, Detail, Exception, ExceptionFamily, ExceptionKind, Frame, Known, Lock, NamedFrame, Partial, Problem, Thread,
    Tid,
};
use dumpscope::runtimes::{Detected, Runtime, RuntimeKind, Scene};
use dumpscope::target::Target;
use dumpscope::unwind::{Unwind, Unwinder};

use self::memory::{at, text};
use self::methods::Methods;

/// The line of the table.
pub(crate) const KIND: RuntimeKind = RuntimeKind { name: "toy", detect: |target| Toy::of(target) };

/// What a method throws.
const REFUSAL: ExceptionKind = ExceptionKind::new("toy-throw", ExceptionFamily::Exception, "uncaught");

/// Members of `struct toy_runtime`, `struct toy_thrown`.
const MAGIC: u64 = 0x3159_4f54;
const METHODS: u64 = 8;
const LOCKS: u64 = 24;
const HEAP: u64 = 40;
const THROWN: u64 = 56;
const THROWN_TYPE: (u64, u64) = (8, 32);
const THROWN_MESSAGE: (u64, u64) = (40, 64);

/// C functions of the runtime itself.
const OWN: [&str; 2] = ["invoke", "toy_lock"];

/// The toy runtime of a process.
pub(crate) struct Toy {
    target: Arc<Target>,
    root: Addr,
    methods: Arc<Methods>,
}

impl Toy {
    fn of(target: &Arc<Target>) -> Detected {
        let Some(root) = target.lookup("toy_runtime", None) else { return Ok(None) };
        if target.memory.u64(root)? != MAGIC {
            return Ok(None);
        }
        let methods = Arc::new(Methods::read(target, at(root, METHODS)?)?);
        Ok(Some(Box::new(Toy { target: Arc::clone(target), root, methods })))
    }

    fn thrown(&self) -> Known<Option<Exception>> {
        let memory = &self.target.memory;
        let object = memory.ptr(at(self.root, THROWN)?)?;
        if object.0 == 0 {
            return Ok(None);
        }
        Ok(Some(Exception {
            tid: Some(Tid(memory.u32(object)?)),
            kind: REFUSAL,
            type_name: text(memory, object, THROWN_TYPE),
            message: text(memory, object, THROWN_MESSAGE).map(Some),
            address: Some(object),
            fatal: false,
            frames: Vec::new(),
            inner: None,
            others: Vec::new(),
            code: Ok(None),
            detail: Detail::Nothing,
        }))
    }
}

impl Runtime for Toy {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn unwinder(&self) -> Option<Arc<dyn Unwind>> {
        Some(Arc::clone(&self.methods) as Arc<dyn Unwind>)
    }

    fn expand(&self, frame: &Frame) -> Option<Vec<NamedFrame>> {
        self.methods.named(frame)
    }

    fn is_own(&self, frame: &NamedFrame) -> Option<bool> {
        OWN.contains(&frame.function.as_deref()?).then_some(false)
    }

    fn annotate(&self, threads: &mut [Thread], scene: &Scene<'_>, _: &Job) -> Result<Vec<Problem>, Error> {
        let mut next = 1;
        for (thread, stack) in threads.iter_mut().zip(scene.stacks) {
            let frames = scene.named(&stack.frames);
            if !stack.frames.iter().any(|frame| self.methods.at(frame.lookup()).is_some()) {
                continue;
            }
            thread.runtime_id = Some(next);
            next += 1;
            let own = frames.iter().find(|frame| frame.own).and_then(|frame| frame.function.as_deref());
            thread.top = own.map(str::to_owned);
        }
        locks::annotate(self, threads, scene);
        Ok(Vec::new())
    }

    fn locks(&self, scene: &Scene<'_>, _: &Job) -> Result<Partial<Vec<Lock>>, Error> {
        Ok(locks::waited(self, scene))
    }

    fn exceptions(&self, _: &Scene<'_>, _: &Unwinder, _: &Job) -> Result<Partial<Vec<Exception>>, Error> {
        Ok(Partial::whole(self.thrown().ok().flatten().into_iter().collect()))
    }

    fn heap(&self, target: &Arc<Target>, _: &Job) -> Result<Option<Arc<dyn HeapSource>>, Error> {
        let read = at(self.root, HEAP).and_then(|table| heap::Objects::read(target, table));
        let heap = read.map_err(|gap| Error::Failed(format!("the toy's heap cannot be read: {gap}")))?;
        Ok(Some(Arc::new(heap)))
    }

    fn brings(&self) -> Option<&'static (dyn Any + Send + Sync)> {
        Some(&view::BROUGHT)
    }
}
