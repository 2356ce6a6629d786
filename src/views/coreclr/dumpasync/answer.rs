//! What `dumpasync` answers.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{Addr, Tid};

/// Asynchronous work.
#[derive(Serialize, JsonSchema)]
pub struct DumpAsync {
    /// Stacks; null where only methods are counted.
    pub stacks: Option<Vec<StackRow>>,
    /// Methods with their number, most first; null unless asked for.
    pub methods: Option<Vec<MethodRow>>,
    /// Whether all of the heap could be read: else there are at least these.
    pub complete: bool,
}

/// A stack, or several that are alike.
#[derive(Clone, Serialize, JsonSchema)]
pub struct StackRow {
    /// How many are like this one.
    pub count: u64,
    /// Methods and tasks, innermost first.
    pub frames: Vec<FrameRow>,
    /// What the innermost waits for.
    pub awaits: AwaitedRow,
    /// Threads that block on a task of the stack.
    pub threads: Vec<Tid>,
}

/// A method that was suspended, or a task.
#[derive(Clone, Serialize, JsonSchema)]
pub struct FrameRow {
    /// The task, or the box of the state machine.
    pub address: Addr,
    /// The state machine's class, else the task's; null where it cannot be read.
    #[serde(rename = "type")]
    pub type_name: Option<Arc<str>>,
    /// The method; null for a task that is no method's.
    pub method: Option<Arc<str>>,
    /// Number of the await at which it is suspended, from 0; -1 for one that runs; null for a task that is no method's.
    pub state: Option<i32>,
    /// The task's status as .NET has it; null where the method's result is no task.
    pub status: Option<&'static str>,
    /// Source file of the await; null where no symbols tell.
    pub file: Option<Arc<str>>,
    /// Line in it.
    pub line: Option<u32>,
    /// The state machine's fields, parameters and locals among them; null unless asked for, and for tasks that are no method's.
    pub fields: Option<Vec<FieldRow>>,
    /// Why what it is at cannot be read, or not all of it; null where it was.
    pub unread: Option<String>,
}

/// A field of a state machine.
#[derive(Clone, Serialize, JsonSchema)]
pub struct FieldRow {
    /// Its name, as the compiler gave it: `<tag>5__2` is the local `tag`, `<>4__this` the object itself.
    pub name: Arc<str>,
    /// Its type; null where it cannot be told.
    #[serde(rename = "type")]
    pub type_name: Option<Arc<str>>,
    /// Its value in words.
    pub value: String,
    /// What it refers to; null where it is no reference, or that is null.
    pub address: Option<Addr>,
}

/// What a stack waits for.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub struct AwaitedRow {
    /// `delay`, `semaphore`, `channel`, `socket`, `pipe`, `file`, `timer`, `task-run`, `completion-source`, `when-all`, `when-any`,
    /// `wait-async`, `unwrap`, `task`, `source`, `continuation` (what was awaited has ended), `yield`, `running`, `ended`, `circle`, `unknown` (it cannot
    /// be read).
    pub kind: &'static str,
    /// The object; null where there is none.
    pub address: Option<Addr>,
    /// A static field that leads to it, a time, a request, else its class; null where that cannot be read.
    pub name: Option<String>,
}

/// A method with its number.
#[derive(Serialize, JsonSchema)]
pub struct MethodRow {
    /// Method table of its state machine.
    pub id: Addr,
    /// How many are suspended or run.
    pub count: u64,
    /// Class of its state machine; null where it cannot be read.
    #[serde(rename = "type")]
    pub type_name: Option<Arc<str>>,
    /// The method; null where the class tells none.
    pub method: Option<Arc<str>>,
}
