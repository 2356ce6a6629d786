//! What is attached to objects while they live: `ConditionalWeakTable`. Source: dotnet/runtime
//! src/coreclr/System.Private.CoreLib and src/libraries/System.Private.CoreLib/src/System/Runtime/CompilerServices/ConditionalWeakTable.cs, DependentHandle.cs.

use super::linear::at_most;
use crate::model::{Addr, Known};
use crate::runtimes::coreclr::clr::Clr;
use crate::runtimes::coreclr::objects::Instance;
use crate::runtimes::coreclr::objects::elements::{Elements, Rule, keyed};
use crate::runtimes::coreclr::objects::values::Values;
use crate::runtimes::coreclr::roots::dependent;

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
    match dependent(clr.memory(), handle) {
        Ok(to) => values.reference(to, 0),
        Err(gap) => crate::runtimes::coreclr::objects::values::unknown(gap),
    }
}
