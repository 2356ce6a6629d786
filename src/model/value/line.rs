//! A value on one line: `{id = 4711, name = 0x4020 "shoes", inner = {…}}`.

use std::fmt::{self, Display};

use super::{Behind, Content, Field, Pointer, Role, Value};
use crate::model::Gap;

/// Members of a structure that are shown.
const MAX_MEMBERS: usize = 8;
/// Elements of an array that are shown.
const MAX_ELEMENTS: usize = 8;
/// Structures in structures are shown to this depth, references followed to the same.
const MAX_DEPTH: usize = 2;

/// On one line of bounded length. A part that is unknown is `? (why)`.
impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        value(self, 0, f)
    }
}

fn value(value: &Value, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some((key, under)) = value.keyed() {
        f.write_str("[")?;
        self::value(key, depth.saturating_add(1), f)?;
        f.write_str("] = ")?;
        return self::value(under, depth.saturating_add(1), f);
    }
    match &value.content {
        Ok(Content::Scalar(scalar)) => scalar.fmt(f),
        Ok(Content::Enumerator { name: Some(name), .. }) => f.write_str(name),
        Ok(Content::Enumerator { name: None, number }) => number.fmt(f),
        Ok(Content::Text(text)) => text.fmt(f),
        Ok(Content::Spelled(text)) => f.write_str(text),
        Ok(Content::Pointer(to)) => pointer(to, depth, f),
        Ok(Content::Structure { .. }) if depth >= MAX_DEPTH => f.write_str("{…}"),
        Ok(Content::Structure { fields, left_out }) => structure(fields, *left_out, depth, f),
        Ok(Content::Array { .. }) if depth >= MAX_DEPTH => f.write_str("[…]"),
        Ok(Content::Array { elements, left_out, unread }) => {
            array(elements, *left_out > 0 || unread.is_some(), depth, f)
        }
        Err(gap) => unknown(gap, f),
    }
}

fn pointer(pointer: &Pointer, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let to = pointer.to;
    match &pointer.behind {
        // A text is told without its address, as its language has it; of other objects the address tells them apart.
        Behind::Text(Ok(text)) if pointer.is_reference => text.fmt(f),
        Behind::Object(_) if to.0 == 0 => f.write_str("null"),
        Behind::Object(said) => object(pointer, said.as_deref(), depth, f),
        Behind::Value(behind) if depth < MAX_DEPTH => {
            write!(f, "@{to}: ")?;
            value(behind, depth.saturating_add(1), f)
        }
        _ if pointer.is_reference => write!(f, "@{to}"),
        Behind::Nothing | Behind::Value(_) => to.fmt(f),
        Behind::Text(Ok(text)) => write!(f, "{to} {text}"),
        Behind::Text(Err(gap)) => {
            write!(f, "{to} ")?;
            unknown(gap, f)
        }
        Behind::Symbol(name, 0) => write!(f, "{to} <{name}>"),
        Behind::Symbol(name, offset) => write!(f, "{to} <{name}+{offset:#x}>"),
    }
}

fn object(pointer: &Pointer, said: Option<&Value>, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{}", pointer.to)?;
    if let Some(of) = &pointer.pointee {
        write!(f, " {of}")?;
    }
    match said {
        Some(said) => {
            f.write_str(": ")?;
            value(said, depth.saturating_add(1), f)
        }
        None => Ok(()),
    }
}

fn structure(fields: &[Field], left_out: u64, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (alternatives, members): (Vec<&Field>, Vec<&Field>) =
        fields.iter().partition(|field| field.role == Role::Alternative);
    let mut parts = Separated { f, any: false };
    parts.f.write_str("{")?;
    // A base class that is empty tells nothing.
    let is_empty = |field: &&&Field| {
        field.role == Role::Base
            && matches!(&field.value.content, Ok(Content::Structure { fields, left_out: 0 }) if fields.is_empty())
    };
    for field in members.iter().filter(|field| !is_empty(field)).take(MAX_MEMBERS) {
        part(field, " = ", depth, parts.next()?)?;
    }
    if left_out > 0 || members.len() > MAX_MEMBERS {
        parts.next()?.write_str("…")?;
    }
    for field in alternatives {
        part(field, " ", depth, parts.next()?)?;
    }
    parts.f.write_str("}")
}

fn part(field: &Field, between: &str, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some(name) = &field.name {
        write!(f, "{name}{between}")?;
    }
    value(&field.value, depth.saturating_add(1), f)
}

fn array(elements: &[Value], has_more: bool, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut parts = Separated { f, any: false };
    parts.f.write_str("[")?;
    for element in elements.iter().take(MAX_ELEMENTS) {
        value(element, depth.saturating_add(1), parts.next()?)?;
    }
    if has_more || elements.len() > MAX_ELEMENTS {
        parts.next()?.write_str("…")?;
    }
    parts.f.write_str("]")
}

fn unknown(gap: &Gap, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "? ({gap})")
}

/// Puts a comma between parts.
struct Separated<'f, 'a> {
    f: &'f mut fmt::Formatter<'a>,
    any: bool,
}

impl<'a> Separated<'_, 'a> {
    fn next(&mut self) -> Result<&mut fmt::Formatter<'a>, fmt::Error> {
        if std::mem::replace(&mut self.any, true) {
            self.f.write_str(", ")?;
        }
        Ok(self.f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::{Scalar, Text};
    use crate::model::{Addr, Known};

    fn of(content: Known<Content>) -> Value {
        Value { ty: None, location: None, content }
    }

    fn number(number: i128) -> Value {
        of(Ok(Content::Scalar(Scalar::Signed(number))))
    }

    fn field(name: &str, value: Value) -> Field {
        Field { name: Some(name.into()), role: Role::Member, offset: 0, value }
    }

    fn structure(fields: Vec<Field>) -> Value {
        of(Ok(Content::Structure { fields, left_out: 0 }))
    }

    fn pointer(behind: Behind, is_reference: bool) -> Value {
        of(Ok(Content::Pointer(Pointer { to: Addr(0x4020), pointee: None, is_reference, behind })))
    }

    #[test]
    fn structures_in_structures_are_shown_to_a_depth() {
        let deep = structure(vec![field("c", structure(vec![field("d", number(1))]))]);
        assert_eq!(structure(vec![field("a", number(1)), field("b", deep)]).to_string(), "{a = 1, b = {c = {…}}}");
    }

    #[test]
    fn many_members_and_elements_end_in_dots() {
        let members = (0..9).map(|at| field("m", number(at))).collect();
        let text = structure(members).to_string();
        assert!(text.ends_with("m = 7, …}"), "{text}");
        let array = of(Ok(Content::Array { elements: vec![number(1), number(2)], left_out: 5, unread: None }));
        assert_eq!(array.to_string(), "[1, 2, …]");
    }

    #[test]
    fn an_alternative_stands_behind_the_members_whatever_their_number() {
        let mut fields: Vec<Field> = (0..9).map(|_| field("m", number(0))).collect();
        fields.push(Field { role: Role::Alternative, ..field("Some", structure(vec![field("__0", number(5))])) });
        let text = structure(fields).to_string();
        assert!(text.ends_with("m = 0, …, Some {__0 = 5}}"), "{text}");
    }

    #[test]
    fn a_pointer_is_its_address_and_what_is_known_of_what_is_there() {
        let text = Text { bytes: b"shoes".to_vec(), cut: false };
        assert_eq!(pointer(Behind::Nothing, false).to_string(), "0x4020");
        assert_eq!(pointer(Behind::Text(Ok(text)), false).to_string(), "0x4020 \"shoes\"");
        assert_eq!(pointer(Behind::Symbol("g_stock".into(), 8), false).to_string(), "0x4020 <g_stock+0x8>");
        assert_eq!(pointer(Behind::Value(Box::new(number(3))), true).to_string(), "@0x4020: 3");
        assert_eq!(pointer(Behind::Nothing, true).to_string(), "@0x4020");
    }

    #[test]
    fn an_object_is_told_by_its_type_and_what_it_says_in_short() {
        let text = || Text { bytes: b"shoes".to_vec(), cut: false };
        let object = |to, pointee: &str, said: Option<Value>| {
            let behind = Behind::Object(said.map(Box::new));
            let pointer = Pointer { to: Addr(to), pointee: Some(pointee.into()), is_reference: true, behind };
            of(Ok(Content::Pointer(pointer))).to_string()
        };
        assert_eq!(pointer(Behind::Text(Ok(text())), true).to_string(), "\"shoes\"");
        let said = of(Ok(Content::Text(text())));
        assert_eq!(object(0x4020, "Shop.OutOfStock", Some(said)), "0x4020 Shop.OutOfStock: \"shoes\"");
        assert_eq!(object(0x4020, "Shop.Order", None), "0x4020 Shop.Order");
        assert_eq!(object(0x4020, "System.Int32", Some(number(3))), "0x4020 System.Int32: 3");
        assert_eq!(object(0, "Shop.Order", None), "null");
        let date = of(Ok(Content::Spelled("2026-05-06".into())));
        assert_eq!(object(0x4020, "System.DateOnly", Some(date)), "0x4020 System.DateOnly: 2026-05-06");
    }

    #[test]
    fn what_is_unknown_says_why() {
        let gone = of(Err(Gap::NotRecorded("optimized out".to_owned())));
        assert_eq!(structure(vec![field("a", gone)]).to_string(), "{a = ? (not recorded: optimized out)}");
    }
}
