//! mallocng, the allocator of musl since 1.2.1: groups of equal slots, told by bits of a `meta` each.
//!
//! Input: the target's memory; no symbols. Output: slots in use, each under the address that the program was given (musl moves it within
//! the slot); slots that are groups themselves are none. Slots held back are counted by what the library counts of them itself.
//! Layouts: docs/layouts/mallocng.md.

mod find;
mod groups;
mod layout;
mod problems;
mod slots;

use std::ops::Range;
use std::sync::Arc;

use self::find::Place;
use self::groups::{Groups, Kind};
use self::slots::Walked;
use super::allocator::{Allocator, Visit, What};
use super::parts::Parts;
use super::reading::add;
use crate::error::Error;
use crate::heap::{Arena, Free};
use crate::job::{Job, Meter};
use crate::model::{Addr, Problem};
use crate::target::Target;

/// The allocator.
pub(super) struct Mallocng {
    target: Arc<Target>,
    place: Place,
    groups: Groups,
    /// Of the outermost groups.
    parts: Parts<Walked>,
}

/// Looks for it in musl, or in the executable.
pub(super) fn find(target: &Arc<Target>, job: &Job) -> Result<Vec<Box<dyn Allocator>>, Error> {
    let Some(place) = find::place(target, job)? else { return Ok(Vec::new()) };
    let groups = groups::read(&target.memory, &place, job)?;
    let parts = Parts::of(groups.outer.len());
    Ok(vec![Box::new(Mallocng { target: Arc::clone(target), place, groups, parts })])
}

impl Mallocng {
    fn walk(&self, part: Range<usize>, meter: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<Walked, Error> {
        let outer = self.groups.outer.get(part).unwrap_or_default();
        slots::walk(&self.target.memory, outer, &self.groups.inner, meter, visit)
    }
}

impl Allocator for Mallocng {
    fn name(&self) -> &'static str {
        "musl mallocng"
    }

    fn parts(&self) -> usize {
        self.parts.count()
    }

    fn blocks(&self, part: usize, meter: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<(), Error> {
        self.parts.walk(part, meter, |part, meter| self.walk(part, meter, visit))
    }

    fn memory(&self) -> Vec<Range<Addr>> {
        self.groups.memory(&self.place.areas)
    }

    fn arenas(&self, job: &Job) -> Result<Vec<Arena>, Error> {
        let mut sums = Walked::default();
        for walked in self.parts.all(job, |part, meter| self.walk(part, meter, &mut |_| Ok(())))? {
            for (sum, more) in [
                (&mut sums.used, walked.used),
                (&mut sums.available, walked.available),
                (&mut sums.freed, walked.freed),
                (&mut sums.mapped, walked.mapped),
            ] {
                add(sum, more.count, more.bytes);
            }
        }
        let (mut system, mut mapped) = (self.groups.areas.saturating_mul(layout::PAGE), 0u64);
        for group in &self.groups.outer {
            let bytes = match group.kind() {
                Kind::Single => &mut mapped,
                Kind::Mapped | Kind::Donated | Kind::Inner => &mut system,
            };
            *bytes = bytes.saturating_add(group.taken());
        }
        let told = sums.used.bytes.saturating_add(sums.available.bytes).saturating_add(sums.freed.bytes);
        let mut all = vec![Arena {
            name: "groups".to_owned(),
            address: Some(Addr(self.place.context)),
            system,
            used: sums.used,
            free: vec![("available slots", sums.available), ("free slots", sums.freed)],
            overhead: system.saturating_sub(told),
        }];
        if sums.mapped != Free::default() {
            let overhead = mapped.saturating_sub(sums.mapped.bytes);
            let name = "mmapped".to_owned();
            all.push(Arena { name, address: None, system: mapped, used: sums.mapped, free: Vec::new(), overhead });
        }
        Ok(all)
    }

    fn problems(&self, what: &What<'_>) -> Vec<Problem> {
        problems::of(&self.place, &self.groups, self.parts.known(), what)
    }
}
