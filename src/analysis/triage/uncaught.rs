//! An exception that nobody caught, or that was not allowed to leave.

use crate::model::{Detail, Exception, ExceptionFamily, Subject, Termination};

use super::Rule;
use super::case::{Case, one_line};
use super::finding::{Fact, Finding, Next, Sentence, Severity};
use super::stack_overflow;

pub(super) const RULE: Rule = Rule::new("uncaught-exception", apply).yields_to(&[&stack_overflow::RULE]);

/// Nested exceptions that are told.
const NESTED: usize = 8;
const STRING: &str = "std::basic_string<char, std::char_traits<char>, std::allocator<char> >";

fn apply(case: &Case<'_>) -> Vec<Finding> {
    conclude(case).into_iter().collect()
}

fn conclude(case: &Case<'_>) -> Option<Finding> {
    let exception = case.fatal().filter(|exception| exception.kind.family == ExceptionFamily::Exception)?;
    let tid = exception.tid?;
    let ended = match exception.detail {
        Detail::Cxx { ended, .. } => ended,
        _ => None,
    };
    let title = Sentence::of(match ended {
        Some(Termination::Noexcept) => "exception out of a noexcept function:",
        Some(Termination::Called) => "std::terminate called while handling",
        _ => exception.kind.title,
    });
    let title = title.text(" ").text(told(exception));
    let called = ended == Some(Termination::Called);
    // Who handles an exception is no longer below what threw it.
    let from = if called { case.own_frame(tid) } else { case.thrower(tid) };
    let (words, shows) = match (called, case.rethrows(tid)) {
        (true, _) => (", in ", "the exception and where it was thrown"),
        (false, false) => (", thrown in ", "the exception and where it was thrown"),
        // Where it was thrown first is not on the stack any more.
        (false, true) => (", rethrown in ", "the exception and where it was thrown again"),
    };
    let mut evidence = vec![case.chain_from(tid, from)];
    if let Some(reason) = exception.message.as_ref().err() {
        evidence.push(Sentence::of("the message is not known: ").text(reason.to_string()).about(None));
    }
    evidence.extend(causes(exception));
    Some(Finding {
        rule: RULE.name,
        severity: Severity::Critical,
        certain: true,
        title: title.then(case.behind(words, tid, from)),
        about: Some(Subject::Thread(tid)),
        evidence,
        next: Some(Next::new("printexception -lines", shows)),
    })
}

/// What is nested in an exception, as facts.
pub(super) fn causes(exception: &Exception) -> impl Iterator<Item = Fact> {
    let words = exception.kind.inner;
    nested(exception)
        .into_iter()
        .map(move |nested| Sentence::of(words).text(" ").text(told(nested)).about(nested.address.map(Subject::Memory)))
}

/// What is nested in an exception, each behind the one that nests it, as many as are told.
fn nested(exception: &Exception) -> Vec<&Exception> {
    let mut all = Vec::new();
    let mut left: Vec<&Exception> = vec![exception];
    while let Some(next) = left.pop() {
        if !std::ptr::eq(next, exception) {
            all.push(next);
        }
        if all.len() >= NESTED {
            break;
        }
        left.extend(next.others.iter().rev().chain(next.inner.as_deref()));
    }
    all
}

/// `std::runtime_error: bad request`.
fn told(exception: &Exception) -> String {
    let name = exception.type_name.as_deref().map_or_else(|_| "exception of unknown type".to_owned(), plain);
    match &exception.message {
        Ok(Some(message)) if *message != name => format!("{name}: {}", one_line(message)),
        _ => name,
    }
}

/// A type's name as people write it: strings are `std::string`, and what nests another exception is what it is besides.
// The library's inner namespaces: libstdc++ __cxx11, libc++ __1 and __fs. What std::throw_with_nested throws:
// _Nested_exception<T>, __nested<T>.
fn plain(name: &str) -> String {
    let plain = name.replace("__cxx11::", "").replace("std::__1::", "std::").replace("std::__fs::", "std::");
    let plain = plain.replace(STRING, "std::string").replace("std::string >", "std::string>");
    let nesting = ["std::_Nested_exception<", "std::__nested<"].iter().find_map(|prefix| plain.strip_prefix(prefix));
    match nesting.and_then(|inner| inner.strip_suffix('>')) {
        Some(inner) => inner.trim_end().to_owned(),
        None => plain,
    }
}
