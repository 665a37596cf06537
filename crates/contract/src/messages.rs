//! Reads messages with the options of their fields. An unknown rule is an error, so that no rule is
//! skipped.

use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value,
};

use crate::{Result, extension};

pub struct Message {
    pub full_name: String,
    pub fields: Vec<Field>,
    pub choices: Vec<Choice>,
}

/// `buf.validate.MessageOneofRule`: fields of which at most one may be given.
#[derive(Default)]
pub struct Choice {
    pub fields: Vec<String>,
    pub required: bool,
}

impl Message {
    pub fn has_private_field(&self) -> bool {
        self.fields.iter().any(|f| f.private)
    }
}

pub struct Field {
    pub name: String,
    pub shape: Shape,
    pub kind: Type,
    /// The oneof that it belongs to.
    pub oneof: Option<String>,
    pub private: bool,
    pub required: bool,
    pub output_only: bool,
    pub immutable: bool,
    pub rules: Rules,
}

impl Field {
    /// Returns whether an update can change the field. The etag is a condition, not a value.
    pub fn is_changeable(&self) -> bool {
        !self.output_only && !self.immutable && self.name != "etag"
    }
}

#[derive(Clone, Copy, PartialEq)]
pub enum Shape {
    /// A scalar without presence: it has its zero value if it is not given.
    Implicit,
    /// A message, or a scalar with presence.
    Optional,
    Repeated,
}

pub enum Type {
    Text,
    Int32,
    /// The numbers of the enum.
    Enum(Vec<i32>),
    /// The full name of the message.
    Message(String),
    /// A type that has no rules.
    Other,
}

#[derive(Default, PartialEq)]
pub struct Rules {
    pub ignore_empty: bool,
    pub min_len: Option<u64>,
    pub max_len: Option<u64>,
    pub one_of: Vec<String>,
    /// Names in `clinic_proto::format`, in lower case.
    pub formats: Vec<String>,
    pub gte: Option<i32>,
    pub lte: Option<i32>,
    pub defined_only: bool,
    pub not_in: Vec<i32>,
    pub min_items: Option<u64>,
    pub max_items: Option<u64>,
    pub unique: bool,
    pub items: Option<Box<Rules>>,
}

/// Reads all messages of the `clinic.*` packages.
pub fn messages(pool: &DescriptorPool) -> Result<Vec<Message>> {
    pool.all_messages()
        .filter(|m| m.full_name().starts_with("clinic.") && !m.is_map_entry())
        .map(|m| message(&m))
        .collect()
}

/// Reads one message with its options.
pub fn message(descriptor: &MessageDescriptor) -> Result<Message> {
    let full_name = descriptor.full_name().to_owned();
    if descriptor.parent_message().is_some() {
        return Err(format!("{full_name}: nested messages are not supported").into());
    }
    let mut choices = Vec::new();
    for (extension, value) in descriptor.options().extensions() {
        match (extension.full_name(), value) {
            ("buf.validate.message", Value::Message(rules)) => {
                choices = self::choices(rules).map_err(|e| format!("{full_name}: {e}"))?;
            }
            (name, _) => return Err(format!("{full_name}: {name} is not supported").into()),
        }
    }
    let fields = descriptor.fields().map(|f| field(&f)).collect::<Result<_>>()?;
    Ok(Message { full_name, fields, choices })
}

/// Reads `buf.validate.MessageRules`.
fn choices(rules: &DynamicMessage) -> Result<Vec<Choice>> {
    let mut choices = Vec::new();
    for (rule, value) in rules.fields() {
        match (rule.name(), value) {
            ("oneof", Value::List(list)) => {
                choices.extend(list.iter().filter_map(Value::as_message).map(choice));
            }
            (name, _) => return Err(format!("the rule {name} is not supported").into()),
        }
    }
    Ok(choices)
}

fn choice(rule: &DynamicMessage) -> Choice {
    let mut choice = Choice::default();
    for (field, value) in rule.fields() {
        match (field.name(), value) {
            ("fields", Value::List(names)) => choice.fields = texts(names),
            (_, value) => choice.required = value.as_bool() == Some(true),
        }
    }
    choice
}

fn field(descriptor: &FieldDescriptor) -> Result<Field> {
    let full_name = descriptor.full_name();
    let options = descriptor.options();
    let behaviors = extension(&options, "google.api.field_behavior");
    let behaviors = behaviors.iter().filter_map(Value::as_list).flatten();
    let behaviors: Vec<_> = behaviors.filter_map(Value::as_enum_number).collect();
    // google.api.FieldBehavior: 2 REQUIRED, 3 OUTPUT_ONLY, 5 IMMUTABLE.
    if let Some(other) = behaviors.iter().find(|b| ![2, 3, 5].contains(*b)) {
        return Err(format!("{full_name}: field_behavior {other} is not supported").into());
    }
    let rules = match extension(&options, "buf.validate.field") {
        Some(Value::Message(rules)) => {
            self::rules(&rules).map_err(|e| format!("{full_name}: {e}"))?
        }
        _ => Rules::default(),
    };
    let shape = match (descriptor.cardinality(), descriptor.supports_presence()) {
        (Cardinality::Repeated, _) => Shape::Repeated,
        (_, true) => Shape::Optional,
        (_, false) => Shape::Implicit,
    };
    let kind = match descriptor.kind() {
        Kind::String => Type::Text,
        Kind::Int32 => Type::Int32,
        Kind::Enum(e) => Type::Enum(e.values().map(|v| v.number()).collect()),
        Kind::Message(m) => Type::Message(m.full_name().to_owned()),
        _ => Type::Other,
    };
    let oneof = descriptor.containing_oneof().filter(|oneof| !oneof.is_synthetic());
    let private = extension(&options, "clinic.access.v1.phi");
    Ok(Field {
        name: descriptor.name().to_owned(),
        shape,
        kind,
        oneof: oneof.map(|oneof| oneof.name().to_owned()),
        private: private == Some(Value::Bool(true)),
        required: behaviors.contains(&2),
        output_only: behaviors.contains(&3),
        immutable: behaviors.contains(&5),
        rules,
    })
}

/// Reads the `buf.validate.FieldRules` of a field or of the items of a list.
fn rules(message: &DynamicMessage) -> Result<Rules> {
    let mut rules = Rules::default();
    for (field, value) in message.fields() {
        match (field.name(), value) {
            ("ignore", Value::EnumNumber(0)) => {}
            ("ignore", Value::EnumNumber(1)) => rules.ignore_empty = true,
            ("string" | "int32" | "enum" | "repeated", Value::Message(of_type)) => {
                typed_rules(field.name(), of_type, &mut rules)?;
            }
            (name, _) => return Err(format!("the rule {name} is not supported").into()),
        }
    }
    Ok(rules)
}

fn typed_rules(kind: &str, message: &DynamicMessage, rules: &mut Rules) -> Result<()> {
    for (field, value) in message.fields() {
        match (kind, field.name(), value) {
            ("string", "min_len", Value::U64(n)) => rules.min_len = Some(*n),
            ("string", "max_len", Value::U64(n)) => rules.max_len = Some(*n),
            ("string", name @ ("email" | "uuid"), Value::Bool(true)) => {
                rules.formats.push(name.to_owned());
            }
            ("string", "in", Value::List(list)) => rules.one_of = texts(list),
            ("int32", "gte", Value::I32(n)) => rules.gte = Some(*n),
            ("int32", "lte", Value::I32(n)) => rules.lte = Some(*n),
            ("enum", "defined_only", Value::Bool(on)) => rules.defined_only = *on,
            ("enum", "not_in", Value::List(numbers)) => {
                rules.not_in = numbers.iter().filter_map(Value::as_i32).collect();
            }
            ("repeated", "min_items", Value::U64(n)) => rules.min_items = Some(*n),
            ("repeated", "max_items", Value::U64(n)) => rules.max_items = Some(*n),
            ("repeated", "unique", Value::Bool(on)) => rules.unique = *on,
            ("repeated", "items", Value::Message(items)) => {
                rules.items = Some(Box::new(self::rules(items)?));
            }
            (_, name, _) => return Err(format!("the rule {kind}.{name} is not supported").into()),
        }
    }
    for (extension, value) in message.extensions() {
        match (extension.full_name().strip_prefix("clinic.access.v1."), value) {
            (Some(format), Value::Bool(true)) => rules.formats.push(format.to_owned()),
            _ => return Err(format!("the rule {} is not supported", extension.full_name()).into()),
        }
    }
    Ok(())
}

fn texts(list: &[Value]) -> Vec<String> {
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
