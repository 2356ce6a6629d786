//! What a new format without memory costs: one file that reads it, and one line of a table. Here both stand in a test: a toy format of
//! text lines goes through command, JSON, text and pane. What of it cannot be, says why.
//!
//!     TOYHEAP 1
//!     type 1000 shop.Order
//!     object 7000 1000 24

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dumpscope::capture::{FORMATS, Format, HeapDump, Opened};
use dumpscope::commands::{self, Outcome, Shell};
use dumpscope::error::Error;
use dumpscope::heap::{HeapObject, HeapSource, HeapType, Naming, Visit};
use dumpscope::job::{Job, Meter};
use dumpscope::model::{Addr, Problem, Subject};
use dumpscope::report::text::Style;
use dumpscope::runtimes::RUNTIMES;
use dumpscope::session::{Session, Source};
use dumpscope::target::Search;
use dumpscope::tui::event::Failure;
use dumpscope::tui::look::{Background, Depth, Look};
use dumpscope::tui::stage::Stage;
use dumpscope::tui::worker;
use serde_json::{Value, json};
use symbols::FileBytes;

const MAGIC: &[u8] = b"TOYHEAP 1\n";

/// The line of the table.
const TOY: Format = Format { name: "toy heap", probe: |bytes| bytes.starts_with(MAGIC), open };

/// Three orders of 24 bytes, two arrays of 100 and 60, and a type without objects.
const DUMP: &str = "TOYHEAP 1\n\
                    type 1000 shop.Order\ntype 2000 byte[]\ntype 3000 shop.Never\n\
                    object 7000 1000 24\nobject 7018 2000 100\nobject 7080 1000 24\nobject 7098 2000 60\nobject 70d8 1000 24\n";

#[derive(Debug, Default)]
struct Toy {
    types: Vec<HeapType>,
    objects: Vec<HeapObject>,
    /// Lines that say that something is damaged, and whether they were come by.
    damaged: Vec<String>,
    read: AtomicBool,
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
            ["damaged", what] => toy.damaged.push(what.to_owned()),
            ["object", address, id, bytes] => {
                let id = hex(id)?;
                let of_type = toy.types.iter().position(|of_type| of_type.id == id).ok_or(refuse(number + 1))?;
                let bytes = bytes.parse().map_err(|_| refuse(number + 1))?;
                toy.objects.push(HeapObject { address: hex(address)?, of_type, bytes });
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
        damaged.map(|what| Problem::new("heap-damaged", Subject::Capture, what.as_str())).collect()
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
    let mut shell = shell();
    let result = shell.run(line, &Job::default());
    let mut out = Vec::new();
    shell.print(line, &result, format, &mut out, &Job::default()).expect("written");
    (result.is_ok(), String::from_utf8(out).expect("UTF-8"))
}

fn data(line: &str) -> Value {
    let (answered, out) = printed(line, commands::Format::Json);
    assert!(answered, "{line}: {out}");
    serde_json::from_str::<Value>(&out).expect("one line of JSON")["data"].clone()
}

fn text(line: &str) -> String {
    let (answered, out) = printed(line, commands::Format::Text(Style::default()));
    assert!(answered, "{line}: {out}");
    out
}

#[test]
fn the_histogram_is_what_the_file_says_in_json() {
    let types = json!([
        { "type": "byte[]", "id": "0x2000", "count": 2, "bytes": 160 },
        { "type": "shop.Order", "id": "0x1000", "count": 3, "bytes": 72 },
    ]);
    let expected = json!({ "types": types, "total": { "count": 5, "bytes": 232 }, "free": null, "heap": "Toy" });
    assert_eq!(data("dumpheap -stat"), expected);
    assert_eq!(data("heap -stat"), expected, "the alias");
    let orders = data("dumpheap -stat -type Order -min 24");
    assert_eq!(orders["total"], json!({ "count": 3, "bytes": 72 }));
    assert_eq!(data("dumpheap -stat -max 24")["total"]["count"], 3);
}

#[test]
fn objects_are_listed_in_their_order() {
    let listed = data("dumpheap -mt 2000");
    let array =
        |address: &str, bytes: u64| json!({ "address": address, "type": "byte[]", "id": "0x2000", "bytes": bytes });
    assert_eq!(listed["objects"], json!([array("0x7018", 100), array("0x7098", 60)]));
    assert_eq!(listed["total"], json!({ "count": 2, "bytes": 160 }));
    assert_eq!(data("dumpheap")["objects"].as_array().map(Vec::len), Some(5));
}

#[test]
fn text_has_the_largest_type_first_and_the_total_last() {
    let text = text("dumpheap -stat");
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["Objects", "Bytes", "Type", "Id"], "{text}");
    assert_eq!(lines[1], ["2", "160", "byte[]", "0x2000"], "{text}");
    assert_eq!(lines[2], ["3", "72", "shop.Order", "0x1000"], "{text}");
    assert!(text.contains("in all: 5 objects, 232 B (Toy)"), "{text}");
}

#[test]
fn the_summary_says_what_it_is_and_which_types_are_the_largest() {
    let told = data("summary");
    assert_eq!(told["dump"], json!({ "format": "toy heap 1", "bytes": DUMP.len(), "complete": true }));
    assert_eq!((&told["process"], &told["types"]), (&Value::Null, &json!(2)));
    assert_eq!(told["heap"]["types"][0]["type"], "byte[]");
    let text = text("summary");
    for part in ["toy heap 1", "Toy: 5 objects of 2 types, 232 B", "byte[]", "shop.Order"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("shop.Never"), "{text}");
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
    let mut stage = stage(&session);
    for keys in ["2", "<Enter>"] {
        let heap = stage.press(keys).text();
        assert_eq!(heap.matches("block9").count(), 1, "{heap}");
    }
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

fn stage(session: &Arc<Session>) -> Stage<'_> {
    let look = Look { depth: Depth::Indexed, ascii: false, background: Background::Dark };
    let answer = move |question: &_, job: &Job| {
        let slot = Default::default();
        worker::answer(Arc::clone(session), Clone::clone(question), job, &slot)
            .map_err(|error| Failure::Error(error.to_string()))
    };
    Stage::new(look, (100, 24), worker::describe(session), Box::new(answer))
}

#[test]
fn panes_are_those_that_can_be() {
    let session = Arc::new(session(DUMP.into()).expect("the toy opens"));
    let mut stage = stage(&session);
    let first = stage.text();
    assert!(first.contains("toy.heap") && first.contains("toy heap 1"), "{first}");
    assert!(first.contains("1 Summary") && first.contains("2 Heap"), "{first}");
    for absent in ["Threads", "Stacks", "Locks", "Modules", "Memory"] {
        assert!(!first.contains(absent), "{absent}: {first}");
    }
    let heap = stage.press("2").text();
    assert!(heap.contains("byte[]") && heap.contains("shop.Order"), "{heap}");
    let arrays = stage.press("<Enter>").text();
    assert!(arrays.contains("0x7018") && arrays.contains("0x7098") && !arrays.contains("0x7000"), "{arrays}");
}

#[test]
fn a_command_that_cannot_be_says_why_on_the_screen() {
    let session = Arc::new(session(DUMP.into()).expect("the toy opens"));
    let mut stage = stage(&session);
    let said = stage.press(":threads<Enter>").text();
    assert!(said.contains("a heap dump has no threads"), "{said}");
}

#[test]
fn a_damaged_one_is_refused_with_its_line() {
    let refused = session(b"TOYHEAP 1\ntype 1000 A\nobject 7000 9999 24\n".to_vec()).err().expect("refused");
    assert!(refused.to_string().contains("toy.heap: line 3"), "{refused}");
    assert!(matches!(shell().run("exit", &Job::default()), Ok(Outcome::Exit)));
}
