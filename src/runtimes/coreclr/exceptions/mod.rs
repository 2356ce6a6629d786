//! Exceptions: what each thread has in flight, and what ended the process.
//!
//! Input: the runtime's threads. Output: exceptions with type, message, the stack at which they were thrown, and inner ones; what of them
//! could not be read. Specification: dotnet/runtime docs/design/datacontracts/Exception.md.

mod ended;
mod fail_fast;
mod kinds;
mod room;
mod told;
mod trace;

pub(super) use self::kinds::is_class_of_exceptions;

use rayon::prelude::*;

use self::ended::{End, ended};
use self::kinds::is_exception;
use self::room::Room;
use self::told::told;
use super::methods::Methods;
use super::threads::ManagedThread;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Exception, Gap, Known, Partial, Problem, Subject, Tid};
use crate::runtimes::Scene;

/// Most exceptions that one thread has in flight.
const MAX_IN_FLIGHT: usize = 32;

/// The exceptions of the runtime's threads, of each the one that ended the process first.
pub(super) fn of_threads(
    methods: &Methods,
    scene: &Scene<'_>,
    threads: &[ManagedThread],
    job: &Job,
) -> Result<Partial<Vec<Exception>>, Error> {
    let room = Room::default();
    let mut meter = job.meter();
    let mut all = Partial::<Vec<Exception>>::default();
    let mut unnamed = Unnamed::default();
    for thread in threads {
        meter.add(1)?;
        match &thread.tid {
            Ok(Some(tid)) => {
                let Partial { value, problems } = of_thread(methods, scene, thread, *tid, &room, job)?;
                all.value.extend(value);
                Problem::join(&mut all.problems, problems);
            }
            // It was not started, or has ended.
            Ok(None) => {}
            Err(gap) => unnamed.add(gap),
        }
    }
    all.problems.extend(unnamed.problem());
    Ok(all)
}

/// Threads of which it is not known which of the OS's they are.
#[derive(Default)]
struct Unnamed<'a> {
    count: usize,
    why: Option<&'a Gap>,
}

impl<'a> Unnamed<'a> {
    fn add(&mut self, why: &'a Gap) {
        self.count = self.count.saturating_add(1);
        self.why.get_or_insert(why);
    }

    fn problem(&self) -> Option<Problem> {
        let (why, threads) = (self.why?, if self.count == 1 { "thread" } else { "threads" });
        let message = format!(
            "the exceptions of {} managed {threads} are not told, for the OS id cannot be read: {why}",
            self.count
        );
        Some(Problem::new("exceptions-missing", Subject::Capture, message))
    }
}

/// The exceptions at these addresses, in their order, of no thread.
pub(super) fn at(methods: &Methods, objects: Vec<Addr>, job: &Job) -> Result<Vec<Partial<Exception>>, Error> {
    let room = Room::default();
    let told = objects.into_par_iter().map_init(
        || job.meter(),
        |meter, object| {
            meter.add(1)?;
            told(methods, None, object, &room, job)
        },
    );
    told.collect()
}

/// The exceptions of a thread, the one that ended the process first.
fn of_thread(
    methods: &Methods,
    scene: &Scene<'_>,
    thread: &ManagedThread,
    tid: Tid,
    room: &Room,
    job: &Job,
) -> Result<Partial<Vec<Exception>>, Error> {
    let missing = |message: String| Problem::new("exceptions-missing", Subject::Thread(tid), message);
    let stack = scene.iter().find(|(os, _)| os.tid == tid).map(|(_, stack)| stack.as_ref());
    let (in_flight, unread) = in_flight(methods, thread.address);
    let mut all = Partial::<Vec<Exception>>::default();
    if let Some(gap) = unread {
        let what = format!("the exceptions in flight on managed thread {tid} cannot be read to their end: {gap}");
        room.tell(&mut all.problems, missing(what));
    }
    let end = stack.map_or(Ok(None), |stack| End::of(methods, scene, thread, stack, &in_flight));
    let end = end.unwrap_or_else(|gap| {
        let what = format!("which exception .NET gave up for on managed thread {tid} cannot be read: {gap}");
        room.tell(&mut all.problems, missing(what));
        None
    });
    let ending = end.as_ref().map(|end| end.object);
    for object in ending.into_iter().chain(in_flight.into_iter().filter(|object| Some(*object) != ending)) {
        if let Err(gap) = room.exception() {
            let what = format!("not all exceptions in flight on managed thread {tid} are told: {gap}");
            room.tell(&mut all.problems, missing(what));
            break;
        }
        let told = told(methods, Some(tid), object, room, job)?;
        let Partial { value, problems } = match &end {
            Some(end) if end.object == object => ended(end, tid, told),
            _ => told,
        };
        all.value.push(value);
        Problem::join(&mut all.problems, problems);
    }
    Ok(all)
}

/// Objects that a thread is looking for handlers of, or handling, the newest first; and why there may be more.
fn in_flight(methods: &Methods, thread: Addr) -> (Vec<Addr>, Option<Gap>) {
    let clr = &methods.clr;
    let mut objects = Vec::new();
    let mut next = clr.ptr(thread, "Thread", "ExceptionTracker");
    for _ in 0..MAX_IN_FLIGHT {
        let tracker = match next {
            Ok(Addr(0)) => return (objects, None),
            Ok(tracker) => tracker,
            Err(gap) => return (objects, Some(gap)),
        };
        let object = || -> Known<Option<Addr>> {
            let handle = clr.ptr(tracker, "ExceptionInfo", "ThrownObject")?;
            // Before it is known what is thrown.
            if handle.0 == 0 {
                return Ok(None);
            }
            let object = clr.memory().ptr(handle)?;
            Ok(Some(object).filter(|object| object.0 != 0))
        };
        match object().and_then(|object| Ok((object, object.map_or(Ok(false), |object| is_exception(clr, object))?))) {
            Ok((Some(object), true)) if !objects.contains(&object) => objects.push(object),
            Ok(_) => {}
            Err(gap) => return (objects, Some(gap)),
        }
        next = clr.ptr(tracker, "ExceptionInfo", "PreviousNestedInfo");
    }
    (objects, Some(Gap::Corrupt(format!("more than {MAX_IN_FLIGHT} are said to be in flight"))))
}
