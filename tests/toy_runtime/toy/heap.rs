//! The heap: objects one behind the other, each with its type and size in front.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dumpscope::error::Error;
use dumpscope::heap::{HeapObject, HeapSource, HeapType, Naming, Visit};
use dumpscope::job::Meter;
use dumpscope::model::{Addr, Known, Problem, Subject};
use dumpscope::target::Target;

use super::memory::at;

/// What the types are called; their numbers count from 1.
const TYPES: [&str; 2] = ["toy.Text", "toy.Number"];

pub(super) struct Objects {
    target: Arc<Target>,
    start: Addr,
    end: Addr,
    types: Vec<HeapType>,
    read: AtomicBool,
}

impl Objects {
    /// `table`: where the heap's first address and size stand.
    pub(super) fn read(target: &Arc<Target>, table: Addr) -> Known<Objects> {
        let start = target.memory.ptr(table)?;
        let end = at(start, target.memory.u64(at(table, 8)?)?)?;
        let types = (1u64..).zip(TYPES).map(|(id, name)| HeapType {
            id: Addr(id),
            name: name.to_owned(),
            naming: Naming::Recorded,
        });
        Ok(Objects { target: Arc::clone(target), start, end, types: types.collect(), read: AtomicBool::default() })
    }
}

impl HeapSource for Objects {
    fn name(&self) -> &str {
        "Toy"
    }

    fn types(&self) -> &[HeapType] {
        &self.types
    }

    fn parts(&self) -> usize {
        1
    }

    fn objects(&self, _: usize, meter: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<(), Error> {
        self.read.store(true, Ordering::Relaxed);
        let memory = &self.target.memory;
        let mut address = self.start;
        while address < self.end {
            meter.add(1)?;
            let (Ok(of_type), Ok(bytes)) = (memory.u32(address), memory.u32(Addr(address.0 + 4))) else { break };
            let Some(of_type) = (of_type as usize).checked_sub(1) else { break };
            visit(HeapObject { address, of_type, bytes: bytes.into() })?;
            match address.plus(bytes.into()) {
                Some(next) if next > address => address = next,
                _ => break,
            }
        }
        Ok(())
    }

    /// The runtime marks nothing that it has freed.
    fn problems(&self) -> Vec<Problem> {
        let told = self.read.load(Ordering::Relaxed);
        told.then(|| Problem::new("toy-heap", Subject::Capture, "freed objects are listed, too")).into_iter().collect()
    }
}
