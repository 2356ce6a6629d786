//! Rows of call frame information: how to find the canonical frame address and the caller's registers at one address.
//!
//! They are read from tables, derived from instructions, or stated by a runtime; DWARF 5 §6.4.1 says what the rules
//! mean.

use crate::model::{Arch, Register};

/// Which section a row came from; its expressions are looked up there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `.eh_frame`.
    EhFrame,
    /// `.debug_frame` of the code file.
    DebugFrame,
}

/// A DWARF expression by its place in the section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytecode {
    /// The section.
    pub kind: Kind,
    /// First byte.
    pub offset: usize,
    /// Bytes.
    pub length: usize,
}

/// How the canonical frame address is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cfa {
    /// A register plus bytes.
    Offset(Register, i64),
    /// An expression over registers and memory.
    Expression(Bytecode),
}

/// How one register of the caller is recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Not recoverable. For the return address: there is no caller.
    Undefined,
    /// As in the callee.
    SameValue,
    /// In memory at CFA + offset.
    Saved(i64),
    /// The value CFA + offset.
    Value(i64),
    /// In another register of the callee.
    Register(Register),
    /// In memory where the expression says.
    SavedAt(Bytecode),
    /// The expression's value.
    ValueOf(Bytecode),
    /// This value.
    Constant(u64),
}

/// The rules at one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The canonical frame address.
    pub cfa: Cfa,
    /// Registers with a rule; the others follow the calling convention.
    pub rules: Box<[(Register, Rule)]>,
    /// The column that holds the return address.
    pub return_address: Register,
    /// Whether the function is a signal trampoline: its caller was interrupted, it did not call.
    pub signal: bool,
}

impl Row {
    /// Rules that were derived from instructions: the return address is below the frame's base on x86-64, in x30 on
    /// aarch64 unless a rule says otherwise.
    pub fn derived(arch: Arch, cfa: Cfa, saved: impl Iterator<Item = (Register, Rule)>) -> Row {
        let (return_address, pushed) = match arch {
            Arch::X86_64 => (Register(16), Some((Register(16), Rule::Saved(-8)))),
            Arch::Aarch64 => (Register(30), None),
        };
        Row { cfa, rules: saved.chain(pushed).collect(), return_address, signal: false }
    }
}
