//! What is in a block: fields by the DWARF of its type, text, words.

use symbols::TypeId;

use crate::heap::{Contents, HeapObject};
use crate::model::value::Content;
use crate::model::{Addr, Gap, Known, Value};
use crate::target::{Module, Target};
use crate::variables;

/// Words of a block that are read.
const MAX_WORDS: u64 = 64;
/// Bytes of text that are read, and the fewest that are taken for text.
const MAX_TEXT: u64 = 256;
const MIN_TEXT: usize = 4;
/// Bytes that are told of a block that was written beyond its end.
const MAX_TOLD: u64 = 32;

/// What is in a block; `type_name` where its type is known by name.
pub(super) fn of(target: &Target, object: HeapObject, type_name: Option<&str>) -> Contents {
    let size = target.arch().pointer_size();
    let count = (object.bytes / size).min(MAX_WORDS);
    let word = |index: u64| target.memory.ptr(object.address.plus(index.checked_mul(size)?)?).ok();
    Contents {
        value: typed(target, object.address, type_name),
        contained: None,
        statics: Vec::new(),
        statics_left_out: 0,
        text: text(target, object),
        words: (0..count).map(word).collect(),
        words_left_out: (object.bytes / size).saturating_sub(count),
    }
}

/// What is in a block of values of a type, the first of which is at `at`: one, or the first of so many.
pub(super) fn values(
    target: &Target,
    object: HeapObject,
    (module, ty): (&Module, TypeId),
    at: Addr,
    elements: Option<(u64, u64)>,
) -> Contents {
    let content = of(target, object, None);
    let one = |at: Addr| variables::at(target, module, ty, at);
    let first = one(at);
    let Some((shown, all)) = elements else { return Contents { value: Ok(first), ..content } };
    let size = first.ty.as_ref().and_then(|ty| ty.size).unwrap_or(0);
    let place = |index: u64| size.checked_mul(index).and_then(|offset| at.plus(offset));
    let elements: Vec<Value> = (0..shown).filter_map(|index| Some(one(place(index)?))).collect();
    let left_out = all.saturating_sub(elements.len() as u64);
    let value =
        Value { ty: None, location: Some(at), content: Ok(Content::Array { elements, left_out, unread: None }) };
    Contents { value: Ok(value), ..content }
}

fn typed(target: &Target, at: Addr, type_name: Option<&str>) -> Known<Value> {
    let name = type_name.ok_or_else(|| Gap::NotRecorded("its type".to_owned()))?;
    let described = target.modules.iter().find_map(|module| Some((module, module.symbols().type_named(name)?)));
    let (module, ty) = described.ok_or_else(|| Gap::NoLayout(format!("type {name}")))?;
    Ok(variables::at(target, module, ty, at))
}

/// The field of a type that is so many bytes from its start: `orders[3].next`.
pub(super) fn field_at(target: &Target, type_name: &str, offset: u64) -> Option<String> {
    let (module, ty) =
        target.modules.iter().find_map(|module| Some((module, module.symbols().type_named(type_name)?)))?;
    let part = module.symbols().part_of(ty, offset)?;
    let path = part.path.trim_start_matches('.').to_owned();
    Some(path).filter(|path| !path.is_empty())
}

/// What a block without a type begins with, in words: `, which begins with the text "name"`.
pub(super) fn beginning(target: &Target, address: Addr, bytes: u64) -> String {
    let object = HeapObject { address, of_type: 0, bytes: bytes.min(MAX_TOLD) };
    if let Some(text) = text(target, object) {
        return format!(", which begins with the text {text:?}");
    }
    let words: Vec<String> =
        of(target, object, None).words.into_iter().flatten().map(|word| word.to_string()).collect();
    if words.is_empty() { String::new() } else { format!(", which begins with the words {}", words.join(" ")) }
}

/// The text that a block begins with: printable up to a zero byte or its end.
fn text(target: &Target, object: HeapObject) -> Option<String> {
    let bytes = target.memory.slice_up_to(object.address, object.bytes.min(MAX_TEXT)).ok()?;
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let is_text = text.len() >= MIN_TEXT && text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t' | '\r'));
    is_text.then(|| text.to_owned())
}
