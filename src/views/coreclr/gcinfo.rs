//! `gcinfo`: what of a method's frame refers to objects, at each of its instructions.

use std::sync::Arc;

use rustc_hash::FxHashSet;
use schemars::JsonSchema;
use serde::Serialize;

use super::with;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Gap, Problem, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Value};
use crate::session::Session;
use crate::session::coreclr::MethodGcInfo;
use crate::session::coreclr::gc_info::{Base, Context, GcInfo, Slot};
use crate::shape;
use crate::views::arguments::{Arg, Arity, Kind};
use crate::views::{Answered, Answers, Draw, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "gcinfo",
    aliases: &[],
    needs: Needs::Process,
    home_of: &[],
    args: &[Arg::Operand("address", Kind::Address, Arity::Optional, "of code in the method, as 'stack -full' shows it; the selected frame's, if left out")],
    pane: None,
    doc: "Which registers and stack slots of a .NET method refer to objects, at each call and wherever else the collector may stop",
    help: "Offsets are in bytes from the first of the method's code. '+' begins to be live, '-' ends; a call names all that are live behind it. \
           Untracked slots are live everywhere. 'i' marks what may point into an object, 'p' what may not be moved.

$ dumpscope shop.core -c 'gcinfo 0x7f9af5e92641'
Method          Museum.Program.Guide(Int32)
Code            0x7f9af5e92620, 166 bytes
GC info         0x7f9af6423b38
Frame register  rbp
Untracked       rbp-38 rbp-30 rbp-28 rbp-20 rbp-18 rbp-10
Offset  What
    21  interruptible
    2f  not interruptible
    32  interruptible +rdi
    3a  +rax
    48  -rdi",
    build,
    schema: shape!(GcInfoOf),
};

/// The GC info of a method.
#[derive(Serialize, JsonSchema)]
pub struct GcInfoOf {
    /// The method; null where its name cannot be read.
    pub method: Option<Arc<str>>,
    /// The first address of its code.
    pub start: Addr,
    /// Bytes of code.
    pub code_size: u32,
    /// Where its GC info is.
    pub gc_info: Addr,
    /// The register that its slots count from; null where it has none.
    pub frame_register: Option<&'static str>,
    /// Bytes of its prologue; 0 where that does not matter to the collector.
    pub prolog_size: u32,
    /// Bytes for what it passes on, at the end of its frame.
    pub parameter_area_size: u32,
    /// The slot of the cookie that tells an overrun, from the caller's stack pointer; null where it has none.
    pub gs_cookie: Option<i32>,
    /// The slot by which funclets find their method, from the stack pointer; null where it has none, and in .NET 10.
    pub psp_sym: Option<i32>,
    /// Where what it is generic over comes from: `class`, `method`, `this`; null where that is not kept.
    pub generic_context: Option<&'static str>,
    /// The slot that keeps it.
    pub generic_context_slot: Option<i32>,
    /// Whether it takes a variable number of arguments.
    pub varargs: bool,
    /// Whether only the last of it and its funclets reports what they share.
    pub report_only_leaf: bool,
    /// Slots that are live everywhere.
    pub untracked: Vec<SlotRow>,
    /// Calls at which the collector may stop, by their offset.
    pub safe_points: Vec<SafePointRow>,
    /// Code within which it may stop anywhere.
    pub ranges: Vec<RangeRow>,
}

/// A register or stack slot.
#[derive(Clone, Serialize, JsonSchema, PartialEq)]
pub struct SlotRow {
    /// `rbx`, `rbp-10`, `rsp+8`, `caller.sp-8`: offsets in hexadecimal.
    pub slot: String,
    /// Whether it may point into an object.
    pub interior: bool,
    /// Whether the object may not be moved.
    pub pinned: bool,
}

/// A call.
#[derive(Serialize, JsonSchema)]
pub struct SafePointRow {
    /// Bytes from the start of the code: behind the call, in .NET 8 and 9 one less.
    pub offset: u32,
    /// What is live there; null where that cannot be read.
    pub live: Option<Vec<SlotRow>>,
}

/// Code within which the collector may stop anywhere.
#[derive(Serialize, JsonSchema)]
pub struct RangeRow {
    /// The first instruction, in bytes from the start of the code.
    pub from: u32,
    /// Behind the last.
    pub to: u32,
    /// What begins and ends to be live, compared with the instruction before, and at the first with the end of the range before.
    pub changes: Vec<ChangeRow>,
    /// From where on they cannot be read; null where all are.
    pub unread_from: Option<u32>,
}

/// A change of what is live.
#[derive(Serialize, JsonSchema)]
pub struct ChangeRow {
    /// Bytes from the start of the code.
    pub offset: u32,
    /// What is live from here on.
    pub born: Vec<SlotRow>,
    /// What is not any more.
    pub died: Vec<SlotRow>,
}

/// Most slots of all places of a method together.
const MAX_SLOTS: usize = 1 << 22;

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let code = match query.address("address") {
        Some(code) => code,
        None => selected(session, query, job)?,
    };
    let damaged = |gap: Gap| Error::Failed(format!("the GC info of the method at {code}: {gap}"));
    let of = with(session, job, |runtime| runtime.gc_info(code).map_err(damaged))?;
    let (data, unread) = told(&of, job)?;
    let message = |gap: Gap| format!("what is live in parts of the method cannot be read: {gap}");
    let problem = unread.map(|gap| Problem::new("gcinfo-unread", Subject::Memory(data.gc_info), message(gap)));
    Ok(Box::new(Answered { data, problems: problem.into_iter().collect() }))
}

/// The address of the selected frame's code.
fn selected(session: &Session, query: &Query, job: &Job) -> Result<Addr, Error> {
    let index = query.thread_index(session)?;
    let process = session.process()?;
    let stack = process.stack(index, job)?;
    let named = process.named(&stack);
    let frame = named.get(query.frame_index(session, index));
    frame.map(|frame| frame.pc).ok_or_else(|| Error::Failed("no frame is selected: say an address".to_owned()))
}

fn told(of: &MethodGcInfo, job: &Job) -> Result<(GcInfoOf, Option<Gap>), Error> {
    let (info, header) = (&of.info, &of.info.header);
    let mut meter = job.meter();
    let mut unread = None;
    let mut left = MAX_SLOTS;
    let mut live = |offset: u32| {
        let now = info.live(info.stop(offset)).and_then(|now| {
            left =
                left.checked_sub(now.len()).ok_or_else(|| Gap::Unsupported(format!("more than {MAX_SLOTS} slots")))?;
            Ok(now)
        });
        now.map_err(|gap| {
            unread.get_or_insert(gap);
        })
        .ok()
    };
    let mut safe_points = Vec::new();
    for offset in &info.safe_points {
        meter.add(1)?;
        safe_points.push(SafePointRow { offset: *offset, live: live(*offset).map(|live| rows(info, &live)) });
    }
    let mut ranges = Vec::new();
    let mut before: Vec<Slot> = Vec::new();
    for range in &info.ranges {
        let mut changes = Vec::new();
        let mut unread_from = None;
        for offset in range.from..range.to {
            meter.add(1)?;
            let Some(now) = live(offset) else {
                unread_from = Some(offset);
                break;
            };
            if now != before {
                let (born, died) = (without(&now, &before), without(&before, &now));
                changes.push(ChangeRow { offset, born: rows(info, &born), died: rows(info, &died) });
                before = now;
            }
        }
        ranges.push(RangeRow { from: range.from, to: range.to, changes, unread_from });
    }
    let context = header.context.map(|(context, slot)| {
        let words = match context {
            Context::Class => "class",
            Context::Method => "method",
            Context::This => "this",
        };
        (words, slot)
    });
    let data = GcInfoOf {
        method: of.name.clone(),
        start: of.start,
        code_size: header.code,
        gc_info: of.at,
        frame_register: header.frame.and_then(register),
        prolog_size: header.prologue,
        parameter_area_size: header.outgoing,
        gs_cookie: header.cookie,
        psp_sym: header.psp,
        generic_context: context.map(|(words, _)| words),
        generic_context_slot: context.map(|(_, slot)| slot),
        varargs: header.varargs,
        report_only_leaf: header.only_leaf,
        untracked: rows(info, info.untracked()),
        safe_points,
        ranges,
    };
    Ok((data, unread))
}

/// Slots that are not among others.
fn without(all: &[Slot], others: &[Slot]) -> Vec<Slot> {
    let others: FxHashSet<&Slot> = others.iter().collect();
    all.iter().filter(|slot| !others.contains(slot)).copied().collect()
}

fn rows(info: &GcInfo, slots: &[Slot]) -> Vec<SlotRow> {
    let frame = info.header.frame.and_then(register).unwrap_or("frame");
    let row = |slot: &Slot| SlotRow { slot: spelled(slot.base, frame), interior: slot.interior, pinned: slot.pinned };
    slots.iter().map(row).collect()
}

fn spelled(base: Base, frame: &str) -> String {
    let from = |name: &str, offset: i32| match offset {
        0.. => format!("{name}+{offset:x}"),
        _ => format!("{name}-{:x}", offset.unsigned_abs()),
    };
    match base {
        Base::Register(number) => register(number).unwrap_or("?").to_owned(),
        Base::Caller(offset) => from("caller.sp", offset),
        Base::Stack(offset) => from("rsp", offset),
        Base::Frame(offset) => from(frame, offset),
    }
}

/// The name of a register, as x64 counts them.
fn register(number: u32) -> Option<&'static str> {
    const NAMES: [&str; 16] =
        ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];
    NAMES.get(usize::try_from(number).ok()?).copied()
}

impl SlotRow {
    fn marked(&self, sign: &str) -> String {
        let mark = |there: bool, mark: &'static str| if there { mark } else { "" };
        format!("{sign}{}{}{}", self.slot, mark(self.interior, "(i)"), mark(self.pinned, "(p)"))
    }
}

fn list<'a>(parts: impl IntoIterator<Item = (&'a str, &'a [SlotRow])>) -> String {
    let each = parts.into_iter().flat_map(|(sign, slots)| slots.iter().map(move |slot| slot.marked(sign)));
    each.collect::<Vec<_>>().join(" ")
}

impl GcInfoOf {
    fn fields(&self) -> Vec<(String, Row)> {
        let text = |label: &str, text: String| (label.to_owned(), Row::text(text));
        let method = match &self.method {
            Some(method) => Cell::text(&**method),
            None => Cell::unknown("its name cannot be read"),
        };
        let code = vec![Cell::new(Value::Addr(self.start)), Cell::text(format!(", {} bytes", self.code_size))];
        let mut fields = vec![
            ("Method".to_owned(), Row::new(vec![method])),
            ("Code".to_owned(), Row::new(code)),
            ("GC info".to_owned(), Row::new(vec![Cell::new(Value::Addr(self.gc_info))])),
            text("Frame register", self.frame_register.unwrap_or("none").to_owned()),
        ];
        let slot = |label: &str, slot: Option<Base>| slot.map(|slot| text(label, spelled(slot, "")));
        fields.extend(slot("GS cookie", self.gs_cookie.map(Base::Caller)));
        fields.extend(slot("PSPSym", self.psp_sym.map(Base::Stack)));
        fields.extend(slot("Generic context", self.generic_context_slot.map(Base::Caller)));
        if self.parameter_area_size > 0 {
            fields.push(text("Passed on", format!("{} bytes", self.parameter_area_size)));
        }
        if !self.untracked.is_empty() {
            fields.push(text("Untracked", list([("", &*self.untracked)])));
        }
        fields
    }
}

impl Draw for GcInfoOf {
    fn draw(&self) -> Section {
        let row =
            |offset: u32, what: String| (offset, Row::new(vec![Cell::text(format!("{offset:x}")), Cell::text(what)]));
        let mut lines = Vec::new();
        for call in &self.safe_points {
            let live = call.live.as_deref().map_or("?".to_owned(), |live| list([("+", live)]));
            lines.push(row(call.offset, format!("call {live}").trim_end().to_owned()));
        }
        for range in &self.ranges {
            let mut changes = range.changes.iter().peekable();
            let first = changes.next_if(|change| change.offset == range.from);
            let first = first.map(|change| list([("-", &*change.died), ("+", &*change.born)])).unwrap_or_default();
            lines.push(row(range.from, format!("interruptible {first}").trim_end().to_owned()));
            for change in changes {
                lines.push(row(change.offset, list([("-", &*change.died), ("+", &*change.born)])));
            }
            lines.extend(range.unread_from.map(|offset| row(offset, "?".to_owned())));
            lines.push(row(range.to, "not interruptible".to_owned()));
        }
        lines.sort_by_key(|(offset, _)| *offset);
        let columns = vec![Column::right("Offset"), Column::wide("What", 1)];
        let table = Table::new(columns, lines.into_iter().map(|(_, row)| row).collect());
        let mut bodies = vec![Body::Fields(self.fields())];
        if self.safe_points.is_empty() && self.ranges.is_empty() {
            bodies.push(Body::Lines(vec![Row::text("The collector stops nowhere in it.")]));
        } else {
            bodies.push(Body::Table(table));
        }
        Section { bodies, ..Section::default() }
    }
}
