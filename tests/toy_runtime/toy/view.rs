//! A view of its own: the methods, with where their code is.

use std::sync::Arc;

use dumpscope::error::Error;
use dumpscope::job::Job;
use dumpscope::model::Addr;
use dumpscope::report::section::{Body, Cell, Column, Row, Section, Table, Value};
use dumpscope::session::Session;
use dumpscope::shape;
use dumpscope::views::{Alias, Answered, Answers, Brought, Draw, Needs, Query, View};
use schemars::JsonSchema;
use serde::Serialize;

use super::Toy;

/// What the runtime brings.
pub(super) static BROUGHT: Brought = Brought(&[VIEW]);

const VIEW: View = View {
    name: "toymethods",
    aliases: &[Alias::of("tm")],
    needs: Needs::Process,
    home_of: &[],
    args: &[],
    pane: Some("Methods"),
    doc: "Methods of the toy runtime, and where their code is",
    help: "toymethods",
    build,
    schema: shape!(Listed),
};

#[derive(Serialize, JsonSchema)]
struct Listed {
    methods: Vec<MethodRow>,
}

#[derive(Serialize, JsonSchema)]
struct MethodRow {
    code: Addr,
    bytes: u64,
    name: String,
}

fn build(session: &Session, _: &Query, job: &Job) -> Answers {
    let runtimes = session.process()?.runtimes(job)?;
    let toy = runtimes.get::<Toy>().ok_or_else(|| Error::Failed("there is no toy runtime here".to_owned()))?;
    let methods = toy.methods.all.iter().map(|method| MethodRow {
        code: method.code,
        bytes: method.end.since(method.code).unwrap_or(0),
        name: method.name.to_string(),
    });
    Ok(Box::new(Answered { data: Listed { methods: methods.collect() }, problems: Vec::new() }))
}

impl Draw for Listed {
    fn draw(&self) -> Section {
        let columns = vec![Column::left("Code"), Column::right("Bytes"), Column::left("Method")];
        let row = |method: &MethodRow| {
            Row::new(vec![
                Cell::new(Value::Addr(method.code)),
                Cell::new(Value::Count(method.bytes)),
                Cell::text(method.name.as_str()),
            ])
        };
        let rows: Vec<Row> = self.methods.iter().map(row).collect();
        Section { bodies: vec![Body::Table(Table { columns, rows: Arc::new(rows) })], ..Section::default() }
    }
}
