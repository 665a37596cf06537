//! Converts JSON bytes directly to protobuf bytes. Reports as many errors as possible at once, each
//! with the path of its field and never with its value.

use clinic_proto::validation::Violation;
use prost::Message as _;
use prost_types::{FieldMask, Timestamp};
use serde::de::{self, DeserializeSeed as _, IgnoredAny, MapAccess};

use super::visit::{Key, Outermost, Slot};
use crate::schema::{Field, Form, Message, MessageId, Schema, Type};
use crate::wire::{self, Scalar};

/// Number of problems after which reading stops.
pub(crate) const MAX_PROBLEMS: usize = 64;
/// Characters of an unknown name that an error quotes.
const MAX_NAME: usize = 64;

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

pub(super) struct Reader<'s> {
    pub(super) schema: &'s Schema,
    pub(super) wire: Vec<u8>,
    /// Path of the current field from the outermost object.
    pub(super) path: String,
    problems: Vec<Violation>,
    given: Vec<usize>,
    /// Whether the body is an object.
    pub(super) is_object: bool,
}

impl<'s> Reader<'s> {
    /// Records a problem; fails at [`MAX_PROBLEMS`].
    pub(super) fn problem<E: de::Error>(
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

    pub(super) fn wrong_type<E: de::Error>(&mut self, field: &Field, list: bool) -> Result<(), E> {
        let message =
            if list { "must be a list".to_owned() } else { expected(self.schema, field.kind) };
        if field.kind == Type::Text {
            // A placeholder: rules of other fields may depend on whether this one is given.
            Scalar::Text("?").write(field.number, &mut self.wire);
        }
        self.problem(self.path.clone(), message)
    }

    /// Calls `run` with `name` appended to the path.
    pub(super) fn within<T>(&mut self, name: &str, run: impl FnOnce(&mut Self) -> T) -> T {
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
    pub(super) fn object<'de, A: MapAccess<'de>>(
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
    pub(super) fn scalar<E: de::Error>(
        &mut self,
        field: &Field,
        found: Found<'_>,
    ) -> Result<(), E> {
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

/// A JSON scalar.
#[derive(Clone, Copy)]
pub(crate) enum Found<'a> {
    Text(&'a str),
    Bool(bool),
    Int(i64),
    Real(f64),
}

/// Converts a JSON scalar to protobuf, if it is a valid value of this type.
pub(crate) fn scalar<'a>(schema: &Schema, kind: Type, found: Found<'a>) -> Option<Scalar<'a>> {
    Some(match (kind, found) {
        (Type::Text, Found::Text(text)) => Scalar::Text(text),
        (Type::Bool, Found::Bool(value)) => Scalar::Number(u64::from(value)),
        (Type::Int32, found) => i64::from(i32::try_from(whole(found)?).ok()?).into(),
        (Type::Int64, found) => whole(found)?.into(),
        (Type::Enum(id), Found::Text(name)) => i64::from(schema.values(id).number(name)?).into(),
        (Type::Enum(_), Found::Int(number)) => i64::from(i32::try_from(number).ok()?).into(),
        _ => return None,
    })
}

/// Returns an integer. The proto3 JSON mapping also accepts `1.0` and `"1"`.
fn whole(found: Found<'_>) -> Option<i64> {
    match found {
        Found::Int(number) => Some(number),
        Found::Text(text) => text.parse().ok(),
        // Larger doubles cannot represent every integer.
        #[expect(clippy::cast_possible_truncation, reason = "an integer that is small enough")]
        Found::Real(real) if real.fract() == 0.0 && real.abs() < 9e15 => Some(real as i64),
        _ => None,
    }
}

/// Parses comma-separated paths.
pub(crate) fn mask(text: &str) -> FieldMask {
    let paths = text.split(',').map(str::trim).filter(|path| !path.is_empty());
    FieldMask { paths: paths.map(str::to_owned).collect() }
}

/// Returns the error message for a value that is not of this type.
pub(crate) fn expected(schema: &Schema, kind: Type) -> String {
    match kind {
        Type::Text => "must be a string".into(),
        Type::Bool => "must be true or false".into(),
        Type::Int32 => "must be a 32-bit integer".into(),
        Type::Int64 => "must be a 64-bit integer".into(),
        Type::Enum(id) => {
            let names: Vec<_> = schema.values(id).names().collect();
            format!("must be one of {}", names.join(", "))
        }
        Type::Message(id) => match schema.message(id).form {
            Form::Object => "must be an object".into(),
            Form::Timestamp => "must be a time such as 2024-05-15T12:00:00Z".into(),
            Form::FieldMask => "must be comma-separated field names".into(),
        },
    }
}

/// Shortens a client's name for an error message and replaces its control characters.
pub(crate) fn shortened(name: &str) -> String {
    if name.is_empty() {
        return "\"\"".to_owned();
    }
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    name.chars().take(MAX_NAME).map(shown).collect()
}
