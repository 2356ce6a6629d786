//! `dumpheap`: objects of a heap, or how many of each type; `-free`: what is not in use; `-regions`: the mappings that hold it; `-arenas`:
//! what it is made of.

mod arenas;
mod free;
pub(in crate::views) mod kept;
mod namespaces;
mod objects;
mod strings;
mod types;
mod within;

use std::cmp::Reverse;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use self::kept::Kept;
use self::namespaces::Namespaces;
use self::objects::{List, Objects};
pub(super) use self::within::Within;
use super::{Alias, Answered, Answers, Arg, Arity, Kind, Needs, Query, View, maddress};
use crate::analysis::graph::{self, Dominators, Reachable};
use crate::analysis::histogram::{self, Amount, Histogram, Selection};
use crate::error::Error;
use crate::heap::{Bound, Free, HeapObject, HeapSource, HeapType, ObjectId};
use crate::job::{Job, Meter};
use crate::model::Addr;
use crate::report::section::{Cell, Row, Tone, Value};
use crate::session::{Heap, Session};
use crate::shape;

/// The view.
pub const VIEW: View = View {
    name: "dumpheap",
    aliases: &[Alias::of("heap"), Alias::with("strings", &["-strings"])],
    needs: Needs::Heap,
    home_of: &[],
    args: &[
        Arg::Flag("stat", "how many objects of each type, and how many bytes they take"),
        Arg::Value("type", Kind::Word, "only types whose name contains it"),
        Arg::Value("mt", Kind::Address, "only the type of this id"),
        Arg::Value("min", Kind::Bytes, "only objects of at least so many bytes: 4096, 4k, 1M"),
        Arg::Value("max", Kind::Bytes, "only objects of at most so many bytes"),
        Arg::Flag("names", "with names for objects that carry none, by what refers to them"),
        Arg::Flag("group", "of types those of a namespace, package or module together"),
        Arg::Value("beside", Kind::Address, "only types of the namespace that the type of this id is in"),
        Arg::Flag("regions", "the mappings that hold the heap, as 'maddress' lists them"),
        Arg::Apart("regions", SELECTING),
        Arg::Flag(
            "arenas",
            "the arenas that the heap is made of: what each took from the system, what is in use, what is free",
        ),
        Arg::Apart("arenas", SELECTING),
        Arg::Apart("arenas", &["regions"]),
        Arg::Flag("free", "what is free and stays with the process, by the list that holds it"),
        Arg::Apart("free", SELECTING),
        Arg::Apart("free", &["regions", "arenas", "live", "dead"]),
        Arg::Flag("live", "only objects that can be reached from roots"),
        Arg::Flag("dead", "only objects that cannot: leaked, or not collected yet"),
        Arg::Flag("retained", "also what would be free without them; those with the most of it first"),
        Arg::Value("n", Kind::Count, "so many objects at most"),
        Arg::Flag("known", "as the pane shows it: names and what would be free without them as far as that is known by now"),
        Arg::Value("gen", Kind::Word, "only objects of a generation: gen0, gen1, gen2, loh, poh, foh"),
        Arg::Value("heap", Kind::Count, "only objects of one heap of a collector that has several, from 0"),
        Arg::Value("segment", Kind::Address, "only objects of a segment, which 'eeheap' lists, or of the one that holds the address"),
        Arg::Flag("strings", "texts, those that are the same together: how many there are, and what they take"),
        Arg::Flag("duplicates", "with -strings only those that are there more than once, those that waste the most first"),
        Arg::Apart("strings", &["stat", "group", "retained", "known", "names", "beside", "bycount", "short"]),
        Arg::Flag("bycount", "as -stat, the types with the most objects first"),
        Arg::Flag("short", "only the addresses of the objects"),
        Arg::Apart("short", &["stat", "group", "bycount", "retained", "known"]),
        Arg::Refused("thinlock", "'syncblk' lists thin locks of .NET, with who has them"),
        Arg::Implied("ignoreGCState", "where the collector moved objects that is said, and the heap is walked all the same"),
        Arg::Implied("noprogress", "what is printed is the answer alone"),
        Arg::Operand("start", Kind::Address, Arity::Optional, "only objects from here on"),
        Arg::Operand("end", Kind::Address, Arity::Optional, "only objects before this"),
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
    schema: shape!(Told),
};

/// What chooses among objects, or says what is told of them.
const SELECTING: &[&str] = &[
    "n", "stat", "type", "mt", "min", "max", "names", "group", "beside", "known", "retained", "gen", "heap", "segment",
    "start", "end", "strings", "bycount", "short",
];

/// What is told: by the arguments.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "the shape of each answer, for the schema alone")]
enum Told {
    Types(Types),
    Namespaces(namespaces::Groups),
    Objects(Objects),
    Strings(strings::Strings),
    Free(free::Lists),
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
    #[serde(skip)]
    kept: Kept,
    /// Whether each type's share of the bytes is drawn.
    #[serde(skip)]
    shares: bool,
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
    /// What all its objects (of those that are asked for) keep alive, in bytes, none that is inside another's counted twice; null where it
    /// was not asked for.
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
    /// Whether that is all: false where a part of the heap could not be read, or may be counted that is not in use; the warnings tell.
    pub complete: bool,
    #[serde(skip)]
    bound: Bound,
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    if query.flag("regions") {
        return maddress::answer(session.process()?.memory(true, job)?);
    }
    if query.flag("arenas") {
        return arenas::build(&*session.heap(job)?, job);
    }
    if query.flag("free") {
        return free::build(&*session.heap(job)?, job);
    }
    let heap = heap_of(session, query, job)?;
    let within = Within::of(heap.source.as_ref(), query)?;
    let selection = Selection { within: within.ranges.clone(), ..selection(heap.source.types(), query)? };
    let asks_reached = query.flag("live") || query.flag("dead");
    let problems = |heap: &Heap| if asks_reached { heap.doubts() } else { heap.source.problems() };
    let bound = |heap: &Heap| if asks_reached { heap.bound_of_reached(query.flag("live")) } else { heap.bound() };
    let kept = Kept::of(&heap, query, job)?;
    let wanted = Wanted::of(&heap, &selection, query, kept.dominators().is_some(), job)?;
    if query.flag("strings") {
        return strings::build(&heap, &selection, wanted.as_ref(), query, problems(&heap), job);
    }
    let by_count = query.flag("bycount");
    if query.flag("stat") || query.flag("group") || by_count {
        let histogram = match &wanted {
            Some(wanted) if wanted.reached.is_some() => Arc::new(wanted.histogram(heap.source.types().len(), job)?),
            _ => heap.histogram_of(&selection, job)?,
        };
        let mut data = Types::of(heap.source.as_ref(), &histogram, bound(&heap));
        data.shares = query.flag("known");
        if query.flag("group") {
            let namespaces = Namespaces::of(heap.source.types());
            let retained = match kept.dominators().zip(wanted.as_ref()) {
                Some((dominators, wanted)) => Some(namespaces.retained(dominators, wanted, job)?),
                None => None,
            };
            let data = namespaces.groups(data, &histogram, retained.as_deref(), kept);
            return Ok(Box::new(Answered { data, problems: problems(&heap) }));
        }
        data.free = match within {
            Within { ranges: None, .. } => free(&heap, job)?,
            Within { free, .. } => free.map(|free| free_of(&heap, free)),
        };
        if let Some((dominators, wanted)) = kept.dominators().zip(wanted.as_ref()) {
            data.retain(&histogram, &wanted.retained(&heap, dominators, job)?);
        }
        if query.flag("retained") {
            data.types.sort_by_key(|row| Reverse(row.retained));
        }
        if by_count {
            data.types.sort_by_key(|row| Reverse(row.count));
        }
        data.kept = kept;
        return Ok(Box::new(Answered { data, problems: problems(&heap) }));
    }
    let mut list = List::of(heap.source.as_ref(), query);
    match &wanted {
        Some(wanted) => wanted.list(&mut list, kept.dominators(), job)?,
        None => list.add_all(heap.source.as_ref(), &selection, job)?,
    }
    let data = list.finished(bound(&heap), kept, job);
    Ok(Box::new(Answered { data, problems: problems(&heap) }))
}

/// The heap that is asked about: with names where they are asked for, or are known and do not hide the type that is.
fn heap_of(session: &Session, query: &Query, job: &Job) -> Result<Arc<Heap>, Error> {
    if query.flag("names") {
        return session.named_heap(job);
    }
    let heap = session.heap(job)?;
    let named = heap.named_if_known().filter(|_| query.flag("known"));
    let id = query.address("mt").or(query.address("beside"));
    let tells = |named: &Arc<Heap>| id.is_none_or(|id| named.source.types().iter().any(|of_type| of_type.id == id));
    Ok(named.filter(tells).unwrap_or(heap))
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
    fn of(
        heap: &Heap,
        selection: &'a Selection,
        query: &Query,
        retains: bool,
        job: &Job,
    ) -> Result<Option<Wanted<'a>>, Error> {
        let live = match (query.flag("live"), query.flag("dead")) {
            (true, true) => return Err(Error::Usage("-live and -dead leave no object together".to_owned())),
            (false, false) if !retains => return Ok(None),
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

    /// Of each type what those of its objects keep alive that are wanted.
    fn retained(&self, heap: &Heap, dominators: &Dominators, job: &Job) -> Result<Arc<Vec<u64>>, Error> {
        let Selection { types: _, min, max, within } = self.selection;
        if self.reached.is_none() && (min, max, within) == (&None, &None, &None) {
            return heap.retained_by_types(job);
        }
        let classes = heap.source.types().len();
        graph::retained_by_classes(dominators, classes, &|id| self.type_of(id).unwrap_or(usize::MAX), job).map(Arc::new)
    }

    /// The type of an object, if that is wanted.
    fn type_of(&self, id: ObjectId) -> Option<usize> {
        self.objects.get(id).filter(|object| self.has(id, object)).map(|object| object.of_type)
    }

    fn list(&self, list: &mut List, dominators: Option<&Dominators>, job: &Job) -> Result<(), Error> {
        job.phase("listing objects", u64::from(self.objects.len()));
        self.each(&mut job.meter(), &mut |id, object| {
            list.add(object, dominators.map(|dominators| dominators.retained(id)));
        })
    }

    /// Visits each of them.
    fn each(&self, meter: &mut Meter<'_>, visit: &mut dyn FnMut(ObjectId, HeapObject)) -> Result<(), Error> {
        for id in 0..self.objects.len() {
            meter.add(1)?;
            if let Some(object) = self.objects.get(id).filter(|object| self.has(id, object)) {
                visit(id, object);
            }
        }
        Ok(())
    }
}

fn unknown(id: Addr) -> Error {
    Error::Failed(format!("no type has the id {id}; 'dumpheap -stat' lists them"))
}

fn selection(types: &[HeapType], query: &Query) -> Result<Selection, Error> {
    let (part, id) = (query.text("type"), query.address("mt"));
    let is_wanted = |of_type: &HeapType| {
        part.is_none_or(|part| of_type.name.contains(part)) && id.is_none_or(|id| of_type.id == id)
    };
    if let Some(id) = id.filter(|id| !types.iter().any(|of_type| of_type.id == *id)) {
        return Err(unknown(id));
    }
    let mut wanted = (part.is_some() || id.is_some()).then(|| types.iter().map(is_wanted).collect::<Vec<bool>>());
    if let Some(id) = query.address("beside") {
        let beside = Namespaces::of(types).beside(types, id).ok_or_else(|| unknown(id))?;
        wanted = Some(match wanted {
            Some(wanted) => wanted.into_iter().zip(beside).map(|(one, other)| one && other).collect(),
            None => beside,
        });
    }
    Ok(Selection { types: wanted, min: query.number("min"), max: query.number("max"), within: None })
}

impl Types {
    /// The histogram with names.
    pub(super) fn of(source: &dyn HeapSource, histogram: &Histogram, bound: Bound) -> Types {
        let row = |(at, amount): &(usize, Amount)| {
            let HeapType { id, name, naming } = source.types().get(*at)?;
            let (naming, referrer) = (naming.word(), source.told_by(*at).map(str::to_owned));
            let (name, Amount { count, bytes }) = (name.clone(), *amount);
            Some(TypeRow { name, id: *id, count, bytes, retained: None, naming, referrer })
        };
        Types {
            types: histogram.types.iter().filter_map(row).collect(),
            total: Total::of(histogram.total, bound),
            free: None,
            heap: source.name().to_owned(),
            kept: Kept::Absent,
            shares: false,
        }
    }

    /// Adds what the types retain. `histogram` is the one that it was made of.
    fn retain(&mut self, histogram: &Histogram, retained: &[u64]) {
        for (row, (at, _)) in self.types.iter_mut().zip(&histogram.types) {
            row.retained = retained.get(*at).copied();
        }
    }
}

impl Total {
    pub(super) fn of(Amount { count, bytes }: Amount, bound: Bound) -> Total {
        Total { count, bytes, complete: bound == Bound::Exact, bound }
    }

    /// `at least`, where it is not all.
    pub(super) fn bound_cell(&self) -> Option<Cell> {
        self.bound.words().map(|words| Cell::text(words).tone(Tone::Guess))
    }

    fn free_row(&self) -> Row {
        let dim = |text: &str| Cell::text(text).tone(Tone::Dim);
        let (count, bytes) = (Cell::new(Value::Count(self.count)), Cell::new(Value::Bytes(self.bytes)));
        let blocks = if self.count == 1 { "block," } else { "blocks," };
        let told = [count, dim(blocks), bytes, dim("(freed, and kept by the process: 'heap -arenas')")];
        Row::new([dim("free:")].into_iter().chain(self.bound_cell()).chain(told).collect())
    }

    /// `in all: at least 4,711 objects, 2M`.
    pub(super) fn row(&self, heap: &str) -> Row {
        let dim = |text: &str| Cell::text(text).tone(Tone::Dim);
        let count = Cell::new(Value::Count(self.count));
        let objects = if self.count == 1 { "object," } else { "objects," };
        let bytes = Cell::new(Value::Bytes(self.bytes));
        let told = [count, dim(objects), bytes, dim(heap)];
        Row::new([dim("in all:")].into_iter().chain(self.bound_cell()).chain(told).collect())
    }
}

/// What is freed and kept; `None` where the heap does not tell. Of a heap of which not all was read there may be more.
pub(super) fn free(heap: &Heap, job: &Job) -> Result<Option<Total>, Error> {
    Ok(heap.source.free(job)?.map(|free| free_of(heap, free)))
}

fn free_of(heap: &Heap, Free { count, bytes }: Free) -> Total {
    Total::of(Amount { count, bytes }, bound_of_free(heap))
}

/// What counts as in use and is not, is missing from what is free.
fn bound_of_free(heap: &Heap) -> Bound {
    if heap.bound() == Bound::Exact { Bound::Exact } else { Bound::AtLeast }
}
