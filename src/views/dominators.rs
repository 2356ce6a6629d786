//! `dominators`: the objects that keep the most alive.

use std::cmp::Reverse;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::dumpheap::Total;
use super::object_rows::{ADDRESS, Named, object_line, type_cell};
use super::{Answered, Answers, Arg, Arity, Draw, Kind, Needs, Query, View};
use crate::analysis::histogram::Amount;
use crate::analysis::share::percent;
use crate::job::Job;
use crate::model::{Addr, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Session;
use crate::shape;

/// Objects that are shown where no other number was asked for.
const SHOWN: u64 = 100;

/// The view.
pub const VIEW: View = View {
    name: "dominators",
    aliases: &[],
    needs: Needs::Heap,
    home_of: &[],
    args: &[
        Arg::Operand(ADDRESS, Kind::Address, Arity::Optional, "an object: what would go with it"),
        Arg::Value("n", Kind::Count, "so many objects (100 when not given)"),
    ],
    pane: None,
    doc: "The objects that keep the most bytes alive, or what an object keeps alive",
    help: "'Retained' is what would be free without the object; it is a part of what its dominator retains, through \
           which alone it is held. Leaked objects are told, too: they keep alive what hangs from them. With an object, those are told that \
           are held through it directly; what they retain goes with it, too.

$ dumpscope demo -c 'dominators -n 3'
Address    Type                 Bytes  Retained   Share  Dominator
0x89f3960  (64 KiB to 128 KiB)    71K       71K  14.6 %
0x8a675d0  (16 KiB to 32 KiB)     16K       16K   3.3 %
0x8a07c30  (112 bytes)            112      9.0K   1.8 %",
    build,
    schema: shape!(Dominators),
};

/// The objects that keep the most alive.
#[derive(Serialize, JsonSchema)]
pub struct Dominators {
    /// Those that retain the most first.
    pub objects: Vec<Dominator>,
    /// The object that was asked about; null where all were.
    pub of: Option<Dominator>,
    /// All that are held through it alone and directly, whether they are listed or not; null where all objects were asked about.
    pub total: Option<Total>,
}

/// An object and what it keeps alive.
#[derive(Serialize, JsonSchema)]
pub struct Dominator {
    /// Where it is.
    pub address: Addr,
    /// Its type's full name; null where it has none of those that the heap tells.
    #[serde(rename = "type")]
    pub name: Option<Arc<str>>,
    /// How its type is known, as 'dumpheap -stat' tells it: `size` where nothing tells more; null where it has none.
    pub naming: Option<&'static str>,
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
    let heap = session.heap_as_known(job)?;
    let dominators = heap.dominators(job)?;
    let named = Named::of(&heap, job)?;
    let all = heap.histogram(job)?.total.bytes;
    let count = usize::try_from(query.number("n").unwrap_or(SHOWN)).unwrap_or(usize::MAX);
    let row = |id: u32| {
        let retained = dominators.retained(id);
        Dominator {
            address: named.address(id),
            name: named.name(id),
            naming: named.naming(id),
            bytes: named.objects.bytes(id),
            retained,
            percent: percent(retained, all),
            dominator: dominators.of(id).map(|dominator| named.address(dominator)),
        }
    };
    let problems = heap.doubts();
    if query.address(ADDRESS).is_none() {
        let objects = dominators.largest(count).into_iter().map(row).collect();
        return Ok(Box::new(Answered { data: Dominators { objects, of: None, total: None }, problems }));
    }
    let of = named.asked(query)?;
    job.phase("looking for what goes with it", u64::from(named.objects.len()));
    let (mut held, mut total, mut meter) = (Vec::new(), Amount::default(), job.meter());
    for id in 0..named.objects.len() {
        meter.add(1)?;
        if dominators.of(id) == Some(of) {
            held.push(id);
            total.add(Amount { count: 1, bytes: named.objects.bytes(id) });
        }
    }
    held.sort_by_key(|id| Reverse(dominators.retained(*id)));
    let objects = held.into_iter().take(count).map(row).collect();
    let data = Dominators { objects, of: Some(row(of)), total: Some(Total::of(total, heap.bound())) };
    Ok(Box::new(Answered { data, problems }))
}

impl Draw for Dominators {
    fn draw(&self) -> Section {
        let mut bodies: Vec<Body> = self.of.iter().map(|of| Body::Lines(self.about(of))).collect();
        if self.of.is_some() && self.objects.is_empty() {
            return Section { bodies, ..Section::default() };
        }
        let mut columns = vec![
            Column::rigid("Address"),
            Column::wide("Type", 1).rank(1).min(20),
            Column::right("Bytes").rank(3),
            Column::right("Retained"),
            Column::right("Share").rank(3),
        ];
        // What is held through an object has that one.
        columns.extend(self.of.is_none().then(|| Column::rigid("Dominator").rank(4)));
        let row = |object: &Dominator| {
            Row::about(
                Subject::Object(object.address),
                vec![
                    Cell::new(Value::Object(object.address)).tone(Tone::Link),
                    type_cell(object.name.as_ref()),
                    Cell::new(Value::Bytes(object.bytes)),
                    Cell::new(Value::Bytes(object.retained)),
                    Cell::new(Value::Bar((object.percent * 10.0).round() as u32)),
                    object
                        .dominator
                        .map_or(Cell::NONE, |dominator| Cell::new(Value::Object(dominator)).tone(Tone::Dim)),
                ],
            )
        };
        let table = Table::new(columns, self.objects.iter().map(row).collect());
        bodies.push(Body::Table(table));
        Section { bodies, ..Section::default() }
    }
}

impl Dominators {
    /// What an object keeps alive, in words.
    fn about(&self, of: &Dominator) -> Vec<Row> {
        let dim = |text: &str| Cell::text(text).tone(Tone::Dim);
        let mut lines = vec![object_line(of.address, of.name.as_ref(), of.bytes)];
        let Some(total) = self.total.as_ref().filter(|total| total.count > 0) else {
            lines.push(Row::text("It keeps nothing alive but itself."));
            return lines;
        };
        let objects = if total.count == 1 { "object directly" } else { "objects directly" };
        let mut cells = vec![dim("keeps"), Cell::new(Value::Bytes(of.retained)), dim("alive, itself among it;")];
        cells.extend([Cell::new(Value::Count(total.count)), dim(objects)]);
        let left = total.count.saturating_sub(self.objects.len() as u64);
        if left > 0 {
            cells.extend([dim("(-n N lists more of them:"), Cell::new(Value::Count(left)), dim("are not shown)")]);
        }
        lines.push(Row::new(cells));
        lines
    }
}
