//! `dumpvc`: a value of .NET that is no object of its own, such as a structure within one.

use super::dumparray::object;
use super::with;
use crate::job::Job;
use crate::session::Session;
use crate::shape;
use crate::views::arguments::{Arg, Arity, Kind};
use crate::views::dumpobj::Object;
use crate::views::{Answered, Answers, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "dumpvc",
    aliases: &[],
    needs: Needs::Process,
    home_of: &[],
    args: &[
        Arg::Operand("table", Kind::Address, Arity::One, "the method table of the value's type"),
        Arg::Operand("address", Kind::Address, Arity::One, "where the value is"),
    ],
    pane: None,
    doc: "A value type of .NET at an address: its fields, whatever it is part of",
    help: "'dumpobj' tells what structures within an object are made of; this one is for an address and a type that are known from elsewhere.

$ dumpscope shop.core -c 'dumpvc 0x7f9af5fd0588 0x7f8f1fc09c58'
Address  0x7f8f1fc09c58
Type     Museum.Point
Bytes    16 B
+  Name    Type           Value   Hex
8  .X      System.Int32   3       03 00 00 00
12 .Y      System.Int32   4       04 00 00 00
0  .Label  System.String  \"here\"  d0 1c 40 e6 0e 7f 00 00",
    build,
    schema: shape!(Object),
};

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let (table, at) = (query.address("table").unwrap_or_default(), query.address("address").unwrap_or_default());
    let value = with(session, job, |runtime| runtime.structure(table, at))?;
    Ok(Box::new(Answered { data: object(value), problems: Vec::new() }))
}
