//! `referrers` and `references`: who refers to an object, and what it refers to.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::dumpheap::Total;
use super::object_rows::{ADDRESS, Named, ObjectRow, RootRow, object_line, type_cell};
use super::{Alias, Answered, Answers, Arg, Arity, Draw, Kind, Needs, Query, View};
use crate::analysis::graph;
use crate::analysis::histogram::Amount;
use crate::heap::ObjectId;
use crate::job::Job;
use crate::model::{Addr, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::report::words::thousands;
use crate::session::Session;
use crate::shape;

/// Objects that are listed where no other number was asked for.
const SHOWN: u64 = 1000;

const OBJECT: Arg = Arg::Operand(ADDRESS, Kind::Address, Arity::One, "the object, or an address in it");
const MOST: Arg = Arg::Value("n", Kind::Count, "so many objects at most (1,000 when not given)");

/// Who refers to an object.
pub const VIEW: View = View {
    name: "referrers",
    aliases: &[],
    needs: Needs::Heap,
    home_of: &[],
    args: &[OBJECT, MOST],
    pane: None,
    doc: "What refers to an object: others, by which field, and roots",
    help: "'gcroot' follows them up to a root.

$ dumpscope demo -c 'referrers 0x8a07c40'
(112 bytes) at 0x8a07c30 of 112 B
Address    Type         Bytes  Field
0x8a06a30  (112 bytes)    112  +0x8
0x8a08e30  (112 bytes)    112  +0x8
…",
    build: |session, query, job| build(session, query, job, true),
    schema: shape!(Referrers),
};

/// What an object refers to.
pub const REFERENCES: View = View {
    name: "references",
    aliases: &[Alias::of("dumpobjgcrefs")],
    needs: Needs::Heap,
    home_of: &[],
    args: &[OBJECT, MOST],
    pane: None,
    doc: "What an object refers to, and by which field",
    help: "Each object is listed once, however often it is referred to.

$ dumpscope demo -c 'references 0x8a139a0'
shop::Session at 0x8a139a0 of 80 B
Address    Type        Bytes  Field
0x8a139f0  (32 bytes)     32  basket",
    build: |session, query, job| build(session, query, job, false),
    schema: shape!(References),
};

/// What refers to an object.
#[derive(Serialize, JsonSchema)]
pub struct Referrers {
    #[serde(flatten)]
    list: References,
    /// What refers to it from outside the heap.
    pub roots: Vec<RootRow>,
}

/// Objects on the other end of references.
#[derive(Serialize, JsonSchema)]
pub struct References {
    /// The object that is asked about.
    pub address: Addr,
    /// Its type's full name; null where it has none of those that the heap tells.
    #[serde(rename = "type")]
    pub name: Option<Arc<str>>,
    /// How its type is known, as 'dumpheap -stat' tells it: `size` where nothing tells more; null where it has none.
    pub naming: Option<&'static str>,
    /// What it takes itself, in bytes.
    pub bytes: u64,
    /// The objects on the other end, by address.
    pub objects: Vec<ObjectRow>,
    /// All of them, whether they are listed or not.
    pub total: Total,
}

fn build(session: &Session, query: &Query, job: &Job, to_it: bool) -> Answers {
    let heap = session.heap_as_known(job)?;
    let graph = heap.graph(job)?;
    let named = Named::of(&heap, job)?;
    let id = named.asked(query)?;
    let ids = if to_it { graph::referrers(&graph, id, job)? } else { graph.references(id).to_vec() };
    let shown = usize::try_from(query.number("n").unwrap_or(SHOWN)).unwrap_or(usize::MAX);
    let row = |other: &ObjectId| {
        let field = if to_it { named.field(*other, id) } else { named.field(id, *other) };
        named.row(*other, field)
    };
    let mut total = Amount::default();
    ids.iter().for_each(|id| total.add(Amount { count: 1, bytes: named.objects.bytes(*id) }));
    let list = References {
        address: named.address(id),
        name: named.name(id),
        naming: named.naming(id),
        bytes: named.objects.bytes(id),
        objects: ids.iter().take(shown).map(row).collect(),
        total: Total::of(total, if to_it { heap.bound_of_referrers() } else { heap.bound() }),
    };
    let problems = heap.doubts();
    if !to_it {
        return Ok(Box::new(Answered { data: list, problems }));
    }
    let roots = graph.roots().iter().filter(|(_, object)| *object == id).take(shown);
    let roots = roots.map(|(root, _)| RootRow::of(root, &named, session)).collect();
    Ok(Box::new(Answered { data: Referrers { list, roots }, problems }))
}

impl References {
    /// `none`: what is said where there is no object.
    fn bodies(&self, roots: &[RootRow], none: &str) -> Vec<Body> {
        let mut lines = vec![object_line(self.address, self.name.as_ref(), self.bytes)];
        lines.extend(roots.iter().map(RootRow::line));
        if self.objects.is_empty() {
            lines.push(Row::text(none));
            return vec![Body::Lines(lines)];
        }
        let columns = vec![
            Column::rigid("Address"),
            Column::wide("Type", 1).rank(1),
            Column::right("Bytes").rank(3),
            Column::wide("Field", 1),
        ];
        let row = |object: &ObjectRow| {
            Row::about(
                Subject::Object(object.address),
                vec![
                    Cell::new(Value::Object(object.address)),
                    type_cell(object.name.as_ref()),
                    Cell::new(Value::Bytes(object.bytes)),
                    Cell::text_or_none(object.field.as_deref()).tone(Tone::Dim),
                ],
            )
        };
        let table = Table::new(columns, self.objects.iter().map(row).collect());
        let mut bodies = vec![Body::Lines(lines), Body::Table(table)];
        let left = self.total.count.saturating_sub(self.objects.len() as u64);
        if left > 0 {
            let text = format!("… and {} more; -n N lists more of them", thousands(left));
            bodies.push(Body::Lines(vec![Row::new(vec![Cell::text(text).tone(Tone::Dim)])]));
        }
        bodies
    }
}

impl Draw for References {
    fn draw(&self) -> Section {
        Section { bodies: self.bodies(&[], "It refers to no object."), ..Section::default() }
    }
}

impl Draw for Referrers {
    fn draw(&self) -> Section {
        let none = match (self.roots.is_empty(), self.list.total.complete) {
            (true, true) => "Nothing refers to it.",
            (true, false) => "Nothing that could be read refers to it: not all of the memory that may is in the dump.",
            (false, true) => "No object refers to it.",
            (false, false) => "No object that could be read refers to it.",
        };
        Section { bodies: self.list.bodies(&self.roots, none), ..Section::default() }
    }
}
