//! The elements that are in a queue of managed code: `ConcurrentQueue`, `Queue`, and the queue of its own that each thread of the pool has.
//!
//! Input: the queue. Output: where its elements are, those that are taken next first; what was taken before is left out. Specification:
//! dotnet/runtime src/libraries/System.Private.CoreLib/src/System/Collections/{Concurrent/ConcurrentQueueSegment,Generic/Queue}.cs,
//! System/Threading/ThreadPoolWorkQueue.cs, of 8.0 to 10.0.

use rustc_hash::FxHashSet;

use super::objects::Instance;
use crate::error::Error;
use crate::job::Meter;
use crate::model::{Addr, Gap};

/// Most elements of all queues that are read together, and most parts of queues.
const MAX_ELEMENTS: usize = 1 << 20;
const MAX_PARTS: usize = 1 << 16;

/// Elements of queues, as far as they were read.
pub(super) struct Elements<'m, 'j> {
    meter: &'m mut Meter<'j>,
    /// Where each is, with its bytes: the place in its array.
    pub(super) places: Vec<(Addr, u64)>,
    /// Parts of queues that were read: none is read twice, however they refer to one another.
    seen: FxHashSet<Addr>,
    /// Why some are missing.
    pub(super) gap: Option<Gap>,
}

/// Why a queue is not read to its end.
enum Stop {
    Gap(Gap),
    Cancelled(Error),
}

impl From<Gap> for Stop {
    fn from(gap: Gap) -> Stop {
        Stop::Gap(gap)
    }
}

impl<'m, 'j> Elements<'m, 'j> {
    pub(super) fn new(meter: &'m mut Meter<'j>) -> Elements<'m, 'j> {
        Elements { meter, places: Vec::new(), seen: FxHashSet::default(), gap: None }
    }

    /// Adds those of a queue; of what is no queue nothing. Fails once the job is cancelled.
    pub(super) fn add(&mut self, queue: &Instance<'_>) -> Result<(), Error> {
        let is_a = |class| queue.is_a(class);
        let read = if is_a("System.Collections.Concurrent.ConcurrentQueue") {
            self.concurrent(queue)
        } else if is_a("System.Collections.Generic.Queue") {
            self.plain(queue)
        } else if is_a("System.Threading.ThreadPoolWorkQueue+WorkStealingQueue") {
            self.stolen(queue)
        } else {
            Ok(())
        };
        match read {
            Ok(()) => Ok(()),
            Err(Stop::Gap(gap)) => {
                self.miss(gap);
                Ok(())
            }
            Err(Stop::Cancelled(error)) => Err(error),
        }
    }

    /// Says that some are missing.
    pub(super) fn miss(&mut self, gap: Gap) {
        self.gap.get_or_insert(gap);
    }

    fn concurrent(&mut self, queue: &Instance<'_>) -> Result<(), Stop> {
        let mut next = queue.reference("_head")?;
        while let Some(segment) = next {
            if self.seen.len() >= MAX_PARTS {
                return Err(Gap::Unsupported(format!("queues of more than {MAX_PARTS} parts")).into());
            }
            if !self.seen.insert(segment.at) {
                return Err(Gap::Corrupt(format!("a queue leads to its part at {} twice", segment.at)).into());
            }
            self.segment(&segment)?;
            next = segment.reference("_nextSegment")?;
        }
        Ok(())
    }

    /// A segment is a ring whose positions only grow; of one that takes no more the tail is two lengths too far.
    fn segment(&mut self, segment: &Instance<'_>) -> Result<(), Stop> {
        let Some(slots) = segment.reference("_slots")? else { return Ok(()) };
        let ends = segment.inner("_headAndTail")?;
        let (head, mut tail) = (ends.u32("Head")?, ends.u32("Tail")?);
        let room = slots.len()?;
        if segment.u8("_frozenForEnqueues")? != 0 {
            tail = tail.wrapping_sub(room.saturating_mul(2));
        }
        self.ring(&slots, head, tail, |at| at & room.saturating_sub(1))
    }

    /// Behind its array's end it goes on at the beginning.
    fn plain(&mut self, queue: &Instance<'_>) -> Result<(), Stop> {
        let Some(array) = queue.reference("_array")? else { return Ok(()) };
        let (head, size, room) = (queue.u32("_head")?, queue.u32("_size")?, array.len()?);
        self.ring(&array, head, head.wrapping_add(size), |at| if at < room { at } else { at.wrapping_sub(room) })
    }

    /// Its thread takes the newest, others the oldest.
    fn stolen(&mut self, queue: &Instance<'_>) -> Result<(), Stop> {
        let Some(array) = queue.reference("m_array")? else { return Ok(()) };
        let (head, tail, mask) = (queue.u32("m_headIndex")?, queue.u32("m_tailIndex")?, queue.u32("m_mask")?);
        let before = self.places.len();
        let read = self.ring(&array, head, tail, |at| at & mask);
        if let Some(own) = self.places.get_mut(before..) {
            own.reverse();
        }
        read
    }

    /// The places of a ring from one position to another.
    fn ring(&mut self, array: &Instance<'_>, head: u32, tail: u32, place: impl Fn(u32) -> u32) -> Result<(), Stop> {
        // One that is just being taken from may be ahead of itself.
        let count = if tail.wrapping_sub(head).cast_signed() < 0 { 0 } else { tail.wrapping_sub(head) };
        for index in 0..count.min(array.len()?) {
            self.meter.add(1).map_err(Stop::Cancelled)?;
            if self.places.len() >= MAX_ELEMENTS {
                return Err(Gap::Unsupported(format!("queues of more than {MAX_ELEMENTS} elements")).into());
            }
            let at = array.element(place(head.wrapping_add(index)))?;
            self.places.push((at, array.class.component.into()));
        }
        Ok(())
    }
}
