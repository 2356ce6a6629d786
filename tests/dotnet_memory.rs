//! All memory of a .NET process by what it is used for, held against the kernel's account of the same process; its classes and its compiled code
//! in the heaps that are told for them.

use std::ops::Range;
use std::process::Command;

use serde_json::Value;
use support::{Dotnet, Started, as_address, run};

/// Bytes of all mappings of a process, and those in memory, from /proc/PID/smaps.
fn smaps(pid: u32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps")).expect("the process is alive");
    let (mut all, mut resident) = (0, 0);
    // The kernel's own pages are no memory of the process.
    let mut is_own = true;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        let number = words.next().and_then(|word| word.parse::<u64>().ok());
        match first {
            "Size:" if is_own => all += number.expect("kilobytes") << 10,
            "Rss:" if is_own => resident += number.expect("kilobytes") << 10,
            range if range.contains('-') && !range.ends_with(':') => is_own = !line.ends_with("[vsyscall]"),
            _ => {}
        }
    }
    (all, resident)
}

fn signal(process: &Started, name: &str) {
    let status = Command::new("kill").args([name, &process.pid().to_string()]).status().expect("kill runs");
    assert!(status.success());
}

fn sum<'a>(rows: impl Iterator<Item = &'a Value>, member: &str) -> u64 {
    rows.map(|row| row[member].as_u64().unwrap_or_else(|| panic!("{member}: {row}"))).sum()
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn all_memory_is_told_by_its_use_and_sums_up_to_what_the_kernel_counts() {
    let dotnet = Dotnet::find();
    for (version, _) in &dotnet.runtimes {
        let process = dotnet.start(version, "dotnet-objects", "Objects");
        signal(&process, "-STOP");
        let (mapped, resident) = smaps(process.pid());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let core = folder.path().join("core");
        let mut collect = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
        collect.args(["collect", "--type", "full", "-p", &process.pid().to_string(), "-o"]).arg(&core);
        run(collect).expect_status(0);
        let mut analyze = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
        analyze.arg("analyze").arg(&core).args(["--json", "--offline"]);
        let questions = ["heap -regions", "eeheap -loader", "dumpheap -stat", "stack --all", "eeheap -gc"];
        analyze.args(questions.iter().flat_map(|question| ["-c", question]));
        let told: Vec<Value> =
            run(analyze).documents().into_iter().map(|mut document| document["data"].take()).collect();
        let [regions, loader, types, stacks, segments] = told.try_into().expect("five answers");

        // One sum, of which nothing is counted twice and nothing is left out.
        let rows = regions["mappings"].as_array().expect("mappings");
        let kinds = regions["kinds"].as_array().expect("kinds");
        let of_kernel = |row: &&Value| as_address(&row["start"]).expect("an address") >> 63 == 1;
        let beyond = sum(rows.iter().filter(of_kernel), "bytes");
        assert_eq!(sum(kinds.iter(), "bytes"), mapped + beyond, "{version}: {kinds:?}");
        assert_eq!(regions["total"]["bytes"], mapped + beyond, "{version}");
        assert_eq!(regions["total"]["resident"], resident, "{version}");
        assert_eq!(sum(kinds.iter(), "dumped"), regions["total"]["dumped"].as_u64().expect("bytes"), "{version}");
        let of = |kind: &str, owner: &str| {
            let is_it = |row: &&Value| row["kind"] == kind && row["owner"].as_str().unwrap_or_default() == owner;
            let bytes = kinds.iter().find(is_it).map(|row| row["bytes"].as_u64().expect("bytes"));
            bytes.unwrap_or_else(|| panic!("{version}: no {kind}, {owner}: {kinds:?}"))
        };
        for (kind, owner) in [
            ("heap", "glibc malloc"),
            ("runtime-code", ".NET"),
            ("runtime-data", ".NET loader, low frequency"),
            ("runtime-data", ".NET loader, high frequency"),
            ("module", "assemblies of .NET"),
            ("module", ""),
            ("module-data", ""),
            ("stack", ""),
        ] {
            assert!(of(kind, owner) > 0, "{version}: {kind}, {owner}");
        }
        // What the collector has of each generation.
        for generation in ["gen 0", "gen 2", "large"] {
            let own = segments["segments"].as_array().expect("segments").iter();
            let own: Vec<&Value> = own.filter(|segment| segment["generation"] == generation).collect();
            // A region has a header before its first object, of a page at most.
            let taken = sum(own.iter().copied(), "committed_bytes");
            let told = of("heap", &format!(".NET, {generation}"));
            assert!(
                (taken..=taken + 4096 * own.len() as u64).contains(&told),
                "{version}: {generation}: {told}: {own:?}"
            );
        }

        // Every class is in memory of a loader, and all code of the program is in heaps of code: its assembly has none of its own.
        let blocks = loader["loader"]["blocks"].as_array().expect("blocks");
        let within = |is_code: bool| {
            let wanted = blocks.iter().filter(move |block| block["allocator"].is_null() == is_code);
            wanted.map(|block| {
                let begin = as_address(&block["begin"]).expect("an address");
                begin..begin + block["bytes"].as_u64().expect("bytes")
            })
        };
        let (data, code): (Vec<Range<u64>>, Vec<Range<u64>>) = (within(false).collect(), within(true).collect());
        let has = |all: &[Range<u64>], at: u64| all.iter().any(|range| range.contains(&at));
        let classes = types["types"].as_array().expect("types");
        let outside: Vec<&Value> =
            classes.iter().filter(|class| !has(&data, as_address(&class["id"]).expect("an id"))).collect();
        assert!(classes.len() > 100 && outside.is_empty(), "{version}: {outside:?}");
        let frames = stacks["threads"].as_array().expect("threads").iter();
        let frames = frames.flat_map(|thread| thread["frames"].as_array().expect("frames").clone());
        let own: Vec<Value> = frames
            .filter(|frame| frame["kind"] == "managed")
            .filter(|frame| frame["function"].as_str().is_some_and(|name| name.starts_with("Shop.")))
            .collect();
        assert!(!own.is_empty(), "{version}: no frame of the program");
        for frame in own {
            assert!(has(&code, as_address(&frame["pc"]).expect("an address")), "{version}: {frame}");
        }
        signal(&process, "-CONT");
    }
}
