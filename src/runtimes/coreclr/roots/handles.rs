//! The handle table: references that native code, and the runtime itself, keep to objects.

use rustc_hash::FxHashSet;

use crate::capture::Memory;
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::plus;
use crate::runtimes::coreclr::heap::Variables;

/// A handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) struct Handle {
    /// Where it is.
    pub(in crate::runtimes::coreclr) address: Addr,
    /// What it does to the object.
    pub(in crate::runtimes::coreclr) kind: HandleKind,
    /// The object.
    pub(in crate::runtimes::coreclr) object: Addr,
    /// Of a dependent handle the object that lives as long; 0 where there is none.
    pub(in crate::runtimes::coreclr) dependent: Addr,
}

/// What a handle does to its object. The numbers are the collector's.
// Source: dotnet/runtime src/coreclr/gc/gcinterface.h, enum HandleType.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::runtimes::coreclr) struct HandleKind(u8);

impl HandleKind {
    const STRONG: u8 = 2;
    const PINNED: u8 = 3;
    const REF_COUNTED: u8 = 5;
    /// Keeps its second object alive while the first lives.
    const DEPENDENT: HandleKind = HandleKind(6);
    const ASYNC_PINNED: u8 = 7;
    const SIZED: u8 = 8;

    /// As SOS has it.
    pub(in crate::runtimes::coreclr) fn word(self) -> &'static str {
        const WORDS: [&str; 12] = [
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
        WORDS.get(usize::from(self.0)).copied().unwrap_or("of a kind that is not known")
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

// Source: handletablepriv.h: HANDLE_BLOCKS_PER_SEGMENT, HANDLE_HANDLES_PER_BLOCK, HANDLE_HEADER_SIZE, struct _TableSegmentHeader, packed: a
// byte of age for each of four clumps of a block, the list of blocks, four bytes of mask for each 32 handles, then for each block its type, its
// user data, its count of locks; for each type the last block, the next one, and four bytes of free handles; the next segment, the table.
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
const MAX_SEGMENTS: usize = 1 << 16;

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
        let mut first = None;
        for _ in 0..MAX_MAPS {
            if map.0 == 0 {
                break;
            }
            let (buckets, count) = (memory.ptr(map)?, memory.u32(plus(map, 16)?)?.min(MAX_BUCKETS));
            for index in 0..u64::from(count) {
                let bucket = memory.ptr(plus(buckets, index.saturating_mul(8))?)?;
                if bucket.0 == 0 {
                    continue;
                }
                let list = memory.ptr(bucket)?;
                for table in 0..tables {
                    let table = memory.ptr(plus(list, table.saturating_mul(8))?)?;
                    if table.0 != 0
                        && let Err(gap) = self.add_table(memory, table)
                    {
                        first.get_or_insert(gap);
                    }
                }
            }
            map = memory.ptr(plus(map, 8)?)?;
        }
        first.map_or(Ok(()), Err)
    }

    fn add_table(&mut self, memory: &Memory, table: Addr) -> Known<()> {
        let mut seen = FxHashSet::default();
        let (types, mut segment) = table_of(memory, table)?;
        while segment.0 != 0 && seen.len() < MAX_SEGMENTS && seen.insert(segment) {
            self.add_segment(memory, segment)?;
            segment = memory.ptr(plus(segment, next_segment(types))?)?;
        }
        Ok(())
    }

    fn add_segment(&mut self, memory: &Memory, segment: Addr) -> Known<()> {
        let mut types = [NONE; BLOCKS as usize];
        let mut user_data = [NONE; BLOCKS as usize];
        memory.read(plus(segment, TYPES)?, &mut types)?;
        memory.read(plus(segment, USER_DATA)?, &mut user_data)?;
        for (block, (kind, data)) in (0u64..).zip(types.into_iter().zip(user_data)) {
            // A block of second objects has no type.
            if kind == NONE {
                continue;
            }
            let handle = |block: u64, index: u64| {
                plus(
                    segment,
                    HEADER.saturating_add(block.saturating_mul(HANDLES).saturating_add(index).saturating_mul(8)),
                )
            };
            let masks = plus(segment, MASKS.saturating_add(block.saturating_mul(8)))?;
            let free = memory.u64(masks)?;
            for index in (0..HANDLES).filter(|index| free >> index & 1 == 0) {
                let address = handle(block, index)?;
                // A segment is given memory as it is filled.
                let Ok(object) = memory.ptr(address) else { break };
                let kind = HandleKind(kind);
                let second = kind == HandleKind::DEPENDENT && data != NONE;
                let dependent = if second { memory.ptr(handle(data.into(), index)?)? } else { Addr(0) };
                if object.0 != 0 {
                    self.all.push(Handle { address, kind, object, dependent });
                }
            }
        }
        Ok(())
    }
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
