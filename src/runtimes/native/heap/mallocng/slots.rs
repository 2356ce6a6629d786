//! Groups, slot by slot.
//!
//! A slot in use begins with what it tells of itself in four bytes in front of it. Where the block was moved within the slot, for an
//! alignment or to spread addresses, those tell by how much, and the same four bytes stand in front of the block.

use rustc_hash::FxHashMap;

use super::groups::{Group, Kind, is_used};
use super::layout::{IN_BAND, UNIT};
use crate::capture::Memory;
use crate::error::Error;
use crate::heap::Free;
use crate::job::Meter;
use crate::model::Addr;
use crate::runtimes::native::heap::allocator::{Block, Visit};
use crate::runtimes::native::heap::reading::{Window, add};

/// Groups within groups: each has a slot smaller than the one that it is in.
const MAX_DEPTH: u32 = 48;
/// Most damages that are kept of a part.
const MAX_DAMAGES: usize = 256;
/// What stands for a size in a header that tells where the block is.
// Source: musl 1.2.3 src/malloc/mallocng/meta.h, enframe: `p[-3] = 7<<5`.
const MOVED: u8 = 7;

/// What a walk counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Walked {
    /// Slots in use.
    pub used: Free,
    /// Slots that may be given out next.
    pub available: Free,
    /// Slots that were given back, or never used.
    pub freed: Free,
    /// Blocks with a mapping of their own.
    pub mapped: Free,
    pub damages: Vec<Damage>,
    /// Damages that are not kept.
    pub more: u64,
}

/// A block in use that is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// The block; where its header is overwritten, its slot.
    pub at: u64,
    /// Bytes of its slot.
    pub bytes: u64,
    pub kind: DamageKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DamageKind {
    /// What stands in front of it is no header.
    Header([u8; 4]),
    /// The byte behind what was asked for is not 0.
    Overrun { asked: u64, byte: u8 },
    /// The dump does not hold its header.
    Unreadable,
}

struct Walk<'a, 'v> {
    window: Window<'a>,
    ends: Window<'a>,
    inner: &'a FxHashMap<u64, Group>,
    visit: &'v mut Visit<'v>,
    walked: Walked,
}

/// Tells `visit` the blocks in use of some groups, ascending.
pub(super) fn walk(
    memory: &Memory,
    groups: &[Group],
    inner: &FxHashMap<u64, Group>,
    meter: &mut Meter<'_>,
    visit: &mut Visit<'_>,
) -> Result<Walked, Error> {
    let mut visit = |block| visit(block);
    let mut walk = Walk {
        window: Window::new(memory),
        ends: Window::new(memory),
        inner,
        visit: &mut visit,
        walked: Walked::default(),
    };
    for group in groups {
        walk.group(group, 0, meter)?;
    }
    Ok(walk.walked)
}

impl Walk<'_, '_> {
    fn group(&mut self, group: &Group, depth: u32, meter: &mut Meter<'_>) -> Result<(), Error> {
        meter.add(group.count)?;
        let single = group.kind() == Kind::Single;
        let bytes = if single { group.mapped } else { group.stride };
        for index in 0..group.count {
            let offset = index.saturating_mul(group.stride).saturating_add(UNIT);
            let slot = group.start.saturating_add(offset);
            if !is_used(group, index) {
                let is_next = group.available >> index & 1 == 1;
                add(if is_next { &mut self.walked.available } else { &mut self.walked.freed }, 1, bytes);
                continue;
            }
            let nested = self.inner.get(&slot).filter(|nested| nested.taken() <= group.stride && depth < MAX_DEPTH);
            if let Some(nested) = nested.copied() {
                self.group(&nested, depth.saturating_add(1), meter)?;
                continue;
            }
            add(if single { &mut self.walked.mapped } else { &mut self.walked.used }, 1, bytes);
            let address = self.block(group, index, slot, meter)?;
            (self.visit)(Block { address: Addr(address), bytes })?;
        }
        Ok(())
    }

    /// What the program was given of a slot.
    fn block(&mut self, group: &Group, index: u64, slot: u64, meter: &mut Meter<'_>) -> Result<u64, Error> {
        let Some(header) = self.window.bytes::<4>(slot.wrapping_sub(IN_BAND)) else {
            self.damage(slot, group.stride, DamageKind::Unreadable);
            return Ok(slot);
        };
        let [_, kind, low, high] = header;
        let moved = if kind >> 5 == MOVED { u64::from(u16::from_le_bytes([low, high])) } else { 0 };
        let end = slot.saturating_add(group.stride).saturating_sub(IN_BAND);
        // The distance has 16 bits; a block that was aligned farther away is the only one of its group.
        let step = UNIT << 16;
        let mut block = slot.saturating_add(moved.saturating_mul(UNIT));
        while block < end {
            match self.header(group, index, block) {
                Some(reserved) => {
                    self.hold_end(block, end, reserved, group.stride);
                    return Ok(block);
                }
                None if kind >> 5 == MOVED && group.count == 1 => {
                    meter.add(0)?;
                    block = block.saturating_add(step);
                }
                None => break,
            }
        }
        self.damage(slot, group.stride, DamageKind::Header(header));
        Ok(slot)
    }

    /// What the header in front of a block says of the end of its slot; `None` where it is none of this slot.
    // Source: musl 1.2.3 src/malloc/mallocng/meta.h, get_meta and get_nominal_size.
    fn header(&mut self, group: &Group, index: u64, block: u64) -> Option<u8> {
        let [wide, kind, low, high] = self.window.bytes(block.wrapping_sub(IN_BAND))?;
        let near = u32::from(u16::from_le_bytes([low, high]));
        let units = match wide {
            0 => near,
            _ if near == 0 => self.window.u32(block.wrapping_sub(8))?,
            _ => return None,
        };
        let stated = u64::from(units).checked_mul(UNIT)?.checked_add(group.start)?.checked_add(UNIT)?;
        let reserved = kind >> 5;
        (stated == block && u64::from(kind & 31) == index && reserved <= 5).then_some(reserved)
    }

    /// Whether the byte behind what was asked for is 0, as the library left it.
    fn hold_end(&mut self, block: u64, end: u64, reserved: u8, slot: u64) {
        let reserved = match reserved {
            5 => self.ends.u32(end.wrapping_sub(4)).map_or(0, u64::from),
            few => u64::from(few),
        };
        let Some(asked) = end.checked_sub(reserved).and_then(|end| end.checked_sub(block)) else {
            let bytes = self.ends.bytes(end.wrapping_sub(4)).unwrap_or_default();
            return self.damage(block, slot, DamageKind::Header(bytes));
        };
        if let Some(byte) = self.ends.u8(end.wrapping_sub(reserved)).filter(|byte| *byte != 0) {
            self.damage(block, slot, DamageKind::Overrun { asked, byte });
        }
    }

    fn damage(&mut self, at: u64, bytes: u64, kind: DamageKind) {
        if self.walked.damages.len() < MAX_DAMAGES {
            self.walked.damages.push(Damage { at, bytes, kind });
        } else {
            self.walked.more = self.walked.more.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Job;

    const START: u64 = 0x1_0000;

    /// A group of slots of 48 bytes, whose first eight bytes are its meta.
    fn group(count: u64) -> Group {
        Group {
            meta: 0x9000,
            start: START,
            available: 0,
            freed: 0,
            count,
            stride: 48,
            mapped: 0,
            class: 2,
            freeable: false,
        }
    }

    /// Writes what stands in front of a block: slot, bytes not asked for, distance in units.
    fn header(bytes: &mut [u8], block: usize, slot: u8, reserved: u8, units: u16) {
        bytes[block - 3] = slot | reserved << 5;
        bytes[block - 2..block].copy_from_slice(&units.to_le_bytes());
    }

    fn walked(group: &Group, bytes: &[u8]) -> (Vec<(u64, u64)>, Walked) {
        let memory = Memory::of_bytes(START, bytes);
        let mut blocks = Vec::new();
        let visit = &mut |block: Block| {
            blocks.push((block.address.0 - START, block.bytes));
            Ok(())
        };
        let walked = walk(&memory, &[*group], &FxHashMap::default(), &mut Job::default().meter(), visit);
        (blocks, walked.expect("not cancelled"))
    }

    #[test]
    fn slots_in_neither_mask_are_in_use() {
        let mut bytes = vec![0u8; 16 + 4 * 48];
        header(&mut bytes, 16, 0, 4, 0);
        header(&mut bytes, 16 + 3 * 48, 3, 4, 9);
        let (blocks, walked) = walked(&Group { available: 2, freed: 4, ..group(4) }, &bytes);
        assert_eq!(blocks, [(16, 48), (16 + 3 * 48, 48)]);
        let slot = Free { count: 1, bytes: 48 };
        assert_eq!((walked.available, walked.freed, walked.damages), (slot, slot, Vec::new()));
    }

    #[test]
    fn a_block_that_was_moved_in_its_slot_is_told_where_it_is() {
        let mut bytes = vec![0u8; 16 + 48];
        // By one unit: 28 bytes are left, all of them asked for.
        header(&mut bytes, 16, 0, MOVED, 1);
        header(&mut bytes, 32, 0, 0, 1);
        let (blocks, walked) = walked(&group(1), &bytes);
        assert_eq!((blocks, walked.damages), (vec![(32, 48)], Vec::new()));
    }

    #[test]
    fn looking_for_a_block_that_was_moved_far_can_be_cancelled() {
        let mut bytes = vec![0u8; 16 + 48];
        header(&mut bytes, 16, 0, MOVED, 0);
        // The group's slot is as long as a mapping may be: 2^27 steps, but for the first.
        let far = Group { stride: 1 << 47, mapped: 1 << 47, ..group(1) };
        let job = Job::default();
        job.cancel();
        let memory = Memory::of_bytes(START, &bytes);
        let (inner, mut visit) = (FxHashMap::default(), |_| Ok(()));
        let mut walk = Walk {
            window: Window::new(&memory),
            ends: Window::new(&memory),
            inner: &inner,
            visit: &mut visit,
            walked: Walked::default(),
        };
        assert!(walk.block(&far, 0, START + 16, &mut job.meter()).is_err());
    }

    #[test]
    fn a_block_written_beyond_its_end_is_told_and_stays() {
        let mut bytes = vec![0u8; 16 + 48];
        header(&mut bytes, 16, 0, 4, 0);
        bytes[16 + 40] = b'x';
        let (blocks, walked) = walked(&group(1), &bytes);
        assert_eq!(blocks, [(16, 48)]);
        let kind = DamageKind::Overrun { asked: 40, byte: b'x' };
        assert_eq!(walked.damages, [Damage { at: START + 16, bytes: 48, kind }]);
    }

    #[test]
    fn an_overwritten_header_is_told_and_its_slot_stays() {
        let mut bytes = vec![0u8; 16 + 2 * 48];
        header(&mut bytes, 16, 0, 0, 0);
        bytes[16 + 44..16 + 48].copy_from_slice(b"text");
        let (blocks, walked) = walked(&group(2), &bytes);
        assert_eq!(blocks, [(16, 48), (64, 48)]);
        let kinds: Vec<DamageKind> = walked.damages.iter().map(|damage| damage.kind).collect();
        assert_eq!(kinds, [DamageKind::Overrun { asked: 44, byte: b't' }, DamageKind::Header(*b"text")]);
    }

    #[test]
    fn a_dump_that_ends_within_a_group_is_told() {
        let mut bytes = vec![0u8; 16 + 48];
        header(&mut bytes, 16, 0, 4, 0);
        let (blocks, walked) = walked(&group(3), &bytes);
        assert_eq!(blocks.len(), 3);
        let kinds: Vec<DamageKind> = walked.damages.iter().map(|damage| damage.kind).collect();
        assert_eq!(kinds, [DamageKind::Header([0; 4]), DamageKind::Unreadable]);
    }
}
