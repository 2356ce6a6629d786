//! What refers to native blocks, where memory is not as it usually is: two allocators in one process, mappings without contents.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use dumpscope::job::Job;
use dumpscope::session::{Session, Source};
use dumpscope::target::Search;
use support::{dump, dumpscope};

/// glibc's arenas grow between the mappings of an allocator that was preloaded. What `g_kept` holds of both is printed.
const TWO: &str = r#"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
extern void *__libc_malloc(size_t);
void *g_kept[4][200];
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
    let said = run.current_dir(folder.path()).output().expect("sh runs").stdout;
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
