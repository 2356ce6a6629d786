//! What was found out of classes of late: a walk over a heap meets few of them, millions of times.

use std::convert::Infallible;

use rustc_hash::FxHashMap;

use crate::model::Addr;

const KEPT: usize = 256;

/// One value of each class, of those that were asked for last.
pub(super) struct Recent<T>(Box<[(Addr, T)]>);

impl<T: Copy + Default> Recent<T> {
    /// Of none yet.
    pub(super) fn new() -> Recent<T> {
        Recent(vec![(Addr(0), T::default()); KEPT].into())
    }

    /// That of a class; `find` is asked where it is not kept.
    #[inline]
    pub(super) fn of<E>(&mut self, table: Addr, find: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        // Classes stand behind each other, some hundred bytes each.
        let place = usize::try_from((table.0 >> 3) ^ (table.0 >> 11)).unwrap_or(0) % KEPT;
        match self.0.get_mut(place) {
            Some((known, value)) if *known == table && table.0 != 0 => Ok(*value),
            Some(kept) => {
                *kept = (table, find()?);
                Ok(kept.1)
            }
            None => find(),
        }
    }
}

/// What is known of each class that was met.
pub(super) struct Classes<T> {
    recent: Recent<usize>,
    places: FxHashMap<Addr, usize>,
    all: Vec<(Addr, T)>,
}

impl<T> Classes<T> {
    /// Of none yet.
    pub(super) fn new() -> Classes<T> {
        Classes { recent: Recent::new(), places: FxHashMap::default(), all: Vec::new() }
    }

    /// That of a class; made where it is met for the first time.
    #[inline]
    pub(super) fn of(&mut self, table: Addr, make: impl FnOnce() -> T) -> Option<&mut T> {
        let (places, all) = (&mut self.places, &mut self.all);
        let find = || {
            let new = all.len();
            let place = *places.entry(table).or_insert(new);
            if place == new {
                all.push((table, make()));
            }
            Ok::<usize, Infallible>(place)
        };
        let Ok(place) = self.recent.of(table, find);
        self.all.get_mut(place).map(|(_, value)| value)
    }

    /// All of them, by their classes.
    pub(super) fn into_all(self) -> Vec<(Addr, T)> {
        self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_asked_for_once_and_one_that_failed_again() {
        let mut recent = Recent::new();
        assert_eq!(recent.of(Addr(0x1000), || Ok::<u32, ()>(1)), Ok(1));
        assert_eq!(recent.of(Addr(0x1000), || Err(())), Ok(1));
        assert_eq!(recent.of(Addr(0x2000), || Err(())), Err(()));
        assert_eq!(recent.of(Addr(0x2000), || Ok::<u32, ()>(2)), Ok(2));
        // What is kept in its place goes; nothing is kept of no class.
        let other = (1..).map(|step| Addr(0x1000 + step * 8)).find(|other| {
            let mut both = Recent::new();
            both.of(Addr(0x1000), || Ok::<u32, ()>(1))
                .and(both.of(*other, || Ok(2)))
                .and(both.of(Addr(0x1000), || Ok(3)))
                == Ok(3)
        });
        assert!(other.is_some_and(|other| other.0 < 0x1000 + 0x1_0000));
        assert_eq!(recent.of(Addr(0), || Ok::<u32, ()>(4)), Ok(4));
        assert_eq!(recent.of(Addr(0), || Ok::<u32, ()>(5)), Ok(5));
    }
    #[test]
    fn classes_that_take_each_others_places_are_kept_all_the_same() {
        let mut classes = Classes::new();
        for round in 1..4 {
            for table in (0..5_000).map(|step| Addr(0x7000_0000 + step * 8)) {
                let count = classes.of(table, || 0).expect("it is there");
                *count += 1;
                assert_eq!(*count, round);
            }
        }
        assert_eq!(classes.into_all().len(), 5_000);
    }
}
