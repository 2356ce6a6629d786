//! The histogram drawn: of types, and of namespaces.

use super::kept::Kept;
use super::{Total, TypeRow, Types};
use crate::analysis::histogram::Amount;
use crate::analysis::share::tenths;
use crate::model::Subject;
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::views::Draw;

/// Columns of screen that are enough for a name: then how much it takes is shown, too.
pub(super) const ENOUGH: u16 = 26;

/// The columns before those that say what the objects of a row are.
pub(super) fn columns(kept: &Kept, shares: bool) -> Vec<Column> {
    let mut columns = vec![Column::right("Objects").rank(3), Column::right("Bytes")];
    columns.extend(shares.then(|| Column::rigid("Share").rank(3)));
    columns.extend(kept.column());
    columns
}

/// Their cells: `share` of so many bytes is drawn where it is given.
pub(super) fn cells(of: Amount, share: Option<u64>, retained: Option<u64>, kept: &Kept) -> Vec<Cell> {
    let mut cells = vec![Cell::new(Value::Count(of.count)), Cell::new(Value::Bytes(of.bytes))];
    cells.extend(share.map(|all| Cell::new(Value::Bar(tenths(of.bytes, all)))));
    cells.extend(kept.cell(retained));
    cells
}

impl Draw for Types {
    fn draw(&self) -> Section {
        let mut columns = columns(&self.kept, self.shares);
        columns.push(Column::wide("Type", 1).rank(1).enough(ENOUGH));
        // On the screen the name has its room: there a row is opened, and not named by a command.
        columns.extend((!self.shares).then(|| Column::rigid("Id").rank(4)));
        let share = self.shares.then_some(self.total.bytes);
        let row = |row: &TypeRow| {
            let mut cells = cells(Amount { count: row.count, bytes: row.bytes }, share, row.retained, &self.kept);
            cells.push(Cell::text(row.name.as_str()).tone(Tone::Link));
            cells.extend((!self.shares).then(|| Cell::new(Value::Addr(row.id)).tone(Tone::Dim)));
            Row::about(Subject::Type(row.id), cells)
        };
        let table = Table::new(columns, self.types.iter().map(row).collect());
        let mut totals = vec![self.total.row(&format!("({})", self.heap))];
        totals.extend(self.free.as_ref().map(Total::free_row));
        Section { bodies: vec![Body::Table(table), Body::Lines(totals)], ..Section::default() }
    }
}
