//! Servers have many processors: with a pool of 64 threads every answer comes, and is the one that a single thread gives.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Output, dump};

/// Far longer than any of these takes, on a busy machine too.
const NEVER: Duration = Duration::from_secs(240);
/// Whether a thread steals the work that asks for what it computes is chance.
const ROUNDS: usize = 3;

const COMMANDS: [&[&str]; 4] = [
    &["-c", "threads"],
    &["-c", "summary"],
    &["-c", "printexception", "-c", "locks"],
    &["-c", "locks", "-c", "parallelstacks", "-c", "modules"],
];

/// What the commands say of the core with so many threads in the pool.
fn answers(core: &std::path::Path, commands: &[&str], threads: usize) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(core).args(["--offline", "--json"]).args(commands);
    command.env("RAYON_NUM_THREADS", threads.to_string());
    let output = within(command, NEVER);
    output.documents()
}

fn within(mut command: Command, limit: Duration) -> Output {
    let start = Instant::now();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let pid = child.id();
    let (mut stdout, mut stderr) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
    let reading = std::thread::spawn(move || std::io::read_to_string(&mut stdout).expect("text"));
    let complaints = std::thread::spawn(move || std::io::read_to_string(&mut stderr).expect("text"));
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if start.elapsed() > limit {
            child.kill().expect("it is ours");
            panic!("{command:?} (process {pid}) hangs: no answer in {} s", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let (stdout, stderr) = (reading.join().expect("no panic"), complaints.join().expect("no panic"));
    Output { status, stdout, stderr, elapsed: start.elapsed() }.expect_status(0)
}

fn assert_same_with_many_threads(fixture: &str, variant: &str) {
    let core = dump(fixture, variant).core();
    for commands in COMMANDS {
        let alone = answers(&core, commands, 1);
        assert!(!alone.is_empty() && alone.iter().all(|answer| answer["error"].is_null()), "{commands:?}: {alone:?}");
        for _ in 0..ROUNDS {
            let many = answers(&core, commands, 64);
            for (one, other) in alone.iter().zip(&many) {
                if let Some(difference) = support::difference(one, other, "") {
                    panic!("{fixture} {variant}, {commands:?}: {difference}");
                }
            }
            assert_eq!(alone.len(), many.len());
        }
    }
}

#[test]
fn a_thousand_threads_are_told_by_64_as_by_one() {
    assert_same_with_many_threads("threads1000", "small");
}

#[test]
fn locks_of_every_kind_are_told_by_64_as_by_one() {
    assert_same_with_many_threads("locks", "glibc");
}
