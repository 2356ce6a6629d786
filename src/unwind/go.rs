//! Rules for Go code from Go's own table, which tells at each instruction how far the stack pointer has moved: programs
//! that were stripped have no call frame information.

use symbols::GoFrame;

use super::rules::{Cfa, Row, Rule};
use crate::model::{Addr, Arch, Register};
use crate::target::Module;

/// What Go's table says of the code at `lookup`; `None` where the module is not Go's, or the code C's.
pub(super) fn frame(module: &Module, lookup: Addr) -> Option<GoFrame> {
    module.elf().filter(|elf| elf.go_table().is_some())?;
    module.symbols().go_frame(module.svma(lookup)?)
}

/// The rules that follow. On x86-64 a frame holds the caller's frame pointer below the return address; on aarch64 the
/// return address is at its lower end, the frame pointer below that.
// Source: Go src/cmd/internal/obj/x86/obj6.go and arm64/obj7.go, preprocess; src/runtime/stack.go, "Stack frame
// layout".
pub(super) fn row(arch: Arch, frame: GoFrame) -> Row {
    let size = i64::try_from(frame.size).unwrap_or(i64::MAX);
    let has_frame = size >= 8;
    let (distance, saved) = match arch {
        Arch::X86_64 => (size.saturating_add(8), vec![(arch.frame_pointer(), Rule::Saved(-16))]),
        Arch::Aarch64 => {
            let below = size.saturating_neg();
            let saved =
                vec![(Register(30), Rule::Saved(below)), (arch.frame_pointer(), Rule::Saved(below.saturating_sub(8)))];
            (size, saved)
        }
    };
    let saved = saved.into_iter().filter(|_| has_frame);
    Row { signal: frame.injected, ..Row::derived(arch, Cfa::Offset(arch.stack_pointer(), distance), saved) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Memory;
    use crate::model::Registers;
    use crate::unwind::cfi::Tables;
    use crate::unwind::words::Words;

    #[test]
    fn a_frame_of_go_leads_to_its_caller() {
        // sp → | local | saved rbp | return address | the caller's
        let memory = Memory::of(0x7000, &[1, 0x7fff, 0x40_1000, 2]);
        let mut callee = Registers::unknown(Arch::X86_64);
        callee.set(Register(7), 0x7000);
        let rules = row(Arch::X86_64, GoFrame { size: 16, injected: false, switches: false });
        let caller = rules.caller(&Tables::new(Arch::X86_64, None, None, None), &callee, &Words::new(&memory)).unwrap();
        assert_eq!((caller.cfa, caller.registers.pc()), (Addr(0x7018), Some(Addr(0x40_1000))));
        assert_eq!(caller.registers.fp(), Some(Addr(0x7fff)));
    }

    #[test]
    fn on_aarch64_the_return_address_is_at_the_lower_end() {
        // x29 below sp | sp → return address | local | the caller's
        let memory = Memory::of(0x6ff8, &[0x7fff, 0x40_1000, 1, 2]);
        let mut callee = Registers::unknown(Arch::Aarch64);
        callee.set(Register(31), 0x7000);
        let rules = row(Arch::Aarch64, GoFrame { size: 16, injected: false, switches: false });
        let caller =
            rules.caller(&Tables::new(Arch::Aarch64, None, None, None), &callee, &Words::new(&memory)).unwrap();
        assert_eq!((caller.cfa, caller.registers.pc()), (Addr(0x7010), Some(Addr(0x40_1000))));
        assert_eq!(caller.registers.fp(), Some(Addr(0x7fff)));
    }
}
