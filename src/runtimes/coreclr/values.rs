//! Values of arguments and variables: where they are, and as their types spell them.
//!
//! Input: a type of a signature, the class and the method whose type arguments it means, and where the value is: in memory or in registers.
//! Output: a [`Value`].

use std::sync::Arc;

use super::clr::plus;
use super::metadata::Sort;
use super::objects::{Instance, Values};
use super::types::{ClassKind, Held, Types, element_name};
use crate::model::value::{Behind, Content, Field, Pointer, Role, Scalar};
use crate::model::{Addr, Gap, Known, Type, Value};

/// Structures in structures that are read of those in registers, and fields of one.
const MAX_DEPTH: usize = 3;
const MAX_FIELDS: usize = 32;

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// In memory.
    Memory(Addr),
    /// In one register or two: its bytes.
    Registers([u8; 16]),
}

/// What a type makes of the bytes of registers.
enum Shape {
    Reference,
    Number(u8),
    Enumeration(u8, Addr),
    Structure(Addr),
    Address(Option<Sort>, bool),
}

/// Reads values whose types mean type arguments of a class and of a method.
#[derive(Clone, Copy)]
pub(super) struct Typed<'a> {
    pub(super) values: &'a Values<'a>,
    /// The class, by its `MethodTable`.
    pub(super) class: Addr,
    /// Type handles of the method's arguments.
    pub(super) arguments: &'a [Addr],
}

impl<'a> Typed<'a> {
    /// The value of a type.
    pub(super) fn value(&self, sort: &Sort, kept: Kept) -> Value {
        exact(self.declared(sort, kept))
    }

    fn declared(&self, sort: &Sort, kept: Kept) -> Value {
        match (sort, kept) {
            (Sort::MethodArgument(index), Kept::Memory(at)) => match self.argument(*index) {
                Ok(handle) => self.values.of_handle(at, handle, 0),
                Err(gap) => self.unknown(sort, gap),
            },
            (Sort::Pointer { to, is_reference: true }, kept) => {
                let content = self.number(kept).map(|at| self.by_reference(Addr(at), to));
                let location = if let Kept::Memory(at) = kept { Some(at) } else { None };
                Value { ty: self.ty(sort), location, content }
            }
            (sort, Kept::Memory(at)) => self.values.at(at, sort, self.class, 0),
            (sort, kept) => self.in_registers(sort, kept, 0),
        }
    }

    /// The type alone, of a value that is unknown.
    pub(super) fn unknown(&self, sort: &Sort, gap: Gap) -> Value {
        Value { ty: self.ty(sort), location: None, content: Err(gap) }
    }

    /// `this`: a reference to an object of the class, or to where a structure of it is.
    pub(super) fn this(&self, kept: Known<Kept>) -> Value {
        let ty = named(self.types().of_table(self.class).ok());
        let content = kept.and_then(|kept| {
            let to = Addr(self.number(kept)?);
            Ok(match self.shape_of(self.class)? {
                Shape::Reference => self.values.reference(to, 0).content?,
                _ => pointer(to, None, true, Behind::Value(Box::new(self.values.of_handle(to, self.class, 0)))),
            })
        });
        exact(Value { ty, location: None, content })
    }

    /// The object or structure that is `this`.
    pub(super) fn instance(&self, kept: Kept) -> Known<Instance<'a>> {
        let to = Addr(self.number(kept)?);
        match self.shape_of(self.class)? {
            Shape::Reference => self.types().object(to),
            _ => self.types().structure(self.class, to),
        }
    }

    fn types(&self) -> Types<'a> {
        self.values.types
    }

    /// What is passed by reference, with what is there.
    fn by_reference(&self, at: Addr, to: &Sort) -> Content {
        let behind = match at {
            Addr(0) => Behind::Nothing,
            at => Behind::Value(Box::new(self.value(to, Kept::Memory(at)))),
        };
        pointer(at, self.name(to), true, behind)
    }

    fn in_registers(&self, sort: &Sort, kept: Kept, depth: usize) -> Value {
        let content = self.shape(sort).and_then(|shape| self.of_shape(&shape, kept, depth));
        Value { ty: self.ty(sort), location: None, content }
    }

    fn ty(&self, sort: &Sort) -> Option<Type> {
        named(self.name(sort))
    }

    fn name(&self, sort: &Sort) -> Option<String> {
        match sort {
            Sort::MethodArgument(index) => self.types().handle_name(self.argument(*index).ok()?).ok(),
            sort => self.types().sort_name(sort, self.class).ok(),
        }
    }

    fn argument(&self, index: u32) -> Known<Addr> {
        let found = usize::try_from(index).ok().and_then(|index| self.arguments.get(index)).copied();
        found.ok_or_else(|| Gap::NotRecorded("a type argument of the method is not known".to_owned()))
    }

    fn shape(&self, sort: &Sort) -> Known<Shape> {
        match sort {
            sort if sort.is_reference() => Ok(Shape::Reference),
            Sort::Primitive(element) => Ok(Shape::Number(*element)),
            Sort::Pointer { to, is_reference } => Ok(Shape::Address(Some((**to).clone()), *is_reference)),
            Sort::Function { .. } => Ok(Shape::Address(None, false)),
            Sort::Argument(index) => self.shape_of(self.types().argument(self.class, *index)?),
            Sort::MethodArgument(index) => self.shape_of(self.argument(*index)?),
            sort => self.shape_of(self.types().class_of_values(sort, self.class)?),
        }
    }

    /// That of a type handle.
    fn shape_of(&self, handle: Addr) -> Known<Shape> {
        if self.types().is_described(handle) {
            return Ok(Shape::Address(None, false));
        }
        Ok(match self.types().class(handle)?.kind {
            ClassKind::Reference | ClassKind::Text | ClassKind::Array { .. } => Shape::Reference,
            ClassKind::Structure => Shape::Structure(handle),
            ClassKind::Primitive(element) => Shape::Number(element),
            ClassKind::Enumeration(element) => Shape::Enumeration(element, handle),
        })
    }

    fn of_shape(&self, shape: &Shape, kept: Kept, depth: usize) -> Known<Content> {
        match shape {
            Shape::Reference => self.values.reference(Addr(self.number(kept)?), 0).content,
            // An integer as wide as an address, which it often is.
            Shape::Number(0x18 | 0x19) => Ok(Content::Spelled(Addr(self.number(kept)?).to_string().into())),
            Shape::Number(element) => scalar(*element, self.number(kept)?).map(Content::Scalar),
            Shape::Enumeration(element, table) => {
                let number = scalar(*element, self.number(kept)?)?;
                Ok(Content::Enumerator { name: self.enumerator(*table, number), number })
            }
            Shape::Structure(table) => self.structure(*table, kept, depth),
            Shape::Address(to, is_reference) => {
                let at = Addr(self.number(kept)?);
                let pointee = to.as_ref().and_then(|sort| self.name(sort));
                Ok(pointer(at, pointee, *is_reference, Behind::Nothing))
            }
        }
    }

    fn structure(&self, table: Addr, kept: Kept, depth: usize) -> Known<Content> {
        let all = self.types().fields(table)?;
        let own: Vec<_> = all.iter().filter(|field| field.held == Held::Object).collect();
        let most = if depth >= MAX_DEPTH { 0 } else { MAX_FIELDS };
        let fields = own.iter().take(most).map(|field| {
            let reader = Typed { values: self.values, class: field.declared_by, arguments: &[] };
            let value = match (field.sort.as_ref(), part(kept, field.offset)) {
                (Ok(sort), Ok(kept)) => reader.in_registers(sort, kept, depth.saturating_add(1)),
                (Ok(sort), Err(gap)) => reader.unknown(sort, gap),
                (Err(gap), _) => Value { ty: None, location: None, content: Err(gap.clone()) },
            };
            Field { name: Some(Arc::clone(&field.name)), role: Role::Member, offset: field.offset, value }
        });
        let fields: Vec<Field> = fields.collect();
        let left_out = own.len().saturating_sub(fields.len()) as u64;
        Ok(Content::Structure { fields, left_out })
    }

    /// The name that an enumeration has for a number.
    fn enumerator(&self, table: Addr, number: Scalar) -> Option<Arc<str>> {
        let number = match number {
            Scalar::Signed(number) => i64::try_from(number).ok()?,
            Scalar::Unsigned(number) | Scalar::Boolean(number) => u64::try_from(number).ok()?.cast_signed(),
            _ => return None,
        };
        Some(self.types().enumeration(table).ok()?.name(number)?.into())
    }

    /// The first eight bytes.
    fn number(&self, kept: Kept) -> Known<u64> {
        match kept {
            Kept::Registers([a, b, c, d, e, f, g, h, ..]) => Ok(u64::from_le_bytes([a, b, c, d, e, f, g, h])),
            Kept::Memory(at) => Ok(self.types().clr.memory().u64(at)?),
        }
    }
}

/// The value with the type of the object that it refers to, where code is shared by several types and knows them as one.
fn exact(mut value: Value) -> Value {
    if let (Some(ty), Ok(Content::Pointer(Pointer { pointee: Some(exact), .. }))) = (&mut value.ty, &value.content)
        && ty.name.contains("System.__Canon")
    {
        ty.name = Arc::clone(exact);
    }
    value
}

fn named(name: Option<String>) -> Option<Type> {
    name.map(|name| Type { name: name.into(), size: None })
}

fn pointer(to: Addr, pointee: Option<String>, is_reference: bool, behind: Behind) -> Content {
    Content::Pointer(Pointer { to, pointee: pointee.map(Arc::from), is_reference, behind })
}

/// What lies so many bytes behind a place.
fn part(kept: Kept, offset: u64) -> Known<Kept> {
    match kept {
        Kept::Memory(at) => plus(at, offset).map(Kept::Memory),
        Kept::Registers(bytes) => {
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let rest = bytes.get(from..).ok_or_else(|| Gap::Corrupt("a structure in registers".to_owned()))?;
            let mut part = [0; 16];
            part.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            Ok(Kept::Registers(part))
        }
    }
}

/// A number of an element type: the low bytes of a word.
fn scalar(element: u8, word: u64) -> Known<Scalar> {
    let [a, b, c, d, ..] = word.to_le_bytes();
    let (one, two, four) = (a, u16::from_le_bytes([a, b]), u32::from_le_bytes([a, b, c, d]));
    // Source: ECMA-335 II.23.1.16.
    Ok(match element {
        0x02 => Scalar::Boolean(one.into()),
        0x03 => Scalar::Unit(two),
        0x04 => Scalar::Signed(one.cast_signed().into()),
        0x05 => Scalar::Unsigned(one.into()),
        0x06 => Scalar::Signed(two.cast_signed().into()),
        0x07 => Scalar::Unsigned(two.into()),
        0x08 => Scalar::Signed(four.cast_signed().into()),
        0x09 => Scalar::Unsigned(four.into()),
        0x0a => Scalar::Signed(word.cast_signed().into()),
        0x0b => Scalar::Unsigned(word.into()),
        0x0c => Scalar::Float32(f32::from_bits(four)),
        0x0d => Scalar::Float64(f64::from_bits(word)),
        other => return Err(Gap::Unsupported(format!("values of {}", element_name(other)))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_low_bytes_of_their_word() {
        let word = 0xffff_fff1_8000_00fe;
        assert_eq!(scalar(0x02, word), Ok(Scalar::Boolean(0xfe)));
        assert_eq!((scalar(0x04, word), scalar(0x05, word)), (Ok(Scalar::Signed(-2)), Ok(Scalar::Unsigned(0xfe))));
        assert_eq!((scalar(0x06, word), scalar(0x03, word)), (Ok(Scalar::Signed(0xfe)), Ok(Scalar::Unit(0xfe))));
        assert_eq!(scalar(0x08, word), Ok(Scalar::Signed(-0x7fff_ff02)));
        assert_eq!(scalar(0x0a, word), Ok(Scalar::Signed(-0xe_7fff_ff02)));
        assert_eq!(scalar(0x0d, 0x4045_0000_0000_0000), Ok(Scalar::Float64(42.0)));
        assert!(scalar(0x01, word).is_err());
    }

    #[test]
    fn a_structure_in_two_registers_has_fields_in_either() {
        let mut bytes = [0; 16];
        bytes[8] = 7;
        assert!(matches!(part(Kept::Registers(bytes), 8), Ok(Kept::Registers(found)) if found[0] == 7));
        assert!(part(Kept::Registers(bytes), 17).is_err());
    }
}
