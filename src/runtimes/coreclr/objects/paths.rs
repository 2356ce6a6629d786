//! What a path of names leads to: `Shop.Program.s_orders[3].Name`, `0x7f0123456780._items`.
//!
//! Input: text, and the variables of a frame. Output: a [`Value`]. It begins with a static field of a class that the runtime has loaded, an object's
//! address, or a variable (a class alone is all its static fields); then come fields, properties that have no code of their own, and elements by index or key. No code of the target is run.

use std::sync::Arc;

use super::contents::{MAX_STATICS, OfThread};
use super::elements::{keyed, several, spelled};
use super::values::{Values, unknown};
use super::{Instance, Window, property};
use crate::error::Error;
use crate::model::value::{Behind, Content, Field as Part, Pointer, Role};
use crate::model::{Addr, Gap, Known, Type, Value};
use crate::runtimes::coreclr::types::{ClassKind, Held};

/// Longest path, and most of its steps.
const MAX_PATH: usize = 4096;
const MAX_STEPS: usize = 64;
/// Elements that are shown of what it leads to, and those that are looked through for a key.
const SHOWN: Window = Window { start: 0, most: 100 };
const SEARCHED: Window = Window { start: 0, most: 2000 };

/// What a path may begin with.
pub(in crate::runtimes::coreclr) struct Scope<'s> {
    /// Whether an address is one of an object.
    pub(in crate::runtimes::coreclr) is_object: &'s dyn Fn(Addr) -> bool,
    /// The variable of a name in the frame at hand.
    pub(in crate::runtimes::coreclr) local: &'s dyn Fn(&str) -> Option<Value>,
    /// Threads, each of which may have static fields of its own.
    pub(in crate::runtimes::coreclr) threads: &'s [OfThread],
}

/// A step on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// `.Name`
    Field(String),
    /// `[3]`, `["key"]`, `[0,1]`
    Element(String),
}

impl<'a> Values<'a> {
    /// What a path leads to; `Ok(None)` where it begins with nothing of .NET's.
    pub(in crate::runtimes::coreclr) fn path(&self, text: &str, scope: &Scope<'_>) -> Result<Option<Value>, Error> {
        let text = text.trim();
        if text.len() > MAX_PATH {
            return Ok(None);
        }
        let Some((first, steps)) = steps(text) else { return Ok(None) };
        let Some((mut value, rest)) = self.beginning(&first, &steps, scope)? else { return Ok(None) };
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
        scope: &Scope<'_>,
    ) -> Result<Option<(Value, &'s [Step])>, Error> {
        if let Some(digits) = first.strip_prefix("0x") {
            let at = u64::from_str_radix(digits, 16).ok().map(Addr).filter(|at| (scope.is_object)(*at));
            return Ok(at.map(|at| (self.reference(at, 0), steps)));
        }
        if let Some(found) = (scope.local)(first) {
            return Ok(Some((found, steps)));
        }
        // The longest beginning that is a class; a field of it follows.
        let named = steps.iter().take_while(|step| matches!(step, Step::Field(_))).count();
        let mut unread = None;
        for count in (0..=named).rev() {
            let Some((class, rest)) = steps.split_at_checked(count) else { continue };
            let mut name = first.to_owned();
            class.iter().for_each(|step| name.push_str(&format!(".{}", step.text())));
            let table = match self.class_named(&name) {
                Ok(Some(table)) => table,
                Ok(None) => continue,
                Err(gap) => {
                    unread = unread.or(Some(gap));
                    continue;
                }
            };
            return match rest.split_first() {
                Some((Step::Field(field), rest)) => Ok(Some((self.static_named(table, &name, field, scope)?, rest))),
                _ => Ok(Some((self.statics_of(table, scope)?, rest))),
            };
        }
        let why = |gap| Error::Failed(format!("whether {first} begins the name of a class cannot be told: {gap}"));
        unread.map_or(Ok(None), |gap| Err(why(gap)))
    }

    fn class_named(&self, name: &str) -> Known<Option<Addr>> {
        if name.contains('<') { self.types.instantiated(name) } else { self.types.find(name) }
    }

    /// The value of a static field.
    fn static_named(&self, table: Addr, class: &str, name: &str, scope: &Scope<'_>) -> Result<Value, Error> {
        let fields = self.types.fields(table).map_err(failed)?;
        let is_it = |field: &&super::Field| {
            field.held != Held::Object && (&*field.name == name || property(&field.name) == Some(name))
        };
        let field = fields.iter().find(is_it);
        let field = field.ok_or_else(|| Error::Failed(format!("{class} has no static field {name}")))?;
        Ok(self.of_static(table, field, scope))
    }

    /// Of a field that each thread has the values of all threads.
    fn of_static(&self, table: Addr, field: &super::Field, scope: &Scope<'_>) -> Value {
        if field.held != Held::Thread {
            return match self.types.static_place(table, field) {
                Ok(at) => self.of_field(field, at, 0),
                Err(gap) => self.untold(field, gap),
            };
        }
        let mut shown = Vec::new();
        let mut left_out = 0u64;
        for (thread, tid) in scope.threads {
            let Some(at) = self.types.thread_static_place(*thread, table, field).transpose() else { continue };
            if shown.len() >= MAX_STATICS {
                left_out = left_out.saturating_add(1);
                continue;
            }
            let label = tid.map_or_else(|| "no thread".to_owned(), |tid| format!("thread {tid}"));
            let value = match at {
                Ok(at) => self.of_field(field, at, 0),
                Err(gap) => self.untold(field, gap),
            };
            shown.push(keyed(spelled(&label), value));
        }
        let all = several(shown, left_out);
        let ty = all.elements().first().and_then(|first| first.ty.clone());
        Value { ty, ..all }
    }

    /// The static fields of a class.
    fn statics_of(&self, table: Addr, scope: &Scope<'_>) -> Result<Value, Error> {
        let fields = self.types.fields(table).map_err(failed)?;
        let fields: Vec<&super::Field> = fields.iter().filter(|field| field.held != Held::Object).collect();
        let left_out = fields.len().saturating_sub(MAX_STATICS) as u64;
        let part = |field: &super::Field| Part {
            name: Some(Arc::clone(&field.name)),
            role: Role::Member,
            offset: field.offset,
            value: self.of_static(table, field, scope),
        };
        let ty = self.types.of_table(table).ok().map(|name| Type { name: name.into(), size: None });
        let fields = fields.into_iter().take(MAX_STATICS).map(part).collect();
        let content = Content::Structure { fields, left_out };
        Ok(Value { ty, location: None, content: Ok(content) })
    }

    /// The object that a value refers to; `None` for what is no reference.
    fn object_of(&self, value: &Value) -> Result<Option<Instance<'a>>, Error> {
        match &value.content {
            Err(gap) => Err(failed(gap.clone())),
            Ok(Content::Pointer(Pointer { to: Addr(0), is_reference: true, .. })) => {
                Err(Error::Failed("it leads to null".to_owned()))
            }
            // What is passed by reference lies where it lies.
            Ok(Content::Pointer(Pointer { behind: Behind::Value(_), .. })) => Ok(None),
            Ok(Content::Pointer(Pointer { to, is_reference: true, .. })) => {
                self.types.object(*to).map(Some).map_err(failed)
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
        match object.field(name) {
            Ok(_) => Ok(self.named(&object, name)),
            Err(Gap::NoLayout(_)) => Err(no_field(object.name(), name)),
            Err(gap) => Err(failed(gap)),
        }
    }

    fn element_of(&self, value: &Value, index: &str) -> Result<Value, Error> {
        let Some(object) = self.object_of(value)? else {
            return among(value, index);
        };
        let missing = || Error::Failed(format!("there is no [{index}]"));
        if let ClassKind::Array { rank, .. } = object.class.kind {
            let position = match rank {
                None => index.parse().ok().filter(|index| object.len().is_ok_and(|len| *index < u64::from(len))),
                Some(rank) => position(&object.bounds(rank).map_err(failed)?, index),
            };
            return Ok(self.element(&object, position.ok_or_else(missing)?));
        }
        let Some(first) = self.contained(&object, Window { start: 0, most: 1 }) else {
            return among(&self.whole(&object).map_err(failed)?, index);
        };
        if first.elements().first().is_some_and(|first| first.keyed().is_some()) {
            return among(&self.contained(&object, SEARCHED).ok_or_else(missing)?, index);
        }
        let start = index.parse().map_err(|_| missing())?;
        let contained = self.contained(&object, Window { start, most: 1 }).ok_or_else(missing)?;
        if let Err(gap) = contained.content {
            return Err(failed(gap));
        }
        let why = |gap: &Gap| Error::Failed(format!("[{index}] was not met: {gap}"));
        contained.elements().first().cloned().ok_or_else(|| contained.unread().map_or_else(missing, why))
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

/// The element under a key; of those without keys that in a position.
fn among(value: &Value, index: &str) -> Result<Value, Error> {
    if let Err(gap) = &value.content {
        return Err(failed(gap.clone()));
    }
    let elements = value.elements();
    // A command line takes the quotes of a text for its own.
    let quoted = format!("\"{index}\"");
    let is_it = |key: &Value| [index, quoted.as_str()].contains(&key.to_string().as_str());
    let has_keys = elements.iter().any(|element| element.keyed().is_some());
    let found = match has_keys {
        true => elements.iter().filter_map(Value::keyed).find(|(key, _)| is_it(key)).map(|(_, found)| found),
        false => index.parse().ok().and_then(|index: usize| elements.get(index)),
    };
    let more = value.left_out();
    found.cloned().ok_or_else(|| match (more, value.unread()) {
        (0, None) => Error::Failed(format!("there is no [{index}]")),
        (_, None) => Error::Failed(format!(
            "there is no [{index}] among the first {}; {more} more were not looked at",
            elements.len()
        )),
        (_, Some(gap)) => Error::Failed(format!("there is no [{index}] among the first {}: {gap}", elements.len())),
    })
}

/// The position of an element in an array, by its index in each dimension; `None` where one is out of bounds.
fn position(bounds: &[(u32, i32)], indexes: &str) -> Option<u64> {
    let indexes: Vec<i64> = indexes.split(',').map(|index| index.trim().parse().ok()).collect::<Option<_>>()?;
    if indexes.len() != bounds.len() {
        return None;
    }
    let step = |position: u64, (index, (count, first)): (&i64, &(u32, i32))| {
        let along = index.checked_sub(i64::from(*first)).and_then(|along| u64::try_from(along).ok());
        let along = along.filter(|along| *along < u64::from(*count))?;
        position.checked_mul((*count).into())?.checked_add(along)
    };
    indexes.iter().zip(bounds).try_fold(0, step)
}

fn no_field(of: &str, name: &str) -> Error {
    Error::Failed(format!("{of} has no field {name}"))
}

fn failed(gap: Gap) -> Error {
    Error::Failed(gap.to_string())
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
    fn indexes_are_held_against_their_bounds() {
        // int[2,3], and an array of two dimensions that begin at 5 and -1.
        assert_eq!(position(&[(2, 0), (3, 0)], "1,2"), Some(5));
        assert_eq!(position(&[(2, 5), (2, -1)], "6, 0"), Some(3));
        for indexes in ["0,0", "4,-1", "5,-2", "7,-1", "5,1", "5", "5,-1,0", "5,x", ""] {
            assert_eq!(position(&[(2, 5), (2, -1)], indexes), None, "{indexes}");
        }
        // One dimension that begins at 3.
        assert_eq!((position(&[(2, 3)], "3"), position(&[(2, 3)], "0")), (Some(0), None));
    }

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
