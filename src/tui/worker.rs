//! Answers questions on threads of their own; a panic there becomes an answer.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::arrange::Arranging;
use super::event::{Answered, Changed, Event, Failure, Later, Opened, Question, Ticket};
use super::{panics, source};
use crate::commands::{self, Outcome, Shell};
use crate::error::Error;
use crate::job::Job;
use crate::log::Log;
use crate::model::{Cause, SubjectKind, Tid};
use crate::report::section::Section;
use crate::session::Session;
use crate::views::{Focus, Query, View, readmemory, showframe};

/// The workers over one dump.
pub struct Workers {
    session: Arc<Mutex<Option<Arc<Session>>>>,
    refused: Arc<Mutex<Option<Error>>>,
    out: Sender<Event>,
    arranging: Sender<(Ticket, Arranging)>,
    log: Arc<Log>,
    list: Option<List>,
}

/// Gives what there is to choose from, where no dump is open.
pub type List = Arc<dyn Fn(&Job) -> Result<Section, Error> + Send + Sync>;

impl Workers {
    /// Workers that send their answers to `out` and write what they do to `log`.
    pub fn new(out: Sender<Event>, log: Log) -> Workers {
        let (arranging, rows) = unbounded();
        let events = out.clone();
        start(move || arrange(&rows, &events));
        Workers { session: Arc::default(), refused: Arc::default(), out, arranging, log: Arc::new(log), list: None }
    }

    /// Answers what there is to choose from.
    pub fn list(&mut self, list: List) {
        self.list = Some(list);
    }

    /// Opens a dump and announces it.
    pub fn open(&self, job: Job, open: impl FnOnce(&Job) -> Result<Arc<Session>, Error> + Send + 'static) {
        let (slot, refused, out) = (Arc::clone(&self.session), Arc::clone(&self.refused), self.out.clone());
        let log = Arc::clone(&self.log);
        start(move || {
            let opened = caught(|| match open(&job) {
                Ok(session) => {
                    log.opened(&session);
                    let opened = describe(&session);
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
                    Ok(opened)
                }
                Err(error) => {
                    let said = error.to_string();
                    log.line(&format!("not opened: {said}"));
                    *refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    Err(Error::Failed(said))
                }
            });
            // The main loop is gone: nobody is left to tell.
            let _ = out.send(Event::Opened(opened));
        });
    }

    /// Why the dump could not be opened, once that was announced.
    pub fn refused(&self) -> Option<Error> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Answers a question.
    pub fn ask(&self, ticket: Ticket, question: Question, job: Job) {
        let (slot, out, log) = (Arc::clone(&self.session), self.out.clone(), Arc::clone(&self.log));
        let list = self.list.clone();
        start(move || {
            let (asked, begun) = (question.words(), Instant::now());
            let session = slot.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let answer = caught(|| {
                if let (Question::Choices, Some(list)) = (&question, list) {
                    return list(&job).map(Answered::shown);
                }
                let session = session.ok_or_else(|| Error::Failed("no dump is open".to_owned()))?;
                answer(session, question, &job, &slot)
            });
            let failure = answer.as_ref().err().map(Failure::words);
            log.ran(&asked, begun.elapsed(), failure.as_deref());
            log.problems(answer.as_ref().map(|answer| answer.section.problems.as_slice()).unwrap_or_default());
            let _ = out.send(Event::Answered(ticket, answer));
        });
    }

    /// Filters and sorts an answer; a later request replaces one that has not begun.
    pub fn arrange(&self, ticket: Ticket, arranging: Arranging) {
        let _ = self.arranging.send((ticket, arranging));
    }
}

/// How many modules have no names, of those whose names were looked for.
fn without_symbols(session: &Session) -> u64 {
    let modules = session.target().map(|target| target.modules.as_slice()).unwrap_or_default();
    modules.iter().filter(|module| module.lacks_symbols()).count() as u64
}

/// Starts work on a thread of its own.
pub(super) fn start(work: impl FnOnce() + Send + 'static) {
    if let Err(why) = thread::Builder::new().name("worker".to_owned()).spawn(work) {
        // Without a thread there is no answer; the page keeps saying that it works, Esc leaves it.
        drop(why);
    }
}

/// Does work; a panic becomes a failure that says where.
pub fn caught<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Failure> {
    match panics::contained(work) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(Error::Cancelled)) => Err(Failure::Cancelled),
        Ok(Err(error)) => Err(Failure::Error(error.to_string())),
        Err(bug) => Err(Failure::Bug(bug)),
    }
}

/// Answers a question about the session in `slot`; a command may put another there.
pub fn answer(
    session: Arc<Session>,
    question: Question,
    job: &Job,
    slot: &Mutex<Option<Arc<Session>>>,
) -> Result<Answered, Error> {
    let of_view = |view: &View, query: &Query| {
        let answer = view.answer(&session, query, job)?;
        job.check()?;
        // These look at all threads.
        let knows = |kind: &SubjectKind| matches!(kind, SubjectKind::Capture | SubjectKind::Thread);
        let labels = view.home_of.iter().any(knows).then(|| labels(&session)).flatten();
        let without_symbols = Some(without_symbols(&session));
        Ok(Answered { labels, without_symbols, ..Answered::shown(answer.section()) })
    };
    let (line, focus) = match question {
        Question::View(view, query) => return of_view(view, &query),
        Question::Memory(window) => return of_view(&readmemory::VIEW, &window.query()),
        Question::Pointer(addr) => {
            let points_to = session.target()?.memory.ptr(addr).map_err(|gap| Error::Failed(gap.to_string()))?;
            return Ok(Answered { points_to: Some(points_to), ..Answered::shown(Section::default()) });
        }
        Question::Frame { tid, index, around } => return frame_page(&session, tid, index, around, job),
        Question::Source { file, line, around } => {
            return source::page(&file, line, around, &session.search, job).map(Answered::shown);
        }
        Question::Words { kind, start } => {
            let words = commands::values(&session, kind, &start, job)?;
            return Ok(Answered { words, ..Answered::shown(Section::default()) });
        }
        Question::Later(later) => {
            match later {
                Later::Names => drop(session.named_heap(job)?),
                Later::Retained => drop(session.heap(job)?.dominators(job)?),
            }
            return Ok(Answered::shown(Section::default()));
        }
        Question::Choices => return Err(Error::Failed("there is nothing to choose from".to_owned())),
        Question::Line { line, focus } => (line, focus),
    };
    let mut shell = Shell::new(Arc::clone(&session));
    shell.focus = focus;
    let outcome = shell.run(&line, job)?;
    job.check()?;
    let (section, said) = match outcome {
        Outcome::Answer(answer) => (answer.section(), None),
        Outcome::Text(section, _) => (section, None),
        Outcome::Changed(said, _) => (Section::default(), Some(said)),
        Outcome::Exit => (Section::default(), None),
    };
    let stale = shell.session.epoch() != session.epoch();
    if stale {
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.as_ref().is_some_and(|now| now.epoch() != session.epoch()) {
            return Err(Error::Failed(format!("{line}: something else was opened meanwhile; try again")));
        }
        *slot = Some(Arc::clone(&shell.session));
    }
    let focus = Focus { thread: shell.focus.thread, frame: shell.focus.frame, ..focus };
    let changed = said.map(|said| Changed { focus, said, opened: stale.then(|| describe(&shell.session)) });
    Ok(Answered { changed, ..Answered::shown(section) })
}

/// What to call the threads, where that is known.
fn labels(session: &Session) -> Option<Arc<BTreeMap<Tid, String>>> {
    let threads = session.process().ok()?.threads_if_known()?;
    Some(Arc::new(threads.value.iter().map(|thread| (thread.tid, thread.label())).collect()))
}

/// A frame whole, the lines of source around it between its variables and its registers.
fn frame_page(session: &Session, tid: Tid, index: usize, around: u32, job: &Job) -> Result<Answered, Error> {
    let position = session.index_of(tid).ok_or_else(|| Error::Failed(format!("no thread {tid} in this dump")))?;
    let frame = showframe::of(session, position, index, job)?;
    job.check()?;
    let source = match (&frame.frame.file, frame.frame.line) {
        (Some(file), Some(line)) => source::part(file, line, around, &session.search, job),
        _ => Vec::new(),
    };
    job.check()?;
    let bodies = [frame.about(), frame.variables(), source, frame.registers()].into_iter().flatten().collect();
    Ok(Answered::shown(Section { bodies, ..Section::default() }))
}

fn arrange(requests: &Receiver<(Ticket, Arranging)>, out: &Sender<Event>) {
    while let Ok(mut request) = requests.recv() {
        while let Ok(later) = requests.try_recv() {
            request = later;
        }
        let (ticket, arranging) = request;
        let kept = match caught(|| arranging.run()) {
            Ok(kept) => kept,
            Err(Failure::Bug(bug)) => {
                let _ = out.send(Event::Bug(bug));
                continue;
            }
            // Work that was cancelled has no answer: the next one was asked for already.
            Err(_) => continue,
        };
        if out.send(Event::Arranged(ticket, kept)).is_err() {
            return;
        }
    }
}

/// What the first line says of a dump.
pub fn describe(session: &Session) -> Opened {
    let name = |path: &Path| {
        path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
    };
    let Ok(target) = session.target() else {
        let heap = session.heap_dump();
        return Opened {
            epoch: session.epoch(),
            file: name(session.source.path()),
            kind: heap.map(|dump| dump.format),
            has_heap: session.has_heap(&Job::default()),
            is_collected: session.has_collected_heap(&Job::default()),
            bytes: heap.map_or(0, |dump| dump.file_size),
            ..Opened::default()
        };
    };
    let capture = &target.capture;
    Opened {
        epoch: session.epoch(),
        kind: None,
        brought: crate::views::brought(session, &Job::default()),
        without_pane: crate::views::without_pane(session, &Job::default()),
        has_heap: session.has_heap(&Job::default()),
        is_collected: session.has_collected_heap(&Job::default()),
        program: capture.process.name.clone().ok().filter(|name| !name.is_empty()),
        file: name(&capture.path),
        arch: capture.arch.to_string(),
        signal: capture.cause().map(Cause::name),
        threads: session.os_threads().len() as u64,
        bytes: capture.file_size,
        thread: session.os_threads().first().map(|thread| thread.tid),
        labels: Arc::new(
            session
                .os_threads()
                .iter()
                .filter_map(|thread| Some((thread.tid, format!("{} {}", thread.tid, thread.name.as_ref()?))))
                .collect(),
        ),
        live: session.pause().is_some(),
        captured: session.captured(),
        present_percent: capture.present_percent(),
        modules_without_symbols: without_symbols(session),
    }
}
