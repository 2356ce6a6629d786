//! What a new format without memory costs: one file that reads it, and one line of a table. Here both stand in a test: a toy format of
//! text lines goes through command, JSON, text and pane. What of it cannot be, says why.
//!
//!     TOYHEAP 1
//!     type 1000 shop.Order
//!     object 7000 1000 24
//!     refer 7000 7018 lines
//!     root global 4000 - 7000

mod graph;
mod panes;
mod types;

use std::io::Write as _;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dumpscope::capture::{FORMATS, Format, HeapDump, Opened};
use dumpscope::commands::{self, Outcome, Shell};
use dumpscope::error::Error;
use dumpscope::heap::{HeapObject, HeapSource, HeapType, Naming, ObjectId, Objects, References, Root, RootKind, Visit};
use dumpscope::job::{Job, Meter};
use dumpscope::model::{Addr, Problem, Subject, Tid};
use dumpscope::report::text::Style;
use dumpscope::runtimes::RUNTIMES;
use dumpscope::session::{Session, Source};
use dumpscope::target::Search;
use serde_json::{Value, json};
use symbols::FileBytes;

const MAGIC: &[u8] = b"TOYHEAP 1\n";

/// The line of the table.
const TOY: Format = Format { name: "toy heap", probe: |bytes| bytes.starts_with(MAGIC), open };

/// Three orders of 24 bytes, two arrays of 100 and 60, and a type without objects. A variable and a stack hold the
/// first order, and through it the last; the one in the middle is held by nothing.
const DUMP: &str = "TOYHEAP 1\n\
                    type 1000 shop.Order\ntype 2000 byte[]\ntype 3000 shop.Never\n\
                    object 7000 1000 24\nobject 7018 2000 100\nobject 7080 1000 24\nobject 7098 2000 60\nobject 70d8 1000 24\n\
                    refer 7000 7018 lines\nrefer 7000 70d8 next\nrefer 7080 7098 lines\nrefer 70d8 7098 lines\n\
                    root global 4000 - 7000\nroot stack 8000 7 7000\n";

#[derive(Debug, Default)]
struct Toy {
    types: Vec<HeapType>,
    objects: Vec<HeapObject>,
    /// Lines that say that something is damaged, and whether they were come by.
    damaged: Vec<(&'static str, String)>,
    read: AtomicBool,
    references: Vec<(Addr, Addr, String)>,
    roots: Vec<(Root, Addr)>,
}

fn open(bytes: FileBytes, path: &Path, _: &Job) -> Result<Opened, Error> {
    let refuse = |line: usize| Error::Open { path: path.to_owned(), reason: format!("line {line}: not understood") };
    let text = std::str::from_utf8(&bytes).map_err(|_| refuse(1))?;
    let mut toy = Toy::default();
    for (number, line) in text.lines().enumerate().skip(1) {
        let hex = |text: &str| u64::from_str_radix(text, 16).map(Addr).map_err(|_| refuse(number + 1));
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["type", id, name] => {
                toy.types.push(HeapType { id: hex(id)?, name: name.to_owned(), naming: Naming::Recorded })
            }
            ["damaged", what] => toy.damaged.push(("heap-damaged", what.to_owned())),
            ["overcounted", what] => toy.damaged.push(("heap-overcounted", what.to_owned())),
            ["object", address, id, bytes] => {
                let id = hex(id)?;
                let of_type = toy.types.iter().position(|of_type| of_type.id == id).ok_or(refuse(number + 1))?;
                let bytes = bytes.parse().map_err(|_| refuse(number + 1))?;
                toy.objects.push(HeapObject { address: hex(address)?, of_type, bytes });
            }
            ["refer", from, to, field] => toy.references.push((hex(from)?, hex(to)?, field.to_owned())),
            ["root", kind, at, tid, to] => {
                let kinds = [RootKind::Global, RootKind::Stack];
                let kind = kinds.into_iter().find(|of| of.word() == kind).ok_or(refuse(number + 1))?;
                let root = Root { kind, at: Some(hex(at)?), tid: tid.parse().ok().map(Tid) };
                toy.roots.push((root, hex(to)?));
            }
            _ => return Err(refuse(number + 1)),
        }
    }
    Ok(Opened::Heap(HeapDump {
        path: path.to_owned(),
        format: "toy heap 1",
        file_size: bytes.len() as u64,
        problems: Vec::new(),
        source: Arc::new(toy),
    }))
}

impl HeapSource for Toy {
    fn name(&self) -> &str {
        "Toy"
    }

    fn types(&self) -> &[HeapType] {
        &self.types
    }

    fn parts(&self) -> usize {
        2
    }

    fn objects(&self, part: usize, meter: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<(), Error> {
        self.read.store(true, Ordering::Relaxed);
        let (first, second) = self.objects.split_at(self.objects.len() / 2);
        [first, second][part].iter().try_for_each(|object| {
            meter.add(1)?;
            visit(*object)
        })
    }

    fn problems(&self) -> Vec<Problem> {
        let damaged = self.damaged.iter().filter(|_| self.read.load(Ordering::Relaxed));
        damaged.map(|(code, what)| Problem::new(code, Subject::Capture, what.as_str())).collect()
    }

    fn references(&self) -> Option<&dyn References> {
        (!self.roots.is_empty()).then_some(self)
    }
}

impl References for Toy {
    fn of_objects(
        &self,
        range: Range<ObjectId>,
        objects: &Objects,
        meter: &mut Meter<'_>,
        visit: &mut dyn FnMut(ObjectId, ObjectId) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.references.iter().try_for_each(|(from, to, _)| {
            meter.add(1)?;
            match (objects.at(*from), objects.at(*to)) {
                (Some(from), Some(to)) if range.contains(&from) => visit(from, to),
                _ => Ok(()),
            }
        })
    }

    fn roots(
        &self,
        objects: &Objects,
        _: &Job,
        visit: &mut dyn FnMut(Root, ObjectId) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.roots.iter().try_for_each(|(root, to)| objects.at(*to).map_or(Ok(()), |to| visit(*root, to)))
    }

    fn field(&self, from: ObjectId, to: ObjectId, objects: &Objects) -> Option<String> {
        let (from, to) = (objects.address(from)?, objects.address(to)?);
        let held = self.references.iter().find(|(holder, held, _)| (*holder, *held) == (from, to));
        held.map(|(.., field)| field.clone())
    }
}

fn session(bytes: Vec<u8>) -> Result<Session, Error> {
    let formats: Vec<Format> = FORMATS.iter().chain([&TOY]).map(|f| Format { ..*f }).collect();
    let source = Source::Bytes("toy.heap".into(), FileBytes::from_vec(bytes));
    Session::open_with(&formats, RUNTIMES, source, &Search::default(), &Job::default())
}

fn shell() -> Shell {
    Shell::new(Arc::new(session(DUMP.into()).expect("the toy opens")))
}

/// What a command prints, and whether it had an answer.
fn printed(line: &str, format: commands::Format) -> (bool, String) {
    printed_of(DUMP, line, format)
}

/// The same of another dump.
fn printed_of(dump: &str, line: &str, format: commands::Format) -> (bool, String) {
    let mut shell = Shell::new(Arc::new(session(dump.into()).expect("the toy opens")));
    let result = shell.run(line, &Job::default());
    let mut out = Vec::new();
    shell.print(line, &result, format, &mut out, &Job::default()).expect("written");
    (result.is_ok(), String::from_utf8(out).expect("UTF-8"))
}

fn data(line: &str) -> Value {
    data_of(DUMP, line)
}

fn data_of(dump: &str, line: &str) -> Value {
    let (answered, out) = printed_of(dump, line, commands::Format::Json);
    assert!(answered, "{line}: {out}");
    serde_json::from_str::<Value>(&out).expect("one line of JSON")["data"].clone()
}

fn text(line: &str) -> String {
    text_of(DUMP, line)
}

fn text_of(dump: &str, line: &str) -> String {
    let (answered, out) = printed_of(dump, line, commands::Format::Text(Style::default()));
    assert!(answered, "{line}: {out}");
    out
}

#[test]
fn what_needs_a_process_says_why_it_cannot_be() {
    for line in
        ["threads", "stack --all", "locks", "modules", "registers", "readmemory 7000", "heap -regions", "pe", "pstacks"]
    {
        let Err(error) = shell().run(line, &Job::default()) else { panic!("{line} has an answer") };
        assert!(matches!(error, Error::Failed(_)), "{line}: {error:?}");
        assert!(error.to_string().contains("a heap dump has no threads, modules or memory"), "{line}: {error}");
    }
    let (answered, out) = printed("threads", commands::Format::Json);
    let line: Value = serde_json::from_str(&out).expect("one line of JSON");
    assert!(!answered && line["error"]["code"] == "failed" && line.get("data").is_none(), "{out}");
    let Err(error) = shell().run("setthread 0", &Job::default()) else { panic!("a thread is selected") };
    assert!(error.to_string().contains("a heap dump has no threads"), "{error}");
}

#[test]
fn what_is_damaged_is_told_once_by_every_command() {
    let session = Arc::new(session(format!("{DUMP}damaged block9\n").into()).expect("it opens"));
    assert_eq!(session.problems(), [], "nothing was read so far");
    for line in ["dumpheap", "dumpheap -stat", "summary", "help"] {
        let mut shell = Shell::new(Arc::clone(&session));
        let result = shell.run(line, &Job::default());
        let mut out = Vec::new();
        shell.print(line, &result, commands::Format::Json, &mut out, &Job::default()).expect("written");
        let document: Value = serde_json::from_slice(&out).expect("one line of JSON");
        let warnings = document["warnings"].as_array().expect("warnings");
        let told: Vec<&Value> = warnings.iter().map(|warning| &warning["message"]).collect();
        assert_eq!(told, ["block9"], "{line}");
    }
    let mut stage = panes::stage(&session);
    for keys in ["2", "<Enter>"] {
        let heap = stage.press(keys).text();
        assert_eq!(heap.matches("block9").count(), 1, "{heap}");
    }
}

/// A heap of which a part could not be read, and one in which something counts that may be free.
#[test]
fn totals_of_a_heap_that_was_not_read_whole_are_bounds() {
    let [cut, more] = ["damaged", "overcounted"].map(|how| format!("{DUMP}{how} block9\n"));
    let both = format!("{cut}overcounted block8\n");
    for (dump, word) in [(&cut, "at least"), (&more, "at most"), (&both, "about")] {
        for line in ["dumpheap -stat", "dumpheap", "dumpheap -retained"] {
            assert_eq!(data_of(dump, line)["total"], json!({ "count": 5, "bytes": 232, "complete": false }), "{line}");
            assert!(text_of(dump, line).contains(&format!("in all: {word} 5 objects, 232 B")), "{line}");
        }
        assert_eq!(data_of(dump, "summary")["heap"]["total"]["complete"], false);
        let summary = text_of(dump, "summary");
        assert!(summary.contains(&format!("Toy: {word} 5 objects of 2 types")), "{summary}");
    }
    // What seems to be held by nothing may be held by what was not read.
    assert!(text_of(&cut, "dumpheap -live").contains("at least 4 objects"));
    assert!(text_of(&cut, "dumpheap -dead").contains("about 1 object,"));
    assert!(text_of(&more, "dumpheap -dead").contains("at most 1 object,"));
    assert_eq!(data_of(&cut, "objsize 7080")["reachable"]["complete"], false);
    assert!(text_of(&cut, "objsize 7080").contains("at least 2 objects, 84 B"));
}

#[test]
fn that_nothing_holds_an_object_is_sure_where_the_heap_was_read_whole_alone() {
    let cut = format!("{DUMP}damaged block9\n");
    assert_eq!(data_of(&cut, "gcroot 7080"), json!({ "paths": [], "complete": false }));
    let shown = text_of(&cut, "gcroot 7080");
    assert!(shown.contains("Nothing that could be read holds it") && !shown.contains("Nothing holds it"), "{shown}");
    assert!(text("referrers 7080").contains("Nothing refers to it."));
    assert_eq!(data_of(&cut, "referrers 7080")["total"]["complete"], false);
    let shown = text_of(&cut, "referrers 7080");
    assert!(shown.contains("Nothing that could be read refers to it") && !shown.contains("Nothing refers"), "{shown}");
    assert!(text_of(&cut, "referrers 7000").contains("No object that could be read refers to it"));
}

#[test]
fn suspects_say_what_was_not_looked_at() {
    let unseen = |dump: &str| data_of(dump, "suspects")["not_looked_at"].to_string();
    // 232 bytes: too few for an object to be suspected.
    assert!(unseen(DUMP).contains("64 KiB") && unseen(DUMP).contains("free space was not looked at"));
    assert!(!unseen(DUMP).contains("leaks"), "they were looked for");
    let silent = "TOYHEAP 1\ntype 1000 A\nobject 7000 1000 200000\n";
    assert!(unseen(silent).contains("neither leaks") && !unseen(silent).contains("64 KiB"));
    let shown = text_of(silent, "suspects");
    assert!(shown.contains("Nothing stands out in what was looked at.\n"), "{shown}");
    assert!(shown.contains("not looked at: what its objects refer to cannot be told"), "{shown}");
    assert!(!shown.contains("no object, type, leak"), "{shown}");
}

#[test]
fn it_is_found_inside_gzip_too() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(DUMP.as_bytes()).expect("written");
    let session = session(encoder.finish().expect("written")).expect("it opens");
    assert_eq!(session.heap_dump().map(|dump| dump.file_size), Some(DUMP.len() as u64));
}

#[test]
fn the_product_does_not_know_it_and_names_what_it_knows() {
    let source = Source::Bytes("toy.heap".into(), FileBytes::from_vec(DUMP.into()));
    let refused = Session::open(source, &Search::default(), &Job::default()).err().expect("no format of the product");
    assert!(matches!(&refused, Error::Open { reason, .. } if reason.contains("ELF core")), "{refused}");
}

#[test]
fn a_damaged_one_is_refused_with_its_line() {
    let refused = session(b"TOYHEAP 1\ntype 1000 A\nobject 7000 9999 24\n".to_vec()).err().expect("refused");
    assert!(refused.to_string().contains("toy.heap: line 3"), "{refused}");
    assert!(matches!(shell().run("exit", &Job::default()), Ok(Outcome::Exit)));
}
