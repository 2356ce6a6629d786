//! `suspects`: what holds the memory, in words: single objects, types, variables and stacks, leaks, what grew since another dump, what is
//! free and not returned, what is no heap at all.

mod beyond;
mod holders;
mod kept;

use std::path::Path;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::Serialize;

use super::compared::{self, Compared};
use super::object_rows::Named;
use super::{Answered, Answers, Arg, Draw, Kind, Needs, Query, View};
use crate::analysis::growth::Growth;
use crate::analysis::share::{percent, tenths};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Problem, Subject};
use crate::report::section::{Body, Cell, Row, Section, Tone, Value};
use crate::report::words::thousands;
use crate::session::{Heap, Session};
use crate::shape;

/// The view.
pub const VIEW: View = View {
    name: "suspects",
    aliases: &[],
    needs: Needs::Heap,
    home_of: &[],
    args: &[
        Arg::Value("with", Kind::Word, "also what grew since another dump, the file of that name; as 'diff' tells it"),
        compared::REVERSE,
    ],
    pane: None,
    doc: "What holds the memory, in words: objects, types, variables, leaks, growth, free space, and what is no heap at all",
    help: "An object is suspected that keeps a tenth of the heap alive, and a type, a variable or a stack whose objects take a tenth; \
           leaks are told from a hundredth on, the largest always. An object is told to hang from the variable that leads to it \
           by the fewest steps. Free space is what the process keeps although it is not in use.

$ dumpscope demo -c suspects
336 kB · leaked: nothing refers to 2,999 objects of shop::Session, with 2,999 more that hang from them
    → dumpobj 0x8a139a0
73 kB · one object of (64 KiB to 128 KiB, by (anonymous namespace)::emergency_pool+40) keeps 14.6 % of the heap alive
    → gcroot 0x89f3960
…",
    build,
    schema: shape!(Suspects),
};

/// From which share of the heap on, in tenths of a percent.
const MUCH: u32 = 100;
/// A heap of fewer bytes is no suspect's.
const LEAST: u64 = 64 << 10;
/// From which share on growth of a type is told, in tenths of a percent of the heap after.
const GROWTH: u32 = 10;
/// Suspects of one kind.
const SHOWN: usize = 5;

/// What holds the memory.
#[derive(Serialize, JsonSchema)]
pub struct Suspects {
    /// Those that hold the most first, within their kinds.
    pub suspects: Vec<Suspect>,
    /// Whether all of the heap could be read, as far as that is known: what is not read may hold more.
    pub is_whole: bool,
    /// What was not looked at, and why, in a sentence each: none of it is said to be in order.
    pub not_looked_at: Vec<String>,
}

/// A suspect.
#[derive(Default, Serialize, JsonSchema)]
pub struct Suspect {
    /// `single` object, `group` of objects of a type, `holder`: a variable or a stack from which they hang, `leak`, `grew` since the
    /// other dump, `free` space of an arena, `elsewhere`: no heap.
    pub kind: &'static str,
    /// The type's full name; of a holder that of most of what hangs from it; null where it is about no type.
    #[serde(rename = "type")]
    pub of_type: Option<Arc<str>>,
    /// How the type is known, as 'dumpheap' tells it; null where it is about no type.
    pub naming: Option<&'static str>,
    /// The object, the head of the largest leak, or where the variable is; null where it is about none.
    pub address: Option<Addr>,
    /// How many objects, or free blocks; of growth how many more.
    pub count: u64,
    /// What they take themselves, in bytes.
    pub bytes: u64,
    /// What would be free without them; null where that is not known.
    pub retained: Option<u64>,
    /// Its share of the heap, of `elsewhere` that of all memory, with one decimal.
    pub percent: f64,
    /// Where most of what an object keeps alive comes together; null where that is the object itself.
    pub accumulation: Option<Accumulation>,
    /// The variable or stack from which most objects of a type hang, and what hangs from a holder; null for others.
    pub holder: Option<Held>,
    /// In a sentence.
    pub text: String,
    /// The command that shows more.
    pub next: String,
}

/// An object below another, which still keeps most of it alive.
#[derive(Serialize, JsonSchema)]
pub struct Accumulation {
    /// Its type's full name.
    #[serde(rename = "type")]
    pub of_type: Option<Arc<str>>,
    /// Where it is.
    pub address: Addr,
    /// What it keeps alive, in bytes.
    pub retained: u64,
}

/// Objects of a type that hang from a variable or a stack.
#[derive(Serialize, JsonSchema)]
pub struct Held {
    /// The variable's name, or whose stack it is.
    pub name: String,
    /// The types on the way to one of them, the first one first; an ellipsis stands for those in the middle of a long way.
    pub way: Vec<String>,
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Suspect {
    /// Of a kind, with nothing told of it.
    fn of(kind: &'static str, next: &str) -> Suspect {
        Suspect { kind, next: next.to_owned(), ..Suspect::default() }
    }
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let plain = session.heap(job)?;
    // What nothing names is a suspect that nobody can look for: names are worth their time here.
    let is_small = plain.histogram(job)?.total.bytes < LEAST;
    let named = if is_small { None } else { session.named_heap(job).ok() };
    job.check()?;
    // Types that are told so have other ids.
    let listed = if named.is_some() { "dumpheap -names" } else { "dumpheap" };
    let heap = named.unwrap_or(plain);
    let mut suspects = Vec::new();
    let mut problems = Vec::new();
    if let Some(path) = query.text("with") {
        let compared = Compared::of(session, Path::new(path), query, true, job)?;
        suspects.extend(grown(&compared, job)?);
        problems = compared.problems();
    }
    let named = Named::of(&heap, job)?;
    if heap.source.references().is_some() {
        suspects.extend(kept::leaks(&heap, &named, job)?);
        suspects.extend(kept::singles(&heap, &named, job)?);
    }
    // Of a type most of which leaked that is told already.
    let leaks = suspects.iter().filter(|one| one.kind == "leak");
    let leaked: FxHashMap<Arc<str>, u64> = leaks.filter_map(|one| Some((one.of_type.clone()?, one.count))).collect();
    let is_told = |group: &Suspect| {
        let count = group.of_type.as_ref().and_then(|name| leaked.get(name));
        count.is_some_and(|count| count.saturating_mul(2) > group.count)
    };
    let (groups, holders) = kept::groups_and_holders(session, &heap, &named, listed, job)?;
    suspects.extend(groups.into_iter().filter(|group| !is_told(group)));
    suspects.extend(holders);
    suspects.extend(beyond::free(&heap, job)?);
    suspects.extend(beyond::elsewhere(session, &heap, job)?);
    let not_looked_at = not_looked_at(session, &heap, job)?;
    let doubts = heap.doubts();
    let is_whole = doubts.is_empty() && problems.is_empty();
    if query.text("with").is_none() {
        Problem::join(&mut problems, doubts);
    }
    Ok(Box::new(Answered { data: Suspects { suspects, is_whole, not_looked_at }, problems }))
}

/// Types that grew since the other dump, and of which more leaked.
fn grown(compared: &Compared, job: &Job) -> Result<Vec<Suspect>, Error> {
    let all = compared.after.histogram.total.bytes;
    let other = if compared.is_open_after { &compared.before.path } else { &compared.after.path };
    let next = format!("diff {other}");
    let mut suspects = Vec::new();
    let much = |growth: &Growth| growth.bytes() > 0 && tenths(growth.bytes().unsigned_abs(), all) >= GROWTH;
    for growth in compared.types().into_iter().filter(much).take(SHOWN) {
        let (bytes, count) = (growth.bytes().unsigned_abs(), growth.count());
        let how = match count {
            1.. => format!("by {}", objects(count.unsigned_abs())),
            0 => "with as many objects".to_owned(),
            _ => format!("with {} fewer", objects(count.unsigned_abs())),
        };
        suspects.push(Suspect {
            count: count.try_into().unwrap_or(0),
            bytes,
            percent: percent(bytes, all),
            text: format!("{} grew {how} since {}", growth.name, compared.before.path),
            of_type: Some(growth.name.into()),
            ..Suspect::of("grew", &next)
        });
    }
    let heads = compared.heads(job)?.unwrap_or_default();
    let mut more: Vec<_> = heads.into_iter().filter(|(_, [before, after])| after.count > before.count).collect();
    more.sort_by_key(|(_, [before, after])| std::cmp::Reverse(after.held.bytes.saturating_sub(before.held.bytes)));
    let likely = if compared.problems().is_empty() { "" } else { "likely " };
    for (name, [before, after]) in more.into_iter().take(SHOWN) {
        let count = after.count.saturating_sub(before.count);
        let bytes = after.held.bytes.saturating_sub(before.held.bytes);
        // An object of the other dump cannot be asked about.
        let address = after.largest.map(|(_, address)| address).filter(|_| compared.is_open_after);
        suspects.push(Suspect {
            address,
            count,
            bytes,
            percent: percent(bytes, all),
            text: format!(
                "{likely}leaked since {}: nothing refers to {} any more",
                compared.before.path,
                of_type(count, &name)
            ),
            of_type: Some(name),
            ..Suspect::of("grew", &address.map_or_else(|| next.clone(), |address| format!("dumpobj {address}")))
        });
    }
    Ok(suspects)
}

/// `1,204 objects`.
fn objects(count: u64) -> String {
    if count == 1 { "1 object".to_owned() } else { format!("{} objects", thousands(count)) }
}

/// `1,204 objects of shop::Order`.
fn of_type(count: u64, name: &str) -> String {
    format!("{} of {name}", objects(count))
}

/// What is not told of a heap because nothing tells it, or because it is too small.
fn not_looked_at(session: &Session, heap: &Heap, job: &Job) -> Result<Vec<String>, Error> {
    let mut all = Vec::new();
    if heap.source.references().is_none() {
        let what =
            "what its objects refer to cannot be told: neither leaks nor what objects keep alive were looked for";
        all.push(what.to_owned());
    }
    if heap.histogram(job)?.total.bytes < LEAST {
        let what = "less than 64 KiB of it is in use: no object or type of so small a heap is told as holding much";
        all.push(what.to_owned());
    }
    if heap.source.arenas(job)?.is_empty() {
        all.push("it does not tell what it is made of: free space was not looked at".to_owned());
    }
    if session.process().is_ok() && heap.source.memory().is_empty() {
        all.push("it does not tell where it is kept: what of the memory is no heap was not looked at".to_owned());
    }
    Ok(all)
}

impl Draw for Suspects {
    fn draw(&self) -> Section {
        let mut lines = Vec::new();
        if self.suspects.is_empty() {
            lines.push(Row::text(match (self.is_whole, self.not_looked_at.is_empty()) {
                (true, true) => "Nothing stands out: no object, type, leak or arena holds much of the heap.",
                (true, false) => "Nothing stands out in what was looked at.",
                (false, _) => "Nothing stands out in what could be read of the heap, which is not all of it.",
            }));
        }
        for suspect in &self.suspects {
            let tone = if ["leak", "grew"].contains(&suspect.kind) { Tone::Bad } else { Tone::Strong };
            let subject = match (suspect.kind, suspect.address) {
                ("single" | "leak" | "grew", Some(address)) => Some(Subject::Object(address)),
                (_, Some(address)) => Some(Subject::Memory(address)),
                _ => None,
            };
            let held = suspect.retained.unwrap_or(suspect.bytes).max(suspect.bytes);
            let cells = vec![
                Cell::new(Value::Bytes(held)).tone(Tone::Strong),
                Cell::text("·").tone(Tone::Dim),
                Cell::text(suspect.text.as_str()).tone(tone),
            ];
            lines.push(Row { cells, subject });
            lines.push(Row::new(vec![Cell::text(format!("    → {}", suspect.next)).tone(Tone::Dim)]));
        }
        let unseen = |what: &String| Row::new(vec![Cell::text(format!("not looked at: {what}")).tone(Tone::Guess)]);
        lines.extend(self.not_looked_at.iter().map(unseen));
        Section { bodies: vec![Body::Lines(lines)], ..Section::default() }
    }
}
