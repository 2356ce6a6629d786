//! The exceptions of tasks, and whether anybody has looked at them.
//!
//! Specification: dotnet/runtime src/libraries/System.Private.CoreLib/src/System/Threading/Tasks/{Task,TaskExceptionHolder}.cs, of 8.0 to 10.0.

use super::work::Faulted;
use crate::model::{FailedWork, Known};
use crate::runtimes::coreclr::objects::Instance;
use crate::runtimes::coreclr::types::Types;

/// The failure of a task at which nobody has looked; `Ok(None)` where somebody has. Fails where that cannot be told.
pub(super) fn unseen(types: Types<'_>, faulted: &Faulted) -> Known<Option<FailedWork>> {
    let Some(holder) = holder(types, faulted)? else { return Ok(None) };
    if holder.u8("m_isHandled")? != 0 {
        return Ok(None);
    }
    let exception = first(&holder).ok().flatten();
    Ok(Some(FailedWork {
        address: faulted.address,
        type_name: exception.as_ref().and_then(|exception| exception.class.name.as_deref().ok().map(str::to_owned)),
        message: exception.as_ref().and_then(|exception| exception.text("_message").ok().flatten()),
        function: faulted.method.clone(),
    }))
}

fn holder<'a>(types: Types<'a>, faulted: &Faulted) -> Known<Option<Instance<'a>>> {
    let rest = types.object(faulted.address)?.reference("m_contingentProperties")?;
    rest.map_or(Ok(None), |rest| rest.reference("m_exceptionsHolder"))
}

/// The first of its exceptions.
fn first<'a>(holder: &Instance<'a>) -> Known<Option<Instance<'a>>> {
    let Some(list) = holder.reference("m_faultExceptions")? else { return Ok(None) };
    let Some(items) = list.reference("_items")? else { return Ok(None) };
    let Some(thrown) = items.types.referred(items.element(0)?)? else { return Ok(None) };
    thrown.reference("_exception")
}
