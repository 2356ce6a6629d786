//! What a structure declares that is one field again and again.

/// What it declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) enum Declared {
    /// How often it has the field.
    Count(u64),
    /// How many bytes it has.
    Bytes(u64),
}
