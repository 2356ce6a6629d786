//! A segment or region, and the generation that it belongs to.

use crate::model::Addr;

/// A segment or region; of a segment that generations share, the part of one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where the collector describes it: its `heap_segment`, which SOS calls the segment.
    pub at: Addr,
    /// Where its memory begins, before the first object.
    pub base: Addr,
    /// The first object.
    pub start: Addr,
    /// Behind the last.
    pub end: Addr,
    /// Behind what it has taken from the system.
    pub committed: Addr,
    /// Behind the addresses that are kept for it.
    pub reserved: Addr,
    /// Whose it is.
    pub generation: Generation,
    /// The heap that has it, from 0.
    pub heap: u64,
}

impl Segment {
    /// Bytes of its objects, and of what fills gaps between them.
    pub fn bytes(&self) -> u64 {
        self.end.since(self.start).unwrap_or(0)
    }

    /// Bytes that it has taken from the system.
    pub fn committed_bytes(&self) -> u64 {
        self.committed.since(self.base).unwrap_or(0)
    }
}

/// What is in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Generation {
    /// Objects that survived so many collections: 0 to 2.
    Of(u8),
    /// Generations 0 to 2 together, where they share a segment and it cannot be told which is where.
    Ephemeral,
    /// Objects of 85,000 bytes and more.
    Large,
    /// Objects that may not be moved.
    Pinned,
    /// Objects that are never collected: texts of programs.
    Frozen,
}

/// The names of generations, each with others that SOS and its users have for it.
pub(super) const NAMES: &[&[&str]] = &[
    &["gen 0", "gen0", "0"],
    &["gen 1", "gen1", "1"],
    &["gen 2", "gen2", "2"],
    &["large", "loh", "3"],
    &["pinned", "poh", "4"],
    &["frozen", "foh", "frz", "nongc"],
];

impl Generation {
    /// Its place in [`NAMES`]; `None` where several share the segment.
    pub(super) fn place(self) -> Option<usize> {
        match self {
            Generation::Of(number) => Some(usize::from(number.min(2))),
            Generation::Ephemeral => None,
            Generation::Large => Some(3),
            Generation::Pinned => Some(4),
            Generation::Frozen => Some(5),
        }
    }

    /// Whose memory its segments are, among all of the process.
    pub(super) fn owner(self) -> &'static str {
        match self {
            Generation::Of(0) => ".NET, gen 0",
            Generation::Of(1) => ".NET, gen 1",
            Generation::Of(_) => ".NET, gen 2",
            Generation::Ephemeral => ".NET, gen 0 to 2",
            Generation::Large => ".NET, large",
            Generation::Pinned => ".NET, pinned",
            Generation::Frozen => ".NET, frozen",
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        let names = self.place().and_then(|place| NAMES.get(place));
        names.and_then(|names| names.first()).copied().unwrap_or("gen 0 to 2")
    }
}
