//! Every static field that refers to an object.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::named::Static;
use crate::model::{Addr, Known};
use crate::runtimes::coreclr::types::{Field, Held, Types};

/// Most classes without type arguments that are looked at.
const MAX_CLASSES: u32 = 1 << 20;

impl Types<'_> {
    /// Every static field that refers to an object, of all classes that the runtime has loaded. Read once.
    pub(in crate::runtimes::coreclr) fn all_statics(self) -> Known<Arc<[Static]>> {
        self.classes.statics.get((), || {
            let mut all = Vec::new();
            for table in self.loaded()? {
                self.add_statics(table, &mut all);
            }
            Ok(Arc::from(all))
        })
    }

    /// The static field that refers to an object, `Shop.Program.s_orders`.
    pub(in crate::runtimes::coreclr) fn static_to(self, object: Addr) -> Option<Arc<str>> {
        let by_object = self.classes.static_to.get((), || {
            let mut by_object = FxHashMap::default();
            for known in self.all_statics().iter().flat_map(|all| all.iter()) {
                by_object.entry(known.to).or_insert_with(|| Arc::clone(&known.name));
            }
            Arc::new(by_object)
        });
        by_object.get(&object).map(Arc::clone)
    }

    /// The classes that the runtime has loaded, as far as they can be read.
    pub(in crate::runtimes::coreclr) fn loaded(self) -> Known<Vec<Addr>> {
        let mut all = Vec::new();
        let mut left = MAX_CLASSES;
        for module in &self.modules.all(self.clr)?.modules {
            let Ok(metadata) = self.modules.metadata(self.clr, *module) else { continue };
            let types = metadata.types().min(left);
            left = left.saturating_sub(types);
            all.extend((1..=types).filter_map(|rid| self.defined(*module, rid).ok().flatten()));
        }
        all.extend(self.all_instantiated()?.all());
        Ok(all)
    }

    fn add_statics(self, table: Addr, all: &mut Vec<Static>) {
        // A class that cannot be read leaves the others.
        let (Ok(class), Ok(fields)) = (self.class(table), self.fields(table)) else { return };
        let Ok(name) = &class.name else { return };
        let is_one = |field: &&Field| field.held == Held::Class && field.is_collected();
        for field in fields.iter().filter(is_one) {
            let Ok(Some(slot)) = self.static_slot(table, field) else { continue };
            if let Ok(to) = self.clr.memory().ptr(slot)
                && to.0 != 0
            {
                all.push(Static { name: format!("{name}.{}", field.name).into(), slot, to });
            }
        }
    }
}
