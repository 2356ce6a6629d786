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
    schema: || schemars::schema_for!(Way),
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
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let heap = session.heap_as_known(job)?;
    let graph = heap.graph(job)?;
    let named = Named::of(&heap, job)?;
    let (from, to) = (named.asked_as(query, FROM)?, named.asked_as(query, TO)?);
    let way = graph::way(&graph, from, to, job)?;
    let way = way.map(|objects| Steps::of(&objects, &named));
    let data = Way { from: named.row(from, None), to: named.row(to, None), way };
    Ok(Box::new(Answered { data, problems: heap.doubts() }))
}

impl Draw for Way {
    fn draw(&self) -> Section {
        let first = object_line(self.from.address, self.from.name.as_ref(), self.from.bytes);
        let body = match &self.way {
            Some(way) => way.table(),
            None => Body::Lines(vec![Row::text(format!(
                "No way leads from it to {}: 'gcroot {}' says what holds that.",
                self.to.address, self.to.address
            ))]),
        };
        Section { bodies: vec![Body::Lines(vec![first]), body], ..Section::default() }
    }
}
