//! Arguments and local variables of a frame, with their values as they are shown.

use schemars::JsonSchema;
use serde::Serialize;

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Variable {
    /// Its name in the source; null for what has none.
    pub name: Option<String>,
    /// Argument or local variable.
    pub kind: VariableKind,
    /// The type's name with its scope; null where the debug information states none.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// The value on one line, of bounded length; null where it is unknown.
    pub value: Option<String>,
    /// Why the value is unknown; null where it is known.
    pub unknown: Option<String>,
}
