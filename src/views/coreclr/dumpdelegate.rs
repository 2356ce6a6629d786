//! `dumpdelegate`: which methods a delegate of .NET calls, and on what.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::with;
use crate::job::Job;
use crate::model::{Addr, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Session;
use crate::shape;
use crate::views::arguments::{Arg, Arity, Kind};
use crate::views::{Answered, Answers, Draw, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "dumpdelegate",
    aliases: &[],
    needs: Needs::Process,
    home_of: &[],
    args: &[Arg::Operand("address", Kind::Address, Arity::One, "the delegate")],
    pane: None,
    doc: "The methods that a delegate of .NET calls, and the objects on which it does",
    help: "A multicast delegate calls several, in this order. A static method has no object.

$ dumpscope shop.core -c 'dumpdelegate 0x7f8f1fc13930'
Object              Method
0x7f8f1fc13830      Museum.Program+<>c.<Objects>b__31_1(System.Object, System.EventArgs)
                    Museum.Program.OnClosed(System.Object, System.EventArgs)",
    build,
    schema: shape!(DumpDelegate),
};

/// A delegate.
#[derive(Serialize, JsonSchema)]
pub struct DumpDelegate {
    /// Where it is.
    pub address: Addr,
    /// What it calls, in order.
    pub targets: Vec<Called>,
    /// How many more there are.
    pub targets_left_out: u64,
}

/// A method that is called.
#[derive(Serialize, JsonSchema)]
pub struct Called {
    /// The object on which it is called; null for a static method.
    pub target: Option<Addr>,
    /// With its type and its parameters; null where it is not known.
    pub method: Option<Arc<str>>,
    /// Why the method is not known; null where it is.
    pub unknown: Option<String>,
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let address = query.address("address").unwrap_or_default();
    let (targets, targets_left_out) = with(session, job, |runtime| runtime.delegate(address))?;
    let targets = targets.into_iter().map(|called| Called {
        target: called.target,
        unknown: called.method.as_ref().err().map(ToString::to_string),
        method: called.method.ok(),
    });
    let data = DumpDelegate { address, targets: targets.collect(), targets_left_out };
    Ok(Box::new(Answered { data, problems: Vec::new() }))
}

impl Draw for DumpDelegate {
    fn draw(&self) -> Section {
        let row = |called: &Called| {
            let target = called.target.map_or(Cell::NONE, |at| Cell::new(Value::Addr(at)).tone(Tone::Link));
            let method = match (&called.method, &called.unknown) {
                (Some(method), _) => Cell::text(&**method),
                (None, why) => Cell::unknown(why.as_deref().unwrap_or("not known")),
            };
            Row { cells: vec![target, method], subject: called.target.map(Subject::Object) }
        };
        let columns = vec![Column::left("Object"), Column::wide("Method", 1)];
        let mut bodies = vec![Body::Table(Table::new(columns, self.targets.iter().map(row).collect::<Vec<_>>()))];
        if self.targets_left_out > 0 {
            let text = format!("… and {} more", self.targets_left_out);
            bodies.push(Body::Lines(vec![Row::new(vec![Cell::text(text).tone(Tone::Dim)])]));
        }
        Section { bodies, ..Section::default() }
    }
}
