//! `dumpheap -free`: what is freed and stays with the process, by the list that holds it.

use std::cmp::Reverse;

use schemars::JsonSchema;
use serde::Serialize;

use super::Total;
use crate::analysis::histogram::Amount;
use crate::analysis::share::tenths;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Heap;
use crate::views::{Answer, Answered, Draw};

/// What is free.
#[derive(Serialize, JsonSchema)]
pub(super) struct Lists {
    /// The lists that hold blocks, those with the most bytes first.
    pub lists: Vec<FreeRow>,
    /// All of them together.
    pub total: Total,
    /// Whose heap it is.
    pub heap: String,
}

/// Free blocks of one kind.
#[derive(Serialize, JsonSchema)]
pub(super) struct FreeRow {
    /// What the allocator calls the list: `tcache`, `bins`, `top`; null where it does not tell.
    pub list: Option<&'static str>,
    /// The arena that it is of; null where the heap tells none.
    pub arena: Option<String>,
    /// How many blocks.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    #[serde(skip)]
    at: Option<Addr>,
}

pub(super) fn build(heap: &Heap, job: &Job) -> Result<Box<dyn Answer>, Error> {
    let mut lists = Vec::new();
    for arena in heap.source.arenas(job)? {
        let of_list = |(list, free): (&'static str, crate::heap::Free)| FreeRow {
            list: Some(list),
            arena: Some(arena.name.clone()),
            count: free.count,
            bytes: free.bytes,
            at: arena.address,
        };
        lists.extend(arena.free.into_iter().filter(|(_, free)| free.count > 0).map(of_list));
    }
    let told = heap.source.free(job)?;
    if let Some(free) = told.filter(|_| lists.is_empty()) {
        lists.push(FreeRow { list: None, arena: None, count: free.count, bytes: free.bytes, at: None });
    }
    if lists.is_empty() && told.is_none() {
        return Err(Error::Failed(format!("the heap ({}) does not tell what is free", heap.source.name())));
    }
    lists.sort_by_key(|row| Reverse(row.bytes));
    let mut total = Amount::default();
    lists.iter().for_each(|row| total.add(Amount { count: row.count, bytes: row.bytes }));
    // Damage is met while blocks are counted.
    heap.histogram(job)?;
    let data =
        Lists { lists, total: Total::of(total, super::bound_of_free(heap)), heap: heap.source.name().to_owned() };
    Ok(Box::new(Answered { data, problems: heap.source.problems() }))
}

impl Draw for Lists {
    fn draw(&self) -> Section {
        let columns = vec![
            Column::right("Blocks"),
            Column::right("Bytes"),
            Column::rigid("Share").rank(3),
            Column::left("List"),
            Column::wide("Arena", 1).rank(1),
            Column::left("Address").rank(4),
        ];
        let row = |row: &FreeRow| {
            let cells = vec![
                Cell::new(Value::Count(row.count)),
                Cell::new(Value::Bytes(row.bytes)),
                Cell::new(Value::Bar(tenths(row.bytes, self.total.bytes))),
                Cell::text_or_none(row.list),
                Cell::text_or_none(row.arena.as_deref()),
                row.at.map_or(Cell::NONE, |at| Cell::new(Value::Addr(at)).tone(Tone::Dim)),
            ];
            Row { cells, subject: row.at.map(Subject::Memory) }
        };
        let table = Table::new(columns, self.lists.iter().map(row).collect());
        let mut total = self.total.free_row();
        total.cells.push(Cell::text(format!("({})", self.heap)).tone(Tone::Dim));
        Section { bodies: vec![Body::Table(table), Body::Lines(vec![total])], ..Section::default() }
    }
}
