//! The target's memory: every source is a segment, later additions never shadow earlier ones.
//!
//! Segments of the dump are added first; read-only pages of module files fill the holes that the dump leaves
//! (`add_below`). Reads are bounds-checked against the bytes that are really there: the part of a mapping that a dump
//! left out is unreadable with its reason, never zero.

use std::sync::Arc;

use super::touched::Touched;
use crate::model::{Addr, Unreadable, Why};
use symbols::FileBytes;

/// Where a segment's bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The dump itself.
    Dump,
    /// A read-only page of the file of the module with this index.
    Module(usize),
    /// A read-only page of another mapped file.
    File,
}

/// Access rights of a mapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Readable.
    pub read: bool,
    /// Writable.
    pub write: bool,
    /// Executable.
    pub execute: bool,
}

/// A run of readable bytes.
#[derive(Clone, Debug)]
pub struct Segment {
    /// First address.
    pub start: Addr,
    /// The bytes; their length is the segment's.
    pub bytes: FileBytes,
    /// Where they come from.
    pub origin: Origin,
}

impl Segment {
    fn end(&self) -> u64 {
        self.start.0.saturating_add(self.bytes.len() as u64)
    }
}

/// A mapping of the process, whether or not its bytes are in the dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First address.
    pub start: Addr,
    /// One past the last.
    pub end: Addr,
    /// Access rights.
    pub access: Access,
    /// Why the part without bytes has none.
    pub missing: Why,
}

/// How many mappings that start before an address are asked whether they hold it; mappings of a real process are
/// disjoint, so that the last one answers.
const OVERLAP_LOOKBACK: usize = 4;

/// The target's address space.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    segments: Vec<Segment>,
    regions: Vec<Region>,
    /// Whether there may be mappings that the dump does not list.
    is_partial: bool,
    /// Bytes of a pointer: 4 or 8.
    pointer_size: u64,
    /// Where it is noted what is read.
    touched: Option<Arc<Touched>>,
}

impl Memory {
    /// Builds the address space. Overlapping segments are cut: the first given wins. Order of `segments` is priority.
    pub fn new(segments: Vec<Segment>, mut regions: Vec<Region>) -> Memory {
        regions.retain(|region| region.start < region.end);
        regions.sort_by_key(|region| region.start);
        let mut memory = Memory { segments: Vec::new(), regions, is_partial: false, pointer_size: 8, touched: None };
        memory.add_below(segments);
        memory
    }

    /// A single segment of 64-bit little-endian words at `start`, readable and writable: for tests.
    pub fn of(start: u64, words: &[u64]) -> Memory {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        Memory::of_bytes(start, &bytes)
    }

    /// The same memory of a process whose pointers have so many bytes: 4 or 8.
    pub fn with_pointer_size(self, bytes: u64) -> Memory {
        Memory { pointer_size: bytes, ..self }
    }

    /// A single segment of bytes at `start`, readable and writable: for tests.
    pub fn of_bytes(start: u64, bytes: &[u8]) -> Memory {
        let end = start.saturating_add(bytes.len() as u64);
        Memory::new(
            vec![Segment { start: Addr(start), bytes: FileBytes::from_vec(bytes.to_vec()), origin: Origin::Dump }],
            vec![Region {
                start: Addr(start),
                end: Addr(end),
                access: Access { read: true, write: true, execute: false },
                missing: Why::NotDumped,
            }],
        )
    }

    /// From now on every page is noted of which something is read through this memory, or a copy of it. What is looked at segment by segment
    /// is not.
    pub fn record(&mut self) -> Arc<Touched> {
        let held = self.segments.iter().map(|segment| segment.start..Addr(segment.end()));
        let touched = Arc::new(Touched::nothing_of(held));
        self.touched = Some(Arc::clone(&touched));
        touched
    }

    fn touch(&self, addr: Addr, len: usize) {
        if let Some(touched) = &self.touched {
            touched.add(addr, len as u64);
        }
    }

    /// The dump lists what it holds and not what was mapped: of other addresses nothing is known.
    pub fn set_partial(&mut self) {
        self.is_partial = true;
    }

    /// Adds segments that fill holes only: what is already there wins. O((n + m) log (n + m)).
    pub fn add_below(&mut self, added: Vec<Segment>) {
        if added.is_empty() {
            return;
        }
        // Existing segments are disjoint. Sweep the new ones in priority order over a growing disjoint set would be
        // quadratic for hostile input; instead sort all by start with priority and sweep once.
        let existing = std::mem::take(&mut self.segments);
        let mut all: Vec<(usize, Segment)> = existing.into_iter().map(|segment| (0, segment)).collect();
        all.extend(added.into_iter().enumerate().map(|(rank, segment)| (rank.saturating_add(1), segment)));
        self.segments = disjoint(all);
    }

    /// Adds regions that the dump did not list (module mappings of a dump that records them elsewhere).
    /// O((n + m) log n).
    pub fn add_regions(&mut self, added: impl IntoIterator<Item = Region>) {
        let mut missing: Vec<Region> = added
            .into_iter()
            .filter(|region| region.start < region.end && self.overlapping(region.start, region.end).is_none())
            .collect();
        self.regions.append(&mut missing);
        self.regions.sort_by_key(|region| region.start);
    }

    /// A mapping that shares an address with `start..end`. Mappings of a hostile dump may overlap each other: only the
    /// few that start last before `end` are looked at.
    fn overlapping(&self, start: Addr, end: Addr) -> Option<&Region> {
        let after = self.regions.partition_point(|region| region.start < end);
        self.regions.get(after.saturating_sub(OVERLAP_LOOKBACK)..after)?.iter().rev().find(|region| start < region.end)
    }

    /// Readable runs, ascending, disjoint.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Mappings, ascending by start.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The mapping that holds an address.
    pub fn region_at(&self, addr: Addr) -> Option<&Region> {
        self.overlapping(addr, addr.plus(1)?)
    }

    /// `len` bytes at `addr`, without a copy. Fails where any of them is missing, or the run crosses a segment's end.
    pub fn slice(&self, addr: Addr, len: u64) -> Result<&[u8], Unreadable> {
        self.slice_within(addr, len).ok_or_else(|| self.unreadable(addr, len))
    }

    /// The same to look for something that is mostly not there: that the pages were read is not noted.
    pub fn searched(&self, addr: Addr, len: u64) -> Result<&[u8], Unreadable> {
        self.held_within(addr, len).ok_or_else(|| self.unreadable(addr, len))
    }

    fn slice_within(&self, addr: Addr, len: u64) -> Option<&[u8]> {
        let bytes = self.held_within(addr, len)?;
        self.touch(addr, bytes.len());
        Some(bytes)
    }

    fn held_within(&self, addr: Addr, len: u64) -> Option<&[u8]> {
        let segment = self.segment_at(addr)?;
        let from = usize::try_from(addr.since(segment.start)?).ok()?;
        segment.bytes.get(from..from.checked_add(usize::try_from(len).ok()?)?)
    }

    /// Bytes from `addr` to the end of its segment, at most `max`; empty is never returned.
    pub fn slice_up_to(&self, addr: Addr, max: u64) -> Result<&[u8], Unreadable> {
        self.segment_at(addr)
            .and_then(|segment| {
                let from = usize::try_from(addr.since(segment.start)?).ok()?;
                let rest = segment.bytes.get(from..)?;
                let len = usize::try_from(max).unwrap_or(usize::MAX).min(rest.len());
                rest.get(..len).filter(|bytes| !bytes.is_empty())
            })
            .inspect(|bytes| self.touch(addr, bytes.len()))
            .ok_or_else(|| self.unreadable(addr, max))
    }

    /// Fills `buf` from `addr`; may cross segments. On failure the buffer's content is unspecified.
    pub fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), Unreadable> {
        let mut at = addr;
        let mut rest = buf;
        while !rest.is_empty() {
            let len = rest.len() as u64;
            let bytes = self.slice_up_to(at, len).map_err(|gap| Unreadable { addr, len, ..gap })?;
            let (head, tail) = rest.split_at_mut(bytes.len());
            head.copy_from_slice(bytes);
            rest = tail;
            at = at.plus(bytes.len() as u64).ok_or(Unreadable { addr, len, why: Why::Unmapped })?;
        }
        Ok(())
    }

    /// Fills `buf` from one segment, without mapping pages where that can be: for a few bytes in each of a thousand
    /// places. See [`FileBytes::read_apart`].
    pub fn read_apart(&self, addr: Addr, buf: &mut [u8]) -> Result<(), Unreadable> {
        let read = self.segment_at(addr).is_some_and(|segment| {
            let from = addr.since(segment.start).and_then(|from| usize::try_from(from).ok());
            from.is_some_and(|from| segment.bytes.read_apart(from, buf))
        });
        if read {
            self.touch(addr, buf.len());
            Ok(())
        } else {
            self.read(addr, buf)
        }
    }

    fn array<const N: usize>(&self, addr: Addr) -> Result<[u8; N], Unreadable> {
        let mut bytes = [0; N];
        self.read(addr, &mut bytes)?;
        Ok(bytes)
    }

    /// A little-endian byte.
    pub fn u8(&self, addr: Addr) -> Result<u8, Unreadable> {
        self.array::<1>(addr).map(u8::from_le_bytes)
    }

    /// A little-endian 16-bit word.
    pub fn u16(&self, addr: Addr) -> Result<u16, Unreadable> {
        self.array(addr).map(u16::from_le_bytes)
    }

    /// A little-endian 32-bit word.
    pub fn u32(&self, addr: Addr) -> Result<u32, Unreadable> {
        self.array(addr).map(u32::from_le_bytes)
    }

    /// A little-endian 64-bit word.
    pub fn u64(&self, addr: Addr) -> Result<u64, Unreadable> {
        self.array(addr).map(u64::from_le_bytes)
    }

    /// A pointer of the target, little endian as on every processor whose dumps open.
    pub fn ptr(&self, addr: Addr) -> Result<Addr, Unreadable> {
        if self.pointer_size == 4 { self.u32(addr).map(|word| Addr(word.into())) } else { self.u64(addr).map(Addr) }
    }

    /// Bytes of the target as pointers, those of a last incomplete one left out.
    pub fn pointers<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = Addr> + Clone + use<'a> {
        let size = if self.pointer_size == 4 { 4 } else { 8 };
        bytes.chunks_exact(size).map(|word| {
            let mut wide = [0; 8];
            wide.iter_mut().zip(word).for_each(|(to, from)| *to = *from);
            Addr(u64::from_le_bytes(wide))
        })
    }

    /// A NUL-terminated string of at most `max` bytes, without its terminator. One that is longer is cut at `max`.
    pub fn c_string(&self, addr: Addr, max: u64) -> Result<Vec<u8>, Unreadable> {
        let mut text = Vec::new();
        let mut at = addr;
        while (text.len() as u64) < max {
            let bytes = self.slice_up_to(at, (max - text.len() as u64).min(256))?;
            match bytes.iter().position(|byte| *byte == 0) {
                Some(end) => {
                    text.extend(bytes.iter().take(end));
                    return Ok(text);
                }
                None => text.extend_from_slice(bytes),
            }
            at = at.plus(bytes.len() as u64).ok_or(Unreadable { addr, len: max, why: Why::Unmapped })?;
        }
        Ok(text)
    }

    /// Says that a range is about to be read from its first byte to its last; see [`FileBytes::expect_pages`].
    pub fn expect_pages(&self, addr: Addr, len: u64) {
        if let Some(part) = self.part(addr, len) {
            part.expect_pages();
        }
    }

    /// Gives the pages of a range back after a read that will not be repeated soon; see [`FileBytes::forget_pages`].
    pub fn forget_pages(&self, addr: Addr, len: u64) {
        if let Some(part) = self.part(addr, len) {
            part.forget_pages();
        }
    }

    fn part(&self, addr: Addr, len: u64) -> Option<FileBytes> {
        let segment = self.segment_at(addr)?;
        let from = usize::try_from(addr.since(segment.start)?).ok()?;
        let to = from.saturating_add(usize::try_from(len).ok()?).min(segment.bytes.len());
        segment.bytes.slice(from..to)
    }

    /// The readable run that holds an address.
    pub fn segment_at(&self, addr: Addr) -> Option<&Segment> {
        let after = self.segments.partition_point(|segment| segment.start <= addr);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        (addr.0 < segment.end()).then_some(segment)
    }

    /// The first readable run that begins behind an address.
    pub fn next_segment(&self, addr: Addr) -> Option<&Segment> {
        self.segments.get(self.segments.partition_point(|segment| segment.start <= addr))
    }

    /// Bytes of a range that segments hold.
    pub fn bytes_within(&self, start: Addr, end: Addr) -> u64 {
        let first = self.segments.partition_point(|segment| segment.end() <= start.0);
        let inside = self.segments.iter().skip(first).take_while(|segment| segment.start < end);
        let bytes = inside.map(|segment| segment.end().min(end.0).saturating_sub(segment.start.max(start).0));
        bytes.fold(0, u64::saturating_add)
    }

    /// Whether an aligned word of the target may point to something that is here. Most words do not: that is cheaper to
    /// see than to read what they point to, and cheapest of those below all memory.
    pub fn is_pointer(&self, word: Addr) -> bool {
        let above = self.segments.first().is_some_and(|lowest| word >= lowest.start);
        above && word.is_aligned(8) && self.segment_at(word).is_some()
    }

    /// A copy of the bytes before `end`, at most `max`, as far back as one segment holds them; empty where it holds
    /// none. Reads as [`Memory::read_apart`] does.
    pub fn copy_before(&self, end: Addr, max: u64) -> Vec<u8> {
        let bytes = end.minus(1).and_then(|last| {
            let segment = self.segment_at(last)?;
            let len = end.since(segment.start)?.min(max);
            self.copy(end.minus(len)?, len)
        });
        bytes.unwrap_or_default()
    }

    /// A copy of the bytes from `addr` on, at most `max`, as far as one segment holds them; empty where it holds none.
    /// Reads as [`Memory::read_apart`] does.
    pub fn copy_after(&self, addr: Addr, max: u64) -> Vec<u8> {
        let len = self.segment_at(addr).map_or(0, |segment| segment.end().saturating_sub(addr.0).min(max));
        self.copy(addr, len).unwrap_or_default()
    }

    fn copy(&self, addr: Addr, len: u64) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        self.read_apart(addr, &mut bytes).ok()?;
        Some(bytes)
    }

    fn unreadable(&self, addr: Addr, len: u64) -> Unreadable {
        // The first missing byte tells the reason.
        let mut at = addr;
        let end = addr.0.saturating_add(len);
        while at.0 < end {
            match self.segment_at(at) {
                Some(segment) => at = Addr(segment.end()),
                None => break,
            }
        }
        let unlisted = if self.is_partial { Why::NotDumped } else { Why::Unmapped };
        let why = self.region_at(at).map_or(unlisted, |region| region.missing);
        Unreadable { addr, len, why }
    }
}

/// Cuts ranked segments into disjoint ones; at each address the lowest rank wins, among equal ranks the earlier start.
fn disjoint(mut all: Vec<(usize, Segment)>) -> Vec<Segment> {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    all.retain(|(_, segment)| {
        !segment.bytes.is_empty() && segment.start.0.checked_add(segment.bytes.len() as u64).is_some()
    });
    all.sort_by_key(|(rank, segment)| (segment.start, *rank));
    let mut cuts: Vec<u64> = all.iter().flat_map(|(_, segment)| [segment.start.0, segment.end()]).collect();
    cuts.sort_unstable();
    cuts.dedup();

    let mut result: Vec<(usize, u64, u64)> = Vec::with_capacity(all.len());
    let mut active: BinaryHeap<Reverse<(usize, usize)>> = BinaryHeap::new();
    let mut next = 0;
    for pair in cuts.windows(2) {
        let &[from, to] = pair else { continue };
        while let Some((rank, segment)) = all.get(next) {
            if segment.start.0 > from {
                break;
            }
            active.push(Reverse((*rank, next)));
            next += 1;
        }
        while let Some(Reverse((_, index))) = active.peek() {
            if all.get(*index).is_some_and(|(_, segment)| segment.end() > from) {
                break;
            }
            active.pop();
        }
        let Some(Reverse((_, index))) = active.peek() else { continue };
        match result.last_mut() {
            Some((last, _, end)) if last == index && *end == from => *end = to,
            _ => result.push((*index, from, to)),
        }
    }
    result
        .into_iter()
        .filter_map(|(index, from, to)| {
            let (_, segment) = all.get(index)?;
            let skip = usize::try_from(from.checked_sub(segment.start.0)?).ok()?;
            let len = usize::try_from(to.checked_sub(from)?).ok()?;
            let bytes = segment.bytes.slice(skip..skip.checked_add(len)?)?;
            Some(Segment { start: Addr(from), bytes, origin: segment.origin })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(start: u64, bytes: &[u8]) -> Segment {
        Segment { start: Addr(start), bytes: FileBytes::from_vec(bytes.to_vec()), origin: Origin::Dump }
    }

    #[test]
    fn pointers_are_as_wide_as_the_processs() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        let wide = Memory::of_bytes(0x1000, &bytes);
        let narrow = wide.clone().with_pointer_size(4);
        let all = |memory: &Memory| memory.pointers(&bytes).map(|pointer| pointer.0).collect::<Vec<_>>();
        assert_eq!(all(&wide), [0x0807_0605_0403_0201]);
        assert_eq!(all(&narrow), [0x0403_0201, 0x0807_0605, 0x0c0b_0a09]);
        assert_eq!((wide.ptr(Addr(0x1000)), wide.ptr(Addr(0x1008)).is_ok()), (Ok(Addr(0x0807_0605_0403_0201)), false));
        assert_eq!(narrow.ptr(Addr(0x1008)), Ok(Addr(0x0c0b_0a09)));
    }

    #[test]
    fn the_first_of_overlapping_segments_wins() {
        let memory = Memory::new(vec![segment(0x10, b"bbbb"), segment(0x0e, b"aaaaaaaa")], Vec::new());
        let mut bytes = [0; 8];
        memory.read(Addr(0x0e), &mut bytes).unwrap();
        assert_eq!(&bytes, b"aabbbbaa");
        assert_eq!(memory.slice(Addr(0x10), 4).unwrap(), b"bbbb");
        assert!(memory.slice(Addr(0x10), 5).is_err(), "a slice does not cross segments");
    }

    #[test]
    fn a_segment_that_wraps_the_address_space_is_dropped() {
        let memory = Memory::new(vec![segment(u64::MAX - 1, b"abcd")], Vec::new());
        assert!(memory.segments().is_empty());
    }

    #[test]
    fn what_the_dump_left_out_says_so() {
        let region =
            |start, end, missing| Region { start: Addr(start), end: Addr(end), access: Access::default(), missing };
        let memory = Memory::new(
            vec![segment(0x1000, &[1; 16])],
            vec![region(0x1000, 0x2000, Why::NotDumped), region(0x3000, 0x4000, Why::Truncated)],
        );
        let why = |addr, len| memory.slice(Addr(addr), len).unwrap_err().why;
        assert_eq!(why(0x1008, 16), Why::NotDumped);
        assert_eq!(why(0x3000, 1), Why::Truncated);
        assert_eq!(why(0x5000, 1), Why::Unmapped);
    }

    #[test]
    fn strings_end_at_their_terminator_or_at_the_limit() {
        let memory = Memory::of_bytes(0x100, b"name\0rest");
        assert_eq!(memory.c_string(Addr(0x100), 64).unwrap(), b"name");
        assert_eq!(memory.c_string(Addr(0x100), 2).unwrap(), b"na");
        assert!(memory.c_string(Addr(0x105), 64).is_err(), "no terminator before the end of the bytes");
    }

    #[test]
    fn fill_only_holes() {
        let mut memory = Memory::new(vec![segment(0x10, b"dump")], Vec::new());
        memory.add_below(vec![Segment { origin: Origin::Module(3), ..segment(0x0e, b"filefilefile") }]);
        let mut bytes = [0; 12];
        memory.read(Addr(0x0e), &mut bytes).unwrap();
        // file bytes: f i l e f i l e f i l e; the dump covers 0x10..0x14
        assert_eq!(&bytes, b"fidumplefile");
    }
}
