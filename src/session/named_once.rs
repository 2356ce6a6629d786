//! Names for many stacks, of which most are equal: the threads of a pool wait in the same place.

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::error::Error;
use crate::model::{Addr, Frame, FrameKind, NamedFrame, Trust};

/// What a frame's names depend on.
type Key = (Addr, bool, FrameKind, Trust, Addr);

/// The named frames of each distinct stack. Equal stacks share them: their stack pointers are those of one of the threads.
pub(super) struct NamedOnce {
    named: Vec<Vec<NamedFrame>>,
    /// Which of `named` each stack has.
    of: Vec<usize>,
}

impl NamedOnce {
    /// Names each distinct stack with `name`, in parallel.
    pub(super) fn new(
        stacks: &[&[Frame]],
        name: impl Fn(&[Frame]) -> Result<Vec<NamedFrame>, Error> + Sync,
    ) -> Result<NamedOnce, Error> {
        let mut distinct: Vec<&[Frame]> = Vec::new();
        let mut known: FxHashMap<Vec<Key>, usize> = FxHashMap::default();
        let of = stacks.iter().map(|frames| {
            // An interpreter runs many functions at one place: which one it is may stand in the frame.
            let own = |frame: &Frame| if frame.kind == FrameKind::Managed { frame.sp } else { Addr(0) };
            let key =
                frames.iter().map(|frame| (frame.pc, frame.returns, frame.kind, frame.trust, own(frame))).collect();
            *known.entry(key).or_insert_with(|| {
                distinct.push(frames);
                distinct.len().saturating_sub(1)
            })
        });
        let of = of.collect();
        let named = distinct.par_iter().map(|frames| name(frames)).collect::<Result<_, Error>>()?;
        Ok(NamedOnce { named, of })
    }

    /// The named frames of the stack at `index`.
    pub(super) fn of(&self, index: usize) -> &[NamedFrame] {
        self.of.get(index).and_then(|index| self.named.get(*index)).map(Vec::as_slice).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn frame(pc: u64, sp: u64) -> Frame {
        Frame { pc: Addr(pc), returns: true, sp: Addr(sp), cfa: None, kind: FrameKind::Native, trust: Trust::Cfi }
    }

    fn unnamed(frame: &Frame) -> NamedFrame {
        let Frame { pc, sp, kind, trust, .. } = *frame;
        let (module, function, file, offset, line) = (None, None, None, None, None);
        NamedFrame {
            index: 0,
            pc,
            sp,
            kind,
            trust,
            module,
            function,
            offset,
            file,
            line,
            approximate: false,
            own: true,
            walked: 0,
            part: None,
        }
    }

    #[test]
    fn equal_stacks_are_named_once() {
        let one = [frame(1, 0x10), frame(2, 0x20)];
        let same = [frame(1, 0x110), frame(2, 0x120)];
        let other = [frame(1, 0x210)];
        let calls = AtomicUsize::new(0);
        let named = NamedOnce::new(&[&one, &other, &same], |frames| {
            calls.fetch_add(1, Ordering::Relaxed);
            Ok(frames.iter().map(unnamed).collect())
        });
        let named = named.unwrap();
        assert_eq!(calls.into_inner(), 2);
        assert_eq!([0, 1, 2, 3].map(|index| named.of(index).len()), [2, 1, 2, 0]);
    }
}
