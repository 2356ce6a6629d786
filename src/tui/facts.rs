//! What is said of one row: its cells in full, and the question that tells more.

use std::collections::BTreeMap;

use super::event::{Question, Window};
use super::heap;
use crate::model::{Addr, Subject, Tid};
use crate::report::section::{Body, Cell, Column, Row, Tone, Value};
use crate::report::words::{self, Room};
use crate::views::{Focus, Given, Query, locks, modules, printexception, stack};

/// A row's detail.
#[derive(Default)]
pub(super) struct Facts {
    /// What to call it: `thread 4719`.
    pub title: String,
    /// The row's cells, one a line, nothing cut.
    pub bodies: Vec<Body>,
    /// What tells more, where something does.
    pub question: Option<Question>,
}

/// Lines of source around a position: beside a list, and on a page of their own.
pub(super) const LINES_BESIDE: u32 = 9;

/// Bytes of memory beside a list.
const BYTES_BESIDE: u64 = 256;

/// What pages know beside their rows.
pub(super) struct Context<'a> {
    /// What threads are called.
    pub labels: &'a BTreeMap<Tid, String>,
    /// Whether stacks show where each frame stands.
    pub pc: bool,
    /// What the page asks of a heap.
    pub page: Option<&'a Query>,
}

impl Context<'_> {
    /// What to call a thread: `4719 worker-3`.
    pub(super) fn thread(&self, tid: Tid) -> String {
        self.labels.get(&tid).cloned().unwrap_or_else(|| format!("thread {tid}"))
    }
}

/// The detail of a row of a table (`columns`) or of anything else (no columns).
pub(super) fn of(row: &Row, columns: &[Column], subject: Option<Subject>, context: &Context<'_>) -> Facts {
    // The answer tells these whole.
    let whole = matches!(
        subject,
        Some(Subject::Frame(..) | Subject::Lock(_) | Subject::Module(_) | Subject::Exception(_) | Subject::Object(_))
    );
    let shown = if whole { &[] } else { columns };
    let mut fields: Vec<(String, Row)> = Vec::new();
    for (column, cell) in shown.iter().zip(&row.cells) {
        let shown = !column.title.is_empty() && cell.value != Value::None && !is_said(column.title, subject);
        if shown {
            let tone = if cell.tone == Tone::Dim { Tone::Plain } else { cell.tone };
            let value = Row { cells: vec![Cell { value: cell.value.clone(), tone }], subject: opens(&cell.value) };
            fields.push((column.title.to_owned(), value));
        }
    }
    let bodies = if fields.is_empty() { Vec::new() } else { vec![Body::Fields(fields)] };
    Facts { title: title(row, columns, subject, context), bodies, question: question(subject, context) }
}

/// The question for a thread's stack.
pub(super) fn stack_of(tid: Tid, context: &Context<'_>) -> Question {
    let query = Query::at(Focus { thread: Some(tid), ..Focus::default() });
    Question::View(&stack::VIEW, if context.pc { query.flagged("pc") } else { query })
}

/// Columns that say what the title or the answer below say too.
fn is_said(column: &str, subject: Option<Subject>) -> bool {
    let of_types = matches!(subject, Some(Subject::Type(_) | Subject::Namespace(_)));
    // What is rounded in the list is exact here, and there is little room for more.
    let is_counted = of_types && matches!(column, "Objects" | "Share" | "Types");
    column == "#" || is_counted || matches!(column, "Tid" | "Thread") && matches!(subject, Some(Subject::Thread(_)))
}

/// What a value of a detail opens.
fn opens(value: &Value) -> Option<Subject> {
    match value {
        Value::Tid(tid) => Some(Subject::Thread(*tid)),
        Value::Addr(addr) => Some(Subject::Memory(*addr)),
        _ => None,
    }
}

fn title(row: &Row, columns: &[Column], subject: Option<Subject>, context: &Context<'_>) -> String {
    // A line that is no table's begins with a drawing, or with the beginning of a sentence.
    let name_or = |otherwise: String| if columns.is_empty() { linked(row).unwrap_or(otherwise) } else { first(row) };
    match subject {
        Some(Subject::Thread(tid)) => context.thread(tid),
        Some(Subject::Frame(_, index)) => format!("frame {index}"),
        Some(Subject::Lock(addr)) => format!("lock {}", name_or(addr.to_string())),
        Some(Subject::Module(addr)) => match row.cells.iter().find(|cell| matches!(cell.value, Value::Path(_))) {
            Some(path) => {
                let path = words::words(&path.value, Room::Column);
                format!("module {}", path.rsplit('/').next().unwrap_or(&path))
            }
            None => format!("module {addr}"),
        },
        Some(Subject::Memory(addr)) => format!("memory {addr}"),
        Some(Subject::Exception(index)) => {
            exception_type(row, columns, Room::Column).unwrap_or_else(|| format!("exception {index}"))
        }
        Some(Subject::Type(id) | Subject::Namespace(id)) => {
            let name = row.cells.iter().find(|cell| matches!(cell.value, Value::Text(_)));
            name.map_or_else(|| format!("type {id}"), |name| words::words(&name.value, Room::Column).into_owned())
        }
        Some(Subject::Object(addr)) => addr.to_string(),
        Some(Subject::Command(name)) => format!("help {name}"),
        Some(Subject::Capture) => "dump".to_owned(),
        None => first(row),
    }
}

/// The type of the exception that a row of a table is about. Its thread, named before it, may go by a function.
pub(super) fn exception_type(row: &Row, columns: &[Column], room: Room) -> Option<String> {
    let column = columns.iter().position(|column| column.title == "Type")?;
    Some(words::words(&row.cells.get(column)?.value, room).into_owned())
}

/// The last of the row's words that one can open.
fn linked(row: &Row) -> Option<String> {
    let links = row.cells.iter().filter(|cell| cell.tone == Tone::Link);
    links.map(|cell| words::words(&cell.value, Room::Column).into_owned()).rfind(|text| !text.trim().is_empty())
}

/// A row's first words.
fn first(row: &Row) -> String {
    let words = row.cells.iter().map(|cell| words::words(&cell.value, Room::Column));
    words.into_iter().find(|text| !text.is_empty()).unwrap_or_default().into_owned()
}

fn question(subject: Option<Subject>, context: &Context<'_>) -> Option<Question> {
    let about = |view, addr: Addr| Some(Question::View(view, Query::default().with("address", Given::Address(addr))));
    match subject? {
        Subject::Thread(tid) => Some(stack_of(tid, context)),
        Subject::Frame(tid, index) => Some(Question::Frame { tid, index, around: LINES_BESIDE }),
        Subject::Lock(addr) => about(&locks::VIEW, addr),
        Subject::Module(addr) => about(&modules::VIEW, addr),
        Subject::Exception(index) => {
            Some(Question::View(&printexception::VIEW, Query::default().with("n", Given::Number(index as u64))))
        }
        Subject::Type(id) => Some(heap::first_of_type(id, context.page)),
        Subject::Namespace(id) => Some(heap::of_namespace(id, context.page)),
        Subject::Object(addr) => Some(heap::object(addr)),
        Subject::Command(name) => Some(Question::Line { line: format!("help {name}"), focus: Focus::default() }),
        Subject::Memory(addr) => {
            Some(Question::Memory(Window { at: Some(addr), thread: None, bytes: BYTES_BESIDE, per_row: 8 }))
        }
        Subject::Capture => None,
    }
}
