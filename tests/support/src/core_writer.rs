//! A little writer of ELF cores, laid by hand from the specifications and independent of the reader it tests.
//!
//! File and program headers: System V ABI (gABI) chapters "ELF Header" and "Program Header". Notes: Linux include/linux/elfcore.h and
//! fs/binfmt_elf.c. The file is laid as the kernel lays it: headers, notes, then the segments' bytes from the next page on.

const PAGE: usize = 0x1000;

/// A core in the making.
#[derive(Debug, Clone)]
pub struct CoreWriter {
    machine: u16,
    notes: Vec<u8>,
    loads: Vec<Load>,
    counted_elsewhere: bool,
}

#[derive(Debug, Clone)]
struct Load {
    address: u64,
    flags: u32,
    bytes: Vec<u8>,
    mem_size: u64,
}

impl CoreWriter {
    /// A core of an x86-64 process: EM_X86_64 is 62.
    pub fn x86_64() -> CoreWriter {
        CoreWriter { machine: 62, notes: Vec::new(), loads: Vec::new(), counted_elsewhere: false }
    }

    /// A core of an aarch64 process: EM_AARCH64 is 183.
    pub fn aarch64() -> CoreWriter {
        CoreWriter { machine: 183, ..CoreWriter::x86_64() }
    }

    /// Adds a note: name size with its NUL, content size, type; name and content padded to 4 bytes.
    pub fn note(mut self, name: &str, kind: u32, content: &[u8]) -> CoreWriter {
        let name_size = u32::try_from(name.len() + 1).expect("a short name");
        let size = u32::try_from(content.len()).expect("a note below 4 GiB");
        for word in [name_size, size, kind] {
            self.notes.extend(word.to_le_bytes());
        }
        self.notes.extend(name.bytes());
        self.notes.push(0);
        pad(&mut self.notes, 4);
        self.notes.extend(content);
        pad(&mut self.notes, 4);
        self
    }

    /// Adds bytes as they are to the notes.
    pub fn raw_notes(mut self, bytes: &[u8]) -> CoreWriter {
        self.notes.extend(bytes);
        self
    }

    /// Adds a segment with all its bytes. `flags`: PF_X 1, PF_W 2, PF_R 4.
    pub fn load(self, address: u64, flags: u32, bytes: &[u8]) -> CoreWriter {
        let mem_size = bytes.len() as u64;
        self.load_part(address, flags, bytes, mem_size)
    }

    /// Adds a segment of `mem_size` bytes of which the file holds the first ones.
    pub fn load_part(mut self, address: u64, flags: u32, bytes: &[u8], mem_size: u64) -> CoreWriter {
        self.loads.push(Load { address, flags, bytes: bytes.to_vec(), mem_size });
        self
    }

    /// Writes the number of program headers into section header 0, as the kernel does from 65,535 on: `e_phnum` is PN_XNUM, 0xffff.
    pub fn counted_in_section(mut self) -> CoreWriter {
        self.counted_elsewhere = true;
        self
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let count = self.loads.len() + 1;
        let notes_at = 64 + 56 * count;
        let mut file = vec![0; notes_at];
        file.extend(&self.notes);
        pad(&mut file, PAGE);
        let mut headers = program_header(4, 0, notes_at, 0, self.notes.len(), 0, 4);
        for load in &self.loads {
            headers.extend(program_header(
                1,
                load.flags,
                file.len(),
                load.address,
                load.bytes.len(),
                load.mem_size,
                0x1000,
            ));
            file.extend(&load.bytes);
        }
        file[64..notes_at].copy_from_slice(&headers);
        let mut sections_at = 0;
        if self.counted_elsewhere {
            // An Elf64_Shdr of type SHT_NULL with sh_info, its 4-byte word at 44, as the count.
            sections_at = file.len();
            file.extend([0; 64]);
            put(&mut file, sections_at + 44, &u32::try_from(count).expect("fits").to_le_bytes());
        }
        // e_ident: magic, 64 bits, little endian, version 1.
        put(&mut file, 0, &[0x7f, b'E', b'L', b'F', 2, 1, 1]);
        // e_type ET_CORE, e_machine, e_version.
        put(&mut file, 16, &4u16.to_le_bytes());
        put(&mut file, 18, &self.machine.to_le_bytes());
        put(&mut file, 20, &1u32.to_le_bytes());
        // e_phoff, e_shoff.
        put(&mut file, 32, &64u64.to_le_bytes());
        put(&mut file, 40, &(sections_at as u64).to_le_bytes());
        // e_ehsize, e_phentsize, e_phnum.
        put(&mut file, 52, &64u16.to_le_bytes());
        put(&mut file, 54, &56u16.to_le_bytes());
        let stated = if self.counted_elsewhere { 0xffff } else { u16::try_from(count).expect("below 65,535") };
        put(&mut file, 56, &stated.to_le_bytes());
        if self.counted_elsewhere {
            // e_shentsize, e_shnum.
            put(&mut file, 58, &64u16.to_le_bytes());
            put(&mut file, 60, &1u16.to_le_bytes());
        }
        file
    }
}

/// NT_PRSTATUS (1) of x86-64: `registers` in the order of `struct user_regs_struct`.
pub fn prstatus_x86_64(tid: u32, signal: u16, registers: &[u64; 27]) -> Vec<u8> {
    prstatus(tid, signal, registers)
}

/// NT_PRSTATUS (1) of aarch64: x0 to x30, sp, pc, pstate.
pub fn prstatus_aarch64(tid: u32, signal: u16, registers: &[u64; 34]) -> Vec<u8> {
    prstatus(tid, signal, registers)
}

/// `struct elf_prstatus`: siginfo 12 bytes, cursig 2, padding 2, two masks of 8, four ids of 4, four times of 16, registers, fpvalid 4,
/// padding 4.
fn prstatus(tid: u32, signal: u16, registers: &[u64]) -> Vec<u8> {
    let mut note = vec![0; 112];
    put(&mut note, 0, &u32::from(signal).to_le_bytes());
    put(&mut note, 12, &signal.to_le_bytes());
    put(&mut note, 32, &tid.to_le_bytes());
    note.extend(words(registers));
    note.extend([0; 8]);
    note
}

/// NT_PRPSINFO (3): state, name, zombie, nice; 4 bytes padding; flags 8; uid, gid, pid, ppid, pgrp, sid of 4; name 16; arguments 80.
pub fn prpsinfo(pid: u32, uid: u32, name: &str, args: &str) -> Vec<u8> {
    let mut note = vec![0; 136];
    put(&mut note, 16, &uid.to_le_bytes());
    put(&mut note, 24, &pid.to_le_bytes());
    put(&mut note, 40, name.as_bytes());
    put(&mut note, 56, args.as_bytes());
    note
}

/// NT_SIGINFO (0x53494749) of a fault: si_signo, si_errno, si_code, padding, si_addr; 128 bytes.
pub fn siginfo_fault(signal: i32, code: i32, address: u64) -> Vec<u8> {
    let mut note = vec![0; 128];
    put(&mut note, 0, &signal.to_le_bytes());
    put(&mut note, 8, &code.to_le_bytes());
    put(&mut note, 16, &address.to_le_bytes());
    note
}

/// NT_SIGINFO of a signal that was sent: si_pid and si_uid in place of the address.
pub fn siginfo_sent(signal: i32, code: i32, pid: u32, uid: u32) -> Vec<u8> {
    siginfo_fault(signal, code, u64::from(pid) | u64::from(uid) << 32)
}

/// NT_FILE (0x46494c45): count, page size, then start, end and offset in pages of each mapping, then the paths.
pub fn files(mappings: &[(u64, u64, u64, &str)]) -> Vec<u8> {
    let mut note = words(&[mappings.len() as u64, PAGE as u64]);
    for (start, end, page, _) in mappings {
        note.extend(words(&[*start, *end, *page]));
    }
    for (_, _, _, path) in mappings {
        note.extend(path.bytes());
        note.push(0);
    }
    note
}

/// NT_AUXV (6): pairs, ended by AT_NULL.
pub fn auxv(entries: &[(u64, u64)]) -> Vec<u8> {
    let pairs = entries.iter().chain(&[(0, 0)]);
    pairs.flat_map(|(key, value)| words(&[*key, *value])).collect()
}

/// Little-endian 64-bit words.
pub fn words(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The first page of a module: an ELF header, one PT_LOAD per `(flags, offset, address, size)`, and a PT_NOTE with the build id.
pub fn module_page(loads: &[(u32, u64, u64, u64)], build_id: &[u8]) -> Vec<u8> {
    let notes_at = 64 + 56 * (loads.len() + 1);
    let mut note = Vec::new();
    // Name size, content size, NT_GNU_BUILD_ID.
    for word in [4, u32::try_from(build_id.len()).expect("a short id"), 3] {
        note.extend(word.to_le_bytes());
    }
    note.extend(b"GNU\0");
    note.extend(build_id);
    let mut page = vec![0; 64];
    for (flags, offset, address, size) in loads {
        page.extend(program_header(
            1,
            *flags,
            usize::try_from(*offset).expect("small"),
            *address,
            usize::try_from(*size).expect("small"),
            *size,
            0x1000,
        ));
    }
    let notes_address = loads.first().map_or(0, |load| load.2) + notes_at as u64;
    page.extend(program_header(4, 4, notes_at, notes_address, note.len(), note.len() as u64, 4));
    page.extend(&note);
    put(&mut page, 0, &[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    // ET_DYN, EM_X86_64.
    put(&mut page, 16, &3u16.to_le_bytes());
    put(&mut page, 18, &62u16.to_le_bytes());
    put(&mut page, 32, &64u64.to_le_bytes());
    put(&mut page, 52, &64u16.to_le_bytes());
    put(&mut page, 54, &56u16.to_le_bytes());
    put(&mut page, 56, &u16::try_from(loads.len() + 1).expect("few").to_le_bytes());
    pad(&mut page, PAGE);
    page
}

fn program_header(
    kind: u32,
    flags: u32,
    offset: usize,
    address: u64,
    file_size: usize,
    mem_size: u64,
    align: u64,
) -> Vec<u8> {
    let mut header = [kind.to_le_bytes(), flags.to_le_bytes()].concat();
    header.extend(words(&[offset as u64, address, 0, file_size as u64, mem_size, align]));
    header
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn pad(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}
