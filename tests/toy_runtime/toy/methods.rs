//! Methods: whose code an address is, what it is called, and who called it.

use std::sync::Arc;

use dumpscope::capture::Memory;
use dumpscope::model::{Addr, Arch, End, Frame, FrameKind, Known, NamedFrame, Register, Trust};
use dumpscope::target::Target;
use dumpscope::unwind::row::Caller;
use dumpscope::unwind::{OwnFrame, Step, Unwind};

use super::MAGIC;
use super::memory::{at, elements, text};

/// Members of `struct toy_method`: code 0, size 8, then these.
const SIZE: u64 = 80;
const NAME: (u64, u64) = (16, 32);
const INLINED: (u64, u64) = (48, 32);
/// Members of `struct toy_frame`: magic 0, then these.
const SP: u64 = 8;
const RBX: u64 = 16;
/// DWARF's number of rbx. Source: System V AMD64 psABI 1.0, figure 3.36.
const FRAME: Register = Register(3);

/// One method.
#[derive(Clone, Debug)]
pub(super) struct Method {
    pub(super) code: Addr,
    pub(super) end: Addr,
    pub(super) name: Arc<str>,
    /// What its compiler expanded in place.
    inlined: Option<Arc<str>>,
}

/// All methods.
pub(super) struct Methods {
    target: Arc<Target>,
    pub(super) all: Vec<Method>,
}

impl Methods {
    pub(super) fn read(target: &Arc<Target>, table: Addr) -> Known<Methods> {
        let memory = &target.memory;
        let method = |base: Addr| {
            let code = memory.ptr(base)?;
            let end = at(code, memory.u64(at(base, 8)?)?)?;
            let inlined = Some(text(memory, base, INLINED)?).filter(|name| !name.is_empty());
            Ok(Method { code, end, name: text(memory, base, NAME)?.into(), inlined: inlined.map(Arc::from) })
        };
        let all = elements(memory, table, SIZE)?.into_iter().map(method).collect::<Known<Vec<Method>>>()?;
        Ok(Methods { target: Arc::clone(target), all })
    }

    /// The method whose code an address is.
    pub(super) fn at(&self, code: Addr) -> Option<&Method> {
        self.all.iter().find(|method| method.code <= code && code < method.end)
    }

    /// A frame of a method with its names.
    pub(super) fn named(&self, frame: &Frame) -> Option<Vec<NamedFrame>> {
        let method = self.at(frame.lookup())?;
        let itself = NamedFrame {
            index: 0,
            pc: frame.pc,
            sp: frame.sp,
            kind: frame.kind,
            trust: frame.trust,
            module: Some("toy".into()),
            function: Some(Arc::clone(&method.name)),
            offset: frame.pc.since(method.code),
            file: None,
            line: None,
            approximate: false,
            own: true,
            walked: 0,
            part: None,
        };
        let inlined = method.inlined.clone().map(|name| NamedFrame {
            kind: FrameKind::Inline,
            function: Some(name),
            offset: None,
            ..itself.clone()
        });
        Some(inlined.into_iter().chain([itself]).collect())
    }

    fn caller(&self, frame: &OwnFrame<'_>) -> Known<Option<Caller>> {
        let memory: &Memory = &self.target.memory;
        let Some(record) = frame.registers.get(FRAME).map(Addr) else { return Ok(None) };
        if frame.registers.arch() != Arch::X86_64 || memory.u64(record)? != MAGIC {
            return Ok(None);
        }
        let slot = memory.ptr(at(record, SP)?)?;
        let cfa = at(slot, 8)?;
        let mut registers = frame.registers.clone();
        registers.set(FRAME, memory.u64(at(record, RBX)?)?);
        registers.set(Arch::X86_64.stack_pointer(), cfa.0);
        registers.set(Arch::X86_64.instruction_pointer(), memory.u64(slot)?);
        Ok(Some(Caller { registers, cfa }))
    }
}

impl Unwind for Methods {
    fn owns(&self, code: Addr) -> bool {
        self.at(code).is_some()
    }

    fn step(&self, frame: &OwnFrame<'_>) -> Step {
        match self.caller(frame) {
            Ok(Some(caller)) => Step::Caller { caller, trust: Trust::Runtime, returns: true, switches: true },
            Ok(None) => Step::End(End::NoUnwindInfo),
            Err(_) => Step::End(End::NoMemory),
        }
    }
}
