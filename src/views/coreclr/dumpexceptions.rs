//! `dumpexceptions`: every exception object on the heap of .NET, in flight or not.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::Serialize;

use super::with;
use crate::analysis::graph::Reachable;
use crate::analysis::histogram::{self, Amount, Histogram, Selection};
use crate::error::Error;
use crate::heap::{HeapObject, HeapType, Objects};
use crate::job::Job;
use crate::model::{Addr, Exception, ExceptionFamily, NamedFrame, Partial, Problem, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::report::words::thousands;
use crate::session::coreclr::CoreClr;
use crate::session::{Heap, Session};
use crate::shape;
use crate::views::dumpheap::{Total, Types, Within};
use crate::views::frame_rows;
use crate::views::printexception::ExceptionRow;
use crate::views::{Answered, Answers, Arg, Draw, Kind, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "dumpexceptions",
    aliases: &[],
    needs: Needs::Process,
    home_of: &[],
    args: &[
        Arg::Flag("stat", "how many there are of each type"),
        Arg::Value("type", Kind::Word, "only types whose name contains it"),
        Arg::Value("mt", Kind::Address, "only the type of this id, a method table"),
        Arg::Flag("lines", "with the stack of each, from where it was thrown"),
        Arg::Value("n", Kind::Count, "so many at most; 1,000 where it is not given"),
        Arg::Apart("stat", &["lines", "n"]),
        Arg::Flag("live", "only those that can be reached from roots"),
        Arg::Flag("dead", "only those that cannot: not collected yet"),
        Arg::Apart("live", &["dead"]),
        Arg::Value("gen", Kind::Word, "only those of a generation: gen0, gen1, gen2, loh, poh, foh"),
    ],
    pane: None,
    doc: "Every exception object on the heap of .NET: type, message, HRESULT, and the thread that has it in flight",
    help: "The runtime makes some for itself when it starts, for when there is no memory to make one; they have no message. \
           'printexception ADDR' tells of one in flight with all that is inside of it.

$ dumpscope shop.core -c 'dumpexceptions -type Museum'
Address                     Id    Tid  HResult     Type                   Message               Thrown in
0x7f031fc19788  0x7f0ef7821378         0x80131500  Museum.GuideException  guide lost in room 5  Museum.Program.Guide
0x7f031fc1d0e0  0x7f0ef7821378  28272  0x80131500  Museum.GuideException  guide lost in room 6  Museum.Program.Guide
in all: 2 objects, 256 B",
    build,
    schema: shape!(Told),
};

/// Most that are told where no number is asked for.
const TOLD: u64 = 1000;

/// What is told: by the arguments.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "the shape of each answer, for the schema alone")]
enum Told {
    Exceptions(Exceptions),
    Types(Types),
}

/// Exceptions one by one.
#[derive(Serialize, JsonSchema)]
pub struct Exceptions {
    /// In the order of the heap.
    pub exceptions: Vec<ObjectRow>,
    /// All of those that were asked for together.
    pub total: Total,
    /// Whether their stacks are drawn.
    #[serde(skip)]
    lines: bool,
}

/// An exception object.
#[derive(Serialize, JsonSchema)]
pub struct ObjectRow {
    /// As `printexception` tells it; of no thread where none has it in flight.
    #[serde(flatten)]
    pub exception: ExceptionRow,
    /// Its type's identity: a method table.
    pub id: Addr,
    /// What the object takes itself, in bytes.
    pub bytes: u64,
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    // Of a dump without it the heap of native code may be there.
    with(session, job, |runtime| runtime.needs_heap(job))?;
    let heap = session.heap(job)?;
    let mut problems = heap.source.problems();
    let types = with(session, job, |runtime| types(runtime, heap.source.types(), query, &mut problems))?;
    let within = Within::of(heap.source.as_ref(), query)?.ranges;
    let reached = Reached::of(&heap, query, job)?;
    let wanted = Wanted { selection: Selection { types: Some(types), within, ..Selection::default() }, reached };
    let bound = match &wanted.reached {
        Some(reached) => {
            problems = heap.doubts();
            heap.bound_of_reached(reached.live)
        }
        None => heap.bound(),
    };
    if query.flag("stat") {
        let histogram = wanted.histogram(&heap, job)?;
        return Ok(Box::new(Answered { data: Types::of(heap.source.as_ref(), &histogram, bound), problems }));
    }
    let most = query.number("n").unwrap_or(TOLD);
    let (objects, total) = wanted.objects(&heap, most, job)?;
    // What ends the process is told as that.
    let in_flight = session.exceptions(job)?;
    let known: FxHashMap<Addr, &Exception> =
        in_flight.value.iter().filter_map(|exception| Some((exception.address?, exception))).collect();
    let told = with(session, job, |runtime| {
        let others = objects.iter().map(|object| object.address).filter(|object| !known.contains_key(object)).collect();
        runtime.exceptions_at(others, job)
    })?;
    let mut others: FxHashMap<Addr, Exception> = FxHashMap::default();
    for Partial { value, problems: more } in told {
        Problem::join(&mut problems, more);
        others.extend(value.address.map(|address| (address, value)));
    }
    let row = |(index, object): (usize, &HeapObject)| {
        let exception = known.get(&object.address).copied().or_else(|| others.get(&object.address))?;
        let id = heap.source.types().get(object.of_type)?.id;
        Some(ObjectRow { exception: ExceptionRow::of(index, exception), id, bytes: object.bytes })
    };
    let exceptions = objects.iter().enumerate().filter_map(row).collect();
    let data = Exceptions { exceptions, total: Total::of(total, bound), lines: query.flag("lines") };
    Ok(Box::new(Answered { data, problems }))
}

/// For each type of a heap whether its objects are wanted.
fn types(
    runtime: &CoreClr,
    types: &[HeapType],
    query: &Query,
    problems: &mut Vec<Problem>,
) -> Result<Vec<bool>, Error> {
    let (part, id) = (query.text("type"), query.address("mt"));
    let mut wanted = Vec::with_capacity(types.len());
    for of_type in types {
        let is_asked = part.is_none_or(|part| of_type.name.contains(part)) && id.is_none_or(|id| of_type.id == id);
        let is_exception = if is_asked { runtime.is_class_of_exceptions(of_type.id) } else { Ok(false) };
        wanted.push(is_exception.unwrap_or_else(|gap| {
            let message = format!("whether {} is an exception cannot be read: {gap}", of_type.name);
            problems.push(Problem::new("exceptions-missing", Subject::Capture, message));
            false
        }));
    }
    match id {
        Some(id) if !wanted.contains(&true) => Err(Error::Failed(format!(
            "no exception has a type with the id {id}; 'dumpexceptions -stat' lists the types"
        ))),
        _ => Ok(wanted),
    }
}

/// Which objects roots reach.
struct Reached {
    /// Whether those are wanted that they do.
    live: bool,
    set: Arc<Reachable>,
    objects: Arc<Objects>,
}

impl Reached {
    /// `None` where it is not asked for.
    fn of(heap: &Heap, query: &Query, job: &Job) -> Result<Option<Reached>, Error> {
        let live = query.flag("live");
        if !live && !query.flag("dead") {
            return Ok(None);
        }
        Ok(Some(Reached { live, set: heap.reachable(job)?, objects: heap.objects(job)? }))
    }
}

/// The exceptions that are asked for.
struct Wanted {
    selection: Selection,
    reached: Option<Reached>,
}

impl Wanted {
    fn has(&self, object: &HeapObject) -> bool {
        let is_reached = |reached: &Reached| {
            reached.objects.at(object.address).is_some_and(|id| reached.set.set.has(id) == reached.live)
        };
        self.selection.has(object) && self.reached.as_ref().is_none_or(is_reached)
    }

    fn histogram(&self, heap: &Heap, job: &Job) -> Result<Arc<Histogram>, Error> {
        let Some(reached) = &self.reached else { return heap.histogram_of(&self.selection, job) };
        let has = |id, object: &HeapObject| self.selection.has(object) && reached.set.set.has(id) == reached.live;
        histogram::of_objects(&reached.objects, heap.source.types().len(), &has, job).map(Arc::new)
    }

    /// The first of them, and how many there are.
    fn objects(&self, heap: &Heap, most: u64, job: &Job) -> Result<(Vec<HeapObject>, Amount), Error> {
        job.phase("looking for exceptions", 0);
        let (mut objects, mut total) = (Vec::new(), Amount::default());
        let mut meter = job.meter();
        for part in 0..heap.source.parts() {
            job.check()?;
            heap.source.objects(part, &mut meter, &mut |object| {
                if self.has(&object) {
                    total.add(Amount { count: 1, bytes: object.bytes });
                    if (objects.len() as u64) < most {
                        objects.push(object);
                    }
                }
                Ok(())
            })?;
        }
        job.check()?;
        Ok((objects, total))
    }
}

impl Draw for Exceptions {
    fn draw(&self) -> Section {
        let mut lines = Vec::new();
        let left = self.total.count.saturating_sub(self.exceptions.len() as u64);
        if left > 0 {
            let text = format!("… and {} more; -n N lists more of them", thousands(left));
            lines.push(Row::new(vec![Cell::text(text).tone(Tone::Dim)]));
        }
        lines.push(self.total.row(""));
        let mut bodies = Vec::new();
        if self.lines {
            for row in &self.exceptions {
                bodies.push(Body::Table(Table::new(columns(), vec![cells(row)])));
                if !row.exception.frames.is_empty() {
                    bodies.push(Body::Table(stack(&row.exception.frames)));
                }
                bodies.push(Body::Lines(vec![Row::text("")]));
            }
        } else if !self.exceptions.is_empty() {
            bodies.push(Body::Table(Table::new(columns(), self.exceptions.iter().map(cells).collect())));
        }
        bodies.push(Body::Lines(lines));
        Section { bodies, ..Section::default() }
    }
}

fn columns() -> Vec<Column> {
    vec![
        Column::rigid("Address"),
        Column::right("Id").rank(4),
        Column::right("Tid"),
        Column::left("HResult").rank(3),
        Column::wide("Type", 2).min(16),
        Column::wide("Message", 2).rank(1).min(16),
        Column::wide("Thrown in", 1).rank(2).min(12),
    ]
}

fn cells(row: &ObjectRow) -> Row {
    let told = &row.exception;
    let message = match (&told.message, &told.message_unknown) {
        (Some(message), _) => Cell::text(message.as_str()),
        (None, Some(reason)) => Cell::unknown(reason),
        (None, None) => Cell::NONE,
    };
    let address = told.address.unwrap_or(Addr(0));
    let type_name = match &told.type_name {
        Some(name) => Cell::new(Value::Type(name.as_str().into())).tone(Tone::Strong),
        None => Cell::unknown("its type cannot be read"),
    };
    // Where the runtime gave up the frames are its thread's.
    let is_thrown = told.family == ExceptionFamily::Exception;
    let thrown = told.frames.first().filter(|_| is_thrown).and_then(|frame| frame.function.as_ref());
    let cells = vec![
        Cell::new(Value::Addr(address)).tone(Tone::Link),
        Cell::new(Value::Addr(row.id)),
        told.tid.map_or(Cell::NONE, |tid| Cell::new(Value::Tid(tid))),
        told.code.as_deref().map_or(Cell::NONE, Cell::text),
        type_name,
        message,
        thrown.map_or(Cell::NONE, |thrown| Cell::new(Value::Function(Arc::clone(thrown)))),
    ];
    Row::about(Subject::Object(address), cells)
}

/// Where it was thrown, and through what it has come.
fn stack(frames: &[NamedFrame]) -> Table {
    let row = |frame: &NamedFrame| {
        let function = match &frame.function {
            Some(function) => Cell::new(Value::Function(Arc::clone(function))),
            None => Cell::new(Value::Addr(frame.pc)),
        };
        Row::new(vec![Cell::text("   "), function, frame_rows::source(frame).unwrap_or(Cell::NONE)])
    };
    let columns = vec![Column::left(""), Column::wide("Function", 3).min(24), Column::wide("Source", 1).min(12)];
    Table::new(columns, frames.iter().map(row).collect())
}
