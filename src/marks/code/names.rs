//! What the names of one runtime's code look like.

/// The names of the code that comes with a language, and that no reader of a stack wants to see first.
pub(super) struct Names {
    /// Beginnings of file names of its libraries.
    pub(super) libraries: &'static [&'static str],
    /// Beginnings of names that have a scope (`::`).
    pub(super) scopes: &'static [&'static str],
    /// Beginnings of names that have none.
    pub(super) functions: &'static [&'static str],
    /// What calls the first function of the program, or of a thread.
    pub(super) starts: &'static [&'static str],
    /// Beginnings of functions that only hand a call on: between what a program's author wrote, they tell nothing.
    pub(super) glue: &'static [&'static str],
    /// Parts of names of such functions, where these begin with a name of the program's.
    pub(super) glue_parts: &'static [&'static str],
}

impl Names {
    /// No names.
    pub(super) const NONE: Names =
        Names { libraries: &[], scopes: &[], functions: &[], starts: &[], glue: &[], glue_parts: &[] };
}
