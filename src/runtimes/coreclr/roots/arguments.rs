//! Arguments of a method that a stub is about to call: which of them are references, by the method's signature.
//!
//! Input: the method, and where the stub has saved the registers that pass arguments. Output: the places of references, to objects and into them.
//! Specification: System V AMD64 psABI 1.0, 3.2.3; dotnet/runtime docs/design/coreclr/botr/clr-abi.md; src/coreclr/vm/callingconvention.h,
//! ArgIteratorTemplate. Left out: vectors and integers of 128 bits, `TypedReference`, variable arguments.

use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::plus;
use crate::runtimes::coreclr::heap::{Pattern, Walked};
use crate::runtimes::coreclr::metadata::{Signature, Sort};
use crate::runtimes::coreclr::methods::Methods;
use crate::runtimes::coreclr::rows::{self, Row};
use crate::runtimes::coreclr::types::{ClassKind, Held, Types};

/// Registers that pass integers and references, and those that pass floating point numbers.
const INTEGERS: u64 = 6;
const FLOATS: u64 = 8;
const WORD: u64 = 8;
/// Larger structures are passed on the stack: two words at most are passed in registers.
const MAX_WORDS: u64 = 2;
/// Structures in structures, and parts of one.
const MAX_DEPTH: usize = 8;
const MAX_PARTS: usize = 1 << 10;
// Element types: ECMA-335 II.23.1.16.
const FLOAT: [u8; 2] = [0x0c, 0x0d];
const BY_REFERENCE: u8 = 0x10;
const VALUE: u8 = 0x11;
const CLASS: u8 = 0x12;
const TYPED_REFERENCE: u8 = 0x16;

/// Where the references are, as far as they are known, and why there may be more.
pub(super) fn places(methods: &Methods, method: Addr, block: Addr) -> (Vec<Addr>, Option<Gap>) {
    let mut passing = Passing { block, integers: 0, floats: 0, stack: None, found: Vec::new() };
    let unread = passing.add_all(methods, method).err();
    (passing.found, unread)
}

/// How a type's values are passed.
#[derive(Debug, PartialEq, Eq)]
enum Passed {
    Reference,
    Number,
    Float,
    Structure(Structure),
}

/// A structure as it is passed.
#[derive(Debug, PartialEq, Eq)]
struct Structure {
    words: u64,
    /// Of each of its first words whether it has only floating point numbers; `None` for one without any field.
    floats: [Option<bool>; MAX_WORDS as usize],
    /// Bytes to its references.
    references: Vec<u64>,
}

/// Goes through arguments in their order.
struct Passing {
    block: Addr,
    /// Registers that are used up.
    integers: u64,
    floats: u64,
    /// Where the next one on the stack is.
    stack: Option<Addr>,
    found: Vec<Addr>,
}

impl Passing {
    fn add_all(&mut self, methods: &Methods, method: Addr) -> Known<()> {
        let (clr, types) = (&methods.clr, methods.types());
        // Source: callingconvention.h, TransitionBlock::GetOffsetOfArgs: arguments on the stack follow the block.
        self.stack = Some(plus(self.block, clr.layout.offset("TransitionBlock", "!")?)?);
        let Row { table, rid } = rows::row(clr, method)?;
        let metadata = methods.modules.metadata(clr, types.module(table)?)?;
        let Signature { has_this, returns, parameters } = metadata.signature(clr.memory(), rid)?;
        let arguments = methods.arguments(method)?;
        let asked = Asked { types, class: table, arguments: &arguments };
        if has_this {
            self.add(&Passed::Reference)?;
        }
        // The place for a large structure that is returned.
        if let Passed::Structure(Structure { words, .. }) = asked.passed(&returns)?
            && words > MAX_WORDS
        {
            self.add(&Passed::Reference)?;
        }
        if asked.takes_types(has_this)? {
            self.add(&Passed::Number)?;
        }
        parameters.iter().try_for_each(|sort| self.add(&asked.passed(sort)?))
    }

    fn add(&mut self, passed: &Passed) -> Known<()> {
        match passed {
            Passed::Reference => {
                let at = self.word()?;
                self.found.push(at);
            }
            Passed::Number => drop(self.word()?),
            Passed::Float if self.floats < FLOATS => self.floats = self.floats.saturating_add(1),
            Passed::Float => drop(self.on_stack(1)?),
            Passed::Structure(structure) => self.add_structure(structure)?,
        }
        Ok(())
    }

    fn add_structure(&mut self, Structure { words, floats, references }: &Structure) -> Known<()> {
        let own = || floats.iter().take(usize::try_from(*words).unwrap_or(usize::MAX));
        let count = |wanted: bool| own().filter(|is_float| is_float.unwrap_or(false) == wanted).count() as u64;
        let fits = self.integers.saturating_add(count(false)) <= INTEGERS
            && self.floats.saturating_add(count(true)) <= FLOATS
            && floats.iter().any(Option::is_some);
        if *words > MAX_WORDS || !fits {
            let start = self.on_stack(*words)?;
            for offset in references {
                self.found.push(plus(start, *offset)?);
            }
            return Ok(());
        }
        for (word, is_float) in (0u64..).zip(own()) {
            if *is_float == Some(true) {
                self.floats = self.floats.saturating_add(1);
                continue;
            }
            let at = self.word()?;
            self.found.extend(references.contains(&word.saturating_mul(WORD)).then_some(at));
        }
        Ok(())
    }

    /// The next register, else the next word of the stack.
    fn word(&mut self) -> Known<Addr> {
        if self.integers >= INTEGERS {
            return self.on_stack(1);
        }
        let at = plus(self.block, self.integers.saturating_mul(WORD))?;
        self.integers = self.integers.saturating_add(1);
        Ok(at)
    }

    fn on_stack(&mut self, words: u64) -> Known<Addr> {
        let at = self.stack.ok_or_else(|| Gap::NoLayout("arguments on the stack".to_owned()))?;
        self.stack = Some(plus(at, words.saturating_mul(WORD))?);
        Ok(at)
    }
}

/// A method's types: its class, and its own type arguments.
struct Asked<'a> {
    types: Types<'a>,
    class: Addr,
    arguments: &'a [Addr],
}

impl Asked<'_> {
    /// Whether the method is given the type arguments with which it is called: its code serves several.
    fn takes_types(&self, has_this: bool) -> Known<bool> {
        // Source: dotnet/runtime src/coreclr/vm/methodtable.h, enum_flag_GenericsMask_SharedInst; method.hpp, RequiresInstArg.
        const SHARED: u32 = 0x20;
        const GENERICS: u32 = 0x30;
        let of_method =
            self.arguments.iter().map(|argument| Ok(self.types.handle_name(*argument)? == "System.__Canon"));
        if of_method.collect::<Known<Vec<bool>>>()?.contains(&true) {
            return Ok(true);
        }
        let is_shared = self.types.clr.u32(self.class, "MethodTable", "MTFlags")? & GENERICS == SHARED;
        Ok(is_shared && (!has_this || self.types.class(self.class)?.kind == ClassKind::Structure))
    }

    fn passed(&self, sort: &Sort) -> Known<Passed> {
        Ok(match sort {
            sort if sort.is_reference() => Passed::Reference,
            Sort::Primitive(TYPED_REFERENCE) => return Err(Gap::Unsupported("a TypedReference".to_owned())),
            Sort::Primitive(element) if FLOAT.contains(element) => Passed::Float,
            Sort::Pointer { is_reference: true, .. } => Passed::Reference,
            Sort::Primitive(_) | Sort::Pointer { .. } | Sort::Function { .. } => Passed::Number,
            Sort::Argument(index) => self.of_handle(self.types.argument(self.class, *index)?)?,
            Sort::MethodArgument(index) => {
                let found = usize::try_from(*index).ok().and_then(|index| self.arguments.get(index));
                let found = found.ok_or_else(|| Gap::NotRecorded("a type argument of a method".to_owned()))?;
                self.of_handle(*found)?
            }
            sort => self.of_handle(self.types.class_of_values(sort, self.class)?)?,
        })
    }

    fn of_handle(&self, handle: Addr) -> Known<Passed> {
        if self.types.is_described(handle) {
            return Ok(Passed::Number);
        }
        Ok(match self.types.class(handle)?.kind {
            ClassKind::Reference | ClassKind::Text | ClassKind::Array { .. } => Passed::Reference,
            ClassKind::Primitive(element) if FLOAT.contains(&element) => Passed::Float,
            ClassKind::Primitive(_) | ClassKind::Enumeration(_) => Passed::Number,
            ClassKind::Structure => Passed::Structure(self.structure(handle)?),
        })
    }

    fn structure(&self, table: Addr) -> Known<Structure> {
        /// A boxed structure has its method table before its fields, and behind them the header of the next object.
        const AROUND: u32 = 16;
        /// Passed in ways of their own. Source: class.cpp, "SIMD Intrinsic types are meant to be handled specially".
        const OWN_WAYS: [&str; 4] =
            ["System.Runtime.Intrinsics.Vector", "System.Numerics.Vector<", "System.Int128", "System.UInt128"];
        let class = self.types.class(table)?;
        let name = class.name.as_deref().map_err(Gap::clone)?;
        if OWN_WAYS.iter().any(|own| name.starts_with(own)) {
            return Err(Gap::Unsupported(format!("{name} as an argument")));
        }
        let words = u64::from(class.base_size.saturating_sub(AROUND)).div_ceil(WORD);
        let mut structure = Structure { words, floats: [None; MAX_WORDS as usize], references: Vec::new() };
        let mut left = MAX_PARTS;
        self.add_parts(table, 0, MAX_DEPTH, &mut left, &mut structure)?;
        // Of arrays within structures the fields tell the first element alone.
        if let Some(pattern) = self.types.pattern(table)? {
            structure.references.extend(in_boxed(&pattern, class.base_size.into()));
        }
        structure.references.sort_unstable();
        structure.references.dedup();
        Ok(structure)
    }

    fn add_parts(&self, table: Addr, from: u64, depth: usize, left: &mut usize, to: &mut Structure) -> Known<()> {
        let too_many = || Gap::Unsupported(format!("more than {MAX_PARTS} parts of a structure"));
        let inner = depth.checked_sub(1).ok_or_else(too_many)?;
        for field in self.types.fields(table)?.iter().filter(|field| field.held == Held::Object) {
            *left = left.checked_sub(1).ok_or_else(too_many)?;
            let offset = from.saturating_add(field.offset);
            if field.element == VALUE {
                let sort = field.sort.as_ref().map_err(Gap::clone)?;
                let within = self.types.class_of_values(sort, field.declared_by)?;
                self.add_parts(within, offset, inner, left, to)?;
                continue;
            }
            if matches!(field.element, BY_REFERENCE | CLASS) {
                to.references.push(offset);
            }
            let word = usize::try_from(offset / WORD).ok().and_then(|word| to.floats.get_mut(word));
            if let Some(only_floats) = word {
                *only_floats = Some(only_floats.unwrap_or(true) && FLOAT.contains(&field.element));
            }
        }
        Ok(())
    }
}

/// Bytes from a structure's start to its references, by those of the object that it is boxed in.
fn in_boxed(pattern: &Pattern, bytes: u64) -> Vec<u64> {
    let Pattern::Runs(runs) = pattern else { return Vec::new() };
    let object = Walked { at: Addr(0), table: Addr(0), bytes };
    let offsets = Pattern::offsets(runs, object);
    offsets.filter_map(|offset| offset.checked_sub(WORD)).take(MAX_PARTS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u64 = 0x1000;

    /// Where references are of arguments that are passed so; the stack's begin at 0x1068.
    fn found(all: &[Passed]) -> Vec<u64> {
        let mut passing =
            Passing { block: Addr(BLOCK), integers: 0, floats: 0, stack: Some(Addr(BLOCK + 104)), found: Vec::new() };
        all.iter().for_each(|passed| passing.add(passed).unwrap());
        passing.found.into_iter().map(|at| at.0 - BLOCK).collect()
    }

    fn structure(words: u64, floats: [Option<bool>; 2], references: &[u64]) -> Passed {
        Passed::Structure(Structure { words, floats, references: references.to_vec() })
    }

    #[test]
    fn references_are_in_six_registers_then_on_the_stack() {
        let reference = || Passed::Reference;
        let all: Vec<Passed> = (0..8).map(|_| reference()).collect();
        assert_eq!(found(&all), [0, 8, 16, 24, 32, 40, 104, 112]);
        // Floating point numbers have registers of their own, eight of them.
        assert_eq!(found(&[Passed::Float, reference(), Passed::Number, reference()]), [0, 16]);
        let mut all: Vec<Passed> = (0..9).map(|_| Passed::Float).collect();
        all.extend((0..7).map(|_| reference()));
        assert_eq!(found(&all), [0, 8, 16, 24, 32, 40, 112]);
    }

    #[test]
    fn structures_of_two_words_are_in_registers_where_these_suffice() {
        // Two references; a number and a reference; a floating point number and a reference.
        let pair = || structure(2, [Some(false), Some(false)], &[0, 8]);
        let half = structure(2, [Some(true), Some(false)], &[8]);
        assert_eq!(found(&[pair(), structure(2, [Some(false); 2], &[8]), half, Passed::Reference]), [0, 8, 24, 32, 40]);
        // The third would need one register more than there is; what follows takes that.
        let number = || Passed::Number;
        let all = [number(), pair(), pair(), pair(), Passed::Reference];
        assert_eq!(found(&all), [8, 16, 24, 32, 104, 112, 40]);
    }

    #[test]
    fn larger_structures_and_those_without_fields_are_on_the_stack() {
        let big = structure(3, [Some(false); 2], &[8, 16]);
        assert_eq!(found(&[big, structure(1, [None; 2], &[]), Passed::Reference]), [112, 120, 0]);
        assert_eq!(found(&[structure(1, [None; 2], &[]), structure(3, [Some(false); 2], &[16])]), [128]);
    }
}
