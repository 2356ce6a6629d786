//! All that is known of a scene's threads before any lock is judged: what each was doing, in which functions, on which part of
//! its stack.
//!
//! Input: the scene, its C library, its thread ids. Output: facts that are read once and shared by the questions for threads
//! and for locks.

use std::ops::Range;

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::capture::Memory;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Arch, Evidence, Gap, OsThread, Owner, Tid};
use crate::runtimes::Scene;

use super::calls::{Calls, Namer};
use super::contracts::{self, Contract};
use super::libc::Libc;
use super::tids::Tids;
use super::waits::{self, Activity};

/// What one thread was doing.
pub(super) struct Situation {
    pub(super) activity: Activity,
    pub(super) calls: Calls,
    /// What it waits for by the names of its functions.
    pub(super) contract: Option<&'static Contract>,
}

/// What was read of the threads.
pub(super) struct Facts {
    /// Parallel to the scene's threads.
    situations: Vec<Situation>,
    /// Threads by their thread pointers.
    by_block: FxHashMap<Addr, Tid>,
}

/// The scene with its facts: what probes may ask.
pub(super) struct Observations<'a> {
    pub(super) scene: &'a Scene<'a>,
    pub(super) libc: &'a Libc,
    pub(super) tids: &'a Tids,
    facts: &'a Facts,
}

impl Facts {
    /// Names the innermost and outermost calls of each thread and reads what it was doing.
    pub(super) fn read(scene: &Scene<'_>, libc: &Libc, job: &Job) -> Result<Facts, Error> {
        job.phase("reading what threads wait for", scene.threads.len() as u64);
        let target = scene.target;
        let namer = Namer::new(target, libc.in_executable);
        let situations = scene
            .threads
            .par_iter()
            .zip(scene.stacks)
            .map_init(
                || job.meter(),
                |meter, (thread, stack)| {
                    meter.add(1)?;
                    let calls = Calls::of(&namer, stack);
                    let activity = waits::activity(target.arch(), thread, &calls, &target.memory);
                    let waits = matches!(activity, Activity::Futex(_) | Activity::Call(_));
                    let contract = if waits { contracts::explained(&namer, target, stack) } else { None };
                    Ok(Situation { activity, calls, contract })
                },
            )
            .collect::<Result<Vec<Situation>, Error>>()?;
        let mut by_block = FxHashMap::default();
        for thread in scene.threads {
            if let Ok(block) = thread.thread_pointer {
                by_block.entry(block).or_insert(thread.tid);
            }
        }
        Ok(Facts { situations, by_block })
    }
}

/// Static thread-local storage of one thread that is believed: programs have a few kilobytes.
const MAX_STATIC_TLS: u64 = 0x1_0000;

/// Words of one stack that are looked at: 2 MiB, far more than a thread that is not in endless recursion uses.
const MAX_STACK_WORDS: u64 = 0x4_0000;

impl<'a> Observations<'a> {
    /// A scene with its facts.
    pub(super) fn new(scene: &'a Scene<'a>, libc: &'a Libc, tids: &'a Tids, facts: &'a Facts) -> Observations<'a> {
        Observations { scene, libc, tids, facts }
    }

    pub(super) fn memory(&self) -> &'a Memory {
        &self.scene.target.memory
    }

    /// What the thread at `index` was doing.
    pub(super) fn situation(&self, index: usize) -> Option<&Situation> {
        self.facts.situations.get(index)
    }

    /// The thread with this thread pointer.
    pub(super) fn thread_of_block(&self, block: Addr) -> Option<Tid> {
        self.facts.by_block.get(&block).copied()
    }

    /// The thread that an owner field names, with the evidence for it. `id` is not zero.
    pub(super) fn owner(&self, id: u32, recorded: Evidence) -> (Owner, Evidence) {
        match self.tids.thread(id) {
            Some(tid) => (Owner::Thread(tid), recorded),
            None => {
                let gap = Gap::NotRecorded(format!("the lock names thread {id}, which is not in the dump"));
                (Owner::Unknown(gap), Evidence::OWNER_GONE)
            }
        }
    }

    /// The thread in whose static thread-local storage an address lies.
    // x86-64 keeps it right below the thread pointer, aarch64 right above. Source: Drepper, "ELF Handling For Thread-Local
    // Storage", variants II and I.
    pub(super) fn owner_of_thread_local(&self, address: Addr) -> Option<Tid> {
        let distance = |thread: &OsThread| {
            let block = *thread.thread_pointer.as_ref().ok()?;
            match self.scene.target.arch() {
                Arch::X86_64 => block.since(address),
                Arch::Aarch64 => address.since(block),
            }
        };
        let near = self.scene.threads.iter().filter_map(|thread| Some((distance(thread)?, thread.tid)));
        near.filter(|(bytes, _)| *bytes < MAX_STATIC_TLS).min().map(|(_, tid)| tid)
    }

    /// Whether memory is known to belong to this process alone: a module's data, or a mapping of neither a file nor shared memory.
    /// Shared memory has a file in the kernel, named or not, so that lists of mapped files have it.
    // Source: Linux mm/shmem.c, shmem_zero_setup; fs/binfmt_elf.c, fill_files_note.
    pub(super) fn is_private(&self, address: Addr) -> bool {
        let target = self.scene.target;
        let recorded = target.capture.facts.as_ref().and_then(|facts| facts.mapping_at(address.0));
        if let Some(mapping) = recorded {
            return mapping.access.ends_with('p');
        }
        if target.module_at(address).is_some() {
            return true;
        }
        let Some(files) = &target.capture.files else { return false };
        let before = files.partition_point(|file| file.start <= address);
        let of_file =
            before.checked_sub(1).and_then(|last| files.get(last)).is_some_and(|file| file.contains(&address));
        !of_file && self.memory().region_at(address).is_some()
    }

    /// The part of a thread's stack that is in use: from the stack pointer up to the thread's control block or the mapping's
    /// end.
    pub(super) fn live_stack(&self, thread: &OsThread) -> Option<Range<Addr>> {
        let sp = Addr(thread.registers.as_ref().ok()?.sp()?.0 & !7);
        let end = self.memory().region_at(sp)?.end;
        // glibc and musl put the control block of a thread (not of the first one) at the top of its stack. Mappings of
        // neighbours may have been joined, so the mapping's end is not the stack's.
        let block = thread.thread_pointer.as_ref().ok().filter(|block| **block > sp && **block < end);
        Some(sp..block.copied().unwrap_or(end))
    }

    /// The words of a thread's live stack with their addresses, from the stack pointer up. At most [`MAX_STACK_WORDS`].
    pub(super) fn live_words(&self, thread: &OsThread) -> impl Iterator<Item = (Addr, u64)> + use<'a> {
        let used = self.live_stack(thread);
        let sp = used.as_ref().map(|used| used.start);
        let bytes = used.and_then(|used| {
            let len = used.end.since(used.start)?.min(MAX_STACK_WORDS.saturating_mul(8));
            self.memory().slice_up_to(used.start, len).ok()
        });
        let words = self.memory().pointers(bytes.unwrap_or_default());
        let size = self.scene.target.arch().pointer_size();
        (0u64..).zip(words).filter_map(move |(index, word)| Some((sp?.plus(index.checked_mul(size)?)?, word.0)))
    }
}
