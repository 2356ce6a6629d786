//! Values on one line, as their types say: numbers, names of enumerators, pointers with what they point to, the first members of
//! structures and the first elements of arrays.

use symbols::{Encoding, Member, TypeId, TypeKind, TypeLayout, Variants};

use super::place::Held;
use super::scalar::{number, quoted, signed};
use crate::model::{Addr, Gap, Known};
use crate::target::{Module, Target};

/// Bytes of text that are shown.
const MAX_TEXT: u64 = 64;
/// Members of a structure that are shown.
const MAX_MEMBERS: usize = 8;
/// Elements of an array that are shown.
const MAX_ELEMENTS: u64 = 8;
/// Structures in structures are shown to this depth, references followed to the same.
const MAX_DEPTH: usize = 2;
/// Typedefs and qualifiers around a type are followed this far.
const MAX_ALIASES: usize = 32;
/// Bytes of the largest number.
const MAX_NUMBER: u64 = 16;

/// Shows values whose types one module describes.
pub(super) struct Shower<'a> {
    pub(super) target: &'a Target,
    pub(super) module: &'a Module,
}

impl Shower<'_> {
    /// The value of that type; fails where the whole of it is unknown, and marks the parts that are.
    pub(super) fn show(&self, ty: TypeId, held: &Held) -> Known<String> {
        self.value(ty, held, 0)
    }

    fn value(&self, ty: TypeId, held: &Held, depth: usize) -> Known<String> {
        let layout = self.layout(ty)?;
        match &layout.kind {
            TypeKind::Base(encoding) => {
                let (raw, bits) = self.integer(held, &layout)?;
                number(*encoding, raw, bits)
            }
            TypeKind::Enumeration(names) => {
                let (raw, bits) = self.integer(held, &layout)?;
                Ok(enumerator(names, raw, bits))
            }
            TypeKind::Pointer(target) => self.pointer(&layout, *target, held, depth),
            TypeKind::Array { element, count } => self.array(*element, *count, held, depth),
            TypeKind::Structure { members, variants } => match self.text(&layout, members, held) {
                Some(text) => text,
                None => self.structure(members, variants.as_ref(), held, depth),
            },
            TypeKind::Union(members) => self.structure(members, None, held, depth),
            TypeKind::Alias(_) | TypeKind::Function | TypeKind::Opaque => {
                Err(Gap::NoLayout(format!("type {}", layout.name)))
            }
        }
    }

    /// The type without typedefs and qualifiers.
    fn layout(&self, ty: TypeId) -> Known<TypeLayout> {
        let mut ty = ty;
        for _ in 0..MAX_ALIASES {
            let layout = self.module.symbols().type_layout(ty);
            let layout = layout.ok_or_else(|| Gap::Corrupt("its type cannot be read".to_owned()))?;
            match layout.kind {
                TypeKind::Alias(Some(target)) => ty = target,
                _ => return Ok(layout),
            }
        }
        Err(Gap::Corrupt("its type is a name for itself".to_owned()))
    }

    fn integer(&self, held: &Held, layout: &TypeLayout) -> Known<(u128, u64)> {
        let size = layout.size.filter(|size| (1..=MAX_NUMBER).contains(size));
        let size = size.ok_or_else(|| Gap::NoLayout(format!("the size of type {}", layout.name)))?;
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

    fn pointer(&self, layout: &TypeLayout, target: Option<TypeId>, held: &Held, depth: usize) -> Known<String> {
        let (raw, bits) = self.integer(held, layout)?;
        let at = Addr(u64::try_from(raw).map_err(|_| Gap::Unsupported(format!("a pointer of {bits} bits")))?);
        if layout.name.ends_with('&') {
            let behind = target.filter(|_| depth < MAX_DEPTH).map(|target| {
                let value = self.value(target, &Held::Memory(at), depth.saturating_add(1));
                value.unwrap_or_else(|gap| unknown(&gap))
            });
            return Ok(match behind {
                Some(value) => format!("@{at}: {value}"),
                None => format!("@{at}"),
            });
        }
        if at.0 == 0 {
            return Ok(at.to_string());
        }
        if is_text(&layout.name) {
            let text = self.target.memory.c_string(at, MAX_TEXT.saturating_add(1));
            return Ok(match text {
                Ok(bytes) => format!("{at} {}", shown_text(&bytes)),
                Err(gap) => format!("{at} {}", unknown(&gap.into())),
            });
        }
        Ok(match self.symbol(at) {
            Some(symbol) => format!("{at} <{symbol}>"),
            None => at.to_string(),
        })
    }

    /// The function or the variable at an address.
    fn symbol(&self, at: Addr) -> Option<String> {
        let (name, offset) = match self.target.object(at) {
            Some((_, symbol, offset)) => (symbol.name, offset),
            None => {
                let is_code = self.target.memory.region_at(at).is_some_and(|region| region.access.execute);
                let function = self.target.function(at).filter(|_| is_code)?;
                let start = self.target.module_at(at)?.addr(function.svma)?;
                (function.name, at.since(start)?)
            }
        };
        let name = symbols::demangle(&name);
        Some(if offset == 0 { name.into_owned() } else { format!("{name}+{offset:#x}") })
    }

    fn array(&self, element: TypeId, count: Option<u64>, held: &Held, depth: usize) -> Known<String> {
        let count = count.ok_or_else(|| Gap::NotRecorded("the array's length".to_owned()))?;
        let layout = self.layout(element)?;
        let size = layout.size.ok_or_else(|| Gap::NoLayout(format!("the size of type {}", layout.name)))?;
        if matches!(layout.kind, TypeKind::Base(Encoding::Character)) && size == 1 {
            let mut bytes = vec![0; usize::try_from(count.min(MAX_TEXT.saturating_add(1))).unwrap_or(0)];
            self.read(held, 0, &mut bytes)?;
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            bytes.truncate(end);
            return Ok(shown_text(&bytes));
        }
        if depth >= MAX_DEPTH {
            return Ok("[…]".to_owned());
        }
        let mut parts = Vec::new();
        for index in 0..count.min(MAX_ELEMENTS) {
            let part = size.checked_mul(index).ok_or_else(|| Gap::Corrupt("the array's size".to_owned()));
            let value = part.and_then(|offset| {
                let part = self.part(held, offset, size)?;
                self.value(element, &part, depth.saturating_add(1))
            });
            parts.push(value.unwrap_or_else(|gap| unknown(&gap)));
        }
        if count > MAX_ELEMENTS {
            parts.push("…".to_owned());
        }
        Ok(format!("[{}]", parts.join(", ")))
    }

    fn structure(&self, members: &[Member], variants: Option<&Variants>, held: &Held, depth: usize) -> Known<String> {
        if depth >= MAX_DEPTH {
            return Ok("{…}".to_owned());
        }
        let mut parts = Vec::new();
        for member in members.iter().take(MAX_MEMBERS) {
            let value = self.member(member, held, depth).unwrap_or_else(|gap| unknown(&gap));
            parts.push(match &member.name {
                Some(name) => format!("{name} = {value}"),
                None => value,
            });
        }
        if members.len() > MAX_MEMBERS {
            parts.push("…".to_owned());
        }
        if let Some(variants) = variants {
            let case = self.case(variants, held)?;
            let value = self.member(case, held, depth).unwrap_or_else(|gap| unknown(&gap));
            parts.push(match &case.name {
                Some(name) => format!("{name} {value}"),
                None => value,
            });
        }
        Ok(format!("{{{}}}", parts.join(", ")))
    }

    fn member(&self, member: &Member, held: &Held, depth: usize) -> Known<String> {
        let layout = self.layout(member.ty)?;
        let Some((first, width)) = member.bits else {
            let size = layout.size.ok_or_else(|| Gap::NoLayout(format!("the size of type {}", layout.name)))?;
            return self.value(member.ty, &self.part(held, member.offset, size)?, depth.saturating_add(1));
        };
        let end = first.checked_add(width).filter(|end| width > 0 && *end <= MAX_NUMBER.saturating_mul(8));
        let end = end.ok_or_else(|| Gap::Corrupt(format!("a bit field of {width} bits")))?;
        let raw = self.raw(held, member.offset, end.div_ceil(8))?;
        let (above, unused) = (128u64.saturating_sub(end), 128u64.saturating_sub(width));
        let (Ok(above), Ok(unused)) = (u32::try_from(above), u32::try_from(unused)) else {
            return Err(Gap::Corrupt(format!("a bit field of {width} bits")));
        };
        let raw = raw.checked_shl(above).and_then(|raw| raw.checked_shr(unused)).unwrap_or(0);
        match &layout.kind {
            TypeKind::Base(encoding) => number(*encoding, raw, width),
            TypeKind::Enumeration(names) => Ok(enumerator(names, raw, width)),
            _ => Err(Gap::Unsupported(format!("a bit field of type {}", layout.name))),
        }
    }

    /// The bytes of a part.
    fn part(&self, held: &Held, offset: u64, size: u64) -> Known<Held> {
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
                let (offset, layout) = (discriminant.offset, self.layout(discriminant.ty)?);
                let size = layout.size.filter(|size| (1..=MAX_NUMBER).contains(size));
                let size = size.ok_or_else(|| Gap::NoLayout(format!("the size of type {}", layout.name)))?;
                let raw = self.raw(held, offset, size)?;
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
    fn text(&self, layout: &TypeLayout, members: &[Member], held: &Held) -> Option<Known<String>> {
        let offset =
            |name: &str| members.iter().find(|member| member.name.as_deref() == Some(name)).map(|member| member.offset);
        let (pointer, length) = if layout.name.starts_with("std::__cxx11::basic_string<char,") {
            (offset("_M_dataplus")?, offset("_M_string_length")?)
        } else if layout.name == "&str" {
            (offset("data_ptr")?, offset("length")?)
        } else {
            return None;
        };
        let word = |offset| {
            let raw = self.raw(held, offset, 8)?;
            u64::try_from(raw).map_err(|_| Gap::Corrupt("a word".to_owned()))
        };
        let read = || {
            let (at, length) = (Addr(word(pointer)?), word(length)?);
            let mut bytes = vec![0; usize::try_from(length.min(MAX_TEXT)).unwrap_or(0)];
            self.target.memory.read(at, &mut bytes)?;
            Ok(quoted(&bytes, length > MAX_TEXT))
        };
        Some(read())
    }
}

/// The name of a number, or the number.
fn enumerator(names: &[(String, i128)], raw: u128, bits: u64) -> String {
    let number = signed(raw, bits);
    let has_sign = names.iter().any(|(_, value)| *value < 0);
    let is = |value: i128| if has_sign { value == number } else { value.cast_unsigned() == raw };
    match names.iter().find(|(_, value)| is(*value)) {
        Some((name, _)) => name.clone(),
        None if has_sign => number.to_string(),
        None => raw.to_string(),
    }
}

/// Whether a pointer's type is one to characters of a byte: `char*`, `char const*`.
fn is_text(pointer: &str) -> bool {
    let target = pointer.trim_end_matches(" const").strip_suffix('*').unwrap_or_default();
    let plain: Vec<&str> = target.split(' ').filter(|word| !matches!(*word, "" | "const" | "volatile")).collect();
    matches!(plain.as_slice(), ["char" | "char8_t" | "gchar"] | ["signed" | "unsigned", "char"])
}

fn shown_text(bytes: &[u8]) -> String {
    let max = usize::try_from(MAX_TEXT).unwrap_or(usize::MAX);
    match bytes.get(..max).filter(|_| bytes.len() > max) {
        Some(head) => quoted(head, true),
        None => quoted(bytes, false),
    }
}

fn unknown(gap: &Gap) -> String {
    format!("? ({gap})")
}

fn plus(start: Addr, offset: u64) -> Known<Addr> {
    start.plus(offset).ok_or_else(|| Gap::Corrupt(format!("{offset} bytes from {start}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enumerator_is_named_where_its_number_is() {
        let names = [("Low".to_owned(), -1), ("High".to_owned(), 3)];
        assert_eq!(enumerator(&names, 0xffff_ffff, 32), "Low");
        assert_eq!(enumerator(&names, 0xffff_fffe, 32), "-2");
        assert_eq!(enumerator(&[("All".to_owned(), 0xffff_ffff)], 0xffff_ffff, 32), "All");
        assert_eq!(enumerator(&[("All".to_owned(), 1)], 0xffff_fffe, 32), "4294967294");
    }

    #[test]
    fn only_pointers_to_characters_are_text() {
        assert!(is_text("char const*") && is_text("char*") && is_text("const char*") && is_text("unsigned char*"));
        assert!(!is_text("char**") && !is_text("Charge*") && !is_text("void*") && !is_text("char&"));
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(shown_text(&[b'a'; 64]), format!("\"{}\"", "a".repeat(64)));
        assert_eq!(shown_text(&[b'a'; 65]), format!("\"{}\"…", "a".repeat(64)));
    }
}
