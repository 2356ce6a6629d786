//! `verifyobj ADDR`: whether one object of .NET is sound.

use schemars::JsonSchema;
use serde::Serialize;

use super::with;
use crate::error::Error;
use crate::job::Job;
use crate::model::Addr;
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Session;
use crate::shape;
use crate::views::verifyheap::{self, Finding};
use crate::views::{Answered, Answers, Arg, Arity, Draw, Kind, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "verifyobj",
    aliases: &[],
    needs: Needs::Process,
    home_of: &[],
    args: &[Arg::Operand("address", Kind::Address, Arity::One, "of the object")],
    pane: None,
    doc: "Whether one object of .NET is sound: a walk meets it, its class is one, what it refers to are objects, its header agrees with the SyncBlocks",
    help: "'verifyheap' checks all of them.

$ dumpscope shop.core -c 'verifyobj 0x7f4700c08c18'
0x7f4700c08c18 is sound",
    build,
    schema: shape!(VerifiedObject),
};

/// What is wrong with an object.
#[derive(Serialize, JsonSchema)]
pub struct VerifiedObject {
    /// Its address.
    pub address: Addr,
    /// `damaged`; `unsure` where nothing is wrong for certain, and not everything could be read; else `intact`.
    pub verdict: &'static str,
    /// What is wrong, or could not be read.
    pub findings: Vec<Finding>,
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let missing = || Error::Usage("verifyobj takes the address of an object".to_owned());
    let address = query.address("address").ok_or_else(missing)?;
    let problems = with(session, job, |runtime| runtime.verify_object(address, job))?;
    let findings: Vec<Finding> = problems.into_iter().map(Finding::of).collect();
    let verdict = verifyheap::verdict(&findings);
    Ok(Box::new(Answered { data: VerifiedObject { address, verdict, findings }, problems: Vec::new() }))
}

impl Draw for VerifiedObject {
    fn draw(&self) -> Section {
        let (said, tone) = match self.verdict {
            "intact" => ("is sound", Tone::Plain),
            "damaged" => ("is not sound", Tone::Bad),
            _ => ("may be sound: not everything is known", Tone::Guess),
        };
        let line = Row::new(vec![Cell::new(Value::Object(self.address)), Cell::text(said).tone(tone)]);
        let mut bodies = vec![Body::Lines(vec![line])];
        if !self.findings.is_empty() {
            let columns = vec![Column::rigid("Address"), Column::wide("What", 1)];
            bodies.push(Body::Table(Table::new(columns, self.findings.iter().map(Finding::row).collect())));
        }
        Section { bodies, ..Section::default() }
    }
}
