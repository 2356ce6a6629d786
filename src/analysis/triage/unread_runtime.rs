//! A runtime is in the process of which not everything is read: the verdict covers native code only.

use crate::model::{RecognisedRuntime, RuntimeKind, Subject};

use super::case::Case;
use super::finding::{Finding, Next, Sentence, Severity};
use super::{Rule, Tells};

pub(super) const RULE: Rule = Rule::new("unread-runtime", apply).tells(Tells::Unread);

fn apply(case: &Case<'_>) -> Vec<Finding> {
    case.runtimes.iter().filter_map(|runtime| conclude(case, runtime)).collect()
}

fn conclude(case: &Case<'_>, runtime: &RecognisedRuntime) -> Option<Finding> {
    let not_read = listed(runtime.not_read())?;
    let (severity, title) = match &runtime.idle {
        Some(why) => {
            let title = format!("{} is loaded, but was never started: {why}", runtime.name());
            (Severity::Note, Sentence::of(title))
        }
        None if runtime.hides_waits() && !case.crashed() => {
            let title = format!("{}: {not_read} are not read; the verdict covers native code only", runtime.name());
            (Severity::Warning, Sentence::of(title))
        }
        None => (Severity::Note, Sentence::of(format!("{}: {not_read} are not read", runtime.name()))),
    };
    let advice = advice(runtime.kind).filter(|_| severity == Severity::Warning);
    Some(Finding {
        rule: RULE.name,
        severity,
        certain: true,
        title,
        about: Some(Subject::Capture),
        evidence: vec![Sentence::of("recognised: ").text(runtime.evidence.as_str()).about(Subject::Capture)],
        next: advice.map(Next::advice),
    })
}

/// `Java frames and Java monitors`.
fn listed(parts: &[&str]) -> Option<String> {
    let (last, before) = parts.split_last()?;
    Some(match before {
        [] => (*last).to_owned(),
        before => format!("{} and {last}", before.join(", ")),
    })
}

/// A tool that reads what is not read here.
// Sources: jdk-17 jhsdb(1); .NET documentation, dotnet-dump; pystack's README; delve's Documentation/usage/dlv_core.md.
fn advice(kind: RuntimeKind) -> Option<&'static str> {
    Some(match kind {
        RuntimeKind::Jvm => "jhsdb jstack --exe JAVA --core DUMP shows them, jstack PID those of a live process",
        RuntimeKind::Python => "pystack core DUMP shows them, py-spy dump --pid PID those of a live process",
        RuntimeKind::Go => "dlv core EXECUTABLE DUMP shows them: goroutines",
        _ => return None,
    })
}
