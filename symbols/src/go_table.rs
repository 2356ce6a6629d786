//! Go's own table of functions and lines, `.gopclntab`: it is there in stripped programs too, since the runtime prints its traces from it.
//!
//! Sources: Go src/internal/abi/symtab.go (magics), src/runtime/symtab.go (pcHeader, pcvalue, funcname, funcfile), src/runtime/runtime2.go
//! (_func), src/debug/gosym/pclntab.go; cmd/link/internal/ld/pcln.go of 1.16, 1.18, 1.20. Left out: tables older than Go 1.16, calls that
//! were inlined (the physical function is named), 32-bit and big-endian programs.

use std::sync::Arc;

use crate::{Elf, FileBytes, Section, Svma};

pub(crate) const SECTIONS: [&str; 2] = [".gopclntab", ".data.rel.ro.gopclntab"];
/// Functions of one program; Kubernetes' largest has 120,000.
const MAX_FUNCTIONS: usize = 1 << 22;
/// Where there are no section headers: segments and places in them that are looked at.
const MAX_SEGMENTS: usize = 16;
const MAX_PLACES: usize = 64;
const ALIGN: usize = 32;
/// Longest name of a function or file, in bytes.
const MAX_NAME: usize = 4 << 10;
/// Steps through one function's table of lines.
const MAX_STEPS: usize = 1 << 16;

// pcHeader: magic 4 bytes, zero 2, smallest instruction 1, pointer size 1, then words.
const HEADER: usize = 8;
const WORD: usize = 8;

/// What differs between versions of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Go 1.16 and 1.17: whole addresses.
    Addresses,
    /// Go 1.18 and later: 32-bit offsets from the start of the text.
    Offsets,
}

/// The table of one file.
#[derive(Debug)]
pub(crate) struct GoTable {
    /// Where it is mapped.
    pub(crate) at: Svma,
    bytes: FileBytes,
    form: Form,
    /// Bytes of the smallest instruction: program counters are counted in these.
    quantum: u64,
    functions: usize,
    /// Where the code begins, to which offsets are added.
    text: u64,
    names: usize,
    units: usize,
    files: usize,
    values: usize,
    entries: usize,
}

/// A function of Go's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GoFunction {
    /// `main.(*order).price`.
    pub(crate) name: Arc<str>,
    pub(crate) start: Svma,
    /// Bytes up to the next function.
    pub(crate) size: u64,
    pub(crate) file: Option<Arc<str>>,
    pub(crate) line: Option<u32>,
}

/// The frame that a function of Go's has at one of its instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoFrame {
    /// Bytes by which the stack pointer has moved since the function was entered.
    pub size: u64,
    /// Whether the function was not called: the handler of a fault made it look so, and its return address is the faulting instruction.
    pub injected: bool,
    /// Whether what it calls runs on another stack: the words above are not its callers.
    pub switches: bool,
}

/// What Go's handler of a fault makes the faulting code call. Source: Go src/runtime/signal_amd64.go, preparePanic; sigpanic0 is its entry on
/// amd64 since 1.19.
const INJECTED: [&str; 2] = ["runtime.sigpanic", "runtime.sigpanic0"];
/// Functions that go over to the system's stack before they call. Source: Go src/runtime/asm_amd64.s and asm_arm64.s.
const SWITCHES: [&str; 4] = ["runtime.systemstack", "runtime.mcall", "runtime.morestack", "runtime.asmcgocall"];

/// Where the code begins whose table, at `header`, does not say it: the word of the header or of the module's description that the loader
/// fills in, the description's own word, or the section's start.
// Sources: Go src/runtime/symtab.go, pcHeader and moduledata (text at 176); since Go 1.26 the header holds zero, and the description has a
// section of its own.
fn text_start(elf: &Elf, header: Svma) -> Option<u64> {
    const IN_HEADER: u64 = 24;
    const IN_MODULE: u64 = 176;
    let module = elf.section(".go.module").ok().flatten();
    let in_module = module.as_ref().and_then(|module| module.svma.0.checked_add(IN_MODULE)).map(Svma);
    let in_header = header.0.checked_add(IN_HEADER).map(Svma);
    let is_wanted = |at: Svma| Some(at) == in_header || Some(at) == in_module;
    let written = module.as_ref().and_then(|module| {
        let at = usize::try_from(IN_MODULE).ok()?;
        Some(u64::from_le_bytes(*module.bytes.get(at..)?.first_chunk()?)).filter(|text| *text != 0)
    });
    let relocated = || Some(elf.relative_words().find(|word| is_wanted(word.at))?.addend?.0);
    let section = || Some(elf.section(".text").ok()??.svma.0);
    written.or_else(relocated).or_else(section)
}

/// Where a function's data is.
struct Place {
    start: u64,
    end: u64,
    fields: usize,
}

impl GoTable {
    /// The table of a file; `None` where it has none that is understood.
    pub(crate) fn of(elf: &Elf) -> Option<GoTable> {
        if !elf.is_64() || !elf.is_little_endian() {
            return None;
        }
        let section =
            SECTIONS.iter().find_map(|name| elf.section(name).ok()?).or_else(|| GoTable::without_sections(elf))?;
        let table = GoTable::parse(section.bytes.clone())?;
        let start = Some(table.text).filter(|text| *text != 0).or_else(|| text_start(elf, section.svma));
        Some(GoTable { at: section.svma, text: start.unwrap_or(0), ..table })
    }

    /// The table in a file without section headers, one that was put together from the pages of a dump, say.
    fn without_sections(elf: &Elf) -> Option<Section> {
        if elf.has_sections() {
            return None;
        }
        let read_only = elf.segments().iter().filter(|segment| segment.read && !segment.write && !segment.execute);
        read_only.take(MAX_SEGMENTS).find_map(|segment| {
            let bytes = elf.slice_at(segment.svma, segment.file_size)?;
            // Magic of 1.18 and later, whose first byte only differs; the table's start is aligned.
            let at = memchr::memmem::find_iter(&bytes, b"\xff\xff\xff\0\0")
                .filter_map(|at| at.checked_sub(1))
                .filter(|at| at.is_multiple_of(ALIGN))
                .take(MAX_PLACES)
                .find(|at| bytes.slice(*at..bytes.len()).is_some_and(|rest| GoTable::parse(rest).is_some()))?;
            Some(Section { svma: Svma(segment.svma.0.checked_add(at as u64)?), bytes: bytes.slice(at..bytes.len())? })
        })
    }

    fn parse(bytes: FileBytes) -> Option<GoTable> {
        let form = match u32::from_le_bytes(*bytes.first_chunk()?) {
            0xffff_fffa => Form::Addresses,
            0xffff_fff0 | 0xffff_fff1 => Form::Offsets,
            _ => return None,
        };
        let [0, 0, quantum, 8] = bytes.get(4..HEADER)? else { return None };
        let quantum = u64::from(*quantum);
        if !matches!(quantum, 1 | 2 | 4) {
            return None;
        }
        let word = |index: usize| {
            let at = HEADER.checked_add(index.checked_mul(WORD)?)?;
            Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
        };
        // nfunc, nfiles, (textStart,) funcnameOffset, cuOffset, filetabOffset, pctabOffset, pclnOffset
        let (text, rest) = match form {
            Form::Addresses => (0, 2),
            Form::Offsets => (word(2)?, 3),
        };
        let offset =
            |index: usize| usize::try_from(word(index.checked_add(rest)?)?).ok().filter(|at| *at <= bytes.len());
        let functions = usize::try_from(word(0)?).ok().filter(|count| *count > 0 && *count <= MAX_FUNCTIONS)?;
        let (names, units, files, values, entries) = (offset(0)?, offset(1)?, offset(2)?, offset(3)?, offset(4)?);
        Some(GoTable { at: Svma(0), form, quantum, functions, text, names, units, files, values, entries, bytes })
    }

    /// Functions in the table.
    pub(crate) fn len(&self) -> usize {
        self.functions
    }

    /// The function that holds `at`, with the place of `at` in its source.
    pub(crate) fn function(&self, at: Svma) -> Option<GoFunction> {
        let found = self.locate(at)?;
        let name = self.text_at(self.names, self.field(&found, 0)?)?;
        let value = |index: usize| self.value(self.field(&found, index)?, found.start, at);
        let line = value(5).and_then(|line| u32::try_from(line).ok()).filter(|line| *line > 0);
        let file = value(4).and_then(|number| self.file(self.field(&found, 7)?, number));
        Some(GoFunction { name, start: Svma(found.start), size: found.end.checked_sub(found.start)?, file, line })
    }

    /// The frame of the function at `at`.
    pub(crate) fn frame(&self, at: Svma) -> Option<GoFrame> {
        let found = self.locate(at)?;
        let size = self.value(self.field(&found, 3)?, found.start, at)?;
        let name = self.text_at(self.names, self.field(&found, 0)?)?;
        let plain = name.strip_suffix(".abi0").unwrap_or(&name);
        Some(GoFrame {
            size: u64::try_from(size).ok()?,
            injected: INJECTED.contains(&plain),
            switches: SWITCHES.contains(&plain),
        })
    }

    fn locate(&self, at: Svma) -> Option<Place> {
        // The entry behind the last function holds its end.
        let (mut low, mut high) = (0, self.functions);
        while low < high {
            let middle = low.midpoint(high);
            if self.entry(middle)?.0 <= at.0 { low = middle.checked_add(1)? } else { high = middle }
        }
        let index = low.checked_sub(1)?;
        let ((start, data), (end, _)) = (self.entry(index)?, self.entry(low)?);
        if at.0 < start || at.0 >= end {
            return None;
        }
        let data = self.entries.checked_add(usize::try_from(data).ok()?)?;
        let fields = match self.form {
            Form::Addresses => data.checked_add(8)?,
            Form::Offsets => data.checked_add(4)?,
        };
        Some(Place { start, end, fields })
    }

    /// A field of `_func` behind `entry`: nameOff, args, deferreturn, pcsp, pcfile, pcln, npcdata, cuOffset.
    fn field(&self, place: &Place, index: usize) -> Option<u32> {
        self.u32(place.fields.checked_add(index.checked_mul(4)?)?)
    }

    /// Entry `index` of the table: where the function starts, and the offset of what is known of it.
    fn entry(&self, index: usize) -> Option<(u64, u64)> {
        match self.form {
            Form::Addresses => {
                let at = self.entries.checked_add(index.checked_mul(16)?)?;
                let start = self.u64(at)?;
                Some((start, self.u64(at.checked_add(8)?).unwrap_or(0)))
            }
            Form::Offsets => {
                let at = self.entries.checked_add(index.checked_mul(8)?)?;
                let start = self.text.checked_add(u64::from(self.u32(at)?))?;
                Some((start, self.u32(at.checked_add(4)?).map_or(0, u64::from)))
            }
        }
    }

    /// A value that changes along a function, as of `at`: pairs of differences, of the value (zigzag) and of the program counter.
    fn value(&self, table: u32, start: u64, at: Svma) -> Option<i64> {
        let mut place = self.values.checked_add(usize::try_from(table).ok()?)?;
        let (mut pc, mut value) = (start, -1i64);
        for step in 0..MAX_STEPS {
            let (difference, next) = self.varint(place)?;
            if difference == 0 && step > 0 {
                return None;
            }
            let sign = i64::from(difference & 1);
            value = value.checked_add(i64::from(difference >> 1) ^ sign.checked_neg()?)?;
            let (advance, next) = self.varint(next)?;
            pc = pc.checked_add(u64::from(advance).checked_mul(self.quantum)?)?;
            if at.0 < pc {
                return Some(value);
            }
            place = next;
        }
        None
    }

    fn varint(&self, mut place: usize) -> Option<(u32, usize)> {
        let mut value = 0u32;
        for shift in [0u32, 7, 14, 21, 28] {
            let byte = *self.bytes.get(place)?;
            place = place.checked_add(1)?;
            value |= u32::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some((value, place));
            }
        }
        None
    }

    /// File `number` of a unit.
    fn file(&self, unit: u32, number: i64) -> Option<Arc<str>> {
        const NONE: u32 = u32::MAX;
        let index = usize::try_from(unit).ok()?.checked_add(usize::try_from(number).ok()?)?;
        let at = self.u32(self.units.checked_add(index.checked_mul(4)?)?)?;
        if at == NONE { None } else { self.text_at(self.files, at) }
    }

    fn text_at(&self, table: usize, offset: u32) -> Option<Arc<str>> {
        let rest = self.bytes.get(table.checked_add(usize::try_from(offset).ok()?)?..)?;
        let rest = rest.get(..MAX_NAME).unwrap_or(rest);
        let text = rest.get(..memchr::memchr(0, rest)?)?;
        (!text.is_empty()).then(|| String::from_utf8_lossy(text).into())
    }

    fn u32(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?))
    }

    fn u64(&self, at: usize) -> Option<u64> {
        Some(u64::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: u64 = 0x40_1000;

    /// Two functions: `main.a` of 16 bytes with line 3, from byte 8 on line 5, in `/src/a.go`; `main.b` of 8 bytes without a file.
    fn small(magic: u32) -> Vec<u8> {
        let names = b"main.a\0main.b\0\0\0";
        let units = [0u32.to_le_bytes(), u32::MAX.to_le_bytes()].concat();
        let files = b"/src/a.go\0\0\0\0\0\0\0";
        // Unused byte | file 0 for 16 | line 3 for 8, 5 for 8 | file 1 for 8 | line 9 for 8
        let values = [0, 2, 16, 0, 8, 8, 4, 8, 0, 4, 8, 0, 20, 8, 0, 0];
        let function = |entry: u32, name: u32, file: u32, line: u32| {
            [entry, name, 0, 0, 4, file, line, 0, 0, 0].map(u32::to_le_bytes).concat()
        };
        // Three entries (the last is the end), four bytes to spare, then the functions.
        let table = [0u32, 24, 16, 64, 24, 0].map(u32::to_le_bytes).concat();
        let entries = [table, function(0, 0, 1, 4), function(16, 7, 9, 12)].concat();
        let mut bytes = magic.to_le_bytes().to_vec();
        bytes.extend([0, 0, 1, 8]);
        let mut at = 8 + 8 * 8;
        bytes.extend([2u64, 1, TEXT].iter().flat_map(|word| word.to_le_bytes()));
        for part in [names.len(), units.len(), files.len(), values.len(), entries.len()] {
            bytes.extend((at as u64).to_le_bytes());
            at += part;
        }
        for part in [names.as_slice(), &units, files, &values, &entries] {
            bytes.extend(part);
        }
        bytes
    }

    fn function(bytes: Vec<u8>, at: u64) -> Option<GoFunction> {
        GoTable::parse(FileBytes::from_vec(bytes))?.function(Svma(at))
    }

    #[test]
    fn functions_have_names_files_and_lines() {
        for magic in [0xffff_fff0, 0xffff_fff1] {
            let a = |line| GoFunction {
                name: "main.a".into(),
                start: Svma(TEXT),
                size: 16,
                file: Some("/src/a.go".into()),
                line: Some(line),
            };
            assert_eq!(function(small(magic), TEXT), Some(a(3)));
            assert_eq!(function(small(magic), TEXT + 7), Some(a(3)));
            assert_eq!(function(small(magic), TEXT + 8), Some(a(5)));
            let b = function(small(magic), TEXT + 16).expect("the second");
            assert_eq!((&*b.name, b.size, b.file, b.line), ("main.b", 8, None, Some(9)));
            assert_eq!(function(small(magic), TEXT + 24), None, "behind the last");
            assert_eq!(function(small(magic), TEXT - 1), None, "before the first");
        }
        assert_eq!(function(small(0xffff_fffb), TEXT), None, "an older table");
    }

    #[test]
    fn frames_have_sizes() {
        // The sizes are read from the table of main.a's lines: 3, then 5.
        let table = GoTable::parse(FileBytes::from_vec(small(0xffff_fff1))).expect("the table");
        assert_eq!(table.frame(Svma(TEXT)), Some(GoFrame { size: 3, injected: false, switches: false }));
        assert_eq!(table.frame(Svma(TEXT + 8)), Some(GoFrame { size: 5, injected: false, switches: false }));
    }

    #[test]
    fn a_cut_or_damaged_table_does_no_harm() {
        let whole = small(0xffff_fff1);
        for length in 0..whole.len() {
            let _ = function(whole[..length].to_vec(), TEXT + 8);
            for value in [0, 0x7f, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[length] = value;
                let _ = function(damaged, TEXT + 8);
            }
        }
    }
}
