//! The mappings of the process: as the dump's own note lists them, whole and with what was in memory; else as its program headers do.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::Process;
use crate::capture::facts::MappingFacts;
use crate::capture::{Access, Region};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, MappingKind, MappingRow, OwnMemory, Partial, Tid};

/// A mapping is a variable's that refers to one of so many bytes at its beginning.
const PAGE: u64 = 4096;

/// Memory of the process, by what it is used for.
pub struct Uses {
    /// Every mapping, ascending by address.
    pub mappings: Vec<MappingRow>,
    /// The same, each mapping cut where its use changes.
    pub parts: Vec<MemoryPart>,
}

/// A part of a mapping.
pub struct MemoryPart {
    /// Where the mapping begins.
    pub mapping: Addr,
    /// What it is used for.
    pub kind: MappingKind,
    /// Whose it is, where a runtime or an allocator tells.
    pub owner: Option<String>,
    /// Bytes of address space.
    pub bytes: u64,
    /// Bytes in memory, where that is known of the part.
    pub resident: Option<u64>,
    /// Bytes in the dump.
    pub dumped: u64,
}

/// What of a range is in a mapping.
fn within(row: &MappingRow, range: &Range<Addr>) -> Range<Addr> {
    range.start.max(row.start)..range.end.min(row.end)
}

fn bytes_of(range: &Range<Addr>) -> u64 {
    range.end.0.saturating_sub(range.start.0)
}

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
        // A program header without rights may be of what was not dumped: only what the kernel told of the mapping counts.
        } else if row.access.starts_with("---") && row.access.len() > 3 {
            MappingKind::Reserved
        } else if is_named(&["/dev/shm/", "/SYSV", "/memfd:", "/dev/zero"]) {
            MappingKind::Shared
        } else if is_named(&["/"]) {
            MappingKind::File
        } else if row.access.ends_with('s') {
            MappingKind::Shared
        } else if row.access.contains('x') {
            MappingKind::Code
        } else if is_named(&["[heap]"]) {
            MappingKind::Heap
        } else {
            MappingKind::Private
        }
    }

    /// The mappings with whose they are, and all memory by what it is used for. Looks for heaps, if they are not known. `variables`: of
    /// private memory it is looked for the variable of a module that refers to its beginning, too.
    pub fn memory(&self, variables: bool, job: &Job) -> Result<Partial<Uses>, Error> {
        let first = match self.heap(job) {
            Ok(heap) => Some(Arc::clone(&heap.source)),
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(_) => None,
        };
        let Partial { value: own, problems } = self.runtimes(job)?.own_memory(&self.target, first, job)?;
        let mut rows = self.mappings();
        let mut parts = Vec::new();
        for row in &mut rows {
            job.check()?;
            let first = own.partition_point(|own| own.range.end <= row.start);
            let inside: Vec<&OwnMemory> =
                own.get(first..).unwrap_or_default().iter().take_while(|own| own.range.start < row.end).collect();
            parts.extend(self.parts(row, &inside));
            if let Some(largest) = inside.iter().max_by_key(|own| bytes_of(&within(row, &own.range))) {
                row.kind = largest.kind;
                let mut owners: Vec<&str> = inside.iter().map(|own| own.owner.as_str()).collect();
                owners.sort_unstable();
                owners.dedup();
                row.owner = Some(owners.join(", "));
            }
        }
        if variables {
            self.find_variables(&mut rows, job)?;
        }
        Ok(Partial { value: Uses { mappings: rows, parts }, problems })
    }

    /// A mapping's parts: those of owners, which are in it at least in part and ascend, and what is left.
    fn parts(&self, row: &MappingRow, own: &[&OwnMemory]) -> Vec<MemoryPart> {
        let memory = &self.target.capture.memory;
        let part = |range: Range<Addr>, kind: MappingKind, owner: Option<&str>| {
            let bytes = bytes_of(&range);
            // Of which part the pages in memory are is told where all are, none is, or there is one part.
            let resident = row.resident.and_then(|resident| match resident {
                0 => Some(0),
                _ if bytes == row.bytes => Some(resident),
                _ if resident == row.bytes => Some(bytes),
                _ => None,
            });
            let dumped = memory.bytes_within(range.start, range.end);
            MemoryPart { mapping: row.start, kind, owner: owner.map(str::to_owned), bytes, resident, dumped }
        };
        let (mut all, mut at) = (Vec::new(), row.start);
        for own in own {
            let range = within(row, &own.range);
            if at < range.start {
                all.push(part(at..range.start, row.kind, None));
            }
            at = range.end;
            all.push(part(range, own.kind, Some(&own.owner)));
        }
        if at < row.end {
            all.push(part(at..row.end, row.kind, None));
        }
        all
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
