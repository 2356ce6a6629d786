//! `UNWIND_INFO`: what a function's prologue did, and so who called it.
//!
//! Input: its bytes and a frame's registers. Output: the caller's. Specification: Microsoft, x64 exception handling, "Unwind data
//! definitions in C"; on Linux the runtime writes the same, with one more operation (dotnet/runtime src/coreclr/inc/win64unwind.h).

use crate::capture::Memory;
use crate::model::{Addr, Arch, End, Gap, Known, Register, Registers};
use crate::unwind::row::{Caller, preserved};

/// DWARF numbers of the registers by their numbers in x64's instructions. Sources: x64 software conventions, "Register usage" (rax, rcx, rdx, rbx,
/// rsp, rbp, rsi, rdi, r8 …); System V AMD64 psABI 1.0, figure 3.36.
pub(in crate::runtimes::coreclr) const REGISTERS: [u16; 16] = [0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15];
/// The flag of information that continues another function's. Source: win64unwind.h, UNW_FLAG_CHAININFO.
const CHAINED: u8 = 4;

/// What one instruction of a prologue did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// A register was pushed.
    Push(Register),
    /// The stack pointer went down by so many bytes.
    Allocate(u64),
    /// The frame register was set: the stack pointer is so far below it.
    Frame(u64),
    /// A register was stored so far above the frame.
    Save(Register, u64),
    /// Nothing that matters to the caller.
    Nothing,
}

/// The operations of a function's prologue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnwindInfo {
    /// Each with the offset in the function behind its instruction; the last instruction first.
    operations: Vec<(u64, Operation)>,
    frame: Register,
}

fn corrupt() -> Gap {
    Gap::Corrupt("unwind information of managed code".to_owned())
}

impl UnwindInfo {
    /// Reads it. Information that continues another function's, of which the runtime makes none, is not understood.
    pub fn read(memory: &Memory, at: Addr) -> Known<UnwindInfo> {
        let mut head = [0; 4];
        memory.read(at, &mut head)?;
        let [kind, _, count, frame] = head;
        if !matches!(kind & 7, 1 | 2) {
            return Err(corrupt());
        }
        if kind >> 3 & CHAINED != 0 {
            return Err(Gap::Unsupported("chained unwind information of managed code".to_owned()));
        }
        let mut codes = vec![0; usize::from(count) * 2];
        memory.read(at.plus(4).ok_or_else(corrupt)?, &mut codes)?;
        let mut info = UnwindInfo { operations: Vec::new(), frame: register(frame & 0xf) };
        info.add(&codes, u64::from(frame >> 4) * 16)?;
        Ok(info)
    }

    fn add(&mut self, codes: &[u8], scaled: u64) -> Known<()> {
        let (slots, _) = codes.as_chunks::<2>();
        let mut slots = slots.iter().copied();
        while let Some([offset, operation]) = slots.next() {
            let mut word = || slots.next().map(|slot| u64::from(u16::from_le_bytes(slot))).ok_or_else(corrupt);
            let own = operation >> 4;
            let operation = match operation & 0xf {
                0 => Operation::Push(register(own)),
                1 if own == 0 => Operation::Allocate(word()? * 8),
                1 => Operation::Allocate(word()? | word()? << 16),
                2 => Operation::Allocate(u64::from(own) * 8 + 8),
                3 => Operation::Frame(scaled),
                4 => Operation::Save(register(own), word()? * 8),
                5 => Operation::Save(register(own), word()? | word()? << 16),
                8 => {
                    word()?;
                    Operation::Nothing
                }
                9 => {
                    word()?;
                    word()?;
                    Operation::Nothing
                }
                // Only on Linux: the offset has 32 bits. Source: win64unwind.h, UWOP_SET_FPREG_LARGE.
                11 => Operation::Frame((word()? | word()? << 16) * 16),
                _ => return Err(corrupt()),
            };
            self.operations.push((offset.into(), operation));
        }
        Ok(())
    }

    /// The caller of a frame whose code stands so many bytes behind the function's start.
    pub fn caller(&self, memory: &Memory, registers: &Registers, sp: Addr, offset: u64) -> Result<Caller, End> {
        let mut caller = registers.clone();
        caller.keep(preserved(Arch::X86_64));
        let done = || self.operations.iter().filter(|(behind, _)| *behind <= offset).map(|(_, operation)| *operation);
        let lost = || End::NoUnwindInfo;
        let frame = done().find_map(|operation| match operation {
            Operation::Frame(below) => Some(below),
            _ => None,
        });
        let framed = match frame {
            Some(below) => Some(registers.get(self.frame).map(Addr).ok_or_else(lost)?.minus(below).ok_or_else(lost)?),
            None => None,
        };
        let mut at = sp;
        for operation in done() {
            match operation {
                Operation::Push(register) => {
                    caller.set(register, memory.u64(at).map_err(|_| End::NoMemory)?);
                    at = at.plus(8).ok_or_else(lost)?;
                }
                Operation::Allocate(bytes) => at = at.plus(bytes).ok_or_else(lost)?,
                Operation::Frame(_) => at = framed.ok_or_else(lost)?,
                Operation::Save(register, above) => {
                    let slot = framed.unwrap_or(sp).plus(above).ok_or_else(lost)?;
                    caller.set(register, memory.u64(slot).map_err(|_| End::NoMemory)?);
                }
                Operation::Nothing => {}
            }
        }
        let pc = memory.u64(at).map_err(|_| End::NoMemory)?;
        if pc == 0 {
            return Err(End::Bottom);
        }
        let cfa = at.plus(8).ok_or_else(lost)?;
        caller.set(Arch::X86_64.instruction_pointer(), pc);
        caller.set(Arch::X86_64.stack_pointer(), cfa.0);
        Ok(Caller { registers: caller, cfa })
    }
}

fn register(number: u8) -> Register {
    Register(REGISTERS.get(usize::from(number)).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: Addr = Addr(0x5000);
    const STACK: u64 = 0x7000;

    /// The caller's rip, rsp, rbp and rbx, by these codes, over a stack of the words 1, 2, 3 …
    fn caller(header: [u8; 4], codes: &[u8], offset: u64) -> Result<[Option<u64>; 4], End> {
        let info = UnwindInfo::read(&Memory::of_bytes(CODE.0, &[&header, codes].concat()), CODE).unwrap();
        let mut registers = Registers::unknown(Arch::X86_64);
        registers.set(Register(6), STACK + 0x28);
        registers.set(Register(3), 0xb);
        registers.set(Register(0), 0xa);
        let words: Vec<u64> = (1..=16).collect();
        let caller = info.caller(&Memory::of(STACK, &words), &registers, Addr(STACK), offset)?;
        assert_eq!(caller.registers.get(Register(0)), None, "rax is the callee's");
        assert_eq!(caller.registers.sp(), Some(caller.cfa));
        Ok([16, 7, 6, 3].map(|register| caller.registers.get(Register(register))))
    }

    // push rbp; push rbx; sub rsp, 16: the last first, each with the offset behind it.
    const PUSHED: [u8; 6] = [6, 0x12, 2, 0x30, 1, 0x50];

    #[test]
    fn what_was_pushed_is_popped() {
        // sp → | 1 | 2 | rbx 3 | rbp 4 | return address 5 |
        assert_eq!(caller([1, 6, 3, 0], &PUSHED, 100), Ok([Some(5), Some(STACK + 0x28), Some(4), Some(3)]));
    }

    #[test]
    fn only_what_the_prologue_has_done_is_undone() {
        assert_eq!(caller([1, 6, 3, 0], &PUSHED, 0), Ok([Some(1), Some(STACK + 8), Some(STACK + 0x28), Some(0xb)]));
        assert_eq!(caller([1, 6, 3, 0], &PUSHED, 2), Ok([Some(3), Some(STACK + 24), Some(2), Some(1)]));
    }

    #[test]
    fn the_frame_register_tells_where_the_stack_was() {
        // push rbp; lea rbp, [rsp+16]; on Linux the distance has 32 bits, in steps of 16.
        let large = [5, 0x0b, 1, 0, 0, 0, 1, 0x50];
        // rbp - 16 → | rbp 4 | return address 5 |
        let expected = Ok([Some(5), Some(STACK + 0x28), Some(4), Some(0xb)]);
        assert_eq!(caller([1, 5, 4, 5], &large, 100), expected);
        assert_eq!(caller([1, 5, 2, 0x15], &[5, 0x03, 1, 0x50], 100), expected);
    }

    #[test]
    fn registers_are_restored_from_where_they_were_stored() {
        // sub rsp, 32 (by 16 bits, by 32 bits); mov [rsp+8], rbx.
        let by_words = [9, 0x34, 1, 0, 4, 0x01, 4, 0];
        assert_eq!(
            caller([1, 9, 4, 0], &by_words, 100),
            Ok([Some(5), Some(STACK + 0x28), Some(STACK + 0x28), Some(2)])
        );
        let by_long = [9, 0x35, 8, 0, 0, 0, 4, 0x11, 32, 0, 0, 0];
        assert_eq!(caller([1, 9, 6, 0], &by_long, 100), Ok([Some(5), Some(STACK + 0x28), Some(STACK + 0x28), Some(2)]));
    }

    #[test]
    fn a_stack_that_is_not_there_or_has_no_caller_ends() {
        assert_eq!(caller([1, 4, 2, 0], &[4, 0x01, 0xff, 0xff], 100), Err(End::NoMemory));
        let info = UnwindInfo::read(&Memory::of_bytes(CODE.0, &[1, 0, 0, 0]), CODE).unwrap();
        let registers = Registers::unknown(Arch::X86_64);
        let zero = Memory::of(STACK, &[0]);
        assert_eq!(info.caller(&zero, &registers, Addr(STACK), 0).err(), Some(End::Bottom));
        // The frame register is not known.
        let framed = UnwindInfo::read(&Memory::of_bytes(CODE.0, &[1, 1, 1, 5, 1, 3]), CODE).unwrap();
        assert_eq!(framed.caller(&zero, &registers, Addr(STACK), 9).err(), Some(End::NoUnwindInfo));
    }

    #[test]
    fn damaged_information_is_a_gap() {
        let read = |bytes: &[u8]| UnwindInfo::read(&Memory::of_bytes(CODE.0, bytes), CODE);
        assert!(read(&[0, 0, 0, 0]).is_err() && read(&[7, 0, 0, 0]).is_err());
        assert!(read(&[0x21, 0, 0, 0]).is_err(), "chained");
        assert!(read(&[1, 0, 1, 0, 1, 0x07]).is_err(), "no such operation");
        assert!(read(&[1, 0, 1, 0, 1, 0x01]).is_err(), "an operation without its word");
        assert!(read(&[1, 0, 9, 0, 1, 0x02]).is_err() && read(&[1, 0]).is_err());
    }
}
