//! The arguments and local variables of a walked stack, with their values.
//!
//! Input: a stack with registers, the debug information of its modules. Output: for each named frame (inlined calls expanded) its
//! variables; each has a value or the reason why it is unknown. Where no debug information describes a frame, or its registers
//! were not kept, there is no list. Left out: global variables.

mod entry;
mod place;
mod read;
mod scalar;
mod trusted;

use std::sync::Arc;

pub use entry::AtEntry;
pub use place::{Context, Held, Place};

use self::read::ValueReader;
use self::trusted::Trusted;
use crate::model::{Gap, Known, Registers, Stack, Type, Value, Variable, VariableKind};
use crate::target::Target;

/// The variables of each frame, parallel to [`Target::named`]; `None` where nothing tells them. At most the first `limit` named
/// frames are looked at.
pub fn of_stack(target: &Target, stack: &Stack, limit: usize) -> Vec<Option<Vec<Variable>>> {
    let mut all = Vec::new();
    let mut trusted = Trusted::All;
    for (index, (frame, registers)) in stack.frames.iter().zip(stack.each_registers()).enumerate() {
        if all.len() >= limit {
            break;
        }
        trusted = trusted.after(frame.trust);
        let count = target.name(frame.lookup()).map_or(1, |name| name.parts.len().max(1));
        let mut parts: Vec<Option<Vec<Variable>>> = vec![None; count];
        if let Some(found) = of_frame(target, stack, index, &registers, trusted) {
            parts.fill(Some(Vec::new()));
            for (part, variable) in found {
                if let Some(Some(list)) = parts.get_mut(part) {
                    list.push(variable);
                }
            }
        }
        all.extend(parts);
    }
    all
}

/// The variables at a physical frame, each with the position of its part among the frame's names.
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
    let entered = AtEntry::new(target, stack, index);
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
