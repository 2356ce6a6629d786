//! What is attached to objects while they live: `ConditionalWeakTable`. Source: dotnet/runtime
//! src/coreclr/System.Private.CoreLib and src/libraries/System.Private.CoreLib/src/System/Runtime/CompilerServices/ConditionalWeakTable.cs, DependentHandle.cs.

use super::linear::at_most;
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::{Clr, plus};
use crate::runtimes::coreclr::objects::Instance;
use crate::runtimes::coreclr::objects::elements::{Elements, Rule, keyed};
use crate::runtimes::coreclr::objects::values::Values;

pub(super) const RULES: &[(&str, Rule)] = &[("System.Runtime.CompilerServices.ConditionalWeakTable", table)];

/// Entries whose key has gone are left out.
fn table(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements) -> Known<()> {
    let Some(container) = object.reference("_container")? else { return Ok(()) };
    let used = u64::from(container.u32("_firstFreeEntry")?);
    let Some(entries) = container.reference("_entries")? else { return Ok(()) };
    let clr = object.types.clr;
    for index in 0..at_most(used, &entries)? {
        let handle = entries.structure(index)?.inner("depHnd")?.address("_handle")?;
        if handle.0 == 0 {
            continue;
        }
        let key = clr.memory().ptr(handle)?;
        if key.0 != 0 && !to.add(values, || keyed(values.reference(key, 0), value(values, clr, handle))) {
            break;
        }
    }
    Ok(())
}

fn value(values: &Values<'_>, clr: &Clr, handle: Addr) -> crate::model::Value {
    match dependent(clr, handle) {
        Ok(to) => values.reference(to, 0),
        Err(gap) => crate::runtimes::coreclr::objects::values::unknown(gap),
    }
}

/// What a handle keeps alive as long as what it refers to lives.
fn dependent(clr: &Clr, handle: Addr) -> Known<Addr> {
    // Source: dotnet/runtime src/coreclr/gc/handletablepriv.h, _TableSegmentHeader, and handletablecore.cpp, HandleQuickFetchUserDataPointer: tables are of
    // 64 KiB, with a header of 4 KiB and 120 blocks of 64 handles. The header has, of each block, its generations in 4 bytes, the next block of its kind
    // in 1, masks of free handles in 8, its kind in 1, and in 1 which block has what belongs to its handles.
    const TABLE: u64 = 0x1_0000;
    const HEADER: u64 = 0x1000;
    const BLOCKS: u64 = 120;
    const IN_BLOCK: u64 = 64;
    const OWNED_BY: u64 = BLOCKS * (4 + 1 + 8 + 1);
    let start = Addr(handle.0 & !(TABLE - 1));
    let damaged = || Gap::Corrupt(format!("a handle at {handle}"));
    let place = (handle.0 & (TABLE - 1)).checked_sub(HEADER).ok_or_else(damaged)? / 8;
    let block = clr.memory().u8(plus(start, OWNED_BY + place / IN_BLOCK)?)?;
    if u64::from(block) >= BLOCKS {
        return Err(damaged());
    }
    let slot = u64::from(block) * IN_BLOCK + place % IN_BLOCK;
    Ok(clr.memory().ptr(plus(start, HEADER + slot * 8)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Memory;

    #[test]
    fn what_belongs_to_a_handle_is_in_the_block_that_the_header_names() {
        // A table at 0x20000: what belongs to handles of block 1 is in block 3.
        let mut words = vec![0; 0x1_0000 / 8];
        words[0x690 / 8] = 0x03 << 8;
        words[0x1000 / 8 + 3 * 64 + 5] = 0x7777;
        let clr = Clr::by_hand(10, Memory::of(0x2_0000, &words), &[]);
        assert_eq!(dependent(&clr, Addr(0x2_1000 + (64 + 5) * 8)), Ok(Addr(0x7777)));
        assert_eq!(dependent(&clr, Addr(0x2_1000 + 5 * 8)), Ok(Addr(0)));
        assert!(dependent(&clr, Addr(0x2_0ff8)).is_err());
    }
}
