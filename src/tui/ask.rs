//! Questions to the workers and what becomes of their answers: kept, shown, or dropped when nobody waits any more.

use std::sync::Arc;

use super::app::{App, Asked, Dump, Errand, KEPT, Overlay};
use super::event::{Answered, Changed, Effect, Failure, Later, Opened, Question, Ticket};
use super::heap;
use super::pane::{Content, Pane};
use crate::job::Job;
use crate::report::section::{Section, Tone};

impl App {
    /// Stops what the page waits for, else what runs besides, else what its detail waits for. Says whether there was
    /// something.
    pub(super) fn cancel(&mut self) -> bool {
        if let Dump::Opening(job) = &self.dump {
            job.cancel();
            return true;
        }
        if let Content::Waiting(ticket, _) = self.pane.content {
            self.leave_off(|asked| asked.ticket == ticket);
            self.pane.content = Content::Failed(Failure::Cancelled);
            return true;
        }
        self.leave_off(|asked| asked.errand.is_some_and(|errand| !errand.is_fill())) || self.cancel_detail()
    }

    /// Stops these questions and forgets them. Says whether there were some.
    pub(super) fn leave_off(&mut self, unwanted: impl Fn(&Asked) -> bool) -> bool {
        let before = self.asked.len();
        self.asked.retain(|asked| {
            if unwanted(asked) {
                asked.job.cancel();
            }
            !unwanted(asked)
        });
        self.asked.len() < before
    }

    /// Whether something is worked on besides pages, and awaited.
    pub(super) fn runs_errand(&self) -> bool {
        self.asked.iter().any(|asked| asked.errand.is_some_and(|errand| !errand.is_fill()))
    }

    /// Asks for the page's content, unless it is there or known.
    pub(super) fn ask(&mut self) {
        if !matches!(self.dump, Dump::Open(_) | Dump::Choosing) {
            return;
        }
        let waiting = match &self.pane.content {
            Content::Ready => return,
            Content::Waiting(ticket, _) => self.asked.iter().any(|asked| asked.ticket == *ticket),
            Content::Blank | Content::Failed(_) => false,
        };
        let Some(question) = self.pane.question.clone() else { return };
        if let Some(section) = self.known(&question) {
            self.pane.answer(&section);
            self.arrive();
        } else if !waiting {
            let (ticket, job) = self.send(question, None);
            self.pane.content = Content::Waiting(ticket, job);
        }
    }

    /// Sends a question to a worker.
    pub(super) fn send(&mut self, question: Question, errand: Option<Errand>) -> (Ticket, Job) {
        let (ticket, job) = (self.ticket(), Job::default());
        self.asked.push(Asked {
            ticket,
            question: question.clone(),
            job: job.clone(),
            errand,
            since: self.ticks,
            filled: self.filled,
        });
        self.effects.push(Effect::Ask(ticket, question, job.clone()));
        (ticket, job)
    }

    /// Whether a page has waited for a tick.
    pub(super) fn waited(&self, pane: &Pane) -> bool {
        let Content::Waiting(ticket, _) = &pane.content else { return false };
        self.asked.iter().any(|asked| asked.ticket == *ticket && asked.since < self.ticks)
    }

    pub(super) fn known(&self, question: &Question) -> Option<Arc<Section>> {
        self.kept.iter().find(|(known, _)| known == question).map(|(_, section)| Arc::clone(section))
    }

    pub(super) fn answered(&mut self, ticket: Ticket, result: Result<Answered, Failure>) {
        let Some(at) = self.asked.iter().position(|asked| asked.ticket == ticket) else {
            // Stopped too late: what is open now answers from here on.
            if let Ok(Answered { changed: Some(changed @ Changed { opened: Some(_), .. }), .. }) = result {
                self.change(changed);
            }
            return;
        };
        let Asked { question, errand, filled, .. } = self.asked.swap_remove(at);
        if let Some(errand) = errand {
            match (result, errand) {
                (result, Errand::Fill(later)) => self.filled_in(later, result.err()),
                (Ok(Answered { changed: Some(changed), .. }), _) => self.change(changed),
                (Ok(_), Errand::Memory(addr)) => self.show_memory(addr),
                (Ok(Answered { points_to: Some(addr), .. }), Errand::Follow) => self.memory(addr),
                (Ok(_), Errand::Change | Errand::Follow) => {}
                (Err(Failure::Error(why) | Failure::Bug(why)), _) => self.say(why, Tone::Bad),
                (Err(Failure::Cancelled), _) => self.say("stopped", Tone::Guess),
            }
            return;
        }
        if let Some((_, kind, start)) = self.offering.take_if(|(waited, ..)| *waited == ticket) {
            if let (Overlay::Palette(palette), Ok(answer)) = (&mut self.overlay, result) {
                palette.offered = (Some((kind, start)), answer.words);
            }
            return;
        }
        let waits = matches!(&self.pane.content, Content::Waiting(waited, _) if *waited == ticket);
        match result {
            Ok(answer) => {
                if let Some(labels) = &answer.labels {
                    self.labels = Arc::clone(labels);
                }
                if let (Dump::Open(opened), Some(count)) = (&mut self.dump, answer.without_symbols) {
                    opened.modules_without_symbols = count;
                }
                // What was computed meanwhile may be missing from it: it is shown, and asked for anew.
                let is_whole = filled == self.filled || !heap::grows(&question);
                if is_whole {
                    if self.kept.len() >= KEPT {
                        self.kept.remove(0);
                    }
                    self.kept.push((question, Arc::clone(&answer.section)));
                }
                if waits {
                    self.pane.answer(&answer.section);
                    self.arrive();
                    if !is_whole {
                        self.pane.outgrow();
                        self.ask();
                    }
                }
                self.answer_detail();
            }
            Err(failure) if waits => self.pane.content = Content::Failed(failure),
            Err(failure) => self.fail_detail(&question, failure),
        }
    }

    /// The page's content is there: the filter and the shared focus apply to it.
    fn arrive(&mut self) {
        self.refilter();
        if self.pane.spot().is_some() {
            self.follow_focus();
        }
    }

    /// Filters and sorts the page anew.
    pub(super) fn refilter(&mut self) {
        let ticket = self.ticket();
        match self.pane.arrange(ticket) {
            Some(rows) => self.effects.push(Effect::Arrange(ticket, rows)),
            None => self.select_best(),
        }
    }

    /// Selects the best match of a filtered list to choose from.
    pub(super) fn select_best(&mut self) {
        if self.pane.ranked && !self.pane.typed.is_empty() {
            self.pane.edge(false);
        }
    }

    fn change(&mut self, changed: Changed) {
        let is_older = |opened: &Opened| matches!(&self.dump, Dump::Open(now) if opened.epoch < now.epoch);
        if changed.opened.as_ref().is_some_and(is_older) {
            return;
        }
        self.focus = changed.focus;
        self.say(changed.said, Tone::Plain);
        if let Some(opened) = changed.opened {
            self.open_other(opened);
        }
        self.follow_focus();
    }

    /// Something else is open from now on: nothing that was answered or asked before is about it.
    fn open_other(&mut self, opened: Opened) {
        self.focus.thread = self.focus.thread.or(opened.thread);
        self.labels = Arc::clone(&opened.labels);
        self.file.clone_from(&opened.file);
        self.dump = Dump::Open(opened);
        self.kept.clear();
        self.later = Some(Later::Names);
        self.tabs.iter_mut().for_each(|tab| tab.kept = None);
        self.back.clear();
        self.forward.clear();
        self.detail = None;
        self.offering = None;
        if let Overlay::Palette(palette) = &mut self.overlay {
            palette.offered = Default::default();
        }
        let before = std::mem::take(&mut self.asked);
        before.iter().for_each(|asked| asked.job.cancel());
        if self.pane.question.is_some() {
            self.pane.forget();
        } else {
            self.pane = self.root(self.tab);
        }
        self.ask();
        self.offer();
        // What was to be done is done with what is open now.
        let errands = before.into_iter().filter(|asked| asked.errand.is_some_and(|errand| !errand.is_fill()));
        for Asked { question, errand, .. } in errands {
            self.send(question, errand);
        }
    }
}
