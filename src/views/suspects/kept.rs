//! What of the heap holds much: leaks, single objects, types, the variables and stacks that objects hang from.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::holders::Holders;
use super::{Accumulation, Held, LEAST, MUCH, SHOWN, Suspect, of_type};
use crate::analysis::graph::Dominators;
use crate::analysis::histogram::Amount;
use crate::analysis::share::{percent, tenths};
use crate::error::Error;
use crate::heap::{Naming, ObjectId};
use crate::job::Job;
use crate::report::words::thousands;
use crate::session::{Heap, Session};
use crate::views::object_rows::Named;

/// From which share on leaks of a type are told.
const LEAK: u32 = 10;
/// From which share of the heap on garbage is told, in tenths of a percent: some is always there.
const GARBAGE: u32 = 200;
/// Of what an object keeps alive the next one must keep so much, or the object is where it accumulates: in tenths of a percent.
const MOST: u32 = 800;
/// The objects that retain the most, among which suspects are looked for.
const LARGEST: usize = 4096;
/// From which share of a type on it is told what they hang from.
const HANGS: u32 = 500;

/// What a collector has not freed yet, where that is much.
fn garbage(heap: &Heap, job: &Job) -> Result<Vec<Suspect>, Error> {
    let (leaks, all) = (heap.leaks(job)?, heap.histogram(job)?.total.bytes);
    let of = leaks.heads.iter().fold(Amount::default(), |mut sum, head| {
        sum.add(Amount { count: head.count.into(), bytes: head.bytes });
        sum
    });
    let likely = if heap.doubts().is_empty() { "" } else { "that could be read " };
    let suspect = Suspect {
        count: of.count,
        bytes: of.bytes,
        percent: percent(of.bytes, all),
        text: format!("garbage: nothing {likely}refers to {} objects, which a collection frees", thousands(of.count)),
        ..Suspect::of("garbage", "dumpheap -dead -stat")
    };
    Ok(if tenths(of.bytes, all) >= GARBAGE { vec![suspect] } else { Vec::new() })
}

/// The heads of leaks by type: what nothing refers to.
pub(super) fn leaks(heap: &Heap, named: &Named, job: &Job) -> Result<Vec<Suspect>, Error> {
    if heap.source.is_collected() {
        return garbage(heap, job);
    }
    let leaks = heap.leaks(job)?;
    let all = heap.histogram(job)?.total.bytes;
    let sure = heap.doubts().is_empty();
    // Of each type its heads, what hangs from them, and the first, which holds the most.
    let mut types: FxHashMap<usize, (u64, Amount, ObjectId)> = FxHashMap::default();
    let mut meter = job.meter();
    for head in &leaks.heads {
        meter.add(1)?;
        let of = types.entry(named.objects.of_type(head.object)).or_insert((0, Amount::default(), head.object));
        of.0 = of.0.saturating_add(1);
        of.1.add(Amount { count: head.count.into(), bytes: head.bytes });
    }
    let mut types: Vec<(u64, Amount, ObjectId)> = types.into_values().collect();
    types.sort_by_key(|(_, amount, head)| (std::cmp::Reverse(amount.bytes), *head));
    let told = types.into_iter().enumerate().filter(|(at, (_, of, _))| *at == 0 || tenths(of.bytes, all) >= LEAK);
    let suspect = |(_, (heads, Amount { count, bytes }, head)): (usize, (u64, Amount, ObjectId))| {
        let (name, address) = (named.name(head), named.address(head));
        let shown = of_type(heads, name.as_deref().unwrap_or("unknown type"));
        let with = match count.saturating_sub(heads) {
            0 => String::new(),
            more => format!(", with {} more that hang from them", thousands(more)),
        };
        Suspect {
            of_type: name,
            naming: named.naming(head),
            address: Some(address),
            count,
            bytes,
            retained: Some(bytes),
            percent: percent(bytes, all),
            text: match sure {
                true => format!("leaked: nothing refers to {shown}{with}"),
                false => format!("likely leaked: nothing that could be read refers to {shown}{with}"),
            },
            ..Suspect::of("leak", &format!("dumpobj {address}"))
        }
    };
    Ok(told.take(SHOWN).map(suspect).collect())
}

/// Objects that keep much alive, and are held by none that does.
pub(super) fn singles(heap: &Heap, named: &Named, job: &Job) -> Result<Vec<Suspect>, Error> {
    let dominators = heap.dominators(job)?;
    let all = heap.histogram(job)?.total.bytes;
    let leaked = heap.leaks(job)?;
    // What hangs from a leak is told as one.
    let heads: FxHashSet<ObjectId> = leaked.heads.iter().take(LARGEST).map(|head| head.object).collect();
    let largest = dominators.largest(LARGEST);
    // Of each the one below it that keeps the most.
    let mut below: FxHashMap<ObjectId, ObjectId> = FxHashMap::default();
    for id in &largest {
        if let Some(dominator) = dominators.of(*id) {
            below.entry(dominator).or_insert(*id);
        }
    }
    let is_much = |id: &ObjectId| tenths(dominators.retained(*id), all) >= MUCH;
    let top = largest
        .iter()
        .filter(|id| all >= LEAST && is_much(id) && dominators.of(**id).is_none() && !heads.contains(*id));
    let mut suspects = Vec::new();
    for id in top.take(SHOWN) {
        job.check()?;
        let at = accumulates(*id, &below, &dominators);
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
            of_type: name,
            naming: named.naming(*id),
            address: Some(address),
            count: 1,
            bytes: named.objects.bytes(*id),
            retained: Some(retained),
            percent: percent(retained, all),
            accumulation,
            text,
            ..Suspect::of("single", &format!("gcroot {address}"))
        });
    }
    Ok(suspects)
}

/// The object below one, or itself, that still keeps most of it alive while none below it does. A dominator tree has no cycles.
fn accumulates(from: ObjectId, below: &FxHashMap<ObjectId, ObjectId>, dominators: &Dominators) -> ObjectId {
    let next = |at: &ObjectId| {
        let next = *below.get(at)?;
        (tenths(dominators.retained(next), dominators.retained(*at)) >= MOST).then_some(next)
    };
    std::iter::successors(Some(from), next).take(LARGEST).last().unwrap_or(from)
}

/// Types whose objects take much together, and what much hangs from. `listed`: the command that lists objects by these types.
pub(super) fn groups_and_holders(
    session: &Session,
    heap: &Heap,
    named: &Named,
    listed: &str,
    job: &Job,
) -> Result<(Vec<Suspect>, Vec<Suspect>), Error> {
    let histogram = heap.histogram(job)?;
    let all = histogram.total.bytes;
    if all < LEAST {
        return Ok((Vec::new(), Vec::new()));
    }
    let told = heap.source.references().is_some();
    let retained = told.then(|| heap.retained_by_types(job)).transpose()?;
    let holders = told.then(|| Holders::of(session, heap, named, job)).transpose()?;
    let much = histogram.types.iter().filter(|(_, of)| of.count > 1 && tenths(of.bytes, all) >= MUCH);
    let group = |(at, of): &(usize, Amount)| {
        let known = heap.source.types().get(*at)?;
        let mut text = match known.naming {
            Naming::Size => format!(
                "{} blocks of one size {} take {} % of the heap; nothing in them tells their type",
                thousands(of.count),
                known.name,
                percent(of.bytes, all)
            ),
            _ => format!("{} take {} % of the heap", of_type(of.count, &known.name), percent(of.bytes, all)),
        };
        let most = holders.as_ref().and_then(|holders| holders.holder_of(*at));
        let most = most.filter(|(_, amount, _)| tenths(amount.bytes, of.bytes) >= HANGS);
        let holder = most.map(|(holder, amount, way)| Held {
            name: holder.name.clone(),
            way,
            count: amount.count,
            bytes: amount.bytes,
        });
        if let Some(held) = &holder {
            let share = percent(held.bytes, of.bytes);
            text.push_str(&format!("; {share} % of them hang from {}{}", held.name, held.by_way()));
        }
        Some(Suspect {
            of_type: Some(known.name.as_str().into()),
            naming: Some(known.naming.word()),
            count: of.count,
            bytes: of.bytes,
            retained: retained.as_ref().and_then(|retained| retained.get(*at).copied()),
            percent: percent(of.bytes, all),
            holder,
            text,
            ..Suspect::of("group", &format!("{listed} -mt {}", known.id))
        })
    };
    let groups = much.filter_map(group).take(SHOWN).collect();
    let held = holders.iter().flat_map(|holders| held(holders, named, all)).collect();
    Ok((groups, held))
}

/// Variables and stacks from which much of the heap hangs.
fn held(holders: &Holders<'_>, named: &Named, all: u64) -> Vec<Suspect> {
    // One object is told by itself.
    let is_much = |holder: &super::holders::Holder| holder.amount.count > 1 && tenths(holder.amount.bytes, all) >= MUCH;
    let much = holders.all.iter().enumerate().filter(|(_, holder)| is_much(holder));
    let suspect = |(at, holder): (usize, &super::holders::Holder)| {
        let (of, amount, way) = holders.most_of(at)?;
        let known = named.source.types().get(of);
        let name: Arc<str> = known.map_or("unknown type", |known| known.name.as_str()).into();
        let held = Held { name: holder.name.clone(), way, count: amount.count, bytes: amount.bytes };
        let text = format!(
            "{} % of the heap hangs from {}: {}, most of it {}{}",
            percent(holder.amount.bytes, all),
            holder.name,
            super::objects(holder.amount.count),
            of_type(amount.count, &name),
            held.by_way()
        );
        let next = holder.at.map_or_else(|| "dominators".to_owned(), |at| format!("readmemory {at}"));
        Some(Suspect {
            of_type: Some(name),
            naming: known.map(|known| known.naming.word()),
            address: holder.at,
            count: holder.amount.count,
            bytes: holder.amount.bytes,
            percent: percent(holder.amount.bytes, all),
            holder: Some(held),
            text,
            ..Suspect::of("holder", &next)
        })
    };
    much.take(SHOWN).filter_map(suspect).collect()
}

impl Held {
    /// ` by way of node of std::map → shop::Order`.
    fn by_way(&self) -> String {
        if self.way.is_empty() { String::new() } else { format!(" by way of {}", self.way.join(" → ")) }
    }
}
