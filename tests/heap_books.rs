//! The books of jemalloc, tcmalloc and mimalloc in literals: what of them is not in the dump, or cannot be right, is told. Layouts:
//! docs/layouts.

use std::sync::Arc;

use dumpscope::heap::HeapSource;
use dumpscope::job::Job;
use dumpscope::session::{Heap, Session, Source};
use dumpscope::target::Search;
use support::core_writer::{CoreWriter, files, module_page, prstatus_x86_64, words};
use symbols::FileBytes;

/// A library's data.
const DATA: u64 = 0x10_0000;
/// What the blocks are in.
const MEMORY: u64 = 0x200_0000;
/// Memory that is mapped, and of which the dump holds nothing.
const LEFT_OUT: u64 = 0x7010_0000;

/// A core with a module, of whose data the first words are there, and threads with these thread pointers.
fn core(module: &str, data: &[u64], size: u64, threads: &[u64]) -> CoreWriter {
    let code = DATA - 0x1000;
    let mut core = CoreWriter::x86_64();
    for (tid, pointer) in (1..).zip(threads) {
        let mut registers = [0; 27];
        registers[21] = *pointer;
        core = core.note("CORE", 1, &prstatus_x86_64(tid, if tid == 1 { 11 } else { 0 }, &registers));
    }
    core.note("CORE", 0x4649_4c45, &files(&[(code, DATA, 0, module), (DATA, DATA + size, 1, module)]))
        .load(code, 5, &module_page(&[(5, 0, 0, 0x1000), (6, 0x1000, 0x1000, size)], b"12345678"))
        .load_part(DATA, 6, &words(data), size)
        .load_part(LEFT_OUT, 6, &[], 0x1_0000)
}

fn open(core: &CoreWriter) -> Result<Arc<Heap>, String> {
    let source = Source::Bytes("core".into(), FileBytes::from_vec(core.bytes()));
    let search = Search { alone: true, ..Search::default() };
    let session = Session::open(source, &search, &Job::default()).expect("opens");
    session.heap(&Job::default()).map_err(|error| error.to_string())
}

/// How many blocks are listed and their bytes, and what is told.
fn seen(core: &CoreWriter) -> ((u64, u64), Vec<String>) {
    let heap = open(core).expect("a heap");
    let source: &dyn HeapSource = heap.source.as_ref();
    let mut sum = (0, 0);
    for part in 0..source.parts() {
        let add = &mut |object: dumpscope::heap::HeapObject| {
            sum = (sum.0 + 1, sum.1 + object.bytes);
            Ok(())
        };
        source.objects(part, &mut Job::default().meter(), add).expect("not cancelled");
    }
    let used = source.arenas(&Job::default()).expect("not cancelled");
    assert_eq!(used.iter().map(|arena| arena.used.bytes).sum::<u64>(), sum.1, "arenas agree");
    (sum, source.problems().into_iter().map(|problem| format!("{}: {}", problem.code, problem.message)).collect())
}

/// What is told is one sentence that begins so.
#[track_caller]
fn assert_told(told: &[String], beginning: &str) {
    let [one] = told else { panic!("one problem, but {told:#?}") };
    assert!(one.starts_with(beginning), "{one}");
}

mod jemalloc {
    use super::*;

    const BOOK: u64 = 0x80_0000;
    const LEAF: u64 = BOOK + 0x100;
    /// Extents' books: behind the leaf, of 128 bytes each.
    const EDATA: u64 = LEAF + (2 << 20);
    const STORAGE: u64 = 0x60_0000;
    const POINTER: u64 = STORAGE + 0x1000;
    const SLABS: u64 = 32;
    /// 64 regions of 16 bytes, one of which a thread keeps, and a block of 16 KiB.
    const USED: (u64, u64) = (64, 63 * 16 + 16384);

    #[derive(Clone)]
    struct Books {
        root: Vec<u64>,
        book: Vec<u64>,
        storage: Vec<u64>,
        threads: Vec<u64>,
    }

    impl Books {
        fn word(&mut self, at: u64) -> &mut u64 {
            &mut self.book[(at - BOOK) as usize / 8]
        }

        fn extent(&mut self, number: u64, start: u64, pages: u64, slab: u64, class: u64, free: u64) {
            let edata = EDATA + number * 128;
            *self.word(edata) = slab << 12 | class << 20 | free << 28;
            *self.word(edata + 8) = start;
            *self.word(edata + 16) = pages << 12;
            for page in [start >> 12, (start >> 12) + pages - 1] {
                *self.word(LEAF + page * 8) = edata | slab | class << 48;
            }
        }

        fn core(&self) -> CoreWriter {
            core("/nowhere/libjemalloc.so.2", &self.root, 2 << 20, &self.threads)
                .load(BOOK, 6, &words(&self.book))
                .load(STORAGE, 6, &words(&self.storage))
                .load_part(MEMORY, 6, &[], 0x10_0000)
        }
    }

    fn books() -> Books {
        let mut books =
            Books { root: vec![0; 1 << 18], book: vec![0; 6 << 17], storage: vec![0; 512], threads: vec![POINTER] };
        books.root[0] = LEAF;
        *books.word(BOOK) = 6 << 20;
        for slab in 0..SLABS {
            books.extent(slab, MEMORY + slab * 0x1000, 1, 1, 1, 254);
            *books.word(EDATA + slab * 128 + 64) = !3;
            (1..4).for_each(|word| *books.word(EDATA + slab * 128 + 64 + word * 8) = u64::MAX);
        }
        books.extent(SLABS, MEMORY + SLABS * 0x1000, 5, 0, 36, 0);
        // A cache and its slow half, alone in their ring; of its bins the second holds a region of the first slab.
        let (cache, slow, stack) = (128, 400, 500);
        books.storage[cache] = STORAGE + slow as u64 * 8;
        books.storage[slow] = STORAGE + slow as u64 * 8;
        books.storage[slow + 21] = STORAGE + cache as u64 * 8;
        books.storage[stack] = MEMORY + 16;
        let head = STORAGE + stack as u64 * 8;
        for (bin, blocks) in [(0, 0), (1, 1)] {
            books.storage[cache + 1 + bin * 3] = head;
            books.storage[cache + 1 + bin * 3 + 2] = ((head + blocks * 8) & 0xffff) << 32;
        }
        books
    }

    #[test]
    fn whole_books_have_no_problems() {
        assert_eq!(seen(&books().core()), (USED, vec![]));
    }

    #[test]
    fn a_leaf_that_is_not_in_the_dump_is_told() {
        let mut books = books();
        books.root[1] = LEFT_OUT;
        let (used, told) = seen(&books.core());
        assert_eq!(used, USED);
        assert_told(
            &told,
            "heap-incomplete: 1 words of the root of jemalloc's map, the first at 0x100008, or the leaves",
        );
    }

    #[test]
    fn a_root_that_is_cut_is_told() {
        let mut books = books();
        books.root.truncate(1 << 17);
        let (used, told) = seen(&books.core());
        assert_eq!(used, USED);
        assert_told(
            &told,
            "heap-incomplete: 131072 words of the root of jemalloc's map, the first at 0x200000, or the leaves",
        );
    }

    #[test]
    fn extents_whose_books_are_not_in_the_dump_are_told_once_each() {
        let mut books = books();
        for page in 0..8 {
            *books.word(LEAF + ((MEMORY >> 12) + 64 + page) * 8) = LEFT_OUT | 1 << 48;
        }
        let (used, told) = seen(&books.core());
        assert_eq!(used, USED);
        assert_told(
            &told,
            "heap-incomplete: the books of 1 of jemalloc's extents, the first at 0x70100000, are not in",
        );
    }

    #[test]
    fn extents_that_disagree_with_the_map_or_are_not_mapped_are_counted() {
        let mut books = books();
        *books.word(EDATA + 128) ^= 1 << 20;
        *books.word(EDATA + SLABS * 128 + 16) = 1 << 47;
        let (used, told) = seen(&books.core());
        assert_eq!(used, (61, 61 * 16));
        // Of the block by itself the map has the first page and the last.
        assert_told(
            &told,
            "heap-damaged: jemalloc's map and 3 of its extents disagree, the first at 0xa00180: what they",
        );
    }

    #[test]
    fn a_block_larger_than_its_pages_is_none() {
        let mut books = books();
        books.extent(SLABS, MEMORY + SLABS * 0x1000, 5, 0, 231, 0);
        let (used, told) = seen(&books.core());
        assert_eq!(used, (63, 63 * 16));
        assert_told(&told, "heap-damaged: the bits of the slab at 0x2020000");
    }

    #[test]
    fn a_slab_that_counts_otherwise_is_told() {
        let mut books = books();
        *books.word(EDATA + 2 * 128) += 1 << 28;
        let (used, told) = seen(&books.core());
        assert_eq!(used, USED);
        assert_told(
            &told,
            "heap-damaged: the bits of the slab at 0x2002000 are not as many as it counts free regions (0 more",
        );
    }

    #[test]
    fn bins_that_cannot_be_read_are_told() {
        let mut books = books();
        books.storage[128 + 1 + 3] = LEFT_OUT;
        books.storage[128 + 1 + 3 + 2] = ((LEFT_OUT + 8) & 0xffff) << 32;
        let ((count, _), told) = seen(&books.core());
        assert_eq!(count, USED.0 + 1);
        assert_told(&told, "heap-list-damaged: 1 bins or links of threads' caches cannot be read");
    }

    /// So is one that was built without statistics, as rustc has it.
    #[test]
    fn caches_that_are_in_no_ring_are_whole() {
        let mut books = books();
        books.storage[400] = 0;
        assert_eq!(seen(&books.core()), (USED, vec![]));
        books.storage[400] = LEFT_OUT;
        let (used, told) = seen(&books.core());
        assert_eq!(used, USED);
        assert_told(&told, "heap-list-damaged: 1 bins or links of threads' caches");
    }

    #[test]
    fn a_thread_whose_storage_is_not_in_the_dump_is_told() {
        let mut books = books();
        books.threads.push(LEFT_OUT + 0x1000);
        let (used, told) = seen(&books.core());
        assert_eq!(used, USED);
        assert_told(&told, "heap-overcounted: of 1 threads the storage where jemalloc has their caches");
    }

    #[test]
    fn a_heap_without_caches_is_told() {
        let mut books = books();
        books.storage.fill(0);
        let ((count, _), told) = seen(&books.core());
        assert_eq!(count, USED.0 + 1);
        assert_told(&told, "heap-overcounted: no thread's cache of jemalloc was found");
    }

    /// No version that is not known: nobody can tell.
    #[test]
    fn books_that_are_not_in_the_dump_are_no_other_version() {
        let mut books = books();
        books.root[0] = LEFT_OUT;
        let why = open(&books.core()).err().expect("no heap");
        let expected = "its books are not in the dump (1 words of its data lead to memory that it leaves out, the first to 0x70100000)";
        assert!(why.contains(expected), "{why}");
        books.root = vec![0; 1024];
        let why = open(&books.core()).err().expect("no heap");
        assert!(why.contains("its books are not in the dump (8192 of 2097152 bytes of its data are)"), "{why}");
        books.root = vec![0; 1 << 18];
        let why = open(&books.core()).err().expect("no heap");
        assert!(why.contains("its books are of a version that is not known, or were never used"), "{why}");
    }
}

mod tcmalloc {
    use super::*;

    const STATISTICS: usize = 1_060_968 / 8;
    const CENTRAL: usize = STATISTICS + 16;
    const HEAPS: usize = CENTRAL + 128 * 152;
    const LEAF: u64 = 0x80_0000;
    const SPANS: u64 = 0xa0_0000;
    const CACHE: u64 = 0xb0_0000;
    const FULL: usize = 32;
    /// 512 objects of 16 bytes in each span, but for the one in the cache, and a block of three pages.
    const USED: (u64, u64) = (512 * FULL as u64, (512 * FULL as u64 - 1) * 16 + 3 * 8192);

    #[derive(Clone)]
    struct Books {
        own: Vec<u64>,
        leaf: Vec<u64>,
        spans: Vec<u64>,
        cache: Vec<u64>,
    }

    impl Books {
        fn span(&mut self, page: u64, length: u64, bits: u64) {
            let number = self.spans.len() / 6;
            self.spans.extend([(MEMORY >> 13) + page, length, 0, 0, 0, bits]);
            self.leaf[((MEMORY >> 13) + page) as usize] = SPANS + number as u64 * 48;
            self.own[STATISTICS] += length << 13;
        }

        fn core(&self) -> CoreWriter {
            core("/nowhere/libtcmalloc.so.4", &self.own, (HEAPS as u64 * 8).next_multiple_of(4096), &[0])
                .load(LEAF, 6, &words(&self.leaf))
                .load(SPANS, 6, &words(&self.spans))
                .load(CACHE, 6, &words(&self.cache))
                .load(MEMORY, 6, &[0; 0x1000])
                .load_part(MEMORY + 0x1000, 6, &[], 0xf_f000)
        }
    }

    fn books() -> Books {
        let mut books = Books { own: vec![0; HEAPS + 2], leaf: vec![0; 1 << 18], spans: vec![], cache: vec![0; 520] };
        books.own[0] = LEAF;
        (0..128).for_each(|class| books.own[CENTRAL + class * 152 + 1] = class as u64);
        books.own[HEAPS] = CACHE;
        (1..=16).for_each(|class| books.cache[class * 4 + 3] = 8 << (class - 1));
        (0..FULL as u64).for_each(|page| books.span(page, 1, 512 | 2 << 16));
        books.span(FULL as u64, 3, 0);
        books.span(FULL as u64 + 3, 2, 1 << 24);
        books.own[STATISTICS + 1] = 2 << 13;
        // One object of class 2 in the thread's cache.
        (books.cache[8], books.cache[9], books.cache[512]) = (MEMORY, 1, 16);
        books
    }

    #[test]
    fn whole_books_have_no_problems() {
        assert_eq!(seen(&books().core()), (USED, vec![]));
    }

    #[test]
    fn a_leaf_that_is_not_in_the_dump_is_told() {
        let mut books = books();
        books.own[1] = LEFT_OUT;
        books.own[STATISTICS] += 8 << 13;
        let (used, told) = seen(&books.core());
        assert_eq!(used, USED);
        assert_told(
            &told,
            "heap-incomplete: 1 words of the root of tcmalloc's map, the first at 0x100008, or the leaves",
        );
    }

    #[test]
    fn counts_that_are_not_in_the_dump_are_not_zero() {
        let mut books = books();
        books.own.truncate(STATISTICS);
        let why = open(&books.core()).err().expect("no heap");
        assert!(why.contains("what it counts of its pages is not in the dump"), "{why}");
    }

    #[test]
    fn a_span_that_is_not_mapped_is_none() {
        let mut books = books();
        books.span(FULL as u64 + 5, 1 << 40, 0);
        let why = open(&books.core()).err().expect("no heap");
        assert!(why.contains("its pages sum up to 303104 bytes"), "{why}");
    }

    #[test]
    fn a_span_that_counts_otherwise_is_told() {
        let mut books = books();
        books.spans[5] -= 1;
        let (used, told) = seen(&books.core());
        assert_eq!(used, USED);
        assert_told(&told, "heap-damaged: the span at 0x2000000 has not as many free objects as it states (0 more");
    }

    #[test]
    fn a_list_that_is_not_as_long_as_it_states_is_told() {
        let mut books = books();
        books.cache[9] = 2;
        let (used, told) = seen(&books.core());
        assert_eq!(used, USED);
        assert_told(&told, "heap-list-damaged: 1 free lists of tcmalloc are not as long as they state");
    }
}

mod mimalloc {
    use super::*;

    const COOKIE: u64 = 0xc00c_1e00_0001;
    const SEGMENT: u64 = 32 << 20;
    const SLICES: u64 = 512;
    const FIRST: usize = 33;
    const PAGES: usize = 20;
    /// A heap in the library's data, of 383 words.
    const HEAP: usize = 64;
    const USED: (u64, u64) = (4 * PAGES as u64, 4 * PAGES as u64 * 64);

    #[derive(Clone)]
    struct Books {
        own: Vec<u64>,
        segment: Vec<u64>,
    }

    impl Books {
        fn core(&self) -> CoreWriter {
            core("/nowhere/libmimalloc.so.2", &self.own, 0x1000, &[0]).load_part(
                SEGMENT,
                6,
                &words(&self.segment),
                32 << 20,
            )
        }
    }

    fn books() -> Books {
        let mut books = Books { own: vec![0; 512], segment: vec![0; FIRST + (SLICES as usize + 1) * 10] };
        books.own[2] = COOKIE;
        books.own[HEAP + 378] = PAGES as u64;
        books.segment[27] = COOKIE ^ SEGMENT;
        (books.segment[28], books.segment[29], books.segment[31]) = (SLICES, 1, SLICES);
        for page in 0..PAGES {
            let at = FIRST + (page + 1) * 10;
            // Four blocks of 64 bytes, all of them in use, in one slice.
            books.segment[at..at + 7].copy_from_slice(&[
                1,
                4 << 16 | 4 << 32,
                0,
                4 | 64 << 32,
                0,
                0,
                DATA + HEAP as u64 * 8,
            ]);
        }
        books.segment[FIRST + (PAGES + 1) * 10] = SLICES - PAGES as u64 - 1;
        books
    }

    #[test]
    fn whole_books_have_no_problems() {
        assert_eq!(seen(&books().core()), (USED, vec![]));
    }

    #[test]
    fn a_heap_that_is_not_in_the_dump_is_told() {
        let mut books = books();
        (0..PAGES).for_each(|page| books.segment[FIRST + (page + 1) * 10 + 6] = LEFT_OUT);
        let (used, told) = seen(&books.core());
        assert_eq!(used, USED);
        assert_told(&told, "heap-overcounted: 1 of mimalloc's heaps are not in the dump");
    }

    #[test]
    fn a_place_for_a_segment_that_is_not_in_the_dump_is_told() {
        let (used, told) = seen(&books().core().load_part(2 * SEGMENT, 6, &[], 32 << 20));
        assert_eq!(used, USED);
        assert_told(&told, "heap-incomplete: at 1 addresses, the first 0x4000000, a segment of mimalloc may begin");
    }

    #[test]
    fn a_segment_has_no_more_than_is_mapped() {
        let mut books = books();
        books.segment[28] = 1 << 40;
        let why = open(&books.core()).err().expect("no heap");
        assert!(why.contains("its books are of a version that is not known"), "{why}");
    }

    #[test]
    fn what_heaps_and_pages_state_is_held_against_what_is_found() {
        let told = |change: &dyn Fn(&mut Books)| {
            let mut books = books();
            change(&mut books);
            seen(&books.core()).1
        };
        assert_told(
            &told(&|books| books.own[HEAP + 378] += 1),
            "heap-incomplete: mimalloc's heaps count 21 pages, 20 were found",
        );
        assert_told(
            &told(&|books| books.own[HEAP + 355] = LEFT_OUT),
            "heap-list-damaged: a heap's list of what other threads",
        );
        assert_told(
            &told(&|books| books.segment[FIRST + 13] -= 1),
            "heap-damaged: the free lists of the page that 0x2000158 tells",
        );
        let odd = told(&|books| books.segment[FIRST + 11] = 5 << 16 | 4 << 32);
        assert!(odd[0].starts_with("heap-damaged: what mimalloc says of 1 pages cannot be right"), "{odd:?}");
    }
}
