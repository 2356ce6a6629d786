//! The threads as shown: state, what each waits for, the top of the program's own code, where it was started.

use rayon::prelude::*;

use crate::error::Error;
use crate::job::Job;
use crate::model::thread::{CallKind, Held, HeldState, Nature, WaitKind};
use crate::model::{OsThread, Problem, Subject, Thread, ThreadState, WaitingOn};

use super::beyond::{self, Known};
use super::contracts::{self, Contract};
use super::locks::{Observation, Recognised};
use super::observations::Observations;
use super::rust_names;
use super::start;
use super::static_tls;
use super::syscalls::Blocking;
use super::waits::{Activity, Futex};

/// Threads without registers that are told one by one.
const TOLD: usize = 4;

/// Describes every thread, parallel to the scene's; what is missing.
pub(super) fn annotate(
    threads: &mut [Thread],
    observations: &Observations<'_>,
    recognised: &Recognised,
    job: &Job,
) -> Result<Vec<Problem>, Error> {
    job.phase("describing threads", observations.scene.threads.len() as u64);
    let local = static_tls::size(observations.scene.target);
    threads.par_iter_mut().zip(observations.scene.threads).enumerate().try_for_each_init(
        || job.meter(),
        |meter, (index, (thread, os))| {
            meter.add(1)?;
            describe(thread, observations, recognised, index, os, local);
            Ok::<(), Error>(())
        },
    )?;
    let mut problems = Vec::new();
    if observations.tids.translated {
        let message = "thread ids are those of the machine that took the dump; the process had others, of its own PID \
                       namespace, and lock owners were translated";
        problems.push(Problem::new("pid-namespace", Subject::Capture, message));
    }
    let lost = threads.iter().filter(|thread| thread.kernel.as_ref().is_some_and(|held| held.lost.is_some()));
    problems.extend(lost.take(TOLD).map(|thread| {
        let message = format!(
            "of thread {}, which did not stop, only the registers are known that the kernel tells: the rest of its stack is searched for",
            thread.tid
        );
        Problem::new("thread-lost", Subject::Thread(thread.tid), message)
    }));
    Ok(problems)
}

/// `local`: bytes of static thread-local storage.
fn describe(
    described: &mut Thread,
    observations: &Observations<'_>,
    recognised: &Recognised,
    index: usize,
    thread: &OsThread,
    local: u64,
) {
    let situation = observations.situation(index);
    let kernel = held(observations, thread);
    let (state, waiting_on) = match situation.map(|situation| &situation.activity) {
        None | Some(Activity::Unknown) => (ThreadState::Unknown, None),
        // One that is stopped is on no processor.
        Some(Activity::Running) if kernel.is_some() => (ThreadState::Blocked, None),
        Some(Activity::Running) => (ThreadState::Running, None),
        Some(Activity::Futex(futex)) => {
            (ThreadState::Blocked, recognised.wait(index).map(|seen| on_lock(observations, recognised, seen, *futex)))
        }
        Some(Activity::Call(blocking)) => {
            let sleeps = blocking.kind == CallKind::Sleep;
            let state = if sleeps { ThreadState::Sleeping } else { ThreadState::Blocked };
            (state, Some(on_call(observations, thread, blocking)))
        }
    };
    let waiting_on = match situation.and_then(|situation| situation.contract) {
        Some(contract) => waiting_on.map(|waiting| explained(waiting, contract)),
        None => waiting_on,
    };
    let top = situation.and_then(|situation| situation.calls.top()).and_then(|call| call.name.as_deref());
    if described.name.is_none() {
        let target = observations.scene.target;
        described.name = rust_names::name(target.arch(), thread, &target.memory, local);
    }
    described.state = state;
    described.waiting_on = waiting_on;
    described.top = top.map(str::to_owned);
    described.start = start::start(observations, index);
    described.kernel = kernel;
}

fn on_lock(observations: &Observations<'_>, recognised: &Recognised, seen: &Observation, futex: Futex) -> WaitingOn {
    let kind = WaitKind::Lock(seen.kind);
    // The kernel wakes who joins, for which a wait must not be private. Source: clone(2), CLONE_CHILD_CLEARTID. libstdc++ waits without
    // saying that the word is private.
    let own = futex.private || seen.kind.is_join() || observations.is_private(futex.word);
    WaitingOn {
        kind,
        address: Some(seen.address),
        name: recognised.name(seen.address).ok().flatten(),
        detail: None,
        nature: kind.nature(),
        inferred: false,
        within: !futex.timed && own,
    }
}

fn on_call(observations: &Observations<'_>, thread: &OsThread, call: &Blocking) -> WaitingOn {
    let target = observations.scene.target;
    let alone = observations.scene.threads.len() == 1;
    // The note is a moment older than the registers: what it says of descriptors is of another moment where the thread was elsewhere.
    let facts = target.capture.facts.as_deref().filter(|facts| beyond::agrees(facts, thread));
    let Known { name, detail, nature } = beyond::known(target.arch(), facts, call, alone);
    let whom = name.as_deref().filter(|_| call.kind == CallKind::Open).and_then(contracts::opened_for);
    let (detail, nature) = whom.map_or((detail, nature), |whom| (Some(whom.to_owned()), Nature::Idle));
    WaitingOn { kind: WaitKind::Call(call.kind), address: None, name, detail, nature, inferred: false, within: false }
}

/// A wait with what the names of the functions say of it. A lock whose owner is known needs no such words.
fn explained(waiting: WaitingOn, contract: &Contract) -> WaitingOn {
    let is_lock = matches!(waiting.kind, WaitKind::Lock(kind) if kind.is_owned());
    if is_lock || matches!(waiting.nature, Nature::Room | Nature::Mutual) {
        return waiting;
    }
    WaitingOn { detail: Some(contract.what.to_owned()), nature: contract.nature, ..waiting }
}

/// What the kernel does with a thread, where the note tells of no ordinary wait.
fn held(observations: &Observations<'_>, thread: &OsThread) -> Option<Held> {
    let facts = observations.scene.target.capture.facts.as_ref()?;
    let told = facts.thread(thread.tid.0)?;
    // Source: Linux kernel/freezer.c __refrigerator (cgroup v1), kernel/signal.c do_freezer_trap (cgroup v2).
    let frozen =
        told.wait_channel.as_deref().is_some_and(|name| name.contains("refrigerator") || name.contains("freezer"));
    let state = match told.state {
        _ if frozen => HeldState::Frozen,
        Some('T') => HeldState::Stopped,
        Some('t') => HeldState::Traced,
        _ if told.lost.is_some() => HeldState::Uninterruptible,
        _ => return None,
    };
    let functions = told.kernel_stack.clone();
    Some(Held { state, wait_channel: told.wait_channel.clone(), functions, lost: told.lost.clone() })
}
