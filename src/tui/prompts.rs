//! What lies over the page: the filter, the palette, the menus, the keys.

use super::app::{App, Dump, Overlay};
use super::event::{Effect, Question};
use super::facts;
use super::keymap::{self, Action, Binding, GRAMMAR, MOUSE, Scope};
use super::palette::{self, Run};
use crate::model::{Addr, Subject};
use crate::report::section::{Body, Cell, Row, Section, Sort, Tone, Value};
use crate::report::words::{self, Room};
use crate::views::Kind;

/// Longest filter or command that is typed, in bytes.
const MAX_TYPED: usize = 4096;

impl App {
    /// Does what a key says in an overlay. Says whether that was all.
    pub(super) fn act_in_overlay(&mut self, action: Action) -> bool {
        match (&mut self.overlay, action) {
            (_, Action::Close) => self.overlay = Overlay::None,
            (Overlay::Filter, Action::Accept) => self.overlay = Overlay::None,
            (Overlay::Filter, Action::Escape) => {
                self.overlay = Overlay::None;
                self.pane.typed.clear();
                self.refilter();
            }
            (Overlay::Filter, Action::Erase | Action::EraseWord | Action::EraseAll) => {
                edit(&mut self.pane.typed, action);
                self.refilter();
            }
            (Overlay::Filter, _) => return false,
            (Overlay::Palette(palette), Action::NextChoice) => palette.next(),
            (Overlay::Palette(palette), Action::PreviousChoice) => palette.previous(),
            (Overlay::Palette(palette), Action::Complete) => palette.complete(),
            (Overlay::Palette(palette), Action::Erase | Action::EraseWord | Action::EraseAll) => {
                palette.changed();
                if !edit(&mut palette.typed, action) {
                    self.overlay = Overlay::None;
                }
            }
            (Overlay::Palette(palette), Action::Accept) => match palette.run() {
                Ok(Run::Nothing) => self.overlay = Overlay::None,
                Ok(run) => {
                    let typed = std::mem::take(&mut palette.typed);
                    self.overlay = Overlay::None;
                    self.keep_line(&run, &typed);
                    self.run(run);
                }
                Err(why) => self.say(why, Tone::Guess),
            },
            (Overlay::Help(top), Action::Down) => *top = top.saturating_add(1),
            (Overlay::Help(top), Action::Up) => *top = top.saturating_sub(1),
            (Overlay::Sort(choice), Action::NextChoice) => *choice = choice.saturating_add(1),
            (Overlay::Sort(choice), Action::PreviousChoice) => *choice = choice.saturating_sub(1),
            (Overlay::Sort(choice), Action::Accept) => {
                let column = *choice;
                self.overlay = Overlay::None;
                self.sort_by(column);
            }
            (Overlay::Panes(choice), Action::NextChoice) => {
                *choice = choice.saturating_add(1).min(self.tabs.len().saturating_sub(1));
            }
            (Overlay::Panes(choice), Action::PreviousChoice) => *choice = choice.saturating_sub(1),
            (Overlay::Panes(choice), Action::Accept) => {
                let tab = *choice;
                self.overlay = Overlay::None;
                self.visit(tab);
            }
            (Overlay::Marks(choice), action) => {
                let choice = *choice;
                self.act_in_marks(choice, action);
            }
            (Overlay::Copy, _) => {
                self.overlay = Overlay::None;
                self.copy(action);
            }
            _ => {}
        }
        if let Overlay::Sort(choice) = self.overlay {
            self.overlay = Overlay::Sort(choice.min(self.sortable().len().saturating_sub(1)));
        }
        self.offer();
        true
    }

    /// Keeps a line for Up: as it was typed, or as it was chosen.
    fn keep_line(&mut self, run: &Run, typed: &str) {
        let line = match run {
            Run::Line(line) => line.as_str(),
            Run::Key(_) | Run::Nothing => typed.trim(),
        };
        if self.history.last().is_none_or(|last| last != line) {
            self.history.push(line.to_owned());
        }
        self.effects.push(Effect::Keep(if typed.starts_with(' ') { format!(" {line}") } else { line.to_owned() }));
    }

    /// Asks the dump for the values that may end the prompt's line, unless they were asked for.
    pub(super) fn offer(&mut self) {
        let Overlay::Palette(palette) = &self.overlay else { return };
        let Some((kind, start)) = palette.end().and_then(|end| Some((end.kind?, end.start))) else { return };
        let is_of_dump = matches!(kind, Kind::Thread | Kind::Index | Kind::Module | Kind::Address | Kind::Command);
        let wanted = Some((kind, start.clone()));
        let is_asked = self.offering.as_ref().is_some_and(|(_, asked, begun)| *asked == kind && *begun == start);
        if !is_of_dump || palette.offered.0 == wanted || is_asked || !matches!(self.dump, Dump::Open(_)) {
            return;
        }
        // What was asked for a word that has grown is not waited for.
        if let Some((ticket, ..)) = self.offering.take() {
            self.leave_off(|asked| asked.ticket == ticket);
        }
        let (ticket, _) = self.send(Question::Words { kind, start: start.clone() }, None);
        self.offering = Some((ticket, kind, start));
    }

    /// Adds to what is being typed.
    pub(super) fn type_text(&mut self, text: &str) {
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        match &mut self.overlay {
            Overlay::Filter if self.pane.typed.len().saturating_add(text.len()) <= MAX_TYPED => {
                self.pane.typed.push_str(&text);
                self.refilter();
            }
            Overlay::Palette(palette) if palette.typed.len().saturating_add(text.len()) <= MAX_TYPED => {
                palette.typed.push_str(&text);
                palette.changed();
            }
            _ => {}
        }
        self.offer();
    }

    /// Columns of the table that can be sorted: position and title.
    pub(super) fn sortable(&self) -> Vec<(usize, &'static str)> {
        let Some((_, table)) = self.pane.document().table(self.pane.spot()) else { return Vec::new() };
        table
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| !column.title.is_empty())
            .map(|(index, column)| (index, column.title))
            .collect()
    }

    pub(super) fn open_sort(&mut self) {
        let body = self.pane.document().table(self.pane.spot()).map(|(body, _)| body);
        let now = self.pane.sort.filter(|(sorted, _)| Some(*sorted) == body).map(|(_, sort)| sort.column);
        let choice = self.sortable().iter().position(|(column, _)| Some(*column) == now).unwrap_or(0);
        self.overlay = Overlay::Sort(choice);
    }

    /// Sorts by the column of a place in the menu: ascending, then descending, then as the answer has it.
    pub(super) fn sort_by(&mut self, choice: usize) {
        let Some((column, _)) = self.sortable().get(choice).copied() else { return };
        let Some((body, _)) = self.pane.document().table(self.pane.spot()) else { return };
        self.sort_column(body, column);
    }

    pub(super) fn sort_column(&mut self, body: usize, column: usize) {
        let now =
            self.pane.sort.filter(|(sorted, sort)| *sorted == body && sort.column == column).map(|(_, sort)| sort);
        self.pane.sort = match now {
            None => Some((body, Sort { column, descending: false })),
            Some(Sort { descending: false, .. }) => Some((body, Sort { column, descending: true })),
            Some(_) => None,
        };
        self.refilter();
    }

    /// Hands a part of the page to the clipboard.
    pub(super) fn copy(&mut self, action: Action) {
        let copied = match action {
            Action::CopyAddress => self.address().map(|addr| (addr.to_string(), addr.to_string())),
            Action::CopyName => self.name().map(|name| (name, "the name".to_owned())),
            Action::CopyRow => self.pane.line().map(|line| (self.pane.document().copied(line), "the row".to_owned())),
            Action::CopyPane => {
                let document = self.pane.document();
                let lines: Vec<String> = (0..document.len()).map(|line| document.copied(line)).collect();
                Some((lines.join("\n"), format!("{} lines", lines.len())))
            }
            _ => return,
        };
        match copied.filter(|(text, _)| !text.is_empty()) {
            Some((text, what)) => self.effects.push(Effect::Copy { text, what }),
            None => self.say("the row has none", Tone::Guess),
        }
    }

    /// What the selected row is called.
    fn name(&self) -> Option<String> {
        let row = self.pane.row()?;
        match (self.pane.subject(), self.pane.document().table(self.pane.spot())) {
            (Some(Subject::Exception(_)), Some((_, table))) => facts::exception_type(&row, &table.columns, Room::Copy),
            _ => name_of(&row),
        }
    }

    fn address(&self) -> Option<Addr> {
        let of_cell = |cell: &Cell| match cell.value {
            Value::Addr(addr) => Some(addr),
            _ => None,
        };
        let in_row = || self.pane.row().and_then(|row| row.cells.iter().find_map(of_cell));
        match self.pane.subject() {
            Some(Subject::Lock(addr) | Subject::Module(addr) | Subject::Memory(addr) | Subject::Object(addr)) => {
                Some(addr)
            }
            _ => in_row(),
        }
    }

    /// The keys that mean something on this page, narrowest scope first.
    pub(super) fn help(&self) -> Section {
        let mut bodies = Vec::new();
        let scopes = self.page_scopes();
        // A filter is typed apart from the page.
        let reached: Vec<&Binding> = keymap::reached(&scopes).chain(keymap::reached(&[Scope::Filter])).collect();
        for scope in scopes.into_iter().chain([Scope::Filter]) {
            let of_scope = reached.iter().filter(|binding| binding.scope == scope);
            let fields = of_scope.map(|binding| {
                let mut cells = vec![Cell::text(binding.doc)];
                if !binding.command.is_empty() {
                    cells.push(Cell::text(format!("(:{})", binding.command)).tone(Tone::Dim));
                }
                (binding.keys(), Row::new(cells))
            });
            bodies.push(Body::Heading(scope.title().to_owned()));
            bodies.push(Body::Fields(fields.collect()));
        }
        let grammar = GRAMMAR.iter().map(|(typed, doc)| ((*typed).to_owned(), Row::text(*doc)));
        bodies.push(Body::Heading("What a filter means".to_owned()));
        bodies.push(Body::Fields(grammar.collect()));
        let gestures = MOUSE.iter().map(|(gesture, doc)| ((*gesture).to_owned(), Row::text(*doc)));
        bodies.push(Body::Heading(format!("Mouse ({}; m changes that)", if self.mouse { "on" } else { "off" })));
        bodies.push(Body::Fields(gestures.collect()));
        Section { bodies, problems: Vec::new() }
    }
}

fn edit(text: &mut String, action: Action) -> bool {
    match action {
        Action::EraseWord => palette::erase_word(text),
        Action::EraseAll => text.clear(),
        _ => return palette::erase(text),
    }
    true
}

/// The row's name: its function or path, else its first words.
fn name_of(row: &Row) -> Option<String> {
    let named = |cell: &&Cell| matches!(cell.value, Value::Function(_) | Value::Path(_));
    let worded = |cell: &&Cell| matches!(cell.value, Value::Text(_));
    let cell = row.cells.iter().find(named).or_else(|| row.cells.iter().find(worded))?;
    Some(words::words(&cell.value, Room::Copy).into_owned())
}
