//! `traverseheap`: every object of .NET's heap with what it refers to.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::with;
use crate::analysis::graph::Graph;
use crate::heap::{ObjectId, Objects};
use crate::job::Job;
use crate::model::{Addr, Subject};
use crate::report::rows::Rows;
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Session;
use crate::shape;
use crate::views::{Answered, Answers, Arg, Draw, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "traverseheap",
    aliases: &[],
    needs: Needs::Process,
    home_of: &[],
    args: &[Arg::Refused("xml", "it is printed; with --json it is one document")],
    pane: None,
    doc: "Every object of .NET's heap, with its type and all that it refers to",
    help: "SOS writes it to a file for its profiler; here it is printed, and no file is written.

$ dumpscope shop.core -c traverseheap
Address         Bytes  Type             Refers to
0x7f46fc000028   8184  System.Object[]  0x7f4700c07240 0x7f4700c074b0 …
…",
    build,
    schema: shape!(Traversed),
};

/// References that a line has room for.
const DRAWN: usize = 64;

/// All objects.
#[derive(Serialize, JsonSchema)]
pub struct Traversed {
    /// By address.
    #[schemars(with = "Vec<TraversedRow>")]
    objects: Arc<All>,
}

/// An object.
#[derive(Serialize, JsonSchema)]
struct TraversedRow {
    /// Where it is.
    address: Addr,
    /// Its type.
    #[serde(rename = "type")]
    type_name: Option<Arc<str>>,
    /// Its type's identity: a method table.
    id: Option<Addr>,
    /// What it takes itself, in bytes.
    bytes: u64,
    /// The objects that it refers to, each once; of dependent handles those that live as long as it does, too.
    references: Vec<Addr>,
}

/// The objects, which become rows when they are shown or written.
struct All {
    objects: Arc<Objects>,
    graph: Arc<Graph>,
    /// Of each type its name and identity.
    types: Vec<(Arc<str>, Addr)>,
}

impl fmt::Debug for All {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("All").field("objects", &self.objects.len()).finish_non_exhaustive()
    }
}

impl All {
    fn row(&self, id: ObjectId, most: usize) -> Option<TraversedRow> {
        let object = self.objects.get(id)?;
        let of_type = self.types.get(object.of_type);
        let references = self.graph.references(id).iter().take(most);
        Some(TraversedRow {
            address: object.address,
            type_name: of_type.map(|(name, _)| Arc::clone(name)),
            id: of_type.map(|(_, id)| *id),
            bytes: object.bytes,
            references: references.filter_map(|to| self.objects.address(*to)).collect(),
        })
    }
}

impl Serialize for All {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((0..self.objects.len()).filter_map(|id| self.row(id, usize::MAX)))
    }
}

fn build(session: &Session, _: &Query, job: &Job) -> Answers {
    // Of a dump without it the heap of native code may be there.
    with(session, job, |runtime| runtime.needs_heap(job))?;
    let heap = session.heap(job)?;
    let types = heap.source.types().iter().map(|of_type| (of_type.name.as_str().into(), of_type.id)).collect();
    let objects = Arc::new(All { objects: heap.objects(job)?, graph: heap.graph(job)?, types });
    Ok(Box::new(Answered { data: Traversed { objects }, problems: heap.source.problems() }))
}

impl Draw for Traversed {
    fn draw(&self) -> Section {
        let columns = vec![
            Column::rigid("Address"),
            Column::right("Bytes").rank(4),
            Column::wide("Type", 1).rank(1).enough(26),
            Column::wide("Refers to", 2),
        ];
        let rows: Arc<dyn Rows> = Arc::<All>::clone(&self.objects);
        Section { bodies: vec![Body::Table(Table { columns, rows })], ..Section::default() }
    }
}

impl Rows for All {
    fn len(&self) -> usize {
        usize::try_from(self.objects.len()).unwrap_or(usize::MAX)
    }

    fn get(&self, index: usize) -> Option<Cow<'_, Row>> {
        let id = ObjectId::try_from(index).ok()?;
        let row = self.row(id, DRAWN)?;
        let mut refers: Vec<String> = row.references.iter().map(Addr::to_string).collect();
        let left = self.graph.references(id).len().saturating_sub(row.references.len());
        refers.extend((left > 0).then(|| format!("and {left} more")));
        let name = match row.type_name {
            Some(name) => Cell::new(Value::Type(name)),
            None => Cell::unknown("the heap tells no such type"),
        };
        let cells = vec![
            Cell::new(Value::Object(row.address)).tone(Tone::Link),
            Cell::new(Value::Bytes(row.bytes)),
            name,
            Cell::text(refers.join(" ")),
        ];
        Some(Cow::Owned(Row::about(Subject::Object(row.address), cells)))
    }
}
