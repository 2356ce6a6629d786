//! `dumpheap`: objects of a heap, or how many of each type; `-regions`: the mappings that hold it; `-arenas`: what it is made of.

mod arenas;

use std::borrow::Cow;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Alias, Answered, Answers, Arg, Draw, Kind, Needs, Query, View, maddress};
use crate::analysis::histogram::{Amount, Histogram, Selection};
use crate::error::Error;
use crate::heap::{HeapSource, HeapType};
use crate::job::Job;
use crate::model::{Addr, Subject};
use crate::report::rows::Rows;
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::{Heap, Session};

const NOT_YET: &str = "this is not told of heaps yet";

/// The view.
pub const VIEW: View = View {
    name: "dumpheap",
    aliases: &[Alias::of("heap")],
    needs: Needs::Heap,
    home_of: &[],
    args: &[
        Arg::Flag("stat", "how many objects of each type, and how many bytes they take"),
        Arg::Value("type", Kind::Word, "only types whose name contains it"),
        Arg::Value("mt", Kind::Address, "only the type of this id"),
        Arg::Value("min", Kind::Bytes, "only objects of at least so many bytes"),
        Arg::Value("max", Kind::Bytes, "only objects of at most so many bytes"),
        Arg::Flag("regions", "the mappings that hold the heap, as 'maddress' lists them"),
        Arg::Apart("regions", &["stat", "type", "mt", "min", "max"]),
        Arg::Flag(
            "arenas",
            "the arenas that the heap is made of: what each took from the system, what is in use, what is free",
        ),
        Arg::Apart("arenas", &["stat", "type", "mt", "min", "max", "regions"]),
        Arg::Refused("gen", NOT_YET),
        Arg::Refused("live", NOT_YET),
        Arg::Refused("dead", NOT_YET),
        Arg::Refused("heap", NOT_YET),
        Arg::Refused("retained", NOT_YET),
    ],
    pane: Some("Heap"),
    doc: "Objects of the heap, or with -stat how many of each type; -regions: the mappings that hold it",
    help: "Objects are listed of heap dumps; of a process the mappings are, so far.

Objects   Bytes  Type             Id
  1,204  28,896  shop.Order       0x7f1200001000
      3     240  shop.Customer[]  0x7f1200002000",
    build,
    schema: || schemars::schema_for!(Told),
};

/// What is told: by the arguments.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "the shape of each answer, for the schema alone")]
enum Told {
    Types(Types),
    Objects(Objects),
    Regions(maddress::Mappings),
    Arenas(arenas::Arenas),
}

/// The objects by type.
#[derive(Serialize, JsonSchema)]
pub struct Types {
    /// Types that have objects, those with the most bytes first.
    pub types: Vec<TypeRow>,
    /// All of them together.
    pub total: Total,
    /// Freed space within the heap; null where the dump does not tell.
    pub free: Option<Total>,
    /// Whose heap it is.
    pub heap: String,
}

/// The objects of a type.
#[derive(Serialize, JsonSchema)]
pub struct TypeRow {
    /// Its full name.
    #[serde(rename = "type")]
    pub name: String,
    /// Its identity in the dump.
    pub id: Addr,
    /// How many objects it has.
    pub count: u64,
    /// What they take themselves, in bytes.
    pub bytes: u64,
}

/// Objects together.
#[derive(Serialize, JsonSchema)]
pub struct Total {
    /// How many.
    pub count: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Objects one by one.
#[derive(Serialize, JsonSchema)]
pub struct Objects {
    /// In the order of the heap.
    pub objects: Arc<Vec<ObjectRow>>,
    /// All of them together.
    pub total: Total,
}

/// An object.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ObjectRow {
    /// Where it is.
    pub address: Addr,
    /// Its type's full name; null where it has none of those that the heap tells.
    #[serde(rename = "type")]
    pub name: Option<Arc<str>>,
    /// Its type's identity.
    pub id: Option<Addr>,
    /// What it takes itself, in bytes.
    pub bytes: u64,
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    if query.flag("regions") {
        let own = session.heap(job).map(|heap| heap.source.memory()).unwrap_or_default();
        job.check()?;
        return maddress::answer(session.process()?.mappings_with_heap(&own));
    }
    let heap = session.heap(job)?;
    if query.flag("arenas") {
        return arenas::build(&heap, job);
    }
    let selection = selection(heap.source.types(), query)?;
    if query.flag("stat") {
        let mut data = Types::of(heap.source.as_ref(), &*heap.histogram_of(&selection, job)?);
        data.free = heap.source.free(job)?.map(|free| Total { count: free.count, bytes: free.bytes });
        return Ok(Box::new(Answered { data, problems: heap.source.problems() }));
    }
    let data = objects(&heap, &selection, job)?;
    Ok(Box::new(Answered { data, problems: heap.source.problems() }))
}

fn selection(types: &[HeapType], query: &Query) -> Result<Selection, Error> {
    let (part, id) = (query.text("type"), query.address("mt"));
    let is_wanted = |of_type: &HeapType| {
        part.is_none_or(|part| of_type.name.contains(part)) && id.is_none_or(|id| of_type.id == id)
    };
    if let Some(id) = id.filter(|id| !types.iter().any(|of_type| of_type.id == *id)) {
        return Err(Error::Failed(format!("no type has the id {id}; 'dumpheap -stat' lists them")));
    }
    let types = (part.is_some() || id.is_some()).then(|| types.iter().map(is_wanted).collect());
    Ok(Selection { types, min: query.number("min"), max: query.number("max") })
}

impl Types {
    /// The histogram with names.
    pub(super) fn of(source: &dyn HeapSource, histogram: &Histogram) -> Types {
        let row = |(at, amount): &(usize, Amount)| {
            let HeapType { id, name, .. } = source.types().get(*at)?;
            Some(TypeRow { name: name.clone(), id: *id, count: amount.count, bytes: amount.bytes })
        };
        Types {
            types: histogram.types.iter().filter_map(row).collect(),
            total: Total::of(histogram.total),
            free: None,
            heap: source.name().to_owned(),
        }
    }
}

impl Total {
    fn of(Amount { count, bytes }: Amount) -> Total {
        Total { count, bytes }
    }

    fn free_row(&self) -> Row {
        let dim = |text: &str| Cell::text(text).tone(Tone::Dim);
        let (count, bytes) = (Cell::new(Value::Count(self.count)), Cell::new(Value::Bytes(self.bytes)));
        let blocks = if self.count == 1 { "block," } else { "blocks," };
        Row::new(vec![dim("free:"), count, dim(blocks), bytes, dim("(freed, and kept by the process: 'heap -arenas')")])
    }

    fn row(&self, heap: &str) -> Row {
        let dim = |text: &str| Cell::text(text).tone(Tone::Dim);
        let count = Cell::new(Value::Count(self.count));
        let objects = if self.count == 1 { "object," } else { "objects," };
        let bytes = Cell::new(Value::Bytes(self.bytes));
        Row::new(vec![dim("in all:"), count, dim(objects), bytes, dim(heap)])
    }
}

fn objects(heap: &Heap, selection: &Selection, job: &Job) -> Result<Objects, Error> {
    let source = heap.source.as_ref();
    let names: Vec<(Arc<str>, Addr)> =
        source.types().iter().map(|of_type| (of_type.name.as_str().into(), of_type.id)).collect();
    let (mut objects, mut total) = (Vec::new(), Total { count: 0, bytes: 0 });
    job.phase("listing objects", 0);
    let mut meter = job.meter();
    for part in 0..source.parts() {
        job.check()?;
        source.objects(part, &mut meter, &mut |object| {
            if selection.has(&object) {
                let of_type = names.get(object.of_type);
                total.count = total.count.saturating_add(1);
                total.bytes = total.bytes.saturating_add(object.bytes);
                objects.push(ObjectRow {
                    address: object.address,
                    name: of_type.map(|(name, _)| Arc::clone(name)),
                    id: of_type.map(|(_, id)| *id),
                    bytes: object.bytes,
                });
            }
            Ok(())
        })?;
    }
    // What a source has left out since the job was cancelled is no part of it.
    job.check()?;
    Ok(Objects { objects: Arc::new(objects), total })
}

impl Draw for Types {
    fn draw(&self) -> Section {
        let columns =
            vec![Column::right("Objects"), Column::right("Bytes"), Column::wide("Type", 1), Column::left("Id")];
        let row = |row: &TypeRow| {
            let cells = vec![
                Cell::new(Value::Count(row.count)),
                Cell::new(Value::Bytes(row.bytes)),
                Cell::text(row.name.as_str()).tone(Tone::Link),
                Cell::new(Value::Addr(row.id)).tone(Tone::Dim),
            ];
            Row::about(Subject::Type(row.id), cells)
        };
        let table = Table::new(columns, self.types.iter().map(row).collect());
        let mut totals = vec![self.total.row(&format!("({})", self.heap))];
        totals.extend(self.free.as_ref().map(Total::free_row));
        Section { bodies: vec![Body::Table(table), Body::Lines(totals)], ..Section::default() }
    }
}

impl Draw for Objects {
    fn draw(&self) -> Section {
        let columns = vec![Column::rigid("Address"), Column::right("Bytes"), Column::wide("Type", 1)];
        let table = Table { columns, rows: Arc::new(Listing(Arc::clone(&self.objects))) };
        Section { bodies: vec![Body::Table(table), Body::Lines(vec![self.total.row("")])], ..Section::default() }
    }
}

/// The objects as rows, which are made when they are shown: there may be millions.
#[derive(Debug)]
struct Listing(Arc<Vec<ObjectRow>>);

impl Rows for Listing {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, index: usize) -> Option<Cow<'_, Row>> {
        let ObjectRow { address, name, bytes, .. } = self.0.get(index)?;
        let name = match name {
            Some(name) => Cell::text(Arc::clone(name)),
            None => Cell::unknown("the heap tells no such type"),
        };
        let cells = vec![Cell::new(Value::Addr(*address)).tone(Tone::Link), Cell::new(Value::Bytes(*bytes)), name];
        Some(Cow::Owned(Row::about(Subject::Object(*address), cells)))
    }
}
