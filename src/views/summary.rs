//! `summary`: one screen that says why: what triage concludes, then the process, its heap, the dump's quality.

mod heap;
mod memory;
mod rows;

use schemars::JsonSchema;
use serde::Serialize;

use super::drawing::{self, Names};
use super::runtime_rows::RuntimeRow;
use super::threads::waits_for;
use super::{Alias, Answer, Answered, Arg, Needs, Query, View, dumpheap, maddress};
use crate::analysis::deadlock::{Chain, Cycle};
use crate::analysis::triage::{Finding, Next, Severity};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Cause, InFlight, Subject, SubjectKind, Thread, ThreadState, Tid, VerificationState};
use crate::report::section;
use crate::session::Session;
use crate::shape;

/// The view.
pub const VIEW: View = View {
    name: "summary",
    aliases: &[Alias::of("triage")],
    needs: Needs::Nothing,
    home_of: &[SubjectKind::Capture],
    args: &[Arg::Flag(
        "heap",
        "looks at the heap, too: what is in use, its largest types, and what else the memory of the process is",
    )],
    pane: Some("Summary"),
    doc: "One screen: what the process was, why it stopped, deadlocks, exceptions, what is missing",
    help: "Conclusions marked `likely` rest on a guess; the evidence says which. Tasks and requests of .NET are looked for where its heap has no \
           more than 256 MiB, so that this takes little time; of a larger one with -heap, and once 'dumpasync' has looked.

$ dumpscope demo -c summary
✗ deadlock: 4719 shop::worker waits for g_stock (held by 4723 shop::worker), 4723 shop::worker waits for …
  ┌▶ 4719 shop::worker holds g_orders
  │    ▼ wants g_stock
  │  4723 shop::worker holds g_stock
  │    ▼ wants g_orders
  └────┘
    4719 shop::worker: shop::Stock::reserve stock.cc:21 ◂ shop::Orders::place ◂ shop::dispatch ◂ shop::handle
    4723 shop::worker: shop::Orders::commit orders.cc:18 ◂ shop::Stock::restock ◂ shop::dispatch ◂ …
    → locks: the locks of the cycle, and where each thread waits
…

Process  /srv/orders-api --port 8080, pid 4711, x86-64
Signal   SIGABRT
Threads  34: 1 running, 31 blocked, 2 sleeping
Heap     not looked at ('summary -heap' does)
Dump     ELF core from the Linux kernel, complete, 3.7 MB; the file of its only module is at hand",
    build,
    schema: shape!(Told),
};

/// What is told: of a process, or of a heap dump.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "the shape of each answer, for the schema alone")]
enum Told {
    Process(Box<Summary>),
    Heap(heap::HeapSummary),
}

/// What happened, to what, and how well the dump tells it.
#[derive(Serialize, JsonSchema)]
pub struct Summary {
    /// What the process was.
    pub process: ProcessRow,
    /// Conclusions, the most severe first, certain ones before likely ones.
    pub findings: Vec<FindingRow>,
    /// The runtimes in the process, understood or not, the one that runs its code first; empty where there is native code only.
    pub runtimes: Vec<RuntimeRow>,
    /// The heap in use; null while it was not looked at.
    pub heap: Option<HeapRow>,
    /// Why its heap cannot be told; null where it was told, or not looked at.
    pub no_heap: Option<String>,
    /// Requests that the process serves; null where there is none, and where they were not looked for.
    pub requests: Option<RequestsRow>,
    /// What was dumped, and how much of it.
    pub dump: DumpRow,
    #[serde(skip)]
    drawn: Vec<Finding>,
    /// Each deadlock drawn, with the first lock that is waited for in it.
    #[serde(skip)]
    cycles: Vec<(Addr, section::Chain)>,
}

/// The process.
#[derive(Serialize, JsonSchema)]
pub struct ProcessRow {
    /// Its id; null when the dump does not record it.
    pub pid: Option<u32>,
    /// Name of its executable.
    pub name: Option<String>,
    /// Executable and arguments, as far as the dump records them.
    pub args: Option<String>,
    /// User that ran it.
    pub uid: Option<u32>,
    /// Processor: `x86-64`, `aarch64`.
    pub arch: String,
    /// The fatal signal's name; null where none ended the process, and where the dump does not tell.
    pub signal: Option<String>,
    /// Why it cannot be told whether one did.
    #[serde(skip)]
    pub no_signal: Option<String>,
    /// Threads by what they do.
    pub threads: ThreadCounts,
}

/// How many threads do what.
#[derive(Default, Serialize, JsonSchema)]
pub struct ThreadCounts {
    /// All of them; null where the dump holds none, since every process has one.
    pub total: Option<usize>,
    /// On a processor, or about to be.
    pub running: usize,
    /// Waiting for a lock, another thread, a file, a socket.
    pub blocked: usize,
    /// Waiting for time to pass.
    pub sleeping: usize,
    /// Of which the dump does not tell.
    pub unknown: usize,
    /// Of these, in whatever state: stopped by a signal, a debugger or their frozen control group.
    pub stopped: usize,
}

/// Requests in flight.
#[derive(Serialize, JsonSchema)]
pub struct RequestsRow {
    /// How many.
    pub count: u64,
    /// Whether those are all: false where not all could be read.
    pub complete: bool,
    /// The oldest in a few words: `GET /orders/1`.
    pub oldest: String,
    /// Milliseconds since it began; null where that is not known.
    pub age_ms: Option<u64>,
    /// The thread that seems to run it; null where none does.
    pub tid: Option<Tid>,
    /// What that thread waits for, or what is awaited for the request, in words; null where neither is known.
    pub waits_for: Option<String>,
    /// The command that lists them.
    pub command: &'static str,
}

/// The heap.
#[derive(Serialize, JsonSchema)]
pub struct HeapRow {
    /// Whose heap it is.
    pub name: String,
    /// Bytes in use.
    pub bytes: u64,
    /// Objects in use.
    pub objects: u64,
    /// Whether that is all of it: false where a part could not be read, or may be counted that is not in use.
    pub complete: bool,
    /// What is freed and kept by the process; null where the heap does not tell.
    pub free: Option<dumpheap::Total>,
    /// How many types have objects.
    pub types: usize,
    /// The types that take the most.
    pub largest: dumpheap::Types,
    /// All mappings of the process, by what they are used for.
    pub memory: Vec<maddress::KindRow>,
}

/// The dump.
#[derive(Serialize, JsonSchema)]
pub struct DumpRow {
    /// What it is: `ELF core from the Linux kernel`.
    pub format: String,
    /// Milliseconds for which the live process was stopped; null for a dump.
    pub pause_ms: Option<f64>,
    /// Bytes of the file.
    pub bytes: u64,
    /// Whether nothing that the dump announces is missing from it.
    pub complete: bool,
    /// Modules of the process.
    pub modules: usize,
    /// Modules whose file was found and is the one that was mapped.
    pub modules_verified: usize,
    /// Modules whose file is used and may be another build: nothing tells.
    pub modules_unverified: usize,
    /// Modules whose file was not found, or is another build.
    pub modules_without_file: usize,
}

/// A conclusion.
#[derive(Serialize, JsonSchema)]
pub struct FindingRow {
    /// The rule that found it.
    pub rule: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// Whether it follows from recorded facts; else it is likely.
    pub certain: bool,
    /// One sentence with names.
    pub title: String,
    /// The thread that it is about.
    pub tid: Option<Tid>,
    /// The lock, or the address, that it is about.
    pub address: Option<Addr>,
    /// What it rests on.
    pub evidence: Vec<EvidenceRow>,
    /// What to do next.
    pub next: Option<Next>,
}

/// A fact that a conclusion rests on.
#[derive(Serialize, JsonSchema)]
pub struct EvidenceRow {
    /// The fact.
    pub text: String,
    /// The thread that it is about.
    pub tid: Option<Tid>,
    /// Frame of that thread.
    pub frame: Option<usize>,
    /// The lock, module or address that it is about.
    pub address: Option<Addr>,
}

/// Problems that mean that a part of the dump is missing.
pub(super) const INCOMPLETE: [&str; 6] =
    ["truncated", "segment-damaged", "notes-damaged", "no-threads", "thread-lost", "file-shrank"];

fn build(session: &Session, query: &Query, job: &Job) -> Result<Box<dyn Answer>, Error> {
    if let Some(dump) = session.heap_dump() {
        return heap::build(session, dump, job);
    }
    let target = session.target()?;
    let capture = &target.capture;
    let findings = session.verdict(query.flag("heap"), job)?;
    let work = session.process()?.pending_work(query.flag("heap"), job)?;
    let threads = session.threads(job)?;
    let locks = session.locks(job)?;
    let problems = session.problems();
    let modules = target.modules.iter().filter(|module| !module.mapped.is_vdso());
    let modules: Vec<VerificationState> = modules.map(|module| module.verification().state).collect();
    let modules_that = |state| modules.iter().filter(|module| **module == state).count();
    let names = Names { locks: &locks.locks, threads: &threads.value };
    let looked = if query.flag("heap") { Some(memory::look(session, job)?) } else { None };
    let (heap, no_heap) = looked.map_or((None, None), |looked| match looked {
        Ok(heap) => (Some(heap), None),
        Err(why) => (None, Some(why)),
    });
    let data = Summary {
        process: ProcessRow {
            pid: capture.process.pid.as_ref().ok().copied(),
            name: capture.process.name.clone().ok(),
            args: capture.process.args.clone().ok(),
            uid: capture.process.uid.as_ref().ok().copied(),
            arch: capture.arch.to_string(),
            signal: capture.cause().map(Cause::name),
            no_signal: capture.cause.as_ref().err().map(ToString::to_string),
            threads: count(&threads.value),
        },
        findings: findings.iter().map(FindingRow::of).collect(),
        runtimes: session.recognised(job)?.iter().map(RuntimeRow::of).collect(),
        heap,
        no_heap,
        requests: work.requests.as_ref().map(|requests| RequestsRow::of(requests, &threads.value)),
        dump: DumpRow {
            format: capture.format.to_owned(),
            pause_ms: session.pause().map(|pause| pause.as_secs_f64() * 1000.0),
            bytes: capture.file_size,
            complete: !problems.iter().any(|problem| INCOMPLETE.contains(&problem.code)),
            modules: modules.len(),
            modules_verified: modules_that(VerificationState::Verified),
            modules_unverified: modules_that(VerificationState::Unverified),
            modules_without_file: modules_that(VerificationState::Missing)
                .saturating_add(modules_that(VerificationState::Refused)),
        },
        drawn: findings.to_vec(),
        cycles: locks.cycles.iter().filter_map(|cycle| drawn(cycle, names)).collect(),
    };
    Ok(Box::new(Answered { data, problems: Vec::new() }))
}

fn drawn(cycle: &Cycle, names: Names<'_>) -> Option<(Addr, section::Chain)> {
    Some((cycle.cycle.first()?.waits_for, drawing::cycle(&Chain::of_cycle(cycle), names)?))
}

fn count(threads: &[Thread]) -> ThreadCounts {
    let in_state = |state| threads.iter().filter(|thread| thread.state == state).count();
    ThreadCounts {
        total: Some(threads.len()).filter(|total| *total > 0),
        running: in_state(ThreadState::Running),
        blocked: in_state(ThreadState::Blocked),
        sleeping: in_state(ThreadState::Sleeping),
        unknown: in_state(ThreadState::Unknown),
        stopped: threads.iter().filter(|thread| thread.is_stopped()).count(),
    }
}

impl RequestsRow {
    fn of(requests: &InFlight, threads: &[Thread]) -> RequestsRow {
        let oldest = &requests.oldest;
        let thread = threads.iter().find(|thread| Some(thread.tid) == oldest.tid);
        let waiting = thread.and_then(|thread| thread.waiting_on.as_ref()).map(waits_for);
        RequestsRow {
            count: requests.count,
            complete: !requests.is_least,
            oldest: oldest.words.clone(),
            age_ms: oldest.age_ms,
            tid: oldest.tid,
            waits_for: waiting.or_else(|| oldest.awaits.clone()),
            command: requests.command,
        }
    }
}

impl FindingRow {
    fn of(finding: &Finding) -> FindingRow {
        let (tid, _, address) = subject(finding.about);
        FindingRow {
            rule: finding.rule,
            severity: finding.severity,
            certain: finding.certain,
            title: finding.title.to_string(),
            tid,
            address,
            evidence: finding
                .evidence
                .iter()
                .map(|fact| {
                    let (tid, frame, address) = subject(fact.about);
                    EvidenceRow { text: fact.text.to_string(), tid, frame, address }
                })
                .collect(),
            next: finding.next.clone(),
        }
    }
}

fn subject(about: Option<Subject>) -> (Option<Tid>, Option<usize>, Option<Addr>) {
    match about {
        Some(Subject::Thread(tid)) => (Some(tid), None, None),
        Some(Subject::Frame(tid, frame)) => (Some(tid), Some(frame), None),
        Some(
            Subject::Lock(address) | Subject::Module(address) | Subject::Memory(address) | Subject::Object(address),
        ) => (None, None, Some(address)),
        Some(
            Subject::Capture | Subject::Exception(_) | Subject::Type(_) | Subject::Namespace(_) | Subject::Command(_),
        )
        | None => (None, None, None),
    }
}
