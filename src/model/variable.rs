//! Arguments and local variables of a frame.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::Value;

/// What a variable is to its function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VariableKind {
    /// A parameter.
    Argument,
    /// A local variable.
    Local,
}

/// An argument or a local variable of one frame.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Variable {
    /// Its name in the source; null for what has none.
    pub name: Option<Arc<str>>,
    /// Argument or local variable.
    pub kind: VariableKind,
    /// Its type and value.
    #[serde(flatten)]
    pub value: Value,
}
