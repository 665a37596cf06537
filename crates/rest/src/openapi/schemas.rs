//! Converts messages to schemas: one for responses, and one for each use in requests.

use std::collections::HashMap;

use clinic_contract::{Choice, Field, Result, Rules};
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};

use super::comments::comment;
use super::examples::example;
use super::{Object, Use, non_null, reference, rules};

/// Name of the schema, use, and omitted fields.
type Key = (String, Use, Vec<String>);

/// The schemas by name.
#[derive(Default)]
pub(crate) struct Schemas {
    pub(crate) all: Object,
    known: HashMap<Key, String>,
}

impl Schemas {
    /// Adds the schema of a message in responses, and returns a reference to it.
    pub(crate) fn response(&mut self, message: &MessageDescriptor) -> Result<Object> {
        self.message(message, Use::Response, &[], message.name())
    }

    /// Returns whether the referenced schema rejects an empty object.
    pub(crate) fn rejects_empty_object(&self, reference: &Object) -> bool {
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
            return Ok(reference("schemas", known));
        }
        // Reserves its position, and ends the recursion if a message contains itself.
        if self.all.insert(name.to_owned(), Value::Null).is_some() {
            return Err(format!("duplicate schema {name}").into());
        }
        self.known.insert(key, name.to_owned());
        let schema = self.object(message, to, without)?;
        self.all.insert(name.to_owned(), schema);
        Ok(reference("schemas", name))
    }

    fn object(
        &mut self,
        message: &MessageDescriptor,
        to: Use,
        without: &[String],
    ) -> Result<Value> {
        let options = clinic_contract::message(message)?;
        let (mut properties, mut required) = (Object::new(), Vec::new());
        for (field, options) in message.fields().zip(&options.fields) {
            if without.iter().any(|other| other == field.name()) {
                continue;
            }
            if is_required(&field, options, to) {
                required.push(field.name().to_owned());
            }
            properties.insert(field.name().to_owned(), self.property(&field, options, to)?.into());
        }
        let choices: Vec<_> = options.choices.iter().map(choice).chain(oneofs(message)).collect();
        let is_request = to != Use::Response;
        let schema = non_null(json!({
            "type": "object",
            "description": comment(&message.parent_file(), message.path()),
            "properties": properties,
            "required": (!required.is_empty()).then_some(required),
            "additionalProperties": is_request.then_some(false),
            "allOf": (is_request && !choices.is_empty()).then_some(choices),
        }));
        Ok(schema.into())
    }

    fn property(&mut self, field: &FieldDescriptor, options: &Field, to: Use) -> Result<Object> {
        let mut schema = match to {
            Use::Response => self.response_field(field, options)?,
            // Its value is ignored.
            _ if options.output_only => Object::new(),
            _ if is_filled(options, to) => self.request_field(field, options, true)?,
            _ => rules::or_null(self.request_field(field, options, false)?),
        };
        if options.output_only {
            schema.insert("readOnly".into(), json!(true));
        }
        schema.insert("description".into(), comment(&field.parent_file(), field.path()).into());
        if let Some(example) = example(field) {
            schema.insert("examples".into(), json!([example]));
        }
        Ok(schema)
    }

    /// Returns the schema of a response field.
    fn response_field(&mut self, field: &FieldDescriptor, options: &Field) -> Result<Object> {
        let one = match field.kind() {
            Kind::String => rules::response_text(&options.rules)?,
            Kind::Enum(values) => self.enumeration(&values),
            Kind::Message(message) if !is_time(&message) => self.response(&message)?,
            _ => scalar(field, options)?,
        };
        Ok(if field.is_list() { rules::list(&Rules::default(), &one, false) } else { one })
    }

    /// Returns the schema of a request field, in the body or elsewhere.
    pub(crate) fn request_field(
        &mut self,
        field: &FieldDescriptor,
        options: &Field,
        filled: bool,
    ) -> Result<Object> {
        let items = options.rules.items.as_deref();
        let of_one = items.filter(|_| field.is_list()).unwrap_or(&options.rules);
        let one = match field.kind() {
            // An item of a list follows the item rules only, also if it is empty.
            Kind::String => rules::text(of_one, filled && !field.is_list())?,
            Kind::Enum(values) => names(&values, &of_one.not_in),
            Kind::Message(message) if !is_time(&message) => {
                let name = format!("{}Create", message.name());
                self.message(&message, Use::Create, &[], &name)?
            }
            _ => scalar(field, options)?,
        };
        Ok(if field.is_list() { rules::list(&options.rules, &one, filled) } else { one })
    }

    /// Adds the schema of an enum, and returns a reference to it.
    fn enumeration(&mut self, values: &EnumDescriptor) -> Object {
        if !self.all.contains_key(values.name()) {
            let file = values.parent_file();
            let mut about = comment(&file, values.path());
            about.push('\n');
            for value in values.values() {
                about += &format!("\n- `{}`: {}", value.name(), comment(&file, value.path()));
            }
            let mut schema = names(values, &[]);
            schema.insert("description".into(), json!(about));
            self.all.insert(values.name().to_owned(), schema.into());
        }
        reference("schemas", values.name())
    }
}

/// Returns whether a response always has the field, or a request must have it.
fn is_required(field: &FieldDescriptor, options: &Field, to: Use) -> bool {
    match to {
        Use::Response => {
            field.is_list() || !(field.supports_presence() || field.kind() == Kind::String)
        }
        Use::Create => options.required,
        Use::Replace => options.required && !options.immutable,
        Use::Patch => false,
    }
}

/// Returns whether the field must have a value if it is given.
fn is_filled(options: &Field, to: Use) -> bool {
    options.required && (to == Use::Create || !options.immutable)
}

fn scalar(field: &FieldDescriptor, options: &Field) -> Result<Object> {
    Ok(match field.kind() {
        Kind::Bool => non_null(json!({ "type": "boolean" })),
        Kind::Int32 => rules::integer(&options.rules, "int32"),
        Kind::Int64 => rules::integer(&options.rules, "int64"),
        Kind::Message(message) if is_time(&message) => {
            non_null(json!({ "type": "string", "format": "date-time" }))
        }
        kind => {
            return Err(
                format!("{}: {kind:?} is not supported in schemas", field.full_name()).into()
            );
        }
    })
}

fn is_time(message: &MessageDescriptor) -> bool {
    message.full_name() == "google.protobuf.Timestamp"
}

/// Returns the schema of an enum, without the numbers in `not`.
fn names(values: &EnumDescriptor, not: &[i32]) -> Object {
    let values = values.values().filter(|value| !not.contains(&value.number()));
    let names: Vec<_> = values.map(|value| value.name().to_owned()).collect();
    non_null(json!({ "type": "string", "enum": names }))
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
