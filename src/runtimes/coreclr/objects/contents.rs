//! What is in an object of the heap: its fields, what it contains, the static fields of its class, its text.

use std::sync::Arc;

use super::text::MAX_TEXT;
use super::values::Values;
use super::{HEADER, Instance, Window};
use crate::heap::{Contents, HeapObject, StaticField};
use crate::model::value::{Content, Field as Part, Role};
use crate::model::{Addr, Known, Tid, Value};
use crate::runtimes::coreclr::types::{ClassKind, Field, Held};

/// Words of an object that are shown.
const MAX_WORDS: u64 = 128;
/// Characters of a text that are shown of itself.
const MAX_OWN_TEXT: u32 = 1 << 20;
/// Elements that are shown.
const FIRST: Window = Window { start: 0, most: 100 };
/// Static fields of one class that are shown, those that each thread has once for each.
pub(super) const MAX_STATICS: usize = 512;

/// Classes whose objects say in short what their fields say in many words.
const SAYING: [&str; 2] = ["System.Threading.Tasks.Task", "System.RuntimeType"];

/// A thread that may have static fields of its own: its structure, and its number.
pub(in crate::runtimes::coreclr) type OfThread = (Addr, Option<Tid>);

impl Values<'_> {
    /// What is in an object.
    pub(in crate::runtimes::coreclr) fn contents(&self, object: HeapObject, threads: &[OfThread]) -> Contents {
        let mut contents = Contents::of_words(self.words(object));
        match self.types.object(object.address) {
            Ok(instance) => {
                contents.value = self.whole(&instance);
                contents.text = self.text(&instance);
                contents.contained = self.contained(&instance, FIRST);
                self.statics(&instance, threads, &mut contents);
            }
            Err(gap) => contents.value = Err(gap),
        }
        contents
    }

    /// The first words of an object, and how many more it has.
    pub(super) fn words(&self, object: HeapObject) -> (Vec<Option<Addr>>, u64) {
        let memory = self.types.clr.memory();
        let count = (object.bytes / 8).min(MAX_WORDS);
        let word = |index: u64| memory.ptr(object.address.plus(index.checked_mul(8)?)?).ok();
        ((0..count).map(word).collect(), (object.bytes / 8).saturating_sub(count))
    }

    /// The fields of a structure, whatever its usual spelling.
    pub(super) fn fields_of(&self, instance: &Instance<'_>) -> Known<Value> {
        let content = match self.repeated(instance, 0)? {
            Some(elements) => elements,
            None => self.parts(instance, 0, 0)?,
        };
        Ok(Value { ty: None, location: Some(instance.at), content: Ok(content) })
    }

    /// The fields of an object; of an array its elements, of a boxed value that.
    pub(in crate::runtimes::coreclr) fn whole(&self, object: &Instance<'_>) -> Known<Value> {
        let content = match object.class.kind {
            ClassKind::Primitive(_) | ClassKind::Enumeration(_) => {
                let value = Value { ty: None, location: object.at.plus(HEADER), content: self.boxed(object, 0) };
                let part = Part { name: Some("value".into()), role: Role::Member, offset: HEADER, value };
                Content::Structure { fields: vec![part], left_out: 0 }
            }
            _ => match self.repeated(object, 0)? {
                Some(elements) => elements,
                None => self.parts(object, HEADER, 0)?,
            },
        };
        Ok(Value { ty: None, location: Some(object.at), content: Ok(content) })
    }

    /// What an object reads as: its characters, or its usual spelling.
    fn text(&self, object: &Instance<'_>) -> Option<String> {
        if object.class.kind == ClassKind::Text {
            return super::text::read(object.types.clr, object.at, MAX_OWN_TEXT).ok().map(written);
        }
        match self.brief(object, 0)?.content.ok()? {
            Content::Text(_) if object.is_a("System.Text.StringBuilder") => object.built(MAX_TEXT).ok().map(written),
            Content::Text(text) => Some(written(text)),
            Content::Spelled(text) if object.spelled().is_some() || SAYING.iter().any(|class| object.is_a(class)) => {
                Some(text.to_string())
            }
            _ => None,
        }
    }

    /// The static fields of an object's class, those that each thread has once for every thread that has them.
    fn statics(&self, object: &Instance<'_>, threads: &[OfThread], contents: &mut Contents) {
        let table = object.class.table;
        let Ok(fields) = self.types.fields(table) else { return };
        let mut add = |field: &Field, at: Known<Addr>, thread: Option<Tid>| {
            if contents.statics.len() < MAX_STATICS {
                contents.statics.push(StaticField { part: self.part(field, at), thread });
            } else {
                contents.statics_left_out = contents.statics_left_out.saturating_add(1);
            }
        };
        for field in fields.iter().filter(|field| field.held != Held::Object) {
            match field.held {
                Held::Thread => {
                    for (thread, tid) in threads {
                        let at = self.types.thread_static_place(*thread, table, field).transpose();
                        at.into_iter().for_each(|at| add(field, at, *tid));
                    }
                }
                _ => add(field, self.types.static_place(table, field), None),
            }
        }
    }

    fn part(&self, field: &Field, at: Known<Addr>) -> Part {
        let value = match at {
            Ok(at) => self.of_field(field, at, 1),
            Err(gap) => self.untold(field, gap),
        };
        Part { name: Some(Arc::clone(&field.name)), role: Role::Member, offset: field.offset, value }
    }
}

fn written(text: crate::model::value::Text) -> String {
    let written = String::from_utf8_lossy(&text.bytes).into_owned();
    if text.cut { format!("{written}…") } else { written }
}
