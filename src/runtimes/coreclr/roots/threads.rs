//! What threads hold beside their stacks: static fields of their own, and what the runtime's own code protects.

use rustc_hash::FxHashSet;

use super::held::Held;
use crate::heap::{Root, RootKind};
use crate::model::{Addr, Gap, Known, Tid};
use crate::runtimes::coreclr::clr::{Clr, plus};

/// Most records of one thread, and most references of one record.
const MAX_RECORDS: usize = 1 << 12;
const MAX_REFERENCES: u32 = 1 << 16;

/// What these threads hold: each with its structure and its OS id.
pub(in crate::runtimes::coreclr) fn of_threads(clr: &Clr, threads: &[(Addr, Option<Tid>)]) -> (Vec<Held>, Option<Gap>) {
    let (mut all, mut first) = (Vec::new(), None);
    for (thread, tid) in threads {
        for told in [statics(clr, *thread, *tid, &mut all), protected(clr, *thread, *tid, &mut all)] {
            if let Err(gap) = told {
                first.get_or_insert(gap);
            }
        }
    }
    (all, first)
}

/// Since .NET 9 an array of them; before, handles hold them.
fn statics(clr: &Clr, thread: Addr, tid: Option<Tid>, all: &mut Vec<Held>) -> Known<()> {
    if clr.layout.offset("Thread", "ThreadLocalDataPtr").is_err() {
        return Ok(());
    }
    let data = clr.ptr(thread, "Thread", "ThreadLocalDataPtr")?;
    if data.0 == 0 {
        return Ok(());
    }
    let at = clr.at(data, "ThreadLocalData", "NonCollectibleTlsArrayData")?;
    let object = clr.memory().ptr(at)?;
    if object.0 != 0 {
        all.push(Held { root: Root { kind: RootKind::ThreadLocal, at: Some(at), tid }, object });
    }
    Ok(())
}

/// The chain of what native code of the runtime protects while it runs.
fn protected(clr: &Clr, thread: Addr, tid: Option<Tid>, all: &mut Vec<Held>) -> Known<()> {
    // Source: dotnet/runtime src/coreclr/vm/frames.h, class GCFrame: next, thread, references, their number, whether they point into objects.
    let mut seen = FxHashSet::default();
    let mut next = clr.ptr(thread, "Thread", "GCFrame")?;
    while next.0 != 0 && next.0 != u64::MAX && seen.len() < MAX_RECORDS && seen.insert(next) {
        // The last of .NET 8 and 9 is a record of another kind.
        if clr.memory().ptr(plus(next, 8)?)? != thread {
            break;
        }
        let references = clr.memory().ptr(plus(next, 16)?)?;
        let count = clr.memory().u32(plus(next, 24)?)?.min(MAX_REFERENCES);
        for index in 0..u64::from(count) {
            let at = plus(references, index.saturating_mul(8))?;
            let object = clr.memory().ptr(at)?;
            if object.0 != 0 {
                all.push(Held { root: Root { kind: RootKind::Stack, at: Some(at), tid }, object });
            }
        }
        next = clr.memory().ptr(next)?;
    }
    Ok(())
}
