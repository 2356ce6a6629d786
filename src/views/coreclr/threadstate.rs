//! `threadstate VALUE`: the bits of a state word of .NET's threads in words.

use schemars::JsonSchema;
use serde::Serialize;

use crate::error::Error;
use crate::job::Job;
use crate::report::section::{Body, Row, Section};
use crate::session::Session;
use crate::session::coreclr::words;
use crate::shape;
use crate::views::{Answered, Answers, Arg, Arity, Draw, Kind, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "threadstate",
    aliases: &[],
    needs: Needs::Process,
    home_of: &[],
    args: &[Arg::Operand(
        "value",
        Kind::Address,
        Arity::One,
        "a state word, hexadecimal, as SOS's clrthreads prints it",
    )],
    pane: None,
    doc: "A state word of .NET's threads, bit by bit",
    help: "'clrthreads' has the words already.

$ dumpscope shop.core -c 'threadstate 21220'
legal to join
background
CLR owns
fully initialized",
    build,
    schema: shape!(ThreadState),
};

/// A state word.
#[derive(Serialize, JsonSchema)]
pub struct ThreadState {
    /// The word.
    pub value: u32,
    /// Its bits in words.
    pub states: Vec<String>,
}

fn build(_: &Session, query: &Query, _: &Job) -> Answers {
    let given = query.address("value").map_or(0, |value| value.0);
    let value = u32::try_from(given).map_err(|_| Error::Usage("a state word has 32 bits".to_owned()))?;
    Ok(Box::new(Answered { data: ThreadState { value, states: words(value) }, problems: Vec::new() }))
}

impl Draw for ThreadState {
    fn draw(&self) -> Section {
        let rows = self.states.iter().map(|state| Row::text(state.as_str())).collect();
        Section { bodies: vec![Body::Lines(rows)], ..Section::default() }
    }
}
