//! What the memory of a process is: the heap, its largest types, what is free in it, and what is no heap at all.

use super::HeapRow;
use crate::error::Error;
use crate::job::Job;
use crate::report::section::{Body, Cell, Row, Tone, Value};
use crate::session::Session;
use crate::views::Draw;
use crate::views::dumpheap::{self, Types};
use crate::views::maddress;

/// Types that are shown, and told.
const SHOWN: usize = 10;

/// Looks at the heap; the reason where there is none whose objects can be listed.
pub(super) fn look(session: &Session, job: &Job) -> Result<Result<HeapRow, String>, Error> {
    let heap = match session.heap(job) {
        Ok(heap) => heap,
        Err(Error::Cancelled) => return Err(Error::Cancelled),
        Err(why) => return Ok(Err(why.to_string())),
    };
    let histogram = heap.histogram(job)?;
    let mut largest = Types::of(heap.source.as_ref(), &histogram, heap.bound());
    let types = largest.types.len();
    largest.types.truncate(SHOWN);
    let free = dumpheap::free(&heap, job)?;
    let kinds = maddress::by_kind(&session.process()?.memory(false, job)?.value.parts);
    Ok(Ok(HeapRow {
        name: heap.source.name().to_owned(),
        bytes: histogram.total.bytes,
        objects: histogram.total.count,
        free,
        complete: largest.total.complete,
        types,
        largest,
        memory: kinds,
    }))
}

/// The line among the facts of the process.
pub(super) fn line(heap: &HeapRow) -> Row {
    let dim = |text: &str| Cell::text(text).tone(Tone::Dim);
    let bytes = |bytes| Cell::new(Value::Bytes(bytes));
    let mut cells: Vec<Cell> = heap.largest.total.bound_cell().into_iter().collect();
    cells.extend([bytes(heap.bytes), dim("in"), Cell::new(Value::Count(heap.objects))]);
    cells.push(dim(if heap.objects == 1 { "object in use" } else { "objects in use" }));
    if let Some(free) = &heap.free {
        cells.push(dim("and"));
        cells.extend(free.bound_cell());
        cells.extend([bytes(free.bytes), dim("free")]);
    }
    cells.push(Cell::text(format!("({})", heap.name)).tone(Tone::Dim));
    Row::new(cells)
}

/// What the memory of the process is, which is to be seen on the first screen, and the largest types.
pub(super) fn bodies(heap: &HeapRow) -> Vec<Body> {
    let mut bodies = vec![Body::Heading("All memory of the process".to_owned())];
    bodies.push(Body::Table(maddress::kinds_table(&heap.memory)));
    bodies.push(Body::Heading("Largest types of the heap".to_owned()));
    // The total stands above already.
    bodies.extend(heap.largest.draw().bodies.into_iter().take(1));
    let left = heap.types.saturating_sub(heap.largest.types.len());
    if left > 0 {
        let text = format!("… and {left} more; 'dumpheap -stat' lists all");
        bodies.push(Body::Lines(vec![Row::new(vec![Cell::text(text).tone(Tone::Dim)])]));
    }
    let more = "    → suspects: what leaked, what the heap hangs from, what is free and not returned";
    bodies.push(Body::Lines(vec![Row::new(vec![Cell::text(more).tone(Tone::Dim)])]));
    bodies
}
