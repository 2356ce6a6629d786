//! Modules of the runtime: where each one's image is, and its metadata.
//!
//! Input: the address of a `Module`. Output: its [`Metadata`], read once for each, and the path of its file.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::clr::{Clr, plus};
use super::image::{Image, Placing};
use super::memo::Memo;
use super::metadata::Metadata;
use crate::model::{Addr, Gap, Known};

/// Most modules that are kept; a process has hundreds.
const MAX_MODULES: usize = 1 << 16;

/// The modules of a runtime.
pub(super) struct Modules {
    known: Memo<Addr, Known<Arc<Metadata>>>,
    all: Memo<(), Known<Arc<Loaded>>>,
}

/// The modules that were loaded.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Each once, in the order of the list of assemblies.
    pub(super) modules: Vec<Addr>,
    /// Why there may be more.
    pub(super) unread: Option<Gap>,
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
    pub(super) fn all(&self, clr: &Clr) -> Known<Arc<Loaded>> {
        self.all.get((), || loaded(clr).map(Arc::new))
    }
}

/// The modules of the list of assemblies.
fn loaded(clr: &Clr) -> Known<Loaded> {
    // Source: dotnet/runtime docs/design/datacontracts/Loader.md; src/coreclr/inc/arraylist.h: blocks of pointers, the first in the list itself.
    const MAX_BLOCKS: usize = 1 << 12;
    let list = clr.at(clr.global("AppDomain")?, "AppDomain", "DomainAssemblyList")?;
    let count = clr.u32(list, "ArrayListBase", "Count")?;
    let mut left = usize::try_from(count).unwrap_or(usize::MAX).min(MAX_MODULES);
    let mut block = clr.at(list, "ArrayListBase", "FirstBlock")?;
    let mut all = Loaded::default();
    let mut seen = FxHashSet::default();
    for _ in 0..MAX_BLOCKS {
        let size = usize::try_from(clr.u32(block, "ArrayListBlock", "Size")?).unwrap_or(usize::MAX).min(left);
        let first = clr.at(block, "ArrayListBlock", "ArrayStart")?;
        for index in 0..size {
            let entry = plus(first, (index as u64).saturating_mul(8)).and_then(|at| Ok(clr.memory().ptr(at)?));
            // One that cannot be read leaves the others.
            match entry.and_then(|entry| module_of(clr, entry)) {
                Ok(module) if module.0 != 0 && seen.insert(module) => all.modules.push(module),
                Ok(_) => {}
                Err(gap) => all.unread = all.unread.or(Some(gap)),
            }
        }
        left = left.saturating_sub(size);
        if left == 0 {
            break;
        }
        match clr.ptr(block, "ArrayListBlock", "Next") {
            Ok(next) if next.0 != 0 => block = next,
            Ok(_) => break,
            Err(gap) => {
                all.unread = all.unread.or(Some(gap));
                break;
            }
        }
    }
    if left > 0 || usize::try_from(count).is_ok_and(|count| count > MAX_MODULES) {
        let gap = || Gap::Corrupt(format!("the list of {count} assemblies at {list}"));
        all.unread = all.unread.or_else(|| Some(gap()));
    }
    Ok(all)
}

fn module_of(clr: &Clr, entry: Addr) -> Known<Addr> {
    let assembly = clr.ptr(entry, "DomainAssembly", "Assembly")?;
    if assembly.0 == 0 { Ok(Addr(0)) } else { clr.ptr(assembly, "Assembly", "Module") }
}

fn read(clr: &Clr, module: Addr) -> Known<Metadata> {
    match image(clr, module)? {
        Some(image) => Metadata::read(clr.memory(), image.metadata()?),
        None => Metadata::read(clr.memory(), emitted(clr, module)?),
    }
}

/// A module's image; `Ok(None)` for one that was made at run time.
pub(super) fn image(clr: &Clr, module: Addr) -> Known<Option<Image<'_>>> {
    let base = base(clr, module)?;
    if base.0 == 0 {
        return Ok(None);
    }
    let placed = |placing| {
        let image = Image::read(clr.memory(), base, placing)?;
        // Where the metadata is not, the image lies otherwise.
        Metadata::read(clr.memory(), image.metadata()?).map(|_| Some(image))
    };
    placed(Placing::Mapped).or_else(|_| placed(Placing::Flat))
}

/// Where a module's file was on the dumped machine; `Ok(None)` for one that has none.
pub(super) fn path(clr: &Clr, module: Addr) -> Known<Option<String>> {
    let base = base(clr, module)?;
    let mut files = clr.target.capture.assemblies.iter();
    if let Some(file) = files.find(|file| file.part.start <= base && base < file.part.end) {
        return Ok(Some(file.path.clone()));
    }
    let text = match clr.ptr(module, "Module", "Path") {
        Err(Gap::NoLayout(_)) => {
            // .NET 8 has it in the image: a string with its length.
            let image = clr.ptr(clr.ptr(module, "Module", "PEAssembly")?, "PEAssembly", "PEImage")?;
            if image.0 == 0 { Addr(0) } else { clr.ptr(clr.at(image, "PEImage", "Path")?, "SBuffer", "Buffer")? }
        }
        text => text?,
    };
    let path = if text.0 == 0 { String::new() } else { utf16(clr, text)? };
    Ok(Some(path).filter(|path| !path.is_empty()))
}

/// A text of UTF-16 up to a zero.
fn utf16(clr: &Clr, at: Addr) -> Known<String> {
    /// Longest path, in units: PATH_MAX of Linux.
    const MAX_UNITS: usize = 4096;
    let mut units = Vec::new();
    let mut next = at;
    while units.len() < MAX_UNITS {
        match clr.memory().u16(next)? {
            0 => return Ok(String::from_utf16_lossy(&units)),
            unit => units.push(unit),
        }
        next = plus(next, 2)?;
    }
    Err(Gap::Corrupt(format!("a path at {at}")))
}

/// Where a module's image begins; 0 for one that was made at run time.
pub(super) fn base(clr: &Clr, module: Addr) -> Known<Addr> {
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
    // .NET 8 has it in a buffer that the module leads to.
    if clr.layout.offset("SBuffer", "Buffer").is_ok() {
        let buffer = clr.ptr(module, "Module", "DynamicMetadata")?;
        return clr.ptr(buffer, "SBuffer", "Buffer");
    }
    let kept = clr.ptr(module, "Module", "DynamicMetadata")?;
    clr.at(kept, "DynamicMetadata", "Data")
}
