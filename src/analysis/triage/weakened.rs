//! What is missing from the dump or its modules' files, where it weakens what is said above.

use rustc_hash::FxHashMap;

use crate::model::{Addr, Problem, Subject};

use super::Rule;
use super::case::Case;
use super::crash::Crash;
use super::finding::{Finding, Next, Sentence, Severity};

pub(super) const RULE: Rule = Rule::new("weakened", apply);

/// Findings of one kind that are told one by one.
const TOLD: usize = 3;
/// Innermost unnamed frames of a thread that count.
const FRAMES: usize = 64;
/// Libraries that distributions ship without names for their inner functions; nothing is lost by it.
const OFTEN_BARE: [&str; 5] = ["libc.so", "libstdc++", "libgcc_s", "ld-", "[vdso]"];

fn apply(case: &Case<'_>) -> Vec<Finding> {
    let mut told: FxHashMap<&str, usize> = FxHashMap::default();
    let mut findings: Vec<Finding> = case
        .problems
        .iter()
        .filter(|problem| {
            let count = told.entry(problem.code).or_default();
            *count = count.saturating_add(1);
            *count <= TOLD
        })
        .map(of_problem)
        .collect();
    findings.extend(unnamed(case));
    findings
}

fn of_problem(problem: &Problem) -> Finding {
    // Without threads nothing else is said: this is the verdict.
    let severity = if problem.code == "no-threads" { Severity::Warning } else { Severity::Note };
    Finding {
        rule: RULE.name,
        severity,
        certain: true,
        title: Sentence::of(problem.message.as_str()),
        about: Some(problem.about),
        evidence: Vec::new(),
        next: problem.remedy.as_ref().map(|remedy| Next::advice(remedy.as_str())),
    }
}

/// Where the processor was sent that is no code.
fn executed_data(case: &Case<'_>) -> Option<Addr> {
    let crash = Crash::of(case).filter(Crash::executes)?;
    crash.fault.address.as_ref().ok().copied()
}

/// Modules whose functions have no names although threads run in them.
fn unnamed(case: &Case<'_>) -> Option<Finding> {
    let mut counts: FxHashMap<&str, usize> = FxHashMap::default();
    // The processor may have been sent into data, which has no function.
    let data = executed_data(case);
    for frames in case.stacks {
        let blank = frames.iter().take(FRAMES).filter(|frame| frame.function.is_none() && Some(frame.pc) != data);
        let modules = blank.filter_map(|frame| frame.module.as_deref());
        for module in modules.filter(|module| !OFTEN_BARE.iter().any(|prefix| module.starts_with(prefix))) {
            let count = counts.entry(module).or_default();
            *count = count.saturating_add(1);
        }
    }
    let mut modules: Vec<(&str, usize)> = counts.into_iter().collect();
    modules.sort_by_key(|(module, count)| (std::cmp::Reverse(*count), *module));
    let total: usize = modules.iter().map(|(_, count)| count).sum();
    let (first, _) = modules.first()?;
    let frames = if total == 1 { "1 frame has".to_owned() } else { format!("{total} frames have") };
    let title = Sentence::of(frames).text(" no function name: no symbols for ").text(*first);
    let title = match modules.len() {
        1 => title,
        count => title.text(format!(" and {} more modules", count.saturating_sub(1))),
    };
    Some(Finding {
        rule: RULE.name,
        severity: Severity::Note,
        certain: true,
        title,
        about: Some(Subject::Capture),
        evidence: Vec::new(),
        next: Some(Next::new("modules", "where symbols were looked for; --symbols DIR adds a place")),
    })
}
