//! Going places: panes, what a row opens, back and forward, memory.

use super::app::{App, Dump, Errand, Step};
use super::event::{Effect, Question, Window};
use super::facts;
use super::heap;
use super::keymap::Action;
use super::palette::Run;
use super::pane::{Content, Pane, Seek};
use crate::commands::{self, Action as Does, Resolved};
use crate::model::{Addr, Subject};
use crate::report::section::{Body, Row, Tone, Value};
use crate::views::{Given, Query, View, dumpheap, readmemory, stack};

/// Bytes that the memory pane holds at once.
const WINDOW: u64 = 1024;
/// From this width on a row of memory holds 16 bytes, below 8.
const WIDE_MEMORY: u16 = 100;
/// The option of views that can leave out what more there is to say of each row.
const LIST_ONLY: &str = "list";
/// Lines of source before and after the one that a page is about.
const SOURCE_LINES: u32 = 400;

impl App {
    /// A pane as it is when first opened.
    pub(super) fn root(&self, tab: usize) -> Pane {
        let Some(tab) = self.tabs.get(tab) else { return Pane::new("", None, Vec::new(), self.size) };
        let question = match tab.view {
            None => Question::Choices,
            Some(view) if *view == readmemory::VIEW => self.memory_question(self.focus.address),
            // What more there is to say of each row is its detail.
            Some(view) if view.args.iter().any(|arg| arg.name() == LIST_ONLY) => {
                Question::View(view, Query::default().flagged(LIST_ONLY))
            }
            Some(view) if *view == dumpheap::VIEW => heap::question(heap::histogram()),
            Some(view) => Question::View(view, Query::default()),
        };
        let mut pane = Pane::new(tab.title, Some(question), Vec::new(), self.pane.size());
        pane.is_root = true;
        // Whose memory it is stands above it.
        pane.seek = pane.question.as_ref().is_some_and(Question::is_memory).then_some(Seek::FirstRow);
        pane
    }

    /// The question for memory at an address, else at the stack pointer of the selected thread, in rows that fit the width.
    fn memory_question(&self, at: Option<Addr>) -> Question {
        let thread = self.focus.thread.filter(|_| at.is_none());
        Question::Memory(Window { at, thread, bytes: WINDOW, per_row: self.memory_row() })
    }

    /// Bytes in a row of memory.
    fn memory_row(&self) -> u64 {
        if self.size.0 >= WIDE_MEMORY { 16 } else { 8 }
    }

    /// Whether the page is a pane and not one opened from it.
    pub(super) fn is_root(&self) -> bool {
        self.pane.is_root
    }

    /// Keeps the pane as it is left, for when its number is pressed again.
    fn keep(&mut self) {
        if self.is_root() {
            let kept = self.pane.clone();
            if let Some(tab) = self.tabs.get_mut(self.tab) {
                tab.kept = Some(kept);
            }
        }
    }

    /// To the pane of a number from 1.
    pub(super) fn numbered(&mut self, digit: usize) {
        match digit.checked_sub(1).filter(|tab| *tab < self.tabs.len()) {
            Some(tab) => self.visit(tab),
            None if self.tabs.len() == 1 => self.say("there is one pane", Tone::Plain),
            None => self.say(format!("there are {} panes", self.tabs.len()), Tone::Plain),
        }
    }

    /// To the next or the previous pane.
    pub(super) fn turn(&mut self, next: bool) {
        let count = self.tabs.len().max(1);
        let step = if next { 1 } else { count.saturating_sub(1) };
        self.visit(self.tab.saturating_add(step) % count);
    }

    /// To a pane, as it was left, with the shared focus selected.
    pub(super) fn visit(&mut self, tab: usize) {
        if tab == self.tab && self.is_root() {
            return;
        }
        self.is_halted = false;
        self.keep();
        self.remember();
        self.pane = self.tabs.get(tab).and_then(|tab| tab.kept.clone()).unwrap_or_else(|| self.root(tab));
        self.tab = tab;
        self.ask();
        self.follow_focus();
    }

    /// Views that the runtimes of the opened dump bring.
    pub(super) fn brought(&self) -> Vec<&'static View> {
        match &self.dump {
            Dump::Open(opened) => opened.brought.clone(),
            _ => Vec::new(),
        }
    }

    fn tab_of(&self, view: &View) -> Option<usize> {
        self.tabs.iter().position(|tab| tab.view == Some(view))
    }

    /// Opens a page of its own.
    pub(super) fn page_to(&mut self, pane: Pane) {
        self.keep();
        self.remember();
        self.pane = pane;
        self.ask();
    }

    /// Back to where one was.
    pub(super) fn go_back(&mut self) {
        let Some(step) = self.back.pop() else { return self.say("nothing to go back to", Tone::Plain) };
        self.keep();
        let here = Step { pane: std::mem::replace(&mut self.pane, step.pane), tab: self.tab };
        self.forward.push(here);
        self.tab = step.tab;
        self.ask();
        self.notice();
    }

    /// Undoes going back.
    pub(super) fn go_forward(&mut self) {
        let Some(step) = self.forward.pop() else { return self.say("nothing to go forward to", Tone::Plain) };
        self.keep();
        let here = Step { pane: std::mem::replace(&mut self.pane, step.pane), tab: self.tab };
        self.back.push(here);
        self.tab = step.tab;
        self.ask();
        self.notice();
    }

    /// Selects what the focus is on, where the page shows it and does not already stand on it.
    pub(super) fn follow_focus(&mut self) {
        let Some(tid) = self.focus.thread else { return };
        let stands = self.pane.thread() == Some(tid);
        // Pages of sentences keep their place: their rows are about more than threads.
        if !stands && self.pane.is_list() {
            self.pane.select_thread(tid);
        }
    }

    /// Opens what the selected row is about. A page that failed is asked again.
    pub(super) fn open(&mut self) {
        if matches!(self.pane.content, Content::Failed(_)) {
            self.pane.content = Content::Blank;
            return self.ask();
        }
        if matches!(self.dump, Dump::Choosing) {
            return self.choose(Action::Open);
        }
        self.notice();
        let Some(subject) = self.pane.subject() else { return self.say("nothing to open here", Tone::Plain) };
        match (subject, self.home_of(subject)) {
            (Subject::Memory(_), _) if self.memory_at().is_some() => self.follow(),
            (Subject::Memory(addr), _) => self.memory(addr),
            (Subject::Thread(_) | Subject::Frame(..), _) => self.open_row(subject),
            (Subject::Capture, Some(tab)) => self.visit(tab),
            (_, Some(tab)) if tab != self.tab => self.show_in(tab, subject),
            _ => self.open_row(subject),
        }
    }

    /// The pane where a subject is at home.
    pub(super) fn home_of(&self, subject: Subject) -> Option<usize> {
        let is_home = |view: &&'static View| view.home_of.contains(&subject.kind());
        self.tabs.iter().position(|tab| tab.view.as_ref().is_some_and(is_home))
    }

    /// Does something with the selected one of the things to open.
    pub(super) fn choose(&mut self, action: Action) {
        match self.pane.spot().and_then(|spot| usize::try_from(spot.item).ok()) {
            Some(row) => self.effects.push(Effect::Choose(action, row)),
            None => self.say("nothing to choose", Tone::Plain),
        }
    }

    /// Asks for the page anew; the row of the same first cell stays selected.
    pub(super) fn relist(&mut self) {
        let number = |row: &Row| match row.cells.first()?.value {
            Value::Count(number) => Some(number),
            Value::Tid(tid) => Some(u64::from(tid.0)),
            _ => None,
        };
        self.pane.seek = self.pane.row().and_then(|row| number(&row)).map(Seek::Number);
        let question = self.pane.question.clone();
        self.kept.retain(|(known, _)| Some(known) != question.as_ref());
        self.pane.content = Content::Blank;
        self.ask();
    }

    /// To a pane, this subject selected.
    fn show_in(&mut self, tab: usize, subject: Subject) {
        self.visit(tab);
        if matches!(self.pane.content, Content::Ready) {
            self.pane.select(subject);
        } else {
            self.pane.seek = Some(Seek::Subject(subject));
        }
    }

    /// The page of the selected row: what the detail shows, with room.
    fn open_row(&mut self, subject: Subject) {
        let Some(facts) = self.facts() else { return };
        let mut question = match subject {
            Subject::Type(id) => Some(heap::of_type(id, self.context().page)),
            _ => facts.question,
        };
        if question.is_some() && question == self.pane.question {
            // On the frame's own page its source position opens the file.
            question = self.pane.row().and_then(|row| source_of(&row));
        }
        // A page that would say no more than this one is not opened: a thread inside its own stack.
        if question.is_none() && facts.bodies.is_empty() {
            return self.say("nothing more to open here", Tone::Plain);
        }
        let title = match &question {
            Some(Question::Source { file, line, .. }) => format!("{}:{line}", file.rsplit('/').next().unwrap_or(file)),
            _ => facts.title,
        };
        let home = match subject {
            Subject::Frame(tid, _) => Subject::Thread(tid),
            other => other,
        };
        let tab = self.home_of(home).unwrap_or(self.tab);
        let crumbs = self.crumbs(tab, subject, title.clone());
        // What stands in a list of types is seen there, and beside it.
        let is_list = matches!(subject, Subject::Type(_) | Subject::Namespace(_));
        let bodies = if is_list { Vec::new() } else { facts.bodies };
        let mut pane = Pane::new(title, question, bodies, self.pane.size());
        pane.crumbs = crumbs;
        pane.seek = match (&pane.question, subject) {
            (Some(Question::Source { line, .. }), _) => Some(Seek::Number(u64::from(*line))),
            (_, Subject::Thread(_)) => Some(Seek::OwnFrame),
            _ if is_list => Some(Seek::FirstRow),
            _ => None,
        };
        self.page_to(pane);
        self.tab = tab;
    }

    /// The detail of the selected row.
    pub(super) fn facts(&self) -> Option<facts::Facts> {
        let spot = self.pane.spot()?;
        let row = self.pane.document().row(spot)?;
        let columns = match self.pane.section().bodies.get(spot.body) {
            Some(Body::Table(table)) => table.columns.as_slice(),
            _ => &[],
        };
        Some(facts::of(&row, columns, self.pane.subject(), &self.context()))
    }

    /// Where a page opened from a row stands: its pane, its thread, the page.
    fn crumbs(&self, tab: usize, subject: Subject, title: String) -> Vec<String> {
        let thread = match subject {
            Subject::Frame(tid, _) => Some(self.context().thread(tid)),
            _ => None,
        };
        let pane = self.tabs.get(tab).map(|tab| tab.title.to_owned());
        // Of a heap each page is one step deeper.
        let deeper = matches!(subject, Subject::Type(_) | Subject::Namespace(_) | Subject::Object(_));
        if deeper && tab == self.tab && !self.pane.crumbs.is_empty() {
            return heap::deeper(&self.pane.crumbs, title);
        }
        pane.into_iter().chain(thread).chain([title]).collect()
    }

    pub(super) fn context(&self) -> facts::Context<'_> {
        let page = self.pane.question.as_ref().and_then(heap::of_heap);
        facts::Context { labels: &self.labels, pc: self.pc, page }
    }

    /// Turns an option of the stack that is shown on or off.
    pub(super) fn toggle(&mut self, option: &'static str) {
        let Some(Question::View(view, query)) = &mut self.pane.question else { return };
        if **view != stack::VIEW {
            return;
        }
        match query.args.has(option) {
            true => query.args.unset(option),
            false => query.args.set(option, Given::Set),
        }
        self.pane.seek = self.pane.subject().map(Seek::Subject);
        self.pane.content = Content::Blank;
        self.ask();
    }

    /// The first address of the memory that is shown, where the page shows memory.
    pub(super) fn memory_at(&self) -> Option<Addr> {
        if self.pane.has_facts() || !self.pane.question.as_ref().is_some_and(Question::is_memory) {
            return None;
        }
        let table = self.pane.section().bodies.iter().find_map(|body| match body {
            Body::Table(table) => Some(table),
            _ => None,
        });
        match table?.rows.get(0)?.subject {
            Some(Subject::Memory(addr)) => Some(addr),
            _ => None,
        }
    }

    /// Shows memory at an address, if it can be read.
    pub(super) fn memory(&mut self, addr: Addr) {
        let one = Window { at: Some(addr), thread: None, bytes: 1, per_row: 8 };
        self.go(Question::Memory(one), Errand::Memory(addr));
    }

    /// Asks whether and where to go. Whoever goes elsewhere meanwhile no longer wants to go there.
    fn go(&mut self, question: Question, errand: Errand) {
        self.leave_off(|asked| matches!(asked.errand, Some(Errand::Memory(_) | Errand::Follow)));
        self.send(question, Some(errand));
    }

    pub(super) fn show_memory(&mut self, addr: Addr) {
        let Some(tab) = self.home_of(Subject::Memory(addr)) else { return };
        self.keep();
        self.remember();
        self.tab = tab;
        self.focus.address = Some(addr);
        self.pane = self.root(tab);
        self.pane.seek = Some(Seek::Subject(Subject::Memory(addr)));
        self.ask();
    }

    /// Shows the memory that the selected row's first word points to.
    pub(super) fn follow(&mut self) {
        match self.pane.subject() {
            Some(Subject::Memory(addr)) => {
                self.go(Question::Pointer(addr), Errand::Follow);
            }
            _ => self.say("nothing to follow here", Tone::Plain),
        }
    }

    /// Moves by a row; memory goes on past its ends.
    pub(super) fn step(&mut self, down: bool) {
        let before = self.pane.line();
        self.travel(|pane| pane.step(down));
        if self.pane.line() == before {
            self.shift(down);
        }
    }

    /// Moves by a screen; memory goes on past its ends.
    pub(super) fn page(&mut self, down: bool) {
        let before = self.pane.line();
        self.travel(|pane| pane.page(down, true));
        if self.pane.line() == before {
            self.shift(down);
        }
    }

    /// Moves the window of memory by half.
    fn shift(&mut self, down: bool) {
        let Some(first) = self.memory_at().filter(|_| matches!(self.pane.content, Content::Ready)) else { return };
        // The line above the rows says what the memory is part of, and is no memory itself.
        let at = if let Some(Subject::Memory(at)) = self.pane.subject() { at } else { first };
        let to = if down { first.plus(WINDOW / 2) } else { first.minus(WINDOW / 2) };
        let Some(to) = to else { return };
        self.pane.question = Some(self.memory_question(Some(to)));
        self.pane.content = Content::Blank;
        self.pane.seek = Some(Seek::Subject(Subject::Memory(at)));
        self.ask();
    }

    /// Asks for rows of memory that fit the width, where the width changed.
    pub(super) fn refit_memory(&mut self) {
        let (Some(first), Some(Question::Memory(window))) = (self.memory_at(), &self.pane.question) else { return };
        if window.per_row == self.memory_row() || !matches!(self.pane.content, Content::Ready) {
            return;
        }
        self.pane.seek = self.pane.subject().map(Seek::Subject);
        self.pane.question = Some(self.memory_question(Some(first)));
        self.pane.content = Content::Blank;
        self.ask();
    }

    /// Runs what was typed at the `:` prompt.
    pub(super) fn run(&mut self, run: Run) {
        let line = match run {
            Run::Nothing => return,
            Run::Key(action) => return self.act(action),
            Run::Line(line) => line,
        };
        let (action, bare) = match commands::resolve_with(&line, || self.brought()) {
            Ok(Resolved::Ours { command, preset, words }) => (command.action, preset.is_empty() && words.is_empty()),
            // What is said of it may be longer than a line of the screen.
            Ok(Resolved::Foreign(_)) => {
                let question = Question::Line { line: format!("help {line}"), focus: self.focus };
                return self.page_to(Pane::new(line, Some(question), Vec::new(), self.pane.size()));
            }
            Err(why) => return self.say(why.to_string(), Tone::Guess),
        };
        match action {
            Does::Exit => self.effects.push(Effect::Quit),
            Does::View(view) => match self.tab_of(view).filter(|_| bare) {
                Some(tab) => self.visit(tab),
                None => {
                    // Names of symbols and registers mean something in the dump alone.
                    let question = match commands::parse(&line, self.focus) {
                        Ok((_, query)) => Question::View(view, query),
                        Err(_) => Question::Line { line: line.clone(), focus: self.focus },
                    };
                    self.page_to(Pane::new(line, Some(question), Vec::new(), self.pane.size()));
                }
            },
            Does::Help => {
                let question = Question::Line { line: line.clone(), focus: self.focus };
                self.page_to(Pane::new(line, Some(question), Vec::new(), self.pane.size()));
            }
            Does::SetThread | Does::Frame(_) | Does::SetSymbolServer | Does::Refresh => {
                let question = Question::Line { line, focus: self.focus };
                if self.asked.iter().any(|asked| asked.errand.is_some() && asked.question.line() == question.line()) {
                    return self.say("that is under way; Esc stops it", Tone::Plain);
                }
                self.send(question, Some(Errand::Change));
            }
        }
    }
}

/// The page of a row's source position.
fn source_of(row: &Row) -> Option<Question> {
    row.cells.iter().find_map(|cell| match &cell.value {
        Value::Source(file, Some(line)) | Value::Near(file, Some(line)) => {
            Some(Question::Source { file: file.clone(), line: *line, around: SOURCE_LINES })
        }
        _ => None,
    })
}
