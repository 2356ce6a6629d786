//! Locks of .NET: what threads wait for, who has it.
//!
//! Input: the runtime's threads, its table of SyncBlocks, objects of the heap. Output: [`Lock`](crate::model::Lock)s. What is waited for is
//! what threads say of it; owners are recorded by the locks themselves.

mod around;
mod blocking;
mod constructors;
mod evidence;
mod headers;
mod held;
mod holders;
mod holding;
pub mod kinds;
mod lock;
mod names;
mod native_mutex;
mod owners;
mod readers;
mod recognise;
mod stack;
mod sync_blocks;
mod wait;
mod waits;

pub(super) use self::sync_blocks::{HeaderFault, header_fault};
pub use self::sync_blocks::{State, SyncBlock, SyncBlocks};

pub(super) use self::waits::Waits;

#[cfg(test)]
mod tests;
