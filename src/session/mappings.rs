//! The mappings of the process: as the dump's own note lists them, whole and with what was in memory; else as its program headers do.

use std::collections::BTreeSet;
use std::ops::Range;

use super::Process;
use crate::capture::facts::MappingFacts;
use crate::capture::{Access, Region};
use crate::model::{Addr, MappingKind, MappingRow, Tid};

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
