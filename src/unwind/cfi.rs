//! Call frame information: from an address to the rule that recovers the caller's registers.
//!
//! Input are the bytes of `.eh_frame`, `.eh_frame_hdr` and `.debug_frame`; output is a [`Row`], small and owned, so
//! that it can be kept. Specifications: DWARF 5 section 6.4; Linux Standard Base 5.0 core generic, chapter 10.6
//! (`.eh_frame`, `.eh_frame_hdr`). Every loop over the bytes is bounded by a constant of this file; damage ends the
//! look-up of one address, never the program.

use std::sync::OnceLock;

use gimli::{BaseAddresses, CfaRule, EndianSlice, LittleEndian, RegisterRule, UnwindExpression, UnwindSection};
use symbols::FileBytes;

use super::rules::{Bytecode, Cfa, Kind, Row, Rule};
use crate::model::{Arch, Register};

/// Entries of one section that are indexed at most; Chromium, the largest program at hand, has about a million.
const MAX_ENTRIES: usize = 8 << 20;
/// Bytes of instructions of one FDE that are executed at most. Compilers write tens; one of a function of 1 MiB of code
/// that saves registers in every branch stays below 64 KiB.
const MAX_INSTRUCTIONS: usize = 1 << 20;
/// Rules of one row that are kept at most: every register of the architecture once.
const MAX_RULES: usize = 40;

/// Memory of an evaluation of CFI programs; reused, because it is large. One for each worker.
pub type Scratch = gimli::UnwindContext<usize>;

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// A section: its bytes and where it is mapped, in the addresses in which functions are asked for.
#[derive(Clone, Debug)]
pub struct Section {
    /// Address of the first byte (0 for `.debug_frame`, which is not mapped).
    pub address: u64,
    /// The bytes.
    pub bytes: FileBytes,
}

/// The call frame information of one file. Reading it is lazy: nothing is parsed until the first look-up.
#[derive(Debug)]
pub struct Tables {
    arch: Arch,
    eh_frame: Option<Section>,
    search_table: Option<SearchTable>,
    debug_frame: Option<Section>,
    eh_index: OnceLock<Index>,
    debug_index: OnceLock<Index>,
}

impl Tables {
    /// Takes the sections that a file has. `eh_frame_hdr` is used where it holds a search table in the form that
    /// linkers write; else `eh_frame` is read once, front to back.
    pub fn new(
        arch: Arch,
        eh_frame: Option<Section>,
        eh_frame_hdr: Option<&Section>,
        debug_frame: Option<Section>,
    ) -> Tables {
        let search_table = eh_frame_hdr.and_then(SearchTable::parse);
        Tables { arch, eh_frame, search_table, debug_frame, eh_index: OnceLock::new(), debug_index: OnceLock::new() }
    }

    /// The rules at `address` (as the file states it); `None` where no entry covers it or its entry is damaged.
    pub fn row(&self, address: u64, scratch: &mut Scratch) -> Option<Row> {
        self.row_in_eh_frame(address, scratch).or_else(|| self.row_in_debug_frame(address, scratch))
    }

    /// The bytes of an expression that a row of these tables names.
    pub fn bytecode(&self, bytecode: Bytecode) -> Option<&[u8]> {
        let section = match bytecode.kind {
            Kind::EhFrame => self.eh_frame.as_ref()?,
            Kind::DebugFrame => self.debug_frame.as_ref()?,
        };
        section.bytes.get(bytecode.offset..bytecode.offset.checked_add(bytecode.length)?)
    }

    fn row_in_eh_frame(&self, address: u64, scratch: &mut Scratch) -> Option<Row> {
        let section = self.eh_frame.as_ref()?;
        let mut frames = gimli::EhFrame::new(&section.bytes, LittleEndian);
        frames.set_address_size(8);
        frames.set_vendor(vendor(self.arch));
        let bases = BaseAddresses::default().set_eh_frame(section.address);
        let offset = match &self.search_table {
            Some(table) => usize::try_from(table.lookup(address)?.checked_sub(section.address)?).ok()?,
            None => self.eh_index.get_or_init(|| Index::of(&frames, &bases)).lookup(address)?,
        };
        self.row_of_entry(&frames, &bases, gimli::EhFrameOffset(offset), address, Kind::EhFrame, scratch)
    }

    fn row_in_debug_frame(&self, address: u64, scratch: &mut Scratch) -> Option<Row> {
        let section = self.debug_frame.as_ref()?;
        let mut frames = gimli::DebugFrame::new(&section.bytes, LittleEndian);
        frames.set_address_size(8);
        frames.set_vendor(vendor(self.arch));
        let bases = BaseAddresses::default();
        let offset = self.debug_index.get_or_init(|| Index::of(&frames, &bases)).lookup(address)?;
        self.row_of_entry(&frames, &bases, gimli::DebugFrameOffset(offset), address, Kind::DebugFrame, scratch)
    }

    fn row_of_entry<'a, S: UnwindSection<Slice<'a>>>(
        &self,
        section: &S,
        bases: &BaseAddresses,
        offset: S::Offset,
        address: u64,
        kind: Kind,
        scratch: &mut Scratch,
    ) -> Option<Row> {
        let entry = section.fde_from_offset(bases, offset, S::cie_from_offset).ok()?;
        if !entry.contains(address)
            || entry.entry_len() > MAX_INSTRUCTIONS
            || entry.cie().entry_len() > MAX_INSTRUCTIONS
        {
            return None;
        }
        let return_address = Register(entry.cie().return_address_register().0);
        let signal = entry.is_signal_trampoline();
        let row = entry.unwind_info_for_address(section, bases, scratch, address).ok()?;
        let bytecode = |expression: &UnwindExpression<usize>| Bytecode {
            kind,
            offset: expression.offset,
            length: expression.length,
        };
        let cfa = match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => Cfa::Offset(Register(register.0), *offset),
            CfaRule::Expression(expression) => Cfa::Expression(bytecode(expression)),
        };
        let mut rules = Vec::new();
        for (register, rule) in row.registers().take(MAX_RULES) {
            let register = Register(register.0);
            if register.0 >= self.arch.register_count() {
                continue; // vector registers and the like, which no later step asks for
            }
            let rule = match rule {
                RegisterRule::Undefined => Rule::Undefined,
                RegisterRule::SameValue => Rule::SameValue,
                RegisterRule::Offset(offset) => Rule::Saved(*offset),
                RegisterRule::ValOffset(offset) => Rule::Value(*offset),
                RegisterRule::Register(from) => Rule::Register(Register(from.0)),
                RegisterRule::Expression(expression) => Rule::SavedAt(bytecode(expression)),
                RegisterRule::ValExpression(expression) => Rule::ValueOf(bytecode(expression)),
                RegisterRule::Constant(value) => Rule::Constant(*value),
                RegisterRule::Architectural => Rule::Undefined,
            };
            rules.push((register, rule));
        }
        Some(Row { cfa, rules: rules.into(), return_address, signal })
    }
}

fn vendor(arch: Arch) -> gimli::Vendor {
    match arch {
        Arch::Aarch64 => gimli::Vendor::AArch64,
        Arch::X86_64 => gimli::Vendor::Default,
    }
}

/// Where each entry of a section begins, by the function's address; made where there is no search table.
#[derive(Debug, Default)]
struct Index {
    /// (first address, one past the last, offset of the entry), ascending.
    entries: Vec<(u64, u64, usize)>,
}

impl Index {
    fn of<'a, S: UnwindSection<Slice<'a>>>(section: &S, bases: &BaseAddresses) -> Index {
        let mut entries = Vec::new();
        let mut iterator = section.entries(bases);
        let mut common: Option<(S::Offset, gimli::CommonInformationEntry<Slice<'a>>)> = None;
        // A damaged entry ends the iteration: what came before it is kept.
        while let Ok(Some(entry)) = iterator.next() {
            let gimli::CieOrFde::Fde(partial) = entry else { continue };
            let full = partial.parse(|section, bases, offset| match &common {
                Some((known, entry)) if *known == offset => Ok(entry.clone()),
                _ => {
                    let entry = section.cie_from_offset(bases, offset)?;
                    common = Some((offset, entry.clone()));
                    Ok(entry)
                }
            });
            let Ok(full) = full else { continue };
            // Linkers leave entries of discarded functions behind with address 0.
            if full.initial_address() != 0 && full.len() != 0 {
                entries.push((full.initial_address(), full.end_address(), full.offset()));
            }
            if entries.len() >= MAX_ENTRIES {
                break;
            }
        }
        entries.sort_unstable();
        Index { entries }
    }

    fn lookup(&self, address: u64) -> Option<usize> {
        let after = self.entries.partition_point(|(start, _, _)| *start <= address);
        // Overlapping entries are damage, or one nested in another: look back a little.
        self.entries
            .get(after.saturating_sub(4)..after)?
            .iter()
            .rev()
            .find(|(_, end, _)| address < *end)
            .map(|(_, _, offset)| *offset)
    }
}

/// The binary search table of `.eh_frame_hdr`. Source: LSB 5.0 core generic, 10.6.2.
#[derive(Debug)]
struct SearchTable {
    section: Section,
    rows: usize,
}

/// `.eh_frame_hdr`: version, three encodings, address of `.eh_frame`, count: 12 bytes in the encodings that linkers
/// use.
const HEADER: usize = 12;

impl SearchTable {
    /// Accepts the one form that GNU ld, gold, lld and mold write: count as udata4, rows as pairs of sdata4 relative to
    /// the section.
    fn parse(section: &Section) -> Option<SearchTable> {
        const UDATA4: u8 = 0x03;
        const DATAREL_SDATA4: u8 = 0x3b;
        let &[1, pointer, UDATA4, DATAREL_SDATA4] = section.bytes.first_chunk::<4>()? else { return None };
        if !matches!(pointer & 0x0f, 0x03 | 0x0b) {
            return None; // the pointer to .eh_frame is not 4 bytes, so that the rest is shifted
        }
        let claimed = usize::try_from(word(&section.bytes, 8)?).ok()?;
        let held = section.bytes.len().saturating_sub(HEADER) / 8;
        let rows = claimed.min(held);
        (rows > 0).then(|| SearchTable { section: section.clone(), rows })
    }

    /// Address of the entry of the last function that starts at or before `address`.
    fn lookup(&self, address: u64) -> Option<u64> {
        let (mut low, mut high) = (0, self.rows);
        while low < high {
            let middle = low.midpoint(high);
            if self.field(middle, 0)? <= address { low = middle.saturating_add(1) } else { high = middle }
        }
        self.field(low.checked_sub(1)?, 4)
    }

    fn field(&self, row: usize, offset: usize) -> Option<u64> {
        let at = row.checked_mul(8)?.checked_add(HEADER)?.checked_add(offset)?;
        let relative = i64::from(word(&self.section.bytes, at)?.cast_signed());
        Some(self.section.address.wrapping_add_signed(relative))
    }
}

/// Where `.eh_frame` is, as a mapped `.eh_frame_hdr` states it; for modules of which only the dump's own pages are at
/// hand.
pub fn eh_frame_address(header: &Section) -> Option<u64> {
    // DW_EH_PE_pcrel | DW_EH_PE_sdata4, relative to the field at offset 4.
    const PCREL_SDATA4: u8 = 0x1b;
    let &[1, PCREL_SDATA4, _, _] = header.bytes.first_chunk::<4>()? else { return None };
    let relative = i64::from(word(&header.bytes, 4)?.cast_signed());
    Some(header.address.wrapping_add(4).wrapping_add_signed(relative))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().copied().map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the tests map `.eh_frame` and `.eh_frame_hdr`.
    const FRAMES: u32 = 0x2000;
    const HEADER_AT: u32 = 0x3000;
    /// Offsets of the two functions' entries.
    const ENTRIES: [u32; 2] = [0x18, 0x38];

    /// A CIE and two functions of 16 bytes, at 0x1000 and 0x1010.
    fn eh_frame() -> Vec<u8> {
        let mut bytes = vec![
            20, 0, 0, 0, // length
            0, 0, 0, 0, // a CIE
            1, b'z', b'R', 0, 1, 0x78, 16, 1,
            0x1b, // version, augmentation, factors 1 and -8, column, pcrel sdata4
            0x0c, 7, 8, // DW_CFA_def_cfa rsp + 8
            0x90, 1, // DW_CFA_offset column 16 at CFA - 8
            0, 0,
        ];
        for (start, entry) in [0x1000, 0x1010].into_iter().zip(ENTRIES) {
            bytes.extend([28, 0, 0, 0]); // length
            bytes.extend((entry + 4).to_le_bytes()); // bytes back to the CIE
            bytes.extend(relative(start, FRAMES + entry + 8)); // first address
            bytes.extend([16, 0, 0, 0, 0]); // bytes of code, no augmentation
            bytes.extend([0x41, 0x0e, 16, 0x86, 2]); // from byte 1: CFA = rsp + 16, rbp at CFA - 16
            bytes.extend([0x43, 0x0d, 6]); // from byte 4: CFA = rbp + 16
            bytes.extend([0x48, 0x0c, 7, 8, 0, 0, 0]); // from byte 12: CFA = rsp + 8
        }
        bytes.extend([0; 4]);
        bytes
    }

    fn header() -> Vec<u8> {
        let mut bytes = vec![1, 0x1b, 0x03, 0x3b];
        bytes.extend(relative(FRAMES, HEADER_AT + 4));
        bytes.extend(2u32.to_le_bytes());
        for (start, entry) in [0x1000, 0x1010].into_iter().zip(ENTRIES) {
            bytes.extend(relative(start, HEADER_AT));
            bytes.extend(relative(FRAMES + entry, HEADER_AT));
        }
        bytes
    }

    fn relative(address: u32, from: u32) -> [u8; 4] {
        address.wrapping_sub(from).to_le_bytes()
    }

    fn section(address: u32, bytes: Vec<u8>) -> Section {
        Section { address: address.into(), bytes: FileBytes::from_vec(bytes) }
    }

    fn row(tables: &Tables, address: u64) -> Option<(Cfa, Vec<(u16, Rule)>)> {
        let row = tables.row(address, &mut Scratch::new())?;
        let mut rules: Vec<(u16, Rule)> = row.rules.iter().map(|(register, rule)| (register.0, *rule)).collect();
        rules.sort_by_key(|(register, _)| *register);
        Some((row.cfa, rules))
    }

    fn check(tables: &Tables) {
        let saved = vec![(6, Rule::Saved(-16)), (16, Rule::Saved(-8))];
        let cfa = |register, offset| Cfa::Offset(Register(register), offset);
        assert_eq!(row(tables, 0x1000), Some((cfa(7, 8), vec![(16, Rule::Saved(-8))])));
        assert_eq!(row(tables, 0x1001), Some((cfa(7, 16), saved.clone())));
        assert_eq!(row(tables, 0x1014), Some((cfa(6, 16), saved.clone())));
        assert_eq!(row(tables, 0x101f), Some((cfa(7, 8), saved)));
        assert_eq!(row(tables, 0xfff), None);
        assert_eq!(row(tables, 0x1020), None);
    }

    #[test]
    fn rows_are_the_same_with_and_without_a_search_table() {
        let header = section(HEADER_AT, header());
        check(&Tables::new(Arch::X86_64, Some(section(FRAMES, eh_frame())), Some(&header), None));
        check(&Tables::new(Arch::X86_64, Some(section(FRAMES, eh_frame())), None, None));
        assert_eq!(eh_frame_address(&header), Some(FRAMES.into()));
    }

    #[test]
    fn a_section_cut_at_any_length_gives_rows_or_none() {
        let whole = eh_frame();
        for length in 0..whole.len() {
            let cut = Some(section(FRAMES, whole[..length].to_vec()));
            let indexed = Tables::new(Arch::X86_64, cut.clone(), None, None);
            let searched = Tables::new(Arch::X86_64, cut, Some(&section(HEADER_AT, header())), None);
            let reached = length >= usize::try_from(ENTRIES[0]).unwrap() + 32;
            assert_eq!(row(&indexed, 0x1000).is_some(), reached, "{length} bytes");
            assert_eq!(row(&searched, 0x1000).is_some(), reached, "{length} bytes");
        }
        for length in 0..header().len() {
            let cut = section(HEADER_AT, header()[..length].to_vec());
            let tables = Tables::new(Arch::X86_64, Some(section(FRAMES, eh_frame())), Some(&cut), None);
            assert!(row(&tables, 0x1000).is_some(), "without a search table the section is read: {length} bytes");
        }
    }

    #[test]
    fn every_byte_may_be_wrong() {
        let wrong = |bytes: Vec<u8>, at: usize, value: u8| {
            let mut bytes = bytes;
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            bytes
        };
        for at in 0..eh_frame().len() {
            for value in 0..=255 {
                let frames = section(FRAMES, wrong(eh_frame(), at, value));
                let header = section(HEADER_AT, wrong(header(), at, value));
                for tables in [
                    Tables::new(Arch::X86_64, Some(frames.clone()), None, None),
                    Tables::new(Arch::Aarch64, Some(frames), Some(&header), None),
                ] {
                    for address in [0x1000, 0x1005, 0x101f, u64::MAX] {
                        let row = tables.row(address, &mut Scratch::new());
                        // What a row names is readable, whatever it is.
                        if let Some(Row { cfa: Cfa::Expression(bytecode), .. }) = row {
                            assert!(tables.bytecode(bytecode).is_some());
                        }
                    }
                }
            }
        }
    }
}
