//! What queued work and timers would run.

use crate::model::{Addr, Known};
use crate::runtimes::coreclr::heap::Segments;
use crate::runtimes::coreclr::objects::{Instance, Values};
use crate::runtimes::coreclr::tasks::Boxes;

/// What an object of a queue would run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// `task`: a task's code; `method`: an asynchronous method goes on; `work`: a callback; `other`.
    pub kind: &'static str,
    /// The object's class; `None` where it cannot be read.
    pub type_name: Option<String>,
    /// The function; `None` where it cannot be told.
    pub function: Option<String>,
}

/// Fields that hold what an item of a queue calls.
const CALLS: [&str; 3] = ["_callback", "callback", "_callbackTState"];

/// What objects would run, each by its address.
pub(super) fn works<'v>(values: &'v Values<'_>, segments: &'v Segments) -> impl Fn(Addr) -> Known<Work> {
    let boxes = Boxes::of(values.types, segments);
    move |at| {
        let item = values.types.object(at)?;
        let type_name = item.class.name.as_deref().ok().map(str::to_owned);
        if let Some(method) = boxes.method_at(at) {
            return Ok(Work { kind: "method", type_name, function: Some(method) });
        }
        if item.is_a("System.Threading.Tasks.Task") {
            return Ok(Work { kind: "task", type_name, function: called(values, &item, "m_action") });
        }
        let function = CALLS.iter().find_map(|name| called(values, &item, name));
        Ok(Work { kind: if function.is_some() { "work" } else { "other" }, type_name, function })
    }
}

/// The function of the delegate in a field.
pub(super) fn called(values: &Values<'_>, object: &Instance<'_>, field: &str) -> Option<String> {
    let delegate = object.reference(field).ok()??;
    values.called(&delegate).ok()
}
