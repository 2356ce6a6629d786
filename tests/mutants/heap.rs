//! Damaged copies of a native heap: no more blocks than can be, and no total as if it were all where it is not.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dumpscope::commands::{Format, Shell};
use dumpscope::job::Job;
use dumpscope::report::text::Style;
use dumpscope::session::{Heap, Session, Source};
use dumpscope::target::Search;
use support::dump;
use symbols::FileBytes;

use super::bounds::{self, MUTANTS, THOROUGH, is_alone};
use super::cores::word;
use super::random::Random;

/// Longest that one mutant may take with every question asked.
const LIMIT: Duration = Duration::from_secs(5);

/// Everything that is asked of a heap; says how many objects it has and whether that is told to be all, or that it was refused.
fn ask_heap(bytes: Vec<u8>, with_names: bool) -> Option<(u64, bool)> {
    let job = Job::default();
    let source = Source::Bytes(PathBuf::from("core.mutant"), FileBytes::from_vec(bytes));
    // The libraries' files and their vtables are read for some alone: that takes most of the time, and is no heap.
    let search = Search { alone: !with_names, ..Search::default() };
    let session = Session::open(source, &search, &job).ok()?;
    let session = Arc::new(session);
    let heap = session.heap(&job).ok()?;
    let counted = heap.histogram(&job).ok()?.total.count;
    let is_all = all_or_bounds(&session, &heap);
    let _ = heap.source.arenas(&job);
    let _ = heap.source.verify(&job);
    let _ = heap.leaks(&job);
    let _ = heap.dominators(&job);
    let objects = heap.objects(&job).ok();
    for id in objects.iter().flat_map(|objects| 0..objects.len().min(8)) {
        let object = objects.as_ref().and_then(|objects| objects.get(id));
        let _ = object.and_then(|object| heap.source.contents(object));
    }
    if with_names {
        let _ = session.named_heap(&job).map(|named| named.histogram(&job));
    }
    let _ = session.problems();
    Some((counted, is_all))
}

/// Where something of the heap is told to be damaged or missing, no total is told as if it were all.
/// Whether nothing is.
fn all_or_bounds(session: &Arc<Session>, heap: &Heap) -> bool {
    let problems = heap.source.problems();
    let has = |codes: &[&str]| problems.iter().any(|problem| codes.contains(&problem.code));
    let words: &[&str] = match (
        has(&["heap-damaged", "heap-incomplete", "heap-not-found"]),
        has(&["heap-list-damaged", "heap-overcounted"]),
    ) {
        (true, true) => &["about"],
        (true, false) => &["at least"],
        (false, true) => &["at most"],
        (false, false) => {
            assert_eq!(problems, [], "a problem of a kind that is not held against totals");
            return true;
        }
    };
    for (line, total) in [("dumpheap -stat", "in all:"), ("heap -arenas", "in use,")] {
        let mut shell = Shell::new(Arc::clone(session));
        let result = shell.run(line, &Job::default());
        let print = |format| {
            let mut out = Vec::new();
            shell.print(line, &result, format, &mut out, &Job::default()).expect("a vector takes everything");
            String::from_utf8(out).expect("text")
        };
        let json: serde_json::Value = serde_json::from_str(&print(Format::Json)).expect("one line of JSON");
        let data = &json["data"];
        let complete = if line == "heap -arenas" { &data["complete"] } else { &data["total"]["complete"] };
        assert!(result.is_err() || *complete == false, "{line} is complete in spite of {problems:?}");
        let text = print(Format::Text(Style::default()));
        let told = text.lines().find(|line| line.contains(total)).unwrap_or_default();
        assert!(
            result.is_err() || words.iter().any(|word| told.contains(word)),
            "{line} says '{told}' in spite of {problems:?}"
        );
    }
    false
}

#[test]
fn a_thousand_mutants_of_a_heap_neither_break_the_program_nor_make_blocks_up() {
    let bytes = std::fs::read(dump("heap-cxx", "stripped").core()).expect("the core can be read");
    let (sound, is_all) = ask_heap(bytes.clone(), true).expect("the sound core has a heap");
    assert!(is_all);
    // Chunks are multiples of 16 bytes: no core has more blocks than that.
    let most = bytes.len() as u64 / 16;
    let (mut answered, mut bounded) = (0u64, 0u64);
    bounds::each(0..MUTANTS, LIMIT, |number, done| {
        let mut random = Random(number ^ 0x4845_4150);
        let mut mutant = bytes.clone();
        for _ in 0..=random.below(8) {
            let at = random.below(mutant.len() / 8) * 8;
            // A size of malloc, an address that is somewhere in the core already, or a number that parsers dislike.
            let value = match random.below(3) {
                0 => (random.next() & 0xff_fff0) | (random.next() & 7),
                1 => word(&bytes, random.below(bytes.len() / 8) * 8) as u64,
                _ => random.number(),
            };
            mutant[at..at + 8].copy_from_slice(&value.to_le_bytes());
            *done += &format!("{value:#x} at {at:#x}; ");
        }
        let counted = ask_heap(mutant, number % THOROUGH == 0);
        assert!(counted.is_none_or(|(counted, _)| counted <= most), "mutant {number} has {counted:?} blocks: {done}");
        answered += u64::from(counted.is_some());
        bounded += u64::from(counted.is_some_and(|(_, is_all)| !is_all));
    });
    println!(
        "{answered} of {MUTANTS} mutants tell a heap, {bounded} with bounds for totals; the sound one has {sound} blocks"
    );
    assert!(is_alone() || bounded * 50 > MUTANTS, "{bounded} of {MUTANTS} tell of damage");
    assert!(is_alone() || answered * 10 >= MUTANTS * 8, "{answered} of {MUTANTS} tell a heap");
}
