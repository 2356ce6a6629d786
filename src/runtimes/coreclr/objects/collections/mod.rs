//! Collections as what they contain.
//!
//! Input: an object of a well-known collection of .NET 8 to 10. Output: its elements, those of dictionaries under their keys. Every rule names fields as the
//! sources of the class do (dotnet/runtime src/libraries/System.Private.CoreLib/src/System/Collections, System.Collections*/src); offsets come from the
//! metadata of the dump.

mod attached;
mod concurrent;
mod frozen;
mod hashed;
mod linear;
mod trees;

use super::counts::KEEPERS;
use super::elements::{Elements, Rule};
use super::values::Values;
use super::{Instance, Window};
use crate::model::{Gap, Value};
use crate::runtimes::coreclr::types::ClassKind;

/// Classes and structures, with what is known of them. A class that derives from one is it, too.
const RULES: &[&[(&str, Rule)]] =
    &[linear::RULES, hashed::RULES, trees::RULES, concurrent::RULES, frozen::RULES, attached::RULES];
/// Collections that keep one another, at most.
const MAX_KEPT: usize = 8;

impl Values<'_> {
    /// What an array or a collection contains; `None` for other objects.
    pub(in crate::runtimes::coreclr) fn contained(&self, object: &Instance<'_>, window: Window) -> Option<Value> {
        let mut kept = object.clone();
        for _ in 0..MAX_KEPT {
            let lineage = kept.lineage();
            let known = |name: &&str| lineage.iter().any(|own| &**own == *name);
            if let Some((_, field)) = KEEPERS.iter().find(|(name, _)| known(name)) {
                match kept.reference(field) {
                    Ok(Some(next)) => kept = next,
                    // What another version keeps otherwise is told by its fields.
                    Ok(None) | Err(Gap::NoLayout(_)) => return None,
                    Err(gap) => return Some(Value { ty: None, location: Some(kept.at), content: Err(gap) }),
                }
                continue;
            }
            let rule: Rule = match kept.class.kind {
                ClassKind::Array { .. } => |values, array, to| values.array(array, to),
                _ => RULES.iter().copied().flatten().find(|(name, _)| known(name))?.1,
            };
            let mut elements = Elements::of(window, kept.count().and_then(Result::ok));
            let read = rule(self, &kept, &mut elements);
            return Some(Value { ty: None, location: Some(kept.at), content: elements.end(read) });
        }
        None
    }
}
