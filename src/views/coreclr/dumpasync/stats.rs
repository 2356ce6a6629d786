//! How many methods of each kind are under way.

use rustc_hash::FxHashMap;

use super::answer::MethodRow;
use super::rows::Wanted;
use crate::model::Addr;
use crate::session::coreclr::{Pending, Step};

/// Most first.
pub(super) fn of(pending: &Pending, wanted: &Wanted<'_>) -> Vec<MethodRow> {
    let mut counts: FxHashMap<Addr, (u64, &Step)> = FxHashMap::default();
    let is_one = |step: &&Step| (wanted.with_tasks || step.is_method) && wanted.is_of_type(step);
    for step in pending.steps.iter().filter(is_one) {
        let (count, _) = counts.entry(step.table).or_insert((0, step));
        *count = count.saturating_add(1);
    }
    let mut rows: Vec<MethodRow> = counts
        .into_iter()
        .map(|(id, (count, step))| MethodRow {
            id,
            count,
            type_name: step.type_name.clone(),
            method: step.method.clone(),
        })
        .collect();
    rows.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.type_name.cmp(&b.type_name)).then(a.id.cmp(&b.id)));
    rows
}
