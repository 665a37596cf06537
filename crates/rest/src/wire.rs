//! Protobuf as bytes: fields one after the other, each with its number.

use prost::encoding::{self, DecodeContext, WireType, decode_key, decode_varint};

use crate::answer::Damaged;
use crate::schema::{Field, MessageId, Schema, Type};

/// What stands in a field.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Number(u64),
    /// Text, a message, or several numbers in one.
    Bytes(&'a [u8]),
}

/// The fields of a message as they come.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

impl<'a> Fields<'a> {
    fn read(&mut self) -> Result<Option<(u32, Value<'a>)>, Damaged> {
        while !self.0.is_empty() {
            let (number, kind) = decode_key(&mut self.0).map_err(|_| Damaged)?;
            match kind {
                WireType::Varint => return Ok(Some((number, Value::Number(self.varint()?)))),
                WireType::LengthDelimited => {
                    let len = usize::try_from(self.varint()?).map_err(|_| Damaged)?;
                    let (value, rest) = self.0.split_at_checked(len).ok_or(Damaged)?;
                    self.0 = rest;
                    return Ok(Some((number, Value::Bytes(value))));
                }
                // No field of the schema travels so.
                other => encoding::skip_field(other, number, &mut self.0, DecodeContext::default())
                    .map_err(|_| Damaged)?,
            }
        }
        Ok(None)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Damaged> {
        decode_varint(&mut self.0).map_err(|_| Damaged)
    }
}

/// A field within a field and so on, as `patient.user_id`.
#[derive(Clone)]
pub(crate) struct FieldPath {
    /// The numbers of the messages on the way.
    outer: Vec<u32>,
    number: u32,
    pub(crate) kind: Type,
    pub(crate) repeated: bool,
}

impl FieldPath {
    /// The field of that name, with points between the names of messages and their fields.
    pub(crate) fn find(schema: &Schema, message: MessageId, name: &str) -> Option<Self> {
        let mut message = schema.message(message);
        let (mut outer, mut names) = (Vec::new(), name.split('.').peekable());
        while let Some(name) = names.next() {
            let (_, &Field { number, kind, repeated, .. }) = message.named(name)?;
            match (names.peek(), kind) {
                (None, _) => return Some(Self { outer, number, kind, repeated }),
                (Some(_), Type::Message(inner)) if !repeated => {
                    outer.push(number);
                    message = schema.message(inner);
                }
                (Some(_), _) => return None,
            }
        }
        None
    }

    /// The last value of it in a message.
    pub(crate) fn read<'a>(&self, message: &'a [u8]) -> Result<Option<&'a [u8]>, Damaged> {
        let mut found = Some(message);
        for number in self.outer.iter().chain([&self.number]) {
            let Some(message) = found.take() else { return Ok(None) };
            for field in Fields(message) {
                if let (n, Value::Bytes(value)) = field?
                    && n == *number
                {
                    found = Some(value);
                }
            }
        }
        Ok(found)
    }

    /// The same as text; empty where there is none.
    pub(crate) fn text<'a>(&self, message: &'a [u8]) -> Result<&'a str, Damaged> {
        std::str::from_utf8(self.read(message)?.unwrap_or_default()).map_err(|_| Damaged)
    }

    /// Adds it to a message, where the last value of a field counts and messages are merged.
    pub(crate) fn write(&self, value: Scalar<'_>, out: &mut Vec<u8>) {
        let mut field = Vec::new();
        value.write(self.number, &mut field);
        self.put(field, out);
    }

    /// The same for a message.
    pub(crate) fn write_message(&self, message: &[u8], out: &mut Vec<u8>) {
        let mut field = Vec::new();
        bytes(self.number, message, &mut field);
        self.put(field, out);
    }

    /// Adds the field within the messages on the way to it.
    fn put(&self, mut field: Vec<u8>, out: &mut Vec<u8>) {
        for number in self.outer.iter().rev() {
            let within = std::mem::take(&mut field);
            bytes(*number, &within, &mut field);
        }
        out.extend_from_slice(&field);
    }
}

/// A value that is not a message.
#[derive(Clone, Copy)]
pub(crate) enum Scalar<'a> {
    Text(&'a str),
    Number(u64),
}

impl Scalar<'_> {
    pub(crate) fn write(self, number: u32, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => bytes(number, text.as_bytes(), out),
            Self::Number(value) => {
                encoding::encode_key(number, WireType::Varint, out);
                encoding::encode_varint(value, out);
            }
        }
    }
}

impl From<i64> for Scalar<'_> {
    /// Negative numbers of any width travel as 64 bits in two's complement.
    fn from(number: i64) -> Self {
        Self::Number(number.cast_unsigned())
    }
}

/// Text, or a message that is written already, as a field.
pub(crate) fn bytes(number: u32, value: &[u8], out: &mut Vec<u8>) {
    encoding::encode_key(number, WireType::LengthDelimited, out);
    encoding::encode_varint(u64::try_from(value.len()).unwrap_or(u64::MAX), out);
    out.extend_from_slice(value);
}
