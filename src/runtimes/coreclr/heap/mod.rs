//! The heap of the collector: its segments, and the objects in them.
//!
//! Input: the runtime's variables. Output: [`Segment`]s, walked object by object. Specification: dotnet/runtime
//! docs/design/datacontracts/GC.md; src/coreclr/gc/gcinterface.dacvars.def, dac_generation_fields.h, dac_gcheap_fields.h.

mod graph;
mod near;
mod oom;
mod pattern;
mod recent;
mod references;
mod segment;
mod segments;
mod sizes;
mod source;
mod unsearched;
mod variables;
mod verify;
mod verify_object;
mod walk;
mod walked;
mod words;

pub use self::near::{Near, NearObject};
pub use self::oom::FailedAllocation;
pub(super) use self::oom::failed;
pub(super) use self::pattern::Pattern;
pub use self::segment::{Generation, Segment};
pub(super) use self::segments::Segments;
pub use self::sizes::{BySize, Sizes};
pub(super) use self::source::ManagedHeap;
pub(super) use self::unsearched::Unsearched;
pub(super) use self::variables::Variables;
pub(super) use self::walk::Broken;
pub(super) use self::walked::Walked;
