//! Converts JSON bytes directly to protobuf bytes. Reports as many errors as possible at once, each
//! with the path of its field and never with its value.

use std::fmt::{self, Write as _};

use clinic_proto::validation::Violation;
use prost::Message as _;
use prost_types::Timestamp;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::values::{Found, expected, mask, scalar, shortened};
use crate::schema::{Field, Form, Message, MessageId, Schema, Type};
use crate::wire::{self, Scalar};

/// Number of problems after which reading stops.
pub(crate) const MAX_PROBLEMS: usize = 64;

/// The result of reading a body.
pub(crate) struct Read {
    /// The encoded message, without the values that have a problem.
    pub(crate) wire: Vec<u8>,
    /// Indexes of the fields in the outermost object.
    pub(crate) given: Vec<usize>,
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
        given: Vec::new(),
        is_object: true,
    };
    let mut source = serde_json::Deserializer::from_slice(json);
    let outcome = Outermost(&mut reader, id).deserialize(&mut source).and_then(|()| source.end());
    let body = |message: String| Err(vec![Violation::new("body", message)]);
    match outcome {
        _ if reader.problems.len() >= MAX_PROBLEMS => Err(reader.problems),
        Err(error) => {
            body(format!("is not valid JSON at line {}, column {}", error.line(), error.column()))
        }
        Ok(()) if !reader.is_object => body("must be a JSON object".into()),
        Ok(()) => Ok(Read { wire: reader.wire, given: reader.given, problems: reader.problems }),
    }
}

struct Reader<'s> {
    schema: &'s Schema,
    wire: Vec<u8>,
    /// Path of the current field from the outermost object.
    path: String,
    problems: Vec<Violation>,
    given: Vec<usize>,
    /// Whether the body is an object.
    is_object: bool,
}

impl<'s> Reader<'s> {
    /// Records a problem; fails at [`MAX_PROBLEMS`].
    fn problem<E: de::Error>(
        &mut self,
        field: String,
        message: impl Into<String>,
    ) -> Result<(), E> {
        self.problems.push(Violation::new(field, message));
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
            Scalar::Text("?").write(field.number, &mut self.wire);
        }
        self.problem(self.path.clone(), message)
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
        while let Some(place) = object.next_key_seed(Key(self, message))? {
            let known = place.and_then(|at| Some((at, message.fields.get(at)?)));
            let Some((place, field)) = known.filter(|(_, field)| !field.output_only) else {
                object.next_value::<IgnoredAny>()?;
                continue;
            };
            if outermost {
                self.given.push(place);
            }
            let twice = seen.get(place).is_some_and(Option::is_some);
            let other = field.oneof.and_then(|oneof| {
                let mut seen = message.fields.iter().zip(&seen);
                seen.find(|(other, seen)| **seen == Some(true) && other.oneof == Some(oneof))
            });
            let value = self.within(&field.name, |reader| {
                let value = object.next_value_seed(Slot { reader, field, item: false })?;
                if twice {
                    reader.problem(reader.path.clone(), "is given twice")?;
                } else if let (Some((other, _)), true) = (other, value) {
                    // Protobuf would silently keep the last one.
                    let message = format!("must be empty when `{}` is given", other.name);
                    reader.problem(reader.path.clone(), message)?;
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
    fn scalar<E: de::Error>(&mut self, field: &Field, found: Found<'_>) -> Result<(), E> {
        if let (Type::Message(id), Found::Text(text)) = (field.kind, found) {
            let message = match self.schema.message(id).form {
                Form::Object => None,
                Form::Timestamp => text.parse().ok().map(|time: Timestamp| time.encode_to_vec()),
                Form::FieldMask => Some(mask(text).encode_to_vec()),
            };
            return match message {
                Some(message) => {
                    wire::bytes(field.number, &message, &mut self.wire);
                    Ok(())
                }
                None => self.wrong_type(field, false),
            };
        }
        match scalar(self.schema, field.kind, found) {
            Some(value) => {
                value.write(field.number, &mut self.wire);
                Ok(())
            }
            None => self.wrong_type(field, false),
        }
    }
}

/// The visitor of the whole body.
struct Outermost<'r, 's>(&'r mut Reader<'s>, MessageId);

impl<'de> DeserializeSeed<'de> for Outermost<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Outermost<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<(), A::Error> {
        let message = self.0.schema.message(self.1);
        self.0.object(message, object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        self.refuse()
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        self.refuse()
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        self.refuse()
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        self.refuse()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        self.refuse()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        self.refuse()
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.refuse()
    }
}

impl Outermost<'_, '_> {
    #[expect(clippy::unnecessary_wraps, reason = "the return type of every visit method")]
    fn refuse<E: de::Error>(self) -> Result<(), E> {
        self.0.is_object = false;
        Ok(())
    }
}

/// The visitor of a field name. Returns the field's index, or `None` for an unknown name.
struct Key<'r, 's>(&'r mut Reader<'s>, &'s Message);

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key<'_, '_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        let Self(reader, message) = self;
        if let Some((place, _)) = message.named(name) {
            return Ok(Some(place));
        }
        reader.within(&shortened(name), |reader| {
            reader.problem(reader.path.clone(), "is not a known field")
        })?;
        Ok(None)
    }
}

/// The visitor of a field's value, or of an item of a list.
struct Slot<'r, 's> {
    reader: &'r mut Reader<'s>,
    field: &'s Field,
    /// Whether this is an item of a list, not the list.
    item: bool,
}

impl Slot<'_, '_> {
    fn scalar<E: de::Error>(self, found: Found<'_>) -> Result<bool, E> {
        match self.field.repeated && !self.item {
            true => self.reader.wrong_type(self.field, true)?,
            false => self.reader.scalar(self.field, found)?,
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
        if self.item {
            self.reader.wrong_type(self.field, false)?;
        }
        Ok(false)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<bool, E> {
        self.scalar(Found::Text(text))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<bool, E> {
        self.scalar(Found::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<bool, E> {
        self.scalar(Found::Int(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<bool, E> {
        self.scalar(i64::try_from(number).map_or(Found::Real(f64::MAX), Found::Int))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<bool, E> {
        self.scalar(Found::Real(number))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let Self { reader, field, item } = self;
        if !field.repeated || item {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            reader.wrong_type(field, false)?;
            return Ok(true);
        }
        let outer = reader.path.len();
        for index in 0_usize.. {
            let _ = write!(reader.path, "[{index}]");
            let more = list.next_element_seed(Slot { reader, field, item: true });
            reader.path.truncate(outer);
            if more?.is_none() {
                break;
            }
        }
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<bool, A::Error> {
        let Self { reader, field, item } = self;
        let schema = reader.schema;
        if let (Type::Message(id), true) = (field.kind, field.repeated == item) {
            let message = schema.message(id);
            if message.form == Form::Object {
                // Encoded separately, because its length precedes it.
                let outer = std::mem::take(&mut reader.wire);
                let outcome = reader.object(message, object);
                let inner = std::mem::replace(&mut reader.wire, outer);
                wire::bytes(field.number, &inner, &mut reader.wire);
                return outcome.map(|()| true);
            }
        }
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        reader.wrong_type(field, field.repeated && !item)?;
        Ok(true)
    }
}
