//! An opened dump with a focus: runs command lines one after the other, and prints what they give.

use std::io::Write;
use std::sync::Arc;

use super::help::help;
use super::outcome::Outcome;
use super::parse::parse;
use super::places::InDump;
use super::{Action, Frame, Resolved, resolve_with};
use crate::analysis::motion::History;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Problem, Tid};
use crate::report::json::{self, Envelope};
use crate::report::section::{Body, Row, Section, Value};
use crate::report::text::{self, Style};
use crate::report::words::{Room, words};
use crate::session::Session;
use crate::views::{self, Arguments, Focus, Query};

/// An opened dump with a focus: runs command lines one after the other.
pub struct Shell {
    /// The dump.
    pub session: Arc<Session>,
    /// What the next command speaks of.
    pub focus: Focus,
}

impl Shell {
    /// A shell over an opened dump, nothing selected.
    pub fn new(session: Arc<Session>) -> Shell {
        Shell { session, focus: Focus::default() }
    }

    /// Runs one command line. Words are separated by blanks; `"…"` keeps blanks together.
    pub fn run(&mut self, line: &str, job: &Job) -> Result<Outcome, Error> {
        let (command, preset, words) = match resolve_with(line, || views::brought(&self.session, job))? {
            Resolved::Ours { command, preset, words } => (command, preset, words),
            Resolved::Foreign(found) => return Err(Error::Failed(found.sentence(Some(&self.session), job))),
        };
        let places = InDump { session: &self.session, focus: self.focus };
        let args = parse(command.name, command.args, preset, &words, &places)?;
        match command.action {
            Action::View(view) => self.ask(view, args, job),
            Action::SetThread => self.set_thread(&args),
            Action::Frame(which) => self.set_frame(which, &args, job),
            Action::SetSymbolServer => self.set_symbols(&args, job),
            Action::Refresh => self.refresh(job),
            Action::Help => help(args.text("name"), &self.session, job),
            Action::Exit => Ok(Outcome::Exit),
        }
    }

    fn ask(&self, view: &views::View, args: Arguments, job: &Job) -> Result<Outcome, Error> {
        view.answer(&self.session, &Query { args, focus: self.focus }, job).map(Outcome::Answer)
    }

    fn set_thread(&mut self, args: &Arguments) -> Result<Outcome, Error> {
        let threads = self.session.process()?.os_threads();
        let tid = match (args.number("index"), args.number("t")) {
            (Some(index), _) => {
                let thread = usize::try_from(index).ok().and_then(|index| threads.get(index));
                let none = || format!("no thread {index}: there are {}, counted from 0", threads.len());
                thread.ok_or_else(|| Error::Failed(none()))?.tid
            }
            (None, Some(tid)) => {
                let known = u32::try_from(tid).ok().map(Tid).filter(|tid| self.session.index_of(*tid).is_some());
                known.ok_or_else(|| Error::Failed(format!("no thread with id {tid}; 'threads' lists them")))?
            }
            (None, None) => {
                let first = threads.first().map(|thread| thread.tid);
                let tid = self.focus.thread.or(first);
                let tid = tid.ok_or_else(|| Error::Failed("the dump holds no threads".to_owned()))?;
                return Ok(self.selected_thread(tid));
            }
        };
        self.focus = Focus { thread: Some(tid), ..Focus::default() };
        Ok(self.selected_thread(tid))
    }

    fn selected_thread(&self, tid: Tid) -> Outcome {
        let index = self.session.index_of(tid);
        let name = index.and_then(|index| self.session.os_threads().get(index)?.name.as_deref());
        let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
        let place = index.map(|index| format!(", index {index}")).unwrap_or_default();
        let data = serde_json::json!({ "tid": tid, "index": index });
        Outcome::Changed(format!("Thread {tid}{name} is selected{place}."), data)
    }

    fn set_frame(&mut self, which: Frame, args: &Arguments, job: &Job) -> Result<Outcome, Error> {
        let index = Query { args: Arguments::default(), focus: self.focus }.thread_index(&self.session)?;
        let stack = self.session.process()?.stack(index, job)?;
        let frames = self.session.process()?.named(&stack);
        let number = |name| args.number(name).map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        let last = frames.len().checked_sub(1).ok_or_else(|| Error::Failed("the thread has no stack".to_owned()))?;
        let wanted = match which {
            Frame::Number => number("index").unwrap_or(self.focus.frame),
            // As gdb does: the ends are gone to, and not beyond.
            Frame::Up if self.focus.frame >= last => {
                return Err(Error::Failed(format!("frame {last} is the outermost")));
            }
            Frame::Up => self.focus.frame.saturating_add(number("count").unwrap_or(1)).min(last),
            Frame::Down if self.focus.frame == 0 => {
                return Err(Error::Failed("frame 0 is the innermost".to_owned()));
            }
            Frame::Down => self.focus.frame.saturating_sub(number("count").unwrap_or(1)),
        };
        let count = frames.len();
        let frame = frames
            .get(wanted)
            .ok_or_else(|| Error::Failed(format!("no frame {wanted}: the thread has {count}, counted from 0")))?;
        let tid = self.session.os_threads().get(index).map(|thread| thread.tid);
        self.focus = Focus { thread: tid, frame: wanted, ..self.focus };
        let named = |name: &Arc<str>| words(&Value::Function(Arc::clone(name)), Room::Sentence).into_owned();
        let function = frame.function.as_ref().map_or_else(|| frame.pc.to_string(), named);
        let place = match (&frame.file, frame.line) {
            (Some(file), Some(line)) => format!(" at {}:{line}", file.rsplit('/').next().unwrap_or(file)),
            _ => frame.module.as_deref().map(|module| format!(" in {module}")).unwrap_or_default(),
        };
        let of = tid.map(|tid| format!(" of thread {tid}")).unwrap_or_default();
        let data = serde_json::json!({
            "tid": tid, "frame": wanted, "function": frame.function, "file": frame.file, "line": frame.line,
        });
        Ok(Outcome::Changed(format!("Frame {wanted}{of}: {function}{place}."), data))
    }

    fn set_symbols(&mut self, args: &Arguments, job: &Job) -> Result<Outcome, Error> {
        let mut search = self.session.search.clone();
        let directory = args.text("directory");
        if args.has("disable") {
            search.directories.clear();
        }
        if let Some(directory) = directory {
            let directory = std::path::PathBuf::from(directory);
            if !directory.is_dir() {
                return Err(Error::Failed(format!("-directory {}: there is no such directory", directory.display())));
            }
            search.directories.push(directory);
        }
        if args.has("disable") || directory.is_some() {
            self.session = Arc::new(self.session.reopen(&search, job)?);
        }
        let places: Vec<String> = search.directories.iter().map(|place| place.display().to_string()).collect();
        let said = if places.is_empty() { "no directories".to_owned() } else { places.join(", ") };
        Ok(Outcome::Changed(
            format!("Symbols: {said}, then the usual places."),
            serde_json::json!({ "directories": places }),
        ))
    }

    fn refresh(&mut self, job: &Job) -> Result<Outcome, Error> {
        self.session = Arc::new(self.session.recapture(job)?);
        if self.focus.thread.is_some_and(|tid| self.session.index_of(tid).is_none()) {
            self.focus = Focus { thread: None, frame: 0, ..self.focus };
        }
        let (stayed, moved) = self.session.history().map(History::counts).unwrap_or_default();
        let paused = self.session.pause().unwrap_or_default();
        let pause_ms = paused.as_secs_f64() * 1000.0;
        Ok(Outcome::Changed(
            format!(
                "Captured again, paused {pause_ms:.1} ms; threads that moved: {moved}, that are where they were: {stayed}."
            ),
            serde_json::json!({ "pause_ms": pause_ms, "moved": moved, "stayed": stayed }),
        ))
    }

    /// Prints what came of a command: text for a person, or one line of JSON. Returns what belongs on standard error as
    /// warnings; the session may tell some of them, too.
    pub fn print(
        &self,
        line: &str,
        result: &Result<Outcome, Error>,
        format: Format,
        out: &mut dyn Write,
        job: &Job,
    ) -> Result<Vec<Problem>, Error> {
        match (format, result) {
            (Format::Json, _) => self.json(line, result, out, job).map(|()| Vec::new()),
            (Format::Text(style), Ok(Outcome::Answer(answer))) => {
                text::print_parts(answer.parts(), |index| answer.part(index), style, out, job)?;
                Ok(answer.problems().to_vec())
            }
            (Format::Text(style), Ok(Outcome::Text(section, _))) => {
                text::print(section, style, out, job).map(|()| Vec::new())
            }
            (Format::Text(style), Ok(Outcome::Changed(said, _))) => {
                let said = Section { bodies: vec![Body::Lines(vec![Row::text(said.as_str())])], ..Section::default() };
                text::print(&said, style, out, job).map(|()| Vec::new())
            }
            (Format::Text(_), Ok(Outcome::Exit) | Err(_)) => Ok(Vec::new()),
        }
    }
}

impl Shell {
    /// One line; nothing for a command that ends the session.
    fn json(&self, line: &str, result: &Result<Outcome, Error>, out: &mut dyn Write, job: &Job) -> Result<(), Error> {
        let mut problems = self.session.problems();
        let command = canonical(line, &self.session, job);
        let envelope = Envelope::new(out, job);
        match result {
            Ok(Outcome::Answer(answer)) => {
                Problem::join(&mut problems, answer.problems().iter().cloned());
                envelope.data(&command, &|out, job| answer.write_json(out, job), &problems)
            }
            Ok(Outcome::Text(_, data) | Outcome::Changed(_, data)) => {
                envelope.data(&command, &|out, _| json::write(out, data), &problems)
            }
            Ok(Outcome::Exit) => Ok(()),
            Err(error) => envelope.error(&command, error, &problems),
        }
    }
}

/// How answers are printed.
#[derive(Clone, Copy, Debug)]
pub enum Format {
    /// Text for a person.
    Text(Style),
    /// One line of JSON a command.
    Json,
}

/// The command's own name for what was typed (`bt` is `stack`); what was typed where there is no such command.
fn canonical(line: &str, session: &Session, job: &Job) -> String {
    let typed = || line.split_whitespace().next().unwrap_or_default().to_owned();
    resolve_with(line, || views::brought(session, job)).map_or_else(|_| typed(), |resolved| resolved.name().to_owned())
}
