//! The heaps of allocators other than glibc's, in real processes: what is read from a dump against what the program took and gave back,
//! and what the allocator counts itself. `fixtures/allocators`.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use dumpscope::heap::{Arena, Free, HeapSource};
use dumpscope::job::Job;
use dumpscope::model::Problem;
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
    let (seen, problems) = seen_with(variant, allocator);
    assert_eq!(problems, []);
    let blocks = published(&seen.dump, "blocks");
    let inside: Vec<&u64> = blocks.keys().filter(|block| !seen.listed.contains_key(block)).collect();
    assert!(inside.is_empty(), "{} blocks begin elsewhere: {inside:x?}", inside.len());
    seen
}

/// The same, with what the heap's reader has to say; the program's blocks may begin inside of those that are listed.
#[track_caller]
fn seen_with(variant: &str, allocator: &str) -> (Seen, Vec<Problem>) {
    let dump = dump("allocators", variant);
    let heap = heap(&dump);
    assert_eq!(heap.source.name(), allocator);
    let arenas = heap.source.arenas(&Job::default()).expect("not cancelled");
    let listed = listed(heap.source.as_ref());
    let problems = heap.source.problems();
    let (blocks, freed) = (published(&dump, "blocks"), published(&dump, "freed"));
    let mut others = listed.clone();
    let mut missing = Vec::new();
    for (block, Block { asked, usable }) in &blocks {
        match listed.range(..=block).next_back() {
            Some((start, bytes)) if block + usable <= start + bytes && usable >= asked => {
                let of_another = others.remove(start).is_none();
                assert!(!of_another, "{start:#x} holds more than one");
            }
            _ => missing.push(format!("{block:#x}: {asked}")),
        }
    }
    assert!(
        missing.is_empty(),
        "{} of {} missing: {:?} {problems:?}",
        missing.len(),
        blocks.len(),
        &missing[..missing.len().min(10)]
    );
    let back: Vec<String> =
        others.keys().filter(|block| freed.contains_key(block)).map(|block| format!("{block:#x}")).collect();
    // The library takes some again for itself.
    assert!(back.len() <= 8, "given back: {} of {}: {:?}", back.len(), freed.len(), &back[..back.len().min(10)]);
    let seen = Seen { dump, arenas, listed, others };
    let sum = Free { count: seen.listed.len() as u64, bytes: seen.listed.values().sum() };
    assert_eq!(seen.used(), sum, "the arenas' blocks are those listed");
    let total = total(&seen.dump);
    assert_eq!((&total["count"], &total["bytes"]), (&Value::from(sum.count), &Value::from(sum.bytes)));
    (seen, problems)
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

#[track_caller]
fn assert_jemalloc(variant: &str) {
    let seen = seen(variant, "jemalloc");
    let truth = seen.dump.truth();
    let tcache = seen.free("tcache");
    assert_eq!(tcache.bytes, truth.value("tcache_bytes"));
    // The stacks of the threads' caches are blocks, too, of four threads.
    let stacks = truth.value("allocated") - seen.used().bytes - tcache.bytes;
    assert!(stacks.is_multiple_of(4) && (8 << 10..64 << 10).contains(&(stacks / 4)), "{stacks} bytes of books");
    assert!(seen.others.len() < 40, "the library's own: {:?}", seen.others);
}

#[test]
fn every_region_of_jemalloc_is_told() {
    assert_jemalloc("jemalloc");
}

#[test]
fn jemalloc_in_a_stripped_program_is_found_as_well() {
    assert_jemalloc("jemalloc-linked");
}

/// A library may have a copy of its own, hidden from all others: both are walked, and their arenas are told apart.
#[test]
fn two_copies_of_an_allocator_are_both_told() {
    let seen = seen("jemalloc-twice", "jemalloc");
    // The first copy's own count; the other one's cannot be asked for.
    let of = |copy: &str| seen.arenas.iter().filter(|arena| arena.name.starts_with(copy)).cloned().collect::<Vec<_>>();
    let (first, second) = (of("jemalloc in libjemalloc.so.2: arena "), of("jemalloc in libsecond.so: arena "));
    assert_eq!(first.len() + second.len(), seen.arenas.len());
    let caches = first.iter().flat_map(|arena| &arena.free).filter(|(list, _)| *list == "tcache");
    assert_eq!(caches.map(|(_, free)| free.bytes).sum::<u64>(), seen.dump.truth().value("tcache_bytes"));
    // Main, three threads and one that ended took 600 blocks each and gave back every third; four caches have stacks.
    assert_eq!(second.iter().map(|arena| arena.used.count).sum::<u64>(), 5 * 400);
    let arenas = support::dumpscope!("analyze", seen.dump.core(), "-c", "heap -arenas").expect_status(0).stdout;
    assert!(arenas.contains("jemalloc in libsecond.so: arena 0"), "{arenas}");
}

#[track_caller]
fn assert_tcmalloc(variant: &str) {
    let seen = seen(variant, "tcmalloc");
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

#[test]
fn every_object_of_tcmalloc_is_told() {
    assert_tcmalloc("tcmalloc");
}

#[test]
fn version_2_8_of_tcmalloc_is_read_as_well() {
    assert_tcmalloc("tcmalloc-bullseye");
}

/// Where in a block an aligned one begins is recorded nowhere, and that is said.
#[test]
fn every_block_of_mimalloc_is_told() {
    let (seen, problems) = seen_with("mimalloc", "mimalloc");
    let [problem] = problems.as_slice() else { panic!("one problem, but {problems:?}") };
    assert_eq!(problem.code, "heap-inexact");
    let blocks = published(&seen.dump, "blocks");
    let aligned =
        blocks.iter().filter(|(block, of)| block.is_multiple_of(64) && [40, 500, 3000, 500 << 10].contains(&of.asked));
    let inside = blocks.keys().filter(|block| !seen.listed.contains_key(block)).count();
    assert!(inside > 0 && inside <= aligned.count(), "{inside} begin inside of a block");
    assert!(seen.others.len() < 40, "the library's own: {:?}", seen.others);
    let freed = ["free", "local free", "thread free", "delayed free"].map(|list| seen.free(list).count);
    assert!(freed.iter().sum::<u64>() > 500 && freed[2] + freed[3] > 20, "{freed:?}");
}

/// An allocator is named, and nothing of it is shown.
#[track_caller]
fn assert_unknown(variant: &str, allocator: &str) {
    let dump = dump("allocators", variant);
    let session = Session::open(Source::File(dump.core()), &Search::default(), &Job::default()).expect("opens");
    // It is no heap of no objects.
    let why = session.heap(&Job::default()).err().expect("nothing is shown").to_string();
    assert!(why.contains(allocator) && why.contains("a version that is not known"), "{why}");
    assert!(session.has_heap(&Job::default()), "the pane is there, and says why");
}

#[test]
fn version_5_2_of_jemalloc_is_named_and_not_shown() {
    assert_unknown("jemalloc-bullseye", "jemalloc");
}

#[test]
fn version_3_of_mimalloc_is_named_and_not_shown() {
    assert_unknown("mimalloc-trixie", "mimalloc");
}

/// A program that knows an allocator by its messages has none for that.
#[test]
fn this_program_holds_no_message_of_an_allocator_that_it_has_not() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_dumpscope")).expect("the program");
    for parts in [["<jemal", "loc>: "], ["tcmalloc: lar", "ge alloc "]] {
        let message = parts.concat().into_bytes();
        assert!(!program.windows(message.len()).any(|window| window == message), "{parts:?}");
    }
}
