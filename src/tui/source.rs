//! Lines of a source file, where this machine has it.
//!
//! It is looked for where the user said (`--source`), under the sysroot, then where the compiler had it. Paths come from the dump:
//! only regular files are read, and not more of them than [`MAX_SOURCE`].

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use crate::error::Error;
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::target::Search;

/// Largest source file that is read, in bytes.
const MAX_SOURCE: u64 = 16 << 20;
/// Columns from one tab stop to the next.
const TAB: usize = 4;
/// Places that are named where a file is at none of them.
const NAMED: usize = 6;
/// Heading of the column that holds lines of code: they are cut at their end, and scroll sideways.
pub(super) const CODE: &str = "Code";

/// The lines around one of a file, numbered, that one marked, under the file's name.
pub(super) fn page(file: &str, line: u32, around: u32, search: &Search) -> Result<Section, Error> {
    let path = located(file, search).map_err(|tried| Error::Failed(missing(file, &tried)))?;
    Ok(Section { bodies: excerpt(file, &path, line, around)?, problems: Vec::new() })
}

/// The same as a part of a page: where the file is not at hand, where it was looked for and how to name a place.
pub(super) fn part(file: &str, line: u32, around: u32, search: &Search) -> Vec<Body> {
    let excerpt = match located(file, search) {
        Ok(path) => excerpt(file, &path, line, around).map_err(|error| error.to_string()),
        Err(tried) => Err(missing(file, &tried)),
    };
    excerpt.unwrap_or_else(|why| vec![Body::Lines(vec![Row::new(vec![Cell::text(why).tone(Tone::Dim)])])])
}

fn excerpt(file: &str, path: &Path, line: u32, around: u32) -> Result<Vec<Body>, Error> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_SOURCE).read_to_end(&mut bytes))
        .map_err(|source| Error::Io { path: path.to_owned(), source })?;
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
    let columns = vec![Column::right("Line"), Column::wide(CODE, 1).rank(1)];
    let name = Row::new(vec![Cell::new(Value::Path(path.display().to_string().into())).tone(Tone::Strong)]);
    Ok(vec![Body::Lines(vec![name]), Body::Table(Table::new(columns, rows))])
}

/// The file, else the places where it was looked for. Of a path that is not absolute the compiler's folder is not known: it
/// is looked for in the places of the user alone.
fn located(file: &str, search: &Search) -> Result<PathBuf, Vec<PathBuf>> {
    let named = plain(Path::new(file));
    let mut places: Vec<PathBuf> = search.sources.iter().flat_map(|place| place.candidates(&named)).collect();
    if let Ok(relative) = named.strip_prefix("/") {
        places.extend(search.sysroot.as_ref().map(|root| root.join(relative)));
        places.push(named.clone());
    }
    match places.iter().find(|place| place.is_file()) {
        Some(found) => Ok(found.clone()),
        None => Err(places),
    }
}

/// A path without `.` and `..`: one that climbs leads out of the place that it is joined to.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

fn missing(file: &str, tried: &[PathBuf]) -> String {
    let names: Vec<String> = tried.iter().take(NAMED).map(|place| place.display().to_string()).collect();
    let more = tried.len().saturating_sub(names.len());
    let looked = match (names.as_slice(), more) {
        ([], _) => "the symbols name no absolute path".to_owned(),
        (names, 0) => format!("looked for {}", names.join(", ")),
        (names, more) => format!("looked for {} and {more} more", names.join(", ")),
    };
    format!("{file} is not on this machine: {looked}; --source DIR or --source FROM=TO names a place")
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

    /// A folder with `src/a.c` of four lines.
    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(dir.path().join("src")).expect("a folder");
        std::fs::write(dir.path().join("src/a.c"), "one\ntwo\nthree\nfour\n").expect("a file");
        dir
    }

    fn numbers(bodies: &[Body]) -> Vec<u64> {
        let Some(Body::Table(table)) = bodies.get(1) else { return Vec::new() };
        let number = |row: std::borrow::Cow<'_, Row>| match row.cells.first()?.value {
            Value::Count(number) => Some(number),
            _ => None,
        };
        table.rows.iter().filter_map(number).collect()
    }

    #[test]
    fn the_lines_around_one_are_shown_with_their_numbers_under_the_files_name() {
        let dir = folder();
        let search = Search { sysroot: Some(dir.path().to_owned()), ..Search::default() };
        let section = page("/src/a.c", 2, 1, &search).expect("the file is there");
        assert_eq!(numbers(&section.bodies), [1, 2, 3]);
        let Some(Body::Lines(lines)) = section.bodies.first() else { panic!("the name comes first") };
        let name = dir.path().join("src/a.c").display().to_string();
        assert_eq!(lines[0].cells[0].value, Value::Path(name.into()));
        assert!(page("/src/a.c", 90, 1, &search).is_err(), "it has no such line");
        assert!(page("src/a.c", 2, 1, &search).is_err(), "only a path from the root has a place of its own");
    }

    #[test]
    fn a_place_of_the_user_is_looked_in_first() {
        let dir = folder();
        let place = |text: String| Search { sources: vec![text.parse().expect("a place")], ..Search::default() };
        for (place, file) in [
            (place(dir.path().display().to_string()), "/build/7/src/a.c"),
            (place(format!("/build/7={}", dir.path().display())), "/build/7/x/../src/./a.c"),
            (place(dir.path().display().to_string()), "src/a.c"),
        ] {
            assert_eq!(numbers(&part(file, 2, 0, &place)), [2], "{file}");
        }
    }

    #[test]
    fn a_file_that_is_nowhere_says_where_it_was_looked_for_and_how_to_name_a_place() {
        let search = Search { sources: vec!["/nowhere".parse().expect("a place")], ..Search::default() };
        let said = page("/build/gone.c", 2, 0, &search).expect_err("there is none").to_string();
        for words in ["/nowhere/build/gone.c", "/nowhere/gone.c", " /build/gone.c", "--source DIR", "FROM=TO"] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }

    #[test]
    fn what_is_no_regular_file_is_not_read() {
        let said = page("/dev/zero", 1, 0, &Search::default()).expect_err("a device is refused").to_string();
        assert!(said.contains("not on this machine"), "{said}");
    }

    #[test]
    fn tabs_become_blanks_up_to_the_next_stop() {
        assert_eq!(untabbed("\ta\tb"), "    a   b");
    }
}
