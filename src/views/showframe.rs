//! `showframe`: one frame whole: where it stands, what its function was given and keeps, its registers.

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;
use schemars::JsonSchema;
use serde::Serialize;

use super::frame_rows::{no_frame, source};
use super::registers::points_to;
use super::{Answer, Answered, Arg, Arity, Draw, Kind, Needs, Query, View};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, FrameKind, NamedFrame, Subject, Tid, Trust, Value as Known, Variable, VariableKind};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Session;
use crate::shape;

/// The view.
pub const VIEW: View = View {
    name: "showframe",
    aliases: &[],
    needs: Needs::Process,
    home_of: &[],
    args: &[
        Arg::Operand(
            "index",
            Kind::Count,
            Arity::Optional,
            "which frame, innermost 0; when not given, the selected one",
        ),
        Arg::Value("t", Kind::Thread, "of this thread, not the selected one"),
    ],
    pane: None,
    doc: "One frame: where it stands, its arguments and local variables, its registers",
    help: "N counts as in 'stack', innermost 0. Registers are those of the frame: a register that the walk \
           could not recover is unknown.

$ dumpscope demo -c 'showframe 5 -t 4719'
Thread    4719 shop::worker
Function  shop::Stock::reserve
Source    stock.cc:21
At        0x404f22 orders-api+0x4f22, 0x16 into the function
Stack     0x7fd5df1eb0a0
Found     by unwind information
     Name         Type                Value
arg  this         shop::Stock* const  0x587c20 <shop::g_stock_room>
arg  order        shop::Order const&  @0x7fd5df1eb1a8: {id = 7703, customer = \"customer 43\", lines = […]}
       .id        int                 7703
…
Registers
Register  Value           Points to
rbx       0x7fd5df1eb1a8
…
rip       0x404f22        shop::Stock::reserve(shop::Order const&)+0x16",
    build,
    schema: shape!(FrameOf),
};

/// Rows of variables and their fields that are drawn.
const MAX_ROWS: usize = 400;

/// One frame.
#[derive(Serialize, JsonSchema)]
pub struct FrameOf {
    /// OS id of the thread.
    pub tid: Tid,
    /// The thread's name; null when the dump holds none.
    pub name: Option<String>,
    /// The frame.
    #[serde(flatten)]
    pub frame: NamedFrame,
    /// Bytes from the module's start to `pc`; null outside all modules.
    pub module_offset: Option<u64>,
    /// Arguments and local variables in scope, in the order of the source; null where no debug information tells them or the
    /// frame's registers are not known.
    pub variables: Option<Vec<Variable>>,
    /// The registers in the frame, by name, null for one that could not be recovered; null where none were kept.
    pub registers: Option<BTreeMap<&'static str, Option<Addr>>>,
    #[serde(skip)]
    label: String,
    /// Addresses at which a lock is known.
    #[serde(skip)]
    locks: FxHashSet<Addr>,
    #[serde(skip)]
    in_order: Vec<RegisterRow>,
}

/// A register: its name, its value, what that points to, whether memory is there.
struct RegisterRow {
    name: &'static str,
    value: Option<Addr>,
    points_to: Option<String>,
    is_memory: bool,
}

fn build(session: &Session, query: &Query, job: &Job) -> Result<Box<dyn Answer>, Error> {
    let position = query.thread_index(session)?;
    let asked = query.number("index").map(|index| usize::try_from(index).unwrap_or(usize::MAX));
    let index = asked.unwrap_or_else(|| query.frame_index(session, position));
    Ok(Box::new(Answered { data: of(session, position, index, job)?, problems: Vec::new() }))
}

/// Frame `index` of the thread at `position` in the one order.
pub fn of(session: &Session, position: usize, index: usize, job: &Job) -> Result<FrameOf, Error> {
    let process = session.process()?;
    let thread = process.os_threads().get(position).ok_or_else(|| Error::Failed(format!("no thread {position}")))?;
    let stack = process.stack(position, job)?;
    let frames = process.named(&stack);
    let count = frames.len();
    let Some(frame) = frames.into_iter().nth(index) else {
        return Err(no_frame(thread.tid, index, count));
    };
    let variables = process.variables(&stack, std::slice::from_ref(&frame), job)?.into_iter().next().flatten();
    // An inlined call has the registers of the frame that holds it.
    let registers = stack.registers_at(frame.walked);
    let register = |(name, value): (&'static str, Option<u64>)| {
        let value = value.map(Addr);
        let is_memory = value.is_some_and(|value| process.target.memory.u8(value).is_ok());
        RegisterRow { name, value, points_to: value.and_then(|value| points_to(session, value)), is_memory }
    };
    let in_order: Vec<RegisterRow> = registers.iter().flat_map(|registers| registers.iter()).map(register).collect();
    let known = process.threads(job)?;
    let shown = known.value.get(position);
    let module = process.target.module_at(frame.pc);
    Ok(FrameOf {
        tid: thread.tid,
        name: shown.map_or_else(|| thread.name.clone(), |shown| shown.name.clone()),
        label: shown.map_or_else(|| thread.tid.to_string(), |shown| shown.label()),
        module_offset: module.and_then(|module| frame.pc.since(module.mapped.base)),
        variables,
        registers: registers.as_ref().map(|_| in_order.iter().map(|row| (row.name, row.value)).collect()),
        locks: process.locks(job)?.locks.iter().map(|lock| lock.address).collect(),
        in_order,
        frame,
    })
}

impl Draw for FrameOf {
    fn draw(&self) -> Section {
        let bodies = [self.about(), self.variables(), self.registers()];
        Section { bodies: bodies.into_iter().flatten().collect(), ..Section::default() }
    }
}

impl FrameOf {
    /// Where the frame stands.
    pub fn about(&self) -> Vec<Body> {
        let frame = &self.frame;
        let own = Subject::Frame(self.tid, frame.index);
        let function = match (&frame.function, frame.kind) {
            (Some(function), _) => Cell::new(Value::Function(function.clone())).tone(Tone::Strong),
            (None, FrameKind::Signal) => Cell::text("<signal handler called>").tone(Tone::Bad),
            (None, _) => Cell::unknown("no symbol covers it"),
        };
        let mut fields = vec![
            ("Thread".to_owned(), Row::about(Subject::Thread(self.tid), vec![Cell::text(self.label.as_str())])),
            ("Function".to_owned(), Row::new(vec![function])),
        ];
        let source = match source(frame) {
            Some(cell) => Row::about(own, vec![cell]),
            None => Row::new(vec![Cell::unknown("no line information")]),
        };
        fields.push(("Source".to_owned(), source));
        let mut at = vec![Cell::new(Value::Addr(frame.pc))];
        if let (Some(module), Some(offset)) = (&frame.module, self.module_offset) {
            at.push(Cell::text(format!("{module}+{offset:#x}")).tone(Tone::Dim));
        }
        if let Some(offset) = frame.offset {
            at.push(Cell::text(format!(", {offset:#x} into the function")).tone(Tone::Dim));
        }
        fields.push(("At".to_owned(), Row::about(Subject::Memory(frame.pc), at)));
        fields
            .push(("Stack".to_owned(), Row::about(Subject::Memory(frame.sp), vec![Cell::new(Value::Addr(frame.sp))])));
        fields.push(("Found".to_owned(), Row::new(vec![found(frame)])));
        vec![Body::Fields(fields)]
    }

    /// Arguments and local variables: each pointer and lock opens.
    pub fn variables(&self) -> Vec<Body> {
        let Some(variables) = &self.variables else {
            let why = "No debug information tells arguments and local variables here, or the frame's registers are not known.";
            return vec![Body::Lines(vec![Row::new(vec![Cell::text(why).tone(Tone::Dim)])])];
        };
        if variables.is_empty() {
            let none = Cell::text("No arguments, and no local variables in scope.").tone(Tone::Dim);
            return vec![Body::Lines(vec![Row::new(vec![none])])];
        }
        let mut rows = Vec::new();
        for variable in variables {
            let kind = match variable.kind {
                VariableKind::Argument => "arg",
                VariableKind::Local => "local",
            };
            let name = variable.name.as_deref().unwrap_or("(unnamed)");
            rows.push(self.row(kind, name.to_owned(), &variable.value));
            for field in variable.value.fields() {
                let name = field.name.as_deref().unwrap_or("(base)");
                rows.push(self.row("", format!("  .{name}"), &field.value));
            }
        }
        if rows.len() > MAX_ROWS {
            let more = rows.len().saturating_sub(MAX_ROWS);
            rows.truncate(MAX_ROWS);
            let note = Cell::text(format!("… {more} more; 'stack -a' and --json have them")).tone(Tone::Guess);
            rows.push(Row::new(vec![Cell::NONE, Cell::NONE, Cell::NONE, note]));
        }
        let columns = vec![Column::left(""), Column::left("Name"), Column::wide("Type", 1), Column::wide("Value", 3)];
        vec![Body::Table(Table::new(columns, rows))]
    }

    fn row(&self, kind: &'static str, name: String, value: &Known) -> Row {
        let shown = match &value.content {
            Ok(_) => Cell::text(value.to_string()),
            // The page is where one looks for the reason.
            Err(gap) => Cell::text(format!("? ({gap})")).tone(Tone::Guess),
        };
        let ty = value.ty.as_ref().map_or("?", |ty| &*ty.name);
        let cells = vec![
            Cell::text(kind).tone(Tone::Dim),
            Cell::text(name),
            Cell::new(Value::Type(ty.into())).tone(Tone::Dim),
            shown,
        ];
        let lock = [value.address(), value.location].into_iter().flatten().find(|at| self.locks.contains(at));
        let subject = lock.map(Subject::Lock).or_else(|| value.address().or(value.location).map(Subject::Memory));
        Row { cells, subject }
    }

    /// The registers in the frame.
    pub fn registers(&self) -> Vec<Body> {
        if self.in_order.is_empty() {
            let none = Cell::text("The registers of this frame were not recovered.").tone(Tone::Dim);
            return vec![Body::Lines(vec![Row::new(vec![none])])];
        }
        let row = |row: &RegisterRow| {
            let value = row.value?;
            let (name, what) = (Cell::text(row.name).tone(Tone::Dim), Cell::text_or_none(row.points_to.as_deref()));
            let subject = row.is_memory.then_some(Subject::Memory(value));
            Some(Row { cells: vec![name, Cell::new(Value::Addr(value)), what], subject })
        };
        let columns = vec![Column::left("Register"), Column::left("Value"), Column::wide("Points to", 1)];
        let heading = Body::Heading("Registers".to_owned());
        let mut bodies =
            vec![heading, Body::Table(Table::new(columns, self.in_order.iter().filter_map(row).collect()))];
        let lost: Vec<&str> = self.in_order.iter().filter(|row| row.value.is_none()).map(|row| row.name).collect();
        if !lost.is_empty() {
            let lost = Cell::text(format!("Not recovered: {}.", lost.join(", "))).tone(Tone::Dim);
            bodies.push(Body::Lines(vec![Row::new(vec![lost])]));
        }
        bodies
    }
}

/// How the frame was found.
fn found(frame: &NamedFrame) -> Cell {
    if frame.kind == FrameKind::Inline {
        return Cell::text("an inlined call: its function has no frame of its own");
    }
    match frame.trust {
        Trust::Context => Cell::text("as the dump recorded it"),
        Trust::Cfi => Cell::text("by unwind information"),
        Trust::FramePointer => Cell::text("by the chain of frame pointers").tone(Tone::Guess),
        Trust::Scan => Cell::text("by scanning the stack: a guess").tone(Tone::Guess),
        Trust::Runtime => Cell::text("by the runtime's own unwinding"),
    }
}
