//! Terminals that can do less: no colour, no symbols.

use dumpscope::tui::look::{Background, Depth, Look};
use ratatui::style::Color;

use super::fake;

/// Keys that show every pane and overlay.
const TOUR: [&str; 12] = ["", "2j", "3", "E", "4", "5", "6", "7", "?", "<Esc>:", "<Esc>2s", "<Esc>/w"];

#[test]
fn an_ascii_terminal_gets_nothing_else() {
    for size in [(60, 20), (80, 24), (120, 40)] {
        let mut stage =
            fake::stage_with(Look { depth: Depth::Ansi, ascii: true, background: Background::Dark }, size.0, size.1);
        for keys in TOUR {
            let text = stage.press(keys).text();
            assert!(text.is_ascii(), "{keys}: {text}");
        }
    }
}

#[test]
fn without_colour_no_cell_has_one() {
    let mut stage = fake::stage_with(Look { depth: Depth::Mono, ascii: false, background: Background::Dark }, 120, 40);
    for keys in TOUR {
        let seen = stage.press(keys).buffer();
        assert!(seen.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset), "{keys}");
    }
}

#[test]
fn sixteen_colours_stay_within_the_terminals_own() {
    let mut stage = fake::stage_with(Look { depth: Depth::Ansi, ascii: false, background: Background::Dark }, 120, 40);
    for keys in TOUR {
        let seen = stage.press(keys).buffer();
        let beyond = |color: Color| matches!(color, Color::Rgb(..) | Color::Indexed(_));
        assert!(!seen.content().iter().any(|cell| beyond(cell.fg) || beyond(cell.bg)), "{keys}");
    }
}

#[test]
fn the_text_is_the_same_with_and_without_colour() {
    for keys in TOUR {
        let text = |depth| {
            fake::stage_with(Look { depth, ascii: false, background: Background::Dark }, 80, 24).press(keys).text()
        };
        assert_eq!(text(Depth::Mono), text(Depth::True), "{keys}");
    }
}

#[test]
fn an_inferred_owner_an_unknown_one_and_a_guess_differ_by_their_text() {
    let mut stage = fake::stage_with(Look { depth: Depth::Mono, ascii: true, background: Background::Dark }, 80, 24);
    assert!(stage.press("4").text().lines().any(|line| line.contains("Rust Mutex") && line.contains(" ? ")));
    assert!(stage.press("2<Enter>").text().lines().any(|line| line.contains(" s  shop::worker")), "{}", stage.text());
}
