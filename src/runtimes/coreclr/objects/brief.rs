//! What an object says of itself in short, where something refers to it: a text, a boxed value, how many elements it has, a message.

use super::Instance;
use super::text::{self, MAX_TEXT};
use super::values::{MAX_DEPTH, Values, unknown};
use crate::model::value::{Content, Text};
use crate::model::{Gap, Known, Value};
use crate::runtimes::coreclr::tasks::Status;
use crate::runtimes::coreclr::types::ClassKind;

impl Values<'_> {
    /// What an object says in short; `None` where its type is all that there is to say.
    pub(super) fn brief(&self, object: &Instance<'_>, depth: usize) -> Option<Value> {
        let content = match object.class.kind {
            ClassKind::Text => text::read(object.types.clr, object.at, MAX_TEXT).map(Content::Text),
            ClassKind::Array { .. } => object.len().map(|count| elements(count.into())),
            ClassKind::Reference => self.told(object, depth)?,
            _ if depth >= MAX_DEPTH => return None,
            _ => self.boxed(object, depth.saturating_add(1)),
        };
        Some(match content {
            Ok(content) => Value { ty: None, location: None, content: Ok(content) },
            Err(gap) => unknown(gap),
        })
    }

    /// What objects of well-known classes say.
    fn told(&self, object: &Instance<'_>, depth: usize) -> Option<Known<Content>> {
        if let Some(spelled) = object.spelled() {
            return Some(spelled.map(|text| Content::Spelled(text.into())));
        }
        if let Some(count) = object.count() {
            return Some(count.map(elements));
        }
        let field = |name: &str| Some(object.text_of(name, MAX_TEXT).transpose()?.map(Content::Text));
        let lineage = object.lineage();
        let is = |name: &str| lineage.iter().any(|known| &**known == name);
        match () {
            () if is("System.Exception") => field("_message"),
            () if is("System.Threading.Thread") => field("_name"),
            () if is("System.Uri") => field("_string"),
            () if is("System.RuntimeType") => Some(self.type_told(object)),
            () if is("System.Text.StringBuilder") => Some(object.built(MAX_TEXT).map(Content::Text)),
            () if is("System.Lazy") && depth < MAX_DEPTH => self.lazy(object, depth.saturating_add(1)),
            () if is("System.Threading.Tasks.Task") => {
                Some(object.u32("m_stateFlags").map(|flags| Content::Spelled(Status(flags).name().into())))
            }
            () if is("System.Delegate") && depth < MAX_DEPTH => {
                Some(self.called(object).map(|text| Content::Spelled(text.into())))
            }
            () => None,
        }
    }

    /// The value of a `Lazy`, where it was made: then nothing is kept of how it would be.
    fn lazy(&self, object: &Instance<'_>, depth: usize) -> Option<Known<Content>> {
        match object.address("_state") {
            Ok(state) if state.0 == 0 => Some(self.named_at(object, "_value", depth).content),
            Ok(_) => Some(Ok(Content::Spelled("not made yet".into()))),
            Err(gap) => Some(Err(gap)),
        }
    }

    /// The name of the type that a `Type` stands for.
    fn type_told(&self, object: &Instance<'_>) -> Known<Content> {
        let handle = object.address("m_handle")?;
        if handle.0 == 0 {
            return Err(Gap::NotRecorded("the type that it stands for".to_owned()));
        }
        Ok(Content::Spelled(self.types.handle_name(handle)?.into()))
    }
}

/// `3 elements`.
pub(super) fn elements(count: u64) -> Content {
    let noun = if count == 1 { "element" } else { "elements" };
    Content::Spelled(format!("{count} {noun}").into())
}

impl Instance<'_> {
    /// The text that a field refers to, so many characters of it; `Ok(None)` for null.
    pub(super) fn text_of(&self, name: &str, most: u32) -> Known<Option<Text>> {
        let to = self.address(name)?;
        if to.0 == 0 { Ok(None) } else { text::read(self.types.clr, to, most).map(Some) }
    }
}
