//! What the mouse does, once it was asked for.

use dumpscope::job::Job;
use dumpscope::model::{Subject, Tid};
use dumpscope::report::section::{Cell, Column, Row, Value};
use dumpscope::tui::app::App;
use dumpscope::tui::event::{Effect, Event};
use dumpscope::tui::stage::Stage;

use super::dumps::LOOK;
use super::screen::{self, of_deadlock, of_dump, selected};

/// Lines of the screen: the panes, then (from the first below the rule) the heading of a table, its rows.
const TABS: u16 = 1;
const HEADING: u16 = 3;
const FIRST_ROW: u16 = 4;

/// Threads in three deadlocks, on a screen whose mouse was turned on.
fn stage(width: u16, height: u16) -> Stage<'static> {
    let mut stage = of_deadlock((width, height));
    stage.press("m");
    stage
}

/// The column where a text stands in a line of the screen.
#[track_caller]
fn column_of(stage: &mut Stage<'_>, row: u16, text: &str) -> u16 {
    let screen = stage.text();
    let line = screen.lines().nth(usize::from(row)).expect("a line");
    let at = line.find(text).unwrap_or_else(|| panic!("no {text} in {line}"));
    u16::try_from(line[..at].chars().count()).expect("a screen is narrow")
}

#[test]
fn the_mouse_belongs_to_the_terminal_until_it_is_asked_for() {
    let mut stage = of_deadlock((80, 24));
    assert!(!stage.mouse);
    stage.press("2");
    let before = stage.text();
    assert_eq!(stage.click(5, FIRST_ROW + 2).text(), before, "reported all the same: it means nothing");
    assert!(stage.press("m").text().contains("mouse on"));
    assert!(stage.mouse);
    stage.click(5, FIRST_ROW + 2);
    assert!(selected(&mut stage).contains("4718  worker-7"));
    assert!(stage.press(":mouse<Enter>").text().contains("the terminal selects text"));
    assert!(!stage.mouse);
}

#[test]
fn a_click_selects_a_row_in_all_panes_and_a_second_one_opens_it() {
    let mut stage = stage(80, 24);
    stage.press("2").click(5, FIRST_ROW + 2);
    assert!(selected(&mut stage).contains("4718  worker-7"));
    assert!(selected(stage.press("3")).contains("commit"));
    stage.press("2").click(5, FIRST_ROW + 2);
    assert!(stage.text().contains("Thread worker-7 4718"), "{}", stage.text());
}

#[test]
fn a_click_where_nothing_stands_does_nothing() {
    let mut stage = stage(80, 24);
    stage.press("2j");
    let before = stage.text();
    for (x, y) in [(5, 20), (79, 20), (0, 2), (40, 0), (200, 200), (5, 22)] {
        assert_eq!(stage.click(x, y).text(), before, "{x} {y}");
    }
}

#[test]
fn a_click_on_a_heading_sorts_by_it_reverses_and_restores() {
    let mut stage = of_dump("demo", (80, 24));
    stage.press("m");
    let x = column_of(stage.press("4"), HEADING, "Waiters");
    let first = |stage: &mut Stage<'_>| stage.text().lines().nth(usize::from(FIRST_ROW)).unwrap_or_default().to_owned();
    assert!(first(&mut stage).contains("g_stock"));
    assert!(stage.click(x, HEADING).text().contains("Waiters▴"));
    assert!(stage.click(x, HEADING).text().contains("Waiters▾"));
    assert!(first(&mut stage).contains("g_pool_mu"), "19 waiters come first");
    stage.click(x, HEADING);
    assert!(first(&mut stage).contains("g_stock"));
}

#[test]
fn a_heading_is_found_below_a_filter_and_in_a_scrolled_table() {
    let mut stage = many();
    stage.press("2G/x 1<Enter>");
    // The filter's line pushes the table down by one; the heading stays on top of the scrolled rows.
    assert!(stage.click(3, HEADING + 1).text().contains("#▴"), "{}", stage.text());
}

#[test]
fn a_click_on_a_panes_name_opens_it() {
    let mut stage = stage(100, 24);
    for (name, holds) in [("4 Locks", "Waiters"), ("7 Modules", "/srv/deadlock"), ("1 Summary", "deadlock: ")] {
        let x = column_of(&mut stage, TABS, name);
        assert!(stage.click(x, TABS).text().contains(holds), "{name}");
        // The last letter belongs to it, the blank after it to nobody.
        let last = x + u16::try_from(name.len()).expect("short") - 1;
        assert!(stage.press("2").click(last, TABS).text().contains(holds), "{name}");
        assert!(!stage.press("2").click(last + 1, TABS).text().contains(holds), "{name}");
    }
}

#[test]
fn a_click_on_a_key_of_the_footer_presses_it() {
    let mut stage = stage(80, 24);
    let x = column_of(stage.press("2"), 23, "? keys");
    assert!(stage.click(x, 23).text().contains("Next row"));
    assert!(!stage.click(40, 10).text().contains("Next row"), "a click on the page closes what lies over it");
    let x = column_of(&mut stage, 23, "q quit");
    stage.click(x, 23);
    assert!(stage.quit);
}

/// A hundred threads, `x 0` to `x 99`.
fn many() -> Stage<'static> {
    let row = |index: u32| {
        let cells = vec![Cell::new(Value::Count(u64::from(index))), Cell::text(format!("x {index}"))];
        Row::about(Subject::Thread(Tid(index)), cells)
    };
    let columns = vec![Column::right("#"), Column::wide("Thread", 1)];
    let rows = (0..100).map(row).collect();
    let mut stage = screen::of_section(screen::table(columns, rows), (80, 24));
    stage.press("m2g");
    stage
}

#[test]
fn the_wheel_scrolls_and_takes_the_selection_along_where_it_would_leave_the_screen() {
    let mut stage = many();
    // 19 lines: the heading and rows 0 to 17.
    assert!(stage.wheel(true, 5, 10).text().contains("x 20"), "three lines further");
    // The heading stays on the first line, so row 3 is the first that is seen.
    assert_eq!(selected(&mut stage).split_whitespace().next(), Some("3"), "{}", stage.text());
    stage.wheel(false, 5, 10);
    assert!(stage.text().contains(" x 0"));
    assert_eq!(selected(&mut stage).split_whitespace().next(), Some("3"), "it stays where it is as long as it is seen");
    for _ in 0..100 {
        stage.wheel(true, 5, 10);
    }
    assert!(stage.text().contains("x 99"));
    assert!(selected(stage.press("j")).contains("x "), "a key goes on from there");
    assert!(stage.text().contains("x 99"));
}

#[test]
fn the_wheel_over_the_detail_scrolls_the_detail() {
    let mut stage = of_dump("demo", (60, 20));
    stage.press("m");
    let before = stage.press("4").text();
    assert!(before.contains("Deadlock: 4719"));
    let after = stage.wheel(true, 5, 15).text();
    assert!(!after.contains("Deadlock: 4719"), "{after}");
    assert_eq!(stage.wheel(false, 5, 15).text(), before);
    // Over the list, which fits, nothing moves.
    assert_eq!(stage.wheel(true, 5, 5).text(), before);
}

#[test]
fn the_wheel_scrolls_the_keys_while_they_are_shown() {
    let mut stage = stage(60, 20);
    assert!(stage.press("2?").text().contains("Sort by a column"));
    assert!(!stage.wheel(true, 5, 10).text().contains("Sort by a column"));
    assert!(stage.wheel(false, 5, 10).text().contains("Sort by a column"));
}

#[test]
fn after_a_suspension_the_mouse_is_asked_for_again_where_it_was_on() {
    let mut app = App::new(LOOK, (80, 24), "core", Job::default());
    let asked = |app: &mut App| app.update(Event::Resumed).iter().any(|effect| matches!(effect, Effect::Mouse(true)));
    assert!(!asked(&mut app));
    app.update(Event::Key(crossterm::event::KeyCode::Char('m').into()));
    assert!(asked(&mut app));
}

#[test]
fn a_click_shows_what_leaked_of_a_heap() {
    let mut stage = of_dump("demo", (80, 24));
    stage.press("m6");
    let rule = TABS + 1;
    for (name, wanted) in [("leaked", "[leaked]"), ("in use", "[in use]"), ("free", "[free]")] {
        let (first, last) = (column_of(&mut stage, rule, name), name.chars().count() as u16 - 1);
        assert!(stage.click(first, rule).text().contains(wanted), "{}", stage.text());
        assert!(stage.click(first + last, rule).text().contains(wanted), "the last letter: {}", stage.text());
    }
    let before = stage.text();
    assert_eq!(stage.click(20, rule).text(), before, "the line beside");
}
