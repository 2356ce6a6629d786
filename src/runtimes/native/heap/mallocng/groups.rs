//! The groups: what each meta says of the slots that it stands for.

use rustc_hash::FxHashMap;

use super::find::Place;
use super::layout::{
    AREA_COUNT, AREA_METAS, CLASSES, CLASSLESS, MAX_SLOTS, META, METAS, PAGE, UNIT, UNUSED_METAS, USAGE, slot,
};
use crate::capture::Memory;
use crate::error::Error;
use crate::job::Job;
use crate::model::Addr;
use crate::runtimes::native::heap::reading::Window;

/// A group of equal slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Its `struct meta`.
    pub meta: u64,
    /// Where it begins: its slots follow after a unit.
    pub start: u64,
    /// Bits of slots that may be given out next.
    pub available: u32,
    /// Bits of slots that were given back, or never used.
    pub freed: u32,
    /// Slots.
    pub count: u64,
    /// Bytes from one slot to the next.
    pub stride: u64,
    /// Bytes of its own mapping; 0 where it has none.
    pub mapped: u64,
    pub class: u64,
    /// Whether it is ever given back; memory that the loader donated is not.
    pub freeable: bool,
}

/// What a group's memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A mapping for one block, which is given back with it.
    Single,
    /// A mapping of several slots, or of one that is used again.
    Mapped,
    /// The rest of a page that a module's data does not fill.
    Donated,
    /// A slot of another group.
    Inner,
}

impl Group {
    pub(super) fn kind(&self) -> Kind {
        match (self.mapped > 0, self.freeable) {
            // Source: musl 1.2.3 src/malloc/mallocng/malloc.c, is_allzero; free.c, okay_to_free.
            (true, _) if slot(self.class).is_none_or(|slot| self.stride < slot) => Kind::Single,
            (true, _) => Kind::Mapped,
            (false, true) => Kind::Inner,
            (false, false) => Kind::Donated,
        }
    }

    /// Bytes of its memory.
    pub(super) fn taken(&self) -> u64 {
        match self.mapped {
            0 => self.count.saturating_mul(self.stride).saturating_add(UNIT),
            mapped => mapped,
        }
    }

    pub(super) fn end(&self) -> u64 {
        self.start.saturating_add(self.taken())
    }
}

/// All groups.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Pages of metas.
    pub areas: u64,
    /// Those that are in no other, ascending.
    pub outer: Vec<Group>,
    /// Those in slots of others, by where they begin.
    pub inner: FxHashMap<u64, Group>,
    /// Metas that cannot be right: their addresses.
    pub odd: Vec<u64>,
    /// Classes of which the library counts another number of slots: bytes of a slot, slots counted, slots found.
    pub miscounted: Vec<(u64, u64, u64)>,
}

/// Reads all metas.
pub(super) fn read(memory: &Memory, place: &Place, job: &Job) -> Result<Groups, Error> {
    let mut groups = Groups { areas: place.areas.len() as u64, ..Groups::default() };
    let mut window = Window::new(memory);
    let mut home = Window::new(memory);
    let unused = place.context.checked_add(UNUSED_METAS).and_then(|at| window.u64(at)).unwrap_or(0);
    for (index, area) in place.areas.iter().enumerate() {
        job.check()?;
        let stated = window.u32(area.saturating_add(AREA_COUNT)).map_or(METAS, u64::from);
        let is_last = index.saturating_add(1) == place.areas.len();
        let used = stated.min(METAS).saturating_sub(if is_last { unused } else { 0 });
        for number in 0..used {
            let meta = area.saturating_add(AREA_METAS).saturating_add(number.saturating_mul(META));
            match group(memory, &mut window, &mut home, meta) {
                Read::Unused => {}
                Read::Odd => groups.odd.push(meta),
                Read::Group(group) if group.kind() == Kind::Inner => {
                    if groups.inner.insert(group.start, group).is_some() {
                        groups.odd.push(meta);
                    }
                }
                Read::Group(group) => groups.outer.push(group),
            }
        }
    }
    groups.outer.sort_unstable_by_key(|group| group.start);
    let mut end = 0;
    let odd = &mut groups.odd;
    groups.outer.retain(|group| {
        let is_apart = group.start >= end;
        end = end.max(group.end());
        if !is_apart {
            odd.push(group.meta);
        }
        is_apart
    });
    groups.hold_against(&mut window, place.context);
    Ok(groups)
}

enum Read {
    Unused,
    /// It is no group, or its memory does not know it.
    Odd,
    Group(Group),
}

fn group(memory: &Memory, window: &mut Window<'_>, home: &mut Window<'_>, meta: u64) -> Read {
    let mut word = |offset: u64| window.u64(meta.saturating_add(offset));
    let (Some(start), Some(masks), Some(bits)) = (word(16), word(24), word(32)) else { return Read::Odd };
    if start == 0 {
        return Read::Unused;
    }
    // last_idx: 5 bits, freeable: 1, sizeclass: 6, maplen: the rest, in pages of 4096 bytes.
    let (last, freeable, class, mapped) = (bits & 31, bits >> 5 & 1 == 1, bits >> 6 & 63, bits >> 12);
    let count = last.saturating_add(1);
    let mapped = mapped.saturating_mul(PAGE);
    // Source: musl 1.2.3 src/malloc/mallocng/meta.h, get_stride.
    let stride = match (last, mapped) {
        (0, 1..) => mapped.checked_sub(UNIT),
        _ => slot(class),
    };
    let fits = |stride: &u64| {
        let all = stride.saturating_mul(count).saturating_add(UNIT);
        (mapped == 0 || all <= mapped) && start.checked_add(all.max(mapped)).is_some()
    };
    let is_classed = class < CLASSES.len() as u64 || (class == CLASSLESS && last == 0 && mapped > 0);
    let Some(stride) = stride.filter(fits).filter(|_| is_classed) else { return Read::Odd };
    if !start.is_multiple_of(UNIT) || home.u64(start) != Some(meta) {
        return Read::Odd;
    }
    // What it maps must be mapped: its length has 52 bits of pages.
    let last_byte = start.checked_add(mapped).and_then(|end| end.checked_sub(1));
    if mapped > 0 && last_byte.and_then(|at| memory.region_at(Addr(at))).is_none() {
        return Read::Odd;
    }
    let (available, freed) = ((masks & 0xffff_ffff) as u32, (masks >> 32) as u32);
    Read::Group(Group { meta, start, available, freed, count, stride, mapped, class, freeable })
}

impl Groups {
    /// Counts slots by class as the library does.
    fn hold_against(&mut self, window: &mut Window<'_>, context: u64) {
        let mut found = [0u64; CLASSES.len()];
        let counted = self.outer.iter().chain(self.inner.values()).filter(|group| group.kind() != Kind::Donated);
        for group in counted {
            let sum = usize::try_from(group.class).ok().and_then(|class| found.get_mut(class));
            if let Some(sum) = sum {
                *sum = sum.saturating_add(group.count);
            }
        }
        for (class, found) in (0u64..).zip(found) {
            let at = context.saturating_add(USAGE).saturating_add(class.saturating_mul(8));
            let counted = window.u64(at);
            if let Some(counted) = counted.filter(|counted| *counted != found) {
                self.miscounted.push((slot(class).unwrap_or(0), counted, found));
            }
        }
    }

    /// The memory of groups and metas.
    pub(super) fn memory(&self, areas: &[u64]) -> Vec<std::ops::Range<Addr>> {
        let areas = areas.iter().map(|area| (*area, area.saturating_add(PAGE)));
        let groups = self.outer.iter().map(|group| (group.start, group.end()));
        areas.chain(groups).map(|(from, to)| Addr(from)..Addr(to)).collect()
    }
}

/// Whether a slot of a group is in use.
pub(super) fn is_used(group: &Group, slot: u64) -> bool {
    u64::from(group.available | group.freed) >> slot.min(MAX_SLOTS) & 1 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREA: u64 = 0x1000;
    const HOME: u64 = 0x2000;

    /// An area of one meta, and behind it two pages that a group of one slot has for itself.
    fn words(mapped: u64) -> Vec<u64> {
        let mut words = vec![0u64; 3 * 512];
        (words[2], words[5], words[7]) = (1, HOME, mapped << 12 | CLASSLESS << 6 | 1 << 5);
        words[512] = AREA + AREA_METAS;
        words
    }

    fn groups(mapped: u64) -> Groups {
        let place = Place { context: 0, areas: vec![AREA], is_whole: true };
        read(&Memory::of(AREA, &words(mapped)), &place, &Job::default()).expect("not cancelled")
    }

    #[test]
    fn a_group_has_no_more_pages_than_are_mapped() {
        let two = groups(2);
        assert_eq!(two.outer.iter().map(|group| (group.start, group.mapped)).collect::<Vec<_>>(), [(HOME, 2 * PAGE)]);
        assert!(two.odd.is_empty());
        for pages in [3, 1 << 20, 1 << 49, (1 << 52) - 1] {
            let beyond = groups(pages);
            assert_eq!((beyond.outer, beyond.odd), (vec![], vec![AREA + AREA_METAS]), "{pages}");
        }
    }
}
