//! `registers`: the selected thread's registers in the selected frame.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::frame_rows::no_frame;
use super::{Alias, Answer, Answered, Arg, Draw, Kind, Needs, Query, View};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Gap, Known, Registers, Subject, Tid};
use crate::report::section::{Body, Cell, Row, Section, Value};
use crate::session::Session;
use crate::shape;

/// The view.
pub const VIEW: View = View {
    name: "registers",
    aliases: &[Alias::of("r")],
    needs: Needs::Process,
    home_of: &[],
    args: &[
        Arg::Value("t", Kind::Thread, "this thread, not the selected one"),
        Arg::Value("f", Kind::Count, "this frame, as numbered in the stack, not the selected one"),
    ],
    pane: None,
    doc: "The selected thread's registers in the selected frame",
    help: "The registers as the dump recorded them, in an outer frame those that unwinding recovered.

$ dumpscope demo -c 'registers -t 4719 -f 5'
rcx  ? (not recovered)
rbx  0x7fd5df1eb1a8
rsi  ? (not recovered)
rdi  ? (not recovered)
rbp  0x587c20 shop::g_stock_room
rsp  0x7fd5df1eb0a0
r8   ? (not recovered)
…
rip  0x404f22 shop::Stock::reserve(shop::Order const&)+0x16",
    build,
    schema: shape!(RegistersOf),
};

/// Registers of one thread.
#[derive(Serialize, JsonSchema)]
pub struct RegistersOf {
    /// OS id.
    pub tid: Tid,
    /// The frame, as numbered in the stack; 0 is the innermost.
    pub frame: usize,
    /// Values by name; null for a register that the dump does not hold, or that was not recovered in that frame.
    pub registers: BTreeMap<&'static str, Option<Addr>>,
    #[serde(skip)]
    in_order: Vec<(&'static str, Option<Addr>, Option<String>)>,
}

fn build(session: &Session, query: &Query, job: &Job) -> Result<Box<dyn Answer>, Error> {
    let index = query.thread_index(session)?;
    let thread = session.os_threads().get(index).ok_or_else(|| Error::Failed(format!("no thread {index}")))?;
    let asked = query.number("f").map(|frame| usize::try_from(frame).unwrap_or(usize::MAX));
    let frame = asked.unwrap_or_else(|| query.frame_index(session, index));
    let registers = match frame {
        0 => thread.registers.clone(),
        frame => in_frame(session, index, thread.tid, frame, job)?,
    };
    let registers =
        registers.map_err(|gap| Error::Failed(format!("the registers of thread {} are missing: {gap}", thread.tid)))?;
    let in_order: Vec<_> = registers
        .iter()
        .map(|(name, value)| (name, value.map(Addr), value.and_then(|value| points_to(session, Addr(value)))))
        .collect();
    let data = RegistersOf {
        tid: thread.tid,
        frame,
        registers: in_order.iter().map(|(name, value, _)| (*name, *value)).collect(),
        in_order,
    };
    Ok(Box::new(Answered { data, problems: Vec::new() }))
}

/// The registers in a frame of the named stack of the thread at `index`. An inlined call has those of the frame that holds it.
fn in_frame(session: &Session, index: usize, tid: Tid, frame: usize, job: &Job) -> Result<Known<Registers>, Error> {
    let process = session.process()?;
    let stack = process.stack(index, job)?;
    let named = process.named(&stack);
    let Some(found) = named.get(frame) else {
        return Err(no_frame(tid, frame, named.len()));
    };
    let missing = || Gap::NotRecorded(format!("those of frame {frame}"));
    Ok(stack.registers_at(found.walked).ok_or_else(missing))
}

/// What an address is, where it is in a module: `reserve(Order&)+0x14`, `g_orders`.
pub fn points_to(session: &Session, addr: Addr) -> Option<String> {
    let process = session.process().ok()?;
    if let Some(symbol) = process.symbol_at(addr) {
        return Some(symbol);
    }
    let name = process.target.name(addr)?;
    let part = name.parts.last()?;
    let function = part.function.as_ref()?;
    let offset = part.start.and_then(|start| addr.since(start)).filter(|offset| *offset > 0);
    Some(offset.map_or_else(|| function.to_string(), |offset| format!("{function}+{offset:#x}")))
}

impl Draw for RegistersOf {
    fn draw(&self) -> Section {
        let why = if self.frame == 0 { "not recorded" } else { "not recovered" };
        let field = |(name, value, what): &(&'static str, Option<Addr>, Option<String>)| {
            let cell = value.map_or_else(|| Cell::unknown(why), |value| Cell::new(Value::Addr(value)));
            let row =
                Row { cells: vec![cell, Cell::text_or_none(what.as_deref())], subject: value.map(Subject::Memory) };
            ((*name).to_owned(), row)
        };
        Section { bodies: vec![Body::Fields(self.in_order.iter().map(field).collect())], ..Section::default() }
    }
}
