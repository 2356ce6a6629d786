//! How large the thread-local storage beside a thread pointer is: that of the modules that were loaded at the start.

use crate::target::{Module, Target};

/// More is not believed, and not searched.
const MAX: u64 = 16 << 10;
/// Bytes of a module's part, where its file is not at hand.
const UNKNOWN_MODULE: u64 = 256;
/// Source: System V gABI, program header types.
const PT_TLS: u32 = 7;

/// Bytes of the static block, by the modules' headers: rather too many than too few. Libraries that were loaded later may have put
/// theirs beyond it.
pub(super) fn size(target: &Target) -> u64 {
    let of_module = |module: &Module| match module.elf() {
        Some(elf) => {
            let parts = elf.program_headers().iter().filter(|header| header.kind == PT_TLS);
            parts.map(|part| part.mem_size.saturating_add(part.align)).fold(0, u64::saturating_add)
        }
        None => UNKNOWN_MODULE,
    };
    let sum = target.modules.iter().map(of_module).fold(0, u64::saturating_add);
    sum.min(MAX).next_multiple_of(8)
}
