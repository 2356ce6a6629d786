//! Heaps of names, blobs and GUIDs.

use super::damage::corrupt;
use super::signature::compressed;
use crate::capture::Memory;
use crate::model::{Addr, Known};

/// A heap of names, blobs or GUIDs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heap {
    pub(super) at: Addr,
    pub(super) size: u64,
}

impl Heap {
    /// Where something in it is.
    pub(super) fn place(self, offset: u64) -> Known<Addr> {
        let place = (offset < self.size).then(|| self.at.plus(offset)).flatten();
        place.ok_or_else(|| corrupt("a name or signature is outside its heap"))
    }

    /// A blob of at most so many bytes.
    pub(super) fn blob(self, memory: &Memory, offset: u32, max: u64) -> Known<Vec<u8>> {
        let start = self.place(offset.into())?;
        let mut head = [0; 4];
        // The last blob may end less than four bytes behind its start.
        let at_hand = memory.slice_up_to(start, 4)?;
        head.iter_mut().zip(at_hand).for_each(|(to, from)| *to = *from);
        let (len, taken) = compressed(&head).ok_or_else(|| corrupt("a blob's length"))?;
        if u64::from(len) > max.min(self.size) {
            return Err(corrupt("a blob is too long"));
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        let body = start.plus(taken as u64).ok_or_else(|| corrupt("a blob leaves the address space"))?;
        memory.read(body, &mut bytes)?;
        Ok(bytes)
    }

    /// A GUID, by its number, which counts from 1.
    pub(super) fn guid(self, memory: &Memory, number: u32) -> Known<[u8; 16]> {
        // Source: ECMA-335 II.24.2.5.
        let offset = number.checked_sub(1).ok_or_else(|| corrupt("a GUID without a number"))?;
        let mut guid = [0; 16];
        memory.read(self.place(u64::from(offset).saturating_mul(16))?, &mut guid)?;
        Ok(guid)
    }
}
