//! DWARF expressions of call frame information (DWARF 5 section 6.4.2): they compute an address or a value from
//! registers and memory.

use gimli::{Encoding, EndianSlice, Evaluation, EvaluationResult, Format, LittleEndian, Value};

use super::words::Words;
use crate::model::{Addr, End, Register, Registers};

/// Operations executed at most; branches make loops possible. Real expressions have about ten.
const MAX_OPERATIONS: u32 = 10_000;

/// The value that the expression leaves on its stack. `initial` is pushed first (the CFA for register rules, nothing
/// for the CFA itself). Fails with `NoMemory` where it reads memory that is missing, else with `NoUnwindInfo`.
pub fn evaluate(code: &[u8], registers: &Registers, words: &Words<'_>, initial: Option<Addr>) -> Result<u64, End> {
    let encoding = Encoding { address_size: 8, format: Format::Dwarf32, version: 5 };
    let mut evaluation = Evaluation::new(EndianSlice::new(code, LittleEndian), encoding);
    evaluation.set_max_iterations(MAX_OPERATIONS);
    if let Some(value) = initial {
        evaluation.set_initial_value(value.0);
    }
    let mut state = evaluation.evaluate();
    // Each turn executes an operation, so that the limit above ends the loop.
    loop {
        state = match state.map_err(|_| End::NoUnwindInfo)? {
            EvaluationResult::Complete => break,
            EvaluationResult::RequiresRegister { register, .. } => {
                let value = registers.get(Register(register.0)).ok_or(End::NoUnwindInfo)?;
                evaluation.resume_with_register(Value::Generic(value))
            }
            EvaluationResult::RequiresMemory { address, size, .. } => {
                let value = words.sized(Addr(address), size).map_err(|_| End::NoMemory)?;
                evaluation.resume_with_memory(Value::Generic(value))
            }
            EvaluationResult::RequiresCallFrameCfa => {
                evaluation.resume_with_call_frame_cfa(initial.ok_or(End::NoUnwindInfo)?.0)
            }
            _ => return Err(End::NoUnwindInfo),
        };
    }
    match evaluation.as_result().last().map(|piece| &piece.location) {
        Some(gimli::Location::Address { address }) => Ok(*address),
        Some(gimli::Location::Register { register }) => registers.get(Register(register.0)).ok_or(End::NoUnwindInfo),
        _ => Err(End::NoUnwindInfo),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Memory;
    use crate::model::Arch;

    fn evaluated(code: &[u8], initial: Option<u64>) -> Result<u64, End> {
        let memory = Memory::of(0x7000, &[0x10, 0x20, 0x30]);
        let mut registers = Registers::unknown(Arch::X86_64);
        registers.set(Register(7), 0x7000);
        registers.set(Register(16), 0x100b);
        evaluate(code, &registers, &Words::new(&memory), initial.map(Addr))
    }

    #[test]
    fn the_frame_address_of_a_plt_entry_depends_on_the_instruction_pointer() {
        // DW_OP_breg7 8, breg16 0, lit15, and, lit11, ge, lit3, shl, plus: as GNU ld writes it for .plt
        let code = [0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22];
        assert_eq!(evaluated(&code, None), Ok(0x7010));
    }

    #[test]
    fn memory_is_read() {
        assert_eq!(evaluated(&[0x77, 8, 0x06], None), Ok(0x20)); // breg7 8, deref
        assert_eq!(evaluated(&[0x77, 24, 0x06], None), Err(End::NoMemory));
    }

    #[test]
    fn the_frame_address_is_on_the_stack_at_the_start() {
        assert_eq!(evaluated(&[0x23, 5], Some(0x7000)), Ok(0x7005)); // plus_uconst 5
        assert_eq!(evaluated(&[0x23, 5], None), Err(End::NoUnwindInfo));
    }

    #[test]
    fn an_endless_expression_ends() {
        assert_eq!(evaluated(&[0x2f, 0xfd, 0xff], None), Err(End::NoUnwindInfo)); // skip -3
        assert_eq!(evaluated(&[0x12, 0x2f, 0xfc, 0xff], Some(1)), Err(End::NoUnwindInfo)); // dup, skip -4
    }

    #[test]
    fn unknown_registers_and_operations_give_no_value() {
        assert_eq!(evaluated(&[0x73, 0], None), Err(End::NoUnwindInfo)); // breg3, not recovered
        assert_eq!(evaluated(&[0xff], None), Err(End::NoUnwindInfo));
        assert_eq!(evaluated(&[], None), Err(End::NoUnwindInfo));
        assert_eq!(evaluated(&[0x91, 0], None), Err(End::NoUnwindInfo)); // fbreg
    }
}
