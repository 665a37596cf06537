//! Converts field rules to JSON Schema.

use clinic_contract::{Result, Rules};
use serde_json::{Value, json};

use super::{Object, non_null};

const UUID: &str = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}";

/// Returns the OpenAPI name, if there is one, and the pattern of a `clinic_proto::format`.
fn format(name: &str) -> Result<(Option<&'static str>, &'static str)> {
    Ok(match name {
        "uuid" => (Some("uuid"), UUID),
        // As in the HTML standard. The format named `email` would be that of RFC 5321, which does not
        // allow every address that the service accepts, such as `.@example.com`.
        "email" => (
            None,
            concat!(
                "[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?",
                r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*"
            ),
        ),
        "birth_date" => {
            (Some("date"), "(?:18|19|20)[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])")
        }
        "line" => (None, r"[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*"),
        "prose" => (None, r"[^\x00-\x08\x0b-\x1f\x7f-\x9f]*"),
        "id_or_me" => {
            (None, "me|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
        }
        "amount" => (None, r"[0-9]{1,8}(?:\.[0-9]{1,2})?"),
        "phone" => (None, r"(?=.*[0-9])[+]?[0-9 ().\-/x]{5,20}"),
        "username" => (None, "[A-Za-z0-9][A-Za-z0-9._-]{2,63}"),
        _ => return Err(format!("the format {name} has no JSON Schema pattern").into()),
    })
}

/// Returns the schema of a text field. With `filled`, it must have more than white space.
pub(crate) fn text(rules: &Rules, filled: bool) -> Result<Object> {
    // Empty text is allowed and skips the rules.
    let or_empty = rules.ignore_empty && !filled;
    let min_len = rules.min_len.or(filled.then_some(1)).filter(|_| !or_empty);
    let values = rules.one_of.iter().map(String::as_str).chain(or_empty.then_some(""));
    let (format, pattern) = match rules.formats.as_slice() {
        [] if filled && rules.one_of.is_empty() => (None, Some(r"\S".to_owned())),
        [] => (None, None),
        [name] => {
            let (format, pattern) = format(name)?;
            let optional = if or_empty && format.is_none() { "?" } else { "" };
            (format, Some(format!("^(?:{pattern}){optional}$")))
        }
        _ => return Err("text with two formats has no JSON Schema pattern".into()),
    };
    let schema = non_null(json!({
        "type": "string",
        "minLength": min_len,
        "maxLength": rules.max_len,
        "enum": (!rules.one_of.is_empty()).then(|| values.collect::<Vec<_>>()),
        "pattern": pattern,
        "format": format,
    }));
    Ok(match format {
        // Validators of a named format refuse empty text, so it is an alternative.
        Some(_) if or_empty => non_null(json!({ "anyOf": [schema, { "const": "" }] })),
        _ => schema,
    })
}

/// Returns the schema of text in a response, without the rules that apply to requests only.
pub(crate) fn response_text(rules: &Rules) -> Result<Object> {
    let mut schema = text(rules, true)?;
    schema.retain(|name, _| ["type", "enum", "format"].contains(&name.as_str()));
    Ok(schema)
}

/// Returns the schema of an integer field.
pub(crate) fn integer(rules: &Rules, format: &str) -> Object {
    non_null(json!({
        "type": "integer",
        "format": format,
        "minimum": rules.gte,
        "maximum": rules.lte,
    }))
}

/// Returns the schema of a list field.
pub(crate) fn list(rules: &Rules, items: &Object, filled: bool) -> Object {
    non_null(json!({
        "type": "array",
        "items": items,
        "minItems": rules.min_items.or(filled.then_some(1)),
        "maxItems": rules.max_items,
        "uniqueItems": rules.unique.then_some(true),
    }))
}

/// Makes a schema accept null too.
pub(crate) fn or_null(mut schema: Object) -> Object {
    if let Some(either) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        either.push(json!({ "type": "null" }));
        return schema;
    }
    if schema.contains_key("$ref") {
        return non_null(json!({ "anyOf": [schema, { "type": "null" }] }));
    }
    if let Some(kind) = schema.get_mut("type") {
        *kind = json!([kind, "null"]);
    }
    if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        values.push(Value::Null);
    }
    schema
}
