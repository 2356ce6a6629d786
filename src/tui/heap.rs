//! The Heap pane: what is in use, free and leaked one beside the other, what is filled in once it is computed, and what is asked of an
//! object.
//!
//! Answers show names and retained sizes as far as they are known (`-known`), so that none waits for the graph. Both are computed besides;
//! whatever shows them is asked for anew then.

use ratatui::layout::Rect;

use super::app::{App, Dump, Errand};
use super::event::{Failure, Later, Question};
use super::ink::{Pen, width_of};
use super::layout::Layout;
use super::pane::{Content, Pane, Seek};
use crate::model::{Addr, Subject};
use crate::report::section::Tone;
use crate::views::{Given, Query, View, dominators, dumpheap, dumpobj, gcroot, referrers};

/// What the pane shows, one beside the other: how it is called, and the argument that asks for it.
const SHELVES: [(&str, Option<&str>); 3] = [("in use", None), (FREE, Some(FREE)), ("leaked", Some(LEAKED))];
const FREE: &str = "free";
const LEAKED: &str = "dead";
const GROUP: &str = "group";
/// Arguments that choose among objects: what is opened from a page chooses the same.
const CHOOSING: [&str; 4] = ["live", LEAKED, "min", "max"];
/// Objects that are shown beside their type.
const BESIDE: u64 = 100;
/// Steps of a way into the heap that are told.
const STEPS: usize = 8;
/// Rows among which the one that was selected is looked for when a page is asked for anew.
const SOUGHT: usize = 100_000;

/// Types with how much they take.
pub(super) fn histogram() -> Query {
    known().flagged("stat")
}

fn known() -> Query {
    Query::default().flagged("known")
}

/// What is asked of the heap.
pub(super) fn question(query: Query) -> Question {
    Question::View(&dumpheap::VIEW, query)
}

/// What a page asks of the heap, where it does.
pub(super) fn of_heap(question: &Question) -> Option<&Query> {
    match question {
        Question::View(view, query) if **view == dumpheap::VIEW => Some(query),
        _ => None,
    }
}

/// The same choice of objects as that of a page.
fn chosen(page: Option<&Query>) -> Query {
    let given = CHOOSING.iter().filter_map(|name| Some((*name, page?.args.get(name)?.clone())));
    given.fold(known(), |query, (name, given)| query.with(name, given))
}

/// The objects of a type.
pub(super) fn of_type(id: Addr, page: Option<&Query>) -> Question {
    question(chosen(page).with("mt", Given::Address(id)))
}

/// The first of them, to be seen beside their type.
pub(super) fn first_of_type(id: Addr, page: Option<&Query>) -> Question {
    question(chosen(page).with("mt", Given::Address(id)).with("n", Given::Number(BESIDE)))
}

/// The types of a namespace.
pub(super) fn of_namespace(id: Addr, page: Option<&Query>) -> Question {
    question(chosen(page).flagged("stat").with("beside", Given::Address(id)))
}

/// One object.
pub(super) fn object(at: Addr) -> Question {
    Question::View(&dumpobj::VIEW, known().with("address", Given::Address(at)))
}

/// Whether an answer tells more once names or retained sizes are computed.
pub(super) fn grows(question: &Question) -> bool {
    const OF_OBJECTS: [&View; 4] = [&gcroot::VIEW, &referrers::VIEW, &referrers::REFERENCES, &dominators::VIEW];
    match question {
        Question::View(_, query) if query.flag("known") => true,
        Question::View(view, _) => OF_OBJECTS.contains(view),
        _ => false,
    }
}

/// A way into the heap, one step further; its first steps but the pane's are left out where there are many.
pub(super) fn deeper(crumbs: &[String], title: String) -> Vec<String> {
    let surplus = crumbs.len().saturating_sub(STEPS);
    let kept = crumbs.iter().enumerate().filter(|(at, _)| *at == 0 || *at > surplus).map(|(_, crumb)| crumb.clone());
    kept.chain([title]).collect()
}

impl Errand {
    /// Whether nothing waits for it.
    pub(super) fn is_fill(&self) -> bool {
        matches!(self, Errand::Fill(_))
    }
}

impl App {
    /// Which of the shelves the page is; `None` where it is no histogram of a heap.
    pub(super) fn shelf(&self) -> Option<usize> {
        let query = of_heap(self.pane.question.as_ref()?)?;
        let is_shown = |(_, flag): &(&str, Option<&str>)| flag.is_some_and(|flag| query.flag(flag));
        let shown = SHELVES.iter().position(is_shown).unwrap_or(0);
        (query.flag("stat") || query.flag(FREE)).then_some(shown)
    }

    /// What the shelves are called: what a collector will free has not leaked.
    fn shelf_names(&self) -> [&'static str; 3] {
        let is_collected = matches!(&self.dump, Dump::Open(opened) if opened.is_collected);
        SHELVES.map(|(name, flag)| if is_collected && flag == Some(LEAKED) { "garbage" } else { name })
    }

    /// The shelves, that which is shown in brackets.
    pub(super) fn shelves(&self) -> Option<String> {
        let shown = self.shelf()?;
        let word = |(at, name): (usize, &'static str)| match at == shown {
            true => format!("[{name}]"),
            false => format!(" {name} "),
        };
        let words: Vec<String> = self.shelf_names().into_iter().enumerate().map(word).collect();
        Some(format!(" {} ", words.join("")))
    }

    /// To the next or the previous shelf; objects are chosen and grouped as before.
    pub(super) fn turn_shelf(&mut self, next: bool) {
        let Some(shown) = self.shelf() else { return };
        let step = if next { 1 } else { SHELVES.len().saturating_sub(1) };
        self.show_shelf(shown.saturating_add(step) % SHELVES.len());
    }

    /// The shelf whose name stands at a place of the screen: [`App::shelves`] ends a column before its line does.
    pub(super) fn shelf_at(&self, layout: Layout, x: u16, y: u16) -> Option<usize> {
        let line = if layout.low { layout.tabs } else { layout.rule };
        let all = u16::try_from(width_of(&self.shelves().filter(|_| self.is_root() && line.y == y)?)).ok()?;
        let mut start = line.right().checked_sub(all)?;
        self.shelf_names().iter().position(|name| {
            let end = start.saturating_add(u16::try_from(width_of(name)).unwrap_or(0)).saturating_add(2);
            let here = (start..end).contains(&x);
            start = end;
            here
        })
    }

    pub(super) fn show_shelf(&mut self, shelf: usize) {
        let flag = SHELVES.get(shelf).and_then(|(_, flag)| *flag);
        self.change_page(|query| {
            for (_, other) in SHELVES {
                other.into_iter().for_each(|other| query.args.unset(other));
            }
            flag.into_iter().for_each(|flag| query.args.set(flag, Given::Set));
        });
    }

    /// Whether what is shown is told by type.
    pub(super) fn has_types(&self) -> bool {
        self.pane.question.as_ref().and_then(of_heap).is_some_and(|query| query.flag("stat") && !query.flag(FREE))
    }

    /// Types by namespace, or one by one again.
    pub(super) fn group(&mut self) {
        if !self.has_types() {
            return self.say("what is free has no types", Tone::Plain);
        }
        self.change_page(|query| match query.flag(GROUP) {
            true => query.args.unset(GROUP),
            false => query.args.set(GROUP, Given::Set),
        });
    }

    /// Asks the page's question changed; other rows stand in other columns.
    fn change_page(&mut self, change: impl FnOnce(&mut Query)) {
        if let Some(Question::View(_, query)) = &mut self.pane.question {
            change(query);
            self.pane.sort = None;
            self.pane.seek = Some(Seek::FirstRow);
            self.pane.content = Content::Blank;
            self.ask();
        }
    }

    /// Begins a line that chooses objects of the page by their size.
    pub(super) fn type_sizes(&mut self) {
        let Some(line) = self.pane.question.as_ref().map(Question::line).filter(|_| self.has_types()) else {
            return self.say("what is free has no types", Tone::Plain);
        };
        self.prompt(&format!("{line} -min "));
    }

    /// The object that keys speak of: that of the selected row, else the page's.
    pub(super) fn object(&self) -> Option<Addr> {
        match (self.pane.subject(), &self.pane.question) {
            (Some(Subject::Object(at)), _) => Some(at),
            (_, Some(Question::View(view, query))) if **view == dumpobj::VIEW => query.address("address"),
            _ => None,
        }
    }

    /// Opens what stands in a relation to the object.
    pub(super) fn relate(&mut self, view: &'static View, relation: &str) {
        let Some(at) = self.object() else { return };
        let own = self.pane.question == Some(object(at));
        let crumbs = if self.pane.crumbs.is_empty() {
            self.tabs.get(self.tab).map(|tab| tab.title.to_owned()).into_iter().collect()
        } else {
            self.pane.crumbs.clone()
        };
        let crumbs = if own { crumbs } else { deeper(&crumbs, at.to_string()) };
        let question = Question::View(view, Query::default().with("address", Given::Address(at)));
        let mut pane = Pane::new(relation, Some(question), Vec::new(), self.pane.size());
        pane.crumbs = deeper(&crumbs, relation.to_owned());
        self.page_to(pane);
    }

    /// Computes what pages of the heap show once it is known, one thing after the other, while such a page is there to be seen.
    pub(super) fn fill(&mut self) {
        let Some(later) = self.later.filter(|_| !self.is_halted) else { return };
        let is_seen = matches!(self.pane.content, Content::Ready) && self.pane.question.as_ref().is_some_and(grows);
        if is_seen && self.filling_in().is_none() {
            self.send(Question::Later(later), Some(Errand::Fill(later)));
        }
    }

    fn filling_in(&self) -> Option<&super::app::Asked> {
        self.asked.iter().find(|asked| asked.errand.is_some_and(|errand| errand.is_fill()))
    }

    /// Something was computed, or cannot be: then the answers say why, or it is no fault.
    pub(super) fn filled_in(&mut self, later: Later, failure: Option<Failure>) {
        self.later = match later {
            Later::Names => Some(Later::Retained),
            Later::Retained => None,
        };
        match failure {
            None => self.ask_grown(),
            Some(Failure::Bug(why)) => self.say(why, Tone::Bad),
            Some(Failure::Error(_) | Failure::Cancelled) => {}
        }
    }

    /// Asks for what is shown anew, and for what was left when one comes back.
    pub(super) fn ask_grown(&mut self) {
        self.filled = self.filled.saturating_add(1);
        self.kept.retain(|(question, _)| !grows(question));
        let steps = self.back.iter_mut().chain(&mut self.forward).map(|step| &mut step.pane);
        let left = self.tabs.iter_mut().filter_map(|tab| tab.kept.as_mut());
        std::iter::once(&mut self.pane).chain(steps).chain(left).for_each(Pane::outgrow);
        if self.detail.as_ref().and_then(|detail| detail.question.as_ref()).is_some_and(grows) {
            self.detail_of = None;
        }
        self.ask();
    }

    /// Stops what is computed besides. Says whether there was something.
    pub(super) fn stop_filling(&mut self) -> bool {
        let runs = self.leave_off(|asked| asked.errand.is_some_and(|errand| errand.is_fill()));
        self.is_halted |= runs;
        runs
    }

    /// Says on the lower line what is computed besides, once that takes a while.
    pub(super) fn filling(&self, pen: &mut Pen<'_>, area: Rect) {
        let waited = self.filling_in().filter(|asked| asked.since < self.ticks);
        let Some(asked) = waited.filter(|_| self.pane.question.as_ref().is_some_and(grows)) else { return };
        let progress = asked.job.progress();
        let share = progress.done.min(progress.total).saturating_mul(100).checked_div(progress.total);
        let share = share.map(|share| format!(" {share} %")).unwrap_or_default();
        let what = match asked.errand {
            Some(Errand::Fill(Later::Names)) => "names",
            _ => "retained sizes",
        };
        let phase = if progress.phase.is_empty() { "begun" } else { progress.phase };
        let text = format!(" {what}: {phase}{share} ");
        let width = u16::try_from(width_of(&text)).unwrap_or(u16::MAX).min(area.width.saturating_sub(2));
        pen.cut(area.x.saturating_add(1), area.y, width, &text, pen.theme.quiet(), &[]);
    }
}

impl Pane {
    /// Its answer can be told better: it is asked for anew when it is seen, and shown until then. What is selected stays so.
    pub(super) fn outgrow(&mut self) {
        let grown = matches!(self.content, Content::Ready) && self.question.as_ref().is_some_and(grows);
        if grown {
            if self.document().rows() <= SOUGHT {
                self.seek = self.subject().map(Seek::Subject);
            }
            self.content = Content::Blank;
        }
    }
}
