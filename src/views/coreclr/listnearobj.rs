//! `listnearobj ADDR`: the objects before, at and behind an address of .NET's heap. What tells of one object by its address is here, too.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::with;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Subject};
use crate::report::section::{Body, Cell, Row, Section, Tone, Value};
use crate::session::Session;
use crate::session::coreclr::NearObject;
use crate::shape;
use crate::views::{Alias, Answered, Answers, Arg, Arity, Draw, Kind, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "listnearobj",
    aliases: &[Alias::of("lno")],
    needs: Needs::Process,
    home_of: &[],
    args: &[Arg::Operand("address", Kind::Address, Arity::One, "of an object, or any other of the heap")],
    pane: None,
    doc: "The objects before, at and behind an address of .NET's heap",
    help: "The segment is walked from its first object on: what is told is an object, and not what looks like one.

$ dumpscope shop.core -c 'listnearobj 0x7f4700c08c18'
Before   System.Object at 0x7f4700c08c00 of 24 B
Current  System.Collections.Concurrent.ConcurrentQueue<Shop.Order> at 0x7f4700c08c18 of 40 B
Next     System.Object at 0x7f4700c08c40 of 24 B
The heap is sound here: each of them ends where the next one begins.",
    build,
    schema: shape!(ListNearObj),
};

/// Objects around an address.
#[derive(Serialize, JsonSchema)]
pub struct ListNearObj {
    /// The address.
    pub address: Addr,
    /// The last object that ends before it; null where it is the first.
    pub before: Option<NearRow>,
    /// The object that holds it; null where none does.
    pub current: Option<NearRow>,
    /// The first object behind it; null where there is none.
    pub next: Option<NearRow>,
    /// Why there may be others between them; null where each begins where the one before ends.
    pub broken: Option<String>,
}

/// An object.
#[derive(Clone, Serialize, JsonSchema)]
pub struct NearRow {
    /// Where it is.
    pub address: Addr,
    /// Its type; null where that cannot be read.
    #[serde(rename = "type")]
    pub type_name: Option<Arc<str>>,
    /// Its type's identity: a method table.
    pub id: Addr,
    /// What it takes itself, in bytes.
    pub bytes: u64,
    /// Whether it is no object: it fills a gap.
    pub free: bool,
}

impl NearRow {
    pub(super) fn of(object: &NearObject) -> NearRow {
        let NearObject { address, table, bytes, name, is_free } = object;
        NearRow { address: *address, type_name: name.clone().ok(), id: *table, bytes: *bytes, free: *is_free }
    }
}

/// `System.Object at 0x7f10 of 24 B`.
pub(super) fn object_cells(object: &NearRow) -> Vec<Cell> {
    let dim = |text: &str| Cell::text(text).tone(Tone::Dim);
    let name = match &object.type_name {
        _ if object.free => dim("free space"),
        Some(name) => Cell::new(Value::Type(Arc::clone(name))).tone(Tone::Strong),
        None => Cell::unknown("its type cannot be read"),
    };
    vec![name, dim("at"), Cell::new(Value::Object(object.address)), dim("of"), Cell::new(Value::Bytes(object.bytes))]
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let missing = || Error::Usage("listnearobj takes an address".to_owned());
    let address = query.address("address").ok_or_else(missing)?;
    let near = with(session, job, |runtime| runtime.near(address, job))?;
    let row = |object: &Option<NearObject>| object.as_ref().map(NearRow::of);
    let (before, current, next) = (row(&near.before), row(&near.holding), row(&near.next));
    let data = ListNearObj { address, before, current, next, broken: near.gap.map(|gap| gap.to_string()) };
    Ok(Box::new(Answered { data, problems: Vec::new() }))
}

impl Draw for ListNearObj {
    fn draw(&self) -> Section {
        let field = |label: &str, object: &Option<NearRow>| {
            let row = match object {
                Some(object) => Row::about(Subject::Object(object.address), object_cells(object)),
                None => Row::new(vec![Cell::text("none").tone(Tone::Dim)]),
            };
            (label.to_owned(), row)
        };
        let fields = vec![field("Before", &self.before), field("Current", &self.current), field("Next", &self.next)];
        let said = match &self.broken {
            None => Row::text("The heap is sound here: each of them ends where the next one begins."),
            Some(why) => Row::new(vec![
                Cell::text("There may be others between them:").tone(Tone::Guess),
                Cell::text(why.as_str()).tone(Tone::Guess),
            ]),
        };
        Section { bodies: vec![Body::Fields(fields), Body::Lines(vec![said])], ..Section::default() }
    }
}
