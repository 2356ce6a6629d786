//! `modules`: what was loaded where, and where its symbols came from, or why there are none.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Answer, Answered, Draw, Query, View};
use crate::error::Error;
use crate::job::Job;
use crate::model::{ModuleRow, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Session;

/// The view.
pub const VIEW: View = View {
    name: "modules",
    aliases: &["lm", "clrmodules"],
    pane: Some("Modules"),
    doc: "Loaded modules: range, path, build id, where the symbols came from, or why there are none",
    help: "modules\n\nRange                          Symbols  Build id   Path\n0x55d0a0000000-0x55d0a0005000  dwarf    \
           3f2a91c0…  /srv/orders-api\n0x7f1200000000-0x7f12001d0000  dynsym   51657f81…  /lib/libc.so.6",
    build,
    schema: || schemars::schema_for!(Modules),
};

/// Loaded modules.
#[derive(Serialize, JsonSchema)]
pub struct Modules {
    /// Ascending by base.
    pub modules: Vec<ModuleRow>,
}

fn build(session: &Session, query: &Query, job: &Job) -> Result<Box<dyn Answer>, Error> {
    query.only(&["v"])?;
    let data = Modules { modules: session.modules(job)? };
    Ok(Box::new(Answered { data, problems: Vec::new() }))
}

impl Draw for Modules {
    fn draw(&self) -> Section {
        let columns = vec![
            Column::rigid("Base"),
            Column::rigid("End"),
            Column::left("Symbols"),
            Column::left("Build id"),
            Column::wide("Path", 1),
        ];
        let rows = self.modules.iter().map(row).collect();
        let mut bodies = vec![Body::Table(Table { columns, rows: Arc::new(rows) })];
        for module in self.modules.iter().filter(|module| !module.symbols.tried.is_empty()) {
            let path = module.path.as_deref().unwrap_or("[vdso]");
            let mut lines = vec![Row::about(
                Subject::Module(module.base),
                vec![Cell::text(format!("{path}: what was looked for:")).tone(Tone::Guess)],
            )];
            lines.extend(
                module
                    .symbols
                    .tried
                    .iter()
                    .map(|tried| Row::new(vec![Cell::text(format!("  {tried}")).tone(Tone::Dim)])),
            );
            bodies.push(Body::Lines(lines));
        }
        Section { bodies, ..Section::default() }
    }
}

fn row(module: &ModuleRow) -> Row {
    let symbols = match (module.symbols.kind.as_str(), &module.symbols.file) {
        ("none", _) => Cell::text("none").tone(Tone::Bad),
        (kind, _) => Cell::text(kind.to_owned()),
    };
    let build_id = match &module.build_id {
        Some(id) => Cell::text(id.chars().take(12).collect::<String>()).tone(Tone::Dim),
        None => Cell::unknown("no build id"),
    };
    Row::about(
        Subject::Module(module.base),
        vec![
            Cell::new(Value::Addr(module.base)).tone(Tone::Dim),
            Cell::new(Value::Addr(module.end)).tone(Tone::Dim),
            symbols,
            build_id,
            Cell::new(Value::Path(module.path.as_deref().unwrap_or("[vdso]").into())),
        ],
    )
}
