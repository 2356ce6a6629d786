//! Loaded modules as shown.

use schemars::JsonSchema;
use serde::Serialize;

use super::Addr;

/// A module as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ModuleRow {
    /// Lowest mapped address.
    pub base: Addr,
    /// One past the highest mapped address.
    pub end: Addr,
    /// Path as the dump records it; null for the vDSO and other pathless modules.
    pub path: Option<String>,
    /// Lowercase hex; null when unknown.
    pub build_id: Option<String>,
    /// Where its symbols came from, or why there are none.
    pub symbols: SymbolState,
}

/// Where a module's symbols came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SymbolState {
    /// Best kind at hand: `dwarf`, `symtab`, `dynsym`, `none`.
    pub kind: String,
    /// `the dump` where those names come from the dump's own memory; null where they come from a file, or there are none.
    pub source: Option<String>,
    /// The module's own file, verified; null when it was not found.
    pub file: Option<String>,
    /// The separate debug file; null when there is none.
    pub debug_file: Option<String>,
    /// Why something is missing: one line a place that was looked at.
    pub tried: Vec<String>,
}
