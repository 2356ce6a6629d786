//! Asynchronous methods and iterators: which method a state machine stands for, and where it waits.

use super::super::damage::corrupt;
use super::super::signature::compressed;
use super::{CUSTOM_DEBUG_INFORMATION, Pdb, STATE_MACHINE_METHOD};
use crate::model::Known;

/// `54fd2ac5-e925-401a-9c2a-f94f171072f8` as it is stored. Source: PortablePdb-Metadata.md, "Async Method Stepping Information".
const STEPPING: [u8; 16] =
    [0xc5, 0x2a, 0xfd, 0x54, 0x25, 0xe9, 0x1a, 0x40, 0x9c, 0x2a, 0xf9, 0x4f, 0x17, 0x10, 0x72, 0xf8];
/// Most waits of a method, and records of one method, that are looked at.
const MAX_WAITS: usize = 1 << 16;
const MAX_RECORDS: usize = 256;

/// One place at which an asynchronous method may be suspended; the first is that of state 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Bytes from the start of the instructions at which it returns.
    pub yields: u32,
    /// Where it goes on.
    pub resumes: u32,
    /// The method, by its row, that goes on there.
    pub method: u32,
}

impl Pdb {
    /// The method as its source has it, of which a method `MoveNext` of a state machine was made; `Ok(None)` where it was made of none.
    pub fn kickoff(&self, move_next: u32) -> Known<Option<u32>> {
        let rows = self.rows_of(STATE_MACHINE_METHOD, 0, move_next)?;
        rows.take(1).next().map(|row| self.cell(STATE_MACHINE_METHOD, row, 1)).transpose()
    }

    /// Where a method `MoveNext` may be suspended, by state; empty where it is none of an asynchronous method.
    pub fn waits(&self, move_next: u32) -> Known<Vec<Wait>> {
        // A method's tag is 0 of five bits.
        let parent = move_next.checked_mul(32).ok_or_else(|| corrupt("a method's row"))?;
        for row in self.rows_of(CUSTOM_DEBUG_INFORMATION, 0, parent)?.take(MAX_RECORDS) {
            let kind = self.cell(CUSTOM_DEBUG_INFORMATION, row, 1)?;
            if self.metadata.streams.guids.guid(&self.memory, kind)? == STEPPING {
                return waits(&self.blob(self.cell(CUSTOM_DEBUG_INFORMATION, row, 2)?, super::MAX_POINTS)?);
            }
        }
        Ok(Vec::new())
    }
}

/// Reads them: the handler of exceptions (4 bytes), then for each where it yields, where it resumes (4 bytes each), the method.
fn waits(blob: &[u8]) -> Known<Vec<Wait>> {
    let damaged = || corrupt("where an asynchronous method waits");
    let (_, mut rest) = blob.split_first_chunk::<4>().ok_or_else(damaged)?;
    let mut waits = Vec::new();
    while !rest.is_empty() && waits.len() < MAX_WAITS {
        let (yields, behind) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let (resumes, behind) = behind.split_first_chunk::<4>().ok_or_else(damaged)?;
        let (method, taken) = compressed(behind).ok_or_else(damaged)?;
        waits.push(Wait { yields: u32::from_le_bytes(*yields), resumes: u32::from_le_bytes(*resumes), method });
        rest = behind.get(taken..).unwrap_or_default();
    }
    Ok(waits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read_by_state() {
        let blob = [0, 0, 0, 0, 0x2e, 0, 0, 0, 0x40, 0, 0, 0, 5, 0x80, 1, 0, 0, 0x90, 1, 0, 0, 0x81, 2];
        let expected = [Wait { yields: 46, resumes: 64, method: 5 }, Wait { yields: 384, resumes: 400, method: 258 }];
        assert_eq!(waits(&blob).as_deref(), Ok(&expected[..]));
        for len in (0..blob.len()).filter(|len| ![4, 13].contains(len)) {
            assert!(waits(&blob[..len]).is_err(), "{len}");
        }
    }
}
