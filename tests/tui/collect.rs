//! Dumps taken from a real terminal: the progress line, its cancellation, and the key of the list of processes.

use std::path::Path;

use support::{Running, wait_for};

use super::terminal::{LEAVE, Terminal, has};

/// Larger than the buffers between process and output.
fn large() -> Running {
    Running::start("alive", "glibc", &["witness", "96"])
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn progress_is_shown_and_control_c_cancels() {
    for mode in ["direct", "fork"] {
        let process = large();
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Nobody reads the rest: it stays in the middle.
        let reader = "{ head -c 40000000 >/dev/null; sleep 1000; }";
        let pid = process.pid();
        let line = format!("{} collect -p {pid} --mode {mode} -o - | {reader}", env!("CARGO_BIN_EXE_dumpscope"));
        let mut terminal = Terminal::run(&["sh", "-c", &line], (80, 24), &[], folder.path());
        // `writing the dump  36 %  37.7 MB of 103.1 MB  16.1 MB/s  4 s left`: of 96 MiB and the libraries.
        terminal.wait("progress", |seen| {
            let text = seen.screen.screen().contents();
            let words: Vec<&str> = text.split_whitespace().collect();
            text.contains("writing the dump") && words.contains(&"%") && words.ends_with(&["s", "left"])
        });
        terminal.press("\x03");
        terminal.wait_text("cancelled");
        wait_for("the process to go on", || process.states().iter().all(|state| matches!(state, 'S' | 'R')));
        wait_for("the line to end", || terminal.child.try_wait().expect("it is ours").is_some());
        assert!(files(folder.path()).is_empty());
    }
}

#[test]
fn the_progress_line_is_gone_when_the_dump_is_there() {
    let process = large();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pid = process.pid().to_string();
    let line = [env!("CARGO_BIN_EXE_dumpscope"), "collect", "-p", &pid, "-o", "core"];
    let mut terminal = Terminal::run(&line, (120, 24), &[], folder.path());
    wait_for("the dump to end", || terminal.child.try_wait().expect("it is ours").is_some());
    terminal.wait_text("stopped for");
    let text = terminal.seen.0.lock().expect("no test panics while it holds the screen").screen.screen().contents();
    assert!(!text.contains(" left") && !text.contains("writing the dump"), "{text}");
    assert_eq!(files(folder.path()), ["core"]);
}

#[test]
fn the_list_of_processes_dumps_the_chosen_one() {
    let process = large();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut terminal = Terminal::run(&[env!("CARGO_BIN_EXE_dumpscope"), "live"], (120, 40), &[], folder.path());
    terminal.wait_text("Processes");
    let pid = process.pid().to_string();
    terminal.press(&format!("/'{pid}"));
    terminal.wait("the process to be selected", |seen| {
        let text = seen.screen.screen().contents();
        text.lines().any(|line| line.starts_with('▸') && line.split_whitespace().nth(1) == Some(&pid))
    });
    terminal.press("\r");
    terminal.press("c");
    wait_for("the dump to end", || terminal.child.try_wait().expect("it is ours").is_some());
    // The screen is left before anything is said.
    terminal.wait("the screen to be left", |seen| has(&seen.raw, LEAVE));
    terminal.wait_text("stopped for");
    let files = files(folder.path());
    assert!(files.len() == 1 && files[0].starts_with("core_"), "{files:?}");
    let core = folder.path().join(&files[0]);
    let threads =
        support::dumpscope!("analyze", core, "--json", "--offline", "-c", "threads").expect_status(0).data("threads");
    assert_eq!(threads["threads"][0]["tid"], process.pid());
}
