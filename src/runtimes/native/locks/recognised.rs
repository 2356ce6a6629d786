//! The locks that threads wait for, recognised and named once for all who ask.

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::error::Error;
use crate::job::{Job, Meter};
use crate::model::{Addr, Known, LockFamily, LockKind};
use crate::runtimes::native::observations::Observations;
use crate::runtimes::native::waits::Activity;

use super::entry::Entry;
use super::names;
use super::observation::{Observation, Waiter};
use super::probes::PROBES;

/// What each thread waits for, and what those locks are called.
pub(in crate::runtimes::native) struct Recognised {
    /// Parallel to the scene's threads.
    waits: Vec<Option<Observation>>,
    names: FxHashMap<Addr, Known<Option<String>>>,
}

impl Recognised {
    /// Recognises the lock that each thread of the scene waits for, and names each lock once: by the variables of those who wait.
    pub(in crate::runtimes::native) fn of(observations: &Observations<'_>, job: &Job) -> Result<Recognised, Error> {
        job.phase("recognising locks", observations.scene.threads.len() as u64);
        let recognise = |meter: &mut Meter<'_>, index| {
            meter.add(1)?;
            Ok(waited(observations, index))
        };
        let waits: Vec<Option<Observation>> = (0..observations.scene.threads.len())
            .into_par_iter()
            .map_init(|| job.meter(), recognise)
            .collect::<Result<_, Error>>()?;
        let mut users: FxHashMap<Addr, (LockKind, Vec<usize>)> = FxHashMap::default();
        for (index, seen) in waits.iter().enumerate() {
            if let Some(seen) = seen {
                users.entry(seen.address).or_insert((seen.kind, Vec::new())).1.push(index);
            }
        }
        job.phase("naming locks", users.len() as u64);
        let name = |meter: &mut Meter<'_>, (address, (kind, users)): (Addr, (LockKind, Vec<usize>))| {
            meter.add(1)?;
            Ok((address, names::name(observations, kind, address, &users)))
        };
        let names = users.into_par_iter().map_init(|| job.meter(), name).collect::<Result<_, Error>>()?;
        Ok(Recognised { waits, names })
    }

    /// The lock that the thread at `index` waits for; `None` when it is in no futex wait.
    pub(in crate::runtimes::native) fn wait(&self, index: usize) -> Option<&Observation> {
        self.waits.get(index)?.as_ref()
    }

    /// What a lock that is waited for is called; `Ok(None)` when nothing names it.
    pub(in crate::runtimes::native) fn name(&self, address: Addr) -> Known<Option<String>> {
        self.names.get(&address).cloned().unwrap_or(Ok(None))
    }

    pub(super) fn is_waited_for(&self, address: Addr) -> bool {
        self.names.contains_key(&address)
    }

    pub(super) fn waits_on_condvar(&self, index: usize) -> bool {
        self.wait(index).is_some_and(|seen| seen.kind.family == LockFamily::Condvar)
    }
}

fn waited(observations: &Observations<'_>, index: usize) -> Option<Observation> {
    let situation = observations.situation(index)?;
    let Activity::Futex(futex) = situation.activity else { return None };
    let thread = observations.scene.threads.get(index)?;
    let stack = observations.scene.stacks.get(index)?;
    let calls = &situation.calls;
    let entry = match Entry::of(calls) {
        unclear @ (Entry::Other | Entry::Unnamed) => {
            Entry::by_call(observations.scene.target, stack).unwrap_or(unclear)
        }
        named => named,
    };
    let waiter = Waiter { thread, stack, calls, entry, futex };
    PROBES.iter().find_map(|probe| (probe.waited)(observations, &waiter))
}
