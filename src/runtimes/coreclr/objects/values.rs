//! What lies in memory as values: numbers, structures, references, each as its type says.
//!
//! Input: an address and a type. Output: a [`Value`], of bounded depth and size. A structure is told field by field, those of its base classes first;
//! an object that is referred to by its type and by what it says in short (`brief`).

use std::cell::Cell;
use std::sync::Arc;

use super::text::{self, MAX_TEXT};
use super::{HEADER, Instance};
use crate::model::value::{Behind, Content, Field as Part, Pointer, Role, Scalar};
use crate::model::{Addr, Gap, Known, Type, Value};
use crate::runtimes::coreclr::clr::plus;
use crate::runtimes::coreclr::metadata::Sort;
use crate::runtimes::coreclr::methods::Methods;
use crate::runtimes::coreclr::types::{Class, ClassKind, Field, Held, Types, element_name};

/// Values that are read for one answer.
const MAX_VALUES: u32 = 4096;
/// Structures in structures, and objects that say in short what they hold.
pub(super) const MAX_DEPTH: usize = 6;
/// Fields of one structure.
const MAX_FIELDS: usize = 512;

/// Reads values for one answer, of which it reads so many at most.
pub(in crate::runtimes::coreclr) struct Values<'a> {
    pub(in crate::runtimes::coreclr) types: Types<'a>,
    pub(super) methods: &'a Methods,
    left: Cell<u32>,
}

/// What a type makes of memory.
enum Shape {
    /// The address of an object.
    Reference,
    /// An address that leads to no object, and the name of what is there.
    Pointer(Option<Arc<str>>),
    /// A number of an element type: ECMA-335 II.23.1.16.
    Number(u8),
    /// A structure or enumeration.
    Of(Arc<Class>),
}

impl<'a> Values<'a> {
    /// Nothing is read yet.
    pub(in crate::runtimes::coreclr) fn of(methods: &'a Methods) -> Values<'a> {
        Values { types: methods.types(), methods, left: Cell::new(MAX_VALUES) }
    }

    /// Whether one more may be read.
    pub(super) fn may_read(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0
    }

    /// The value of a field of an object or structure, by its name.
    pub(in crate::runtimes::coreclr) fn named(&self, instance: &Instance<'_>, name: &str) -> Value {
        self.named_at(instance, name, 0)
    }

    /// The same at a depth of values in values.
    pub(super) fn named_at(&self, instance: &Instance<'_>, name: &str, depth: usize) -> Value {
        match instance.field(name).and_then(|field| Ok((instance.place_of(&field)?, field))) {
            Ok((at, field)) => self.of_field(&field, at, depth),
            Err(gap) => unknown(gap),
        }
    }

    /// The value of a field that lies at an address.
    pub(in crate::runtimes::coreclr) fn of_field(&self, field: &Field, at: Addr, depth: usize) -> Value {
        match &field.sort {
            Ok(sort) => self.at(at, sort, field.declared_by, depth),
            Err(gap) => unknown(gap.clone()),
        }
    }

    /// A field that has no value, for a reason.
    pub(super) fn untold(&self, field: &Field, gap: Gap) -> Value {
        let name = field.sort.as_ref().ok().and_then(|sort| self.types.sort_name(sort, field.declared_by).ok());
        Value { ty: name.map(|name| Type { name: name.into(), size: None }), location: None, content: Err(gap) }
    }

    /// What lies at an address, of a type that a signature tells. `of`: the class whose type arguments it means.
    pub(in crate::runtimes::coreclr) fn at(&self, at: Addr, sort: &Sort, of: Addr, depth: usize) -> Value {
        let shape = self.shape(sort, of);
        let name = self.types.sort_name(sort, of).ok().map(Arc::from);
        self.shaped(at, name, shape, depth)
    }

    /// What lies at an address, of a type that its handle tells: an element of an array.
    pub(in crate::runtimes::coreclr) fn of_handle(&self, at: Addr, handle: Addr, depth: usize) -> Value {
        let name = self.types.handle_name(handle).ok().map(Arc::from);
        self.shaped(at, name, self.shape_of(handle), depth)
    }

    /// The object at an address, as what refers to it; 0 for null.
    pub(in crate::runtimes::coreclr) fn reference(&self, to: Addr, depth: usize) -> Value {
        let name = if to.0 == 0 { None } else { self.types.of_object(to).ok().map(Arc::from) };
        let ty = name.map(|name| Type { name, size: Some(8) });
        Value { ty, location: None, content: Ok(self.referred(to, depth)) }
    }

    /// Bytes of a value of a type in an array or a structure.
    fn size(shape: &Shape) -> Option<u64> {
        match shape {
            Shape::Reference | Shape::Pointer(_) => Some(8),
            Shape::Number(element) => width(*element),
            Shape::Of(class) => match class.kind {
                ClassKind::Enumeration(element) => width(element),
                _ => None,
            },
        }
    }

    fn shaped(&self, at: Addr, name: Option<Arc<str>>, shape: Known<Shape>, depth: usize) -> Value {
        let size = shape.as_ref().ok().and_then(Self::size);
        let content = shape.and_then(|shape| self.content(at, &shape, depth));
        Value { ty: name.map(|name| Type { name, size }), location: Some(at), content }
    }

    fn shape(&self, sort: &Sort, of: Addr) -> Known<Shape> {
        Ok(match sort {
            sort if sort.is_reference() => Shape::Reference,
            Sort::Primitive(element) => Shape::Number(*element),
            Sort::Pointer { to, .. } => Shape::Pointer(self.types.sort_name(to, of).ok().map(Arc::from)),
            Sort::Function { .. } => Shape::Pointer(None),
            Sort::Argument(index) => self.shape_of(self.types.argument(of, *index)?)?,
            _ => self.shape_of(self.types.class_of_values(sort, of)?)?,
        })
    }

    fn shape_of(&self, handle: Addr) -> Known<Shape> {
        if self.types.is_described(handle) {
            return Ok(Shape::Pointer(None));
        }
        let class = self.types.class(handle)?;
        Ok(match class.kind {
            ClassKind::Reference | ClassKind::Text | ClassKind::Array { .. } => Shape::Reference,
            ClassKind::Primitive(element) => Shape::Number(element),
            ClassKind::Structure | ClassKind::Enumeration(_) => Shape::Of(class),
        })
    }

    fn content(&self, at: Addr, shape: &Shape, depth: usize) -> Known<Content> {
        match shape {
            Shape::Reference => Ok(self.referred(self.types.clr.memory().ptr(at)?, depth)),
            Shape::Pointer(pointee) => {
                let to = self.types.clr.memory().ptr(at)?;
                let (pointee, behind) = (pointee.clone(), Behind::Nothing);
                Ok(Content::Pointer(Pointer { to, pointee, is_reference: false, behind }))
            }
            Shape::Number(element) => self.number(at, *element),
            Shape::Of(class) => self.value(class, at, depth),
        }
    }

    /// A structure, an enumeration, or a number, of a class, at an address.
    pub(super) fn value(&self, class: &Arc<Class>, at: Addr, depth: usize) -> Known<Content> {
        match class.kind {
            ClassKind::Primitive(element) => self.number(at, element),
            ClassKind::Enumeration(element) => self.enumerator(class.table, at, element),
            _ => self.structure(&self.types.structure(class.table, at)?, depth),
        }
    }

    fn number(&self, at: Addr, element: u8) -> Known<Content> {
        if let Some(scalar) = scalar(&self.types, at, element)? {
            return Ok(Content::Scalar(scalar));
        }
        match element {
            // An integer as wide as an address, which it often is.
            0x18 | 0x19 => Ok(Content::Spelled(self.types.clr.memory().ptr(at)?.to_string().into())),
            other => Err(Gap::Unsupported(format!("values of the type {}", element_name(other)))),
        }
    }

    fn enumerator(&self, table: Addr, at: Addr, element: u8) -> Known<Content> {
        let scalar = scalar(&self.types, at, element)?;
        let number = scalar.ok_or_else(|| Gap::Unsupported(format!("an enumeration of {}", element_name(element))))?;
        let value = match number {
            Scalar::Signed(number) => i64::try_from(number).unwrap_or(0),
            Scalar::Unsigned(number) => u64::try_from(number).unwrap_or(0).cast_signed(),
            Scalar::Boolean(number) => i64::try_from(number).unwrap_or(0),
            Scalar::Unit(number) => number.into(),
            _ => return Ok(Content::Scalar(number)),
        };
        // The number is there where its name is not.
        let name = self.types.enumeration(table).ok().and_then(|names| names.name(value));
        Ok(Content::Enumerator { name: name.map(Arc::from), number })
    }

    /// A structure: in its usual spelling where it has one, else its fields.
    fn structure(&self, instance: &Instance<'_>, depth: usize) -> Known<Content> {
        if let Some(spelled) = instance.spelled() {
            return spelled.map(|text| Content::Spelled(text.into()));
        }
        if instance.name().starts_with("System.Nullable<") && depth < MAX_DEPTH {
            return match instance.u8("hasValue")? {
                0 => Ok(null()),
                _ => self.named_at(instance, "value", depth.saturating_add(1)).content,
            };
        }
        match self.repeated(instance, depth)? {
            Some(elements) => Ok(elements),
            None => self.parts(instance, 0, depth),
        }
    }

    /// The fields of an object or structure, those of base classes first. `before`: bytes before its first field.
    pub(super) fn parts(&self, instance: &Instance<'_>, before: u64, depth: usize) -> Known<Content> {
        let fields = self.types.fields(instance.class.table)?;
        let own = || fields.iter().filter(|field| field.held == Held::Object);
        let mut parts = Vec::new();
        for field in own() {
            if depth >= MAX_DEPTH || parts.len() >= MAX_FIELDS || !self.may_read() {
                break;
            }
            parts.push(Part {
                name: Some(Arc::clone(&field.name)),
                role: Role::Member,
                offset: before.saturating_add(field.offset),
                value: self.of_field(field, instance.place_of(field)?, depth.saturating_add(1)),
            });
        }
        let left_out = own().count().saturating_sub(parts.len()) as u64;
        Ok(Content::Structure { fields: parts, left_out })
    }

    /// A reference to an object.
    fn referred(&self, to: Addr, depth: usize) -> Content {
        let object = (to.0 != 0).then(|| self.types.object(to));
        let said = |said: Option<Value>| Behind::Object(said.map(Box::new));
        let (pointee, behind) = match &object {
            None => (None, said(None)),
            Some(Ok(object)) if object.class.kind == ClassKind::Text => {
                (object.class.name.clone().ok(), Behind::Text(text::read(self.types.clr, to, MAX_TEXT)))
            }
            Some(Ok(object)) => (object.class.name.clone().ok(), said(self.brief(object, depth))),
            Some(Err(gap)) => (None, said(Some(unknown(gap.clone())))),
        };
        Content::Pointer(Pointer { to, pointee, is_reference: true, behind })
    }

    /// What an object that is a boxed value holds.
    pub(super) fn boxed(&self, object: &Instance<'_>, depth: usize) -> Known<Content> {
        self.value(&object.class, plus(object.at, HEADER)?, depth)
    }
}

/// What refers to nothing.
fn null() -> Content {
    Content::Pointer(Pointer { to: Addr(0), pointee: None, is_reference: true, behind: Behind::Object(None) })
}

/// A value that is not known.
pub(super) fn unknown(gap: Gap) -> Value {
    Value { ty: None, location: None, content: Err(gap) }
}

/// Bytes of a number.
pub(super) fn width(element: u8) -> Option<u64> {
    Some(match element {
        0x02 | 0x04 | 0x05 => 1,
        0x03 | 0x06 | 0x07 => 2,
        0x08 | 0x09 | 0x0c => 4,
        0x0a | 0x0b | 0x0d | 0x18 | 0x19 => 8,
        _ => return None,
    })
}

/// A number, a character or a truth value; `None` for other types.
fn scalar(types: &Types<'_>, at: Addr, element: u8) -> Known<Option<Scalar>> {
    let memory = types.clr.memory();
    Ok(Some(match element {
        0x02 => Scalar::Boolean(memory.u8(at)?.into()),
        0x03 => Scalar::Unit(memory.u16(at)?),
        0x04 => Scalar::Signed(memory.u8(at)?.cast_signed().into()),
        0x05 => Scalar::Unsigned(memory.u8(at)?.into()),
        0x06 => Scalar::Signed(memory.u16(at)?.cast_signed().into()),
        0x07 => Scalar::Unsigned(memory.u16(at)?.into()),
        0x08 => Scalar::Signed(memory.u32(at)?.cast_signed().into()),
        0x09 => Scalar::Unsigned(memory.u32(at)?.into()),
        0x0a => Scalar::Signed(memory.u64(at)?.cast_signed().into()),
        0x0b => Scalar::Unsigned(memory.u64(at)?.into()),
        0x0c => Scalar::Float32(f32::from_bits(memory.u32(at)?)),
        0x0d => Scalar::Float64(f64::from_bits(memory.u64(at)?)),
        _ => return Ok(None),
    }))
}
