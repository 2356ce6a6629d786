//! Types as signatures spell them: of fields, locals and parameters.
//!
//! Input: the bytes of a signature. Output: a tree of [`Sort`]. Specification: ECMA-335 II.23.2.12 (Type), II.23.2.4 (FieldSig),
//! II.23.2.6 (LocalVarSig).

use super::compressed::{compressed, primitive};
use super::damage::corrupt;
use crate::model::{Addr, Gap, Known};

/// Most parts of a signature, and the depth of types in types.
const MAX_PARTS: usize = 4096;
const MAX_DEPTH: usize = 32;
/// Calling convention of a field's signature: II.23.2.4.
const FIELD: u8 = 0x06;
/// That of local variables: II.23.2.6.
const LOCALS: u8 = 0x07;
/// Most variables of one method: as many as their numbers tell apart.
const MAX_LOCALS: u32 = 0xffff;

/// What a method is given: II.23.2.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Whether it has `this`, which is not among its parameters.
    pub has_this: bool,
    /// The type of what it returns.
    pub returns: Sort,
    /// The types of its parameters.
    pub parameters: Vec<Sort>,
}

impl Signature {
    /// That of a method.
    pub fn read(blob: &[u8]) -> Known<Signature> {
        const HAS_THIS: u8 = 0x20;
        let mut reader = Reader { bytes: blob, left: MAX_PARTS };
        let (convention, returns, parameters) = reader.method(0)?;
        Ok(Signature { has_this: convention & HAS_THIS != 0, returns, parameters })
    }
}

/// A type in a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sort {
    /// One that has no token, by its element type: II.23.1.16.
    Primitive(u8),
    /// A class or value type, by its index `TypeDefOrRef`.
    Named {
        /// Row, with the table in the two low bits: II.24.2.6.
        coded: u32,
        /// Whether it lies in what holds it.
        is_value: bool,
    },
    /// A type argument of the enclosing type.
    Argument(u32),
    /// A type argument of the method.
    MethodArgument(u32),
    /// A pointer, managed or not.
    Pointer {
        /// What it points to.
        to: Box<Sort>,
        /// Whether it is managed: by reference.
        is_reference: bool,
    },
    /// An array.
    Array {
        /// Of what.
        of: Box<Sort>,
        /// Dimensions; `None` for one that is indexed from 0 in one dimension.
        rank: Option<u32>,
    },
    /// A generic type with its arguments.
    Generic {
        /// What is generic: a [`Sort::Named`].
        of: Box<Sort>,
        /// Its arguments.
        arguments: Vec<Sort>,
    },
    /// A pointer to a function.
    Function {
        /// What it returns.
        returns: Box<Sort>,
        /// What it is given.
        parameters: Vec<Sort>,
    },
    /// One that the runtime means by a handle of its own, in signatures that it makes.
    Handle(Addr),
}

impl Sort {
    /// The type of a field.
    pub fn of_field(blob: &[u8]) -> Known<Sort> {
        let mut reader = Reader { bytes: blob, left: MAX_PARTS };
        match reader.byte()? {
            FIELD => reader.sort(0),
            other => Err(corrupt(&format!("a field's signature of kind {other:#x}"))),
        }
    }

    /// The types of a method's local variables.
    pub fn of_locals(blob: &[u8]) -> Known<Vec<Sort>> {
        let mut reader = Reader { bytes: blob, left: MAX_PARTS };
        match reader.byte()? {
            LOCALS => {
                let count = reader.number()?.min(MAX_LOCALS);
                (0..count).map(|_| reader.sort(0)).collect()
            }
            other => Err(corrupt(&format!("the local variables of a signature of kind {other:#x}"))),
        }
    }

    /// Whether its values are references to objects.
    pub fn is_reference(&self) -> bool {
        match self {
            // String, object.
            Sort::Primitive(element) => matches!(element, 0x0e | 0x1c),
            Sort::Named { is_value, .. } => !is_value,
            Sort::Generic { of, .. } => of.is_reference(),
            Sort::Array { .. } => true,
            Sort::Argument(_)
            | Sort::MethodArgument(_)
            | Sort::Pointer { .. }
            | Sort::Function { .. }
            | Sort::Handle(_) => false,
        }
    }
}

/// Reads signatures.
struct Reader<'a> {
    bytes: &'a [u8],
    left: usize,
}

impl Reader<'_> {
    fn cut() -> Gap {
        corrupt("a signature is cut")
    }

    fn byte(&mut self) -> Known<u8> {
        let (first, rest) = self.bytes.split_first().ok_or_else(Self::cut)?;
        self.bytes = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Known<u32> {
        let (number, taken) = compressed(self.bytes).ok_or_else(Self::cut)?;
        self.bytes = self.bytes.get(taken..).unwrap_or_default();
        Ok(number)
    }

    fn boxed(&mut self, depth: usize) -> Known<Box<Sort>> {
        self.sort(depth).map(Box::new)
    }

    fn sort(&mut self, depth: usize) -> Known<Sort> {
        self.left = self.left.checked_sub(1).ok_or_else(|| corrupt("a signature is too long"))?;
        let inner = depth.saturating_add(1);
        if inner > MAX_DEPTH {
            return Err(corrupt("types in a signature are nested too deep"));
        }
        Ok(match self.byte()? {
            0x0f => Sort::Pointer { to: self.boxed(inner)?, is_reference: false },
            0x10 => Sort::Pointer { to: self.boxed(inner)?, is_reference: true },
            0x11 => Sort::Named { coded: self.number()?, is_value: true },
            0x12 => Sort::Named { coded: self.number()?, is_value: false },
            0x13 => Sort::Argument(self.number()?),
            0x1e => Sort::MethodArgument(self.number()?),
            0x14 => {
                let of = self.boxed(inner)?;
                let rank = self.number()?;
                for _ in 0..2 {
                    for _ in 0..self.number()? {
                        self.number()?;
                    }
                }
                Sort::Array { of, rank: Some(rank) }
            }
            0x15 => {
                let of = self.boxed(inner)?;
                let count = self.number()?;
                let arguments = (0..count).map(|_| self.sort(inner)).collect::<Known<Vec<Sort>>>()?;
                Sort::Generic { of, arguments }
            }
            0x1b => {
                let (_, returns, parameters) = self.method(inner)?;
                Sort::Function { returns: Box::new(returns), parameters }
            }
            0x1d => Sort::Array { of: self.boxed(inner)?, rank: None },
            // Modifiers: II.23.2.7.
            0x1f | 0x20 => {
                self.number()?;
                self.sort(inner)?
            }
            0x41 | 0x45 => self.sort(inner)?,
            // The runtime's own: a type handle. Source: dotnet/runtime src/coreclr/inc/corhdr.h, ELEMENT_TYPE_INTERNAL.
            0x21 => {
                let (handle, rest) = self.bytes.split_first_chunk::<8>().ok_or_else(Self::cut)?;
                self.bytes = rest;
                Sort::Handle(Addr(u64::from_le_bytes(*handle)))
            }
            // A modifier of that kind, with a byte that tells whether it is required: ELEMENT_TYPE_CMOD_INTERNAL.
            0x22 => {
                self.bytes = self.bytes.get(9..).ok_or_else(Self::cut)?;
                self.sort(inner)?
            }
            other if primitive(other).is_some() => Sort::Primitive(other),
            other => return Err(corrupt(&format!("element type {other:#x}"))),
        })
    }

    /// The calling convention of a method, what it returns and what it is given: II.23.2.1.
    fn method(&mut self, depth: usize) -> Known<(u8, Sort, Vec<Sort>)> {
        const GENERIC: u8 = 0x10;
        let convention = self.byte()?;
        if convention & GENERIC != 0 {
            self.number()?;
        }
        let count = self.number()?;
        let returns = self.sort(depth)?;
        // No room for what a damaged count says: each takes a byte at least.
        let parameters = (0..count).map(|_| self.sort(depth)).collect::<Known<Vec<Sort>>>()?;
        Ok((convention, returns, parameters))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fields_type_is_a_tree() {
        // II.23.2.4, II.23.2.12.
        assert_eq!(Sort::of_field(&[6, 8]), Ok(Sort::Primitive(8)));
        let named = |coded, is_value| Sort::Named { coded, is_value };
        assert_eq!(Sort::of_field(&[6, 0x11, 9]), Ok(named(9, true)));
        let list = Sort::Generic { of: Box::new(named(5, false)), arguments: vec![Sort::Argument(0)] };
        assert_eq!(Sort::of_field(&[6, 0x15, 0x12, 5, 1, 0x13, 0]), Ok(list.clone()));
        assert!(list.is_reference() && !named(9, true).is_reference());
        assert_eq!(Sort::of_field(&[6, 0x1d, 5]), Ok(Sort::Array { of: Box::new(Sort::Primitive(5)), rank: None }));
        assert_eq!(
            Sort::of_field(&[6, 0x14, 8, 2, 0, 0]),
            Ok(Sort::Array { of: Box::new(Sort::Primitive(8)), rank: Some(2) })
        );
        let void = |element| Box::new(Sort::Primitive(element));
        let parameters = vec![Sort::Pointer { to: void(1), is_reference: false }];
        assert_eq!(Sort::of_field(&[6, 0x1b, 0, 1, 8, 0x0f, 1]), Ok(Sort::Function { returns: void(8), parameters }));
        // What the runtime makes itself: a handle, a modifier.
        assert_eq!(Sort::of_field(&[6, 0x21, 0x34, 0x12, 0, 0, 0, 0, 0, 0]), Ok(Sort::Handle(Addr(0x1234))));
        assert_eq!(Sort::of_field(&[6, 0x22, 1, 0, 0, 0, 0, 0, 0, 0, 0, 8]), Ok(Sort::Primitive(8)));
        // volatile int: a required modifier stands before it.
        assert_eq!(Sort::of_field(&[6, 0x1f, 9, 8]), Ok(Sort::Primitive(8)));
    }

    #[test]
    fn methods_tell_parameters_and_locals_their_types() {
        // II.23.2.1: HASTHIS, two parameters, returns void: (int, string). II.23.2.6: a pinned reference, a class.
        let sorts = |elements: &[u8]| elements.iter().map(|element| Sort::Primitive(*element)).collect::<Vec<_>>();
        let told = Signature::read(&[0x20, 2, 1, 8, 0x0e]);
        let returns = Sort::Primitive(1);
        assert_eq!(told, Ok(Signature { has_this: true, returns: returns.clone(), parameters: sorts(&[8, 0x0e]) }));
        let told = Signature::read(&[0x10, 1, 1, 1, 0x1e, 0]);
        assert_eq!(told, Ok(Signature { has_this: false, returns, parameters: vec![Sort::MethodArgument(0)] }));
        let reference = Sort::Pointer { to: Box::new(Sort::Primitive(5)), is_reference: true };
        let told = Sort::of_locals(&[7, 2, 0x45, 0x10, 5, 0x12, 9]);
        assert_eq!(told, Ok(vec![reference, Sort::Named { coded: 9, is_value: false }]));
        assert!(Sort::of_locals(&[6, 8]).is_err() && Sort::of_locals(&[7, 2, 8]).is_err());
        assert!(Signature::read(&[0x20, 2, 1, 8]).is_err());
    }

    #[test]
    fn a_damaged_type_is_a_gap() {
        let whole = [6, 0x15, 0x12, 5, 2, 0x13, 0, 0x1d, 8];
        for len in 0..whole.len() {
            assert!(Sort::of_field(&whole[..len]).is_err(), "{len}");
        }
        assert!(Sort::of_field(&[7, 8]).is_err() && Sort::of_field(&[6, 0x3f]).is_err());
        assert!(Sort::of_field(&[&[6][..], &[0x1d; 100]].concat()).is_err());
        assert!(Sort::of_field(&[&[6, 0x15, 0x12, 1, 0xdf, 0xff, 0xff, 0xff][..], &[8; 9000]].concat()).is_err());
    }
}
