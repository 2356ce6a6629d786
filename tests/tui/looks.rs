//! Terminals that can do less: no colour, no symbols.

use dumpscope::report::section::{Cell, Column, Row};
use dumpscope::tui::look::{Background, Depth, Look};
use dumpscope::tui::stage::Stage;
use ratatui::style::Color;

use super::dumps::{open, stage_of};
use super::screen;

/// Threads in three deadlocks, in a terminal that can do this.
fn stage(depth: Depth, ascii: bool, size: (u16, u16)) -> Stage<'static> {
    stage_of(&open("deadlock"), Look { depth, ascii, background: Background::Dark }, size)
}

/// Keys that show every pane and overlay.
const TOUR: [&str; 13] = ["", "2j", "3", "E", "4", "5", "6", "7", "8", "?", "<Esc>:", "<Esc>2s", "<Esc>/w"];

#[test]
fn an_ascii_terminal_gets_nothing_else() {
    for size in [(60, 20), (80, 24), (120, 40)] {
        let mut stage = stage(Depth::Ansi, true, size);
        for keys in TOUR {
            let text = stage.press(keys).text();
            assert!(text.is_ascii(), "{keys}: {text}");
        }
    }
}

#[test]
fn without_colour_no_cell_has_one() {
    let mut stage = stage(Depth::Mono, false, (120, 40));
    for keys in TOUR {
        let seen = stage.press(keys).buffer();
        assert!(seen.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset), "{keys}");
    }
}

#[test]
fn sixteen_colours_stay_within_the_terminals_own() {
    let mut stage = stage(Depth::Ansi, false, (120, 40));
    for keys in TOUR {
        let seen = stage.press(keys).buffer();
        let beyond = |color: Color| matches!(color, Color::Rgb(..) | Color::Indexed(_));
        assert!(!seen.content().iter().any(|cell| beyond(cell.fg) || beyond(cell.bg)), "{keys}");
    }
}

#[test]
fn the_text_is_the_same_with_and_without_colour() {
    for keys in TOUR {
        let text = |depth| stage(depth, false, (80, 24)).press(keys).text();
        assert_eq!(text(Depth::Mono), text(Depth::True), "{keys}");
    }
}

#[test]
fn an_unknown_owner_and_a_guessed_frame_are_told_by_their_text() {
    let look = Look { depth: Depth::Mono, ascii: true, background: Background::Dark };
    let row = Row::new(vec![Cell::text("Rust Mutex"), Cell::unknown("the lock does not name it")]);
    let locks = screen::table(vec![Column::left("Kind"), Column::right("Owner")], vec![row]);
    let mut stage = screen::of_section_with(look, locks, (80, 24));
    assert!(stage.press("4").text().lines().any(|line| line.contains("Rust Mutex  ") && line.ends_with(" ?")));
    // musl's raise() has no unwind information: its frame is found by looking along the stack.
    let mut stage = stage_of(&open("panic"), look, (80, 24));
    assert!(stage.press("2<Enter>").text().lines().any(|line| line.contains("  s  raise")), "{}", stage.text());
}
