//! `dumparray`: an array of .NET from one element on.

use schemars::JsonSchema;
use serde::Serialize;

use super::with;
use crate::job::Job;
use crate::report::section::{Body, Cell, Row, Section, Value};
use crate::session::Session;
use crate::session::coreclr::OpenedValue;
use crate::shape;
use crate::views::arguments::{Arg, Arity, Kind};
use crate::views::dumpobj::Object;
use crate::views::{Answered, Answers, Draw, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "dumparray",
    aliases: &[],
    needs: Needs::Process,
    home_of: &[],
    args: &[
        Arg::Operand("address", Kind::Address, Arity::One, "the array"),
        Arg::Value("start", Kind::Count, "the first element, from 0"),
        Arg::Value("length", Kind::Count, "how many, 2000 at most"),
        Arg::Flag("details", "with the fields of each element"),
        Arg::Flag("nofields", "without them"),
    ],
    pane: None,
    doc: "An array of .NET: its dimensions, its elements from one on",
    help: "Of an array of several dimensions each element stands with its indexes, the last of which runs fastest; they begin where the array does.

$ dumpscope shop.core -c 'dumparray 0x7f8f1fc09ab0'
Address     0x7f8f1fc09ab0
Type        System.Int32[,]
Bytes       64 B
Dimensions  2 × 3
Elements    6
Element  Type          Value
[0,0]    System.Int32  1
[0,1]    System.Int32  2",
    build,
    schema: shape!(DumpArray),
};

/// An array.
#[derive(Serialize, JsonSchema)]
pub struct DumpArray {
    /// The array, with the elements that were asked for.
    #[serde(flatten)]
    pub array: Object,
    /// How many elements it has.
    pub length: u64,
    /// Position of the first that is listed, from 0.
    pub start: u64,
    /// Its dimensions.
    pub dimensions: Vec<Dimension>,
    /// With `-details` each element's own parts: the object that it refers to, or the structure that it is.
    pub details: Vec<Object>,
}

/// A dimension of an array.
#[derive(Serialize, JsonSchema)]
pub struct Dimension {
    /// How many elements it has.
    pub length: u32,
    /// The index of the first.
    pub lower_bound: i32,
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let address = query.address("address").unwrap_or_default();
    let start = query.number("start").unwrap_or(0);
    let with_details = query.flag("details") && !query.flag("nofields");
    let opened = with(session, job, |runtime| runtime.array(address, start, query.number("length"), with_details))?;
    let mut array = object(opened.array);
    array.first_element = usize::try_from(start.min(opened.len)).unwrap_or(0);
    let dimension = |(length, lower_bound)| Dimension { length, lower_bound };
    let data = DumpArray {
        array,
        length: opened.len,
        start,
        dimensions: opened.bounds.into_iter().map(dimension).collect(),
        details: opened.details.into_iter().map(object).collect(),
    };
    Ok(Box::new(Answered { data, problems: Vec::new() }))
}

/// A value as `dumpobj` tells it.
pub(super) fn object(value: OpenedValue) -> Object {
    let of_type = value.name.ok().map(|name| (name.to_string(), value.table));
    Object::with(value.address, of_type, value.bytes, value.contents)
}

impl Draw for DumpArray {
    fn draw(&self) -> Section {
        let mut section = self.array.draw();
        let dimension = |dimension: &Dimension| match dimension.lower_bound {
            0 => dimension.length.to_string(),
            first => format!("{} from {first}", dimension.length),
        };
        let dimensions: Vec<String> = self.dimensions.iter().map(dimension).collect();
        let fields = vec![
            ("Dimensions".to_owned(), Row::new(vec![Cell::text(dimensions.join(" × "))])),
            ("Elements".to_owned(), Row::new(vec![Cell::new(Value::Count(self.length))])),
        ];
        match section.bodies.first_mut() {
            Some(Body::Fields(first)) => first.extend(fields),
            _ => section.bodies.insert(0, Body::Fields(fields)),
        }
        section.bodies.extend(self.details.iter().flat_map(|detail| detail.draw().bodies));
        section
    }
}
