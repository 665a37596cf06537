//! Converts single values, from JSON or text, to values of protobuf fields.

use prost_types::FieldMask;

use crate::schema::{Form, Schema, Type};
use crate::wire::Value;

/// Characters of an unknown name that an error quotes.
const MAX_NAME: usize = 64;

/// A JSON scalar.
#[derive(Clone, Copy)]
pub(crate) enum JsonScalar<'a> {
    Text(&'a str),
    Bool(bool),
    Int(i64),
    Real(f64),
}

/// Converts a JSON scalar to protobuf, if it is a valid value of this type.
pub(crate) fn scalar<'a>(schema: &Schema, kind: Type, value: JsonScalar<'a>) -> Option<Value<'a>> {
    Some(match (kind, value) {
        (Type::Text, JsonScalar::Text(text)) => Value::Bytes(text.as_bytes()),
        (Type::Bool, JsonScalar::Bool(value)) => Value::Number(u64::from(value)),
        (Type::Int32, value) => i64::from(i32::try_from(whole(value)?).ok()?).into(),
        (Type::Int64, value) => whole(value)?.into(),
        (Type::Enum(id), JsonScalar::Text(name)) => {
            i64::from(schema.values(id).number(name)?).into()
        }
        (Type::Enum(_), JsonScalar::Int(number)) => i64::from(i32::try_from(number).ok()?).into(),
        _ => return None,
    })
}

/// Parses a value from the path, the query or the contract.
pub(crate) fn from_text<'a>(schema: &Schema, kind: Type, text: &'a str) -> Option<Value<'a>> {
    let value = match kind {
        // Also accepts `True` and `False`, as Python writes them.
        Type::Bool if text.eq_ignore_ascii_case("true") || text == "1" => JsonScalar::Bool(true),
        Type::Bool if text.eq_ignore_ascii_case("false") || text == "0" => JsonScalar::Bool(false),
        _ => JsonScalar::Text(text),
    };
    scalar(schema, kind, value)
}

/// Returns an integer. The proto3 JSON mapping also accepts `1.0` and `"1"`.
fn whole(value: JsonScalar<'_>) -> Option<i64> {
    match value {
        JsonScalar::Int(number) => Some(number),
        JsonScalar::Text(text) => text.parse().ok(),
        // Larger doubles cannot represent every integer.
        #[expect(clippy::cast_possible_truncation, reason = "an integer that is small enough")]
        JsonScalar::Real(real) if real.fract() == 0.0 && real.abs() < 9e15 => Some(real as i64),
        _ => None,
    }
}

/// Parses comma-separated paths.
pub(crate) fn mask(text: &str) -> FieldMask {
    let paths = text.split(',').map(str::trim).filter(|path| !path.is_empty());
    FieldMask { paths: paths.map(str::to_owned).collect() }
}

/// Returns the error message for a value that is not of this type.
pub(crate) fn expected(schema: &Schema, kind: Type) -> String {
    match kind {
        Type::Text => "must be a string".into(),
        Type::Bool => "must be true or false".into(),
        Type::Int32 => "must be a 32-bit integer".into(),
        Type::Int64 => "must be a 64-bit integer".into(),
        Type::Enum(id) => {
            let names: Vec<_> = schema.values(id).names().collect();
            format!("must be one of {}", names.join(", "))
        }
        Type::Message(id) => match schema.message(id).form {
            Form::Object => "must be an object".into(),
            Form::Timestamp => "must be a time such as 2024-05-15T12:00:00Z".into(),
            Form::FieldMask => "must be comma-separated field names".into(),
        },
    }
}

/// Shortens a client's name for an error message and replaces its control characters.
pub(crate) fn shortened(name: &str) -> String {
    if name.is_empty() {
        return "\"\"".to_owned();
    }
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    name.chars().take(MAX_NAME).map(shown).collect()
}
