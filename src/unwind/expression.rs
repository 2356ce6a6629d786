//! DWARF expressions of call frame information (DWARF 5 section 6.4.2): they compute an address or a value from registers and memory.

use gimli::{Encoding, EndianSlice, Evaluation, EvaluationResult, Format, LittleEndian, Value};

use super::words::Words;
use crate::model::{Addr, End, Register, Registers};

/// Operations executed at most; branches make loops possible. Real expressions have about ten.
const MAX_OPERATIONS: u32 = 10_000;

/// The value that the expression leaves on its stack. `initial` is pushed first (the CFA for register rules, nothing for the CFA
/// itself). Fails with `NoMemory` where it reads memory that is missing, else with `NoUnwindInfo`.
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
