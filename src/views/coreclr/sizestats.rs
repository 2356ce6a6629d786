//! `sizestats`: how many objects of each size the generations of .NET's heap have, and how many gaps.

use schemars::JsonSchema;
use serde::Serialize;

use super::with;
use crate::job::Job;
use crate::model::{Problem, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Session;
use crate::session::coreclr::{BySize, Sizes};
use crate::shape;
use crate::views::{Answered, Answers, Draw, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "sizestats",
    aliases: &[],
    needs: Needs::Process,
    home_of: &[],
    args: &[],
    pane: None,
    doc: "How many objects of each size the generations of .NET's heap have, and how many gaps between them",
    help: "Cumulative is what all up to this size have together, this one among them.

$ dumpscope shop.core -c sizestats
Generation  What     Size  Count  Cumulative size  Cumulative count
gen 0       objects    24     41              984                41
gen 0       objects    32     28            1.8K                69
…
gen 0       free      24      2               48                 2",
    build,
    schema: shape!(SizeStats),
};

/// Objects and gaps by size.
#[derive(Serialize, JsonSchema)]
pub struct SizeStats {
    /// Each generation, the youngest first.
    pub generations: Vec<GenerationSizes>,
}

/// A generation.
#[derive(Serialize, JsonSchema)]
pub struct GenerationSizes {
    /// `gen 0`, `gen 1`, `gen 2`, `large`, `pinned`, `frozen`; `gen 0 to 2` where they share a segment and cannot be told apart.
    pub generation: &'static str,
    /// Its objects, the smallest first.
    pub objects: Vec<SizeRow>,
    /// What fills gaps between them.
    pub free: Vec<SizeRow>,
}

/// Objects or gaps of a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SizeRow {
    /// Bytes of each.
    pub size: u64,
    /// How many.
    pub count: u64,
    /// Bytes of all up to this size together.
    pub cumulative_bytes: u64,
    /// How many these are.
    pub cumulative_count: u64,
}

fn build(session: &Session, _: &Query, job: &Job) -> Answers {
    let sizes = with(session, job, |runtime| runtime.sizes(job))?;
    let left_out = sizes.iter().map(|sizes| sizes.left_out).fold(0, u64::saturating_add);
    let message = || format!("{left_out} bytes of the managed heap are left out: they could not be read");
    let problem = (left_out > 0).then(|| Problem::new("heap-incomplete", Subject::Capture, message()));
    let of = |Sizes { generation, objects, free, .. }: &Sizes| GenerationSizes {
        generation: generation.words(),
        objects: rows(objects),
        free: rows(free),
    };
    let data = SizeStats { generations: sizes.iter().map(of).collect() };
    Ok(Box::new(Answered { data, problems: problem.into_iter().collect() }))
}

fn rows(sizes: &BySize) -> Vec<SizeRow> {
    let (mut cumulative_bytes, mut cumulative_count) = (0u64, 0u64);
    let row = |(size, count): (&u64, &u64)| {
        cumulative_bytes = cumulative_bytes.saturating_add(size.saturating_mul(*count));
        cumulative_count = cumulative_count.saturating_add(*count);
        SizeRow { size: *size, count: *count, cumulative_bytes, cumulative_count }
    };
    sizes.iter().map(row).collect()
}

impl Draw for SizeStats {
    fn draw(&self) -> Section {
        let columns = vec![
            Column::left("Generation"),
            Column::left("What"),
            Column::right("Size"),
            Column::right("Count"),
            Column::right("Cumulative size").rank(3),
            Column::right("Cumulative count").rank(3),
        ];
        let mut all = Vec::new();
        for of in &self.generations {
            for (what, rows) in [("objects", &of.objects), ("free", &of.free)] {
                all.extend(rows.iter().map(|row| {
                    Row::new(vec![
                        Cell::text(of.generation),
                        Cell::text(what).tone(Tone::Dim),
                        // Exact: what is near a size is another one.
                        Cell::new(Value::Count(row.size)),
                        Cell::new(Value::Count(row.count)),
                        Cell::new(Value::Bytes(row.cumulative_bytes)),
                        Cell::new(Value::Count(row.cumulative_count)),
                    ])
                }));
            }
        }
        if all.is_empty() {
            return Section { bodies: vec![Body::Lines(vec![Row::text("No objects.")])], ..Section::default() };
        }
        Section { bodies: vec![Body::Table(Table::new(columns, all))], ..Section::default() }
    }
}
