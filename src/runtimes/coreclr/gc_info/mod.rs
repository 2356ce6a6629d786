//! GC info: what of a method's frame refers to objects, at each of its instructions.
//!
//! Input: the bytes that a compiler left of a method. Output: its header, and the [`Slot`]s that are live at an offset of its code. x64 alone.
//! Specification: dotnet/runtime src/coreclr/inc/gcinfotypes.h (the bases of the numbers), vm/gcinfodecoder.cpp; formats 3 (.NET 8, 9; 2 has the
//! same bits) and 4 (.NET 10).

mod damage;
mod format;
mod header;
mod live;
mod place;
mod slots;
mod stream;

use std::sync::Arc;

use super::clr::Clr;
use super::code::Place;
use crate::model::{Addr, Known};

pub use self::format::Format;
pub use self::header::{Context, Header, Range};
pub use self::slots::{Base, Slot};

use self::live::Live;
pub(super) use self::place::format_of;

use self::slots::Slots;
use self::stream::Stream;

/// What of a frame is live where one asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// At a call, by the number of the safe point.
    SafePoint(usize),
    /// At an instruction of an interruptible range, by its offset in all of them in a row.
    Interruptible(u32),
    /// Where the collector never stops.
    Neither,
}

/// The GC info of a method.
#[derive(Debug)]
pub struct GcInfo {
    /// What holds for all of its code.
    pub header: Header,
    /// Calls, by the offset behind each ([`Format::Four`]) or that less one; ascending.
    pub safe_points: Vec<u32>,
    /// Instructions at each of which the collector may stop; ascending, apart.
    pub ranges: Vec<Range>,
    slots: Slots,
    live: Live,
}

impl GcInfo {
    /// Reads it from bytes of which it may be the beginning.
    ///
    /// # Errors
    ///
    /// What contradicts itself, and what ends early.
    pub fn read(bytes: Vec<u8>, format: Format) -> Known<GcInfo> {
        let mut stream = Stream::new(&bytes);
        let header = Header::read(&mut stream, format)?;
        let (safe_points, ranges) = header::stops(&mut stream, &header)?;
        let slots = Slots::read(&mut stream)?;
        let from = stream.position();
        Ok(GcInfo { header, safe_points, ranges, slots, live: Live { bytes, from } })
    }

    /// Where the collector finds a frame that stands at an offset of the code.
    pub fn stop(&self, offset: u32) -> Stop {
        match self.safe_points.binary_search(&offset) {
            Ok(index) => Stop::SafePoint(index),
            Err(_) => self.within(offset).unwrap_or(Stop::Neither),
        }
    }

    /// The place of an offset in the interruptible ranges; `None` where it is in none.
    pub fn within(&self, offset: u32) -> Option<Stop> {
        let mut before = 0u32;
        for range in &self.ranges {
            if (range.from..range.to).contains(&offset) {
                return Some(Stop::Interruptible(before.saturating_add(offset.saturating_sub(range.from))));
            }
            before = before.saturating_add(range.to.saturating_sub(range.from));
        }
        None
    }

    /// The registers and stack slots that are live there, untracked ones apart.
    ///
    /// # Errors
    ///
    /// What contradicts itself, and what ends early.
    pub fn live(&self, stop: Stop) -> Known<Vec<Slot>> {
        let tracked = self.slots.tracked();
        let live = match stop {
            Stop::SafePoint(index) => self.live.at_call(self.safe_points.len(), index, tracked.len())?,
            Stop::Interruptible(offset) => {
                let length = self.ranges.iter().map(|range| range.to.saturating_sub(range.from)).sum();
                self.live.within(self.safe_points.len(), length, offset, tracked.len())?
            }
            Stop::Neither => return Ok(Vec::new()),
        };
        Ok(tracked.iter().zip(live).filter(|(_, live)| *live).map(|(slot, _)| *slot).collect())
    }

    /// The stack slots that are live everywhere.
    pub fn untracked(&self) -> &[Slot] {
        self.slots.untracked()
    }
}

/// That of a method in a dump.
pub struct MethodGcInfo {
    /// The method's name; `None` where it cannot be read.
    pub name: Option<Arc<str>>,
    /// The first address of its code.
    pub start: Addr,
    /// Where its GC info is.
    pub at: Addr,
    /// What that says.
    pub info: GcInfo,
}

/// Where the GC info of a method's code is, and what it says.
pub(super) fn of(clr: &Clr, place: &Place) -> Known<(Addr, GcInfo)> {
    /// Bytes that are looked at: of most methods the first are enough.
    const LENGTHS: [u64; 3] = [1 << 9, 1 << 14, 1 << 20];
    let at = place::of(clr, place)?;
    let format = format_of(clr)?;
    let mut told = Err(damage::cut());
    for length in LENGTHS {
        // What follows may not be in the dump.
        let bytes = clr.memory().copy_after(at, length);
        if bytes.is_empty() {
            clr.memory().u8(at)?;
        }
        let is_all = u64::try_from(bytes.len()).is_ok_and(|len| len < length);
        told = GcInfo::read(bytes, format);
        if is_all || told.as_ref().is_ok_and(|info| info.is_whole()) {
            break;
        }
    }
    told.map(|info| (at, info))
}

impl GcInfo {
    /// Whether its states are within the bytes at hand: looks at the last of each kind.
    fn is_whole(&self) -> bool {
        let call = self.safe_points.len().checked_sub(1).map(Stop::SafePoint);
        let last = self.ranges.last().and_then(|range| range.to.checked_sub(1)).map(|last| self.stop(last));
        call.into_iter().chain(last).all(|stop| self.live(stop).is_ok())
    }
}

#[cfg(test)]
mod tests;
