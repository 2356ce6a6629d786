//! The notes of a core: the process, its files, each thread with its registers, as the kernel would write them.
//!
//! Layouts: Linux include/linux/elfcore.h (elf_prpsinfo, elf_prstatus) and fs/binfmt_elf.c (NT_FILE). Notes that other
//! tools do not know have the owner `dumpscope`; see [`crate::capture::facts`].

use procfs::process::Stat;

use super::maps::Mapping;

/// Source: Linux include/uapi/linux/elf.h.
pub(super) const NT_PRSTATUS: u32 = 1;
pub(super) const NT_PRFPREG: u32 = 2;
const NT_PRPSINFO: u32 = 3;
const NT_AUXV: u32 = 6;
const NT_FILE: u32 = 0x4649_4c45;
pub(super) const NT_SIGINFO: u32 = 0x5349_4749;
pub(super) const NT_X86_XSTATE: u32 = 0x202;
pub(super) const NT_ARM_TLS: u32 = 0x401;
pub(super) const NT_ARM_PAC_MASK: u32 = 0x406;

/// Granularity of the offsets in NT_FILE; the kernel writes its page size.
pub(super) const PAGE: u64 = 4096;
/// Bytes of NT_FILE's paths that are written: paths of 4 KiB in a million mappings would be too many.
const MAX_PATHS: usize = 64 << 20;

/// Notes, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Notes(pub(super) Vec<u8>);

impl Notes {
    /// Adds a note; name and content are padded to 4 bytes.
    pub(super) fn push(&mut self, owner: &str, kind: u32, content: &[u8]) {
        let size = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
        self.0.extend(size(owner.len().saturating_add(1)));
        self.0.extend(size(content.len()));
        self.0.extend(kind.to_le_bytes());
        self.0.extend(owner.as_bytes());
        self.0.push(0);
        self.pad();
        self.0.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// NT_PRPSINFO. `arguments`: those of the command line, joined with spaces.
    pub(super) fn process(&mut self, stat: &Stat, user: (u32, u32), arguments: &[u8]) {
        let mut note = vec![0u8; 136];
        // Source: Linux fs/binfmt_elf.c fill_psinfo: the index of the state's letter in "RSDTZW".
        let state = "RSDTZW".find(stat.state).and_then(|index| u8::try_from(index).ok()).unwrap_or(0);
        let letter = u8::try_from(stat.state).unwrap_or(b'.');
        put(&mut note, 0, &[state, letter, u8::from(stat.state == 'Z'), stat.nice.to_le_bytes()[0]]);
        put(&mut note, 8, &u64::from(stat.flags).to_le_bytes());
        put(&mut note, 16, &user.0.to_le_bytes());
        put(&mut note, 20, &user.1.to_le_bytes());
        for (index, id) in (0usize..).zip([stat.pid, stat.ppid, stat.pgrp, stat.session]) {
            put(&mut note, 24 + index * 4, &id.to_le_bytes());
        }
        put(&mut note, 40, cut(stat.comm.as_bytes(), 15));
        put(&mut note, 56, cut(arguments, 79));
        self.push("CORE", NT_PRPSINFO, &note);
    }

    /// NT_AUXV.
    pub(super) fn auxv(&mut self, auxv: &[u8]) {
        self.push("CORE", NT_AUXV, auxv);
    }

    /// NT_FILE: every mapping of a file. `shown` is what its path is written as.
    pub(super) fn files(&mut self, mappings: &[Mapping], shown: impl Fn(&[u8]) -> Vec<u8>) {
        let files: Vec<&Mapping> = mappings.iter().filter(|mapping| mapping.has_file()).collect();
        let mut note = Vec::new();
        let mut paths = Vec::new();
        let mut count: u64 = 0;
        for file in files {
            let path = shown(&file.path);
            if paths.len().saturating_add(path.len()) > MAX_PATHS {
                break;
            }
            for word in [file.span.start.0, file.span.end.0, file.offset / PAGE] {
                note.extend(word.to_le_bytes());
            }
            paths.extend(path);
            paths.push(0);
            count = count.saturating_add(1);
        }
        let mut content: Vec<u8> = [count, PAGE].into_iter().flat_map(u64::to_le_bytes).collect();
        content.append(&mut note);
        content.append(&mut paths);
        self.push("CORE", NT_FILE, &content);
    }

    /// NT_PRSTATUS of a thread of the process that `stat` describes, with its user and system time in clock ticks. No
    /// signal is current: the process goes on.
    pub(super) fn status(&mut self, tid: i32, stat: &Stat, times: (u64, u64), registers: &[u8]) {
        let mut note = vec![0u8; 112];
        for (index, id) in (0usize..).zip([tid, stat.ppid, stat.pgrp, stat.session]) {
            put(&mut note, 32 + index * 4, &id.to_le_bytes());
        }
        let time = |ticks: u64| {
            let hertz = procfs::ticks_per_second().max(1);
            let micros = (ticks % hertz).saturating_mul(1_000_000) / hertz;
            [ticks / hertz, micros].into_iter().flat_map(u64::to_le_bytes).collect::<Vec<u8>>()
        };
        put(&mut note, 48, &time(times.0));
        put(&mut note, 64, &time(times.1));
        note.extend(registers);
        // pr_fpvalid, and padding to 8 bytes.
        note.extend(1u32.to_le_bytes());
        note.resize(note.len().next_multiple_of(8), 0);
        self.push("CORE", NT_PRSTATUS, &note);
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at.saturating_add(value.len())) {
        place.copy_from_slice(value);
    }
}

fn cut(bytes: &[u8], max: usize) -> &[u8] {
    bytes.get(..bytes.len().min(max)).unwrap_or_default()
}
