//! `--log FILE` beside the terminal UI: what was done, and not a word of it on the screen.

use std::os::unix::fs::PermissionsExt;

use super::terminal::{Terminal, fresh};

#[test]
fn opening_each_command_its_time_and_what_fails_are_in_the_log() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("dumpscope.log");
    let mut terminal =
        Terminal::start(&["demo", "--log", path.to_str().expect("a path of ASCII"), "-v"], (80, 24), &[]);
    terminal.wait_text("deadlock");
    terminal.press("2");
    terminal.wait_text("check_progress");
    terminal.press(":readmemory 0x10\r");
    terminal.wait_text("0x10");
    terminal.wait_text("failed");
    let screen = terminal.raw();
    terminal.press("q");
    assert_eq!(terminal.ended(&fresh()).code(), Some(0));
    let log = std::fs::read_to_string(&path).expect("the log is there");
    let mode = std::fs::metadata(&path).expect("the log is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let line =
        |words: &str| log.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("no {words}: {log}"));
    assert!(line("opened demo").contains("34 threads"));
    for command in ["ran summary in ", "ran threads in "] {
        let time = line(command).split(command).nth(1).and_then(|rest| rest.strip_suffix(" ms"));
        assert!(time.is_some_and(|time| time.parse::<f64>().is_ok()), "{log}");
    }
    line("readmemory 0x10 (thread ");
    assert!(line("readmemory 0x10").contains("failed after "), "{log}");
    assert!(!String::from_utf8_lossy(&screen).contains("ran summary"), "-v says nothing on the screen");
}

#[test]
fn a_log_that_exists_is_refused_before_the_screen_is_taken() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("there");
    std::fs::write(&path, "mine").expect("a file");
    let output = std::process::Command::new("script")
        .args(["-qec"])
        .arg(format!("{} demo --log {}", env!("CARGO_BIN_EXE_dumpscope"), path.display()))
        .arg("/dev/null")
        .output()
        .unwrap_or_else(|why| panic!("script: {why}: apt-get install bsdutils"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("there") && !said.contains("\x1b[?1049h"), "{said}");
    assert_eq!(std::fs::read_to_string(&path).expect("the file is there"), "mine");
}
