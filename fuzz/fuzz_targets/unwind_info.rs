//! `UNWIND_INFO` of managed code, and the caller by it.
#![no_main]

use dumpscope::capture::Memory;
use dumpscope::model::{Addr, Arch, Register, Registers};
use dumpscope::runtimes::coreclr::UnwindInfo;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let memory = Memory::of_bytes(0x1000, data);
    let Ok(info) = UnwindInfo::read(&memory, Addr(0x1000)) else { return };
    let mut registers = Registers::unknown(Arch::X86_64);
    for frame in [None, Some(0x1010), Some(u64::MAX)] {
        if let Some(frame) = frame {
            registers.set(Register(6), frame);
        }
        for offset in [0, 4, u64::MAX] {
            let _ = info.caller(&memory, &registers, Addr(0x1000), offset);
        }
    }
});
