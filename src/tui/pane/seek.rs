//! Which row of an answer to stand at: by what it is about.

use super::{Pane, Spot, find};
use crate::model::{Subject, Tid};
use crate::report::section::{Body, Cell, Row, Tone, Value};

/// What to select in an answer that is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// The row about this.
    Subject(Subject),
    /// The row of a table whose first cell is this number.
    Number(u64),
    /// The first row of the first table.
    FirstRow,
    /// The innermost frame of the program's own code, else the innermost.
    OwnFrame,
}

impl Pane {
    /// The thread that the selected row is about: its own, a frame's, that of an exception.
    pub fn thread(&self) -> Option<Tid> {
        match self.subject()? {
            Subject::Thread(tid) | Subject::Frame(tid, _) => Some(tid),
            Subject::Exception(_) => self.row().and_then(|row| thread_of(&row)),
            _ => None,
        }
    }

    /// Selects the row about a subject, if there is one: in its tables and trees first.
    pub fn select(&mut self, subject: Subject) {
        if self.subject() == Some(subject) {
            return;
        }
        let about = |row: &Row| is_about(row, subject);
        self.stand_at(find(&self.section, true, about).or_else(|| find(&self.section, false, about)));
    }

    /// Selects the row of a table or a tree that is about a thread, if there is one.
    pub fn select_thread(&mut self, tid: Tid) {
        self.stand_at(find(&self.section, true, |row| is_about(row, Subject::Thread(tid))));
    }

    fn stand_at(&mut self, spot: Option<Spot>) {
        if spot.is_some() {
            self.spot = spot;
            self.reveal();
        }
    }

    /// Selects the row whose first cell is a number, in the middle of the screen.
    pub(super) fn select_number(&mut self, number: u64) {
        let tables = self.section.bodies.iter().enumerate().filter_map(|(body, content)| match content {
            Body::Table(table) => Some((body, table)),
            _ => None,
        });
        let numbered = |row: &Row| match row.cells.first().map(|cell| &cell.value) {
            Some(Value::Count(count)) => *count == number,
            Some(Value::Tid(tid)) => u64::from(tid.0) == number,
            _ => false,
        };
        for (body, table) in tables {
            if let Some(item) = table.rows.iter().position(|row| numbered(&row)) {
                self.spot = u32::try_from(item).ok().map(|item| Spot { body, item, frame: 0 });
                self.top = item.saturating_sub(self.height() / 2);
            }
        }
    }

    pub(super) fn select_first_row(&mut self) {
        self.spot = find(&self.section, true, |_| true).or(self.spot);
        self.top = 0;
    }

    pub(super) fn select_own_frame(&mut self) {
        let is_frame = |row: &Row| matches!(row.subject, Some(Subject::Frame(..)));
        let is_own = |row: &Row| {
            let own = |cell: &Cell| matches!(cell.value, Value::Function(_)) && cell.tone != Tone::Dim;
            is_frame(row) && row.cells.iter().any(own)
        };
        self.spot = find(&self.section, true, is_own).or_else(|| find(&self.section, true, is_frame)).or(self.spot);
        self.top = 0;
    }
}

/// Whether a row is about a subject. A frame is also about its thread, a list of thread ids about each.
fn is_about(row: &Row, subject: Subject) -> bool {
    let lists = |tid: &Tid| row.cells.iter().any(|cell| matches!(&cell.value, Value::Tids(tids) if tids.contains(tid)));
    match (row.subject, subject) {
        (_, Subject::Thread(tid)) if lists(&tid) => true,
        (Some(Subject::Frame(tid, _)), Subject::Thread(wanted)) => tid == wanted,
        (Some(Subject::Exception(_)), Subject::Thread(wanted)) => thread_of(row) == Some(wanted),
        (own, wanted) => own == Some(wanted),
    }
}

/// The thread whose id stands in a row.
fn thread_of(row: &Row) -> Option<Tid> {
    row.cells.iter().find_map(|cell| match cell.value {
        Value::Tid(tid) => Some(tid),
        _ => None,
    })
}
