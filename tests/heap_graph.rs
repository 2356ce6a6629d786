//! What refers to native blocks, where memory is not as it usually is: two allocators in one process, mappings without contents.

use std::path::Path;
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

#[test]
fn two_allocators_between_each_others_mappings_are_one_graph() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let (source, exe) = (folder.path().join("two.c"), folder.path().join("exe"));
    std::fs::write(&source, TWO).expect("it can be written");
    let built =
        Command::new("gcc").args(["-O1", "-pthread", "-fno-builtin-malloc", "-o"]).arg(&exe).arg(&source).status();
    assert!(built.expect("needs gcc: apt-get install gcc").success());
    let library = Path::new("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2");
    assert!(library.exists(), "needs jemalloc: apt-get install libjemalloc2");
    let mut run = Command::new("sh");
    run.arg("-c").arg("ulimit -c unlimited; LD_PRELOAD=$1 exec \"$0\"").arg(&exe).arg(library);
    let output = run.current_dir(folder.path()).output().expect("sh runs");
    let (said, pool) = (output.stdout, String::from_utf8(output.stderr).expect("an address"));
    let files =
        std::fs::read_dir(folder.path()).expect("the folder is there").filter_map(|file| Some(file.ok()?.path()));
    let is_core =
        |path: &std::path::PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("core"));
    let core = files.into_iter().find(is_core).expect("a core: sysctl -w kernel.core_pattern=core");

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
