//! Which kind a record is.
//!
//! Since .NET 10 a record begins with the number of its kind, which the runtime's description tells. Before, it begins with the address of a
//! virtual table, of which no description tells the kind: there each way to read it is tried, and what it gives is held against the stack.

use super::super::clr::Clr;
use crate::model::{Addr, Gap, Known};

/// How a record leads to managed code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `HelperMethodFrame` of .NET 8 and 9: a call into the runtime.
    Helper,
    /// `InlinedCallFrame`: a call of P/Invoke.
    Inlined,
    /// A stub that saved a `TransitionBlock`.
    Block,
    /// `FaultingExceptionFrame`: a fault of the processor.
    Faulting,
    /// `SoftwareExceptionFrame` of .NET 10: code that throws.
    Software,
    /// `ResumableFrame` and what derives from it: a thread that was stopped.
    Resumable,
}

/// Kinds by the names of their numbers, without `FrameIdentifier`. Source: dotnet/runtime 10.0, src/coreclr/vm/FrameTypes.h.
const NUMBERED: [(&str, Kind); 11] = [
    ("InlinedCall", Kind::Inlined),
    ("Resumable", Kind::Resumable),
    ("RedirectedThread", Kind::Resumable),
    ("FaultingException", Kind::Faulting),
    ("SoftwareException", Kind::Software),
    ("PInvokeCalli", Kind::Block),
    ("PrestubMethod", Kind::Block),
    ("CallCountingHelper", Kind::Block),
    ("StubDispatch", Kind::Block),
    ("ExternalMethod", Kind::Block),
    ("DynamicHelper", Kind::Block),
];
/// Those of .NET 8 and 9, each before those that it could be taken for.
const UNNUMBERED: [Kind; 5] = [Kind::Helper, Kind::Inlined, Kind::Block, Kind::Faulting, Kind::Resumable];
/// A record begins with no address below this.
const MAX_NUMBER: u64 = 0x1000;

/// What a record may be; nothing where it is of a kind that leads nowhere.
pub(super) fn of(clr: &Clr, frame: Addr) -> Known<Vec<Kind>> {
    let first = clr.memory().ptr(frame)?;
    if first.0 < MAX_NUMBER {
        let is_it = |name: &str| clr.layout.value(&format!("{name}FrameIdentifier")) == Some(first.0);
        return Ok(NUMBERED.iter().filter(|(name, _)| is_it(name)).map(|(_, kind)| *kind).collect());
    }
    // The tables are the runtime's own.
    if clr.target.module_at(first).map(|module| module.index) != Some(clr.module) {
        return Err(Gap::Corrupt(format!("a record of the runtime at {frame}")));
    }
    Ok(UNNUMBERED.to_vec())
}
