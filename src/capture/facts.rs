//! What a core cannot hold, in a note of our own: names of threads and what the kernel knows that they wait for, open
//! files, limits, how much of each mapping is in memory.
//!
//! The note's owner is `dumpscope`, its type [`NOTE`], its content this structure as JSON; docs/formats.md describes it
//! for other readers. Written by `collect`, read when such a core is opened. Text in it is the target's own: printers
//! sanitise it.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

/// Type of the note: "DS", then 1.
pub const NOTE: u32 = 0x4453_0001;
/// Owner of the note.
pub const OWNER: &str = "dumpscope";
/// Version of the content. Readers ignore members that they do not know; a change that breaks them raises it.
pub const VERSION: u32 = 1;
/// Largest content that is read.
const MAX_CONTENT: usize = 64 << 20;
/// Mappings and unwind tables beyond so many are left out; the writer tells of 100,000 mappings and of one table.
const MAX_MAPPINGS: usize = 1 << 18;
const MAX_TABLES: usize = 1 << 10;
/// Most ids of other threads that are told of.
pub const MAX_OTHERS: usize = 1 << 8;

/// The note's content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// Who wrote it, `dumpscope 0.1.0`.
    pub writer: String,
    /// `full`, `heap`, `mini` or `triage`.
    pub kind: String,
    /// `direct`, or `fork`: memory of a child made by fork, so that shared memory is a moment younger than the
    /// registers.
    pub mode: String,
    /// When the process was stopped: seconds since 1970 (UTC).
    pub taken: u64,
    /// The clocks by which waits with a time limit are told to end, at that moment.
    pub clocks: Option<Clocks>,
    /// Milliseconds for which the process had run then.
    pub age_ms: Option<u64>,
    /// Its threads, as they were just before they were stopped.
    pub threads: Vec<ThreadFacts>,
    /// Its open files.
    pub descriptors: Vec<Descriptor>,
    /// Its limits (getrlimit(2)) by name, soft and hard; null is unlimited.
    pub limits: BTreeMap<String, [Option<u64>; 2]>,
    /// Its control groups, as /proc/PID/cgroup has them.
    pub cgroups: Vec<String>,
    /// Its root directory as it was seen from outside, where that was another; paths of mappings are below it.
    pub root: Option<String>,
    /// Its mappings.
    pub mappings: Vec<MappingFacts>,
    /// What was left out, and why.
    pub left_out: Vec<LeftOut>,
    /// Unwind tables that their modules do not tell of themselves.
    pub unwind_tables: Vec<UnwindTable>,
    /// The signal that had stopped the process before it was dumped (SIGSTOP, SIGTSTP, …); null where it was not
    /// stopped.
    pub stop_signal: Option<i32>,
    /// Its children, where a thread waited for one.
    pub children: Vec<Child>,
    /// The file locks that its threads waited for, with their owners.
    pub file_locks: Vec<FileLock>,
    /// Ids that stand where awaited locks record their holders, and that none of the process's own threads has.
    pub others: Vec<OtherThread>,
}

/// Nanoseconds of the kernel's clocks. Source: clock_gettime(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Clocks {
    /// CLOCK_REALTIME: since 1970 (UTC).
    pub real_ns: u64,
    /// CLOCK_MONOTONIC: since some moment before the machine was started.
    pub monotonic_ns: u64,
}

/// What the kernel told of an id that a lock may hold. A number that only looks like an id may be among them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OtherThread {
    /// The id, in the PID namespace of the process.
    pub tid: u32,
    /// Whether a thread that has not ended had it.
    pub alive: bool,
    /// The process that the thread is of, or was (a zombie's), in the numbering of the core's notes; null where there
    /// is none or it may not be looked at.
    pub pid: Option<u32>,
    /// That process's name, at most 15 bytes; empty where it is not known.
    pub name: String,
    /// Whether that process has mapped the shared memory that the awaited word is in.
    pub shares: bool,
}

/// A thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThreadFacts {
    /// Its id, as in the core's notes.
    pub tid: u32,
    /// Its id in its own PID namespace.
    pub inner_tid: Option<u32>,
    /// Its name, at most 15 bytes: what pthread_setname_np or prctl gave it, else that of its maker.
    pub name: String,
    /// `R`, `S`, `D`, … of proc(5).
    pub state: Option<char>,
    /// The kernel function that it sleeps in (`futex_do_wait`); null where the kernel does not tell.
    pub wait_channel: Option<String>,
    /// The system call that it sleeps in.
    pub syscall: Option<Syscall>,
    /// Milliseconds on a processor, in its own code and in the kernel.
    pub user_ms: u64,
    /// See `user_ms`.
    pub system_ms: u64,
    /// Why its registers are not in the core; null where they are.
    pub lost: Option<String>,
    /// Functions of the kernel that it was in, innermost first, of a thread whose registers are not in the core.
    pub kernel_stack: Vec<String>,
}

/// A system call that a thread sleeps in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Syscall {
    /// Its number.
    pub number: i64,
    /// Its six arguments.
    pub args: Vec<u64>,
    /// The stack pointer.
    pub sp: u64,
    /// The instruction pointer.
    pub pc: u64,
}

/// An open file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Descriptor {
    /// Its number.
    pub fd: u32,
    /// What it is: a path, `socket:[4711]`, `anon_inode:[eventpoll]`.
    pub target: String,
    /// What a socket is connected to: `tcp 10.0.0.1:5432 -> 10.0.0.2:80 ESTABLISHED`.
    pub socket: Option<String>,
    /// `r`, `w` or `rw`: what it was opened for.
    pub access: Option<String>,
    /// Of a pipe that a thread waited for: other processes that have it open.
    pub others: Vec<OtherEnd>,
}

/// Another process that has the same pipe open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OtherEnd {
    /// Its id.
    pub pid: u32,
    /// Its short name.
    pub name: String,
    /// `r`, `w` or `rw`.
    pub access: String,
}

/// A child process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Child {
    /// Its id.
    pub pid: u32,
    /// Its short name.
    pub name: String,
    /// `R`, `S`, `D`, … of proc(5), of its first thread.
    pub state: Option<char>,
    /// The kernel function that its first thread sleeps in; null where the kernel does not tell.
    pub wait_channel: Option<String>,
    /// The system call that its first thread sleeps in.
    pub syscall: Option<Syscall>,
    /// What is open there, where the call's first argument is a descriptor.
    pub target: Option<String>,
}

/// A file lock that a thread waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileLock {
    /// The descriptor that it waited on.
    pub fd: u32,
    /// `posix` (fcntl), `ofd` (of an open file description) or `flock`.
    pub kind: String,
    /// The process that holds it; null where it is that of an open file description.
    pub owner_pid: Option<u32>,
    /// Its short name; empty where it is not known.
    pub owner_name: String,
}

/// A mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MappingFacts {
    /// First address.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// `rw-p`.
    pub access: String,
    /// What is mapped, `[heap]`; empty for private memory without a file.
    pub path: String,
    /// Bytes in memory; null where it was mapped too late to be counted.
    pub resident: Option<u64>,
    /// Bytes in memory that are its own.
    pub anonymous: Option<u64>,
    /// Bytes swapped out.
    pub swapped: Option<u64>,
    /// Of a module: its file as it was then; null of other mappings, and where it was not at hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileFacts>,
}

/// A file, as its file system tells of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileFacts {
    /// Its number in its file system.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// When its content was last changed: nanoseconds since 1970 (UTC).
    pub modified_ns: i64,
}

/// Memory that is not in the core.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LeftOut {
    /// First address.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// Why.
    pub why: String,
}

/// A module's `.eh_frame`, where the module has no PT_GNU_EH_FRAME.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnwindTable {
    /// First address.
    pub start: u64,
    /// One past the last.
    pub end: u64,
}

impl FileFacts {
    /// As the file system tells.
    pub fn of(file: &Metadata) -> FileFacts {
        let modified_ns = file.mtime().saturating_mul(1_000_000_000).saturating_add(file.mtime_nsec());
        FileFacts { inode: file.ino(), size: file.len(), modified_ns }
    }
}

impl Facts {
    /// The note's content.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Maps with text as keys, numbers and text: nothing that JSON cannot hold.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a note's content; the error says what is wrong with it.
    pub fn parse(content: &[u8]) -> Result<Facts, String> {
        if content.len() > MAX_CONTENT {
            return Err(format!("{} bytes, {MAX_CONTENT} at most are read", content.len()));
        }
        let facts: Facts = serde_json::from_slice(content).map_err(|why| why.to_string())?;
        match facts.version {
            VERSION => Ok(facts),
            version => Err(format!("version {version} of the note, {VERSION} is read")),
        }
    }

    /// The mapping that holds an address; of facts that are in [order](Facts::order).
    pub fn mapping_at(&self, address: u64) -> Option<&MappingFacts> {
        let after = self.mappings.partition_point(|mapping| mapping.start <= address);
        self.mappings.get(after.checked_sub(1)?).filter(|mapping| address < mapping.end)
    }

    /// What was told of an id that none of the process's own threads has.
    pub fn other(&self, tid: u32) -> Option<&OtherThread> {
        self.others.iter().take(MAX_OTHERS).find(|other| other.tid == tid)
    }

    /// What is told of a thread; of facts that are in [order](Facts::order).
    pub fn thread(&self, tid: u32) -> Option<&ThreadFacts> {
        let place = self.threads.binary_search_by_key(&tid, |thread| thread.tid).ok()?;
        self.threads.get(place)
    }

    /// Puts threads in the order of their ids, mappings and tables in that of their addresses, and leaves out those
    /// that are empty, overlap the one before or are beyond a limit: readers look them up. False where any was left
    /// out.
    pub fn order(&mut self) -> bool {
        self.threads.sort_by_key(|thread| thread.tid);
        let whole = (self.mappings.len(), self.unwind_tables.len());
        disjoint(&mut self.mappings, MAX_MAPPINGS, |mapping| (mapping.start, mapping.end));
        disjoint(&mut self.unwind_tables, MAX_TABLES, |table| (table.start, table.end));
        (self.mappings.len(), self.unwind_tables.len()) == whole
    }
}

fn disjoint<T>(ranges: &mut Vec<T>, most: usize, of: impl Fn(&T) -> (u64, u64)) {
    ranges.sort_by_key(|range| of(range).0);
    let mut end = 0;
    ranges.retain(|range| {
        let (start, own_end) = of(range);
        let kept = start < own_end && start >= end;
        end = if kept { own_end } else { end };
        kept
    });
    ranges.truncate(most);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let thread = ThreadFacts { tid: 4711, name: "worker".into(), state: Some('S'), ..ThreadFacts::default() };
        Facts { version: VERSION, kind: "mini".into(), threads: vec![thread], ..Facts::default() }
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(Facts::parse(&facts().to_bytes()), Ok(facts()));
    }

    #[test]
    fn members_that_are_missing_or_unknown_do_no_harm() {
        let parsed = Facts::parse(br#"{"version":1,"threads":[{"tid":7,"name":"x","colour":"red"}],"future":{}}"#);
        let parsed = parsed.expect("a note of a later writer");
        assert_eq!(parsed.threads.first().map(|thread| (thread.tid, thread.name.as_str())), Some((7, "x")));
    }

    #[test]
    fn another_version_and_every_cut_are_refused() {
        assert!(Facts::parse(br#"{"version":2}"#).is_err_and(|why| why.contains("version 2")));
        let bytes = facts().to_bytes();
        for len in 0..bytes.len() {
            assert!(Facts::parse(&bytes[..len]).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn ranges_that_overlap_or_are_empty_are_left_out() {
        let mapping = |(start, end)| MappingFacts { start, end, ..MappingFacts::default() };
        let mut facts = Facts {
            mappings: [(0x3000, 0x4000), (0x1000, 0x3000), (0x2000, 0x9000), (0x5000, 0x5000)].map(mapping).to_vec(),
            unwind_tables: vec![UnwindTable::default(); 2_000_000],
            ..Facts::default()
        };
        assert!(!facts.order());
        let kept: Vec<(u64, u64)> = facts.mappings.iter().map(|mapping| (mapping.start, mapping.end)).collect();
        assert_eq!(kept, [(0x1000, 0x3000), (0x3000, 0x4000)]);
        assert!(facts.unwind_tables.is_empty());
        assert!(facts.order(), "what is in order stays");
    }
}
