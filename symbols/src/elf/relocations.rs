//! The relocations that only add the load bias: what read-only data of a file looks like once loaded.

use object::elf;

use super::Elf;
use super::words::Words;
use crate::Svma;

/// Relocations beyond this many are not read (a large C++ program has a million).
const MAX_RELOCATIONS: usize = 16 << 20;

/// A word that holds an address of the module itself, once loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelativeWord {
    /// Where the word stands.
    pub at: Svma,
    /// The address it holds before the bias is added; `None` where the file's own word there holds it (RELR, and REL of 32-bit machines).
    pub addend: Option<Svma>,
}

impl Elf {
    /// The words to which the loader adds the load bias: the `RELATIVE` entries of `DT_RELA` and `DT_REL` and all of `DT_RELR`, in
    /// table order. Symbolic relocations are left out.
    pub fn relative_words(&self) -> impl Iterator<Item = RelativeWord> {
        let rela = self.dynamic_table(elf::DT_RELA.0, elf::DT_RELASZ.0).flat_map(|words| self.explicit(words, true));
        let rel = self.dynamic_table(elf::DT_REL.0, elf::DT_RELSZ.0).flat_map(|words| self.explicit(words, false));
        let relr = self.dynamic_table(elf::DT_RELR.0, elf::DT_RELRSZ.0).flat_map(packed);
        rela.chain(rel).chain(relr).take(MAX_RELOCATIONS)
    }

    /// The words that hold the address of a function or variable which this file defines itself, once loaded: each with that
    /// address. Another module may define it too, and come first; the word then holds an address of that one.
    pub fn own_symbol_words(&self) -> impl Iterator<Item = (Svma, Svma)> {
        let tables = [(elf::DT_RELA.0, elf::DT_RELASZ.0), (elf::DT_JMPREL.0, elf::DT_PLTRELSZ.0)];
        let words = tables.into_iter().flat_map(|(address, size)| self.dynamic_table(address, size));
        words.flat_map(|words| self.own_symbols(words)).take(MAX_RELOCATIONS)
    }

    /// Entries of `Elf64_Rela` (24 bytes) that hold a symbol's address; none in 32-bit files.
    fn own_symbols<'a>(&'a self, words: Words<'a>) -> impl Iterator<Item = (Svma, Svma)> + use<'a> {
        const ENTRY: usize = 24;
        let symbols = self.dynamic_value(elf::DT_SYMTAB.0).map(Svma);
        let count = if words.layout.wide { words.bytes.len() / ENTRY } else { 0 };
        (0..count).filter_map(move |index| {
            let offset = index.checked_mul(ENTRY)?;
            let info = words.word(offset.checked_add(8)?)?;
            // ELF64_R_TYPE is the low half, ELF64_R_SYM the high one.
            if !self.is_symbol_address(info & 0xffff_ffff) {
                return None;
            }
            let symbol = symbols?.checked_add((info >> 32).checked_mul(24)?)?;
            let symbol = Words::new(self.bytes_at(symbol, 24)?, self.layout());
            // st_info at 4, st_shndx at 6, st_value at 8; SHN_UNDEF is 0, SHN_ABS 0xfff1.
            let (kind, section, value) = (symbol.u8(4)? & 0xf, symbol.u16(6)?, symbol.word(8)?);
            let is_placed = [elf::STT_NOTYPE.0, elf::STT_OBJECT.0, elf::STT_FUNC.0].contains(&kind);
            if !is_placed || section == elf::SHN_UNDEF.0 || section == elf::SHN_ABS.0 {
                return None;
            }
            let addend = words.word(offset.checked_add(16)?)?;
            Some((Svma(words.word(offset)?), Svma(value.wrapping_add(addend))))
        })
    }

    /// Whether a relocation of that number stores a symbol's address (psABIs: x86-64 §4.4, aarch64 §5.7).
    fn is_symbol_address(&self, kind: u64) -> bool {
        let kinds = match elf::Machine(self.machine_number()) {
            elf::EM_X86_64 => [elf::R_X86_64_64.0, elf::R_X86_64_GLOB_DAT.0, elf::R_X86_64_JUMP_SLOT.0],
            elf::EM_AARCH64 => [elf::R_AARCH64_ABS64.0, elf::R_AARCH64_GLOB_DAT.0, elf::R_AARCH64_JUMP_SLOT.0],
            _ => return false,
        };
        kinds.iter().any(|known| u64::from(*known) == kind)
    }

    /// The table whose address and size the dynamic section states under two tags; empty iterator where it is absent.
    fn dynamic_table(&self, address: i64, size: i64) -> impl Iterator<Item = Words<'_>> {
        let table = || {
            let bytes = self.bytes_at(Svma(self.dynamic_value(address)?), self.dynamic_value(size)?)?;
            Some(Words::new(bytes, self.layout()))
        };
        table().into_iter()
    }

    fn explicit<'a>(&self, words: Words<'a>, with_addend: bool) -> impl Iterator<Item = RelativeWord> + use<'a> {
        let relative = self.relative_kind();
        let wide = words.layout.wide;
        let word: usize = if wide { 8 } else { 4 };
        let entry = if with_addend { word * 3 } else { word * 2 };
        let count = words.bytes.len().checked_div(entry).unwrap_or(0);
        (0..count).filter_map(move |index| {
            let offset = index.checked_mul(entry)?;
            let info = words.word(offset.checked_add(word)?)?;
            // ELF64_R_TYPE is the low half, ELF32_R_TYPE the low byte.
            let kind = if wide { info & 0xffff_ffff } else { info & 0xff };
            if Some(kind) != relative {
                return None;
            }
            let at = Svma(words.word(offset)?);
            let addend = if with_addend { Some(Svma(words.word(offset.checked_add(word * 2)?)?)) } else { None };
            Some(RelativeWord { at, addend })
        })
    }

    /// The number of this machine's `RELATIVE` relocation (psABIs: x86-64 §4.4, aarch64 §5.7, i386 §4).
    fn relative_kind(&self) -> Option<u64> {
        let machine = elf::Machine(self.machine_number());
        match machine {
            elf::EM_X86_64 => Some(elf::R_X86_64_RELATIVE.0.into()),
            elf::EM_AARCH64 => Some(elf::R_AARCH64_RELATIVE.0.into()),
            elf::EM_386 => Some(elf::R_386_RELATIVE.0.into()),
            _ => None,
        }
    }
}

/// RELR (gABI, "Relative relocations"): an even word is an address to relocate; an odd word is a bitmap of the words that follow
/// the last one, 63 of them (31 in 32-bit files).
fn packed(words: Words<'_>) -> impl Iterator<Item = RelativeWord> {
    let size: u64 = if words.layout.wide { 8 } else { 4 };
    let bits = size.saturating_mul(8).saturating_sub(1);
    let count = words.bytes.len().checked_div(if words.layout.wide { 8 } else { 4 }).unwrap_or(0);
    let mut next = None;
    (0..count)
        .map_while(move |index| {
            let word = words.word(index.checked_mul(usize::try_from(size).ok()?)?)?;
            if word & 1 == 0 {
                next = word.checked_add(size);
                return Some((word, 1u64));
            }
            let base = next?;
            next = base.checked_add(bits.checked_mul(size)?);
            Some((base, word >> 1))
        })
        .flat_map(move |(base, mask)| {
            let set = (0..bits).filter(move |bit| mask >> bit & 1 == 1);
            set.filter_map(move |bit| base.checked_add(bit.checked_mul(size)?))
        })
        .map(|at| RelativeWord { at: Svma(at), addend: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::words::Layout;

    #[test]
    fn relr_bitmaps_continue_behind_the_last_address() {
        // The example: one address, then a bitmap with bits 0 and 2 set, then a bitmap with bit 0 set.
        let words = [0x1000u64, 0b101 << 1 | 1, 0b1 << 1 | 1];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let layout = Layout { wide: true, big: false };
        let at: Vec<u64> = packed(Words::new(&bytes, layout)).map(|word| word.at.0).collect();
        assert_eq!(at, [0x1000, 0x1008, 0x1018, 0x1008 + 63 * 8]);
    }

    #[test]
    fn a_bitmap_without_an_address_before_it_is_ignored() {
        let layout = Layout { wide: true, big: false };
        assert_eq!(packed(Words::new(&3u64.to_le_bytes(), layout)).count(), 0);
    }
}
