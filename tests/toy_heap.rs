//! What a new format without memory costs: one file that reads it, and one line of a table. Here both stand in a test: a toy format of
//! text lines goes through command, JSON, text and pane. What of it cannot be, says why.
//!
//!     TOYHEAP 1
//!     type 1000 shop.Order
//!     object 7000 1000 24
//!     refer 7000 7018 lines
//!     root global 4000 - 7000

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
use dumpscope::tui::event::Failure;
use dumpscope::tui::look::{Background, Depth, Look};
use dumpscope::tui::stage::Stage;
use dumpscope::tui::worker;
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
fn the_histogram_is_what_the_file_says_in_json() {
    let types = json!([
        { "type": "byte[]", "id": "0x2000", "count": 2, "bytes": 160, "retained": null, "naming": "recorded", "referrer": null },
        { "type": "shop.Order", "id": "0x1000", "count": 3, "bytes": 72, "retained": null, "naming": "recorded", "referrer": null },
    ]);
    let expected =
        json!({ "types": types, "total": { "count": 5, "bytes": 232, "complete": true }, "free": null, "heap": "Toy" });
    assert_eq!(data("dumpheap -stat"), expected);
    assert_eq!(data("heap -stat"), expected, "the alias");
    let orders = data("dumpheap -stat -type Order -min 24");
    assert_eq!(orders["total"], json!({ "count": 3, "bytes": 72, "complete": true }));
    assert_eq!(data("dumpheap -stat -max 24")["total"]["count"], 3);
    assert_eq!(data("dumpheap -stat -min 1k")["total"]["count"], 0);
}

#[test]
fn what_is_reachable_and_what_is_not_are_told_apart() {
    let of_type = |name: &str, id: &str, count: u64, bytes: u64| {
        json!({
            "type": name, "id": id, "count": count, "bytes": bytes, "retained": null, "naming": "recorded", "referrer": null
        })
    };
    let live = data("dumpheap -stat -live");
    assert_eq!(live["types"], json!([of_type("byte[]", "0x2000", 2, 160), of_type("shop.Order", "0x1000", 2, 48)]));
    assert_eq!(live["total"], json!({ "count": 4, "bytes": 208, "complete": true }));
    let dead = data("dumpheap -dead");
    let order = json!({ "address": "0x7080", "type": "shop.Order", "id": "0x1000", "bytes": 24 });
    assert_eq!(dead, json!({ "objects": [order], "total": { "count": 1, "bytes": 24, "complete": true } }));
    assert_eq!(data("dumpheap -live -type byte")["total"]["count"], 2);
    let Err(error) = shell().run("dumpheap -live -dead", &Job::default()) else { panic!("both at once") };
    assert!(matches!(error, Error::Usage(_)), "{error:?}");
}

#[test]
fn what_types_and_objects_keep_alive_is_told_where_it_is_asked_for() {
    // The last order is inside the first, and counted once.
    let told = data("dumpheap -stat -retained");
    let retained = |at: usize| (told["types"][at]["type"].as_str(), told["types"][at]["retained"].as_u64());
    assert_eq!((retained(0), retained(1)), ((Some("shop.Order"), Some(208 + 24)), (Some("byte[]"), Some(160))));
    let listed = data("dumpheap -retained -min 24 -max 24");
    let retained = |at: usize| (listed["objects"][at]["address"].as_str(), listed["objects"][at]["retained"].as_u64());
    assert_eq!(
        [retained(0), retained(1), retained(2)],
        [(Some("0x7000"), Some(208)), (Some("0x70d8"), Some(84)), (Some("0x7080"), Some(24))]
    );
    let text = text("dumpheap -stat -retained");
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["Objects", "Bytes", "Retained", "Type", "Id"], "{text}");
    assert_eq!(lines[1], ["3", "72", "232", "shop.Order", "0x1000"], "{text}");
}

#[test]
fn of_chosen_objects_only_these_keep_alive() {
    let told = data("dumpheap -stat -dead -retained");
    assert_eq!(told["types"], json!([of_type(("shop.Order", "0x1000"), (1, 24), Some(24))]));
    // The second array is held by two orders.
    let told = data("dumpheap -stat -retained -min 60 -max 60");
    assert_eq!(told["types"], json!([of_type(("byte[]", "0x2000"), (1, 60), Some(60))]));
}

/// A row of `-stat`: (type, id), (count, bytes), retained.
fn of_type((name, id): (&str, &str), (count, bytes): (u64, u64), retained: Option<u64>) -> Value {
    json!({
        "type": name, "id": id, "count": count, "bytes": bytes, "retained": retained, "naming": "recorded",
        "referrer": null,
    })
}

#[test]
fn types_of_a_namespace_are_told_together() {
    let dump = DUMP.replace("type 3000 shop.Never", "type 3000 shop.Line\nobject 7200 3000 40\nrefer 7000 7200 line");
    let run = |line: &str| {
        let mut shell = Shell::new(Arc::new(session(dump.clone().into()).expect("the toy opens")));
        let (result, mut out) = (shell.run(line, &Job::default()), Vec::new());
        shell.print(line, &result, commands::Format::Json, &mut out, &Job::default()).expect("written");
        serde_json::from_slice::<Value>(&out).expect("one line of JSON")["data"].clone()
    };
    let group = |name: &str, id: &str, types: u64, count: u64, bytes: u64, retained: Option<u64>| json!({ "namespace": name, "id": id, "types": types, "count": count, "bytes": bytes, "retained": retained });
    let total = json!({ "count": 6, "bytes": 272 });
    let told = run("dumpheap -stat -group");
    assert_eq!(
        told["namespaces"],
        json!([group("", "0x2000", 1, 2, 160, None), group("shop", "0x1000", 2, 4, 112, None)])
    );
    assert_eq!((&told["total"]["count"], &told["total"]["bytes"]), (&total["count"], &total["bytes"]));
    // The first order keeps the line, the last order and both arrays but for what the leaked one holds as well: that is all of it.
    let told = run("dumpheap -group -retained");
    assert_eq!(told["namespaces"][1], group("shop", "0x1000", 2, 4, 112, Some(208 + 40 + 24)));
    let types = run("dumpheap -stat -beside 3000")["types"].clone();
    let names: Vec<&str> = types.as_array().expect("types").iter().filter_map(|row| row["type"].as_str()).collect();
    assert_eq!(names, ["shop.Order", "shop.Line"]);
    assert_eq!(run("dumpheap -beside 3000 -type Line")["total"]["count"], 1);
    let Err(error) = shell().run("dumpheap -stat -beside 9999", &Job::default()) else {
        panic!("there is no such type")
    };
    assert!(error.to_string().contains("no type has the id 0x9999"), "{error}");
}

#[test]
fn what_is_known_by_now_is_told_without_being_computed() {
    let session = Arc::new(session(DUMP.into()).expect("the toy opens"));
    let run = |line: &str, format| {
        let mut shell = Shell::new(Arc::clone(&session));
        let (result, mut out) = (shell.run(line, &Job::default()), Vec::new());
        shell.print(line, &result, format, &mut out, &Job::default()).expect("written");
        String::from_utf8(out).expect("UTF-8")
    };
    let text = || run("dumpheap -stat -known", commands::Format::Text(Style::default()));
    let words = |text: &str| -> Vec<Vec<String>> {
        text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    };
    let before = words(&text());
    assert_eq!(before[0], ["Objects", "Bytes", "Share", "Retained", "Type"]);
    assert_eq!(before[1], ["2", "160", "68.9", "%", "…", "byte[]"], "160 of 232");
    assert!(run("dumpheap -stat -known", commands::Format::Json).contains("\"retained\":null"));
    let listed = || run("dumpheap -known", commands::Format::Text(Style::default()));
    assert_eq!(words(&listed())[1], ["0x7018", "100", "…", "byte[]"], "the largest first");
    run("dominators", commands::Format::Json);
    let after = words(&text());
    assert_eq!(after[1], ["2", "160", "68.9", "%", "160", "byte[]"]);
    assert_eq!(after[2], ["3", "72", "31.0", "%", "232", "shop.Order"], "in the order of bytes");
    assert_eq!(words(&listed())[1], ["0x7000", "24", "208", "shop.Order"], "what keeps the most alive first");
}

#[test]
fn a_heap_that_does_not_tell_says_so() {
    let Err(error) = shell().run("dumpheap -free", &Job::default()) else { panic!("the toy tells nothing of it") };
    assert_eq!(error.to_string(), "the heap (Toy) does not tell what is free");
    let silent = Arc::new(session(b"TOYHEAP 1\ntype 1000 A\nobject 7000 1000 24\n".to_vec()).expect("the toy opens"));
    let mut stage = stage(&silent);
    let heap = stage.press("2").text();
    let line = heap.lines().find(|line| line.starts_with('▸')).expect("the type is listed");
    assert_eq!(line.split_whitespace().collect::<Vec<_>>()[1..], ["1", "24", "█████", "100", "%", "?", "A"]);
}

#[test]
fn an_object_is_held_by_the_shortest_way_from_a_root() {
    let root = json!({ "kind": "global", "tid": null, "name": null, "at": "0x4000" });
    let step = |address: &str, name: &str, field: Option<&str>| json!({ "address": address, "type": name, "naming": "recorded", "field": field });
    let steps = json!([
        step("0x7000", "shop.Order", Some("next")),
        step("0x70d8", "shop.Order", Some("lines")),
        step("0x7098", "byte[]", None),
    ]);
    let told = data("gcroot 7098");
    assert_eq!(told, json!({ "paths": [{ "root": root, "objects": steps, "omitted": 0 }], "complete": true }));
    assert_eq!(data("gcroot 70a0"), told, "an address in it will do");
    let both = data("gcroot 7000 -all");
    let roots: Vec<&Value> = [0, 1].map(|at| &both["paths"][at]["root"]).into();
    assert_eq!(
        (&roots[0]["kind"], &roots[1]["kind"], &roots[1]["tid"]),
        (&json!("global"), &json!("stack"), &json!(7))
    );
    assert_eq!(data("gcroot 7000")["paths"].as_array().map(Vec::len), Some(1));
    let shown = text("gcroot 7098");
    for part in ["byte[] at 0x7098", "global at 0x4000", "next", "lines"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(data("gcroot 7080"), json!({ "paths": [], "complete": true }));
    assert!(text("gcroot 7080").contains("Nothing holds it"));
}

#[test]
fn one_object_leads_to_another() {
    let way = data("pathto 7000 7098");
    assert_eq!([&way["from"]["address"], &way["to"]["address"]], ["0x7000", "0x7098"]);
    let step = |address: &str, of_type: &str, field: Option<&str>| json!({ "address": address, "type": of_type, "naming": "recorded", "field": field });
    let steps = [
        step("0x7000", "shop.Order", Some("next")),
        step("0x70d8", "shop.Order", Some("lines")),
        step("0x7098", "byte[]", None),
    ];
    assert_eq!(way["way"], json!({ "objects": steps, "omitted": 0 }));
    assert_eq!(data("pathto 7098 7000")["way"], Value::Null);
    assert!(text("pathto 7098 7000").contains("No way leads from it to 0x7000"));
}

#[test]
fn a_heap_of_any_kind_is_verified() {
    let whole = json!({
        "heap": "Toy", "checked": { "count": 5, "bytes": 232, "complete": true }, "verdict": "intact", "findings": []
    });
    assert_eq!(data("verifyheap"), whole);
    let session = Arc::new(session(format!("{DUMP}damaged block9\n").into()).expect("it opens"));
    let mut shell = Shell::new(session);
    let Ok(Outcome::Answer(answer)) = shell.run("verifyheap", &Job::default()) else { panic!("an answer") };
    let mut written = Vec::new();
    answer.write_json(&mut written, &Job::default()).expect("written");
    let said: Value = serde_json::from_slice(&written).expect("JSON");
    let finding = json!({ "code": "heap-damaged", "address": null, "message": "block9" });
    assert_eq!((&said["verdict"], &said["findings"]), (&"damaged".into(), &json!([finding])));
}

#[test]
fn sizes_of_an_object_are_its_own_what_it_keeps_and_what_it_reaches() {
    let of_leaked = json!({
        "address": "0x7080", "type": "shop.Order", "naming": "recorded", "bytes": 24, "retained": 24, "reachable": { "count": 2, "bytes": 84, "complete": true },
    });
    assert_eq!(data("objsize 7080"), of_leaked, "the array is the other order's too");
    assert_eq!(data("objsize 7000")["retained"], 208);
    assert!(text("objsize 7000").contains("4 objects, 208 B"));
}

#[test]
fn what_keeps_the_most_alive_stands_first() {
    let told = data("dominators -n 2");
    let first = json!({
        "address": "0x7000", "type": "shop.Order", "naming": "recorded", "bytes": 24, "retained": 208, "percent": 89.6, "dominator": null,
    });
    let second = json!({
        "address": "0x7018", "type": "byte[]", "naming": "recorded", "bytes": 100, "retained": 100, "percent": 43.1, "dominator": "0x7000",
    });
    assert_eq!(told, json!({ "objects": [first, second], "of": null, "total": null }));
    let text = text("dominators");
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["Address", "Type", "Bytes", "Retained", "Share", "Dominator"], "{text}");
    assert_eq!((lines.len(), lines[1][..2].to_vec()), (6, vec!["0x7000", "shop.Order"]), "{text}");
}

#[test]
fn what_goes_with_an_object_is_told() {
    let told = data("dominators 7000");
    let row = |address: &str, name: &str, bytes: u64, retained: u64, percent: f64, dominator: Option<&str>| {
        json!({
            "address": address, "type": name, "naming": "recorded", "bytes": bytes, "retained": retained, "percent": percent,
            "dominator": dominator,
        })
    };
    // The last array is held by a leaked order, too; but that holds nothing that is reachable.
    let held = [
        row("0x7018", "byte[]", 100, 100, 43.1, Some("0x7000")),
        row("0x70d8", "shop.Order", 24, 84, 36.2, Some("0x7000")),
    ];
    assert_eq!(told["objects"], json!(held));
    assert_eq!(told["of"], row("0x7000", "shop.Order", 24, 208, 89.6, None));
    assert_eq!((&told["total"]["count"], &told["total"]["bytes"]), (&json!(2), &json!(124)));
    assert_eq!(data("dominators 7000 -n 1")["objects"], json!([held[0]]));
    let shown = text("dominators 7000 -n 1");
    assert!(shown.contains("keeps 208 B alive, itself among it; 2 objects directly"), "{shown}");
    assert!(shown.contains("1 are not shown"), "{shown}");
    assert!(text("dominators 7018").contains("keeps nothing alive but itself"));
    let Err(error) = shell().run("dominators 1", &Job::default()) else { panic!("there is no such object") };
    assert_eq!(error.to_string(), "no object is at 0x1; 'dumpheap' lists them");
}

#[test]
fn what_an_object_keeps_alive_is_told_once_that_is_known() {
    let mut shell = shell();
    let mut retained = |line: &str| {
        let (result, mut out) = (shell.run(line, &Job::default()), Vec::new());
        shell.print(line, &result, commands::Format::Json, &mut out, &Job::default()).expect("written");
        serde_json::from_slice::<Value>(&out).expect("one line of JSON")["data"]["retained"].clone()
    };
    assert_eq!(retained("dumpobj 7000 -known"), Value::Null);
    retained("dominators");
    assert_eq!((retained("dumpobj 7000"), retained("dumpobj 70d9")), (json!(208), json!(84)));
}

#[test]
fn references_are_listed_in_both_directions() {
    let row = |address: &str, name: &str, bytes: u64, field: &str| json!({ "address": address, "type": name, "naming": "recorded", "bytes": bytes, "field": field });
    let orders = json!([row("0x7080", "shop.Order", 24, "lines"), row("0x70d8", "shop.Order", 24, "lines")]);
    let referrers = json!({
        "address": "0x7098", "type": "byte[]", "naming": "recorded", "bytes": 60, "objects": orders, "total": { "count": 2, "bytes": 48, "complete": true }, "roots": [],
    });
    assert_eq!(data("referrers 7098"), referrers);
    let held = data("referrers 7000");
    assert_eq!((held["objects"].as_array().map(Vec::len), held["roots"].as_array().map(Vec::len)), (Some(0), Some(2)));
    let references = data("references 7000");
    assert_eq!(
        references["objects"],
        json!([row("0x7018", "byte[]", 100, "lines"), row("0x70d8", "shop.Order", 24, "next")])
    );
    let first = data("references 7000 -n 1");
    assert_eq!((first["objects"].as_array().map(Vec::len), &first["total"]["count"]), (Some(1), &json!(2)));
    assert!(text("references 7000 -n 1").contains("and 1 more"));
    let shown = text("referrers 7000");
    assert!(shown.contains("stack of 7 at 0x8000") && shown.contains("No object refers to it"), "{shown}");
    assert!(text("references 7018").contains("It refers to no object"));
}

#[test]
fn where_there_is_no_object_and_where_no_references_are_told_it_is_said() {
    for line in ["gcroot 1", "objsize 1", "referrers 1", "references 1"] {
        let Err(error) = shell().run(line, &Job::default()) else { panic!("{line} has an answer") };
        assert_eq!(error.to_string(), "no object is at 0x1; 'dumpheap' lists them", "{line}");
    }
    let silent = Arc::new(session(b"TOYHEAP 1\ntype 1000 A\nobject 7000 1000 24\n".to_vec()).expect("the toy opens"));
    for line in [
        "gcroot 7000",
        "objsize 7000",
        "referrers 7000",
        "references 7000",
        "dominators",
        "dumpheap -live",
        "dumpheap -stat -retained",
    ] {
        let Err(error) = Shell::new(Arc::clone(&silent)).run(line, &Job::default()) else {
            panic!("{line} has an answer")
        };
        assert_eq!(error.to_string(), "what the objects of this heap (Toy) refer to cannot be told", "{line}");
    }
}

#[test]
fn objects_are_listed_in_their_order() {
    let listed = data("dumpheap -mt 2000");
    let array =
        |address: &str, bytes: u64| json!({ "address": address, "type": "byte[]", "id": "0x2000", "bytes": bytes });
    assert_eq!(listed["objects"], json!([array("0x7018", 100), array("0x7098", 60)]));
    assert_eq!(listed["total"], json!({ "count": 2, "bytes": 160, "complete": true }));
    assert_eq!(data("dumpheap")["objects"].as_array().map(Vec::len), Some(5));
}

#[test]
fn a_number_of_objects_may_be_chosen() {
    let address = |line: &str| -> Vec<String> {
        let objects = data(line)["objects"].as_array().expect("objects").clone();
        objects.iter().map(|object| object["address"].as_str().expect("an address").to_owned()).collect()
    };
    assert_eq!(address("dumpheap -n 2"), ["0x7000", "0x7018"], "in the order of the heap");
    assert_eq!(address("dumpheap -n 1 -known"), ["0x7018"], "the largest");
    assert_eq!(address("dumpheap -n 3 -known"), ["0x7018", "0x7098", "0x7000"]);
    assert_eq!(address("dumpheap -n 2 -retained"), ["0x7000", "0x7018"], "that keep the most alive");
    assert!(address("dumpheap -n 0 -known").is_empty());
    assert_eq!(address("dumpheap -n 9 -known").len(), 5);
    assert_eq!(data("dumpheap -n 2")["total"]["count"], 5);
    let shown = text("dumpheap -n 2");
    assert!(shown.contains("… and 3 more; -n N lists more of them"), "{shown}");
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
fn what_is_free_and_what_leaked_stand_beside_what_is_in_use() {
    let session = Arc::new(session(DUMP.into()).expect("the toy opens"));
    let mut stage = stage(&session);
    assert!(stage.press("2").text().contains("[in use] free  leaked"), "{}", stage.text());
    let free = stage.press("l").text();
    assert!(free.contains("in use [free] leaked") && free.contains("does not tell what is free"), "{free}");
    let leaked = stage.press("<Right>").text();
    assert!(leaked.contains("free [leaked]") && leaked.contains("in all: 1 object, 24 B"), "{leaked}");
    let objects = stage.press("<Enter>").text();
    assert!(objects.contains("Heap ▸ shop.Order") && objects.contains("0x7080"), "{objects}");
    assert!(!objects.contains("0x7000"), "those of the type that did not leak: {objects}");
    assert!(stage.press("H").text().contains("[leaked]"), "as it was left");
    assert!(stage.press("hh").text().contains("[in use]"), "{}", stage.text());
}

#[test]
fn a_way_into_the_heap_is_told_step_by_step() {
    let session = Arc::new(session(DUMP.into()).expect("the toy opens"));
    let mut stage = stage(&session);
    // Of the orders the first keeps the most alive.
    assert!(stage.press("2j<Enter><Enter>").text().contains("Heap ▸ shop.Order ▸ 0x7000"), "{}", stage.text());
    let referrers = stage.press("R").text();
    assert!(referrers.contains("Heap ▸ shop.Order ▸ 0x7000 ▸ referrers"), "{referrers}");
    assert!(referrers.contains("stack of 7 at 0x8000"), "{referrers}");
    let references = stage.press("Hf").text();
    assert!(references.contains("▸ 0x7000 ▸ references") && references.contains("0x70d8"), "{references}");
    let roots = stage.press("jr").text();
    assert!(roots.contains("▸ 0x7000 ▸ references ▸ 0x70d8 ▸ roots"), "of the row that is selected: {roots}");
    assert!(roots.contains("global at 0x4000"), "{roots}");
    let types = stage.press("HHHH").text();
    assert!(types.contains("[in use]"), "{types}");
    let groups = stage.press("p").text();
    assert!(
        groups.contains("Namespace") && groups.contains("(in no namespace)") && groups.contains("shop"),
        "{groups}"
    );
    assert!(stage.press("j<Enter>").text().contains("Heap ▸ shop ─"), "{}", stage.text());
    assert!(stage.press("<Enter>").text().contains("Heap ▸ shop ▸ shop.Order ─"), "{}", stage.text());
}

#[test]
fn objects_that_were_marked_are_found_again() {
    let session = Arc::new(session(DUMP.into()).expect("the toy opens"));
    let mut stage = stage(&session);
    assert!(stage.press("2'").text().contains("no object is marked: x marks"), "{}", stage.text());
    let marked = stage.press("j<Enter>jx").text();
    assert!(marked.contains("0x70d8 is marked") && marked.contains("▸•0x70d8"), "{marked}");
    // On its own page it is the page that is marked.
    assert!(stage.press("g<Enter>x").text().contains("0x7000 is marked"), "{}", stage.text());
    let list = stage.press("1'").text();
    assert!(list.contains("1 0x70d8  shop.Order") && list.contains("2 0x7000  shop.Order"), "{list}");
    assert!(stage.press("<Enter>").text().contains("Heap ▸ marked ▸ 0x70d8"), "{}", stage.text());
    assert!(stage.press("'2").text().contains("Heap ▸ marked ▸ 0x7000"), "{}", stage.text());
    assert!(stage.press("x").text().contains("0x7000 is no longer marked"), "{}", stage.text());
    let none = stage.press("'x").text();
    assert!(!none.contains("1 0x70d8"), "{none}");
    assert!(stage.press("'").text().contains("no object is marked"), "{}", stage.text());
}

#[test]
fn a_heap_without_memory_leads_to_none() {
    let session = Arc::new(session(DUMP.into()).expect("the toy opens"));
    let mut stage = stage(&session);
    let object = stage.press("2j<Enter><Enter>").text();
    assert!(object.contains("▸ Type") && object.contains("  Address"), "the type alone can be opened: {object}");
}

#[test]
fn objects_are_chosen_by_their_size_on_the_screen() {
    let session = Arc::new(session(DUMP.into()).expect("the toy opens"));
    let mut stage = stage(&session);
    assert!(stage.press("2z").text().contains(":dumpheap -known -stat -min "), "{}", stage.text());
    let large = stage.press("61<Enter>").text();
    assert!(large.contains("in all: 1 object, 100 B"), "{large}");
    let objects = stage.press("<Enter>").text();
    assert!(objects.contains("0x7018") && !objects.contains("0x7098"), "the choice goes along: {objects}");
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
