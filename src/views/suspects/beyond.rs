//! What the process keeps and no object of the heap takes: free space of arenas, and memory that is no heap.

use super::{SHOWN, Suspect};
use crate::analysis::share::{percent, tenths};
use crate::error::Error;
use crate::heap::Arena;
use crate::job::Job;
use crate::model::MappingKind;
use crate::report::words::thousands;
use crate::session::{Heap, Session};
use crate::views::maddress;

/// From which share of an arena on its free space is told, in tenths of a percent, and from how many bytes on.
const FREE: u32 = 250;
const FREE_BYTES: u64 = 1 << 20;
/// From which share of all arenas on what is free in the others is told together.
const FREE_TOGETHER: u32 = 100;
/// From which share of all memory on that which is no heap is told.
const ELSEWHERE: u32 = 300;

/// Blocks and bytes that an arena keeps free.
fn kept(arena: &Arena) -> (u64, u64) {
    arena
        .free
        .iter()
        .fold((0, 0), |(count, bytes), (_, free)| (count.saturating_add(free.count), bytes.saturating_add(free.bytes)))
}

/// Arenas that keep much that is not in use: one by one, and what the others keep together.
pub(super) fn free(heap: &Heap, job: &Job) -> Result<Vec<Suspect>, Error> {
    let mut arenas = heap.source.arenas(job)?;
    let system: u64 = arenas.iter().map(|arena| arena.system).fold(0, u64::saturating_add);
    arenas.sort_by_key(|arena| std::cmp::Reverse(kept(arena).1));
    let much = |arena: &Arena| {
        let (_, bytes) = kept(arena);
        bytes >= FREE_BYTES && tenths(bytes, arena.system) >= FREE
    };
    let (mut alone, mut others): (Vec<Arena>, Vec<Arena>) = arenas.into_iter().partition(much);
    others.extend(alone.split_off(SHOWN.min(alone.len())));
    let mut suspects: Vec<Suspect> = Vec::new();
    for arena in alone {
        let (count, bytes) = kept(&arena);
        let text = format!(
            "{} % of the arena '{}' is free and not returned to the system, in {}",
            percent(bytes, arena.system),
            arena.name,
            blocks(count)
        );
        suspects.push(Suspect {
            address: arena.address,
            count,
            bytes,
            percent: percent(bytes, system),
            text,
            ..Suspect::of("free", "dumpheap -arenas")
        });
    }
    let sums = others
        .iter()
        .map(kept)
        .fold((0u64, 0u64), |(count, bytes), (more, size)| (count.saturating_add(more), bytes.saturating_add(size)));
    let (count, bytes) = sums;
    if others.len() > 1 && bytes >= FREE_BYTES && tenths(bytes, system) >= FREE_TOGETHER {
        let which = if suspects.is_empty() { "" } else { "other " };
        let text = format!(
            "{} % of what the heap took is free in {} {which}arenas together and not returned to the system, in {}",
            percent(bytes, system),
            thousands(others.len() as u64),
            blocks(count)
        );
        suspects.push(Suspect {
            count,
            bytes,
            percent: percent(bytes, system),
            text,
            ..Suspect::of("free", "dumpheap -arenas")
        });
    }
    Ok(suspects)
}

fn blocks(count: u64) -> String {
    if count == 1 { "1 block".to_owned() } else { format!("{} blocks", thousands(count)) }
}

/// Memory of the process that is no heap: of what was in memory, where that is known of all of it, else of what the dump holds.
pub(super) fn elsewhere(session: &Session, heap: &Heap, job: &Job) -> Result<Vec<Suspect>, Error> {
    let Ok(process) = session.process() else { return Ok(Vec::new()) };
    if heap.source.memory().is_empty() {
        return Ok(Vec::new());
    }
    let memory = process.memory(false, job)?.value;
    // Of which part of a mapping the pages in memory are is often not told: each is counted as what most of it is.
    Ok(of_kinds(&maddress::by_kind(&maddress::whole(&memory.mappings))))
}

fn of_kinds(kinds: &[maddress::KindRow]) -> Vec<Suspect> {
    let is_resident = kinds.iter().all(|kind| kind.resident.is_some());
    let of = if is_resident { "of what was in memory" } else { "of what the dump holds" };
    let held = |kind: &maddress::KindRow| if is_resident { kind.resident.unwrap_or(0) } else { kind.dumped };
    let all: u64 = kinds.iter().map(held).fold(0, u64::saturating_add);
    let other = kinds.iter().filter(|kind| kind.kind != MappingKind::Heap);
    let much = other.filter(|kind| tenths(held(kind), all) >= ELSEWHERE && held(kind) >= FREE_BYTES);
    let suspect = |kind: &maddress::KindRow| {
        let share = percent(held(kind), all);
        let words = kind.kind.words();
        let text = match kind.kind {
            // An allocator that is not known may keep it.
            MappingKind::Private => format!("{share} % {of} is {words}"),
            MappingKind::Module | MappingKind::File if is_resident => {
                format!("{share} % {of} is no heap: {words}, in the page cache")
            }
            _ => format!("{share} % {of} is no heap: {words}"),
        };
        Suspect {
            count: kind.count,
            bytes: held(kind),
            percent: share,
            text,
            ..Suspect::of("elsewhere", "heap -regions")
        }
    };
    much.map(suspect).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::maddress::KindRow;

    fn texts(kinds: &[(MappingKind, Option<u64>, u64)]) -> Vec<String> {
        let row = |(kind, resident, dumped): &(MappingKind, Option<u64>, u64)| KindRow {
            kind: *kind,
            owner: None,
            count: 1,
            bytes: 100 << 20,
            resident: resident.map(|mb| mb << 20),
            dumped: dumped << 20,
        };
        of_kinds(&kinds.iter().map(row).collect::<Vec<_>>()).into_iter().map(|suspect| suspect.text).collect()
    }

    #[test]
    fn shares_are_of_one_measure_resident_where_it_is_known_of_all() {
        let told = texts(&[(MappingKind::Heap, Some(50), 1), (MappingKind::Module, Some(50), 0)]);
        assert_eq!(told, ["50 % of what was in memory is no heap: files of modules, in the page cache"]);
        // Resident is not known of the heap: 90 of it would be held against 10 of the dump, else.
        let told = texts(&[(MappingKind::Heap, None, 10), (MappingKind::Stack, Some(90), 10)]);
        assert_eq!(told, ["50 % of what the dump holds is no heap: stacks"]);
    }

    #[test]
    fn of_private_memory_it_is_not_said_that_it_is_no_heap() {
        let told = texts(&[(MappingKind::Heap, None, 10), (MappingKind::Private, None, 30)]);
        assert_eq!(told, ["75 % of what the dump holds is private memory, not known for what"]);
    }
}
