//! An allocator that is there and whose books are not understood: it is named, and nothing of it is shown.

use std::ops::Range;

use super::allocator::{Allocator, Visit, What};
use super::parts::Odd;
use super::reading::{Message, data, of_allocator, words};
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

    fn problems(&self, _what: &What<'_>) -> Vec<Problem> {
        self.problems.clone()
    }
}

/// The allocator of each module that has one of a name, by its file's name or a message that it holds; of those that cannot be walked why.
pub(super) fn or_walked<A: Allocator + 'static>(
    target: &Target,
    (name, message): (&'static str, Message),
    of_module: impl Fn(&Module) -> Result<Result<A, String>, Error>,
) -> Result<Vec<Box<dyn Allocator>>, Error> {
    let mut all: Vec<Box<dyn Allocator>> = Vec::new();
    let mut told: Vec<(&Module, String)> = Vec::new();
    for module in of_allocator(target, name, message) {
        match of_module(module)? {
            Ok(found) => all.push(Box::new(found)),
            Err(why) => told.push((module, why)),
        }
    }
    if !told.is_empty() {
        all.push(Box::new(Unwalked::of(name, told)));
    }
    Ok(all)
}

/// Why nothing was found in a module's data.
pub(super) fn why(target: &Target, module: &Module) -> String {
    let memory = &target.memory;
    let (base, end) = (module.mapped.base, module.mapped.end);
    let own = memory.regions().iter().filter(|region| region.access.write && region.start < end && base < region.end);
    let own = own.map(|region| (region.start.max(base), region.end.min(end)));
    let (held, all) = own.fold((0u64, 0u64), |(held, all), (from, to)| {
        let (more, of) = (memory.bytes_within(from, to), to.since(from).unwrap_or(0));
        (held.saturating_add(more), all.saturating_add(of))
    });
    if held == 0 {
        return "the dump does not hold its data".to_owned();
    }
    let mut lost = Odd::default();
    for (_, word) in
        data(memory, module).into_iter().flat_map(|(start, bytes)| words(start, bytes)).filter(|(_, word)| *word != 0)
    {
        let is_lost = memory.segment_at(Addr(word)).is_none()
            && memory.region_at(Addr(word)).is_some_and(|region| region.access.write);
        if is_lost {
            lost.add(word);
        }
    }
    let unknown = "of a version that is not known, or were never used";
    match lost.told("", |words, first| {
        format!("{words} words of its data lead to memory that it leaves out, the first to {first}")
    }) {
        Some(lost) => format!("its books are not in the dump ({}), {unknown}", lost.message),
        None if held < all => {
            format!("its books are not in the dump ({held} of {all} bytes of its data are), {unknown}")
        }
        None => format!("its books are {unknown}"),
    }
}
