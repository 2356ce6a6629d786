//! What holds what.

use std::sync::Arc;

use dumpscope::commands;
use dumpscope::commands::{Outcome, Shell};
use dumpscope::job::Job;
use serde_json::{Value, json};

use super::{DUMP, data, session, shell, text, text_of};

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
    let none = data("pathto 7098 7000");
    assert_eq!((&none["way"], &none["complete"]), (&Value::Null, &true.into()));
    assert!(text("pathto 7098 7000").contains("No way leads from it to 0x7000"));
    let damaged = text_of(&format!("{DUMP}damaged block9\n"), "pathto 7098 7000");
    assert!(damaged.contains("No way that could be read leads from it to 0x7000"), "{damaged}");
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
