//! One of several things to open: the list before there is a dump.

use std::cell::Cell as Counter;
use std::rc::Rc;

use dumpscope::job::Job;
use dumpscope::model::Tid;
use dumpscope::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use dumpscope::tui::event::{Event, Question};
use dumpscope::tui::keymap::Action;
use dumpscope::tui::stage::Stage;

use super::fake;
use super::terminal::{LEAVE, Terminal, fresh};

/// Pid, name, runtime, threads, bytes in memory, why not, command line.
type Process = (u32, &'static str, &'static str, u64, u64, &'static str, &'static str);

const PROCESSES: [Process; 4] = [
    (4711, "orders-api", "native", 34, 412_000_000, "", "/srv/orders-api --port 8080"),
    (1, "systemd", "native", 1, 12_000_000, "user", "/sbin/init"),
    (5120, "dotnet", ".NET 9.0.1", 61, 880_000_000, "", "dotnet /srv/Shop.dll --urls http://*:5000"),
    (6001, "java", "JVM 17.0.15", 88, 2_400_000_000, "", "java -jar /srv/search.jar"),
];

fn listed(processes: &[Process]) -> Section {
    let columns = vec![
        Column::right("Pid"),
        Column::left("Name"),
        Column::left("Runtime"),
        Column::right("Threads"),
        Column::right("RSS"),
        Column::left("Why not"),
        Column::wide("Command line", 1),
    ];
    let row = |(pid, name, runtime, threads, rss, why, line): &Process| {
        Row::new(vec![
            Cell::new(Value::Tid(Tid(*pid))),
            Cell::text(*name).tone(Tone::Strong),
            Cell::text(*runtime),
            Cell::new(Value::Count(*threads)),
            Cell::new(Value::Bytes(*rss)),
            if why.is_empty() { Cell::NONE } else { Cell::text(*why).tone(Tone::Guess) },
            Cell::text(*line),
        ])
    };
    fake::section(vec![Body::Table(Table::new(columns, processes.iter().map(row).collect()))])
}

fn stage(width: u16, height: u16) -> Stage<'static> {
    let answer = |question: &Question, _: &Job| {
        assert_eq!(question, &Question::Choices, "there is no dump to ask");
        Ok(fake::shown(listed(&PROCESSES)))
    };
    Stage::choosing(fake::LOOK, (width, height), "Processes", Box::new(answer))
}

#[track_caller]
fn selected(stage: &mut Stage<'_>) -> String {
    let text = stage.text();
    let line = text.lines().find(|line| line.starts_with('▸'));
    line.unwrap_or_else(|| panic!("no line is selected:\n{text}")).to_owned()
}

#[test]
fn the_list_is_there_with_its_columns_filter_and_keys() {
    let mut stage = stage(80, 24);
    let text = stage.text();
    let line = |at: usize| text.lines().nth(at).unwrap_or_default();
    assert_eq!(line(1).trim(), "1 Processes");
    assert!(line(3).starts_with("   Pid  Name") && line(3).contains("Command line"), "{text}");
    assert!(line(4).starts_with("▸ 4711  orders-api"), "{text}");
    assert!(line(23).contains("⏎ open   c collect   / filter"), "{text}");
    let text = stage.press("/!native net").text();
    assert!(text.contains("dotnet") && !text.contains("java") && !text.contains("orders-api"), "{text}");
    assert!(text.contains("1 of 4"), "{text}");
}

#[test]
fn a_row_is_chosen_by_its_place_in_the_answer_whatever_hides_or_moves_it() {
    let mut stage = stage(80, 24);
    stage.press("<Enter>");
    stage.press("/java<Enter><Enter>");
    // By resident memory, largest first: java, dotnet, orders-api, systemd.
    stage.press("<Esc>s5s5gj").press("c");
    assert!(selected(&mut stage).contains("dotnet"));
    assert_eq!(stage.chosen, [(Action::Open, 0), (Action::Open, 3), (Action::Collect, 2)]);
}

#[test]
fn why_one_cannot_be_chosen_is_said() {
    let mut stage = stage(80, 24);
    stage.press("j<Enter>");
    assert_eq!(stage.chosen, [(Action::Open, 1)]);
    stage.send(Event::Refused("systemd belongs to root".to_owned()));
    assert!(stage.text().contains("systemd belongs to root"));
    assert!(!stage.quit);
}

#[test]
fn listing_anew_keeps_the_process_that_was_selected() {
    let asked = Rc::new(Counter::new(0));
    let count = Rc::clone(&asked);
    let answer = move |_: &_, _: &_| {
        count.set(count.get() + 1);
        let mut processes = PROCESSES.to_vec();
        if count.get() > 1 {
            processes.remove(0);
        }
        Ok(fake::shown(listed(&processes)))
    };
    let mut stage = Stage::choosing(fake::LOOK, (80, 24), "Processes", Box::new(answer));
    assert!(selected(stage.press("jj")).contains("5120"));
    assert!(selected(stage.press("r")).contains("5120"), "{}", stage.text());
    assert!(!stage.text().contains("4711"), "it is gone");
    assert_eq!(asked.get(), 2);
}

#[test]
fn only_what_makes_sense_without_a_dump_can_be_run() {
    let mut stage = stage(80, 24);
    let text = stage.press(":").text();
    assert!(text.contains("filter") && !text.contains("summary"), "{text}");
    assert!(stage.press("list").text().contains("List them anew"), "{}", stage.text());
    stage.press("<Esc>:threads<Enter>");
    assert!(stage.text().contains("no such command"), "{}", stage.text());
    let text = stage.press("<Esc>?").text();
    assert!(text.contains("Leave, and write a dump of the process"), "{text}");
    stage.press("<Esc><Esc>29");
    assert!(stage.text().contains("java"), "the list stays");
    stage.press("q");
    assert!(stage.quit && stage.chosen.is_empty());
}

#[test]
fn a_wide_screen_has_the_list_alone() {
    let mut stage = stage(120, 40);
    assert!(!stage.text().contains('│'));
    assert!(stage.text().contains("dotnet /srv/Shop.dll --urls http://*:5000"));
}

/// A process that sleeps until it is dropped.
struct Sleeper(std::process::Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        // Already dead is as good as killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_process_is_chosen_from_the_machines_own_and_opened_in_the_same_screen() {
    let child = std::process::Command::new("sleep").arg("98765.4321").spawn().expect("sleep");
    let sleeper = Sleeper(child);
    let pid = sleeper.0.id().to_string();
    let mut terminal = Terminal::start(&["live"], (120, 40), &[]);
    terminal.wait_text("Processes");
    terminal.wait_text("Command line");
    // Exactly: a fuzzy filter finds its letters in longer command lines, too.
    terminal.press("/'98765.4321");
    terminal.wait("the sleeper alone", |seen| {
        let text = seen.screen.screen().contents();
        text.contains("/ '98765.4321") && text.lines().any(|line| line.starts_with('▸') && line.contains(&pid))
    });
    terminal.press("\r\r");
    terminal.wait_text("1 Summary");
    terminal.wait_text("live process, stopped for");
    assert!(terminal.raw().windows(LEAVE.len()).all(|bytes| bytes != LEAVE), "it is the same screen");
    terminal.press("q");
    assert_eq!(terminal.ended(&fresh()).code(), Some(0));
}
