//! Other places for symbols keep what was opened: a dump is not read, and a compressed one not unpacked, a second time.

use std::sync::Arc;

use dumpscope::commands::Shell;
use dumpscope::error::Error;
use dumpscope::job::Job;
use dumpscope::session::{Session, Source};
use dumpscope::target::Search;
use dumpscope::tui::worker;
use support::repository;

#[test]
fn other_places_for_symbols_do_not_open_the_dump_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let packed = folder.path().join("core.zst");
    std::fs::copy(repository().join("fixtures/golden/deadlock.core.zst"), &packed).expect("the core is there");
    let executable = std::fs::File::open(repository().join("fixtures/golden/deadlock.exe.zst")).expect("it is there");
    let executable = zstd::decode_all(executable).expect("it is packed");

    let session = Session::open(Source::File(packed.clone()), &Search::default(), &Job::default()).expect("it opens");
    let before = Arc::new(session);
    std::fs::remove_file(&packed).expect("the file can be removed");
    let names = |session: &Session| {
        let stack = session.stack(0, &Job::default()).expect("a thread");
        let named = session.process().expect("a process").named(&stack);
        named.iter().filter(|frame| frame.function.as_deref() == Some("main")).count()
    };
    assert_eq!((before.epoch(), names(&before)), (0, 0), "nothing names the program's own functions");

    let without_symbols = |session: &Session| worker::describe(session).modules_without_symbols;
    assert_eq!(without_symbols(&before), 0, "the dump holds the names that the program exports");

    let mut shell = Shell::new(Arc::clone(&before));
    std::fs::write(folder.path().join("deadlock"), executable).expect("it can be written");
    let line = format!("setsymbolserver -directory \"{}\"", folder.path().display());
    let cancelled = Job::default();
    cancelled.cancel();
    assert!(matches!(shell.run(&line, &cancelled), Err(Error::Cancelled)), "half of the modules are no answer");
    assert!(Arc::ptr_eq(&before, &shell.session), "what was open stays open");
    shell.run(&line, &Job::default()).expect("the dump that is gone is not needed");
    let after = &shell.session;
    assert_eq!(after.epoch(), 1, "answers given so far are stale");
    assert_eq!(without_symbols(after), 0, "nobody has looked for names yet");
    assert_eq!(names(after), 1, "the file that was found names them");
    assert_eq!(without_symbols(after), 0, "the program has them now");
    let capture = |session: &Session| Arc::clone(&session.target().expect("a process").capture);
    assert!(Arc::ptr_eq(&capture(&before), &capture(after)), "the capture is the same");
}
