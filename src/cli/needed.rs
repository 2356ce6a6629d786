//! What of a runtime's memory a mini or triage dump needs: the pages that are read when it is asked what it is for.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use symbols::FileBytes;

use crate::commands::{Format, Shell};
use crate::error::Error;
use crate::job::Job;
use crate::model::Addr;
use crate::session::Session;

/// What a mini dump is for.
const QUESTIONS: [&str; 15] = [
    "summary",
    "threads",
    "clrthreads",
    "stack --all",
    "clrstack -a -all",
    "parallelstacks",
    "locks",
    "syncblk -all",
    "printexception",
    "modules",
    "eeversion",
    "threadpool",
    "threadpoolqueue",
    "timerinfo",
    "analyzeoom",
];

/// The memory of a core that is read for the answers.
pub(super) fn needed(core: FileBytes, job: &Job) -> Result<Vec<Range<Addr>>, Error> {
    let (session, touched) = Session::recorded(core, job)?;
    let mut shell = Shell::new(Arc::new(session));
    for question in QUESTIONS {
        // A question that makes no sense of it is refused, and reads nothing.
        let result = shell.run(question, job);
        shell.print(question, &result, Format::Json, &mut io::sink(), job)?;
    }
    Ok(touched.pages())
}
