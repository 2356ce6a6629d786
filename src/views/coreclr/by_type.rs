//! Objects of .NET by type: how many there are of those that a view lists, and how many bytes they take.

use std::cmp::Reverse;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{Addr, Subject};
use crate::report::section::{Body, Cell, Column, Row, Table, Tone, Value};
use crate::session::coreclr::NearObject;

/// The objects of a type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TypeCount {
    /// Its full name; null where that cannot be read.
    #[serde(rename = "type")]
    pub type_name: Option<Arc<str>>,
    /// Its identity: a method table.
    pub id: Addr,
    /// How many.
    pub count: u64,
    /// What they take themselves, in bytes.
    pub bytes: u64,
}

/// Objects by type, those with the most bytes first.
pub(super) fn by_type<'a>(objects: impl Iterator<Item = &'a NearObject>) -> Vec<TypeCount> {
    let mut all: FxHashMap<Addr, TypeCount> = FxHashMap::default();
    for object in objects {
        let empty = || TypeCount { type_name: object.name.clone().ok(), id: object.table, count: 0, bytes: 0 };
        let of = all.entry(object.table).or_insert_with(empty);
        of.count = of.count.saturating_add(1);
        of.bytes = of.bytes.saturating_add(object.bytes);
    }
    let mut all: Vec<TypeCount> = all.into_values().collect();
    all.sort_by_key(|of| (Reverse(of.bytes), of.id));
    all
}

/// A type's name, or that it cannot be read.
pub(super) fn type_cell(name: Option<&Arc<str>>) -> Cell {
    match name {
        Some(name) => Cell::new(Value::Type(Arc::clone(name))),
        None => Cell::unknown("its type cannot be read"),
    }
}

/// The table of them.
pub(super) fn table(types: &[TypeCount]) -> Body {
    let columns = vec![
        Column::right("Objects"),
        Column::right("Bytes"),
        Column::wide("Type", 1).rank(1).enough(26),
        Column::rigid("Id").rank(4),
    ];
    let row = |of: &TypeCount| {
        let cells = vec![
            Cell::new(Value::Count(of.count)),
            Cell::new(Value::Bytes(of.bytes)),
            // Whole: two types may differ in their arguments alone.
            of.type_name.as_ref().map_or_else(|| type_cell(None), |name| Cell::text(Arc::clone(name)).tone(Tone::Link)),
            Cell::new(Value::Addr(of.id)).tone(Tone::Dim),
        ];
        Row::about(Subject::Type(of.id), cells)
    };
    Body::Table(Table::new(columns, types.iter().map(row).collect()))
}
