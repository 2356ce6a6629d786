//! What a run of the program printed, and where two answers differ.

use std::collections::BTreeSet;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

/// A finished run.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output, invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error, invalid UTF-8 replaced.
    pub stderr: String,
    /// Wall time from start to end.
    pub elapsed: Duration,
}

/// Runs a command to its end with nothing on standard input.
pub fn run(mut command: Command) -> Output {
    let start = Instant::now();
    let finished = command.stdin(Stdio::null()).output().unwrap_or_else(|why| panic!("{command:?}: {why}"));
    Output {
        status: finished.status,
        stdout: String::from_utf8_lossy(&finished.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&finished.stderr).into_owned(),
        elapsed: start.elapsed(),
    }
}

impl Output {
    /// Panics, with everything that was printed, unless the exit status is `code`.
    #[track_caller]
    pub fn expect_status(self, code: i32) -> Output {
        assert_eq!(
            self.status.code(),
            Some(code),
            "{:?}\nstandard output:\n{}\nstandard error:\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }

    /// The documents printed with `--json`, one per command, in order.
    #[track_caller]
    pub fn documents(&self) -> Vec<Value> {
        // Merged stacks nest deeper than this parser allows by itself.
        let parse = |line: &str| {
            let mut parser = serde_json::Deserializer::from_str(line);
            parser.disable_recursion_limit();
            let shown: String = line.chars().take(2000).collect();
            Value::deserialize(&mut parser).unwrap_or_else(|why| panic!("{why} in: {shown}"))
        };
        self.stdout.lines().map(parse).collect()
    }

    /// The `data` of the first document of `command`; panics if that failed or did not run.
    #[track_caller]
    pub fn data(&self, command: &str) -> Value {
        let found = self.documents().into_iter().find(|document| document["command"] == command);
        let document = found.unwrap_or_else(|| panic!("no {command} in:\n{}\n{}", self.stdout, self.stderr));
        assert!(document["error"].is_null(), "{command} failed: {}", document["error"]);
        document["data"].clone()
    }
}

/// The first place where two documents differ, in words; `path` is where they stand.
pub fn difference(one: &Value, other: &Value, path: &str) -> Option<String> {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            keys.into_iter().find_map(|key| {
                let (one, other) = (one.get(key).unwrap_or(&Value::Null), other.get(key).unwrap_or(&Value::Null));
                difference(one, other, &format!("{path}/{key}"))
            })
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let pairs = one.iter().zip(other).enumerate();
            pairs.into_iter().find_map(|(index, (one, other))| difference(one, other, &format!("{path}/{index}")))
        }
        _ => (one != other).then(|| format!("at {path}: {one} and {other}")),
    }
}

/// Takes out of an answer to `locks` what is left of time limits: it becomes less from dump to dump.
pub fn without_remainders(document: &mut Value) {
    for lock in document.pointer_mut("/data/locks").and_then(Value::as_array_mut).into_iter().flatten() {
        for limit in lock["limits"].as_array_mut().into_iter().flatten() {
            let left = limit["left_ms"].take();
            assert!(left.is_u64() || limit["whole_ms"].is_u64(), "{left} {limit}");
        }
    }
}
