//! Where a frame's variables are: their DWARF expressions, evaluated with the frame's registers and the target's memory.
//!
//! Input: a variable of `symbols`, the frame that it belongs to. Output: its address, or its bytes where registers hold it or it
//! was computed. Left out: thread-local variables, operations on typed values.

use gimli::{EndianSlice, Evaluation, EvaluationResult, LittleEndian, Piece, Value};
use symbols::{Expression, Locals, Location};

use crate::capture::Memory;
use crate::model::{Addr, Frame, Gap, Known, Register, Registers};

/// Operations executed at most; branches make loops possible.
const MAX_OPERATIONS: u32 = 1_000;
/// Bytes of a value that is put together from pieces at most: more than any set of registers holds.
const MAX_PIECED: usize = 4096;

type Code<'a> = EndianSlice<'a, LittleEndian>;

/// Where a variable is, where one word tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In memory.
    Memory(Addr),
    /// In a register, or computed: this is its value.
    Value(u64),
}

/// Where a variable is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// In memory.
    Memory(Addr),
    /// Nowhere in memory, or not in one piece: these are its bytes, with more behind them where a register is wider.
    Bytes(Vec<u8>),
}

/// A frame as expressions see it.
pub struct Context<'a> {
    /// The physical frame.
    pub frame: &'a Frame,
    /// The registers in it.
    pub registers: &'a Registers,
    /// The target's memory.
    pub memory: &'a Memory,
    /// What is added to an address that the module's file states.
    pub bias: u64,
    /// What a register held when the function was entered, as far as its caller tells.
    pub at_entry: &'a dyn Fn(Register) -> Known<u64>,
}

impl Context<'_> {
    /// Where a variable is; `None` where the compiler kept it nowhere or in several places, or its place cannot be evaluated.
    pub fn place(&self, locals: &Locals, location: &Location) -> Option<Place> {
        match self.held(locals, location).ok()? {
            Held::Memory(at) => Some(Place::Memory(at)),
            Held::Bytes(bytes) => {
                let mut value = [0; 8];
                value.get_mut(..bytes.len())?.copy_from_slice(&bytes);
                Some(Place::Value(u64::from_le_bytes(value)))
            }
        }
    }

    /// Where a variable is, or why that is not known.
    pub fn held(&self, locals: &Locals, location: &Location) -> Known<Held> {
        match location {
            Location::Expression(expression) => self.evaluate(expression, locals.frame_base.as_ref()),
            Location::Constant(bytes) => Ok(Held::Bytes(bytes.clone())),
            Location::OptimizedOut => Err(optimized_out()),
        }
    }

    fn evaluate(&self, expression: &Expression, frame_base: Option<&Expression>) -> Known<Held> {
        let mut evaluation = Evaluation::new(Code::new(&expression.bytes, LittleEndian), expression.encoding);
        evaluation.set_max_iterations(MAX_OPERATIONS);
        let mut state = evaluation.evaluate();
        // Each turn executes an operation, so that the limit above ends the loop.
        loop {
            state = match state.map_err(|error| Gap::Corrupt(format!("its location: {error}")))? {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    evaluation.resume_with_register(Value::Generic(self.register(register)?))
                }
                EvaluationResult::RequiresMemory { address, size, .. } => {
                    let mut bytes = [0; 8];
                    let wanted = bytes.get_mut(..usize::from(size));
                    let wanted = wanted.ok_or_else(|| Gap::Corrupt(format!("its location reads {size} bytes")))?;
                    self.memory.read(Addr(address), wanted)?;
                    evaluation.resume_with_memory(Value::Generic(u64::from_le_bytes(bytes)))
                }
                EvaluationResult::RequiresCallFrameCfa => {
                    let cfa = self.frame.cfa.ok_or_else(|| not_recorded("the frame's address (CFA)"))?;
                    evaluation.resume_with_call_frame_cfa(cfa.0)
                }
                EvaluationResult::RequiresFrameBase => {
                    let base = frame_base.ok_or_else(|| not_recorded("the frame base"))?;
                    evaluation.resume_with_frame_base(self.base(base)?)
                }
                EvaluationResult::RequiresRelocatedAddress(address) => {
                    evaluation.resume_with_relocated_address(address.wrapping_add(self.bias))
                }
                EvaluationResult::RequiresEntryValue(inner) => {
                    let register = entry_register(inner, expression.encoding)?;
                    evaluation.resume_with_entry_value(Value::Generic((self.at_entry)(register)?))
                }
                EvaluationResult::RequiresTls(_) => return Err(unsupported("a thread-local variable")),
                EvaluationResult::RequiresBaseType(_) => return Err(unsupported("a location with typed values")),
                // DW_OP_call and its kind, and other machines' operations.
                _ => return Err(unsupported("an operation of its location")),
            };
        }
        match evaluation.as_result() {
            [Piece { size_in_bits: None, location: gimli::Location::Address { address }, .. }] => {
                Ok(Held::Memory(Addr(*address)))
            }
            [whole @ Piece { size_in_bits: None, .. }] => self.bytes(whole).map(Held::Bytes),
            pieces => {
                let mut bytes = Vec::new();
                for piece in pieces {
                    bytes.extend(self.piece(piece)?);
                    if bytes.len() > MAX_PIECED {
                        return Err(Gap::Corrupt(format!("pieces of more than {MAX_PIECED} bytes")));
                    }
                }
                Ok(Held::Bytes(bytes))
            }
        }
    }

    /// The value that an expression leaves, one that says no place.
    pub fn value(&self, locals: &Locals, expression: &Expression) -> Known<u64> {
        match self.evaluate(expression, locals.frame_base.as_ref())? {
            Held::Memory(value) => Ok(value.0),
            Held::Bytes(bytes) => match bytes.try_into() {
                Ok(word) => Ok(u64::from_le_bytes(word)),
                Err(_) => Err(unsupported("a value of another size than a word")),
            },
        }
    }

    /// The address that a frame base says: its location, or the value of its register. It does not refer to itself.
    fn base(&self, expression: &Expression) -> Known<u64> {
        match self.evaluate(expression, None)? {
            Held::Memory(at) => Ok(at.0),
            Held::Bytes(bytes) => match bytes.try_into() {
                Ok(word) => Ok(u64::from_le_bytes(word)),
                Err(_) => Err(Gap::Corrupt("the frame base is no address".to_owned())),
            },
        }
    }

    fn register(&self, register: gimli::Register) -> Known<u64> {
        let register = Register(register.0);
        self.registers.get(register).ok_or_else(|| {
            Gap::NotRecorded(match self.registers.arch().register_name(register) {
                Some(name) => format!("register {name} in this frame"),
                None => format!("register {} (DWARF number)", register.0),
            })
        })
    }

    /// The bytes of what is no memory.
    fn bytes(&self, piece: &Piece<Code<'_>>) -> Known<Vec<u8>> {
        match piece.location {
            gimli::Location::Register { register } => Ok(self.register(register)?.to_le_bytes().to_vec()),
            gimli::Location::Value { value } => match value.to_u64(u64::MAX) {
                Ok(value) => Ok(value.to_le_bytes().to_vec()),
                Err(_) => Err(unsupported("a location with typed values")),
            },
            gimli::Location::Bytes { value } => Ok(value.slice().to_vec()),
            gimli::Location::ImplicitPointer { .. } => Err(not_recorded("a pointer to something optimized out")),
            gimli::Location::Empty | gimli::Location::Address { .. } => Err(optimized_out()),
        }
    }

    fn piece(&self, piece: &Piece<Code<'_>>) -> Known<Vec<u8>> {
        let bits = piece.size_in_bits.filter(|bits| bits % 8 == 0 && piece.bit_offset.unwrap_or(0) == 0);
        let len = bits.and_then(|bits| usize::try_from(bits / 8).ok()).filter(|len| *len <= MAX_PIECED);
        let len = len.ok_or_else(|| unsupported("pieces that are no whole bytes"))?;
        if let gimli::Location::Address { address } = piece.location {
            let mut bytes = vec![0; len];
            self.memory.read(Addr(address), &mut bytes)?;
            return Ok(bytes);
        }
        let mut bytes = self.bytes(piece)?;
        if bytes.len() < len {
            return Err(Gap::Corrupt("a piece is larger than what holds it".to_owned()));
        }
        bytes.truncate(len);
        Ok(bytes)
    }
}

/// The register whose value at entry is asked for.
fn entry_register(inner: gimli::Expression<Code<'_>>, encoding: gimli::Encoding) -> Known<Register> {
    let gimli::Expression(mut bytes) = inner;
    match gimli::Operation::parse(&mut bytes, encoding) {
        Ok(gimli::Operation::Register { register }) if bytes.slice().is_empty() => Ok(Register(register.0)),
        _ => Err(unsupported("a value at entry that was in no register")),
    }
}

fn optimized_out() -> Gap {
    not_recorded("optimized out")
}

fn not_recorded(what: &str) -> Gap {
    Gap::NotRecorded(what.to_owned())
}

fn unsupported(what: &str) -> Gap {
    Gap::Unsupported(what.to_owned())
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

    fn no_caller(_: Register) -> Known<u64> {
        Err(not_recorded("value at entry"))
    }

    fn expression(bytes: &[u8]) -> Expression {
        let encoding = Encoding { address_size: 8, format: Format::Dwarf32, version: 5 };
        Expression { bytes: bytes.to_vec(), encoding, little_endian: true }
    }

    fn frame() -> Frame {
        Frame {
            pc: Addr(0x1000),
            returns: true,
            sp: Addr(0x7000),
            cfa: Some(Addr(0x7040)),
            kind: FrameKind::Native,
            trust: Trust::Cfi,
        }
    }

    fn place(bytes: &[u8]) -> Option<Place> {
        let frame = frame();
        let mut registers = Registers::unknown(Arch::X86_64);
        registers.set(Register(3), 0x5000);
        let locals = Locals { frame_base: Some(expression(&[DW_OP_CALL_FRAME_CFA])), ..Locals::default() };
        let context = Context {
            frame: &frame,
            registers: &registers,
            memory: &Memory::default(),
            bias: 0x10_0000,
            at_entry: &no_caller,
        };
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

    fn held(bytes: &[u8]) -> Known<Held> {
        let registers = &mut Registers::unknown(Arch::X86_64);
        registers.set(Register(3), 0x1122_3344_5566_7788);
        let frame = frame();
        let memory = &Memory::of(0x7000, &[0xaabb]);
        let context = Context { frame: &frame, registers, memory, bias: 0, at_entry: &no_caller };
        context.held(&Locals::default(), &Location::Expression(expression(bytes)))
    }

    #[test]
    fn pieces_are_put_together_and_one_that_is_missing_makes_the_whole_unknown() {
        // reg3, piece 4; addr 0x7000, piece 2
        let both = [DW_OP_REG3, 0x93, 4, DW_OP_ADDR, 0, 0x70, 0, 0, 0, 0, 0, 0, 0x93, 2];
        assert_eq!(held(&both), Ok(Held::Bytes(vec![0x88, 0x77, 0x66, 0x55, 0xbb, 0xaa])));
        assert_eq!(held(&[DW_OP_REG3, 0x93, 4, 0x93, 4]), Err(optimized_out()));
        assert!(held(&[DW_OP_REG3, 0x93, 9]).is_err(), "nine bytes of an eight byte register");
    }

    #[test]
    fn a_value_at_entry_is_what_the_caller_passed() {
        // entry_value(reg5), stack_value
        let asked = [0xa3, 1, 0x55, 0x9f];
        assert_eq!(held(&asked), Err(Gap::NotRecorded("value at entry".to_owned())));
        let (frame, registers) = (frame(), Registers::unknown(Arch::X86_64));
        let at_entry = |register: Register| Ok(u64::from(register.0) * 100);
        let memory = &Memory::default();
        let context = Context { frame: &frame, registers: &registers, memory, bias: 0, at_entry: &at_entry };
        let found = context.place(&Locals::default(), &Location::Expression(expression(&asked)));
        assert_eq!(found, Some(Place::Value(500)));
    }

    #[test]
    fn a_register_outside_the_kept_ones_is_unknown() {
        // reg17: xmm0
        assert_eq!(held(&[0x61]), Err(Gap::NotRecorded("register 17 (DWARF number)".to_owned())));
        assert_eq!(held(&[DW_OP_REG3 + 1]), Err(Gap::NotRecorded("register rsi in this frame".to_owned())));
    }

    #[test]
    fn an_endless_expression_ends() {
        // skip -3: back to itself
        assert_eq!(place(&[0x2f, 0xfd, 0xff]), None);
    }
}
