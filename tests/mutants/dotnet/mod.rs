//! Damaged copies of dumps of .NET 8, 9 and 10: every command that makes sense of .NET answers, or says why not.

mod kept;
mod places;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dumpscope::session::Session;
use serde_json::Value;

use self::kept::{Kept, asked, printed};
use self::places::Places;
use crate::bounds::{self, MUTANTS, processor_time};
use crate::random::Random;

/// Longest that one mutant may take with every question asked, by a program that is not optimised.
const LIMIT: Duration = Duration::from_secs(10);

/// One in so many mutants is asked everything; of the others each only one of [`THEMES`].
const THOROUGH: u64 = 25;
/// What is asked, by what it rests on: that takes most of the time, and is read once for all that rest on it.
const THEMES: [&[&str]; 5] = [
    &["clrstack -a -all", "stack --all", "showframe", "parallelstacks", "pe"],
    &[
        "dumpheap -stat",
        "dumpheap -n 200",
        "dumpheap -arenas",
        "verifyheap",
        "dumphttp",
        "maddress",
        "eeheap",
        "gcheapstat -iu",
        "strings",
        "sizestats",
        "ephrefs",
    ],
    &["dumpasync --fields --completed --tasks", "dumpasync --stats", "dumpasync --coalesce", "dumprequests -all"],
    &["threadpool", "threadpoolqueue", "timerinfo", "analyzeoom", "eeversion", "modules", "gchandles", "fq", "dso"],
    // What names locks by every static field.
    &["summary", "summary -heap", "threads", "clrthreads", "locks", "syncblk -all"],
];
/// The last theme takes as long as all others, and is asked of those alone that are asked everything.
const LIGHT: usize = 4;

/// Of each dump static fields of its program, and what they lead to.
fn paths(name: &str) -> &'static [&'static str] {
    match name {
        "locks-8.0.33" => {
            &["print Shop.Program.Orders", "print Shop.Program.Savings.Gate", "print Shop.Program.Price.Value"]
        }
        "objects-9.0.22" => {
            &["print Shelf.Collections", "print Shelf.Orders[1].Name", "print Shelf.Current", "print Shelf.Cycle"]
        }
        _ => &["print Program.Kept[0]", "print Program.Gate", "print Program.Orders"],
    }
}

/// Objects of many types: one of each.
fn objects(session: &Arc<Session>) -> Vec<String> {
    let told = asked(session, "dumpheap -n 20000");
    let all = told["data"]["objects"].as_array().expect("objects").iter();
    let of_types: BTreeMap<String, &Value> =
        all.map(|object| (object["type"].to_string(), &object["address"])).collect();
    of_types.values().filter_map(|address| address.as_str().map(str::to_owned)).collect()
}

/// Whether each mutant is asked everything.
fn is_thorough() -> bool {
    std::env::var_os("THOROUGH").is_some()
}

/// The commands of one mutant.
fn lines(name: &str, objects: &[String], random: &mut Random, is_asked_all: bool) -> Vec<String> {
    let themes: Vec<&[&str]> =
        if is_asked_all || is_thorough() { THEMES.to_vec() } else { vec![THEMES[random.below(LIGHT)]] };
    let mut lines: Vec<String> =
        themes.concat().into_iter().chain(paths(name).iter().copied()).map(str::to_owned).collect();
    for _ in 0..4 {
        let object = &objects[random.below(objects.len())];
        lines.push(format!("dumpobj {object}"));
    }
    let object = &objects[random.below(objects.len())];
    lines.extend(["dumparray", "dumpdelegate", "pe", "taskstate"].map(|command| format!("{command} {object}")));
    lines
}

/// Asks everything; what each command took.
fn ask(kept: &Kept, lines: &[String], slowest: &mut BTreeMap<String, Duration>) -> bool {
    let Some(session) = kept.session() else { return false };
    for line in lines {
        let start = processor_time();
        printed(&session, line);
        let took = processor_time().saturating_sub(start);
        let command = line.split(" 0x").next().unwrap_or_default().to_owned();
        let slowest = slowest.entry(command).or_default();
        *slowest = took.max(*slowest);
    }
    true
}

/// The mutants of one dump: of each 20 those with these remainders. The dump with the most threads and objects has the fewest.
fn mutants(name: &'static str, of_twenty: std::ops::Range<u64>) {
    let kept = Kept::open(name);
    let sound = kept.session().expect("it opens");
    let (places, objects) = (Places::of(&kept, &sound), objects(&sound));
    drop(sound);
    let mut slowest = BTreeMap::new();
    ask(&kept, &lines(name, &objects, &mut Random(0), true), &mut slowest);
    println!("sound: {slowest:?}");
    let (mut all, mut opened) = (0, 0);
    let numbers = (0..MUTANTS).filter(|number| of_twenty.contains(&(number % 20)));
    let begun = processor_time();
    bounds::each(numbers, LIMIT, |number, done| {
        let mut random = Random(number ^ 0x2e4e_4554);
        let lines = lines(name, &objects, &mut random, number / 20 % THOROUGH == number % 20);
        let mut answer = || ask(&kept, &lines, &mut slowest);
        all += 1;
        opened += u32::from(match random.below(20) {
            0 => {
                let length = random.below(kept.bytes.len());
                *done = format!("{name}: cut at {length:#x}");
                kept.cut(length, answer)
            }
            1 => {
                let at = random.below(kept.notes_end / 8) * 8;
                let value = random.number();
                *done = format!("{name}: {value:#x} at {at:#x} of the headers and notes");
                kept.damaged(&[(at, value.to_le_bytes().to_vec())], answer)
            }
            _ => {
                let patches: Vec<_> = (0..=random.below(4)).map(|_| places.patch(&mut random)).collect();
                *done =
                    patches.iter().map(|(_, _, told)| told.as_str()).fold(format!("{name}: "), |all, told| all + told);
                let patches: Vec<_> = patches.into_iter().map(|(at, patch, _)| (at, patch)).collect();
                kept.damaged(&patches, &mut answer)
            }
        });
    });
    println!("{name}: {opened} of {all} open, {:?}", processor_time().saturating_sub(begun));
    println!("slowest: {slowest:?}");
}

/// Objects at random, one damaged at a time: each takes away itself alone.
#[test]
fn a_broken_object_is_left_out_and_its_place_told() {
    for name in ["locks-8.0.33", "objects-9.0.22", "async-10.0.14"] {
        let kept = Kept::open(name);
        let sound = kept.session().expect("it opens");
        let told = asked(&sound, "dumpheap -n 100000");
        let objects = told["data"]["objects"].as_array().expect("objects");
        let total = &told["data"]["total"]["count"];
        assert_eq!(total.as_u64(), Some(objects.len() as u64), "{name}");
        let number = |value: &Value| support::as_address(value).expect("an address");
        let (mut random, mut alone) = (Random(1), 0);
        const TRIED: usize = 12;
        for _ in 0..TRIED {
            let index = random.below(objects.len());
            let at = number(&objects[index]["address"]);
            let table =
                [0, at, number(&objects[random.below(objects.len())]["address"]) + 8, random.next()][random.below(4)];
            let place = kept.place(at, 8).expect("it is in the dump");
            kept.damaged(&[(place, table.to_le_bytes().to_vec())], || {
                let session = kept.session().expect("it opens");
                let told = asked(&session, "dumpheap -n 100000");
                let left: BTreeMap<u64, &Value> = told["data"]["objects"]
                    .as_array()
                    .expect("objects")
                    .iter()
                    .map(|object| (number(&object["address"]), object))
                    .collect();
                // None is made up, and all others are there; where damage reads as an object, what it covers is missing.
                let kept_objects = objects
                    .iter()
                    .filter(|object| left.get(&number(&object["address"])).is_some_and(|left| *left == *object));
                let lost = objects.len() - kept_objects.count();
                assert!(left.len() <= objects.len(), "{name}: {table:#x} at {at:#x}");
                assert!(lost <= 3, "{name}: {table:#x} at {at:#x}: {lost} objects are lost");
                alone += usize::from(lost == 1 && left.len() == objects.len() - 1);
                let verified = asked(&session, "verifyheap");
                let findings = verified["data"]["findings"].as_array().expect("findings");
                let is_told = findings
                    .iter()
                    .any(|finding| finding["address"].as_str().is_some_and(|place| place == format!("{at:#x}")));
                assert!(is_told, "{name}: {table:#x} at {at:#x}: {verified}");
            });
        }
        println!("{name}: {alone} of {TRIED} are lost alone");
        assert!(alone * 10 >= TRIED * 9, "{name}: {alone} of {TRIED}");
    }
}

#[test]
fn mutants_of_dotnet_8_break_nothing() {
    mutants("locks-8.0.33", 0..6);
}

#[test]
fn mutants_of_dotnet_9_break_nothing() {
    mutants("objects-9.0.22", 6..15);
}

#[test]
fn mutants_of_dotnet_10_break_nothing() {
    mutants("async-10.0.14", 15..20);
}
