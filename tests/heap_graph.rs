//! What refers to native blocks, where memory is not as it usually is: two allocators in one process, mappings without contents.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use dumpscope::job::Job;
use dumpscope::session::{Session, Source};
use dumpscope::target::Search;
use support::{dump, dumpscope};

/// glibc's arenas grow between the mappings of an allocator that was preloaded. What `g_kept` holds of both is printed, and where
/// the program's own arena is.
const TWO: &str = r#"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
extern void *__libc_malloc(size_t);
void *g_kept[4][200];
void *g_pool;
static void *work(void *argument) {
    long number = (long)argument;
    for (int at = 1; at < 200; at++) g_kept[number][at] = __libc_malloc(100 + at);
    g_kept[number][0] = malloc(5 << 20);
    return NULL;
}
int main(void) {
    for (long number = 0; number < 4; number++) {
        pthread_t thread;
        for (int at = 0; at < 20; at++) *(char *volatile *)malloc(3 << 20) = NULL;
        pthread_create(&thread, NULL, work, (void *)number);
        pthread_join(thread, NULL);
    }
    /* Between two mappings that nobody may touch, so that it is joined with no other. */
    char *room = mmap(NULL, 5 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_pool = room + (1 << 20);
    mprotect(g_pool, 3 << 20, PROT_READ | PROT_WRITE);
    for (long at = 0; at < 3 << 20; at += 4096) ((char *)g_pool)[at] = 1;
    fprintf(stderr, "%p\n", g_pool);
    printf("%p %p\n", g_kept[3][0], g_kept[3][7]);
    fflush(stdout);
    abort();
}
"#;

/// The program of a source, in a folder.
fn built(folder: &Path, source: &str, flags: &[&str]) -> PathBuf {
    let (file, exe) = (folder.join("main.c"), folder.join("exe"));
    std::fs::write(&file, source).expect("it can be written");
    let built = Command::new("gcc").args(flags).arg("-o").arg(&exe).arg(&file).status();
    assert!(built.expect("needs gcc: apt-get install gcc").success());
    exe
}

/// The core that a program left in a folder.
fn core_in(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder).expect("the folder is there").filter_map(|file| Some(file.ok()?.path()));
    let is_core = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("core"));
    files.into_iter().find(is_core).expect("a core: sysctl -w kernel.core_pattern=core")
}

#[test]
fn two_allocators_between_each_others_mappings_are_one_graph() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let exe = built(folder.path(), TWO, &["-O1", "-pthread", "-fno-builtin-malloc"]);
    let library = Path::new("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2");
    assert!(library.exists(), "needs jemalloc: apt-get install libjemalloc2");
    let mut run = Command::new("sh");
    run.arg("-c").arg("ulimit -c unlimited; LD_PRELOAD=$1 exec \"$0\"").arg(&exe).arg(library);
    let output = run.current_dir(folder.path()).output().expect("sh runs");
    let (said, pool) = (output.stdout, String::from_utf8(output.stderr).expect("an address"));
    let core = core_in(folder.path());
    let session = Session::open(Source::File(core.clone()), &Search::default(), &Job::default()).expect("opens");
    let heap = session.heap(&Job::default()).expect("a heap");
    let name = heap.source.name();
    assert!(name.contains("glibc malloc") && name.contains("jemalloc"), "both are there: {name}");
    let said = String::from_utf8(said).expect("addresses");
    for address in said.split_whitespace() {
        let output = dumpscope!("analyze", &core, "--json", "-c", &format!("gcroot {address}")).expect_status(0);
        let paths = output.data("gcroot")["paths"].clone();
        assert_eq!(paths[0]["root"]["kind"], "global", "{address}: {paths}");
        assert!(paths[0]["root"]["name"].as_str().is_some_and(|name| name.starts_with("g_kept")), "{paths}");
        assert_eq!(paths[0]["objects"].as_array().map(Vec::len), Some(1), "it is held by the variable itself: {paths}");
    }

    let output = dumpscope!("analyze", &core, "--json", "-c", "heap -regions").expect_status(0);
    let mappings = output.data("dumpheap")["mappings"].as_array().expect("mappings").clone();
    let owner = |row: &&serde_json::Value| row["kind"] == "heap";
    let owners: std::collections::BTreeSet<&str> =
        mappings.iter().filter(owner).filter_map(|row| row["owner"].as_str()).collect();
    assert!(owners.contains("glibc malloc") && owners.contains("jemalloc"), "{owners:?}");
    let pool = pool.lines().find(|line| line.starts_with("0x")).expect("an address");
    let row = mappings.iter().find(|row| row["start"] == pool).expect("the program's own arena is a mapping");
    assert_eq!((&row["kind"], &row["owner"]), (&"private".into(), &"g_pool".into()));
    assert_eq!(row["bytes"], 3 << 20);
}

/// A writable mapping of terabytes of which the dump holds nothing (as ASan's shadow is) is not looked through page by page.
#[test]
fn a_mapping_of_terabytes_without_contents_costs_nothing_and_is_told() {
    let mut bytes = std::fs::read(dump("heap-cxx", "stripped").core()).expect("the core can be read");
    let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    // Elf64_Ehdr: e_phnum 56; Elf64_Phdr of 56 bytes: p_type 0, p_flags 4, p_vaddr 16, p_memsz 40. Source: elf.h.
    let headers: Vec<usize> = (0..usize::from(bytes[56])).map(|at| 64 + 56 * at).filter(|at| bytes[*at] == 1).collect();
    let next = |at: usize| {
        let start = word(&bytes, at + 16);
        headers.iter().map(|other| word(&bytes, other + 16)).filter(|other| *other > start).min()
    };
    let room = |at: &usize| next(*at).map_or(0, |next| next.saturating_sub(word(&bytes, at + 16)));
    // Of those below the kernel's half.
    let widest = headers.iter().copied().filter(|at| bytes[at + 4] & 2 != 0 && room(at) < 1 << 47).max_by_key(room);
    let widest = widest.expect("a writable mapping");
    assert!(room(&widest) > 1 << 43, "there is room behind it");
    bytes[widest + 40..widest + 48].copy_from_slice(&(1u64 << 43).to_le_bytes());
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &bytes).expect("room for it");
    let start = Instant::now();
    let output = dumpscope!("analyze", file.path(), "--json", "-c", "suspects").expect_status(0);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let suspects = output.data("suspects");
    assert_eq!(suspects["is_whole"], false);
    let texts = suspects["suspects"].to_string();
    assert!(texts.contains("likely leaked") && !texts.contains("\"leaked"), "{texts}");
}

/// The two runs of one program, the second of which has more, with when they are said to have been written.
fn two_runs(seconds: [u64; 2]) -> (tempfile::TempDir, [std::path::PathBuf; 2]) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let files = ["debug", "grown"].map(|name| folder.path().join(name));
    for (file, seconds) in files.iter().zip(seconds) {
        let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
        std::fs::copy(dump("heap-cxx", name).core(), file).expect("room for it");
        let written = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
        std::fs::File::options().write(true).open(file).and_then(|file| file.set_modified(written)).expect("a time");
    }
    (folder, files)
}

fn row<'a>(rows: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let found = rows.as_array().expect("rows").iter().find(|row| row["type"] == name);
    found.unwrap_or_else(|| panic!("no {name} among {rows}"))
}

/// By the source 100 items of the deque and one node of it are more, and 5 chains of 7 items that nothing refers to.
#[test]
fn what_grew_and_what_leaked_between_two_dumps_is_what_the_source_says() {
    let (_folder, [before, after]) = two_runs([1000, 2000]);
    let diff = format!("diff {} -names", before.display());
    let told = dumpscope!("analyze", &after, "--json", "-c", &diff).expect_status(0).data("diff");
    assert_eq!((&told["ordered_by"], &told["complete"]), (&"written".into(), &true.into()));
    assert_eq!(told["before"], before.display().to_string());
    let grown = |name: &str| row(&told["types"], name)["count"]["delta"].as_i64();
    assert_eq!(grown("shop::Item"), Some(100));
    assert_eq!(grown("shop::Item*[] of std::deque<shop::Item*>"), Some(1));
    assert_eq!(row(&told["types"], "shop::Item")["bytes"]["delta"], 100 * 48, "40 bytes and malloc's header");
    assert_eq!(told["types"].as_array().map(Vec::len), Some(4), "with heads of chains and what hangs from them");
    let leaks = told["leaks"].as_array().expect("leaks");
    let [chains] = leaks.as_slice() else { panic!("one kind of leak grew, but {leaks:?}") };
    assert_eq!((&chains["count"]["before"], &chains["count"]["after"]), (&1.into(), &6.into()), "{chains}");
    assert_eq!(chains["bytes"]["delta"], 5 * 7 * 48);
    let head = chains["address"].as_str().expect("a head");
    let held = dumpscope!("analyze", &after, "--json", "-c", &format!("gcroot {head}")).expect_status(0);
    assert_eq!(held.data("gcroot")["paths"], serde_json::json!([]), "nothing refers to it");
    // In words, too: types from a hundredth of the heap on, leaks always.
    let suspects = format!("suspects -with {}", before.display());
    let told = dumpscope!("analyze", &after, "--json", "-c", &suspects).expect_status(0).data("suspects");
    let grew = told["suspects"].as_array().expect("suspects").iter().filter(|one| one["kind"] == "grew");
    let grew: Vec<(&str, u64)> =
        grew.filter_map(|one| Some((one["text"].as_str()?.split(" since ").next()?, one["count"].as_u64()?))).collect();
    assert_eq!(grew, [("shop::Item grew by 100 objects", 100), ("leaked", 5)]);
}

#[test]
fn which_dump_was_before_is_said_and_guessed_where_files_do_not_tell() {
    let (_folder, [one, two]) = two_runs([2000, 1000]);
    let told = |open: &Path, line: &str| {
        let output = dumpscope!("analyze", open, "-c", line, "--json").expect_status(0);
        let data = output.data("diff");
        (data["ordered_by"].as_str().unwrap_or("?").to_owned(), data["before"].as_str().unwrap_or("?").to_owned())
    };
    let (first, second) = (one.display().to_string(), two.display().to_string());
    assert_eq!(told(&one, &format!("diff {second}")), ("written".to_owned(), second.clone()));
    assert_eq!(told(&one, &format!("diff {second} -reverse")), ("reverse".to_owned(), first));
    let (_folder, [one, two]) = two_runs([1000, 1000]);
    let (first, line) = (one.display().to_string(), format!("diff {}", two.display()));
    assert_eq!(told(&one, &line), ("opened".to_owned(), first));
    let text = dumpscope!("analyze", &one, "-c", &line).expect_status(0).stdout;
    assert!(text.contains("guessed: the files do not tell which was first"), "{text}");
}

#[test]
fn heaps_of_different_kinds_are_not_held_against_each_other() {
    let line = format!("diff {}", dump("allocators", "musl").core().display());
    let output = dumpscope!("analyze", dump("heap-cxx", "debug").core(), "-c", &line).expect_status(1);
    assert!(output.stderr.contains("a heap of glibc malloc and one of musl mallocng cannot be held"), "{output:?}");
}

#[test]
fn what_is_missing_of_two_dumps_is_told_with_the_dump_that_misses_it() {
    let (whole, damaged) = (dump("heap-ptmalloc", "glibc").core(), dump("heap-ptmalloc", "overrun").core());
    let line = format!("diff {}", damaged.display());
    let output = dumpscope!("analyze", &whole, "-c", &line, "--json").expect_status(0);
    assert_eq!(output.data("diff")["complete"], false);
    let warnings = output.documents()[0]["warnings"].to_string();
    assert!(warnings.contains(&format!("{}: the heap is damaged at", damaged.display())), "{warnings}");
    let text = dumpscope!("analyze", &whole, "-c", &line).expect_status(0).stdout;
    let of_damaged = text.lines().find(|line| line.contains("overrun")).expect("its line");
    let of_whole = text.lines().find(|line| line.contains("glibc/core")).expect("its line");
    assert!(of_damaged.contains("at least") && !of_whole.contains("at least"), "{text}");
}

/// Of 1,147 items 600 are each held by the deque alone. From `g_by_name` hang of 20 names a node, a text and an array, and 100
/// orders with three items, an address and two texts each; from `g_customers` the buckets, and of 30 customers a node, the customer, its
/// name, its home with a text, an array, and two such orders.
#[test]
fn what_the_heap_hangs_from_is_told_by_the_names_of_variables() {
    let output = dumpscope!("analyze", dump("heap-cxx", "debug").core(), "--json", "-c", "suspects").expect_status(0);
    let suspects = output.data("suspects")["suspects"].as_array().expect("suspects").clone();
    let of_kind = |kind: &str| suspects.iter().filter(|one| one["kind"] == kind).collect::<Vec<_>>();
    let held: Vec<(&str, u64)> = of_kind("holder")
        .iter()
        .filter_map(|one| Some((one["holder"]["name"].as_str()?, one["count"].as_u64()?)))
        .collect();
    let (orders, customers) = (20 * 3 + 100 * 7, 1 + 30 * (6 + 2 * 7));
    assert_eq!(held, [("shop::g_by_name", orders), ("shop::g_customers", customers), ("shop::g_deque", 600 + 11)]);
    let items = of_kind("group").into_iter().find(|one| one["type"] == "shop::Item").expect("they take the most");
    assert_eq!((&items["count"], &items["naming"]), (&1147.into(), &"referred".into()));
    let way = serde_json::json!(["shop::Item*[] of std::deque<shop::Item*>"]);
    assert_eq!((&items["holder"]["name"], &items["holder"]["count"]), (&"shop::g_deque".into(), &600.into()));
    assert_eq!(items["holder"]["way"], way);
    let text = items["text"].as_str().expect("a sentence");
    assert!(text.contains("52.3 % of them hang from shop::g_deque"), "600 of 1,147: {text}");
}

/// Without debug information an item is told by its size alone, and a customer by its vtable.
#[test]
fn how_the_type_of_an_object_is_known_stands_in_every_list() {
    let core = dump("heap-cxx", "stripped").core();
    let output = dumpscope!("analyze", &core, "--json", "-c", "dumpheap -type shop::Customer").expect_status(0);
    let customer = output.data("dumpheap")["objects"][0]["address"].as_str().expect("a customer").to_owned();
    let asked = ["referrers", "references", "gcroot"].map(|command| format!("{command} {customer}"));
    let [referrers, references, gcroot] = &asked;
    let output = dumpscope!(
        "analyze",
        &core,
        "--json",
        "-c",
        referrers,
        "-c",
        references,
        "-c",
        gcroot,
        "-c",
        "dominators",
        "-c",
        "suspects"
    )
    .expect_status(0);
    for command in ["referrers", "references"] {
        let told = output.data(command);
        assert_eq!((&told["type"], &told["naming"]), (&"shop::Customer".into(), &"recorded".into()), "{command}");
        assert_eq!(told["objects"][0]["naming"], "size", "a node of a map, a name, an address: {told}");
    }
    let way = output.data("gcroot")["paths"][0]["objects"].as_array().expect("a way").clone();
    assert_eq!(way.last().expect("itself")["naming"], "recorded");
    assert_eq!(way.first().expect("the map's")["naming"], "size");
    assert_eq!(output.data("dominators")["objects"][0]["naming"], "size", "what the C++ library keeps for emergencies");
    assert_eq!(output.data("suspects")["suspects"][0]["naming"], "contents", "a block of x that is leaked");
}

#[test]
fn what_suspects_say_to_ask_next_has_an_answer() {
    let core = dump("heap-cxx", "debug").core();
    let told = dumpscope!("analyze", &core, "--json", "-c", "suspects").expect_status(0).data("suspects");
    let suspects = told["suspects"].as_array().expect("suspects").clone();
    assert!(suspects.iter().any(|one| one["kind"] == "group"), "{told}");
    for suspect in suspects {
        dumpscope!("analyze", &core, "--json", "-c", suspect["next"].as_str().expect("a command")).expect_status(0);
    }
}

#[test]
fn that_the_other_dump_is_cut_is_told_too() {
    let (_folder, [whole, cut]) = two_runs([1000, 2000]);
    let file = std::fs::File::options().write(true).open(&cut).expect("opens");
    let length = file.metadata().expect("a length").len();
    file.set_len(length - 4096).expect("the last mapping is cut");
    let output = dumpscope!("analyze", &whole, "--json", "-c", &format!("diff {}", cut.display())).expect_status(0);
    let warnings = output.documents()[0]["warnings"].as_array().expect("warnings").clone();
    let told = warnings.iter().find(|warning| warning["code"] == "truncated").expect("that it is cut");
    assert!(told["message"].as_str().is_some_and(|text| text.starts_with(cut.to_str().expect("a path"))), "{told}");
}

/// What a local variable holds, in a function that two others called.
const LOCAL: &str = r#"
#include <stdlib.h>
struct { char *text; unsigned long len, room; } g_text;
__attribute__((noinline)) void load(void) {
    g_text.text = calloc(1, 101);
    g_text.len = 50;
    g_text.room = 100;
    char **volatile held = malloc(1000 * sizeof *held);
    for (int at = 0; at < 1000; at++) held[at] = calloc(1, 4000);
    abort();
}
__attribute__((noinline)) void serve(void) { load(); }
int main(void) { serve(); }
"#;

#[test]
fn what_hangs_from_a_stack_is_told_with_the_calls_that_hold_it() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let exe = built(folder.path(), LOCAL, &["-O0"]);
    let mut run = Command::new("sh");
    run.arg("-c").arg("ulimit -c unlimited; exec \"$0\"").arg(&exe);
    run.current_dir(folder.path()).output().expect("sh runs");
    let core = core_in(folder.path());
    let output =
        dumpscope!("analyze", &core, "--json", "-c", "suspects", "-c", "dumpheap -stat -names").expect_status(0);
    // Length and room stand beside a pointer as in a string of C++, of which there is nothing in this process.
    let types = output.data("dumpheap")["types"].to_string();
    assert!(types.contains("g_text") && !types.contains("std::"), "{types}");
    let suspects = output.data("suspects")["suspects"].as_array().expect("suspects").clone();
    let text = suspects
        .iter()
        .filter_map(|suspect| suspect["text"].as_str())
        .find(|text| text.contains("hangs from the stack of"));
    let text = text.unwrap_or_else(|| panic!("a stack holds the heap: {suspects:?}"));
    // What `abort` keeps of its caller's registers may hold it too.
    assert!(text.contains(", in ") && text.contains("load ← serve"), "{text}");
}

/// A block in front of a free one: glibc's list of free blocks leads to its last bytes.
const LEAKED: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
void *g_guard;
volatile unsigned long g_hidden;
__attribute__((noinline)) static void leak(void) {
    char *leaked = malloc(3000), *freed = malloc(5000);
    g_guard = malloc(100);
    memset(leaked, 1, 3000);
    free(freed);
    g_hidden = ~(unsigned long)leaked;
}
__attribute__((noinline)) static void sweep(void) {
    char volatile stack[65536];
    for (unsigned at = 0; at < sizeof stack; at++) stack[at] = 0;
}
int main(void) {
    setvbuf(stdout, NULL, _IONBF, 0);
    leak();
    sweep();
    printf("%lx\n", g_hidden);
    abort();
}
"#;

#[test]
fn an_allocators_list_of_free_blocks_keeps_no_block_alive() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let exe = built(folder.path(), LEAKED, &["-O1", "-fno-builtin"]);
    let mut run = Command::new("sh");
    run.arg("-c").arg("ulimit -c unlimited; exec \"$0\"").arg(&exe);
    let said = run.current_dir(folder.path()).output().expect("sh runs").stdout;
    let hidden = u64::from_str_radix(String::from_utf8(said).expect("a number").trim(), 16).expect("hexadecimal");
    let output = dumpscope!("analyze", &core_in(folder.path()), "--json", "-c", "dumpheap -dead").expect_status(0);
    let dead = output.data("dumpheap")["objects"].as_array().expect("objects").clone();
    let address = format!("{:#x}", !hidden);
    assert!(dead.iter().any(|object| object["address"] == address.as_str()), "{address} in {dead:?}");
}
