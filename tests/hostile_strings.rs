//! Text that a dump brings along reaches no terminal raw: two hundred hostile strings as symbols, paths, process
//! arguments and thread names of real processes, through every command, as text, with colours and as JSON.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Output, dumpscope};

/// The ways in which a terminal is commanded or an eye deceived.
const SEEDS: &[&str] = &[
    "\x1b[31mred",
    "\x1b]52;c;cm0gLXJmIH4=\x07",
    "\x1b]0;title\x07",
    "\x1bP+q544e\x1b\\",
    "\x1b[2J\x1b[H",
    "\x1b[?1049h",
    "\x1bc",
    "\u{9b}31mcsi",
    "\u{9d}52;c;eA==\u{9c}",
    "\x07bell\x08\x08",
    "a\rb",
    "a\nb",
    "a\tb\x0b\x0c",
    "\x7f\x7f",
    "\u{202e}gnp.exe",
    "\u{2066}isolate\u{2069}",
    "zero\u{200b}width\u{200d}",
    "\u{feff}bom",
    "\u{e0041}tag",
    "line\u{2028}separator\u{2029}",
    "\x1b[6n",
    "\x1b]8;;http://example.invalid\x07link\x1b]8;;\x07",
    "<script>alert(1)</script>",
    "%n%s%x",
    "\x00",
];

/// Two hundred strings: each seed in eight surroundings. NUL cannot stand in a path or a symbol, and is left out there.
fn hostile() -> Vec<String> {
    let around: [fn(&str, usize) -> String; 8] = [
        |seed, at| format!("{seed}{at}"),
        |seed, at| format!("ns::{seed}::f{at}"),
        |seed, at| format!("{at}{seed}{seed}"),
        |seed, at| format!("operator {seed} {at}"),
        |seed, at| format!("_Z{seed}{at}"),
        |seed, at| format!("x{at}<{seed}>"),
        |seed, at| format!("{}{seed}{at}", "p".repeat(200)),
        |seed, at| format!("_R{seed}{at}"),
    ];
    let all: Vec<String> =
        SEEDS.iter().enumerate().flat_map(|(at, seed)| around.iter().map(move |surround| surround(seed, at))).collect();
    assert_eq!(all.len(), 200);
    all
}

fn scratch(name: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("hostile-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("the scratch folder can be made");
    dir
}

/// A string as a C literal: every byte in octal.
fn quoted(text: &str) -> String {
    text.bytes().map(|byte| format!("\\{byte:03o}")).collect()
}

/// What an assembler takes between quotes as the name of a symbol.
fn is_symbol(text: &str) -> bool {
    !text.contains(['\0', '\n', '\\', '"'])
}

/// A program whose call chain goes through functions of these names and which then aborts.
fn program(dir: &Path, names: &[String]) -> PathBuf {
    let mut source = String::from("#include <stdlib.h>\nvolatile int depth;\n");
    for (at, name) in names.iter().enumerate() {
        source += &format!("void f{at}(void) __asm__(\"\\\"{}\\\"\");\n", quoted(name));
    }
    for at in 0..names.len() {
        let next = at + 1;
        let call = if next < names.len() { format!("f{next}()") } else { "abort()".to_owned() };
        source += &format!("__attribute__((noinline)) void f{at}(void) {{ {call}; depth++; }}\n");
    }
    source += "int main(void) { f0(); return depth; }\n";
    let (file, exe) = (dir.join("main.c"), dir.join("exe"));
    fs::write(&file, source).expect("the source can be written");
    let built =
        Command::new("gcc").args(["-O1", "-o"]).arg(&exe).arg(&file).output().expect("needs gcc: apt-get install gcc");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    exe
}

/// Runs a program until it dumps core, under a name and with an argument of one's choice.
fn core_of(dir: &Path, exe: &Path, argument: &str) -> PathBuf {
    let mut command = Command::new("sh");
    command.arg("-c").arg("ulimit -c unlimited; exec \"$0\" \"$1\"").arg(exe);
    command.arg(OsString::from_vec(argument.bytes().filter(|byte| *byte != 0).collect()));
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").expect("/proc is mounted");
    assert!(
        !pattern.starts_with('|') && !pattern.contains('/'),
        "cores go to '{pattern}': sysctl -w kernel.core_pattern=core"
    );
    command.current_dir(dir).env_clear().output().expect("sh runs");
    let core = fs::read_dir(dir)
        .expect("the folder is there")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("core")));
    core.expect("a core was written")
}

/// What may stand in output: printable characters, line ends, and our own colours where they were asked for.
fn check(what: &str, text: &str, colours: bool) {
    let mut text = text.to_owned();
    if colours {
        for code in ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31;1m", "\x1b[33m", "\x1b[36m"] {
            text = text.replace(code, "");
        }
    }
    // Written out here and not taken from the program: C0 but line end, DEL, C1, bidi, invisible, tags, separators.
    let bad = |c: char| {
        let code = c as u32;
        (code < 0x20 && c != '\n')
            || (0x7f..0xa0).contains(&code)
            || matches!(code, 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x2069 | 0xfeff | 0xe0000..=0xe007f)
    };
    let found: Vec<String> = text.chars().filter(|c| bad(*c)).map(|c| format!("U+{:04X}", c as u32)).collect();
    assert!(found.is_empty(), "{what}: {found:?} reached the output");
}

const COMMANDS: &[&str] = &[
    "summary",
    "threads",
    "stack --all",
    "parallelstacks",
    "locks",
    "printexception",
    "modules",
    "registers",
    "readmemory",
    "help",
    "bad\x1b[31m",
];

fn ask(core: &Path, extra: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(core).args(extra);
    for name in COMMANDS {
        command.args(["-c", name]);
    }
    support::run(command).expect_status(1)
}

fn check_all(core: &Path) -> Output {
    let coloured = ask(core, &["--color", "always"]);
    check("coloured text", &coloured.stdout, true);
    check("warnings", &coloured.stderr, false);
    let json = ask(core, &["--json", "-v"]);
    check("json", &json.stdout, false);
    check("log", &json.stderr, false);
    json
}

#[test]
fn hostile_symbols_reach_no_terminal() {
    let dir = scratch("symbols");
    let names: Vec<String> = hostile().into_iter().filter(|name| is_symbol(name)).collect();
    let exe = program(&dir, &names);
    let core = core_of(&dir, &exe, "plain");
    let json = check_all(&core);
    let stack = json.data("stack");
    let frames = stack["threads"][0]["frames"].as_array().expect("there are frames");
    let shown = frames.iter().filter_map(|frame| frame["function"].as_str());
    let (first, last) = (&names[0], &names[names.len() - 1]);
    let shown: Vec<&str> = shown.collect();
    assert!(
        shown.contains(&first.as_str()) && shown.contains(&last.as_str()),
        "the names are whole in JSON: {shown:?}"
    );
    fs::remove_dir_all(&dir).expect("the scratch folder is ours");
}

#[test]
fn hostile_paths_and_arguments_reach_no_terminal() {
    let dir = scratch("paths");
    let exe = program(&dir, &["plain".to_owned()]);
    for (at, text) in hostile().iter().enumerate().step_by(8) {
        let room = dir.join(at.to_string());
        fs::create_dir(&room).expect("a folder can be made");
        let name: String = text.chars().filter(|c| !matches!(c, '\0' | '/')).collect();
        let moved = room.join(if name.is_empty() { "x" } else { &name });
        fs::copy(&exe, &moved).expect("the program can be copied");
        let core = core_of(&room, &moved, text);
        check("error", &dumpscope!("analyze", &moved, "-c", "threads").expect_status(3).stderr, false);
        fs::remove_file(&moved).expect("the copy is ours");
        check_all(&core);
        fs::remove_dir_all(&room).expect("the folder is ours");
    }
    fs::remove_dir_all(&dir).expect("the scratch folder is ours");
}

#[test]
fn a_symbol_of_a_megabyte_is_cut_for_display() {
    let dir = scratch("long");
    let exe = program(&dir, &[format!("begin{}end", "\x1b[31m".repeat(1 << 18))]);
    let core = core_of(&dir, &exe, "plain");
    let text = ask(&core, &["--color", "never"]);
    check("text", &text.stdout, false);
    assert!(text.stdout.len() < 1 << 20, "{} bytes were printed", text.stdout.len());
    fs::remove_dir_all(&dir).expect("the scratch folder is ours");
}
