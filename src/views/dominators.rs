//! `dominators`: the objects that keep the most alive.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::object_rows::{Named, type_cell};
use super::{Answered, Answers, Arg, Draw, Kind, Needs, Query, View};
use crate::analysis::share::percent;
use crate::job::Job;
use crate::model::{Addr, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Session;

/// Objects that are shown where no other number was asked for.
const SHOWN: u64 = 100;

/// The view.
pub const VIEW: View = View {
    name: "dominators",
    aliases: &[],
    needs: Needs::Heap,
    home_of: &[],
    args: &[Arg::Value("n", Kind::Count, "so many objects (100 when not given)")],
    pane: None,
    doc: "The objects that keep the most bytes alive",
    help: "'Retained' is what would be free without the object; it is a part of what its dominator retains, through \
           which alone it is held. Leaked objects are told, too: they keep alive what hangs from them.

$ dumpscope demo -c 'dominators -n 3'
Address    Type                 Bytes  Retained   Share  Dominator
0x89f3960  (64 KiB to 128 KiB)    71K       71K  14.6 %
0x8a675d0  (16 KiB to 32 KiB)     16K       16K   3.3 %
0x8a07c30  (112 bytes)            112      9.0K   1.8 %",
    build,
    schema: || schemars::schema_for!(Dominators),
};

/// The objects that keep the most alive.
#[derive(Serialize, JsonSchema)]
pub struct Dominators {
    /// Those that retain the most first.
    pub objects: Vec<Dominator>,
}

/// An object and what it keeps alive.
#[derive(Serialize, JsonSchema)]
pub struct Dominator {
    /// Where it is.
    pub address: Addr,
    /// Its type's full name; null where it has none of those that the heap tells.
    #[serde(rename = "type")]
    pub name: Option<Arc<str>>,
    /// What it takes itself.
    pub bytes: u64,
    /// What would be free without it, itself among it.
    pub retained: u64,
    /// Of all bytes in the heap, with one decimal.
    pub percent: f64,
    /// The object through which alone it is held; null where there is no single one.
    pub dominator: Option<Addr>,
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let heap = session.heap(job)?;
    let dominators = heap.dominators(job)?;
    let named = Named::of(&heap, job)?;
    let all = heap.histogram(job)?.total.bytes;
    let count = usize::try_from(query.number("n").unwrap_or(SHOWN)).unwrap_or(usize::MAX);
    let row = |id: u32| {
        let retained = dominators.retained(id);
        Dominator {
            address: named.address(id),
            name: named.name(id),
            bytes: named.objects.bytes(id),
            retained,
            percent: percent(retained, all),
            dominator: dominators.of(id).map(|dominator| named.address(dominator)),
        }
    };
    let objects = dominators.largest(count).into_iter().map(row).collect();
    Ok(Box::new(Answered { data: Dominators { objects }, problems: heap.doubts() }))
}

impl Draw for Dominators {
    fn draw(&self) -> Section {
        let columns = vec![
            Column::rigid("Address"),
            Column::wide("Type", 1).rank(1).min(20),
            Column::right("Bytes").rank(3),
            Column::right("Retained"),
            Column::right("Share").rank(3),
            Column::rigid("Dominator").rank(4),
        ];
        let row = |object: &Dominator| {
            Row::about(
                Subject::Object(object.address),
                vec![
                    Cell::new(Value::Object(object.address)).tone(Tone::Link),
                    type_cell(object.name.as_ref()),
                    Cell::new(Value::Bytes(object.bytes)),
                    Cell::new(Value::Bytes(object.retained)),
                    Cell::new(Value::Percent((object.percent * 10.0).round() as u32)),
                    object
                        .dominator
                        .map_or(Cell::NONE, |dominator| Cell::new(Value::Object(dominator)).tone(Tone::Dim)),
                ],
            )
        };
        let table = Table::new(columns, self.objects.iter().map(row).collect());
        Section { bodies: vec![Body::Table(table)], ..Section::default() }
    }
}
