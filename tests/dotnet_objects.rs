//! Objects of .NET, in dumps of `fixtures/dotnet-objects`, whose source states what is in each; without any file of the process.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::{Dotnet, Started, as_address, run};

/// A dump of the fixture, as createdump writes it, on each runtime.
fn each_dump(flag: &str, test: impl Fn(&Dotnet, &Path, &Started)) {
    let dotnet = Dotnet::find();
    for (version, runtime) in &dotnet.runtimes {
        println!(".NET {version}");
        let process = dotnet.start(version, "dotnet-objects", "Objects");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = folder.path().join("core");
        let mut command = Command::new(runtime.join("createdump"));
        command.args([flag, "-f"]).arg(&dump).arg(process.pid().to_string());
        run(command).expect_status(0);
        test(&dotnet, &dump, &process);
    }
}

/// What commands answer of a dump on a machine that has no file of its process: data, or the error's message.
fn answers<S: AsRef<str>>(dump: &Path, commands: &[S]) -> Vec<Value> {
    let nowhere = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(dump).args(["--json", "--offline", "--sysroot"]).arg(nowhere.path());
    command.args(commands.iter().flat_map(|line| ["-c", line.as_ref()]));
    let documents = run(command).documents();
    assert_eq!(documents.len(), commands.len());
    let answer = |mut document: Value| match document["data"].take() {
        Value::Null => document["error"]["message"].take(),
        data => data,
    };
    documents.into_iter().map(answer).collect()
}

/// What `dumpobj` says of the objects that paths lead to.
fn objects(dump: &Path, paths: &[&str]) -> Vec<Value> {
    let printed = answers(dump, &paths.iter().map(|path| format!("print {path}")).collect::<Vec<_>>());
    let address = |value: &Value| value["address"].as_str().unwrap_or_else(|| panic!("{value}")).to_owned();
    answers(dump, &printed.iter().map(|value| format!("dumpobj {}", address(value))).collect::<Vec<_>>())
}

/// The value of each field by its name; of references to objects what follows the address.
fn fields(object: &Value) -> BTreeMap<&str, Value> {
    let fields = object["fields"].as_array().unwrap_or_else(|| panic!("{object}")).iter();
    fields.map(|field| (field["name"].as_str().expect("a name"), without_address(&field["value"]))).collect()
}

/// The elements of an array or collection, each under its key where it has one.
fn elements(object: &Value) -> Value {
    let elements = object["elements"].as_array().unwrap_or_else(|| panic!("{object}")).iter();
    let element = |element: &Value| match &element["key"] {
        Value::Null => without_address(&element["value"]),
        key => json!([key, without_address(&element["value"])]),
    };
    Value::from_iter(elements.map(element))
}

/// `Shop.Order` of `0x7f… Shop.Order`.
fn without_address(value: &Value) -> Value {
    let told = value.as_str().and_then(|text| text.strip_prefix("0x")?.split_once(' '));
    told.map_or_else(|| value.clone(), |(_, told)| told.into())
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn fields_have_the_values_that_their_source_states() {
    each_dump("--withheap", |_, dump, _| {
        let told = objects(dump, &["Shop.Shelf.Scalars", "Shop.Shelf.Words", "Shop.Shelf.Derived", "Shop.Shelf.Cycle"]);
        let scalars = fields(&told[0]);
        for (name, value) in [
            ("Yes", json!(true)),
            ("Letter", json!("é")),
            ("Small", json!(-8)),
            ("Byte", json!(200)),
            ("Short", json!(-1600)),
            ("Port", json!(65535)),
            ("Int", json!(-5)),
            ("Unsigned", json!(4_000_000_000_u32)),
            ("Long", json!(i64::MIN)),
            ("Huge", json!(u64::MAX)),
            ("Single", json!(1.5)),
            ("Double", json!(-0.25)),
            ("Native", json!("0x1234")),
            ("NativeUnsigned", json!("0xffff")),
            ("Pointer", json!("0x4560")),
            ("Wing", json!("South")),
            // No enumeration of flags: 3 has no name.
            ("None", json!("3")),
            ("Rights", json!("Read | Run")),
            ("Depth", json!("Deep")),
            ("Text", json!("text \"quoted\"\n")),
            ("Nothing", Value::Null),
            ("Empty", json!("")),
            ("Boxed", json!("System.Int32: 17")),
            ("BoxedWing", json!("Shop.Wing: East")),
            ("BoxedPoint", json!("Shop.Point: {X = 5, Y = 6, Label = null}")),
        ] {
            assert_eq!(scalars[name], value, "{name}");
        }
        let words = fields(&told[1]);
        for (name, value) in [
            ("Utc", json!("2026-05-06 07:08:09Z")),
            ("Plain", json!("1999-12-31 23:59:59.5")),
            ("Offset", json!("2026-05-06 07:08:09 -01:30")),
            ("Span", json!("-1.02:03:04.005")),
            ("Day", json!("2024-02-29")),
            ("Time", json!("13:14:15")),
            ("Id", json!("00112233-4455-6677-8899-aabbccddeeff")),
            ("Price", json!("12.50")),
            ("Debt", json!("-0.001")),
            ("Some", json!(7)),
            ("Null", Value::Null),
            ("Date", json!("2000-01-01 00:00:00")),
            ("Version", json!("System.Version: 1.2.3")),
            ("Big", json!("1000000000000000000000000000000")),
            ("SmallBig", json!("-42")),
            ("Wide", json!("-170")),
            ("WideUnsigned", json!(u128::MAX.to_string())),
            ("Half", json!("1.5")),
            ("Uri", json!("System.Uri: \"http://shop.example/orders\"")),
            ("Type", json!("System.RuntimeType: System.Collections.Generic.Dictionary<System.String, Shop.Order>")),
            ("Builder", json!(format!("System.Text.StringBuilder: \"built {} end\"", "x".repeat(40)))),
            ("Lazy", json!("System.Lazy<System.String>: \"made\"")),
            ("Later", json!("System.Lazy<System.String>: not made yet")),
            ("Failure", json!("Shop.OutOfStock: \"no pears\"")),
            ("Tuple", json!("{Item1 = 1, Item2 = \"one\"}")),
            ("Entry", json!("{key = \"key\", value = 3}")),
            ("Nested", json!("{First = 1, Second = {First = \"inner\", Second = North}}")),
            ("Nested.Second.Second", json!("North")),
        ] {
            assert_eq!(words[name], value, "{name}");
        }
        // Bases first; both have a field of one name.
        let derived = told[2]["fields"].as_array().expect("fields").iter();
        let derived: Vec<(&str, Value)> =
            derived.map(|field| (field["name"].as_str().expect("a name"), field["value"].clone())).collect();
        assert_eq!(
            derived,
            [
                ("secret", json!(1)),
                ("kept", json!("kept")),
                ("secret", json!(2)),
                ("Where", json!("{X = 3, Y = 4, Label = \"here\"}")),
                ("Where.X", json!(3)),
                ("Where.Y", json!(4)),
                ("Where.Label", json!("here")),
            ]
        );
        assert_eq!(told[3]["fields"][0]["address"], told[3]["address"]);
        // A Lazy that is its own value.
        let knot = objects(dump, &["Shop.Shelf.Knot.Lazy"]).remove(0);
        let value = knot["fields"].as_array().expect("fields").iter().find(|field| field["name"] == "_value");
        assert_eq!(value.expect("a value")["address"], knot["address"]);
        // Structures that are one field again and again.
        let arrays = objects(dump, &["Shop.Shelf.Arrays", "Shop.Shelf.Arrays.BoxedThree"]);
        let of_arrays = fields(&arrays[0]);
        for (name, value) in [
            ("Three", "[10, 20, 30]"),
            ("Two", "[{A = 1, B = 0}, {A = 2, B = 3}]"),
            ("Buffer", "{Fixed = ['a', 'b', 'c', 'd', 'e'], After = 6}"),
        ] {
            assert_eq!(of_arrays[name], value, "{name}");
        }
        assert_eq!(elements(&arrays[1]), json!([10, 20, 30]));
    });
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn collections_arrays_and_delegates_are_told_as_what_they_hold() {
    let collections: Vec<(&str, Value)> = vec![
        ("List", json!([1, 2, 3])),
        ("Texts", json!(["one", null])),
        ("Orders", json!(["Shop.Order"])),
        ("ByName", json!([["pears", "Shop.Order"], ["apples", "Shop.Order"]])),
        ("Points", json!([[7, "{X = 1, Y = 2, Label = null}"]])),
        ("Set", json!([30, 20, 40])),
        ("Queue", json!(["b", "c", "d", "e"])),
        ("Stack", json!(["top", "bottom"])),
        ("Priority", json!(["{Item1 = \"soon\", Item2 = 1}", "{Item1 = \"late\", Item2 = 9}"])),
        ("Sorted", json!([["a", 1], ["b", 2], ["c", 3]])),
        ("SortedList", json!([["x", 1], ["y", 2]])),
        ("SortedSet", json!([1, 3, 5, 7, 9])),
        ("Linked", json!(["first", "second"])),
        ("Shared", json!([[0, "code-0"], [1, "code-1"], [2, "code-2"]])),
        ("Line", json!([95, 96, 97, 98, 99])),
        ("Pile", json!([2, 1])),
        ("Bag", json!([11, 12])),
        ("Blocking", json!([77])),
        ("FixedList", json!([4, 5, 6])),
        ("FixedMap", json!([["k", 1]])),
        ("FixedSorted", json!([["m", 1], ["n", 2]])),
        ("FixedSet", json!(["only"])),
        ("FixedArray", json!([1, 2, 3])),
        ("Old", json!(["System.Int32: 1", "two", "System.Double: 3.0"])),
        ("Hash", json!([["k", "System.Int32: 1"]])),
        ("Bits", json!([true, false, true, true, false, false, false, false, true])),
        ("Slice", json!([2, 3])),
        ("Memory", json!([8, 7])),
        ("ReadOnly", json!([6, 7])),
        ("Plain", json!(["in"])),
        ("Weak", json!(["Shop.Order"])),
        // Memory of a text.
        ("Letters", json!(["t", "t", "e"])),
        ("FrozenNone", json!([])),
    ];
    // Those that have an order of their own.
    let many: Vec<(i32, i32)> = (1..=20).map(|number| (number * 1000, number)).collect();
    let unordered: Vec<(&str, Value)> = vec![
        ("FrozenTexts", json!([["x", 1], ["yy", 2], ["zzz", 3]])),
        ("FrozenFew", json!([[7, "seven"], [9, "nine"]])),
        ("FrozenMany", json!(many)),
        ("FrozenWings", json!([["East", "e"], ["South", "s"]])),
        ("FrozenWords", json!(["blue", "green", "red"])),
        ("FrozenNumbers", Value::from_iter(many.iter().map(|(number, _)| *number))),
    ];
    let arrays: Vec<(&str, Value)> = vec![
        ("Numbers", json!([1, 2, 3])),
        ("Texts", json!(["x", null])),
        ("Grid", json!([["0,0", 1], ["0,1", 2], ["0,2", 3], ["1,0", 4], ["1,1", 5], ["1,2", 6]])),
        ("Lower", json!([["5,-1", 0], ["5,0", 0], ["6,-1", 0], ["6,0", 9]])),
        ("One", json!([["3", 0], ["4", 8]])),
        ("Jagged", json!(["System.String[]: 1 element", "System.String[]: 0 elements"])),
        ("Points", json!(["{X = 1, Y = 0, Label = \"a\"}", "{X = 2, Y = 0, Label = null}"])),
        (
            "Mixed",
            json!([
                "System.Int32: 1",
                "s",
                null,
                "Shop.Wing: South",
                "System.Double: 2.5",
                "System.Char: 'c'",
                "System.Boolean: true"
            ]),
        ),
        ("Letters", json!(["h", "i"])),
        ("Prices", json!(["1.5", null])),
    ];
    let calls: Vec<(&str, Value)> = vec![
        ("Static", json!([["Shop.Program.Work()", null]])),
        (
            "Closed",
            json!([["Shop.Program+<>c__DisplayClass3_0.<Adder>b__0(Int32)", "Shop.Program+<>c__DisplayClass3_0"]]),
        ),
        ("Several", json!([["Shop.Program.First(System.Object)", null], ["Shop.Program.Second(System.Object)", null]])),
        ("Made", json!([["DynamicClass.MadeAtRunTime()", null]])),
        ("Open", json!([["Shop.Order.get_Name()", null]])),
    ];
    each_dump("--withheap", |_, dump, _| {
        for (owner, expected) in [("Collections", &collections), ("Arrays", &arrays), ("Calls", &calls)] {
            let paths: Vec<String> = expected.iter().map(|(name, _)| format!("Shop.Shelf.{owner}.{name}")).collect();
            let told = objects(dump, &paths.iter().map(String::as_str).collect::<Vec<_>>());
            for ((name, expected), told) in expected.iter().zip(&told) {
                assert_eq!(&elements(told), expected, "{owner}.{name}");
                assert_eq!(told["elements_left_out"], 0, "{owner}.{name}");
            }
        }
        for (name, expected) in &unordered {
            let told = objects(dump, &[&format!("Shop.Shelf.Collections.{name}")]).remove(0);
            let mut found = elements(&told).as_array().expect("elements").clone();
            found.sort_by_key(|element| (element[0].as_i64().or(element.as_i64()), element.to_string()));
            assert_eq!(&Value::from(found), expected, "{name}");
            assert_eq!((&told["elements_left_out"], &told["elements_unread"]), (&json!(0), &Value::Null), "{name}");
        }
        let told = objects(dump, &["Shop.Shelf.Collections.Attached", "Shop.Shelf.Collections.Many"]);
        let attached: Vec<Value> = told[0]["elements"].as_array().expect("elements").to_vec();
        assert!(attached.iter().all(|entry| without_address(&entry["key"]) == "Shop.Order"), "{attached:?}");
        assert_eq!(
            Value::from_iter(attached.iter().map(|entry| entry["value"].clone())),
            json!(["note", "other note"])
        );
        assert_eq!((&told[1]["elements"][0]["value"], &told[1]["elements_left_out"]), (&json!(2999), &json!(2900)));
        let told = objects(
            dump,
            &[
                "Shop.Shelf.Arrays.Large",
                "Shop.Shelf.Collections.Orders",
                "Shop.Shelf.Calls.Several",
                "Shop.Shelf.Tasks",
            ],
        );
        assert_eq!((told[0]["elements_left_out"].as_u64(), told[0]["bytes"].as_u64()), (Some(299_900), Some(300_024)));
        // A list that has fields of its own, too.
        assert_eq!(fields(&told[1])["Owner"], "clerk");
        let tasks = fields(&told[3]);
        let status = |name: &str| tasks[name].as_str().and_then(|told| Some(told.rsplit_once(": ")?.1.to_owned()));
        for (name, expected) in [
            ("Done", "RanToCompletion"),
            ("Failed", "Faulted"),
            ("Canceled", "Canceled"),
            ("Waiting", "WaitingForActivation"),
            ("Created", "Created"),
        ] {
            assert_eq!(status(name).as_deref(), Some(expected), "{name}");
        }
        let address = |told: &Value| told["address"].as_str().expect("an address").to_owned();
        let large = address(&told[0]);
        let asked = answers(
            dump,
            &[
                format!("dumparray {large} -start 299998"),
                format!("dumparray {large} -start 3 -length 2"),
                format!("dumpdelegate {}", address(&told[2])),
                format!("dumparray {}", address(&told[1])),
                format!("dumpdelegate {large}"),
            ],
        );
        assert_eq!((elements(&asked[0]), &asked[0]["length"]), (json!([0, 7]), &json!(300_000)));
        assert_eq!(elements(&asked[1]), json!([0, 0]));
        let methods = asked[2]["targets"].as_array().expect("targets").iter().map(|target| target["method"].clone());
        assert_eq!(
            Value::from_iter(methods),
            json!(["Shop.Program.First(System.Object)", "Shop.Program.Second(System.Object)"])
        );
        assert!(asked[3].as_str().is_some_and(|why| why.contains("is no array")), "{}", asked[3]);
        assert!(asked[4].as_str().is_some_and(|why| why.contains("is no delegate")), "{}", asked[4]);
    });
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn paths_lead_from_static_fields_and_addresses_to_values() {
    each_dump("--withheap", |_, dump, process| {
        let asked =
            |paths: &[String]| answers(dump, &paths.iter().map(|path| format!("print {path}")).collect::<Vec<_>>());
        let cases = [
            ("Shop.Shelf.Orders[1].Name", json!("\"plums\"")),
            ("Shop.Shelf.First.Next.Count", json!("3")),
            ("Shop.Shelf.Collections.ByName[\"apples\"].Name", json!("\"apples\"")),
            ("Shop.Shelf.Collections.Points[7].Y", json!("2")),
            ("Shop.Shelf.Collections.Sorted[b]", json!("2")),
            ("Shop.Shelf.Arrays.Grid[1,2]", json!("6")),
            ("Shop.Shelf.Arrays.Lower[6,0]", json!("9")),
            ("Shop.Shelf.Arrays.Large[299999]", json!("7")),
            ("Shop.Shelf.Scalars.BoxedPoint.Y", json!("6")),
            ("Shop.Shelf.Words.Tuple.Item2", json!("\"one\"")),
            ("Shop.Shelf.Total", json!("4711")),
            ("Shop.Shelf.Corner.Label", json!("\"corner\"")),
            ("Shop.Shelf.Open", json!("East")),
            ("Shop.Shelf.Since", json!("2026-01-02 03:04:05Z")),
            ("Shop.Box<System.Int32>.Made", json!("11")),
            ("Shop.Box<System.Int32>.Last", json!("33")),
            ("Shop.Box<System.String>.Made", json!("22")),
            ("Shop.Box<System.String>.Last", json!("\"last\"")),
            ("Shop.Shelf.First.Next.Next.Name", json!("it leads to null")),
            ("Shop.Shelf.Orders[7]", json!("there is no [7]")),
            // An index is a key where there are keys, and held against the bounds where there are bounds.
            ("Shop.Shelf.Collections.Points[0]", json!("there is no [0]")),
            ("Shop.Shelf.Collections.Squares[3]", json!("9")),
            (
                "Shop.Shelf.Collections.Squares[2999]",
                json!("there is no [2999] among the first 2000; 1000 more were not looked at"),
            ),
            ("Shop.Shelf.Collections.Many[2999]", json!("0")),
            ("Shop.Shelf.Collections.Many[3000]", json!("there is no [3000]")),
            ("Shop.Shelf.Arrays.Numbers[2]", json!("3")),
            ("Shop.Shelf.Arrays.Numbers[3]", json!("there is no [3]")),
            ("Shop.Shelf.Arrays.Grid[2,0]", json!("there is no [2,0]")),
            ("Shop.Shelf.Arrays.Grid[5]", json!("there is no [5]")),
            ("Shop.Shelf.Arrays.Lower[0]", json!("there is no [0]")),
            ("Shop.Shelf.Arrays.Lower[0,0]", json!("there is no [0,0]")),
            ("Shop.Shelf.Arrays.One[4]", json!("8")),
            ("Shop.Shelf.Arrays.One[0]", json!("there is no [0]")),
            ("Shop.Shelf.Arrays.Three[1]", json!("20")),
            ("Shop.Shelf.Arrays.Two[1].B", json!("3")),
            ("Shop.Shelf.Arrays.Buffer.Fixed[4]", json!("'e'")),
            ("Shop.Shelf.Arrays.BoxedThree[2]", json!("30")),
            ("Shop.Shelf.Arrays.BoxedThree[3]", json!("there is no [3]")),
            ("Shop.Shelf.Nope", json!("Shop.Shelf has no static field Nope")),
            ("Shop.Shelf.First.Nope", json!("Shop.Order has no field Nope")),
        ];
        let paths: Vec<String> = cases.iter().map(|(path, _)| (*path).to_owned()).collect();
        for ((path, expected), told) in cases.iter().zip(asked(&paths)) {
            let value = if told.is_string() { &told } else { &told["value"] };
            assert_eq!(value, expected, "{path}: {told}");
        }
        let told =
            asked(&["Shop.Shelf.First", "Shop.Shelf.Current", "Shop.Shelf.Number", "Shop.Shelf"].map(String::from));
        let by_address = format!("{}.Next.Name", told[0]["address"].as_str().expect("an address"));
        assert_eq!(asked(&[by_address])[0]["value"], "\"plums\"");
        // Of each thread one: that of the first, and of the one that it started.
        let numbers = told[2]["value"].as_str().expect("a value");
        assert!(numbers.starts_with(&format!("[[thread {}] = 1, [thread ", process.pid())), "{numbers}");
        assert!(numbers.ends_with("] = 2]"), "{numbers}");
        assert_eq!(told[1]["elements"].as_array().map(Vec::len), Some(2), "{}", told[1]);
        let statics = told[3]["fields"].as_array().expect("fields").iter();
        assert!(statics.clone().any(|field| field["name"] == "Total" && field["value"] == "4711"), "{}", told[3]);
    });
}

#[test]
#[ignore = "needs .NET and ClrMD: tests/run takes them where they are"]
fn references_and_statics_are_those_that_clrmd_reads() {
    each_dump("--withheap", |dotnet, dump, _| {
        let types = dotnet.clrmd("heap", dump);
        let types = types["types"].as_array().expect("types").iter();
        let names: BTreeMap<u64, &str> =
            types.filter_map(|kind| Some((as_address(&kind["mt"])?, kind["name"].as_str()?))).collect();
        // Address, method table, bytes, what it refers to.
        let theirs = dotnet.clrmd("objects", dump);
        let theirs = theirs["objects"].as_array().expect("objects").iter();
        let name = |object: &Value| names.get(&object[1].as_u64()?).copied().filter(|name| name.starts_with("Shop."));
        let mine: Vec<(&str, &Value)> = theirs.filter_map(|object| Some((name(object)?, object))).collect();
        assert!(mine.len() > 20, "{} objects", mine.len());
        let ask = |(_, object): &(&str, &Value)| format!("dumpobj {:#x}", object[0].as_u64().expect("an address"));
        for ((name, object), told) in mine.iter().zip(answers(dump, &mine.iter().map(ask).collect::<Vec<_>>())) {
            assert_eq!((&told["type"], &told["bytes"]), (&Value::from(*name), &object[2]), "{object}");
            assert_eq!(as_address(&told["id"]), object[1].as_u64(), "{object}");
            let parts = ["fields", "elements"].map(|part| told[part].as_array().expect("a list"));
            let own = parts.into_iter().flatten().filter(|part| part["static"] != true);
            let own: BTreeSet<u64> = own.filter_map(|part| as_address(&part["address"])).collect();
            let theirs = object[3].as_array().expect("references").iter().filter_map(Value::as_u64);
            let missing = theirs.filter(|to| !own.contains(to)).count();
            // The digits of a number of many are in its spelling, what an element of an array of structures refers to in its line.
            // What is attached to an object counts to ClrMD as what it refers to.
            let most = if ["Shop.Words", "Shop.Order"].contains(name) { 1 } else { 0 };
            assert!(missing <= most || name.ends_with("[]"), "{name} {object}: {told}");
        }
        let roots = dotnet.clrmd("roots", dump);
        let statics = roots["statics"].as_array().expect("statics").iter();
        let is_mine = |known: &&Value| known["field"].as_str().is_some_and(|name| name.starts_with("Shop.Shelf."));
        let statics: Vec<&Value> = statics.filter(is_mine).collect();
        assert!(statics.len() >= 9, "{statics:?}");
        let ask = |known: &&Value| format!("print {}", known["field"].as_str().expect("a name"));
        for (known, told) in statics.iter().zip(answers(dump, &statics.iter().map(ask).collect::<Vec<_>>())) {
            let object = as_address(&known["object"]);
            if told["address"].is_null() {
                // A structure lies in the object that it is boxed in, behind its method table.
                assert_eq!(as_address(&told["location"]), object.map(|object| object + 8), "{known}: {told}");
            } else {
                assert_eq!(as_address(&told["address"]), object, "{known}: {told}");
                assert_eq!(as_address(&told["location"]), as_address(&known["address"]), "{known}: {told}");
            }
        }
    });
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn a_small_dump_says_what_of_an_object_it_lacks() {
    each_dump("--normal", |_, dump, _| {
        let told =
            answers(dump, &["print Shop.Shelf.Total", "print Shop.Shelf.First.Name", "dumpheap -stat", "verifyheap"]);
        for told in &told[..2] {
            let why = told["unknown"].as_str().or(told.as_str()).unwrap_or_else(|| panic!("{told}"));
            assert!(why.contains("not in the dump"), "{why}");
        }
        // The managed heap is told to be there, and not to have been read; that of malloc is not what was asked for.
        assert_eq!((&told[2]["heap"], &told[2]["total"]["complete"]), (&json!(".NET"), &json!(false)), "{}", told[2]);
        assert_eq!(told[3]["verdict"], "unsure", "{}", told[3]);
    });
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn without_the_assemblies_nothing_is_said_to_be_absent() {
    let dotnet = Dotnet::find();
    for (version, _) in &dotnet.runtimes {
        println!(".NET {version}");
        let process = dotnet.start(version, "dotnet-objects", "Objects");
        let folder = tempfile::tempdir().expect("a temporary folder");
        // gdb leaves out what is in files: the names of classes and fields are in none of its memory. They would be read from the files, if these were
        // where the dump says.
        let mut command = Command::new("gcore");
        command.arg("-o").arg(folder.path().join("gdb")).arg(process.pid().to_string());
        run(command).expect_status(0);
        let core = folder.path().join(format!("gdb.{}", process.pid()));
        let mut command = Command::new("sed");
        let wide = |text: &str| text.chars().map(|letter| format!("{letter}\\x00")).collect::<String>();
        let names = [("Microsoft.NETCore.App", "Microsoft.NETCore.Off"), ("Objects.dll", "Objects.off")];
        let edits = names.map(|(name, other)| format!("s/{}/{other}/g;s/{}/{}/g", name, wide(name), wide(other)));
        command.args(["-i", &edits.join(";")]).arg(&core).env("LC_ALL", "C");
        run(command).expect_status(0);
        let told = answers(&core, &["threadpool", "timerinfo", "print Shop.Shelf.Total", "print Shop.Shelf"]);
        for told in told {
            let why = told.as_str().unwrap_or_else(|| panic!("{told}"));
            assert!(["cannot be read", "cannot be told"].iter().any(|said| why.contains(said)), "{why}");
            assert!(why.contains("not in the dump"), "{why}");
        }
    }
}

#[test]
#[ignore = "needs .NET and ClrMD: tests/run takes them where they are"]
fn a_heap_of_segments_has_the_objects_that_clrmd_reads() {
    let dotnet = Dotnet::find();
    let program = support::repository().join("fixtures/dotnet-objects/Objects.dll");
    for (version, runtime) in &dotnet.runtimes {
        for server in ["0", "1"] {
            println!(".NET {version}, server {server}");
            let mut command = dotnet.command(version, &program);
            // The collector that the runtime ships for those who want segments, not regions.
            command.env("DOTNET_GCName", "libclrgc.so").env("DOTNET_gcServer", server);
            let (process, printed) = Started::ready(&mut command, "dotnet-runtime-8.0");
            assert_eq!(&printed, version);
            let folder = tempfile::tempdir().expect("a temporary folder");
            let dump = folder.path().join("core");
            let mut command = Command::new(runtime.join("createdump"));
            command.args(["--withheap", "-f"]).arg(&dump).arg(process.pid().to_string());
            run(command).expect_status(0);
            let told = answers(&dump, &["dumpheap -stat", "dumpheap -arenas", "verifyheap", "eeheap"]);
            let row =
                |kind: &Value, id: &str| Some((as_address(&kind[id])?, (kind["count"].clone(), kind["bytes"].clone())));
            let ours: BTreeMap<_, _> =
                told[0]["types"].as_array().expect("types").iter().filter_map(|kind| row(kind, "id")).collect();
            let heap = dotnet.clrmd("heap", &dump);
            let theirs = heap["types"].as_array().expect("types").iter().filter(|kind| kind["name"] != "Free");
            let theirs: BTreeMap<_, _> = theirs.filter_map(|kind| row(kind, "mt")).collect();
            assert!(theirs.len() > 50, "{} types", theirs.len());
            assert_eq!(ours, theirs);
            let arenas = told[1]["arenas"].as_array().expect("arenas");
            assert!(arenas.iter().any(|arena| arena["name"].as_str().is_some_and(|name| name.ends_with("gen 0"))));
            // Generations 0 to 2 share a segment: what each has of it is one behind the other, and together what ClrMD says of it.
            let number = |row: &Value, key: &str| as_address(&row[key]).expect("an address");
            let mut parts: BTreeMap<u64, Vec<(u64, u64, String)>> = BTreeMap::new();
            for row in told[3]["segments"].as_array().expect("segments") {
                let part = (number(row, "begin"), number(row, "allocated"), row["generation"].to_string());
                parts.entry(number(row, "segment")).or_default().push(part);
            }
            let mut ours = Vec::new();
            for parts in parts.values_mut() {
                parts.sort_unstable();
                assert!(parts.windows(2).all(|pair| pair[0].1 == pair[1].0), "{parts:?}");
                assert!(parts.is_sorted_by(|one, next| one.2 >= next.2), "the oldest first: {parts:?}");
                ours.push((parts[0].0, parts[parts.len() - 1].1));
            }
            let theirs = heap["segments"].as_array().expect("segments").iter();
            let mut theirs: Vec<(u64, u64)> = theirs.map(|row| (number(row, "start"), number(row, "end"))).collect();
            ours.sort_unstable();
            theirs.sort_unstable();
            assert_eq!(ours, theirs);
            let with_parts = parts.values().filter(|parts| parts.len() > 1).count();
            assert_eq!(
                with_parts as u64,
                told[3]["heaps"].as_u64().expect("a number"),
                "one of each heap: {}",
                told[3]
            );
            assert_eq!(told[2]["verdict"], "intact", "{}", told[2]);
        }
    }
}
