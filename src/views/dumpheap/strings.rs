//! `dumpheap -strings`: texts of the heap, those that are the same together: how many there are, and what they take.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Total, Wanted};
use crate::analysis::histogram::{Amount, Selection};
use crate::error::Error;
use crate::heap::HeapObject;
use crate::job::Job;
use crate::model::{Gap, Problem, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::report::words::thousands;
use crate::session::Heap;
use crate::views::{Answer, Answered, Draw, Query};

/// Most that are told where no number is asked for, and characters of each.
const TOLD: usize = 1000;
const MAX_CHARACTERS: usize = 1024;

/// Texts, those that are the same together.
#[derive(Serialize, JsonSchema)]
pub(super) struct Strings {
    /// Those that take the most first; with `-duplicates` those of which the most is wasted, and none that is there once.
    pub strings: Vec<StringRow>,
    /// How many different ones there are of those that were asked for.
    pub different: usize,
    /// All objects that are texts of those that were asked for.
    pub total: Total,
    /// Bytes that would be saved if each text were there once.
    pub wasted: u64,
}

/// A text.
#[derive(Serialize, JsonSchema)]
pub(super) struct StringRow {
    /// The text, or its first 1,024 characters.
    pub value: String,
    /// How many characters it has, as UTF-16 counts them.
    pub length: usize,
    /// How many objects have it.
    pub count: u64,
    /// What they take together, in bytes.
    pub bytes: u64,
    /// What all but one of them take.
    pub wasted: u64,
}

fn wasted(of: Amount) -> u64 {
    of.bytes.saturating_sub(of.bytes.checked_div(of.count).unwrap_or(0))
}

pub(super) fn build(
    heap: &Heap,
    selection: &Selection,
    wanted: Option<&Wanted<'_>>,
    query: &Query,
    problems: Vec<Problem>,
    job: &Job,
) -> Result<Box<dyn Answer>, Error> {
    let source = heap.source.as_ref();
    let types: Vec<bool> = (0..source.types().len()).map(|of_type| source.is_text(of_type)).collect();
    if !types.contains(&true) {
        return Err(Error::Failed(format!("which objects of the heap ({}) are texts is not told", source.name())));
    }
    job.phase("reading texts", 0);
    let mut found: FxHashMap<&[u8], Amount> = FxHashMap::default();
    let (mut total, mut unread, mut why): (Amount, u64, Option<Gap>) = (Amount::default(), 0, None);
    let mut add = |object: &HeapObject| {
        if !types.get(object.of_type).copied().unwrap_or(false) {
            return;
        }
        let own = Amount { count: 1, bytes: object.bytes };
        total.add(own);
        match source.text(*object) {
            Ok(text) => found.entry(text).or_default().add(own),
            Err(gap) => {
                unread = unread.saturating_add(1);
                why.get_or_insert(gap);
            }
        }
    };
    let mut meter = job.meter();
    match wanted {
        Some(wanted) => wanted.each(&mut meter, &mut |_, object| add(&object))?,
        None => {
            for part in 0..source.parts() {
                job.check()?;
                source.objects(part, &mut meter, &mut |object| {
                    if selection.has(&object) {
                        add(&object);
                    }
                    Ok(())
                })?;
            }
            job.check()?;
        }
    }
    let duplicates = query.flag("duplicates");
    let mut all: Vec<(&[u8], Amount)> = found.into_iter().filter(|(_, of)| !duplicates || of.count > 1).collect();
    let sum = all.iter().map(|(_, of)| wasted(*of)).fold(0, u64::saturating_add);
    let order = |of: Amount| if duplicates { wasted(of) } else { of.bytes };
    all.sort_unstable_by_key(|(text, of)| (Reverse(order(*of)), *text));
    let different = all.len();
    all.truncate(query.number("n").map_or(TOLD, |most| usize::try_from(most).unwrap_or(usize::MAX)));
    let mut problems = problems;
    if let Some(gap) = why {
        let message = format!("{unread} texts cannot be read: {gap}");
        problems.push(Problem::new("texts-unread", Subject::Capture, message));
    }
    let strings = all.into_iter().map(|(text, of)| StringRow::of(text, of)).collect();
    let data = Strings { strings, different, total: Total::of(total, heap.bound()), wasted: sum };
    Ok(Box::new(Answered { data, problems }))
}

impl StringRow {
    fn of(text: &[u8], of: Amount) -> StringRow {
        let (units, _) = text.as_chunks::<2>();
        let begin: Vec<u16> = units.iter().take(MAX_CHARACTERS).map(|unit| u16::from_le_bytes(*unit)).collect();
        let value = String::from_utf16_lossy(&begin);
        StringRow { value, length: units.len(), count: of.count, bytes: of.bytes, wasted: wasted(of) }
    }
}

impl Draw for Strings {
    fn draw(&self) -> Section {
        let columns = vec![
            Column::right("Objects"),
            Column::right("Bytes"),
            Column::right("Wasted").rank(3),
            Column::wide("Text", 1).rank(1).enough(26),
        ];
        let row = |row: &StringRow| {
            let cut = if row.length > MAX_CHARACTERS { "…" } else { "" };
            Row::new(vec![
                Cell::new(Value::Count(row.count)),
                Cell::new(Value::Bytes(row.bytes)),
                if row.wasted > 0 { Cell::new(Value::Bytes(row.wasted)) } else { Cell::NONE },
                Cell::text(format!("{}{cut}", row.value)),
            ])
        };
        let dim = |text: String| Cell::text(text).tone(Tone::Dim);
        let mut lines = Vec::new();
        let left = self.different.saturating_sub(self.strings.len());
        if left > 0 {
            lines.push(Row::new(vec![dim(format!("… and {} more; -n N lists more of them", thousands(left as u64)))]));
        }
        lines.push(self.total.row("that are texts"));
        let different = format!("different ones: {},", thousands(self.different as u64));
        let sum =
            vec![dim(different), Cell::new(Value::Bytes(self.wasted)), dim("in what is there already".to_owned())];
        lines.push(Row::new(sum));
        let table = Table::new(columns, self.strings.iter().map(row).collect());
        Section { bodies: vec![Body::Table(table), Body::Lines(lines)], ..Section::default() }
    }
}
