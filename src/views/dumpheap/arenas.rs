//! `dumpheap -arenas`: the pieces of a heap that have books of their own.

use schemars::JsonSchema;
use serde::Serialize;

use super::Total;
use crate::analysis::histogram::Amount;
use crate::analysis::share::tenths;
use crate::error::Error;
use crate::heap::{Arena, Bound, Free};
use crate::job::Job;
use crate::model::{Addr, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Heap;
use crate::views::{Answer, Answered, Draw};

/// The arenas of a heap.
#[derive(Serialize, JsonSchema)]
pub(super) struct Arenas {
    /// In the heap's own order.
    pub arenas: Vec<ArenaRow>,
    /// Whose heap it is.
    pub heap: String,
    /// Whether that is all of it: false where a part could not be read, or may be counted that is not in use.
    pub complete: bool,
    #[serde(skip)]
    used: Bound,
    #[serde(skip)]
    free: Bound,
}

/// An arena, and what its bytes are.
#[derive(Serialize, JsonSchema)]
pub(super) struct ArenaRow {
    /// What it is called.
    pub name: String,
    /// Where its books are; null where it has none.
    pub address: Option<Addr>,
    /// Bytes that it has taken from the system: the sum of those in use, free, and overhead.
    pub system: u64,
    /// What is in use.
    pub used: Total,
    /// What is free, all lists together.
    pub free: Total,
    /// What is free, by the list that holds it.
    pub lists: Vec<ListRow>,
    /// Bytes of its own books, and lost to alignment.
    pub overhead: u64,
}

/// Free blocks of one kind.
#[derive(Serialize, JsonSchema)]
pub(super) struct ListRow {
    /// What the allocator calls it: `tcache`, `fastbins`, `bins`, `top`.
    pub list: &'static str,
    /// How many blocks.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

pub(super) fn build(heap: &Heap, job: &Job) -> Result<Box<dyn Answer>, Error> {
    let arenas = heap.source.arenas(job)?;
    if arenas.is_empty() {
        return Err(Error::Failed(format!("the heap ({}) does not tell what it is made of", heap.source.name())));
    }
    // Damage is met while blocks are counted.
    heap.histogram(job)?;
    let (used, free) = (heap.bound(), super::bound_of_free(heap));
    let data = Arenas {
        arenas: arenas.iter().map(|arena| ArenaRow::of(arena, used, free)).collect(),
        heap: heap.source.name().to_owned(),
        complete: used == Bound::Exact,
        used,
        free,
    };
    Ok(Box::new(Answered { data, problems: heap.source.problems() }))
}

impl ArenaRow {
    fn of(arena: &Arena, used: Bound, free: Bound) -> ArenaRow {
        let total = |Free { count, bytes }: Free, bound| Total::of(Amount { count, bytes }, bound);
        let all = arena.free.iter().fold(Free::default(), |all, (_, free)| Free {
            count: all.count.saturating_add(free.count),
            bytes: all.bytes.saturating_add(free.bytes),
        });
        let list = |(list, free): &(&'static str, Free)| ListRow { list, count: free.count, bytes: free.bytes };
        ArenaRow {
            name: arena.name.clone(),
            address: arena.address,
            system: arena.system,
            used: total(arena.used, used),
            free: total(all, free),
            lists: arena.free.iter().map(list).collect(),
            overhead: arena.overhead,
        }
    }
}

impl Draw for Arenas {
    fn draw(&self) -> Section {
        let columns = vec![
            Column::left("Arena"),
            Column::right("System"),
            Column::right("Objects"),
            Column::right("In use"),
            Column::right("Free"),
            Column::right("Free %").rank(3),
            Column::wide("Free blocks", 1).rank(4),
            Column::left("Address").rank(5),
        ];
        let row = |arena: &ArenaRow| {
            let lists = arena.lists.iter().filter(|list| list.count > 0);
            let lists: Vec<String> = lists.map(|list| format!("{} {}", list.count, list.list)).collect();
            let address = arena.address.map_or(Cell::NONE, |at| Cell::new(Value::Addr(at)).tone(Tone::Dim));
            let cells = vec![
                Cell::text(arena.name.as_str()).tone(Tone::Strong),
                Cell::new(Value::Bytes(arena.system)),
                Cell::new(Value::Count(arena.used.count)),
                Cell::new(Value::Bytes(arena.used.bytes)),
                Cell::new(Value::Bytes(arena.free.bytes)),
                Cell::new(Value::Percent(tenths(arena.free.bytes, arena.system))),
                Cell::text(lists.join(", ")),
                address,
            ];
            Row { cells, subject: arena.address.map(Subject::Memory) }
        };
        let table = Table::new(columns, self.arenas.iter().map(row).collect());
        let sum = |of: fn(&ArenaRow) -> u64| self.arenas.iter().map(of).fold(0, u64::saturating_add);
        let dim = |text: &str| Cell::text(text).tone(Tone::Dim);
        let word = |bound: Bound| bound.words().map(|words| Cell::text(words).tone(Tone::Guess));
        let mut total =
            vec![dim("in all:"), Cell::new(Value::Bytes(sum(|arena| arena.system))), dim("from the system,")];
        total.extend(word(self.used));
        total.extend([Cell::new(Value::Bytes(sum(|arena| arena.used.bytes))), dim("in use,")]);
        total.extend(word(self.free));
        total.extend([Cell::new(Value::Bytes(sum(|arena| arena.free.bytes))), dim("free,")]);
        total.push(Cell::new(Value::Bytes(sum(|arena| arena.overhead))));
        total.push(Cell::text(format!("overhead ({})", self.heap)).tone(Tone::Dim));
        let total = Row::new(total);
        Section { bodies: vec![Body::Table(table), Body::Lines(vec![total])], ..Section::default() }
    }
}
