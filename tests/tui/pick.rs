//! One of several things to open: the list before there is a dump.

use std::cell::Cell as Counter;
use std::rc::Rc;

use dumpscope::job::Job;
use dumpscope::model::{Partial, RuntimeKind};
use dumpscope::processes::{Process, Reason, Refusal, Runtime};
use dumpscope::report::section::Section;
use dumpscope::tui::event::{Answered, Event, Question};
use dumpscope::tui::keymap::Action;
use dumpscope::tui::stage::Stage;
use dumpscope::views::Draw;
use dumpscope::views::ps::{Order, answer};

use super::dumps::LOOK;
use super::screen::selected;
use super::terminal::{LEAVE, Terminal, fresh};

/// Pid, name, what runs in it, threads, bytes in memory, whether it may be dumped, command line.
type Made = (u32, &'static str, (RuntimeKind, Option<&'static str>), u64, u64, bool, &'static str);

/// Most resident memory first, as they are listed.
const PROCESSES: [Made; 4] = [
    (6001, "java", (RuntimeKind::Jvm, Some("17.0.15")), 88, 2_400_000_000, true, "java -jar /srv/search.jar"),
    (
        5120,
        "dotnet",
        (RuntimeKind::Dotnet, Some("9.0.1")),
        61,
        880_000_000,
        true,
        "dotnet /srv/Shop.dll --urls http://*:5000",
    ),
    (4711, "orders-api", (RuntimeKind::Native, None), 34, 412_000_000, true, "/srv/orders-api --port 8080"),
    (1, "systemd", (RuntimeKind::Native, None), 1, 12_000_000, false, "/sbin/init"),
];

fn process((pid, name, (kind, version), threads, rss, dumpable, line): Made) -> Process {
    let refusal =
        Refusal { reason: Reason::OtherUser, message: "it belongs to root".to_owned(), certain: true, remedy: None };
    let version = version.map(str::to_owned);
    Process {
        pid,
        parent: Some(1),
        name: name.to_owned(),
        runtimes: vec![Runtime { kind, version, evidence: String::new() }],
        entry: None,
        executable: None,
        command_line: Some(line.split(' ').map(str::to_owned).collect()),
        threads: Some(threads),
        rss_bytes: Some(rss),
        age_seconds: Some(60),
        start_ticks: 0,
        uid: Some(0),
        user: Some("root".to_owned()),
        container: None,
        namespace_pid: None,
        dumpable,
        refusals: if dumpable { Vec::new() } else { vec![refusal] },
    }
}

/// What the list of processes draws of these.
fn listed(processes: &[Made]) -> Section {
    let found = Partial::whole(processes.iter().copied().map(process).collect());
    answer(found, true, Order::Rss).data.draw()
}

fn stage(width: u16, height: u16) -> Stage<'static> {
    let answer = |question: &Question, _: &Job| {
        assert_eq!(question, &Question::Choices, "there is no dump to ask");
        Ok(Answered::shown(listed(&PROCESSES)))
    };
    Stage::choosing(LOOK, (width, height), "Processes", Box::new(answer))
}

#[test]
fn the_list_is_there_with_its_columns_filter_and_keys() {
    let mut stage = stage(80, 24);
    let text = stage.text();
    let line = |at: usize| text.lines().nth(at).unwrap_or_default();
    assert_eq!(line(1).trim(), "1 Processes");
    assert!(line(3).starts_with("   Pid  Name") && line(3).contains("Command line"), "{text}");
    assert!(line(4).starts_with("▸ 6001  java"), "{text}");
    assert!(line(23).contains("⏎ open   c collect   / filter"), "{text}");
    let text = stage.press("/!native net").text();
    assert!(text.contains("dotnet") && !text.contains("java") && !text.contains("orders-api"), "{text}");
    // Four processes, and two sentences about the one that may not be dumped, of which one is left.
    assert!(text.contains("2 of 6"), "{text}");
}

#[test]
fn a_row_is_chosen_by_its_place_in_the_answer_whatever_hides_or_moves_it() {
    let mut stage = stage(80, 24);
    stage.press("<Enter>");
    stage.press("/systemd<Enter><Enter>");
    // By resident memory, smallest first: systemd, orders-api, dotnet, java.
    stage.press("<Esc>s5gj").press("c");
    assert!(selected(&mut stage).contains("orders-api"));
    assert_eq!(stage.chosen, [(Action::Open, 0), (Action::Open, 3), (Action::Collect, 2)]);
}

#[test]
fn why_one_cannot_be_chosen_is_said() {
    let mut stage = stage(80, 24);
    assert!(selected(stage.press("jjj")).contains("other-user"));
    stage.press("<Enter>");
    assert_eq!(stage.chosen, [(Action::Open, 3)]);
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
        Ok(Answered::shown(listed(&processes)))
    };
    let mut stage = Stage::choosing(LOOK, (80, 24), "Processes", Box::new(answer));
    assert!(selected(stage.press("j")).contains("5120"));
    assert!(selected(stage.press("r")).contains("5120"), "{}", stage.text());
    assert!(!stage.text().contains("6001"), "it is gone");
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
