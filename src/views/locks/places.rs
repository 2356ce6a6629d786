//! Where in its stack a thread took what it holds, and where it waits.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::error::Error;
use crate::job::Job;
use crate::model::{Acquisition, Addr, NamedFrame, Subject, Thread, Tid};
use crate::report::section::{Cell, Row, Tone, Value};
use crate::session::{Process, Session};
use crate::views::drawing::Deed;
use crate::views::frame_rows;

/// Physical frames of a stack that are named to find a place in it, unless the place is further out.
const NAMED_FRAMES: usize = 64;

/// What a thread does at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Does {
    /// It took the lock there, and holds it.
    Took,
    /// It waits there, for the lock or for something else.
    Waits,
}

/// A place in a thread's stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Place {
    /// The thread.
    pub tid: Tid,
    /// What it does there.
    pub does: Does,
    /// The lock that it took or waits for; null when it waits for something else.
    pub lock: Option<Addr>,
    /// The logical frame, innermost 0; null when the place is not known.
    pub frame: Option<usize>,
    /// Function of the program's own code.
    pub function: Option<Arc<str>>,
    /// Source file of the line that took the lock, or of the call that waits.
    pub file: Option<Arc<str>>,
    /// Line in `file`.
    pub line: Option<u32>,
    /// Whether `line` is near the true one, and not it. Left out where it is not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approximate: bool,
}

/// Where each thread took each lock (`held`), as far as code tells, and where it waits, in the order of `threads`.
pub(super) fn find(
    session: &Session,
    threads: &[(&Thread, Vec<Addr>, Option<Addr>)],
    job: &Job,
) -> Result<Vec<Place>, Error> {
    let indices: Vec<usize> = threads.iter().map(|(thread, ..)| thread.index).collect();
    let process = session.process()?;
    let acquisitions = process.acquisitions(&indices, job)?;
    let mut places = Vec::new();
    for ((thread, held, wanted), acquisitions) in threads.iter().zip(acquisitions) {
        let furthest = acquisitions.iter().map(|acquisition| acquisition.frame.saturating_add(1)).max().unwrap_or(0);
        let stack = process.stack(thread.index, job)?;
        let few = furthest.max(NAMED_FRAMES).min(stack.frames.len());
        let physical = stack.frames.get(..few).unwrap_or_default();
        let named: Vec<Vec<NamedFrame>> =
            physical.iter().map(|frame| process.named_frames(std::slice::from_ref(frame))).collect();
        for lock in held {
            let acquisition = acquisitions.iter().find(|acquisition| acquisition.lock == *lock);
            let place = acquisition.and_then(|acquisition| took(process, &named, acquisition));
            places.push(Place { tid: thread.tid, does: Does::Took, lock: Some(*lock), ..place.unwrap_or_default() });
        }
        places.push(Place { tid: thread.tid, does: Does::Waits, lock: *wanted, ..waits(thread, &named) });
    }
    Ok(places)
}

impl Default for Place {
    fn default() -> Place {
        let (function, file, line) = (None, None, None);
        Place { tid: Tid(0), does: Does::Waits, lock: None, frame: None, function, file, line, approximate: false }
    }
}

/// The logical frame of a physical one that has a function, else its outermost: index and name.
fn logical<'a>(
    named: &'a [Vec<NamedFrame>],
    physical: usize,
    function: Option<&Arc<str>>,
) -> Option<(usize, &'a NamedFrame)> {
    let before: usize = named.get(..physical)?.iter().map(Vec::len).sum();
    let parts = named.get(physical)?;
    let same = parts.iter().position(|part| function.is_some() && part.function.as_ref() == function);
    let at = same.or(parts.len().checked_sub(1))?;
    Some((before.checked_add(at)?, parts.get(at)?))
}

/// The line that took the lock: of the innermost function of the program's own there. Where it may have been taken at
/// different lines, on different ways through the function, none is told.
fn took(process: &Process, named: &[Vec<NamedFrame>], acquisition: &Acquisition) -> Option<Place> {
    let mut lines = acquisition.at.iter().map(|at| line(process, *at));
    let first = lines.next().unwrap_or_default();
    let told = if lines.all(|line| line == first) { first } else { Place::default() };
    let (frame, outermost) = logical(named, acquisition.frame, told.function.as_ref())?;
    let function = told.function.or_else(|| outermost.function.clone());
    Some(Place { frame: Some(frame), function, ..told })
}

/// The innermost function of the program's own, else the outermost, at the instruction before an address; no frame.
fn line(process: &Process, behind: Addr) -> Place {
    let name = process.target.name(Addr(behind.0.saturating_sub(1)));
    let parts = name.as_ref().map(|name| name.parts.as_slice()).unwrap_or_default();
    let part = parts.iter().find(|part| part.own).or(parts.last());
    part.map_or_else(Place::default, |part| Place {
        function: part.function.clone(),
        file: part.file.clone(),
        line: part.line,
        ..Place::default()
    })
}

/// The innermost frame of the program's own code.
fn waits(thread: &Thread, named: &[Vec<NamedFrame>]) -> Place {
    let frames = || named.iter().flatten().enumerate();
    let is_top = |frame: &NamedFrame| thread.top.is_some() && frame.function.as_deref() == thread.top.as_deref();
    let found = frames().find(|(_, frame)| is_top(frame)).or_else(|| frames().find(|(_, frame)| frame.own));
    found.map_or_else(Place::default, |(index, frame)| Place {
        frame: Some(index),
        function: frame.function.clone(),
        file: frame.file.clone(),
        line: frame.line,
        approximate: frame.approximate,
        ..Place::default()
    })
}

impl Place {
    /// Whether it is where a thread of a drawing does what is drawn.
    pub(super) fn is_of(&self, tid: Tid, deed: Deed) -> bool {
        let same = match deed {
            Deed::Holds(lock) => self.does == Does::Took && self.lock == Some(lock),
            Deed::Waits => self.does == Does::Waits,
        };
        same && self.tid == tid
    }

    /// `taken in Orders::place orders.cpp:10 #6`, the frame at the end.
    pub(super) fn note(&self) -> Row {
        let took = self.does == Does::Took;
        let cells = match (self.frame, &self.function) {
            (Some(frame), Some(function)) => {
                let source = self.file.as_ref().map(|file| frame_rows::position(file, self.line, self.approximate));
                vec![
                    Cell::text(if took { "taken in" } else { "in" }).tone(Tone::Dim),
                    Cell::new(Value::Function(Arc::clone(function))),
                    source.unwrap_or(Cell::NONE),
                    Cell::text(format!("#{frame}")).tone(Tone::Dim),
                ]
            }
            (Some(frame), None) if took => vec![Cell::text(format!("taken in frame {frame}, which has no name"))],
            (Some(frame), None) => vec![Cell::text(format!("in frame {frame}, which has no name"))],
            (None, _) if took => vec![Cell::text("taken where? its code does not tell").tone(Tone::Guess)],
            (None, _) => vec![Cell::text("where? no frame of its stack has a name").tone(Tone::Guess)],
        };
        let subject = self.frame.map_or(Subject::Thread(self.tid), |frame| Subject::Frame(self.tid, frame));
        Row::about(subject, cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_near_the_true_one_is_marked() {
        let source = |approximate| {
            let (function, file) = (Some("Shop.Orders.Take()".into()), Some("Orders.cs".into()));
            let place = Place { frame: Some(3), function, file, line: Some(12), approximate, ..Place::default() };
            let row = place.note();
            row.cells.into_iter().find_map(|cell| match cell.value {
                Value::Near(file, line) => Some((file, line, true)),
                Value::Source(file, line) => Some((file, line, false)),
                _ => None,
            })
        };
        assert_eq!(source(true), Some(("Orders.cs".into(), Some(12), true)));
        assert_eq!(source(false), Some(("Orders.cs".into(), Some(12), false)));
    }
}
