//! What says who holds a lock of .NET.

use crate::model::Evidence;

/// The object's SyncBlock has its owner.
pub(in crate::runtimes::coreclr) const SYNC_BLOCK: Evidence = Evidence::recorded("sync-block");
/// The object's header has its owner: a thin lock.
pub(in crate::runtimes::coreclr) const OBJECT_HEADER: Evidence = Evidence::recorded("object-header");
