//! Every static field that refers to an object.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::named::{Static, Statics};
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::types::{Field, Held, Types};
use crate::runtimes::coreclr::unread::Unread;

/// Most classes without type arguments that are looked at.
const MAX_CLASSES: u32 = 1 << 20;

impl Types<'_> {
    /// Every static field that refers to an object, of all classes that the runtime has loaded. Read once.
    pub(in crate::runtimes::coreclr) fn all_statics(self) -> Known<Arc<[Static]>> {
        self.statics().map(|statics| Arc::clone(&statics.all))
    }

    /// The same, with why there may be more.
    pub(in crate::runtimes::coreclr) fn statics(self) -> Known<Arc<Statics>> {
        self.classes.statics.get((), || {
            let (tables, unread) = self.loaded()?;
            let (mut all, mut unread) = (Vec::new(), unread);
            for table in tables {
                if let Err(gap) = self.add_statics(table, &mut all) {
                    unread.add(&gap);
                }
            }
            Ok(Arc::new(Statics::of(all, unread)))
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

    /// The classes that the runtime has loaded, as far as they can be read, and what cannot.
    fn loaded(self) -> Known<(Vec<Addr>, Unread)> {
        let (mut all, mut unread) = (Vec::new(), Unread::default());
        let mut left = MAX_CLASSES;
        let modules = self.modules.all(self.clr)?;
        unread.extend(modules.unread.as_ref());
        for module in &modules.modules {
            let metadata = match self.modules.metadata(self.clr, *module) {
                Ok(metadata) => metadata,
                Err(gap) => {
                    unread.add(&gap);
                    continue;
                }
            };
            if metadata.types() > left {
                unread.add(&Gap::Unsupported(format!("more than {MAX_CLASSES} classes")));
            }
            let types = metadata.types().min(left);
            left = left.saturating_sub(types);
            for rid in 1..=types {
                match self.defined(*module, rid) {
                    Ok(table) => all.extend(table),
                    Err(gap) => unread.add(&gap),
                }
            }
        }
        let instantiated = self.all_instantiated()?;
        unread.extend(instantiated.unread());
        all.extend(instantiated.all());
        Ok((all, unread))
    }

    /// Adds those of one class; fails where one of them cannot be read, the others are added all the same.
    fn add_statics(self, table: Addr, all: &mut Vec<Static>) -> Known<()> {
        let (class, fields) = (self.class(table)?, self.fields(table)?);
        let name = class.name.as_ref().map_err(Gap::clone)?;
        let is_one = |field: &&Field| field.held == Held::Class && field.is_collected();
        let is_unloadable = self.loader(table).is_ok_and(|loader| loader.is_some());
        let mut first = Ok(());
        for field in fields.iter().filter(is_one) {
            let read = self.static_slot(table, field).and_then(|slot| match slot {
                Some(slot) => Ok(Some((slot, self.clr.memory().ptr(slot)?))),
                None => Ok(None),
            });
            match read {
                Ok(Some((slot, to))) if to.0 != 0 => {
                    all.push(Static { name: format!("{name}.{}", field.name).into(), slot, is_unloadable, to });
                }
                Ok(_) => {}
                Err(gap) => first = first.and(Err(gap)),
            }
        }
        first
    }
}
