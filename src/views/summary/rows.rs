//! The summary as lines: findings with their evidence, then the process, the heap, the dump.

use rustc_hash::FxHashMap;

use crate::analysis::triage::{Fact, Finding, Part, Sentence, Severity};
use crate::model::frame::path;
use crate::model::{RuntimeKind, Subject};
use crate::report::section::{Body, Cell, Row, Section, Tone, Value};
use crate::views::Draw;
use crate::views::runtime_rows::RuntimeRow;

use super::{DumpRow, RequestsRow, Summary, ThreadCounts};

/// Facts shown of the first finding, and of each later one that is critical.
const FACTS: usize = 6;
/// Warnings and notes shown.
const WARNINGS: usize = 6;
const NOTES: usize = 4;

impl Draw for Summary {
    fn draw(&self) -> Section {
        let mut bodies = Vec::new();
        let mut lines = Vec::new();
        if self.drawn.is_empty() {
            lines.push(Row::text("No rule found anything wrong. The threads and their stacks may still tell."));
        }
        let mut hidden = 0usize;
        let mut apart = false;
        let mut shown = FxHashMap::default();
        for finding in &self.drawn {
            let count = shown.entry(finding.severity).or_insert(0usize);
            *count = count.saturating_add(1);
            let most = match finding.severity {
                Severity::Critical => usize::MAX,
                Severity::Warning => WARNINGS,
                Severity::Note => NOTES,
            };
            if *count > most {
                hidden = hidden.saturating_add(1);
                continue;
            }
            // A finding that says more than a line stands apart.
            let told = finding.severity != Severity::Note && !finding.evidence.is_empty();
            if !(lines.is_empty() && bodies.is_empty()) && (told || apart) {
                lines.push(Row::text(""));
            }
            apart = told;
            lines.push(title(finding));
            if finding.severity != Severity::Note {
                let of_cycle = |(first, _): &&(_, _)| finding.about == Some(Subject::Lock(*first));
                for (_, chain) in self.cycles.iter().filter(of_cycle) {
                    bodies.push(Body::Lines(std::mem::take(&mut lines)));
                    bodies.push(Body::Chain(chain.clone()));
                }
                lines.extend(finding.evidence.iter().take(FACTS).map(fact));
            }
            lines.extend(next(finding));
        }
        if hidden > 0 {
            let (findings, them) = if hidden == 1 { ("finding", "it") } else { ("findings", "them all") };
            lines.push(Row::text(format!("  … and {hidden} more {findings}; --json has {them}")));
        }
        lines.push(Row::text(""));
        bodies.push(Body::Lines(lines));
        bodies.push(Body::Fields(self.fields()));
        bodies.extend(self.heap.iter().flat_map(super::memory::bodies));
        Section { bodies, ..Section::default() }
    }
}

impl Summary {
    fn fields(&self) -> Vec<(String, Row)> {
        let process = &self.process;
        let mut what = vec![match (&process.args, &process.name) {
            (Some(args), _) => Cell::text(args.as_str()).tone(Tone::Strong),
            (None, Some(name)) => Cell::text(name.as_str()).tone(Tone::Strong),
            (None, None) => Cell::unknown("the dump does not record its command line"),
        }];
        what.extend(process.pid.map(|pid| Cell::text(format!(", pid {pid}"))));
        what.push(Cell::text(format!(", {}", process.arch)).tone(Tone::Dim));
        let dump = &self.dump;
        let mut ended = vec![match (&process.signal, &process.no_signal) {
            (Some(signal), _) => Cell::text(signal.as_str()),
            (None, Some(gap)) => Cell::unknown(gap.as_str()),
            (None, None) if process.threads.stopped > 0 => Cell::text("none: it is stopped").tone(Tone::Guess),
            (None, None) if dump.pause_ms.is_some() => Cell::text("none: it runs").tone(Tone::Dim),
            (None, None) => Cell::text("none: dumped while it ran").tone(Tone::Dim),
        }];
        ended.retain(|cell| cell.value != Value::None);
        let mut quality = vec![match dump.pause_ms {
            Some(pause_ms) => Cell::text(format!("live process, stopped for {pause_ms:.1} ms")),
            None => Cell::text(dump.format.as_str()),
        }];
        quality.push(match dump.complete {
            true => Cell::text(", complete"),
            false => Cell::text(", incomplete").tone(Tone::Guess),
        });
        quality.extend([Cell::text(","), Cell::new(Value::Bytes(dump.bytes)), Cell::text(";")]);
        quality.push(files(dump));
        let heap = match (&self.heap, &self.no_heap) {
            (Some(heap), _) => super::memory::line(heap),
            (None, Some(why)) => Row::new(vec![Cell::unknown(why)]),
            (None, None) => {
                let is_dotnet =
                    |runtime: &RuntimeRow| runtime.kind == RuntimeKind::Dotnet && runtime.not_started.is_none();
                let thin = match self.runtimes.iter().any(is_dotnet) {
                    true => ", nor for Monitors that nobody waits for ('locks' does)",
                    false => "",
                };
                Row::new(vec![Cell::text(format!("not looked at ('summary -heap' does){thin}")).tone(Tone::Dim)])
            }
        };
        let runtimes: Vec<String> = self
            .runtimes
            .iter()
            .filter(|runtime| runtime.not_started.is_none())
            .map(|runtime| match &runtime.version {
                Some(version) => format!("{} {version}", runtime.name),
                None => runtime.name.to_owned(),
            })
            .collect();
        what.extend((!runtimes.is_empty()).then(|| Cell::text(format!(", {}", runtimes.join(" + ")))));
        let requests = self.requests.as_ref().map(|requests| ("Requests".to_owned(), requests_line(requests)));
        let before = [
            ("Process".to_owned(), Row::new(what)),
            ("Signal".to_owned(), Row::new(ended)),
            ("Threads".to_owned(), threads(&process.threads)),
        ];
        let after = [("Heap".to_owned(), heap), ("Dump".to_owned(), Row::about(Subject::Capture, quality))];
        before.into_iter().chain(requests).chain(after).collect()
    }
}

/// `3 in flight, the oldest GET /ledger for 3.0s: Monitor Shop.Orders.Ledger`.
fn requests_line(requests: &RequestsRow) -> Row {
    let least = if requests.complete { "" } else { "at least " };
    let mut cells = vec![
        Cell::text(format!("{least}{} in flight, the oldest", requests.count)),
        Cell::text(requests.oldest.as_str()).tone(Tone::Strong),
    ];
    if let Some(age) = requests.age_ms {
        cells.extend([Cell::text("for"), Cell::new(Value::Millis(age))]);
    }
    cells.extend(requests.tid.map(|tid| Cell::new(Value::Tid(tid)).tone(Tone::Guess)));
    cells.extend(requests.waits_for.as_deref().map(|words| Cell::text(format!(": {words}"))));
    Row::about(Subject::Command(requests.command), cells)
}

/// Whether the modules' files are at hand: said only where each is known to be the one that was mapped.
fn files(dump: &DumpRow) -> Cell {
    let (all, doubtful, lost) = (dump.modules, dump.modules_unverified, dump.modules_without_file);
    match all {
        0 => return Cell::text("no module is known").tone(Tone::Guess),
        1 if doubtful == 0 && lost == 0 => return Cell::text("the file of its only module is at hand"),
        _ if doubtful == 0 && lost == 0 => return Cell::text(format!("the files of all {all} modules are at hand")),
        _ => {}
    }
    let counts = [(dump.modules_verified, "verified"), (doubtful, "not verified"), (lost, "missing")];
    let told: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    let modules = if all == 1 { "module" } else { "modules" };
    Cell::text(format!("files of {all} {modules}: {}", told.join(", "))).tone(Tone::Guess)
}

fn threads(counts: &ThreadCounts) -> Row {
    let states = [
        (counts.running, "running"),
        (counts.blocked, "blocked"),
        (counts.sleeping, "sleeping"),
        (counts.unknown, "unknown"),
    ];
    let told: Vec<String> =
        states.iter().filter(|(count, _)| *count > 0).map(|(count, state)| format!("{count} {state}")).collect();
    let Some(total) = counts.total else {
        return Row::new(vec![Cell::unknown("the dump holds none")]);
    };
    let mut cells = vec![Cell::new(Value::Count(total as u64))];
    if !told.is_empty() {
        cells.push(Cell::text(format!(": {}", told.join(", "))));
    }
    Row::new(cells)
}

/// `✗ SIGSEGV reading 0x10 in parse_header, called from main`.
fn title(finding: &Finding) -> Row {
    let (mark, tone) = match finding.severity {
        Severity::Critical => ("✗", Tone::Bad),
        Severity::Warning => ("!", Tone::Guess),
        Severity::Note => ("·", Tone::Dim),
    };
    let mut row = vec![Cell::text(mark).tone(tone)];
    if !finding.certain {
        row.push(Cell::text("likely:").tone(Tone::Guess));
    }
    let plain = if finding.severity == Severity::Note { Tone::Plain } else { Tone::Strong };
    row.extend(cells(&finding.title, plain));
    Row { cells: row, subject: finding.about }
}

fn fact(fact: &Fact) -> Row {
    let mut row = vec![Cell::text("   ")];
    row.extend(cells(&fact.text, Tone::Plain));
    Row { cells: row, subject: fact.about }
}

fn next(finding: &Finding) -> Option<Row> {
    let next = finding.next.as_ref()?;
    let mut row = vec![Cell::text("    →").tone(Tone::Dim)];
    if let Some(command) = &next.command {
        row.push(Cell::text(format!("{command}:")).tone(Tone::Link));
    }
    row.push(Cell::text(next.shows.as_str()).tone(Tone::Dim));
    Some(Row { cells: row, subject: finding.about })
}

/// A sentence's parts as cells. Printers put a space between cells, so the parts' own outer spaces go, and a closing
/// bracket moves to the cell before it.
fn cells(sentence: &Sentence, plain: Tone) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::new();
    for part in &sentence.0 {
        match part {
            Part::Text(text) => {
                let mut rest = text.trim();
                if let (Some(after), Some(last)) = (rest.strip_prefix(')'), cells.last_mut()) {
                    if let Value::Text(before) = &last.value {
                        last.value = Value::Text(format!("{before})").into());
                    }
                    rest = after.trim_start();
                }
                if !rest.is_empty() {
                    cells.push(Cell::text(rest).tone(plain));
                }
            }
            Part::Thread(_, name) | Part::Lock(_, name) => cells.push(Cell::text(&**name).tone(Tone::Link)),
            Part::Function(name) => cells.push(Cell::new(Value::Function(path(name).into())).tone(plain)),
            Part::Address(address) => cells.push(Cell::new(Value::Addr(*address)).tone(plain)),
            Part::Source(file, line) => cells.push(Cell::new(Value::Source(file.clone(), *line)).tone(Tone::Dim)),
        }
    }
    cells
}
