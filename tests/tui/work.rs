//! Work behind the screen: progress, cancel, stale answers, panics, size.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use dumpscope::job::Job;
use dumpscope::model::{Subject, Tid};
use dumpscope::report::section::{Body, Cell, Column, Row, Section, Table, Value};
use dumpscope::tui::app::App;
use dumpscope::tui::event::{Answered, Effect, Event, Failure, Question, Ticket};
use dumpscope::tui::keymap::{KEYMAP, Key};
use dumpscope::tui::stage::{Answer, Stage};
use dumpscope::tui::worker;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::dumps::{LOOK, answers, open};
use super::screen;

pub(crate) fn key(code: KeyCode) -> Event {
    Event::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

pub(crate) fn press(app: &mut App, letter: char) -> Vec<Effect> {
    app.update(key(KeyCode::Char(letter)))
}

pub(crate) fn asked(effects: Vec<Effect>) -> Vec<(Ticket, Question, Job)> {
    let of = |effect| match effect {
        Effect::Ask(ticket, question, job) => Some((ticket, question, job)),
        _ => None,
    };
    effects.into_iter().filter_map(of).collect()
}

pub(crate) fn seen(app: &App) -> String {
    screen::drawn(app, (80, 24))
}

/// A screen over threads in three deadlocks, what it asked first, and who answers.
fn deadlock() -> (App, Vec<(Ticket, Question, Job)>, Answer<'static>) {
    let session = open("deadlock");
    let mut app = App::new(LOOK, (80, 24), "core.4711", Job::default());
    let first = asked(app.update(Event::Opened(Ok(worker::describe(&session)))));
    (app, first, answers(&session))
}

/// A screen whose first question got this answer.
fn answered(section: Arc<Section>) -> App {
    let mut app = App::new(LOOK, (80, 24), "core", Job::default());
    let (ticket, ..) = asked(app.update(Event::Opened(Ok(screen::opened())))).remove(0);
    app.update(Event::Answered(ticket, Ok(Answered { section, ..Answered::shown(Section::default()) })));
    app
}

#[test]
fn the_first_frame_is_there_before_the_dump_is_open() {
    let job = Job::default();
    let mut app = App::new(LOOK, (80, 24), "core.4711", job.clone());
    job.phase("finding modules", 31);
    job.advance(12).expect("the job is not cancelled");
    let text = seen(&app);
    assert!(text.contains("core.4711") && text.contains("finding modules") && text.contains("12 of 31"), "{text}");
    assert!(asked(press(&mut app, '2')).is_empty(), "there is nobody to ask yet");
    app.update(key(KeyCode::Esc));
    assert!(job.is_cancelled());
}

#[test]
fn progress_shows_after_a_tick_and_escape_cancels() {
    let (mut app, first, _) = deadlock();
    let [(_, question, job)] = first.as_slice() else { panic!("one question: {first:?}") };
    assert_eq!(question.line(), "summary");
    job.phase("walking stacks", 1_000);
    job.advance(340).expect("the job is not cancelled");
    assert!(!seen(&app).contains("walking stacks"), "an answer within a tick does not flicker");
    assert!(app.is_busy());
    app.update(Event::Tick);
    let text = seen(&app);
    assert!(text.contains("walking stacks") && text.contains("340 of 1,000") && text.contains("Esc stop"), "{text}");
    app.update(key(KeyCode::Esc));
    assert!(job.is_cancelled() && !app.is_busy());
    assert!(seen(&app).contains("stopped"));
    assert_eq!(asked(app.update(key(KeyCode::Enter))).len(), 1, "Enter asks again");
}

#[test]
fn an_answer_that_nobody_waits_for_is_dropped() {
    let (mut app, first, mut answer) = deadlock();
    let (ticket, question, job) = first.first().expect("a question");
    // It was ready when nobody waited any more.
    let late = answer(question, job);
    assert!(late.is_ok());
    app.update(key(KeyCode::Esc));
    app.update(Event::Answered(*ticket, late.clone()));
    assert!(!seen(&app).contains("deadlock: "));
    app.update(Event::Answered(Ticket(9_999), late));
    assert!(!seen(&app).contains("deadlock: "));
}

#[test]
fn an_answer_for_a_pane_that_was_left_is_there_when_one_comes_back() {
    let (mut app, first, mut answer) = deadlock();
    let (ticket, question, job) = first.into_iter().next().expect("a question");
    press(&mut app, '2');
    app.update(Event::Answered(ticket, answer(&question, &job)));
    assert!(!seen(&app).contains("deadlock: "), "the threads are still being asked for");
    assert!(asked(press(&mut app, '1')).is_empty());
    assert!(seen(&app).contains("deadlock: "));
}

#[test]
fn a_panic_of_a_worker_is_shown_as_a_bug_and_the_rest_goes_on() {
    let session = open("deadlock");
    let mut answer = answers(&session);
    let panics = move |question: &Question, job: &Job| match question {
        question if question.line() == "locks -list" => {
            Err(Failure::Bug("index out of bounds at src/a.rs:1".to_owned()))
        }
        question => answer(question, job),
    };
    let mut stage = Stage::new(LOOK, (80, 24), worker::describe(&session), Box::new(panics));
    let text = stage.press("4").text();
    assert!(text.contains("this is a bug in dumpscope") && text.contains("src/a.rs:1"), "{text}");
    assert!(stage.press("2").text().contains("4717  worker-3"));
}

#[test]
fn a_failed_answer_says_why_and_can_be_tried_again() {
    let session = open("deadlock");
    let mut answer = answers(&session);
    let mut tries = 0;
    let fails_once = move |question: &Question, job: &Job| {
        tries += 1;
        if tries == 1 { Err(Failure::Error("the file shrank".to_owned())) } else { answer(question, job) }
    };
    let mut stage = Stage::new(LOOK, (80, 24), worker::describe(&session), Box::new(fails_once));
    assert!(stage.text().contains("failed: the file shrank"));
    assert!(stage.press("<Enter>").text().contains("deadlock: "));
}

fn million() -> Section {
    let row = |index: u32| {
        let name = Value::Function(format!("shop::Type{index}::method(int)").into());
        Row::about(Subject::Thread(Tid(index)), vec![Cell::new(Value::Count(u64::from(index))), Cell::new(name)])
    };
    let columns = vec![Column::right("Count"), Column::wide("Type", 1)];
    screen::table(columns, (0..1_000_000).map(row).collect())
}

#[test]
fn a_million_rows_cost_a_frame_no_more_than_those_it_shows() {
    let mut stage = screen::of_section(million(), (80, 24));
    stage.press("2").text();
    let start = screen::cpu_time();
    const KEYS: u32 = 50;
    for _ in 0..KEYS {
        stage.press("<C-d>").buffer();
    }
    // 16 ms a key is the promise for a release build; this bound holds without optimisation and still refuses a walk over
    // all rows.
    let spent = screen::cpu_time() - start;
    assert!(spent < KEYS * Duration::from_millis(50), "{spent:?} for {KEYS} keys");
}

#[test]
fn many_rows_are_filtered_on_a_worker_and_the_keys_go_on() {
    let mut app = answered(Arc::new(million()));
    press(&mut app, '/');
    let effects = press(&mut app, '7');
    let [Effect::Arrange(first, _)] = effects.as_slice() else { panic!("{effects:?}") };
    let effects = press(&mut app, '7');
    let [Effect::Arrange(second, rows)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(rows.typed, "77");
    assert!(seen(&app).contains("filtering"));
    app.update(Event::Arranged(*first, vec![Some(Arc::new(vec![7]))]));
    assert!(seen(&app).contains("filtering"), "an answer to an older filter is dropped");
    app.update(Event::Arranged(*second, vec![Some(Arc::new(vec![77, 770]))]));
    assert!(seen(&app).contains("2 of 1,000,000"), "{}", seen(&app));
}

/// The stacks of a thousand threads, each a title and a table.
fn thousand_stacks() -> Section {
    let stack = |tid: u32| {
        let row = |frame: usize| {
            let name = Value::Function(format!("shop::Type{frame}::method(int)").into());
            Row::about(Subject::Frame(Tid(tid), frame), vec![Cell::new(Value::Count(frame as u64)), Cell::new(name)])
        };
        let columns = vec![Column::right("#"), Column::wide("Function", 1)];
        let title = Row::about(Subject::Thread(Tid(tid)), vec![Cell::text(format!("Thread {tid} worker"))]);
        [Body::Lines(vec![title]), Body::Table(Table::new(columns, (0..37).map(row).collect()))]
    };
    screen::section((0..1_000).flat_map(stack).collect())
}

#[test]
fn over_a_thousand_tables_the_echo_comes_first_and_each_letter_begins_anew() {
    let mut app = answered(Arc::new(thousand_stacks()));
    seen(&app);
    press(&mut app, '/');
    let start = screen::cpu_time();
    let effects = press(&mut app, '\'');
    assert!(effects.is_empty(), "a sign without a word filters nothing: {effects:?}");
    let mut jobs = Vec::new();
    let mut last = None;
    for letter in "type36".chars() {
        let effects = press(&mut app, letter);
        let Some(Effect::Arrange(ticket, arranging)) = effects.into_iter().next() else {
            panic!("no work for {letter}")
        };
        jobs.push(arranging.job.clone());
        last = Some((ticket, arranging));
    }
    let text = seen(&app);
    // 16 ms a key is the promise for a release build; this bound holds without optimisation and refuses a look at every row.
    let spent = screen::cpu_time() - start;
    assert!(spent < 7 * Duration::from_millis(100), "{spent:?}");
    assert!(text.contains("/ 'type36") && text.contains("filtering"), "{text}");
    let (current, older) = jobs.split_last().expect("six letters");
    assert!(older.iter().all(Job::is_cancelled) && !current.is_cancelled());
    let (ticket, arranging) = last.expect("six letters");
    app.update(Event::Arranged(ticket, arranging.run().expect("nobody cancels it")));
    let text = seen(&app);
    assert!(text.contains("1,000 of 37,000"), "{text}");
    assert!(text.contains("Thread 0 worker") && text.contains("Thread 1 worker"), "{text}");
}

/// What waits for a disk, a thread, a process or a lock.
const WAITING: [&str; 15] = [
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
    "crossbeam_channel",
    "rustix",
    "Mutex",
    "RwLock",
    "Condvar",
    "OnceLock",
    "Session",
    "Shell",
    ".lock()",
    ".recv()",
];
/// The main loop, and what it starts or asks the terminal for.
const MAY_WAIT: [&str; 9] = [
    "clipboard.rs",
    "history.rs",
    "mod.rs",
    "panics.rs",
    "pick.rs",
    "probe.rs",
    "source.rs",
    "terminal.rs",
    "worker.rs",
];

/// A key is answered by the screen's state and a frame by its drawing: both are code that cannot wait, however long a load
/// runs.
#[test]
fn no_code_between_a_key_and_its_frame_can_wait() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tui");
    let (mut seen, mut pending) = (0, vec![folder.clone()]);
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a folder of the source");
            pending.extend(entries.map(|entry| entry.expect("an entry").path()));
            continue;
        }
        let code = std::fs::read_to_string(&path).expect("a file of the source");
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        let waits: Vec<&str> = lines.filter(|line| WAITING.iter().any(|word| line.contains(word))).collect();
        let name = path.strip_prefix(&folder).expect("below the folder").display().to_string();
        // That these do shows that the words find what they are meant to find.
        assert_eq!(waits.is_empty(), !MAY_WAIT.contains(&name.as_str()), "{name}: {waits:?}");
        seen += 1;
    }
    assert!(seen > 30, "only {seen} files");
}

/// Every key of the table, while the dump is opened and while an answer is under way that never comes.
#[test]
fn every_key_is_answered_while_a_load_runs() {
    let of_table: HashSet<&Key> = KEYMAP.iter().flat_map(|binding| binding.keys).collect();
    let codes = [
        KeyCode::Enter,
        KeyCode::Tab,
        KeyCode::BackTab,
        KeyCode::Backspace,
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::Left,
        KeyCode::Right,
        KeyCode::PageUp,
        KeyCode::PageDown,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::F(1),
        KeyCode::Esc,
    ];
    let letters = (' '..='~').map(KeyCode::Char);
    let both = |code| [KeyModifiers::NONE, KeyModifiers::CONTROL].map(|modifiers| KeyEvent::new(code, modifiers));
    let all: Vec<KeyEvent> = codes.into_iter().chain(letters).flat_map(both).collect();
    let known: HashSet<Key> = all.iter().map(Key::of).collect();
    assert!(of_table.iter().all(|key| known.contains(key)), "every key of the table is pressed");
    for is_open in [false, true] {
        let mut app = App::new(LOOK, (120, 40), "core.4711", Job::default());
        if is_open {
            app.update(Event::Opened(Ok(screen::opened())));
        }
        for event in &all {
            app.update(Event::Key(*event));
            app.update(Event::Tick);
            let mut screen = Terminal::new(TestBackend::new(120, 40)).expect("a test's screen has no errors");
            screen.draw(|frame| app.draw(frame)).expect("a test's screen has no errors");
            assert!(screen.backend().to_string().contains("core.4711"), "{event:?}");
        }
    }
}

/// A screen over a page of a hundred rows, larger than the screen, of which more was asked.
fn long_page() -> (App, Ticket, Job) {
    let rows = (0..100).map(|at| Row::about(Subject::Frame(Tid(1), at), vec![Cell::text(format!("row {at}"))]));
    let section = screen::table(vec![Column::left("Frame")], rows.collect());
    let mut app = App::new(LOOK, (80, 24), "core", Job::default());
    app.update(Event::Opened(Ok(screen::opened())));
    for letter in ":stack -all".chars() {
        press(&mut app, letter);
    }
    let (ticket, ..) = asked(app.update(key(KeyCode::Enter))).remove(0);
    app.update(Event::Answered(ticket, Ok(Answered::shown(section))));
    let (ticket, _, job) = asked(press(&mut app, 'l')).remove(0);
    (app, ticket, job)
}

#[test]
fn on_a_page_longer_than_the_screen_it_is_seen_that_another_answer_is_waited_for() {
    let (mut app, _, job) = long_page();
    job.phase("reading variables", 40);
    assert!(!seen(&app).contains("reading variables"));
    app.update(Event::Tick);
    let text = seen(&app);
    assert!(text.contains("row 3") && text.contains("reading variables") && text.contains("Esc stop"), "{text}");
    app.update(key(KeyCode::Esc));
    let text = seen(&app);
    assert!(text.contains("stopped: before it was done") && text.contains(" stopped ─"), "{text}");
}

#[test]
fn rows_of_an_answer_do_not_pass_for_the_one_that_failed() {
    let (mut app, ticket, _) = long_page();
    let style = |app: &App| {
        let mut screen = Terminal::new(TestBackend::new(80, 24)).expect("a test's screen has no errors");
        screen.draw(|frame| app.draw(frame)).expect("a test's screen has no errors");
        screen.backend().buffer()[(2, 6)].fg
    };
    let before = style(&app);
    app.update(Event::Answered(ticket, Err(Failure::Error("the file shrank".to_owned()))));
    assert!(seen(&app).contains("failed: the file shrank   Enter tries again"), "{}", seen(&app));
    assert_ne!(style(&app), before, "they fade");
    let (ticket, ..) = asked(app.update(key(KeyCode::Enter))).remove(0);
    app.update(Event::Answered(ticket, Ok(Answered::shown(screen::table(vec![Column::left("Frame")], Vec::new())))));
    assert!(!seen(&app).contains("failed"));
}

#[test]
fn a_filter_over_sentences_counts_them() {
    let line = |text: &str| Row::text(text);
    let fields = ["owner", "waiters", "kind"].map(|label| (label.to_owned(), line("of g_orders")));
    let section = screen::section(vec![
        Body::Heading("Locks".to_owned()),
        Body::Lines(vec![line("worker-3 waits for g_orders"), line(""), line("main sleeps")]),
        Body::Fields(fields.to_vec()),
    ]);
    let mut stage = screen::of_section(section, (60, 20));
    assert!(stage.press("/'g_orders").text().contains(" 4 of 5"), "{}", stage.text());
    assert!(stage.press("<C-u>'waiters").text().contains(" 1 of 5"), "{}", stage.text());
}

#[test]
fn what_was_asked_for_a_list_is_no_answer_to_what_was_chosen_from_it() {
    let mut list = App::choosing(LOOK, (80, 24), "Processes");
    let (ticket, question, job) = asked(list.update(Event::Resize(80, 24))).remove(0);
    assert_eq!(question, Question::Choices);
    let mut app = App::new(LOOK, (80, 24), "pid 4711", Job::default()).instead_of(&list);
    assert!(job.is_cancelled());
    let first = asked(app.update(Event::Opened(Ok(screen::opened()))));
    assert!(first.iter().all(|(other, ..)| *other != ticket), "{first:?}");
    let late = screen::section(vec![Body::Lines(vec![Row::text("a list of processes")])]);
    app.update(Event::Answered(ticket, Ok(Answered::shown(late))));
    assert!(!seen(&app).contains("a list of processes"));
}
