//! Threads that refer to given objects from their stacks or registers: those that wait for what the object stands for.
//!
//! Input: threads, and addresses of objects. Output: for each object the threads. A word that equals an object's address counts as
//! a reference, above the stack pointer only: who waits for an object that was made for the wait has it in a frame.

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::capture::Memory;
use crate::model::{Addr, OsThread, Tid};

/// Most bytes of a stack that are looked at.
const MAX_STACK: u64 = 8 << 20;

/// The threads by the objects that they refer to, in the order of threads.
pub(in crate::runtimes::coreclr) fn on_stacks(
    memory: &Memory,
    threads: &[OsThread],
    objects: &FxHashSet<Addr>,
) -> FxHashMap<Addr, Vec<Tid>> {
    let mut found: FxHashMap<Addr, Vec<Tid>> = FxHashMap::default();
    if objects.is_empty() {
        return found;
    }
    let mut starts: Vec<Addr> = threads.iter().filter_map(stack_pointer).collect();
    starts.sort_unstable();
    let of_each = threads.par_iter().map(|thread| (thread.tid, of_thread(memory, thread, &starts, objects)));
    let of_each: Vec<(Tid, FxHashSet<Addr>)> = of_each.collect();
    for (tid, objects) in of_each {
        for object in objects {
            found.entry(object).or_default().push(tid);
        }
    }
    found
}

fn stack_pointer(thread: &OsThread) -> Option<Addr> {
    let sp = thread.registers.as_ref().ok()?.sp()?;
    Some(Addr(sp.0 & !7))
}

/// `starts`: the stack pointers of all threads, ascending: a stack ends before another begins.
fn of_thread(memory: &Memory, thread: &OsThread, starts: &[Addr], objects: &FxHashSet<Addr>) -> FxHashSet<Addr> {
    let Ok(registers) = &thread.registers else { return FxHashSet::default() };
    let held = registers.iter().filter_map(|(_, value)| value.map(Addr));
    let mut found: FxHashSet<Addr> = held.filter(|word| objects.contains(word)).collect();
    let Some(sp) = stack_pointer(thread) else { return found };
    let next = starts.get(starts.partition_point(|start| *start <= sp)).and_then(|next| next.since(sp));
    if let Ok(stack) = memory.slice_up_to(sp, next.unwrap_or(MAX_STACK).min(MAX_STACK)) {
        found.extend(memory.pointers(stack).filter(|word| objects.contains(word)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Arch, Registers};

    fn thread(tid: u32, sp: u64) -> OsThread {
        let mut registers = Registers::unknown(Arch::X86_64);
        registers.set(Arch::X86_64.stack_pointer(), sp);
        OsThread {
            tid: Tid(tid),
            registers: Ok(registers),
            thread_pointer: Ok(Addr(0)),
            syscall: None,
            signal: 0,
            name: None,
            crashed: false,
        }
    }

    #[test]
    fn words_above_the_stack_pointer_count() {
        // Two stacks in one mapping: that of thread 1 from 0x7010, that of thread 2 from 0x7020; what is below is left over.
        let memory = Memory::of(0x7000, &[0xa0, 0, 0xb0, 1, 0xc0, 0]);
        let wanted = [Addr(0xa0), Addr(0xb0), Addr(0xc0)].into_iter().collect();
        let found = on_stacks(&memory, &[thread(1, 0x7010), thread(2, 0x7020), thread(3, 0x9000)], &wanted);
        assert_eq!(found.get(&Addr(0xa0)), None);
        assert_eq!(found.get(&Addr(0xb0)), Some(&vec![Tid(1)]));
        assert_eq!(found.get(&Addr(0xc0)), Some(&vec![Tid(2)]));
    }
}
