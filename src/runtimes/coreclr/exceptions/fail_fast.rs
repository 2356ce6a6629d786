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
use crate::capture::Memory;
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
    /// The exception; `Ok(None)` where it was given none.
    pub(super) exception: Known<Option<Addr>>,
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
    let strings = clr.global("StringMethodTable");
    let is_string = |at: &Addr| at.is_aligned(8) && strings.is_ok() && clr.ptr(*at, "Object", "m_pMethTab") == strings;
    let is_thrown = |at: &Addr| at.is_aligned(8) && is_exception(clr, *at) == Ok(true);
    let native = stack
        .frames
        .first()
        .map_or_else(|| Words::unread(no_frame()), |innermost| Words::read(clr.memory(), innermost.sp, first.sp));
    let together = native.all.windows(3).find_map(|words| {
        let [text, thrown, source] = words else { return None };
        let fits = is_string(text) && (thrown.0 == 0 || is_thrown(thrown)) && (source.0 == 0 || is_string(source));
        fits.then_some((*text, *thrown))
    });
    if let Some((text, thrown)) = together.filter(|_| !is_own(first)) {
        let message = objects::string(clr, text).map(|text| Some(text).filter(|text| !text.is_empty()));
        return Some(Arguments { message, exception: Ok(Some(thrown).filter(|thrown| thrown.0 != 0)) });
    }
    let end = end(named);
    let managed = end.map_or_else(|| Words::unread(no_frame()), |(_, end)| Words::read(clr.memory(), first.sp, end));
    // What was not looked at may have it.
    let mut unread = native.unread.clone().or_else(|| managed.unread.clone());
    let mut message = None;
    for text in native.all.iter().chain(&managed.all).filter(|at| is_string(at)) {
        match objects::string(clr, *text) {
            Ok(text) if message.is_none() && !text.is_empty() => message = Some(text),
            Ok(_) => {}
            Err(gap) => unread = unread.or(Some(gap)),
        }
    }
    let not_found = || Gap::NotRecorded("the runtime prints the text, and keeps it nowhere".to_owned());
    let exception = match end.filter(|(outermost, _)| !outermost.is_empty()) {
        Some((outermost, _)) if !outermost.contains("System.Exception") => Ok(None),
        _ => managed.all.iter().find(|at| is_thrown(at)).copied().map(Some).ok_or_else(|| {
            let not_found = || Gap::NotRecorded("which exception it was given".to_owned());
            managed.unread.clone().unwrap_or_else(not_found)
        }),
    };
    Some(Arguments { message: message.map(Some).ok_or_else(|| unread.unwrap_or_else(not_found)), exception })
}

fn no_frame() -> Gap {
    Gap::NotRecorded("where its frames are".to_owned())
}

/// Words of a part of a stack, and why some of them are missing.
#[derive(Debug, PartialEq, Eq)]
struct Words {
    all: Vec<Addr>,
    unread: Option<Gap>,
}

impl Words {
    fn unread(why: Gap) -> Words {
        Words { all: Vec::new(), unread: Some(why) }
    }

    fn read(memory: &Memory, from: Addr, to: Addr) -> Words {
        let Some(len) = to.since(from) else {
            return Words::unread(Gap::Corrupt(format!("a stack from {from} to {to}")));
        };
        if len == 0 {
            return Words { all: Vec::new(), unread: None };
        }
        let bytes = match memory.slice_up_to(from, len.min(MAX_STACK)) {
            Ok(bytes) => bytes,
            Err(why) => return Words::unread(why.into()),
        };
        let unread = match len.checked_sub(bytes.len() as u64) {
            None | Some(0) => None,
            _ if len > MAX_STACK => Some(Gap::Unsupported(format!("{len} bytes of stack, more than {MAX_STACK}"))),
            // The first that is missing tells the reason.
            _ => memory.slice(from, len).err().map(Gap::from),
        };
        Words { all: memory.pointers(bytes).collect(), unread }
    }
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
    fn a_part_of_a_stack_that_cannot_be_read_is_no_empty_one() {
        let memory = Memory::of(0x7000, &[1, 2, 3, 4]);
        let read = |from, to| Words::read(&memory, Addr(from), Addr(to));
        assert_eq!(read(0x7008, 0x7018), Words { all: vec![Addr(2), Addr(3)], unread: None });
        assert_eq!(read(0x7008, 0x7008), Words { all: Vec::new(), unread: None });
        let cut = read(0x7010, 0x7040);
        assert_eq!(cut.all, [Addr(3), Addr(4)]);
        assert!(matches!(cut.unread, Some(Gap::Unreadable(_))), "{cut:?}");
        let none = read(0x9000, 0x9010);
        assert!(none.all.is_empty() && matches!(none.unread, Some(Gap::Unreadable(_))), "{none:?}");
        let backwards = read(0x7010, 0x7008);
        assert!(backwards.all.is_empty() && matches!(backwards.unread, Some(Gap::Corrupt(_))), "{backwards:?}");
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
