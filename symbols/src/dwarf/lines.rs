//! A unit's line table: which source line an instruction came from.

use gimli::{ColumnType, LineProgramHeader, UnitRef};

use super::sections::Reader;
use crate::Error;
use crate::intervals::{Intervals, Span};

/// Rows beyond this many are not read. Every row takes at least one byte of the file.
const MAX_ROWS: usize = 32 << 20;

/// The rows of a unit, grouped into sequences of rising addresses.
#[derive(Debug)]
pub(super) struct Lines {
    rows: Vec<Row>,
    sequences: Intervals<Sequence>,
}

/// A source position: which file of the unit's list, line from 1, column from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) file: Option<u64>,
    pub(super) line: Option<u32>,
    pub(super) column: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    address: u64,
    file: u32,
    line: u32,
    column: u32,
}

#[derive(Debug)]
struct Sequence {
    start: u64,
    end: u64,
    first_row: usize,
    row_count: usize,
}

impl Lines {
    pub(super) fn new(unit: UnitRef<'_, Reader<'_>>) -> Result<Option<Lines>, Error> {
        let Some(program) = unit.line_program.clone() else { return Ok(None) };
        let mut rows: Vec<Row> = Vec::new();
        let mut sequences = Vec::new();
        let mut first_row = 0usize;
        let mut read = program.rows();
        while let Some((_, row)) = read.next_row()? {
            let address = row.address();
            if row.end_sequence() {
                let row_count = rows.len().saturating_sub(first_row);
                match rows.get(first_row) {
                    // Address 0 is where a function that the linker dropped would be.
                    Some(first) if first.address != 0 && first.address < address => {
                        sequences.push(Sequence { start: first.address, end: address, first_row, row_count });
                    }
                    _ => rows.truncate(first_row),
                }
                first_row = rows.len();
                continue;
            }
            let row = Row::new(row);
            let full = rows.len() >= MAX_ROWS;
            match rows.get_mut(first_row..).and_then(<[Row]>::last_mut) {
                // Of several rows at one address the last one holds.
                Some(last) if last.address == address => *last = row,
                _ if full => break,
                _ => rows.push(row),
            }
        }
        Ok(Some(Lines { rows, sequences: Intervals::new(sequences) }))
    }

    /// Where the instruction at `at` came from; `None` where no sequence covers it.
    pub(super) fn position(&self, at: u64) -> Option<Position> {
        let sequence = self.sequences.containing(at).next()?;
        let rows = self.rows.get(sequence.first_row..)?.get(..sequence.row_count)?;
        let before = rows.partition_point(|row| row.address <= at);
        let row = rows.get(before.checked_sub(1)?)?;
        let known = |number: u32| (number > 0).then_some(number);
        let line = known(row.line);
        Some(Position { file: Some(row.file.into()), line, column: line.and_then(|_| known(row.column)) })
    }

    /// The addresses that the table covers.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.sequences.all().iter().map(|sequence| (sequence.start, sequence.end))
    }
}

impl Row {
    fn new(row: &gimli::LineRow) -> Row {
        let column = match row.column() {
            ColumnType::LeftEdge => 0,
            ColumnType::Column(column) => u32::try_from(column.get()).unwrap_or(0),
        };
        Row {
            address: row.address(),
            // A list of files is never that long: such an index finds none.
            file: u32::try_from(row.file_index()).unwrap_or(u32::MAX),
            line: row.line().map_or(0, |line| u32::try_from(line.get()).unwrap_or(0)),
            column,
        }
    }
}

/// The path of a file of the unit's list, made absolute with the directory the unit was compiled in where that is known.
pub(super) fn file_path(unit: UnitRef<'_, Reader<'_>>, index: u64) -> Option<String> {
    let header: &LineProgramHeader<Reader<'_>> = unit.line_program.as_ref()?.header();
    let file = header.file(index)?;
    let text = |value| unit.attr_string(value).ok().map(|text| text.to_string_lossy().into_owned());
    let mut path = unit.comp_dir.map(|directory| directory.to_string_lossy().into_owned()).unwrap_or_default();
    // Directory 0 is the compilation directory itself.
    if file.directory_index() != 0
        && let Some(directory) = file.directory(header).and_then(text)
    {
        append(&mut path, &directory);
    }
    append(&mut path, &text(file.path_name())?);
    Some(path)
}

fn append(path: &mut String, part: &str) {
    if part.starts_with('/') {
        path.clear();
    } else if !path.is_empty() && !path.ends_with('/') {
        path.push('/');
    }
    path.push_str(part);
}

impl Span for Sequence {
    fn start(&self) -> u64 {
        self.start
    }

    fn end(&self) -> u64 {
        self.end
    }
}
