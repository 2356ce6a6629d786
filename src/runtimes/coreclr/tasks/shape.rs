//! What a class is to asynchronous work, and where in its objects the parts of it are.
//!
//! Input: a class. Output: a [`Shape`]. Fields are found by name. Specification: dotnet/runtime src/libraries/System.Private.CoreLib/src/System/
//! Threading/Tasks/{Task,TaskContinuation}.cs, Runtime/CompilerServices/{AsyncTaskMethodBuilderT,PoolingAsyncValueTaskMethodBuilderT}.cs
//! of 8.0 to 10.0.

use std::sync::Arc;

use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::objects::HEADER;
use crate::runtimes::coreclr::types::{Class, Field, Held, Types};

/// Most base classes that are looked at.
const MAX_BASES: usize = 32;
/// Most fields of a state machine that hold awaiters.
const MAX_AWAITERS: usize = 256;

/// What an object is to asynchronous work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A task that is no method's.
    Task,
    /// The task of an asynchronous method, which holds its state machine.
    Box,
    /// A box of a `ValueTask`'s pool, which is no task.
    Pooled,
    /// What a thread waits on in `Task.Wait`: an event that the task sets.
    Event,
    /// A list of continuations.
    List,
    /// A delegate.
    Delegate,
    /// What a builder wraps a delegate in.
    Wrapper,
    /// A delegate with where it is to run.
    Await,
    /// The task that goes on with another.
    With,
    /// `System.Object` itself: in place of continuations, it says that there are none any more.
    Sentinel,
    /// Anything else.
    Other,
}

/// A class as asynchronous work has it.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) class: Arc<Class>,
    pub(super) role: Role,
    /// Bytes from an object's start to the parts; `None` where it has none.
    pub(super) flags: Option<u64>,
    pub(super) continuation: Option<u64>,
    pub(super) context: Option<u64>,
    /// What a `ValueTask` that was made a task waits for.
    pub(super) source: Option<u64>,
    /// Where a box keeps its state machine; `None` for what is no box.
    pub(super) machine: Option<Known<Place>>,
}

/// Where a box keeps its state machine.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In itself, so many bytes from its start.
    Inline(u64, Arc<Machine>),
    /// In an object of its own, which it refers to there.
    Apart(u64),
}

/// A state machine's class.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) class: Arc<Class>,
    /// Bytes from its first field to its state.
    pub(super) state: Option<u64>,
    pub(super) awaiters: Vec<Awaiter>,
    /// Whether it awaits `Task.Yield` somewhere, whose awaiter holds nothing.
    pub(super) may_yield: bool,
}

/// A field that holds what a method awaits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Awaiter {
    /// Bytes from the machine's first field.
    pub(super) offset: u64,
    /// Whether the awaiter is an object of its own.
    pub(super) is_reference: bool,
}

/// Beginnings of names that tell a role, of the class itself.
const BY_NAME: [(&str, Role); 8] = [
    ("System.Object", Role::Sentinel),
    ("System.Threading.Tasks.Task+SetOnInvokeMres", Role::Event),
    ("System.Threading.Tasks.Task+SetOnCountdownMres", Role::Event),
    ("System.Collections.Generic.List<System.Object>", Role::List),
    ("System.Runtime.CompilerServices.AsyncMethodBuilderCore+ContinuationWrapper", Role::Wrapper),
    ("System.Threading.Tasks.ContinueWithTaskContinuation", Role::With),
    ("System.Action", Role::Delegate),
    ("System.Threading.Tasks.AwaitTaskContinuation", Role::Await),
];
const TASK: &str = "System.Threading.Tasks.Task";
const AWAIT: &str = "System.Threading.Tasks.AwaitTaskContinuation";
const DELEGATE: &str = "System.MulticastDelegate";
const POOLED: &str = "System.Runtime.CompilerServices.PoolingAsyncValueTaskMethodBuilder";
const BUILDER: &str = "System.Runtime.CompilerServices.AsyncTaskMethodBuilder";

impl<'a> Types<'a> {
    /// What a class is to asynchronous work.
    pub(super) fn shape(self, table: Addr) -> Known<Shape> {
        let class = self.class(table)?;
        let role = self.role(&class);
        let mut shape =
            Shape { class, role, flags: None, continuation: None, context: None, source: None, machine: None };
        if matches!(role, Role::Other | Role::Sentinel) {
            return Ok(shape);
        }
        let fields = self.fields(table)?;
        let place = |name: &str| held(&fields, name).map(|field| field.offset.saturating_add(HEADER));
        match role {
            Role::Task | Role::Box => {
                shape.flags = place("m_stateFlags");
                shape.continuation = place("m_continuationObject");
                shape.source = place("_source").filter(|_| role == Role::Task && is_from_source(&shape.class));
            }
            Role::List => shape.continuation = place("_items"),
            Role::Delegate => shape.continuation = place("_target"),
            Role::Wrapper => shape.continuation = place("_continuation"),
            Role::With => shape.continuation = place("m_task"),
            Role::Await => {
                shape.continuation = place("m_action");
                shape.context = place("m_syncContext").or_else(|| place("m_scheduler"));
            }
            _ => {}
        }
        if matches!(role, Role::Box | Role::Pooled) {
            shape.context = place("Context");
            let none = || Gap::NoLayout(format!("StateMachine of {}", shape.class.table));
            let place = held(&fields, "StateMachine").ok_or_else(none).and_then(|field| self.machine_place(field));
            shape.machine = Some(place);
        }
        Ok(shape)
    }

    fn role(self, class: &Class) -> Role {
        let Ok(name) = class.name.as_deref() else { return Role::Other };
        if name.starts_with(BUILDER) && name.contains("StateMachineBox<") {
            return Role::Box;
        }
        if name.starts_with(POOLED) && name.contains("StateMachineBox<") {
            return Role::Pooled;
        }
        if let Some((_, role)) = BY_NAME.iter().find(|(known, _)| *known == name) {
            return *role;
        }
        let mut next = class.table;
        for _ in 0..MAX_BASES {
            let Ok(class) = self.class(next) else { return Role::Other };
            match class.name.as_deref() {
                Ok(TASK) => return Role::Task,
                Ok(AWAIT) => return Role::Await,
                Ok(DELEGATE) => return Role::Delegate,
                _ if class.parent.0 == 0 => return Role::Other,
                _ => next = class.parent,
            }
        }
        Role::Other
    }

    fn machine_place(self, field: &Field) -> Known<Place> {
        let offset = field.offset.saturating_add(HEADER);
        if !is_structure(field) {
            return Ok(Place::Apart(offset));
        }
        let table = self.class_of_values(field.sort.as_ref().map_err(Gap::clone)?, field.declared_by)?;
        Ok(Place::Inline(offset, Arc::new(self.machine(table)?)))
    }

    /// A state machine's class.
    pub(super) fn machine(self, table: Addr) -> Known<Machine> {
        let fields = self.fields(table)?;
        let awaiters = fields.iter().filter(|field| field.held == Held::Object && field.name.starts_with("<>u__"));
        let (yields, awaiters): (Vec<&Field>, Vec<&Field>) =
            awaiters.take(MAX_AWAITERS).partition(|field| self.is_yield(field));
        Ok(Machine {
            class: self.class(table)?,
            state: held(&fields, "<>1__state").map(|field| field.offset),
            may_yield: !yields.is_empty(),
            awaiters: awaiters
                .into_iter()
                .map(|field| Awaiter { offset: field.offset, is_reference: !is_structure(field) })
                .collect(),
        })
    }

    /// Whether a field's awaiter, that of `Task.Yield`, holds nothing.
    fn is_yield(self, field: &Field) -> bool {
        let name = field.sort.as_ref().ok().and_then(|sort| self.sort_name(sort, field.declared_by).ok());
        name.is_some_and(|name| name.starts_with("System.Runtime.CompilerServices.YieldAwaitable"))
    }
}

fn held<'f>(fields: &'f [Field], name: &str) -> Option<&'f Field> {
    fields.iter().rev().find(|field| field.held == Held::Object && &*field.name == name)
}

fn is_structure(field: &Field) -> bool {
    /// Source: ECMA-335 II.23.1.16, ELEMENT_TYPE_VALUETYPE.
    const VALUE: u8 = 0x11;
    field.element == VALUE
}

fn is_from_source(class: &Class) -> bool {
    class.name.as_deref().is_ok_and(|name| name.contains("+ValueTaskSourceAsTask"))
}
