//! Delegates: which methods they call, and on what.
//!
//! Input: a delegate. Output: its targets, of a multicast one each. Specification: dotnet/runtime docs/design/coreclr/botr (type loader), src/coreclr/vm/comdelegate.cpp
//! (the table before `COMDelegate::GetMethodDesc`): a method with an object is in `_methodPtr`; of one without, that is a stub which drops the first argument, and the
//! method is in `_methodPtrAux`.

use super::Instance;
use super::values::Values;
use crate::model::{Addr, Gap, Known};

/// Methods of one delegate that are told.
pub(super) const MAX_TARGETS: u32 = 256;

/// What a delegate calls.
#[derive(Clone, Debug)]
pub(super) struct Called {
    /// The method, where it could be told.
    pub(super) method: Known<std::sync::Arc<str>>,
    /// The object on which it is called; 0 for static methods.
    pub(super) on: Addr,
}

impl Values<'_> {
    /// What a delegate calls, in order, and how many more there are.
    pub(super) fn targets(&self, delegate: &Instance<'_>) -> Known<(Vec<Called>, u64)> {
        let count = match delegate.field("_invocationCount") {
            Ok(_) => delegate.u64("_invocationCount")?,
            Err(_) => 0,
        };
        let list = if count == 0 { None } else { delegate.reference("_invocationList")? };
        // Those of one method keep other things there: the loader of code that may be unloaded, an inner delegate.
        let Some(list) = list.filter(|list| list.name().ends_with("[]")) else {
            return Ok((vec![self.target(delegate)?], 0));
        };
        let (all, room) = (count.min(list.len()?.into()), list.len()?);
        let shown = room.min(MAX_TARGETS).min(u32::try_from(count).unwrap_or(u32::MAX));
        let mut found = Vec::new();
        for index in 0..shown {
            let one = self.types.referred(list.element(index)?)?;
            let one = one.ok_or_else(|| Gap::Corrupt(format!("a list of delegates at {}", list.at)))?;
            found.push(self.target(&one)?);
        }
        Ok((found, all.saturating_sub(shown.into())))
    }

    fn target(&self, delegate: &Instance<'_>) -> Known<Called> {
        let aux = delegate.address("_methodPtrAux")?;
        let (code, on) = match aux.0 {
            0 => (delegate.address("_methodPtr")?, delegate.address("_target")?),
            _ => (aux, Addr(0)),
        };
        Ok(Called { method: self.methods.name_of_entry(code), on })
    }

    /// `Shop.Program.OnClosed(System.Object)`, of several with how many more there are.
    pub(in crate::runtimes::coreclr) fn called(&self, delegate: &Instance<'_>) -> Known<String> {
        let (called, left_out) = self.targets(delegate)?;
        let first = called.first().map(|first| first.method.clone());
        let first = first.unwrap_or_else(|| Err(Gap::Corrupt("a delegate of no methods".to_owned())))?;
        let more = (called.len() as u64).saturating_sub(1).saturating_add(left_out);
        Ok(if more == 0 { first.to_string() } else { format!("{first} and {more} more") })
    }
}
