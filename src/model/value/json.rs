//! Values as JSON: the value on one line as text, beside it what a script would otherwise have to take out of that
//! text.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

use super::{Field, Value};
use crate::model::Addr;

/// A value's keys, in variables, fields and elements alike.
#[derive(Serialize, JsonSchema)]
struct Keys<'v> {
    /// The type's name with its scope; null where none is stated.
    #[serde(rename = "type")]
    ty: Option<&'v str>,
    /// The value on one line, of bounded length; null where it is unknown.
    value: Option<String>,
    /// Why the value is unknown; null where it is known.
    unknown: Option<String>,
    /// Where the value lies in memory; null for what is in registers, in several places or computed.
    location: Option<Addr>,
    /// The address that the value refers to; null where it is no pointer, or a null pointer.
    address: Option<Addr>,
    /// The fields of a structure, or of the one that a reference refers to; absent for other values.
    #[serde(skip_serializing_if = "<[Field]>::is_empty")]
    fields: &'v [Field],
    /// The first elements of an array, or of the one that a reference refers to; absent for other values.
    #[serde(skip_serializing_if = "<[Value]>::is_empty")]
    elements: &'v [Value],
    /// How many fields or elements are not listed; absent where all are.
    #[serde(skip_serializing_if = "is_zero")]
    left_out: u64,
    /// Why there may be more elements than that; absent where there are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    unread: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a field by reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (value, unknown) = match &self.content {
            Ok(_) => (Some(self.to_string()), None),
            Err(gap) => (None, Some(gap.to_string())),
        };
        let keys = Keys {
            ty: self.ty.as_ref().map(|ty| &*ty.name),
            value,
            unknown,
            location: self.location,
            address: self.address(),
            fields: self.fields(),
            elements: self.elements(),
            left_out: self.left_out(),
            unread: self.unread().map(ToString::to_string),
        };
        keys.serialize(serializer)
    }
}

/// A field's keys: those of its value, its name and its place.
#[derive(Serialize, JsonSchema)]
struct FieldKeys<'v> {
    /// Its name; null for base classes and unnamed unions.
    name: Option<&'v str>,
    /// Bytes from the start of the structure.
    offset: u64,
    #[serde(flatten)]
    value: &'v Value,
}

impl Serialize for Field {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        FieldKeys { name: self.name.as_deref(), offset: self.offset, value: &self.value }.serialize(serializer)
    }
}

impl JsonSchema for Value {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Value".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Keys::json_schema(generator)
    }
}

impl JsonSchema for Field {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Field".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        FieldKeys::json_schema(generator)
    }
}
