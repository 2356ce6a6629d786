//! What was not read, what is missing, and what rests on a doubtful file.

use super::*;

/// Two threads of which each waits for work as far as its native stack tells.
fn waiting() -> Process {
    let condvar = for_lock(kinds::CONDVAR, 0xc);
    Process::default().thread(1, "main", on(CallKind::Epoll, Some("fd 4")), &["run"]).thread(2, "a", condvar, &["take"])
}

#[test]
fn a_runtime_whose_waits_are_not_read_leaves_no_calm_verdict() {
    let process = waiting().runtime(RuntimeKind::Jvm, "17.0.15", None);
    let title = "JVM 17.0.15: Java frames and Java monitors are not read; the verdict covers native code only";
    assert_eq!(process.titles(), [title]);
    let found = &process.verdict()[0];
    assert_eq!((found.rule, found.severity), ("unread-runtime", Severity::Warning));
    assert_eq!(found.evidence[0].text.to_string(), "recognised: maps /usr/lib/libjvm.so");
}

#[test]
fn a_runtime_that_never_started_or_hides_no_waits_leaves_the_verdict() {
    let calm = "all 2 threads wait for work, input or time: nothing looks wrong here?";
    let loaded = waiting().runtime(RuntimeKind::Python, "3.11.2", Some("Py_IsInitialized() would be 0"));
    let note = "Python 3.11.2 is loaded, but was never started: Py_IsInitialized() would be 0";
    assert_eq!(loaded.titles(), [calm, note]);
    assert_eq!(
        waiting().runtime(RuntimeKind::Perl, "5.36.0", None).titles(),
        [calm, "Perl 5.36.0: Perl frames are not read"]
    );
}

#[test]
fn what_a_runtime_hides_is_a_note_beside_a_crash() {
    let process = crashed(&["f"]).runtime(RuntimeKind::Jvm, "17.0.15", None).fault(
        AccessKind::Read,
        0x10,
        Place::NullPage { offset: 0x10 },
        0,
        None,
    );
    let found = process.verdict();
    assert_eq!(found.iter().map(|finding| finding.rule).collect::<Vec<_>>(), ["null-access", "unread-runtime"]);
    assert_eq!(found[1].severity, Severity::Note);
}

#[test]
fn what_is_missing_comes_after_what_is_wrong() {
    let mut process = crashed(&["f"]).fault(AccessKind::Read, 0x10, Place::NullPage { offset: 0x10 }, 0, None);
    process
        .problems
        .push(Problem::new("truncated", Subject::Capture, "the file ends early").with_remedy("copy it again"));
    let found = process.verdict();
    assert_eq!(found.iter().map(|finding| finding.rule).collect::<Vec<_>>(), ["null-access", "weakened"]);
    assert_eq!(found[1].next, Some(Next::advice("copy it again")));
}

#[test]
fn nothing_is_certain_that_rests_on_a_file_which_may_be_another_build() {
    let process = Process::default()
        .thread(3, "worker-3", for_lock(kinds::MUTEX, 0xb), &["reserve(Order&)", "dispatch()"])
        .lock(0xb, "g_stock", held(3), &[3]);
    let certain = |process: &Process| process.verdict().iter().map(|found| found.certain).collect::<Vec<_>>();
    assert_eq!(certain(&process), [true]);
    // All frames of these cases are in a module called app.
    let process = Process { doubtful: vec!["app".into()], ..process };
    assert_eq!(certain(&process), [false]);
    let why = "app may be another build's file, so that names and frames of it may be wrong";
    let found = process.verdict();
    assert!(found[0].evidence.iter().any(|fact| fact.text.to_string() == why), "{:?}", found[0].evidence);
    let process = Process { doubtful: vec!["libother.so".into()], ..process };
    assert_eq!(certain(&process), [true], "a module in which none of it is");
}
