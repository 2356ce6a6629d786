//! What views of a heap's graph share: the object that is asked about, and how objects and roots are told.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::Query;
use crate::error::Error;
use crate::heap::{HeapSource, ObjectId, Objects, Root};
use crate::job::Job;
use crate::model::{Addr, Tid};
use crate::report::section::{Cell, Row, Tone, Value};
use crate::session::{Heap, Session};

/// An object in a list.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ObjectRow {
    /// Where it is.
    pub address: Addr,
    /// Its type's full name; null where it has none of those that the heap tells.
    #[serde(rename = "type")]
    pub name: Option<Arc<str>>,
    /// How its type is known, as 'dumpheap -stat' tells it: `size` where nothing tells more; null where it has none.
    pub naming: Option<&'static str>,
    /// What it takes itself, in bytes.
    pub bytes: u64,
    /// How the one object holds the other: a field's name, an offset; null where that is not known.
    pub field: Option<String>,
}

/// Where a reference from outside the heap is held.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RootRow {
    /// `register`, `stack`, `thread-local`, `global`, `static field`, `handle`, `finalizer queue`, `frozen` or `mapping`.
    pub kind: &'static str,
    /// The thread whose it is; null where it is no thread's.
    pub tid: Option<Tid>,
    /// The variable or static field that it is, or the kind of handle, else the thread's name; null where neither is known.
    pub name: Option<String>,
    /// Where it is held in memory; null for a register.
    pub at: Option<Addr>,
}

/// The objects of a heap with the names of their types: those that what refers to them gives, where they are known.
pub(in crate::views) struct Named {
    pub(super) source: Arc<dyn HeapSource>,
    pub(super) objects: Arc<Objects>,
}

impl Named {
    pub(super) fn of(heap: &Heap, job: &Job) -> Result<Named, Error> {
        let named = heap.named_if_known();
        let heap = named.as_deref().unwrap_or(heap);
        Ok(Named { source: Arc::clone(&heap.source), objects: heap.objects(job)? })
    }

    /// The object that the question names by its address, or by one inside of it.
    pub(super) fn asked(&self, query: &Query) -> Result<ObjectId, Error> {
        self.asked_as(query, ADDRESS)
    }

    /// The same by another operand.
    pub(super) fn asked_as(&self, query: &Query, operand: &str) -> Result<ObjectId, Error> {
        let addr =
            query.address(operand).ok_or_else(|| Error::Usage("the address of an object is missing".to_owned()))?;
        let none = || Error::Failed(format!("no object is at {addr}; 'dumpheap' lists them"));
        self.objects.holding(addr).ok_or_else(none)
    }

    pub(super) fn address(&self, id: ObjectId) -> Addr {
        self.objects.address(id).unwrap_or_default()
    }

    pub(super) fn name(&self, id: ObjectId) -> Option<Arc<str>> {
        self.source.types().get(self.objects.of_type(id)).map(|of_type| of_type.name.as_str().into())
    }

    /// How its type is known, in a word.
    pub(super) fn naming(&self, id: ObjectId) -> Option<&'static str> {
        self.source.types().get(self.objects.of_type(id)).map(|of_type| of_type.naming.word())
    }

    /// How one object holds another.
    pub(super) fn field(&self, from: ObjectId, to: ObjectId) -> Option<String> {
        self.source.references()?.field(from, to, &self.objects)
    }

    pub(super) fn row(&self, id: ObjectId, field: Option<String>) -> ObjectRow {
        let (name, naming) = (self.name(id), self.naming(id));
        ObjectRow { address: self.address(id), name, naming, bytes: self.objects.bytes(id), field }
    }
}

/// The operand that names an object.
pub(super) const ADDRESS: &str = "address";

impl RootRow {
    pub(super) fn of(root: &Root, named: &Named, session: &Session) -> RootRow {
        let process = session.process().ok();
        let variable = root.at.zip(process).and_then(|(at, process)| process.symbol_at(at));
        let index = root.tid.and_then(|tid| session.index_of(tid));
        let thread = index.and_then(|index| session.os_threads().get(index)).and_then(|thread| thread.name.clone());
        let own = named.source.references().and_then(|references| references.root_name(root));
        RootRow { kind: root.kind.word(), tid: root.tid, name: own.or(variable).or(thread), at: root.at }
    }

    /// In words: `stack of 4719 worker-3 at 0x7f…`.
    pub(super) fn line(&self) -> Row {
        let dim = |text: &str| Cell::text(text).tone(Tone::Dim);
        let mut cells = vec![Cell::text(self.kind).tone(Tone::Strong)];
        if let Some(tid) = self.tid {
            cells.extend([dim("of"), Cell::new(Value::Tid(tid)).tone(Tone::Link)]);
        }
        cells.extend(self.name.as_deref().map(Cell::text));
        if let Some(at) = self.at {
            cells.extend([dim("at"), Cell::new(Value::Addr(at)).tone(Tone::Dim)]);
        }
        Row::new(cells)
    }
}

/// A type's name, or that there is none.
pub(super) fn type_cell(name: Option<&Arc<str>>) -> Cell {
    match name {
        Some(name) => Cell::new(Value::Type(Arc::clone(name))),
        None => Cell::unknown("the heap tells no such type"),
    }
}

/// `shop.Order at 0x7f10, 24 bytes`.
pub(super) fn object_line(address: Addr, name: Option<&Arc<str>>, bytes: u64) -> Row {
    let dim = |text: &str| Cell::text(text).tone(Tone::Dim);
    let cells = vec![
        type_cell(name).tone(Tone::Strong),
        dim("at"),
        Cell::new(Value::Object(address)),
        dim("of"),
        Cell::new(Value::Bytes(bytes)),
    ];
    Row::new(cells)
}
