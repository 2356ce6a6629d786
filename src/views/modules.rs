//! `modules`: what was loaded where, and where its symbols came from, or why there are none.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Alias, Answer, Answered, Arg, Arity, Draw, Kind, Needs, Query, View};
use crate::error::Error;
use crate::job::Job;
use crate::model::{DebugFile, ModuleRow, Partial, Subject, SubjectKind, VerificationState, VerifiedBy};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Session;
use crate::shape;

/// The view.
pub const VIEW: View = View {
    name: "modules",
    aliases: &[Alias::of("lm"), Alias::of("clrmodules")],
    needs: Needs::Process,
    home_of: &[SubjectKind::Module],
    args: &[
        Arg::Operand(
            "address",
            Kind::Module,
            Arity::Optional,
            "the module that holds this address: its files, and where they were looked for",
        ),
        Arg::Flag("list", "the table alone"),
        Arg::Flag("v", "each module whole, as one that is named is"),
        Arg::Apart("list", &["v"]),
    ],
    pane: Some("Modules"),
    doc: "Loaded modules: range, path, build id, where the symbols came from, or why there are none",
    help: "A file is verified by its build id; where the dump has none, by what the dump holds of the module. \
           One that cannot be verified is used, and what rests on it is likely at best.

$ dumpscope demo -c modules
Base            End             Symbols  Build id      Path
0x400000        0x58e000        dwarf    bcb40928869f  /srv/orders-api
0x7fd5df269000  0x7fd5df26b000  dynsym   e025128345ce  [vdso]",
    build,
    schema: shape!(Modules),
};

/// Loaded modules.
#[derive(Serialize, JsonSchema)]
pub struct Modules {
    /// Ascending by base; with ADDR the one that holds it.
    pub modules: Vec<ModuleRow>,
    /// The PDBs that the program's own .NET assemblies state, at hand or not; empty with ADDR, `--list` or `-v`.
    pub debug_files: Vec<DebugFile>,
    /// How much text tells.
    #[serde(skip)]
    told: Told,
}

enum Told {
    /// The table, then what was looked for where something is missing.
    All,
    /// The table alone.
    List,
    /// Each module whole.
    Each,
}

fn build(session: &Session, query: &Query, job: &Job) -> Result<Box<dyn Answer>, Error> {
    let mut modules = session.modules(job)?;
    let address = query.address("address");
    if let Some(address) = address {
        modules.retain(|module| (module.base..module.end).contains(&address));
        if modules.is_empty() {
            return Err(Error::Failed(format!("no module holds {address}; 'modules' lists their ranges")));
        }
    }
    let told = match (query.flag("list"), query.flag("v") || address.is_some()) {
        (true, _) => Told::List,
        (false, true) => Told::Each,
        (false, false) => Told::All,
    };
    let Partial { value: debug_files, problems } = match told {
        Told::All => session.process()?.runtimes(job)?.debug_files(job)?,
        Told::List | Told::Each => Partial::default(),
    };
    Ok(Box::new(Answered { data: Modules { modules, debug_files, told }, problems }))
}

impl Draw for Modules {
    fn draw(&self) -> Section {
        if let Told::Each = self.told {
            let bodies =
                self.modules.iter().flat_map(|module| [Body::Fields(fields(module)), looked_for(module, false)]);
            return Section { bodies: bodies.collect(), ..Section::default() };
        }
        let columns = vec![
            Column::rigid("Base"),
            Column::rigid("End").rank(4),
            Column::left("Symbols").min(6),
            Column::left("Build id").rank(3),
            Column::wide("Path", 1).rank(1).min(24),
        ];
        if self.modules.is_empty() {
            let said = Row::text("No modules: the dump records none, and none was found in its memory.");
            return Section { bodies: vec![Body::Lines(vec![said])], ..Section::default() };
        }
        let rows = self.modules.iter().map(row).collect();
        let mut bodies = vec![Body::Table(Table::new(columns, rows))];
        if let Told::All = self.told {
            let missing = self.modules.iter().filter(|module| !module.symbols.tried.is_empty());
            bodies.extend(missing.map(|module| looked_for(module, true)));
            bodies.extend(self.without_lines());
        }
        Section { bodies, ..Section::default() }
    }
}

impl Modules {
    /// The assemblies whose PDB is not at hand, and which file would be it; those of which what was found is refused, and why.
    fn without_lines(&self) -> Vec<Body> {
        let missing = self.debug_files.iter().filter(|file| !file.found);
        let (refused, missing): (Vec<&DebugFile>, _) =
            missing.partition(|file| file.file.is_some() && file.why.is_some());
        let table = |heading: &str, files: Vec<&DebugFile>, last: Option<Column>| {
            let columns = [
                Column::left("Assembly").rank(1),
                Column::left("Version").rank(3),
                Column::left("PDB").rank(1),
                Column::wide("Id", 1).rank(2).min(12),
            ];
            let has_why = last.is_some();
            let rows = files.iter().map(|file| without_lines(file, has_why)).collect();
            [
                Body::Heading(heading.to_owned()),
                Body::Table(Table::new(columns.into_iter().chain(last).collect(), rows)),
            ]
        };
        let mut bodies = Vec::new();
        if !missing.is_empty() {
            let heading = "Assemblies without source lines: these PDBs are not at hand (--symbols DIR names a folder)";
            bodies.extend(table(heading, missing, None));
        }
        if !refused.is_empty() {
            let heading = "Assemblies without source lines: what was found of these PDBs is refused";
            bodies.extend(table(heading, refused, Some(Column::wide("Why", 2).min(24))));
        }
        bodies
    }
}

fn without_lines(file: &DebugFile, has_why: bool) -> Row {
    let name = match (&file.file, &file.why) {
        (Some(name), _) => Cell::text(name.as_str()),
        (None, Some(why)) => Cell::unknown(why),
        (None, None) => Cell::NONE,
    };
    let id = file.id.as_ref().zip(file.age).map(|(id, age)| format!("{id}, age {age}"));
    let mut cells = vec![
        Cell::text(file.assembly.as_str()),
        file.version.as_deref().map_or_else(|| Cell::unknown("its table is not in the dump"), Cell::text),
        name,
        Cell::text_or_none(id).tone(Tone::Dim),
    ];
    if has_why {
        cells.push(Cell::text_or_none(file.why.clone()).tone(Tone::Bad));
    }
    Row::new(cells)
}

fn path(module: &ModuleRow) -> &str {
    module.path.as_deref().unwrap_or("[vdso]")
}

fn symbols(module: &ModuleRow) -> Cell {
    let (kind, state) = (module.symbols.kind.as_str(), module.symbols.verification.state);
    // The kernel's own module is never anywhere else.
    let source = module.symbols.source.as_deref().filter(|_| module.path.is_some());
    match (kind, source, state) {
        ("none", ..) => Cell::text("none").tone(Tone::Bad),
        (kind, Some(source), _) => Cell::text(format!("{kind} of {source}")),
        (kind, None, VerificationState::Unverified) => Cell::text(format!("{kind}, not verified")).tone(Tone::Guess),
        (kind, None, _) => Cell::text(kind),
    }
}

/// Whether its files are those that were mapped, and how that is known.
fn verified(module: &ModuleRow) -> Cell {
    let verification = &module.symbols.verification;
    let with = |words: &str| match &verification.detail {
        Some(detail) => format!("{words}: {detail}"),
        None => words.to_owned(),
    };
    match (verification.state, verification.by) {
        (VerificationState::Verified, by) => Cell::text(match by {
            Some(VerifiedBy::Contents) => with("by its contents"),
            Some(VerifiedBy::Memory) => "the dump itself holds it".to_owned(),
            Some(VerifiedBy::BuildId) | None => "by its build id".to_owned(),
        }),
        (VerificationState::Unverified, _) => Cell::text(with("no")).tone(Tone::Guess),
        (VerificationState::Refused, _) => Cell::text(with("no, refused")).tone(Tone::Bad),
        (VerificationState::Missing, _) => Cell::text(with("no file")).tone(Tone::Guess),
    }
}

/// Where a module's files were looked for; nothing where that is of no interest.
fn looked_for(module: &ModuleRow, named: bool) -> Body {
    let tried = &module.symbols.tried;
    let title = match (tried.is_empty(), named) {
        (true, _) => None,
        (false, true) => Some(format!("{}: what was looked for:", path(module))),
        (false, false) => Some("What was looked for:".to_owned()),
    };
    let title = title.map(|title| Row::about(Subject::Module(module.base), vec![Cell::text(title).tone(Tone::Guess)]));
    let tried = tried.iter().map(|tried| Row::new(vec![Cell::text(format!("  {tried}")).tone(Tone::Dim)]));
    Body::Lines(title.into_iter().chain(tried).collect())
}

/// All that is known of a module.
fn fields(module: &ModuleRow) -> Vec<(String, Row)> {
    let file = |path: &Option<String>, none: &str| match path {
        Some(path) => Cell::new(Value::Path(path.as_str().into())),
        None => Cell::unknown(none),
    };
    let start = Row::about(Subject::Memory(module.base), vec![Cell::new(Value::Addr(module.base))]);
    let build_id = module.build_id.as_deref().map_or_else(|| Cell::unknown("none is recorded"), Cell::text);
    let fields = [
        ("Path", Row::new(vec![Cell::new(Value::Path(path(module).into())).tone(Tone::Strong)])),
        ("Base", start),
        ("End", Row::new(vec![Cell::new(Value::Addr(module.end))])),
        ("Build id", Row::new(vec![build_id])),
        ("Symbols", Row::new(vec![symbols(module)])),
        ("Verified", Row::new(vec![verified(module)])),
        ("File", Row::new(vec![file(&module.symbols.file, "no file was found that is this module's")])),
        (
            "Debug file",
            Row::new(vec![match &module.symbols.debug_file {
                Some(path) => Cell::new(Value::Path(path.as_str().into())),
                None => Cell::NONE,
            }]),
        ),
    ];
    let is_there = |(_, row): &(&str, Row)| row.cells.iter().any(|cell| cell.value != Value::None);
    fields.into_iter().filter(is_there).map(|(label, row)| (label.to_owned(), row)).collect()
}

fn row(module: &ModuleRow) -> Row {
    let build_id = match &module.build_id {
        Some(id) => Cell::text(id.chars().take(12).collect::<String>()).tone(Tone::Dim),
        None if module.symbols.verification.by == Some(VerifiedBy::Contents) => {
            Cell::text("same contents").tone(Tone::Dim)
        }
        None => Cell::unknown("no build id"),
    };
    Row::about(
        Subject::Module(module.base),
        vec![
            Cell::new(Value::Addr(module.base)).tone(Tone::Dim),
            Cell::new(Value::Addr(module.end)).tone(Tone::Dim),
            symbols(module),
            build_id,
            Cell::new(Value::Path(path(module).into())),
        ],
    )
}
