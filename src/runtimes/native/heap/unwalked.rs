//! An allocator that is there and whose books are not understood: it is named, and nothing of it is shown.

use std::ops::Range;

use super::allocator::{Allocator, Visit};
use crate::error::Error;
use crate::heap::Arena;
use crate::job::{Job, Meter};
use crate::model::{Addr, Problem, Subject};
use crate::target::{Module, Target};

/// The allocator of one or more modules.
pub(super) struct Unwalked {
    name: &'static str,
    problems: Vec<Problem>,
}

impl Unwalked {
    /// Says of each module why its heap cannot be walked.
    pub(super) fn of<'a>(name: &'static str, modules: impl IntoIterator<Item = (&'a Module, String)>) -> Unwalked {
        let problem = |(module, why): (&Module, String)| {
            let file = module.file_name().unwrap_or("the executable");
            let message = format!("the heap of {name} in {file} cannot be walked: {why}");
            Problem::new("heap-not-found", Subject::Module(module.mapped.base), message)
        };
        Unwalked { name, problems: modules.into_iter().map(problem).collect() }
    }
}

impl Allocator for Unwalked {
    fn name(&self) -> &'static str {
        self.name
    }

    fn parts(&self) -> usize {
        0
    }

    fn blocks(&self, _part: usize, _meter: &mut Meter<'_>, _visit: &mut Visit<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn memory(&self) -> Vec<Range<Addr>> {
        Vec::new()
    }

    fn arenas(&self, _job: &Job) -> Result<Vec<Arena>, Error> {
        Ok(Vec::new())
    }

    fn problems(&self) -> Vec<Problem> {
        self.problems.clone()
    }
}

/// Why nothing was found in a module's data.
pub(super) fn why(target: &Target, module: &Module) -> String {
    match super::reading::data(&target.memory, module).next() {
        Some(_) => "its books are of a version that is not known, or were never used".to_owned(),
        None => "the dump does not hold its data".to_owned(),
    }
}
