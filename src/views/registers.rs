//! `registers`: the selected thread's registers in the selected frame.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Alias, Answer, Answered, Arg, Draw, Kind, Needs, Query, View};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Subject, Tid};
use crate::report::section::{Body, Cell, Row, Section, Value};
use crate::session::Session;

/// The view.
pub const VIEW: View = View {
    name: "registers",
    aliases: &[Alias::of("r")],
    needs: Needs::Process,
    home_of: &[],
    args: &[Arg::Value("t", Kind::Thread, "this thread, not the selected one")],
    pane: None,
    doc: "The selected thread's registers",
    help: "The registers as the dump recorded them.\n\nrip  0x55d0a0001234  reserve(Order&)+0x14\nrax  0x0",
    build,
    schema: || schemars::schema_for!(RegistersOf),
};

/// Registers of one thread.
#[derive(Serialize, JsonSchema)]
pub struct RegistersOf {
    /// OS id.
    pub tid: Tid,
    /// Values by name; null for a register that the dump does not hold.
    pub registers: BTreeMap<&'static str, Option<Addr>>,
    #[serde(skip)]
    in_order: Vec<(&'static str, Option<Addr>, Option<String>)>,
}

fn build(session: &Session, query: &Query, _job: &Job) -> Result<Box<dyn Answer>, Error> {
    let index = query.thread_index(session)?;
    let thread = session.os_threads().get(index).ok_or_else(|| Error::Failed(format!("no thread {index}")))?;
    let registers = thread
        .registers
        .as_ref()
        .map_err(|gap| Error::Failed(format!("the registers of thread {} are missing: {gap}", thread.tid)))?;
    let in_order: Vec<_> = registers
        .iter()
        .map(|(name, value)| (name, value.map(Addr), value.and_then(|value| points_to(session, Addr(value)))))
        .collect();
    let data = RegistersOf {
        tid: thread.tid,
        registers: in_order.iter().map(|(name, value, _)| (*name, *value)).collect(),
        in_order,
    };
    Ok(Box::new(Answered { data, problems: Vec::new() }))
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
        let field = |(name, value, what): &(&'static str, Option<Addr>, Option<String>)| {
            let cell = value.map_or_else(|| Cell::unknown("not recorded"), |value| Cell::new(Value::Addr(value)));
            let row =
                Row { cells: vec![cell, Cell::text_or_none(what.as_deref())], subject: value.map(Subject::Memory) };
            ((*name).to_owned(), row)
        };
        Section { bodies: vec![Body::Fields(self.in_order.iter().map(field).collect())], ..Section::default() }
    }
}
