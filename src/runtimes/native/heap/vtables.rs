//! The vtables of a process's C++ classes: what the first word of an object with virtual functions points to.
//!
//! Found without symbols: a vtable has in front of it the offset from its subobject to the whole object, 0 for a class's own, and the
//! address of the class's `type_info`, which names it. Classes built without RTTI are told by symbols alone.
//! Source: Itanium C++ ABI 2.5.2 "Virtual Table Components and Order".

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::capture::Memory;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Problem};
use crate::runtimes::native::heap::parts::Odd;
use crate::runtimes::native::rtti;
use crate::target::{Module, Target};

/// Most vtables of a process. Chromium has 60,000.
const MAX_VTABLES: usize = 1 << 20;
/// Longest run of a module's memory that is searched at once, in bytes.
const RUN: u64 = 1 << 20;
/// Most bytes of a module that are searched.
const MAX_MODULE: u64 = 512 << 20;
/// Most offsets of virtual bases and functions in front of a vtable's own words.
const MAX_OFFSETS: u64 = 64;
/// Kinds of `type_info` end so: `N10__cxxabiv120__si_class_type_infoE`. libc++ names its namespace as libstdc++ does.
const KINDS: [&str; 3] = [
    "N10__cxxabiv117__class_type_infoE",
    "N10__cxxabiv120__si_class_type_infoE",
    "N10__cxxabiv121__vmi_class_type_infoE",
];

/// The vtables of a process.
pub(super) struct Vtables {
    /// The address point of each (what an object's first word is) and its class's name, ascending.
    pub points: Vec<(Addr, String)>,
    /// What was not searched.
    pub unsearched: Option<Problem>,
}

/// Looks for the vtables of all modules.
pub(super) fn find(target: &Arc<Target>, job: &Job) -> Result<Vtables, Error> {
    job.phase("looking for vtables", target.modules.len() as u64);
    let mut found: Vec<(Addr, String)> = Vec::new();
    let mut cut = Odd::default();
    for module in &target.modules {
        job.advance(1)?;
        found.extend(of_module(target, module, &mut cut, job)?);
        found.extend(of_symbols(target, module));
        if found.len() > MAX_VTABLES {
            cut.add(module.mapped.base.0);
            found.truncate(MAX_VTABLES);
        }
    }
    found.sort_by_key(|(at, _)| *at);
    // What its type_info says stands before what a symbol says.
    found.dedup_by_key(|(at, _)| *at);
    let unsearched = cut.told("heap-inexact", |modules, first| {
        format!("not all vtables of {modules} modules are known, the first at {first}: objects of their classes may have no name")
    });
    Ok(Vtables { points: found, unsearched })
}

/// The vtables that a module holds, by their type_infos.
fn of_module(target: &Arc<Target>, module: &Module, cut: &mut Odd, job: &Job) -> Result<Vec<(Addr, String)>, Error> {
    let memory = &target.memory;
    let (base, end) = (module.mapped.base, module.mapped.end);
    // They are in the module's file: variables that begin as zeros lie behind what is mapped of it.
    let end = module.mapped.parts.last().map_or(end, |part| part.end.min(end));
    let (runs, rest) = runs(memory, base..end, MAX_MODULE);
    rest.into_iter().for_each(|rest| cut.add(rest.0));
    let of_run = |(at, len): (Addr, u64)| {
        job.check()?;
        let mut classes = FxHashMap::default();
        Ok(in_run(memory, target, at, len, &mut classes))
    };
    let found = runs.into_par_iter().map(of_run).collect::<Result<Vec<_>, Error>>()?;
    Ok(found.into_iter().flatten().collect())
}

/// What of a range can hold vtables, in runs of so many bytes in all at most, and where the rest begins.
fn runs(memory: &Memory, range: Range<Addr>, most: u64) -> (Vec<(Addr, u64)>, Option<Addr>) {
    let mut runs = Vec::new();
    let mut left = most;
    for segment in memory.segments() {
        let mut at = segment.start.max(range.start);
        let to = Addr(segment.start.0.saturating_add(segment.bytes.len() as u64)).min(range.end);
        // Instructions hold no vtables.
        let is_code = memory.region_at(at).is_some_and(|region| region.access.execute);
        while !is_code && at < to {
            let len = to.since(at).unwrap_or(0).min(RUN);
            let Some(rest) = left.checked_sub(len) else { return (runs, Some(at)) };
            left = rest;
            runs.push((at, len));
            let Some(next) = at.plus(len) else { break };
            at = next;
        }
    }
    (runs, None)
}

fn in_run(
    memory: &Memory,
    target: &Target,
    at: Addr,
    len: u64,
    classes: &mut FxHashMap<Addr, Option<String>>,
) -> Vec<(Addr, String)> {
    // A vtable may begin in one run and go on in the next.
    let longer = len.saturating_add(16);
    let Ok(bytes) = memory.slice_up_to(at, longer) else { return Vec::new() };
    let words: Vec<Addr> = memory.pointers(bytes).collect();
    let size = target.arch().pointer_size();
    let mut found = Vec::new();
    for (index, window) in words.windows(3).enumerate() {
        let &[to_top, type_info, function] = window else { continue };
        // A class's own vtable, of a class with RTTI; the function may be missing (a pure virtual one of an abstract class) or bound late.
        if to_top.0 != 0 || type_info.0 < 0x1000 || !type_info.is_aligned(size) {
            continue;
        }
        if function.0 != 0 && target.module_at(function).is_none() {
            continue;
        }
        let name = classes.entry(type_info).or_insert_with(|| class(memory, target, type_info));
        let point = (index as u64).checked_add(2).and_then(|words| at.plus(words.checked_mul(size)?));
        found.extend(name.clone().and_then(|name| Some((point?, name))));
    }
    found
}

/// The name of the class whose type_info this is; `None` where it is none.
fn class(memory: &Memory, target: &Target, type_info: Addr) -> Option<String> {
    target.module_at(type_info)?;
    let kind = rtti::kind(memory, type_info)?;
    KINDS.contains(&kind.as_str()).then(|| rtti::name(memory, type_info).ok()).flatten()
}

/// The vtables that symbols name, for classes without RTTI.
fn of_symbols(target: &Target, module: &Module) -> impl Iterator<Item = (Addr, String)> {
    module.symbols().symbols_starting_with("_ZTV").filter_map(|symbol| {
        let name = rtti::spelled(symbol.name.strip_prefix("_ZTV")?);
        Some((point(target, module.addr(symbol.svma)?)?, name))
    })
}

/// What an object's first word is of a class whose vtable begins at an address: in front of it are the offset to the whole object, 0, and
/// the type_info or 0, in front of those, of a class with virtual bases, offsets of its bases and functions.
fn point(target: &Target, start: Addr) -> Option<Addr> {
    let size = target.arch().pointer_size();
    (0..MAX_OFFSETS).find_map(|index| {
        let point = start.plus(index.checked_add(2)?.checked_mul(size)?)?;
        let to_top = target.memory.ptr(point.minus(size.checked_mul(2)?)?).ok()?;
        let function = target.memory.ptr(point).ok()?;
        (to_top.0 == 0 && target.module_at(function).is_some()).then_some(point)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_searched_is_told_by_its_start() {
        let memory = Memory::of_bytes(0x1000, &vec![0; 3 << 20]);
        let runs = |most| runs(&memory, Addr(0x2000)..Addr(0x20_2000), most);
        let all = vec![(Addr(0x2000), RUN), (Addr(0x10_2000), RUN)];
        assert_eq!(runs(2 << 20), (all.clone(), None));
        assert_eq!(runs((2 << 20) - 1), (all[..1].to_vec(), Some(Addr(0x10_2000))));
    }
}
