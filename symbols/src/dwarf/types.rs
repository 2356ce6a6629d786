//! Types: what they are called, how large they are, what they are made of.

use gimli::{AttributeValue, DebuggingInformationEntry, Reader as _};

use super::ids::TypeId;
use super::names::type_name;
use super::place::Place;
use super::sections::Reader;
use super::shape::{MAX_DEPTH, element_count, is_alias, is_declaration, size};
use crate::Error;

/// Members of one type beyond this many are left out.
const MAX_MEMBERS: usize = 1 << 16;
/// Template parameters of one type beyond this many are left out.
const MAX_PARAMETERS: usize = 64;
/// A type's name, size and parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeLayout {
    /// The name with its scope, as C++ and Rust write it.
    pub name: String,
    /// Bytes; `None` where the debug information does not say.
    pub size: Option<u64>,
    /// What it is made of.
    pub kind: TypeKind,
}

/// What a type is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeKind {
    /// A number, character or truth value.
    Base(Encoding),
    /// A pointer or reference; `None` points to no type (`void*`).
    Pointer(Option<TypeId>),
    /// A structure or class, with its base classes as members, in order of declaration.
    Structure {
        /// Members and base classes.
        members: Vec<Member>,
        /// The alternatives of a Rust `enum`.
        variants: Option<Variants>,
        /// Virtual base classes, which are not among the members: only an object tells where in it they are.
        virtual_bases: usize,
    },
    /// Members that share their bytes.
    Union(Vec<Member>),
    /// Elements one after the other; for several dimensions the number of all elements.
    Array {
        /// The type of one.
        element: TypeId,
        /// How many; `None` for an array without a stated bound.
        count: Option<u64>,
        /// Dimensions; of several the elements of one row follow each other.
        dimensions: usize,
    },
    /// Named numbers.
    Enumeration(Vec<(String, i128)>),
    /// Another name for a type, or a type made constant, volatile or atomic; `None` stands for `void`.
    Alias(Option<TypeId>),
    /// A function (what a function pointer points to).
    Function,
    /// A type that is only declared here, or of a kind that has no layout.
    Opaque,
}

/// How a base type's bytes are to be read (DWARF 5 §5.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// False is 0, anything else true.
    Boolean,
    /// A two's complement number.
    Signed,
    /// A number without sign.
    Unsigned,
    /// An IEEE 754 number.
    Float,
    /// A character: one byte, or a UTF-16 or UTF-32 unit.
    Character,
    /// Anything else.
    Other,
}

/// A part of a structure or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name; `None` for base classes and unnamed unions.
    pub name: Option<String>,
    /// Its type.
    pub ty: TypeId,
    /// Bytes from the start of what it is part of.
    pub offset: u64,
    /// For a bit field: its first bit, counted from the lowest bit at `offset`, and its width.
    pub bits: Option<(u64, u64)>,
    /// Whether it is a base class.
    pub is_base: bool,
}

/// The alternatives of a Rust `enum`: which one it is, tells the discriminant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variants {
    /// The number that tells; `None` where there is one alternative only.
    pub discriminant: Option<Member>,
    /// Each with its number (`None`: all other numbers) and its content.
    pub cases: Vec<(Option<i128>, Member)>,
}

/// Name, size and parts of the type at `place`.
pub(super) fn layout(place: Place<'_, '_>) -> Result<TypeLayout, Error> {
    let entry = place.entry()?;
    let target = || place.linked(&entry, gimli::DW_AT_type);
    let kind = match entry.tag() {
        _ if is_declaration(&entry) => TypeKind::Opaque,
        gimli::DW_TAG_base_type => TypeKind::Base(encoding(&entry)),
        gimli::DW_TAG_pointer_type | gimli::DW_TAG_reference_type | gimli::DW_TAG_rvalue_reference_type => {
            TypeKind::Pointer(target().and_then(|target| target.type_id()))
        }
        gimli::DW_TAG_structure_type | gimli::DW_TAG_class_type | gimli::DW_TAG_interface_type => {
            let virtual_bases = virtual_bases(place)?;
            TypeKind::Structure { members: members(place)?, variants: variants(place)?, virtual_bases }
        }
        gimli::DW_TAG_union_type => TypeKind::Union(members(place)?),
        gimli::DW_TAG_array_type => match target().and_then(|target| target.type_id()) {
            Some(element) => {
                let (count, dimensions) = element_count(place)?;
                TypeKind::Array { element, count, dimensions }
            }
            None => TypeKind::Opaque,
        },
        gimli::DW_TAG_enumeration_type => TypeKind::Enumeration(enumerators(place)?),
        gimli::DW_TAG_subroutine_type => TypeKind::Function,
        tag if is_alias(tag) => TypeKind::Alias(target().and_then(|target| target.type_id())),
        _ => TypeKind::Opaque,
    };
    Ok(TypeLayout { name: type_name(Some(place))?, size: size(place, MAX_DEPTH)?, kind })
}

/// The types that a template was given, each with the parameter's name.
pub(super) fn type_parameters(place: Place<'_, '_>) -> Result<Vec<(String, TypeId)>, Error> {
    let mut parameters = Vec::new();
    place.for_children(|child, entry| {
        if entry.tag() == gimli::DW_TAG_template_type_parameter
            && let Some(ty) = child.linked(entry, gimli::DW_AT_type).and_then(|ty| ty.type_id())
        {
            parameters.push((child.text(entry, gimli::DW_AT_name).unwrap_or_default(), ty));
        }
        Ok(parameters.len() < MAX_PARAMETERS)
    })?;
    Ok(parameters)
}

fn encoding(entry: &DebuggingInformationEntry<Reader<'_>>) -> Encoding {
    match entry.attr_value(gimli::DW_AT_encoding) {
        Some(AttributeValue::Encoding(encoding)) => match encoding {
            gimli::DW_ATE_boolean => Encoding::Boolean,
            gimli::DW_ATE_signed => Encoding::Signed,
            gimli::DW_ATE_unsigned => Encoding::Unsigned,
            gimli::DW_ATE_float => Encoding::Float,
            gimli::DW_ATE_signed_char | gimli::DW_ATE_unsigned_char | gimli::DW_ATE_UTF => Encoding::Character,
            _ => Encoding::Other,
        },
        _ => Encoding::Other,
    }
}

/// Base classes without a fixed place.
fn virtual_bases(place: Place<'_, '_>) -> Result<usize, Error> {
    let mut count = 0usize;
    place.for_children(|child, entry| {
        let is_base = entry.tag() == gimli::DW_TAG_inheritance;
        count = count.saturating_add(usize::from(is_base && member(child, entry).is_none()));
        Ok(count < MAX_MEMBERS)
    })?;
    Ok(count)
}

/// Members and base classes that have a fixed place.
fn members(place: Place<'_, '_>) -> Result<Vec<Member>, Error> {
    let mut members = Vec::new();
    place.for_children(|child, entry| {
        members.extend(member(child, entry));
        Ok(members.len() < MAX_MEMBERS)
    })?;
    Ok(members)
}

fn member<'a>(place: Place<'_, 'a>, entry: &DebuggingInformationEntry<Reader<'a>>) -> Option<Member> {
    let is_base = entry.tag() == gimli::DW_TAG_inheritance;
    if !is_base && entry.tag() != gimli::DW_TAG_member {
        return None;
    }
    let location = entry.attr_value(gimli::DW_AT_data_member_location);
    // A static member is only declared here; a virtual base is found through the object.
    if location.is_none() && is_declaration(entry) {
        return None;
    }
    let offset = location.map_or(Some(0), member_offset)?;
    let number = |name| entry.attr_value(name).and_then(|value| value.udata_value());
    let width = number(gimli::DW_AT_bit_size);
    let (offset, bits) = match (width, number(gimli::DW_AT_data_bit_offset)) {
        (Some(width), Some(first)) => (first.checked_div(8)?, Some((first % 8, width))),
        (Some(width), None) => {
            let (skipped, first) = match number(gimli::DW_AT_bit_offset) {
                None => (0, 0),
                // Before DWARF 4 (§5.6.6 of DWARF 3), and GCC in DWARF 4 too: counted from the highest bit of a storage unit.
                Some(from_highest) => {
                    let stated = number(gimli::DW_AT_byte_size);
                    let of_type = || size(place.linked(entry, gimli::DW_AT_type)?, MAX_DEPTH).ok().flatten();
                    let unit = stated.or_else(of_type)?.checked_mul(8)?;
                    let first = unit.checked_sub(from_highest)?.checked_sub(width)?;
                    (first.checked_div(8)?, first % 8)
                }
            };
            (offset.checked_add(skipped)?, Some((first, width)))
        }
        _ => (offset, None),
    };
    let ty = place.linked(entry, gimli::DW_AT_type)?.type_id()?;
    let name = if is_base { None } else { place.text(entry, gimli::DW_AT_name) };
    Some(Member { name, ty, offset, bits, is_base })
}

/// A constant, or before DWARF 3 the one operation that adds it.
fn member_offset(value: AttributeValue<Reader<'_>>) -> Option<u64> {
    match value {
        AttributeValue::Exprloc(expression) => match expression.0.slice().split_first() {
            Some((operation, rest)) if *operation == gimli::DW_OP_plus_uconst.0 => {
                let mut rest = Reader::new(rest, expression.0.endian());
                rest.read_uleb128().ok()
            }
            _ => None,
        },
        value => value.udata_value(),
    }
}

/// The alternatives of a Rust `enum` (DWARF 5 §5.7.10).
fn variants(place: Place<'_, '_>) -> Result<Option<Variants>, Error> {
    let mut found = None;
    place.for_children(|part, entry| {
        if entry.tag() != gimli::DW_TAG_variant_part {
            return Ok(true);
        }
        let discriminant = part.linked(entry, gimli::DW_AT_discr);
        let discriminant = discriminant.and_then(|discriminant| member(discriminant, &discriminant.entry().ok()?));
        let mut cases = Vec::new();
        part.for_children(|case, entry| {
            if entry.tag() == gimli::DW_TAG_variant {
                let number = entry.attr_value(gimli::DW_AT_discr_value).and_then(|value| integer(&value));
                cases.extend(members(case)?.into_iter().map(|member| (number, member)));
            }
            Ok(cases.len() < MAX_MEMBERS)
        })?;
        found = Some(Variants { discriminant, cases });
        Ok(false)
    })?;
    Ok(found)
}

fn enumerators(place: Place<'_, '_>) -> Result<Vec<(String, i128)>, Error> {
    let mut all = Vec::new();
    place.for_children(|child, entry| {
        if entry.tag() == gimli::DW_TAG_enumerator
            && let Some(name) = child.text(entry, gimli::DW_AT_name)
            && let Some(value) = entry.attr_value(gimli::DW_AT_const_value).and_then(|value| integer(&value))
        {
            all.push((name, value));
        }
        Ok(all.len() < MAX_MEMBERS)
    })?;
    Ok(all)
}

fn integer(value: &AttributeValue<Reader<'_>>) -> Option<i128> {
    match value {
        AttributeValue::Sdata(number) => Some((*number).into()),
        AttributeValue::Data16(number) => i128::try_from(*number).ok(),
        value => value.udata_value().map(i128::from),
    }
}
