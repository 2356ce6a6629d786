//! What Microsoft's own library says of the stacks of a .NET process: the crash report that createdump writes beside a dump.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::{as_address, run};

/// A frame of a report.
#[derive(Clone, Debug)]
pub struct ReportedFrame {
    /// Instruction pointer.
    pub pc: u64,
    /// Stack pointer.
    pub sp: u64,
    /// The method, as the library writes it.
    pub method: Option<String>,
    /// Whether it is a method's, with a name or without.
    pub managed: bool,
}

/// The frames of each thread, innermost first, without those that have no place in code.
#[derive(Clone, Debug)]
pub struct CrashReport(pub BTreeMap<u64, Vec<ReportedFrame>>);

impl CrashReport {
    /// A dump of a process by its runtime's createdump (`flag` is `--withheap` …), and the report of the same stop.
    pub fn of(pid: u32, createdump: &Path, flag: &str, folder: &Path) -> (PathBuf, CrashReport) {
        let dump = folder.join(format!("reported{flag}"));
        let mut command = Command::new(createdump);
        command.args([flag, "--crashreport", "-f"]).arg(&dump).arg(pid.to_string());
        run(command).expect_status(0);
        let report = CrashReport::read(Path::new(&format!("{}.crashreport.json", dump.display())));
        (dump, report)
    }

    /// A report that was written.
    pub fn read(path: &Path) -> CrashReport {
        let report = std::fs::read(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        let report: Value = serde_json::from_slice(&report).expect("JSON");
        let number = |value: &Value| as_address(value).unwrap_or_else(|| panic!("{value} is no address"));
        let frame = |frame: &Value| ReportedFrame {
            pc: number(&frame["native_address"]),
            sp: number(&frame["stack_pointer"]),
            method: frame["method_name"].as_str().map(csharp),
            managed: frame["is_managed"] == "true" && frame["token"] != "0x0",
        };
        let thread = |thread: &Value| {
            let frames = thread["stack_frames"].as_array().expect("frames").iter();
            (number(&thread["native_thread_id"]), frames.map(frame).filter(|frame| frame.pc != 0).collect())
        };
        CrashReport(report["payload"]["threads"].as_array().expect("threads").iter().map(thread).collect())
    }
}

/// A name as the library writes it in the form of C#: `Box<Int32>.Hold(Int32)` of ``Box`1[[System.Int32, System.Private.CoreLib]].Hold(Int32)``.
/// Types in types are left with their own names, since the library leaves the others out of parameters.
pub fn csharp(name: &str) -> String {
    let mut letters = name.chars().collect::<Vec<_>>();
    letters.reverse();
    plain(&part(&mut letters, None))
}

/// Up to the closing letter, or the end. Arguments stand in two brackets, each with its assembly.
fn part(left: &mut Vec<char>, until: Option<char>) -> String {
    let mut text = String::new();
    while let Some(letter) = left.pop() {
        match letter {
            letter if Some(letter) == until => break,
            '`' => {
                while left.last().is_some_and(char::is_ascii_digit) {
                    left.pop();
                }
            }
            '[' if left.last() == Some(&'[') => {
                let mut arguments = Vec::new();
                while left.pop() == Some('[') {
                    let argument = part(left, Some(']'));
                    arguments.push(argument.split(", ").next().unwrap_or_default().to_owned());
                    if left.pop() != Some(',') {
                        break;
                    }
                }
                text += &format!("<{}>", arguments.join(","));
            }
            '[' if until == Some(']') => text += &format!("[{}]", part(left, Some(']'))),
            letter => text.push(letter),
        }
    }
    text
}

/// Without spaces, without what a type is nested in, and without the namespace of primitive types.
pub fn plain(name: &str) -> String {
    let mut text = String::new();
    let mut word = String::new();
    for letter in name.chars().chain(['\n']) {
        if letter.is_alphanumeric() || "_.+`|$!".contains(letter) {
            word.push(letter);
            continue;
        }
        let own = word.rsplit('+').next().unwrap_or_default();
        text += own.strip_prefix("System.").unwrap_or(own);
        word.clear();
        if !letter.is_whitespace() {
            text.push(letter);
        }
    }
    text
}
