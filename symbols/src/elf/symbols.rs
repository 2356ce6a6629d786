//! The entries of `.symtab` and `.dynsym` as they stand in the file (gABI, "Symbol Table").

use object::elf;

use super::Elf;
use super::headers::{ALLOC, EXECUTE};
use super::words::{Layout, Words, c_string, part};
use crate::{FileBytes, Svma};

/// Exported symbols beyond this many are not looked for.
const MAX_LOADED: u32 = 1 << 22;

/// A symbol table and its names.
#[derive(Clone, Debug)]
pub(crate) struct RawSymbols {
    entries: FileBytes,
    names: FileBytes,
    layout: Layout,
    /// Whether it names every function of the file, and not only those that others may call.
    pub(crate) complete: bool,
}

/// One entry: `name` is an offset into the table's names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawSymbol {
    pub name: u32,
    pub svma: Svma,
    pub size: u64,
    pub kind: elf::SymbolType,
    pub bind: elf::SymbolBind,
    pub section: u16,
}

impl Elf {
    /// The table in the first section of type `kind` (`SHT_SYMTAB` or `SHT_DYNSYM`) that holds bytes and lies in the file.
    pub(crate) fn raw_symbols(&self, kind: elf::SectionType) -> Option<RawSymbols> {
        if self.sections.is_empty() && kind == elf::SHT_DYNSYM {
            return self.loaded_symbols();
        }
        let section = self.sections.iter().find(|section| section.kind == kind.0)?;
        let names = self.sections.get(usize::try_from(section.link).ok()?)?;
        if !names.has_bytes() {
            return None;
        }
        Some(RawSymbols {
            entries: self.raw(".symtab", section).ok()?,
            names: self.raw(".strtab", names).ok()?,
            layout: self.layout(),
            complete: kind == elf::SHT_SYMTAB,
        })
    }

    /// The table of exported symbols as the loader finds it, for files whose section headers are gone.
    fn loaded_symbols(&self) -> Option<RawSymbols> {
        let address = |tag: elf::DynamicTag| self.dynamic_value(tag.0).map(Svma);
        let entry: u64 = if self.is_64() { 24 } else { 16 };
        let size = u64::from(self.loaded_symbol_count()?).checked_mul(entry)?;
        Some(RawSymbols {
            entries: self.slice_at(address(elf::DT_SYMTAB)?, size)?,
            names: self.slice_at(address(elf::DT_STRTAB)?, self.dynamic_value(elf::DT_STRSZ.0)?)?,
            layout: self.layout(),
            complete: false,
        })
    }

    /// How many exported symbols there are. The dynamic section does not say; the hash tables that find symbols by name do.
    fn loaded_symbol_count(&self) -> Option<u32> {
        let number = |at: Svma, index: u64| {
            let at = at.checked_add(index.checked_mul(4)?)?;
            Words::new(self.bytes_at(at, 4)?, self.layout()).u32(0)
        };
        // gABI "Hash Table": the second number is that of the symbols.
        if let Some(hash) = self.dynamic_value(elf::DT_HASH.0) {
            return number(Svma(hash), 1);
        }
        // GNU: buckets, first hashed symbol, Bloom filter words and shift; the filter; the first symbol of each bucket; then for every
        // symbol a hash whose lowest bit ends the bucket. Source: binutils 2.40, elf/common.h and bfd/elflink.c.
        let table = Svma(self.dynamic_value(elf::DT_GNU_HASH.0)?);
        let (buckets, first, filter) = (number(table, 0)?, number(table, 1)?, number(table, 2)?);
        let filter_numbers = u64::from(filter).checked_mul(if self.is_64() { 2 } else { 1 })?;
        let buckets_at = filter_numbers.checked_add(4)?;
        let starts =
            (0..u64::from(buckets.min(MAX_LOADED))).map_while(|bucket| number(table, buckets_at.checked_add(bucket)?));
        let Some(last) = starts.max().filter(|last| *last >= first) else { return Some(first) };
        let chains_at = buckets_at.checked_add(buckets.into())?;
        (last..last.saturating_add(MAX_LOADED)).find_map(|symbol| {
            let hash = number(table, chains_at.checked_add(u64::from(symbol.checked_sub(first)?))?)?;
            (hash & 1 == 1).then(|| symbol.checked_add(1)).flatten()
        })
    }

    /// Whether the section of that index is mapped, and holds instructions.
    pub(crate) fn section_holds(&self, index: u16) -> SectionHolds {
        match self.sections.get(usize::from(index)) {
            Some(section) if section.has_flag(ALLOC) && section.has_flag(EXECUTE) => SectionHolds::Instructions,
            Some(section) if section.has_flag(ALLOC) => SectionHolds::Data,
            _ => SectionHolds::Nothing,
        }
    }
}

/// What a section contributes to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SectionHolds {
    Instructions,
    Data,
    Nothing,
}

impl RawSymbols {
    /// The entries that define something, in table order.
    pub(crate) fn defined(&self) -> impl Iterator<Item = RawSymbol> {
        let size = if self.layout.wide { 24 } else { 16 };
        let entry = move |bytes| RawSymbol::fields(Words::new(bytes, self.layout));
        self.entries.chunks_exact(size).filter_map(entry).filter(|symbol| symbol.section != elf::SHN_UNDEF.0)
    }

    /// The name at that offset without its version (`@…`); empty where there is none.
    pub(crate) fn name(&self, offset: u32) -> &[u8] {
        let name = c_string(&self.names, offset.into()).unwrap_or_default();
        match memchr::memchr(b'@', name) {
            Some(at) if at > 0 => part(name, 0, u64::try_from(at).unwrap_or(0)).unwrap_or(name),
            _ => name,
        }
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() / if self.layout.wide { 24 } else { 16 }
    }
}

impl RawSymbol {
    fn fields(words: Words<'_>) -> Option<RawSymbol> {
        let info = words.u8(if words.layout.wide { 4 } else { 12 })?;
        Some(RawSymbol {
            name: words.u32(0)?,
            svma: Svma(words.word_at(8, 4)?),
            size: words.word_at(16, 8)?,
            // ELF64_ST_TYPE and ELF64_ST_BIND.
            kind: elf::SymbolType(info & 0xf),
            bind: elf::SymbolBind(info >> 4),
            section: words.u16_at(6, 14)?,
        })
    }
}
