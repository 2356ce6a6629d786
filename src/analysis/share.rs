//! Shares of a whole.

/// A share in tenths of a percent; 0 of nothing.
pub fn tenths(part: u64, all: u64) -> u32 {
    let tenths = u128::from(part).saturating_mul(1000).checked_div(u128::from(all)).unwrap_or(0);
    u32::try_from(tenths).unwrap_or(u32::MAX)
}

/// The same in percent, with one decimal.
pub fn percent(part: u64, all: u64) -> f64 {
    f64::from(tenths(part, all)) / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_anything_are_told() {
        assert_eq!([tenths(1, 3), tenths(0, 7), tenths(7, 7), tenths(1, 0)], [333, 0, 1000, 0]);
        // A thousandfold of these is no number of 64 bits.
        assert_eq!((tenths(1 << 63, u64::MAX), tenths(u64::MAX, 1)), (500, u32::MAX));
        assert_eq!(percent(1, 3), 33.3);
    }
}
