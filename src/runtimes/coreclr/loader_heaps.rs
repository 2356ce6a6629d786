//! What .NET's loader has allocated: the heaps of its loader allocators, in which it keeps classes, stubs and static fields without references.
//!
//! Input: the modules that were loaded. Output: every block of each heap, and why some are missing. Source: dotnet/runtime
//! src/coreclr/utilcode/loaderheap.cpp (8 to 10), src/coreclr/vm/loaderallocator.hpp and virtualcallstub.h: members that no description of those
//! versions tells are measured on 8.0.33, 9.0.22 and 10.0.14.

use std::ops::Range;

use rustc_hash::FxHashSet;

use super::clr::{Clr, plus};
use super::modules::Modules;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Gap, Known};

/// Most blocks of all heaps together: one has 64 KiB or more.
const MAX_BLOCKS: usize = 1 << 18;
/// Most bytes of a block: one with a method or a module of its own may have more than the usual.
const MAX_BLOCK: u64 = 1 << 32;

/// The heaps of a loader allocator by its member, with what it is called here; the last has what its other structure keeps.
const HEAPS: [(&str, &str); 7] = [
    ("LowFrequencyHeap", "low frequency"),
    ("HighFrequencyHeap", "high frequency"),
    ("StaticsHeap", "statics"),
    ("StubHeap", "stubs"),
    ("ExecutableHeap", "executable"),
    ("FixupPrecodeHeap", "fixup precodes"),
    ("NewStubPrecodeHeap", "stub precodes"),
];
/// Those of the manager of stubs for calls of interfaces.
const OF_CALLS: [(&str, &str); 2] = [("IndirectionCellHeap", "indirection cells"), ("CacheEntryHeap", "cache entries")];

/// A block of a loader's heap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoaderBlock {
    /// The loader allocator that has it: one of all that cannot be unloaded, another of each context that can.
    pub allocator: Addr,
    /// Which of its heaps: `low frequency`, `stubs` …
    pub heap: &'static str,
    /// The addresses that were reserved for it.
    pub range: Range<Addr>,
}

/// Blocks of all loaders' heaps.
#[derive(Clone, Debug, Default)]
pub(super) struct LoaderHeaps {
    /// Ascending by address.
    pub(super) blocks: Vec<LoaderBlock>,
    /// Why some are missing.
    pub(super) unread: Vec<Gap>,
}

impl LoaderHeaps {
    /// Reads them. Fails once the job is cancelled.
    pub(super) fn read(clr: &Clr, modules: &Modules, job: &Job) -> Result<LoaderHeaps, Error> {
        let (mut found, mut meter) = (LoaderHeaps::default(), job.meter());
        let loaded = match modules.all(clr) {
            Ok(loaded) => loaded,
            Err(gap) => {
                found.unread.push(gap);
                return Ok(found);
            }
        };
        found.unread.extend(loaded.unread.clone());
        let mut seen = FxHashSet::default();
        for module in &loaded.modules {
            meter.add(1)?;
            match clr.ptr(*module, "Module", "LoaderAllocator") {
                Ok(Addr(0)) => {}
                Ok(allocator) if !seen.insert(allocator) => {}
                Ok(allocator) => found.add(clr, allocator),
                Err(gap) => found.miss(gap),
            }
        }
        found.blocks.sort_by_key(|block| (block.range.start, block.range.end));
        found.keep_apart();
        Ok(found)
    }

    fn miss(&mut self, gap: Gap) {
        if !self.unread.contains(&gap) {
            self.unread.push(gap);
        }
    }

    fn add(&mut self, clr: &Clr, allocator: Addr) {
        let calls = clr.ptr(allocator, "LoaderAllocator", "VirtualCallStubManager");
        let own = HEAPS.iter().map(|(member, name)| (clr.ptr(allocator, "LoaderAllocator", member), *name, *member));
        let of_calls = |(member, name): &(&'static str, &'static str)| {
            let heap = match &calls {
                Ok(Addr(0)) => Ok(Addr(0)),
                Ok(calls) => clr.ptr(*calls, "VirtualCallStubManager", member),
                Err(gap) => Err(gap.clone()),
            };
            (heap, *name, *member)
        };
        let mut heaps: Vec<Addr> = Vec::new();
        for (heap, name, member) in own.chain(OF_CALLS.iter().map(of_calls)).collect::<Vec<_>>() {
            match heap {
                // Several members may stand for one heap.
                Ok(heap) if heap.0 == 0 || heaps.contains(&heap) => {}
                Ok(heap) => {
                    heaps.push(heap);
                    if let Err(gap) = self.add_heap(clr, allocator, heap, name) {
                        self.miss(gap);
                    }
                }
                // Of 8 there is no heap of statics.
                Err(Gap::NoLayout(_)) if member == "StaticsHeap" => {}
                Err(gap) => self.miss(gap),
            }
        }
    }

    fn add_heap(&mut self, clr: &Clr, allocator: Addr, heap: Addr, name: &'static str) -> Known<()> {
        let mut block = clr.ptr(heap, "LoaderHeap", "FirstBlock")?;
        let mut seen = FxHashSet::default();
        while block.0 != 0 {
            if !seen.insert(block) {
                return Err(Gap::Corrupt(format!(
                    "the blocks of the loader's heap at {heap} lead in a circle at {block}"
                )));
            }
            if self.blocks.len() >= MAX_BLOCKS {
                return Err(Gap::Unsupported(format!("more than {MAX_BLOCKS} blocks of loaders' heaps")));
            }
            let start = clr.ptr(block, "LoaderHeapBlock", "VirtualAddress")?;
            let bytes = clr.ptr(block, "LoaderHeapBlock", "VirtualSize")?.0;
            let end = plus(start, bytes).ok().filter(|_| bytes <= MAX_BLOCK && start.is_aligned(PAGE));
            let end =
                end.ok_or_else(|| Gap::Corrupt(format!("the block of a loader's heap that {block} describes")))?;
            self.blocks.push(LoaderBlock { allocator, heap: name, range: start..end });
            block = clr.ptr(block, "LoaderHeapBlock", "Next")?;
        }
        Ok(())
    }

    /// Leaves out blocks that lie in others.
    fn keep_apart(&mut self) {
        let mut behind = Addr(0);
        for block in std::mem::take(&mut self.blocks) {
            if block.range.start < behind {
                self.miss(Gap::Corrupt(format!(
                    "the block of a loader's heap at {} lies in another",
                    block.range.start
                )));
            } else {
                behind = block.range.end;
                self.blocks.push(block);
            }
        }
    }
}

/// What a block begins at.
const PAGE: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Memory;

    const BASE: u64 = 0x10000;
    const LOW: usize = 688 / 8;
    const CALLS: usize = 1808 / 8;

    /// What is read of a loader allocator of .NET 10 whose heap of low frequency begins with the block that is described at word 232, where
    /// blocks are given by their words from there on.
    fn read(blocks: &[[u64; 3]]) -> LoaderHeaps {
        let mut words = vec![0; 230];
        words[LOW] = BASE + 230 * 8;
        // The heap: its methods, its first block.
        words.extend([0x1234, BASE + 232 * 8]);
        words.extend(blocks.iter().flatten());
        let clr = Clr::by_hand(10, Memory::of(BASE, &words), &[]);
        let mut found = LoaderHeaps::default();
        found.add(&clr, Addr(BASE));
        found.keep_apart();
        assert!(words[CALLS] == 0);
        found
    }

    #[test]
    fn blocks_of_a_heap_are_listed_to_the_last() {
        let second = BASE + 235 * 8;
        let found = read(&[[second, 0x7000_0000, 0x1_0000], [0, 0x7100_0000, 0x2000]]);
        let block = |start: u64, bytes: u64| LoaderBlock {
            allocator: Addr(BASE),
            heap: "low frequency",
            range: Addr(start)..Addr(start + bytes),
        };
        assert_eq!(found.blocks, [block(0x7000_0000, 0x1_0000), block(0x7100_0000, 0x2000)]);
        assert_eq!(found.unread, []);
    }

    #[test]
    fn a_circle_of_blocks_ends_and_is_told() {
        let found = read(&[[BASE + 232 * 8, 0x7000_0000, 0x1_0000]]);
        assert_eq!(found.blocks.len(), 1);
        assert!(matches!(found.unread.as_slice(), [Gap::Corrupt(why)] if why.contains("circle")), "{:?}", found.unread);
    }

    #[test]
    fn what_is_no_block_is_told_and_not_listed() {
        for wrong in [[0, 0x7000_0010, 0x1_0000], [0, 0x7000_0000, 1 << 40], [0, u64::MAX - 0xfff, 0x1_0000]] {
            let found = read(&[wrong]);
            assert_eq!(found.blocks, [], "{wrong:x?}");
            assert!(matches!(found.unread.as_slice(), [Gap::Corrupt(_)]), "{:?}", found.unread);
        }
        let beyond = read(&[[0xdead_0000, 0x7000_0000, 0x1_0000]]);
        assert_eq!((beyond.blocks.len(), beyond.unread.len()), (1, 1), "the rest is where nothing is");
    }

    #[test]
    fn blocks_that_lie_in_others_are_told_and_not_counted_twice() {
        let second = BASE + 235 * 8;
        let found = read(&[[second, 0x7000_0000, 0x1_0000], [0, 0x7000_8000, 0x1_0000]]);
        assert_eq!((found.blocks.len(), found.unread.len()), (1, 1));
    }
}
