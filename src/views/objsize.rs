//! `objsize`: how much an object takes, keeps alive and reaches.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::dumpheap::Total;
use super::object_rows::{ADDRESS, Named, type_cell};
use super::{Answered, Answers, Arg, Arity, Draw, Kind, Needs, Query, View};
use crate::job::Job;
use crate::model::Addr;
use crate::report::section::{Body, Cell, Row, Section, Tone, Value};
use crate::session::Session;
use crate::shape;

/// The view.
pub const VIEW: View = View {
    name: "objsize",
    aliases: &[],
    needs: Needs::Heap,
    home_of: &[],
    args: &[Arg::Operand(ADDRESS, Kind::Address, Arity::One, "the object, or an address in it")],
    pane: None,
    doc: "How much an object takes, how much would go with it, and how much it reaches",
    help: "'retained' is what would be free without it: itself and what is held through it alone. 'reachable' is \
           all that it leads to, held by others too or not.

$ dumpscope demo -c 'objsize 0x8a07c30'
object     (112 bytes) at 0x8a07c30
bytes      112 B
retained   9.2 kB
reachable  802 objects, 58 kB",
    build,
    schema: shape!(Size),
};

/// The sizes of an object.
#[derive(Serialize, JsonSchema)]
pub struct Size {
    /// Where it is.
    pub address: Addr,
    /// Its type's full name; null where it has none of those that the heap tells.
    #[serde(rename = "type")]
    pub name: Option<Arc<str>>,
    /// How its type is known, as 'dumpheap -stat' tells it: `size` where nothing tells more; null where it has none.
    pub naming: Option<&'static str>,
    /// What it takes itself.
    pub bytes: u64,
    /// What would be free without it, itself among it.
    pub retained: u64,
    /// All that it leads to, itself among it.
    pub reachable: Total,
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let heap = session.heap_as_known(job)?;
    let named = Named::of(&heap, job)?;
    let id = named.asked(query)?;
    let (reachable, retained) = heap.reach(id, job)?;
    let data = Size {
        address: named.address(id),
        name: named.name(id),
        naming: named.naming(id),
        bytes: named.objects.bytes(id),
        retained,
        reachable: Total::of(reachable, heap.bound()),
    };
    Ok(Box::new(Answered { data, problems: heap.doubts() }))
}

impl Draw for Size {
    fn draw(&self) -> Section {
        let dim = |text: &str| Cell::text(text).tone(Tone::Dim);
        let bytes = |bytes| Cell::new(Value::Bytes(bytes));
        let at =
            vec![type_cell(self.name.as_ref()).tone(Tone::Strong), dim("at"), Cell::new(Value::Object(self.address))];
        let objects = if self.reachable.count == 1 { "object," } else { "objects," };
        let mut reachable: Vec<Cell> = self.reachable.bound_cell().into_iter().collect();
        reachable.extend([Cell::new(Value::Count(self.reachable.count)), dim(objects), bytes(self.reachable.bytes)]);
        let field = |name: &str, cells| (name.to_owned(), Row::new(cells));
        let fields = vec![
            field("object", at),
            field("bytes", vec![bytes(self.bytes)]),
            field("retained", vec![bytes(self.retained)]),
            field("reachable", reachable),
        ];
        Section { bodies: vec![Body::Fields(fields)], ..Section::default() }
    }
}
