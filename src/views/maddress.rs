//! `maddress`, `heap -regions`: the mappings of the process, what they hold, and how much of them was in memory.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Alias, Answer, Answered, Draw, Needs, Query, View};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, MappingKind, MappingRow, Partial, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::{MemoryPart, Session, Uses};
use crate::shape;

/// The view.
pub const VIEW: View = View {
    name: "maddress",
    aliases: &[Alias::of("regions")],
    needs: Needs::Process,
    home_of: &[],
    args: &[],
    pane: None,
    doc: "The mappings of the process: range, access, what they hold, how much was in memory and how much is in the dump",
    help: "What was in memory (resident, of that its own, swapped out) is known of dumps that dumpscope \
           collected. The same as 'heap -regions'.

$ dumpscope demo -c maddress
Start               End                 Access  Size  Resident  Own  Swapped  In dump  Holds
0x400000            0x401000            r--     4.0K         ?    ?        ?     4.0K  /srv/orders-api
0x401000            0x4a8000            r-x     668K         ?    ?        ?        0  /srv/orders-api
0x4a8000            0x4dc000            r--     208K         ?    ?        ?        0  /srv/orders-api
…
0x7fd5df022000      0x7fd5df032000      rw-      64K         ?    ?        ?      64K  stack of 4745",
    build,
    schema: shape!(Mappings),
};

/// Every mapping.
#[derive(Serialize, JsonSchema)]
pub struct Mappings {
    /// Ascending by address.
    pub mappings: Vec<MappingRow>,
    /// The same together, by what they are used for; the most bytes in the dump first.
    pub kinds: Vec<KindRow>,
    /// Bytes of all of them together; a part that is not recorded for every mapping is null.
    pub total: Total,
}

/// Memory that is used for the same.
#[derive(Serialize, JsonSchema)]
pub struct KindRow {
    /// What for.
    pub kind: MappingKind,
    /// Whose it is: the allocator, the generation of a collector's heap, the heap of a loader; null where that is not known, and where it
    /// was not looked for.
    pub owner: Option<String>,
    /// In how many mappings.
    pub count: u64,
    /// Bytes of address space.
    pub bytes: u64,
    /// Bytes that were in memory; null where that is not recorded of every mapping, or not of which part of one.
    pub resident: Option<u64>,
    /// Bytes in the dump.
    pub dumped: u64,
}

/// What is used for the same by the same, with the last mapping that was counted.
type Kinds<'a> = BTreeMap<(MappingKind, Option<&'a str>), (KindRow, Option<Addr>)>;

/// Parts of mappings together, by what they are used for and whose they are.
pub(super) fn by_kind(parts: &[MemoryPart]) -> Vec<KindRow> {
    let mut kinds = Kinds::new();
    for part in parts {
        let (row, last) = kinds.entry((part.kind, part.owner.as_deref())).or_insert_with(|| {
            let owner = part.owner.clone();
            (KindRow { kind: part.kind, owner, count: 0, bytes: 0, resident: Some(0), dumped: 0 }, None)
        });
        if last.replace(part.mapping) != Some(part.mapping) {
            row.count = row.count.saturating_add(1);
        }
        row.bytes = row.bytes.saturating_add(part.bytes);
        row.resident = row.resident.zip(part.resident).map(|(sum, of)| sum.saturating_add(of));
        row.dumped = row.dumped.saturating_add(part.dumped);
    }
    let mut kinds: Vec<KindRow> = kinds.into_values().map(|(row, _)| row).collect();
    kinds.sort_by_key(|row| std::cmp::Reverse((row.resident, row.dumped, row.bytes)));
    kinds
}

/// Mappings whole.
pub(super) fn whole(mappings: &[MappingRow]) -> Vec<MemoryPart> {
    let whole = |row: &MappingRow| MemoryPart {
        mapping: row.start,
        kind: row.kind,
        owner: None,
        bytes: row.bytes,
        resident: row.resident,
        dumped: row.dumped,
    };
    mappings.iter().map(whole).collect()
}

/// Sums over all mappings.
#[derive(Serialize, JsonSchema)]
pub struct Total {
    /// Bytes of address space.
    pub bytes: u64,
    /// Bytes in memory.
    pub resident: Option<u64>,
    /// Bytes in the dump.
    pub dumped: u64,
}

/// Answers it.
pub(super) fn build(session: &Session, _: &Query, _: &Job) -> Result<Box<dyn Answer>, Error> {
    let mappings = session.process()?.mappings();
    let parts = whole(&mappings);
    answer(Partial { value: Uses { mappings, parts }, problems: Vec::new() })
}

/// Mappings, what they are used for, and their sums.
pub(super) fn answer(uses: Partial<Uses>) -> Result<Box<dyn Answer>, Error> {
    let Partial { value: Uses { mappings, parts }, problems } = uses;
    let sum = |of: fn(&MappingRow) -> u64| mappings.iter().map(of).fold(0, u64::saturating_add);
    let total = Total {
        bytes: sum(|mapping| mapping.bytes),
        resident: mappings
            .iter()
            .map(|mapping| mapping.resident)
            .try_fold(0u64, |sum, of| Some(sum.saturating_add(of?))),
        dumped: sum(|mapping| mapping.dumped),
    };
    Ok(Box::new(Answered { data: Mappings { kinds: by_kind(&parts), mappings, total }, problems }))
}

impl Draw for Mappings {
    fn draw(&self) -> Section {
        let columns = vec![
            Column::rigid("Start"),
            Column::rigid("End").rank(4),
            Column::left("Access").rank(3),
            Column::right("Size"),
            Column::right("Resident").rank(3),
            Column::right("Own").rank(4),
            Column::right("Swapped").rank(4),
            Column::right("In dump").rank(3),
            Column::wide("Holds", 1).rank(1).min(20),
        ];
        if self.mappings.is_empty() {
            let said = Row::text("No mappings: the dump has none.");
            return Section { bodies: vec![Body::Lines(vec![said])], ..Section::default() };
        }
        let rows: Vec<Row> = self.mappings.iter().map(row).collect();
        let known =
            |bytes: Option<u64>| bytes.map_or(Cell::text("?").tone(Tone::Dim), |bytes| Cell::new(Value::Bytes(bytes)));
        let total = vec![
            Cell::text("in all:").tone(Tone::Dim),
            Cell::new(Value::Bytes(self.total.bytes)),
            Cell::text("mapped,").tone(Tone::Dim),
            known(self.total.resident),
            Cell::text("in memory,").tone(Tone::Dim),
            Cell::new(Value::Bytes(self.total.dumped)),
            Cell::text("in the dump").tone(Tone::Dim),
        ];
        let heading = Body::Heading("By use".to_owned());
        let kinds = Body::Table(kinds_table(&self.kinds));
        let bodies = vec![Body::Table(Table::new(columns, rows)), heading, kinds, Body::Lines(vec![Row::new(total)])];
        Section { bodies, ..Section::default() }
    }
}

impl KindRow {
    /// `heap: .NET, gen 0`, `.NET loader, stubs`.
    fn words(&self) -> String {
        match (&self.owner, self.kind) {
            (None, kind) => kind.words().to_owned(),
            // Which part of the runtime's own it is says enough.
            (Some(owner), MappingKind::RuntimeData) => owner.clone(),
            (Some(owner), kind) => format!("{}: {owner}", kind.words()),
        }
    }
}

/// What memory is used for, a row each.
pub(super) fn kinds_table(kinds: &[KindRow]) -> Table {
    let columns = vec![
        Column::left("Use"),
        Column::right("Mappings").rank(3),
        Column::right("Size"),
        Column::right("Resident"),
        Column::right("In dump"),
    ];
    let known =
        |bytes: Option<u64>| bytes.map_or(Cell::text("?").tone(Tone::Dim), |bytes| Cell::new(Value::Bytes(bytes)));
    let row = |kind: &KindRow| {
        Row::new(vec![
            Cell::text(kind.words()),
            Cell::new(Value::Count(kind.count)),
            Cell::new(Value::Bytes(kind.bytes)),
            known(kind.resident),
            Cell::new(Value::Bytes(kind.dumped)),
        ])
    };
    Table::new(columns, kinds.iter().map(row).collect())
}

fn row(mapping: &MappingRow) -> Row {
    let known =
        |bytes: Option<u64>| bytes.map_or(Cell::text("?").tone(Tone::Dim), |bytes| Cell::new(Value::Bytes(bytes)));
    let holds = match (&mapping.path, mapping.stacks.as_slice()) {
        (Some(path), _) => Cell::new(Value::Path(path.as_str().into())),
        (None, []) => match (&mapping.owner, mapping.kind) {
            (Some(owner), MappingKind::Heap) => Cell::text(format!("heap ({owner})")),
            (Some(owner), MappingKind::RuntimeCode | MappingKind::RuntimeData) => {
                Cell::text(format!("{} ({owner})", mapping.kind.words()))
            }
            (Some(owner), _) => Cell::text(format!("by {owner}")).tone(Tone::Guess),
            (None, _) => Cell::NONE,
        },
        (None, [only]) => Cell::text(format!("stack of {only}")).tone(Tone::Link),
        (None, several) => Cell::text(format!("stacks of {} threads", several.len())).tone(Tone::Link),
    };
    let cells = vec![
        Cell::new(Value::Addr(mapping.start)),
        Cell::new(Value::Addr(mapping.end)),
        Cell::text(mapping.access.as_str()),
        Cell::new(Value::Bytes(mapping.bytes)),
        known(mapping.resident),
        known(mapping.anonymous),
        known(mapping.swapped),
        Cell::new(Value::Bytes(mapping.dumped)),
        holds,
    ];
    Row::about(Subject::Memory(mapping.start), cells)
}
