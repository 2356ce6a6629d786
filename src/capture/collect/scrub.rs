//! Personal data taken out of a triage dump: of the words of stacks and data only those survive that are addresses of
//! mapped memory, and the ids and counters of locks.
//!
//! Return addresses, frame pointers and pointers to objects are addresses; text, keys, amounts are not and become zero.
//! A lock is recognised by the id of a live thread in it, or because a thread waits on it: small numbers near such a
//! word survive, since owners and recursion are told by them.

use rustc_hash::FxHashSet;

use super::maps::Span;

/// Bytes of a word.
const WORD: usize = 8;
/// Words around a lock's word that belong to it: a pthread_rwlock_t has 7, a pthread_mutex_t 5.
const BEFORE: usize = 3;
const AFTER: usize = 6;
/// Numbers below this are counters and ids (PID_MAX_LIMIT of Linux).
const MAX_SMALL: u32 = 1 << 22;
/// Spans that are remembered, by the upper bits of an address in them.
const SEEN: usize = 256;
/// Bits of a futex word beside the owner's id. Source: Linux uapi/linux/futex.h: FUTEX_WAITERS, FUTEX_OWNER_DIED.
const ID_MASK: u32 = 0x3fff_ffff;

/// What may stay.
#[derive(Debug, Default)]
pub(super) struct Scrub {
    /// Everything that is mapped, ascending.
    pub(super) mapped: Vec<Span>,
    /// Ids of the threads, as the process knows them.
    pub(super) tids: FxHashSet<u32>,
    /// Words that threads wait on.
    pub(super) futexes: FxHashSet<u64>,
    /// Arguments and environment: nothing of them stays.
    pub(super) erased: Vec<Span>,
}

impl Scrub {
    /// Whether a word is an address of mapped memory.
    pub(super) fn is_address(&self, word: u64) -> bool {
        self.span_of(word).is_some()
    }

    fn span_of(&self, word: u64) -> Option<Span> {
        let after = self.mapped.partition_point(|span| span.start.0 <= word);
        let span = after.checked_sub(1).and_then(|index| self.mapped.get(index))?;
        span.contains(word).then_some(*span)
    }

    /// Words of the bytes at an address that are a lock's, by their index, ascending.
    fn locks(&self, at: u64, words: &[u64]) -> Vec<usize> {
        let end = at.saturating_add((words.len() as u64).saturating_mul(WORD as u64));
        let futexes = self.futexes.iter().filter(|futex| (at..end).contains(futex));
        let waited = futexes.filter_map(|futex| usize::try_from((futex - at) / WORD as u64).ok());
        let mut locks: Vec<usize> = waited.collect();
        // Most words are zero or addresses, and most numbers are no ids.
        let ids = self.tids.iter().min().copied().unwrap_or(1).max(1)..=self.tids.iter().max().copied().unwrap_or(0);
        let is_id = |id: u32| ids.contains(&id) && self.tids.contains(&id);
        let holds_id = |word: u64| {
            let (low, high) = halves(word);
            is_small(word) && (is_id(low & ID_MASK) || is_id(high & ID_MASK))
        };
        let owned = words.iter().enumerate().filter(|(_, word)| **word != 0 && holds_id(**word));
        locks.extend(owned.map(|(index, _)| index));
        locks.sort_unstable();
        locks
    }

    /// Scrubs out what may not stay of the bytes at an address that is a multiple of 8.
    pub(super) fn apply(&self, at: u64, bytes: &mut [u8]) {
        let words: Vec<u64> = bytes.as_chunks::<WORD>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let locks = self.locks(at, &words);
        let near = |index: usize| {
            let first = locks.partition_point(|lock| lock.saturating_add(AFTER) <= index);
            locks.get(first).is_some_and(|lock| lock.saturating_sub(BEFORE) <= index)
        };
        let (places, rest) = bytes.as_chunks_mut::<WORD>();
        // Words that are addresses are mostly of memory that others before were of.
        let mut seen = [Span::new(0, 0); SEEN];
        for (index, (place, word)) in places.iter_mut().zip(&words).enumerate().filter(|(_, (_, word))| **word != 0) {
            let Some(last) = usize::try_from(*word >> 20).ok().and_then(|page| seen.get_mut(page % SEEN)) else {
                continue;
            };
            if last.contains(*word) {
                continue;
            }
            match self.span_of(*word) {
                Some(span) => *last = span,
                None if is_small(*word) && near(index) => {}
                None => *place = [0; WORD],
            }
        }
        self.erase(at, places);
        rest.fill(0);
    }

    /// Zeroes every word that begins in what is erased.
    fn erase(&self, at: u64, places: &mut [[u8; WORD]]) {
        let end = at.saturating_add((places.len() as u64).saturating_mul(WORD as u64));
        let index =
            |address: u64| usize::try_from(address.saturating_sub(at).div_ceil(WORD as u64)).unwrap_or(usize::MAX);
        for span in self.erased.iter().filter_map(|span| span.common(Span::new(at, end))) {
            let to = index(span.end.0).min(places.len());
            places.get_mut(index(span.start.0)..to).unwrap_or_default().fill([0; WORD]);
        }
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

    fn scrub() -> Scrub {
        Scrub {
            mapped: vec![Span::new(0x40_0000, 0x41_0000), Span::new(0x7000_0000, 0x7001_0000)],
            tids: FxHashSet::from_iter([4711]),
            futexes: FxHashSet::from_iter([0x7000_0100]),
            erased: vec![Span::new(0x7000_8000, 0x7000_9000)],
        }
    }

    fn scrubbed(at: u64, words: &[u64]) -> Vec<u64> {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        scrub().apply(at, &mut bytes);
        bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
    }

    /// The same word by word, as docs/formats.md says it.
    fn plainly(scrub: &Scrub, at: u64, words: &[u64]) -> Vec<u64> {
        let address = |index: usize| at + 8 * index as u64;
        let is_lock = |index: usize| {
            let (low, high) = halves(words[index]);
            let is_id = |half: u32| half != 0 && scrub.tids.contains(&(half & ID_MASK));
            let waited = scrub.futexes.contains(&address(index)) || scrub.futexes.contains(&(address(index) + 4));
            waited || is_small(words[index]) && (is_id(low) || is_id(high))
        };
        let kept = |index: usize| {
            let word = words[index];
            let is_erased = scrub.erased.iter().any(|span| span.contains(address(index)));
            let is_address = scrub.mapped.iter().any(|span| span.contains(word));
            let near = (index.saturating_sub(AFTER - 1)..words.len().min(index + BEFORE + 1)).any(is_lock);
            !is_erased && (is_address || near && is_small(word))
        };
        (0..words.len()).map(|index| if kept(index) { words[index] } else { 0 }).collect()
    }

    #[test]
    fn what_stays_is_what_stays_word_by_word() {
        let text = u64::from_le_bytes(*b"password");
        let some =
            [0, 1, 42, 4711, 4711 << 32 | 1, 1 << 31 | 4711, text, 0x40_1234, 0x41_0000, 0x7000_0000, 0x7001_0000];
        // Numbers of a linear congruential generator (Knuth's MMIX), the upper bits of which choose.
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).expect("31 bits")
        };
        for at in [0x7000_0000, 0x7000_00f0, 0x7000_0100, 0x7000_7fe0, 0x7000_8ff0, 0x40_0000] {
            for len in 0..200 {
                let words: Vec<u64> =
                    (0..len).map(|_| if next() % 3 == 0 { some[next() % some.len()] } else { 0 }).collect();
                assert_eq!(scrubbed(at, &words), plainly(&scrub(), at, &words), "{at:#x}, {words:x?}");
            }
        }
    }

    #[test]
    fn addresses_survive_and_text_and_numbers_do_not() {
        let text = u64::from_le_bytes(*b"password");
        assert_eq!(scrubbed(0x7000_0000, &[0x40_1234, text, 42, 0x7000_0010]), [0x40_1234, 0, 0, 0x7000_0010]);
    }

    #[test]
    fn a_lock_keeps_its_owner_and_counters() {
        // pthread_mutex_t: lock 2 and count 1, owner 4711 and users 1, kind 1; then text.
        let lock = [1 << 32 | 2, 1 << 32 | 4711, 1];
        let text = u64::from_le_bytes(*b"password");
        assert_eq!(scrubbed(0x7000_2000, &[lock[0], lock[1], lock[2], text]), [lock[0], lock[1], lock[2], 0]);
        assert_eq!(scrubbed(0x7000_0100, &[2, 0]), [2, 0], "a thread waits on this word");
        assert_eq!(scrubbed(0x7000_3000, &[2, 0]), [0, 0], "nobody waits on this one");
    }

    #[test]
    fn arguments_and_environment_are_erased_even_where_they_look_like_addresses() {
        assert_eq!(scrubbed(0x7000_8000, &[0x40_1234]), [0]);
    }
}
