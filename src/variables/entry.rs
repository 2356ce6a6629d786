//! What a register held when a frame's function was entered: what its caller says that it passed there.
//!
//! Input: a walked stack, the debug information of its modules. Output: the value, where the caller describes the call, the call leads to this
//! very function (one that it ended with may have put another in its place), and all that the value is made of was recovered.

use std::cell::Cell;

use symbols::{Callee, Svma};

use super::place::Context;
use super::trusted::Trusted;
use crate::model::{Addr, FrameKind, Gap, Known, Register, Stack};
use crate::target::{Module, Target};

/// Callers are asked so far up: each may have passed on what it was given itself.
const MAX_CALLERS: usize = 8;

/// Values that are looked for on behalf of one frame, callers' included: each may be made of many others.
const MAX_VALUES: u32 = 256;

/// The values of registers when the function of one physical frame was entered.
pub struct AtEntry<'a> {
    target: &'a Target,
    stack: &'a Stack,
    index: usize,
    /// How far the registers in the frame itself are to be believed.
    trusted: Trusted,
    left: Cell<u32>,
}

impl<'a> AtEntry<'a> {
    /// Of the frame at `index`; looks at all frames below it.
    pub fn new(target: &'a Target, stack: &'a Stack, index: usize) -> AtEntry<'a> {
        let walked = stack.frames.iter().take(index.saturating_add(1));
        let trusted = walked.fold(Trusted::All, |so_far, frame| so_far.after(frame.trust));
        AtEntry::of_trusted(target, stack, index, trusted)
    }

    /// The same where it is known how far the frame's registers are to be believed.
    pub(super) fn of_trusted(target: &'a Target, stack: &'a Stack, index: usize, trusted: Trusted) -> AtEntry<'a> {
        AtEntry { target, stack, index, trusted, left: Cell::new(MAX_VALUES) }
    }

    /// The value of one register.
    pub fn value(&self, register: Register) -> Known<u64> {
        passed(self, self.index, self.trusted, register, MAX_CALLERS)
    }
}

/// What `register` held when the function of the frame at `index` was entered; `below` is how far that frame's registers
/// are to be believed.
fn passed(asked: &AtEntry<'_>, index: usize, below: Trusted, register: Register, callers: usize) -> Known<u64> {
    let AtEntry { target, stack, left, .. } = asked;
    let above = index.saturating_add(1);
    let (Some(callee), Some(caller), Some(found)) =
        (stack.frames.get(index), stack.frames.get(above), stack.registers_at(above))
    else {
        return Err(unknown("its caller is not known"));
    };
    left.set(left.get().saturating_sub(1));
    if callers == 0 || left.get() == 0 {
        return Err(unknown("it was passed on too often"));
    }
    let trusted = below.after(caller.trust);
    if trusted == Trusted::None || !caller.returns || [callee.kind, caller.kind].contains(&FrameKind::Signal) {
        return Err(unknown("it was not called by the frame above"));
    }
    let not_described = || unknown("its caller does not tell it");
    let module = target.module_at(caller.lookup()).ok_or_else(not_described)?;
    let bias = module.mapped.bias.ok_or_else(not_described)?;
    let site = module.svma(caller.pc).and_then(|svma| module.symbols().call_site(svma)).ok_or_else(not_described)?;
    let locals = module.svma(caller.lookup()).and_then(|svma| module.symbols().locals(svma)).unwrap_or_default();
    let registers = trusted.registers(&found);
    let at_entry = |register| passed(asked, above, trusted, register, callers.saturating_sub(1));
    let context = Context { frame: caller, registers: &registers, memory: &target.memory, bias, at_entry: &at_entry };
    let leads_here = match &site.callee {
        Callee::Start(start) => starts_at(target, callee.lookup(), module.addr(*start)),
        Callee::Named(name) => is_called(target, callee.lookup(), name),
        Callee::Computed(expression) => {
            starts_at(target, callee.lookup(), Some(Addr(context.value(&locals, expression)?)))
        }
        Callee::Unknown => false,
    };
    if !leads_here {
        return Err(unknown("its caller called something else, which may have ended with a call of it"));
    }
    let value = site.values.iter().find(|(number, _)| *number == register.0).map(|(_, value)| value);
    context.value(&locals, value.ok_or_else(not_described)?)
}

fn unknown(why: &str) -> Gap {
    Gap::NotRecorded(format!("value at entry: {why}"))
}

/// Whether the function that holds `lookup` starts at `start`.
fn starts_at(target: &Target, lookup: Addr, start: Option<Addr>) -> bool {
    let found = target.module_at(lookup).and_then(|module| Some((module, module.svma(lookup)?)));
    let own = found.and_then(|(module, svma)| start_of(module, svma));
    own.is_some() && own == start
}

fn start_of(module: &Module, svma: Svma) -> Option<Addr> {
    module.addr(module.symbols().function(svma)?.svma)
}

/// Whether the function that holds `lookup` has that name, or is a copy of it that the compiler made (`.constprop.0`).
fn is_called(target: &Target, lookup: Addr, name: &str) -> bool {
    target.function(lookup).is_some_and(|symbol| {
        let own = symbol.name.split(['.', '@']).next().unwrap_or(&symbol.name);
        own == name || *symbol.name == *name
    })
}
