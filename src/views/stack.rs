//! `stack`: the selected thread's frames, or those of all threads.

use std::borrow::Cow;
use std::sync::Arc;

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};
use schemars::JsonSchema;
use serde::Serialize;

use super::counted::counted;
use super::frame_rows::{frame_row, no_frame};
use super::variables::{self, FrameVariables};
use super::{Alias, Answer, Answered, Arg, Draw, Kind, Needs, Query, View};
use crate::analysis::recursion;
use crate::error::Error;
use crate::job::Job;
use crate::model::frame::path;
use crate::model::{Addr, End, FrameKind, NamedFrame, Stack, Subject, Tid, Variable, VariableKind};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::{Process, Session};
use crate::shape;

/// The view.
pub const VIEW: View = View {
    name: "stack",
    aliases: &[
        Alias::of("bt"),
        Alias::of("backtrace"),
        Alias::of("where"),
        Alias::of("k"),
        Alias::with("eestack", &["--all"]),
        Alias::with("clrstack", &["--managed"]),
    ],
    needs: Needs::Process,
    home_of: &[],
    args: &[
        Arg::Flag("all", "every thread"),
        Arg::Value("t", Kind::Thread, "this thread, not the selected one"),
        Arg::Flag("pc", "each frame's pc, and its offset into the function"),
        Arg::Flag("a", "arguments and local variables, of the innermost frames"),
        Arg::Flag("p", "arguments alone"),
        Arg::Flag("l", "local variables alone"),
        Arg::Flag("r", "each frame's registers, as far as they were recovered"),
        Arg::Flag("nolines", "no source lines"),
        Arg::Flag("managed", "frames of a managed runtime's code alone, and the threads that have any"),
        Arg::Value("n", Kind::Count, "the innermost N frames"),
        Arg::Flag("frame", "the selected frame alone"),
        Arg::Flag("full", "every frame of a recursion, which is folded otherwise"),
        Arg::Apart("all", &["t", "frame"]),
        Arg::Apart("frame", &["n", "full"]),
    ],
    pane: None,
    doc: "The selected thread's stack, inlined calls expanded, with source lines; --all for every thread",
    help: "A mark tells how a frame was found, where it was not by unwind information: s scanned, f frame \
           pointer, i inlined call. ~ before a source line says that it is the method's first, for want of a nearer one.

$ dumpscope demo -c 'stack -t 4719'
Thread 4719
 #     Function                                Source              Module
 0     __lll_lock_wait                                             orders-api
 1     pthread_mutex_lock                                          orders-api
 2  i  __gthread_mutex_lock                    gthr-default.h:749  orders-api
 3  i  __gthread_recursive_mutex_lock          gthr-default.h:811  orders-api
 4  i  std::recursive_mutex::lock              mutex:108           orders-api
 5     shop::Stock::reserve                    stock.cc:21         orders-api
 6     shop::Orders::place                     orders.cc:13        orders-api
 7     shop::dispatch                          pool.cc:39          orders-api
…",
    build,
    schema: shape!(Stacks),
};

/// Stacks of one or all threads.
#[derive(Serialize, JsonSchema)]
pub struct Stacks {
    /// In the order of threads.
    pub threads: Vec<ThreadStack>,
}

/// One thread's stack.
#[derive(Serialize, JsonSchema)]
pub struct ThreadStack {
    /// OS id.
    pub tid: Tid,
    /// Name; null when the dump holds none.
    pub name: Option<String>,
    /// What text calls the thread.
    #[serde(skip)]
    pub label: String,
    /// Innermost first, inlined calls expanded, never folded.
    #[schemars(with = "Vec<FrameVariables>")]
    pub frames: Frames,
    /// Why there are no more.
    pub end: End,
    /// Addresses of locks, where they were asked for before: variables that are or point to one of them open it.
    #[serde(skip)]
    locks: Arc<FxHashSet<Addr>>,
    /// Whether text shows every frame of a recursion.
    #[serde(skip)]
    full: bool,
    /// Whether text shows where each frame stands.
    #[serde(skip)]
    pub pc: bool,
}

/// Frames as asked for.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Frames {
    /// Names and places.
    Named(Vec<NamedFrame>),
    /// With `-a` or `-r`: and variables, and registers.
    WithVariables(Vec<FrameVariables>),
}

fn build(session: &Session, query: &Query, job: &Job) -> Result<Box<dyn Answer>, Error> {
    let most = query.number("n").map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let process = session.process()?;
    let threads = process.os_threads();
    let wanted: Vec<usize> =
        if query.flag("all") { (0..threads.len()).collect() } else { vec![query.thread_index(session)?] };
    if wanted.len() > 1 {
        session.stacks(job)?;
    }
    let shown = session.threads_if_known();
    let known = process.locks_if_known();
    let locks: FxHashSet<Addr> = known.iter().flat_map(|known| &known.locks).map(|lock| lock.address).collect();
    let locks = Arc::new(locks);
    let stacks = wanted.into_par_iter().filter_map(|index| {
        let thread = threads.get(index)?;
        let stack = match process.stack(index, job) {
            Ok(stack) => stack,
            Err(error) => return Some(Err(error)),
        };
        let mut frames = process.named(&stack);
        // A frame's number is that in the whole stack, whatever is left out of it.
        if query.flag("frame") {
            let (only, count) = (query.frame_index(session, index), frames.len());
            if only >= count {
                return Some(Err(no_frame(thread.tid, only, count)));
            }
            frames.retain(|frame| frame.index == only);
        }
        if query.flag("managed") {
            frames.retain(|frame| frame.kind == FrameKind::Managed);
            if frames.is_empty() {
                return None;
            }
        }
        frames.truncate(most);
        if query.flag("nolines") {
            frames.iter_mut().for_each(|frame| (frame.file, frame.line, frame.approximate) = (None, None, false));
        }
        let with_registers = query.flag("r");
        let kept = |frame: &NamedFrame| Some(stack.registers_at(frame.walked)?.iter().map(named_register).collect());
        let frames = match kinds(query) {
            None if !with_registers => Frames::Named(frames),
            kinds => {
                let variables = match kinds.map(|kinds| variables_of(process, &stack, &frames, kinds, job)).transpose()
                {
                    Ok(variables) => variables,
                    Err(error) => return Some(Err(error)),
                };
                let mut variables = variables.map(Vec::into_iter);
                let with = |frame: NamedFrame| FrameVariables {
                    variables: variables.as_mut().map(|each| each.next().flatten()),
                    registers: with_registers.then(|| kept(&frame)),
                    frame,
                };
                Frames::WithVariables(frames.into_iter().map(with).collect())
            }
        };
        let known = shown.as_ref().and_then(|threads| threads.value.get(index));
        Some(Ok(ThreadStack {
            tid: thread.tid,
            name: known.map_or_else(|| thread.name.clone(), |known| known.name.clone()),
            label: known.map_or_else(|| thread.tid.to_string(), |known| known.label()),
            frames,
            end: stack.end,
            locks: Arc::clone(&locks),
            full: query.flag("full"),
            pc: query.flag("pc"),
        }))
    });
    let threads = stacks.collect::<Result<Vec<ThreadStack>, Error>>()?;
    if threads.is_empty() && query.flag("managed") {
        let message = if query.flag("frame") {
            "the selected frame is of no managed code; 'showframe' shows it"
        } else {
            "no frame of managed code here; 'stack' shows every frame, 'stack --all' those of all threads"
        };
        return Err(Error::Failed(message.to_owned()));
    }
    Ok(Box::new(Answered { data: Stacks { threads }, problems: Vec::new() }))
}

fn named_register((name, value): (&'static str, Option<u64>)) -> (&'static str, Option<Addr>) {
    (name, value.map(Addr))
}

/// Variables of these kinds of each frame; `None` for one that nothing describes.
fn variables_of(
    process: &Process,
    stack: &Stack,
    frames: &[NamedFrame],
    kinds: &[VariableKind],
    job: &Job,
) -> Result<Vec<Option<Vec<Variable>>>, Error> {
    let mut variables = process.variables(stack, frames, job)?;
    for list in variables.iter_mut().flatten() {
        list.retain(|variable| kinds.contains(&variable.kind));
    }
    Ok(variables)
}

/// The variables that are asked for; `None` where none are.
fn kinds(query: &Query) -> Option<&'static [VariableKind]> {
    match (query.flag("a"), query.flag("p"), query.flag("l")) {
        (false, false, false) => None,
        (false, true, false) => Some(&[VariableKind::Argument]),
        (false, false, true) => Some(&[VariableKind::Local]),
        _ => Some(&[VariableKind::Argument, VariableKind::Local]),
    }
}

impl Draw for Stacks {
    fn draw(&self) -> Section {
        Section { bodies: self.threads.iter().flat_map(ThreadStack::bodies).collect(), ..Section::default() }
    }

    fn parts(&self) -> usize {
        self.threads.len()
    }

    fn draw_part(&self, index: usize) -> Section {
        Section { bodies: self.threads.get(index).map(ThreadStack::bodies).unwrap_or_default(), ..Section::default() }
    }
}

impl ThreadStack {
    /// The table as asked for: with a column where each frame stands, its pc and its offset into the function.
    fn placed(&self, table: Table) -> Table {
        if !self.pc {
            return table;
        }
        // Ascending by their numbers, of which some may be left out.
        let frame = |index: usize| match &self.frames {
            Frames::Named(frames) => frames.get(frames.binary_search_by_key(&index, |frame| frame.index).ok()?),
            Frames::WithVariables(frames) => {
                let at = frames.binary_search_by_key(&index, |both| both.frame.index).ok()?;
                frames.get(at).map(|both| &both.frame)
            }
        };
        let with_pc = |row: Cow<'_, Row>| {
            let mut row = row.into_owned();
            // The number stands before frames alone, not before their variables.
            let index = match row.cells.first().map(|cell| &cell.value) {
                Some(Value::Count(index)) => usize::try_from(*index).ok(),
                _ => None,
            };
            let frame = index.and_then(frame);
            let pc = frame.map_or(Cell::NONE, |frame| Cell::new(Value::Addr(frame.pc)).tone(Tone::Dim));
            let offset = frame.and_then(|frame| frame.offset).map(|offset| format!("+{offset:#x}"));
            let at = row.cells.len().min(2);
            row.cells.splice(at..at, [pc, Cell::text_or_none(offset).tone(Tone::Dim)]);
            row
        };
        let mut columns = table.columns;
        let at = columns.len().min(2);
        columns.splice(at..at, [Column::rigid("pc"), Column::rigid("Offset")]);
        Table::new(columns, table.rows.iter().map(with_pc).collect())
    }

    fn bodies(&self) -> Vec<Body> {
        let mut bodies = vec![
            Body::Lines(vec![Row::about(
                Subject::Thread(self.tid),
                vec![Cell::text("Thread").tone(Tone::Dim), Cell::text(self.label.as_str()).tone(Tone::Strong)],
            )]),
            match &self.frames {
                Frames::Named(frames) if self.full => Body::Table(self.placed(whole(self.tid, frames))),
                Frames::Named(frames) => Body::Table(self.placed(table(self.tid, frames))),
                Frames::WithVariables(frames) => {
                    Body::Table(self.placed(variables::table(self.tid, frames, &self.locks)))
                }
            },
        ];
        let end = end_words(self.end).map(|words| Cell::text(format!("    {words}")).tone(Tone::Guess));
        bodies.extend(end.map(|cell| Body::Lines(vec![Row::new(vec![cell])])));
        bodies
    }
}

/// Frames under columns; a recursion is one period and a line that says how often it repeats.
pub fn table(tid: Tid, frames: &[NamedFrame]) -> Table {
    let functions = functions(frames);
    let mut rows = Vec::new();
    for run in recursion::fold(&functions, |a, b| a.is_some() && a == b) {
        for (index, _) in run.first_period() {
            rows.extend(frames.get(index).map(|frame| frame_row(tid, frame)));
        }
        if run.times > 1 {
            let more = run.frames().len().saturating_sub(run.period);
            let period = run.first_period().filter_map(|(index, _)| frames.get(index)?.function.as_deref()).collect();
            let folded = Cell::text(folded(more, period)).tone(Tone::Guess);
            rows.push(Row::new(vec![Cell::NONE, Cell::NONE, folded, Cell::NONE, Cell::NONE]));
        }
    }
    Table::new(columns().to_vec(), rows)
}

/// Every frame, nothing folded.
fn whole(tid: Tid, frames: &[NamedFrame]) -> Table {
    Table::new(columns().to_vec(), frames.iter().map(|frame| frame_row(tid, frame)).collect())
}

const fn columns() -> [Column; 5] {
    [
        Column::right("#"),
        Column::left(""),
        Column::wide("Function", 3).rank(1).min(24),
        Column::wide("Source", 1).min(12),
        Column::left("Module").rank(4),
    ]
}

/// Functions of a recursion that are named where it is folded.
const NAMED: usize = 4;

/// `… 2,041 more frames of recursion: a ▸ b`, the caller first; `period` has the innermost first.
fn folded(more: usize, period: Vec<&str>) -> String {
    let names: Vec<&str> = period.iter().rev().take(NAMED).map(|name| path(name)).collect();
    let rest = if period.len() > NAMED { " ▸ …" } else { "" };
    format!("… {} of recursion: {}{rest}", counted(more, "more frame"), names.join(" ▸ "))
}

/// A number for each frame's function, the same for the same name: names of templates are long, and alike for most of it.
fn functions(frames: &[NamedFrame]) -> Vec<Option<usize>> {
    let mut numbers: FxHashMap<&str, usize> = FxHashMap::default();
    let names = frames.iter().map(|frame| frame.function.as_deref());
    names
        .map(|name| {
            let next = numbers.len();
            name.map(|name| *numbers.entry(name).or_insert(next))
        })
        .collect()
}

/// Why a stack may be incomplete; `None` when it reached its bottom.
pub fn end_words(end: End) -> Option<&'static str> {
    match end {
        End::Bottom => None,
        End::NoMemory => Some("the stack's next word is not in the dump"),
        End::NoUnwindInfo => Some("no unwind information, and no caller found by scanning"),
        End::Loop => Some("the stack pointer stopped rising"),
        End::Limit => Some("more frames than are kept"),
    }
}
