//! The detail beside or below a list: that of the selected row, asked for when it stays selected.

use super::app::{App, Dump};
use super::event::{Failure, Question};
use super::pane::{Content, Pane};
use crate::model::SubjectKind;
use crate::report::section::Body;

impl App {
    /// Makes the detail that of the selected row. One question is under way at most: moving on waits a tick for its
    /// answer, which is kept for when one comes back, then stops it.
    pub(super) fn refresh_detail(&mut self) {
        if !self.shows_detail() {
            self.detail = None;
            self.detail_of = None;
            self.leave_off_detail();
            return;
        }
        let of = self.pane.spot().map(|spot| (std::sync::Arc::as_ptr(self.pane.section()).addr(), spot));
        if self.detail.is_none() || self.detail_of != of {
            self.detail_of = of;
            let facts = self.facts().unwrap_or_default();
            let size = self.detail.as_ref().map_or(self.pane.size(), Pane::size);
            self.detail = Some(Pane::new(facts.title, facts.question, facts.bodies, size));
        }
        self.ask_detail();
    }

    /// Whether the selected row's detail stands beside the list.
    pub(super) fn is_wide(&self) -> bool {
        self.size.0 >= super::layout::WIDE
    }

    /// Whether the page has a detail, shown or hidden: beside lists where there is room, not beside sentences alone or a frame whole; below
    /// locks and exceptions elsewhere, which are few and whose rows say little. A page keeps its shape whatever row is
    /// selected.
    pub(super) fn has_detail(&self) -> bool {
        let view = self.tabs.get(self.tab).and_then(|tab| tab.view);
        let is_told = |kind: &SubjectKind| matches!(kind, SubjectKind::Lock | SubjectKind::Exception);
        let told_below = self.is_root() && view.is_some_and(|view| view.home_of.iter().any(is_told));
        let is_choice = matches!(self.dump, Dump::Choosing);
        (self.is_wide() || told_below)
            && !is_choice
            && !self.shows_code()
            && self.memory_at().is_none()
            && self.pane.has_lists()
    }

    fn shows_detail(&self) -> bool {
        self.detail_shown && self.has_detail()
    }

    fn ask_detail(&mut self) {
        let Some(question) = self
            .detail
            .as_ref()
            .filter(|detail| matches!(detail.content, Content::Blank))
            .and_then(|detail| detail.question.clone())
        else {
            return;
        };
        if let Some(section) = self.known(&question) {
            if let Some(detail) = &mut self.detail {
                detail.answer(&section);
            }
            return;
        }
        let under_way = self.beside.and_then(|ticket| self.asked.iter().find(|asked| asked.ticket == ticket));
        let (ticket, job) = match under_way {
            Some(asked) if asked.question == question => (asked.ticket, asked.job.clone()),
            Some(asked) if asked.since == self.ticks => return,
            _ => {
                self.leave_off_detail();
                let (ticket, job) = self.send(question, None);
                self.beside = Some(ticket);
                (ticket, job)
            }
        };
        if let Some(detail) = &mut self.detail {
            detail.content = Content::Waiting(ticket, job);
        }
    }

    /// Stops what is asked for a detail. Says whether there was something.
    fn leave_off_detail(&mut self) -> bool {
        let Some(ticket) = self.beside.take() else { return false };
        self.leave_off(|asked| asked.ticket == ticket)
    }

    /// Stops what the detail waits for, once that is seen. Says whether there was something.
    pub(super) fn cancel_detail(&mut self) -> bool {
        if !self.detail.as_ref().is_some_and(|detail| self.waited(detail)) {
            return false;
        }
        if let Some(detail) = &mut self.detail {
            detail.content = Content::Failed(Failure::Cancelled);
        }
        self.leave_off_detail()
    }

    /// An answer arrived: the detail may have waited for it, or for its turn.
    pub(super) fn answer_detail(&mut self) {
        if let Some(detail) = &mut self.detail
            && let Content::Waiting(ticket, _) = detail.content
            && !self.asked.iter().any(|asked| asked.ticket == ticket)
        {
            detail.content = Content::Blank;
        }
    }

    /// A question of the detail's has no answer.
    pub(super) fn fail_detail(&mut self, question: &Question, failure: Failure) {
        if let Some(detail) = self.detail.as_mut().filter(|detail| detail.question.as_ref() == Some(question)) {
            detail.content = Content::Failed(failure);
        }
    }

    /// Scrolls the detail.
    pub(super) fn scroll_detail(&mut self, down: bool, lines: usize) {
        if let Some(detail) = &mut self.detail {
            detail.scroll(down, lines);
        }
    }
}

impl Pane {
    /// Whether there are tables or trees in the answer.
    pub fn has_lists(&self) -> bool {
        self.section().bodies.iter().any(|body| matches!(body, Body::Table(_) | Body::Tree(_)))
    }

    /// Whether the answer is a list: its rows are in tables and trees, and one of them is selected.
    pub fn is_list(&self) -> bool {
        let body = self.spot().and_then(|spot| self.section().bodies.get(spot.body));
        matches!(body, Some(Body::Table(_) | Body::Tree(_)))
    }
}
