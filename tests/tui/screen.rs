//! Screens to press keys in: over a dump of the golden answers, or over an answer that the test makes itself.

use std::time::Duration;

use dumpscope::report::section::{Body, Column, Row, Section, Table};
use dumpscope::tui::app::App;
use dumpscope::tui::event::{Answered, Opened};
use dumpscope::tui::look::Look;
use dumpscope::tui::stage::Stage;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::dumps::{LOOK, open, stage_of};

/// A screen over one of the dumps.
pub(crate) fn of_dump(name: &str, size: (u16, u16)) -> Stage<'static> {
    stage_of(&open(name), LOOK, size)
}

/// Threads in three deadlocks: `fixtures/deadlock/main.c`.
pub(crate) fn of_deadlock(size: (u16, u16)) -> Stage<'static> {
    of_dump("deadlock", size)
}

/// A screen of which every question has this answer.
pub(crate) fn of_section(section: Section, size: (u16, u16)) -> Stage<'static> {
    of_section_with(LOOK, section, size)
}

/// The same, in a terminal of another kind.
pub(crate) fn of_section_with(look: Look, section: Section, size: (u16, u16)) -> Stage<'static> {
    let answer = Answered::shown(section);
    Stage::new(look, size, opened(), Box::new(move |_: &_, _: &_| Ok(answer.clone())))
}

/// What is known of a dump whose answers a test makes itself.
pub(crate) fn opened() -> Opened {
    Opened { file: "core.4711".to_owned(), arch: "x86-64".to_owned(), ..Opened::default() }
}

/// One table.
pub(crate) fn table(columns: Vec<Column>, rows: Vec<Row>) -> Section {
    section(vec![Body::Table(Table::new(columns, rows))])
}

/// A section of these parts.
pub(crate) fn section(bodies: Vec<Body>) -> Section {
    Section { bodies, problems: Vec::new() }
}

/// What a screen of this size shows.
pub(crate) fn drawn(app: &App, (width, height): (u16, u16)) -> String {
    let mut screen = Terminal::new(TestBackend::new(width, height)).expect("a test's screen has no errors");
    screen.draw(|frame| app.draw(frame)).expect("a test's screen has no errors");
    screen.backend().to_string()
}

/// The selected line, without its marker.
#[track_caller]
pub(crate) fn selected(stage: &mut Stage<'_>) -> String {
    let text = stage.text();
    let line = text.lines().find(|line| line.starts_with('▸'));
    let line = line.unwrap_or_else(|| panic!("no line is selected:\n{text}"));
    line.trim_start_matches('▸').trim().to_owned()
}

/// Processor time that this thread has used: what a busy machine does not stretch.
pub(crate) fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts what threads use");
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.expect("the first field is a number of nanoseconds"))
}
