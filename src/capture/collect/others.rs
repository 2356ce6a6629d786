//! Whether the threads of other processes are alive that may hold what the threads of this one wait for.
//!
//! Input: the words that threads wait on, memory, mappings. Output: what the kernel tells of each id that stands where
//! a lock with such a word records its holder, and that no thread of the process has. Nothing here knows which kind of
//! lock it is: a number that is no id does no harm, for who reads the dump asks about ids that it found in locks.

use std::fs;
use std::path::Path;

use procfs::process::Status;
use rustc_hash::{FxHashMap, FxHashSet};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::live::read;
use super::maps::{self, Mapping};
use super::peek::Peek;
use crate::capture::facts::{MAX_OTHERS, OtherThread, ThreadFacts};

/// Where a holder's id may be, counted from the word that is waited for: `pthread_mutex_t.__owner`, and
/// `pthread_rwlock_t.__cur_writer` from the two words that writers and readers wait for. Source: docs/layouts/glibc.md,
/// "mutex" and "rwlock".
const PLACES: [u64; 3] = [8, 12, 16];
/// What such a word is while somebody waits: 1 or 2 of a mutex, 1 and 2 of a reader-writer lock. Source: as above.
const HELD: std::ops::RangeInclusive<u32> = 1..=3;
/// The word itself is an id with these bits where the kernel or the C library says that somebody waits. Source: Linux
/// uapi/linux/futex.h, FUTEX_WAITERS and FUTEX_TID_MASK.
const WAITERS: u32 = 0x8000_0000;
const TID_MASK: u32 = 0x3fff_ffff;
/// Source: Linux include/linux/threads.h, PID_MAX_LIMIT on 64-bit machines.
const PID_MAX_LIMIT: u32 = 0x40_0000;
/// Processes and threads that are asked for their ids in another PID namespace.
const MAX_ASKED: usize = 1 << 14;

/// Asks the kernel. Bounded by [`MAX_OTHERS`]; empty where no awaited word has such a number beside it.
pub(super) fn look<'a>(
    threads: impl Iterator<Item = &'a ThreadFacts> + Clone,
    words: impl Iterator<Item = u64>,
    mappings: &[Mapping],
    peek: &Peek<'_>,
) -> Vec<OtherThread> {
    let own: FxHashSet<u32> = threads.clone().map(|thread| thread.inner_tid.unwrap_or(thread.tid)).collect();
    let mut found: FxHashMap<u32, u64> = FxHashMap::default();
    let words: FxHashSet<u64> = words.collect();
    for word in words {
        for id in ids(word, peek).filter(|id| !own.contains(id)) {
            if found.len() < MAX_OTHERS {
                found.entry(id).or_insert(word);
            }
        }
    }
    if found.is_empty() {
        return Vec::new();
    }
    let Some(outside) = outside(threads, &found) else { return Vec::new() };
    let mut others: Vec<OtherThread> = found
        .iter()
        .map(|(id, word)| {
            let shared = mapping_at(mappings, *word).filter(|mapping| mapping.shared);
            of(*id, outside.get(id).copied(), shared)
        })
        .collect();
    others.sort_by_key(|other| other.tid);
    others
}

/// The numbers beside a word that may be ids.
fn ids(word: u64, peek: &Peek<'_>) -> impl Iterator<Item = u32> {
    let half = |at: u64| {
        let mut bytes = [0; 4];
        peek.read_present(at, &mut bytes)?;
        Some(u32::from_le_bytes(bytes))
    };
    let value = half(word).unwrap_or(0);
    let itself = Some(value & TID_MASK).filter(|_| value & WAITERS != 0);
    let places = if HELD.contains(&value) { PLACES.as_slice() } else { &[] };
    let beside = places.iter().filter_map(move |place| half(word.checked_add(*place)?));
    itself.into_iter().chain(beside).filter(|id| (1..PID_MAX_LIMIT).contains(id))
}

fn mapping_at(mappings: &[Mapping], address: u64) -> Option<&Mapping> {
    let after = mappings.partition_point(|mapping| mapping.span.start.0 <= address);
    mappings.get(after.checked_sub(1)?).filter(|mapping| mapping.span.contains(address))
}

/// Our own name for each of the ids: the same, unless the process is in another PID namespace. `None` where that could
/// not be found out; without an entry: no thread has the id.
fn outside<'a>(
    mut threads: impl Iterator<Item = &'a ThreadFacts>,
    ids: &FxHashMap<u32, u64>,
) -> Option<FxHashMap<u32, u32>> {
    let thread = threads.next()?;
    if thread.inner_tid.is_none_or(|inner| inner == thread.tid) {
        return Some(ids.keys().map(|id| (*id, *id)).collect());
    }
    let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let wanted = namespace(thread.tid)?;
    let mut found = FxHashMap::default();
    let mut asked = 0usize;
    for pid in numbers(Path::new("/proc"))? {
        if namespace(pid).as_ref() != Some(&wanted) {
            continue;
        }
        for tid in numbers(Path::new(&format!("/proc/{pid}/task"))).unwrap_or_default() {
            asked = asked.saturating_add(1);
            if asked > MAX_ASKED {
                return None;
            }
            let status: Option<Status> = read(pid, &format!("task/{tid}/status")).ok();
            let inner = status.and_then(|status| status.nspid?.last().copied());
            let inner = inner.and_then(|inner| u32::try_from(inner).ok()).filter(|inner| ids.contains_key(inner));
            found.extend(inner.map(|inner| (inner, tid)));
        }
    }
    Some(found)
}

/// The numbered entries of a folder.
fn numbers(folder: &Path) -> Option<Vec<u32>> {
    let entries = fs::read_dir(folder).ok()?;
    Some(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// What the kernel tells of `id`, whose thread is ours `outside`; `shared` is the memory that it may hold a lock in.
fn of(id: u32, outside: Option<u32>, shared: Option<&Mapping>) -> OtherThread {
    let gone = OtherThread { tid: id, ..OtherThread::default() };
    let Some(outside) = outside else { return gone };
    let status: Option<Status> = read(outside, "status").ok();
    // A thread that we may not look at is there all the same.
    let handle = i32::try_from(outside).ok().and_then(Pid::from_raw);
    let is_there = status.is_some() || handle.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH));
    let has_ended = status.as_ref().is_some_and(|status| status.state.starts_with(['Z', 'X']));
    if !is_there {
        return gone;
    }
    let pid = status.and_then(|status| u32::try_from(status.tgid).ok());
    if has_ended {
        return OtherThread { pid, ..gone };
    }
    let name = pid.and_then(|pid| fs::read(format!("/proc/{pid}/comm")).ok()).unwrap_or_default();
    let shares = pid.zip(shared).is_some_and(|(pid, mapping)| maps::shares(pid, mapping));
    OtherThread { tid: id, alive: true, pid, name: String::from_utf8_lossy(name.trim_ascii_end()).into_owned(), shares }
}
