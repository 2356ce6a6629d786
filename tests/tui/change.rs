//! What is open is replaced under the screen: a live process is captured again, files are looked for elsewhere.

use std::sync::{Arc, Mutex};

use crossterm::event::KeyCode;
use dumpscope::job::Job;
use dumpscope::model::{Subject, Tid};
use dumpscope::report::section::{Cell, Column, Row, Section, Value};
use dumpscope::tui::app::App;
use dumpscope::tui::event::{Answered, Changed, Effect, Event, Failure, Opened, Question, Ticket};
use dumpscope::tui::worker;
use dumpscope::views::{Focus, coreclr};

use super::dumps::{LOOK, open};
use super::screen;
use super::work::{asked, key, press, seen};

/// A live process, captured so often before.
fn captured(epoch: u64) -> Opened {
    Opened { live: true, epoch, ..screen::opened() }
}

/// Two threads, in this state.
fn threads(state: &str) -> Section {
    let row = |tid| Row::about(Subject::Thread(Tid(tid)), vec![Cell::new(Value::Tid(Tid(tid))), Cell::text(state)]);
    screen::table(vec![Column::right("Tid"), Column::left("State")], vec![row(4711), row(4712)])
}

fn shown(section: Section) -> Result<Answered, Failure> {
    Ok(Answered::shown(section))
}

/// What a command changed, and what is open since.
fn changed(said: &str, opened: Option<Opened>) -> Result<Answered, Failure> {
    let changed = Changed { focus: Focus::default(), said: said.to_owned(), opened };
    Ok(Answered { changed: Some(changed), ..Answered::shown(Section::default()) })
}

/// A screen over a live process whose threads sleep, on the pane of threads.
fn sleeping(size: (u16, u16)) -> App {
    let mut app = App::new(LOOK, size, "core", Job::default());
    app.update(Event::Opened(Ok(captured(0))));
    let (ticket, ..) = one(press(&mut app, '2'));
    app.update(Event::Answered(ticket, shown(threads("sleeping"))));
    app
}

/// The only question asked.
#[track_caller]
fn one(effects: Vec<Effect>) -> (Ticket, Question, Job) {
    let mut asked = asked(effects);
    assert_eq!(asked.len(), 1, "{asked:?}");
    asked.remove(0)
}

fn typed(app: &mut App, line: &str) -> Vec<Effect> {
    for letter in line.chars() {
        press(app, letter);
    }
    app.update(key(KeyCode::Enter))
}

#[test]
fn a_capture_under_way_is_not_lost_when_something_else_is_asked() {
    let mut app = sleeping((80, 24));
    let (refresh, ..) = one(press(&mut app, 'r'));
    let (frame, ..) = one(typed(&mut app, ":frame 0"));
    app.update(Event::Answered(frame, changed("Frame 0 is selected.", None)));
    assert!(seen(&app).contains("Frame 0 is selected."));
    let anew = asked(app.update(Event::Answered(refresh, changed("Captured again.", Some(captured(1))))));
    assert!(seen(&app).contains("Captured again."), "{}", seen(&app));
    assert!(!seen(&app).contains("sleeping"), "{}", seen(&app));
    let (ticket, question, _) = anew.into_iter().next().expect("the page is asked anew");
    assert_eq!(question.line(), "threads");
    app.update(Event::Answered(ticket, shown(threads("running"))));
    assert!(seen(&app).contains("running"));
}

#[test]
fn a_command_that_a_capture_overtakes_is_run_on_what_it_captured() {
    let mut app = sleeping((80, 24));
    let (refresh, ..) = one(press(&mut app, 'r'));
    assert!(asked(press(&mut app, 'r')).is_empty(), "one capture is under way");
    let (frame, question, job) = one(typed(&mut app, ":frame 0"));
    let anew = asked(app.update(Event::Answered(refresh, changed("Captured again.", Some(captured(1))))));
    assert!(job.is_cancelled());
    let (again, ..) = anew.into_iter().find(|(_, asked, _)| *asked == question).expect("it is asked again");
    app.update(Event::Answered(frame, changed("Frame 0 of what was.", None)));
    assert!(!seen(&app).contains("of what was"));
    app.update(Event::Answered(again, changed("Frame 0 is selected.", None)));
    assert!(seen(&app).contains("Frame 0 is selected."));
}

#[test]
fn a_capture_that_was_stopped_too_late_is_what_is_shown() {
    let mut app = sleeping((80, 24));
    let (refresh, _, job) = one(press(&mut app, 'r'));
    app.update(key(KeyCode::Esc));
    assert!(job.is_cancelled() && seen(&app).contains("stopped"));
    let anew = asked(app.update(Event::Answered(refresh, changed("Captured again.", Some(captured(1))))));
    assert_eq!(anew.len(), 1);
    assert!(!seen(&app).contains("sleeping"));
    // Of two answers that overtake each other the older one changes nothing.
    let older = asked(app.update(Event::Answered(refresh, changed("Older.", Some(captured(0))))));
    assert!(older.is_empty() && !seen(&app).contains("Older."));
}

#[test]
fn no_answer_that_was_asked_before_a_capture_is_one_of_it() {
    let mut app = sleeping((80, 24));
    let (locks, _, job) = one(press(&mut app, '4'));
    press(&mut app, '2');
    let (refresh, ..) = one(press(&mut app, 'r'));
    app.update(Event::Answered(refresh, changed("Captured again.", Some(captured(1)))));
    assert!(job.is_cancelled());
    app.update(Event::Answered(locks, shown(threads("of before"))));
    assert_eq!(asked(press(&mut app, '4')).len(), 1, "it is asked of what is open now");
    assert!(!seen(&app).contains("of before"));
}

#[test]
fn what_a_row_said_of_a_page_goes_with_the_capture_it_was_of() {
    let mut app = sleeping((80, 24));
    let (stack, ..) = one(app.update(key(KeyCode::Enter)));
    app.update(Event::Answered(stack, shown(threads("old_spin"))));
    assert!(seen(&app).contains("sleeping") && seen(&app).contains("old_spin"), "{}", seen(&app));
    let (refresh, ..) = one(press(&mut app, 'r'));
    let (stack, ..) = one(app.update(Event::Answered(refresh, changed("Captured again.", Some(captured(1))))));
    app.update(Event::Answered(stack, shown(threads("new_spin"))));
    assert!(seen(&app).contains("new_spin") && !seen(&app).contains("sleeping"), "{}", seen(&app));
}

#[test]
fn a_command_does_not_put_back_what_another_replaced() {
    let session = open("deadlock");
    let slot = Mutex::new(Some(Arc::clone(&session)));
    let disable = || {
        let question = Question::Line { line: "setsymbolserver -disable".to_owned(), focus: Focus::default() };
        worker::caught(|| worker::answer(Arc::clone(&session), question, &Job::default(), &slot))
    };
    let epoch = || slot.lock().expect("nobody panics").as_ref().map(|session| session.epoch());
    let first = disable().expect("a session without directories");
    assert_eq!(first.changed.and_then(|changed| changed.opened).map(|opened| opened.epoch), Some(1));
    let replaced = slot.lock().expect("nobody panics").clone();
    // Both began with the same session.
    assert!(matches!(disable(), Err(Failure::Error(why)) if why.contains("meanwhile")));
    assert_eq!(epoch(), Some(1));
    assert!(Arc::ptr_eq(
        &replaced.expect("a session"),
        slot.lock().expect("nobody panics").as_ref().expect("a session")
    ));
}

#[test]
fn moving_on_stops_a_detail_that_takes_long_and_escape_does_too() {
    let mut app = App::new(LOOK, (120, 40), "core", Job::default());
    app.update(Event::Opened(Ok(captured(0))));
    let (ticket, ..) = one(press(&mut app, '2'));
    let (first, _, slow) = one(app.update(Event::Answered(ticket, shown(threads("sleeping")))));
    assert!(asked(press(&mut app, 'j')).is_empty(), "what is answered within a tick is kept");
    let (_, question, job) = one(app.update(Event::Tick));
    assert!(slow.is_cancelled() && question.focus().thread == Some(Tid(4712)));
    app.update(Event::Answered(first, Err(Failure::Cancelled)));
    app.update(Event::Tick);
    app.update(key(KeyCode::Esc));
    assert!(job.is_cancelled());
    assert!(wide(&app).contains("stopped: before it was done"), "{}", wide(&app));
    assert_eq!(asked(press(&mut app, 'k')).len(), 1);
}

fn wide(app: &App) -> String {
    screen::drawn(app, (120, 40))
}

/// Requests are told of programs that serve some: of others their pane is left out, and no other loses its place.
#[test]
fn a_pane_with_nothing_to_show_is_left_out() {
    let brought = vec![&coreclr::dumpasync::VIEW, &coreclr::dumprequests::VIEW];
    let panes = |without_pane: Vec<&'static str>| -> String {
        let opened = Opened { brought: brought.clone(), without_pane, ..screen::opened() };
        let mut app = App::new(LOOK, (160, 24), "core", Job::default());
        app.update(Event::Opened(Ok(opened)));
        screen::drawn(&app, (160, 24)).lines().nth(1).expect("a line of panes").trim_matches('"').trim_end().to_owned()
    };
    let (all, without) = (panes(Vec::new()), panes(vec!["dumprequests"]));
    assert!(all.ends_with("Requests") && without.ends_with("Async"), "{all}\n{without}");
    assert!(all.starts_with(&without), "{all}\n{without}");
}
