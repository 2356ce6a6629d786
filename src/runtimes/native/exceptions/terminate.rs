//! Why `std::terminate` was called, by who called it.

use crate::model::{NamedFrame, Termination};

/// Functions that call `std::terminate`, by the start of their demangled name, innermost caller first.
// Source: libstdc++ 12 libsupc++ (eh_throw.cc, eh_call.cc, eh_personality.cc, pure.cc) and <bits/std_thread.h>;
// libc++abi 14 src/cxa_exception.cpp, cxa_virtual.cpp.
const CALLERS: [(&str, Termination); 13] = [
    ("__cxa_throw", Termination::Uncaught),
    ("std::rethrow_exception", Termination::Uncaught),
    ("__cxa_rethrow", Termination::NothingToRethrow),
    ("__cxa_call_terminate", Termination::Noexcept),
    ("__gxx_personality", Termination::Noexcept),
    ("__clang_call_terminate", Termination::Noexcept),
    ("_Unwind_RaiseException", Termination::Noexcept),
    ("_Unwind_Resume", Termination::Noexcept),
    ("__cxa_pure_virtual", Termination::PureVirtual),
    ("__cxa_deleted_virtual", Termination::DeletedVirtual),
    ("std::thread::~thread", Termination::JoinableThread),
    ("std::thread::operator=", Termination::JoinableThread),
    ("__cxa_call_unexpected", Termination::Noexcept),
];

/// Innermost frames that are looked at.
const FRAMES: usize = 24;
/// Frames between `std::terminate` and the function that says why: unnamed helpers of the library, inlined ones.
const BETWEEN: usize = 6;

/// Why the thread is in `std::terminate`; `None` when it is not.
pub(super) fn reason(frames: &[NamedFrame]) -> Option<Termination> {
    let name =
        |frame: &NamedFrame| frame.function.as_deref().map(plain).unwrap_or_default().replace("std::__1::", "std::");
    let names: Vec<String> = frames.iter().take(FRAMES).map(name).collect();
    let terminate = names.iter().rposition(|name| is_terminate(name));
    let caller = |names: &[String]| {
        names
            .iter()
            .take(BETWEEN)
            .find_map(|name| CALLERS.iter().find(|(caller, _)| name.starts_with(caller)).map(|(_, reason)| *reason))
    };
    match terminate {
        Some(at) => Some(caller(names.get(at.saturating_add(1)..)?).unwrap_or(Termination::Called)),
        // The library's own, unexported functions lie between abort and the one that tells: __terminate under a
        // personality routine, libc++abi's abort_message.
        None => {
            let abort = names.iter().position(|name| matches!(name.as_str(), "abort" | "__GI_abort"))?;
            let above = names.get(abort.saturating_add(1)..)?;
            let unnamed = above.iter().take(BETWEEN).take_while(|name| name.is_empty()).count();
            caller(above.get(unnamed..unnamed.saturating_add(1))?)
        }
    }
}

fn is_terminate(name: &str) -> bool {
    matches!(name, "std::terminate" | "std::__terminate" | "__cxxabiv1::__terminate")
}

/// The name without its parameters: `std::terminate()` is `std::terminate`.
fn plain(name: &str) -> &str {
    name.split('(').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Addr, FrameKind, Trust};

    fn reason_of(names: &[&str]) -> Option<Termination> {
        let frames: Vec<NamedFrame> = names
            .iter()
            .enumerate()
            .map(|(index, name)| NamedFrame {
                index,
                pc: Addr(0x1000),
                sp: Addr(0x7000),
                kind: FrameKind::Native,
                trust: Trust::Cfi,
                module: None,
                function: Some(*name).filter(|name| !name.is_empty()).map(Into::into),
                offset: None,
                file: None,
                line: None,
                approximate: false,
                own: true,
                walked: index,
                part: Some(0),
            })
            .collect();
        reason(&frames)
    }

    // Stacks as gdb shows them for the program that does what the test's name says.

    #[test]
    fn a_throw_that_nobody_catches_is_uncaught() {
        let names = ["raise", "abort", "", "", "std::terminate()", "__cxa_throw", "throw_it(char const*)", "main"];
        assert_eq!(reason_of(&names), Some(Termination::Uncaught));
    }

    #[test]
    fn an_exception_that_leaves_a_noexcept_function_is_told_by_the_personality_routine() {
        let names =
            ["raise", "abort", "", "", "", "__gxx_personality_v0", "", "_Unwind_Resume", "throw_it(char const*)"];
        assert_eq!(reason_of(&names), Some(Termination::Noexcept));
    }

    #[test]
    fn a_joinable_thread_is_told_by_its_destructor() {
        let names =
            ["raise", "abort", "", "", "std::terminate()", "std::__terminate()", "std::thread::~thread()", "main"];
        assert_eq!(reason_of(&names), Some(Termination::JoinableThread));
    }

    #[test]
    fn a_plain_call_is_called_and_a_plain_abort_is_nothing() {
        assert_eq!(reason_of(&["raise", "abort", "", "", "std::terminate()", "main"]), Some(Termination::Called));
        assert_eq!(reason_of(&["raise", "abort", "main"]), None);
    }
}
