//! What names a type across the files of one module.

/// Which of a module's files of debug information.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Space {
    Main,
    Supplementary,
    /// The one with the split unit of the skeleton at this offset.
    Split(usize),
}

/// A type of a module's debug information. Only that module can say what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId {
    pub(super) space: Space,
    pub(super) at: usize,
}
