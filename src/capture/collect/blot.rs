//! Personal data taken out of a triage dump: of the words of stacks and data only those survive that are addresses of mapped
//! memory, and the ids and counters of locks.
//!
//! Return addresses, frame pointers and pointers to objects are addresses; text, keys, amounts are not and become zero. A lock is
//! recognised by the id of a live thread in it, or because a thread waits on it: small numbers near such a word survive, since
//! owners and recursion are told by them.

use rustc_hash::FxHashSet;

use super::maps::Span;

/// Bytes of a word.
const WORD: usize = 8;
/// Words around a lock's word that belong to it: a pthread_rwlock_t has 7, a pthread_mutex_t 5.
const BEFORE: usize = 3;
const AFTER: usize = 6;
/// Numbers below this are counters and ids (PID_MAX_LIMIT of Linux).
const MAX_SMALL: u32 = 1 << 22;
/// Bits of a futex word beside the owner's id. Source: Linux uapi/linux/futex.h: FUTEX_WAITERS, FUTEX_OWNER_DIED.
const ID_MASK: u32 = 0x3fff_ffff;

/// What may stay.
#[derive(Debug, Default)]
pub(super) struct Blot {
    /// Everything that is mapped, ascending.
    pub(super) mapped: Vec<Span>,
    /// Ids of the threads, as the process knows them.
    pub(super) tids: FxHashSet<u32>,
    /// Words that threads wait on.
    pub(super) futexes: FxHashSet<u64>,
    /// Arguments and environment: nothing of them stays.
    pub(super) erased: Vec<Span>,
}

impl Blot {
    /// Whether a word is an address of mapped memory.
    pub(super) fn is_address(&self, word: u64) -> bool {
        let after = self.mapped.partition_point(|span| span.start.0 <= word);
        after.checked_sub(1).and_then(|index| self.mapped.get(index)).is_some_and(|span| span.contains(word))
    }

    fn is_lock(&self, at: u64, word: u64) -> bool {
        // Most words are zero or addresses.
        if word == 0 || !is_small(word) {
            return self.futexes.contains(&at) || self.futexes.contains(&at.saturating_add(4));
        }
        let (low, high) = halves(word);
        let is_tid = |half: u32| self.tids.contains(&(half & ID_MASK));
        is_tid(low) || is_tid(high) || self.futexes.contains(&at) || self.futexes.contains(&at.saturating_add(4))
    }

    /// Blots out what may not stay of the bytes at an address that is a multiple of 8.
    pub(super) fn apply(&self, at: u64, bytes: &mut [u8]) {
        let address = |index: usize| at.saturating_add((index as u64).saturating_mul(WORD as u64));
        let words: Vec<u64> = bytes.as_chunks::<WORD>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let mut near_lock = vec![false; words.len()];
        let locks = words.iter().enumerate().filter(|(index, word)| self.is_lock(address(*index), **word));
        for (index, _) in locks {
            let from = index.saturating_sub(BEFORE);
            let to = index.saturating_add(AFTER).min(words.len());
            near_lock.get_mut(from..to).unwrap_or_default().fill(true);
        }
        let (places, rest) = bytes.as_chunks_mut::<WORD>();
        for (index, (place, word)) in places.iter_mut().zip(&words).enumerate() {
            let is_number = near_lock.get(index) == Some(&true) && is_small(*word);
            let is_erased = self.erased.iter().any(|span| span.contains(address(index)));
            if is_erased || !(self.is_address(*word) || is_number) {
                *place = [0; WORD];
            }
        }
        rest.fill(0);
    }
}

fn halves(word: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

fn is_small(word: u64) -> bool {
    let (low, high) = halves(word);
    low & ID_MASK < MAX_SMALL && high & ID_MASK < MAX_SMALL
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blot() -> Blot {
        Blot {
            mapped: vec![Span::new(0x40_0000, 0x41_0000), Span::new(0x7000_0000, 0x7001_0000)],
            tids: FxHashSet::from_iter([4711]),
            futexes: FxHashSet::from_iter([0x7000_0100]),
            erased: vec![Span::new(0x7000_8000, 0x7000_9000)],
        }
    }

    fn blotted(at: u64, words: &[u64]) -> Vec<u64> {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        blot().apply(at, &mut bytes);
        bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
    }

    #[test]
    fn addresses_survive_and_text_and_numbers_do_not() {
        let text = u64::from_le_bytes(*b"password");
        assert_eq!(blotted(0x7000_0000, &[0x40_1234, text, 42, 0x7000_0010]), [0x40_1234, 0, 0, 0x7000_0010]);
    }

    #[test]
    fn a_lock_keeps_its_owner_and_counters() {
        // pthread_mutex_t: lock 2 and count 1, owner 4711 and users 1, kind 1; then text.
        let lock = [1 << 32 | 2, 1 << 32 | 4711, 1];
        let text = u64::from_le_bytes(*b"password");
        assert_eq!(blotted(0x7000_2000, &[lock[0], lock[1], lock[2], text]), [lock[0], lock[1], lock[2], 0]);
        assert_eq!(blotted(0x7000_0100, &[2, 0]), [2, 0], "a thread waits on this word");
        assert_eq!(blotted(0x7000_3000, &[2, 0]), [0, 0], "nobody waits on this one");
    }

    #[test]
    fn arguments_and_environment_are_erased_even_where_they_look_like_addresses() {
        assert_eq!(blotted(0x7000_8000, &[0x40_1234]), [0]);
    }
}
