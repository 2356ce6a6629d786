//! The verdict: all that is known of the process, gathered for triage.

use std::sync::Arc;

use super::Process;
use super::named_once::NamedOnce;
use crate::analysis::deadlock::Holder;
use crate::analysis::triage::{self, Case, Finding};
use crate::error::Error;
use crate::job::Job;
use crate::model::frame::path;
use crate::model::thread::{CallKind, WaitKind};
use crate::model::{
    Acquisition, Addr, Detail, Exception, FatalSignal, Frame, NamedFrame, OsThread, PendingWork, Thread,
};

/// Physical frames of each thread that triage looks at: its rules compare and tell inner ones.
const VERDICT_FRAMES: usize = 64;

/// Holders in event loops whose code is looked at: a process has few.
const MAX_LOOPS: usize = 16;

impl Process {
    /// Work that waits for work, threads that block on it, requests in flight. `whole`: all of it is read, however long that takes, as it is where
    /// another question has read it.
    pub fn pending_work(&self, whole: bool, job: &Job) -> Result<Arc<PendingWork>, Error> {
        let whole = self.asks_for_whole(whole, job)?;
        let kept = if whole { &self.whole_work } else { &self.work };
        kept.get(job, |job| {
            let (runtimes, stacks) = (self.runtimes(job)?, self.stacks(job)?);
            runtimes.pending_work(&runtimes.scene(&self.target, self.os_threads(), &stacks), whole, job)
        })
    }

    /// Whether more is to be read than a first screen reads: not where that was all.
    fn asks_for_whole(&self, whole: bool, job: &Job) -> Result<bool, Error> {
        let is_all = self.work.known().is_some_and(|work| work.not_read.is_none());
        Ok(!is_all && (whole || self.runtimes(job)?.knows_work()))
    }

    /// What triage concludes, the most severe first. Names the inner frames of every stack. `whole`: as of [`Process::pending_work`].
    pub fn verdict(&self, whole: bool, job: &Job) -> Result<Arc<Vec<Finding>>, Error> {
        let whole = self.asks_for_whole(whole, job)?;
        let kept = if whole { &self.whole_verdict } else { &self.verdict };
        kept.get(job, |job| {
            // Rough shares of the time.
            job.phase("reading the process", 10);
            let (threads, locks) = (self.threads(&job.child(5))?, self.locks(&job.child(2))?);
            let exceptions = self.exceptions(&job.child(1))?;
            let fatal = exceptions.value.iter().find(|exception| exception.fatal && exception.tid.is_some());
            let is_fatal = |thread: &OsThread| fatal.is_some_and(|fatal| fatal.tid == Some(thread.tid));
            let naming = job.child(2);
            naming.phase("naming stacks", self.os_threads().len() as u64);
            // The fatal exception has its thread's named stack already, which may be the one of 200,000 frames.
            let walked = self.stacks(job)?;
            let inner = walked.iter().map(|stack| stack.frames.get(..VERDICT_FRAMES).unwrap_or(&stack.frames));
            let inner: Vec<&[Frame]> = self
                .os_threads()
                .iter()
                .zip(inner)
                .map(|(thread, inner)| if is_fatal(thread) { &[] } else { inner })
                .collect();
            let named = NamedOnce::new(&inner, |frames| {
                naming.advance(1)?;
                Ok(self.named_frames(frames))
            })?;
            drop(naming);
            let stacks: Vec<&[NamedFrame]> = (self.os_threads().iter().enumerate())
                .map(|(index, thread)| match fatal.filter(|_| is_fatal(thread)) {
                    Some(fatal) => &fatal.frames,
                    None => named.of(index),
                })
                .collect();
            let pending = self.pending_work(whole, &job.child(0))?;
            let taken = self.taken_in_loops(&threads.value, &locks.holders, &job.child(0))?;
            Ok(triage::verdict(&Case {
                pid: self.target.capture.process.pid.as_ref().ok().copied(),
                threads: &threads.value,
                stacks: &stacks,
                locks: &locks.locks,
                cycles: &locks.cycles,
                holders: &locks.holders,
                taken: &taken,
                exceptions: &exceptions.value,
                signal: self.ending_signal(&exceptions.value),
                problems: &self.problems(),
                doubtful: &self.doubtful_modules(),
                stop_signal: self.target.capture.facts.as_ref().and_then(|facts| facts.stop_signal),
                runtimes: &self.recognised(job)?,
                pending: &pending,
            }))
        })
    }

    /// The locks that holders which wait for events have taken in functions that have not returned, apart from those that they began with.
    fn taken_in_loops(&self, threads: &[Thread], holders: &[Holder], job: &Job) -> Result<Vec<Addr>, Error> {
        let waits_for_events = |thread: &Thread| {
            thread.waiting_on.as_ref().is_some_and(|waiting| waiting.kind == WaitKind::Call(CallKind::Epoll))
        };
        let held_by = |tid| holders.iter().any(|holder| holder.tid == tid && holder.waiters.len() > 1);
        let indices: Vec<usize> = threads
            .iter()
            .filter(|thread| waits_for_events(thread) && held_by(thread.tid))
            .filter_map(|thread| self.index_of(thread.tid))
            .take(MAX_LOOPS)
            .collect();
        let stacks = self.stacks(job)?;
        let mut taken = Vec::new();
        for (index, acquisitions) in indices.iter().zip(self.acquisitions(&indices, job)?) {
            let tid = self.os_threads().get(*index).map(|thread| thread.tid);
            let start = threads
                .iter()
                .find(|thread| Some(thread.tid) == tid)
                .and_then(|thread| thread.start.as_deref())
                .map(path);
            // What main, or where else the thread began, took before its loop it keeps for as long as it runs.
            let is_start = |acquisition: &Acquisition| {
                let frame = stacks.get(*index).and_then(|stack| stack.frames.get(acquisition.frame));
                let named = frame.map(|frame| self.named_frames(std::slice::from_ref(frame))).unwrap_or_default();
                start.is_some() && named.iter().any(|frame| frame.function.as_deref().map(path) == start)
            };
            taken.extend(
                acquisitions.iter().filter(|acquisition| !is_start(acquisition)).map(|acquisition| acquisition.lock),
            );
        }
        Ok(taken)
    }

    /// The signal that ended the process: where a runtime's own handler took one from outside and then raised another, that one.
    fn ending_signal<'a>(&'a self, exceptions: &'a [Exception]) -> Option<&'a FatalSignal> {
        let told = exceptions.iter().find(|exception| exception.fatal).and_then(|fatal| match &fatal.detail {
            Detail::Signal { signal, .. } if signal.was_sent() => Some(signal),
            _ => None,
        });
        told.or_else(|| self.target.capture.signal())
    }
}
