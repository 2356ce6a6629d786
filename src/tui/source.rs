//! Lines of a source file, where this machine has it.
//!
//! It is looked for where the user said (`--source`), under the sysroot, then where the compiler had it. Paths come from the dump:
//! only files of a disk are read, and not more of them than [`MAX_SOURCE`].

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FsWord, OFlags, fstatfs};

use crate::error::Error;
use crate::job::Job;
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::target::Search;

/// Largest source file that is read, in bytes.
const MAX_SOURCE: u64 = 16 << 20;
/// Bytes that are read at a time.
const PIECE: usize = 64 << 10;
/// File systems whose files the kernel makes while they are read: some wait for what is still to happen, others change
/// what the kernel does.
/// Source: Linux uapi/linux/magic.h: PROC_SUPER_MAGIC, SYSFS_MAGIC, TRACEFS_MAGIC, DEBUGFS_MAGIC.
const MADE: [FsWord; 4] = [0x9fa0, 0x6265_6572, 0x7472_6163, 0x6462_6720];
/// Columns from one tab stop to the next.
const TAB: usize = 4;
/// Places that are named where a file is at none of them.
const NAMED: usize = 6;
/// Heading of the column that holds lines of code: they are cut at their end, and scroll sideways.
pub(super) const CODE: &str = "Code";

/// The lines around one of a file, numbered, that one marked, under the file's name.
pub(super) fn page(file: &str, line: u32, around: u32, search: &Search, job: &Job) -> Result<Section, Error> {
    let path = located(file, search).map_err(|tried| Error::Failed(missing(file, &tried)))?;
    Ok(Section { bodies: excerpt(file, &path, line, around, job)?, problems: Vec::new() })
}

/// The same as a part of a page: where the file is not at hand, where it was looked for and how to name a place.
pub(super) fn part(file: &str, line: u32, around: u32, search: &Search, job: &Job) -> Vec<Body> {
    let excerpt = match located(file, search) {
        Ok(path) => excerpt(file, &path, line, around, job).map_err(|error| error.to_string()),
        Err(tried) => Err(missing(file, &tried)),
    };
    excerpt.unwrap_or_else(|why| vec![Body::Lines(vec![Row::new(vec![Cell::text(why).tone(Tone::Dim)])])])
}

fn excerpt(file: &str, path: &Path, line: u32, around: u32, job: &Job) -> Result<Vec<Body>, Error> {
    let bytes = contents(path, job)?;
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

fn contents(path: &Path, job: &Job) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Io { path: path.to_owned(), source };
    // What was a file when it was looked for may be a pipe by now.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path).map_err(failed)?;
    let system = fstatfs(&file).map_err(|why| failed(why.into()))?;
    let metadata = file.metadata().map_err(failed)?;
    if MADE.contains(&system.f_type) || !metadata.is_file() || metadata.len() == 0 {
        return Err(Error::Failed(format!("{} holds nothing that was compiled", path.display())));
    }
    let mut bytes = Vec::new();
    let mut file: std::io::Take<File> = file.take(MAX_SOURCE);
    loop {
        job.check()?;
        if (&mut file).take(PIECE as u64).read_to_end(&mut bytes).map_err(failed)? == 0 {
            return Ok(bytes);
        }
    }
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
        let section = page("/src/a.c", 2, 1, &search, &Job::default()).expect("the file is there");
        assert_eq!(numbers(&section.bodies), [1, 2, 3]);
        let Some(Body::Lines(lines)) = section.bodies.first() else { panic!("the name comes first") };
        let name = dir.path().join("src/a.c").display().to_string();
        assert_eq!(lines[0].cells[0].value, Value::Path(name.into()));
        assert!(page("/src/a.c", 90, 1, &search, &Job::default()).is_err(), "it has no such line");
        assert!(
            page("src/a.c", 2, 1, &search, &Job::default()).is_err(),
            "only a path from the root has a place of its own"
        );
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
            assert_eq!(numbers(&part(file, 2, 0, &place, &Job::default())), [2], "{file}");
        }
    }

    #[test]
    fn a_file_that_is_nowhere_says_where_it_was_looked_for_and_how_to_name_a_place() {
        let search = Search { sources: vec!["/nowhere".parse().expect("a place")], ..Search::default() };
        let said = page("/build/gone.c", 2, 0, &search, &Job::default()).expect_err("there is none").to_string();
        for words in ["/nowhere/build/gone.c", "/nowhere/gone.c", " /build/gone.c", "--source DIR", "FROM=TO"] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }

    #[test]
    fn what_is_no_regular_file_is_not_read() {
        let said =
            page("/dev/zero", 1, 0, &Search::default(), &Job::default()).expect_err("a device is refused").to_string();
        assert!(said.contains("not on this machine"), "{said}");
    }

    #[test]
    fn files_that_the_kernel_makes_are_not_read() {
        // Where it may be opened, reading /proc/kmsg waits for the kernel's next message; files of sysfs have a size.
        for file in ["/proc/kmsg", "/proc/self/status", "/sys/kernel/uevent_seqnum", "/sys/kernel/mm/ksm/run"] {
            let said = page(file, 1, 0, &Search::default(), &Job::default()).expect_err(file).to_string();
            assert!(
                ["nothing that was compiled", "not on this", "denied"].iter().any(|word| said.contains(word)),
                "{said}"
            );
        }
    }

    #[test]
    fn reading_ends_when_it_is_cancelled() {
        let dir = folder();
        let search = Search { sysroot: Some(dir.path().to_owned()), ..Search::default() };
        let job = Job::default();
        job.cancel();
        assert!(matches!(page("/src/a.c", 2, 1, &search, &job), Err(Error::Cancelled)));
    }

    #[test]
    fn tabs_become_blanks_up_to_the_next_stop() {
        assert_eq!(untabbed("\ta\tb"), "    a   b");
    }
}
