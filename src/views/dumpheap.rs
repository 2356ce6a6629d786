//! `dumpheap`: objects of a heap, or how many of each type; `-regions`: the mappings that hold it; `-arenas`: what it is made of.

mod arenas;

use std::borrow::Cow;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Alias, Answered, Answers, Arg, Draw, Kind, Needs, Query, View, maddress};
use crate::analysis::graph::{Dominators, Reachable};
use crate::analysis::histogram::{self, Amount, Histogram, Selection};
use crate::error::Error;
use crate::heap::{HeapObject, HeapSource, HeapType, ObjectId};
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
        Arg::Flag("names", "with names for objects that carry none, by what refers to them"),
        Arg::Flag("regions", "the mappings that hold the heap, as 'maddress' lists them"),
        Arg::Apart("regions", &["stat", "type", "mt", "min", "max", "names"]),
        Arg::Flag(
            "arenas",
            "the arenas that the heap is made of: what each took from the system, what is in use, what is free",
        ),
        Arg::Apart("arenas", &["stat", "type", "mt", "min", "max", "names", "regions"]),
        Arg::Flag("live", "only objects that can be reached from roots"),
        Arg::Flag("dead", "only objects that cannot: leaked, or not collected yet"),
        Arg::Flag("retained", "also what would be free without them; those with the most of it first"),
        Arg::Refused("gen", NOT_YET),
        Arg::Refused("heap", NOT_YET),
    ],
    pane: Some("Heap"),
    doc: "Objects of the heap, or with -stat how many of each type; -regions: the mappings that hold it",
    help: "With -stat, -retained tells what the objects of a type keep alive together, those that are inside another of the type not \
           counted twice.

$ dumpscope demo -c 'dumpheap -stat'
Objects  Bytes  Type                                                                      Id
  3,000   234K  shop::Session                                                             0x4dc190
  3,410   107K  (32 bytes)                                                                0x5
      1    71K  (64 KiB to 128 KiB)                                                       0x88
    401    44K  (112 bytes)                                                               0xf
…",
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
    /// What all its objects keep alive, in bytes, none that is inside another's counted twice; null where it was not
    /// asked for.
    pub retained: Option<u64>,
    /// How its name is known: `recorded` in the objects, `referred` by what refers to them, by their `contents`, or by
    /// their `size` alone.
    pub naming: &'static str,
    /// Of a name that is told by what refers to the objects one of those that do; null for others.
    pub referrer: Option<String>,
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
    /// In the order of the heap; with `-live` and `-dead` by address, with `-retained` those that retain the most
    /// first.
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
    /// What would be free without it, in bytes, itself among it; absent where it was not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retained: Option<u64>,
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    if query.flag("regions") {
        let own = session.heap(job).map(|heap| heap.source.memory()).unwrap_or_default();
        job.check()?;
        return maddress::answer(session.process()?.mappings_with_heap(&own));
    }
    if query.flag("arenas") {
        return arenas::build(&*session.heap(job)?, job);
    }
    let heap = if query.flag("names") { session.named_heap(job)? } else { session.heap(job)? };
    let selection = selection(heap.source.types(), query)?;
    let asks_reached = query.flag("live") || query.flag("dead");
    let problems = |heap: &Heap| if asks_reached { heap.doubts() } else { heap.source.problems() };
    let wanted = Wanted::of(&heap, &selection, query, job)?;
    let dominators = query.flag("retained").then(|| heap.dominators(job)).transpose()?;
    if query.flag("stat") {
        let histogram = match &wanted {
            Some(wanted) => Arc::new(wanted.histogram(heap.source.types().len(), job)?),
            None => heap.histogram_of(&selection, job)?,
        };
        let mut data = Types::of(heap.source.as_ref(), &histogram);
        data.free = heap.source.free(job)?.map(|free| Total { count: free.count, bytes: free.bytes });
        if let Some(dominators) = &dominators {
            data.retain(&histogram, dominators);
        }
        return Ok(Box::new(Answered { data, problems: problems(&heap) }));
    }
    let data = match &wanted {
        Some(wanted) => wanted.listed(heap.source.as_ref(), dominators.as_deref(), job)?,
        None => objects(&heap, &selection, job)?,
    };
    Ok(Box::new(Answered { data, problems: problems(&heap) }))
}

/// The selected ones of all objects by address: for what asks where they are in the graph.
struct Wanted<'a> {
    selection: &'a Selection,
    objects: Arc<crate::heap::Objects>,
    /// Whether only those that can be reached count, or only those that cannot.
    reached: Option<(bool, Arc<Reachable>)>,
}

impl<'a> Wanted<'a> {
    /// `None` where the graph plays no part.
    fn of(heap: &Heap, selection: &'a Selection, query: &Query, job: &Job) -> Result<Option<Wanted<'a>>, Error> {
        let live = match (query.flag("live"), query.flag("dead")) {
            (true, true) => return Err(Error::Usage("-live and -dead leave no object together".to_owned())),
            (false, false) if !query.flag("retained") => return Ok(None),
            (false, false) => None,
            (live, _) => Some(live),
        };
        let reached = live.map(|live| Ok::<_, Error>((live, heap.reachable(job)?))).transpose()?;
        Ok(Some(Wanted { selection, objects: heap.objects(job)?, reached }))
    }

    fn has(&self, id: ObjectId, object: &HeapObject) -> bool {
        self.selection.has(object) && self.reached.as_ref().is_none_or(|(live, reached)| reached.set.has(id) == *live)
    }

    fn histogram(&self, types: usize, job: &Job) -> Result<Histogram, Error> {
        histogram::of_objects(&self.objects, types, &|id, object| self.has(id, object), job)
    }

    fn listed(&self, source: &dyn HeapSource, dominators: Option<&Dominators>, job: &Job) -> Result<Objects, Error> {
        job.phase("listing objects", u64::from(self.objects.len()));
        let mut list = List::of(source);
        let mut meter = job.meter();
        for id in 0..self.objects.len() {
            meter.add(1)?;
            if let Some(object) = self.objects.get(id).filter(|object| self.has(id, object)) {
                list.add(object, dominators.map(|dominators| dominators.retained(id)));
            }
        }
        list.objects.sort_by_key(|object| std::cmp::Reverse(object.retained));
        Ok(list.finished())
    }
}

/// Objects while they are listed.
struct List {
    /// Of each type its name and identity.
    names: Vec<(Arc<str>, Addr)>,
    objects: Vec<ObjectRow>,
    total: Amount,
}

impl List {
    fn of(source: &dyn HeapSource) -> List {
        let names = source.types().iter().map(|of_type| (of_type.name.as_str().into(), of_type.id)).collect();
        List { names, objects: Vec::new(), total: Amount::default() }
    }

    fn add(&mut self, object: HeapObject, retained: Option<u64>) {
        let of_type = self.names.get(object.of_type);
        self.total.add(Amount { count: 1, bytes: object.bytes });
        self.objects.push(ObjectRow {
            address: object.address,
            name: of_type.map(|(name, _)| Arc::clone(name)),
            id: of_type.map(|(_, id)| *id),
            bytes: object.bytes,
            retained,
        });
    }

    fn finished(self) -> Objects {
        Objects { objects: Arc::new(self.objects), total: Total::of(self.total) }
    }
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
            let HeapType { id, name, naming } = source.types().get(*at)?;
            let (naming, referrer) = (naming.word(), source.told_by(*at).map(str::to_owned));
            let (name, Amount { count, bytes }) = (name.clone(), *amount);
            Some(TypeRow { name, id: *id, count, bytes, retained: None, naming, referrer })
        };
        Types {
            types: histogram.types.iter().filter_map(row).collect(),
            total: Total::of(histogram.total),
            free: None,
            heap: source.name().to_owned(),
        }
    }

    /// Adds what the types retain; those that retain the most first. `histogram` is the one that it was made of.
    fn retain(&mut self, histogram: &Histogram, dominators: &Dominators) {
        for (row, (at, _)) in self.types.iter_mut().zip(&histogram.types) {
            row.retained = Some(dominators.of_type(*at));
        }
        self.types.sort_by_key(|row| std::cmp::Reverse(row.retained));
    }
}

impl Total {
    pub(super) fn of(Amount { count, bytes }: Amount) -> Total {
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
    let mut list = List::of(source);
    job.phase("listing objects", 0);
    let mut meter = job.meter();
    for part in 0..source.parts() {
        job.check()?;
        source.objects(part, &mut meter, &mut |object| {
            if selection.has(&object) {
                list.add(object, None);
            }
            Ok(())
        })?;
    }
    // What a source has left out since the job was cancelled is no part of it.
    job.check()?;
    Ok(list.finished())
}

impl Draw for Types {
    fn draw(&self) -> Section {
        let mut columns =
            vec![Column::right("Objects"), Column::right("Bytes"), Column::wide("Type", 1), Column::left("Id")];
        let retained = self.types.iter().any(|row| row.retained.is_some());
        if retained {
            columns.insert(RETAINED, Column::right("Retained"));
        }
        let row = |row: &TypeRow| {
            let mut cells = vec![
                Cell::new(Value::Count(row.count)),
                Cell::new(Value::Bytes(row.bytes)),
                Cell::text(row.name.as_str()).tone(Tone::Link),
                Cell::new(Value::Addr(row.id)).tone(Tone::Dim),
            ];
            if retained {
                cells.insert(RETAINED, bytes_or_none(row.retained));
            }
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
        let mut columns = vec![Column::rigid("Address"), Column::right("Bytes"), Column::wide("Type", 1)];
        if self.objects.first().is_some_and(|object| object.retained.is_some()) {
            columns.insert(RETAINED, Column::right("Retained"));
        }
        let table = Table { columns, rows: Arc::new(Listing(Arc::clone(&self.objects))) };
        Section { bodies: vec![Body::Table(table), Body::Lines(vec![self.total.row("")])], ..Section::default() }
    }
}

/// Place of the column of retained bytes, where there is one.
const RETAINED: usize = 2;

fn bytes_or_none(bytes: Option<u64>) -> Cell {
    bytes.map_or(Cell::NONE, |bytes| Cell::new(Value::Bytes(bytes)))
}

/// The objects as rows, which are made when they are shown: there may be millions.
#[derive(Debug)]
struct Listing(Arc<Vec<ObjectRow>>);

impl Rows for Listing {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, index: usize) -> Option<Cow<'_, Row>> {
        let ObjectRow { address, name, bytes, retained, .. } = self.0.get(index)?;
        let name = match name {
            Some(name) => Cell::text(Arc::clone(name)),
            None => Cell::unknown("the heap tells no such type"),
        };
        let cells = vec![Cell::new(Value::Addr(*address)).tone(Tone::Link), Cell::new(Value::Bytes(*bytes)), name];
        let mut row = Row::about(Subject::Object(*address), cells);
        if retained.is_some() {
            row.cells.insert(RETAINED, bytes_or_none(*retained));
        }
        Some(Cow::Owned(row))
    }
}
