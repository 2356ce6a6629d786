//! What a search of the whole heap leaves out, in words.
//!
//! Input: what walks of segments leave out, and parts of the heap that were not found. Output: [`Unsearched`].

use super::segments::Segments;
use super::walk::Broken;
use crate::model::{Addr, Gap};

/// What a search leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsearched {
    /// Bytes at places where objects should be, and none can be read.
    bytes: u64,
    /// How many places.
    places: u64,
    /// The first of them, with the reason.
    first: Option<(Addr, Gap)>,
    /// Parts of which it is not known where they are, in words, with the reason.
    lost: Vec<(String, Gap)>,
}

impl Unsearched {
    /// What is left out where no segment was walked yet.
    pub(in crate::runtimes::coreclr) fn of(segments: &Segments) -> Unsearched {
        Unsearched { lost: segments.unread.clone(), ..Unsearched::default() }
    }

    /// Adds what the walk of a segment leaves out.
    pub(in crate::runtimes::coreclr) fn add(&mut self, broken: &[Broken]) {
        for place in broken {
            self.places = self.places.saturating_add(1);
            self.bytes = self.bytes.saturating_add(place.bytes());
            if self.first.as_ref().is_none_or(|(first, _)| place.start < *first) {
                self.first = Some((place.start, place.gap.clone()));
            }
        }
    }

    /// Each kind once; empty where all was searched.
    pub(in crate::runtimes::coreclr) fn words(&self) -> Vec<String> {
        let lost = self.lost.first().map(|(part, gap)| match self.lost.len() {
            1 => format!("a part of the managed heap is not searched, {part}: {gap}"),
            count => format!("{count} parts of the managed heap are not searched, the first: {part}: {gap}"),
        });
        let places = self.first.as_ref().map(|(start, gap)| match self.places {
            1 => format!("{} bytes of the managed heap are not searched, at {start}: {gap}", self.bytes),
            places => {
                let bytes = self.bytes;
                format!(
                    "{bytes} bytes of the managed heap at {places} places are not searched, the first at {start}: {gap}"
                )
            }
        });
        lost.into_iter().chain(places).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_said_with_its_places() {
        let gap = || Gap::NotRecorded("it".to_owned());
        let broken = |start, end| Broken { start: Addr(start), end: Addr(end), gap: gap() };
        let mut all = Unsearched::default();
        assert!(all.words().is_empty());
        all.add(&[broken(0x200, 0x240)]);
        assert_eq!(all.words(), ["64 bytes of the managed heap are not searched, at 0x200: not recorded: it"]);
        all.add(&[broken(0x100, 0x110), broken(0x300, 0x310)]);
        let places = "96 bytes of the managed heap at 3 places are not searched, the first at 0x100: not recorded: it";
        assert_eq!(all.words(), [places]);
        all.lost.push(("heap 1".to_owned(), gap()));
        assert_eq!(all.words(), ["a part of the managed heap is not searched, heap 1: not recorded: it", places]);
        all.lost.push(("heap 2".to_owned(), gap()));
        let lost = "2 parts of the managed heap are not searched, the first: heap 1: not recorded: it";
        assert_eq!(all.words()[0], lost);
    }
}
