//! Text from the dump reaches no cell raw.

use dumpscope::model::{Problem, Subject, Tid};
use dumpscope::report::section::{Body, Cell, Column, Node, Row, Section, Table, Value};
use dumpscope::tui::event::{Answered, Failure, Opened};
use dumpscope::tui::stage::Stage;

use super::dumps::LOOK;
use super::screen;

/// What a dump may hold where a name should be.
const EVIL: [&str; 10] = [
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1b[2J\x1b[H",
    "\x1bPtmux;\x1b\x1b]0;x\x07\x1b\\",
    "a\u{202e}b\u{2066}c\u{200f}",
    "\u{9b}31m\u{9d}0;x\u{9c}",
    "line\none\r\x08\x7f",
    "\u{feff}\u{200b}\u{2060}\u{e0041}",
    "e\u{301}\u{301}\u{301}",
    "\t\0\x0b",
    "\u{1f468}\u{200d}\u{1f469}",
];

fn section(text: &str) -> Section {
    let cells = || {
        vec![
            Cell::text(text),
            Cell::new(Value::Function(text.into())),
            Cell::new(Value::Source(text.into(), Some(1))),
            Cell::new(Value::Path(text.into())),
            Cell::unknown(text),
        ]
    };
    let columns = ["A", "B", "C", "D", "E"].map(|title| Column::wide(title, 1)).to_vec();
    let row = || Row::about(Subject::Thread(Tid(1)), cells());
    Section {
        bodies: vec![
            Body::Heading(text.to_owned()),
            Body::Lines(vec![row()]),
            Body::Fields(vec![(text.to_owned(), row())]),
            Body::Table(Table::new(columns, vec![row()])),
            Body::Tree(vec![Node { depth: 0, row: row(), folded: vec![row(), row()] }]),
        ],
        problems: vec![Problem::new("evil", Subject::Capture, text).with_remedy(text)],
    }
}

fn is_raw(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

#[test]
fn no_raw_character_reaches_a_cell_in_any_place() {
    for evil in EVIL {
        let named = || Some(evil.to_owned());
        let opened = Opened { program: named(), file: evil.to_owned(), signal: named(), ..screen::opened() };
        for (width, height) in [(60, 20), (80, 24), (120, 40)] {
            let answer = move |_: &_, _: &_| Ok(Answered::shown(section(evil)));
            let mut stage = Stage::new(LOOK, (width, height), opened.clone(), Box::new(answer));
            for keys in ["", "G", "<Enter>", "/a", "<Esc>", "3", "y", "<Esc>", "E", ":", "<Esc>"] {
                let seen = stage.press(keys).buffer().clone();
                let raw = seen.content().iter().find(|cell| cell.symbol().chars().any(is_raw));
                assert!(raw.is_none(), "{raw:?} of {evil:.40?} after {keys}");
            }
        }
    }
}

#[test]
fn names_of_a_megabyte_do_not_hold_up_the_screen() {
    let text = "x\x1b".repeat(500_000);
    let mut stage = screen::of_section(section(&text), (120, 40));
    let start = screen::cpu_time();
    const KEYS: u32 = 6;
    for _ in 0..KEYS / 2 {
        stage.press("G").buffer();
        stage.press("g").buffer();
    }
    // Without optimisation; far below what a walk over every byte of every name would take.
    let spent = screen::cpu_time() - start;
    assert!(spent < KEYS * std::time::Duration::from_millis(600), "{spent:?} for {KEYS} keys");
    assert!(!stage.buffer().content().iter().any(|cell| cell.symbol().chars().any(is_raw)));
}

#[test]
fn no_raw_character_of_an_error_reaches_a_cell() {
    for evil in EVIL {
        for failure in [Failure::Error(evil.to_owned()), Failure::Bug(evil.to_owned())] {
            let answer = move |_: &_, _: &_| Err(failure.clone());
            let mut stage = Stage::new(LOOK, (80, 24), screen::opened(), Box::new(answer));
            let seen = stage.buffer().clone();
            assert!(!seen.content().iter().any(|cell| cell.symbol().chars().any(is_raw)), "{evil:?}");
        }
    }
}

#[test]
fn no_raw_character_is_copied() {
    for evil in EVIL {
        let mut stage = screen::of_section(section(evil), (80, 24));
        stage.press("Gyn").press("yr").press("yp");
        assert_eq!(stage.copied.len(), 3);
        for copied in &stage.copied {
            assert!(!copied.chars().any(|c| c != '\n' && is_raw(c)), "{copied:?}");
        }
    }
}

#[test]
fn what_is_pasted_is_typed_without_its_controls() {
    let mut stage = screen::of_deadlock((80, 24));
    stage.press("2/");
    stage.send(dumpscope::tui::event::Event::Paste("wor\x1b[A\nker".to_owned()));
    assert!(stage.text().contains("/ wor[Aker"));
}
