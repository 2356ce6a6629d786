//! What is seen: whole screens kept beside the tests, at the sizes that matter.

use std::path::Path;

use super::fake;

/// Set to rewrite the screens instead of comparing them; read what changed before it is committed.
const UPDATE: &str = "UPDATE_GOLDENS";

#[track_caller]
fn check(name: &str, (width, height): (u16, u16), keys: &str) {
    let mut stage = fake::stage(width, height);
    let seen = stage.press(keys).text();
    assert_eq!(seen.lines().count(), usize::from(height));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/tui/{name}-{width}x{height}.txt"));
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&file, &seen).expect("the screen can be written");
    }
    let stands = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(stands == seen, "{} differs:\n{seen}\nstood:\n{stands}", file.display());
}

const SMALL: (u16, u16) = (60, 20);
const USUAL: (u16, u16) = (80, 24);
const WIDE: (u16, u16) = (120, 40);

#[test]
fn the_summary_wraps_its_sentences_and_warns_at_the_end() {
    for size in [SMALL, USUAL, WIDE] {
        check("summary", size, "");
    }
}

#[test]
fn threads_stand_in_columns_and_a_wide_screen_shows_the_selected_one() {
    for size in [SMALL, USUAL, WIDE] {
        check("threads", size, "2j");
    }
}

#[test]
fn merged_stacks_hang_together_and_keep_the_programs_own_frames() {
    for size in [SMALL, USUAL, WIDE] {
        check("stacks", size, "3");
    }
}

#[test]
fn a_node_unfolds_into_a_line_for_each_frame() {
    check("stacks-unfolded", USUAL, "3gjjl");
    check("stacks-closed", USUAL, "3gh");
}

#[test]
fn locks_show_owner_waiters_and_evidence_before_the_cycle() {
    for size in [SMALL, USUAL, WIDE] {
        check("locks", size, "4");
    }
}

#[test]
fn an_exception_shows_its_stack() {
    check("exceptions", USUAL, "5");
}

#[test]
fn a_path_is_cut_in_the_middle_and_keeps_the_file_name() {
    check("modules", SMALL, "6");
    check("modules", USUAL, "6");
}

#[test]
fn memory_has_eight_bytes_a_row_where_sixteen_do_not_fit() {
    for size in [SMALL, USUAL, WIDE] {
        check("memory", size, "7");
    }
}

#[test]
fn a_thread_opens_into_its_stack() {
    for size in [SMALL, USUAL, WIDE] {
        check("thread", size, "2jj<Enter>");
    }
}

#[test]
fn a_frame_opens_into_its_source() {
    check("frame", USUAL, "2j<Enter><Enter>");
}

#[test]
fn a_filter_counts_what_it_keeps() {
    check("filter", USUAL, "2/worker blocked");
    check("filter-nothing", USUAL, "2/nosuchthread<Enter>");
}

#[test]
fn the_palette_completes_commands_with_what_they_do() {
    check("palette", USUAL, "2:");
    check("palette-typed", SMALL, "2:mem");
}

#[test]
fn the_keys_of_the_pane_are_shown() {
    check("keys", USUAL, "3?");
    check("keys", WIDE, "2?");
}

#[test]
fn the_menus_say_what_can_be_chosen() {
    check("sort", USUAL, "2s");
    check("copy", USUAL, "2y");
}

#[test]
fn a_terminal_that_is_too_small_says_so() {
    for size in [(59, 24), (80, 19), (20, 5)] {
        check("too-small", size, "");
    }
}
