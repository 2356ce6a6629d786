//! The shapes of answers: the JSON Schema of each, from the program's own types.
//!
//! What derives them is in builds for development alone: `docs/schema.json.gz` holds what they say, a test holds it against them, and
//! `dumpscope schema` prints it.

use serde_json::{Map, Value, json};

use super::{VIEWS, of_runtimes, ps};
use crate::report::json::SCHEMA;

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

/// The schema of every line that is printed with `--json`; of builds for development.
pub fn document() -> Value {
    let of_views = VIEWS.iter().chain(of_runtimes()).map(|view| (view.name, view.schema));
    let shapes = of_views.chain([(ps::NAME, ps::SHAPE)]);
    let mut definitions: Map<String, Value> =
        shapes.filter_map(|(name, shape)| Some((name.to_owned(), shape?().to_value()))).collect();
    let message = json!({
        "type": "object",
        "required": ["code", "message"],
        "properties": { "code": { "type": "string" }, "message": { "type": "string" } },
    });
    definitions.insert("message".to_owned(), message);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dumpscope: one line a command",
        "description": "Each line is an object with schema, command, data or error, warnings. Under $defs: the data of each command.",
        "type": "object",
        "required": ["schema", "command", "warnings"],
        "properties": {
            "schema": { "const": SCHEMA },
            "command": { "type": "string" },
            "data": { "description": "the shape of $defs/COMMAND" },
            "error": { "$ref": "#/$defs/message" },
            "warnings": { "type": "array", "items": { "$ref": "#/$defs/message" } },
        },
        "$defs": definitions,
    })
}
