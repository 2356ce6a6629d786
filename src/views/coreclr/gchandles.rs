//! `gchandles`: handles of .NET's collector, what each does to its object, and how many there are of each kind.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::by_type::{self, TypeCount, by_type, type_cell};
use super::with;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Known, Partial, Problem, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::report::words::thousands;
use crate::session::Session;
use crate::session::coreclr::{Handle, HandleKind, NearObject};
use crate::shape;
use crate::views::{Answered, Answers, Arg, Draw, Kind, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "gchandles",
    aliases: &[],
    needs: Needs::Process,
    home_of: &[],
    args: &[
        Arg::Value("type", Kind::Word, "only handles of this kind: WeakShort, WeakLong, Strong, Pinned, Dependent …"),
        Arg::Flag("stat", "how many there are of each kind, and of what types their objects are"),
        Arg::Implied("all", "all of them are looked at"),
        Arg::Value("n", Kind::Count, "so many at most; 1,000 where it is not given"),
        Arg::Refused("perdomain", "there is one application domain since .NET Core"),
        Arg::Apart("stat", &["n"]),
    ],
    pane: None,
    doc: "Handles of .NET's collector: which object each refers to, whether it keeps it alive, and how many there are of each kind",
    help: "A dependent handle keeps its second object alive as long as its first lives. The second object of one that has none is left out. \
           Weak handles keep nothing alive; 'gcroot' follows the others.

$ dumpscope shop.core -c 'gchandles -type pinned'
        Handle  Kind            Object  Bytes  Type
0x7f8793a315f0  pinned  0x7f46fe818b00     88  System.Byte[]
0x7f8793a315f8  pinned  0x7f46fe8001f0     24  System.Object
2 pinned",
    build,
    schema: shape!(Told),
};

/// Most that are told where no number is asked for.
const TOLD: usize = 1000;

/// What is told: by the arguments.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "the shape of each answer, for the schema alone")]
enum Told {
    Handles(GcHandles),
    Statistics(HandleStatistics),
}

/// Handles one by one.
#[derive(Serialize, JsonSchema)]
pub struct GcHandles {
    /// Kind by kind, by address.
    pub handles: Vec<HandleRow>,
    /// How many there are of each kind, of those that were asked for.
    pub kinds: Vec<KindCount>,
}

/// How many there are.
#[derive(Serialize, JsonSchema)]
pub struct HandleStatistics {
    /// The types of the objects that they refer to, those with the most bytes first; an object with several handles counts for each.
    pub types: Vec<TypeCount>,
    /// How many there are of each kind.
    pub kinds: Vec<KindCount>,
}

/// Handles of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct KindCount {
    /// The kind: `weak short`, `weak long`, `strong`, `pinned`, `dependent` …
    pub kind: &'static str,
    /// How many.
    pub count: usize,
}

/// A handle.
#[derive(Serialize, JsonSchema)]
pub struct HandleRow {
    /// Where it is.
    pub handle: Addr,
    /// What it does to its object: `weak short`, `weak long`, `strong`, `pinned`, `dependent` …
    pub kind: &'static str,
    /// The object.
    pub object: Addr,
    /// Its type; null where that cannot be read.
    #[serde(rename = "type")]
    pub type_name: Option<Arc<str>>,
    /// What the object takes itself, in bytes; null where that cannot be read.
    pub bytes: Option<u64>,
    /// Of a dependent handle the object that lives as long as the first; null where there is none.
    pub dependent: Option<Addr>,
    /// Its type; null where there is none, or that cannot be read.
    pub dependent_type: Option<Arc<str>>,
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let (Partial { value: mut handles, mut problems }, kind) = with(session, job, |runtime| {
        let kind = query.text("type").map(|word| {
            let words = || HandleKind::all().map(HandleKind::word).collect::<Vec<_>>().join(", ");
            HandleKind::named(word).ok_or_else(|| Error::Usage(format!("-type {word}: kinds are {}", words())))
        });
        Ok((runtime.handles(), kind.transpose()?))
    })?;
    handles.retain(|handle| kind.is_none_or(|kind| handle.kind == kind));
    handles.sort_by_key(|handle| (handle.kind, handle.address));
    let kinds = kinds(&handles);
    let stat = query.flag("stat");
    let most = query.number("n").map_or(TOLD, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let shown = if stat { handles.len() } else { most.min(handles.len()) };
    let shown = handles.get(..shown).unwrap_or_default();
    let objects: Vec<Addr> = shown.iter().map(|handle| handle.object).collect();
    let seconds: Vec<Addr> = shown.iter().map(|handle| handle.dependent).collect();
    let told = with(session, job, |runtime| runtime.objects_at(&objects, job))?;
    unread(&told, &mut problems);
    if stat {
        let types = by_type(told.iter().filter_map(|object| object.as_ref().ok()));
        return Ok(Box::new(Answered { data: HandleStatistics { types, kinds }, problems }));
    }
    let seconds = with(session, job, |runtime| runtime.objects_at(&seconds, job))?;
    let row = |((handle, object), second): ((&Handle, &Known<NearObject>), &Known<NearObject>)| HandleRow {
        handle: handle.address,
        kind: handle.kind.word(),
        object: handle.object,
        type_name: object.as_ref().ok().and_then(|object| object.name.clone().ok()),
        bytes: object.as_ref().ok().map(|object| object.bytes),
        dependent: Some(handle.dependent).filter(|dependent| dependent.0 != 0),
        dependent_type: second.as_ref().ok().and_then(|object| object.name.clone().ok()),
    };
    let handles = shown.iter().zip(&told).zip(&seconds).map(row).collect();
    Ok(Box::new(Answered { data: GcHandles { handles, kinds }, problems }))
}

/// Says of objects that cannot be read why not.
fn unread(told: &[Known<NearObject>], problems: &mut Vec<Problem>) {
    let mut gaps = told.iter().filter_map(|object| object.as_ref().err());
    if let Some(first) = gaps.next() {
        let count = gaps.count().saturating_add(1);
        let message = format!("what {count} handles refer to cannot be read: {first}");
        problems.push(Problem::new("objects-unread", Subject::Capture, message));
    }
}

/// How many there are of each kind; `handles` stand kind by kind.
fn kinds(handles: &[Handle]) -> Vec<KindCount> {
    let of = |of: &[Handle]| Some(KindCount { kind: of.first()?.kind.word(), count: of.len() });
    handles.chunk_by(|one, other| one.kind == other.kind).filter_map(of).collect()
}

/// `62 strong, 2 pinned`.
fn total(kinds: &[KindCount]) -> Body {
    if kinds.is_empty() {
        return Body::Lines(vec![Row::text("No handles.")]);
    }
    let each = kinds.iter().map(|of| format!("{} {}", thousands(of.count as u64), of.kind));
    Body::Lines(vec![Row::text(each.collect::<Vec<_>>().join(", "))])
}

impl Draw for GcHandles {
    fn draw(&self) -> Section {
        let with_second = self.handles.iter().any(|row| row.dependent.is_some());
        let mut columns = vec![
            Column::right("Handle").rank(3),
            Column::left("Kind"),
            Column::right("Object"),
            Column::right("Bytes").rank(4),
            Column::wide("Type", 2).rank(1),
        ];
        columns.extend(with_second.then(|| Column::right("Dependent").rank(3)));
        let row = |row: &HandleRow| {
            let bytes =
                row.bytes.map_or_else(|| Cell::text("?").tone(Tone::Guess), |bytes| Cell::new(Value::Bytes(bytes)));
            let mut cells = vec![
                Cell::new(Value::Addr(row.handle)).tone(Tone::Dim),
                Cell::text(row.kind),
                Cell::new(Value::Object(row.object)).tone(Tone::Link),
                bytes,
                type_cell(row.type_name.as_ref()),
            ];
            let second = row.dependent.map_or(Cell::NONE, |at| Cell::new(Value::Object(at)).tone(Tone::Link));
            cells.extend(with_second.then_some(second));
            Row::about(Subject::Object(row.object), cells)
        };
        let mut bodies = Vec::new();
        if !self.handles.is_empty() {
            bodies.push(Body::Table(Table::new(columns, self.handles.iter().map(row).collect())));
        }
        let all = self.kinds.iter().map(|of| of.count).fold(0, usize::saturating_add);
        let left = all.saturating_sub(self.handles.len());
        if left > 0 {
            let text = format!("… and {} more; -n N lists more of them", thousands(left as u64));
            bodies.push(Body::Lines(vec![Row::new(vec![Cell::text(text).tone(Tone::Dim)])]));
        }
        bodies.push(total(&self.kinds));
        Section { bodies, ..Section::default() }
    }
}

impl Draw for HandleStatistics {
    fn draw(&self) -> Section {
        let mut bodies = Vec::new();
        if !self.types.is_empty() {
            bodies.push(by_type::table(&self.types));
        }
        bodies.push(total(&self.kinds));
        Section { bodies, ..Section::default() }
    }
}
