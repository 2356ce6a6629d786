//! What keeps a class that can be unloaded: the object that stands for its loader.

use super::Types;
use super::described::Loader;
use crate::model::{Addr, Gap, Known};

/// Of MTFlags: the class can be unloaded. Source: methodtable.h, enum_flag_Collectible, of 8.0, and of 9.0 and 10.0.
const COLLECTIBLE_8: u32 = 0x1000_0000;
const COLLECTIBLE: u32 = 0x0020_0000;

impl Types<'_> {
    /// What keeps a class; `Ok(None)` for one that cannot be unloaded. Each object of the class refers to it, as the collector sees it.
    pub(in crate::runtimes::coreclr) fn loader(self, table: Addr) -> Known<Option<Loader>> {
        self.classes.keepers.get(table, || self.read_loader(table))
    }

    fn read_loader(self, table: Addr) -> Known<Option<Loader>> {
        let clr = self.clr;
        // .NET 8 has the module in the class itself.
        let is_later = clr.layout.offset("MethodTableAuxiliaryData", "LoaderModule").is_ok();
        let flag = if is_later { COLLECTIBLE } else { COLLECTIBLE_8 };
        if clr.u32(table, "MethodTable", "MTFlags")? & flag == 0 {
            return Ok(None);
        }
        let module = match is_later {
            true => {
                let auxiliary = clr.ptr(table, "MethodTable", "AuxiliaryData")?;
                clr.ptr(auxiliary, "MethodTableAuxiliaryData", "LoaderModule")?
            }
            false => self.module(table)?,
        };
        let loader = clr.ptr(module, "Module", "LoaderAllocator")?;
        let handle = clr.ptr(loader, "LoaderAllocator", "ObjectHandle")?;
        if handle.0 == 0 {
            return Ok(None);
        }
        let object = clr.memory().ptr(handle)?;
        // The place of the handle is measured, and no description tells it.
        if object.0 != 0 && self.of_object(object).as_deref() != Ok("System.Reflection.LoaderAllocator") {
            return Err(Gap::NoLayout("LoaderAllocator.ObjectHandle of this version of .NET".to_owned()));
        }
        Ok((object.0 != 0).then_some(Loader { handle, object }))
    }
}
