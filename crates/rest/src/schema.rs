//! The contract's types as tables: the names and encodings of their fields.

use std::collections::HashMap;

use clinic_contract::Result;
use prost_reflect::{EnumDescriptor, Kind, MessageDescriptor};

/// All types used by RPCs with a path.
#[derive(Default)]
pub(crate) struct Schema {
    messages: Vec<Message>,
    enums: Vec<Enum>,
    known: HashMap<String, usize>,
}

/// Index of a message in the schema.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct MessageId(usize);

/// Index of an enum in the schema.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct EnumId(usize);

pub(crate) struct Message {
    pub(crate) form: Form,
    /// Sorted by number.
    pub(crate) fields: Vec<Field>,
    by_name: HashMap<String, usize>,
}

/// How a message is written in JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Object,
    /// A string in RFC 3339 format.
    Timestamp,
    /// A string of comma-separated paths.
    FieldMask,
}

pub(crate) struct Field {
    pub(crate) name: String,
    /// The name as a JSON key, with quotes and colon.
    pub(crate) key: String,
    pub(crate) number: u32,
    pub(crate) kind: Type,
    pub(crate) repeated: bool,
    /// Whether JSON omits the field if it is not set: messages, fields with presence, and text,
    /// because a partial view clears the text fields that it hides.
    pub(crate) optional: bool,
    /// Index of the oneof that it belongs to.
    pub(crate) oneof: Option<usize>,
    /// Whether an update can change it.
    pub(crate) changeable: bool,
    /// Whether only the server sets it; a value in a request is ignored (AIP-203).
    pub(crate) output_only: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Text,
    Bool,
    Int32,
    Int64,
    Enum(EnumId),
    Message(MessageId),
}

pub(crate) struct Enum {
    values: Vec<(i32, String)>,
}

impl Schema {
    /// Adds a message and all types that it contains.
    pub(crate) fn add(&mut self, descriptor: &MessageDescriptor) -> Result<MessageId> {
        if let Some(known) = self.known.get(descriptor.full_name()) {
            return Ok(MessageId(*known));
        }
        let form = match descriptor.full_name() {
            "google.protobuf.Timestamp" => Form::Timestamp,
            "google.protobuf.FieldMask" => Form::FieldMask,
            name if name.starts_with("google.") => {
                return Err(format!("{name} is not supported in JSON").into());
            }
            _ => Form::Object,
        };
        let id = self.messages.len();
        self.known.insert(descriptor.full_name().to_owned(), id);
        self.messages.push(Message { form, fields: Vec::new(), by_name: HashMap::new() });
        if form == Form::Object {
            let fields = self.fields(descriptor)?;
            if let Some(message) = self.messages.get_mut(id) {
                let names = fields.iter().enumerate().map(|(i, field)| (field.name.clone(), i));
                message.by_name = names.collect();
                message.fields = fields;
            }
        }
        Ok(MessageId(id))
    }

    fn fields(&mut self, descriptor: &MessageDescriptor) -> Result<Vec<Field>> {
        let options = clinic_contract::message(descriptor)?;
        let mut fields = Vec::new();
        for (field, options) in descriptor.fields().zip(options.fields) {
            let kind = match field.kind() {
                Kind::String => Type::Text,
                Kind::Bool => Type::Bool,
                Kind::Int32 => Type::Int32,
                Kind::Int64 => Type::Int64,
                Kind::Enum(values) => Type::Enum(self.add_enum(&values)),
                Kind::Message(message) if !field.is_map() => Type::Message(self.add(&message)?),
                kind => {
                    let name = field.full_name();
                    return Err(format!("{name}: {kind:?} is not supported in JSON").into());
                }
            };
            let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
            fields.push(Field {
                name: field.name().to_owned(),
                key: format!("\"{}\":", field.name()),
                number: field.number(),
                kind,
                repeated: field.is_list(),
                optional: field.supports_presence() || kind == Type::Text,
                oneof: oneof.and_then(|of| descriptor.oneofs().position(|other| other == of)),
                changeable: options.is_changeable(),
                output_only: options.output_only,
            });
        }
        fields.sort_by_key(|field| field.number);
        Ok(fields)
    }

    fn add_enum(&mut self, descriptor: &EnumDescriptor) -> EnumId {
        let id = *self.known.entry(descriptor.full_name().to_owned()).or_insert_with(|| {
            let values = descriptor.values().map(|v| (v.number(), v.name().to_owned()));
            self.enums.push(Enum { values: values.collect() });
            self.enums.len() - 1
        });
        EnumId(id)
    }

    #[expect(clippy::indexing_slicing, reason = "ids are made by this schema, which only grows")]
    pub(crate) fn message(&self, id: MessageId) -> &Message {
        &self.messages[id.0]
    }

    #[expect(clippy::indexing_slicing, reason = "ids are made by this schema, which only grows")]
    pub(crate) fn values(&self, id: EnumId) -> &Enum {
        &self.enums[id.0]
    }
}

impl Message {
    /// Finds a field by name. Returns its index too.
    pub(crate) fn named(&self, name: &str) -> Option<(usize, &Field)> {
        let at = *self.by_name.get(name)?;
        Some((at, self.fields.get(at)?))
    }

    /// Returns the index of the field with this number.
    pub(crate) fn place(&self, number: u32) -> Option<usize> {
        self.fields.binary_search_by_key(&number, |field| field.number).ok()
    }
}

impl Enum {
    pub(crate) fn name(&self, number: i32) -> Option<&str> {
        self.values.iter().find(|(n, _)| *n == number).map(|(_, name)| name.as_str())
    }

    pub(crate) fn number(&self, name: &str) -> Option<i32> {
        self.values.iter().find(|(_, n)| n == name).map(|(number, _)| *number)
    }

    /// Returns all names except that of the zero value.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.iter().filter(|(number, _)| *number != 0).map(|(_, name)| name.as_str())
    }
}
