//! `collect` on real processes: what its dumps hold is compared with gdb's dump of the same process, with each other, and with what
//! the process said of itself.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::{Endianness, elf};
use serde_json::Value;
use support::{Output, Running, difference, gdb_stacks, run};
use tempfile::TempDir;

/// What is compared between dumps of one moment: everything but the heap.
const SHOWN: [&str; 8] =
    ["summary", "threads", "stack --all", "locks", "printexception", "modules", "registers", "parallelstacks"];

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Dumps a process; the dump's path and what was printed.
#[track_caller]
fn collect(pid: u32, options: &[&str], to: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.args(["collect", "-p", &pid.to_string(), "-o"]).arg(to).args(options);
    run(command).expect_status(0)
}

#[track_caller]
fn dump_as(process: &Running, kind: &str, folder: &TempDir) -> PathBuf {
    let core = folder.path().join(format!("{kind}.core"));
    collect(process.pid(), &["--type", kind], &core);
    core
}

fn analyze(core: &Path, commands: &[&str], options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(core).args(["--json", "--offline"]).args(options);
    for line in commands {
        command.args(["-c", line]);
    }
    run(command).expect_status(0)
}

/// Everything that is shown of a dump apart from its own file.
fn shown(core: &Path) -> Vec<Value> {
    let mut documents = analyze(core, &SHOWN, &[]).documents();
    for document in &mut documents {
        if let Some(dump) = document.pointer_mut("/data/dump").and_then(Value::as_object_mut) {
            dump.retain(|key, _| key == "format");
        }
        support::without_remainders(document);
    }
    assert_eq!(documents.len(), SHOWN.len());
    documents
}

/// Dumps of one moment show the same, whatever their type.
#[track_caller]
fn assert_same_in_all_types(name: &str, variant: &str, arguments: &[&str]) {
    let process = Running::start(name, variant, arguments);
    process.stop();
    let folder = folder();
    let full = shown(&dump_as(&process, "full", &folder));
    for kind in ["heap", "mini"] {
        let other = shown(&dump_as(&process, kind, &folder));
        for (command, (full, other)) in SHOWN.iter().zip(full.iter().zip(&other)) {
            let difference = difference(full, other, "");
            assert_eq!(difference, None, "{name} {variant}: {command} of full and {kind}");
        }
    }
}

#[test]
fn heap_and_mini_show_what_full_shows_of_deadlocks() {
    for variant in ["glibc", "glibc-static", "musl", "musl-static", "glibc-nopie"] {
        assert_same_in_all_types("deadlock", variant, &[]);
    }
}

#[test]
fn heap_and_mini_show_what_full_shows_of_every_lock() {
    for variant in ["glibc", "static"] {
        assert_same_in_all_types("locks", variant, &[]);
    }
}

#[test]
fn heap_and_mini_show_what_full_shows_on_alternate_stacks() {
    for variant in ["block", "block-musl", "block-O0"] {
        assert_same_in_all_types("altstack", variant, &["block"]);
    }
    assert_same_in_all_types("altstack", "same", &["same"]);
}

#[test]
fn heap_and_mini_show_what_full_shows_of_rust() {
    for variant in ["gnu", "musl", "stripped"] {
        assert_same_in_all_types("rust-std", variant, &[]);
    }
    for variant in ["gnu", "musl"] {
        assert_same_in_all_types("rust-parking-lot", variant, &[]);
    }
}

#[test]
fn heap_and_mini_show_what_full_shows_of_a_thousand_threads() {
    assert_same_in_all_types("threads1000", "small", &["1000"]);
}

#[test]
fn heap_and_mini_show_what_full_shows_of_stripped_programs() {
    for variant in ["bare", "minidebuginfo"] {
        assert_same_in_all_types("stripped", variant, &[]);
    }
}

/// The NT_PRFPREG notes of a core by the thread whose NT_PRSTATUS (with its id at offset 32) they follow; without MXCSR_MASK, at 28, which
/// gdb does not write.
fn floating_point(core: &Path) -> BTreeMap<u32, Vec<u8>> {
    let bytes = std::fs::read(core).expect("a core");
    let header = elf::FileHeader64::<Endianness>::parse(&*bytes).expect("an ELF header");
    let endian = header.endian().expect("a byte order");
    let segments = header.program_headers(endian, &*bytes).expect("program headers");
    let notes = segments.iter().find_map(|segment| segment.notes(endian, &*bytes).expect("notes"));
    let mut notes = notes.expect("a segment of notes");
    let (mut found, mut tid) = (BTreeMap::new(), 0);
    while let Some(note) = notes.next().expect("a note") {
        match note.n_type(endian) {
            elf::NT_PRSTATUS => tid = u32::from_le_bytes(*note.desc()[32..].first_chunk().expect("an id")),
            elf::NT_PRFPREG => {
                let mut registers = note.desc().to_vec();
                registers[28..32].fill(0);
                found.insert(tid, registers);
            }
            _ => {}
        }
    }
    found
}

#[test]
fn gdb_sees_the_same_stacks_as_in_its_own_dump() {
    for (name, variant) in [("deadlock", "glibc"), ("altstack", "block"), ("rust-std", "gnu")] {
        let process = Running::start(name, variant, if name == "altstack" { &["block"] } else { &[] });
        process.stop();
        let folder = folder();
        let theirs = folder.path().join("gdb.core");
        let mut gdb = Command::new("gdb");
        gdb.args(["-nx", "-batch", "-p", &process.pid().to_string(), "-ex"]).arg(format!("gcore {}", theirs.display()));
        let output = run(gdb);
        assert!(theirs.exists(), "gdb wrote no core: {}", output.stderr);
        let exe = support::build(name, variant).join("exe");
        let expected = gdb_stacks(&exe, &theirs);
        let registers = floating_point(&theirs);
        assert!(!registers.is_empty(), "gdb records no floating-point registers");
        // A triage dump names no folder, so gdb finds no file.
        for kind in ["full", "heap", "mini"] {
            let ours = dump_as(&process, kind, &folder);
            assert_eq!(gdb_stacks(&exe, &ours), expected, "{name} {variant} {kind}");
            assert!(floating_point(&ours) == registers, "floating-point registers of {name} {variant} {kind}");
        }
    }
}

#[test]
fn a_stopped_process_stays_stopped_and_a_running_one_goes_on() {
    let process = Running::start("alive", "glibc", &["rest"]);
    let folder = folder();
    dump_as(&process, "full", &folder);
    support::wait_for("the process to go on", || process.states().iter().all(|state| *state == 'S'));
    process.stop();
    dump_as(&process, "mini", &folder);
    support::wait_for("it to be stopped as before", || process.states().iter().all(|state| *state == 'T'));
    process.signal("CONT");
    support::wait_for("the process to go on", || process.states().iter().all(|state| *state == 'S'));
}

#[test]
fn threads_are_called_what_the_program_calls_them_and_files_are_told() {
    let process = Running::start("alive", "glibc", &["rest"]);
    let folder = folder();
    let threads = analyze(&dump_as(&process, "mini", &folder), &["threads"], &[]).data("threads");
    let named = |name: &str| {
        let tid = process.truth().tid(name);
        let threads = threads["threads"].as_array().expect("threads");
        threads.iter().find(|thread| thread["tid"] == tid).unwrap_or_else(|| panic!("no {tid} in {threads:?}"))
    };
    assert_eq!(named("cashier")["name"], "cashier");
    assert_eq!(named("customer")["name"], "customer");
    // The program gave its first thread no name.
    assert_eq!(named("main")["name"], Value::Null);
    let waits = named("cashier")["waiting_on"]["name"].as_str().expect("it reads a pipe");
    let pipe = std::fs::read_link(format!("/proc/{}/fd/3", process.pid())).expect("the pipe");
    assert_eq!(waits, format!("fd 3 ({})", pipe.display()));
    assert_eq!(named("customer")["waiting_on"]["name"], "g_till");
}

/// The content of our own note, as it stands in the core: JSON from its version on.
fn facts(core: &Path) -> Value {
    let bytes = std::fs::read(core).expect("the core");
    let start = bytes.windows(12).position(|window| window == b"{\"version\":1").expect("the note");
    let mut documents = serde_json::Deserializer::from_slice(&bytes[start..]).into_iter::<Value>();
    documents.next().expect("a document").expect("JSON")
}

#[test]
fn the_note_tells_what_a_core_cannot_hold() {
    let process = Running::start("alive", "glibc", &["rest"]);
    let folder = folder();
    let facts = facts(&dump_as(&process, "full", &folder));
    let threads = facts["threads"].as_array().expect("threads");
    let customer = process.truth().tid("customer");
    let customer = threads.iter().find(|thread| thread["tid"] == customer).expect("the customer");
    assert_eq!(customer["syscall"]["number"], 202, "futex");
    assert_eq!(customer["syscall"]["args"][0], process.truth().lock("g_till"));
    assert_eq!(customer["state"], "S");
    let server = process.truth().value("server");
    let descriptors = facts["descriptors"].as_array().expect("descriptors");
    let server = descriptors.iter().find(|open| open["fd"] == server).expect("the socket");
    assert_eq!(server["socket"], format!("tcp 127.0.0.1:{} LISTEN", process.truth().value("port")));
    // MADV_DONTDUMP is obeyed, and said.
    let key = process.truth().value("key");
    let left_out = facts["left_out"].as_array().expect("left out");
    assert!(left_out.iter().any(|part| part["start"] == key), "{left_out:?}");
    assert!(facts["limits"]["nofile"][0].is_number());
}

#[test]
fn memory_that_cannot_be_read_is_not_in_the_dump_and_is_no_zeros() {
    let process = Running::start("alive", "glibc", &["rest"]);
    let folder = folder();
    let mapped = process.truth().value("short");
    let zeros = process.truth().value("zeros");
    for (kind, mode) in [("full", "direct"), ("heap", "direct"), ("full", "fork")] {
        let core = folder.path().join(format!("{kind}-{mode}"));
        collect(process.pid(), &["--type", kind, "--mode", mode], &core);
        let read = |address: u64| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
            command.arg("analyze").arg(&core).args(["-c", &format!("readmemory {address:x}")]);
            run(command)
        };
        let first = read(mapped).expect_status(0).stdout;
        assert!(first.contains("78 00"), "the page that the file has: {first}");
        let beyond = read(mapped + 4096);
        assert!(!beyond.stdout.contains("00 00 00 00"), "{}", beyond.stdout);
        assert!(format!("{}{}", beyond.stdout, beyond.stderr).contains("not in the dump"), "{beyond:?}");
        let untouched = read(zeros).expect_status(0).stdout;
        assert!(untouched.contains("00 00 00 00"), "what was never touched is zero: {untouched}");
    }
}

#[test]
fn memory_that_was_never_touched_takes_no_space_and_is_not_touched() {
    use std::os::unix::fs::MetadataExt;
    let process = Running::start("alive", "glibc", &["rest"]);
    let folder = folder();
    let resident = || {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", process.pid())).expect("alive");
        statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("pages") * 4096
    };
    let before = resident();
    let core = std::fs::metadata(dump_as(&process, "full", &folder)).expect("the core");
    // 64 MiB are mapped and were never touched.
    assert!(core.len() > 64 << 20, "{} bytes", core.len());
    assert!(core.blocks() * 512 < 16 << 20, "{} blocks", core.blocks());
    // Pages of files are read through the process, and count as its own then: 3 MiB of libraries.
    assert!(resident() < before + (8 << 20), "{before} bytes before, {} after", resident());
}

#[test]
fn shared_memory_that_nobody_wrote_does_not_come_into_being_by_a_dump() {
    // Kilobytes of shared memory that the process has mapped and in memory.
    let shared_kb = |process: &Running| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).expect("alive");
        let line = status.lines().find_map(|line| line.strip_prefix("RssShmem:")).expect("a count");
        line.trim().strip_suffix(" kB").and_then(|number| number.parse::<u64>().ok()).expect("a number")
    };
    let process = Running::start("alive", "glibc", &["rest"]);
    let before = shared_kb(&process);
    let folder = folder();
    // Who may not follow links of map_files finds files that are open.
    let without = "-sys_admin,-checkpoint_restore";
    // These look at what stacks point to, and at the first bytes of what is mapped.
    for kind in ["mini", "triage", "heap"] {
        dump_as(&process, kind, &folder);
        assert_eq!(shared_kb(&process), before, "{kind}");
    }
    for (name, mode, limited) in [("direct", "direct", false), ("fork", "fork", false), ("limited", "direct", true)] {
        let core = folder.path().join(name);
        let mut command = Command::new(if limited { "setpriv" } else { env!("CARGO_BIN_EXE_dumpscope") });
        if limited {
            command.args(["--bounding-set", without, "--inh-caps", without, env!("CARGO_BIN_EXE_dumpscope")]);
        }
        command.args(["collect", "-p", &process.pid().to_string(), "--mode", mode, "-o"]).arg(&core);
        run(command).expect_status(0);
        let grown = shared_kb(&process).saturating_sub(before);
        let places: &[&str] = if limited { &["shared"] } else { &["shared", "nameless"] };
        // 128 MiB are mapped; without a file that is open the kernel tells only root where data are.
        assert!(grown < if limited { 65 << 10 } else { 1 << 10 }, "{grown} KiB came into being, {name}");
        for place in places {
            let start = process.truth().value(place);
            let read = |address: u64| {
                let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
                command.arg("analyze").arg(&core).args(["-c", &format!("readmemory {address:x}")]);
                run(command).expect_status(0).stdout
            };
            assert!(read(start + (5 << 20)).contains("73 68 65 6c 66 00"), "{place}, {name}: shelf");
            assert!(read(start + (60 << 20)).contains("00 00 00 00"), "{place}, {name}: zeros");
        }
    }
}

/// Thread ids with the address of each physical frame.
fn frames(core: &Path) -> Vec<(Value, Vec<Value>)> {
    frames_in(&analyze(core, &["stack --all"], &[]).data("stack"))
}

fn frames_in(stacks: &Value) -> Vec<(Value, Vec<Value>)> {
    let threads = stacks["threads"].as_array().expect("threads").iter();
    let frames = |thread: &Value| {
        let frames = thread["frames"].as_array().expect("frames").iter();
        frames.filter(|frame| frame["kind"] != "inline").map(|frame| frame["pc"].clone()).collect()
    };
    threads.map(|thread| (thread["tid"].clone(), frames(thread))).collect()
}

#[test]
fn stacks_of_a_static_program_are_whole_without_its_file() {
    let folder = folder();
    let program = folder.path().join("static");
    let built = support::build("alive", "glibc-static").join("exe");
    let mut headers = Command::new("readelf");
    headers.args(["-lW"]).arg(&built);
    assert!(!run(headers).expect_status(0).stdout.contains("GNU_EH_FRAME"), "the program tells its unwind table");
    support::copy_program(&built, &program);
    let mut child = Command::new(&program).arg("rest").stdout(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it is ready");
    let cores = ["full", "heap", "mini", "triage"].map(|kind| {
        let core = folder.path().join(kind);
        collect(child.id(), &["--type", kind], &core);
        core
    });
    child.kill().and_then(|()| child.wait()).expect("it ends");
    let file = program.display().to_string();
    let with_file: Vec<_> = cores.iter().map(|core| analyze(core, &["stack --all"], &["--exe", &file])).collect();
    let with_file: Vec<_> = with_file.iter().map(|stacks| frames_in(&stacks.data("stack"))).collect();
    std::fs::remove_file(&program).expect("the program is removed");
    for (core, expected) in cores.iter().zip(with_file) {
        // Per source: read, hold_the_till, cashier, start_thread, clone; main, rest and three of the C library's.
        assert_eq!(expected.len(), 3);
        assert!(expected.iter().all(|(_, frames)| frames.len() >= 5), "{}: {expected:?}", core.display());
        assert_eq!(frames(core), expected, "{}", core.display());
    }
}

#[test]
fn a_triage_dump_holds_no_personal_data_and_all_frames() {
    const SECRET: &str = "hunter2-4711-0815";
    let process = Running::start_with("alive", "glibc", &["rest", SECRET], &[("PASSWORD", SECRET)]);
    process.stop();
    let folder = folder();
    let holds = |core: &Path, text: &[u8]| {
        std::fs::read(core).expect("the core").windows(text.len()).any(|window| window == text)
    };
    let (full, mini, triage) =
        (dump_as(&process, "full", &folder), dump_as(&process, "mini", &folder), dump_as(&process, "triage", &folder));
    // Stack, data, heap, arguments and environment of the full dump; without it the absence below would prove nothing.
    for place in ["stack ", "data ", "heap ", "PASSWORD="] {
        assert!(holds(&full, format!("{place}{SECRET}").as_bytes()), "{place}");
    }
    assert!(holds(&mini, SECRET.as_bytes()));
    for part in [SECRET, &SECRET[..7], "PASSWORD", "fixtures/alive", "key that is in no dump"] {
        assert!(!holds(&triage, part.as_bytes()), "{part} is in the triage dump");
    }
    // Without any file: unwind tables are in the dump.
    assert_eq!(frames(&triage), frames(&full));
    let exe = support::build("alive", "glibc").join("exe");
    // The owner of the lock is told still.
    let locks = analyze(&triage, &["locks"], &["--exe", &exe.to_string_lossy()]).data("locks");
    let lock = &locks["locks"][0];
    assert_eq!(lock["owner"]["tid"], process.truth().tid("cashier"), "{locks}");
    assert_eq!(lock["waiters"][0], process.truth().tid("customer"), "{locks}");
}

#[test]
fn a_copy_shows_the_same_and_the_process_does_not_notice() {
    let process = Running::start("deadlock", "glibc", &[]);
    let folder = folder();
    let (direct, copied) = (folder.path().join("direct.core"), folder.path().join("copied.core"));
    collect(process.pid(), &[], &direct);
    let said = collect(process.pid(), &["--mode", "fork"], &copied);
    assert!(!said.stderr.contains("not possible"), "{}", said.stderr);
    assert_eq!(facts(&copied)["mode"], "fork");
    for (command, (direct, copied)) in SHOWN.iter().zip(shown(&direct).iter().zip(&shown(&copied))) {
        assert_eq!(difference(direct, copied, ""), None, "{command}");
    }
    // A stopped process is not disturbed.
    process.stop();
    let said = collect(process.pid(), &["--mode", "fork"], &folder.path().join("stopped.core"));
    assert!(said.stderr.contains("it is stopped already"), "{}", said.stderr);
    drop(process);

    let witness = Running::start("alive", "glibc", &["witness", "16"]);
    for (index, mode) in ["fork", "direct", "fork"].into_iter().enumerate() {
        let core = folder.path().join(format!("{index}.core"));
        collect(witness.pid(), &["--mode", mode], &core);
        assert_eq!(facts(&core)["mode"], mode);
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", witness.pid())).expect("alive");
        assert_eq!(children, "", "a child stays behind");
    }
    witness.signal("TERM");
    let said = witness.output();
    assert!(said.ends_with(" interrupted 0 signals 0 children 0\n"), "{said}");
}

#[test]
fn signals_that_arrive_while_it_is_stopped_are_not_lost() {
    let process = Running::start("alive", "glibc", &["signals"]);
    let pid = process.pid().to_string();
    let folder = folder();
    // Real-time signals queue: each one that was sent is counted.
    let sender = std::thread::spawn(move || {
        for _ in 0..300 {
            assert!(Command::new("kill").args(["-s", "RTMIN", &pid]).status().expect("kill runs").success());
        }
    });
    let mut dumps = 0;
    while !sender.is_finished() || dumps < 5 {
        let mode = if dumps % 2 == 0 { "direct" } else { "fork" };
        collect(process.pid(), &["--type", "mini", "--mode", mode], &folder.path().join(format!("{dumps}.core")));
        dumps += 1;
    }
    sender.join().expect("the sender");
    process.signal("TERM");
    assert_eq!(process.output(), "signals 300\n", "after {dumps} dumps");
}

#[test]
fn a_dump_goes_to_standard_output_and_is_compressed_where_asked() {
    let process = Running::start("deadlock", "glibc", &[]);
    process.stop();
    let folder = folder();
    let plain = dump_as(&process, "heap", &folder);
    let expected = shown(&plain);
    let streamed = folder.path().join("streamed.core");
    for options in [&["--type", "heap"][..], &["--type", "heap", "--compress", "zstd"]] {
        let file = std::fs::File::create(&streamed).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
        command.args(["collect", "-p", &process.pid().to_string(), "-o", "-"]).args(options).stdout(file);
        let status = command.status().expect("it runs");
        assert!(status.success(), "{options:?}");
        for (command, (one, other)) in SHOWN.iter().zip(expected.iter().zip(&shown(&streamed))) {
            assert_eq!(difference(one, other, ""), None, "{command} {options:?}");
        }
    }
    let packed = folder.path().join("packed.core.zst");
    collect(process.pid(), &["--type", "heap", "--compress", "zstd"], &packed);
    let test = run({
        let mut zstd = Command::new("zstd");
        zstd.arg("-tq").arg(&packed);
        zstd
    });
    assert!(test.status.success(), "zstd finds it damaged: {}", test.stderr);
    let sizes = [&plain, &packed].map(|file| std::fs::metadata(file).expect("a dump").len());
    assert!(sizes[1] * 3 < sizes[0], "{sizes:?}");
}

#[test]
fn the_crash_report_says_what_the_dump_says() {
    let process = Running::start("deadlock", "glibc", &[]);
    let folder = folder();
    let core = folder.path().join("core");
    collect(process.pid(), &["--type", "mini", "--crashreport"], &core);
    let report = std::fs::read_to_string(folder.path().join("core.crashreport.json")).expect("the report");
    let report: Vec<Value> = report.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let commands = ["summary", "stack --all", "locks", "printexception"];
    assert_eq!(report, analyze(&core, &commands, &[]).documents());
    // Two threads, three threads, and one with itself: fixtures/deadlock/expected.json.
    assert_eq!(report[2]["data"]["deadlocks"].as_array().map(Vec::len), Some(3));
}

/// Ids of the processes below one, and so on down.
fn descendants(pid: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_ascii_whitespace().filter_map(|child| child.parse().ok());
    children.flat_map(|child| std::iter::once(child).chain(descendants(child))).collect()
}

#[test]
fn a_process_of_another_pid_and_mount_namespace_is_dumped_from_outside() {
    let dir = support::build("alive", "glibc");
    // Its program is at a path that leads to nothing outside, and its ids are not ours.
    let inside =
        "mount -t tmpfs tmpfs /mnt && cp \"$1\" /mnt/shop; for i in 1 2 3; do true & done; wait; /mnt/shop rest & wait";
    let mut outer = Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "sh", "-c", inside, "sh"])
        .arg(dir.join("exe"))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("unshare runs (apt-get install util-linux), and this is root");
    let mut line = String::new();
    let mut said = std::io::BufReader::new(outer.stdout.take().expect("piped"));
    std::io::BufRead::read_line(&mut said, &mut line).expect("its truth");
    let truth = support::Truth::parse(&line);
    let is_shop = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "shop\n");
    let pid = descendants(outer.id()).into_iter().find(is_shop).expect("the program");
    assert_ne!(u64::from(pid), truth.pid(), "ids differ inside");
    let outside: std::collections::BTreeMap<u64, u64> = std::fs::read_dir(format!("/proc/{pid}/task"))
        .expect("it is alive")
        .flatten()
        .map(|task| {
            let status = std::fs::read_to_string(task.path().join("status")).expect("it is alive");
            let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).expect("NSpid");
            let ids: Vec<u64> = ids.split_ascii_whitespace().filter_map(|id| id.parse().ok()).collect();
            (*ids.last().expect("the inner id"), ids[0])
        })
        .collect();
    let folder = folder();
    for (kind, mode) in [("full", "direct"), ("mini", "fork")] {
        let core = folder.path().join(kind);
        collect(pid, &["--type", kind, "--mode", mode], &core);
        let sysroot = format!("/proc/{pid}/root");
        let output = analyze(&core, &["locks", "stack --all"], &["--sysroot", &sysroot]);
        let lock = &output.data("locks")["locks"][0];
        assert_eq!(lock["name"], "g_till", "{lock}");
        assert_eq!(lock["owner"]["tid"], outside[&truth.tid("cashier")], "{lock}");
        assert_eq!(lock["waiters"][0], outside[&truth.tid("customer")], "{lock}");
        assert!(output.stdout.contains("hold_the_till"), "{}", output.stdout);
    }
    outer.kill().expect("it is alive");
    outer.wait().expect("a child");
}

#[test]
fn a_dump_in_memory_is_opened_without_a_file() {
    use dumpscope::capture::collect::{Destination, Kind, Mode, Request, collect};
    use dumpscope::capture::{FORMATS, Opened};
    let process = Running::start("alive", "glibc", &["rest"]);
    let request = Request {
        pid: process.pid(),
        kind: Kind::Mini,
        mode: Mode::Direct,
        to: Destination::Memory,
        compress: false,
        max_pause: std::time::Duration::from_secs(20),
        buffer: 0,
        guard: None,
        needed: None,
    };
    let job = dumpscope::job::Job::default();
    let collected = collect(&request, &job, &|_| {}).expect("a dump");
    assert!(collected.path.is_none() && collected.threads == 3, "{collected:?}");
    let bytes = collected.bytes.expect("the core");
    let capture = dumpscope::capture::open_bytes(bytes, "live".as_ref(), FORMATS, &job)
        .and_then(Opened::process)
        .expect("it opens");
    let named = |name: &str| {
        let tid = process.truth().tid(name);
        let threads = capture.threads.iter();
        threads.filter(|thread| u64::from(thread.tid.0) == tid).find_map(|thread| thread.name.as_deref())
    };
    assert_eq!(named("cashier"), Some("cashier"));
    assert!(capture.problems.is_empty(), "{:?}", capture.problems);
}
