//! Elements: those of arrays, and a window over those of anything that has many.

use super::values::Values;
use super::{Instance, Window};
use crate::model::value::{Content, Field as Part, Role, Scalar};
use crate::model::{Addr, Gap, Known, Type, Value};
use crate::runtimes::coreclr::clr::plus;
use crate::runtimes::coreclr::types::ClassKind;

/// Elements and links that are stepped over, at most, on the way to those that are shown or to the last.
const MAX_SEEN: u64 = 1 << 20;

/// Adds the elements of a collection.
pub(super) type Rule = fn(&Values<'_>, &Instance<'_>, &mut Elements) -> Known<()>;

/// The elements that are shown, and how many there are.
pub(super) struct Elements {
    /// Those within the window.
    shown: Vec<Value>,
    /// All that were met, those before the window among them.
    seen: u64,
    /// How many there are, where that is known beforehand.
    all: Option<u64>,
    window: Window,
    /// Whether it was said that no more are wanted.
    is_full: bool,
    /// Why there may be more.
    unread: Option<Gap>,
}

impl Elements {
    pub(super) fn of(window: Window, all: Option<u64>) -> Elements {
        Elements { shown: Vec::new(), seen: 0, all, window, is_full: false, unread: None }
    }

    /// Steps over an element, or shows it. False where no more are wanted.
    pub(super) fn add(&mut self, values: &Values<'_>, make: impl FnOnce() -> Value) -> bool {
        let shown = self.shown.len() as u64;
        if self.seen >= self.window.start && shown < self.window.most && values.may_read() {
            self.shown.push(make());
        }
        self.seen = self.seen.saturating_add(1);
        if self.seen >= MAX_SEEN && self.all.is_none() {
            self.unread = Some(Gap::Unsupported(format!("more than {MAX_SEEN} elements")));
        }
        let has_all_wanted = self.shown.len() as u64 >= self.window.most && self.all.is_some();
        self.is_full = self.seen >= MAX_SEEN || has_all_wanted;
        !self.is_full
    }

    /// So many elements that can be told by their positions.
    pub(super) fn run(&mut self, values: &Values<'_>, count: u64, element: impl Fn(u64) -> Value) {
        self.all = Some(count);
        self.seen = self.window.start.min(count);
        for index in self.seen..count {
            if !self.add(values, || element(index)) {
                return;
            }
        }
    }

    /// The elements, when all that could be read were added. Fails where not even one could.
    pub(super) fn end(mut self, read: Known<()>) -> Known<Content> {
        let all = match read {
            Err(gap) if self.seen == 0 => return Err(gap),
            Err(gap) => {
                self.unread = Some(gap);
                self.all.unwrap_or(0).max(self.seen)
            }
            // Others may have been at it when the dump was written.
            Ok(()) => match self.all {
                Some(all) if !self.is_full && self.seen < all => {
                    self.unread =
                        Some(Gap::Corrupt(format!("it counts {all} elements, of which {} are there", self.seen)));
                    self.seen
                }
                all => all.unwrap_or(self.seen),
            },
        };
        let left_out = all.saturating_sub(self.shown.len() as u64);
        Ok(Content::Array { elements: self.shown, left_out, unread: self.unread })
    }
}

/// Visits the links of a chain from the first on, until one says that no more are wanted; says whether all were.
pub(super) fn chain<'a>(
    first: Option<Instance<'a>>,
    next: &str,
    visit: &mut dyn FnMut(&Instance<'a>) -> Known<bool>,
) -> Known<bool> {
    let mut link = first;
    // A chain that leads back into itself meets a place that is remembered: Brent's algorithm.
    let mut remembered = Addr(0);
    for step in 0..MAX_SEEN {
        let Some(here) = link else { return Ok(true) };
        if here.at == remembered {
            return Err(Gap::Corrupt(format!("a chain leads back to {}", here.at)));
        }
        if step.is_power_of_two() {
            remembered = here.at;
        }
        if !visit(&here)? {
            return Ok(false);
        }
        link = here.reference(next)?;
    }
    Err(Gap::Unsupported(format!("chains of more than {MAX_SEEN} links")))
}

impl Values<'_> {
    /// An element of an array, by its position.
    pub(super) fn element(&self, array: &Instance<'_>, index: u64) -> Value {
        let ClassKind::Array { of, .. } = array.class.kind else {
            return super::values::unknown(Gap::Corrupt(format!("no array at {}", array.at)));
        };
        match array.slot(index) {
            Ok(at) => self.of_handle(at, of, 1),
            Err(gap) => super::values::unknown(gap),
        }
    }

    /// The elements of an array; of one of several dimensions each with its indexes.
    pub(super) fn array(&self, array: &Instance<'_>, elements: &mut Elements) -> Known<()> {
        let ClassKind::Array { rank, .. } = array.class.kind else {
            return Err(Gap::Corrupt(format!("no array at {}", array.at)));
        };
        let count = array.len()?.into();
        match rank {
            None => elements.run(self, count, |index| self.element(array, index)),
            Some(rank) => {
                let bounds = array.bounds(rank)?;
                elements.run(self, count, |index| keyed(spelled(&indexes(&bounds, index)), self.element(array, index)));
            }
        }
        Ok(())
    }
}

impl<'a> Instance<'a> {
    /// Where an element of an array is, by its position; fails beyond the last.
    pub(super) fn slot(&self, index: u64) -> Known<Addr> {
        if index >= self.len()?.into() {
            return Err(Gap::Corrupt(format!("element {index} of the array at {}", self.at)));
        }
        // Source: dotnet/runtime src/coreclr/vm/object.h, ArrayBase: the base size has the header before the object, too.
        let first = u64::from(self.class.base_size).saturating_sub(8);
        plus(self.at, u64::from(self.class.component).saturating_mul(index).saturating_add(first))
    }

    /// A character of a text, by its position.
    pub(super) fn letter(&self, index: u64) -> Value {
        let clr = self.types.clr;
        let at = clr.at(self.at, "String", "m_FirstChar").and_then(|at| plus(at, index.saturating_mul(2)));
        let unit = |at: Addr| Ok(Content::Scalar(Scalar::Unit(clr.memory().u16(at)?)));
        Value { ty: None, location: at.clone().ok(), content: at.and_then(unit) }
    }

    /// A structure that is an element of an array.
    pub(super) fn structure(&self, index: u64) -> Known<Instance<'a>> {
        let ClassKind::Array { of, .. } = self.class.kind else {
            return Err(Gap::Corrupt(format!("no array at {}", self.at)));
        };
        self.types.structure(of, self.slot(index)?)
    }

    /// Of each dimension of an array how many elements it has, and the index of the first.
    pub(super) fn bounds(&self, rank: u32) -> Known<Vec<(u32, i32)>> {
        let memory = self.types.clr.memory();
        let word = |index: u32| {
            Ok::<u32, Gap>(memory.u32(plus(self.at, u64::from(index).saturating_mul(4).saturating_add(16))?)?)
        };
        (0..rank).map(|dimension| Ok((word(dimension)?, word(rank.saturating_add(dimension))?.cast_signed()))).collect()
    }
}

/// The indexes of a position in an array: the last dimension runs fastest.
fn indexes(bounds: &[(u32, i32)], position: u64) -> String {
    let mut rest = position;
    let mut indexes = Vec::new();
    for (count, first) in bounds.iter().rev() {
        let count = u64::from(*count).max(1);
        indexes.push(i64::from(*first).saturating_add_unsigned(rest % count).to_string());
        rest /= count;
    }
    indexes.reverse();
    indexes.join(",")
}

/// A value that is words.
pub(super) fn spelled(text: &str) -> Value {
    Value { ty: None, location: None, content: Ok(Content::Spelled(text.into())) }
}

/// Values that stand one after the other, and how many more there are.
pub(super) fn several(elements: Vec<Value>, left_out: u64) -> Value {
    Value { ty: None, location: None, content: Ok(Content::Array { elements, left_out, unread: None }) }
}

/// A value that stands under a key.
pub(super) fn keyed(key: Value, value: Value) -> Value {
    let ty = value.ty.as_ref().map(|ty| Type { name: ty.name.clone(), size: None });
    let part = |name: &str, role, value| Part { name: Some(name.into()), role, offset: 0, value };
    let fields = vec![part("key", Role::Key, key), part("value", Role::Member, value)];
    Value { ty, location: None, content: Ok(Content::Structure { fields, left_out: 0 }) }
}

#[cfg(test)]
mod tests {
    use super::indexes;

    #[test]
    fn a_position_is_told_by_its_indexes() {
        // int[2,3], and an array of two dimensions that begin at 5 and -1.
        assert_eq!(indexes(&[(2, 0), (3, 0)], 4), "1,1");
        assert_eq!(indexes(&[(2, 5), (3, -1)], 0), "5,-1");
        assert_eq!(indexes(&[(2, 5), (3, -1)], 5), "6,1");
        // A damaged one.
        assert_eq!(indexes(&[(0, 0), (0, i32::MAX)], 7), "0,2147483647");
    }
}
