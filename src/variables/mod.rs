//! The arguments and local variables of a walked stack, with their values.
//!
//! Input: a stack with registers, its named frames (inlined calls expanded), the debug information of its modules.
//! Output: for each named frame its variables; each has a value or the reason why it is unknown. A runtime tells those of
//! its own code. Where nothing describes a frame, or its registers were not kept, there is no list. Left out: global
//! variables.

mod containers;
mod entry;
mod expression;
mod place;
mod read;
mod scalar;
mod trusted;

use std::sync::Arc;

use rustc_hash::FxHashMap;

pub use entry::AtEntry;
pub use expression::{Evaluated, Local, Scope, evaluate};
pub use place::{Context, Held, Place};

use self::read::ValueReader;
use self::trusted::Trusted;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Frame, Gap, Known, NamedFrame, Registers, Stack, Type, Value, Variable, VariableKind};
use crate::target::{Module, Target};

/// What a runtime tells of a frame in its own code, by the registers in it.
pub type OfRuntime<'r> = dyn Fn(&Frame, &Registers) -> Option<Vec<Variable>> + 'r;

/// The variables of named frames of a stack, innermost first and parallel to them; `None` where nothing tells them. Fails
/// where the job is cancelled.
pub fn of_frames(
    target: &Target,
    stack: &Stack,
    named: &[NamedFrame],
    of_runtime: &OfRuntime<'_>,
    job: &Job,
) -> Result<Vec<Option<Vec<Variable>>>, Error> {
    let mut all = Vec::with_capacity(named.len());
    let mut trusted = Trusted::All;
    let mut rest = named;
    for (index, (frame, registers)) in stack.frames.iter().zip(stack.each_registers()).enumerate() {
        trusted = trusted.after(frame.trust);
        if rest.is_empty() {
            break;
        }
        let here = rest.iter().take_while(|named| named.walked == index).count();
        let (parts, others) = rest.split_at_checked(here).unwrap_or_default();
        rest = others;
        job.check()?;
        let is_described = parts.iter().any(|named| named.part.is_some());
        if !is_described && !parts.is_empty() && trusted != Trusted::None {
            let told = of_runtime(frame, &trusted.registers(&registers));
            all.extend(parts.iter().zip(std::iter::once(told).chain(std::iter::repeat(None))).map(|(_, list)| list));
            continue;
        }
        let found = if is_described { of_frame(target, stack, index, &registers, trusted) } else { None };
        let list = |named: &NamedFrame| if found.is_some() { named.part.map(|_| Vec::new()) } else { None };
        let mut lists: Vec<Option<Vec<Variable>>> = parts.iter().map(list).collect();
        for (part, variable) in found.into_iter().flatten() {
            let at = parts.iter().position(|named| named.part == Some(part));
            if let Some(Some(list)) = at.and_then(|at| lists.get_mut(at)) {
                list.push(variable);
            }
        }
        all.extend(lists);
    }
    // Of those beyond no registers are known.
    all.resize(named.len(), None);
    Ok(all)
}

/// What lies at an address, as a structure of that name of a module says.
pub fn at(target: &Target, module: &Module, ty: symbols::TypeId, at: Addr) -> Value {
    ValueReader::new(target, module).value(ty, &Held::Memory(at))
}

/// The variable of that name in a named frame: its module, its type, and where it is; the innermost of several. `None` where the
/// frame has none, or nothing tells its variables.
pub fn in_frame<'t>(target: &'t Target, stack: &Stack, named: &NamedFrame, name: &str) -> Option<Local<'t>> {
    let index = named.walked;
    let before = stack.frames.get(..=index)?;
    let trusted = before.iter().fold(Trusted::All, |trusted, frame| trusted.after(frame.trust));
    let registers = stack.each_registers().nth(index)?;
    let frame = stack.frames.get(index)?;
    let module = target.module_at(frame.lookup())?;
    let locals = module.symbols().locals(module.svma(frame.lookup())?)?;
    let is_it = |variable: &&symbols::Variable| {
        variable.name.as_deref() == Some(name) && named.part.is_none_or(|part| part == variable.frame)
    };
    let variable = locals.variables.iter().rev().find(is_it)?;
    let registers = trusted.registers(&registers);
    let entered = AtEntry::of_trusted(target, stack, index, trusted);
    let at_entry = |register| entered.value(register);
    let bias = module.mapped.bias?;
    let context = Context { frame, registers: &registers, memory: &target.memory, bias, at_entry: &at_entry };
    let ty = variable.ty.ok_or_else(|| Gap::NoLayout("no type is stated".to_owned()));
    if trusted == Trusted::None {
        return Some(Err(Gap::NotRecorded("its frame was found by scanning the stack".to_owned())));
    }
    Some(ty.and_then(|ty| Ok((module, ty, context.held(&locals, &variable.location)?))))
}

/// What is done with a variable: its module, its type, where it is, its name.
pub type VisitPlace<'v> = dyn FnMut(&Module, symbols::TypeId, &Held, Option<&str>) + 'v;

/// Where the variables of many stacks are; what debug information says of an address is read once.
pub struct Places<'t> {
    target: &'t Target,
    locals: FxHashMap<Addr, Option<symbols::Locals>>,
}

impl<'t> Places<'t> {
    /// Nothing is read yet.
    pub fn new(target: &'t Target) -> Places<'t> {
        Places { target, locals: FxHashMap::default() }
    }

    /// The arguments and local variables of all frames of a stack that have a type and a place, those of frames that were
    /// guessed left out; innermost first.
    pub fn of_stack(&mut self, stack: &Stack, visit: &mut VisitPlace<'_>) {
        let mut trusted = Trusted::All;
        for (index, (frame, registers)) in stack.frames.iter().zip(stack.each_registers()).enumerate() {
            trusted = trusted.after(frame.trust);
            if trusted == Trusted::None {
                return;
            }
            let at = frame.lookup();
            let Some(module) = self.target.module_at(at) else { continue };
            let read = || module.symbols().locals(module.svma(at)?);
            let (Some(locals), Some(bias)) = (self.locals.entry(at).or_insert_with(read), module.mapped.bias) else {
                continue;
            };
            let registers = trusted.registers(&registers);
            let entered = AtEntry::of_trusted(self.target, stack, index, trusted);
            let at_entry = |register| entered.value(register);
            let memory = &self.target.memory;
            let context = Context { frame, registers: &registers, memory, bias, at_entry: &at_entry };
            for variable in &locals.variables {
                if let (Some(ty), Ok(held)) = (variable.ty, context.held(locals, &variable.location)) {
                    visit(module, ty, &held, variable.name.as_deref());
                }
            }
        }
    }
}

/// The variables at a physical frame, each with the position of its part among the calls that debug information expands
/// there.
fn of_frame(
    target: &Target,
    stack: &Stack,
    index: usize,
    registers: &Registers,
    trusted: Trusted,
) -> Option<Vec<(usize, Variable)>> {
    let frame = stack.frames.get(index)?;
    let module = target.module_at(frame.lookup())?;
    let bias = module.mapped.bias?;
    let locals = module.symbols().locals(module.svma(frame.lookup())?)?;
    let registers = trusted.registers(registers);
    let entered = AtEntry::of_trusted(target, stack, index, trusted);
    let at_entry = |register| entered.value(register);
    let context = Context { frame, registers: &registers, memory: &target.memory, bias, at_entry: &at_entry };
    let value = |variable: &symbols::Variable| -> Known<Value> {
        if trusted == Trusted::None {
            return Err(Gap::NotRecorded("its frame was found by scanning the stack".to_owned()));
        }
        let held = context.held(&locals, &variable.location)?;
        let ty = variable.ty.ok_or_else(|| Gap::NoLayout("no type is stated".to_owned()))?;
        Ok(ValueReader::new(target, module).value(ty, &held))
    };
    let read = |variable: &symbols::Variable| {
        let mut value = value(variable).unwrap_or_else(|gap| Value { ty: None, location: None, content: Err(gap) });
        // Its name is known where its value and even its type's layout are not.
        let size = value.ty.as_ref().and_then(|ty| ty.size);
        value.ty = variable.type_name.as_deref().map(|name| Type { name: name.into(), size });
        Variable {
            name: variable.name.as_deref().map(Arc::from),
            kind: if variable.is_parameter { VariableKind::Argument } else { VariableKind::Local },
            value,
        }
    };
    Some(locals.variables.iter().map(|variable| (variable.frame, read(variable))).collect())
}
