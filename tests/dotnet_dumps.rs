//! Dumps of .NET 8, 9 and 10 that are kept, for machines without .NET: read without any file of their processes, and held against what Microsoft's
//! own tools said of them (fixtures/dotnet-dumps).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use dumpscope::job::Job;
use dumpscope::model::Addr;
use dumpscope::session::{Session, Source};
use dumpscope::target::Search;
use serde_json::Value;
use support::{CrashReport, as_address, plain, run};

const DUMPS: [&str; 3] = ["locks-8.0.33", "objects-9.0.22", "async-10.0.14"];

/// A kept file, unpacked into a folder.
fn unpacked(name: &str, folder: &Path) -> PathBuf {
    let packed = support::repository().join(format!("fixtures/dotnet-dumps/{name}.zst"));
    let to = folder.join(name);
    let mut command = Command::new("zstd");
    command.args(["-q", "-d", "--long=27", "-o"]).arg(&to).arg(&packed);
    run(command).expect_status(0);
    to
}

fn truth(name: &str, question: &str, folder: &Path) -> Value {
    let text = std::fs::read(unpacked(&format!("{name}.{question}.json"), folder)).expect("it was unpacked");
    serde_json::from_slice(&text).expect("JSON")
}

/// What commands answer where no file of the process is.
fn answers(dump: &Path, commands: &[&str]) -> Vec<Value> {
    let nowhere = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(dump).args(["--json", "--offline", "--sysroot"]).arg(nowhere.path());
    command.args(commands.iter().flat_map(|line| ["-c", line]));
    let mut documents = run(command).expect_status(0).documents();
    documents.iter_mut().map(|document| document["data"].take()).collect()
}

fn number(value: &Value) -> u64 {
    as_address(value).unwrap_or_else(|| panic!("{value} is no address"))
}

#[test]
fn every_type_has_the_objects_and_bytes_that_clrmd_counts() {
    for name in DUMPS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = unpacked(&format!("{name}.core"), folder.path());
        let [told, free] = answers(&dump, &["dumpheap -stat", "dumpheap -free"]).try_into().expect("two");
        let row = |kind: &Value, id: &str, type_name: &str| {
            (number(&kind[id]), (kind[type_name].clone(), kind["count"].clone(), kind["bytes"].clone()))
        };
        let ours: BTreeMap<_, _> =
            told["types"].as_array().expect("types").iter().map(|kind| row(kind, "id", "type")).collect();
        let theirs = truth(name, "heap", folder.path());
        let mut theirs: BTreeMap<_, _> =
            theirs["types"].as_array().expect("types").iter().map(|kind| row(kind, "mt", "name")).collect();
        // ClrMD writes an array that begins at another element than 0 as if it were generic.
        for (name, _, _) in theirs.values_mut() {
            *name = name.as_str().expect("a name").replace("<*>", "[*]").into();
        }
        // What fills gaps is no object of ours.
        let filler = free["lists"].as_array().expect("lists").iter().filter(|list| list["list"] == "filler");
        let (count, bytes) = filler.fold((0, 0), |(count, bytes), list| {
            (count + list["count"].as_u64().expect("a count"), bytes + list["bytes"].as_u64().expect("bytes"))
        });
        let table = *theirs.iter().find(|(_, told)| told.0 == "Free").expect("it fills gaps").0;
        assert_eq!(theirs.remove(&table), Some(("Free".into(), count.into(), bytes.into())), "{name}");
        assert_eq!(ours, theirs, "{name}");
        assert!(theirs.len() > 50, "{name}: {} types", theirs.len());
    }
}

/// (Where it is held, the object), of those roots of ours or theirs that are of these kinds.
fn roots(of: &Value, kinds: &[&str], at: &str, object: impl Fn(&Value) -> u64) -> Vec<(u64, u64)> {
    let is_one = |root: &&Value| kinds.iter().any(|kind| root["kind"].as_str().is_some_and(|own| own.contains(kind)));
    let place = |root: &Value| (as_address(&root[at]).unwrap_or(0), object(root));
    let mut all: Vec<_> = of["roots"].as_array().expect("roots").iter().filter(is_one).map(place).collect();
    all.sort_unstable();
    all
}

#[test]
fn every_handle_stack_slot_and_register_holds_what_clrmd_says() {
    for name in DUMPS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = unpacked(&format!("{name}.core"), folder.path());
        let (ours, theirs) = (answers(&dump, &["roots -n 1000000"]).remove(0), truth(name, "roots", folder.path()));
        let own = |kinds: &[&str]| roots(&ours, kinds, "at", |root| number(&root["object"]["address"]));
        let known = |kinds: &[&str]| roots(&theirs, kinds, "address", |root| number(&root["object"]));
        assert_eq!(own(&["handle"]), known(&["Handle"]), "{name}");
        let objects = |roots: Vec<(u64, u64)>| roots.into_iter().map(|(_, object)| object).collect::<Vec<_>>();
        let sorted = |mut objects: Vec<u64>| {
            objects.sort_unstable();
            objects
        };
        assert_eq!(sorted(objects(own(&["finalizer"]))), sorted(objects(known(&["FinalizerQueue"]))), "{name}");
        let mut more = own(&["stack", "register"]);
        for root in known(&["Stack"]) {
            let at = more.iter().position(|own| *own == root);
            let at = at.unwrap_or_else(|| panic!("{name}: {:#x} holds {:#x}", root.0, root.1));
            more.remove(at);
        }
        // What the runtime's native code protects (its GCFrames) is shown by no tool of Microsoft's; it lies on the stack.
        assert!(more.iter().all(|(at, _)| *at != 0) && more.len() < 32, "{name}: {more:x?}");
    }
}

#[test]
fn every_object_refers_to_what_clrmd_says() {
    for name in DUMPS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = unpacked(&format!("{name}.core"), folder.path());
        let job = Job::default();
        let session = Session::open(Source::File(dump), &Search::default(), &job).expect("it opens");
        let heap = session.heap(&job).expect("a heap");
        let (objects, graph) = (heap.objects(&job).expect("objects"), heap.graph(&job).expect("a graph"));
        let theirs = truth(name, "objects", folder.path());
        let mut compared = 0;
        for object in theirs["objects"].as_array().expect("objects") {
            let address = object[0].as_u64().expect("an address");
            let mut expected: Vec<u64> =
                object[3].as_array().expect("references").iter().map(|to| to.as_u64().expect("an address")).collect();
            // A dependent handle may have no second object.
            expected.retain(|to| *to != address && *to != 0);
            // What fills gaps is no object of ours.
            let Some(id) = objects.at(Addr(address)) else { continue };
            let own = graph.references(id).iter().map(|to| objects.address(*to).expect("it is listed").0);
            let mut own: Vec<u64> = own.collect();
            for all in [&mut own, &mut expected] {
                all.sort_unstable();
                all.dedup();
            }
            assert_eq!(own, expected, "{name}: {address:#x}");
            compared += own.len();
        }
        assert!(compared > 500, "{name}: {compared} references");
    }
}

/// What the segments of ClrMD are called here.
fn generation(kind: &Value) -> &'static str {
    match kind.as_str().expect("a kind") {
        "Generation0" => "gen 0",
        "Generation1" => "gen 1",
        "Generation2" => "gen 2",
        "Large" => "large",
        "Pinned" => "pinned",
        "Frozen" => "frozen",
        other => panic!("{other}"),
    }
}

/// An object as ClrMD lists it: where it is, its method table, its bytes.
struct Listed {
    address: u64,
    table: u64,
    bytes: u64,
}

/// All objects of a dump as ClrMD lists them, with what fills gaps, ascending; and the method table of that.
fn listed(name: &str, heap: &Value, folder: &Path) -> (Vec<Listed>, u64) {
    let all = truth(name, "objects", folder);
    let number = |object: &Value, index: usize| object[index].as_u64().expect("a number");
    let one =
        |object: &Value| Listed { address: number(object, 0), table: number(object, 1), bytes: number(object, 2) };
    let mut all: Vec<Listed> = all["objects"].as_array().expect("objects").iter().map(one).collect();
    all.sort_by_key(|object| object.address);
    (all, filler(heap))
}

/// The method table of what fills gaps.
fn filler(heap: &Value) -> u64 {
    let types = heap["types"].as_array().expect("types");
    number(&types.iter().find(|kind| kind["name"] == "Free").expect("it fills gaps")["mt"])
}

#[test]
fn every_segment_is_the_one_that_clrmd_lists_and_has_the_objects_that_clrmd_finds_in_it() {
    for name in DUMPS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = unpacked(&format!("{name}.core"), folder.path());
        let [told, sums] = answers(&dump, &["eeheap", "gcheapstat"]).try_into().expect("two");
        let own = |row: &Value| {
            let of = |key: &str| number(&row[key]);
            (of("begin"), of("allocated"), of("committed"), row["generation"].as_str().expect("a word").to_owned())
        };
        let ours: BTreeSet<_> = told["segments"].as_array().expect("segments").iter().map(own).collect();
        let heap = truth(name, "heap", folder.path());
        let segments = heap["segments"].as_array().expect("segments");
        let known = |row: &Value| {
            let of = |key: &str| number(&row[key]);
            (of("start"), of("end"), of("committed_end"), generation(&row["kind"]).to_owned())
        };
        assert_eq!(ours, segments.iter().map(known).collect(), "{name}");
        assert_eq!((&told["collector"], &told["heaps"]), (&"workstation".into(), &1.into()), "{name}");

        let (objects, filler) = listed(name, &heap, folder.path());
        let mut compared = 0;
        for segment in segments {
            let of = known(segment);
            let within = objects.iter().filter(|object| (of.0..of.1).contains(&object.address));
            let (free, objects): (Vec<&Listed>, Vec<&Listed>) = within.partition(|object| object.table == filler);
            let row = |row: &&Value| row["generation"] == of.3.as_str();
            let row = sums["generations"].as_array().expect("rows").iter().find(row).expect("a row");
            let bytes = free.iter().map(|object| object.bytes).sum::<u64>();
            assert_eq!((&row["bytes"], &row["free"]), (&(of.1 - of.0).into(), &bytes.into()), "{name}: {row}");
            let word = of.3.replace(' ', "");
            let mut lines = vec![format!("dumpheap -gen {word} -n 1000000"), format!("dumpgen {word}")];
            // One without objects is none to 'dumpheap'.
            lines.extend(
                (!objects.is_empty()).then(|| format!("dumpheap -segment {:x} -heap 0 -n 1000000", objects[0].address)),
            );
            let told = answers(&dump, &lines.iter().map(String::as_str).collect::<Vec<_>>());
            let expected: Vec<u64> = objects.iter().map(|object| object.address).collect();
            for told in [told.first(), told.get(2)].into_iter().flatten() {
                let own: Vec<u64> =
                    told["objects"].as_array().expect("objects").iter().map(|row| number(&row["address"])).collect();
                assert_eq!(own, expected, "{name}: {}", of.3);
            }
            let (total, free) = (&told[1]["total"]["count"], &told[1]["free"]["bytes"]);
            assert_eq!((total, free), (&expected.len().into(), &bytes.into()), "{name}: {}", of.3);
            compared += expected.len();
        }
        assert!(compared > 1000, "{name}: {compared} objects");
    }
}

#[test]
fn the_objects_around_an_address_and_its_place_are_those_that_clrmd_lists() {
    for name in DUMPS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = unpacked(&format!("{name}.core"), folder.path());
        let heap = truth(name, "heap", folder.path());
        let (objects, filler) = listed(name, &heap, folder.path());
        let segments = heap["segments"].as_array().expect("segments");
        let of = |object: &Listed| {
            let holds = |row: &&Value| (number(&row["start"])..number(&row["end"])).contains(&object.address);
            segments.iter().find(holds).expect("it is in one")
        };
        // Some of each segment, and some that fill gaps; an address within the object finds it, too.
        let mut chosen: Vec<usize> = (0..objects.len()).step_by(97).collect();
        chosen.extend((0..objects.len()).filter(|at| objects[*at].table == filler).take(8));
        let address = |at: usize| objects[at].address + (at as u64 % 3) * 8;
        let lines: Vec<String> = chosen
            .iter()
            .flat_map(|at| [format!("listnearobj {:x}", address(*at)), format!("gcwhere {:x}", address(*at))])
            .collect();
        let told = answers(&dump, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        for (at, told) in chosen.into_iter().zip(told.chunks(2)) {
            let (near, place) = (&told[0], &told[1]);
            let own = |row: &Value| {
                (!row.is_null()).then(|| (number(&row["address"]), number(&row["id"]), row["bytes"].as_u64()))
            };
            let segment = of(&objects[at]);
            let known = |at: Option<usize>| {
                let object = at.and_then(|at| objects.get(at)).filter(|object| of(object) == segment)?;
                Some((object.address, object.table, Some(object.bytes)))
            };
            let neighbours = (known(at.checked_sub(1)), known(Some(at)), known(Some(at + 1)));
            // Where a thread is about to make objects there is room, and the next one stands behind it.
            let ours = (own(&near["before"]), own(&near["current"]), own(&near["next"]));
            assert_eq!(ours, neighbours, "{name}: {near}");
            assert_eq!(near["broken"], Value::Null, "{name}: {near}");
            assert_eq!(place["generation"], generation(&segment["kind"]), "{name}: {place}");
            assert_eq!(own(&place["object"]), neighbours.1, "{name}: {place}");
            let kind = if objects[at].table == filler { "free" } else { "object" };
            assert_eq!((&place["place"], &place["heap"]), (&kind.into(), &0.into()), "{name}: {place}");
        }
        // Behind the last object there is memory, and behind that addresses alone.
        let last = segments.iter().find(|row| row["kind"] == "Generation0").expect("a segment");
        let (end, committed) = (number(&last["end"]), number(&last["committed_end"]));
        let lines = [format!("gcwhere {end:x}"), format!("gcwhere {committed:x}")];
        let told = answers(&dump, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((&told[0]["place"], &told[1]["place"]), (&"unused".into(), &"reserved".into()), "{name}");
    }
}

/// The letters of a name.
fn letters(name: &Value) -> String {
    name.as_str().expect("a name").chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase()
}

#[test]
fn every_handle_is_of_the_kind_and_refers_to_the_object_that_clrmd_says() {
    for name in DUMPS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = unpacked(&format!("{name}.core"), folder.path());
        let lines = ["gchandles -n 1000000", "gchandles -stat", "gchandles -type Pinned"];
        let [told, sums, pinned] = answers(&dump, &lines).try_into().expect("three");
        let handle = |row: &Value, at: &str, kind: String| {
            (
                number(&row[at]),
                kind,
                number(&row["object"]),
                row["type"].as_str().expect("a type").replace("<*>", "[*]"),
            )
        };
        let own = |told: &Value| -> BTreeSet<_> {
            let rows = told["handles"].as_array().expect("handles").iter();
            rows.map(|row| handle(row, "handle", letters(&row["kind"]))).collect()
        };
        let theirs = truth(name, "roots", folder.path());
        let known = theirs["handles"].as_array().expect("handles").iter().map(|row| {
            // ClrMD has no name for one kind.
            let kind = if row["kind"] == "10" { "weakinterior".to_owned() } else { letters(&row["kind"]) };
            handle(row, "address", kind)
        });
        let known: BTreeSet<_> = known.collect();
        assert_eq!(own(&told), known, "{name}");
        let only: BTreeSet<_> = known.iter().filter(|(_, kind, ..)| kind == "pinned").cloned().collect();
        assert_eq!(own(&pinned), only, "{name}");
        for kind in sums["kinds"].as_array().expect("kinds") {
            let count = known.iter().filter(|(_, own, ..)| *own == letters(&kind["kind"])).count();
            assert_eq!(kind["count"], count, "{name}: {kind}");
        }
        let counted: u64 =
            sums["types"].as_array().expect("types").iter().map(|row| row["count"].as_u64().expect("a count")).sum();
        assert!(known.len() > 10 && counted == known.len() as u64, "{name}: {counted}");
    }
}

#[test]
fn every_object_with_a_finalizer_is_one_of_clrmds_and_stands_with_its_generation() {
    for name in DUMPS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = unpacked(&format!("{name}.core"), folder.path());
        let lines = ["finalizequeue -n 1000000", "fq -allReady", "fq -stat"];
        let [told, ready, sums] = answers(&dump, &lines).try_into().expect("three");
        let theirs = truth(name, "roots", folder.path());
        let mut known: Vec<u64> = theirs["finalizable"].as_array().expect("a list").iter().map(number).collect();
        let rows = told["objects"].as_array().expect("objects");
        let mut own: Vec<u64> = rows.iter().map(|row| number(&row["address"])).collect();
        own.sort_unstable();
        known.sort_unstable();
        assert_eq!(own, known, "{name}");
        assert_eq!((&sums["count"], &sums["types"]), (&known.len().into(), &told["types"]), "{name}");
        assert_eq!(sums["objects"], Value::Array(Vec::new()), "{name}");

        let mut waiting: Vec<(u64, u64)> =
            roots(&theirs, &["FinalizerQueue"], "address", |root| number(&root["object"]));
        waiting.sort_unstable();
        let is_ready = |row: &&Value| row["state"] == "ready";
        let of =
            |rows: &[Value]| rows.iter().filter(is_ready).map(|row| number(&row["address"])).collect::<BTreeSet<u64>>();
        assert_eq!(of(rows), waiting.iter().map(|(_, object)| *object).collect(), "{name}");
        // What waits is reached by that, what else is told is reached by nothing.
        let all = ready["objects"].as_array().expect("objects");
        assert_eq!(of(all), of(rows), "{name}");
        let dead = all.iter().filter(|row| !is_ready(row)).collect::<Vec<_>>();
        let lines: Vec<String> =
            dead.iter().map(|row| format!("gcroot {}", row["address"].as_str().expect("an address"))).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        for told in (!lines.is_empty()).then(|| answers(&dump, &lines)).into_iter().flatten() {
            assert_eq!(told["paths"], Value::Array(Vec::new()), "{name}: {told}");
        }
        // The lists by generation are those of the segments that the objects are in.
        let heap = truth(name, "heap", folder.path());
        let mut counts = [0u64; 5];
        for row in rows.iter().filter(|row| !is_ready(row)) {
            let at = number(&row["address"]);
            let holds = |segment: &&Value| (number(&segment["start"])..number(&segment["end"])).contains(&at);
            let segment = heap["segments"].as_array().expect("segments").iter().find(holds).expect("it is in one");
            assert_eq!(row["state"], generation(&segment["kind"]), "{name}: {row}");
            let place = ["gen 0", "gen 1", "gen 2", "large", "pinned"].iter().position(|word| row["state"] == *word);
            counts[place.expect("a generation")] += 1;
        }
        assert_eq!(told["heaps"][0]["generations"], Value::from(counts.to_vec()), "{name}");
    }
}

#[test]
fn what_stacks_hold_is_among_the_words_that_are_objects() {
    for name in DUMPS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = unpacked(&format!("{name}.core"), folder.path());
        let threads = answers(&dump, &["threads"]).remove(0);
        let threads: Vec<u64> = threads["threads"]
            .as_array()
            .expect("threads")
            .iter()
            .map(|row| row["tid"].as_u64().expect("a tid"))
            .collect();
        let lines: Vec<String> = threads.iter().map(|tid| format!("dso -verify -t {tid}")).collect();
        let told = answers(&dump, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        let heap = truth(name, "heap", folder.path());
        let (objects, filler) = listed(name, &heap, folder.path());
        let is_object = |at: u64| objects.iter().any(|object| object.address == at && object.table != filler);
        let mut own = BTreeSet::new();
        for row in told.iter().flat_map(|told| told["objects"].as_array().expect("objects")) {
            let object = number(&row["object"]["address"]);
            assert!(is_object(object), "{name}: {row}");
            assert!(row["at"].is_null() != row["register"].is_null(), "{name}: {row}");
            own.insert((as_address(&row["at"]).unwrap_or(0), object));
        }
        let theirs = truth(name, "roots", folder.path());
        let slots = theirs["roots"].as_array().expect("roots").iter().filter(|root| root["kind"] == "Stack");
        let mut compared = 0;
        for root in slots.filter(|root| root["interior"] == false) {
            let (at, object) = (as_address(&root["address"]).unwrap_or(0), number(&root["object"]));
            // Where ClrMD has no place it is a register, of whichever frame.
            if at != 0 && is_object(object) {
                assert!(own.contains(&(at, object)), "{name}: {at:#x} holds {object:#x}");
                compared += 1;
            }
        }
        assert!(compared > 0, "{name}");
    }
}

#[test]
fn an_object_is_sound_where_clrmd_lists_one_and_nowhere_else() {
    for name in DUMPS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = unpacked(&format!("{name}.core"), folder.path());
        let heap = truth(name, "heap", folder.path());
        let (objects, filler) = listed(name, &heap, folder.path());
        let chosen: Vec<&Listed> =
            objects.iter().step_by(61).chain(objects.iter().filter(|object| object.table == filler).take(3)).collect();
        let lines: Vec<String> = chosen
            .iter()
            .flat_map(|object| {
                [format!("verifyobj {:x}", object.address), format!("verifyobj {:x}", object.address + 8)]
            })
            .collect();
        let told = answers(&dump, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        for (object, told) in chosen.into_iter().zip(told.chunks(2)) {
            let expected = if object.table == filler { "damaged" } else { "intact" };
            assert_eq!(told[0]["verdict"], expected, "{name}: {}", told[0]);
            assert_eq!(told[1]["verdict"], "damaged", "{name}: {}", told[1]);
        }
    }
}

/// The generation of each address, by ClrMD's segments.
fn generation_of(heap: &Value, at: u64) -> &'static str {
    let holds = |row: &&Value| (number(&row["start"])..number(&row["end"])).contains(&at);
    generation(&heap["segments"].as_array().expect("segments").iter().find(holds).expect("it is in one")["kind"])
}

#[test]
fn every_size_has_the_objects_and_gaps_that_clrmd_lists() {
    for name in DUMPS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = unpacked(&format!("{name}.core"), folder.path());
        let told = answers(&dump, &["sizestats"]).remove(0);
        let heap = truth(name, "heap", folder.path());
        let (objects, filler) = listed(name, &heap, folder.path());
        let mut known: BTreeMap<(&str, &str, u64), u64> = BTreeMap::new();
        for object in &objects {
            let what = if object.table == filler { "free" } else { "objects" };
            *known.entry((generation_of(&heap, object.address), what, object.bytes)).or_default() += 1;
        }
        let mut own = BTreeMap::new();
        for of in told["generations"].as_array().expect("generations") {
            for what in ["objects", "free"] {
                let (mut bytes, mut count) = (0, 0);
                for row in of[what].as_array().expect("rows") {
                    let of_row = |key: &str| row[key].as_u64().expect("a number");
                    (bytes, count) = (bytes + of_row("size") * of_row("count"), count + of_row("count"));
                    assert_eq!(
                        (of_row("cumulative_bytes"), of_row("cumulative_count")),
                        (bytes, count),
                        "{name}: {row}"
                    );
                    own.insert((of["generation"].as_str().expect("a word"), what, of_row("size")), of_row("count"));
                }
            }
        }
        assert_eq!(own, known, "{name}");
    }
}

#[test]
fn what_objects_refer_to_across_generations_is_what_clrmd_says() {
    for name in DUMPS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = unpacked(&format!("{name}.core"), folder.path());
        let lines = ["ephrefs -n 1000000", "ephtoloh -n 1000000", "traverseheap"];
        let [younger, large, all] = answers(&dump, &lines).try_into().expect("three");
        let heap = truth(name, "heap", folder.path());
        let objects = truth(name, "objects", folder.path());
        let objects = objects["objects"].as_array().expect("objects");
        let number_at = |object: &Value, index: usize| object[index].as_u64().expect("a number");
        let bytes: BTreeMap<u64, u64> =
            objects.iter().map(|object| (number_at(object, 0), number_at(object, 2))).collect();
        let refers = |object: &Value| -> BTreeSet<u64> {
            let to = object[3].as_array().expect("references").iter().map(|to| to.as_u64().expect("an address"));
            // A dependent handle may have no second object.
            to.filter(|to| *to != 0 && *to != number_at(object, 0)).collect()
        };
        let age = |word: &str| ["gen 0", "gen 1", "gen 2", "large", "pinned"].iter().position(|own| *own == word);
        let (mut to_younger, mut to_large) = (BTreeMap::new(), BTreeMap::new());
        let (mut younger_ones, mut large_ones) = (BTreeSet::new(), BTreeSet::new());
        for object in objects {
            let own = number_at(object, 0);
            let from = generation_of(&heap, own);
            for to in refers(object) {
                let generation = generation_of(&heap, to);
                let (Some(older), Some(young)) = (age(from), age(generation)) else { continue };
                let is_large = |one, other| one < 2 && other == 3;
                let add = |known: &mut BTreeMap<_, (u64, u64)>, ones: &mut BTreeSet<u64>| {
                    let known = known.entry((own, from, generation)).or_default();
                    *known = (known.0 + 1, known.1 + bytes[&to]);
                    ones.insert(to);
                };
                if young < 2 && young < older {
                    add(&mut to_younger, &mut younger_ones);
                }
                if is_large(older, young) || is_large(young, older) {
                    add(&mut to_large, &mut large_ones);
                }
            }
        }
        for (told, known, ones) in [(&younger, &to_younger, younger_ones), (&large, &to_large, large_ones)] {
            assert_eq!(told["referred_count"], ones.len(), "{name}");
            let sum: u64 = ones.iter().map(|one| bytes[one]).sum();
            assert_eq!(told["referred_bytes"], sum, "{name}");
            let row = |row: &'_ Value| {
                let word = |key: &str| row[key].as_str().expect("a word").to_owned();
                let of = |key: &str| row[key].as_u64().expect("a number");
                ((number(&row["address"]), word("generation"), word("to")), (of("count"), of("referred_bytes")))
            };
            let own: BTreeMap<_, _> = told["objects"].as_array().expect("objects").iter().map(row).collect();
            let known: BTreeMap<_, _> =
                known.iter().map(|((at, from, to), of)| ((*at, (*from).to_owned(), (*to).to_owned()), *of)).collect();
            assert_eq!(own, known, "{name}");
        }
        let own = all["objects"].as_array().expect("objects").iter().map(|row| {
            let to = row["references"].as_array().expect("references").iter().map(number).collect();
            (number(&row["address"]), to)
        });
        let own: BTreeMap<u64, BTreeSet<u64>> = own.collect();
        let filler = filler(&heap);
        let known = objects.iter().filter(|object| number_at(object, 1) != filler);
        assert_eq!(own, known.map(|object| (number_at(object, 0), refers(object))).collect(), "{name}");
        assert!(name != "locks-8.0.33" || !to_younger.is_empty(), "its collector has run");
    }
}

#[test]
fn texts_and_the_objects_of_types_are_those_that_clrmd_counts() {
    for name in DUMPS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = unpacked(&format!("{name}.core"), folder.path());
        let lines = [
            "dumpheap -strings -n 1000000",
            "strings -duplicates -n 1000000",
            "dumpheap -strings -gen foh -n 1000000",
            "dumpheap -gen foh -type System.String -n 1000000",
            "dumpheap -bycount",
            "dumpruntimetypes",
        ];
        let [all, duplicates, frozen, objects, by_count, types] = answers(&dump, &lines).try_into().expect("six");
        let heap = truth(name, "heap", folder.path());
        let known: Vec<&Value> = heap["types"].as_array().expect("types").iter().collect();
        let of = |class: &str| known.iter().find(|kind| kind["name"] == class).expect("it has objects");
        let string = of("System.String");
        assert_eq!((&all["total"]["count"], &all["total"]["bytes"]), (&string["count"], &string["bytes"]), "{name}");
        let rows = all["strings"].as_array().expect("strings");
        let sum = |key: &str| rows.iter().map(|row| row[key].as_u64().expect("a number")).sum::<u64>();
        assert_eq!((sum("count"), sum("bytes")), (number_of(&string["count"]), number_of(&string["bytes"])), "{name}");
        assert_eq!(all["wasted"], sum("wasted"), "{name}");
        // A text has 22 bytes beside its characters of two.
        for row in rows {
            let (length, count, bytes) =
                (number_of(&row["length"]), number_of(&row["count"]), number_of(&row["bytes"]));
            assert_eq!(bytes, count * (22 + 2 * length).max(24), "{name}: {row}");
            assert_eq!(number_of(&row["wasted"]), bytes - bytes / count, "{name}: {row}");
            if length < 1024 {
                assert_eq!(
                    row["value"].as_str().expect("a text").encode_utf16().count() as u64,
                    length,
                    "{name}: {row}"
                );
            }
        }
        // What the program says of itself in fixtures/dotnet-locks, -objects, -async.
        let literal = match name {
            "locks-8.0.33" => "till-owner",
            "objects-9.0.22" => "http://shop.example/orders",
            _ => "never: the desk waits for this line",
        };
        assert!(rows.iter().any(|row| row["value"] == literal && row["count"] == 1), "{name}");
        assert_eq!(all["different"], rows.len(), "{name}");
        let twice: Vec<&Value> = rows.iter().filter(|row| number_of(&row["count"]) > 1).collect();
        assert_eq!(duplicates["strings"].as_array().expect("strings").len(), twice.len(), "{name}");
        assert_eq!(duplicates["wasted"], all["wasted"], "{name}");
        let is_text = |row: &&Value| row["type"] == "System.String";
        let texts = objects["objects"].as_array().expect("objects").iter().filter(is_text).count();
        assert_eq!(frozen["total"]["count"], texts, "{name}");
        let counts: Vec<u64> =
            by_count["types"].as_array().expect("types").iter().map(|row| number_of(&row["count"])).collect();
        assert!(counts.is_sorted_by(|one, next| one >= next), "{name}: {counts:?}");
        // Each type's object is told with the name that ClrMD has for the type.
        let types = types["types"].as_array().expect("types");
        assert_eq!(number_of(&of("System.RuntimeType")["count"]), types.len() as u64, "{name}");
        let names: BTreeMap<u64, &Value> = known.iter().map(|kind| (number(&kind["mt"]), &kind["name"])).collect();
        let mut compared = 0;
        for row in types {
            assert!(row["type"].is_string() && row["handle"].is_string(), "{name}: {row}");
            if let Some(known) = names.get(&number(&row["handle"])) {
                assert_eq!(row["type"], **known, "{name}: {row}");
                compared += 1;
            }
        }
        assert!(compared > 3, "{name}: {compared}");
    }
}

fn number_of(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_static_field_is_what_holds_an_object() {
    // fixtures/dotnet-locks: static readonly BlockingCollection<string> Orders, which holds a ConcurrentQueue.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dump = unpacked("locks-8.0.33.core", folder.path());
    let told = answers(&dump, &["roots -kind static -n 1000000"]).remove(0);
    let of = |name: &str| {
        let is_it = |root: &&Value| root["name"].as_str().is_some_and(|own| own.ends_with(name));
        told["roots"].as_array().expect("roots").iter().find(is_it).cloned().expect("a static field")
    };
    let orders = of(".Orders");
    let object = orders["object"]["address"].as_str().expect("an address").to_owned();
    assert_eq!(orders["object"]["type"], "System.Collections.Concurrent.BlockingCollection<System.String>");
    let reached = answers(&dump, &[&format!("references {object}"), &format!("gcroot {object}")]);
    let queue = reached[0]["objects"].as_array().expect("a list").iter().find(|row| {
        row["type"].as_str().is_some_and(|name| name.starts_with("System.Collections.Concurrent.ConcurrentQueue<"))
    });
    let queue = queue.unwrap_or_else(|| panic!("{}", reached[0]));
    assert_eq!(queue["field"], "_collection", "{queue}");
    assert_eq!(reached[1]["paths"][0]["root"]["name"], orders["name"], "{}", reached[1]);
    let path = answers(&dump, &[&format!("gcroot {}", queue["address"].as_str().expect("an address"))]).remove(0);
    let first = &path["paths"][0]["objects"][0];
    assert_eq!((&first["address"], &first["field"]), (&object.as_str().into(), &"_collection".into()), "{path}");
}

#[test]
fn what_threads_hold_is_not_said_to_be_held_by_nothing_where_their_stacks_are_lost() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dump = unpacked("locks-8.0.33.core", folder.path());
    let told = answers(&dump, &["roots -kind stack -n 1000000"]).remove(0);
    let held: BTreeSet<u64> =
        told["roots"].as_array().expect("roots").iter().map(|root| number(&root["object"]["address"])).collect();
    assert!(held.len() > 10, "{told}");
    let mut bytes = std::fs::read(&dump).expect("it was unpacked");
    let threads = lose_stacks(&mut bytes, |_| true);
    assert!(threads > 5, "{threads} threads");
    let lost = folder.path().join("lost");
    std::fs::write(&lost, bytes).expect("it can be written");
    let commands: Vec<String> = held.iter().map(|object| format!("gcroot {object:#x}")).collect();
    let told = answers(&lost, &commands.iter().map(String::as_str).collect::<Vec<_>>());
    let free = told.iter().filter(|told| told["paths"].as_array().is_some_and(Vec::is_empty));
    let incomplete = free.inspect(|told| assert_eq!(told["complete"], false, "{told}")).count();
    assert!(incomplete > 0, "none of {} is held by threads alone", told.len());
}

/// Gives threads of a core, chosen by their ids, a stack pointer that leads nowhere. Their number.
fn lose_stacks(core: &mut [u8], is_one: impl Fn(u32) -> bool) -> u32 {
    let half = |core: &[u8], at: usize| u32::from_le_bytes(core[at..at + 4].try_into().expect("four bytes"));
    let word = |core: &[u8], at: usize| {
        usize::try_from(u64::from_le_bytes(core[at..at + 8].try_into().expect("eight bytes"))).expect("it fits")
    };
    // Elf64_Phdr: p_type 0, p_offset 8, p_filesz 32; PT_NOTE 4; NT_PRSTATUS 1. elf_prstatus: pr_pid 32, pr_reg 112, of which rsp is the 20th. Source: elf.h,
    // sys/procfs.h, sys/user.h.
    let count = usize::from(u16::from_le_bytes(core[56..58].try_into().expect("two bytes")));
    let notes = (0..count).map(|index| 64 + 56 * index).find(|at| half(core, *at) == 4).expect("notes");
    let (mut at, end) = (word(core, notes + 8), word(core, notes + 8) + word(core, notes + 32));
    let mut lost = 0;
    while at < end {
        let (name, size) = (half(core, at) as usize, half(core, at + 4) as usize);
        let body = at + 12 + name.next_multiple_of(4);
        if half(core, at + 8) == 1 && is_one(half(core, body + 32)) {
            core[body + 112 + 19 * 8..][..8].copy_from_slice(&8_u64.to_le_bytes());
            lost += 1;
        }
        at = body + size.next_multiple_of(4);
    }
    lost
}

#[test]
fn exceptions_on_the_heap_are_those_that_clrmd_counts() {
    for name in DUMPS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = unpacked(&format!("{name}.core"), folder.path());
        let told = answers(&dump, &["dumpexceptions -stat", "dumpexceptions"]);
        // .NET's are called so, and nothing else is; one of a fixture is not.
        let is_exception = |kind: &&Value| {
            kind["name"].as_str().is_some_and(|name| name.ends_with("Exception") || name == "Shop.OutOfStock")
        };
        let theirs = truth(name, "heap", folder.path());
        let theirs: BTreeMap<u64, (Value, Value)> = theirs["types"]
            .as_array()
            .expect("types")
            .iter()
            .filter(is_exception)
            .map(|kind| (number(&kind["mt"]), (kind["count"].clone(), kind["bytes"].clone())))
            .collect();
        let ours = told[0]["types"].as_array().expect("types").iter();
        let ours: BTreeMap<_, _> =
            ours.map(|kind| (number(&kind["id"]), (kind["count"].clone(), kind["bytes"].clone()))).collect();
        assert_eq!(ours, theirs, "{name}");
        // Those that the runtime makes for itself, at the least.
        assert!(theirs.len() >= 3, "{name}: {theirs:?}");
        let rows = told[1]["exceptions"].as_array().expect("exceptions");
        for (table, (count, _)) in &theirs {
            assert_eq!(*count, rows.iter().filter(|row| number(&row["id"]) == *table).count(), "{name}: {table:#x}");
        }
        // Each is reachable or not, as of every object is told, and in one generation; what a thread has in flight is reachable.
        const PARTS: [&str; 6] = ["gen0", "gen1", "gen2", "loh", "poh", "foh"];
        let parts = PARTS.map(|part| format!("dumpexceptions -gen {part}"));
        let lists = ["dumpexceptions -live", "dumpexceptions -dead", "dumpheap -live -type Exception -n 100000"];
        let questions: Vec<&str> = parts.iter().map(String::as_str).chain(lists).chain(["exceptions"]).collect();
        let told = answers(&dump, &questions);
        let addresses = |told: &Value| -> BTreeSet<u64> {
            told["exceptions"].as_array().expect("exceptions").iter().map(|row| number(&row["address"])).collect()
        };
        let all: BTreeSet<u64> = rows.iter().map(|row| number(&row["address"])).collect();
        let by_generation: Vec<u64> = told[..PARTS.len()].iter().flat_map(&addresses).collect();
        assert_eq!(by_generation.len(), all.len(), "{name}");
        assert_eq!(by_generation.into_iter().collect::<BTreeSet<_>>(), all, "{name}");
        let (live, dead) = (addresses(&told[PARTS.len()]), addresses(&told[PARTS.len() + 1]));
        assert!(live.is_disjoint(&dead) && live.union(&dead).eq(&all), "{name}: {live:x?}, {dead:x?}");
        let reached = told[PARTS.len() + 2]["objects"].as_array().expect("objects").iter();
        let reached: BTreeSet<u64> = reached.map(|row| number(&row["address"])).filter(|at| all.contains(at)).collect();
        assert!(reached.is_subset(&live) && !reached.is_empty(), "{name}: {reached:x?}, {live:x?}");
        let in_flight = told[PARTS.len() + 3]["exceptions"].as_array().expect("exceptions").iter();
        let in_flight = in_flight.filter(|row| !row["address"].is_null()).map(|row| number(&row["address"]));
        assert!(in_flight.filter(|at| all.contains(at)).all(|at| live.contains(&at)), "{name}");
    }
}

#[test]
fn every_managed_frame_is_where_the_crash_report_has_it() {
    for name in DUMPS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = unpacked(&format!("{name}.core"), folder.path());
        let report = CrashReport::read(&unpacked(&format!("{name}.crashreport.json"), folder.path()));
        let told = answers(&dump, &["stack --all"]).remove(0);
        let mut held = 0;
        let threads = told["threads"].as_array().expect("threads");
        for (tid, theirs) in &report.0 {
            let thread =
                threads.iter().find(|thread| thread["tid"] == *tid).unwrap_or_else(|| panic!("no thread {tid}"));
            let of_frame = |frame: &Value| {
                let function = frame["function"].as_str().map(plain);
                (number(&frame["sp"]), (number(&frame["pc"]), function))
            };
            let managed = thread["frames"].as_array().expect("frames").iter();
            let ours: BTreeMap<_, _> = managed.filter(|frame| frame["kind"] == "managed").map(of_frame).collect();
            for frame in theirs.iter().filter(|frame| frame.managed && frame.method.is_some()) {
                let (pc, function) = ours.get(&frame.sp).unwrap_or_else(|| panic!("{name}, {tid}: no {frame:x?}"));
                assert_eq!(function, &frame.method, "{name}, {tid}");
                // Of a method that has called native code the report has the place of a helper's call, a little before.
                assert!(*pc >= frame.pc && pc - frame.pc < 0x30, "{name}, {tid}: {pc:#x}, {frame:x?}");
                held += 1;
            }
        }
        // Two threads that want each other's lock, one that sleeps in Main, one that waits for a task in Main: what the sources say, at least.
        let least = if name.starts_with("locks") { 30 } else { 1 };
        assert!(held >= least, "{name}: {held} frames");
        println!("{name}: {held} frames");
    }
}

/// The threads of an answer with their frames.
fn of_threads(told: &Value) -> BTreeMap<u64, Vec<Value>> {
    let thread =
        |thread: &Value| (thread["tid"].as_u64().expect("an id"), thread["frames"].as_array().expect("frames").clone());
    told["threads"].as_array().expect("threads").iter().map(thread).collect()
}

#[test]
fn managed_frames_alone_keep_their_numbers_and_their_registers() {
    for name in DUMPS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = unpacked(&format!("{name}.core"), folder.path());
        let told = answers(&dump, &["stack --all", "clrstack -all", "clrstack -all -r", "clrstack -all -n"]);
        let [whole, managed, with_registers, without_lines] = &told[..] else { panic!("four answers") };
        let whole = of_threads(whole);
        let is_managed = |frame: &&Value| frame["kind"] == "managed";
        let expected: BTreeMap<_, _> = whole
            .iter()
            .map(|(tid, frames)| (*tid, frames.iter().filter(is_managed).cloned().collect::<Vec<_>>()))
            .filter(|(_, frames)| !frames.is_empty())
            .collect();
        assert_eq!(of_threads(managed), expected, "{name}");
        let mut held = 0;
        for frame in of_threads(with_registers).into_values().flatten() {
            // What the frame's place is told by.
            assert_eq!(
                (&frame["registers"]["rip"], &frame["registers"]["rsp"]),
                (&frame["pc"], &frame["sp"]),
                "{name}"
            );
            assert!(frame.get("variables").is_none(), "{name}: {frame}");
            held += usize::from(!frame["registers"]["rbp"].is_null());
        }
        assert!(held > 0, "{name}: no frame has its frame pointer");
        assert!(of_threads(without_lines).into_values().flatten().all(|frame| frame["file"].is_null()), "{name}");
        // A frame that is selected by its number in the whole stack.
        let (tid, frames) = expected.iter().max_by_key(|(_, frames)| frames.len()).expect("one");
        let wanted = frames.last().expect("one");
        let select = format!("setthread -t {tid}");
        let told = answers(&dump, &[&select, &format!("frame {}", wanted["index"]), "clrstack -frame"]);
        assert_eq!(told[2]["threads"][0]["frames"], Value::Array(vec![wanted.clone()]), "{name}");
    }
}

#[test]
fn every_managed_thread_is_told_with_its_ids_and_state() {
    for name in DUMPS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = unpacked(&format!("{name}.core"), folder.path());
        let told = answers(&dump, &["clrthreads"]).remove(0);
        let ours: Vec<_> = told["threads"]
            .as_array()
            .expect("threads")
            .iter()
            .map(|thread| {
                (
                    thread["id"].clone(),
                    thread["tid"].as_u64().unwrap_or(0),
                    number(&thread["address"]),
                    thread["state"].to_string(),
                )
            })
            .collect();
        let theirs = truth(name, "threads", folder.path());
        let theirs: Vec<_> = theirs["threads"]
            .as_array()
            .expect("threads")
            .iter()
            .map(|thread| {
                let state = thread["state"].as_str().expect("a number").to_owned();
                (thread["managed_id"].clone(), thread["os_id"].as_u64().unwrap_or(0), number(&thread["address"]), state)
            })
            .collect();
        assert_eq!(ours, theirs, "{name}");
    }
}

/// Where a dump has what was at an address.
fn place(dump: &[u8], address: u64) -> usize {
    let word = |at: usize| u64::from_le_bytes(dump[at..at + 8].try_into().expect("eight bytes"));
    // Elf64_Ehdr: e_phnum 56; Elf64_Phdr of 56 bytes: p_offset 8, p_vaddr 16, p_filesz 32. Source: elf.h.
    let count = usize::from(u16::from_le_bytes(dump[56..58].try_into().expect("two bytes")));
    let mut headers = (0..count).map(|at| 64 + 56 * at);
    let held = headers.find(|at| (word(at + 16)..word(at + 16) + word(at + 32)).contains(&address));
    let header = held.unwrap_or_else(|| panic!("{address:#x} is not in the dump"));
    usize::try_from(word(header + 8) + address - word(header + 16)).expect("it fits")
}

#[test]
fn a_heap_is_intact_until_an_object_is_damaged() {
    for name in DUMPS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = unpacked(&format!("{name}.core"), folder.path());
        let told = answers(&dump, &["verifyheap"]).remove(0);
        assert_eq!((&told["verdict"], &told["findings"]), (&"intact".into(), &Value::Array(Vec::new())), "{name}");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dump = unpacked("objects-9.0.22.core", folder.path());
    let whole = std::fs::read(&dump).expect("it was unpacked");
    let first = number(&answers(&dump, &["print Shop.Shelf.First"]).remove(0)["address"]);
    let object = answers(&dump, &[&format!("dumpobj {first:#x}")]).remove(0);
    let next = object["fields"].as_array().expect("fields").iter().find(|field| field["name"] == "Next");
    let slot = first + next.expect("a field")["offset"].as_u64().expect("an offset");
    let damaged = |address: u64, word: u64| {
        let mut bytes = whole.clone();
        let at = place(&bytes, address);
        bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        let cut = folder.path().join("damaged");
        std::fs::write(&cut, bytes).expect("it can be written");
        let [told, one] = answers(&cut, &["verifyheap", &format!("verifyobj {first:x}")]).try_into().expect("two");
        assert_eq!((&told["verdict"], &one["verdict"]), (&"damaged".into(), &"damaged".into()), "{told} {one}");
        assert_eq!(number(&one["findings"][0]["address"]), address, "{one}");
        let findings = told["findings"].as_array().expect("findings").iter();
        let findings = findings.filter(|finding| finding["code"] == "heap-damaged");
        findings.map(|finding| (number(&finding["address"]), finding["message"].to_string())).collect::<Vec<_>>()
    };
    // Within an object, and out of the heap.
    for to in [first + 8, 0x1000] {
        let found = damaged(slot, to);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].0 == slot && found[0].1.contains(&format!("{to:#x}")), "{found:?}");
    }
    // No class: what stands behind it in its segment is not reached, and that is said, too.
    let found = damaged(first, slot);
    assert_eq!((found.len(), found[0].0), (1, first), "{found:?}");
}

/// A dump of fixtures/dotnet-async, of which one word after the other is damaged.
struct Damaged {
    folder: tempfile::TempDir,
    whole: Vec<u8>,
}

impl Damaged {
    fn new() -> Damaged {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let whole = std::fs::read(unpacked("async-10.0.14.core", folder.path())).expect("it was unpacked");
        Damaged { folder, whole }
    }

    /// What commands answer, warnings among it, once something was done to the dump.
    fn told(&self, commands: &[&str], damage: impl FnOnce(&mut Vec<u8>)) -> Vec<Value> {
        let damaged = self.folder.path().join("damaged");
        let nowhere = tempfile::tempdir().expect("a temporary folder");
        let mut bytes = self.whole.clone();
        damage(&mut bytes);
        std::fs::write(&damaged, bytes).expect("it can be written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
        command.arg("analyze").arg(&damaged).args(["--json", "--offline", "--sysroot"]).arg(nowhere.path());
        command.args(commands.iter().flat_map(|line| ["-c", line]));
        run(command).expect_status(0).documents()
    }

    /// The same of the summary, for the desk, which waits for what is in its own queue: whether that is certain, and all that is said of it; none where
    /// that is not told. And what of asynchronous work is said not to have been read.
    fn desk(&self, damage: impl FnOnce(&mut Vec<u8>)) -> (Option<(bool, String)>, String) {
        let summary = self.told(&["summary"], damage).remove(0)["data"].take();
        let all = summary["findings"].as_array().expect("findings");
        let of = |rule: &'static str| all.iter().filter(move |finding| finding["rule"] == rule);
        let desk =
            of("own-queue").find(|finding| finding["title"].as_str().is_some_and(|title| title.contains("desk waits")));
        let desk = desk.map(|desk| (desk["certain"] == true, desk["evidence"].to_string()));
        (desk, of("unread-work").map(Value::to_string).collect())
    }
}

fn overwrite(bytes: &mut [u8], address: u64, word: u64) {
    let at = place(bytes, address);
    bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
}

#[test]
fn tasks_and_calls_behind_a_damaged_object_are_told_and_so_is_the_place() {
    let damaged = Damaged::new();
    let commands = ["dumpasync", "dumphttp", "dumprequests", "print Shop.Program.Kept"];
    let before = damaged.told(&commands, |_| ());
    let stacks = |told: &Value| told["data"]["stacks"].as_array().map(Vec::len).expect("stacks");
    assert!(stacks(&before[0]) > 20, "{}", before[0]);
    // A list that no task refers to.
    let kept = number(&before[3]["data"]["address"]);
    let told = damaged.told(&commands[..3], |bytes| overwrite(bytes, kept, 8));
    assert_eq!(told[0]["data"]["stacks"], before[0]["data"]["stacks"]);
    assert_eq!(
        (&told[1]["data"]["calls"], 1),
        (&before[1]["data"]["calls"], told[1]["data"]["calls"].as_array().expect("calls").len())
    );
    // A List: its method table, what it refers to, two numbers, and the header of the next.
    let place = format!("32 bytes of the managed heap are not searched, at {kept:#x}: ");
    for told in &told {
        assert_eq!(told["data"]["complete"], false, "{told}");
        assert!(told["warnings"].to_string().contains(&place), "{told}");
    }
    // What cannot be read may be a method that takes from the desk's queue.
    let (desk, unread) = damaged.desk(|bytes| overwrite(bytes, kept, 8));
    let (certain, why) = desk.expect("it is told");
    assert!(
        !certain && why.contains("not all suspended methods, timers and work of the thread pool could be read"),
        "{why}"
    );
    assert!(unread.contains(&place), "{unread}");
}

#[test]
fn a_thread_is_certain_to_wait_for_itself_only_where_all_was_read_that_would_show_another_taker() {
    let damaged = Damaged::new();
    let (desk, unread) = damaged.desk(|_| ());
    let (certain, evidence) = desk.expect("it is told");
    assert!(certain && unread.is_empty(), "{unread}");
    let threads = damaged.told(&["clrthreads"], |_| ()).remove(0);
    let threads = threads["data"]["threads"].as_array().expect("threads");
    let tid = |name: &str| -> u32 {
        let thread = threads.iter().find(|thread| thread["name"] == name).expect("it is there");
        u32::try_from(thread["tid"].as_u64().expect("an id")).expect("it is small")
    };
    // What another thread's methods hold is not known.
    let quiet = tid("quiet");
    let (desk, _) = damaged.desk(|bytes| assert_eq!(lose_stacks(bytes, |tid| tid == quiet), 1));
    let (certain, why) = desk.expect("it is told");
    assert!(!certain && why.contains("not all that methods of other threads hold could be read"), "{why}");
    // Nor is its context.
    let objects = damaged.told(&["dumpheap -type System.Threading.Thread"], |_| ()).remove(0);
    let objects = objects["data"]["objects"].as_array().expect("objects").iter();
    let objects: Vec<u64> = objects
        .filter(|object| object["type"] == "System.Threading.Thread")
        .map(|object| number(&object["address"]))
        .collect();
    let commands: Vec<String> = objects.iter().map(|at| format!("dumpobj {at:#x}")).collect();
    let told = damaged.told(&commands.iter().map(String::as_str).collect::<Vec<_>>(), |_| ());
    let object = told.iter().position(|told| told["data"]["fields"].to_string().contains("quiet"));
    let object = objects[object.expect("it has an object")];
    let (desk, _) = damaged.desk(|bytes| overwrite(bytes, object, 8));
    let (certain, why) = desk.expect("it is told");
    assert!(!certain && why.contains("it is not known of every other thread that it has another context"), "{why}");
    // What is in the queue cannot be read: it is the word after two references and the method table, _head.
    let queue = evidence.split("it is in the queue ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a queue");
    let queue = u64::from_str_radix(queue.trim_start_matches("0x"), 16).expect("an address");
    let (desk, unread) = damaged.desk(|bytes| overwrite(bytes, queue + 24, 0x1000));
    assert!(desk.is_none_or(|(certain, _)| !certain));
    assert!(unread.contains("what is queued in 1 synchronization contexts cannot be read, or not all: "), "{unread}");
}

/// What fixtures/dotnet-locks has two threads do to each other.
#[test]
fn a_deadlock_is_told_without_any_file_of_the_process() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dump = unpacked("locks-8.0.33.core", folder.path());
    let told = answers(&dump, &["summary", "locks"]);
    let title = told[0]["findings"][0]["title"].as_str().expect("a title");
    assert!(title.starts_with("deadlock: "), "{title}");
    assert!(told[1]["deadlocks"].as_array().is_some_and(|cycles| !cycles.is_empty()), "{}", told[1]);
}

#[test]
fn of_a_dump_that_was_cut_it_is_said_that_its_runtime_is_not_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dump = unpacked("locks-8.0.33.core", folder.path());
    let whole = std::fs::read(&dump).expect("it was unpacked");
    let threads = answers(&dump, &["threads"]).remove(0)["threads"].as_array().expect("threads").len();
    for quarter in 1..4 {
        let cut = folder.path().join("cut");
        std::fs::write(&cut, &whole[..whole.len() / 4 * quarter]).expect("it can be written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
        command.arg("analyze").arg(&cut).args([
            "--json",
            "--offline",
            "-c",
            "summary",
            "-c",
            "threads",
            "-c",
            "dumpasync",
            "-c",
            "dumpheap -stat",
            "-c",
            "gcroot 0x1000",
        ]);
        let told = run(command).documents();
        // The library is still listed by its mappings, and every thread by its registers.
        let runtime = &told[0]["data"]["runtimes"][0];
        assert_eq!(
            (&runtime["kind"], &runtime["version"]),
            (&"dotnet".into(), &"8.0.33".into()),
            "{quarter}: {runtime}"
        );
        let not_read = runtime["not_read"].to_string();
        assert!(["managed frames", "monitors", "tasks"].iter().all(|part| not_read.contains(part)), "{not_read}");
        let findings = told[0]["data"]["findings"].to_string();
        assert!(findings.contains("managed frames, monitors and tasks are not read"), "{quarter}: {findings}");
        assert_eq!(told[1]["data"]["threads"].as_array().map(Vec::len), Some(threads));
        // Nor is .NET told to be absent, nor an assembly taken for a file of the loader's.
        let message = told[2]["error"]["message"].as_str().expect("an error");
        assert!(message.contains("not in this dump"), "{quarter}: {message}");
        // Nor is the C library's heap told instead of its own.
        for told in &told[3..] {
            let message = told["error"]["message"].as_str().expect("an error");
            assert!(message.starts_with("the runtime coreclr is in the process and cannot be read: "), "{message}");
        }
        assert!(!told[0]["warnings"].to_string().contains(".dll"), "{quarter}: {}", told[0]["warnings"]);
    }
}
