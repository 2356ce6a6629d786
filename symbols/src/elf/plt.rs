//! The stubs through which a module calls functions of other modules: they have no symbols, but the word they jump through is
//! relocated by name.

use object::elf;

use super::words::{Words, c_string};
use super::{Elf, Machine};
use crate::Svma;

/// Relocations looked through for one stub; a large library has ten thousand that stubs use.
const MAX_RELOCATIONS: usize = 1 << 20;
/// Linkers' names for the sections of stubs: the lazy ones, those behind an `endbr64`, those of functions whose address is also taken.
const SECTIONS: [&str; 4] = [".plt", ".plt.sec", ".plt.got", ".plt.bnd"];

/// A stub and the function it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stub {
    pub(crate) svma: Svma,
    pub(crate) size: u64,
    /// The function's name, not demangled.
    pub(crate) name: Vec<u8>,
}

impl Elf {
    /// The stub that holds `at`.
    pub(crate) fn stub(&self, at: Svma) -> Option<Stub> {
        let section =
            SECTIONS.iter().filter_map(|name| self.header_named(name)).find(|section| section.contains(at))?;
        // aarch64 linkers state no size of the entries; they are four instructions each, and the first one as long as two.
        let size = if section.entry_size == 0 { 16 } else { section.entry_size };
        let index = at.offset_from(section.svma)?.checked_div(size)?;
        let svma = section.svma.checked_add(index.checked_mul(size)?)?;
        let slot = self.slot(svma, self.bytes_at(svma, size)?)?;
        Some(Stub { svma, size, name: self.relocated_by(slot)? })
    }

    /// The word that the stub's instructions jump through.
    fn slot(&self, svma: Svma, code: &[u8]) -> Option<Svma> {
        let words = Words::new(code, self.layout());
        match self.machine() {
            // jmp *disp32(%rip), perhaps behind endbr64 and a bnd prefix: ff 25 and a distance from the next instruction.
            Machine::X86_64 => {
                let jump = code.windows(2).position(|bytes| bytes == [0xff, 0x25])?;
                let distance = words.u32(jump.checked_add(2)?)?.cast_signed();
                let next = svma.checked_add(u64::try_from(jump).ok()?.checked_add(6)?)?;
                next.0.checked_add_signed(distance.into()).map(Svma)
            }
            // adrp x16, page; ldr x17, [x16, #offset]: Arm ARM C6.2 "ADRP" (immhi:immlo, 4 KiB pages) and "LDR (immediate)" (imm12 × 8).
            Machine::Aarch64 => {
                let (adrp, ldr) = (words.u32(0)?, words.u32(4)?);
                if adrp & 0x9f00_001f != 0x9000_0010 || ldr & 0xffc0_03ff != 0xf940_0211 {
                    return None;
                }
                let pages = (adrp >> 5 & 0x7_ffff) << 2 | (adrp >> 29 & 3);
                // 21 bits with sign, moved to the top of the word and back.
                let distance = i64::from((pages << 11).cast_signed() >> 11).checked_mul(0x1000)?;
                let page = (svma.0 & !0xfff).checked_add_signed(distance)?;
                page.checked_add(u64::from(ldr >> 10 & 0xfff).checked_mul(8)?).map(Svma)
            }
            Machine::Other(_) => None,
        }
    }

    /// The name of the symbol whose address the loader writes to `slot`: `DT_JMPREL` and `DT_RELA`, Elf64_Rela.
    fn relocated_by(&self, slot: Svma) -> Option<Vec<u8>> {
        let tables = [(elf::DT_JMPREL.0, elf::DT_PLTRELSZ.0), (elf::DT_RELA.0, elf::DT_RELASZ.0)];
        let table = |(address, size)| self.bytes_at(Svma(self.dynamic_value(address)?), self.dynamic_value(size)?);
        let mut entries = tables.into_iter().filter_map(table).flat_map(|bytes| bytes.chunks_exact(24));
        let mut entries = entries.by_ref().take(MAX_RELOCATIONS);
        let symbol = entries.find_map(|bytes| {
            let words = Words::new(bytes, self.layout());
            // ELF64_R_SYM is the upper half of r_info.
            (words.u64(0) == Some(slot.0)).then(|| words.u64(8).map(|info| info >> 32)).flatten()
        })?;
        let symbols = Svma(self.dynamic_value(elf::DT_SYMTAB.0)?);
        // Elf64_Sym begins with the offset of the name.
        let entry = self.bytes_at(symbols.checked_add(symbol.checked_mul(24)?)?, 24)?;
        let name = Words::new(entry, self.layout()).u32(0).filter(|name| *name != 0)?;
        let names = self.bytes_at(Svma(self.dynamic_value(elf::DT_STRTAB.0)?), self.dynamic_value(elf::DT_STRSZ.0)?)?;
        c_string(names, name.into()).map(<[u8]>::to_vec)
    }
}
