//! Converts field rules to JSON Schema.

use std::borrow::Cow;

use clinic_contract::{Result, Rules};
use serde_json::{Value, json};

use super::Object;

/// A text format: its OpenAPI name, if it has one, and a pattern for the whole text.
struct Format {
    name: Option<&'static str>,
    pattern: Cow<'static, str>,
}

const UUID: &str = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}";

/// Returns the format that `clinic_proto::format` checks.
fn format(name: &str) -> Result<Format> {
    let (name, pattern) = match name {
        "uuid" => (Some("uuid"), UUID),
        "email" => (
            Some("email"),
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
    };
    Ok(Format { name, pattern: pattern.into() })
}

/// Returns the schema of a text field. With `filled`, it must have more than white space.
pub(crate) fn text(rules: &Rules, filled: bool) -> Result<Object> {
    let mut schema = Object::new();
    let mut put = |name: &str, value: Value| schema.insert(name.to_owned(), value);
    put("type", json!("string"));
    // Empty text is allowed and skips the rules.
    let or_empty = rules.ignore_empty && !filled;
    match rules.min_len {
        Some(min) if !or_empty => put("minLength", json!(min)),
        None if filled => put("minLength", json!(1)),
        _ => None,
    };
    if let Some(max) = rules.max_len {
        put("maxLength", json!(max));
    }
    if !rules.one_of.is_empty() {
        let empty = or_empty.then_some("");
        put("enum", rules.one_of.iter().map(String::as_str).chain(empty).collect());
    }
    match rules.formats.as_slice() {
        [] if filled && rules.one_of.is_empty() => {
            put("pattern", json!(r"\S"));
        }
        [] => {}
        [name] => {
            let Format { name, pattern } = format(name)?;
            // Validators of a named format refuse empty text, so it is an alternative. Addresses
            // that are not for signing in follow the HTML standard, which allows more than the RFC
            // behind the name `email`.
            let name = name.filter(|name| filled || *name != "email");
            let either = or_empty && name.is_some();
            let optional = if or_empty && !either { "?" } else { "" };
            put("pattern", json!(format!("^(?:{pattern}){optional}$")));
            if let Some(name) = name {
                put("format", json!(name));
            }
            if either {
                let either = json!([schema, { "const": "" }]);
                return Ok(Object::from_iter([("anyOf".to_owned(), either)]));
            }
        }
        _ => return Err("text with two formats has no JSON Schema pattern".into()),
    }
    Ok(schema)
}

/// Returns the schema of text in a response, without the rules that apply to requests only.
pub(crate) fn answered_text(rules: &Rules) -> Result<Object> {
    let mut schema = text(rules, true)?;
    schema.retain(|name, value| match name.as_str() {
        "type" | "enum" => true,
        // A stored address may follow the HTML standard, which allows more than the RFC.
        "format" => value != "email",
        _ => false,
    });
    Ok(schema)
}

/// Returns the schema of an integer field.
pub(crate) fn integer(rules: &Rules, format: &str) -> Object {
    let mut schema = Object::new();
    schema.insert("type".into(), json!("integer"));
    schema.insert("format".into(), json!(format));
    for (name, bound) in [("minimum", rules.gte), ("maximum", rules.lte)] {
        if let Some(bound) = bound {
            schema.insert(name.into(), json!(bound));
        }
    }
    schema
}

/// Returns the schema of a list field.
pub(crate) fn list(rules: &Rules, items: Object, filled: bool) -> Object {
    let mut schema = Object::new();
    schema.insert("type".into(), json!("array"));
    schema.insert("items".into(), Value::Object(items));
    if let Some(min) = rules.min_items.or(filled.then_some(1)) {
        schema.insert("minItems".into(), json!(min));
    }
    if let Some(max) = rules.max_items {
        schema.insert("maxItems".into(), json!(max));
    }
    if rules.unique {
        schema.insert("uniqueItems".into(), json!(true));
    }
    schema
}

/// Makes a schema accept null too.
pub(crate) fn or_null(mut schema: Object) -> Object {
    if let Some(either) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        either.push(json!({ "type": "null" }));
        return schema;
    }
    if schema.contains_key("$ref") {
        let either = json!([schema, { "type": "null" }]);
        return Object::from_iter([("anyOf".to_owned(), either)]);
    }
    if let Some(kind) = schema.get_mut("type") {
        *kind = json!([kind, "null"]);
    }
    if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        values.push(Value::Null);
    }
    schema
}
