//! An ELF file that holds a symbol table and nothing else: made where a module's names are known and its file is not at
//! hand, or is too large to keep.
//!
//! Input: the file header, the loaded segments, the entries of the table and their names. Output: the bytes of a file
//! with the table, its names, and a section without bytes for each segment, so that a symbol's section tells whether
//! instructions are there and where they end. Specification: gABI "Sections", "Symbol Table". 64 bits, little endian
//! alone.

/// Bytes of an `Elf64_Ehdr`. Source: gABI.
pub const FILE_HEADER: usize = 64;
/// Bytes of an `Elf64_Sym`. Source: gABI.
pub const SYMBOL: usize = 24;
/// Bytes of an `Elf64_Shdr`. Source: gABI.
const SECTION_HEADER: u64 = 64;
/// Section types: SHT_SYMTAB, SHT_STRTAB, SHT_NOBITS, SHT_DYNSYM. Source: gABI "Sections".
const SHT_SYMTAB: u32 = 2;
const SHT_STRTAB: u32 = 3;
const SHT_NOBITS: u32 = 8;
const SHT_DYNSYM: u32 = 11;
/// SHF_WRITE 1, SHF_ALLOC 2, SHF_EXECINSTR 4.
const ALLOC: u64 = 2;
/// The table, its names and section 0 come before the segments' sections.
const FIRST: usize = 3;
/// Indices from here on are no sections. Source: gABI, SHN_LORESERVE.
const RESERVED: u16 = 0xff00;
/// Most segments of a module; real ones have about five.
const MAX_LOADS: usize = 512;

/// A segment as a module's program headers state it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Address without bias.
    pub address: u64,
    /// Bytes in memory.
    pub size: u64,
    /// PF_W 2, PF_X 1.
    pub flags: u32,
}

impl Load {
    fn holds(&self, address: u64) -> bool {
        address.checked_sub(self.address).is_some_and(|skip| skip < self.size)
    }
}

/// Which table it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// `.symtab`: all names of the file.
    Full,
    /// `.dynsym`: those that the module exports.
    Exported,
}

/// The file. `header`: the module's own `Elf64_Ehdr`. `None` where that is too short.
pub fn build(header: &[u8], loads: &[Load], table: Table, mut symbols: Vec<u8>, names: &[u8]) -> Option<Vec<u8>> {
    let loads = loads.get(..loads.len().min(MAX_LOADS)).unwrap_or_default();
    for symbol in symbols.chunks_exact_mut(SYMBOL) {
        place(symbol, loads);
    }
    let mut file = header.get(..FILE_HEADER)?.to_vec();
    let symbols_at = file.len() as u64;
    let symbols_size = symbols.len() as u64;
    file.append(&mut symbols);
    let names_at = file.len() as u64;
    file.extend(names);
    let sections_at = file.len() as u64;
    let kind = match table {
        Table::Full => SHT_SYMTAB,
        Table::Exported => SHT_DYNSYM,
    };
    section(&mut file, 0, 0, [0; 3], 0);
    section(&mut file, kind, 0, [0, symbols_at, symbols_size], 2);
    section(&mut file, SHT_STRTAB, 0, [0, names_at, names.len() as u64], 0);
    for load in loads {
        // PF_W is 2 and becomes SHF_WRITE 1; PF_X is 1 and becomes SHF_EXECINSTR 4.
        let flags = ALLOC | u64::from(load.flags & 2 != 0) | (u64::from(load.flags & 1) << 2);
        section(&mut file, SHT_NOBITS, flags, [load.address, 0, load.size], 0);
    }
    // e_phoff 32, e_shoff 40, e_phnum 56, e_shentsize 58, e_shnum 60, e_shstrndx 62.
    let count = u16::try_from(FIRST.checked_add(loads.len())?).ok()?;
    put(&mut file, 32, &[0; 8])?;
    put(&mut file, 40, &sections_at.to_le_bytes())?;
    put(&mut file, 56, &[0; 2])?;
    put(&mut file, 58, &u16::try_from(SECTION_HEADER).ok()?.to_le_bytes())?;
    put(&mut file, 60, &count.to_le_bytes())?;
    put(&mut file, 62, &[0; 2])?;
    Some(file)
}

/// Gives a symbol the section that stands for its segment: those of the module's file are not there. `st_shndx` is at
/// 6, `st_value` at 8.
fn place(symbol: &mut [u8], loads: &[Load]) -> Option<()> {
    let stated = u16::from_le_bytes(*symbol.get(6..)?.first_chunk()?);
    let address = u64::from_le_bytes(*symbol.get(8..)?.first_chunk()?);
    if stated == 0 || stated >= RESERVED {
        return None;
    }
    let holder = loads.iter().position(|load| load.holds(address)).and_then(|index| index.checked_add(FIRST));
    // Section 1 is not mapped: a symbol of no segment names an offset in thread-local storage, or nothing.
    let index = u16::try_from(holder.unwrap_or(1)).ok()?;
    put(symbol, 6, &index.to_le_bytes())
}

/// Adds an `Elf64_Shdr`: `place` is address, offset in the file, size.
fn section(file: &mut Vec<u8>, kind: u32, flags: u64, place: [u64; 3], link: u32) {
    file.extend(0u32.to_le_bytes());
    file.extend(kind.to_le_bytes());
    file.extend(flags.to_le_bytes());
    file.extend(place.into_iter().flat_map(u64::to_le_bytes));
    file.extend(link.to_le_bytes());
    file.extend(0u32.to_le_bytes());
    file.extend(8u64.to_le_bytes());
    file.extend((SYMBOL as u64).to_le_bytes());
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) -> Option<()> {
    bytes.get_mut(at..at.checked_add(value.len())?)?.copy_from_slice(value);
    Some(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use symbols::{Elf, FileBytes, ModuleSymbols, SourceKind, Svma};

    /// `Elf64_Sym`: name, info, other, section, value, size.
    fn symbol(name: u8, info: u8, value: u64, size: u64) -> Vec<u8> {
        let mut entry = vec![name, 0, 0, 0, info, 0, 14, 0];
        entry.extend(value.to_le_bytes());
        entry.extend(size.to_le_bytes());
        entry
    }

    fn header() -> Vec<u8> {
        let mut header = vec![0u8; FILE_HEADER];
        header[..6].copy_from_slice(b"\x7fELF\x02\x01");
        header[16..20].copy_from_slice(&[3, 0, 62, 0]);
        header
    }

    #[test]
    fn names_and_what_they_name_come_back() {
        let loads = [Load { address: 0x1000, size: 0x800, flags: 5 }, Load { address: 0x3000, size: 0x100, flags: 6 }];
        // STB_GLOBAL with STT_FUNC, STT_NOTYPE, STT_OBJECT.
        let table = [symbol(1, 0x12, 0x1010, 0x20), symbol(5, 0x10, 0x1700, 0), symbol(9, 0x11, 0x3010, 8)].concat();
        let file = build(&header(), &loads, Table::Exported, table, b"\0run\0lab\0var\0").expect("a file");
        let elf = Elf::parse(FileBytes::from_vec(file)).expect("an ELF file");
        assert!(!elf.has_code(), "it holds no instructions");
        let names = ModuleSymbols::new(Some(Arc::new(elf)), None);
        let name = |at| names.function(Svma(at)).map(|symbol| symbol.name.to_string());
        assert_eq!(name(0x102f).as_deref(), Some("run"));
        assert_eq!(name(0x1030), None, "not past its size");
        assert_eq!(name(0x1704).as_deref(), Some("lab"), "a label where instructions are");
        assert_eq!(names.object(Svma(0x3017)).map(|symbol| symbol.name.to_string()).as_deref(), Some("var"));
        assert_eq!(names.sources()[0].kind, SourceKind::DynamicSymbols);
    }

    #[test]
    fn a_cut_header_gives_no_file_and_a_cut_entry_no_symbol() {
        assert_eq!(build(&header()[..63], &[], Table::Full, Vec::new(), b""), None);
        let file = build(&header(), &[], Table::Full, vec![1; SYMBOL - 1], b"\0").expect("a file");
        let names = ModuleSymbols::new(Some(Arc::new(Elf::parse(FileBytes::from_vec(file)).expect("ELF"))), None);
        assert_eq!(names.symbols(symbols::SymbolKind::Function).count(), 0);
    }
}
