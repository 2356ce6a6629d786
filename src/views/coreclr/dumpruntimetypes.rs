//! `dumpruntimetypes`: the objects that stand for types in .NET's reflection, and the type that each is of.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::with;
use crate::analysis::histogram::Selection;
use crate::job::Job;
use crate::model::{Addr, Problem, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Session;
use crate::session::coreclr::TypeHandle;
use crate::shape;
use crate::views::{Answered, Answers, Draw, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "dumpruntimetypes",
    aliases: &[],
    needs: Needs::Process,
    home_of: &[],
    args: &[],
    pane: None,
    doc: "Objects of .NET that stand for types (System.RuntimeType), and the type that each is of",
    help: "The handle is a method table, or describes a type that has none: a pointer, a type parameter.

$ dumpscope shop.core -c dumpruntimetypes
       Address          Handle  Type
0x7f4667000020  0x7f8714bcbe30  System.String
0x7f46670012e0  0x7f8714b72470  System.IComparable<T>
0x7f4667001338  0x7f8714b4ced2  T
…
in all: 187",
    build,
    schema: shape!(RuntimeTypes),
};

/// The class of such objects.
const CLASS: &str = "System.RuntimeType";

/// Objects that stand for types.
#[derive(Serialize, JsonSchema)]
pub struct RuntimeTypes {
    /// In the order of the heap.
    pub types: Vec<RuntimeTypeRow>,
}

/// An object that stands for a type.
#[derive(Serialize, JsonSchema)]
pub struct RuntimeTypeRow {
    /// The object.
    pub address: Addr,
    /// The type's handle: its method table, or a description; null where it cannot be read.
    pub handle: Option<Addr>,
    /// The type's name; null where it cannot be read.
    #[serde(rename = "type")]
    pub type_name: Option<Arc<str>>,
}

fn build(session: &Session, _: &Query, job: &Job) -> Answers {
    // Of a dump without it the heap of native code may be there.
    with(session, job, |runtime| runtime.needs_heap(job))?;
    let heap = session.heap(job)?;
    let types = heap.source.types().iter().map(|of_type| of_type.name == CLASS).collect();
    let selection = Selection { types: Some(types), ..Selection::default() };
    let mut objects = Vec::new();
    let mut meter = job.meter();
    for part in 0..heap.source.parts() {
        job.check()?;
        heap.source.objects(part, &mut meter, &mut |object| {
            objects.extend(Some(object.address).filter(|_| selection.has(&object)));
            Ok(())
        })?;
    }
    job.check()?;
    let told = with(session, job, |runtime| runtime.runtime_types(&objects, job))?;
    let mut problems = heap.source.problems();
    let mut gaps = told.iter().filter_map(|of| of.name.as_ref().err());
    if let Some(first) = gaps.next() {
        let message = format!("the names of {} types cannot be read: {first}", gaps.count().saturating_add(1));
        problems.push(Problem::new("types-unread", Subject::Capture, message));
    }
    let row = |(address, TypeHandle { handle, name }): (Addr, TypeHandle)| RuntimeTypeRow {
        address,
        handle: handle.ok(),
        type_name: name.ok(),
    };
    let data = RuntimeTypes { types: objects.into_iter().zip(told).map(row).collect() };
    Ok(Box::new(Answered { data, problems }))
}

impl Draw for RuntimeTypes {
    fn draw(&self) -> Section {
        let columns = vec![Column::right("Address"), Column::right("Handle").rank(3), Column::wide("Type", 1).rank(1)];
        let row = |row: &RuntimeTypeRow| {
            let handle = row.handle.map_or_else(|| Cell::unknown("it cannot be read"), |at| Cell::new(Value::Addr(at)));
            let name = match &row.type_name {
                Some(name) => Cell::new(Value::Type(Arc::clone(name))).tone(Tone::Strong),
                None => Cell::unknown("its name cannot be read"),
            };
            let cells = vec![Cell::new(Value::Object(row.address)).tone(Tone::Link), handle.tone(Tone::Dim), name];
            Row::about(Subject::Object(row.address), cells)
        };
        let total = vec![Cell::text("in all:").tone(Tone::Dim), Cell::new(Value::Count(self.types.len() as u64))];
        let table = Table::new(columns, self.types.iter().map(row).collect());
        Section { bodies: vec![Body::Table(table), Body::Lines(vec![Row::new(total)])], ..Section::default() }
    }
}
