//! The threads as shown: state, what each waits for, the top of the program's own code, where it was started.

use rayon::prelude::*;

use crate::error::Error;
use crate::job::Job;
use crate::model::thread::{CallKind, WaitKind};
use crate::model::{LockKind, OsThread, Partial, Problem, Subject, Thread, ThreadState, WaitingOn};

use super::ground::Ground;
use super::locks::Recognised;
use super::rust_names;
use super::start;
use super::static_tls;
use super::waits::Activity;

/// Every thread of the scene, in its order.
pub(super) fn threads(ground: &Ground<'_>, recognised: &Recognised, job: &Job) -> Result<Partial<Vec<Thread>>, Error> {
    job.phase("describing threads", ground.scene.threads.len() as u64);
    let local = static_tls::size(ground.scene.target);
    let value = ground
        .scene
        .threads
        .par_iter()
        .enumerate()
        .map(|(index, thread)| {
            job.advance(1)?;
            Ok(row(ground, recognised, index, thread, local))
        })
        .collect::<Result<Vec<Thread>, Error>>()?;
    let mut problems = Vec::new();
    if ground.tids.translated {
        let message = "thread ids are those of the machine that took the dump; the process had others, of its own PID \
                       namespace, and lock owners were translated";
        problems.push(Problem::new("pid-namespace", Subject::Capture, message));
    }
    Ok(Partial { value, problems })
}

/// `local`: bytes of static thread-local storage.
fn row(ground: &Ground<'_>, recognised: &Recognised, index: usize, thread: &OsThread, local: u64) -> Thread {
    let situation = ground.situation(index);
    let (state, waiting_on) = match situation.map(|situation| &situation.activity) {
        None | Some(Activity::Unknown) => (ThreadState::Unknown, None),
        Some(Activity::Running) => (ThreadState::Running, None),
        Some(Activity::Futex(futex)) => (
            ThreadState::Blocked,
            recognised.wait(index).map(|seen| WaitingOn {
                kind: WaitKind::Lock(seen.kind),
                address: Some(seen.address),
                name: recognised.name(seen.address).ok().flatten(),
                // The kernel wakes who joins, for which a wait must not be private. Source: clone(2), CLONE_CHILD_CLEARTID.
                within: !futex.timed
                    && (futex.private
                        || seen.kind == LockKind::Join
                        // libstdc++ waits without saying that the word is private.
                        || ground.is_private(futex.word)),
            }),
        ),
        Some(Activity::Call(blocking)) => {
            let sleeps = blocking.kind == CallKind::Sleep;
            let state = if sleeps { ThreadState::Sleeping } else { ThreadState::Blocked };
            let name = blocking.name.as_ref().map(|name| described(ground, name));
            let on = WaitingOn { kind: WaitKind::Call(blocking.kind), address: None, name, within: false };
            (state, Some(on))
        }
    };
    let top = situation.and_then(|situation| situation.calls.top()).and_then(|call| call.name.as_deref());
    Thread {
        index,
        tid: thread.tid,
        name: thread
            .name
            .clone()
            .or_else(|| rust_names::name(ground.scene.target.arch(), thread, &ground.scene.target.memory, local)),
        runtime_id: None,
        state,
        crashed: thread.crashed,
        waiting_on,
        top: top.map(str::to_owned),
        start: start::start(ground, index),
    }
}

/// `fd 7 (tcp 10.0.0.1:5432 LISTEN)`: a descriptor with what is open there, where the dump tells.
fn described(ground: &Ground<'_>, name: &str) -> String {
    let open = || {
        let number: u32 = name.strip_prefix("fd ")?.parse().ok()?;
        let facts = ground.scene.target.capture.facts.as_ref()?;
        let open = facts.descriptors.iter().find(|open| open.fd == number)?;
        Some(open.socket.as_ref().unwrap_or(&open.target))
    };
    open().map_or_else(|| name.to_owned(), |open| format!("{name} ({open})"))
}
