//! One ELF file: headers, segments, sections, build id.
//!
//! Parsing reads the three tables only and keeps what is good: an executable whose section headers are cut off still has segments, a
//! debug file whose segments hold nothing still has sections. Specification: System V ABI (gABI) and its GNU additions.

mod headers;
mod links;
mod notes;
mod plt;
mod relocations;
mod symbols;
pub(crate) mod words;

use std::path::Path;
use std::sync::OnceLock;

use object::elf;

pub use self::headers::ProgramHeader;
pub use self::links::{AltLink, DebugLink};
pub use self::relocations::RelativeWord;
pub(crate) use self::symbols::{RawSymbol, RawSymbols, SectionHolds};

use self::headers::{ALLOC, COMPRESSED, EXECUTE, FileHeader, SectionHeader};
use self::words::{Layout, Words, part};
use crate::go_table::{self, GoTable};
use crate::{BuildId, Error, FileBytes, Place, Svma, decompress};

/// Entries of the dynamic section that are read at most; real ones have about 30.
const MAX_DYNAMIC: usize = 4096;

/// The architecture a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Machine {
    /// x86-64, 64-bit or x32.
    X86_64,
    /// 64-bit ARM.
    Aarch64,
    /// Another one, by its `EM_*` number.
    Other(u16),
}

impl Machine {
    /// From the `e_machine` field of an ELF header.
    pub fn from_elf(number: u16) -> Machine {
        match elf::Machine(number) {
            elf::EM_X86_64 => Machine::X86_64,
            elf::EM_AARCH64 => Machine::Aarch64,
            _ => Machine::Other(number),
        }
    }
}

/// A `PT_LOAD` segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadSegment {
    /// Where it starts in memory.
    pub svma: Svma,
    /// Its size in memory, bytes; what exceeds `file_size` is zero.
    pub mem_size: u64,
    /// Where its bytes start in the file.
    pub offset: u64,
    /// How many bytes the file holds.
    pub file_size: u64,
    /// Whether it is readable.
    pub read: bool,
    /// Whether it is writable.
    pub write: bool,
    /// Whether it is executable.
    pub execute: bool,
}

/// A section's place and content.
#[derive(Clone, Debug)]
pub struct Section {
    /// Where it is mapped; 0 for sections that are not.
    pub svma: Svma,
    /// Its content, decompressed.
    pub bytes: FileBytes,
}

/// One ELF file, parsed within limits. Cheap to keep: the bytes stay mapped, the tables are small.
#[derive(Debug)]
pub struct Elf {
    bytes: FileBytes,
    place: Option<Place>,
    header: FileHeader,
    program_headers: Vec<ProgramHeader>,
    segments: Vec<LoadSegment>,
    sections: Vec<SectionHeader>,
    build_id: Option<BuildId>,
    go_table: OnceLock<Option<Svma>>,
}

impl Elf {
    /// Reads the headers. Fails only where the file header itself is not that of an ELF file; damaged tables are read as far as they go.
    pub fn parse(bytes: FileBytes) -> Result<Elf, Error> {
        let header = FileHeader::parse(&bytes)?;
        let program_headers = header.program_headers(&bytes);
        let sections = header.sections(&bytes);
        let mut segments: Vec<LoadSegment> =
            program_headers.iter().filter(|header| header.kind == elf::PT_LOAD.0).map(LoadSegment::from).collect();
        segments.sort_by_key(|segment| segment.svma);
        let go_table = OnceLock::new();
        let mut file =
            Elf { bytes, place: None, header, program_headers, segments, sections, build_id: None, go_table };
        file.build_id = file.find_build_id();
        Ok(file)
    }

    /// The same, remembering the path the bytes came from.
    pub fn parse_at(path: &Path, bytes: FileBytes) -> Result<Elf, Error> {
        Elf::parse_from(Place::File(path.to_owned()), bytes)
    }

    /// The same, remembering the place that the bytes came from.
    pub fn parse_from(place: Place, bytes: FileBytes) -> Result<Elf, Error> {
        Ok(Elf { place: Some(place), ..Elf::parse(bytes)? })
    }

    /// Where it came from; `None` for bytes of a dump or of another file.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// The path it was opened from, if it came from a path.
    pub fn path(&self) -> Option<&Path> {
        self.place()?.path()
    }

    /// All bytes of the file.
    pub fn bytes(&self) -> &FileBytes {
        &self.bytes
    }

    /// The architecture.
    pub fn machine(&self) -> Machine {
        Machine::from_elf(self.header.machine)
    }

    /// Whether addresses are 8 bytes (else 4).
    pub fn is_64(&self) -> bool {
        self.header.layout.wide
    }

    /// Whether numbers are little endian.
    pub fn is_little_endian(&self) -> bool {
        !self.header.layout.big
    }

    /// Whether it is loaded at an address of the loader's choice (`ET_DYN`): a shared library or a position-independent executable.
    pub fn is_dynamic(&self) -> bool {
        self.header.kind == elf::ET_DYN.0
    }

    /// Whether it is an executable that is loaded at the addresses it states (`ET_EXEC`).
    pub fn is_fixed(&self) -> bool {
        self.header.kind == elf::ET_EXEC.0
    }

    /// Where execution starts; 0 in files that are not executed.
    pub fn entry(&self) -> Svma {
        self.header.entry
    }

    /// The build id, from the sections or, where they are gone, from the segments.
    pub fn build_id(&self) -> Option<&BuildId> {
        self.build_id.as_ref()
    }

    /// The program headers in file order.
    pub fn program_headers(&self) -> &[ProgramHeader] {
        &self.program_headers
    }

    /// The `PT_LOAD` segments, sorted by address.
    pub fn segments(&self) -> &[LoadSegment] {
        &self.segments
    }

    /// `PT_GNU_EH_FRAME`: address and size of `.eh_frame_hdr`, for files whose section headers are gone.
    pub fn program_header_eh_frame(&self) -> Option<(Svma, u64)> {
        let header = self.program_headers.iter().find(|header| header.kind == elf::PT_GNU_EH_FRAME.0)?;
        Some((header.svma, header.mem_size))
    }

    /// Whether it holds the program's instructions; a separate debug file has the sections but not their bytes.
    pub fn has_code(&self) -> bool {
        let code = |section: &&SectionHeader| section.has_flag(EXECUTE) && section.has_flag(ALLOC);
        match self.sections.iter().find(code) {
            Some(_) => self.sections.iter().any(|section| code(&section) && section.has_bytes()),
            None => self.segments.iter().any(|segment| segment.execute && segment.file_size > 0),
        }
    }

    /// Whether it has DWARF of its own.
    pub fn has_debug_info(&self) -> bool {
        self.header_named(".debug_info").or_else(|| self.header_named(".zdebug_info")).is_some()
    }

    /// Whether it has DWARF or a full symbol table.
    pub fn has_names(&self) -> bool {
        self.has_debug_info() || self.raw_symbols(elf::SHT_SYMTAB).is_some()
    }

    /// The size in the file of the section of that name; 0 where there is none.
    pub(crate) fn section_size(&self, name: &str) -> u64 {
        self.header_named(name).map_or(0, |section| section.size)
    }

    /// Bytes of the section of that name where it must be decompressed; 0 where it lies in the file as it is.
    pub(crate) fn compressed_size(&self, name: &str) -> u64 {
        self.header_named(name).filter(|section| section.has_flag(COMPRESSED)).map_or(0, |section| section.size)
    }

    /// The section of that name, decompressed; `None` where there is none or the file holds no bytes for it. `.debug_x` also finds the
    /// old compressed form `.zdebug_x`.
    pub fn section(&self, name: &str) -> Result<Option<Section>, Error> {
        if let Some(header) = self.header_named(name) {
            return self.content(name, header).map(Some);
        }
        let old = name.strip_prefix(".debug_").map(|rest| format!(".zdebug_{rest}"));
        match old.and_then(|old| self.header_named(&old)) {
            Some(header) => self.old_compressed(name, header).map(Some),
            None => Ok(None),
        }
    }

    /// The sections that are mapped, with the place and size of each, whether or not the file holds their bytes.
    pub(crate) fn mapped_sections(&self) -> impl Iterator<Item = (&[u8], (Svma, u64))> {
        let names = self.header.section_names(&self.bytes, &self.sections);
        let mapped = self.sections.iter().filter(|section| section.has_flag(ALLOC));
        mapped.filter_map(move |section| {
            Some((words::c_string(names, section.name.into())?, (section.svma, section.size)))
        })
    }

    /// Whether it has section headers: one that was put together from the pages of a dump has none.
    pub(crate) fn has_sections(&self) -> bool {
        !self.sections.is_empty()
    }

    /// Where Go's table of functions is; `None` where the file was not made by Go. Without section headers it is searched for, once.
    pub fn go_table(&self) -> Option<Svma> {
        *self.go_table.get_or_init(|| match self.has_sections() {
            true => go_table::SECTIONS.iter().find_map(|name| self.header_named(name)).map(|header| header.svma),
            false => GoTable::of(self).map(|table| table.at),
        })
    }

    /// The file's bytes for `len` bytes at `svma`, where one `PT_LOAD` holds them all. In a separate debug file this is meaningless:
    /// its segments describe another file.
    pub fn bytes_at(&self, svma: Svma, len: u64) -> Option<&[u8]> {
        part(&self.bytes, self.offset_of(svma, len)?, len)
    }

    /// The same, sharing the file's bytes.
    pub(crate) fn slice_at(&self, svma: Svma, len: u64) -> Option<FileBytes> {
        let start = usize::try_from(self.offset_of(svma, len)?).ok()?;
        self.bytes.slice(start..start.checked_add(usize::try_from(len).ok()?)?)
    }

    fn offset_of(&self, svma: Svma, len: u64) -> Option<u64> {
        let before = self.segments.partition_point(|segment| segment.svma <= svma);
        let segment = self.segments.get(before.checked_sub(1)?)?;
        let skip = svma.offset_from(segment.svma)?;
        let inside = skip.checked_add(len)? <= segment.file_size;
        if inside { segment.offset.checked_add(skip) } else { None }
    }

    /// The first value of a tag of the dynamic section (`DT_*`).
    pub fn dynamic_value(&self, tag: i64) -> Option<u64> {
        self.dynamic().find(|(found, _)| *found == tag).map(|(_, value)| value)
    }

    /// The entries of the dynamic section in order: tag (`DT_*`) and value.
    pub fn dynamic(&self) -> impl Iterator<Item = (i64, u64)> {
        let header = self.program_headers.iter().find(|header| header.kind == elf::PT_DYNAMIC.0);
        let bytes = header.and_then(|header| self.bytes_at(header.svma, header.file_size)).unwrap_or_default();
        let words = Words::new(bytes, self.header.layout);
        let size: usize = if self.header.layout.wide { 8 } else { 4 };
        (0..MAX_DYNAMIC).map_while(move |index| {
            let offset = index.checked_mul(size)?.checked_mul(2)?;
            let tag = words.word(offset)?;
            let tag = if words.layout.wide { tag.cast_signed() } else { i64::from(words.u32(offset)?.cast_signed()) };
            let value = words.word(offset.checked_add(size)?)?;
            (tag != elf::DT_NULL.0).then_some((tag, value))
        })
    }

    /// The library's own name (`DT_SONAME`).
    pub fn soname(&self) -> Option<&str> {
        let table = Svma(self.dynamic_value(elf::DT_STRTAB.0)?);
        let size = self.dynamic_value(elf::DT_STRSZ.0)?;
        let name = words::c_string(self.bytes_at(table, size)?, self.dynamic_value(elf::DT_SONAME.0)?)?;
        std::str::from_utf8(name).ok()
    }

    /// Where the mapped section that holds `svma` ends; where the section headers are gone, the segment.
    pub(crate) fn section_end(&self, svma: Svma) -> Option<Svma> {
        if self.sections.is_empty() {
            let holds =
                |segment: &&LoadSegment| svma.offset_from(segment.svma).is_some_and(|skip| skip < segment.mem_size);
            let segment = self.segments.iter().find(holds)?;
            return segment.svma.checked_add(segment.mem_size);
        }
        let section = self.sections.iter().find(|section| section.contains(svma))?;
        section.svma.checked_add(section.size)
    }

    pub(crate) fn layout(&self) -> Layout {
        self.header.layout
    }

    pub(crate) fn machine_number(&self) -> u16 {
        self.header.machine
    }

    fn header_named(&self, name: &str) -> Option<&SectionHeader> {
        let names = self.header.section_names(&self.bytes, &self.sections);
        self.sections.iter().find(|section| section.has_bytes() && section.is_named(name, names))
    }

    fn content(&self, name: &str, header: &SectionHeader) -> Result<Section, Error> {
        let raw = self.raw(name, header)?;
        if !header.has_flag(COMPRESSED) {
            return Ok(Section { svma: header.svma, bytes: raw });
        }
        let words = Words::new(&raw, self.header.layout);
        // Elf64_Chdr is 24 bytes with the size at 8, Elf32_Chdr 12 with the size at 4.
        let (kind, claimed) = (words.u32(0), words.word_at(8, 4));
        let body = raw.get(if self.header.layout.wide { 24 } else { 12 }..);
        let (Some(kind), Some(claimed), Some(body)) = (kind, claimed, body) else {
            return Err(damaged(name, "it ends inside the compression header".to_owned()));
        };
        let bytes = match elf::CompressionType(kind) {
            elf::ELFCOMPRESS_ZLIB => decompress::zlib(body, claimed),
            elf::ELFCOMPRESS_ZSTD => decompress::zstd(body, claimed),
            _ => Err(format!("compression type {kind} is unknown")),
        };
        raw.forget_pages();
        let bytes = bytes.map_err(|reason| damaged(name, reason))?;
        Ok(Section { svma: header.svma, bytes: FileBytes::from_vec(bytes) })
    }

    /// `.zdebug_*`: "ZLIB", the size as 8 bytes big endian, a zlib stream. Source: binutils 2.40, bfd/compress.c.
    fn old_compressed(&self, name: &str, header: &SectionHeader) -> Result<Section, Error> {
        let raw = self.raw(name, header)?;
        let size = raw.strip_prefix(b"ZLIB").and_then(|rest| rest.split_first_chunk::<8>());
        let Some((size, body)) = size else {
            return Err(damaged(name, "it does not begin with ZLIB and a size".to_owned()));
        };
        let bytes = decompress::zlib(body, u64::from_be_bytes(*size)).map_err(|reason| damaged(name, reason))?;
        Ok(Section { svma: header.svma, bytes: FileBytes::from_vec(bytes) })
    }

    fn raw(&self, name: &str, header: &SectionHeader) -> Result<FileBytes, Error> {
        let range = || {
            let start = usize::try_from(header.offset).ok()?;
            let end = usize::try_from(header.offset.checked_add(header.size)?).ok()?;
            self.bytes.slice(start..end)
        };
        range().ok_or_else(|| Error::OutsideFile {
            what: format!("section {name}"),
            offset: header.offset,
            size: header.size,
        })
    }

    /// Sections come first: in a debug file the segments still describe the original file.
    fn find_build_id(&self) -> Option<BuildId> {
        let layout = self.header.layout;
        let in_sections = self.sections.iter().filter(|section| section.kind == elf::SHT_NOTE.0).find_map(|section| {
            notes::build_id(part(&self.bytes, section.offset, section.size)?, section.align, layout)
        });
        in_sections.or_else(|| {
            let segments = self.program_headers.iter().filter(|header| header.kind == elf::PT_NOTE.0);
            segments.into_iter().find_map(|header| {
                notes::build_id(part(&self.bytes, header.offset, header.file_size)?, header.align, layout)
            })
        })
    }
}

impl From<&ProgramHeader> for LoadSegment {
    fn from(header: &ProgramHeader) -> LoadSegment {
        let flag = |flag: elf::ProgramFlags| header.flags & flag.0 != 0;
        LoadSegment {
            svma: header.svma,
            mem_size: header.mem_size,
            offset: header.offset,
            file_size: header.file_size,
            read: flag(elf::PF_R),
            write: flag(elf::PF_W),
            execute: flag(elf::PF_X),
        }
    }
}

fn damaged(section: &str, reason: String) -> Error {
    Error::Decompress { section: section.to_owned(), reason }
}
