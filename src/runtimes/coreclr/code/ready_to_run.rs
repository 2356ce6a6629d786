//! Code that was compiled before the program ran: ReadyToRun images.
//!
//! Only what a question leads to is read: createdump keeps of the tables the pages that its own questions touched.

use super::super::clr::{Clr, plus};
use super::place::{Compiled, Place};
use super::ranges::Range;
use crate::capture::Memory;
use crate::model::{Addr, Gap, Known};

/// Most functions of an image; CoreLib has 50,000, a composite image 215,000.
const MAX_FUNCTIONS: u32 = 1 << 24;
/// Funclets follow their method: how many are stepped over.
const MAX_FUNCLETS: u32 = 64;
/// Places of a hash table that are looked at for one key.
const MAX_PROBES: u64 = 256;

/// The method at an address of an image; `None` where it is none, but a stub.
pub(super) fn place(clr: &Clr, range: Range, code: Addr) -> Known<Option<Place>> {
    let of_module = clr.ptr(range.ready_to_run, "Module", "ReadyToRunInfo")?;
    // Code of several assemblies in one image has one table: the composite image's.
    let composite = clr.ptr(of_module, "ReadyToRunInfo", "CompositeInfo")?;
    let info = if composite.0 == 0 { of_module } else { composite };
    let functions = clr.ptr(info, "ReadyToRunInfo", "RuntimeFunctions")?;
    let count = clr.u32(info, "ReadyToRunInfo", "NumRuntimeFunctions")?.min(MAX_FUNCTIONS);
    let size = clr.layout.offset("RuntimeFunction", "!")?;
    let function = |index: u32| plus(functions, u64::from(index).saturating_mul(size));
    let begin = |index: u32| plus(range.begin, clr.u32(function(index)?, "RuntimeFunction", "BeginAddress")?.into());
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        if begin(middle)? <= code { low = middle.saturating_add(1) } else { high = middle }
    }
    let Some(index) = low.checked_sub(1) else { return Ok(None) };
    let unwind = plus(range.begin, clr.u32(function(index)?, "RuntimeFunction", "UnwindData")?.into())?;
    let own = begin(index)?;
    let compiled = |function| Compiled::ReadyToRun { image: range.begin, info, function };
    let unnamed = Place { method: Addr(0), start: own, function: own, unwind, compiled: compiled(index) };
    let buckets = clr.at(info, "ReadyToRunInfo", "EntryPointToMethodDescMap")?;
    let buckets = clr.ptr(buckets, "HashMap", "Buckets")?;
    for back in 0..=MAX_FUNCLETS.min(index) {
        let first = index.saturating_sub(back);
        let start = begin(first)?;
        match find(clr.memory(), buckets, start.0) {
            Ok(Some(method)) => return Ok(Some(Place { method, start, compiled: compiled(first), ..unnamed })),
            Ok(None) => {}
            // The function unwinds all the same.
            Err(_) => return Ok(Some(unnamed)),
        }
    }
    Ok(Some(unnamed))
}

/// The value of a key in a table of the runtime's class HashMap.
fn find(memory: &Memory, buckets: Addr, key: u64) -> Known<Option<Addr>> {
    // Source: dotnet/runtime src/coreclr/vm/hash.h and hash.cpp: the first bucket holds their number; a bucket of 64 bytes has four keys, then
    // four values, each shifted right by one; bit 63 of the first tells that a key may have gone to a further bucket.
    const BUCKET: u64 = 64;
    const SLOTS: u64 = 4;
    const VALUE: u64 = 0x7fff_ffff_ffff_ffff;
    const LOW: u64 = 0xffff_ffff;
    let count = memory.u32(buckets)?;
    let count = u64::from(count);
    if count < 2 {
        return Ok(None);
    }
    // Both have 32 bits.
    let step = 1 + (key >> 5 & LOW).wrapping_add(1) % (count - 1);
    let mut seed = key >> 2 & LOW;
    for _ in 0..count.min(MAX_PROBES) {
        let bucket = plus(buckets, (seed % count + 1).saturating_mul(BUCKET))?;
        for slot in 0..SLOTS {
            let at = plus(bucket, slot * 8)?;
            if memory.u64(at)? == key {
                let value = memory.u64(plus(at, SLOTS * 8)?)? & VALUE;
                return value.checked_mul(2).map(|method| Some(Addr(method))).ok_or_else(|| corrupt(buckets));
            }
        }
        if memory.u64(plus(bucket, SLOTS * 8)?)? & !VALUE == 0 {
            return Ok(None);
        }
        seed = seed.wrapping_add(step) & LOW;
    }
    Ok(None)
}

fn corrupt(at: Addr) -> Gap {
    Gap::Corrupt(format!("a table of methods at {at}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of three buckets: key 0x100 in its place, key 0x10c behind a bucket that is full.
    fn table() -> Vec<u64> {
        let mut words = vec![0; 32];
        words[0] = 3;
        // 0x100 >> 2 = 64, 64 % 3 = 1: the second bucket, which is full.
        words[16..24].copy_from_slice(&[0x100, 1, 2, 3, 0x8000_0000_0000_0800, 0, 0, 0]);
        // 0x10c >> 2 = 67, 67 % 3 = 1; the step is 1 + (8 + 1) % 2 = 2: (67 + 2) % 3 = 0.
        words[9] = 0x10c;
        words[13] = 0x900;
        words
    }

    #[test]
    fn a_key_is_found_in_its_bucket_or_a_further_one() {
        let memory = Memory::of(0x1000, &table());
        assert_eq!(find(&memory, Addr(0x1000), 0x100), Ok(Some(Addr(0x1000))));
        assert_eq!(find(&memory, Addr(0x1000), 0x10c), Ok(Some(Addr(0x1200))));
        assert_eq!(find(&memory, Addr(0x1000), 0x118), Ok(None));
    }

    #[test]
    fn the_place_of_a_key_counts_in_32_bits() {
        // As seen in 9.0.22: 353 buckets, the key 0x7fcaf6893c20 in the one at 133.
        let mut words = vec![0; 8 * 354];
        words[0] = 353;
        words[8 * 134] = 0x7fca_f689_3c20;
        words[8 * 134 + 4] = 0x800;
        assert_eq!(find(&Memory::of(0x1000, &words), Addr(0x1000), 0x7fca_f689_3c20), Ok(Some(Addr(0x1000))));
    }

    #[test]
    fn a_table_that_leads_in_circles_ends() {
        let mut words = table();
        words.iter_mut().skip(8).for_each(|word| *word = u64::MAX);
        assert_eq!(find(&Memory::of(0x1000, &words), Addr(0x1000), 0x100), Ok(None));
        assert!(find(&Memory::of(0x1000, &words[..9]), Addr(0x1000), 0x100).is_err());
        assert_eq!(find(&Memory::of(0x1000, &[1]), Addr(0x1000), 0x100), Ok(None));
    }
}
