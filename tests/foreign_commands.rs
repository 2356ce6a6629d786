//! Commands of other tools, over their own complete lists: each one runs what it means here, or says what to use instead.

use std::collections::BTreeSet;
use std::process::Command;

use dumpscope::commands::{Resolved, resolve};
use dumpscope::job::Job;

/// Every command and alias of dotnet-dump and SOS.
// Source: dotnet/diagnostics, [Command] attributes of Microsoft.Diagnostics.ExtensionCommands, DebugServices and SOS.Hosting,
// and SOS/Strike/sosdocsunix.txt, November 2026.
const SOS: &str = "uniquestacks analyzeoom AnalyzeOOM assemblies clrmodules crashinfo dumpasync DumpAsync \
    dumpconcurrentdictionary dcd dumpconcurrentqueue dcq dumpexceptions dumpgen dg dumpheap DumpHeap dumphttp DumpHttp dumplog \
    DumpLog dumpobjgcrefs dumprequests DumpRequests dumpruntimetypes DumpRuntimeTypes dumpstackobjects dso DumpStackObjects \
    eeheap EEHeap finalizequeue fq FinalizeQueue ephtoloh findpointersin ephrefs gchandleleaks gcheapstat GCHeapStat gcroot \
    GCRoot gctonative gcwhere GCWhere histclear HistClear histinit HistInit histobj HistObj histobjfind HistObjFind hof \
    histroot HistRoot histstats HistStats logopen logclose help soshelp logging modules lm d readmemory db dc da du dw dd dp dq \
    registers r runtimes setruntime setclrpath setsymbolserver SetSymbolServer loadsymbols sosstatus sosflush threads setthread \
    listnearobj lno ListNearObj maddress name2ee Name2EE notreachableinrange objsize ObjSize parallelstacks pstacks pathto \
    PathTo sizestats taskstate tks threadpool ThreadPool threadpoolqueue tpq timerinfo ti token2ee Token2EE traverseheap \
    TraverseHeap verifyheap VerifyHeap verifyobj VerifyObj exit quit q clrma clrstack clrthreads dbgout dumpalc dumparray \
    dumpassembly dumpclass dumpdelegate dumpdomain dumpgcdata dumpil dumpmd dumpmodule dumpmt dumpobj do dumpsig dumpsigelem \
    dumpvc eeversion ehinfo enummem findappdomain gchandles gcinfo ip2md printexception pe syncblk threadstate comstate dumprcw \
    dumpccw dumppermissionset watsonbuckets sos ext dumpstack eestack bpmd stoponexception soe u procinfo savemodule \
    minidumpmode findroots heapstat vmmap vmstat ao rcwcleanuplist sethostruntime";

/// WinDbg's that are typed over every dump, and words of jstack, jcmd and jhsdb.
const OTHERS: &[&str] = &[
    "~",
    "~*k",
    "~*e !clrstack",
    "~0s",
    "~3k",
    "!analyze -v",
    "k",
    "kb",
    "kn 20",
    "kv",
    "lm",
    "lmvm libc",
    "dt Order",
    "dv",
    "dx x",
    "dps rsp",
    "!address",
    "!peb",
    "!teb",
    "!locks",
    "!heap",
    "!threads",
    "!runaway",
    "!uniqstack",
    ".ecxr",
    ".exr -1",
    ".cxr",
    ".frame 3",
    ".reload /f",
    ".sympath",
    ".symfix",
    ".loadby sos coreclr",
    ".cordll -ve",
    ".dump /ma x",
    "g",
    "bp main",
    "u rip",
    "uf main",
    "ln 1000",
    "x *!main",
    "?? x",
    ".foreach",
    "!dumpheap -stat",
    "!clrstack -a",
    "sxe av",
    "qd",
    "jstack",
    "jstack -l",
    "thread.print",
    "Thread.print",
    "GC.heap_info",
    "VM.flags",
    "jhisto",
    "inspect 1000",
    "universe",
];

/// Whether the line is answered at all.
fn is_answered(line: &str) -> Result<(), String> {
    match resolve(line) {
        Ok(Resolved::Ours { .. }) => Ok(()),
        Ok(Resolved::Foreign(found)) => {
            let sentence = found.sentence(None, &Job::default());
            if sentence.len() > 10 { Ok(()) } else { Err(format!("{line}: no sentence")) }
        }
        Err(error) => Err(format!("{line}: {error}")),
    }
}

fn all_are_answered(lines: impl IntoIterator<Item = String>) {
    let refused: Vec<String> = lines.into_iter().filter_map(|line| is_answered(&line).err()).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn every_command_of_sos_is_answered() {
    all_are_answered(SOS.split_whitespace().map(str::to_owned));
    all_are_answered(SOS.split_whitespace().map(|name| format!("sos {name}")));
}

#[test]
fn what_fingers_of_windbg_and_the_jdk_type_is_answered() {
    all_are_answered(OTHERS.iter().map(|line| (*line).to_owned()));
}

#[test]
fn every_command_that_gdb_lists_is_answered() {
    let output = Command::new("gdb").args(["-nx", "-batch", "-ex", "help all"]).output().expect("apt-get install gdb");
    let help = String::from_utf8_lossy(&output.stdout);
    // `break, brea, bre, br, b -- Set breakpoint at specified location.`
    let names: BTreeSet<String> = help
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase() || c == '|'))
        .filter_map(|line| line.split_once(" -- "))
        .flat_map(|(names, _)| names.split(", ").map(str::to_owned).collect::<Vec<_>>())
        // Functions of expressions are listed among the commands.
        .filter(|name| !name.starts_with("function _"))
        .collect();
    assert!(names.len() > 1000, "gdb lists {} commands", names.len());
    all_are_answered(names);
}

#[test]
fn every_command_that_lldb_lists_is_answered() {
    let output = Command::new("lldb").args(["-x", "-b", "-o", "help"]).output().expect("apt-get install lldb");
    let help = String::from_utf8_lossy(&output.stdout);
    // `  disassemble       -- Disassemble specified instructions in the current`
    let named = help.lines().filter_map(|line| line.strip_prefix("  ")?.split_once(" -- "));
    let names: BTreeSet<String> =
        named.map(|(name, _)| name.trim().to_owned()).filter(|name| !name.is_empty() && !name.contains(' ')).collect();
    assert!(names.len() > 50, "lldb lists {names:?}");
    all_are_answered(names);
}

/// Objects of heaps are listed: no command of another tool is told that they are not.
#[test]
fn what_is_asked_of_a_heap_leads_to_the_commands_that_tell_it() {
    let said = |line: &str| match resolve(line) {
        Ok(Resolved::Foreign(found)) => found.sentence(None, &Job::default()),
        _ => panic!("{line} is another tool's"),
    };
    for (line, ours) in [
        ("dumparray 10", "dumpobj"),
        ("jhisto", "dumpheap -stat"),
        ("revptrs", "referrers"),
        ("traverseheap", "gcroot"),
    ] {
        assert!(said(line).contains(ours), "{line}: {}", said(line));
    }
    assert!(said("finalizequeue").contains("finalizers of .NET"), "{}", said("finalizequeue"));
    let stale: Vec<&str> = SOS.split_whitespace().filter(|name| {
        is_answered(name).is_ok() && matches!(resolve(name), Ok(Resolved::Foreign(found)) if found.sentence(None, &Job::default()).contains("not listed yet"))
    }).collect();
    assert!(stale.is_empty(), "{stale:?}");
}
