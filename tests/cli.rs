//! Exit statuses, errors and the shape of what is printed, as docs promise.

use std::io::{BufRead, BufReader, Write};
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

fn with_input(dump: &std::path::Path, input: impl AsRef<[u8]>, arguments: &[&str]) -> Output {
    let file = scratch("input", input.as_ref());
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
    let core = dump("deadlock", "glibc").core().display().to_string();
    let analyze = ["analyze", &core, "-c", "stack --all", "-c", "threads"];
    for arguments in [&analyze[..], &["completions", "bash"], &["completions", "zsh"], &["man"], &["schema"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dumpscope"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
        assert!(!said.contains("panic") && !said.contains("error"), "{arguments:?}: {said}");
    }
}

#[test]
fn a_line_of_standard_input_that_is_no_text_fails_alone() {
    let dump = dump("deadlock", "glibc");
    let mut input = b"setthread 1\n\xff\xfe threads\n".to_vec();
    input.extend(std::iter::repeat_n(b'a', 70_000));
    input.extend(b"\r\nsetthread\r\n\nthreads");
    let documents = with_input(&dump.core(), &input, &["--json"]).expect_status(1).documents();
    assert_eq!(documents.len(), 5);
    let error = |at: usize| documents[at]["error"]["message"].as_str().unwrap_or_default();
    assert_eq!([error(1), error(2)], ["the line is not UTF-8", "the line is longer than 65536 bytes"]);
    assert_eq!(documents[3]["data"]["index"], 1, "what was selected stays selected");
    assert!(documents[4]["data"]["threads"].is_array());
    let said = with_input(&dump.core(), &input, &["--offline"]).expect_status(1).stderr;
    assert!(said.contains("threads: the line is not UTF-8") && said.lines().all(|line| line.len() < 1000), "{said}");
}

#[test]
fn a_dump_that_shrinks_between_two_commands_is_told_once() {
    let core = scratch("shrinks", &std::fs::read(dump("deadlock", "glibc").core()).expect("the core"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_dumpscope"))
        .args(["analyze".as_ref(), core.as_os_str()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut input = child.stdin.take().expect("a pipe");
    let mut answers = BufReader::new(child.stdout.take().expect("a pipe"));
    input.write_all(b"setthread\n").expect("it reads");
    let mut line = String::new();
    answers.read_line(&mut line).expect("it answers");
    assert!(line.contains("is selected"), "{line}");
    let file = std::fs::OpenOptions::new().write(true).open(&core).expect("the core is ours");
    file.set_len(4096).expect("it can be cut");
    input.write_all(b"stack --all\nreadmemory $rsp\nthreads\n").expect("it reads");
    drop(input);
    let _ = std::io::copy(&mut answers, &mut std::io::sink());
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.matches("became shorter while it was read").count(), 1, "{said}");
    std::fs::remove_file(&core).expect("the scratch file is ours");
}

#[test]
fn a_capture_that_fails_is_told_as_json_too() {
    // No process has so high an id. Source: Linux include/linux/threads.h, PID_MAX_LIMIT.
    for arguments in [["-p", "4194305"], ["-n", "no-such-program"]] {
        let output = dumpscope!("live", arguments[0], arguments[1], "--json", "-c", "threads").expect_status(1);
        let documents = output.documents();
        assert_eq!((documents.len(), &documents[0]["command"]), (1, &"open".into()), "{}", output.stdout);
        assert!(documents[0]["error"]["message"].is_string() && !output.stderr.is_empty());
    }
}

#[test]
fn options_of_the_kernels_handler_are_for_it_alone() {
    for limit in
        [["--max-size", "2G"], ["--keep-free", "5"], ["--max-rate", "3"], ["--max-time", "9"], ["--dir", "/tmp"]]
    {
        let output = dumpscope!("collect", "-p", "4194305", limit[0], limit[1]).expect_status(2);
        assert!(output.stderr.contains("--on-crash"), "{limit:?}: {}", output.stderr);
    }
    dumpscope!("collect", "-p", "4194305", "--to-user").expect_status(2);
    for other in
        [["-p", "1"], ["-n", "a"], ["-o", "x"], ["--type", "full"], ["--watch", "rss>1G"], ["--max-pause", "1"]]
    {
        let output = dumpscope!("collect", "--install-line", other[0], other[1]).expect_status(2);
        assert!(output.stderr.contains("cannot be used with"), "{other:?}: {}", output.stderr);
    }
    let output =
        dumpscope!("collect", "-o", "x", "--on-crash", "1", "1", "6", "0", "0", "0", "1", "e").expect_status(2);
    assert!(output.stderr.contains("cannot be used with"), "{}", output.stderr);
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

/// What is printed of the core that is built into the program.
fn demo(arguments: &[&str], status: i32) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("demo").args(arguments).stdin(Stdio::null());
    support::run(command).expect_status(status)
}

#[test]
fn what_no_command_reads_is_refused_with_what_there_is() {
    for (line, word) in [
        ("threads nonsense", "no arguments"),
        ("stack 99999", "-t TID"),
        ("stack -n 3 -n 4", "twice"),
        ("stack --al --lines", "no option '--lines'"),
        ("stack -all -t 4711", "takes -all or -t TID, not both"),
        ("eestack -frame", "not both"),
        ("stack -n 2 -frame", "takes -frame or -n N, not both"),
        ("stack -frame -full", "not both"),
        ("dumpheap -regions -stat -type foo -min 3", "takes -regions or -stat, not both"),
        ("heap -regions -min 3", "takes -regions or -min BYTES, not both"),
        ("modules orders-api -list -v", "takes -list or -v, not both"),
        ("locks g_orders -list", "not both"),
        ("printexception 1000 -n 1", "not both"),
        ("readmemory g_orders -n 0", "from 1 to 1048576"),
        ("readmemory g_orders -n 1048577", "from 1 to 1048576"),
        ("readmemory g_orders -w 12", "8 or 16"),
        ("readmemory g_orders -w 4", "8 or 16"),
        ("thread 0", "count threads from 1"),
        ("info d", "may be info dll, info display"),
        ("parallelstacks -x", "no option '-x'"),
        ("modules -n 4", "no option '-n'"),
        ("registers rip", "-t TID"),
        ("readmemory zzz", "no symbol"),
        ("refresh now", "no arguments"),
        ("exit now", "no arguments"),
        ("setthread 3 -t 4711", "not both"),
        ("setthread 99", "there are 34"),
        ("setsymbolserver -ms", "not asked yet"),
        ("setsymbolserver -directory /nonexistent", "no such directory"),
        ("thraeds", "'threads'"),
        ("frame 99", "no frame 99"),
    ] {
        let output = demo(&["-c", line], 1);
        assert!(output.stderr.contains(word), "{line}: {}", output.stderr);
        assert_eq!(output.stdout, "", "{line}");
    }
}

#[test]
fn options_are_spelled_as_sos_and_as_gdb_spell_them() {
    let all = demo(&["-c", "stack --all"], 0).stdout;
    for line in
        ["stack -all", "stack -ALL", "EEStack", "sos eestack", "thread apply all bt", "bt all", "~*k", "!eestack"]
    {
        assert!(demo(&["-c", line], 0).stdout == all, "{line}");
    }
    let five = demo(&["-c", "stack -n 2"], 0).stdout;
    assert_eq!(five.lines().count(), 2 + 2, "a thread, titles, two frames: {five}");
    for line in ["bt 2", "backtrace 2", "k 2", "stack --n=2"] {
        assert!(demo(&["-c", line], 0).stdout == five, "{line}");
    }
}

#[test]
fn an_option_of_ours_is_no_word_of_gdb() {
    let printed = |line| demo(&["-c", line], 0).stdout;
    // The demo has no recursion to fold.
    assert_eq!(printed("stack -full"), printed("stack"));
    assert_eq!(printed("bt -full"), printed("stack"));
    assert_eq!(printed("stack full"), printed("stack -a"));
}

#[test]
fn a_module_that_is_named_is_shown_as_asked_for() {
    let lines = |line| demo(&["-c", line], 0).stdout.lines().count();
    assert_eq!(lines("modules orders-api -list"), 2, "titles and the module");
    assert_eq!(lines("modules orders-api -v"), lines("modules orders-api"));
}

#[test]
fn threads_of_gdb_and_lldb_are_counted_from_1() {
    let index = |line| demo(&["--json", "-c", line], 0).documents()[0]["data"]["index"].clone();
    for line in ["thread 3", "thr 3", "t 3", "thread select 3", "setthread 2", "threads 2", "~2s"] {
        assert_eq!(index(line), 2, "{line}");
    }
    let said = demo(&["-c", "thread 3"], 0).stdout;
    assert!(said.contains("Thread 4717") && said.contains("index 2"), "{said}");
}

#[test]
fn short_words_of_gdb_mean_what_they_mean_there() {
    let printed = |line| demo(&["-c", line], 0).stdout;
    assert_eq!(printed("info s"), printed("stack"));
    assert_eq!(printed("info f"), printed("frame"));
    assert_eq!(printed("i r"), printed("registers"));
    assert_eq!(printed(".exr -1"), printed("printexception -n 0"));
}

#[test]
fn another_threads_frames_are_numbered_anew() {
    let selected = |line| demo(&["--json", "-c", "setthread -t 4719", "-c", "frame 5", "-c", line], 0).documents();
    let showframe = |line| selected(line)[2]["data"]["index"].clone();
    assert_eq!([showframe("showframe"), showframe("showframe -t 4719")], [5, 5]);
    assert_eq!(showframe("showframe -t 4715"), 0, "of another thread the innermost");
    let stack = |line| selected(line)[2]["data"]["threads"][0]["frames"][0]["index"].clone();
    assert_eq!([stack("stack -frame"), stack("stack -frame -t 4715"), stack("stack -a -frame")], [5, 0, 5]);
    assert_eq!(selected("registers -t 4715")[2]["data"]["frame"], 0);
}

#[test]
fn a_selected_frame_is_what_locals_and_steps_speak_of() {
    let output = demo(&["--json", "-c", "up", "-c", "up 2", "-c", "down", "-c", "info locals", "-c", "frame"], 0);
    let documents = output.documents();
    let frame = |at: usize| documents[at]["data"]["frame"].as_u64();
    assert_eq!([frame(0), frame(1), frame(2), frame(4)], [Some(1), Some(3), Some(2), Some(2)]);
    let frames = documents[3]["data"]["threads"][0]["frames"].as_array().expect("frames");
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0]["index"], 2);
    assert!(frames[0].get("variables").is_some(), "with -a");
}

#[test]
fn a_symbol_a_register_and_a_module_stand_for_their_addresses() {
    let output = demo(&["--json", "-c", "registers", "-c", "x/2gx $rsp", "-c", "modules orders-api"], 0);
    let documents = output.documents();
    assert_eq!(documents[0]["data"]["registers"]["rsp"], documents[1]["data"]["address"]);
    assert_eq!(documents[1]["data"]["bytes"], 16);
    assert_eq!(documents[2]["data"]["modules"].as_array().map(Vec::len), Some(1));
    let at = demo(&["--json", "-c", "readmemory g_orders -n 8", "-c", "readmemory g_orders+8 -n 8"], 0).documents();
    let address = |at: &serde_json::Value| {
        let text =
            at["data"]["address"].as_str().and_then(|text| text.strip_prefix("0x")).expect("hexadecimal").to_owned();
        u64::from_str_radix(&text, 16).expect("hexadecimal")
    };
    assert_eq!(address(&at[1]), address(&at[0]) + 8);
}

#[test]
fn commands_of_other_tools_that_are_not_run_say_what_to_use_and_are_status_1() {
    for (line, word) in [
        ("clrstack", "'stack'"),
        ("eeheap", "'maddress'"),
        ("findroots 7f00", "gcroot"),
        ("dumpasync", ".NET"),
        ("po g_orders", "'print'"),
        ("disassemble", "'readmemory ADDR'"),
        ("continue", "one moment"),
        ("break main", "one moment"),
        ("dt Order", "'stack -a'"),
        ("bt -5", "-n N"),
    ] {
        let output = demo(&["-c", line], 1);
        assert!(output.stderr.contains(word) && !output.stderr.contains("unknown"), "{line}: {}", output.stderr);
    }
    let help = demo(&["-c", "help eeheap", "-c", "help info threads"], 0).stdout;
    assert!(help.contains("eeheap: ") && help.contains("'info threads' is 'threads' here"), "{help}");
}

#[test]
fn options_stand_before_and_behind_the_subcommand_and_commands_behind_the_dump() {
    let dump = dump("deadlock", "glibc");
    let core = dump.core();
    let behind = dumpscope!("analyze", &core, "-c", "threads", "--json").expect_status(0).stdout;
    assert_eq!(dumpscope!("--json", "analyze", &core, "-c", "threads").expect_status(0).stdout, behind);
    assert_eq!(dumpscope!("--json", "-c", "threads", "analyze", &core).expect_status(0).stdout, behind);
    assert_eq!(dumpscope!(&core, "-c", "threads", "--json").expect_status(0).stdout, behind);
    dumpscope!("--color", "never", "demo").expect_status(0);
    dumpscope!("--exe", "/bin/true", "completions", "bash").expect_status(2);
    dumpscope!(&core, "analyze", &core).expect_status(2);
}

#[test]
fn what_is_not_there_is_refused_before_the_dump_is_opened() {
    for option in ["--sysroot", "--symbols", "--exe", "--source"] {
        let output = dumpscope!(option, "/nonexistent", "demo").expect_status(2);
        assert!(output.stderr.contains("/nonexistent: there is no such"), "{}", output.stderr);
    }
    let output = dumpscope!("analyse", "core").expect_status(2);
    assert!(output.stderr.contains("did you mean 'analyze'?"), "{}", output.stderr);
    let unused = dumpscope!("demo", "--exe", "/bin/true", "-c", "threads").expect_status(0);
    assert!(unused.stderr.contains("/bin/true is the file of no module"), "{}", unused.stderr);
}

#[test]
fn empty_standard_input_gives_the_summary() {
    let dump = dump("deadlock", "glibc");
    let asked = dumpscope!("analyze", dump.core(), "-c", "summary").expect_status(0).stdout;
    for input in ["", "\n  \n"] {
        assert_eq!(with_input(&dump.core(), input, &["--offline"]).expect_status(0).stdout, asked);
    }
}

#[test]
fn manual_pages_and_completions_know_subcommands_and_commands() {
    let page = dumpscope!("man", "analyze").expect_status(0).stdout;
    assert!(page.contains(".TH dumpscope-analyze") && page.contains("sysroot"), "{page}");
    assert!(dumpscope!("man", "nonsense").expect_status(2).stderr.contains("analyze, collect"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(dumpscope!("completions", shell).expect_status(0).stdout.contains("parallelstacks"), "{shell}");
    }
}

#[test]
fn the_configuration_file_is_read_and_what_is_wrong_in_it_is_told_with_its_line() {
    let home = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("config-{}", std::process::id()));
    let folder = home.join("dumpscope");
    std::fs::create_dir_all(&folder).expect("the scratch folder can be made");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
        command.args(arguments).env("XDG_CONFIG_HOME", &home).stdin(Stdio::null());
        support::run(command)
    };
    let write = |text: &str| std::fs::write(folder.join("config.toml"), text).expect("it can be written");
    assert!(run(&["config"]).expect_status(0).stdout.contains("(there is none)"));
    write("theme = \"light\"\nsource = [\"/build=/tmp\"]\n");
    let said = run(&["config", "--theme", "dark", "--json"]).expect_status(0).documents();
    let setting = |key: &str| {
        let settings = said[0]["data"]["settings"].as_array().expect("settings");
        settings.iter().find(|setting| setting["key"] == key).expect("it is listed").clone()
    };
    assert_eq!((&setting("theme")["value"], &setting("theme")["from"]), (&"dark".into(), &"command line".into()));
    assert_eq!((&setting("source")["value"][0], &setting("source")["from"]), (&"/build=/tmp".into(), &"file".into()));
    assert_eq!((&setting("pc")["value"], &setting("pc")["from"]), (&false.into(), &"default".into()));
    write("theme = \"light\"\nthem = 1\n");
    for arguments in [&["config"][..], &["demo", "-c", "threads"]] {
        let output = run(arguments).expect_status(2);
        assert!(output.stderr.contains("config.toml: line 2: unknown field `them`"), "{}", output.stderr);
    }
    std::fs::remove_dir_all(&home).expect("the scratch folder is ours");
}
