//! `collect` with buffers for all of the dump: the process waits for copying alone, what is written is the same, and memory that is not there
//! is not taken.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::{Endianness, elf};
use support::{Running, run, wait_for};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_dumpscope");

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn collect(pid: u32, options: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["collect", "-p", &pid.to_string(), "--diag"]).args(options);
    command
}

/// A process with so many MiB of words that differ.
fn large(mebibytes: u32) -> Running {
    Running::start("alive", "glibc", &["witness", &mebibytes.to_string()])
}

/// A collector whose dump nobody has read yet, once it has let the process go; killed when dropped.
struct Waiting {
    collector: Child,
    said: BufReader<std::process::ChildStderr>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Already dead is as good as killed.
        let _ = self.collector.kill();
        let _ = self.collector.wait();
    }
}

impl Waiting {
    fn on(process: &Running, options: &[&str]) -> Waiting {
        let mut command = collect(process.pid(), &["-o", "-"]);
        let mut collector =
            command.args(options).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut said = BufReader::new(collector.stderr.take().expect("piped"));
        let mut line = String::new();
        while !line.contains("the process was stopped for") {
            line.clear();
            assert!(said.read_line(&mut line).expect("UTF-8") > 0, "it ended before it let the process go");
        }
        Waiting { collector, said }
    }

    /// Whether it ended well, and what else it said.
    fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.said.read_to_string(&mut said).expect("UTF-8");
        (self.collector.wait().expect("a child").code(), said)
    }
}

fn goes_on(process: &Running) -> bool {
    process.states().iter().all(|state| matches!(state, 'S' | 'R'))
}

#[test]
fn the_process_goes_on_though_nobody_has_read_its_dump() {
    for compress in [&[][..], &["--compress", "zstd"]] {
        let process = large(96);
        let mut waiting = Waiting::on(&process, compress);
        wait_for("the process to go on", || goes_on(&process));
        let end = waiting.collector.try_wait().expect("a child");
        assert_eq!(end, None, "its output is not read, and larger than a pipe");
        let mut dump = Vec::new();
        waiting.collector.stdout.take().expect("piped").read_to_end(&mut dump).expect("a dump");
        assert_eq!(waiting.end().0, Some(0));
        let folder = folder();
        let core = folder.path().join("core");
        std::fs::write(&core, &dump).expect("written");
        let mut analyze = Command::new(PROGRAM);
        analyze.arg("analyze").arg(&core).args(["--json", "-c", "threads"]);
        let threads = run(analyze).expect_status(0).data("threads");
        assert_eq!(threads["threads"].as_array().map(Vec::len), Some(1), "{threads}");
    }
}

#[test]
fn a_dump_that_is_cancelled_while_it_is_written_ends_at_once() {
    let process = large(96);
    let mut waiting = Waiting::on(&process, &[]);
    let sent = Command::new("kill").args(["-s", "TERM", &waiting.collector.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
    // Its output stays unread.
    wait_for("the collector to end", || waiting.collector.try_wait().expect("a child").is_some());
    let (code, said) = waiting.end();
    assert!(code == Some(1) && said.contains("cancelled"), "{code:?}: {said}");
    assert!(goes_on(&process));
}

/// The memory that a core holds, by address.
fn memory(core: &Path) -> BTreeMap<u64, Vec<u8>> {
    let bytes = std::fs::read(core).expect("a core");
    let header = elf::FileHeader64::<Endianness>::parse(&*bytes).expect("an ELF header");
    let endian = header.endian().expect("an order");
    let segments = header.program_headers(endian, &*bytes).expect("program headers").iter();
    let held = segments.filter(|segment| segment.p_type(endian) == elf::PT_LOAD && segment.p_filesz(endian) > 0);
    held.map(|segment| (segment.p_vaddr(endian), segment.data(endian, &*bytes).expect("its bytes").to_vec())).collect()
}

#[test]
fn a_dump_holds_the_same_however_many_buffers_there_are_and_wherever_it_goes() {
    let process = large(96);
    process.stop();
    let folder = folder();
    let dump = |name: &str, options: &[&str]| {
        let core = folder.path().join(name);
        let mut command = collect(process.pid(), options);
        run({
            command.arg("-o").arg(&core);
            command
        })
        .expect_status(0);
        core
    };
    let expected = memory(&dump("none", &["--buffer", "0"]));
    let bytes = expected.values().map(Vec::len).sum::<usize>();
    assert!(bytes > 96 << 20, "{bytes} bytes");
    for (name, options) in [("auto", &[][..]), ("some", &["--buffer", "48M"]), ("fork", &["--mode", "fork"])] {
        assert!(memory(&dump(name, options)) == expected, "{name}");
    }
    let packed = dump("packed", &["--compress", "zstd"]);
    let plain = folder.path().join("unpacked");
    let unpacked = Command::new("zstd").arg("-dqo").arg(&plain).arg(&packed).status();
    assert!(unpacked.expect("zstd runs (apt-get install zstd)").success());
    assert!(memory(&plain) == expected, "packed");
    let streamed = folder.path().join("streamed");
    let mut command = collect(process.pid(), &["-o", "-"]);
    let status = command.stdout(std::fs::File::create(&streamed).expect("a file")).status();
    assert!(status.expect("it runs").success());
    assert!(memory(&streamed) == expected, "streamed");
}

/// A group of processes with a limit of memory; removed when dropped.
struct Group(PathBuf);

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes have ended; the kernel may take a moment to see that, and an empty group harms nobody.
        let _ = std::fs::remove_dir(&self.0);
    }
}

impl Group {
    fn limited(bytes: u64) -> Group {
        let name = format!("dumpscope-test-{}", std::process::id());
        let first = Path::new("/sys/fs/cgroup/memory");
        let (folder, file) = match first.join("memory.limit_in_bytes").exists() {
            true => (first.join(name), "memory.limit_in_bytes"),
            false => (Path::new("/sys/fs/cgroup").join(name), "memory.max"),
        };
        std::fs::create_dir(&folder).expect("needs root and a cgroup file system that may be written");
        let group = Group(folder);
        std::fs::write(group.0.join(file), bytes.to_string()).expect("needs the controller of memory");
        group
    }
}

#[test]
fn in_a_group_that_has_little_memory_nothing_is_killed_and_the_dump_is_whole() {
    let process = large(256);
    process.stop();
    let folder = folder();
    for limit_mib in [48u64, 160] {
        let group = Group::limited(limit_mib << 20);
        let core = folder.path().join(format!("core.{limit_mib}"));
        let procs = group.0.join("cgroup.procs");
        let line = format!("echo $$ > {} && exec \"$@\"", procs.display());
        let mut command = Command::new("sh");
        command.args(["-c", &line, "sh", PROGRAM, "collect", "--diag", "-p", &process.pid().to_string(), "-o"]);
        command.arg(&core);
        let output = run(command).expect_status(0);
        let ready = output.stderr.lines().find_map(|line| line.strip_suffix(" bytes of buffers are ready"));
        let ready = ready.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).expect("it says so");
        // A sixteenth of the limit, 64 MiB at least, is left alone; there are 32 MiB whatever there is.
        let most = (limit_mib << 20).saturating_sub(64 << 20).max(32 << 20);
        assert!(ready <= most, "{ready} bytes of {limit_mib} MiB: {}", output.stderr);
        let held = memory(&core).values().map(Vec::len).sum::<usize>();
        assert!(held > 256 << 20, "{held} bytes");
        std::fs::remove_file(&core).expect("it is there");
    }
    assert!(process.states().iter().all(|state| *state == 'T'), "{:?}", process.states());
}
