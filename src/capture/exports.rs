//! The names that a module exports, as the dump's own pages hold them: for a module whose file is not at hand.
//!
//! Input: a mapped module and the dump's memory. Output: an ELF file with the module's `.dynsym` and no code
//! ([`super::symbol_file`]). They are found as the loader finds them, by PT_DYNAMIC: DT_SYMTAB, DT_STRTAB, DT_STRSZ;
//! how many there are is told by DT_HASH or DT_GNU_HASH alone. Symbol versions are left out. Specification: gABI
//! "Dynamic Section", "Hash Table".

use std::sync::atomic::{AtomicU64, Ordering};

use symbols::{Elf, FileBytes};

use super::symbol_file::{self, FILE_HEADER, Load, SYMBOL, Table};
use super::{MappedModule, Memory};
use crate::model::Addr;

/// Largest size of the tables of all modules; a sparse dump may seem to hold any number of bytes.
const MAX_TABLES: u64 = 1 << 30;
/// Most program headers and dynamic entries of a module; real ones have about 14 and 30.
const MAX_HEADERS: u64 = 512;
const MAX_DYNAMIC: u64 = 4096;
/// Most exported symbols of a module, and their names' bytes.
const MAX_SYMBOLS: u64 = 1 << 22;
const MAX_NAMES: u64 = 256 << 20;
/// Bytes of an `Elf64_Phdr`. Source: gABI.
const PROGRAM_HEADER: u64 = 56;
// Source: gABI "Program Header", "Dynamic Section"; binutils include/elf/common.h for DT_GNU_HASH.
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_STRSZ: u64 = 10;
const DT_GNU_HASH: u64 = 0x6fff_fef5;

/// What all modules of one dump export.
#[derive(Debug)]
pub struct Exports {
    memory: Memory,
    /// Bytes that may still be read: hundreds of modules may claim the same memory.
    room: AtomicU64,
}

impl Exports {
    /// Of a dump of this memory. Reads nothing yet.
    pub fn of(memory: &Memory) -> Exports {
        let room = memory.bytes_within(Addr(0), Addr(u64::MAX)).min(MAX_TABLES);
        Exports { memory: memory.clone(), room: AtomicU64::new(room) }
    }

    /// The file with the names of a module; `None` where the dump does not hold them.
    pub fn file(&self, mapped: &MappedModule) -> Option<Elf> {
        let bias = mapped.bias?;
        let header = self.header(mapped)?;
        let headers = self.headers(mapped.base, &header);
        let loads: Vec<Load> = headers.iter().filter(|(kind, _)| *kind == PT_LOAD).map(|(_, load)| *load).collect();
        let dynamic = self.dynamic_of(&headers, bias)?;
        let value = |tag: u64| dynamic.iter().find(|(found, _)| *found == tag).map(|(_, value)| *value);
        let address = |tag| value(tag).map(|stated| in_memory(mapped, bias, stated));
        let (symbols, names) = (address(DT_SYMTAB)?, address(DT_STRTAB)?);
        let count = match (address(DT_HASH), address(DT_GNU_HASH)) {
            (Some(table), _) => self.word(table, 1).map(u64::from),
            (None, Some(table)) => self.hashed(table),
            (None, None) => None,
        };
        // Without a hash table: every linker lays the names behind the symbols.
        let count = count.or_else(|| Some(names.since(symbols)? / SYMBOL as u64))?.min(MAX_SYMBOLS);
        let symbols = self.run(symbols, count.checked_mul(SYMBOL as u64)?)?;
        let names = self.run(names, value(DT_STRSZ)?.min(MAX_NAMES))?;
        let file = symbol_file::build(&header, &loads, Table::Exported, symbols, &names)?;
        Elf::parse(FileBytes::from_vec(file)).ok()
    }

    /// Where one exported name is, by DT_GNU_HASH, as the loader looks it up: of the tables no more is needed than what lies on its way.
    /// createdump's dumps hold the pages on the ways that it went itself. `None` where the module does not export it, or that cannot be
    /// told.
    pub fn address(&self, mapped: &MappedModule, name: &str) -> Option<Addr> {
        /// Most names of one bucket.
        const MAX_CHAIN: u64 = 1 << 16;
        let bias = mapped.bias?;
        let dynamic = self.dynamic_of(&self.headers(mapped.base, &self.header(mapped)?), bias)?;
        let address = |tag: u64| {
            let (_, stated) = dynamic.iter().find(|(found, _)| *found == tag)?;
            Some(in_memory(mapped, bias, *stated))
        };
        let (table, symbols, names) = (address(DT_GNU_HASH)?, address(DT_SYMTAB)?, address(DT_STRTAB)?);
        // Source: binutils 2.40, bfd/elf.c, bfd_elf_gnu_hash; the table's layout: `hashed`.
        let hash = name.bytes().fold(5381u32, |hash, byte| hash.wrapping_mul(33).wrapping_add(byte.into()));
        let (buckets, first, filter) = (self.word(table, 0)?, self.word(table, 1)?, self.word(table, 2)?);
        let buckets_at = table.plus(16)?.plus(u64::from(filter).checked_mul(8)?)?;
        let chains_at = buckets_at.plus(u64::from(buckets).checked_mul(4)?)?;
        let start = u64::from(self.word(buckets_at, hash.checked_rem(buckets)?.into())?);
        for symbol in start..start.saturating_add(MAX_CHAIN) {
            let found = self.word(chains_at, symbol.checked_sub(first.into())?)?;
            if found | 1 == hash | 1 {
                // st_name 0, st_shndx 6, st_value 8. Source: gABI "Symbol Table".
                let entry = symbols.plus(symbol.checked_mul(SYMBOL as u64)?)?;
                let text = names.plus(self.memory.u32(entry).ok()?.into())?;
                let is_it = self.memory.c_string(text, (name.len() as u64).checked_add(1)?).ok()? == name.as_bytes();
                if is_it && self.memory.u16(entry.plus(6)?).ok()? != 0 {
                    return Some(Addr(self.memory.u64(entry.plus(8)?).ok()?.wrapping_add(bias)));
                }
            }
            if found & 1 == 1 {
                return None;
            }
        }
        None
    }

    fn header(&self, mapped: &MappedModule) -> Option<[u8; FILE_HEADER]> {
        let mut header = [0; FILE_HEADER];
        self.memory.read(mapped.base, &mut header).ok()?;
        header.starts_with(b"\x7fELF\x02\x01").then_some(header)
    }

    /// The dynamic section that the program headers tell of.
    fn dynamic_of(&self, headers: &[(u32, Load)], bias: u64) -> Option<Vec<(u64, u64)>> {
        let (_, section) = headers.iter().find(|(kind, _)| *kind == PT_DYNAMIC)?;
        Some(self.dynamic(Addr(section.address.wrapping_add(bias)), section.size))
    }

    /// The program headers: type, and place.
    fn headers(&self, base: Addr, header: &[u8]) -> Vec<(u32, Load)> {
        let read = |index: u64| {
            // e_phoff at 32, e_phentsize at 54, e_phnum at 56.
            let table = u64::from_le_bytes(*header.get(32..)?.first_chunk()?);
            let size = u16::from_le_bytes(*header.get(54..)?.first_chunk()?);
            let count = u16::from_le_bytes(*header.get(56..)?.first_chunk()?);
            if u64::from(size) != PROGRAM_HEADER || index >= u64::from(count).min(MAX_HEADERS) {
                return None;
            }
            let at = base.plus(table)?.plus(index.checked_mul(PROGRAM_HEADER)?)?;
            // p_type at 0, p_flags at 4, p_vaddr at 16, p_memsz at 40.
            let word = |offset| self.memory.u64(at.plus(offset)?).ok();
            let half = |offset| self.memory.u32(at.plus(offset)?).ok();
            Some((half(0)?, Load { address: word(16)?, size: word(40)?, flags: half(4)? }))
        };
        (0..MAX_HEADERS).map_while(read).collect()
    }

    /// The entries of a dynamic section.
    fn dynamic(&self, at: Addr, size: u64) -> Vec<(u64, u64)> {
        let entry = |index: u64| {
            let at = at.plus(index.checked_mul(16)?)?;
            let tag = self.memory.u64(at).ok().filter(|tag| *tag != 0)?;
            Some((tag, self.memory.u64(at.plus(8)?).ok()?))
        };
        (0..(size / 16).min(MAX_DYNAMIC)).map_while(entry).collect()
    }

    /// How many symbols a GNU hash table implies: buckets, first hashed symbol, words of the Bloom filter, shift; the
    /// filter; the first symbol of each bucket; then for every symbol a hash whose lowest bit ends the bucket. Source:
    /// binutils 2.40, bfd/elflink.c.
    fn hashed(&self, table: Addr) -> Option<u64> {
        let (buckets, first, filter) = (self.word(table, 0)?, self.word(table, 1)?, self.word(table, 2)?);
        let buckets_at = table.plus(16)?.plus(u64::from(filter).checked_mul(8)?)?;
        let starts = self.run(buckets_at, u64::from(buckets).min(MAX_SYMBOLS).checked_mul(4)?)?;
        let starts = starts.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
        let Some(last) = starts.max().filter(|last| *last >= first) else { return Some(first.into()) };
        let chains_at = buckets_at.plus(u64::from(buckets).checked_mul(4)?)?;
        let ends = |symbol: &u64| {
            let skip = symbol.checked_sub(first.into());
            skip.and_then(|skip| self.word(chains_at, skip)).is_none_or(|hash| hash & 1 == 1)
        };
        let last = u64::from(last);
        (last..last.saturating_add(MAX_SYMBOLS)).find(ends)?.checked_add(1)
    }

    fn word(&self, table: Addr, index: u64) -> Option<u32> {
        self.memory.u32(table.plus(index.checked_mul(4)?)?).ok()
    }

    /// The bytes from `at` on that are in the dump without a gap, at most `len`, as far as there is room; `None` where
    /// there are none.
    fn run(&self, at: Addr, len: u64) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(left) = len.checked_sub(bytes.len() as u64).filter(|left| *left > 0)
            && let Some(next) = at.plus(bytes.len() as u64)
            && let Ok(run) = self.memory.slice_up_to(next, left)
            && self.take(run.len() as u64)
        {
            bytes.extend_from_slice(run);
        }
        (!bytes.is_empty()).then_some(bytes)
    }

    fn take(&self, bytes: u64) -> bool {
        self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(bytes)).is_ok()
    }
}

/// Where the dynamic section points: glibc's loader adds the bias to addresses where the section lies in memory, musl's
/// does not.
fn in_memory(mapped: &MappedModule, bias: u64, stated: u64) -> Addr {
    let as_is = Addr(stated);
    if (mapped.base..mapped.end).contains(&as_is) { as_is } else { Addr(stated.wrapping_add(bias)) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::capture::ImageKind;
    use crate::capture::Role;
    use symbols::{ModuleSymbols, Svma};

    const BASE: u64 = 0x10_0000;

    fn put(bytes: &mut [u8], at: usize, words: &[u64]) {
        for (index, word) in words.iter().enumerate() {
            bytes[at + index * 8..at + index * 8 + 8].copy_from_slice(&word.to_le_bytes());
        }
    }

    /// A module at 0x100000: PT_LOAD r-x of 0x1000 bytes, PT_DYNAMIC at 0x200. Symbols at 0x300 (the null entry, `run`
    /// at 0x800 with 0x20 bytes), names at 0x400, DT_HASH or DT_GNU_HASH at 0x500. `moved`: whether the loader has
    /// added the bias.
    fn image(gnu: bool, moved: bool) -> Vec<u8> {
        let mut bytes = vec![0u8; 0x1000];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[16..20].copy_from_slice(&[3, 0, 62, 0]);
        put(&mut bytes, 32, &[64]);
        bytes[54..58].copy_from_slice(&[56, 0, 2, 0]);
        put(&mut bytes, 64, &[5 << 32 | 1, 0, 0, 0, 0x1000, 0x1000, 0x1000]);
        put(&mut bytes, 120, &[6 << 32 | 2, 0x200, 0x200, 0x200, 0x60, 0x60, 8]);
        let at = |address: u64| if moved { address + BASE } else { address };
        let hash = if gnu { DT_GNU_HASH } else { DT_HASH };
        put(&mut bytes, 0x200, &[DT_SYMTAB, at(0x300), DT_STRTAB, at(0x400), DT_STRSZ, 16, hash, at(0x500), 0, 0]);
        put(&mut bytes, 0x318, &[14 << 48 | 0x12 << 32 | 1, 0x800, 0x20]);
        bytes[0x401..0x404].copy_from_slice(b"run");
        if gnu {
            // One bucket, symbol 1 the first, one filter word, shift 0; the filter; bucket 0 begins with symbol 1; its
            // hash is the last.
            put(&mut bytes, 0x500, &[1 << 32 | 1, 1, 0, 3 << 32 | 1]);
        } else {
            // One bucket, two symbols.
            put(&mut bytes, 0x500, &[2 << 32 | 1]);
        }
        bytes
    }

    fn module() -> MappedModule {
        MappedModule {
            copies: Vec::new(),
            base: Addr(BASE),
            end: Addr(BASE + 0x1000),
            bias: Some(BASE),
            path: None,
            build_id: Ok(None),
            parts: Vec::new(),
            role: Role::Library,
            image: ImageKind::ELF,
        }
    }

    fn name(bytes: &[u8], at: u64) -> Option<String> {
        let file = Exports::of(&Memory::of_bytes(BASE, bytes)).file(&module())?;
        let symbols = ModuleSymbols::new(Some(Arc::new(file)), None);
        symbols.function(Svma(at)).map(|symbol| symbol.name.to_string())
    }

    #[test]
    fn names_are_found_by_either_hash_table_moved_or_not() {
        for (gnu, moved) in [(false, false), (false, true), (true, false), (true, true)] {
            let bytes = image(gnu, moved);
            assert_eq!(name(&bytes, 0x81f).as_deref(), Some("run"), "{gnu} {moved}");
            assert_eq!(name(&bytes, 0x820), None, "{gnu} {moved}");
        }
    }

    /// The same image with the true hash of `run`, 0x0b88a75b by the function in binutils; its lowest bit ends the bucket.
    fn hashed() -> Vec<u8> {
        let mut bytes = image(true, true);
        bytes[0x51c..0x520].copy_from_slice(&0x0b88_a75bu32.to_le_bytes());
        bytes
    }

    #[test]
    fn one_name_is_found_by_its_hash_alone() {
        let find = |bytes: &[u8], name: &str| Exports::of(&Memory::of_bytes(BASE, bytes)).address(&module(), name);
        let bytes = hashed();
        assert_eq!(find(&bytes, "run"), Some(Addr(BASE + 0x800)));
        assert_eq!(find(&bytes, "ran"), None);
        let mut undefined = bytes.clone();
        undefined[0x31e] = 0;
        assert_eq!(find(&undefined, "run"), None);
        for len in 0..0x520 {
            assert_eq!(find(&bytes[..len], "run"), None, "cut at {len}");
        }
        for at in (0..0x520).step_by(4) {
            for wrong in [0, u32::MAX, 0x7fff_ffff] {
                let mut bytes = bytes.clone();
                bytes[at..at + 4].copy_from_slice(&wrong.to_le_bytes());
                let _ = find(&bytes, "run");
            }
        }
    }

    #[test]
    fn a_dump_cut_anywhere_has_the_names_that_are_in_it() {
        let bytes = image(true, true);
        for len in 0..bytes.len() {
            let found = name(&bytes[..len], 0x800);
            assert!(found.is_none() || found.as_deref() == Some("run") || len < 0x404, "cut at {len}: {found:?}");
        }
        assert_eq!(name(&bytes[..0x520], 0x800).as_deref(), Some("run"));
        assert_eq!(name(&bytes[..0x300], 0x800), None);
    }

    #[test]
    fn each_wrong_word_gives_no_name_or_the_right_one_and_ends() {
        let bytes = image(true, true);
        for at in (0..0x520).step_by(4) {
            for wrong in [0, u32::MAX, 0x7fff_ffff] {
                let mut bytes = bytes.clone();
                bytes[at..at + 4].copy_from_slice(&wrong.to_le_bytes());
                let _ = name(&bytes, 0x800);
            }
        }
    }

    #[test]
    fn what_all_modules_may_read_is_what_the_dump_holds() {
        let exports = Exports::of(&Memory::of_bytes(BASE, &image(true, true)));
        let read = (0..1000).filter(|_| exports.file(&module()).is_some()).count();
        // 48 bytes of symbols, 16 of names, 4 of buckets each time, of 4096.
        assert_eq!(read, 60);
    }
}
