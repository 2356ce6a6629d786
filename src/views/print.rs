//! `print`: the value of an expression over the variables of the selected frame and global ones. No code of the target is run.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Alias, Answered, Answers, Arg, Arity, Draw, Kind, Needs, Query, View};
use crate::error::Error;
use crate::job::Job;
use crate::model::value::Role;
use crate::model::{self, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::{Evaluated, Session};
use crate::shape;

/// The view.
pub const VIEW: View = View {
    name: "print",
    aliases: &[Alias::of("p"), Alias::of("inspect")],
    needs: Needs::Process,
    home_of: &[],
    args: &[
        Arg::Operand("expression", Kind::Expression, Arity::Rest, "a variable, and what it leads to"),
        Arg::Value("t", Kind::Thread, "names are those of this thread, in its innermost frame where it is not the selected one"),
    ],
    pane: None,
    doc: "The value of a variable, a member, an element, or what a pointer points to",
    help: "NAME is a variable of the selected frame ('frame N' selects one), a member of the object whose method it is, or a global \
           variable. NAME.MEMBER, NAME->MEMBER, NAME[N], *NAME, &NAME and (TYPE*)0x… lead on. No code of the process is run. In .NET a path begins \
           with a variable of a managed frame, a static field (Shop.Program.s_orders[3].Name; a class alone is all of them) or an object's address \
           (0x7f8f1fc08008.Name), and goes on by fields, properties that have no code, indexes and keys.

$ dumpscope demo -c 'print g_orders._M_mutex.__data.__owner'
Expression  g_orders._M_mutex.__data.__owner
Type        int
Value       4719
At          0x587be8",
    build,
    schema: shape!(Printed),
};

/// Rows of fields and elements that are drawn.
const MAX_ROWS: usize = 400;
/// Fields within fields that are drawn.
const MAX_DEPTH: usize = 4;

/// The value of an expression.
#[derive(Serialize, JsonSchema)]
pub struct Printed {
    /// As it was asked.
    pub expression: String,
    /// The global variables that it names, each with its whole name and its module.
    pub globals: Vec<String>,
    /// Its type and value.
    #[serde(flatten)]
    pub value: model::Value,
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let text = query.text("expression").unwrap_or_default();
    if text.is_empty() {
        return Err(Error::Usage(
            "print takes an expression: print g_orders, print *order, print order->items[2]".to_owned(),
        ));
    }
    let Evaluated { value, globals } = session.process()?.evaluate(text, frame(session, query)?, job)?;
    let data = Printed { expression: text.to_owned(), globals, value };
    Ok(Box::new(Answered { data, problems: Vec::new() }))
}

/// The thread at a position of the one order, and the frame, whose variables are named; `None` where the dump holds no threads.
fn frame(session: &Session, query: &Query) -> Result<Option<(usize, usize)>, Error> {
    if session.os_threads().is_empty() {
        return Ok(None);
    }
    let index = query.thread_index(session)?;
    Ok(Some((index, query.frame_index(session, index))))
}

impl Draw for Printed {
    fn draw(&self) -> Section {
        let ty = self.value.ty.as_ref().map_or("?", |ty| &*ty.name);
        let shown = shown(&self.value);
        let mut fields = vec![
            ("Expression".to_owned(), Row::new(vec![Cell::text(self.expression.as_str()).tone(Tone::Strong)])),
            ("Type".to_owned(), Row::new(vec![Cell::new(Value::Type(ty.into()))])),
            ("Value".to_owned(), Row { cells: vec![shown], subject: self.value.address().map(Subject::Memory) }),
        ];
        if !self.globals.is_empty() {
            let of = Row::new(vec![Cell::text(self.globals.join(", ")).tone(Tone::Dim)]);
            fields.push(("Variable".to_owned(), of));
        }
        if let Some(at) = self.value.location {
            fields.push(("At".to_owned(), Row::about(Subject::Memory(at), vec![Cell::new(Value::Addr(at))])));
        }
        let mut bodies = vec![Body::Fields(fields)];
        bodies.extend(parts(&self.value));
        Section { bodies, ..Section::default() }
    }
}

/// The fields and elements of a value, those of fields in their turn below them; nothing where it has none.
pub(super) fn parts(value: &model::Value) -> Option<Body> {
    let mut rows = Vec::new();
    collect(value, 0, &mut rows);
    if rows.len() > MAX_ROWS {
        rows.truncate(MAX_ROWS);
        let note = Cell::text("… there are more; --json has them").tone(Tone::Guess);
        rows.push(Row::new(vec![Cell::NONE, Cell::NONE, note]));
    }
    let columns = vec![Column::left("Name"), Column::wide("Type", 1).rank(2), Column::wide("Value", 3).rank(1)];
    (!rows.is_empty()).then(|| Body::Table(Table::new(columns, rows)))
}

fn collect(value: &model::Value, depth: usize, rows: &mut Vec<Row>) {
    if depth > MAX_DEPTH || rows.len() > MAX_ROWS {
        return;
    }
    let indent = "  ".repeat(depth);
    for field in value.fields() {
        let name = match (field.name.as_deref(), field.role) {
            (Some(name), _) => format!("{indent}.{name}"),
            (None, Role::Base) => format!("{indent}(base)"),
            (None, Role::Member | Role::Alternative | Role::Key) => format!("{indent}(unnamed)"),
        };
        rows.push(row(name, &field.value));
        collect(&field.value, depth.saturating_add(1), rows);
    }
    for (index, element) in value.elements().iter().enumerate() {
        let (name, element) = match element.keyed() {
            Some((key, element)) => (format!("{indent}[{key}]"), element),
            None => (format!("{indent}[{index}]"), element),
        };
        rows.push(row(name, element));
        collect(element, depth.saturating_add(1), rows);
    }
    if value.left_out() > 0 || value.unread().is_some() {
        let bound = if value.unread().is_some() { "at least " } else { "" };
        let note = Cell::text(format!("{indent}… {bound}{} more", value.left_out())).tone(Tone::Dim);
        let why = value.unread().map_or(Cell::NONE, |gap| Cell::text(gap.to_string()).tone(Tone::Guess));
        rows.push(Row::new(vec![note, Cell::NONE, why]));
    }
}

fn row(name: String, value: &model::Value) -> Row {
    let ty = value.ty.as_ref().map_or("?", |ty| &*ty.name);
    let cells = vec![Cell::text(name), Cell::new(Value::Type(ty.into())).tone(Tone::Dim), shown(value)];
    Row { cells, subject: value.address().or(value.location).map(Subject::Memory) }
}

fn shown(value: &model::Value) -> Cell {
    match &value.content {
        Ok(_) => Cell::text(value.to_string()),
        Err(gap) => Cell::text(format!("? ({gap})")).tone(Tone::Guess),
    }
}
