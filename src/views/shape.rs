//! The shapes of answers: the JSON Schema of each, from the program's own types.
//!
//! What derives them is in builds for development alone: `docs/schema.json.gz` holds what they say, a test holds it against them, and
//! `dumpscope schema` prints it.

/// The JSON Schema of a view's data; `None` in a release.
pub type Shape = Option<fn() -> schemars::Schema>;

/// The [`Shape`] of a type.
#[macro_export]
macro_rules! shape {
    ($data:ty) => {{
        fn shape() -> schemars::Schema {
            schemars::schema_for!($data)
        }
        if cfg!(debug_assertions) { Some(shape as fn() -> schemars::Schema) } else { None }
    }};
}
