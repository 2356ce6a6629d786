//! The tables: how wide their columns are, and where a cell is.

use super::damage::corrupt;
use crate::capture::Memory;
use crate::model::{Addr, Known};

/// What a column holds, and so how wide it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Column {
    /// So many bytes.
    Bytes(u8),
    /// An index into the strings, the GUIDs, the blobs: the bit of `HeapSizes` that makes it wide.
    Heap(u8),
    /// A row of a table.
    Row(u8),
    /// A row of one of several tables; the first number is that of bits that tell which.
    Coded(u8, &'static [u8]),
}

use Column::{Bytes as F, Coded, Heap, Row as T};

const S: Column = Heap(1);
const G: Column = Heap(2);
const B: Column = Heap(4);
const TYPE: Column = Coded(2, &[0x02, 0x01, 0x1b]);
const ATTRIBUTED: Column = Coded(
    5,
    &[
        0x06, 0x04, 0x01, 0x02, 0x08, 0x09, 0x0a, 0x00, 0x0e, 0x17, 0x14, 0x11, 0x1a, 0x1b, 0x20, 0x23, 0x26, 0x27,
        0x28, 0x2a, 0x2c, 0x2b,
    ],
);
const METHOD: Column = Coded(1, &[0x06, 0x0a]);
const IMPLEMENTATION: Column = Coded(2, &[0x26, 0x23, 0x27]);
const DESCRIBED: Column = Coded(
    5,
    &[
        0x06, 0x04, 0x01, 0x02, 0x08, 0x09, 0x0a, 0x00, 0x0e, 0x17, 0x14, 0x11, 0x1a, 0x1b, 0x20, 0x23, 0x26, 0x27,
        0x28, 0x2a, 0x2c, 0x2b, 0x30, 0x32, 0x33, 0x34, 0x35,
    ],
);

/// The columns of every table, by the table's number; the last eight are those of portable PDBs.
// Source: ECMA-335 II.22.2 to II.22.39; the tables of pointers and of edits as dotnet/runtime src/coreclr/md/metamodel.h has them; those of
// PDBs from docs/design/specs/PortablePdb-Metadata.md there.
const SCHEMA: [&[Column]; 0x38] = [
    &[F(2), S, G, G, G],
    &[Coded(2, &[0x00, 0x1a, 0x23, 0x01]), S, S],
    &[F(4), S, S, TYPE, T(0x04), T(0x06)],
    &[T(0x04)],
    &[F(2), S, B],
    &[T(0x06)],
    &[F(4), F(2), F(2), S, B, T(0x08)],
    &[T(0x08)],
    &[F(2), F(2), S],
    &[T(0x02), TYPE],
    &[Coded(3, &[0x02, 0x01, 0x1a, 0x06, 0x1b]), S, B],
    &[F(2), Coded(2, &[0x04, 0x08, 0x17]), B],
    &[ATTRIBUTED, Coded(3, &[0x06, 0x0a]), B],
    &[Coded(1, &[0x04, 0x08]), B],
    &[F(2), Coded(2, &[0x02, 0x06, 0x20]), B],
    &[F(2), F(4), T(0x02)],
    &[F(4), T(0x04)],
    &[B],
    &[T(0x02), T(0x14)],
    &[T(0x14)],
    &[F(2), S, TYPE],
    &[T(0x02), T(0x17)],
    &[T(0x17)],
    &[F(2), S, B],
    &[F(2), T(0x06), Coded(1, &[0x14, 0x17])],
    &[T(0x02), METHOD, METHOD],
    &[S],
    &[B],
    &[F(2), Coded(1, &[0x04, 0x06]), S, T(0x1a)],
    &[F(4), T(0x04)],
    &[F(4), F(4)],
    &[F(4)],
    &[F(4), F(2), F(2), F(2), F(2), F(4), B, S, S],
    &[F(4)],
    &[F(4), F(4), F(4)],
    &[F(2), F(2), F(2), F(2), F(4), B, S, S, B],
    &[F(4), T(0x23)],
    &[F(4), F(4), F(4), T(0x23)],
    &[F(4), S, B],
    &[F(4), F(4), S, S, IMPLEMENTATION],
    &[F(4), F(4), S, IMPLEMENTATION],
    &[T(0x02), T(0x02)],
    &[F(2), F(2), Coded(1, &[0x02, 0x06]), S],
    &[METHOD, B],
    &[T(0x2a), TYPE],
    &[],
    &[],
    &[],
    &[B, G, B, G],
    &[T(0x30), B],
    &[T(0x06), T(0x35), T(0x33), T(0x34), F(4), F(4)],
    &[F(2), F(2), S],
    &[S, B],
    &[T(0x35), B],
    &[T(0x06), T(0x06)],
    &[DESCRIBED, G, B],
];

/// Where the tables are.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    /// Rows of each table.
    rows: [u32; 64],
    /// Rows of tables of another file that cells refer to.
    referenced: [u32; 64],
    /// Which heaps are larger than 64 KiB.
    heaps: u8,
    /// First byte of each table, and bytes of a row.
    places: Vec<(Addr, u64)>,
}

impl Tables {
    /// Reads how many rows there are from the stream `#~`.
    pub(super) fn read(memory: &Memory, at: Addr, size: u64, referenced: &[u32; 64]) -> Known<Tables> {
        // Source: ECMA-335 II.24.2.6: HeapSizes 6, Valid 8, Sorted 16, Rows 24; bit 0x40 adds a word, metamodel.h "EXTRA_DATA".
        let part = |offset: u64| at.plus(offset).ok_or_else(|| corrupt("its tables leave the address space"));
        let heaps = memory.u8(part(6)?)?;
        let valid = memory.u64(part(8)?)?;
        let mut rows = [0; 64];
        let mut offset = 24u64;
        for (number, rows) in rows.iter_mut().enumerate().filter(|(number, _)| valid >> number & 1 != 0) {
            // Row numbers in tokens have 24 bits: II.22.
            *rows = Some(memory.u32(part(offset)?)?)
                .filter(|rows| *rows < 1 << 24)
                .ok_or_else(|| corrupt(&format!("too many rows in table {number:#x}")))?;
            offset = offset.saturating_add(4);
        }
        offset = offset.saturating_add(if heaps & 0x40 != 0 { 4 } else { 0 });
        let places = Vec::with_capacity(SCHEMA.len());
        let mut tables = Tables { rows, referenced: *referenced, heaps, places };
        for (number, columns) in SCHEMA.iter().enumerate() {
            let row: u64 = columns.iter().map(|column| tables.width(*column)).sum();
            tables.places.push((part(offset)?, row));
            offset = offset.saturating_add(row.saturating_mul(tables.rows(number).into()));
        }
        if offset > size { Err(corrupt("its tables are longer than their stream")) } else { Ok(tables) }
    }

    /// Rows of a table.
    pub(super) fn rows(&self, table: usize) -> u32 {
        self.rows.get(table).copied().unwrap_or(0)
    }

    /// Rows of a table, wherever it is.
    fn most(&self, table: u8) -> u32 {
        let referenced = self.referenced.get(usize::from(table)).copied().unwrap_or(0);
        self.rows(table.into()).max(referenced)
    }

    /// The first row of a table that has at least a value in a column by which it is sorted; behind the last where none has.
    pub(super) fn first(&self, memory: &Memory, table: usize, column: usize, wanted: u32) -> Known<u32> {
        let (mut low, mut high) = (1, self.rows(table).saturating_add(1));
        while low < high {
            let middle = low.midpoint(high);
            let is_below = self.cell(memory, table, middle, column)? < wanted;
            if is_below { low = middle.saturating_add(1) } else { high = middle }
        }
        Ok(low)
    }

    fn width(&self, column: Column) -> u64 {
        let wide = |is_wide: bool| if is_wide { 4 } else { 2 };
        match column {
            Column::Bytes(bytes) => bytes.into(),
            Column::Heap(bit) => wide(self.heaps & bit != 0),
            Column::Row(table) => wide(self.most(table) > 0xffff),
            Column::Coded(bits, tables) => {
                let most = tables.iter().map(|table| self.most(*table)).max().unwrap_or(0);
                wide(u64::from(most) > 0xffff >> bits)
            }
        }
    }

    /// What stands in a cell; rows count from 1.
    pub(super) fn cell(&self, memory: &Memory, table: usize, rid: u32, column: usize) -> Known<u32> {
        let missing = || corrupt(&format!("no row {rid} in table {table:#x}"));
        if rid == 0 || rid > self.rows(table) {
            return Err(missing());
        }
        let (columns, (start, row)) = SCHEMA.get(table).zip(self.places.get(table)).ok_or_else(missing)?;
        let before: u64 = columns.iter().take(column).map(|column| self.width(*column)).sum();
        let offset = row.saturating_mul(u64::from(rid.saturating_sub(1))).saturating_add(before);
        let at = start.plus(offset).ok_or_else(missing)?;
        match self.width(*columns.get(column).ok_or_else(missing)?) {
            2 => Ok(memory.u16(at)?.into()),
            _ => Ok(memory.u32(at)?),
        }
    }
}
