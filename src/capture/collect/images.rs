//! The parts of a module that a stack cannot be walked or named without, where its file is not at hand: headers, build
//! id, dynamic section with its symbols, unwind tables.
//!
//! Input: a stopped process's mappings and memory. Specification: gABI "Program Header", "Dynamic Section"; LSB
//! "Exception Frames".

use rustc_hash::FxHashSet;

use super::maps::{Mapping, Span};
use super::peek::Peek;
use super::source::PAGE;
use super::unwind_table;

/// Most program headers of a module, entries of its dynamic section.
const MAX_HEADERS: u16 = 256;
const MAX_DYNAMIC: u64 = 512;
/// Largest piece that is taken of any one table.
const MAX_PIECE: u64 = 64 << 20;
/// Most modules of the loader's list, longest path in it.
const MAX_LINKS: usize = 65_536;
const MAX_PATH: u64 = 4096;
/// Bytes of a `struct link_map` that are kept. glibc's private part is 1.2 KiB; debuggers read the first five words.
const LINK_MAP: u64 = 64;

// Source: gABI.
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_NOTE: u32 = 4;
const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_STRSZ: u64 = 10;
const DT_DEBUG: u64 = 21;
const DT_GNU_HASH: u64 = 0x6fff_fef5;

/// A program header: type, flags, address without bias, bytes in memory.
#[derive(Clone, Copy, Debug)]
struct Header {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    size: u64,
}

/// A module in memory.
#[derive(Clone, Debug)]
pub(super) struct Image {
    base: u64,
    bias: u64,
    headers: Vec<Header>,
    /// Entries of the dynamic section.
    dynamic: Vec<(u64, u64)>,
}

/// The ELF modules that are mapped, ascending.
pub(super) fn images(mappings: &[Mapping], peek: &Peek<'_>) -> Vec<Image> {
    let starts = mappings.iter().filter(|mapping| {
        mapping.offset == 0 && mapping.access.read && (mapping.has_file() && !mapping.shared || mapping.is_vdso())
    });
    starts.filter_map(|mapping| Image::read(mapping.span.start.0, peek)).collect()
}

/// What mapped files are, by inode.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Windows images: assemblies of .NET. The runtime maps one as it is, or its sections one by one, or all of them
    /// from one bundle.
    assemblies: FxHashSet<u64>,
    /// ELF modules.
    modules: FxHashSet<u64>,
}

impl Files {
    pub(super) fn of(mappings: &[Mapping], peek: &Peek<'_>) -> Files {
        let mut files = Files::default();
        for mapping in mappings.iter().filter(|mapping| mapping.inode != 0 && mapping.access.read) {
            let mut start = [0; 2];
            // Of shared memory a page that nobody wrote would come into being. A file's is there, also where a copy of
            // the process does not have it in its tables.
            let is_memory = mapping.shared && !mapping.is_data_file();
            let read = if is_memory { Peek::read_present } else { Peek::read };
            match read(peek, mapping.span.start.0, &mut start).map(|()| start) {
                Some([b'M', b'Z']) => files.assemblies.extend([mapping.inode]),
                Some([0x7f, b'E']) if mapping.offset == 0 => files.modules.extend([mapping.inode]),
                _ => {}
            }
        }
        files
    }

    pub(super) fn is_assembly(&self, mapping: &Mapping) -> bool {
        self.assemblies.contains(&mapping.inode)
    }

    pub(super) fn is_module(&self, mapping: &Mapping) -> bool {
        self.modules.contains(&mapping.inode)
    }
}

/// Metadata of the assembly of .NET whose headers are at a place, where its sections are mapped one by one: those precompiled have it among
/// their code, of which no more than what was run may be in memory. `None` for others.
// Source: ECMA-335 II.25: e_lfanew at 0x3c; behind the signature and the 20 bytes of the file header the optional header, of 64 bits with magic
// 0x20b, whose directories begin at 112, of 8 bytes each, that of the CLI header the 15th; in that the metadata's at 8.
pub(super) fn metadata(base: u64, peek: &Peek<'_>) -> Option<Span> {
    if peek.quarter(base)? != u16::from_le_bytes(*b"MZ") {
        return None;
    }
    let header = base.checked_add(peek.half(base.checked_add(0x3c)?)?.into())?;
    let optional = header.checked_add(24)?;
    if peek.half(header)? != u32::from_le_bytes(*b"PE\0\0") || peek.quarter(optional)? != 0x20b {
        return None;
    }
    let cli = base.checked_add(peek.half(optional.checked_add(112 + 14 * 8)?)?.into())?;
    let start = base.checked_add(peek.half(cli.checked_add(8)?)?.into())?;
    let size = u64::from(peek.half(cli.checked_add(12)?)?).min(MAX_PIECE);
    // Where the file is mapped as it is, something else is there.
    (peek.half(start)? == u32::from_le_bytes(*b"BSJB")).then(|| Span::new(start, start.saturating_add(size)))
}

impl Image {
    fn read(base: u64, peek: &Peek<'_>) -> Option<Image> {
        // Class 64 bits, little endian.
        if peek.half(base)? != u32::from_le_bytes(*b"\x7fELF") || peek.quarter(base.checked_add(4)?)? != 0x0102 {
            return None;
        }
        // e_phoff at 32, e_phentsize at 54, e_phnum at 56.
        let table = base.checked_add(peek.word(base.checked_add(32)?)?)?;
        let count = peek.quarter(base.checked_add(56)?)?.min(MAX_HEADERS);
        if peek.quarter(base.checked_add(54)?)? != 56 {
            return None;
        }
        let headers: Vec<Header> = (0..u64::from(count))
            .map_while(|index| {
                let at = table.checked_add(index.checked_mul(56)?)?;
                let word = |offset: u64| peek.word(at.checked_add(offset)?);
                let (kind, flags) = (peek.half(at)?, peek.half(at.checked_add(4)?)?);
                Some(Header { kind, flags, offset: word(8)?, address: word(16)?, size: word(40)? })
            })
            .collect();
        let first = headers.iter().find(|header| header.kind == PT_LOAD)?;
        let bias = base.wrapping_sub(first.address.wrapping_sub(first.offset));
        let mut image = Image { base, bias, headers, dynamic: Vec::new() };
        if let Some(section) = image.segment(PT_DYNAMIC) {
            let entries = (0..MAX_DYNAMIC).map_while(|index| {
                let at = section.start.0.checked_add(index.checked_mul(16)?)?;
                let tag = peek.word(at)?;
                (tag != 0).then_some((tag, peek.word(at.checked_add(8)?)?))
            });
            image.dynamic = entries.collect();
        }
        Some(image)
    }

    fn span(&self, header: &Header) -> Span {
        let start = header.address.wrapping_add(self.bias);
        Span::new(start, start.saturating_add(header.size.min(MAX_PIECE)))
    }

    fn segment(&self, kind: u32) -> Option<Span> {
        self.headers.iter().find(|header| header.kind == kind).map(|header| self.span(header))
    }

    /// All memory of its segments that the program may write.
    pub(super) fn writable(&self) -> impl Iterator<Item = Span> {
        // PF_W is 2.
        self.headers
            .iter()
            .filter(|header| header.kind == PT_LOAD && header.flags & 2 != 0)
            .map(|header| self.span(header))
    }

    /// The value of an entry of the dynamic section.
    fn entry(&self, tag: u64) -> Option<u64> {
        self.dynamic.iter().find(|(found, _)| *found == tag).map(|(_, value)| *value)
    }

    /// An address of the dynamic section: glibc's loader adds the bias to those in memory, musl's does not.
    fn address(&self, tag: u64) -> Option<u64> {
        let stated = self.entry(tag)?;
        Some(if stated < self.base { stated.wrapping_add(self.bias) } else { stated })
    }

    /// The parts that are needed without its file.
    pub(super) fn essentials(&self, peek: &Peek<'_>) -> Vec<Span> {
        let mut spans = vec![Span::new(self.base, self.base.saturating_add(PAGE))];
        for header in &self.headers {
            if matches!(header.kind, PT_NOTE | PT_DYNAMIC) {
                spans.push(self.span(header));
            }
            if header.kind == PT_GNU_EH_FRAME {
                spans.extend(self.unwind_tables(header, peek));
            }
        }
        let (symbols, names) = (self.address(DT_SYMTAB), self.address(DT_STRTAB));
        if let (Some(symbols), Some(names), Some(size)) = (symbols, names, self.entry(DT_STRSZ)) {
            // The table of symbols has no stated size; every linker lays the names behind it.
            let end = names.saturating_add(size.min(MAX_PIECE));
            if (symbols..symbols.saturating_add(MAX_PIECE)).contains(&names) {
                spans.push(Span::new(symbols, end));
            } else {
                spans.push(Span::new(names, end));
            }
        }
        for table in [DT_GNU_HASH, DT_HASH].into_iter().filter_map(|tag| self.address(tag)) {
            // They stand before the symbols, or else are small.
            let end = symbols.filter(|symbols| *symbols > table && symbols - table < MAX_PIECE);
            spans.push(Span::new(table, end.unwrap_or(table.saturating_add(4 * PAGE))));
        }
        spans
    }

    /// `.eh_frame_hdr` and, behind the pointer in it, `.eh_frame` to the end of its segment: its size is stated
    /// nowhere.
    fn unwind_tables(&self, header: &Header, peek: &Peek<'_>) -> Vec<Span> {
        let index = self.span(header);
        // Version 1, then the pointer's encoding: DW_EH_PE_pcrel | DW_EH_PE_sdata4.
        let encoded = peek.quarter(index.start.0) == Some(0x1b01);
        let field = index.start.0.saturating_add(4);
        let tables = peek.half(field).filter(|_| encoded).map(|offset| {
            let at = field.wrapping_add(i64::from(offset.cast_signed()).cast_unsigned());
            let holds = |load: &&Header| load.kind == PT_LOAD && self.span(load).contains(at);
            let end = self.headers.iter().find(holds).map(|load| self.span(load).end.0);
            Span::new(at, end.unwrap_or(at).min(at.saturating_add(MAX_PIECE)))
        });
        [Some(index), tables].into_iter().flatten().collect()
    }

    /// Its code, and whether its unwind table covers that.
    pub(super) fn code(&self, peek: &Peek<'_>) -> Vec<(Span, bool)> {
        // PF_X is 1.
        let is_code = |header: &&Header| header.kind == PT_LOAD && header.flags & 1 != 0;
        let spans: Vec<Span> = self.headers.iter().filter(is_code).map(|header| self.span(header)).collect();
        let size = spans.iter().map(|span| span.len()).fold(0, u64::saturating_add);
        // Of `.eh_frame_hdr`: the count's encoding at 2 (DW_EH_PE_udata4), the count at 8 behind a pointer of four
        // bytes.
        let entries = self.segment(PT_GNU_EH_FRAME).and_then(|index| {
            let encoded = peek.half(index.start.0)?.to_le_bytes();
            let is_known = matches!(encoded, [1, 0x1b, 0x03, _]);
            peek.half(index.start.0.checked_add(8)?).filter(|_| is_known)
        });
        // A table of another form is taken to cover it, as all but a few do.
        let tabled = match (self.segment(PT_GNU_EH_FRAME), entries) {
            (None, _) => false,
            (Some(_), Some(entries)) => unwind_table::covers(entries.into(), size),
            (Some(_), None) => true,
        };
        spans.into_iter().map(|span| (span, tabled)).collect()
    }

    /// The loader's list of modules, where this one's dynamic section leads to it: its nodes, names and head.
    pub(super) fn links(&self, peek: &Peek<'_>) -> Vec<Span> {
        let mut spans = Vec::new();
        let Some(debug) = self.entry(DT_DEBUG).filter(|debug| *debug != 0) else { return spans };
        spans.push(Span::new(debug, debug.saturating_add(LINK_MAP)));
        // r_map at 8; l_name at 8, l_next at 24. Source: glibc elf/link.h.
        let mut next = peek.word(debug.saturating_add(8));
        while let Some(link) = next.filter(|link| *link != 0 && spans.len() < 2 * MAX_LINKS) {
            spans.push(Span::new(link, link.saturating_add(LINK_MAP)));
            if let Some(name) = peek.word(link.saturating_add(8)) {
                let len = peek.text_length(name, MAX_PATH).unwrap_or(1);
                spans.push(Span::new(name, name.saturating_add(len)));
            }
            next = peek.word(link.saturating_add(24));
        }
        spans
    }
}
