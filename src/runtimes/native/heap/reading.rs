//! What all walkers read: the data of modules, and memory from low to high addresses.

use std::ops::Range;

use super::parts::Odd;
use crate::capture::{Access, Memory, Role};
use crate::model::{Addr, Problem, Subject};
use crate::runtimes::native::libc::{Family, family_of};
use crate::target::{Module, Target};

/// Most bytes of a module's data that are searched.
pub(super) const MAX_SEARCHED: u64 = 256 << 20;

/// The smallest page.
pub(super) const PAGE: u64 = 4096;

/// Modules that may have an allocator of musl: musl's library; without any C library the executable.
pub(super) fn of_musl(target: &Target) -> impl Iterator<Item = &Module> {
    let has_library = target.modules.iter().any(|module| family_of(module).is_some());
    target.modules.iter().filter(move |module| match has_library {
        true => family_of(module) == Some(Family::Musl),
        false => module.mapped.role == Role::Executable,
    })
}

/// Modules that have an allocator: libraries of its name, and whatever holds one of its messages in its read-only data.
pub(super) fn of_allocator<'a>(target: &'a Target, name: &str, message: Message) -> Vec<&'a Module> {
    let has = |module: &&Module| {
        let is_named = module.file_name().is_some_and(|file| file.starts_with("lib") && file.contains(name));
        is_named || constants(&target.memory, module).into_iter().any(|(_, bytes)| message.is_in(bytes))
    };
    target.modules.iter().filter(has).collect()
}

/// What an allocator begins a message with: its first letter, and what follows. Apart they are no message: this program has no allocator for
/// knowing of it.
#[derive(Clone, Copy)]
pub(super) struct Message(pub u8, pub &'static str);

impl Message {
    fn is_in(self, bytes: &[u8]) -> bool {
        let mut rests = memchr::memmem::find_iter(bytes, self.1);
        rests.any(|rest| rest.checked_sub(1).and_then(|first| bytes.get(first)) == Some(&self.0))
    }
}

/// Runs of a module's writable data that are in the dump: start and bytes, ascending.
pub(super) fn data<'a>(memory: &'a Memory, module: &Module) -> Vec<(u64, &'a [u8])> {
    runs(memory, module, |access| access.write)
}

/// Runs of its data that nobody may write.
pub(super) fn constants<'a>(memory: &'a Memory, module: &Module) -> Vec<(u64, &'a [u8])> {
    runs(memory, module, |access| access.read && !access.write && !access.execute)
}

fn runs<'a>(memory: &'a Memory, module: &Module, is_wanted: fn(&Access) -> bool) -> Vec<(u64, &'a [u8])> {
    let (base, end) = (module.mapped.base, module.mapped.end);
    let first = memory.regions().partition_point(|region| region.end <= base);
    let regions = memory.regions().iter().skip(first).take_while(|region| region.start < end);
    let mut runs = Vec::new();
    let mut searched = 0u64;
    for region in regions.filter(|region| is_wanted(&region.access)) {
        let (mut at, to) = (region.start.max(base), region.end.min(end));
        while at < to && searched < MAX_SEARCHED {
            let most = to.since(at).unwrap_or(0).min(MAX_SEARCHED.saturating_sub(searched));
            let Ok(bytes) = memory.slice_up_to(at, most) else {
                // Over what the dump leaves out.
                let Some(segment) = memory.next_segment(at) else { break };
                at = segment.start;
                continue;
            };
            runs.push((at.0, bytes));
            searched = searched.saturating_add(bytes.len() as u64);
            let Some(next) = at.plus(bytes.len() as u64) else { break };
            at = next;
        }
    }
    runs
}

/// Says of ranges of modules that more of their data is there than is searched.
pub(super) fn unsearched(memory: &Memory, modules: impl Iterator<Item = Range<Addr>>, most: u64) -> Option<Problem> {
    let is_cut = |module: &Range<Addr>| {
        let regions = memory.regions().iter().skip_while(|region| region.end <= module.start);
        let mut held = [0u64; 2];
        for region in regions.take_while(|region| region.start < module.end) {
            let bytes = memory.bytes_within(region.start.max(module.start), region.end.min(module.end));
            let [fixed, written] = &mut held;
            let sum = if region.access.write { written } else { fixed };
            *sum = sum.saturating_add(if region.access.execute { 0 } else { bytes });
        }
        held.iter().any(|held| *held > most)
    };
    let mut cut = Odd::default();
    modules.filter(is_cut).for_each(|module| cut.add(module.start.0));
    cut.told("heap-incomplete", |modules, first| {
        format!(
            "{modules} modules, the first at {first}, have more than {} MiB of data: allocators are looked for in no more of it, and \
             totals may be too low",
            most >> 20
        )
    })
}

/// Words of 64 bits of a run of data, each with its address.
pub(super) fn words(start: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    let ahead = start.next_multiple_of(8).saturating_sub(start);
    let aligned = usize::try_from(ahead).ok().and_then(|ahead| bytes.get(ahead..)).unwrap_or_default();
    let (chunks, _) = aligned.as_chunks::<8>();
    let first = start.saturating_add(ahead);
    (0u64..)
        .zip(chunks)
        .map(move |(index, word)| (first.saturating_add(index.saturating_mul(8)), u64::from_le_bytes(*word)))
}

/// A view of memory that moves forward: reading on in the same segment costs no search.
pub(super) struct Window<'a> {
    memory: &'a Memory,
    start: u64,
    bytes: &'a [u8],
}

impl<'a> Window<'a> {
    pub(super) fn new(memory: &'a Memory) -> Window<'a> {
        Window { memory, start: 0, bytes: &[] }
    }

    /// `N` bytes, of one segment or more.
    #[inline]
    pub(super) fn bytes<const N: usize>(&mut self, at: u64) -> Option<[u8; N]> {
        let inside = |bytes: &[u8], start: u64| {
            let from = usize::try_from(at.wrapping_sub(start)).ok()?;
            bytes.get(from..)?.first_chunk::<N>().copied()
        };
        inside(self.bytes, self.start).or_else(|| {
            self.move_to(at);
            inside(self.bytes, self.start).or_else(|| self.across(at))
        })
    }

    #[inline]
    pub(super) fn u64(&mut self, at: u64) -> Option<u64> {
        self.bytes(at).map(u64::from_le_bytes)
    }

    #[inline]
    pub(super) fn u32(&mut self, at: u64) -> Option<u32> {
        self.bytes(at).map(u32::from_le_bytes)
    }

    #[inline]
    pub(super) fn u8(&mut self, at: u64) -> Option<u8> {
        self.bytes(at).map(u8::from_le_bytes)
    }

    #[cold]
    fn move_to(&mut self, at: u64) {
        if let Some(segment) = self.memory.segment_at(Addr(at)) {
            (self.start, self.bytes) = (segment.start.0, segment.bytes.as_ref());
        }
    }

    #[cold]
    fn across<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.memory.read(Addr(at), &mut bytes).ok().map(|()| bytes)
    }
}

/// The first page from an address on of which the dump holds the start; `None` where there is none before `end`.
pub(super) fn held_page(memory: &Memory, from: u64, end: u64) -> Option<u64> {
    let mut at = from.checked_next_multiple_of(PAGE)?;
    while at < end && memory.segment_at(Addr(at)).is_none() {
        // A mapping of terabytes may have no contents.
        at = memory.next_segment(Addr(at))?.start.0.checked_next_multiple_of(PAGE)?;
    }
    (at < end).then_some(at)
}

/// Whether the first and the last of so many bytes are mapped.
pub(super) fn is_mapped(memory: &Memory, from: u64, bytes: u64) -> bool {
    let last = bytes.checked_sub(1).and_then(|bytes| from.checked_add(bytes));
    last.is_some_and(|last| [from, last].iter().all(|at| memory.region_at(Addr(*at)).is_some()))
}

/// Says that a search ended at a limit.
pub(super) fn cut(what: &str, at: u64) -> Problem {
    let at = Addr(at);
    let message = format!("{what} were looked for up to {at}: what lies behind is left out, totals may be too low");
    Problem::new("heap-incomplete", Subject::Memory(at), message)
}

/// So many bytes of memory from an address on.
pub(super) fn range(from: u64, bytes: u64) -> Range<Addr> {
    Addr(from)..Addr(from.saturating_add(bytes))
}

/// Adds to a sum of blocks and bytes.
pub(super) fn add(sum: &mut crate::heap::Free, count: u64, bytes: u64) {
    sum.count = sum.count.saturating_add(count);
    sum.bytes = sum.bytes.saturating_add(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Origin, Segment};

    #[test]
    fn a_message_is_known_by_its_first_letter_too() {
        let is_in = |text: &str| Message(b'<', "jemalloc>: ").is_in(text.as_bytes());
        assert_eq!(
            ["x <jemalloc>: y", "jemalloc>: ", "/jemalloc>: <jemalloc>: ", ""].map(is_in),
            [true, false, true, false]
        );
    }

    #[test]
    fn words_are_read_where_they_are_aligned() {
        let bytes: Vec<u8> = (0..20).collect();
        let all: Vec<(u64, u64)> = words(0x1004, &bytes).collect();
        assert_eq!(all, [(0x1008, 0x0b0a_0908_0706_0504), (0x1010, 0x1312_1110_0f0e_0d0c)]);
    }

    #[test]
    fn modules_with_more_data_than_is_searched_are_told() {
        let memory = Memory::of_bytes(0x10_0000, &vec![0; 3 << 20]);
        let modules = [Addr(0x10_0000)..Addr(0x20_0000), Addr(0x20_0000)..Addr(0x40_0000)];
        assert_eq!(unsearched(&memory, modules.clone().into_iter(), 2 << 20), None);
        let told = unsearched(&memory, modules.into_iter(), 1 << 20).expect("the second has two");
        assert_eq!(told.about, Subject::Memory(Addr(0x20_0000)));
        assert!(told.message.starts_with("1 modules, the first at 0x200000, have more than 1 MiB of data"), "{told:?}");
    }

    #[test]
    fn pages_that_the_dump_leaves_out_are_stepped_over() {
        let segment = |start: u64| Segment {
            start: Addr(start),
            bytes: symbols::FileBytes::from_vec(vec![0; 0x1800]),
            origin: Origin::Dump,
        };
        let memory = Memory::new(vec![segment(0x1000), segment(0x7fff_0000_0800), segment(0x7fff_0000_4000)], vec![]);
        let pages = |from: u64| held_page(&memory, from, 0x7fff_0000_5000);
        assert_eq!([pages(0), pages(0x1001), pages(0x2001)], [Some(0x1000), Some(0x2000), Some(0x7fff_0000_1000)]);
        assert_eq!([pages(0x7fff_0000_1001), pages(0x7fff_0000_4001)], [Some(0x7fff_0000_4000), None]);
        assert_eq!(pages(u64::MAX), None);
    }

    #[test]
    fn a_window_reads_what_lies_in_one_segment_or_in_two() {
        let segment = |start: u64, byte: u8| Segment {
            start: Addr(start),
            bytes: symbols::FileBytes::from_vec(vec![byte; 4]),
            origin: Origin::Dump,
        };
        let memory = Memory::new(vec![segment(0x1000, 0x11), segment(0x1004, 0x22)], vec![]);
        let mut window = Window::new(&memory);
        assert_eq!((window.u32(0x1000), window.u64(0x1000)), (Some(0x1111_1111), Some(0x2222_2222_1111_1111)));
        let memory = Memory::of(0x1000, &[0x1122_3344_5566_7788]);
        let mut window = Window::new(&memory);
        assert_eq!(window.u64(0x1000), Some(0x1122_3344_5566_7788));
        assert_eq!((window.u8(0x1007), window.u32(0x1004)), (Some(0x11), Some(0x1122_3344)));
        assert_eq!((window.u64(0x1001), window.u32(0x0ffe)), (None, None));
    }
}
