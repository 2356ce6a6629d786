//! What objects are called: by the static field that refers to them, else by their type.
//!
//! Input: objects. Output: `Shop.Program.s_ledger`; of an object that no static field refers to `Shop.Ledger 0x7f…`, unless its type says
//! nothing.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::model::Addr;
use crate::runtimes::coreclr::types::Types;

/// Names of objects.
#[derive(Clone, Debug, Default)]
pub(in crate::runtimes::coreclr) struct Names {
    known: FxHashMap<Addr, String>,
}

impl Names {
    /// Looks for the objects in static fields; of several those of the program go before those of .NET.
    pub(in crate::runtimes::coreclr) fn find(types: Types<'_>, wanted: &FxHashSet<Addr>) -> Names {
        let mut names = Names::default();
        // Where statics cannot be read, objects have the names of their types.
        let statics = if wanted.is_empty() { None } else { types.all_statics().ok() };
        let of_framework = |name: &str| name.starts_with("System.") || name.starts_with("Microsoft.");
        for known in statics.iter().flat_map(|all| all.iter()).filter(|known| wanted.contains(&known.to)) {
            let name = names.known.entry(known.to).or_insert_with(|| known.name.to_string());
            if of_framework(name) && !of_framework(&known.name) {
                *name = known.name.to_string();
            }
        }
        names.known.values_mut().for_each(|name| *name = plain(name));
        for object in wanted.iter().filter(|object| object.0 != 0) {
            if !names.known.contains_key(object)
                && let Ok(name) = types.of_object(*object)
                && name != "System.Object"
            {
                names.known.insert(*object, format!("{name} {object}"));
            }
        }
        names
    }

    /// What an object is called; `None` where nothing names it.
    pub(in crate::runtimes::coreclr) fn of(&self, object: Addr) -> Option<&str> {
        self.known.get(&object).map(String::as_str)
    }
}

/// The name of the property that a field of the compiler's stands for: `Shop.Shared` of `Shop.<Shared>k__BackingField`.
fn plain(name: &str) -> String {
    let property = || {
        let (class, field) = name.rsplit_once(".<")?;
        Some(format!("{class}.{}", field.strip_suffix(">k__BackingField")?))
    };
    property().unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn a_field_that_the_compiler_made_has_its_propertys_name() {
        assert_eq!(plain("Shop.<Shared>k__BackingField"), "Shop.Shared");
        assert_eq!(plain("Shop.s_ledger"), "Shop.s_ledger");
        assert_eq!(plain("Shop.Box<Shop.Name>.s_one"), "Shop.Box<Shop.Name>.s_one");
    }
}
