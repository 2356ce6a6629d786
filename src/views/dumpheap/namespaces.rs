//! `dumpheap -group`: the types of a namespace, a package or a module together.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::kept::Kept;
use super::{Total, Types, Wanted, types};
use crate::analysis::graph::{self, Dominators};
use crate::analysis::histogram::{Amount, Histogram};
use crate::error::Error;
use crate::heap::{HeapType, Naming};
use crate::job::Job;
use crate::model::{Addr, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::views::Draw;

/// The objects by namespace.
#[derive(Serialize, JsonSchema)]
pub(super) struct Groups {
    /// Those that have objects, with the most bytes first.
    pub namespaces: Vec<GroupRow>,
    /// All of them together.
    pub total: Total,
    /// Whose heap it is.
    pub heap: String,
    #[serde(skip)]
    kept: Kept,
    #[serde(skip)]
    shares: bool,
}

/// The objects whose types are in a namespace.
#[derive(Serialize, JsonSchema)]
pub(super) struct GroupRow {
    /// What the names of its types begin with; empty for types that are in none, null for objects whose type has no name.
    pub namespace: Option<Arc<str>>,
    /// The identity of the type in it that takes the most: `-beside` takes it.
    pub id: Addr,
    /// Its types that have objects.
    pub types: u64,
    /// How many objects they have.
    pub count: u64,
    /// What these take themselves, in bytes.
    pub bytes: u64,
    /// What they keep alive, in bytes, none that is inside another's counted twice; null where it was not asked for.
    pub retained: Option<u64>,
}

/// Of types which namespace each is in.
pub(super) struct Namespaces {
    /// `None`: objects without the name of a type.
    names: Vec<Option<Arc<str>>>,
    /// Of each type its place in `names`.
    of: Vec<usize>,
}

impl Namespaces {
    pub(super) fn of(types: &[HeapType]) -> Namespaces {
        let (mut names, mut known) = (Vec::new(), HashMap::new());
        let of = types.iter().map(|of_type| {
            let name = (of_type.naming != Naming::Size).then(|| namespace(&of_type.name));
            *known.entry(name).or_insert_with(|| {
                names.push(name.map(Arc::from));
                names.len().saturating_sub(1)
            })
        });
        let of = of.collect();
        Namespaces { names, of }
    }

    /// Of each type whether it is in the namespace of the one with this id; `None` where there is no such type.
    pub(super) fn beside(&self, types: &[HeapType], id: Addr) -> Option<Vec<bool>> {
        let at = types.iter().position(|of_type| of_type.id == id)?;
        let wanted = self.of.get(at)?;
        Some(self.of.iter().map(|of| of == wanted).collect())
    }

    /// Of each namespace what the wanted objects in it keep alive.
    pub(super) fn retained(&self, dominators: &Dominators, wanted: &Wanted<'_>, job: &Job) -> Result<Vec<u64>, Error> {
        let of = |id| wanted.type_of(id).and_then(|of_type| self.of.get(of_type)).copied();
        graph::retained_by_classes(dominators, self.names.len(), &|id| of(id).unwrap_or(usize::MAX), job)
    }

    /// What `types` tell, by namespace. `histogram` is the one that they were made of, `retained` what each namespace keeps alive.
    pub(super) fn groups(self, types: Types, histogram: &Histogram, retained: Option<&[u64]>, kept: Kept) -> Groups {
        let names = self.names.into_iter().enumerate();
        let row = |(at, namespace)| {
            let retained = retained.and_then(|retained| retained.get(at).copied());
            GroupRow { namespace, id: Addr::default(), types: 0, count: 0, bytes: 0, retained }
        };
        let mut namespaces: Vec<GroupRow> = names.map(row).collect();
        for (row, (at, _)) in types.types.iter().zip(&histogram.types) {
            let Some(group) = self.of.get(*at).and_then(|of| namespaces.get_mut(*of)) else { continue };
            // The first is the largest.
            group.id = if group.types == 0 { row.id } else { group.id };
            group.types = group.types.saturating_add(1);
            group.count = group.count.saturating_add(row.count);
            group.bytes = group.bytes.saturating_add(row.bytes);
        }
        namespaces.retain(|row| row.types > 0);
        namespaces.sort_by_key(|row| Reverse(row.bytes));
        Groups { namespaces, total: types.total, heap: types.heap, kept, shares: types.shares }
    }
}

/// What a type's name begins with: all but its last part, as far as its own arguments do not begin before; of what is part of something
/// and has no such name (`node of std::map<…>`) that of the whole. Empty where it has one part.
fn namespace(name: &str) -> &str {
    let of_part = |part| {
        let own = str::find(part, ['<', '(', '[', ' ']).and_then(|end| part.get(..end)).unwrap_or(part);
        let end = own.rfind("::").or_else(|| own.rfind('.'))?;
        own.get(..end).filter(|namespace| !namespace.is_empty())
    };
    name.split(" of ").find_map(of_part).unwrap_or_default()
}

impl Draw for Groups {
    fn draw(&self) -> Section {
        let mut columns = types::columns(&self.kept, self.shares);
        columns.extend([Column::right("Types").rank(3), Column::wide("Namespace", 1).rank(1).enough(types::ENOUGH)]);
        let share = self.shares.then_some(self.total.bytes);
        let row = |row: &GroupRow| {
            let of = Amount { count: row.count, bytes: row.bytes };
            let mut cells = types::cells(of, share, row.retained, &self.kept);
            cells.push(Cell::new(Value::Count(row.types)));
            cells.push(match row.namespace.as_deref() {
                Some("") => Cell::text("(in no namespace)"),
                Some(name) => Cell::text(name).tone(Tone::Link),
                None => Cell::text("(without a name)"),
            });
            Row::about(Subject::Namespace(row.id), cells)
        };
        let table = Table::new(columns, self.namespaces.iter().map(row).collect());
        let total = self.total.row(&format!("({})", self.heap));
        Section { bodies: vec![Body::Table(table), Body::Lines(vec![total])], ..Section::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_what_stands_before_the_last_part_of_a_name() {
        let of = [
            ("shop::Order", "shop"),
            ("shop::orders::Line", "shop::orders"),
            ("shop::Order*[] of std::vector<shop::Order*>", "shop"),
            ("node of std::map<std::string, shop::Order>", "std"),
            ("map of shop::deque<int>", "shop"),
            ("std::map<int, shop::Order>::node", "std"),
            ("alloc::vec::Vec<shop::Order>", "alloc::vec"),
            ("System.Collections.Generic.List<Shop.Customer>", "System.Collections.Generic"),
            ("com.acme.Order[]", "com.acme"),
            ("byte[]", ""),
            ("unsigned char", ""),
            ("(anonymous namespace)::Line", ""),
            ("", ""),
        ];
        for (name, wanted) in of {
            assert_eq!(namespace(name), wanted, "{name}");
        }
    }
}
