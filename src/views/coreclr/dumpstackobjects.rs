//! `dumpstackobjects`: every word of a thread's stack and registers that is the address of an object of .NET.

use schemars::JsonSchema;
use serde::Serialize;

use super::by_type::type_cell;
use super::listnearobj::NearRow;
use super::with;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Partial, Subject, Tid};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Session;
use crate::session::coreclr::StackObject;
use crate::shape;
use crate::views::{Alias, Answered, Answers, Arg, Arity, Draw, Kind, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "dumpstackobjects",
    aliases: &[Alias::of("dso")],
    needs: Needs::Process,
    home_of: &[],
    args: &[
        Arg::Operand("top", Kind::Address, Arity::Optional, "only the stack from here on, and no registers"),
        Arg::Operand("bottom", Kind::Address, Arity::Optional, "and before this"),
        Arg::Value("t", Kind::Thread, "this thread, not the selected one"),
        Arg::Flag("verify", "only what a walk over the whole heap meets as an object"),
    ],
    pane: None,
    doc: "Every word of a thread's stack and registers that is the address of an object of .NET",
    help: "It may refer to the object, or be left from a call that has ended, or be a number by chance: 'roots -t TID' tells what the thread does \
           hold. Without -verify what begins like an object counts as one, which may have been freed.

$ dumpscope shop.core -c dso
At                      Object  Type                             Text
0x7ffc8693de50  0x7f46fe813560  System.IO.TextWriter+SyncTextWriter
0x7ffc8693dec0  0x7f46fe812d90  System.String                    9.0.22
0x7ffc8693ded0  0x7f46fe812d70  System.Version
…",
    build,
    schema: shape!(StackObjects),
};

/// Words that are addresses of objects.
#[derive(Serialize, JsonSchema)]
pub struct StackObjects {
    /// The thread.
    pub tid: Tid,
    /// Registers first, then the stack from its top.
    pub objects: Vec<StackRow>,
}

/// A word that is the address of an object.
#[derive(Serialize, JsonSchema)]
pub struct StackRow {
    /// Where on the stack it is; null for a register.
    pub at: Option<Addr>,
    /// The register; null for a word of the stack.
    pub register: Option<&'static str>,
    /// The object.
    pub object: NearRow,
    /// Of a text how it begins; null for what is none.
    pub text: Option<String>,
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let index = query.thread_index(session)?;
    let thread = session.os_threads().get(index).ok_or_else(|| Error::Failed(format!("no thread {index}")))?;
    let bounds = match (query.address("top"), query.address("bottom")) {
        (Some(top), Some(bottom)) if bottom <= top => {
            return Err(Error::Usage(format!("{bottom} is not behind {top}")));
        }
        (Some(top), Some(bottom)) => Some(top..bottom),
        (Some(top), None) => {
            let target = session.target()?;
            let region =
                target.memory.region_at(top).ok_or_else(|| Error::Failed(format!("nothing is mapped at {top}")))?;
            Some(top..region.end)
        }
        (None, _) => None,
    };
    let Partial { value: mut found, problems } =
        with(session, job, |runtime| runtime.stack_objects(thread, bounds, job))?;
    if query.flag("verify") {
        let objects = session.heap(job)?.objects(job)?;
        found.retain(|of| objects.at(of.object.address).is_some());
    }
    let row =
        |of: StackObject| StackRow { at: of.at, register: of.register, object: NearRow::of(&of.object), text: of.text };
    let data = StackObjects { tid: thread.tid, objects: found.into_iter().map(row).collect() };
    Ok(Box::new(Answered { data, problems }))
}

impl Draw for StackObjects {
    fn draw(&self) -> Section {
        if self.objects.is_empty() {
            let said =
                vec![Cell::text("No word is the address of an object in thread"), Cell::new(Value::Tid(self.tid))];
            return Section { bodies: vec![Body::Lines(vec![Row::new(said)])], ..Section::default() };
        }
        let columns = vec![
            Column::left("At"),
            Column::right("Object"),
            Column::wide("Type", 2).rank(1).enough(26),
            Column::wide("Text", 1).rank(3),
        ];
        let row = |row: &StackRow| {
            let at = match (row.register, row.at) {
                (Some(register), _) => Cell::text(register),
                (None, Some(at)) => Cell::new(Value::Addr(at)).tone(Tone::Dim),
                (None, None) => Cell::NONE,
            };
            let cells = vec![
                at,
                Cell::new(Value::Object(row.object.address)).tone(Tone::Link),
                type_cell(row.object.type_name.as_ref()),
                Cell::text_or_none(row.text.as_deref()),
            ];
            Row::about(Subject::Object(row.object.address), cells)
        };
        let table = Table::new(columns, self.objects.iter().map(row).collect());
        Section { bodies: vec![Body::Table(table)], ..Section::default() }
    }
}
