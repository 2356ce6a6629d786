//! A runtime in memory that may hold anything, for fuzzing: all that is kept by its collector, its loaders and its compiler is read.

use std::sync::Arc;

use super::CoreClr;
use super::clr::Clr;
use super::methods::Methods;
use crate::capture::Memory;
use crate::error::Error;
use crate::heap::Objects;
use crate::job::Job;
use crate::runtimes::Runtime;

/// Where the memory begins, and the collector's table in it.
const BASE: u64 = 0x1000;
const TABLE: u64 = BASE + 0x100;

/// Variables of the runtime, one after another from [`BASE`] on.
const VARIABLES: [&str; 14] = [
    "ThreadStore",
    "FinalizerThread",
    "GCThread",
    "AppDomain",
    "SystemDomain",
    "FreeObjectMethodTable",
    "ObjectMethodTable",
    "StringMethodTable",
    "ExceptionMethodTable",
    "ExecutionManagerCodeRangeMapAddress",
    "GCHeapType",
    "SyncTableEntries",
    "SyncBlockCache",
    "GcDacVars",
];

/// Words of a small heap by their addresses: a collector of regions without handles, whose generation 0 has one region with an object of a class
/// without references and one of a class with one.
const WORDS: [(u64, u64); 32] = [
    // The list of threads, which is empty; a workstation's collector.
    (BASE, 0x2800),
    (BASE + 80, 1),
    (BASE + 104, TABLE),
    // The table: its version, the size of a generation, then variables as dacvars.def has them: the table of generations, the place where
    // objects are made, finalizers, the number of heaps, whether it moves objects, handles, offsets in generations.
    (TABLE, 5),
    (TABLE + 8, 0x80),
    (TABLE + 24 + 3 * 8, 0x2000),
    (TABLE + 24 + 7 * 8, 0x1080),
    (TABLE + 24 + 12 * 8, 0x1080),
    (TABLE + 24 + 15 * 8, 0x1088),
    (TABLE + 24 + 21 * 8, 0x1088),
    (TABLE + 24 + 26 * 8, 0x1088),
    (TABLE + 24 + 28 * 8, 0x1300),
    (0x1300, 0x20 << 32),
    (0x1308, u32::MAX as u64),
    (0x2020, 0x2600),
    // The region: allocated, committed, start.
    (0x2600, 0x3038),
    (0x2608, 0x3100),
    (0x2620, 0x3000),
    // The objects, of 24 bytes; the second refers to the first.
    (0x3000, 0x3200),
    (0x3018, 0x3280),
    (0x3020, 0x3000),
    // Classes: flags with the size, the description, which names the class; before the second the series of its reference.
    (0x3204, 24),
    (0x3200 + 40, 0x3300),
    (0x3300 + 16, 0x3200),
    (0x3268, (-16i64).cast_unsigned()),
    (0x3270, 8),
    (0x3278, 1),
    (0x3280, 24 << 32 | 0x0100_0000),
    (0x3280 + 40, 0x3380),
    (0x3380 + 16, 0x3280),
    (0x1098, 0x3400),
    (0x1028, 0x3400),
];
/// Bytes of its memory.
const LEN: usize = 0x2800;

/// What is read of that heap where words are other ones: each change is a place in two bytes, counted in words, and eight bytes that stand
/// there.
pub fn read_changed(major: u32, changes: &[u8]) -> Result<u32, Error> {
    let mut memory = vec![0; LEN];
    let mut put = |at: usize, word: &[u8]| {
        if let Some(place) = memory.get_mut(at..at.saturating_add(word.len())) {
            place.copy_from_slice(word);
        }
    };
    for (at, word) in WORDS {
        put(usize::try_from(at.saturating_sub(BASE)).unwrap_or(LEN), &word.to_le_bytes());
    }
    for change in changes.chunks_exact(10) {
        if let [low, high, word @ ..] = change {
            put(usize::from(u16::from_le_bytes([*low, *high])).saturating_mul(8), word);
        }
    }
    read_all(major, &memory)
}

/// Reads segments, handles, finalizers, blocks of loaders, heaps of code, objects and what they refer to, of .NET of a major version whose
/// memory begins at 0x1000 with its variables and is these bytes. How many objects there are.
fn read_all(major: u32, bytes: &[u8]) -> Result<u32, Error> {
    let globals: Vec<(&str, u64)> = VARIABLES
        .iter()
        .zip(0u64..)
        .map(|(name, place)| (*name, BASE.saturating_add(place.saturating_mul(8))))
        .collect();
    let clr = Arc::new(Clr::written(major, Memory::of_bytes(BASE, bytes), &globals)?);
    let (runtime, job) = (CoreClr::with(Methods::new(Arc::clone(&clr))), Job::default());
    runtime.handles();
    runtime.finalize_queues().ok();
    runtime.loader_blocks(&job)?;
    runtime.code_heaps(&job)?;
    let Some(heap) = runtime.heap(&clr.target, &job)? else { return Ok(0) };
    let objects = Objects::of(heap.as_ref(), &job)?;
    if let Some(references) = heap.references() {
        references.of_objects(0..objects.len(), &objects, &mut job.meter(), &mut |_, _| Ok(()))?;
        references.roots(&objects, &job, &mut |_, _| Ok(()))?;
    }
    heap.verify(&job)?;
    Ok(objects.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(place: u64, word: u64) -> Vec<u8> {
        [u16::try_from(place).unwrap().to_le_bytes().as_slice(), &word.to_le_bytes()].concat()
    }

    #[test]
    fn a_heap_written_by_hand_is_read_and_whatever_is_changed_in_it_ends() {
        assert!(matches!(read_changed(10, &[]), Ok(2)), "{:?}", read_changed(10, &[]));
        let mut read = 0;
        let places: std::collections::BTreeSet<u64> = WORDS.iter().map(|(at, _)| (at - BASE) / 8).collect();
        for place in places {
            for word in [0, 1, u64::MAX, BASE, TABLE, 0x2600, 0x3000, 0x3280, 1 << 40] {
                for major in 8..=10 {
                    read += u32::from(read_changed(major, &change(place, word)).is_ok_and(|objects| objects > 0));
                }
            }
        }
        assert!(read > 300, "{read} could be read");
    }
}
