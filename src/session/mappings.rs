//! The mappings of the process: as the dump's own note lists them, whole and with what was in memory; else as its program headers do.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::Process;
use crate::capture::facts::MappingFacts;
use crate::capture::{Access, Region};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, MappingKind, MappingRow, Tid};

/// A mapping is a variable's that refers to one of so many bytes at its beginning.
const PAGE: u64 = 4096;

impl Process {
    /// Every mapping that the dump lists, with what is known of its pages; ascending by address.
    pub fn mappings(&self) -> Vec<MappingRow> {
        let capture = &self.target.capture;
        let recorded = capture.facts.as_deref().map(|facts| facts.mappings.as_slice()).unwrap_or_default();
        let mut rows: Vec<MappingRow> = match recorded {
            [] => capture.memory.regions().iter().map(of_region).collect(),
            recorded => recorded.iter().filter(|facts| facts.start < facts.end).map(of_facts).collect(),
        };
        let pointers = self.os_threads().iter().filter_map(|thread| {
            let sp = thread.registers.as_ref().ok()?.sp()?;
            Some((sp, thread.tid))
        });
        let pointers: BTreeSet<(Addr, Tid)> = pointers.collect();
        rows.sort_by_key(|row| row.start);
        for row in &mut rows {
            row.bytes = row.end.0.saturating_sub(row.start.0);
            row.dumped = capture.memory.bytes_within(row.start, row.end);
            row.stacks = pointers.range((row.start, Tid(0))..(row.end, Tid(0))).map(|(_, tid)| *tid).collect();
            if row.path.is_none() {
                row.path = self.target.module_at(row.start).and_then(|module| module.mapped.path.clone());
            }
            row.kind = self.kind(row);
        }
        rows
    }

    /// What a mapping is used for, as far as that is told without looking at a heap.
    fn kind(&self, row: &MappingRow) -> MappingKind {
        let is_named = |prefixes: &[&str]| {
            let path = row.path.as_deref().unwrap_or_default();
            prefixes.iter().any(|prefix| path.starts_with(prefix))
        };
        // The half of the address space that is the kernel's: the page of x86-64's old system calls.
        let is_of_kernel = is_named(&["[vdso]", "[vvar", "[vsyscall]"]) || row.start.0 >> 63 == 1;
        if !row.stacks.is_empty() || is_named(&["[stack"]) {
            MappingKind::Stack
        } else if self.target.module_at(row.start).is_some() || is_of_kernel {
            if row.access.contains('w') { MappingKind::ModuleData } else { MappingKind::Module }
        } else if is_named(&["/dev/shm/", "/SYSV", "/memfd:", "/dev/zero"]) || row.access.ends_with('s') {
            MappingKind::Shared
        } else if is_named(&["/"]) {
            MappingKind::File
        } else if row.access.contains('x') {
            MappingKind::Code
        } else if is_named(&["[heap]"]) {
            MappingKind::Heap
        } else {
            MappingKind::Private
        }
    }

    /// The mappings, those told as a heap's that hold memory of the heap whose objects can be listed: `own`, ascending.
    pub fn mappings_with_heap(&self, own: &[Range<Addr>]) -> Vec<MappingRow> {
        let mut rows = self.mappings();
        for row in &mut rows {
            let first = own.partition_point(|own| own.end <= row.start);
            if own.get(first).is_some_and(|own| own.start < row.end) {
                row.kind = MappingKind::Heap;
            }
        }
        rows
    }

    /// The same with whose they are: of a heap's memory, `own`, ascending, the allocator; of private memory the variable of a module
    /// that refers to its beginning.
    pub fn mappings_with_owners(&self, own: &[(Range<Addr>, &str)], job: &Job) -> Result<Vec<MappingRow>, Error> {
        let ranges: Vec<Range<Addr>> = own.iter().map(|(range, _)| range.clone()).collect();
        let mut rows = self.mappings_with_heap(&ranges);
        for row in rows.iter_mut().filter(|row| row.kind == MappingKind::Heap) {
            let first = own.partition_point(|(own, _)| own.end <= row.start);
            let inside = own.get(first..).unwrap_or_default().iter().take_while(|(own, _)| own.start < row.end);
            let mut names: Vec<&str> = inside.map(|(_, name)| *name).collect();
            names.dedup();
            row.owner = Some(names.join(", ")).filter(|names| !names.is_empty());
        }
        self.find_variables(&mut rows, job)?;
        Ok(rows)
    }

    /// Tells of private memory which variable refers to its first page: the first one to the lowest address.
    fn find_variables(&self, rows: &mut [MappingRow], job: &Job) -> Result<(), Error> {
        let memory = &self.target.memory;
        let mut found: BTreeMap<usize, (Addr, Addr)> = BTreeMap::new();
        let data: Vec<Range<Addr>> =
            rows.iter().filter(|row| row.kind == MappingKind::ModuleData).map(|row| row.start..row.end).collect();
        for range in data {
            job.check()?;
            let mut at = range.start;
            while let Ok(bytes) = memory.slice_up_to(at, range.end.since(at).unwrap_or(0)) {
                let mut place = at;
                for word in memory.pointers(bytes) {
                    let row = rows.partition_point(|row| row.start <= word).checked_sub(1);
                    let of = row.and_then(|row| Some((row, rows.get(row)?)));
                    if let Some((row, _)) = of.filter(|(_, of)| {
                        of.kind == MappingKind::Private && word.since(of.start).is_some_and(|offset| offset < PAGE)
                    }) {
                        let known = found.entry(row).or_insert((word, place));
                        *known = (*known).min((word, place));
                    }
                    place = Addr(place.0.saturating_add(self.target.arch().pointer_size()));
                }
                let Some(next) = at.plus(bytes.len() as u64).filter(|next| *next < range.end && *next > at) else {
                    break;
                };
                at = next;
            }
        }
        for (row, (_, place)) in found {
            let name = self.symbol_at(place).or_else(|| {
                let module = self.target.module_at(place)?;
                Some(format!("a variable of {}", module.file_name()?))
            });
            if let (Some(row), Some(name)) = (rows.get_mut(row), name) {
                row.owner = Some(name);
            }
        }
        Ok(())
    }
}

fn of_region(region: &Region) -> MappingRow {
    let Access { read, write, execute } = region.access;
    let rights = [(read, 'r'), (write, 'w'), (execute, 'x')];
    let access = rights.iter().map(|(has, letter)| if *has { *letter } else { '-' }).collect();
    MappingRow { start: region.start, end: region.end, access, ..MappingRow::default() }
}

fn of_facts(facts: &MappingFacts) -> MappingRow {
    MappingRow {
        start: Addr(facts.start),
        end: Addr(facts.end),
        access: facts.access.clone(),
        path: Some(facts.path.clone()).filter(|path| !path.is_empty()),
        resident: facts.resident,
        anonymous: facts.anonymous,
        swapped: facts.swapped,
        ..MappingRow::default()
    }
}
