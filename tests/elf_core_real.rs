//! Cores of real processes, written by the kernel and by gdb, against what gdb and readelf say of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use dumpscope::capture::{self, Capture, FORMATS, Opened, Role, image};
use dumpscope::job::Job;
use dumpscope::model::Register;
use support::{Dump, dump};
use symbols::{Elf, FileBytes, Svma};

/// Names as gdb prints them, DWARF numbers of the psABI (figure 3.36).
const REGISTERS: [(&str, u16); 9] =
    [("rip", 16), ("rsp", 7), ("rbp", 6), ("rbx", 3), ("rax", 0), ("rdi", 5), ("rdx", 1), ("r12", 12), ("r15", 15)];

fn output(program: &str, package: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|why| panic!("{program}: {why}; apt-get install {package}"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn open(core: &Path) -> Capture {
    capture::open(core, FORMATS, &Job::default()).and_then(Opened::process).expect("the core opens")
}

/// Registers of every thread by its id, as gdb reads them.
fn registers_by_gdb(exe: &Path, core: &Path) -> BTreeMap<u32, BTreeMap<String, u64>> {
    let names: Vec<&str> = REGISTERS.iter().map(|(name, _)| *name).chain(["fs_base"]).collect();
    let command = format!("thread apply all info registers {}", names.join(" "));
    let (exe, core) = (exe.to_str().expect("a path"), core.to_str().expect("a path"));
    let text = output("gdb", "gdb", &["-nx", "-batch", "-ex", &command, exe, core]);
    let mut threads: BTreeMap<u32, BTreeMap<String, u64>> = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        // Thread 3 (Thread 0x7f0123 (LWP 4713)):  or  Thread 1 (LWP 4711):
        if let Some((_, rest)) = line.split_once("LWP ").filter(|_| line.starts_with("Thread ")) {
            let id = rest.split(')').next().and_then(|id| id.parse().ok());
            current = id;
        }
        let mut words = line.split_whitespace();
        if let (Some(thread), Some(name), Some(value)) = (current, words.next(), words.next())
            && let Some(value) = value.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok())
            && names.contains(&name)
        {
            threads.entry(thread).or_default().insert(name.to_owned(), value);
        }
    }
    threads
}

fn build_id_by_readelf(file: &Path) -> Option<String> {
    let text = output("readelf", "binutils", &["-n", file.to_str().expect("a path")]);
    text.lines().find_map(|line| Some(line.trim().strip_prefix("Build ID: ")?.to_owned()))
}

/// The process's own ids, and the registers that gdb reads.
fn check_threads(dump: &Dump, capture: &Capture) {
    let truth = dump.truth();
    assert_eq!(capture.process.pid.clone().map(u64::from), Ok(truth.pid()));

    let mut expected: Vec<u64> = truth.threads("*").into_iter().map(|(_, tid)| tid).collect();
    let mut found: Vec<u64> = capture.threads.iter().map(|thread| u64::from(thread.tid.0)).collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected, "every thread that the program started is in the core");

    let by_gdb = registers_by_gdb(&dump.exe(), &dump.core());
    assert_eq!(by_gdb.len(), capture.threads.len(), "gdb sees the same threads");
    for thread in &capture.threads {
        let theirs = &by_gdb[&thread.tid.0];
        let ours = thread.registers.as_ref().expect("registers");
        for (name, number) in REGISTERS {
            assert_eq!(ours.get(Register(number)), theirs.get(name).copied(), "{name} of {}", thread.tid);
        }
        assert_eq!(thread.thread_pointer.clone().ok().map(|addr| addr.0), theirs.get("fs_base").copied());
        // All but the witness and the main thread wait for a mutex: futex is 202 on x86-64.
        let name = truth.name_of(u64::from(thread.tid.0)).expect("named");
        if !matches!(name, "main" | "witness") {
            assert_eq!(thread.syscall.map(|call| call.number), Some(202), "{name}");
        }
    }
}

fn check(variant: &str, format: &str, signal: Option<i32>) {
    let dump = dump("deadlock", variant);
    let capture = open(&dump.core());
    assert_eq!(capture.problems, []);
    assert_eq!(capture.format, format);
    assert_eq!(capture.process.name.as_deref(), Ok("exe"));
    check_threads(&dump, &capture);

    let killed = capture.signal().cloned();
    assert_eq!(killed.as_ref().map(|killed| killed.number), signal);
    if let Some(killed) = killed {
        // `kill` of the recipe's shell: SI_USER, by root or whoever runs the tests.
        assert_eq!(killed.code, Some(0));
        assert!(killed.sender_pid.is_some_and(|pid| pid > 0));
        assert_eq!(capture.threads[0].tid, killed.tid);
        assert!(capture.threads[0].crashed);
    }

    let executable = capture.modules.iter().find(|module| module.role == Role::Executable).expect("an executable");
    assert_eq!(executable.path.as_deref(), dump.exe().canonicalize().expect("the executable is there").to_str());
    for module in capture.modules.iter().filter(|module| !module.is_vdso()) {
        let path = module.path.as_deref().expect("a path");
        let ours = module.build_id.clone().expect("its first page is in the core");
        assert_eq!(ours.map(|id| id.to_string()), build_id_by_readelf(Path::new(path)), "{path}");
        assert!(module.bias.is_some(), "{path}");
    }
    assert!(capture.modules.iter().any(|module| module.is_vdso()), "the vDSO is a module");
}

const KERNEL: &str = "ELF core from the Linux kernel";
const GDB: &str = "ELF core from gdb";
const SIGABRT: i32 = 6;

#[test]
fn a_kernel_core_of_glibc_agrees_with_gdb() {
    check("glibc", KERNEL, Some(SIGABRT));
}

#[test]
fn a_kernel_core_with_every_mapping_agrees_with_gdb() {
    check("glibc-filter-7f", KERNEL, Some(SIGABRT));
}

#[test]
fn a_kernel_core_of_a_fixed_executable_agrees_with_gdb() {
    check("glibc-nopie", KERNEL, Some(SIGABRT));
}

#[test]
fn a_kernel_core_of_a_static_executable_agrees_with_gdb() {
    check("glibc-static", KERNEL, Some(SIGABRT));
}

#[test]
fn a_kernel_core_of_musl_agrees_with_gdb() {
    check("musl", KERNEL, Some(SIGABRT));
    check("musl-static", KERNEL, Some(SIGABRT));
}

#[test]
fn a_core_that_gdb_took_of_a_running_process_has_no_fatal_signal() {
    check("glibc-gcore", GDB, None);
    check("musl-gcore", GDB, None);
}

#[test]
fn cores_of_createdump_hold_what_gdb_reads() {
    for variant in ["full", "heap", "mini"] {
        let dump = dump("createdump", variant);
        let capture = open(&dump.core());
        assert_eq!(capture.problems, [], "{variant}");
        assert_eq!(capture.format, "ELF core from createdump", "{variant}");
        assert_eq!(capture.cause, Ok(None), "{variant}: the process went on");
        check_threads(&dump, &capture);
        let executable = capture.modules.iter().find(|module| module.role == Role::Executable).expect("an executable");
        assert_eq!(executable.path.as_deref(), Some("/srv/deadlock"), "{variant}");
        let build_id = executable.build_id.clone().expect("its first page is in the core");
        assert_eq!(build_id.map(|id| id.to_string()), build_id_by_readelf(&dump.exe()), "{variant}");
    }
}

/// filter 0x7f dumps the mappings of files too, so that a module's file can be put together from the core alone.
#[test]
fn a_module_rebuilt_from_a_full_dump_is_its_file() {
    let dump = dump("deadlock", "glibc-filter-7f");
    let capture = open(&dump.core());
    let mut rebuilt = 0;
    for module in capture.modules.iter().filter(|module| !module.is_vdso()) {
        let path = module.path.as_deref().expect("a path");
        let theirs = Elf::parse(FileBytes::open(Path::new(path)).expect("the file is here")).expect("an ELF file");
        let found = image::from_memory(module, &capture.memory, &mut image::Room::of(&capture.memory));
        let ours = found.elf.expect("the core holds it");
        assert_eq!(ours.build_id(), theirs.build_id(), "{path}");
        assert_eq!(ours.entry(), theirs.entry(), "{path}");
        for segment in theirs.segments().iter().filter(|segment| !segment.write) {
            // The file header and the program headers are rewritten: 64 bytes, and what lies before the first section's content.
            let skip = if segment.offset == 0 { 0x400 } else { 0 };
            let at = Svma(segment.svma.0 + skip);
            assert_eq!(
                ours.bytes_at(at, segment.file_size - skip),
                theirs.bytes_at(at, segment.file_size - skip),
                "{path} at {at}"
            );
        }
        rebuilt += 1;
    }
    assert!(rebuilt >= 3, "executable, libc, loader");
}

#[test]
fn a_module_without_its_instructions_is_not_rebuilt() {
    let dump = dump("deadlock", "glibc");
    let capture = open(&dump.core());
    for module in &capture.modules {
        let found = image::from_memory(module, &capture.memory, &mut image::Room::of(&capture.memory)).elf;
        assert_eq!(found.is_some(), module.is_vdso(), "{:?}", module.path);
    }
}

/// Opened once compressed by the real tools, the core is the same.
#[test]
fn a_core_compressed_by_zstd_is_the_same() {
    let dump = dump("deadlock", "glibc");
    let plain = open(&dump.core());
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, level) in [("fast.zst", "-1"), ("small.zst", "-19"), ("long.zst", "--long=27")] {
        let packed = folder.path().join(name);
        let core = dump.core();
        let (from, to) = (core.to_str().expect("a path"), packed.to_str().expect("a path"));
        output("zstd", "zstd", &["-q", level, from, "-o", to]);
        let capture = open(&packed);
        assert_eq!(capture.problems, [], "{level}");
        assert_eq!(capture.threads.len(), plain.threads.len(), "{level}");
        let (ours, theirs) = (capture.memory.segments(), plain.memory.segments());
        assert_eq!(ours.len(), theirs.len(), "{level}");
        assert!(ours.iter().zip(theirs).all(|(a, b)| a.start == b.start && *a.bytes == *b.bytes), "{level}");
    }
}

/// The file is cut while it is open: reads give zeros, and the capture tells.
#[test]
fn a_core_that_shrinks_while_it_is_open_says_so() {
    let dump = dump("deadlock", "glibc");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copy = folder.path().join("core");
    std::fs::copy(dump.core(), &copy).expect("the core can be copied");
    let capture = open(&copy);
    assert!(!capture.shrank());
    std::fs::OpenOptions::new().write(true).open(&copy).and_then(|file| file.set_len(0x2000)).expect("it can be cut");
    let last = capture.memory.segments().iter().rfind(|segment| segment.bytes.len() > 0x1000).expect("a segment");
    assert_eq!(last.bytes[last.bytes.len() - 1], 0);
    assert!(capture.shrank());
}
