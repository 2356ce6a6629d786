//! Values, as their types say, from a place in memory or from bytes: numbers, enumerators, pointers with what is there, structures with
//! their fields, arrays with their first elements.

use std::cell::Cell;
use std::sync::Arc;

use symbols::{Encoding, Member, TypeId, TypeKind, TypeLayout, Variants};

use super::place::Held;
use super::scalar::{number, signed};
use crate::model::value::{Behind, Content, Pointer, Role, Scalar, Text};
use crate::model::{Addr, Field, Gap, Known, Type, Value};
use crate::target::{Module, Target};

/// Bytes of text that are read.
const MAX_TEXT: u64 = 64;
/// Members of one structure that are read.
const MAX_MEMBERS: usize = 64;
/// Elements of one array that are read.
pub(super) const MAX_ELEMENTS: u64 = 16;
/// Structures in structures are read to this depth, references followed to the same.
const MAX_DEPTH: usize = 4;
/// Values in one value that are read.
const MAX_VALUES: u32 = 256;
/// Typedefs and qualifiers around a type are followed this far.
const MAX_ALIASES: usize = 32;
/// Bytes of the largest number.
const MAX_NUMBER: u64 = 16;

/// Reads one value of a type that its module describes.
pub(super) struct ValueReader<'a> {
    pub(super) target: &'a Target,
    pub(super) module: &'a Module,
    /// How many more values may be read.
    left: Cell<u32>,
}

impl<'a> ValueReader<'a> {
    /// For a value of a type of that module.
    pub(super) fn new(target: &'a Target, module: &'a Module) -> ValueReader<'a> {
        ValueReader { target, module, left: Cell::new(MAX_VALUES) }
    }

    /// The value of that type; its content is unknown where the whole of it is, else the parts that are.
    pub(super) fn value(&self, ty: TypeId, held: &Held) -> Value {
        self.at_depth(ty, held, 0)
    }

    pub(super) fn at_depth(&self, ty: TypeId, held: &Held, depth: usize) -> Value {
        let location = match held {
            Held::Memory(at) => Some(*at),
            Held::Bytes(_) => None,
        };
        match self.layout(ty) {
            Ok((ty, layout)) => Value { ty: Some(ty), location, content: self.content(&layout, held, depth) },
            Err(gap) => Value { ty: None, location, content: Err(gap) },
        }
    }

    pub(super) fn content(&self, layout: &TypeLayout, held: &Held, depth: usize) -> Known<Content> {
        match &layout.kind {
            TypeKind::Base(encoding) => {
                let (raw, bits) = self.integer(held, layout)?;
                number(*encoding, raw, bits).map(Content::Scalar)
            }
            TypeKind::Enumeration(names) => {
                let (raw, bits) = self.integer(held, layout)?;
                Ok(enumerator(names, raw, bits))
            }
            TypeKind::Pointer(pointee) => self.pointer(layout, *pointee, held, depth).map(Content::Pointer),
            TypeKind::Array { element, count, .. } => self.array(*element, *count, held, depth),
            TypeKind::Structure { members, variants, virtual_bases } => match self.text(layout, members, held) {
                Some(text) => text.map(Content::Text),
                None if depth < MAX_DEPTH
                    && let Some(held) = self.container(layout, held, depth) =>
                {
                    held
                }
                None => self.structure(members, variants.as_ref(), held, depth).map(|content| match content {
                    Content::Structure { fields, left_out } => {
                        let left_out = left_out.saturating_add(u64::try_from(*virtual_bases).unwrap_or(u64::MAX));
                        Content::Structure { fields, left_out }
                    }
                    other => other,
                }),
            },
            TypeKind::Union(members) => self.structure(members, None, held, depth),
            TypeKind::Alias(_) | TypeKind::Function | TypeKind::Opaque => {
                Err(Gap::NoLayout(format!("type {}", layout.name)))
            }
        }
    }

    /// The type as it is called, and its layout without typedefs and qualifiers.
    pub(super) fn layout(&self, ty: TypeId) -> Known<(Type, TypeLayout)> {
        let mut ty = ty;
        let mut called: Option<Type> = None;
        for _ in 0..MAX_ALIASES {
            let layout = self.module.symbols().type_layout(ty);
            let layout = layout.ok_or_else(|| Gap::Corrupt("its type cannot be read".to_owned()))?;
            let called = called.get_or_insert_with(|| Type { name: layout.name.as_str().into(), size: layout.size });
            match layout.kind {
                TypeKind::Alias(Some(target)) => ty = target,
                _ => return Ok((called.clone(), layout)),
            }
        }
        Err(Gap::Corrupt("its type is a name for itself".to_owned()))
    }

    fn integer(&self, held: &Held, layout: &TypeLayout) -> Known<(u128, u64)> {
        let size = layout.size.filter(|size| (1..=MAX_NUMBER).contains(size));
        let size = size.ok_or_else(|| no_size(layout))?;
        Ok((self.raw(held, 0, size)?, size.saturating_mul(8)))
    }

    /// Little-endian bytes as a number; at most [`MAX_NUMBER`] of them.
    fn raw(&self, held: &Held, offset: u64, size: u64) -> Known<u128> {
        let mut bytes = [0; 16];
        let wanted = usize::try_from(size).ok().and_then(|size| bytes.get_mut(..size));
        let wanted = wanted.ok_or_else(|| Gap::Unsupported(format!("a number of {size} bytes")))?;
        self.read(held, offset, wanted)?;
        Ok(u128::from_le_bytes(bytes))
    }

    fn read(&self, held: &Held, offset: u64, buffer: &mut [u8]) -> Known<()> {
        match held {
            Held::Memory(start) => Ok(self.target.memory.read(plus(*start, offset)?, buffer)?),
            Held::Bytes(bytes) => {
                let from = usize::try_from(offset).ok().and_then(|from| bytes.get(from..));
                let from = from.and_then(|bytes| bytes.get(..buffer.len()));
                buffer.copy_from_slice(from.ok_or_else(|| Gap::NotRecorded("a part of it".to_owned()))?);
                Ok(())
            }
        }
    }

    fn pointer(&self, layout: &TypeLayout, pointee: Option<TypeId>, held: &Held, depth: usize) -> Known<Pointer> {
        let (raw, bits) = self.integer(held, layout)?;
        let to = Addr(u64::try_from(raw).map_err(|_| Gap::Unsupported(format!("a pointer of {bits} bits")))?);
        let is_reference = layout.name.ends_with('&');
        let behind = if is_reference {
            match pointee.filter(|_| depth < MAX_DEPTH && self.may_read()) {
                Some(pointee) => {
                    Behind::Value(Box::new(self.at_depth(pointee, &Held::Memory(to), depth.saturating_add(1))))
                }
                None => Behind::Nothing,
            }
        } else if to.0 == 0 {
            Behind::Nothing
        } else if is_text(&layout.name) {
            let text = self.target.memory.c_string(to, MAX_TEXT.saturating_add(1));
            Behind::Text(text.map(|bytes| cut(&bytes)).map_err(Gap::from))
        } else {
            self.symbol(to).map_or(Behind::Nothing, |(name, offset)| Behind::Symbol(name, offset))
        };
        let pointee = pointee.and_then(|pointee| self.module.symbols().type_name(pointee)).map(Arc::from);
        Ok(Pointer { to, pointee, is_reference, behind })
    }

    /// The function or the variable at an address, and the bytes from its start.
    fn symbol(&self, at: Addr) -> Option<(Arc<str>, u64)> {
        let (name, offset) = match self.target.object(at) {
            Some((_, symbol, offset)) => (symbol.name, offset),
            None => {
                let is_code = self.target.memory.region_at(at).is_some_and(|region| region.access.execute);
                let function = self.target.function(at).filter(|_| is_code)?;
                let start = self.target.module_at(at)?.addr(function.svma)?;
                (function.name, at.since(start)?)
            }
        };
        Some((symbols::demangle(&name).into(), offset))
    }

    pub(super) fn array(&self, element: TypeId, count: Option<u64>, held: &Held, depth: usize) -> Known<Content> {
        let count = count.ok_or_else(|| Gap::NotRecorded("the array's length".to_owned()))?;
        let (_, layout) = self.layout(element)?;
        let size = layout.size.ok_or_else(|| no_size(&layout))?;
        if matches!(layout.kind, TypeKind::Base(Encoding::Character)) && size == 1 {
            let mut bytes = vec![0; usize::try_from(count.min(MAX_TEXT.saturating_add(1))).unwrap_or(0)];
            self.read(held, 0, &mut bytes)?;
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            bytes.truncate(end);
            return Ok(Content::Text(cut(&bytes)));
        }
        let mut elements = Vec::new();
        for index in 0..count.min(MAX_ELEMENTS) {
            if depth >= MAX_DEPTH || !self.may_read() {
                break;
            }
            let part = size.checked_mul(index).ok_or_else(|| Gap::Corrupt("the array's size".to_owned()));
            elements.push(match part.and_then(|offset| self.part(held, offset, size)) {
                Ok(part) => self.at_depth(element, &part, depth.saturating_add(1)),
                Err(gap) => Value { ty: None, location: None, content: Err(gap) },
            });
        }
        let left_out = count.saturating_sub(u64::try_from(elements.len()).unwrap_or(u64::MAX));
        Ok(Content::Array { elements, left_out, unread: None })
    }

    fn structure(&self, members: &[Member], variants: Option<&Variants>, held: &Held, depth: usize) -> Known<Content> {
        let alternative = variants.map(|variants| self.case(variants, held)).transpose()?;
        let mut fields = Vec::new();
        for member in members.iter().take(MAX_MEMBERS) {
            if depth >= MAX_DEPTH || !self.may_read() {
                break;
            }
            let role = if member.is_base { Role::Base } else { Role::Member };
            fields.push(self.field(member, role, held, depth));
        }
        let mut left_out = members.len().saturating_sub(fields.len());
        if let Some(case) = alternative {
            if depth < MAX_DEPTH && self.may_read() {
                fields.push(self.field(case, Role::Alternative, held, depth));
            } else {
                left_out = left_out.saturating_add(1);
            }
        }
        Ok(Content::Structure { fields, left_out: u64::try_from(left_out).unwrap_or(u64::MAX) })
    }

    fn field(&self, member: &Member, role: Role, held: &Held, depth: usize) -> Field {
        let value = match member.bits {
            Some((first, width)) => self.bit_field(member, first, width, held),
            None => {
                let part = self.layout(member.ty).and_then(|(_, layout)| {
                    self.part(held, member.offset, layout.size.ok_or_else(|| no_size(&layout))?)
                });
                match part {
                    Ok(part) => self.at_depth(member.ty, &part, depth.saturating_add(1)),
                    Err(gap) => {
                        let ty = self.layout(member.ty).ok().map(|(ty, _)| ty);
                        Value { ty, location: None, content: Err(gap) }
                    }
                }
            }
        };
        Field { name: member.name.as_deref().map(Arc::from), role, offset: member.offset, value }
    }

    fn bit_field(&self, member: &Member, first: u64, width: u64, held: &Held) -> Value {
        let location = match held {
            Held::Memory(start) => start.plus(member.offset),
            Held::Bytes(_) => None,
        };
        match self.layout(member.ty) {
            Ok((ty, layout)) => {
                let content = self.bits(member.offset, first, width, held).and_then(|raw| match &layout.kind {
                    TypeKind::Base(encoding) => number(*encoding, raw, width).map(Content::Scalar),
                    TypeKind::Enumeration(names) => Ok(enumerator(names, raw, width)),
                    _ => Err(Gap::Unsupported(format!("a bit field of type {}", layout.name))),
                });
                Value { ty: Some(ty), location, content }
            }
            Err(gap) => Value { ty: None, location, content: Err(gap) },
        }
    }

    /// `width` bits from the bit `first` of the bytes at `offset`.
    fn bits(&self, offset: u64, first: u64, width: u64, held: &Held) -> Known<u128> {
        let damaged = || Gap::Corrupt(format!("a bit field of {width} bits"));
        let end = first.checked_add(width).filter(|end| width > 0 && *end <= MAX_NUMBER.saturating_mul(8));
        let end = end.ok_or_else(damaged)?;
        let raw = self.raw(held, offset, end.div_ceil(8))?;
        let (above, unused) = (128u64.saturating_sub(end), 128u64.saturating_sub(width));
        let (Ok(above), Ok(unused)) = (u32::try_from(above), u32::try_from(unused)) else { return Err(damaged()) };
        Ok(raw.checked_shl(above).and_then(|raw| raw.checked_shr(unused)).unwrap_or(0))
    }

    /// Where a part is.
    pub(super) fn part(&self, held: &Held, offset: u64, size: u64) -> Known<Held> {
        match held {
            Held::Memory(start) => Ok(Held::Memory(plus(*start, offset)?)),
            Held::Bytes(bytes) => {
                let from = usize::try_from(offset).ok();
                let end = from.and_then(|from| from.checked_add(usize::try_from(size).ok()?));
                let part = from.zip(end).and_then(|(from, end)| bytes.get(from..end));
                Ok(Held::Bytes(part.ok_or_else(|| Gap::NotRecorded("a part of it".to_owned()))?.to_vec()))
            }
        }
    }

    /// Which alternative a Rust `enum` is.
    fn case<'v>(&self, variants: &'v Variants, held: &Held) -> Known<&'v Member> {
        let found = match &variants.discriminant {
            None => variants.cases.first(),
            Some(discriminant) => {
                let (_, layout) = self.layout(discriminant.ty)?;
                let size = layout.size.filter(|size| (1..=MAX_NUMBER).contains(size));
                let size = size.ok_or_else(|| no_size(&layout))?;
                let raw = self.raw(held, discriminant.offset, size)?;
                let is = |number: i128| number.cast_unsigned() == raw || number == signed(raw, size.saturating_mul(8));
                let exact = variants.cases.iter().find(|(number, _)| number.is_some_and(is));
                exact.or_else(|| variants.cases.iter().find(|(number, _)| number.is_none()))
            }
        };
        found.map(|(_, case)| case).ok_or_else(|| Gap::Corrupt("no alternative has its discriminant".to_owned()))
    }

    /// A string that keeps pointer and length: `std::string` of libstdc++, Rust's `&str`. `None` for any other structure.
    // Sources: libstdc++ bits/basic_string.h (GCC 5 and later: _M_dataplus._M_p, _M_string_length); Rust debug information of
    // `&str` (data_ptr, length).
    fn text(&self, layout: &TypeLayout, members: &[Member], held: &Held) -> Option<Known<Text>> {
        let offset =
            |name: &str| members.iter().find(|member| member.name.as_deref() == Some(name)).map(|member| member.offset);
        let (pointer, length) = if layout.name.starts_with("std::__cxx11::basic_string<char,") {
            (offset("_M_dataplus")?, offset("_M_string_length")?)
        } else if layout.name == "&str" {
            (offset("data_ptr")?, offset("length")?)
        } else {
            return None;
        };
        let read = || {
            let (at, length) = (Addr(self.word(held, pointer)?), self.word(held, length)?);
            let mut bytes = vec![0; usize::try_from(length.min(MAX_TEXT)).unwrap_or(0)];
            self.target.memory.read(at, &mut bytes)?;
            Ok(Text { bytes, cut: length > MAX_TEXT })
        };
        Some(read())
    }

    /// The word at an offset.
    pub(super) fn word(&self, held: &Held, offset: u64) -> Known<u64> {
        u64::try_from(self.raw(held, offset, 8)?).map_err(|_| Gap::Corrupt("a word".to_owned()))
    }

    /// A type without typedefs and qualifiers.
    pub(super) fn plain(&self, ty: TypeId) -> Option<TypeId> {
        let next = |ty: &TypeId| match self.module.symbols().type_layout(*ty)?.kind {
            TypeKind::Alias(to) => to,
            _ => None,
        };
        std::iter::successors(Some(ty), next).take(MAX_ALIASES).last()
    }

    /// Whether values within one at this depth are read, and one more may be; counts it.
    pub(super) fn may_go_on(&self, depth: usize) -> bool {
        depth < MAX_DEPTH && self.may_read()
    }

    /// Whether one more value may be read; counts it.
    fn may_read(&self) -> bool {
        let left = self.left.get().checked_sub(1);
        left.inspect(|left| self.left.set(*left)).is_some()
    }
}

/// A number with the name that its enumeration gives it.
fn enumerator(names: &[(String, i128)], raw: u128, bits: u64) -> Content {
    let number = signed(raw, bits);
    let has_sign = names.iter().any(|(_, value)| *value < 0);
    let is = |value: i128| if has_sign { value == number } else { value.cast_unsigned() == raw };
    let name = names.iter().find(|(_, value)| is(*value)).map(|(name, _)| name.as_str().into());
    Content::Enumerator { name, number: if has_sign { Scalar::Signed(number) } else { Scalar::Unsigned(raw) } }
}

/// Whether a pointer's type is one to characters of a byte: `char*`, `char const*`.
fn is_text(pointer: &str) -> bool {
    let target = pointer.trim_end_matches(" const").strip_suffix('*').unwrap_or_default();
    let plain: Vec<&str> = target.split(' ').filter(|word| !matches!(*word, "" | "const" | "volatile")).collect();
    matches!(plain.as_slice(), ["char" | "char8_t" | "gchar"] | ["signed" | "unsigned", "char"])
}

/// Of one byte more than is shown, if there are that many.
fn cut(bytes: &[u8]) -> Text {
    let max = usize::try_from(MAX_TEXT).unwrap_or(usize::MAX);
    let head = bytes.get(..max).filter(|_| bytes.len() > max);
    Text { bytes: head.unwrap_or(bytes).to_vec(), cut: head.is_some() }
}

fn no_size(layout: &TypeLayout) -> Gap {
    Gap::NoLayout(format!("the size of type {}", layout.name))
}

fn plus(start: Addr, offset: u64) -> Known<Addr> {
    start.plus(offset).ok_or_else(|| Gap::Corrupt(format!("{offset} bytes from {start}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enumerator_is_named_where_its_number_is() {
        let named = |names: &[(&str, i128)], raw, bits| {
            let names: Vec<_> = names.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
            enumerator(&names, raw, bits)
        };
        let found = |name: Option<&str>, number| Content::Enumerator { name: name.map(Arc::from), number };
        let names = [("Low", -1), ("High", 3)];
        assert_eq!(named(&names, 0xffff_ffff, 32), found(Some("Low"), Scalar::Signed(-1)));
        assert_eq!(named(&names, 0xffff_fffe, 32), found(None, Scalar::Signed(-2)));
        let all = named(&[("All", 0xffff_ffff)], 0xffff_ffff, 32);
        assert_eq!(all, found(Some("All"), Scalar::Unsigned(0xffff_ffff)));
        assert_eq!(named(&[("All", 1)], 0xffff_fffe, 32), found(None, Scalar::Unsigned(4_294_967_294)));
    }

    #[test]
    fn only_pointers_to_characters_are_text() {
        assert!(is_text("char const*") && is_text("char*") && is_text("const char*") && is_text("unsigned char*"));
        assert!(!is_text("char**") && !is_text("Charge*") && !is_text("void*") && !is_text("char&"));
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(cut(&[b'a'; 64]), Text { bytes: vec![b'a'; 64], cut: false });
        assert_eq!(cut(&[b'a'; 65]), Text { bytes: vec![b'a'; 64], cut: true });
    }
}
