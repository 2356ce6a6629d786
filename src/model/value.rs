//! Values of the target, as their types say: of variables, of objects' fields, of elements.
//!
//! A value is a tree of bounded depth and size: whoever reads it from the target bounds it, and says what was left out.
//! On one line it is its [`std::fmt::Display`].

mod json;
mod line;
mod scalar;

use std::sync::Arc;

use super::{Addr, Gap, Known};

/// A type by its name. What it is made of is told by the fields and elements of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Type {
    /// With its scope, as its language writes it.
    pub name: Arc<str>,
    /// Bytes of a value; `None` where that is not stated.
    pub size: Option<u64>,
}

/// A value, where it lies, and what it refers to.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// `None` where no type is stated.
    pub ty: Option<Type>,
    /// Where its first byte lies; `None` for what is in registers, in several places or computed.
    pub location: Option<Addr>,
    /// What it is, or why the whole of it is unknown. Unknown parts are values of their own.
    pub content: Known<Content>,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A number, a character or a truth value.
    Scalar(Scalar),
    /// A value of an enumeration.
    Enumerator {
        /// `None` where no enumerator has the number.
        name: Option<Arc<str>>,
        /// The number.
        number: Scalar,
    },
    /// Characters, be they in the value itself or where it keeps them (`std::string`, `&str`).
    Text(Text),
    /// What a value says in the usual spelling of its kind: a date, a duration, an identifier.
    Spelled(Arc<str>),
    /// An address.
    Pointer(Pointer),
    /// A structure, class or union.
    Structure {
        /// In the order of declaration, base classes first.
        fields: Vec<Field>,
        /// How many more there are.
        left_out: u64,
    },
    /// Elements one after the other.
    Array {
        /// The first ones.
        elements: Vec<Value>,
        /// How many more there are.
        left_out: u64,
        /// Why there may be more than that; `None` where there are not.
        unread: Option<Gap>,
    },
}

/// A number, a character or a truth value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// A truth value: 0 is false; the number is kept because others than 0 and 1 are a fault of the program.
    Boolean(u128),
    /// A number with a sign.
    Signed(i128),
    /// A number without.
    Unsigned(u128),
    /// A floating point number of 32 bits.
    Float32(f32),
    /// One of 64 bits.
    Float64(f64),
    /// A character: a byte, or a UTF-16 or UTF-32 unit.
    Character(u32),
    /// A UTF-16 unit that is a character of its language, and no number.
    Unit(u16),
}

/// Characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The first bytes; not all of them need be UTF-8.
    pub bytes: Vec<u8>,
    /// Whether there are more.
    pub cut: bool,
}

/// An address that a value consists of.
#[derive(Clone, Debug, PartialEq)]
pub struct Pointer {
    /// Where it leads to; 0 is a null pointer.
    pub to: Addr,
    /// The name of the type that is there; `None` where none is stated (`void*`).
    pub pointee: Option<Arc<str>>,
    /// Whether it is a reference, of which the source only sees what is behind it.
    pub is_reference: bool,
    /// What is known of what is there.
    pub behind: Behind,
}

/// What a pointer leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum Behind {
    /// Not looked at: a null pointer, a structure of a type that says no more, too deep in a value.
    Nothing,
    /// Characters: up to a zero byte, of a reference those of a text object.
    Text(Known<Text>),
    /// A function or variable of a module, and the bytes from its start.
    Symbol(Arc<str>, u64),
    /// What a reference refers to.
    Value(Box<Value>),
    /// An object of a managed heap, the pointee being its own type; what it says in short, where it does: a message, a number, how many elements.
    Object(Option<Box<Value>>),
}

/// A part of a structure.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// `None` for base classes and unnamed unions.
    pub name: Option<Arc<str>>,
    /// What it is to its structure.
    pub role: Role,
    /// Bytes from the start of the structure.
    pub offset: u64,
    /// Its value; that of a bit field lies at the byte of its first bit.
    pub value: Value,
}

/// What a field is to its structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A member.
    Member,
    /// A base class.
    Base,
    /// What the other field stands under in a dictionary, or where it stands in an array of several dimensions.
    Key,
    /// The alternative that a tagged union (a Rust `enum`) is at the moment.
    Alternative,
}

impl Value {
    /// The address that it refers to: a pointer's or a reference's, unless it is null.
    pub fn address(&self) -> Option<Addr> {
        match &self.content {
            Ok(Content::Pointer(pointer)) => Some(pointer.to).filter(|to| to.0 != 0),
            _ => None,
        }
    }

    /// The key and the value of an element of a dictionary; `None` for others.
    pub fn keyed(&self) -> Option<(&Value, &Value)> {
        match self.content.as_ref().ok()? {
            Content::Structure { fields, .. } => match fields.as_slice() {
                [key, value] if key.role == Role::Key => Some((&key.value, &value.value)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The fields of a structure, of a reference those of what it refers to; none of any other value.
    pub fn fields(&self) -> &[Field] {
        match &self.content {
            Ok(Content::Structure { fields, .. }) => fields,
            Ok(Content::Pointer(Pointer { behind: Behind::Value(value), .. })) => value.fields(),
            _ => &[],
        }
    }

    /// The first elements of an array, of a reference those of what it refers to; none of any other value.
    pub fn elements(&self) -> &[Value] {
        match &self.content {
            Ok(Content::Array { elements, .. }) => elements,
            Ok(Content::Pointer(Pointer { behind: Behind::Value(value), .. })) => value.elements(),
            _ => &[],
        }
    }

    /// Why an array, of a reference the one that it refers to, may have more elements than are listed and left out; `None` where it has not.
    pub fn unread(&self) -> Option<&Gap> {
        match &self.content {
            Ok(Content::Array { unread, .. }) => unread.as_ref(),
            Ok(Content::Pointer(Pointer { behind: Behind::Value(value), .. })) => value.unread(),
            _ => None,
        }
    }

    /// How many fields or elements are not listed.
    pub fn left_out(&self) -> u64 {
        match &self.content {
            Ok(Content::Structure { left_out, .. } | Content::Array { left_out, .. }) => *left_out,
            Ok(Content::Pointer(Pointer { behind: Behind::Value(value), .. })) => value.left_out(),
            _ => 0,
        }
    }
}
