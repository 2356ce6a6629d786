//! Where a frame's variables are: their DWARF expressions, evaluated with the frame's registers and the target's memory.
//!
//! Input: a variable of `symbols`, the frame that it belongs to. Output: its address, or its value where a register holds it.
//! Left out: values in pieces, values that only the caller knew at entry, thread-local variables.

use gimli::{EndianSlice, Evaluation, EvaluationResult, LittleEndian, Value};
use symbols::{Expression, Locals, Location};

use crate::capture::Memory;
use crate::model::{Addr, Frame, Register, Registers};

/// Operations executed at most; branches make loops possible.
const MAX_OPERATIONS: u32 = 1_000;

/// Where a variable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In memory.
    Memory(Addr),
    /// In a register, or computed: this is its value.
    Value(u64),
}

/// A frame as expressions see it.
pub(super) struct Context<'a> {
    pub(super) frame: &'a Frame,
    pub(super) registers: &'a Registers,
    pub(super) memory: &'a Memory,
    /// What is added to an address that the module's file states.
    pub(super) bias: u64,
}

impl Context<'_> {
    /// Where a variable is; `None` where the compiler kept it nowhere, or its place cannot be evaluated.
    pub(super) fn place(&self, locals: &Locals, location: &Location) -> Option<Place> {
        match location {
            Location::Expression(expression) => self.evaluate(expression, locals.frame_base.as_ref()),
            Location::Constant(bytes) => {
                let mut value = [0; 8];
                value.get_mut(..bytes.len())?.copy_from_slice(bytes);
                Some(Place::Value(u64::from_le_bytes(value)))
            }
            Location::OptimizedOut => None,
        }
    }

    fn evaluate(&self, expression: &Expression, frame_base: Option<&Expression>) -> Option<Place> {
        let code = EndianSlice::new(&expression.bytes, LittleEndian);
        let mut evaluation = Evaluation::new(code, expression.encoding);
        evaluation.set_max_iterations(MAX_OPERATIONS);
        let mut state = evaluation.evaluate();
        loop {
            state = match state.ok()? {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    evaluation.resume_with_register(Value::Generic(self.registers.get(Register(register.0))?))
                }
                EvaluationResult::RequiresMemory { address, size, .. } => {
                    let mut bytes = [0; 8];
                    self.memory.read(Addr(address), bytes.get_mut(..usize::from(size))?).ok()?;
                    evaluation.resume_with_memory(Value::Generic(u64::from_le_bytes(bytes)))
                }
                EvaluationResult::RequiresCallFrameCfa => evaluation.resume_with_call_frame_cfa(self.frame.cfa?.0),
                EvaluationResult::RequiresFrameBase => {
                    // A frame base does not refer to itself.
                    let base = match self.evaluate(frame_base?, None)? {
                        Place::Memory(at) => at.0,
                        Place::Value(value) => value,
                    };
                    evaluation.resume_with_frame_base(base)
                }
                EvaluationResult::RequiresRelocatedAddress(address) => {
                    evaluation.resume_with_relocated_address(address.wrapping_add(self.bias))
                }
                _ => return None,
            };
        }
        match evaluation.as_result() {
            [piece] if piece.size_in_bits.is_none() => match piece.location {
                gimli::Location::Address { address } => Some(Place::Memory(Addr(address))),
                gimli::Location::Register { register } => self.registers.get(Register(register.0)).map(Place::Value),
                gimli::Location::Value { value } => value.to_u64(u64::MAX).ok().map(Place::Value),
                _ => None,
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Arch, FrameKind, Trust};
    use gimli::{Encoding, Format};

    // Opcodes of DWARF 5 section 7.7.1.
    const DW_OP_REG3: u8 = 0x53;
    const DW_OP_FBREG: u8 = 0x91;
    const DW_OP_CALL_FRAME_CFA: u8 = 0x9c;
    const DW_OP_ADDR: u8 = 0x03;

    fn expression(bytes: &[u8]) -> Expression {
        let encoding = Encoding { address_size: 8, format: Format::Dwarf32, version: 5 };
        Expression { bytes: bytes.to_vec(), encoding, little_endian: true }
    }

    fn place(bytes: &[u8]) -> Option<Place> {
        let frame = Frame {
            pc: Addr(0x1000),
            returns: true,
            sp: Addr(0x7000),
            cfa: Some(Addr(0x7040)),
            kind: FrameKind::Native,
            trust: Trust::Cfi,
        };
        let mut registers = Registers::unknown(Arch::X86_64);
        registers.set(Register(3), 0x5000);
        let locals = Locals { frame_base: Some(expression(&[DW_OP_CALL_FRAME_CFA])), ..Locals::default() };
        let context = Context { frame: &frame, registers: &registers, memory: &Memory::default(), bias: 0x10_0000 };
        context.place(&locals, &Location::Expression(expression(bytes)))
    }

    #[test]
    fn a_variable_on_the_stack_counts_from_the_frame_base() {
        // fbreg -16, in signed LEB128: 0x70
        assert_eq!(place(&[DW_OP_FBREG, 0x70]), Some(Place::Memory(Addr(0x7030))));
    }

    #[test]
    fn a_variable_in_a_register_has_its_value() {
        assert_eq!(place(&[DW_OP_REG3]), Some(Place::Value(0x5000)));
        assert_eq!(place(&[DW_OP_REG3 + 1]), None, "a register that was not recovered");
    }

    #[test]
    fn an_address_of_the_file_is_moved_to_where_the_module_is() {
        assert_eq!(place(&[DW_OP_ADDR, 0x34, 0x12, 0, 0, 0, 0, 0, 0]), Some(Place::Memory(Addr(0x10_1234))));
    }

    #[test]
    fn an_endless_expression_ends() {
        // skip -3: back to itself
        assert_eq!(place(&[0x2f, 0xfd, 0xff]), None);
    }
}
