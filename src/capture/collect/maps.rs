//! What a process has mapped: `/proc/PID/maps` while it is stopped, with the flags of `/proc/PID/smaps` from just
//! before.
//!
//! `maps` is read in microseconds; `smaps` counts every page and may take a second, so it is read before the process
//! stops. A mapping that came between has no flags, and is dumped like any other. Specification: proc_pid_maps(5),
//! proc_pid_smaps(5).

use std::fs;

use procfs::FromBufRead;
use procfs::process::{MMPermissions, MemoryMaps, VmFlags};

use super::live::Live;
use crate::capture::Access;
use crate::error::Error;
use crate::model::Addr;

/// Most mappings that are read; the kernel allows 65,530 unless told otherwise (vm.max_map_count).
const MAX_MAPPINGS: usize = 1 << 20;

/// A run of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Span {
    /// First address.
    pub(super) start: Addr,
    /// One past the last.
    pub(super) end: Addr,
}

impl Span {
    pub(super) fn new(start: u64, end: u64) -> Span {
        Span { start: Addr(start), end: Addr(end.max(start)) }
    }

    pub(super) fn len(self) -> u64 {
        self.end.0.saturating_sub(self.start.0)
    }

    pub(super) fn contains(self, address: u64) -> bool {
        (self.start.0..self.end.0).contains(&address)
    }

    /// The part that both have; `None` where they are disjoint.
    pub(super) fn common(self, other: Span) -> Option<Span> {
        let common = Span { start: self.start.max(other.start), end: self.end.min(other.end) };
        (common.start < common.end).then_some(common)
    }
}

/// A mapping.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    pub(super) span: Span,
    pub(super) access: Access,
    /// Writes go to the file, or to others who share the memory.
    pub(super) shared: bool,
    /// Offset in the file, in bytes.
    pub(super) offset: u64,
    /// 0 where no file is mapped.
    pub(super) inode: u64,
    /// The path as the kernel prints it, bytes as they are: a file, or `[heap]` and the like.
    pub(super) path: Vec<u8>,
    /// What `smaps` said of it; `None` where it was not there yet.
    pub(super) usage: Option<Usage>,
    /// Why it is left out of this dump, where it is for a reason of its own.
    excluded: Option<&'static str>,
}

/// What `smaps` says of a mapping.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    flags: VmFlags,
    /// Bytes in memory; `None` where the kernel does not tell, as of the others.
    pub(super) resident: Option<u64>,
    /// Bytes in memory that differ from the file, or have none.
    pub(super) anonymous: Option<u64>,
    /// Bytes that are swapped out.
    pub(super) swapped: Option<u64>,
}

impl Mapping {
    /// Whether a file or shared memory is mapped: then a page that is not present holds something all the same.
    pub(super) fn has_file(&self) -> bool {
        self.inode != 0 || self.path.starts_with(b"/")
    }

    /// Whether it is a file that the process maps for itself alone: a module, mostly.
    pub(super) fn is_image(&self) -> bool {
        self.has_file() && !self.shared
    }

    /// Whether it is a file that others see too: a database, not memory that happens to have a name.
    pub(super) fn is_data_file(&self) -> bool {
        let memory: [&[u8]; 5] = [b"/memfd:", b"/dev/shm/", b"/dev/zero", b"/SYSV", b"/["];
        self.shared && self.path.starts_with(b"/") && !memory.iter().any(|name| self.path.starts_with(name))
    }

    /// Whether it is private memory without a file: a page that was never touched is zero.
    pub(super) fn is_anonymous(&self) -> bool {
        !self.has_file() && !self.shared && !self.is_kernels()
    }

    /// Pages of the kernel's own that it lends to every process (`[vdso]`, `[vvar]`, `[vsyscall]`).
    pub(super) fn is_kernels(&self) -> bool {
        self.path.starts_with(b"[v")
    }

    pub(super) fn is_vdso(&self) -> bool {
        self.path == b"[vdso]"
    }

    pub(super) fn has_flag(&self, flag: VmFlags) -> bool {
        self.usage.is_some_and(|usage| usage.flags.contains(flag))
    }

    /// Leaves it out of this dump.
    pub(super) fn exclude(&mut self, why: &'static str) {
        self.excluded = Some(why);
    }

    /// Why its memory is left out of every dump; `None` where it is not.
    pub(super) fn excluded(&self) -> Option<&'static str> {
        if self.excluded.is_some() {
            return self.excluded;
        }
        if self.path == b"[vsyscall]" || self.path.starts_with(b"[vvar") {
            return Some("the kernel's own");
        }
        if !self.access.read && !self.access.write && !self.access.execute {
            return Some("not accessible");
        }
        if self.has_flag(VmFlags::IO) || self.has_flag(VmFlags::PF) {
            return Some("memory of a device");
        }
        // The program asked for it, keys and passwords for one. gdb and the kernel obey too.
        self.has_flag(VmFlags::DD).then_some("excluded by the program (MADV_DONTDUMP)")
    }

    /// Whether a page that is not present must not be asked for: user space answers, and it is stopped.
    pub(super) fn is_served_by_user_space(&self) -> bool {
        self.has_flag(VmFlags::UM)
    }

    /// Whether a child made by fork has not the same there.
    pub(super) fn is_lost_on_fork(&self) -> bool {
        self.has_flag(VmFlags::DC) || self.has_flag(VmFlags::WF)
    }
}

/// The mappings, ascending. `tid` is a thread that is alive: the first one may have left its memory.
pub(super) fn mappings(live: &Live, tid: i32, usages: &[(Span, Usage)]) -> Result<Vec<Mapping>, Error> {
    let path = live.proc(&format!("task/{tid}/maps"));
    let text = fs::read(&path).map_err(|source| Error::Io { path, source })?;
    let mut mappings: Vec<Mapping> = text.split(|byte| *byte == b'\n').take(MAX_MAPPINGS).filter_map(parse).collect();
    if let Some(root) = live.root() {
        for mapping in &mut mappings {
            below(&root, &mut mapping.path);
        }
    }
    mappings.sort_by_key(|mapping| mapping.span);
    for mapping in &mut mappings {
        let after = usages.partition_point(|(span, _)| span.start <= mapping.span.start);
        let known = after.checked_sub(1).and_then(|index| usages.get(index));
        mapping.usage = known.filter(|(span, _)| span.common(mapping.span).is_some()).map(|(_, usage)| *usage);
    }
    if mappings.is_empty() {
        return Err(live.ended());
    }
    Ok(mappings)
}

/// Makes a path as we see it one as the process sees it, whose root is `root`. Others are left as they are: files that
/// it had mapped before it went there.
fn below(root: &[u8], path: &mut Vec<u8>) {
    if path.strip_prefix(root).is_some_and(|rest| rest.starts_with(b"/")) {
        path.drain(..root.len());
    }
}

/// Whether another process has mapped the same shared file: the same inode under the same name, wherever it sees that.
pub(super) fn shares(pid: u32, mapping: &Mapping) -> bool {
    let name = |path: &[u8]| path.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
    let is_same = |other: Mapping| {
        other.shared && other.inode == mapping.inode && mapping.inode != 0 && name(&other.path) == name(&mapping.path)
    };
    let text = fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
    text.split(|byte| *byte == b'\n').take(MAX_MAPPINGS).filter_map(parse).any(is_same)
}

/// `7f5e-7f5f r-xp 0000 fe:00 1234   /usr/lib/libc.so.6`.
fn parse(line: &[u8]) -> Option<Mapping> {
    let mut fields = line.splitn(6, |byte| *byte == b' ');
    let mut field = || fields.next().and_then(|field| std::str::from_utf8(field).ok());
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let (start, end) = field()?.split_once('-')?;
    let rights = field()?.as_bytes();
    let offset = hex(field()?)?;
    let _device = field()?.split_once(':')?;
    let inode = field()?.parse().ok()?;
    let has = |index: usize, letter: u8| rights.get(index) == Some(&letter);
    let path = fields.next().unwrap_or_default().trim_ascii_start().to_vec();
    Some(Mapping {
        span: Span::new(hex(start)?, hex(end)?),
        access: Access { read: has(0, b'r'), write: has(1, b'w'), execute: has(2, b'x') },
        shared: has(3, b's'),
        offset,
        inode,
        path,
        usage: None,
        excluded: None,
    })
}

/// Flags and sizes of every mapping, ascending; empty where `smaps` cannot be read.
pub(super) fn usages(live: &Live) -> Vec<(Span, Usage)> {
    // The first thread may have left its memory to the others.
    let read = |tid: i32| fs::read(live.proc(&format!("task/{tid}/smaps"))).ok().filter(|text| !text.is_empty());
    let Some(text) = live.threads().unwrap_or_default().into_iter().find_map(read) else { return Vec::new() };
    // Paths are the target's choice: the parser does without.
    let nameless: Vec<u8> = text.split_inclusive(|byte| *byte == b'\n').flat_map(nameless).collect();
    let Ok(maps) = MemoryMaps::from_buf_read(nameless.as_slice()) else { return Vec::new() };
    let of = |map: &procfs::process::MemoryMap| {
        let bytes = |key: &str| map.extension.map.get(key).copied();
        let usage = Usage {
            flags: map.extension.vm_flags,
            resident: bytes("Rss"),
            anonymous: bytes("Anonymous"),
            swapped: bytes("Swap"),
        };
        (Span::new(map.address.0, map.address.1), usage)
    };
    let mut usages: Vec<(Span, Usage)> =
        maps.iter().filter(|map| map.perms != MMPermissions::NONE).take(MAX_MAPPINGS).map(of).collect();
    usages.sort_by_key(|(span, _)| *span);
    usages
}

/// The line without the path that it may end with.
fn nameless(line: &[u8]) -> Vec<u8> {
    let is_mapping = line.first().is_some_and(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte));
    if !is_mapping {
        return line.to_vec();
    }
    let fields: Vec<&[u8]> = line.splitn(6, |byte| *byte == b' ').take(5).collect();
    let mut kept = fields.join(&b' ');
    if kept.ends_with(b"\n") {
        kept.pop();
    }
    kept.extend_from_slice(b" \n");
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_maps_is_read_with_its_path_as_it_is() {
        let line = b"7f00aa000000-7f00aa021000 r-xp 00001000 fe:0a 4711                       /srv/a b\xff (deleted)";
        let mapping = parse(line).expect("a mapping");
        assert_eq!(mapping.span, Span::new(0x7f00_aa00_0000, 0x7f00_aa02_1000));
        assert_eq!(mapping.access, Access { read: true, write: false, execute: true });
        assert_eq!((mapping.offset, mapping.inode), (0x1000, 4711));
        assert_eq!(mapping.path, b"/srv/a b\xff (deleted)");
        assert!(mapping.has_file() && !mapping.shared && !mapping.is_anonymous());
    }

    #[test]
    fn paths_are_the_processs_own() {
        let own = |path: &[u8]| {
            let mut path = path.to_vec();
            below(b"/srv/jail", &mut path);
            path
        };
        assert_eq!(own(b"/srv/jail/lib/libc.so (deleted)"), b"/lib/libc.so (deleted)");
        assert_eq!(own(b"/srv/jailed/lib/libc.so"), b"/srv/jailed/lib/libc.so");
        assert_eq!(own(b"/srv/jail"), b"/srv/jail");
        assert_eq!(own(b"[heap]"), b"[heap]");
    }

    #[test]
    fn a_mapping_without_a_path_is_anonymous_and_a_cut_line_is_none() {
        let mapping = parse(b"7f00aa000000-7f00aa021000 rw-p 00000000 00:00 0 ").expect("a mapping");
        assert!(mapping.is_anonymous());
        let line = b"7f00aa000000-7f00aa021000 rw-p 00000000 00:00 0";
        for len in 0..line.len() {
            assert!(parse(&line[..len]).is_none_or(|mapping| mapping.path.is_empty()), "cut at {len}");
        }
    }

    #[test]
    fn paths_do_not_reach_the_parser_of_smaps() {
        let line = b"7f00aa000000-7f00aa021000 rw-s 00000000 00:01 5                          /SYSVx\n";
        assert_eq!(nameless(line), b"7f00aa000000-7f00aa021000 rw-s 00000000 00:01 5 \n");
        assert_eq!(nameless(b"Rss:                   4 kB\n"), b"Rss:                   4 kB\n");
    }
}
