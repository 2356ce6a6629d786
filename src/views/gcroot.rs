//! `gcroot`: why an object is alive: the ways to it from outside the heap.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::object_rows::{ADDRESS, Named, RootRow, object_line, type_cell};
use super::{Answered, Answers, Arg, Arity, Draw, Kind, Needs, Query, View};
use crate::analysis::graph::{self, Path};
use crate::heap::ObjectId;
use crate::job::Job;
use crate::model::{Addr, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::report::words::thousands;
use crate::session::Session;
use crate::shape;

/// Ways that `-all` shows at most.
const MOST: usize = 100;
/// Objects at each end of a way that are shown: there may be millions in between.
const SHOWN: usize = 500;

/// The view.
pub const VIEW: View = View {
    name: "gcroot",
    aliases: &[],
    needs: Needs::Heap,
    home_of: &[],
    args: &[
        Arg::Operand(ADDRESS, Kind::Address, Arity::One, "the object, or an address in it"),
        Arg::Flag("all", "not only the shortest way, but one through each that refers to it (100 at most)"),
        Arg::Value("n", Kind::Count, "so many ways at most"),
    ],
    pane: None,
    doc: "Why an object is alive: the way to it from a thread, a global variable or another root",
    help: "The object that the root holds stands first, the one asked about last; beside each is how it holds the \
           next.

$ dumpscope demo -c 'gcroot 0x8a675d0'
(16 KiB to 32 KiB) at 0x8a675d0 of 17 kB
global object.0+0x18 at 0x4e3678
Address    Type                Field
0x8a675d0  (16 KiB to 32 KiB)",
    build,
    schema: shape!(Paths),
};

/// How an object is held.
#[derive(Serialize, JsonSchema)]
pub struct Paths {
    /// The ways, the shortest first; none where nothing holds it.
    pub paths: Vec<PathRow>,
    /// Whether nothing else can hold it: false where memory that may is not in the dump; the warnings tell which.
    pub complete: bool,
    #[serde(skip)]
    object: (Addr, Option<Arc<str>>, u64),
}

/// A way to it.
#[derive(Serialize, JsonSchema)]
pub struct PathRow {
    /// Where it begins.
    pub root: RootRow,
    /// From the object that the root holds to the one asked about.
    #[serde(flatten)]
    pub steps: Steps,
}

/// Objects of which each refers to the next.
#[derive(Serialize, JsonSchema)]
pub struct Steps {
    /// The first of them first, the one asked about last.
    pub objects: Vec<Step>,
    /// Objects in the middle that are left out, of a way of more than a thousand.
    pub omitted: usize,
}

/// An object on the way.
#[derive(Serialize, JsonSchema)]
pub struct Step {
    /// Where it is.
    pub address: Addr,
    /// Its type's full name; null where it has none of those that the heap tells.
    #[serde(rename = "type")]
    pub name: Option<Arc<str>>,
    /// How its type is known, as 'dumpheap -stat' tells it: `size` where nothing tells more; null where it has none.
    pub naming: Option<&'static str>,
    /// How it holds the next one: a field's name, an offset; null for the last one, and where that is not known.
    pub field: Option<String>,
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let heap = session.heap_as_known(job)?;
    let graph = heap.graph(job)?;
    let named = Named::of(&heap, job)?;
    let id = named.asked(query)?;
    let most = match query.number("n") {
        Some(most) => usize::try_from(most).unwrap_or(usize::MAX),
        None if query.flag("all") => MOST,
        None => 1,
    };
    let found = graph::paths(&graph, id, most, job)?;
    let paths = found.iter().map(|path| PathRow::of(path, &named, session)).collect();
    let object = (named.address(id), named.name(id), named.objects.bytes(id));
    let problems = heap.doubts();
    Ok(Box::new(Answered { data: Paths { paths, complete: problems.is_empty(), object }, problems }))
}

impl PathRow {
    fn of(path: &Path, named: &Named, session: &Session) -> PathRow {
        PathRow { root: RootRow::of(&path.root, named, session), steps: Steps::of(&path.objects, named) }
    }
}

impl Steps {
    pub(super) fn of(objects: &[ObjectId], named: &Named) -> Steps {
        let steps = objects.iter().zip(objects.iter().skip(1).map(Some).chain([None]));
        let omitted = objects.len().saturating_sub(SHOWN.saturating_mul(2));
        let step = |(_, (id, next)): (usize, (&ObjectId, Option<&ObjectId>))| Step {
            address: named.address(*id),
            name: named.name(*id),
            naming: named.naming(*id),
            field: next.and_then(|next| named.field(*id, *next)),
        };
        let is_shown = |at: usize| at < SHOWN || at >= SHOWN.saturating_add(omitted);
        Steps { objects: steps.enumerate().filter(|(at, _)| is_shown(*at)).map(step).collect(), omitted }
    }

    pub(super) fn table(&self) -> Body {
        let columns = vec![Column::rigid("Address"), Column::wide("Type", 1).rank(1), Column::wide("Field", 1)];
        let mut rows: Vec<Row> = self.objects.iter().map(Step::row).collect();
        if self.omitted > 0 {
            let text = format!("… {} more …", thousands(self.omitted as u64));
            let more = Row::new(vec![Cell::NONE, Cell::text(text).tone(Tone::Dim), Cell::NONE]);
            rows.insert(SHOWN.min(rows.len()), more);
        }
        Body::Table(Table::new(columns, rows))
    }
}

impl Draw for Paths {
    fn draw(&self) -> Section {
        let (address, name, bytes) = &self.object;
        let mut bodies = vec![Body::Lines(vec![object_line(*address, name.as_ref(), *bytes)])];
        if self.paths.is_empty() {
            let said = match self.complete {
                true => "Nothing holds it: no way leads to it from a root. 'referrers' lists what refers to it.",
                false => {
                    "Nothing that could be read holds it: what may hold it is not all in the dump. 'referrers' lists \
                     what refers to it."
                }
            };
            bodies.push(Body::Lines(vec![Row::text(said)]));
        }
        for path in &self.paths {
            bodies.push(Body::Lines(vec![path.root.line()]));
            bodies.push(path.steps.table());
        }
        Section { bodies, ..Section::default() }
    }
}

impl Step {
    fn row(&self) -> Row {
        let field = Cell::text_or_none(self.field.as_deref()).tone(Tone::Dim);
        let address = Cell::new(Value::Object(self.address)).tone(Tone::Link);
        Row::about(Subject::Object(self.address), vec![address, type_cell(self.name.as_ref()), field])
    }
}
