//! Example values, from the field option `(clinic.rest.v1.example)`.

use clinic_contract::{Field, Result};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};

use super::{Object, Use};

/// Returns the example of a field, as a value of its type.
pub(crate) fn example(field: &FieldDescriptor) -> Option<Value> {
    let text = clinic_contract::example(field)?;
    let value = match field.kind() {
        Kind::Bool | Kind::Int32 | Kind::Int64 => serde_json::from_str(&text).ok()?,
        _ => json!(text),
    };
    Some(if field.is_list() { json!([value]) } else { value })
}

/// Returns a valid body. `fixed` are the values that the path gives to other fields.
pub(crate) fn body(
    message: &MessageDescriptor,
    to: Use,
    without: &[String],
    fixed: &[&str],
) -> Result<Object> {
    let options = clinic_contract::message(message)?;
    let mut body = Object::new();
    for (field, field_options) in message.fields().zip(&options.fields) {
        let name = field.name();
        let mut alternatives =
            options.choices.iter().flat_map(|choice| choice.fields.iter().skip(1));
        let alternative = alternatives.any(|other| other == name);
        let other = field_options.oneof.is_some() && !is_named(name, fixed);
        if without.iter().any(|other| other == name)
            || alternative
            || other
            || !is_given(field_options, to)
        {
            continue;
        }
        let value = match field.kind() {
            Kind::Message(inner) => Some(self::body(&inner, Use::Create, &[], &[])?.into()),
            _ => example(&field),
        };
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        } else if field_options.required {
            return Err(format!("{}: there is no example", field.full_name()).into());
        }
    }
    // A single field shows that PATCH leaves the others unchanged.
    if let (Use::Patch, Some((name, value))) = (to, body.iter().next_back()) {
        body = Object::from_iter([(name.clone(), value.clone())]);
    }
    Ok(body)
}

/// Returns whether the example sets the field.
fn is_given(options: &Field, to: Use) -> bool {
    let chosen = !options.immutable || (options.required && to == Use::Create);
    !options.output_only && options.name != "etag" && chosen
}

/// Returns whether a fixed value names a field: `ROLE_DOCTOR` names `doctor`.
fn is_named(field: &str, fixed: &[&str]) -> bool {
    fixed.iter().any(|value| value.to_ascii_lowercase().ends_with(field))
}
