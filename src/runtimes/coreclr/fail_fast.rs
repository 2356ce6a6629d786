//! The text that `Environment.FailFast` was given, which the runtime prints and keeps nowhere.
//!
//! Input: the stack of the thread that called it. Output: the first text that its innermost frames refer to: native code, then those of
//! `Environment.FailFast` itself. Measured on 8.0.33, where that is native code alone, 9.0.22 and 10.0.14.

use super::methods::Methods;
use super::objects;
use crate::model::{Addr, FrameKind, NamedFrame, Stack};

/// Bytes of stack that are looked at.
const MAX_STACK: u64 = 256 << 10;
const OWN: &str = "System.Environment.FailFast(";

/// The text; `None` where the frames refer to none.
pub(super) fn text(methods: &Methods, stack: &Stack, named: &[NamedFrame]) -> Option<String> {
    let clr = &methods.clr;
    let table = clr.global("StringMethodTable").ok()?;
    let (from, to) = (stack.frames.first()?.sp, end(named)?);
    let bytes = clr.memory().slice_up_to(from, to.since(from)?.min(MAX_STACK)).ok()?;
    let (words, _) = bytes.as_chunks::<8>();
    let objects = words.iter().map(|word| Addr(u64::from_le_bytes(*word))).filter(|word| word.is_aligned(8));
    let mut texts = objects.filter(|object| clr.ptr(*object, "Object", "m_pMethTab") == Ok(table));
    texts.find_map(|object| objects::string(clr, object).ok().filter(|text| !text.is_empty()))
}

/// Where the frames end that have to do with it.
fn end(named: &[NamedFrame]) -> Option<Addr> {
    let first = named.iter().position(|frame| frame.kind == FrameKind::Managed)?;
    let is_own = |frame: &&NamedFrame| frame.function.as_deref().is_some_and(|name| name.starts_with(OWN));
    let own = named.iter().skip(first).take_while(is_own).count();
    named.get(first.checked_add(own)?).map(|frame| frame.sp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Trust;

    fn frame(sp: u64, kind: FrameKind, function: Option<&str>) -> NamedFrame {
        NamedFrame {
            index: 0,
            pc: Addr(0x1000),
            sp: Addr(sp),
            kind,
            trust: Trust::Runtime,
            module: None,
            function: function.map(Into::into),
            offset: None,
            file: None,
            line: None,
            approximate: false,
            own: false,
            walked: 0,
            part: None,
        }
    }

    #[test]
    fn its_own_frames_and_those_that_it_calls_are_searched() {
        let native = frame(0x7000, FrameKind::Native, None);
        let own = |sp| frame(sp, FrameKind::Managed, Some("System.Environment.FailFast(System.String)"));
        let shop = frame(0x7300, FrameKind::Managed, Some("Shop.Program.Main()"));
        assert_eq!(end(&[native.clone(), own(0x7100), own(0x7200), shop.clone()]), Some(Addr(0x7300)));
        // Of .NET 8 there are none of its own.
        assert_eq!(end(&[native.clone(), shop]), Some(Addr(0x7300)));
        assert_eq!(end(&[native, own(0x7100)]), None);
        assert_eq!(end(&[]), None);
    }
}
