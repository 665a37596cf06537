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
    let said = clinic_contract::message(message)?;
    let mut body = Object::new();
    for (field, said_of) in message.fields().zip(&said.fields) {
        let name = field.name();
        let spare = said
            .choices
            .iter()
            .any(|choice| choice.fields.iter().skip(1).any(|other| other == name));
        let other = said_of.oneof.is_some() && !is_named(name, fixed);
        if without.iter().any(|other| other == name) || spare || other || !is_given(said_of, to) {
            continue;
        }
        match field.kind() {
            Kind::Message(inner) => {
                body.insert(name.to_owned(), self::body(&inner, Use::Create, &[], &[])?.into());
            }
            _ => match example(&field) {
                Some(value) => {
                    body.insert(name.to_owned(), value);
                }
                None if said_of.required => {
                    return Err(format!("{}: there is no example", field.full_name()).into());
                }
                None => {}
            },
        }
    }
    // A single field shows that PATCH leaves the others unchanged.
    if let (Use::Patch, Some((name, value))) = (to, body.iter().next_back()) {
        body = Object::from_iter([(name.clone(), value.clone())]);
    }
    Ok(body)
}

/// Returns whether the example sets the field.
fn is_given(said: &Field, to: Use) -> bool {
    let chosen = !said.immutable || (said.required && to == Use::Create);
    !said.output_only && said.name != "etag" && chosen
}

/// Returns whether a fixed value names a field: `ROLE_DOCTOR` names `doctor`.
fn is_named(field: &str, fixed: &[&str]) -> bool {
    fixed.iter().any(|value| value.to_ascii_lowercase().ends_with(field))
}
