//! What is around an address of the heap: its segment, and the objects before, at and behind it.
//!
//! Input: segments. Output: [`Near`]. The segment is walked from its first object, so that an object is one for sure. Model: dotnet/diagnostics
//! src/SOS, ListNearObj, GCWhere, VerifyObj.

use std::sync::Arc;

use super::segment::Segment;
use super::segments::Segments;
use super::walked::Walked;
use crate::error::Error;
use crate::job::Meter;
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::types::Types;

/// An object by its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearObject {
    /// Where it is.
    pub address: Addr,
    /// Its method table.
    pub table: Addr,
    /// What it takes itself.
    pub bytes: u64,
    /// Its type; a gap where that cannot be read.
    pub name: Known<Arc<str>>,
    /// Whether it is none: what fills a gap.
    pub is_free: bool,
}

/// What is around an address.
#[derive(Clone, Debug)]
pub struct Near {
    /// The segment.
    pub segment: Segment,
    /// The last object that ends before it.
    pub before: Option<NearObject>,
    /// The object that holds it.
    pub holding: Option<NearObject>,
    /// The first object behind it.
    pub next: Option<NearObject>,
    /// Why objects between them may be missing; `None` where each begins where the one before ends.
    pub gap: Option<Gap>,
}

impl Segments {
    /// What is around an address; `None` where it is in no segment.
    pub(in crate::runtimes::coreclr) fn near(
        &self,
        types: Types<'_>,
        at: Addr,
        meter: &mut Meter<'_>,
    ) -> Result<Option<Near>, Error> {
        let holds = |segment: &&Segment| segment.base <= at && at < segment.reserved;
        let Some(segment) = self.holding(at).or_else(|| self.all.iter().chain(&self.empty).find(holds)).copied() else {
            return Ok(None);
        };
        let (mut before, mut holding, mut next): (Option<Walked>, Option<Walked>, Option<Walked>) = (None, None, None);
        let broken = self.walk_past(types, &segment, meter, &mut |object| {
            match at.since(object.at) {
                Some(offset) if offset < object.bytes => holding = Some(object),
                Some(_) => before = Some(object),
                None => {
                    next.get_or_insert(object);
                }
            }
            Ok(())
        })?;
        let from = before.map_or(segment.start, |object| object.at);
        let to = next.map_or(segment.end, |object| object.at);
        let gap = broken.into_iter().find(|broken| broken.start <= to && broken.end >= from).map(|broken| broken.gap);
        let name = |object: Walked| NearObject::of(types, object, types.of_table(object.table).map(Arc::from));
        let named = |object: Option<Walked>| object.map(name);
        Ok(Some(Near { segment, before: named(before), holding: named(holding), next: named(next), gap }))
    }
}

impl NearObject {
    /// An object, with its type's name.
    pub(in crate::runtimes::coreclr) fn of(types: Types<'_>, walked: Walked, name: Known<Arc<str>>) -> NearObject {
        let Walked { at, table, bytes } = walked;
        let is_free = types.clr.global("FreeObjectMethodTable").as_ref() == Ok(&table);
        NearObject { address: at, table, bytes, name, is_free }
    }
}
