//! `suspects`: what holds the memory, in words: single objects, types, leaks, what is free and not returned, what is no heap at all.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::object_rows::Named;
use super::{Answered, Answers, Draw, Needs, Query, View, maddress};
use crate::analysis::graph;
use crate::error::Error;
use crate::heap::{Naming, ObjectId};
use crate::job::Job;
use crate::model::{Addr, MappingKind, Subject};
use crate::report::section::{Body, Cell, Row, Section, Tone, Value};
use crate::report::words::thousands;
use crate::session::{Heap, Session};

/// The view.
pub const VIEW: View = View {
    name: "suspects",
    aliases: &[],
    needs: Needs::Heap,
    home_of: &[],
    args: &[],
    pane: None,
    doc: "What holds the memory, in words: objects, types, leaks, free space, and what is no heap at all",
    help: "An object is suspected that keeps a tenth of the heap alive, and a type whose objects take a tenth; leaks are told from a \
           hundredth on, the largest always. Free space is what the process keeps although it is not in use.

$ dumpscope demo -c suspects
336 kB · leaked: nothing refers to 2,999 objects of shop::Session, with 2,999 more that hang from them
    → dumpobj 0x8a139a0
73 kB · one object of (64 KiB to 128 KiB) keeps 14.6 % of the heap alive
    → gcroot 0x89f3960
…",
    build,
    schema: || schemars::schema_for!(Suspects),
};

/// From which share of the heap on, in tenths of a percent.
const MUCH: u64 = 100;
/// A heap of fewer bytes is no suspect's.
const LEAST: u64 = 64 << 10;
/// From which share on leaks of a type are told.
const LEAK: u64 = 10;
/// From which share of an arena on its free space is told, in tenths of a percent, and from how many bytes on.
const FREE: u64 = 250;
const FREE_BYTES: u64 = 1 << 20;
/// From which share of all memory on that which is no heap is told.
const ELSEWHERE: u64 = 300;
/// Of what an object keeps alive the next one must keep so much, or the object is where it accumulates: in tenths of a percent.
const MOST: u64 = 800;
/// The objects that retain the most, among which suspects are looked for.
const LARGEST: usize = 4096;
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
#[derive(Serialize, JsonSchema)]
pub struct Suspect {
    /// `single` object, `group` of objects of a type, `leak`, `free` space of an arena, `elsewhere`: no heap.
    pub kind: &'static str,
    /// The type's full name; null where it is about no type.
    #[serde(rename = "type")]
    pub of_type: Option<Arc<str>>,
    /// The object, or the head of the largest leak; null where it is about no object.
    pub address: Option<Addr>,
    /// How many objects, or free blocks.
    pub count: u64,
    /// What they take themselves, in bytes.
    pub bytes: u64,
    /// What would be free without them; null where that is not known.
    pub retained: Option<u64>,
    /// Its share of the heap, of `elsewhere` that of all memory, with one decimal.
    pub percent: f64,
    /// Where most of what an object keeps alive comes together; null where that is the object itself.
    pub accumulation: Option<Accumulation>,
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

fn build(session: &Session, _: &Query, job: &Job) -> Answers {
    let heap = session.heap(job)?;
    let mut suspects = Vec::new();
    if heap.source.references().is_some() {
        suspects.extend(leaks(&heap, job)?);
        suspects.extend(singles(&heap, job)?);
    }
    // Of a type most of which leaked that is told already.
    let leaked: Vec<(Arc<str>, u64)> = suspects
        .iter()
        .filter(|one| one.kind == "leak")
        .filter_map(|one| Some((one.of_type.clone()?, one.count)))
        .collect();
    let is_told = |group: &Suspect| {
        leaked.iter().any(|(name, count)| group.of_type.as_ref() == Some(name) && count.saturating_mul(2) > group.count)
    };
    suspects.extend(groups(&heap, job)?.into_iter().filter(|group| !is_told(group)));
    suspects.extend(free(&heap, job)?);
    suspects.extend(elsewhere(session, &heap));
    let not_looked_at = not_looked_at(session, &heap, job)?;
    let problems = heap.doubts();
    let is_whole = problems.is_empty();
    Ok(Box::new(Answered { data: Suspects { suspects, is_whole, not_looked_at }, problems }))
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

/// A share in tenths of a percent.
fn tenths(part: u64, all: u64) -> u64 {
    let tenths = u128::from(part).saturating_mul(1000).checked_div(u128::from(all)).unwrap_or(0);
    u64::try_from(tenths).unwrap_or(u64::MAX)
}

fn percent(part: u64, all: u64) -> f64 {
    f64::from(u32::try_from(tenths(part, all)).unwrap_or(u32::MAX)) / 10.0
}

/// `1,204 objects of shop::Order`.
fn of_type(count: u64, name: &str) -> String {
    if count == 1 { format!("1 object of {name}") } else { format!("{} objects of {name}", thousands(count)) }
}

/// The heads of leaks by type: what nothing refers to.
fn leaks(heap: &Heap, job: &Job) -> Result<Vec<Suspect>, Error> {
    let (leaks, named) = (heap.leaks(job)?, Named::of(heap, job)?);
    let all = heap.histogram(job)?.total.bytes;
    let sure = heap.doubts().is_empty();
    let mut types: Vec<(usize, u64, u64, u64, graph::Head)> = Vec::new();
    for head in &leaks.heads {
        let of = named.objects.of_type(head.object);
        match types.iter_mut().find(|(known, ..)| *known == of) {
            Some((_, heads, count, bytes, _)) => {
                *heads = heads.saturating_add(1);
                *count = count.saturating_add(head.count.into());
                *bytes = bytes.saturating_add(head.bytes);
            }
            None => types.push((of, 1, head.count.into(), head.bytes, *head)),
        }
        job.check()?;
    }
    types.sort_by_key(|(_, _, _, bytes, _)| std::cmp::Reverse(*bytes));
    let told = types.into_iter().enumerate().filter(|(at, (.., bytes, _))| *at == 0 || tenths(*bytes, all) >= LEAK);
    let suspect = |(_, (_, heads, count, bytes, head)): (usize, (usize, u64, u64, u64, graph::Head))| {
        let name = named.name(head.object);
        let address = named.address(head.object);
        let shown = name.as_deref().unwrap_or("unknown type");
        let more = count.saturating_sub(heads);
        let with =
            if more == 0 { String::new() } else { format!(", with {} more that hang from them", thousands(more)) };
        Suspect {
            kind: "leak",
            of_type: name.clone(),
            address: Some(address),
            count,
            bytes,
            retained: Some(bytes),
            percent: percent(bytes, all),
            accumulation: None,
            text: match sure {
                true => format!("leaked: nothing refers to {}{with}", of_type(heads, shown)),
                false => format!("likely leaked: nothing that could be read refers to {}{with}", of_type(heads, shown)),
            },
            next: format!("dumpobj {address}"),
        }
    };
    Ok(told.take(SHOWN).map(suspect).collect())
}

/// Objects that keep much alive, and are held by none that does.
fn singles(heap: &Heap, job: &Job) -> Result<Vec<Suspect>, Error> {
    let (dominators, named) = (heap.dominators(job)?, Named::of(heap, job)?);
    let all = heap.histogram(job)?.total.bytes;
    let leaked = heap.leaks(job)?;
    let largest = dominators.largest(LARGEST);
    let is_much = |id: &ObjectId| tenths(dominators.retained(*id), all) >= MUCH;
    // What hangs from a leak is told as one.
    let is_head = |id: ObjectId| leaked.heads.iter().take(LARGEST).any(|head| head.object == id);
    let top =
        largest.iter().filter(|id| all >= LEAST && is_much(id) && dominators.of(**id).is_none() && !is_head(**id));
    let mut suspects = Vec::new();
    for id in top.take(SHOWN) {
        job.check()?;
        let mut at = *id;
        while let Some(below) = largest.iter().find(|below| {
            dominators.of(**below) == Some(at) && tenths(dominators.retained(**below), dominators.retained(at)) >= MOST
        }) {
            at = *below;
        }
        let (name, address, retained) = (named.name(*id), named.address(*id), dominators.retained(*id));
        let accumulation = (at != *id).then(|| Accumulation {
            of_type: named.name(at),
            address: named.address(at),
            retained: dominators.retained(at),
        });
        let shown = name.as_deref().unwrap_or("unknown type");
        let mut text = format!("one object of {shown} keeps {} % of the heap alive", percent(retained, all));
        if let Some(below) = &accumulation {
            let shown = below.of_type.as_deref().unwrap_or("unknown type");
            text.push_str(&format!("; it comes together in {} of {shown}", below.address));
        }
        suspects.push(Suspect {
            kind: "single",
            of_type: name.clone(),
            address: Some(address),
            count: 1,
            bytes: named.objects.bytes(*id),
            retained: Some(retained),
            percent: percent(retained, all),
            accumulation,
            text,
            next: format!("gcroot {address}"),
        });
    }
    Ok(suspects)
}

/// Types whose objects take much together.
fn groups(heap: &Heap, job: &Job) -> Result<Vec<Suspect>, Error> {
    let histogram = heap.histogram(job)?;
    let all = histogram.total.bytes;
    let retained = heap.source.references().is_some().then(|| heap.retained_by_types(job)).transpose()?;
    let much = histogram.types.iter().filter(|(_, of)| all >= LEAST && of.count > 1 && tenths(of.bytes, all) >= MUCH);
    let suspect = |(at, of): &(usize, crate::analysis::histogram::Amount)| {
        let known = heap.source.types().get(*at)?;
        let unnamed = known.naming == Naming::Size;
        let text = match unnamed {
            false => format!("{} take {} % of the heap", of_type(of.count, &known.name), percent(of.bytes, all)),
            true => format!(
                "{} blocks of one size {} take {} % of the heap; nothing in them tells their type",
                thousands(of.count),
                known.name,
                percent(of.bytes, all)
            ),
        };
        Some(Suspect {
            kind: "group",
            of_type: Some(known.name.as_str().into()),
            address: None,
            count: of.count,
            bytes: of.bytes,
            retained: retained.as_ref().and_then(|retained| retained.get(*at).copied()),
            percent: percent(of.bytes, all),
            accumulation: None,
            text,
            next: format!("dumpheap -mt {}", known.id),
        })
    };
    Ok(much.filter_map(suspect).take(SHOWN).collect())
}

/// Arenas that keep much that is not in use.
fn free(heap: &Heap, job: &Job) -> Result<Vec<Suspect>, Error> {
    let arenas = heap.source.arenas(job)?;
    let system: u64 = arenas.iter().map(|arena| arena.system).fold(0, u64::saturating_add);
    let mut suspects = Vec::new();
    for arena in arenas {
        let (count, bytes) = arena.free.iter().fold((0u64, 0u64), |(count, bytes), (_, free)| {
            (count.saturating_add(free.count), bytes.saturating_add(free.bytes))
        });
        if bytes < FREE_BYTES || tenths(bytes, arena.system) < FREE {
            continue;
        }
        suspects.push(Suspect {
            kind: "free",
            of_type: None,
            address: arena.address,
            count,
            bytes,
            retained: None,
            percent: percent(bytes, system),
            accumulation: None,
            text: format!(
                "{} % of the arena '{}' is free and not returned to the system, in {} blocks",
                percent(bytes, arena.system),
                arena.name,
                thousands(count)
            ),
            next: "dumpheap -arenas".to_owned(),
        });
    }
    suspects.sort_by_key(|suspect| std::cmp::Reverse(suspect.bytes));
    suspects.truncate(SHOWN);
    Ok(suspects)
}

/// Memory of the process that is no heap.
fn elsewhere(session: &Session, heap: &Heap) -> Vec<Suspect> {
    let Ok(process) = session.process() else { return Vec::new() };
    if heap.source.memory().is_empty() {
        return Vec::new();
    }
    let kinds = maddress::by_kind(&process.mappings_with_heap(&heap.source.memory()));
    let held = |kind: &maddress::KindRow| kind.resident.unwrap_or(kind.dumped);
    let all: u64 = kinds.iter().map(held).fold(0, u64::saturating_add);
    let other = kinds.iter().filter(|kind| kind.kind != MappingKind::Heap);
    let much = other.filter(|kind| tenths(held(kind), all) >= ELSEWHERE && held(kind) >= FREE_BYTES);
    let suspect = |kind: &maddress::KindRow| Suspect {
        kind: "elsewhere",
        of_type: None,
        address: None,
        count: kind.count,
        bytes: held(kind),
        retained: None,
        percent: percent(held(kind), all),
        accumulation: None,
        text: format!("{} % of the memory is no heap: {}", percent(held(kind), all), kind.kind.words()),
        next: "heap -regions".to_owned(),
    };
    much.map(suspect).collect()
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
            let tone = if suspect.kind == "leak" { Tone::Bad } else { Tone::Strong };
            let subject = match (suspect.kind, suspect.address) {
                ("single" | "leak", Some(address)) => Some(Subject::Object(address)),
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
