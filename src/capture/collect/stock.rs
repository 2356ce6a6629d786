//! How many buffers there are on the way from the process to the sink, and how many there may be.

use std::sync::{Mutex, PoisonError};

use symbols::Room;

use super::spare::Spare;

/// Bytes of a buffer, and how many there are as a rule: 32 MiB.
pub(super) const BUFFER: usize = 4 << 20;
const BUFFERS: usize = 8;
/// How many there are whatever memory there is: one is read into while another is written.
const MIN_BUFFERS: usize = 2;
/// How many there are where personal data is scrubbed out, which takes longer than reading: the largest triage dump of
/// a .NET process fits, so that the process does not wait for that. They take memory only as they are filled.
const BUFFERS_TO_BLOT: usize = 32;
/// Before so many more are made, what memory can be spared is looked up again: 64 MiB.
const STEP: usize = 16;

/// Makes buffers as far as there may be more.
pub(super) struct Stock {
    spare: Spare,
    /// Whoever makes one while another looks up what can be spared waits for what that tells.
    count: Mutex<Count>,
}

/// All are numbers of buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count {
    made: usize,
    /// There may be so many without another look.
    granted: usize,
    /// There are so many whatever is spare.
    least: usize,
    most: usize,
}

impl Stock {
    /// Of `most` bytes where they can be spared, or what there is as a rule where that is more. `scrubs`: personal
    /// data is scrubbed out.
    pub(super) fn new(scrubs: bool, most: u64) -> Stock {
        let spare = Spare::find();
        let usual = if scrubs { BUFFERS_TO_BLOT } else { BUFFERS };
        let least = spare.bytes(0).map_or(usual, |bytes| buffers(bytes).clamp(MIN_BUFFERS, usual));
        let count = Count { made: 0, granted: least, least, most: buffers(most).max(least) };
        Stock { spare, count: Mutex::new(count) }
    }

    /// One more buffer; `None` where there may be no more, or the kernel has none.
    pub(super) fn make(&self) -> Option<Room> {
        if !self.with(|count| count.take(|taken| self.spare.bytes(taken))) {
            return None;
        }
        let room = Room::dense(BUFFER).ok();
        if room.is_none() {
            self.with(Count::refuse);
        }
        room
    }

    /// No more than there have to be.
    pub(super) fn keep_least(&self) {
        self.with(|count| count.most = count.least);
    }

    /// No more than there are, or have to be.
    pub(super) fn keep_made(&self) {
        self.with(|count| count.most = count.made.max(count.least));
    }

    /// Bytes of the buffers that are there.
    pub(super) fn bytes(&self) -> u64 {
        bytes(self.with(|count| count.made))
    }

    fn with<T>(&self, change: impl FnOnce(&mut Count) -> T) -> T {
        change(&mut self.count.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How many buffers so many bytes hold.
pub(super) fn buffers(bytes: u64) -> usize {
    usize::try_from(bytes / BUFFER as u64).unwrap_or(usize::MAX)
}

fn bytes(buffers: usize) -> u64 {
    (buffers as u64).saturating_mul(BUFFER as u64)
}

impl Count {
    /// Whether one more may be made; it counts as made then. `spare`: bytes that may be taken in all, when so many are
    /// taken.
    fn take(&mut self, spare: impl FnOnce(u64) -> Option<u64>) -> bool {
        if self.made >= self.granted && self.made < self.most {
            let spare = buffers(spare(bytes(self.made)).unwrap_or(0)).max(self.least);
            self.granted = self.made.saturating_add(STEP);
            if spare < self.granted {
                self.most = self.most.min(spare);
            }
        }
        let may = self.made < self.most;
        self.made = self.made.saturating_add(usize::from(may));
        may
    }

    /// What was taken could not be had: there are no more.
    fn refuse(&mut self) {
        self.made = self.made.saturating_sub(1);
        self.most = self.most.min(self.made.max(self.least));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(least: usize, most: usize) -> Count {
        Count { made: 0, granted: least, least, most }
    }

    /// How many there come to be where so many bytes are spare whatever is taken, and how often that is looked up.
    fn taken(mut count: Count, spare: Option<u64>) -> (usize, usize) {
        let mut looks = 0;
        while count.take(|_| {
            looks += 1;
            spare
        }) {}
        (count.made, looks)
    }

    #[test]
    fn there_are_as_many_as_can_be_spared() {
        assert_eq!(taken(count(2, 1000), Some(0)), (2, 1));
        assert_eq!(taken(count(2, 1000), None), (2, 1));
        assert_eq!(taken(count(8, 1000), Some(48 << 20)), (12, 1));
        assert_eq!(taken(count(8, 40), Some(u64::MAX)), (40, 2));
        assert_eq!(taken(count(8, 8), Some(u64::MAX)), (8, 0));
    }

    #[test]
    fn one_that_the_kernel_refuses_is_the_last_but_for_those_that_there_must_be() {
        let mut count = count(2, 1000);
        assert!((0..5).all(|_| count.take(|_| Some(u64::MAX))));
        count.refuse();
        assert_eq!((count.made, count.most), (4, 4));
        assert!(!count.take(|_| Some(u64::MAX)));
        count.made = 1;
        count.refuse();
        assert_eq!((count.made, count.most), (0, 2));
    }
}
