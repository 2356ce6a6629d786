//! `diff`: what grew between two dumps, by type.

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Answered, Answers, Arg, Arity, Draw, Kind, Needs, Query, View};
use crate::analysis::growth::{self, Growth};
use crate::job::Job;
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::report::words::thousands;
use crate::session::{Session, Source};

/// The view.
pub const VIEW: View = View {
    name: "diff",
    aliases: &[],
    needs: Needs::Heap,
    home_of: &[],
    args: &[
        Arg::Operand("other", Kind::Word, Arity::One, "the other dump's file"),
        Arg::Flag("reverse", "the other way round"),
        Arg::Flag("all", "also types that did not change"),
    ],
    pane: None,
    doc: "What grew between two dumps, by type",
    help: "The dump whose file was written first is the one before; where that cannot be told, the one that is open. Types are told \
           apart by their names.",
    build,
    schema: || schemars::schema_for!(Difference),
};

/// What grew.
#[derive(Serialize, JsonSchema)]
pub struct Difference {
    /// The file of the dump before.
    pub before: String,
    /// The file of the dump after.
    pub after: String,
    /// Those that grew by the most bytes first.
    pub types: Vec<TypeGrowth>,
    /// All of them together.
    pub total: TypeGrowth,
}

/// The objects of a type in both dumps.
#[derive(Serialize, JsonSchema)]
pub struct TypeGrowth {
    /// Its full name; null for all types together.
    #[serde(rename = "type")]
    pub name: Option<String>,
    /// How many there are.
    pub count: Change,
    /// What they take.
    pub bytes: Change,
}

/// A number before and after.
#[derive(Clone, Copy, Serialize, JsonSchema)]
pub struct Change {
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
    /// How much more.
    pub delta: i64,
}

impl Change {
    fn of(before: u64, after: u64) -> Change {
        let distance = i64::try_from(after.abs_diff(before)).unwrap_or(i64::MAX);
        Change { before, after, delta: if after >= before { distance } else { distance.saturating_neg() } }
    }
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let path = Path::new(query.text("other").unwrap_or_default());
    let heap = session.heap(job)?;
    let histogram = heap.histogram(job)?;
    let other = Session::open(Source::File(path.to_owned()), &session.search, job)?;
    let other_heap = other.heap(job)?;
    let other_histogram = other_heap.histogram(job)?;
    let written = session.written().zip(other.written());
    let is_first = written.is_none_or(|(own, other)| own <= other) != query.flag("reverse");
    let own = (heap.source.types(), histogram.as_ref());
    let others = (other_heap.source.types(), other_histogram.as_ref());
    let (before, after) = if is_first { (own, others) } else { (others, own) };
    let names = [session.source.path(), path].map(|path| path.display().to_string());
    let [first, second] = names;
    let (before_name, after_name) = if is_first { (first, second) } else { (second, first) };
    let mut types: Vec<TypeGrowth> = growth::growth(before, after).into_iter().map(TypeGrowth::of).collect();
    if !query.flag("all") {
        types.retain(|row| row.count.delta != 0 || row.bytes.delta != 0);
    }
    let total = TypeGrowth {
        name: None,
        count: Change::of(before.1.total.count, after.1.total.count),
        bytes: Change::of(before.1.total.bytes, after.1.total.bytes),
    };
    let mut problems = heap.source.problems();
    problems.extend(other_heap.source.problems());
    Ok(Box::new(Answered { data: Difference { before: before_name, after: after_name, types, total }, problems }))
}

impl TypeGrowth {
    fn of(growth: Growth) -> TypeGrowth {
        TypeGrowth {
            count: Change::of(growth.before.count, growth.after.count),
            bytes: Change::of(growth.before.bytes, growth.after.bytes),
            name: Some(growth.name),
        }
    }
}

/// `+1,204`, `-3`.
fn signed(delta: i64, number: impl Fn(u64) -> String) -> Cell {
    let sign = if delta < 0 { "-" } else { "+" };
    let text = format!("{sign}{}", number(delta.unsigned_abs()));
    match delta {
        0 => Cell::text("0").tone(Tone::Dim),
        1.. => Cell::text(text).tone(Tone::Bad),
        _ => Cell::text(text),
    }
}

impl Draw for Difference {
    fn draw(&self) -> Section {
        let columns = vec![
            Column::right("Growth"),
            Column::right("Objects"),
            Column::right("Bytes").rank(3),
            Column::right("In all").rank(4),
            Column::wide("Type", 1).rank(1).min(20),
        ];
        let row = |row: &TypeGrowth| {
            Row::new(vec![
                signed(row.bytes.delta, thousands),
                signed(row.count.delta, thousands),
                Cell::new(Value::Bytes(row.bytes.after)),
                Cell::new(Value::Count(row.count.after)),
                row.name.as_deref().map_or(Cell::text("all types").tone(Tone::Dim), |name| {
                    Cell::new(Value::Type(name.into())).tone(Tone::Strong)
                }),
            ])
        };
        let path = |path: &str| Row::new(vec![Cell::new(Value::Path(path.into()))]);
        let fields = vec![("Before".to_owned(), path(&self.before)), ("After".to_owned(), path(&self.after))];
        if self.types.is_empty() {
            let none = Row::text("No type has more or fewer objects.");
            return Section { bodies: vec![Body::Fields(fields), Body::Lines(vec![none])], ..Section::default() };
        }
        let rows = self.types.iter().chain([&self.total]).map(row).collect();
        Section { bodies: vec![Body::Fields(fields), Body::Table(Table::new(columns, rows))], ..Section::default() }
    }
}
