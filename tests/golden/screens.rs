//! What is seen: whole screens, at the sizes that matter.

use super::dumps::{LOOK, open, stage_of};
use super::standing::check;

const SMALL: (u16, u16) = (60, 20);
const USUAL: (u16, u16) = (80, 24);
const WIDE: (u16, u16) = (120, 40);
const LARGE: (u16, u16) = (200, 60);
const ALL: [(u16, u16); 4] = [SMALL, USUAL, WIDE, LARGE];

/// Presses keys in a fresh screen of each size and compares what is seen.
#[track_caller]
fn screens(dump: &str, sizes: &[(u16, u16)], scripts: &[(&str, &str)]) {
    let session = open(dump);
    for (width, height) in sizes {
        for (name, keys) in scripts {
            let mut stage = stage_of(&session, LOOK, (*width, *height));
            let seen = stage.press(keys).text();
            assert_eq!(seen.lines().count(), usize::from(*height));
            check(&format!("screens/{dump}/{name}-{width}x{height}.txt"), &seen);
        }
    }
}

#[test]
fn panes_of_a_service_in_a_deadlock() {
    let panes =
        [("summary", ""), ("threads", "2j"), ("stacks", "3"), ("locks", "4"), ("modules", "7"), ("memory", "8")];
    screens("demo", &ALL, &panes);
}

#[test]
fn a_heap_by_type_by_namespace_and_what_is_free_and_leaked_of_it() {
    let pages = [
        ("heap", "6"),
        ("heap-namespaces", "6p"),
        ("heap-free", "6l"),
        ("heap-leaked", "6ll"),
        ("heap-objects", "6<Enter>jx"),
        ("heap-object", "6<Enter><Enter>"),
        ("heap-referrers", "6jjj<Enter><Enter>R"),
        ("heap-dominated", "6jjj<Enter><Enter>d"),
    ];
    screens("demo", &[SMALL, USUAL, WIDE], &pages);
}

#[test]
fn panes_of_three_deadlocks() {
    let panes = [
        ("summary", ""),
        ("threads", "2jj"),
        ("stacks", "3"),
        ("stacks-unfolded", "3gjl"),
        ("stacks-closed", "3gh"),
        ("locks", "4"),
        ("exceptions", "5"),
        ("modules", "7"),
        ("thread", "2jj<Enter>"),
        ("frame", "2j<Enter><Enter>"),
    ];
    screens("deadlock", &ALL, &panes);
}

#[test]
fn panes_of_an_exception_that_nobody_catches() {
    screens("exception", &ALL, &[("summary", ""), ("threads", "2"), ("exceptions", "5"), ("thread", "2<Enter>")]);
}

#[test]
fn panes_of_a_panic() {
    screens("panic", &[USUAL, WIDE], &[("summary", ""), ("exceptions", "5"), ("thread", "2<Enter>")]);
}

#[test]
fn panes_of_threads_at_rest() {
    screens("waits", &[USUAL, WIDE], &[("summary", ""), ("threads", "2"), ("locks", "4"), ("exceptions", "5")]);
}

#[test]
fn a_recursion_is_folded() {
    screens("recursion", &[USUAL, WIDE], &[("thread", "2<Enter>"), ("stacks", "3")]);
}

#[test]
fn what_lies_over_a_page() {
    let over = [
        ("filter", "2/worker block"),
        ("filter-nothing", "2/nosuchthread<Enter>"),
        ("filter-stacks", ":stack --all<Enter>/'reserve"),
        ("search-stacks", ":stack --all<Enter>/'reserve<Esc>n"),
        ("palette", "2:"),
        ("keys-tree", "3?"),
        ("keys-table", "2?"),
        ("sort", "2s"),
        ("copy", "2y"),
    ];
    screens("deadlock", &[SMALL, USUAL, WIDE], &over);
}

#[test]
fn a_terminal_that_is_too_small_says_so() {
    screens("deadlock", &[(59, 24), (20, 5)], &[("too-small", "")]);
}
