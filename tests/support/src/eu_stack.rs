//! What eu-stack says of a core: it follows frame pointers where there are no unwind tables, and so through code made
//! at run time.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::run;

/// Program counters of every thread's frames, innermost first, by OS thread id. A return address is as stored.
pub fn eu_stacks(exe: &Path, core: &Path) -> BTreeMap<u64, Vec<u64>> {
    let mut command = Command::new("eu-stack");
    // -n 0: all frames. No symbols are wanted, so none are asked for over the network.
    command.args(["-n", "0", "-q", "--executable"]).arg(exe).arg("--core").arg(core).env_remove("DEBUGINFOD_URLS");
    let output = run(command);
    let mut stacks: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut tid = None;
    for line in output.stdout.lines() {
        if let Some(number) = line.strip_prefix("TID ") {
            tid = number.trim_end_matches(':').parse().ok();
        } else if line.starts_with('#') {
            let pc = line.split_whitespace().nth(1).and_then(|pc| u64::from_str_radix(pc.strip_prefix("0x")?, 16).ok());
            let (Some(tid), Some(pc)) = (tid, pc) else { panic!("eu-stack said {line}") };
            stacks.entry(tid).or_default().push(pc);
        }
    }
    assert!(!stacks.is_empty(), "eu-stack shows no frames (apt-get install elfutils):\n{}", output.stderr);
    stacks
}
