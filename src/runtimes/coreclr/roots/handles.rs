//! The handle table: references that native code, and the runtime itself, keep to objects.

use rustc_hash::FxHashSet;

use crate::capture::Memory;
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::plus;
use crate::runtimes::coreclr::heap::Variables;

/// A handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    /// Where it is.
    pub address: Addr,
    /// What it does to the object.
    pub kind: HandleKind,
    /// The object.
    pub object: Addr,
    /// Of a dependent handle the object that lives as long; 0 where there is none.
    pub dependent: Addr,
}

/// What a handle does to its object. The numbers are the collector's.
// Source: dotnet/runtime src/coreclr/gc/gcinterface.h, enum HandleType.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandleKind(u8);

impl HandleKind {
    const STRONG: u8 = 2;
    const PINNED: u8 = 3;
    const REF_COUNTED: u8 = 5;
    /// Keeps its second object alive while the first lives.
    const DEPENDENT: HandleKind = HandleKind(6);
    const ASYNC_PINNED: u8 = 7;
    const SIZED: u8 = 8;

    /// By the collector's numbers.
    const WORDS: [&'static str; 12] = [
        "weak short",
        "weak long",
        "strong",
        "pinned",
        "variable",
        "ref counted",
        "dependent",
        "async pinned",
        "sized ref",
        "weak WinRT",
        "weak interior",
        "cross reference",
    ];

    /// As SOS has it.
    pub fn word(self) -> &'static str {
        HandleKind::WORDS.get(usize::from(self.0)).copied().unwrap_or("of a kind that is not known")
    }

    /// All that are known.
    pub fn all() -> impl Iterator<Item = HandleKind> {
        (0..).zip(HandleKind::WORDS).map(|(number, _)| HandleKind(number))
    }

    /// The kind of a name, with spaces or without: `WeakShort`, `weak short`.
    pub fn named(name: &str) -> Option<HandleKind> {
        let letters =
            |name: &str| name.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
        let asked = letters(name);
        // SOS's name of one has a word more.
        let asked = asked.strip_suffix("pointer").unwrap_or(&asked);
        HandleKind::all().find(|kind| letters(kind.word()) == asked)
    }

    /// Whether it keeps its object alive. Of one that counts references the count is not read.
    pub(in crate::runtimes::coreclr) fn keeps_alive(self) -> bool {
        matches!(
            self.0,
            HandleKind::STRONG
                | HandleKind::PINNED
                | HandleKind::REF_COUNTED
                | HandleKind::ASYNC_PINNED
                | HandleKind::SIZED
        )
    }
}

/// All handles.
#[derive(Clone, Debug, Default)]
pub(in crate::runtimes::coreclr) struct Handles {
    /// By their places.
    pub(in crate::runtimes::coreclr) all: Vec<Handle>,
    /// Why some are missing; `None` where none is.
    pub(in crate::runtimes::coreclr) cut: Option<Gap>,
}

// Source: handletablepriv.h: segments of 64 KiB, HANDLE_BLOCKS_PER_SEGMENT, HANDLE_HANDLES_PER_BLOCK, HANDLE_HEADER_SIZE, struct _TableSegmentHeader, packed: a
// byte of age for each of four clumps of a block, the list of blocks, four bytes of mask for each 32 handles, then for each block its type, its
// user data, its count of locks; for each type the last block, the next one, and four bytes of free handles; the next segment, the table.
const SEGMENT: u64 = 0x1_0000;
const BLOCKS: u64 = 120;
const HANDLES: u64 = 64;
const HEADER: u64 = 0x1000;
const MASKS: u64 = 600;
const TYPES: u64 = 1560;
const USER_DATA: u64 = 1680;
const TAILS: u64 = 1920;
/// No block.
const NONE: u8 = 0xff;
/// Types that a table may have room for: 12 in .NET 8 and 9, 13 in 10.
const TYPE_COUNTS: [u64; 2] = [12, 13];

const MAX_MAPS: usize = 1 << 12;
const MAX_BUCKETS: u32 = 1 << 16;
const MAX_HANDLES: usize = 1 << 24;

impl Handles {
    /// Reads them.
    pub(in crate::runtimes::coreclr) fn read(variables: &Variables<'_>) -> Handles {
        let mut handles = Handles::default();
        handles.cut = handles.add_all(variables).err();
        handles.all.sort_unstable_by_key(|handle| handle.address);
        handles
    }

    /// The handle at an address.
    pub(in crate::runtimes::coreclr) fn at(&self, address: Addr) -> Option<&Handle> {
        let place = self.all.binary_search_by_key(&address, |handle| handle.address).ok()?;
        self.all.get(place)
    }

    fn add_all(&mut self, variables: &Variables<'_>) -> Known<()> {
        // Source: gcinterface.dac.h, struct dac_handle_table_map, dac_handle_table_bucket: buckets 0, next 8, count 16; tables 0.
        let memory = variables.memory();
        let tables = variables.heap_count()?;
        let mut map = variables.handle_table_map()?;
        let mut first = Ok(());
        let (mut maps, mut seen) = (FxHashSet::default(), FxHashSet::default());
        while map.0 != 0 {
            let (buckets, count) = (memory.ptr(map)?, memory.u32(plus(map, 16)?)?);
            if !maps.insert(map) || maps.len() > MAX_MAPS || count > MAX_BUCKETS {
                return Err(Gap::Corrupt(format!("the map of handles at {map}")));
            }
            for index in 0..u64::from(count) {
                let bucket = memory.ptr(plus(buckets, index.saturating_mul(8))?)?;
                if bucket.0 == 0 {
                    continue;
                }
                let list = memory.ptr(bucket)?;
                for table in 0..tables {
                    let table = memory.ptr(plus(list, table.saturating_mul(8))?)?;
                    // Every bucket may name one table, in a damaged dump.
                    if table.0 != 0 && seen.insert(table) {
                        first = first.and(self.add_table(memory, table));
                    }
                }
            }
            map = memory.ptr(plus(map, 8)?)?;
        }
        first
    }

    fn add_table(&mut self, memory: &Memory, table: Addr) -> Known<()> {
        let mut seen = FxHashSet::default();
        let (types, mut segment) = table_of(memory, table)?;
        let mut first = Ok(());
        while segment.0 != 0 {
            if !seen.insert(segment) || self.all.len() > MAX_HANDLES {
                return Err(Gap::Corrupt(format!("the segments of the table of handles at {table}")));
            }
            first = first.and(self.add_segment(memory, segment));
            segment = memory.ptr(plus(segment, next_segment(types))?)?;
        }
        first
    }

    fn add_segment(&mut self, memory: &Memory, segment: Addr) -> Known<()> {
        let mut types = [NONE; BLOCKS as usize];
        memory.read(plus(segment, TYPES)?, &mut types)?;
        let mut first = Ok(());
        // A block of second objects has no type.
        for (block, kind) in (0u64..).zip(types).filter(|(_, kind)| *kind != NONE) {
            let free = memory.u64(plus(segment, MASKS.saturating_add(block.saturating_mul(8)))?)?;
            for index in (0..HANDLES).filter(|index| free >> index & 1 == 0) {
                let address = plus(segment, place(block, index))?;
                // One that cannot be read leaves the others.
                match handle(memory, address, HandleKind(kind)) {
                    Ok(handle) if handle.object.0 != 0 => self.all.push(handle),
                    Ok(_) => {}
                    Err(gap) => first = first.and(Err(gap)),
                }
            }
        }
        first
    }
}

fn handle(memory: &Memory, address: Addr, kind: HandleKind) -> Known<Handle> {
    let object = memory.ptr(address)?;
    let is_dependent = kind == HandleKind::DEPENDENT && object.0 != 0;
    let dependent = if is_dependent { dependent(memory, address)? } else { Addr(0) };
    Ok(Handle { address, kind, object, dependent })
}

/// Bytes from a segment's start to a handle.
fn place(block: u64, index: u64) -> u64 {
    HEADER.saturating_add(block.saturating_mul(HANDLES).saturating_add(index).saturating_mul(8))
}

/// What a dependent handle keeps alive as long as what it refers to lives: it stands in another block, which the header names.
pub(in crate::runtimes::coreclr) fn dependent(memory: &Memory, handle: Addr) -> Known<Addr> {
    let damaged = || Gap::Corrupt(format!("a handle at {handle}"));
    let start = Addr(handle.0 & !(SEGMENT - 1));
    let index = (handle.0 & (SEGMENT - 1)).checked_sub(HEADER).ok_or_else(damaged)? / 8;
    let block = u64::from(memory.u8(plus(start, USER_DATA.saturating_add(index / HANDLES))?)?);
    if block >= BLOCKS {
        return Err(damaged());
    }
    Ok(memory.ptr(plus(start, place(block, index % HANDLES))?)?)
}

/// Where a segment names the next one; the table follows.
fn next_segment(types: u64) -> u64 {
    TAILS.saturating_add(types.saturating_mul(6))
}

/// How many types a table has room for, and its first segment: the one whose segments say that they are its.
fn table_of(memory: &Memory, table: Addr) -> Known<(u64, Addr)> {
    let mut first = Addr(0);
    for types in TYPE_COUNTS {
        let segment = memory.ptr(plus(table, types.saturating_mul(4).next_multiple_of(8))?)?;
        if segment.0 == 0 {
            continue;
        }
        let owner = plus(segment, next_segment(types).saturating_add(8)).and_then(|at| Ok(memory.ptr(at)?));
        if owner == Ok(table) {
            return Ok((types, segment));
        }
        first = segment;
    }
    if first.0 == 0 {
        Ok((TYPE_COUNTS[0], first))
    } else {
        Err(Gap::Corrupt(format!("the table of handles at {table}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment at 0x20000 with one block of a kind, of whose handles these are in use, and what each refers to.
    fn segment(kind: u8, used: &[(u64, u64)]) -> Vec<u64> {
        let mut words = vec![0u64; 0x1_0000 / 8];
        let mut bytes = vec![NONE; BLOCKS as usize];
        bytes[1] = kind;
        let at = TYPES as usize / 8;
        for (word, eight) in words[at..].iter_mut().zip(bytes.chunks(8)) {
            *word = u64::from_le_bytes(eight.try_into().expect("eight"));
        }
        words[MASKS as usize / 8 + 1] = !used.iter().fold(0, |mask, (index, _)| mask | 1 << index);
        for (index, object) in used {
            words[place(1, *index) as usize / 8] = *object;
        }
        words
    }

    #[test]
    fn handles_in_use_are_read_with_their_kinds() {
        let memory = Memory::of(0x2_0000, &segment(HandleKind::STRONG, &[(0, 0x7000), (63, 0x7100), (5, 0)]));
        let mut handles = Handles::default();
        assert_eq!(handles.add_segment(&memory, Addr(0x2_0000)), Ok(()));
        let told: Vec<_> = handles.all.iter().map(|handle| (handle.address.0, handle.object.0)).collect();
        assert_eq!(told, [(0x2_1200, 0x7000), (0x2_13f8, 0x7100)]);
        assert!(handles.all.iter().all(|handle| handle.kind.keeps_alive() && handle.kind.word() == "strong"));
    }

    #[test]
    fn kinds_are_named_as_sos_and_the_tables_write_them() {
        for (name, kind) in
            [("WeakShort", 0), ("weak short", 0), ("PINNED", 3), ("WeakInteriorPointer", 10), ("async-pinned", 7)]
        {
            assert_eq!(HandleKind::named(name), Some(HandleKind(kind)), "{name}");
        }
        assert_eq!((HandleKind::named("weak"), HandleKind::named("")), (None, None));
    }

    #[test]
    fn a_handle_that_cannot_be_read_is_a_gap_and_leaves_the_others() {
        let mut words = segment(HandleKind::PINNED, &[(0, 0x7000), (40, 0x7100)]);
        words.truncate(0x1300 / 8);
        let mut handles = Handles::default();
        assert!(handles.add_segment(&Memory::of(0x2_0000, &words), Addr(0x2_0000)).is_err());
        assert_eq!(handles.all.len(), 1);
    }

    #[test]
    fn what_belongs_to_a_handle_is_in_the_block_that_the_header_names() {
        // What belongs to handles of block 1 is in block 3.
        let mut words = segment(HandleKind::DEPENDENT.0, &[(5, 0x7000)]);
        words[USER_DATA as usize / 8] = 0x03 << 8;
        words[place(3, 5) as usize / 8] = 0x7777;
        let memory = Memory::of(0x2_0000, &words);
        assert_eq!(dependent(&memory, Addr(0x2_0000 + place(1, 5))), Ok(Addr(0x7777)));
        assert_eq!(dependent(&memory, Addr(0x2_0000 + place(0, 5))), Ok(Addr(0)));
        assert!(dependent(&memory, Addr(0x2_0ff8)).is_err());
        let mut handles = Handles::default();
        assert_eq!(handles.add_segment(&memory, Addr(0x2_0000)), Ok(()));
        assert_eq!(handles.all.first().map(|handle| handle.dependent), Some(Addr(0x7777)));
    }

    #[test]
    fn segments_in_a_circle_end() {
        // The table names the segment, which says that it is the table's, and that it is followed by itself.
        let mut words = segment(HandleKind::STRONG, &[(0, 0x7000)]);
        let next = next_segment(TYPE_COUNTS[0]);
        assert_eq!(next, 0x7c8, "as measured in 8.0.33 and 9.0.22");
        words[next as usize / 8] = 0x2_0000;
        words[next as usize / 8 + 1] = 0x3_0000;
        words.extend([0, 0, 0, 0, 0, 0, 0x2_0000]);
        let mut handles = Handles::default();
        assert!(handles.add_table(&Memory::of(0x2_0000, &words), Addr(0x3_0000)).is_err());
        assert_eq!(handles.all.len(), 1);
    }
}
