//! What a path of names leads to: `Shop.Program.s_orders[3].Name`, `0x7f0123456780._items`.
//!
//! Input: text, and the variables of a frame. Output: a [`Value`]. It begins with a static field of a class that the runtime has loaded, an object's
//! address, or a variable; then come fields, properties that have no code of their own, and elements by index or key. No code of the target is run.

use std::sync::Arc;

use super::values::{Values, unknown};
use super::{Instance, Window, property};
use crate::error::Error;
use crate::model::value::{Behind, Content, Pointer};
use crate::model::{Addr, Gap, Type, Value};
use crate::runtimes::coreclr::types::{ClassKind, Held};

/// Longest path, and most of its steps.
const MAX_PATH: usize = 4096;
const MAX_STEPS: usize = 64;
/// Elements that are shown of what it leads to, and those that are looked through for a key.
const SHOWN: Window = Window { start: 0, most: 100 };
const SEARCHED: Window = Window { start: 0, most: 2000 };

/// The variable of a name in the frame at hand.
pub(in crate::runtimes::coreclr) type Local<'l> = dyn Fn(&str) -> Option<Value> + 'l;

/// A step on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// `.Name`
    Field(String),
    /// `[3]`, `["key"]`, `[0,1]`
    Element(String),
}

impl<'a> Values<'a> {
    /// What a path leads to; `Ok(None)` where it begins with nothing of .NET's. `is_object`: whether an address is one of an object.
    pub(in crate::runtimes::coreclr) fn path(
        &self,
        text: &str,
        is_object: &dyn Fn(Addr) -> bool,
        local: &Local<'_>,
    ) -> Result<Option<Value>, Error> {
        let text = text.trim();
        if text.len() > MAX_PATH {
            return Ok(None);
        }
        let Some((first, steps)) = steps(text) else { return Ok(None) };
        let Some((mut value, rest)) = self.beginning(&first, &steps, is_object, local) else { return Ok(None) };
        for step in rest {
            value = match step {
                Step::Field(name) => self.member(&value, name)?,
                Step::Element(index) => self.element_of(&value, index)?,
            };
        }
        Ok(Some(self.opened(value)))
    }

    /// What it begins with, and the steps from there.
    fn beginning<'s>(
        &self,
        first: &str,
        steps: &'s [Step],
        is_object: &dyn Fn(Addr) -> bool,
        local: &Local<'_>,
    ) -> Option<(Value, &'s [Step])> {
        if let Some(digits) = first.strip_prefix("0x") {
            let at = u64::from_str_radix(digits, 16).ok().map(Addr).filter(|at| is_object(*at))?;
            return Some((self.reference(at, 0), steps));
        }
        if let Some(found) = local(first) {
            return Some((found, steps));
        }
        // The longest beginning that is a class; a field of it follows.
        let named = steps.iter().take_while(|step| matches!(step, Step::Field(_))).count();
        for count in (0..named).rev() {
            let (class, rest) = steps.split_at_checked(count)?;
            let Some((Step::Field(field), rest)) = rest.split_first() else { continue };
            let mut name = first.to_owned();
            class.iter().for_each(|step| name.push_str(&format!(".{}", step.text())));
            if let Some(table) = self.class_named(&name) {
                return Some((self.static_named(table, field)?, rest));
            }
        }
        None
    }

    fn class_named(&self, name: &str) -> Option<Addr> {
        if name.contains('<') { self.types.instantiated(name).ok()? } else { self.types.find(name).ok()? }
    }

    /// The value of a static field; `None` where the class has none of the name.
    fn static_named(&self, table: Addr, name: &str) -> Option<Value> {
        let fields = self.types.fields(table).ok()?;
        let is_it = |field: &&super::Field| {
            field.held != Held::Object && (&*field.name == name || property(&field.name) == Some(name))
        };
        let field = fields.iter().find(is_it)?;
        Some(match self.types.static_place(table, field) {
            Ok(at) => self.of_field(field, at, 0),
            Err(gap) => self.untold(field, gap),
        })
    }

    /// The object that a value refers to; `None` for what is no reference.
    fn object_of(&self, value: &Value) -> Result<Option<Instance<'a>>, Error> {
        match &value.content {
            Err(gap) => Err(Error::Failed(gap.to_string())),
            Ok(Content::Pointer(Pointer { to: Addr(0), is_reference: true, .. })) => {
                Err(Error::Failed("it leads to null".to_owned()))
            }
            Ok(Content::Pointer(Pointer { to, is_reference: true, .. })) => {
                Ok(Some(self.types.object(*to).map_err(|gap| Error::Failed(gap.to_string()))?))
            }
            Ok(_) => Ok(None),
        }
    }

    fn member(&self, value: &Value, name: &str) -> Result<Value, Error> {
        let Some(object) = self.object_of(value)? else {
            let is_it = |own: &str| own == name || property(own) == Some(name);
            let found = value.fields().iter().find(|field| field.name.as_deref().is_some_and(is_it));
            let of = value.ty.as_ref().map_or("it", |ty| &ty.name);
            return found.map(|field| field.value.clone()).ok_or_else(|| no_field(of, name));
        };
        if object.field(name).is_err() {
            return Err(no_field(object.name(), name));
        }
        Ok(self.named(&object, name))
    }

    fn element_of(&self, value: &Value, index: &str) -> Result<Value, Error> {
        let missing = || Error::Failed(format!("there is no [{index}]"));
        let Some(object) = self.object_of(value)? else {
            return value.elements().get(index.parse::<usize>().map_err(|_| missing())?).cloned().ok_or_else(missing);
        };
        if let (Ok(start), ClassKind::Array { rank: None, .. }) = (index.parse(), object.class.kind) {
            return Ok(self.element(&object, start));
        }
        let contained = self.contained(&object, SEARCHED).ok_or_else(missing)?;
        let keyed = contained.elements().iter().filter_map(Value::keyed);
        if let Some((_, found)) = { keyed }.find(|(key, _)| key.to_string() == index) {
            return Ok(found.clone());
        }
        // By its position, also where that is further on.
        let start = index.parse().map_err(|_| missing())?;
        let contained = self.contained(&object, Window { start, most: 1 }).ok_or_else(missing)?;
        let found = contained.elements().first().ok_or_else(missing)?;
        Ok(found.keyed().map_or(found, |(_, value)| value).clone())
    }

    /// A value at the end of the way: of a reference the object with what it contains, or its fields.
    fn opened(&self, value: Value) -> Value {
        let Ok(Content::Pointer(Pointer { to, pointee, is_reference: true, behind: Behind::Object(_) })) =
            &value.content
        else {
            return value;
        };
        let Ok(object) = self.types.object(*to) else { return value };
        let inside = match self.contained(&object, SHOWN) {
            Some(contained) => contained,
            None => self.whole(&object).unwrap_or_else(unknown),
        };
        let behind = Behind::Value(Box::new(inside));
        let pointer = Pointer { to: *to, pointee: pointee.clone(), is_reference: true, behind };
        let ty = pointee.clone().map(|name| Type { name: Arc::clone(&name), size: Some(8) });
        Value { ty, location: value.location, content: Ok(Content::Pointer(pointer)) }
    }
}

fn no_field(of: &str, name: &str) -> Error {
    Error::Failed(Gap::NoLayout(format!("{of} has no field {name}")).to_string())
}

impl Step {
    fn text(&self) -> &str {
        match self {
            Step::Field(text) | Step::Element(text) => text,
        }
    }
}

/// The first name and what follows it; `None` where it is no such path. Type arguments belong to names.
fn steps(text: &str) -> Option<(String, Vec<Step>)> {
    let (first, mut rest) = name(text)?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if steps.len() >= MAX_STEPS {
            return None;
        }
        let step = if let Some(after) = rest.strip_prefix('[') {
            let (index, after) = after.split_at(end_of_index(after)?);
            rest = after.get(1..)?;
            Step::Element(index.trim().to_owned())
        } else {
            let (field, after) = name(rest.strip_prefix('.')?)?;
            rest = after;
            Step::Field(field)
        };
        steps.push(step);
    }
    Some((first, steps))
}

/// Where the bracket closes: behind a text, which may have brackets in it.
fn end_of_index(text: &str) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ']' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// A name up to a point or bracket that is not within type arguments, and what follows. Names of fields that compilers make have brackets, too.
fn name(text: &str) -> Option<(String, &str)> {
    let mut depth = 0u32;
    let mut end = text.len();
    for (at, letter) in text.char_indices() {
        match letter {
            '<' => depth = depth.saturating_add(1),
            '>' => depth = depth.checked_sub(1)?,
            '.' | '[' if depth == 0 => {
                end = at;
                break;
            }
            letter
                if depth > 0 && (letter == ' ' || letter == ',' || letter == '[' || letter == ']' || letter == '.') => {
            }
            letter if letter.is_alphanumeric() || matches!(letter, '_' | '+' | '`' | '$' | '|') => {}
            _ => return None,
        }
    }
    let (name, rest) = text.split_at_checked(end)?;
    (depth == 0 && !name.is_empty()).then(|| (name.to_owned(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_names_and_indexes() {
        let told = |text| {
            let (first, steps) = steps(text)?;
            let steps = steps.iter().map(|step| match step {
                Step::Field(name) => format!(".{name}"),
                Step::Element(index) => format!("[{index}]"),
            });
            Some(format!("{first} {}", steps.collect::<Vec<_>>().join(" ")))
        };
        assert_eq!(told("Shop.Shelf.Orders[3].Name").as_deref(), Some("Shop .Shelf .Orders [3] .Name"));
        assert_eq!(told("0x7f00._map[\"a]\\\"b\"]").as_deref(), Some("0x7f00 ._map [\"a]\\\"b\"]"));
        assert_eq!(
            told("Ns.Box<System.Int32[], Ns.A>+In.s_one").as_deref(),
            Some("Ns .Box<System.Int32[], Ns.A>+In .s_one")
        );
        assert_eq!(told("o.<Name>k__BackingField[0, 1]").as_deref(), Some("o .<Name>k__BackingField [0, 1]"));
        assert_eq!(told("x").as_deref(), Some("x "));
        for text in ["", ".x", "x.", "x[1", "a->b", "*a", "a + b", "x>", "<", "x[1]y", "é.x["] {
            assert_eq!(told(text), None, "{text}");
        }
    }
}
