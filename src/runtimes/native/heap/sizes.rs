//! Blocks without a name, put together by what they take: exactly up to a kilobyte, by powers of two beyond.

use crate::heap::{HeapType, Naming};
use crate::model::Addr;

/// Blocks are multiples of this on every allocator that is known.
const STEP: u64 = 8;
/// Largest block with a class of its own.
const EXACT: u64 = 1024;
/// Classes of one size each, from 0.
const CLASSES: usize = (EXACT / STEP) as usize + 1;
/// Powers of two beyond: up to 2^63.
const POWERS: usize = 54;

/// A type for each class, in the order of [`class`].
pub(super) fn types() -> impl Iterator<Item = HeapType> {
    let exact = (0..=EXACT / STEP).map(|step| format!("({} bytes)", step.saturating_mul(STEP)));
    let beyond =
        (10..10 + POWERS as u32).map(|power| format!("({} to {})", size(power), size(power.saturating_add(1))));
    // A number, not an address: nothing can be mapped in the first page.
    (1..).zip(exact.chain(beyond)).map(|(id, name)| HeapType { id: Addr(id), name, naming: Naming::Size })
}

/// The class of a block of so many bytes.
pub(super) fn class(bytes: u64) -> usize {
    if bytes <= EXACT {
        return (bytes.div_ceil(STEP)) as usize;
    }
    // 1,025 to 2,048 bytes are the first class.
    let power = 63u32.saturating_sub(bytes.saturating_sub(1).leading_zeros());
    CLASSES.saturating_add(power.saturating_sub(10) as usize)
}

/// `1 KiB`, `64 MiB`: a power of two.
fn size(power: u32) -> String {
    const UNITS: [&str; 7] = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let unit = UNITS.get((power / 10) as usize).copied().unwrap_or_default();
    format!("{} {unit}", 1u64 << (power % 10))
}

/// `63.6 MiB`: so many bytes in a sentence.
pub(super) fn words(bytes: u64) -> String {
    let power = (bytes.checked_ilog2().unwrap_or(0) / 10).saturating_mul(10);
    let unit = size(power).split_off(2);
    let tenths = (u128::from(bytes).saturating_mul(10).saturating_add((1 << power) / 2)) >> power;
    match (bytes, tenths % 10) {
        (1, _) => "1 byte".to_owned(),
        (_, 0) => format!("{} {unit}", tenths / 10),
        (_, rest) => format!("{}.{rest} {unit}", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_in_sentences_have_a_unit() {
        let told = [0, 1, 1023, 1024, 1536, 16 << 20, 66_674_688, u64::MAX].map(words);
        let expected = ["0 bytes", "1 byte", "1023 bytes", "1 KiB", "1.5 KiB", "16 MiB", "63.6 MiB", "16 EiB"];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_block_is_in_the_class_that_names_its_size() {
        let types: Vec<String> = types().map(|of_type| of_type.name).collect();
        let name = |bytes| types[class(bytes)].as_str();
        assert_eq!([name(0), name(8), name(33), name(1024)], ["(0 bytes)", "(8 bytes)", "(40 bytes)", "(1024 bytes)"]);
        assert_eq!([name(1025), name(2048), name(2049)], ["(1 KiB to 2 KiB)", "(1 KiB to 2 KiB)", "(2 KiB to 4 KiB)"]);
        assert_eq!(name(1 << 30), "(512 MiB to 1 GiB)");
        assert!(class(u64::MAX) < types.len());
    }
}
