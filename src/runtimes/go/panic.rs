//! The panics of a goroutine, the newest first, with what they say.

use crate::capture::Memory;
use crate::model::{Addr, Gap, Known};

use super::image::Image;
use super::text;

/// Panics of one goroutine that are told.
const MAX_PANICS: usize = 16;

// Source: Go src/runtime/runtime2.go, type _panic: argp, arg (type, data), link, then what differs; without argp since Go 1.25.
const WITH_ARGP: u64 = 8;
const LINK: u64 = 16;

/// One panic.
pub(super) struct Panic {
    /// The runtime's own record of it.
    pub at: Addr,
    /// What was given to `panic`, as Go prints it: errors and Stringers have been turned into texts by then.
    pub text: Known<String>,
}

/// The chain that begins at `newest`. A `Goexit` on its way, which carries no value, is left out.
pub(super) fn chain(memory: &Memory, image: &Image, newest: Addr) -> Vec<Panic> {
    let mut panics: Vec<Panic> = Vec::new();
    let mut next = Some(newest);
    while let Some(at) = next.filter(|at| at.0 != 0 && panics.iter().all(|known| known.at != *at)) {
        if panics.len() >= MAX_PANICS {
            break;
        }
        let Some(value) = value(memory, image, at) else {
            panics.push(Panic { at, text: Err(Gap::NoLayout(format!("the panic at {at}"))) });
            break;
        };
        panics.push(Panic { at, text: text::of_any(memory, image, value) });
        next = value.plus(LINK).and_then(|link| memory.ptr(link).ok());
    }
    panics
}

/// Where the value is: at the first place that holds a type.
fn value(memory: &Memory, image: &Image, at: Addr) -> Option<Addr> {
    let places = [at, at.plus(WITH_ARGP)?];
    places.into_iter().find(|place| memory.ptr(*place).is_ok_and(|kind| image.has_type(kind)))
}
