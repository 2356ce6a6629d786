//! Writes ELF files of either class and byte order, field by field as the System V ABI lays them out. Shares nothing with the reader.

/// Appends numbers in a byte order.
#[derive(Clone, Default)]
pub(crate) struct Bytes {
    pub(crate) bytes: Vec<u8>,
    pub(crate) wide: bool,
    pub(crate) big: bool,
}

impl Bytes {
    pub(crate) fn new(wide: bool, big: bool) -> Bytes {
        Bytes { bytes: Vec::new(), wide, big }
    }

    pub(crate) fn little() -> Bytes {
        Bytes::new(true, false)
    }

    fn number(&mut self, value: u64, size: usize) -> &mut Bytes {
        let mut bytes = value.to_le_bytes()[..size].to_vec();
        if self.big {
            bytes.reverse();
        }
        self.bytes.extend(bytes);
        self
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Bytes {
        self.number(value.into(), 1)
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Bytes {
        self.number(value.into(), 2)
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Bytes {
        self.number(value.into(), 4)
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Bytes {
        self.number(value, 8)
    }

    /// As wide as an address.
    pub(crate) fn word(&mut self, value: u64) -> &mut Bytes {
        self.number(value, if self.wide { 8 } else { 4 })
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Bytes {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Bytes {
        self.raw(text.as_bytes()).u8(0)
    }

    pub(crate) fn uleb(&mut self, mut value: u64) -> &mut Bytes {
        while value >= 0x80 {
            self.u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.u8(value as u8)
    }
}

/// One section: name, type, flags, address, linked section, content.
#[derive(Clone)]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) address: u64,
    pub(crate) link: u32,
    pub(crate) content: Vec<u8>,
}

impl Section {
    pub(crate) fn debug(name: &'static str, content: Vec<u8>) -> Section {
        Section { name, kind: 1, flags: 0, address: 0, link: 0, content }
    }
}

/// A file with one executable segment that maps it whole at 0x1000, and these sections.
pub(crate) fn elf(wide: bool, big: bool, machine: u16, sections: &[Section]) -> Vec<u8> {
    let (header, program_header) = if wide { (64, 56) } else { (52, 32) };
    let mut body = Bytes::new(wide, big);
    let start = header + program_header;
    let mut placed = Vec::new();
    for section in sections {
        while !(start + body.bytes.len()).is_multiple_of(8) {
            body.u8(0);
        }
        placed.push((section, start + body.bytes.len()));
        body.raw(&section.content);
    }
    let mut names = vec![0];
    let mut name_offsets = Vec::new();
    for (section, _) in &placed {
        name_offsets.push(names.len() as u32);
        names.extend(section.name.as_bytes());
        names.push(0);
    }
    let names_name = names.len() as u32;
    names.extend(b".shstrtab\0");
    let names_at = start + body.bytes.len();
    body.raw(&names);
    let section_headers = start + body.bytes.len();

    let mut file = Bytes::new(wide, big);
    file.raw(b"\x7fELF").u8(if wide { 2 } else { 1 }).u8(if big { 2 } else { 1 }).u8(1).raw(&[0; 9]);
    file.u16(3).u16(machine).u32(1).word(0x1000).word(header as u64).word(section_headers as u64).u32(0);
    file.u16(header as u16).u16(program_header as u16).u16(1);
    file.u16(if wide { 64 } else { 40 }).u16(sections.len() as u16 + 2).u16(sections.len() as u16 + 1);
    // PT_LOAD, readable and executable.
    if wide {
        file.u32(1).u32(5).u64(0).u64(0x1000).u64(0x1000).u64(section_headers as u64).u64(0x3000).u64(0x1000);
    } else {
        file.u32(1).u32(0).u32(0x1000).u32(0x1000).u32(section_headers as u32).u32(0x3000).u32(5).u32(0x1000);
    }
    file.raw(&body.bytes);
    let mut section_header = |name: u32, kind: u32, flags: u64, address: u64, offset: usize, size: usize, link: u32| {
        file.u32(name)
            .u32(kind)
            .word(flags)
            .word(address)
            .word(offset as u64)
            .word(size as u64)
            .u32(link)
            .u32(0)
            .word(4)
            .word(0);
    };
    section_header(0, 0, 0, 0, 0, 0, 0);
    for ((section, offset), name) in placed.iter().zip(name_offsets) {
        section_header(
            name,
            section.kind,
            section.flags,
            section.address,
            *offset,
            section.content.len(),
            section.link,
        );
    }
    section_header(names_name, 3, 0, 0, names_at, names.len(), 0);
    file.bytes
}

/// A small file with a build id, code, a symbol table with two functions and an object, and a dynamic section's worth of nothing.
///
/// `main` covers 0x1100..0x1110, `tail` has no size and reaches to the end of .text at 0x1140, `data` covers 0x2000..0x2010.
pub(crate) fn small(wide: bool, big: bool, machine: u16) -> Vec<u8> {
    let mut note = Bytes::new(wide, big);
    note.u32(4).u32(4).u32(3).text("GNU").raw(&[0xde, 0xad, 0xbe, 0xef]);
    let mut symbols = Bytes::new(wide, big);
    let mut symbol = |name: u32, info: u8, section: u16, value: u64, size: u64| {
        if wide {
            symbols.u32(name).u8(info).u8(0).u16(section).u64(value).u64(size);
        } else {
            symbols.u32(name).u32(value as u32).u32(size as u32).u8(info).u8(0).u16(section);
        }
    };
    symbol(0, 0, 0, 0, 0);
    symbol(1, 0x12, 2, 0x1100, 0x10); // global function
    symbol(6, 0x10, 2, 0x1120, 0); // global label
    symbol(11, 0x11, 3, 0x2000, 0x10); // global object
    symbol(16, 0x00, 2, 0x1104, 0); // a mapping symbol: "$x"
    let section = |name, kind, flags, address, link, content| Section { name, kind, flags, address, link, content };
    elf(
        wide,
        big,
        machine,
        &[
            section(".note.gnu.build-id", 7, 2, 0x1078, 0, note.bytes),
            section(".text", 1, 6, 0x1100, 0, vec![0x90; 0x40]),
            section(".data", 1, 3, 0x2000, 0, vec![7; 0x10]),
            section(".symtab", 2, 0, 0, 5, symbols.bytes),
            section(".strtab", 3, 0, 0, 0, b"\0main\0tail\0data\0$x\0".to_vec()),
        ],
    )
}
