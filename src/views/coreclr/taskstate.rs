//! `taskstate`: the state of a task in words.

use schemars::JsonSchema;
use serde::Serialize;

use super::with;
use crate::error::Error;
use crate::job::Job;
use crate::report::section::{Body, Cell, Row, Section, Tone, Value};
use crate::session::Session;
use crate::session::coreclr::Status;
use crate::shape;
use crate::views::{Alias, Answered, Answers, Arg, Arity, Draw, Kind, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "taskstate",
    aliases: &[Alias::of("tks")],
    needs: Needs::Process,
    home_of: &[],
    args: &[
        Arg::Operand("address", Kind::Address, Arity::Optional, "the task"),
        Arg::Value("v", Kind::Count, "a state word, decimal, in place of a task"),
        Arg::Value("value", Kind::Count, "the same"),
        Arg::Apart("address", &["v", "value"]),
    ],
    pane: None,
    doc: "The state of a task in words, by its address or by its m_stateFlags",
    help: "The status is what `Task.Status` would give; the bits are those of the word, options of the task's making among them.

$ dumpscope shop.core -c 'taskstate -v 33555456'
Value   33,555,456
Status  WaitingForActivation
Bits    PromiseTask, WaitingForActivation",
    build,
    schema: shape!(TaskState),
};

/// A task's state.
#[derive(Serialize, JsonSchema)]
pub struct TaskState {
    /// The state word.
    pub value: u32,
    /// As `Task.Status` has it.
    pub status: &'static str,
    /// The word's bits by name.
    pub bits: Vec<String>,
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let given = query.number("v").or(query.number("value"));
    let status = match (query.address("address"), given) {
        (Some(at), _) => with(session, job, |runtime| {
            runtime.task_status(at).map_err(|gap| Error::Failed(format!("no task at {at}: {gap}")))
        })?,
        (None, Some(value)) => {
            let word = u32::try_from(value).map_err(|_| Error::Usage("a state word has 32 bits".to_owned()))?;
            Status(word)
        }
        (None, None) => return Err(Error::Usage("taskstate takes the address of a task, or -v VALUE".to_owned())),
    };
    let data = TaskState { value: status.0, status: status.name(), bits: status.words() };
    Ok(Box::new(Answered { data, problems: Vec::new() }))
}

impl Draw for TaskState {
    fn draw(&self) -> Section {
        let fields = [
            ("Value", Cell::new(Value::Count(self.value.into()))),
            ("Status", Cell::text(self.status).tone(Tone::Strong)),
            ("Bits", Cell::text(self.bits.join(", "))),
        ];
        let fields = fields.map(|(label, cell)| (label.to_owned(), Row::new(vec![cell]))).to_vec();
        Section { bodies: vec![Body::Fields(fields)], ..Section::default() }
    }
}
