//! Which call frame information a module has, wherever it is: in its file, in its debug file, or only in the dump's own
//! pages.

use std::sync::OnceLock;

use object::elf;
use symbols::{Elf, FileBytes, Svma};

use super::cfi::{Scratch, Section, Tables, eh_frame_address};
use super::rules::Row;
use crate::capture::{ImageKind, Memory};
use crate::model::{Addr, Arch};
use crate::target::Module;

/// Program headers that are looked at in a module's first page; real modules have about a dozen.
const MAX_PROGRAM_HEADERS: u16 = 256;
/// `.eh_frame` has no stated size in memory: it ends at its terminator, or here. LLVM's largest libraries have 30 MiB.
const MAX_EH_FRAME: u64 = 256 << 20;

/// The tables of one module; opened when its first address is asked for.
#[derive(Debug, Default)]
pub(super) struct Image {
    code: OnceLock<Loaded>,
    debug: OnceLock<Loaded>,
}

/// Tables with the distance between the addresses that they state and those of the target.
#[derive(Debug)]
pub(super) struct Loaded {
    /// The tables.
    pub(super) tables: Tables,
    bias: u64,
}

impl Loaded {
    fn row(&self, lookup: Addr, scratch: &mut Scratch) -> Option<Row> {
        self.tables.row(lookup.0.wrapping_sub(self.bias), scratch)
    }
}

/// Where a row was found: its expressions are in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The code file, or the dump's pages of it.
    Code,
    /// The separate debug file.
    Debug,
}

impl Image {
    /// The rules at `lookup`. The debug file is looked for only when the code file has none.
    pub(super) fn row(
        &self,
        module: &Module,
        memory: &Memory,
        arch: Arch,
        lookup: Addr,
        scratch: &mut Scratch,
    ) -> Option<(Place, Row)> {
        let code = self.code.get_or_init(|| code(module, memory, arch));
        if let Some(row) = code.row(lookup, scratch) {
            return Some((Place::Code, row));
        }
        let debug = self.debug.get_or_init(|| debug(module, arch));
        debug.row(lookup, scratch).map(|row| (Place::Debug, row))
    }

    /// The tables that a row of [`Image::row`] came from.
    pub(super) fn tables(&self, place: Place) -> Option<&Tables> {
        match place {
            Place::Code => self.code.get(),
            Place::Debug => self.debug.get(),
        }
        .map(|loaded| &loaded.tables)
    }
}

/// Where a module begins to run: by its file, or by its header as the dump holds it.
pub(super) fn entry(module: &Module, memory: &Memory) -> Option<Addr> {
    if let Some(file) = module.elf() {
        return module.addr(file.entry());
    }
    if memory.u32(module.mapped.base).ok()? != u32::from_le_bytes(*b"\x7fELF") {
        return None;
    }
    // e_entry. Source: System V ABI (gABI), "ELF Header".
    module.addr(Svma(memory.u64(module.mapped.base.plus(24)?).ok()?))
}

fn code(module: &Module, memory: &Memory, arch: Arch) -> Loaded {
    if let (Some(file), Some(bias)) = (module.elf(), module.mapped.bias) {
        let eh_frame = section(file, ".eh_frame");
        if eh_frame.is_some() || section(file, ".debug_frame").is_some() {
            let header = section(file, ".eh_frame_hdr");
            let tables = Tables::new(arch, eh_frame, header.as_ref(), section(file, ".debug_frame"));
            return Loaded { tables, bias };
        }
    }
    from_memory(module, memory, arch)
}

/// A debug file's `.eh_frame` has no bytes; its `.debug_frame` may be the only table of a C library.
fn debug(module: &Module, arch: Arch) -> Loaded {
    let frames = module.debug().elf.as_ref().and_then(|file| section(file, ".debug_frame"));
    Loaded { tables: Tables::new(arch, None, None, frames), bias: module.mapped.bias.unwrap_or(0) }
}

fn section(file: &Elf, name: &str) -> Option<Section> {
    let section = file.section(name).ok()??;
    (!section.bytes.is_empty()).then(|| Section { address: section.svma.0, bytes: section.bytes })
}

/// The mapped tables: file header, program headers and `.eh_frame_hdr` as the dump holds them. Addresses in such tables
/// are relative, so that what comes out is in addresses of the target.
fn from_memory(module: &Module, memory: &Memory, arch: Arch) -> Loaded {
    let mapped = || {
        let header = eh_frame_header(module.mapped.base, memory)?;
        let address = Addr(eh_frame_address(&header)?);
        Some((Section { address: address.0, bytes: run(memory, address, MAX_EH_FRAME)? }, header))
    };
    let told = || {
        let ImageKind::Elf { eh_frame: Some((address, size)) } = module.mapped.image else { return None };
        Some(Section { address: address.0, bytes: run(memory, address, size.min(MAX_EH_FRAME))? })
    };
    let tables = match mapped() {
        Some((eh_frame, header)) => Tables::new(arch, Some(eh_frame), Some(&header), None),
        None => Tables::new(arch, told(), None, None),
    };
    Loaded { tables, bias: 0 }
}

// Elf64_Ehdr: e_type 16, e_phoff 32, e_phentsize 54, e_phnum 56. Elf64_Phdr: p_type 0, p_vaddr 16, p_memsz 40.
// Source: System V ABI (gABI), "ELF Header", "Program Header".
fn eh_frame_header(base: Addr, memory: &Memory) -> Option<Section> {
    if memory.u32(base).ok()? != u32::from_le_bytes(*b"\x7fELF") {
        return None;
    }
    let relocated = memory.u16(base.plus(16)?).ok()? == elf::ET_DYN.0;
    let first = base.plus(memory.u64(base.plus(32)?).ok()?)?;
    let size = u64::from(memory.u16(base.plus(54)?).ok()?);
    let count = memory.u16(base.plus(56)?).ok()?.min(MAX_PROGRAM_HEADERS);
    let headers = || (0..u64::from(count)).filter_map(|index| first.plus(index.checked_mul(size)?));
    let with_kind = |kind: u32| headers().find(|at| memory.u32(*at).is_ok_and(|found| found == kind));
    let field = |header: Addr, offset: u64| memory.u64(header.plus(offset)?).ok();
    // The first PT_LOAD is the one at the base.
    let bias = if relocated { base.0.wrapping_sub(page(field(with_kind(elf::PT_LOAD.0)?, 16)?)) } else { 0 };
    let header = with_kind(elf::PT_GNU_EH_FRAME.0)?;
    let address = Addr(field(header, 16)?.wrapping_add(bias));
    Some(Section { address: address.0, bytes: run(memory, address, field(header, 40)?)? })
}

const fn page(address: u64) -> u64 {
    address & !0xfff
}

/// The dump's bytes from an address to the end of their segment, at most `len`.
fn run(memory: &Memory, address: Addr, len: u64) -> Option<FileBytes> {
    let segment = memory.segment_at(address)?;
    let from = usize::try_from(address.since(segment.start)?).ok()?;
    let held = segment.bytes.len().checked_sub(from)?;
    let len = usize::try_from(len).unwrap_or(usize::MAX).min(held);
    segment.bytes.slice(from..from.checked_add(len)?)
}
