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

/// A file for debuggers that code of a managed runtime states: the PDB of an assembly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DebugFile {
    /// The file name of the code: `Shop.dll`.
    pub assembly: String,
    /// Its version, `1.2.0.0`; null when unknown.
    pub version: Option<String>,
    /// Its path as the dump records it; null when unknown.
    pub path: Option<String>,
    /// What the file was called when the code was built; null where the code states none, or that is not known.
    pub file: Option<String>,
    /// Which build's it is: a GUID in lowercase; null where the code states none, or that is not known.
    pub id: Option<String>,
    /// How often it was written since; 1 for what .NET's compilers make.
    pub age: Option<u32>,
    /// Whether it is at hand, and serves.
    pub found: bool,
    /// Why it is not known which file it is, or why what was found of it is refused; null where neither is so.
    pub why: Option<String>,
}

/// Where a module's symbols came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SymbolState {
    /// Best kind at hand: `dwarf`, `symtab`, `dynsym`, `none`.
    pub kind: String,
    /// `the dump` where those names come from the dump's own memory; null where they come from a file, or there are
    /// none.
    pub source: Option<String>,
    /// The module's own file; null when it was not found. See `verification` for whether it is the one that was mapped.
    pub file: Option<String>,
    /// The separate debug file; null when there is none.
    pub debug_file: Option<String>,
    /// Why something is missing: one line a place that was looked at.
    pub tried: Vec<String>,
    /// Whether the files are those that were mapped.
    pub verification: Verification,
}

/// Whether a module's files are those that were mapped when the dump was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Verification {
    /// What is known.
    pub state: VerificationState,
    /// What it was verified by; null where it was not.
    pub by: Option<VerifiedBy>,
    /// What was compared; why it is not verified, or refused.
    pub detail: Option<String>,
}

/// What is known of a module's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VerificationState {
    /// They are the ones that were mapped.
    Verified,
    /// They are used, and may be another build: what rests on them is likely at best.
    Unverified,
    /// A file was there, and is another build; it is not used.
    Refused,
    /// No file was found.
    Missing,
}

/// What a file was verified by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VerifiedBy {
    /// Its build id is that of the module in memory.
    BuildId,
    /// It was held against what the dump holds of the module.
    Contents,
    /// The dump itself holds it: the vDSO, or a file that `collect` put there since it was at no path.
    Memory,
}

impl Verification {
    /// Files that are verified.
    pub fn verified(by: VerifiedBy, detail: Option<String>) -> Verification {
        Verification { state: VerificationState::Verified, by: Some(by), detail }
    }

    /// Files that are not, with the reason.
    pub fn not(state: VerificationState, detail: Option<String>) -> Verification {
        Verification { state, by: None, detail }
    }
}
