//! Converts JSON bytes directly to protobuf bytes. Reports as many errors as possible at once, each
//! with the path of its field and never with its value.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use clinic_proto::validation::Violation;
use prost::Message as _;
use prost_types::Timestamp;
use serde::Deserialize;
use serde::de::{
    self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};

use super::values::{JsonScalar, expected, mask, scalar, shortened};
use crate::schema::{Field, Form, Message, MessageId, Schema, Type};
use crate::wire::Value;

/// Number of problems after which reading stops.
pub(crate) const MAX_PROBLEMS: usize = 64;

/// The result of reading a body.
pub(crate) struct Read {
    /// The encoded message, without the values that have a problem.
    pub(crate) wire: Vec<u8>,
    /// Indexes of the fields in the outermost object.
    pub(crate) present: Vec<usize>,
    pub(crate) problems: Vec<Violation>,
}

/// Reads a JSON object as a message.
///
/// # Errors
/// When the body is not a complete JSON object, or has [`MAX_PROBLEMS`] problems.
pub(crate) fn message(schema: &Schema, id: MessageId, json: &[u8]) -> Result<Read, Vec<Violation>> {
    let mut reader = Reader {
        schema,
        wire: Vec::with_capacity(json.len()),
        path: String::new(),
        problems: Vec::new(),
        present: Vec::new(),
    };
    let mut source = serde_json::Deserializer::from_slice(json);
    let body = Body(&mut reader, schema.message(id));
    let (is_object, outcome) = match source.deserialize_any(body) {
        // Valid JSON of another type.
        Err(error) if error.is_data() => (false, source.end()),
        outcome => (true, outcome.and_then(|()| source.end())),
    };
    let Reader { wire, present, problems, .. } = reader;
    let message = match outcome {
        _ if problems.len() >= MAX_PROBLEMS => return Err(problems),
        Ok(()) if is_object => return Ok(Read { wire, present, problems }),
        Ok(()) => "must be a JSON object".to_owned(),
        Err(error) => {
            format!("is not valid JSON at line {}, column {}", error.line(), error.column())
        }
    };
    Err(vec![Violation::new("body", message)])
}

struct Reader<'s> {
    schema: &'s Schema,
    wire: Vec<u8>,
    /// Path of the current field from the outermost object.
    path: String,
    problems: Vec<Violation>,
    present: Vec<usize>,
}

impl<'s> Reader<'s> {
    /// Records a problem of the current field; fails at [`MAX_PROBLEMS`].
    fn problem<E: de::Error>(&mut self, message: impl Into<String>) -> Result<(), E> {
        self.problems.push(Violation::new(self.path.as_str(), message));
        match self.problems.len() {
            ..MAX_PROBLEMS => Ok(()),
            _ => Err(E::custom("too many problems")),
        }
    }

    fn wrong_type<E: de::Error>(&mut self, field: &Field, list: bool) -> Result<(), E> {
        let message =
            if list { "must be a list".to_owned() } else { expected(self.schema, field.kind) };
        if field.kind == Type::Text {
            // A placeholder: rules of other fields may depend on whether this one is given.
            Value::Bytes(b"?").write(field.number, &mut self.wire);
        }
        self.problem(message)
    }

    /// Calls `run` with `name` appended to the path.
    fn within<T>(&mut self, name: &str, run: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.path.len();
        if outer > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        let result = run(self);
        self.path.truncate(outer);
        result
    }

    /// Reads the fields of a message.
    fn object<'de, A: MapAccess<'de>>(
        &mut self,
        message: &'s Message,
        mut object: A,
    ) -> Result<(), A::Error> {
        let outermost = self.path.is_empty();
        // For each field, whether it has a value; `None` if it is absent.
        let mut seen: Vec<Option<bool>> = vec![None; message.fields.len()];
        while let Some(Key(name)) = object.next_key()? {
            let known = message.named(&name);
            if known.is_none() {
                self.within(&shortened(&name), |reader| reader.problem("is not a known field"))?;
            }
            let Some((place, field)) = known.filter(|(_, field)| !field.output_only) else {
                object.next_value::<IgnoredAny>()?;
                continue;
            };
            if outermost {
                self.present.push(place);
            }
            let twice = seen.get(place).is_some_and(Option::is_some);
            let other = field.oneof.and_then(|oneof| {
                let mut seen = message.fields.iter().zip(&seen);
                seen.find(|(other, seen)| **seen == Some(true) && other.oneof == Some(oneof))
            });
            let value = self.within(&field.name, |reader| {
                let value = object.next_value_seed(Slot { reader, field, list: field.repeated })?;
                if twice {
                    reader.problem("is given twice")?;
                } else if let (Some((other, _)), true) = (other, value) {
                    // Protobuf would silently keep the last one.
                    let message = format!("must be empty when `{}` is given", other.name);
                    reader.problem(message)?;
                }
                Ok(value)
            })?;
            if let Some(seen) = seen.get_mut(place) {
                *seen = Some(value);
            }
        }
        Ok(())
    }

    /// Writes a scalar to a field.
    fn scalar<E: de::Error>(&mut self, field: &Field, json: JsonScalar<'_>) -> Result<(), E> {
        let message;
        let value = match (field.kind, json) {
            (Type::Message(id), JsonScalar::Text(text)) => {
                message = match self.schema.message(id).form {
                    Form::Object => None,
                    Form::Timestamp => text.parse().ok().map(|t: Timestamp| t.encode_to_vec()),
                    Form::FieldMask => Some(mask(text).encode_to_vec()),
                };
                message.as_deref().map(Value::Bytes)
            }
            (kind, json) => scalar(self.schema, kind, json),
        };
        match value {
            Some(value) => value.write(field.number, &mut self.wire),
            None => self.wrong_type(field, false)?,
        }
        Ok(())
    }
}

/// A field name. Borrows from the body unless it has escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The visitor of the whole body. Fails with a data error if it is valid JSON, but no object.
struct Body<'r, 's>(&'r mut Reader<'s>, &'s Message);

impl<'de> Visitor<'de> for Body<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<(), A::Error> {
        self.0.object(self.1, object)
    }

    /// By default, serde would copy the text into an error.
    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        Err(E::invalid_type(Unexpected::Other("text"), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Err(de::Error::invalid_type(Unexpected::Seq, &self))
    }
}

/// The visitor of a field's value, or of an item of a list.
struct Slot<'r, 's> {
    reader: &'r mut Reader<'s>,
    field: &'s Field,
    /// Whether the value must be a list.
    list: bool,
}

impl Slot<'_, '_> {
    fn scalar<E: de::Error>(self, json: JsonScalar<'_>) -> Result<bool, E> {
        match self.list {
            true => self.reader.wrong_type(self.field, true)?,
            false => self.reader.scalar(self.field, json)?,
        }
        Ok(true)
    }
}

impl<'de> DeserializeSeed<'de> for Slot<'_, '_> {
    /// Whether there is a value: null is none.
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<bool, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Slot<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<bool, E> {
        // An item of a list cannot be null.
        if self.field.repeated && !self.list {
            self.reader.wrong_type(self.field, false)?;
        }
        Ok(false)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<bool, E> {
        self.scalar(JsonScalar::Text(text))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<bool, E> {
        self.scalar(JsonScalar::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<bool, E> {
        self.scalar(JsonScalar::Int(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<bool, E> {
        self.scalar(i64::try_from(number).map_or(JsonScalar::Real(f64::MAX), JsonScalar::Int))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<bool, E> {
        self.scalar(JsonScalar::Real(number))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let Self { reader, field, list: expected } = self;
        if !expected {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            reader.wrong_type(field, false)?;
            return Ok(true);
        }
        let outer = reader.path.len();
        for index in 0_usize.. {
            let _ = write!(reader.path, "[{index}]");
            let more = list.next_element_seed(Slot { reader, field, list: false });
            reader.path.truncate(outer);
            if more?.is_none() {
                break;
            }
        }
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<bool, A::Error> {
        let Self { reader, field, list } = self;
        if let (Type::Message(id), false) = (field.kind, list) {
            let message = reader.schema.message(id);
            if message.form == Form::Object {
                // Encoded separately, because its length precedes it.
                let outer = std::mem::take(&mut reader.wire);
                let outcome = reader.object(message, object);
                let inner = std::mem::replace(&mut reader.wire, outer);
                Value::Bytes(&inner).write(field.number, &mut reader.wire);
                return outcome.map(|()| true);
            }
        }
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        reader.wrong_type(field, list)?;
        Ok(true)
    }
}
