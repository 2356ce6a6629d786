//! What a dump turns out to be: of a process, or of the objects of a heap alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Capture;
use crate::error::Error;
use crate::heap::HeapSource;
use crate::model::Problem;

/// What was opened.
pub enum Opened {
    /// A process: memory, modules, threads.
    Process(Box<Capture>),
    /// Objects, without memory, modules or threads.
    Heap(HeapDump),
}

/// A heap dump.
#[derive(Clone)]
pub struct HeapDump {
    /// The dump's file.
    pub path: PathBuf,
    /// What it is, in words: `hprof 1.0.2`.
    pub format: &'static str,
    /// Bytes of the dump's file.
    pub file_size: u64,
    /// What opening found damaged or missing.
    pub problems: Vec<Problem>,
    /// Its objects.
    pub source: Arc<dyn HeapSource>,
}

impl Opened {
    /// The process; fails for a heap dump.
    pub fn process(self) -> Result<Capture, Error> {
        match self {
            Opened::Process(capture) => Ok(*capture),
            Opened::Heap(HeapDump { path, format, .. }) => {
                Err(Error::Open { path, reason: format!("a heap dump ({format}); a dump of a process was expected") })
            }
        }
    }

    /// The file that was opened.
    pub fn path(&self) -> &Path {
        match self {
            Opened::Process(capture) => &capture.path,
            Opened::Heap(dump) => &dump.path,
        }
    }

    /// What is damaged or missing, to be added to.
    pub fn problems_mut(&mut self) -> &mut Vec<Problem> {
        match self {
            Opened::Process(capture) => &mut capture.problems,
            Opened::Heap(dump) => &mut dump.problems,
        }
    }
}
