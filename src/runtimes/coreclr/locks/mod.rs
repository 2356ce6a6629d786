//! Locks of .NET: what threads wait for, who has it.
//!
//! Input: the runtime's threads, its table of SyncBlocks, objects of the heap. Output: [`Lock`](crate::model::Lock)s. What is waited for is
//! what threads say of it; owners are recorded by the locks themselves.

mod blocking;
mod evidence;
mod headers;
mod held;
mod holders;
pub mod kinds;
mod names;
mod sync_blocks;
mod wait;
mod waits;

pub use self::sync_blocks::{State, SyncBlock, SyncBlocks};

pub(super) use self::held::held;
pub(super) use self::holders::Holders;
pub(super) use self::waits::Waits;
