//! The stubs through which a module calls functions of other modules: they have no symbols, but the word they jump through is
//! relocated by name.
//!
//! They are found by the sections that linkers put them in, and where the section headers are gone by their instructions: a jump through
//! a word that is relocated by name.

use object::elf;

use super::words::{Words, c_string};
use super::{Elf, Machine};
use crate::Svma;

/// endbr64. Source: Intel SDM volume 2.
const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
/// The prefix of jumps that keep bounds registers. Source: as above, MPX.
const BND: u8 = 0xf2;
/// Bytes of an Elf64_Rela.
const RELA: u64 = 24;

/// Relocations looked through for one stub; a large library has ten thousand that stubs use.
const MAX_RELOCATIONS: usize = 1 << 20;
/// Linkers' names for the sections of stubs: the lazy ones, those behind an `endbr64`, those of functions whose address is also taken.
const SECTIONS: [&str; 4] = [".plt", ".plt.sec", ".plt.got", ".plt.bnd"];

/// Bytes of a stub where nothing states them: lazy ones, and those behind an `endbr64`.
const SIZE: u64 = 16;
/// Bytes of the stubs of functions whose address is also taken.
const SHORT: u64 = 8;

/// A stub and the function it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stub {
    pub(crate) svma: Svma,
    pub(crate) size: u64,
    /// The function's name, not demangled. `None` for the beginning of a table of lazy stubs, which leads to the loader.
    pub(crate) name: Option<Vec<u8>>,
}

impl Elf {
    /// The stub that holds `at`.
    pub(crate) fn stub(&self, at: Svma) -> Option<Stub> {
        let mut sections = SECTIONS.iter().filter_map(|name| self.header_named(name)).peekable();
        if sections.peek().is_none() {
            return self.stub_by_code(at);
        }
        let section = sections.find(|section| section.contains(at))?;
        // aarch64 linkers state no size of the entries; they are four instructions each, and the first one as long as two.
        let size = if section.entry_size == 0 { SIZE } else { section.entry_size };
        let index = at.offset_from(section.svma)?.checked_div(size)?;
        let svma = section.svma.checked_add(index.checked_mul(size)?)?;
        let name = self.leads_to(svma, self.bytes_at(svma, size)?);
        Some(Stub { svma, size, name })
    }

    /// The stub that holds `at`, where no section headers say where stubs are.
    fn stub_by_code(&self, at: Svma) -> Option<Stub> {
        let executable =
            self.segments().iter().any(|part| part.execute && at.offset_from(part.svma) < Some(part.file_size));
        let (short, long) = (Svma(at.0 & !(SHORT - 1)), Svma(at.0 & !(SIZE - 1)));
        // The second half of a long one is no stub of its own.
        let starts = [(short, SHORT, short != long), (long, SIZE, true), (short, SHORT, true)];
        let stub = starts.into_iter().filter(|(.., tried)| *tried).find_map(|(svma, size, _)| {
            let code = self.bytes_at(svma, size)?;
            let name = self.leads_to(svma, code).filter(|_| self.is_jump(code));
            (name.is_some() || self.is_beginning(svma, code)).then_some(Stub { svma, size, name })
        });
        stub.filter(|_| executable)
    }

    /// The function that a stub's code leads to.
    fn leads_to(&self, svma: Svma, code: &[u8]) -> Option<Vec<u8>> {
        match self.slot(svma, code) {
            Some(slot) => self.relocated_by(slot),
            None => self.pushed(code),
        }
    }

    /// Whether code begins as a stub does, and not merely holds a jump.
    fn is_jump(&self, code: &[u8]) -> bool {
        let code = code.strip_prefix(&ENDBR64).unwrap_or(code);
        let code = code.strip_prefix(&[BND]).unwrap_or(code);
        // jmp *disp32(%rip), or push imm32; of aarch64 `slot` has seen both instructions.
        code.starts_with(&[0xff, 0x25]) || code.starts_with(&[0x68]) || self.machine() == Machine::Aarch64
    }

    /// Whether this is the code that lazy stubs jump to: push *GOT+8; jmp *GOT+16, where the loader has left itself.
    // Source: System V AMD64 psABI 1.0, figure 5.2.
    fn is_beginning(&self, svma: Svma, code: &[u8]) -> bool {
        let is_loaders = |slot: Svma| {
            self.dynamic_value(elf::DT_PLTGOT.0).and_then(|got| got.checked_add(16)).is_some_and(|word| word == slot.0)
        };
        self.machine() == Machine::X86_64
            && code.starts_with(&[0xff, 0x35])
            && self.slot(svma, code).is_some_and(is_loaders)
    }

    /// The name behind the number that a lazy stub of another form pushes for the loader: endbr64; push imm32, an index into
    /// `DT_JMPREL`.
    fn pushed(&self, code: &[u8]) -> Option<Vec<u8>> {
        if self.machine() != Machine::X86_64 {
            return None;
        }
        let number = code.strip_prefix(&ENDBR64)?.strip_prefix(&[0x68])?;
        let index = Words::new(number, self.layout()).u32(0)?;
        let table = Svma(self.dynamic_value(elf::DT_JMPREL.0)?);
        let entry = self.bytes_at(table.checked_add(u64::from(index).checked_mul(RELA)?)?, RELA)?;
        self.symbol_name(Words::new(entry, self.layout()).u64(8)? >> 32)
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
        self.symbol_name(symbol)
    }

    /// The name of a symbol by its number.
    fn symbol_name(&self, symbol: u64) -> Option<Vec<u8>> {
        let symbols = Svma(self.dynamic_value(elf::DT_SYMTAB.0)?);
        // Elf64_Sym begins with the offset of the name.
        let entry = self.bytes_at(symbols.checked_add(symbol.checked_mul(24)?)?, 24)?;
        let name = Words::new(entry, self.layout()).u32(0).filter(|name| *name != 0)?;
        let names = self.bytes_at(Svma(self.dynamic_value(elf::DT_STRTAB.0)?), self.dynamic_value(elf::DT_STRSZ.0)?)?;
        c_string(names, name.into()).map(<[u8]>::to_vec)
    }
}
