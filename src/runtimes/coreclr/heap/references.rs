//! Where the objects of a class hold references, as the runtime records it.
//!
//! Input: a class. Output: a [`Pattern`]. Specification: dotnet/runtime
//! src/coreclr/gc/gcdesc.h: before each method table stand runs of references, counted from its end.

use std::sync::Arc;

use super::pattern::Pattern;
use crate::capture::Memory;
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::plus;
use crate::runtimes::coreclr::types::Types;

/// Most runs of one class.
const MAX_RUNS: u64 = 1 << 16;
const WORD: u64 = 8;

impl Types<'_> {
    /// Where the objects of a class hold references; `Ok(None)` where they hold none.
    pub(in crate::runtimes::coreclr) fn pattern(self, table: Addr) -> Known<Option<Arc<Pattern>>> {
        self.classes.patterns.get(table, || {
            let has_any = self.class(table)?.has_references;
            if has_any { pattern(self.clr.memory(), table).map(|pattern| Some(Arc::new(pattern))) } else { Ok(None) }
        })
    }
}

fn pattern(memory: &Memory, table: Addr) -> Known<Pattern> {
    let before = |bytes: u64| table.minus(bytes).ok_or_else(|| Gap::Corrupt(format!("references of {table}")));
    let count = memory.u64(before(WORD)?)?.cast_signed();
    if count.unsigned_abs() > MAX_RUNS {
        return Err(Gap::Corrupt(format!("{count} runs of references of {table}")));
    }
    if count >= 0 {
        let run = |index: u64| {
            let at = before(index.saturating_mul(16).saturating_add(WORD))?;
            Ok((memory.u64(plus(at, WORD)?)?, memory.u64(at)?.cast_signed()))
        };
        return (1..=count.unsigned_abs()).map(run).collect::<Known<Vec<_>>>().map(Pattern::Runs);
    }
    let part = |index: u64| {
        let at = before(index.saturating_mul(WORD).saturating_add(24))?;
        Ok((memory.u32(at)?, memory.u32(plus(at, 4)?)?))
    };
    let parts = (0..count.unsigned_abs()).map(part).collect::<Known<Vec<_>>>()?;
    Ok(Pattern::Repeated { first: memory.u64(before(16)?)?, parts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_tells_its_runs_before_its_method_table() {
        // Source: gcdesc.h: the number of runs, before it each run's length and offset.
        let memory = Memory::of(0x100, &[(-32i64).cast_unsigned(), 24, (-24i64).cast_unsigned(), 8, 2]);
        assert_eq!(pattern(&memory, Addr(0x128)), Ok(Pattern::Runs(vec![(8, -24), (24, -32)])));
        let memory = Memory::of(0x100, &[8 << 32 | 1, 16 << 32 | 2, 16, (-2i64).cast_unsigned()]);
        let expected = Pattern::Repeated { first: 16, parts: vec![(2, 16), (1, 8)] };
        assert_eq!(pattern(&memory, Addr(0x120)), Ok(expected));
        assert!(pattern(&Memory::of(0x100, &[1 << 40]), Addr(0x108)).is_err());
    }
}
