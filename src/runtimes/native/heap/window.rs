//! Many words of memory, one near the other: without looking for the segment of each.

use crate::capture::Memory;
use crate::model::Addr;

/// Memory of which the segment that was read last is at hand.
pub(super) struct Window<'a> {
    memory: &'a Memory,
    start: u64,
    bytes: &'a [u8],
}

impl<'a> Window<'a> {
    pub(super) fn new(memory: &'a Memory) -> Window<'a> {
        Window { memory, start: 0, bytes: &[] }
    }

    /// A word of 64 bits; `None` where it is not there.
    #[inline]
    pub(super) fn word(&mut self, at: u64) -> Option<u64> {
        let inside = |bytes: &[u8], start: u64| {
            let from = usize::try_from(at.wrapping_sub(start)).ok()?;
            Some(u64::from_le_bytes(*bytes.get(from..)?.first_chunk::<8>()?))
        };
        inside(self.bytes, self.start).or_else(|| {
            self.move_to(at);
            inside(self.bytes, self.start).or_else(|| self.memory.u64(Addr(at)).ok())
        })
    }

    #[cold]
    fn move_to(&mut self, at: u64) {
        if let Some(segment) = self.memory.segment_at(Addr(at)) {
            (self.start, self.bytes) = (segment.start.0, segment.bytes.as_ref());
        }
    }
}
