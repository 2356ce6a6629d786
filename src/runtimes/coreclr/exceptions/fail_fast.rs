//! What `Environment.FailFast` was given, which the runtime prints and keeps nowhere.
//!
//! Input: a thread that has called it, by its frames (since .NET 9) or by what the runtime records of the call (8), with its stack. Output: its
//! arguments, by the native frame that keeps them beside each other for the collector: text, exception, source of the error. Where they are not
//! found so, the first text that its innermost frames refer to: native code, then those of `Environment.FailFast` itself. Source: dotnet/runtime
//! src/coreclr/classlibnative/bcltype/system.cpp, GenericFailFast, of 8.0 to 10.0; seen on 8.0.33, 9.0.22 and 10.0.14.

use super::super::frames;
use super::super::methods::Methods;
use super::super::objects;
use super::super::threads::ManagedThread;
use super::kinds::is_exception;
use crate::model::{Addr, FrameKind, Gap, Known, NamedFrame, Stack};

/// Bytes of stack that are looked at.
const MAX_STACK: u64 = 256 << 10;
/// Records of calls that are looked at, the innermost first.
const MAX_CALLS: usize = 16;
const OWN: &str = "System.Environment.FailFast";

/// What it was given.
pub(super) struct Arguments {
    /// The text; `Ok(None)` where it was given none.
    pub(super) message: Known<Option<String>>,
    /// The exception; `None` where it was given none, or that is not known.
    pub(super) exception: Option<Addr>,
}

/// What it was given; `None` where the thread has not called it.
pub(super) fn arguments(
    methods: &Methods,
    thread: &ManagedThread,
    stack: &Stack,
    named: &[NamedFrame],
) -> Option<Arguments> {
    let clr = &methods.clr;
    let managed = named.iter().position(|frame| frame.kind == FrameKind::Managed)?;
    let first = named.get(managed)?;
    let is_native = || {
        let mut inner =
            frames::chain(clr, thread.address, MAX_CALLS).into_iter().take_while(|record| *record < first.sp);
        inner.any(|record| {
            let method = clr.ptr(record, "Frame", "Method").ok().and_then(|method| methods.name(method));
            method.is_some_and(|method| method.name.starts_with(OWN))
        })
    };
    if !is_own(first) && !is_native() {
        return None;
    }
    let words = |from: Addr, to: Addr| -> Vec<Addr> {
        let bytes = clr.memory().slice_up_to(from, to.since(from).unwrap_or(0).min(MAX_STACK));
        bytes.map(|bytes| clr.memory().pointers(bytes).collect()).unwrap_or_default()
    };
    let strings = clr.global("StringMethodTable");
    let is_string = |at: &Addr| at.is_aligned(8) && strings.is_ok() && clr.ptr(*at, "Object", "m_pMethTab") == strings;
    let is_thrown = |at: &Addr| at.is_aligned(8) && is_exception(clr, *at) == Ok(true);
    let native = stack.frames.first().map(|innermost| words(innermost.sp, first.sp)).unwrap_or_default();
    let together = native.windows(3).find_map(|words| {
        let [text, thrown, source] = words else { return None };
        let fits = is_string(text) && (thrown.0 == 0 || is_thrown(thrown)) && (source.0 == 0 || is_string(source));
        fits.then_some((*text, *thrown))
    });
    if let Some((text, thrown)) = together.filter(|_| !is_own(first)) {
        let message = objects::string(clr, text).map(|text| Some(text).filter(|text| !text.is_empty()));
        return Some(Arguments { message, exception: Some(thrown).filter(|thrown| thrown.0 != 0) });
    }
    let (takes_exception, managed) = match end(named) {
        Some((outermost, end)) => (outermost.contains("System.Exception"), words(first.sp, end)),
        None => (false, Vec::new()),
    };
    let texts =
        native.iter().chain(&managed).filter(|at| is_string(at)).filter_map(|at| objects::string(clr, *at).ok());
    let not_found = || Gap::NotRecorded("the runtime prints the text, and keeps it nowhere".to_owned());
    Some(Arguments {
        message: texts.into_iter().find(|text| !text.is_empty()).map(Some).ok_or_else(not_found),
        exception: managed.iter().find(|at| takes_exception && is_thrown(at)).copied(),
    })
}

fn is_own(frame: &NamedFrame) -> bool {
    frame.function.as_deref().and_then(|name| name.strip_prefix(OWN)).is_some_and(|rest| rest.starts_with('('))
}

/// The outermost of its own frames, as it is called, and where these end; of .NET 8 there are none.
fn end(named: &[NamedFrame]) -> Option<(&str, Addr)> {
    let first = named.iter().position(|frame| frame.kind == FrameKind::Managed)?;
    let own = named.iter().skip(first).take_while(|frame| is_own(frame)).count();
    let end = first.checked_add(own)?;
    let outermost = named.get(end.checked_sub(1)?).and_then(|frame| frame.function.as_deref());
    Some((outermost.unwrap_or_default(), named.get(end)?.sp))
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
        const OUTER: &str = "System.Environment.FailFast(System.String)";
        let native = frame(0x7000, FrameKind::Native, None);
        let own = |sp, name| frame(sp, FrameKind::Managed, Some(name));
        let shop = frame(0x7300, FrameKind::Managed, Some("Shop.Program.Main()"));
        let inner = own(0x7100, "System.Environment.FailFast(System.String, System.Exception, System.String)");
        assert_eq!(end(&[native.clone(), inner, own(0x7200, OUTER), shop.clone()]), Some((OUTER, Addr(0x7300))));
        // Of .NET 8 there are none of its own.
        assert_eq!(end(&[native.clone(), shop]), Some(("", Addr(0x7300))));
        assert_eq!(end(&[native, own(0x7100, OUTER)]), None);
        assert_eq!(end(&[]), None);
    }
}
