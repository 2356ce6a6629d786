//! A lock with who has it.

use super::holders::Held;
use crate::model::{Addr, Lock, LockKind};

/// A lock without waiters.
pub(in crate::runtimes::coreclr) fn lock(kind: LockKind, address: Addr, held: Held, name: Option<&str>) -> Lock {
    Lock {
        address,
        kind,
        name: Ok(name.map(str::to_owned)),
        owner: held.owner,
        recursion: held.recursion,
        readers: held.readers,
        read_by: held.read_by,
        waiters: Vec::new(),
        evidence: held.evidence,
        inferred_waiters: Vec::new(),
        absent: held.absent,
        limits: Vec::new(),
    }
}
