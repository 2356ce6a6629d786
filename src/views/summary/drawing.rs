//! A deadlock drawn with lines: who holds what, who wants it.

use unicode_width::UnicodeWidthStr;

use crate::analysis::deadlock::Cycle;
use crate::model::{Addr, Lock, Subject, Thread, Tid};
use crate::report::section::{Cell, Row, Tone};

/// Threads of a ring that are drawn.
const DRAWN: usize = 8;
/// Widest name in a drawing; longer ones are cut in the middle.
const MAX_NAME: usize = 22;

/// A ring of threads with the names to draw it.
pub(super) struct Ring {
    first: Addr,
    steps: Vec<Step>,
    more: usize,
}

struct Step {
    tid: Tid,
    thread: String,
    wants: String,
}

impl Ring {
    /// `None` for a thread that waits for itself: there is nothing to draw.
    pub(super) fn of(cycle: &Cycle, locks: &[Lock], threads: &[Thread]) -> Option<Ring> {
        if cycle.cycle.len() < 2 {
            return None;
        }
        let steps = cycle.cycle.iter().take(DRAWN).map(|step| {
            let thread = threads.iter().find(|thread| thread.tid == step.tid);
            let lock = locks.iter().find(|lock| lock.address == step.waits_for);
            let name = lock.and_then(|lock| lock.name.clone().ok().flatten());
            Step {
                tid: step.tid,
                thread: cut(&thread.map_or_else(|| step.tid.to_string(), Thread::label)),
                wants: cut(&name.unwrap_or_else(|| step.waits_for.to_string())),
            }
        });
        Some(Ring {
            first: cycle.cycle.first()?.waits_for,
            steps: steps.collect(),
            more: cycle.cycle.len().saturating_sub(DRAWN),
        })
    }

    /// Whether a finding about this subject speaks of the ring.
    pub(super) fn is_of(&self, about: Option<Subject>) -> bool {
        about == Some(Subject::Lock(self.first))
    }

    /// The drawing, a line a row.
    pub(super) fn rows(&self) -> Vec<Row> {
        match self.steps.as_slice() {
            [one, other] => pair(one, other),
            steps => self.chain(steps),
        }
    }

    /// `a ─ wants ─▶ g_x ◀─ holds ─ b`, one line a thread.
    fn chain(&self, steps: &[Step]) -> Vec<Row> {
        let widest = |name: fn(&Step) -> &String| steps.iter().map(|step| name(step).width()).max().unwrap_or(0);
        let (thread, lock) = (widest(|step| &step.thread), widest(|step| &step.wants));
        let mut rows = vec![Row::text("")];
        for (index, step) in steps.iter().enumerate() {
            let holder = match steps.get(index.saturating_add(1)) {
                Some(next) => next.thread.as_str(),
                None if self.more > 0 => "…",
                None => steps.first().map_or("", |first| first.thread.as_str()),
            };
            let line = format!(
                "     {} ─ wants ─▶ {} ◀─ holds ─ {holder}",
                padded(&step.thread, thread, " "),
                padded(&step.wants, lock, " "),
            );
            rows.push(Row::about(Subject::Thread(step.tid), vec![Cell::text(line).tone(Tone::Link)]));
        }
        if self.more > 0 {
            rows.push(Row::text(format!("     … {} more threads close the ring", self.more)));
        }
        rows.push(Row::text(""));
        rows
    }
}

/// Two threads: each holds what the other wants.
///
/// ```text
/// worker-3 4719 ─ holds ─▶ g_orders ◀─ wants ─ worker-7 4723
///      └─ wants ─▶ g_stock ◀─ holds ───────────────┘
/// ```
fn pair(one: &Step, other: &Step) -> Vec<Row> {
    let left = format!("{} ─ holds ─▶ {} ◀─ wants ─ ", one.thread, other.wants);
    let below = format!("     └─ wants ─▶ {} ◀─ holds ─", one.wants);
    // The corner stands below the second thread's name, or after the line where that is longer.
    let corner = left.width().saturating_add(5).max(below.width());
    let upper = format!("     {left}{}", other.thread);
    let lower = format!("     {}┘", padded(&below, corner, "─"));
    vec![
        Row::text(""),
        Row::about(Subject::Thread(one.tid), vec![Cell::text(upper).tone(Tone::Link)]),
        Row::about(Subject::Thread(other.tid), vec![Cell::text(lower).tone(Tone::Link)]),
        Row::text(""),
    ]
}

fn padded(text: &str, width: usize, fill: &str) -> String {
    let missing = width.saturating_sub(text.width());
    format!("{text}{}", fill.repeat(missing))
}

/// Cuts a long name in the middle: its ends tell it apart.
fn cut(name: &str) -> String {
    let count = name.chars().count();
    if count <= MAX_NAME {
        return name.to_owned();
    }
    let head: String = name.chars().take(MAX_NAME / 2).collect();
    let tail: String = name.chars().skip(count.saturating_sub(MAX_NAME / 2).saturating_add(1)).collect();
    format!("{head}…{tail}")
}
