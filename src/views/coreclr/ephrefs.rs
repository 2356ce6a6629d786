//! `ephrefs` and `ephtoloh`: references between generations of .NET's heap that cost a collection time.

use std::sync::Arc;

use rustc_hash::FxHashSet;
use schemars::JsonSchema;
use serde::Serialize;

use super::by_type::type_cell;
use super::with;
use crate::error::Error;
use crate::heap::Stretch;
use crate::job::Job;
use crate::model::{Addr, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::report::words::thousands;
use crate::session::Session;
use crate::shape;
use crate::views::{Answered, Answers, Arg, Draw, Kind, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "ephrefs",
    aliases: &[],
    needs: Needs::Process,
    home_of: &[],
    args: &[Arg::Value("n", Kind::Count, "so many rows at most; 1,000 where it is not given")],
    pane: None,
    doc: "Objects of .NET's older generations that refer to ones of younger generations: a collection of those has to look at them",
    help: "Large and pinned objects are collected with generation 2, and count as old. Frozen ones refer to no younger.

$ dumpscope shop.core -c ephrefs
       Address  In      Refers to  Objects  Their bytes  Type
0x7f46fc000028  pinned  gen 0           50         2.8K  System.Object[]
0x7f4700c0a2d0  gen 2   gen 0            1           88  System.Threading.SemaphoreSlim
…
in all: 84 objects of a younger generation are referred to, of 9.3 kB",
    build: |session, query, job| told(session, query, Asked::Younger, job),
    schema: shape!(References),
};

/// The same between objects of generations 0 and 1 and large ones.
pub const TO_LARGE: View = View {
    name: "ephtoloh",
    doc: "Objects of .NET's generations 0 and 1 that refer to large ones, and large ones that refer to those",
    help: "Large objects are collected with generation 2 alone: those that only young ones refer to live on until then.

$ dumpscope shop.core -c ephtoloh
No references between objects of generations 0 and 1 and large ones.",
    build: |session, query, job| told(session, query, Asked::Large, job),
    ..VIEW
};

/// Most rows where no number is asked for.
const TOLD: usize = 1000;
/// Positions of generations 1 and 2 and of large objects in the heap's list: 0, 1, 2, large, pinned, frozen.
const ONE: usize = 1;
const TWO: usize = 2;
const LARGE: usize = 3;
const PINNED: usize = 4;

/// Which references are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// From older to younger generations.
    Younger,
    /// Between young ones and large objects.
    Large,
}

/// References between generations.
#[derive(Serialize, JsonSchema)]
pub struct References {
    /// Objects that have such references, a row for each generation that they refer to; by generations, then by address.
    pub objects: Vec<ReferringRow>,
    /// How many rows there are.
    pub count: usize,
    /// How many objects they refer to, each counted once.
    pub referred_count: usize,
    /// What these take, in bytes.
    pub referred_bytes: u64,
    #[serde(skip)]
    asked: Asked,
}

/// An object that refers to objects of another generation.
#[derive(Serialize, JsonSchema)]
pub struct ReferringRow {
    /// Where it is.
    pub address: Addr,
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: Option<Arc<str>>,
    /// Its type's identity: a method table.
    pub id: Option<Addr>,
    /// What it takes itself, in bytes.
    pub bytes: u64,
    /// Its generation.
    pub generation: &'static str,
    /// The generation that it refers to.
    pub to: &'static str,
    /// How many objects of that, each counted once.
    pub count: u64,
    /// What they take, in bytes.
    pub referred_bytes: u64,
}

/// The generation of each address.
struct Generations(Vec<Stretch>);

impl Generations {
    fn of(&self, at: Addr) -> Option<usize> {
        let after = self.0.partition_point(|stretch| stretch.range.start <= at);
        let stretch = self.0.get(after.checked_sub(1)?).filter(|stretch| stretch.range.contains(&at))?;
        stretch.generation.as_ref().ok().copied()
    }
}

impl Asked {
    fn wants(self, from: usize, to: usize) -> bool {
        match self {
            Asked::Younger => to < from && to <= ONE && [ONE, TWO, LARGE, PINNED].contains(&from),
            Asked::Large => (from <= ONE && to == LARGE) || (from == LARGE && to <= ONE),
        }
    }
}

fn told(session: &Session, query: &Query, asked: Asked, job: &Job) -> Answers {
    // Of a dump without it the heap of native code may be there.
    with(session, job, |runtime| runtime.needs_heap(job))?;
    let heap = session.heap(job)?;
    let generations = Generations(heap.source.stretches());
    if let Some(Err(gap)) = generations.0.iter().map(|stretch| &stretch.generation).find(|of| of.is_err()) {
        return Err(Error::Failed(format!("which objects are of which generation is not known: {gap}")));
    }
    let (objects, graph) = (heap.objects(job)?, heap.graph(job)?);
    let name = |of: usize| heap.source.generations().get(of).and_then(|names| names.first()).copied().unwrap_or("?");
    let names: Vec<Arc<str>> = heap.source.types().iter().map(|of_type| of_type.name.as_str().into()).collect();
    job.phase("looking at references", u64::from(objects.len()));
    let mut meter = job.meter();
    let mut rows: Vec<((usize, usize), ReferringRow)> = Vec::new();
    let (mut referred, mut referred_bytes) = (FxHashSet::default(), 0u64);
    for id in 0..objects.len() {
        meter.add(1)?;
        let Some((object, from)) = objects.get(id).and_then(|object| Some((object, generations.of(object.address)?)))
        else {
            continue;
        };
        let mut own: [(u64, u64); LARGE + 1] = [(0, 0); LARGE + 1];
        for to in graph.references(id) {
            meter.add(1)?;
            let (id, Some(to)) = (*to, objects.get(*to)) else { continue };
            let Some(generation) = generations.of(to.address).filter(|to| asked.wants(from, *to)) else { continue };
            if referred.insert(id) {
                referred_bytes = referred_bytes.saturating_add(to.bytes);
            }
            if let Some((count, bytes)) = own.get_mut(generation) {
                *count = count.saturating_add(1);
                *bytes = bytes.saturating_add(to.bytes);
            }
        }
        for (to, (count, bytes)) in own.into_iter().enumerate().filter(|(_, (count, _))| *count > 0) {
            let row = ReferringRow {
                address: object.address,
                type_name: names.get(object.of_type).cloned(),
                id: heap.source.types().get(object.of_type).map(|of_type| of_type.id),
                bytes: object.bytes,
                generation: name(from),
                to: name(to),
                count,
                referred_bytes: bytes,
            };
            rows.push(((from, to), row));
        }
    }
    rows.sort_by_key(|(order, row)| (*order, row.address));
    let count = rows.len();
    rows.truncate(query.number("n").map_or(TOLD, |most| usize::try_from(most).unwrap_or(usize::MAX)));
    let objects = rows.into_iter().map(|(_, row)| row).collect();
    let data = References { objects, count, referred_count: referred.len(), referred_bytes, asked };
    Ok(Box::new(Answered { data, problems: heap.doubts() }))
}

impl Draw for References {
    fn draw(&self) -> Section {
        let dim = |text: String| Cell::text(text).tone(Tone::Dim);
        if self.objects.is_empty() {
            let said = match self.asked {
                Asked::Younger => "No object refers to one of a younger generation.",
                Asked::Large => "No references between objects of generations 0 and 1 and large ones.",
            };
            return Section { bodies: vec![Body::Lines(vec![Row::text(said)])], ..Section::default() };
        }
        let columns = vec![
            Column::right("Address"),
            Column::left("In"),
            Column::left("Refers to"),
            Column::right("Objects"),
            Column::right("Their bytes").rank(3),
            Column::wide("Type", 1).rank(1),
        ];
        let row = |row: &ReferringRow| {
            let cells = vec![
                Cell::new(Value::Object(row.address)).tone(Tone::Link),
                Cell::text(row.generation),
                Cell::text(row.to),
                Cell::new(Value::Count(row.count)),
                Cell::new(Value::Bytes(row.referred_bytes)),
                type_cell(row.type_name.as_ref()),
            ];
            Row::about(Subject::Object(row.address), cells)
        };
        let mut lines = Vec::new();
        let left = self.count.saturating_sub(self.objects.len());
        if left > 0 {
            lines.push(Row::new(vec![dim(format!("… and {} more; -n N lists more of them", thousands(left as u64)))]));
        }
        let what = match self.asked {
            Asked::Younger => "objects of a younger generation are referred to, of",
            Asked::Large => "objects are referred to, of",
        };
        let sum = vec![
            dim("in all:".to_owned()),
            Cell::new(Value::Count(self.referred_count as u64)),
            dim(what.to_owned()),
            Cell::new(Value::Bytes(self.referred_bytes)),
        ];
        lines.push(Row::new(sum));
        let table = Table::new(columns, self.objects.iter().map(row).collect());
        Section { bodies: vec![Body::Table(table), Body::Lines(lines)], ..Section::default() }
    }
}
