//! The part of a thread's stack in which it waits: from its innermost frame to the first frame of the program's own code.
//!
//! Input: a walked stack. Output: the names of managed methods in it, and the objects that its words refer to. Which of them is still used
//! cannot be told: who looks for an object holds it against another.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use crate::model::{Addr, FrameKind, Stack};
use crate::runtimes::coreclr::heap::Segments;
use crate::runtimes::coreclr::methods::Methods;
use crate::runtimes::coreclr::objects::Instance;

/// Most frames that are looked at, most bytes of stack, and most objects that are kept.
const MAX_FRAMES: usize = 64;
const MAX_BYTES: u64 = 64 << 10;
const MAX_OBJECTS: usize = 1024;

/// Where a thread waits.
#[derive(Default)]
pub(in crate::runtimes::coreclr) struct Part<'a> {
    /// Methods with types and parameters, innermost first, up to the first of the program's own, which is not among them.
    pub(in crate::runtimes::coreclr) calls: Vec<Arc<str>>,
    /// Whether any managed method is on the stack.
    pub(in crate::runtimes::coreclr) is_managed: bool,
    /// Words of the stack beneath the program's own code, innermost first.
    pub(in crate::runtimes::coreclr) beneath: Vec<Addr>,
    /// Whether not all of it was looked at: it may refer to more objects.
    pub(in crate::runtimes::coreclr) is_cut: bool,
    /// Objects, each once, the innermost first.
    objects: Vec<Instance<'a>>,
}

impl<'a> Part<'a> {
    /// The part of a stack. `segments`: the heap, where the dump tells where it is.
    pub(in crate::runtimes::coreclr) fn of(
        methods: &'a Methods,
        segments: Option<&Segments>,
        stack: &Stack,
    ) -> Part<'a> {
        let mut part = Part { is_cut: true, ..Part::default() };
        let Some(first) = stack.frames.first() else { return part };
        let (mut own, mut end) = (None, first.sp);
        for frame in stack.frames.iter().take(MAX_FRAMES) {
            end = frame.cfa.unwrap_or(frame.sp);
            if frame.kind != FrameKind::Managed {
                continue;
            }
            part.is_managed = true;
            let named = methods.frame(frame).into_iter().flatten().next();
            if named.as_ref().is_some_and(|named| named.own) {
                own = Some(frame.sp);
                break;
            }
            part.calls.extend(named.and_then(|named| named.function));
        }
        let words = words(methods, first.sp, end);
        let is_whole = end.since(first.sp).is_some_and(|bytes| bytes / 8 <= words.len() as u64);
        let beneath = own.unwrap_or(end).since(first.sp).unwrap_or(0) / 8;
        part.beneath = words.iter().take(usize::try_from(beneath).unwrap_or(0)).copied().collect();
        part.objects = segments.map(|segments| objects(methods, segments, &words)).unwrap_or_default();
        part.is_cut = !is_whole || own.is_none() || segments.is_none() || part.objects.len() >= MAX_OBJECTS;
        part
    }

    /// Whether one of the methods is of a type, or begins so: `System.Threading.Lock.`.
    pub(in crate::runtimes::coreclr) fn calls(&self, beginning: &str) -> bool {
        self.calls.iter().any(|call| call.starts_with(beginning))
    }

    /// The innermost method; empty where there is none.
    pub(in crate::runtimes::coreclr) fn innermost(&self) -> &str {
        // Stubs of the runtime's own lead to native code.
        self.calls.iter().find(|call| !call.starts_with("ILStubClass.")).map_or("", |call| call)
    }

    /// The objects that it refers to.
    pub(in crate::runtimes::coreclr) fn objects(&self) -> impl Iterator<Item = &Instance<'a>> {
        self.objects.iter()
    }

    /// Those of a class, or of one that derives from it; type arguments are left out.
    pub(in crate::runtimes::coreclr) fn of_class(&self, class: &str) -> impl Iterator<Item = &Instance<'a>> {
        self.objects.iter().filter(move |object| object.is_a(class))
    }
}

fn words(methods: &Methods, start: Addr, end: Addr) -> Vec<Addr> {
    let memory = methods.clr.memory();
    let bytes = end.since(start).unwrap_or(0).min(MAX_BYTES);
    memory.slice_up_to(start, bytes).map(|bytes| memory.pointers(bytes).collect()).unwrap_or_default()
}

fn objects<'a>(methods: &'a Methods, segments: &Segments, words: &[Addr]) -> Vec<Instance<'a>> {
    let mut seen = FxHashSet::default();
    let is_place = |word: &&Addr| word.is_aligned(8) && segments.holding(**word).is_some();
    let objects = words.iter().filter(is_place).filter(|word| seen.insert(**word));
    let objects = objects.filter_map(|word| methods.types().object(*word).ok());
    objects.filter(|object| object.class.name.is_ok()).take(MAX_OBJECTS).collect()
}
