//! The registers of every frame of a stack, kept as what each step up the stack changed.
//!
//! A function preserves all but a few registers, so that a frame differs from the one that it called in its stack and
//! instruction pointers, which the frame itself has, and in the few registers that the called function had saved.

use super::{Addr, Register, Registers};

/// Every so many frames the registers are kept whole: so many steps are applied at most to tell those of one frame.
const WHOLE_EVERY: usize = 64;

/// Registers of the frames of one stack, innermost first: 8 bytes a frame and 8 for each register that a step
/// recovered.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    whole: Vec<Whole>,
    steps: Vec<Step>,
    values: Vec<u64>,
}

/// The registers of one frame, all of them.
#[derive(Clone, Debug)]
struct Whole {
    registers: Registers,
    /// Where the values of the next step begin.
    values: usize,
}

/// What is known in a frame, by bits of DWARF numbers. The instruction pointer always is, else there is no frame;
/// aarch64 numbers it 32.
#[derive(Clone, Copy, Debug)]
struct Step {
    known: u32,
    /// Those of which the value is another than in the frame before: as many values as bits. Never the stack and
    /// instruction pointers.
    changed: u32,
}

/// Takes down the registers of one frame after the other.
#[derive(Debug, Default)]
pub struct Recorder {
    recovered: Recovered,
    last: Option<Registers>,
}

impl Recorder {
    /// Adds the next frame's, further out.
    pub fn add(&mut self, registers: &Registers) {
        let Recovered { whole, steps, values } = &mut self.recovered;
        let known = u32::try_from(registers.known_bits() & u64::from(u32::MAX)).unwrap_or(0);
        let mut step = Step { known, changed: 0 };
        match &mut self.last {
            Some(last) if !steps.len().is_multiple_of(WHOLE_EVERY) => {
                let arch = registers.arch();
                for number in 0..arch.register_count() {
                    let register = Register(number);
                    let value = registers.get(register);
                    if value == last.get(register) {
                        continue;
                    }
                    let Some(value) = value else {
                        last.forget(register);
                        continue;
                    };
                    last.set(register, value);
                    if register != arch.stack_pointer() && register != arch.instruction_pointer() {
                        step.changed |= bit(register);
                        values.push(value);
                    }
                }
            }
            last => {
                *last = Some(registers.clone());
                whole.push(Whole { registers: registers.clone(), values: values.len() });
            }
        }
        steps.push(step);
    }

    /// How many values of registers were taken down, beside the frames that are kept whole.
    pub fn values(&self) -> usize {
        self.recovered.values.len()
    }

    /// What was taken down, without room to grow: thousands of stacks are kept.
    pub fn finish(self) -> Recovered {
        let Recovered { mut whole, mut steps, mut values } = self.recovered;
        whole.shrink_to_fit();
        steps.shrink_to_fit();
        values.shrink_to_fit();
        Recovered { whole, steps, values }
    }
}

impl Recovered {
    /// Of how many frames, from the innermost on.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Bytes of memory that they take.
    pub fn bytes(&self) -> usize {
        let whole = self.whole.capacity().saturating_mul(size_of::<Whole>());
        let steps = self.steps.capacity().saturating_mul(size_of::<Step>());
        whole.saturating_add(steps).saturating_add(self.values.capacity().saturating_mul(size_of::<u64>()))
    }

    /// Those of the frame at `index`, which has these stack and instruction pointers; `None` past the last frame.
    pub(super) fn at(&self, index: usize, sp: Addr, pc: Addr) -> Option<Registers> {
        let nearest = index.checked_div(WHOLE_EVERY)?;
        let Whole { registers, values } = self.whole.get(nearest)?;
        let mut registers = registers.clone();
        let first = nearest.checked_mul(WHOLE_EVERY)?.checked_add(1)?;
        let mut values = self.values.get(*values..)?.iter();
        for step in self.steps.get(first..index.checked_add(1)?).unwrap_or_default() {
            step.apply(&mut registers, &mut values);
        }
        self.steps.get(index)?.complete(&mut registers, sp, pc);
        Some(registers)
    }

    /// Those of one frame after the other; `places` are the stack and instruction pointers of all.
    pub(super) fn iter(&self, places: impl Iterator<Item = (Addr, Addr)>) -> impl Iterator<Item = Registers> {
        let mut values = self.values.iter();
        let mut now: Option<Registers> = None;
        self.steps.iter().zip(places).enumerate().map_while(move |(index, (step, (sp, pc)))| {
            match &mut now {
                Some(registers) if !index.is_multiple_of(WHOLE_EVERY) => step.apply(registers, &mut values),
                now => *now = Some(self.whole.get(index.checked_div(WHOLE_EVERY)?)?.registers.clone()),
            }
            let registers = now.as_mut()?;
            step.complete(registers, sp, pc);
            Some(registers.clone())
        })
    }
}

impl Step {
    /// Sets what changed. What is no longer known is forgotten by [`Step::complete`], and in the steps between not
    /// asked for.
    fn apply<'v>(self, registers: &mut Registers, values: &mut impl Iterator<Item = &'v u64>) {
        for number in 0..u32::BITS {
            if self.changed & (1 << number) != 0
                && let (Ok(number), Some(value)) = (u16::try_from(number), values.next())
            {
                registers.set(Register(number), *value);
            }
        }
        // What the calling function has not preserved is unknown from here on, until a step recovers it.
        registers.keep(u64::from(self.known) | (1 << 32));
    }

    fn complete(self, registers: &mut Registers, sp: Addr, pc: Addr) {
        let arch = registers.arch();
        if self.known & bit(arch.stack_pointer()) != 0 {
            registers.set(arch.stack_pointer(), sp.0);
        }
        registers.set(arch.instruction_pointer(), pc.0);
    }
}

/// The bit of a register below 32.
fn bit(register: Register) -> u32 {
    1u32.checked_shl(register.0.into()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Arch;

    fn registers(arch: Arch, values: &[(u16, u64)]) -> Registers {
        let mut registers = Registers::unknown(arch);
        values.iter().for_each(|(number, value)| registers.set(Register(*number), *value));
        registers
    }

    fn recorded(frames: &[Registers]) -> Recovered {
        let mut recorder = Recorder::default();
        frames.iter().for_each(|registers| recorder.add(registers));
        recorder.finish()
    }

    fn place(registers: &Registers) -> (Addr, Addr) {
        (registers.sp().unwrap_or_default(), registers.pc().unwrap_or_default())
    }

    #[test]
    fn every_frame_has_the_registers_that_were_taken_down() {
        // Three callee-saved registers that come and go at their own pace, and in each ninth frame no stack pointer.
        for (arch, saved) in [(Arch::X86_64, [3u16, 6, 12]), (Arch::Aarch64, [19, 29, 30])] {
            let frame = |index: u64| {
                let mut values = vec![(arch.instruction_pointer().0, 0x1000 + index)];
                if index % 9 != 8 {
                    values.push((arch.stack_pointer().0, 0x7000 + index * 16));
                }
                for (place, number) in (1u64..).zip(saved) {
                    if !index.is_multiple_of(place + 3) {
                        values.push((number, index / place));
                    }
                }
                registers(arch, &values)
            };
            let frames: Vec<Registers> = (0..200).map(frame).collect();
            let recovered = recorded(&frames);
            for (index, expected) in frames.iter().enumerate() {
                let (sp, pc) = place(expected);
                assert_eq!(recovered.at(index, sp, pc).as_ref(), Some(expected), "{arch} frame {index}");
            }
            assert!(recovered.iter(frames.iter().map(place)).eq(frames.iter().cloned()), "{arch}");
            assert_eq!(recovered.at(200, Addr(0), Addr(0)), None);
        }
    }

    #[test]
    fn a_thousand_stacks_of_sixty_frames_take_less_than_three_megabytes() {
        // As compilers make them: each second function saves rbp and rbx, each fifth r12 to r15 too.
        let frame = |index: u64| {
            let mut values = vec![(7u16, 0x7000 + index * 64), (16, 0x40_0000 + index), (6, index / 2), (3, index / 2)];
            values.extend((12..16).map(|number| (number, index / 5)));
            registers(Arch::X86_64, &values)
        };
        let recovered = recorded(&(0..60).map(frame).collect::<Vec<_>>());
        let of_thousand = recovered.bytes() * 1000;
        // Before, the registers of the 48 innermost frames were kept whole: 160 bytes each, 7.7 MB.
        assert!(of_thousand < 3_000_000, "{of_thousand} bytes");
    }
}
