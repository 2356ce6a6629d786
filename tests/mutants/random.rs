//! Random numbers that a seed tells, and those that parsers dislike.

/// splitmix64. Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }

    /// Numbers that parsers dislike, and any other.
    pub(crate) fn number(&mut self) -> u64 {
        const NASTY: [u64; 12] = [
            0,
            1,
            0x7f,
            0xff,
            0xffff,
            0x7fff_ffff,
            0xffff_ffff,
            1 << 40,
            1 << 47,
            u64::MAX >> 1,
            u64::MAX,
            u64::MAX - 0xfff,
        ];
        match self.below(4) {
            0 => self.next(),
            _ => NASTY[self.below(NASTY.len())],
        }
    }
}
