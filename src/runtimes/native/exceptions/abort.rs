//! The text with which the C library aborted: heap corruption, stack smashing, a failed assertion.
//!
//! glibc leaves it in `__abort_msg` for debuggers. musl and libstdc++ only print theirs; a failed assertion's text is
//! then read from the constants that the caller passed.

use crate::capture::Role;
use crate::model::{Addr, Detail, ExceptionKind, Gap, Known, NamedFrame, SourcePlace, Stack};
use crate::target::{Module, Target};

use super::arguments;
use super::kinds;

/// `struct abort_msg_s { unsigned int size; char msg[]; }`, a page or more.
/// Source: glibc 2.36 include/stdlib.h.
const TEXT: u64 = 4;
/// Longest text that is read, in bytes.
const MAX_TEXT: u64 = 64 << 10;
/// Shortest text that is believed where no symbol leads to it.
const MIN_TEXT: usize = 8;
const PAGE: u64 = 4096;
/// Data of an executable that is searched for the variable.
const MAX_DATA: u64 = 4 << 20;
const MAX_REGIONS: usize = 4;
/// Longest name and condition of an assertion, in bytes.
const MAX_PART: u64 = 4 << 10;

/// What glibc wrote before it aborted, without the newline. `Ok(None)`: it wrote nothing.
pub(super) fn text(target: &Target) -> Known<Option<String>> {
    let known = target.lookup("__abort_msg", Some("libc.")).or_else(|| target.lookup("__abort_msg", None));
    let Some(variable) = known else {
        let unknown = if target.modules.iter().any(is_glibc) {
            Gap::NoSymbols("__abort_msg of libc.so.6".to_owned())
        } else {
            Gap::NotRecorded("this C library prints its texts and keeps none".to_owned())
        };
        return without_symbols(target).map(Some).ok_or(unknown);
    };
    let message = target.memory.ptr(variable)?;
    if message.0 == 0 {
        return Ok(None);
    }
    let size = u64::from(target.memory.u32(message)?);
    let from = message.plus(TEXT).ok_or_else(|| Gap::Corrupt(format!("__abort_msg points to {message}")))?;
    let bytes = target.memory.c_string(from, size.min(MAX_TEXT))?;
    let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// The text of a static executable without symbols: glibc maps pages for it, the first word of which is their size, and
/// keeps their address in a variable.
// Source: glibc 2.36 sysdeps/posix/libc_fatal.c, __libc_message.
fn without_symbols(target: &Target) -> Option<String> {
    let executable = target.modules.iter().find(|module| module.mapped.role == Role::Executable)?;
    let (base, end) = (executable.mapped.base, executable.mapped.end);
    let data = target.memory.regions().iter().filter(|region| {
        // Variables without initial values continue behind the file's last page.
        region.access.write && base <= region.start && region.start <= end
    });
    data.take(MAX_REGIONS).find_map(|region| {
        let bytes = target.memory.slice_up_to(region.start, region.end.since(region.start)?.min(MAX_DATA)).ok()?;
        target.memory.pointers(bytes).find_map(|page| text_page(target, page))
    })
}

fn text_page(target: &Target, page: Addr) -> Option<String> {
    if page.0 == 0 || !page.is_aligned(PAGE) {
        return None;
    }
    let size = u64::from(target.memory.u32(page).ok()?);
    if size == 0 || !size.is_multiple_of(PAGE) || size > MAX_TEXT {
        return None;
    }
    let text = String::from_utf8(target.memory.c_string(page.plus(TEXT)?, size).ok()?).ok()?;
    let line = text.strip_suffix('\n')?;
    (line.len() >= MIN_TEXT && !line.chars().any(char::is_control)).then(|| line.to_owned())
}

fn is_glibc(module: &Module) -> bool {
    module.file_name().is_some_and(|name| name.starts_with("libc.so.6") || name.starts_with("libc-2."))
}

/// A failed assertion.
pub(super) struct Assertion {
    pub expression: String,
    pub place: SourcePlace,
}

impl Assertion {
    pub(super) fn parts(self) -> (ExceptionKind, String, Detail) {
        let Assertion { expression, place } = self;
        let message = match &place.function {
            Some(function) => format!("`{expression}` failed at {place}, in {function}"),
            None => format!("`{expression}` failed at {place}"),
        };
        (kinds::ASSERTION, message, Detail::Assertion { expression, place })
    }
}

/// Takes glibc's text apart: `prog: file.c:53: void f(int): Assertion `x > 3' failed.`
// Source: glibc 2.36 assert/assert.c, __assert_fail: "%s%s%s:%u: %s%sAssertion `%s' failed.\n"; the program's name and
// the function may be missing.
pub(super) fn assertion(text: &str) -> Option<Assertion> {
    let (before, expression) = text.split_once("Assertion `")?;
    let expression = expression.strip_suffix("' failed.")?;
    // The line number is the first number between colons; names of programs and files may hold colons themselves.
    let mut from = 0;
    while let Some(colon) = before.get(from..)?.find(':') {
        let at = from.checked_add(colon)?;
        let rest = before.get(at.checked_add(1)?..)?;
        let digits = rest.split(':').next()?;
        if let (Ok(line), true) = (digits.parse::<u32>(), rest.get(digits.len()..)?.starts_with(": ")) {
            let head = before.get(..at)?;
            let file = head.split_once(": ").map_or(head, |(_, file)| file);
            let function = rest.get(digits.len()..)?.strip_prefix(": ")?.trim_end_matches(": ");
            let place = SourcePlace {
                file: file.to_owned(),
                line,
                column: None,
                function: Some(function.to_owned()).filter(|function| !function.is_empty()),
            };
            return Some(Assertion { expression: expression.to_owned(), place });
        }
        from = at.checked_add(1)?;
    }
    None
}

/// Functions that print a failed assertion, with the order of (condition, file, line, function) among their arguments.
// Sources: C11 assert.h as glibc 2.36 and musl 1.2.3 declare it, __assert_fail(expr, file, line, func) and
// __assert_fail(expr, file, line, func); libstdc++ 12 <bits/c++config.h>, __glibcxx_assert_fail(file, line, func, cond).
const ASSERTING: [(&str, [usize; 4]); 2] =
    [("__assert_fail", [0, 1, 2, 3]), ("_ZSt21__glibcxx_assert_failPKciS0_S0_", [3, 0, 1, 2])];
/// Innermost frames among which the asserting function is looked for.
const FRAMES: usize = 16;

/// A failed assertion by the constants that its caller passed.
pub(super) fn assertion_by_frames(target: &Target, stack: &Stack) -> Option<Assertion> {
    let names = stack.frames.iter().take(FRAMES).map(|frame| target.function(frame.lookup()));
    let (index, order) = names.enumerate().find_map(|(index, symbol)| {
        let name = symbol?.name;
        let (_, order) = ASSERTING.iter().find(|(asserting, _)| *asserting == &*name)?;
        Some((index, *order))
    })?;
    let caller = stack.frames.get(index.checked_add(1)?)?;
    let passed = arguments::constants(target, caller.pc)?;
    let [condition, file, line, function] = order.map(|position| passed.get(position).copied().flatten());
    let text = |at: Option<u64>| {
        let bytes = target.memory.c_string(Addr(at?), MAX_PART).ok()?;
        String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
    };
    let place = SourcePlace {
        file: text(file)?,
        line: u32::try_from(line? & 0xffff_ffff).ok()?,
        column: None,
        function: text(function),
    };
    Some(Assertion { expression: text(condition)?, place })
}

/// Functions that abort for one reason only, which they print and do not keep.
// Source: Rust 1.95 library/alloc/src/alloc.rs, handle_alloc_error.
const REASONS: [(&str, &str); 1] = [("alloc::alloc::handle_alloc_error", "memory allocation failed")];

/// Why a program aborted, by the functions that it did it in.
pub(super) fn reason(frames: &[NamedFrame]) -> Option<&'static str> {
    let mut names = frames.iter().take(FRAMES).filter_map(|frame| frame.function.as_deref());
    names.find_map(|name| REASONS.iter().find(|(function, _)| name.starts_with(function)).map(|(_, reason)| *reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(String, String, u32, Option<String>)> {
        let Assertion { expression, place } = assertion(text)?;
        Some((expression, place.file, place.line, place.function))
    }

    // Texts as glibc 2.36 printed them.

    #[test]
    fn an_assertion_gives_condition_file_line_and_function() {
        let text = "crash: crash.cpp:53: void checked(int): Assertion `n > 3 && \"must be big\"' failed.";
        let wanted = ("n > 3 && \"must be big\"".into(), "crash.cpp".into(), 53, Some("void checked(int)".into()));
        assert_eq!(parsed(text), Some(wanted));
    }

    #[test]
    fn colons_in_scopes_and_conditions_do_not_confuse_it() {
        let text = "a: /src/x.cpp:7: int ns::S::f(): Assertion `a ? b : c' failed.";
        assert_eq!(parsed(text), Some(("a ? b : c".into(), "/src/x.cpp".into(), 7, Some("int ns::S::f()".into()))));
        assert_eq!(parsed("x.c:1: Assertion `0' failed."), Some(("0".into(), "x.c".into(), 1, None)));
    }

    #[test]
    fn other_texts_are_no_assertions() {
        assert_eq!(parsed("malloc(): corrupted top size"), None);
        assert_eq!(parsed("*** stack smashing detected ***: terminated"), None);
    }
}
