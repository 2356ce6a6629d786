//! `gcwhere ADDR`: which generation, heap and segment of .NET's heap an address is in.

use schemars::JsonSchema;
use serde::Serialize;

use super::eeheap::SegmentRow;
use super::listnearobj::{NearRow, object_cells};
use super::with;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Problem, Subject};
use crate::report::section::{Body, Cell, Row, Section, Tone, Value};
use crate::session::Session;
use crate::session::coreclr::Near;
use crate::shape;
use crate::views::{Answered, Answers, Arg, Arity, Draw, Kind, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "gcwhere",
    aliases: &[],
    needs: Needs::Process,
    home_of: &[],
    args: &[Arg::Operand("address", Kind::Address, Arity::One, "of an object, or any other of the heap")],
    pane: None,
    doc: "Which generation, heap and segment of .NET's heap an address is in, and in what there",
    help: "$ dumpscope shop.core -c 'gcwhere 0x7f4700c08c00'
Address     0x7f4700c08c00
In          System.Object at 0x7f4700c08c00 of 24 B
Generation  gen 2
Heap        0
Segment     0x7f467b57fcb8 0x7f4700c00028 to 0x7f4700c2db00
Committed   to 0x7f4700c31000
Reserved    to 0x7f4701000000",
    build,
    schema: shape!(GcWhere),
};

/// Where an address of the heap is.
#[derive(Serialize, JsonSchema)]
pub struct GcWhere {
    /// The address.
    pub address: Addr,
    /// In what it is: `object`, `free` (it fills a gap), `unused` (behind the last object), `reserved` (not taken from the system), `none` where no
    /// object begins or could be read.
    pub place: &'static str,
    /// The object that holds it; null where none does.
    pub object: Option<NearRow>,
    /// Its segment.
    #[serde(flatten)]
    pub segment: SegmentRow,
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let missing = || Error::Usage("gcwhere takes an address".to_owned());
    let address = query.address("address").ok_or_else(missing)?;
    let near = with(session, job, |runtime| runtime.near(address, job))?;
    let place = place(&near, address);
    let object = near.holding.as_ref().map(NearRow::of);
    let message = |gap| format!("what is around {address} is not known: {gap}");
    let unknown = near.gap.clone().filter(|_| object.is_none());
    let problems = unknown.map(|gap| Problem::new("heap-incomplete", Subject::Memory(address), message(gap)));
    let data = GcWhere { address, place, object, segment: SegmentRow::of(&near.segment) };
    Ok(Box::new(Answered { data, problems: problems.into_iter().collect() }))
}

fn place(near: &Near, address: Addr) -> &'static str {
    match &near.holding {
        Some(object) if object.is_free => "free",
        Some(_) => "object",
        None if address >= near.segment.committed => "reserved",
        None if address >= near.segment.end => "unused",
        None => "none",
    }
}

impl Draw for GcWhere {
    fn draw(&self) -> Section {
        let address = |at| Cell::new(Value::Addr(at));
        let dim = |text: &str| Cell::text(text).tone(Tone::Dim);
        let inside = match (&self.object, self.place) {
            (Some(object), _) => object_cells(object),
            (None, "reserved") => vec![dim("addresses that are kept for the segment, without memory yet")],
            (None, "unused") => vec![dim("memory of the segment in which no object was made yet")],
            (None, _) => vec![dim("no object")],
        };
        let segment = &self.segment;
        let range = vec![address(segment.segment), address(segment.begin), dim("to"), address(segment.allocated)];
        let fields = vec![
            ("Address".to_owned(), Row::new(vec![address(self.address)])),
            ("In".to_owned(), Row::new(inside)),
            ("Generation".to_owned(), Row::new(vec![Cell::text(segment.generation).tone(Tone::Strong)])),
            ("Heap".to_owned(), Row::new(vec![Cell::new(Value::Count(segment.heap))])),
            ("Segment".to_owned(), Row::new(range)),
            ("Committed".to_owned(), Row::new(vec![dim("to"), address(segment.committed)])),
            ("Reserved".to_owned(), Row::new(vec![dim("to"), address(segment.reserved)])),
        ];
        Section { bodies: vec![Body::Fields(fields)], ..Section::default() }
    }
}
