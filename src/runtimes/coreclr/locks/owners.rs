//! Who has a lock that is an object of a class of .NET's: what its fields record.
//!
//! Source of the fields: dotnet/runtime src/libraries/System.Private.CoreLib/src/System/Threading/{Lock,ReaderWriterLockSlim}.cs and
//! src/libraries/System.Threading/src/System/Threading/ReaderWriterLock.cs of 8.0 to 10.0.

use super::evidence;
use super::holders::{Held, Holders};
use super::native_mutex::Owned;
use super::readers::{Readers, count};
use crate::model::{Evidence, Gap, Known};
use crate::runtimes::coreclr::objects::Instance;

/// Who has a `System.Threading.Lock`.
pub(in crate::runtimes::coreclr) fn of_lock(lock: &Instance<'_>, holders: &Holders<'_>) -> Known<Held> {
    const LOCKED: u32 = 1;
    if lock.u32("_state")? & LOCKED == 0 {
        return Ok(Held::free(Evidence::OWNER_FIELD));
    }
    let owner = lock.u32("_owningThreadId")?;
    if owner == 0 {
        return Err(Gap::NotRecorded("somebody was about to take it, or to give it back".to_owned()));
    }
    let recursion = lock.u32("_recursionCount")?.saturating_add(1);
    Ok(holders.by_tid(owner, recursion, Evidence::OWNER_FIELD))
}

/// Who has a `ReaderWriterLockSlim`: the writer, else who may become it, else readers.
pub(in crate::runtimes::coreclr) fn of_slim(
    lock: &Instance<'_>,
    holders: &Holders<'_>,
    readers: &Readers,
) -> Known<(Held, u32)> {
    // Source: ReaderWriterLockSlim.cs, WRITER_HELD, READER_MASK, and ids that are -1 where there is no such.
    const WRITER: u32 = 0x8000_0000;
    const READERS: u32 = 0x0fff_ffff;
    let owners = lock.u32("_owners")?;
    let (writer, upgrader) = (lock.i32("_writeLockOwnerId")?, lock.i32("_upgradeLockOwnerId")?);
    // Who may become a writer counts as a reader.
    let reading = if owners & WRITER != 0 { 0 } else { owners & READERS };
    let reading = reading.saturating_sub(u32::from(upgrader != -1));
    let owner = [writer, upgrader].into_iter().find_map(|id| u32::try_from(id).ok());
    let held = match owner {
        Some(id) => {
            let holder = holders.of_id(id);
            // Who may take it once alone keeps no count.
            let is_counted = lock.u8("_fIsReentrant")? != 0;
            let times = if is_counted { readers.times(lock.u64("_lockID")?, id) } else { Some(1) };
            holders.by_thread(holder, times, evidence::WRITER_ID)
        }
        None if reading > 0 => held_by_readers(),
        None => Held::free(evidence::WRITER_ID),
    };
    Ok((held, reading))
}

/// Who has a `ReaderWriterLock`: its writer, else readers.
pub(in crate::runtimes::coreclr) fn of_old(lock: &Instance<'_>, holders: &Holders<'_>) -> Known<(Held, u32)> {
    // Source: ReaderWriterLock.cs, LockStates: readers in the low 10 bits.
    const READERS: u32 = 0x3ff;
    let reading = lock.u32("_state")? & READERS;
    let held = match u32::try_from(lock.i32("_writerID")?) {
        Ok(id) => holders.by_thread(holders.of_id(id), Some(count(lock, "_writerLevel")?), evidence::WRITER_ID),
        Err(_) if reading > 0 => held_by_readers(),
        Err(_) => Held::free(evidence::WRITER_ID),
    };
    Ok((held, reading))
}

/// Who has a `Mutex`: what the runtime keeps of it beside the object was found, or not, while a thread waits.
pub(in crate::runtimes::coreclr) fn of_mutex(owned: Option<&Known<Owned>>, holders: &Holders<'_>) -> Held {
    match owned {
        Some(Ok(Owned { count: 0, .. })) => Held::free(evidence::MUTEX_RECORD),
        Some(Ok(Owned { tid, count })) => holders.by_tid(*tid, *count, evidence::MUTEX_RECORD),
        Some(Err(gap)) => Held::unknown(gap.clone()),
        None => Held::unknown(Gap::NotRecorded(
            "the object does not say who has it, the runtime keeps that in native memory".to_owned(),
        )),
    }
}

/// Readers have it; who they are is told apart from the owner.
fn held_by_readers() -> Held {
    Held { evidence: evidence::READER_LISTS, ..Held::unknown(Gap::NotRecorded("readers have it".to_owned())) }
}
