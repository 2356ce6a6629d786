//! The heaps of allocators other than glibc's, in real processes: what is read from a dump against what the program took and gave back,
//! and what the allocator counts itself. `fixtures/allocators`.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use dumpscope::heap::{Arena, Free, HeapSource};
use dumpscope::job::Job;
use dumpscope::session::{Heap, Session, Source};
use dumpscope::target::Search;
use serde_json::Value;
use support::{Dump, dump};

fn heap(dump: &Dump) -> Arc<Heap> {
    // Nothing but the dump and what it names: no debug files of this machine.
    let session = Session::open(Source::File(dump.core()), &Search::default(), &Job::default()).expect("opens");
    session.heap(&Job::default()).expect("a heap")
}

/// A block of the program's own list.
#[derive(Clone, Copy)]
struct Block {
    /// What it asked for.
    asked: u64,
    /// What the allocator lets it use.
    usable: u64,
}

fn published(dump: &Dump, file: &str) -> BTreeMap<u64, Block> {
    let text = std::fs::read_to_string(dump.dir().join(file)).expect("the program's list");
    let line = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let [block, asked, usable] = words.as_slice() else { panic!("three words, but {line}") };
        let block = u64::from_str_radix(block.trim_start_matches("0x"), 16).expect("an address");
        (block, Block { asked: asked.parse().expect("bytes"), usable: usable.parse().expect("bytes") })
    };
    text.lines().map(line).collect()
}

fn listed(source: &dyn HeapSource) -> BTreeMap<u64, u64> {
    let mut all = BTreeMap::new();
    for part in 0..source.parts() {
        let mut last = 0;
        let add = &mut |object: dumpscope::heap::HeapObject| {
            assert!(object.address.0 > last, "ascending: {} behind {last:#x}", object.address);
            last = object.address.0;
            let twice = all.insert(object.address.0, object.bytes);
            assert_eq!(twice, None, "{} is listed twice", object.address);
            Ok(())
        };
        source.objects(part, &mut Job::default().meter(), add).expect("not cancelled");
    }
    all
}

/// What of a heap is held against the program.
struct Seen {
    dump: Dump,
    arenas: Vec<Arena>,
    listed: BTreeMap<u64, u64>,
    /// Those that the program did not take: the C library's own.
    others: BTreeMap<u64, u64>,
}

impl Seen {
    fn arena(&self, name: &str) -> &Arena {
        self.arenas.iter().find(|arena| arena.name == name).unwrap_or_else(|| panic!("{name} in {:?}", self.arenas))
    }

    fn free(&self, list: &str) -> Free {
        let lists = self.arenas.iter().flat_map(|arena| &arena.free).filter(|(name, _)| *name == list);
        lists.fold(Free::default(), |sum, (_, free)| Free {
            count: sum.count + free.count,
            bytes: sum.bytes + free.bytes,
        })
    }

    fn used(&self) -> Free {
        self.arenas.iter().fold(Free::default(), |sum, arena| Free {
            count: sum.count + arena.used.count,
            bytes: sum.bytes + arena.used.bytes,
        })
    }
}

/// Reads a heap: each block of the program is in it, nothing that it gave back is, and arenas, list and command line agree.
#[track_caller]
fn seen(variant: &str, allocator: &str) -> Seen {
    let dump = dump("allocators", variant);
    let heap = heap(&dump);
    assert_eq!(heap.source.name(), allocator);
    let arenas = heap.source.arenas(&Job::default()).expect("not cancelled");
    let listed = listed(heap.source.as_ref());
    assert_eq!(heap.source.problems(), []);
    let (blocks, freed) = (published(&dump, "blocks"), published(&dump, "freed"));
    let missing: Vec<String> = blocks
        .iter()
        .filter(|(block, _)| !listed.contains_key(block))
        .map(|(block, of)| format!("{block:#x}: {}", of.asked))
        .collect();
    assert!(
        missing.is_empty(),
        "{} of {} missing: {:?}",
        missing.len(),
        blocks.len(),
        &missing[..missing.len().min(10)]
    );
    for (block, Block { asked, usable }) in &blocks {
        let bytes = listed[block];
        assert!(bytes >= *usable && usable >= asked, "{block:#x}: {bytes} bytes for {usable}, {asked}");
    }
    let others: BTreeMap<u64, u64> =
        listed.iter().filter(|(block, _)| !blocks.contains_key(block)).map(|(block, bytes)| (*block, *bytes)).collect();
    let back: Vec<String> =
        others.keys().filter(|block| freed.contains_key(block)).map(|block| format!("{block:#x}")).collect();
    // The library takes some again for itself.
    assert!(back.len() <= 8, "given back: {} of {}: {:?}", back.len(), freed.len(), &back[..back.len().min(10)]);
    let seen = Seen { dump, arenas, listed, others };
    let sum = Free { count: seen.listed.len() as u64, bytes: seen.listed.values().sum() };
    assert_eq!(seen.used(), sum, "the arenas' blocks are those listed");
    let total = total(&seen.dump);
    assert_eq!((&total["count"], &total["bytes"]), (&Value::from(sum.count), &Value::from(sum.bytes)));
    seen
}

/// What the command line says in all.
fn total(dump: &Dump) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(dump.core()).args(["-c", "dumpheap -stat", "--json"]);
    let documents = support::run(command).expect_status(0).documents();
    documents[0]["data"]["total"].clone()
}

#[test]
fn glibc_alone_is_glibc() {
    let seen = seen("glibc", "glibc malloc");
    assert!(seen.others.len() < 40, "the library's own: {:?}", seen.others);
}

/// The program's blocks and the loader's own, those of the program without its own.
fn assert_mallocng(variant: &str, own: usize) {
    let seen = seen(variant, "musl mallocng");
    assert_eq!(seen.others.len(), own, "the library's own: {:?}", seen.others);
    assert!(seen.arena("groups").used.count > 7000 && seen.arena("mmapped").used.count >= 8);
    assert!(seen.free("available slots").count > 0 && seen.free("free slots").count > 500);
}

#[test]
fn every_slot_of_musl_is_told() {
    let idle = seen("musl-idle", "musl mallocng");
    assert!(idle.others.len() < 10, "the loader's own: {:?}", idle.others);
    assert_mallocng("musl", idle.others.len());
}

#[test]
fn a_stripped_static_program_on_musl_needs_no_symbols() {
    assert_mallocng("musl-static", 0);
}

#[test]
fn version_1_2_5_of_musl_is_read_as_well() {
    assert_mallocng("musl-newer", 0);
}

/// musl before 1.2.1, and where it was built so.
#[test]
fn every_chunk_of_the_old_musl_is_told() {
    let seen = seen("musl-old", "musl oldmalloc");
    assert!(seen.others.is_empty(), "nobody else takes any: {:?}", seen.others);
    assert!(seen.free("bins").count > 100 && seen.arena("mmapped").used.count >= 8);
}

#[test]
fn every_region_of_jemalloc_is_told() {
    let seen = seen("jemalloc", "jemalloc");
    let truth = seen.dump.truth();
    let tcache = seen.free("tcache");
    assert_eq!(tcache.bytes, truth.value("tcache_bytes"));
    // The stacks of the threads' caches are blocks, too, of four threads.
    let stacks = truth.value("allocated") - seen.used().bytes - tcache.bytes;
    assert!(stacks.is_multiple_of(4) && (8 << 10..64 << 10).contains(&(stacks / 4)), "{stacks} bytes of books");
    assert!(seen.others.len() < 40, "the library's own: {:?}", seen.others);
}

#[test]
fn every_object_of_tcmalloc_is_told() {
    let seen = seen("tcmalloc", "tcmalloc");
    let truth = seen.dump.truth();
    let arena = seen.arena("page heap");
    assert_eq!(arena.used.bytes, truth.value("allocated"));
    assert_eq!(seen.free("thread caches").bytes, truth.value("thread_cache"));
    assert_eq!(seen.free("transfer").bytes, truth.value("transfer"));
    assert_eq!(seen.free("page heap").bytes, truth.value("pageheap"));
    // What no object fills at the end of a span counts there as free.
    assert_eq!(seen.free("spans").bytes + arena.overhead, truth.value("central"));
    assert!(seen.others.len() < 40, "the library's own: {:?}", seen.others);
}
