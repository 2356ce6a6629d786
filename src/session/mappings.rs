//! The mappings of the process: as the dump's own note lists them, whole and with what was in memory; else as its program headers do.

use std::collections::BTreeSet;

use super::Process;
use crate::capture::facts::MappingFacts;
use crate::capture::{Access, Region};
use crate::model::{Addr, MappingRow, Tid};

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
