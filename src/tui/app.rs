//! The screen's whole state: `update` takes an event and returns effects, `draw` paints. Neither starts anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossterm::event::KeyEventKind;

use super::event::{Effect, Event, Failure, Later, Opened, Question, Ticket};
use super::keymap::{Key, Scope};
use super::layout::{Detail, Layout};
use super::look::Look;
use super::palette::Palette;
use super::pane::{Content, Pane};
use super::theme::Theme;
use crate::job::Job;
use crate::model::{Addr, Subject, Tid};
use crate::report::section::{Section, Tone};
use crate::views::{Focus, Kind, VIEWS, View, stack};

/// Answers kept, so that going back and looking along a list cost nothing.
pub(super) const KEPT: usize = 64;
/// Pages kept to go back to.
const STEPS: usize = 256;

/// What lies over the page.
#[derive(Clone, Debug)]
pub enum Overlay {
    /// Nothing.
    None,
    /// A filter is typed.
    Filter,
    /// A command is typed.
    Palette(Palette),
    /// The keys, scrolled by so many lines.
    Help(usize),
    /// What to copy.
    Copy,
    /// By which column to sort.
    Sort(usize),
    /// To which pane to go.
    Panes(usize),
    /// To which of the marked objects to go.
    Marks(usize),
}

/// Whether there is a dump to ask.
#[derive(Clone, Debug)]
pub enum Dump {
    /// There is none yet: one of several is chosen.
    Choosing,
    /// It is being opened.
    Opening(Job),
    /// It is open.
    Open(Opened),
    /// It cannot be opened.
    Failed(Failure),
}

/// One of the numbered panes.
#[derive(Clone)]
pub struct Tab {
    /// Its title.
    pub title: &'static str,
    /// Its view; `None` for things to open, which no view answers.
    pub view: Option<&'static View>,
    /// As it was left.
    pub(super) kept: Option<Pane>,
}

/// A page of the history, and the tab it belongs to.
#[derive(Clone)]
pub(super) struct Step {
    pub(super) pane: Pane,
    pub(super) tab: usize,
}

/// What is done with an answer that is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// It changes the focus or a setting.
    Change,
    /// It says whether memory can be read there; then it is shown.
    Memory(Addr),
    /// It says where memory points to; then that is shown.
    Follow,
    /// It computes something that pages show as soon as it is known.
    Fill(Later),
}

/// A question under way.
pub(super) struct Asked {
    pub(super) ticket: Ticket,
    pub(super) question: Question,
    pub(super) job: Job,
    /// What is done with its answer, where that is no page.
    pub(super) errand: Option<Errand>,
    /// The tick at which it was asked.
    pub(super) since: u64,
    /// How much had been filled in by then.
    pub(super) filled: u32,
}

/// The state.
pub struct App {
    pub(super) theme: Theme,
    pub(super) size: (u16, u16),
    pub(super) file: String,
    pub(super) dump: Dump,
    pub(super) tabs: Vec<Tab>,
    pub(super) tab: usize,
    pub(super) pane: Pane,
    pub(super) back: Vec<Step>,
    pub(super) forward: Vec<Step>,
    pub(super) detail: Option<Pane>,
    pub(super) detail_of: Option<(usize, super::document::Spot)>,
    /// What was asked for a detail last.
    pub(super) beside: Option<Ticket>,
    pub(super) detail_shown: bool,
    pub(super) focus: Focus,
    pub(super) overlay: Overlay,
    pub(super) said: Option<(String, Tone)>,
    pub(super) mouse: bool,
    /// Whether stacks show where each frame stands.
    pub(super) pc: bool,
    /// What to call the threads.
    pub(super) labels: Arc<BTreeMap<Tid, String>>,
    pub(super) ticks: u64,
    pub(super) asked: Vec<Asked>,
    pub(super) interrupted: bool,
    /// Lines typed at the `:` prompt, the oldest first.
    pub(super) history: Vec<String>,
    /// What values were asked for, to complete the prompt's line with.
    pub(super) offering: Option<(Ticket, Kind, String)>,
    pub(super) kept: Vec<(Question, Arc<Section>)>,
    /// Objects that were marked, and what they are called.
    pub(super) marks: Vec<(Addr, String)>,
    /// What is still to be computed of the heap.
    pub(super) later: Option<Later>,
    /// Whether that was stopped: it goes on with the next pane that is gone to.
    pub(super) is_halted: bool,
    /// How often pages were asked for anew because something of it had been computed.
    pub(super) filled: u32,
    tickets: u64,
    pub(super) effects: Vec<Effect>,
}

impl App {
    /// A screen over a dump that is being opened under `job`. `file` is what the first line calls it until then.
    pub fn new(look: Look, size: (u16, u16), file: impl Into<String>, job: Job) -> App {
        let mut app = App {
            theme: Theme::new(look),
            size,
            file: file.into(),
            dump: Dump::Opening(job),
            pane: Pane::new("", None, Vec::new(), size),
            tabs: tabs(&Opened { has_heap: true, ..Opened::default() }),
            tab: 0,
            back: Vec::new(),
            forward: Vec::new(),
            detail: None,
            detail_of: None,
            beside: None,
            detail_shown: true,
            focus: Focus::default(),
            overlay: Overlay::None,
            said: None,
            mouse: false,
            pc: false,
            labels: Arc::default(),
            ticks: 0,
            asked: Vec::new(),
            interrupted: false,
            history: Vec::new(),
            offering: None,
            kept: Vec::new(),
            marks: Vec::new(),
            later: Some(Later::Names),
            is_halted: false,
            filled: 0,
            tickets: 0,
            effects: Vec::new(),
        };
        app.pane = app.root(0);
        app
    }

    /// A screen over a list of things to open, called `title`.
    pub fn choosing(look: Look, size: (u16, u16), title: &'static str) -> App {
        let mut app = App::new(look, size, title, Job::default());
        app.dump = Dump::Choosing;
        app.tabs = vec![Tab { title, view: None, kept: None }];
        app.pane = app.root(0);
        app.pane.ranked = true;
        app
    }

    /// This screen in the place of another, whose work is stopped: an answer to that is none to this.
    pub fn instead_of(mut self, before: &App) -> App {
        before.asked.iter().for_each(|asked| asked.job.cancel());
        self.tickets = before.tickets;
        self
    }

    /// Draws for a terminal of another kind from now on.
    pub fn look(&mut self, look: Look) {
        self.theme = Theme::new(look);
    }

    /// What was typed at the `:` prompt before, the oldest first.
    pub fn remember_lines(&mut self, lines: Vec<String>) {
        self.history = lines;
    }

    /// Shows stacks with each frame's pc and offset from now on, or without.
    pub fn show_pc(&mut self, pc: bool) {
        self.pc = pc;
    }

    /// Whether the page shows lines of code.
    pub(super) fn shows_code(&self) -> bool {
        matches!(self.pane.question, Some(Question::Source { .. } | Question::Frame { .. }))
    }

    /// Whether the page is a stack, or those of all threads.
    fn shows_stack(&self) -> bool {
        matches!(&self.pane.question, Some(Question::View(view, _)) if **view == stack::VIEW)
    }

    /// Takes an event.
    pub fn update(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => Key::all_of(&key).for_each(|key| self.key(key)),
            Event::Key(_) => {}
            // A terminal that reports it unasked changes nothing.
            Event::Mouse(mouse) if self.mouse => self.mouse(mouse.kind, mouse.column, mouse.row),
            Event::Mouse(_) => {}
            Event::Paste(text) => self.type_text(&text),
            Event::Resize(width, height) => self.size = (width, height),
            Event::Tick => self.ticks = self.ticks.saturating_add(1),
            Event::Opened(Ok(opened)) => {
                self.focus.thread = opened.thread;
                self.labels = Arc::clone(&opened.labels);
                self.file.clone_from(&opened.file);
                self.choose_tabs(&opened);
                self.dump = Dump::Open(opened);
                self.ask();
            }
            Event::Opened(Err(failure)) => self.dump = Dump::Failed(failure),
            Event::Answered(ticket, result) => self.answered(ticket, result),
            Event::Arranged(ticket, kept) => {
                let steps = self.back.iter_mut().chain(&mut self.forward).map(|step| &mut step.pane);
                let left = self.tabs.iter_mut().filter_map(|tab| tab.kept.as_mut());
                // A page that was left waits for it, too, and is found as it should be when one comes back.
                let panes = std::iter::once(&mut self.pane).chain(steps).chain(left);
                panes.for_each(|pane| pane.arranged(ticket, &kept));
                self.select_best();
            }
            Event::Refused(why) => self.say(why, Tone::Guess),
            Event::Bug(bug) => self.say(format!("bug: {bug}"), Tone::Bad),
            Event::Copied(Ok(what)) => self.say(format!("copied {what}"), Tone::Plain),
            Event::Copied(Err(why)) => self.say(why, Tone::Guess),
            Event::Resumed => {
                self.effects.push(Effect::Redraw);
                // The terminal was given back without the mouse.
                self.effects.extend(self.mouse.then_some(Effect::Mouse(true)));
            }
        }
        self.settle();
        std::mem::take(&mut self.effects)
    }

    /// The panes of what was opened; until then they are those of a process. The one that was gone to meanwhile stays.
    fn choose_tabs(&mut self, opened: &Opened) {
        let mut tabs = tabs(opened);
        if tabs.iter().map(|tab| tab.view).eq(self.tabs.iter().map(|tab| tab.view)) {
            return;
        }
        let same = |view| tabs.iter().position(|tab: &Tab| tab.view == view);
        let stays = self.tabs.get(self.tab).and_then(|tab| same(tab.view));
        let kept: Vec<(usize, Pane)> =
            self.tabs.iter_mut().filter_map(|tab| Some((same(tab.view)?, tab.kept.take()?))).collect();
        for (at, pane) in kept {
            if let Some(tab) = tabs.get_mut(at) {
                tab.kept = Some(pane);
            }
        }
        (self.tabs, self.tab) = (tabs, stays.unwrap_or(0));
        if stays.is_none() {
            self.pane = self.root(0);
        }
    }

    /// Whether work is running whose progress should be shown.
    pub fn is_busy(&self) -> bool {
        matches!(self.dump, Dump::Opening(_)) || !self.asked.is_empty() || self.pane.is_arranging()
    }

    /// Whether a live process is shown, whose capture grows old.
    pub fn is_live(&self) -> bool {
        matches!(&self.dump, Dump::Open(opened) if opened.captured.is_some())
    }

    /// Lays everything out for the size, and asks for what is now to be seen.
    fn settle(&mut self) {
        if matches!((&self.dump, &self.pane.content), (Dump::Choosing, Content::Blank)) {
            self.ask();
        }
        self.refit_memory();
        self.fill();
        self.refresh_detail();
        let Some(layout) = self.layout() else { return };
        self.pane.resize(layout.body.width, layout.body.height);
        if let (Some(detail), Some(area)) = (&mut self.detail, layout.detail) {
            detail.resize(area.width, area.height);
        }
    }

    /// The parts of the screen; `None` when it is too small.
    pub(super) fn layout(&self) -> Option<Layout> {
        let prompt = matches!(self.overlay, Overlay::Filter) || !self.pane.typed.is_empty();
        let detail = match &self.detail {
            None => Detail::Hidden,
            Some(_) if self.is_wide() => {
                Detail::Beside(self.pane.natural_width().unwrap_or(u16::MAX), self.pane.natural_height())
            }
            Some(_) => Detail::Below(self.pane.natural_height()),
        };
        Layout::new(self.size, prompt, detail)
    }

    pub(super) fn say(&mut self, text: impl Into<String>, tone: Tone) {
        self.said = Some((text.into(), tone));
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.tickets = self.tickets.saturating_add(1);
        Ticket(self.tickets)
    }

    /// Where the keys mean something now, narrowest first.
    pub(super) fn scopes(&self) -> Vec<Scope> {
        match self.overlay {
            Overlay::Filter => vec![Scope::Filter],
            Overlay::Palette(_) => vec![Scope::Palette],
            Overlay::Help(_) => vec![Scope::Help],
            Overlay::Copy => vec![Scope::Copy],
            Overlay::Sort(_) => vec![Scope::Sort],
            Overlay::Panes(_) => vec![Scope::Panes],
            Overlay::Marks(_) => vec![Scope::Marks],
            Overlay::None => self.page_scopes(),
        }
    }

    /// Where the keys mean something on the page itself, narrowest first.
    pub(super) fn page_scopes(&self) -> Vec<Scope> {
        let document = self.pane.document();
        let mut scopes = Vec::new();
        if matches!(self.dump, Dump::Choosing) {
            scopes.push(Scope::Picker);
        }
        if self.memory_at().is_some() {
            scopes.push(Scope::Memory);
        } else if document.in_tree(self.pane.spot()) {
            scopes.push(Scope::Tree);
        } else if document.table(self.pane.spot()).is_some() {
            scopes.push(Scope::Table);
        }
        if self.shows_code() {
            scopes.push(Scope::Code);
        }
        if self.shows_stack() {
            scopes.push(Scope::Stack);
        }
        if self.object().is_some() {
            scopes.push(Scope::Object);
        }
        if self.shelf().is_some() {
            scopes.push(Scope::Heap);
        }
        if self.has_detail() {
            scopes.push(Scope::Detail);
        }
        if matches!(&self.dump, Dump::Open(opened) if opened.live) {
            scopes.push(Scope::Live);
        }
        scopes.push(Scope::Everywhere);
        scopes
    }

    /// Moves in the page; the thread under the cursor becomes the focus of all panes.
    pub(super) fn travel(&mut self, go: impl FnOnce(&mut Pane)) {
        go(&mut self.pane);
        self.notice();
    }

    /// Takes the selected row's thread and frame as the focus.
    pub(super) fn notice(&mut self) {
        match (self.pane.subject(), self.pane.thread()) {
            (Some(Subject::Frame(tid, frame)), _) => self.focus = Focus { thread: Some(tid), frame, ..self.focus },
            (_, Some(tid)) if self.focus.thread != Some(tid) => {
                self.focus = Focus { thread: Some(tid), frame: 0, ..self.focus };
            }
            _ => {}
        }
    }

    /// A page was left: it can be gone back to.
    pub(super) fn remember(&mut self) {
        let step = Step { pane: self.pane.clone(), tab: self.tab };
        if self.back.len() >= STEPS {
            self.back.remove(0);
        }
        self.back.push(step);
        self.forward.clear();
    }
}

/// The panes whose views have something to answer from.
fn tabs(opened: &Opened) -> Vec<Tab> {
    let tab = |view: &'static View| view.pane.map(|title| Tab { title, view: Some(view), kept: None });
    let all = VIEWS.iter().chain(opened.brought.iter().copied());
    let has_pane = |view: &&View| opened.meets(view.needs) && !opened.without_pane.contains(&view.name);
    all.filter(has_pane).filter_map(tab).collect()
}
