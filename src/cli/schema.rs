//! `dumpscope schema`: the JSON Schema of every command's data.

use std::process::ExitCode;

use super::{print, ps};
use crate::error::Error;
use crate::views::VIEWS;

/// Prints it.
pub(super) fn run() -> Result<ExitCode, Error> {
    let mut commands: serde_json::Map<String, serde_json::Value> =
        VIEWS.iter().map(|view| (view.name.to_owned(), (view.schema)().to_value())).collect();
    commands.insert(ps::NAME.to_owned(), ps::schema().to_value());
    let schema = serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dumpscope: one line a command",
        "description": "Each line is an object with schema, command, data or error, warnings. Under $defs: the data of each command.",
        "type": "object",
        "required": ["schema", "command", "warnings"],
        "properties": {
            "schema": { "const": crate::report::json::SCHEMA },
            "command": { "type": "string" },
            "data": { "description": "the shape of $defs/COMMAND" },
            "error": { "$ref": "#/$defs/message" },
            "warnings": { "type": "array", "items": { "$ref": "#/$defs/message" } },
        },
        "$defs": with_message(commands),
    });
    let text = serde_json::to_string_pretty(&schema).map_err(|error| Error::Failed(error.to_string()))?;
    print(&format!("{text}\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn with_message(
    mut definitions: serde_json::Map<String, serde_json::Value>,
) -> serde_json::Map<String, serde_json::Value> {
    let message = serde_json::json!({
        "type": "object",
        "required": ["code", "message"],
        "properties": { "code": { "type": "string" }, "message": { "type": "string" } },
    });
    definitions.insert("message".to_owned(), message);
    definitions
}
