//! `runtimes`: the runtimes in the process, those that this program reads and the others.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Answered, Answers, Draw, Needs, Query, View};
use crate::job::Job;
use crate::model::{RecognisedRuntime, RuntimeKind};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone};
use crate::session::Session;
use crate::shape;

/// The view.
pub const VIEW: View = View {
    name: "runtimes",
    aliases: &[],
    needs: Needs::Process,
    home_of: &[],
    args: &[],
    pane: None,
    doc: "The runtimes in the process with their versions, by what they were recognised, and what of them is not read",
    help:
        "The one that runs its code first. A process can hold several: Python that runs .NET, a server with Lua in it. \
           Native code alone has none. Of .NET 'eeversion' says more.

$ dumpscope demo -c runtimes
No runtime was recognised: native code only.",
    build,
    schema: shape!(RuntimesFound),
};

/// Every runtime that was recognised.
#[derive(Serialize, JsonSchema)]
pub struct RuntimesFound {
    /// The one that runs its code first; empty where there is native code only.
    pub runtimes: Vec<RuntimeRow>,
}

/// A runtime in the process.
#[derive(Serialize, JsonSchema)]
pub struct RuntimeRow {
    /// Which, as `ps` names it: `jvm`, `dotnet`, `go` …
    pub kind: RuntimeKind,
    /// The same for people: `JVM`.
    pub name: &'static str,
    /// Its version; null where it could not be found.
    pub version: Option<String>,
    /// What it was recognised by.
    pub evidence: String,
    /// What of it is not read: no conclusion rests on that.
    pub not_read: Vec<&'static str>,
    /// Why it is taken not to run although its library is there; null where it runs or that is not known.
    pub not_started: Option<String>,
}

impl RuntimeRow {
    pub(super) fn of(runtime: &RecognisedRuntime) -> RuntimeRow {
        RuntimeRow {
            kind: runtime.kind,
            name: runtime.kind.words(),
            version: runtime.version.clone(),
            evidence: runtime.evidence.clone(),
            not_read: runtime.not_read().to_vec(),
            not_started: runtime.idle.clone(),
        }
    }
}

fn build(session: &Session, _: &Query, job: &Job) -> Answers {
    let runtimes = session.recognised(job)?.iter().map(RuntimeRow::of).collect();
    Ok(Box::new(Answered { data: RuntimesFound { runtimes }, problems: Vec::new() }))
}

impl Draw for RuntimesFound {
    fn draw(&self) -> Section {
        if self.runtimes.is_empty() {
            let said = Row::text("No runtime was recognised: native code only.");
            return Section { bodies: vec![Body::Lines(vec![said])], ..Section::default() };
        }
        let columns = [
            Column::rigid("Runtime"),
            Column::left("State").rank(3),
            Column::left("Not read").rank(1),
            Column::wide("Recognised by", 1).min(24),
        ];
        let row = |runtime: &RuntimeRow| {
            let name = match &runtime.version {
                Some(version) => format!("{} {version}", runtime.name),
                None => runtime.name.to_owned(),
            };
            let state = match &runtime.not_started {
                Some(why) => Cell::text(format!("not started: {why}")),
                None => Cell::text("running"),
            };
            Row::new(vec![
                Cell::text(name).tone(Tone::Strong),
                state,
                Cell::text(runtime.not_read.join(", ")),
                Cell::text(runtime.evidence.as_str()),
            ])
        };
        let table = Table::new(columns.to_vec(), self.runtimes.iter().map(row).collect());
        Section { bodies: vec![Body::Table(table)], ..Section::default() }
    }
}
