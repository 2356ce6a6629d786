//! DWARF expressions of call frame information: loops, stack depth, reads anywhere.
#![no_main]

use dumpscope::capture::Memory;
use dumpscope::model::{Addr, Arch, Register, Registers};
use dumpscope::unwind::expression::evaluate;
use dumpscope::unwind::words::Words;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let memory = Memory::of_bytes(0x7000, data);
    let mut registers = Registers::unknown(Arch::X86_64);
    for number in 0..17 {
        registers.set(Register(number), 0x7000 + u64::from(number) * 8);
    }
    for initial in [None, Some(Addr(0x7040))] {
        let _ = evaluate(data, &registers, &Words::new(&memory), initial);
    }
});
