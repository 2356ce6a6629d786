//! `diff`: what grew between two dumps, by type.

use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::compared::{self, Compared, Heads, HeadsOfBoth};
use super::{Answered, Answers, Arg, Draw, Needs, Query, View};
use crate::analysis::growth::{self, Growth};
use crate::heap::Bound;
use crate::job::Job;
use crate::model::{Addr, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::report::words::thousands;
use crate::session::Session;
use crate::shape;

/// The view.
pub const VIEW: View = View {
    name: "diff",
    aliases: &[],
    needs: Needs::Heap,
    home_of: &[],
    args: &[
        compared::OTHER,
        compared::REVERSE,
        Arg::Flag("all", "also types that did not change"),
        Arg::Flag("names", "with names for objects that carry none, by what refers to them"),
    ],
    pane: None,
    doc: "What grew between two dumps, by type, and what leaked in between",
    help: "The dump whose file was written first is the one before; where that cannot be told, the one that is open. Types are told \
           apart by their names. Heads of leaks are objects to which nothing refers any more: those of which the second dump has \
           more are listed, with all that hangs from them.",
    build,
    schema: shape!(Difference),
};

/// What grew.
#[derive(Serialize, JsonSchema)]
pub struct Difference {
    /// The file of the dump before.
    pub before: String,
    /// The file of the dump after.
    pub after: String,
    /// How it is known which was before: `written` first, `opened` first where the files do not tell (that is a guess), or `reverse`: the
    /// other way round, as asked.
    pub ordered_by: &'static str,
    /// Those that grew by the most bytes first.
    pub types: Vec<TypeGrowth>,
    /// All of them together.
    pub total: TypeGrowth,
    /// Types of which the second has more heads of leaks than the first, by how many bytes more hang from them; null where a heap does
    /// not tell what refers to what.
    pub leaks: Option<Vec<LeakGrowth>>,
    /// Whether that is all of both heaps: false where a part could not be read, or may be counted that is not in use.
    pub complete: bool,
    #[serde(skip)]
    bounds: [Bound; 2],
    /// Whether nothing else can refer to a leak.
    #[serde(skip)]
    is_sure: bool,
    #[serde(skip)]
    is_collected: bool,
    #[serde(skip)]
    is_open_after: bool,
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

/// Heads of leaks of a type in both dumps.
#[derive(Serialize, JsonSchema)]
pub struct LeakGrowth {
    /// Its full name.
    #[serde(rename = "type")]
    pub name: Arc<str>,
    /// The head with the most bytes in the dump after.
    pub address: Option<Addr>,
    /// How many heads there are.
    pub count: Change,
    /// What hangs from them, themselves among it.
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
        Change { before, after, delta: growth::delta(before, after) }
    }
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let path = Path::new(query.text("other").unwrap_or_default());
    let compared = Compared::of(session, path, query, query.flag("names"), job)?;
    let mut types: Vec<TypeGrowth> = compared.types().into_iter().map(TypeGrowth::of).collect();
    if !query.flag("all") {
        types.retain(|row| row.count.delta != 0 || row.bytes.delta != 0);
    }
    let (before, after) = (compared.before.histogram.total, compared.after.histogram.total);
    let total = TypeGrowth {
        name: None,
        count: Change::of(before.count, after.count),
        bytes: Change::of(before.bytes, after.bytes),
    };
    let leaks = compared.heads(job)?.map(grown);
    let (problems, bounds) = (compared.problems(), compared.bounds());
    let is_collected = compared.is_collected();
    let data = Difference {
        types,
        total,
        leaks,
        ordered_by: compared.ordered_by,
        before: compared.before.path,
        after: compared.after.path,
        complete: bounds == [Bound::Exact; 2],
        bounds,
        is_sure: problems.is_empty(),
        is_collected,
        is_open_after: compared.is_open_after,
    };
    Ok(Box::new(Answered { data, problems }))
}

/// Those of which there are more heads after.
fn grown(heads: HeadsOfBoth) -> Vec<LeakGrowth> {
    let more = heads.into_iter().filter(|(_, [before, after])| after.count > before.count);
    let row = |(name, [before, after]): (_, [Heads; 2])| LeakGrowth {
        name,
        address: after.largest.map(|(_, address)| address),
        count: Change::of(before.count, after.count),
        bytes: Change::of(before.held.bytes, after.held.bytes),
    };
    let mut rows: Vec<LeakGrowth> = more.map(row).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.bytes.delta));
    rows
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
        let path = |path: &str, bound: Bound| {
            let words = bound.words().map(|words| Cell::text(format!("{words} what is told of it")).tone(Tone::Guess));
            Row::new([Cell::new(Value::Path(path.into()))].into_iter().chain(words).collect())
        };
        let order = match self.ordered_by {
            "written" => Cell::text("by when the files were written (-reverse turns it round)").tone(Tone::Dim),
            "reverse" => Cell::text("turned round, as asked").tone(Tone::Dim),
            _ => {
                Cell::text("guessed: the files do not tell which was first (-reverse turns it round)").tone(Tone::Guess)
            }
        };
        let [before, after] = self.bounds;
        let fields = vec![
            ("Before".to_owned(), path(&self.before, before)),
            ("After".to_owned(), path(&self.after, after)),
            ("Order".to_owned(), Row::new(vec![order])),
        ];
        let mut bodies = vec![Body::Fields(fields)];
        if self.types.is_empty() {
            let none = match self.complete {
                true => "No type has more or fewer objects.",
                false => "No type has more or fewer objects in what could be read of both heaps.",
            };
            bodies.push(Body::Lines(vec![Row::text(none)]));
        } else {
            let rows = self.types.iter().chain([&self.total]).map(row).collect();
            bodies.push(Body::Table(Table::new(columns, rows)));
        }
        bodies.extend(self.leaks());
        Section { bodies, ..Section::default() }
    }
}

impl Difference {
    fn leaks(&self) -> Vec<Body> {
        let Some(leaks) = &self.leaks else {
            let none = match self.is_collected {
                true => "What nothing refers to is garbage here, and no leak: what leaks is referred to, and grows.",
                false => "what objects refer to cannot be told of both: leaks were not looked for",
            };
            return vec![Body::Lines(vec![Row::new(vec![Cell::text(none).tone(Tone::Guess)])])];
        };
        if leaks.is_empty() {
            let none = match self.is_sure {
                true => "No type has more heads of leaks.",
                false => "No type has more heads of leaks, as far as both could be read.",
            };
            return vec![Body::Lines(vec![Row::text(none)])];
        }
        let heading = match self.is_sure {
            true => "Leaked in between: nothing refers to these any more",
            false => "Likely leaked in between: nothing that could be read refers to these any more",
        };
        let columns = vec![
            Column::right("Growth"),
            Column::right("Heads"),
            Column::right("Held").rank(3),
            Column::right("In all").rank(4),
            Column::wide("Type", 1).rank(1).min(20),
            Column::rigid("Largest").rank(3),
        ];
        let row = |row: &LeakGrowth| {
            let cells = vec![
                signed(row.bytes.delta, thousands),
                signed(row.count.delta, thousands),
                Cell::new(Value::Bytes(row.bytes.after)),
                Cell::new(Value::Count(row.count.after)),
                Cell::new(Value::Type(Arc::clone(&row.name))).tone(Tone::Strong),
                row.address.map_or(Cell::NONE, |at| Cell::new(Value::Object(at)).tone(Tone::Dim)),
            ];
            // An object of the other dump cannot be asked about.
            Row { cells, subject: row.address.filter(|_| self.is_open_after).map(Subject::Object) }
        };
        let table = Table::new(columns, leaks.iter().map(row).collect());
        vec![Body::Heading(heading.to_owned()), Body::Table(table)]
    }
}
