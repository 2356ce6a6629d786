//! Lines of a source file, where the machine has it.

use crate::error::Error;
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest source file that is read, in bytes.
const MAX_SOURCE: u64 = 16 << 20;
/// Columns from one tab stop to the next.
const TAB: usize = 4;

/// The lines around one of a file, numbered, that one marked.
pub(super) fn excerpt(file: &str, line: u32, around: u32, sysroot: Option<&Path>) -> Result<Section, Error> {
    let path = located(file, sysroot)?;
    let mut bytes = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(MAX_SOURCE).read_to_end(&mut bytes))
        .map_err(|source| Error::Io { path: path.clone(), source })?;
    let text = String::from_utf8_lossy(&bytes);
    let first = line.saturating_sub(around).max(1);
    let last = line.saturating_add(around);
    let numbered = (1u32..).zip(text.lines()).skip_while(|(number, _)| *number < first);
    let rows: Vec<Row> = numbered
        .take_while(|(number, _)| *number <= last)
        .map(|(number, text)| row(number, text, number == line))
        .collect();
    if rows.is_empty() {
        return Err(Error::Failed(format!("{file} has fewer than {first} lines: not the version that was compiled")));
    }
    let columns = vec![Column::right("Line"), Column::wide("Source", 1).rank(1)];
    Ok(Section { bodies: vec![Body::Table(Table::new(columns, rows))], problems: Vec::new() })
}

/// The file under the sysroot, else where the compiler had it. Only an absolute path is looked for.
fn located(file: &str, sysroot: Option<&Path>) -> Result<PathBuf, Error> {
    let absolute = Path::new(file);
    let relative =
        absolute.strip_prefix("/").map_err(|_| Error::Failed(format!("{file}: the symbols name no absolute path")))?;
    let under = sysroot.map(|root| root.join(relative)).filter(|path| path.is_file());
    match under.or_else(|| absolute.is_file().then(|| absolute.to_owned())) {
        Some(path) => Ok(path),
        None => Err(Error::Failed(format!("{file} is not on this machine"))),
    }
}

fn row(number: u32, text: &str, here: bool) -> Row {
    let tone = if here { Tone::Strong } else { Tone::Plain };
    let mark = if here { Tone::Guess } else { Tone::Dim };
    let number = Cell::new(Value::Count(u64::from(number))).tone(mark);
    Row::new(vec![number, Cell::text(untabbed(text)).tone(tone)])
}

fn untabbed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut column = 0usize;
    for c in text.chars() {
        if c == '\t' {
            let blanks = TAB.saturating_sub(column % TAB);
            out.extend(std::iter::repeat_n(' ', blanks));
            column = column.saturating_add(blanks);
        } else {
            out.push(c);
            column = column.saturating_add(1);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(section: &Section) -> Vec<u64> {
        let Some(Body::Table(table)) = section.bodies.first() else { return Vec::new() };
        table
            .rows
            .iter()
            .filter_map(|row| match row.cells.first()?.value {
                Value::Count(number) => Some(number),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn the_lines_around_one_are_shown_with_their_numbers() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(dir.path().join("src")).expect("a folder");
        std::fs::write(dir.path().join("src/a.c"), "one\ntwo\nthree\nfour\n").expect("a file");
        let section = excerpt("/src/a.c", 2, 1, Some(dir.path())).expect("the file is there");
        assert_eq!(numbers(&section), [1, 2, 3]);
        assert!(excerpt("/src/a.c", 90, 1, Some(dir.path())).is_err());
        assert!(excerpt("src/a.c", 2, 1, Some(dir.path())).is_err());
    }

    #[test]
    fn tabs_become_blanks_up_to_the_next_stop() {
        assert_eq!(untabbed("\ta\tb"), "    a   b");
    }
}
