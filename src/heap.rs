//! A heap of objects, whoever can read it: a dump format that holds nothing else, a runtime in a process, or native allocators.
//!
//! The smallest that a histogram and a list of objects need is [`HeapSource`]; what refers to what is [`References`], for heaps that
//! tell. An object is told by its address, which is an identity for formats that keep no memory (hprof's object id).

pub mod objects;

use std::ops::Range;
use std::sync::Arc;

use crate::error::Error;
use crate::job::{Job, Meter};
use crate::model::value::Field;
use crate::model::{Addr, Gap, Known, Problem, Stack, Tid, Value};

pub use objects::{ObjectId, Objects};

/// A heap whose objects can be listed.
pub trait HeapSource: Send + Sync {
    /// Whose heap it is, in words: `JVM`, `.NET`, `V8`, `glibc malloc`.
    fn name(&self) -> &str;

    /// The types that objects may have, in the source's order; [`HeapObject::of_type`] counts in it. A type without objects may be among
    /// them.
    fn types(&self) -> &[HeapType];

    /// Whether a collector frees what nothing refers to: then that is garbage, and leaked is what still is referred to.
    fn is_collected(&self) -> bool {
        false
    }

    /// How many parts it is read in: each can be read by a thread of its own, and together they are the heap, in order.
    fn parts(&self) -> usize;

    /// What `visit` is told of every object of one part, in the source's order. Fails where the job was cancelled, or `visit` fails; what
    /// is damaged is left out and told by [`HeapSource::problems`]. Counts objects at `meter`.
    fn objects(&self, part: usize, meter: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<(), Error>;

    /// Of each of [`HeapSource::types`] its objects, where they were counted on the way to the types; `None` where they were not.
    fn counted(&self) -> Option<&[Free]> {
        None
    }

    /// What is damaged or missing, as far as it was read.
    fn problems(&self) -> Vec<Problem>;

    /// What is wrong with its books that nothing else needs to read: links of free lists, handles, cards. Without what
    /// [`HeapSource::problems`] tells.
    fn verify(&self, _job: &Job) -> Result<Vec<Problem>, Error> {
        Ok(Vec::new())
    }

    /// What of it is free and stays with the process; `None` where the source does not tell.
    fn free(&self, _job: &Job) -> Result<Option<Free>, Error> {
        Ok(None)
    }

    /// The arenas (generations, spaces) that it is made of; empty where the source does not tell.
    fn arenas(&self, _job: &Job) -> Result<Vec<Arena>, Error> {
        Ok(Vec::new())
    }

    /// What its generations are called, each with other names for it, the youngest first; empty where it has none.
    fn generations(&self) -> &'static [&'static [&'static str]] {
        &[]
    }

    /// The runs of objects that its generations have, ascending; empty where it has none.
    fn stretches(&self) -> Vec<Stretch> {
        Vec::new()
    }

    /// The memory that it is kept in, ascending: objects, what is free, its books. Empty where the source does not tell.
    fn memory(&self) -> Vec<Range<Addr>> {
        Vec::new()
    }

    /// The same, each with whose it is: of several allocators the one.
    fn owners(&self) -> Vec<(Range<Addr>, &str)> {
        self.memory().into_iter().map(|range| (range, self.name())).collect()
    }

    /// What is in an object; `None` where the source cannot tell of any.
    fn contents(&self, _object: HeapObject) -> Option<Contents> {
        None
    }

    /// An object at an address that the parts do not have, since the heap around it is damaged or not in the dump; `None` where there is none.
    fn lone(&self, _address: Addr) -> Option<LoneObject> {
        None
    }

    /// The same heap with names for objects that carry none, by what refers to them; `None` where the source cannot tell
    /// more. Its objects are the same, and what they refer to. `objects` are all of them, `stacks` those of the process. Takes seconds for
    /// ten million objects.
    fn named(
        self: Arc<Self>,
        _objects: &Arc<Objects>,
        _stacks: &[Arc<Stack>],
        _job: &Job,
    ) -> Result<Option<Arc<dyn HeapSource>>, Error> {
        Ok(None)
    }

    /// For a type whose name is told by what refers to its objects one of those that do: `shop::Order.items`.
    fn told_by(&self, _of_type: usize) -> Option<&str> {
        None
    }

    /// Whether the objects of a type are texts, which [`HeapSource::text`] reads.
    fn is_text(&self, _of_type: usize) -> bool {
        false
    }

    /// The characters of an object that is a text: UTF-16, as memory has them.
    fn text(&self, object: HeapObject) -> Known<&[u8]> {
        Err(Gap::Unsupported(format!("the text at {}", object.address)))
    }

    /// What its objects refer to, where the source can tell.
    fn references(&self) -> Option<&dyn References> {
        None
    }
}

/// What is done with each object.
pub type Visit<'a> = dyn FnMut(HeapObject) -> Result<(), Error> + 'a;

/// A type of objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeapType {
    /// Its identity in the dump: the address of its method table, vtable or class object; of a group without a name a number.
    pub id: Addr,
    /// Its full name, as its language writes it; of objects without a name what they have in common, `(48 bytes)`.
    pub name: String,
    /// How the name was found.
    pub naming: Naming,
}

/// How the type of an object is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Naming {
    /// Recorded in the object itself: a header, a method table, a vtable.
    #[default]
    Recorded,
    /// Told by what refers to it, through the types of fields.
    Referred,
    /// By its contents: text, a known shape.
    Contents,
    /// Not known: objects are put together by their size.
    Size,
}

impl Naming {
    /// In a word, as JSON has it.
    pub fn word(self) -> &'static str {
        match self {
            Naming::Recorded => "recorded",
            Naming::Referred => "referred",
            Naming::Contents => "contents",
            Naming::Size => "size",
        }
    }
}

/// An object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapObject {
    /// Where it is: what its references name.
    pub address: Addr,
    /// Position of its type in [`HeapSource::types`].
    pub of_type: usize,
    /// What it takes itself, without what it refers to: of an allocation what the allocator gives away for it, header and rounding
    /// included, so that the sum is that of the allocator's own books.
    pub bytes: u64,
}

/// Freed space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Free {
    /// Blocks.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// How what was counted of a heap relates to what there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bound {
    /// As much.
    #[default]
    Exact,
    /// There may be more: a part was not read.
    AtLeast,
    /// There may be less: something counts that may not.
    AtMost,
    /// Either.
    About,
}

impl Bound {
    /// What a problem of a heap means for its totals. The source says it by the problem's code.
    pub fn of(problem: &Problem) -> Bound {
        match problem.code {
            // Where blocks begin or what they are is not sure; how many there are is.
            "heap-inexact" => Bound::Exact,
            // What a free list held counts as in use where the list is damaged, or was not found.
            "heap-list-damaged" | "heap-overcounted" => Bound::AtMost,
            "heap-moving" => Bound::About,
            _ => Bound::AtLeast,
        }
    }

    /// Both together.
    pub fn and(self, other: Bound) -> Bound {
        match (self, other) {
            (Bound::Exact, other) => other,
            (one, Bound::Exact) => one,
            (one, other) if one == other => one,
            _ => Bound::About,
        }
    }

    /// What stands before the number; `None` where it is exact.
    pub fn words(self) -> Option<&'static str> {
        match self {
            Bound::Exact => None,
            Bound::AtLeast => Some("at least"),
            Bound::AtMost => Some("at most"),
            Bound::About => Some("about"),
        }
    }
}

/// A piece of a heap with books of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arena {
    /// What it is called: `main`, `arena 3`, `gen 2`.
    pub name: String,
    /// Where its books are.
    pub address: Option<Addr>,
    /// Bytes that it has taken from the system.
    pub system: u64,
    /// Objects in use and their bytes.
    pub used: Free,
    /// Free blocks by the list that holds them: what the list is called, blocks, bytes.
    pub free: Vec<(&'static str, Free)>,
    /// Bytes of its own books, and lost to alignment.
    pub overhead: u64,
}

/// A run of objects that are of one generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// From the first object to the end of the last.
    pub range: Range<Addr>,
    /// Position in [`HeapSource::generations`]; a gap where it has objects of several that cannot be told apart.
    pub generation: Known<usize>,
    /// The heap of several that one collector has, from 0.
    pub heap: u64,
    /// What it is a part of, as the collector names it.
    pub segment: Addr,
    /// What fills gaps between its objects.
    pub free: Free,
}

/// What is in an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Contents {
    /// By its type: fields, elements; or why nobody can tell.
    pub value: Known<Value>,
    /// Of a container whose fields are its value the elements that it holds: an array.
    pub contained: Option<Value>,
    /// The static fields of its class.
    pub statics: Vec<StaticField>,
    /// How many more there are.
    pub statics_left_out: u64,
    /// What reads as text, at its start.
    pub text: Option<String>,
    /// Its first words; a word is unknown where memory is not at hand.
    pub words: Vec<Option<Addr>>,
    /// How many more words it has.
    pub words_left_out: u64,
}

/// An object that was found by its address alone.
#[derive(Clone, Debug, PartialEq)]
pub struct LoneObject {
    /// Its type's name.
    pub name: String,
    /// Its type's identity.
    pub id: Addr,
    /// What it takes itself.
    pub bytes: u64,
    /// What is in it.
    pub contents: Contents,
}

impl Contents {
    /// Of an object of which nothing but its first words is known, and how many more it has.
    pub fn of_words((words, words_left_out): (Vec<Option<Addr>>, u64)) -> Contents {
        let value = Err(Gap::NotRecorded("its fields".to_owned()));
        let (contained, statics, text) = (None, Vec::new(), None);
        Contents { value, contained, statics, statics_left_out: 0, text, words, words_left_out }
    }
}

/// A field that belongs to a class and not to its objects.
#[derive(Clone, Debug, PartialEq)]
pub struct StaticField {
    /// The field; its offset is from where the class keeps such fields.
    pub part: Field,
    /// The thread whose it is, where each has one of its own.
    pub thread: Option<Tid>,
}

/// What the objects of a heap refer to, and what refers to them from outside.
pub trait References: Send + Sync {
    /// What the objects with these ids refer to: `visit` is told (referring object, object referred to), the referring ones ascending. The
    /// ids are those of `objects`, which holds the same heap. Counts objects at `meter`.
    fn of_objects(
        &self,
        range: Range<ObjectId>,
        objects: &Objects,
        meter: &mut Meter<'_>,
        visit: &mut dyn FnMut(ObjectId, ObjectId) -> Result<(), Error>,
    ) -> Result<(), Error>;

    /// Every reference from outside the heap.
    fn roots(
        &self,
        objects: &Objects,
        job: &Job,
        visit: &mut dyn FnMut(Root, ObjectId) -> Result<(), Error>,
    ) -> Result<(), Error>;

    /// Why an object that seems to be referred to by nothing may be all the same: memory that may hold references and is not in the dump.
    fn missing(&self) -> Vec<Problem> {
        Vec::new()
    }

    /// What a root is called, where the heap has a name for it: a static field, a kind of handle.
    fn root_name(&self, _root: &Root) -> Option<String> {
        None
    }

    /// How one object holds another, in words: a field's name, an offset. `None` where it does not refer to it.
    fn field(&self, _from: ObjectId, _to: ObjectId, _objects: &Objects) -> Option<String> {
        None
    }
}

/// Where a reference from outside the heap is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Root {
    /// What holds it.
    pub kind: RootKind,
    /// Where it is held in memory; `None` for a register.
    pub at: Option<Addr>,
    /// The thread whose it is.
    pub tid: Option<Tid>,
}

/// What holds a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RootKind {
    /// A register of a thread.
    Register,
    /// The live part of a thread's stack.
    Stack,
    /// Thread-local storage.
    ThreadLocal,
    /// A module's variables.
    Global,
    /// A static field of a class.
    Static,
    /// A handle that a runtime keeps (JNI, GC handle).
    Handle,
    /// A runtime's list of objects that are to be finalized.
    Finalizer,
    /// A part of the heap that is never collected.
    Frozen,
    /// Writable memory that belongs to none of these: an arena that the program made itself.
    Mapping,
}

impl RootKind {
    /// In words, as JSON has it.
    pub fn word(self) -> &'static str {
        match self {
            RootKind::Register => "register",
            RootKind::Stack => "stack",
            RootKind::ThreadLocal => "thread-local",
            RootKind::Global => "global",
            RootKind::Static => "static field",
            RootKind::Handle => "handle",
            RootKind::Finalizer => "finalizer queue",
            RootKind::Frozen => "frozen",
            RootKind::Mapping => "mapping",
        }
    }
}
