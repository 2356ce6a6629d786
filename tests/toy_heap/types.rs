//! What fills the heap, by type and one by one.

use std::sync::Arc;

use dumpscope::commands;
use dumpscope::commands::Shell;
use dumpscope::error::Error;
use dumpscope::job::Job;
use dumpscope::report::text::Style;
use serde_json::{Value, json};

use super::panes::stage;
use super::{DUMP, data, session, shell, text};

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
