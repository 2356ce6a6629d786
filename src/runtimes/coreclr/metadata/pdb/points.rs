//! Sequence points: which line an instruction was made of.

use std::sync::Arc;

use super::super::damage::corrupt;
use super::super::signature::compressed;
use super::{MAX_POINTS, METHOD_DEBUG_INFORMATION, Pdb};
use crate::model::{Gap, Known};

/// Most points of one method.
const MAX: usize = 1 << 20;

/// Where a method's instructions from one on come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Bytes from the start of the method's instructions.
    pub il: u32,
    /// Row in the table of documents.
    pub document: u32,
    /// From 1; `None` for instructions that the compiler made of nothing in particular.
    pub line: Option<u32>,
}

/// A line of a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// As the compiler recorded it.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// Whether it is that of the method's beginning, since nothing tells a nearer one.
    pub approximate: bool,
}

impl Pdb {
    /// The line of a method's instruction: that of the last point at or before it that has one. `Ok(None)` where there is none.
    pub fn line(&self, method: u32, il: u32) -> Known<Option<Line>> {
        let points = self.points(method)?;
        let before = points.iter().take_while(|point| point.il <= il);
        let Some((document, line)) = before.filter_map(|point| Some((point.document, point.line?))).last() else {
            return Ok(None);
        };
        Ok(Some(Line { file: self.document(document)?, line, approximate: false }))
    }

    /// The sequence points of a method, in the order of its instructions; empty where it has none.
    pub fn points(&self, method: u32) -> Known<Vec<Point>> {
        let blob = self.cell(METHOD_DEBUG_INFORMATION, method, 1)?;
        if blob == 0 {
            return Ok(Vec::new());
        }
        let document = self.cell(METHOD_DEBUG_INFORMATION, method, 0)?;
        points(&self.blob(blob, MAX_POINTS)?, document)
    }
}

/// Reads a blob of them. `document`: 0 where the blob tells it.
fn points(blob: &[u8], document: u32) -> Known<Vec<Point>> {
    // Source: PortablePdb-Metadata.md, "Sequence Points Blob".
    let mut reader = Reader { bytes: blob };
    let _local_signature = reader.number()?;
    let mut document = if document == 0 { reader.number()? } else { document };
    let mut points: Vec<Point> = Vec::new();
    let mut il = 0u32;
    // Of the last point that has one.
    let mut last: Option<u32> = None;
    while !reader.bytes.is_empty() {
        if points.len() >= MAX {
            return Err(corrupt("a method has too many lines"));
        }
        let step = reader.number()?;
        if step == 0 && !points.is_empty() {
            document = reader.number()?;
            continue;
        }
        il = if points.is_empty() { step } else { il.saturating_add(step) };
        let lines = reader.number()?;
        let has_columns = if lines == 0 { reader.number()? != 0 } else { reader.signed()? != 0 };
        if lines == 0 && !has_columns {
            points.push(Point { il, document, line: None });
            continue;
        }
        let line = match last {
            None => {
                let line = reader.number()?;
                reader.number()?;
                line
            }
            Some(last) => {
                let line = last.checked_add_signed(reader.signed()?).ok_or_else(Reader::damaged)?;
                reader.signed()?;
                line
            }
        };
        last = Some(line);
        points.push(Point { il, document, line: Some(line) });
    }
    Ok(points)
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn damaged() -> Gap {
        corrupt("the lines of a method")
    }

    fn number(&mut self) -> Known<u32> {
        let (number, taken) = compressed(self.bytes).ok_or_else(Self::damaged)?;
        self.bytes = self.bytes.get(taken..).unwrap_or_default();
        Ok(number)
    }

    /// A number with a sign, which is its lowest bit. Source: ECMA-335 II.23.2.
    fn signed(&mut self) -> Known<i32> {
        let before = self.bytes.len();
        let number = self.number()?;
        let bits = match before.saturating_sub(self.bytes.len()) {
            1 => 6,
            2 => 13,
            _ => 28,
        };
        let value = i32::try_from(number >> 1).map_err(|_| Self::damaged())?;
        Ok(if number & 1 == 0 { value } else { value.saturating_sub(1 << bits) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(il: u32, document: u32, line: Option<u32>) -> Point {
        Point { il, document, line }
    }

    #[test]
    fn points_are_told_one_after_the_other() {
        // No local signature; IL 0, one line, 5 columns, line 10, column 9. IL 7: 0 lines, 20 columns, 3 lines further, column 4 less.
        // IL 9 hidden. Then document 2, IL 12: 0 lines, 1 column, 12 lines back.
        let blob = [0, 0, 0, 5, 10, 9, 7, 0, 20, 6, 0x79, 2, 0, 0, 0, 2, 3, 0, 1, 0x69, 2];
        let expected = [point(0, 1, Some(10)), point(7, 1, Some(13)), point(9, 1, None), point(12, 2, Some(1))];
        assert_eq!(points(&blob, 1).as_deref(), Ok(&expected[..]));
        // The document stands in the blob where the table has none.
        let blob = [0, 4, 1, 2, 4, 30, 1];
        assert_eq!(points(&blob, 0).as_deref(), Ok(&[point(1, 4, Some(30))][..]));
    }

    #[test]
    fn numbers_with_a_sign_have_it_in_their_lowest_bit() {
        // The examples of ECMA-335 II.23.2.
        for (bytes, value) in [
            (&[0x06][..], 3),
            (&[0x7b], -3),
            (&[0x80, 0x80], 64),
            (&[0x01], -64),
            (&[0xc0, 0, 0x40, 0], 8192),
            (&[0x80, 0x01], -8192),
            (&[0xdf, 0xff, 0xff, 0xfe], 268_435_455),
            (&[0xc0, 0, 0, 0x01], -268_435_456),
        ] {
            assert_eq!(Reader { bytes }.signed(), Ok(value), "{bytes:x?}");
        }
    }

    #[test]
    fn a_cut_or_impossible_blob_is_a_gap() {
        let blob = [0, 0, 0, 5, 10, 9, 7, 0, 20, 6, 0x79];
        for len in [0, 2, 3, 4, 5, 7, 8, 9, 10] {
            assert!(points(&blob[..len], 1).is_err(), "{len}");
        }
        // A line before the first.
        assert!(points(&[0, 0, 0, 5, 10, 9, 7, 0, 20, 0x01, 2], 1).is_err());
        assert_eq!(points(&[0], 1).as_deref(), Ok(&[][..]));
    }
}
