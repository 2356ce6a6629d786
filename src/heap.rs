//! A heap of objects, whoever can read it: a dump format that holds nothing else, or a runtime in a process.
//!
//! The smallest that a histogram and a list of objects need. An object is told by its address, which is an identity for formats
//! that keep no memory (hprof's object id).

use crate::error::Error;
use crate::job::Meter;
use crate::model::{Addr, Problem};

/// A heap whose objects can be listed.
pub trait HeapSource: Send + Sync {
    /// Whose heap it is, in words: `JVM`, `.NET`, `V8`.
    fn name(&self) -> &str;

    /// The types that objects may have, in the source's order; [`HeapObject::of_type`] counts in it. A type without objects may be among
    /// them.
    fn types(&self) -> &[HeapType];

    /// How many parts it is read in: each can be read by a thread of its own, and together they are the heap, in order.
    fn parts(&self) -> usize;

    /// What `visit` is told of every object of one part, in the source's order. Fails where the job was cancelled, or `visit` fails; what
    /// is damaged is left out and told by [`HeapSource::problems`]. Counts objects at `meter`.
    fn objects(&self, part: usize, meter: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<(), Error>;

    /// What is damaged or missing, as far as it was read.
    fn problems(&self) -> Vec<Problem>;
}

/// What is done with each object.
pub type Visit<'a> = dyn FnMut(HeapObject) -> Result<(), Error> + 'a;

/// A type of objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeapType {
    /// Its identity in the dump: the address of its method table or class object.
    pub id: Addr,
    /// Its full name, as its language writes it.
    pub name: String,
}

/// An object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapObject {
    /// Where it is.
    pub address: Addr,
    /// Position of its type in [`HeapSource::types`].
    pub of_type: usize,
    /// What it takes itself, without what it refers to.
    pub bytes: u64,
}
