//! A panic of Rust or Go, or a fatal error of Go's runtime, that ended the process.

use std::sync::Arc;

use crate::model::{Detail, Subject};

use super::Rule;
use super::case::{Case, one_line};
use super::finding::{Finding, Next, Part, Sentence, Severity};

pub(super) const RULE: Rule = Rule::new("panic", apply);

/// Earlier panics that are told.
const UNWINDING: usize = 4;

fn apply(case: &Case<'_>) -> Vec<Finding> {
    conclude(case).into_iter().collect()
}

fn conclude(case: &Case<'_>) -> Option<Finding> {
    let exception = case.fatal()?;
    let Detail::Panic { place } = &exception.detail else { return None };
    let tid = exception.tid?;
    let mut title = Sentence::of(exception.kind.title);
    if let Ok(place) = place {
        let file: Arc<str> = place.file.as_str().into();
        title = title.text(" at ").part(Part::Source(file, Some(place.line)));
    }
    let mut evidence = vec![case.chain(tid)];
    match &exception.message {
        Ok(Some(message)) => title = title.text(": ").text(one_line(message)),
        Ok(None) => {}
        Err(gap) => evidence.push(Sentence::of("the message is not known: ").text(gap.to_string()).about(None)),
    }
    let unwinding = std::iter::successors(exception.inner.as_deref(), |inner| inner.inner.as_deref()).take(UNWINDING);
    let before = exception.kind.inner;
    evidence.extend(unwinding.map(|inner| {
        let words = match &inner.message {
            Ok(Some(message)) => Sentence::of(before).text(": ").text(one_line(message)),
            _ => Sentence::of(before).text(", whose message is not known"),
        };
        words.about(inner.address.map(Subject::Memory))
    }));
    // What gave the program up says nothing of where.
    let is_own =
        |index: &usize| exception.kind.apart.is_none() || case.frames(tid).get(*index).is_some_and(|frame| frame.own);
    let own = case.own_frame(tid).filter(is_own);
    Some(Finding {
        rule: RULE.name,
        severity: Severity::Critical,
        certain: true,
        title: title.then(case.behind(", in ", tid, own)),
        about: Some(Subject::Thread(tid)),
        evidence,
        next: Some(match exception.kind.apart {
            Some(whose) => Next::new("printexception", whose),
            None => Next::new("stack", "the stack of the panic"),
        }),
    })
}
