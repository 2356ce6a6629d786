//! Modules of the runtime: where each one's metadata is.
//!
//! Input: the address of a `Module`. Output: its [`Metadata`], read once for each. Specification of the image: Microsoft PE/COFF, "Optional
//! Header Data Directories"; ECMA-335 II.25.3.3 (CLI header).

use std::sync::Arc;

use super::clr::{Clr, plus};
use super::memo::Memo;
use super::metadata::Metadata;
use crate::model::{Addr, Gap, Known};

/// Most modules that are kept; a process has hundreds.
const MAX_MODULES: usize = 1 << 16;

/// The modules of a runtime.
pub(super) struct Modules {
    known: Memo<Addr, Known<Arc<Metadata>>>,
    all: Memo<(), Known<Arc<[Addr]>>>,
}

impl Default for Modules {
    fn default() -> Modules {
        Modules { known: Memo::of(MAX_MODULES), all: Memo::of(1) }
    }
}

impl Modules {
    /// A module's metadata.
    pub(super) fn metadata(&self, clr: &Clr, module: Addr) -> Known<Arc<Metadata>> {
        self.known.get(module, || read(clr, module).map(Arc::new))
    }

    /// Every module that was loaded.
    pub(super) fn all(&self, clr: &Clr) -> Known<Arc<[Addr]>> {
        self.all.get((), || loaded(clr).map(Arc::from))
    }
}

/// The modules of the list of assemblies.
fn loaded(clr: &Clr) -> Known<Vec<Addr>> {
    // Source: dotnet/runtime docs/design/datacontracts/Loader.md; src/coreclr/inc/arraylist.h: blocks of pointers, the first in the list itself.
    const MAX_BLOCKS: usize = 1 << 12;
    let list = clr.at(clr.global("AppDomain")?, "AppDomain", "DomainAssemblyList")?;
    let mut left = usize::try_from(clr.u32(list, "ArrayListBase", "Count")?).unwrap_or(0).min(MAX_MODULES);
    let mut block = clr.at(list, "ArrayListBase", "FirstBlock")?;
    let mut all = Vec::new();
    for _ in 0..MAX_BLOCKS {
        let size = usize::try_from(clr.u32(block, "ArrayListBlock", "Size")?).unwrap_or(0).min(left);
        let first = clr.at(block, "ArrayListBlock", "ArrayStart")?;
        for index in 0..size {
            let entry = clr.memory().ptr(plus(first, (index as u64).saturating_mul(8))?)?;
            // One that cannot be read leaves the others.
            all.extend(module_of(clr, entry).ok().filter(|module| module.0 != 0));
        }
        left = left.saturating_sub(size);
        block = clr.ptr(block, "ArrayListBlock", "Next")?;
        if block.0 == 0 || left == 0 {
            break;
        }
    }
    Ok(all)
}

fn module_of(clr: &Clr, entry: Addr) -> Known<Addr> {
    let assembly = clr.ptr(entry, "DomainAssembly", "Assembly")?;
    if assembly.0 == 0 { Ok(Addr(0)) } else { clr.ptr(assembly, "Assembly", "Module") }
}

fn read(clr: &Clr, module: Addr) -> Known<Metadata> {
    let memory = clr.memory();
    let base = base(clr, module)?;
    if base.0 == 0 {
        return Metadata::read(memory, emitted(clr, module)?);
    }
    [Placing::Mapped, Placing::Flat]
        .into_iter()
        .map(|placing| Metadata::read(memory, root(clr, base, placing)?))
        .reduce(Result::or)
        .unwrap_or_else(|| Err(Gap::Corrupt(format!("no image at {base}"))))
}

/// Where a module's image begins; 0 for one that was made at run time.
fn base(clr: &Clr, module: Addr) -> Known<Addr> {
    if let Ok(base) = clr.ptr(module, "Module", "Base") {
        return Ok(base);
    }
    // .NET 8 has no such member: its file leads there.
    let file = clr.ptr(module, "Module", "PEAssembly")?;
    let image = clr.ptr(file, "PEAssembly", "PEImage")?;
    if image.0 == 0 {
        return Ok(Addr(0));
    }
    let layout = clr.ptr(image, "PEImage", "LoadedImageLayout")?;
    clr.ptr(layout, "PEImageLayout", "Base")
}

/// The metadata of a module of Reflection.Emit, which the runtime keeps in memory of its own.
fn emitted(clr: &Clr, module: Addr) -> Known<Addr> {
    // .NET 8 has it in a buffer within the module.
    if clr.layout.offset("SBuffer", "Buffer").is_ok() {
        let buffer = clr.at(module, "Module", "DynamicMetadata")?;
        return clr.ptr(buffer, "SBuffer", "Buffer");
    }
    let kept = clr.ptr(module, "Module", "DynamicMetadata")?;
    clr.at(kept, "DynamicMetadata", "Data")
}

/// How an image lies in memory.
#[derive(Clone, Copy, PartialEq)]
enum Placing {
    /// Its sections where their addresses say.
    Mapped,
    /// As in its file.
    Flat,
}

/// The root of an image's metadata.
fn root(clr: &Clr, base: Addr, placing: Placing) -> Known<Addr> {
    // Sources: Microsoft PE/COFF: e_lfanew 0x3c; behind the signature the COFF header of 20 bytes with NumberOfSections 2,
    // SizeOfOptionalHeader 16; data directories at 96 (PE32) or 112 (PE32+) of the optional header, the 15th is the CLI header's.
    let memory = clr.memory();
    let not_one = || Gap::Corrupt(format!("no image of an assembly at {base}"));
    if memory.u16(base)? != 0x5a4d {
        return Err(not_one());
    }
    let header = plus(base, memory.u32(plus(base, 0x3c)?)?.into())?;
    if memory.u32(header)? != 0x4550 {
        return Err(not_one());
    }
    let coff = plus(header, 4)?;
    let optional = plus(coff, 20)?;
    let directories = match memory.u16(optional)? {
        0x10b => 96,
        0x20b => 112,
        _ => return Err(not_one()),
    };
    let rva = memory.u32(plus(optional, directories + 14 * 8)?)?;
    let place = |rva: u32| match placing {
        Placing::Mapped => plus(base, rva.into()),
        Placing::Flat => {
            let sections = plus(optional, memory.u16(plus(coff, 16)?)?.into())?;
            flat(clr, base, sections, memory.u16(plus(coff, 2)?)?, rva)
        }
    };
    let cli = place(rva)?;
    // Source: ECMA-335 II.25.3.3: Cb 0 (72), MetaData 8.
    if memory.u32(cli)? != 72 {
        return Err(not_one());
    }
    place(memory.u32(plus(cli, 8)?)?)
}

/// Where an address of an image is in its file.
fn flat(clr: &Clr, base: Addr, sections: Addr, count: u16, rva: u32) -> Known<Addr> {
    // Source: Microsoft PE/COFF, "Section Table": 40 bytes; VirtualSize 8, VirtualAddress 12, SizeOfRawData 16, PointerToRawData 20.
    const MAX_SECTIONS: u16 = 96;
    let memory = clr.memory();
    for index in 0..count.min(MAX_SECTIONS) {
        let section = plus(sections, u64::from(index).saturating_mul(40))?;
        let address = memory.u32(plus(section, 12)?)?;
        let size = memory.u32(plus(section, 16)?)?;
        if let Some(offset) = rva.checked_sub(address).filter(|offset| *offset < size) {
            let start = memory.u32(plus(section, 20)?)?;
            return plus(base, u64::from(start).saturating_add(offset.into()));
        }
    }
    Err(Gap::Corrupt(format!("address {rva:#x} is in no section of the image at {base}")))
}
