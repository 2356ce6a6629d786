//! Exit statuses, errors and the shape of what is printed, as docs promise.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use support::{Output, dump, dumpscope};

fn scratch(name: &str, bytes: &[u8]) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cli");
    std::fs::create_dir_all(&dir).expect("the scratch folder can be made");
    let file = dir.join(format!("{name}-{}", std::process::id()));
    std::fs::write(&file, bytes).expect("a scratch file can be written");
    file
}

fn refused(name: &str, bytes: &[u8]) -> String {
    let file = scratch(name, bytes);
    let output = dumpscope!("analyze", &file, "-c", "threads").expect_status(3);
    assert_eq!(output.stdout, "", "nothing but the reason is printed");
    assert!(output.stderr.contains(&*file.to_string_lossy()), "the reason names the file: {}", output.stderr);
    std::fs::remove_file(&file).expect("the scratch file is ours");
    output.stderr
}

#[test]
fn what_is_no_dump_is_refused_with_its_reason() {
    assert!(refused("empty", b"").contains("empty"));
    refused("text", b"hello, I am a text file, nothing else, and no dump\n");
    refused("short-elf", b"\x7fELF\x02\x01\x01");
    let program = std::fs::read("/bin/true").expect("/bin/true is there");
    let reason = refused("program", &program);
    assert!(reason.contains("core"), "an executable is told from a core: {reason}");
}

#[test]
fn a_missing_file_and_a_directory_are_refused() {
    dumpscope!("analyze", "/nonexistent/core", "-c", "threads").expect_status(3);
    dumpscope!("analyze", "/tmp", "-c", "threads").expect_status(3);
}

#[test]
fn a_wrong_command_line_is_status_2() {
    dumpscope!("analyze").expect_status(2);
    dumpscope!("--no-such-option").expect_status(2);
    dumpscope!("completions", "no-such-shell").expect_status(2);
}

#[test]
fn a_command_that_fails_does_not_stop_the_next() {
    let dump = dump("deadlock", "glibc");
    let output = dumpscope!("analyze", dump.core(), "-c", "nonsense", "-c", "threads", "--json").expect_status(1);
    let documents = output.documents();
    assert_eq!(documents.len(), 2);
    assert_eq!(documents[0]["error"]["code"], "failed");
    assert!(documents[0].get("data").is_none());
    assert_eq!(documents[1]["command"], "threads");
    assert!(documents[1]["data"]["threads"].as_array().is_some_and(|threads| !threads.is_empty()));
    assert!(output.stderr.contains("nonsense"));
}

#[test]
fn aliases_answer_under_the_commands_own_name() {
    let dump = dump("deadlock", "glibc");
    let output = dumpscope!(
        "analyze",
        dump.core(),
        "-c",
        "clrthreads",
        "-c",
        "bt",
        "-c",
        "pstacks",
        "-c",
        "syncblk",
        "-c",
        "lm",
        "--json"
    );
    let names: Vec<String> = output
        .expect_status(0)
        .documents()
        .iter()
        .map(|line| line["command"].as_str().unwrap_or("?").to_owned())
        .collect();
    assert_eq!(names, ["threads", "stack", "parallelstacks", "locks", "modules"]);
}

fn with_input(dump: &std::path::Path, input: &str, arguments: &[&str]) -> Output {
    let file = scratch("input", input.as_bytes());
    let mut command = Command::new("sh");
    command.arg("-c").arg("exec \"$0\" analyze \"$1\" \"${@:3}\" < \"$2\"".replace("${@:3}", "$3"));
    command.arg(env!("CARGO_BIN_EXE_dumpscope")).arg(dump).arg(&file).args(arguments);
    support::run(command)
}

#[test]
fn commands_are_read_from_standard_input_until_exit() {
    let dump = dump("deadlock", "glibc");
    let output = with_input(&dump.core(), "threads\n\nsetthread 1\nstack\nexit\nlocks\n", &["--json"]).expect_status(0);
    let names: Vec<String> =
        output.documents().iter().map(|line| line["command"].as_str().unwrap_or("?").to_owned()).collect();
    assert_eq!(names, ["threads", "setthread", "stack"]);
    let documents = output.documents();
    assert_eq!(
        documents[1]["data"]["tid"], documents[2]["data"]["threads"][0]["tid"],
        "stack speaks of the selected thread"
    );
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let dump = dump("deadlock", "glibc");
    let mut child = Command::new(env!("CARGO_BIN_EXE_dumpscope"))
        .args(["analyze".as_ref(), dump.core().as_os_str()])
        .args(["-c", "stack --all", "-c", "threads"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panic") && !said.contains("error"), "{said}");
}

#[test]
fn without_a_terminal_the_bare_dump_prints_the_summary() {
    let dump = dump("deadlock", "glibc");
    let bare = dumpscope!(dump.core()).expect_status(0);
    let asked = dumpscope!("analyze", dump.core(), "-c", "summary").expect_status(0);
    assert_eq!(bare.stdout, asked.stdout);
    assert!(!bare.stdout.is_empty());
}

#[test]
fn the_schema_describes_every_command_that_answers() {
    let output = dumpscope!("schema").expect_status(0);
    let schema: serde_json::Value = serde_json::from_str(&output.stdout).expect("the schema is JSON");
    for command in [
        "summary",
        "threads",
        "stack",
        "parallelstacks",
        "locks",
        "printexception",
        "modules",
        "registers",
        "readmemory",
    ] {
        assert!(schema["$defs"][command].is_object(), "{command} is described");
    }
}

#[test]
fn completions_and_manual_page_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(dumpscope!("completions", shell).expect_status(0).stdout.contains("analyze"));
    }
    assert!(dumpscope!("man").expect_status(0).stdout.contains(".TH dumpscope"));
}

#[test]
fn the_log_is_created_and_never_overwritten() {
    use std::os::unix::fs::PermissionsExt;
    let dump = dump("deadlock", "glibc");
    let log = scratch("log", b"");
    std::fs::remove_file(&log).expect("the scratch file is ours");
    dumpscope!("analyze", dump.core(), "-c", "threads", "--log", &log).expect_status(0);
    let text = std::fs::read_to_string(&log).expect("the log is there");
    assert!(text.contains("opened") && text.contains("ran threads"), "{text}");
    let mode = std::fs::metadata(&log).expect("the log is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    dumpscope!("analyze", dump.core(), "-c", "threads", "--log", &log).expect_status(1);
    std::fs::remove_file(&log).expect("the log is ours");
}
