//! Names of native blocks that carry none, by what refers to them: the counts of each type against what the source of
//! the program says.

use std::collections::BTreeMap;
use std::process::Command;

use dumpscope::heap::Objects;
use dumpscope::job::Job;
use dumpscope::session::{Session, Source};
use dumpscope::target::Search;
use serde_json::Value;
use support::{Dump, dump};

/// What the command line says of types by their names.
fn named(dump: &Dump) -> BTreeMap<String, Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(dump.core()).args(["-c", "dumpheap -stat -names", "--json"]);
    let documents = support::run(command).expect_status(0).documents();
    let mut all = BTreeMap::new();
    for row in documents[0]["data"]["types"].as_array().expect("types") {
        let name = row["type"].as_str().expect("a name").to_owned();
        assert!(all.insert(name.clone(), row.clone()).is_none(), "{name} stands there twice");
    }
    all
}

fn expected(fixture: &str) -> Value {
    let path = support::repository().join("fixtures").join(fixture).join("expected.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("expected.json")).expect("JSON")
}

#[track_caller]
fn assert_counts(found: &BTreeMap<String, Value>, expected: &Value) {
    let count = |name: &str| found.get(name).and_then(|row| row["count"].as_u64()).unwrap_or(0);
    let differ: Vec<String> = expected
        .as_object()
        .expect("counts")
        .iter()
        .filter(|(name, expected)| Some(count(name)) != expected.as_u64())
        .map(|(name, expected)| format!("{name}: {} instead of {expected}", count(name)))
        .collect();
    assert!(differ.is_empty(), "{differ:#?}\namong {:#?}", found.keys());
}

#[track_caller]
fn assert_cxx(variant: &str) {
    let (found, expected) = (named(&dump("heap-cxx", variant)), expected("heap-cxx"));
    for part in ["types", "leaks", "others"] {
        assert_counts(&found, &expected[part]);
    }
    for (name, wanted) in expected["referrers"].as_object().expect("referrers") {
        let told = found[name]["referrer"].as_str().expect("who told it");
        let wanted = wanted.as_array().expect("several");
        assert!(wanted.iter().any(|one| told.starts_with(one.as_str().expect("a name"))), "{name} by {told}");
        assert_eq!(found[name]["naming"], "referred");
    }
    // All that is left has no name in the program either: what the C++ library keeps for emergencies.
    let is_told =
        |name: &&String| ["types", "leaks", "others"].iter().any(|part| expected[*part].get(name.as_str()).is_some());
    let rest: Vec<&String> = found.keys().filter(|name| !is_told(name)).collect();
    assert!(rest.iter().all(|name| name.contains("libstdc++")), "{rest:?}");
}

#[test]
fn every_class_of_a_cxx_program_is_counted() {
    assert_cxx("debug");
}

#[test]
fn optimised_code_names_the_same() {
    assert_cxx("O2");
}

#[test]
fn without_debug_information_vtables_name_blocks_and_owners_group_the_rest() {
    let (found, expected) = (named(&dump("heap-cxx", "stripped")), expected("heap-cxx"));
    assert_counts(&found, &expected["stripped"]);
    let recorded = |row: &&Value| row["naming"] == "recorded";
    assert_eq!(found.values().filter(recorded).count(), expected["stripped"].as_object().expect("counts").len());
    let text = "std::string buffer, by shop::Customer+8";
    assert_eq!(found[text]["count"], 30, "what each customer is called");
    assert_eq!(found[text]["naming"], "contents");
    assert_eq!(
        found["(48 bytes, by (528 bytes))"]["count"], 600,
        "the items of the deque, whichever place they have in a node"
    );
}

/// Where no type_info names a class its vtable's symbol does, also where offsets of virtual bases stand before it.
#[test]
fn without_type_information_symbols_name_vtables() {
    let (found, expected) = (named(&dump("heap-cxx", "no-rtti")), expected("heap-cxx"));
    assert_counts(&found, &expected["stripped"]);
    assert!(found.iter().filter(|(name, _)| name.starts_with("shop::")).all(|(_, row)| row["naming"] == "recorded"));
}

#[test]
fn without_debug_information_containers_are_told_by_their_own_words() {
    let (found, expected) = (named(&dump("heap-cxx", "stripped")), expected("heap-cxx"));
    let patterns = expected["patterns"].as_object().expect("counts");
    for (pattern, count) in patterns {
        let is_it = |name: &str| name.split_once(", by ").map_or(name, |(name, _)| name) == pattern;
        let rows = found.iter().filter(|(name, _)| is_it(name));
        let all: u64 = rows.filter_map(|(_, row)| row["count"].as_u64()).sum();
        assert_eq!(Some(all), count.as_u64(), "{pattern}");
    }
    let others = found.iter().filter(|(name, row)| {
        let is_known = patterns.keys().any(|pattern| name.starts_with(pattern.as_str()));
        row["naming"] == "contents" && !is_known && *name != "text"
    });
    assert_eq!(others.map(|(name, _)| name).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[track_caller]
fn assert_rust(variant: &str) {
    assert_counts(&named(&dump("heap-rust", variant)), &expected("heap-rust")["types"]);
}

#[test]
fn every_type_of_a_rust_program_is_counted() {
    assert_rust("debug");
}

#[test]
fn optimised_rust_names_the_same() {
    assert_rust("O");
}

#[test]
fn an_object_is_shown_with_the_name_that_was_found_for_it() {
    let dump = dump("heap-cxx", "debug");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(dump.core()).args(["-c", "dumpheap -names -type shop::Track", "--json"]);
    let documents = support::run(command).expect_status(0).documents();
    let address = documents[0]["data"]["objects"][0]["address"].as_str().expect("an address").to_owned();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    let show = format!("dumpobj {address}");
    command.arg("analyze").arg(dump.core()).args(["-c", &show, "-c", "dumpheap -stat -names", "-c", &show, "--json"]);
    let documents = support::run(command).expect_status(0).documents();
    let (before, after) = (&documents[0]["data"], &documents[2]["data"]);
    assert_eq!((&before["type"], &before["naming"]), (&Value::Null, &Value::Null));
    assert_eq!((&after["type"], &after["naming"]), (&"shop::Track[]".into(), &"referred".into()));
    assert_eq!(after["referrer"], "shop::g_tracks");
    assert_eq!(after["elements"].as_array().map(Vec::len), Some(20), "the number in front of them is none");
    let item = &after["elements"][0]["value"].as_str().expect("a structure's fields");
    assert!(item.contains("at = [0, 0, 0, 0]"), "it is no part of the first: {item}");
}

/// `struct Order` of main.cc: `Item *items`, `Address *address`, `std::string note`.
#[test]
fn what_a_named_object_refers_to_is_told_by_its_fields() {
    let dump = dump("heap-cxx", "debug");
    let run = |lines: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
        command.arg("analyze").arg(dump.core()).arg("--json");
        for line in lines {
            command.args(["-c", line]);
        }
        support::run(command).expect_status(0).documents()
    };
    let listed = run(&["dumpheap -names -type shop::Order"]);
    let objects = listed[0]["data"]["objects"].as_array().expect("objects").clone();
    let order = objects.iter().find(|object| object["type"] == "shop::Order").expect("an order");
    let references = format!("references {}", order["address"].as_str().expect("an address"));
    let fields = |document: &Value| -> BTreeMap<String, String> {
        let objects = document["data"]["objects"].as_array().expect("objects");
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        objects.iter().map(|object| (word(&object["type"]), word(&object["field"]))).collect()
    };
    let told = run(&[&references, "dumpheap -stat -names", &references]);
    assert!(
        fields(&told[0]).values().all(|field| field.starts_with('+')),
        "no name is known yet: {:?}",
        fields(&told[0])
    );
    let named = fields(&told[2]);
    assert_eq!((named["shop::Item"].as_str(), named["shop::Address"].as_str()), ("items", "address"), "{named:?}");
    assert!(named["std::string buffer"].starts_with("note"), "{named:?}");
}

#[test]
fn each_part_has_the_objects_that_the_heap_has_without_names() {
    let dump = dump("heap-cxx", "debug");
    let (session, job) =
        (Session::open(Source::File(dump.core()), &Search::default(), &Job::default()), Job::default());
    let session = session.expect("opens");
    let (plain, named) = (session.heap(&job).expect("a heap"), session.named_heap(&job).expect("names"));
    let (plain, named) = (plain.source.as_ref(), named.source.as_ref());
    let (before, after) = (Objects::of(plain, &job).expect("listed"), Objects::of(named, &job).expect("listed"));
    assert_eq!(before.len(), after.len());
    let same = |id: u32| (before.address(id), before.bytes(id)) == (after.address(id), after.bytes(id));
    assert!((0..before.len()).all(same));
    assert!((0..after.len()).all(|id| after.of_type(id) < named.types().len()));
}

#[test]
fn naming_can_be_cancelled() {
    let dump = dump("heap-cxx", "debug");
    let session = Session::open(Source::File(dump.core()), &Search::default(), &Job::default()).expect("opens");
    let job = Job::default();
    session.heap(&job).expect("a heap");
    job.cancel();
    assert!(session.named_heap(&job).is_err());
    session.named_heap(&Job::default()).expect("another may ask again");
}

/// Of a block that was written beyond its end its vtable tells what it is.
#[test]
fn an_object_in_front_of_what_is_overwritten_is_told_by_its_class() {
    let dump = dump("heap-cxx", "overrun");
    let truth = dump.truth();
    let output = support::dumpscope!("analyze", dump.core(), "-c", "verifyheap").expect_status(0).stdout;
    let output = output.split_whitespace().collect::<Vec<_>>().join(" ");
    let expected = format!(
        "the heap is damaged at {:#x}: no chunk has a size of {:#x} (the text {:?}); before it is the block {:#x}, a chunk of 48 bytes, \
         a shop::Label: it may have been written beyond its end",
        truth.value("overwritten") - 16,
        u64::from_le_bytes(*b"too long"),
        "too long",
        truth.value("overrun"),
    );
    assert!(output.contains(&expected), "{expected} in {output}");
}

/// The documents that commands print about a dump.
fn documents(dump: &Dump, lines: &[&str]) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(dump.core()).arg("--json");
    for line in lines {
        command.args(["-c", line]);
    }
    support::run(command).expect_status(0).documents()
}

/// By the source a customer has two orders, `g_ids` the numbers up to 39, and of the 16 nodes the 8 leaves of a tree have an item.
#[test]
fn containers_are_shown_as_what_is_in_them() {
    let dump = dump("heap-cxx", "debug");
    let all = documents(
        &dump,
        &["dumpheap -names -type shop::Customer", "dumpheap -names -type shop::Node", "print shop::g_ids"],
    );
    let addresses = |document: &Value, name: &str| -> Vec<String> {
        let rows = document["data"]["objects"].as_array().expect("objects").clone();
        let of_it = rows.iter().filter(|row| row["type"] == name);
        of_it.filter_map(|row| row["address"].as_str().map(str::to_owned)).collect()
    };
    let (customers, nodes) = (addresses(&all[0], "shop::Customer"), addresses(&all[1], "shop::Node"));
    let ids: Vec<String> = (0..8).map(|number| number.to_string()).collect();
    assert!(all[2].to_string().contains(&format!("[{}, …]", ids.join(", "))), "in their order: {}", all[2]);
    let field = |object: &Value, name: &str| -> Value {
        let fields = object["data"]["fields"].as_array().expect("fields").clone();
        fields.into_iter().find(|field| field["name"] == name).unwrap_or_else(|| panic!("no {name} in {object}"))
    };
    let customer = &documents(&dump, &[&format!("dumpobj {}", customers[0])])[0];
    let name = field(customer, "name")["value"].as_str().expect("text").to_owned();
    assert!(name.starts_with("customer of which there are many, number "), "{name}");
    let orders = field(customer, "orders")["value"].as_str().expect("elements").to_owned();
    let orders: Vec<String> = orders.trim_matches(['[', ']']).split(", ").map(str::to_owned).collect();
    assert_eq!(orders.len(), 2, "{orders:?}");
    let mut lines = vec!["dumpheap -stat -names".to_owned()];
    lines.extend(orders.iter().chain(&nodes).map(|address| format!("dumpobj {address}")));
    let told = documents(&dump, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let (orders, nodes) = told[1..].split_at(2);
    assert!(orders.iter().all(|order| order["data"]["type"] == "shop::Order"), "{orders:?}");
    assert_eq!(nodes.iter().filter(|node| field(node, "item")["address"].is_string()).count(), 8);
}

#[test]
fn what_is_not_listed_of_an_object_is_counted_and_words_are_read_as_text() {
    let dump = dump("heap-cxx", "stripped");
    let all = documents(&dump, &["dumpheap -min 5000 -max 5016", "dumpheap -min 3000 -max 3016"]);
    let address = |at: usize| all[at]["data"]["objects"][0]["address"].as_str().expect("one block").to_owned();
    // malloc(5000) takes 5,008 bytes, of which 64 words are listed.
    let nothing = &documents(&dump, &[&format!("dumpobj {}", address(0))])[0]["data"];
    assert_eq!(nothing["elements"].as_array().map(Vec::len), Some(64));
    assert_eq!(nothing["elements_left_out"], 5008 / 8 - 64);
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(dump.core()).args(["-c", &format!("dumpobj {}", address(1))]);
    let text = support::run(command).expect_status(0).stdout;
    assert!(text.contains("xxxxxxxx") && text.contains("… and 312 more words"), "3,008 bytes: {text}");
}

#[test]
fn what_an_object_keeps_alive_is_told_once_somebody_has_asked() {
    let dump = dump("heap-cxx", "stripped");
    let customer = &documents(&dump, &["dumpheap -type shop::Customer"])[0]["data"]["objects"][0]["address"].clone();
    let (show, ask) = ("dumpobj ".to_owned(), "objsize ".to_owned());
    let [show, ask] = [show, ask].map(|line| line + customer.as_str().expect("an address"));
    let told = documents(&dump, &[&show, &ask, &show]);
    assert_eq!(told[0]["data"]["retained"], Value::Null);
    assert!(told[1]["data"]["retained"].as_u64().expect("bytes") > 80, "a customer has a name, a home, orders");
    assert_eq!(told[2]["data"]["retained"], told[1]["data"]["retained"]);
}

/// The end of a customer's orders, in front of their start.
#[test]
fn a_vector_that_ends_before_it_begins_is_unknown_with_the_reason() {
    let dump = dump("heap-cxx", "debug");
    let customer = documents(&dump, &["dumpheap -type shop::Customer"])[0]["data"]["objects"][0]["address"].clone();
    let customer = customer.as_str().expect("an address").to_owned();
    let mut bytes = std::fs::read(dump.core()).expect("the core can be read");
    let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    // Of std::vector, 48 bytes behind the start: _M_start, _M_finish. Elf64_Phdr: p_offset 8, p_vaddr 16, p_filesz 32. Source: elf.h.
    let orders = u64::from_str_radix(customer.trim_start_matches("0x"), 16).expect("hexadecimal") + 48;
    let headers = (0..usize::from(bytes[56])).map(|at| 64 + 56 * at);
    let holds = |at: &usize| (word(&bytes, at + 16)..word(&bytes, at + 16) + word(&bytes, at + 32)).contains(&orders);
    let header = headers.skip(1).find(holds).expect("the heap is in the core");
    let at = usize::try_from(word(&bytes, header + 8) + orders - word(&bytes, header + 16)).expect("64 bits");
    let start = word(&bytes, at);
    assert_eq!(word(&bytes, at + 8) - start, 16, "two orders");
    bytes[at + 8..at + 16].copy_from_slice(&(start - 8).to_le_bytes());
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &bytes).expect("room for it");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(file.path()).args(["--json", "-c", &format!("dumpobj {customer}")]);
    let told = support::run(command).expect_status(0).documents();
    let fields = told[0]["data"]["fields"].as_array().expect("fields").clone();
    let field = fields.iter().find(|field| field["name"] == "orders").expect("it is listed all the same");
    assert_eq!(field["value"], Value::Null);
    let why = field["unknown"].as_str().expect("a reason");
    assert!(why.contains(&format!("a vector from {start:#x} to {:#x}", start - 8)), "{why}");
}
