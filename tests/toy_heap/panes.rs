//! The heap on the screen.

use std::sync::Arc;

use dumpscope::job::Job;
use dumpscope::session::Session;
use dumpscope::tui::event::Failure;
use dumpscope::tui::look::{Background, Depth, Look};
use dumpscope::tui::stage::Stage;
use dumpscope::tui::worker;

use super::{DUMP, session};

pub(crate) fn stage(session: &Arc<Session>) -> Stage<'_> {
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
