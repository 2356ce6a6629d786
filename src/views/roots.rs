//! `roots`: every reference from outside of the heap.

use schemars::JsonSchema;
use serde::Serialize;

use super::object_rows::{Named, ObjectRow, RootRow, type_cell};
use super::{Answered, Answers, Arg, Draw, Kind, Needs, Query, View};
use crate::job::Job;
use crate::model::{Addr, Subject, Tid};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Session;
use crate::shape;

/// Rows that are shown where nothing is said.
const SHOWN: u64 = 1000;

/// The view.
pub const VIEW: View = View {
    name: "roots",
    aliases: &[],
    needs: Needs::Heap,
    home_of: &[],
    args: &[
        Arg::Value("kind", Kind::Word, "only those whose kind this is a part of: stack, handle, static …"),
        Arg::Value("t", Kind::Thread, "only those of this thread"),
        Arg::Value("n", Kind::Count, "how many are listed; 1000 when not given"),
    ],
    pane: None,
    doc: "Every reference from outside of the heap: variables, static fields, stacks, registers, handles",
    help: "What they hold is alive, and what hangs from it: 'gcroot' tells the way from one of them to an object.

$ dumpscope demo -c 'roots -kind global -n 3'
Kind    Thread  At        Name                Object     Type
global          0x4e2518  _dl_main_map+0x18   0x89f3000  (1 KiB to 2 KiB)
global          0x4e2868  _dl_main_map+0x368  0x89f2fe0  (32 bytes)
global          0x4e3678  object.0+0x18       0x8a675d0  (16 KiB to 32 KiB)
… and 20 more (-n)",
    build,
    schema: shape!(Roots),
};

/// References from outside of the heap.
#[derive(Serialize, JsonSchema)]
pub struct Roots {
    /// Each, in the heap's own order.
    pub roots: Vec<RootOf>,
    /// How many there are of those that were asked for.
    pub total: usize,
}

/// One of them.
#[derive(Serialize, JsonSchema)]
pub struct RootOf {
    /// Where it is held.
    #[serde(flatten)]
    pub root: RootRow,
    /// The object.
    pub object: ObjectRow,
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let heap = session.heap_as_known(job)?;
    let graph = heap.graph(job)?;
    let named = Named::of(&heap, job)?;
    let most = usize::try_from(query.number("n").unwrap_or(SHOWN)).unwrap_or(usize::MAX);
    let thread: Option<Tid> = match query.text("t") {
        Some(_) => session.os_threads().get(query.thread_index(session)?).map(|thread| thread.tid),
        None => None,
    };
    let mut meter = job.meter();
    let (mut roots, mut total) = (Vec::new(), 0usize);
    for (root, object) in graph.roots() {
        meter.add(1)?;
        let is_asked = query.text("kind").is_none_or(|kind| root.kind.word().contains(kind));
        if !is_asked || thread.is_some_and(|tid| root.tid != Some(tid)) {
            continue;
        }
        total = total.saturating_add(1);
        if roots.len() < most {
            roots.push(RootOf { root: RootRow::of(root, &named, session), object: named.row(*object, None) });
        }
    }
    Ok(Box::new(Answered { data: Roots { roots, total }, problems: heap.doubts() }))
}

impl Draw for Roots {
    fn draw(&self) -> Section {
        let columns = [
            Column::left("Kind"),
            Column::right("Thread"),
            Column::rigid("At").rank(3),
            Column::wide("Name", 1),
            Column::rigid("Object"),
            Column::wide("Type", 2).rank(1),
        ];
        let row = |of: &RootOf| {
            let tid = of.root.tid.map_or(Cell::NONE, |tid| Cell::new(Value::Tid(tid)).tone(Tone::Link));
            let at = of.root.at.map_or(Cell::NONE, |at: Addr| Cell::new(Value::Addr(at)).tone(Tone::Dim));
            let cells = vec![
                Cell::text(of.root.kind),
                tid,
                at,
                Cell::text_or_none(of.root.name.as_deref()),
                Cell::new(Value::Object(of.object.address)).tone(Tone::Link),
                type_cell(of.object.name.as_ref()),
            ];
            Row::about(Subject::Object(of.object.address), cells)
        };
        let mut bodies = vec![Body::Table(Table::new(columns.to_vec(), self.roots.iter().map(row).collect()))];
        let left_out = self.total.saturating_sub(self.roots.len());
        if left_out > 0 {
            let text = format!("… and {left_out} more (-n)");
            bodies.push(Body::Lines(vec![Row::new(vec![Cell::text(text).tone(Tone::Dim)])]));
        }
        Section { bodies, ..Section::default() }
    }
}
