//! Types: what they are called, how large they are, what they are made of.

use gimli::{AttributeValue, DebuggingInformationEntry, DwAt, Reader as _, UnitSectionOffset};

use super::file::{Place, Space};
use super::names::{declared_name, parameters};
use super::sections::Reader;
use crate::Error;

/// Typedefs, qualifiers and arrays around a type are followed to this depth.
pub(super) const MAX_DEPTH: usize = 32;
/// Members of one type beyond this many are left out.
const MAX_MEMBERS: usize = 1 << 16;
/// Dimensions of one array beyond this many are left out.
const MAX_DIMENSIONS: usize = 16;
/// Names of pointers to pointers, arrays of arrays and so on are cut at this length.
const MAX_NAME: usize = 4 << 10;

/// A type of a module's debug information. Only that module can say what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId {
    pub(super) space: Space,
    pub(super) at: usize,
}

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
    },
    /// Members that share their bytes.
    Union(Vec<Member>),
    /// Elements one after the other; for several dimensions the number of all elements.
    Array {
        /// The type of one.
        element: TypeId,
        /// How many; `None` for an array without a stated bound.
        count: Option<u64>,
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

impl<'f, 'a> Place<'f, 'a> {
    /// What names this entry as a type.
    pub(super) fn type_id(&self) -> Option<TypeId> {
        let UnitSectionOffset(at) = self.at.to_unit_section_offset(&self.unit.header);
        Some(TypeId { space: self.file.space, at })
    }

    pub(super) fn entry(&self) -> Result<DebuggingInformationEntry<Reader<'a>>, Error> {
        Ok(self.parsed()?.entry(self.at)?)
    }

    /// The entry that an attribute refers to.
    pub(super) fn linked(&self, entry: &DebuggingInformationEntry<Reader<'a>>, name: DwAt) -> Option<Place<'f, 'a>> {
        self.follow(entry.attr_value(name)?)
    }

    /// Calls `each` for the entries directly below this one, at most `most`.
    pub(super) fn for_children(
        &self,
        most: usize,
        mut each: impl FnMut(Place<'f, 'a>, &DebuggingInformationEntry<Reader<'a>>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let unit = self.parsed()?;
        let mut entries = unit.entries_raw(Some(self.at))?;
        let top = entries.next_depth();
        let Some(abbreviation) = entries.read_abbreviation()? else { return Ok(()) };
        entries.skip_attributes(abbreviation.attributes())?;
        if !abbreviation.has_children() {
            return Ok(());
        }
        let mut count = 0usize;
        let mut child = DebuggingInformationEntry::null();
        while !entries.is_empty() && entries.next_depth() > top && count < most {
            let (depth, at) = (entries.next_depth(), entries.next_offset());
            if depth == top.saturating_add(1) {
                if entries.read_entry(&mut child)? {
                    count = count.saturating_add(1);
                    each(self.with(at), &child)?;
                }
            } else if let Some(abbreviation) = entries.read_abbreviation()? {
                entries.skip_attributes(abbreviation.attributes())?;
            }
        }
        Ok(())
    }

    pub(super) fn text(&self, entry: &DebuggingInformationEntry<Reader<'a>>, name: DwAt) -> Option<String> {
        self.string(entry.attr_value(name)?)
    }

    /// The text of an attribute of this unit.
    pub(super) fn string(&self, value: AttributeValue<Reader<'a>>) -> Option<String> {
        let text = self.parsed().ok()?.attr_string(value).ok()?;
        Some(text.to_string_lossy().into_owned())
    }
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
            TypeKind::Structure { members: members(place)?, variants: variants(place)? }
        }
        gimli::DW_TAG_union_type => TypeKind::Union(members(place)?),
        gimli::DW_TAG_array_type => match target().and_then(|target| target.type_id()) {
            Some(element) => TypeKind::Array { element, count: element_count(place)? },
            None => TypeKind::Opaque,
        },
        gimli::DW_TAG_enumeration_type => TypeKind::Enumeration(enumerators(place)?),
        gimli::DW_TAG_subroutine_type => TypeKind::Function,
        tag if is_alias(tag) => TypeKind::Alias(target().and_then(|target| target.type_id())),
        _ => TypeKind::Opaque,
    };
    Ok(TypeLayout { name: type_name(Some(place), MAX_DEPTH)?, size: size(place, MAX_DEPTH)?, kind })
}

/// The type without the typedefs and qualifiers around it.
pub(super) fn unaliased<'f, 'a>(mut place: Place<'f, 'a>) -> Result<Place<'f, 'a>, Error> {
    for _ in 0..MAX_DEPTH {
        let entry = place.entry()?;
        match place.linked(&entry, gimli::DW_AT_type) {
            Some(target) if is_alias(entry.tag()) => place = target,
            _ => break,
        }
    }
    Ok(place)
}

/// The type's size in bytes; `None` where it is not stated.
pub(super) fn size(place: Place<'_, '_>, depth: usize) -> Result<Option<u64>, Error> {
    let entry = place.entry()?;
    if let Some(size) = entry.attr_value(gimli::DW_AT_byte_size).and_then(|value| value.udata_value()) {
        return Ok(Some(size));
    }
    let Some(deeper) = depth.checked_sub(1) else { return Ok(None) };
    let target = place.linked(&entry, gimli::DW_AT_type);
    match (entry.tag(), target) {
        (gimli::DW_TAG_pointer_type | gimli::DW_TAG_reference_type | gimli::DW_TAG_rvalue_reference_type, _) => {
            Ok(Some(place.unit.header.address_size().into()))
        }
        (gimli::DW_TAG_array_type, Some(target)) => {
            let (count, element) = (element_count(place)?, size(target, deeper)?);
            Ok(count.zip(element).and_then(|(count, element)| count.checked_mul(element)))
        }
        (tag, Some(target)) if is_alias(tag) => size(target, deeper),
        _ => Ok(None),
    }
}

/// The name of a type as c++filt would print it; a type that has a name of its own keeps it.
pub(super) fn type_name(place: Option<Place<'_, '_>>, depth: usize) -> Result<String, Error> {
    let Some(place) = place else { return Ok("void".to_owned()) };
    let entry = place.entry()?;
    if let Some(name) = declared_name(place)? {
        return Ok(name);
    }
    let Some(deeper) = depth.checked_sub(1) else { return Ok("…".to_owned()) };
    let target_place = place.linked(&entry, gimli::DW_AT_type);
    let target = || type_name(target_place, deeper);
    let name = match entry.tag() {
        gimli::DW_TAG_pointer_type | gimli::DW_TAG_reference_type | gimli::DW_TAG_rvalue_reference_type => {
            let mark = match entry.tag() {
                gimli::DW_TAG_pointer_type => "*",
                gimli::DW_TAG_reference_type => "&",
                _ => "&&",
            };
            match target_place.map(|target| Ok::<_, Error>((target, target.entry()?.tag()))).transpose()? {
                Some((function, gimli::DW_TAG_subroutine_type)) => {
                    let result = function.linked(&function.entry()?, gimli::DW_AT_type);
                    format!("{} ({mark}){}", type_name(result, deeper)?, parameters(function, deeper)?)
                }
                _ => target()? + mark,
            }
        }
        gimli::DW_TAG_const_type => target()? + " const",
        gimli::DW_TAG_volatile_type => target()? + " volatile",
        gimli::DW_TAG_restrict_type => target()? + " restrict",
        gimli::DW_TAG_atomic_type => format!("_Atomic({})", target()?),
        gimli::DW_TAG_array_type => match element_count(place)? {
            Some(count) => format!("{} [{count}]", target()?),
            None => target()? + " []",
        },
        gimli::DW_TAG_subroutine_type => format!("{} {}", target()?, parameters(place, deeper)?),
        gimli::DW_TAG_ptr_to_member_type => target()? + " ::*",
        gimli::DW_TAG_union_type => "{unnamed union}".to_owned(),
        gimli::DW_TAG_enumeration_type => "{unnamed enum}".to_owned(),
        _ => "{unnamed}".to_owned(),
    };
    Ok(if name.len() > MAX_NAME { "…".to_owned() } else { name })
}

pub(super) fn is_aggregate(tag: gimli::DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_structure_type
            | gimli::DW_TAG_class_type
            | gimli::DW_TAG_union_type
            | gimli::DW_TAG_interface_type
    )
}

pub(super) fn is_declaration(entry: &DebuggingInformationEntry<Reader<'_>>) -> bool {
    matches!(entry.attr_value(gimli::DW_AT_declaration), Some(AttributeValue::Flag(true)))
}

fn is_alias(tag: gimli::DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_typedef
            | gimli::DW_TAG_const_type
            | gimli::DW_TAG_volatile_type
            | gimli::DW_TAG_restrict_type
            | gimli::DW_TAG_atomic_type
    )
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

/// Members and base classes that have a fixed place.
fn members(place: Place<'_, '_>) -> Result<Vec<Member>, Error> {
    let mut members = Vec::new();
    place.for_children(MAX_MEMBERS, |child, entry| {
        members.extend(member(child, entry));
        Ok(())
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
        (Some(width), None) => (offset, Some((0, width))),
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
    place.for_children(MAX_MEMBERS, |part, entry| {
        if entry.tag() != gimli::DW_TAG_variant_part || found.is_some() {
            return Ok(());
        }
        let discriminant = part.linked(entry, gimli::DW_AT_discr);
        let discriminant = discriminant.and_then(|discriminant| member(discriminant, &discriminant.entry().ok()?));
        let mut cases = Vec::new();
        part.for_children(MAX_MEMBERS, |case, entry| {
            if entry.tag() == gimli::DW_TAG_variant {
                let number = entry.attr_value(gimli::DW_AT_discr_value).and_then(|value| integer(&value));
                cases.extend(members(case)?.into_iter().map(|member| (number, member)));
            }
            Ok(())
        })?;
        found = Some(Variants { discriminant, cases });
        Ok(())
    })?;
    Ok(found)
}

fn enumerators(place: Place<'_, '_>) -> Result<Vec<(String, i128)>, Error> {
    let mut all = Vec::new();
    place.for_children(MAX_MEMBERS, |child, entry| {
        if entry.tag() == gimli::DW_TAG_enumerator
            && let Some(name) = child.text(entry, gimli::DW_AT_name)
            && let Some(value) = entry.attr_value(gimli::DW_AT_const_value).and_then(|value| integer(&value))
        {
            all.push((name, value));
        }
        Ok(())
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

/// The product of all dimensions.
fn element_count(place: Place<'_, '_>) -> Result<Option<u64>, Error> {
    let mut total = None;
    let mut known = true;
    place.for_children(MAX_DIMENSIONS, |_, entry| {
        if entry.tag() == gimli::DW_TAG_subrange_type {
            let number = |name| entry.attr_value(name).and_then(|value| value.udata_value());
            let count = number(gimli::DW_AT_count).or_else(|| number(gimli::DW_AT_upper_bound)?.checked_add(1));
            total = count.and_then(|count| total.unwrap_or(1u64).checked_mul(count));
            known &= total.is_some();
        }
        Ok(())
    })?;
    Ok(total.filter(|_| known))
}
