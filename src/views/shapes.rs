//! The JSON Schema of every line that is printed with `--json`: the shapes of all views together.

use serde_json::{Map, Value, json};

use super::{VIEWS, of_runtimes, ps};
use crate::report::json::SCHEMA;

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
