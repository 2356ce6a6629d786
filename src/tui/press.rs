//! What a key does: in what lies over the page, else on the page.

use super::app::{App, Dump, Overlay};
use super::event::Effect;
use super::keymap::{self, Action, Key};
use super::palette::{Palette, Run};
use super::pane::Found;
use crate::report::section::Tone;
use crate::views::{dominators, gcroot, referrers};

impl App {
    /// A key was pressed.
    pub(super) fn key(&mut self, key: Key) {
        self.said = None;
        let action = keymap::action(&self.scopes(), key);
        if action != Some(Action::Interrupt) {
            self.interrupted = false;
        }
        match action {
            Some(Action::Pane) => {
                let digit = key.digit().unwrap_or_default();
                match self.overlay {
                    Overlay::Sort(_) => {
                        self.overlay = Overlay::None;
                        self.sort_by(digit.saturating_sub(1));
                    }
                    Overlay::Panes(_) => {
                        self.overlay = Overlay::None;
                        self.numbered(digit);
                    }
                    Overlay::Marks(_) => self.go_to_mark(digit.saturating_sub(1)),
                    _ => self.numbered(digit),
                }
            }
            Some(action) => self.act(action),
            None => {
                if let Some(text) = key.letter() {
                    self.type_text(text.encode_utf8(&mut [0; 4]));
                }
            }
        }
    }

    /// Does what a key or a command says.
    pub(super) fn act(&mut self, action: Action) {
        if !matches!(self.overlay, Overlay::None) && self.act_in_overlay(action) {
            return;
        }
        match action {
            Action::Down => self.step(true),
            Action::Up => self.step(false),
            Action::HalfDown => self.travel(|pane| pane.page(true, false)),
            Action::HalfUp => self.travel(|pane| pane.page(false, false)),
            Action::PageDown => self.page(true),
            Action::PageUp => self.page(false),
            Action::Top => self.travel(|pane| pane.edge(false)),
            Action::Bottom => self.travel(|pane| pane.edge(true)),
            Action::Fold => self.travel(|pane| pane.fold(true)),
            Action::Unfold => self.travel(|pane| pane.fold(false)),
            Action::FoldAll => self.travel(|pane| pane.fold_all(true)),
            Action::UnfoldAll => self.travel(|pane| pane.fold_all(false)),
            Action::Open => self.open(),
            Action::Back => self.go_back(),
            Action::Forward => self.go_forward(),
            Action::NextPane => self.turn(true),
            Action::PreviousPane => self.turn(false),
            Action::Follow => self.follow(),
            Action::Collect => self.choose(action),
            Action::Relist => self.relist(),
            Action::Filter => self.overlay = Overlay::Filter,
            Action::NextMatch => self.match_from_here(true),
            Action::PreviousMatch => self.match_from_here(false),
            Action::Palette => self.prompt(""),
            Action::Help => self.overlay = Overlay::Help(0),
            Action::CopyMenu => self.overlay = Overlay::Copy,
            Action::SortMenu => self.open_sort(),
            Action::Panes => self.overlay = Overlay::Panes(self.tab),
            Action::NextShelf => self.turn_shelf(true),
            Action::PreviousShelf => self.turn_shelf(false),
            Action::Group => self.group(),
            Action::Sizes => self.type_sizes(),
            Action::Diff => self.prompt("diff "),
            Action::Roots => self.relate(&gcroot::VIEW, "roots"),
            Action::Referrers => self.relate(&referrers::VIEW, "referrers"),
            Action::References => self.relate(&referrers::REFERENCES, "references"),
            Action::Dominated => self.relate(&dominators::VIEW, "dominated"),
            Action::Mark => self.mark(),
            Action::Marks => self.open_marks(),
            Action::Locals => self.toggle("a"),
            Action::ProgramCounters => {
                self.pc = !self.pc;
                self.toggle("pc");
            }
            Action::ScrollLeft => self.pane.sideways(false),
            Action::ScrollRight => self.pane.sideways(true),
            Action::DetailDown => self.scroll_detail(true, 1),
            Action::DetailUp => self.scroll_detail(false, 1),
            Action::Detail => self.detail_shown = !self.detail_shown,
            Action::Mouse => self.toggle_mouse(),
            Action::Recapture => self.run(Run::Line("refresh".to_owned())),
            Action::Moved => self.run(Run::Line("moved".to_owned())),
            Action::Redraw => self.effects.push(Effect::Redraw),
            Action::Suspend => self.effects.push(Effect::Suspend),
            Action::Escape => self.escape(),
            Action::Interrupt => self.interrupt(),
            Action::Quit => self.effects.push(Effect::Quit),
            Action::CopyAddress | Action::CopyName | Action::CopyRow | Action::CopyPane => self.copy(action),
            // These mean something in overlays only, and `Pane` needs a number.
            Action::Pane
            | Action::Accept
            | Action::Complete
            | Action::NextChoice
            | Action::PreviousChoice
            | Action::Erase
            | Action::EraseWord
            | Action::EraseAll
            | Action::Close => {}
        }
    }

    /// Opens the `:` prompt with the beginning of a line.
    pub(super) fn prompt(&mut self, typed: &str) {
        self.overlay = Overlay::Palette(Palette {
            typed: typed.to_owned(),
            keys_only: matches!(self.dump, Dump::Choosing),
            scopes: self.page_scopes(),
            brought: self.brought(),
            history: self.history.clone(),
            ..Palette::default()
        });
        self.offer();
    }

    /// To the next or the previous line that matches what was typed last.
    fn match_from_here(&mut self, down: bool) {
        match self.pane.go_to_match(down) {
            Found::Nothing => self.say("nothing was searched for: / types it", Tone::Plain),
            Found::None => self.say(format!("no more lines match {}", self.pane.sought()), Tone::Plain),
            Found::Far => self.say("no match so far; again goes on", Tone::Plain),
            Found::Here => self.notice(),
        }
    }

    /// One step out.
    fn escape(&mut self) {
        if self.cancel() {
            return self.say("stopped", Tone::Guess);
        }
        if !self.pane.typed.is_empty() {
            self.pane.typed.clear();
            self.refilter();
        } else if !self.is_root() {
            self.go_back();
        } else if self.stop_filling() {
            self.say("stopped; it goes on when the pane is opened again", Tone::Guess);
        }
    }

    fn interrupt(&mut self) {
        if self.cancel() || self.stop_filling() {
            self.say("stopped", Tone::Guess);
        } else if self.interrupted {
            self.effects.push(Effect::Quit);
        } else {
            self.interrupted = true;
            self.say("nothing runs; Ctrl-C again quits, as q does", Tone::Plain);
        }
    }
}
