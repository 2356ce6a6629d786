//! The Heap pane: nothing in it waits for what takes long, and what does is filled in.

use crossterm::event::KeyCode;
use dumpscope::job::Job;
use dumpscope::tui::app::App;
use dumpscope::tui::event::{Event, Failure, Later, Question, Ticket};
use dumpscope::tui::stage::{Answer, Stage};
use dumpscope::tui::worker;

use super::dumps::{LOOK, answers, open};
use super::screen;
use super::work::{asked, key, press};

/// A screen over the demo with its Heap pane open, and who answers. What is computed besides is not answered yet.
fn heap() -> (App, Answer<'static>, (Ticket, Question, Job)) {
    let session = open("demo");
    let mut answer = answers(&session);
    let mut app = App::new(LOOK, (100, 24), "demo", Job::default());
    let first = asked(app.update(Event::Opened(Ok(worker::describe(&session)))));
    drop(first);
    let (ticket, question, job) = asked(press(&mut app, '6')).remove(0);
    assert_eq!(question.line(), "dumpheap -known -stat");
    let later = asked(app.update(Event::Answered(ticket, answer(&question, &job)))).remove(0);
    (app, answer, later)
}

fn seen(app: &App) -> String {
    screen::drawn(app, (100, 24))
}

/// The cells of the line that is about a type.
#[track_caller]
fn row(app: &App, of_type: &str) -> Vec<String> {
    let text = seen(app);
    let line = text.lines().find(|line| line.contains(of_type)).unwrap_or_else(|| panic!("no {of_type}:\n{text}"));
    line.split_whitespace().map(str::to_owned).collect()
}

/// Answers what is computed besides, and what is asked for anew then. Returns what is computed next.
fn go_on(
    app: &mut App,
    answer: &mut Answer<'_>,
    (ticket, question, job): (Ticket, Question, Job),
) -> Option<(Ticket, Question, Job)> {
    let mut open = vec![(ticket, question, job)];
    let mut next = None;
    while let Some((ticket, question, job)) = open.pop() {
        let answered = Event::Answered(ticket, answer(&question, &job));
        let (later, others): (Vec<_>, Vec<_>) = asked(app.update(answered))
            .into_iter()
            .partition(|(_, question, _)| matches!(question, Question::Later(_)));
        next = later.into_iter().next().or(next);
        open.extend(others);
    }
    next
}

#[test]
fn the_histogram_is_there_before_names_and_retained_sizes_are_which_are_filled_in() {
    let (mut app, mut answer, later) = heap();
    assert_eq!(later.1, Question::Later(Later::Names));
    // 3,000 sessions of 80 bytes, as fixtures/demo has them; nothing tells what they keep alive yet.
    let sessions = row(&app, "shop::Session");
    assert!(sessions.contains(&"3,000".to_owned()) && sessions.contains(&"…".to_owned()), "{sessions:?}");
    assert!(!seen(&app).contains("std::map<int, shop::Order>"), "{}", seen(&app));
    let later = go_on(&mut app, &mut answer, later).expect("retained sizes come after names");
    assert_eq!(later.1, Question::Later(Later::Retained));
    assert!(row(&app, "shop::Session").contains(&"…".to_owned()));
    assert!(seen(&app).contains("node of std::map<int, shop::Order>"), "{}", seen(&app));
    assert!(go_on(&mut app, &mut answer, later).is_none());
    // Each session has a basket of one line, 32 bytes: 80 + 32, of which 3,000 are 328 KiB.
    assert!(row(&app, "shop::Session").contains(&"328K".to_owned()), "{}", seen(&app));
}

#[test]
fn what_is_filled_in_disturbs_neither_the_filter_nor_the_selection() {
    let (mut app, mut answer, later) = heap();
    for letter in "/e".chars() {
        press(&mut app, letter);
    }
    app.update(key(KeyCode::Enter));
    let is_selected = |app: &App| {
        let text = seen(app);
        text.lines().any(|line| line.contains('▸') && line.contains("_State_impl"))
    };
    // It is the 13th of the rows that have an e, and among other ones once those have names.
    while !is_selected(&app) && seen(&app).contains("_State_impl") {
        press(&mut app, 'j');
    }
    assert!(is_selected(&app), "{}", seen(&app));
    let mut later = Some(later);
    while let Some(next) = later.take() {
        later = go_on(&mut app, &mut answer, next);
    }
    assert!(is_selected(&app) && seen(&app).contains("/ e"), "{}", seen(&app));
}

#[test]
fn what_is_computed_besides_is_seen_and_escape_stops_it_last_of_all() {
    let (mut app, mut answer, (_, _, job)) = heap();
    job.phase("naming what variables refer to", 200);
    job.advance(50).expect("the job is not cancelled");
    assert!(app.is_busy());
    app.update(Event::Tick);
    assert!(seen(&app).contains("names: naming what variables refer to 25 %"), "{}", seen(&app));
    for letter in "/e".chars() {
        press(&mut app, letter);
    }
    app.update(key(KeyCode::Enter));
    app.update(key(KeyCode::Esc));
    assert!(!job.is_cancelled() && !seen(&app).contains("/ e"), "first the filter goes");
    // A page that is opened meanwhile is left by it.
    let (ticket, question, page) = asked(app.update(key(KeyCode::Enter))).remove(0);
    app.update(Event::Answered(ticket, answer(&question, &page)));
    app.update(key(KeyCode::Esc));
    assert!(!job.is_cancelled());
    assert!(asked(app.update(key(KeyCode::Esc))).is_empty(), "it is not begun anew");
    assert!(job.is_cancelled() && seen(&app).contains("stopped"), "{}", seen(&app));
    press(&mut app, '1');
    let again = asked(press(&mut app, '6'));
    assert!(again.iter().any(|(_, question, _)| *question == Question::Later(Later::Names)), "{again:?}");
}

#[test]
fn an_answer_that_was_under_way_when_more_became_known_is_asked_for_anew() {
    let (mut app, mut answer, (names, question, job)) = heap();
    let (ticket, objects, of_objects) = asked(app.update(key(KeyCode::Enter))).remove(0);
    let early = answer(&objects, &of_objects);
    let named = answer(&question, &job);
    app.update(Event::Answered(names, named));
    let again = asked(app.update(Event::Answered(ticket, early)));
    assert!(again.iter().any(|(_, question, _)| *question == objects), "{again:?}");
}

#[test]
fn a_heap_that_names_itself_goes_on_with_retained_sizes() {
    let (mut app, _, (ticket, ..)) = heap();
    let why = Failure::Error("objects have their names in themselves".to_owned());
    let next = asked(app.update(Event::Answered(ticket, Err(why))));
    assert!(next.iter().any(|(_, question, _)| *question == Question::Later(Later::Retained)), "{next:?}");
    assert!(!seen(&app).contains("in themselves"), "that is no fault: {}", seen(&app));
}

/// `started` of a session, in seconds, as `fixtures/demo` has it: 1,700,000,000 is 0x6553f100.
const STARTED: &str = "00 f1 53 65 00 00 00 00";

#[test]
fn an_objects_bytes_stand_beside_its_fields_and_its_memory_beside_its_address() {
    let mut stage = screen::of_dump("demo", (120, 40));
    let object = stage.press(":dumpobj 0x8a139a0<Enter>").text();
    let field = object.lines().find(|line| line.contains(".started")).expect("the field is shown");
    assert!(field.contains("1700000000") && field.trim_end().ends_with(STARTED), "{object}");
    let memory = object.split("─ memory 0x8a139a0 ─").nth(1).expect("the memory at its address");
    assert!(memory.contains("0x8a139a8") && memory.contains(STARTED), "{object}");
    // What is no object is not taken for one: its vtable is a module's.
    let vtable = stage.press("6<Enter><Enter>jj").text();
    assert!(vtable.contains("▸  0  ._vptr.Session") && vtable.contains("─ memory 0x4dc190 ─"), "{vtable}");
}

#[test]
fn beside_a_type_some_of_its_objects_stand_and_on_its_page_all() {
    let mut stage = screen::of_dump("demo", (120, 40));
    // 3,000 sessions, of which 2,999 leaked.
    let beside = stage.press("6").text();
    assert!(beside.contains("─ shop::Session ─"), "{beside}");
    let asked = |stage: &Stage<'_>| stage.asked.iter().map(Question::line).collect::<Vec<_>>();
    assert!(asked(&stage).contains(&"dumpheap -known -mt 0x4dc190 -n 100".to_owned()), "{:?}", asked(&stage));
    let page = stage.press("<Enter>G").text();
    assert!(page.contains("3,000 rows"), "{page}");
}
