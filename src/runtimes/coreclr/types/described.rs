//! What is known of a class and of its fields.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::metadata::Sort;

/// A class.
#[derive(Clone, Debug)]
pub(in crate::runtimes::coreclr) struct Class {
    /// Its `MethodTable`.
    pub(in crate::runtimes::coreclr) table: Addr,
    /// Its name, as C# writes it.
    pub(in crate::runtimes::coreclr) name: Known<Arc<str>>,
    /// What it is.
    pub(in crate::runtimes::coreclr) kind: ClassKind,
    /// Bytes of an object without components.
    pub(in crate::runtimes::coreclr) base_size: u32,
    /// Bytes of a component; 0 where it has none.
    pub(in crate::runtimes::coreclr) component: u32,
    /// The base class; 0 where there is none.
    pub(in crate::runtimes::coreclr) parent: Addr,
    /// Whether its objects refer to others.
    pub(in crate::runtimes::coreclr) has_references: bool,
}

/// What a class is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) enum ClassKind {
    /// Its objects are referred to.
    Reference,
    /// A structure.
    Structure,
    /// A number or character, of an element type: ECMA-335 II.23.1.16.
    Primitive(u8),
    /// An enumeration, of an element type.
    Enumeration(u8),
    /// A text.
    Text,
    /// An array.
    Array {
        /// Type handle of its elements.
        of: Addr,
        /// Dimensions; `None` for one that is indexed from 0 in one.
        rank: Option<u32>,
    },
}

/// A field of a class.
#[derive(Clone, Debug)]
pub(in crate::runtimes::coreclr) struct Field {
    /// Its name.
    pub(in crate::runtimes::coreclr) name: Arc<str>,
    /// The class that declares it, by its `MethodTable`: type arguments in `sort` are those of this.
    pub(in crate::runtimes::coreclr) declared_by: Addr,
    /// Its type.
    pub(in crate::runtimes::coreclr) sort: Known<Sort>,
    /// Its element type as the runtime lays it out: of an enumeration that of its numbers.
    pub(in crate::runtimes::coreclr) element: u8,
    /// Bytes from the first field of the object, or from where statics of its kind begin.
    pub(in crate::runtimes::coreclr) offset: u64,
    /// Who has it.
    pub(in crate::runtimes::coreclr) held: Held,
}

/// Who has a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) enum Held {
    /// Each object.
    Object,
    /// The class.
    Class,
    /// The class, once for each thread.
    Thread,
    /// The image: constants of arrays.
    Image,
}

impl Field {
    /// Whether its value is a reference or a structure, which as a static is behind a reference.
    pub(in crate::runtimes::coreclr) fn is_collected(&self) -> bool {
        matches!(self.element, 0x11 | 0x12)
    }
}

/// What keeps a class that can be unloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) struct Loader {
    /// The runtime's handle of the object.
    pub(in crate::runtimes::coreclr) handle: Addr,
    /// A `System.Reflection.LoaderAllocator`: what its statics hold is reached from it.
    pub(in crate::runtimes::coreclr) object: Addr,
}

/// What has names, and why there may be more of it.
#[derive(Clone, Debug)]
pub(in crate::runtimes::coreclr) struct Named<T> {
    by_name: FxHashMap<String, T>,
    unread: Option<Gap>,
}

impl<T> Default for Named<T> {
    fn default() -> Named<T> {
        Named { by_name: FxHashMap::default(), unread: None }
    }
}

impl<T: Copy> Named<T> {
    /// What has a name; `Ok(None)` where all were read and none has.
    pub(super) fn get(&self, name: &str) -> Known<Option<T>> {
        match (self.by_name.get(name), &self.unread) {
            (None, Some(gap)) => Err(gap.clone()),
            (found, _) => Ok(found.copied()),
        }
    }

    /// Adds one.
    pub(super) fn add(&mut self, name: String, found: T) {
        self.by_name.insert(name, found);
    }

    /// Keeps why one was not read.
    pub(super) fn miss(&mut self, gap: Gap) {
        self.unread.get_or_insert(gap);
    }

    /// Why there may be more.
    pub(in crate::runtimes::coreclr) fn unread(&self) -> Option<&Gap> {
        self.unread.as_ref()
    }

    /// Those that were read.
    pub(in crate::runtimes::coreclr) fn all(&self) -> impl Iterator<Item = T> {
        self.by_name.values().copied()
    }
}

/// Rows of the types of a module, by their full names.
pub(super) type Rows = Named<u32>;
/// Types with arguments, by their names.
pub(super) type Instantiated = Named<Addr>;
