//! `maddress`, `heap -regions`: the mappings of a process, held against what the kernel says of them.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;
use support::{Running, as_address, run};

/// Of each mapping: access and bytes in memory, from /proc/PID/smaps, by first and last address.
fn smaps(pid: u32) -> BTreeMap<(u64, u64), (String, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps")).expect("the process is alive");
    let mut found = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if let Some((start, end)) = first.split_once('-') {
            let hex = |text| u64::from_str_radix(text, 16).expect("an address");
            current = Some(((hex(start), hex(end)), words.next().expect("its access").to_owned()));
        } else if let ("Rss:", Some((range, access))) = (first, &current) {
            let kilobytes: u64 = words.next().and_then(|word| word.parse().ok()).expect("a number");
            found.insert(*range, (access.clone(), kilobytes * 1024));
        }
    }
    found
}

fn rows(data: &Value) -> Vec<Value> {
    data["mappings"].as_array().expect("mappings").clone()
}

#[test]
fn the_mappings_of_a_collected_dump_are_those_of_the_kernel_with_what_was_in_memory() {
    let running = Running::start("deadlock", "glibc", &[]);
    let truth = smaps(running.pid());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let core = folder.path().join("core");
    let mut collect = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    collect.args(["collect", "--type", "mini", "-p", &running.pid().to_string(), "-o"]).arg(&core);
    run(collect).expect_status(0);
    let mut analyze = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    analyze.args(["analyze", "--json", "-c", "maddress", "-c", "heap -regions"]).arg(&core);
    let output = run(analyze).expect_status(0);
    let data = output.data("maddress");
    let mut with_owners = rows(&output.data("dumpheap"));
    let of_heap = with_owners.iter().find(|row| row["path"] == "[heap]").expect("the break was moved");
    assert_eq!((&of_heap["kind"], &of_heap["owner"]), (&"heap".into(), &"glibc malloc".into()));
    with_owners.iter_mut().for_each(|row| row["owner"] = Value::Null);
    assert!(rows(&data) == with_owners, "but for owners they are the same");
    let mut stacks = Vec::new();
    for row in rows(&data) {
        let range = (as_address(&row["start"]).expect("start"), as_address(&row["end"]).expect("end"));
        // The kernel's own page at the top is no mapping of the process.
        let Some((access, resident)) = truth.get(&range).filter(|_| range.0 < 1 << 63) else {
            assert!(range.0 >= 1 << 63, "the kernel knows no such mapping: {row}");
            continue;
        };
        assert_eq!(row["access"], access.as_str(), "{row}");
        assert_eq!(row["resident"].as_u64(), Some(*resident), "{row}");
        assert!(row["dumped"].as_u64() <= Some(range.1 - range.0), "{row}");
        stacks.extend(row["stacks"].as_array().expect("stacks").iter().filter_map(Value::as_u64));
    }
    stacks.sort_unstable();
    let mut threads: Vec<u64> = running.truth().threads("*").into_iter().map(|(_, tid)| tid).collect();
    threads.sort_unstable();
    assert_eq!(stacks, threads, "each thread's stack lies in one mapping");
    assert!(rows(&data).len() >= truth.len() - 2, "vsyscall and vvar aside, all are there");
}

#[test]
fn of_a_core_of_the_kernel_what_was_in_memory_is_unknown() {
    let mut analyze = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    analyze.args(["analyze", "--json", "-c", "maddress"]).arg(support::dump("deadlock", "glibc").core());
    let data = run(analyze).expect_status(0).data("maddress");
    assert!(!rows(&data).is_empty());
    assert!(rows(&data).iter().all(|row| row["resident"].is_null()));
    assert!(data["total"]["resident"].is_null());
    assert!(data["total"]["dumped"].as_u64() > Some(0));
}
