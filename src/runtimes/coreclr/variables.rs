//! Arguments and local variables of frames in managed code.
//!
//! Input: a frame and its registers. Output: its [`Variable`]s, each with a value or why it is unknown: arguments by the names and types that the
//! metadata has, local variables by the names of a PDB, where they are by what the compiler left for debuggers.

use super::clr::{Clr, plus};
use super::code::{self, Code, Place, REGISTERS};
use super::debug_info::{self, Located, Location};
use super::metadata::{Metadata, Sort};
use super::methods::Methods;
use super::modules;
use super::objects::Values;
use super::rows;
use super::types::{Field, Held};
use super::values::{Kept, Typed};
use crate::model::{Addr, Frame, Gap, Known, Register, Registers, Value, Variable, VariableKind};

/// What is asked of one frame.
struct Asked<'a> {
    clr: &'a Clr,
    registers: &'a Registers,
    located: Known<Vec<Located>>,
}

/// The variables of a frame; `None` where it is in no method whose metadata can be read.
pub(super) fn of_frame(methods: &Methods, frame: &Frame, registers: &Registers) -> Option<Vec<Variable>> {
    let clr = &*methods.clr;
    let Code::Method(place) = code::at(clr, frame.lookup()).ok()?? else { return None };
    let types = methods.types();
    let rows::Row { table, rid } = rows::row(clr, place.method).ok()?;
    let module = types.module(table).ok()?;
    let metadata = methods.modules.metadata(clr, module).ok()?;
    let signature = metadata.signature(clr.memory(), rid).ok()?;
    let arguments = methods.arguments(place.method).unwrap_or_default();
    let values = Values::of(methods);
    let values = Typed { values: &values, class: table, arguments: &arguments };
    let asked = Asked { clr, registers, located: debug_info::locations(clr, &place, frame.lookup()) };
    let mut all = Vec::new();
    if signature.has_this {
        all.push(variable(Some("this".to_owned()), VariableKind::Argument, values.this(asked.kept(0))));
    }
    let names = metadata.parameter_names(clr.memory(), rid).unwrap_or_default();
    for (sequence, sort) in (1u32..).zip(&signature.parameters) {
        let name = names.iter().find(|(number, _)| *number == sequence).map(|(_, name)| name.clone());
        let number = if signature.has_this { sequence } else { sequence.saturating_sub(1) };
        all.push(variable(name, VariableKind::Argument, asked.value(&values, sort, number)));
    }
    let first = u32::try_from(all.len()).unwrap_or(u32::MAX);
    let sorts = locals(clr, module, &metadata, rid).unwrap_or_default();
    for (index, name) in names_of(methods, &asked, module, rid, &place, frame.lookup(), first) {
        let number = first.saturating_add(index);
        let value = match usize::try_from(index).ok().and_then(|index| sorts.get(index)) {
            Some(sort) => asked.value(&values, sort, number),
            None => {
                let gap = Gap::NotRecorded("the method's list of variables is not in the dump".to_owned());
                Value { ty: None, location: None, content: Err(gap) }
            }
        };
        all.push(variable(Some(name), VariableKind::Local, value));
    }
    if signature.has_this && methods.pdb(module).is_some_and(|pdb| matches!(pdb.kickoff(rid), Ok(Some(_)))) {
        all.extend(hoisted(&values, asked.kept(0)).unwrap_or_default());
    }
    Some(all)
}

/// What an asynchronous method or an iterator keeps in its state machine: the arguments and variables that its source has.
fn hoisted(values: &Typed<'_>, this: Known<Kept>) -> Known<Vec<Variable>> {
    let machine = values.instance(this?)?;
    let fields = machine.types.fields(machine.class.table)?;
    let told = |field: &Field| {
        let (name, kind) = in_source(&field.name)?;
        let value = machine.place_of(field).map(|at| values.values.of_field(field, at, 0));
        let value = value.unwrap_or_else(|gap| Value { ty: None, location: None, content: Err(gap) });
        Some(variable(Some(name.to_owned()), kind, value))
    };
    Ok(fields.iter().filter(|field| field.held == Held::Object).filter_map(told).collect())
}

/// What a field of a state machine is called in the source; `None` for what the compiler added.
fn in_source(field: &str) -> Option<(&str, VariableKind)> {
    // Source: dotnet/roslyn src/Compilers/CSharp/Portable/Symbols/Synthesized/GeneratedNames.cs: `<name>5__1` is a variable, `<>4__this` the object
    // whose method it is; arguments keep their names.
    if field == "<>4__this" {
        return Some((field, VariableKind::Argument));
    }
    match field.strip_prefix('<') {
        None => Some((field, VariableKind::Argument)),
        Some(rest) => {
            let (name, kind) = rest.split_once('>')?;
            (!name.is_empty() && kind.starts_with("5__")).then_some((name, VariableKind::Local))
        }
    }
}

fn variable(name: Option<String>, kind: VariableKind, value: Value) -> Variable {
    Variable { name: name.map(Into::into), kind, value }
}

/// Local variables by their numbers: those that the PDB names at an instruction; without one those that are somewhere.
fn names_of(
    methods: &Methods,
    asked: &Asked<'_>,
    module: Addr,
    rid: u32,
    place: &Place,
    lookup: Addr,
    first: u32,
) -> Vec<(u32, String)> {
    if let Some(pdb) = methods.pdb(module) {
        let il = debug_info::instruction(&methods.clr, place, lookup).ok().flatten().unwrap_or(0);
        return pdb.locals(rid, il).unwrap_or_default();
    }
    let numbers = asked.located.iter().flatten().filter_map(|located| located.number?.checked_sub(first));
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.into_iter().map(|number| (number, format!("local_{number}"))).collect()
}

/// The types of a method's local variables.
fn locals(clr: &Clr, module: Addr, metadata: &Metadata, rid: u32) -> Known<Vec<Sort>> {
    // Source: ECMA-335 II.25.4: the two low bits tell a head of one byte without variables (2) from one with LocalVarSigTok at 8 (3).
    let rva = metadata.body(clr.memory(), rid)?;
    let Some(image) = modules::image(clr, module)?.filter(|_| rva != 0) else { return Ok(Vec::new()) };
    let head = image.place(rva)?;
    match clr.memory().u8(head)? & 3 {
        3 => metadata.locals(clr.memory(), clr.memory().u32(plus(head, 8)?)?),
        _ => Ok(Vec::new()),
    }
}

impl Asked<'_> {
    fn value(&self, values: &Typed<'_>, sort: &Sort, number: u32) -> Value {
        match self.kept(number) {
            Ok(kept) => values.value(sort, kept),
            Err(gap) => values.unknown(sort, gap),
        }
    }

    /// Where an argument or variable is.
    fn kept(&self, number: u32) -> Known<Kept> {
        let located = self.located.as_ref().map_err(Gap::clone)?;
        let found = located.iter().find(|located| located.number == Some(number));
        let found = found.ok_or_else(|| Gap::NotRecorded("its value is no longer needed here".to_owned()))?;
        let above = |register, offset: i32| {
            let at = self.register(register)?.checked_add_signed(offset.into());
            at.map(Addr).ok_or_else(|| Gap::Corrupt("a place on the stack".to_owned()))
        };
        Ok(match found.place {
            Location::Register(register) => Kept::Registers(pair(self.register(register)?, 0)),
            Location::Two(low, high) => Kept::Registers(pair(self.register(low)?, self.register(high)?)),
            Location::Behind(register) => Kept::Memory(Addr(self.register(register)?)),
            Location::Stack(register, offset) => Kept::Memory(above(register, offset)?),
            Location::BehindStack(register, offset) => Kept::Memory(self.clr.memory().ptr(above(register, offset)?)?),
            Location::Unread => {
                return Err(Gap::Unsupported("values in registers of floating point numbers".to_owned()));
            }
        })
    }

    fn register(&self, number: u32) -> Known<u64> {
        let register = usize::try_from(number).ok().and_then(|number| REGISTERS.get(number));
        let register = register.ok_or_else(|| Gap::Corrupt(format!("register {number}")))?;
        let value = self.registers.get(Register(*register));
        value.ok_or_else(|| Gap::NotRecorded("the register that holds it was not recovered".to_owned()))
    }
}

fn pair(low: u64, high: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    let words = low.to_le_bytes().into_iter().chain(high.to_le_bytes());
    bytes.iter_mut().zip(words).for_each(|(to, from)| *to = from);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_state_machines_are_called_as_in_the_source() {
        // As csc 5.0 names them: of `async Task Later(int value) { var tag = …; await …; }`.
        assert_eq!(in_source("value"), Some(("value", VariableKind::Argument)));
        assert_eq!(in_source("<tag>5__2"), Some(("tag", VariableKind::Local)));
        assert_eq!(in_source("<>4__this"), Some(("<>4__this", VariableKind::Argument)));
        let made = ["<>1__state", "<>t__builder", "<>u__1", "<>7__wrap2", "<>s__1", "<>3__from", "<>2__current"];
        assert!(made.iter().all(|name| in_source(name).is_none()));
    }
}
