//! Command lines, as `-c`, standard input and the `:` prompt take them.
#![no_main]

use std::cell::RefCell;
use std::sync::Arc;

use dumpscope::commands::Shell;
use dumpscope::job::Job;
use dumpscope::session::{Session, Source};
use dumpscope::target::Search;
use libfuzzer_sys::fuzz_target;
use support::core_writer::{CoreWriter, prpsinfo, prstatus_x86_64};
use symbols::FileBytes;

thread_local! {
    static SESSION: RefCell<Option<Arc<Session>>> = const { RefCell::new(None) };
}

fn session() -> Arc<Session> {
    SESSION.with_borrow_mut(|slot| {
        let open = || {
            let core = CoreWriter::x86_64()
                .note("CORE", 1, &prstatus_x86_64(1, 11, &[0x1000; 27]))
                .note("CORE", 3, &prpsinfo(1, 0, "a", "a b"))
                .load(0x1000, 6, &[7; 256]);
            let source = Source::Bytes("core".into(), FileBytes::from_vec(core.bytes()));
            Arc::new(Session::open(source, &Search::default(), &Job::default()).expect("the core opens"))
        };
        Arc::clone(slot.get_or_insert_with(open))
    })
}

fuzz_target!(|data: &[u8]| {
    let Ok(line) = std::str::from_utf8(data) else { return };
    // Commands that read files which the line names are not for a fuzzer.
    if line.contains("symbolserver") || line.contains('/') {
        return;
    }
    let mut shell = Shell::new(session());
    let _ = shell.run(line, &Job::default());
});
