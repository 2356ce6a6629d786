//! The formats of GC info.

/// How it is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Of .NET 8 and 9.
    Three,
    /// Of .NET 10.
    Four,
}
