//! Converts messages to schemas: one for responses, and one for each use in requests.

use std::collections::HashMap;

use clinic_contract::{Choice, Field, Result};
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};

use super::comments::comment;
use super::examples::example;
use super::{Object, Use, put, rules};

/// Name of the schema, use, and omitted fields.
type Key = (String, Use, Vec<String>);

/// The schemas by name.
#[derive(Default)]
pub(crate) struct Schemas {
    all: Object,
    known: HashMap<Key, String>,
}

impl Schemas {
    pub(crate) fn into_object(self) -> Object {
        self.all
    }

    /// Adds schemas that do not come from the contract.
    pub(crate) fn put(&mut self, schemas: Value) {
        if let Value::Object(schemas) = schemas {
            self.all.extend(schemas);
        }
    }

    /// Adds the schema of a message in responses, and returns a reference to it.
    pub(crate) fn answer(&mut self, message: &MessageDescriptor) -> Result<Object> {
        self.message(message, Use::Answer, &[], message.name())
    }

    /// Returns whether the referenced schema rejects an empty object.
    pub(crate) fn asks_for_something(&self, reference: &Object) -> bool {
        let name = reference.get("$ref").and_then(Value::as_str).and_then(|r| r.rsplit('/').next());
        let schema = name.and_then(|name| self.all.get(name));
        schema.is_some_and(|s| s.get("required").is_some() || s.get("allOf").is_some())
    }

    /// Adds the schema of a message for a use, without some fields, and returns a reference to it.
    pub(crate) fn message(
        &mut self,
        message: &MessageDescriptor,
        to: Use,
        without: &[String],
        name: &str,
    ) -> Result<Object> {
        let key = (name.to_owned(), to, without.to_vec());
        if let Some(known) = self.known.get(&key) {
            return Ok(reference(known));
        }
        // Reserves its position, and ends the recursion if a message contains itself.
        if self.all.insert(name.to_owned(), Value::Null).is_some() {
            return Err(format!("duplicate schema {name}").into());
        }
        self.known.insert(key, name.to_owned());
        let schema = self.object(message, to, without)?;
        self.all.insert(name.to_owned(), schema);
        Ok(reference(name))
    }

    fn object(
        &mut self,
        message: &MessageDescriptor,
        to: Use,
        without: &[String],
    ) -> Result<Value> {
        let said = clinic_contract::message(message)?;
        let (mut properties, mut required) = (Object::new(), Vec::new());
        for (field, said) in message.fields().zip(&said.fields) {
            if without.iter().any(|other| other == field.name()) {
                continue;
            }
            if is_required(&field, said, to) {
                required.push(field.name().to_owned());
            }
            properties.insert(field.name().to_owned(), self.property(&field, said, to)?.into());
        }
        let mut schema = json!({
            "type": "object",
            "description": comment(&message.parent_file(), message.path()),
            "properties": properties,
        });
        if !required.is_empty() {
            put(&mut schema, "required", json!(required));
        }
        if to != Use::Answer {
            put(&mut schema, "additionalProperties", json!(false));
            let choices = said.choices.iter().map(choice).chain(oneofs(message));
            let choices: Vec<_> = choices.collect();
            if !choices.is_empty() {
                put(&mut schema, "allOf", json!(choices));
            }
        }
        Ok(schema)
    }

    fn property(&mut self, field: &FieldDescriptor, said: &Field, to: Use) -> Result<Object> {
        let mut schema = match to {
            Use::Answer => self.answered(field, said)?,
            // Its value is ignored.
            _ if said.output_only => Object::new(),
            _ if is_filled(said, to) => self.given(field, said, true)?,
            _ => rules::or_null(self.given(field, said, false)?),
        };
        if said.output_only {
            schema.insert("readOnly".into(), json!(true));
        }
        describe(&mut schema, field);
        Ok(schema)
    }

    /// Returns the schema of a response field.
    fn answered(&mut self, field: &FieldDescriptor, said: &Field) -> Result<Object> {
        let one = match field.kind() {
            Kind::String => rules::answered_text(&said.rules)?,
            Kind::Enum(values) => self.enumeration(&values),
            Kind::Message(message) if !is_time(&message) => self.answer(&message)?,
            _ => scalar(field, said)?,
        };
        Ok(if field.is_list() { rules::list(&Default::default(), one, false) } else { one })
    }

    /// Returns the schema of a request field, in the body or elsewhere.
    pub(crate) fn given(
        &mut self,
        field: &FieldDescriptor,
        said: &Field,
        filled: bool,
    ) -> Result<Object> {
        let items = said.rules.items.as_deref();
        let of_one = items.filter(|_| field.is_list()).unwrap_or(&said.rules);
        let one = match field.kind() {
            // An item of a list follows the item rules only, also if it is empty.
            Kind::String => rules::text(of_one, filled && !field.is_list())?,
            Kind::Enum(values) => names(&values, &of_one.not_in),
            Kind::Message(message) if !is_time(&message) => {
                let name = format!("{}Create", message.name());
                self.message(&message, Use::Create, &[], &name)?
            }
            _ => scalar(field, said)?,
        };
        Ok(if field.is_list() { rules::list(&said.rules, one, filled) } else { one })
    }

    /// Adds the schema of an enum, and returns a reference to it.
    fn enumeration(&mut self, values: &EnumDescriptor) -> Object {
        if !self.all.contains_key(values.name()) {
            let file = values.parent_file();
            let mut about = comment(&file, values.path());
            about.push('\n');
            for value in values.values() {
                about.push_str(&format!(
                    "\n- `{}`: {}",
                    value.name(),
                    comment(&file, value.path())
                ));
            }
            let mut schema = names(values, &[]);
            schema.insert("description".into(), json!(about));
            self.all.insert(values.name().to_owned(), schema.into());
        }
        reference(values.name())
    }
}

fn reference(name: &str) -> Object {
    Object::from_iter([("$ref".to_owned(), json!(format!("#/components/schemas/{name}")))])
}

/// Adds the description and the example of a field.
pub(crate) fn describe(schema: &mut Object, field: &FieldDescriptor) {
    let about = comment(&field.parent_message().parent_file(), field.path());
    schema.insert("description".into(), json!(about));
    if let Some(example) = example(field) {
        schema.insert("examples".into(), json!([example]));
    }
}

/// Returns whether a response always has the field, or a request must have it.
fn is_required(field: &FieldDescriptor, said: &Field, to: Use) -> bool {
    match to {
        Use::Answer => {
            field.is_list() || !(field.supports_presence() || field.kind() == Kind::String)
        }
        Use::Create => said.required,
        Use::Replace => said.required && !said.immutable,
        Use::Patch => false,
    }
}

/// Returns whether the field must have a value if it is given.
fn is_filled(said: &Field, to: Use) -> bool {
    said.required && (to == Use::Create || !said.immutable)
}

fn scalar(field: &FieldDescriptor, said: &Field) -> Result<Object> {
    Ok(match field.kind() {
        Kind::Bool => typed("boolean"),
        Kind::Int32 => rules::integer(&said.rules, "int32"),
        Kind::Int64 => rules::integer(&said.rules, "int64"),
        Kind::Message(message) if is_time(&message) => time(),
        _ => return Err(unknown(field)),
    })
}

fn unknown(field: &FieldDescriptor) -> Box<dyn std::error::Error + Send + Sync> {
    format!("{}: {:?} is not supported in schemas", field.full_name(), field.kind()).into()
}

fn typed(kind: &str) -> Object {
    Object::from_iter([("type".to_owned(), json!(kind))])
}

fn is_time(message: &MessageDescriptor) -> bool {
    message.full_name() == "google.protobuf.Timestamp"
}

fn time() -> Object {
    let mut schema = typed("string");
    schema.insert("format".into(), json!("date-time"));
    schema
}

/// Returns the schema of an enum, without the numbers in `not`.
fn names(values: &EnumDescriptor, not: &[i32]) -> Object {
    let values = values.values().filter(|value| !not.contains(&value.number()));
    let names: Vec<_> = values.map(|value| value.name().to_owned()).collect();
    let mut schema = typed("string");
    schema.insert("enum".into(), json!(names));
    schema
}

/// Returns the rule that at most one of these text fields may be given.
fn choice(choice: &Choice) -> Value {
    let given = |name: &String| {
        json!({
            "required": [name],
            "properties": { name: { "type": "string", "minLength": 1 } },
        })
    };
    let mut each: Vec<_> = choice.fields.iter().map(given).collect();
    if !choice.required {
        each.push(json!({ "not": { "anyOf": each } }));
    }
    json!({ "oneOf": each })
}

/// Returns the rules that at most one field of each oneof may be given.
fn oneofs(message: &MessageDescriptor) -> Vec<Value> {
    let mut rules = Vec::new();
    for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
        let names: Vec<_> = oneof.fields().map(|field| field.name().to_owned()).collect();
        for (place, one) in names.iter().enumerate() {
            for other in names.iter().skip(place + 1) {
                let given = json!({ "not": { "type": "null" } });
                rules.push(json!({
                    "not": {
                        "required": [one, other],
                        "properties": { one: given, other: given },
                    },
                }));
            }
        }
    }
    rules
}
