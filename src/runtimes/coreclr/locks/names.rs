//! What objects are called: by the static field that refers to them, else by their type.
//!
//! Input: objects. Output: `Shop.Program.s_ledger`; of an object that no static field refers to `Shop.Ledger 0x7f…`, unless its type says
//! nothing.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::kinds;
use crate::model::{Addr, LockKind};
use crate::runtimes::coreclr::objects::{Instance, property};
use crate::runtimes::coreclr::tasks::method_of;
use crate::runtimes::coreclr::types::{Field, Held, Types};

/// The element type of references. Source: ECMA-335 II.23.1.16, ELEMENT_TYPE_CLASS, which the runtime writes for each.
const REFERENCE: u8 = 0x12;

/// Names of objects.
#[derive(Clone, Debug, Default)]
pub(in crate::runtimes::coreclr) struct Names {
    known: FxHashMap<Addr, String>,
    /// Those of them that a static field refers to, or a field of what one refers to.
    by_static: FxHashSet<Addr>,
}

impl Names {
    /// Looks for the objects in static fields; of several those of the program go before those of .NET.
    pub(in crate::runtimes::coreclr) fn find(types: Types<'_>, wanted: &FxHashSet<Addr>) -> Names {
        let mut names = Names::default();
        // Where statics cannot be read, objects have the names of their types.
        let statics = if wanted.is_empty() { None } else { types.all_statics().ok() };
        for known in statics.iter().flat_map(|all| all.iter()).filter(|known| wanted.contains(&known.to)) {
            let name = names.known.entry(known.to).or_insert_with(|| known.name.to_string());
            if is_of_framework(name) && !is_of_framework(&known.name) {
                *name = known.name.to_string();
            }
        }
        names.add_fields_of_statics(types, wanted);
        names.known.values_mut().for_each(|name| *name = plain(name));
        names.by_static = names.known.keys().copied().collect();
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

    /// Fields of objects that static fields of the program refer to: `Shop.Program.s_shop.gate`.
    fn add_fields_of_statics(&mut self, types: Types<'_>, wanted: &FxHashSet<Addr>) {
        if wanted.iter().all(|object| self.known.contains_key(object)) {
            return;
        }
        let statics = types.all_statics().ok();
        for known in statics.iter().flat_map(|all| all.iter()).filter(|known| !is_of_framework(&known.name)) {
            let Ok(object) = types.object(known.to) else { continue };
            for (field, to) in references(&object).into_iter().filter(|(_, to)| wanted.contains(to)) {
                let field = property(&field).unwrap_or(&field);
                self.known.entry(to).or_insert_with(|| format!("{}.{field}", plain(&known.name)));
            }
        }
    }

    /// The name of an array of handles: of which some or all are waited for.
    pub(in crate::runtimes::coreclr) fn add_handles(&mut self, array: Addr, handles: &[Addr]) {
        /// Handles that are named.
        const NAMED: usize = 4;
        let mut names: Vec<String> =
            handles.iter().take(NAMED).map(|at| self.of(*at).map_or_else(|| at.to_string(), str::to_owned)).collect();
        if handles.len() > NAMED {
            names.push("…".to_owned());
        }
        if !names.is_empty() {
            self.known.insert(array, names.join(", "));
        }
    }

    /// The names of what is no object of a heap: classes, and of threads what the program called them.
    pub(in crate::runtimes::coreclr) fn add_class_or_thread(
        &mut self,
        types: Types<'_>,
        kind: LockKind,
        address: Addr,
    ) {
        let name = match kind {
            kinds::STATIC_CONSTRUCTOR => types.of_table(address).ok(),
            kinds::TASK => method(types, address),
            kinds::TASKS => types.object(address).and_then(|event| event.u32("_count")).ok().map(tasks),
            kinds::JOIN => types.object(address).and_then(|thread| thread.text("_name")).ok().flatten(),
            _ => None,
        };
        if let Some(name) = name.filter(|_| !self.by_static.contains(&address)) {
            self.known.insert(address, name);
        }
    }

    /// What an object is called; `None` where nothing names it.
    pub(in crate::runtimes::coreclr) fn of(&self, object: Addr) -> Option<&str> {
        self.known.get(&object).map(String::as_str)
    }
}

/// `Shop.Orders.Take 0x7f…` of the task that an asynchronous method has made.
fn method(types: Types<'_>, task: Addr) -> Option<String> {
    let name = types.of_object(task).ok()?;
    let (_, machine) = name.split_once("StateMachineBox<")?;
    Some(format!("{} {task}", method_of(machine.strip_suffix('>')?)?))
}

fn tasks(count: u32) -> String {
    if count == 1 { "1 task that has not ended".to_owned() } else { format!("{count} tasks that have not ended") }
}

/// The fields of an object that refer to others, by their names.
pub(super) fn references(object: &Instance<'_>) -> Vec<(Arc<str>, Addr)> {
    let Ok(fields) = object.types.fields(object.class.table) else { return Vec::new() };
    let is_reference = |field: &&Field| field.held == Held::Object && field.element == REFERENCE;
    let to = |field: &Field| object.types.clr.memory().ptr(object.place_of(field).ok()?).ok();
    let held = fields.iter().filter(is_reference).filter_map(|field| Some((Arc::clone(&field.name), to(field)?)));
    held.filter(|(_, to)| to.0 != 0).collect()
}

/// Whether a static field is one of .NET's own.
pub(super) fn is_of_framework(name: &str) -> bool {
    name.starts_with("System.") || name.starts_with("Microsoft.") || name.starts_with("Interop")
}

/// The name of the property that a field of the compiler's stands for: `Shop.Shared` of `Shop.<Shared>k__BackingField`.
fn plain(name: &str) -> String {
    let property = || {
        let (class, field) = name.rsplit_once('.')?;
        Some(format!("{class}.{}", property(field)?))
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
