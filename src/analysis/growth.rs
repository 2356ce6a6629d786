//! What grew between two heaps, by the names of types.

use std::collections::BTreeMap;

use super::histogram::{Amount, Histogram};
use crate::heap::HeapType;

/// The objects of a type in two heaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    /// The type's full name.
    pub name: String,
    /// Its objects in the first.
    pub before: Amount,
    /// Its objects in the second.
    pub after: Amount,
}

impl Growth {
    /// How many objects more there are.
    pub fn count(&self) -> i64 {
        delta(self.before.count, self.after.count)
    }

    /// How many bytes more they take.
    pub fn bytes(&self) -> i64 {
        delta(self.before.bytes, self.after.bytes)
    }
}

/// How much more there is after than before: as far as a number holds it.
pub fn delta(before: u64, after: u64) -> i64 {
    let most = |distance: u64| i64::try_from(distance).unwrap_or(i64::MAX);
    if after >= before { most(after.abs_diff(before)) } else { most(after.abs_diff(before)).saturating_neg() }
}

/// Every type that has objects in either, those that grew by the most bytes first, then by name. Types of one name
/// count as one: two runs of a program give them other identities.
pub fn growth(before: (&[HeapType], &Histogram), after: (&[HeapType], &Histogram)) -> Vec<Growth> {
    let mut types: BTreeMap<&str, (Amount, Amount)> = BTreeMap::new();
    for (name, amount) in named(before) {
        types.entry(name).or_default().0.add(amount);
    }
    for (name, amount) in named(after) {
        types.entry(name).or_default().1.add(amount);
    }
    let row = |(name, (before, after)): (&str, _)| Growth { name: name.to_owned(), before, after };
    let mut rows: Vec<Growth> = types.into_iter().map(row).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.bytes()));
    rows
}

fn named<'a>((types, histogram): (&'a [HeapType], &'a Histogram)) -> impl Iterator<Item = (&'a str, Amount)> {
    let name = |(at, amount): &(usize, Amount)| Some((types.get(*at)?.name.as_str(), *amount));
    histogram.types.iter().filter_map(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::Naming;
    use crate::model::Addr;

    fn heap(types: &[(u64, &str, u64, u64)]) -> (Vec<HeapType>, Histogram) {
        let of_type = |(id, name, ..): &(u64, &str, u64, u64)| HeapType {
            id: Addr(*id),
            name: (*name).to_owned(),
            naming: Naming::Recorded,
        };
        let amounts = types.iter().map(|(.., count, bytes)| Amount { count: *count, bytes: *bytes }).enumerate();
        (types.iter().map(of_type).collect(), Histogram { types: amounts.collect(), total: Amount::default() })
    }

    #[test]
    fn types_of_one_name_are_held_against_each_other_the_most_growth_first() {
        let (one, before) =
            heap(&[(1, "Order", 10, 240), (2, "byte[]", 5, 5000), (3, "Order", 1, 24), (4, "Same", 1, 8)]);
        let (other, after) =
            heap(&[(9, "byte[]", 4, 100), (8, "Order", 20, 480), (7, "New", 1, 400), (4, "Same", 1, 8)]);
        let found = growth((&one, &before), (&other, &after));
        let told: Vec<(&str, i64, i64)> =
            found.iter().map(|row| (row.name.as_str(), row.count(), row.bytes())).collect();
        assert_eq!(told, [("New", 1, 400), ("Order", 9, 216), ("Same", 0, 0), ("byte[]", -1, -4900)]);
        assert_eq!(found[1].before, Amount { count: 11, bytes: 264 });
    }

    #[test]
    fn what_no_number_holds_stays_at_the_end_of_numbers() {
        assert_eq!((delta(0, u64::MAX), delta(u64::MAX, 0)), (i64::MAX, -i64::MAX));
    }
}
