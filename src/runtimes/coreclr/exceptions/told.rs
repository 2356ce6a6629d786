//! One exception with all that are inside of it.
//!
//! Input: its object. Output: what it is, and what of it could not be read. An object that several hold is told with each; one that holds
//! itself, directly or not, is told once on the way.

use super::super::budget::Budget;
use super::super::methods::Methods;
use super::super::objects;
use super::kinds::{EXCEPTION, is_exception};
use super::room::Room;
use super::trace::trace;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Detail, Exception, Gap, Known, Partial, Problem, Subject, Tid};

/// Most exceptions that are inside one another.
const MAX_NESTED: usize = 32;
/// Most that one tells of, with all that are inside of it.
const MAX_TOLD: usize = 256;
/// Most frames of all of these together: they may refer to one stack.
const MAX_FRAMES: u64 = 1 << 17;

/// The exception at an address. `tid`: the thread that has it in flight; `room`: what is left for all that are told.
pub(super) fn told(
    methods: &Methods,
    tid: Option<Tid>,
    object: Addr,
    room: &Room,
    job: &Job,
) -> Result<Partial<Exception>, Error> {
    let frames = Budget::of(MAX_FRAMES, "frames of one exception with all that are inside of it");
    let mut telling = Telling { methods, tid, frames, room, job, above: Vec::new(), count: 0, problems: Vec::new() };
    let value = telling.tell(object)?;
    Ok(Partial { value, problems: telling.problems })
}

struct Telling<'a> {
    methods: &'a Methods,
    tid: Option<Tid>,
    /// What is left for frames of this one with what is inside of it.
    frames: Budget,
    /// What is left for all.
    room: &'a Room,
    job: &'a Job,
    /// Those that the one at hand is inside of, the outermost first.
    above: Vec<Addr>,
    /// How many were told.
    count: usize,
    problems: Vec<Problem>,
}

impl Telling<'_> {
    fn tell(&mut self, object: Addr) -> Result<Exception, Error> {
        self.job.check()?;
        self.count = self.count.saturating_add(1);
        self.above.push(object);
        let clr = &self.methods.clr;
        let inner = clr.ptr(object, "Exception", "_innerException");
        let inner = self.read(object, "what caused", inner).filter(|inner| inner.0 != 0);
        let (mut gathered, why) = gathered(self.methods, object);
        self.read(object, "all that is gathered by", why.map_or(Ok(()), Err));
        // The first of those that one gathers is its inner one too.
        if let Some(same) = gathered.iter().position(|gathered| Some(*gathered) == inner) {
            gathered.remove(same);
        }
        let (methods, job) = (self.methods, self.job);
        let (frames, why) = trace(methods, object, &mut |count| self.has_room(count), job)?;
        self.read(object, "the stack of", why.map_or(Ok(()), Err));
        let inner = inner.map_or(Ok(None), |inner| self.nested(object, inner))?.map(Box::new);
        let mut others = Vec::new();
        for other in gathered {
            others.extend(self.nested(object, other)?);
        }
        self.above.pop();
        Ok(Exception {
            tid: self.tid,
            kind: EXCEPTION,
            type_name: self.methods.types().of_object(object),
            message: message(self.methods, object).and_then(|text| self.room.message(text)),
            address: Some(object),
            fatal: false,
            frames,
            inner,
            others,
            code: clr.u32(object, "Exception", "_HResult").map(Some),
            detail: Detail::Nothing,
        })
    }

    /// Whether a stack of so many frames may be told; else that is said.
    fn has_room(&mut self, frames: u64) -> bool {
        let refused = [&self.frames, &self.room.frames].into_iter().find_map(|budget| budget.take(frames).err());
        let left_out = |gap| {
            Problem::new("exception-unread", Subject::Capture, format!("stacks of exceptions are left out: {gap}"))
        };
        refused.map(|gap| self.room.tell(&mut self.problems, left_out(gap))).is_none()
    }

    fn nested(&mut self, outer: Addr, object: Addr) -> Result<Option<Exception>, Error> {
        let why = if self.above.contains(&object) {
            format!("the exception at {object} is said to be inside of itself")
        } else if self.above.len() >= MAX_NESTED || self.count >= MAX_TOLD {
            format!("more exceptions are inside of that at {} than are told", self.above.first().unwrap_or(&outer))
        } else {
            match is_exception(&self.methods.clr, object) {
                Ok(true) => match self.room.exception() {
                    Ok(()) => return self.tell(object).map(Some),
                    Err(gap) => format!("what is inside of the exception at {outer} is not told: {gap}"),
                },
                Ok(false) => format!("what is said to be inside of the exception at {outer} is none: {object}"),
                // Small dumps lack what is beside it.
                Err(gap) => format!("the exception at {object}, inside of that at {outer}, cannot be read: {gap}"),
            }
        };
        self.room.tell(&mut self.problems, Problem::new("exception-unread", Subject::Memory(object), why));
        Ok(None)
    }

    /// What could be read of an exception; else the reason is said.
    fn read<T>(&mut self, object: Addr, what: &str, known: Known<T>) -> Option<T> {
        let unread = |gap: Gap| format!("{what} the exception at {object} cannot be read: {gap}");
        let problem = |gap| Problem::new("exception-unread", Subject::Memory(object), unread(gap));
        known.map_err(|gap| self.room.tell(&mut self.problems, problem(gap))).ok()
    }
}

/// Those that an `AggregateException` gathers, and why some are missing.
fn gathered(methods: &Methods, object: Addr) -> (Vec<Addr>, Option<Gap>) {
    let array = || {
        let aggregate = methods.types().object(object)?;
        if !aggregate.is_a("System.AggregateException") {
            return Ok(None);
        }
        let Some(array) = aggregate.reference("_innerExceptions")? else { return Ok(None) };
        Ok(Some((array.len()?, array)))
    };
    let (len, array) = match array() {
        Ok(Some(array)) => array,
        Ok(None) => return (Vec::new(), None),
        Err(gap) => return (Vec::new(), Some(gap)),
    };
    let element = |index| Ok::<Addr, Gap>(methods.clr.memory().ptr(array.element(index)?)?);
    // One more than are told: then that is said.
    readable((0..len.min(u32::try_from(MAX_TOLD).unwrap_or(u32::MAX))).map(element))
}

/// The references that can be read and lead somewhere, and why the first other cannot.
fn readable(all: impl Iterator<Item = Known<Addr>>) -> (Vec<Addr>, Option<Gap>) {
    let (mut objects, mut why) = (Vec::new(), None);
    for one in all {
        match one {
            Ok(object) if object.0 != 0 => objects.push(object),
            Ok(_) => {}
            Err(gap) => why = why.or(Some(gap)),
        }
    }
    (objects, why)
}

/// What it was given; `Ok(None)` where its type's own words serve.
fn message(methods: &Methods, object: Addr) -> Known<Option<String>> {
    let clr = &methods.clr;
    let text = clr.ptr(object, "Exception", "_message")?;
    if text.0 == 0 { Ok(None) } else { objects::string(clr, text).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_that_cannot_be_read_leaves_the_others() {
        let gap = |text: &str| Gap::Corrupt(text.to_owned());
        let told =
            readable([Ok(Addr(8)), Err(gap("first")), Ok(Addr(0)), Err(gap("second")), Ok(Addr(16))].into_iter());
        assert_eq!(told, (vec![Addr(8), Addr(16)], Some(gap("first"))));
        assert_eq!(readable([Ok(Addr(8))].into_iter()), (vec![Addr(8)], None));
    }
}
