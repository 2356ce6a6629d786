//! `summary`: one screen that says why.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Answer, Answered, Draw, Query, View};
use crate::error::Error;
use crate::job::Job;
use crate::report::section::{Body, Cell, Row, Section};
use crate::session::Session;

/// The view.
pub const VIEW: View = View {
    name: "summary",
    aliases: &["triage"],
    pane: Some("Summary"),
    doc: "One screen: what the process was, why it stopped, deadlocks, exceptions, what is missing",
    help: "summary",
    build,
    schema: || schemars::schema_for!(Summary),
};

/// What the process was.
#[derive(Serialize, JsonSchema)]
pub struct Summary {
    /// Executable and arguments; null when the dump does not record them.
    pub args: Option<String>,
    /// Threads in the dump.
    pub threads: usize,
    /// The fatal signal's name; null where none ended the process.
    pub signal: Option<String>,
}

fn build(session: &Session, query: &Query, _job: &Job) -> Result<Box<dyn Answer>, Error> {
    query.only(&["heap"])?;
    let capture = &session.target.capture;
    let data = Summary {
        args: capture.process.args.clone().ok(),
        threads: capture.threads.len(),
        signal: capture.signal.as_ref().ok().and_then(Option::as_ref).map(|signal| signal.name()),
    };
    Ok(Box::new(Answered { data, problems: Vec::new() }))
}

impl Draw for Summary {
    fn draw(&self) -> Section {
        let fields = vec![
            ("Process".to_owned(), Row::new(vec![Cell::text_or_none(self.args.as_deref())])),
            ("Threads".to_owned(), Row::new(vec![Cell::text(self.threads.to_string())])),
            ("Signal".to_owned(), Row::new(vec![Cell::text_or_none(self.signal.as_deref())])),
        ];
        Section { bodies: vec![Body::Fields(fields)], ..Section::default() }
    }
}
