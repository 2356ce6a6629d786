//! What gdb says of a core, for what gdb is right about: the frames of stacks that have unwind tables.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::run;

/// A frame as gdb sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GdbFrame {
    /// Instruction pointer, or return address.
    pub pc: u64,
    /// An inlined call, which shares its `pc` with the frame around it.
    pub inline: bool,
    /// Its function, without scope or parameters as gdb prefers; empty when gdb has none.
    pub name: String,
}

// One line a frame: tid, pc, whether inlined, name. Frames beyond main and the entry point too.
const SCRIPT: &str = r#"
import gdb
gdb.execute("set backtrace past-main on")
gdb.execute("set backtrace past-entry on")
for thread in gdb.selected_inferior().threads():
    thread.switch()
    frame = gdb.newest_frame()
    while frame is not None:
        # A tail call's frame is gone; gdb adds one that it derives from call site information.
        if frame.type() != gdb.TAILCALL_FRAME: print("FRAME", thread.ptid[1], frame.pc(), int(frame.type() == gdb.INLINE_FRAME), frame.name() or "")
        try:
            frame = frame.older()
        except gdb.error:
            frame = None
"#;

/// Every thread's frames, innermost first, by OS thread id.
pub fn gdb_stacks(exe: &Path, core: &Path) -> BTreeMap<u64, Vec<GdbFrame>> {
    let mut command = Command::new("gdb");
    command.args(["-nx", "-batch", "-iex", "set debuginfod enabled off"]);
    // Threads by what the core's notes say: libthread_db goes by the process's own ids, which are others in a PID namespace.
    command.args(["-iex", "set libthread-db-search-path /nonexistent", "-ex"]);
    command.arg(format!("python exec({SCRIPT:?})")).arg(exe).arg(core);
    let output = run(command);
    let mut stacks: BTreeMap<u64, Vec<GdbFrame>> = BTreeMap::new();
    for line in output.stdout.lines().filter_map(|line| line.strip_prefix("FRAME ")) {
        let mut words = line.splitn(4, ' ');
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let (Some(tid), Some(pc), Some(inline)) = (number(), number(), number()) else { panic!("gdb said {line}") };
        let name = words.next().unwrap_or("").to_owned();
        stacks.entry(tid).or_default().push(GdbFrame { pc, inline: inline == 1, name });
    }
    assert!(!stacks.is_empty(), "gdb shows no frames (apt-get install gdb):\n{}\n{}", output.stdout, output.stderr);
    stacks
}
