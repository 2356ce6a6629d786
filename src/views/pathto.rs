//! `pathto`: how one object leads to another.

use schemars::JsonSchema;
use serde::Serialize;

use super::gcroot::Steps;
use super::object_rows::{Named, ObjectRow, object_line};
use super::{Answered, Answers, Arg, Arity, Draw, Kind, Needs, Query, View};
use crate::analysis::graph;
use crate::job::Job;
use crate::report::section::{Body, Row, Section};
use crate::session::Session;
use crate::shape;

const FROM: &str = "from";
const TO: &str = "to";

/// The view.
pub const VIEW: View = View {
    name: "pathto",
    aliases: &[],
    needs: Needs::Heap,
    home_of: &[],
    args: &[
        Arg::Operand(FROM, Kind::Address, Arity::One, "the object to begin with, or an address in it"),
        Arg::Operand(TO, Kind::Address, Arity::One, "the object to be reached, or an address in it"),
    ],
    pane: None,
    doc: "The shortest way from one object to another, along references",
    help: "'gcroot' finds the way from a root.

$ dumpscope demo -c 'pathto 0x8a139a0 0x8a139f0'
shop::Session at 0x8a139a0 of 80 B
Address    Type           Field
0x8a139a0  shop::Session  basket
0x8a139f0  (32 bytes)",
    build,
    schema: shape!(Way),
};

/// How one object leads to another.
#[derive(Serialize, JsonSchema)]
pub struct Way {
    /// Where it begins.
    pub from: ObjectRow,
    /// Where it leads.
    pub to: ObjectRow,
    /// The shortest way, both ends on it; null where none leads there.
    pub way: Option<Steps>,
    /// Whether all of the heap was read: else there may be a way where none, or a longer one, was found.
    pub complete: bool,
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let heap = session.heap_as_known(job)?;
    let graph = heap.graph(job)?;
    let named = Named::of(&heap, job)?;
    let (from, to) = (named.asked_as(query, FROM)?, named.asked_as(query, TO)?);
    let way = graph::way(&graph, from, to, job)?;
    let way = way.map(|objects| Steps::of(&objects, &named));
    // A way leads through objects alone: what is missing outside the heap does not matter.
    let problems = heap.source.problems();
    let data = Way { from: named.row(from, None), to: named.row(to, None), way, complete: problems.is_empty() };
    Ok(Box::new(Answered { data, problems }))
}

impl Draw for Way {
    fn draw(&self) -> Section {
        let first = object_line(self.from.address, self.from.name.as_ref(), self.from.bytes);
        let body = match &self.way {
            Some(way) => way.table(),
            None => {
                let (none, to) = (if self.complete { "No way" } else { "No way that could be read" }, self.to.address);
                Body::Lines(vec![Row::text(format!(
                    "{none} leads from it to {to}: 'gcroot {to}' says what holds that."
                ))])
            }
        };
        Section { bodies: vec![Body::Lines(vec![first]), body], ..Section::default() }
    }
}
